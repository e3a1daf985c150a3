//! What was read of a text.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::{Deserialize, Serialize};

/// What a statement may do, from harmless to worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Only changes the session or its transaction: `BEGIN`, `SET statement_timeout`.
    Session,
    /// Reads rows: `SELECT`, `COPY … TO STDOUT`, `SHOW`.
    Read,
    /// Changes rows, or locks them: `INSERT`, `TRUNCATE`, `SELECT … FOR UPDATE`, `nextval`.
    Write,
    /// Changes what tables, views, functions there are: `CREATE TABLE`, `SELECT … INTO`, `VACUUM`.
    Ddl,
    /// Changes who may do what, or who one is: `GRANT`, `CREATE ROLE`, `SET ROLE`, `ALTER … OWNER TO`.
    Privilege,
    /// Reaches beyond the tables, or runs code that is not in the text: `COPY … PROGRAM`, `DO`, `CALL`, `ALTER SYSTEM`, a
    /// function that is not known, and whatever is not understood.
    Server,
}

impl Class {
    /// All of them, from harmless to worst.
    pub const ALL: [Self; 6] =
        [Self::Session, Self::Read, Self::Write, Self::Ddl, Self::Privilege, Self::Server];

    /// As it is written in rules.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Read => "read",
            Self::Write => "write",
            Self::Ddl => "ddl",
            Self::Privilege => "privilege",
            Self::Server => "server",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name as the server folds it, with its qualification.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// What stands before the last dot, if anything does: of `a.b.c` it is `b`.
    pub schema: Option<String>,
    /// The last part.
    pub name: String,
}

impl Name {
    /// About how many bytes it takes.
    fn size(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.schema.as_ref().map_or(0, String::len)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// What a statement touches, as far as that is certain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Objects {
    /// These tables (also views), and no others.
    Known(BTreeSet<Name>),
    /// It may be anything.
    Unknown,
}

/// A column that a statement may name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Column {
    /// What stands before its dot: a table, or what one is called in the statement.
    pub of: Option<String>,
    /// Its name.
    pub name: String,
}

/// Which columns a statement may touch: of its tables, no others than these.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Columns {
    /// Those that it names. Labels and some words of the grammar may be among them.
    pub named: BTreeSet<Column>,
    /// Tables by what they are called in it; nothing where it may be any of them.
    pub rows: BTreeMap<String, Option<BTreeSet<Name>>>,
    /// It may touch columns that it does not name: `*`, a row as a whole, or it is not known.
    pub whole_rows: bool,
}

impl Columns {
    fn size(&self) -> usize {
        let column = |column: &Column| {
            size_of::<Column>() + column.name.len() + column.of.as_ref().map_or(0, String::len)
        };
        let row = |(called, tables): (&String, &Option<BTreeSet<Name>>)| {
            let tables = tables.iter().flatten().map(Name::size).sum::<usize>();
            size_of::<(String, Option<BTreeSet<Name>>)>() + called.len() + tables
        };
        self.named.iter().map(column).sum::<usize>() + self.rows.iter().map(row).sum::<usize>()
    }

    pub(crate) fn unknown() -> Self {
        Self { whole_rows: true, ..Self::default() }
    }

    /// The tables whose column it may be; nothing: any.
    #[must_use]
    pub fn tables_of(&self, column: &Column) -> Option<&BTreeSet<Name>> {
        self.rows.get(column.of.as_deref()?)?.as_ref()
    }
}

/// One statement of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it may do: at least one class, rather too many than too few.
    pub classes: BTreeSet<Class>,
    /// The words that say so, small letters: `update`, `create`.
    pub verbs: BTreeSet<String>,
    /// The tables that it touches.
    pub tables: Objects,
    /// Every name that stands in it: a table that is touched is among them, or the statement is opaque.
    pub mentions: BTreeSet<Name>,
    /// The columns that it touches.
    pub columns: Columns,
    /// Functions that it calls and that are not known to only compute.
    pub unknown_functions: BTreeSet<Name>,
    /// An `UPDATE` or `DELETE` of it may touch every row: no `WHERE`, or one that names no column.
    pub unbounded: bool,
    /// The parser would find no fewer tables and functions, as far as its words can tell.
    pub is_certain: bool,
    /// It runs code that is not in its text, or is not understood: its mentions say nothing.
    pub is_opaque: bool,
    /// It may let transactions write that were to read only: in words, or by code that is not in its text.
    pub read_write: bool,
    /// Columns of its answer, by position, that are a count or a constant whatever is read.
    pub constants: Vec<u16>,
    /// What it sends by `COPY … TO STDOUT`.
    pub copy: Copying,
    /// In one spelling: words in small letters, one space between tokens, literals as `?`, no comments.
    pub normal: String,
}

/// What a statement sends by `COPY … TO STDOUT`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Copying {
    /// Nothing.
    #[default]
    Nothing,
    /// This.
    Out(CopyOut),
    /// Something, and it is not certain what or how.
    Unclear,
}

/// A `COPY … TO STDOUT` that is understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyOut {
    /// The table; `None`: the answer to a query.
    pub table: Option<Name>,
    /// Its columns in order; none: all.
    pub columns: Vec<String>,
    /// How rows are written.
    pub format: CopyFormat,
}

/// How `COPY` writes rows, with the server's own delimiters and quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFormat {
    /// Columns between tabs, `\N` for NULL.
    Text {
        /// The names come first.
        header: bool,
    },
    /// Columns between commas.
    Csv {
        /// The names come first.
        header: bool,
    },
    /// The protocol's own.
    Binary,
}

impl Statement {
    /// The worst of its classes.
    #[must_use]
    pub fn worst(&self) -> Class {
        self.classes.last().copied().unwrap_or(Class::Server)
    }

    fn size(&self) -> usize {
        let names = |names: &BTreeSet<Name>| names.iter().map(Name::size).sum::<usize>();
        let tables = match &self.tables {
            Objects::Known(tables) => names(tables),
            Objects::Unknown => 0,
        };
        let copied = match &self.copy {
            Copying::Out(out) => out.columns.iter().map(|column| size_of::<String>() + column.len()).sum(),
            _ => 0,
        };
        let words = self.verbs.iter().map(|verb| size_of::<String>() + verb.len()).sum::<usize>();
        let sets = tables + names(&self.mentions) + names(&self.unknown_functions) + words + copied;
        size_of::<Self>() + sets + self.columns.size() + 2 * self.constants.len() + self.normal.len()
    }

    /// It may give a name to something else than what was known by it, for later requests: a prepared statement, a cursor.
    #[must_use]
    pub fn gives_names(&self) -> bool {
        // What is run by `EXECUTE`, or reads on by `FETCH`, may be any of these.
        let says = |verb: &&str| self.verbs.contains(*verb);
        let puts = ["prepare", "declare"].iter().any(says);
        self.is_opaque || !self.unknown_functions.is_empty() || puts || self.answers_with_others()
    }

    /// It answers with what an earlier one has put by: `EXECUTE`, `FETCH`.
    #[must_use]
    pub fn answers_with_others(&self) -> bool {
        ["execute", "fetch", "move"].iter().any(|verb| self.verbs.contains(*verb))
    }

    /// Whatever a rule fears of the other, it fears of this.
    pub(crate) fn says_no_less_than(&self, other: &Self) -> bool {
        let tables = match (&self.tables, &other.tables) {
            (Objects::Unknown, _) => true,
            (Objects::Known(_), Objects::Unknown) => false,
            (Objects::Known(tables), Objects::Known(others)) => others.is_subset(tables),
        };
        tables
            && other.classes.is_subset(&self.classes)
            && other.verbs.is_subset(&self.verbs)
            && other.mentions.is_subset(&self.mentions)
            && other.unknown_functions.is_subset(&self.unknown_functions)
            && (self.unbounded || !other.unbounded)
            && (self.is_opaque || !other.is_opaque)
            && (self.read_write || !other.read_write)
    }

    /// One that may do anything.
    pub(crate) fn of_anything(normal: String) -> Self {
        Self {
            classes: Class::ALL.into(),
            verbs: BTreeSet::new(),
            tables: Objects::Unknown,
            mentions: BTreeSet::new(),
            columns: Columns::unknown(),
            unknown_functions: BTreeSet::new(),
            unbounded: true,
            is_certain: true,
            is_opaque: true,
            read_write: true,
            constants: Vec::new(),
            copy: Copying::Nothing,
            normal,
        }
    }
}

/// What a whole text does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// In order; none if the text is empty but for comments.
    pub statements: Vec<Statement>,
    /// Why it cannot be read, if it cannot. It then holds one statement that may do anything.
    pub unreadable: Option<Unreadable>,
}

impl Reading {
    /// About how many bytes it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.statements.iter().map(Statement::size).sum::<usize>()
    }

    /// Of what is no text: it may do anything.
    #[must_use]
    pub fn of_anything() -> Self {
        Self { statements: vec![Statement::of_anything("?".to_owned())], unreadable: None }
    }

    pub(crate) fn unreadable(why: Unreadable) -> Self {
        Self { statements: vec![Statement::of_anything("?".to_owned())], unreadable: Some(why) }
    }
}

/// Why a text cannot be read. Safe to show: it holds nothing of the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Longer than is read.
    #[error("it is longer than {} KiB", crate::MOST_TEXT >> 10)]
    TooLong,
    /// More tokens than are read.
    #[error("it has more than {} words and signs", crate::MOST_TOKENS)]
    TooMany,
    /// A zero byte.
    #[error("it holds a zero byte")]
    Zero,
    /// Bytes of an encoding that is not read.
    #[error("it is not UTF-8")]
    Encoding,
    /// A string, name or comment without its end.
    #[error("a string, a name or a comment in it has no end")]
    Open,
    /// A way to write names that is not read.
    #[error("it writes names with UESCAPE")]
    Escape,
}
