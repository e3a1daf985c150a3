//! Requests and answers: order, refusals, COPY, shapes, what is recorded.

use bytes::Bytes;
use hoop_engine::{CloseReason, Engine as _, Event, RecordingLimits, RequestId, Side};
use hoop_model::{Blame, Fault};
use hoop_recording::event::{Direction, Form, Parameter};

use crate::testing::{
    Make, NOW, Stand, bind, columns, complete, describe, error, execute, frame, parse, query, ready, row,
    sync, text,
};

fn relaying() -> Stand {
    Make::default().relaying()
}

fn answer() -> Vec<u8> {
    [columns("n"), row(b"1"), row(b"2"), complete("SELECT 2"), ready(b'I')].concat()
}

#[test]
fn a_simple_query_as_it_came() {
    let mut stand = relaying();
    stand.client_sends(&query("select n from t"));
    assert_eq!(stand.target, query("select n from t"));
    assert_eq!(stand.order[0].0, 1, "recorded before it is sent");
    stand.target_sends(&answer());
    assert_eq!(stand.client, answer());
    let id = RequestId(1);
    let text = Bytes::from_static(b"select n from t");
    assert_eq!(stand.events[0], Event::Request { id, form: Form::Query, text, parameters: vec![] });
    assert!(matches!(&stand.events[1], Event::Columns { columns, .. } if columns[0].name == "n"));
    let data = Bytes::from([row(b"1"), row(b"2")].concat());
    assert_eq!(stand.events[2], Event::Rows { id, count: 2, data });
    let tag = Bytes::from_static(b"SELECT 2");
    assert_eq!(stand.events[3], Event::Completed { id, tag, rows: 2, bytes: 24, duration_us: 0 });
}

#[test]
fn one_run_one_send() {
    let mut stand = relaying();
    let sent = [bind("", "s", b"7"), describe(b'P', ""), execute(""), sync()].concat();
    stand.client_sends(&sent);
    assert_eq!(stand.order.len(), 1, "not message by message");
    assert_eq!(stand.target, sent);
}

#[test]
fn bind_values_are_recorded() {
    let mut stand = relaying();
    stand.client_sends(&[parse("s", "select $1"), bind("p", "s", b"ada"), execute("p"), sync()].concat());
    let values: Vec<_> = stand
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Request { parameters, .. } => parameters.first().cloned(),
            _ => None,
        })
        .collect();
    assert_eq!(values, [Parameter { binary: false, value: Some(Bytes::from_static(b"ada")) }]);
    assert_eq!(stand.order, [(3, Bytes::from(stand.target.clone()))]);
}

#[test]
fn execute_without_describe_tells_its_columns() {
    let mut stand = relaying();
    stand.client_sends(&[parse("s", "select n"), describe(b'S', "s"), sync()].concat());
    let t = frame(b't', b"\0\0");
    stand.target_sends(&[frame(b'1', b""), t, columns("n"), ready(b'I')].concat());
    for _ in 0..2 {
        stand.events.clear();
        stand.client_sends(&[bind("", "s", b"1"), execute(""), sync()].concat());
        stand.target_sends(&[frame(b'2', b""), row(b"x"), complete("SELECT 1"), ready(b'I')].concat());
        let told = stand.events.iter().any(
            |e| matches!(e, Event::Columns { id: RequestId(3 | 5), columns } if columns[0].name == "n" && columns[0].binary),
        );
        assert!(told, "{:?}", stand.events);
    }
}

#[test]
fn two_hundred_before_an_answer() {
    let mut stand = relaying();
    let one = [bind("", "s", b"1"), execute(""), sync()].concat();
    stand.client_sends(&one.repeat(200));
    assert_eq!(stand.target, one.repeat(200));
    let back = [frame(b'2', b""), row(b"x"), complete("SELECT 1"), ready(b'I')].concat();
    stand.target_sends(&back.repeat(200));
    assert_eq!(stand.client, back.repeat(200));
    assert_eq!(stand.events.iter().filter(|e| matches!(e, Event::Completed { rows: 1, .. })).count(), 200);
}

#[test]
fn a_refusal_comes_in_its_place() {
    let mut stand = relaying();
    stand.client_sends(&[query("select 1"), query("forbidden"), query("select 2")].concat());
    assert_eq!(stand.target, [query("select 1"), query("select 2")].concat());
    assert_eq!(stand.client_kinds(), "");
    stand.target_sends(&[complete("BEGIN"), ready(b'T')].concat());
    assert_eq!(stand.client_kinds(), "CZEZ");
    assert!(stand.client.ends_with(b"Z\0\0\0\x05T"), "with the true status of the transaction");
    assert!(text(&stand.client).contains("C42501"));
    stand.target_sends(&[complete("SELECT 1"), ready(b'T')].concat());
    assert_eq!(stand.client_kinds(), "CZEZCZ");
    assert!(matches!(&stand.events[1], Event::Request { text, .. } if text == "forbidden"));
    assert!(matches!(&stand.events[2], Event::Denied { id: RequestId(2), .. }));
}

#[test]
fn a_refusal_with_nothing_owed_comes_at_once() {
    let mut stand = relaying();
    stand.client_sends(&query("forbidden"));
    assert_eq!(stand.client_kinds(), "EZ");
    assert!(stand.target.is_empty());
    stand.client_sends(&query("select 1"));
    assert_eq!(stand.target, query("select 1"));
}

#[test]
fn a_refused_parse_discards_up_to_sync() {
    let mut stand = relaying();
    stand.client_sends(
        &[parse("", "forbidden"), bind("", "", b"1"), execute(""), sync(), query("select 1")].concat(),
    );
    assert_eq!(stand.target, [sync(), query("select 1")].concat());
    assert_eq!(stand.client_kinds(), "E");
    stand.target_sends(&[ready(b'I'), complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(stand.client_kinds(), "EZCZ");
    assert!(!stand.events.iter().any(|e| matches!(e, Event::Request { form: Form::Bind { .. }, .. })));
}

#[test]
fn a_refusal_inside_a_pipeline_waits_for_the_answers_before_it() {
    let mut stand = relaying();
    let fine = [parse("", "select 1"), bind("", "", b"1"), execute("")].concat();
    stand.client_sends(&[fine.clone(), parse("", "forbidden"), execute(""), sync()].concat());
    assert_eq!(stand.target_kinds(), "PBEHS", "a flush, so that what is owed comes out");
    stand.target_sends(&[frame(b'1', b""), frame(b'2', b""), complete("SELECT 0")].concat());
    assert_eq!(stand.client_kinds(), "12CE");
    stand.target_sends(&ready(b'I'));
    assert_eq!(stand.client_kinds(), "12CEZ");
}

#[test]
fn a_refusal_behind_a_failure_is_skipped_with_the_rest() {
    let mut stand = relaying();
    stand.client_sends(&[parse("", "select nosuch"), parse("", "forbidden"), sync()].concat());
    stand.target_sends(&[error("42703"), ready(b'I')].concat());
    assert_eq!(stand.client_kinds(), "EZ");
    assert!(text(&stand.client).contains("42703"));
}

#[test]
fn a_refused_function_call() {
    let mut stand = relaying();
    stand.client_sends(&frame(b'F', b"\0\0\x02\x9a\0\0\0\0\0\0"));
    assert_eq!(stand.client_kinds(), "EZ");
    stand.client_sends(&frame(b'F', b"\0\0\0\x07\0\0\0\x01\0\0\0\x01a\0\0"));
    assert_eq!(stand.target_kinds(), "F");
    stand.target_sends(&[frame(b'V', b"\0\0\0\x01x"), ready(b'I')].concat());
    assert!(
        matches!(&stand.events[2], Event::Request { form: Form::FunctionCall { function: 7 }, parameters, .. }
        if parameters.len() == 1)
    );
    assert!(matches!(stand.events.last(), Some(Event::Completed { .. })));
}

#[test]
fn an_error_skips_what_follows_and_the_recording_says_so() {
    let mut stand = relaying();
    stand.client_sends(
        &[parse("", "nosuch"), bind("", "", b"1"), execute(""), sync(), query("select 1")].concat(),
    );
    stand.target_sends(&[error("42601"), ready(b'I'), complete("SELECT 1"), ready(b'I')].concat());
    let failed: Vec<_> = stand
        .events
        .iter()
        .filter_map(|e| match e {
            Event::Failed { id, code, .. } => Some((id.unwrap().0, code.clone())),
            _ => None,
        })
        .collect();
    assert_eq!(failed, [(1, Bytes::from_static(b"42601")), (2, Bytes::new()), (3, Bytes::new())]);
    assert!(matches!(stand.events.last(), Some(Event::Completed { id: RequestId(4), .. })));
}

#[test]
fn verdicts_that_take_their_time() {
    let mut stand = relaying();
    stand.hold = true;
    stand.client_sends(&[query("select 1"), query("select 2")].concat());
    assert!(stand.target.is_empty());
    stand.answer();
    assert_eq!(stand.target, query("select 1"), "what is permitted does not wait for the next verdict");
    stand.client_sends(&query("forbidden"));
    stand.answer();
    stand.answer();
    assert_eq!(stand.target, [query("select 1"), query("select 2")].concat());
    assert!(stand.client.is_empty());
    let done = [complete("SELECT 1"), ready(b'I')].concat();
    stand.target_sends(&done.repeat(2));
    assert_eq!(stand.client_kinds(), "CZCZEZ");
}

#[test]
fn much_that_waits_is_said() {
    let mut stand = relaying();
    stand.hold = true;
    stand.client_sends(&query("select 1"));
    assert!(!stand.engine.is_congested(Side::Client));
    stand.client_sends(&query(&"x".repeat(300_000)));
    assert!(stand.engine.is_congested(Side::Client));
    stand.hold = false;
    stand.answer();
    assert!(!stand.engine.is_congested(Side::Client));
    let mut stand = relaying();
    stand.client_sends(&sync().repeat(20_000));
    assert!(stand.engine.is_congested(Side::Client), "too many answers owed");
    stand.target_sends(&ready(b'I').repeat(20_000));
    assert!(!stand.engine.is_congested(Side::Client));
}

#[test]
fn copy_in_and_out() {
    let mut stand = relaying();
    stand.client_sends(&query("copy t from stdin"));
    stand.target_sends(&frame(b'G', b"\0\0\0"));
    let looks_like = query("drop table t");
    stand.client_sends(&[frame(b'd', b"a\n"), frame(b'd', &looks_like), frame(b'c', b"")].concat());
    assert_eq!(stand.target_kinds(), "Qddc");
    stand.target_sends(&[complete("COPY 2"), ready(b'I')].concat());
    assert!(!stand.events.iter().any(|e| matches!(e, Event::Request { text, .. } if text == "drop table t")));
    let data = Bytes::from([b"a\n", &looks_like[..]].concat());
    let bytes = data.len() as u64;
    assert_eq!(stand.events[1], Event::Copy { id: RequestId(1), direction: Direction::In, data });
    assert!(matches!(stand.events[2], Event::Completed { rows: 2, bytes: b, .. } if b == bytes));
    stand.forget();
    stand.client_sends(&query("copy t to stdout"));
    let out = [
        frame(b'H', b"\0\0\0"),
        frame(b'd', b"a\n"),
        frame(b'd', b"b\n"),
        frame(b'c', b""),
        complete("COPY 2"),
    ];
    stand.target_sends(&[out.concat(), ready(b'I')].concat());
    assert_eq!(stand.client, [out.concat(), ready(b'I')].concat());
    let data = Bytes::from_static(b"a\nb\n");
    assert_eq!(stand.events[1], Event::Copy { id: RequestId(2), direction: Direction::Out, data });
}

#[test]
fn a_sync_sent_before_copy_data_goes_unanswered() {
    let mut stand = relaying();
    stand.client_sends(&[parse("", "copy t from stdin"), bind("", "", b""), execute(""), sync()].concat());
    stand.target_sends(&[frame(b'1', b""), frame(b'2', b""), frame(b'G', b"\0\0\0")].concat());
    stand.client_sends(&[frame(b'd', b"a\n"), frame(b'c', b""), sync()].concat());
    stand.target_sends(&[complete("COPY 1"), ready(b'I')].concat());
    assert_eq!(stand.closed, None);
    stand.client_sends(&query("forbidden"));
    assert_eq!(stand.client_kinds(), "12GCZEZ", "nothing is owed any more");
}

#[test]
fn copy_that_fails_half_way() {
    let mut stand = relaying();
    stand.client_sends(&[query("copy t from stdin"), frame(b'd', b"bad\n")].concat());
    stand.target_sends(&[frame(b'G', b"\0\0\0"), error("22P02"), ready(b'I')].concat());
    stand.client_sends(&[frame(b'd', b"more\n"), frame(b'c', b""), query("forbidden")].concat());
    assert_eq!(stand.client_kinds(), "GEZEZ");
    stand.client_sends(&query("select 1"));
    stand.target_sends(&[complete("SELECT 1"), ready(b'I')].concat());
    assert_eq!(stand.closed, None);
}

#[test]
fn limits_of_the_recording() {
    let limits = RecordingLimits { rows_per_request: 30, copy_per_request: 3, value: 4 };
    let mut stand = Make { limits, ..Make::default() }.relaying();
    stand.client_sends(&query("select"));
    stand.target_sends(&[columns("n"), row(b"1").repeat(5), complete("SELECT 5"), ready(b'I')].concat());
    assert!(matches!(stand.events[2], Event::Rows { count: 2, .. }));
    assert_eq!(stand.events[3], Event::Curtailed { id: RequestId(1), limit: 30 });
    assert!(matches!(stand.events[4], Event::Completed { rows: 5, bytes: 60, .. }));
    stand.forget();
    stand.client_sends(&bind("", "", b"longer"));
    assert!(matches!(&stand.events[0], Event::Request { parameters, .. }
        if parameters[0].value.as_deref() == Some(b"long")));
    assert_eq!(stand.events[1], Event::Curtailed { id: RequestId(2), limit: 4 });
}

#[test]
fn a_large_row_streams() {
    let mut stand = relaying();
    stand.client_sends(&query("select"));
    let large = [columns("n"), row(&vec![7; 1 << 20])].concat();
    stand.target_sends(&large[..300_000]);
    assert_eq!(stand.client.len(), 300_000);
    stand.engine.handle_end(Fault::new("HOOP-4007", Blame::Policy, "killed"), NOW);
    stand.drain();
    assert_eq!(stand.client.len(), 300_000, "an error in the middle of a frame would be data");
    assert!(matches!(stand.closed, Some(CloseReason::Fault(_))));
}

#[test]
fn a_large_row_is_counted() {
    let mut stand = relaying();
    stand.client_sends(&query("select"));
    let rows = [row(b"1"), row(&vec![7; 1 << 20]), row(b"2"), complete("SELECT 3"), ready(b'I')].concat();
    stand.target_sends(&[columns("n"), rows].concat());
    assert!(matches!(stand.events[2], Event::Rows { count: 1, .. }));
    assert!(matches!(stand.events[3], Event::Curtailed { .. }));
    assert!(matches!(stand.events[4], Event::Completed { rows: 3, .. }));
}

#[test]
fn a_large_bind_streams() {
    let mut stand = relaying();
    let large = bind("", "", &vec![1; 10 << 20]);
    for piece in large.chunks(100_000).take(60) {
        stand.client_sends(piece);
    }
    assert!(stand.target.len() > 5 << 20);
    for piece in large.chunks(100_000).skip(60) {
        stand.client_sends(piece);
    }
    assert!(stand.target == large);
    assert!(matches!(&stand.events[0], Event::Request { parameters, .. }
        if parameters[0].value.as_ref().unwrap().len() == 1 << 20));
    assert!(matches!(stand.events[1], Event::Curtailed { .. }));
}

#[test]
fn a_statement_over_the_limit_is_refused_and_the_stream_goes_on() {
    let mut stand = relaying();
    stand.client_sends(&query(&"x".repeat(9 << 20)));
    assert_eq!(stand.client_kinds(), "EZ");
    assert!(text(&stand.client).contains("C54000"));
    stand.client_sends(&[parse("", &"x".repeat(9 << 20)), sync()].concat());
    assert_eq!(stand.target, sync());
    stand.target_sends(&ready(b'I'));
    assert_eq!(stand.client_kinds(), "EZEZ");
    stand.client_sends(&query("select 1"));
    assert_eq!(stand.target, [sync(), query("select 1")].concat());
}

#[test]
fn several_statements_in_one_query() {
    let mut stand = relaying();
    stand.client_sends(&query("select 1; insert; "));
    stand.target_sends(
        &[
            columns("a"),
            row(b"1"),
            complete("SELECT 1"),
            complete("INSERT 0 4"),
            frame(b'I', b""),
            ready(b'I'),
        ]
        .concat(),
    );
    let rows: Vec<u64> = stand
        .events
        .iter()
        .filter_map(|e| if let Event::Completed { rows, .. } = e { Some(*rows) } else { None })
        .collect();
    assert_eq!(rows, [1, 4, 0]);
}

#[test]
fn what_is_said_outside_requests() {
    let mut stand = relaying();
    stand.target_sends(
        &[
            frame(b'A', b"\0\0\0\x01ch\0hello\0"),
            frame(b'S', b"TimeZone\0UTC\0"),
            frame(b'N', b"C00000\0Mwell\0\0"),
            error("57P01"),
        ]
        .concat(),
    );
    assert_eq!(stand.client_kinds(), "ASNE");
    let said = |at: usize| match &stand.events[at] {
        Event::Said { text, .. } => text.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((said(0), said(1), said(2)), ("ch: hello".into(), "TimeZone=UTC".into(), "well".into()));
    assert!(matches!(&stand.events[3], Event::Failed { id: None, .. }));
}

#[test]
fn good_bye_is_the_last_word() {
    let mut stand = relaying();
    stand.client_sends(&[frame(b'X', b""), query("select 1")].concat());
    assert_eq!(stand.target, frame(b'X', b""));
    assert_eq!(stand.closed, Some(CloseReason::Client));
    let mut stand = relaying();
    stand.client_sends(&query("select 1"));
    stand.engine.handle_eof(Side::Target, NOW);
    stand.drain();
    assert_eq!(stand.closed, Some(CloseReason::Target));
    assert!(matches!(&stand.events[1], Event::Failed { id: Some(RequestId(1)), .. }));
}
