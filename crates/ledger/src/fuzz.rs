//! For the fuzzer: what witnesses answer and what proofs hold, read as the gateway and `hoop audit prove` read them.

use crate::{
    CheckpointKey, Hash, SignedCheckpoint, WitnessKey, Witnesses,
    cosignature::{add_checkpoint, own_line},
    tree::{verify_consistency, verify_inclusion},
};

/// A key, a checkpoint and an answer in the text, each behind an empty line but one; and two numbers and hashes in the bytes.
pub fn proofs(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let key = text.lines().next().and_then(|line| line.parse::<WitnessKey>().ok());
    let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
    if let (Some(key), Ok(note)) = (key, rest.parse::<SignedCheckpoint>()) {
        if let Some((line, _)) = own_line(rest, &note, &key) {
            let _ = key.verifies(&note, &line);
        }
        let witnesses = Witnesses { keys: vec![key], needed: 1 };
        assert!(witnesses.of(&note).len() <= 1);
        if let Ok(trusted) = CheckpointKey::new("fuzz", hoop_recording::VerifyingKey::from_bytes([7; 32])) {
            assert!(note.verify(&trusted).is_err(), "nobody has that key");
        }
        let _ = add_checkpoint(note.unverified().size, &[], &note);
    }
    numbers(data);
}

/// Proofs of any length for trees of any size: what is no proof proves nothing, and a tree of no size has none.
fn numbers(data: &[u8]) {
    let Some((first, rest)) = data.split_first_chunk::<8>() else { return };
    let Some((second, rest)) = rest.split_first_chunk::<8>() else { return };
    let (first, second) = (u64::from_be_bytes(*first), u64::from_be_bytes(*second));
    let proof: Vec<Hash> = rest.chunks(32).map(Hash::of).collect();
    let (leaf, root) = (Hash::of(b"leaf"), Hash::of(b"root"));
    for (one, two) in [(first, second), (first % 64, second % 64)] {
        assert!(!verify_inclusion(&leaf, one, two, &proof, &root));
        assert!(!verify_consistency(one, &leaf, two, &root, &proof) || one == 0);
    }
}
