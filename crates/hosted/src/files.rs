//! A transfer of files: what is read of it, told to the recording.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use hoop_engine::{Event, RequestId, Timestamp, hosted::Keep};
use hoop_model::Fault;

use crate::{
    content::{Source, Transfer, Unreadable},
    course::Course,
};

/// What a transfer does to files, told to the recording: a request before it goes on, an answer before it is shown.
pub struct Files {
    transfer: Mutex<Option<Box<dyn Transfer>>>,
    /// What is said if the client sends what is no such transfer, and if the other side does.
    client: Fault,
    target: Fault,
}

impl Source for Course {
    fn next(&self) -> RequestId {
        self.next()
    }

    fn now(&self) -> Timestamp {
        self.host.now()
    }
}

impl Files {
    /// One that begins. The faults say what ends it: what the client sends that cannot be read, and what the other side does.
    #[must_use]
    pub fn new(transfer: Box<dyn Transfer>, client: Fault, target: Fault) -> Self {
        Self { transfer: Mutex::new(Some(transfer)), client, target }
    }

    fn with(
        &self,
        read: impl FnOnce(&mut Box<dyn Transfer>) -> Result<Vec<Event>, Unreadable>,
    ) -> Result<Vec<Event>, Unreadable> {
        let mut transfer = self.transfer.lock().unwrap_or_else(PoisonError::into_inner);
        transfer.as_mut().map_or(Err(Unreadable), read)
    }

    /// What the client sends.
    ///
    /// # Errors
    /// It cannot be read, or the recording is broken.
    pub async fn up(&self, course: &Course, data: &Bytes) -> Result<(), Fault> {
        let events =
            self.with(|transfer| transfer.up(data, course)).map_err(|Unreadable| self.client.clone())?;
        // One wait is for all: the last request is kept after those before it.
        let last = events.iter().rposition(|event| matches!(event, Event::Request { .. }));
        for (at, event) in events.into_iter().enumerate() {
            let keep = if Some(at) == last { Keep::First } else { Keep::IfStrict };
            course.host.note(event, keep).await?;
        }
        Ok(())
    }

    /// What the other side answers.
    ///
    /// # Errors
    /// It cannot be read, or the recording is broken.
    pub async fn down(&self, course: &Course, data: &Bytes) -> Result<(), Fault> {
        let events =
            self.with(|transfer| transfer.down(data, course)).map_err(|Unreadable| self.target.clone())?;
        for event in events {
            course.host.note(event, Keep::IfStrict).await?;
        }
        Ok(())
    }

    /// The transfer is over: what is still open is told of.
    ///
    /// # Errors
    /// When the recording is broken.
    pub async fn finish(&self, course: &Course) -> Result<(), Fault> {
        let transfer = self.transfer.lock().unwrap_or_else(PoisonError::into_inner).take();
        for event in transfer.map(|transfer| transfer.finish(course)).unwrap_or_default() {
            course.host.note(event, Keep::IfStrict).await?;
        }
        Ok(())
    }
}
