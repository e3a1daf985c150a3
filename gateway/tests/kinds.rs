//! A credential is good for what it is for and nowhere else (THREATS A14): every kind at every place of another kind.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{
    Browser, Tokens, World,
    agent::{Agent, control, enrolling, join_token, session_of},
    problem,
};
use hoop_control::v1::{EnrolRequest, RenewRequest};
use hoop_model::Role;
use hoop_tunnel::{
    dispatch::{ALPN_SESSION, ALPN_TICKET_PREFIX},
    ticket::{SessionSecret, Ticket, TicketMint},
};
use rcgen::KeyPair;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tonic::Code;

const KINDS: [&str; 11] =
    ["access", "refresh", "cookie", "csrf", "code", "device", "user code", "set-up", "join", "ticket", "api"];
const PLACES: [&str; 8] =
    ["bearer", "cookie", "refresh grant", "code grant", "device grant", "approval", "set-up", "enrolment"];

/// What is at home where.
const HOME: [(&str, &str); 9] = [
    ("access", "bearer"),
    ("cookie", "cookie"),
    ("refresh", "refresh grant"),
    ("code", "code grant"),
    ("device", "device grant"),
    ("user code", "approval"),
    ("set-up", "set-up"),
    ("join", "enrolment"),
    ("api", "bearer"),
];

struct Scene {
    world: World,
    agent: Agent,
    session: Session,
    browser: Browser,
    verifier: String,
    secrets: Vec<(&'static str, String)>,
}

/// An open session as its connector has it.
struct Session {
    certificate_pem: String,
    key: KeyPair,
    secret: [u8; 32],
    id: String,
}

async fn opened(world: &World, agent: &mut Agent, who: &Tokens) -> Session {
    let key = KeyPair::generate().unwrap();
    let opening = tokio::spawn(world.open_for(who, &key).send());
    let asked = agent.asked().await;
    agent.confirm(&session_of(&asked)).await;
    let answer: Value = opening.await.unwrap().unwrap().json().await.unwrap();
    Session {
        certificate_pem: answer["certificate_pem"].as_str().unwrap().to_owned(),
        key,
        secret: asked.session_secret.as_ref().try_into().unwrap(),
        id: answer["id"].as_str().unwrap().to_owned(),
    }
}

impl Scene {
    /// Any text in place of the secret of a join token that is good.
    fn as_join_secret(&self, secret: &str) -> EnrolRequest {
        let good = &self.secrets.iter().find(|(kind, _)| *kind == "join").unwrap().1;
        EnrolRequest { join_secret: secret.to_owned(), ..enrolling(good, "west").request }
    }

    async fn start() -> Self {
        let world = World::start().await;
        let mut root = world.person("root", Role::Admin, &["dba"]).await;
        let admin = world.tokens(&mut root).await;
        let mut ada = world.person("ada", Role::User, &["dba"]).await;
        let (tokens, browser) = (world.tokens(&mut ada).await, world.browser(&mut ada).await);
        let mut agent = Agent::join(&world, "east").await;
        assert_eq!(world.connection(&admin, json!({})).await.status(), StatusCode::OK);
        let session = opened(&world, &mut agent, &tokens).await;
        let verifier = "v".repeat(43);
        let (device, user_code) = world.device().await;
        let ticket =
            TicketMint::new(session.id.parse().unwrap(), SessionSecret::from_bytes(session.secret), 0);
        assert_eq!(world.service_account(&admin, "ci", "user").await.status(), StatusCode::OK);
        let api = world.api_token(&admin, "ci", "connect").await;
        let secrets = vec![
            ("access", tokens.access.clone()),
            ("refresh", tokens.refresh.clone()),
            ("cookie", browser.pair().split_once('=').unwrap().1.to_owned()),
            ("csrf", browser.csrf.clone()),
            ("code", world.cli_code(&browser, &verifier).await),
            ("device", device),
            ("user code", user_code),
            ("set-up", world.invited(&admin, "eve").await),
            ("join", join_token(&world, "west").await),
            ("ticket", ticket.next_ticket().unwrap().encode()),
            ("api", api.secret),
        ];
        Self { world, agent, session, browser, verifier, secrets }
    }

    /// Shows a secret at a place; whether it was taken for good.
    async fn show(&self, secret: &str, place: &str) -> bool {
        let world = &self.world;
        let whoami = || world.request(Method::GET, "/whoami");
        let is_ok = |response: Response| {
            let status = response.status();
            assert_ne!(status, StatusCode::TOO_MANY_REQUESTS, "refused for the wrong reason");
            status.is_success()
        };
        match place {
            "bearer" => is_ok(whoami().bearer_auth(secret).send().await.unwrap()),
            "cookie" => {
                is_ok(whoami().header("cookie", format!("__Host-hoop={secret}")).send().await.unwrap())
            }
            "refresh grant" => is_ok(world.refresh(secret).await),
            "code grant" => is_ok(world.redeem_code(secret, &self.verifier).await),
            // Known, and not decided yet: that is as good as it gets here.
            "device grant" => {
                let (status, code) = problem(world.poll(secret).await).await;
                assert_ne!(status, 429, "refused for the wrong reason");
                code == "HOOP-3020"
            }
            "approval" => is_ok(world.approve(&self.browser, secret, false).await),
            "set-up" => {
                let body = json!({ "token": secret, "password": common::PASSWORD });
                is_ok(world.post("/setup", &body).send().await.unwrap())
            }
            _ => {
                let request = match secret.starts_with("hoop-join") {
                    true => enrolling(secret, "west").request,
                    false => self.as_join_secret(secret),
                };
                control(world, None).await.enrol(request).await.is_ok()
            }
        }
    }
}

#[tokio::test]
async fn every_kind_at_every_place_of_another_is_refused() {
    let scene = Scene::start().await;
    assert_eq!(scene.secrets.iter().map(|(kind, _)| *kind).collect::<Vec<_>>(), KINDS);
    for (kind, secret) in &scene.secrets {
        for place in PLACES.into_iter().filter(|place| !HOME.contains(&(*kind, *place))) {
            assert!(!scene.show(secret, place).await, "{kind} was taken at {place}");
            // Nor in another dress: with the prefix of the kind that belongs there. (Approvals are few a minute.)
            let body = secret.get(8..).filter(|_| !matches!(place, "approval" | "enrolment"));
            let Some(body) = body else { continue };
            for prefix in ["hoop_at_", "hoop_rt_", "hoop_ck_", "hoop_co_", "hoop_dc_", "hoop_su_"] {
                let dressed = format!("{prefix}{body}");
                if !scene.secrets.iter().any(|(_, real)| *real == dressed) {
                    assert!(!scene.show(&dressed, place).await, "{kind} as {prefix} was taken at {place}");
                }
            }
        }
    }
    // None of that has used anything up. The last three use something up, so they come last.
    for (kind, place) in HOME {
        let secret = &scene.secrets.iter().find(|(name, _)| *name == kind).unwrap().1;
        // A new pair voids the old access token, which has been looked at by then.
        assert!(scene.show(secret, place).await, "{kind} is not good at {place} any more");
    }
}

#[tokio::test]
async fn a_certificate_is_good_for_its_own_side_alone() {
    let mut scene = Scene::start().await;
    let world = &scene.world;
    let renew = RenewRequest { csr_pem: csr(&scene.session.key) };
    // A session's at the control stream: no agent is named in it.
    let identity = (scene.session.certificate_pem.as_str(), &scene.session.key);
    let refused = control(world, Some(identity)).await.renew(renew.clone()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    // Neither kind is anything to the API.
    let agent = (scene.agent.certificate_pem.as_str(), &scene.agent.key);
    for (certificate, key) in [identity, agent] {
        let pem = format!("{certificate}{}", key.serialize_pem());
        let client = reqwest::Client::builder()
            .tls_certs_only([reqwest::Certificate::from_pem(world.running.ca_pem().as_bytes()).unwrap()])
            .identity(reqwest::Identity::from_pem(pem.as_bytes()).unwrap())
            .build()
            .unwrap();
        let me = client.get(world.url("/whoami")).send().await.unwrap();
        assert_eq!(me.status(), StatusCode::UNAUTHORIZED);
    }
    // And the agent's own is good where it belongs.
    let renewed = control(world, Some(agent)).await.renew(RenewRequest { csr_pem: csr(agent.1) }).await;
    assert!(renewed.is_ok(), "{renewed:?}");
    assert!(!scene.session.id.is_empty() && scene.agent.id.starts_with("agt_"));
    let _ = &mut scene;
}

fn csr(key: &KeyPair) -> String {
    rcgen::CertificateParams::default().serialize_request(key).unwrap().pem().unwrap()
}

/// Any other secret in place of a ticket: no connection of the agent is spent on it.
#[tokio::test]
async fn nothing_but_a_ticket_is_a_ticket() {
    let scene = Scene::start().await;
    let id = scene.session.id.parse().unwrap();
    let wrong = |bytes: [u8; 32]| Ticket::derive(&SessionSecret::from_bytes(bytes), id, 7).encode();
    let mut tries: Vec<String> = scene.secrets.iter().map(|(_, secret)| secret.clone()).collect();
    tries.retain(|text| *text != scene.secrets.last().unwrap().1);
    tries.extend([wrong([0; 32]), wrong([7; 32])]);
    for text in tries {
        assert!(!is_paired(&scene, &text).await, "{text} was taken for a ticket");
    }
    // Those that named a session, and only those, are in the ledger.
    let told = async {
        while scene.world.events("ticket.refused").await < 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), told).await.unwrap();
    assert_eq!(scene.world.events("ticket.refused").await, 2);
}

/// Opens a TLS connection with this text as its ticket; whether anything but a close comes back.
async fn is_paired(scene: &Scene, ticket: &str) -> bool {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut roots = rustls::RootCertStore::empty();
    use rustls::pki_types::pem::PemObject as _;
    let ca = rustls::pki_types::CertificateDer::from_pem_slice(scene.world.running.ca_pem().as_bytes());
    roots.add(ca.unwrap()).unwrap();
    let mut config = rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let ticket = [ALPN_TICKET_PREFIX, ticket.as_bytes()].concat();
    config.alpn_protocols = vec![ALPN_SESSION.to_vec(), ticket];
    let name = "localhost".try_into().unwrap();
    let mut client = rustls::ClientConnection::new(config.into(), name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let mut stream = tokio::net::TcpStream::connect(scene.world.running.addr).await.unwrap();
    stream.write_all(&hello).await.unwrap();
    let mut sink = Vec::new();
    let closed =
        tokio::time::timeout(std::time::Duration::from_secs(20), stream.read_to_end(&mut sink)).await;
    closed.is_err() || !sink.is_empty()
}
