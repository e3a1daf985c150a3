//! A gRPC channel to the gateway over our own TLS: mutual, through an HTTP proxy where one is set, and inside a WebSocket
//! where something in front of the gateway terminates TLS.

use std::{io, sync::Arc, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use hoop_control::v1::gateway_client::GatewayClient;
use hoop_tunnel::{
    dial::Reach,
    gateway::{GatewayDial, Transport},
    trust::{self, Rule, Shown},
};
use hyper_util::rt::TokioIo;
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use crate::config::GatewayAddress;

/// The TLS handshake's limit.
const PATIENCE: Duration = Duration::from_secs(10);
/// A silent gateway is noticed within twice this.
const KEEPALIVE: Duration = Duration::from_secs(15);
/// Window of the whole HTTP/2 connection, bytes; recordings need room.
const WINDOW: u32 = 16 << 20;

/// The gateway cannot be reached or trusted.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A certificate or key does not fit.
    #[error("{0}")]
    Trust(String),
    /// gRPC could not connect.
    #[error("the gateway cannot be reached: {0}")]
    Connect(String),
}

/// What a gateway is recognised by, and what we show it.
#[derive(Debug, Clone)]
pub(crate) enum Trust {
    /// Before enrolment: the fingerprint in the join token. We show nothing.
    Fingerprint([u8; 32]),
    /// After it: the gateway's CA; we show our certificate.
    Authority {
        /// PEM.
        ca: String,
        /// PEM.
        certificate: String,
        /// PKCS #8 PEM.
        key: hoop_model::Redacted<String>,
    },
}

/// The TLS configuration of the control connection.
pub(crate) fn client_config(trust: &Trust) -> Result<Arc<ClientConfig>, LinkError> {
    let wrong = |what: &str| LinkError::Trust(what.to_owned());
    let builder = ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13]);
    let mut config = match trust {
        Trust::Fingerprint(sha256) => builder
            .dangerous()
            .with_custom_certificate_verifier(trust::verifier(Pinned { sha256: *sha256 }))
            .with_no_client_auth(),
        Trust::Authority { ca, certificate, key } => {
            let mut roots = RootCertStore::empty();
            for root in CertificateDer::pem_slice_iter(ca.as_bytes()) {
                let root = root.map_err(|_| wrong("the gateway's CA cannot be read"))?;
                roots.add(root).map_err(|_| wrong("the gateway's CA cannot be used"))?;
            }
            let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate.as_bytes()).collect();
            let chain = chain.map_err(|_| wrong("the agent's certificate cannot be read"))?;
            let key = PrivateKeyDer::from_pem_slice(key.expose().as_bytes())
                .map_err(|_| wrong("the agent's key cannot be read"))?;
            builder
                .with_root_certificates(roots)
                .with_client_auth_cert(chain, key)
                .map_err(|_| wrong("the agent's certificate does not fit its key"))?
        }
    };
    config.alpn_protocols = vec![hoop_control::ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// Connects, and gives a gRPC client.
pub(crate) async fn connect(
    gateway: &GatewayAddress,
    transport: &Transport,
    trust: &Trust,
) -> Result<GatewayClient<Channel>, LinkError> {
    let config = client_config(trust)?;
    let name = ServerName::try_from(gateway.host.clone())
        .map_err(|_| LinkError::Trust(format!("{:?} is not a name a certificate can have", gateway.host)))?;
    let (address, transport) = (gateway.clone(), transport.clone());
    let dial = tower::service_fn(move |_: http::Uri| {
        let (address, transport) = (address.clone(), transport.clone());
        let (config, name) = (Arc::clone(&config), name.clone());
        async move {
            let reach = Reach::from_environment(address.host, address.port).map_err(io::Error::other)?;
            let socket = GatewayDial::new(reach, transport).connect().await.map_err(io::Error::other)?;
            let shaking = TlsConnector::from(config).connect(name, socket);
            let tls =
                tokio::time::timeout(PATIENCE, shaking).await.map_err(|_| io::ErrorKind::TimedOut)??;
            Ok::<_, io::Error>(TokioIo::new(tls))
        }
    });
    let channel = Endpoint::from_static("http://gateway.hoop.internal")
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE)
        .keep_alive_while_idle(true)
        .initial_connection_window_size(WINDOW)
        .initial_stream_window_size(WINDOW / 4)
        .connect_timeout(PATIENCE * 3)
        .connect_with_connector(dial)
        .await
        .map_err(|error| LinkError::Connect(deepest(&error)))?;
    Ok(GatewayClient::new(channel))
}

/// The cause that tells most.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut last = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}

/// Trusts the CA whose fingerprint a join token names, and a chain that leads to it.
#[derive(Debug)]
struct Pinned {
    sha256: [u8; 32],
}

impl Rule for Pinned {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), rustls::Error> {
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let root = shown
            .intermediates
            .iter()
            .find(|certificate| digest(&SHA256, certificate).as_ref() == self.sha256.as_slice())
            .ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        let chain = WebPkiServerVerifier::builder(Arc::new(roots)).build().map_err(|_| unknown())?;
        chain.verify_server_cert(shown.end_entity, &[], shown.name, shown.ocsp, shown.now).map(drop)
    }
}
