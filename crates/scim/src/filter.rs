//! The one form of filter that provisioning uses: `userName eq "ada"` (RFC 7644 §3.4.2.2).

use crate::{LONGEST_TEXT, ScimError};

/// A filter that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// The attribute, in lower case: names of attributes have no case (RFC 7643 §2.1).
    pub attribute: String,
    /// What it must equal.
    pub value: String,
}

impl Filter {
    /// Reads `attribute eq "value"`.
    ///
    /// # Errors
    /// [`ScimError::InvalidFilter`].
    pub fn parse(text: &str) -> Result<Self, ScimError> {
        let (filter, rest) = Self::parse_prefix(text)?;
        if rest.trim().is_empty() { Ok(filter) } else { Err(ScimError::InvalidFilter) }
    }

    /// Reads one, and gives what follows it.
    pub(crate) fn parse_prefix(text: &str) -> Result<(Self, &str), ScimError> {
        if text.len() > LONGEST_TEXT {
            return Err(ScimError::InvalidFilter);
        }
        let wrong = || ScimError::InvalidFilter;
        let (attribute, rest) = text.trim_start().split_once(' ').ok_or_else(wrong)?;
        let (operator, rest) = rest.trim_start().split_once(' ').ok_or_else(wrong)?;
        if !operator.eq_ignore_ascii_case("eq") {
            return Err(wrong());
        }
        let attribute = name(attribute).ok_or_else(wrong)?;
        // The value is a JSON string (RFC 7644 §3.4.2.2): its own rules say where it ends.
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        let value = values.next().and_then(Result::ok).ok_or_else(wrong)?;
        let rest = rest.get(values.byte_offset()..).unwrap_or_default();
        Ok((Self { attribute, value }, rest))
    }
}

/// An attribute's name in lower case, without the schema that it may be qualified with.
pub(crate) fn name(text: &str) -> Option<String> {
    let text = match text.get(..4) {
        Some(urn) if urn.eq_ignore_ascii_case("urn:") => text.rsplit(':').next()?,
        _ => text,
    };
    let first = text.bytes().next().is_some_and(|c| c.is_ascii_alphabetic());
    let right = first && text.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-' | b'$'));
    right.then(|| text.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_providers_ask_is_understood() {
        for (text, attribute, value) in [
            ("userName eq \"ada@example.org\"", "username", "ada@example.org"),
            ("USERNAME Eq \"ada\"", "username", "ada"),
            ("  externalId   eq   \"00u1\"  ", "externalid", "00u1"),
            ("urn:ietf:params:scim:schemas:core:2.0:User:userName eq \"ada\"", "username", "ada"),
            ("displayName eq \"a \\\"b\\\" \\u0063 ] eq \"", "displayname", "a \"b\" c ] eq "),
        ] {
            let wanted = Filter { attribute: attribute.into(), value: value.into() };
            assert_eq!(Filter::parse(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "userName",
            "userName eq",
            "userName eq ",
            "userName eq ada",
            "userName eq 'ada'",
            "userName eq true",
            "userName ne \"ada\"",
            "userName sw \"a\"",
            "userName pr",
            "userName eq \"ada\" or id pr",
            "userName eq \"ada\"\"x\"",
            "not (userName eq \"ada\")",
            "name.givenName eq \"x\"",
            "userName eq \"ada",
            "userName eq \"\\ud800\"",
            "urn: eq \"x\"",
            "user'; DROP eq \"x\"",
            "ü eq \"x\"",
        ] {
            assert_eq!(Filter::parse(text), Err(ScimError::InvalidFilter), "{text}");
        }
        assert!(Filter::parse(&format!("userName eq \"{}\"", "x".repeat(LONGEST_TEXT))).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,80}") {
            let _ = Filter::parse(&text);
        }

        #[test]
        fn a_value_comes_back_whatever_it_is(value in "\\PC{0,60}") {
            let text = format!("userName eq {}", serde_json::Value::from(value.as_str()));
            if text.len() <= LONGEST_TEXT {
                prop_assert_eq!(Filter::parse(&text).unwrap().value, value);
            }
        }
    }
}
