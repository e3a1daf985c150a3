//! Access by rules, through the whole product: given, taken, asked for, and in an emergency.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Instant;

use hoop_testkit::{SOON, World, wait_until};
use serde_json::json;

const EMERGENCY: &str = "\
version: 1
rules: []
break_glass:
  - name: oncall
    subjects: {groups: [engineers]}
    connections: {names: [pg]}
";

const ASKED: &str = "\
version: 1
rules:
  - name: asked
    subjects: {groups: [engineers]}
    connections: {names: [pg]}
    conditions: {approval: {approvers: {groups: [admins]}, count: 1, longest: 4h}}
";

/// What psql prints through `hoop connect pg -- psql`.
fn query(world: &World, sql: &str) -> std::process::Output {
    let mut psql = world.hoop(&world.engineer);
    psql.args(["connect", "pg", "--", "psql", "-XAtq", "-c", sql]);
    psql.output().unwrap()
}

#[test]
fn rules_are_applied_shown_and_exported() {
    let world = World::start();
    let exported = world.hoop(&world.admin).args(["admin", "export"]).output().unwrap();
    let exported = String::from_utf8(exported.stdout).unwrap();
    assert!(exported.contains("engineers"), "{exported}");
    world.apply(&exported);
    let versions = world.json(&world.admin, &["admin", "rules", "ls"]);
    assert_eq!(versions.as_array().unwrap().len(), 1, "the same file is no new version: {versions}");
    let reach = world.json(&world.admin, &["admin", "rules", "reach", "--connection", "pg"]);
    assert_eq!(reach[0]["person"], "ada", "{reach}");
    let file = world.folder.path().join("wrong.yaml");
    std::fs::write(&file, "version: 1\nrules:\n  - name: x\n    subjectz: {}\n").unwrap();
    let mut wrong = world.hoop(&world.admin);
    let wrong = wrong.args(["admin", "apply", "--dry-run", "-f"]).arg(&file).output().unwrap();
    assert!(!wrong.status.success());
    let told = String::from_utf8(wrong.stderr).unwrap();
    assert!(told.contains("line 4") && told.contains("HOOP-2013"), "{told}");
}

#[test]
fn a_request_is_waited_for_and_opens_the_way() {
    let world = World::start();
    world.apply(ASKED);
    let refused = query(&world, "SELECT 1");
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(told.contains("HOOP-2007") && told.contains("hoop request pg"), "{told}");
    let asked = world.json(&world.engineer, &["request", "pg", "--for", "2h", "--reason", "a slow report"]);
    let id = asked["id"].as_str().unwrap();
    let mut waiting = world.hoop(&world.engineer);
    waiting.args(["connect", "pg", "--", "psql", "-XAtq", "-c", "SELECT 'in'"]);
    let waiting = waiting.stdout(std::process::Stdio::piped()).spawn().unwrap();
    world.json(&world.admin, &["requests", "approve", id, "--note", "go on"]);
    let done = waiting.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(done.stdout).unwrap().trim(), "in");
    let session = world.sessions()[0].clone();
    assert!(session["allowed_because"].as_str().unwrap().contains("asked"), "{session}");
}

#[test]
fn an_emergency_opens_at_once_is_recorded_strictly_and_ends_with_its_sessions() {
    let world = World::start();
    world.apply(EMERGENCY);
    assert!(!query(&world, "SELECT 1").status.success());
    let arguments = ["break-glass", "pg", "--reason", "wards are down", "--incident", "INC-7"];
    let started = world.json(&world.engineer, &arguments);
    let id = started["id"].as_str().unwrap();
    let done = query(&world, "SELECT count(*) > 0 FROM pg_class");
    assert_eq!(String::from_utf8(done.stdout).unwrap().trim(), "t");
    let mut long = world.hoop(&world.engineer);
    long.args(["connect", "pg", "--", "psql", "-XAtq", "-c", "SELECT pg_sleep(600)"]);
    let long = long.stderr(std::process::Stdio::piped()).spawn().unwrap();
    wait_until("the statement at the target", || {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'";
        (world.postgres.sql(sql).trim() == "1").then_some(())
    });
    world.json(&world.engineer, &["requests", "end", id, "--reason", "solved"]);
    let began = Instant::now();
    let done = long.wait_with_output().unwrap();
    assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
    assert!(!done.status.success());
    let reviewed = world.json(&world.admin, &["requests", "review", id, "--finding", "restarted it"]);
    assert_eq!(reviewed["review"]["finding"], json!("restarted it"));
}

/// THREATS A13 with real parts: others read one statement, and exactly that is run, once, whatever else is tried.
#[test]
fn one_approved_statement_is_run_as_it_was_read_and_once() {
    let world = World::start();
    world.apply(ASKED);
    world.postgres.script(
        "CREATE TABLE bed (id int, ward text); GRANT ALL ON bed TO app;\n\
         INSERT INTO bed VALUES (7, 'röd'), (8, 'blå');",
    );
    let fix = "UPDATE bed SET ward = 'grön' -- moved\n  WHERE id = 7 RETURNING ward;";
    let file = world.folder.path().join("fix.sql");
    std::fs::write(&file, format!("{fix}\n")).unwrap();
    let fix_file = format!("@{}", file.display());
    let asked =
        world.json(&world.engineer, &["request", "pg", "--statement", &fix_file, "--reason", "bed 7"]);
    let id = asked["id"].as_str().unwrap();

    let shown = world.hoop(&world.admin).args(["requests", "show", id]).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("-- moved\n      WHERE id = 7"), "{shown}");
    world.json(&world.admin, &["requests", "approve", id]);
    assert!(!query(&world, "SELECT 1").status.success(), "no whole session");

    let mut psql = world.hoop(&world.engineer);
    let script = "psql -XAtqc 'SELECT 1'; psql -XAtqc \"$HOOP_STATEMENT; DROP TABLE bed\"; \
                  PGOPTIONS='-c search_path=pg_temp' psql -XAtqc \"$HOOP_STATEMENT\"; \
                  PGDATABASE=template1 psql -XAtqc \"$HOOP_STATEMENT\"; \
                  psql -XAtqc \"$HOOP_STATEMENT\"; psql -XAtqc \"$HOOP_STATEMENT\"";
    psql.args(["connect", "pg", "--statement", &fix_file, "--", "sh", "-c", script]);
    let done = psql.output().unwrap();
    let (out, told) = (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap());
    assert_eq!(out.trim(), "grön", "{told}");
    assert_eq!(told.matches("HOOP-2027").count(), 4, "{told}");
    assert_eq!(told.matches("HOOP-2028").count(), 1, "{told}");
    assert_eq!(world.postgres.script("SELECT ward FROM bed ORDER BY id;").trim(), "grön\nblå");

    let mut again = world.hoop(&world.engineer);
    again.args(["connect", "pg", "--statement", &fix_file, "--", "psql", "-XAtqc", fix]);
    let told = String::from_utf8(again.output().unwrap().stderr).unwrap();
    assert!(told.contains("HOOP-2028"), "{told}");
}

const ASKS: &str = "\
version: 1
rules:
  - name: work
    subjects: {groups: [engineers]}
    connections: {names: [pg]}
    masking: none
    statements:
      - {name: fix, action: ask, classes: [write], approval: {approvers: {groups: [admins]}}, message: name the ticket}
      - {name: gone, action: ask, classes: [ddl], approval: {approvers: {users: [nobody]}}}
      - {name: all, action: allow, classes: [read, write, ddl]}
";

#[test]
fn what_a_statement_rule_asks_about_runs_once_others_approve_it() {
    let world = World::start();
    world.apply(ASKS);
    world.postgres.script(
        "CREATE TABLE bed (id int, ward text); GRANT ALL ON bed TO app; INSERT INTO bed VALUES (7, 'a')",
    );
    let fix = "UPDATE bed SET ward = 'b' WHERE id = 7 RETURNING ward";
    let refused = query(&world, fix);
    let told = String::from_utf8(refused.stderr).unwrap();
    assert!(
        told.contains("HOOP-2034") && told.contains("name the ticket") && told.contains("hoop request NAME"),
        "{told}"
    );
    assert_eq!(
        String::from_utf8(query(&world, "SELECT ward FROM bed").stdout).unwrap(),
        "a\n",
        "reading goes on"
    );

    let asking = |text: &str| {
        let mut hoop = world.hoop(&world.engineer);
        hoop.args(["request", "pg", "--statement", text, "--reason", "ticket 7", "-o", "json"])
            .output()
            .unwrap()
    };
    for (text, code) in
        [("SELECT 1", "HOOP-2020"), ("DROP TABLE bed; DELETE FROM bed WHERE id = 7", "HOOP-2029")]
    {
        let told = String::from_utf8(asking(text).stderr).unwrap();
        assert!(told.contains(code), "{text}: {told}");
    }
    let others: serde_json::Value = serde_json::from_slice(&asking("DROP TABLE bed").stdout).unwrap();
    let id = others["id"].as_str().unwrap();
    let refused = world.hoop(&world.admin).args(["requests", "approve", id]).output().unwrap();
    assert!(!refused.status.success(), "the admins are not asked about this");

    let connect = |text: &str, sql: &str| {
        let mut psql = world.hoop(&world.engineer);
        psql.args(["connect", "pg", "--statement", text, "--", "psql", "-XAtqc", sql]).output().unwrap()
    };
    let early = String::from_utf8(connect(fix, fix).stderr).unwrap();
    assert!(early.contains("HOOP-2007"), "{early}");
    let asked: serde_json::Value = serde_json::from_slice(&asking(fix).stdout).unwrap();
    assert_eq!(asked["statement_rule"], "fix", "{asked}");
    world.json(&world.admin, &["requests", "approve", asked["id"].as_str().unwrap()]);
    assert!(!query(&world, fix).status.success(), "no session but the one for it");
    let other = String::from_utf8(connect(fix, "DELETE FROM bed WHERE id = 7").stderr).unwrap();
    assert!(other.contains("HOOP-2027"), "{other}");
    let again = String::from_utf8(connect(fix, fix).stderr).unwrap();
    assert!(again.contains("HOOP-2028"), "it was good for one session: {again}");
    let asked: serde_json::Value = serde_json::from_slice(&asking(fix).stdout).unwrap();
    world.json(&world.admin, &["requests", "approve", asked["id"].as_str().unwrap()]);
    let done = connect(fix, fix);
    assert_eq!(String::from_utf8(done.stdout).unwrap(), "b\n", "{}", String::from_utf8_lossy(&done.stderr));
    let opened = world.json(&world.admin, &["audit", "ls", "--code", "session.requested"]);
    assert!(opened.to_string().contains("\"statement_rule\":\"fix\""), "the ledger says so");
}

#[test]
fn a_session_says_by_which_rules_somebody_was_let_in() {
    let world = World::start();
    world.psql("select 1");
    let first = world.ended_session();
    let rules = world.json(&world.admin, &["admin", "export"]);
    let named = json!([rules["version"], rules["sha256"]]);
    let of = |value: &serde_json::Value| json!([value["rules_version"], value["rules_sha256"]]);
    let shown = world.json(&world.admin, &["sessions", "show", first["id"].as_str().unwrap()]);
    assert_eq!(of(&shown), named);
    assert_eq!(
        rules["sha256"],
        sha256(rules["document"].to_string().as_bytes()),
        "whoever exports can check it"
    );
    for code in ["session.requested", "session.opened"] {
        let event = world.json(&world.admin, &["audit", "ls", "--code", code])[0]["event"].clone();
        assert_eq!(of(&event["facts"]), named, "{event}");
    }
    let changed = world.json(&world.admin, &["audit", "ls", "--code", "rules.changed"])[0]["event"].clone();
    assert_eq!(changed["facts"]["rules_sha256"], rules["sha256"]);
    let mut export = world.hoop(&world.admin);
    export.args(["sessions", "export", first["id"].as_str().unwrap(), "-f", "raw"]);
    let recorded = export.output().unwrap().stdout;
    let fact = format!("[\"rules_sha256\",{}]", rules["sha256"]);
    assert!(recorded.windows(fact.len()).any(|piece| piece == fact.as_bytes()), "{fact}");

    world.rule(json!({"conditions": {"mfa": {"max_age": "11h"}}}));
    world.psql("select 1");
    let second = world.ended_session();
    assert_ne!(of(&second), named, "other rules have another name");
    assert_eq!(second["rules_version"], json!(rules["version"].as_u64().unwrap() + 1));
}

const RELEASED: &str = "\
version: 1
rules:
- {name: released, subjects: {groups: [engineers]}, connections: {names: [pg]}, limits: {idle: IDLE}}
";

/// A bundle of that version, signed with a key of that name, which is made if there is none.
fn bundle(world: &World, key: &str, version: u64, idle: &str) -> std::path::PathBuf {
    let folder = world.folder.path();
    let hoop = |arguments: &[&str]| {
        let mut hoop = world.hoop(&world.admin);
        hoop_testkit::run(hoop.args(["policy", "bundle"]).args(arguments));
    };
    if !folder.join(format!("{key}.pem")).exists() {
        hoop(&["keygen", "--out", &format!("{key}.pem")]);
    }
    std::fs::create_dir_all(folder.join("policy")).unwrap();
    std::fs::write(folder.join("policy/rules.yaml"), RELEASED.replace("IDLE", idle)).unwrap();
    let file = format!("{key}-{version}-{idle}.bundle");
    hoop(&["make", "policy", "--key", &format!("{key}.pem"), "--version", &version.to_string(), "-o", &file]);
    folder.join(file)
}

/// Applies a file; the code of the refusal, if it is refused.
fn apply(world: &World, file: &std::path::Path) -> Result<(), String> {
    let mut apply = world.hoop(&world.admin);
    let done = apply.args(["admin", "apply", "-o", "json", "--file"]).arg(file).output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    if done.status.success() {
        return Ok(());
    }
    Err(said.get(said.find("HOOP-").unwrap()..).unwrap().chars().take(9).collect())
}

#[test]
fn where_rules_are_released_nothing_else_comes_into_force() {
    let mut world = World::start();
    let first = bundle(&world, "release", 7, "10m");
    assert_eq!(apply(&world, &first), Err("HOOP-2018".to_owned()), "nobody said whom to believe");
    let key = world.folder.path().join("release.pub.pem");
    // It stands before the first table of the file.
    world.set_gateway_env(vec![("HOOP_GATEWAY_POLICY_KEY", key.display().to_string())]);
    world.stop_gateway();
    world.start_gateway();
    world.wait_for_agent();
    let told = String::from_utf8(query(&world, "SELECT 1").stderr).unwrap();
    assert!(told.contains("HOOP-2001"), "what was in force is signed by nobody: {told}");
    assert_eq!(apply(&world, &first), Ok(()));
    assert!(query(&world, "SELECT 1").status.success());
    let versions = || world.json(&world.admin, &["admin", "rules", "ls"]);
    let rules = || world.json(&world.admin, &["admin", "export"]);
    let released = rules();
    let named = json!({"version": 7, "sha256": sha256(&std::fs::read(&first).unwrap())});
    assert_eq!(released["bundle"], named);
    let told =
        world.json(&world.admin, &["audit", "ls", "--code", "rules.changed"])[0]["event"]["facts"].clone();
    assert_eq!(json!({"version": told["bundle_version"], "sha256": told["bundle_sha256"]}), named);
    assert_eq!(apply(&world, &first), Ok(()), "the same again changes nothing");
    assert_eq!(versions().as_array().unwrap().len(), 2);

    // By the API past the bundle, as YAML and as JSON.
    let file = world.folder.path().join("plain.yaml");
    std::fs::write(&file, RELEASED.replace("IDLE", "8h")).unwrap();
    assert_eq!(apply(&world, &file), Err("HOOP-2018".to_owned()));
    // Another key; one byte; older; and another bundle of the same version.
    assert_eq!(apply(&world, &bundle(&world, "theirs", 8, "8h")), Err("HOOP-2018".to_owned()));
    let changed = std::fs::read_to_string(bundle(&world, "release", 8, "9m")).unwrap().replace("9m", "9h");
    std::fs::write(&file, changed).unwrap();
    assert_eq!(apply(&world, &file), Err("HOOP-2018".to_owned()));
    assert_eq!(apply(&world, &bundle(&world, "release", 6, "8h")), Err("HOOP-2019".to_owned()));
    assert_eq!(apply(&world, &bundle(&world, "release", 7, "8h")), Err("HOOP-2019".to_owned()));
    assert_eq!(rules(), released, "none of that is in force");
    let refused = world.json(&world.admin, &["audit", "ls", "--code", "rules.refused"]);
    let who = |event: &serde_json::Value| {
        (event["event"]["actor"]["name"].clone(), event["event"]["facts"]["code"].clone())
    };
    let refused: Vec<_> = refused.as_array().unwrap().iter().map(who).collect();
    let codes = ["HOOP-2019", "HOOP-2019", "HOOP-2018", "HOOP-2018", "HOOP-2018"];
    assert_eq!(refused, codes.map(|code| (json!("grace"), json!(code))));

    // The same rules in a newer one make those between void.
    let between = bundle(&world, "release", 9, "8h");
    assert_eq!(apply(&world, &bundle(&world, "release", 10, "10m")), Ok(()));
    assert_eq!(apply(&world, &between), Err("HOOP-2019".to_owned()));
    assert_eq!(rules()["bundle"]["version"], 10);

    // Whoever can write to the database writes rules that nobody signed, beside the bundle that somebody did.
    let database = world.folder.path().join("gateway/hoop.db");
    let mut python = std::process::Command::new("python3");
    python.args(["-c", TAMPER]).arg(database);
    hoop_testkit::run(&mut python);
    world.stop_gateway();
    world.start_gateway();
    world.wait_for_agent();
    let told = String::from_utf8(query(&world, "SELECT 1").stderr).unwrap();
    assert!(told.contains("HOOP-2001"), "THREATS A4: {told}");
    assert_eq!(apply(&world, &bundle(&world, "release", 11, "10m")), Ok(()));
    assert!(query(&world, "SELECT 1").status.success(), "a bundle mends it");
}

const TAMPER: &str = "\
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
done = db.execute(\"update access_policies set document = replace(document, '10m', '8h') where version = (select max(version) from access_policies)\")
assert done.rowcount == 1
db.commit()
";

fn sha256(bytes: &[u8]) -> String {
    hoop_policy::Sha256::of(bytes).to_string()
}
