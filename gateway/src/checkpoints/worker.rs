//! When checkpoints go out: the newest one, soon after it was signed; after a failure ever later.

use std::{sync::Arc, time::Duration};

use hoop_model::Timestamp;
use hoop_store::{Store, StoreError};
use tokio::{task::JoinSet, time::sleep};

use super::Receiver;
use crate::{
    hub::{Shared, now},
    notices::worker::chance,
};

/// What other gateways signed is found so late at most.
const LOOK: Duration = Duration::from_secs(5);
/// An attempt that runs when the gateway stops may go on for this long; so may the last one, with the last checkpoint.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// Between attempts.
const SHORTEST: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(300);

/// What became of a turn.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It has the newest checkpoint, or there is none.
    Idle,
    /// It took the checkpoint of this size.
    Delivered(u64),
    /// It did not; so often in a row.
    Failed(u32),
}

/// Starts a task for each receiver. They end when the gateway stops.
pub(crate) fn start(hub: &Shared) {
    for receiver in hub.publishing.receivers() {
        hub.tasks.spawn(serve(Arc::clone(hub), Arc::clone(receiver)));
    }
}

async fn serve(hub: Shared, receiver: Arc<Receiver>) {
    let mut signed = hub.publishing.signed.subscribe();
    loop {
        // What is signed from here on is seen by the next turn, or wakes us.
        signed.mark_unchanged();
        let turn = tokio::select! {
            biased;
            turn = turn(&hub.store, &receiver, &now) => turn,
            () = last_words(&hub) => return,
        };
        let pause = match turn {
            Ok(Turn::Delivered(_)) if !hub.stopping.is_cancelled() => continue,
            Ok(Turn::Failed(attempts)) => Some(pause(attempts, chance())),
            Ok(_) => None,
            Err(error) => {
                metrics::counter!("hoop_job_failures_total", "job" => "checkpoints").increment(1);
                tracing::error!(%error, receiver = %receiver.name, "it cannot be seen or noted how a receiver stands");
                Some(LOOK)
            }
        };
        tokio::select! {
            biased;
            () = hub.stopping.cancelled() => return,
            () = sleep(pause.unwrap_or(LOOK)) => {}
            // After a failure what is new waits with the rest: the next attempt sends the newest.
            _ = signed.changed(), if pause.is_none() => {}
        }
    }
}

async fn last_words(hub: &Shared) {
    hub.stopping.cancelled().await;
    sleep(LAST_WORDS).await;
}

/// Sends the newest checkpoint, if the receiver has not taken it yet.
pub(super) async fn turn(
    store: &Store,
    receiver: &Receiver,
    clock: &(dyn Fn() -> Timestamp + Sync),
) -> Result<Turn, StoreError> {
    let stands = store.receiver(receiver.kind, &receiver.name).await?;
    let Some(newest) = store.latest_checkpoint().await?.filter(|newest| newest.size > stands.size) else {
        measure(receiver, 0, stands.failing_since.is_some());
        return Ok(Turn::Idle);
    };
    match receiver.deliver(store, &newest, stands.size, clock()).await {
        Ok(()) => {
            store.receiver_took(receiver.kind, &receiver.name, newest.size, clock()).await?;
            measure(receiver, 0, false);
            Ok(Turn::Delivered(newest.size))
        }
        Err(error) => {
            store.receiver_failed(receiver.kind, &receiver.name, clock(), &error.to_string()).await?;
            measure(receiver, newest.size - stands.size, true);
            let (name, attempts) = (receiver.name.to_string(), stands.attempts.saturating_add(1));
            metrics::counter!("hoop_ledger_receiver_attempts_failed_total", "receiver" => name.clone())
                .increment(1);
            if error.is_alarm() {
                metrics::counter!("hoop_ledger_witness_alarms_total", "receiver" => name).increment(1);
                tracing::error!(%error, receiver = %receiver.name, size = newest.size, "what is kept elsewhere contradicts the ledger");
            } else {
                tracing::warn!(%error, receiver = %receiver.name, size = newest.size, attempts, "a checkpoint did not arrive");
            }
            Ok(Turn::Failed(attempts))
        }
    }
}

fn measure(receiver: &Receiver, behind: u64, failing: bool) {
    let labels = [("receiver", receiver.name.to_string()), ("kind", receiver.word.to_owned())];
    #[expect(clippy::cast_precision_loss, reason = "a count for a graph")]
    metrics::gauge!("hoop_ledger_receiver_behind_events", &labels).set(behind as f64);
    metrics::gauge!("hoop_ledger_receiver_failing", &labels).set(f64::from(u8::from(failing)));
}

/// The last checkpoint, at the end: to all that took the one before, with a limit.
pub(crate) async fn last(hub: &Shared) {
    let mut turns = JoinSet::new();
    for receiver in hub.publishing.receivers() {
        let (hub, receiver) = (Arc::clone(hub), Arc::clone(receiver));
        turns.spawn(async move {
            if hub
                .store
                .receiver(receiver.kind, &receiver.name)
                .await
                .is_ok_and(|stands| stands.attempts == 0)
            {
                let _ = turn(&hub.store, &receiver, &now).await;
            }
        });
    }
    // Whoever is too slow gets it when a gateway starts.
    let _ = tokio::time::timeout(LAST_WORDS, turns.join_all()).await;
}

/// Doubles from 2 s to 5 minutes, and a fifth more or less: `chance` is between 0 and 255.
pub(super) fn pause(attempts: u32, chance: u8) -> Duration {
    let doubled = SHORTEST.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
    doubled.min(LONGEST).mul_f64(0.8 + 0.4 * f64::from(chance) / 255.0)
}
