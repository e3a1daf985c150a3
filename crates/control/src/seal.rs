//! Credentials sealed to an agent, so that the gateway that stores them cannot read them.
//!
//! Ephemeral-static ECDH on P-256, HKDF-SHA256, AES-256-GCM (NIST SP 800-56A, RFC 5869, SP 800-38D). A sealed box is
//! `version 1 | ephemeral public key 65 | ciphertext and tag`; the nonce is zero, for each box has a key of its own.
//! The recipient's public key and `label` (the connection's name) are bound in: a box moved to another connection
//! does not open.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    agreement::{ECDH_P256, EphemeralPrivateKey, PrivateKey, UnparsedPublicKey, agree, agree_ephemeral},
    encoding::{AsBigEndian, EcPrivateKeyBin},
    error::Unspecified,
    hkdf::{HKDF_SHA256, Salt},
    rand::SystemRandom,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoop_model::Redacted;

const VERSION: u8 = 1;
const PUBLIC_KEY: usize = 65;

/// A box cannot be made or opened. Says nothing of why, on purpose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the sealed credential cannot be opened here: it was sealed to another agent, for another connection, or altered"
)]
pub struct SealError;

impl From<Unspecified> for SealError {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

/// An agent's key for opening.
pub struct OpeningKey(PrivateKey);

impl std::fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OpeningKey")
    }
}

impl OpeningKey {
    /// A new key.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn generate() -> Result<Self, SealError> {
        Ok(Self(PrivateKey::generate(&ECDH_P256)?))
    }

    /// From the 32 bytes that [`Self::to_bytes`] gave.
    ///
    /// # Errors
    /// When they are not a P-256 private key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SealError> {
        PrivateKey::from_private_key(&ECDH_P256, bytes).map(Self).map_err(|_| SealError)
    }

    /// The key itself, for the agent's own state folder.
    ///
    /// # Errors
    /// When the key cannot be written.
    pub fn to_bytes(&self) -> Result<Redacted<Vec<u8>>, SealError> {
        let bytes: EcPrivateKeyBin<'_> = self.0.as_be_bytes()?;
        Ok(Redacted::new(bytes.as_ref().to_vec()))
    }

    /// The public key to seal to: SEC1, uncompressed, 65 bytes.
    ///
    /// # Errors
    /// When the key cannot be computed.
    pub fn public_key(&self) -> Result<Vec<u8>, SealError> {
        Ok(self.0.compute_public_key()?.as_ref().to_vec())
    }

    /// Opens a box made by [`seal`].
    ///
    /// # Errors
    /// [`SealError`] for every kind of failure alike.
    pub fn open(&self, sealed: &str, label: &str) -> Result<Redacted<String>, SealError> {
        let sealed = STANDARD.decode(sealed).map_err(|_| SealError)?;
        let (head, ciphertext) = sealed.split_at_checked(1 + PUBLIC_KEY).ok_or(SealError)?;
        let (version, ephemeral) = head.split_first().ok_or(SealError)?;
        if *version != VERSION {
            return Err(SealError);
        }
        let recipient = self.public_key()?;
        let peer = UnparsedPublicKey::new(&ECDH_P256, ephemeral);
        let key = agree(&self.0, peer, SealError, |shared| derive(shared, ephemeral, &recipient, label))?;
        let mut plain = ciphertext.to_vec();
        let text = key.open_in_place(
            Nonce::assume_unique_for_key([0; 12]),
            Aad::from(label.as_bytes()),
            &mut plain,
        )?;
        String::from_utf8(text.to_vec()).map(Redacted::new).map_err(|_| SealError)
    }
}

/// Seals `secret` to an agent's public key for the connection named by `label`.
///
/// # Errors
/// When the public key is not a point of P-256.
pub fn seal(secret: &Redacted<String>, recipient: &[u8], label: &str) -> Result<String, SealError> {
    let ephemeral = EphemeralPrivateKey::generate(&ECDH_P256, &SystemRandom::new())?;
    let public = ephemeral.compute_public_key()?;
    let peer = UnparsedPublicKey::new(&ECDH_P256, recipient);
    let key = agree_ephemeral(ephemeral, peer, SealError, |shared| {
        derive(shared, public.as_ref(), recipient, label)
    })?;
    let mut data = secret.expose().as_bytes().to_vec();
    key.seal_in_place_append_tag(
        Nonce::assume_unique_for_key([0; 12]),
        Aad::from(label.as_bytes()),
        &mut data,
    )?;
    Ok(STANDARD.encode([&[VERSION], public.as_ref(), &data].concat()))
}

fn derive(shared: &[u8], ephemeral: &[u8], recipient: &[u8], label: &str) -> Result<LessSafeKey, SealError> {
    let info: [&[u8]; 4] = [b"hoop sealed credential v1", ephemeral, recipient, label.as_bytes()];
    let secret = Salt::new(HKDF_SHA256, b"hoop").extract(shared);
    let mut key = [0_u8; 32];
    secret.expand(&info, HKDF_SHA256)?.fill(&mut key)?;
    Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_agent_opens_it_and_only_for_its_connection() {
        let (mine, other) = (OpeningKey::generate().unwrap(), OpeningKey::generate().unwrap());
        let sealed = seal(&"s3cret".to_owned().into(), &mine.public_key().unwrap(), "pg").unwrap();
        assert_eq!(mine.open(&sealed, "pg").unwrap().expose(), "s3cret");
        assert!(mine.open(&sealed, "pg-prod").is_err());
        assert!(other.open(&sealed, "pg").is_err());
    }

    #[test]
    fn garbage_and_altered_boxes_do_not_open() {
        let mine = OpeningKey::generate().unwrap();
        let sealed = seal(&"s3cret".to_owned().into(), &mine.public_key().unwrap(), "pg").unwrap();
        let bytes = STANDARD.decode(&sealed).unwrap();
        for at in 0..bytes.len() {
            let mut altered = bytes.clone();
            altered[at] ^= 1;
            assert!(mine.open(&STANDARD.encode(altered), "pg").is_err(), "byte {at}");
        }
        for text in ["", "AA==", "not base64!", &STANDARD.encode([1; 66])] {
            assert!(mine.open(text, "pg").is_err());
        }
    }

    #[test]
    fn the_key_survives_its_file() {
        let key = OpeningKey::generate().unwrap();
        let again = OpeningKey::from_bytes(key.to_bytes().unwrap().expose()).unwrap();
        assert_eq!(key.public_key().unwrap(), again.public_key().unwrap());
    }
}
