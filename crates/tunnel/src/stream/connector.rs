//! The connector's side: opens streams, and dials again when a carrier breaks.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, Instant as StdInstant},
};

use hoop_model::StreamId;

use super::{Carrier, ResumableStream, Source, now};
use crate::{
    core::{Core, Limits},
    lanes::{self, Lane, Lanes, Way},
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

/// Which streams have a connection of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// The first one, and those that move much. All others share one: it is there when the next client comes, and many small messages
    /// travel together.
    Most,
    /// All.
    Never,
}

/// Opens the streams of one session. Cheap to clone.
pub struct Connector<D: Dial> {
    shared: Arc<Shared<D>>,
}

struct Shared<D: Dial> {
    dial: D,
    tickets: TicketMint,
    limits: Limits,
    backoff: Backoff,
    sharing: Sharing,
    next_stream: AtomicU32,
    common: Common,
}

/// The connection that is shared.
struct Common {
    /// None before the first; an error if the last dial came to nothing.
    lanes: tokio::sync::Mutex<Result<Option<Lanes>, DialFailure>>,
    /// How often it was dialled.
    dialled: AtomicU32,
}

impl<D: Dial> Clone for Connector<D> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<D: Dial> std::fmt::Debug for Connector<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("session", &self.shared.tickets.session()).finish_non_exhaustive()
    }
}

impl<D: Dial> Connector<D> {
    /// For a session whose tickets `tickets` makes.
    #[must_use]
    pub fn new(dial: D, tickets: TicketMint, limits: Limits, backoff: Backoff, sharing: Sharing) -> Self {
        let lanes = tokio::sync::Mutex::new(Ok(None));
        let (next_stream, common) = (AtomicU32::new(0), Common { lanes, dialled: AtomicU32::new(0) });
        Self { shared: Arc::new(Shared { dial, tickets, limits, backoff, sharing, next_stream, common }) }
    }

    /// Opens a further stream. Dials once, at most: what a person waits for fails fast. Cancel safe.
    ///
    /// # Errors
    /// [`DialFailure`].
    pub async fn open(&self) -> Result<ResumableStream<Way<D::Carrier>>, DialFailure> {
        let id = self.shared.next_stream.fetch_add(1, Ordering::Relaxed);
        let place = match self.shared.sharing {
            Sharing::Most if id > 0 => Place::Lane,
            _ => Place::Alone,
        };
        let carrier = self.shared.dial_once(place).await?;
        let mut core = Core::connector(StreamId(id), self.shared.limits, now());
        core.attach(now());
        let redial = Redial {
            dials: redialler(&self.shared),
            attempt: 0,
            dialling: None,
            place,
            much: Much::default(),
        };
        // The first frame goes out with the first bytes, or with the first poll.
        Ok(ResumableStream::new(StreamId(id), core, carrier, Source::Connector(redial)))
    }
}

/// What a stream's carrier is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Alone,
    Lane,
}

impl<D: Dial> Shared<D> {
    async fn dial_once(&self, place: Place) -> Result<Way<D::Carrier>, DialFailure> {
        match place {
            Place::Alone => self.connect().await.map(Way::Alone),
            Place::Lane => self.lane().await.map(Way::Lane),
        }
    }

    async fn connect(&self) -> Result<D::Carrier, DialFailure> {
        let ticket = self.tickets.next_ticket().map_err(|error| DialFailure::Permanent(error.to_string()))?;
        self.dial.dial(ticket).await
    }

    /// In the connection that there is, or in a new one. Who waited while somebody else dialled in vain does not dial again.
    async fn lane(&self) -> Result<Lane, DialFailure> {
        let before = self.common.dialled.load(Ordering::Acquire);
        let mut common = self.common.lanes.lock().await;
        match &*common {
            Ok(lanes) => {
                if let Some(lane) = lanes.as_ref().and_then(Lanes::open) {
                    return Ok(lane);
                }
            }
            Err(failure) if self.common.dialled.load(Ordering::Acquire) != before => {
                return Err(failure.clone());
            }
            Err(_) => {}
        }
        let connected = self.connect().await;
        self.common.dialled.fetch_add(1, Ordering::Release);
        match connected {
            Ok(carrier) => {
                let (lanes, pump) = lanes::open(carrier);
                tokio::spawn(pump);
                let lane = lanes.open();
                *common = Ok(Some(lanes));
                lane.ok_or_else(|| DialFailure::Transient("the connection is over".to_owned()))
            }
            Err(failure) => {
                *common = Err(failure.clone());
                Err(failure)
            }
        }
    }

    /// Dials until it succeeds, or cannot.
    async fn dial_again(
        self: Arc<Self>,
        place: Place,
        mut attempt: u32,
    ) -> Result<(Way<D::Carrier>, u32), String> {
        loop {
            tokio::time::sleep(self.backoff.delay(attempt)).await;
            attempt = attempt.saturating_add(1);
            match self.dial_once(place).await {
                Ok(carrier) => return Ok((carrier, attempt)),
                Err(DialFailure::Permanent(why)) => return Err(why),
                Err(DialFailure::Transient(why)) => tracing::debug!(attempt, why, "dialling again"),
            }
        }
    }
}

type Dialling<C> = Pin<Box<dyn Future<Output = Result<(C, u32), String>> + Send>>;

/// How a carrier is come by.
#[derive(Debug, Clone, Copy)]
enum Wish {
    /// Instead of one that broke: after a wait, and until it succeeds.
    Again(Place, u32),
    /// Instead of a lane, once.
    Alone,
}

/// Dials a stream's next carrier while the stream is polled. No task.
pub(super) struct Redial<C> {
    dials: Box<dyn Fn(Wish) -> Dialling<C> + Send + Sync>,
    /// Dials since a carrier was last agreed on: one that breaks at once must not be dialled at once.
    attempt: u32,
    dialling: Option<Dialling<C>>,
    place: Place,
    much: Much<C>,
}

/// Looks whether a stream moves much, and dials the connection that it moves to.
struct Much<C> {
    /// The volume at this time.
    since: Option<(u64, StdInstant)>,
    dialling: Option<Dialling<C>>,
    /// It could not be had: not before this again.
    not_before: Option<StdInstant>,
}

impl<C> Default for Much<C> {
    fn default() -> Self {
        Self { since: None, dialling: None, not_before: None }
    }
}

/// So much, both ways together,
const MUCH: u64 = 1024 * 1024;
/// within this time: 4 Mbit/s.
const WITHIN: Duration = Duration::from_secs(2);
/// Where there was no connection to be had.
const NOT_AGAIN_FOR: Duration = Duration::from_secs(10);

fn redialler<D: Dial>(
    shared: &Arc<Shared<D>>,
) -> Box<dyn Fn(Wish) -> Dialling<Way<D::Carrier>> + Send + Sync> {
    let shared = Arc::clone(shared);
    Box::new(move |wish| {
        let shared = Arc::clone(&shared);
        match wish {
            Wish::Again(place, attempt) => Box::pin(shared.dial_again(place, attempt)),
            Wish::Alone => Box::pin(async move {
                let dialled = shared.dial_once(Place::Alone).await;
                dialled.map(|carrier| (carrier, 1)).map_err(|failure| failure.to_string())
            }),
        }
    })
}

impl<C> Redial<C> {
    /// The carrier broke; `was_open` tells whether both sides had agreed on it.
    pub(super) fn start(&mut self, was_open: bool) {
        if was_open {
            self.attempt = 0;
        }
        self.dialling = None;
        self.much = Much::default();
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<C, String>> {
        let wish = Wish::Again(self.place, self.attempt);
        let dialling = self.dialling.get_or_insert_with(|| (self.dials)(wish));
        let outcome = std::task::ready!(dialling.as_mut().poll(cx));
        self.dialling = None;
        Poll::Ready(outcome.map(|(carrier, attempt)| {
            self.attempt = attempt;
            carrier
        }))
    }

    /// For a stream in a lane that moves much, so far `volume` bytes: the connection that it has for itself from now on, as soon as
    /// there is one. Where it cannot be had, the stream stays where it is, and asks again after a while.
    pub(super) fn poll_alone(&mut self, cx: &mut Context<'_>, at: StdInstant, volume: u64) -> Option<C> {
        if self.place == Place::Alone {
            return None;
        }
        if self.much.dialling.is_none() {
            let (before, since) = *self.much.since.get_or_insert((volume, at));
            if volume.saturating_sub(before) < MUCH {
                return None;
            }
            self.much.since = Some((volume, at));
            let is_early = self.much.not_before.is_some_and(|not_before| at < not_before);
            if is_early || at.saturating_duration_since(since) > WITHIN {
                return None;
            }
            self.much.dialling = Some((self.dials)(Wish::Alone));
        }
        let Poll::Ready(outcome) = self.much.dialling.as_mut()?.as_mut().poll(cx) else { return None };
        self.much = Much::default();
        match outcome {
            Ok((carrier, _)) => {
                self.place = Place::Alone;
                Some(carrier)
            }
            Err(why) => {
                tracing::debug!(why, "no connection for a stream that moves much");
                self.much.not_before = at.checked_add(NOT_AGAIN_FOR);
                None
            }
        }
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
