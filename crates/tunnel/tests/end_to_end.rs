//! Connector, gateway and agent over loopback TCP: what a session goes through, and what it must not go through.
#![expect(
    clippy::as_conversions,
    clippy::cast_possible_truncation,
    clippy::unwrap_used,
    reason = "a test: small numbers, and a failure is a panic"
)]

mod support;

use std::{sync::Arc, time::Duration};

use hoop_model::AgentId;
use hoop_tunnel::{
    core::{
        Limits,
        frame::{Control, Notice},
    },
    inner::{ConnectorTls, PeerIdentity},
    lanes::{self, Way},
    stream::{AttachError, Attached, Dial as _, SessionStreams, Sharing},
    ticket::Ticket,
};
use rustls::{HandshakeKind, pki_types::PrivateKeyDer, sign::CertifiedKey};
use support::{Ca, Session, TestDial, agent, connector, gateway};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio_rustls::TlsConnector;

fn byte(at: usize, seed: usize) -> u8 {
    (((at ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15)) >> 56) as u8
}

fn bytes(count: usize, seed: usize) -> Vec<u8> {
    (0..count).map(|at| byte(at, seed)).collect()
}

async fn echo(mut stream: support::AgentStream) {
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    writer.shutdown().await.unwrap();
}

/// Sends `up` and reads its echo at the same time, to the end of both.
async fn exchange<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(
    stream: &mut S,
    up: &[u8],
) -> Vec<u8> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let mut back = Vec::new();
    let (wrote, read) = tokio::join!(
        async {
            writer.write_all(up).await?;
            writer.shutdown().await
        },
        reader.read_to_end(&mut back)
    );
    wrote.unwrap();
    read.unwrap();
    back
}

#[tokio::test]
async fn an_echo_over_whole_carriers() {
    let (ca, id) = (Ca::new(), AgentId::generate());
    let gateway = gateway(None).await;
    let session = Session::new(&ca, id);
    let mut agent = agent(&ca, id, gateway.address, &session, Limits::default());
    let connector = connector(gateway.address, &session, Limits::default());
    let sent = bytes(5_000_000, 1);
    let (back, ()) =
        tokio::join!(async { exchange(&mut connector.open().await.unwrap(), &sent).await }, async {
            echo(agent.opened.recv().await.unwrap()).await
        },);
    assert!(back == sent);
    assert_eq!(agent.streams.living(), 0);
}

#[tokio::test]
async fn an_echo_while_every_carrier_is_cut_after_some_kilobytes() {
    let (ca, id) = (Ca::new(), AgentId::generate());
    // Some are cut inside the handshake, some in the first frames, most in the data.
    let gateway = gateway(Some(|relay| 500 + (relay as usize * 7919) % 90_000)).await;
    let session = Session::new(&ca, id);
    let limits = Limits { window: 128 * 1024, ..Limits::default() };
    let mut agent = agent(&ca, id, gateway.address, &session, limits);
    let connector = connector(gateway.address, &session, limits);
    let sent = bytes(3_000_000, 2);
    let opening = async {
        loop {
            if let Ok(stream) = connector.open().await {
                return stream;
            }
        }
    };
    let (back, ()) = tokio::join!(async { exchange(&mut opening.await, &sent).await }, async {
        let stream = agent.opened.recv().await.unwrap();
        echo(stream).await;
    },);
    assert!(back == sent, "{} of {}", back.len(), sent.len());
}

/// Whoever comes: an echo each.
async fn echo_all(opened: &mut tokio::sync::mpsc::Receiver<support::AgentStream>, count: usize) {
    let mut echoes = tokio::task::JoinSet::new();
    for _ in 0..count {
        echoes.spawn(echo(opened.recv().await.unwrap()));
    }
    echoes.join_all().await;
}

#[tokio::test]
async fn small_streams_share_a_connection_and_one_that_moves_much_has_its_own() {
    let (ca, id) = (Ca::new(), AgentId::generate());
    let gateway = gateway(None).await;
    let session = Session::new(&ca, id);
    let mut agent = agent(&ca, id, gateway.address, &session, Limits::default());
    let connector = connector(gateway.address, &session, Limits::default());
    let talking = async {
        let mut streams = Vec::new();
        for number in 0..20 {
            let mut stream = connector.open().await.unwrap();
            stream.write_all(&[number; 100]).await.unwrap();
            let mut back = [0; 100];
            stream.read_exact(&mut back).await.unwrap();
            assert_eq!(back, [number; 100]);
            streams.push(stream);
        }
        assert_eq!(gateway.relays(), 2, "the first one's, and that of all others");
        let mut big = connector.open().await.unwrap();
        let sent = bytes(20_000_000, 4);
        assert!(exchange(&mut big, &sent).await == sent);
        assert_eq!(gateway.relays(), 3, "it moved out, once");
        // The others have noticed nothing, and further ones share.
        for (number, stream) in (0_u8..).zip(&mut streams) {
            assert_eq!(exchange(stream, &[number; 3000]).await, [number; 3000]);
        }
        assert_eq!(exchange(&mut connector.open().await.unwrap(), b"hello").await, b"hello");
        assert_eq!(gateway.relays(), 3);
    };
    tokio::join!(talking, echo_all(&mut agent.opened, 22));
    assert_eq!(agent.streams.living(), 0);
}

#[tokio::test]
async fn many_streams_deliver_everything_while_every_connection_is_cut() {
    let (ca, id) = (Ca::new(), AgentId::generate());
    let gateway = gateway(Some(|relay| 500 + (relay as usize * 7919) % 150_000)).await;
    let session = Session::new(&ca, id);
    let limits = Limits { window: 128 * 1024, ..Limits::default() };
    let mut agent = agent(&ca, id, gateway.address, &session, limits);
    let connector = connector(gateway.address, &session, limits);
    let talking = async {
        let mut exchanges = tokio::task::JoinSet::new();
        for number in 0..12 {
            let connector = connector.clone();
            exchanges.spawn(async move {
                let mut stream = loop {
                    if let Ok(stream) = connector.open().await {
                        break stream;
                    }
                };
                // Three of them move much.
                let sent = bytes(if number % 4 == 3 { 2_500_000 } else { 200_000 }, number);
                let back = exchange(&mut stream, &sent).await;
                assert!(back == sent, "{number}: {} of {}", back.len(), sent.len());
            });
        }
        exchanges.join_all().await;
    };
    // A last acknowledgement that was cut off is waited for at the agent, for long: that is not looked at.
    tokio::select! {
        () = talking => {}
        () = async { echo_all(&mut agent.opened, 12).await; std::future::pending().await } => {}
    }
}

/// Gives one end of a pipe for each dial, and the other end to the test.
struct Pipes(tokio::sync::mpsc::Sender<tokio::io::DuplexStream>);

impl hoop_tunnel::stream::Dial for Pipes {
    type Carrier = tokio::io::DuplexStream;

    async fn dial(&self, _: Ticket) -> Result<Self::Carrier, hoop_tunnel::stream::DialFailure> {
        let (near, far) = duplex(64 * 1024);
        self.0.send(far).await.map_err(|_| hoop_tunnel::stream::DialFailure::Transient("away".to_owned()))?;
        Ok(near)
    }
}

#[tokio::test(start_paused = true)]
async fn a_shared_connection_that_is_dead_is_not_used_again() {
    let (dialled, mut dials) = tokio::sync::mpsc::channel(16);
    let session = Session::new(&Ca::new(), AgentId::generate());
    let connector = hoop_tunnel::stream::Connector::new(
        Pipes(dialled),
        hoop_tunnel::ticket::TicketMint::new(session.id, session.secret, 0),
        Limits::default(),
        hoop_tunnel::stream::Backoff::default(),
        Sharing::Most,
    );
    let _first = connector.open().await.unwrap();
    let _alone = dials.recv().await.unwrap();
    let mut stream = connector.open().await.unwrap();
    let dead = dials.recv().await.unwrap();
    let writing = tokio::spawn(async move {
        stream.write_all(b"anybody?").await.unwrap();
        let mut back = [0; 8];
        stream.read_exact(&mut back).await.unwrap();
        back
    });
    // It answers nothing, so the stream asks for another, which is a new one for all.
    let alive = dials.recv().await.unwrap();
    let streams = SessionStreams::new(Limits::default(), 4);
    let Ok(Attached::Shared(alive)) = streams.attach(Way::Alone(alive)).await else { panic!() };
    let Way::Alone(alive) = alive else { panic!() };
    let (mut incoming, pump) = lanes::accept(alive, 4);
    tokio::spawn(pump);
    let lane = incoming.next().await.unwrap();
    let Ok(Attached::New(mut other)) = streams.attach(Way::Lane(lane)).await else { panic!() };
    let mut seen = [0; 8];
    other.read_exact(&mut seen).await.unwrap();
    other.write_all(&seen).await.unwrap();
    let (back, ()) = tokio::join!(writing, async {
        tokio::select! { _ = other.read_u8() => {}, () = tokio::time::sleep(Duration::from_secs(1)) => {} }
    });
    assert_eq!(&back.unwrap(), b"anybody?");
    let _further = connector.open().await.unwrap();
    assert!(dials.try_recv().is_err(), "the new one has room");
    drop(dead);
}

/// As [`Pipes`], but from the third dial on the network is away; says how often it was dialled.
struct Twice(Pipes, Arc<std::sync::atomic::AtomicUsize>);

impl hoop_tunnel::stream::Dial for Twice {
    type Carrier = tokio::io::DuplexStream;

    async fn dial(&self, ticket: Ticket) -> Result<Self::Carrier, hoop_tunnel::stream::DialFailure> {
        match self.1.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
            0 | 1 => self.0.dial(ticket).await,
            _ => Err(hoop_tunnel::stream::DialFailure::Transient("away".to_owned())),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_move_out_stays_and_does_not_dial_all_the_time() {
    let (dialled, mut dials) = tokio::sync::mpsc::channel(16);
    let session = Session::new(&Ca::new(), AgentId::generate());
    let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let connector = hoop_tunnel::stream::Connector::new(
        Twice(Pipes(dialled), Arc::clone(&count)),
        hoop_tunnel::ticket::TicketMint::new(session.id, session.secret, 0),
        Limits::default(),
        hoop_tunnel::stream::Backoff::default(),
        Sharing::Most,
    );
    let _first = connector.open().await.unwrap();
    let mut stream = connector.open().await.unwrap();
    let _alone = dials.recv().await.unwrap();
    let streams = SessionStreams::new(Limits::default(), 4);
    let Ok(Attached::Shared(Way::Alone(shared))) =
        streams.attach(Way::Alone(dials.recv().await.unwrap())).await
    else {
        panic!()
    };
    let (mut incoming, pump) = lanes::accept(shared, 4);
    tokio::spawn(pump);
    tokio::spawn(async move {
        let lane = incoming.next().await.unwrap();
        let Ok(Attached::New(mut stream)) = streams.attach(Way::Lane(lane)).await else { panic!() };
        let mut buffer = vec![0; 65_536];
        while let Ok(count @ 1..) = stream.read(&mut buffer).await {
            stream.write_all(&buffer[..count]).await.unwrap();
        }
    });
    let sent = bytes(65_536, 5);
    let mut move_much = async |times: usize| {
        for _ in 0..times {
            let mut back = vec![0; sent.len()];
            let (mut reader, mut writer) = tokio::io::split(&mut stream);
            let (wrote, read) = tokio::join!(writer.write_all(&sent), reader.read_exact(&mut back));
            wrote.and(read.map(drop)).unwrap();
            assert!(back == sent);
        }
    };
    let dials = || count.load(std::sync::atomic::Ordering::Relaxed);
    move_much(200).await;
    assert_eq!(dials(), 3, "26 MB at once, and one dial in vain");
    tokio::time::sleep(Duration::from_secs(11)).await;
    move_much(200).await;
    assert_eq!(dials(), 4);
}

#[tokio::test]
async fn further_streams_resume_with_their_own_tickets() {
    let (ca, id) = (Ca::new(), AgentId::generate());
    let gateway = gateway(None).await;
    let session = Session::new(&ca, id);
    let mut agent = agent(&ca, id, gateway.address, &session, Limits::default());
    let connector = support::connector_that(Sharing::Never, gateway.address, &session, Limits::default());
    let mut kinds = Vec::new();
    for _ in 0..3 {
        let mut stream = connector.open().await.unwrap();
        let (back, ()) = tokio::join!(exchange(&mut stream, b"hello"), async {
            echo(agent.opened.recv().await.unwrap()).await;
        });
        assert_eq!(back, b"hello");
        let Some(Way::Alone(carrier)) = stream.carrier() else { panic!("shared") };
        kinds.push(carrier.get_ref().1.handshake_kind());
    }
    assert_eq!(
        kinds,
        [Some(HandshakeKind::Full), Some(HandshakeKind::Resumed), Some(HandshakeKind::Resumed)]
    );
}

/// Bytes of all records that go one way at once.
fn flight(from: &mut rustls::Connection, to: &mut rustls::Connection) -> usize {
    let mut bytes = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut bytes).unwrap();
    }
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets().unwrap();
    }
    bytes.len()
}

/// A second stream is open after one way to the agent and back, and stays secret from a computer that factors.
#[test]
fn every_handshake_is_hybrid_and_takes_one_round_trip() {
    let (ca, id) = (Ca::new(), AgentId::generate());
    let session = Session::new(&ca, id);
    let agent = hoop_tunnel::inner::agent_config(ca.roots(), ca.issue(PeerIdentity::Agent(id))).unwrap();
    for kind in [HandshakeKind::Full, HandshakeKind::Resumed] {
        let ticket = Ticket::derive(&session.secret, session.id, 0);
        let name = rustls::pki_types::ServerName::try_from("gateway").unwrap();
        let client = rustls::ClientConnection::new(session.tls.with_ticket(&ticket), name).unwrap();
        let mut client = rustls::Connection::Client(client);
        let mut server =
            rustls::Connection::Server(rustls::ServerConnection::new(Arc::clone(&agent)).unwrap());
        flight(&mut client, &mut server);
        flight(&mut server, &mut client);
        assert!(!client.is_handshaking(), "{kind:?} takes another round trip");
        flight(&mut client, &mut server);
        // The tickets for the next one.
        flight(&mut server, &mut client);
        assert_eq!(client.handshake_kind(), Some(kind));
        let group = client.negotiated_key_exchange_group().unwrap().name();
        assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
    }
}

#[tokio::test]
async fn a_ticket_is_good_for_one_connection() {
    let (ca, id) = (Ca::new(), AgentId::generate());
    let gateway = gateway(None).await;
    let session = Session::new(&ca, id);
    let mut agent = agent(&ca, id, gateway.address, &session, Limits::default());
    let dial = TestDial { gateway: gateway.address, tls: session.tls.clone() };
    let ticket = Ticket::derive(&session.secret, session.id, 0);
    let first = dial.dial(ticket.clone()).await;
    assert!(first.is_ok());
    assert!(dial.dial(ticket).await.is_err());
    assert_eq!(agent.refused.recv().await.unwrap(), "the ticket was used before");
}

#[tokio::test]
async fn another_sessions_certificate_is_refused_by_the_agent() {
    let (ca, id) = (Ca::new(), AgentId::generate());
    let gateway = gateway(None).await;
    let (mine, other) = (Session::new(&ca, id), Session::new(&ca, id));
    let mut agent = agent(&ca, id, gateway.address, &mine, Limits::default());
    // The gateway swapped certificates: `other` dials with a good ticket of `mine`.
    let dial = TestDial { gateway: gateway.address, tls: other.tls };
    let carrier = dial.dial(Ticket::derive(&mine.secret, mine.id, 0)).await;
    let why = agent.refused.recv().await.unwrap();
    assert!(why.contains(&format!("the peer is hoop://session/{}", other.id)), "{why}");
    if let Ok(mut carrier) = carrier {
        assert!(carrier.read_u8().await.is_err()); // TLS 1.3 lets the client finish first
    }
}

#[tokio::test]
async fn an_agents_certificate_is_no_sessions() {
    let (ca, id) = (Ca::new(), AgentId::generate());
    let gateway = gateway(None).await;
    let session = Session::new(&ca, id);
    let mut agent = agent(&ca, id, gateway.address, &session, Limits::default());
    for names in [
        vec![PeerIdentity::Agent(id).to_string()],
        vec![],
        vec![PeerIdentity::Session(session.id).to_string(), PeerIdentity::Agent(id).to_string()],
    ] {
        let tls = ConnectorTls::new(ca.roots(), ca.issue_names(&names, 2100), id).unwrap();
        let ticket = Ticket::derive(&session.secret, session.id, names.len() as u32);
        let _carrier = TestDial { gateway: gateway.address, tls }.dial(ticket).await;
        let why = agent.refused.recv().await.unwrap();
        assert!(why.contains("the peer"), "{why}");
    }
}

/// Shows a certificate, and signs with a key that is not its own.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl rustls::client::ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// THREATS A2: the gateway, or whoever saw a session's certificate, has all but its key.
#[tokio::test]
async fn a_sessions_certificate_without_its_key_is_refused_by_the_agent() {
    let (ca, id) = (Ca::new(), AgentId::generate());
    let gateway = gateway(None).await;
    let session = Session::new(&ca, id);
    let mut agent = agent(&ca, id, gateway.address, &session, Limits::default());
    let ticket = Ticket::derive(&session.secret, session.id, 0);
    let mut stolen = (*session.tls.with_ticket(&ticket)).clone();
    let schemes = [rustls::SignatureScheme::ECDSA_NISTP256_SHA256];
    let real = stolen.client_auth_cert_resolver.resolve(&[], &schemes).unwrap();
    let key = PrivateKeyDer::try_from(rcgen::KeyPair::generate().unwrap().serialize_der()).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    stolen.client_auth_cert_resolver = Arc::new(Shows(Arc::new(CertifiedKey::new(real.cert.clone(), key))));
    let tcp = tokio::net::TcpStream::connect(gateway.address).await.unwrap();
    let shaking = TlsConnector::from(Arc::new(stolen)).connect("localhost".try_into().unwrap(), tcp);
    let carrier = shaking.await;
    let why = agent.refused.recv().await.unwrap();
    assert!(why.contains("handshake failed"), "{why}");
    if let Ok(mut carrier) = carrier {
        assert!(carrier.read_u8().await.is_err()); // TLS 1.3 lets the client finish first
    }
}

#[tokio::test]
async fn another_agent_is_refused_by_the_connector() {
    let (ca, id, wanted) = (Ca::new(), AgentId::generate(), AgentId::generate());
    let gateway = gateway(None).await;
    let session = Session::new(&ca, wanted);
    let _agent = agent(&ca, id, gateway.address, &session, Limits::default());
    let dial = TestDial { gateway: gateway.address, tls: session.tls.clone() };
    let error = dial.dial(Ticket::derive(&session.secret, session.id, 0)).await.unwrap_err();
    assert!(error.to_string().contains("handshake"), "{error}");
}

#[tokio::test]
async fn an_expired_certificate_and_another_ca_are_refused() {
    let (ca, id) = (Ca::new(), AgentId::generate());
    let gateway = gateway(None).await;
    let session = Session::new(&ca, id);
    let mut agent = agent(&ca, id, gateway.address, &session, Limits::default());
    let names = [PeerIdentity::Session(session.id).to_string()];
    for (counter, identity) in
        [ca.issue_names(&names, 2021), Ca::new().issue_names(&names, 2100)].into_iter().enumerate()
    {
        let tls = ConnectorTls::new(ca.roots(), identity, id).unwrap();
        let ticket = Ticket::derive(&session.secret, session.id, counter as u32);
        let _carrier = TestDial { gateway: gateway.address, tls }.dial(ticket).await;
        let why = agent.refused.recv().await.unwrap();
        assert!(why.contains("handshake failed"), "{why}");
    }
}

// --- hostile and broken first frames, over a pipe

#[tokio::test]
async fn hostile_first_frames_open_nothing() {
    for first in [
        &[0u8; 64][..],
        &[5, 0, 0, 1, 0],
        &[1, 0, 0, 25, 9],
        &[1, 0xff, 0xff, 0xff],
        &[1, 0, 0, 3, 1, 0, 0],
        b"GET / HTTP/1.1\r\n\r\n",
        b"",
    ] {
        let streams = SessionStreams::new(Limits::default(), 4);
        let (mut client, server) = duplex(1024);
        client.write_all(first).await.unwrap();
        client.shutdown().await.unwrap();
        assert!(streams.attach(server).await.is_err(), "{first:?}");
        assert_eq!(streams.living(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_carrier_that_says_nothing_is_given_up() {
    let streams = SessionStreams::new(Limits::default(), 4);
    let (_client, server) = duplex(1024);
    assert!(matches!(streams.attach(server).await, Err(AttachError::Timeout)));
}

fn opening(stream: u32, resume: bool) -> Vec<u8> {
    let position = hoop_tunnel::core::frame::Position { window: 65_536, received: 0, consumed: 0 };
    let stream = hoop_model::StreamId(stream);
    let mut frame = Vec::new();
    Control::Opening(hoop_tunnel::core::frame::Opening { stream, resume, position }).encode(&mut frame);
    frame
}

async fn attach(
    streams: &SessionStreams<tokio::io::DuplexStream>,
    first: &[u8],
) -> (Result<Attached<tokio::io::DuplexStream>, AttachError>, tokio::io::DuplexStream) {
    let (mut client, server) = duplex(1024);
    client.write_all(first).await.unwrap();
    (streams.attach(server).await, client)
}

async fn refusal(mut client: tokio::io::DuplexStream) -> u16 {
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    assert_eq!(all[0], 4);
    u16::from_be_bytes([all[4], all[5]])
}

#[tokio::test]
async fn unknown_finished_and_too_many_streams_are_refused_with_their_code() {
    let streams = SessionStreams::new(Limits::default(), 1);
    assert_eq!(refusal(attach(&streams, &opening(0, true)).await.1).await, 1);
    let (first, _client) = attach(&streams, &opening(0, false)).await;
    assert!(matches!(first, Ok(Attached::New(_))));
    assert_eq!(refusal(attach(&streams, &opening(1, false)).await.1).await, 3);
    drop(first);
    assert_eq!(refusal(attach(&streams, &opening(0, false)).await.1).await, 2);
    assert_eq!(refusal(attach(&streams, &opening(0, true)).await.1).await, 2);
    streams.end();
    assert_eq!(refusal(attach(&streams, &opening(2, false)).await.1).await, 5);
}

#[tokio::test(start_paused = true)]
async fn a_detached_stream_waits_then_fails() {
    let streams = SessionStreams::new(Limits::default(), 1);
    let (attached, client) = attach(&streams, &opening(0, false)).await;
    let Ok(Attached::New(mut stream)) = attached else { panic!() };
    drop(client);
    let started = tokio::time::Instant::now();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    assert_eq!(started.elapsed().as_secs(), 300);
}

#[tokio::test(start_paused = true)]
async fn a_half_dead_carrier_is_noticed_and_replaced() {
    let streams = SessionStreams::new(Limits::default(), 1);
    let (attached, mut old) = attach(&streams, &opening(0, false)).await;
    let Ok(Attached::New(mut stream)) = attached else { panic!() };
    let reading = tokio::spawn(async move {
        let mut seen = [0; 3];
        stream.read_exact(&mut seen).await.unwrap();
        seen
    });
    // The old one stays open and silent; it is pinged, then dropped.
    let mut from_old = Vec::new();
    old.read_to_end(&mut from_old).await.unwrap();
    assert!(from_old.ends_with(&[9, 0, 0, 0]));
    let (attached, mut new) = attach(&streams, &opening(0, true)).await;
    assert!(matches!(attached, Ok(Attached::Resumed(_))));
    new.write_all(&[5, 0, 0, 3, b'a', b'b', b'c']).await.unwrap();
    assert_eq!(&reading.await.unwrap(), b"abc");
}

#[tokio::test]
async fn a_new_carrier_takes_over_from_one_that_still_seems_alive() {
    let streams = SessionStreams::new(Limits::default(), 1);
    let (attached, mut old) = attach(&streams, &opening(0, false)).await;
    let Ok(Attached::New(mut stream)) = attached else { panic!() };
    old.write_all(&[5, 0, 0, 3, b'a']).await.unwrap();
    assert_eq!(stream.read_u8().await.unwrap(), b'a');
    let mut resume = Vec::new();
    let position = hoop_tunnel::core::frame::Position { window: 65_536, received: 0, consumed: 0 };
    let stream_id = hoop_model::StreamId(0);
    Control::Opening(hoop_tunnel::core::frame::Opening { stream: stream_id, resume: true, position })
        .encode(&mut resume);
    let (_, mut new) = attach(&streams, &resume).await;
    new.write_all(&[5, 0, 0, 2, b'b', b'c']).await.unwrap();
    old.write_all(b"XX").await.unwrap();
    let mut seen = [0; 2];
    stream.read_exact(&mut seen).await.unwrap();
    assert_eq!(&seen, b"bc");
}

#[tokio::test]
async fn a_reset_tells_why() {
    let streams = SessionStreams::new(Limits::default(), 1);
    let (attached, mut client) = attach(&streams, &opening(0, false)).await;
    let Ok(Attached::New(mut stream)) = attached else { panic!() };
    stream.reset(4010, "killed by an administrator");
    drop(stream);
    let mut all = Vec::new();
    client.read_to_end(&mut all).await.unwrap();
    let mut expected = Vec::new();
    Control::Reset(Notice::new(4010, "killed by an administrator")).encode(&mut expected);
    assert!(all.ends_with(&expected));
}

#[tokio::test(start_paused = true)]
async fn an_inner_handshake_that_stalls_is_given_up() {
    let (ca, id) = (Ca::new(), AgentId::generate());
    let config = hoop_tunnel::inner::agent_config(ca.roots(), ca.issue(PeerIdentity::Agent(id))).unwrap();
    let acceptor = hoop_tunnel::inner::InnerAcceptor::new(config, Duration::from_secs(5));
    let (mut client, server) = duplex(1024);
    client.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let error = acceptor.wait(server).await.unwrap_err();
    assert!(error.to_string().contains("too long"), "{error}");
}

#[tokio::test]
async fn the_same_inner_tls_and_stream_run_in_a_websocket() {
    let (ca, id) = (Ca::new(), AgentId::generate());
    let session = Session::new(&ca, id);
    let config = hoop_tunnel::inner::agent_config(ca.roots(), ca.issue(PeerIdentity::Agent(id))).unwrap();
    let acceptor = hoop_tunnel::inner::InnerAcceptor::new(config, Duration::from_secs(5));
    let (near, far) = duplex(4096);
    let far = tokio_tungstenite::WebSocketStream::from_raw_socket(
        far,
        tokio_tungstenite::tungstenite::protocol::Role::Client,
        None,
    );
    let (near, far) = tokio::join!(hoop_tunnel::websocket::upgraded(near), far);
    let ticket = Ticket::derive(&session.secret, session.id, 0);
    let client = hoop_tunnel::websocket::WebSocketIo::from(far);
    let (client, server) = tokio::join!(session.tls.connect(client, support::HOST, &ticket), async {
        let offer = acceptor.wait(near).await.unwrap();
        assert_eq!(offer.ticket(), &ticket);
        offer.accept().await.unwrap()
    });
    let streams = SessionStreams::new(Limits::default(), 1);
    let connecting = hoop_tunnel::stream::Connector::new(
        Once(std::sync::Mutex::new(Some(client.unwrap()))),
        hoop_tunnel::ticket::TicketMint::new(session.id, session.secret, 1),
        Limits::default(),
        hoop_tunnel::stream::Backoff::default(),
        Sharing::Never,
    );
    let mut stream = connecting.open().await.unwrap();
    let sent = bytes(300_000, 3);
    let (back, ()) = tokio::join!(exchange(&mut stream, &sent), async {
        let Ok(Attached::New(mut stream)) = streams.attach(server).await else { panic!() };
        let (mut reader, mut writer) = tokio::io::split(&mut *stream);
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
        writer.shutdown().await.unwrap();
    });
    assert!(back == sent);
}

/// Gives one carrier that is there already.
struct Once<C>(std::sync::Mutex<Option<C>>);

impl<C: hoop_tunnel::stream::Carrier> hoop_tunnel::stream::Dial for Once<C> {
    type Carrier = C;

    async fn dial(&self, _: Ticket) -> Result<C, hoop_tunnel::stream::DialFailure> {
        let gone = hoop_tunnel::stream::DialFailure::Permanent("gone".to_owned());
        self.0.lock().unwrap().take().ok_or(gone)
    }
}

#[tokio::test]
async fn a_dial_that_cannot_help_ends_the_stream_at_once() {
    let streams = SessionStreams::new(Limits::default(), 1);
    let (near, far) = duplex(1024);
    let session = Session::new(&Ca::new(), AgentId::generate());
    let connecting = hoop_tunnel::stream::Connector::new(
        Once(std::sync::Mutex::new(Some(near))),
        hoop_tunnel::ticket::TicketMint::new(session.id, session.secret, 0),
        Limits::default(),
        hoop_tunnel::stream::Backoff::default(),
        Sharing::Never,
    );
    let mut stream = connecting.open().await.unwrap();
    stream.write_all(b"x").await.unwrap();
    let Ok(Attached::New(mut other)) = streams.attach(far).await else { panic!() };
    assert_eq!(other.read_u8().await.unwrap(), b'x');
    let mut raw = Vec::new();
    drop(other); // a reset
    let error = stream.read_to_end(&mut raw).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);

    // And a carrier that breaks where the next dial says that there will be none.
    let (near, far) = duplex(1024);
    let session = Session::new(&Ca::new(), AgentId::generate());
    let connecting = hoop_tunnel::stream::Connector::new(
        Once(std::sync::Mutex::new(Some(near))),
        hoop_tunnel::ticket::TicketMint::new(session.id, session.secret, 0),
        Limits::default(),
        hoop_tunnel::stream::Backoff::default(),
        Sharing::Never,
    );
    let mut stream = connecting.open().await.unwrap();
    drop(far);
    assert_eq!(stream.read_u8().await.unwrap_err().kind(), std::io::ErrorKind::NotConnected);
}

#[tokio::test]
async fn the_real_dialler_goes_through_the_gateway_and_knows_what_cannot_help() {
    use hoop_tunnel::{
        dial::Reach,
        gateway::{GatewayDial, Transport},
        stream::DialFailure,
    };
    let (ca, id) = (Ca::new(), AgentId::generate());
    let gateway = gateway(None).await;
    let session = Session::new(&ca, id);
    let _agent = agent(&ca, id, gateway.address, &session, Limits::default());
    let to = GatewayDial::new(Reach::direct("127.0.0.1", gateway.address.port()), Transport::Tcp);
    let ticket = |counter| Ticket::derive(&session.secret, session.id, counter);
    let outer = to.connect().await.unwrap();
    assert!(to.shake(outer, &session.tls, &ticket(0)).await.is_ok());
    let stranger = Session::new(&ca, AgentId::generate());
    let outer = to.connect().await.unwrap();
    let failure = to.shake(outer, &stranger.tls, &ticket(1)).await.unwrap_err();
    assert!(matches!(failure, DialFailure::Permanent(_)), "{failure:?}");
    drop(gateway);
}
