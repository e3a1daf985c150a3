//! Forwards, through every pair of transports.

use std::collections::BTreeMap;

use super::*;
use crate::streams::{driver::Side, tunnel::tunnel};

const SPDY: (Over, &str) = (Over::Spdy, "portforward.k8s.io");
const TUNNEL: (Over, &str) = (Over::WebSocket, "SPDY/3.1+portforward.k8s.io");
const PAIRS: (Over, &str) = (Over::WebSocket, "v4.channel.k8s.io");
const PAIRS_IN_BASE64: (Over, &str) = (Over::WebSocket, "v4.base64.channel.k8s.io");

const REFUSED: &str = "connection refused";

/// What a client heard on a port: data, and words about a failure.
type Heard = BTreeMap<u16, (Vec<u8>, String)>;

/// Opens two forwards at once, says something on the first, and ends it.
async fn spdy_client<S: Io>(io: S, input: Vec<u8>) -> Heard {
    let mut peer = Spdy::new(io);
    for (number, kind, port, request) in
        [(1, "error", "80", "0"), (3, "data", "80", "0"), (5, "error", "81", "1"), (7, "data", "81", "1")]
    {
        peer.open(number, &[("streamtype", kind), ("port", port), ("requestid", request)]).await;
        if kind == "error" {
            peer.send(data(number, "", true)).await;
        }
    }
    peer.send(data(3, input, true)).await;
    peer.send(data(7, "", true)).await;
    let (mut heard, mut ended) = (Heard::new(), 0);
    while ended < 4 {
        let Some(Frame::Data { stream, data, fin }) = peer.next().await else { panic!() };
        let (data_of, words) = heard.entry(if stream.number() < 5 { 80 } else { 81 }).or_default();
        if matches!(stream.number(), 3 | 7) {
            data_of.extend_from_slice(&data);
        } else {
            words.push_str(std::str::from_utf8(&data).unwrap());
        }
        ended += usize::from(fin);
    }
    heard
}

/// The same in pairs of channels, which cannot be ended: whoever echoes knows how much comes.
async fn pairs_client(io: DuplexStream, is_base64: bool, input: Vec<u8>) -> Heard {
    let mut peer = Channels::new(io, Role::Client, is_base64).await;
    let length = input.len();
    let mut heads = BTreeMap::new();
    let mut heard = Heard::new();
    for piece in input.chunks(50_000) {
        peer.send(0, piece).await;
    }
    while let Some((channel, bytes)) = peer.next().await {
        let port = if channel < 2 { 80 } else { 81 };
        if heads.len() < 4 && !heads.contains_key(&channel) {
            heads.insert(channel, u16::from_le_bytes(bytes.try_into().unwrap()));
            continue;
        }
        let (data, words) = heard.entry(port).or_default();
        if channel % 2 == 0 {
            data.extend(bytes);
        } else {
            words.push_str(&String::from_utf8(bytes).unwrap());
        }
        if heard.get(&80).is_some_and(|(data, _)| data.len() == length) && heard.contains_key(&81) {
            peer.close().await;
            break;
        }
    }
    assert_eq!(heads.into_iter().collect::<Vec<_>>(), [(0, 80), (1, 80), (2, 81), (3, 81)]);
    heard
}

/// A kubelet: port 80 echoes so much once it has it, any other refuses.
async fn cluster<S: Io>(io: S, length: usize) {
    let mut peer = Spdy::new(io);
    let (mut streams, mut input) = (BTreeMap::new(), Vec::new());
    while let Some(frame) = peer.next().await {
        match frame {
            Frame::SynStream { stream, headers, .. } => {
                peer.send(Frame::SynReply { stream, fin: false, headers: Headers::new() }).await;
                let text = |name| String::from_utf8(headers.value(name).unwrap().to_vec()).unwrap();
                let (kind, port, request) = (text("streamtype"), text("port"), text("requestid"));
                if kind == "data" && port != "80" {
                    let failure = stream.number() - 2;
                    assert_eq!(streams[&failure], ("error".to_owned(), port.clone(), request.clone()));
                    peer.send(data(failure, REFUSED, true)).await;
                    peer.send(data(stream.number(), "", true)).await;
                }
                streams.insert(stream.number(), (kind, port, request));
            }
            Frame::Data { stream, data: bytes, fin } => {
                let (kind, port, _) = &streams[&stream.number()];
                if kind == "data" && port == "80" {
                    input.extend_from_slice(&bytes);
                    if input.len() == length {
                        peer.send(data(stream.number(), std::mem::take(&mut input), false)).await;
                    }
                    if fin {
                        peer.send(data(stream.number() - 2, "", true)).await;
                        peer.send(data(stream.number(), "", true)).await;
                    }
                } else {
                    assert!(bytes.is_empty());
                }
            }
            Frame::Ping(_) | Frame::RstStream { .. } | Frame::GoAway { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn relay(mut near: Forward, mut far: Forward) {
    assert_eq!(near.port, far.port);
    let up = async {
        // A client that goes breaks it off.
        while let Ok(Some(piece)) = near.from.next().await {
            if far.to.send(piece).await.is_err() {
                break;
            }
        }
        let _ = far.to.end().await;
    };
    let down = async {
        while let Some(piece) = far.from.next().await.unwrap() {
            if near.to.send(piece).await.is_err() {
                return;
            }
        }
        let failure = far.from.failure().await.unwrap();
        let _ = near.to.close(failure).await;
    };
    tokio::join!(up, down);
}

#[tokio::test(start_paused = true)]
async fn ports_are_forwarded_through_every_pair_of_transports() {
    for client in [SPDY, TUNNEL, PAIRS, PAIRS_IN_BASE64] {
        for over in [Over::Spdy, Over::WebSocket] {
            run(client, over).await;
        }
    }
}

async fn run(speech: (Over, &'static str), over: Over) {
    let input: Vec<u8> = (0..150_000_u32).map(|number| number.to_le_bytes()[0] ^ 0x5a).collect();
    let ((a, b), (c, d)) = (tokio::io::duplex(3000), tokio::io::duplex(3000));
    let (said, length) = (input.clone(), input.len());
    let client = tokio::spawn(async move {
        match speech {
            SPDY => spdy_client(a, said).await,
            TUNNEL => spdy_client(tunnel(a, Side::Client).await, said).await,
            _ => pairs_client(a, speech == PAIRS_IN_BASE64, said).await,
        }
    });
    let pod = tokio::spawn(async move {
        match over {
            Over::Spdy => cluster(d, length).await,
            Over::WebSocket => cluster(tunnel(d, Side::Server).await, length).await,
        }
    });
    let upgrade = upgrade(speech.0, Wanted::PortForward, speech.1);
    let (mut near, near_driver) = client_forwards(b, &upgrade, &[80, 81]);
    let (mut far, far_driver) = cluster_forwards(c, &agreed(over, Wanted::PortForward));
    let drivers = [drive(near_driver), drive(far_driver)];
    let mut tasks = tokio::task::JoinSet::new();
    while let Some(forward) = near.accept().await.unwrap() {
        let opened = far.open(forward.port).await.unwrap();
        tasks.spawn(relay(forward, opened));
    }
    let heard = client.await.unwrap();
    assert!(heard[&80].0 == input, "{speech:?} {over:?}");
    assert_eq!((heard[&81].0.len(), heard[&81].1.as_str()), (0, REFUSED), "{speech:?} {over:?}");
    assert_eq!(heard[&80].1, "", "{speech:?} {over:?}");
    while let Some(task) = tasks.join_next().await {
        task.unwrap();
    }
    drop((near, far));
    pod.await.unwrap();
    for driver in drivers {
        driver.await.unwrap().unwrap();
    }
}

/// A client's leg over SPDY, and its peer.
fn leg() -> (ClientForwards, Spdy, JoinHandle<Result<(), StreamError>>) {
    let (a, b) = tokio::io::duplex(1 << 20);
    let (leg, driver) = client_forwards(b, &upgrade(SPDY.0, Wanted::PortForward, SPDY.1), &[]);
    (leg, Spdy::new(a), drive(driver))
}

const REFUSES: u32 = 3;

#[tokio::test(start_paused = true)]
async fn streams_that_make_no_forward_are_refused() {
    let cases: [&[(&str, &str)]; 7] = [
        &[("streamtype", "data"), ("port", "0"), ("requestid", "1")],
        &[("streamtype", "data"), ("port", "65536"), ("requestid", "1")],
        &[("streamtype", "data"), ("requestid", "1")],
        &[("streamtype", "stdin"), ("port", "80"), ("requestid", "1")],
        &[("port", "80"), ("requestid", "1")],
        &[("streamtype", "data"), ("port", "80"), ("requestid", "x")],
        &[("streamtype", "data"), ("port", "80")],
    ];
    for headers in cases {
        let (mut leg, mut peer, _driver) = leg();
        let asks = async {
            peer.send(syn(1, headers)).await;
            assert_eq!(
                peer.next().await,
                Some(Frame::RstStream { stream: id(1), status: REFUSES }),
                "{headers:?}"
            );
        };
        tokio::select! {
            forward = leg.accept() => panic!("{forward:?}"),
            () = asks => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_pair_must_fit() {
    let first: &[(&str, &str)] = &[("streamtype", "error"), ("port", "80"), ("requestid", "1")];
    let others: [&[(&str, &str)]; 2] = [
        &[("streamtype", "data"), ("port", "81"), ("requestid", "1")],
        &[("streamtype", "error"), ("port", "80"), ("requestid", "1")],
    ];
    for other in others {
        let (mut leg, mut peer, _driver) = leg();
        let asks = async {
            peer.open(1, first).await;
            peer.send(syn(3, other)).await;
            let mut broken_off =
                [peer.next().await.unwrap(), peer.next().await.unwrap()].map(|frame| match frame {
                    Frame::RstStream { stream, .. } => stream.number(),
                    other => panic!("{other:?}"),
                });
            broken_off.sort_unstable();
            assert_eq!(broken_off, [1, 3]);
        };
        tokio::select! {
            forward = leg.accept() => panic!("{forward:?}"),
            () = asks => {}
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_without_numbers_is_understood() {
    let (mut leg, mut peer, _driver) = leg();
    let asks = async {
        for (number, kind) in [(1, "error"), (3, "data"), (5, "error"), (7, "data")] {
            peer.open(number, &[("streamtype", kind), ("port", "80")]).await;
        }
    };
    let accepts =
        async { [leg.accept().await, leg.accept().await].map(|forward| forward.unwrap().unwrap().request) };
    assert_eq!(tokio::join!(accepts, asks).0, [1, 5]);
}

#[tokio::test(start_paused = true)]
async fn half_a_forward_is_waited_for_a_while_and_then_broken_off() {
    let (mut leg, mut peer, _driver) = leg();
    let begun = tokio::time::Instant::now();
    let asks = async {
        peer.open(1, &[("streamtype", "error"), ("port", "80"), ("requestid", "1")]).await;
        assert!(matches!(peer.next().await, Some(Frame::RstStream { stream, .. }) if stream == id(1)));
    };
    tokio::select! {
        forward = leg.accept() => panic!("{forward:?}"),
        () = asks => {}
    }
    assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_forward_that_is_dropped_is_broken_off_and_the_others_go_on() {
    let (mut leg, mut peer, _driver) = leg();
    let asks = async {
        for (number, kind, request) in
            [(1, "error", "1"), (3, "data", "1"), (5, "error", "2"), (7, "data", "2")]
        {
            peer.open(number, &[("streamtype", kind), ("port", "80"), ("requestid", request)]).await;
        }
    };
    let accepts = async { [leg.accept().await, leg.accept().await].map(|forward| forward.unwrap().unwrap()) };
    let ([first, mut second], ()) = tokio::join!(accepts, asks);
    drop(first);
    let mut told = Vec::new();
    while told.len() < 3 {
        told.push(peer.next().await.unwrap());
    }
    assert!(
        told.iter().any(|frame| matches!(frame, Frame::RstStream { stream, .. } if *stream == id(3))),
        "{told:?}"
    );
    assert!(told.contains(&data(1, "the forward was broken off", false)), "{told:?}");
    peer.send(data(7, "x", false)).await;
    assert_eq!(second.from.next().await, Ok(Some(Bytes::from_static(b"x"))));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_when_nobody_waits_for_it_any_more() {
    use futures::FutureExt as _;
    // No reply is read at first, so that each has to wait.
    let (a, b) = tokio::io::duplex(64);
    let (mut leg, driver) = client_forwards(b, &upgrade(SPDY.0, Wanted::PortForward, SPDY.1), &[]);
    let _driver = drive(driver);
    let (mut read, write) = tokio::io::split(a);
    let mut peer = Spdy::new(tokio::io::join(tokio::io::empty(), write));
    let asks = tokio::spawn(async move {
        for number in 0..20_u32 {
            let request = number.to_string();
            for (kind, stream) in [("error", number * 4 + 1), ("data", number * 4 + 3)] {
                peer.send(syn(stream, &[("streamtype", kind), ("port", "80"), ("requestid", &request)]))
                    .await;
            }
        }
        peer
    });
    let (mut requests, mut given_up) = (Vec::new(), 0);
    while requests.len() < 20 {
        // Each is given up at the first thing that it would wait for.
        match leg.accept().now_or_never() {
            Some(forward) => requests.push(forward.unwrap().unwrap()),
            None => {
                given_up += 1;
                tokio::task::yield_now().await;
            }
        }
        if given_up > 500 {
            let _ = read.read(&mut [0; 64]).now_or_never();
        }
    }
    assert_eq!(
        requests.iter().map(|forward| forward.request).collect::<Vec<_>>(),
        (0..20).collect::<Vec<_>>()
    );
    drop(asks.await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn pairs_have_as_many_ports_as_fit() {
    let most = u16::try_from(MOST_FORWARDS).unwrap();
    for (speech, count, is_fit) in [
        (PAIRS, 0, false),
        (PAIRS, most, true),
        (PAIRS, most + 1, false),
        (PAIRS_IN_BASE64, 32, true),
        (PAIRS_IN_BASE64, 33, false),
    ] {
        let (_a, b) = tokio::io::duplex(1 << 16);
        let ports: Vec<u16> = (1..=count).collect();
        let upgrade = upgrade(speech.0, Wanted::PortForward, speech.1);
        let (mut leg, driver) = client_forwards(b, &upgrade, &ports);
        let _driver = drive(driver);
        let accepted = leg.accept().await;
        if is_fit {
            assert_eq!(accepted.unwrap().unwrap().port, 1);
        } else {
            assert_eq!(accepted.err(), Some(StreamError::Forwards(usize::from(count))));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_refuses_or_goes_is_told_apart() {
    let (a, b) = tokio::io::duplex(1 << 16);
    let (mut leg, driver) = cluster_forwards(a, &agreed(Over::Spdy, Wanted::PortForward));
    let driver = drive(driver);
    let mut peer = Spdy::new(b);
    let refuses = async {
        for number in [1, 3] {
            peer.next().await;
            peer.send(Frame::RstStream { stream: id(number), status: REFUSES }).await;
        }
    };
    assert_eq!(tokio::join!(leg.open(80), refuses).0.err(), Some(StreamError::Reset));
    // Nobody answers.
    assert_eq!(leg.open(80).await.err(), Some(StreamError::Late));
    drop(peer);
    assert_eq!(driver.await.unwrap(), Ok(()));
    assert_eq!(leg.open(80).await.err(), Some(StreamError::Closed));
}
