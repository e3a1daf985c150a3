//! PostgreSQL's dialect, 12 to 18.

mod answer;
mod classes;
mod columns;
mod lexer;
mod objects;
mod places;
mod spelling;

use std::collections::BTreeSet;

use classes::{Runs, Verdict};
use lexer::Token;
use places::Places;

use crate::{Class, Columns, Copying, Dialect, Name, Objects, Reading, Statement, Unreadable, Wanted};

/// What the session has set that changes how a text is read. The server reports both (`ParameterStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mode {
    /// `standard_conforming_strings`: a backslash in `'…'` is a backslash.
    pub standard_strings: bool,
    /// `client_encoding` is UTF-8: only then is anything but ASCII read.
    pub utf8: bool,
}

impl Default for Mode {
    fn default() -> Self {
        Self { standard_strings: true, utf8: true }
    }
}

/// Whether a start-up setting of this name and value changes the session alone, and not how texts are read or who one is.
#[must_use]
pub fn is_harmless_setting(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    match name.as_str() {
        // `-c name=value`, and nothing more artful.
        "options" => {
            let words = value.split_ascii_whitespace().map(|word| word.strip_prefix("-c").unwrap_or(word));
            !value.contains('\\')
                && words.filter(|word| !word.is_empty()).all(|word| {
                    let word = word.strip_prefix("--").unwrap_or(word);
                    word.split_once('=')
                        .is_some_and(|(name, value)| name != "options" && is_harmless_setting(name, value))
                })
        }
        "client_encoding" => ["utf8", "utf-8", "unicode"].iter().any(|same| value.eq_ignore_ascii_case(same)),
        "search_path" => !value.to_ascii_lowercase().contains("pg_catalog"),
        name => classes::is_harmless(&name.replace('-', "_")),
    }
}

/// A text cut into tokens, to be read as far as it is asked.
#[derive(Debug)]
pub(crate) struct Text<'a>(Vec<Token<'a>>);

impl<'a> Text<'a> {
    pub(crate) fn new(text: &'a [u8], mode: Mode) -> Result<Self, Unreadable> {
        lexer::tokens(text, mode).map(Self)
    }

    /// By its words alone.
    pub(crate) fn by_words(&self, wanted: Wanted) -> Option<Reading> {
        let statements =
            split(&self.0).map(|tokens| statement(tokens, wanted, by_words)).collect::<Option<_>>()?;
        Some(Reading { statements, unreadable: None })
    }

    /// With the parser.
    pub(crate) fn parsed(&self, wanted: Wanted) -> Reading {
        let query =
            |tokens: &[Token<'_>], verdict: &Verdict, places: &Places| Some(parsed(tokens, verdict, places));
        let read = |tokens| statement(tokens, wanted, query);
        Reading { statements: split(&self.0).filter_map(read).collect(), unreadable: None }
    }
}

/// Reads a text.
#[must_use]
pub fn read(text: &[u8], mode: Mode) -> Reading {
    crate::read(text, Dialect::Postgres(mode))
}

/// The statements between semicolons that stand in no parentheses. Of `BEGIN ATOMIC … END` each part is one.
fn split<'a, 't>(tokens: &'t [Token<'a>]) -> impl Iterator<Item = &'t [Token<'a>]> {
    let mut depth = 0_usize;
    let ends = move |token: &Token<'_>| {
        match token {
            Token::Sign(b'(') => depth += 1,
            Token::Sign(b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && matches!(token, Token::Sign(b';'))
    };
    tokens.split(ends).filter(|tokens| !tokens.is_empty())
}

/// What a statement touches.
struct Touched {
    tables: Objects,
    unknown_functions: BTreeSet<Name>,
    unbounded: bool,
    is_certain: bool,
}

impl Touched {
    fn is_within(&self, other: &Self) -> bool {
        let (Objects::Known(tables), Objects::Known(others)) = (&self.tables, &other.tables) else {
            return false;
        };
        tables.is_subset(others) && self.unknown_functions.is_subset(&other.unknown_functions)
    }
}

/// Whatever the parser would say of a query, it is no more than this. Nothing where the words do not say it.
fn by_words(tokens: &[Token<'_>], verdict: &Verdict, places: &Places) -> Option<Touched> {
    if verdict.makes_tables() && !says_what_it_makes(tokens, verdict) {
        return None;
    }
    let called = objects::called(tokens, places);
    Some(Touched {
        tables: Objects::Known(places.tables()),
        unknown_functions: called.unknown,
        is_certain: called.is_certain && places.are_certain(),
        unbounded: verdict.changes_rows() && !columns::is_bounded(tokens),
    })
}

/// `CREATE TABLE t AS` and a query, or `SELECT … INTO t`. Other forms name tables at places of their own (`LIKE`, `INHERITS`,
/// `REFERENCES`), and `EXECUTE` runs what was prepared before.
fn says_what_it_makes(tokens: &[Token<'_>], verdict: &Verdict) -> bool {
    let words = places::Words(tokens);
    let is_filled = |behind: usize| {
        words.at(behind) == "as" && matches!(words.at(behind + 1), "select" | "values" | "with")
    };
    let is_made = match words.at(0) {
        "select" | "with" => true,
        _ => words
            .made_table()
            .and_then(|name| objects::chain(tokens, name))
            .is_some_and(|(end, _)| is_filled(end)),
    };
    is_made && !verdict.runs_others()
}

/// What the parser does not understand is what its words say, or anything.
fn parsed(tokens: &[Token<'_>], verdict: &Verdict, places: &Places) -> Touched {
    let found = objects::parse(&spelling::for_the_parser(tokens), &places.tables());
    let found = found.map(|found| Touched {
        tables: Objects::Known(found.tables),
        unknown_functions: found.unknown_functions,
        unbounded: found.unbounded,
        is_certain: true,
    });
    match (found, by_words(tokens, verdict, places)) {
        // It takes names where the server's grammar has none: `FROM from`.
        (Some(found), Some(words)) if !found.is_within(&words) => words,
        (Some(found), _) => found,
        (None, Some(words)) => words,
        (None, None) => Touched {
            tables: Objects::Unknown,
            unknown_functions: objects::called(tokens, places).unknown,
            unbounded: verdict.changes_rows(),
            is_certain: false,
        },
    }
}

fn statement(
    tokens: &[Token<'_>],
    wanted: Wanted,
    query: impl Fn(&[Token<'_>], &Verdict, &Places) -> Option<Touched>,
) -> Option<Statement> {
    let verdict = classes::of(tokens);
    let of = |tables, unbounded| Touched {
        tables,
        unknown_functions: BTreeSet::new(),
        unbounded,
        is_certain: true,
    };
    let mut columns = Columns::unknown();
    let Touched { tables, unknown_functions, unbounded, is_certain } = match verdict.runs {
        Runs::Nothing => {
            columns = Columns::default();
            of(Objects::Known(BTreeSet::new()), false)
        }
        Runs::ACommand => of(Objects::Unknown, verdict.changes_rows()),
        Runs::Anything => of(Objects::Unknown, true),
        Runs::AQuery => {
            let places = Places::of(tokens);
            if wanted.columns && !verdict.makes_tables() {
                columns = columns::columns(tokens, &places);
            }
            query(tokens, &verdict, &places)?
        }
    };
    let Verdict { mut classes, verbs, runs } = verdict;
    let reaches_beyond = runs == Runs::Anything || classes.contains(&Class::Server);
    if !unknown_functions.is_empty() {
        classes.insert(Class::Server);
    }
    let calls_unknown = !unknown_functions.is_empty();
    let (spelling, answer) = (wanted.spelling, wanted.answer);
    let mentions = wanted.mentions || tables == Objects::Unknown;
    Some(Statement {
        constants: if answer { answer::constants(tokens, calls_unknown) } else { Vec::new() },
        classes,
        verbs,
        tables,
        columns,
        mentions: if mentions { objects::mentions(tokens) } else { BTreeSet::new() },
        unknown_functions,
        unbounded,
        is_certain,
        is_opaque: runs == Runs::Anything,
        read_write: reaches_beyond || calls_unknown || classes::says_read_write(tokens),
        copy: if answer { answer::copy(tokens) } else { Copying::Unclear },
        normal: if spelling { spelling::normal(tokens) } else { String::new() },
    })
}
