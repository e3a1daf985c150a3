//! The main job: somebody works in psql through hoop, an admin replays the session and verifies it.

use hoop_testkit::{World, run};

#[test]
fn a_session_is_worked_in_replayed_and_verified() {
    let world = World::start();
    world.postgres.script("create table patients(id int, name text); insert into patients values (1, 'Ada'), (2, 'Bob'); grant all on patients to app");
    assert_eq!(world.psql("select name from patients where id = 2"), "Bob\n");

    let session = world.ended_session();
    assert_eq!((session["user"].as_str(), session["connection"].as_str()), (Some("ada"), Some("pg")));
    let id = session["id"].as_str().unwrap();
    let statements = world.statements(id);
    let query = statements.iter().find(|s| s["text"] == "select name from patients where id = 2").unwrap();
    assert_eq!(query["rows"], serde_json::json!([["Bob"]]), "{query}");

    let report = world.json(&world.admin, &["sessions", "verify", id]);
    assert_eq!(report["clean"], true, "{report}");
    let ledger = run(world.hoop(&world.admin).args(["audit", "verify"]));
    assert!(!ledger.is_empty());
}
