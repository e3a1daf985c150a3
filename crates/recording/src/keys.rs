//! The keys of evidence: the organisation's recording key (RSA), which alone opens recordings, and the agents' signing
//! keys (Ed25519), which vouch for them.
//!
//! Each recording has a fresh data key, wrapped with RSA-OAEP (SHA-256, MGF1 with SHA-256, no label), the form that KMS,
//! HSM and Vault unwrap; whoever holds the private key elsewhere implements [`Unwrap`].

use std::{fmt, str::FromStr};

use aws_lc_rs::{
    digest,
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{
        KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey,
        PrivateDecryptingKey, PublicEncryptingKey,
    },
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoop_model::Redacted;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::hex;

/// Why a key cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text or bytes are not a key of the wanted kind.
    #[error("not {expected}")]
    Malformed {
        /// What was expected, for a person to read.
        expected: &'static str,
    },
    /// The data key was wrapped for another key.
    #[error("the recording was encrypted for key {wanted}; the key given is {given}")]
    WrongKey {
        /// The key that the recording names.
        wanted: KeyId,
        /// The key at hand.
        given: KeyId,
    },
    /// The key is right by name, and yet does not open the data key.
    #[error("the wrapped data key does not open: it was altered")]
    Unwrap,
    /// The cryptographic library refused (out of memory or entropy).
    #[error("the cryptographic library failed")]
    Library,
}

/// Names a recording key: the first 8 bytes of the SHA-256 of its public half (SPKI), written as 16 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 8]);

impl KeyId {
    fn of(spki: &[u8]) -> Self {
        let mut id = [0; 8];
        id.iter_mut().zip(digest::digest(&digest::SHA256, spki).as_ref()).for_each(|(to, from)| *to = *from);
        Self(id)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        hex::decode_array(text).map(Self).ok_or(KeyError::Malformed { expected: "a key id of 16 hex digits" })
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The key of one recording's chunks: 32 bytes for AES-256-GCM.
pub type DataKey = Redacted<[u8; 32]>;

/// Opens the data keys of recordings: the private key at hand, or a service that holds it.
pub trait Unwrap {
    /// Opens a wrapped data key.
    ///
    /// # Errors
    /// [`KeyError`] when the key is another one, or the wrapping was altered.
    fn unwrap(&self, key_id: &KeyId, wrapped: &[u8]) -> Result<DataKey, KeyError>;
}

/// One recording's data key, opened beforehand: for a reader when the private key is held by a service that must be asked.
#[derive(Clone)]
pub struct OpenedKey {
    key_id: KeyId,
    wrapped: Vec<u8>,
    data_key: DataKey,
}

impl OpenedKey {
    /// What the service answered for this wrapping: it must be 32 bytes.
    ///
    /// # Errors
    /// [`KeyError::Unwrap`].
    pub fn new(key_id: KeyId, wrapped: &[u8], opened: &Redacted<Vec<u8>>) -> Result<Self, KeyError> {
        let data_key = <[u8; 32]>::try_from(opened.expose().as_slice()).map_err(|_| KeyError::Unwrap)?;
        Ok(Self { key_id, wrapped: wrapped.to_vec(), data_key: Redacted::new(data_key) })
    }

    /// Opens one with the private key at hand.
    ///
    /// # Errors
    /// As [`Unwrap::unwrap`].
    pub fn with(keys: &dyn Unwrap, key_id: KeyId, wrapped: &[u8]) -> Result<Self, KeyError> {
        let data_key = keys.unwrap(&key_id, wrapped)?;
        Ok(Self { key_id, wrapped: wrapped.to_vec(), data_key })
    }
}

impl fmt::Debug for OpenedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpenedKey({}, [redacted])", self.key_id)
    }
}

impl Unwrap for OpenedKey {
    fn unwrap(&self, key_id: &KeyId, wrapped: &[u8]) -> Result<DataKey, KeyError> {
        if *key_id != self.key_id {
            return Err(KeyError::WrongKey { wanted: *key_id, given: self.key_id });
        }
        // It is one recording's: another of the same organisation is not opened by it.
        if wrapped != self.wrapped { Err(KeyError::Unwrap) } else { Ok(self.data_key.clone()) }
    }
}

/// The public half of the organisation's recording key: makes recordings, opens none.
#[derive(Clone)]
pub struct RecordingPublicKey {
    spki: Vec<u8>,
    id: KeyId,
}

impl RecordingPublicKey {
    /// Reads SPKI in DER.
    ///
    /// # Errors
    /// When it is not an RSA public key of at least 2048 bits.
    pub fn from_der(spki: &[u8]) -> Result<Self, KeyError> {
        PublicEncryptingKey::from_der(spki)
            .map_err(|_| KeyError::Malformed { expected: "an RSA public key" })?;
        Ok(Self { spki: spki.to_vec(), id: KeyId::of(spki) })
    }

    /// Reads SPKI in PEM (`BEGIN PUBLIC KEY`).
    ///
    /// # Errors
    /// As [`Self::from_der`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        Self::from_der(&pem_decode("PUBLIC KEY", text, "an RSA public key in PEM (BEGIN PUBLIC KEY)")?)
    }

    /// SPKI in PEM.
    #[must_use]
    pub fn to_pem(&self) -> String {
        pem_encode("PUBLIC KEY", &self.spki)
    }

    /// Its name.
    #[must_use]
    pub const fn id(&self) -> KeyId {
        self.id
    }

    /// Length of its modulus in bits.
    #[must_use]
    pub fn bits(&self) -> usize {
        PublicEncryptingKey::from_der(&self.spki).map_or(0, |key| key.key_size_bits())
    }

    /// Wraps a data key for the holder of the private half.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn wrap(&self, data_key: &DataKey) -> Result<Vec<u8>, KeyError> {
        let key = PublicEncryptingKey::from_der(&self.spki).map_err(|_| KeyError::Library)?;
        let key = OaepPublicEncryptingKey::new(key).map_err(|_| KeyError::Library)?;
        let mut wrapped = vec![0; key.ciphertext_size()];
        let length = key
            .encrypt(&OAEP_SHA256_MGF1SHA256, data_key.expose(), &mut wrapped, None)
            .map_err(|_| KeyError::Library)?
            .len();
        wrapped.truncate(length);
        Ok(wrapped)
    }
}

impl fmt::Debug for RecordingPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordingPublicKey({})", self.id)
    }
}

/// The private half: opens every recording made for it.
pub struct RecordingPrivateKey {
    key: OaepPrivateDecryptingKey,
    pkcs8: Redacted<Vec<u8>>,
    public: RecordingPublicKey,
}

impl RecordingPrivateKey {
    /// A new RSA key of 3072 bits.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn generate() -> Result<Self, KeyError> {
        Self::from_key(PrivateDecryptingKey::generate(KeySize::Rsa3072).map_err(|_| KeyError::Library)?)
    }

    /// Reads PKCS#8 in PEM (`BEGIN PRIVATE KEY`).
    ///
    /// # Errors
    /// When it is not an RSA private key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let expected = "an RSA private key in PEM (BEGIN PRIVATE KEY)";
        let pkcs8 = Redacted::new(pem_decode("PRIVATE KEY", text, expected)?);
        let key = PrivateDecryptingKey::from_pkcs8(pkcs8.expose());
        Self::from_key(key.map_err(|_| KeyError::Malformed { expected })?)
    }

    fn from_key(key: PrivateDecryptingKey) -> Result<Self, KeyError> {
        let spki: PublicKeyX509Der<'_> = key.public_key().as_der().map_err(|_| KeyError::Library)?;
        let public = RecordingPublicKey::from_der(spki.as_ref())?;
        let pkcs8: Pkcs8V1Der<'_> = key.as_der().map_err(|_| KeyError::Library)?;
        let pkcs8 = Redacted::new(pkcs8.as_ref().to_vec());
        let key = OaepPrivateDecryptingKey::new(key).map_err(|_| KeyError::Library)?;
        Ok(Self { key, pkcs8, public })
    }

    /// PKCS#8 in PEM: the secret itself.
    #[must_use]
    pub fn to_pem(&self) -> Redacted<String> {
        Redacted::new(pem_encode("PRIVATE KEY", self.pkcs8.expose()))
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &RecordingPublicKey {
        &self.public
    }
}

impl fmt::Debug for RecordingPrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordingPrivateKey({}, [redacted])", self.public.id)
    }
}

impl Unwrap for RecordingPrivateKey {
    fn unwrap(&self, key_id: &KeyId, wrapped: &[u8]) -> Result<DataKey, KeyError> {
        if *key_id != self.public.id {
            return Err(KeyError::WrongKey { wanted: *key_id, given: self.public.id });
        }
        let mut scratch = Zeroizing::new(vec![0; self.key.min_output_size()]);
        let plain = self
            .key
            .decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut scratch, None)
            .map_err(|_| KeyError::Unwrap)?;
        <[u8; 32]>::try_from(&*plain).map(Redacted::new).map_err(|_| KeyError::Unwrap)
    }
}

/// An Ed25519 key that signs manifests (an agent's) or checkpoints (the gateway's).
pub struct SigningKey {
    pair: Ed25519KeyPair,
    pkcs8: Redacted<Vec<u8>>,
}

impl SigningKey {
    /// A new key.
    ///
    /// # Errors
    /// [`KeyError::Library`].
    pub fn generate() -> Result<Self, KeyError> {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyError::Library)?;
        Self::from_pkcs8(pkcs8.as_ref())
    }

    /// Reads PKCS#8 in DER.
    ///
    /// # Errors
    /// When it is not an Ed25519 private key.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, KeyError> {
        let expected = "an Ed25519 private key";
        // Keys made by other tools are often PKCS#8 version 1, without the public half.
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(pkcs8);
        Ok(Self {
            pair: pair.map_err(|_| KeyError::Malformed { expected })?,
            pkcs8: Redacted::new(pkcs8.to_vec()),
        })
    }

    /// Reads PKCS#8 in PEM.
    ///
    /// # Errors
    /// As [`Self::from_pkcs8`].
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let pkcs8 = pem_decode("PRIVATE KEY", text, "an Ed25519 private key in PEM (BEGIN PRIVATE KEY)")?;
        Self::from_pkcs8(Redacted::new(pkcs8).expose())
    }

    /// PKCS#8 in PEM: the secret itself.
    #[must_use]
    pub fn to_pem(&self) -> Redacted<String> {
        Redacted::new(pem_encode("PRIVATE KEY", self.pkcs8.expose()))
    }

    /// The public half.
    #[must_use]
    pub fn verifying_key(&self) -> VerifyingKey {
        let mut key = [0; 32];
        key.iter_mut().zip(self.pair.public_key().as_ref()).for_each(|(to, from)| *to = *from);
        VerifyingKey(key)
    }

    /// Signs a message.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        let mut signature = [0; 64];
        signature.iter_mut().zip(self.pair.sign(message).as_ref()).for_each(|(to, from)| *to = *from);
        signature
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, [redacted])", self.verifying_key())
    }
}

/// The public half of a [`SigningKey`]: 32 bytes, written in base64.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyingKey([u8; 32]);

impl VerifyingKey {
    /// From the 32 bytes of RFC 8032.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Did the holder of this key sign the message?
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifyingKey {
    type Err = KeyError;
    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = STANDARD.decode(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or(KeyError::Malformed { expected: "an Ed25519 public key in base64" })
    }
}

impl Serialize for VerifyingKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for VerifyingKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn pem_encode(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for (at, character) in STANDARD.encode(der).chars().enumerate() {
        if at > 0 && at % 64 == 0 {
            text.push('\n');
        }
        text.push(character);
    }
    text.push_str(&format!("\n-----END {label}-----\n"));
    text
}

fn pem_decode(label: &str, text: &str, expected: &'static str) -> Result<Vec<u8>, KeyError> {
    let malformed = KeyError::Malformed { expected };
    let (_, rest) = text.split_once(&format!("-----BEGIN {label}-----")).ok_or(malformed.clone())?;
    let (body, _) = rest.split_once(&format!("-----END {label}-----")).ok_or(malformed.clone())?;
    let body: Redacted<String> = Redacted::new(body.split_ascii_whitespace().collect());
    STANDARD.decode(body.expose()).map_err(|_| malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recording_keys_wrap_and_open() {
        let private = RecordingPrivateKey::generate().unwrap();
        let again = RecordingPrivateKey::from_pem(private.to_pem().expose()).unwrap();
        let public = RecordingPublicKey::from_pem(&private.public().to_pem()).unwrap();
        assert_eq!(public.id(), again.public().id());
        assert_eq!(public.id().to_string().len(), 16);
        assert_eq!(public.id().to_string().parse(), Ok(public.id()));

        let secret = DataKey::new([7; 32]);
        let mut wrapped = public.wrap(&secret).unwrap();
        assert_eq!(Unwrap::unwrap(&again, &public.id(), &wrapped), Ok(secret));
        wrapped[9] ^= 1;
        assert_eq!(Unwrap::unwrap(&again, &public.id(), &wrapped), Err(KeyError::Unwrap));
        assert_eq!(Unwrap::unwrap(&again, &public.id(), &[]), Err(KeyError::Unwrap));

        let other = RecordingPrivateKey::generate().unwrap();
        let refused = Unwrap::unwrap(&other, &public.id(), &wrapped);
        assert_eq!(refused, Err(KeyError::WrongKey { wanted: public.id(), given: other.public().id() }));
    }

    #[test]
    fn an_opened_key_is_one_recordings_alone() {
        let private = RecordingPrivateKey::generate().unwrap();
        let (id, secret) = (private.public().id(), DataKey::new([7; 32]));
        let wrapped = private.public().wrap(&secret).unwrap();
        let opened = OpenedKey::with(&private, id, &wrapped).unwrap();
        assert_eq!(opened.unwrap(&id, &wrapped), Ok(secret.clone()));
        let of_another = private.public().wrap(&DataKey::new([8; 32])).unwrap();
        assert_eq!(opened.unwrap(&id, &of_another), Err(KeyError::Unwrap));
        let other = RecordingPrivateKey::generate().unwrap().public().id();
        assert!(matches!(opened.unwrap(&other, &wrapped), Err(KeyError::WrongKey { .. })));
        for wrong in [0, 16, 31, 33] {
            let answer = Redacted::new(vec![7; wrong]);
            assert!(matches!(OpenedKey::new(id, &wrapped, &answer), Err(KeyError::Unwrap)), "{wrong} bytes");
        }
        assert!(format!("{opened:?}").ends_with("[redacted])"));
        assert_eq!(private.public().bits(), 3072);
    }

    #[test]
    fn signing_keys_sign() {
        let key = SigningKey::generate().unwrap();
        let again = SigningKey::from_pem(key.to_pem().expose()).unwrap();
        let signature = again.sign(b"said");
        let verifying: VerifyingKey = key.verifying_key().to_string().parse().unwrap();
        assert!(verifying.verifies(b"said", &signature));
        assert!(!verifying.verifies(b"sald", &signature));
        assert!(!verifying.verifies(b"said", &signature[..63]));
        assert!(!SigningKey::generate().unwrap().verifying_key().verifies(b"said", &signature));
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = SigningKey::generate().unwrap();
        let pem = key.to_pem();
        let body = pem.expose().lines().nth(1).unwrap();
        assert!(!format!("{key:?} {pem:?} {pem}").contains(&body[..20]));
        let key = RecordingPrivateKey::generate().unwrap();
        assert!(format!("{key:?}").ends_with("[redacted])"));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let pem = SigningKey::generate().unwrap().to_pem();
        for text in
            ["", "-----BEGIN PRIVATE KEY-----", "-----BEGIN PRIVATE KEY-----\n!\n-----END PRIVATE KEY-----"]
        {
            assert!(SigningKey::from_pem(text).is_err());
            assert!(RecordingPrivateKey::from_pem(text).is_err());
            assert!(RecordingPublicKey::from_pem(text).is_err());
        }
        assert!(RecordingPrivateKey::from_pem(pem.expose()).is_err(), "an Ed25519 key opens no recording");
        assert!("".parse::<VerifyingKey>().is_err());
        assert!("AAAA".parse::<VerifyingKey>().is_err());
        assert!("zz".parse::<KeyId>().is_err());
    }
}
