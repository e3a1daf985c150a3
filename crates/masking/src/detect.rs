//! Which kinds are looked for, and where they stand in a text.

use std::ops::Range;

use crate::{
    kind::{Kind, KindSet},
    pattern::RecordPattern,
    scan::{LONGEST, Scanner, Step},
};

/// What to look for. Cheap to make; share it.
#[derive(Debug, Clone)]
pub struct Detectors {
    kinds: KindSet,
    records: Vec<RecordPattern>,
}

/// Where something stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// Its bytes.
    pub range: Range<usize>,
}

impl Detectors {
    /// For these kinds.
    #[must_use]
    pub fn new(kinds: impl IntoIterator<Item = Kind>) -> Self {
        Self { kinds: kinds.into_iter().collect(), records: Vec::new() }
    }

    /// For every kind.
    #[must_use]
    pub fn all() -> Self {
        Self::new(Kind::ALL)
    }

    /// Record numbers of this form are found without a label too. Looks for record numbers from now on.
    #[must_use]
    pub fn with_record_pattern(mut self, pattern: RecordPattern) -> Self {
        self.records.push(pattern);
        self.kinds =
            Kind::ALL.into_iter().filter(|kind| *kind == Kind::Mrn || self.looks_for(*kind)).collect();
        self
    }

    /// Is this kind looked for?
    #[must_use]
    pub const fn looks_for(&self, kind: Kind) -> bool {
        self.kinds.contains(kind)
    }

    /// What stands in this text, in its order, without overlap.
    #[must_use]
    pub fn find(&self, text: &[u8]) -> Vec<Finding> {
        self.find_labelled(&[], text).into_iter().map(|(finding, _)| finding).collect()
    }

    /// As [`Detectors::find`] for a value whose labels (a column, a JSON key) stand elsewhere; with each finding, whether
    /// it is longer than [`LONGEST`](crate::LONGEST).
    pub(crate) fn find_labelled(&self, labels: &[&[u8]], text: &[u8]) -> Vec<(Finding, bool)> {
        let mut scanner = Scanner::labelled(labels);
        if scanner.is_secret() && self.looks_for(Kind::Secret) && !text.is_empty() {
            return vec![(Finding { kind: Kind::Secret, range: 0..text.len() }, text.len() > LONGEST)];
        }
        let mut findings: Vec<(Finding, bool)> = Vec::new();
        loop {
            match scanner.next(self, text, true) {
                Step::Hit(hit) => {
                    findings.push((Finding { kind: hit.kind, range: hit.start..hit.end }, hit.long));
                }
                Step::Swallowed(end) => {
                    if let Some((finding, _)) = findings.last_mut() {
                        finding.range.end = end;
                    }
                }
                Step::Wait => return findings,
            }
        }
    }

    pub(crate) fn records(&self) -> &[RecordPattern] {
        &self.records
    }
}
