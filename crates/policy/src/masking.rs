//! What a person may see of what a target answers: the masking of an access rule.
//!
//! Columns that are named come first; what no rule names is looked through by detectors. What a statement computes comes
//! from no column that anybody could name: it is not shown where the statement touches what is masked.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use hoop_masking::{Detectors, Kind, MaskingKey, Mode, Rule};
use hoop_sql::{Class, Copying, Name, Objects, Reading, Statement};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

use crate::{
    ColumnPattern,
    rego::{Answer, When},
    rules::{filled, present},
    statements::Certainty,
};

/// Whether answers are masked, and how. By default they are: only a rule that says `masking: none` shows them as they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Masking {
    /// They are shown as the target gives them.
    None,
    /// They are masked by these rules.
    Rules(Box<MaskingRules>),
}

impl Default for Masking {
    fn default() -> Self {
        Self::Rules(Box::default())
    }
}

impl Masking {
    /// The rules, if there are any.
    #[must_use]
    pub fn rules(&self) -> Option<&MaskingRules> {
        match self {
            Self::None => None,
            Self::Rules(rules) => Some(rules),
        }
    }

    /// The condition on which answers are shown as they are.
    pub(crate) fn unless(&self) -> Option<&When> {
        self.rules()?.unless.as_ref()
    }

    /// What a session carries if the condition does not hold, or nobody asks.
    #[must_use]
    pub(crate) fn masked(&self) -> Self {
        match self {
            Self::None => Self::None,
            Self::Rules(rules) => Self::Rules(Box::new(MaskingRules { unless: None, ..(**rules).clone() })),
        }
    }

    /// What a session carries.
    pub(crate) fn outcome(&self, ask: impl FnOnce(&When) -> Answer) -> Self {
        match self.unless() {
            Some(when) if ask(when) == Answer::True => Self::None,
            _ => self.masked(),
        }
    }
}

/// How answers are masked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskingRules {
    /// What becomes of a finding whose kind has no mode of its own.
    #[serde(default = "redact", skip_serializing_if = "is_redact")]
    pub mode: Mode,
    /// What becomes of findings of a kind.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeMap::is_empty")]
    pub modes: BTreeMap<Kind, Show>,
    /// Columns; the first rule that names one decides.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<ColumnRule>,
    /// Look through what no rule names.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub detect: bool,
    /// What becomes of what statements compute where they touch masked columns.
    #[serde(default, skip_serializing_if = "Computed::is_hidden")]
    pub computed: Computed,
    /// What becomes of what hosts print.
    #[serde(default, skip_serializing_if = "Hosts::are_refused")]
    pub hosts: Hosts,
    /// Answers are shown as they are if this rule of the file's `modules` is exactly `true` when the session is opened. What a
    /// session carries has none: only what came of it.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub unless: Option<When>,
}

impl Default for MaskingRules {
    fn default() -> Self {
        Self {
            mode: Mode::Redact,
            modes: BTreeMap::new(),
            columns: Vec::new(),
            detect: true,
            computed: Computed::Hide,
            hosts: Hosts::Refuse,
            unless: None,
        }
    }
}

/// A mode, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Show {
    /// As it is.
    Clear,
    /// See [`Mode::Redact`].
    Redact,
    /// See [`Mode::Partial`].
    Partial,
    /// See [`Mode::Hash`].
    Hash,
    /// See [`Mode::Null`].
    Null,
    /// See [`Mode::Fake`].
    Fake,
}

impl Show {
    /// The mode; `None`: it is shown as it is.
    #[must_use]
    pub const fn mode(self) -> Option<Mode> {
        Some(match self {
            Self::Clear => return None,
            Self::Redact => Mode::Redact,
            Self::Partial => Mode::Partial,
            Self::Hash => Mode::Hash,
            Self::Null => Mode::Null,
            Self::Fake => Mode::Fake,
        })
    }
}

/// What becomes of what no column says where it comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Computed {
    /// It is not shown where the statement touches a table with masked columns; counts and constants are.
    #[default]
    Hide,
    /// Detectors look through it, as through any other column.
    Detect,
}

impl Computed {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_hidden(&self) -> bool {
        *self == Self::Hide
    }
}

/// What becomes of what a host prints, which has no columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hosts {
    /// It is not shown: hosts are refused.
    #[default]
    Refuse,
    /// Detectors look through it, as well as they can. Files are refused.
    Detect,
}

impl Hosts {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn are_refused(&self) -> bool {
        *self == Self::Refuse
    }
}

/// What becomes of some columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnRule {
    /// Which.
    #[serde(deserialize_with = "filled")]
    pub columns: BTreeSet<ColumnPattern>,
    /// What they hold. May be absent where they are shown as they are, or not at all.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// What becomes of it; as `modes` and `mode` say if absent. YAML's `null` is the mode of that name.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub mode: Option<Show>,
}

/// What becomes of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnFate {
    /// It is shown as it is.
    Clear,
    /// It is not shown.
    Null,
    /// Its values are masked.
    Mask(Kind, Mode),
}

impl MaskingRules {
    /// What becomes of a finding of this kind; `None`: it is not looked for.
    #[must_use]
    pub fn mode_of(&self, kind: Kind) -> Option<Mode> {
        self.modes.get(&kind).map_or(Some(self.mode), |show| show.mode())
    }

    /// What is looked for where no rule names the column.
    #[must_use]
    pub fn detectors(&self) -> Detectors {
        let is_wanted = |kind: &Kind| self.detect && self.mode_of(*kind).is_some();
        Detectors::new(Kind::ALL.into_iter().filter(is_wanted))
    }

    /// What becomes of what is found.
    #[must_use]
    pub fn of_findings(&self, key: &MaskingKey) -> Rule {
        let modes = Kind::ALL.into_iter().filter_map(|kind| Some((kind, self.mode_of(kind)?)));
        modes.fold(Rule::new(self.mode, key.clone()), |rule, (kind, mode)| rule.with(kind, mode))
    }

    /// What becomes of the columns of a rule.
    #[must_use]
    pub fn fate(&self, rule: &ColumnRule) -> ColumnFate {
        match (rule.kind, rule.mode) {
            (Some(kind), None) => {
                self.mode_of(kind).map_or(ColumnFate::Clear, |mode| ColumnFate::Mask(kind, mode))
            }
            (_, Some(Show::Clear)) => ColumnFate::Clear,
            (Some(kind), Some(show)) => {
                show.mode().map_or(ColumnFate::Clear, |mode| ColumnFate::Mask(kind, mode))
            }
            (None, _) => ColumnFate::Null,
        }
    }

    /// The patterns in the order in which they decide, each with what becomes of its columns.
    pub fn patterns(&self) -> impl Iterator<Item = (&ColumnPattern, ColumnFate)> {
        self.columns.iter().flat_map(|rule| rule.columns.iter().map(|pattern| (pattern, self.fate(rule))))
    }

    /// What becomes of one column of a table, and by which pattern; `None`: no rule names it.
    #[must_use]
    pub fn of_column(&self, table: &Name, column: &str) -> Option<(&ColumnPattern, ColumnFate)> {
        self.patterns().find(|(pattern, _)| pattern.is_of(table, Certainty::Sure) && pattern.names(column))
    }

    /// Some column is not shown as it is.
    #[must_use]
    pub fn masks_columns(&self) -> bool {
        self.patterns().any(|(_, fate)| fate != ColumnFate::Clear)
    }

    /// What of the answer to a text may be shown, as far as the text says.
    #[must_use]
    pub fn view(reading: &Reading) -> View {
        let copy = match &reading.statements[..] {
            [one] => one.copy.clone(),
            several if several.iter().all(|one| one.copy == Copying::Nothing) => Copying::Nothing,
            // Which of them answers would have to be guessed.
            _ => Copying::Unclear,
        };
        let constants = match &reading.statements[..] {
            [one] => one.constants.clone(),
            _ => Vec::new(),
        };
        let moves_names = reading.statements.iter().any(moves_names);
        let undoes = reading.statements.iter().any(|one| one.verbs.contains("rollback"));
        let reading = || reading.statements.iter().filter(|statement| !is_setting(statement));
        let names = reading().flat_map(names).cloned().collect();
        let reads_anything = reading().any(reads_anything);
        let keeping = reading().map(keeping).max().unwrap_or(Keeping::Nothing);
        let answers_with_others = reading().any(Statement::answers_with_others);
        View { names, reads_anything, answers_with_others, moves_names, undoes, keeping, constants, copy }
    }
}

/// It changes a setting, to what stands in it: whatever that does, it reads nothing.
fn is_setting(statement: &Statement) -> bool {
    !statement.verbs.is_empty()
        && statement.verbs.iter().all(|verb| ["reset", "set"].contains(&verb.as_str()))
}

/// Tables that it reads; other names may be among them.
fn names(statement: &Statement) -> &BTreeSet<Name> {
    match &statement.tables {
        Objects::Known(tables) => tables,
        Objects::Unknown => &statement.mentions,
    }
}

fn reads_anything(statement: &Statement) -> bool {
    let reads_tables = |name: &Name| !TELL_NOTHING.contains(&name.name.as_str()) || !is_own(name);
    statement.is_opaque || statement.unknown_functions.iter().any(reads_tables)
}

/// Functions of the server that change something, and read no table.
const TELL_NOTHING: [&str; 20] = [
    "currval",
    "lastval",
    "nextval",
    "pg_advisory_lock",
    "pg_advisory_unlock",
    "pg_advisory_unlock_all",
    "pg_advisory_xact_lock",
    "pg_cancel_backend",
    "pg_current_xact_id",
    "pg_export_snapshot",
    "pg_notify",
    "pg_sleep",
    "pg_terminate_backend",
    "pg_try_advisory_lock",
    "pg_try_advisory_xact_lock",
    "set_config",
    "setseed",
    "setval",
    "txid_current",
    "txid_current_if_assigned",
];

fn is_own(name: &Name) -> bool {
    name.schema.as_deref().is_none_or(|schema| schema == "pg_catalog")
}

/// Verbs of statements that put nothing of what they read anywhere.
const PUT_NOTHING: [&str; 9] =
    ["analyze", "comment", "delete", "drop", "grant", "lock", "revoke", "truncate", "vacuum"];

/// What of that which a statement reads may be answered by a later one that does not name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Keeping {
    /// Nothing.
    Nothing,
    /// What it names.
    WhatItNames,
    /// Anything.
    Anything,
}

fn keeping(statement: &Statement) -> Keeping {
    let says = |verbs: &[&str]| statement.verbs.iter().any(|verb| verbs.contains(&verb.as_str()));
    let only = |verbs: &[&str]| statement.verbs.iter().all(|verb| verbs.contains(&verb.as_str()));
    if statement.is_opaque {
        return Keeping::Anything;
    }
    if statement.unknown_functions.is_empty() && !statement.verbs.is_empty() && only(&PUT_NOTHING) {
        return Keeping::Nothing;
    }
    let changes = |class: &Class| !matches!(class, Class::Session | Class::Read | Class::Server);
    let puts = statement.classes.iter().any(changes)
        || says(&["declare", "prepare"])
        || statement.mentions.iter().any(|name| ["pg_notify", "set_config"].contains(&name.name.as_str()));
    match (puts, statement.unknown_functions.is_empty() && statement.worst() <= Class::Read) {
        (true, _) if reads_anything(statement) => Keeping::Anything,
        (false, true) => Keeping::Nothing,
        // A function that is not known may put by what it is given.
        _ => Keeping::WhatItNames,
    }
}

fn moves_names(statement: &Statement) -> bool {
    let says = |verb: &str| statement.verbs.contains(verb);
    let mentions = |names: &[&str]| {
        statement.mentions.iter().any(|name| names.iter().any(|other| name.name.eq_ignore_ascii_case(other)))
    };
    let resets = says("discard") || (says("reset") && mentions(&["all"]));
    let runs_unknown = statement.is_opaque || !statement.unknown_functions.is_empty();
    runs_unknown
        || resets
        || mentions(&["search_path", "set_config"])
        || (says("set") && mentions(&["schema"]))
}

/// What a text says about its answer, for whoever masks it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// The tables that it reads; other names may be among them.
    pub names: BTreeSet<Name>,
    /// It may read others too.
    pub reads_anything: bool,
    /// It answers with what an earlier one has put by.
    pub answers_with_others: bool,
    /// The same name may mean another table behind it: `SET search_path`.
    pub moves_names: bool,
    /// It may take that back: `ROLLBACK TO a`.
    pub undoes: bool,
    /// What later statements may answer with.
    pub keeping: Keeping,
    /// Columns of the answer, by position, that are a count or a constant whatever is read.
    pub constants: Vec<u16>,
    /// What `COPY` sends.
    pub copy: Copying,
}

impl Serialize for Masking {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_str("none"),
            Self::Rules(rules) => rules.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Masking {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Masking;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("`none`, or a mapping with mode, modes, columns, detect, computed, hosts, unless")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Masking, E> {
                match text {
                    "none" => Ok(Masking::None),
                    other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Masking, A::Error> {
                MaskingRules::deserialize(MapAccessDeserializer::new(map))
                    .map(|rules| Masking::Rules(rules.into()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

const fn redact() -> Mode {
    Mode::Redact
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_redact(mode: &Mode) -> bool {
    *mode == Mode::Redact
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
const fn is_true(value: &bool) -> bool {
    *value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(yaml: &str) -> MaskingRules {
        let masking: Masking = serde_saphyr::from_str(yaml).unwrap();
        masking.rules().unwrap().clone()
    }

    #[test]
    fn null_is_a_mode_also_in_yaml() {
        let rules =
            rules("{mode: null, modes: {ssn: null, url: clear}, columns: [{columns: [a.b], mode: null}]}");
        assert_eq!((rules.mode, rules.columns[0].mode), (Mode::Null, Some(Show::Null)));
        assert_eq!((rules.mode_of(Kind::Ssn), rules.mode_of(Kind::Url)), (Some(Mode::Null), None));
        let json = serde_json::to_value(Masking::Rules(rules.clone().into())).unwrap();
        assert_eq!(serde_json::from_value::<Masking>(json).unwrap(), Masking::Rules(rules.into()));
    }

    #[test]
    fn what_is_said_of_a_column_is_what_becomes_of_it() {
        let rules = rules(
            "{modes: {ssn: partial, url: clear}, columns: [{columns: [t.a], kind: ssn}, {columns: [t.b], kind: ssn, mode: hash}, \
             {columns: [t.c], kind: url}, {columns: [t.d], mode: clear}, {columns: [t.e], mode: null}, {columns: [t.f], kind: name}]}",
        );
        let fates: Vec<_> = rules.patterns().map(|(_, fate)| fate).collect();
        let mask = ColumnFate::Mask;
        assert_eq!(fates[..2], [mask(Kind::Ssn, Mode::Partial), mask(Kind::Ssn, Mode::Hash)]);
        assert_eq!(fates[2..5], [ColumnFate::Clear, ColumnFate::Clear, ColumnFate::Null]);
        assert_eq!(fates[5], mask(Kind::Name, Mode::Redact));
        assert!(
            Masking::None.rules().is_none() && Masking::default().rules().is_some(),
            "masked unless a rule says no"
        );
    }

    #[test]
    fn what_is_no_masking_is_refused() {
        for wrong in [
            "off",
            "true",
            "[]",
            "{columns: [{columns: []}]}",
            "{columns: [{columns: [a]}]}",
            "{columns: [{columns: [a.b.c.d]}]}",
            "{columns: [{columns: ['a.\"b']}]}",
            "{mode: blur}",
            "{modes: {}}",
            "{modes: {shoe: redact}}",
            "{computed: maybe}",
            "{show: all}",
            "{columns: [{columns: [a.b], kind: null}]}",
        ] {
            assert!(serde_saphyr::from_str::<Masking>(wrong).is_err(), "{wrong}");
        }
    }

    fn view(text: &str) -> View {
        MaskingRules::view(&hoop_sql::read(
            text.as_bytes(),
            hoop_sql::Dialect::Postgres(hoop_sql::postgres::Mode::default()),
        ))
    }

    #[test]
    fn what_may_be_put_by_is_told_apart() {
        for (text, keeping) in [
            ("select a from t", Keeping::Nothing),
            ("lock table t in share mode", Keeping::Nothing),
            ("delete from t where a = 1 returning b", Keeping::Nothing),
            ("set synchronize_seqscans to off", Keeping::Nothing),
            ("select set_config('x', a, false) from t", Keeping::WhatItNames),
            ("select f(a) from t", Keeping::WhatItNames),
            ("create table c as select a from t", Keeping::WhatItNames),
            ("declare c cursor for select a from t", Keeping::WhatItNames),
            ("prepare q as select a from t", Keeping::WhatItNames),
            ("insert into c select f()", Keeping::Anything),
            ("do $$ begin end $$", Keeping::Anything),
        ] {
            assert_eq!(view(text).keeping, keeping, "{text}");
        }
        assert!(view("select f()").reads_anything && !view("select nextval('s')").reads_anything);
        assert!(view("select public.nextval('s')").reads_anything, "another of that name");
    }
}
