//! What a transfer of files does, read from the packets as they pass (draft-ietf-secsh-filexfer-02, which OpenSSH speaks).
//!
//! Nothing is changed and nothing is answered here: packets go on as they came. Of each only the beginning is looked at, so that
//! the content of files is never held. Requests that open, list, change or remove something become requests of the recording,
//! with their answers; what only looks (`stat`, `realpath`) does not. Bytes that cannot be read end the transfer: what it would do
//! unread, nobody could tell afterwards.

mod cut;
mod fields;

use std::collections::HashMap;

use bytes::Bytes;
use hoop_engine::{Event, RequestId, Timestamp};
use hoop_recording::event::{FileOperation, Form, Parameter};

use cut::Cut;
use fields::Fields;

/// Requests that wait for their answers, and files that are open. A client with more is not read any further.
const MOST: usize = 4096;
/// Characters kept of what a host says about a failure.
const LONGEST_MESSAGE: usize = 300;

/// Numbers of packets (§3 of the draft).
mod number {
    pub(super) const OPEN: u8 = 3;
    pub(super) const CLOSE: u8 = 4;
    pub(super) const INIT: u8 = 1;
    pub(super) const VERSION: u8 = 2;
    pub(super) const READ: u8 = 5;
    pub(super) const WRITE: u8 = 6;
    pub(super) const LSTAT: u8 = 7;
    pub(super) const FSTAT: u8 = 8;
    pub(super) const SETSTAT: u8 = 9;
    pub(super) const FSETSTAT: u8 = 10;
    pub(super) const OPENDIR: u8 = 11;
    pub(super) const READDIR: u8 = 12;
    pub(super) const REMOVE: u8 = 13;
    pub(super) const MKDIR: u8 = 14;
    pub(super) const RMDIR: u8 = 15;
    pub(super) const REALPATH: u8 = 16;
    pub(super) const STAT: u8 = 17;
    pub(super) const RENAME: u8 = 18;
    pub(super) const READLINK: u8 = 19;
    pub(super) const SYMLINK: u8 = 20;
    pub(super) const EXTENDED: u8 = 200;
    pub(super) const STATUS: u8 = 101;
    pub(super) const HANDLE: u8 = 102;
    pub(super) const DATA: u8 = 103;
}

/// Extensions that only look, or are about files whose opening was told.
const HARMLESS: [&[u8]; 9] = [
    b"statvfs@openssh.com",
    b"fstatvfs@openssh.com",
    b"fsync@openssh.com",
    b"limits@openssh.com",
    b"expand-path@openssh.com",
    b"home-directory",
    b"users-groups-by-id@openssh.com",
    b"copy-data",
    b"check-file-handle",
];

/// Flags of `OPEN` (§6.3).
const READS: u32 = 1;
const WRITES: u32 = 2 | 4 | 8 | 16;

/// A number for the next request of the recording, and the time.
pub(crate) trait Source {
    fn next(&self) -> RequestId;
    fn now(&self) -> Timestamp;
}

/// One transfer, as it is read.
#[derive(Debug, Default)]
pub(crate) struct Transfer {
    up: Cut,
    down: Cut,
    /// Requests of the client by their own numbers.
    waiting: HashMap<u32, Waiting>,
    /// Files and folders that are open, by the host's handles.
    open: HashMap<Bytes, Open>,
}

/// These bytes are no packets, or ask for more at once than is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

#[derive(Debug)]
enum Waiting {
    /// Its answer ends it.
    Once {
        id: RequestId,
        since: Timestamp,
    },
    /// Its answer is a handle, or a failure.
    Opening(Open),
    /// Bytes of a file.
    Reading(Bytes),
    Closing(Bytes),
}

#[derive(Debug)]
struct Open {
    path: Bytes,
    id: RequestId,
    since: Timestamp,
    read: u64,
    written: u64,
}

impl Transfer {
    /// What the client sends. Answers with what the recording is to keep before it goes on.
    pub(crate) fn up(&mut self, data: &Bytes, source: &dyn Source) -> Result<Vec<Event>, Unreadable> {
        let mut events = Vec::new();
        for packet in &self.up.feed(data, MOST_OF_A_REQUEST).ok_or(Unreadable)? {
            self.request(packet, source, &mut events).ok_or(Unreadable)?;
            if self.waiting.len() > MOST || self.open.len() > MOST {
                return Err(Unreadable);
            }
        }
        Ok(events)
    }

    /// What the host answers.
    pub(crate) fn down(&mut self, data: &Bytes, source: &dyn Source) -> Result<Vec<Event>, Unreadable> {
        let mut events = Vec::new();
        for packet in &self.down.feed(data, MOST_OF_AN_ANSWER).ok_or(Unreadable)? {
            self.answer(packet, source, &mut events).ok_or(Unreadable)?;
        }
        Ok(events)
    }

    /// The transfer is over: what is still open is told of.
    pub(crate) fn finish(mut self, source: &dyn Source) -> Vec<Event> {
        let mut open: Vec<Open> = self.open.drain().map(|(_, open)| open).collect();
        open.sort_by_key(|open| open.id);
        open.into_iter().map(|open| open.completed("left open", source)).collect()
    }

    fn request(&mut self, packet: &[u8], source: &dyn Source, events: &mut Vec<Event>) -> Option<()> {
        let mut fields = Fields::of(packet);
        let kind = fields.byte()?;
        let mut once = |transfer: &mut Self, number, operation, path: &[u8], second: Option<&[u8]>| {
            let (id, since) = (source.next(), source.now());
            events.push(asked(id, operation, path, second));
            transfer.wait(number, Waiting::Once { id, since })
        };
        match kind {
            number::OPEN => {
                let (asked_by, path, flags) = (fields.number()?, fields.text()?, fields.number()?);
                let operation = match (flags & READS != 0, flags & WRITES != 0) {
                    (true, true) => FileOperation::ReadWrite,
                    (_, true) => FileOperation::Write,
                    _ => FileOperation::Read,
                };
                self.opening(asked_by, operation, path, source, events)?;
            }
            number::OPENDIR => {
                let (asked_by, path) = (fields.number()?, fields.text()?);
                self.opening(asked_by, FileOperation::List, path, source, events)?;
            }
            number::READ => {
                let (asked_by, handle) = (fields.number()?, fields.text()?);
                self.wait(asked_by, Waiting::Reading(Bytes::copy_from_slice(handle)))?;
            }
            number::WRITE => {
                let (_, handle) = (fields.number()?, fields.text()?);
                fields.skip(8)?;
                let length = fields.number()?;
                if let Some(open) = self.open.get_mut(handle) {
                    open.written += u64::from(length);
                }
            }
            number::CLOSE => {
                let (asked_by, handle) = (fields.number()?, fields.text()?);
                self.wait(asked_by, Waiting::Closing(Bytes::copy_from_slice(handle)))?;
            }
            number::REMOVE | number::MKDIR | number::RMDIR | number::SETSTAT => {
                let operation = match kind {
                    number::REMOVE => FileOperation::Remove,
                    number::MKDIR => FileOperation::MakeFolder,
                    number::RMDIR => FileOperation::RemoveFolder,
                    _ => FileOperation::Attributes,
                };
                once(self, fields.number()?, operation, fields.text()?, None)?;
            }
            number::FSETSTAT => {
                let (asked_by, handle) = (fields.number()?, fields.text()?);
                let path = self.open.get(handle).map(|open| open.path.clone()).unwrap_or_default();
                once(self, asked_by, FileOperation::Attributes, &path, None)?;
            }
            number::RENAME | number::SYMLINK => {
                let operation =
                    if kind == number::RENAME { FileOperation::Rename } else { FileOperation::Link };
                let (asked_by, path, second) = (fields.number()?, fields.text()?, fields.text()?);
                once(self, asked_by, operation, path, Some(second))?;
            }
            number::EXTENDED => {
                let (asked_by, name) = (fields.number()?, fields.text()?);
                let operation = match name {
                    b"posix-rename@openssh.com" => FileOperation::Rename,
                    b"hardlink@openssh.com" => FileOperation::Link,
                    b"lsetstat@openssh.com" => FileOperation::Attributes,
                    // What does something that is not known here does not go on.
                    looks => return HARMLESS.contains(&looks).then_some(()),
                };
                let path = fields.text()?;
                let second = if operation == FileOperation::Attributes { None } else { Some(fields.text()?) };
                once(self, asked_by, operation, path, second)?;
            }
            number::INIT
            | number::LSTAT
            | number::FSTAT
            | number::READDIR
            | number::REALPATH
            | number::STAT
            | number::READLINK => {}
            _ => return None,
        }
        Some(())
    }

    fn opening(
        &mut self,
        asked_by: u32,
        operation: FileOperation,
        path: &[u8],
        source: &dyn Source,
        events: &mut Vec<Event>,
    ) -> Option<()> {
        let (id, since) = (source.next(), source.now());
        let open = Open { path: Bytes::copy_from_slice(path), id, since, read: 0, written: 0 };
        events.push(asked(open.id, operation, path, None));
        self.wait(asked_by, Waiting::Opening(open))
    }

    /// A number stands for one request at a time: else answers would be taken for those of others.
    fn wait(&mut self, number: u32, waiting: Waiting) -> Option<()> {
        self.waiting.insert(number, waiting).is_none().then_some(())
    }

    fn answer(&mut self, packet: &[u8], source: &dyn Source, events: &mut Vec<Event>) -> Option<()> {
        let mut fields = Fields::of(packet);
        let kind = fields.byte()?;
        if kind == number::VERSION {
            // Later ones are laid out otherwise.
            return fields.number().filter(|version| *version <= 3).map(|_| ());
        }
        if !matches!(kind, number::STATUS | number::HANDLE | number::DATA) {
            // names, attributes, and answers of extensions.
            if let Some(asked_by) = fields.number() {
                self.waiting.remove(&asked_by);
            }
            return Some(());
        }
        let Some(waiting) = self.waiting.remove(&fields.number()?) else { return Some(()) };
        match (kind, waiting) {
            (number::HANDLE, Waiting::Opening(open)) => {
                self.open.insert(Bytes::copy_from_slice(fields.text()?), open);
            }
            (number::DATA, Waiting::Reading(handle)) => {
                let length = fields.number()?;
                if let Some(open) = self.open.get_mut(&handle) {
                    open.read += u64::from(length);
                }
            }
            (number::STATUS, waiting) => {
                let code = fields.number()?;
                let message = fields.text().unwrap_or_default();
                self.status(waiting, code, message, source, events);
            }
            _ => {}
        }
        Some(())
    }

    fn status(
        &mut self,
        waiting: Waiting,
        code: u32,
        message: &[u8],
        source: &dyn Source,
        events: &mut Vec<Event>,
    ) {
        let failed = |id, since: Timestamp| Event::Failed {
            id: Some(id),
            code: code.to_string().into(),
            message: Bytes::copy_from_slice(message.get(..LONGEST_MESSAGE).unwrap_or(message)),
            duration_us: micros(source.now(), since),
        };
        match waiting {
            Waiting::Once { id, since } if code == 0 => events.push(Event::Completed {
                id,
                tag: "done".into(),
                rows: 0,
                bytes: 0,
                duration_us: micros(source.now(), since),
            }),
            Waiting::Once { id, since } => events.push(failed(id, since)),
            Waiting::Opening(open) => events.push(failed(open.id, open.since)),
            Waiting::Closing(handle) => {
                if let Some(open) = self.open.remove(&handle) {
                    events.push(open.completed("closed", source));
                }
            }
            Waiting::Reading(_) => {}
        }
    }
}

/// Longest packets, bytes. OpenSSH takes and sends 256 KiB.
const MOST_OF_A_REQUEST: usize = 512 << 10;
const MOST_OF_AN_ANSWER: usize = 4 << 20;

impl Open {
    fn completed(self, how: &str, source: &dyn Source) -> Event {
        let tag = format!("{how}: {} bytes read, {} written", self.read, self.written);
        let duration_us = micros(source.now(), self.since);
        Event::Completed {
            id: self.id,
            tag: tag.into(),
            rows: 0,
            bytes: self.read + self.written,
            duration_us,
        }
    }
}

fn asked(id: RequestId, operation: FileOperation, path: &[u8], second: Option<&[u8]>) -> Event {
    let parameters = second
        .map(|path| Parameter { binary: false, value: Some(Bytes::copy_from_slice(path)) })
        .into_iter()
        .collect();
    Event::Request { id, form: Form::File { operation }, text: Bytes::copy_from_slice(path), parameters }
}

fn micros(now: Timestamp, since: Timestamp) -> u64 {
    u64::try_from(now.since(since).as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
