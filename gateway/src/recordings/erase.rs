//! Deletes recordings whose time is over: first the event that proves it, then the bytes, as often as it takes. And puts
//! legal holds on objects.

use std::{sync::Arc, time::Duration};

use hoop_ledger::EventCode;
use hoop_model::Actor;
use hoop_recording::Hash;
use hoop_store::{Conflict, NewEvent, SessionRecord, StoreError};
use serde_json::json;
use tokio::time::MissedTickBehavior;

use super::{ObjectError, upload::Upload};
use crate::{
    hub::{Shared, event, now},
    sessions,
};

const EVERY: Duration = Duration::from_secs(5);
const ROUND: u32 = 256;

/// Runs until the gateway stops.
pub(crate) async fn run(hub: Shared) {
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = hub.stopping.cancelled() => return,
            _ = tick.tick() => {}
        }
        if let Err(error) = round(&hub).await {
            metrics::counter!("hoop_job_failures_total", "job" => "retention").increment(1);
            tracing::error!(%error, "recordings whose time is over cannot be deleted");
        }
    }
}

async fn round(hub: &Shared) -> Result<(), StoreError> {
    change_object_holds(hub).await?;
    for record in hub.store.recordings_due(now(), ROUND).await? {
        let told = [told_deleted(hub, &record).await?];
        match hub.store.delete_recording(record.id, now(), &told).await {
            // A hold came in between, or it was not due after all: it stays.
            Ok(()) | Err(StoreError::Conflict(Conflict::Held | Conflict::Changed)) => {}
            Err(error) => return Err(error),
        }
    }
    for record in hub.store.recordings_to_erase(ROUND).await? {
        match erase(hub, &record).await {
            Ok(()) => hub.store.recording_erased(record.id, now()).await?,
            Err(error) => {
                metrics::counter!("hoop_recording_erasures_failed_total").increment(1);
                tracing::error!(%error, session.id = %record.id, "a deleted recording's bytes cannot be erased yet");
            }
        }
    }
    Ok(())
}

async fn told_deleted(hub: &Shared, record: &SessionRecord) -> Result<NewEvent, StoreError> {
    let manifest = hub.store.trailer(record.id).await?.map(|trailer| Hash::of(&trailer).to_string());
    let facts = json!({
        "manifest": manifest, "bytes": record.signed_length().unwrap_or(record.progress.recording_bytes),
        "retention_seconds": record.keeping.retention_seconds, "retain_until": record.keeping.retain_until,
        "recorded_by": record.agent_name, "manifest_seq": record.manifest_seq,
    });
    Ok(event(&Actor::System, EventCode::RecordingDeleted, sessions::subjects(record), facts))
}

async fn erase(hub: &Shared, record: &SessionRecord) -> Result<(), ObjectError> {
    let failed = |error: &dyn std::fmt::Display| ObjectError::Failed(error.to_string());
    // Statements without their literals are gone from the search, too.
    hub.store.forget_statements(record.id).await.map_err(|error| failed(&error))?;
    if let Some(objects) = hub.recordings.objects.clone() {
        let upload = Upload::new(&hub.recordings, &objects, record.id);
        upload.forget();
        objects.delete(record.id).await?;
    }
    let (recordings, session) = (Arc::clone(&hub.recordings), record.id);
    let removed = tokio::task::spawn_blocking(move || recordings.staging.remove(session)).await;
    removed.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

/// What was held or released since is done to the objects themselves.
async fn change_object_holds(hub: &Shared) -> Result<(), StoreError> {
    let Some(objects) = hub.recordings.objects.clone() else { return Ok(()) };
    for (session, held) in hub.store.object_holds_to_change(ROUND).await? {
        match objects.hold(session, held).await {
            Ok(()) => hub.store.object_hold_changed(session, held).await?,
            Err(error) => {
                metrics::counter!("hoop_object_holds_failed_total").increment(1);
                tracing::error!(%error, session.id = %session, held, "a legal hold cannot be put on an object, or taken from it");
                return Ok(());
            }
        }
    }
    Ok(())
}
