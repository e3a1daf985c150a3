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
    let cuts = std::thread::scope(|scope| {
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
        cutting.join().unwrap()
    });
    assert!(cuts > 200, "only {cuts} connections were cut");
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
    // And the agent serves again.
    world.wait_for_agent();
    assert_eq!(world.psql("select 1"), "1\n");
}

#[test]
fn what_is_recorded_while_the_gateway_is_away_arrives() {
    let mut world = World::start();
    let mut psql = Psql::start(&world);
    assert_eq!(psql.ask("select 'before';"), "before");
    world.gateway.kill();
    // The path is gone; the request waits in the tunnel, is answered once there is a gateway again.
    psql.say("select 'while away';");
    world.crash_gateway();
    assert_eq!(psql.hear(), "while away");
    psql.finish();
    let id = world.ended_session()["id"].as_str().unwrap().to_owned();
    assert!(texts(&world, &id).iter().any(|t| t.contains("while away")));
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
