//! What goes wrong between a backup and its restore, without processes: files that are in the way or change, backups of
//! somebody else's making, recordings that leave the folder meanwhile.

use std::{io::Write as _, path::PathBuf};

use hoop_ledger::{Checkpoint, Hash};
use hoop_model::{AgentId, SessionId};
use hoop_recording::SigningKey;
use hoop_store::StoredCheckpoint;
use serde_json::json;

use super::*;
use crate::{bootstrap, config::Config, hub::now};

/// A gateway's folder, with a key for backups.
struct Bench {
    folder: tempfile::TempDir,
    config: Config,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = Config::in_folder(&folder.path().join("gateway")).unwrap();
        make_key(&config.data_dir, &folder.path().join("backup.pem")).unwrap();
        Self { folder, config }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn backup(&self, name: &str) -> Made {
        make(&self.config, &self.path(name), None, false).await.unwrap()
    }

    /// Signs the ledger, or one of as many other events.
    async fn sign(&self, root: Option<Hash>) {
        let (store, keys) = bootstrap::open(&self.config).await.unwrap();
        store
            .append(&[crate::hub::event(
                &hoop_model::Actor::System,
                hoop_ledger::EventCode::GatewayBackedUp,
                [],
                json!({ "with_keys": false }),
            )])
            .await
            .unwrap();
        let head = store.ledger_head().await.unwrap();
        let root = root.unwrap_or_else(|| head.appender.frontier().root());
        let name = ledger_name(&self.config.public_host);
        let note = Checkpoint::new(&name, head.size, root).unwrap().sign(&keys.checkpoint).to_string();
        let stored = StoredCheckpoint { size: head.size, root: *root.as_bytes(), note, at: now() };
        store.save_checkpoint(&stored).await.unwrap();
        store.close().await;
    }

    fn wanted(&self, name: &str, ledger_key: Option<&CheckpointKey>) -> Restore {
        Restore {
            from: self.path(name),
            key: self.path("backup.pem"),
            into: self.path("restored"),
            store: None,
            ledger_key: ledger_key.cloned(),
            accept_unproven: false,
            accept_findings: false,
        }
    }

    /// What is in the folder beside the gateway.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }
}

async fn refused(wanted: &Restore) -> BackupError {
    let error = restore(wanted).await.unwrap_err();
    assert!(!wanted.into.exists(), "{error}");
    error
}

fn unproven(error: &BackupError, word: &str) -> bool {
    matches!(error, BackupError::Unproven(why) if why.contains(word))
}

#[test]
fn a_pair_of_keys_is_whole_or_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let (data, public) = (folder.path().join("gateway"), folder.path().join("gateway/keys/backup.pub.pem"));
    // A stick that is not there.
    assert!(make_key(&data, &folder.path().join("stick/backup.pem")).is_err());
    assert!(!public.exists());
    let private = folder.path().join("backup.pem");
    let key = make_key(&data, &private).unwrap();
    let first = fs::read_to_string(&public).unwrap();
    // A public half is there: the new private one would be nobody's.
    let second = folder.path().join("second.pem");
    assert!(make_key(&data, &second).is_err() && !second.exists());
    // A private half is there, and is not written over.
    fs::remove_file(&public).unwrap();
    assert!(make_key(&data, &private).is_err() && !public.exists());
    let kept = RecordingPrivateKey::from_pem(&fs::read_to_string(&private).unwrap()).unwrap();
    assert_eq!((kept.public().to_pem(), kept.public().id().to_string()), (first, key));
}

#[tokio::test]
async fn only_what_the_ledger_key_signed_is_restored() {
    let bench = Bench::new();
    let early = bench.backup("early").await;
    bench.sign(None).await;
    let key = bench.backup("late").await.ledger_key;
    assert_eq!(early.ledger_key, key);
    // Without the key: it says whose it is by its own account.
    assert!(unproven(&refused(&bench.wanted("late", None)).await, &key.to_string()));
    // Events, and nothing signed of them.
    assert!(unproven(&refused(&bench.wanted("early", Some(&key))).await, "accept-unproven"));
    let checked = restore(&bench.wanted("late", Some(&key))).await.unwrap();
    assert_eq!((checked.signed_by, checked.proven), (key, true));
}

#[tokio::test]
async fn a_clean_backup_of_somebody_else_is_refused_whatever_is_accepted() {
    let (bench, other) = (Bench::new(), Bench::new());
    bench.sign(None).await;
    other.sign(None).await;
    let key = bench.backup("ours").await.ledger_key;
    // Whoever reads the public half makes one that this private half opens.
    let public = bench.config.data_dir.join(PUBLIC_KEY);
    let theirs = make(&other.config, &bench.path("theirs"), Some(&public), false).await.unwrap();
    let mut wanted = bench.wanted("theirs", Some(&key));
    (wanted.accept_unproven, wanted.accept_findings) = (true, true);
    let error = refused(&wanted).await;
    assert!(unproven(&error, &theirs.ledger_key.to_string()) && unproven(&error, &key.to_string()));
    // In its word alone it is good: that is why its word alone is not taken.
    wanted.ledger_key = None;
    assert!(restore(&wanted).await.unwrap().findings.is_empty());
}

#[tokio::test]
async fn a_checkpoint_over_another_ledger_proves_nothing() {
    let bench = Bench::new();
    bench.sign(Some(Hash::of(b"another"))).await;
    let key = bench.backup("b").await.ledger_key;
    let mut wanted = bench.wanted("b", Some(&key));
    assert!(matches!(refused(&wanted).await, BackupError::Unproven(_)));
    wanted.accept_unproven = true;
    assert!(matches!(refused(&wanted).await, BackupError::Findings(_)));
}

#[tokio::test]
async fn a_file_that_changes_between_the_readings_is_not_restored() {
    let bench = Bench::new();
    bench.sign(None).await;
    let key = bench.backup("first").await.ledger_key;
    bench.backup("second").await;
    let wanted = bench.wanted("first", Some(&key));
    let source = restore::Source::open(&wanted).unwrap();
    let (checked, seal) = restore::read(&source).unwrap();
    // Another good backup of the same gateway, in the same file.
    fs::write(&wanted.from, fs::read(bench.path("second")).unwrap()).unwrap();
    let beside = bench.path("beside");
    fs::create_dir(&beside).unwrap();
    let error = restore::fill(&wanted, &source, &checked, &seal, &beside).await.unwrap_err();
    assert!(matches!(&error, BackupError::Unusable(why) if why.contains("changed")), "{error}");
    let store =
        hoop_store::Store::open(&format!("sqlite:{}", beside.join("hoop.db").display())).await.unwrap();
    assert_eq!(store.ledger_head().await.unwrap().size, 0);
}

#[tokio::test]
async fn a_file_that_is_laid_in_its_place_is_not_read() {
    let bench = Bench::new();
    bench.sign(None).await;
    let key = bench.backup("first").await.ledger_key;
    let wanted = bench.wanted("first", Some(&key));
    let source = restore::Source::open(&wanted).unwrap();
    let (checked, seal) = restore::read(&source).unwrap();
    fs::remove_file(&wanted.from).unwrap();
    fs::write(&wanted.from, "another").unwrap();
    let beside = bench.path("beside");
    fs::create_dir(&beside).unwrap();
    restore::fill(&wanted, &source, &checked, &seal, &beside).await.unwrap();
}

#[test]
fn what_was_restored_stays_when_it_cannot_be_moved() {
    let folder = tempfile::tempdir().unwrap();
    let (beside, into) = (folder.path().join("x.restoring"), folder.path().join("x"));
    fs::create_dir_all(beside.join("recordings")).unwrap();
    fs::create_dir(&into).unwrap();
    fs::write(into.join("in the way"), "").unwrap();
    let error = restore::place(&beside, &into).unwrap_err();
    assert!(error.to_string().contains(beside.to_str().unwrap()), "{error}");
    assert!(beside.join("recordings").exists() && into.join("in the way").exists());
    fs::remove_file(into.join("in the way")).unwrap();
    restore::place(&beside, &into).unwrap();
    assert!(into.join("recordings").exists() && !beside.exists());
}

#[tokio::test]
async fn two_backups_to_one_file_do_not_meet() {
    let bench = Bench::new();
    let to = bench.path("b");
    // Where the unfinished one was to be found by its name, somebody laid a link.
    std::os::unix::fs::symlink(bench.path("victim"), bench.path("b.partial")).unwrap();
    let (first, second) = (make::Partial::create(&to).unwrap(), make::Partial::create(&to).unwrap());
    bench.backup("b").await;
    let bytes = fs::read(&to).unwrap();
    assert!(matches!(first.keep_as(&to), Err(BackupError::Target(_))));
    drop(second);
    assert!(fs::read(&to).unwrap() == bytes);
    assert_eq!(bench.names(), ["b", "b.partial", "backup.pem", "gateway"]);
    // A name that leads nowhere is a name too.
    std::os::unix::fs::symlink(bench.path("nowhere"), bench.path("c")).unwrap();
    let error = make(&bench.config, &bench.path("c"), None, false).await.unwrap_err();
    assert!(matches!(error, BackupError::Target(_)) && !bench.path("nowhere").exists(), "{error}");
}

/// The lines of a backup with one session that ended, and more about it.
fn checked(more: &[serde_json::Value]) -> Result<Checked, BackupError> {
    let (session, agent) = (bytes(SESSION.as_bytes()), bytes(AgentId::from_bytes([7; 16]).as_bytes()));
    let columns = json!([["id", "bytes"], ["agent_id", "bytes"], ["state", "text"], ["manifest", "bytes"]]);
    let mut lines = vec![
        json!({ "backup": 1, "version": "1", "schema": [1], "origin": "hoop.test" }),
        json!({ "table": "sessions", "columns": columns }),
        json!([session, agent, "ended", bytes(b"{}")]),
        json!({ "rows": 1 }),
    ];
    lines.extend_from_slice(more);
    lines.push(json!({ "end": Counts { tables: 1, rows: 1, recordings: 0, keys: 0 } }));
    let mut text = Vec::new();
    lines.iter().for_each(|line| writeln!(text, "{line}").unwrap());
    check::check(&*text, &SigningKey::generate().unwrap().verifying_key())
}

const SESSION: SessionId = SessionId::from_bytes([1; 16]);

fn bytes(bytes: &[u8]) -> serde_json::Value {
    json!([hoop_recording::hex::encode(bytes)])
}

#[test]
fn a_recording_that_left_the_folder_meanwhile_is_not_missed_and_any_other_is() {
    let findings = checked(&[]).unwrap().findings;
    assert!(findings.len() == 1 && findings[0].contains("not there"), "{findings:?}");
    let told = json!({ "elsewhere": SESSION });
    assert!(checked(std::slice::from_ref(&told)).unwrap().findings.is_empty());
    let other = json!({ "elsewhere": SessionId::from_bytes([2; 16]) });
    assert!(matches!(checked(&[other]), Err(BackupError::Unusable(_))));
}
