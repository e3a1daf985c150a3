//! After log-in: requests to the target, answers to the client, both ways at once.
//!
//! Bytes go on as they came, in runs of as many frames as possible, but for answers that are masked. A frame is looked into only as far as policy and the
//! recording need; a large one is not held whole. `client` moves requests and asks policy, `target` moves answers, and
//! [`expected`] joins the two.

mod client;
mod expected;
mod keep;
mod shapes;
mod target;
mod terms;
mod values;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hoop_engine::{CloseReason, Event, Output, RecordingLimits, RequestId};
use hoop_model::{Fault, Timestamp};
use hoop_policy::{Denial, Permit, Rules};
use hoop_sql::postgres::Mode;

use self::{client::ClientSide, expected::Expected, shapes::Shapes, target::TargetSide};
use crate::{
    fault::{self, Failure},
    login::{LoggedIn, micros},
    masking::Masks,
    outbox::Outbox,
    wire::write,
};

/// More than this held of the client's, and its side is not read on.
const MOST_HELD: usize = 256 << 10;

/// Most replies owed before the client is not read on.
const MOST_OWED: usize = 16 << 10;
/// So few are looked at no closer; of more the names are counted, each of which may be 64 KiB.
const FEW_OWED: usize = 256;
const MOST_NAMES: usize = 4 << 20;

/// The relay of one stream.
pub(crate) struct Relay {
    limits: RecordingLimits,
    next: u64,
    expected: Expected,
    shapes: Shapes,
    /// Transaction status, as the target last said.
    status: u8,
    /// How the target reads texts, as it last said.
    mode: Mode,
    client: ClientSide,
    target: TargetSide,
    /// `None`: answers go on as they come.
    masks: Option<Box<Masks>>,
    rules: Arc<Rules>,
    /// What was permitted is looked at again, which each request would else find out by itself.
    looks_again: bool,
    /// In this transaction, names were made to mean other tables.
    has_moved: bool,
}

impl Relay {
    /// Goes on where log-in ended; `next` is the number of the next request.
    pub(crate) fn new(
        done: LoggedIn,
        rules: Arc<Rules>,
        masks: Option<Box<Masks>>,
        limits: RecordingLimits,
        next: u64,
    ) -> Self {
        Self {
            limits,
            next,
            expected: Expected::default(),
            shapes: Shapes::default(),
            status: done.status,
            mode: done.mode,
            client: ClientSide::default(),
            target: TargetSide::new(done.intake, done.behind),
            masks,
            looks_again: rules.look_again(),
            rules,
            has_moved: false,
        }
    }

    pub(crate) fn handle_client(
        &mut self,
        input: &mut BytesMut,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<(), Failure> {
        self.client.take(input);
        self.advance_client(now, out)
    }

    pub(crate) fn handle_verdict(
        &mut self,
        id: RequestId,
        verdict: Result<Permit, Denial>,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<(), Failure> {
        if self.resolve(id, verdict, now, out) { self.advance_client(now, out) } else { Ok(()) }
    }

    /// Nothing else is to be done before the verdict comes: what was permitted need not wait for it.
    pub(crate) fn flush(&mut self, out: &mut Outbox) {
        self.client.flush(out);
    }

    pub(crate) fn is_client_congested(&self) -> bool {
        let owed = self.expected.len();
        self.client.held() > MOST_HELD
            || owed > MOST_OWED
            || (owed > FEW_OWED && self.expected.name_bytes() > MOST_NAMES)
    }

    /// Something was asked of the target that it has not answered to the end: of a text with several statements, the last of them.
    pub(crate) fn is_working(&self) -> bool {
        self.expected.pending().any(|entry| entry.what.is_the_targets())
    }

    /// Tells the client why the stream ends, unless it is in the middle of a frame.
    pub(crate) fn end(&self, failure: Failure, out: &mut Outbox) -> Fault {
        if self.target.is_cut() { failure.end(out) } else { failure.tell(out) }
    }

    /// The target hung up: what it still owes has failed.
    pub(crate) fn handle_target_eof(&mut self, now: Timestamp, out: &mut Outbox) {
        for entry in self.expected.drain().filter(|e| e.id.is_some()) {
            let message = Bytes::from_static(b"the target closed the connection");
            let duration_us = micros(entry.started, now);
            out.record(Event::Failed { id: entry.id, code: Bytes::new(), message, duration_us });
        }
        out.push(Output::Close { reason: CloseReason::Target });
    }

    /// Puts in our own answers where they are next, unless a frame to the client is open.
    fn settle(&mut self, out: &mut Outbox) {
        while self.expected.owes_ours() && !self.target.is_cut() {
            let Some((answer, ready)) = self.expected.take_ours() else { return };
            out.send_client(answer);
            if ready {
                out.send_client(write::ready(self.status));
            }
        }
    }

    fn number(&mut self) -> RequestId {
        let id = RequestId(self.next);
        self.next += 1;
        id
    }
}

/// The target never runs this: an earlier request of the same pipeline failed.
fn not_run(entry: &expected::Entry, now: Timestamp, out: &mut Outbox) {
    if entry.id.is_some() && !matches!(entry.what, expected::Await::Ours { .. }) {
        let message = Bytes::from_static(b"not run: an earlier request of the pipeline failed");
        let duration_us = micros(entry.started, now);
        out.record(Event::Failed { id: entry.id, code: Bytes::new(), message, duration_us });
    }
}

/// The body of a frame that is whole.
fn missing(kind: u8) -> Failure {
    fault::target_broke(kind, "it answers nothing that was asked")
}
