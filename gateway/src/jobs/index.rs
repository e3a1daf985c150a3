//! Finished recordings are read once, and their statements kept without literals, to be searched.
//!
//! Where this gateway has no key for a recording nothing of it is indexed, and a search says so: see `hoop_store::NotIndexed`.

use std::{
    io::BufReader,
    sync::Arc,
    time::{Duration, Instant},
};

use hoop_model::SessionId;
use hoop_recording::{
    Ending, OpenedKey, ReadError, Reader, redact_literals, tables_of,
    timeline::{Builder, Limits, StatementView},
};
use hoop_store::{IndexOutcome, NewStatement, SessionRecord, StatementOutcome, StoreError};
use tokio::time::MissedTickBehavior;

use crate::hub::{Hub, Shared, now};

/// How often it is seen whether a recording was finished here.
const LOOK: Duration = Duration::from_secs(1);
/// Those that others finished, or nobody, are looked for so often: the store goes over all sessions for it.
const LOOK_FOR_ALL: Duration = Duration::from_secs(60);
/// At one look.
const AT_ONCE: u32 = 20;
/// What could not be read is tried again after so long: another gateway, or another key.
const AGAIN: Duration = Duration::from_secs(3600);
/// Statements of one recording that are kept.
const MOST: usize = 50_000;
/// Characters of a statement that are kept.
const LONGEST: usize = 4_000;
/// Text of one recording held in memory while it is read.
const TOTAL: usize = 64 << 20;

/// Runs until the gateway stops.
pub(crate) async fn run(hub: Shared) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut seals, mut looked): (Option<u64>, Option<Instant>) = (None, None);
    loop {
        tokio::select! {
            biased;
            () = hub.stopping.cancelled() => return,
            _ = look.tick() => {}
        }
        let sealed = hub.recordings.seals();
        if seals == Some(sealed) && looked.is_some_and(|at| at.elapsed() < LOOK_FOR_ALL) {
            continue;
        }
        match index_some(&hub).await {
            // There may be more.
            Ok(count) if count >= AT_ONCE as usize => {}
            Ok(_) => (seals, looked) = (Some(sealed), Some(Instant::now())),
            Err(error) => {
                metrics::counter!("hoop_job_failures_total", "job" => "index").increment(1);
                tracing::error!(%error, "finished recordings cannot be indexed");
            }
        }
    }
}

/// Answers how many it tried.
async fn index_some(hub: &Shared) -> Result<usize, StoreError> {
    let sessions = hub.store.sessions_to_index(now().before(AGAIN), AT_ONCE).await?;
    for session in &sessions {
        if hub.stopping.is_cancelled() {
            break;
        }
        let (statements, outcome) = read(hub, session).await;
        hub.store.index_recording(session, &statements, outcome, now()).await?;
        metrics::counter!("hoop_recordings_indexed_total", "outcome" => word(outcome)).increment(1);
    }
    Ok(sessions.len())
}

const fn word(outcome: IndexOutcome) -> &'static str {
    match outcome {
        IndexOutcome::Whole => "whole",
        IndexOutcome::Partly => "partly",
        IndexOutcome::NoKey => "no_key",
        IndexOutcome::Unreadable => "unreadable",
    }
}

/// Reads one recording, in a thread that shares its places with those who replay.
async fn read(hub: &Shared, session: &SessionRecord) -> (Vec<NewStatement>, IndexOutcome) {
    if session.manifest_seq.is_none() && session.progress.recording_bytes == 0 {
        // It ended before anything was recorded.
        return (Vec::new(), IndexOutcome::Whole);
    }
    let Ok(one_of_few) = Arc::clone(&hub.reading).acquire_owned().await else {
        return (Vec::new(), IndexOutcome::Unreadable);
    };
    let (task, id) = (Arc::clone(hub), session.id);
    let header = tokio::task::spawn_blocking(move || {
        let source = task.recordings.read(id).ok()?;
        hoop_recording::read_header(BufReader::new(source)).ok()
    });
    let Ok(Some(header)) = header.await else { return (Vec::new(), IndexOutcome::Unreadable) };
    // Elsewhere, or its keeper is away for now: tried again.
    let Ok(key) = hub.keys.recording.open(&hub.store, &header).await else {
        return (Vec::new(), IndexOutcome::NoKey);
    };
    let task = Arc::clone(hub);
    let reading = tokio::task::spawn_blocking(move || {
        let _one_of_few = one_of_few;
        statements(&task, id, &key)
    });
    reading.await.unwrap_or((Vec::new(), IndexOutcome::Unreadable))
}

fn statements(hub: &Hub, id: SessionId, key: &OpenedKey) -> (Vec<NewStatement>, IndexOutcome) {
    let Ok(file) = hub.recordings.read(id) else { return (Vec::new(), IndexOutcome::Unreadable) };
    let mut reader = match Reader::open(BufReader::new(file), key) {
        Ok(reader) => reader,
        Err(ReadError::Key(_)) => return (Vec::new(), IndexOutcome::NoKey),
        Err(_) => return (Vec::new(), IndexOutcome::Unreadable),
    };
    let limits = Limits { statements: MOST, notes: 0, rows: 0, total: TOTAL, ..Limits::default() };
    let (mut builder, mut whole) = (Builder::new(limits), true);
    loop {
        match reader.next_record() {
            Ok(Some(record)) => builder.push(&record),
            Ok(None) => break,
            Err(_) => {
                whole = false;
                break;
            }
        }
    }
    let timeline = builder.finish();
    let ended = matches!(reader.ending(), Some(Ending::Sealed(_) | Ending::Interrupted(_)));
    whole &= timeline.statements_omitted == 0 && ended;
    let kept = timeline.statements.iter().filter_map(kept).collect();
    (kept, if whole { IndexOutcome::Whole } else { IndexOutcome::Partly })
}

/// A statement that ran or was to run; preparing and binding are no more than its parts.
fn kept(view: &StatementView) -> Option<NewStatement> {
    let runs = matches!(view.form.as_str(), "query" | "execute");
    if !runs || view.text.is_empty() {
        return None;
    }
    let redacted = redact_literals(view.text.as_bytes());
    let outcome = match (&view.denied, &view.error) {
        (Some(_), _) => StatementOutcome::Denied,
        (None, Some(_)) => StatementOutcome::Failed,
        (None, None) => StatementOutcome::Done,
    };
    Some(NewStatement {
        at: view.at,
        tables: tables_of(&redacted).into_iter().collect(),
        text: redacted.chars().take(LONGEST).collect(),
        outcome,
        rows: view.rows_count,
    })
}
