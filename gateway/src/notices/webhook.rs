//! Webhooks by the Standard Webhooks specification: JSON, signed so that whoever gets it knows that it is from here, and
//! when it was sent.
//!
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use std::fmt::Write as _;

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoop_model::{Redacted, Timestamp};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use super::notice::{Fact, Notice, Severity};

/// What a secret begins with.
const PREFIX: &str = "whsec_";
/// The specification asks for 24 to 64 bytes.
const SHORTEST: usize = 24;
const LONGEST: usize = 64;
/// While a secret is being replaced both sign: more than these is a mistake.
const MOST_SECRETS: usize = 4;

/// Why a text is no secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a secret is `whsec_` and the base64 of 24 to 64 bytes; several are separated by spaces, at most 4")]
pub(crate) struct SecretError;

/// Keys that sign; none of them shows itself.
#[derive(Debug, Clone)]
pub(crate) struct Secrets(Vec<Redacted<Vec<u8>>>);

impl Secrets {
    /// Reads `whsec_…`, or several separated by white space (the new one and the old, while receivers change over).
    pub(crate) fn parse(text: &Redacted<String>) -> Result<Self, SecretError> {
        let keys = text.expose().split_whitespace().map(|word| {
            let key = word.strip_prefix(PREFIX).and_then(|encoded| STANDARD.decode(encoded).ok());
            key.filter(|key| (SHORTEST..=LONGEST).contains(&key.len())).map(Redacted::new).ok_or(SecretError)
        });
        let keys = keys.take(MOST_SECRETS + 1).collect::<Result<Vec<_>, _>>()?;
        if keys.is_empty() || keys.len() > MOST_SECRETS { Err(SecretError) } else { Ok(Self(keys)) }
    }

    /// `v1,` and base64, one a key, separated by spaces.
    fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let mut signatures = String::new();
        for key in &self.0 {
            let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()));
            signing.update(format!("{id}.{seconds}.").as_bytes());
            signing.update(body);
            let space = if signatures.is_empty() { "" } else { " " };
            let _ = write!(signatures, "{space}v1,{}", STANDARD.encode(signing.sign()));
        }
        signatures
    }
}

/// The body: type, time, and what there is to tell.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'a str,
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    severity: Severity,
    title: &'a str,
    text: &'a str,
    facts: &'a [Fact],
    url: Option<&'a str>,
}

/// The body of a notice.
pub(crate) fn body(notice: &Notice) -> Result<Vec<u8>, serde_json::Error> {
    let Notice { topic, severity, title, text, facts, url, at } = notice;
    let data = Data { severity: *severity, title, text, facts, url: url.as_deref() };
    serde_json::to_vec(&Body { r#type: topic.as_str(), timestamp: *at, data })
}

/// Its headers: the id is the same for each attempt, the time is that of this one.
pub(crate) fn headers(id: &str, secrets: &Secrets, now: Timestamp, body: &[u8]) -> HeaderMap {
    let seconds = now.as_seconds();
    let signature = secrets.sign(id, seconds, body);
    let rows = [
        ("webhook-id", id.to_owned()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", signature),
    ];
    // Letters, digits and base64: there is no value that is no header.
    let row = |(name, value): (&'static str, String)| {
        Some((HeaderName::from_static(name), HeaderValue::try_from(value).ok()?))
    };
    rows.into_iter().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notices::notice::Topic;

    fn secrets(text: &str) -> Result<Secrets, SecretError> {
        Secrets::parse(&Redacted::new(text.to_owned()))
    }

    /// The vector that the specification's own libraries are tested with.
    #[test]
    fn the_published_vector() {
        let secrets = secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed = secrets.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn while_secrets_change_both_sign() {
        let (old, new) = ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD");
        let both = secrets(&format!("{new} {old}")).unwrap().sign("a", 1, b"{}");
        let alone = |secret| secrets(secret).unwrap().sign("a", 1, b"{}");
        assert_eq!(both, format!("{} {}", alone(new), alone(old)));
        assert_ne!(alone(new), alone(old));
    }

    #[test]
    fn what_is_no_secret_is_refused_and_not_shown() {
        let long = format!("whsec_{}", STANDARD.encode([7; 65]));
        let good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let many = [good; 5].join(" ");
        for text in [
            "",
            " ",
            "whsec_",
            "whsec_c2hvcnQ=",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_%%%",
            &long,
            &many,
        ] {
            let error = secrets(text).unwrap_err();
            assert!(!error.to_string().contains("MfKQ"));
        }
        assert_eq!(format!("{:?}", secrets(good).unwrap()), "Secrets([[redacted]])");
    }

    #[test]
    fn the_body_is_as_the_specification_likes_it() {
        let notice =
            Notice::new(Topic::RequestCreated, Timestamp::EPOCH, "ada asks \"x\"").fact("reason", "r");
        let body: serde_json::Value = serde_json::from_slice(&body(&notice).unwrap()).unwrap();
        assert_eq!(body["type"], "request.created");
        assert_eq!(body["timestamp"], "1970-01-01T00:00:00.000000Z");
        assert_eq!(body["data"]["title"], "ada asks \"x\"");
        assert_eq!(body["data"]["facts"][0]["value"], "r");
        let headers = headers(
            "ntc_1",
            &secrets("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap(),
            Timestamp::EPOCH,
            b"",
        );
        assert_eq!(headers.len(), 3);
        assert_eq!(headers["webhook-timestamp"], "0");
    }
}
