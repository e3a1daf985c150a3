//! What a statement does, read from its text: of which classes it is, which verbs it holds, which tables and functions it
//! names, and whether a `WHERE` bounds it.
//!
//! A reader of SQL that is wrong lets something through, so this one is built to be wrong on one side only:
//!
//! ```text
//!   text ─▶ lexer ─▶ tokens ─┬─▶ classes and verbs    more than there are, never fewer
//!          (own, byte by     ├─▶ mentions             every name that stands anywhere
//!           byte, by the     └─▶ own spelling ─▶ parser ─▶ tables, functions, WHERE: exact, or unknown
//!           server's rules)
//! ```
//!
//! - A verb counts wherever its word stands as a word, also where it might be a column's name. PostgreSQL has no way to
//!   write a verb that is not such a word, so none is missed.
//! - The parser never sees the client's bytes. It is given each token as we read it, with literals emptied, so that the two
//!   cannot disagree about where a string or a comment ends.
//! - What cannot be read at all is [`Reading::unreadable`]: of every class, and touching anything.
//!
//! What no reader can see: what functions, triggers, views and rules of the database do when they are used. Functions that
//! are not known to only compute count as doing anything ([`Statement::unknown_functions`]); the firm fence is in the
//! database itself.
//!
//! Pure: no I/O, no clock. Linear in the text, up to [`MOST_TEXT`]; what is longer is unreadable.

pub mod postgres;
mod reading;

pub use reading::{Class, CopyFormat, CopyOut, Copying, Name, Objects, Reading, Statement, Unreadable};

/// Whose SQL it is, and how it is read just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL's.
    Postgres(postgres::Mode),
}

/// For the fuzzer: the first byte says how texts are read. Reading ends, and whatever cannot be read may be anything.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let Some((flags, text)) = data.split_first() else { return };
    let mode = postgres::Mode { standard_strings: flags & 1 == 0, utf8: flags & 2 == 0 };
    let reading = postgres::read(text, mode);
    let worst = |statement: &Statement| statement.is_opaque && statement.worst() == Class::Server;
    assert!(reading.unreadable.is_none() || reading.statements.iter().all(worst));
    assert!(reading.statements.iter().all(|statement| !statement.classes.is_empty()));
}

/// Reads a text.
#[must_use]
pub fn read(text: &[u8], dialect: Dialect) -> Reading {
    match dialect {
        Dialect::Postgres(mode) => postgres::read(text, mode),
    }
}

/// Longest text that is read, bytes.
pub const MOST_TEXT: usize = 1 << 20;
/// Most tokens of one text, and most statements: what has more is unreadable.
pub const MOST_TOKENS: usize = 400_000;
