//! The old protocol of scp (`scp -O`), read as it passes. It was never written down: this is what OpenSSH's `scp.c` says and expects.
//!
//! ```text
//!   who has the files            who takes them
//!                          ◀──   \0                       ready
//!   T<times>\n             ──▶   \0                       with -p
//!   C0644 <size> <name>\n  ──▶   \0, or \1 <why not>\n
//!   <size bytes> \0        ──▶   \0, or \1 <why not>\n
//!   D0755 0 <name>\n       ──▶   \0, or \1 <why not>\n    with -r; E\n ends it
//!   \1 <what failed>\n     ──▶                            nothing answers it
//! ```
//! Whoever has the files waits for each answer. Who does not is not read any further: what they send could mean one thing here and
//! another at the other end. Nothing is changed, and content is never held.

use bytes::Bytes;
use hoop_engine::{Event, RequestId, Timestamp};
use hoop_recording::event::FileOperation;

use crate::content::{Content, File, LONGEST_MESSAGE, Source, Transfer, Unreadable, Window, asked, micros};

/// Longest line, its end included. OpenSSH cuts one after 2047 bytes and takes what follows for the next, or for content.
const LONGEST_LINE: usize = 1024;
/// Longest path of folders within folders.
const LONGEST_PATH: usize = 16 << 10;

/// A command that is scp and nothing else, whatever shell reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ScpCommand {
    path: Bytes,
    /// Files go to the host.
    to_host: bool,
}

impl ScpCommand {
    /// `scp [-dpqrv] -t|-f [--] PATH`, of characters that no shell takes for anything else. Whatever differs is a command.
    pub(crate) fn of(text: &Bytes) -> Option<Self> {
        let mut words = text.split(|byte| *byte == b' ');
        if words.next()? != b"scp" {
            return None;
        }
        let (mut way, mut word) = (None, words.next()?);
        while let Some(options) = word.strip_prefix(b"-").filter(|options| *options != b"-") {
            for option in options {
                match option {
                    b't' | b'f' if way.is_none() => way = Some(*option == b't'),
                    b'd' | b'p' | b'q' | b'r' | b'v' => {}
                    _ => return None,
                }
            }
            if options.is_empty() {
                return None;
            }
            word = words.next()?;
        }
        let path = if word == b"--" { words.next()? } else { word };
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"/._-+@:,%".contains(byte);
        // Only the user's own home: `~other` tells who there is.
        let rest = path.strip_prefix(b"~/").unwrap_or(path);
        let fine = !path.is_empty() && rest.iter().all(plain) && words.next().is_none();
        fine.then_some(Self { path: text.slice_ref(path), to_host: way? })
    }
}

/// One run of scp, as it is read.
#[derive(Debug)]
pub(crate) struct Scp {
    command: ScpCommand,
    /// Bytes of each file that the recording keeps.
    copies: u64,
    window: Window,
    /// What is being said by whoever has the files.
    sent: Sent,
    /// What waits for its answer. Nothing else is said meanwhile.
    owed: Option<Owed>,
    /// A refusal, as far as it came.
    refusal: Option<Vec<u8>>,
    /// Folders in which the next file is.
    folders: Vec<Bytes>,
    /// It is announced, or passes.
    file: Option<Moving>,
}

#[derive(Debug)]
enum Sent {
    /// A line, as far as it came.
    Line(Vec<u8>),
    /// Content of the file.
    Content,
    /// How reading it went.
    Trailer,
}

#[derive(Debug)]
enum Owed {
    Ready,
    Times,
    File,
    Content,
    Folder { id: RequestId, since: Timestamp, name: Bytes },
    EndOfFolder,
}

#[derive(Debug)]
struct Moving {
    file: File,
    size: u64,
    passed: u64,
}

impl Transfer for Scp {
    fn up(&mut self, data: &Bytes, source: &dyn Source) -> Result<Vec<Event>, Unreadable> {
        self.read(data, self.command.to_host, source)
    }

    fn down(&mut self, data: &Bytes, source: &dyn Source) -> Result<Vec<Event>, Unreadable> {
        self.read(data, !self.command.to_host, source)
    }

    fn finish(mut self: Box<Self>, source: &dyn Source) -> Vec<Event> {
        let mut events = Vec::new();
        if let Some(mut moving) = self.file.take() {
            let (all, sink_is_host) = (moving.passed == moving.size, self.command.to_host);
            let why = if all { "the host has not confirmed all of it" } else { "not all of it passed" };
            if !all || sink_is_host {
                content(&mut moving.file, sink_is_host).lose(why, &mut self.window, &mut events);
            }
            events.push(moving.file.completed("left open", &mut self.window, source));
        }
        events
    }
}

impl Scp {
    pub(crate) fn new(command: ScpCommand, copies: u64) -> Self {
        Self {
            command,
            copies,
            window: Window::default(),
            sent: Sent::Line(Vec::new()),
            owed: Some(Owed::Ready),
            refusal: None,
            folders: Vec::new(),
            file: None,
        }
    }

    fn read(&mut self, data: &Bytes, has_files: bool, source: &dyn Source) -> Result<Vec<Event>, Unreadable> {
        let mut events = Vec::new();
        if has_files {
            self.said(data, source, &mut events).ok_or(Unreadable)?;
        } else {
            for byte in data {
                self.answered(*byte, source, &mut events).ok_or(Unreadable)?;
            }
        }
        Ok(events)
    }

    /// What whoever has the files says.
    fn said(&mut self, data: &Bytes, source: &dyn Source, events: &mut Vec<Event>) -> Option<()> {
        let mut data = data.clone();
        while !data.is_empty() {
            if self.owed.is_some() {
                return None;
            }
            match &mut self.sent {
                Sent::Line(line) => {
                    let end = data.iter().position(|byte| *byte == b'\n');
                    line.extend_from_slice(&data.split_to(end.map_or(data.len(), |end| end + 1)));
                    if line.len() > LONGEST_LINE {
                        return None;
                    }
                    if end.is_some() {
                        let line = std::mem::take(line);
                        self.line(line.strip_suffix(b"\n")?, source, events)?;
                    }
                }
                Sent::Content => self.content(&mut data, events)?,
                Sent::Trailer => self.trailer(data.split_to(1).first().copied()?, events)?,
            }
        }
        Some(())
    }

    fn line(&mut self, line: &[u8], source: &dyn Source, events: &mut Vec<Event>) -> Option<()> {
        let (kind, rest) = line.split_first()?;
        match kind {
            b'T' => {
                let is_number = |word: &[u8]| !word.is_empty() && word.iter().all(u8::is_ascii_digit);
                let numbers = rest.split(|byte| *byte == b' ');
                (numbers.clone().count() == 4 && numbers.into_iter().all(is_number)).then_some(())?;
                self.owed = Some(Owed::Times);
            }
            b'C' => {
                let (size, name) = named(rest)?;
                let name = self.within(name)?;
                let (file, event) =
                    File::new(self.operation(), &self.command.path, Some(&name), self.copies, source);
                events.push(event);
                self.file = Some(Moving { file, size, passed: 0 });
                self.owed = Some(Owed::File);
            }
            b'D' => {
                let (_, name) = named(rest)?;
                let path = self.within(name)?;
                let (id, since) = (source.next(), source.now());
                let operation =
                    if self.command.to_host { FileOperation::MakeFolder } else { FileOperation::List };
                events.push(asked(id, operation, &self.command.path, Some(&path)));
                self.owed = Some(Owed::Folder { id, since, name: Bytes::copy_from_slice(name) });
            }
            b'E' if rest.is_empty() => {
                self.folders.pop()?;
                self.owed = Some(Owed::EndOfFolder);
            }
            // It has come to the end of a file, and could not read all of it.
            1 | 2 if self.file.is_some() => self.owed = Some(Owed::Content),
            // It has nothing to send in a file's place, and says why.
            1 | 2 => {
                let id = source.next();
                events.push(asked(id, self.operation(), &self.command.path, None));
                events.push(failed(id, *kind, rest, 0));
            }
            _ => return None,
        }
        Some(())
    }

    fn operation(&self) -> FileOperation {
        if self.command.to_host { FileOperation::Write } else { FileOperation::Read }
    }

    /// The path of a name below the one that the command names.
    fn within(&self, name: &[u8]) -> Option<Vec<u8>> {
        let parts: Vec<&[u8]> = self.folders.iter().map(|folder| &folder[..]).chain([name]).collect();
        let path = parts.join(&b'/');
        (path.len() <= LONGEST_PATH).then_some(path)
    }

    fn content(&mut self, data: &mut Bytes, events: &mut Vec<Event>) -> Option<()> {
        let Moving { file, size, passed } = self.file.as_mut()?;
        let left = usize::try_from(*size - *passed).unwrap_or(usize::MAX);
        let piece = data.split_to(left.min(data.len()));
        content(file, self.command.to_host).take(*passed, &piece, &mut self.window, events);
        *passed += piece.len() as u64;
        if passed == size {
            self.sent = Sent::Trailer;
        }
        Some(())
    }

    fn trailer(&mut self, byte: u8, events: &mut Vec<Event>) -> Option<()> {
        self.sent = Sent::Line(Vec::new());
        match byte {
            0 => self.owed = Some(Owed::Content),
            1 | 2 => {
                let why = "whoever had the file could not read all of it";
                let file = &mut self.file.as_mut()?.file;
                content(file, self.command.to_host).lose(why, &mut self.window, events);
                // The reason follows as a line, and then the answer.
                self.sent = Sent::Line(vec![byte]);
            }
            _ => return None,
        }
        Some(())
    }

    /// What whoever takes the files answers.
    fn answered(&mut self, byte: u8, source: &dyn Source, events: &mut Vec<Event>) -> Option<()> {
        self.owed.as_ref()?;
        match (&mut self.refusal, byte) {
            (None, 0) => self.taken(source, events),
            (None, 1 | 2) => {
                self.refusal = Some(vec![byte]);
                Some(())
            }
            (None, _) => None,
            (Some(why), b'\n') => {
                let why = std::mem::take(why);
                self.refusal = None;
                self.refused(&why, source, events)
            }
            (Some(why), byte) => {
                why.push(byte);
                // Its end is still to come.
                (why.len() < LONGEST_LINE).then_some(())
            }
        }
    }

    fn taken(&mut self, source: &dyn Source, events: &mut Vec<Event>) -> Option<()> {
        match self.owed.take()? {
            Owed::File => {
                let is_empty = self.file.as_ref()?.size == 0;
                self.sent = if is_empty { Sent::Trailer } else { Sent::Content };
            }
            Owed::Content => {
                let file = self.file.take()?.file;
                events.push(file.completed("done", &mut self.window, source));
            }
            Owed::Folder { id, since, name } => {
                self.folders.push(name);
                let duration_us = micros(source.now(), since);
                events.push(Event::Completed { id, tag: "done".into(), rows: 0, bytes: 0, duration_us });
            }
            Owed::Ready | Owed::Times | Owed::EndOfFolder => {}
        }
        Some(())
    }

    fn refused(&mut self, why: &[u8], source: &dyn Source, events: &mut Vec<Event>) -> Option<()> {
        let (kind, why) = why.split_first()?;
        let (id, since) = match self.owed.take()? {
            Owed::File | Owed::Content => {
                let file = self.file.take()?.file;
                (file.id, file.since)
            }
            Owed::Folder { id, since, .. } => (id, since),
            Owed::Ready | Owed::Times | Owed::EndOfFolder => {
                let id = source.next();
                events.push(asked(id, self.operation(), &self.command.path, None));
                (id, source.now())
            }
        };
        events.push(failed(id, *kind, why, micros(source.now(), since)));
        Some(())
    }
}

fn content(file: &mut File, to_host: bool) -> &mut Content {
    if to_host { &mut file.written } else { &mut file.read }
}

/// `0644 1234 name`: no name leads out of its folder.
fn named(rest: &[u8]) -> Option<(u64, &[u8])> {
    let mut words = rest.splitn(3, |byte| *byte == b' ');
    let (mode, size, name) = (words.next()?, words.next()?, words.next()?);
    let is_mode = (3..=8).contains(&mode.len()) && mode.iter().all(|digit| (b'0'..=b'7').contains(digit));
    let size =
        std::str::from_utf8(size).ok().filter(|size| size.bytes().all(|byte| byte.is_ascii_digit()))?;
    let leads_away =
        name.is_empty() || name == b"." || name == b".." || name.contains(&b'/') || name.contains(&0);
    (is_mode && !leads_away).then_some((size.parse().ok()?, name))
}

fn failed(id: RequestId, kind: u8, why: &[u8], duration_us: u64) -> Event {
    let why = why.get(..LONGEST_MESSAGE).unwrap_or(why);
    Event::Failed {
        id: Some(id),
        code: kind.to_string().into(),
        message: Bytes::copy_from_slice(why),
        duration_us,
    }
}

#[cfg(test)]
mod tests;
