//! The classes of bytes, and the part of a text that a matcher may see.

use crate::words::{self, Roles};

/// White space, controls, quotes and brackets.
pub(super) const SEPARATOR: u8 = 1;
pub(super) const LOWER: u8 = 2;
pub(super) const UPPER: u8 = 4;
pub(super) const DIGIT: u8 = 8;
pub(super) const HIGH: u8 = 16;
pub(super) const AT: u8 = 32;
pub(super) const COLON: u8 = 64;
pub(super) const OTHER: u8 = 128;
pub(super) const LETTER: u8 = LOWER | UPPER | HIGH;

static CLASSES: [u8; 256] = classes();

#[expect(clippy::indexing_slicing, reason = "computed by the compiler, which would say so")]
const fn classes() -> [u8; 256] {
    let mut classes = [0; 256];
    let mut byte: u8 = 0;
    loop {
        classes[byte as usize] = match byte {
            b'a'..=b'z' => LOWER,
            b'A'..=b'Z' => UPPER,
            b'0'..=b'9' => DIGIT,
            b'@' => AT,
            b':' => COLON,
            0..=0x20
            | 0x7f
            | b'"'
            | b'\''
            | b'`'
            | b','
            | b';'
            | b'<'
            | b'>'
            | b'('
            | b')'
            | b'['
            | b']'
            | b'{'
            | b'}'
            | b'|'
            | b'='
            | b'\\' => SEPARATOR,
            0x80.. => HIGH,
            _ => OTHER,
        };
        if byte == u8::MAX {
            return classes;
        }
        byte += 1;
    }
}

#[inline]
pub(super) fn class(byte: u8) -> u8 {
    CLASSES.get(usize::from(byte)).copied().unwrap_or(SEPARATOR)
}

/// What a matcher sees: the text around a place, cut so that it never sees more than it may.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) text: &'a [u8],
}

impl<'a> View<'a> {
    /// The byte there; 0, a separator, outside.
    #[inline]
    pub(super) fn at(self, place: usize) -> u8 {
        self.text.get(place).copied().unwrap_or(0)
    }

    #[inline]
    pub(super) fn class(self, place: usize) -> u8 {
        class(self.at(place))
    }

    /// The byte before; a space for the second of an escape such as `\n`.
    #[inline]
    pub(super) fn before(self, place: usize) -> u8 {
        let before = place.checked_sub(1).map_or(0, |before| self.at(before));
        let escape = matches!(before, b'n' | b'r' | b't' | b'b' | b'f' | b'v')
            && place.checked_sub(2).is_some_and(|earlier| self.at(earlier) == b'\\');
        if escape { b' ' } else { before }
    }

    pub(super) fn from(self, place: usize) -> &'a [u8] {
        self.text.get(place..).unwrap_or(&[])
    }

    pub(super) fn slice(self, start: usize, end: usize) -> &'a [u8] {
        self.text.get(start..end).unwrap_or(&[])
    }

    /// Where bytes of these classes end.
    pub(super) fn run(self, place: usize, classes: u8) -> usize {
        let mut end = place;
        while let Some(byte) = self.text.get(end) {
            let class = class(*byte);
            if class & classes == 0 || (class == HIGH && punctuation(self.from(end)).is_some()) {
                break;
            }
            end += 1;
        }
        end
    }

    pub(super) fn roles(self, start: usize, end: usize) -> Roles {
        words::roles(self.slice(start, end), self.from(start))
    }

    /// Nothing that belongs to a number follows.
    pub(super) fn ends(self, end: usize) -> bool {
        let (next, after) = (self.at(end), self.at(end + 1));
        match next {
            b'-' | b'/' => !after.is_ascii_alphanumeric(),
            b'.' | b':' | b'_' => !after.is_ascii_digit(),
            _ => !next.is_ascii_alphanumeric(),
        }
    }

    /// No digit follows, also not behind a sign.
    pub(super) fn ends_digits(self, end: usize) -> bool {
        let (next, after) = (self.at(end), self.at(end + 1));
        let joined = matches!(next, b'-' | b'.' | b'/' | b'_' | b':') && after.is_ascii_digit();
        !joined && !next.is_ascii_digit()
    }
}

/// How long the sign is that begins here, if it is one beyond ASCII: the blocks of Latin-1 and general punctuation, and
/// those of East Asia.
#[inline]
pub(super) fn punctuation(text: &[u8]) -> Option<usize> {
    match text {
        [0xc2, _, ..] => Some(2),
        [0xe2 | 0xe3, 0x80, _, ..] | [0xef, 0xbc, 0x80..=0x8f | 0x9a..=0xa0, ..] => Some(3),
        _ => None,
    }
}
