//! The catalogue of events: which facts each code has, what they mean, and whose business they are.
//!
//! A fact that the schema of its code does not name counts as secret, and so does one of another kind than it says: its
//! value never gets into a leaf ([`classify`] puts a marker in its place). `docs/EVENTS.md` is made from here.

mod document;
mod facts;
mod schema;

use serde_json::{Map, Value};

pub use document::markdown;
pub use schema::schema;

use crate::event::{EventCode, Facts};

/// The key of what stands in the place of a value that was withheld.
const WITHHELD: &str = "withheld";
/// Why a fact is withheld that no schema names.
const UNCLASSIFIED: &str = "unclassified";

/// What a value looks like. `null` is always allowed: the fact does not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text.
    Text,
    /// A whole number.
    Number,
    /// Yes or no.
    Flag,
    /// RFC 3339, UTC.
    Time,
    /// One of ours: a prefix and 26 characters.
    Id,
    /// Several texts.
    List,
    /// An object that is classed as a whole.
    Object,
    /// An object whose fields have a schema of their own.
    Fields(&'static [Fact]),
}

/// Whose business a fact is. What has no class counts as secret, and is not written at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// Says nothing about a person or about what is inside the network.
    Public,
    /// Names machines, connections, rules: for the organisation.
    Internal,
    /// Names somebody, or is text that a person wrote.
    Personal,
}

/// A fact that a code may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fact {
    /// Its name in the leaf.
    pub name: &'static str,
    /// What it looks like.
    pub kind: Kind,
    /// Whose business it is.
    pub class: Class,
    /// What it means, for the documentation.
    pub meaning: &'static str,
}

impl Kind {
    /// As the documentation calls it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
            Self::Flag => "yes or no",
            Self::Time => "time",
            Self::Id => "id",
            Self::List => "list of texts",
            Self::Object | Self::Fields(_) => "object",
        }
    }

    fn fits(self, value: &Value) -> bool {
        match self {
            _ if value.is_null() => true,
            Self::Text | Self::Time | Self::Id => value.is_string(),
            Self::Number => value.is_u64() || value.is_i64(),
            Self::Flag => value.is_boolean(),
            Self::List => value.as_array().is_some_and(|items| items.iter().all(Value::is_string)),
            Self::Object | Self::Fields(_) => value.is_object(),
        }
    }
}

impl Class {
    /// As the documentation calls it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Personal => "personal",
        }
    }
}

/// What stands in the place of a value: `{"withheld":"unclassified"}`.
fn withheld(why: &str) -> Value {
    Value::Object(Map::from_iter([(WITHHELD.to_owned(), Value::String(why.to_owned()))]))
}

/// One of our own markers, to the letter: nothing hides behind it.
fn is_withheld(value: &Value) -> bool {
    let Some(fields) = value.as_object().filter(|fields| fields.len() == 1) else { return false };
    let why = fields.get(WITHHELD).and_then(Value::as_str);
    why.is_some_and(|why| [UNCLASSIFIED, Class::Personal.label(), Class::Internal.label()].contains(&why))
}

/// Withholds what the schema of the code does not name; answers the paths of what it withheld.
pub fn classify(code: EventCode, facts: &mut Facts) -> Vec<String> {
    let mut paths = Vec::new();
    within(schema(code), "", facts, &mut paths);
    paths
}

fn within(known: &[Fact], above: &str, facts: &mut Facts, paths: &mut Vec<String>) {
    for (name, value) in facts.iter_mut().filter(|(_, value)| !is_withheld(value)) {
        let path = format!("{above}{name}");
        match known.iter().find(|fact| fact.name == name && fact.kind.fits(value)) {
            Some(Fact { kind: Kind::Fields(inner), .. }) => {
                if let Value::Object(fields) = value {
                    within(inner, &format!("{path}."), fields, paths);
                }
            }
            Some(_) => {}
            None => {
                *value = withheld(UNCLASSIFIED);
                paths.push(path);
            }
        }
    }
}

/// The facts that may be shown to whoever may see `most`: others, and what no schema names, are withheld.
#[must_use]
pub fn shown(code: EventCode, facts: &Facts, most: Class) -> Facts {
    let mut shown = facts.clone();
    classify(code, &mut shown);
    limit(schema(code), &mut shown, most);
    shown
}

fn limit(known: &[Fact], facts: &mut Facts, most: Class) {
    for (name, value) in facts.iter_mut().filter(|(_, value)| !value.is_null() && !is_withheld(value)) {
        match (known.iter().find(|fact| fact.name == name), &mut *value) {
            (Some(Fact { kind: Kind::Fields(inner), .. }), Value::Object(fields)) => {
                limit(inner, fields, most)
            }
            (Some(fact), _) if fact.class > most => *value = withheld(fact.class.label()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn facts(value: Value) -> Facts {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn a_fact_that_no_schema_names_is_withheld_and_told_of() {
        let mut all = facts(json!({ "reason": "wrong password", "password": "canary-4b1d" }));
        assert_eq!(classify(EventCode::LoginFailed, &mut all), ["password"]);
        assert_eq!(
            Value::Object(all),
            json!({ "reason": "wrong password", "password": { "withheld": "unclassified" } })
        );
    }

    #[test]
    fn so_is_one_that_hides_in_an_object_or_behind_another_kind() {
        let mut all = facts(
            json!({ "before": { "role": "user", "password": "canary" }, "locked": "canary", "role": null }),
        );
        assert_eq!(classify(EventCode::UserChanged, &mut all), ["before.password", "locked"]);
        let mut list = facts(json!({ "groups": ["a", { "x": "canary" }] }));
        assert_eq!(classify(EventCode::UserChanged, &mut list), ["groups"]);
        assert!(!format!("{all:?}{list:?}").contains("canary"));
    }

    #[test]
    fn what_was_withheld_once_is_not_told_of_again() {
        let mut all = facts(json!({ "password": "canary" }));
        classify(EventCode::LoginFailed, &mut all);
        assert!(classify(EventCode::LoginFailed, &mut all).is_empty());
        for sly in
            [json!({ "withheld": "canary" }), json!({ "withheld": "unclassified", "password": "canary" })]
        {
            let mut sly = facts(json!({ "password": sly }));
            assert_eq!(classify(EventCode::LoginFailed, &mut sly), ["password"]);
        }
    }

    #[test]
    fn whoever_may_not_see_persons_sees_none() {
        let all = facts(json!({ "name": "ada", "address": "10.0.0.7", "flow": "oidc", "new": 1 }));
        let shown = |class| Value::Object(shown(EventCode::LoginFailed, &all, class));
        assert_eq!(shown(Class::Personal)["name"], "ada");
        assert_eq!(shown(Class::Internal)["name"], json!({ "withheld": "personal" }));
        assert_eq!(shown(Class::Internal)["flow"], "oidc");
        assert_eq!(shown(Class::Personal)["new"], json!({ "withheld": "unclassified" }));
    }

    #[test]
    fn the_table_is_in_order() {
        fn check(code: EventCode, facts: &[Fact]) {
            for (at, fact) in facts.iter().enumerate() {
                assert!(fact.meaning.ends_with('.'), "{code}: {}", fact.name);
                assert!(
                    !facts[..at].iter().any(|other| other.name == fact.name),
                    "{code}: {} stands twice",
                    fact.name
                );
                if let Kind::Fields(inner) = fact.kind {
                    check(code, inner);
                }
            }
        }
        EventCode::all().iter().for_each(|code| check(*code, schema(*code)));
    }
}
