//! What the parser read of texts: drivers send the same again and again, and reading them takes ten times as long as all else.
//!
//! What was read depends on the text alone; whether it may run is right for as long as the rules are the same, so it is part of
//! a warrant. Holds digests and what was read, no text.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::digest::{Context, SHA256};
use hoop_sql::{Dialect, Reading, postgres::Mode};

use crate::request::Said;

/// Texts that are remembered; then the oldest is forgotten.
const MOST_KNOWN: usize = 256;
/// Bytes that what was read of them may take, about.
const MOST_BYTES: usize = 1 << 20;
/// Longest text that is remembered, bytes.
const LONGEST_KNOWN: usize = 64 << 10;

/// SHA-256 of a text and how it is read.
pub(crate) type Digest = [u8; 32];

/// What was read of a text.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    pub(crate) reading: Arc<Reading>,
    /// It may run without values, whatever conditions it needed, and this is said to it. What may not is asked anew: a condition may
    /// have run out of time.
    pub(crate) said: Option<Said>,
}

#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Texts>);

#[derive(Debug, Default)]
struct Texts {
    all: BTreeMap<Digest, Remembered>,
    /// With what each takes.
    by_age: VecDeque<(Digest, usize)>,
    bytes: usize,
}

impl Known {
    pub(crate) fn of(&self, digest: &Digest) -> Option<Remembered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all.get(digest).cloned()
    }

    pub(crate) fn remember(&self, digest: Digest, reading: &Arc<Reading>, said: Option<&Said>) {
        let size = reading.size();
        if size > MOST_BYTES / 4 {
            return;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known
            .all
            .insert(digest, Remembered { reading: Arc::clone(reading), said: said.cloned() })
            .is_some()
        {
            return;
        }
        known.by_age.push_back((digest, size));
        known.bytes += size;
        while known.by_age.len() > MOST_KNOWN || known.bytes > MOST_BYTES {
            let Some((oldest, size)) = known.by_age.pop_front() else { return };
            known.all.remove(&oldest);
            known.bytes = known.bytes.saturating_sub(size);
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

    fn read(text: &str) -> Arc<Reading> {
        Arc::new(hoop_sql::read(text.as_bytes(), SQL))
    }

    #[test]
    fn the_oldest_is_forgotten() {
        let (known, reading) = (Known::default(), read("select 1"));
        for number in 0..=MOST_KNOWN {
            assert!(known.of(&of(number)).is_none());
            known.remember(of(number), &reading, None);
            known.remember(of(number), &reading, Some(&Said::default()));
        }
        assert!(known.of(&of(0)).is_none());
        assert!([1, MOST_KNOWN].iter().all(|number| known.of(&of(*number)).unwrap().said.is_some()));
        let held = known.0.lock().unwrap();
        assert_eq!((held.all.len(), held.by_age.len()), (MOST_KNOWN, MOST_KNOWN));
    }

    #[test]
    fn what_is_large_takes_the_place_of_many_or_is_not_kept() {
        let columns = |count: usize| {
            let names: Vec<String> = (0..count).map(|number| format!("column_{number}")).collect();
            read(&format!("select {} from t", names.join(", ")))
        };
        let (known, large) = (Known::default(), columns(1_000));
        for number in 0..100 {
            known.remember(of(number), &large, Some(&Said::default()));
        }
        known.remember(of(100), &columns(10_000), Some(&Said::default()));
        assert!(known.of(&of(99)).is_some() && known.of(&of(100)).is_none());
        let held = known.0.lock().unwrap();
        assert!(held.bytes <= MOST_BYTES && held.all.len() < 20, "{} in {}", held.all.len(), held.bytes);
        assert_eq!(held.bytes, held.all.len() * large.size());
    }

    #[test]
    fn the_same_text_read_otherwise_is_another() {
        let old = Dialect::Postgres(Mode { standard_strings: false, utf8: true });
        let ascii = Dialect::Postgres(Mode { standard_strings: true, utf8: false });
        let digests = [SQL, old, ascii].map(|dialect| digest(b"select 1", dialect).unwrap());
        assert_eq!(std::collections::BTreeSet::from(digests).len(), 3);
        assert_ne!(digest(b"select 1", SQL), digest(b"select 2", SQL));
        assert_eq!(digest(&vec![b' '; LONGEST_KNOWN + 1], SQL), None);
    }
}
