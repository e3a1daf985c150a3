//! What the engine wants done, in order.

use std::collections::VecDeque;

use bytes::Bytes;
use hoop_engine::{Event, Output, Question, RequestId, Side};

/// The queue behind `poll_output`.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    queue: VecDeque<Output>,
}

impl Outbox {
    #[inline]
    pub(crate) fn push(&mut self, output: Output) {
        self.queue.push_back(output);
    }

    #[inline]
    pub(crate) fn send_client(&mut self, bytes: Bytes) {
        self.push(Output::Send { to: Side::Client, bytes });
    }

    #[inline]
    pub(crate) fn send_target(&mut self, bytes: Bytes) {
        self.push(Output::Send { to: Side::Target, bytes });
    }

    #[inline]
    pub(crate) fn record(&mut self, event: Event) {
        self.push(Output::Record(event));
    }

    pub(crate) fn decide(&mut self, id: RequestId, question: Question) {
        self.push(Output::Decide { id, question });
    }

    #[inline]
    pub(crate) fn next(&mut self) -> Option<Output> {
        self.queue.pop_front()
    }
}
