//! What all parts of the gateway share: configuration, store, keys, who is connected, what is live.

use std::sync::{
    Arc,
    atomic::{AtomicU16, Ordering},
};

use hoop_ledger::{Draft, EventCode, Facts, Subject};
use hoop_model::{Actor, Timestamp, UserId};
use hoop_store::{NewEvent, Store};
use hoop_telemetry::Metrics;
use tokio::sync::{Notify, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    agents::Agents, checkpoints::Publishing, config::Config, connection_tests::ConnectionTests,
    http::throttle::Throttle, keys::Keys, listener::limits::Each, live::LiveSessions, notices::Notices,
    recordings::Recordings, relay::Relay, rules::Rules,
};

/// Shared by every task of the gateway.
pub(crate) struct Hub {
    pub(crate) config: Config,
    pub(crate) store: Store,
    pub(crate) keys: Keys,
    pub(crate) agents: Agents,
    pub(crate) tests: ConnectionTests,
    pub(crate) live: LiveSessions,
    pub(crate) rules: Rules,
    pub(crate) relay: Relay,
    pub(crate) recordings: Arc<Recordings>,
    pub(crate) throttle: Throttle,
    /// How many passwords are hashed at once: each takes a core and 19 MiB.
    pub(crate) hashing: Semaphore,
    /// How many recordings are played or checked at once; shared with the threads that do it.
    pub(crate) reading: Arc<Semaphore>,
    /// How many trials of rules run at once; shared with the threads that do it.
    pub(crate) trying: Arc<Semaphore>,
    /// How many recordings are exported at once; shared with the threads that do it.
    pub(crate) exporting: Arc<Semaphore>,
    /// How many terminals in browsers there are at once.
    pub(crate) terminals: Arc<Semaphore>,
    /// And of one person.
    pub(crate) terminals_each: Each<UserId>,
    /// How many terminals are watched at once: each has a thread.
    pub(crate) watching: Arc<Semaphore>,
    pub(crate) metrics: Metrics,
    /// People are told by these.
    pub(crate) notices: Notices,
    /// Who gets checkpoints.
    pub(crate) publishing: Publishing,
    pub(crate) oidc: crate::http::oidc::Provider,
    /// Owns every task that belongs to a connection or a session.
    pub(crate) tasks: TaskTracker,
    /// No new work is taken.
    pub(crate) stopping: CancellationToken,
    pub(crate) port: AtomicU16,
    /// Sessions are to be held against the rules again: the last time failed.
    pub(crate) sweep_again: Notify,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub").finish_non_exhaustive()
    }
}

/// How the hub is shared.
pub(crate) type Shared = Arc<Hub>;

impl Hub {
    /// The port people are to use.
    pub(crate) fn public_port(&self) -> u16 {
        match self.config.public_port {
            0 => self.port.load(Ordering::Relaxed),
            port => port,
        }
    }

    /// `https://host:port`, without the port where it is 443.
    pub(crate) fn origin(&self) -> String {
        let host = &self.config.public_host;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        match self.public_port() {
            443 => format!("https://{host}"),
            port => format!("https://{host}:{port}"),
        }
    }

    /// Names this gateway in the store.
    pub(crate) fn name(&self) -> String {
        format!("{}:{}", self.config.public_host, self.public_port())
    }
}

/// The clock of the gateway: the only place that reads it.
pub(crate) fn now() -> Timestamp {
    jiff::Timestamp::now().into()
}

/// An event of the ledger, now.
pub(crate) fn event(
    actor: &Actor,
    code: EventCode,
    subjects: impl IntoIterator<Item = Subject>,
    facts: serde_json::Value,
) -> NewEvent {
    let facts = match facts {
        serde_json::Value::Object(facts) => facts,
        other => Facts::from_iter([("fact".to_owned(), other)]),
    };
    NewEvent::new(
        now(),
        Draft { actor: actor.clone(), code, subjects: subjects.into_iter().collect(), facts },
    )
}
