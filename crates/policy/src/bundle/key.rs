//! The pair of keys of bundles: Ed25519, in the PEM that other programs make and read too.

use std::fmt;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hoop_model::Redacted;

/// What stands before the 32 bytes of a public key in its DER form (RFC 8410).
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
const PRIVATE: &str = "PRIVATE KEY";
const PUBLIC: &str = "PUBLIC KEY";
/// Bytes of either half in PEM; both are far shorter.
const LONGEST: usize = 4096;

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Not a private one.
    #[error("it is no Ed25519 private key in PEM (BEGIN PRIVATE KEY)")]
    Private,
    /// Not a public one.
    #[error("it is no Ed25519 public key in PEM (BEGIN PUBLIC KEY)")]
    Public,
    /// There is no randomness.
    #[error("no key could be made")]
    Library,
}

/// The private half: signs bundles.
pub struct BundleKey(Ed25519KeyPair);

/// The public half: bundles are believed by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BundlePublicKey([u8; 32]);

impl fmt::Debug for BundleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BundleKey")
    }
}

impl BundleKey {
    /// A new pair: the private half in PEM, and to sign with.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn generate() -> Result<(Redacted<String>, Self), KeyError> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Library)?;
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).map_err(|_| KeyError::Library)?;
        Ok((Redacted::new(encode(PRIVATE, pkcs8.as_ref())), Self(pair)))
    }

    /// Reads PKCS#8 in PEM.
    ///
    /// # Errors
    /// [`KeyError::Private`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = Redacted::new(decode(PRIVATE, text).ok_or(KeyError::Private)?);
        Ed25519KeyPair::from_pkcs8(der.expose()).map(Self).map_err(|_| KeyError::Private)
    }

    /// The other half.
    ///
    /// # Errors
    /// [`KeyError::Library`], which does not happen.
    pub fn public(&self) -> Result<BundlePublicKey, KeyError> {
        let bytes = self.0.public_key().as_ref().try_into().map_err(|_| KeyError::Library)?;
        Ok(BundlePublicKey(bytes))
    }

    pub(super) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.0.sign(bytes).as_ref().to_vec()
    }
}

impl BundlePublicKey {
    /// Reads SPKI in PEM.
    ///
    /// # Errors
    /// [`KeyError::Public`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = decode(PUBLIC, text).ok_or(KeyError::Public)?;
        let bytes = der.strip_prefix(&SPKI).and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(KeyError::Public)
    }

    /// SPKI in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        encode(PUBLIC, &[&SPKI[..], &self.0].concat())
    }

    pub(super) fn is_signed(&self, bytes: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, &self.0).verify(bytes, signature).is_ok()
    }
}

fn encode(label: &str, der: &[u8]) -> String {
    // The longest of ours is 112 characters: two lines of at most 64.
    let body = BASE64.encode(der);
    let (first, rest) = body.split_at(body.len().min(64));
    let rest = if rest.is_empty() { String::new() } else { format!("{rest}\n") };
    format!("-----BEGIN {label}-----\n{first}\n{rest}-----END {label}-----\n")
}

fn decode(label: &str, text: &str) -> Option<Vec<u8>> {
    let (begin, end) = (format!("-----BEGIN {label}-----"), format!("-----END {label}-----"));
    let body = text.get(..text.len().min(LONGEST))?.trim().strip_prefix(&begin)?.strip_suffix(&end)?;
    BASE64.decode(body.split_ascii_whitespace().collect::<String>()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 8032, 7.1, test 1, in the form of RFC 8410.
    const THEIRS: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g
-----END PRIVATE KEY-----
";
    const THEIR_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
-----END PUBLIC KEY-----
";

    #[test]
    fn keys_are_those_of_other_programs() {
        let key = BundleKey::from_pem(THEIRS).unwrap();
        let public = key.public().unwrap();
        assert_eq!(public.to_pem(), THEIR_PUBLIC);
        assert_eq!(BundlePublicKey::from_pem(THEIR_PUBLIC), Ok(public));
        let (pem, made) = BundleKey::generate().unwrap();
        let read = BundleKey::from_pem(pem.expose()).unwrap();
        assert_eq!(read.public(), made.public());
        assert_ne!(made.public(), key.public());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let rsa =
            "-----BEGIN PUBLIC KEY-----\nMFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAK0=\n-----END PUBLIC KEY-----\n";
        let long = THEIR_PUBLIC
            .replace("BEGIN PUBLIC KEY-----", &format!("BEGIN PUBLIC KEY-----{}", " ".repeat(LONGEST)));
        for wrong in ["", "11", rsa, THEIRS, &THEIR_PUBLIC.replace("MCow", "MCox"), &long] {
            assert_eq!(BundlePublicKey::from_pem(wrong), Err(KeyError::Public), "{wrong}");
        }
        for wrong in ["", THEIR_PUBLIC, &THEIRS.replace("MC4C", "MC4D")] {
            assert_eq!(BundleKey::from_pem(wrong).unwrap_err(), KeyError::Private, "{wrong}");
        }
        let (_, key) = BundleKey::generate().unwrap();
        assert_eq!(format!("{key:?}"), "BundleKey", "nothing of it is printed");
    }
}
