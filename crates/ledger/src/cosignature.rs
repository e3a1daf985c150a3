//! Cosignatures of witnesses, C2SP `tlog-cosignature` (`cosignature/v1`), and what is said to a witness (`tlog-witness`).
//!
//! A witness signs a checkpoint only if it is consistent with the last one that it signed, so whoever wants to roll the
//! log back or fork it needs the witnesses too. A line holds the key id, the time (8 bytes, big endian) and an Ed25519
//! signature over `cosignature/v1`, `time N`, and the note's text.
//!
//! <https://c2sp.org/tlog-cosignature>, <https://c2sp.org/tlog-witness>

use std::{collections::BTreeSet, fmt, fmt::Write as _, str::FromStr};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoop_model::Timestamp;
use hoop_recording::{Hash, VerifyingKey};

use crate::checkpoint::{CheckpointError, SignatureLine, SignedCheckpoint, key_id_of, parse_key, write_key};

/// The signature type of timestamped Ed25519 cosignatures.
const COSIGNATURE: u8 = 4;
/// Time and signature.
const LENGTH: usize = 8 + 64;
/// Most lines of an answer that are looked at.
const MOST_LINES: usize = 16;
/// Most hashes of a proof, by the protocol.
pub const MOST_PROOF: usize = 63;

/// The key that a witness's cosignatures are believed by, written `NAME+KEYID+BASE64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessKey {
    name: String,
    key: VerifyingKey,
}

impl WitnessKey {
    /// The witness's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// When the witness signed, if this line is its cosignature of this checkpoint.
    #[must_use]
    pub fn verifies(&self, checkpoint: &SignedCheckpoint, line: &SignatureLine) -> Option<Timestamp> {
        if line.name != self.name || line.key_id != key_id_of(&self.name, COSIGNATURE, &self.key) {
            return None;
        }
        let (time, signature) = line.signature.split_first_chunk::<8>()?;
        let seconds = u64::from_be_bytes(*time);
        let message = format!("cosignature/v1\ntime {seconds}\n{}", checkpoint.text());
        let good = line.signature.len() == LENGTH && self.key.verifies(message.as_bytes(), signature);
        let micros = i64::try_from(seconds).ok()?.checked_mul(1_000_000)?;
        good.then(|| Timestamp::from_micros(micros))
    }
}

impl fmt::Display for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_key(f, &self.name, COSIGNATURE, &self.key)
    }
}

impl FromStr for WitnessKey {
    type Err = CheckpointError;
    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let (name, key) = parse_key(text, COSIGNATURE)?;
        Ok(Self { name, key })
    }
}

/// Witnesses that are believed, and how many of them are needed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Witnesses {
    /// Their keys.
    pub keys: Vec<WitnessKey>,
    /// So many must have signed.
    pub needed: usize,
}

impl Witnesses {
    /// The names of those that signed this checkpoint: each counts once, by whatever number of keys.
    #[must_use]
    pub fn of<'a>(&'a self, checkpoint: &SignedCheckpoint) -> BTreeSet<&'a str> {
        let signed = |key: &&WitnessKey| {
            checkpoint.lines().iter().any(|line| key.verifies(checkpoint, line).is_some())
        };
        self.keys.iter().filter(signed).map(WitnessKey::name).collect()
    }

    /// Whether as many signed as are needed.
    #[must_use]
    pub fn suffice(&self, checkpoint: &SignedCheckpoint) -> bool {
        self.of(checkpoint).len() >= self.needed
    }
}

/// The body of `add-checkpoint`: the size that the witness knows, the proof that it grew from there, the checkpoint.
#[must_use]
pub fn add_checkpoint(old: u64, proof: &[Hash], checkpoint: &SignedCheckpoint) -> String {
    let mut body = format!("old {old}\n");
    for hash in proof.iter().take(MOST_PROOF) {
        let _ = writeln!(body, "{}", STANDARD.encode(hash.as_bytes()));
    }
    let _ = write!(body, "\n{checkpoint}");
    body
}

/// The witness's own line in its answer, if it verifies; other lines are no harm.
#[must_use]
pub fn own_line(
    answer: &str,
    checkpoint: &SignedCheckpoint,
    key: &WitnessKey,
) -> Option<(SignatureLine, Timestamp)> {
    let lines = answer.lines().take(MOST_LINES).filter_map(|line| line.parse::<SignatureLine>().ok());
    lines.filter_map(|line| key.verifies(checkpoint, &line).map(|at| (line, at))).next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::Checkpoint;
    use hoop_recording::SigningKey;

    struct Witness(SigningKey, &'static str);

    impl Witness {
        fn new(name: &'static str) -> Self {
            Self(SigningKey::generate().unwrap(), name)
        }

        fn key(&self) -> WitnessKey {
            WitnessKey { name: self.1.to_owned(), key: self.0.verifying_key() }
        }

        fn sign(&self, checkpoint: &SignedCheckpoint, seconds: u64) -> SignatureLine {
            let message = format!("cosignature/v1\ntime {seconds}\n{}", checkpoint.text());
            let signature = [&seconds.to_be_bytes()[..], &self.0.sign(message.as_bytes())].concat();
            let key_id = key_id_of(self.1, COSIGNATURE, &self.0.verifying_key());
            SignatureLine { name: self.1.to_owned(), key_id, signature }
        }
    }

    fn checkpoint(size: u64) -> SignedCheckpoint {
        Checkpoint::new("hoop.test/ledger", size, Hash::of(b"root"))
            .unwrap()
            .sign(&SigningKey::generate().unwrap())
    }

    #[test]
    fn a_cosignature_counts_and_is_kept_in_the_note() {
        let (witness, note) = (Witness::new("w.test"), checkpoint(7));
        let note = note.clone().with(witness.sign(&note, 1_700_000_000)).unwrap();
        let read: SignedCheckpoint = note.to_string().parse().unwrap();
        let witnesses = Witnesses { keys: vec![witness.key()], needed: 1 };
        assert!(witnesses.suffice(&read));
        assert_eq!(witness.key().to_string().parse(), Ok(witness.key()));
        let answer = format!("{}\n", witness.sign(&note, 5));
        assert_eq!(own_line(&answer, &note, &witness.key()).unwrap().1, Timestamp::from_micros(5_000_000));
    }

    #[test]
    fn what_is_no_cosignature_of_this_checkpoint_counts_for_nothing() {
        let (witness, other, note) = (Witness::new("w.test"), Witness::new("w.test"), checkpoint(7));
        let good = witness.sign(&note, 9);
        let mut later = good.clone();
        later.signature[7] ^= 1;
        let mut short = good.clone();
        short.signature.truncate(71);
        let mut long = good.clone();
        long.signature.push(0);
        let renamed = SignatureLine { name: "x.test".to_owned(), ..good.clone() };
        let foreign = witness.sign(&checkpoint(8), 9);
        for line in [later, short, long, renamed, foreign, other.sign(&note, 9)] {
            assert_eq!(witness.key().verifies(&note, &line), None, "{line}");
        }
        assert!(own_line("", &note, &witness.key()).is_none());
        assert!(own_line("\u{2014} w.test AAAA\nnonsense", &note, &witness.key()).is_none());
    }

    #[test]
    fn one_witness_is_not_two() {
        let (witness, note) = (Witness::new("w.test"), checkpoint(7));
        let (a, b) = (witness.sign(&note, 1), witness.sign(&note, 2));
        let twice = note.with(a.clone()).unwrap().with(b).unwrap().with(a).unwrap();
        let witnesses = Witnesses { keys: vec![witness.key(), witness.key()], needed: 2 };
        assert!(!witnesses.suffice(&twice));
        assert_eq!(twice.lines().len(), 3);
    }

    #[test]
    fn a_key_of_another_type_is_no_witness() {
        let key =
            crate::CheckpointKey::new("w.test", SigningKey::generate().unwrap().verifying_key()).unwrap();
        assert_eq!(key.to_string().parse::<WitnessKey>(), Err(CheckpointError::Key));
    }

    #[test]
    fn the_request_is_as_the_protocol_says() {
        let note = checkpoint(7);
        let body = add_checkpoint(3, &[Hash::of(b"a"), Hash::of(b"b")], &note);
        let (head, rest) = body.split_once("\n\n").unwrap();
        assert_eq!(head.lines().count(), 3);
        assert!(head.starts_with("old 3\n"));
        assert_eq!(rest.parse(), Ok(note));
    }
}
