//! A person and a group as a provider sends them. Names of attributes have no case (RFC 7643 §2.1).

use serde_json::{Map, Value};

use crate::{MOST_MEMBERS, ScimError};

/// A person, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// `userName`.
    pub user_name: String,
    /// `externalId`.
    pub external_id: Option<String>,
    /// `active`; true if not said (RFC 7643 §4.1.1 leaves it to the service).
    pub active: bool,
}

/// A group, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// `displayName`.
    pub display_name: String,
    /// `externalId`.
    pub external_id: Option<String>,
    /// Ids of its members.
    pub members: Vec<String>,
}

impl User {
    /// Reads the body of a POST or PUT.
    ///
    /// # Errors
    /// [`ScimError`] says what is wrong.
    pub fn parse(body: &[u8]) -> Result<Self, ScimError> {
        let object = object(body)?;
        Ok(Self {
            user_name: required(&object, "userName", "userName must be a text")?,
            external_id: optional(&object, "externalId", "externalId must be a text")?,
            active: find(&object, "active").map_or(Ok(true), boolean)?,
        })
    }
}

impl Group {
    /// Reads the body of a POST or PUT.
    ///
    /// # Errors
    /// [`ScimError`] says what is wrong.
    pub fn parse(body: &[u8]) -> Result<Self, ScimError> {
        let object = object(body)?;
        Ok(Self {
            display_name: required(&object, "displayName", "displayName must be a text")?,
            external_id: optional(&object, "externalId", "externalId must be a text")?,
            members: find(&object, "members").map_or(Ok(Vec::new()), members)?,
        })
    }
}

pub(crate) fn object(body: &[u8]) -> Result<Map<String, Value>, ScimError> {
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        _ => Err(ScimError::InvalidSyntax("the body must be one JSON object")),
    }
}

/// An attribute, whatever the case of its name; null is as good as absent (RFC 7643 §2.5).
pub(crate) fn find<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    let found = object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value).filter(|value| !value.is_null())
}

fn optional(
    object: &Map<String, Value>,
    name: &str,
    wrong: &'static str,
) -> Result<Option<String>, ScimError> {
    find(object, name).map(|value| text(value, wrong)).transpose()
}

fn required(object: &Map<String, Value>, name: &str, wrong: &'static str) -> Result<String, ScimError> {
    optional(object, name, wrong)?.ok_or(ScimError::InvalidValue(wrong))
}

pub(crate) fn text(value: &Value, wrong: &'static str) -> Result<String, ScimError> {
    let text = value.as_str().filter(|text| !text.is_empty() && text.len() <= 512);
    text.map(str::to_owned).ok_or(ScimError::InvalidValue(wrong))
}

/// Entra writes `"False"` where it means `false`.
pub(crate) fn boolean(value: &Value) -> Result<bool, ScimError> {
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(ScimError::InvalidValue("active must be true or false")),
    }
}

/// `[{"value": "usr_…"}]`, one such object, or texts alone.
pub(crate) fn members(value: &Value) -> Result<Vec<String>, ScimError> {
    let listed = match value {
        Value::Array(listed) => listed.as_slice(),
        one => std::slice::from_ref(one),
    };
    if listed.len() > MOST_MEMBERS {
        return Err(ScimError::TooMany("a request names at most 10000 members"));
    }
    let wrong = "members must be a list of objects with a value";
    let one = |member: &Value| match member {
        Value::Object(object) => text(find(object, "value").unwrap_or(&Value::Null), wrong),
        other => text(other, wrong),
    };
    listed.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn user(value: &Value) -> Result<User, ScimError> {
        User::parse(value.to_string().as_bytes())
    }

    #[test]
    fn a_person_is_read_and_what_is_unknown_is_left_alone() {
        let okta = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": "ada@example.org",
            "name": { "givenName": "Ada", "familyName": "Lovelace" }, "emails": [{ "primary": true, "value": "x" }],
            "displayName": "Ada", "locale": "en-US", "externalId": "00u1", "groups": [{ "value": "admins" }],
            "roles": ["admin"], "password": "x", "active": true,
        });
        let wanted =
            User { user_name: "ada@example.org".into(), external_id: Some("00u1".into()), active: true };
        assert_eq!(user(&okta), Ok(wanted.clone()));
        let entra = json!({ "USERNAME": "ada@example.org", "externalid": "00u1", "Active": "True" });
        assert_eq!(user(&entra), Ok(wanted));
        assert!(user(&json!({ "userName": "a", "active": null })).unwrap().active);
        assert!(!user(&json!({ "userName": "a", "active": "False" })).unwrap().active);
    }

    #[test]
    fn what_is_known_and_wrong_is_refused() {
        for wrong in [
            json!({}),
            json!({ "userName": null }),
            json!({ "userName": "" }),
            json!({ "userName": 7 }),
            json!({ "userName": ["a"] }),
            json!({ "userName": "a".repeat(513) }),
            json!({ "userName": "a", "active": "no" }),
            json!({ "userName": "a", "active": 0 }),
            json!({ "userName": "a", "externalId": {} }),
        ] {
            assert!(matches!(user(&wrong), Err(ScimError::InvalidValue(_))), "{wrong}");
        }
        for wrong in ["", "[]", "\"x\"", "{", "null", "{}{}"] {
            assert!(matches!(User::parse(wrong.as_bytes()), Err(ScimError::InvalidSyntax(_))), "{wrong}");
        }
        let deep = "[".repeat(100_000);
        assert!(User::parse(deep.as_bytes()).is_err());
    }

    #[test]
    fn members_are_bounded_texts() {
        let group = |members: Value| {
            Group::parse(json!({ "displayName": "dba", "members": members }).to_string().as_bytes())
        };
        let wanted = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(
            group(json!([{ "value": "a", "display": "x" }, { "Value": "b" }])).unwrap().members,
            wanted
        );
        assert_eq!(group(json!(["a", "b"])).unwrap().members, wanted);
        assert_eq!(group(json!(null)).unwrap().members, Vec::<String>::new());
        for wrong in [json!([{}]), json!([7]), json!([[]]), json!([{ "value": "" }]), json!(true)] {
            assert!(group(wrong.clone()).is_err(), "{wrong}");
        }
        assert!(matches!(group(json!(vec!["a"; MOST_MEMBERS + 1])), Err(ScimError::TooMany(_))));
    }
}
