//! What Secrets hold is never in a recording, and where the rule masks answers, never in an answer.
//!
//! Keys stay, values do not: `data`, `stringData`, and the copy that `kubectl apply` keeps in an annotation. What was hidden cannot be
//! written back by mistake either: `kubectl edit` would put it in the place of the secret.

use bytes::{Bytes, BytesMut};
use hoop_model::Fault;
use hoop_policy::{ClusterRequest, Masking, Rules};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

use crate::{answer, call::uncompressed, fault};

/// Bytes of an answer whose Secrets are hidden, and of one object in a stream of changes.
pub(crate) const LARGEST: usize = 32 << 20;
const LONGEST_LINE: usize = 4 << 20;
/// What stands in the place of a value: base64 of `[hidden by hoop]`, and the same as text.
const HIDDEN: &str = "W2hpZGRlbiBieSBob29wXQ==";
const HIDDEN_TEXT: &str = "[hidden by hoop]";
/// Letters of the word that clients know an error by.
const LONGEST_REASON: usize = 64;
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

    /// What was hidden is not written over what is there; and nothing of a Secret is copied to where it would be shown, as a JSON
    /// patch can (`{"op": "copy", "from": "/data/password", "path": "/metadata/labels/a"}`).
    pub(crate) fn check_written(self, body: &[u8]) -> Result<(), Fault> {
        let copies = |change: &Value| change.get("from").is_some();
        if self.0 && serde_json::from_slice(body).is_ok_and(|changes: Vec<Value>| changes.iter().any(copies))
        {
            return Err(fault::hidden("this would copy what hoop hides to where it is shown"));
        }
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
        if let Some(said) = said_in(&mut value) {
            *said = retold(said, None);
            count += 1;
        }
        hide_in(&mut value, &mut count);
        Ok((value.to_string().into(), count))
    }

    /// How a request went that did not succeed. Of what the cluster says only the reason is taken: a message could quote a value, as
    /// that about a patch quotes the whole patched object.
    pub(crate) fn withheld(status: StatusCode, said: &[u8]) -> Bytes {
        let said: Value = serde_json::from_slice(said).unwrap_or_default();
        retold(&said, Some(status)).to_string().into()
    }

    /// An answer's headers without those in which words can stand.
    pub(crate) fn headers(all: &HeaderMap) -> HeaderMap {
        let mut kept = HeaderMap::new();
        for name in [header::DATE, header::CACHE_CONTROL, HeaderName::from_static("audit-id")] {
            if let Some(value) = all.get(&name) {
                kept.insert(name, value.clone());
            }
        }
        let seconds = all.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
        if let Some(seconds) = seconds {
            kept.insert(header::RETRY_AFTER, seconds.into());
        }
        kept.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        kept
    }
}

/// What the cluster says of a request or a watch in the place of an object.
fn said_in(value: &mut Value) -> Option<&mut Value> {
    let has =
        |value: &Value, field: &str, wanted: &str| value.get(field).is_some_and(|found| found == wanted);
    if has(value, "kind", "Status") {
        return Some(value);
    }
    let is_error = has(value, "type", "ERROR");
    let object = value.get_mut("object")?;
    (is_error || has(object, "kind", "Status")).then_some(object)
}

/// A `Status` with none of the cluster's words but those that programs look at.
fn retold(said: &Value, status: Option<StatusCode>) -> Value {
    let field = |name: &str| said.get(name).and_then(Value::as_str);
    if status.is_none() && field("status") == Some("Success") {
        // Whoever deletes an object waits for the one that is meant.
        let details: serde_json::Map<String, Value> = ["name", "group", "kind", "uid"]
            .into_iter()
            .filter_map(|name| Some((name.to_owned(), said.get("details")?.get(name)?.as_str()?.into())))
            .collect();
        return json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details});
    }
    let code =
        status.map_or_else(|| said.get("code").and_then(Value::as_u64), |code| Some(code.as_u16().into()));
    let is_word = |reason: &&str| {
        reason.len() <= LONGEST_REASON && reason.bytes().all(|letter| letter.is_ascii_alphabetic())
    };
    let message = answer::message(&fault::withheld());
    let mut told = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code,
    });
    if let (Some(reason), Some(fields)) = (field("reason").filter(is_word), told.as_object_mut()) {
        fields.insert("reason".to_owned(), reason.into());
    }
    told
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
    fn what_a_cluster_says_is_told_without_its_words() {
        let said = |status: &str, reason: &str| {
            json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {"x": "czNjcmV0"}, "status": status, "message": "no: czNjcmV0",
                "reason": reason, "details": {"name": "db", "uid": "7", "causes": [{"message": "czNjcmV0"}]}, "code": 422,
            })
        };
        let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
        for (reason, shown) in [("Invalid", Some("Invalid")), ("it is czNjcmV0", None), ("", Some(""))] {
            for told in [
                Hiding::withheld(unprocessable, said("Failure", reason).to_string().as_bytes()),
                Hiding::withheld(unprocessable, said("Success", reason).to_string().as_bytes()),
                hidden(&said("Failure", reason)).0.to_string().into(),
                hidden(&json!({"type": "ERROR", "object": said("Failure", reason)})).0["object"]
                    .to_string()
                    .into(),
                hidden(&json!({"type": "ADDED", "object": said("Failure", reason)})).0["object"]
                    .to_string()
                    .into(),
            ] {
                let text = String::from_utf8(told.to_vec()).unwrap();
                let told: Value = serde_json::from_slice(&told).unwrap();
                assert_eq!((told["reason"].as_str(), told["code"].as_u64()), (shown, Some(422)), "{text}");
                assert!(text.contains("HOOP-5057") && !text.contains("czNjcmV0"), "{text}");
            }
        }
        let (done, _) = hidden(&said("Success", ""));
        assert_eq!(done["details"], json!({"name": "db", "uid": "7"}));
        assert!(!done.to_string().contains("czNjcmV0"), "{done}");
        let (other, _) = hidden(&json!({"type": "ERROR", "object": "czNjcmV0"}));
        assert!(!other.to_string().contains("czNjcmV0"), "{other}");
        for noise in [&b"czNjcmV0"[..], b"", b"[1]"] {
            let told: Value = serde_json::from_slice(&Hiding::withheld(unprocessable, noise)).unwrap();
            assert_eq!(told["code"], 422);
        }
        // Neither labels nor a type make a Secret anything else.
        let odd = json!({"kind": "Secret", "metadata": {"labels": {"kind": "Status"}}, "type": "ERROR", "data": {"a": "czNjcmV0"}});
        assert_eq!(hidden(&odd).0["metadata"], odd["metadata"]);
    }

    #[test]
    fn what_was_hidden_is_not_written_back() {
        let (shown, _) = HIDES.hide(secret().to_string().as_bytes()).unwrap();
        assert!(HIDES.check_written(&shown).is_err() && HIDES.check_written(b"{\"data\":{}}").is_ok());
        assert!(Hiding(false).check_written(&shown).is_ok());
        for operation in ["copy", "move"] {
            let step = json!({"op": operation, "from": "/data/password", "path": "/metadata/labels/a"});
            let patch = json!([{"op": "remove", "path": "/data/user"}, step]).to_string();
            assert!(HIDES.check_written(patch.as_bytes()).is_err(), "{operation}");
            assert!(Hiding(false).check_written(patch.as_bytes()).is_ok());
        }
        assert!(HIDES.check_written(br#"[{"op": "remove", "path": "/data/user"}]"#).is_ok());
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
