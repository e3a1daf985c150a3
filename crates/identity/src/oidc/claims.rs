//! From verified claims to a person: name, groups, second factor. What is missing or strange grants nothing.

use hoop_model::{GroupName, UserName};
use serde_json::{Map, Value};

use super::{MfaEvidence, OidcError};

/// Most groups that are taken over.
pub const MAX_GROUPS: usize = 200;

/// The login name: `preferred_username`, or else an e-mail address that the provider has verified.
pub(super) fn name(
    preferred: Option<&str>,
    email: Option<&str>,
    email_verified: Option<bool>,
) -> Result<UserName, OidcError> {
    let text = match (preferred, email, email_verified) {
        (Some(preferred), _, _) => preferred,
        (None, Some(email), Some(true)) => email,
        (None, Some(_), _) => return Err(OidcError::Claims("the e-mail address is not verified".into())),
        (None, None, _) => {
            return Err(OidcError::Claims("neither preferred_username nor email is there".into()));
        }
    };
    UserName::new(text).map_err(|error| OidcError::Claims(error.to_string()))
}

/// The groups of a claim, and notes on what was left out.
pub(super) fn groups(claims: &Map<String, Value>, claim: Option<&str>) -> (Vec<GroupName>, Vec<String>) {
    let Some(claim) = claim else { return (Vec::new(), Vec::new()) };
    let listed = match claims.get(claim) {
        None => return (Vec::new(), vec![format!("there is no claim {claim:?}")]),
        Some(Value::Array(listed)) => listed.as_slice(),
        Some(single @ Value::String(_)) => std::slice::from_ref(single),
        Some(_) => return (Vec::new(), vec![format!("the claim {claim:?} is no list of names")]),
    };
    let (mut groups, mut notes) = (Vec::new(), Vec::new());
    for (number, value) in listed.iter().take(MAX_GROUPS).enumerate() {
        match value.as_str().map(GroupName::new) {
            Some(Ok(group)) => groups.push(group),
            Some(Err(error)) => notes.push(format!("group {number} was left out: {error}")),
            None => notes.push(format!("group {number} was left out: it is no text")),
        }
    }
    if listed.len() > MAX_GROUPS {
        notes.push(format!("only the first {MAX_GROUPS} of {} groups were taken", listed.len()));
    }
    groups.sort();
    groups.dedup();
    (groups, notes)
}

/// Did the provider see a second factor? Only what the operator named counts.
pub(super) fn mfa<'a>(
    evidence: &MfaEvidence,
    amr: impl IntoIterator<Item = &'a str>,
    acr: Option<&str>,
) -> bool {
    let by_method = amr.into_iter().any(|method| evidence.amr.iter().any(|known| known == method));
    by_method || acr.is_some_and(|acr| evidence.acr.iter().any(|known| known == acr))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_name_is_preferred_or_a_verified_address() {
        let table = [
            (Some("ada"), Some("x@y.org"), Some(false), Some("ada")),
            (None, Some("ada@y.org"), Some(true), Some("ada@y.org")),
            (None, Some("ada@y.org"), Some(false), None),
            (None, Some("ada@y.org"), None, None),
            (None, None, Some(true), None),
            (Some(""), Some("ada@y.org"), Some(true), None),
        ];
        for (preferred, email, verified, expected) in table {
            let name = name(preferred, email, verified).ok();
            assert_eq!(name.as_ref().map(UserName::as_str), expected, "{preferred:?} {email:?} {verified:?}");
        }
    }

    #[test]
    fn a_name_that_injects_is_refused() {
        for hostile in [
            "a,b",
            "a*",
            "a\nb",
            "a\0b",
            "a\u{202e}b",
            "\u{430}da",
            "a b",
            "*",
            "a'--",
            "ａda",
            &"a".repeat(129),
        ] {
            assert!(matches!(name(Some(hostile), None, None), Err(OidcError::Claims(_))), "{hostile:?}");
        }
    }

    fn of(value: Value) -> (Vec<String>, usize) {
        let claims = [("groups".to_owned(), value)].into_iter().collect();
        let (groups, notes) = groups(&claims, Some("groups"));
        (groups.iter().map(ToString::to_string).collect(), notes.len())
    }

    #[test]
    fn groups_are_checked_names_and_no_more_than_200() {
        assert_eq!(of(json!(["dba", "on call", "dba"])), (vec!["dba".into(), "on call".into()], 0));
        assert_eq!(of(json!("dba")), (vec!["dba".into()], 0));
        assert_eq!(of(json!(["dba", "a,b", 7, null, ["x"], {"x": 1}, "a\nb", "*"])), (vec!["dba".into()], 7));
        for strange in [json!(null), json!(7), json!({"dba": true}), json!(true)] {
            assert_eq!(of(strange), (vec![], 1));
        }
        let many: Vec<_> = (0..300).map(|n| format!("g{n:03}")).collect();
        let (taken, notes) = of(json!(many));
        assert_eq!((taken.len(), notes), (200, 1));
        assert_eq!(groups(&Map::new(), Some("groups")).0, []);
        assert_eq!(groups(&Map::new(), None), (vec![], vec![]));
    }

    #[test]
    fn only_named_evidence_counts_as_a_second_factor() {
        let evidence = MfaEvidence { amr: vec!["otp".into()], acr: vec!["urn:mfa".into()] };
        assert!(mfa(&evidence, ["pwd", "otp"], None));
        assert!(mfa(&evidence, [], Some("urn:mfa")));
        for (amr, acr) in
            [(vec![], None), (vec!["pwd"], Some("urn:pwd")), (vec!["OTP", "urn:mfa"], Some("otp"))]
        {
            assert!(!mfa(&evidence, amr.clone(), acr), "{amr:?} {acr:?}");
        }
        assert!(!mfa(&MfaEvidence::default(), ["otp", "mfa", ""], Some("")));
    }
}
