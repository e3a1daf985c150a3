//! Time windows against a naive definition: the wall clock, asked minute by minute.

use hoop_model::Timestamp;
use hoop_policy::rules::{Asking, MfaMethod, MfaProof, Missing, Person, Policy, Refusal};
use jiff::{ToSpan as _, tz::TimeZoneDatabase};
use proptest::prelude::*;

use crate::world::{asking, at, connection, minutes, person, with};

fn windows(list: &str) -> Policy {
    with(&format!("  limits: {{duration: 30d}}\n  conditions: {{mfa: {{max_age: 30d}}, times: [{list}]}}\n"))
}

/// `Ok`: open, and when it closes. `Err`: closed, and when it opens.
fn look(policy: &Policy, now: Timestamp) -> Result<Timestamp, Option<Timestamp>> {
    let ada =
        Person { mfa: Some(MfaProof { at: now, method: MfaMethod::Totp }), ..person("ada", &["engineers"]) };
    let pg = connection("demo-pg", &[]);
    let asking: Asking<'_> = asking(&ada, &pg);
    match policy.decide(&asking, now) {
        Ok(permission) => Ok(permission.ends_at),
        Err(Refusal::Missing { what, .. }) => match what[..] {
            [Missing::Closed { opens_at }] => Err(opens_at),
            _ => panic!("{what:?}"),
        },
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn opening_and_closing_to_the_microsecond() {
    let office =
        windows("{days: [mon, tue, wed, thu, fri], from: \"08:00\", to: \"18:00\", zone: Europe/Berlin}");
    // Berlin is an hour ahead of UTC in winter, two in summer. 2023-11-14 is a Tuesday, 2023-11-17 a Friday.
    for (now, expected) in [
        ("2023-11-14T06:59:59.999999Z", Err("2023-11-14T07:00:00Z")),
        ("2023-11-14T07:00:00Z", Ok("2023-11-14T17:00:00Z")),
        ("2023-11-14T16:59:59.999999Z", Ok("2023-11-14T17:00:00Z")),
        ("2023-11-14T17:00:00Z", Err("2023-11-15T07:00:00Z")),
        ("2023-11-17T17:00:00Z", Err("2023-11-20T07:00:00Z")),
        ("2023-11-18T12:00:00Z", Err("2023-11-20T07:00:00Z")),
        ("2023-07-14T06:00:00Z", Ok("2023-07-14T16:00:00Z")),
        // The clock goes forward on Sunday, 2024-03-31: Friday's end is an hour later in UTC than Monday's.
        ("2024-03-29T17:00:00Z", Err("2024-04-01T06:00:00Z")),
    ] {
        let expected = expected.map(at).map_err(|opens| Some(at(opens)));
        assert_eq!(look(&office, at(now)), expected, "{now}");
    }
}

#[test]
fn a_window_over_midnight_belongs_to_the_day_it_opens() {
    let night = windows("{days: [fri], from: \"22:00\", to: \"06:00\", zone: UTC}");
    for (now, expected) in [
        ("2023-11-17T21:59:59Z", Err("2023-11-17T22:00:00Z")),
        ("2023-11-17T23:00:00Z", Ok("2023-11-18T06:00:00Z")),
        ("2023-11-18T05:59:59Z", Ok("2023-11-18T06:00:00Z")),
        ("2023-11-18T06:00:00Z", Err("2023-11-24T22:00:00Z")),
        ("2023-11-17T05:00:00Z", Err("2023-11-17T22:00:00Z")),
        ("2023-11-18T23:00:00Z", Err("2023-11-24T22:00:00Z")),
    ] {
        let expected = expected.map(at).map_err(|opens| Some(at(opens)));
        assert_eq!(look(&night, at(now)), expected, "{now}");
    }
}

#[test]
fn windows_that_touch_are_one() {
    let both = windows(
        "{from: \"08:00\", to: \"12:00\", zone: UTC}, {from: \"12:00\", to: \"18:00\", zone: UTC}, \
         {from: \"20:00\", to: \"21:00\", zone: UTC}",
    );
    assert_eq!(look(&both, at("2023-11-14T09:00:00Z")), Ok(at("2023-11-14T18:00:00Z")));
    let always = windows("{from: \"00:00\", to: \"24:00\", zone: Asia/Kolkata}");
    let now = at("2023-11-14T09:00:00Z");
    assert_eq!(look(&always, now), Ok(now.after(minutes(30 * 24 * 60))), "then the duration ends it");
}

/// A time that the clock skips does not come; one that comes twice counts twice.
#[test]
fn gaps_and_folds() {
    // 2024-03-31, Berlin: 02:00 → 03:00 at 01:00Z.
    let skipped = windows("{from: \"02:15\", to: \"02:45\", zone: Europe/Berlin}");
    assert_eq!(look(&skipped, at("2024-03-31T00:30:00Z")), Err(Some(at("2024-04-01T00:15:00Z"))));
    let across = windows("{from: \"01:30\", to: \"02:30\", zone: Europe/Berlin}");
    assert_eq!(
        look(&across, at("2024-03-31T00:45:00Z")),
        Ok(at("2024-03-31T01:00:00Z")),
        "03:00 is after 02:30"
    );
    let after = windows("{from: \"02:30\", to: \"04:00\", zone: Europe/Berlin}");
    assert_eq!(look(&after, at("2024-03-31T00:45:00Z")), Err(Some(at("2024-03-31T01:00:00Z"))));
    // 2023-10-29, Berlin: 03:00 → 02:00 at 01:00Z.
    let twice = windows("{from: \"02:15\", to: \"02:45\", zone: Europe/Berlin}");
    assert_eq!(look(&twice, at("2023-10-29T00:20:00Z")), Ok(at("2023-10-29T00:45:00Z")));
    assert_eq!(look(&twice, at("2023-10-29T00:50:00Z")), Err(Some(at("2023-10-29T01:15:00Z"))));
    assert_eq!(look(&twice, at("2023-10-29T01:20:00Z")), Ok(at("2023-10-29T01:45:00Z")));
    let late = windows("{from: \"02:30\", to: \"04:00\", zone: Europe/Berlin}");
    assert_eq!(
        look(&late, at("2023-10-29T00:40:00Z")),
        Ok(at("2023-10-29T01:00:00Z")),
        "the clock goes back to 02:00"
    );
}

/// One that spells the definition out, with the library's own calendar.
fn naive(zone: &str, days: &[i8], from: i16, to: i16, now: Timestamp) -> bool {
    // The database that is compiled in: the machine's own may be of another year.
    let zone = TimeZoneDatabase::bundled().get(zone).unwrap();
    let wall = zone.to_datetime(jiff::Timestamp::from_microsecond(now.as_micros()).unwrap());
    let minute = i16::from(wall.hour()) * 60 + i16::from(wall.minute());
    let on = |date: jiff::civil::Date| days.contains(&date.weekday().to_monday_zero_offset());
    if from < to {
        on(wall.date()) && from <= minute && minute < to
    } else {
        (on(wall.date()) && minute >= from) || (on(wall.date().checked_sub(1.day()).unwrap()) && minute < to)
    }
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn as_the_naive_definition_says(
        zone in prop_oneof![Just("Europe/Berlin"), Just("America/New_York"), Just("Australia/Lord_Howe"), Just("Asia/Kathmandu"),
            Just("Africa/Casablanca"), Just("America/Santiago"), Just("Pacific/Apia"), Just("UTC")],
        days in proptest::collection::btree_set(0..7_i8, 1..7),
        from in 0..1440_i16, length in 1..1439_i16,
        // 2011 to 2040, many of them near a change of clocks.
        start in prop_oneof![1_293_840_000..2_208_988_800_i64, 1_711_846_800_i64 - 7200..1_711_846_800 + 7200,
            1_698_541_200_i64 - 7200..1_698_541_200 + 7200, 1_325_239_200_i64 - 90_000..1_325_239_200 + 90_000],
    ) {
        let to = (from + length) % 1440;
        let days: Vec<i8> = days.into_iter().collect();
        let names: Vec<_> = days.iter().map(|day| DAYS[usize::try_from(*day).unwrap()]).collect();
        let clock = |minutes: i16| format!("{:02}:{:02}", minutes / 60, minutes % 60);
        let policy = windows(&format!(
            "{{days: [{}], from: \"{}\", to: \"{}\", zone: {zone}}}", names.join(", "), clock(from), clock(to)));
        // Whole minutes: all zones since 1972 change on them.
        let now = Timestamp::from_micros(start / 60 * 60_000_000);
        let open = |now| naive(zone, &days, from, to, now);
        let looked = look(&policy, now);
        prop_assert_eq!(looked.is_ok(), open(now));
        let change = match looked { Ok(closes) => closes, Err(opens) => opens.unwrap() };
        prop_assert!(change > now);
        prop_assert_eq!(open(change), looked.is_err(), "at {} it changes", change);
        // And not before: every ninth minute up to it, and the last.
        let mut between = now;
        while between < change {
            prop_assert_eq!(open(between), looked.is_ok(), "at {} it has not changed yet", between);
            between = between.after(minutes(9));
        }
        prop_assert_eq!(open(Timestamp::from_micros(change.as_micros() - 1)), looked.is_ok());
    }
}
