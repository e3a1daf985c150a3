//! Conditions on statements: what travels to the agent for them, and how they are asked there.

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use bytes::Bytes;
use hoop_model::{ConnectionName, GroupName, LabelKey, LabelValue, UserName};
use hoop_sql::{Objects, Statement};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{
    modules::{ModuleName, Modules},
    when::{Answer, When},
};
use crate::{
    StatementRule,
    rules::{Asking, ConnectionFacts, Person, PersonKind},
};

/// Bytes of the modules that travel in a grant.
pub(crate) const LONGEST_IN_GRANT: usize = 64 * 1024;
/// Questions about one text. Those beyond are as good as out of time.
const MOST_ASKED: usize = 100;

/// What conditions on a session's statements are asked of: the modules, and the facts of the session as it was let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementRego {
    modules: BTreeMap<ModuleName, String>,
    person: KnownPerson,
    connection: KnownConnection,
    reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownPerson {
    name: UserName,
    kind: String,
    groups: BTreeSet<GroupName>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownConnection {
    name: ConnectionName,
    labels: BTreeMap<LabelKey, LabelValue>,
}

impl StatementRego {
    /// For a session; none if no statement rule has a condition.
    pub(crate) fn of(rules: &[StatementRule], modules: &Modules, asking: &Asking<'_>) -> Option<Self> {
        let wanted = rules.iter().any(|rule| rule.when.is_some());
        wanted.then(|| Self::new(modules, asking.person, asking.connection, asking.reason))
    }

    fn new(modules: &Modules, person: &Person, connection: &ConnectionFacts, reason: Option<&str>) -> Self {
        let kind = match person.kind {
            PersonKind::Human => "human",
            PersonKind::Service => "service",
        };
        Self {
            modules: modules.sources().clone(),
            person: KnownPerson {
                name: person.name.clone(),
                kind: kind.to_owned(),
                groups: person.groups.clone(),
            },
            connection: KnownConnection { name: connection.name.clone(), labels: connection.labels.clone() },
            reason: reason.map(str::to_owned),
        }
    }

    /// Whether a session let in now would be asked the same of the same. The reason was given once.
    pub(crate) fn is_still(&self, modules: &Modules, person: &Person, connection: &ConnectionFacts) -> bool {
        *self == Self::new(modules, person, connection, self.reason.as_deref())
    }

    /// The modules, compiled. What cannot be compiled answers nothing, which counts against the statement.
    #[must_use]
    pub(crate) fn compile(&self) -> Modules {
        Modules::compile(self.modules.clone()).unwrap_or_default()
    }

    /// What a condition sees of a statement and its values. Its JSON schema is `docs/policy-statement-input.schema.json`; a test holds
    /// the two together.
    #[must_use]
    pub fn input(&self, statement: &Statement, values: &[BoundValue]) -> Value {
        let names =
            |names: &BTreeSet<hoop_sql::Name>| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        json!({
            "statement": {
                "classes": statement.classes,
                "verbs": statement.verbs,
                "tables": match &statement.tables {
                    Objects::Known(tables) => Some(names(tables)),
                    Objects::Unknown => None,
                },
                "functions": names(&statement.unknown_functions),
                "text": statement.normal,
                "unbounded": statement.unbounded,
                "opaque": statement.is_opaque,
                "parameters": parameters(values),
            },
            "person": self.person,
            "connection": self.connection,
            "reason": self.reason,
        })
    }
}

/// A value that a client binds to a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BoundValue {
    /// None.
    Null,
    /// As text.
    Text(Bytes),
    /// In the database's binary form of its type.
    Binary(Bytes),
    /// It was too large to be looked at whole.
    Cut,
}

/// What conditions see of bound values, bytes in all: those behind are cut.
const MOST_VALUES: usize = 64 << 10;

/// `"text"`, `null`, `{"binary": "hex"}`, `{"cut": true}`.
fn parameters(values: &[BoundValue]) -> Vec<Value> {
    let mut left = MOST_VALUES;
    let shown = |value: &BoundValue| {
        let (BoundValue::Text(bytes) | BoundValue::Binary(bytes)) = value else {
            return if *value == BoundValue::Null { Value::Null } else { json!({"cut": true}) };
        };
        let Some(rest) = left.checked_sub(bytes.len() + 16) else { return json!({"cut": true}) };
        left = rest;
        match (value, std::str::from_utf8(bytes)) {
            (BoundValue::Text(_), Ok(text)) => Value::from(text),
            _ => json!({"binary": hex(bytes)}),
        }
    };
    values.iter().map(shown).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The values of a statement that is asked about.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Values<'a> {
    /// These, and no others.
    Given(&'a [BoundValue]),
    /// They are bound later, and it is asked about again then. Until then it runs nothing.
    ToCome,
}

impl Values<'_> {
    /// There are none, and none will come.
    pub(crate) const fn are_none(self) -> bool {
        matches!(self, Self::Given([]))
    }
}

/// The questions about one text.
#[derive(Debug)]
pub(crate) struct Asked<'a> {
    of: Option<(&'a StatementRego, &'a Modules)>,
    left: Cell<usize>,
    values: Values<'a>,
}

impl<'a> Asked<'a> {
    /// Of a text without values.
    pub(crate) const fn new(of: Option<(&'a StatementRego, &'a Modules)>) -> Self {
        Self { of, left: Cell::new(MOST_ASKED), values: Values::Given(&[]) }
    }

    pub(crate) fn with(self, values: Values<'a>) -> Self {
        Self { values, ..self }
    }

    /// Whether it surely holds, as far as that is asked yet.
    pub(crate) fn is_surely(&self, when: &When, statement: &Statement) -> bool {
        matches!(self.values, Values::ToCome) || self.ask(when, statement) == Answer::True
    }

    /// Whether it may hold, as far as that is asked yet.
    pub(crate) fn may_be(&self, when: &When, statement: &Statement) -> bool {
        !matches!(self.values, Values::ToCome) && self.ask(when, statement) != Answer::False
    }

    /// Whoever takes too long once is not asked again.
    pub(crate) fn ask(&self, when: &When, statement: &Statement) -> Answer {
        let Values::Given(values) = self.values else { return Answer::Undefined };
        let Some((rego, modules)) = self.of else { return Answer::Undefined };
        let Some(left) = self.left.get().checked_sub(1) else { return Answer::OutOfTime };
        let answer = modules.ask(when, &rego.input(statement, values));
        self.left.set(if answer == Answer::OutOfTime { 0 } else { left });
        answer
    }
}
