//! Masks what the target answers, before it is recorded and sent on.
//!
//! ```text
//!   log-in ─▶ lookup: which columns of which tables are masked     (only if the rules name columns)
//!   RowDescription ─▶ plan: what becomes of each column ─▶ rows    cells are rewritten one by one
//!   COPY … TO STDOUT ─▶ plan by the statement's own words ─▶ copy  records are rewritten one by one
//!   errors, notices, notifications, settings ─▶ said
//! ```
//!
//! Where a column comes from is what the server says (`RowDescription` names table and column by number), not what the
//! statement calls it. What comes from no column is computed: it is not shown if the statement touches a table with
//! masked columns, or if an earlier one of this stream did and may have put something by.

mod cell;
mod copy;
mod lookup;
mod rows;
mod said;
mod shape;

use std::sync::Arc;

use hoop_masking::{Counts, Detectors, Kind, MaskingKey, Mode, Rule};
use hoop_policy::{ColumnFate, Computed, Keeping, Masking, MaskingRules, View};
use hoop_recording::event::Column;
use hoop_sql::{CopyFormat, Copying, Name};

use self::shape::Shape;
pub(crate) use self::{
    copy::{CopyBroken, CopyMask},
    lookup::{Columns, LookUp},
};

/// Longest row, COPY record or message that is masked; each is held whole.
pub(crate) const LONGEST: usize = 16 << 20;

/// What stands for a text that is not shown.
const HIDDEN: &[u8] = b"[masked]";

/// A column of an answer, and the column of a table that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) column: Column,
    /// The table's number; 0: it comes from none.
    pub(crate) table: u32,
    /// The column's number in it; 0: the whole row, negative: the server's own.
    pub(crate) attribute: i16,
}

/// What a statement's text said about its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// It touches what is masked.
    touches: bool,
    /// The same name may mean another table behind it.
    pub(crate) moves_names: bool,
    /// It may take that back.
    pub(crate) undoes: bool,
    constants: Vec<u16>,
    copy: Copying,
}

impl Seen {
    /// About how many bytes it takes.
    pub(crate) fn cost(&self) -> usize {
        let names = match &self.copy {
            Copying::Out(copy) => copy.columns.iter().map(|name| name.len() + size_of::<String>()).sum(),
            _ => 0,
        };
        size_of::<Self>() + 2 * self.constants.len() + names
    }
}

/// How one stream's answers are masked.
pub(crate) struct Masks {
    rules: Box<MaskingRules>,
    detectors: Detectors,
    /// For findings.
    rule: Rule,
    /// For columns: one for each mode.
    by_mode: [(Mode, Rule); 5],
    /// None: the rules name no column that is masked.
    columns: Option<Columns>,
    /// A statement of this stream has touched what is masked.
    touched: bool,
    /// One has, and may have put something by.
    kept: bool,
    /// What was masked since it was last told.
    tally: Tally,
}

/// How much was masked.
#[derive(Debug, Default)]
struct Tally {
    kinds: Counts,
    /// Values that were not shown, whatever they are.
    hidden: u64,
}

/// What becomes of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Clear,
    /// Detectors look through it.
    Detect,
    Mask(Kind, Mode),
    /// NULL stands for it.
    Null,
    /// It is not shown, and said so where there is room for words.
    Hide,
}

/// What becomes of one column, and how its values are written.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Treated {
    name: bytes::Bytes,
    act: Act,
    shape: Shape,
}

/// What becomes of the columns of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    columns: Vec<Treated>,
    /// Of columns beyond these; `None`: there are none.
    rest: Option<Treated>,
}

impl Masks {
    /// As a session's rules say; `None`: nothing is masked.
    pub(crate) fn new(masking: &Masking, key: &MaskingKey) -> Option<Box<Self>> {
        let rules = masking.rules()?;
        let modes = [Mode::Redact, Mode::Partial, Mode::Hash, Mode::Null, Mode::Fake];
        Some(Box::new(Self {
            rules: Box::new(rules.clone()),
            detectors: rules.detectors(),
            rule: rules.of_findings(key),
            by_mode: modes.map(|mode| (mode, Rule::new(mode, key.clone()))),
            columns: None,
            touched: false,
            kept: false,
            tally: Tally::default(),
        }))
    }

    /// Which columns these are must be looked up first.
    pub(crate) fn look_up(&self) -> Option<LookUp> {
        self.rules.masks_columns().then(|| LookUp::new(&self.rules))
    }

    pub(crate) fn found(&mut self, columns: Columns) {
        self.columns = Some(columns);
    }

    /// A statement goes to the target.
    pub(crate) fn see(&mut self, view: Option<View>) -> Arc<Seen> {
        let Some(view) = view else {
            return Arc::new(Seen {
                touches: false,
                moves_names: false,
                undoes: false,
                constants: Vec::new(),
                copy: Copying::Nothing,
            });
        };
        let names =
            self.columns.as_ref().is_some_and(|columns| view.names.iter().any(|name| columns.holds(name)));
        // What was put by may be what touched them.
        let touches = names
            || (self.columns.is_some() && view.reads_anything)
            || (view.answers_with_others && self.touched);
        self.touched |= touches;
        self.kept |= match view.keeping {
            Keeping::Nothing => false,
            Keeping::WhatItNames => names,
            Keeping::Anything => touches,
        };
        // Where nothing is hidden, detectors look at what is constant too.
        let constants = if self.columns.is_some() { view.constants } else { Vec::new() };
        let View { moves_names, undoes, copy, .. } = view;
        Arc::new(Seen { touches, moves_names, undoes, constants, copy })
    }

    /// What is computed is not shown. A statement of which nothing is known may be any.
    fn hides(&self, seen: Option<&Seen>) -> bool {
        self.columns.is_some()
            && self.rules.computed == Computed::Hide
            && (self.kept || seen.is_none_or(|seen| seen.touches))
    }

    /// What becomes of an answer with these columns; `None`: nothing is known of them.
    pub(crate) fn plan(&self, fields: Option<&[Field]>, seen: Option<&Seen>) -> Plan {
        let hides = self.hides(seen);
        let computed = if hides { Act::Hide } else { Act::Detect };
        let Some(fields) = fields else {
            let act = if self.columns.is_some() { Act::Hide } else { Act::Detect };
            return Plan {
                columns: Vec::new(),
                rest: Some(Treated { name: bytes::Bytes::new(), act, shape: Shape::UNKNOWN }),
            };
        };
        let is_constant = |at: usize, field: &Field| {
            let seen = seen.map_or(&[][..], |seen| &seen.constants);
            u16::try_from(at).is_ok_and(|at| seen.contains(&at))
                && Shape::is_count_or_literal(field.column.type_id)
        };
        let treat = |(at, field): (usize, &Field)| {
            let act = match field.table {
                0 if is_constant(at, field) => Act::Clear,
                0 => computed,
                _ if field.attribute < 0 => Act::Clear,
                table => self.of_column(table, field.attribute),
            };
            let shape = Shape::of(field.column.type_id, field.column.binary);
            Treated { name: field.column.name.clone(), act, shape }
        };
        let columns = fields.iter().enumerate().map(treat).map(|treated| self.simplified(treated)).collect();
        Plan { columns, rest: None }
    }

    fn of_column(&self, table: u32, attribute: i16) -> Act {
        if shape::describes_others(table) {
            return Act::Clear;
        }
        match &self.columns {
            None => Act::Detect,
            // The server's own views tell of settings, which a statement can give any value.
            Some(_) if self.kept && lookup::is_servers(table) => Act::Hide,
            Some(columns) => columns.act(table, attribute),
        }
    }

    fn simplified(&self, mut treated: Treated) -> Treated {
        if treated.act == Act::Detect && (treated.shape.is_harmless() || !self.rules.detect) {
            treated.act = Act::Clear;
        }
        treated
    }

    /// What becomes of what `COPY` sends; `None`: how it is written is not known.
    pub(crate) fn plan_copy(&self, seen: Option<&Seen>) -> Option<(CopyFormat, Plan)> {
        let Some(Seen { copy: Copying::Out(copy), .. }) = seen else { return None };
        let is_binary = copy.format == CopyFormat::Binary;
        let unknown = |act| Treated { name: bytes::Bytes::new(), act, shape: Shape::of(0, is_binary) };
        // Also a table that was made since: nobody has looked it up.
        let other = if self.hides(seen) { Act::Hide } else { Act::Detect };
        let plan = match (&copy.table, &self.columns) {
            (Some(table), Some(columns)) if columns.holds(table) => {
                let found = columns.of_copy(table, &copy.columns);
                let columns = found.into_iter().map(|(name, act, type_id)| Treated {
                    name: name.into(),
                    act,
                    shape: Shape::of(type_id, is_binary),
                });
                Plan {
                    columns: columns.map(|treated| self.simplified(treated)).collect(),
                    rest: Some(unknown(Act::Hide)),
                }
            }
            (Some(_), _) => {
                let named =
                    copy.columns.iter().map(|name| Treated { name: name.clone().into(), ..unknown(other) });
                Plan {
                    columns: named.map(|treated| self.simplified(treated)).collect(),
                    rest: Some(self.simplified(unknown(other))),
                }
            }
            (None, _) => Plan { columns: Vec::new(), rest: Some(self.simplified(unknown(other))) },
        };
        Some((copy.format, plan))
    }

    fn rule_of(&self, mode: Mode) -> &Rule {
        self.by_mode.iter().find(|(known, _)| *known == mode).map_or(&self.rule, |(_, rule)| rule)
    }

    /// What was masked since it was last asked, by kind; `hidden` is what was not shown at all.
    pub(crate) fn take_counts(&mut self) -> Vec<(String, u64)> {
        let Tally { kinds, hidden } = std::mem::take(&mut self.tally);
        let kinds = kinds.iter().map(|(kind, count)| (kind.name().to_owned(), count));
        kinds.chain((hidden > 0).then(|| ("hidden".to_owned(), hidden))).collect()
    }
}

impl Plan {
    /// Nothing of the answer is looked at.
    pub(crate) fn is_clear(&self) -> bool {
        self.columns.iter().chain(&self.rest).all(|treated| treated.act == Act::Clear)
    }

    fn of(&self, at: usize) -> Option<&Treated> {
        self.columns.get(at).or(self.rest.as_ref())
    }
}

/// What a rule says of a column, as it is done.
const fn act_of(fate: ColumnFate) -> Act {
    match fate {
        ColumnFate::Clear => Act::Clear,
        ColumnFate::Null => Act::Null,
        ColumnFate::Mask(kind, mode) => Act::Mask(kind, mode),
    }
}

/// Whether a statement names this relation.
fn is_named(name: &Name, schema: &str, relation: &str) -> bool {
    name.name == relation && name.schema.as_deref().is_none_or(|named| named == schema)
}
