//! The ledger goes out: to be verified (leaves as stored, ended by a checkpoint), or to be searched elsewhere. Each export is
//! an event.

use std::{
    collections::BTreeSet,
    io,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    body::{Body, Bytes},
    extract::{Query, State},
    http::header,
    response::{IntoResponse, Response},
};
use hoop_ledger::{catalogue::Class, checkpoint::SignedCheckpoint, export::ExportWriter, ocsf};
use hoop_recording::Frame;
use hoop_store::SessionFilter;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    audit::note,
    caller::{Caller, Evidence},
    problem::{Answer, Problematic},
};
use crate::{
    checkpoints::cosigned,
    hub::{Shared, now},
    jobs,
};

const BATCH: u32 = 1000;

/// Query of the export.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exported {
    #[serde(default)]
    format: Format,
    class: Option<Privacy>,
    from: Option<u64>,
}

/// In which form the ledger is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    /// To be verified: the leaves as stored, manifests, a checkpoint.
    #[default]
    Ledger,
    /// To be searched: an event a line.
    Jsonl,
    /// The same as OCSF.
    Ocsf,
}

impl Format {
    const fn word(self) -> &'static str {
        match self {
            Self::Ledger => "ledger",
            Self::Jsonl => "jsonl",
            Self::Ocsf => "ocsf",
        }
    }
}

/// Facts up to this class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Privacy {
    Public,
    Internal,
    Personal,
}

impl From<Privacy> for Class {
    fn from(privacy: Privacy) -> Self {
        match privacy {
            Privacy::Public => Self::Public,
            Privacy::Internal => Self::Internal,
            Privacy::Personal => Self::Personal,
        }
    }
}

/// Streams the ledger in the form that was asked for.
pub(super) async fn export(
    State(hub): State<Shared>,
    Evidence(caller): Evidence,
    Query(wanted): Query<Exported>,
) -> Answer<Response> {
    let class = Class::from(wanted.class.unwrap_or(Privacy::Personal));
    if wanted.format != Format::Ledger {
        return events_as(&hub, &caller, wanted.format, class, wanted.from.unwrap_or(0)).await;
    }
    if wanted.class.is_some() || wanted.from.is_some() {
        return Err(Problematic::bad_request("`class` and `from` go with format=jsonl and format=ocsf"));
    }
    note(&hub, &caller, json!({ "what": "export", "format": Format::Ledger.word() })).await?;
    whole(&hub).await
}

/// Streams events from a place on, a line each, with facts up to a class.
async fn events_as(
    hub: &Shared,
    caller: &Caller,
    format: Format,
    class: Class,
    from: u64,
) -> Answer<Response> {
    let facts = json!({ "what": "export", "format": format.word(), "class": class.label(), "from": from });
    note(hub, caller, facts).await?;
    let end = hub.store.ledger_head().await?.size;
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(8);
    let task = hub.clone();
    hub.tasks.spawn(async move {
        if let Err(problem) = write_events(&task, format, class, from..end, &sender).await {
            tracing::error!(?problem, "an export of events broke off");
            let _ = sender.send(Err(std::io::Error::other("the export broke off"))).await;
        }
    });
    Ok(streamed(receiver, "attachment; filename=\"hoop-events.jsonl\""))
}

async fn write_events(
    hub: &Shared,
    format: Format,
    class: Class,
    mut places: std::ops::Range<u64>,
    pieces: &Pieces,
) -> Answer<()> {
    while !places.is_empty() {
        let wanted = u32::try_from(places.end - places.start).unwrap_or(BATCH).min(BATCH);
        let batch = hub.store.events_from(places.start, wanted).await?;
        places.start += u64::try_from(batch.len()).unwrap_or(u64::MAX);
        if batch.is_empty() {
            return Err(Problematic::internal("events are missing from the store"));
        }
        let mut text = String::new();
        for stored in batch {
            let line = match format {
                Format::Ocsf => ocsf::ocsf(&stored.bytes, class, env!("CARGO_PKG_VERSION")),
                Format::Ledger | Format::Jsonl => ocsf::plain(&stored.bytes, class),
            };
            text.push_str(&line.to_string());
            text.push('\n');
        }
        let sent = pieces.send(Ok(text.into())).await;
        sent.map_err(|_| Problematic::internal("the reader of an export went away"))?;
    }
    Ok(())
}

fn streamed(pieces: mpsc::Receiver<Result<Bytes, std::io::Error>>, name: &'static str) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/jsonl"), (header::CONTENT_DISPOSITION, name)];
    (headers, Body::from_stream(ReceiverStream::new(pieces))).into_response()
}

/// Streams the export that can be verified: JSON lines, ended by a checkpoint of all leaves in it.
async fn whole(hub: &Shared) -> Answer<Response> {
    // Before and after the checkpoint: one that begins or ends in between is no finding.
    let before = hub.store.unfinished_sessions().await?;
    let note = jobs::sign_checkpoint(hub).await?;
    let live: BTreeSet<_> = before.into_iter().chain(hub.store.unfinished_sessions().await?).collect();
    let signed: SignedCheckpoint = note.parse().map_err(Problematic::internal)?;
    let key = jobs::checkpoint_key(hub).map_err(Problematic::internal)?;
    let (sender, receiver) = mpsc::channel::<Result<Bytes, std::io::Error>>(8);
    let task = hub.clone();
    hub.tasks.spawn(async move {
        let written = write_export(&task, &key, &signed, live.into_iter().collect(), &sender).await;
        if let Err(problem) = written {
            tracing::error!(?problem, "an export of the ledger broke off");
            let _ = sender.send(Err(std::io::Error::other("the export broke off"))).await;
        }
    });
    Ok(streamed(receiver, "attachment; filename=\"hoop-ledger.jsonl\""))
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

/// The signed end of a finished recording, also of one that is gone: it is the proof of it.
async fn trailer_of(hub: &Shared, session: &hoop_store::SessionRecord) -> Answer<Option<Frame>> {
    let trailer = hub.store.trailer(session.id).await?;
    Ok(trailer.and_then(|bytes| Frame::parse(bytes.into()).ok()))
}
