//! How much of a stream may be under way: enough to keep the network busy, and not so much that it queues.
//!
//! What is written comes out behind all that was written before. With a window of a megabyte, a bulk transfer fills every
//! buffer between here and the reader, those of the kernels and of the relay among them, and a key that is typed beside it
//! waits behind all of that. So less may be under way than the reader has room for:
//!
//! ```text
//!   under way = rate × shortest time  (what the network needs)  +  waiting  (what nobody needs)
//!   waiting   = under way × (1 − shortest time / this time)
//! ```
//! The time is that of one byte at a time, from its being written to its being acknowledged. While much waits, less may
//! be under way; while little waits and the writer would have had more, more may. The limit lies between [`LEAST`] and the
//! window: a near reader has a short queue, and one that is far away behind a fast network the whole window.
//!
//! Networks change, so the shortest time is that of the last [`REMEMBERED`] or two. It is measured anew with the least under way,
//! or a queue that stands would be taken for a longer network. A new carrier begins anew.

use std::time::{Duration, Instant};

/// May always be under way. A peer acknowledges a quarter of it at the latest.
pub(super) const LEAST: u64 = 256 * 1024;
/// Less than this waits: there may be more.
const LITTLE: u64 = LEAST / 2;
/// More than this waits: there may be less.
const MUCH: u64 = LEAST;
/// So much more, or less.
const STEP: u64 = LEAST / 2;
/// With less than this under way no byte is timed: its acknowledgement may be put off.
const TIMED: u64 = LEAST / 4;
/// How long a time is remembered, at least.
const REMEMBERED: Duration = Duration::from_secs(10);

/// Of one direction of a stream, on one carrier.
#[derive(Debug)]
pub(super) struct Flight {
    allowed: u64,
    timing: Option<Timing>,
    /// Since when [`Self::shortest`] is looked for.
    since: Option<Instant>,
    shortest: Duration,
    shortest_before: Duration,
}

/// A byte that is being timed.
#[derive(Debug, Clone, Copy)]
struct Timing {
    /// The offset behind it.
    end: u64,
    /// With so much under way, itself the last.
    under_way: u64,
    since: Instant,
}

impl Default for Flight {
    fn default() -> Self {
        Self {
            allowed: LEAST,
            timing: None,
            since: None,
            shortest: Duration::MAX,
            shortest_before: Duration::MAX,
        }
    }
}

impl Flight {
    /// So much may be under way.
    pub(super) const fn allowed(&self) -> u64 {
        self.allowed
    }

    /// Whether a byte that was just written is to be timed, with so much under way.
    pub(super) const fn wants(&self, under_way: u64) -> bool {
        self.timing.is_none() && under_way >= TIMED
    }

    /// Times the byte before `end`, which was just written.
    pub(super) const fn time(&mut self, end: u64, under_way: u64, now: Instant) {
        if self.wants(under_way) {
            self.timing = Some(Timing { end, under_way, since: now });
        }
    }

    /// All bytes before `offset` are acknowledged. At most `window` may ever be under way.
    pub(super) fn acknowledged(&mut self, offset: u64, window: u64, now: Instant) {
        let Some(timing) = self.timing.take_if(|timing| timing.end <= offset) else { return };
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= REMEMBERED {
            self.since = Some(now);
            self.shortest_before = std::mem::replace(&mut self.shortest, Duration::MAX);
            self.allowed = LEAST;
            return;
        }
        let time = now.saturating_duration_since(timing.since).max(Duration::from_nanos(1));
        self.shortest = self.shortest.min(time);
        let waiting = waiting(timing.under_way, self.shortest.min(self.shortest_before), time);
        if waiting > MUCH {
            self.allowed = self.allowed.saturating_sub(STEP).max(LEAST);
        } else if waiting < LITTLE && timing.under_way + STEP > self.allowed {
            self.allowed = (self.allowed + STEP).min(window.max(LEAST));
        }
    }
}

/// What of `under_way` was in queues, by the times without one and with it.
fn waiting(under_way: u64, shortest: Duration, time: Duration) -> u64 {
    let longer = u128::from(under_way) * time.saturating_sub(shortest).as_nanos();
    u64::try_from(longer / time.as_nanos().max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const WINDOW: u64 = 1024 * 1024;
    const ACK_EVERY: u64 = LEAST / 4;

    /// A writer that always has more, and a network of one queue: what is written leaves it at a rate, and is acknowledged some
    /// time after that.
    struct Network {
        flight: Flight,
        /// Bytes a millisecond.
        rate: u64,
        way: Duration,
        origin: Instant,
        now: Duration,
        idle_at: Duration,
        written: u64,
        acknowledged: u64,
        to_acknowledge: VecDeque<(Duration, u64)>,
    }

    impl Network {
        fn new(rate: u64, way: Duration) -> Self {
            let (now, idle_at) = (Duration::ZERO, Duration::ZERO);
            let (written, acknowledged, to_acknowledge) = (0, 0, VecDeque::new());
            let (flight, origin) = (Flight::default(), Instant::now());
            Self { flight, rate, way, origin, now, idle_at, written, acknowledged, to_acknowledge }
        }

        fn write(&mut self) {
            while self.written - self.acknowledged + ACK_EVERY <= self.flight.allowed().min(WINDOW) {
                self.written += ACK_EVERY;
                let taken = Duration::from_nanos(ACK_EVERY * 1_000_000 / self.rate);
                self.idle_at = self.idle_at.max(self.now) + taken;
                self.to_acknowledge.push_back((self.idle_at + self.way, self.written));
                let under_way = self.written - self.acknowledged;
                self.flight.time(self.written, under_way, self.origin + self.now);
            }
        }

        /// Goes on for so long; returns the bytes acknowledged, and the most that waited in the queue in the last half.
        fn run(&mut self, time: Duration) -> (u64, u64) {
            let (before, half, end) = (self.acknowledged, self.now + time / 2, self.now + time);
            let mut most = 0;
            while self.now < end {
                self.write();
                let (at, offset) = self.to_acknowledge.pop_front().unwrap();
                self.now = self.now.max(at);
                self.acknowledged = offset;
                self.flight.acknowledged(offset, WINDOW, self.origin + self.now);
                let allowed = self.flight.allowed();
                assert!((LEAST..=WINDOW).contains(&allowed), "{allowed}");
                if self.now > half {
                    let queue = self.idle_at.saturating_sub(self.now);
                    most = most.max(self.rate * u64::try_from(queue.as_micros()).unwrap() / 1000);
                }
            }
            (self.acknowledged - before, most)
        }

        /// What gets through at best, within this time.
        fn best(&self, time: Duration) -> u64 {
            let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap();
            let by_rate = self.rate * micros(time) / 1000;
            let turn = micros(self.way) + WINDOW * 1000 / self.rate;
            by_rate.min(WINDOW * micros(time) / turn.max(micros(self.way)))
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        /// From a hundred kilobytes to a gigabyte a second, from a tenth of a millisecond to a third of a second.
        #[test]
        fn little_waits_and_the_network_is_busy(rate in 100u64..1_000_000, way in 100u64..300_000) {
            let mut network = Network::new(rate, Duration::from_micros(way));
            let long = Duration::from_secs(8);
            network.run(long);
            let (through, queue) = network.run(long);
            prop_assert!(queue <= MUCH + LEAST, "{queue} waited");
            prop_assert!(through >= network.best(long) * 6 / 10, "{through} of {}", network.best(long));
        }

        #[test]
        fn a_network_that_becomes_longer_is_found_out(rate in 1_000u64..200_000, way in 1_000u64..100_000) {
            let mut network = Network::new(rate, Duration::from_micros(way));
            network.run(Duration::from_secs(8));
            network.way *= 3;
            network.run(REMEMBERED * 3);
            let long = Duration::from_secs(6);
            let (through, _) = network.run(long);
            prop_assert!(through >= network.best(long) * 6 / 10, "{through} of {}", network.best(long));
        }
    }

    proptest! {
        #[test]
        fn whatever_is_acknowledged_when_the_limit_has_its_bounds(
            steps in proptest::collection::vec((0u64..WINDOW, 0u64..WINDOW, 0u64..20_000_000), 0..100),
        ) {
            let (mut flight, mut now) = (Flight::default(), Instant::now());
            for (end, offset, micros) in steps {
                flight.time(end, end, now);
                now += Duration::from_micros(micros);
                flight.acknowledged(offset, WINDOW, now);
                prop_assert!((LEAST..=WINDOW).contains(&flight.allowed()));
            }
        }
    }

    #[test]
    fn a_near_reader_has_a_short_queue_and_a_far_one_the_whole_window() {
        let mut near = Network::new(150_000, Duration::from_micros(100));
        near.run(Duration::from_secs(5));
        assert!(near.flight.allowed() <= LEAST + STEP, "{}", near.flight.allowed());
        let mut far = Network::new(150_000, Duration::from_millis(20));
        far.run(Duration::from_secs(5));
        assert_eq!(far.flight.allowed(), WINDOW);
    }
}
