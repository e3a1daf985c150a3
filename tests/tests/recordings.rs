//! Recordings as a whole: how long they may be, and what agent and relay say of the same bytes.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use hoop_testkit::{Psql, World, WorldOptions, run};
use serde_json::Value;

/// The facts of the event that seals the newest session's recording.
fn sealed(world: &World) -> Value {
    let id = world.ended_session()["id"].as_str().unwrap().to_owned();
    let arguments = ["audit", "ls", "--code", "recording.sealed", "--subject", &id];
    world.json(&world.admin, &arguments)[0]["event"]["facts"].clone()
}

#[test]
fn agent_and_relay_count_the_same_bytes() {
    let mut world = World::start();
    world.psql("select repeat('x', 3000000)");
    let facts = sealed(&world);
    let (agent, relay) = (&facts["contents"]["contents"]["carried"], &facts["relay"]);
    let number = |value: &Value| value.as_u64().unwrap();
    // The last bytes may not have been taken when it closed: the connector's farewell here, an answer there.
    let unread = number(&relay["to_agent"]) - number(&agent["received"]);
    assert!(unread < 100, "{facts}");
    assert!(number(&agent["sent"]) >= number(&relay["to_person"]), "{facts}");
    assert!(number(&relay["to_person"]) > 3_000_000 && number(&relay["connections"]) >= 1, "{facts}");
    // A gateway that was restarted does not know what went before, and does not pretend to.
    let mut psql = Psql::start(&world);
    assert_eq!(psql.ask("select 1;"), "1");
    world.crash_gateway();
    assert_eq!(psql.ask("select 2;"), "2");
    psql.finish();
    assert_eq!(sealed(&world)["relay"], Value::Null);
    run(world.hoop(&world.admin).args(["audit", "verify"]));
}

#[test]
fn a_session_whose_recording_is_too_long_ends_and_its_end_is_recorded() {
    let gateway = "[recordings]\nmax_bytes = \"256KiB\"\n";
    let world = World::with(WorldOptions { gateway, ..WorldOptions::default() });
    let mut psql = Psql::start(&world);
    let mut asked = 0;
    // Random text does not shrink.
    let sql = "select encode(sha256(random()::text::bytea), 'hex') from generate_series(1, 400) n \\g /dev/null\nselect 'and on';";
    while psql.try_ask(sql) == Some("and on".to_owned()) {
        asked += 1;
        assert!(asked < 2000, "it goes on and on");
    }
    let words = psql.last_words();
    assert!(words.contains("longest length"), "{words}");
    let session = world.ended_session();
    assert_eq!(session["state"], "ended", "sealed: {session}");
    let id = session["id"].as_str().unwrap();
    assert_eq!(world.json(&world.admin, &["sessions", "verify", id])["clean"], true);
    let shown = world.statements(id);
    let answered = shown.iter().filter(|statement| statement["text"] == "select 'and on';").count();
    assert!(answered >= asked, "{answered} of {asked} are there");
    // The next one is recorded as ever.
    assert_eq!(world.psql("select 'again'"), "again\n");
}
