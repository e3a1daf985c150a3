//! Any split of the input gives the same output, and the same events but for how rows and COPY data are grouped.

use bytes::Bytes;
use hoop_engine::{Event, RecordingLimits};
use proptest::prelude::*;

use crate::testing::{
    Make, Stand, bind, columns, complete, describe, error, execute, frame, logged_in, parse, query, ready,
    row, startup, sync,
};

/// What a client sends and what the target then answers.
fn exchange(kind: u8) -> (Vec<u8>, Vec<u8>) {
    let (one, two) = (frame(b'1', b""), frame(b'2', b""));
    match kind {
        0 => (
            query("select 1"),
            [columns("n"), row(b"1").repeat(9), complete("SELECT 9"), ready(b'I')].concat(),
        ),
        1 => (
            [parse("s", "select"), describe(b'S', "s"), bind("", "s", b"v"), execute(""), sync()].concat(),
            [one, frame(b't', b"\0\0"), columns("n"), two, row(b"x"), complete("SELECT 1"), ready(b'T')]
                .concat(),
        ),
        2 => ([query("forbidden"), query("select 2")].concat(), [complete("SELECT 0"), ready(b'E')].concat()),
        3 => (
            [parse("", "select"), parse("", "forbidden"), execute(""), sync()].concat(),
            [one, ready(b'I')].concat(),
        ),
        4 => (
            [query("copy in"), frame(b'd', b"some data\n").repeat(7), frame(b'c', b"")].concat(),
            [frame(b'G', b"\0\0\0"), complete("COPY 7"), ready(b'I')].concat(),
        ),
        5 => (
            query("copy out"),
            [
                frame(b'H', b"\0\0\0"),
                frame(b'd', b"data\n").repeat(9),
                frame(b'c', b""),
                complete("COPY 9"),
                ready(b'I'),
            ]
            .concat(),
        ),
        6 => (
            [parse("", "nosuch"), bind("", "", b""), execute(""), sync()].concat(),
            [error("42703"), frame(b'N', b"Mwell\0\0"), ready(b'I')].concat(),
        ),
        7 => {
            (query("large"), [row(&vec![5; 300_000]), row(b"1"), complete("SELECT 2"), ready(b'I')].concat())
        }
        8 => (query(&"x".repeat(100_000)), [complete("SELECT 0"), ready(b'I')].concat()),
        9 => (frame(b'F', b"\0\0\0\x07\0\0\0\0\0\0"), [frame(b'V', b"\0\0\0\x01x"), ready(b'I')].concat()),
        10 => (
            [bind("", "s", &[3; 70_000]), execute(""), sync()].concat(),
            [two, frame(b's', b""), ready(b'I')].concat(),
        ),
        _ => (frame(b'~', b""), Vec::new()),
    }
}

fn limits() -> RecordingLimits {
    RecordingLimits { rows_per_request: 40, copy_per_request: 23, value: 1000 }
}

/// The same script, each part cut into pieces of the given lengths.
fn play(script: &[u8], mut cuts: impl Iterator<Item = usize>) -> Stand {
    let mut stand = Make { limits: limits(), ..Make::default() }.stand();
    let start = (startup(b"user\0ada\0database\0clinic\0\0"), logged_in());
    for (client, target) in std::iter::once(start).chain(script.iter().map(|kind| exchange(*kind))) {
        for (from_client, bytes) in [(true, client), (false, target)] {
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(cuts.next().unwrap_or(1).min(rest.len()));
                if from_client {
                    stand.client_sends(piece)
                } else {
                    stand.target_sends(piece)
                };
                rest = later;
            }
        }
    }
    stand
}

/// Rows and COPY data of one request as one event.
fn grouped(events: Vec<Event>) -> Vec<Event> {
    let mut grouped: Vec<Event> = Vec::new();
    for event in events {
        match (grouped.last_mut(), event) {
            (Some(Event::Rows { id, count, data }), Event::Rows { id: next, count: more, data: rest })
                if *id == next =>
            {
                *count += more;
                *data = Bytes::from([&data[..], &rest].concat());
            }
            (
                Some(Event::Copy { id, data, direction }),
                Event::Copy { id: next, direction: way, data: rest },
            ) if *id == next && *direction == way => {
                *data = Bytes::from([&data[..], &rest].concat());
            }
            (_, event) => grouped.push(event),
        }
    }
    grouped
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_split_gives_the_same(
        script in prop::collection::vec(0_u8..12, 0..8),
        cuts in prop::collection::vec(prop_oneof![1_usize..12, 1_usize..300, 10_000_usize..200_000], 1..60),
    ) {
        let whole = play(&script, std::iter::repeat(usize::MAX));
        let split = play(&script, cuts.into_iter().cycle());
        prop_assert!(whole.client == split.client, "to the client");
        prop_assert!(whole.target == split.target, "to the target");
        prop_assert_eq!(&whole.closed, &split.closed);
        prop_assert_eq!(grouped(whole.events), grouped(split.events));
    }
}

#[test]
fn byte_by_byte() {
    let script: Vec<u8> = [0, 1, 2, 3, 4, 5, 6, 9, 1, 11].to_vec();
    let whole = play(&script, std::iter::repeat(usize::MAX));
    let split = play(&script, std::iter::repeat(1));
    assert_eq!(whole.client, split.client);
    assert_eq!(whole.target, split.target);
    assert_eq!(grouped(whole.events), grouped(split.events));
}
