//! The inner TLS between connector and agent: TLS 1.3, both sides with a certificate of the gateway's internal CA.
//!
//! The gateway relays these bytes and cannot read them. It is the CA, though, so the names in the certificates are what
//! binds them: the connector accepts only the agent that its session names, and the agent only the certificate of the
//! session whose ticket stands in the same ClientHello. A gateway process that swaps certificates or connections of two
//! sessions is refused by both. Resumed handshakes are checked the same way. Knows nothing of frames.

mod accept;
mod resumption;
mod verify;

use std::sync::Arc;

use hoop_model::{AgentId, SessionId};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
    client::{Resumption, danger},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject as _},
    server::WebPkiClientVerifier,
};

pub use accept::{AcceptError, InnerAcceptor, Offer, Prefixed};
pub use verify::{IdentityError, PeerIdentity, check_peer};

use crate::{
    dispatch::{ALPN_SESSION, claim_protocols, session_protocols},
    ticket::{Claim, Ticket},
};

/// Why a configuration could not be made, or a handshake failed.
#[derive(Debug, thiserror::Error)]
pub enum InnerTlsError {
    /// The certificate, key or roots are no good: whoever issued them is at fault.
    #[error("the certificate, key or root cannot be used: {0}")]
    Material(#[source] rustls::Error),
    /// The PEM text is none.
    #[error("no certificate or key in the PEM text")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// The gateway's host is no server name.
    #[error("the gateway's host is no server name")]
    ServerName,
    /// The handshake failed: the peer, or something in between.
    #[error("the inner TLS handshake failed: {0}")]
    Handshake(#[source] std::io::Error),
    /// It took too long.
    #[error("the inner TLS handshake took too long")]
    Timeout,
    /// The peer is somebody else.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// A certificate chain, the end entity first, and its private key.
#[derive(Debug)]
pub struct InnerIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl InnerIdentity {
    /// From DER.
    #[must_use]
    pub const fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Self {
        Self { chain, key }
    }

    /// From PEM texts.
    ///
    /// # Errors
    /// [`InnerTlsError::Pem`].
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, InnerTlsError> {
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(InnerTlsError::Pem)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(InnerTlsError::Pem)?;
        Ok(Self { chain, key })
    }
}

impl Clone for InnerIdentity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

/// The internal CA's certificates, from DER.
///
/// # Errors
/// [`InnerTlsError::Material`].
pub fn roots<'a>(
    certificates: impl IntoIterator<Item = CertificateDer<'a>>,
) -> Result<RootCertStore, InnerTlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots.add(certificate).map_err(InnerTlsError::Material)?;
    }
    Ok(roots)
}

/// The internal CA's certificates, from PEM.
///
/// # Errors
/// [`InnerTlsError::Pem`], [`InnerTlsError::Material`].
pub fn roots_from_pem(pem: &str) -> Result<RootCertStore, InnerTlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(InnerTlsError::Pem)?;
    roots(certificates)
}

/// AES-128-GCM with SHA-256 first: both have instructions of their own in today's processors, where SHA-384 does not,
/// and a resumed handshake is mostly hashing. All three suites are approved by NIST SP 800-52r2 or by RFC 8446.
fn provider() -> Arc<CryptoProvider> {
    use rustls::crypto::aws_lc_rs::{cipher_suite, default_provider};
    let cipher_suites = vec![
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(CryptoProvider { cipher_suites, ..default_provider() })
}

/// The connector's side, for one session. Cheap to clone; all clones share the session's resumption tickets.
#[derive(Debug, Clone)]
pub struct ConnectorTls {
    config: Arc<ClientConfig>,
    agent: AgentId,
}

impl ConnectorTls {
    /// For a session with this certificate, to this agent and no other.
    ///
    /// # Errors
    /// [`InnerTlsError::Material`].
    pub fn new(roots: RootCertStore, identity: InnerIdentity, agent: AgentId) -> Result<Self, InnerTlsError> {
        let provider = provider();
        let verifier = AgentVerifier { roots: Arc::new(roots), agent, provider: Arc::clone(&provider) };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(InnerTlsError::Material)?
            .dangerous() // only because an agent has no host name; the verifier checks chain, purpose, time and id
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(identity.chain, identity.key)
            .map_err(InnerTlsError::Material)?;
        config.resumption = Resumption::store(Arc::new(resumption::SessionTickets::default()));
        Ok(Self { config: Arc::new(config), agent })
    }

    /// The configuration whose ClientHello carries this ticket.
    #[must_use]
    pub fn with_ticket(&self, ticket: &Ticket) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.config);
        config.alpn_protocols = session_protocols(ticket);
        Arc::new(config)
    }

    /// The agent that must answer.
    #[must_use]
    pub const fn agent(&self) -> AgentId {
        self.agent
    }

    /// Shakes hands over a connection to the gateway, as the TLS client. `host` is the gateway's public host.
    ///
    /// # Errors
    /// [`InnerTlsError`]; the connection is of no further use.
    pub async fn connect<IO>(
        &self,
        io: IO,
        host: &str,
        ticket: &Ticket,
    ) -> Result<tokio_rustls::client::TlsStream<IO>, InnerTlsError>
    where
        IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| InnerTlsError::ServerName)?;
        let connector = tokio_rustls::TlsConnector::from(self.with_ticket(ticket));
        let stream = connector.connect(name, io).await.map_err(InnerTlsError::Handshake)?;
        check_peer(&stream.get_ref().1.into(), &PeerIdentity::Agent(self.agent), UnixTime::now())?;
        Ok(stream)
    }
}

/// The agent's side, for all sessions.
///
/// Resumption is by tickets that only this process can open: it costs no memory a session, and ends with the process.
///
/// # Errors
/// [`InnerTlsError::Material`].
pub fn agent_config(
    roots: RootCertStore,
    identity: InnerIdentity,
) -> Result<Arc<ServerConfig>, InnerTlsError> {
    let provider = provider();
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .build()
        .map_err(|error| InnerTlsError::Material(rustls::Error::General(error.to_string())))?;
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(InnerTlsError::Material)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain, identity.key)
        .map_err(InnerTlsError::Material)?;
    config.alpn_protocols = vec![ALPN_SESSION.to_vec()];
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().map_err(InnerTlsError::Material)?;
    config.send_tls13_tickets = resumption::TICKETS_A_HANDSHAKE;
    Ok(Arc::new(config))
}

/// The record with which an agent's dialled-ahead connection begins: a ClientHello that is never answered.
///
/// # Errors
/// [`InnerTlsError::ServerName`], [`InnerTlsError::Material`].
pub fn claim_record(host: &str, claim: &Claim) -> Result<Vec<u8>, InnerTlsError> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![rustls::crypto::aws_lc_rs::kx_group::X25519]; // small, and no key comes of it
    let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(InnerTlsError::Material)?
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth();
    config.alpn_protocols = claim_protocols(claim);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| InnerTlsError::ServerName)?;
    let mut connection =
        rustls::ClientConnection::new(Arc::new(config), name).map_err(InnerTlsError::Material)?;
    let mut record = Vec::with_capacity(512);
    connection.write_tls(&mut record).map_err(InnerTlsError::Handshake)?;
    Ok(record)
}

/// Verifies an agent's certificate: chain, purpose, time, and that it is the one agent.
#[derive(Debug)]
struct AgentVerifier {
    roots: Arc<RootCertStore>,
    agent: AgentId,
    provider: Arc<CryptoProvider>,
}

impl danger::ServerCertVerifier for AgentVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<danger::ServerCertVerified, rustls::Error> {
        let certificate = rustls::server::ParsedCertificate::try_from(end_entity)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        rustls::client::verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )?;
        let expected = PeerIdentity::Agent(self.agent);
        verify::check_certificate(end_entity, &expected, now)
            .map(|()| danger::ServerCertVerified::assertion())
            .map_err(|_| rustls::CertificateError::NotValidForName.into())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<danger::HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is not spoken here".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<danger::HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// For tests and logs: the session that a certificate names.
impl PeerIdentity {
    /// The session, if it is one.
    #[must_use]
    pub const fn session(&self) -> Option<SessionId> {
        match self {
            Self::Session(id) => Some(*id),
            Self::Agent(_) => None,
        }
    }
}
