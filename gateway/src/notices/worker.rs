//! When notices go out: at once after the change was committed, then ever later, until they arrived or are a day old.
//!
//! Each channel has a task of its own, which sends one notice after another: one that hangs holds up nobody else. A
//! notice is taken for a time before it is sent; whoever dies with it gives it back by that.

use std::{sync::Arc, time::Duration};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use hoop_ledger::EventCode;
use hoop_model::{Actor, Timestamp};
use hoop_store::{Store, StoreError, StoredNotice};
use serde_json::json;
use tokio::time::{MissedTickBehavior, sleep};

use super::{Notice, Outlet, SendError};
use crate::hub::{Shared, event, now};

/// Other gateways' notices and those whose time has come are found so late at most.
const LOOK: Duration = Duration::from_secs(5);
/// Longer than any attempt takes.
const LEASE: Duration = Duration::from_secs(60);
/// An attempt that runs when the gateway stops may go on for this long.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Between attempts.
const SHORTEST: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_secs(3600);
/// Older ones are given up.
pub(super) const GIVEN_UP_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Older ones are forgotten.
const KEPT_FOR: Duration = Duration::from_secs(30 * 86_400);
const UPKEEP: Duration = Duration::from_secs(60);

/// What became of a turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// None was due.
    Idle,
    /// One arrived.
    Delivered,
    /// One did not.
    Failed,
}

/// Starts the tasks. They end when the gateway stops.
pub(crate) fn start(hub: &Shared) {
    for outlet in hub.notices.outlets() {
        hub.tasks.spawn(serve(Arc::clone(hub), Arc::clone(outlet)));
    }
    hub.tasks.spawn(upkeep(Arc::clone(hub)));
}

/// Delivers by one channel until the gateway stops.
async fn serve(hub: Shared, outlet: Arc<Outlet>) {
    let mut written = hub.store.notices_written();
    loop {
        // What is written from here on is seen by the next turn, or wakes us.
        written.mark_unchanged();
        let turn = tokio::select! {
            biased;
            turn = deliver_one(&hub.store, &outlet, &now) => turn,
            () = last_words(&hub) => return,
        };
        match turn {
            Ok(Turn::Delivered | Turn::Failed) if !hub.stopping.is_cancelled() => continue,
            Ok(_) => {}
            Err(error) => {
                metrics::counter!("hoop_job_failures_total", "job" => "notices").increment(1);
                tracing::error!(%error, channel = %outlet.name(), "notices cannot be looked up or noted");
                // Not at once: the store is away.
                written.mark_unchanged();
            }
        }
        tokio::select! {
            biased;
            () = hub.stopping.cancelled() => return,
            _ = written.changed() => {}
            () = sleep(LOOK) => {}
        }
    }
}

async fn last_words(hub: &Shared) {
    hub.stopping.cancelled().await;
    sleep(LAST_WORDS).await;
}

/// Takes one notice that is due and sends it.
pub(super) async fn deliver_one(
    store: &Store,
    outlet: &Outlet,
    clock: &(dyn Fn() -> Timestamp + Sync),
) -> Result<Turn, StoreError> {
    let at = clock();
    let Some(stored) = store.take_notice(outlet.name(), at, at.after(LEASE)).await? else {
        return Ok(Turn::Idle);
    };
    match attempt(outlet, &stored, at).await {
        Ok(()) => {
            store.notice_delivered(stored.id, clock()).await?;
            count("hoop_notices_delivered_total", outlet.name().as_str());
            Ok(Turn::Delivered)
        }
        Err(error) => {
            let next_at = clock().after(pause(stored.attempts, chance()));
            store.notice_failed(stored.id, Some(next_at), &error.to_string()).await?;
            count("hoop_notice_attempts_failed_total", outlet.name().as_str());
            let attempts = stored.attempts;
            tracing::warn!(%error, notice = %stored.id, channel = %outlet.name(), attempts, %next_at, "a notice did not arrive");
            Ok(Turn::Failed)
        }
    }
}

async fn attempt(outlet: &Outlet, stored: &StoredNotice, at: Timestamp) -> Result<(), SendError> {
    let notice: Notice = serde_json::from_value(stored.payload.clone())
        .map_err(|_| SendError::Setup("it was written by another version".to_owned()))?;
    outlet.send(stored.id, &notice, at).await
}

fn count(name: &'static str, channel: &str) {
    metrics::counter!(name, "channel" => channel.to_owned()).increment(1);
}

/// Doubles from 30 s to an hour, and a fifth more or less: `chance` is between 0 and 255.
pub(super) fn pause(attempts: u32, chance: u8) -> Duration {
    let doubled = SHORTEST.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST).mul_f64(0.8 + 0.4 * f64::from(chance) / 255.0)
}

pub(crate) fn chance() -> u8 {
    let mut byte = [128];
    // Without random numbers the pauses are even: no harm.
    let _ = SystemRandom::new().fill(&mut byte);
    byte[0]
}

/// Gives up, forgets, measures.
async fn upkeep(hub: Shared) {
    // The first look comes later: what waited while no gateway ran gets a chance before it is given up.
    let begin = tokio::time::Instant::now() + UPKEEP;
    let mut ticks = tokio::time::interval_at(begin, UPKEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if let Err(error) = measure(&hub.store).await {
            tracing::error!(%error, "notices cannot be counted");
        }
        tokio::select! {
            biased;
            () = hub.stopping.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if let Err(error) = tidy(&hub.store, now()).await {
            metrics::counter!("hoop_job_failures_total", "job" => "notices").increment(1);
            tracing::error!(%error, "old notices cannot be given up");
        }
    }
}

async fn measure(store: &Store) -> Result<(), StoreError> {
    let waiting = store.notices_waiting().await?;
    let age = waiting.oldest.map_or(Duration::ZERO, |oldest| now().since(oldest));
    #[expect(clippy::cast_precision_loss, reason = "a count for a graph")]
    metrics::gauge!("hoop_notices_waiting").set(waiting.count as f64);
    metrics::gauge!("hoop_notices_oldest_seconds").set(age.as_secs_f64());
    Ok(())
}

/// Gives up what is too old, with an event each, and forgets what is older still.
pub(super) async fn tidy(store: &Store, at: Timestamp) -> Result<(), StoreError> {
    let lost = store.give_up_notices(at.before(GIVEN_UP_AFTER), at, at.after(LEASE), given_up).await?;
    for notice in &lost {
        count("hoop_notices_given_up_total", notice.channel.as_str());
        tracing::error!(notice = %notice.id, channel = %notice.channel, topic = notice.topic, "a notice was given up");
    }
    store.sweep_notices(at.before(KEPT_FOR)).await.map(|_| ())
}

fn given_up(notice: &StoredNotice) -> hoop_store::NewEvent {
    let error = notice.last_error.as_deref().unwrap_or("no gateway has this channel in its configuration");
    let facts = json!({
        "notice": notice.id, "channel": notice.channel, "topic": notice.topic, "attempts": notice.attempts,
        "written_at": notice.created_at, "error": error,
    });
    event(&Actor::System, EventCode::NoticeFailed, [], facts)
}
