//! Notices: what people are told outside, one row for each channel that it goes to.
//!
//! A notice is written in the transaction of the change that it tells of, by way of the event that it belongs to, and
//! stays until it arrived or is too old. Whoever delivers takes one for a time first ([`Store::take_notice`]), so that two
//! gateways do not both send it, and one that dies gives it back. What a payload means is for others to know.

use std::time::Duration;

use hoop_model::{ChannelName, NoticeId, Timestamp};
use tokio::sync::watch;

use crate::{
    NewEvent, Page, Store, StoreError,
    db::{Row, Tx, args},
};

/// No notice ever waits longer than this: one that seems to was written under a clock that has been set back since.
const LONGEST_WAIT: Duration = Duration::from_secs(2 * 3600);
/// Given up in one transaction.
const GIVEN_UP_AT_ONCE: u32 = 100;
/// Longest text that is kept of an error.
const LONGEST_ERROR: usize = 300;

/// A notice that goes with an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewNotice {
    /// Its id; receivers know by it what they have got already.
    pub id: NoticeId,
    /// By which channel.
    pub channel: ChannelName,
    /// About what, such as `request.created`.
    pub topic: String,
    /// What to tell.
    pub payload: serde_json::Value,
    /// Now.
    pub created_at: Timestamp,
    /// Waits to be taken. Otherwise whoever makes it delivers it, once.
    pub queued: bool,
}

/// How a notice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoticeState {
    /// It is yet to be delivered, from this time on.
    Waiting(Timestamp),
    /// The channel took it.
    Delivered(Timestamp),
    /// Nobody tries any more.
    Failed,
}

/// A notice as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNotice {
    /// Its id.
    pub id: NoticeId,
    /// By which channel.
    pub channel: ChannelName,
    /// About what.
    pub topic: String,
    /// What to tell.
    pub payload: serde_json::Value,
    /// How often it was taken to be delivered.
    pub attempts: u32,
    /// When it was written.
    pub created_at: Timestamp,
    /// How it stands.
    pub state: NoticeState,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
}

/// What waits to be delivered, on all channels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct NoticesWaiting {
    /// How many.
    pub count: u64,
    /// Since when the oldest does.
    pub oldest: Option<Timestamp>,
}

macro_rules! columns {
    () => {
        "id, channel, topic, payload, attempts, created_at, next_at, delivered_at, last_error"
    };
}

impl StoredNotice {
    fn of(row: &Row) -> Result<Self, StoreError> {
        let state = match (row.maybe_time("delivered_at")?, row.maybe_time("next_at")?) {
            (Some(at), _) => NoticeState::Delivered(at),
            (None, Some(at)) => NoticeState::Waiting(at),
            (None, None) => NoticeState::Failed,
        };
        Ok(Self {
            id: row.id("id")?,
            channel: row.name("channel")?,
            topic: row.text("topic")?,
            payload: row.json("payload")?,
            attempts: row.count("attempts")?,
            created_at: row.time("created_at")?,
            state,
            last_error: row.maybe_text("last_error")?,
        })
    }
}

impl NewEvent {
    /// The same event, and people are told of it.
    #[must_use]
    pub fn with_notices(mut self, notices: impl IntoIterator<Item = NewNotice>) -> Self {
        self.notices.extend(notices);
        self
    }
}

impl Tx {
    /// Writes the notices of events that are being appended.
    pub(crate) async fn add_notices(&mut self, events: &[NewEvent]) -> Result<(), StoreError> {
        let sql = "INSERT INTO notices (id, channel, topic, payload, attempts, created_at, next_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7)";
        for new in events.iter().flat_map(|event| &event.notices) {
            let (attempts, next_at) = if new.queued { (0_u32, Some(new.created_at)) } else { (1, None) };
            let values = args![
                new.id,
                &new.channel,
                new.topic.as_str(),
                &new.payload,
                attempts,
                new.created_at,
                next_at
            ];
            self.run(sql, values).await?;
            self.tells_of_notices();
        }
        Ok(())
    }
}

impl Store {
    /// Changes whenever notices were written through this store: the time to look for some.
    #[must_use]
    pub fn notices_written(&self) -> watch::Receiver<u64> {
        self.written().subscribe()
    }

    /// Takes the oldest notice of a channel that is due, until `until`: if nothing is heard of it by then, it is due again.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn take_notice(
        &self,
        channel: &ChannelName,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<StoredNotice>, StoreError> {
        // The outer condition stands for itself: in PostgreSQL it is what a second gateway meets, when the first has committed.
        let sql = concat!(
            "UPDATE notices SET next_at = $3, attempts = attempts + 1 \
             WHERE id = (SELECT id FROM notices WHERE channel = $1 AND (next_at <= $2 OR next_at > $4) \
             ORDER BY id LIMIT 1) AND (next_at <= $2 OR next_at > $4) RETURNING ",
            columns!()
        );
        let never = now.after(LONGEST_WAIT);
        let rows = self.write(sql, args![channel, now, until, never]).await?;
        rows.first().map(StoredNotice::of).transpose()
    }

    /// The channel took it.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn notice_delivered(&self, id: NoticeId, at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE notices SET delivered_at = $2, next_at = NULL, last_error = NULL WHERE id = $1";
        self.write(sql, args![id, at]).await.map(|_| ())
    }

    /// It did not; the next attempt is at `next_at`, or never.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn notice_failed(
        &self,
        id: NoticeId,
        next_at: Option<Timestamp>,
        error: &str,
    ) -> Result<(), StoreError> {
        // One that was given up or delivered meanwhile stays so.
        let sql = "UPDATE notices SET next_at = CASE WHEN next_at IS NULL THEN NULL ELSE $2 END, last_error = $3 \
             WHERE id = $1 AND delivered_at IS NULL";
        let error: String = error.chars().take(LONGEST_ERROR).collect();
        self.write(sql, args![id, next_at, error]).await.map(|_| ())
    }

    /// Gives up those that were written before `before`, the oldest first and a bounded number at once: each with the event
    /// that `tell` makes for it. Answers them. One that is due between `now` and `taken` may have been taken, and is left
    /// alone.
    ///
    /// # Errors
    /// The usual ones; then none was given up.
    pub async fn give_up_notices(
        &self,
        before: Timestamp,
        now: Timestamp,
        taken: Timestamp,
        tell: impl Fn(&StoredNotice) -> NewEvent,
    ) -> Result<Vec<StoredNotice>, StoreError> {
        let mut tx = self.begin().await?;
        let sql = concat!(
            "UPDATE notices SET next_at = NULL WHERE id IN (SELECT id FROM notices \
             WHERE (next_at <= $2 OR next_at > $3) AND created_at < $1 ORDER BY id LIMIT $4) RETURNING ",
            columns!()
        );
        let rows = tx.run(sql, args![before, now, taken, GIVEN_UP_AT_ONCE]).await?;
        let mut lost = rows.iter().map(StoredNotice::of).collect::<Result<Vec<_>, _>>()?;
        if lost.is_empty() {
            return Ok(lost);
        }
        lost.sort_by_key(|notice| notice.id);
        tx.append(&lost.iter().map(tell).collect::<Vec<_>>()).await?;
        tx.commit().await?;
        Ok(lost)
    }

    /// Removes those that were written before `before` and need no attempt any more. Answers how many.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn sweep_notices(&self, before: Timestamp) -> Result<usize, StoreError> {
        let sql = "DELETE FROM notices WHERE next_at IS NULL AND created_at < $1 RETURNING 1 AS gone";
        Ok(self.write(sql, args![before]).await?.len())
    }

    /// What waits, on all channels.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn notices_waiting(&self) -> Result<NoticesWaiting, StoreError> {
        let sql =
            "SELECT COUNT(*) AS count, MIN(created_at) AS oldest FROM notices WHERE next_at IS NOT NULL";
        let Some(row) = self.read_one(sql, Vec::new()).await? else { return Ok(NoticesWaiting::default()) };
        Ok(NoticesWaiting { count: row.count("count")?, oldest: row.maybe_time("oldest")? })
    }

    /// All that are kept, the newest first; `before` is the last one of the page before.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn notices(
        &self,
        before: Option<NoticeId>,
        limit: u32,
    ) -> Result<Page<StoredNotice, NoticeId>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM notices WHERE $1 IS NULL OR id < $1 ORDER BY id DESC LIMIT $2"
        );
        let rows = self.read(sql, args![before, limit + 1]).await?;
        let all = rows.iter().map(StoredNotice::of).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(all, limit, |notice| notice.id))
    }
}
