//! Files that `kubectl cp` moves: it runs `tar` in the container, and what passes is an archive. Each file is told with path, bytes and
//! SHA-256, as it passes.

mod tar;

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use hoop_engine::{Event, RequestId, Timestamp, hosted::Keep};
use hoop_hosted::{
    content::{Source, Transfer, Unreadable},
    course::Course,
};
use hoop_model::Fault;

use self::tar::{Tar, Way};
use crate::fault;

/// A transfer that passes.
pub(crate) struct Files(Mutex<Option<Box<dyn Transfer>>>);

/// One from a container, for fuzzers.
pub(crate) fn download() -> Box<dyn Transfer> {
    Box::new(Tar::new(Way::Down, 0))
}

struct Numbers<'c>(&'c Course);

impl Source for Numbers<'_> {
    fn next(&self) -> RequestId {
        self.0.next()
    }

    fn now(&self) -> Timestamp {
        self.0.host.now()
    }
}

impl Files {
    /// If the command is what `kubectl cp` and `oc rsync` run: an archive on one of its streams.
    pub(crate) fn of(command: &[String], copies: u64) -> Option<Self> {
        let way = Way::of(command)?;
        Some(Self(Mutex::new(Some(Box::new(Tar::new(way, copies))))))
    }

    fn with(
        &self,
        read: impl FnOnce(&mut Box<dyn Transfer>) -> Result<Vec<Event>, Unreadable>,
    ) -> Result<Vec<Event>, Unreadable> {
        let mut transfer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        transfer.as_mut().map_or(Err(Unreadable), read)
    }

    /// What the client sends.
    pub(crate) async fn up(&self, course: &Course, data: &Bytes) -> Result<(), Fault> {
        let read = self.with(|transfer| transfer.up(data, &Numbers(course)));
        let events = read.map_err(|Unreadable| fault::client_stream("what it sends to tar is no archive"))?;
        let last = events.iter().rposition(|event| matches!(event, Event::Request { .. }));
        for (at, event) in events.into_iter().enumerate() {
            course.host.note(event, if Some(at) == last { Keep::First } else { Keep::IfStrict }).await?;
        }
        Ok(())
    }

    /// What the container answers.
    pub(crate) async fn down(&self, course: &Course, data: &Bytes) -> Result<(), Fault> {
        let read = self.with(|transfer| transfer.down(data, &Numbers(course)));
        let events = read.map_err(|Unreadable| fault::cluster_stream("what tar answers is no archive"))?;
        for event in events {
            course.host.note(event, Keep::IfStrict).await?;
        }
        Ok(())
    }

    pub(crate) async fn finish(&self, course: &Course) -> Result<(), Fault> {
        let transfer = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        for event in transfer.map(|transfer| transfer.finish(&Numbers(course))).unwrap_or_default() {
            course.host.note(event, Keep::IfStrict).await?;
        }
        Ok(())
    }
}
