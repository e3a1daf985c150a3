//! Planted canaries: no log, no file of ours and no error holds them in the clear (THREATS C9, F1).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::Write as _,
    os::unix::{fs::FileTypeExt as _, process::ExitStatusExt as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use hoop_testkit::{Postgres, PostgresOptions, World, WorldOptions, run, run_with_input, wait_until};
use serde_json::{Value, json};

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

/// What must be nowhere, by name.
struct Planted(Vec<(String, Vec<u8>)>);

impl Planted {
    fn plant(&mut self, name: &str, secret: impl AsRef<[u8]>) {
        let secret = secret.as_ref().to_vec();
        assert!(secret.len() >= 8, "{name} is too short to be told from chance");
        self.0.push((name.to_owned(), secret));
    }

    /// As it is, and as it would stand in JSON, a dump or a URL.
    fn forms(secret: &[u8]) -> [Vec<u8>; 4] {
        use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER};
        let text = |encoding: &data_encoding::Encoding| encoding.encode(secret).into_bytes();
        [secret.to_vec(), text(&HEXLOWER), text(&BASE64_NOPAD), text(&BASE64URL_NOPAD)]
    }

    fn are_not_in(&self, what: &str, bytes: &[u8]) {
        for (name, secret) in &self.0 {
            for form in Self::forms(secret) {
                // The first byte is looked for alone: most places are none.
                let first = form[0];
                let found = bytes.iter().enumerate().filter(|(_, byte)| **byte == first);
                let found = found.map(|(at, _)| at).find(|at| bytes[*at..].starts_with(&form));
                assert_eq!(found, None, "{what} holds {name}");
            }
        }
    }

    fn are_not_in_files(&self, folder: &Path, ours: impl Fn(&Path) -> bool) {
        let mut all = Vec::new();
        files(folder, &mut all);
        let looked_at: Vec<_> = all.into_iter().filter(|path| ours(path)).collect();
        assert!(!looked_at.is_empty());
        for path in looked_at {
            let bytes = match fs::read(&path) {
                // Both daemons are at work: a spool or a journal may be gone since it was listed.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                read => read.unwrap(),
            };
            self.are_not_in(&path.display().to_string(), &bytes);
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Makes one of every secret that there is, and uses it. A session is still live afterwards.
fn plant(world: &World) -> (Planted, Child) {
    let mut planted = Planted(Vec::new());
    let as_admin = |arguments: &[&str]| world.json(&world.admin, arguments);
    for person in [&world.engineer, &world.admin] {
        planted.plant("a password", &person.password);
        planted.plant("a TOTP secret", &person.totp_secret);
        let bytes = hoop_identity::totp::TotpSecret::from_base32(&person.totp_secret).unwrap();
        planted.plant("a TOTP secret's bytes", bytes.bytes().expose());
        let profile = fs::read_to_string(person.profile.join("profile.toml")).unwrap();
        let tokens: Vec<&str> = profile.split('"').filter(|part| part.starts_with("hoop_")).collect();
        assert!(!tokens.is_empty(), "the profile holds tokens");
        tokens.iter().for_each(|token| planted.plant("a token", token));
    }
    planted.plant("the join token", fs::read(world.folder.path().join("join-token")).unwrap());
    planted.plant("the target's password", hoop_testkit::PASSWORD);

    as_admin(&["admin", "service-accounts", "add", "robot"]);
    let made = as_admin(&["admin", "tokens", "add", "robot", "--name", "nightly"]);
    planted.plant("an API token", text(&made["token"]));
    let made = as_admin(&["recovery-codes", "new"]);
    let codes = made["codes"].as_array().unwrap();
    codes.iter().for_each(|code| planted.plant("a recovery code", text(code)));
    let holders = ["--holder", "ben", "--holder", "cat"];
    let made = as_admin(&[&["admin", "sealed-codes", "make"][..], &holders].concat());
    let codes = made["codes"].as_array().unwrap();
    codes.iter().for_each(|code| planted.plant("a sealed code", text(&code["code"])));
    let added = run(world.gateway_command().args(["user", "add", "eve", "--json"]));
    let added: Value = serde_json::from_str(&added).unwrap();
    planted.plant("a generated password", text(&added["password"]));
    planted.plant("a new TOTP secret", text(&added["totp_secret"]));
    let added = as_admin(&["admin", "users", "add", "dan"]);
    let link = text(&added["setup_url"]).split('#').nth(1).unwrap();
    planted.plant("a set-up token", link);

    // A credential of a target that the gateway stores and cannot read.
    let mut seal = world.hoop(&world.admin);
    seal.args(["admin", "connections", "seal", "sealed", "--agent", "agent-1", "-o", "json"]);
    let sealed: Value = serde_json::from_str(&run_with_input(&mut seal, "canary-credential-8e11\n")).unwrap();
    let sealed = text(&sealed["source"]).to_owned();
    world.put_connection("sealed", json!({ "settings": { "password": sealed } }));
    planted.plant("a sealed credential", "canary-credential-8e11");

    world.postgres.sql("alter role app createrole");
    for (sql, canary) in [
        ("create role nurse password 'canary-statement-91c2'", "canary-statement-91c2"),
        ("select 'canary-answer-' || '55d0'", "canary-answer-55d0"),
        // In the target's error, too. Names of tables and columns are in the index of statements, and may be.
        ("select 'canary-no-number-77aa'::int", "canary-no-number-77aa"),
    ] {
        let mut psql = world.through(&["psql", "-X", "-c", sql]);
        psql.output().unwrap();
        planted.plant("a statement or answer", canary);
    }
    let approval = json!({ "approvers": { "groups": ["admins"] }, "count": 1, "longest": "4h" });
    world.rule(json!({ "conditions": { "approval": approval } }));
    let asked = ["request", "pg", "--reason", "a reason", "--statement", "select 'canary-asked-3b7d'"];
    world.json(&world.engineer, &asked);
    planted.plant("a statement that was asked for", "canary-asked-3b7d");
    world.rule(json!({}));
    try_rules(world, "select 'canary-tried-2d4e' from nowhere where");
    planted.plant("a statement that rules were tried on", "canary-tried-2d4e");
    let session = world.ended_session();
    world.statements(text(&session["id"]));

    let mut live = world.through(&["psql", "-X", "-q", "-A", "-t"]);
    let mut live = live.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    writeln!(live.stdin.as_mut().unwrap(), "select 'canary-live-' || '90ef';").unwrap();
    planted.plant("a live answer", "canary-live-90ef");
    wait_until("the live session", || {
        let live = world.json(&world.admin, &["sessions", "ls", "--live"]);
        let mut replay = world.hoop(&world.admin);
        replay.args(["sessions", "replay", live.as_array()?.first()?["id"].as_str()?, "--no-wait"]);
        let shown = replay.output().unwrap();
        String::from_utf8_lossy(&shown.stdout).contains("canary-live-").then_some(())
    });
    (planted, live)
}

/// Holds a statement against the rules in force, and against a file that cannot be read.
fn try_rules(world: &World, statement: &str) {
    let profile = fs::read_to_string(world.admin.profile.join("profile.toml")).unwrap();
    let access =
        profile.lines().find_map(|line| line.strip_prefix("access = \"")?.strip_suffix('"')).unwrap();
    let url = format!("https://localhost:{}/api/v1/rules/try", world.port);
    let ask = |yaml: Option<&str>| {
        let body = json!({ "yaml": yaml, "rule": "engineers", "dialect": "postgres", "texts": [statement] });
        let mut curl = Command::new("curl");
        curl.args(["-sk", "--data-binary", "@-", "-H", "content-type: application/json", "-H"]);
        run_with_input(curl.arg(format!("authorization: Bearer {access}")).arg(&url), &body.to_string())
    };
    assert!(ask(None).contains("\"spelling\""), "it was read");
    assert!(ask(Some("nonsense: 1")).contains("HOOP-2013"), "it was refused");
}

fn is_ours(path: &Path) -> bool {
    let folders =
        path.components().any(|part| matches!(part.as_os_str().to_str(), Some("gateway" | "agent")));
    folders || path.extension().is_some_and(|end| end == "log" || end == "hoopbak")
}

fn back_up(world: &World) {
    let private = world.folder.path().join("backup.pem");
    run(world.gateway_command().args(["backup-key", "--private"]).arg(private));
    let to = world.folder.path().join("all.hoopbak");
    run(world.gateway_command().args(["backup", "--with-keys", "--to"]).arg(to));
}

#[test]
fn no_canary_is_on_disk_in_a_backup_or_in_a_log() {
    let world = World::start();
    let (planted, mut live) = plant(&world);
    back_up(&world);
    // While a session lives: its spool, the store's journal.
    planted.are_not_in_files(world.folder.path(), is_ours);
    drop(live.stdin.take());
    live.wait().unwrap();
    world.ended_session();
    planted.are_not_in_files(world.folder.path(), is_ours);
}

#[test]
fn no_canary_is_in_a_dump_of_postgresql_or_in_its_files() {
    let server = Postgres::start(&PostgresOptions { tls: false, ..PostgresOptions::default() });
    // What stands in its log before is the test's own setting up.
    let database = server.create_database("hoop");
    let logged = server.log().len();
    let world = World::with(WorldOptions {
        gateway_env: vec![("HOOP_GATEWAY_STORE_URL", database)],
        ..WorldOptions::default()
    });
    let (planted, mut live) = plant(&world);
    back_up(&world);
    let dump = server.client("pg_dump").env("PGDATABASE", "hoop").output().unwrap();
    assert!(dump.status.success() && dump.stdout.len() > 10_000, "{}", String::from_utf8_lossy(&dump.stderr));
    planted.are_not_in("the dump", &dump.stdout);
    planted.are_not_in("the server's log", &server.log().as_bytes()[logged..]);
    planted.are_not_in_files(world.folder.path(), is_ours);
    live.kill().unwrap();
    live.wait().unwrap();
}

/// Where the system lets everybody dump: what they have in memory are keys and credentials in clear.
#[test]
fn a_daemon_that_crashes_leaves_no_core_dump() {
    // What is started from here inherits it.
    let us = std::process::id().to_string();
    run(Command::new("prlimit").args(["--pid", &us, "--core=unlimited:unlimited"]));
    let mut sleeper = Command::new("sleep").arg("60").current_dir(std::env::temp_dir()).spawn().unwrap();
    let limits = |pid: u32| fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let is_forbidden = |pid| {
        let limits = limits(pid);
        let line =
            limits.lines().find_map(|line| line.strip_prefix("Max core file size")).unwrap().to_owned();
        line.split_whitespace().take(2).eq(["0", "0"])
    };
    assert!(!is_forbidden(sleeper.id()), "the test itself cannot dump");
    sleeper.kill().unwrap();
    sleeper.wait().unwrap();
    let mut world = World::start();
    for daemon in [&mut world.gateway, &mut world.agent] {
        assert!(is_forbidden(daemon.pid()));
        // Handlers that are programs of their own ask for no limit.
        let status = daemon.end_by("-ABRT").unwrap();
        assert!(status.signal() == Some(6) && !status.core_dumped(), "{status}");
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
