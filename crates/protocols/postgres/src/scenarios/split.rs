//! Any split of the input gives the same output, and the same events but for how rows and COPY data are grouped.

use bytes::Bytes;
use hoop_engine::{Event, RecordingLimits};
use hoop_policy::Masking;
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
fn play(script: &[u8], cuts: impl Iterator<Item = usize>) -> Stand {
    play_as(Masking::None, script.iter().map(|kind| exchange(*kind)), cuts)
}

fn play_as(
    masking: Masking,
    script: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
    mut cuts: impl Iterator<Item = usize>,
) -> Stand {
    let mut stand = Make { limits: limits(), masking, ..Make::default() }.stand();
    let start = (startup(b"user\0ada\0database\0clinic\0\0"), logged_in());
    for (client, target) in std::iter::once(start).chain(script) {
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

/// What is said where answers are masked by detectors: rows, COPY in each form, what is said beside them.
fn masked_exchange(kind: u8) -> (Vec<u8>, Vec<u8>) {
    let notes: [&[u8]; 4] =
        [b"SSN 123-45-6789", b"nothing", b"", b"call (212) 555-0187 or write to ada@example.com"];
    let rows = || notes.iter().flat_map(|note| row(note)).collect::<Vec<u8>>();
    match kind {
        0 => (query("select note"), [columns("note"), rows(), complete("SELECT 4"), ready(b'I')].concat()),
        1 => (
            query("copy t to stdout"),
            [
                frame(b'H', b"\0\0\x01\0\0"),
                frame(b'd', b"1\tSSN 123-45-6789\\n\t\\N\n2\tx"),
                frame(b'd', b"\ty\n3\tmail ada@example.com"),
                frame(b'c', b""),
                complete("COPY 3"),
                ready(b'I'),
            ]
            .concat(),
        ),
        2 => (
            query("copy (select 1) to stdout csv header"),
            [
                frame(b'H', b"\0\0\x01\0\0"),
                frame(b'd', b"a,ssn\n1,\"SSN 123-45-6789,\"\"\n"),
                frame(b'd', b"x\"\"\"\n2,,\n"),
                frame(b'c', b""),
                complete("COPY 2"),
                ready(b'I'),
            ]
            .concat(),
        ),
        3 => {
            let head = [b"PGCOPY\n\xff\r\n\0", &[0; 8][..]].concat();
            let tuple = [&b"\0\x02\0\0\0\x0fSSN 123-45-6789\xff\xff\xff\xff"[..], b"\xff\xff"].concat();
            (
                query("copy t to stdout binary"),
                [
                    frame(b'H', b"\x01\0\x02\0\x01\0\x01"),
                    frame(b'd', &[&head[..], &tuple[..9]].concat()),
                    frame(b'd', &tuple[9..]),
                    frame(b'c', b""),
                    complete("COPY 1"),
                    ready(b'I'),
                ]
                .concat(),
            )
        }
        4 => (
            query("select bad"),
            [
                frame(b'N', b"SNOTICE\0C00000\0MSSN 123-45-6789\0\0"),
                frame(b'A', b"\0\0\0\x01ch\0SSN 123-45-6789\0"),
                frame(b'S', b"application_name\0SSN 123-45-6789\0"),
                frame(b'E', b"SERROR\0C23505\0Mno\0DKey (ssn)=(SSN 123-45-6789) exists.\0\0"),
                ready(b'E'),
            ]
            .concat(),
        ),
        5 => (
            frame(b'F', b"\0\0\0\x07\0\0\0\0\0\0"),
            [frame(b'V', b"\0\0\0\x0fSSN 123-45-6789"), ready(b'I')].concat(),
        ),
        _ => (
            [parse("s", "select"), describe(b'S', "s"), bind("", "s", b"v"), execute(""), sync()].concat(),
            [
                frame(b'1', b""),
                frame(b't', b"\0\0"),
                columns("n"),
                frame(b'2', b""),
                rows(),
                complete("SELECT 4"),
                ready(b'T'),
            ]
            .concat(),
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn any_split_is_masked_the_same(
        script in prop::collection::vec(0_u8..7, 0..8),
        cuts in prop::collection::vec(prop_oneof![1_usize..12, 1_usize..300], 1..60),
    ) {
        let exchanges = || script.iter().map(|kind| masked_exchange(*kind));
        let whole = play_as(Masking::default(), exchanges(), std::iter::repeat(usize::MAX));
        let split = play_as(Masking::default(), exchanges(), cuts.into_iter().cycle());
        prop_assert!(whole.client == split.client, "to the client");
        prop_assert_eq!(&whole.closed, &split.closed);
        prop_assert_eq!(grouped(whole.events), grouped(split.events));
    }
}

#[test]
fn masked_at_every_byte() {
    for kind in 0..7 {
        let script = || std::iter::once(masked_exchange(kind));
        let whole = play_as(Masking::default(), script(), std::iter::repeat(usize::MAX));
        assert_eq!(whole.closed, None, "{kind}");
        let bytes = whole.client.escape_ascii().to_string();
        assert!(!bytes.contains("6789") && !bytes.contains("ada@"), "{kind}: {bytes}");
        let shown = match kind {
            // Of these nothing is known but bytes: they are not shown.
            3 => "\\x00\\x02\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff",
            5 => "V\\x00\\x00\\x00\\x08\\xff\\xff\\xff\\xff",
            _ => "[ssn]",
        };
        assert!(bytes.contains(shown), "{kind}: {bytes}");
        let split = play_as(Masking::default(), script(), std::iter::repeat(1));
        assert_eq!(whole.client, split.client, "{kind}");
        assert_eq!(grouped(whole.events), grouped(split.events), "{kind}");
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
