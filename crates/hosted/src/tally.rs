//! Counts a channel's bytes, and says which of them the recording keeps.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use hoop_engine::{Event, RequestId};
use hoop_recording::event::Direction;

/// What is recorded of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub enum Kept {
    /// All of them.
    Data(Event),
    /// From here on none.
    Curtailed(Event),
    /// None, as was said before.
    Counted,
}

impl Kept {
    /// What is recorded, if anything is.
    #[must_use]
    pub fn event(self) -> Option<Event> {
        match self {
            Self::Data(event) | Self::Curtailed(event) => Some(event),
            Self::Counted => None,
        }
    }
}

/// One channel's count. What is kept is bounded, except of what a terminal shows.
#[derive(Debug)]
pub struct Tally {
    id: RequestId,
    limit: Option<u64>,
    total: AtomicU64,
    curtailed: AtomicBool,
}

impl Tally {
    /// Counts from nothing. Without a limit all is kept.
    #[must_use]
    pub const fn new(id: RequestId, limit: Option<u64>) -> Self {
        Self { id, limit, total: AtomicU64::new(0), curtailed: AtomicBool::new(false) }
    }

    /// Counts these bytes, and says what is kept of them.
    pub fn take(&self, direction: Direction, data: &Bytes) -> Kept {
        let before = self.total.fetch_add(data.len() as u64, Ordering::Relaxed);
        match self.limit {
            Some(limit) if before >= limit => {
                if self.curtailed.swap(true, Ordering::Relaxed) {
                    return Kept::Counted;
                }
                Kept::Curtailed(Event::Curtailed { id: self.id, limit })
            }
            _ => Kept::Data(Event::Copy { id: self.id, direction, data: data.clone() }),
        }
    }

    /// Bytes that are counted and never kept.
    pub fn count(&self, data: &Bytes) {
        self.total.fetch_add(data.len() as u64, Ordering::Relaxed);
    }

    /// So many passed.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_what_is_kept_is_said_once() {
        let tally = Tally::new(RequestId(3), Some(4));
        let data = Bytes::from_static(b"abc");
        let kept = || tally.take(Direction::Out, &data);
        assert!(matches!(kept(), Kept::Data(_)));
        assert!(matches!(kept(), Kept::Data(_)), "what crosses the limit is whole");
        assert_eq!(kept(), Kept::Curtailed(Event::Curtailed { id: RequestId(3), limit: 4 }));
        assert_eq!((kept(), tally.total()), (Kept::Counted, 12));
    }

    #[test]
    fn what_a_terminal_shows_is_kept_to_the_end() {
        let tally = Tally::new(RequestId(0), None);
        let data = Bytes::from(vec![0; 1 << 20]);
        assert!((0..100).all(|_| matches!(tally.take(Direction::Out, &data), Kept::Data(_))));
    }
}
