//! Moves recordings to the store of objects: long ones while they grow, all of them when they are finished.
//!
//! A finished recording is put under a name that nothing has yet, is looked at there, locked if the configuration says so,
//! told of in the ledger, and only then removed from the folder. After a crash each of these steps is done again.
//!
//! One that cannot be moved is tried again ever later, and holds up no other.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::StreamExt as _;
use hoop_ledger::EventCode;
use hoop_model::{Actor, SessionId, Timestamp};
use hoop_store::{Conflict, SessionRecord, StoreError};
use serde_json::json;
use tokio::time::MissedTickBehavior;

use super::{
    ObjectError, Objects, Recordings,
    upload::{self, PART, Upload},
};
use crate::{
    config::ObjectLock,
    hub::{Shared, event, now},
    sessions,
};

const EVERY: Duration = Duration::from_secs(1);
/// After a failure of the store.
const PAUSE: Duration = Duration::from_secs(5);
/// Before one that failed is tried again, at most.
const LONGEST: Duration = Duration::from_secs(300);
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

impl MoveError {
    /// Not the store's fault, and nothing that more time mends.
    const fn is_lasting(&self) -> bool {
        matches!(self, Self::Length { .. } | Self::Another)
    }
}

/// Recordings that failed, and where the next round begins.
#[derive(Debug, Default)]
struct Turns {
    after: Option<SessionId>,
    failed: HashMap<SessionId, Failed>,
    /// Bytes that wait, of the rounds since the first recording was looked at.
    waiting: u64,
}

#[derive(Debug)]
struct Failed {
    times: u32,
    next: Instant,
    /// It waits for an operator, not for the store.
    lasting: bool,
}

impl Turns {
    fn is_due(&self, session: SessionId) -> bool {
        self.failed.get(&session).is_none_or(|failed| failed.next <= Instant::now())
    }

    fn waits_for_the_store(&self, session: SessionId) -> bool {
        self.failed.get(&session).is_none_or(|failed| !failed.lasting)
    }

    fn failed(&mut self, session: SessionId, error: &MoveError) {
        let times = self.failed.get(&session).map_or(1, |failed| failed.times.saturating_add(1));
        let pause = PAUSE.saturating_mul(1_u32.checked_shl(times - 1).unwrap_or(u32::MAX)).min(LONGEST);
        let failed = Failed { times, next: Instant::now() + pause, lasting: error.is_lasting() };
        self.failed.insert(session, failed);
    }

    /// The next round goes on where this one ended, or at the beginning.
    fn went_over(&mut self, looked_at: &[SessionRecord]) -> Option<u64> {
        let full = looked_at.len() == ROUND as usize;
        self.after = looked_at.last().map(|record| record.id).filter(|_| full);
        if self.after.is_some() {
            return None;
        }
        // What was deleted meanwhile is not looked at again.
        if self.failed.len() > 4 * ROUND as usize {
            self.failed.clear();
        }
        Some(std::mem::take(&mut self.waiting))
    }
}

/// Runs until the gateway stops.
pub(crate) async fn run(hub: Shared) {
    let Some(objects) = hub.recordings.objects.clone() else { return };
    let mut turns = Turns::default();
    look_for_nothing(&objects).await;
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
            round = round(&hub, &objects, &mut turns) => round,
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

/// A store that says "forbidden" where it should say "not there" cannot show that an object is gone.
async fn look_for_nothing(objects: &Objects) {
    if let Err(error) = objects.find(SessionId::generate()).await {
        tracing::error!(%error, "the object store does not say that an object is not there: it needs s3:ListBucket");
    }
}

/// `false`: the store failed, and took nothing.
async fn round(hub: &Shared, objects: &Arc<Objects>, turns: &mut Turns) -> Result<bool, StoreError> {
    let recordings = &hub.recordings;
    let finished = hub.store.recordings_to_store(turns.after, ROUND).await?;
    let (growing, waiting) = look(recordings, &finished, turns).await;
    turns.waiting = turns.waiting.saturating_add(waiting);
    if let Some(waiting) = turns.went_over(&finished) {
        recordings.backlog.measured(waiting);
    }
    metrics::gauge!("hoop_recordings_waiting").set(u32::try_from(finished.len()).map_or(f64::MAX, f64::from));
    let grown = futures::stream::iter(growing).map(|(session, durable)| async move {
        let sent = Upload::new(recordings, objects, session).advance(durable).await;
        sent.map_err(|error| told(session, &error.into())).is_ok()
    });
    let fine = |fine: bool, one: bool| async move { fine && one };
    let grown = grown.buffer_unordered(TOGETHER).fold(true, fine).await;
    let (moved, failed) = move_all(hub, objects, finished, turns).await;
    Ok(moved || (grown && !failed))
}

/// What grows, with how much of it is durable; and how many bytes wait for the store.
async fn look(
    recordings: &Arc<Recordings>,
    finished: &[SessionRecord],
    turns: &Turns,
) -> (Vec<(SessionId, u64)>, u64) {
    let ids: Vec<_> = finished.iter().map(|record| record.id).collect();
    let waiting: Vec<_> = ids.iter().copied().filter(|id| turns.waits_for_the_store(*id)).collect();
    let recordings = Arc::clone(recordings);
    let looking = tokio::task::spawn_blocking(move || {
        let growing = recordings.staging.being_written().into_iter().filter(|id| !ids.contains(id));
        let growing: Vec<_> = growing.map(|id| (id, recordings.staging.durable(id))).collect();
        let missing = |id| recordings.length(id).saturating_sub(upload::sent_bytes(&recordings, id));
        // Of one that grows less than a part is missing, unless the store does not take it.
        let grown: u64 = growing.iter().map(|(id, _)| missing(*id).saturating_sub(PART)).sum();
        let waiting: u64 = waiting.into_iter().map(missing).sum();
        (growing, waiting.saturating_add(grown))
    });
    looking.await.unwrap_or_default()
}

/// Moves those whose turn it is: whether any was moved, and whether the store failed. After that it is not asked for more.
async fn move_all(
    hub: &Shared,
    objects: &Arc<Objects>,
    finished: Vec<SessionRecord>,
    turns: &mut Turns,
) -> (bool, bool) {
    let due: Vec<_> = finished.into_iter().filter(|record| turns.is_due(record.id)).collect();
    let failing = &AtomicBool::new(false);
    let moves = futures::stream::iter(due).map(|record| async move {
        if failing.load(Ordering::Relaxed) {
            return None;
        }
        let moved = move_one(hub, objects, &record).await;
        if moved.as_ref().is_err_and(|error| !error.is_lasting()) {
            failing.store(true, Ordering::Relaxed);
        }
        Some((record.id, moved))
    });
    let mut moves = std::pin::pin!(moves.buffer_unordered(TOGETHER));
    let mut any = false;
    while let Some(outcome) = moves.next().await {
        match outcome {
            None => {}
            Some((session, Ok(()))) => {
                turns.failed.remove(&session);
                hub.recordings.backlog.moved();
                any = true;
            }
            Some((session, Err(error))) => {
                told(session, &error);
                turns.failed(session, &error);
            }
        }
    }
    (any, failing.load(Ordering::Relaxed))
}

fn told(session: SessionId, error: &MoveError) {
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
    match &put {
        Ok(()) => {}
        Err(ObjectError::Exists) if is_ours(hub, objects, record, signed).await? => {}
        Err(ObjectError::Exists) => return Err(MoveError::Another),
        Err(_) => return Ok(put?),
    }
    // What was put before may have a hold that was released since.
    let again = found == 0 || put.is_err();
    let held = hub.store.is_held(session).await?;
    secure(objects, record, signed, held, again).await?;
    let at = now();
    let told = [told_stored(objects, record, signed, at)];
    let kept =
        hub.store.recording_stored(session, at, held && objects.lock() != ObjectLock::Off, &told).await;
    match kept {
        Ok(()) => {}
        Err(StoreError::Conflict(Conflict::Changed)) => {
            let record = hub.store.session(session).await?.ok_or(StoreError::NotFound("session"))?;
            if record.keeping.deleted_at.is_some() {
                // Its time was over while it was on its way: what was just put is not to stay.
                objects.delete(session).await?;
            }
        }
        Err(error) => return Err(error.into()),
    }
    upload.forget().await;
    Ok(recordings.in_folder(move |all| all.staging.remove(session)).await?)
}

async fn put_whole(
    recordings: &Arc<Recordings>,
    objects: &Objects,
    session: SessionId,
) -> Result<(), ObjectError> {
    let bytes = recordings.in_folder(move |all| std::fs::read(all.staging.path(session))).await?;
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

/// Looks at the object, locks it and puts a hold on it, where that is wanted.
async fn secure(
    objects: &Objects,
    record: &SessionRecord,
    signed: u64,
    held: bool,
    again: bool,
) -> Result<(), MoveError> {
    let found = objects.find(record.id).await?.ok_or(ObjectError::Absent)?;
    if found.length != signed {
        return Err(MoveError::Another);
    }
    if objects.lock() == ObjectLock::Off {
        return Ok(());
    }
    if let Some(until) = locked_until(objects, record) {
        objects.retain(record.id, found.version.as_deref(), until).await?;
    }
    if held || again {
        objects.hold(record.id, held).await?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_fails_comes_later_each_time_and_others_in_between() {
        let (bad, good) = (SessionId::generate(), SessionId::generate());
        let mut turns = Turns::default();
        let mut pauses = Vec::new();
        for _ in 0..10 {
            turns.failed(bad, &MoveError::Object(ObjectError::Absent));
            pauses.push(
                turns.failed[&bad].next.saturating_duration_since(Instant::now()).as_secs_f64().round(),
            );
        }
        assert_eq!(pauses, [5., 10., 20., 40., 80., 160., 300., 300., 300., 300.]);
        assert!(!turns.is_due(bad) && turns.is_due(good));
        assert!(turns.waits_for_the_store(bad), "the store may come back");
    }

    #[test]
    fn what_no_store_can_mend_is_not_said_to_wait_for_it() {
        let bad = SessionId::generate();
        let mut turns = Turns::default();
        turns.failed(bad, &MoveError::Another);
        assert!(!turns.waits_for_the_store(bad));
        turns.failed(bad, &MoveError::Length { found: 1, signed: 2 });
        assert!(!turns.waits_for_the_store(bad));
    }
}
