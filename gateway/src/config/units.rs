//! Durations and sizes as people write them.

use std::time::Duration;

/// `250ms`, `10s`, `15m`, `12h`, `7d`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = split(text)?;
    let seconds = |factor: u64| number.checked_mul(factor).map(Duration::from_secs);
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => seconds(1),
        "m" | "min" => seconds(60),
        "h" => seconds(3600),
        "d" => seconds(86_400),
        _ => None,
    }
}

/// `512`, `64KiB`, `1MiB`, `2GiB`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = split(text)?;
    let shift = match unit {
        "" | "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        "TiB" => 40,
        _ => return None,
    };
    number.checked_mul(1_u64 << shift)
}

fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(at)?;
    Some((number.parse().ok()?, unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("15 m"), Some(Duration::from_secs(900)));
        assert_eq!(duration("12h"), Some(Duration::from_secs(43_200)));
        assert_eq!(bytes("64KiB"), Some(65_536));
        assert_eq!(bytes("512"), Some(512));
        for wrong in ["", "s", "10", "-1s", "1.5h", "10 parsecs", "99999999999999999999s"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
        for wrong in ["", "MiB", "1MB", "-1", "99999999TiB"] {
            assert_eq!(bytes(wrong), None, "{wrong}");
        }
    }
}
