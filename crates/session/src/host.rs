//! Hosts an engine that owns its event loop: gives it streams, decisions, recording and end, and ends it.
//!
//! ```text
//!   client ◀─▶ Crossing ◀─▶ engine (runs by itself) ◀─▶ Leash ◀─▶ target
//!                              │ Services: decide, record, dial, ended
//!                              ▼
//!                        this driver: keeps the recording, hears the end, bounds the farewell
//! ```
//! One future drives all of it. When it is over or dropped, both streams of the engine break, and with them whatever the
//! engine's library started. The client's own stream is polled here and nowhere else.

use std::{
    future::{Future as _, poll_fn},
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use hoop_engine::{
    CloseReason, Event, Question,
    hosted::{ByteStream, Doing, Handshake, Host, HostedEngine, HostedParts, Keep, Secured, Services},
    program::{Program, ProgramOrder},
};
use hoop_model::{Blame, Fault, Redacted, StreamId, Timestamp};
use hoop_policy::{Denial, Permit, Warrant};
use hoop_recording::event::Record;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    sync::watch,
    time::Sleep,
};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::{
    Activity, Dial, Ending, Limits, Mark, Pipe, SecuredSocket, StreamEnd, Tape, TapeError, Terminator,
    crossing::Crossing,
    drive::describe,
    ending::{Ear, News},
    leash::Leash,
};

/// Bytes between the client's stream and the engine, each way: what an engine says waits behind no more of its own.
const BETWEEN: usize = 64 * 1024;

/// What a hosted stream is made of.
pub struct HostParts<C> {
    /// Which stream of its session.
    pub stream: StreamId,
    /// Speaks the protocol.
    pub engine: Box<dyn HostedEngine>,
    /// The person's client.
    pub client: C,
    /// Reaches the target.
    pub dial: Arc<dyn Dial>,
    /// The session's recording.
    pub tape: Arc<dyn Tape>,
    /// Which requests may go on.
    pub warrant: Arc<Warrant>,
    /// What the session does.
    pub activity: Arc<Activity>,
    /// Says when the session is to end; the engine may, too.
    pub terminator: Terminator,
    /// Bounds.
    pub limits: Limits,
    /// See [`HostedParts::stream_key`].
    pub stream_key: Redacted<[u8; 32]>,
}

/// Runs a hosted stream to its end. Dropping the future cuts both sides at once; the end is then not recorded.
pub async fn host<C: Pipe>(parts: HostParts<C>) -> StreamEnd {
    let (near, far) = tokio::io::duplex(BETWEEN);
    let desk = Arc::new(Desk {
        stream: parts.stream,
        warrant: parts.warrant,
        tape: parts.tape,
        activity: Arc::clone(&parts.activity),
        dial: parts.dial,
        ending: parts.terminator.listen(),
        terminator: parts.terminator.clone(),
        over: CancellationToken::new(),
        wanted: AtomicU64::new(0),
        kept: watch::channel(Ok(0)).0,
        driver: Mutex::default(),
    });
    // Whatever becomes of this future, the target's streams break with it.
    let _over = desk.over.clone().drop_guard();
    let engine = parts.engine.run(HostedParts {
        client: Box::new(Between(far)),
        host: Host::new(Arc::new(Shared(Arc::clone(&desk)))),
        stream_key: parts.stream_key,
    });
    let mut driver = Driver {
        ear: Ear::new(parts.terminator.listen()),
        engine: Some(engine),
        crossing: Some(Crossing::new(parts.client, near, parts.activity)),
        desk: Arc::clone(&desk),
        asked: None,
        limits: parts.limits,
        until: None,
        reason: None,
        carried: (0, 0),
    };
    let reason = poll_fn(|cx| driver.poll(cx)).await;
    let (bytes_in, bytes_out) = driver.carried();
    drop(driver);
    let event = Event::Closed { reason: describe(&reason), bytes_in, bytes_out };
    let record = Record { at: now(), stream: Some(desk.stream), event };
    if let Err(TapeError(fault)) = desk.tape.append(record) {
        tracing::warn!(stream = %desk.stream, code = %fault.code, "the end of a stream was not recorded");
    }
    StreamEnd { reason, bytes_in, bytes_out }
}

fn now() -> Timestamp {
    Timestamp::from(jiff::Timestamp::now())
}

struct Driver<C> {
    ear: Ear,
    /// Until it is over.
    engine: Option<Doing<CloseReason>>,
    /// Until both ways of the client have ended.
    crossing: Option<Crossing<C>>,
    desk: Arc<Desk>,
    /// What the tape is being asked to keep; later wishes wait, so that an early one is not put off for ever.
    asked: Option<Mark>,
    limits: Limits,
    /// The farewell ends here.
    until: Option<Pin<Box<Sleep>>>,
    reason: Option<CloseReason>,
    carried: (u64, u64),
}

impl<C: Pipe> Driver<C> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        match self.ear.hear(cx) {
            Some(News::Cut(reason)) => return Poll::Ready(CloseReason::Fault(reason)),
            Some(News::End(reason)) => {
                self.reason = Some(CloseReason::Fault(reason));
                self.say_farewell();
            }
            None => {}
        }
        if let Some(engine) = &mut self.engine
            && let Poll::Ready(reason) = engine.as_mut().poll(cx)
        {
            self.engine = None;
            self.reason.get_or_insert(reason);
            self.desk.over.cancel();
            self.say_farewell();
        }
        self.poll_keep(cx);
        if let Some(crossing) = &mut self.crossing
            && crossing.poll(cx).is_ready()
        {
            self.carried = crossing.carried();
            self.crossing = None;
            // The engine finds its client gone, and ends.
            self.say_farewell();
        }
        let late = self.until.as_mut().is_some_and(|until| until.as_mut().poll(cx).is_ready());
        if late || (self.engine.is_none() && self.crossing.is_none()) {
            return Poll::Ready(self.reason.clone().unwrap_or(CloseReason::Client));
        }
        Poll::Pending
    }

    fn say_farewell(&mut self) {
        let farewell = self.limits.farewell;
        self.until.get_or_insert_with(|| Box::pin(tokio::time::sleep(farewell)));
    }

    /// Has the tape keep what the engine waits for. One asks for all: who asks a tape and is dropped leaves others waiting.
    fn poll_keep(&mut self, cx: &mut Context<'_>) {
        *self.desk.driver.lock().unwrap_or_else(PoisonError::into_inner) = Some(cx.waker().clone());
        loop {
            let asked = self.asked.or_else(|| self.desk.unkept());
            let Some(mark) = asked else { return };
            self.asked = Some(mark);
            match self.desk.tape.poll_kept(mark, cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => {
                    self.asked = None;
                    let _ = self.desk.kept.send_replace(Ok(mark.0));
                }
                Poll::Ready(Err(TapeError(fault))) => {
                    self.asked = None;
                    self.desk.wanted.store(0, Ordering::Release);
                    let _ = self.desk.kept.send_replace(Err(fault));
                    return;
                }
            }
        }
    }

    fn carried(&self) -> (u64, u64) {
        self.crossing.as_ref().map_or(self.carried, Crossing::carried)
    }
}

/// What serves the engine; the driver is its other half.
struct Desk {
    stream: StreamId,
    warrant: Arc<Warrant>,
    tape: Arc<dyn Tape>,
    activity: Arc<Activity>,
    dial: Arc<dyn Dial>,
    ending: Ending,
    terminator: Terminator,
    /// The engine is over: its streams break.
    over: CancellationToken,
    /// Up to here somebody waits for the recording to be kept.
    wanted: AtomicU64,
    /// Up to here it is, or why it will not be.
    kept: watch::Sender<Result<u64, Fault>>,
    driver: Mutex<Option<Waker>>,
}

impl Desk {
    fn unkept(&self) -> Option<Mark> {
        let wanted = self.wanted.load(Ordering::Acquire);
        let kept = self.kept.borrow().as_ref().map_or(u64::MAX, |kept| *kept);
        (wanted > kept).then_some(Mark(wanted))
    }

    /// Waits until the recording is kept up to `mark`.
    async fn keep(&self, mark: Mark) -> Result<(), Fault> {
        let mut kept = self.kept.subscribe();
        self.wanted.fetch_max(mark.0, Ordering::AcqRel);
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner).clone();
        driver.into_iter().for_each(Waker::wake);
        let waited = kept.wait_for(|kept| kept.as_ref().map_or(true, |kept| *kept >= mark.0)).await;
        let outcome = waited.map(|kept| kept.clone().map(drop));
        outcome.unwrap_or_else(|_| {
            Err(Fault::new("HOOP-6013", Blame::System, "the recording of this session has ended"))
        })
    }
}

struct Shared(Arc<Desk>);

impl Services for Shared {
    fn now(&self) -> Timestamp {
        now()
    }

    fn decide(&self, question: &Question) -> Result<Result<Permit, Denial>, Fault> {
        match self.0.ending.reason() {
            Some(reason) => Err(reason),
            None => Ok(self.0.warrant.decide(&question.as_action(), now())),
        }
    }

    fn record(&self, event: Event, keep: Keep) -> Doing<Result<(), Fault>> {
        let desk = Arc::clone(&self.0);
        if matches!(event, Event::Request { .. }) {
            desk.activity.requests.fetch_add(1, Ordering::Relaxed);
        }
        let appended = desk.tape.append(Record { at: now(), stream: Some(desk.stream), event });
        Box::pin(async move {
            let mark = appended.map_err(|TapeError(fault)| fault)?;
            if keep == Keep::First || desk.tape.is_strict() {
                desk.keep(mark).await?;
            }
            poll_fn(|cx| desk.tape.poll_ready(cx)).await.map_err(|TapeError(fault)| fault)
        })
    }

    fn dial(&self) -> Doing<Result<Box<dyn ByteStream>, Fault>> {
        leashed(self.0.dial.as_ref(), &self.0.over)
    }

    fn dial_secured(&self, handshake: Handshake) -> Doing<Result<Secured, Fault>> {
        secured(self.0.dial.as_ref(), handshake, &self.0.over)
    }

    fn start_program(&self, order: ProgramOrder) -> Doing<Result<Program, Fault>> {
        self.0.dial.start_program(order, self.0.over.clone())
    }

    fn touch(&self) {
        self.0.activity.touch(now());
    }

    fn end_session(&self, fault: Fault) {
        self.0.terminator.end(fault);
    }

    fn ended(&self) -> Doing<Fault> {
        Box::pin(self.0.ending.clone().ended())
    }
}

/// A host in nobody's session: it reaches the target, until the guard is dropped, and no more. There is nothing to ask.
#[must_use]
pub fn bare_host(dial: Arc<dyn Dial>) -> (Host, DropGuard) {
    let over = CancellationToken::new();
    let bare = Bare { dial, over: over.clone() };
    (Host::new(Arc::new(bare)), over.drop_guard())
}

struct Bare {
    dial: Arc<dyn Dial>,
    over: CancellationToken,
}

impl Services for Bare {
    fn now(&self) -> Timestamp {
        now()
    }

    fn decide(&self, _: &Question) -> Result<Result<Permit, Denial>, Fault> {
        Err(Fault::new("HOOP-9007", Blame::System, "something was asked in nobody's session"))
    }

    fn record(&self, _: Event, _: Keep) -> Doing<Result<(), Fault>> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn dial(&self) -> Doing<Result<Box<dyn ByteStream>, Fault>> {
        leashed(self.dial.as_ref(), &self.over)
    }

    fn dial_secured(&self, handshake: Handshake) -> Doing<Result<Secured, Fault>> {
        secured(self.dial.as_ref(), handshake, &self.over)
    }

    fn start_program(&self, _: ProgramOrder) -> Doing<Result<Program, Fault>> {
        let fault = Fault::new("HOOP-9007", Blame::System, "a program was to run in nobody's session");
        Box::pin(std::future::ready(Err(fault)))
    }

    fn touch(&self) {}

    fn end_session(&self, _: Fault) {}

    fn ended(&self) -> Doing<Fault> {
        Box::pin(std::future::pending())
    }
}

fn leashed(dial: &dyn Dial, over: &CancellationToken) -> Doing<Result<Box<dyn ByteStream>, Fault>> {
    let (dialling, over) = (dial.dial(), over.clone());
    Box::pin(async move {
        let stream = dialling.await?;
        Ok(Box::new(Leash::new(Box::new(stream), over)) as Box<dyn ByteStream>)
    })
}

fn secured(dial: &dyn Dial, handshake: Handshake, over: &CancellationToken) -> Doing<Result<Secured, Fault>> {
    let (dialling, over) = (dial.dial_secured(handshake), over.clone());
    Box::pin(async move {
        let SecuredSocket { stream, protocol, tls } = dialling.await?;
        Ok(Secured { stream: Box::new(Leash::new(stream, over)), protocol, tls })
    })
}

/// The engine's end of what leads to the client.
struct Between(DuplexStream);

impl ByteStream for Between {
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        poll_read(Pin::new(&mut self.0), cx, into)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, from)
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// One read of a tokio stream into a slice.
pub(crate) fn poll_read<S: AsyncRead>(
    stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    into: &mut [u8],
) -> Poll<io::Result<usize>> {
    let mut buffer = ReadBuf::new(into);
    std::task::ready!(stream.poll_read(cx, &mut buffer))?;
    Poll::Ready(Ok(buffer.filled().len()))
}
