//! The resumable stream over real carriers: reads and writes like a socket, and does not notice when one breaks.
//!
//! Poll-driven: no task, no channel and no buffer of its own while idle. Whoever owns a stream polls it from *one* task;
//! every poll also does what is due underneath (acknowledgements, pings, a new carrier). Halves of
//! `tokio::io::split` may be used from that one task.
//!
//! The bytes of a carrier are read into a buffer that all streams of a thread share, and go from there straight into
//! the reader's. A write goes out at once, header and payload in one call, which makes one TLS record of a small one.

mod agent;
mod connector;
pub(crate) mod scratch;
#[cfg(test)]
mod tests;

use std::{
    future::Future as _,
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant as StdInstant,
};

use bytes::{Bytes, BytesMut};
use hoop_model::{Blame, Fault, StreamId};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep},
};

pub use agent::{AttachError, Attached, SessionStreams};
pub use connector::{Backoff, Connector, Dial, DialFailure, Sharing};

use crate::core::{
    Broken, Core, Timeout,
    frame::{Notice, RefusalCode},
};
use agent::Slot;
use connector::Redial;

/// A connection that may break: inner TLS over TCP or a WebSocket, a pipe in tests.
pub trait Carrier: AsyncRead + AsyncWrite + Unpin + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Carrier for T {}

/// Codes of `Reset` that this crate itself sends.
pub mod reset {
    /// The owner dropped the stream before its end.
    pub const DROPPED: u16 = 1;
}

/// Why a stream is over before its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// It broke for good.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The connector cannot reach the agent, and trying again is of no use.
    #[error("the session cannot be reached again: {0}")]
    Unreachable(String),
}

impl StreamError {
    /// The form that a person may read.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Self::Broken(Broken::Reset(notice)) => Fault::new(
                "HOOP-4101",
                Blame::Network,
                format!("the agent closed the stream: {}", notice.message),
            ),
            Self::Broken(Broken::Refused(notice)) => Fault::new(
                "HOOP-4102",
                Blame::Network,
                format!("the agent refused the stream: {}", notice.message),
            )
            .with_hint("open the connection again with `hoop connect`"),
            Self::Broken(Broken::Expired) => Fault::new(
                "HOOP-4103",
                Blame::Network,
                "the connection was away for longer than the session waits",
            )
            .with_hint("check the network, then open the connection again"),
            Self::Broken(Broken::Local(notice)) => {
                Fault::new("HOOP-4104", Blame::System, notice.message.clone())
            }
            Self::Unreachable(_) => Fault::new(
                "HOOP-4105",
                Blame::Network,
                "the session can no longer be reached through the gateway",
            )
            .with_hint("`hoop sessions ls` shows whether it was ended, and by whom"),
        }
    }
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        let kind = match &error {
            StreamError::Broken(Broken::Expired) => io::ErrorKind::TimedOut,
            StreamError::Broken(_) => io::ErrorKind::ConnectionReset,
            StreamError::Unreachable(_) => io::ErrorKind::NotConnected,
        };
        Self::new(kind, error)
    }
}

/// Where new carriers come from.
enum Source<C> {
    /// The connector dials them.
    Connector(Redial<C>),
    /// At the agent they are brought by [`SessionStreams::attach`].
    Agent(Arc<Slot<C>>),
}

/// One end of a resumable stream.
pub struct ResumableStream<C: Carrier> {
    id: StreamId,
    core: Core,
    carrier: Option<C>,
    source: Source<C>,
    /// Bytes were written onto the carrier and not flushed.
    unflushed: bool,
    waits: Waits,
    timer: Option<Pin<Box<Sleep>>>,
    unreachable: Option<StreamError>,
}

impl<C: Carrier> std::fmt::Debug for ResumableStream<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ResumableStream").field("id", &self.id).finish_non_exhaustive()
    }
}

/// What the task that polls the stream sleeps for. All that it does polls the same carrier: one thing may find what another was told
/// to wait for, and then the task is woken, or it would sleep on.
#[derive(Debug, Clone, Copy, Default)]
struct Waits {
    /// To read.
    data: bool,
    /// To write.
    room: bool,
    /// For what was written to be on the carrier.
    flushed: bool,
    /// For the other end to have read all.
    finished: bool,
}

fn now() -> StdInstant {
    Instant::now().into_std()
}

impl<C: Carrier> ResumableStream<C> {
    fn new(id: StreamId, core: Core, carrier: C, source: Source<C>) -> Self {
        Self {
            id,
            core,
            carrier: Some(carrier),
            source,
            unflushed: false,
            waits: Waits::default(),
            timer: None,
            unreachable: None,
        }
    }

    /// Which stream of the session it is.
    #[must_use]
    pub const fn id(&self) -> StreamId {
        self.id
    }

    /// Whether a carrier is attached and agreed on: `false` while the connection is away.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.carrier.is_some() && self.core.is_open()
    }

    /// The carrier in use, to look at.
    #[must_use]
    pub const fn carrier(&self) -> Option<&C> {
        self.carrier.as_ref()
    }

    /// Bytes that this end sent and received.
    #[must_use]
    pub fn volumes(&self) -> (u64, u64) {
        self.core.volumes()
    }

    /// Bytes of memory that this stream holds beside its carrier.
    #[must_use]
    pub fn held(&self) -> usize {
        size_of::<Self>() + self.core.held() + self.timer.as_ref().map_or(0, |_| size_of::<Sleep>())
    }

    /// Reads up to `limit` bytes to the end of `buffer`. 0 is the stream's end.
    ///
    /// # Errors
    /// [`StreamError`]: the stream is over.
    pub fn poll_read_buf(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Poll<Result<usize, StreamError>> {
        self.poll_deliver(cx, limit, &mut |bytes| buffer.extend_from_slice(bytes))
    }

    /// Writes from the front of `bytes` without copying them; returns how many were taken. Those will be delivered.
    ///
    /// # Errors
    /// [`StreamError`]: the stream is over.
    pub fn poll_write_shared(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &mut Bytes,
    ) -> Poll<Result<usize, StreamError>> {
        ready!(self.poll_capacity(cx))?;
        let count = self.core.write_shared(bytes);
        self.time();
        self.pump(cx);
        Poll::Ready(Ok(count))
    }

    /// Does what is due underneath, without reading or writing: for an owner that does neither for now.
    ///
    /// What comes in meanwhile is held, at most a window of it. Ready only when the stream is over.
    pub fn poll_drive(&mut self, cx: &mut Context<'_>) -> Poll<StreamError> {
        loop {
            if let Err(error) = self.check() {
                return Poll::Ready(error);
            }
            let polled = self.poll_carrier(cx, now(), 0, &mut |_| {});
            self.wake_writer(cx);
            if polled.is_pending() {
                return Poll::Pending;
            }
        }
    }

    /// Gives the stream up, and tells the other end why: at once if the carrier takes it, else with the next poll.
    pub fn reset(&mut self, code: u16, message: &str) {
        self.core.reset(Notice::new(code, message));
        self.pump(&mut Context::from_waker(std::task::Waker::noop()));
    }

    // --- reading

    fn poll_deliver(
        &mut self,
        cx: &mut Context<'_>,
        limit: usize,
        deliver: &mut dyn FnMut(&[u8]),
    ) -> Poll<Result<usize, StreamError>> {
        if limit == 0 {
            return Poll::Ready(Ok(0));
        }
        let at = now(); // asking for the time costs a good part of what a small read costs: once a poll
        loop {
            let held = self.core.read(at, |bytes| {
                let taken = bytes.get(..limit.min(bytes.len())).unwrap_or_default();
                deliver(taken);
                taken.len()
            });
            if held > 0 {
                self.pump(cx);
                return Poll::Ready(Ok(held));
            }
            if self.core.read_end(at) {
                self.pump(cx);
                return Poll::Ready(Ok(0));
            }
            self.check()?;
            let polled = self.poll_carrier(cx, at, limit, deliver);
            self.wake_writer(cx);
            self.waits.data = polled.is_pending();
            let delivered = ready!(polled);
            if delivered > 0 {
                if self.core.has_output() {
                    self.pump(cx);
                }
                return Poll::Ready(Ok(delivered));
            }
        }
    }

    /// Reads the carrier once. Ready when something happened: bytes came, the carrier broke, another one is there.
    fn poll_carrier(
        &mut self,
        cx: &mut Context<'_>,
        at: StdInstant,
        limit: usize,
        deliver: &mut dyn FnMut(&[u8]),
    ) -> Poll<usize> {
        if let Source::Agent(slot) = &self.source
            && let Some((carrier, opening)) = slot.take(cx)
        {
            self.replace_carrier(carrier, &opening);
            return Poll::Ready(0);
        }
        if self.core.is_open()
            && let Source::Connector(redial) = &mut self.source
            && let (sent, received) = self.core.volumes()
            && let Some(carrier) = redial.poll_alone(cx, at, sent + received)
        {
            self.move_out(cx, carrier);
            return Poll::Ready(0);
        }
        let Some(carrier) = &mut self.carrier else { return self.poll_absent(cx, at) };
        let core = &mut self.core;
        let mut delivered = 0;
        let outcome = scratch::read(carrier, cx, |bytes| {
            core.handle_input(bytes, at, |data| {
                let taken = data.get(..(limit - delivered).min(data.len())).unwrap_or_default();
                deliver(taken);
                delivered += taken.len();
                taken.len()
            })
        });
        match outcome {
            Poll::Ready(Ok(Some(Ok(())))) => {
                if delivered == 0 && self.core.has_output() {
                    self.pump(cx);
                }
            }
            Poll::Ready(Ok(Some(Err(violation)))) => {
                tracing::warn!(stream = self.id.0, %violation, "carrier dropped: the peer broke the protocol");
                self.lose_carrier();
            }
            Poll::Ready(Ok(None) | Err(_)) => self.lose_carrier(),
            Poll::Pending => return self.poll_quiet(cx, at),
        }
        Poll::Ready(delivered)
    }

    /// Nothing to read: write what is due, and see that time does not stand still.
    fn poll_quiet(&mut self, cx: &mut Context<'_>, at: StdInstant) -> Poll<usize> {
        let passed = self.core.handle_timeout(at);
        if passed == Timeout::CarrierDead {
            self.lose_carrier();
            return Poll::Ready(0);
        }
        if self.core.has_output() || self.unflushed {
            let had = self.carrier.is_some();
            self.pump(cx);
            if had != self.carrier.is_some() {
                return Poll::Ready(0);
            }
        }
        self.poll_timer(cx).map(|()| 0)
    }

    /// No carrier: wait for one, as long as the stream may.
    fn poll_absent(&mut self, cx: &mut Context<'_>, at: StdInstant) -> Poll<usize> {
        if self.core.handle_timeout(at) == Timeout::Expired {
            return Poll::Ready(0);
        }
        if let Source::Connector(redial) = &mut self.source {
            match redial.poll(cx) {
                Poll::Ready(Ok(carrier)) => {
                    self.carrier = Some(carrier);
                    self.core.attach(now());
                    self.pump(cx);
                    return Poll::Ready(0);
                }
                Poll::Ready(Err(failure)) => {
                    self.unreachable = Some(StreamError::Unreachable(failure));
                    return Poll::Ready(0);
                }
                Poll::Pending => {}
            }
        }
        self.poll_timer(cx).map(|()| 0)
    }

    fn replace_carrier(&mut self, carrier: C, opening: &crate::core::frame::Opening) {
        match self.core.accept(opening, now()) {
            Ok(()) => {
                self.carrier = Some(carrier);
                self.unflushed = false;
                self.pump(&mut Context::from_waker(std::task::Waker::noop()));
            }
            Err(code) => agent::refuse_now(carrier, code),
        }
    }

    /// From a lane to a connection of its own. What was under way is sent again as far as it did not arrive.
    fn move_out(&mut self, cx: &mut Context<'_>, carrier: C) {
        if let Some(mut lane) = self.carrier.replace(carrier) {
            let _ = Pin::new(&mut lane).poll_shutdown(cx);
        }
        self.unflushed = false;
        self.core.detach(now());
        self.core.attach(now());
        self.pump(cx);
    }

    fn lose_carrier(&mut self) {
        if self.carrier.take().is_none() {
            return;
        }
        self.unflushed = false;
        if let Source::Connector(redial) = &mut self.source {
            redial.start(self.core.is_open());
        }
        self.core.detach(now());
    }

    /// Ready when a time came that has to be looked at.
    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(at) = self.core.next_timeout().map(Instant::from_std) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        // A timer is moved only to an earlier time; one that fires too early is set again. Traffic moves no timer.
        if timer.is_elapsed() || at < timer.deadline() {
            timer.as_mut().reset(at);
        }
        timer.as_mut().poll(cx)
    }

    fn check(&self) -> Result<(), StreamError> {
        if let Some(error) = &self.unreachable {
            return Err(error.clone());
        }
        match self.core.broken() {
            Some(broken) => Err(broken.clone().into()),
            None => Ok(()),
        }
    }

    // --- writing

    /// Ready when there is room for a byte.
    fn poll_capacity(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        loop {
            self.check()?;
            if self.core.capacity() > 0 {
                return Poll::Ready(Ok(()));
            }
            // Room comes with an acknowledgement.
            let polled = self.poll_for_writer(cx);
            self.waits.room = polled.is_pending();
            ready!(polled);
        }
    }

    /// Reads the carrier for something else than data. Data that comes before it is held for the reader.
    fn poll_for_writer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let polled = self.poll_carrier(cx, now(), 0, &mut |_| {});
        if self.waits.data && polled.is_ready() {
            self.waits.data = false;
            cx.waker().wake_by_ref();
        }
        polled.map(drop)
    }

    /// The reader found what somebody else waits for.
    fn wake_writer(&mut self, cx: &Context<'_>) {
        let Waits { room, flushed, finished, .. } = self.waits;
        let found = (room && self.core.capacity() > 0)
            || (flushed && self.is_flushed())
            || (finished && self.core.is_finish_acknowledged());
        if found {
            (self.waits.room, self.waits.flushed, self.waits.finished) = (false, false, false);
            cx.waker().wake_by_ref();
        }
    }

    /// The carrier has taken everything.
    fn is_flushed(&self) -> bool {
        self.carrier.is_some() && !self.core.has_output() && !self.unflushed
    }

    /// Notes when something was written, where that is of use.
    fn time(&mut self) {
        if self.core.is_to_be_timed() {
            self.core.time(now());
        }
    }

    /// Writes what there is, as far as the carrier takes it.
    fn pump(&mut self, cx: &mut Context<'_>) {
        if self.poll_pump(cx).is_ready() && self.unflushed {
            let Some(carrier) = &mut self.carrier else { return };
            match Pin::new(carrier).poll_flush(cx) {
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(_)) => self.lose_carrier(),
                Poll::Pending => {}
            }
        }
    }

    fn poll_pump(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.core.has_output() {
            let Some(carrier) = &mut self.carrier else { return Poll::Ready(()) };
            let mut slices = [IoSlice::new(&[]); 16];
            let filled = self.core.transmit(&mut slices);
            let outcome = scratch::write(carrier, cx, slices.get(..filled).unwrap_or_default());
            match ready!(outcome) {
                Ok(0) | Err(_) => {
                    self.lose_carrier();
                    return Poll::Ready(());
                }
                Ok(count) => {
                    self.core.transmitted(count);
                    self.unflushed = true;
                }
            }
        }
        Poll::Ready(())
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamError>> {
        self.core.finish();
        self.pump(cx);
        loop {
            if self.core.is_finish_acknowledged() {
                return Poll::Ready(Ok(()));
            }
            self.check()?;
            let polled = self.poll_for_writer(cx);
            self.waits.finished = polled.is_pending();
            ready!(polled);
        }
    }
}

impl<C: Carrier> AsyncRead for ResumableStream<C> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let limit = buf.remaining();
        ready!(self.poll_deliver(cx, limit, &mut |bytes| buf.put_slice(bytes)))?;
        Poll::Ready(Ok(()))
    }
}

impl<C: Carrier> AsyncWrite for ResumableStream<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.poll_capacity(cx))?;
        let count = self.core.write(buf);
        self.time();
        self.pump(cx);
        Poll::Ready(Ok(count))
    }

    /// Ready when the carrier has taken everything. (That the other end has it is known after a shutdown.)
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.check()?;
            self.pump(cx);
            if self.is_flushed() {
                return Poll::Ready(Ok(()));
            }
            let polled = self.poll_for_writer(cx);
            self.waits.flushed = polled.is_pending();
            ready!(polled);
        }
    }

    /// Ends this direction. Ready when the other end has read everything, and its end.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_finish(cx))?;
        Poll::Ready(Ok(()))
    }
}

impl<C: Carrier> Drop for ResumableStream<C> {
    fn drop(&mut self) {
        let cx = &mut Context::from_waker(std::task::Waker::noop());
        if !self.core.is_complete() && self.core.broken().is_none() {
            self.core.reset(Notice::new(reset::DROPPED, "the other end gave the stream up"));
        }
        self.pump(cx); // the last acknowledgement, or the reset
        if let Some(carrier) = &mut self.carrier {
            let _ = Pin::new(carrier).poll_shutdown(cx);
        }
        if let Source::Agent(slot) = &self.source {
            slot.forget();
        }
    }
}

impl From<RefusalCode> for Notice {
    fn from(code: RefusalCode) -> Self {
        let message = match code {
            RefusalCode::UnknownStream => "there is no such stream",
            RefusalCode::Finished => "the stream is over",
            RefusalCode::TooManyStreams => "the session has as many streams as it may",
            RefusalCode::PositionLost => "bytes that would have to be sent again are gone",
            RefusalCode::Ending => "the session is ending",
            RefusalCode::Other(_) => "refused",
        };
        Self::new(code.into(), message)
    }
}
