//! An upload in parts, which goes on after a restart: what was sent stands in a small file beside the recording.
//!
//! The file is a help, not a truth: without it the upload begins anew.

use std::{fs, io, path::PathBuf, sync::Arc};

use tokio::fs as on_disk;

use bytes::Bytes;
use hoop_model::SessionId;
use serde::{Deserialize, Serialize};

use super::{ObjectError, Objects, Recordings};

/// Bytes of a part. The store takes 10,000 of them: 80 GiB, more than a recording may have.
pub(super) const PART: u64 = 8 << 20;

/// What was sent so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Sent {
    id: String,
    part: u64,
    parts: Vec<String>,
}

impl Sent {
    fn bytes(&self) -> u64 {
        self.parts.len() as u64 * self.part
    }
}

/// An upload of one session's recording.
pub(super) struct Upload<'a> {
    recordings: &'a Arc<Recordings>,
    objects: &'a Objects,
    session: SessionId,
}

impl<'a> Upload<'a> {
    pub(super) const fn new(
        recordings: &'a Arc<Recordings>,
        objects: &'a Objects,
        session: SessionId,
    ) -> Self {
        Self { recordings, objects, session }
    }

    /// Sends the parts that are whole, of a recording that still grows. So much of it is durable.
    pub(super) async fn advance(&self, durable: u64) -> Result<(), ObjectError> {
        if durable >= PART {
            self.send(durable).await?;
        }
        Ok(())
    }

    /// Sends what is missing and completes the object.
    pub(super) async fn finish(&self, length: u64) -> Result<(), ObjectError> {
        let mut sent = self.send(length).await?;
        let rest = length.saturating_sub(sent.bytes());
        if rest > 0 {
            let bytes = self.piece(sent.bytes(), rest).await?;
            sent.parts.push(self.part(&sent, bytes).await?);
            // Not kept: the last part is shorter than a part, and sent again after a restart.
        }
        let completed = self.objects.complete(self.session, &sent.id, &sent.parts).await;
        if matches!(completed, Err(ObjectError::Exists)) {
            self.give_up(&sent.id).await;
        }
        self.lost(&completed).await;
        completed
    }

    /// Forgets it, and has the store forget it.
    pub(super) async fn give_up(&self, id: &str) {
        if let Err(error) = self.objects.abort(self.session, id).await {
            tracing::warn!(%error, session.id = %self.session, "an upload that nobody needs is still at the object store");
        }
        self.forget().await;
    }

    /// Nobody needs it any more, if there is one.
    pub(super) async fn abandon(&self) {
        if let Some(sent) = self.kept().await {
            self.give_up(&sent.id).await;
        }
    }

    /// Whole parts up to `length`.
    async fn send(&self, length: u64) -> Result<Sent, ObjectError> {
        let mut sent = self.known(length).await?;
        while length.saturating_sub(sent.bytes()) >= PART {
            let bytes = self.piece(sent.bytes(), PART).await?;
            let part = self.part(&sent, bytes).await?;
            sent.parts.push(part);
            self.keep(&sent).await.map_err(|error| ObjectError::Failed(error.to_string()))?;
            self.recordings.backlog.moved();
        }
        Ok(sent)
    }

    async fn part(&self, sent: &Sent, bytes: Bytes) -> Result<String, ObjectError> {
        let part = self.objects.part(self.session, &sent.id, sent.parts.len(), bytes).await;
        self.lost(&part).await;
        part
    }

    /// The store does not know the upload any more: the next try begins anew.
    async fn lost<T>(&self, outcome: &Result<T, ObjectError>) {
        if matches!(outcome, Err(ObjectError::Absent)) {
            self.forget().await;
        }
    }

    async fn known(&self, length: u64) -> Result<Sent, ObjectError> {
        match self.kept().await {
            Some(sent) if sent.part == PART && sent.bytes() <= length => return Ok(sent),
            // Another size, or more than there is: a recording that was put back from a backup.
            Some(sent) => self.give_up(&sent.id).await,
            None => {}
        }
        let sent = Sent { id: self.objects.begin(self.session).await?, part: PART, parts: Vec::new() };
        self.keep(&sent).await.map_err(|error| ObjectError::Failed(error.to_string()))?;
        Ok(sent)
    }

    async fn piece(&self, offset: u64, length: u64) -> Result<Bytes, ObjectError> {
        let session = self.session;
        let read = move |all: &Recordings| {
            let length = usize::try_from(length).map_err(io::Error::other)?;
            super::Source::File(all.staging.read(session)?).exactly(offset, length)
        };
        self.recordings.in_folder(read).await
    }

    async fn kept(&self) -> Option<Sent> {
        serde_json::from_slice(&on_disk::read(path(self.recordings, self.session)).await.ok()?).ok()
    }

    async fn keep(&self, sent: &Sent) -> io::Result<()> {
        let path = path(self.recordings, self.session);
        let new = path.with_extension("upload-new");
        on_disk::write(&new, serde_json::to_vec(sent)?).await?;
        on_disk::rename(new, path).await
    }

    pub(super) async fn forget(&self) {
        let _ = on_disk::remove_file(path(self.recordings, self.session)).await;
    }
}

fn path(recordings: &Recordings, session: SessionId) -> PathBuf {
    recordings.staging.path(session).with_extension("upload")
}

/// Bytes of a recording that the store has already. Blocks.
pub(super) fn sent_bytes(recordings: &Recordings, session: SessionId) -> u64 {
    let kept = fs::read(path(recordings, session)).ok();
    kept.and_then(|json| serde_json::from_slice::<Sent>(&json).ok()).map_or(0, |sent| sent.bytes())
}
