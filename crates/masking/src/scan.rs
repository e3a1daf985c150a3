//! One pass over a text, which may come in pieces. What is decided at a byte depends on [`BEHIND`] bytes before it,
//! [`LOOKAHEAD`] after it, the labels that were met and the end of the last finding, never on where the text was cut.

mod numbers;
mod people;
mod tokens;
mod view;

use crate::{
    detect::Detectors,
    kind::Kind,
    words::{self, Dictionary, LABELS, Roles},
};
use tokens::Tail;
use view::{DIGIT, HIGH, LETTER, LOWER, OTHER, SEPARATOR, UPPER, View, class, punctuation};

/// How far a decision looks ahead. Text that comes in pieces is held back by as much.
pub const LOOKAHEAD: usize = 1024;
/// The longest match that is rewritten as the rule says. A longer one is replaced by its marker up to its end.
pub const LONGEST: usize = 512;
/// How far a decision looks back, and how much of what was decided must be kept.
pub(crate) const BEHIND: usize = 16;
/// A label counts for so many bytes behind it.
const NEAR: i64 = 48;
/// No label was met.
const NEVER: i64 = i64::MIN / 2;

/// A match.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
    /// Goes on: [`Step::Swallowed`] will say how far.
    pub(crate) long: bool,
}

/// What a call of [`Scanner::next`] came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Found.
    Hit(Hit),
    /// The last hit, a long one, goes on to here at least.
    Swallowed(usize),
    /// All is decided up to [`Scanner::at`]; more text is needed, or this was the end.
    Wait,
}

/// Where the pass is. Offsets are into the buffer of the call.
#[derive(Debug)]
pub(crate) struct Scanner {
    at: usize,
    /// Nothing before it may become part of a finding.
    floor: usize,
    /// How much of the text is not in the buffer any more.
    gone: i64,
    /// Where each label ended, in the whole text.
    labels: [i64; LABELS],
    /// The word before: what it is, and where it ended.
    before: (Roles, i64),
    swallowing: Option<(Tail, Kind)>,
    /// The text is the value of something that is called a secret.
    secret: bool,
}

/// What a matcher found, in the view.
#[derive(Debug, Clone, Copy)]
struct Match {
    kind: Kind,
    start: usize,
    end: usize,
    /// It reached its bound, and goes on as this says.
    tail: Option<Tail>,
}

impl Match {
    const fn new(kind: Kind, start: usize, end: usize) -> Self {
        Self { kind, start, end, tail: None }
    }
}

/// One piece of a run: letters and digits without anything between.
#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    end: usize,
    /// The classes of all bytes of the run it stands in.
    bits: u8,
    /// The run begins here.
    first: bool,
}

impl Scanner {
    pub(crate) const fn new() -> Self {
        Self {
            at: 0,
            floor: 0,
            gone: 0,
            labels: [NEVER; LABELS],
            before: (0, NEVER),
            swallowing: None,
            secret: false,
        }
    }

    /// As if these labels stood before the text.
    pub(crate) fn labelled(labels: &[&[u8]]) -> Self {
        let mut scanner = Self::new();
        for label in labels {
            scanner.read_label(label);
        }
        scanner
    }

    /// The words of `date_of_birth` or `dateOfBirth`. All of them end where the text begins.
    fn read_label(&mut self, label: &[u8]) {
        let view = View { text: label.get(..LOOKAHEAD).unwrap_or(label) };
        let whole = view.run(0, LETTER);
        self.note(view.roles(0, whole), 0, 0);
        let mut at = 0;
        while at < view.text.len() {
            let upper = view.run(at, UPPER);
            let end = if upper > at + 1 { upper } else { view.run(upper, LOWER | HIGH) };
            if end > at && end - at < whole.max(view.text.len()) {
                self.note(view.roles(at, end), 0, 0);
            }
            at = end.max(at + 1);
        }
        self.secret = self.before.0 & words::SECRET != 0 && self.before.1 == 0;
        self.before = (0, NEVER);
    }

    /// Is the whole text a secret, by its labels?
    pub(crate) const fn is_secret(&self) -> bool {
        self.secret
    }

    /// All before it is decided.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    /// The buffer lost so many bytes at its beginning.
    pub(crate) fn forget(&mut self, count: usize) {
        self.at = self.at.saturating_sub(count);
        self.floor = self.floor.saturating_sub(count);
        self.gone = self.gone.saturating_add(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Goes on to the next finding. `last` says that nothing follows the buffer.
    pub(crate) fn next(&mut self, detectors: &Detectors, buffer: &[u8], last: bool) -> Step {
        if let Some((tail, _)) = self.swallowing {
            return self.swallow(tail, buffer);
        }
        let dictionary = words::dictionary();
        loop {
            let rest = buffer.get(self.at..).unwrap_or(&[]);
            if rest.is_empty() || (!last && rest.len() < LOOKAHEAD) {
                return Step::Wait;
            }
            let ahead = rest.get(..LOOKAHEAD).unwrap_or(rest);
            if self.skip_separators(ahead) || self.skip_word(detectors, dictionary, ahead) {
                continue;
            }
            let mut bits = 0;
            let mut length = 0;
            for byte in ahead {
                let class = class(*byte);
                if class == SEPARATOR {
                    break;
                }
                bits |= class;
                length += 1;
            }
            if bits & HIGH != 0
                && let Some(cut) = (1..length).find(|at| ahead.get(*at..).and_then(punctuation).is_some())
            {
                length = cut;
            }
            if bits == LOWER {
                let roles = dictionary.find(ahead.get(..length).unwrap_or(ahead), ahead);
                if roles == 0 {
                    self.at += decided(ahead, length);
                    continue;
                }
            }
            let behind = self.at.saturating_sub(BEHIND);
            let view = View { text: buffer.get(behind..self.at + ahead.len()).unwrap_or(&[]) };
            let start = self.at - behind;
            let end = decided(ahead, length);
            if let Some(found) = self.run(detectors, view, behind, start, start + end, bits) {
                return Step::Hit(self.take(found, behind));
            }
            self.at += end;
        }
    }

    /// Skips them; `\n` and its like, as text formats write them, are one.
    fn skip_separators(&mut self, ahead: &[u8]) -> bool {
        let mut count = 0;
        while let Some(byte) = ahead.get(count) {
            if let (HIGH, Some(length)) = (class(*byte), ahead.get(count..).and_then(punctuation)) {
                count += length;
                continue;
            }
            if class(*byte) != SEPARATOR {
                break;
            }
            let escape = *byte == b'\\'
                && matches!(ahead.get(count + 1), Some(b'n' | b'r' | b't' | b'b' | b'f' | b'v'));
            // At the very end of what is seen, the next call looks again.
            if *byte == b'\\' && count > 0 && count + 1 == ahead.len() {
                break;
            }
            count += if escape { 2 } else { 1 };
        }
        self.at += count;
        count > 0
    }

    /// Skips a word of small letters that means nothing, perhaps with the full stop behind it: what most of a text is.
    /// Comes to what the matchers would, without asking them.
    #[inline]
    fn skip_word(&mut self, detectors: &Detectors, dictionary: &Dictionary, ahead: &[u8]) -> bool {
        let Some(chunk) = ahead.first_chunk::<CHUNK>() else { return false };
        let length = small_letters(*chunk);
        let (Some(word), Some(next)) =
            (chunk.get(..length).filter(|word| !word.is_empty()), chunk.get(length))
        else {
            return false;
        };
        let stop = *next == b'.' && chunk.get(length + 1).is_some_and(|byte| class(*byte) == SEPARATOR);
        let fits = class(*next) == SEPARATOR || (stop && detectors.records().is_empty());
        if !fits || dictionary.find(word, ahead) != 0 {
            return false;
        }
        if stop {
            self.before = (0, self.gone.saturating_add(i64::try_from(self.at + length).unwrap_or(i64::MAX)));
        }
        self.at += length + usize::from(matches!(next, b' ' | b'.'));
        true
    }

    fn take(&mut self, found: Match, behind: usize) -> Hit {
        let hit = Hit {
            kind: found.kind,
            start: (behind + found.start).max(self.floor),
            end: behind + found.end,
            long: found.tail.is_some(),
        };
        self.at = hit.end;
        self.floor = hit.end;
        self.swallowing = found.tail.map(|tail| (tail, found.kind));
        hit
    }

    fn swallow(&mut self, mut tail: Tail, buffer: &[u8]) -> Step {
        let rest = buffer.get(self.at..).unwrap_or(&[]);
        if rest.is_empty() {
            return Step::Wait;
        }
        let count = rest.iter().take_while(|byte| tail.takes(**byte)).count();
        self.at += count;
        self.floor = self.at;
        let going_on = count == rest.len();
        self.swallowing = self.swallowing.filter(|_| going_on).map(|(_, kind)| (tail, kind));
        Step::Swallowed(self.at)
    }

    /// One run, or the part of it that is decided now.
    fn run(
        &mut self,
        detectors: &Detectors,
        view: View<'_>,
        behind: usize,
        start: usize,
        end: usize,
        bits: u8,
    ) -> Option<Match> {
        let mut at = start;
        while at < end {
            if view.class(at) & (LETTER | DIGIT) == 0 {
                if view.at(at) == b'-' && detectors.looks_for(Kind::Secret) {
                    let key = tokens::private_key(view, at);
                    if key.is_some() {
                        return key;
                    }
                }
                at += 1;
                continue;
            }
            if let Some(past) = (bits & OTHER != 0).then(|| tokens::uuid(view, at)).flatten() {
                at = past;
                continue;
            }
            let piece = Piece { start: at, end: piece_end(view, at).min(end), bits, first: at == start };
            let place = self.place(behind);
            let found = self.piece(detectors, view, place, piece);
            if found.is_some() {
                return found;
            }
            at = piece.end;
        }
        None
    }

    /// Where the view begins, in the whole text.
    fn place(&self, behind: usize) -> i64 {
        self.gone.saturating_add(i64::try_from(behind).unwrap_or(i64::MAX))
    }

    fn piece(&mut self, detectors: &Detectors, view: View<'_>, place: i64, piece: Piece) -> Option<Match> {
        let seen = Seen { detectors, view, place, labels: &self.labels, before: self.before };
        let token = seen.token(piece);
        if token.is_some() {
            return token;
        }
        if view.class(piece.start) == DIGIT {
            let found = seen.number(piece.start).or_else(|| seen.street(piece.start));
            return self.used(found, place);
        }
        let word = view.run(piece.start, LETTER).min(piece.end);
        let dotted =
            view.at(word) == b'.' && view.slice(piece.start, word + 4).eq_ignore_ascii_case(b"d.o.b");
        let roles = if dotted { words::BIRTH } else { view.roles(piece.start, word) };
        let found = seen.code(piece, word).or_else(|| seen.word(piece.start, word, roles));
        if found.is_some() {
            return self.used(found, place);
        }
        let end = place.saturating_add(i64::try_from(word).unwrap_or(i64::MAX));
        self.note(roles, end, place.saturating_add(i64::try_from(piece.start).unwrap_or(i64::MAX)));
        let seen = Seen { detectors, view, place, labels: &self.labels, before: self.before };
        let found = seen.assigned(word).or_else(|| {
            // `MRN1234567`: the label is glued to what it labels.
            (word < piece.end && roles != 0).then(|| seen.number(word)).flatten()
        });
        self.used(found, place)
    }

    /// A label names one thing; a list of diagnoses goes on.
    fn used(&mut self, found: Option<Match>, place: i64) -> Option<Match> {
        let found = found?;
        match found.kind {
            Kind::BirthDate => self.clear(words::BIRTH),
            Kind::Ssn => self.clear(words::SSN),
            Kind::Mrn => self.clear(words::MRN),
            Kind::Zip => self.clear(words::ZIP),
            Kind::Icd10 => {
                let end = place.saturating_add(i64::try_from(found.end).unwrap_or(i64::MAX));
                let label = self.labels.get_mut(words::DIAGNOSIS.trailing_zeros() as usize);
                if let Some(label) = label.filter(|label| end.saturating_sub(**label) <= NEAR) {
                    *label = end;
                }
            }
            _ => {}
        }
        Some(found)
    }

    fn clear(&mut self, roles: Roles) {
        for (bit, label) in self.labels.iter_mut().enumerate() {
            if roles >> bit & 1 == 1 {
                *label = NEVER;
            }
        }
    }

    /// Keeps what a word means for what follows it.
    fn note(&mut self, mut roles: Roles, end: i64, start: i64) {
        if roles == 0 {
            self.before = (0, end);
            return;
        }
        let (before, before_end) = self.before;
        if start.saturating_sub(before_end) <= 2 {
            if before & words::RECORD_BEFORE != 0 && roles & words::RECORD_AFTER != 0 {
                roles |= words::MRN | words::RECORD_BEFORE;
            }
            if before & words::SECRET_BEFORE != 0 && roles & words::SECRET_AFTER != 0 {
                roles |= words::SECRET;
            }
        }
        if roles & words::OTHER_DATE != 0 && roles & words::BIRTH == 0 {
            self.clear(words::BIRTH);
        }
        for (bit, label) in self.labels.iter_mut().enumerate() {
            if roles >> bit & 1 == 1 {
                *label = end;
            }
        }
        self.before = (roles, end);
    }
}

/// So many bytes are looked at together.
const CHUNK: usize = 16;

/// With how many small letters of ASCII these bytes begin.
#[inline]
fn small_letters(chunk: [u8; CHUNK]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = 0x80 * ONES;
    // The highest bit of each byte says whether it is no small letter: no sum runs over into the next byte.
    let others = |bytes: u64| {
        let low = bytes & !HIGHEST;
        let from_a = low + (0x80 - u64::from(b'a')) * ONES;
        let past_z = low + (0x7f - u64::from(b'z')) * ONES;
        (!from_a | past_z | bytes) & HIGHEST
    };
    let both = u128::from_le_bytes(chunk);
    #[expect(clippy::cast_possible_truncation, reason = "the halves of a number")]
    let (first, second) = (others(both as u64), others((both >> 64) as u64));
    let bits = if first == 0 { 64 + second.trailing_zeros() } else { first.trailing_zeros() };
    (bits / 8) as usize
}

/// How much of a run is decided in one go: of a long one a part, which cuts no character.
fn decided(ahead: &[u8], length: usize) -> usize {
    let inside = |end: &usize| ahead.get(*end).is_none_or(|byte| (0x80..0xc0).contains(byte));
    if length <= LONGEST {
        return length;
    }
    (LONGEST - 3..=LONGEST).rev().find(|end| !inside(end)).unwrap_or(LONGEST)
}

/// Where the piece that begins here ends. A digit behind a letter that is not ASCII begins a piece of its own: scripts
/// without spaces put numbers there.
fn piece_end(view: View<'_>, start: usize) -> usize {
    let mut end = start;
    let mut before = 0;
    loop {
        let class = view.class(end);
        if class & (LETTER | DIGIT) == 0 || (class == DIGIT && before == HIGH) {
            return end;
        }
        before = class;
        end += 1;
    }
}

/// What the matchers of a piece may read.
#[derive(Clone, Copy)]
struct Seen<'a> {
    detectors: &'a Detectors,
    view: View<'a>,
    place: i64,
    labels: &'a [i64; LABELS],
    before: (Roles, i64),
}

impl Seen<'_> {
    fn looks_for(&self, kind: Kind) -> bool {
        self.detectors.looks_for(kind)
    }

    fn absolute(&self, at: usize) -> i64 {
        self.place.saturating_add(i64::try_from(at).unwrap_or(i64::MAX))
    }

    /// How far behind the label this is; `None` where there is none near.
    fn behind(&self, role: Roles, at: usize) -> Option<i64> {
        let label = self.labels.get(role.trailing_zeros() as usize)?;
        let distance = self.absolute(at).saturating_sub(*label);
        (distance <= NEAR).then_some(distance)
    }

    fn labelled(&self, role: Roles, at: usize) -> bool {
        self.behind(role, at).is_some()
    }

    /// The first label is near, and nearer than the second.
    fn rather(&self, role: Roles, other: Roles, at: usize) -> bool {
        self.behind(role, at).is_some_and(|near| self.behind(other, at).is_none_or(|far| near <= far))
    }
}

#[cfg(test)]
mod tests;
