//! The store of objects that recordings go to: one object for each size of the ledger, never written again, and locked
//! for as long as recordings are kept.

use std::sync::Arc;

use bytes::Bytes;
use hoop_ledger::SignedCheckpoint;
use hoop_model::Timestamp;
use hoop_policy::rules::Retention;

use super::Undelivered;
use crate::recordings::{ObjectError, Objects};

/// Where the objects are.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) objects: Arc<Objects>,
    pub(super) prefix: String,
    pub(super) retention: Option<Retention>,
}

impl Kept {
    /// Sizes have as many digits as the largest: names sort as the ledger grew.
    fn name(&self, size: u64) -> String {
        format!("{}/{size:020}.checkpoint", self.prefix)
    }

    /// Puts a note, unless there is one for this size; that one must say the same, whoever else signed it.
    pub(super) async fn keep(
        &self,
        size: u64,
        note: &SignedCheckpoint,
        at: Timestamp,
    ) -> Result<(), Undelivered> {
        let (name, note) = (self.name(size), note.to_string());
        match self.objects.put_once(&name, Bytes::from(note.clone())).await {
            Ok(()) => {}
            Err(ObjectError::Exists) => {
                let there = self.objects.small(&name).await.map_err(Undelivered::Objects)?;
                if signed_part(&there) != signed_part(note.as_bytes()) {
                    return Err(Undelivered::Another { size });
                }
            }
            Err(error) => return Err(Undelivered::Objects(error)),
        }
        let Some(retention) = self.retention else { return Ok(()) };
        self.objects.lock_until(&name, at.after(retention.duration())).await.map_err(Undelivered::Objects)
    }
}

/// What signatures are for: the text up to the empty line.
fn signed_part(note: &[u8]) -> &[u8] {
    let end = note.windows(2).position(|two| two == b"\n\n").unwrap_or(note.len());
    note.get(..end).unwrap_or(note)
}

#[cfg(test)]
mod tests {
    use super::signed_part;

    #[test]
    fn only_what_is_signed_is_compared() {
        assert_eq!(signed_part(b"o\n1\nr\n\nsig\n"), signed_part(b"o\n1\nr\n\nsig\nanother\n"));
        assert_ne!(signed_part(b"o\n1\nr\n\nsig\n"), signed_part(b"o\n1\ns\n\nsig\n"));
        assert_ne!(signed_part(b"o\n1\nr\n\nsig\n"), signed_part(b""));
    }
}
