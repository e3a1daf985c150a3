//! The ledger, for those who may read it. Every read is an event.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::{Body, Bytes},
    extract::{Query, State},
    http::header,
    response::{IntoResponse, Response},
};
use hoop_api::{
    Page,
    audit::{EventView, LedgerReport},
};
use hoop_ledger::{
    checkpoint::SignedCheckpoint,
    event::EventCode,
    export::ExportWriter,
    tree::{Frontier, leaf_hash},
};
use hoop_model::Timestamp;
use hoop_recording::{Frame, Hash};
use hoop_store::{EventFilter, SessionFilter, StoredEvent};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    body::Json,
    caller::{Caller, Evidence},
    problem::{Answer, Problematic},
};
use crate::{
    checkpoints::cosigned,
    hub::{Hub, Shared, event, now},
    jobs,
};

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

async fn note(hub: &Hub, caller: &Caller, facts: serde_json::Value) -> Answer<()> {
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

/// Streams the export: JSON lines, ended by a checkpoint of all leaves in it.
pub(super) async fn export(State(hub): State<Shared>, Evidence(caller): Evidence) -> Answer<Response> {
    note(&hub, &caller, json!({ "what": "export" })).await?;
    let live = hub.store.live_sessions().await?.into_iter().map(|session| session.id).collect::<Vec<_>>();
    let note = jobs::sign_checkpoint(&hub).await?;
    let signed: SignedCheckpoint = note.parse().map_err(Problematic::internal)?;
    let key = jobs::checkpoint_key(&hub).map_err(Problematic::internal)?;
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(8);
    let task = hub.clone();
    hub.tasks.spawn(async move {
        let written = write_export(&task, &key, &signed, live, &sender).await;
        if let Err(problem) = written {
            tracing::error!(?problem, "an export of the ledger broke off");
            let _ = sender.send(Err(std::io::Error::other("the export broke off"))).await;
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"hoop-ledger.jsonl\""),
    ];
    Ok((headers, Body::from_stream(ReceiverStream::new(receiver))).into_response())
}

type Pieces = mpsc::Sender<Result<Bytes, std::io::Error>>;

async fn write_export(
    hub: &Shared,
    key: &hoop_ledger::checkpoint::CheckpointKey,
    signed: &SignedCheckpoint,
    live: Vec<hoop_model::SessionId>,
    pieces: &Pieces,
) -> Answer<()> {
    let size = signed.unverified().size;
    let buffer = Buffer::default();
    let mut out = ExportWriter::new(buffer.clone(), key, now(), live).map_err(Problematic::internal)?;
    let mut seq = 0;
    while seq < size {
        let wanted = u32::try_from(size - seq).unwrap_or(BATCH).min(BATCH);
        let batch = hub.store.events_from(seq, wanted).await?;
        if batch.is_empty() {
            return Err(Problematic::internal("events are missing from the store"));
        }
        for stored in batch {
            out.leaf(&stored.bytes).map_err(Problematic::internal)?;
            seq += 1;
        }
        buffer.send(pieces).await?;
    }
    let mut filter = SessionFilter { live: Some(false), limit: 200, ..SessionFilter::default() };
    loop {
        let page = hub.store.sessions(&filter).await?;
        for session in &page.items {
            if let Some(trailer) = trailer_of(hub, session).await? {
                out.recording(session.id, &trailer).map_err(Problematic::internal)?;
            }
        }
        buffer.send(pieces).await?;
        match page.next {
            Some(next) => filter.after = Some(next),
            None => break,
        }
    }
    if let Some(witnessed) = witnessed(hub, size).await? {
        out.witnessed(&witnessed).map_err(Problematic::internal)?;
    }
    out.finish(signed).map_err(Problematic::internal)?;
    buffer.send(pieces).await
}

/// The largest checkpoint within the export that most witnesses signed.
async fn witnessed(hub: &Shared, size: u64) -> Answer<Option<SignedCheckpoint>> {
    let most = u32::try_from(hub.config.witnesses.len()).unwrap_or(u32::MAX);
    for witnesses in (1..=most).rev() {
        let found = hub.store.latest_witnessed(witnesses).await?.filter(|found| found.size <= size);
        if let Some(found) = found {
            return cosigned(&hub.store, &found).await.map(Some).map_err(Problematic::internal);
        }
    }
    Ok(None)
}

/// A buffer that the export's writer fills and that is emptied now and then.
#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Buffer {
    async fn send(&self, pieces: &Pieces) -> Answer<()> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        pieces
            .send(Ok(bytes.into()))
            .await
            .map_err(|_| Problematic::internal("the reader of an export went away"))
    }
}

impl io::Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The signed manifest of a finished recording.
async fn trailer_of(hub: &Shared, session: &hoop_store::SessionRecord) -> Answer<Option<Frame>> {
    let Some(manifest) = session.recording.as_ref().and_then(|recording| recording.manifest.as_ref()) else {
        return Ok(None);
    };
    let manifest: hoop_recording::Manifest =
        serde_json::from_slice(manifest).map_err(Problematic::internal)?;
    let (hub, id) = (hub.clone(), session.id);
    let read = tokio::task::spawn_blocking(move || hub.recordings.tail(id, manifest.bytes)).await;
    let bytes = read.map_err(Problematic::internal)?;
    // A recording that is gone is for the verifier to find, not for the export to fail at.
    Ok(bytes.ok().flatten().and_then(|bytes| Frame::parse(bytes).ok()))
}
