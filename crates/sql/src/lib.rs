//! What a statement does, read from its text: of which classes it is, which verbs it holds, which tables and functions it
//! names, and whether a `WHERE` bounds it.
//!
//! A reader of SQL that is wrong lets something through, so this one is built to be wrong on one side only:
//!
//! ```text
//!   text ─▶ lexer ─▶ tokens ─┬─▶ classes and verbs    more than there are, never fewer
//!          (own, byte by     ├─▶ mentions             every name that stands anywhere
//!           byte, by the     ├─▶ places, calls        every name that stands where tables or functions do
//!           server's rules)  ├─▶ columns              every name that is not surely something else
//!                            └─▶ own spelling ─▶ parser ─▶ tables, functions, WHERE: exact, or as the words have it
//! ```
//!
//! - A verb counts wherever its word stands as a word, also where it might be a column's name. PostgreSQL has no way to
//!   write a verb that is not such a word, so none is missed.
//! - The parser never sees the client's bytes. It is given each token as we read it, with literals emptied, so that the two
//!   cannot disagree about where a string or a comment ends.
//! - Most texts are decided by their words ([`Text::by_words`]): the tables and functions that they may name are more than
//!   there are, so what may be run by them may be run. The parser is asked where they are too many.
//! - What cannot be read at all is [`Reading::unreadable`]: of every class, and touching anything.
//!
//! What no reader can see: what functions, triggers, views and rules of the database do when they are used. Functions that
//! are not known to only compute count as doing anything ([`Statement::unknown_functions`]); the firm fence is in the
//! database itself.
//!
//! Pure: no I/O, no clock. Linear in the text, up to [`MOST_TEXT`]; what is longer is unreadable.

pub mod postgres;
mod reading;

pub use reading::{
    Class, Column, Columns, CopyFormat, CopyOut, Copying, Name, Objects, Reading, Statement, Unreadable,
};

/// Whose SQL it is, and how it is read just now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL's.
    Postgres(postgres::Mode),
}

/// A text cut into tokens, to be read as far as it needs to be.
#[derive(Debug)]
pub struct Text<'a>(Result<postgres::Text<'a>, Unreadable>);

/// What is asked of the words of a text, besides what rules always ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Its spelling.
    pub spelling: bool,
    /// What it says about its answer: constants, `COPY`.
    pub answer: bool,
    /// Its mentions, also where its tables are known.
    pub mentions: bool,
    /// Its columns.
    pub columns: bool,
}

impl Wanted {
    const ALL: Self = Self { spelling: true, answer: true, mentions: true, columns: true };
}

impl<'a> Text<'a> {
    /// Cuts it.
    #[must_use]
    pub fn new(text: &'a [u8], dialect: Dialect) -> Self {
        match dialect {
            Dialect::Postgres(mode) => Self(postgres::Text::new(text, mode)),
        }
    }

    /// Reads its words, which is quick. Each statement has all classes, tables and functions that it has by [`Self::parsed`],
    /// and may have more. What is not `wanted` is empty or unclear. `None`: the words alone do not say it.
    #[must_use]
    pub fn by_words(&self, wanted: Wanted) -> Option<Reading> {
        match &self.0 {
            Ok(text) => text.by_words(wanted),
            Err(why) => Some(Reading::unreadable(*why)),
        }
    }

    /// Reads all that can be read.
    #[must_use]
    pub fn parsed(&self) -> Reading {
        self.parsed_for(Wanted::ALL)
    }

    /// The same, but what is not `wanted` is empty or unclear.
    #[must_use]
    pub fn parsed_for(&self, wanted: Wanted) -> Reading {
        match &self.0 {
            Ok(text) => text.parsed(wanted),
            Err(why) => Reading::unreadable(*why),
        }
    }
}

/// Reads all that can be read of a text.
#[must_use]
pub fn read(text: &[u8], dialect: Dialect) -> Reading {
    Text::new(text, dialect).parsed()
}

/// For the fuzzer: the first byte says how texts are read. Reading ends, whatever cannot be read may be anything, and the
/// words say no less than the parser.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let Some((flags, text)) = data.split_first() else { return };
    let mode = postgres::Mode { standard_strings: flags & 1 == 0, utf8: flags & 2 == 0 };
    let text = Text::new(text, Dialect::Postgres(mode));
    let parsed = text.parsed();
    let worst = |statement: &Statement| statement.is_opaque && statement.worst() == Class::Server;
    assert!(parsed.unreadable.is_none() || parsed.statements.iter().all(worst));
    assert!(parsed.statements.iter().all(|statement| !statement.classes.is_empty()));
    let Some(words) = text.by_words(Wanted::ALL) else { return };
    assert_eq!(words.statements.len(), parsed.statements.len());
    for (words, parsed) in words.statements.iter().zip(&parsed.statements) {
        assert!(words.says_no_less_than(parsed), "{words:?} {parsed:?}");
        let is_exact = words.is_certain && !words.unbounded;
        assert!(!is_exact || parsed.says_no_less_than(words), "{words:?} {parsed:?}");
    }
}

/// Longest text that is read, bytes.
pub const MOST_TEXT: usize = 1 << 20;
/// Most tokens of one text, and most statements: what has more is unreadable.
pub const MOST_TOKENS: usize = 400_000;
