//! Text, whole and in pieces.

use crate::{
    detect::{Detectors, Finding},
    kind::Counts,
    rewrite::rewrite_into,
    rule::Rule,
    scan::{BEHIND, Hit, LOOKAHEAD, Scanner, Step},
};

/// What was masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Masked {
    /// The text with every finding rewritten.
    pub bytes: Vec<u8>,
    /// How many of each kind.
    pub counts: Counts,
}

/// Masks a whole text.
#[must_use]
pub fn mask_text(text: &[u8], detectors: &Detectors, rule: &Rule) -> Masked {
    mask_labelled(&[], text, detectors, rule)
}

/// As [`mask_text`] for a value of a column of this name, which counts as a label: what stands in `birth_date` or
/// `patientSsn` is looked at as if that were written before it. `None`: nothing is found.
#[must_use]
pub fn mask_column(column: &[u8], text: &[u8], detectors: &Detectors, rule: &Rule) -> Option<Masked> {
    let findings = detectors.find_labelled(&[column], text);
    (!findings.is_empty()).then(|| rewrite_all(text, &findings, rule))
}

/// As [`mask_text`] for a value whose labels stand elsewhere.
pub(crate) fn mask_labelled(labels: &[&[u8]], text: &[u8], detectors: &Detectors, rule: &Rule) -> Masked {
    rewrite_all(text, &detectors.find_labelled(labels, text), rule)
}

/// The text with these findings rewritten; with each, whether it is too long.
pub(crate) fn rewrite_all(text: &[u8], findings: &[(Finding, bool)], rule: &Rule) -> Masked {
    let mut counts = Counts::default();
    let mut bytes = Vec::with_capacity(text.len());
    let mut shown = 0;
    for (finding, long) in findings {
        bytes.extend_from_slice(text.get(shown..finding.range.start).unwrap_or(&[]));
        let value = text.get(finding.range.clone()).unwrap_or(&[]);
        rewrite_into(finding.kind, value, *long, rule, &mut bytes);
        counts.add(finding.kind);
        shown = finding.range.end;
    }
    bytes.extend_from_slice(text.get(shown..).unwrap_or(&[]));
    Masked { bytes, counts }
}

/// A stretch of masked text, in the order of the text that it stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stretch {
    /// It is shown as it is.
    Same(Vec<u8>),
    /// So many bytes are not shown; this stands in their place.
    Masked(usize, Vec<u8>),
}

/// Where masked text goes.
trait Sink {
    fn same(&mut self, text: &[u8]);

    /// So many bytes are not shown; this stands in their place.
    fn masked(&mut self, bytes: usize, shown: &[u8]);
}

impl Sink for Vec<u8> {
    fn same(&mut self, text: &[u8]) {
        self.extend_from_slice(text);
    }

    fn masked(&mut self, _: usize, shown: &[u8]) {
        self.extend_from_slice(shown);
    }
}

impl Sink for Vec<Stretch> {
    fn same(&mut self, text: &[u8]) {
        if !text.is_empty() {
            self.push(Stretch::Same(text.to_vec()));
        }
    }

    fn masked(&mut self, bytes: usize, shown: &[u8]) {
        self.push(Stretch::Masked(bytes, shown.to_vec()));
    }
}

/// Masks text that comes in pieces; where it is cut does not matter.
///
/// Holds back [`LOOKAHEAD`] bytes and a few more. A match that is longer than
/// [`LONGEST`](crate::LONGEST) is replaced by its marker as soon as that is known, and the rest of it is dropped as it
/// comes.
#[derive(Debug)]
pub struct Masker<'a> {
    detectors: &'a Detectors,
    rule: &'a Rule,
    scanner: Scanner,
    buffer: Vec<u8>,
    /// The buffer up to here has been answered.
    shown: usize,
    counts: Counts,
}

impl<'a> Masker<'a> {
    /// For one text.
    #[must_use]
    pub fn new(detectors: &'a Detectors, rule: &'a Rule) -> Self {
        Self {
            detectors,
            rule,
            scanner: Scanner::new(),
            buffer: Vec::new(),
            shown: 0,
            counts: Counts::default(),
        }
    }

    /// Takes the next piece; answers what is decided.
    #[must_use]
    pub fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.buffer.len() + piece.len());
        self.buffer.extend_from_slice(piece);
        self.advance(false, &mut out);
        out
    }

    /// The same, for whoever must know which bytes stand for which.
    #[must_use]
    pub fn push_stretches(&mut self, piece: &[u8]) -> Vec<Stretch> {
        let mut out = Vec::new();
        self.buffer.extend_from_slice(piece);
        self.advance(false, &mut out);
        out
    }

    /// Answers the rest. What is pushed after it begins in the middle of nowhere: make a new one for another text.
    #[must_use]
    pub fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.buffer.len());
        self.advance(true, &mut out);
        out
    }

    /// As [`Self::finish`] and [`Self::push_stretches`].
    #[must_use]
    pub fn finish_stretches(&mut self) -> Vec<Stretch> {
        let mut out = Vec::new();
        self.advance(true, &mut out);
        out
    }

    /// How many of each kind so far.
    #[must_use]
    pub const fn counts(&self) -> &Counts {
        &self.counts
    }

    /// How many bytes are held back; never more than [`LOOKAHEAD`] and 16.
    #[must_use]
    pub const fn held(&self) -> usize {
        self.buffer.len()
    }

    fn advance(&mut self, last: bool, out: &mut impl Sink) {
        loop {
            match self.scanner.next(self.detectors, &self.buffer, last) {
                Step::Hit(hit) => self.rewrite(hit, out),
                Step::Swallowed(end) => {
                    out.masked(end.saturating_sub(self.shown), &[]);
                    self.shown = end;
                }
                Step::Wait => break,
            }
        }
        // What is decided may be shown, but for the bracket or plus that a telephone begins with.
        let end = if last { self.buffer.len() } else { self.scanner.at().saturating_sub(2) };
        if end > self.shown {
            out.same(self.buffer.get(self.shown..end).unwrap_or(&[]));
            self.shown = end;
        }
        self.forget();
    }

    fn rewrite(&mut self, hit: Hit, out: &mut impl Sink) {
        out.same(self.buffer.get(self.shown..hit.start).unwrap_or(&[]));
        let value = self.buffer.get(hit.start..hit.end).unwrap_or(&[]);
        let mut shown = Vec::with_capacity(value.len());
        rewrite_into(hit.kind, value, hit.long, self.rule, &mut shown);
        out.masked(value.len(), &shown);
        self.counts.add(hit.kind);
        self.shown = hit.end;
    }

    fn forget(&mut self) {
        let gone = self.shown.min(self.scanner.at().saturating_sub(BEHIND));
        self.buffer.drain(..gone);
        self.scanner.forget(gone);
        self.shown -= gone;
    }
}

const _: () = assert!(LOOKAHEAD > BEHIND);
