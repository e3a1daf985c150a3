//! A checkpoint: the log's size and root, signed, in the C2SP `tlog-checkpoint` form of a `signed-note`.
//!
//! ```text
//! hoop.example.org/ledger          origin, also the name of the key
//! 1234                             size, decimal, no leading zero
//! 3ulx...Qk=                       root, base64
//!                                  (an empty line)
//! — hoop.example.org/ledger <base64 of key id [4] and Ed25519 signature [64]>
//! ```
//!
//! The signature is over the text up to and with the line feed before the empty line. The key id is the first 4 bytes of
//! `SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key)`. Lines by other keys (witnesses) may follow and are kept.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoop_recording::{Hash, SigningKey, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest note accepted.
const MAX_NOTE: usize = 16 * 1024;
/// Most signatures in a note.
const MAX_SIGNATURES: usize = 32;
/// Longest origin.
const MAX_ORIGIN: usize = 255;
/// The signature type of Ed25519 in signed notes.
const ED25519: u8 = 1;

/// Why a text is not a checkpoint, or not one to believe.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The origin would not be a line of a note.
    #[error("an origin is 1 to 255 visible characters without '+'")]
    Origin,
    /// Not of the form.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// The trusted key signed none of it.
    #[error("the checkpoint is not signed by the trusted key")]
    Signature,
    /// A key text that is none.
    #[error("a checkpoint key is NAME+8 hex digits+base64")]
    Key,
}

/// What is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

impl Checkpoint {
    /// A checkpoint of a log.
    ///
    /// # Errors
    /// [`CheckpointError::Origin`].
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, CheckpointError> {
        check_name(origin)?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }

    /// Signs it.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> SignedCheckpoint {
        let text = self.text();
        let line = SignatureLine {
            name: self.origin.clone(),
            key_id: key_id(&self.origin, &key.verifying_key()),
            signature: key.sign(text.as_bytes()).to_vec(),
        };
        SignedCheckpoint { checkpoint: self.clone(), text, signatures: vec![line] }
    }

    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root.as_bytes()))
    }
}

/// A line under a note. Who signed, by which key, and what came of it: the form depends on the key's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureLine {
    pub(crate) name: String,
    pub(crate) key_id: [u8; 4],
    pub(crate) signature: Vec<u8>,
}

impl fmt::Display for SignatureLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.key_id[..], &self.signature].concat();
        write!(f, "\u{2014} {} {}", self.name, STANDARD.encode(bytes))
    }
}

impl FromStr for SignatureLine {
    type Err = CheckpointError;
    fn from_str(line: &str) -> Result<Self, CheckpointError> {
        parse_signature(line)
    }
}

/// A checkpoint with its signatures. Parsed strictly: writing it again gives the same bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    text: String,
    signatures: Vec<SignatureLine>,
}

impl SignedCheckpoint {
    /// What it says, if the trusted key signed it.
    ///
    /// # Errors
    /// [`CheckpointError::Signature`].
    pub fn verify(&self, key: &CheckpointKey) -> Result<&Checkpoint, CheckpointError> {
        let id = key_id(&key.name, &key.key);
        let ours = |line: &&SignatureLine| line.name == key.name && line.key_id == id;
        let mut lines = self.signatures.iter().filter(ours).peekable();
        let signed = lines.peek().is_some()
            && lines.all(|line| key.key.verifies(self.text.as_bytes(), &line.signature))
            && self.checkpoint.origin == key.name;
        signed.then_some(&self.checkpoint).ok_or(CheckpointError::Signature)
    }

    /// The same note with another line under it; one that stands there already stands once.
    ///
    /// # Errors
    /// When it has as many as it may.
    pub fn with(mut self, line: SignatureLine) -> Result<Self, CheckpointError> {
        if self.signatures.contains(&line) {
            return Ok(self);
        }
        if self.signatures.len() >= MAX_SIGNATURES {
            return Err(CheckpointError::Malformed("it has too many signatures"));
        }
        self.signatures.push(line);
        Ok(self)
    }

    /// What is signed: the text up to the empty line.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn lines(&self) -> &[SignatureLine] {
        &self.signatures
    }

    /// What it says, believed or not.
    #[must_use]
    pub const fn unverified(&self) -> &Checkpoint {
        &self.checkpoint
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        self.signatures.iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for SignedCheckpoint {
    type Err = CheckpointError;
    fn from_str(note: &str) -> Result<Self, CheckpointError> {
        let wrong = CheckpointError::Malformed;
        if note.len() > MAX_NOTE {
            return Err(wrong("it is too long"));
        }
        if note.chars().any(|c| c.is_control() && c != '\n') {
            return Err(wrong("it has control characters"));
        }
        let (body, signatures) =
            note.split_once("\n\n").ok_or(wrong("no empty line before the signatures"))?;
        let [origin, size, root] = body.split('\n').collect::<Vec<_>>()[..] else {
            return Err(wrong("it has not three lines"));
        };
        check_name(origin)?;
        let root = STANDARD.decode(root).ok().and_then(|root| root.try_into().ok());
        let checkpoint = Checkpoint {
            origin: origin.to_owned(),
            size: parse_size(size).ok_or(wrong("the size is no decimal number"))?,
            root: root.map(Hash::from_bytes).ok_or(wrong("the root is not 32 bytes of base64"))?,
        };
        let lines = signatures.strip_suffix('\n').ok_or(wrong("no line feed at the end"))?;
        let signatures = lines.split('\n').map(parse_signature).collect::<Result<Vec<_>, _>>()?;
        if signatures.len() > MAX_SIGNATURES {
            return Err(wrong("it has too many signatures"));
        }
        let text = checkpoint.text();
        if text.strip_suffix('\n') != Some(body) {
            return Err(wrong("it is not in its one form"));
        }
        Ok(Self { checkpoint, text, signatures })
    }
}

impl Serialize for SignedCheckpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SignedCheckpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = text.len() > 1 && text.starts_with('0');
    if digits && !leading_zero { text.parse().ok() } else { None }
}

fn parse_signature(line: &str) -> Result<SignatureLine, CheckpointError> {
    let wrong = CheckpointError::Malformed("a signature line is not of the form");
    let rest = line.strip_prefix("\u{2014} ").ok_or(wrong.clone())?;
    let (name, blob) = rest.split_once(' ').ok_or(wrong.clone())?;
    check_name(name)?;
    let bytes = STANDARD.decode(blob).map_err(|_| wrong.clone())?;
    let (key_id, signature) = bytes.split_first_chunk::<4>().ok_or(wrong.clone())?;
    if signature.is_empty() {
        return Err(wrong);
    }
    Ok(SignatureLine { name: name.to_owned(), key_id: *key_id, signature: signature.to_vec() })
}

fn check_name(name: &str) -> Result<(), CheckpointError> {
    let wrong = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.len() > MAX_ORIGIN || name.contains(wrong) {
        return Err(CheckpointError::Origin);
    }
    Ok(())
}

fn key_id(name: &str, key: &VerifyingKey) -> [u8; 4] {
    key_id_of(name, ED25519, key)
}

pub(crate) fn key_id_of(name: &str, kind: u8, key: &VerifyingKey) -> [u8; 4] {
    let bytes = [name.as_bytes(), &[b'\n', kind], key.as_bytes()].concat();
    Hash::of(&bytes).as_bytes().first_chunk().copied().unwrap_or_default()
}

/// The key that checkpoints are believed by, written `NAME+KEYID+BASE64` (the `vkey` of signed notes).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointKey {
    name: String,
    key: VerifyingKey,
}

impl CheckpointKey {
    /// A log's key under the log's name.
    ///
    /// # Errors
    /// [`CheckpointError::Origin`].
    pub fn new(name: &str, key: VerifyingKey) -> Result<Self, CheckpointError> {
        check_name(name)?;
        Ok(Self { name: name.to_owned(), key })
    }

    /// The log's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key itself.
    #[must_use]
    pub const fn key(&self) -> &VerifyingKey {
        &self.key
    }
}

impl fmt::Display for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(f, &self.name, ED25519, &self.key)
    }
}

impl FromStr for CheckpointKey {
    type Err = CheckpointError;
    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let (name, key) = parse_key(text, ED25519)?;
        Self::new(&name, key)
    }
}

/// A key of a type as signed notes write it (`vkey`).
pub(crate) fn write_key(f: &mut fmt::Formatter<'_>, name: &str, kind: u8, key: &VerifyingKey) -> fmt::Result {
    let id = hoop_recording::hex::encode(&key_id_of(name, kind, key));
    let blob = [&[kind][..], key.as_bytes()].concat();
    write!(f, "{name}+{id}+{}", STANDARD.encode(blob))
}

pub(crate) fn parse_key(text: &str, kind: u8) -> Result<(String, VerifyingKey), CheckpointError> {
    // The key's base64 may hold '+', the name may not: split from the left.
    let mut parts = text.splitn(3, '+');
    let (Some(name), Some(id), Some(blob)) = (parts.next(), parts.next(), parts.next()) else {
        return Err(CheckpointError::Key);
    };
    check_name(name)?;
    let bytes = STANDARD.decode(blob).map_err(|_| CheckpointError::Key)?;
    let key = bytes.split_first().filter(|(first, _)| **first == kind).map(|(_, key)| key);
    let key = key.and_then(|key| key.try_into().ok()).map(VerifyingKey::from_bytes);
    let key = key.ok_or(CheckpointError::Key)?;
    let right = hoop_recording::hex::decode_array(id) == Some(key_id_of(name, kind, &key));
    if right { Ok((name.to_owned(), key)) } else { Err(CheckpointError::Key) }
}

impl Serialize for CheckpointKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CheckpointKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn signed() -> (SignedCheckpoint, CheckpointKey) {
        let key = SigningKey::generate().unwrap();
        let checkpoint = Checkpoint::new("hoop.example.org/ledger", 42, Hash::of(b"root")).unwrap();
        (checkpoint.sign(&key), CheckpointKey::new("hoop.example.org/ledger", key.verifying_key()).unwrap())
    }

    #[test]
    fn the_published_example_of_a_key_reads() {
        let text = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key: CheckpointKey = text.parse().unwrap();
        assert_eq!(key.to_string(), text);
    }

    #[test]
    fn signed_and_read_again() {
        let (signed, key) = signed();
        let note = signed.to_string();
        assert!(note.starts_with("hoop.example.org/ledger\n42\n"));
        assert!(note.contains("\n\n\u{2014} hoop.example.org/ledger "));
        let again: SignedCheckpoint = note.parse().unwrap();
        assert_eq!(again, signed);
        assert_eq!(again.verify(&key).unwrap().size, 42);
        assert_eq!(key.to_string().parse::<CheckpointKey>(), Ok(key));
    }

    #[test]
    fn another_key_or_name_is_not_believed() {
        let (note, key) = signed();
        let (_, other) = signed();
        assert_eq!(note.verify(&other), Err(CheckpointError::Signature));
        let renamed = CheckpointKey::new("other.example.org", *key.key()).unwrap();
        assert_eq!(note.verify(&renamed), Err(CheckpointError::Signature));
    }

    #[test]
    fn a_witness_beside_does_no_harm() {
        let (note, key) = signed();
        let text = format!("{note}\u{2014} witness.example.net AAAAAAEC\n");
        let read: SignedCheckpoint = text.parse().unwrap();
        assert_eq!(read.to_string(), text);
        assert!(read.verify(&key).is_ok());
    }

    #[test]
    fn what_is_not_strictly_the_form_is_refused() {
        let note = signed().0.to_string();
        let hostile = [
            String::new(),
            note.replace("\n42\n", "\n042\n"),
            note.replace("\n42\n", "\n+42\n"),
            note.replace("\n42\n", "\n-1\n"),
            note.replace("\n42\n", "\n99999999999999999999\n"),
            note.replace("\n42\n", "\n42\n\n"),
            note.replace('\u{2014}', "-"),
            note.replace('\n', "\r\n"),
            note.trim_end().to_owned(),
            format!("{note}\n"),
            note.replace("ledger\n42", "led ger\n42"),
            note.replacen("hoop.example.org/ledger\n", "\n", 1),
            note.replacen("=\n\n", "\n\n", 1),
            format!("{note}{}", "\u{2014} w AAAAAAEC\n".repeat(40)),
            note.split("\n\n").next().unwrap().to_owned(),
            "x".repeat(20_000),
        ];
        for text in hostile {
            assert!(text.parse::<SignedCheckpoint>().is_err(), "{text:?}");
        }
        for text in [
            "",
            "a+b",
            "a+00000000+AAAA",
            "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        ] {
            assert!(text.parse::<CheckpointKey>().is_err(), "{text:?}");
        }
        assert!(Checkpoint::new("two words", 0, Hash::of(b"")).is_err());
    }

    proptest! {
        #[test]
        fn a_changed_note_is_refused_or_not_believed(at in any::<proptest::sample::Index>(), with in "[0-9a-zA-Z]") {
            let (signed, key) = signed();
            let mut note: Vec<char> = signed.to_string().chars().collect();
            let at = at.index(note.len());
            let with = with.chars().next().unwrap();
            prop_assume!(note[at] != with);
            note[at] = with;
            let note: String = note.into_iter().collect();
            let believed = note.parse::<SignedCheckpoint>().ok().is_some_and(|note| note.verify(&key).is_ok());
            prop_assert!(!believed, "{note}");
        }

        #[test]
        fn garbage_never_panics(text in ".{0,200}") {
            let _ = text.parse::<SignedCheckpoint>();
            let _ = text.parse::<CheckpointKey>();
        }
    }
}
