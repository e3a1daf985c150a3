//! The client's end of a session: local connections go in, streams to the agent come out.
//!
//! ```text
//! psql ──▶ local port ──▶ pump (one task a connection) ──▶ resumable stream ──▶ inner TLS ──▶ gateway ──▶ agent
//! ```
//! The session's key never leaves this process. Streams outlive their connections; the certificate is renewed while the
//! session lives; and when the session ends, whoever ended it, [`SessionConnector::serve`] says why.

mod dial;
mod identity;
mod pump;
#[cfg(test)]
mod tests;
mod unavailable;
mod watch;

use std::sync::Arc;

use hoop_api::{
    requests::SingleStatement,
    sessions::{OpenSession, SessionOpened},
};
use hoop_model::{ConnectionName, ProtocolId, SessionId, Timestamp};
use hoop_tunnel::{
    core::Limits,
    stream::{Backoff, Carrier, Connector, DialFailure, ResumableStream, Sharing, StreamError},
    ticket::{SessionSecret, TicketMint},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::Semaphore,
    task::JoinSet,
};

pub use dial::Carriage;
pub use watch::Over;

use crate::{
    error::{Class, ClientError, Result},
    http::Api,
    local::{Accepted, LocalStream, LocalTls, Locals},
    ssh,
};
use dial::SessionDial;
use identity::SessionIdentity;
use pump::{Carried, carry};
use watch::Streams;

/// Local connections of one session at once.
const MOST_STREAMS: usize = 4096;

/// What the person wants to open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which connection.
    pub connection: ConnectionName,
    /// Why.
    pub reason: Option<String>,
    /// For this statement alone.
    pub statement: Option<SingleStatement>,
    /// How session data travels.
    pub carriage: Carriage,
}

/// What is known of an open session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionFacts {
    /// Its id.
    pub id: SessionId,
    /// On what.
    pub connection: ConnectionName,
    /// Speaking what.
    pub protocol: ProtocolId,
    /// The database that clients should name by default.
    pub default_database: Option<String>,
    /// Ends then, whatever happens.
    pub ends_at: Timestamp,
    /// Ends after so long without a byte from the client.
    pub idle_timeout_seconds: u64,
}

/// Something that happened while serving, for whoever wants to show it.
#[derive(Debug)]
pub enum Happening {
    /// A local connection was turned away.
    TurnedAway(ClientError),
    /// A local connection came to no good end.
    Failed(ClientError),
}

/// An open session.
pub struct SessionConnector {
    facts: SessionFacts,
    host_key: String,
    api: Api,
    identity: Arc<SessionIdentity>,
    streams: Connector<SessionDial>,
    open: Arc<Streams>,
}

impl std::fmt::Debug for SessionConnector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionConnector").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl SessionConnector {
    /// Asks the gateway for a session. No connection to the agent is made yet.
    ///
    /// # Errors
    /// What the gateway says.
    pub async fn open(api: &Api, wanted: Wanted) -> Result<Self> {
        let key = identity::SessionKey::generate()?;
        let request = OpenSession {
            connection: wanted.connection.clone(),
            csr_pem: key.request()?,
            reason: wanted.reason,
            statement: wanted.statement,
        };
        let opened = api.open_session(&request).await?;
        Self::assemble(api, wanted.connection, wanted.carriage, key, &opened)
    }

    fn assemble(
        api: &Api,
        connection: ConnectionName,
        carriage: Carriage,
        key: identity::SessionKey,
        opened: &SessionOpened,
    ) -> Result<Self> {
        let identity = Arc::new(SessionIdentity::new(key, opened)?);
        let (at, outer_tls) = ((opened.host.as_str(), opened.port), api.tls());
        let secret = secret(&opened.secret)?;
        let host_key = ssh::host_key(&secret)?;
        let tickets = TicketMint::new(opened.id, secret, opened.first_ticket);
        let dial = SessionDial::new(carriage, at, &outer_tls, Arc::clone(&identity))?;
        let facts = SessionFacts {
            id: opened.id,
            connection,
            protocol: opened.protocol.clone(),
            default_database: opened.default_database.clone(),
            ends_at: opened.ends_at,
            idle_timeout_seconds: opened.idle_timeout_seconds,
        };
        let streams = Connector::new(dial, tickets, Limits::default(), Backoff::default(), Sharing::Most);
        Ok(Self { facts, host_key, api: api.clone(), identity, streams, open: Arc::default() })
    }

    /// What is known of the session.
    #[must_use]
    pub const fn facts(&self) -> &SessionFacts {
        &self.facts
    }

    /// The key that the agent shows to an SSH client of this session, as `known_hosts` has it.
    #[must_use]
    pub fn host_key(&self) -> &str {
        &self.host_key
    }

    /// Carries one connection to its end, over a stream of its own.
    ///
    /// # Errors
    /// When the agent cannot be reached, or the stream breaks for good.
    pub async fn carry(&self, local: impl AsyncRead + AsyncWrite + Unpin) -> Result<()> {
        let stream = self.streams.open().await.map_err(|failure| self.no_stream(&failure))?;
        self.carry_over(local, stream).await
    }

    async fn carry_over<L, C>(&self, local: L, stream: ResumableStream<C>) -> Result<()>
    where
        L: AsyncRead + AsyncWrite + Unpin,
        C: Carrier,
    {
        let _open = self.open.enter();
        match carry(local, stream).await {
            Ok(Carried { tls_refused: true, .. }) => Err(tls_refused()),
            Ok(Carried { .. }) => Ok(()),
            Err(pump::Failed::Local(error)) => {
                tracing::debug!(%error, "the local connection broke");
                Ok(())
            }
            Err(pump::Failed::Stream(error)) => Err(self.broken(&error)),
        }
    }

    /// Carries everything that comes in locally, until the session is over. Dropping the future drops the streams.
    ///
    /// # Errors
    /// When a local port fails.
    pub async fn serve(&self, locals: &Locals, happened: &(dyn Fn(Happening) + Sync)) -> Result<Over> {
        let mut streams = JoinSet::new();
        let room = Arc::new(Semaphore::new(MOST_STREAMS));
        let mut over = std::pin::pin!(self.until_over());
        loop {
            tokio::select! {
                over = &mut over => return Ok(over),
                accepted = locals.accept() => match accepted? {
                    Accepted::TurnedAway(error) => happened(Happening::TurnedAway(error)),
                    Accepted::Stream(stream) => match Arc::clone(&room).try_acquire_owned() {
                        Ok(permit) => {
                            let tls = locals.tls.clone().map(|tls| (tls, locals.lets_in_one_user()));
                            let carrying = self.clone_for_task().carry_owned(stream, tls);
                            streams.spawn(async move { let result = carrying.await; drop(permit); result });
                        }
                        Err(_) => happened(Happening::TurnedAway(too_many())),
                    },
                },
                Some(ended) = streams.join_next() => {
                    if let Ok(Err(error)) = ended {
                        if error.class == Class::Away {
                            self.identity.suspect();
                        }
                        happened(Happening::Failed(error));
                    }
                }
            }
        }
    }

    /// Waits until the session is over, and keeps its certificate fresh meanwhile.
    pub async fn until_over(&self) -> Over {
        watch::until_over(&self.api, &self.facts, &self.identity, &self.open).await
    }

    fn clone_for_task(&self) -> Self {
        Self {
            facts: self.facts.clone(),
            host_key: self.host_key.clone(),
            api: self.api.clone(),
            identity: Arc::clone(&self.identity),
            streams: self.streams.clone(),
            open: Arc::clone(&self.open),
        }
    }

    async fn carry_owned(self, stream: LocalStream, tls: Option<(LocalTls, bool)>) -> Result<()> {
        match (stream, tls) {
            (LocalStream::Tcp(stream), None) => self.carry(stream).await,
            (LocalStream::Tcp(stream), Some((tls, ours))) => {
                Box::pin(self.carry_tls(stream, &tls, ours)).await
            }
            #[cfg(unix)]
            (LocalStream::Unix(stream), _) => self.carry(stream).await,
        }
    }

    /// A client that speaks TLS speaks HTTP inside: if there is no way, it is told so in HTTP.
    ///
    /// The way is made while the client is let in, where only programs of the same user get so far; nothing goes over it
    /// before the client is in, and who says nothing has none.
    async fn carry_tls(&self, stream: TcpStream, tls: &LocalTls, ours: bool) -> Result<()> {
        tls.heard(&stream).await?;
        let (local, opened) = if ours {
            let opening = async { Ok(self.streams.open().await) };
            tokio::try_join!(tls.accept(stream), opening)?
        } else {
            (tls.accept(stream).await?, self.streams.open().await)
        };
        match opened {
            Ok(stream) => self.carry_over(local, stream).await,
            Err(failure) => {
                let error = self.no_stream(&failure);
                let http2 = local.get_ref().1.alpn_protocol() == Some(b"h2");
                unavailable::answer(local, http2, &error).await;
                Err(error)
            }
        }
    }

    fn no_stream(&self, failure: &DialFailure) -> ClientError {
        let name = &self.facts.connection;
        tracing::debug!(%failure, "no stream");
        ClientError::away("HOOP-1013", format!("no way to {name} through the gateway just now: {failure}"))
            .hint("try again; `hoop status` shows whether the session still lives")
    }

    #[expect(clippy::unused_self, reason = "beside its sibling above")]
    fn broken(&self, error: &StreamError) -> ClientError {
        ClientError { class: Class::Away, fault: error.fault() }
    }
}

/// The program itself can only be told by a TLS alert; whoever runs `hoop connect` is told in words.
fn tls_refused() -> ClientError {
    let what = "a program began with TLS on the local port, which is not spoken there";
    ClientError::usage("HOOP-5002", what).hint(
        "the tunnel is encrypted: switch TLS off in that program (PostgreSQL: leave sslnegotiation at its default)",
    )
}

fn too_many() -> ClientError {
    ClientError::denied(
        "HOOP-1012",
        format!("a local connection was refused: there are {MOST_STREAMS} already"),
    )
}

fn secret(text: &str) -> Result<SessionSecret> {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    let bytes: Option<[u8; 32]> =
        URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(SessionSecret::from_bytes).ok_or_else(identity::unusable)
}
