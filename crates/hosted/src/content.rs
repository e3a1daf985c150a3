//! Files that are moved: what passes of each, how much, its SHA-256 and, where that is wanted, a copy.
//!
//! Sum and copy need the bytes in the order in which they stand in the file. What comes ahead of its turn waits in a window. Where the
//! order cannot be had there is no sum, and it is said why: a wrong one would be worse.

use std::collections::BTreeMap;

use bytes::Bytes;
use hoop_engine::{Event, RequestId, Timestamp};
use hoop_recording::{
    event::{Direction, FileOperation, Form, Parameter},
    hash::Hasher,
};

/// Bytes that may wait for those before them, of all files of a transfer together.
const WINDOW: usize = 2 << 20;
/// What a piece that waits takes beside its bytes.
const APIECE: usize = 128;
/// Bytes kept of what is said about a failure.
pub const LONGEST_MESSAGE: usize = 300;

/// A number for the next request of the recording, and the time.
pub trait Source {
    /// The next number.
    fn next(&self) -> RequestId;
    /// The time.
    fn now(&self) -> Timestamp;
}

/// Numbers requests; its time stands still. For tests.
#[derive(Debug)]
pub struct Clock(pub std::cell::Cell<u64>);

impl Source for Clock {
    fn next(&self) -> RequestId {
        self.0.set(self.0.get() + 1);
        RequestId(self.0.get())
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_000_000)
    }
}

/// A protocol that moves files, read as it passes. Nothing is changed, and nothing is answered.
pub trait Transfer: Send {
    /// What the client sends. Answers with what the recording is to keep before it goes on.
    fn up(&mut self, data: &Bytes, source: &dyn Source) -> Result<Vec<Event>, Unreadable>;

    /// What the host answers.
    fn down(&mut self, data: &Bytes, source: &dyn Source) -> Result<Vec<Event>, Unreadable>;

    /// The transfer is over: what is still open is told of.
    fn finish(self: Box<Self>, source: &dyn Source) -> Vec<Event>;
}

/// These bytes are not of the protocol, or ask for more at once than is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unreadable;

/// Room for what comes ahead of its turn.
#[derive(Debug)]
pub struct Window(usize);

impl Default for Window {
    fn default() -> Self {
        Self(WINDOW)
    }
}

/// A file or folder that is open.
#[derive(Debug)]
pub struct File {
    /// Its number in the recording.
    pub id: RequestId,
    /// As it was named.
    pub path: Bytes,
    /// When it was opened.
    pub since: Timestamp,
    operation: FileOperation,
    /// What passes of it to the client.
    pub read: Content,
    /// What passes of it from the client.
    pub written: Content,
}

impl File {
    /// With what the recording is told of it first. `copies`: bytes of its content that the recording keeps.
    pub fn new(
        operation: FileOperation,
        path: &[u8],
        second: Option<&[u8]>,
        copies: u64,
        source: &dyn Source,
    ) -> (Self, Event) {
        let (id, since) = (source.next(), source.now());
        let content = |direction| Content::new(id, direction, copies);
        let file = Self {
            id,
            path: Bytes::copy_from_slice(path),
            since,
            operation,
            read: content(Direction::Out),
            written: content(Direction::In),
        };
        (file, asked(id, operation, path, second))
    }

    /// It is over.
    pub fn completed(self, how: &str, window: &mut Window, source: &dyn Source) -> Event {
        use FileOperation::{Read, ReadWrite, Write};
        let bytes = self.read.passed + self.written.passed;
        let is_told = |content: &Content, wanted: FileOperation| {
            self.operation == ReadWrite || self.operation == wanted || content.passed > 0
        };
        let (read, written) = (is_told(&self.read, Read), is_told(&self.written, Write));
        let told: Vec<String> = [(read, self.read, "read"), (written, self.written, "written")]
            .into_iter()
            .map(|(told, content, how)| (told, content.end(how, window)))
            .filter_map(|(told, text)| told.then_some(text))
            .collect();
        let tag = if told.is_empty() { how.to_owned() } else { format!("{how}: {}", told.join("; ")) };
        let duration_us = micros(source.now(), self.since);
        Event::Completed { id: self.id, tag: tag.into(), rows: 0, bytes, duration_us }
    }
}

/// What passes of a file in one direction.
#[derive(Debug)]
pub struct Content {
    id: RequestId,
    direction: Direction,
    /// So many bytes are copied.
    copies: u64,
    passed: u64,
    order: Order,
}

#[derive(Debug)]
enum Order {
    Kept {
        hasher: Hasher,
        /// Up to here.
        next: u64,
        /// What came ahead of its turn.
        ahead: BTreeMap<u64, Bytes>,
    },
    Lost(&'static str),
}

impl Content {
    fn new(id: RequestId, direction: Direction, copies: u64) -> Self {
        let order = Order::Kept { hasher: Hasher::default(), next: 0, ahead: BTreeMap::new() };
        Self { id, direction, copies, passed: 0, order }
    }

    /// Takes what stands at this place of the file; copies become events.
    pub fn take(&mut self, at: u64, data: &Bytes, window: &mut Window, events: &mut Vec<Event>) {
        self.passed = self.passed.saturating_add(data.len() as u64);
        let Order::Kept { next, ahead, .. } = &mut self.order else { return };
        if data.is_empty() {
            return;
        }
        if at > *next && !ahead.contains_key(&at) {
            let Some(left) = window.0.checked_sub(data.len() + APIECE) else {
                return self.lose("it did not pass in order", window, events);
            };
            window.0 = left;
            // A copy of its own: else a byte would hold the whole packet.
            ahead.insert(at, Bytes::copy_from_slice(data));
            return;
        }
        if at != *next {
            return self.lose("some of it passed twice", window, events);
        }
        self.pass(data, events);
        while let Order::Kept { next, ahead, .. } = &mut self.order
            && let Some(first) = ahead.first_entry()
            && *first.key() <= *next
        {
            if *first.key() < *next {
                return self.lose("some of it passed twice", window, events);
            }
            let data = first.remove();
            window.0 += data.len() + APIECE;
            self.pass(&data, events);
        }
    }

    fn pass(&mut self, data: &Bytes, events: &mut Vec<Event>) {
        let Order::Kept { hasher, next, .. } = &mut self.order else { return };
        hasher.update(data);
        let before = *next;
        *next = before.saturating_add(data.len() as u64);
        let room = usize::try_from(self.copies.saturating_sub(before)).unwrap_or(usize::MAX);
        let copy = data.slice(..room.min(data.len()));
        if !copy.is_empty() {
            events.push(Event::Copy { id: self.id, direction: self.direction, data: copy });
        }
        // Said by the first byte beyond, also where a piece ends at the limit.
        if self.copies > 0 && (before..*next).contains(&self.copies) {
            events.push(Event::Curtailed { id: self.id, limit: self.copies });
        }
    }

    /// There will be no sum, and no more of a copy.
    pub fn lose(&mut self, why: &'static str, window: &mut Window, events: &mut Vec<Event>) {
        let Order::Kept { next, ahead, .. } = std::mem::replace(&mut self.order, Order::Lost(why)) else {
            return;
        };
        window.0 += room(&ahead);
        if self.copies > 0 && next <= self.copies {
            events.push(Event::Curtailed { id: self.id, limit: next });
        }
    }

    /// What is told of it.
    fn end(self, how: &str, window: &mut Window) -> String {
        let sum = match self.order {
            Order::Lost(why) => format!("no sha256: {why}"),
            Order::Kept { hasher, ahead, .. } if ahead.is_empty() => format!("sha256 {}", hasher.finish()),
            Order::Kept { next, ahead, .. } => {
                window.0 += room(&ahead);
                let what = if next == 0 { "its beginning" } else { "a part of it" };
                format!("no sha256: {what} did not pass")
            }
        };
        format!("{} bytes {how}, {sum}", self.passed)
    }
}

fn room(ahead: &BTreeMap<u64, Bytes>) -> usize {
    ahead.values().map(|data| data.len() + APIECE).sum()
}

/// A request about a file.
#[must_use]
pub fn asked(id: RequestId, operation: FileOperation, path: &[u8], second: Option<&[u8]>) -> Event {
    let parameters = second
        .map(|path| Parameter { binary: false, value: Some(Bytes::copy_from_slice(path)) })
        .into_iter()
        .collect();
    Event::Request { id, form: Form::File { operation }, text: Bytes::copy_from_slice(path), parameters }
}

/// Microseconds between the two.
#[must_use]
pub fn micros(now: Timestamp, since: Timestamp) -> u64 {
    u64::try_from(now.since(since).as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(copies: u64) -> Content {
        Content::new(RequestId(1), Direction::Out, copies)
    }

    fn sum(bytes: &[u8]) -> String {
        format!("{} bytes read, sha256 {}", bytes.len(), hoop_recording::Hash::of(bytes))
    }

    /// What passes, and where it stands.
    type Piece<'p> = (u64, &'p [u8]);

    /// Pieces as they pass, what is told of them, and the copy.
    fn told(copies: u64, pieces: &[Piece<'_>]) -> (String, Vec<u8>, Option<u64>) {
        let (mut content, mut window, mut events) = (content(copies), Window::default(), Vec::new());
        for (at, data) in pieces {
            content.take(*at, &Bytes::copy_from_slice(data), &mut window, &mut events);
        }
        let told = content.end("read", &mut window);
        assert_eq!(window.0, WINDOW, "all room is given back");
        let mut copy = Vec::new();
        let mut curtailed = None;
        for event in events {
            match event {
                Event::Copy { data, .. } => copy.extend_from_slice(&data),
                Event::Curtailed { limit, .. } => curtailed = Some(limit),
                other => panic!("{other:?}"),
            }
        }
        (told, copy, curtailed)
    }

    #[test]
    fn what_has_no_order_has_no_sum_and_says_why() {
        let big = vec![7; WINDOW];
        let cases: [(&[Piece<'_>], &str); 6] = [
            (&[(0, b"ab"), (1, b"bc")], "some of it passed twice"),
            (&[(0, b"ab"), (0, b"ab")], "some of it passed twice"),
            (&[(4, b"ef"), (4, b"ef"), (0, b"abcd")], "some of it passed twice"),
            (&[(3, b"de"), (0, b"abcd")], "some of it passed twice"),
            (&[(2, b"cd")], "its beginning did not pass"),
            (&[(0, b"a"), (2, b"c")], "a part of it did not pass"),
        ];
        for (pieces, why) in cases {
            assert!(told(0, pieces).0.ends_with(&format!("no sha256: {why}")), "{pieces:?}");
        }
        let (told, copy, curtailed) = told(10, &[(0, b"a"), (2, &big), (1, b"b")]);
        assert!(told.ends_with("no sha256: it did not pass in order"), "{told}");
        assert_eq!((&copy[..], curtailed), (&b"a"[..], Some(1)), "nor is there a copy that has holes");
    }

    #[test]
    fn a_copy_ends_at_its_limit_and_says_so() {
        let whole = sum(b"hello world");
        let cut: &[Piece<'_>] = &[(6, b"world"), (0, b"hello ")];
        assert_eq!(told(0, cut), (whole.clone(), Vec::new(), None));
        assert_eq!(told(8, cut), (whole.clone(), b"hello wo".to_vec(), Some(8)));
        assert_eq!(told(6, cut), (whole.clone(), b"hello ".to_vec(), Some(6)), "where a piece ends, too");
        assert_eq!(told(11, cut), (whole, b"hello world".to_vec(), None));
        assert_eq!(told(9, &[]), (sum(b""), Vec::new(), None), "an empty file has a sum too");
    }

    proptest! {
        #[test]
        fn in_whatever_order_the_sum_is_that_of_the_file(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..9), 0..12),
            swaps in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..12),
        ) {
            let whole = pieces.concat();
            let mut at = 0;
            let mut placed: Vec<Piece<'_>> = pieces.iter().map(|piece| {
                at += piece.len() as u64;
                (at - piece.len() as u64, &piece[..])
            }).collect();
            if !placed.is_empty() {
                swaps.iter().for_each(|(one, other)| placed.swap(one.index(pieces.len()), other.index(pieces.len())));
            }
            prop_assert_eq!(told(1000, &placed), (sum(&whole), whole, None));
        }
    }
}
