//! How often somebody may try: attempts in a minute, by address and by name. In memory, bounded.

use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use hoop_model::UserId;

use crate::listener::limits::neighbourhood;

const MINUTE: Duration = Duration::from_secs(60);
/// Keys remembered. When they are all fresh, new ones are let through: the other bounds still hold.
const KEYS: usize = 100_000;
const ENROLMENTS: u32 = 120;
const PER_NAME: u32 = 20;
const POLLS: u32 = 600;
const CONNECTION_TESTS: u32 = 20;

#[derive(Debug)]
struct Windows<K>(Mutex<HashMap<K, (Instant, u32)>>);

impl<K> Default for Windows<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Hash + Eq> Windows<K> {
    fn admit(&self, key: K, limit: u32, now: Instant) -> bool {
        let mut windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if windows.len() >= KEYS {
            windows.retain(|_, (began, _)| now.duration_since(*began) < MINUTE);
        }
        if windows.len() >= KEYS && !windows.contains_key(&key) {
            return true;
        }
        let (began, count) = windows.entry(key).or_insert((now, 0));
        if now.duration_since(*began) >= MINUTE {
            (*began, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= limit
    }

    /// Was the limit of this minute reached? Counts nothing.
    fn is_spent(&self, key: &K, limit: u32, now: Instant) -> bool {
        let windows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        windows.get(key).is_some_and(|(began, count)| now.duration_since(*began) < MINUTE && *count >= limit)
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Throttle {
    limit: u32,
    addresses: Windows<IpAddr>,
    names: Windows<String>,
    enrolments: Windows<IpAddr>,
    polls: Windows<IpAddr>,
    wrong_tokens: Windows<IpAddr>,
    connection_tests: Windows<UserId>,
}

impl Throttle {
    pub(crate) fn new(login_attempts_per_minute: u32) -> Self {
        Self {
            limit: login_attempts_per_minute,
            addresses: Windows::default(),
            names: Windows::default(),
            enrolments: Windows::default(),
            polls: Windows::default(),
            wrong_tokens: Windows::default(),
            connection_tests: Windows::default(),
        }
    }

    /// May this address try to sign in (or poll, or trade a code) once more?
    pub(crate) fn address(&self, address: IpAddr) -> bool {
        self.addresses.admit(neighbourhood(address), self.limit, Instant::now())
    }

    /// May anybody try to sign in under this name once more?
    pub(crate) fn name(&self, name: &str) -> bool {
        self.names.admit(name.to_owned(), PER_NAME, Instant::now())
    }

    /// May this address ask once more whether a device was approved, or trade a token?
    pub(crate) fn poll(&self, address: IpAddr) -> bool {
        self.polls.admit(neighbourhood(address), POLLS, Instant::now())
    }

    /// May this address show an API token once more? Good ones cost nothing, so that programs may call as often as they
    /// like.
    pub(crate) fn api_token(&self, address: IpAddr) -> bool {
        !self.wrong_tokens.is_spent(&neighbourhood(address), self.limit, Instant::now())
    }

    /// It was not a good one.
    pub(crate) fn wrong_api_token(&self, address: IpAddr) {
        self.wrong_tokens.admit(neighbourhood(address), self.limit, Instant::now());
    }

    /// May this admin have a connection tested once more?
    pub(crate) fn connection_test(&self, by: UserId) -> bool {
        self.connection_tests.admit(by, CONNECTION_TESTS, Instant::now())
    }

    /// May this address try to enrol an agent once more?
    pub(crate) fn enrolment(&self, address: IpAddr) -> bool {
        self.enrolments.admit(neighbourhood(address), ENROLMENTS, Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_has_its_limit_and_the_next_one_begins_anew() {
        let (windows, now) = (Windows::default(), Instant::now());
        assert!((0..3).all(|_| windows.admit("a", 3, now)));
        assert!(!windows.admit("a", 3, now));
        assert!(windows.admit("b", 3, now));
        assert!(windows.is_spent(&"a", 3, now) && !windows.is_spent(&"b", 3, now));
        assert!(!windows.is_spent(&"a", 3, now + MINUTE) && !windows.is_spent(&"never", 3, now));
        assert!(windows.admit("a", 3, now + MINUTE));
    }

    #[test]
    fn memory_is_bounded() {
        let (windows, now) = (Windows::default(), Instant::now());
        for key in 0..KEYS + 10 {
            windows.admit(key, 1, now);
        }
        assert_eq!(windows.0.lock().unwrap().len(), KEYS);
    }
}
