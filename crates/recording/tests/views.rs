//! What a person sees of a recording: the timeline and the exports.
#![expect(clippy::unwrap_used, reason = "tests")]

use bytes::Bytes;
use hoop_model::{StreamId, Timestamp};
use hoop_recording::{
    Event, Limits, Record, RequestId,
    event::{Column, Direction, Form, Parameter, Said, Terminal},
    export, timeline,
    timeline::TerminalView,
};
use serde_json::{Value, json};

fn record(ms: i64, event: Event) -> Record {
    Record {
        at: Timestamp::from_micros(1_700_000_000_000_000 + ms * 1_000),
        stream: Some(StreamId(0)),
        event,
    }
}

const fn id(number: u64) -> RequestId {
    RequestId(number)
}

fn query(id: u64, text: &'static str) -> Event {
    Event::Request { id: RequestId(id), form: Form::Query, text: text.into(), parameters: Vec::new() }
}

fn completed(id: u64, tag: &'static str, rows: u64) -> Event {
    Event::Completed { id: RequestId(id), tag: tag.into(), rows, bytes: 9, duration_us: 12_345 }
}

fn row(cells: &[Option<&[u8]>]) -> Vec<u8> {
    let mut body = u16::try_from(cells.len()).unwrap().to_be_bytes().to_vec();
    for cell in cells {
        match cell {
            None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
            Some(bytes) => {
                body.extend_from_slice(&i32::try_from(bytes.len()).unwrap().to_be_bytes());
                body.extend_from_slice(bytes);
            }
        }
    }
    let length = u32::try_from(body.len() + 4).unwrap();
    [b"D".to_vec(), length.to_be_bytes().to_vec(), body].concat()
}

fn column(name: &'static str, type_id: u32, binary: bool) -> Column {
    Column { name: name.into(), type_id, binary }
}

fn session() -> Vec<Record> {
    let id = RequestId;
    let bind = Form::Bind { portal: Bytes::new(), statement: "s1".into() };
    let parameters = vec![
        Parameter { binary: true, value: Some(Bytes::from_static(&[0, 0, 0, 7])) },
        Parameter { binary: false, value: Some("x'; DROP TABLE t;\n--".into()) },
        Parameter { binary: false, value: None },
    ];
    let text = Bytes::new();
    vec![
        record(0, Event::Opened { facts: vec![("database".into(), "clinic".into())] }),
        record(1, query(0, "SELECT id, name FROM patients")),
        record(
            2,
            Event::Columns { id: id(0), columns: vec![column("id", 23, true), column("name", 25, false)] },
        ),
        record(
            3,
            Event::Rows {
                id: id(0),
                count: 2,
                data: [
                    row(&[Some(&[0, 0, 0, 5]), Some(b"Ada\x1b]52;c;eA==\x07")]),
                    row(&[Some(&[0, 0, 0, 6]), None]),
                ]
                .concat()
                .into(),
            },
        ),
        record(4, completed(0, "SELECT 2", 2)),
        record(
            5,
            Event::Request {
                id: id(1),
                form: Form::Prepare { name: "s1".into() },
                text: "UPDATE t SET a=$2 WHERE id=$1".into(),
                parameters: vec![],
            },
        ),
        record(6, Event::Request { id: id(2), form: bind, text: text.clone(), parameters }),
        record(
            7,
            Event::Request {
                id: id(3),
                form: Form::Execute { portal: Bytes::new(), max_rows: 0 },
                text,
                parameters: vec![],
            },
        ),
        record(8, completed(3, "UPDATE 1", 1)),
        record(9, query(4, "DROP TABLE patients;\n-- really")),
        record(10, Event::Denied { id: id(4), code: "HOOP-2005".into(), message: "read-only".into() }),
        record(11, query(5, "SELEC 1")),
        record(
            12,
            Event::Failed {
                id: Some(id(5)),
                code: "42601".into(),
                message: "syntax error\nat 1".into(),
                duration_us: 400,
            },
        ),
        record(13, query(6, "COPY t TO STDOUT")),
        record(14, Event::Copy { id: id(6), direction: Direction::Out, data: vec![0xff; 10].into() }),
        record(15, Event::Curtailed { id: id(6), limit: 10 }),
        record(16, completed(6, "COPY 3", 3)),
        record(17, Event::Said { kind: Said::Notice, text: "careful\x1b[2J".into() }),
        record(18, Event::Gap { reason: "spool full".into() }),
        record(19, Event::Closed { reason: "client left".into(), bytes_in: 1, bytes_out: 2 }),
    ]
}

#[test]
fn the_timeline_tells_each_statement_and_its_outcome() {
    let timeline = timeline(session(), &Limits::default());
    let views = &timeline.statements;
    assert_eq!(views.len(), 7);
    assert_eq!(views[0].columns, ["id", "name"]);
    assert_eq!(views[0].rows[0], [Some("5".into()), Some("Ada\\x1b]52;c;eA==\\x07".into())]);
    assert_eq!(views[0].rows[1], [Some("6".into()), None]);
    assert_eq!(
        (views[0].tag.as_deref(), views[0].rows_count, views[0].duration_us),
        (Some("SELECT 2"), 2, Some(12_345))
    );
    assert_eq!(views[3].text, "UPDATE t SET a=$2 WHERE id=$1", "an execute shows what was prepared");
    assert_eq!(
        views[3].parameters,
        [Some("\\x00000007".into()), Some("x'; DROP TABLE t;\\n--".into()), None]
    );
    assert_eq!(views[4].denied.as_ref().unwrap().code, "HOOP-2005");
    assert_eq!(views[5].error.as_ref().unwrap().message, "syntax error\\nat 1");
    assert_eq!((views[6].copied_out, views[6].curtailed), (10, Some(10)));
    let kinds: Vec<_> = timeline.notes.iter().map(|note| note.kind.as_str()).collect();
    assert_eq!(kinds, ["opened", "notice", "gap", "closed"]);
    assert_eq!(timeline.notes[1].text, "careful\\x1b[2J");
    let before: Vec<_> = timeline.notes.iter().map(|note| note.before).collect();
    assert_eq!(before, [0, 7, 7, 7], "each stands where it happened");
    let shown = serde_json::to_value(&views[0]).unwrap();
    assert_eq!(shown["rows"], json!([["5", "Ada\\x1b]52;c;eA==\\x07"], ["6", null]]));
}

#[test]
fn the_timeline_is_bounded_and_says_so() {
    let limits = Limits { statements: 2, notes: 2, rows: 1, cell: 3, text: 10, total: 1_000 };
    let timeline = timeline(session(), &limits);
    assert_eq!((timeline.statements.len(), timeline.statements_omitted, timeline.notes_omitted), (2, 5, 1));
    let kinds: Vec<_> = timeline.notes.iter().map(|note| note.kind.as_str()).collect();
    assert_eq!(kinds, ["opened", "notice", "gap"], "a gap is told although there is no room");
    assert_eq!((timeline.statements[0].rows.len(), timeline.statements[0].rows_omitted), (1, 1));
    assert_eq!(timeline.statements[0].rows[0][1].as_deref(), Some("Ada…"));
    assert_eq!(timeline.statements[0].text, "SELECT id,…");
}

#[test]
fn what_a_host_printed_is_kept_apart_and_what_is_left_out_is_counted() {
    let ran = |number, terminal| Event::Request {
        id: id(number),
        form: Form::Command { terminal },
        text: "make".into(),
        parameters: vec![],
    };
    let said =
        |number, direction, data: &'static str| Event::Copy { id: id(number), direction, data: data.into() };
    let screen = Terminal { name: "xterm".into(), columns: 80, rows: 1_000_000 };
    let records = [
        record(1, ran(0, None)),
        record(2, said(0, Direction::Out, "12345678")),
        record(3, said(0, Direction::Error, "warning\n")),
        record(4, said(0, Direction::Out, "90abc")),
        record(5, ran(1, Some(screen))),
        record(6, said(1, Direction::Out, "a\r\n")),
        record(7, said(1, Direction::Error, "b")),
    ];
    let timeline = timeline(records, &Limits { text: 10, ..Limits::default() });
    let [command, shell] = &timeline.statements[..] else { panic!("{timeline:?}") };
    assert_eq!((&*command.output, &*command.error_output), ("1234567890", "warning\n"));
    assert_eq!((command.output_omitted, command.terminal), (3, None));
    assert_eq!((&*shell.output, &*shell.error_output), ("a\nb", ""), "a terminal has both on one screen");
    assert_eq!(
        shell.terminal,
        Some(TerminalView { columns: 80, rows: 300 }),
        "no player draws a million rows"
    );
    let told = export::answer(command);
    assert!(told.contains("standard error:\nwarning\n... 3 more bytes were printed"), "{told}");
}

#[test]
fn json_lines_leave_nothing_out() {
    let mut out = Vec::new();
    export::json_lines(session(), &mut out).unwrap();
    let lines: Vec<Value> = out
        .split(|b| *b == b'\n')
        .filter(|l| !l.is_empty())
        .map(|l| serde_json::from_slice(l).unwrap())
        .collect();
    assert_eq!(lines.len(), session().len());
    assert_eq!(lines[3]["rows"], json!([["5", "Ada\u{1b}]52;c;eA==\u{7}"], ["6", null]]));
    assert_eq!(lines[6]["parameters"], json!([{"binary": "00000007"}, "x'; DROP TABLE t;\n--", null]));
    assert_eq!(lines[14]["data"], json!({"hex": "ffffffffffffffffffff"}));
    assert_eq!(lines[0]["facts"]["database"], "clinic");
    assert!(!out.contains(&0x1b), "JSON escapes control characters");
}

#[test]
fn sql_text_cannot_run_what_was_refused_or_break_out_of_a_comment() {
    let mut out = Vec::new();
    export::sql_text(&timeline(session(), &Limits::default()), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let live: Vec<_> =
        text.lines().filter(|line| !line.starts_with("--") && !line.is_empty() && *line != ";").collect();
    assert_eq!(live, ["SELECT id, name FROM patients", "UPDATE t SET a=$2 WHERE id=$1", "COPY t TO STDOUT"]);
    assert!(text.contains("-- DROP TABLE patients;"));
    assert!(text.contains("refused HOOP-2005: read-only"));
    assert!(text.contains("-- $2 = x'; DROP TABLE t;\\n--"));
}

#[test]
fn the_asciicast_shows_tables_and_acts_on_no_terminal() {
    let mut out = Vec::new();
    export::asciicast(&timeline(session(), &Limits::default()), "ada\x1b]0;x\x07", &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines[0]["version"], 3);
    assert_eq!(lines[1][1], "o");
    let shown: String = lines[1..].iter().filter_map(|event| event[2].as_str()).collect();
    assert!(shown.contains(" id | name"), "{shown}");
    assert!(shown.contains("SELECT 2 (12.345 ms)"));
    assert!(!shown.chars().any(|c| c.is_control() && c != '\r' && c != '\n'));
    assert!(lines[1..].iter().all(|event| event[0].as_f64().unwrap() >= 0.0));
}

#[test]
fn a_query_of_several_statements_and_a_skipped_one() {
    let skipped = Event::Failed {
        id: Some(RequestId(1)),
        code: "".into(),
        message: "an earlier one failed".into(),
        duration_us: 0,
    };
    let records =
        [query(0, "SELECT 1; UPDATE t SET a = 1"), completed(0, "SELECT 1", 1), completed(0, "UPDATE 3", 3)];
    let records =
        records.into_iter().chain([query(1, "DELETE FROM t"), skipped]).map(|event| record(0, event));
    let timeline = timeline(records, &Limits::default());
    assert_eq!(timeline.statements[0].tag.as_deref(), Some("SELECT 1; UPDATE 3"));
    assert_eq!(timeline.statements[0].rows_count, 4);
    let mut out = Vec::new();
    export::sql_text(&timeline, &mut out).unwrap();
    assert!(String::from_utf8(out).unwrap().contains("not run: an earlier one failed"));
}

/// A client asks all at once: a name that is taken is given again, which fails, and then what stands under it runs.
#[test]
fn a_name_that_is_taken_is_not_shown_as_what_failed_to_take_it() {
    let ask = |id, form, text: &'static str| {
        let (id, text, parameters) = (RequestId(id), Bytes::from_static(text.as_bytes()), Vec::new());
        record(1, Event::Request { id, form, text, parameters })
    };
    let prepare = |id, text| ask(id, Form::Prepare { name: "s".into() }, text);
    let bind = |id| ask(id, Form::Bind { portal: "p".into(), statement: "s".into() }, "");
    let execute = |id| ask(id, Form::Execute { portal: "p".into(), max_rows: 0 }, "");
    let failed = |id| {
        let (code, message) = ("42P05".into(), "it exists".into());
        record(2, Event::Failed { id: Some(RequestId(id)), code, message, duration_us: 1 })
    };
    let texts = |records: Vec<Record>| -> Vec<String> {
        timeline(records, &Limits::default()).statements.into_iter().map(|view| view.text).collect()
    };
    let (drop, harmless) = ("drop table patients", "select 1");
    let asked = || vec![prepare(0, drop), prepare(1, harmless), bind(2), execute(3)];
    assert_eq!(texts([asked(), vec![failed(1)]].concat()), [drop, harmless, drop, drop]);
    // The failure is known before it is bound, or comes again and again.
    assert_eq!(texts(vec![prepare(0, drop), prepare(1, harmless), failed(1), bind(2), execute(3)])[3], drop);
    let many = (1..500).map(|id| prepare(id, harmless)).chain([bind(500), execute(501)]);
    let many = [vec![prepare(0, drop)], many.collect(), (1..500).map(failed).collect()].concat();
    assert_ne!(texts(many)[501], harmless, "rather nothing than something else");
    // A portal's name is no other.
    let other = ask(4, Form::Prepare { name: "t".into() }, harmless);
    let taken = ask(5, Form::Bind { portal: "p".into(), statement: "t".into() }, "");
    let asked = vec![prepare(0, drop), bind(1), other, taken, execute(6), failed(5)];
    assert_eq!(texts(asked), [drop, drop, harmless, harmless, drop]);
}
