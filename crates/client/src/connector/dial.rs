//! Makes the connections that streams run over, and notices when the gateway takes none any more.

use std::{sync::Arc, time::Duration};

use hoop_tunnel::{
    dial::Reach,
    gateway::{Carrier, GatewayDial, Transport},
    stream::{Dial, DialFailure},
    ticket::Ticket,
};
use rustls::ClientConfig;

use super::identity::SessionIdentity;
use crate::error::{ClientError, Result};

/// For the connection to the gateway, and again for the handshake with the agent.
const WITHIN: Duration = Duration::from_secs(15);

/// How session data travels to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Carriage {
    /// TCP, whose first bytes are the inner TLS.
    #[default]
    Tcp,
    /// In a WebSocket over HTTPS, for where something in front of the gateway terminates TLS.
    WebSocket,
}

/// Dials for one session.
pub(super) struct SessionDial {
    gateway: GatewayDial,
    identity: Arc<SessionIdentity>,
}

impl SessionDial {
    /// To this host and port, through the environment's proxy.
    ///
    /// # Errors
    /// When the environment names a proxy that is none.
    pub(super) fn new(
        carriage: Carriage,
        (host, port): (&str, u16),
        outer_tls: &ClientConfig,
        identity: Arc<SessionIdentity>,
    ) -> Result<Self> {
        let reach = Reach::from_environment(host, port).map_err(|error| {
            ClientError::usage("HOOP-1005", error.to_string()).hint("set HTTPS_PROXY right, or unset it")
        })?;
        let transport = match carriage {
            Carriage::Tcp => Transport::Tcp,
            Carriage::WebSocket => {
                let mut outer = outer_tls.clone();
                outer.alpn_protocols = vec![b"http/1.1".to_vec()];
                Transport::WebSocket(Arc::new(outer))
            }
        };
        Ok(Self { gateway: GatewayDial::new(reach.within(WITHIN), transport).within(WITHIN), identity })
    }

    async fn carrier(&self, ticket: &Ticket) -> std::result::Result<Carrier, DialFailure> {
        let outer = self.gateway.connect().await?;
        let shaken = self.gateway.shake(outer, &self.identity.tls(), ticket).await;
        if shaken.is_err() {
            // The gateway closes a connection whose session is over: find out. Or it was no gateway that answered.
            self.identity.suspect();
            self.gateway.forget_address();
        }
        shaken
    }
}

impl Dial for SessionDial {
    type Carrier = Carrier;

    async fn dial(&self, ticket: Ticket) -> std::result::Result<Carrier, DialFailure> {
        Box::pin(self.carrier(&ticket)).await
    }
}
