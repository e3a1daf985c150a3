//! Who is told of checkpoints, and how far each got.

use hoop_model::{ChannelName, Timestamp};

use crate::{
    Store, StoreError,
    db::{Row, args, words},
};

/// Longest text that is kept of an error.
const LONGEST_ERROR: usize = 300;

/// What a receiver does with a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiverKind {
    /// It keeps it.
    Sink,
    /// It signs it.
    Witness,
}

words!(ReceiverKind { Sink = "sink", Witness = "witness" });

/// How a receiver stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// What it does.
    pub kind: ReceiverKind,
    /// Its name in the configuration.
    pub name: ChannelName,
    /// The largest checkpoint that it took; 0: none yet.
    pub size: u64,
    /// When it took that one.
    pub delivered_at: Option<Timestamp>,
    /// Since when it has taken none, though it should.
    pub failing_since: Option<Timestamp>,
    /// Attempts that failed in a row.
    pub attempts: u32,
    /// Why the last one failed.
    pub last_error: Option<String>,
}

macro_rules! columns {
    () => {
        "kind, name, size, delivered_at, failing_since, attempts, last_error"
    };
}

impl Receiver {
    /// One that was never told anything.
    #[must_use]
    pub const fn fresh(kind: ReceiverKind, name: ChannelName) -> Self {
        Self { kind, name, size: 0, delivered_at: None, failing_since: None, attempts: 0, last_error: None }
    }

    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            kind: row.word("kind")?,
            name: row.name("name")?,
            size: row.count("size")?,
            delivered_at: row.maybe_time("delivered_at")?,
            failing_since: row.maybe_time("failing_since")?,
            attempts: row.count("attempts")?,
            last_error: row.maybe_text("last_error")?,
        })
    }
}

impl Store {
    /// How all of them stand that were ever told something, by name.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn receivers(&self) -> Result<Vec<Receiver>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM ledger_receivers ORDER BY kind, name");
        self.read(sql, Vec::new()).await?.iter().map(Receiver::of).collect()
    }

    /// How one of them stands.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn receiver(&self, kind: ReceiverKind, name: &ChannelName) -> Result<Receiver, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM ledger_receivers WHERE kind = $1 AND name = $2");
        match self.read_one(sql, args![kind, name]).await? {
            Some(row) => Receiver::of(&row),
            None => Ok(Receiver::fresh(kind, name.clone())),
        }
    }

    /// It took the checkpoint of this size. A smaller one than before changes nothing but that it no longer fails.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn receiver_took(
        &self,
        kind: ReceiverKind,
        name: &ChannelName,
        size: u64,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO ledger_receivers (kind, name, size, delivered_at, attempts) \
             VALUES ($1, $2, $3, $4, 0) ON CONFLICT (kind, name) DO UPDATE SET \
             delivered_at = CASE WHEN ledger_receivers.size < excluded.size THEN excluded.delivered_at \
             ELSE ledger_receivers.delivered_at END, \
             size = CASE WHEN ledger_receivers.size < excluded.size THEN excluded.size \
             ELSE ledger_receivers.size END, failing_since = NULL, attempts = 0, last_error = NULL RETURNING name";
        self.write(sql, args![kind, name, size, at]).await.map(|_| ())
    }

    /// It did not take what it was sent.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn receiver_failed(
        &self,
        kind: ReceiverKind,
        name: &ChannelName,
        at: Timestamp,
        error: &str,
    ) -> Result<(), StoreError> {
        let error: String = error.chars().take(LONGEST_ERROR).collect();
        let sql = "INSERT INTO ledger_receivers (kind, name, size, failing_since, attempts, last_error) \
             VALUES ($1, $2, 0, $3, 1, $4) ON CONFLICT (kind, name) DO UPDATE SET \
             failing_since = COALESCE(ledger_receivers.failing_since, excluded.failing_since), \
             attempts = ledger_receivers.attempts + 1, last_error = excluded.last_error RETURNING name";
        self.write(sql, args![kind, name, at, error]).await.map(|_| ())
    }
}
