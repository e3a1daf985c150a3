//! A terminal in the browser, by the WebSocket that the console opens; and who must not get one.

use std::time::{Duration, Instant};

use futures::StreamExt as _;
use hoop_testkit::{SOON, run};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use super::{
    exec, hospital,
    page::{Asking, Page, live, nothing_is_left},
    said,
};

#[test]
fn a_shell_in_the_browser_is_a_session_as_any_other() {
    let (world, _sshd) = hospital();
    let browser = world.signed_in_browser(&world.engineer);
    let mut page = Page::open(&world, &browser, "web");
    let session = page.told("opened")["session"].as_str().unwrap().to_owned();
    page.press("PS1=; stty -echo; echo re''ady; stty size; echo $TERM\r");
    page.expect("25 90");
    page.expect("xterm-256color");
    page.say(&json!({"kind": "resize", "columns": 100, "rows": 30}));
    page.press("while [ \"$(stty size)\" != '30 100' ]; do :; done; echo re''sized\r");
    page.expect("resized");
    page.press("exit 7\r");
    assert_eq!(page.told("ended")["exit"], 7);

    let ended = world.ended_session();
    assert_eq!((ended["id"].as_str(), ended["user"].as_str()), (Some(session.as_str()), Some("ada")));
    let shown = said(&super::events(&world), "out");
    assert!(shown.contains("ready") && shown.contains("resized"), "{shown}");
    let asked = world.json(&world.admin, &["audit", "ls", "--code", "session.requested"]);
    assert_eq!(
        asked[0]["event"]["facts"]["end_to_end"], false,
        "the ledger says who could read along: {asked}"
    );
    run(world.hoop(&world.admin).args(["sessions", "verify", &session]));
}

#[test]
fn the_agents_own_machine_has_a_shell_in_the_browser_too() {
    let world = exec::machine();
    let browser = world.signed_in_browser(&world.engineer);
    let mut page = Page::open(&world, &browser, "box");
    page.told("opened");
    page.press("PS1=; stty -echo; echo re''ady; stty size\r");
    page.expect("25 90");
    page.press("exit 7\r");
    assert_eq!(page.told("ended")["exit"], 7);
    let shown = said(&super::events(&world), "out");
    assert!(shown.contains("ready"), "{shown}");
}

#[test]
fn a_page_that_does_not_draw_stops_the_shell_and_memory_stays() {
    let (world, _sshd) = hospital();
    let browser = world.signed_in_browser(&world.engineer);
    let mut page = Page::open(&world, &browser, "web");
    page.told("opened");
    page.press("PS1=; stty -echo; seq 1 400000; echo wh''ole\r");
    page.expect("\n1000\r");
    // It reads, and says nothing of having drawn: the gateway sends no more than it may.
    let stalled = |page: &mut Page| {
        let next = page.runtime.block_on(async { timeout(Duration::from_secs(2), page.socket.next()).await });
        match next {
            Ok(Some(Ok(Message::Binary(data)))) => {
                page.shown.push_str(&String::from_utf8_lossy(&data));
                page.drawn += data.len() as u64;
                None
            }
            Ok(_) => None,
            Err(_) => Some(()),
        }
    };
    // However slowly it comes, so much does; and after it not for ever.
    while page.drawn < 1 << 20 {
        page.next().unwrap();
    }
    while stalled(&mut page).is_none() {}
    assert!(page.drawn < 2 << 20, "{} bytes ahead", page.drawn);
    while !page.shown.trim_end().ends_with("whole") {
        page.say(&json!({"kind": "drawn", "bytes": page.drawn}));
        page.next().unwrap();
    }
    assert!(page.shown.ends_with("\n400000\r\nwhole\r\n"), "nothing was lost");
}

#[test]
fn only_the_consoles_own_page_gets_one() {
    let (world, _sshd) = hospital();
    let browser = world.signed_in_browser(&world.engineer);
    let (cookie, own) = (browser.cookie(), browser.origin());
    for (cookie, origin, status, code) in [
        ("", Some(own), 401, "HOOP-3002"),
        ("__Host-hoop=hoop-cookie-v1.nonsense", Some(own), 401, "HOOP-3002"),
        (cookie.as_str(), Some("https://evil.example"), 403, "HOOP-3031"),
        (cookie.as_str(), Some("null"), 403, "HOOP-3031"),
        (cookie.as_str(), None, 403, "HOOP-3031"),
    ] {
        let refused = Page::connect(&world, &browser, &Asking { cookie, origin }).err().flatten().unwrap();
        let body = refused.body().clone().unwrap_or_default();
        let said: Value = serde_json::from_slice(&body).unwrap_or_default();
        assert_eq!((refused.status().as_u16(), said["code"].as_str()), (status, Some(code)), "{origin:?}");
    }
    // A page that knows no CSRF token is another's, whatever it says of its origin.
    for csrf in ["", "wrong"] {
        let mut page =
            Page::connect(&world, &browser, &Asking { cookie: &cookie, origin: Some(own) }).unwrap();
        page.say(&json!({"connection": "web", "csrf": csrf, "columns": 80, "rows": 24}));
        assert_eq!(page.failed(), "HOOP-3030");
    }
    assert!(world.sessions().is_empty(), "no session was made");
}

#[test]
fn what_no_page_sends_ends_it_and_leaves_nothing() {
    let (world, _sshd) = hospital();
    let browser = world.signed_in_browser(&world.engineer);
    let asking = Asking { cookie: &browser.cookie(), origin: Some(browser.origin()) };
    for first in [
        Message::text("{}"),
        Message::text("nonsense"),
        Message::binary(vec![0; 9]),
        Message::text("x".repeat(100_000)),
    ] {
        let mut page = Page::connect(&world, &browser, &asking).unwrap();
        page.send(first);
        assert_eq!(page.failed(), "HOOP-4242");
    }
    let huge = [
        Message::binary(vec![b'x'; 1 << 20]),
        Message::text("[]"),
        Message::text("{\"kind\":\"resize\",\"columns\":-1}"),
    ];
    for hostile in huge {
        let mut page = Page::open(&world, &browser, "web");
        page.told("opened");
        page.send(hostile);
        assert_eq!(page.failed(), "HOOP-4242");
        nothing_is_left(&world);
    }
    let mut page = Page::open(&world, &browser, "web");
    page.told("opened");
    page.say(&json!({"kind": "resize", "columns": u32::MAX, "rows": 0}));
    page.press("PS1=; stty -echo; stty size; echo do''ne\r");
    page.expect("done");
    assert!(page.shown.contains("1 500"), "sizes are bounded: {}", page.shown);
    drop(page);
    nothing_is_left(&world);
}

#[test]
fn who_may_not_open_it_gets_no_terminal() {
    let (world, _sshd) = hospital();
    let browser = world.signed_in_browser(&world.engineer);
    let outcome = |connection: &str| Page::open(&world, &browser, connection).failed();
    assert_eq!(outcome("pg"), "HOOP-4241", "a database has none");
    let nowhere = outcome("nowhere");
    world.rule(json!({"connections": {"labels": {"app": ["another"]}}}));
    assert_eq!(outcome("web"), nowhere, "what one may not open is as if it were not there");
    world.rule(json!({"conditions": {"end_to_end_only": true}}));
    assert_eq!(outcome("web"), "HOOP-2011", "the gateway would read along");
    world.rule(json!({"conditions": {"reason": true}}));
    assert_eq!(outcome("web"), "HOOP-2006", "no reason was given");
    assert!(live(&world).is_empty());
    let denied = world.json(&world.admin, &["audit", "ls", "--code", "session.denied"]);
    assert!(denied.as_array().unwrap().len() >= 4, "each is in the ledger: {denied}");
}

#[test]
fn whoever_ends_it_it_is_over_in_two_seconds() {
    let (world, _sshd) = hospital();
    let browser = world.signed_in_browser(&world.engineer);
    let ended = |how: &dyn Fn(&str), code: &str| {
        let mut page = Page::open(&world, &browser, "web");
        let session = page.told("opened")["session"].as_str().unwrap().to_owned();
        page.press("PS1=; echo re''ady\r");
        page.expect("ready");
        how(&session);
        let began = Instant::now();
        assert_eq!(page.failed(), code, "{}", page.shown);
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        nothing_is_left(&world);
    };
    let kill = |session: &str| {
        run(world.hoop(&world.admin).args(["sessions", "kill", session, "--reason", "enough"]));
    };
    ended(&kill, "HOOP-4245");
    // The agent ends what is idle, and says so.
    world.rule(json!({"limits": {"idle": "4s"}}));
    let mut page = Page::open(&world, &browser, "web");
    page.told("opened");
    page.expect("automatic logoff");
    assert_eq!(page.failed(), "HOOP-4245", "{}", page.shown);
    world.rule(json!({}));
    // What it rests on is forbidden while it runs.
    let forbid = |_: &str| {
        world.rule(json!({"conditions": {"end_to_end_only": true}}));
    };
    ended(&forbid, "HOOP-4245");
    world.rule(json!({}));
    ended(&|_| assert_eq!(browser.post("/api/v1/logout", &json!({})).status, 204), "HOOP-4243");
}
