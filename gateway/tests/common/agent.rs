//! An agent as far as the gateway sees it: it enrols, keeps a control stream, and says what the test lets it say.

use std::{sync::Arc, time::Duration};

use hoop_control::v1::{
    ConnectionTested, EmergencyKnown, EmergencyUsed, EndSession, EnrolRequest, FromAgent, Hello, OpenSession,
    SessionReady, TestConnection, ToAgent, from_agent::Message as From, gateway_client::GatewayClient,
    to_agent::Message as To,
};
use hoop_model::AgentName;
use rcgen::{CertificateParams, KeyPair};
use reqwest::StatusCode;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, pem::PemObject as _};
use tokio::{net::TcpStream, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::{Tokens, World};

/// An enrolled agent with a control stream that is up.
pub struct Agent {
    pub id: String,
    pub certificate_pem: String,
    pub key: KeyPair,
    pub grant_key: Vec<u8>,
    out: mpsc::Sender<FromAgent>,
    messages: tonic::Streaming<ToAgent>,
}

impl Agent {
    pub async fn join(world: &World, name: &str) -> Self {
        Self::join_knowing(world, name, &[]).await
    }

    /// One that knows messages of later versions.
    pub async fn join_knowing(world: &World, name: &str, features: &[&str]) -> Self {
        Self::join_with(world, enrolling(&join_token(world, name).await, name), features).await
    }

    /// One that signs its recordings with this key.
    pub async fn join_signing(world: &World, name: &str, key: &hoop_recording::SigningKey) -> Self {
        let mut joining = enrolling(&join_token(world, name).await, name);
        joining.request.signing_key = key.verifying_key().as_bytes().to_vec().into();
        Self::join_with(world, joining, &[]).await
    }

    async fn join_with(world: &World, joining: Enrolling, features: &[&str]) -> Self {
        let enrolled = control(world, None).await.enrol(joining.request).await.unwrap().into_inner();
        let mut client = control(world, Some((&enrolled.certificate_pem, &joining.key))).await;
        let (out, receiver) = mpsc::channel(64);
        let hello = Hello {
            version: "test".into(),
            protocols: vec!["postgres".into()],
            features: features.iter().map(|feature| (*feature).to_owned()).collect(),
            ..Hello::default()
        };
        out.send(FromAgent { message: Some(From::Hello(hello)) }).await.unwrap();
        let messages = client.control(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        let mut agent = Self {
            id: enrolled.agent_id,
            certificate_pem: enrolled.certificate_pem,
            key: joining.key,
            grant_key: enrolled.grant_key.to_vec(),
            out,
            messages,
        };
        // After the welcome the stream is in force.
        while !matches!(agent.hear().await, To::Welcome(_)) {}
        agent
    }

    async fn hear(&mut self) -> To {
        let message = tokio::time::timeout(Duration::from_secs(20), self.messages.message()).await;
        message.unwrap().unwrap().unwrap().message.unwrap()
    }

    /// The next session that it is to open.
    pub async fn asked(&mut self) -> OpenSession {
        loop {
            if let To::OpenSession(open) = self.hear().await {
                return open;
            }
        }
    }

    /// The next session that it is to end.
    pub async fn told_to_end(&mut self) -> EndSession {
        loop {
            if let To::EndSession(end) = self.hear().await {
                return end;
            }
        }
    }

    /// The next connection that it is to test.
    pub async fn asked_to_test(&mut self) -> TestConnection {
        loop {
            if let To::TestConnection(test) = self.hear().await {
                return test;
            }
        }
    }

    /// Says what came of a test.
    pub async fn tested(&mut self, answer: ConnectionTested) {
        self.out.send(FromAgent { message: Some(From::ConnectionTested(answer)) }).await.unwrap();
    }

    /// What the gateway says of an emergency.
    pub async fn tells_of(&mut self, used: EmergencyUsed) -> EmergencyKnown {
        self.out.send(FromAgent { message: Some(From::EmergencyUsed(used)) }).await.unwrap();
        loop {
            if let To::EmergencyKnown(known) = self.hear().await {
                return known;
            }
        }
    }

    /// The next list of revoked capabilities.
    pub async fn revoked(&mut self) -> Vec<String> {
        loop {
            if let To::CapabilitiesRevoked(revoked) = self.hear().await {
                return revoked.ids;
            }
        }
    }

    /// Somebody opens the world's connection, and this agent confirms it.
    pub async fn opened(&mut self, world: &World, by: &Tokens) -> String {
        let opening = tokio::spawn(world.open(by).send());
        let id = session_of(&self.asked().await);
        self.confirm(&id).await;
        assert_eq!(opening.await.unwrap().unwrap().status(), StatusCode::OK);
        id
    }

    /// Says that a session is ready.
    pub async fn confirm(&mut self, session: &str) {
        let ready = From::SessionReady(SessionReady { session_id: session.to_owned() });
        self.out.send(FromAgent { message: Some(ready) }).await.unwrap();
    }
}

/// The session that a grant is for.
pub fn session_of(open: &OpenSession) -> String {
    let grant: serde_json::Value = serde_json::from_slice(&open.grant).unwrap();
    grant["session"].as_str().unwrap().to_owned()
}

/// A channel as an agent has it.
pub async fn control(
    world: &World,
    identity: Option<(&str, &KeyPair)>,
) -> GatewayClient<tonic::transport::Channel> {
    control_at(world.running.addr, world.running.ca_pem(), identity).await
}

pub async fn control_at(
    addr: std::net::SocketAddr,
    ca: &str,
    identity: Option<(&str, &KeyPair)>,
) -> GatewayClient<tonic::transport::Channel> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca.as_bytes()).unwrap()).unwrap();
    let builder = rustls::ClientConfig::builder().with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((pem, key)) => {
            let chain = vec![CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()];
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    channel(addr, config)
}

/// The control protocol over whatever TLS this is.
pub fn channel(
    addr: std::net::SocketAddr,
    mut config: rustls::ClientConfig,
) -> GatewayClient<tonic::transport::Channel> {
    config.alpn_protocols = vec![hoop_control::ALPN.to_vec()];
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let service = tower::service_fn(move |_: http::Uri| {
        let connector = connector.clone();
        async move {
            let tcp = TcpStream::connect(addr).await?;
            let name = ServerName::try_from("localhost").map_err(std::io::Error::other)?;
            connector.connect(name, tcp).await.map(hyper_util::rt::TokioIo::new)
        }
    });
    let channel =
        tonic::transport::Endpoint::from_static("http://localhost").connect_with_connector_lazy(service);
    GatewayClient::new(channel)
}

pub struct Enrolling {
    pub key: KeyPair,
    pub request: EnrolRequest,
}

pub fn enrolling(token: &str, name: &str) -> Enrolling {
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap();
    let mut parts = token.split('.').skip(1);
    let mut sealing_key = vec![4];
    sealing_key.extend([1; 64]);
    let request = EnrolRequest {
        join_token_id: parts.next().unwrap().to_owned(),
        join_secret: parts.next().unwrap().to_owned(),
        agent_name: name.to_owned(),
        csr_pem: csr.pem().unwrap(),
        sealing_key: sealing_key.into(),
        signing_key: vec![7; 32].into(),
        version: "test".to_owned(),
    };
    Enrolling { key, request }
}

pub async fn join_token(world: &World, name: &str) -> String {
    let name = AgentName::new(name).unwrap();
    let made =
        hoop_gateway::bootstrap::join_token(&world.config, &name, Duration::from_secs(60)).await.unwrap();
    made.token.expose().clone()
}
