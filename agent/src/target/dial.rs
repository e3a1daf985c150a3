//! Reaching a target: the registered address and nothing else, TLS as its settings say.

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hoop_engine::{
    Address, TargetTls, TlsPolicy,
    hosted::{Handshake, TlsKeys},
};
use hoop_model::{Blame, Fault};
use hoop_session::{Dial, Pending, SecuredSocket, SocketPipe, TargetStream};
use hoop_tunnel::trust::{self, Rule, Shown};
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Longest time for a TCP connection, and for a TLS handshake.
const PATIENCE: Duration = Duration::from_secs(10);

/// Dials one target.
pub(crate) struct TargetDial {
    address: Address,
    tls: Option<Way>,
    /// The last way that a hosted engine asked for: its streams ask for the same, and resume.
    asked: Mutex<Option<(Handshake, Way)>>,
}

/// How TLS is begun, and whose name the certificate must have.
type Way = (Arc<ClientConfig>, ServerName<'static>);

impl TargetDial {
    /// Reads what the policy names (authorities, client certificate) at once, so that a wrong path fails the session's
    /// start and not its first query.
    pub(crate) fn prepare(address: Address, policy: &TlsPolicy) -> Result<Self, Fault> {
        let tls = match policy {
            TlsPolicy::Disabled => None,
            TlsPolicy::VerifyFull => Some((full(None, None)?, name(&address.host)?)),
            TlsPolicy::Custom { authorities, server_name, identity } => Some((
                full(
                    authorities.as_deref().map(Pem::File),
                    identity.as_ref().map(|(chain, key)| (Pem::File(chain), Pem::File(key))),
                )?,
                name(server_name.as_deref().unwrap_or(&address.host))?,
            )),
            TlsPolicy::VerifyAuthority { authorities } => {
                Some((any_name(authorities)?, name(&address.host)?))
            }
        };
        Ok(Self { address, tls, asked: Mutex::default() })
    }

    fn way(&self, handshake: &Handshake) -> Result<Way, Fault> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, way)) = asked.as_ref().filter(|(known, _)| known == handshake) {
            return Ok(way.clone());
        }
        let (config, own_name) = self.tls.clone().ok_or_else(disabled)?;
        let (config, name) = match &handshake.keys {
            None => (config, own_name),
            Some(TlsKeys { authorities, server_name, identity }) => {
                let authorities = authorities.as_deref().map(Pem::Text);
                let identity = identity
                    .as_ref()
                    .map(|(chain, key)| (Pem::Text(chain), Pem::Text(key.expose().as_bytes())));
                let name = server_name.as_deref().map_or(Ok(own_name), name)?;
                (full(authorities, identity)?, name)
            }
        };
        let mut config = ClientConfig::clone(&config);
        config.alpn_protocols = handshake.protocols.iter().map(|protocol| protocol.to_vec()).collect();
        let way = (Arc::new(config), name);
        *asked = Some((handshake.clone(), way.clone()));
        Ok(way)
    }
}

fn disabled() -> Fault {
    Fault::new("HOOP-9003", Blame::System, "TLS was asked for although the connection disables it")
}

impl Dial for TargetDial {
    fn dial(&self) -> Pending<TcpStream> {
        let address = self.address.clone();
        Box::pin(async move { connect(&address).await })
    }

    fn start_tls(&self, stream: TcpStream) -> Pending<(TargetStream, TargetTls)> {
        let tls = self.tls.clone();
        Box::pin(async move {
            let (stream, tls) = shake(tls.ok_or_else(disabled)?, stream).await?;
            Ok((Box::new(SocketPipe(stream)) as TargetStream, tls))
        })
    }

    fn dial_secured(&self, handshake: Handshake) -> Pending<SecuredSocket> {
        let (way, address) = (self.way(&handshake), self.address.clone());
        Box::pin(async move {
            let (stream, tls) = shake(way?, connect(&address).await?).await?;
            let protocol = stream.get_ref().1.alpn_protocol().map(<[u8]>::to_vec);
            Ok(SecuredSocket { stream: Box::new(stream), protocol, tls })
        })
    }
}

/// A TCP connection to a target, for queries and for cancel requests.
async fn connect(address: &Address) -> Result<TcpStream, Fault> {
    let away = |what: String| {
        Fault::new("HOOP-4030", Blame::Target, what)
            .with_hint("check that the target runs and that the agent's host may reach it")
    };
    let target = format!("{}:{}", address.host, address.port);
    let connecting = TcpStream::connect((address.host.as_str(), address.port));
    let stream = tokio::time::timeout(PATIENCE, connecting)
        .await
        .map_err(|_| {
            away(format!("the agent could not connect to {target} within {} s", PATIENCE.as_secs()))
        })?
        .map_err(|error| away(format!("the agent could not connect to {target}: {}", error.kind())))?;
    stream.set_nodelay(true).map_err(|error| away(format!("{target}: {}", error.kind())))?;
    Ok(stream)
}

async fn shake((config, name): Way, stream: TcpStream) -> Result<(TlsStream<TcpStream>, TargetTls), Fault> {
    let shaking = TlsConnector::from(config).connect(name, stream);
    let stream = tokio::time::timeout(PATIENCE, shaking)
        .await
        .map_err(|_| refused("the TLS handshake took too long".to_owned()))?
        .map_err(|error| refused(explain(&error)))?;
    let (_, session) = stream.get_ref();
    let tls = TargetTls {
        version: session.protocol_version().map(|v| format!("{v:?}").replace('_', ".")).unwrap_or_default(),
        cipher: session.negotiated_cipher_suite().map(|s| format!("{:?}", s.suite())).unwrap_or_default(),
        certificate: session
            .peer_certificates()
            .and_then(|c| c.first())
            .map(|c| c.to_vec())
            .unwrap_or_default(),
    };
    Ok((stream, tls))
}

fn refused(what: String) -> Fault {
    Fault::new("HOOP-4031", Blame::Target, format!("the target's TLS was refused: {what}"))
        .with_hint("set tls.ca_file or tls.server_name of the connection, or mend the target's certificate")
}

fn explain(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => format!("its certificate is not valid: {why}"),
        Some(other) => other.to_string(),
        None => error.kind().to_string(),
    }
}

fn setting(what: String) -> Fault {
    Fault::new("HOOP-4032", Blame::System, what).with_hint("correct the connection's tls settings")
}

fn name(host: &str) -> Result<ServerName<'static>, Fault> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| setting(format!("{host:?} is not a name a certificate can have")))
}

/// Where certificates and keys are written down.
#[derive(Clone, Copy)]
enum Pem<'p> {
    /// In this file on the agent's host.
    File(&'p str),
    /// In the credential.
    Text(&'p [u8]),
}

impl Pem<'_> {
    fn place(self) -> String {
        match self {
            Self::File(path) => path.to_owned(),
            Self::Text(_) => "the credential".to_owned(),
        }
    }

    fn certificates(self) -> Result<Vec<CertificateDer<'static>>, rustls::pki_types::pem::Error> {
        match self {
            Self::File(path) => CertificateDer::pem_file_iter(path)?.collect(),
            Self::Text(text) => CertificateDer::pem_slice_iter(text).collect(),
        }
    }

    fn private_key(self) -> Result<PrivateKeyDer<'static>, rustls::pki_types::pem::Error> {
        match self {
            Self::File(path) => PrivateKeyDer::from_pem_file(path),
            Self::Text(text) => PrivateKeyDer::from_pem_slice(text),
        }
    }
}

fn roots(pem: Pem<'_>) -> Result<RootCertStore, Fault> {
    let unreadable =
        |what: String| setting(format!("the authorities in {} cannot be used: {what}", pem.place()));
    let mut store = RootCertStore::empty();
    for certificate in pem.certificates().map_err(|e| unreadable(e.to_string()))? {
        store.add(certificate).map_err(|e| unreadable(e.to_string()))?;
    }
    if store.is_empty() {
        return Err(unreadable("there is no certificate in it".to_owned()));
    }
    Ok(store)
}

fn full(
    authorities: Option<Pem<'_>>,
    identity: Option<(Pem<'_>, Pem<'_>)>,
) -> Result<Arc<ClientConfig>, Fault> {
    let builder = ClientConfig::builder();
    let builder = match authorities {
        Some(pem) => builder.with_root_certificates(roots(pem)?),
        None => builder
            .with_platform_verifier()
            .map_err(|e| setting(format!("the system's authorities cannot be read: {e}")))?,
    };
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let unreadable = |what: String| setting(format!("the client certificate cannot be used: {what}"));
            let chain = certificate.certificates().map_err(|e| unreadable(e.to_string()))?;
            let key = key.private_key().map_err(|e| unreadable(e.to_string()))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| unreadable(e.to_string()))?
        }
    };
    Ok(Arc::new(config))
}

/// Checks the chain and lets the name differ: `verify-ca`.
fn any_name(authorities: &str) -> Result<Arc<ClientConfig>, Fault> {
    let inner = WebPkiServerVerifier::builder(Arc::new(roots(Pem::File(authorities))?))
        .build()
        .map_err(|e| setting(format!("the authorities cannot be used: {e}")))?;
    let config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(trust::verifier(ChainOnly(inner)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct ChainOnly(Arc<WebPkiServerVerifier>);

impl Rule for ChainOnly {
    fn judge(&self, shown: &Shown<'_>) -> Result<(), rustls::Error> {
        let Shown { end_entity, intermediates, name, ocsp, now } = *shown;
        match self.0.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(()),
            verdict => verdict.map(drop),
        }
    }
}
