//! The request to a webhook, by the Standard Webhooks specification as notices have it.

use hoop_ledger::SignedCheckpoint;
use hoop_model::Timestamp;
use hoop_store::StoredCheckpoint;
use http::HeaderMap;
use serde_json::json;

use crate::notices::{Secrets, webhook};

/// Headers and body. The id is the same for each attempt with one checkpoint.
pub(super) fn request(
    secrets: &Secrets,
    now: Timestamp,
    checkpoint: &StoredCheckpoint,
    note: &SignedCheckpoint,
) -> (HeaderMap, Vec<u8>) {
    let signed = note.unverified();
    let data = json!({
        "origin": signed.origin, "size": signed.size, "root": signed.root.to_string(), "note": note.to_string(),
    });
    let body = json!({ "type": "ledger.checkpoint", "timestamp": checkpoint.at, "data": data });
    let body = body.to_string().into_bytes();
    (webhook::headers(&format!("checkpoint_{}", signed.size), secrets, now, &body), body)
}
