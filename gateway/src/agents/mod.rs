//! Agents that are connected now: their control streams, and what can be said to them.
//!
//! The store knows which agents exist; this knows which are here. Nothing in it survives a restart.

pub(crate) mod control;
pub(crate) mod enrol;
pub(crate) mod record;
pub(crate) mod server;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use hoop_control::v1::{
    CapabilitiesRevoked, DialOut, Drain, EmergencyKnown, EndSession, OpenSession, TestConnection, ToAgent,
    to_agent::Message,
};
use hoop_model::{AgentId, AgentName, Blame, CapabilityId, Fault, SessionId};
use hoop_tunnel::ticket::ClaimSecret;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Messages to an agent that wait for its network. An agent that does not read them is cut.
pub(crate) const OUTBOX: usize = 1024;

/// One control stream.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) agent: AgentId,
    pub(crate) name: AgentName,
    pub(crate) epoch: u64,
    pub(crate) version: String,
    /// Messages of later versions that it knows.
    features: Vec<String>,
    pub(crate) claim_secret: ClaimSecret,
    pub(crate) ended: CancellationToken,
    outbox: mpsc::Sender<ToAgent>,
    pub(crate) pinged: AtomicU64,
}

impl Link {
    pub(crate) fn new(
        agent: AgentId,
        name: AgentName,
        epoch: u64,
        (version, features): (String, Vec<String>),
        claim_secret: ClaimSecret,
    ) -> (Arc<Self>, mpsc::Receiver<ToAgent>) {
        let (outbox, receiver) = mpsc::channel(OUTBOX);
        let ended = CancellationToken::new();
        let pinged = AtomicU64::new(0);
        (
            Arc::new(Self { agent, name, epoch, version, features, claim_secret, ended, outbox, pinged }),
            receiver,
        )
    }

    /// Says something. Never waits: a stream whose outbox is full is cut, and the agent dials anew.
    pub(crate) fn say(&self, message: Message) -> bool {
        let sent = self.outbox.try_send(ToAgent { message: Some(message) }).is_ok();
        if !sent {
            self.ended.cancel();
        }
        sent
    }

    /// Whether it understands such messages: an older one would hang up.
    pub(crate) fn knows(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }

    pub(crate) fn test_connection(&self, test: TestConnection) -> bool {
        self.say(Message::TestConnection(test))
    }

    pub(crate) fn open_session(&self, open: OpenSession) -> bool {
        self.say(Message::OpenSession(open))
    }

    pub(crate) fn end_session(&self, session: SessionId, fault: &Fault) -> bool {
        self.say(Message::EndSession(EndSession {
            session_id: session.to_string(),
            fault: Some(fault.into()),
        }))
    }

    pub(crate) fn emergency_known(&self, session: SessionId, refused: Option<&Fault>) -> bool {
        let session_id = session.to_string();
        self.say(Message::EmergencyKnown(EmergencyKnown { session_id, refused: refused.map(Into::into) }))
    }

    pub(crate) fn capabilities_revoked(&self, ids: &[CapabilityId]) -> bool {
        let ids = ids.iter().map(ToString::to_string).collect();
        self.say(Message::CapabilitiesRevoked(CapabilitiesRevoked { ids }))
    }

    pub(crate) fn dial_out(&self, count: usize) -> bool {
        self.say(Message::DialOut(DialOut { count: u32::try_from(count).unwrap_or(u32::MAX) }))
    }

    /// The last word: what was said before it still leaves, then the stream ends.
    pub(crate) fn drain(&self, reason: &str) -> bool {
        self.say(Message::Drain(Drain { reason: reason.to_owned() }))
    }

    pub(crate) fn next_ping(&self) -> u64 {
        self.pinged.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Agents {
    links: Mutex<HashMap<AgentId, Arc<Link>>>,
    removed: Mutex<HashSet<AgentId>>,
}

impl Agents {
    fn links(&self) -> std::sync::MutexGuard<'_, HashMap<AgentId, Arc<Link>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a stream in force; the one before is cut.
    pub(crate) fn connect(&self, link: &Arc<Link>) {
        if let Some(old) = self.links().insert(link.agent, Arc::clone(link)) {
            old.ended.cancel();
        }
        self.gauge();
    }

    /// Takes a stream away, unless a newer one is in force.
    pub(crate) fn disconnect(&self, link: &Link) -> bool {
        let mut links = self.links();
        let current = links.get(&link.agent).is_some_and(|current| current.epoch == link.epoch);
        if current {
            links.remove(&link.agent);
        }
        drop(links);
        self.gauge();
        current
    }

    pub(crate) fn link(&self, agent: AgentId) -> Option<Arc<Link>> {
        self.links().get(&agent).cloned()
    }

    pub(crate) fn is_online(&self, agent: AgentId) -> bool {
        self.links().contains_key(&agent)
    }

    pub(crate) fn is_online_by_name(&self, name: &AgentName) -> bool {
        self.links().values().any(|link| link.name == *name)
    }

    /// Cuts an agent off at once, for good: none of its streams goes on.
    pub(crate) fn remove(&self, agent: AgentId) {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner).insert(agent);
        if let Some(link) = self.links().remove(&agent) {
            link.ended.cancel();
        }
        self.gauge();
    }

    pub(crate) fn is_removed(&self, agent: AgentId) -> bool {
        self.removed.lock().unwrap_or_else(PoisonError::into_inner).contains(&agent)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Link>> {
        self.links().values().cloned().collect()
    }

    fn gauge(&self) {
        let count = u32::try_from(self.links().len()).unwrap_or(u32::MAX);
        metrics::gauge!("hoop_agents_online").set(f64::from(count));
    }
}

/// What a person is told when an agent is away.
pub(crate) fn offline(name: &AgentName) -> Fault {
    Fault::new(
        "HOOP-4002",
        Blame::Network,
        format!("the agent {name}, which serves this connection, is not connected"),
    )
    .with_hint("check that hoop-agent runs and reaches the gateway; `hoop admin agents ls` shows its state")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(agent: AgentId, epoch: u64) -> (Arc<Link>, mpsc::Receiver<ToAgent>) {
        let secret = ClaimSecret::from_bytes([7; 32]);
        Link::new(agent, AgentName::new("a").unwrap(), epoch, ("0".into(), Vec::new()), secret)
    }

    #[test]
    fn the_newest_stream_wins() {
        let (agents, id) = (Agents::default(), AgentId::generate());
        let ((old, _a), (new, _b)) = (link(id, 1), link(id, 2));
        agents.connect(&old);
        agents.connect(&new);
        assert!(old.ended.is_cancelled() && !new.ended.is_cancelled());
        assert!(!agents.disconnect(&old), "the old one's end takes nothing away");
        assert!(agents.is_online(id));
        assert!(agents.disconnect(&new));
        assert!(!agents.is_online(id));
    }

    #[test]
    fn an_agent_that_does_not_read_is_cut() {
        let (link, _receiver) = link(AgentId::generate(), 1);
        for _ in 0..OUTBOX {
            assert!(link.dial_out(1));
        }
        assert!(!link.dial_out(1));
        assert!(link.ended.is_cancelled());
    }
}
