//! Pairs connections of people with connections that agents dialled out.
//!
//! One pool an agent. It outlives the agent's control stream, so that somebody who comes just before the agent is back
//! is served when it is. Generic over what a connection is, so that it can be tested without sockets.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use hoop_model::AgentId;
use tokio::sync::oneshot;

/// Connections that one agent may keep parked.
const PARKED: usize = 512;
/// A connection that was asked for so long ago does not come any more.
const GIVEN_UP: Duration = Duration::from_secs(2);
/// Claims of an epoch whose use is remembered exactly; older ones are refused.
const REMEMBERED: usize = 4096;

#[derive(Debug)]
struct Pool<C> {
    epoch: u64,
    parked: VecDeque<C>,
    waiting: VecDeque<oneshot::Sender<C>>,
    used: HashSet<u32>,
    oldest_counter: u32,
    /// Asked of the agent and not come yet, and since when: what does not come is asked for again.
    asked: usize,
    asked_at: Instant,
}

impl<C> Default for Pool<C> {
    fn default() -> Self {
        Self {
            epoch: 0,
            parked: VecDeque::new(),
            waiting: VecDeque::new(),
            used: HashSet::new(),
            oldest_counter: 0,
            asked: 0,
            asked_at: Instant::now(),
        }
    }
}

impl<C> Pool<C> {
    fn ask(&mut self, count: usize, now: Instant) {
        self.asked += count;
        self.asked_at = now;
    }
}

/// Why a connection of an agent is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotParked {
    /// Of a control stream that is not in force.
    Stale,
    /// The same claim a second time.
    Used,
    /// The agent has its fill.
    Full,
}

/// What somebody who needs a connection gets.
#[derive(Debug)]
pub(crate) enum Taken<C> {
    /// One that waits.
    Now(C),
    /// The next one that comes; the agent is to be asked for it.
    Later(oneshot::Receiver<C>),
    /// Too many wait already.
    TooMany,
}

/// All pools.
#[derive(Debug)]
pub(crate) struct Pools<C> {
    waiting_limit: usize,
    pools: Mutex<HashMap<AgentId, Arc<Mutex<Pool<C>>>>>,
}

impl<C> Pools<C> {
    pub(crate) fn new(waiting_limit: usize) -> Self {
        Self { waiting_limit, pools: Mutex::default() }
    }

    fn pool(&self, agent: AgentId) -> Arc<Mutex<Pool<C>>> {
        Arc::clone(self.pools.lock().unwrap_or_else(PoisonError::into_inner).entry(agent).or_default())
    }

    fn with<R>(&self, agent: AgentId, act: impl FnOnce(&mut Pool<C>) -> R) -> R {
        act(&mut self.pool(agent).lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A new control stream: what was dialled for the old one is dropped. The agent dials `ahead` connections unasked;
    /// answers how many more it is to be asked for.
    pub(crate) fn begin_epoch(&self, agent: AgentId, epoch: u64, ahead: usize) -> usize {
        self.with(agent, |pool| {
            pool.asked = 0;
            pool.epoch = epoch;
            pool.parked.clear();
            pool.used.clear();
            pool.oldest_counter = 0;
            pool.waiting.retain(|waiting| !waiting.is_closed());
            let waiting = pool.waiting.len();
            pool.ask(ahead + waiting, Instant::now());
            waiting
        })
    }

    /// How many connections to ask the agent for now, so that everybody who waits gets one and `ahead` are left.
    pub(crate) fn order(&self, agent: AgentId, ahead: usize, now: Instant) -> usize {
        self.with(agent, |pool| {
            if now.saturating_duration_since(pool.asked_at) > GIVEN_UP {
                pool.asked = 0;
            }
            let wanted = ahead + pool.waiting.len();
            let missing = wanted.saturating_sub(pool.parked.len() + pool.asked);
            if missing > 0 {
                pool.ask(missing, now);
            }
            missing
        })
    }

    /// The control stream is gone: so is what was dialled for it.
    pub(crate) fn end_epoch(&self, agent: AgentId, epoch: u64) {
        self.with(agent, |pool| {
            if pool.epoch == epoch {
                pool.parked.clear();
            }
        });
    }

    /// Marks a verified claim as used.
    pub(crate) fn admit(&self, agent: AgentId, epoch: u64, counter: u32) -> Result<(), NotParked> {
        self.with(agent, |pool| {
            if pool.epoch != epoch {
                return Err(NotParked::Stale);
            }
            if counter < pool.oldest_counter || !pool.used.insert(counter) {
                return Err(NotParked::Used);
            }
            if pool.used.len() > REMEMBERED {
                let newest = pool.used.iter().copied().max().unwrap_or(0);
                let oldest = newest.saturating_sub(u32::try_from(REMEMBERED / 2).unwrap_or(0));
                pool.oldest_counter = pool.oldest_counter.max(oldest);
                let oldest = pool.oldest_counter;
                pool.used.retain(|counter| *counter >= oldest);
            }
            Ok(())
        })
    }

    /// Gives a connection to whoever waits longest, or keeps it.
    pub(crate) fn park(&self, agent: AgentId, epoch: u64, mut connection: C) -> Result<(), NotParked> {
        self.with(agent, |pool| {
            if pool.epoch != epoch {
                return Err(NotParked::Stale);
            }
            pool.asked = pool.asked.saturating_sub(1);
            while let Some(waiting) = pool.waiting.pop_front() {
                match waiting.send(connection) {
                    Ok(()) => return Ok(()),
                    Err(back) => connection = back,
                }
            }
            if pool.parked.len() >= PARKED {
                return Err(NotParked::Full);
            }
            pool.parked.push_back(connection);
            Ok(())
        })
    }

    /// Takes a connection, or a place in the queue. `is_alive` looks at a parked one before it is given.
    pub(crate) fn take(&self, agent: AgentId, mut is_alive: impl FnMut(&mut C) -> bool) -> Taken<C> {
        let limit = self.waiting_limit;
        self.with(agent, |pool| {
            while let Some(mut connection) = pool.parked.pop_front() {
                if is_alive(&mut connection) {
                    return Taken::Now(connection);
                }
            }
            pool.waiting.retain(|waiting| !waiting.is_closed());
            if pool.waiting.len() >= limit {
                return Taken::TooMany;
            }
            let (sender, receiver) = oneshot::channel();
            pool.waiting.push_back(sender);
            Taken::Later(receiver)
        })
    }

    /// Forgets an agent that was removed.
    pub(crate) fn forget(&self, agent: AgentId) {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).remove(&agent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pools() -> (Pools<u32>, AgentId) {
        let (pools, agent) = (Pools::new(2), AgentId::generate());
        pools.begin_epoch(agent, 1, 0);
        (pools, agent)
    }

    #[test]
    fn parked_connections_go_first_come_first_served_and_dead_ones_to_nobody() {
        let (pools, agent) = pools();
        for connection in [1, 2, 3] {
            pools.park(agent, 1, connection).unwrap();
        }
        assert!(matches!(pools.take(agent, |c| *c != 1), Taken::Now(2)));
        assert!(matches!(pools.take(agent, |_| true), Taken::Now(3)));
        assert!(matches!(pools.take(agent, |_| true), Taken::Later(_)));
    }

    #[test]
    fn who_waits_gets_the_next_one_unless_they_left() {
        let (pools, agent) = pools();
        let Taken::Later(left) = pools.take(agent, |_| true) else { panic!() };
        let Taken::Later(mut stays) = pools.take(agent, |_| true) else { panic!() };
        drop(left);
        pools.park(agent, 1, 7).unwrap();
        assert_eq!(stays.try_recv(), Ok(7));
    }

    #[test]
    fn the_queue_is_bounded() {
        let (pools, agent) = pools();
        let waiting: Vec<_> = (0..2).map(|_| pools.take(agent, |_| true)).collect();
        assert!(matches!(pools.take(agent, |_| true), Taken::TooMany));
        drop(waiting);
        assert!(matches!(pools.take(agent, |_| true), Taken::Later(_)));
    }

    #[test]
    fn a_claim_is_good_once_and_for_its_own_stream() {
        let (pools, agent) = pools();
        assert_eq!(pools.admit(agent, 1, 5), Ok(()));
        assert_eq!(pools.admit(agent, 1, 5), Err(NotParked::Used));
        assert_eq!(pools.admit(agent, 2, 6), Err(NotParked::Stale));
        pools.park(agent, 1, 5).unwrap();
        let Taken::Now(_) = pools.take(agent, |_| true) else { panic!() };
        let Taken::Later(_waits) = pools.take(agent, |_| true) else { panic!() };
        assert_eq!(pools.begin_epoch(agent, 2, 0), 1, "who waits still waits for the new stream");
        assert_eq!(pools.admit(agent, 1, 9), Err(NotParked::Stale));
        assert_eq!(pools.park(agent, 1, 9), Err(NotParked::Stale));
        assert_eq!(pools.admit(agent, 2, 5), Ok(()));
    }

    #[test]
    fn memory_of_claims_is_bounded_and_old_ones_stay_refused() {
        let (pools, agent) = pools();
        for counter in 0..20_000 {
            pools.admit(agent, 1, counter).unwrap();
        }
        assert!(pools.with(agent, |pool| pool.used.len()) <= REMEMBERED + 1);
        for counter in [0, 1, 10_000, 19_999] {
            assert_eq!(pools.admit(agent, 1, counter), Err(NotParked::Used));
        }
    }

    #[test]
    fn what_is_taken_is_ordered_anew_and_never_twice() {
        let (pools, agent) = (Pools::new(10), AgentId::generate());
        let now = Instant::now();
        assert_eq!(pools.begin_epoch(agent, 1, 2), 0);
        assert_eq!(pools.order(agent, 2, now), 0, "two are on their way unasked");
        pools.park(agent, 1, 1).unwrap();
        pools.park(agent, 1, 2).unwrap();
        assert!(matches!(pools.take(agent, |_| true), Taken::Now(1)));
        assert_eq!(pools.order(agent, 2, now), 1);
        assert_eq!(pools.order(agent, 2, now), 0);
        assert!(matches!(pools.take(agent, |_| true), Taken::Now(2)));
        let Taken::Later(_waits) = pools.take(agent, |_: &mut u32| true) else { panic!() };
        assert_eq!(pools.order(agent, 2, now), 2, "one for who waits, one more to have two left");
        let later = Instant::now() + GIVEN_UP + Duration::from_secs(1);
        assert_eq!(pools.order(agent, 2, later), 3, "what did not come is asked for again");
    }

    #[test]
    fn parked_connections_are_bounded() {
        let (pools, agent) = pools();
        for connection in 0..512 {
            pools.park(agent, 1, connection).unwrap();
        }
        assert_eq!(pools.park(agent, 1, 513), Err(NotParked::Full));
        pools.end_epoch(agent, 1);
        assert!(matches!(pools.take(agent, |_| true), Taken::Later(_)));
    }
}
