//! How long failures lock an account: long enough against guessing, short enough that nobody is locked out for a day.

use std::time::Duration;

/// Failures in a row that lock nothing yet.
const FREE: u32 = 4;
const FIRST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(3600);

/// How long the account is locked after so many failures in a row (this one included); `None`: it is not.
///
/// The fifth locks for a minute, each further one twice as long, up to an hour.
#[must_use]
pub fn lock_for(failures: u32) -> Option<Duration> {
    let doublings = failures.checked_sub(FREE + 1)?;
    let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
    Some(FIRST.saturating_mul(factor).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_grows_from_a_minute_to_an_hour() {
        let table = [
            (0, None),
            (1, None),
            (4, None),
            (5, Some(60)),
            (6, Some(120)),
            (7, Some(240)),
            (10, Some(1920)),
            (11, Some(3600)),
            (12, Some(3600)),
            (100, Some(3600)),
            (u32::MAX, Some(3600)),
        ];
        for (failures, seconds) in table {
            assert_eq!(lock_for(failures), seconds.map(Duration::from_secs), "{failures}");
        }
    }
}
