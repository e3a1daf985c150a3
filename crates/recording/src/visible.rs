//! Text from a target or a client, made harmless for a terminal, a page or a comment (THREATS B10).

use std::fmt::Write as _;

/// On one line: control characters, line ends, direction overrides and invisible characters become visible escapes.
#[must_use]
pub fn visible(text: &str) -> String {
    escape(text, false)
}

/// The same, but line feeds and tabs stay.
#[must_use]
pub fn visible_lines(text: &str) -> String {
    escape(text, true)
}

/// Bytes as visible text on one line; what is not UTF-8 becomes U+FFFD.
#[must_use]
pub fn visible_bytes(bytes: &[u8]) -> String {
    visible(&String::from_utf8_lossy(bytes))
}

fn escape(text: &str, keep_lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\t' if keep_lines => out.push(character),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' | '\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", u32::from(character));
            }
            _ if is_deceptive(character) => {
                let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
            }
            _ => out.push(character),
        }
    }
    out
}

/// C1 controls, bidirectional overrides, zero-width and tag characters: what a reader cannot see, or sees wrongly.
const fn is_deceptive(character: char) -> bool {
    matches!(character,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_act_is_shown_instead() {
        for (hostile, shown) in [
            ("\x1b]52;c;cm0gLXJm\x07", "\\x1b]52;c;cm0gLXJm\\x07"),
            ("\x1b]8;;http://evil\x1b\\x", "\\x1b]8;;http://evil\\x1b\\x"),
            ("\x1bP+q\x1b\\", "\\x1bP+q\\x1b\\"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("a\r\nb", "a\\r\\nb"),
            ("user\u{202e}nimda", "user\\u{202e}nimda"),
            ("a\u{200b}b\0", "a\\u{200b}b\\x00"),
            ("Grüße 患者 😀", "Grüße 患者 😀"),
        ] {
            assert_eq!(visible(hostile), shown);
        }
        assert_eq!(visible_lines("a\n\tb\r\x1b"), "a\n\tb\\r\\x1b");
        assert_eq!(visible_bytes(b"\xff\x1b"), "\u{fffd}\\x1b");
    }

    proptest! {
        #[test]
        fn no_control_character_remains(text in any::<String>()) {
            prop_assert!(!visible(&text).chars().any(|c| c.is_control() || is_deceptive(c)));
        }
    }
}
