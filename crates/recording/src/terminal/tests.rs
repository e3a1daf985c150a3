//! What passes and what does not, and casts of whole recordings.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::event::Form;

fn shown(text: &str) -> String {
    Harmless::for_terminals().show(text.as_bytes())
}

#[test]
fn what_draws_passes_as_it_is() {
    for text in [
        "plain ü ☃ text\r\n\tand\u{8} back",
        "\u{1b}[1;31mred\u{1b}[0m \u{1b}[38;2;1;2;3m \u{1b}[4:3m",
        "\u{1b}[2J\u{1b}[H\u{1b}[10;20f\u{1b}[K\u{1b}[?K\u{1b}[3A\u{1b}[5X\u{1b}[2S\u{1b}[1;24r",
        "\u{1b}[?1049h\u{1b}[?25l\u{1b}[?7h\u{1b}7\u{1b}8\u{1b}M\u{1b}(0lqk\u{1b}(B\u{e}\u{f}",
    ] {
        assert_eq!(shown(text), text);
    }
}

#[test]
fn what_acts_is_dropped_and_the_rest_stays() {
    for hostile in [
        "\u{1b}]52;c;ZXZpbA==\u{7}",                     // copies to the clipboard
        "\u{1b}]0;title\u{1b}\\",                        // names the window
        "\u{1b}]8;;http://evil\u{1b}\\",                 // opens a link
        "\u{9d}52;c;ZXZpbA==\u{9c}",                     // the same with one character
        "\u{1b}P$q\"p\u{1b}\\",                          // asks, and the terminal types the answer
        "\u{1b}[c\u{1b}[6n\u{1b}[>c\u{1b}[?6n\u{1b}[0x", // reports
        "\u{1b}[21t\u{1b}[8;9999;9999t\u{1b}[3;0;0t",    // window operations
        "\u{1b}[?1000h\u{1b}[?1006h\u{1b}[?2004h",       // mouse and paste
        "\u{1b}[>4;1m\u{1b}[=5u\u{1b}[?5u\u{1b}[!p",     // keyboard, and a reset
        "\u{1b}[99999999b\u{1b}[2147483647C",            // work without end
        "\u{1b}_app\u{1b}\\\u{1b}^pm\u{1b}\\\u{1b}Xsos\u{9c}\u{1b}#8\u{7}\u{0}\u{7f}",
    ] {
        assert_eq!(shown(&format!("a{hostile}b")), "ab", "{hostile:?}");
    }
    assert_eq!(shown("\u{1b}[?25;1000h"), "\u{1b}[?25h");
    assert_eq!(shown("a\u{202e}b"), "a\u{fffd}b");
    assert_eq!(shown("</script>"), "</script>", "text is text: pages escape it themselves");
}

#[test]
fn for_people_there_is_text_alone() {
    let mut text = Text::default();
    assert_eq!(text.show(b"\x1b[1;31mred\x1b[0m\r\nnext\x1b(0q\x1b]0;t\x07\x1b[2"), "red\nnextq");
    assert_eq!(text.show(b"J\xc3"), "");
    assert_eq!(text.show(b"\xbc\xff!"), "ü\u{fffd}!");
}

fn record(millis: u64, stream: u32, event: Event) -> Record {
    let at = Timestamp::from_micros(1_700_000_000_000_000).after(Duration::from_millis(millis));
    Record { at, stream: Some(StreamId(stream)), event }
}

fn cast(records: &[Record]) -> (Vec<Value>, bool) {
    let mut out = Vec::new();
    let mut cast = TerminalCast::new("ada on web", &mut out);
    records.iter().for_each(|record| cast.push(record).unwrap());
    let found = cast.finish().unwrap();
    (String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect(), found)
}

#[test]
fn the_first_terminal_becomes_a_cast_with_its_times() {
    let id = RequestId(3);
    let terminal = Terminal { name: "xterm".into(), columns: 80, rows: 1_000_000 };
    let said = |direction, data: &'static [u8]| Event::Copy { id, direction, data: Bytes::from_static(data) };
    let (lines, found) = cast(&[
        record(
            0,
            0,
            Event::Request {
                id: RequestId(1),
                form: Form::Subsystem,
                text: "sftp".into(),
                parameters: vec![],
            },
        ),
        record(
            10,
            1,
            Event::Request {
                id,
                form: Form::Shell { terminal: Some(terminal) },
                text: Bytes::new(),
                parameters: vec![],
            },
        ),
        record(510, 1, said(Direction::Out, b"$ \x1b[1mls\x1b]0;x\x07\r\n")),
        record(600, 0, said(Direction::Out, b"another stream")),
        record(700, 1, said(Direction::In, b"typed")),
        record(1510, 1, Event::Resized { id, columns: 100, rows: 30 }),
        record(2010, 1, Event::Completed { id, tag: "exit 5".into(), rows: 0, bytes: 9, duration_us: 1 }),
        record(2020, 1, said(Direction::Out, b"after the end")),
    ]);
    assert!(found);
    assert_eq!(lines[0]["term"], json!({"cols": 80, "rows": 300, "type": "xterm"}));
    assert_eq!((&lines[0]["version"], &lines[0]["title"]), (&json!(3), &json!("ada on web")));
    assert_eq!(
        lines[1..],
        [json!([0.5, "o", "$ \u{1b}[1mls\r\n"]), json!([1.0, "r", "100x30"]), json!([0.5, "x", "5"])]
    );
}

#[test]
fn what_is_entered_at_a_prompt_is_marked_where_its_line_is_left() {
    let id = RequestId(0);
    let terminal = Terminal { name: "xterm".into(), columns: 80, rows: 24 };
    let form = Form::Shell { terminal: Some(terminal) };
    let drawn = |at, data: &'static [u8]| {
        record(at, 0, Event::Copy { id, direction: Direction::Out, data: Bytes::from_static(data) })
    };
    let records = [
        record(0, 0, Event::Request { id, form, text: Bytes::new(), parameters: vec![] }),
        drawn(100, b"web$ "),
        drawn(200, b"l\xc3"),
        drawn(300, b"\xa4s\r\n"),
        drawn(400, b"notes\r\nweb$ "),
    ];
    let (lines, _) = cast(&records);
    assert_eq!(lines[4], json!([0.0, "m", "läs"]));
    let statement = &crate::timeline::timeline(records, &crate::Limits::default()).statements[0];
    let entered = &statement.entered;
    assert_eq!(
        (entered.len(), entered[0].text.as_str(), entered[0].at),
        (1, "läs", record(300, 0, Event::Gap { reason: String::new() }).at)
    );
    assert!(crate::export::answer(statement).contains("entered at its prompts"));
}

#[test]
fn without_a_terminal_nothing_is_written() {
    let form = Form::Command { terminal: None };
    let request = Event::Request { id: RequestId(0), form, text: "ls".into(), parameters: vec![] };
    assert_eq!(cast(&[record(0, 0, request)]), (vec![], false));
}

proptest! {
    /// Whatever comes, in whatever pieces: only what draws is left, and the pieces make no difference.
    #[test]
    fn nothing_that_acts_comes_through(bytes in proptest::collection::vec(
        prop_oneof![any::<u8>(), proptest::sample::select(&b"\x1b[]P;?0123456789hmcntJ\\\x07\x9b\x9d\xc2"[..])], 0..200), cut in 0_usize..200,
    ) {
        let whole = Harmless::for_terminals().show(&bytes);
        let (head, tail) = bytes.split_at(cut.min(bytes.len()));
        let mut pieces = Harmless::for_terminals();
        let joined = pieces.show(head) + &pieces.show(tail);
        prop_assert_eq!(&joined, &whole);
        prop_assert_eq!(Harmless::for_terminals().show(whole.as_bytes()), whole.clone(), "it is stable");
        let forbidden = ["\u{1b}]", "\u{1b}P", "\u{1b}_", "\u{1b}^", "\u{1b}X", "\u{7}", "\u{9b}", "\u{9d}", "\u{90}"];
        prop_assert!(!forbidden.iter().any(|bad| whole.contains(bad)), "{:?}", whole);
        for sequence in whole.split("\u{1b}[").skip(1) {
            let last = sequence.chars().find(|c| ('@'..='~').contains(c)).unwrap();
            prop_assert!(!"cntpqxyz".contains(last), "{:?}", whole);
        }
        let text = Text::default().show(&bytes);
        prop_assert!(!text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t')), "{:?}", text);
    }
}
