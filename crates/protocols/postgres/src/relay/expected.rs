//! The one queue of replies that are owed to the client, in the order of its requests.
//!
//! It says which request an answer belongs to, and where an answer of ours (a refusal) goes: after what earlier
//! requests are owed. See <https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-PIPELINING>.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use hoop_engine::RequestId;
use hoop_model::Timestamp;
use hoop_policy::Terms;

use super::shapes::Formats;
use crate::masking::Seen;

/// What is waited for.
#[derive(Debug)]
pub(super) enum Await {
    /// Answers to a simple query, up to `ReadyForQuery`.
    Query,
    /// The value of a function call, then `ReadyForQuery`.
    FunctionCall,
    /// `ParseComplete`.
    Parse { name: Bytes },
    /// `BindComplete`.
    Bind { portal: Bytes, statement: Bytes, formats: Formats },
    /// `RowDescription` or `NoData`, parameters before it.
    DescribeStatement { name: Bytes },
    /// `RowDescription` or `NoData`.
    DescribePortal { name: Bytes },
    /// Rows, then `CommandComplete`, `EmptyQueryResponse` or `PortalSuspended`.
    Execute { portal: Bytes },
    /// `CloseComplete`.
    Close { statement: bool, name: Bytes },
    /// `ReadyForQuery`.
    Sync,
    /// Nothing: it marks where the client's COPY data ends, so that a `Sync` before it is known to go unanswered.
    CopyEnd,
    /// Our own answer, never the target's: a refusal, or a notice.
    Ours { answer: Bytes, ready: bool },
}

impl Await {
    /// Its names by themselves: as parts of a message they would keep all of it, values too, until the answer comes.
    fn by_itself(self) -> Self {
        match self {
            Self::Parse { name } => Self::Parse { name: own(&name) },
            Self::Bind { portal, statement, formats } => {
                Self::Bind { portal: own(&portal), statement: own(&statement), formats }
            }
            Self::DescribeStatement { name } => Self::DescribeStatement { name: own(&name) },
            Self::DescribePortal { name } => Self::DescribePortal { name: own(&name) },
            Self::Execute { portal } => Self::Execute { portal: own(&portal) },
            Self::Close { statement, name } => Self::Close { statement, name: own(&name) },
            other => other,
        }
    }

    fn name_bytes(&self) -> usize {
        match self {
            Self::Parse { name }
            | Self::DescribeStatement { name }
            | Self::DescribePortal { name }
            | Self::Close { name, .. } => name.len(),
            Self::Bind { portal, statement, .. } => portal.len() + statement.len(),
            Self::Execute { portal } => portal.len(),
            _ => 0,
        }
    }

    /// Is `ReadyForQuery` its last answer?
    pub(super) const fn ends_with_ready(&self) -> bool {
        matches!(self, Self::Query | Self::FunctionCall | Self::Sync)
    }

    /// An error in it makes the target skip everything up to the next `Sync`.
    const fn is_extended(&self) -> bool {
        matches!(
            self,
            Self::Parse { .. }
                | Self::Bind { .. }
                | Self::DescribeStatement { .. }
                | Self::DescribePortal { .. }
                | Self::Execute { .. }
                | Self::Close { .. }
        )
    }

    /// Does the target do something for it?
    pub(super) const fn is_the_targets(&self) -> bool {
        !matches!(self, Self::CopyEnd | Self::Ours { .. })
    }

    /// Can it answer with rows or COPY data?
    pub(super) const fn runs(&self) -> bool {
        matches!(self, Self::Query | Self::Execute { .. })
    }
}

/// One reply owed.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) what: Await,
    /// The request as recorded, if it is.
    pub(super) id: Option<RequestId>,
    pub(super) started: Timestamp,
    /// COPY bytes from the client.
    pub(super) copied: u64,
    /// What its text said about its answer.
    pub(super) seen: Option<Arc<Seen>>,
    /// What it is held to.
    pub(super) terms: Option<Terms>,
    /// It may give a name to something else than what was known by it.
    pub(super) gives_names: bool,
}

impl Entry {
    /// Of a request as recorded, if it is; nothing is known of its text.
    pub(super) fn new(what: Await, id: Option<RequestId>, started: Timestamp) -> Self {
        Self { what: what.by_itself(), id, started, copied: 0, seen: None, terms: None, gives_names: false }
    }
}

fn own(name: &Bytes) -> Bytes {
    if name.is_empty() { Bytes::new() } else { Bytes::copy_from_slice(name) }
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Expected {
    queue: VecDeque<Entry>,
    ours: usize,
    /// The target skips all until a `Sync` that the client has not sent yet.
    skipping: bool,
}

impl Expected {
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Bytes of all names in it. Looks at each.
    pub(super) fn name_bytes(&self) -> usize {
        self.queue.iter().map(|entry| entry.what.name_bytes()).sum()
    }

    /// The oldest first.
    pub(super) fn pending(&self) -> impl DoubleEndedIterator<Item = &Entry> {
        self.queue.iter()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Is something owed that the target may keep back until it is told to flush?
    pub(super) fn is_unflushed(&self) -> bool {
        self.queue.back().is_some_and(|entry| entry.what.is_extended())
    }

    /// A request goes to the target. `Some`: the target will skip it, it is owed nothing.
    #[inline]
    pub(super) fn push(&mut self, entry: Entry) -> Option<Entry> {
        if self.skipping {
            if !matches!(entry.what, Await::Sync) {
                return Some(entry);
            }
            self.skipping = false;
        }
        match entry.what {
            // Nothing before it that could be a COPY; or one mark is enough.
            Await::CopyEnd if self.queue.back().is_none_or(|e| matches!(e.what, Await::CopyEnd)) => {
                return None;
            }
            Await::Ours { .. } => self.ours += 1,
            _ => {}
        }
        self.queue.push_back(entry);
        None
    }

    /// The entry that an answer belongs to: the first of its kind among those answered before the next `ReadyForQuery`.
    #[inline]
    pub(super) fn find(&mut self, kind: impl Fn(&Await) -> bool) -> Option<&mut Entry> {
        if self.queue.front().is_none_or(|e| !kind(&e.what)) {
            let at = self.search(kind)?;
            self.queue.drain(..at);
        }
        self.queue.front_mut()
    }

    #[cold]
    fn search(&self, kind: impl Fn(&Await) -> bool) -> Option<usize> {
        for (at, entry) in self.queue.iter().enumerate() {
            if kind(&entry.what) {
                return Some(at);
            }
            if entry.what.ends_with_ready() || matches!(entry.what, Await::Ours { .. }) {
                return None;
            }
        }
        None
    }

    /// As [`Self::find`], and it is answered now.
    #[inline]
    pub(super) fn answer(&mut self, kind: impl Fn(&Await) -> bool) -> Option<Entry> {
        self.find(kind)?;
        self.queue.pop_front()
    }

    /// The request that an error is about, if any; those that the target skips because of it go to `skipped`.
    pub(super) fn fail(&mut self, mut skipped: impl FnMut(Entry)) -> Option<(Option<RequestId>, Timestamp)> {
        self.drop_marks();
        let front = self.queue.front()?;
        if !front.what.is_extended() {
            return Some((front.id, front.started));
        }
        let found = self.queue.pop_front().map(|e| (e.id, e.started));
        self.skipping = true;
        while let Some(entry) = self.queue.pop_front() {
            if matches!(entry.what, Await::Sync) {
                self.queue.push_front(entry);
                self.skipping = false;
                break;
            }
            if matches!(entry.what, Await::Ours { .. }) {
                self.ours -= 1;
            }
            skipped(entry);
        }
        found
    }

    /// `ReadyForQuery`: what it ends. Entries before it got no answer of their own and go to `missed`.
    pub(super) fn ready(&mut self, mut missed: impl FnMut(Entry)) -> Option<Entry> {
        while let Some(entry) = self.queue.pop_front() {
            if entry.what.ends_with_ready() {
                return Some(entry);
            }
            if matches!(entry.what, Await::Ours { .. }) {
                self.queue.push_front(entry);
                return None;
            }
            missed(entry);
        }
        None
    }

    /// A COPY from the client begins: the target ignores every `Sync` up to the data's end. True: the end was sent.
    pub(super) fn begin_copy_in(&mut self) -> bool {
        let mut ended = false;
        let mut at = 1;
        while let Some(entry) = self.queue.get(at) {
            match entry.what {
                Await::CopyEnd => {
                    self.queue.remove(at);
                    ended = true;
                    break;
                }
                Await::Sync => {
                    self.queue.remove(at);
                }
                _ => at += 1,
            }
        }
        ended
    }

    /// COPY bytes of a request that is still open.
    pub(super) fn add_copied(&mut self, id: RequestId, bytes: u64) {
        if let Some(entry) = self.queue.iter_mut().rev().find(|e| e.id == Some(id)) {
            entry.copied = bytes;
        }
    }

    /// Is our own answer next?
    #[inline]
    pub(super) fn owes_ours(&self) -> bool {
        self.ours > 0
            && self
                .queue
                .iter()
                .find(|e| !matches!(e.what, Await::CopyEnd))
                .is_some_and(|e| matches!(e.what, Await::Ours { .. }))
    }

    /// Takes our own answer, if it is next: the bytes, and whether `ReadyForQuery` follows.
    pub(super) fn take_ours(&mut self) -> Option<(Bytes, bool)> {
        self.drop_marks();
        match self.queue.pop_front()? {
            Entry { what: Await::Ours { answer, ready }, .. } => {
                self.ours -= 1;
                Some((answer, ready))
            }
            other => {
                self.queue.push_front(other);
                None
            }
        }
    }

    /// What is still open, for the end.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Entry> + '_ {
        self.ours = 0;
        self.queue.drain(..)
    }

    fn drop_marks(&mut self) {
        while self.queue.front().is_some_and(|e| matches!(e.what, Await::CopyEnd)) {
            self.queue.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(what: Await, id: u64) -> Entry {
        Entry::new(what, Some(RequestId(id)), Timestamp::EPOCH)
    }

    fn queue(entries: Vec<Await>) -> Expected {
        let mut expected = Expected::default();
        for (id, what) in entries.into_iter().enumerate() {
            expected.push(entry(what, id as u64));
        }
        expected
    }

    fn execute() -> Await {
        Await::Execute { portal: Bytes::new() }
    }

    fn refused() -> Await {
        Await::Ours { answer: Bytes::new(), ready: true }
    }

    #[test]
    fn an_error_skips_to_the_next_sync() {
        let mut expected = queue(vec![execute(), execute(), Await::Query, Await::Sync, execute()]);
        let mut skipped = 0;
        assert_eq!(expected.fail(|_| skipped += 1).unwrap().0, Some(RequestId(0)));
        assert_eq!((skipped, expected.len()), (2, 2));
        assert!(!expected.skipping);
        assert!(expected.ready(|_| ()).is_some());
    }

    #[test]
    fn what_comes_before_a_sync_not_sent_yet_is_skipped_too() {
        let mut expected = queue(vec![execute()]);
        expected.fail(|_| ());
        assert!(expected.push(entry(execute(), 1)).is_some());
        assert!(expected.push(entry(Await::Sync, 2)).is_none());
        assert!(expected.push(entry(execute(), 3)).is_none());
        assert_eq!(expected.len(), 2);
    }

    #[test]
    fn an_error_in_a_simple_query_skips_nothing() {
        let mut expected = queue(vec![Await::Query, Await::Query]);
        assert_eq!(expected.fail(|_| panic!("skipped")).unwrap().0, Some(RequestId(0)));
        assert_eq!(expected.len(), 2);
    }

    #[test]
    fn a_refusal_waits_for_what_is_owed_before() {
        let mut expected = queue(vec![Await::Query, refused(), Await::Query]);
        assert!(!expected.owes_ours());
        assert!(expected.take_ours().is_none());
        assert!(expected.ready(|_| ()).is_some());
        assert!(expected.owes_ours());
        assert!(expected.ready(|_| ()).is_none(), "the target cannot answer what it never got");
        assert!(expected.take_ours().is_some());
        assert!(expected.ready(|_| ()).is_some());
    }

    #[test]
    fn a_sync_inside_copy_data_goes_unanswered() {
        let mut expected = queue(vec![execute(), Await::Sync, Await::CopyEnd, Await::Sync]);
        assert!(expected.begin_copy_in());
        assert_eq!(expected.len(), 2);
        let mut open = queue(vec![execute(), Await::Sync]);
        assert!(!open.begin_copy_in());
        assert_eq!(open.len(), 1);
    }

    #[test]
    fn marks_do_not_pile_up() {
        let mut expected = queue(vec![Await::CopyEnd]);
        assert!(expected.is_empty());
        expected.push(entry(Await::Query, 1));
        for _ in 0..100 {
            expected.push(entry(Await::CopyEnd, 2));
        }
        assert_eq!(expected.len(), 2);
    }

    #[test]
    fn what_is_owed_keeps_no_message_and_its_names_are_counted() {
        let message = Bytes::from(vec![b'x'; 1 << 20]);
        let part = || message.slice(10..74);
        let mut expected = Expected::default();
        for what in [
            Await::Parse { name: part() },
            Await::Bind { portal: part(), statement: part(), formats: Formats::All { binary: false } },
            Await::DescribeStatement { name: part() },
            Await::DescribePortal { name: part() },
            Await::Execute { portal: part() },
            Await::Close { statement: true, name: part() },
            Await::Sync,
        ] {
            expected.push(entry(what, 1));
        }
        assert_eq!(expected.name_bytes(), 7 * 64);
        assert!(message.is_unique(), "a megabyte of values waits for an answer");
    }
}
