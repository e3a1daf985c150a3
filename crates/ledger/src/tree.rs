//! The Merkle tree of RFC 6962 §2.1: leaf hash `SHA-256(0x00 ‖ leaf)`, node hash `SHA-256(0x01 ‖ left ‖ right)`.
//!
//! [`Frontier`] is all that appending needs: one hash for each bit set in the size. Proofs are made from the leaf
//! hashes, which a [`LeafHashes`] source gives, and checked without them.

use std::ops::Range;

use hoop_recording::Hash;
use serde::{Deserialize, Serialize};

/// The hash of a leaf, over its bytes as stored.
#[must_use]
pub fn leaf_hash(leaf: &[u8]) -> Hash {
    let mut bytes = Vec::with_capacity(leaf.len() + 1);
    bytes.push(0);
    bytes.extend_from_slice(leaf);
    Hash::of(&bytes)
}

/// The hash of a node.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 65];
    let parts = left.as_bytes().iter().chain(right.as_bytes());
    bytes.iter_mut().skip(1).zip(parts).for_each(|(to, from)| *to = *from);
    Hash::of(&bytes)
}

/// The root of a tree without leaves.
#[must_use]
pub fn empty_root() -> Hash {
    Hash::of(&[])
}

/// The right edge of a tree: what appending needs. Compact, and to be stored with the last leaf.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "StoredFrontier", into = "StoredFrontier")]
pub struct Frontier {
    size: u64,
    /// Roots of the full subtrees, largest first.
    peaks: Vec<Hash>,
}

#[derive(Serialize, Deserialize)]
struct StoredFrontier {
    size: u64,
    peaks: Vec<Hash>,
}

impl From<Frontier> for StoredFrontier {
    fn from(frontier: Frontier) -> Self {
        Self { size: frontier.size, peaks: frontier.peaks }
    }
}

impl TryFrom<StoredFrontier> for Frontier {
    type Error = FrontierError;
    fn try_from(stored: StoredFrontier) -> Result<Self, FrontierError> {
        if stored.peaks.len() == usize::try_from(stored.size.count_ones()).unwrap_or(usize::MAX) {
            Ok(Self { size: stored.size, peaks: stored.peaks })
        } else {
            Err(FrontierError)
        }
    }
}

/// The stored state has another number of hashes than its size asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the tree's stored state does not fit its size")]
pub struct FrontierError;

impl Frontier {
    /// Number of leaves.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf's hash.
    pub fn append(&mut self, leaf: Hash) {
        let mut peak = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                peak = node_hash(&left, &peak);
            }
        }
        self.peaks.push(peak);
        self.size += 1;
    }

    /// The root.
    #[must_use]
    pub fn root(&self) -> Hash {
        let joined = self.peaks.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
        joined.unwrap_or_else(empty_root)
    }
}

/// Where leaf hashes come from: a store, a file, a slice.
pub trait LeafHashes {
    /// The hash of the leaf with this number, if there is one.
    fn leaf_hash(&self, index: u64) -> Option<Hash>;
}

impl LeafHashes for [Hash] {
    fn leaf_hash(&self, index: u64) -> Option<Hash> {
        self.get(usize::try_from(index).ok()?).copied()
    }
}

/// The range asked for is not in the tree, or a leaf of it could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProofError {
    /// Larger than the tree, or empty.
    #[error("no such leaf or size in this tree")]
    Range,
    /// The source has no hash for a leaf of the tree.
    #[error("the hash of leaf {0} is not to be had")]
    Leaf(u64),
}

/// Proves that a leaf is in the tree of a size: the hashes beside the way to the root, leaf first.
///
/// # Errors
/// [`ProofError`].
pub fn inclusion_proof(
    source: &(impl LeafHashes + ?Sized),
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, ProofError> {
    inclusion_ranges(index, size)?
        .into_iter()
        .map(|range| range_root(source, range.start, range.end))
        .collect()
}

/// The ranges of leaves whose roots are that proof.
pub(crate) fn inclusion_ranges(index: u64, size: u64) -> Result<Vec<Range<u64>>, ProofError> {
    if index >= size {
        return Err(ProofError::Range);
    }
    let (mut start, mut end) = (0, size);
    let mut ranges = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(start..middle);
            start = middle;
        }
    }
    ranges.reverse();
    Ok(ranges)
}

/// Proves that the tree of size `old` is the beginning of that of size `new`.
///
/// # Errors
/// [`ProofError`].
pub fn consistency_proof(
    source: &(impl LeafHashes + ?Sized),
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, ProofError> {
    consistency_ranges(old, new)?
        .into_iter()
        .map(|range| range_root(source, range.start, range.end))
        .collect()
}

/// The ranges of leaves whose roots are that proof.
pub(crate) fn consistency_ranges(old: u64, new: u64) -> Result<Vec<Range<u64>>, ProofError> {
    if old > new {
        return Err(ProofError::Range);
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let (mut start, mut end, mut whole) = (0, new, true);
    let mut ranges = Vec::new();
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            ranges.push(middle..end);
            end = middle;
        } else {
            ranges.push(start..middle);
            start = middle;
            whole = false;
        }
    }
    if !whole {
        ranges.push(start..end);
    }
    ranges.reverse();
    Ok(ranges)
}

/// The root of the tree over leaves `start..end`.
fn range_root(source: &(impl LeafHashes + ?Sized), start: u64, end: u64) -> Result<Hash, ProofError> {
    let mut frontier = Frontier::default();
    for index in start..end {
        frontier.append(source.leaf_hash(index).ok_or(ProofError::Leaf(index))?);
    }
    Ok(frontier.root())
}

/// The largest power of two below `size`, which is 2 or more.
const fn split(size: u64) -> u64 {
    1 << (u64::BITS - 1 - (size - 1).leading_zeros())
}

/// Is the leaf in the tree with this root? (RFC 9162 §2.1.3.2)
#[must_use]
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut at, mut last, mut hash) = (index, size - 1, *leaf);
    for beside in proof {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(beside, &hash);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            hash = node_hash(&hash, beside);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && hash == *root
}

/// Is the tree with `old_root` the beginning of that with `new_root`? (RFC 9162 §2.1.4.2)
#[must_use]
pub fn verify_consistency(old: u64, old_root: &Hash, new: u64, new_root: &Hash, proof: &[Hash]) -> bool {
    if old > new {
        return false;
    }
    if old == new {
        return proof.is_empty() && old_root == new_root;
    }
    if old == 0 {
        return proof.is_empty() && *old_root == empty_root();
    }
    let start = if old.is_power_of_two() { Some((old_root, proof)) } else { proof.split_first() };
    let Some((first, rest)) = start else { return false };
    let (mut at, mut last) = (old - 1, new - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    let (mut from_old, mut from_new) = (*first, *first);
    for beside in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            from_old = node_hash(beside, &from_old);
            from_new = node_hash(beside, &from_new);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            from_new = node_hash(&from_new, beside);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && from_old == *old_root && from_new == *new_root
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn leaves(count: u64) -> Vec<Hash> {
        (0..count).map(|n| leaf_hash(&n.to_be_bytes())).collect()
    }

    /// The definition of RFC 6962, word by word.
    fn naive(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => empty_root(),
            [one] => *one,
            many => {
                let mut k = 1;
                while k * 2 < many.len() {
                    k *= 2;
                }
                node_hash(&naive(&many[..k]), &naive(&many[k..]))
            }
        }
    }

    fn root(leaves: &[Hash]) -> Hash {
        let mut frontier = Frontier::default();
        leaves.iter().for_each(|leaf| frontier.append(*leaf));
        frontier.root()
    }

    #[test]
    fn known_roots() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(empty_root().to_string(), empty);
        let leaf = "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d";
        assert_eq!(leaf_hash(b"").to_string(), leaf, "the hash of an empty leaf in RFC 9162's examples");
    }

    #[test]
    fn every_small_tree_agrees_with_the_definition_and_its_proofs_hold() {
        for size in 0..40_u64 {
            let leaves = leaves(size);
            let new = root(&leaves);
            assert_eq!(new, naive(&leaves));
            for index in 0..size {
                let proof = inclusion_proof(leaves.as_slice(), index, size).unwrap();
                let leaf = leaves[usize::try_from(index).unwrap()];
                assert!(verify_inclusion(&leaf, index, size, &proof, &new));
                assert!(index + 1 == size || !verify_inclusion(&leaf, index + 1, size, &proof, &new));
                assert!(!verify_inclusion(&leaf_hash(b"other"), index, size, &proof, &new));
            }
            for old in 0..=size {
                let proof = consistency_proof(leaves.as_slice(), old, size).unwrap();
                let old_root = root(&leaves[..usize::try_from(old).unwrap()]);
                assert!(verify_consistency(old, &old_root, size, &new, &proof), "{old} of {size}");
                if 0 < old && old < size {
                    assert!(!verify_consistency(old, &leaf_hash(b"x"), size, &new, &proof));
                    assert!(!verify_consistency(old, &old_root, size, &old_root, &proof));
                }
            }
        }
    }

    #[test]
    fn what_is_not_in_the_tree_has_no_proof() {
        let leaves = leaves(4);
        assert_eq!(inclusion_proof(leaves.as_slice(), 4, 4), Err(ProofError::Range));
        assert!(matches!(inclusion_proof(leaves.as_slice(), 0, 9), Err(ProofError::Leaf(4..9))));
        assert_eq!(consistency_proof(leaves.as_slice(), 5, 4), Err(ProofError::Range));
        assert!(!verify_inclusion(&leaves[0], 0, 0, &[], &empty_root()));
        assert!(!verify_consistency(5, &empty_root(), 4, &empty_root(), &[]));
    }

    #[test]
    fn a_stored_frontier_goes_on_and_a_wrong_one_is_refused() {
        let mut frontier = Frontier::default();
        leaves(11).into_iter().for_each(|leaf| frontier.append(leaf));
        let mut again: Frontier = serde_json::from_str(&serde_json::to_string(&frontier).unwrap()).unwrap();
        again.append(leaf_hash(b"x"));
        frontier.append(leaf_hash(b"x"));
        assert_eq!(again, frontier);
        assert!(serde_json::from_str::<Frontier>(r#"{"size":3,"peaks":[]}"#).is_err());
    }

    proptest! {
        #[test]
        fn large_trees_too(size in 1..600_u64, a in any::<u64>(), b in any::<u64>()) {
            let leaves = leaves(size);
            let (index, old, new) = (a % size, b % size, root(&leaves));
            let proof = inclusion_proof(leaves.as_slice(), index, size).unwrap();
            prop_assert!(verify_inclusion(&leaves[usize::try_from(index).unwrap()], index, size, &proof, &new));
            let proof = consistency_proof(leaves.as_slice(), old, size).unwrap();
            let old_root = root(&leaves[..usize::try_from(old).unwrap()]);
            prop_assert!(verify_consistency(old, &old_root, size, &new, &proof));
        }

        #[test]
        fn a_proof_bent_anywhere_fails(
            size in 2..200_u64, a in any::<u64>(), which in any::<proptest::sample::Index>(), drop in any::<bool>()
        ) {
            let leaves = leaves(size);
            let (index, new) = (a % size, root(&leaves));
            let mut proof = inclusion_proof(leaves.as_slice(), index, size).unwrap();
            let at = which.index(proof.len());
            if drop { proof.remove(at); } else { proof[at] = leaf_hash(b"bent"); }
            prop_assert!(!verify_inclusion(&leaves[usize::try_from(index).unwrap()], index, size, &proof, &new));
        }
    }
}
