//! Proofs from a large ledger with few reads: hashes of whole subtrees of 256, 256², … leaves are kept beside the leaf
//! hashes, and a [`Plan`] says which of them a proof needs.
//!
//! A proof has at most 64 hashes. Each is the root of a range that starts where it may, and so is made of whole subtrees,
//! each of at most 128 kept ones: some 2,000 hashes for four billion events, whatever is asked for. Keeping costs one hash
//! for 256 events. What is kept is derived: whoever bends it makes proofs that do not hold, and nothing else.

use std::ops::Range;

use hoop_recording::Hash;

use crate::tree::{Frontier, ProofError, consistency_ranges, inclusion_ranges, node_hash};

/// A kept subtree has 2 to the power of this many subtrees (leaves) of the level below.
const BITS: u32 = 8;
/// So many hashes of one level make one of the next.
pub const FAN: u32 = 1 << BITS;
/// 256 to the power of this is more than there will be.
pub const HIGHEST: u8 = 7;

/// Neighbouring hashes of one level: 0 are leaf hashes, 1 roots of 256 leaves, 2 of 65536.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Read {
    /// Which level.
    pub level: u8,
    /// The first one's number.
    pub first: u64,
    /// How many: at most 128.
    pub count: u32,
}

/// What a proof is made of, in its order: the pieces of each of its hashes, the largest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan(Vec<Vec<Read>>);

impl Plan {
    /// For the proof that a leaf is in the tree of a size.
    ///
    /// # Errors
    /// [`ProofError::Range`].
    pub fn inclusion(index: u64, size: u64) -> Result<Self, ProofError> {
        Ok(Self::of(&inclusion_ranges(index, size)?))
    }

    /// For the proof that the tree of size `old` is the beginning of that of size `new`.
    ///
    /// # Errors
    /// [`ProofError::Range`].
    pub fn consistency(old: u64, new: u64) -> Result<Self, ProofError> {
        Ok(Self::of(&consistency_ranges(old, new)?))
    }

    fn of(ranges: &[Range<u64>]) -> Self {
        Self(ranges.iter().map(|range| pieces(range.start, range.end)).collect())
    }

    /// What is to be read, in order.
    pub fn reads(&self) -> impl Iterator<Item = Read> {
        self.0.iter().flatten().copied()
    }

    /// The proof, from what was read for each of [`Self::reads`].
    ///
    /// # Errors
    /// [`ProofError::Leaf`] when a hash is missing.
    pub fn proof(&self, read: &[Vec<Hash>]) -> Result<Vec<Hash>, ProofError> {
        let mut read = read.iter();
        self.0.iter().map(|pieces| joined(pieces, &mut read)).collect()
    }
}

/// The root of neighbouring hashes of one level; for [`FAN`] of them it is the hash of the next.
#[must_use]
pub fn root_of(hashes: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    hashes.iter().for_each(|hash| frontier.append(*hash));
    frontier.root()
}

fn joined<'a>(pieces: &[Read], read: &mut impl Iterator<Item = &'a Vec<Hash>>) -> Result<Hash, ProofError> {
    let mut roots = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let hashes = read.next().filter(|hashes| hashes.len() == piece.count as usize);
        roots.push(root_of(hashes.ok_or(ProofError::Leaf(piece.first << (BITS * u32::from(piece.level))))?));
    }
    let root = roots.into_iter().rev().reduce(|right, left| node_hash(&left, &right));
    root.ok_or(ProofError::Range)
}

/// A range of leaves as whole subtrees, the largest first. It starts at a multiple of the largest.
fn pieces(start: u64, end: u64) -> Vec<Read> {
    let (mut at, mut left, mut pieces) = (start, end.saturating_sub(start), Vec::new());
    while left > 0 {
        let height = u64::BITS - 1 - left.leading_zeros();
        let level = height / BITS;
        pieces.push(Read {
            level: u8::try_from(level).unwrap_or(HIGHEST),
            first: at >> (BITS * level),
            count: 1 << (height - BITS * level),
        });
        at += 1 << height;
        left -= 1 << height;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::{consistency_proof, inclusion_proof, leaf_hash};
    use proptest::prelude::*;

    /// All levels, as a store keeps them.
    fn kept(size: u64) -> Vec<Vec<Hash>> {
        let mut levels = vec![(0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect::<Vec<_>>()];
        for level in 0..2 {
            let above = levels[level].chunks_exact(FAN as usize).map(root_of).collect();
            levels.push(above);
        }
        levels
    }

    fn read(levels: &[Vec<Hash>], plan: &Plan) -> Vec<Vec<Hash>> {
        let one = |read: Read| {
            let first = usize::try_from(read.first).unwrap();
            levels[usize::from(read.level)][first..first + read.count as usize].to_vec()
        };
        plan.reads().map(one).collect()
    }

    #[test]
    fn a_proof_in_a_ledger_of_four_billion_events_reads_little() {
        for (index, size) in
            [(0, u64::from(u32::MAX)), (u64::from(u32::MAX) / 3, u64::from(u32::MAX)), (7, 1 << 32)]
        {
            let plan = Plan::inclusion(index, size).unwrap();
            assert!(plan.reads().all(|read| read.count <= 128));
            assert!(plan.reads().map(|read| read.count).sum::<u32>() < 3_000);
            let plan = Plan::consistency(index + 1, size).unwrap();
            assert!(plan.reads().map(|read| read.count).sum::<u32>() < 3_000);
        }
    }

    #[test]
    fn what_was_not_read_makes_no_proof() {
        let plan = Plan::inclusion(5, 1000).unwrap();
        assert!(matches!(plan.proof(&[]), Err(ProofError::Leaf(_))));
        let mut short = read(&kept(1000), &plan);
        short[0].pop();
        assert!(plan.proof(&short).is_err());
        assert_eq!(Plan::inclusion(5, 5), Err(ProofError::Range));
        assert_eq!(Plan::consistency(6, 5), Err(ProofError::Range));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_proofs_are_those_that_are_made_from_all_leaves(size in 1..70_000_u64, a in any::<u64>(), b in any::<u64>()) {
            let (levels, index, old) = (kept(size), a % size, b % (size + 1));
            let plan = Plan::inclusion(index, size).unwrap();
            let whole = inclusion_proof(levels[0].as_slice(), index, size).unwrap();
            prop_assert_eq!(plan.proof(&read(&levels, &plan)).unwrap(), whole);
            let plan = Plan::consistency(old, size).unwrap();
            let whole = consistency_proof(levels[0].as_slice(), old, size).unwrap();
            prop_assert_eq!(plan.proof(&read(&levels, &plan)).unwrap(), whole);
        }
    }
}
