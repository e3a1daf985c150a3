//! Rules are tried on statements: what is told is what a session would be told, whoever may read rules may ask, and
//! nothing of it is kept.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use common::{Tokens, World, problem};
use hoop_model::Role;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

const FILE: &str = "
version: 1
rules:
  - name: analysts
    subjects: {groups: [analysts]}
    connections: {names: [pg]}
    conditions: {mfa: {max_age: 12h}}
    limits: {duration: 8h, idle: 30m}
    statements:
      - {name: no-billing,  action: deny,  tables: [\"billing.*\"]}
      - {name: whole-table, action: deny,  classes: [write], without_where: true}
      - {name: notes,       action: allow, classes: [read, write], tables: [clinic.notes]}
      - {name: read,        action: allow, classes: [read]}
  - name: dba
    subjects: {groups: [dba]}
    connections: {names: [pg]}
    conditions: {mfa: {max_age: 12h}}
    limits: {duration: 8h, idle: 30m}
";

struct Scene {
    world: World,
    admin: Tokens,
    auditor: Tokens,
}

impl Scene {
    async fn start() -> Self {
        let world = World::start().await;
        let mut root = world.person("root", Role::Admin, &[]).await;
        let mut eve = world.person("eve", Role::Auditor, &[]).await;
        let (admin, auditor) = (world.tokens(&mut root).await, world.tokens(&mut eve).await);
        Self { world, admin, auditor }
    }

    async fn send(&self, who: &Tokens, body: &Value) -> Response {
        self.world
            .request(Method::POST, "/rules/try")
            .json(body)
            .bearer_auth(&who.access)
            .send()
            .await
            .unwrap()
    }

    async fn tried(&self, body: Value) -> Value {
        let response = self.send(&self.auditor, &body).await;
        assert_eq!(response.status(), StatusCode::OK);
        response.json().await.unwrap()
    }

    async fn refused(&self, body: Value) -> (u16, String) {
        problem(self.send(&self.auditor, &body).await).await
    }
}

fn with(texts: &[&str]) -> Value {
    json!({ "yaml": FILE, "rule": "analysts", "dialect": "postgres", "texts": texts })
}

#[tokio::test]
async fn each_text_is_told_what_was_read_and_what_decides() {
    let scene = Scene::start().await;
    let tried = scene
        .tried(with(&[
            "select name from clinic.patients",
            "begin; update clinic.notes set a = 1; select 1",
            "update clinic.notes set a = 1 where id = 2",
            "select unheard_of(1)",
            "select 'open",
            "",
        ]))
        .await;
    let rules = json!([
        { "name": "analysts", "break_glass": false, "statements": 4 },
        { "name": "dba", "break_glass": false, "statements": 0 },
    ]);
    assert_eq!(tried["rules"], rules);
    let texts = tried["texts"].as_array().unwrap();
    let runs: Vec<_> = texts.iter().map(|text| text["refusal"].is_null()).collect();
    assert_eq!(runs, [true, false, true, false, false, true]);

    let read = &texts[0]["statements"][0];
    assert_eq!(read["classes"], json!(["read"]));
    assert_eq!(read["tables"], json!(["clinic.patients"]));
    assert_eq!((&read["rule"], &read["allowed"]), (&json!("read"), &json!(true)));
    assert_eq!(read["spelling"], "select name from clinic.patients");

    let whole = &texts[1];
    assert_eq!(whole["refused_at"], 1);
    assert_eq!(whole["refusal"]["code"], "HOOP-2030");
    assert_eq!(
        whole["refusal"]["message"],
        "statement rule whole-table does not allow this statement (write)"
    );
    assert!(whole["refusal"]["hint"].is_string());
    let statements = whole["statements"].as_array().unwrap();
    let rules: Vec<_> = statements.iter().map(|one| one["rule"].as_str().unwrap()).collect();
    assert_eq!(
        rules,
        ["notes", "whole-table", "notes"],
        "what touches no table fits rules that allow tables"
    );
    assert_eq!((&statements[1]["unbounded"], &statements[1]["verbs"]), (&json!(true), &json!(["update"])));

    assert_eq!(texts[2]["statements"][0]["rule"], "notes");
    assert_eq!(texts[3]["statements"][0]["unknown_functions"], json!(["unheard_of"]));
    let open = &texts[4];
    assert_eq!(open["refusal"]["code"], "HOOP-2031");
    assert_eq!(open["statements"][0]["opaque"], true);
    assert!(open["statements"][0]["tables"].is_null());
    assert!(open["unreadable"].as_str().unwrap().contains("has no end"));
    assert_eq!(texts[5]["statements"], json!([]));
}

#[tokio::test]
async fn without_a_file_it_is_what_is_in_force() {
    let scene = Scene::start().await;
    let statements = json!([{ "name": "read", "action": "allow", "classes": ["read"] }]);
    let put = scene.world.rule(&scene.admin, json!({ "statements": statements })).send().await.unwrap();
    assert_eq!(put.status(), StatusCode::OK);
    let ask = json!({ "rule": "dba", "dialect": "postgres", "texts": ["drop table a", "select 1"] });
    let tried = scene.tried(ask).await;
    assert_eq!(tried["texts"][0]["refusal"]["code"], "HOOP-2030");
    let dropped = &tried["texts"][0]["statements"][0];
    assert!(dropped["rule"].is_null(), "none fits");
    assert_eq!(dropped["missed"], json!([{ "rule": "read", "condition": "classes" }]));
    assert_eq!(tried["texts"][1]["statements"][0]["missed"], json!([]));
    assert!(tried["texts"][1]["refusal"].is_null());
    let mut free = with(&["drop table a", "select '"]);
    free["rule"] = json!("dba");
    let free = scene.tried(free).await;
    assert!(free["texts"][0]["refusal"].is_null(), "there are no statement rules");
    assert!(free["texts"][1]["refusal"].is_null() && free["texts"][1]["unreadable"].is_string());
}

/// What masking refuses is no matter of statement rules, and is told all the same.
#[tokio::test]
async fn what_a_session_refuses_for_another_reason_is_told_too() {
    let scene = Scene::start().await;
    let mut ask = with(&["copy clinic.notes to stdout with (format csv, delimiter 'x')", "select 1"]);
    ask["rule"] = json!("dba");
    let tried = scene.tried(ask.clone()).await;
    assert_eq!(tried["texts"][0]["refusal"]["code"], "HOOP-2033", "{tried}");
    assert!(tried["texts"][0]["refused_at"].is_null() && tried["texts"][1]["refusal"].is_null());
    ask["yaml"] = json!(format!("{FILE}    masking: none\n"));
    assert!(scene.tried(ask).await["texts"][0]["refusal"].is_null());
}

const CONDITIONS: &str = "
version: 1
modules:
  w: |
    package w
    default broken := false
    own if {
      some group in input.person.groups
      every table in input.statement.tables { table == concat_free(group) }
    }
    concat_free(\"ward_7\") := \"clinic.ward_7\"
    care if startswith(input.reason, \"treatment\")
    prod if input.connection.labels.env == \"prod\"
    broken if no_such_function(1)
rules:
  - name: ward
    subjects: {groups: [nurses]}
    connections: {names: [pg]}
    statements:
      - {name: broken, action: deny, classes: [server], when: data.w.broken}
      - {name: own,    action: allow, classes: [read], when: data.w.own}
      - {name: care,   action: allow, classes: [read], when: data.w.care}
";

/// What is told is what a session of that person, on that connection, for that reason would be told.
#[tokio::test]
async fn conditions_have_the_value_that_they_have_in_a_session() {
    let scene = Scene::start().await;
    scene.world.person("nia", Role::User, &["ward_7"]).await;
    common::agent::Agent::join(&scene.world, "east").await;
    let made = scene.world.connection(&scene.admin, json!({})).await;
    assert!(made.status().is_success(), "{}", made.text().await.unwrap());
    let ask = |session: Value| {
        json!({
            "yaml": CONDITIONS, "rule": "ward", "dialect": "postgres", "session": session,
            "texts": ["select 1 from clinic.ward_7", "select 1 from clinic.ward_8"],
        })
    };
    let runs = async |session: Value| {
        let tried = scene.tried(ask(session)).await;
        let run = |at: usize| tried["texts"][at]["refusal"].is_null();
        ((run(0), run(1)), tried)
    };
    let (ran, tried) = runs(Value::Null).await;
    assert_eq!(ran, (false, false), "nobody is named");
    assert_eq!(tried["texts"][0]["statements"][0]["conditions"], json!([]));
    let nia = |reason: Option<&str>| json!({ "person": "nia", "connection": "pg", "reason": reason });
    let (ran, tried) = runs(nia(None)).await;
    assert_eq!(ran, (true, false));
    let told = &tried["texts"][1]["statements"][0];
    assert_eq!(
        told["missed"],
        json!([{"rule": "own", "condition": "when"}, {"rule": "care", "condition": "when"}])
    );
    let conditions = told["conditions"].as_array().unwrap();
    assert_eq!(conditions.len(), 3);
    assert_eq!((&conditions[1]["when"], &conditions[1]["holds"]), (&json!("data.w.own"), &json!(false)));
    let broken = conditions[0]["answer"].as_str().unwrap();
    assert!(broken.contains("could not find function no_such_function"), "{broken}");
    assert_eq!(runs(nia(Some("treatment of bed 7"))).await.0, (true, true));
    assert_eq!(runs(nia(Some("curiosity"))).await.0, (true, false));
    let (ran, _) = runs(json!({ "person": "eve", "connection": "pg" })).await;
    assert_eq!(ran, (false, false), "another person");
    for unknown in
        [json!({ "person": "nobody", "connection": "pg" }), json!({ "person": "nia", "connection": "x" })]
    {
        assert_eq!(scene.refused(ask(unknown)).await, (404, "HOOP-7002".to_owned()));
    }
    let long = nia(Some(&"x".repeat(1001)));
    assert_eq!(scene.refused(ask(long)).await, (400, "HOOP-7003".to_owned()));
}

#[tokio::test]
async fn what_makes_no_sense_is_refused() {
    let scene = Scene::start().await;
    let bad = || (400, "HOOP-7003".to_owned());
    let big = "x".repeat((64 << 10) + 1);
    let half = "x".repeat(64 << 10);
    assert_eq!(scene.refused(with(&vec!["select 1"; 501])).await, bad(), "too many");
    assert_eq!(scene.refused(with(&[&big])).await, bad(), "too long");
    assert_eq!(scene.refused(with(&[half.as_str(); 17])).await, bad(), "too long in all");
    let mut nameless = with(&["select 1"]);
    nameless["rule"] = Value::Null;
    assert_eq!(scene.refused(nameless).await, bad(), "no rule");
    let mut foreign = with(&["select 1"]);
    foreign["dialect"] = json!("cobol");
    assert_eq!(scene.refused(foreign).await, (422, "HOOP-7003".to_owned()), "no such dialect");
    let mut other = with(&["select 1"]);
    other["rule"] = json!("nobodys");
    assert_eq!(scene.refused(other).await, (404, "HOOP-7002".to_owned()));
    let mut broken = with(&[]);
    broken["yaml"] = json!("version: 1\nrules:\n  - name: a\n    nonsense: 1\n");
    let answer = scene.send(&scene.auditor, &broken).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let told: Value = answer.json().await.unwrap();
    assert!(told["message"].as_str().unwrap().starts_with("line 4, column"), "{told}");
}

#[tokio::test]
async fn the_largest_that_is_taken_gets_a_bounded_answer() {
    let scene = Scene::start().await;
    let many = "a;".repeat(32 << 10);
    let response = scene.send(&scene.auditor, &with(&[many.as_str(); 16])).await;
    assert_eq!(response.status(), StatusCode::OK);
    let tried: Value = response.json().await.unwrap();
    let text = &tried["texts"][15];
    assert_eq!(text["statements"].as_array().unwrap().len(), 20);
    assert_eq!(text["statements_omitted"], (32 << 10) - 20);
    let late = format!("{}drop table a", "select 1;".repeat(100));
    let tried = scene.tried(with(&[&late])).await;
    let told = tried["texts"][0]["statements"].as_array().unwrap();
    assert_eq!((told.len(), &told[20]["at"]), (21, &json!(100)), "the one that refuses is always told");
}

#[tokio::test]
async fn a_trial_leaves_nothing_behind() {
    let scene = Scene::start().await;
    let before = scene.world.running.store().ledger_head().await.unwrap().size;
    scene.tried(with(&["select 'of_nobodys_business'"])).await;
    assert_eq!(scene.world.running.store().ledger_head().await.unwrap().size, before);
    let rules = scene.world.request(Method::GET, "/rules").bearer_auth(&scene.auditor.access);
    let rules: Value = rules.send().await.unwrap().json().await.unwrap();
    assert_eq!(rules["version"], 0);
}

#[tokio::test]
async fn samples_are_masked_as_the_rule_would() {
    let scene = Scene::start().await;
    let yaml = FILE.replace(
        "    statements:",
        "    masking: {modes: {email: partial, phone: clear}, columns: [{columns: [patients.ssn], kind: ssn, mode: partial}, \
         {columns: [clinic.*.photo], mode: null}, {columns: [\"*.id\"], mode: clear}]}\n    statements:",
    );
    let samples = json!([
        {"column": "clinic.patients.ssn", "value": "anything 12345"},
        {"column": "clinic.scans.photo", "value": "x"},
        {"column": "clinic.patients.id", "value": "123-45-6789"},
        {"column": "clinic.notes.body", "value": "SSN 123-45-6789, (212) 555-0187, ada@example.com"},
        {"value": "nothing"},
    ]);
    let ask = |rule: &str| json!({ "yaml": yaml, "rule": rule, "dialect": "postgres", "samples": samples });
    let tried = scene.tried(ask("analysts")).await;
    let shown = |at: usize| (tried["samples"][at]["shown"].clone(), tried["samples"][at]["pattern"].clone());
    assert_eq!(shown(0), (json!("******** *2345"), json!("patients.ssn")));
    assert_eq!(shown(1), (Value::Null, json!("clinic.*.photo")));
    assert_eq!(shown(2), (json!("123-45-6789"), json!("*.id")));
    assert_eq!(shown(3), (json!("SSN [ssn], (212) 555-0187, ***@example.com"), Value::Null));
    assert_eq!(tried["samples"][3]["counts"], json!({"email": 1, "ssn": 1}));
    assert_eq!(shown(4), (json!("nothing"), Value::Null));
    let plain = scene.tried(ask("dba")).await;
    assert_eq!(
        plain["samples"][3]["shown"], "SSN [ssn], [phone], [email]",
        "what a rule does not say is redacted"
    );
    let (status, _) = scene.refused(json!({ "yaml": yaml, "rule": "dba", "dialect": "postgres", "samples": [{"column": "ssn", "value": ""}] })).await;
    assert_eq!(status, 400);
}
