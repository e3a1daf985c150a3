//! Removes what sessions left behind: after a crash of the agent, and where a target did not answer.

use std::{sync::Arc, time::Duration};

use hoop_model::{Blame, Fault, SessionId};
use tokio::{task::JoinSet, time::Instant};

use super::{Entry, Keeper, Site, Wait, left, remove};
use crate::session::{Sessions, site_of};

/// How often the journal is looked through.
const EVERY: Duration = Duration::from_secs(30);
/// First wait after a failure; doubles to [`LONGEST`].
const FIRST: Duration = Duration::from_secs(5);
/// Longest wait between two tries.
const LONGEST: Duration = Duration::from_secs(600);
/// Longest time for one account.
const PATIENCE: Duration = Duration::from_secs(60);
/// Accounts at a time.
const AT_ONCE: usize = 8;

/// Sweeps until dropped.
pub(crate) async fn sweep(sessions: Arc<Sessions>) {
    let keeper = Arc::clone(&sessions.around.accounts);
    loop {
        let mut running = JoinSet::new();
        for entry in keeper.journal.entries().into_iter().filter(|entry| keeper.is_due(entry.session)) {
            if running.len() >= AT_ONCE {
                running.join_next().await;
            }
            running.spawn(sweep_one(Arc::clone(&sessions), entry));
        }
        while running.join_next().await.is_some() {}
        let pause = keeper.next_try().min(EVERY);
        // Who rings has something new; what failed waits for its time.
        let _ = tokio::time::timeout(pause, keeper.rung.notified()).await;
    }
}

async fn sweep_one(sessions: Arc<Sessions>, entry: Entry) {
    let keeper = &sessions.around.accounts;
    let outcome = match site(&sessions, &entry) {
        Ok(site) => tokio::time::timeout(PATIENCE, remove(&sessions, &entry, &site)).await,
        Err(fault) => Ok(Err(fault)),
    };
    match outcome.unwrap_or_else(|_| Err(super::late())) {
        Ok(what) => {
            tracing::info!(session = %entry.session, account = entry.account.name, what, "an account that was left was seen to");
            keeper.settle(entry.session);
        }
        Err(fault) => {
            let first = keeper.put_off(entry.session);
            // The gateway hears it once, the log each time.
            if first {
                left(&sessions, &entry, &fault);
            } else {
                tracing::error!(session = %entry.session, account = entry.account.name, code = %fault.code, reason = fault.message, "an account still cannot be removed");
            }
        }
    }
}

fn site(sessions: &Sessions, entry: &Entry) -> Result<Site, Fault> {
    let protocol = hoop_protocols::find(&entry.protocol).ok_or_else(|| {
        Fault::new("HOOP-4212", Blame::System, format!("this agent does not speak {}", entry.protocol))
    })?;
    site_of(&sessions.around, protocol, &entry.settings, &entry.connection)
}

impl Keeper {
    fn is_due(&self, session: SessionId) -> bool {
        let waits = self
            .waits
            .lock()
            .is_ok_and(|waits| waits.get(&session).is_some_and(|wait| wait.until > Instant::now()));
        !waits && !self.is_used(session)
    }

    /// Time until something that failed is due.
    fn next_try(&self) -> Duration {
        let soonest = self.waits.lock().ok().and_then(|waits| waits.values().map(|wait| wait.until).min());
        soonest.map_or(EVERY, |until| until.saturating_duration_since(Instant::now()).max(FIRST / 5))
    }

    fn settle(&self, session: SessionId) {
        if let Ok(mut waits) = self.waits.lock() {
            waits.remove(&session);
        }
    }

    /// Later, and later each time. `true`: it is the first time.
    fn put_off(&self, session: SessionId) -> bool {
        let Ok(mut waits) = self.waits.lock() else { return true };
        let before = waits.get(&session).map(|wait| wait.pause);
        let pause = before.map_or(FIRST, |pause| (pause * 2).min(LONGEST));
        waits.insert(session, Wait { until: Instant::now() + pause, pause });
        before.is_none()
    }
}
