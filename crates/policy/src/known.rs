//! Texts that the parser was asked about and that may be run: drivers send the same again and again.
//!
//! Right for as long as the rules are the same, so it is part of a warrant. Holds digests and no text.

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Mutex, PoisonError},
};

use aws_lc_rs::digest::{Context, SHA256};
use hoop_sql::{Dialect, postgres::Mode};

/// Texts that are remembered; then the oldest is forgotten.
const MOST_KNOWN: usize = 256;
/// Longest text that is remembered, bytes: for longer ones the parser is no longer what takes the time.
const LONGEST_KNOWN: usize = 64 << 10;

/// SHA-256 of a text and how it is read.
pub(crate) type Digest = [u8; 32];

#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Digests>);

#[derive(Debug, Default)]
struct Digests {
    all: BTreeSet<Digest>,
    by_age: VecDeque<Digest>,
}

impl Known {
    pub(crate) fn holds(&self, digest: &Digest) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all.contains(digest)
    }

    pub(crate) fn remember(&self, digest: Digest) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.all.insert(digest) {
            return;
        }
        known.by_age.push_back(digest);
        if known.by_age.len() > MOST_KNOWN
            && let Some(oldest) = known.by_age.pop_front()
        {
            known.all.remove(&oldest);
        }
    }
}

/// What it is remembered by; nothing for one that is too long.
pub(crate) fn digest(text: &[u8], dialect: Dialect) -> Option<Digest> {
    if text.len() > LONGEST_KNOWN {
        return None;
    }
    let Dialect::Postgres(Mode { standard_strings, utf8 }) = dialect;
    let mut sha256 = Context::new(&SHA256);
    sha256.update(&[u8::from(standard_strings), u8::from(utf8)]);
    sha256.update(text);
    sha256.finish().as_ref().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQL: Dialect = Dialect::Postgres(Mode { standard_strings: true, utf8: true });

    fn of(number: usize) -> Digest {
        digest(number.to_string().as_bytes(), SQL).unwrap()
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let known = Known::default();
        for number in 0..=MOST_KNOWN {
            assert!(!known.holds(&of(number)));
            known.remember(of(number));
            known.remember(of(number));
        }
        assert!(!known.holds(&of(0)) && known.holds(&of(1)) && known.holds(&of(MOST_KNOWN)));
        let held = known.0.lock().unwrap();
        assert_eq!((held.all.len(), held.by_age.len()), (MOST_KNOWN, MOST_KNOWN));
    }

    #[test]
    fn the_same_text_read_otherwise_is_another() {
        let old = Dialect::Postgres(Mode { standard_strings: false, utf8: true });
        let ascii = Dialect::Postgres(Mode { standard_strings: true, utf8: false });
        let digests = [SQL, old, ascii].map(|dialect| digest(b"select 1", dialect).unwrap());
        assert_eq!(BTreeSet::from(digests).len(), 3);
        assert_ne!(digest(b"select 1", SQL), digest(b"select 2", SQL));
        assert_eq!(digest(&vec![b' '; LONGEST_KNOWN + 1], SQL), None);
    }
}
