//! Commands as clients spell them, and runs of the protocol as bytes, split anywhere.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;
use crate::content::Clock;

fn of(text: &str) -> Option<(String, bool)> {
    ScpCommand::of(&Bytes::copy_from_slice(text.as_bytes()))
        .map(|command| (String::from_utf8(command.path.to_vec()).unwrap(), command.to_host))
}

#[test]
fn what_clients_spell_is_scp() {
    for (text, path, to_host) in [
        ("scp -t /srv/a", "/srv/a", true),
        ("scp -f /srv/a", "/srv/a", false),
        ("scp -v -r -p -d -t -- -x", "-x", true),
        ("scp -r -t .", ".", true),
        ("scp -pf ~/notes.txt", "~/notes.txt", false),
        ("scp -qrdt /tmp", "/tmp", true),
    ] {
        assert_eq!(of(text), Some((path.to_owned(), to_host)), "{text}");
    }
}

/// Each of these may be something else to some shell, or is not of the protocol.
#[test]
fn what_a_shell_may_read_otherwise_is_a_command() {
    for text in [
        "scp",
        "scp -t",
        "scp -t ",
        "scp -t /a /b",
        "scp  -t /a",
        "scp -t /a ",
        "scp -t /a;id",
        "scp -t /a\nid",
        "scp -t $(id)",
        "scp -t `id`",
        "scp -t /a|id",
        "scp -t /a&",
        "scp -t /a>b",
        "scp -t 'a'",
        "scp -t \"a\"",
        "scp -t a\\ b",
        "scp -t *",
        "scp -t a?",
        "scp -t a[b]",
        "scp -t {a,b}",
        "scp -t ~root/x",
        "scp -t ~",
        "scp -t #",
        "scp -t !x",
        "scp -t a=b",
        "scp -t \u{fc}",
        "scp -S id -t /a",
        "scp -o x -t /a",
        "scp -t -f /a",
        "scp -r /a",
        "scp - -t /a",
        "/usr/bin/scp -t /a",
        "SCP -t /a",
        "scp\t-t /a",
        "scp -t -- ",
        "",
        " ",
        "id",
    ] {
        assert_eq!(of(text), None, "{text:?}");
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Up,
    Down,
}
use Way::{Down, Up};

/// What is seen of a run, with each of its bytes cut into pieces of so many.
fn seen(command: &str, run: &[(Way, &[u8])], piece: usize) -> Result<Vec<String>, Unreadable> {
    let clock = Clock(Cell::new(0));
    let command = ScpCommand::of(&Bytes::copy_from_slice(command.as_bytes())).unwrap();
    let mut scp = Box::new(Scp::new(command, 0));
    let mut events = Vec::new();
    for (way, bytes) in run {
        for piece in bytes.chunks(piece) {
            let piece = Bytes::copy_from_slice(piece);
            events.extend(if *way == Up { scp.up(&piece, &clock)? } else { scp.down(&piece, &clock)? });
        }
    }
    events.extend(scp.finish(&clock));
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let told = events.iter().map(|event| match event {
        Event::Request { id, form, text: path, parameters } => {
            let second = parameters.first().and_then(|one| one.value.as_ref()).map(text).unwrap_or_default();
            format!("{} {} {} {second}", id.0, hoop_recording::timeline::form_name(form), text(path))
        }
        Event::Completed { id, tag, .. } => format!("{} {}", id.0, text(tag)),
        Event::Failed { id, code, message, .. } => {
            format!("{} failed {} {}", id.unwrap().0, text(code), text(message))
        }
        other => format!("{other:?}"),
    });
    Ok(told.collect())
}

const HELLO: &str = "sha256 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
const EMPTY: &str = "sha256 e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// A folder with two files, one of them refused, and one more.
const PUT: &[(Way, &[u8])] = &[
    (Down, b"\0"),
    (Up, b"T1700000000 0 1700000000 0\n"),
    (Down, b"\0"),
    (Up, b"D0755 0 site\n"),
    (Down, b"\0"),
    (Up, b"C0644 5 a b.txt\n"),
    (Down, b"\0"),
    (Up, b"hello\0"),
    (Down, b"\0"),
    (Up, b"C0644 5 no\n"),
    (Down, b"\x01scp: no: Permission denied\n"),
    (Up, b"\x01scp: gone: No such file\n"),
    (Up, b"E\n"),
    (Down, b"\0"),
    (Up, b"C0600 0 empty\n"),
    (Down, b"\0"),
    (Up, b"\0"),
    (Down, b"\0"),
];

#[test]
fn each_file_is_told_with_how_it_ended_however_the_bytes_are_split() {
    let told = seen("scp -r -t /srv", PUT, usize::MAX).unwrap();
    assert_eq!(
        told,
        [
            "1 make_folder /srv site",
            "1 done",
            "2 write_file /srv site/a b.txt",
            &format!("2 done: 5 bytes written, {HELLO}"),
            "3 write_file /srv site/no",
            "3 failed 1 scp: no: Permission denied",
            "4 write_file /srv ",
            "4 failed 1 scp: gone: No such file",
            "5 write_file /srv empty",
            &format!("5 done: 0 bytes written, {EMPTY}"),
        ]
    );
    for piece in 1..12 {
        assert_eq!(seen("scp -r -t /srv", PUT, piece).as_ref(), Ok(&told), "{piece}");
    }
}

#[test]
fn the_other_way_round_is_read_alike() {
    let turned: Vec<_> =
        PUT.iter().map(|(way, bytes)| (if *way == Up { Down } else { Up }, *bytes)).collect();
    let told = seen("scp -r -f /srv", &turned, 3).unwrap();
    assert_eq!(
        (told[0].as_str(), told[2].as_str()),
        ("1 list_folder /srv site", "2 read_file /srv site/a b.txt")
    );
    assert_eq!(told[3], format!("2 done: 5 bytes read, {HELLO}"));
}

#[test]
fn what_is_not_whole_or_not_confirmed_has_no_sum() {
    let begun: [(Way, &[u8]); 3] = [(Down, b"\0"), (Up, b"C0644 5 a\n"), (Down, b"\0")];
    let with = |rest: &[(Way, &'static [u8])]| {
        let run: Vec<_> = begun.iter().copied().chain(rest.iter().copied()).collect();
        seen("scp -t /a", &run, usize::MAX).unwrap().pop().unwrap()
    };
    assert!(with(&[(Up, b"hel")]).ends_with("left open: 3 bytes written, no sha256: not all of it passed"));
    assert!(with(&[(Up, b"hello\0")]).ends_with("no sha256: the host has not confirmed all of it"));
    let torn = with(&[(Up, b"hello\x01scp: a: Input/output error\n"), (Down, b"\0")]);
    assert!(torn.ends_with("no sha256: whoever had the file could not read all of it"), "{torn}");
    assert_eq!(with(&[(Up, b"hello\0"), (Down, b"\x01scp: a: disk full\n")]), "1 failed 1 scp: a: disk full");
}

#[test]
fn what_could_mean_something_else_at_the_other_end_ends_the_transfer() {
    let ready: (Way, &[u8]) = (Down, b"\0");
    let runs: [&[(Way, &[u8])]; 16] = [
        &[(Up, b"C0644 5 a\n")],
        &[ready, (Up, b"C0644 5 a\nhello\0")],
        &[ready, (Up, b"C0644 5 a\n"), ready, (Up, b"hello!")],
        &[ready, (Up, b"C0644 5 ../a\n")],
        &[ready, (Up, b"C0644 5 ..\n")],
        &[ready, (Up, b"D0755 0 /\n")],
        &[ready, (Up, b"C0644 -5 a\n")],
        &[ready, (Up, b"C0644 99999999999999999999 a\n")],
        &[ready, (Up, b"C9 5 a\n")],
        &[ready, (Up, b"E\n")],
        &[ready, (Up, b"T1 2 3\n")],
        &[ready, (Up, b"\n")],
        &[ready, (Up, b"Welcome\n")],
        &[ready, ready],
        &[(Down, b"Welcome to web-1!\n")],
        &[ready, (Up, &[b'C'; 20_000])],
    ];
    for run in runs {
        assert_eq!(
            seen("scp -r -t /a", run, usize::MAX),
            Err(Unreadable),
            "{:?}",
            run.last().map(|one| one.1)
        );
    }
}

/// OpenSSH reads a line into 2047 bytes: what is longer would be a message here and a file over there.
#[test]
fn a_line_that_the_other_end_may_cut_ends_the_transfer() {
    let evil: &[u8] = &[b"\x01", &[b'x'; 2046][..], b"C0755 4 evil\n"].concat();
    let of = |length: usize| [b"\x01", &vec![b'x'; length - 2][..], b"\n"].concat();
    let (fits, long) = (of(LONGEST_LINE), of(LONGEST_LINE + 1));
    let ready: (Way, &[u8]) = (Down, b"\0");
    let announced: (Way, &[u8]) = (Up, b"C0644 5 a\n");
    let places: [&[(Way, &[u8])]; 3] =
        [&[ready], &[ready, announced, ready, (Up, b"hello")], &[ready, announced]];
    for (before, way) in places.into_iter().zip([Up, Up, Down]) {
        for piece in [1, 1000, usize::MAX] {
            let ends = |line| seen("scp -t /a", &[before, &[(way, line)]].concat(), piece).is_err();
            let lines = [&fits[..], &long, evil];
            assert_eq!(lines.map(ends), [false, true, true], "{} in pieces of {piece}", before.len());
        }
    }
    let name = [b"C0644 5 ", &[b'x'; LONGEST_LINE][..], b"\n"].concat();
    assert_eq!(seen("scp -t /a", &[ready, (Up, &name)], usize::MAX), Err(Unreadable));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        to_host in any::<bool>(),
        pieces in proptest::collection::vec((any::<bool>(), "[CDTE\u{0}\u{1}\n 0-9a./]{0,12}"), 0..40),
    ) {
        let clock = Clock(Cell::new(0));
        let mut scp = Box::new(Scp::new(ScpCommand { path: "x".into(), to_host }, 5));
        for (up, piece) in pieces {
            let piece = Bytes::from(piece);
            let _ = if up { scp.up(&piece, &clock) } else { scp.down(&piece, &clock) };
        }
        scp.finish(&clock);
    }
}
