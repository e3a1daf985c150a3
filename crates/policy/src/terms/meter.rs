//! Counts what was run and returned, over a stretch of time that moves along.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use hoop_model::{RuleName, Timestamp};

use super::Rate;

/// Rules that are counted by; then those of which nothing matters any more are forgotten.
const MOST_RULES: usize = 1_000;
/// Into so many parts a stretch is cut; each is counted as a whole.
const PARTS: usize = 60;

/// Rows and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Returned {
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
}

/// What one person has had of one connection, by rule.
#[derive(Debug, Default)]
pub struct Meters(Mutex<HashMap<(RuleName, i64), Meter>>);

/// A sum of three, per part.
type Sums = [u64; 3];

#[derive(Debug)]
struct Meter {
    /// Length of a part, microseconds.
    part: i64,
    /// Number of the part that is counted in now.
    now: i64,
    /// The part of that number modulo [`PARTS`] + 1, so that a whole stretch is always held.
    parts: [Sums; PARTS + 1],
}

impl Meters {
    /// Statements are run; what would be too many is not counted.
    pub(super) fn run(
        &self,
        rule: &RuleName,
        rate: &Rate,
        statements: u64,
        now: Timestamp,
    ) -> Result<(), String> {
        self.count(rule, rate, [statements, 0, 0], now)
    }

    /// Rows are returned; what would be too much is not counted.
    pub(super) fn take(
        &self,
        rule: &RuleName,
        rate: &Rate,
        more: Returned,
        now: Timestamp,
    ) -> Result<(), String> {
        self.count(rule, rate, [0, more.rows, more.bytes], now)
    }

    /// Nothing that was counted matters any more.
    #[must_use]
    pub fn are_idle(&self, now: Timestamp) -> bool {
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        meters.values_mut().all(|meter| meter.is_idle(now))
    }

    fn count(&self, rule: &RuleName, rate: &Rate, more: Sums, now: Timestamp) -> Result<(), String> {
        let mut meters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let part = part_of(rate);
        // A rule that was changed, or another of that name, counts by itself where its stretch is another.
        let key = (rule.clone(), part);
        if meters.len() >= MOST_RULES && !meters.contains_key(&key) {
            meters.retain(|_, meter| !meter.is_idle(now));
        }
        let meter = meters.entry(key).or_insert_with(|| Meter::new(part, now));
        meter.move_to(now);
        let sums = meter.sums();
        let most = [rate.statements, rate.rows, rate.bytes.map(|most| most.bytes())];
        for (at, name) in ["statements", "rows", "bytes"].into_iter().enumerate() {
            let (Some(sum), Some(more)) = (sums.get(at), more.get(at)) else { continue };
            if let Some(Some(most)) = most.get(at)
                && *more > 0
                && sum.saturating_add(*more) > *most
            {
                return Err(format!("{most} {name}"));
            }
        }
        meter.add(more);
        Ok(())
    }
}

fn part_of(rate: &Rate) -> i64 {
    let whole = i64::try_from(rate.per.duration().as_micros()).unwrap_or(i64::MAX);
    (whole / PARTS as i64).max(1)
}

impl Meter {
    fn new(part: i64, now: Timestamp) -> Self {
        Self { part, now: now.as_micros() / part, parts: [[0; 3]; PARTS + 1] }
    }

    fn is_idle(&mut self, now: Timestamp) -> bool {
        self.move_to(now);
        self.sums() == [0; 3]
    }

    fn slot(&mut self, number: i64) -> Option<&mut Sums> {
        let at = usize::try_from(number.rem_euclid(PARTS as i64 + 1)).ok()?;
        self.parts.get_mut(at)
    }

    /// A clock that goes back does not give anything back.
    fn move_to(&mut self, now: Timestamp) {
        let now = now.as_micros() / self.part;
        if now <= self.now {
            return;
        }
        let first = (self.now + 1).max(now.saturating_sub(PARTS as i64));
        for number in first..=now {
            if let Some(slot) = self.slot(number) {
                *slot = [0; 3];
            }
        }
        self.now = now;
    }

    fn add(&mut self, more: Sums) {
        let now = self.now;
        if let Some(slot) = self.slot(now) {
            slot.iter_mut().zip(more).for_each(|(sum, more)| *sum = sum.saturating_add(more));
        }
    }

    fn sums(&self) -> Sums {
        self.parts.iter().fold([0; 3], |mut all, part| {
            all.iter_mut().zip(part).for_each(|(all, part)| *all = all.saturating_add(*part));
            all
        })
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, time::Duration};

    use proptest::prelude::*;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn rate(statements: Option<u64>, rows: Option<u64>, per: &str) -> Rate {
        Rate { statements, rows, bytes: None, per: per.parse().unwrap() }
    }

    fn rule() -> RuleName {
        "r".parse().unwrap()
    }

    #[test]
    fn so_many_within_the_time_and_then_more() {
        let (meters, rate) = (Meters::default(), rate(Some(2), None, "1m"));
        let run = |seconds| meters.run(&rule(), &rate, 1, NOW.after(Duration::from_secs(seconds)));
        assert!(run(0).is_ok() && run(30).is_ok());
        assert_eq!(run(59), Err("2 statements".to_owned()));
        assert!(run(62).is_ok(), "the first is over");
        assert!(run(63).is_err());
        assert!(run(3).is_err(), "a clock that goes back gives nothing back");
        assert!(run(100).is_ok());
        assert!(!meters.are_idle(NOW.after(Duration::from_secs(150))));
        assert!(meters.are_idle(NOW.after(Duration::from_secs(170))));
    }

    #[test]
    fn what_is_refused_is_not_counted() {
        let (meters, rate) = (Meters::default(), rate(None, Some(100), "1h"));
        let take = |rows| meters.take(&rule(), &rate, Returned { rows, bytes: 9 }, NOW);
        assert!(take(60).is_ok());
        assert!(take(41).is_err());
        assert!(take(40).is_ok() && take(1).is_err());
        assert!(meters.run(&rule(), &rate, 1, NOW).is_ok(), "a statement is no row");
    }

    #[test]
    fn another_length_counts_anew_and_rules_apart() {
        let meters = Meters::default();
        let other: RuleName = "other".parse().unwrap();
        let one = rate(Some(1), None, "1m");
        assert!(meters.run(&rule(), &one, 1, NOW).is_ok() && meters.run(&other, &one, 1, NOW).is_ok());
        assert!(meters.run(&rule(), &one, 1, NOW).is_err());
        assert!(meters.run(&rule(), &rate(Some(1), None, "2m"), 1, NOW).is_ok());
    }

    proptest! {
        /// Never more than the limit in any stretch, and never refused where a stretch and a part hold less.
        #[test]
        fn never_more_in_any_stretch(steps in prop::collection::vec((0_u64..40, 1_u64..20), 1..200), most in 1_u64..60) {
            let (meters, rate) = (Meters::default(), rate(None, Some(most), "1m"));
            let (mut seconds, mut taken) = (0, VecDeque::new());
            for (step, rows) in steps {
                seconds += step;
                let within = |length: u64| {
                    taken.iter().filter(|(at, _)| seconds - at < length).map(|(_, rows)| rows).sum::<u64>()
                };
                let (exact, wide) = (within(60), within(62));
                let now = NOW.after(Duration::from_secs(seconds));
                match meters.take(&rule(), &rate, Returned { rows, bytes: 0 }, now) {
                    Ok(()) => {
                        prop_assert!(exact + rows <= most);
                        taken.push_back((seconds, rows));
                    }
                    Err(_) => prop_assert!(wide + rows > most),
                }
            }
        }
    }
}
