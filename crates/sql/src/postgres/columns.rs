//! Which columns a query may name, by its words: every name that is not surely something else, and whether all columns of a
//! table may be meant without a name.

use std::collections::BTreeSet;

use super::{
    lexer::Token,
    objects::chain,
    places::{Places, Spot, Words},
};
use crate::{Column, Columns, Name};

/// Words that the server takes for no column's name, but in quotes or behind a dot. Those that it may take are not here.
const RESERVED: [&str; 99] = [
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "binary",
    "both",
    "case",
    "cast",
    "check",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "current_user",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "false",
    "fetch",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "group",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "intersect",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "natural",
    "not",
    "notnull",
    "null",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "outer",
    "overlaps",
    "placing",
    "primary",
    "references",
    "returning",
    "right",
    "select",
    "session_user",
    "similar",
    "some",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "to",
    "trailing",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
];
/// Rows that have a name of their own: in `ON CONFLICT`, and in `RETURNING` from version 18.
const OWN_ROWS: [&str; 3] = ["excluded", "new", "old"];

/// The columns of a statement that a parser of queries reads.
pub(super) fn columns(tokens: &[Token<'_>], places: &Places) -> Columns {
    let words = Words(tokens);
    let mut found = Found { words, is_taken: vec![false; tokens.len()], columns: Columns::default() };
    found.rows(places);
    found.names();
    found.columns.whole_rows |= found.means_whole_rows();
    found.columns
}

/// Words that stand where columns do, and are none.
const NO_COLUMNS: [&str; 2] = ["current_schema", "system_user"];

/// An `UPDATE` or `DELETE`, and nothing else that changes rows, whose `WHERE` begins by comparing a column.
pub(super) fn is_bounded(tokens: &[Token<'_>]) -> bool {
    let words = Words(tokens);
    let changes = |at: &usize| matches!(words.at(*at), "update" | "delete" | "merge" | "truncate");
    if !changes(&0) || (1..tokens.len()).any(|at| changes(&at)) {
        return false;
    }
    let mut depth = 0_usize;
    let condition = tokens.iter().enumerate().position(|(at, token)| {
        match token {
            Token::Sign(b'(') => depth += 1,
            Token::Sign(b')') => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && words.at(at) == "where"
    });
    let Some(at) = condition.map(|condition| condition + 1) else { return false };
    let (word, end) = (words.at(at), chain(tokens, at).map(|(end, _)| end));
    let compares =
        |end| matches!(tokens.get(end), Some(Token::Operator("=" | "<" | ">" | "<=" | ">=" | "<>" | "!=")));
    !is_reserved(word) && !NO_COLUMNS.contains(&word) && end.is_some_and(compares)
}

struct Found<'a, 't> {
    words: Words<'a, 't>,
    /// Tokens that surely name a table, or an alias of one.
    is_taken: Vec<bool>,
    columns: Columns,
}

impl Found<'_, '_> {
    fn take(&mut self, from: usize, end: usize) {
        self.is_taken.iter_mut().take(end).skip(from).for_each(|taken| *taken = true);
    }

    /// A row is called so: one of this table, or of what is not told.
    fn row(&mut self, called: &str, table: Option<&Name>) {
        let tables = self.columns.rows.entry(called.to_owned()).or_insert_with(|| Some(BTreeSet::new()));
        match (table, tables.as_mut()) {
            (Some(table), Some(tables)) => drop(tables.insert(table.clone())),
            _ => *tables = None,
        }
    }

    /// What tables are called.
    fn rows(&mut self, places: &Places) {
        for spot in &places.spots {
            self.take(spot.at, spot.end);
            if let Some(table) = &spot.table {
                self.row(&table.name, Some(table));
                self.alias(self.behind(spot), Some(table));
            } else {
                self.alias(spot.end, None);
            }
            // `INSERT INTO t VALUES (…)` and `COPY t` mean all columns.
            let has_columns = self.words.is_sign(spot.end, b'(') && self.words.is_only_names(spot.end);
            let is_target =
                self.words.before(spot.at, 1) == "into" && self.words.before(spot.at, 2) == "insert";
            let is_copied = self.words.at(0) == "copy" && spot.at <= 2 && !self.words.is_sign(1, b'(');
            self.columns.whole_rows |= (is_target || is_copied) && !has_columns;
        }
        for closed in &places.closed {
            self.alias(closed + 1, None);
        }
    }

    /// Behind `t`, `t *`, `ONLY (t)`.
    fn behind(&self, spot: &Spot) -> usize {
        let is_star = matches!(self.words.0.get(spot.end), Some(Token::Operator("*")));
        let is_enclosed =
            spot.at > 0 && self.words.is_sign(spot.at - 1, b'(') && self.words.is_sign(spot.end, b')');
        spot.end + usize::from(is_star || is_enclosed)
    }

    /// `t AS p`, `t p`, `t p (a, b)`: the last gives columns other names.
    fn alias(&mut self, at: usize, table: Option<&Name>) {
        let at = if self.words.at(at) == "as" { at + 1 } else { at };
        let Some(name) = self.words.0.get(at).and_then(Token::name).map(str::to_owned) else { return };
        if is_reserved(self.words.at(at)) {
            return;
        }
        // `UPDATE t SET a`: a word that may be an alias, and is none, is no column either.
        self.take(at, at + 1);
        self.row(&name, table);
        self.columns.whole_rows |= self.words.is_sign(at + 1, b'(');
    }

    fn names(&mut self) {
        for at in 0..self.words.0.len() {
            let Some(name) = self.words.0.get(at).and_then(Token::name) else { continue };
            let behind_dot = at > 0 && self.words.is_sign(at - 1, b'.');
            if self.is_taken.get(at) == Some(&true) || (!behind_dot && self.is_no_column(at)) {
                continue;
            }
            // Of `p.name`, `p` is a table; of `(p).name` it is looked at by itself.
            let qualifies = self.words.is_sign(at + 1, b'.')
                && self.words.0.get(at + 2).is_some_and(|next| next.name().is_some());
            if qualifies {
                continue;
            }
            // `schema.function(…)`
            if behind_dot && self.words.is_sign(at + 1, b'(') {
                continue;
            }
            let qualifier = if behind_dot {
                at.checked_sub(2).and_then(|at| self.words.0.get(at)).and_then(Token::name)
            } else {
                None
            };
            self.columns.named.insert(Column { of: qualifier.map(str::to_owned), name: name.to_owned() });
        }
        let rows = &self.columns.rows;
        let is_row = |name: &str| rows.contains_key(name) || OWN_ROWS.contains(&name);
        self.columns.whole_rows |= self.columns.named.iter().any(|column| is_row(&column.name));
    }

    /// What stands here is surely something else.
    fn is_no_column(&self, at: usize) -> bool {
        let (words, word) = (self.words, self.words.at(at));
        let (before, next) = (words.before(at, 1), words.at(at + 1));
        at == 0
            || is_reserved(word)
            // A label, an alias, a type.
            || before == "as"
            || (words.is_sign(at.wrapping_sub(1), b':') && words.is_sign(at.wrapping_sub(2), b':'))
            // A call, a typed literal, what a `WITH` or `WINDOW` gives.
            || words.is_sign(at + 1, b'(')
            || matches!(words.0.get(at + 1), Some(Token::Text | Token::Number | Token::Parameter))
            || (next == "as" && words.is_sign(at + 2, b'('))
            || matches!((before, word), ("group" | "order", "by") | ("do", _))
            || (before == "then" && word == "update" && next == "set")
            || (word == "partition" && next == "by" && words.is_sign(at.wrapping_sub(1), b'('))
            || (word == "by" && before == "partition" && words.is_sign(at.wrapping_sub(2), b'('))
            // `UPDATE t p SET`; `SET` itself may have been taken for an alias.
            || (word == "set" && (before == "update" || (before != "set" && self.is_taken.get(at.wrapping_sub(1)) == Some(&true))))
            // `extract(year FROM a)`
            || (next == "from" && words.is_sign(at.wrapping_sub(1), b'(') && words.before(at, 2) == "extract")
    }

    /// `*`, `t.*`, `TABLE t`, `NATURAL JOIN`, a `MERGE` that inserts without saying into which columns.
    fn means_whole_rows(&self) -> bool {
        let words = self.words;
        (0..words.0.len()).any(|at| match words.0.get(at) {
            Some(Token::Operator("*")) => !(self.multiplies(at) || self.counts(at)),
            Some(Token::Operator(_)) => words.is_sign(at.wrapping_sub(1), b'.'),
            Some(Token::Word(_)) => match words.at(at) {
                "table" | "natural" => true,
                "insert" => matches!(words.at(at + 1), "values" | "default" | "overriding"),
                _ => false,
            },
            _ => false,
        })
    }

    /// `count(*)`
    fn counts(&self, at: usize) -> bool {
        self.words.is_sign(at.wrapping_sub(1), b'(') && self.words.is_sign(at + 1, b')')
    }

    /// Something stands before it that has a value, and behind it.
    fn multiplies(&self, at: usize) -> bool {
        let is_value = |at: usize| match self.words.0.get(at) {
            Some(Token::Word(_)) => !is_reserved(self.words.at(at)),
            Some(Token::Quoted(_) | Token::Text | Token::Number | Token::Parameter) => true,
            _ => false,
        };
        let before = at
            .checked_sub(1)
            .is_some_and(|at| is_value(at) || self.words.is_sign(at, b')') || self.words.is_sign(at, b']'));
        before && (is_value(at + 1) || self.words.is_sign(at + 1, b'('))
    }
}

pub(super) fn is_reserved(word: &str) -> bool {
    RESERVED.binary_search(&word).is_ok()
}
