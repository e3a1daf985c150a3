//! Peers that misbehave after log-in, and bytes that are noise.

use hoop_engine::Side;
use proptest::prelude::*;

use crate::testing::{Make, frame, parse, query, ready, row, startup, sync, text};

#[test]
fn clients() {
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("a second start-up", startup(b"user\0root\0\0")),
        ("TLS in the middle", b"\x16\x03\x01\x02\x00".to_vec()),
        ("length 0", b"Q\0\0\0\0".to_vec()),
        ("length 3", b"S\0\0\0\x03".to_vec()),
        ("length -1", b"Q\xff\xff\xff\xff".to_vec()),
        ("a sync with a body", frame(b'S', b"x")),
        ("a terminate with a body", frame(b'X', b"x")),
        ("a password", frame(b'p', b"secret\0")),
        ("a target's message", frame(b'Z', b"I")),
        ("an unknown type", frame(b'~', b"")),
        ("a query without end", frame(b'Q', b"select 1")),
        ("a query with more behind its end", frame(b'Q', b"select 1\0; drop table t\0")),
        ("a query twice ended", frame(b'Q', b"select 1\0\0")),
        ("an empty query message", frame(b'Q', b"")),
        ("a parse without types", frame(b'P', b"\0select 1\0")),
        ("a parse with a lying count", frame(b'P', b"\0select 1\0\xff\xff")),
        ("a parse with more behind", frame(b'P', b"\0select 1\0\0\0x")),
        ("a bind without values", frame(b'B', b"\0\0")),
        ("a bind with a lying count", frame(b'B', b"\0\0\0\0\xff\xff\0\0")),
        ("a bind with a negative length", frame(b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xf0\0\0")),
        ("a bind with a long length", frame(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff\0\0")),
        ("an execute without count", frame(b'E', b"\0")),
        ("an execute with more behind", frame(b'E', b"\0\0\0\0\0x")),
        ("an execute with an endless name", frame(b'E', &[b'x'; 70_000])),
        ("a describe of what", frame(b'D', b"X\0")),
        ("a describe of nothing", frame(b'D', b"")),
        ("a close without end", frame(b'C', b"Sx")),
        ("a function call without number", frame(b'F', b"\0\0")),
    ];
    for (what, bytes) in cases {
        let mut stand = Make::default().relaying();
        stand.client_sends(&[query("select 1"), bytes].concat());
        assert_eq!(stand.fault(), "HOOP-5001", "{what}");
        assert_eq!(stand.client_kinds(), "E", "{what}");
        assert!(text(&stand.client).contains("SFATAL") && text(&stand.client).contains("C08P01"), "{what}");
        assert_eq!(stand.target, query("select 1"), "{what}: what came before is sent, it is not");
    }
}

#[test]
fn targets() {
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("length 0", b"D\0\0\0\0".to_vec()),
        ("length -1", b"D\xff\xff\xff\xff".to_vec()),
        ("an unknown type", frame(b'~', b"")),
        ("a client's message", frame(b'Q', b"select 1\0")),
        ("a log-in request", frame(b'R', b"\0\0\0\x03")),
        ("another key", frame(b'K', b"\0\0\0\x01abcd")),
        ("ready twice", [ready(b'I'), ready(b'I')].concat()),
        ("a status that is none", frame(b'Z', b"X")),
        ("a long ready", frame(b'Z', b"II")),
        ("rows nobody asked for", [ready(b'I'), row(b"1")].concat()),
        ("copy data nobody asked for", [ready(b'I'), frame(b'd', b"1")].concat()),
        ("an end nobody asked for", [ready(b'I'), frame(b'C', b"SELECT 1\0")].concat()),
        ("a parse nobody asked for", frame(b'1', b"")),
        ("a function's value nobody asked for", frame(b'V', b"\xff\xff\xff\xff")),
        ("2^15 columns of nothing", frame(b'T', b"\x7f\xff")),
        ("columns without end", frame(b'T', b"\0\x01name")),
        ("a description of 2 GiB", b"T\x7f\xff\xff\xff".to_vec()),
        ("a tag of 2 GiB", b"C\x7f\xff\xff\xff".to_vec()),
        ("a tag without end", frame(b'C', b"SELECT")),
        ("a parse complete with a body", frame(b'1', b"x")),
    ];
    for (what, bytes) in cases {
        let mut stand = Make::default().relaying();
        stand.client_sends(&query("select 1"));
        stand.target_sends(&bytes);
        assert_eq!(stand.fault(), "HOOP-5011", "{what}");
        assert!(stand.client_kinds().ends_with('E'), "{what}");
    }
}

#[test]
fn a_row_of_2_gib_is_not_held() {
    let mut stand = Make::default().relaying();
    stand.client_sends(&query("select 1"));
    stand.target_sends(b"D\x7f\xff\xff\xff");
    for _ in 0..100 {
        stand.client.clear();
        stand.target_sends(&[0; 100_000]);
        assert_eq!(stand.client.len(), 100_000);
    }
    assert_eq!(stand.closed, None);
}

#[test]
fn a_refusal_is_not_put_into_an_open_frame() {
    let mut stand = Make::default().relaying();
    let notice = frame(b'N', &[&b"Mwell\0"[..], &[b'x'; 200_000]].concat());
    stand.target_sends(&notice[..100_000]);
    stand.client_sends(&query("forbidden"));
    assert_eq!(stand.client.len(), 100_000);
    stand.target_sends(&notice[100_000..]);
    assert_eq!(stand.client_kinds(), "NEZ");
}

proptest! {
    #[test]
    fn noise_never_panics(
        pieces in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300)), 0..20),
        start: bool,
    ) {
        let mut stand = if start { Make::default().stand() } else { Make::default().relaying() };
        for (client, bytes) in pieces {
            stand.feed(if client { Side::Client } else { Side::Target }, &bytes);
        }
    }

    #[test]
    fn frames_in_any_order_never_panic_and_keep_to_frames(
        frames in prop::collection::vec(
            (any::<bool>(), prop::sample::select(b"QPBEDCSHFdcfXTDZ12C3nstIGHWVEAN".to_vec()),
             prop::collection::vec(prop::sample::select(vec![0_u8, 0, 0, 1, b'S', b'P', b'a', 255]), 0..12)),
            0..40,
        ),
    ) {
        let mut stand = Make::default().relaying();
        for (client, kind, body) in frames {
            let bytes = if kind == b'Z' { ready(b'I') } else { frame(kind, &body) };
            stand.feed(if client { Side::Client } else { Side::Target }, &bytes);
        }
        // Whatever happened, both sides were sent whole frames.
        stand.client_kinds();
        stand.target_kinds();
    }

    #[test]
    fn nothing_forbidden_ever_reaches_the_target(
        requests in prop::collection::vec(0_u8..6, 1..30), cut in 1_usize..40,
    ) {
        let mut stand = Make::default().relaying();
        let bytes: Vec<u8> = requests.iter().flat_map(|kind| match kind {
            0 => query("forbidden"),
            1 => parse("", "forbidden"),
            2 => parse("x", "select 1"),
            3 => sync(),
            4 => frame(b'd', b"data"),
            _ => query("select 1"),
        }).collect();
        for piece in bytes.chunks(cut) {
            stand.client_sends(piece);
        }
        prop_assert!(!text(&stand.target).contains("forbidden"));
        stand.target_kinds();
    }
}
