//! The agent's side: which streams a session has, and which one a new carrier belongs to.

use std::{
    collections::HashMap,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Waker},
};

use futures::task::AtomicWaker;
use hoop_model::StreamId;
use tokio::io::AsyncReadExt as _;

use super::{Carrier, ResumableStream, Source, now};
use crate::{
    core::{
        Core, Limits,
        frame::{Control, FrameError, HEADER, Header, Kind, Notice, Opening, RefusalCode},
    },
    ticket::TicketWindow,
};

/// Why a carrier was not attached.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// It broke or ended before its first frame.
    #[error("the carrier broke: {0}")]
    Io(#[from] std::io::Error),
    /// The first frame took too long.
    #[error("the carrier's first frame took too long")]
    Timeout,
    /// The first frame is none.
    #[error("the carrier's first frame is none: {0}")]
    Frame(#[from] FrameError),
    /// The first frame is another one.
    #[error("the carrier begins with neither Open nor Resume")]
    NotAnOpening,
    /// The peer was told.
    #[error("refused: {0:?}")]
    Refused(RefusalCode),
}

/// What became of a carrier.
#[derive(Debug)]
pub enum Attached<C: Carrier> {
    /// A new stream: its owner drives it.
    New(Box<ResumableStream<C>>),
    /// It carries a stream that lives; nothing is to be done.
    Resumed(StreamId),
    /// It carries many streams, each in a lane: see [`lanes::accept`](crate::lanes::accept). Every lane is to be attached.
    Shared(C),
}

/// The streams of one session at the agent. Cheap to clone.
pub struct SessionStreams<C> {
    shared: Arc<Shared<C>>,
}

impl<C> Clone for SessionStreams<C> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<C> std::fmt::Debug for SessionStreams<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionStreams")
            .field("living", &self.shared.state().living.len())
            .finish_non_exhaustive()
    }
}

struct Shared<C> {
    limits: Limits,
    most: usize,
    state: Mutex<State<C>>,
}

struct State<C> {
    living: HashMap<StreamId, Arc<Slot<C>>>,
    /// Ids that were used: an `Open` that comes again after its stream's end must not open another one.
    used: TicketWindow,
    ending: bool,
}

impl<C> Shared<C> {
    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a new carrier is left for a living stream.
pub(super) struct Slot<C> {
    id: StreamId,
    filled: AtomicBool,
    left: Mutex<Option<(C, Opening)>>,
    waker: AtomicWaker,
    owner: Weak<Shared<C>>,
}

impl<C> Slot<C> {
    /// What was left, if anything; otherwise the task is woken when something is.
    pub(super) fn take(&self, cx: &Context<'_>) -> Option<(C, Opening)> {
        self.waker.register(cx.waker());
        if !self.filled.swap(false, Ordering::AcqRel) {
            return None;
        }
        self.left.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Leaves a carrier. One that was left before and not taken is dropped: the connector has given it up.
    fn leave(&self, carrier: C, opening: Opening) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = Some((carrier, opening));
        self.filled.store(true, Ordering::Release);
        self.waker.wake();
    }
}

/// Takes a stream out of its session's list when the stream is dropped.
impl<C> Slot<C> {
    pub(super) fn forget(&self) {
        if let Some(shared) = self.owner.upgrade() {
            shared.state().living.remove(&self.id);
        }
    }
}

impl<C: Carrier> SessionStreams<C> {
    /// For a session with at most `most` streams at once.
    #[must_use]
    pub fn new(limits: Limits, most: usize) -> Self {
        let state = State { living: HashMap::new(), used: TicketWindow::default(), ending: false };
        Self { shared: Arc::new(Shared { limits, most, state: Mutex::new(state) }) }
    }

    /// How many streams live.
    #[must_use]
    pub fn living(&self) -> usize {
        self.shared.state().living.len()
    }

    /// Refuses new streams and carriers from now on.
    pub fn end(&self) {
        self.shared.state().ending = true;
    }

    /// Reads a carrier's first frame and finds its stream. The carrier's peer is already known to be this session's.
    ///
    /// # Errors
    /// [`AttachError`]; the carrier is closed.
    pub async fn attach(&self, mut carrier: C) -> Result<Attached<C>, AttachError> {
        let opening = tokio::time::timeout(self.shared.limits.accept_within, first_frame(&mut carrier))
            .await
            .map_err(|_| AttachError::Timeout)??;
        let Some(opening) = opening else { return Ok(Attached::Shared(carrier)) };
        match self.place(carrier, opening) {
            Ok(attached) => Ok(attached),
            Err((carrier, code)) => {
                refuse_now(carrier, code);
                Err(AttachError::Refused(code))
            }
        }
    }

    fn place(&self, carrier: C, opening: Opening) -> Result<Attached<C>, (C, RefusalCode)> {
        let mut state = self.shared.state();
        if state.ending {
            return Err((carrier, RefusalCode::Ending));
        }
        if let Some(slot) = state.living.get(&opening.stream) {
            slot.leave(carrier, opening);
            return Ok(Attached::Resumed(opening.stream));
        }
        if state.used.is_used(opening.stream.0) {
            return Err((carrier, RefusalCode::Finished));
        }
        if opening.resume {
            return Err((carrier, RefusalCode::UnknownStream));
        }
        if state.living.len() >= self.shared.most {
            return Err((carrier, RefusalCode::TooManyStreams));
        }
        let mut core = Core::agent(self.shared.limits, now());
        if let Err(code) = core.accept(&opening, now()) {
            return Err((carrier, code));
        }
        if state.used.admit(opening.stream.0).is_err() {
            return Err((carrier, RefusalCode::Finished));
        }
        let slot = Arc::new(Slot {
            id: opening.stream,
            filled: AtomicBool::new(false),
            left: Mutex::new(None),
            waker: AtomicWaker::new(),
            owner: Arc::downgrade(&self.shared),
        });
        state.living.insert(opening.stream, Arc::clone(&slot));
        let stream = ResumableStream::new(opening.stream, core, carrier, Source::Agent(slot));
        Ok(Attached::New(Box::new(stream)))
    }
}

/// Exactly the first frame: what follows stays in the carrier. None, if the carrier is to be shared.
async fn first_frame<C: Carrier>(carrier: &mut C) -> Result<Option<Opening>, AttachError> {
    let mut header = [0; HEADER];
    carrier.read_exact(&mut header).await?;
    let header = Header::decode(header)?;
    match header.kind {
        Kind::Open | Kind::Resume => {}
        Kind::Share if header.length == 0 => return Ok(None),
        _ => return Err(AttachError::NotAnOpening),
    }
    let mut body = [0; crate::core::frame::MAX_CONTROL];
    let body = body.get_mut(..header.length).ok_or(FrameError::TooLong(header.length))?;
    carrier.read_exact(body).await?;
    match Control::decode(header.kind, body)? {
        Control::Opening(opening) => Ok(Some(opening)),
        _ => Err(AttachError::NotAnOpening),
    }
}

/// Tells the peer and closes, without waiting: a new connection's send buffer is empty and takes it.
pub(super) fn refuse_now<C: Carrier>(mut carrier: C, code: RefusalCode) {
    let cx = &mut Context::from_waker(Waker::noop());
    let mut frame = Vec::new();
    Control::Refused(Notice::from(code)).encode(&mut frame);
    let _ = Pin::new(&mut carrier).poll_write(cx, &frame);
    let _ = Pin::new(&mut carrier).poll_flush(cx);
    let _ = Pin::new(&mut carrier).poll_shutdown(cx);
}
