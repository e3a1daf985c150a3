//! PATCH (RFC 7644 §3.5.2), as Okta and Entra write it: with a path or without, words in any case.

use serde_json::{Map, Value};

use crate::{
    MOST_OPERATIONS, Path, ScimError,
    resource::{boolean, find, members, object, text},
};

/// What a PATCH says about a person. `None` leaves as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserChange {
    /// `userName`.
    pub user_name: Option<String>,
    /// `externalId`.
    pub external_id: Option<String>,
    /// `active`.
    pub active: Option<bool>,
}

/// One step of a PATCH of a group; they are done in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupChange {
    /// A new name.
    Rename(String),
    /// Another `externalId`.
    ExternalId(String),
    /// More members.
    Add(Vec<String>),
    /// Fewer members.
    Remove(Vec<String>),
    /// These members and no others.
    Replace(Vec<String>),
}

/// All steps.
pub type GroupPatch = Vec<GroupChange>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Add,
    Replace,
    Remove,
}

struct Operation {
    op: Op,
    path: Option<Path>,
    value: Option<Value>,
}

fn operations(body: &[u8]) -> Result<Vec<Operation>, ScimError> {
    let mut object = object(body)?;
    let key = object.keys().find(|key| key.eq_ignore_ascii_case("Operations")).cloned();
    let listed = key.and_then(|key| object.remove(&key));
    let Some(Value::Array(listed)) = listed else {
        return Err(ScimError::InvalidSyntax("Operations must be a list"));
    };
    if listed.len() > MOST_OPERATIONS {
        return Err(ScimError::TooMany("a PATCH has at most 1000 operations"));
    }
    listed.into_iter().map(operation).collect()
}

fn operation(value: Value) -> Result<Operation, ScimError> {
    let Value::Object(object) = value else {
        return Err(ScimError::InvalidSyntax("an operation must be an object"));
    };
    let op = match find(&object, "op").and_then(Value::as_str).map(str::to_ascii_lowercase).as_deref() {
        Some("add") => Op::Add,
        Some("replace") => Op::Replace,
        Some("remove") => Op::Remove,
        _ => return Err(ScimError::InvalidSyntax("op must be add, replace or remove")),
    };
    let path = match find(&object, "path") {
        None => None,
        Some(Value::String(path)) => Some(Path::parse(path)?),
        Some(_) => return Err(ScimError::InvalidPath),
    };
    Ok(Operation { op, path, value: find(&object, "value").cloned() })
}

/// An operation as attributes and their new values: its path's one, or those of an object.
fn assignments(operation: Operation) -> Result<Vec<(String, Value)>, ScimError> {
    let wrong = ScimError::InvalidValue("an operation without a path needs an object as its value");
    match (operation.path, operation.value) {
        // Parts, and chosen ones of several values, are of attributes that are not kept.
        (Some(Path { select: None, part: None, attribute }), Some(value)) => Ok(vec![(attribute, value)]),
        (Some(Path { select: None, part: None, .. }), None) => {
            Err(ScimError::InvalidValue("the operation has no value"))
        }
        (Some(_), _) => Ok(Vec::new()),
        (None, Some(Value::Object(values))) => Ok(lower(values)),
        (None, _) => Err(wrong),
    }
}

fn lower(values: Map<String, Value>) -> Vec<(String, Value)> {
    values.into_iter().filter_map(|(key, value)| Some((crate::filter::name(&key)?, value))).collect()
}

/// Reads a PATCH of a person.
///
/// # Errors
/// [`ScimError`] says what is wrong; nothing of it is to be done then.
pub fn user_patch(body: &[u8]) -> Result<UserChange, ScimError> {
    let mut change = UserChange::default();
    for operation in operations(body)? {
        if operation.op == Op::Remove {
            let path = operation.path.ok_or(ScimError::InvalidPath)?;
            if matches!(path.attribute.as_str(), "username" | "externalid" | "active") {
                return Err(ScimError::InvalidValue("this attribute cannot be removed"));
            }
            continue;
        }
        for (attribute, value) in assignments(operation)? {
            match attribute.as_str() {
                "active" => change.active = Some(boolean(&value)?),
                "username" => change.user_name = Some(text(&value, "userName must be a text")?),
                "externalid" => change.external_id = Some(text(&value, "externalId must be a text")?),
                _ => {}
            }
        }
    }
    Ok(change)
}

/// Reads a PATCH of a group.
///
/// # Errors
/// [`ScimError`] says what is wrong; nothing of it is to be done then.
pub fn group_patch(body: &[u8]) -> Result<GroupPatch, ScimError> {
    let mut changes = Vec::new();
    for operation in operations(body)? {
        let Operation { op, path, value } = operation;
        if op == Op::Remove {
            changes.extend(removal(&path.ok_or(ScimError::InvalidPath)?, value.as_ref())?);
            continue;
        }
        for (attribute, value) in assignments(Operation { op, path, value })? {
            match attribute.as_str() {
                "displayname" => {
                    changes.push(GroupChange::Rename(text(&value, "displayName must be a text")?))
                }
                "externalid" => {
                    changes.push(GroupChange::ExternalId(text(&value, "externalId must be a text")?));
                }
                "members" if op == Op::Add => changes.push(GroupChange::Add(members(&value)?)),
                "members" => changes.push(GroupChange::Replace(members(&value)?)),
                _ => {}
            }
        }
    }
    Ok(changes)
}

fn removal(path: &Path, value: Option<&Value>) -> Result<Option<GroupChange>, ScimError> {
    if path.attribute != "members" {
        let kept = matches!(path.attribute.as_str(), "displayname" | "externalid");
        return if kept {
            Err(ScimError::InvalidValue("this attribute cannot be removed"))
        } else {
            Ok(None)
        };
    }
    match (&path.select, &path.part, value) {
        (Some(select), None, _) if select.attribute == "value" => {
            Ok(Some(GroupChange::Remove(vec![select.value.clone()])))
        }
        // Entra names those to remove in the value.
        (None, None, Some(value)) => Ok(Some(GroupChange::Remove(members(value)?))),
        (None, None, None) => Ok(Some(GroupChange::Replace(Vec::new()))),
        _ => Err(ScimError::InvalidPath),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn body(operations: &Value) -> Vec<u8> {
        json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations })
            .to_string()
            .into_bytes()
    }

    fn user(operations: &Value) -> Result<UserChange, ScimError> {
        user_patch(&body(operations))
    }

    fn group(operations: &Value) -> Result<GroupPatch, ScimError> {
        group_patch(&body(operations))
    }

    #[test]
    fn providers_switch_people_off_in_many_ways() {
        let off = UserChange { active: Some(false), ..UserChange::default() };
        for operations in [
            json!([{ "op": "replace", "value": { "active": false } }]),
            json!([{ "op": "Replace", "path": "active", "value": "False" }]),
            json!([{ "op": "Add", "path": "urn:ietf:params:scim:schemas:core:2.0:User:active", "value": false }]),
            json!([{ "op": "replace", "path": "name.givenName", "value": "Ada" },
                   { "op": "add", "path": "emails[type eq \"work\"].value", "value": "x@y" },
                   { "op": "remove", "path": "title" }, { "OP": "REPLACE", "PATH": "Active", "VALUE": "false" }]),
        ] {
            assert_eq!(user(&operations), Ok(off.clone()), "{operations}");
        }
        let renamed = user(
            &json!([{ "op": "replace", "value": { "userName": "ada2", "nickName": "x", "active": null } }]),
        );
        assert!(renamed.is_err(), "null is no boolean");
        let renamed =
            user(&json!([{ "op": "replace", "value": { "userName": "ada2", "roles": ["admin"] } }]));
        assert_eq!(renamed.unwrap().user_name.as_deref(), Some("ada2"));
    }

    #[test]
    fn members_come_and_go() {
        for (operations, wanted) in [
            (
                json!([{ "op": "add", "path": "members", "value": [{ "value": "a" }, { "value": "b" }] }]),
                vec![GroupChange::Add(vec!["a".into(), "b".into()])],
            ),
            (
                json!([{ "op": "Remove", "path": "members[value eq \"a\"]" }]),
                vec![GroupChange::Remove(vec!["a".into()])],
            ),
            (
                json!([{ "op": "Remove", "path": "members", "value": [{ "value": "a" }] }]),
                vec![GroupChange::Remove(vec!["a".into()])],
            ),
            (json!([{ "op": "remove", "path": "members" }]), vec![GroupChange::Replace(vec![])]),
            (
                json!([{ "op": "replace", "value": { "id": "grp_1", "displayName": "new" } },
                       { "op": "replace", "path": "members", "value": [] }]),
                vec![GroupChange::Rename("new".into()), GroupChange::Replace(vec![])],
            ),
        ] {
            assert_eq!(group(&operations), Ok(wanted), "{operations}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_whole() {
        for operations in [
            json!(null),
            json!({}),
            json!([1]),
            json!([{}]),
            json!([{ "op": "move", "path": "active", "value": true }]),
            json!([{ "op": "replace", "path": "active" }]),
            json!([{ "op": "replace", "path": "active", "value": "maybe" }]),
            json!([{ "op": "replace", "path": 7, "value": true }]),
            json!([{ "op": "replace", "path": "act ive", "value": true }]),
            json!([{ "op": "replace", "value": true }]),
            json!([{ "op": "replace" }]),
            json!([{ "op": "remove" }]),
            json!([{ "op": "remove", "path": "userName" }]),
            json!([{ "op": "remove", "path": "active" }]),
            json!([{ "op": "replace", "path": "active", "value": true }, { "op": "bad" }]),
        ] {
            assert!(user(&operations).is_err(), "{operations}");
        }
        for operations in [
            json!([{ "op": "remove", "path": "members[type eq \"a\"]" }]),
            json!([{ "op": "remove", "path": "members[value eq \"a\"].display" }]),
            json!([{ "op": "remove", "path": "displayName" }]),
            json!([{ "op": "add", "path": "members", "value": [{ "ref": "a" }] }]),
        ] {
            assert!(group(&operations).is_err(), "{operations}");
        }
        let many = vec![json!({ "op": "replace", "path": "active", "value": true }); MOST_OPERATIONS + 1];
        assert!(matches!(user(&json!(many)), Err(ScimError::TooMany(_))));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), path in "\\PC{0,40}") {
            crate::fuzz_reader(&bytes);
            crate::fuzz_reader(&body(&json!([{ "op": "remove", "path": path }])));
        }
    }
}
