//! Search over many sessions: statements without their literals, and never silently incomplete (THREATS C9, E5).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
};

use hoop_testkit::{Person, World, wait_until};
use serde_json::Value;

fn search(world: &World, arguments: &[&str]) -> Value {
    world.json(&world.admin, &[&["audit", "search"], arguments].concat())
}

fn texts(found: &Value) -> Vec<&str> {
    found["items"].as_array().unwrap().iter().map(|item| item["text"].as_str().unwrap()).collect()
}

/// Waits until every recording that there is has been indexed.
fn indexed(world: &World) {
    wait_until("the index", || {
        let found = search(world, &[]);
        (found["not_indexed"]["waiting"] == 0).then_some(())
    });
}

#[test]
fn statements_of_all_sessions_are_found_without_their_literals() {
    let world = World::start();
    world.postgres.script("create table patients(id int, name text); alter table patients owner to app");
    world.psql("insert into patients values (4711, 'canary-search-9d2f') -- canary-comment-9d2f");
    world.psql("select * from patients where name = 'canary-search-9d2f'");
    world.psql("select 1");
    world.ended_session();
    indexed(&world);
    let found = search(&world, &["--table", "patients"]);
    assert_eq!(
        texts(&found),
        ["select * from patients where name = ?", "insert into patients values (?, ?)"],
        "{found}"
    );
    assert_eq!(
        (&found["items"][0]["person"], &found["items"][0]["outcome"]),
        (&"ada".into(), &"done".into())
    );
    assert_eq!(texts(&search(&world, &["--text", "INSERT INTO", "--person", "ada"])).len(), 1);
    assert!(texts(&search(&world, &["--text", "canary"])).is_empty());
    assert!(texts(&search(&world, &["--person", "grace"])).is_empty());
    assert_eq!(texts(&search(&world, &["-n", "1"])).len(), 1);
    // The literal is in the encrypted recording alone.
    for file in ["hoop.db", "hoop.db-wal"] {
        let bytes = fs::read(world.folder.path().join("gateway").join(file)).unwrap_or_default();
        assert!(!bytes.windows(11).any(|bytes| bytes == b"canary-sear" || bytes == b"canary-comm"), "{file}");
    }
    // Each search is an event, and nobody searches who may not.
    let events = world.json(&world.admin, &["audit", "ls", "--code", "statements.searched"]);
    assert!(events.as_array().unwrap().iter().any(|event| event["event"]["facts"]["table"] == "patients"));
    let refused = world.hoop(&world.engineer).args(["audit", "search"]).output().unwrap();
    assert!(!refused.status.success() && refused.stdout.is_empty());
}

/// Somebody at psql, until their input ends.
fn at_psql(world: &World) -> std::process::Child {
    let mut psql = world.through(&["psql", "-X", "-q", "-A", "-t"]);
    psql.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

#[test]
fn a_recording_that_the_gateway_cannot_decrypt_is_counted_and_not_forgotten() {
    let mut world = World::start();
    let mut psql = at_psql(&world);
    writeln!(psql.stdin.as_mut().unwrap(), "select 'a' as under_the_old_key;").unwrap();
    let (mut shown, mut answer) = (BufReader::new(psql.stdout.take().unwrap()), String::new());
    shown.read_line(&mut answer).unwrap();
    assert_eq!(answer, "a\n", "it is in use");
    let live = wait_until("the live session", || {
        let live = world.json(&world.admin, &["sessions", "ls", "--live"]);
        live.as_array()?.first().cloned()
    });
    // While it goes on its gateway loses the key that the recording is for.
    world.stop_gateway();
    fs::remove_file(world.folder.path().join("gateway/keys/recording.pem")).unwrap();
    world.start_gateway();
    world.wait_for_agent();
    assert_eq!(search(&world, &[])["not_indexed"]["waiting"], 1);
    writeln!(psql.stdin.as_mut().unwrap(), "select 'b' as still_under_the_old_key;").unwrap();
    drop(psql.stdin.take());
    assert!(psql.wait().unwrap().success());
    wait_until("the index to give up", || {
        let found = search(&world, &[]);
        (found["not_indexed"]["no_key"] == 1 && found["not_indexed"]["waiting"] == 0).then_some(())
    });
    let id = live["id"].as_str().unwrap();
    assert!(!search(&world, &[]).to_string().contains(id), "nothing of it is in the index");
    assert!(told(&world, &world.admin).contains("1 cannot be decrypted by the gateway"));
    // Another session, under a key that an admin put in force, is found all the same.
    world.json(&world.admin, &["admin", "keys", "rotate"]);
    world.psql("select 2 as under_the_new_key");
    world.ended_session();
    wait_until("the new one", || {
        (texts(&search(&world, &[])) == ["select ? as under_the_new_key"]).then_some(())
    });
}

fn told(world: &World, person: &Person) -> String {
    let mut search: Command = world.hoop(person);
    let done = search.args(["audit", "search"]).output().unwrap();
    String::from_utf8_lossy(&done.stderr).into_owned()
}
