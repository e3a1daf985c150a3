//! Where a PATCH points: `active`, `members`, `members[value eq "usr_…"]`, `name.givenName` (RFC 7644 §3.5.2).

use crate::{
    LONGEST_TEXT, ScimError,
    filter::{Filter, name},
};

/// A path that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The attribute, in lower case.
    pub attribute: String,
    /// Which of its values.
    pub select: Option<Filter>,
    /// A part of it, in lower case.
    pub part: Option<String>,
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// [`ScimError::InvalidPath`].
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        let wrong = || ScimError::InvalidPath;
        let text = text.trim();
        if text.len() > LONGEST_TEXT {
            return Err(wrong());
        }
        if let Some((attribute, inside)) = text.split_once('[') {
            let (select, rest) = Filter::parse_prefix(inside).map_err(|_| wrong())?;
            let rest = rest.trim_start().strip_prefix(']').ok_or_else(wrong)?;
            let part = match rest.strip_prefix('.') {
                Some(part) => Some(name(part).ok_or_else(wrong)?),
                None if rest.is_empty() => None,
                None => return Err(wrong()),
            };
            let attribute = name(attribute).ok_or_else(wrong)?;
            return Ok(Self { attribute, select: Some(select), part });
        }
        // A schema's name has dots of its own: `urn:…:core:2.0:User:name.givenName`.
        let local = text.rsplit(':').next().unwrap_or_default();
        let (whole, part) = match local.split_once('.') {
            Some((_, part)) => {
                let end = text.len().saturating_sub(part.len() + 1);
                (text.get(..end).unwrap_or_default(), Some(name(part).ok_or_else(wrong)?))
            }
            None => (text, None),
        };
        Ok(Self { attribute: name(whole).ok_or_else(wrong)?, select: None, part })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(attribute: &str, select: Option<(&str, &str)>, part: Option<&str>) -> Path {
        let select =
            select.map(|(attribute, value)| Filter { attribute: attribute.into(), value: value.into() });
        Path { attribute: attribute.into(), select, part: part.map(Into::into) }
    }

    #[test]
    fn what_providers_send_is_understood() {
        for (text, wanted) in [
            ("active", path("active", None, None)),
            ("Members", path("members", None, None)),
            ("members[value eq \"usr_1\"]", path("members", Some(("value", "usr_1")), None)),
            ("emails[type eq \"work\"].value", path("emails", Some(("type", "work")), Some("value"))),
            ("name.givenName", path("name", None, Some("givenname"))),
            ("urn:ietf:params:scim:schemas:core:2.0:User:active", path("active", None, None)),
            (
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.value",
                path("manager", None, Some("value")),
            ),
            ("members[value eq \"a]b[c\\\"\"]", path("members", Some(("value", "a]b[c\"")), None)),
        ] {
            assert_eq!(Path::parse(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            ".",
            "a.",
            ".a",
            "a.b.c",
            "[",
            "members[",
            "members[]",
            "members[value]",
            "members[value eq \"x\"",
            "members[value eq \"x\"]x",
            "members[value eq \"x\"].",
            "members[value eq \"x\"][value eq \"y\"]",
            "members[value eq \"x\" and type eq \"y\"]",
            "[value eq \"x\"]",
            "a b",
            "urn:",
            "urn:a:.b",
            "active\0",
        ] {
            assert_eq!(Path::parse(text), Err(ScimError::InvalidPath), "{text}");
        }
        assert!(Path::parse(&"a".repeat(LONGEST_TEXT + 1)).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}", inside in "\\PC{0,40}") {
            let _ = (Path::parse(&text), Path::parse(&format!("members[{inside}]")));
        }

        #[test]
        fn a_selected_value_comes_back_whatever_it_is(value in "\\PC{0,60}") {
            let text = format!("members[value eq {}]", serde_json::Value::from(value.as_str()));
            if text.len() <= LONGEST_TEXT {
                prop_assert_eq!(Path::parse(&text).unwrap().select.unwrap().value, value);
            }
        }
    }
}
