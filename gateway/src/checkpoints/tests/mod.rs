//! Receivers and witnesses against real servers, some of which misbehave. The clock is the test's own.

mod sinks;
mod witnesses;

use std::{
    path::Path,
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use hoop_ledger::{Checkpoint, CheckpointKey, Draft, EventCode, SignedCheckpoint};
use hoop_model::{Actor, Timestamp};
use hoop_recording::SigningKey;
use hoop_store::{NewEvent, Store, StoredCheckpoint};

use super::{
    Publishing, Receiver,
    worker::{self, Turn},
};
use crate::config::{Config, Layers};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ORIGIN: &str = "hoop.test/ledger";
const START: i64 = 1_700_000_000_000_000;

/// A ledger that is signed when the test says so.
pub(super) struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    key: SigningKey,
    micros: AtomicI64,
}

impl Bench {
    async fn new() -> Self {
        Self::signed_by(SigningKey::generate().unwrap()).await
    }

    async fn signed_by(key: SigningKey) -> Self {
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("secret"), SECRET).unwrap();
        let store = Store::open(&format!("sqlite:{}", folder.path().join("x.db").display())).await.unwrap();
        Self { folder, store, key, micros: AtomicI64::new(START) }
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Receivers as they stand in a file; `DIR` is the folder.
    fn receivers(&self, text: &str) -> Vec<std::sync::Arc<Receiver>> {
        let text = text.replace("DIR", &self.folder.path().display().to_string());
        let mut layers = Layers::default();
        layers.read_toml(&text, Path::new("gw.toml")).unwrap();
        let mut config = Config::from_layers(&layers).unwrap();
        config.public_host = "hoop.test".to_owned();
        Publishing::new(&config, None).receivers().to_vec()
    }

    fn sink(&self, lines: &str) -> std::sync::Arc<Receiver> {
        self.receivers(&format!("[[ledger.publish]]\nname='ops'\n{lines}")).remove(0)
    }

    fn verifier(&self) -> CheckpointKey {
        CheckpointKey::new(ORIGIN, self.key.verifying_key()).unwrap()
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.micros.fetch_add(1, Ordering::Relaxed))
    }

    /// Appends so many events, signs, and answers the note.
    async fn grow(&self, count: usize) -> SignedCheckpoint {
        let event = |_| NewEvent::new(self.now(), Draft::new(Actor::System, EventCode::GatewayStopped));
        self.store.append(&(0..count).map(event).collect::<Vec<_>>()).await.unwrap();
        assert!(self.store.keep_subtrees(100).await.unwrap());
        let head = self.store.ledger_head().await.unwrap();
        let root = head.appender.frontier().root();
        let signed = Checkpoint::new(ORIGIN, head.size, root).unwrap().sign(&self.key);
        let stored = StoredCheckpoint {
            size: head.size,
            root: *root.as_bytes(),
            note: signed.to_string(),
            at: self.now(),
        };
        self.store.save_checkpoint(&stored).await.unwrap();
        signed
    }

    async fn turn(&self, receiver: &Receiver) -> Turn {
        worker::turn(&self.store, receiver, &|| self.now()).await.unwrap()
    }

    /// One turn that fails, and why.
    async fn failure(&self, receiver: &Receiver) -> String {
        let turn = self.turn(receiver).await;
        assert!(matches!(turn, Turn::Failed(_)), "{turn:?}");
        let stands = self.store.receiver(receiver.kind, &receiver.name).await.unwrap();
        assert!(stands.failing_since.is_some());
        stands.last_error.unwrap()
    }
}

#[test]
fn pauses_grow_and_end() {
    let seconds = |attempts| worker::pause(attempts, 128).as_secs();
    assert_eq!([1, 2, 3, 4].map(seconds), [2, 4, 8, 16]);
    for attempts in [9, 40, u32::MAX] {
        assert!((240..=360).contains(&seconds(attempts)));
    }
    assert!(worker::pause(1, 0) < worker::pause(1, 255));
    assert!(worker::pause(1, 0) > Duration::from_secs(1));
}
