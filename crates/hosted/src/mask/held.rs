//! What is held back of a program's outputs, and for how long.

use std::time::Duration;

use bytes::Bytes;
use hoop_masking::Counts;
use hoop_recording::event::Direction;
use tokio::time::Instant;

use super::{Mask, Veil};

/// So long at most: a person waits for it.
const HELD: Duration = Duration::from_millis(50);

/// What is masked of a program's two outputs.
pub struct Veils<'m> {
    out: Held<'m>,
    error: Held<'m>,
}

/// One of them: up to where all had come by when.
struct Held<'m> {
    veil: Veil<'m>,
    until: u64,
    since: Instant,
}

impl<'m> Veils<'m> {
    /// Nothing was printed yet.
    #[must_use]
    pub fn new(mask: &'m Mask) -> Self {
        Self { out: Held::new(mask), error: Held::new(mask) }
    }

    /// Takes what is printed on one of them; answers what may be shown.
    pub fn push(&mut self, direction: Direction, data: &[u8]) -> Bytes {
        match direction {
            Direction::Error => self.error.push(data),
            Direction::In | Direction::Out => self.out.push(data),
        }
    }

    /// When something has been held back for too long.
    pub fn due(&self) -> Option<Instant> {
        [&self.out, &self.error].into_iter().filter_map(Held::due).min()
    }

    /// What has been held back for too long by now, or all of it.
    pub fn let_go(&mut self, now: Option<Instant>) -> Vec<(Direction, Bytes)> {
        let held = [(Direction::Out, &mut self.out), (Direction::Error, &mut self.error)].into_iter();
        held.filter_map(|(direction, held)| {
            let shown = match now {
                None => held.veil.end(),
                Some(now) if held.due().is_some_and(|due| due <= now) => held.veil.let_go(),
                Some(_) => return None,
            };
            Some((direction, shown.into()))
        })
        .collect()
    }

    /// How many of each kind, of both.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let mut counts = self.out.veil.counts();
        counts.merge(&self.error.veil.counts());
        counts
    }
}

impl<'m> Held<'m> {
    fn new(mask: &'m Mask) -> Self {
        Self { veil: Veil::new(mask), until: 0, since: Instant::now() }
    }

    fn push(&mut self, data: &[u8]) -> Bytes {
        let shown = self.veil.push(data);
        let (taken, answered) = self.veil.progress();
        if answered >= self.until {
            (self.until, self.since) = (taken, Instant::now());
        }
        shown.into()
    }

    fn due(&self) -> Option<Instant> {
        let (taken, answered) = self.veil.progress();
        (taken > answered).then(|| self.since + HELD)
    }
}
