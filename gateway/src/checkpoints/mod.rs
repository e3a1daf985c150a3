//! Checkpoints leave the gateway: receivers keep them, witnesses sign them. Whoever holds the ledger and its key can
//! rewrite both; what is kept elsewhere shows it.
//!
//! Each receiver has a task of its own ([`worker`]), which sends the newest checkpoint and nothing older: it stands for
//! all before it. Of several gateways any may be the one that sends; a checkpoint may arrive twice.
//!
//! - `file`, `objects`, `syslog`, `webhook`: how it is kept. `witness`: how it is signed. `worker`: when.

mod file;
mod objects;
mod syslog;
mod webhook;
mod witness;
pub(crate) mod worker;

#[cfg(test)]
mod tests;

use std::{path::PathBuf, sync::Arc, time::Duration};

use hoop_ledger::SignedCheckpoint;
use hoop_model::{ChannelName, Redacted, Timestamp};
use hoop_store::{ReceiverKind, Store, StoreError, StoredCheckpoint};
use reqwest::Client;
use tokio::sync::watch;

use crate::{
    config::{
        Config, Sink, Witness,
        ledger::{Syslog, To},
    },
    notices::{Secrets, SendError, post},
    recordings::{ObjectError, Objects},
};

/// One attempt, from the first byte to the last.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a receiver did not take a checkpoint. Shown to admins, kept in the store: no URL, nothing that a server said.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Undelivered {
    /// HTTP.
    #[error(transparent)]
    Http(#[from] SendError),
    /// A file.
    #[error("the file cannot be written: {0}")]
    File(std::io::Error),
    /// A syslog server.
    #[error("the syslog server cannot be reached: {0}")]
    Syslog(std::io::Error),
    /// A store of objects.
    #[error(transparent)]
    Objects(ObjectError),
    /// Another history, in a store of objects.
    #[error(
        "a checkpoint of {size} events is kept there that says something else: the ledger was forked or rewritten"
    )]
    Another {
        /// Of how many events.
        size: u64,
    },
    /// Nothing came of it in time.
    #[error("it did not take it within {} s", PATIENCE.as_secs())]
    TooSlow,
    /// The witness signed a larger ledger.
    #[error(
        "the witness has signed a ledger of {theirs} events, and this one has {ours}: it was rolled back"
    )]
    RolledBack {
        /// What the witness knows.
        theirs: u64,
        /// What there is.
        ours: u64,
    },
    /// The witness saw another history.
    #[error("the witness has signed another history than this one: the ledger was forked or rewritten")]
    Forked,
    /// The witness has no such log.
    #[error("the witness does not know this ledger or its key (status {0})")]
    Unknown(u16),
    /// It said yes, and did not sign.
    #[error("the witness answered without a cosignature that its key verifies")]
    NotSigned,
    /// An older ledger is being prepared for proofs.
    #[error("the ledger is being prepared for proofs")]
    NotReady,
    /// Our own.
    #[error("the checkpoint in the store cannot be read")]
    Malformed,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Undelivered {
    /// Somebody says that history changed: not a fault of the network.
    const fn is_alarm(&self) -> bool {
        matches!(self, Self::RolledBack { .. } | Self::Forked | Self::Another { .. })
    }
}

/// All receivers, and when there is something new for them.
#[derive(Debug)]
pub(crate) struct Publishing {
    receivers: Vec<Arc<Receiver>>,
    signed: watch::Sender<u64>,
}

/// A receiver, ready to be spoken to.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) kind: ReceiverKind,
    pub(crate) name: ChannelName,
    /// Its kind, as the configuration calls it.
    pub(crate) word: &'static str,
    /// What was wrong at the start stays wrong, and is told at each attempt.
    way: Result<Way, String>,
    patience: Duration,
}

/// How a receiver is spoken to. Another kind of store is another variant, and a line in [`Way::deliver`].
#[derive(Debug)]
enum Way {
    File(PathBuf),
    Objects(objects::Kept),
    Syslog { server: Syslog, host: String },
    Webhook { client: Client, url: Redacted<String>, secrets: Secrets },
    Witness(witness::Asked),
}

impl Publishing {
    /// The receivers of the configuration; `objects` is where recordings go.
    pub(crate) fn new(config: &Config, objects: Option<&Arc<Objects>>) -> Self {
        let sinks = config.publish.iter().map(|sink| Receiver::sink(sink, config, objects, PATIENCE));
        let witnesses = config.witnesses.iter().map(|witness| Receiver::witness(witness, PATIENCE));
        Self { receivers: sinks.chain(witnesses).map(Arc::new).collect(), signed: watch::Sender::new(0) }
    }

    pub(crate) fn receivers(&self) -> &[Arc<Receiver>] {
        &self.receivers
    }

    /// There is a checkpoint of this size: whoever sends it need not look for it.
    pub(crate) fn signed(&self, size: u64) {
        self.signed.send_modify(|newest| *newest = size.max(*newest));
    }
}

impl Receiver {
    fn sink(sink: &Sink, config: &Config, objects: Option<&Arc<Objects>>, patience: Duration) -> Self {
        let way = match &sink.to {
            To::File(path) => Ok(Way::File(path.clone())),
            To::Objects { prefix } => objects
                .map(|objects| {
                    let (objects, prefix) = (Arc::clone(objects), prefix.clone());
                    Way::Objects(objects::Kept { objects, prefix, retention: config.recordings.retention })
                })
                .ok_or_else(|| "recordings do not go to a store of objects".to_owned()),
            To::Syslog(server) => {
                Ok(Way::Syslog { server: server.clone(), host: config.public_host.clone() })
            }
            To::Webhook { url, secrets, ca } => post::client(ca.as_ref(), patience)
                .map(|client| Way::Webhook { client, url: url.clone(), secrets: secrets.clone() })
                .map_err(|error| error.to_string()),
        };
        Self::new(ReceiverKind::Sink, &sink.name, sink.kind(), way, patience)
    }

    fn witness(witness: &Witness, patience: Duration) -> Self {
        let client = post::client(witness.ca.as_ref(), patience);
        let way = client.map(|client| Way::Witness(witness::Asked::new(witness, client)));
        let way = way.map_err(|error| error.to_string());
        Self::new(ReceiverKind::Witness, &witness.name, "witness", way, patience)
    }

    fn new(
        kind: ReceiverKind,
        name: &ChannelName,
        word: &'static str,
        way: Result<Way, String>,
        patience: Duration,
    ) -> Self {
        if let Err(error) = &way {
            tracing::error!(receiver = %name, error, "no checkpoint can go to this receiver");
        }
        Self { kind, name: name.clone(), word, way, patience }
    }

    /// One attempt; it ends within the time it has.
    async fn deliver(
        &self,
        store: &Store,
        checkpoint: &StoredCheckpoint,
        known: u64,
        at: Timestamp,
    ) -> Result<(), Undelivered> {
        let way = self.way.as_ref().map_err(|error| SendError::Setup(error.clone()))?;
        let delivering = way.deliver(store, checkpoint, known, at);
        tokio::time::timeout(self.patience, delivering).await.unwrap_or(Err(Undelivered::TooSlow))
    }
}

impl Way {
    /// Cancel safe in so far as what was cancelled is sent again.
    async fn deliver(
        &self,
        store: &Store,
        checkpoint: &StoredCheckpoint,
        known: u64,
        at: Timestamp,
    ) -> Result<(), Undelivered> {
        if let Self::Witness(witness) = self {
            return witness.ask(store, checkpoint, known).await;
        }
        let note = cosigned(store, checkpoint).await?;
        match self {
            Self::File(path) => file::append(path.clone(), note.to_string()).await,
            Self::Objects(kept) => kept.keep(checkpoint.size, &note, at).await,
            Self::Syslog { server, host } => {
                let message = syslog::message(host, at, &note);
                syslog::send(server, message.as_bytes()).await.map_err(Undelivered::Syslog)
            }
            Self::Webhook { client, url, secrets } => {
                let (headers, body) = webhook::request(secrets, at, checkpoint, &note);
                Ok(post::post(client, url, headers, body).await?)
            }
            Self::Witness(_) => Ok(()),
        }
    }
}

/// The note with what witnesses have signed under it by now.
pub(crate) async fn cosigned(
    store: &Store,
    checkpoint: &StoredCheckpoint,
) -> Result<SignedCheckpoint, Undelivered> {
    let mut note: SignedCheckpoint = checkpoint.note.parse().map_err(|_| Undelivered::Malformed)?;
    for cosignature in store.cosignatures(checkpoint.size).await? {
        let line = cosignature.line.parse().map_err(|_| Undelivered::Malformed)?;
        note = note.with(line).map_err(|_| Undelivered::Malformed)?;
    }
    Ok(note)
}
