//! What Secrets hold is never in a recording, and where the rule masks answers, never in an answer.
//!
//! Keys stay, values do not: `data`, `stringData`, and the copy that `kubectl apply` keeps in an annotation. What was hidden cannot be
//! written back by mistake either: `kubectl edit` would put it in the place of the secret.

use bytes::{Bytes, BytesMut};
use hoop_model::Fault;
use hoop_policy::{ClusterRequest, Masking, Rules};
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;

use crate::{call::uncompressed, fault};

/// Bytes of an answer whose Secrets are hidden, and of one object in a stream of changes.
pub(crate) const LARGEST: usize = 32 << 20;
const LONGEST_LINE: usize = 4 << 20;
/// What stands in the place of a value: base64 of `[hidden by hoop]`, and the same as text.
const HIDDEN: &str = "W2hpZGRlbiBieSBob29wXQ==";
const HIDDEN_TEXT: &str = "[hidden by hoop]";
/// Where `kubectl apply` keeps a copy.
const APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Its bodies hold what proves who one is: nothing of them is recorded.
pub(crate) fn is_sensitive(request: &ClusterRequest) -> bool {
    let ClusterRequest { group, resource, subresource, .. } = request;
    match group.as_str() {
        "" => resource == "secrets" || (resource == "serviceaccounts" && subresource == "token"),
        "authentication.k8s.io" => resource == "tokenreviews",
        _ => false,
    }
}

/// Whether an answer hides what Secrets hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hiding(bool);

impl Hiding {
    pub(crate) fn of(rules: &Rules, request: &ClusterRequest) -> Self {
        let of_secrets = request.group.is_empty() && request.resource == "secrets";
        Self(of_secrets && rules.masking != Masking::None)
    }

    pub(crate) const fn hides(self) -> bool {
        self.0
    }

    /// What was hidden is not written over what is there.
    pub(crate) fn check_written(self, body: &[u8]) -> Result<(), Fault> {
        let has = |text: &str| body.windows(text.len()).any(|window| window == text.as_bytes());
        if self.0 && (has(HIDDEN) || has(HIDDEN_TEXT)) {
            return Err(fault::hidden("this would put what hoop has hidden in the place of the secret"));
        }
        Ok(())
    }

    /// Asks the cluster for the one form in which values are found.
    pub(crate) fn narrow(self, headers: &mut HeaderMap) -> Result<(), Fault> {
        if !self.0 {
            return Ok(());
        }
        uncompressed(headers);
        let accepted: Vec<&str> = headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|list| list.split(','))
            .map(str::trim)
            .filter(|kind| kind.starts_with("application/json"))
            .collect();
        let accepted = if accepted.is_empty() { "application/json".to_owned() } else { accepted.join(", ") };
        let wrong = |_| fault::request("what it accepts cannot be read");
        let accepted = HeaderValue::from_str(&accepted).map_err(wrong)?;
        headers.insert(header::ACCEPT, accepted);
        Ok(())
    }

    /// The answer without the values, and how many there were.
    pub(crate) fn hide(self, answer: &[u8]) -> Result<(Bytes, u64), Fault> {
        if answer.is_empty() {
            return Ok((Bytes::new(), 0));
        }
        let unreadable =
            |_| fault::hidden("the cluster answers with what is no JSON, so nothing of it is shown");
        let mut value: Value = serde_json::from_slice(answer).map_err(unreadable)?;
        let mut count = 0;
        hide_in(&mut value, &mut count);
        Ok((value.to_string().into(), count))
    }
}

fn hide_in(value: &mut Value, count: &mut u64) {
    match value {
        Value::Array(values) => values.iter_mut().for_each(|value| hide_in(value, count)),
        Value::Object(fields) => {
            for (name, value) in fields {
                let instead = match name.as_str() {
                    "data" => HIDDEN,
                    "stringData" => HIDDEN_TEXT,
                    APPLIED => {
                        *count += 1;
                        *value = Value::String("{}".to_owned());
                        continue;
                    }
                    _ => {
                        hide_in(value, count);
                        continue;
                    }
                };
                match value {
                    Value::Object(values) => {
                        for value in values.values_mut() {
                            *count += 1;
                            *value = Value::String(instead.to_owned());
                        }
                    }
                    Value::Null => {}
                    other => {
                        *count += 1;
                        *other = Value::Null;
                    }
                }
            }
        }
        _ => {}
    }
}

/// A stream of changes, one object a line.
#[derive(Debug, Default)]
pub(crate) struct Lines(BytesMut);

impl Lines {
    /// Takes a piece; answers the lines that are whole, without the values.
    pub(crate) fn push(&mut self, data: &[u8], hiding: &Hiding) -> Result<(Bytes, u64), Fault> {
        let from = self.0.len();
        self.0.extend_from_slice(data);
        let (mut out, mut count) = (BytesMut::new(), 0);
        let mut seen = from;
        while let Some(end) = memchr::memchr(b'\n', self.0.get(seen..).unwrap_or_default()) {
            let line = self.0.split_to(seen + end + 1);
            seen = 0;
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            let (hidden, values) = hiding.hide(text)?;
            out.extend_from_slice(&hidden);
            out.extend_from_slice(b"\n");
            count += values;
        }
        if self.0.len() > LONGEST_LINE {
            return Err(fault::hidden("an object is larger than what can be hidden at once"));
        }
        Ok((out.freeze(), count))
    }

    /// Nothing is left over.
    pub(crate) fn is_done(&self) -> bool {
        self.0.trim_ascii().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HIDES: Hiding = Hiding(true);

    fn hidden(value: &Value) -> (Value, u64) {
        let (bytes, count) = HIDES.hide(value.to_string().as_bytes()).unwrap();
        (serde_json::from_slice(&bytes).unwrap(), count)
    }

    fn secret() -> Value {
        json!({
            "kind": "Secret", "metadata": {"name": "db", "annotations": {APPLIED: "{\"data\":{\"password\":\"czNjcmV0\"}}", "team": "shop"}},
            "data": {"password": "czNjcmV0", "user": "YXBw"}, "stringData": {"x": "s3cret"}, "type": "Opaque",
        })
    }

    #[test]
    fn keys_stay_and_values_do_not_wherever_they_stand() {
        let (one, count) = hidden(&secret());
        assert_eq!(count, 4);
        assert_eq!(one["data"], json!({"password": HIDDEN, "user": HIDDEN}));
        assert_eq!(one["metadata"]["annotations"]["team"], "shop");
        for whole in [
            json!({"kind": "SecretList", "items": [secret(), secret()]}),
            json!({"kind": "Table", "rows": [{"cells": ["db", "Opaque", 2], "object": secret()}]}),
            json!({"type": "ADDED", "object": secret()}),
            json!({"items": [{"data": "czNjcmV0"}, {"data": ["czNjcmV0"]}]}),
        ] {
            let (shown, _) = hidden(&whole);
            let shown = shown.to_string();
            assert!(!shown.contains("czNjcmV0") && !shown.contains("s3cret"), "{shown}");
        }
        assert!(HIDES.hide(b"k8s\0not json").is_err());
    }

    #[test]
    fn changes_are_hidden_line_by_line_however_they_are_cut() {
        let line = format!("{}\n", json!({"type": "ADDED", "object": secret()}));
        let text = line.repeat(3);
        for cut in 1..line.len() {
            let (mut lines, mut shown, mut counted) = (Lines::default(), String::new(), 0);
            for piece in text.as_bytes().chunks(cut) {
                let (out, count) = lines.push(piece, &HIDES).unwrap();
                shown.push_str(std::str::from_utf8(&out).unwrap());
                counted += count;
            }
            assert!(lines.is_done() && counted == 12 && shown.lines().count() == 3);
            assert!(!shown.contains("czNjcmV0"), "{cut}");
        }
        let mut lines = Lines::default();
        assert!(lines.push(b"{\"type\"", &HIDES).unwrap().0.is_empty() && !lines.is_done());
        assert!(lines.push(&vec![b'x'; LONGEST_LINE], &HIDES).is_err());
    }

    #[test]
    fn what_was_hidden_is_not_written_back() {
        let (shown, _) = HIDES.hide(secret().to_string().as_bytes()).unwrap();
        assert!(HIDES.check_written(&shown).is_err() && HIDES.check_written(b"{\"data\":{}}").is_ok());
        assert!(Hiding(false).check_written(&shown).is_ok());
    }

    #[test]
    fn only_the_form_that_is_read_is_asked_for() {
        let narrowed = |accept: &str| {
            let mut headers = HeaderMap::from_iter([(header::ACCEPT, accept.parse().unwrap())]);
            HIDES.narrow(&mut headers).unwrap();
            headers[header::ACCEPT].to_str().unwrap().to_owned()
        };
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io";
        assert_eq!(narrowed(&format!("{table},application/json")), format!("{table}, application/json"));
        assert_eq!(narrowed("application/vnd.kubernetes.protobuf,application/json"), "application/json");
        assert_eq!(narrowed("application/cbor"), "application/json");
        assert_eq!(narrowed("*/*"), "application/json");
    }
}
