//! Follows the events' numbers and `prev` hashes, and names what does not fit.

use std::collections::BTreeSet;

use hoop_model::EventId;
use hoop_recording::Hash;

use crate::finding::{Finding, Report};

/// Missing events remembered, to tell a moved one from an inserted one.
const MAX_MISSING: u64 = 100_000;

/// An event by its own account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    pub(crate) id: Option<EventId>,
}

/// Two neighbours that do not fit: which of them was altered shows at the next one.
#[derive(Debug, Clone, Copy)]
struct Broken {
    before: Option<Place>,
    after: Place,
}

#[derive(Debug, Default)]
pub(crate) struct Order {
    expected: u64,
    head: Option<Hash>,
    last: Option<Place>,
    broken: Option<Broken>,
    /// After a gap or an unreadable event the next link cannot be checked.
    unlinked: bool,
    missing: BTreeSet<u64>,
    found_any: bool,
}

impl Order {
    /// The number of the next event.
    pub(crate) const fn expected(&self) -> u64 {
        self.expected
    }

    /// Was anything out of order so far?
    pub(crate) const fn is_broken(&self) -> bool {
        self.found_any
    }

    /// Takes an event; `false` if it has no place in the ledger.
    pub(crate) fn take(&mut self, place: Place, prev: Option<Hash>, hash: Hash, report: &mut Report) -> bool {
        let linked = prev == self.head && !self.unlinked;
        if place.seq == self.expected {
            self.link(linked || self.unlinked, place, report);
            self.accept(place, hash);
            true
        } else if linked && self.expected > 0 {
            // It follows the event before it, so it is the next one, and its number alone was altered.
            self.broken = None;
            self.find(Finding::Altered { seq: self.expected, id: place.id }, report);
            self.accept(Place { seq: self.expected, ..place }, hash);
            self.unlinked = true;
            true
        } else {
            self.out_of_order(place, hash, report)
        }
    }

    fn out_of_order(&mut self, place: Place, hash: Hash, report: &mut Report) -> bool {
        let Place { seq, id: Some(id) } = place else { return false };
        if seq > self.expected {
            self.settle(report);
            let (first, last) = (self.expected, seq - 1);
            self.find(Finding::Missing { first, last }, report);
            if (self.missing.len() as u64) < MAX_MISSING {
                self.missing.extend(first..=last.min(first.saturating_add(MAX_MISSING)));
            }
            self.accept(place, hash);
            return true;
        }
        let moved = self.missing.remove(&seq);
        self.find(if moved { Finding::Moved { seq, id } } else { Finding::Inserted { seq, id } }, report);
        moved
    }

    /// Takes an event that cannot be read: it has the next place.
    pub(crate) fn unreadable(&mut self, hash: Hash, report: &mut Report) {
        self.settle(report);
        let place = Place { seq: self.expected, id: None };
        self.altered(place, report);
        self.accept(place, hash);
        self.unlinked = true;
    }

    /// Nothing more will be learnt: the earlier of two neighbours that do not fit is named.
    pub(crate) fn settle(&mut self, report: &mut Report) {
        if let Some(broken) = self.broken.take() {
            self.altered(broken.before.unwrap_or(broken.after), report);
        }
    }

    fn accept(&mut self, place: Place, hash: Hash) {
        self.head = Some(hash);
        self.last = Some(place);
        self.expected = place.seq.saturating_add(1);
        self.unlinked = false;
    }

    fn link(&mut self, holds: bool, here: Place, report: &mut Report) {
        match (self.broken.take(), holds) {
            (None, true) => {}
            (None, false) => {
                self.found_any = true;
                self.broken = Some(Broken { before: self.last, after: here });
            }
            (Some(broken), true) => self.altered(broken.before.unwrap_or(broken.after), report),
            (Some(broken), false) => self.altered(broken.after, report),
        }
    }

    fn altered(&mut self, place: Place, report: &mut Report) {
        self.find(Finding::Altered { seq: place.seq, id: place.id }, report);
    }

    fn find(&mut self, finding: Finding, report: &mut Report) {
        self.found_any = true;
        report.find(finding);
    }
}
