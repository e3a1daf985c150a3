//! PostgreSQL's dialect, 12 to 18.

mod answer;
mod classes;
mod lexer;
mod objects;
mod spelling;

use std::collections::BTreeSet;

use classes::Runs;
use lexer::Token;

use crate::{Class, Objects, Reading, Statement};

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

/// Reads a text.
#[must_use]
pub fn read(text: &[u8], mode: Mode) -> Reading {
    match lexer::tokens(text, mode) {
        Ok(tokens) => Reading { statements: split(&tokens).map(statement).collect(), unreadable: None },
        Err(why) => Reading::unreadable(why),
    }
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

fn statement(tokens: &[Token<'_>]) -> Statement {
    let classes::Verdict { mut classes, verbs, runs } = classes::of(tokens);
    let changes_rows = ["update", "delete", "merge", "truncate"].iter().any(|verb| verbs.contains(*verb));
    let (tables, unknown_functions, unbounded) = match runs {
        Runs::Nothing => (Objects::Known(BTreeSet::new()), BTreeSet::new(), false),
        Runs::ACommand => (Objects::Unknown, BTreeSet::new(), changes_rows),
        Runs::Anything => (Objects::Unknown, BTreeSet::new(), true),
        Runs::AQuery => match objects::parse(&spelling::for_the_parser(tokens), &objects::places(tokens)) {
            Some(found) => (Objects::Known(found.tables), found.unknown_functions, found.unbounded),
            None => (Objects::Unknown, objects::called(tokens), changes_rows),
        },
    };
    if !unknown_functions.is_empty() {
        classes.insert(Class::Server);
    }
    let (normal, mentions) = (spelling::normal(tokens), objects::mentions(tokens));
    Statement {
        constants: answer::constants(tokens, !unknown_functions.is_empty()),
        classes,
        verbs,
        tables,
        mentions,
        unknown_functions,
        unbounded,
        is_opaque: runs == Runs::Anything,
        copy: answer::copy(tokens),
        normal,
    }
}
