//! Headers.

use super::*;

const SPDY: Lines<'_> = &[("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];
const SOCKET: Lines<'_> = &[
    ("connection", "keep-alive, Upgrade"),
    ("upgrade", "WebSocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", KEY),
];

type Lines<'a> = &'a [(&'static str, &'a str)];

/// What is wanted over what, the header with the offer, the offers, and the choice.
type Case<'a> = (Wanted, Lines<'a>, &'static str, &'a [&'a str], Option<&'a str>);

fn of(all: &[Lines<'_>], wanted: Wanted) -> Result<Option<HeaderMap>, BadUpgrade> {
    Ok(Upgrade::of(&headers(&all.concat()), wanted)?.map(|upgrade| upgrade.answer()))
}

#[test]
fn what_is_offered_first_and_known_is_chosen() {
    use Wanted::{Exec, PortForward};
    let spdy = "x-stream-protocol-version";
    let socket = "sec-websocket-protocol";
    let cases: [Case<'_>; 10] = [
        (Exec, SPDY, spdy, &["v4.channel.k8s.io", "v3.channel.k8s.io"], Some("v4.channel.k8s.io")),
        (
            Exec,
            SPDY,
            spdy,
            &["v5.channel.k8s.io, v4.channel.k8s.io", "channel.k8s.io"],
            Some("v4.channel.k8s.io"),
        ),
        (Exec, SPDY, spdy, &[], None),
        (PortForward, SPDY, spdy, &["portforward.k8s.io"], Some("portforward.k8s.io")),
        (Exec, SOCKET, socket, &["v5.channel.k8s.io"], Some("v5.channel.k8s.io")),
        (Exec, SOCKET, socket, &["v4.channel.k8s.io,v5.channel.k8s.io"], Some("v4.channel.k8s.io")),
        (
            Exec,
            SOCKET,
            socket,
            &["base64url.bearer.authorization.k8s.io.c2VjcmV0", "base64.channel.k8s.io"],
            Some("base64.channel.k8s.io"),
        ),
        (Exec, SOCKET, socket, &[], None),
        (PortForward, SOCKET, socket, &["SPDY/3.1+portforward.k8s.io"], Some("SPDY/3.1+portforward.k8s.io")),
        (PortForward, SOCKET, socket, &["v4.channel.k8s.io"], Some("v4.channel.k8s.io")),
    ];
    for (wanted, kind, name, offered, chosen) in cases {
        let offered: Vec<_> = offered.iter().map(|value| (name, *value)).collect();
        let answer = of(&[kind, &offered], wanted).unwrap().unwrap();
        let said = answer.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(said, chosen, "{offered:?}");
        assert_eq!(answer.get("sec-websocket-accept").is_some(), name == socket);
        assert_eq!(answer["connection"], "Upgrade");
    }
}

#[test]
fn the_accept_header_is_that_of_the_rfc() {
    let answer = of(&[SOCKET], Wanted::Exec).unwrap().unwrap();
    assert_eq!(answer["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(answer["upgrade"], "websocket");
}

#[test]
fn what_cannot_be_had_is_refused() {
    use Wanted::{Exec, PortForward};
    let connection = ("connection", "upgrade");
    let cases: [(Wanted, Lines<'_>, BadUpgrade); 9] = [
        (Exec, &[connection, ("upgrade", "h2c")], BadUpgrade::Unknown),
        (Exec, &[connection, ("upgrade", "SPDY/3")], BadUpgrade::Unknown),
        (Exec, &[("connection", "close"), ("upgrade", "SPDY/3.1")], BadUpgrade::NotOfConnection),
        (Exec, &[("upgrade", "websocket")], BadUpgrade::NotOfConnection),
        (Exec, &[connection, ("upgrade", "websocket"), ("sec-websocket-key", KEY)], BadUpgrade::Version),
        (Exec, &[connection, ("upgrade", "websocket"), ("sec-websocket-version", "13")], BadUpgrade::Key),
        (
            Exec,
            &[
                connection,
                ("upgrade", "websocket"),
                ("sec-websocket-version", "13"),
                ("sec-websocket-key", "c2hvcnQ="),
            ],
            BadUpgrade::Key,
        ),
        (
            PortForward,
            &[connection, ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "v4.channel.k8s.io")],
            BadUpgrade::Protocol,
        ),
        (
            Exec,
            &[connection, ("upgrade", "SPDY/3.1"), ("x-stream-protocol-version", "v9.channel.k8s.io")],
            BadUpgrade::Protocol,
        ),
    ];
    for (wanted, all, error) in cases {
        assert_eq!(of(&[all], wanted).err(), Some(error), "{all:?}");
    }
    assert_eq!(of(&[&[connection]], Exec), Ok(None));
}

#[test]
fn a_cluster_must_agree_to_what_was_offered() {
    let switching = StatusCode::SWITCHING_PROTOCOLS;
    for over in [Over::Spdy, Over::WebSocket] {
        for wanted in [Wanted::Exec, Wanted::PortForward] {
            let offer = Offer::new(over, wanted);
            let answer = answer_to(&offer);
            assert!(offer.check(switching, &answer).is_ok());
            let refused = offer.check(StatusCode::FORBIDDEN, &answer).err();
            assert_eq!(refused, Some(BadAnswer::Status(StatusCode::FORBIDDEN)));
            let without = |name: &str| {
                let mut answer = answer.clone();
                answer.remove(name);
                offer.check(switching, &answer).err()
            };
            assert_eq!(without("upgrade"), Some(BadAnswer::Upgrade));
            assert_eq!(without("connection"), Some(BadAnswer::Upgrade));
            let (name, other) = match over {
                Over::Spdy => ("x-stream-protocol-version", "v3.channel.k8s.io"),
                Over::WebSocket => ("sec-websocket-protocol", "v4.channel.k8s.io"),
            };
            assert_eq!(without(name), Some(BadAnswer::Protocol));
            let mut changed = answer.clone();
            changed.insert(name, HeaderValue::from_static(other));
            assert_eq!(offer.check(switching, &changed).err(), Some(BadAnswer::Protocol));
            if over == Over::WebSocket {
                assert_eq!(without("sec-websocket-accept"), Some(BadAnswer::Accept));
                let another = answer_to(&Offer::new(over, wanted));
                assert_eq!(offer.check(switching, &another).err(), Some(BadAnswer::Accept));
            }
        }
    }
}

#[test]
fn what_is_offered_is_not_the_same_twice() {
    let key = || Offer::new(Over::WebSocket, Wanted::Exec).headers()["sec-websocket-key"].clone();
    assert_ne!(key(), key());
}
