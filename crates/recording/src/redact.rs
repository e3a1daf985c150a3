//! Statement text for lists: SQL with its literals replaced by `?` and its comments gone.
//!
//! Statement text is metadata that more people see than the recording, so this errs on the side of showing less: where
//! the lexer cannot be sure that it still sees the statement as the server did (an open quote, a backslash before a
//! quote, whose meaning depends on a setting), everything from there on is one `?`. Linear in the text.

use crate::visible::visible;

/// Replaces string, number and dollar-quoted literals with `?`, strips comments, joins white space.
///
/// Never fails; never shows what stands inside quotes. Names (also quoted ones), keywords and `$1` stay.
#[must_use]
pub fn redact_literals(sql: &[u8]) -> String {
    let mut lexer = Lexer { rest: sql, out: Vec::with_capacity(sql.len()) };
    while let Some(first) = lexer.rest.first() {
        if lexer.token(*first).is_none() {
            lexer.literal();
            break;
        }
    }
    visible(String::from_utf8_lossy(&lexer.out).trim())
}

struct Lexer<'a> {
    rest: &'a [u8],
    out: Vec<u8>,
}

impl<'a> Lexer<'a> {
    /// Takes one token; `None` where it cannot be told how far it goes.
    fn token(&mut self, first: u8) -> Option<()> {
        match first {
            b'\'' => self.quoted(),
            b'"' => self.name_in_quotes(),
            b'$' => self.dollar(),
            b'-' if self.rest.starts_with(b"--") => {
                let end = position(self.rest, |byte| matches!(byte, b'\n' | b'\r'));
                self.advance(end);
                self.space();
                Some(())
            }
            b'/' if self.rest.starts_with(b"/*") => self.block_comment(),
            b'0'..=b'9' => self.number(),
            b'.' if self.rest.get(1).is_some_and(u8::is_ascii_digit) => self.number(),
            _ if first.is_ascii_whitespace() || first == 0x0b || first == 0 => {
                self.advance(1);
                self.space();
                Some(())
            }
            _ if is_name_start(first) => self.name(),
            _ => {
                self.out.push(first);
                self.advance(1);
                Some(())
            }
        }
    }

    fn advance(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at_checked(count).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    fn space(&mut self) {
        if self.out.last().is_some_and(|last| *last != b' ') {
            self.out.push(b' ');
        }
    }

    fn literal(&mut self) {
        self.out.push(b'?');
    }

    /// A string with standard quotes. With a backslash before a quote its end depends on the server's settings.
    fn quoted(&mut self) -> Option<()> {
        let inside = self.rest.get(1..)?;
        let mut at = 0;
        loop {
            at += inside.get(at..)?.iter().position(|byte| *byte == b'\'')?;
            if at > 0 && inside.get(at - 1) == Some(&b'\\') {
                return None;
            }
            if inside.get(at + 1) != Some(&b'\'') {
                break;
            }
            at += 2;
        }
        self.advance(at + 2);
        self.literal();
        Some(())
    }

    /// A string with backslash escapes: `E'...'`.
    fn escaped(&mut self) -> Option<()> {
        let mut at = 1;
        loop {
            match (self.rest.get(at)?, self.rest.get(at + 1)) {
                (b'\\', _) | (b'\'', Some(b'\'')) => at += 2,
                (b'\'', _) => break,
                _ => at += 1,
            }
        }
        self.advance(at + 1);
        self.literal();
        Some(())
    }

    fn name_in_quotes(&mut self) -> Option<()> {
        let end = self.rest.get(1..)?.iter().position(|byte| *byte == b'"')? + 2;
        let name = self.advance(end);
        self.out.extend_from_slice(name);
        Some(())
    }

    fn name(&mut self) -> Option<()> {
        let length = position(self.rest, |byte| !is_name(byte));
        let name = self.advance(length);
        self.out.extend_from_slice(name);
        match self.rest.first() {
            Some(b'\'') if name.eq_ignore_ascii_case(b"e") => self.escaped(),
            _ => Some(()),
        }
    }

    /// `$1`, or `$tag$ ... $tag$`, or a stray dollar.
    fn dollar(&mut self) -> Option<()> {
        let tag = 1 + position(self.rest.get(1..)?, |byte| !is_name(byte) || byte == b'$');
        let first = self.rest.get(1).copied().unwrap_or(0);
        if first.is_ascii_digit() {
            let digits = 1 + position(self.rest.get(1..)?, |byte| !byte.is_ascii_digit());
            let parameter = self.advance(digits);
            self.out.extend_from_slice(parameter);
            return Some(());
        }
        if self.rest.get(tag) != Some(&b'$') {
            self.out.push(b'$');
            self.advance(1);
            return Some(());
        }
        let quote = self.advance(tag + 1);
        let end = find(self.rest, quote)?;
        self.advance(end + quote.len());
        self.literal();
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let mut at = 0;
        while let Some(byte) = self.rest.get(at) {
            let signed_exponent = matches!(byte, b'+' | b'-')
                && matches!(self.rest.get(at.wrapping_sub(1)), Some(b'e' | b'E'))
                && self.rest.get(at + 1).is_some_and(u8::is_ascii_digit);
            if (!is_name(*byte) || *byte == b'$') && *byte != b'.' && !signed_exponent {
                break;
            }
            at += 1;
        }
        self.advance(at);
        self.literal();
        Some(())
    }

    /// Comments nest in PostgreSQL.
    fn block_comment(&mut self) -> Option<()> {
        let (mut depth, mut at) = (0_u32, 0);
        loop {
            match self.rest.get(at..)? {
                [] => return None,
                [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
                [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
                _ => at += 1,
            }
            if depth == 0 {
                break;
            }
        }
        self.advance(at);
        self.space();
        Some(())
    }
}

const fn is_name_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

const fn is_name(byte: u8) -> bool {
    is_name_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn position(bytes: &[u8], stop: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|byte| stop(*byte)).unwrap_or(bytes.len())
}

/// Looks for a dollar quote. Its own first byte is a dollar and no other but the last is, so a failed match can be
/// skipped up to its last byte: linear.
fn find(haystack: &[u8], quote: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += haystack.get(at..)?.iter().position(|byte| *byte == b'$')?;
        let candidate = haystack.get(at..)?;
        if candidate.starts_with(quote) {
            return Some(at);
        }
        at += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn literals_go_and_the_rest_stays() {
        for (sql, shown) in [
            ("SELECT 1", "SELECT ?"),
            ("select * from t1 where a = 'x''y' and b2 > 1.5e-10", "select * from t1 where a = ? and b2 > ?"),
            ("CREATE USER eve PASSWORD 'hunter2'", "CREATE USER eve PASSWORD ?"),
            (
                "ALTER ROLE x WITH ENCRYPTED PASSWORD E'a\\'b' VALID UNTIL '2030'",
                "ALTER ROLE x WITH ENCRYPTED PASSWORD E? VALID UNTIL ?",
            ),
            ("SELECT $1, $2::int", "SELECT $1, $2::int"),
            ("DO $$ BEGIN PERFORM 'secret'; END $$", "DO ?"),
            ("SELECT $a$ it's $b$ $a$, $_1$x$_1$", "SELECT ?, ?"),
            ("SELECT foo$bar$baz", "SELECT foo$bar$baz"),
            ("SELECT 0x1F, 0b1, 1_000, .5, 5., 1e5x", "SELECT ?, ?, ?, ?, ?, ?"),
            ("SELECT X'1F', B'01', N'x', U&'d\\0061t'", "SELECT X?, B?, N?, U&?"),
            ("SELECT \"O'Brien\", \"a\"\"b\" FROM \"t\"", "SELECT \"O'Brien\", \"a\"\"b\" FROM \"t\""),
            ("SELECT 1 -- secret 'quote\n+ 2", "SELECT ? + ?"),
            ("SELECT/* a /* nested */ 'b */1", "SELECT ?"),
            ("  SELECT\r\n\t 1  ;  ", "SELECT ? ;"),
            ("SELECT -1-1", "SELECT -?-?"),
            ("SELECT 1$a$ secret $a$ x", "SELECT ?? x"),
            ("SELECT a-'1'", "SELECT a-?"),
            ("INSERT INTO t VALUES('a'\n'b')", "INSERT INTO t VALUES(? ?)"),
            ("SELECT e'\\\\' , 'x'", "SELECT e? , ?"),
            ("SELECT ''", "SELECT ?"),
            ("SELECT name'x'", "SELECT name?"),
            ("", ""),
            ("-- only", ""),
        ] {
            assert_eq!(redact_literals(sql.as_bytes()), shown, "{sql}");
        }
    }

    #[test]
    fn what_cannot_be_told_is_hidden_to_the_end() {
        for (sql, shown) in [
            ("SELECT 'open secret", "SELECT ?"),
            ("SELECT $x$ secret $y$", "SELECT ?"),
            ("SELECT /* secret", "SELECT ?"),
            ("SELECT \"secret", "SELECT ?"),
            ("SELECT 'a\\' secret '", "SELECT ?"),
            ("SELECT 'x\\'' || secret", "SELECT ?"),
            ("SELECT E'secret\\'", "SELECT E?"),
            ("SELECT E'secret\\", "SELECT E?"),
            ("SELECT U&'a\\' secret", "SELECT U&?"),
        ] {
            assert_eq!(redact_literals(sql.as_bytes()), shown, "{sql}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_do_no_harm() {
        assert_eq!(
            redact_literals(b"SELECT \xff\xfe '\xff' \x1b[2J\0x"),
            "SELECT \u{fffd}\u{fffd} ? \\x1b[? x"
        );
        assert_eq!(
            redact_literals("SELECT größe FROM 患者 WHERE a='ß'".as_bytes()),
            "SELECT größe FROM 患者 WHERE a=?"
        );
    }

    #[test]
    fn hostile_text_takes_linear_time() {
        let unclosed = "$a".repeat(200_000);
        let comments = "/*".repeat(200_000);
        let quotes = "'".repeat(400_001);
        let tags = (0..50_000).map(|n| format!("$t{n}")).collect::<String>();
        let begin = std::time::Instant::now();
        for text in [unclosed, comments, quotes, tags, "\"".repeat(400_001), "-".repeat(400_000)] {
            let _ = redact_literals(text.as_bytes());
        }
        assert!(begin.elapsed().as_secs() < 5);
    }

    proptest! {
        #[test]
        fn what_is_quoted_never_shows(
            before in "[a-z =(,]{0,10}", secret in "zq[a-z' ]{0,10}zq", after in "[a-z =),;]{0,10}"
        ) {
            let quoted = secret.replace('\'', "''");
            let sql = format!("{before} '{quoted}' {after}; {before} $q${secret}$q$ {after} E'{quoted}' /*{secret}*/");
            prop_assume!(!before.contains("zq") && !after.contains("zq"));
            prop_assert!(!redact_literals(sql.as_bytes()).contains("zq"));
        }

        #[test]
        fn no_digits_outside_names_remain(number in any::<u32>()) {
            prop_assert_eq!(redact_literals(format!("a = {number} or {number}").as_bytes()), "a = ? or ?");
        }

        #[test]
        fn garbage_never_panics(sql in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = redact_literals(&sql);
        }
    }
}
