//! When time windows are open, by the wall clocks of their zones.
//!
//! A window is open while the wall clock of its zone shows a time inside it. A time that the clock skips in spring is
//! never shown; one that it shows twice in autumn counts both times.

use hoop_model::Timestamp;

use super::{
    document::TimeWindow,
    words::{Clock, Day},
};

const MINUTE: i64 = 60_000_000;
const DAY: i64 = 24 * 60 * MINUTE;
/// Changes of openness looked at before giving up: more than fit into the longest duration of a rule.
const MOST_STEPS: usize = 10_000;

/// Whether one of them is open.
pub(super) fn is_open(windows: &[TimeWindow], now: Timestamp) -> bool {
    windows.iter().any(|window| window.is_open(now.as_micros()))
}

/// When the last of those that are open, or that open meanwhile, closes: at most `limit`.
pub(super) fn closes_at(windows: &[TimeWindow], now: Timestamp, limit: Timestamp) -> Timestamp {
    let mut at = now.as_micros();
    for _ in 0..MOST_STEPS {
        let open = windows.iter().filter(|window| window.is_open(at));
        match open.filter_map(|window| window.closes_after(at)).max() {
            Some(_) if at >= limit.as_micros() => return limit,
            Some(next) => at = next,
            None => return Timestamp::from_micros(at).min(limit),
        }
    }
    Timestamp::from_micros(at).min(limit)
}

/// When the next of them opens.
pub(super) fn opens_at(windows: &[TimeWindow], now: Timestamp) -> Option<Timestamp> {
    windows.iter().filter_map(|window| window.opens_after(now.as_micros())).min().map(Timestamp::from_micros)
}

/// What the wall clock of a zone shows.
#[derive(Clone, Copy)]
struct Wall {
    /// Days since 1970-01-01, by that clock.
    day: i64,
    /// Microseconds since that day began.
    time: i64,
}

const fn micros(clock: Clock) -> i64 {
    clock.minutes() as i64 * MINUTE
}

impl TimeWindow {
    /// `None` outside of the years that calendars know.
    fn wall(&self, at: i64) -> Option<Wall> {
        let instant = jiff::Timestamp::from_microsecond(at).ok()?;
        let offset = self.zone.time_zone().to_offset(instant).seconds();
        let local = at.checked_add(i64::from(offset) * 1_000_000)?;
        Some(Wall { day: local.div_euclid(DAY), time: local.rem_euclid(DAY) })
    }

    /// When the zone's clock is next put forward or back.
    fn clock_change_after(&self, at: i64) -> Option<i64> {
        let instant = jiff::Timestamp::from_microsecond(at).ok()?;
        let change = self.zone.time_zone().following(instant).next()?.timestamp().as_microsecond();
        (change > at).then_some(change)
    }

    /// 1970-01-01 was a Thursday.
    fn opens_on(&self, day: i64) -> bool {
        let index = usize::try_from((day + 3).rem_euclid(7)).unwrap_or(usize::MAX);
        Day::ALL.get(index).is_some_and(|day| self.days.contains(day))
    }

    fn spans_midnight(&self) -> bool {
        self.from > self.to
    }

    fn is_open(&self, at: i64) -> bool {
        let Some(Wall { day, time }) = self.wall(at) else { return false };
        let (from, to) = (micros(self.from), micros(self.to));
        if self.spans_midnight() {
            (time >= from && self.opens_on(day)) || (time < to && self.opens_on(day - 1))
        } else {
            from <= time && time < to && self.opens_on(day)
        }
    }

    /// For an open window: where it may close, which is its end or a change of the clock before that.
    fn closes_after(&self, at: i64) -> Option<i64> {
        let Wall { time, .. } = self.wall(at)?;
        let (from, to) = (micros(self.from), micros(self.to));
        let end = if self.spans_midnight() && time >= from { DAY + to } else { to };
        let end = at.checked_add(end - time)?;
        Some(self.clock_change_after(at).map_or(end, |change| change.min(end)))
    }

    fn opens_after(&self, now: i64) -> Option<i64> {
        let mut at = now;
        for _ in 0..64 {
            if self.is_open(at) {
                return Some(at);
            }
            let Wall { day, time } = self.wall(at)?;
            let start = (0..=7)
                .filter(|ahead| self.opens_on(day + ahead))
                .map(|ahead| ahead * DAY + micros(self.from) - time)
                .find(|wait| *wait > 0)?;
            let start = at.checked_add(start)?;
            at = self.clock_change_after(at).map_or(start, |change| change.min(start));
        }
        None
    }
}
