//! Moves recordings to the store of objects: long ones while they grow, all of them when they are finished.
//!
//! A finished recording is put under a name that nothing has yet, is looked at there, locked if the configuration says so,
//! told of in the ledger, and only then removed from the folder. After a crash each of these steps is done again.

use std::{sync::Arc, time::Duration};

use futures::StreamExt as _;
use hoop_ledger::EventCode;
use hoop_model::{Actor, Timestamp};
use hoop_store::{Conflict, SessionRecord, StoreError};
use serde_json::json;
use tokio::time::MissedTickBehavior;

use super::{
    ObjectError, Objects, Recordings,
    upload::{PART, Upload},
};
use crate::{
    config::ObjectLock,
    hub::{Shared, event, now},
    sessions,
};

const EVERY: Duration = Duration::from_secs(1);
/// After a failure of the store.
const PAUSE: Duration = Duration::from_secs(5);
/// Recordings that are moved at once, and in one round.
const TOGETHER: usize = 8;
const ROUND: u32 = 256;

/// Why a recording was not moved.
#[derive(Debug, thiserror::Error)]
enum MoveError {
    #[error(transparent)]
    Object(#[from] ObjectError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the folder has {found} bytes of it, and {signed} were signed for")]
    Length { found: u64, signed: u64 },
    #[error("there is another object of its name")]
    Another,
}

/// Runs until the gateway stops.
pub(crate) async fn run(hub: Shared) {
    let Some(objects) = hub.recordings.objects.clone() else { return };
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = hub.stopping.cancelled() => return,
            _ = tick.tick() => {}
        }
        let round = tokio::select! {
            biased;
            // A part on its way is sent again after the restart.
            () = hub.stopping.cancelled() => return,
            round = round(&hub, &objects) => round,
        };
        match round {
            Ok(true) => {}
            Ok(false) => {
                tokio::time::sleep(PAUSE.min(hub.config.recordings.s3.as_ref().map_or(PAUSE, |s3| s3.behind)))
                    .await
            }
            Err(error) => {
                metrics::counter!("hoop_job_failures_total", "job" => "mover").increment(1);
                tracing::error!(%error, "recordings cannot be moved");
            }
        }
    }
}

/// `false`: the store failed.
async fn round(hub: &Shared, objects: &Arc<Objects>) -> Result<bool, StoreError> {
    let recordings = &hub.recordings;
    let finished = hub.store.recordings_to_store(ROUND).await?;
    let growing: Vec<_> = recordings
        .staging
        .being_written()
        .into_iter()
        .filter(|session| finished.iter().all(|record| record.id != *session))
        .map(|session| (session, recordings.staging.durable(session)))
        .collect();
    let waiting = finished.iter().map(|record| recordings.length(record.id)).sum::<u64>();
    recordings.backlog.measured(waiting);
    metrics::gauge!("hoop_recordings_waiting").set(u32::try_from(finished.len()).map_or(f64::MAX, f64::from));
    let grown = futures::stream::iter(growing).map(|(session, durable)| async move {
        let sent = Upload::new(recordings, objects, session).advance(durable).await;
        sent.map_err(|error| told(session, &error.into())).is_ok()
    });
    let moved = futures::stream::iter(finished).map(|record| async move {
        let moved = move_one(hub, objects, &record).await;
        match moved {
            Ok(()) => {
                recordings.backlog.moved();
                true
            }
            // Nothing that a pause mends, and nothing that others should wait for.
            Err(error @ (MoveError::Length { .. } | MoveError::Another)) => {
                told(record.id, &error);
                true
            }
            Err(error) => {
                told(record.id, &error);
                false
            }
        }
    });
    let fine = |fine: bool, one: bool| async move { fine && one };
    let grown = grown.buffer_unordered(TOGETHER).fold(true, fine).await;
    // Stops at the first failure: the store is asked again after a pause, and not for each of them.
    let moved = moved
        .buffer_unordered(TOGETHER)
        .take_while(|one| std::future::ready(*one))
        .fold(0_usize, |count, _| async move { count + 1 });
    let _ = moved.await;
    Ok(grown)
}

fn told(session: hoop_model::SessionId, error: &MoveError) {
    metrics::counter!("hoop_recording_moves_failed_total").increment(1);
    tracing::error!(%error, session.id = %session, "a recording cannot be moved to the object store");
}

async fn move_one(hub: &Shared, objects: &Objects, record: &SessionRecord) -> Result<(), MoveError> {
    let session = record.id;
    let recordings = &hub.recordings;
    let signed = record.signed_length().unwrap_or_default();
    let found = recordings.length(session);
    let upload = Upload::new(recordings, objects, session);
    let put = match found {
        // Moved, and not told of: a crash between the two.
        0 => Err(ObjectError::Exists),
        found if found != signed => return Err(MoveError::Length { found, signed }),
        found if found < PART => put_whole(recordings, objects, session).await,
        found => upload.finish(found).await,
    };
    match put {
        Ok(()) => {}
        Err(ObjectError::Exists) if is_ours(hub, objects, record, signed).await? => {}
        Err(ObjectError::Exists) => return Err(MoveError::Another),
        Err(error) => return Err(error.into()),
    }
    let held = hub.store.is_held(session).await?;
    secure(objects, record, held).await?;
    let at = now();
    let told = [told_stored(objects, record, signed, at)];
    match hub.store.recording_stored(session, at, held, &told).await {
        Ok(()) | Err(StoreError::Conflict(Conflict::Changed)) => {}
        Err(error) => return Err(error.into()),
    }
    upload.forget();
    recordings.staging.remove(session).map_err(|error| ObjectError::Failed(error.to_string()))?;
    Ok(())
}

async fn put_whole(
    recordings: &Arc<Recordings>,
    objects: &Objects,
    session: hoop_model::SessionId,
) -> Result<(), ObjectError> {
    let reading = Arc::clone(recordings);
    let read = tokio::task::spawn_blocking(move || std::fs::read(reading.staging.path(session))).await;
    let failed = |error: &dyn std::fmt::Display| ObjectError::Failed(error.to_string());
    let bytes = read.map_err(|error| failed(&error))?.map_err(|error| failed(&error))?;
    objects.put(session, bytes.into()).await
}

/// Whether the object that is there ends as the agent signed it, and so is this recording.
async fn is_ours(
    hub: &Shared,
    objects: &Objects,
    record: &SessionRecord,
    signed: u64,
) -> Result<bool, MoveError> {
    let Some(found) = objects.find(record.id).await? else { return Ok(false) };
    let Some(trailer) = hub.store.trailer(record.id).await? else { return Ok(false) };
    let length = trailer.len() as u64;
    if found.length != signed || signed < length {
        return Ok(false);
    }
    Ok(objects.range(record.id, signed - length, length).await? == trailer)
}

/// Locks the object and puts a hold on it, where that is wanted.
async fn secure(objects: &Objects, record: &SessionRecord, held: bool) -> Result<(), MoveError> {
    if objects.lock() == ObjectLock::Off {
        return Ok(());
    }
    let found = objects.find(record.id).await?.ok_or(ObjectError::Absent)?;
    if let Some(until) = locked_until(objects, record) {
        objects.retain(record.id, found.version.as_deref(), until).await?;
    }
    if held {
        objects.hold(record.id, true).await?;
    }
    Ok(())
}

/// A lock's end lies ahead, or there is no lock.
fn locked_until(objects: &Objects, record: &SessionRecord) -> Option<Timestamp> {
    let until = record.keeping.retain_until?;
    (objects.lock() != ObjectLock::Off && until > now()).then_some(until)
}

fn told_stored(objects: &Objects, record: &SessionRecord, bytes: u64, at: Timestamp) -> hoop_store::NewEvent {
    let mode = match objects.lock() {
        ObjectLock::Off => None,
        ObjectLock::Governance => Some("governance"),
        ObjectLock::Compliance => Some("compliance"),
    };
    let until = locked_until(objects, record);
    let facts = json!({
        "bucket": objects.bucket(), "key": objects.key(record.id), "bytes": bytes, "stored_at": at,
        "lock": mode.filter(|_| until.is_some()), "locked_until": until,
    });
    event(&Actor::System, EventCode::RecordingStored, sessions::subjects(record), facts)
}
