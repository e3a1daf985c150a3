//! The ledger, for those who may read it. Every read is an event.

use axum::extract::{Query, State};
use hoop_api::{
    Page,
    audit::{EventView, LedgerReport},
};
use hoop_ledger::{
    event::EventCode,
    tree::{Frontier, leaf_hash},
};
use hoop_model::Timestamp;
use hoop_recording::Hash;
use hoop_store::{EventFilter, StoredEvent};
use serde::Deserialize;
use serde_json::json;

use super::{
    body::Json,
    caller::{Caller, Evidence},
    problem::{Answer, Problematic},
};
use crate::hub::{Hub, Shared, event};

const MOST: u32 = 500;
const BATCH: u32 = 1000;
const FINDINGS: usize = 200;

/// Query of the list of events.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Which {
    before: Option<u64>,
    limit: Option<u32>,
    code: Option<String>,
    actor: Option<String>,
    subject: Option<String>,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

pub(super) async fn events(
    State(hub): State<Shared>,
    Evidence(caller): Evidence,
    Query(which): Query<Which>,
) -> Answer<Json<Page<EventView>>> {
    // Every page: a reader who begins in the middle has read as well.
    let facts = json!({
        "what": "events", "code": which.code, "actor": which.actor, "subject": which.subject,
        "since": which.since, "until": which.until, "before": which.before,
    });
    note(&hub, &caller, facts).await?;
    let limit = which.limit.unwrap_or(100).clamp(1, MOST);
    let filter = EventFilter {
        before: which.before,
        code: which.code,
        actor: which.actor,
        subject: which.subject,
        since: which.since,
        until: which.until,
        limit,
    };
    let found = hub.store.search_events(&filter).await?;
    let full = found.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let next = found.last().filter(|last| full && last.seq > 0).map(|last| last.seq.to_string());
    let items = found.into_iter().map(view).collect::<Answer<_>>()?;
    Ok(Json(Page { items, next }))
}

pub(super) async fn note(hub: &Hub, caller: &Caller, facts: serde_json::Value) -> Answer<()> {
    hub.store
        .append(&[event(&caller.actor, EventCode::LedgerRead, [caller.signed_in.user.id.into()], facts)])
        .await?;
    Ok(())
}

fn view(stored: StoredEvent) -> Answer<EventView> {
    Ok(EventView {
        seq: stored.seq,
        id: stored.id.to_string(),
        at: stored.at.to_string(),
        code: stored.code,
        actor: stored.actor,
        event: serde_json::from_slice(&stored.bytes).map_err(Problematic::internal)?,
        leaf_hash: data_encoding::HEXLOWER.encode(&stored.leaf_hash),
    })
}

pub(super) async fn verify(
    State(hub): State<Shared>,
    Evidence(caller): Evidence,
) -> Answer<Json<LedgerReport>> {
    let report = walk(&hub).await?;
    note(&hub, &caller, json!({ "what": "verify", "clean": report.clean, "events": report.events })).await?;
    Ok(Json(report))
}

/// Hashes every stored leaf anew, and compares with what was stored and what was signed.
async fn walk(hub: &Hub) -> Answer<LedgerReport> {
    let (mut frontier, mut findings) = (Frontier::default(), Vec::new());
    let checkpoint = hub.store.latest_checkpoint().await?;
    let mut previous: Option<Hash> = None;
    loop {
        let batch = hub.store.events_from(frontier.size(), BATCH).await?;
        if batch.is_empty() {
            break;
        }
        for stored in batch {
            let seq = frontier.size();
            let hash = leaf_hash(&stored.bytes);
            check_leaf(&stored, seq, hash, previous, &mut findings);
            previous = Some(hash);
            frontier.append(hash);
            check_checkpoint(checkpoint.as_ref(), &frontier, &mut findings);
        }
    }
    if checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.size > frontier.size()) {
        findings.push(format!(
            "the ledger was rolled back: {} events are left of those that were signed",
            frontier.size()
        ));
    }
    findings.truncate(FINDINGS);
    let (clean, events, root) = (findings.is_empty(), frontier.size(), frontier.root().to_string());
    Ok(LedgerReport { clean, events, root, findings })
}

fn check_leaf(
    stored: &StoredEvent,
    seq: u64,
    hash: Hash,
    previous: Option<Hash>,
    findings: &mut Vec<String>,
) {
    if stored.seq != seq {
        findings.push(format!("event {seq} is missing: {} stands in its place", stored.seq));
    }
    if *hash.as_bytes() != stored.leaf_hash {
        findings.push(format!("event {seq} was altered"));
    }
    match hoop_ledger::event::LedgerEvent::from_leaf(&stored.bytes) {
        Ok(event) if event.seq != seq || event.id != stored.id => {
            findings.push(format!("event {seq} is another one than its row says"));
        }
        Ok(event) if event.prev != previous => {
            findings.push(format!("event {seq} does not follow the one before it"))
        }
        Ok(_) => {}
        Err(_) => findings.push(format!("event {seq} cannot be read")),
    }
}

fn check_checkpoint(
    checkpoint: Option<&hoop_store::StoredCheckpoint>,
    frontier: &Frontier,
    findings: &mut Vec<String>,
) {
    let Some(checkpoint) = checkpoint.filter(|checkpoint| checkpoint.size == frontier.size()) else { return };
    if *frontier.root().as_bytes() != checkpoint.root {
        findings.push(format!("the first {} events are not those that were signed", checkpoint.size));
    }
}
