//! Witnesses: C2SP `tlog-witness`, `POST PREFIX/add-checkpoint`.
//!
//! The witness is sent the size that it signed last, the proof that the ledger grew from there, and the checkpoint. If we
//! do not know that size (a first time, a lost answer, another gateway that was faster), it says it (409), and is asked
//! again. What it will never sign is a ledger that is smaller than, or does not begin with, what it signed before: that is
//! what it is there for.
//!
//! <https://c2sp.org/tlog-witness>

use hoop_ledger::{
    Plan, SignedCheckpoint, WitnessKey,
    cosignature::{add_checkpoint, own_line},
};
use hoop_model::{ChannelName, Redacted};
use hoop_store::{Cosignature, Store, StoredCheckpoint};
use reqwest::{Client, Response, StatusCode};

use super::Undelivered;
use crate::{
    config::Witness,
    notices::{SendError, post},
};

/// Longest answer.
const LONGEST: usize = 16 << 10;
/// Attempts with the size that it says: one more than the first, and one for another gateway that comes in between.
const ATTEMPTS: u32 = 3;

/// A witness, ready to be asked.
#[derive(Debug)]
pub(super) struct Asked {
    name: ChannelName,
    url: Redacted<String>,
    key: WitnessKey,
    client: Client,
}

/// What a witness says.
enum Answer {
    /// Signature lines.
    Signed(String),
    /// It signed this size last.
    Knows(u64),
}

impl Asked {
    pub(super) fn new(witness: &Witness, client: Client) -> Self {
        let url = format!("{}/add-checkpoint", witness.url.expose().trim_end_matches('/'));
        Self { name: witness.name.clone(), url: Redacted::new(url), key: witness.key.clone(), client }
    }

    /// Asks for a cosignature, and keeps it. `known`: the size that it signed last, as far as we know.
    pub(super) async fn ask(
        &self,
        store: &Store,
        checkpoint: &StoredCheckpoint,
        known: u64,
    ) -> Result<(), Undelivered> {
        let mut note = parsed(checkpoint)?;
        let mut old = known.min(checkpoint.size);
        for _ in 0..ATTEMPTS {
            match self.send(store, &note, old).await? {
                Answer::Signed(lines) => return self.keep(store, &note, &lines).await,
                Answer::Knows(theirs) if theirs == old => return Err(Undelivered::Forked),
                Answer::Knows(theirs) => {
                    if theirs > note.unverified().size {
                        note = newest(store, theirs).await?;
                    }
                    old = theirs;
                }
            }
        }
        // Each time it knew of more: others send to it as well, and we try again later.
        Err(SendError::Answered(StatusCode::CONFLICT.as_u16()).into())
    }

    async fn send(&self, store: &Store, note: &SignedCheckpoint, old: u64) -> Result<Answer, Undelivered> {
        let plan = Plan::consistency(old, note.unverified().size).map_err(|_| Undelivered::Malformed)?;
        let proof = store.proof(&plan).await?.ok_or(Undelivered::NotReady)?;
        let body = add_checkpoint(old, &proof, note);
        let answer = self.client.post(self.url.expose()).body(body).send().await.map_err(post::failed)?;
        let status = answer.status();
        match status {
            StatusCode::OK => Ok(Answer::Signed(text(answer).await?)),
            StatusCode::CONFLICT => {
                let size = text(answer).await?.trim_end().parse();
                Ok(Answer::Knows(size.map_err(|_| SendError::Answered(status.as_u16()))?))
            }
            StatusCode::UNPROCESSABLE_ENTITY => Err(Undelivered::Forked),
            StatusCode::NOT_FOUND | StatusCode::FORBIDDEN => Err(Undelivered::Unknown(status.as_u16())),
            _ if status.is_redirection() => Err(SendError::Redirected(status.as_u16()).into()),
            _ => Err(SendError::Answered(status.as_u16()).into()),
        }
    }

    async fn keep(&self, store: &Store, note: &SignedCheckpoint, lines: &str) -> Result<(), Undelivered> {
        let (line, signed_at) = own_line(lines, note, &self.key).ok_or(Undelivered::NotSigned)?;
        let (size, witness) = (note.unverified().size, self.name.clone());
        store.keep_cosignature(&Cosignature { size, witness, line: line.to_string(), signed_at }).await?;
        Ok(())
    }
}

fn parsed(checkpoint: &StoredCheckpoint) -> Result<SignedCheckpoint, Undelivered> {
    checkpoint.note.parse().map_err(|_| Undelivered::Malformed)
}

/// The witness signed more than we sent. Another gateway on this store may have been faster: only if the store has less
/// than that too was it rolled back.
async fn newest(store: &Store, theirs: u64) -> Result<SignedCheckpoint, Undelivered> {
    let newest = store.latest_checkpoint().await?.ok_or(Undelivered::Malformed)?;
    if newest.size < theirs {
        return Err(Undelivered::RolledBack { theirs, ours: newest.size });
    }
    parsed(&newest)
}

/// The body, as far as it may go.
async fn text(mut answer: Response) -> Result<String, Undelivered> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(post::failed)? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > LONGEST {
            return Err(Undelivered::NotSigned);
        }
    }
    String::from_utf8(bytes).map_err(|_| Undelivered::NotSigned)
}
