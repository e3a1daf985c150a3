//! What is held back of a program's outputs, and for how long.
//!
//! It is let go because a person may wait for it: a prompt, mostly, after which nothing comes. So what counts is that the *source*
//! has nothing, not that time has passed: who drives this may have been slow itself, in showing what came before, or in coming to
//! run at all, while the rest of a number lay waiting; and half of a number let go is a number shown. Therefore time counts in
//! [ticks](TICK), each a wait for the source that was in vain: [`Veils::due`] says how long to wait now, and [`Veils::let_go`] that it
//! was in vain. However late the driver comes, that is one tick. And where much came at once, its end is likely to be no prompt, but
//! a cut through the middle: it is given [longer](TICKS_OF_BULK), for the host may be slow too. A host that stands still for longer
//! than that within a number still has its halves shown: the price of not keeping a person waiting for ever.

use std::time::Duration;

use bytes::Bytes;
use hoop_masking::Counts;
use hoop_recording::event::Direction;
use tokio::time::Instant;

use super::{Mask, Veil};

/// One wait for the source.
const TICK: Duration = Duration::from_millis(10);
/// So many in vain, and what is held is let go: 50 ms, which nobody notices.
const TICKS: u32 = 5;
/// After bulk: 250 ms.
const TICKS_OF_BULK: u32 = 25;
/// Bytes that came without such a pause: more than a person's keys and prompts bring.
const BULK: usize = 4096;

/// What is masked of a program's two outputs.
pub struct Veils<'m> {
    out: Held<'m>,
    error: Held<'m>,
}

/// One of them: up to where it waits, and for how many ticks yet.
struct Held<'m> {
    veil: Veil<'m>,
    until: u64,
    ticks: u32,
    ticked: Instant,
    /// Bytes that came since the source last stood still, and when the latest did.
    burst: usize,
    came: Instant,
}

impl<'m> Veils<'m> {
    /// Nothing was printed yet.
    #[must_use]
    pub fn new(mask: &'m Mask) -> Self {
        Self { out: Held::new(mask), error: Held::new(mask) }
    }

    /// Takes what is printed on one of them; answers what may be shown.
    pub fn push(&mut self, direction: Direction, data: &[u8]) -> Bytes {
        let (this, other) = match direction {
            Direction::Error => (&mut self.error, &mut self.out),
            Direction::In | Direction::Out => (&mut self.out, &mut self.error),
        };
        let now = Instant::now();
        // What is said on one does not hold up the other.
        other.tick(now);
        this.push(data, now)
    }

    /// Until when to wait for the source, from now on, before [`let_go`](Self::let_go).
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        [&self.out, &self.error].into_iter().filter_map(Held::due).min()
    }

    /// Nothing came until now: what has been held back for too long. Or all of it.
    pub fn let_go(&mut self, now: Option<Instant>) -> Vec<(Direction, Bytes)> {
        let held = [(Direction::Out, &mut self.out), (Direction::Error, &mut self.error)].into_iter();
        held.filter_map(|(direction, held)| {
            let shown = match now {
                None => held.veil.end(),
                Some(now) => {
                    held.tick(now);
                    if !held.is_late() {
                        return None;
                    }
                    held.burst = 0;
                    held.veil.let_go()
                }
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
        let now = Instant::now();
        Self { veil: Veil::new(mask), until: 0, ticks: 0, ticked: now, burst: 0, came: now }
    }

    fn push(&mut self, data: &[u8], now: Instant) -> Bytes {
        if now.duration_since(self.came) > TICK * TICKS {
            self.burst = 0;
        }
        (self.burst, self.came) = (self.burst.saturating_add(data.len()), now);
        let shown = self.veil.push(data);
        let (taken, answered) = self.veil.progress();
        if answered >= self.until {
            self.ticks = if self.burst < BULK { TICKS } else { TICKS_OF_BULK };
            (self.until, self.ticked) = (taken, now);
        }
        shown.into()
    }

    /// A tick has passed, if it has: however late it is, it is one.
    fn tick(&mut self, now: Instant) {
        if now >= self.ticked + TICK {
            (self.ticks, self.ticked) = (self.ticks.saturating_sub(1), now);
        }
    }

    fn holds(&self) -> bool {
        let (taken, answered) = self.veil.progress();
        taken > answered
    }

    fn is_late(&self) -> bool {
        self.holds() && self.ticks == 0
    }

    fn due(&self) -> Option<Instant> {
        let now = Instant::now();
        self.holds().then(|| if self.ticks == 0 { now } else { now + TICK })
    }
}

#[cfg(test)]
mod tests {
    use hoop_masking::MaskingKey;
    use hoop_policy::Masking;
    use tokio::time::{advance, sleep_until};

    use super::*;

    fn mask() -> Mask {
        let masking: Masking = serde_json::from_value(serde_json::json!({"hosts": "detect"})).unwrap();
        Mask::of(&masking, &MaskingKey::new(&[7; 32]).unwrap()).unwrap()
    }

    /// Waits for a source that has nothing, as a driver does, until something is let go. How long that was, and what.
    async fn idle(veils: &mut Veils<'_>) -> (Duration, String) {
        let began = Instant::now();
        while let Some(due) = veils.due() {
            sleep_until(due).await;
            let shown = veils.let_go(Some(Instant::now()));
            if let Some((_, shown)) = shown.first() {
                return (began.elapsed(), String::from_utf8_lossy(shown).into_owned());
            }
        }
        panic!("nothing is held")
    }

    #[tokio::test(start_paused = true)]
    async fn a_prompt_is_let_go_when_nothing_follows() {
        let mask = mask();
        let mut veils = Veils::new(&mask);
        assert_eq!(veils.push(Direction::Out, b"his ssn? 123-45"), "");
        let (after, shown) = idle(&mut veils).await;
        assert!(after < Duration::from_millis(60), "{after:?}");
        assert_eq!(shown, "his ssn? 123-45");
        assert!(veils.due().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_driver_that_comes_late_lets_nothing_go_for_that() {
        let mask = mask();
        let mut veils = Veils::new(&mask);
        veils.push(Direction::Out, b"ssn 123-45");
        // It was held up in showing, then did not come to run.
        for _ in 0..2 {
            advance(Duration::from_secs(5)).await;
            assert!(veils.let_go(Some(Instant::now())).is_empty());
        }
        assert!(veils.due().unwrap() > Instant::now(), "the source is asked once more");
        assert_eq!(veils.push(Direction::Out, b"-6789 ok\n"), "");
        assert_eq!(veils.let_go(None)[0].1, "ssn [ssn] ok\n");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_bulk_is_waited_for_longer_than_that_of_a_line() {
        let mask = mask();
        let mut veils = Veils::new(&mask);
        for _ in 0..200 {
            veils.push(Direction::Out, b"my ssn 123-45-6789, and more\n");
        }
        veils.push(Direction::Out, b"my ssn 123-45");
        let (after, _) = idle(&mut veils).await;
        assert!((200..300).contains(&after.as_millis()), "{after:?}");
        veils.push(Direction::Out, b"his ssn? 123-45");
        let (after, _) = idle(&mut veils).await;
        assert!(after < Duration::from_millis(60), "a prompt after that: {after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_said_on_one_output_does_not_hold_up_the_other() {
        let mask = mask();
        let mut veils = Veils::new(&mask);
        veils.push(Direction::Out, b"his ssn? 123-45");
        for _ in 0..TICKS {
            advance(TICK).await;
            veils.push(Direction::Error, b".\n");
        }
        assert!(veils.due().unwrap() <= Instant::now());
        assert_eq!(veils.let_go(Some(Instant::now()))[0].1, "his ssn? 123-45");
    }
}
