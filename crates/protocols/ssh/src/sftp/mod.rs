//! What a transfer of files does, read from the packets as they pass (draft-ietf-secsh-filexfer-02, which OpenSSH speaks).
//!
//! Nothing is changed and nothing is answered here: packets go on as they came. Of each only the beginning is held; the content of files
//! is summed up as it passes (see `content`). Requests that open, list, change or remove something become requests of the recording,
//! with their answers; what only looks (`stat`, `realpath`) does not. Bytes that cannot be read end the transfer: what it would do
//! unread, nobody could tell afterwards.

mod cut;
mod fields;

use std::collections::{HashMap, hash_map::Entry};

use bytes::Bytes;
use hoop_engine::{Event, RequestId, Timestamp};
use hoop_recording::event::FileOperation;

use crate::content::{Content, File, LONGEST_MESSAGE, Source, Transfer, Unreadable, Window, asked, micros};
use cut::{Cut, Piece};
use fields::Fields;

/// Requests that wait for their answers, and files that are open. A client with more is not read any further.
const MOST: usize = 4096;
/// Bytes of the paths of files that are open, or asked to be.
const MOST_OF_PATHS: usize = 4 << 20;

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
    pub(super) const NAME: u8 = 104;
    pub(super) const ATTRS: u8 = 105;
    pub(super) const EXTENDED_REPLY: u8 = 201;
}

/// Extensions that only look, or are about files whose opening was told.
const HARMLESS: [&[u8]; 8] = [
    b"statvfs@openssh.com",
    b"fstatvfs@openssh.com",
    b"fsync@openssh.com",
    b"limits@openssh.com",
    b"expand-path@openssh.com",
    b"home-directory",
    b"users-groups-by-id@openssh.com",
    b"check-file-handle",
];

/// Flags of `OPEN` (§6.3).
const READS: u32 = 1;
const WRITES: u32 = 2 | 4 | 8 | 16;
const APPENDS: u32 = 4;

/// One transfer, as it is read.
#[derive(Debug, Default)]
pub(crate) struct Sftp {
    /// Bytes of each file that the recording keeps.
    copies: u64,
    up: Cut,
    down: Cut,
    /// Requests of the client by their own numbers.
    waiting: HashMap<u32, Waiting>,
    /// Files and folders that are open, by the host's handles.
    open: HashMap<Bytes, Open>,
    /// Bytes of their paths, and of those that are asked to be opened.
    paths: usize,
    window: Window,
    /// Where the rest of the last packet belongs, of the client's and of the host's.
    writing: Option<Flow>,
    reading: Option<Flow>,
}

#[derive(Debug)]
enum Waiting {
    /// Its answer ends it.
    Once {
        id: RequestId,
        since: Timestamp,
    },
    /// Its answer is a handle, or a failure.
    Opening(Box<File>),
    /// Bytes of a file, from this place on.
    Reading(Handle, u64),
    Writing(Handle),
    Closing(Bytes),
    /// Nothing is told of its answer. It is awaited all the same: else its number could stand for another request too.
    Looks,
}

impl Waiting {
    /// Whether it can be answered by a packet of this kind.
    const fn is_answered_by(&self, kind: u8) -> bool {
        match kind {
            number::STATUS => true,
            number::HANDLE => matches!(self, Self::Opening(_)),
            number::DATA => matches!(self, Self::Reading(..)),
            number::NAME | number::ATTRS | number::EXTENDED_REPLY => matches!(self, Self::Looks),
            _ => false,
        }
    }
}

#[derive(Debug)]
struct Open {
    file: File,
    /// The client has asked to close it: its handle may be another file's at any moment.
    closing: bool,
}

/// Handles are given anew: with whose it was.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Handle {
    name: Bytes,
    file: RequestId,
}

/// Content that a packet carries.
#[derive(Debug)]
struct Flow {
    handle: Handle,
    at: u64,
    left: usize,
}

impl Transfer for Sftp {
    fn up(&mut self, data: &Bytes, source: &dyn Source) -> Result<Vec<Event>, Unreadable> {
        let mut events = Vec::new();
        for piece in self.up.feed(data, MOST_OF_A_REQUEST).ok_or(Unreadable)? {
            match piece {
                Piece::Begin(packet, more) => {
                    self.writing = None;
                    self.request(&packet, more, source, &mut events).ok_or(Unreadable)?;
                }
                Piece::More(data) => {
                    let flow = self.writing.take();
                    self.writing = self.flow(flow, &data, |file| &mut file.written, &mut events);
                }
            }
            if self.waiting.len() > MOST || self.open.len() > MOST || self.paths > MOST_OF_PATHS {
                return Err(Unreadable);
            }
        }
        Ok(events)
    }

    fn down(&mut self, data: &Bytes, source: &dyn Source) -> Result<Vec<Event>, Unreadable> {
        let mut events = Vec::new();
        for piece in self.down.feed(data, MOST_OF_AN_ANSWER).ok_or(Unreadable)? {
            match piece {
                Piece::Begin(packet, more) => {
                    self.reading = None;
                    self.answer(&packet, more, source, &mut events).ok_or(Unreadable)?;
                }
                Piece::More(data) => {
                    let flow = self.reading.take();
                    self.reading = self.flow(flow, &data, |file| &mut file.read, &mut events);
                }
            }
        }
        Ok(events)
    }

    fn finish(mut self: Box<Self>, source: &dyn Source) -> Vec<Event> {
        let mut events = Vec::new();
        let mut open: Vec<Bytes> = self.open.keys().cloned().collect();
        open.sort_by_key(|handle| self.open.get(handle).map(|open| open.file.id));
        open.iter().for_each(|handle| self.close(handle, "left open", source, &mut events));
        events
    }
}

impl Sftp {
    /// The recording keeps so many bytes of each file.
    pub(crate) fn new(copies: u64) -> Self {
        Self { copies, ..Self::default() }
    }

    /// A file is over. What the host has not said to be written is not summed up.
    fn close(&mut self, handle: &Bytes, how: &str, source: &dyn Source, events: &mut Vec<Event>) {
        let Some(Open { mut file, .. }) = self.open.remove(handle) else { return };
        self.paths -= file.path.len();
        let is_unsaid =
            |waiting: &Waiting| matches!(waiting, Waiting::Writing(handle) if handle.file == file.id);
        if self.waiting.values().any(is_unsaid) {
            file.written.lose("the host has not confirmed all of it", &mut self.window, events);
        }
        events.push(file.completed(how, &mut self.window, source));
    }

    /// The handle of an open file. Nobody writes to what they have not been told is open; who guesses is not followed.
    fn handle(&self, name: &[u8]) -> Option<Handle> {
        let open = self.open.get(name).filter(|open| !open.closing)?;
        Some(Handle { name: Bytes::copy_from_slice(name), file: open.file.id })
    }

    fn file(&mut self, handle: &Handle) -> Option<&mut File> {
        self.open.get_mut(&handle.name).map(|open| &mut open.file).filter(|file| file.id == handle.file)
    }

    /// Takes content, and answers where the rest of it belongs.
    fn flow(
        &mut self,
        flow: Option<Flow>,
        data: &Bytes,
        which: fn(&mut File) -> &mut Content,
        events: &mut Vec<Event>,
    ) -> Option<Flow> {
        let Flow { handle, at, left } = flow?;
        let data = data.slice(..left.min(data.len()));
        let open = self.open.get_mut(&handle.name).filter(|open| open.file.id == handle.file)?;
        which(&mut open.file).take(at, &data, &mut self.window, events);
        let at = at.checked_add(data.len() as u64)?;
        (left > data.len()).then(|| Flow { handle, at, left: left - data.len() })
    }

    fn request(
        &mut self,
        packet: &Bytes,
        more: usize,
        source: &dyn Source,
        events: &mut Vec<Event>,
    ) -> Option<()> {
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
                let mut file = self.asked_to_open(operation, path, source, events);
                if flags & APPENDS != 0 {
                    // The host writes where the file ends, and not where the client says.
                    file.written.lose("it was opened to append", &mut self.window, events);
                }
                self.wait(asked_by, Waiting::Opening(Box::new(file)))?;
            }
            number::OPENDIR => {
                let (asked_by, path) = (fields.number()?, fields.text()?);
                let folder = self.asked_to_open(FileOperation::List, path, source, events);
                self.wait(asked_by, Waiting::Opening(Box::new(folder)))?;
            }
            number::READ => {
                let (asked_by, handle, at) = (fields.number()?, fields.handle()?, fields.place()?);
                let handle = self.handle(handle)?;
                self.wait(asked_by, Waiting::Reading(handle, at))?;
            }
            number::WRITE => {
                let (asked_by, handle, at) = (fields.number()?, fields.handle()?, fields.place()?);
                let handle = self.handle(handle)?;
                let (flow, data) = content(handle.clone(), at, packet, more, fields)?;
                self.wait(asked_by, Waiting::Writing(handle))?;
                self.writing = self.flow(Some(flow), &data, |file| &mut file.written, events);
            }
            number::CLOSE => {
                let (asked_by, handle) = (fields.number()?, fields.handle()?);
                if let Some(open) = self.open.get_mut(handle) {
                    open.closing = true;
                }
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
                let (asked_by, handle) = (fields.number()?, fields.handle()?);
                let handle = self.handle(handle)?;
                let path = self.file(&handle)?.path.clone();
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
                if name == b"copy-data" {
                    self.copied_by_the_host(&mut fields, events)?;
                    return self.wait(asked_by, Waiting::Looks);
                }
                let operation = match name {
                    b"posix-rename@openssh.com" => FileOperation::Rename,
                    b"hardlink@openssh.com" => FileOperation::Link,
                    b"lsetstat@openssh.com" => FileOperation::Attributes,
                    looks if HARMLESS.contains(&looks) => return self.wait(asked_by, Waiting::Looks),
                    // What does something that is not known here does not go on.
                    _ => return None,
                };
                let path = fields.text()?;
                let second = if operation == FileOperation::Attributes { None } else { Some(fields.text()?) };
                once(self, asked_by, operation, path, second)?;
            }
            number::INIT => {}
            number::LSTAT
            | number::FSTAT
            | number::READDIR
            | number::REALPATH
            | number::STAT
            | number::READLINK => self.wait(fields.number()?, Waiting::Looks)?,
            _ => return None,
        }
        Some(())
    }

    fn asked_to_open(
        &mut self,
        operation: FileOperation,
        path: &[u8],
        source: &dyn Source,
        events: &mut Vec<Event>,
    ) -> File {
        let (file, event) = File::new(operation, path, None, self.copies, source);
        events.push(event);
        self.paths += path.len();
        file
    }

    /// From one open file to another, without passing here.
    fn copied_by_the_host(&mut self, fields: &mut Fields<'_>, events: &mut Vec<Event>) -> Option<()> {
        let (_from, _, _, to) = (fields.text()?, fields.place()?, fields.place()?, fields.text()?);
        let open = self.open.get_mut(to)?;
        open.file.written.lose("the host copied some of it by itself", &mut self.window, events);
        Some(())
    }

    /// A number stands for one request at a time: else answers would be taken for those of others.
    fn wait(&mut self, number: u32, waiting: Waiting) -> Option<()> {
        // What waits stays: a write that is not confirmed has no sum, however the transfer ends.
        let Entry::Vacant(free) = self.waiting.entry(number) else { return None };
        free.insert(waiting);
        Some(())
    }

    fn answer(
        &mut self,
        packet: &Bytes,
        more: usize,
        source: &dyn Source,
        events: &mut Vec<Event>,
    ) -> Option<()> {
        let mut fields = Fields::of(packet);
        let kind = fields.byte()?;
        if kind == number::VERSION {
            // Later ones are laid out otherwise.
            return fields.number().filter(|version| *version <= 3).map(|_| ());
        }
        let asked_by = fields.number()?;
        // What answers nothing that was asked could be anything to the client, also content.
        self.waiting.get(&asked_by).filter(|waiting| waiting.is_answered_by(kind))?;
        match (kind, self.waiting.remove(&asked_by)?) {
            (number::HANDLE, Waiting::Opening(file)) => {
                let handle = Bytes::copy_from_slice(fields.handle()?);
                let before = self.open.insert(handle, Open { file: *file, closing: false });
                return before.is_none().then_some(());
            }
            (number::DATA, Waiting::Reading(handle, at)) => {
                let (flow, data) = content(handle, at, packet, more, fields)?;
                // What is answered after the end of its file is nobody's.
                self.file(&flow.handle)?;
                self.reading = self.flow(Some(flow), &data, |file| &mut file.read, events);
            }
            (number::STATUS, waiting) => {
                let code = fields.number()?;
                let message = fields.text().unwrap_or_default();
                self.status(waiting, code, message, source, events);
            }
            // Names, attributes, and answers of extensions.
            _ => {}
        }
        Some(())
    }

    fn refused(&mut self, handle: &Handle, events: &mut Vec<Event>) {
        let open = self.open.get_mut(&handle.name).filter(|open| open.file.id == handle.file);
        if let Some(open) = open {
            open.file.written.lose("the host did not take all of it", &mut self.window, events);
        }
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
            Waiting::Opening(file) => {
                self.paths -= file.path.len();
                events.push(failed(file.id, file.since));
            }
            Waiting::Closing(handle) => self.close(&handle, "closed", source, events),
            Waiting::Writing(handle) if code != 0 => self.refused(&handle, events),
            Waiting::Reading(..) | Waiting::Writing(_) | Waiting::Looks => {}
        }
    }
}

/// Longest packets, bytes. OpenSSH takes and sends 256 KiB.
const MOST_OF_A_REQUEST: usize = 512 << 10;
const MOST_OF_AN_ANSWER: usize = 4 << 20;

/// The content of a packet, which its fields have come to: how it goes on, and what of it is here.
fn content(
    handle: Handle,
    at: u64,
    packet: &Bytes,
    more: usize,
    mut fields: Fields<'_>,
) -> Option<(Flow, Bytes)> {
    let left = usize::try_from(fields.number()?).ok()?;
    let here = packet.slice(packet.len() - fields.left()..);
    (left <= here.len() + more).then_some((Flow { handle, at, left }, here))
}

#[cfg(test)]
mod tests;
