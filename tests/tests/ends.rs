//! How sessions end: by whom, how fast, and what the person hears.

use std::{
    process::Stdio,
    time::{Duration, Instant},
};

use hoop_testkit::{Psql, World, run, wait_until};
use serde_json::json;

fn is_running(world: &World, what: &str) -> bool {
    world.postgres.sql(&format!("select count(*) from pg_stat_activity where state = 'active' and query like '%{what}%' and query not like '%pg_stat_activity%'")) != "0\n"
}

#[test]
fn a_killed_session_ends_in_two_seconds_with_its_statement() {
    let world = World::start();
    let mut psql = world.through(&["psql", "-X", "-c", "select pg_sleep(600)"]);
    let child = psql.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the statement", || is_running(&world, "pg_sleep(600)").then_some(()));
    let id = world.sessions()[0]["id"].as_str().unwrap().to_owned();
    run(world.hoop(&world.admin).args(["sessions", "kill", &id, "--reason", "wrong database"]));
    let began = Instant::now();
    let done = child.wait_with_output().unwrap();
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let heard = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(heard.contains("wrong database") && heard.contains("FATAL"), "{heard}");
    wait_until("the statement's end at the target", || (!is_running(&world, "pg_sleep(600)")).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    let session = world.ended_session();
    assert!(session["end_reason"].as_str().unwrap().contains("wrong database"), "{session}");
}

/// One text of several statements is one transaction: what comes of its first says nothing of the rest.
#[test]
fn a_killed_session_ends_with_the_last_of_several_statements() {
    let world = World::start();
    world.postgres.script("create table done(what text); alter table done owner to app;");
    // The server sends the first answer with the long one behind it.
    let text = "select 1; select repeat('x', 20000); select pg_sleep(10); insert into done values ('late')";
    let child = world
        .through(&["psql", "-X", "-c", text])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the statement", || is_running(&world, "late").then_some(()));
    let began = Instant::now();
    let id = world.sessions()[0]["id"].as_str().unwrap().to_owned();
    wait_until("the first answer", || {
        world.statements(&id).iter().any(|one| one["tag"] == "SELECT 1").then_some(())
    });
    run(world.hoop(&world.admin).args(["sessions", "kill", &id, "--reason", "wrong database"]));
    child.wait_with_output().unwrap();
    wait_until("the statement's end at the target", || (!is_running(&world, "late")).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(8), "it ran to its end: {:?}", began.elapsed());
    assert_eq!(world.psql("select count(*) from done"), "0\n");
}

/// Nothing moves in it, in either direction.
#[test]
fn an_idle_session_that_is_killed_ends_in_two_seconds() {
    let world = World::start();
    let mut psql = Psql::start(&world);
    let pid = psql.ask("select pg_backend_pid();");
    let id = world.sessions()[0]["id"].as_str().unwrap().to_owned();
    run(world.hoop(&world.admin).args(["sessions", "kill", &id, "--reason", "wrong database"]));
    let began = Instant::now();
    wait_until("the end at the target", || {
        let left = world.postgres.sql(&format!("select count(*) from pg_stat_activity where pid = {pid}"));
        (left == "0\n").then_some(())
    });
    // It waits for its input, and sees the end with the next statement.
    psql.say("select 1;");
    let ended = psql.child.wait().unwrap();
    assert!(!ended.success() && began.elapsed() < Duration::from_secs(2), "{ended} {:?}", began.elapsed());
}

#[test]
fn ctrl_c_cancels_the_right_statement() {
    let world = World::start();
    let psql = |what: &str| {
        let sql = format!("select pg_sleep(60) /* {what} */");
        let mut command = world.through(&["psql", "-X", "-c", &sql]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let (first, mut second) = (psql("first"), psql("second"));
    wait_until("both statements", || {
        (is_running(&world, "first") && is_running(&world, "second")).then_some(())
    });
    // Ctrl-C reaches the program that hoop runs; psql sends a cancel request with our key.
    let children = run(std::process::Command::new("pgrep").args(["-P", &first.id().to_string(), "psql"]));
    run(std::process::Command::new("kill").args(["-INT", children.trim()]));
    let done = first.wait_with_output().unwrap();
    assert!(
        String::from_utf8_lossy(&done.stderr).contains("canceling statement due to user request"),
        "{done:?}"
    );
    assert!(is_running(&world, "second"), "the other session's statement was cancelled too");
    second.kill().unwrap();
    second.wait().unwrap();
}

#[test]
fn an_idle_session_is_logged_off() {
    let world = World::start();
    world.rule(json!({"limits": {"idle": "2s"}}));
    let mut psql = world.through(&["psql", "-X"]);
    let mut child = psql.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let session = world.ended_session();
    assert!(session["end_reason"].as_str().unwrap().contains("automatic logoff"), "{session}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_session_ends_with_its_grant() {
    let world = World::start();
    world.rule(json!({"limits": {"duration": "3s"}}));
    let mut psql = world.through(&["psql", "-X", "-c", "select pg_sleep(600)"]);
    let began = Instant::now();
    let done = psql.output().unwrap();
    assert!(String::from_utf8_lossy(&done.stderr).contains("end of its grant"), "{done:?}");
    // 3 s, at most 2 to end it, and the start of a program.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    wait_until("the statement's end", || (!is_running(&world, "pg_sleep(600)")).then_some(()));
}

/// The grant ends at the agent too, which needs no word of a gateway for it.
#[test]
fn a_session_ends_with_its_grant_while_the_gateway_is_away() {
    let mut world = World::start();
    world.rule(json!({"limits": {"duration": "5s"}}));
    let mut psql = world.through(&["psql", "-X", "-c", "select pg_sleep(600)"]);
    let mut child = psql.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until("the statement", || is_running(&world, "pg_sleep(600)").then_some(()));
    world.stop_gateway();
    let began = Instant::now();
    wait_until("the statement's end", || (!is_running(&world, "pg_sleep(600)")).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    world.start_gateway();
    let session = world.ended_session();
    // The gateway that comes back may end it by the clock before it hears of the agent, in words of its own.
    let reason = session["end_reason"].as_str().unwrap();
    assert!(
        reason.contains("end of its grant") || reason.contains("grant for this session has ended"),
        "{session}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_locked_person_loses_the_running_session() {
    let world = World::start();
    let mut psql = world.through(&["psql", "-X", "-c", "select pg_sleep(600)"]);
    let child = psql.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until("the statement", || is_running(&world, "pg_sleep(600)").then_some(()));
    run(world.hoop(&world.admin).args(["admin", "users", "lock", "ada"]));
    let began = Instant::now();
    child.wait_with_output().unwrap();
    wait_until("the statement's end at the target", || (!is_running(&world, "pg_sleep(600)")).then_some(()));
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let refused = world.hoop(&world.engineer).args(["connect", "pg", "--", "true"]).output().unwrap();
    assert!(!refused.status.success());
}

#[test]
fn who_is_in_no_group_opens_nothing_and_learns_nothing() {
    let world = World::start();
    let denied = |name: &str| {
        let done = world.hoop(&world.admin).args(["connect", name, "--", "true"]).output().unwrap();
        assert_eq!(done.status.code(), Some(3), "{done:?}");
        String::from_utf8_lossy(&done.stderr).replace(name, "NAME")
    };
    assert_eq!(denied("pg"), denied("no-such-connection"), "not allowed and not there look different");
}

/// Streams that share a connection have much to say when they are ended: all of it is counted at both ends, or the evidence would
/// say that something is left out.
#[test]
fn a_killed_session_of_many_busy_streams_agrees_at_both_ends() {
    let world = World::start();
    let script = r#"
for n in $(seq 24); do
  psql -Atc "select repeat('x', 2000) from generate_series(1, 2000000)" > /dev/null 2>&1 &
done
wait
"#;
    let mut running =
        world.through(&["sh", "-c", script]).stderr(std::process::Stdio::null()).spawn().unwrap();
    let id = wait_until("streams at work", || {
        let session = world.sessions().into_iter().find(|session| session["state"] == "live")?;
        (session["bytes_out"].as_u64()? > 20_000_000).then(|| session["id"].as_str().unwrap().to_owned())
    });
    run(world.hoop(&world.admin).args(["sessions", "kill", &id, "--reason", "enough"]));
    running.wait().unwrap();
    world.ended_session();
    let verdict = world.json(&world.admin, &["sessions", "verify", &id]);
    assert_eq!(verdict["clean"], true, "{verdict:#}");
}
