//! Bounds on connections that nobody has authenticated yet: how many from one address, how many half-open in all.
//!
//! Half-open connections are kept in the order in which they came; one too many pushes the oldest out. An honest
//! handshake is over in milliseconds, so it is the idle ones that go.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio_util::sync::CancellationToken;

/// Whom an address counts for: an IPv6 network of 64 bits belongs to one subscriber, who can use all of it.
pub(crate) fn neighbourhood(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Counts what each has open: connections by address, terminals by person.
#[derive(Debug, Clone)]
pub(crate) struct Each<K: Eq + Hash> {
    limit: usize,
    open: Arc<Mutex<HashMap<K, usize>>>,
}

/// One that is counted; counted down when dropped.
#[derive(Debug)]
pub(crate) struct Counted<K: Eq + Hash> {
    whose: K,
    open: Arc<Mutex<HashMap<K, usize>>>,
}

impl<K: Eq + Hash + Copy> Each<K> {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, open: Arc::default() }
    }

    /// Counts one more, unless they have their fill.
    pub(crate) fn admit(&self, whose: K) -> Option<Counted<K>> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(whose).or_default();
        if *count >= self.limit {
            return None;
        }
        *count += 1;
        Some(Counted { whose, open: Arc::clone(&self.open) })
    }
}

impl<K: Eq + Hash> Drop for Counted<K> {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.whose) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.whose);
            }
        }
    }
}

/// What a connection takes up, for whatever comes out of it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// Counted until the last of its holders is done.
    #[expect(dead_code, reason = "held, never read")]
    pub(crate) counted: Arc<Counted<IpAddr>>,
    /// Where what is not authenticated yet waits.
    pub(crate) half_open: HalfOpen,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    open: BTreeMap<u64, CancellationToken>,
}

/// Half-open connections.
#[derive(Debug, Clone)]
pub(crate) struct HalfOpen {
    limit: usize,
    waiting: Arc<Mutex<Waiting>>,
}

/// One half-open connection; no longer so when dropped.
#[derive(Debug)]
pub(crate) struct Half {
    number: u64,
    /// Cancelled when this one is pushed out.
    pub(crate) pushed_out: CancellationToken,
    waiting: Arc<Mutex<Waiting>>,
}

impl HalfOpen {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), waiting: Arc::default() }
    }

    /// Takes a place; pushes the oldest out when there is none.
    pub(crate) fn enter(&self) -> Half {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        while waiting.open.len() >= self.limit {
            let Some((_, oldest)) = waiting.open.pop_first() else { break };
            oldest.cancel();
        }
        let number = waiting.next;
        waiting.next += 1;
        let pushed_out = CancellationToken::new();
        waiting.open.insert(number, pushed_out.clone());
        Half { number, pushed_out, waiting: Arc::clone(&self.waiting) }
    }

    pub(crate) fn count(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).open.len()
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_fill_and_gets_its_places_back() {
        let limit = Each::new(2);
        let (one, other) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        let first = limit.admit(one).unwrap();
        let _second = limit.admit(one).unwrap();
        assert!(limit.admit(one).is_none());
        assert!(limit.admit(other).is_some());
        drop(first);
        assert!(limit.admit(one).is_some());
        assert_eq!(limit.open.lock().unwrap().len(), 1, "nothing is kept for those who left");
    }

    #[test]
    fn one_network_of_ipv6_is_one_address() {
        let limit = Each::new(1);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let _first = limit.admit(neighbourhood(address("2001:db8:0:1::1"))).unwrap();
        assert!(limit.admit(neighbourhood(address("2001:db8:0:1:ffff::2"))).is_none());
        assert!(limit.admit(neighbourhood(address("2001:db8:0:2::1"))).is_some());
        assert_eq!(neighbourhood(address("::ffff:10.0.0.1")), address("10.0.0.1"));
    }

    #[test]
    fn one_too_many_pushes_the_oldest_out() {
        let half_open = HalfOpen::new(2);
        let (oldest, second) = (half_open.enter(), half_open.enter());
        let newest = half_open.enter();
        assert!(oldest.pushed_out.is_cancelled());
        assert!(!second.pushed_out.is_cancelled() && !newest.pushed_out.is_cancelled());
        drop(second);
        assert_eq!(half_open.count(), 1);
        drop((oldest, newest));
        assert_eq!(half_open.count(), 0);
    }
}
