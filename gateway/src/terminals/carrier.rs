//! The connector's end of a session, inside this process: its key and certificate, and connections to the agent that never leave
//! the gateway before they are paired.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hoop_api::sessions::SessionOpened;
use hoop_model::{Actor, AgentId, Redacted, SessionId, Timestamp};
use hoop_tunnel::{
    gateway::classify,
    inner::{ConnectorTls, InnerIdentity, InnerTlsError, roots_from_pem},
    stream::{Dial, DialFailure},
    ticket::Ticket,
};
use rcgen::{CertificateParams, KeyPair};
use tokio::{io::DuplexStream, time::timeout};

use crate::{
    http::problem::Problematic,
    hub::{Shared, now},
    relay, sessions,
};

/// For a handshake with the agent.
const WITHIN: Duration = Duration::from_secs(15);
/// A certificate is not used any more when so little of its life is left.
const AHEAD: Duration = Duration::from_secs(30);

/// The key of one terminal's session. Lives in memory only.
pub(super) struct Key(KeyPair);

impl Key {
    pub(super) fn generate() -> Result<Self, Problematic> {
        KeyPair::generate().map(Self).map_err(Problematic::internal)
    }

    /// A PKCS #10 request. What it says besides the key is of no interest.
    pub(super) fn request(&self) -> Result<String, Problematic> {
        let request = CertificateParams::default().serialize_request(&self.0);
        request.and_then(|request| request.pem()).map_err(Problematic::internal)
    }
}

/// Dials for one session.
pub(super) struct InProcess {
    hub: Shared,
    session: SessionId,
    agent: AgentId,
    actor: Actor,
    ca_pem: String,
    key: Key,
    current: Mutex<(ConnectorTls, Timestamp)>,
}

impl InProcess {
    pub(super) fn new(
        hub: &Shared,
        actor: Actor,
        key: Key,
        opened: &SessionOpened,
    ) -> Result<Self, Problematic> {
        let tls = tls(&key, &opened.ca_pem, &opened.certificate_pem, opened.agent);
        let current = Mutex::new((tls.map_err(Problematic::internal)?, opened.certificate_expires_at));
        let (hub, ca_pem) = (hub.clone(), opened.ca_pem.clone());
        Ok(Self { hub, session: opened.id, agent: opened.agent, actor, ca_pem, key, current })
    }

    /// With a certificate that lasts a while.
    async fn tls(&self) -> Result<ConnectorTls, DialFailure> {
        let (current, expires_at) = self.current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if expires_at.since(now()) > AHEAD {
            return Ok(current);
        }
        let unusable = |problem: Problematic| DialFailure::Permanent(problem.message().to_owned());
        let found = self.hub.store.session(self.session).await;
        let session = found.ok().flatten().ok_or_else(|| DialFailure::Transient("not known".to_owned()))?;
        let request = self.key.request().map_err(unusable)?;
        let renewed = sessions::renew_certificate(&self.hub, &session, &self.actor, &request).await;
        let renewed = renewed.map_err(unusable)?;
        let fresh = tls(&self.key, &self.ca_pem, &renewed.certificate_pem, self.agent);
        let fresh = fresh.map_err(|error| DialFailure::Permanent(error.to_string()))?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) =
            (fresh.clone(), renewed.certificate_expires_at);
        Ok(fresh)
    }
}

impl Dial for InProcess {
    type Carrier = tokio_rustls::client::TlsStream<DuplexStream>;

    async fn dial(&self, ticket: Ticket) -> Result<Self::Carrier, DialFailure> {
        let tls = self.tls().await?;
        let outer = relay::within(&self.hub);
        match timeout(WITHIN, tls.connect(outer, &self.hub.config.public_host, &ticket)).await {
            Ok(Ok(carrier)) => Ok(carrier),
            Ok(Err(error)) => Err(classify(&error)),
            Err(_) => Err(DialFailure::Transient(InnerTlsError::Timeout.to_string())),
        }
    }
}

fn tls(key: &Key, ca_pem: &str, chain_pem: &str, agent: AgentId) -> Result<ConnectorTls, InnerTlsError> {
    let private = Redacted::new(key.0.serialize_pem());
    let identity = InnerIdentity::from_pem(chain_pem, private.expose())?;
    ConnectorTls::new(roots_from_pem(ca_pem)?, identity, agent)
}
