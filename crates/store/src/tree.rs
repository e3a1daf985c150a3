//! The frontier of the ledger's Merkle tree (RFC 6962 §2.1): enough to append and to know the root, in O(log n).

use aws_lc_rs::digest::{SHA256, digest};

use crate::{LedgerHead, Sha256, StoreError};

/// A tree's size and the roots of its complete subtrees, the largest first.
pub(crate) struct Tree {
    pub(crate) size: u64,
    pub(crate) frontier: Vec<u8>,
}

/// `SHA-256(0x00 || bytes)`.
pub(crate) fn leaf_hash(bytes: &[u8]) -> Sha256 {
    hash(&[&[0], bytes])
}

fn hash(parts: &[&[u8]]) -> Sha256 {
    let digest = digest(&SHA256, &parts.concat());
    let mut out = Sha256::default();
    out.iter_mut().zip(digest.as_ref()).for_each(|(to, from)| *to = *from);
    out
}

impl Tree {
    /// From the head's row: as many hashes as the size has bits set.
    pub(crate) fn read(head: &LedgerHead) -> Result<Self, StoreError> {
        let hashes = usize::try_from(head.size.count_ones()).unwrap_or(usize::MAX);
        if head.frontier.len() != hashes.saturating_mul(32) {
            return Err(StoreError::Corrupt("the ledger's frontier does not fit its size".into()));
        }
        Ok(Self { size: head.size, frontier: head.frontier.clone() })
    }

    /// Appends a leaf: it joins complete subtrees of its own size, as carrying does in binary addition.
    pub(crate) fn push(&mut self, leaf: Sha256) {
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            let left = self.frontier.split_off(self.frontier.len().saturating_sub(32));
            node = hash(&[&[1], &left, &node]);
        }
        self.frontier.extend_from_slice(&node);
        self.size = self.size.saturating_add(1);
    }
}
