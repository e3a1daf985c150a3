//! The driver: one future that moves one stream.

use std::{
    collections::VecDeque,
    future::{Future as _, poll_fn},
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hoop_engine::{CloseReason, Engine, Event, Side};
use hoop_model::{Blame, Fault, StreamId, Timestamp};
use hoop_policy::Warrant;
use hoop_recording::event::Record;
use tokio::time::{Instant, Sleep};

use crate::{
    Activity, CancelDesk, Dial, Ending, Pipe, Tape, TapeError,
    ending::{Ear, News},
    slab,
    target::Target,
    turn::{Clerk, Turn},
};

/// Figures that bound one stream.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// With so many bytes waiting for one side, the other is not read. Bytes.
    pub high_water: usize,
    /// Time for telling both sides good-bye; then the stream is cut.
    pub farewell: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { high_water: 256 * 1024, farewell: Duration::from_secs(1) }
    }
}

/// What a stream is made of.
pub struct Parts<C> {
    /// Which stream of its session.
    pub stream: StreamId,
    /// Speaks the protocol.
    pub engine: Box<dyn Engine>,
    /// The person's client.
    pub client: C,
    /// Reaches the target.
    pub dial: Arc<dyn Dial>,
    /// The session's recording.
    pub tape: Arc<dyn Tape>,
    /// The session's cancel desk.
    pub desk: Arc<dyn CancelDesk>,
    /// Which requests may go on.
    pub warrant: Arc<Warrant>,
    /// What the session does.
    pub activity: Arc<Activity>,
    /// Says when the session is to end.
    pub ending: Ending,
    /// Bounds.
    pub limits: Limits,
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEnd {
    /// Why.
    pub reason: CloseReason,
    /// Bytes from the client.
    pub bytes_in: u64,
    /// Bytes to the client.
    pub bytes_out: u64,
}

/// Runs a stream to its end. Dropping the future cuts both sides at once; the end is then not recorded.
pub async fn drive<C: Pipe>(parts: Parts<C>) -> StreamEnd {
    let mut driver = Driver {
        clerk: Clerk {
            stream: parts.stream,
            warrant: parts.warrant,
            tape: parts.tape,
            activity: parts.activity,
        },
        engine: parts.engine,
        client: parts.client,
        target: Target::Untouched,
        dial: parts.dial,
        desk: parts.desk,
        limits: parts.limits,
        client_side: SideState::default(),
        target_side: SideState::default(),
        ending: Ear::new(parts.ending),
        held: VecDeque::new(),
        held_before: false,
        timer: None,
        phase: Phase::Running,
        key_registered: false,
        begun: false,
        bytes_in: 0,
        bytes_out: 0,
    };
    let reason = poll_fn(|cx| driver.poll(cx)).await;
    driver.finish(reason)
}

fn now() -> Timestamp {
    Timestamp::from(jiff::Timestamp::now())
}

#[derive(Default)]
struct SideState {
    input: BytesMut,
    output: VecDeque<Bytes>,
    output_bytes: usize,
    needs_flush: bool,
    eof: bool,
}

enum Phase {
    Running,
    /// Everything is said; what waits is written out until the time is over.
    Closing {
        reason: CloseReason,
        until: Pin<Box<Sleep>>,
        shut: bool,
    },
}

struct Driver<C> {
    clerk: Clerk,
    engine: Box<dyn Engine>,
    client: C,
    target: Target,
    dial: Arc<dyn Dial>,
    desk: Arc<dyn CancelDesk>,
    limits: Limits,
    client_side: SideState,
    target_side: SideState,
    ending: Ear,
    /// Turns whose records are not kept yet, oldest first. While there are any, no side is read.
    held: VecDeque<Turn>,
    /// They were there in the poll before this one too.
    held_before: bool,
    timer: Option<(Timestamp, Pin<Box<Sleep>>)>,
    phase: Phase,
    key_registered: bool,
    /// Something began that has not been polled yet: a timer, a dial, a handshake.
    begun: bool,
    bytes_in: u64,
    bytes_out: u64,
}

/// Rounds of one poll before others get their turn.
const ROUNDS: usize = 64;

impl<C: Pipe> Driver<C> {
    /// What is read is written in the round after it, and what waited is written before anything is read: so a round in which nothing
    /// was read, ended or began is the last.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let mut held_before = std::mem::replace(&mut self.held_before, false);
        for _ in 0..ROUNDS {
            if let Some(News::Cut(reason)) = self.poll_ending(cx) {
                return Poll::Ready(CloseReason::Fault(reason));
            }
            let mut progress = self.poll_timer(cx) | self.poll_target(cx);
            self.poll_held(cx);
            progress |= self.poll_write_client(cx) | self.poll_write_target(cx);
            if let Poll::Ready(reason) = self.poll_closing(cx) {
                return Poll::Ready(reason);
            }
            let running = matches!(self.phase, Phase::Running);
            if running && !self.held.is_empty() {
                // Mostly it is kept within this round of the task's neighbours; only who waits longer looks around.
                if std::mem::replace(&mut held_before, false) {
                    self.client.poll_idle(cx);
                }
                self.held_before = true;
            } else if running && self.poll_tape(cx) {
                progress |= self.poll_read(cx, Side::Client) | self.poll_read(cx, Side::Target);
            } else {
                // A broken tape has just begun the end: it is to be written in this very poll.
                progress |= running && !matches!(self.phase, Phase::Running);
                self.client.poll_idle(cx);
            }
            if !progress && !std::mem::replace(&mut self.begun, false) {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_ending(&mut self, cx: &mut Context<'_>) -> Option<News> {
        let news = self.ending.hear(cx)?;
        if let News::End(fault) = &news {
            self.end(fault.clone());
        }
        Some(news)
    }

    /// Carries out what was held until its records are kept.
    fn poll_held(&mut self, cx: &mut Context<'_>) {
        while let Some(turn) = self.held.front() {
            let kept = turn.until.map_or(Poll::Ready(Ok(())), |mark| self.clerk.tape.poll_kept(mark, cx));
            match kept {
                Poll::Pending => return,
                Poll::Ready(Ok(())) => {
                    let turn = self.held.pop_front();
                    turn.into_iter().for_each(|turn| self.carry_out(turn));
                }
                Poll::Ready(Err(TapeError(fault))) => self.end_unrecorded(fault),
            }
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((_, sleep)) = &mut self.timer else { return false };
        if sleep.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.timer = None;
        let at = now();
        self.engine.handle_timeout(at);
        self.turn(at);
        true
    }

    fn poll_target(&mut self, cx: &mut Context<'_>) -> bool {
        match self.target.poll_progress(cx) {
            Poll::Pending => false,
            Poll::Ready(Ok(None)) => true,
            Poll::Ready(Ok(Some(tls))) => {
                let at = now();
                self.engine.handle_target_tls(tls, at);
                self.turn(at);
                true
            }
            Poll::Ready(Err(fault)) => {
                self.target = Target::Gone;
                self.end(fault);
                true
            }
        }
    }

    /// Whether the recording may take more. A broken one ends the stream.
    fn poll_tape(&mut self, cx: &mut Context<'_>) -> bool {
        match self.clerk.tape.poll_ready(cx) {
            Poll::Ready(Ok(())) => true,
            Poll::Pending => false,
            Poll::Ready(Err(TapeError(fault))) => {
                self.end_unrecorded(fault);
                false
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, side: Side) -> bool {
        let (mine, other) = match side {
            Side::Client => (&mut self.client_side, &self.target_side),
            Side::Target => (&mut self.target_side, &self.client_side),
        };
        let full = other.output_bytes >= self.limits.high_water;
        if mine.eof || full || self.engine.is_congested(side) {
            if side == Side::Client {
                self.client.poll_idle(cx);
            }
            return false;
        }
        let (client, target) = (&mut self.client, &mut self.target);
        let read = slab::read_into(&mut mine.input, |slab| match side {
            Side::Client => client.poll_read(cx, slab),
            Side::Target => target.poll_read(cx, slab),
        });
        let Poll::Ready(read) = read else { return false };
        let at = now();
        match read {
            Ok(0) => {
                mine.eof = true;
                self.engine.handle_eof(side, at);
            }
            Ok(count) => {
                if side == Side::Client {
                    self.bytes_in += count as u64;
                    self.clerk.activity.touch(at);
                    self.clerk.activity.bytes_in.fetch_add(count as u64, Ordering::Relaxed);
                }
                // A fault's answer to the client is queued by the engine, which then says Close.
                if let Err(fault) = self.engine.handle_input(side, &mut mine.input, at) {
                    tracing::debug!(stream = %self.clerk.stream, code = %fault.code, "the engine ended the stream");
                }
                slab::unpin(&mut mine.input);
            }
            Err(error) => {
                tracing::debug!(stream = %self.clerk.stream, ?side, kind = ?error.kind(), "a side broke");
                mine.eof = true;
                self.engine.handle_eof(side, at);
            }
        }
        self.turn(at);
        true
    }

    /// Whether the client ended with it.
    fn poll_write_client(&mut self, cx: &mut Context<'_>) -> bool {
        let side = &mut self.client_side;
        while !side.output.is_empty() {
            match self.client.poll_write(cx, &mut side.output) {
                Poll::Pending => break,
                Poll::Ready(Ok(count)) => {
                    side.output_bytes -= count;
                    side.needs_flush = true;
                    self.bytes_out += count as u64;
                    self.clerk.activity.bytes_out.fetch_add(count as u64, Ordering::Relaxed);
                }
                Poll::Ready(Err(_)) => {
                    side.drop_output();
                    return self.side_broke(Side::Client);
                }
            }
        }
        if side.needs_flush && self.client.poll_flush(cx).is_ready() {
            side.needs_flush = false;
        }
        false
    }

    /// Whether the target ended with it.
    fn poll_write_target(&mut self, cx: &mut Context<'_>) -> bool {
        let side = &mut self.target_side;
        if !side.output.is_empty() && matches!(self.target, Target::Untouched) {
            self.target = Target::Dialling(self.dial.dial());
            self.begun = true;
            return false;
        }
        while !side.output.is_empty() {
            match self.target.poll_write(cx, &mut side.output) {
                Poll::Pending => break,
                Poll::Ready(Ok(count)) => {
                    side.output_bytes -= count;
                    side.needs_flush = true;
                }
                Poll::Ready(Err(_)) => {
                    side.drop_output();
                    return self.side_broke(Side::Target);
                }
            }
        }
        if side.needs_flush && self.target.poll_flush(cx).is_ready() {
            side.needs_flush = false;
        }
        false
    }

    fn side_broke(&mut self, side: Side) -> bool {
        let state = match side {
            Side::Client => &mut self.client_side,
            Side::Target => &mut self.target_side,
        };
        // What a target said before it broke is still to be read: its error message, mostly.
        if state.eof || side == Side::Target {
            return false;
        }
        state.eof = true;
        if matches!(self.phase, Phase::Running) {
            let at = now();
            self.engine.handle_eof(side, at);
            self.turn(at);
        }
        true
    }

    fn poll_closing(&mut self, cx: &mut Context<'_>) -> Poll<CloseReason> {
        let Phase::Closing { reason, until, shut } = &mut self.phase else { return Poll::Pending };
        let late = until.as_mut().poll(cx).is_ready();
        let target_waits = !self.target_side.output.is_empty() && !matches!(self.target, Target::Gone);
        let waits = !self.client_side.output.is_empty() || self.client_side.needs_flush || target_waits;
        if waits && !late {
            return Poll::Pending;
        }
        if !*shut && !late {
            if self.client.poll_shutdown(cx).is_pending() {
                return Poll::Pending;
            }
            *shut = true;
        }
        Poll::Ready(reason.clone())
    }

    /// Ends the stream from outside: the engine tells the client.
    fn end(&mut self, fault: Fault) {
        if matches!(self.phase, Phase::Running) {
            let at = now();
            self.engine.handle_end(fault, at);
            self.turn(at);
        }
    }

    /// Ends the stream because its recording is broken: nothing more goes to the target.
    fn end_unrecorded(&mut self, fault: Fault) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        self.held.clear();
        self.target_side.drop_output();
        self.engine.handle_end(fault.clone(), now());
        let mut turn = Clerk::last_words(self.engine.as_mut());
        turn.close.get_or_insert(CloseReason::Fault(fault));
        self.carry_out(turn);
    }

    fn turn(&mut self, at: Timestamp) {
        if !matches!(self.phase, Phase::Running) {
            return;
        }
        match self.clerk.turn(self.engine.as_mut(), at) {
            Ok(turn) if turn.until.is_none() && self.held.is_empty() => self.carry_out(turn),
            Ok(turn) => self.held.push_back(turn),
            Err(TapeError(fault)) => self.end_unrecorded(fault),
        }
    }

    fn carry_out(&mut self, turn: Turn) {
        for (to, bytes) in turn.sends {
            let side = match to {
                Side::Client => &mut self.client_side,
                Side::Target => &mut self.target_side,
            };
            side.output_bytes += bytes.len();
            side.output.push_back(bytes);
        }
        for key in &turn.cancels {
            self.desk.cancel(key);
        }
        if !self.key_registered
            && let Some(keys) = self.engine.cancel_keys()
        {
            self.desk.register(self.clerk.stream, keys.client, keys.target_request);
            self.key_registered = true;
        }
        if turn.start_tls {
            self.begun = true;
            if let Err(fault) = self.target.start_tls(self.dial.as_ref()) {
                self.end(fault);
                return;
            }
        }
        self.set_timer(turn.wake);
        if let Some(reason) = turn.close {
            let until = Box::pin(tokio::time::sleep(self.limits.farewell));
            self.phase = Phase::Closing { reason, until, shut: false };
            self.held.clear();
        }
    }

    /// Keeps a timer that is early enough; engines ask for the same time again and again.
    fn set_timer(&mut self, wake: Option<Timestamp>) {
        let Some(wake) = wake else { return };
        if self.timer.as_ref().is_none_or(|(at, _)| wake < *at) {
            let sleep = tokio::time::sleep_until(Instant::now() + wake.since(now()));
            self.timer = Some((wake, Box::pin(sleep)));
            self.begun = true;
        }
    }

    fn finish(self, reason: CloseReason) -> StreamEnd {
        let working = self.engine.is_working() && reason != CloseReason::Target;
        self.desk.forget(self.clerk.stream, working);
        let event =
            Event::Closed { reason: describe(&reason), bytes_in: self.bytes_in, bytes_out: self.bytes_out };
        let record = Record { at: now(), stream: Some(self.clerk.stream), event };
        if let Err(error) = self.clerk.tape.append(record) {
            tracing::warn!(stream = %self.clerk.stream, code = %error.0.code, "the end of a stream was not recorded");
        }
        StreamEnd { reason, bytes_in: self.bytes_in, bytes_out: self.bytes_out }
    }
}

impl SideState {
    fn drop_output(&mut self) {
        self.output.clear();
        self.output_bytes = 0;
        self.needs_flush = false;
    }
}

/// The reason as a person reads it in the recording.
pub(crate) fn describe(reason: &CloseReason) -> String {
    match reason {
        CloseReason::Client => "the client closed it".to_owned(),
        CloseReason::Target => "the target closed it".to_owned(),
        CloseReason::CancelSent => "a cancel request was handed over".to_owned(),
        CloseReason::Fault(fault) => format!("{} ({}; {})", fault.message, fault.code, blame(fault.blame)),
    }
}

const fn blame(blame: Blame) -> &'static str {
    match blame {
        Blame::Caller => "by the client",
        Blame::Policy => "by policy",
        Blame::Target => "by the target",
        Blame::Network => "by the network",
        Blame::System => "by hoop",
    }
}
