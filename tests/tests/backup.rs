//! Backup and restore, as a drill with real processes: what was there at the moment of the backup is there after it, proven;
//! what is damaged restores nothing (THREATS F1, F4, F5).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use hoop_testkit::{Postgres, PostgresOptions, World, WorldOptions, run, wait_until};
use serde_json::{Value, json};

fn session_with(world: &World, sql: &str) -> String {
    let before = world.sessions().len();
    world.psql(sql);
    wait_until("the session's end", || {
        let sessions = world.sessions();
        let newest = sessions.first().filter(|_| sessions.len() > before)?;
        (newest["state"] == "ended").then(|| newest["id"].as_str().unwrap().to_owned())
    })
}

fn as_admin(world: &World, arguments: &[&str]) -> Command {
    let mut command = world.hoop(&world.admin);
    command.args(arguments);
    command
}

fn place(world: &World, name: &str) -> PathBuf {
    world.folder.path().join(name)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Keys for backups; the private half's file.
fn backup_key(world: &World) -> PathBuf {
    let private = place(world, "backup.pem");
    run(world.gateway_command().args(["backup-key", "--private"]).arg(&private));
    private
}

fn backup(world: &World, name: &str, more: &[&str]) -> PathBuf {
    let to = place(world, name);
    run(world.gateway_command().args(["backup", "--json", "--to"]).arg(&to).args(more));
    to
}

/// The key that signs the gateway's ledger, kept elsewhere from the start.
fn ledger_key(world: &World) -> String {
    let told = world.json(&world.admin, &["audit", "checkpoint"]);
    told["verifier_key"].as_str().unwrap().to_owned()
}

/// Of anybody's making.
fn any_restore(from: &Path, key: &Path, into: &Path) -> Command {
    let mut command = Command::new(hoop_testkit::binary("hoop-gateway"));
    command.args(["restore", "--json", "--from", text(from), "--key", text(key), "--into", text(into)]);
    command
}

/// Of what this ledger's key signed.
fn restore(from: &Path, key: &Path, into: &Path, ledger: &str) -> Command {
    let mut command = any_restore(from, key, into);
    command.args(["--ledger-key", ledger]);
    command
}

/// A restore that must fail: what it said; and nothing was left.
fn refused(command: &mut Command, into: &Path) -> String {
    let before = fs::read_dir(into).map_or(0, Iterator::count);
    let done = command.output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.status.success(), "{said}");
    assert_eq!(fs::read_dir(into).map_or(0, Iterator::count), before);
    let beside = fs::read_dir(into.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(beside.into_iter().all(|name| !name.to_string_lossy().contains("restoring")), "{said}");
    said
}

fn proven(world: &World, sessions: &[&String]) {
    assert_eq!(world.json(&world.admin, &["audit", "verify"])["clean"], true);
    for session in sessions {
        let verified = world.json(&world.admin, &["sessions", "verify", session]);
        assert_eq!(verified["clean"], true, "{verified}");
    }
}

#[test]
fn a_drill() {
    let mut world = World::start();
    let first = session_with(&world, "select 'before the ' || 'backup'");
    world.json(&world.admin, &["admin", "keys", "rotate"]);
    let second = session_with(&world, "select 'for the second ' || 'key'");
    // One is live during the backup, and goes on after it.
    let mut psql = world.through(&["psql", "-X", "-q", "-A", "-t"]);
    let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut typed = psql.stdin.take().unwrap();
    writeln!(typed, "select 'while it was ' || 'live';").unwrap();
    let live = wait_until("the live session", || {
        let live = world.json(&world.admin, &["sessions", "ls", "--live"]);
        Some(live.as_array()?.first()?["id"].as_str()?.to_owned())
    });
    wait_until("its first statement at the gateway", || {
        let shown = as_admin(&world, &["sessions", "replay", &live, "--no-wait"]).output().unwrap();
        String::from_utf8_lossy(&shown.stdout).contains("while it was live").then_some(())
    });
    let (key, ledger) = (backup_key(&world), ledger_key(&world));
    let file = backup(&world, "all.hoopbak", &["--with-keys"]);
    let bytes = fs::read(&file).unwrap();
    for readable in ["PRIVATE KEY", "engineers", "clinic", "select"] {
        assert!(!bytes.windows(readable.len()).any(|part| part == readable.as_bytes()), "{readable}");
    }
    let lost = session_with(&world, "select 'after the backup'");
    writeln!(typed, "select 'after the ' || 'backup';").unwrap();

    // The gateway's machine is gone; another takes its place.
    world.stop_gateway();
    let into = place(&world, "restored");
    let restored: Value = serde_json::from_str(&run(&mut restore(&file, &key, &into, &ledger))).unwrap();
    assert_eq!(restored["signed_by"], ledger.as_str());
    assert_eq!((&restored["findings"], &restored["counts"]["keys"]), (&json!([]), &json!(3)), "{restored}");
    world.move_gateway(&into);
    world.start_gateway();
    world.wait_for_agent();
    let told = world.json(&world.admin, &["audit", "ls", "--code", "gateway.restored"]);
    assert_eq!(told[0]["event"]["facts"]["checkpoint"], restored["checkpoint"], "{told}");
    proven(&world, &[&first, &second]);
    let replay = |session: &str| run(&mut as_admin(&world, &["sessions", "replay", session, "--no-wait"]));
    assert!(replay(&first).contains("before the backup") && replay(&second).contains("for the second key"));
    assert!(world.sessions().iter().all(|session| session["id"] != lost.as_str()), "it was after the moment");

    // The session that was live goes on, and its agent sends again what the restored gateway lacks.
    writeln!(typed, "select 'after the ' || 'restore';").unwrap();
    drop(typed);
    assert!(psql.wait().unwrap().success());
    wait_until("the end of the live session", || {
        let session = world.json(&world.admin, &["sessions", "show", &live]);
        (session["state"] == "ended").then_some(())
    });
    let shown = replay(&live);
    for what in ["while it was live", "after the backup", "after the restore", "sealed"] {
        assert!(shown.contains(what), "{what}: {shown}");
    }
    let fresh = session_with(&world, "select 'work goes on'");
    proven(&world, &[&first, &second, &live, &fresh]);
}

#[test]
fn without_the_private_half_or_whole_nothing_is_restored() {
    let world = World::start();
    session_with(&world, "select 1");
    let missing = world.gateway_command().args(["backup", "--to", "x"]).output().unwrap();
    assert!(String::from_utf8_lossy(&missing.stderr).contains("backup-key"), "there is no key yet");
    // The stick for the private half is not there: then there is no public half either, and no backup for it.
    let stick = place(&world, "stick/backup.pem");
    let unkept = world.gateway_command().args(["backup-key", "--private"]).arg(stick).output().unwrap();
    assert!(!unkept.status.success() && !place(&world, "gateway/keys/backup.pub.pem").exists());
    let (key, ledger) = (backup_key(&world), ledger_key(&world));
    let file = backup(&world, "b", &[]);
    let again = world.gateway_command().args(["backup", "--to"]).arg(&file).output().unwrap();
    assert!(String::from_utf8_lossy(&again.stderr).contains("HOOP-7103"), "nothing is written over");
    let (good, into) = (fs::read(&file).unwrap(), place(&world, "new"));
    let damaged = place(&world, "damaged");
    let with = |bytes: &[u8]| {
        fs::write(&damaged, bytes).unwrap();
        refused(&mut restore(&damaged, &key, &into, &ledger), &into)
    };
    let said = with(&good[..good.len() - 1]);
    assert!(said.contains("HOOP-7102") && said.contains("cut off"), "{said}");
    let mut altered = good.clone();
    altered[good.len() / 2] ^= 1;
    let said = with(&altered);
    assert!(said.contains("HOOP-7102") && said.contains("altered"), "{said}");
    let mut newer = good.clone();
    newer[8] += 1;
    let said = with(&newer);
    assert!(said.contains("HOOP-7102") && said.contains("newer version"), "{said}");
    assert!(with(b"{}").contains("no sealed file"));
    assert!(with(&[&good[..], b"more"].concat()).contains("follows its end"));
    let other = place(&world, "other.pem");
    run(Command::new(hoop_testkit::binary("hoop")).args(["audit", "keygen", "--out"]).arg(&other));
    assert!(refused(&mut restore(&file, &other, &into, &ledger), &into).contains("was encrypted for key"));
    let public = place(&world, "gateway/keys/backup.pub.pem");
    assert!(refused(&mut restore(&file, &public, &into, &ledger), &into).contains("HOOP-7101"));
    fs::create_dir(&into).unwrap();
    fs::write(into.join("something"), "").unwrap();
    assert!(refused(&mut restore(&file, &key, &into, &ledger), &into).contains("HOOP-7103"));
    fs::remove_file(into.join("something")).unwrap();
    run(&mut restore(&file, &key, &into, &ledger));
    // The master key was not asked for, so it is not there; and no gateway makes another in its place.
    assert_eq!(
        fs::read_dir(into.join("keys")).unwrap().count(),
        1,
        "the public half for the next backup alone"
    );
    let mut started = Command::new(hoop_testkit::binary("hoop-gateway"));
    let started =
        started.args(["serve", "--listen", "127.0.0.1:0", "--data-dir", text(&into)]).output().unwrap();
    assert!(String::from_utf8_lossy(&started.stderr).contains("keys.master_file"));
}

/// THREATS F5: whoever can lay a file where backups lie, and read the public half of their key, makes a clean one.
#[test]
fn a_backup_that_another_gateway_signed_is_not_restored() {
    let world = World::start();
    let (key, ledger) = (backup_key(&world), ledger_key(&world));
    let (public, theirs) = (place(&world, "gateway/keys/backup.pub.pem"), place(&world, "theirs"));
    let mut forging = Command::new(hoop_testkit::binary("hoop-gateway"));
    let other = place(&world, "other");
    forging.args(["backup", "--json", "--data-dir", text(&other), "--to-key", text(&public)]);
    let forged: Value = serde_json::from_str(&run(forging.args(["--to", text(&theirs)]))).unwrap();
    let (into, signer) = (place(&world, "new"), forged["ledger_key"].as_str().unwrap());
    let said = refused(
        restore(&theirs, &key, &into, &ledger).args(["--accept-unproven", "--accept-findings"]),
        &into,
    );
    assert!(said.contains("HOOP-7105") && said.contains(signer) && said.contains(&ledger), "{said}");
    let said = refused(&mut any_restore(&theirs, &key, &into), &into);
    assert!(said.contains("HOOP-7105") && said.contains(signer) && said.contains("--ledger-key"), "{said}");

    // Our own: not without the key, and with it also from a file.
    let ours = backup(&world, "ours", &[]);
    let said = refused(&mut any_restore(&ours, &key, &into), &into);
    assert!(said.contains("HOOP-7105") && said.contains(&ledger), "{said}");
    let kept = place(&world, "ledger-key.txt");
    fs::write(&kept, format!("{ledger}\n")).unwrap();
    run(&mut restore(&ours, &key, &into, text(&kept)));
    run(any_restore(&ours, &key, &place(&world, "unproven")).arg("--accept-unproven"));
}

#[test]
fn what_was_altered_before_the_backup_is_named() {
    let mut world = World::start();
    let id = session_with(&world, "select 1");
    let (key, ledger) = (backup_key(&world), ledger_key(&world));
    world.stop_gateway();
    let months = fs::read_dir(place(&world, "gateway/recordings")).unwrap();
    let stored = months.map(|month| month.unwrap().path().join(format!("{id}.hoopr"))).next().unwrap();
    let mut bytes = fs::read(&stored).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&stored, bytes).unwrap();
    let (file, into) = (backup(&world, "b", &[]), place(&world, "new"));
    let said = refused(&mut restore(&file, &key, &into, &ledger), &into);
    assert!(said.contains("HOOP-7104") && said.contains(&id), "{said}");
    let accepted = run(restore(&file, &key, &into, &ledger).arg("--accept-findings"));
    assert!(accepted.contains(&id));
}

#[test]
fn from_one_kind_of_store_into_the_other() {
    let server = Postgres::start(&PostgresOptions { tls: false, ..PostgresOptions::default() });
    let mut world = World::with(WorldOptions {
        gateway_env: vec![("HOOP_GATEWAY_STORE_URL", server.create_database("first"))],
        ..WorldOptions::default()
    });
    let first = session_with(&world, "select 'kept in ' || 'PostgreSQL'");
    let (key, ledger) = (backup_key(&world), ledger_key(&world));
    let file = backup(&world, "b", &["--with-keys"]);
    world.stop_gateway();
    let into = place(&world, "in-sqlite");
    run(&mut restore(&file, &key, &into, &ledger));
    world.set_gateway_env(Vec::new());
    world.move_gateway(&into);
    world.start_gateway();
    world.wait_for_agent();
    proven(&world, &[&first]);
    let second = session_with(&world, "select 'kept in ' || 'SQLite'");

    // And back: into an empty database, and into no other.
    let file = backup(&world, "c", &["--with-keys"]);
    world.stop_gateway();
    let (into, url) = (place(&world, "in-postgres"), server.create_database("second"));
    let filled = server.create_database("third");
    run(restore(&file, &key, &place(&world, "aside"), &ledger).args(["--store", &filled]));
    assert!(
        refused(restore(&file, &key, &into, &ledger).args(["--store", &filled]), &into).contains("HOOP-7103")
    );
    run(restore(&file, &key, &into, &ledger).args(["--store", &url]));
    world.set_gateway_env(vec![("HOOP_GATEWAY_STORE_URL", url)]);
    world.move_gateway(&into);
    world.start_gateway();
    world.wait_for_agent();
    let third = session_with(&world, "select 'and back'");
    proven(&world, &[&first, &second, &third]);
}
