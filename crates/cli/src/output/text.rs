//! Text from elsewhere, made harmless for a terminal: nothing in it moves the cursor, sets a clipboard, or reorders.

use std::{borrow::Cow, fmt::Write as _};

/// Text for one line: line ends and tabs are spelled out as well.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    harmless(text, |_| false)
}

/// Text that may have several lines.
pub(crate) fn block(text: &str) -> Cow<'_, str> {
    harmless(text, |c| c == '\n' || c == '\t')
}

/// At most `limit` characters of one line, with a mark where it was cut.
pub(crate) fn short(text: &str, limit: usize) -> String {
    let joined: String = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let safe = line(&joined);
    if safe.chars().count() <= limit {
        return safe.into_owned();
    }
    safe.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

fn harmless(text: &str, allowed: fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|c| is_harmful(c) && !allowed(c)) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if !is_harmful(c) || allowed(c) {
            safe.push(c);
            continue;
        }
        let _ = match c {
            '\n' => write!(safe, "\\n"),
            '\r' => write!(safe, "\\r"),
            '\t' => write!(safe, "\\t"),
            c if c.is_ascii() => write!(safe, "\\x{:02x}", u32::from(c)),
            c => write!(safe, "\\u{{{:x}}}", u32::from(c)),
        };
    }
    Cow::Owned(safe)
}

/// Controls (C0, DEL, C1), and what reorders or hides text: bidi marks, zero-width characters, line separators, tags.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' | '\u{00ad}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hostile_text_is_spelled_out() {
        for (hostile, shown) in [
            ("\u{1b}[2Jx", "\\x1b[2Jx"),
            ("\u{1b}]8;;http://evil\u{7}a", "\\x1b]8;;http://evil\\x07a"),
            ("\u{9b}31m", "\\u{9b}31m"),
            ("a\u{202e}b", "a\\u{202e}b"),
            ("a\rb\u{8}c\u{7f}", "a\\rb\\x08c\\x7f"),
            ("\u{200b}\u{feff}", "\\u{200b}\\u{feff}"),
        ] {
            assert_eq!(line(hostile), shown);
            assert_eq!(block(hostile), shown);
        }
        assert_eq!((line("a\nb\tc"), block("a\nb\tc")), ("a\\nb\\tc".into(), "a\nb\tc".into()));
        assert_eq!(line("naïve 日本 🐘"), "naïve 日本 🐘");
    }

    #[test]
    fn long_text_is_cut_at_characters() {
        assert_eq!(short("select\n  1", 20), "select 1");
        assert_eq!(short("日本日本日本", 4), "日本日…");
        assert_eq!(short("\u{1b}\u{1b}\u{1b}", 6), "\\x1b\\…");
    }

    proptest! {
        #[test]
        fn nothing_harmful_is_ever_left(text: String, limit in 0..20_usize) {
            prop_assert!(!line(&text).chars().any(is_harmful));
            prop_assert!(!short(&text, limit).chars().any(is_harmful));
            prop_assert!(block(&text).chars().all(|c| !is_harmful(c) || c == '\n' || c == '\t'));
        }
    }
}
