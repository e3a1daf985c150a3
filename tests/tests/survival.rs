//! What survives: cut networks, a killed gateway, a killed agent. Nothing acknowledged is lost, every gap is named.

use std::{
    sync::{
        Mutex, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use hoop_testkit::{Cutter, Psql, World, WorldOptions, run, wait_until};

#[test]
fn a_transaction_outlives_a_killed_gateway() {
    let mut world = World::start();
    world.postgres.script("create table t(n int); alter table t owner to app");
    let mut psql = Psql::start(&world);
    assert_eq!(psql.ask("begin; insert into t values (1) returning n;"), "1");
    let pid = psql.ask("select pg_backend_pid();");
    world.crash_gateway();
    assert_eq!(psql.ask("insert into t values (2) returning n;"), "2");
    assert_eq!(psql.ask("select pg_backend_pid();"), pid, "the same connection to the target");
    assert_eq!(psql.ask("commit; select count(*) from t;"), "2");
    psql.finish();
    let session = world.ended_session();
    let texts: Vec<String> = texts(&world, session["id"].as_str().unwrap());
    assert!(
        texts.iter().any(|t| t.contains("values (1)")) && texts.iter().any(|t| t.contains("values (2)")),
        "{texts:?}"
    );
    assert_eq!(
        world.json(&world.admin, &["sessions", "verify", session["id"].as_str().unwrap()])["clean"],
        true
    );
}

fn texts(world: &World, session: &str) -> Vec<String> {
    world.statements(session).iter().filter_map(|s| Some(s["text"].as_str()?.to_owned())).collect()
}

static CUTTER: OnceLock<Mutex<Cutter>> = OnceLock::new();

#[test]
fn pgbench_is_right_while_every_connection_is_cut_each_200_ms() {
    let behind = |port| {
        let cutter = Cutter::to(port);
        let outside = cutter.port;
        assert!(CUTTER.set(Mutex::new(cutter)).is_ok());
        outside
    };
    let world = World::with(WorldOptions { behind: Some(Box::new(behind)), ..WorldOptions::default() });
    run(world.through(&["pgbench", "-i", "-q", "-s", "1"]).env("PGDATABASE", "clinic"));
    let done = AtomicBool::new(false);
    let cutter = CUTTER.get().unwrap();
    let seconds = 30;
    let (cuts, processed) = std::thread::scope(|scope| {
        let cutting = scope.spawn(|| {
            let mut cuts = 0;
            // The session is open and pgbench works: from here on its connections are cut, and the agent's.
            wait_until("pgbench", || {
                (world
                    .postgres
                    .sql("select count(*) from pg_stat_activity where application_name like 'pgbench%'")
                    != "0\n")
                    .then_some(())
            });
            while !done.load(Ordering::Relaxed) {
                std::thread::park_timeout(Duration::from_millis(200));
                cuts += cutter.lock().unwrap().cut();
            }
            cuts
        });
        let out = run(&mut world.through(&["pgbench", "-n", "-c", "4", "-T", &seconds.to_string()]));
        done.store(true, Ordering::Relaxed);
        assert!(out.contains("number of failed transactions: 0"), "{out}");
        let processed =
            out.split("transactions actually processed: ").nth(1).and_then(|rest| rest.lines().next());
        (cutting.join().unwrap(), processed.unwrap().trim().to_owned())
    });
    assert!(cuts > 200, "only {cuts} connections were cut");
    // Each was carried out once.
    let carried_out = world.postgres.script("select count(*) from pgbench_history");
    assert_eq!(carried_out.trim(), processed);
    assert!(processed.parse::<u32>().unwrap() > 50, "{processed}");
    // pgbench's own invariant: what went through the tellers is what went through the accounts and the history.
    let sums = world.postgres.script(
        "select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history) and (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history)",
    );
    assert_eq!(sums, "t\n");
}

#[test]
fn a_killed_agent_leaves_a_recording_that_says_so() {
    let mut world = World::start();
    let mut psql = Psql::start(&world);
    assert_eq!(psql.ask("select 'kept ' || 1;"), "kept 1");
    assert_eq!(psql.ask("select 'kept ' || 2;"), "kept 2");
    world.crash_agent();
    let _ = psql.child.kill();
    let _ = psql.child.wait();
    let session = wait_until("the interrupted session", || {
        let newest = world.sessions().first()?.clone();
        (newest["state"] == "interrupted").then_some(newest)
    });
    let id = session["id"].as_str().unwrap();
    let statements = texts(&world, id);
    assert!(
        statements.iter().any(|t| t.contains("|| 1")) && statements.iter().any(|t| t.contains("|| 2")),
        "{statements:?}"
    );
    let report = world.json(&world.admin, &["sessions", "verify", id]);
    assert_eq!(
        (&report["clean"], &report["gateway"]["ending"]),
        (&true.into(), &"interrupted".into()),
        "{report}"
    );
    // What it had counted last is the least that there was.
    for words in [&["sessions", "ls"][..], &["sessions", "show", id]] {
        let shown = run(world.hoop(&world.admin).args(words));
        assert!(shown.contains("≥ "), "{shown}");
    }
    // And the agent serves again.
    world.wait_for_agent();
    assert_eq!(world.psql("select 1"), "1\n");
}

/// A statement that begins while there is a gateway, and is answered while there is none.
#[test]
fn what_is_recorded_while_the_gateway_is_away_arrives() {
    let mut world = World::start();
    world.postgres.script(
        "create table go (n int); grant select on go to app; \
         create function awaited() returns text language plpgsql as \
         $$ begin while not exists (select from go) loop perform pg_sleep(0.02); end loop; return 'while ' || 'away'; end $$",
    );
    let mut psql = Psql::start(&world);
    let pid = psql.ask("select pg_backend_pid();");
    let id = world.sessions()[0]["id"].as_str().unwrap().to_owned();
    let spool = world.folder.path().join(format!("agent/spool/{id}.hoopr"));
    let spooled = || std::fs::metadata(&spool).unwrap().len();
    let wait_for_state = |world: &World, state: &str| {
        let asked = format!("select state from pg_stat_activity where pid = {pid}");
        wait_until(state, || (world.postgres.sql(&asked).trim() == state).then_some(()));
    };
    psql.say("select awaited();");
    wait_for_state(&world, "active");
    world.stop_gateway();
    let before = spooled();
    world.postgres.script("insert into go values (1)");
    wait_for_state(&world, "idle");
    wait_until("the answer in the spool", || (spooled() > before).then_some(()));
    world.start_gateway();
    assert_eq!(psql.hear(), "while away");
    psql.finish();
    world.ended_session();
    let replayed = run(world.hoop(&world.admin).args(["sessions", "replay", &id]));
    assert!(replayed.contains("while away"), "{replayed}");
    assert_eq!(world.json(&world.admin, &["sessions", "verify", &id])["clean"], true);
}

/// SIGTERM, as an update does it.
#[test]
fn a_gateway_that_is_told_to_stop_tells_its_agents_and_signs_its_end() {
    let mut world = World::start();
    world.postgres.script("create table t(n int); alter table t owner to app");
    let mut psql = Psql::start(&world);
    assert_eq!(psql.ask("begin; insert into t values (1) returning n;"), "1");
    assert!(world.gateway.terminate().success());
    wait_until("the gateway's last word", || {
        world.agent.log().contains("going away for a while").then_some(())
    });
    world.start_gateway();
    assert_eq!(psql.ask("commit; select count(*) from t;"), "1");
    psql.finish();
    world.ended_session();
    let newest = |code: &str| {
        let events = world.json(&world.admin, &["audit", "ls", "--code", code]);
        events.as_array().unwrap().iter().filter_map(|event| event["seq"].as_u64()).max().expect(code)
    };
    assert_eq!(newest("gateway.stopped") + 1, newest("gateway.started"), "nothing comes between");
    run(world.hoop(&world.admin).args(["audit", "verify"]));
}

/// Certificates of 10 s: agent and connector renew theirs, and come in again when the first ones have ended.
#[test]
fn certificates_are_renewed_before_they_end() {
    let mut world = World::with(WorldOptions {
        gateway: "[certificates]\nsession = \"10s\"\nagent = \"10s\"",
        ..WorldOptions::default()
    });
    let mut psql = Psql::start(&world);
    let pid = psql.ask("select pg_backend_pid();");
    let began = Instant::now();
    wait_until("the first certificates' end", || (began.elapsed() > Duration::from_secs(12)).then_some(()));
    assert!(world.agent.log().contains("the agent's certificate was renewed"));
    // Every connection is made anew, by whoever has a certificate that is good.
    world.crash_gateway();
    assert_eq!(psql.ask("select pg_backend_pid();"), pid);
    world.wait_for_agent();
    assert_eq!(world.psql("select 1"), "1\n");
    psql.finish();
}

#[test]
fn the_ledger_holds_after_kills() {
    let mut world = World::start();
    for _ in 0..3 {
        assert_eq!(world.psql("select 1"), "1\n");
        world.crash_gateway();
        world.wait_for_agent();
    }
    let began = Instant::now();
    run(world.hoop(&world.admin).args(["audit", "verify"]));
    assert!(began.elapsed() < Duration::from_secs(30));
}
