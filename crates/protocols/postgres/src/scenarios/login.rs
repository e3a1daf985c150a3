//! From the first byte to the first `ReadyForQuery`.

use bytes::Bytes;
use hoop_engine::{CancelKey, CloseReason, Engine as _, Event, Question};
use hoop_model::{Blame, Fault};
use hoop_recording::event::{Form, Said};

use crate::{
    testing::{Make, NOW, Stand, frame, kinds, logged_in, query, startup, startup_as, text},
    wire::{version, write},
};

fn started(make: Make) -> Stand {
    let mut stand = make.stand();
    stand.client_sends(&startup(b"user\0ada\0database\0clinic\0\0"));
    stand
}

#[test]
fn exact_bytes_of_a_trusted_log_in() {
    let mut stand = Make::default().stand();
    stand.client_sends(&write::ssl_request());
    assert_eq!(stand.client, b"N");
    stand.client.clear();
    stand.client_sends(&startup(
        b"user\0mallory\0database\0clinic\0application_name\0psql\0TimeZone\0UTC\0\0",
    ));
    let expected =
        startup(b"user\0app\0database\0clinic\0application_name\0psql (hoop:ada)\0TimeZone\0UTC\0\0");
    assert_eq!(text(&stand.target), text(&expected));
    stand.target_sends(&logged_in());
    let expected = [
        frame(b'R', b"\0\0\0\0"),
        frame(b'S', b"server_version\x0015.4\0"),
        frame(b'K', b"\x00\x01\x02\x03\x04\x05\x06\x07"),
        frame(b'Z', b"I"),
    ];
    assert_eq!(text(&stand.client), text(&expected.concat()));
    let keys = stand.engine.cancel_keys().unwrap();
    assert_eq!(
        keys.client,
        CancelKey { process: 0x0001_0203, secret: Bytes::from_static(b"\x04\x05\x06\x07") }
    );
    assert_eq!(keys.target_request, write::cancel_request(42, b"secr"));
    assert!(
        matches!(&stand.events[0], Event::Opened { facts } if facts.contains(&("user".into(), "app".into())))
    );
    assert!(matches!(&stand.events[1], Event::Request { form: Form::LogIn, text, .. } if text == "clinic"));
    assert!(
        matches!(&stand.events[2], Event::Said { kind: Said::Setting, text } if text == "server_version=15.4")
    );
    assert!(matches!(&stand.events[3], Event::Completed { .. }));
}

#[test]
fn names_that_look_like_options_stay_names() {
    for name in ["a?sslmode=disable", "a/b", "a@b", "a%00", "options=-c role=x", "host=evil user=x"] {
        let mut stand = Make::default().stand();
        stand.client_sends(&startup(
            &[b"user\0", name.as_bytes(), b"\0database\0", name.as_bytes(), b"\0\0"].concat(),
        ));
        let expected =
            [b"user\0app\0database\0", name.as_bytes(), b"\0application_name\0hoop:ada\0\0"].concat();
        assert_eq!(text(&stand.target), text(&startup(&expected)));
    }
}

#[test]
fn a_client_that_begins_with_tls_gets_an_alert_and_the_end() {
    let hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    for first in [1, 5, hello.len()] {
        let mut stand = Make::default().stand();
        stand.client_sends(&hello[..first]);
        stand.client_sends(&hello[first..]);
        assert_eq!(
            stand.client,
            [0x15, 3, 3, 0, 2, 2, 120],
            "a fatal no_application_protocol, and no other byte"
        );
        assert_eq!(stand.fault(), "HOOP-5002");
        assert!(stand.target.is_empty());
    }
    let mut stand = Make::default().stand();
    stand.client_sends(&write::ssl_request());
    stand.client_sends(hello);
    assert_eq!(stand.fault(), "HOOP-5002", "after an 'N' it is no better");
}

#[test]
fn tls_comes_first_and_nothing_before_it() {
    let mut stand = started(Make { tls: true, ..Make::default() });
    assert_eq!(stand.target, &write::ssl_request()[..]);
    stand.target_sends(b"S");
    assert!(stand.start_tls);
    stand.target.clear();
    stand.tls(Vec::new());
    assert!(
        stand.target.starts_with(&startup(b"user\0app\0database\0clinic\0application_name\0hoop:ada\0\0"))
    );
}

#[test]
fn a_target_that_spoils_tls_is_left() {
    let injected = [b"S", &logged_in()[..]].concat();
    let cases: [(&[u8], &str); 6] = [
        (b"N", "HOOP-5005"),
        (&injected, "HOOP-5006"),
        (b"SS", "HOOP-5006"),
        (b"E", "HOOP-5006"),
        (b"R\0\0\0\x08\0\0\0\0", "HOOP-5006"),
        (b"\x16", "HOOP-5006"),
    ];
    for (answer, code) in cases {
        let mut stand = started(Make { tls: true, ..Make::default() });
        let fault = stand.target_sends(answer).unwrap();
        assert_eq!((fault.code.as_str(), stand.fault()), (code, code), "{}", text(answer));
        assert_eq!(stand.target, &write::ssl_request()[..], "nothing else was said to it");
        assert!(!stand.start_tls);
        assert_eq!(stand.client_kinds(), "E");
    }
    let mut stand = started(Make { tls: true, ..Make::default() });
    stand.target_sends(b"S");
    stand.target_sends(&logged_in());
    assert_eq!(stand.fault(), "HOOP-5006", "bytes during the handshake");
}

#[test]
fn passwords_are_not_said_in_the_clear() {
    for (message, tls, code) in [
        (frame(b'R', b"\0\0\0\x03"), false, Some("HOOP-5008")),
        (frame(b'R', b"\0\0\0\x05salt"), false, Some("HOOP-5008")),
        (frame(b'R', b"\0\0\0\x03"), true, None),
        (frame(b'R', b"\0\0\0\x05salt"), true, None),
    ] {
        let mut stand = started(Make { tls, ..Make::default() });
        if tls {
            stand.target_sends(b"S");
            stand.tls(Vec::new());
        }
        stand.target.clear();
        stand.target_sends(&message);
        match code {
            Some(code) => {
                assert_eq!(stand.fault(), code);
                assert!(stand.target.is_empty());
            }
            None => assert_eq!(kinds(&stand.target), "p"),
        }
    }
}

#[test]
fn md5_as_the_server_computes_it() {
    let mut stand = started(Make { md5: true, ..Make::default() });
    stand.target.clear();
    stand.target_sends(&frame(b'R', b"\0\0\0\x05salt"));
    assert!(stand.target.starts_with(b"p\0\0\0\x28md5"), "{}", text(&stand.target));
    stand.target_sends(&logged_in());
    assert_eq!(stand.client_kinds(), "RSKZ");
}

#[test]
fn a_server_must_prove_itself_before_it_lets_us_in() {
    let mut stand = started(Make::default());
    stand.target.clear();
    stand.target_sends(&frame(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0\0"));
    assert!(
        text(&stand.target).contains("SCRAM-SHA-256\\x00\\x00\\x00\\x00 n,,n=,r="),
        "{}",
        text(&stand.target)
    );
    stand.target_sends(&frame(b'R', b"\0\0\0\0"));
    assert_eq!(stand.fault(), "HOOP-5014");
    assert!(!text(&stand.target).contains("secret-canary"));
}

#[test]
fn scram_without_a_certificate_to_bind_to_says_so() {
    for (offer, expected) in [
        (&b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"[..], "SCRAM-SHA-256-PLUS\\x00"),
        (b"SCRAM-SHA-256\0\0", "y,,n=,r="),
    ] {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate =
            rcgen::CertificateParams::new(vec!["db".to_owned()]).unwrap().self_signed(&key).unwrap();
        let mut stand = started(Make { tls: true, ..Make::default() });
        stand.target_sends(b"S");
        stand.tls(certificate.der().to_vec());
        stand.target.clear();
        stand.target_sends(&frame(b'R', &[b"\0\0\0\x0a", offer].concat()));
        assert!(text(&stand.target).contains(expected), "{}", text(&stand.target));
    }
}

#[test]
fn hostile_targets_during_log_in() {
    let ok = frame(b'R', b"\0\0\0\0");
    let settings = frame(b'S', b"a\0b\0").repeat(30_000);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("garbage", b"HTTP/1.1 400\r\n\r\n".to_vec(), "HOOP-5011"),
        ("length lie", b"R\0\0\0\x03".to_vec(), "HOOP-5011"),
        ("negative length", b"R\xff\xff\xff\xff".to_vec(), "HOOP-5011"),
        ("4 GiB message", b"S\x7f\xff\xff\xff".to_vec(), "HOOP-5011"),
        ("short method", frame(b'R', b"\0\0"), "HOOP-5011"),
        ("unknown method", frame(b'R', b"\0\0\0\x63"), "HOOP-5011"),
        ("GSSAPI", frame(b'R', b"\0\0\0\x07"), "HOOP-5008"),
        ("SASL of another kind", frame(b'R', b"\0\0\0\x0aOAUTHBEARER\0\0"), "HOOP-5008"),
        ("SASL without end", frame(b'R', b"\0\0\0\x0aSCRAM-SHA-256\0"), "HOOP-5011"),
        ("final before first", frame(b'R', b"\0\0\0\x0cv=x"), "HOOP-5011"),
        ("ready before ok", frame(b'Z', b"I"), "HOOP-5011"),
        ("row before ok", frame(b'D', b"\0\0"), "HOOP-5011"),
        ("setting before ok", frame(b'S', b"a\0b\0"), "HOOP-5011"),
        ("ok twice", [ok.clone(), ok.clone()].concat(), "HOOP-5011"),
        ("row after ok", [ok.clone(), frame(b'D', b"\0\0")].concat(), "HOOP-5011"),
        ("key too short", [ok.clone(), frame(b'K', b"\0\0\0\x01")].concat(), "HOOP-5011"),
        ("no such status", [ok.clone(), frame(b'Z', b"X")].concat(), "HOOP-5011"),
        ("endless settings", [ok.clone(), settings].concat(), "HOOP-5011"),
        ("endless notices", frame(b'N', &[b'x'; 60_000]).repeat(10), "HOOP-5011"),
        ("wrong password", crate::testing::error("28P01"), "HOOP-5007"),
        ("no such database", [ok, crate::testing::error("3D000")].concat(), "HOOP-5012"),
        ("error without fields", frame(b'E', b"\0"), "HOOP-5007"),
        ("another version", frame(b'v', b"\0\x04\0\0\0\0\0\0"), "HOOP-5011"),
    ];
    for (what, bytes, code) in cases {
        let mut stand = started(Make::default());
        stand.target_sends(&bytes);
        assert_eq!(stand.fault(), code, "{what}");
        assert_eq!(stand.client_kinds(), "E", "{what}");
        assert!(!text(&stand.client).contains("canary"), "{what}");
        assert!(stand.engine.cancel_keys().is_none(), "{what}");
    }
}

#[test]
fn a_target_that_speaks_first_or_leaves() {
    let mut stand = Make::default().stand();
    stand.target_sends(b"x");
    assert_eq!(stand.fault(), "HOOP-5011");
    let mut stand = started(Make::default());
    stand.engine.handle_eof(hoop_engine::Side::Target, NOW);
    stand.drain();
    assert_eq!(stand.fault(), "HOOP-5010");
}

#[test]
fn time_runs_out() {
    for phase in 0..3 {
        let mut stand = Make { tls: phase == 1, ..Make::default() }.stand();
        if phase > 0 {
            stand.client_sends(&startup(b"user\0a\0\0"));
        }
        stand.engine.handle_timeout(NOW.after(std::time::Duration::from_secs(9)));
        stand.drain();
        assert_eq!(stand.closed, None);
        stand.engine.handle_timeout(NOW.after(std::time::Duration::from_secs(10)));
        stand.drain();
        assert_eq!(stand.fault(), "HOOP-5009");
    }
    let mut stand = Make::default().relaying();
    stand.engine.handle_timeout(NOW.after(std::time::Duration::from_secs(3600)));
    stand.drain();
    assert_eq!(stand.closed, None);
}

#[test]
fn policy_is_asked_before_the_target_hears_of_us() {
    let mut stand = Make::default().stand();
    stand.hold = true;
    stand.client_sends(&startup(b"user\0a\0database\0clinic\0\0"));
    assert_eq!(stand.open[0].1, Question::LogIn { database: "clinic".into(), setting: None, risk: None });
    assert!(stand.target.is_empty());
    stand.answer();
    assert!(!stand.target.is_empty());

    let mut stand = Make::default().stand();
    stand.client_sends(&startup(b"user\0a\0database\0forbidden\0\0"));
    assert_eq!(stand.fault(), "HOOP-2005");
    assert!(stand.target.is_empty());
    assert!(text(&stand.client).contains("C42501"));
    assert!(matches!(stand.events.last(), Some(Event::Denied { .. })));
}

#[test]
fn replication_needs_both_permissions() {
    for value in ["true", "on", "database", "1"] {
        let start = startup(&[b"user\0a\0replication\0", value.as_bytes(), b"\0\0"].concat());
        let mut stand = Make::default().stand();
        stand.client_sends(&start);
        assert_eq!(stand.fault(), "HOOP-2005");
        assert!(stand.target.is_empty());
        let mut stand = Make { replication: true, ..Make::default() }.stand();
        stand.client_sends(&start);
        assert!(text(&stand.target).contains("replication"));
    }
    let mut stand = Make::default().stand();
    stand.client_sends(&startup(b"user\0a\0replication\0false\0\0"));
    assert!(!text(&stand.target).contains("replication"));
}

#[test]
fn cancelling_is_a_stream_of_its_own() {
    let mut stand = Make::default().stand();
    stand.client_sends(&write::cancel_request(7, b"abcd"));
    assert_eq!(stand.cancels, [CancelKey { process: 7, secret: Bytes::from_static(b"abcd") }]);
    assert_eq!(stand.closed, Some(CloseReason::CancelSent));
    assert!(matches!(&stand.events[0], Event::Request { form: Form::Cancel, .. }));
    assert!(stand.target.is_empty() && stand.client.is_empty());
    // Whatever follows on the same connection is not heard.
    stand.client_sends(&write::cancel_request(8, b"efgh"));
    assert_eq!(stand.cancels.len(), 1);
}

#[test]
fn version_3_2_and_what_is_not_known() {
    let mut stand = Make::default().stand();
    stand.client_sends(&startup_as(version::V3_2, b"user\0a\0\0"));
    assert!(stand.target.starts_with(b"\0\0\0\x40\0\x03\0\x02") || stand.target[4..8] == *b"\0\x03\0\x02");
    let old_server = [frame(b'v', b"\0\x03\0\0\0\0\0\0"), logged_in()].concat();
    stand.target_sends(&old_server);
    assert_eq!(stand.engine.cancel_keys().unwrap().client.secret.len(), 32);
    assert_eq!(stand.client_kinds(), "RSKZ");

    let mut stand = Make::default().stand();
    stand.client_sends(&startup_as(0x0003_0009, b"user\0a\0_pq_.future\0on\0\0"));
    assert!(!text(&stand.target).contains("future"));
    stand.target_sends(&logged_in());
    assert!(stand.client.starts_with(&frame(b'v', b"\0\x03\0\x02\0\0\0\x01_pq_.future\0")));
}

#[test]
fn requests_sent_ahead_wait_for_the_log_in() {
    let mut stand = Make::default().stand();
    let ahead = query("select 1");
    stand.client_sends(&[startup(b"user\0a\0\0"), ahead[..9].to_vec()].concat());
    let before = stand.target.len();
    stand.client_sends(&ahead[9..11]);
    assert_eq!(stand.target.len(), before);
    stand.target_sends(&logged_in());
    stand.client_sends(&ahead[11..]);
    assert_eq!(stand.target[before..], ahead);
}

#[test]
fn ended_from_outside_before_and_after() {
    let kill = || Fault::new("HOOP-4007", Blame::Policy, "an admin ended this session").with_hint("ask them");
    let mut stand = started(Make::default());
    stand.engine.handle_end(kill(), NOW);
    stand.drain();
    assert!(text(&stand.client).contains("C57P01") && text(&stand.client).contains("HOOP-4007"));
    let mut stand = Make::default().relaying();
    stand.engine.handle_end(kill(), NOW);
    stand.engine.handle_end(kill(), NOW);
    stand.drain();
    assert_eq!(stand.client_kinds(), "E");
    assert!(text(&stand.client).contains("SFATAL") && text(&stand.client).contains("Hask them"));
}
