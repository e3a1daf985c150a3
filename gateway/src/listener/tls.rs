//! The two TLS servers on the public port: HTTPS for everybody, the control stream for agents.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};

use crate::{
    config::TlsFiles,
    pki::{Authority, ServerIdentity},
};

/// Why a TLS server cannot be set up. The operator's certificate, or our own CA.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file of the operator's.
    #[error(
        "{path}: {reason}; give a PEM certificate chain and its PEM private key in `tls.cert_file` and `tls.key_file`"
    )]
    File {
        /// Which.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// rustls refused.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
    /// The internal CA cannot serve as a root.
    #[error("client certificates cannot be checked: {0}")]
    Verifier(String),
}

/// A certificate that can be replaced while the listener runs.
#[derive(Debug)]
pub(crate) struct Replaceable(ArcSwap<CertifiedKey>);

impl Replaceable {
    pub(crate) fn new(identity: ServerIdentity) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(certified(identity.chain, identity.key)?))))
    }

    pub(crate) fn from_files(files: &TlsFiles) -> Result<Arc<Self>, TlsError> {
        let wrong = |path: &std::path::Path, reason: String| TlsError::File {
            path: path.display().to_string(),
            reason,
        };
        let chain = CertificateDer::pem_file_iter(&files.cert)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| wrong(&files.cert, error.to_string()))?;
        if chain.is_empty() {
            return Err(wrong(&files.cert, "there is no certificate in it".to_owned()));
        }
        let key =
            PrivateKeyDer::from_pem_file(&files.key).map_err(|error| wrong(&files.key, error.to_string()))?;
        let certified = certified(chain, key).map_err(|error| wrong(&files.key, error.to_string()))?;
        Ok(Arc::new(Self(ArcSwap::from_pointee(certified))))
    }

    pub(crate) fn replace(&self, identity: ServerIdentity) -> Result<(), TlsError> {
        self.0.store(Arc::new(certified(identity.chain, identity.key)?));
        Ok(())
    }
}

impl ResolvesServerCert for Replaceable {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<CertifiedKey, TlsError> {
    Ok(CertifiedKey::from_der(chain, key, &provider())?)
}

/// The one provider of cryptography.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// HTTPS: TLS 1.2 and 1.3, no client certificates.
pub(crate) fn public(certificate: Arc<Replaceable>) -> Result<Arc<ServerConfig>, TlsError> {
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The control stream: TLS 1.3, a certificate of the internal CA where there is one (enrolment has none yet). No
/// resumption: each connection proves its certificate anew.
pub(crate) fn control(
    certificate: Arc<Replaceable>,
    authority: &Authority,
) -> Result<Arc<ServerConfig>, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone())?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| TlsError::Verifier(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(certificate);
    config.alpn_protocols = vec![hoop_control::ALPN.to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}
