//! A session for one approved statement: exactly its text, once, by whichever way a client sends it (THREATS A13).

use hoop_policy::OnlyStatement;

use crate::testing::{Make, Stand, bind, complete, execute, frame, parse, query, ready, startup, sync, text};

const APPROVED: &str = "update bed set free = true where id = 7";

fn make() -> Make {
    let only = Some(OnlyStatement::new(APPROVED, "clinic"));
    Make { only, replication: true, ..Make::default() }
}

fn relaying() -> Stand {
    make().relaying()
}

/// A `Bind` without values.
fn bare_bind(portal: &str, statement: &str) -> Vec<u8> {
    frame(b'B', format!("{portal}\0{statement}\0\0\0\0\0\0\0").as_bytes())
}

fn denied(stand: &Stand) -> usize {
    text(&stand.client).matches("C42501").count()
}

#[test]
fn it_runs_once_as_a_query() {
    let mut stand = relaying();
    stand.client_sends(&query(&format!("{APPROVED};")));
    assert_eq!(stand.target, query(&format!("{APPROVED};")), "as the client wrote it");
    stand.target_sends(&[complete("UPDATE 1"), ready(b'I')].concat());
    stand.forget();
    stand.client_sends(&query(APPROVED));
    assert_eq!((stand.target_kinds().as_str(), denied(&stand)), ("", 1));
    assert!(text(&stand.client).contains("HOOP-2028"));
}

#[test]
fn it_runs_once_as_a_prepared_one() {
    let mut stand = relaying();
    stand.client_sends(&[parse("s", APPROVED), bare_bind("", "s"), execute(""), sync()].concat());
    assert_eq!(stand.target_kinds(), "PBES");
    let answers = [frame(b'1', b""), frame(b'2', b""), complete("UPDATE 1"), ready(b'I')].concat();
    stand.target_sends(&answers);
    stand.forget();
    stand.client_sends(&[bare_bind("", "s"), execute(""), sync(), query(APPROVED)].concat());
    assert_eq!(stand.target_kinds(), "BHS", "bound again, and not run");
    stand.target_sends(&[frame(b'2', b""), ready(b'I')].concat());
    assert_eq!(denied(&stand), 2);
}

#[test]
fn twice_in_one_pipeline_is_once() {
    let mut stand = relaying();
    let run = [bare_bind("", "s"), execute("")].concat();
    stand.client_sends(&[parse("s", APPROVED), run.clone(), run.clone(), run, sync()].concat());
    assert_eq!(stand.target_kinds().matches('E').count(), 1, "{}", stand.target_kinds());
}

#[test]
fn nothing_else_reaches_the_target() {
    let values = [parse("s", APPROVED), bind("", "s", b"8"), execute(""), sync()].concat();
    let function = frame(b'F', b"\0\0\0\x01\0\0\0\0\0\0");
    for (what, sent, run) in [
        ("another text", query("update bed set free = true where id = 8"), "Q"),
        ("more text", query(&format!("{APPROVED}; drop table bed")), "Q"),
        ("a transaction around it", query("begin"), "Q"),
        (
            "another text, prepared",
            [parse("s", "delete from bed"), bare_bind("", "s"), execute(""), sync()].concat(),
            "PBE",
        ),
        ("values", values, "E"),
        ("a function", function, "F"),
    ] {
        let mut stand = relaying();
        stand.client_sends(&sent);
        assert!(
            !stand.target_kinds().contains(|kind| run.contains(kind)),
            "{what}: {}",
            stand.target_kinds()
        );
        for kind in stand.target_kinds().bytes() {
            match kind {
                b'P' => drop(stand.target_sends(&frame(b'1', b""))),
                b'B' => drop(stand.target_sends(&frame(b'2', b""))),
                _ => {}
            }
        }
        assert_eq!(denied(&stand), 1, "{what}: {}", text(&stand.client));
    }
}

#[test]
fn nothing_may_change_what_the_text_means() {
    for (brought, code) in [
        (&b"options\0-c search_path=evil"[..], "HOOP-2027"),
        (b"search_path\0evil", "HOOP-2027"),
        (b"DateStyle\0German", "HOOP-2027"),
        (b"client_encoding\0SJIS", "HOOP-2027"),
        (b"database\0billing", "HOOP-2027"),
        (b"replication\0database\0database\0clinic", "HOOP-2027"),
    ] {
        let mut stand = make().stand();
        let clinic: &[u8] = if brought.starts_with(b"database") || brought.ends_with(b"clinic") {
            b""
        } else {
            b"database\0clinic\0"
        };
        stand.client_sends(&startup(&[b"user\0ada\0", clinic, brought, b"\0\0"].concat()));
        assert_eq!(stand.fault(), code, "{}", text(brought));
        assert!(stand.target.is_empty(), "{}", text(brought));
    }
    for brought in
        [&b"client_encoding\0UTF8\0"[..], b"Client_Encoding\0utf-8\0", b"application_name\0psql\0", b""]
    {
        let mut stand = make().stand();
        stand.client_sends(&startup(&[b"user\0ada\0database\0clinic\0", brought, b"\0"].concat()));
        assert_eq!(stand.closed, None, "{}", text(brought));
    }
}
