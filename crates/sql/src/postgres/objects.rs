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

use super::lexer::Token;
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

/// What the grammar writes like a call and is none.
const CONSTRUCTS: [&str; 34] = [
    "coalesce",
    "nullif",
    "greatest",
    "least",
    "exists",
    "in",
    "any",
    "all",
    "some",
    "array",
    "row",
    "cast",
    "extract",
    "grouping",
    "xmlelement",
    "xmlforest",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmlconcat",
    "treat",
    "values",
    "and",
    "or",
    "not",
    "on",
    "using",
    "over",
    "as",
    "where",
    "select",
    "from",
    "within",
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

/// What is called in it, rather too much: names before a parenthesis.
pub(super) fn called(tokens: &[Token<'_>]) -> BTreeSet<Name> {
    let is_call = |end: &usize| matches!(tokens.get(*end), Some(Token::Sign(b'(')));
    chains(tokens).filter(|(end, name)| is_call(end) && !is_known(name)).map(|(_, name)| name).collect()
}

/// Words behind which a table stands.
const BEFORE: [&str; 7] = ["from", "join", "into", "update", "table", "only", "using"];
/// Words that may stand there instead of one.
const INSTEAD: [&str; 16] = [
    "set",
    "of",
    "nowait",
    "skip",
    "select",
    "values",
    "lateral",
    "only",
    "stdin",
    "stdout",
    "temp",
    "temporary",
    "unlogged",
    "table",
    "if",
    "rows",
];
/// Calls that have a `FROM` of their own.
const WITH_FROM: [&str; 5] = ["extract", "substring", "trim", "overlay", "position"];

/// Names that stand where tables do. The parser must have found each of them: a second opinion about it.
pub(super) fn places(tokens: &[Token<'_>]) -> BTreeSet<Name> {
    let (mut places, mut calls) = (BTreeSet::new(), Vec::new());
    let is_any = |token: Option<&Token<'_>>, of: &[&str]| {
        token.and_then(Token::word).is_some_and(|word| of.contains(&word))
    };
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| tokens.get(at));
        match token {
            Token::Sign(b'(') => calls.push(is_any(before, &WITH_FROM)),
            Token::Sign(b')') => drop(calls.pop()),
            _ => {}
        }
        let is_from = token.is("from")
            && (calls.last() == Some(&true) || before.is_some_and(|token| token.is("distinct")));
        if is_any(Some(token), &BEFORE) && !is_from && !is_any(tokens.get(at + 1), &INSTEAD) {
            // `ONLY (t)`
            let inner = token.is("only") && matches!(tokens.get(at + 1), Some(Token::Sign(b'(')));
            let name = chain(tokens, at + 1 + usize::from(inner))
                .filter(|(end, _)| !matches!(tokens.get(*end), Some(Token::Sign(b'('))));
            places.extend(name.map(|(_, name)| name));
        }
    }
    places
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
fn chain(tokens: &[Token<'_>], at: usize) -> Option<(usize, Name)> {
    let mut name = Name { schema: None, name: tokens.get(at)?.name()?.to_owned() };
    let mut end = at + 1;
    while let (Some(Token::Sign(b'.')), Some(next)) =
        (tokens.get(end), tokens.get(end + 1).and_then(Token::name))
    {
        name = Name { schema: Some(name.name), name: next.to_owned() };
        end += 2;
    }
    Some((end, name))
}

fn is_known(name: &Name) -> bool {
    let own = name.schema.as_deref().is_none_or(|schema| schema == "pg_catalog");
    own && (STABLE.contains(name.name.as_str())
        || (name.schema.is_none() && CONSTRUCTS.contains(&name.name.as_str())))
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
        if let Some(name) = self.name(name).filter(|name| !is_known(name)) {
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
