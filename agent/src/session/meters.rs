//! What each person has had of each connection, for the rates of statement rules: a new session gives nothing back.
//!
//! Held in memory: an agent that starts anew counts anew.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use hoop_model::{ConnectionId, Timestamp, UserId};
use hoop_policy::Meters;

/// Pairs of person and connection that are remembered; then those of which nothing counts any more are forgotten.
const MOST: usize = 10_000;

#[derive(Default)]
pub(super) struct AllMeters(Mutex<HashMap<(UserId, ConnectionId), Arc<Meters>>>);

impl AllMeters {
    pub(super) fn of(&self, user: UserId, connection: ConnectionId, now: Timestamp) -> Arc<Meters> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.retain(|_, meters| Arc::strong_count(meters) > 1 || !meters.are_idle(now));
        }
        Arc::clone(all.entry((user, connection)).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sessions_of_a_person_count_together() {
        let (all, now) = (AllMeters::default(), Timestamp::EPOCH);
        let (ada, bob) = (UserId::generate(), UserId::generate());
        let (pg, other) = (ConnectionId::generate(), ConnectionId::generate());
        let one = all.of(ada, pg, now);
        assert!(Arc::ptr_eq(&one, &all.of(ada, pg, now)));
        assert!(!Arc::ptr_eq(&one, &all.of(bob, pg, now)) && !Arc::ptr_eq(&one, &all.of(ada, other, now)));
    }

    #[test]
    fn what_counts_no_more_is_forgotten() {
        let (all, now) = (AllMeters::default(), Timestamp::EPOCH);
        let held = all.of(UserId::generate(), ConnectionId::generate(), now);
        for _ in 0..2 * MOST {
            all.of(UserId::generate(), ConnectionId::generate(), now);
        }
        let kept = all.0.lock().unwrap();
        assert!(kept.len() <= MOST && kept.values().any(|meters| Arc::ptr_eq(meters, &held)));
    }
}
