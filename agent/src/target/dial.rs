//! Reaching a target: the registered address and nothing else, TLS as its settings say.

use std::{io, sync::Arc, time::Duration};

use hoop_engine::{Address, TargetTls, TlsPolicy};
use hoop_model::{Blame, Fault};
use hoop_session::{Dial, Pending, SocketPipe, TargetStream};
use hoop_tunnel::trust::{self, Rule, Shown};
use rustls::{
    CertificateError, ClientConfig, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Longest time for a TCP connection, and for a TLS handshake.
const PATIENCE: Duration = Duration::from_secs(10);

/// Dials one target.
pub(crate) struct TargetDial {
    address: Address,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl TargetDial {
    /// Reads what the policy names (authorities, client certificate) at once, so that a wrong path fails the session's
    /// start and not its first query.
    pub(crate) fn prepare(address: Address, policy: &TlsPolicy) -> Result<Self, Fault> {
        let tls = match policy {
            TlsPolicy::Disabled => None,
            TlsPolicy::VerifyFull => Some((full(None, None)?, name(&address.host)?)),
            TlsPolicy::Custom { authorities, server_name, identity } => Some((
                full(authorities.as_deref(), identity.as_ref())?,
                name(server_name.as_deref().unwrap_or(&address.host))?,
            )),
            TlsPolicy::VerifyAuthority { authorities } => {
                Some((any_name(authorities)?, name(&address.host)?))
            }
        };
        Ok(Self { address, tls })
    }
}

impl Dial for TargetDial {
    fn dial(&self) -> Pending<TcpStream> {
        let address = self.address.clone();
        Box::pin(async move { connect(&address).await })
    }

    fn start_tls(&self, stream: TcpStream) -> Pending<(TargetStream, TargetTls)> {
        let tls = self.tls.clone();
        Box::pin(async move {
            let (config, name) = tls.ok_or_else(|| {
                Fault::new(
                    "HOOP-9003",
                    Blame::System,
                    "TLS was asked for although the connection disables it",
                )
            })?;
            shake(config, name, stream).await
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

async fn shake(
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    stream: TcpStream,
) -> Result<(TargetStream, TargetTls), Fault> {
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
    Ok((Box::new(SocketPipe(stream)), tls))
}

fn refused(what: String) -> Fault {
    Fault::new("HOOP-4031", Blame::Target, format!("the target's TLS was refused: {what}"))
        .with_hint("set tls.ca_file or tls.server_name of the connection, or mend the target's certificate")
}

fn explain(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => format!("its certificate is not valid ({why:?})"),
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

fn roots(path: &str) -> Result<RootCertStore, Fault> {
    let unreadable = |what: String| setting(format!("the authorities in {path} cannot be used: {what}"));
    let mut store = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| unreadable(e.to_string()))? {
        let certificate = certificate.map_err(|e| unreadable(e.to_string()))?;
        store.add(certificate).map_err(|e| unreadable(e.to_string()))?;
    }
    if store.is_empty() {
        return Err(unreadable("there is no certificate in it".to_owned()));
    }
    Ok(store)
}

fn full(authorities: Option<&str>, identity: Option<&(String, String)>) -> Result<Arc<ClientConfig>, Fault> {
    let builder = ClientConfig::builder();
    let builder = match authorities {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder
            .with_platform_verifier()
            .map_err(|e| setting(format!("the system's authorities cannot be read: {e}")))?,
    };
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let unreadable = |what: String| setting(format!("the client certificate cannot be used: {what}"));
            let chain: Result<Vec<_>, _> =
                CertificateDer::pem_file_iter(certificate).map_err(|e| unreadable(e.to_string()))?.collect();
            let chain = chain.map_err(|e| unreadable(e.to_string()))?;
            let key = PrivateKeyDer::from_pem_file(key).map_err(|e| unreadable(e.to_string()))?;
            builder.with_client_auth_cert(chain, key).map_err(|e| unreadable(e.to_string()))?
        }
    };
    Ok(Arc::new(config))
}

/// Checks the chain and lets the name differ: `verify-ca`.
fn any_name(authorities: &str) -> Result<Arc<ClientConfig>, Fault> {
    let inner = WebPkiServerVerifier::builder(Arc::new(roots(authorities)?))
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
