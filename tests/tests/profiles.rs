//! The profile that ships, put to work: what docs/HIPAA.md promises of it is what a world shows.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use hoop_testkit::{World, run};
use serde_json::json;

const TABLES: &str = "\
create table patients (id int primary key, ssn text, last_name text, born date, ward text);
insert into patients values (1, '123-45-6789', 'Lovelace', '1970-01-02', 'a'), (2, '078-05-1120', 'Byron', '1980-03-04', 'b');
alter table patients owner to app";

fn groups(world: &World, person: &str, groups: &[&str]) {
    let mut change = world.hoop(&world.admin);
    change.args(["admin", "users", "set", person]);
    change.args(groups.iter().flat_map(|group| ["--group", group]));
    run(&mut change);
}

/// What psql says and prints, opened for a reason.
fn ask(world: &World, reason: &[&str], sql: &str) -> (bool, String) {
    let mut psql = world.hoop(&world.engineer);
    psql.args(["connect", "pg"]).args(reason).args(["--", "psql", "-XAtq", "-c", sql]);
    let done = psql.output().unwrap();
    let said = if done.status.success() { done.stdout } else { done.stderr };
    (done.status.success(), String::from_utf8(said).unwrap())
}

#[test]
fn with_the_hipaa_profile_phi_is_read_masked_changed_by_rows_and_shown_after_an_approval() {
    let world = World::start();
    world.postgres.script(TABLES);
    run(world.hoop(&world.admin).args(["policy", "init", "hipaa", "policy"]));
    run(world.hoop(&world.admin).args(["policy", "test", "policy", "--min-coverage", "100"]));
    // Nobody puts themselves into a group: here the admins are the privacy officers.
    let file = world.folder.path().join("policy/rules.yaml");
    let rules = std::fs::read_to_string(&file).unwrap().replace("[privacy-officers]", "[admins]");
    std::fs::write(&file, rules).unwrap();
    run(world.hoop(&world.admin).args(["admin", "apply", "--file", "policy/rules.yaml"]));
    world.put_connection("pg", json!({"labels": {"data": "phi"}}));
    groups(&world, "ada", &["phi-writers", "phi-unmasked"]);
    let because = ["--reason", "TICKET-7: a report is wrong"];

    let look = "select ssn, last_name, born, ward from patients where id = 1";
    let (let_in, said) = ask(&world, &[], look);
    assert!(!let_in && said.contains("HOOP-2006"), "nobody comes in without a reason: {said}");
    let (_, masked) = ask(&world, &because, look);
    assert_eq!(masked, "[ssn]|[name]||a\n", "a date is no date when it is masked");

    let (ran, said) = ask(&world, &because, "update patients set ward = 'c'");
    assert!(!ran && said.contains("no-whole-table"), "{said}");
    assert!(!ask(&world, &because, "truncate patients").0);
    assert_eq!(world.postgres.script("select string_agg(ward, '' order by id) from patients"), "ab\n");
    assert!(ask(&world, &because, "update patients set ward = 'c' where id = 1").0);
    assert_eq!(world.postgres.script("select string_agg(ward, '' order by id) from patients"), "cb\n");

    let asked =
        world.json(&world.engineer, &["request", "pg", "--for", "30m", "--reason", "TICKET-7: whose is it"]);
    assert_eq!(asked["rule"], "phi-unmasked", "{asked}");
    assert_eq!(ask(&world, &because, look).1, masked.replace("|a", "|c"), "asking is not enough");
    world.json(&world.admin, &["requests", "approve", asked["id"].as_str().unwrap()]);
    assert_eq!(ask(&world, &because, look).1, "123-45-6789|Lovelace|1970-01-02|c\n");
    assert!(!ask(&world, &because, "update patients set ward = 'd' where id = 1").0, "it is for reading");
    let session = world.ended_session();
    let requested =
        world.json(&world.admin, &["audit", "ls", "--code", "session.requested"])[0]["event"].clone();
    let facts = &requested["facts"];
    assert_eq!((&facts["rule"], &facts["recording"]), (&json!("phi-unmasked"), &json!("strict")));
    assert_eq!((&facts["idle_timeout_seconds"], &facts["retention"]), (&json!(900), &json!("6y")));
    assert_eq!(facts["rules_sha256"], session["rules_sha256"]);
}
