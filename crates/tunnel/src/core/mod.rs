//! The resumable stream, sans-IO: one ordered byte stream each way over a sequence of carriers that may break anywhere.
//!
//! ```text
//!   connector                                   agent
//!   Open ─────────────────────────────────────▶ (creates the stream)
//!   Data … (up to 64 KiB before the answer)  ─▶
//!        ◀───────────────────────────── Accepted {window, received, consumed}
//!   Data ⇄ Data, Ack ⇄ Ack, Ping ⇄ Pong
//!   ╳ the carrier breaks; another one:
//!   Resume {received, consumed} ──────────────▶ drops what was received, goes back to the rest
//!        ◀───────────────────────────── Accepted {received, consumed}; the connector does the same
//!   Fin ⇄ Fin, each acknowledged
//! ```
//! `received` says what need not be sent again; `consumed`, what the other side's reader has read, and with it how much
//! more may be sent: never more than a window beyond it. So a side always has room for what may still come, reads its
//! carrier to the end whatever its reader does, and acknowledgements are never stuck behind data.
//!
//! No socket, no clock, no task: bytes and the time come in, slices to write and a wake-up time go out.

mod flight;
pub mod frame;
mod output;
mod receive;
mod send;
mod words;

use std::{io::IoSlice, time::Instant};

use bytes::Bytes;
use hoop_model::StreamId;

use flight::Flight;
use frame::{Control, HEADER, Notice, Opening, Position, RefusalCode};
use receive::{Piece, ReceiveBuffer, Splitter};
use send::SendBuffer;
pub use words::{Broken, Limits, Timeout, Violation};

/// What a connector sends before it knows that its stream was accepted.
const OPTIMISTIC: u64 = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Carrier {
    /// None since.
    Absent { since: Instant },
    /// The connector's first frame was sent, or is about to be.
    Opening { resume: bool, since: Instant },
    /// Both sides know where the other stands.
    Open,
}

/// One side of a resumable stream.
#[derive(Debug)]
pub struct Core {
    limits: Limits,
    /// The connector's stream; the agent's side does not open.
    opens: Option<StreamId>,
    was_accepted: bool,
    carrier: Carrier,
    broken: Option<Broken>,
    send: SendBuffer,
    flight: Flight,
    receive: ReceiveBuffer,
    splitter: Splitter,
    /// What the peer takes beyond what it has consumed.
    peer_window: u64,
    peer_consumed: u64,
    finished: bool,
    fin_sent: bool,
    /// Frames being written, and how much of them is written; `data_left` bytes of a `Data` frame follow.
    head: Vec<u8>,
    head_at: usize,
    data_left: usize,
    greeting: Option<Control>,
    reset: Option<Notice>,
    ack_sent: u64,
    ack_due: Option<Instant>,
    ack_now: bool,
    ping_sent: bool,
    want_ping: bool,
    want_pong: bool,
    heard: Instant,
}

impl Core {
    /// The connector's side of a stream, without a carrier yet.
    #[must_use]
    pub fn connector(stream: StreamId, limits: Limits, now: Instant) -> Self {
        Self::new(Some(stream), limits, now)
    }

    /// The agent's side of a stream, without a carrier yet.
    #[must_use]
    pub fn agent(limits: Limits, now: Instant) -> Self {
        Self::new(None, limits, now)
    }

    fn new(opens: Option<StreamId>, limits: Limits, now: Instant) -> Self {
        let peer_window = if opens.is_some() { OPTIMISTIC } else { 0 };
        Self {
            limits,
            opens,
            was_accepted: false,
            carrier: Carrier::Absent { since: now },
            broken: None,
            send: SendBuffer::default(),
            flight: Flight::default(),
            receive: ReceiveBuffer::default(),
            splitter: Splitter::default(),
            peer_window: peer_window.min(u64::from(limits.window)),
            peer_consumed: 0,
            finished: false,
            fin_sent: false,
            head: Vec::new(),
            head_at: 0,
            data_left: 0,
            greeting: None,
            reset: None,
            ack_sent: 0,
            ack_due: None,
            ack_now: false,
            ping_sent: false,
            want_ping: false,
            want_pong: false,
            heard: now,
        }
    }

    // --- carriers

    /// Takes the connector's new carrier into use.
    pub fn attach(&mut self, now: Instant) {
        let Some(stream) = self.opens else { return };
        self.fresh_carrier(now);
        let resume = self.was_accepted;
        let position = self.position();
        self.greeting = Some(Control::Opening(Opening { stream, resume, position }));
        self.send.rewind();
        self.receive.start_carrier(self.receive.held_to());
        self.carrier = Carrier::Opening { resume, since: now };
    }

    /// Takes the agent's new carrier into use, which began with `opening`.
    ///
    /// # Errors
    /// [`RefusalCode::PositionLost`]: what would have to be sent again is gone. The stream is as it was.
    pub fn accept(&mut self, opening: &Opening, now: Instant) -> Result<(), RefusalCode> {
        let peer = opening.position;
        if !self.plausible(peer) {
            return Err(RefusalCode::PositionLost);
        }
        self.fresh_carrier(now);
        self.synchronise(peer);
        self.receive.start_carrier(if opening.resume { self.receive.held_to() } else { 0 });
        self.greeting = Some(Control::Accepted(self.position()));
        self.was_accepted = true;
        self.carrier = Carrier::Open;
        Ok(())
    }

    /// The carrier is gone.
    pub fn detach(&mut self, now: Instant) {
        if !matches!(self.carrier, Carrier::Absent { .. }) {
            self.fresh_carrier(now);
            self.greeting = None;
            self.carrier = Carrier::Absent { since: now };
        }
    }

    fn fresh_carrier(&mut self, now: Instant) {
        self.flight = Flight::default();
        self.splitter = Splitter::default();
        self.head.clear();
        self.head_at = 0;
        self.data_left = 0;
        self.fin_sent = false;
        self.ping_sent = false;
        self.want_ping = false;
        self.want_pong = false;
        self.heard = now;
    }

    fn position(&mut self) -> Position {
        // The greeting acknowledges as an `Ack` would.
        self.ack_sent = self.receive.consumed();
        self.ack_due = None;
        self.ack_now = false;
        Position {
            window: self.limits.window,
            received: self.receive.received(),
            consumed: self.receive.consumed(),
        }
    }

    /// What may have been received at most, the end counting as one.
    fn sendable(&self) -> u64 {
        self.send.highest() + u64::from(self.finished)
    }

    fn plausible(&self, peer: Position) -> bool {
        peer.received <= self.sendable()
            && peer.consumed <= peer.received
            && peer.consumed >= self.peer_consumed
            && peer.received >= self.send.base()
    }

    /// Drops what the peer holds, and goes back to the first byte it does not.
    fn synchronise(&mut self, peer: Position) {
        self.send.release(peer.received.min(self.send.highest()));
        self.send.rewind();
        self.peer_consumed = peer.consumed;
        self.peer_window = u64::from(peer.window.min(self.limits.window));
        self.fin_sent = self.finished && peer.received > self.send.end();
    }

    /// Whether both sides agreed on the current carrier.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.carrier == Carrier::Open
    }

    /// Whether there is a carrier.
    #[must_use]
    pub const fn is_attached(&self) -> bool {
        !matches!(self.carrier, Carrier::Absent { .. })
    }

    // --- the carrier's bytes

    /// Bytes of the carrier. Data goes to `deliver` as long as that takes it, which returns how much it took.
    ///
    /// # Errors
    /// A [`Violation`]: drop the carrier.
    pub fn handle_input(
        &mut self,
        mut input: &[u8],
        now: Instant,
        mut deliver: impl FnMut(&[u8]) -> usize,
    ) -> Result<(), Violation> {
        self.heard = now;
        self.ping_sent = false;
        while self.broken.is_none() {
            match self.splitter.next(&mut input)? {
                None => break,
                Some(Piece::Data(bytes)) => {
                    if !self.is_open() {
                        return Err(Violation::Unexpected);
                    }
                    self.receive.data(bytes, u64::from(self.limits.window), &mut deliver)?;
                }
                Some(Piece::Control(control)) => self.handle_control(control)?,
            }
        }
        self.note_consumed(now);
        Ok(())
    }

    fn handle_control(&mut self, control: Control) -> Result<(), Violation> {
        match (control, self.carrier) {
            (Control::Accepted(peer), Carrier::Opening { .. }) => self.handle_accepted(peer),
            (Control::Refused(notice), Carrier::Opening { .. }) => {
                self.handle_refused(notice);
                Ok(())
            }
            (Control::Reset(notice), _) => {
                self.broken = Some(Broken::Reset(notice));
                Ok(())
            }
            (Control::Ack { consumed }, Carrier::Open) => self.handle_ack(consumed),
            (Control::Fin { length }, Carrier::Open) => self.receive.fin(length),
            (Control::Ping, Carrier::Open) => {
                self.want_pong = true;
                Ok(())
            }
            (Control::Pong, Carrier::Open) => Ok(()),
            _ => Err(Violation::Unexpected),
        }
    }

    fn handle_accepted(&mut self, peer: Position) -> Result<(), Violation> {
        if !self.plausible(peer) {
            return Err(Violation::Acknowledged);
        }
        let Carrier::Opening { resume, .. } = self.carrier else { return Err(Violation::Unexpected) };
        if resume {
            self.synchronise(peer);
        } else {
            // What went out behind `Open` started at the stream's first byte and is on its way: go on behind it.
            self.send.release(peer.received.min(self.send.next()));
            self.peer_consumed = peer.consumed;
            self.peer_window = u64::from(peer.window.min(self.limits.window));
        }
        self.was_accepted = true;
        self.carrier = Carrier::Open;
        Ok(())
    }

    fn handle_refused(&mut self, notice: Notice) {
        let finished = RefusalCode::from(notice.code) == RefusalCode::Finished;
        if finished && self.receive.end_known() && self.finished {
            // The agent was done with both directions; only its last acknowledgement was lost.
            self.send.release(self.send.highest());
            self.peer_consumed = self.send.end() + 1;
            self.ack_sent = self.receive.received();
            self.fin_sent = true;
        } else {
            self.broken = Some(Broken::Refused(notice));
        }
    }

    fn handle_ack(&mut self, consumed: u64) -> Result<(), Violation> {
        if consumed > self.sendable() || consumed < self.peer_consumed {
            return Err(Violation::Acknowledged);
        }
        self.peer_consumed = consumed;
        self.flight.acknowledged(consumed, self.peer_window, self.heard);
        self.release_consumed();
        Ok(())
    }

    /// Drops what the peer has read.
    ///
    /// Not beyond what this carrier has sent: where a stream was opened twice, the second carrier repeats bytes that
    /// the peer may have read already, and a `Data` frame that was begun has to be written to its end.
    fn release_consumed(&mut self) {
        let offset = self.peer_consumed.min(self.send.next());
        if offset > self.send.base() {
            self.send.release(offset);
        }
    }

    // --- the application

    /// How many bytes can be written now: as many as the reader has room for, and the network use for.
    #[must_use]
    pub fn capacity(&self) -> usize {
        if self.finished || self.broken.is_some() {
            return 0;
        }
        // Bytes that the peer holds but has not read count too: it has promised no room for more than its window.
        let window =
            if self.was_accepted { self.peer_window } else { u64::from(self.limits.window).min(OPTIMISTIC) };
        let window = window.min(self.flight.allowed());
        let end = (self.peer_consumed + window).min(self.send.base() + u64::from(self.limits.window));
        usize::try_from(end.saturating_sub(self.send.end())).unwrap_or(usize::MAX)
    }

    /// Takes bytes to send; returns how many were taken.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.get(..self.capacity().min(bytes.len())).unwrap_or_default();
        self.send.push_slice(taken);
        taken.len()
    }

    /// Takes bytes to send from the front of `bytes` without a copy; returns how many were taken.
    pub fn write_shared(&mut self, bytes: &mut Bytes) -> usize {
        let taken = bytes.split_to(self.capacity().min(bytes.len()));
        let count = taken.len();
        if count > 0 {
            self.send.push(taken);
        }
        count
    }

    /// Whether [`Core::time`] is to be told when the last byte was written.
    #[must_use]
    pub const fn is_to_be_timed(&self) -> bool {
        self.flight.wants(self.under_way())
    }

    /// The last byte was written now.
    pub const fn time(&mut self, now: Instant) {
        self.flight.time(self.send.end(), self.under_way(), now);
    }

    /// Written, and not known to have been read.
    const fn under_way(&self) -> u64 {
        self.send.end().saturating_sub(self.peer_consumed)
    }

    /// No more bytes will be written.
    pub const fn finish(&mut self) {
        self.finished = true;
    }

    /// Whether all bytes and the end were read by the other side.
    #[must_use]
    pub fn is_finish_acknowledged(&self) -> bool {
        self.finished && self.peer_consumed > self.send.end()
    }

    /// Gives held bytes to the reader. 0 means that none are held.
    pub fn read(&mut self, now: Instant, mut deliver: impl FnMut(&[u8]) -> usize) -> usize {
        let taken = self.receive.read(&mut deliver);
        if taken > 0 {
            self.note_consumed(now);
        }
        taken
    }

    /// Tells the reader of the stream's end, if all before it was read.
    pub fn read_end(&mut self, now: Instant) -> bool {
        let before = self.receive.consumed();
        let end = self.receive.read_end();
        if self.receive.consumed() != before {
            self.ack_now = true;
            self.note_consumed(now);
        }
        end
    }

    fn note_consumed(&mut self, now: Instant) {
        let unacknowledged = self.receive.consumed() - self.ack_sent.min(self.receive.consumed());
        if unacknowledged == 0 {
            return;
        }
        let every = u64::from(self.limits.ack_every.min(self.limits.window / 4)).max(1);
        if unacknowledged >= every {
            self.ack_now = true;
        }
        if self.ack_due.is_none() {
            self.ack_due = Some(now + self.limits.ack_delay);
        }
    }

    /// Gives the stream up and tells the other side, if it can be reached.
    pub fn reset(&mut self, notice: Notice) {
        if self.broken.is_none() {
            self.reset = Some(notice.clone());
            self.broken = Some(Broken::Local(notice));
        }
    }

    /// How the stream broke, if it did.
    #[must_use]
    pub const fn broken(&self) -> Option<&Broken> {
        self.broken.as_ref()
    }

    /// Whether both directions ended, everything was read, and the other side knows.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.is_finish_acknowledged() && self.receive.end_read() && !self.has_output()
    }

    // --- time

    /// When to call [`Core::handle_timeout`] at the latest.
    #[must_use]
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.broken.is_some() {
            return None;
        }
        match self.carrier {
            Carrier::Absent { since } => Some(since + self.limits.resume_for),
            Carrier::Opening { since, .. } => Some(since + self.limits.accept_within),
            Carrier::Open => {
                let silence = if self.ping_sent { self.limits.dead_after } else { self.limits.ping_after };
                let silent = self.heard + silence;
                Some(self.ack_due.map_or(silent, |due| due.min(silent)))
            }
        }
    }

    /// Time has passed. Read the carrier empty before, so that a pause on this side is not held against the peer.
    pub fn handle_timeout(&mut self, now: Instant) -> Timeout {
        if self.broken.is_some() {
            return Timeout::None;
        }
        match self.carrier {
            Carrier::Absent { since } if now >= since + self.limits.resume_for => {
                self.broken = Some(Broken::Expired);
                return Timeout::Expired;
            }
            Carrier::Opening { since, .. } if now >= since + self.limits.accept_within => {
                return Timeout::CarrierDead;
            }
            Carrier::Absent { .. } | Carrier::Opening { .. } => return Timeout::None,
            Carrier::Open => {}
        }
        if self.ack_due.is_some_and(|due| now >= due) {
            self.ack_due = None;
            self.ack_now = true;
            self.send.shrink();
        }
        if self.ping_sent && now >= self.heard + self.limits.dead_after {
            return Timeout::CarrierDead;
        }
        if !self.ping_sent && now >= self.heard + self.limits.ping_after {
            self.ping_sent = true;
            self.want_ping = true;
            self.shrink();
        }
        Timeout::None
    }

    /// Gives back memory that an idle stream does not need.
    fn shrink(&mut self) {
        self.send.shrink();
        if self.head_at == self.head.len() {
            self.head = Vec::new();
            self.head_at = 0;
        }
    }

    /// Bytes held in buffers, for tests and metrics.
    #[must_use]
    pub fn held(&self) -> usize {
        self.send.held() + self.receive.held() + self.head.capacity()
    }

    /// Bytes sent and received so far.
    #[must_use]
    pub fn volumes(&self) -> (u64, u64) {
        (self.send.end(), self.receive.held_to())
    }
}

/// For fuzzing: a peer's bytes, to both sides and in two splits, must not panic or pass the bounds.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    let now = Instant::now();
    let limits = Limits { window: 4096, ..Limits::default() };
    let position = Position { window: 4096, received: 0, consumed: 0 };
    let opening = Opening { stream: StreamId(0), resume: false, position };
    let at = bytes.first().map_or(0, |byte| usize::from(*byte)).min(bytes.len());
    for mut core in [Core::connector(StreamId(0), limits, now), Core::agent(limits, now)] {
        core.attach(now);
        let _ = core.accept(&opening, now);
        core.write(b"something to acknowledge");
        let (head, tail) = bytes.split_at(at);
        for part in [head, tail] {
            if core.handle_input(part, now, |data| data.len() / 2).is_err() {
                break;
            }
            let mut slices = [IoSlice::new(&[]); 8];
            let filled = core.transmit(&mut slices);
            let count = slices.iter().take(filled).map(|slice| slice.len()).sum();
            core.transmitted(count);
            core.read(now, |data| data.len() / 2);
            core.read_end(now);
            assert!(core.held() <= 3 * 4096 + HEADER + frame::MAX_CONTROL, "held {}", core.held());
        }
        core.handle_timeout(now + limits.dead_after);
    }
}

#[cfg(test)]
mod tests;
