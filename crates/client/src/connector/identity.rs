//! Who the connector is towards the agent: a key made for this session, and the gateway's certificate for it.

use std::sync::{Mutex, PoisonError};

use hoop_api::sessions::{RenewedCertificate, SessionOpened};
use hoop_model::{AgentId, Redacted, Timestamp};
use hoop_tunnel::inner::{ConnectorTls, InnerIdentity, roots_from_pem};
use rcgen::{CertificateParams, KeyPair};
use tokio::sync::Notify;

use crate::error::{ClientError, Result};

/// The key of one session. Lives in memory only.
pub(super) struct SessionKey(KeyPair);

impl SessionKey {
    pub(super) fn generate() -> Result<Self> {
        let key = KeyPair::generate().map_err(|_| ClientError::own("HOOP-9001", "a key cannot be made"))?;
        Ok(Self(key))
    }

    /// A PKCS #10 request. What it says besides the key is of no interest: the gateway writes the names.
    pub(super) fn request(&self) -> Result<String> {
        let request =
            CertificateParams::default().serialize_request(&self.0).and_then(|request| request.pem());
        request.map_err(|_| ClientError::own("HOOP-9001", "a certificate request cannot be made"))
    }

    fn pem(&self) -> Redacted<String> {
        Redacted::new(self.0.serialize_pem())
    }
}

/// Key, certificate and whom to trust; the certificate changes while the session lives.
pub(super) struct SessionIdentity {
    key: SessionKey,
    agent: AgentId,
    ca_pem: String,
    current: Mutex<Current>,
    suspicion: Notify,
}

struct Current {
    tls: ConnectorTls,
    expires_at: Timestamp,
}

impl SessionIdentity {
    pub(super) fn new(key: SessionKey, opened: &SessionOpened) -> Result<Self> {
        let tls = tls(&key, &opened.ca_pem, &opened.certificate_pem, opened.agent)?;
        Ok(Self {
            key,
            agent: opened.agent,
            ca_pem: opened.ca_pem.clone(),
            current: Mutex::new(Current { tls, expires_at: opened.certificate_expires_at }),
            suspicion: Notify::new(),
        })
    }

    /// TLS with the certificate in force. Clones share their resumption tickets.
    pub(super) fn tls(&self) -> ConnectorTls {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).tls.clone()
    }

    pub(super) fn expires_at(&self) -> Timestamp {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).expires_at
    }

    pub(super) fn request(&self) -> Result<String> {
        self.key.request()
    }

    /// Takes a new certificate into use; streams that live are not touched.
    pub(super) fn renew(&self, renewed: &RenewedCertificate) -> Result<()> {
        let tls = tls(&self.key, &self.ca_pem, &renewed.certificate_pem, self.agent)?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) =
            Current { tls, expires_at: renewed.certificate_expires_at };
        Ok(())
    }

    /// Something failed in a way that the session's end would explain.
    pub(super) fn suspect(&self) {
        self.suspicion.notify_one();
    }

    pub(super) async fn suspected(&self) {
        self.suspicion.notified().await;
    }
}

fn tls(key: &SessionKey, ca_pem: &str, chain_pem: &str, agent: AgentId) -> Result<ConnectorTls> {
    let roots = roots_from_pem(ca_pem).map_err(|_| unusable())?;
    let identity = InnerIdentity::from_pem(chain_pem, key.pem().expose()).map_err(|_| unusable())?;
    ConnectorTls::new(roots, identity, agent).map_err(|_| unusable())
}

pub(super) fn unusable() -> ClientError {
    ClientError::own("HOOP-1009", "what the gateway issued for the session cannot be used")
        .hint("is this command of a version near to that of the gateway?")
}
