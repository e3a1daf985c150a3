//! Packets as bytes, split anywhere, and bytes of anybody.

use std::{cell::Cell, time::Duration};

use proptest::prelude::*;

use super::*;

struct Clock(Cell<u64>);

impl Source for Clock {
    fn next(&self) -> RequestId {
        self.0.set(self.0.get() + 1);
        RequestId(self.0.get())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000).after(Duration::from_secs(0))
    }
}

fn packet(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
    let mut body = vec![kind];
    fields.iter().for_each(|field| body.extend_from_slice(field));
    let mut packet = u32::try_from(body.len()).unwrap().to_be_bytes().to_vec();
    packet.extend(body);
    packet
}

fn number(value: u32) -> [u8; 4] {
    value.to_be_bytes()
}

fn text(bytes: &[u8]) -> Vec<u8> {
    [&number(u32::try_from(bytes.len()).unwrap())[..], bytes].concat()
}

enum Way {
    Up,
    Down,
}

/// A put of 5 bytes, a rename, and a get that is refused.
fn session() -> Vec<(Way, Vec<u8>)> {
    let status = |asked_by, code, said: &[u8]| {
        packet(101, &[&number(asked_by), &number(code), &text(said), &text(b"")])
    };
    vec![
        (Way::Up, packet(1, &[&number(3)])),
        (Way::Down, packet(2, &[&number(3), &text(b"posix-rename@openssh.com"), &text(b"1")])),
        (Way::Up, packet(3, &[&number(1), &text(b"/srv/a"), &number(2 | 8 | 16), &number(0)])),
        (Way::Down, packet(102, &[&number(1), &text(b"h1")])),
        (Way::Up, packet(6, &[&number(2), &text(b"h1"), &[0; 8], &text(b"hello")])),
        (Way::Down, status(2, 0, b"")),
        (Way::Up, packet(4, &[&number(3), &text(b"h1")])),
        (Way::Down, status(3, 0, b"")),
        (
            Way::Up,
            packet(
                200,
                &[&number(4), &text(b"posix-rename@openssh.com"), &text(b"/srv/a"), &text(b"/srv/b")],
            ),
        ),
        (Way::Down, status(4, 0, b"")),
        (Way::Up, packet(3, &[&number(5), &text(b"/etc/shadow"), &number(1), &number(0)])),
        (Way::Down, status(5, 3, b"Permission denied")),
        (Way::Up, packet(11, &[&number(6), &text(b"/srv")])),
        (Way::Down, packet(102, &[&number(6), &text(b"h2")])),
    ]
}

/// What is seen of it, with each way cut into pieces of this many bytes.
fn seen(piece: usize) -> Vec<Event> {
    let (mut transfer, clock) = (Transfer::default(), Clock(Cell::new(0)));
    let mut events = Vec::new();
    for (way, bytes) in session() {
        for piece in bytes.chunks(piece) {
            let piece = Bytes::copy_from_slice(piece);
            events.extend(match way {
                Way::Up => transfer.up(&piece, &clock).unwrap(),
                Way::Down => transfer.down(&piece, &clock).unwrap(),
            });
        }
    }
    events.extend(transfer.finish(&clock));
    events
}

#[test]
fn what_is_done_to_files_is_told_with_how_it_ended() {
    let told: Vec<String> = seen(usize::MAX)
        .iter()
        .map(|event| match event {
            Event::Request { id, form: Form::File { operation }, text, parameters } => {
                let second = parameters.iter().filter_map(|parameter| parameter.value.as_ref());
                let second: Vec<_> = second.map(|path| String::from_utf8_lossy(path)).collect();
                format!("{} {operation:?} {} {}", id.0, String::from_utf8_lossy(text), second.join(" "))
            }
            Event::Completed { id, tag, bytes, .. } => {
                format!("{} {} ({bytes})", id.0, String::from_utf8_lossy(tag))
            }
            Event::Failed { id, code, message, .. } => {
                let (code, message) = (String::from_utf8_lossy(code), String::from_utf8_lossy(message));
                format!("{} failed {code} {message}", id.unwrap().0)
            }
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(
        told,
        [
            "1 Write /srv/a ",
            "1 closed: 0 bytes read, 5 written (5)",
            "2 Rename /srv/a /srv/b",
            "2 done (0)",
            "3 Read /etc/shadow ",
            "3 failed 3 Permission denied",
            "4 List /srv ",
            "4 left open: 0 bytes read, 0 written (0)",
        ]
    );
}

#[test]
fn any_split_tells_the_same() {
    let whole = seen(usize::MAX);
    for piece in 1..40 {
        assert_eq!(seen(piece), whole, "{piece}");
    }
}

#[test]
fn what_is_no_packet_ends_the_transfer() {
    let clock = Clock(Cell::new(0));
    // Lengths that lie, a path longer than its packet, a shell's greeting.
    let long_path = packet(13, &[&number(1), &number(1000), b"/short"]);
    for lie in [&number(0)[..], &number(u32::MAX), &long_path, b"Welcome to web-1!\n"] {
        let told = Transfer::default().up(&Bytes::copy_from_slice(lie), &clock);
        assert_eq!(told, Err(Unreadable), "{lie:?}");
    }
    let greeting = Bytes::from_static(b"Welcome to web-1!\n");
    assert_eq!(Transfer::default().down(&greeting, &clock), Err(Unreadable));
}

#[test]
fn the_content_of_files_is_not_held() {
    let (mut transfer, clock) = (Transfer::default(), Clock(Cell::new(0)));
    transfer.up(&packet(3, &[&number(1), &text(b"/a"), &number(2), &number(0)]).into(), &clock).unwrap();
    transfer.down(&packet(102, &[&number(1), &text(b"h")]).into(), &clock).unwrap();
    let content = vec![7; 200 << 10];
    for asked_by in 2..50 {
        let write = packet(6, &[&number(asked_by), &text(b"h"), &[0; 8], &text(&content)]);
        assert_eq!(transfer.up(&write.into(), &clock), Ok(Vec::new()));
    }
    let events = transfer.finish(&clock);
    let [Event::Completed { bytes, .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!(bytes, 48 * (200 << 10));
}

#[test]
fn a_client_that_asks_without_end_is_not_followed_without_end() {
    let (mut transfer, clock) = (Transfer::default(), Clock(Cell::new(0)));
    let followed = (0..20_000_u32).take_while(|asked_by| {
        let read = packet(5, &[&number(*asked_by), &text(b"h"), &[0; 8], &number(1)]);
        transfer.up(&read.into(), &clock).is_ok()
    });
    assert_eq!(followed.count(), 4096);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300)), 0..30),
    ) {
        let (mut transfer, clock) = (Transfer::default(), Clock(Cell::new(0)));
        for (up, piece) in pieces {
            let piece = Bytes::from(piece);
            let _ = if up { transfer.up(&piece, &clock) } else { transfer.down(&piece, &clock) };
        }
        transfer.finish(&clock);
    }

    #[test]
    fn nor_do_packets_with_one_thing_wrong(at in 0_usize..14, place in 0_usize..100, byte in any::<u8>()) {
        let (mut transfer, clock) = (Transfer::default(), Clock(Cell::new(0)));
        for (number, (way, mut bytes)) in session().into_iter().enumerate() {
            if number == at && let Some(spoilt) = bytes.get_mut(place) { *spoilt = byte; }
            let _ = match way {
                Way::Up => transfer.up(&bytes.into(), &clock),
                Way::Down => transfer.down(&bytes.into(), &clock),
            };
        }
        transfer.finish(&clock);
    }
}
