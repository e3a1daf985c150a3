//! Session data: a ticket of a person is paired with a connection of the agent, and ciphertext is copied both ways.
//!
//! Nothing is terminated here and nothing can be read. A relay ends with its connections, or when its session is cut.

mod pipe;
pub(crate) mod pool;
pub(crate) mod websocket;

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures::FutureExt as _;
use hoop_ledger::event::EventCode;
use hoop_model::{Actor, AgentId, SessionId};
use hoop_store::{SessionRecord, SessionState};
use hoop_tunnel::{
    dispatch::Dispatch,
    relay::{self, RelayLimits},
    ticket::{Claim, Ticket, TicketError},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream},
    time::{Instant, timeout, timeout_at},
};

pub(crate) use self::pipe::Pipe;
use self::pool::{NotParked, Pools, Taken};
use crate::{
    hub::{Hub, Shared, event, now},
    live::Live,
};

/// How long somebody waits for an agent's connection.
const PATIENCE: Duration = Duration::from_secs(10);
/// Bytes on the way to a connector in this process.
const WITHIN: usize = 64 << 10;
const FIRST_WRITE: Duration = Duration::from_secs(5);

/// What the relay keeps.
pub(crate) struct Relay {
    pools: Pools<Pipe>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Relay")
    }
}

impl Relay {
    pub(crate) fn new(waiting_per_agent: usize) -> Self {
        Self { pools: Pools::new(waiting_per_agent) }
    }

    /// A control stream came up: asks it for the connections that people wait for.
    pub(crate) fn begin_epoch(&self, agent: AgentId, epoch: u64, ahead: usize) -> usize {
        self.pools.begin_epoch(agent, epoch, ahead)
    }

    pub(crate) fn end_epoch(&self, agent: AgentId, epoch: u64) {
        self.pools.end_epoch(agent, epoch);
    }

    pub(crate) fn forget(&self, agent: AgentId) {
        self.pools.forget(agent);
    }
}

/// Why a connection came to nothing; the label of a metric, never told to the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    UnknownSession,
    BadTicket,
    UsedTicket,
    TooManyStreams,
    TooManyWaiting,
    AgentAway,
    UnknownAgent,
    BadClaim,
    StaleClaim,
    TooManyParked,
    Store,
}

impl Refused {
    const fn label(self) -> &'static str {
        match self {
            Self::UnknownSession => "unknown_session",
            Self::BadTicket => "bad_ticket",
            Self::UsedTicket => "used_ticket",
            Self::TooManyStreams => "too_many_streams",
            Self::TooManyWaiting => "too_many_waiting",
            Self::AgentAway => "agent_away",
            Self::UnknownAgent => "unknown_agent",
            Self::BadClaim => "bad_claim",
            Self::StaleClaim => "stale_claim",
            Self::TooManyParked => "too_many_parked",
            Self::Store => "store",
        }
    }

    pub(crate) fn count(self) {
        metrics::counter!("hoop_relay_refused_total", "reason" => self.label()).increment(1);
    }
}

/// An agent's connection came: keeps it for the next ticket.
pub(crate) fn claim(hub: &Hub, claim: &Claim, pipe: Pipe) -> Result<(), Refused> {
    let link = hub.agents.link(claim.agent()).ok_or(Refused::UnknownAgent)?;
    if claim.epoch() != link.epoch {
        return Err(Refused::StaleClaim);
    }
    claim.verify(&link.claim_secret).map_err(|_| Refused::BadClaim)?;
    let refuse = |why| match why {
        NotParked::Stale => Refused::StaleClaim,
        NotParked::Used => Refused::BadClaim,
        NotParked::Full => Refused::TooManyParked,
    };
    hub.relay.pools.admit(claim.agent(), claim.epoch(), claim.counter()).map_err(refuse)?;
    hub.relay.pools.park(claim.agent(), claim.epoch(), pipe).map_err(refuse)
}

/// A person's connection came: checks the ticket, finds the agent's connection, and copies until either end or the
/// session is over. `hello` are the bytes read so far, which go on as they came.
pub(crate) async fn ticket(
    hub: &Shared,
    ticket: &Ticket,
    hello: Vec<u8>,
    pipe: Pipe,
    half: impl Send,
) -> Result<(), Refused> {
    // What is needed to begin is in boxes: a task has room for all of it as long as it copies.
    let live = Box::pin(find(hub, ticket.session())).await?;
    admit(&live, ticket)?;
    // A good ticket is what authenticates here: no longer half-open.
    drop(half);
    let stream = live.enter(hub.config.limits.streams_per_session).ok_or(Refused::TooManyStreams)?;
    let agent = tokio::select! {
        biased;
        () = live.cut.cancelled() => return Err(Refused::UnknownSession),
        agent = Box::pin(reach(hub, live.agent, &hello)) => agent?,
    };
    live.carried.connections.fetch_add(1, Ordering::Relaxed);
    live.carried.tally.forth.fetch_add(hello.len() as u64, Ordering::Relaxed);
    drop(hello);
    copy(&live, pipe, agent).await;
    drop(stream);
    Ok(())
}

/// A connection for a connector in this process; it goes on as one that came by TCP, from its ClientHello on.
pub(crate) fn within(hub: &Shared) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(WITHIN);
    let task = hub.clone();
    hub.tasks.spawn(async move {
        let mut pipe = Pipe::Within(theirs);
        let opening = websocket::open(&mut pipe, task.config.limits.pre_auth_bytes);
        let opened = tokio::select! {
            biased;
            () = task.stopping.cancelled() => return,
            opened = timeout(task.config.limits.handshake_timeout, opening) => opened,
        };
        let Ok(Some((Dispatch::Session(used), hello))) = opened else { return };
        if let Err(why) = ticket(&task, &used, hello, pipe, ()).await {
            why.count();
        }
    });
    ours
}

fn admit(live: &Live, ticket: &Ticket) -> Result<(), Refused> {
    live.admit(ticket).map_err(|error| match error {
        TicketError::Used | TicketError::TooOld => Refused::UsedTicket,
        _ => Refused::BadTicket,
    })
}

/// Writes a refused ticket of a session that exists into the ledger, at a bounded rate: anybody can make up the others.
pub(crate) async fn tell(hub: &Shared, ticket: &Ticket, why: Refused, from: IpAddr) {
    let forged = matches!(why, Refused::BadTicket | Refused::UsedTicket);
    let Some(live) = hub.live.find(ticket.session()).filter(|_| forged) else { return };
    if !hub.throttle.name(&format!("ticket {}", live.id)) {
        return;
    }
    let facts = serde_json::json!({ "reason": why.label(), "address": from.to_string(), "counter": ticket.counter() });
    let told = event(&Actor::Anonymous, EventCode::TicketRefused, [live.id.into()], facts);
    if let Err(error) = hub.store.append(&[told]).await {
        tracing::error!(%error, "a refused ticket cannot be noted");
    }
}

/// The session in memory, or from the store: after a restart its connections come back before anybody opens anything.
pub(crate) async fn find(hub: &Shared, id: SessionId) -> Result<Arc<Live>, Refused> {
    if let Some(live) = hub.live.find(id) {
        return Ok(live);
    }
    let session = look_up(hub, id).await?;
    if session.ends_at <= now() {
        return Err(Refused::UnknownSession);
    }
    let secret = hub.keys.open_session_secret(id, &session.secret_sealed).map_err(|error| {
        tracing::error!(%error, session.id = %id, "session secret cannot be opened");
        Refused::Store
    })?;
    let live = hub.live.insert(Live::new(id, session.agent, session.ends_at, secret).opened_before());
    // Whoever ended it between the look and the insertion found nothing to cut. A store that cannot say so ends nothing: who shares the
    // entry goes on, and this connection comes again.
    match look_up(hub, id).await {
        Ok(_) => Ok(live),
        Err(Refused::UnknownSession) => {
            hub.live.remove(id);
            live.cut.cancel();
            Err(Refused::UnknownSession)
        }
        Err(why) => Err(why),
    }
}

/// A session that goes on, as the store has it.
async fn look_up(hub: &Hub, id: SessionId) -> Result<SessionRecord, Refused> {
    let found = hub.store.session(id).await.map_err(|error| {
        tracing::warn!(%error, session.id = %id, "session cannot be looked up");
        Refused::Store
    })?;
    found
        .filter(|session| matches!(session.state, SessionState::Opening | SessionState::Live))
        .ok_or(Refused::UnknownSession)
}

/// A connection of the agent on which the `ClientHello` was delivered.
async fn reach(hub: &Hub, agent: AgentId, hello: &[u8]) -> Result<Pipe, Refused> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let taken = hub.relay.pools.take(agent, is_alive);
        refill(hub, agent);
        let mut pipe = match taken {
            Taken::Now(pipe) => pipe,
            Taken::TooMany => return Err(Refused::TooManyWaiting),
            Taken::Later(next) => {
                timeout_at(deadline, next).await.ok().and_then(Result::ok).ok_or(Refused::AgentAway)?
            }
        };
        let written = timeout(FIRST_WRITE, async {
            pipe.write_all(hello).await?;
            pipe.flush().await
        });
        match written.await {
            Ok(Ok(())) => return Ok(pipe),
            _ if Instant::now() >= deadline => return Err(Refused::AgentAway),
            _ => {}
        }
    }
}

/// Asks the agent for what was taken, so that the next stream finds a connection waiting.
fn refill(hub: &Hub, agent: AgentId) {
    let Some(link) = hub.agents.link(agent) else { return };
    let ahead = usize::try_from(hub.config.dial_ahead).unwrap_or(0);
    let missing = hub.relay.pools.order(agent, ahead, std::time::Instant::now());
    if missing > 0 {
        link.dial_out(missing);
    }
}

/// An agent says nothing on a connection before it is used: whatever can be read means that it is over or wrong.
fn is_alive(pipe: &mut Pipe) -> bool {
    let mut byte = [0; 1];
    pipe.read(&mut byte).now_or_never().is_none()
}

async fn copy(live: &Live, person: Pipe, agent: Pipe) {
    metrics::gauge!("hoop_relays").increment(1.0);
    metrics::counter!("hoop_relays_total").increment(1);
    let (limits, tally) = (RelayLimits::default(), &live.carried.tally);
    let end = relay::relay(person, agent, limits, &live.cut, tally).await;
    metrics::counter!("hoop_relay_bytes_total", "direction" => "up").increment(end.forth);
    metrics::counter!("hoop_relay_bytes_total", "direction" => "down").increment(end.back);
    metrics::gauge!("hoop_relays").decrement(1.0);
}
