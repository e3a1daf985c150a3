//! What a v1.Status says: how a command ended, or why something is refused.

use serde::Deserialize;

use crate::error::{PodError, Refusal};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    status: String,
    message: String,
    reason: String,
    details: Details,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    causes: Vec<Cause>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
}

/// The exit code of a command that ended.
///
/// # Errors
/// When it did not run to an end of its own.
pub(crate) fn ended(bytes: &[u8]) -> Result<u8, PodError> {
    let Ok(status) = serde_json::from_slice::<Status>(bytes) else {
        return Err(PodError::Broke("what was said of it is not understood"));
    };
    if status.status == "Success" {
        return Ok(0);
    }
    let code = status.details.causes.iter().find(|cause| cause.reason == "ExitCode");
    match code.and_then(|cause| cause.message.parse::<u32>().ok()) {
        Some(code) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
        None => Err(said(None, status, || "the command did not run to its end".to_owned()).into()),
    }
}

/// The answer to a request that was not granted.
pub(crate) fn answered(http: u16, body: &[u8]) -> Refusal {
    let status = serde_json::from_slice::<Status>(body).unwrap_or_default();
    said(Some(http), status, || format!("the API server answered with HTTP status {http}"))
}

fn said(http: Option<u16>, status: Status, otherwise: impl FnOnce() -> String) -> Refusal {
    let message = if status.message.is_empty() { otherwise() } else { status.message };
    Refusal { http, message, reason: status.reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_is_the_commands() {
        let failed = |cause: &str| {
            format!(
                r#"{{"status":"Failure","reason":"NonZeroExitCode","message":"m","details":{{"causes":[{cause}]}}}}"#
            )
        };
        assert_eq!(ended(br#"{"metadata":{},"status":"Success"}"#).unwrap(), 0);
        assert_eq!(ended(failed(r#"{"reason":"ExitCode","message":"7"}"#).as_bytes()).unwrap(), 7);
        assert_eq!(ended(failed(r#"{"reason":"ExitCode","message":"700"}"#).as_bytes()).unwrap(), 255);
        for bad in
            [failed(""), failed(r#"{"reason":"ExitCode","message":"x"}"#), r#"{"status":"Failure"}"#.into()]
        {
            assert!(matches!(ended(bad.as_bytes()), Err(PodError::Refused(_))), "{bad}");
        }
        for bad in ["", "3", "nonsense"] {
            assert!(matches!(ended(bad.as_bytes()), Err(PodError::Broke(_))), "{bad}");
        }
    }

    #[test]
    fn a_refusal_says_message_and_reason() {
        let body = br#"{"kind":"Status","status":"Failure","message":"pods \"x\" not found","reason":"NotFound","code":404}"#;
        assert_eq!(answered(404, body).to_string(), "pods \"x\" not found [NotFound]");
        assert_eq!(answered(503, b"<html>").to_string(), "the API server answered with HTTP status 503");
    }
}
