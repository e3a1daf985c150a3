//! An archive, read as it passes: ustar with the extensions of pax and GNU (POSIX.1-2001, `pax`; GNU tar manual, "Basic Tar Format").
//!
//! Nothing is changed. What is no archive ends the transfer: a reader that we do not follow would write files that nobody told of.

use bytes::{Buf, Bytes, BytesMut};
use hoop_engine::Event;
use hoop_hosted::content::{File, Source, Transfer, Unreadable, Window, asked};
use hoop_recording::event::FileOperation;

const BLOCK: usize = 512;
/// Bytes of names and attributes that stand before a header.
const LONGEST: u64 = 64 << 10;

/// Which way an archive passes, and below which folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Way {
    /// From the client; it is unpacked here.
    Up(String),
    /// From the container.
    Down,
}

impl Way {
    /// Of `tar cf - PATH`, `tar xmf - -C FOLDER` and their like.
    pub(super) fn of(command: &[String]) -> Option<Self> {
        let is_harmless = |word: &&str| !word.starts_with("--no-same-");
        let words: Vec<&str> = command.iter().map(String::as_str).filter(is_harmless).collect();
        match words.as_slice() {
            [program, flags, rest @ ..] if is_tar(program) => {
                let flags = flags.trim_start_matches('-');
                let plain = flags.bytes().all(|byte| byte.is_ascii_alphabetic());
                // Compressed, it would have to be unpacked to be read.
                if !plain
                    || flags.contains(['z', 'j', 'J', 'Z'])
                    || !flags.ends_with('f')
                    || rest.first() != Some(&"-")
                {
                    return None;
                }
                if flags.contains('c') {
                    return Some(Self::Down);
                }
                let folder = rest.iter().position(|word| *word == "-C").and_then(|at| rest.get(at + 1));
                flags.contains('x').then(|| Self::Up(folder.copied().unwrap_or_default().to_owned()))
            }
            _ => None,
        }
    }
}

fn is_tar(program: &str) -> bool {
    program.rsplit('/').next() == Some("tar")
}

/// What comes next.
enum State {
    Header,
    /// Content of a file that is told of; so much is left, and so much fills its last block.
    Content {
        file: Box<File>,
        at: u64,
        left: u64,
        fill: u64,
    },
    /// A name or attributes of the next header.
    Words {
        kind: u8,
        left: u64,
        fill: u64,
    },
    /// What is of no interest.
    Skip(u64),
    /// Only filling follows the end.
    Over,
}

/// One archive.
pub(super) struct Tar {
    way: Way,
    copies: u64,
    state: State,
    /// A block that is not whole, or words.
    buffer: BytesMut,
    window: Window,
    /// Of the next header: its name, its link, its size.
    name: Option<Bytes>,
    link: Option<Bytes>,
    size: Option<u64>,
    /// Blocks of zeros in a row.
    zeros: u8,
}

impl Tar {
    pub(super) fn new(way: Way, copies: u64) -> Self {
        Self {
            way,
            copies,
            state: State::Header,
            buffer: BytesMut::new(),
            window: Window::default(),
            name: None,
            link: None,
            size: None,
            zeros: 0,
        }
    }

    fn take(&mut self, data: &Bytes, source: &dyn Source) -> Result<Vec<Event>, Unreadable> {
        let (mut data, mut events) = (data.clone(), Vec::new());
        while data.has_remaining() {
            let state = std::mem::replace(&mut self.state, State::Over);
            self.state = self.step(state, &mut data, &mut events, source)?;
        }
        Ok(events)
    }

    fn step(
        &mut self,
        state: State,
        data: &mut Bytes,
        events: &mut Vec<Event>,
        source: &dyn Source,
    ) -> Result<State, Unreadable> {
        Ok(match state {
            State::Header => {
                let missing = BLOCK - self.buffer.len();
                let piece = data.split_to(missing.min(data.len()));
                self.buffer.extend_from_slice(&piece);
                if self.buffer.len() < BLOCK {
                    return Ok(State::Header);
                }
                let block = self.buffer.split().freeze();
                self.header(&block, events, source)?
            }
            State::Content { mut file, at, left, fill } => {
                let piece = cut(data, left);
                let passed = piece.len() as u64;
                let Self { way, window, .. } = self;
                let content = if matches!(way, Way::Up(_)) { &mut file.written } else { &mut file.read };
                content.take(at, &piece, window, events);
                if passed < left {
                    State::Content { file, at: at + passed, left: left - passed, fill }
                } else {
                    events.push(file.completed(self.how(), &mut self.window, source));
                    skip(fill)
                }
            }
            State::Words { kind, left, fill } => {
                let piece = cut(data, left);
                self.buffer.extend_from_slice(&piece);
                let left = left - piece.len() as u64;
                if left > 0 {
                    return Ok(State::Words { kind, left, fill });
                }
                let words = self.buffer.split().freeze();
                self.words(kind, &words)?;
                skip(fill)
            }
            State::Skip(left) => {
                let passed = cut(data, left).len() as u64;
                skip(left - passed)
            }
            State::Over => {
                // Filling up to the size of a record; a second archive behind the first would be one that we do not follow.
                if data.iter().any(|byte| *byte != 0) {
                    return Err(Unreadable);
                }
                data.clear();
                State::Over
            }
        })
    }

    const fn how(&self) -> &'static str {
        if matches!(self.way, Way::Up(_)) { "sent" } else { "passed" }
    }

    fn header(
        &mut self,
        block: &Bytes,
        events: &mut Vec<Event>,
        source: &dyn Source,
    ) -> Result<State, Unreadable> {
        if block.iter().all(|byte| *byte == 0) {
            self.zeros += 1;
            return Ok(if self.zeros >= 2 { State::Over } else { State::Header });
        }
        // A reader may stop at one block of zeros, or go on.
        if self.zeros > 0 || !sum_is_right(block) {
            return Err(Unreadable);
        }
        let kind = block.get(156).copied().ok_or(Unreadable)?;
        let own_size = number(block.get(124..136).ok_or(Unreadable)?)?;
        if matches!(kind, b'x' | b'g' | b'L' | b'K') {
            if own_size > LONGEST {
                return Err(Unreadable);
            }
            // A name for all that follows is nobody's habit.
            return Ok(match own_size {
                0 => State::Header,
                left => State::Words { kind, left, fill: fill_of(left) },
            });
        }
        let (name, link) = (self.name.take(), self.link.take());
        let size = self.size.take().unwrap_or(own_size);
        let name = name.map_or_else(|| own_name(block), Ok)?;
        let path = match &self.way {
            Way::Up(folder) if !folder.is_empty() => [folder.as_bytes(), b"/", &name].concat().into(),
            _ => name,
        };
        let up = matches!(self.way, Way::Up(_));
        let tell = |operation, second: Option<&[u8]>, events: &mut Vec<Event>, source: &dyn Source| {
            let (file, event) = File::new(operation, &path, second, 0, source);
            events.push(event);
            events.push(file.completed(if up { "sent" } else { "passed" }, &mut Window::default(), source));
        };
        match kind {
            0 | b'0' | b'7' => {
                let operation = if up { FileOperation::Write } else { FileOperation::Read };
                let (file, event) = File::new(operation, &path, None, self.copies, source);
                events.push(event);
                if size == 0 {
                    events.push(file.completed(self.how(), &mut self.window, source));
                    return Ok(State::Header);
                }
                Ok(State::Content { file: Box::new(file), at: 0, left: size, fill: fill_of(size) })
            }
            b'1' | b'2' => {
                let target = link.map_or_else(|| Ok(text(block.get(157..257).ok_or(Unreadable)?)), Ok)?;
                let operation = if up { FileOperation::Link } else { FileOperation::Read };
                tell(operation, Some(&target), events, source);
                Ok(skip(size + fill_of(size)))
            }
            b'5' => {
                let operation = if up { FileOperation::MakeFolder } else { FileOperation::List };
                events.push(asked(source.next(), operation, &path, None));
                Ok(skip(size + fill_of(size)))
            }
            b'3' | b'4' | b'6' => {
                tell(if up { FileOperation::Write } else { FileOperation::Read }, None, events, source);
                Ok(State::Header)
            }
            // Sparse files, volumes: what they become is not followed.
            _ => Err(Unreadable),
        }
    }

    fn words(&mut self, kind: u8, words: &Bytes) -> Result<(), Unreadable> {
        match kind {
            b'L' => self.name = Some(text(words)),
            b'K' => self.link = Some(text(words)),
            _ => {
                let mut rest = words.clone();
                while !rest.is_empty() {
                    let space = rest.iter().position(|byte| *byte == b' ').ok_or(Unreadable)?;
                    let digits =
                        std::str::from_utf8(rest.get(..space).unwrap_or_default()).map_err(|_| Unreadable)?;
                    let length: usize = digits.parse().map_err(|_| Unreadable)?;
                    if length <= space + 1 || length > rest.len() {
                        return Err(Unreadable);
                    }
                    let record = rest.split_to(length).slice(space + 1..);
                    let record = record.strip_suffix(b"\n").ok_or(Unreadable)?;
                    let equals = record.iter().position(|byte| *byte == b'=').ok_or(Unreadable)?;
                    let (key, value) = record.split_at(equals);
                    let value = value.get(1..).unwrap_or_default();
                    let named = matches!(key, b"path" | b"linkpath" | b"size");
                    if (kind == b'g' && named) || key.starts_with(b"GNU.sparse") {
                        return Err(Unreadable);
                    }
                    match key {
                        b"path" => self.name = Some(Bytes::copy_from_slice(value)),
                        b"linkpath" => self.link = Some(Bytes::copy_from_slice(value)),
                        b"size" => {
                            let size = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                            self.size = Some(size.filter(|size| *size <= MOST).ok_or(Unreadable)?);
                        }
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }
}

/// Largest file, bytes: sums of two never overflow.
const MOST: u64 = 1 << 60;

const fn skip(left: u64) -> State {
    if left == 0 { State::Header } else { State::Skip(left) }
}

const fn fill_of(size: u64) -> u64 {
    (BLOCK as u64 - size % BLOCK as u64) % BLOCK as u64
}

fn cut(data: &mut Bytes, left: u64) -> Bytes {
    let most = usize::try_from(left).unwrap_or(usize::MAX);
    data.split_to(most.min(data.len()))
}

/// Up to its NUL.
fn text(field: &[u8]) -> Bytes {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    Bytes::copy_from_slice(field.get(..end).unwrap_or_default())
}

fn own_name(block: &[u8]) -> Result<Bytes, Unreadable> {
    let name = text(block.get(..100).ok_or(Unreadable)?);
    // GNU has other things where ustar has the prefix.
    let is_ustar = block.get(257..263) == Some(b"ustar\0");
    let prefix = if is_ustar { text(block.get(345..500).ok_or(Unreadable)?) } else { Bytes::new() };
    Ok(if prefix.is_empty() { name } else { [&prefix[..], b"/", &name].concat().into() })
}

/// Octal digits, or GNU's binary numbers.
fn number(field: &[u8]) -> Result<u64, Unreadable> {
    let value = match field.split_first() {
        Some((0x80, rest)) => {
            let (high, low) = rest.split_at(rest.len().saturating_sub(8));
            if high.iter().any(|byte| *byte != 0) {
                return Err(Unreadable);
            }
            low.iter().fold(0, |value, byte| (value << 8) | u64::from(*byte))
        }
        _ => {
            let digits = std::str::from_utf8(field).map_err(|_| Unreadable)?;
            let digits = digits.trim_matches(|c| matches!(c, ' ' | '\0'));
            if digits.is_empty() { 0 } else { u64::from_str_radix(digits, 8).map_err(|_| Unreadable)? }
        }
    };
    if value <= MOST { Ok(value) } else { Err(Unreadable) }
}

fn sum_is_right(block: &[u8]) -> bool {
    let said = block.get(148..156).and_then(|field| number(field).ok());
    let is_sum = |at: usize| (148..156).contains(&at);
    let sum = |(at, byte): (usize, &u8)| if is_sum(at) { u64::from(b' ') } else { u64::from(*byte) };
    said == Some(block.iter().enumerate().map(sum).sum())
}

impl Transfer for Tar {
    fn up(&mut self, data: &Bytes, source: &dyn Source) -> Result<Vec<Event>, Unreadable> {
        if matches!(self.way, Way::Up(_)) { self.take(data, source) } else { Ok(Vec::new()) }
    }

    fn down(&mut self, data: &Bytes, source: &dyn Source) -> Result<Vec<Event>, Unreadable> {
        if self.way == Way::Down { self.take(data, source) } else { Ok(Vec::new()) }
    }

    fn finish(mut self: Box<Self>, source: &dyn Source) -> Vec<Event> {
        let state = std::mem::replace(&mut self.state, State::Over);
        let State::Content { mut file, .. } = state else { return Vec::new() };
        let mut events = Vec::new();
        let up = matches!(self.way, Way::Up(_));
        let content = if up { &mut file.written } else { &mut file.read };
        content.lose("it was broken off", &mut self.window, &mut events);
        events.push(file.completed("broken off", &mut self.window, source));
        events
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, process::Command};

    use hoop_hosted::content::Clock;
    use hoop_recording::event::Form;
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn what_kubectl_cp_runs_is_known() {
        for (command, way) in [
            ("tar cf - /etc/hosts", Some(Way::Down)),
            ("tar xmf - -C /tmp", Some(Way::Up("/tmp".into()))),
            ("tar --no-same-permissions --no-same-owner -xmf - -C /tmp", Some(Way::Up("/tmp".into()))),
            ("tar -xf - -C /srv", Some(Way::Up("/srv".into()))),
            ("/bin/tar -cf - .", Some(Way::Down)),
            ("tar czf - /etc", None),
            ("tar cf /tmp/a /etc", None),
            ("ls -l", None),
            ("tar", None),
        ] {
            assert_eq!(Way::of(&words(command)), way, "{command}");
        }
    }

    fn told(events: &[Event]) -> Vec<String> {
        let told = |event: &Event| match event {
            Event::Request { form: Form::File { operation }, text, .. } => {
                Some(format!("{operation:?} {}", String::from_utf8_lossy(text)))
            }
            Event::Completed { tag, .. } => Some(String::from_utf8_lossy(tag).into_owned()),
            _ => None,
        };
        events.iter().filter_map(told).collect()
    }

    fn read(pieces: &[&[u8]]) -> Result<Vec<String>, Unreadable> {
        let mut tar = Box::new(Tar::new(Way::Down, 0));
        let (clock, mut events) = (Clock(Cell::new(0)), Vec::new());
        for piece in pieces {
            events.extend(tar.down(&Bytes::copy_from_slice(piece), &clock)?);
        }
        events.extend(tar.finish(&clock));
        Ok(told(&events))
    }

    /// Only the extensions have room for long names.
    fn long_name(format: &str) -> String {
        "n".repeat(if format == "ustar" { 90 } else { 180 })
    }

    fn archive(format: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let long = long_name(format);
        std::fs::create_dir(folder.path().join("d")).unwrap();
        std::fs::write(folder.path().join("d/a"), b"hello").unwrap();
        std::fs::write(folder.path().join("d/empty"), b"").unwrap();
        std::fs::write(folder.path().join(format!("d/{long}")), vec![7; 1500]).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("d/link")).unwrap();
        let tar = Command::new("tar")
            .args(["--sort=name", &format!("--format={format}"), "-cf", "-", "d"])
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(tar.status.success());
        tar.stdout
    }

    #[test]
    fn archives_of_each_format_are_read_wherever_they_are_cut() {
        for format in ["gnu", "ustar", "pax", "posix"] {
            let archive = archive(format);
            let whole = read(&[&archive]).unwrap();
            assert_eq!(whole.len(), 9, "{format}: {whole:?}");
            assert_eq!(whole[..2], ["List d/", "Read d/a"]);
            let sum = hoop_recording::Hash::of(b"hello");
            assert_eq!(whole[2], format!("passed: 5 bytes read, sha256 {sum}"));
            assert!(whole.iter().any(|told| told.ends_with(&long_name(format))), "{format}");
            assert!(whole.iter().any(|told| told.starts_with("Read d/link")));
            for cut in (1..archive.len()).step_by(97) {
                let (head, tail) = archive.split_at(cut);
                assert_eq!(read(&[head, tail]).unwrap(), whole, "{format} {cut}");
            }
        }
    }

    #[test]
    fn what_is_no_archive_or_more_than_one_ends_it() {
        let archive = archive("gnu");
        assert!(read(&[b"tar: /x: No such file\n".repeat(40).as_slice()]).is_err());
        assert!(read(&[&archive, &archive]).is_err(), "a reader may go on behind the end");
        let mut changed = archive.clone();
        changed[0] = b'e';
        assert!(read(&[&changed]).is_err(), "the sum of the header is wrong");
        let broken = read(&[&archive[..BLOCK * 2 + 3]]).unwrap();
        assert_eq!(broken.last().unwrap(), "broken off: 3 bytes read, no sha256: it was broken off");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2000)) {
            let _ = read(&[&bytes]);
        }
    }
}
