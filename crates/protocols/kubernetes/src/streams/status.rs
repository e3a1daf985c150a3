//! How a command ended, as the last thing that is said: JSON of `v1.Status` from version 4 on, before that words, of failures only.

use bytes::Bytes;
use serde::Deserialize;

/// Longest that is taken.
pub(super) const LONGEST: usize = 256 << 10;

/// For a client whose command ended in a way that nobody knows. Clients take no status at all for success.
pub(super) const UNKNOWN: &str = r#"{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the stream ended and nobody said how the command did","reason":"InternalError","code":500}"#;

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    status: String,
    #[serde(default)]
    message: String,
}

/// For a client of a version before 4.
pub(super) fn words(json: &Bytes) -> Bytes {
    match serde_json::from_slice::<Status>(json) {
        Ok(Status { status, .. }) if status == "Success" => Bytes::new(),
        Ok(Status { message, .. }) if !message.is_empty() => message.into(),
        // Better too much than success.
        _ => json.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_needs_no_words() {
        for (json, expected) in [
            (r#"{"status":"Success"}"#, ""),
            (r#"{"status":"Failure","message":"exit code 1"}"#, "exit code 1"),
            (r#"{"status":"Failure"}"#, r#"{"status":"Failure"}"#),
            (r#"{"status":"Succ"#, r#"{"status":"Succ"#),
            (UNKNOWN, "the stream ended and nobody said how the command did"),
        ] {
            assert_eq!(words(&Bytes::from(json)), expected);
        }
    }
}
