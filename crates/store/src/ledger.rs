//! The ledger's rows: events exactly as hashed, their leaf hashes, the frontier of the tree, checkpoints.
//!
//! Sequence numbers are given inside the transaction of the change, under the lock of the head: no holes, no forks.

use hoop_ledger::{Appender, Draft, EventCode};
use hoop_model::{EventId, Timestamp};

use crate::{
    Conflict, NewNotice, Sha256, Store, StoreError,
    db::{Row, Tx, args},
};

/// An event that is about to be appended; the store gives it its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Its id.
    pub id: EventId,
    /// When it happened.
    pub at: Timestamp,
    /// Who, what, to what.
    pub draft: Draft,
    /// What people are told of it outside: written in the same transaction.
    pub notices: Vec<NewNotice>,
}

impl NewEvent {
    /// An event with a new id.
    #[must_use]
    pub fn new(at: Timestamp, draft: Draft) -> Self {
        Self { id: EventId::generate(), at, draft, notices: Vec::new() }
    }
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
    /// The exact bytes that are hashed: [`hoop_ledger::LedgerEvent`] reads them.
    pub bytes: Vec<u8>,
    /// its leaf hash: `SHA-256(0x00 || bytes)`.
    pub leaf_hash: Sha256,
}

/// Where the ledger stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LedgerHead {
    /// Events so far; the next one gets this as its `seq`.
    pub size: u64,
    /// The end of the log: the tree's frontier (and with it the root), and the last leaf's hash.
    pub appender: Appender,
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

impl StoredCheckpoint {
    pub(crate) fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            size: row.count("size")?,
            root: row.sha256("root")?,
            note: row.text("note")?,
            at: row.time("signed_at")?,
        })
    }
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
    /// Only about this id.
    pub subject: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// At most so many.
    pub limit: u32,
}

macro_rules! event_columns {
    () => {
        "e.seq, e.id, e.happened_at, e.code, e.actor, e.event, e.leaf_hash"
    };
}

macro_rules! event_conditions {
    () => {
        "($1 IS NULL OR e.seq < $1) AND ($2 IS NULL OR e.code = $2) AND ($3 IS NULL OR e.actor = $3) \
         AND ($4 IS NULL OR e.happened_at >= $4) AND ($5 IS NULL OR e.happened_at < $5)"
    };
}

const SEARCH: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM ledger_events e WHERE ",
    event_conditions!(),
    " ORDER BY e.seq DESC LIMIT $6"
);

/// By subject it starts from the index of subjects.
const SEARCH_SUBJECT: &str = concat!(
    "SELECT ",
    event_columns!(),
    " FROM ledger_subjects s JOIN ledger_events e ON e.seq = s.seq WHERE s.subject = $7 AND ",
    event_conditions!(),
    " ORDER BY s.seq DESC LIMIT $6"
);

impl StoredEvent {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            seq: row.count("seq")?,
            id: row.id("id")?,
            at: row.time("happened_at")?,
            code: row.text("code")?,
            actor: row.text("actor")?,
            bytes: row.bytes("event")?,
            leaf_hash: row.sha256("leaf_hash")?,
        })
    }
}

fn head_of(row: Option<Row>) -> Result<LedgerHead, StoreError> {
    let row = row.ok_or_else(|| StoreError::Corrupt("the ledger's head is missing".into()))?;
    let (size, appender): (u64, Appender) = (row.count("size")?, row.json("appender")?);
    if appender.frontier().size() == size {
        Ok(LedgerHead { size, appender })
    } else {
        Err(StoreError::Corrupt("the ledger's head does not fit its size".into()))
    }
}

impl Tx {
    /// Appends events to the ledger, in order, and writes their notices; answers the first one's place. The head's lock is held already.
    pub(crate) async fn append(&mut self, events: &[NewEvent]) -> Result<u64, StoreError> {
        let row = self.run_one("SELECT size, appender FROM ledger_head WHERE one = 1", Vec::new()).await?;
        let head = head_of(row)?;
        if events.is_empty() {
            return Ok(head.size);
        }
        let mut appender = head.appender;
        for event in events {
            self.append_one(&mut appender, event).await?;
        }
        let state = serde_json::to_string(&appender).map_err(|_| not_json())?;
        let sql = "UPDATE ledger_head SET size = $1, appender = $2 WHERE one = 1";
        self.run(sql, args![appender.frontier().size(), state]).await?;
        self.add_notices(events).await?;
        Ok(head.size)
    }

    async fn append_one(&mut self, appender: &mut Appender, event: &NewEvent) -> Result<(), StoreError> {
        let appended = appender.append(event.draft.clone(), event.id, event.at).map_err(|_| not_json())?;
        let (seq, event) = (appended.event.seq, &appended.event);
        tell_of_withheld(event.code, &appended.withheld);
        let sql = "INSERT INTO ledger_events (seq, id, happened_at, code, actor, event, leaf_hash) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let values = args![
            seq,
            event.id,
            event.at,
            event.code.as_str(),
            event.actor.display_name(),
            appended.leaf.as_slice(),
            appended.hash.as_bytes(),
        ];
        self.run(sql, values).await?;
        let sql = "INSERT INTO ledger_subjects (subject, seq) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        for subject in &event.subjects {
            self.run(sql, args![subject.to_string(), seq]).await?;
        }
        Ok(())
    }
}

/// Somebody writes a fact that the catalogue does not name. In a debug build, and so in every test, that is a failure.
fn tell_of_withheld(code: EventCode, withheld: &[String]) {
    if withheld.is_empty() {
        return;
    }
    metrics::counter!("hoop_ledger_facts_withheld_total", "code" => code.as_str())
        .increment(u64::try_from(withheld.len()).unwrap_or(u64::MAX));
    tracing::error!(%code, facts = ?withheld, "facts were withheld: the catalogue of events does not name them");
    debug_assert!(false, "{code} has facts that crates/ledger/src/catalogue does not name: {withheld:?}");
}

fn not_json() -> StoreError {
    StoreError::Corrupt("an event that cannot be written as JSON".into())
}

impl Store {
    /// Appends events that go with no change (a refused sign-in, a read of evidence). Answers the first one's place.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; then nothing was appended.
    pub async fn append(&self, events: &[NewEvent]) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let first = tx.append(events).await?;
        tx.commit().await?;
        Ok(first)
    }

    /// Where the ledger stands.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn ledger_head(&self) -> Result<LedgerHead, StoreError> {
        let row = self.read_one("SELECT size, appender FROM ledger_head WHERE one = 1", Vec::new()).await?;
        head_of(row)
    }

    /// Events in order, from `from`, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn events_from(&self, from: u64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let sql = concat!(
            "SELECT ",
            event_columns!(),
            " FROM ledger_events e WHERE e.seq >= $1 ORDER BY e.seq LIMIT $2"
        );
        self.read(sql, args![from, limit]).await?.iter().map(StoredEvent::of).collect()
    }

    /// One event.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] and the usual ones.
    pub async fn event(&self, seq: u64) -> Result<StoredEvent, StoreError> {
        let sql = concat!("SELECT ", event_columns!(), " FROM ledger_events e WHERE e.seq = $1");
        let row = self.read_one(sql, args![seq]).await?.ok_or(StoreError::NotFound("event"))?;
        StoredEvent::of(&row)
    }

    /// Leaf hashes in order, from `from`, at most `limit`: enough to prove inclusion and consistency.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn leaf_hashes(&self, from: u64, limit: u32) -> Result<Vec<Sha256>, StoreError> {
        let sql = "SELECT leaf_hash FROM ledger_events WHERE seq >= $1 ORDER BY seq LIMIT $2";
        self.read(sql, args![from, limit]).await?.iter().map(|row| row.sha256("leaf_hash")).collect()
    }

    /// Events that fit a filter, newest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn search_events(&self, filter: &EventFilter) -> Result<Vec<StoredEvent>, StoreError> {
        let mut values = args![
            filter.before,
            filter.code.as_deref(),
            filter.actor.as_deref(),
            filter.since,
            filter.until,
            filter.limit,
        ];
        let sql = match &filter.subject {
            None => SEARCH,
            Some(subject) => {
                values.push(subject.as_str().into());
                SEARCH_SUBJECT
            }
        };
        self.read(sql, values).await?.iter().map(StoredEvent::of).collect()
    }

    /// Keeps a checkpoint. One of the same size with the same root is kept once.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when another root was signed for that size.
    pub async fn save_checkpoint(&self, checkpoint: &StoredCheckpoint) -> Result<(), StoreError> {
        let sql = "INSERT INTO checkpoints (size, root, note, signed_at) VALUES ($1, $2, $3, $4) \
             ON CONFLICT (size) DO NOTHING";
        let checkpoint_values =
            args![checkpoint.size, &checkpoint.root, checkpoint.note.as_str(), checkpoint.at];
        self.write(sql, checkpoint_values).await?;
        let kept =
            self.read_one("SELECT root FROM checkpoints WHERE size = $1", args![checkpoint.size]).await?;
        match kept {
            Some(row) if row.sha256("root")? == checkpoint.root => Ok(()),
            _ => Err(Conflict::Changed.into()),
        }
    }

    /// The largest checkpoint.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`], [`StoreError::Corrupt`].
    pub async fn latest_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        let sql = "SELECT size, root, note, signed_at FROM checkpoints ORDER BY size DESC LIMIT 1";
        self.read_one(sql, Vec::new()).await?.map(|row| StoredCheckpoint::of(&row)).transpose()
    }
}
