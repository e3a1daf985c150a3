//! What a v1.Status says: how a command ended, or why something is refused.

use serde::Deserialize;

use super::refused;
use crate::error::{Class, ClientError, Result};

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
pub(super) fn ended(bytes: &[u8]) -> Result<u8> {
    let Ok(status) = serde_json::from_slice::<Status>(bytes) else {
        return Err(super::broke("what was said of it is not understood"));
    };
    if status.status == "Success" {
        return Ok(0);
    }
    let code = status.details.causes.iter().find(|cause| cause.reason == "ExitCode");
    match code.and_then(|cause| cause.message.parse::<u32>().ok()) {
        Some(code) => Ok(u8::try_from(code).unwrap_or(u8::MAX)),
        None => Err(refused(Class::Away, said(&status, "the command did not run to its end"), None)),
    }
}

/// The answer to a request that was not granted.
pub(super) fn answered(http: u16, body: &[u8]) -> ClientError {
    let class = match http {
        401 | 403 | 404 => Class::Denied,
        400..=499 => Class::Usage,
        _ => Class::Away,
    };
    let Ok(status) = serde_json::from_slice::<Status>(body) else {
        return refused(class, format!("the API server answered with HTTP status {http}"), None);
    };
    let hint = match (http, status.reason.as_str()) {
        (400, _) if status.message.contains("container") => Some("name one with -c"),
        (404, _) => Some("is it in another namespace? -n"),
        (401, _) | (403, "Forbidden") if !status.message.contains("HOOP-") => {
            Some("what the connection may do in the cluster, an admin decides there")
        }
        _ => None,
    };
    let otherwise = format!("the API server answered with HTTP status {http}");
    refused(class, said(&status, &otherwise), hint.map(str::to_owned))
}

/// Message and reason, which may say the same.
fn said(status: &Status, otherwise: &str) -> String {
    let message = if status.message.is_empty() { otherwise } else { &status.message };
    if status.reason.is_empty() { message.to_owned() } else { format!("{message} [{}]", status.reason) }
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
            assert!(ended(bad.as_bytes()).unwrap_err().is("HOOP-1073"), "{bad}");
        }
        for bad in ["", "3", "nonsense"] {
            assert!(ended(bad.as_bytes()).unwrap_err().is("HOOP-1074"), "{bad}");
        }
    }

    #[test]
    fn a_refusal_says_message_reason_and_what_to_do() {
        let body = br#"{"kind":"Status","status":"Failure","message":"pods \"x\" not found","reason":"NotFound","code":404}"#;
        let error = answered(404, body);
        assert_eq!(error.class, Class::Denied);
        assert_eq!(
            error.to_string(),
            "pods \"x\" not found [NotFound] (HOOP-1073)\nhint: is it in another namespace? -n"
        );
        assert_eq!(answered(503, b"<html>").class, Class::Away);
        assert!(
            answered(400, br#"{"message":"a container name must be specified"}"#).to_string().contains("-c")
        );
    }
}
