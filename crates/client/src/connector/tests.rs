//! The connector against an agent of its own making: real loopback TCP, real inner TLS, and a path that is cut.

use std::{net::SocketAddr, sync::Mutex, time::Duration};

use hoop_api::sessions::SessionOpened;
use hoop_model::{AgentId, ConnectionName, ProtocolId, SessionId};
use hoop_tunnel::{
    inner::{InnerAcceptor, InnerIdentity, PeerIdentity, agent_config, roots_from_pem},
    lanes::{self, Way},
    stream::{Attached, SessionStreams},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, CertifiedIssuer, IsCa, KeyPair,
    SanType,
};
use rustls::pki_types::PrivateKeyDer;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::broadcast,
};

use super::*;
use crate::{
    GatewayUrl,
    local::{LocalListener, OtherUsers},
};

struct Ca(CertifiedIssuer<'static, KeyPair>);

impl Ca {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn dress(params: &mut CertificateParams, identity: &PeerIdentity) {
        params.subject_alt_names = vec![SanType::URI(identity.to_string().as_str().try_into().unwrap())];
        params.extended_key_usages =
            vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    }

    fn agent(&self, id: AgentId) -> InnerIdentity {
        let mut params = CertificateParams::default();
        Self::dress(&mut params, &PeerIdentity::Agent(id));
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().der().clone();
        InnerIdentity::new(vec![certificate], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }

    fn session(&self, request_pem: &str, id: SessionId) -> String {
        let mut request = CertificateSigningRequestParams::from_pem(request_pem).unwrap();
        Self::dress(&mut request.params, &PeerIdentity::Session(id));
        request.signed_by(&self.0).unwrap().pem()
    }
}

/// An agent that sends back what it gets, stream by stream.
async fn echoing_agent(ca: &Ca, id: AgentId) -> SocketAddr {
    let config = agent_config(roots_from_pem(&ca.0.pem()).unwrap(), ca.agent(id)).unwrap();
    let acceptor = InnerAcceptor::new(config, Duration::from_secs(5));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let streams = SessionStreams::new(Limits::default(), 100);
    tokio::spawn(async move {
        while let Ok((io, _)) = listener.accept().await {
            let (acceptor, streams) = (acceptor.clone(), streams.clone());
            tokio::spawn(async move {
                let carrier = acceptor.wait(io).await.ok()?.accept().await.ok()?;
                match streams.attach(Way::Alone(carrier)).await.ok()? {
                    Attached::New(stream) => echo(stream).await,
                    Attached::Shared(Way::Alone(carrier)) => {
                        let (mut incoming, pump) = lanes::accept(carrier, 100);
                        tokio::spawn(pump);
                        while let Some(lane) = incoming.next().await {
                            if let Attached::New(stream) = streams.attach(Way::Lane(lane)).await.ok()? {
                                tokio::spawn(echo(stream));
                            }
                        }
                        Some(())
                    }
                    _ => None,
                }
            });
        }
    });
    address
}

async fn echo<C: Carrier>(mut stream: Box<ResumableStream<C>>) -> Option<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = stream.read(&mut buffer).await.ok()?;
        if count == 0 {
            return stream.shutdown().await.ok();
        }
        stream.write_all(buffer.get(..count)?).await.ok()?;
    }
}

/// A path to `target` that is cut at every word of the sender, for all that use it.
async fn cuttable(target: SocketAddr) -> (SocketAddr, broadcast::Sender<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (cut, _) = broadcast::channel(16);
    let cuts = cut.clone();
    tokio::spawn(async move {
        while let Ok((mut io, _)) = listener.accept().await {
            let mut cut = cuts.subscribe();
            tokio::spawn(async move {
                let mut onward = TcpStream::connect(target).await.ok()?;
                tokio::select! {
                    copied = copy_bidirectional(&mut io, &mut onward) => copied.ok().map(drop),
                    _ = cut.recv() => None,
                }
            });
        }
    });
    (address, cut)
}

fn session(ca: &Ca, agent: AgentId, gateway: SocketAddr) -> SessionConnector {
    let key = identity::SessionKey::generate().unwrap();
    let id = SessionId::generate();
    let opened: SessionOpened = serde_json::from_value(serde_json::json!({
        "id": id, "protocol": ProtocolId::new("postgres").unwrap(), "agent": agent,
        "certificate_pem": ca.session(&key.request().unwrap(), id), "ca_pem": ca.0.pem(),
        "secret": "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc", "first_ticket": 0,
        "host": gateway.ip().to_string(), "port": gateway.port(), "ends_at": "2999-01-01T00:00:00Z",
        "certificate_expires_at": "2999-01-01T00:00:00Z", "idle_timeout_seconds": 60,
    }))
    .unwrap();
    let api = Api::anonymous(GatewayUrl::parse("https://127.0.0.1:1").unwrap(), Some(&ca.0.pem())).unwrap();
    SessionConnector::assemble(&api, ConnectionName::new("pg").unwrap(), Carriage::Tcp, key, &opened).unwrap()
}

async fn port() -> (Locals, u16) {
    let listener = LocalListener::on(0, OtherUsers::Refuse).await.unwrap();
    let port = listener.port();
    (Locals { port: Some(listener), socket: None, tls: None }, port)
}

fn bytes(length: usize) -> Vec<u8> {
    (0..=250_u8).cycle().take(length).collect()
}

/// Sends and reads back at once, then closes its half.
async fn round_trip(port: u16, sent: &[u8]) -> Vec<u8> {
    let (mut read, mut write) = TcpStream::connect(("127.0.0.1", port)).await.unwrap().into_split();
    let mut seen = Vec::new();
    let writing = async {
        let _ = write.write_all(sent).await;
        let _ = write.shutdown().await;
    };
    tokio::join!(writing, async { read.read_to_end(&mut seen).await.unwrap_or_default() });
    seen
}

fn quiet(happening: Happening) {
    panic!("{happening:?}");
}

#[tokio::test]
async fn several_clients_get_their_own_bytes_back_and_their_end() {
    let (ca, agent) = (Ca::new(), AgentId::generate());
    let connector = session(&ca, agent, echoing_agent(&ca, agent).await);
    let (locals, port) = port().await;
    let (small, large, other) = (b"select 1".to_vec(), bytes(3_000_000), bytes(100_001));
    tokio::select! {
        over = connector.serve(&locals, &quiet) => panic!("{over:?}"),
        (a, b, c, d) = async { tokio::join!(
            round_trip(port, &small), round_trip(port, &large), round_trip(port, &other), round_trip(port, b""),
        ) } => {
            assert!(a == small && b == large && c == other && d.is_empty());
        }
    }
}

#[tokio::test]
async fn cut_connections_lose_and_double_nothing() {
    let (ca, agent) = (Ca::new(), AgentId::generate());
    let (gateway, cut) = cuttable(echoing_agent(&ca, agent).await).await;
    let connector = session(&ca, agent, gateway);
    let (locals, port) = port().await;
    let sent = bytes(4_000_000);
    // A stream that is not open yet is given up, and its client told so: cut is what has begun to answer.
    let answers = tokio::sync::Notify::new();
    let client = async {
        let (mut read, mut write) = TcpStream::connect(("127.0.0.1", port)).await.unwrap().into_split();
        let mut seen = vec![0];
        let writing = async {
            write.write_all(&sent).await.unwrap();
            write.shutdown().await.unwrap();
        };
        let reading = async {
            read.read_exact(&mut seen).await.unwrap();
            answers.notify_one();
            read.read_to_end(&mut seen).await.unwrap();
        };
        tokio::join!(writing, reading);
        seen
    };
    let cutting = async {
        answers.notified().await;
        let mut every = tokio::time::interval(Duration::from_millis(30));
        for _ in 0..8 {
            every.tick().await;
            let _ = cut.send(());
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        over = connector.serve(&locals, &quiet) => panic!("{over:?}"),
        () = cutting => {}
        seen = client => assert!(seen == sent, "{} of {} bytes", seen.len(), sent.len()),
    }
}

#[tokio::test]
async fn an_idle_client_survives_a_cut() {
    let (ca, agent) = (Ca::new(), AgentId::generate());
    let (gateway, cut) = cuttable(echoing_agent(&ca, agent).await).await;
    let connector = session(&ca, agent, gateway);
    let (locals, port) = port().await;
    let working = async {
        let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let mut answer = [0; 5];
        for word in [b"begin", b"query", b"commi"] {
            client.write_all(word).await.unwrap();
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, word);
            let _ = cut.send(());
        }
    };
    tokio::select! {
        over = connector.serve(&locals, &quiet) => panic!("{over:?}"),
        () = working => {}
    }
}

#[tokio::test]
async fn who_began_with_tls_and_was_refused_is_told_so_in_words() {
    let (ca, agent) = (Ca::new(), AgentId::generate());
    let connector = session(&ca, agent, echoing_agent(&ca, agent).await);
    // The agent echoes: what the client says first is what it is told first.
    for (said, refused) in [
        (&[0x15, 3, 3, 0, 2, 2, 120][..], true),
        (&[0x15, 3, 3, 0, 2, 1, 0], false),
        (&[0x15, 3, 3, 0, 2, 2, 120, 0], false),
        (b"S", false),
    ] {
        let (mut client, local) = tokio::io::duplex(100);
        let talking = async move {
            client.write_all(said).await.unwrap();
            client.shutdown().await.unwrap();
            let mut seen = Vec::new();
            client.read_to_end(&mut seen).await.unwrap();
            seen
        };
        let (carried, seen) = tokio::join!(connector.carry(local), talking);
        assert_eq!(seen, said);
        assert_eq!(carried.is_err_and(|error| error.is("HOOP-5002")), refused, "{said:?}");
    }
}

#[tokio::test]
async fn another_agent_is_not_talked_to() {
    let ca = Ca::new();
    let impostor = echoing_agent(&ca, AgentId::generate()).await;
    let connector = session(&ca, AgentId::generate(), impostor);
    let (locals, port) = port().await;
    let failures = Mutex::new(Vec::new());
    let note = |happening| failures.lock().unwrap().push(happening);
    tokio::select! {
        over = connector.serve(&locals, &note) => panic!("{over:?}"),
        seen = round_trip(port, b"secret") => assert!(seen.is_empty()),
    }
    let error = connector.carry(tokio::io::empty()).await.unwrap_err();
    assert!(error.is("HOOP-1013") && error.class == Class::Away, "{error}");
}

#[tokio::test]
async fn an_agent_of_another_ca_is_not_talked_to() {
    let (ca, agent) = (Ca::new(), AgentId::generate());
    let connector = session(&ca, agent, echoing_agent(&Ca::new(), agent).await);
    assert!(connector.carry(tokio::io::empty()).await.unwrap_err().is("HOOP-1013"));
}

#[tokio::test]
async fn nobody_at_the_gateway_is_told_at_once() {
    let (ca, agent) = (Ca::new(), AgentId::generate());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gateway = listener.local_addr().unwrap();
    drop(listener);
    let error = session(&ca, agent, gateway).carry(tokio::io::empty()).await.unwrap_err();
    assert!(error.is("HOOP-1013") && error.fault.hint.is_some(), "{error}");
}

#[tokio::test]
async fn what_cannot_be_used_is_refused_before_anything_is_dialled() {
    for text in ["", "AA", "!", "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcA"] {
        assert!(secret(text).unwrap_err().is("HOOP-1009"), "{text}");
    }
}
