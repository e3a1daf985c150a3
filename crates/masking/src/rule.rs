//! What becomes of a finding.

use std::fmt;

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::kind::Kind;

/// How a finding is rewritten.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// A fixed marker: `[ssn]`.
    Redact,
    /// Separators stay, other characters become `*`, except: the last four digits of SSN, NPI, phone, card and IBAN; of
    /// a record number the last four of eight or more, or two of five or more; the domain of an e-mail address; the
    /// letter of a diagnosis; the scheme of a URL. Never more than half of the characters of a number. Of a secret
    /// nothing is kept, not even its length.
    Partial,
    /// Twenty characters of base32: HMAC-SHA-256 over the kind and the value in its normal form. The same value gives
    /// the same hash under the same key, also when it is written with other separators or in another case.
    Hash,
    /// Nothing: a null in a cell, JSON, array or hstore, and an empty text elsewhere.
    Null,
    /// Another value of the same form, by key: digits for digits, letters for letters with their case, separators kept.
    /// Check digits of cards (whose first two digits stay), NPI and IBAN (whose country stays) are right; dates move by
    /// up to ten years; the scheme of a URL stays. Never the value itself: where no other can be made, the marker.
    Fake,
}

/// The key is not long enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a masking key has 32 bytes at least")]
pub struct ShortKey;

/// The key of [`Mode::Hash`] and [`Mode::Fake`]. Who has it can try values until one fits: keep it as a secret.
#[derive(Clone)]
pub struct MaskingKey(hmac::Key);

impl MaskingKey {
    /// From at least 32 random bytes.
    ///
    /// # Errors
    /// [`ShortKey`].
    pub fn new(bytes: &[u8]) -> Result<Self, ShortKey> {
        if bytes.len() < 32 {
            return Err(ShortKey);
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, bytes)))
    }

    /// The MAC over these parts, each with its length.
    pub(crate) fn mac(&self, parts: &[&[u8]]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.0);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign()
    }
}

impl fmt::Debug for MaskingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MaskingKey(…)")
    }
}

/// A mode for each kind, and the key.
#[derive(Debug, Clone)]
pub struct Rule {
    modes: [Mode; Kind::ALL.len()],
    key: MaskingKey,
}

impl Rule {
    /// This mode for every kind.
    #[must_use]
    pub const fn new(mode: Mode, key: MaskingKey) -> Self {
        Self { modes: [mode; Kind::ALL.len()], key }
    }

    /// Another mode for one kind.
    #[must_use]
    pub fn with(mut self, kind: Kind, mode: Mode) -> Self {
        if let Some(own) = self.modes.get_mut(kind as usize) {
            *own = mode;
        }
        self
    }

    /// The mode of this kind.
    #[must_use]
    pub fn mode(&self, kind: Kind) -> Mode {
        self.modes.get(kind as usize).copied().unwrap_or(Mode::Redact)
    }

    pub(crate) const fn key(&self) -> &MaskingKey {
        &self.key
    }
}
