//! What proofs are made of: hashes of whole subtrees beside the leaf hashes, and what witnesses signed.

use hoop_ledger::{
    Hash, Plan,
    plan::{FAN, HIGHEST, Read, root_of},
};
use hoop_model::{ChannelName, Timestamp};

use crate::{
    Store, StoreError, StoredCheckpoint,
    db::{Row, args},
};

/// A witness's line under a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosignature {
    /// Size of the checkpoint.
    pub size: u64,
    /// Whose: its name in the configuration.
    pub witness: ChannelName,
    /// The line as it stands under the note.
    pub line: String,
    /// When it signed, by its own clock.
    pub signed_at: Timestamp,
}

impl Cosignature {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            size: row.count("size")?,
            witness: row.name("witness")?,
            line: row.text("line")?,
            signed_at: row.time("signed_at")?,
        })
    }
}

impl Store {
    /// Keeps the hashes of subtrees that have become whole, at most so many; answers whether all are kept now.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when leaves are missing, and the usual ones.
    pub async fn keep_subtrees(&self, most: u32) -> Result<bool, StoreError> {
        let (mut below, mut left) = (self.ledger_head().await?.size, most);
        for level in 1..=HIGHEST {
            let whole = below / u64::from(FAN);
            let mut kept = self.subtrees_kept(level).await?;
            while kept < whole && left > 0 {
                self.keep_subtree(level, kept).await?;
                (kept, left) = (kept + 1, left - 1);
            }
            if kept < whole {
                return Ok(false);
            }
            below = whole;
        }
        Ok(true)
    }

    async fn subtrees_kept(&self, level: u8) -> Result<u64, StoreError> {
        let sql = "SELECT COALESCE(MAX(place) + 1, 0) AS kept FROM ledger_subtrees WHERE level = $1";
        let row = self.read_one(sql, args![u32::from(level)]).await?;
        row.ok_or_else(|| StoreError::Corrupt("a count without a row".into()))?.count("kept")
    }

    async fn keep_subtree(&self, level: u8, place: u64) -> Result<(), StoreError> {
        let read = Read { level: level - 1, first: place * u64::from(FAN), count: FAN };
        let hashes = self.tree_hashes(read).await?;
        if hashes.len() != FAN as usize {
            return Err(StoreError::Corrupt("leaves of the ledger are missing".into()));
        }
        let sql =
            "INSERT INTO ledger_subtrees (level, place, hash) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
        self.write(sql, args![u32::from(level), place, root_of(&hashes).as_bytes()]).await.map(|_| ())
    }

    async fn tree_hashes(&self, read: Read) -> Result<Vec<Hash>, StoreError> {
        if read.level == 0 {
            let leaves = self.leaf_hashes(read.first, read.count).await?;
            return Ok(leaves.into_iter().map(Hash::from_bytes).collect());
        }
        let sql = "SELECT hash FROM ledger_subtrees WHERE level = $1 AND place >= $2 ORDER BY place LIMIT $3";
        let rows = self.read(sql, args![u32::from(read.level), read.first, read.count]).await?;
        rows.iter().map(|row| row.sha256("hash").map(Hash::from_bytes)).collect()
    }

    /// The proof that a plan is for; `None` while subtrees of it are not kept yet.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn proof(&self, plan: &Plan) -> Result<Option<Vec<Hash>>, StoreError> {
        let mut read = Vec::new();
        for one in plan.reads() {
            read.push(self.tree_hashes(one).await?);
        }
        Ok(plan.proof(&read).ok())
    }

    /// The checkpoint of exactly this size.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn checkpoint(&self, size: u64) -> Result<Option<StoredCheckpoint>, StoreError> {
        let sql = "SELECT size, root, note, signed_at FROM checkpoints WHERE size = $1";
        self.read_one(sql, args![size]).await?.map(|row| StoredCheckpoint::of(&row)).transpose()
    }

    /// Keeps a witness's line; a later one of the same witness for the same checkpoint takes its place.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn keep_cosignature(&self, new: &Cosignature) -> Result<(), StoreError> {
        let sql = "INSERT INTO cosignatures (size, witness, line, signed_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (size, witness) DO UPDATE SET line = excluded.line, signed_at = excluded.signed_at \
             RETURNING size";
        self.write(sql, args![new.size, &new.witness, new.line.as_str(), new.signed_at]).await.map(|_| ())
    }

    /// What witnesses signed under the checkpoint of this size, by name.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn cosignatures(&self, size: u64) -> Result<Vec<Cosignature>, StoreError> {
        let sql = "SELECT size, witness, line, signed_at FROM cosignatures WHERE size = $1 ORDER BY witness";
        self.read(sql, args![size]).await?.iter().map(Cosignature::of).collect()
    }

    /// The largest checkpoint that so many witnesses signed.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn latest_witnessed(&self, witnesses: u32) -> Result<Option<StoredCheckpoint>, StoreError> {
        // From the newest on, along the index: it ends at the first that has as many.
        let sql = "SELECT c.size, c.root, c.note, c.signed_at FROM checkpoints c JOIN \
             (SELECT size FROM cosignatures GROUP BY size HAVING COUNT(*) >= $1 ORDER BY size DESC LIMIT 1) s \
             ON s.size = c.size";
        self.read_one(sql, args![witnesses]).await?.map(|row| StoredCheckpoint::of(&row)).transpose()
    }
}
