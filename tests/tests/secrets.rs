//! Planted canaries: no log, no file of ours and no error holds them in the clear (THREATS C9, F1).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, os::unix::fs::FileTypeExt as _, path::Path};

use hoop_testkit::World;

fn files(folder: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&entry.path(), found);
        } else if !kind.is_socket() {
            // There is nothing to read in the agent's socket.
            found.push(entry.path());
        }
    }
}

#[test]
fn no_canary_is_on_disk_or_in_a_log() {
    let world = World::start();
    world.postgres.sql("alter role app createrole");
    world.psql("create role nurse password 'canary-statement-91c2'");
    world.psql("select 'canary-answer-' || '55d0'");
    let session = world.ended_session();
    world.statements(session["id"].as_str().unwrap());
    let profile = fs::read_to_string(world.engineer.profile.join("profile.toml")).unwrap();
    let tokens: Vec<&str> = profile.split('"').filter(|part| part.starts_with("hoop_")).collect();
    assert!(!tokens.is_empty(), "the profile holds tokens");
    let mut canaries = vec![
        "canary-statement-91c2",
        "canary-answer-55d0",
        "canary-7f3a",
        &world.engineer.totp_secret,
        &world.engineer.password,
    ];
    canaries.extend(tokens);
    let mut all = Vec::new();
    files(world.folder.path(), &mut all);
    for path in all {
        let ours = path.components().any(|c| matches!(c.as_os_str().to_str(), Some("gateway" | "agent")))
            || path.extension().is_some_and(|e| e == "log");
        if !ours {
            continue;
        }
        let bytes = fs::read(&path).unwrap();
        for canary in &canaries {
            assert!(
                !bytes.windows(canary.len()).any(|w| w == canary.as_bytes()),
                "{} holds {canary}",
                path.display()
            );
        }
    }
}

#[test]
fn lists_show_statements_without_their_literals() {
    let world = World::start();
    world.psql("select 'canary-statement-91c2'");
    let session = world.ended_session().to_string();
    assert!(!session.contains("canary"), "{session}");
    let ledger = hoop_testkit::run(world.hoop(&world.admin).args(["audit", "ls", "-o", "json"]));
    assert!(!ledger.contains("canary"), "{ledger}");
}
