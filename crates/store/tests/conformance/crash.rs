//! A process that dies in the middle of appending: what it was told is durable is there afterwards.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use hoop_store::Store;

use crate::fixtures::{events, new_user};

const URL: &str = "HOOP_STORE_CRASH_TEST_URL";

/// The process that is killed; not a test by itself.
#[tokio::test]
#[ignore = "started by the crash test"]
async fn child() {
    let Ok(url) = std::env::var(URL) else { return };
    let store = Store::open(&url).await.unwrap();
    for number in 0.. {
        store.create_user(&new_user(&format!("u{number}")), &events(2)).await.unwrap();
        println!("kept {number}");
        std::io::stdout().flush().unwrap();
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("x.db").display());
    for round in 1..=3_u64 {
        let file = folder.path().join(format!("{round}.db"));
        let url = url.replace("x.db", file.file_name().unwrap().to_str().unwrap());
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crash::child", "--ignored", "--nocapture", "--test-threads=1"])
            .env(URL, &url)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let enough = 7 * round;
        lines.by_ref().filter(|line| line.starts_with("kept")).nth(usize::try_from(enough).unwrap()).unwrap();
        child.kill().unwrap();
        let more = lines.filter(|line| line.starts_with("kept")).count();
        child.wait().unwrap();
        let acknowledged = enough + 1 + u64::try_from(more).unwrap();

        let store = Store::open(&url).await.unwrap();
        let (users, events) = (store.count_users().await.unwrap(), store.ledger_head().await.unwrap().size);
        assert!(users >= acknowledged, "{users} of {acknowledged}");
        assert_eq!(events, users * 2, "each change is there with its events, or not at all");
        let seqs: Vec<_> =
            store.events_from(0, 10_000).await.unwrap().iter().map(|event| event.seq).collect();
        assert_eq!(seqs, (0..events).collect::<Vec<_>>());
    }
}
