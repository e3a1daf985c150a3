//! Garbage, half and hostile bytes on the public port before anybody is authenticated (THREATS F2, A17, A18, E3).

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use common::{
    World,
    agent::{channel, control, control_at, enrolling, join_token},
    problem,
};
use hoop_control::v1::{FromAgent, Hello, RenewRequest, from_agent};
use hoop_model::Role;
use rcgen::{CertificateParams, KeyPair};
use reqwest::{Method, StatusCode};
use rustls::{
    SignatureAlgorithm, SignatureScheme,
    client::ResolvesClientCert,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::{CertifiedKey, Signer, SigningKey},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};
use tonic::Code;

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.running.addr).await.unwrap()
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut sink = Vec::new();
    timeout(Duration::from_secs(5), stream.read_to_end(&mut sink)).await.is_ok()
}

async fn still_serves(world: &World) {
    let began = Instant::now();
    let response = world.request(Method::GET, "/info").send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

#[tokio::test]
async fn garbage_is_closed_and_others_are_served() {
    let world = World::start().await;
    let mut record_of_lies = vec![22, 3, 1, 0x40, 0];
    record_of_lies.extend([1, 0xff, 0xff, 0xff]);
    record_of_lies.extend(vec![0; 0x3ffc]);
    let inputs: [&[u8]; 5] =
        [b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n", &[0; 4096], &[22, 3, 1, 0, 0], &record_of_lies];
    for input in inputs {
        let mut stream = connect(&world).await;
        let _ = stream.write_all(input).await;
        assert!(is_closed(&mut stream).await, "{:?}", &input[..5]);
    }
    still_serves(&world).await;
}

#[tokio::test]
async fn a_slow_handshake_ends_in_time() {
    let world = World::with(|config| config.limits.handshake_timeout = Duration::from_millis(400)).await;
    let mut silent = connect(&world).await;
    let mut slow = connect(&world).await;
    slow.write_all(&[22, 3, 1]).await.unwrap();
    assert!(is_closed(&mut silent).await && is_closed(&mut slow).await);
}

#[tokio::test]
async fn a_flood_of_half_open_connections_pushes_itself_out() {
    let world = World::with(|config| config.limits.half_open = 50).await;
    let mut flood = Vec::new();
    for _ in 0..300 {
        let mut stream = connect(&world).await;
        stream.write_all(&[22]).await.unwrap();
        flood.push(stream);
    }
    still_serves(&world).await;
    assert!(is_closed(&mut flood[0]).await, "the oldest went");
}

#[tokio::test]
async fn one_address_has_its_fill() {
    let world = World::with(|config| config.limits.connections_per_address = 4).await;
    let mut open = Vec::new();
    for _ in 0..4 {
        open.push(connect(&world).await);
    }
    let mut one_more = connect(&world).await;
    assert!(is_closed(&mut one_more).await);
}

#[tokio::test]
async fn a_body_without_end_is_refused() {
    let world = World::with(|config| config.limits.body = 64 * 1024).await;
    let body = reqwest::Body::from(vec![b' '; 10 * 1024 * 1024]);
    let request =
        world.request(Method::POST, "/login/password").header("content-type", "application/json").body(body);
    match request.send().await {
        Ok(response) => assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE),
        Err(error) => assert!(error.is_request(), "{error}"),
    }
    // And one that does not say how long it is, and never ends.
    let (piece, sent) = (vec![b' '; 16 * 1024], Arc::new(AtomicUsize::new(0)));
    let endless = tokio_stream::iter({
        let sent = Arc::clone(&sent);
        std::iter::repeat_with(move || {
            sent.fetch_add(piece.len(), Ordering::Relaxed);
            Ok::<_, std::io::Error>(piece.clone())
        })
    });
    let request = world.request(Method::POST, "/login/password").header("content-type", "application/json");
    match request.body(reqwest::Body::wrap_stream(endless)).send().await {
        Ok(response) => assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE),
        Err(error) => assert!(error.is_request(), "{error}"),
    }
    let sent = sent.load(Ordering::Relaxed);
    assert!(sent < 16 << 20, "{sent} bytes were taken");
    still_serves(&world).await;
}

#[tokio::test]
async fn a_web_page_gets_no_tunnel() {
    let world = World::start().await;
    let url = format!("https://localhost:{}/v1/tunnel", world.running.addr.port());
    let upgrade = world
        .client
        .get(url)
        .header("connection", "upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("origin", "https://evil.example")
        .version(reqwest::Version::HTTP_11);
    let response = upgrade.send().await.unwrap();
    assert_eq!(problem(response).await, (403, "HOOP-3031".to_owned()));
}

#[tokio::test]
async fn redirects_stay_here() {
    let world = World::start().await;
    let base = format!("https://localhost:{}", world.running.addr.port());
    for path in [
        "//evil.example",
        "/\\evil.example",
        "/api/v1/oidc/start?return=//evil.example",
        "/login?return=https://evil.example",
    ] {
        let response = world.client.get(format!("{base}{path}")).send().await.unwrap();
        let location = response.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        assert!(location.is_none_or(|to| to.starts_with('/') && !to.starts_with("//")), "{path}");
    }
}

#[tokio::test]
async fn a_join_token_is_good_once_and_for_its_name() {
    let world = World::start().await;
    let token = join_token(&world, "clinic").await;
    let mut client = control(&world, None).await;
    let other = enrolling(&token, "other");
    assert_eq!(client.enrol(other.request).await.unwrap_err().code(), Code::PermissionDenied);
    let forged =
        enrolling(&format!("hoop-join-v1.{}.{}.x", token.split('.').nth(1).unwrap(), "AAAA"), "clinic");
    assert_eq!(client.enrol(forged.request).await.unwrap_err().code(), Code::PermissionDenied);
    let good = enrolling(&token, "clinic");
    client.enrol(good.request).await.unwrap();
    let replayed = enrolling(&token, "clinic");
    assert_eq!(client.enrol(replayed.request).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(world.events("agent.enrolled").await, 1);
    assert_eq!(world.events("join_token.refused").await, 3);
    // A second agent of the name needs the first to be gone.
    let second = join_token(&world, "clinic").await;
    let taken = client.enrol(enrolling(&second, "clinic").request).await.unwrap_err();
    assert!(taken.message().contains("HOOP-4012"), "{taken}");
}

#[tokio::test]
async fn without_a_certificate_only_enrolment_answers_and_a_removed_agent_is_out() {
    let world = World::start().await;
    let mut nobody = control(&world, None).await;
    let renew = RenewRequest { csr_pem: String::new() };
    assert_eq!(nobody.renew(renew.clone()).await.unwrap_err().code(), Code::Unauthenticated);
    let joining = enrolling(&join_token(&world, "clinic").await, "clinic");
    let enrolled = nobody.enrol(joining.request).await.unwrap().into_inner();
    let mut agent = control(&world, Some((&enrolled.certificate_pem, &joining.key))).await;
    let csr = CertificateParams::default().serialize_request(&joining.key).unwrap().pem().unwrap();
    agent.renew(RenewRequest { csr_pem: csr.clone() }).await.unwrap();
    let mut root = world.person("root", Role::Admin, &[]).await;
    let admin = world.tokens(&mut root).await;
    let removed =
        world.request(Method::DELETE, "/agents/clinic").bearer_auth(&admin.access).send().await.unwrap();
    assert_eq!(removed.status(), StatusCode::NO_CONTENT);
    let refused = agent.renew(RenewRequest { csr_pem: csr }).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_refused() {
    let (world, other) = (World::start().await, World::start().await);
    let joining = enrolling(&join_token(&other, "clinic").await, "clinic");
    let enrolled = control(&other, None).await.enrol(joining.request).await.unwrap().into_inner();
    let mut stranger = control_at(
        world.running.addr,
        world.running.ca_pem(),
        Some((&enrolled.certificate_pem, &joining.key)),
    )
    .await;
    let refused = stranger.renew(RenewRequest { csr_pem: String::new() }).await.unwrap_err();
    assert_ne!(refused.code(), Code::Ok);
    assert!(!refused.message().contains("HOOP-4011"), "it never reached the service: {refused}");
}

#[tokio::test]
async fn who_has_no_certificate_is_heard_briefly() {
    let world = World::start().await;
    let mut joining = enrolling(&join_token(&world, "clinic").await, "clinic");
    joining.request.version = "v".repeat(100 * 1024);
    let mut nobody = control(&world, None).await;
    let refused = nobody.enrol(joining.request.clone()).await.unwrap_err();
    assert!(matches!(refused.code(), Code::OutOfRange | Code::ResourceExhausted), "{refused}");
    joining.request.version = "test".to_owned();
    nobody.enrol(joining.request).await.unwrap();
}

#[tokio::test]
async fn an_upgraded_connection_still_counts_for_its_address() {
    let world = World::with(|config| {
        config.limits.connections_per_address = 2;
        config.limits.handshake_timeout = Duration::from_secs(20);
    })
    .await;
    let url = format!("https://localhost:{}/v1/tunnel", world.running.addr.port());
    let mut upgraded = Vec::new();
    for _ in 0..2 {
        let upgrade = world
            .client
            .get(&url)
            .header("connection", "upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .version(reqwest::Version::HTTP_11);
        let response = upgrade.send().await.unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        upgraded.push(response.upgrade().await.unwrap());
    }
    assert!(world.request(Method::GET, "/info").send().await.is_err(), "two are all it may have");
    drop(upgraded);
    let served = async { while world.request(Method::GET, "/info").send().await.is_err() {} };
    timeout(Duration::from_secs(5), served).await.unwrap();
}

/// A key that is offered and then refuses to sign, or signs what it was not asked to.
#[derive(Debug, Clone, Copy)]
enum Reluctant {
    Refuses,
    Garbage,
    Empty,
}

impl SigningKey for Reluctant {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&SignatureScheme::ECDSA_NISTP256_SHA256).then(|| Box::new(*self) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for Reluctant {
    fn sign(&self, _: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        match self {
            Self::Refuses => Err(rustls::Error::General("the key's holder says no".into())),
            Self::Garbage => Ok(vec![0x30; 70]),
            Self::Empty => Ok(Vec::new()),
        }
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP256_SHA256
    }
}

#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesClientCert for Shows {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// THREATS A2: a good certificate is public; only a signature with its key is somebody.
#[tokio::test]
async fn a_certificate_without_its_key_is_nobody() {
    let world = World::start().await;
    let joining = enrolling(&join_token(&world, "clinic").await, "clinic");
    let enrolled = control(&world, None).await.enrol(joining.request).await.unwrap().into_inner();
    let certificate = CertificateDer::from_pem_slice(enrolled.certificate_pem.as_bytes()).unwrap();
    let another = KeyPair::generate().unwrap();
    let another = PrivateKeyDer::try_from(another.serialize_der()).unwrap();
    let another = rustls::crypto::aws_lc_rs::sign::any_supported_type(&another).unwrap();
    let keys: [Arc<dyn SigningKey>; 4] =
        [Arc::new(Reluctant::Refuses), Arc::new(Reluctant::Garbage), Arc::new(Reluctant::Empty), another];
    for key in keys {
        let shown = Shows(Arc::new(CertifiedKey::new(vec![certificate.clone()], key)));
        let mut roots = rustls::RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(world.running.ca_pem().as_bytes()).unwrap();
        roots.add(ca).unwrap();
        let config = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_client_cert_resolver(Arc::new(shown));
        let mut thief = channel(world.running.addr, config);
        let renewing = thief.renew(RenewRequest { csr_pem: String::new() }).await.unwrap_err();
        assert!(!renewing.message().contains("HOOP-"), "it never reached the service: {renewing}");
        let hello = FromAgent { message: Some(from_agent::Message::Hello(Hello::default())) };
        let stream = thief.control(tokio_stream::iter([hello])).await;
        assert!(stream.is_err(), "a control stream without the key");
    }
    for nothing in ["agent.connected", "agent.renewed", "certificate.issued"] {
        assert_eq!(world.events(nothing).await, 0, "{nothing}");
    }
    still_serves(&world).await;
    // Whoever has the key is still who they were.
    let mut agent = control(&world, Some((&enrolled.certificate_pem, &joining.key))).await;
    let csr = CertificateParams::default().serialize_request(&joining.key).unwrap().pem().unwrap();
    agent.renew(RenewRequest { csr_pem: csr }).await.unwrap();
}
