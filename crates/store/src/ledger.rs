//! The ledger's rows: events exactly as hashed, their leaf hashes, the frontier of the tree, checkpoints.
//!
//! Sequence numbers are given inside the transaction of the change, under the lock of the head: no holes, no forks.

use hoop_model::{Actor, EventId, Timestamp};

use crate::{Sha256, Store, StoreError};

/// An event that is about to be appended; the store gives it its place.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Its id.
    pub id: EventId,
    /// When it happened.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// Stable code such as `session.opened`.
    pub code: String,
    /// Ids and names it is about, to be found by.
    pub subjects: Vec<String>,
    /// What happened, as the code defines.
    pub facts: serde_json::Value,
}

/// An event in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Its place, from 0.
    pub seq: u64,
    /// Its id.
    pub id: EventId,
    /// When it happened.
    pub at: Timestamp,
    /// Stable code.
    pub code: String,
    /// Who, by name.
    pub actor: String,
    /// The exact bytes that are hashed: one JSON object.
    pub bytes: Vec<u8>,
    /// `SHA-256(0x00 || bytes)`.
    pub leaf_hash: Sha256,
}

/// Where the ledger stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerHead {
    /// Events so far; the next one gets this as its `seq`.
    pub size: u64,
    /// The tree's frontier, as `hoop_ledger` writes it.
    pub frontier: Vec<u8>,
}

/// A checkpoint that was signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// Size of the tree it covers.
    pub size: u64,
    /// Root hash.
    pub root: Sha256,
    /// The signed note.
    pub note: String,
    /// When it was signed.
    pub at: Timestamp,
}

/// Which events are wanted; newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only those before this place.
    pub before: Option<u64>,
    /// Only this code.
    pub code: Option<String>,
    /// Only by the actor of this name.
    pub actor: Option<String>,
    /// Only about this id or name.
    pub subject: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// At most so many.
    pub limit: u32,
}

impl Store {
    /// Appends events that go with no change (a refused sign-in, a read of evidence). Answers the first one's place.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; then nothing was appended.
    pub async fn append(&self, events: &[NewEvent]) -> Result<u64, StoreError> {
        todo!()
    }

    /// Where the ledger stands.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn ledger_head(&self) -> Result<LedgerHead, StoreError> {
        todo!()
    }

    /// Events in order, from `from`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn events_from(&self, from: u64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        todo!()
    }

    /// One event.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] and the usual ones.
    pub async fn event(&self, seq: u64) -> Result<StoredEvent, StoreError> {
        todo!()
    }

    /// Leaf hashes in order, from `from`, at most `limit`: enough to prove inclusion and consistency.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn leaf_hashes(&self, from: u64, limit: u32) -> Result<Vec<Sha256>, StoreError> {
        todo!()
    }

    /// Events that fit a filter, newest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn search_events(&self, filter: &EventFilter) -> Result<Vec<StoredEvent>, StoreError> {
        todo!()
    }

    /// Keeps a checkpoint. One of the same size with the same root is kept once.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another root was signed for that size.
    pub async fn save_checkpoint(&self, checkpoint: &StoredCheckpoint) -> Result<(), StoreError> {
        todo!()
    }

    /// The largest checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn latest_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        todo!()
    }
}
