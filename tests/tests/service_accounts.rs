//! A program with an API token, through the whole product.

use std::{
    process::{Command, Stdio},
    time::Instant,
};

use hoop_testkit::{SOON, World, binary, run, wait_until};

const RULES: &str = "\
version: 1
rules:
  - name: programs
    subjects: {service_accounts: [ci]}
    connections: {names: [pg]}
";

/// `hoop` as a program runs it: no profile, all that it needs in its environment.
fn as_program(world: &World, token: &str) -> Command {
    let browser = world.browser("nobody");
    let mut command = Command::new(binary("hoop"));
    command
        .current_dir(world.folder.path())
        .env("HOOP_CONFIG_DIR", world.folder.path().join("no-profile"))
        .env("HOOP_GATEWAY", browser.origin())
        .env("HOOP_CA", world.folder.path().join("gateway-ca.pem"))
        .env("HOOP_TOKEN", token)
        .env("PGDATABASE", "clinic")
        .env_remove("HTTPS_PROXY");
    command
}

#[test]
fn a_program_works_with_a_token_until_it_is_revoked() {
    let world = World::start();
    world.apply(RULES);
    world.json(&world.admin, &["admin", "service-accounts", "add", "ci"]);
    let add = ["admin", "tokens", "add", "ci", "--name", "nightly", "--for", "7d"];
    let made = world.json(&world.admin, &add);
    let (token, id) = (made["token"].as_str().unwrap(), made["view"]["id"].as_str().unwrap());
    let psql = |sql: &str| {
        let mut psql = as_program(&world, token);
        psql.args(["connect", "pg", "--", "psql", "-XAtq", "-c", sql]);
        psql
    };
    assert_eq!(run(&mut psql("select 40 + 2")).trim(), "42");
    assert!(!world.folder.path().join("no-profile").exists(), "something was written for a program");
    // The programs that it runs do not get the token.
    let mut printed = as_program(&world, token);
    let printed = run(printed.args(["connect", "pg", "--", "sh", "-c", "echo ${HOOP_TOKEN-none} $PGPORT"]));
    assert!(printed.starts_with("none ") && !printed.contains("hoop_sa_"), "{printed}");
    let used = world.json(&world.admin, &["admin", "tokens", "ls", "ci"]);
    assert!(used[0]["used_at"].is_string() && used[0]["good"] == true, "{used}");

    let child = psql("select pg_sleep(600)").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let running = || {
        let sql =
            "select count(*) from pg_stat_activity where query = 'select pg_sleep(600)' and state = 'active'";
        world.postgres.sql(sql).trim() == "1"
    };
    wait_until("the statement", || running().then_some(()));
    run(world.hoop(&world.admin).args(["admin", "tokens", "revoke", "ci", id]));
    let began = Instant::now();
    let done = child.wait_with_output().unwrap();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    let heard = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(heard.contains("FATAL") && heard.contains("API token") && heard.contains("HOOP-4017"), "{heard}");
    wait_until("the statement's end at the target", || (!running()).then_some(()));

    let refused = psql("select 1").output().unwrap();
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(4), "{told}");
    assert!(told.contains("does not take this API token") && !told.contains("hoop_sa_"), "{told}");
    // Evidence names it as what it is.
    let session = world.ended_session();
    assert_eq!(session["user"], "ci");
    assert_eq!(session["allowed_because"], "rule programs: service account ci");
    let asked = world.json(&world.admin, &["audit", "ls", "--code", "session.requested", "--actor", "ci"]);
    assert_eq!(asked[0]["event"]["actor"]["kind"], "service_account", "{asked}");
}
