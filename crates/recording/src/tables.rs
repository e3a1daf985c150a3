//! Which tables a statement names, as far as its text tells: for searching, not for deciding anything.
//!
//! Best effort, over text whose literals were replaced. What follows `FROM`, `JOIN`, `INTO`, `UPDATE`, `TABLE`, `COPY`, `ONLY` is
//! taken for a table, unless it is called like a function; so a name of a `WITH` is there too, and a table behind a view, a
//! function or dynamic SQL is not. Linear in the text.

use std::collections::BTreeSet;

/// Names of one statement that are kept.
const MOST: usize = 50;
/// Longest name.
const LONGEST: usize = 200;

/// Words after which a table stands.
const BEFORE: [&str; 7] = ["from", "join", "into", "update", "table", "copy", "only"];
/// Words after which what is called is a function: `FROM f(1)`, but `INSERT INTO t(a)`.
const CALLS: [&str; 3] = ["from", "join", "only"];
/// Words that may stand in between.
const BETWEEN: [&str; 6] = ["if", "not", "exists", "only", "lateral", "concurrently"];
/// Words that end a list of tables, or are none.
const NEVER: [&str; 16] = [
    "select", "where", "set", "values", "on", "using", "join", "left", "right", "inner", "outer", "full",
    "cross", "group", "order", "stdin",
];

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Word(Word),
    Comma,
    Other,
}

/// A name or keyword as the server folds it, with its qualification.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    name: String,
    quoted: bool,
    /// A parenthesis follows without a gap: a call, or columns.
    called: bool,
}

impl Token {
    /// Whether it is one of these keywords.
    fn is(&self, words: &[&str]) -> bool {
        matches!(self, Self::Word(Word { name, quoted: false, .. }) if words.contains(&name.as_str()))
    }
}

/// The tables that a statement without literals names: each as it stands there, and by its last part.
#[must_use]
pub fn tables_of(redacted: &str) -> BTreeSet<String> {
    let tokens = tokens(redacted);
    let (mut tables, mut at) = (BTreeSet::new(), 0);
    while let Some(token) = tokens.get(at) {
        at += 1;
        if token.is(&BEFORE) {
            at = list(&tokens, at, token.is(&CALLS), &mut tables);
        }
    }
    tables
}

/// `a, b AS c, d`: takes the names, and answers where it ends.
fn list(tokens: &[Token], mut at: usize, calls: bool, tables: &mut BTreeSet<String>) -> usize {
    loop {
        while tokens.get(at).is_some_and(|token| token.is(&BETWEEN)) {
            at += 1;
        }
        let Some(token @ Token::Word(word)) = tokens.get(at) else { return at };
        if token.is(&NEVER) || (calls && word.called) {
            return at;
        }
        at += 1;
        keep(&word.name, tables);
        at = alias(tokens, at);
        if tokens.get(at) != Some(&Token::Comma) {
            return at;
        }
        at += 1;
    }
}

/// Skips `AS x` or `x` if a comma follows: otherwise it is for somebody else.
fn alias(tokens: &[Token], at: usize) -> usize {
    let words = tokens.get(at..).unwrap_or_default().iter().take(2);
    let words = words.take_while(|token| matches!(token, Token::Word(..))).count();
    if tokens.get(at + words) == Some(&Token::Comma) { at + words } else { at }
}

fn keep(name: &str, tables: &mut BTreeSet<String>) {
    if name.len() > LONGEST || tables.len() >= MOST {
        return;
    }
    tables.insert(name.to_owned());
    if let Some((_, last)) = name.rsplit_once('.').filter(|(_, last)| !last.is_empty()) {
        tables.insert(last.to_owned());
    }
}

fn tokens(text: &str) -> Vec<Token> {
    let (mut tokens, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        if first.is_whitespace() {
            rest = &rest[first.len_utf8()..];
            continue;
        }
        let (token, after) = match first {
            ',' => (Token::Comma, &rest[1..]),
            '"' | '`' | '[' => word(rest),
            c if c.is_alphabetic() || c == '_' => word(rest),
            c => (Token::Other, &rest[c.len_utf8()..]),
        };
        tokens.push(token);
        rest = after;
    }
    tokens
}

/// A name with its qualification: `a.b`, `"A".b`.
fn word(text: &str) -> (Token, &str) {
    let (mut name, mut rest, mut quoted) = (String::new(), text, false);
    loop {
        let (part, after, in_quotes) = part(rest);
        name.push_str(&part);
        quoted |= in_quotes;
        rest = after;
        match rest.strip_prefix('.').filter(|next| next.starts_with(starts_a_part)) {
            Some(next) => {
                name.push('.');
                rest = next;
            }
            None => return (Token::Word(Word { name, quoted, called: rest.starts_with('(') }), rest),
        }
    }
}

fn starts_a_part(c: char) -> bool {
    c.is_alphabetic() || matches!(c, '_' | '"' | '`' | '[')
}

fn part(text: &str) -> (String, &str, bool) {
    let close = match text.chars().next() {
        Some('"') => '"',
        Some('`') => '`',
        Some('[') => ']',
        _ => {
            let end =
                text.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '$'))).unwrap_or(text.len());
            let (name, rest) = text.split_at(end);
            return (name.to_lowercase(), rest, false);
        }
    };
    let inner = &text[1..];
    let end = inner.find(close).unwrap_or(inner.len());
    let (name, rest) = inner.split_at(end);
    (name.to_owned(), rest.strip_prefix(close).unwrap_or(rest), true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn named(sql: &str) -> Vec<String> {
        tables_of(&crate::redact_literals(sql.as_bytes())).into_iter().collect()
    }

    #[test]
    fn tables_of_usual_statements_are_named() {
        for (sql, tables) in [
            ("select * from patients where id = 7", vec!["patients"]),
            (
                "SELECT * FROM Public.Patients p JOIN visits v ON v.p = p.id",
                vec!["patients", "public.patients", "visits"],
            ),
            ("select * from a, b as x, c y where 1 = 1", vec!["a", "b", "c"]),
            ("insert into notes (a, b) values ('from secrets', 2)", vec!["notes"]),
            ("insert into s.notes(a) select f(x) from y", vec!["notes", "s.notes", "y"]),
            ("update only \"Odd Name\" set x = 1", vec!["Odd Name"]),
            ("delete from a using b where a.x = b.x", vec!["a"]),
            ("create table if not exists t (n int)", vec!["t"]),
            ("drop table if exists t, s.u", vec!["s.u", "t", "u"]),
            ("copy t (a) to stdout", vec!["t"]),
            ("copy t from stdin", vec!["t"]),
            ("truncate table x", vec!["x"]),
            ("select 1", vec![]),
            ("select * from generate_series(1, 3) g, t", vec![]),
            ("select extract(year from at) from visits", vec!["at", "visits"]),
            ("with w as (select * from a) select * from w", vec!["a", "w"]),
            ("select * from (select * from inner_one) s", vec!["inner_one"]),
            ("select 'from nowhere' from größe", vec!["größe"]),
        ] {
            assert_eq!(named(sql), tables, "{sql}");
        }
    }

    #[test]
    fn a_statement_names_few_and_short_ones() {
        let many = (0..1000).map(|n| format!("t{n}")).collect::<Vec<_>>().join(", ");
        assert!(named(&format!("select * from {many}").replace(char::is_numeric, "x")).len() <= MOST);
        assert!(named(&format!("select * from {}", "x".repeat(10_000))).is_empty());
    }

    proptest! {
        #[test]
        fn anything_is_read_without_a_panic(text in ".{0,300}") {
            let _ = tables_of(&text);
        }

        #[test]
        fn no_literal_becomes_a_table(secret in "[a-z]{6,12}") {
            let sql = format!("select * from t where a = 'from zq{secret}' and b = $$join zq{secret}$$");
            prop_assert!(named(&sql).iter().all(|name| !name.contains("zq")));
        }
    }
}
