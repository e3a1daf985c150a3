//! Where tables may stand in a query, by its words alone: more names than there are tables, never fewer.
//!
//! In PostgreSQL's grammar a table stands behind `FROM`, `JOIN`, `USING`, `INTO`, `UPDATE`, `TABLE`, `ONLY`, or behind a comma
//! of a list that `FROM` or `USING` began, and nowhere else. Such a list ends at words that the server takes for nothing else
//! (they are reserved); where it is not certain that it ends, it goes on. A name before a parenthesis is called.

use std::{collections::BTreeSet, ops::Range};

use super::{columns, lexer::Token, objects::chain};
use crate::Name;

/// Words that end a list of tables wherever they stand in it.
const ENDS: [&str; 11] = [
    "where",
    "having",
    "window",
    "limit",
    "offset",
    "fetch",
    "union",
    "intersect",
    "except",
    "returning",
    "do",
];
/// Calls that have a `FROM` of their own.
const WITH_FROM: [&str; 5] = ["extract", "substring", "trim", "overlay", "position"];
/// Between `INTO` and the table that it makes. They are names, too.
const KINDS: [&str; 5] = ["temp", "temporary", "unlogged", "local", "global"];

/// Names of a `WITH` that are looked at.
const MOST_GIVEN: usize = 32;

/// Where tables stand, or may.
#[derive(Debug, Default)]
pub(super) struct Places {
    pub(super) spots: Vec<Spot>,
    /// Parentheses that close what stands where a table does: a query, a join.
    pub(super) closed: Vec<usize>,
    /// What calls nothing where a `WITH` gives names.
    given: Vec<usize>,
    /// What each `WITH` gives is known.
    is_certain: bool,
}

/// A name where a table stands: its tokens, and what it is called, unless a `WITH` gave the name.
#[derive(Debug)]
pub(super) struct Spot {
    pub(super) at: usize,
    pub(super) end: usize,
    pub(super) table: Option<Name>,
    /// What stands behind it may be what it is called.
    has_alias: bool,
}

impl Places {
    /// The names that stand where tables do, of a statement that a parser of queries reads.
    pub(super) fn of(tokens: &[Token<'_>]) -> Self {
        let words = Words(tokens);
        if words.at(0) == "copy" && !words.is_sign(1, b'(') {
            let at = if words.at(1) == "binary" { 2 } else { 1 };
            let spot = |(end, name)| Spot { at, end, table: Some(name), has_alias: false };
            return Self { spots: chain(tokens, at).map(spot).into_iter().collect(), ..Self::default() };
        }
        let (given, is_certain) = given(words);
        let places = Self {
            given: given.iter().flat_map(|given| given.uncalled).collect(),
            is_certain,
            ..Self::default()
        };
        let (levels, level) = (Vec::new(), Level::default());
        let mut scan = Scan { words, given, places, levels, level };
        let (mut at, mut expects) = (0, Expects::Nothing);
        while at < tokens.len() {
            (at, expects) = scan.step(at, expects);
        }
        scan.places
    }

    pub(super) fn tables(&self) -> BTreeSet<Name> {
        self.spots.iter().filter_map(|spot| spot.table.clone()).collect()
    }

    /// No name is among the tables that a `WITH` may have given.
    pub(super) const fn are_certain(&self) -> bool {
        self.is_certain
    }

    /// Names that may stand before a parenthesis and call nothing, in order: what a `WITH` gives, and what tables are called.
    pub(super) fn uncalled(&self, tokens: &[Token<'_>]) -> Vec<usize> {
        let words = Words(tokens);
        let alias = |at: usize| if words.at(at) == "as" { at + 1 } else { at };
        let aliases = self
            .spots
            .iter()
            .filter(|spot| spot.has_alias)
            .map(|spot| spot.end)
            .chain(self.closed.iter().map(|closed| closed + 1));
        let mut uncalled: Vec<usize> = self.given.iter().copied().chain(aliases.map(alias)).collect();
        uncalled.sort_unstable();
        uncalled
    }
}

/// A name that a `WITH` gives to a query, and the tokens between which what is read by it is no table: from behind that query,
/// or from the `WITH` if it is `RECURSIVE`, to the end of the statement, or of the parentheses that the `WITH` leads.
struct Given {
    /// The name, and what stands before its query: `MATERIALIZED`.
    uncalled: [usize; 2],
    name: String,
    scope: Range<usize>,
}

/// The first such names, and whether they are all. Those beyond are left to the parser.
fn given(words: Words<'_, '_>) -> (Vec<Given>, bool) {
    let (mut all, mut certain, mut depth) = (Vec::new(), true, 0_usize);
    let (mut leading, mut others) = (Vec::new(), Vec::new());
    let within = words.query_within();
    let leads_none = |at: usize| matches!(words.at(at + 1), "time" | "ordinality" | "ties");
    for (at, token) in words.0.iter().enumerate() {
        match token {
            Token::Sign(b'(') => depth += 1,
            Token::Sign(b')') => depth = depth.saturating_sub(1),
            _ if words.at(at) != "with" || leads_none(at) => {}
            _ if at == 0 || words.is_sign(at - 1, b'(') => leading.push((at, depth)),
            _ if within == Some(at) => leading.push((at, depth)),
            _ => others.push(at),
        }
    }
    for &(at, depth) in leading.iter().take(MOST_GIVEN) {
        let end = if depth == 0 { words.0.len() } else { words.behind(at - 1) };
        certain &= give(words, at + 1, end, &mut all).is_some();
    }
    (all, certain && leading.len() <= MOST_GIVEN && others.is_empty())
}

/// Nothing where the list is not read to its end.
fn give(words: Words<'_, '_>, from: usize, end: usize, all: &mut Vec<Given>) -> Option<()> {
    // `WITH recursive AS (…)` gives that name.
    let is_recursive =
        words.at(from) == "recursive" && words.at(from + 1) != "as" && !words.is_sign(from + 1, b'(');
    let mut at = if is_recursive { from + 1 } else { from };
    loop {
        let (begin, name) = (at, words.0.get(at).and_then(Token::name)?);
        at += 1;
        if all.len() >= MOST_GIVEN {
            return None;
        }
        if words.is_sign(at, b'(') {
            at = words.behind(at);
        }
        if words.at(at) != "as" {
            return None;
        }
        at += 1;
        while matches!(words.at(at), "not" | "materialized") {
            at += 1;
        }
        if !words.is_sign(at, b'(') {
            return None;
        }
        let uncalled = [begin, at - 1];
        at = words.behind(at);
        all.push(Given { uncalled, name: name.to_owned(), scope: if is_recursive { from } else { at }..end });
        if !words.is_sign(at, b',') {
            const QUERIES: [&str; 7] = ["select", "insert", "update", "delete", "merge", "values", "table"];
            return (QUERIES.contains(&words.at(at)) || words.is_sign(at, b'(')).then_some(());
        }
        at += 1;
    }
}

/// What may stand at a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expects {
    Nothing,
    /// A table, a call, or a parenthesis with a join or a query in it.
    Table,
    /// A table, with columns in parentheses behind it.
    Target,
    /// A table, also one in parentheses.
    Only,
}

/// Between two parentheses.
#[derive(Clone, Copy, Default)]
struct Level {
    /// A table may stand behind a comma.
    is_list: bool,
    /// Its `FROM` is that of a call.
    has_own_from: bool,
    /// It opened where a table may stand.
    is_table: bool,
}

/// The tokens, as words.
#[derive(Clone, Copy)]
pub(super) struct Words<'a, 't>(pub(super) &'t [Token<'a>]);

impl<'t> Words<'_, 't> {
    /// The word there, if it may be a keyword: what stands behind a dot is a name.
    pub(super) fn at(&self, at: usize) -> &'t str {
        let before = at.checked_sub(1).and_then(|at| self.0.get(at));
        let word = self.0.get(at).and_then(Token::word).unwrap_or("");
        if matches!(before, Some(Token::Sign(b'.'))) { "" } else { word }
    }

    pub(super) fn before(&self, at: usize, back: usize) -> &'t str {
        at.checked_sub(back).map_or("", |at| self.at(at))
    }

    pub(super) fn is_sign(&self, at: usize, sign: u8) -> bool {
        matches!(self.0.get(at), Some(Token::Sign(found)) if *found == sign)
    }

    /// Where the query begins that stands within `EXPLAIN`, `INSERT INTO t`, `PREPARE p AS`, `CREATE TABLE t AS` or `DECLARE c CURSOR
    /// FOR`. Elsewhere a `WITH` leads nothing: `SELECT 1 AS with` names a column.
    fn query_within(&self) -> Option<usize> {
        let behind_list = |at: usize| if self.is_sign(at, b'(') { self.behind(at) } else { at };
        let behind_as = |at: usize| (self.at(at) == "as").then_some(at + 1);
        match self.at(0) {
            "explain" if self.is_sign(1, b'(') => Some(self.behind(1)),
            "explain" => (1..).find(|at| !matches!(self.at(*at), "analyze" | "analyse" | "verbose")),
            "insert" => {
                let (mut at, _) = chain(self.0, 2)?;
                if self.at(at) == "as" {
                    at += 2;
                }
                at = behind_list(at);
                Some(if self.at(at) == "overriding" { at + 3 } else { at })
            }
            "prepare" => behind_as(behind_list(2)),
            "create" => behind_as(chain(self.0, self.made_table()?)?.0),
            "declare" => self.0.iter().position(|token| token.is("for")).map(|at| at + 1),
            _ => None,
        }
    }

    /// Where the name stands that `CREATE TABLE` gives.
    pub(super) fn made_table(&self) -> Option<usize> {
        let kind = if matches!(self.at(1), "temp" | "temporary" | "unlogged") { 2 } else { 1 };
        let name = if self.if_not_exists(kind + 1) { kind + 4 } else { kind + 1 };
        (self.at(0) == "create" && self.at(kind) == "table").then_some(name)
    }

    /// `CREATE TABLE IF NOT EXISTS t`.
    fn if_not_exists(&self, at: usize) -> bool {
        self.at(at) == "if" && self.at(at + 1) == "not" && self.at(at + 2) == "exists"
    }

    /// `a IS DISTINCT FROM b`.
    fn compares(&self, from: usize) -> bool {
        self.before(from, 1) == "distinct"
            && (self.before(from, 2) == "is"
                || (self.before(from, 2) == "not" && self.before(from, 3) == "is"))
    }

    /// `trim(both FROM a)`: but `INSERT INTO trim (SELECT …)`.
    fn opens_own_from(&self, open: usize) -> bool {
        WITH_FROM.contains(&self.before(open, 1))
            && self.before(open, 2) != "into"
            && !matches!(self.at(open + 1), "select" | "with")
    }

    /// `FOR UPDATE`, `ON CONFLICT … DO UPDATE`, `WHEN MATCHED THEN UPDATE SET`: no table stands behind it.
    fn names_no_table(&self, update: usize) -> bool {
        match self.before(update, 1) {
            "for" | "do" | "then" => true,
            "key" => self.before(update, 2) == "no",
            _ => false,
        }
    }

    /// Behind the parenthesis that closes the one that opens here.
    fn behind(&self, open: usize) -> usize {
        let mut depth = 0_usize;
        let end = self.0.iter().skip(open).position(|token| {
            match token {
                Token::Sign(b'(') => depth += 1,
                Token::Sign(b')') => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        end.map_or(self.0.len(), |end| open + end + 1)
    }

    /// `(a, b)`: of tables, none stands alone in parentheses.
    pub(super) fn is_only_names(&self, open: usize) -> bool {
        self.behind_names(open).is_some()
    }

    /// Behind the parenthesis that closes `(a, b)`.
    pub(super) fn behind_names(&self, open: usize) -> Option<usize> {
        let mut at = open + 1;
        while self.0.get(at).is_some_and(|token| token.name().is_some()) {
            match self.0.get(at + 1) {
                Some(Token::Sign(b',')) => at += 2,
                Some(Token::Sign(b')')) => return Some(at + 2),
                _ => return None,
            }
        }
        None
    }
}

struct Scan<'a, 't> {
    words: Words<'a, 't>,
    given: Vec<Given>,
    places: Places,
    levels: Vec<Level>,
    level: Level,
}

impl Scan<'_, '_> {
    /// The next token, and what may stand there.
    fn step(&mut self, at: usize, expects: Expects) -> (usize, Expects) {
        match self.words.0.get(at) {
            Some(Token::Sign(b'(')) => {
                let inside = match expects {
                    Expects::Table if !self.words.is_only_names(at) => Expects::Table,
                    Expects::Only => Expects::Only,
                    _ => Expects::Nothing,
                };
                self.open(self.words.opens_own_from(at), inside != Expects::Nothing);
                return (at + 1, inside);
            }
            Some(Token::Sign(b'[')) => self.open(false, false),
            Some(Token::Sign(b')' | b']')) => {
                if self.level.is_table {
                    self.places.closed.push(at);
                }
                self.level = self.levels.pop().unwrap_or_default();
            }
            Some(Token::Sign(b',')) if self.level.is_list => return (at + 1, Expects::Table),
            Some(Token::Word(_) | Token::Quoted(_)) => return self.word(at, expects),
            _ => {}
        }
        (at + 1, Expects::Nothing)
    }

    fn open(&mut self, has_own_from: bool, is_table: bool) {
        self.levels.push(self.level);
        self.level = Level { is_list: false, has_own_from, is_table };
    }

    fn word(&mut self, at: usize, expects: Expects) -> (usize, Expects) {
        let (word, next) = (self.words.at(at), self.words.at(at + 1));
        match word {
            "from" if self.level.has_own_from || self.words.compares(at) => (at + 1, Expects::Nothing),
            "from" if self.words.before(at, 1) == "delete" => {
                self.level.is_list = true;
                (at + 1, Expects::Target)
            }
            "from" | "using" => {
                self.level.is_list = true;
                (at + 1, Expects::Table)
            }
            "join" => (at + 1, Expects::Table),
            "lateral" => (at + 1, expects),
            "select" | "with" => (at + 1, Expects::Nothing),
            "rows" if next == "from" => (at + 1, Expects::Nothing),
            "only" => (at + 1, Expects::Only),
            "into" | "table" => (at + 1, Expects::Target),
            "group" | "order" if next == "by" => self.end(at),
            // `COLLATION FOR (…)` ends nothing.
            "for" if matches!(next, "update" | "no" | "share" | "key" | "read") => self.end(at),
            "set" if self.words.before(at, 1) == "update" && self.words.before(at, 2) == "then" => {
                self.end(at)
            }
            _ if ENDS.contains(&word) => self.end(at),
            _ => self.name(at, word, expects),
        }
    }

    fn end(&mut self, at: usize) -> (usize, Expects) {
        self.level.is_list = false;
        (at + 1, Expects::Nothing)
    }

    fn name(&mut self, at: usize, word: &str, expects: Expects) -> (usize, Expects) {
        if expects == Expects::Target && self.words.if_not_exists(at) {
            return (at + 3, expects);
        }
        let Some((end, name)) = chain(self.words.0, at) else { return (at + 1, Expects::Nothing) };
        let is_called = self.words.is_sign(end, b'(') && expects != Expects::Target;
        let is_given = name.schema.is_none()
            && self.given.iter().any(|given| given.scope.contains(&at) && given.name == name.name);
        // `TABLE w` means what a `WITH` gave, `INSERT INTO w` does not.
        self.places.is_certain &= !is_given || matches!(expects, Expects::Nothing | Expects::Table);
        let is_given = is_given && expects == Expects::Table;
        if expects != Expects::Nothing && !is_called {
            // Where a list only seems to go on, an expression stands: `… AS from, CASE f() …`.
            let is_table = end > at + 1 || !columns::is_reserved(word);
            let sets = expects == Expects::Target && self.words.at(end) == "set";
            let has_alias = is_table && (expects == Expects::Table || sets);
            self.places.spots.push(Spot { at, end, table: Some(name).filter(|_| !is_given), has_alias });
        }
        let next = match word {
            "update" if end == at + 1 && !self.words.names_no_table(at) => Expects::Target,
            _ if expects == Expects::Target && end == at + 1 && KINDS.contains(&word) => Expects::Target,
            _ => Expects::Nothing,
        };
        (end, next)
    }
}
