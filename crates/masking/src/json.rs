//! JSON: values are masked where they stand, every other byte stays. Keys are labels, as the words before a value are in
//! text, and are never changed.

use crate::{
    detect::Detectors,
    kind::{Counts, Kind},
    rewrite::rewrite,
    rule::{Mode, Rule},
    text::{Masked, mask_text, rewrite_all},
};

/// The deepest nesting that is read as JSON.
pub const DEEPEST_JSON: usize = 128;

/// Masks the strings and numbers of a JSON text (one value, with white space around).
///
/// A number in which something is found is masked as a whole; all but [`Mode::Fake`] and [`Mode::Null`] make a string of it. A
/// string that is one finding is `null` under [`Mode::Null`]. What is no JSON, or nested deeper than
/// [`DEEPEST_JSON`], is masked as text, and its structure may suffer.
#[must_use]
pub fn mask_json(text: &[u8], detectors: &Detectors, rule: &Rule) -> Masked {
    let mut reader = Reader {
        text,
        at: 0,
        detectors,
        rule,
        out: Vec::with_capacity(text.len()),
        counts: Counts::default(),
    };
    match reader.document() {
        Some(()) => Masked { bytes: reader.out, counts: reader.counts },
        None => mask_text(text, detectors, rule),
    }
}

/// So much of a key is read as a label.
const LABEL: usize = 64;

/// What is open.
#[derive(Clone, Copy)]
enum Open {
    Object,
    Array,
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    detectors: &'a Detectors,
    rule: &'a Rule,
    out: Vec<u8>,
    counts: Counts,
}

impl Reader<'_> {
    fn document(&mut self) -> Option<()> {
        // Of each open object or array: what it is, the key that leads to it, and the key being read.
        let mut open: Vec<(Open, Vec<u8>, Vec<u8>)> = Vec::new();
        loop {
            self.space();
            let (outer, key) = open.last().map_or((&[][..], &[][..]), |(_, outer, key)| (outer, key));
            let labels = [outer, key];
            match self.peek()? {
                b'{' if open.len() < DEEPEST_JSON => {
                    let inner = key.to_vec();
                    self.copy(1);
                    self.space();
                    if self.peek()? == b'}' {
                        self.copy(1);
                    } else {
                        let first = self.key()?;
                        open.push((Open::Object, inner, first));
                        continue;
                    }
                }
                b'[' if open.len() < DEEPEST_JSON => {
                    let (outer, key) = (outer.to_vec(), key.to_vec());
                    self.copy(1);
                    self.space();
                    if self.peek()? == b']' {
                        self.copy(1);
                    } else {
                        open.push((Open::Array, outer, key));
                        continue;
                    }
                }
                b'"' => self.string(&labels)?,
                b'-' | b'0'..=b'9' => self.number(&labels)?,
                _ => self.word()?,
            }
            // A value is over: so may be what it stands in.
            loop {
                self.space();
                let Some((kind, _, key)) = open.last_mut() else {
                    return (self.at == self.text.len()).then_some(());
                };
                match (*kind, self.peek()?) {
                    (Open::Object, b',') => {
                        self.copy(1);
                        self.space();
                        *key = self.key()?;
                        break;
                    }
                    (Open::Array, b',') => {
                        self.copy(1);
                        break;
                    }
                    (Open::Object, b'}') | (Open::Array, b']') => self.copy(1),
                    _ => return None,
                }
                open.pop();
            }
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn copy(&mut self, count: usize) {
        self.out.extend_from_slice(self.text.get(self.at..self.at + count).unwrap_or(&[]));
        self.at += count;
    }

    fn space(&mut self) {
        let rest = self.text.get(self.at..).unwrap_or(&[]);
        self.copy(rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count());
    }

    fn word(&mut self) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let word = [&b"true"[..], b"false", b"null"].into_iter().find(|word| rest.starts_with(word))?;
        self.copy(word.len());
        Some(())
    }

    /// A key and its colon, as they stand; answers the key.
    fn key(&mut self) -> Option<Vec<u8>> {
        let (length, key) = quoted(self.text.get(self.at..)?)?;
        self.copy(length);
        self.space();
        (self.peek()? == b':').then(|| self.copy(1))?;
        Some(label(key))
    }

    fn string(&mut self, labels: &[&[u8]]) -> Option<()> {
        let (length, value) = quoted(self.text.get(self.at..)?)?;
        let raw = self.text.get(self.at..self.at + length)?;
        self.at += length;
        let findings = self.detectors.find_labelled(labels, &value);
        if findings.is_empty() {
            self.out.extend_from_slice(raw);
            return Some(());
        }
        let whole = findings.first().is_some_and(|(finding, _)| finding.range == (0..value.len()));
        let masked = rewrite_all(&value, &findings, self.rule);
        self.counts.merge(&masked.counts);
        if whole && masked.bytes.is_empty() {
            self.out.extend_from_slice(b"null");
        } else {
            self.write(&masked.bytes);
        }
        Some(())
    }

    fn number(&mut self, labels: &[&[u8]]) -> Option<()> {
        let rest = self.text.get(self.at..)?;
        let raw = rest.get(..number(rest)?)?;
        self.at += raw.len();
        // What identifies somebody is whole; `123456789.0` is the same number.
        let whole = raw.split(|byte| matches!(byte, b'.' | b'e' | b'E')).next().unwrap_or(raw);
        let found = self.detectors.find_labelled(labels, whole);
        let Some((finding, long)) = found.into_iter().next() else {
            self.out.extend_from_slice(raw);
            return Some(());
        };
        self.counts.add(finding.kind);
        match rewrite(finding.kind, raw, long, self.rule) {
            None => self.out.extend_from_slice(b"null"),
            Some(other) if self.keeps_number(finding.kind, &other) => self.out.extend_from_slice(&other),
            Some(other) => self.write(&other),
        }
        Some(())
    }

    fn keeps_number(&self, kind: Kind, other: &[u8]) -> bool {
        // Another exponent may be beyond what readers of JSON take for a number.
        let finite =
            || std::str::from_utf8(other).ok().and_then(|text| text.parse().ok()).is_some_and(f64::is_finite);
        self.rule.mode(kind) == Mode::Fake && number(other) == Some(other.len()) && finite()
    }

    /// Writes a string.
    fn write(&mut self, value: &[u8]) {
        self.out.push(b'"');
        for byte in value {
            match byte {
                b'"' | b'\\' => self.out.extend([b'\\', *byte]),
                0..0x20 => self.out.extend(format!("\\u{byte:04x}").into_bytes()),
                _ => self.out.push(*byte),
            }
        }
        self.out.push(b'"');
    }
}

/// The end of a key: where values are many and keys long, each value would pay for the whole key.
pub(crate) fn label(mut key: Vec<u8>) -> Vec<u8> {
    key.split_off(key.len().saturating_sub(LABEL))
}

/// The length of the string that begins here, quotes included, and what it says. It is UTF-8, or no string of JSON.
fn quoted(text: &[u8]) -> Option<(usize, Vec<u8>)> {
    let inside = text.strip_prefix(b"\"")?;
    let mut value = Vec::new();
    let mut at = 0;
    loop {
        let byte = *inside.get(at)?;
        at += 1;
        match byte {
            b'"' => break,
            b'\\' => {
                let (length, character) = escape(inside.get(at..)?)?;
                value.extend(character.encode_utf8(&mut [0; 4]).bytes());
                at += length;
            }
            0..0x20 => return None,
            _ => value.push(byte),
        }
    }
    std::str::from_utf8(&value).ok()?;
    Some((at + 1, value))
}

/// What stands behind a backslash, and how many bytes it takes. Half a pair of surrogates is U+FFFD.
fn escape(text: &[u8]) -> Option<(usize, char)> {
    let character = match text.first()? {
        byte @ (b'"' | b'\\' | b'/') => char::from(*byte),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => {
            let unit = hex(text.get(1..5)?)?;
            let second = text.get(5..11).and_then(|next| next.strip_prefix(b"\\u")).and_then(hex);
            return Some(match (unit, second) {
                (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => {
                    let scalar = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                    (11, char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER))
                }
                _ => (5, char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER)),
            });
        }
        _ => return None,
    };
    Some((1, character))
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, byte| Some(number << 4 | char::from(*byte).to_digit(16)?))
}

/// The length of the number that begins here.
fn number(text: &[u8]) -> Option<usize> {
    let digits =
        |from: usize| text.get(from..).unwrap_or(&[]).iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && text.get(at) == Some(&b'0')) {
        return None;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        at += 1 + Some(fraction).filter(|count| *count > 0)?;
    }
    if matches!(text.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at + 1 + sign);
        at += 1 + sign + Some(exponent).filter(|count| *count > 0)?;
    }
    Some(at)
}

#[cfg(test)]
mod tests;
