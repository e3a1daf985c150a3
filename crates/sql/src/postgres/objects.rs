//! Which tables and functions a statement names: from its tokens, too many; from the parser, exactly or not at all.

use std::{
    collections::{BTreeSet, HashSet},
    ops::ControlFlow,
    sync::LazyLock,
};

use sqlparser::{
    ast::{
        CopySource, Expr, FromTable, Ident, ObjectName, Query, Statement as Parsed, TableFactor, TableObject,
        Visit as _, Visitor, visit_expressions,
    },
    dialect::PostgreSqlDialect,
    parser::Parser,
};

use super::{
    lexer::Token,
    places::{Places, Words},
};
use crate::Name;

/// Functions of PostgreSQL itself that are not volatile, or are and do no more than compute: `pg_proc` of version 15 says so,
/// which a test holds this list against.
static STABLE: LazyLock<HashSet<&'static str>> =
    LazyLock::new(|| include_str!("stable.txt").lines().chain(HARMLESS).collect());

/// Volatile ones that change nothing, and those of later versions.
const HARMLESS: [&str; 45] = [
    "any_value",
    "array_reverse",
    "array_sample",
    "array_shuffle",
    "array_sort",
    "casefold",
    "clock_timestamp",
    "crc32",
    "crc32c",
    "currval",
    "date_add",
    "date_subtract",
    "erf",
    "erfc",
    "gamma",
    "gen_random_uuid",
    "json_array",
    "json_arrayagg",
    "json_exists",
    "json_objectagg",
    "json_query",
    "json_scalar",
    "json_serialize",
    "json_table",
    "json_value",
    "lastval",
    "lgamma",
    "pg_basetype",
    "pg_database_size",
    "pg_indexes_size",
    "pg_input_error_info",
    "pg_input_is_valid",
    "pg_relation_size",
    "pg_sleep",
    "pg_table_size",
    "pg_total_relation_size",
    "random",
    "random_normal",
    "setseed",
    "system_user",
    "timeofday",
    "to_bin",
    "to_oct",
    "uuidv4",
    "uuidv7",
];

/// Words that stand before a parenthesis and call nothing: the server takes none of them for a function's name, but in quotes.
const CONSTRUCTS: [&str; 107] = [
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "between",
    "bigint",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "column",
    "constraint",
    "current_catalog",
    "current_date",
    "current_role",
    "current_time",
    "current_timestamp",
    "dec",
    "decimal",
    "default",
    "desc",
    "distinct",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "from",
    "greatest",
    "group",
    "grouping",
    "having",
    "in",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "lateral",
    "leading",
    "least",
    "limit",
    "localtime",
    "localtimestamp",
    "national",
    "nchar",
    "none",
    "not",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "precision",
    "real",
    "references",
    "returning",
    "row",
    "select",
    "setof",
    "smallint",
    "some",
    "symmetric",
    "table",
    "then",
    "time",
    "timestamp",
    "treat",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
];
/// What the parser found.
pub(super) struct Found {
    pub(super) tables: BTreeSet<Name>,
    pub(super) unknown_functions: BTreeSet<Name>,
    /// An `UPDATE` or `DELETE` that no column bounds.
    pub(super) unbounded: bool,
}

/// Every name that stands in it, with what stands before its last dot.
pub(super) fn mentions(tokens: &[Token<'_>]) -> BTreeSet<Name> {
    chains(tokens).map(|(_, name)| name).collect()
}

/// What is called by the words of a statement.
pub(super) struct Called {
    /// Rather too much: names before a parenthesis.
    pub(super) unknown: BTreeSet<Name>,
    /// Each of them stands where nothing else than a call can.
    pub(super) is_certain: bool,
}

/// What is called in it that is not known to only compute.
pub(super) fn called(tokens: &[Token<'_>], places: &Places) -> Called {
    let (mut called, mut open) = (Called { unknown: BTreeSet::new(), is_certain: true }, Vec::new());
    let uncalled = places.uncalled(tokens);
    // What the parenthesis just closed was opened behind.
    let (mut at, mut closed) = (0, None);
    while let Some(token) = tokens.get(at) {
        let behind = closed.take();
        let Some((end, (schema, name))) = parts(tokens, at) else {
            match token {
                Token::Sign(b'(') => open.push(Opener::of(tokens, at)),
                Token::Sign(b')') => closed = open.pop(),
                _ => {}
            }
            at += 1;
            continue;
        };
        let is_call = matches!(tokens.get(end), Some(Token::Sign(b'(')))
            && !calls_nothing(tokens, at, end)
            && !(behind == Some(Opener::Call) && (token.is("filter") || token.is("over")))
            && !is_known(schema, name)
            && uncalled.binary_search(&at).is_err()
            && !(token.is("join") && joins(tokens, at, behind, &uncalled));
        if is_call {
            called.is_certain &= surely_calls(tokens, at);
            called.unknown.insert(Name { schema: schema.map(str::to_owned), name: name.to_owned() });
        }
        at = end;
    }
    called
}

/// What a parenthesis is opened behind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opener {
    /// A name that may be called.
    Call,
    /// `OPERATOR` or `DISTINCT ON`: behind it a call may begin.
    Prefix,
    /// `ON`.
    On,
    Other,
}

impl Opener {
    fn of(tokens: &[Token<'_>], at: usize) -> Self {
        let words = Words(tokens);
        match at.checked_sub(1).and_then(|at| tokens.get(at)) {
            Some(token) if token.is("operator") => Self::Prefix,
            Some(token) if token.is("on") && words.before(at, 2) == "distinct" => Self::Prefix,
            Some(token) if token.is("on") => Self::On,
            Some(token) if token.name().is_some() => Self::Call,
            _ => Self::Other,
        }
    }
}

/// `a JOIN (…)`: before it something ends that has a value or is a table, behind which none is called.
fn joins(tokens: &[Token<'_>], at: usize, behind: Option<Opener>, uncalled: &[usize]) -> bool {
    let Some(before) = at.checked_sub(1) else { return false };
    match tokens.get(before) {
        Some(Token::Sign(b')')) => behind.is_some_and(|behind| behind != Opener::Prefix),
        Some(Token::Sign(b']') | Token::Text | Token::Number | Token::Parameter) => true,
        // An alias, `p.id`, `LEFT JOIN`.
        Some(Token::Word(_) | Token::Quoted(_)) => {
            uncalled.binary_search(&before).is_ok()
                || is_dotted(tokens, before)
                || matches!(Words(tokens).at(before), "left" | "right" | "full" | "inner" | "outer" | "cross")
        }
        _ => false,
    }
}

/// Words behind which a value stands, or a table.
const BEFORE_VALUES: [&str; 18] = [
    "and",
    "by",
    "case",
    "distinct",
    "else",
    "from",
    "having",
    "join",
    "lateral",
    "limit",
    "not",
    "on",
    "or",
    "returning",
    "select",
    "then",
    "when",
    "where",
];

/// Words of the grammar that may stand there as well: `GROUP BY ROLLUP (…)`, `WHEN NOT MATCHED THEN INSERT (…)`.
const NO_CALLS: [&str; 4] = ["cube", "insert", "rollup", "sets"];

/// The name that begins here stands where a value does, or a table: it is called. A type may stand behind two colons.
fn surely_calls(tokens: &[Token<'_>], at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else { return false };
    if NO_CALLS.contains(&Words(tokens).at(at)) {
        return false;
    }
    match tokens.get(before) {
        Some(Token::Operator(_) | Token::Sign(b'(' | b',' | b'[')) => true,
        Some(Token::Word(_)) => BEFORE_VALUES.contains(&Words(tokens).at(before)),
        _ => false,
    }
}

/// The name from `at` to `end` stands before a parenthesis where the grammar has no call.
fn calls_nothing(tokens: &[Token<'_>], at: usize, end: usize) -> bool {
    let before = at.checked_sub(1);
    // `INSERT INTO t (a)`, `AS t (a)`.
    let is_named = before.is_some_and(|before| {
        let word = tokens.get(before).is_some_and(|token| token.is("into") || token.is("as"));
        word && !is_dotted(tokens, before)
    });
    let words = Words(tokens);
    // `ON CONFLICT (a, b) DO`: behind a condition, there is no `DO`.
    let is_conflict = words.at(at) == "conflict"
        && words.before(at, 1) == "on"
        && words.behind_names(end).is_some_and(|behind| words.at(behind) == "do");
    // `EXPLAIN (…)`, `COPY (…)`, `PREPARE p (int)`: no statement begins with a call.
    let begins = at == 0 || (at == 1 && words.at(0) == "prepare");
    is_named
        || is_conflict
        || begins
        || (end == at + 1 && tokens.get(at).and_then(Token::word).is_some_and(is_construct))
}

fn is_dotted(tokens: &[Token<'_>], at: usize) -> bool {
    matches!(at.checked_sub(1).and_then(|at| tokens.get(at)), Some(Token::Sign(b'.')))
}

/// Chains of names, and where each ends.
fn chains(tokens: &[Token<'_>]) -> impl Iterator<Item = (usize, Name)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        while at < tokens.len() {
            match chain(tokens, at) {
                Some((end, name)) => {
                    at = end;
                    return Some((end, name));
                }
                None => at += 1,
            }
        }
        None
    })
}

/// `a.b.c` from here.
pub(super) fn chain(tokens: &[Token<'_>], at: usize) -> Option<(usize, Name)> {
    let (end, (schema, name)) = parts(tokens, at)?;
    Some((end, Name { schema: schema.map(str::to_owned), name: name.to_owned() }))
}

/// Its end, and its last two parts.
fn parts<'t>(tokens: &'t [Token<'_>], at: usize) -> Option<(usize, (Option<&'t str>, &'t str))> {
    let mut name = (None, tokens.get(at)?.name()?);
    let mut end = at + 1;
    while let (Some(Token::Sign(b'.')), Some(next)) =
        (tokens.get(end), tokens.get(end + 1).and_then(Token::name))
    {
        name = (Some(name.1), next);
        end += 2;
    }
    Some((end, name))
}

fn is_known(schema: Option<&str>, name: &str) -> bool {
    schema.is_none_or(|schema| schema == "pg_catalog") && STABLE.contains(name)
}

fn is_construct(word: &str) -> bool {
    CONSTRUCTS.binary_search(&word).is_ok()
}

/// Longest spelling that is parsed, bytes: the parser's time is ours.
const MOST_PARSED: usize = 64 << 10;

/// Parses one statement in our own spelling; nothing where it is not understood to its end, or where the parser has missed a
/// name that stands where tables do.
pub(super) fn parse(spelled: &str, places: &BTreeSet<Name>) -> Option<Found> {
    if spelled.len() > MOST_PARSED {
        return None;
    }
    let parsed = Parser::parse_sql(&PostgreSqlDialect {}, spelled).ok()?;
    let [statement] = &parsed[..] else { return None };
    let mut walk = Walk::default();
    let _ = statement.visit(&mut walk);
    let is_found = |place: &Name| walk.found.tables.contains(place) || walk.with.contains(&place.name);
    (walk.is_sound && places.iter().all(is_found)).then_some(walk.found)
}

/// What a `WITH` makes visible.
#[derive(Default)]
struct Frame {
    visible: Vec<String>,
    /// Becomes visible when this query has been walked.
    pending: Vec<(*const Query, String)>,
}

struct Walk {
    found: Found,
    frames: Vec<Frame>,
    /// All names that any `WITH` gave.
    with: BTreeSet<String>,
    /// The name of a function that stands where tables do.
    called: Option<*const ObjectName>,
    is_sound: bool,
}

impl Default for Walk {
    fn default() -> Self {
        let found = Found { tables: BTreeSet::new(), unknown_functions: BTreeSet::new(), unbounded: false };
        Self { found, frames: Vec::new(), with: BTreeSet::new(), called: None, is_sound: true }
    }
}

impl Walk {
    fn name(&mut self, name: &ObjectName) -> Option<Name> {
        let parts: Option<Vec<&Ident>> = name.0.iter().map(|part| part.as_ident()).collect();
        match parts.as_deref() {
            Some([name]) => Some(Name { schema: None, name: name.value.clone() }),
            Some([.., schema, name]) => {
                Some(Name { schema: Some(schema.value.clone()), name: name.value.clone() })
            }
            _ => {
                self.is_sound = false;
                None
            }
        }
    }

    fn call(&mut self, name: &ObjectName) {
        let is_construct = matches!(&name.0[..], [part]
            if part.as_ident().is_some_and(|word| word.quote_style.is_none() && is_construct(&word.value)));
        let Some(name) = self.name(name).filter(|_| !is_construct) else { return };
        if !is_known(name.schema.as_deref(), &name.name) {
            self.found.unknown_functions.insert(name);
        }
    }

    /// What is changed is a table, whatever a `WITH` calls so.
    fn target(&mut self, table: &TableFactor) {
        match table {
            TableFactor::Table { name, .. } => self.table(name),
            _ => self.is_sound = false,
        }
    }

    fn table(&mut self, name: &ObjectName) {
        if let Some(name) = self.name(name) {
            self.found.tables.insert(name);
        }
    }

    fn bounded_by(&mut self, condition: Option<&Expr>) {
        let names_a_column = condition.is_some_and(|condition| {
            visit_expressions(condition, |expr| match expr {
                Expr::Identifier(_) | Expr::CompoundIdentifier(_) | Expr::CompoundFieldAccess { .. } => {
                    ControlFlow::Break(())
                }
                _ => ControlFlow::Continue(()),
            })
            .is_break()
        });
        self.found.unbounded |= !names_a_column;
    }
}

impl Visitor for Walk {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let mut frame = Frame::default();
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.with.insert(cte.alias.name.value.clone());
            frame.pending.push((std::ptr::from_ref(&*cte.query), cte.alias.name.value.clone()));
        }
        if query.with.as_ref().is_some_and(|with| with.recursive) {
            frame.visible = std::mem::take(&mut frame.pending).into_iter().map(|(_, name)| name).collect();
        }
        self.frames.push(frame);
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        self.frames.pop();
        if let Some(above) = self.frames.last_mut() {
            let done = above.pending.iter().position(|(pending, _)| std::ptr::eq(*pending, query));
            if let Some(done) = done {
                above.visible.push(above.pending.swap_remove(done).1);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        if self.called.take().is_some_and(|called| std::ptr::eq(called, relation)) {
            return ControlFlow::Continue(());
        }
        if let Some(name) = self.name(relation) {
            let is_visible = |frame: &Frame| frame.visible.contains(&name.name);
            if name.schema.is_some() || !self.frames.iter().any(is_visible) {
                self.found.tables.insert(name);
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
        match factor {
            TableFactor::Table { name, args: Some(_), .. } => {
                self.called = Some(std::ptr::from_ref(name));
                self.call(name);
            }
            TableFactor::Function { name, .. } => self.call(name),
            TableFactor::Table { .. }
            | TableFactor::Derived { .. }
            | TableFactor::NestedJoin { .. }
            | TableFactor::UNNEST { .. } => {}
            _ => self.is_sound = false,
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(function) = expr {
            self.call(&function.name);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_statement(&mut self, statement: &Parsed) -> ControlFlow<()> {
        match statement {
            Parsed::Insert(insert) => match &insert.table {
                TableObject::TableName(name) => self.table(name),
                _ => self.is_sound = false,
            },
            Parsed::Update(update) => {
                self.target(&update.table.relation);
                self.bounded_by(update.selection.as_ref());
            }
            Parsed::Delete(delete) => {
                let (FromTable::WithFromKeyword(from) | FromTable::WithoutKeyword(from)) = &delete.from;
                from.iter().for_each(|table| self.target(&table.relation));
                self.bounded_by(delete.selection.as_ref());
            }
            Parsed::Merge(merge) => {
                self.target(&merge.table);
                self.bounded_by(Some(&*merge.on));
            }
            Parsed::Copy { source: CopySource::Table { table_name, .. }, .. } => self.table(table_name),
            Parsed::Query(_)
            | Parsed::Copy { .. }
            | Parsed::Explain { .. }
            | Parsed::Prepare { .. }
            | Parsed::Execute { .. }
            | Parsed::Declare { .. }
            | Parsed::CreateTable(_)
            | Parsed::CreateView(_) => {}
            _ => self.is_sound = false,
        }
        ControlFlow::Continue(())
    }
}
