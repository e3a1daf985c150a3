//! Tokens by the rules of the server's own scanner (`src/backend/parser/scan.l`), of what matters to somebody who watches.
//!
//! Literals are empty here: what stands in them is data. Where versions of the server differ, the reading that finds more
//! words is taken: `1delete` is a number and a word, as before version 15.

use std::borrow::Cow;

use super::Mode;
use crate::{MOST_TEXT, MOST_TOKENS, reading::Unreadable};

/// Names are cut to so many bytes by the server (`NAMEDATALEN - 1`).
const LONGEST_NAME: usize = 63;

/// A token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token<'a> {
    /// A keyword or a name without quotes, in small letters.
    Word(Cow<'a, str>),
    /// A name in quotes, as it is.
    Quoted(Cow<'a, str>),
    /// A string, also of bits.
    Text,
    /// A number.
    Number,
    /// `$1`
    Parameter,
    /// `<=`, `->>`: as long as the server takes one.
    Operator(&'a str),
    /// Any other sign.
    Sign(u8),
}

impl Token<'_> {
    /// Whether it is this keyword.
    pub(super) fn is(&self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found == word)
    }

    /// The keyword or name without quotes, if it is one.
    pub(super) fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            _ => None,
        }
    }

    /// The name that it may be.
    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Quoted(name) => Some(name),
            _ => None,
        }
    }
}

/// All tokens of a text.
pub(super) fn tokens(text: &[u8], mode: Mode) -> Result<Vec<Token<'_>>, Unreadable> {
    if text.len() > MOST_TEXT {
        return Err(Unreadable::TooLong);
    }
    if text.contains(&0) {
        return Err(Unreadable::Zero);
    }
    let text = match std::str::from_utf8(text) {
        Ok(text) if mode.utf8 || text.is_ascii() => text,
        _ => return Err(Unreadable::Encoding),
    };
    let mut lexer = Lexer { text, at: 0, mode, tokens: Vec::with_capacity(text.len() / 5) };
    while lexer.at < text.len() {
        lexer.token()?;
        if lexer.tokens.len() > MOST_TOKENS {
            return Err(Unreadable::TooMany);
        }
    }
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    mode: Mode,
    tokens: Vec<Token<'a>>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn starts(&self, with: &[u8]) -> bool {
        self.rest().starts_with(with)
    }

    /// The bytes from here that are so; they are passed.
    fn while_is(&mut self, is: impl Fn(u8) -> bool) -> usize {
        let rest = self.rest();
        let count = rest.iter().position(|byte| !is(*byte)).unwrap_or(rest.len());
        self.at += count;
        count
    }

    fn token(&mut self) -> Result<(), Unreadable> {
        let rest = self.rest();
        let (Some(first), second) = (rest.first().copied(), rest.get(1).copied()) else { return Ok(()) };
        match first {
            _ if is_space(first) => self.at += 1,
            b'-' if second == Some(b'-') => drop(self.while_is(|byte| !is_newline(byte))),
            b'/' if second == Some(b'*') => self.comment()?,
            b'\'' => self.string(1, !self.mode.standard_strings)?,
            b'e' | b'E' if second == Some(b'\'') => self.string(2, true)?,
            b'b' | b'B' | b'x' | b'X' if second == Some(b'\'') => self.string(2, false)?,
            b'n' | b'N' if second == Some(b'\'') => self.string(2, !self.mode.standard_strings)?,
            b'u' | b'U' if self.starts_like(b"&'") => self.string(3, false)?,
            b'u' | b'U' if self.starts_like(b"&\"") => self.name(3, true)?,
            b'"' => self.name(1, false)?,
            b'$' => self.dollar()?,
            b'0'..=b'9' => self.number(),
            b'.' if second.is_some_and(|byte| byte.is_ascii_digit()) => self.number(),
            _ if is_name_start(first) => self.word()?,
            _ if is_operator(first) => self.operator(),
            _ => {
                self.tokens.push(Token::Sign(first));
                self.at += 1;
            }
        }
        Ok(())
    }

    /// Whether this stands behind the first byte.
    fn starts_like(&self, with: &[u8]) -> bool {
        self.rest().get(1..).is_some_and(|rest| rest.starts_with(with))
    }

    /// `/* … */`, which nests.
    fn comment(&mut self) -> Result<(), Unreadable> {
        let mut depth = 0_usize;
        loop {
            if self.starts(b"/*") {
                depth += 1;
                self.at += 2;
            } else if self.starts(b"*/") {
                depth -= 1;
                self.at += 2;
                if depth == 0 {
                    return Ok(());
                }
            } else if self.at < self.text.len() {
                self.at += 1;
            } else {
                return Err(Unreadable::Open);
            }
        }
    }

    /// A string whose first byte inside is `open` bytes from here, and its continuations on further lines.
    fn string(&mut self, open: usize, escapes: bool) -> Result<(), Unreadable> {
        self.at += open;
        loop {
            self.while_is(|byte| byte != b'\'' && byte != b'\\');
            match self.rest() {
                [] => return Err(Unreadable::Open),
                [b'\\', _, ..] if escapes => self.at += 2,
                [b'\\', ..] => self.at += 1,
                [b'\'', b'\'', ..] => self.at += 2,
                _ => {
                    self.at += 1;
                    match continuation(self.rest()) {
                        Some(gap) => self.at += gap,
                        None => break,
                    }
                }
            }
        }
        self.tokens.push(Token::Text);
        Ok(())
    }

    /// A name in quotes whose first byte inside is `open` bytes from here.
    fn name(&mut self, open: usize, escapes: bool) -> Result<(), Unreadable> {
        self.at += open;
        let from = self.at;
        let mut doubled = false;
        loop {
            self.while_is(|byte| byte != b'"');
            if self.starts(b"\"\"") {
                doubled = true;
                self.at += 2;
            } else if self.at < self.text.len() {
                break;
            } else {
                return Err(Unreadable::Open);
            }
        }
        let inner = self.text.get(from..self.at).unwrap_or_default();
        self.at += 1;
        let name: Cow<'a, str> = if doubled { inner.replace("\"\"", "\"").into() } else { inner.into() };
        let name = if escapes { unicode(&name)?.into() } else { name };
        self.tokens.push(Token::Quoted(cut(name)));
        Ok(())
    }

    /// `$tag$ … $tag$`, `$1`, or a lonely sign.
    fn dollar(&mut self) -> Result<(), Unreadable> {
        let rest = self.rest();
        let after = rest.get(1..).unwrap_or_default();
        if after.first().is_some_and(u8::is_ascii_digit) {
            self.at += 1;
            self.while_is(|byte| byte.is_ascii_digit());
            self.tokens.push(Token::Parameter);
            return Ok(());
        }
        let in_tag = |byte: &u8| is_name_start(*byte) || byte.is_ascii_digit();
        let length = after.iter().position(|byte| !in_tag(byte)).unwrap_or(after.len());
        if after.get(length) != Some(&b'$') {
            self.tokens.push(Token::Sign(b'$'));
            self.at += 1;
            return Ok(());
        }
        let tag = rest.get(..length + 2).unwrap_or_default();
        self.at += tag.len();
        let end = find(self.rest(), tag).ok_or(Unreadable::Open)?;
        self.at += end + tag.len();
        self.tokens.push(Token::Text);
        Ok(())
    }

    /// Digits, a fraction, an exponent; also `0xff` and `1_000`. Letters behind it are a word of their own.
    fn number(&mut self) {
        let is_digit = |byte: u8| byte.is_ascii_digit() || byte == b'_';
        if self.starts(b"0x") || self.starts(b"0X") {
            self.at += 2;
            self.while_is(|byte| byte.is_ascii_hexdigit() || byte == b'_');
        } else {
            self.while_is(is_digit);
            // `1..2` is no fraction.
            if self.starts(b".") && !self.starts(b"..") {
                self.at += 1;
                self.while_is(is_digit);
            }
            let exponent = match self.rest() {
                [b'e' | b'E', b'+' | b'-', digit, ..] if digit.is_ascii_digit() => 2,
                [b'e' | b'E', digit, ..] if digit.is_ascii_digit() => 1,
                _ => 0,
            };
            if exponent > 0 {
                self.at += exponent;
                self.while_is(is_digit);
            }
        }
        self.tokens.push(Token::Number);
    }

    /// Up to a comment; a plus or minus at its end is one of its own, unless the operator is no usual one.
    fn operator(&mut self) {
        let from = self.at;
        // The server takes none that is longer than a name, so none is looked at further.
        let rest = self.rest();
        let rest = rest.get(..LONGEST_NAME).unwrap_or(rest);
        let run = rest.iter().position(|byte| !is_operator(*byte)).unwrap_or(rest.len());
        let opens = |pair: &[u8]| matches!(pair, b"--" | b"/*");
        let mut end = rest.get(..run).unwrap_or_default().windows(2).position(opens).unwrap_or(run);
        let unusual =
            |byte: &u8| matches!(byte, b'~' | b'!' | b'@' | b'#' | b'^' | b'&' | b'|' | b'`' | b'?' | b'%');
        while end > 1
            && let Some([before @ .., b'+' | b'-']) = rest.get(..end)
            && !before.iter().any(unusual)
        {
            end -= 1;
        }
        self.at += end;
        self.tokens.push(Token::Operator(self.text.get(from..self.at).unwrap_or_default()));
    }

    fn word(&mut self) -> Result<(), Unreadable> {
        let from = self.at;
        self.while_is(|byte| is_name_start(byte) || byte.is_ascii_digit() || byte == b'$');
        let word = self.text.get(from..self.at).unwrap_or_default();
        let word: Cow<'a, str> = if word.bytes().any(|byte| byte.is_ascii_uppercase()) {
            word.to_ascii_lowercase().into()
        } else {
            word.into()
        };
        if word == "uescape" {
            return Err(Unreadable::Escape);
        }
        self.tokens.push(Token::Word(cut(word)));
        Ok(())
    }
}

const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

const fn is_newline(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

const fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

const fn is_operator(byte: u8) -> bool {
    matches!(
        byte,
        b'~' | b'!'
            | b'@'
            | b'#'
            | b'^'
            | b'&'
            | b'|'
            | b'`'
            | b'?'
            | b'+'
            | b'-'
            | b'*'
            | b'/'
            | b'%'
            | b'<'
            | b'>'
            | b'='
    )
}

/// How far it is into a string that goes on: white space with a line's end in it, also comments up to one, then a quote.
fn continuation(rest: &[u8]) -> Option<usize> {
    let (mut at, mut lines) = (0, 0);
    loop {
        match rest.get(at..)? {
            [b'\'', ..] if lines > 0 => return Some(at + 1),
            [b'-', b'-', comment @ ..] => at += 2 + comment.iter().position(|byte| is_newline(*byte))?,
            [byte, ..] if is_space(*byte) => {
                lines += usize::from(is_newline(*byte));
                at += 1;
            }
            _ => return None,
        }
    }
}

/// Where a dollar-quoted string ends.
fn find(text: &[u8], tag: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.iter().position(|byte| *byte == b'$')?;
        if text.get(at..)?.starts_with(tag) {
            return Some(at);
        }
        from = at + 1;
    }
}

/// The name that `U&"…"` writes, with its usual escape: `\0061`, `\+000061`, `\\`.
fn unicode(name: &str) -> Result<String, Unreadable> {
    let (mut out, mut rest) = (String::with_capacity(name.len()), name);
    while let Some((before, behind)) = rest.split_once('\\') {
        out.push_str(before);
        rest = if let Some(behind) = behind.strip_prefix('\\') {
            out.push('\\');
            behind
        } else {
            let (digits, behind) = match behind.strip_prefix('+') {
                Some(behind) => behind.split_at_checked(6),
                None => behind.split_at_checked(4),
            }
            .ok_or(Unreadable::Escape)?;
            let code = u32::from_str_radix(digits, 16).ok().and_then(char::from_u32);
            // Halves of a pair, too: nobody names a table so.
            out.push(
                code.filter(|_| digits.bytes().all(|d| d.is_ascii_hexdigit())).ok_or(Unreadable::Escape)?,
            );
            behind
        };
    }
    out.push_str(rest);
    Ok(out)
}

/// A name as long as the server takes it.
fn cut(name: Cow<'_, str>) -> Cow<'_, str> {
    if name.len() <= LONGEST_NAME {
        return name;
    }
    let end = name.floor_char_boundary(LONGEST_NAME);
    match name {
        Cow::Borrowed(name) => name.get(..end).unwrap_or_default().into(),
        Cow::Owned(mut name) => {
            name.truncate(end);
            name.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        words_in(text, Mode::default())
    }

    fn words_in(text: &str, mode: Mode) -> Vec<String> {
        let tokens = tokens(text.as_bytes(), mode).unwrap();
        tokens.iter().filter_map(|token| token.word().map(str::to_owned)).collect()
    }

    #[test]
    fn what_stands_in_strings_names_and_comments_is_no_word() {
        for hidden in [
            "'drop'",
            "'it''s drop'",
            "E'\\'drop'",
            "e'a\\\\' || 'drop'",
            "b'drop'",
            "X'drop'",
            "N'drop'",
            "U&'drop'",
            "$$drop$$",
            "$a$ drop $$ drop $a$",
            "$größe$ drop $größe$",
            "\"drop\"",
            "\"a\"\"drop\"",
            "U&\"drop\"",
            "-- drop",
            "--drop\r",
            "/* drop */",
            "/* /* drop */ drop */",
            "'a'\n'drop'",
            "'a' -- drop\n 'drop'",
            "E'a'\n'\\'drop'",
        ] {
            assert_eq!(words(&format!("select {hidden}")), ["select"], "{hidden}");
        }
    }

    #[test]
    fn what_only_looks_hidden_is_a_word() {
        for shown in [
            "'' drop",
            "'\\' drop --'",
            "E'\\\\' drop",
            "$a$ $a$ drop",
            "/**/drop",
            "--\ndrop",
            "-- \rdrop",
            "/* */ drop /* */",
            "1drop",
            "1.drop",
            "0x1 drop",
            "$1drop",
            "+-/**/drop",
            "'a'/**/drop",
            "'' /* \n */ drop",
            "a.drop",
            "u & drop",
            "(drop)",
            "[drop]",
            "::drop",
            "\u{c}drop",
            "\u{b}drop",
        ] {
            assert!(words(shown).contains(&"drop".to_owned()), "{shown:?}: {:?}", words(shown));
        }
    }

    #[test]
    fn a_backslash_means_what_the_session_has_set() {
        let old = Mode { standard_strings: false, utf8: true };
        assert_eq!(words_in("'\\' drop --'", old), [] as [&str; 0]);
        assert_eq!(words_in("'\\\\' drop", old), ["drop"]);
        assert_eq!(words_in("N'\\'drop'", old), [] as [&str; 0]);
    }

    #[test]
    fn names_are_folded_cut_and_decoded() {
        let name =
            |text: &str| tokens(text.as_bytes(), Mode::default()).unwrap()[0].name().unwrap().to_owned();
        assert_eq!(name("PATIENTS"), "patients");
        assert_eq!(name("\"Patients\""), "Patients");
        assert_eq!(name("\"a\"\"b\""), "a\"b");
        assert_eq!(name("U&\"\\0070atients\""), "patients");
        assert_eq!(name("u&\"\\+000070at\\\\\""), "pat\\");
        assert_eq!(name(&"x".repeat(70)).len(), 63);
        assert_eq!(name(&format!("\"{}ß\"", "x".repeat(62))), "x".repeat(62), "no half of a character");
        assert_eq!(name("GRÖSSE"), "grÖsse", "only ASCII is folded");
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        let why = |text: &[u8]| tokens(text, Mode::default()).unwrap_err();
        for open in ["'a", "E'\\'", "\"a", "$$a", "$a$ $$", "/* /* */", "U&\"a", "'a'\n'b"] {
            assert_eq!(why(open.as_bytes()), Unreadable::Open, "{open}");
        }
        assert_eq!(why(b"a\0"), Unreadable::Zero);
        assert_eq!(why(b"\xff"), Unreadable::Encoding);
        assert_eq!(why(b"U&\"!0061\" uescape '!'"), Unreadable::Escape);
        assert_eq!(why(b"U&\"\\00\""), Unreadable::Escape);
        assert_eq!(why(&vec![b' '; MOST_TEXT + 1]), Unreadable::TooLong);
        assert_eq!(why(&vec![b'('; MOST_TOKENS + 1]), Unreadable::TooMany);
        let sjis = Mode { standard_strings: true, utf8: false };
        assert_eq!(tokens("'\u{e9}'".as_bytes(), sjis).unwrap_err(), Unreadable::Encoding);
    }

    proptest! {
        #[test]
        fn anything_is_read_or_refused(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = tokens(&text, Mode::default());
        }

        /// Whatever stands in a literal changes nothing around it.
        #[test]
        fn a_literal_hides_all_that_is_in_it(inside in "[^\u{0}]{0,40}") {
            let quoted = format!("select '{}', \"{}\", $q$x$q$ after", inside.replace('\'', "''"), inside.replace('"', "\"\""));
            prop_assert_eq!(words(&quoted), ["select", "after"]);
        }
    }
}
