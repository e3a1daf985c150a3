//! Masking, through the whole product: what a person does not see is in no recording either, and who sees what is a matter
//! of the rule.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use hoop_testkit::{Psql, World, run, run_for_all, wait_until};
use serde_json::{Value, json};

const TABLES: &str = "\
create table people (id int primary key, ssn text, name text, born date, note text);
insert into people values (1, '123-45-6789', 'Ada Lovelace', '1970-01-02', 'call (212) 555-0187'), (2, '078-05-1120', 'Ben', '1980-03-04', null);
create view adults as select id, ssn, name || '!' as loud from people;
alter table people owner to app; grant all on adults to app";

fn masking() -> Value {
    json!({
        "modes": {"ssn": "partial", "phone": "hash", "birth_date": "fake"},
        "columns": [
            {"columns": ["people.ssn"], "kind": "ssn"},
            {"columns": ["people.name"], "kind": "name"},
            {"columns": ["people.born"], "kind": "birth_date"},
        ],
    })
}

fn world(masking: &Value) -> World {
    let world = World::start();
    world.postgres.script(TABLES);
    world.rule(json!({"masking": masking}));
    world
}

/// Everything that the recordings of a world hold, as JSON lines; and how they look in the files.
fn recorded(world: &World) -> String {
    let exported = |session: &Value| {
        let mut export = world.hoop(&world.admin);
        export.args(["sessions", "export", session["id"].as_str().unwrap(), "-f", "jsonl"]);
        run(&mut export)
    };
    world.sessions().iter().map(exported).collect()
}

#[test]
fn what_is_masked_is_in_no_recording_and_its_count_is() {
    let world = world(&masking());
    assert_eq!(world.psql("select id, ssn, name, note from people order by id"), {
        let phone = world.psql("select '212.555.0187' || ''");
        format!("1|***-**-6789|[name]|call {}\n2|***-**-1120|[name]|\n", phone.trim())
    });
    let born = world.psql("select born from people where id = 1");
    assert!(born.len() == 11 && born != "1970-01-02\n", "{born}");
    assert_eq!(
        world.psql("select * from adults order by id"),
        "1|***-**-6789|[masked]\n2|***-**-1120|[masked]\n"
    );
    assert_eq!(world.psql("select count(ssn) from people"), "2\n");
    assert_eq!(world.psql("copy people (id, ssn) to stdout"), "1\t***-**-6789\n2\t***-**-1120\n");
    let session = world.ended_session();
    let statements = world.statements(session["id"].as_str().unwrap());
    assert!(statements.iter().any(|one| one["masked"]["ssn"] == 2), "{statements:#?}");
    let kept = recorded(&world);
    for secret in ["123-45", "078-05", "Lovelace", "1970-01-02", "555-0187"] {
        assert!(!kept.contains(secret), "{secret}");
    }
    assert!(kept.contains("\"kind\":\"masked\"") && kept.contains("masked by name: "));
}

#[test]
fn without_a_word_in_the_rule_findings_are_redacted() {
    let world = World::start();
    world.postgres.script(TABLES);
    world.apply(
        &json!({"version": 1, "rules": [{
            "name": "engineers", "subjects": {"groups": ["engineers"]}, "connections": {"labels": {"app": ["clinic"]}},
        }]})
        .to_string(),
    );
    assert_eq!(world.psql("select ssn, note from people where id = 1"), "[ssn]|call [phone]\n");
    let known = run(world.hoop(&world.admin).args(["admin", "export"]));
    assert!(!known.contains("masking"), "what nobody wrote stands nowhere: {known}");
}

#[test]
fn who_sees_what_is_a_matter_of_the_rule_and_a_new_one_ends_the_session() {
    let world = world(&json!("none"));
    let mut psql = Psql::start(&world);
    assert_eq!(psql.ask("select ssn from people where id = 1;"), "123-45-6789");
    world.rule(json!({"masking": masking()}));
    wait_until("its end", || psql.try_ask("select ssn from people where id = 1;").is_none().then_some(()));
    let words = psql.last_words();
    assert!(words.contains("its answers are masked by other rules"), "{words}");
    assert_eq!(world.psql("select ssn from people where id = 1"), "***-**-6789\n");
}

#[test]
fn what_the_agent_cannot_look_up_is_not_shown() {
    let world = world(&masking());
    world.postgres.script("revoke select on pg_catalog.pg_depend from public");
    let mut psql = world.through(&["psql", "-XAtq", "-c", "select ssn from people"]);
    let done = psql.output().unwrap();
    let said = String::from_utf8(done.stderr).unwrap();
    assert!(said.contains("HOOP-5017") && said.contains("pg_depend"), "{said}");
    assert!(done.stdout.is_empty());
}

#[test]
fn a_dump_is_masked_and_can_be_restored() {
    let world = world(&masking());
    let mut dump = world.through(&["pg_dump", "--data-only", "-t", "people"]);
    let done = dump.env("PGDATABASE", "clinic").output().unwrap();
    let (text, said) =
        (String::from_utf8(done.stdout).unwrap(), String::from_utf8_lossy(&done.stderr).into_owned());
    assert!(text.contains("***-**-6789\t[name]\t") && !text.contains("1970-01-02"), "{text}{said}");
    world.postgres.script("create table people_2 (like people)");
    let copy = text.replace("public.people ", "public.people_2 ");
    let mut psql = world.postgres.client("psql");
    psql.env("PGDATABASE", "clinic").args(["-XqAt", "-v", "ON_ERROR_STOP=1"]);
    run_for_all(&mut psql, &copy);
    assert_eq!(world.postgres.script("select count(*), min(ssn) from people_2"), "2|***-**-1120\n");
}

#[test]
fn a_rule_that_does_not_say_what_a_column_holds_is_refused() {
    let world = World::start();
    for (masking, words) in [
        (json!({"columns": [{"columns": ["people.ssn"]}]}), "say its `kind`"),
        (json!({"columns": [{"columns": ["ssn"], "kind": "ssn"}]}), "is no pattern of columns"),
        (json!({"modes": {"shoe_size": "redact"}}), "shoe_size"),
        (json!("off"), "none"),
        (json!({"columns": []}), "an empty list says nothing"),
    ] {
        let rule = json!({"name": "engineers", "subjects": {"groups": ["engineers"]}, "connections": {"names": ["pg"]}, "masking": masking});
        let mut apply = world.hoop(&world.admin);
        apply.args(["admin", "apply", "--file"]);
        let file = world.folder.path().join("rules.json");
        std::fs::write(&file, json!({"version": 1, "rules": [rule]}).to_string()).unwrap();
        let done = apply.arg(&file).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success());
        assert!(said.contains(words), "{masking}: {said}");
    }
}

#[test]
fn a_scan_names_columns_and_no_value_leaves_the_agent() {
    let world = World::start();
    world.postgres.script(
        "create table people (id int, ssn text, full_name text, born date, reach text, remarks text, points int); \
         insert into people select n, '123-45-6789', 'zz zz', '1970-01-02', 'ada@example.com', \
         case when n = 3 then 'call (212) 555-0187' end, 7 from generate_series(1, 30) n; \
         create table locked (email text); alter table people owner to app; \
         create schema \"odd one\"; create table \"odd one\".\"T\" (\"Home ZIP\" text); grant usage on schema \"odd one\" to app; \
         grant select on \"odd one\".\"T\" to app",
    );
    let found = world.json(&world.admin, &["admin", "connections", "scan", "pg"]);
    let columns: Vec<String> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| {
            format!(
                "{}.{} {} {}/{} {}",
                one["table"], one["column"], one["kind"], one["hits"], one["rows"], one["by_name"]
            )
            .replace('"', "")
        })
        .collect();
    for wanted in [
        "T.Home ZIP zip 0/0 true",
        "locked.email email 0/0 true",
        "people.born birth_date 20/20 false",
        "people.full_name name 0/20 true",
        "people.reach email 20/20 false",
        "people.remarks phone 1/1 false",
        "people.ssn ssn 20/20 true",
    ] {
        assert!(columns.iter().any(|one| one == wanted), "{wanted}: {columns:#?}");
    }
    assert!(!columns.iter().any(|one| one.contains("points") || one.contains("people.id")), "{columns:?}");
    assert_eq!((found["partial"].as_bool(), found["columns"].as_u64()), (Some(true), Some(9)), "{found}");
    let said = run(world.hoop(&world.admin).args(["admin", "connections", "scan", "pg"]));
    assert!(said.contains("- {columns: [\"public.people.ssn\"], kind: ssn}"), "{said}");
    for secret in ["123-45", "1970", "ada@", "555-0187", "zz zz"] {
        assert!(!said.contains(secret) && !found.to_string().contains(secret), "{secret}");
    }
    let told = world.json(&world.admin, &["audit", "ls"]).to_string();
    assert!(told.contains("connection.scanned"), "{told}");
}
