//! One connection for many streams of a session: each has a lane in it, which is a carrier like any other.
//!
//! ```text
//!   stream ─▶ Lane ─┐                                   ┌─ Lane ─▶ stream
//!   stream ─▶ Lane ─┼─▶ Pump ═══ one inner TLS ═══ Pump ─┼─ Lane ─▶ stream
//!   stream ─▶ Lane ─┘   (a task)                         └─ Lane ─▶ stream
//!
//!  0        4         8
//! +--------+---------+--------- - -      lane: counts up from 0
//! |  lane  | length  | bytes             length: at most FRAME; 0 opens the next lane (the connector may), or ends one (both may)
//! +--------+---------+--------- - -
//! ```
//! Numbers are big-endian. Before the first frame the connector says [`Kind::Share`](crate::core::frame::Kind::Share).
//!
//! What several lanes write at about the same time leaves as one, and comes as one: with many small messages that is most of what
//! they cost. A stream knows nothing of it. Its window bounds what waits in its lane; what a lane holds beyond [`FULL`] stops the
//! reading of all, so that memory is bounded whatever the other side does. Who moves much moves out (see
//! [`crate::stream`]): a transfer neither waits here nor makes others wait.

use std::{
    collections::{BTreeMap, VecDeque},
    future::{Future, poll_fn},
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker, ready},
    time::Duration,
};

use bytes::{Buf as _, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

use crate::{
    core::frame::{Header, Kind},
    stream::scratch,
};

/// Bytes of lane and length.
const HEADER: usize = 8;
/// Largest body.
pub const FRAME: usize = 64 * 1024;
/// With so much to be written, whoever wants to write more waits.
const ROOM: usize = 256 * 1024;
/// With so much unread in one lane, nothing is read: twice a stream's window.
pub const FULL: usize = 2 * 1024 * 1024;
/// A lane that was read to the end gives memory beyond this back.
const KEPT: usize = 16 * 1024;
/// A connection without lanes is kept for so long by the connector, and by the agent for longer: so the one that would open a lane
/// knows.
const UNUSED: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(90));
/// Lanes that answer each other fall out of step by chance: after so many writes of one alone, it is alone.
const STAYS_BUSY: u8 = 32;
/// What is left to be written when nobody wants a connection any more gets so long.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The connector's: opens lanes. When it is dropped, the connection ends with its last lane.
#[derive(Debug)]
pub struct Lanes(Handle);

/// The agent's: the lanes that the connector opens. When it is dropped, the connection ends with its last lane.
#[derive(Debug)]
pub struct Incoming(Handle);

/// Over `carrier`, to be opened by this side. Nothing moves unless the pump is polled.
pub fn open<C: AsyncRead + AsyncWrite + Unpin>(carrier: C) -> (Lanes, Pump<C>) {
    let state = State::new(0);
    lock(&state).out.extend_from_slice(&Header { kind: Kind::Share, length: 0 }.encode());
    (Lanes(Handle(Arc::clone(&state))), Pump::new(carrier, state, UNUSED.0))
}

/// Over a `carrier` on which the other side has said that it shares it. More than `most` lanes at once break the connection.
pub fn accept<C: AsyncRead + AsyncWrite + Unpin>(carrier: C, most: usize) -> (Incoming, Pump<C>) {
    let state = State::new(most);
    (Incoming(Handle(Arc::clone(&state))), Pump::new(carrier, state, UNUSED.1))
}

impl Lanes {
    /// A further lane; none, if the connection is over, or one of its streams gave it up.
    #[must_use]
    pub fn open(&self) -> Option<Lane> {
        let mut state = lock(&self.0.0);
        if state.over || state.suspect {
            return None;
        }
        let number = state.next;
        state.next = number.checked_add(1)?;
        state.lanes.insert(number, End::default());
        // At once, because lanes open in the order of their numbers; it goes along with the next bytes of any.
        state.out.extend_from_slice(&header(number, 0));
        drop(state);
        Some(Lane::new(number, &self.0.0))
    }
}

impl Incoming {
    /// The next lane; none when the connection is over. Cancel safe.
    pub async fn next(&mut self) -> Option<Lane> {
        poll_fn(|cx| {
            let mut state = lock(&self.0.0);
            if let Some(number) = state.came.pop_front() {
                return Poll::Ready(Some(Lane::new(number, &self.0.0)));
            }
            if state.over {
                return Poll::Ready(None);
            }
            state.comer = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// Dropping it tells the pump that no further lanes are wanted.
#[derive(Debug)]
struct Handle(Arc<Mutex<State>>);

impl Drop for Handle {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.wanted = false;
        // Those that nobody took.
        for number in std::mem::take(&mut state.came) {
            state.end(number);
        }
        state.wake_pump();
        state.wake_watch();
    }
}

/// One side of one lane.
#[derive(Debug, Default)]
struct End {
    held: BytesMut,
    ended: bool,
    reader: Option<Waker>,
    /// Waits for room, and stands in `blocked`.
    writer: Option<Waker>,
}

#[derive(Debug)]
struct State {
    /// Frames that the pump has not taken yet, and how many.
    out: Vec<u8>,
    frames: usize,
    /// Tasks that were woken to read.
    woken: usize,
    pump: Option<Waker>,
    /// Waits for the end of the last lane, whatever else the pump waits for.
    watch: Option<Waker>,
    lanes: BTreeMap<u32, End>,
    blocked: VecDeque<u32>,
    came: VecDeque<u32>,
    comer: Option<Waker>,
    /// The lowest number that was not used.
    next: u32,
    /// How many the other side may have open at once.
    most: usize,
    /// Lanes that hold too much.
    full: usize,
    wanted: bool,
    suspect: bool,
    over: bool,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn header(lane: u32, length: usize) -> [u8; HEADER] {
    let length = u32::try_from(length.min(FRAME)).unwrap_or(0);
    let mut header = [0; HEADER];
    let (front, back) = header.split_at_mut(4);
    front.copy_from_slice(&lane.to_be_bytes());
    back.copy_from_slice(&length.to_be_bytes());
    header
}

impl State {
    fn new(most: usize) -> Arc<Mutex<Self>> {
        Arc::new(Mutex::new(Self {
            out: Vec::new(),
            frames: 0,
            woken: 0,
            pump: None,
            watch: None,
            lanes: BTreeMap::new(),
            blocked: VecDeque::new(),
            came: VecDeque::new(),
            comer: None,
            next: 0,
            most,
            full: 0,
            wanted: true,
            suspect: false,
            over: false,
        }))
    }

    fn wake_pump(&mut self) {
        if let Some(pump) = self.pump.take() {
            pump.wake();
        }
    }

    fn wake_watch(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.wake();
        }
    }

    /// This side is done with a lane.
    fn end(&mut self, number: u32) {
        let Some(end) = self.lanes.remove(&number) else { return };
        if end.held.len() > FULL {
            self.full -= 1;
        }
        if !end.ended && !self.over {
            self.out.extend_from_slice(&header(number, 0));
        }
        self.wake_pump();
        if self.lanes.is_empty() {
            self.wake_watch();
        }
    }

    /// Room for writers, in the order in which they came.
    fn make_room(&mut self) {
        for number in std::mem::take(&mut self.blocked) {
            let writer = self.lanes.get_mut(&number).and_then(|end| end.writer.take());
            if let Some(writer) = writer {
                writer.wake();
            }
        }
    }

    /// Bytes of a frame came.
    fn deliver(&mut self, number: u32, bytes: &[u8]) {
        let Some(end) = self.lanes.get_mut(&number) else { return };
        let before = end.held.len();
        end.held.extend_from_slice(bytes);
        if before <= FULL && end.held.len() > FULL {
            self.full += 1;
        }
        if let Some(reader) = end.reader.take() {
            self.woken += 1;
            reader.wake();
        }
    }

    /// A frame begins. What comes late for a lane that is over here is let go.
    fn begin(&mut self, number: u32, length: usize) -> Result<(), Violation> {
        if length == 0 && number == self.next {
            return self.opened(number);
        }
        if number >= self.next {
            return Err(Violation::Lane(number));
        }
        if length == 0 {
            self.ended(number);
        }
        Ok(())
    }

    /// The other side opens a lane.
    fn opened(&mut self, number: u32) -> Result<(), Violation> {
        if self.lanes.len() >= self.most {
            return Err(Violation::Lane(number));
        }
        self.next = number.checked_add(1).ok_or(Violation::Lane(number))?;
        if !self.wanted {
            self.out.extend_from_slice(&header(number, 0));
            return Ok(());
        }
        self.lanes.insert(number, End::default());
        self.came.push_back(number);
        if let Some(comer) = self.comer.take() {
            comer.wake();
        }
        Ok(())
    }

    /// The other side is done with a lane.
    fn ended(&mut self, number: u32) {
        let Some(end) = self.lanes.get_mut(&number) else { return };
        end.ended = true;
        for waker in [end.reader.take(), end.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }

    fn finish(&mut self) {
        self.over = true;
        self.out = Vec::new();
        let wakers: Vec<_> =
            self.lanes.values_mut().flat_map(|end| [end.reader.take(), end.writer.take()]).collect();
        for waker in wakers.into_iter().flatten().chain(self.comer.take()) {
            waker.wake();
        }
    }
}

/// One carrier in a shared connection. Dropped without a shutdown, or before anything came in it, it counts as one that failed: then
/// the connector opens no further lanes in this connection.
#[derive(Debug)]
pub struct Lane {
    number: u32,
    state: Arc<Mutex<State>>,
    heard: bool,
    well: bool,
}

impl Lane {
    fn new(number: u32, state: &Arc<Mutex<State>>) -> Self {
        Self { number, state: Arc::clone(state), heard: false, well: false }
    }
}

impl AsyncRead for Lane {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let mut guard = lock(&this.state);
        let state = &mut *guard;
        let Some(end) = state.lanes.get_mut(&this.number) else { return Poll::Ready(Ok(())) };
        if end.held.is_empty() {
            if end.ended || state.over {
                return Poll::Ready(Ok(()));
            }
            end.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        this.heard = true;
        let was_full = end.held.len() > FULL;
        let count = end.held.len().min(buf.remaining());
        buf.put_slice(end.held.get(..count).unwrap_or_default());
        end.held.advance(count);
        if was_full && end.held.len() <= FULL {
            state.full -= 1;
        }
        if end.held.is_empty() && end.held.capacity() > KEPT {
            end.held = BytesMut::new();
        }
        if was_full {
            state.wake_pump();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Lane {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        let end = state.lanes.get_mut(&self.number).filter(|end| !end.ended && !state.over);
        let Some(end) = end else { return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())) };
        if state.out.len() >= ROOM {
            if end.writer.replace(cx.waker().clone()).is_none() {
                state.blocked.push_back(self.number);
            }
            return Poll::Pending;
        }
        let total = slices.iter().map(|slice| slice.len()).sum::<usize>().min(FRAME);
        if total == 0 {
            return Poll::Ready(Ok(0));
        }
        state.out.extend_from_slice(&header(self.number, total));
        state.frames += 1;
        let mut left = total;
        for slice in slices {
            let part = slice.get(..left.min(slice.len())).unwrap_or_default();
            state.out.extend_from_slice(part);
            left -= part.len();
        }
        state.wake_pump();
        Poll::Ready(Ok(total))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was written is the pump's.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Says that the lane did what it was there for; it ends when it is dropped.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.well = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut state = lock(&self.state);
        state.suspect |= !self.well || !self.heard;
        state.end(self.number);
    }
}

/// What the other side did that it never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Violation {
    #[error("a frame of {0} bytes in a lane")]
    TooLong(u32),
    #[error("lane {0}, which cannot be")]
    Lane(u32),
}

/// Takes frames apart, whatever the pieces they come in.
#[derive(Debug, Default)]
struct Splitter {
    head: [u8; HEADER],
    filled: usize,
    left: usize,
    lane: u32,
}

impl Splitter {
    fn feed(&mut self, mut bytes: &[u8], state: &mut State) -> Result<(), Violation> {
        while !bytes.is_empty() {
            if self.left > 0 {
                let (now, later) = bytes.split_at(self.left.min(bytes.len()));
                state.deliver(self.lane, now);
                self.left -= now.len();
                bytes = later;
                continue;
            }
            let (now, later) = bytes.split_at((HEADER - self.filled).min(bytes.len()));
            for (place, byte) in self.head.iter_mut().skip(self.filled).zip(now) {
                *place = *byte;
            }
            self.filled += now.len();
            bytes = later;
            if self.filled == HEADER {
                self.filled = 0;
                let [a, b, c, d, e, f, g, h] = self.head;
                let (lane, length) = (u32::from_be_bytes([a, b, c, d]), u32::from_be_bytes([e, f, g, h]));
                let left = usize::try_from(length).ok().filter(|it| *it <= FRAME);
                self.left = left.ok_or(Violation::TooLong(length))?;
                self.lane = lane;
                state.begin(lane, self.left)?;
            }
        }
        Ok(())
    }
}

/// Moves bytes between the lanes and their connection: a task of its own. Ends when the connection breaks, when nobody wants it
/// any more, or when it had no lane for a while. Dropping it breaks all lanes.
#[derive(Debug)]
#[must_use = "nothing moves unless it is polled"]
pub struct Pump<C> {
    carrier: C,
    state: Arc<Mutex<State>>,
    writing: Vec<u8>,
    written: usize,
    unflushed: bool,
    /// Several lanes were busy, not longer ago than so many writes.
    busy: u8,
    /// Has let others run since something was to be written.
    waited: bool,
    /// Does not read: too much is held, or to be written.
    stopped: bool,
    splitter: Splitter,
    unused: Duration,
    /// Since there was no lane, and whether one was wanted.
    timer: Option<(bool, Pin<Box<Sleep>>)>,
}

impl<C: AsyncRead + AsyncWrite + Unpin> Pump<C> {
    fn new(carrier: C, state: Arc<Mutex<State>>, unused: Duration) -> Self {
        Self {
            carrier,
            state,
            writing: Vec::new(),
            written: 0,
            unflushed: false,
            busy: 0,
            waited: false,
            stopped: false,
            splitter: Splitter::default(),
            unused,
            timer: None,
        }
    }

    /// Ready when the connection is over.
    fn poll_in(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            {
                let mut state = lock(&self.state);
                self.stopped = state.full > 0 || state.out.len() >= 2 * ROOM;
                if self.stopped {
                    state.pump = Some(cx.waker().clone());
                    return Poll::Pending;
                }
            }
            let (splitter, state) = (&mut self.splitter, &self.state);
            let read = scratch::read(&mut self.carrier, cx, |bytes| splitter.feed(bytes, &mut lock(state)));
            match ready!(read) {
                Ok(Some(Ok(()))) => {}
                Ok(Some(Err(violation))) => {
                    tracing::warn!(%violation, "shared connection dropped: the peer broke the protocol");
                    return Poll::Ready(());
                }
                Ok(None) | Err(_) => return Poll::Ready(()),
            }
        }
    }

    /// Pending when everything is written, or the carrier takes no more.
    fn poll_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            while let Some(rest) = self.writing.get(self.written..).filter(|rest| !rest.is_empty()) {
                match ready!(Pin::new(&mut self.carrier).poll_write(cx, rest))? {
                    0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                    count => self.written += count,
                }
                self.unflushed = true;
            }
            self.writing.clear();
            self.writing.shrink_to(KEPT);
            self.written = 0;
            let mut state = lock(&self.state);
            if !state.out.is_empty() {
                std::mem::swap(&mut state.out, &mut self.writing);
                let (frames, woken) = (std::mem::take(&mut state.frames), std::mem::take(&mut state.woken));
                self.busy = if frames.max(woken) > 1 { STAYS_BUSY } else { self.busy.saturating_sub(1) };
                state.make_room();
                if std::mem::take(&mut self.stopped) {
                    cx.waker().wake_by_ref();
                }
                continue;
            }
            state.pump = Some(cx.waker().clone());
            drop(state);
            if self.unflushed {
                ready!(Pin::new(&mut self.carrier).poll_flush(cx))?;
                self.unflushed = false;
            }
            return Poll::Pending;
        }
    }

    /// Ready when it has had no lane for a while; or, if nobody wants it any more, when all is written.
    fn poll_unused(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        // Nearly always the same, and this is asked at each turn.
        state.watch.get_or_insert_with(|| cx.waker().clone()).clone_from(cx.waker());
        let (is_used, wanted) = (!state.lanes.is_empty(), state.wanted);
        let all_written = state.out.is_empty() && self.written >= self.writing.len() && !self.unflushed;
        drop(state);
        if is_used {
            self.timer = None;
            return Poll::Pending;
        }
        if !wanted && all_written {
            return Poll::Ready(());
        }
        let longest = if wanted { self.unused } else { LAST_WORDS };
        if self.timer.as_ref().is_none_or(|timer| timer.0 != wanted) {
            self.timer = Some((wanted, Box::pin(tokio::time::sleep(longest))));
        }
        self.timer.as_mut().map_or(Poll::Pending, |timer| timer.1.as_mut().poll(cx))
    }
}

impl<C: AsyncRead + AsyncWrite + Unpin> Future for Pump<C> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.poll_in(cx).is_ready() {
            return Poll::Ready(());
        }
        // Where several are busy, tasks that are about to run have something to write as well: it goes along.
        if this.busy > 0 && !this.waited && !lock(&this.state).out.is_empty() {
            this.waited = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        this.waited = false;
        if this.poll_out(cx).is_ready() {
            return Poll::Ready(());
        }
        ready!(this.poll_unused(cx));
        let _ = Pin::new(&mut this.carrier).poll_shutdown(cx);
        Poll::Ready(())
    }
}

impl<C> Drop for Pump<C> {
    fn drop(&mut self) {
        lock(&self.state).finish();
    }
}

/// A carrier: a connection of its own, or a lane of a shared one.
#[derive(Debug)]
pub enum Way<IO> {
    /// Of its own.
    Alone(IO),
    /// Of a shared one.
    Lane(Lane),
}

impl<IO: AsyncRead + Unpin> AsyncRead for Way<IO> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Alone(io) => Pin::new(io).poll_read(cx, buf),
            Self::Lane(lane) => Pin::new(lane).poll_read(cx, buf),
        }
    }
}

impl<IO: AsyncWrite + Unpin> AsyncWrite for Way<IO> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Alone(io) => Pin::new(io).poll_write(cx, buf),
            Self::Lane(lane) => Pin::new(lane).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Alone(io) => Pin::new(io).poll_flush(cx),
            Self::Lane(lane) => Pin::new(lane).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Alone(io) => Pin::new(io).poll_shutdown(cx),
            Self::Lane(lane) => Pin::new(lane).poll_shutdown(cx),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Alone(io) => Pin::new(io).poll_write_vectored(cx, slices),
            Self::Lane(lane) => Pin::new(lane).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Alone(io) => io.is_write_vectored(),
            Self::Lane(lane) => lane.is_write_vectored(),
        }
    }
}

/// For fuzzing: a peer's bytes, to both sides and in two splits, must not panic or pass the bounds.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    let at = bytes.first().map_or(0, |byte| usize::from(*byte)).min(bytes.len());
    let (head, tail) = bytes.split_at(at);
    for most in [0, 4] {
        let state = State::new(most);
        let mut state = lock(&state);
        state.lanes.insert(0, End::default());
        state.next = 1;
        let mut splitter = Splitter::default();
        for part in [head, tail] {
            if splitter.feed(part, &mut state).is_err() {
                break;
            }
            let held: usize = state.lanes.values().map(|end| end.held.len()).sum();
            assert!(held <= bytes.len() && state.lanes.len() <= most.max(1) && splitter.left <= FRAME);
            assert_eq!(state.full, state.lanes.values().filter(|end| end.held.len() > FULL).count());
            if let Some(number) = state.came.pop_front() {
                state.end(number);
            }
        }
    }
}

#[cfg(test)]
mod tests;
