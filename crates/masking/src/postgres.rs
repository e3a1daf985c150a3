//! The text forms of `PostgreSQL` arrays and hstore: values are masked one by one, and quoted anew where they change.

use crate::{
    detect::Detectors,
    kind::Counts,
    rule::Rule,
    text::{Masked, mask_labelled, mask_text},
};

/// The server's own limit on dimensions.
pub const DEEPEST_ARRAY: usize = 6;

/// Masks the elements of an array (<https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO>). An element that
/// masks to nothing is NULL. What is no array is masked as text.
#[must_use]
pub fn mask_array(text: &[u8], detectors: &Detectors, rule: &Rule) -> Masked {
    let mut reader = Reader::new(text, detectors, rule);
    match reader.array() {
        Some(()) => Masked { bytes: reader.out, counts: reader.counts },
        None => mask_text(text, detectors, rule),
    }
}

/// Masks the values of an hstore (<https://www.postgresql.org/docs/current/hstore.html>); keys are labels and stay. A
/// value that masks to nothing is NULL. What is no hstore is masked as text.
#[must_use]
pub fn mask_hstore(text: &[u8], detectors: &Detectors, rule: &Rule) -> Masked {
    let mut reader = Reader::new(text, detectors, rule);
    match reader.hstore() {
        Some(()) => Masked { bytes: reader.out, counts: reader.counts },
        None => mask_text(text, detectors, rule),
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    detectors: &'a Detectors,
    rule: &'a Rule,
    out: Vec<u8>,
    counts: Counts,
}

impl<'a> Reader<'a> {
    fn new(text: &'a [u8], detectors: &'a Detectors, rule: &'a Rule) -> Self {
        Self { text, at: 0, detectors, rule, out: Vec::with_capacity(text.len()), counts: Counts::default() }
    }

    fn array(&mut self) -> Option<()> {
        self.bounds();
        let mut depth = 0;
        loop {
            self.space();
            // An element, or what opens more of them.
            match self.peek()? {
                b'{' if depth < DEEPEST_ARRAY => {
                    self.copy(1);
                    depth += 1;
                    self.space();
                    if self.peek()? != b'}' {
                        continue;
                    }
                }
                _ if depth > 0 => self.element(&[], b",{}")?,
                _ => return None,
            }
            loop {
                self.space();
                match self.peek() {
                    Some(b'}') if depth > 0 => depth -= 1,
                    Some(b',') if depth > 0 => {
                        self.copy(1);
                        break;
                    }
                    None if depth == 0 => return Some(()),
                    _ => return None,
                }
                self.copy(1);
            }
        }
    }

    /// `[1:3][0:1]=`, which may stand before an array.
    fn bounds(&mut self) {
        let form = |byte: &&u8| byte.is_ascii_digit() || matches!(byte, b'[' | b']' | b':' | b'-' | b'+');
        let length = self.text.iter().take_while(form).count();
        if self.text.first() == Some(&b'[') && self.text.get(length) == Some(&b'=') {
            self.copy(length + 1);
        }
    }

    fn hstore(&mut self) -> Option<()> {
        self.space();
        while self.at < self.text.len() {
            let (length, key, _) = self.value(b",=> \t\n\r")?;
            let key = crate::json::label(key);
            self.copy(length);
            self.space();
            self.text.get(self.at..)?.starts_with(b"=>").then(|| self.copy(2))?;
            self.space();
            self.element(&[&key], b", \t\n\r")?;
            self.space();
            match self.peek() {
                Some(b',') => self.copy(1),
                None => break,
                _ => return None,
            }
            self.space();
            self.peek()?;
        }
        Some(())
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
        self.copy(
            rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)).count(),
        );
    }

    fn element(&mut self, labels: &[&[u8]], stops: &[u8]) -> Option<()> {
        let (length, value, quoted) = self.value(stops)?;
        if !quoted && value.eq_ignore_ascii_case(b"null") {
            self.copy(length);
            return Some(());
        }
        let masked = mask_labelled(labels, &value, self.detectors, self.rule);
        if masked.counts.total() == 0 {
            self.copy(length);
            return Some(());
        }
        self.counts.merge(&masked.counts);
        self.at += length;
        if masked.bytes.is_empty() {
            self.out.extend_from_slice(b"NULL");
            return Some(());
        }
        self.out.push(b'"');
        for byte in masked.bytes {
            if matches!(byte, b'"' | b'\\') {
                self.out.push(b'\\');
            }
            self.out.push(byte);
        }
        self.out.push(b'"');
        Some(())
    }

    /// How long the value here is as it stands, what it says, and whether it has quotes. Never empty without them.
    fn value(&self, stops: &[u8]) -> Option<(usize, Vec<u8>, bool)> {
        let text = self.text.get(self.at..)?;
        let quoted = text.first() == Some(&b'"');
        let mut at = usize::from(quoted);
        let mut value = Vec::new();
        // Unquoted white space at the end is no part of the value.
        let mut solid = 0;
        loop {
            match text.get(at) {
                Some(b'"') if quoted => return Some((at + 1, value, true)),
                Some(b'\\') => {
                    value.push(*text.get(at + 1)?);
                    at += 2;
                    solid = at;
                }
                Some(byte) if quoted || !(stops.contains(byte) || *byte == b'"') => {
                    value.push(*byte);
                    at += 1;
                    solid = if byte.is_ascii_whitespace() { solid } else { at };
                }
                Some(b'"') => return None,
                _ if quoted || solid == 0 => return None,
                _ => {
                    value.truncate(value.len().saturating_sub(at - solid));
                    return Some((solid, value, false));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
