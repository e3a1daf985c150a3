//! The connector's side: opens streams, and dials again when a carrier breaks.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use hoop_model::StreamId;

use super::{Carrier, ResumableStream, Source, now};
use crate::{
    core::{Core, Limits},
    ticket::{Ticket, TicketMint},
};

/// Why a dial failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialFailure {
    /// The network, the gateway or the agent is away: try again.
    #[error("{0}")]
    Transient(String),
    /// Trying again cannot help: the peer is somebody else, the certificate is over.
    #[error("{0}")]
    Permanent(String),
}

/// Makes carriers: a connection through the gateway with the inner TLS done.
pub trait Dial: Send + Sync + 'static {
    /// What it makes.
    type Carrier: Carrier;

    /// Dials once, with a bound on the time.
    fn dial(&self, ticket: Ticket) -> impl Future<Output = Result<Self::Carrier, DialFailure>> + Send;
}

/// How long to wait between dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Before the first dial, a random part of this; doubled each time. 50 ms.
    pub first: Duration,
    /// At most this. 2 s.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(50), most: Duration::from_secs(2) }
    }
}

impl Backoff {
    /// Between half and all of the step, or from nothing on for the first: a thousand connectors must not dial at once.
    fn delay(&self, attempt: u32) -> Duration {
        let step = self.first.saturating_mul(1 << attempt.min(16)).min(self.most);
        let least = if attempt == 0 { Duration::ZERO } else { step / 2 };
        least + (step - least).mul_f64(jitter())
    }
}

fn jitter() -> f64 {
    let mut byte = [0; 2];
    match aws_lc_rs::rand::fill(&mut byte) {
        Ok(()) => f64::from(u16::from_be_bytes(byte)) / f64::from(u16::MAX),
        Err(_) => 0.5,
    }
}

/// Opens the streams of one session. Cheap to clone.
pub struct Connector<D> {
    shared: Arc<Shared<D>>,
}

struct Shared<D> {
    dial: D,
    tickets: TicketMint,
    limits: Limits,
    backoff: Backoff,
    next_stream: AtomicU32,
}

impl<D> Clone for Connector<D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<D> std::fmt::Debug for Connector<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("session", &self.shared.tickets.session()).finish_non_exhaustive()
    }
}

impl<D: Dial> Connector<D> {
    /// For a session whose tickets `tickets` makes.
    #[must_use]
    pub fn new(dial: D, tickets: TicketMint, limits: Limits, backoff: Backoff) -> Self {
        let next_stream = AtomicU32::new(0);
        Self { shared: Arc::new(Shared { dial, tickets, limits, backoff, next_stream }) }
    }

    /// Opens a further stream. Dials once: what a person waits for fails fast. Cancel safe.
    ///
    /// # Errors
    /// [`DialFailure`].
    pub async fn open(&self) -> Result<ResumableStream<D::Carrier>, DialFailure> {
        let id = self.shared.next_stream.fetch_add(1, Ordering::Relaxed);
        let carrier = self.shared.dial_once().await?;
        let mut core = Core::connector(StreamId(id), self.shared.limits, now());
        core.attach(now());
        let redial = Redial { connect: redialler(&self.shared), attempt: 0, dialling: None };
        // The first frame goes out with the first bytes, or with the first poll.
        Ok(ResumableStream::new(StreamId(id), core, carrier, Source::Connector(redial)))
    }
}

impl<D: Dial> Shared<D> {
    async fn dial_once(&self) -> Result<D::Carrier, DialFailure> {
        let ticket = self.tickets.next_ticket().map_err(|error| DialFailure::Permanent(error.to_string()))?;
        self.dial.dial(ticket).await
    }

    /// Dials until it succeeds, or cannot.
    async fn dial_again(self: Arc<Self>, mut attempt: u32) -> Result<(D::Carrier, u32), String> {
        loop {
            tokio::time::sleep(self.backoff.delay(attempt)).await;
            attempt = attempt.saturating_add(1);
            match self.dial_once().await {
                Ok(carrier) => return Ok((carrier, attempt)),
                Err(DialFailure::Permanent(why)) => return Err(why),
                Err(DialFailure::Transient(why)) => tracing::debug!(attempt, why, "dialling again"),
            }
        }
    }
}

type Dialling<C> = Pin<Box<dyn Future<Output = Result<(C, u32), String>> + Send>>;

/// Dials a stream's next carrier while the stream is polled. No task.
pub(super) struct Redial<C> {
    connect: Box<dyn Fn(u32) -> Dialling<C> + Send + Sync>,
    /// Dials since a carrier was last agreed on: one that breaks at once must not be dialled at once.
    attempt: u32,
    dialling: Option<Dialling<C>>,
}

fn redialler<D: Dial>(shared: &Arc<Shared<D>>) -> Box<dyn Fn(u32) -> Dialling<D::Carrier> + Send + Sync> {
    let shared = Arc::clone(shared);
    Box::new(move |attempt| Box::pin(Arc::clone(&shared).dial_again(attempt)))
}

impl<C> Redial<C> {
    /// The carrier broke; `was_open` tells whether both sides had agreed on it.
    pub(super) fn start(&mut self, was_open: bool) {
        if was_open {
            self.attempt = 0;
        }
        self.dialling = None;
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<C, String>> {
        let dialling = self.dialling.get_or_insert_with(|| (self.connect)(self.attempt));
        let outcome = std::task::ready!(dialling.as_mut().poll(cx));
        self.dialling = None;
        Poll::Ready(outcome.map(|(carrier, attempt)| {
            self.attempt = attempt;
            carrier
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_within_its_bounds() {
        let backoff = Backoff::default();
        for attempt in 0..200 {
            let delay = backoff.delay(attempt);
            assert!(delay <= Duration::from_secs(2));
            if attempt > 5 {
                assert!(delay >= Duration::from_secs(1) || attempt < 6);
            }
        }
        assert!(backoff.delay(0) <= Duration::from_millis(50));
    }
}
