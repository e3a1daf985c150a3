//! What a statement answers with, as far as its words say for certain.

use super::lexer::Token;
use crate::{CopyFormat, CopyOut, Copying, Name};

/// Columns of a `SELECT`'s answer, by position, that are a count or a literal. None where positions are not certain. A
/// plan tells of no row, as long as it calls nothing that is not known.
pub(super) fn constants(tokens: &[Token<'_>], calls_unknown: bool) -> Vec<u16> {
    let Some((first, rest)) = tokens.split_first() else { return Vec::new() };
    if first.is("explain") && !calls_unknown {
        return vec![0];
    }
    if !first.is("select") || !is_alone(rest) {
        return Vec::new();
    }
    let mut depth = 0_usize;
    let end = rest.iter().position(|token| {
        step(token, &mut depth);
        depth == 0 && ENDS.iter().any(|word| token.is(word))
    });
    let list = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
    let mut depth = 0_usize;
    let items: Vec<&[Token<'_>]> = list
        .split(|token| {
            step(token, &mut depth);
            depth == 0 && matches!(token, Token::Sign(b','))
        })
        .collect();
    // A star stands for any number of columns; within parentheses it does not.
    if items.iter().any(|item| item.last().is_some_and(is_star)) {
        return Vec::new();
    }
    let found = items.iter().enumerate().filter(|(_, item)| is_constant(item));
    found.filter_map(|(at, _)| u16::try_from(at).ok()).collect()
}

/// Words behind which a `SELECT`'s list is over.
const ENDS: [&str; 12] = [
    "from", "where", "group", "having", "window", "order", "limit", "offset", "fetch", "for", "into", "union",
];

/// Nothing is joined to it whose columns would come under the same position.
fn is_alone(tokens: &[Token<'_>]) -> bool {
    !tokens.iter().any(|token| ["union", "intersect", "except"].iter().any(|word| token.is(word)))
}

fn step(token: &Token<'_>, depth: &mut usize) {
    match token {
        Token::Sign(b'(' | b'[') => *depth += 1,
        Token::Sign(b')' | b']') => *depth = depth.saturating_sub(1),
        _ => {}
    }
}

fn is_star(token: &Token<'_>) -> bool {
    matches!(token, Token::Operator("*") | Token::Sign(b'*'))
}

/// `count(…)` or a literal, with a name for it or without.
fn is_constant(item: &[Token<'_>]) -> bool {
    let item = match item {
        [Token::Word(schema), Token::Sign(b'.'), call @ ..] if schema == "pg_catalog" => call,
        [Token::Text | Token::Number, name @ ..] => return is_name(name),
        item => item,
    };
    let [Token::Word(count), Token::Sign(b'('), rest @ ..] = item else { return false };
    let mut depth = 1_usize;
    let end = rest.iter().position(|token| {
        step(token, &mut depth);
        depth == 0
    });
    count == "count" && end.and_then(|end| rest.get(end + 1..)).is_some_and(is_name)
}

fn is_name(tokens: &[Token<'_>]) -> bool {
    match tokens {
        [] => true,
        [name] => name.name().is_some(),
        [as_, name] => as_.is("as") && name.name().is_some(),
        _ => false,
    }
}

/// What `COPY … TO STDOUT` sends.
pub(super) fn copy(tokens: &[Token<'_>]) -> Copying {
    let Some((first, rest)) = tokens.split_first() else { return Copying::Nothing };
    if !first.is("copy") {
        return Copying::Nothing;
    }
    let mut depth = 0_usize;
    let direction = rest.iter().position(|token| {
        step(token, &mut depth);
        depth == 0 && (token.is("to") || token.is("from"))
    });
    let Some((what, how)) = direction.and_then(|at| Some((rest.get(..at)?, rest.get(at..)?))) else {
        return Copying::Unclear;
    };
    match how {
        [from, ..] if from.is("from") => Copying::Nothing,
        [_, stdout, options @ ..] if stdout.is("stdout") => {
            let out = source(what).zip(format(options));
            out.map_or(Copying::Unclear, |((table, columns), format)| {
                Copying::Out(CopyOut { table, columns, format })
            })
        }
        // To a file or a program of the server: nothing comes here.
        _ => Copying::Nothing,
    }
}

fn source(tokens: &[Token<'_>]) -> Option<(Option<Name>, Vec<String>)> {
    if let [Token::Sign(b'('), .., Token::Sign(b')')] = tokens {
        return Some((None, Vec::new()));
    }
    let (table, rest) = match tokens {
        [schema, Token::Sign(b'.'), name, rest @ ..] => {
            (Name { schema: Some(schema.name()?.to_owned()), name: name.name()?.to_owned() }, rest)
        }
        [name, rest @ ..] => (Name { schema: None, name: name.name()?.to_owned() }, rest),
        [] => return None,
    };
    let columns = match rest {
        [] => Vec::new(),
        [Token::Sign(b'('), columns @ .., Token::Sign(b')')] => columns
            .split(|token| matches!(token, Token::Sign(b',')))
            .map(|column| match column {
                [name] => name.name().map(str::to_owned),
                _ => None,
            })
            .collect::<Option<_>>()?,
        _ => return None,
    };
    Some((Some(table), columns))
}

/// `WITH (FORMAT csv, HEADER)` or the older `CSV HEADER`; nothing else, for a delimiter of one's own is no delimiter that
/// is looked for.
fn format(tokens: &[Token<'_>]) -> Option<CopyFormat> {
    let tokens = match tokens {
        [with, rest @ ..] if with.is("with") => rest,
        rest => rest,
    };
    let (mut kind, mut header) = ("text", false);
    let mut set = |word: &str, value: Option<&str>| -> Option<()> {
        match (word, value) {
            ("csv", None) | ("format", Some("csv")) => kind = "csv",
            ("binary", None) | ("format", Some("binary")) => kind = "binary",
            ("format", Some("text")) => kind = "text",
            ("header", None | Some("true" | "on")) => header = true,
            ("header", Some("false" | "off")) => header = false,
            _ => return None,
        }
        Some(())
    };
    match tokens {
        [Token::Sign(b'('), options @ .., Token::Sign(b')')] => {
            for option in options.split(|token| matches!(token, Token::Sign(b','))) {
                match option {
                    [word] if !word.is("csv") && !word.is("binary") => set(word.word()?, None)?,
                    [word, value] => set(word.word()?, Some(value.word()?))?,
                    _ => return None,
                }
            }
        }
        words => words.iter().try_for_each(|word| set(word.word()?, None))?,
    }
    match kind {
        "csv" => Some(CopyFormat::Csv { header }),
        "binary" => (!header).then_some(CopyFormat::Binary),
        _ => Some(CopyFormat::Text { header }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::postgres::{Mode, read};

    fn constants_of(text: &str) -> Vec<u16> {
        read(text.as_bytes(), Mode::default()).statements[0].constants.clone()
    }

    fn copy_of(text: &str) -> Copying {
        read(text.as_bytes(), Mode::default()).statements[0].copy.clone()
    }

    #[test]
    fn counts_and_literals_are_known_by_position() {
        for (text, positions) in [
            ("select count(*) from t", &[0][..]),
            (
                "SELECT a, Count(distinct ssn) AS n, 1, 'x' y FROM t WHERE b > (select count(*) from u)",
                &[1, 2, 3],
            ),
            ("select pg_catalog.count(*), max(a) from t", &[0]),
            ("select count(*) || ssn, count(*) + 1, count(*)::text, -1 from t", &[]),
            ("select *, count(*) from t", &[]),
            ("select t.*, 1 from t", &[]),
            ("select 1 from t union select ssn from t", &[]),
            ("select distinct 1, count(*) from t", &[1]),
            ("select count(*) filter (where a), count(*) over () from t", &[]),
            ("select public.count(ssn) from t", &[]),
            ("select \"count\"(ssn) from t", &[]),
            ("with x as (select 1) select 1 from x", &[]),
            ("select (array[1, 2])[1], 7 from t", &[1]),
            ("select a*2, 3 from t", &[1]),
            ("explain (costs off) select a from t", &[0]),
            ("explain select f(a) from t", &[]),
            ("values (1)", &[]),
        ] {
            assert_eq!(constants_of(text), positions, "{text}");
        }
    }

    #[test]
    fn a_copy_is_understood_or_unclear() {
        let out = |table: Option<(&str, &str)>, columns: &[&str], format| {
            let name = |(schema, name): (&str, &str)| Name {
                schema: Some(schema.to_owned()).filter(|schema| !schema.is_empty()),
                name: name.to_owned(),
            };
            let columns = columns.iter().map(|&column| column.to_owned()).collect();
            Copying::Out(CopyOut { table: table.map(name), columns, format })
        };
        let text = CopyFormat::Text { header: false };
        for (statement, copying) in [
            ("copy t to stdout", out(Some(("", "t")), &[], text)),
            ("COPY public.\"T\" (id, \"B c\") TO stdout;", out(Some(("public", "T")), &["id", "B c"], text)),
            (
                "copy (select 'to', a from t) to stdout csv header",
                out(None, &[], CopyFormat::Csv { header: true }),
            ),
            (
                "copy t to stdout with (format csv, header false)",
                out(Some(("", "t")), &[], CopyFormat::Csv { header: false }),
            ),
            ("copy t to stdout (format binary)", out(Some(("", "t")), &[], CopyFormat::Binary)),
            ("copy t to stdout with binary", out(Some(("", "t")), &[], CopyFormat::Binary)),
            ("copy t to stdout (header)", out(Some(("", "t")), &[], CopyFormat::Text { header: true })),
            ("copy t to stdout with (delimiter ';')", Copying::Unclear),
            ("copy t to stdout csv quote 'x'", Copying::Unclear),
            ("copy t to stdout (format 'csv')", Copying::Unclear),
            ("copy t to stdout (encoding 'latin1')", Copying::Unclear),
            ("copy a.b.c to stdout", Copying::Unclear),
            ("copy t from stdin", Copying::Nothing),
            ("copy t to '/tmp/x'", Copying::Nothing),
            ("copy t to program 'x'", Copying::Nothing),
            ("select 1", Copying::Nothing),
        ] {
            assert_eq!(copy_of(statement), copying, "{statement}");
        }
    }
}
