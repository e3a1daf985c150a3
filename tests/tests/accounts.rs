//! An account of its own for each session, through the whole product: there while it lives, and at no other time.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::{Child, Stdio};

use hoop_testkit::{PASSWORD, World, run, wait_until};
use serde_json::{Value, json};

/// As a managed service has it, and something to read.
const SITE: &str = "alter role app createrole noreplication; create role clinic_read; \
    grant clinic_read to app with admin option";

fn world() -> World {
    let world = World::start();
    world.postgres.sql(SITE);
    world.postgres.script("create table wards as select 7 as beds; grant select on wards to clinic_read");
    world.put_connection("pg", json!({"settings": {"accounts": {"in_roles": ["clinic_read"]}}}));
    world
}

/// hoop's roles at the server, and until when they are good.
fn roles(world: &World) -> String {
    world.postgres.sql("select rolname from pg_roles where rolname like 'hoop%' order by 1").trim().to_owned()
}

fn asleep(world: &World) -> Child {
    let mut psql = world.through(&["psql", "-X", "-c", "select pg_sleep(600)"]);
    let child = psql.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_until_asleep(world);
    child
}

fn wait_until_asleep(world: &World) {
    wait_until("the statement at the server", || {
        let running =
            "select count(*) from pg_stat_activity where usename like 'hoop%' and query like '%pg_sleep%'";
        (world.postgres.sql(running).trim() == "1").then_some(())
    });
}

fn events(world: &World, code: &str) -> Vec<Value> {
    let page = world.json(&world.admin, &["audit", "ls", "--code", code]);
    page.as_array().cloned().unwrap_or_default()
}

fn gone(world: &World) {
    wait_until("the account's end", || roles(world).is_empty().then_some(()));
}

#[test]
fn an_account_is_there_while_its_session_lives_and_told_of() {
    let world = world();
    let seen =
        world.psql("select current_user, session_user, beds, current_setting('application_name') from wards");
    let parts: Vec<&str> = seen.trim().split('|').collect();
    assert!(parts[0].starts_with("hoop_ada_") && parts[0] == parts[1] && parts[2] == "7", "{seen}");
    assert_eq!(parts[3], "psql (hoop:ada)");
    gone(&world);
    let refused = world.through(&["psql", "-X", "-c", "create role mallory"]).output().unwrap();
    assert!(String::from_utf8_lossy(&refused.stderr).contains("permission denied"), "{refused:?}");
    let dump = run(&mut world.through(&["pg_dump", "--no-owner", "-t", "wards"]));
    assert!(dump.contains("COPY public.wards"), "{dump}");
    gone(&world);
    let session = world.ended_session();
    let id = session["id"].as_str().unwrap();
    let info = world.json(&world.admin, &["sessions", "replay", id, "--no-wait"]).to_string();
    assert!(info.contains("hoop_ada_") && info.contains("it was removed"), "{info}");
    wait_until("the ledger", || (events(&world, "account.removed").len() == 3).then_some(()));
    let made = events(&world, "account.made");
    assert_eq!(made.len(), 3);
    assert!(made[0].to_string().contains("member of clinic_read"), "{}", made[0]);
    assert!(events(&world, "account.left").is_empty());
}

#[test]
fn an_account_ends_with_its_session_whatever_ends_it() {
    let world = world();
    let killed = asleep(&world);
    let until = "select rolvaliduntil <= now() + interval '25 hours' and rolconnlimit = 100 from pg_roles where rolname like 'hoop%'";
    assert_eq!(world.postgres.sql(until).trim(), "t");
    let id = world.sessions()[0]["id"].as_str().unwrap().to_owned();
    run(world.hoop(&world.admin).args(["sessions", "kill", &id, "--reason", "enough"]));
    assert!(!killed.wait_with_output().unwrap().status.success());
    gone(&world);
    world.rule(json!({"limits": {"duration": "3s"}}));
    let deadline = asleep(&world);
    let done = deadline.wait_with_output().unwrap();
    assert!(String::from_utf8_lossy(&done.stderr).contains("HOOP-4206"), "{done:?}");
    gone(&world);
}

#[test]
fn what_a_killed_agent_leaves_is_swept_and_what_others_made_is_not() {
    let mut world = world();
    world.postgres.sql(
        "create role hoop_ada_lookalike login; comment on role hoop_ada_lookalike is 'hoop: session of ada'",
    );
    let mut client = asleep(&world);
    world.crash_agent();
    wait_until("the sweep", || (roles(&world) == "hoop_ada_lookalike").then_some(()));
    world.agent.wait_for("the control stream is up");
    wait_until("the ledger", || (events(&world, "account.removed").len() == 1).then_some(()));
    let _ = client.kill();
    client.wait().unwrap();
    world.psql("select 1");
    wait_until("only the other's", || (roles(&world) == "hoop_ada_lookalike").then_some(()));
}

#[test]
fn an_account_that_cannot_be_removed_is_told_and_tried_again() {
    let mut world = world();
    world.postgres.sql("create database archive; grant create on database archive to clinic_read");
    let script = "psql -Xq -d archive -c 'create schema mine' && psql -Xq -c 'select pg_sleep(600)'";
    let mut shell = world.through(&["sh", "-c", script]);
    let client = shell.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_until_asleep(&world);
    let role = roles(&world);
    // Where it owns something, nobody of hoop's can come now.
    world.postgres.sql("revoke connect on database archive from public");
    let id = world.sessions()[0]["id"].as_str().unwrap().to_owned();
    run(world.hoop(&world.admin).args(["sessions", "kill", &id, "--reason", "enough"]));
    assert!(!client.wait_with_output().unwrap().status.success());
    wait_until("the ledger", || (!events(&world, "account.left").is_empty()).then_some(()));
    let shut = format!("select rolcanlogin, rolname from pg_roles where rolname = '{role}'");
    assert_eq!(world.postgres.sql(&shut).trim(), format!("f|{role}"), "nobody logs in as it meanwhile");
    world.agent.wait_for("could not be removed");
    world.postgres.sql("grant connect on database archive to public");
    gone(&world);
    let mut owner = world.postgres.client("psql");
    owner.args([
        "-XAtq",
        "-d",
        "archive",
        "-c",
        "select nspowner::regrole from pg_namespace where nspname = 'mine'",
    ]);
    assert_eq!(run(&mut owner).trim(), "clinic_read");
}

#[test]
fn no_account_no_session() {
    let world = world();
    world.postgres.sql("alter role app nocreaterole");
    let refused = world.through(&["psql", "-X", "-c", "select 1"]).output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && told.contains("HOOP-5015") && told.contains("CREATEROLE"), "{told}");
    assert!(!told.contains(PASSWORD), "{told}");
    assert_eq!(roles(&world), "");
    let journal = world.folder.path().join("agent/accounts");
    assert_eq!(std::fs::read_dir(journal).unwrap().count(), 0, "nothing to sweep");
}

#[test]
fn a_rules_user_narrows_what_an_account_can_do() {
    let world = World::start();
    world.postgres.sql(SITE);
    world.postgres.sql("create role clinic_write; grant clinic_write to app with admin option");
    world.put_connection(
        "pg",
        json!({"settings": {"accounts": {"in_roles": ["clinic_write", "clinic_read"]}}}),
    );
    let roles = "select string_agg(r.rolname, ',' order by 1) from pg_auth_members m join pg_roles r on r.oid = m.roleid \
        where m.member = current_user::regrole";
    assert_eq!(world.psql(roles).trim(), "clinic_read,clinic_write");
    world.rule(json!({"become": "clinic_read"}));
    assert_eq!(world.psql(roles).trim(), "clinic_read");
}
