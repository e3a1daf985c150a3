//! The transfer of files on a channel: what is read of it, told to the recording.

use std::sync::Mutex;

use bytes::Bytes;
use hoop_engine::{Event, RequestId, hosted::Keep};
use hoop_model::{Fault, Timestamp};

use crate::{
    content::{Source, Transfer, Unreadable},
    engine::Shared,
    fault, locked,
};

/// What a transfer does to files, told to the recording: a request before it goes on, an answer before it is shown.
pub(crate) struct Files {
    /// What they are moved by.
    protocol: &'static str,
    transfer: Mutex<Option<Box<dyn Transfer>>>,
}

impl Source for Shared {
    fn next(&self) -> RequestId {
        self.next()
    }

    fn now(&self) -> Timestamp {
        self.host.now()
    }
}

impl Files {
    pub(crate) fn new(protocol: &'static str, transfer: Box<dyn Transfer>) -> Self {
        Self { protocol, transfer: Mutex::new(Some(transfer)) }
    }

    fn with(
        &self,
        read: impl FnOnce(&mut Box<dyn Transfer>) -> Result<Vec<Event>, Unreadable>,
    ) -> Result<Vec<Event>, Unreadable> {
        let mut transfer = locked(&self.transfer);
        transfer.as_mut().map_or(Err(Unreadable), read)
    }

    pub(crate) async fn up(&self, shared: &Shared, data: &Bytes) -> Result<(), Fault> {
        let read = self.with(|transfer| transfer.up(data, shared));
        let events = read.map_err(|Unreadable| {
            fault::client(&format!("sends what is no {}, or too much of it at once", self.protocol))
        })?;
        // One wait is for all: the last request is kept after those before it.
        let last = events.iter().rposition(|event| matches!(event, Event::Request { .. }));
        for (at, event) in events.into_iter().enumerate() {
            let keep = if Some(at) == last { Keep::First } else { Keep::IfStrict };
            shared.host.note(event, keep).await?;
        }
        Ok(())
    }

    pub(crate) async fn down(&self, shared: &Shared, data: &Bytes) -> Result<(), Fault> {
        let events = self
            .with(|transfer| transfer.down(data, shared))
            .map_err(|Unreadable| fault::no_files(self.protocol))?;
        for event in events {
            shared.host.note(event, Keep::IfStrict).await?;
        }
        Ok(())
    }

    pub(crate) async fn finish(&self, shared: &Shared) -> Result<(), Fault> {
        let transfer = locked(&self.transfer).take();
        for event in transfer.map(|transfer| transfer.finish(shared)).unwrap_or_default() {
            shared.host.note(event, Keep::IfStrict).await?;
        }
        Ok(())
    }
}
