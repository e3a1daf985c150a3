//! Sessions in use, as this process knows them: their secret, which tickets were used, who waits for the agent's word.
//!
//! The store has the truth; an entry here is made from it when the first ticket after a start comes.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use hoop_model::{AgentId, Fault, SessionId, Timestamp};
use hoop_tunnel::relay::Tally;
use hoop_tunnel::ticket::{SessionSecret, Ticket, TicketError, TicketWindow};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::hub::now;

/// One session in use.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) id: SessionId,
    pub(crate) agent: AgentId,
    pub(crate) ends_at: Timestamp,
    /// The same by a clock that nobody sets: a wall clock that goes back gives no session more time.
    deadline: Instant,
    /// Cancelled when its connections are to be cut.
    pub(crate) cut: CancellationToken,
    /// What its connections carried.
    pub(crate) carried: Arc<Relayed>,
    secret: SessionSecret,
    window: Mutex<TicketWindow>,
    streams: AtomicUsize,
}

impl Live {
    pub(crate) fn new(id: SessionId, agent: AgentId, ends_at: Timestamp, secret: SessionSecret) -> Self {
        Self {
            id,
            agent,
            ends_at,
            deadline: Instant::now() + ends_at.since(now()),
            cut: CancellationToken::new(),
            carried: Arc::default(),
            secret,
            window: Mutex::default(),
            streams: AtomicUsize::new(0),
        }
    }

    /// Its time is over, by one clock or the other.
    pub(crate) fn is_late(&self, at: Timestamp, on_the_clock: Instant) -> bool {
        self.ends_at <= at || self.deadline <= on_the_clock
    }

    /// Checks a ticket and uses it up.
    pub(crate) fn admit(&self, ticket: &Ticket) -> Result<(), TicketError> {
        ticket.verify(&self.secret)?;
        self.window.lock().unwrap_or_else(PoisonError::into_inner).admit(ticket.counter())
    }

    /// The session was opened before this process began.
    pub(crate) fn opened_before(self) -> Self {
        self.carried.in_part.store(true, Ordering::Relaxed);
        self
    }

    /// Counts one more connection, unless there are `limit`.
    pub(crate) fn enter(self: &Arc<Self>, limit: usize) -> Option<Stream> {
        let before = self.streams.fetch_add(1, Ordering::Relaxed);
        let stream = Stream(Arc::clone(self));
        (before < limit).then_some(stream)
    }
}

/// What a session's connections carried through this gateway, from the person to the agent (`forth`) and back.
#[derive(Debug, Default)]
pub(crate) struct Relayed {
    pub(crate) tally: Tally,
    pub(crate) connections: AtomicU64,
    /// A gateway before this one carried some of it too: nobody knows how much.
    in_part: AtomicBool,
}

impl Relayed {
    /// For the evidence; `None`: not all of it is known.
    fn facts(&self) -> Option<serde_json::Value> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let whole = !self.in_part.load(Ordering::Relaxed);
        whole.then(|| {
            serde_json::json!({
                "to_agent": read(&self.tally.forth), "to_person": read(&self.tally.back),
                "connections": read(&self.connections),
            })
        })
    }
}

/// One connection of a session; no longer counted when dropped.
#[derive(Debug)]
pub(crate) struct Stream(Arc<Live>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

type Answer = Result<(), Fault>;

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct LiveSessions {
    live: Mutex<HashMap<SessionId, Arc<Live>>>,
    opening: Mutex<HashMap<SessionId, oneshot::Sender<Answer>>>,
    /// Kept until the recording is there, with which it is compared.
    carried: Mutex<HashMap<SessionId, Arc<Relayed>>>,
}

impl LiveSessions {
    fn map(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, id: SessionId) -> Option<Arc<Live>> {
        self.map().get(&id).cloned()
    }

    /// Keeps a session; of two at once the first stays, so that no ticket window starts anew.
    pub(crate) fn insert(&self, live: Live) -> Arc<Live> {
        let mut map = self.map();
        let kept = Arc::clone(map.entry(live.id).or_insert_with(|| Arc::new(live)));
        self.carried
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(kept.id, Arc::clone(&kept.carried));
        metrics::gauge!("hoop_sessions_live").set(f64::from(u32::try_from(map.len()).unwrap_or(u32::MAX)));
        kept
    }

    /// Takes a session away: no ticket is good for it any more.
    pub(crate) fn remove(&self, id: SessionId) -> Option<Arc<Live>> {
        let mut map = self.map();
        let removed = map.remove(&id);
        metrics::gauge!("hoop_sessions_live").set(f64::from(u32::try_from(map.len()).unwrap_or(u32::MAX)));
        removed
    }

    /// What a session's connections carried, as far as it is known.
    pub(crate) fn carried(&self, id: SessionId) -> Option<serde_json::Value> {
        let carried = self.carried.lock().unwrap_or_else(PoisonError::into_inner).get(&id).cloned();
        carried?.facts()
    }

    /// A signed end tells it, or nothing was carried: it is forgotten.
    pub(crate) fn forget_carried(&self, id: SessionId, signed: bool) {
        let mut all = self.carried.lock().unwrap_or_else(PoisonError::into_inner);
        let nothing = |carried: &Arc<Relayed>| carried.connections.load(Ordering::Relaxed) == 0;
        if signed || all.get(&id).is_some_and(nothing) {
            all.remove(&id);
        }
    }

    pub(crate) fn all(&self) -> Vec<Arc<Live>> {
        self.map().values().cloned().collect()
    }

    /// Waits for the agent's word on a session.
    pub(crate) fn expect(&self, id: SessionId) -> oneshot::Receiver<Answer> {
        let (sender, receiver) = oneshot::channel();
        self.opening.lock().unwrap_or_else(PoisonError::into_inner).insert(id, sender);
        receiver
    }

    /// No word is waited for any more.
    pub(crate) fn forget(&self, id: SessionId) {
        self.opening.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
    }

    /// The agent's word came, or is not waited for any more.
    pub(crate) fn settle(&self, id: SessionId, answer: Answer) {
        let waiting = self.opening.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
        if let Some(waiting) = waiting {
            let _ = waiting.send(answer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn live() -> Arc<Live> {
        let secret = SessionSecret::from_bytes([1; 32]);
        let id = SessionId::generate();
        Arc::new(Live::new(id, AgentId::generate(), Timestamp::EPOCH, secret))
    }

    #[test]
    fn a_ticket_is_good_once_and_for_its_session() {
        let (live, other) = (live(), live());
        let ticket = Ticket::derive(&live.secret, live.id, 0);
        assert_eq!(live.admit(&ticket), Ok(()));
        assert_eq!(live.admit(&ticket), Err(TicketError::Used));
        let forged = Ticket::derive(&SessionSecret::from_bytes([2; 32]), other.id, 1);
        assert_eq!(other.admit(&forged), Err(TicketError::Forged));
    }

    #[test]
    fn a_clock_that_is_set_gives_no_session_more_time() {
        let (start, hour) = (now(), Duration::from_secs(3600));
        let secret = SessionSecret::from_bytes([1; 32]);
        let live = Live::new(SessionId::generate(), AgentId::generate(), start.after(hour), secret);
        let counted = Instant::now();
        assert!(!live.is_late(start, counted));
        assert!(live.is_late(start.after(hour), counted), "set forward: over at once");
        assert!(live.is_late(start.before(hour), counted + hour), "set back: over in its time all the same");
    }

    #[test]
    fn streams_of_a_session_are_bounded() {
        let live = live();
        let first = live.enter(1).unwrap();
        assert!(live.enter(1).is_none());
        drop(first);
        assert!(live.enter(1).is_some());
        assert_eq!(live.streams.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn the_agents_word_reaches_who_waits() {
        let sessions = LiveSessions::default();
        let id = SessionId::generate();
        let word = sessions.expect(id);
        sessions.settle(id, Ok(()));
        sessions.settle(id, Ok(()));
        assert_eq!(word.await.unwrap(), Ok(()));
    }
}
