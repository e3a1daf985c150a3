//! One turn: all that an engine wants done after one input, sorted by what happens to it.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use hoop_engine::{CancelKey, CloseReason, Engine, Event, Output, Side};
use hoop_model::{StreamId, Timestamp};
use hoop_policy::Warrant;
use hoop_recording::event::Record;

use crate::{Activity, Mark, Tape, TapeError};

/// What a turn left to do once its records are kept.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// It is to be done only when the recording is kept up to here.
    pub(crate) until: Option<Mark>,
    /// To be written, in order.
    pub(crate) sends: Vec<(Side, Bytes)>,
    /// The engine asked for TLS towards the target.
    pub(crate) start_tls: bool,
    /// Cancel requests to hand over.
    pub(crate) cancels: Vec<CancelKey>,
    /// The stream is over.
    pub(crate) close: Option<CloseReason>,
    /// When the engine wants to be called.
    pub(crate) wake: Option<Timestamp>,
}

/// Asks policy and writes the recording for one stream.
pub(crate) struct Clerk {
    pub(crate) stream: StreamId,
    pub(crate) warrant: Arc<Warrant>,
    pub(crate) tape: Arc<dyn Tape>,
    pub(crate) activity: Arc<Activity>,
}

impl Clerk {
    /// Drains the engine to idle. What it sends may be written only after what it recorded is kept.
    pub(crate) fn turn(&self, engine: &mut dyn Engine, now: Timestamp) -> Result<Turn, TapeError> {
        let mut turn = Turn::default();
        let (mut last, mut must_keep) = (None, false);
        loop {
            match engine.poll_output() {
                Output::Send { to, bytes } => turn.sends.push((to, bytes)),
                Output::Decide { id, question } => {
                    let verdict = self.warrant.decide(&question.as_action(), now);
                    engine.handle_verdict(id, verdict, now);
                }
                Output::Record(event) => {
                    must_keep |= self.note(&event);
                    last = Some(self.tape.append(Record { at: now, stream: Some(self.stream), event })?);
                }
                Output::StartTargetTls => turn.start_tls = true,
                Output::ForwardCancel { key } => turn.cancels.push(key),
                Output::Idle { wake } => {
                    turn.wake = wake;
                    break;
                }
                Output::Close { reason } => {
                    turn.close = Some(reason);
                    must_keep = true;
                    break;
                }
            }
        }
        turn.until = last.filter(|_| must_keep || self.tape.is_strict());
        Ok(turn)
    }

    /// Drains an engine whose recording is broken: the client hears why, the target hears nothing more.
    pub(crate) fn last_words(engine: &mut dyn Engine) -> Turn {
        let mut turn = Turn::default();
        loop {
            match engine.poll_output() {
                Output::Send { to: Side::Client, bytes } => turn.sends.push((Side::Client, bytes)),
                Output::Close { reason } => {
                    turn.close = Some(reason);
                    return turn;
                }
                Output::Idle { .. } | Output::Decide { .. } => return turn,
                Output::Send { to: Side::Target, .. }
                | Output::Record(_)
                | Output::StartTargetTls
                | Output::ForwardCancel { .. } => {}
            }
        }
    }

    /// Counts, and says whether this record must be kept before anything is sent.
    fn note(&self, event: &Event) -> bool {
        match event {
            Event::Request { .. } => {
                self.activity.requests.fetch_add(1, Ordering::Relaxed);
                true
            }
            Event::Completed { rows, .. } => {
                self.activity.rows.fetch_add(*rows, Ordering::Relaxed);
                false
            }
            Event::Denied { .. } | Event::Opened { .. } | Event::Closed { .. } | Event::Gap { .. } => true,
            Event::Failed { .. }
            | Event::Columns { .. }
            | Event::Rows { .. }
            | Event::Copy { .. }
            | Event::Curtailed { .. }
            | Event::Masked { .. }
            | Event::Resized { .. }
            | Event::Said { .. } => false,
        }
    }
}
