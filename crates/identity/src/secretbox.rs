//! Small secrets at rest: AES-256-GCM under a master key, bound to a purpose.
//!
//! The purpose is authenticated, not stored: what was sealed as one person's TOTP secret does not open as another's, so
//! somebody who can write the database but does not have the key cannot swap secrets.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use hoop_model::Redacted;

/// The form of what is stored: this byte, the nonce, the ciphertext with its tag.
const VERSION: u8 = 1;

/// A secret cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The master key is not 32 bytes: the operator's fault.
    #[error("the master key has {0} bytes instead of 32")]
    KeyLength(usize),
    /// Another key, another purpose, or altered: which one cannot be told.
    #[error("a stored secret cannot be opened: it was altered, or the master key is another one")]
    Open,
    /// Our own fault.
    #[error("a secret could not be sealed")]
    Seal,
}

/// Seals and opens secrets.
pub struct SecretBox(RandomizedNonceKey);

impl std::fmt::Debug for SecretBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretBox")
    }
}

impl SecretBox {
    /// From the master key.
    ///
    /// # Errors
    /// [`SecretError::KeyLength`].
    pub fn new(master_key: &Redacted<Vec<u8>>) -> Result<Self, SecretError> {
        let key = master_key.expose();
        let wrong = SecretError::KeyLength(key.len());
        RandomizedNonceKey::new(&AES_256_GCM, key).map(Self).map_err(|_| wrong)
    }

    /// Seals a secret for a purpose such as `totp usr_…`.
    ///
    /// # Errors
    /// [`SecretError::Seal`].
    pub fn seal(&self, purpose: &str, secret: &[u8]) -> Result<Vec<u8>, SecretError> {
        let mut body = secret.to_vec();
        let nonce = self.0.seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut body);
        let nonce = nonce.map_err(|_| SecretError::Seal)?;
        Ok([&[VERSION][..], nonce.as_ref(), &body].concat())
    }

    /// Opens what was sealed for the same purpose.
    ///
    /// # Errors
    /// [`SecretError::Open`].
    pub fn open(&self, purpose: &str, sealed: &[u8]) -> Result<Redacted<Vec<u8>>, SecretError> {
        let body = sealed.strip_prefix(&[VERSION]).ok_or(SecretError::Open)?;
        let (nonce, body) = body.split_at_checked(NONCE_LEN).ok_or(SecretError::Open)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SecretError::Open)?;
        let mut buffer = body.to_vec();
        let opened = self.0.open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut buffer);
        let length = opened.map_err(|_| SecretError::Open)?.len();
        buffer.truncate(length);
        Ok(Redacted::new(buffer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn secrets(byte: u8) -> SecretBox {
        SecretBox::new(&Redacted::new(vec![byte; 32])).unwrap()
    }

    #[test]
    fn a_secret_opens_with_its_key_and_purpose_alone() {
        let sealed = secrets(1).seal("totp usr_a", b"canary").unwrap();
        assert_eq!(secrets(1).open("totp usr_a", &sealed).unwrap().expose(), b"canary");
        assert_eq!(secrets(2).open("totp usr_a", &sealed), Err(SecretError::Open));
        for purpose in ["", "totp usr_b", "totp usr_", "totp usr_a "] {
            assert_eq!(secrets(1).open(purpose, &sealed), Err(SecretError::Open), "{purpose:?}");
        }
        assert!(!sealed.windows(6).any(|window| window == b"canary"));
        assert_ne!(sealed, secrets(1).seal("totp usr_a", b"canary").unwrap());
    }

    #[test]
    fn whatever_was_altered_stays_shut() {
        let sealed = secrets(1).seal("x", b"secret").unwrap();
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert_eq!(secrets(1).open("x", &altered), Err(SecretError::Open), "byte {at}");
            assert_eq!(secrets(1).open("x", &sealed[..at]), Err(SecretError::Open), "cut at {at}");
        }
    }

    #[test]
    fn a_key_has_32_bytes() {
        for length in [0, 16, 31, 33] {
            let error = SecretBox::new(&Redacted::new(vec![0; length])).unwrap_err();
            assert_eq!(error, SecretError::KeyLength(length));
        }
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(secret in prop::collection::vec(any::<u8>(), 0..300), purpose in ".*") {
            let sealed = secrets(7).seal(&purpose, &secret).unwrap();
            let opened = secrets(7).open(&purpose, &sealed).unwrap();
            prop_assert_eq!(opened.expose(), &secret);
        }
    }
}
