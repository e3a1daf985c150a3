//! Deletes recordings whose time is over: first the event that proves it, then the bytes, as often as it takes. And puts
//! legal holds on objects.
//!
//! A clock that jumps ahead deletes nothing: see [`Trust`].

use std::time::{Duration, Instant};

use hoop_ledger::EventCode;
use hoop_model::{Actor, SessionId, Timestamp};
use hoop_recording::Hash;
use hoop_store::{Conflict, NewEvent, SessionRecord, StoreError};
use serde_json::json;
use tokio::time::MissedTickBehavior;

use super::{ObjectError, upload::Upload};
use crate::{
    config::ObjectLock,
    hub::{Shared, event, now},
    sessions,
};

const EVERY: Duration = Duration::from_secs(5);
const ROUND: u32 = 256;

/// Whether the wall clock can be believed. It is set by people and by what they forget; a recording deleted by it is gone.
#[derive(Debug, Clone, Copy)]
struct Trust {
    began: Instant,
    /// The wall clock then.
    wall: Timestamp,
    /// At the start it was far ahead of the last event: people get time to notice.
    doubtful: bool,
}

impl Trust {
    /// Between the last event and the start: a gateway that was away for longer, or a clock that is wrong.
    const AWAY: Duration = Duration::from_secs(30 * 86_400);
    /// What a clock may go ahead of one that nobody sets.
    const AHEAD: Duration = Duration::from_secs(86_400);
    /// Time to notice.
    const NOTICE: Duration = Duration::from_secs(86_400);

    fn new(last_event: Option<Timestamp>, wall: Timestamp, began: Instant) -> Self {
        let doubtful = last_event.is_some_and(|at| at.after(Self::AWAY) < wall);
        Self { began, wall, doubtful }
    }

    /// Why nothing is to be deleted; `None`: the clock is right as far as can be seen.
    fn doubt(&self, wall: Timestamp, on_the_clock: Instant) -> Option<&'static str> {
        let passed = on_the_clock.saturating_duration_since(self.began);
        if self.wall.after(passed).after(Self::AHEAD) < wall {
            return Some("the clock jumped ahead; set it right and start the gateway again");
        }
        (self.doubtful && passed < Self::NOTICE).then_some(
            "the clock is more than 30 days ahead of the last event before the start; deletions wait a day",
        )
    }
}

/// Runs until the gateway stops. `last_event`: before it began.
pub(crate) async fn run(hub: Shared, last_event: Option<Timestamp>) {
    let trust = Trust::new(last_event, now(), Instant::now());
    let mut told = None;
    let mut after = None;
    let mut tick = tokio::time::interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = hub.stopping.cancelled() => return,
            _ = tick.tick() => {}
        }
        let doubt = trust.doubt(now(), Instant::now());
        if doubt != told {
            metrics::gauge!("hoop_retention_waits_for_clock").set(f64::from(u8::from(doubt.is_some())));
            doubt.into_iter().for_each(|why| tracing::error!(why, "no recording is deleted by this clock"));
            told = doubt;
        }
        if let Err(error) = round(&hub, doubt.is_none(), &mut after).await {
            metrics::counter!("hoop_job_failures_total", "job" => "retention").increment(1);
            tracing::error!(%error, "recordings whose time is over cannot be deleted");
        }
    }
}

async fn round(hub: &Shared, delete: bool, after: &mut Option<SessionId>) -> Result<(), StoreError> {
    change_object_holds(hub).await?;
    let due = if delete { hub.store.recordings_due(now(), ROUND).await? } else { Vec::new() };
    for record in due {
        let told = [told_deleted(hub, &record).await?];
        match hub.store.delete_recording(record.id, now(), &told).await {
            // A hold came in between, or it was not due after all: it stays.
            Ok(()) | Err(StoreError::Conflict(Conflict::Held | Conflict::Changed)) => {}
            Err(error) => return Err(error),
        }
    }
    // Round and round: one that cannot be erased holds up no other.
    let erasing = hub.store.recordings_to_erase(*after, ROUND).await?;
    *after = erasing.last().map(|record| record.id).filter(|_| erasing.len() == ROUND as usize);
    for record in erasing {
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
    // Statements without their literals are gone from the search, too.
    let forgotten = hub.store.forget_statements(record.id).await;
    forgotten.map_err(|error| ObjectError::Failed(error.to_string()))?;
    if let Some(objects) = hub.recordings.objects.clone() {
        Upload::new(&hub.recordings, &objects, record.id).abandon().await;
        objects.delete(record.id).await?;
    } else if record.keeping.stored_at.is_some() {
        return Err(ObjectError::Settings(
            "it is in a store of objects, and `recordings.store` is `disk`".to_owned(),
        ));
    }
    let session = record.id;
    hub.recordings.in_folder(move |all| all.staging.remove(session)).await
}

/// What was held or released since is done to the objects themselves.
async fn change_object_holds(hub: &Shared) -> Result<(), StoreError> {
    // Without object lock the gateway's own word is all there is, and nothing is noted: a lock may come later.
    let locking = hub.recordings.objects.clone().filter(|objects| objects.lock() != ObjectLock::Off);
    let Some(objects) = locking else { return Ok(()) };
    for (session, held) in hub.store.object_holds_to_change(ROUND).await? {
        match objects.hold(session, held).await {
            Ok(()) => hub.store.object_hold_changed(session, held).await?,
            Err(error) => {
                metrics::counter!("hoop_object_holds_failed_total").increment(1);
                tracing::error!(%error, session.id = %session, held, "a legal hold cannot be put on an object, or taken from it");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_clock_that_jumps_ahead_deletes_nothing() {
        let (wall, began) = (Timestamp::from_micros(1_800_000_000_000_000), Instant::now());
        let trust = Trust::new(Some(wall), wall, began);
        assert_eq!(trust.doubt(wall.after(DAY * 400), began + DAY * 400), None, "time that passed");
        assert_eq!(trust.doubt(wall.after(DAY / 2), began), None, "a machine that slept for a while");
        assert!(trust.doubt(wall.after(DAY * 2), began).unwrap().contains("jumped"));
    }

    #[test]
    fn a_clock_that_is_far_ahead_at_the_start_gives_people_a_day() {
        let (wall, began) = (Timestamp::from_micros(1_800_000_000_000_000), Instant::now());
        let trust = Trust::new(Some(wall.before(DAY * 31)), wall, began);
        assert!(trust.doubt(wall, began).unwrap().contains("30 days"));
        assert_eq!(trust.doubt(wall.after(DAY), began + DAY), None);
        assert_eq!(Trust::new(None, wall, began).doubt(wall, began), None, "a new ledger");
    }
}
