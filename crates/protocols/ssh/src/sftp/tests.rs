//! Packets as bytes, split anywhere, and bytes of anybody.

use std::cell::Cell;

use hoop_recording::{
    Hash,
    event::{Direction, Form},
};
use proptest::prelude::*;

use super::*;
use crate::content::Clock;

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
    let (mut transfer, clock) = (Sftp::default(), Clock(Cell::new(0)));
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
    events.extend(Box::new(transfer).finish(&clock));
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
            "1 closed: 5 bytes written, sha256 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824 (5)",
            "2 Rename /srv/a /srv/b",
            "2 done (0)",
            "3 Read /etc/shadow ",
            "3 failed 3 Permission denied",
            "4 List /srv ",
            "4 left open (0)",
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
        let told = Sftp::default().up(&Bytes::copy_from_slice(lie), &clock);
        assert_eq!(told, Err(Unreadable), "{lie:?}");
    }
    let greeting = Bytes::from_static(b"Welcome to web-1!\n");
    assert_eq!(Sftp::default().down(&greeting, &clock), Err(Unreadable));
}

/// A transfer with `/a` open for writing as `h`, and `/b` for reading as `r`.
fn with_open_files(copies: u64) -> (Sftp, Clock) {
    let (mut transfer, clock) = (Sftp::new(copies), Clock(Cell::new(0)));
    for (asked_by, path, flags, handle) in [(1, b"/a", 2, b"h"), (2, b"/b", 1, b"r")] {
        let open = packet(3, &[&number(asked_by), &text(path), &number(flags), &number(0)]);
        transfer.up(&open.into(), &clock).unwrap();
        transfer.down(&packet(102, &[&number(asked_by), &text(handle)]).into(), &clock).unwrap();
    }
    (transfer, clock)
}

fn write(asked_by: u32, at: u64, data: &[u8]) -> Bytes {
    packet(6, &[&number(asked_by), &text(b"h"), &at.to_be_bytes(), &text(data)]).into()
}

fn status(asked_by: u32, code: u32) -> Bytes {
    packet(101, &[&number(asked_by), &number(code), &text(b""), &text(b"")]).into()
}

fn read(asked_by: u32, at: u64) -> Bytes {
    packet(5, &[&number(asked_by), &text(b"r"), &at.to_be_bytes(), &number(1 << 20)]).into()
}

/// How the two files ended.
fn ends(transfer: Sftp, clock: &Clock) -> [String; 2] {
    let tags = Box::new(transfer).finish(clock).into_iter().filter_map(|event| match event {
        Event::Completed { tag, .. } => Some(String::from_utf8(tag.into()).unwrap()),
        _ => None,
    });
    tags.collect::<Vec<_>>().try_into().unwrap()
}

#[test]
fn content_is_summed_up_and_copied_as_it_passes_however_large_its_packets() {
    let content = vec![7; 200 << 10];
    let whole = content.repeat(20);
    for piece in [1 << 10, 100 << 10, usize::MAX] {
        let (mut transfer, clock) = with_open_files(u64::MAX);
        let mut copy = Vec::new();
        for number in 0..20 {
            let packet = write(number, u64::from(number) * (200 << 10), &content);
            for piece in packet.chunks(piece) {
                for event in transfer.up(&Bytes::copy_from_slice(piece), &clock).unwrap() {
                    let Event::Copy { data, direction: Direction::In, .. } = event else {
                        panic!("{event:?}")
                    };
                    copy.extend_from_slice(&data);
                }
            }
            transfer.down(&status(number, 0), &clock).unwrap();
        }
        assert!(copy == whole);
        let told = format!("left open: {} bytes written, sha256 {}", whole.len(), Hash::of(&whole));
        assert_eq!(ends(transfer, &clock)[0], told);
    }
}

#[test]
fn answers_may_come_in_any_order_and_are_summed_up_by_their_place() {
    let (mut transfer, clock) = with_open_files(100);
    for (asked_by, at) in [(1, 0), (2, 5), (3, 10)] {
        transfer.up(&read(asked_by, at), &clock).unwrap();
    }
    let mut copies = Vec::new();
    for (asked_by, data) in [(3, b"third"), (1, b"first"), (2, b"secon")] {
        let answer = packet(103, &[&number(asked_by), &text(data)]);
        copies.extend(transfer.down(&answer.into(), &clock).unwrap());
    }
    assert_eq!(copies.len(), 3);
    let told = format!("left open: 15 bytes read, sha256 {}", Hash::of(b"firstseconthird"));
    assert_eq!(ends(transfer, &clock)[1], told);
}

#[test]
fn what_the_host_has_not_taken_has_no_sum() {
    for (code, why) in
        [(Some(4), "the host did not take all of it"), (None, "the host has not confirmed all of it")]
    {
        let (mut transfer, clock) = with_open_files(0);
        transfer.up(&write(1, 0, b"hello"), &clock).unwrap();
        if let Some(code) = code {
            transfer.down(&status(1, code), &clock).unwrap();
        }
        assert_eq!(ends(transfer, &clock)[0], format!("left open: 5 bytes written, no sha256: {why}"));
    }
    let (mut transfer, clock) = with_open_files(0);
    let copies = [&number(1)[..], &text(b"copy-data"), &text(b"r"), &[0; 16], &text(b"h"), &[0; 8]];
    transfer.up(&packet(200, &copies).into(), &clock).unwrap();
    assert!(ends(transfer, &clock)[0].ends_with("no sha256: the host copied some of it by itself"));
}

#[test]
fn bytes_go_to_no_file_but_the_one_that_was_told_to_be_open() {
    // A handle that nobody has been told yet.
    let guessed = packet(6, &[&number(1), &text(b"guessed"), &[0; 8], &text(b"evil")]);
    let (mut transfer, clock) = with_open_files(0);
    assert_eq!(transfer.up(&guessed.into(), &clock), Err(Unreadable));
    // One that is about to be closed, and may be another file's when the bytes arrive.
    let (mut transfer, clock) = with_open_files(0);
    transfer.up(&packet(4, &[&number(1), &text(b"h")]).into(), &clock).unwrap();
    assert_eq!(transfer.up(&write(2, 0, b"evil"), &clock), Err(Unreadable));
    // A host that answers a read after it has closed the file, or gives one handle twice.
    let (mut transfer, clock) = with_open_files(0);
    transfer.up(&read(1, 0), &clock).unwrap();
    transfer.up(&packet(4, &[&number(2), &text(b"r")]).into(), &clock).unwrap();
    transfer.down(&status(2, 0), &clock).unwrap();
    let late = packet(103, &[&number(1), &text(b"late")]);
    assert_eq!(transfer.down(&late.into(), &clock), Err(Unreadable));
    let (mut transfer, clock) = with_open_files(0);
    transfer.up(&packet(11, &[&number(1), &text(b"/c")]).into(), &clock).unwrap();
    let twice = packet(102, &[&number(1), &text(b"h")]);
    assert_eq!(transfer.down(&twice.into(), &clock), Err(Unreadable));
}

#[test]
fn content_longer_than_its_packet_is_a_lie() {
    let (mut transfer, clock) = with_open_files(0);
    let lie = packet(6, &[&number(1), &text(b"h"), &[0; 8], &number(100), b"short"]);
    assert_eq!(transfer.up(&lie.into(), &clock), Err(Unreadable));
}

#[test]
fn a_client_that_asks_without_end_is_not_followed_without_end() {
    let (mut transfer, clock) = with_open_files(0);
    let followed = (0..20_000_u32).take_while(|asked_by| transfer.up(&read(*asked_by, 0), &clock).is_ok());
    assert_eq!(followed.count(), MOST);
}

/// Each request that only looks, under a number.
fn looks(asked_by: u32) -> Vec<Bytes> {
    let (asked_by, handle) = (number(asked_by), text(b"r"));
    let of = |kind| packet(kind, &[&asked_by, &handle]).into();
    let copies = [&asked_by[..], &text(b"copy-data"), &handle, &[0; 16], &text(b"h"), &[0; 8]];
    let extended = HARMLESS.iter().map(|name| packet(200, &[&asked_by, &text(name), &handle]).into());
    let looks = [7, 8, 12, 16, 17, 19].into_iter().map(of);
    looks.chain(extended).chain([packet(200, &copies).into()]).collect()
}

#[test]
fn a_number_of_a_request_that_looks_is_no_other_request_s() {
    let remove: Bytes = packet(13, &[&number(7), &text(b"/c")]).into();
    for look in looks(7) {
        for other in [read(7, 0), remove.clone(), look.clone()] {
            let (mut transfer, clock) = with_open_files(0);
            transfer.up(&look, &clock).unwrap();
            assert_eq!(transfer.up(&other, &clock), Err(Unreadable), "{look:?} {other:?}");
            let (mut transfer, clock) = with_open_files(0);
            transfer.up(&other, &clock).unwrap();
            assert_eq!(transfer.up(&look, &clock), Err(Unreadable), "{other:?} {look:?}");
        }
    }
}

#[test]
fn what_looks_is_answered_and_its_number_is_free_again() {
    let (mut transfer, clock) = with_open_files(0);
    for look in looks(7) {
        for kind in [101, 104, 105, 201] {
            transfer.up(&look, &clock).unwrap();
            let told = transfer.down(&packet(kind, &[&number(7), &number(0)]).into(), &clock);
            assert_eq!(told, Ok(Vec::new()), "{kind} to {look:?}");
        }
    }
}

#[test]
fn what_answers_nothing_that_was_asked_ends_the_transfer() {
    let answer = |kind| Bytes::from(packet(kind, &[&number(7), &text(b"x"), &text(b"")]));
    let asked = |packet: Vec<u8>| Some(Bytes::from(packet));
    let look = asked(packet(7, &[&number(7), &text(b"/c")]));
    let open = asked(packet(3, &[&number(7), &text(b"/c"), &number(1), &number(0)]));
    let remove = asked(packet(13, &[&number(7), &text(b"/c")]));
    let close = asked(packet(4, &[&number(7), &text(b"h")]));
    let cases: [(Option<Bytes>, &[u8]); 7] = [
        (None, &[101, 102, 103, 104, 105, 201, 5]),
        (look, &[102, 103, 5]),
        (open, &[103, 104, 105, 201]),
        (remove, &[102, 103, 104, 105, 201]),
        (close, &[102, 103, 104, 105, 201]),
        (Some(read(7, 0)), &[102, 104, 105, 201]),
        (Some(write(7, 0, b"hello")), &[102, 103, 104, 105, 201]),
    ];
    for (asked, kinds) in cases {
        for kind in kinds {
            let (mut transfer, clock) = with_open_files(0);
            asked.iter().for_each(|asked| drop(transfer.up(asked, &clock).unwrap()));
            assert_eq!(transfer.down(&answer(*kind), &clock), Err(Unreadable), "{kind} to {asked:?}");
        }
    }
}

#[test]
fn a_write_is_not_confirmed_by_what_ends_the_transfer() {
    let look = packet(7, &[&number(1), &text(b"/c")]);
    let attributes = packet(105, &[&number(1), &number(0)]);
    for (way, end) in [(Way::Up, look), (Way::Down, attributes)] {
        let (mut transfer, clock) = with_open_files(0);
        transfer.up(&write(1, 0, b"hello"), &clock).unwrap();
        let told = match way {
            Way::Up => transfer.up(&end.into(), &clock),
            Way::Down => transfer.down(&end.into(), &clock),
        };
        assert_eq!(told, Err(Unreadable));
        let ends = ends(transfer, &clock);
        assert!(ends[0].ends_with("no sha256: the host has not confirmed all of it"), "{ends:?}");
    }
}

/// The host writes at the end, whatever place it is told: there the second half stands first.
#[test]
fn what_is_appended_has_neither_sum_nor_copy() {
    for flags in [2 | 4, 1 | 2 | 4 | 8, 4] {
        let (mut transfer, clock) = (Sftp::new(100), Clock(Cell::new(0)));
        let open = packet(3, &[&number(1), &text(b"/a"), &number(flags), &number(0)]);
        let mut events = transfer.up(&open.into(), &clock).unwrap();
        transfer.down(&packet(102, &[&number(1), &text(b"h")]).into(), &clock).unwrap();
        for (asked_by, at, half) in [(1, 5, b"world"), (2, 0, b"hello")] {
            events.extend(transfer.up(&write(asked_by, at, half), &clock).unwrap());
            transfer.down(&status(asked_by, 0), &clock).unwrap();
        }
        assert!(
            matches!(events[..], [Event::Request { .. }, Event::Curtailed { limit: 0, .. }]),
            "{events:?}"
        );
        let told = Box::new(transfer).finish(&clock);
        let [Event::Completed { tag, .. }] = &told[..] else { panic!("{told:?}") };
        let why = "10 bytes written, no sha256: it was opened to append";
        assert!(String::from_utf8_lossy(tag).ends_with(why), "{tag:?}");
    }
}

#[test]
fn long_paths_and_handles_are_not_held_without_end() {
    const LONG: usize = 64 << 10;
    let (mut transfer, clock) = (Sftp::default(), Clock(Cell::new(0)));
    let open =
        |asked_by| packet(3, &[&number(asked_by), &text(&[b'x'; LONG]), &number(1), &number(0)]).into();
    // Those that are refused or closed make room again.
    for asked_by in 0..200 {
        transfer.up(&open(asked_by), &clock).unwrap();
        if asked_by % 2 == 0 {
            transfer.down(&packet(102, &[&number(asked_by), &text(b"h")]).into(), &clock).unwrap();
            transfer.up(&packet(4, &[&number(asked_by), &text(b"h")]).into(), &clock).unwrap();
        }
        transfer.down(&status(asked_by, 4), &clock).unwrap();
    }
    let followed = (0..200).take_while(|asked_by| {
        let opened = packet(102, &[&number(*asked_by), &text(&number(*asked_by))]);
        transfer.up(&open(*asked_by), &clock).is_ok()
            && (asked_by % 2 == 0 || transfer.down(&opened.into(), &clock).is_ok())
    });
    assert_eq!(followed.count(), MOST_OF_PATHS / LONG);

    let handle = |length| Bytes::from(packet(4, &[&number(7), &text(&vec![b'h'; length])]));
    assert_eq!(with_open_files(0).0.up(&handle(256), &clock), Ok(Vec::new()));
    assert_eq!(with_open_files(0).0.up(&handle(257), &clock), Err(Unreadable));
    let (mut transfer, clock) = with_open_files(0);
    transfer.up(&packet(11, &[&number(1), &text(b"/c")]).into(), &clock).unwrap();
    let opened = packet(102, &[&number(1), &text(&[b'h'; 257])]);
    assert_eq!(transfer.down(&opened.into(), &clock), Err(Unreadable));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        pieces in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any::<u8>(), 0..300)), 0..30),
    ) {
        let (mut transfer, clock) = (Sftp::default(), Clock(Cell::new(0)));
        for (up, piece) in pieces {
            let piece = Bytes::from(piece);
            let _ = if up { transfer.up(&piece, &clock) } else { transfer.down(&piece, &clock) };
        }
        Box::new(transfer).finish(&clock);
    }

    #[test]
    fn nor_do_packets_with_one_thing_wrong(at in 0_usize..14, place in 0_usize..100, byte in any::<u8>()) {
        let (mut transfer, clock) = (Sftp::default(), Clock(Cell::new(0)));
        for (number, (way, mut bytes)) in session().into_iter().enumerate() {
            if number == at && let Some(spoilt) = bytes.get_mut(place) { *spoilt = byte; }
            let _ = match way {
                Way::Up => transfer.up(&bytes.into(), &clock),
                Way::Down => transfer.down(&bytes.into(), &clock),
            };
        }
        Box::new(transfer).finish(&clock);
    }
}
