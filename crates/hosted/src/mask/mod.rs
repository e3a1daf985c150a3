//! Masks what a host prints, as well as detectors can: a best effort, which says so (`docs/SSH.md`).
//!
//! Detectors look at text; a host prints text and what drives a terminal. So the two are taken apart, the text is masked, and what was
//! between its characters is put back where it stood:
//! - what only colours, or shows nothing, is seen through: `12` *red* `3-45-6789` is one number;
//! - what moves the cursor ends a word, as a line end does;
//! - what nobody sees and a terminal only remembers (window titles, links, the clipboard) is left out.
//!
//! A little text is held back until it is decided. Whoever drives this lets it go after a moment, for a person waits for it.

mod held;

use std::collections::VecDeque;

use hoop_masking::{Counts, Detectors, Masker, MaskingKey, Rule, Stretch};
use hoop_policy::{Hosts, Masking};

pub use held::Veils;

/// Longest control sequence; a longer one is left out.
const LONGEST: usize = 64;
/// Longest text that nobody sees.
const LONGEST_UNSEEN: usize = 4096;
/// Bytes of sequences that wait for the text before them.
const MOST_WAITING: usize = 4096;

/// What is looked for, and what becomes of it.
#[derive(Debug)]
pub struct Mask {
    detectors: Detectors,
    rule: Rule,
}

impl Mask {
    /// If the rules want hosts' output masked.
    pub fn of(masking: &Masking, key: &MaskingKey) -> Option<Self> {
        let rules = masking.rules().filter(|rules| rules.hosts == Hosts::Detect)?;
        Some(Self { detectors: rules.detectors(), rule: rules.of_findings(key) })
    }
}

/// One stream of output.
#[derive(Debug)]
pub struct Veil<'m> {
    mask: &'m Mask,
    masker: Masker<'m>,
    state: State,
    /// The sequence that is not complete.
    sequence: Vec<u8>,
    /// What is put back, in its order.
    waiting: VecDeque<Between>,
    /// Bytes of text that were taken, and of these were answered.
    taken: u64,
    answered: u64,
    /// What earlier maskers found.
    counts: Counts,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Text,
    /// The first byte of a character that may be a control (U+0080 to U+009F).
    Control,
    Escape,
    /// `ESC (` and its like: one more byte.
    Charset,
    Sequence,
    /// A text that nobody sees, so long by now.
    Unseen {
        length: usize,
        last: u8,
    },
}

/// What stands between two characters.
#[derive(Debug)]
struct Between {
    /// So much text is before it.
    at: u64,
    bytes: Vec<u8>,
    /// The text has a line end in its place.
    ends_a_word: bool,
}

impl<'m> Veil<'m> {
    /// Nothing was printed yet.
    #[must_use]
    pub fn new(mask: &'m Mask) -> Self {
        Self {
            mask,
            masker: Masker::new(&mask.detectors, &mask.rule),
            state: State::Text,
            sequence: Vec::new(),
            waiting: VecDeque::new(),
            taken: 0,
            answered: 0,
            counts: Counts::default(),
        }
    }

    /// Takes what the host prints; answers what may be shown.
    pub fn push(&mut self, data: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(data.len());
        data.iter().for_each(|byte| self.take(*byte, &mut text));
        let mut out = Vec::with_capacity(data.len());
        let stretches = self.masker.push_stretches(&text);
        self.answer(stretches, &mut out);
        if self.waiting.iter().map(|between| between.bytes.len()).sum::<usize>() > MOST_WAITING {
            out.extend(self.let_go());
        }
        out
    }

    /// Lets go what is held back; what comes next begins anew.
    pub fn let_go(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let stretches = self.masker.finish_stretches();
        self.answer(stretches, &mut out);
        let masker = Masker::new(&self.mask.detectors, &self.mask.rule);
        self.counts.merge(std::mem::replace(&mut self.masker, masker).counts());
        out
    }

    /// The end: a sequence that never ended is shown too.
    pub fn end(&mut self) -> Vec<u8> {
        let mut out = self.let_go();
        out.append(&mut self.sequence);
        out
    }

    /// So much text was taken, and so much of it answered.
    pub const fn progress(&self) -> (u64, u64) {
        (self.taken, self.answered)
    }

    /// How many of each kind.
    pub fn counts(&self) -> Counts {
        let mut counts = self.counts;
        counts.merge(self.masker.counts());
        counts
    }

    fn take(&mut self, byte: u8, text: &mut Vec<u8>) {
        // These end whatever there is, everywhere.
        if matches!(byte, 0x18 | 0x1a) && self.state != State::Text {
            self.sequence.clear();
            self.state = State::Text;
            return;
        }
        self.state = match self.state {
            State::Text => self.text(byte, text),
            State::Control => self.control(byte, text),
            State::Escape => self.escape(byte, text),
            State::Charset => {
                self.sequence.push(byte);
                self.between(false, text);
                State::Text
            }
            State::Sequence => self.sequence(byte, text),
            State::Unseen { length, last } => match (last, byte) {
                (_, 0x07 | b'\n') | (0x1b, b'\\') | (0xc2, 0x9c) => State::Text,
                _ if length >= LONGEST_UNSEEN => State::Text,
                _ => State::Unseen { length: length + 1, last: byte },
            },
        };
    }

    fn text(&mut self, byte: u8, text: &mut Vec<u8>) -> State {
        match byte {
            0x1b => {
                self.sequence.push(byte);
                return State::Escape;
            }
            0xc2 => {
                self.sequence.push(byte);
                return State::Control;
            }
            // Up, down, or to another line.
            0x0b | 0x0c => {
                self.sequence.push(byte);
                self.between(true, text);
            }
            b'\n' | b'\r' | b'\t' | 0x08 => self.character(byte, text),
            0..=0x1f | 0x7f => {
                self.sequence.push(byte);
                self.between(false, text);
            }
            _ => self.character(byte, text),
        }
        State::Text
    }

    fn control(&mut self, byte: u8, text: &mut Vec<u8>) -> State {
        match byte {
            0x9b => {
                self.sequence.push(byte);
                return State::Sequence;
            }
            0x90 | 0x98 | 0x9d..=0x9f => return self.unseen(),
            0x80..=0x9f => {
                self.sequence.push(byte);
                self.between(matches!(byte, 0x84 | 0x85 | 0x88 | 0x8d), text);
            }
            _ => {
                self.sequence.clear();
                self.character(0xc2, text);
                return self.text(byte, text);
            }
        }
        State::Text
    }

    fn escape(&mut self, byte: u8, text: &mut Vec<u8>) -> State {
        match byte {
            b']' | b'P' | b'X' | b'^' | b'_' => return self.unseen(),
            0x1b => self.between(false, text),
            _ => {}
        }
        self.sequence.push(byte);
        match byte {
            b'[' => return State::Sequence,
            b' '..=b'/' => return State::Charset,
            0x1b => return State::Escape,
            b'7' | b'8' | b'D' | b'E' | b'M' | b'c' => self.between(true, text),
            0x30..=0x7e => self.between(false, text),
            _ => {
                self.sequence.pop();
                self.between(false, text);
                return self.text(byte, text);
            }
        }
        State::Text
    }

    fn sequence(&mut self, byte: u8, text: &mut Vec<u8>) -> State {
        match byte {
            b' '..=b'?' if self.sequence.len() < LONGEST => {
                self.sequence.push(byte);
                State::Sequence
            }
            b'@'..=b'~' => {
                self.sequence.push(byte);
                // Colours, modes, erasing behind the cursor, reports: nothing moves.
                let stays = matches!(
                    byte,
                    b'm' | b'h' | b'l' | b'K' | b'n' | b'c' | b't' | b'q' | b'p' | b'x' | b'g' | b'i'
                );
                self.between(!stays, text);
                State::Text
            }
            _ => {
                self.sequence.clear();
                self.text(byte, text)
            }
        }
    }

    fn unseen(&mut self) -> State {
        self.sequence.clear();
        State::Unseen { length: 0, last: 0 }
    }

    fn character(&mut self, byte: u8, text: &mut Vec<u8>) {
        text.push(byte);
        self.taken += 1;
    }

    /// The sequence is complete.
    fn between(&mut self, ends_a_word: bool, text: &mut Vec<u8>) {
        let bytes = std::mem::take(&mut self.sequence);
        self.waiting.push_back(Between { at: self.taken, bytes, ends_a_word });
        if ends_a_word {
            self.character(b'\n', text);
        }
    }

    /// Puts masked text and what was between its characters together again.
    fn answer(&mut self, stretches: Vec<Stretch>, out: &mut Vec<u8>) {
        for stretch in stretches {
            match stretch {
                Stretch::Same(text) => {
                    let mut text = text.as_slice();
                    let end = self.answered + text.len() as u64;
                    while let Some(between) = self.next_before(end) {
                        let until =
                            usize::try_from(between.at.saturating_sub(self.answered)).unwrap_or(usize::MAX);
                        let (before, rest) = text.split_at(until.min(text.len()));
                        out.extend_from_slice(before);
                        out.extend_from_slice(&between.bytes);
                        let instead = usize::from(between.ends_a_word).min(rest.len());
                        text = rest.get(instead..).unwrap_or_default();
                        self.answered += (before.len() + instead) as u64;
                    }
                    out.extend_from_slice(text);
                    self.answered = end;
                }
                Stretch::Masked(length, shown) => {
                    self.put_back(out);
                    out.extend_from_slice(&shown);
                    let end = self.answered + length as u64;
                    while let Some(between) = self.next_before(end) {
                        out.extend_from_slice(&between.bytes);
                    }
                    self.answered = end;
                }
            }
        }
        self.put_back(out);
    }

    fn next_before(&mut self, end: u64) -> Option<Between> {
        self.waiting.pop_front_if(|between| between.at < end)
    }

    /// What stands before the next character, and is none itself.
    fn put_back(&mut self, out: &mut Vec<u8>) {
        let answered = self.answered;
        while let Some(between) =
            self.waiting.pop_front_if(|between| between.at <= answered && !between.ends_a_word)
        {
            out.extend_from_slice(&between.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mask() -> Mask {
        let masking: Masking = serde_json::from_value(serde_json::json!({"hosts": "detect"})).unwrap();
        Mask::of(&masking, &MaskingKey::new(&[7; 32]).unwrap()).unwrap()
    }

    fn shown(pieces: &[&[u8]]) -> String {
        let mask = mask();
        let mut veil = Veil::new(&mask);
        let mut out: Vec<u8> = pieces.iter().flat_map(|piece| veil.push(piece)).collect();
        out.extend(veil.end());
        assert!(veil.waiting.is_empty() && veil.taken == veil.answered);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn only_a_rule_that_says_so_has_a_mask() {
        let key = MaskingKey::new(&[7; 32]).unwrap();
        assert!(Mask::of(&Masking::None, &key).is_none() && Mask::of(&Masking::default(), &key).is_none());
    }

    #[test]
    fn what_is_found_is_masked_and_what_was_between_stays() {
        for (printed, wanted) in [
            ("ssn 123-45-6789 ok\r\n", "ssn [ssn] ok\r\n"),
            ("ssn \x1b[31m123-45-6789\x1b[0m ok", "ssn \x1b[31m[ssn]\x1b[0m ok"),
            ("ssn 12\x1b[1;32m3-45\x1b[m-67\x1b[K89 ok", "ssn [ssn]\x1b[1;32m\x1b[m\x1b[K ok"),
            ("ssn 123\0-45\x07-6789", "ssn [ssn]\0\x07"),
            ("ssn 123-\u{9b}31m45-6789", "ssn [ssn]\u{9b}31m"),
            // Words beside each other on a screen are not one word.
            ("555\x1b[5;9H123-45-6789\x1b[6;1H9", "555\x1b[5;9H[ssn]\x1b[6;1H9"),
            (
                "plain \x1b(Btext \u{e9}\u{20ac} \x1bM\x1b[2J.",
                "plain \x1b(Btext \u{e9}\u{20ac} \x1bM\x1b[2J.",
            ),
            // What nobody sees is not passed on.
            ("a\x1b]0;ssn 123-45-6789\x07b\x1bP123-45-6789\x1b\\c", "abc"),
            ("a\x1b]52;c;never ends\nb", "ab"),
            ("a\x1b]0;\u{15c} title\u{9c}b", "ab"),
            ("a\x1b[31", "a\x1b[31"),
        ] {
            assert_eq!(shown(&[printed.as_bytes()]), wanted, "{printed:?}");
        }
    }

    #[test]
    fn no_cut_hides_anything() {
        let printed =
            "DOB 03/04/1975 \x1b[1mssn\x1b[0m 1\x1b[31m23-45-6789, \u{e9} m.g@example.org\x1b[0m\r\n"
                .repeat(30);
        let whole = shown(&[printed.as_bytes()]);
        assert!(!whole.contains("1975") && !whole.contains("6789") && whole.contains("[email]"), "{whole}");
        for cut in 0..printed.len() {
            let (head, tail) = printed.as_bytes().split_at(cut);
            assert_eq!(shown(&[head, tail]), whole, "{cut}");
        }
    }

    #[test]
    fn what_waits_for_text_is_bounded() {
        let mask = mask();
        let mut veil = Veil::new(&mask);
        veil.push(b"1");
        let out: usize = (0..100_000).map(|_| veil.push(b"\x1b[31m").len()).sum();
        assert!(out > 480_000 && veil.waiting.len() < 2_000, "{out}");
    }

    proptest! {
        #[test]
        fn what_holds_nothing_to_mask_and_nothing_unseen_passes_as_it_is(
            words in proptest::collection::vec("(\u{1b}\\[[0-9]{0,2}[mHKJ]|\u{1b}[78M=]|[a-z ]{0,4}|\r\n|\u{e9}|\u{85})", 0..60),
            cut in any::<prop::sample::Index>(),
        ) {
            let printed = words.concat();
            let mut cut = cut.index(printed.len() + 1);
            while !printed.is_char_boundary(cut) { cut -= 1; }
            let (head, tail) = printed.split_at(cut);
            prop_assert_eq!(shown(&[head.as_bytes(), tail.as_bytes()]), printed);
        }

        #[test]
        fn no_bytes_make_it_panic(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..9)) {
            shown(&pieces.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
    }
}
