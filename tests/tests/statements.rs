//! Statement rules, through the whole product: what is denied has no effect, however it is written.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use hoop_testkit::{Postgres, PostgresOptions, World, run_for_all};
use serde_json::{Value, json};

/// What psql prints, answers and errors, of texts that each go to the server as one.
fn psql(world: &World, texts: &[&str]) -> String {
    let mut psql = world.through(&["psql", "-XAtq"]);
    psql.args(texts.iter().flat_map(|text| ["-c", text]));
    let done = psql.output().unwrap();
    String::from_utf8(done.stdout).unwrap() + &String::from_utf8(done.stderr).unwrap()
}

fn world(statements: &Value) -> World {
    let world = World::start();
    world.postgres.script(
        "create table mark (n int); insert into mark values (0); create sequence s; \
         create function bump() returns int language sql as 'insert into mark values (1) returning n'; \
         create procedure bump_it() language sql as 'insert into mark values (1)'; \
         create schema billing; create table billing.claims (n int); \
         alter table mark owner to app; alter sequence s owner to app; grant usage on schema billing to app; \
         grant all on billing.claims to app; grant create on schema public to app",
    );
    world.rule(json!({"statements": statements}));
    world
}

#[test]
fn a_denial_names_its_rule_and_the_transaction_goes_on() {
    let world = world(&json!([
        {"name": "no-billing", "action": "deny", "tables": ["billing.*"]},
        {"name": "whole-table", "action": "deny", "classes": ["write"], "without_where": true},
        {"name": "removal", "action": "deny", "verbs": ["delete"]},
        {"name": "work", "action": "allow", "classes": ["read", "write"]},
    ]));
    let said = psql(
        &world,
        &[
            "begin",
            "insert into public.mark values (7)",
            "select * from billing.claims",
            "update public.mark set n = 8",
            "delete from public.mark where n = 7",
            "set role postgres",
            "select 'unclosed",
            "update public.mark set n = 9 where n = 7",
            "commit",
            "select max(n) from public.mark",
        ],
    );
    for words in [
        "statement rule no-billing does not allow this statement (read)\nDETAIL:  HOOP-2030",
        "statement rule whole-table does not allow this statement (write)\nDETAIL:  HOOP-2030",
        "statement rule removal does not allow this statement (write)\nDETAIL:  HOOP-2030",
        "the access rule does not allow this statement (privilege)\nDETAIL:  HOOP-2030",
        "has no end\nDETAIL:  HOOP-2031",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(said.starts_with("9\n"), "{said}");
    let mut options = world.through(&["psql", "-XAtq", "-c", "select 1"]);
    let done = options.env("PGOPTIONS", "-c standard_conforming_strings=off").output().unwrap();
    assert!(String::from_utf8_lossy(&done.stderr).contains("HOOP-2032"), "{done:?}");
    let mut options = world.through(&["psql", "-XAtq", "-c", "show statement_timeout"]);
    assert_eq!(run_for_all(options.env("PGOPTIONS", "-c statement_timeout=7s"), ""), "7s\n");
    // It is on the recording, with what was refused.
    let session = world.sessions().iter().find(|one| one["requests"].as_u64() > Some(8)).unwrap().clone();
    let shown = world.statements(session["id"].as_str().unwrap());
    let denied = shown.iter().filter(|one| one.to_string().contains("HOOP-203")).count();
    assert!(denied >= 5, "{denied}: {shown:#?}");
}

/// Limits of a rule hold over sessions, and the database itself refuses changes.
#[test]
fn limits_and_the_databases_own_fence_hold_from_end_to_end() {
    let world = world(&json!([
        {"name": "mark", "action": "allow", "tables": ["mark"], "classes": ["read"], "at_most": {"rows": 3}, "rate": {"statements": 4, "per": "1h"}},
        {"name": "all", "action": "allow", "classes": ["read", "write"]},
    ]));
    let three = "select n from mark, generate_series(1, 3)";
    assert_eq!(psql(&world, &[three]), "0\n0\n0\n");
    let many = psql(&world, &["select n from mark cross join (values (1), (2), (3), (4)) v", "select 1"]);
    assert!(many.contains("HOOP-2035") && !many.contains("0\n"), "{many}");
    assert_eq!(psql(&world, &[three]), "0\n0\n0\n");
    assert_eq!(psql(&world, &["select n from mark"]), "0\n");
    let fifth =
        psql(&world, &["select n from mark", "insert into mark values (5)", "select count(*) from pg_am"]);
    assert_eq!(fifth.matches("HOOP-2036").count(), 1, "in another session, and nothing else: {fifth}");

    world.rule(json!({"read_only": true}));
    let said =
        psql(&world, &["insert into mark values (1)", "begin read write", "select count(*) from mark"]);
    assert!(said.contains("read-only transaction") && said.contains("HOOP-2038"), "{said}");
    assert_eq!(world.postgres.script("select count(*) from mark").trim(), "2");
}

#[test]
fn other_rules_end_the_session() {
    let world = world(&json!([{"name": "all", "action": "allow"}]));
    let mut psql = hoop_testkit::Psql::start(&world);
    assert_eq!(psql.ask("select 1;"), "1");
    world.rule(json!({"statements": [{"name": "read", "action": "allow", "classes": ["read"]}]}));
    hoop_testkit::wait_until("its end", || psql.try_ask("select 2;").is_none().then_some(()));
    let words = psql.last_words();
    assert!(words.contains("its statements are held against other rules"), "{words}");
}

/// What does something that reading is not.
const PAYLOADS: [&str; 28] = [
    "insert into mark values (1)",
    "update mark set n = n + 1 where n = 0",
    "delete from mark where n = 0",
    "truncate mark",
    "create table stolen (n int)",
    "drop table mark",
    "alter table mark add column x int",
    "select n into stolen from mark",
    "create table stolen as select 1 as n",
    "create view stolen as select bump()",
    "with w as (insert into mark values (1) returning n) select * from w",
    "with a as (select 1), w as (delete from mark returning n) select * from a, w",
    "explain analyze insert into mark values (1)",
    "explain (analyze) select bump()",
    "do $$ begin insert into mark values (1); end $$",
    "select bump()",
    "select * from bump()",
    "select n from mark where n < (select public.bump())",
    "call bump_it()",
    "merge into mark using (select 1 as a) s on true when matched then update set n = 9",
    "grant all on mark to public",
    "comment on table mark is 'x'",
    "select query_to_xml('insert into mark values (1) returning n', true, true, '')",
    "select nextval('s')",
    "copy (select bump()) to stdout",
    "copy (insert into mark values (1) returning n) to stdout",
    "create function stolen() returns int language sql as 'select 1'",
    "create schema stolen create table t (n int)",
];

/// The same, as somebody writes it who means to get by.
fn disguised(payload: &str) -> Vec<String> {
    let quoted = payload.contains(['\'', '$']);
    let spaced = |gap: &str| if quoted { format!("{gap}{payload}") } else { payload.replace(' ', gap) };
    let loud = |text: &str| if quoted { text.to_owned() } else { text.to_ascii_uppercase() };
    let mut all = vec![
        payload.to_owned(),
        loud(payload),
        spaced("/**/"),
        spaced(" /* /* -- */ ' */ "),
        spaced(" --'\n"),
        spaced("\n"),
        spaced("\t\x0c"),
        spaced("/*\r*/"),
        format!("/* select */{payload}"),
        format!("-- select\n{payload}"),
        format!("--\r{payload}"),
        format!(";;{payload};"),
        format!("select 1;{payload}"),
        format!("select 1;{payload};select 2"),
        format!("begin;{payload};commit"),
        format!("select '/*';{payload};select '*/'"),
        format!("select '--';{payload}"),
        format!("select $$--$$;{payload}"),
        format!("select $a$ $$ /* $a$;{payload}"),
        format!("select E'\\'';{payload};--'"),
        format!("select '\\';{payload};--'"),
        format!("select U&'\\0027';{payload}"),
        format!("select 1 as \"--\";{payload}"),
        format!("select 1 as \"a\"\"/*\";{payload}"),
        format!("select 'a'\n'/*';{payload}"),
        format!("set standard_conforming_strings = off;select '\\';{payload};--'"),
        format!("select set_config('standard_conforming_strings','off',false);{payload}"),
        format!("set search_path = public;{payload}"),
        format!("prepare p{} as {payload};execute p{}", payload.len(), payload.len()),
        format!("explain analyze verbose {payload}"),
        format!("declare c cursor with hold for {payload};fetch all from c"),
        format!("create rule r as on insert to mark do also {payload}"),
        format!("({payload})"),
        format!("\u{a0}{payload}"),
        format!("+-/**/{payload}"),
    ];
    all.dedup();
    all
}

/// Everything that a statement may have left.
const STATE: &str = "select string_agg(n::text, ',' order by n) from mark; select last_value, is_called from s; \
    select string_agg(relname || relnamespace::regnamespace, ',' order by oid) from pg_class where oid > 16383; \
    select string_agg(proname, ',' order by oid) from pg_proc where oid > 16383; \
    select string_agg(rolname, ',' order by oid) from pg_roles; select string_agg(nspname, ',') from pg_namespace where nspname !~ 'temp'; \
    select relacl, obj_description(oid), relnatts from pg_class where relname = 'mark'; select count(*) from pg_rewrite where oid > 16383";

const DRIVE: &str = "\
import os, sys, json, psycopg
texts = json.load(open(sys.argv[1]))
conn = psycopg.connect(host=os.environ['PGHOST'], port=os.environ['PGPORT'], user=os.environ['PGUSER'], dbname='clinic', sslmode='disable', autocommit=True)
bad = 0
for text in texts:
    for run in (lambda: conn.pgconn.exec_(text.encode()), lambda: conn.pgconn.exec_params(text.encode(), [])):
        result = run()
        bad += result.status == psycopg.pq.ExecStatus.FATAL_ERROR
        while conn.pgconn.transaction_status == psycopg.pq.TransactionStatus.INERROR or conn.pgconn.transaction_status == psycopg.pq.TransactionStatus.INTRANS:
            conn.pgconn.exec_(b'rollback')
print(bad, 'of', 2 * len(texts))
";

/// THREATS C2, C3: nothing of a denied class takes effect, by either protocol.
#[test]
fn what_may_only_read_changes_nothing_however_it_is_written() {
    let world = world(&json!([{"name": "read", "action": "allow", "classes": ["read"]}]));
    let texts: Vec<String> = PAYLOADS.iter().flat_map(|payload| disguised(payload)).collect();
    assert!(texts.len() >= 900, "{}", texts.len());
    let before = world.postgres.script(STATE);
    let file = |name: &str, text: &str| {
        let path = world.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (script, list) = (file("drive.py", DRIVE), file("texts.json", &json!(texts).to_string()));
    let drive = |world: &World| run_for_all(&mut world.through(&["/usr/bin/python3", &script, &list]), "");
    let said = drive(&world);
    assert_eq!(world.postgres.script(STATE), before, "{said}");
    // Whatever psql sends, too.
    let all: Vec<&str> = texts.iter().map(String::as_str).collect();
    psql(&world, &all);
    assert_eq!(world.postgres.script(STATE), before);
    // The same texts do something where nobody forbids it.
    world.rule(json!({}));
    drive(&world);
    assert_eq!(
        world.postgres.script("select to_regclass('mark') is null, to_regclass('s') is null"),
        "t|f\n"
    );
}

/// The functions that count as harmless, held against what servers say of them.
#[test]
fn no_function_that_is_known_is_volatile() {
    const KNOWN: &str = include_str!("../../crates/sql/src/postgres/stable.txt");
    for version in [None, Some(18)] {
        let server = Postgres::start(&PostgresOptions { tls: false, version, ..PostgresOptions::default() });
        let volatile = server.sql(
            "select proname from pg_proc where pronamespace = 'pg_catalog'::regnamespace \
             group by 1 having bool_or(provolatile = 'v' or prokind = 'p')",
        );
        let volatile: std::collections::BTreeSet<_> = volatile.lines().collect();
        assert!(volatile.contains("pg_read_file") && volatile.contains("nextval"), "{volatile:?}");
        let wrong: Vec<_> = KNOWN.lines().filter(|name| volatile.contains(name)).collect();
        assert!(wrong.is_empty(), "{version:?}: {wrong:?}");
    }
}

#[test]
fn people_and_tools_that_only_read_are_not_in_the_way() {
    let world = world(&json!([{"name": "read", "action": "allow", "classes": ["read"]}]));
    let said = psql(
        &world,
        &[
            "begin read only; select count(*) from mark; commit",
            "set statement_timeout = '5s'; show statement_timeout",
            "select n, lower('X'), now() is not null, coalesce(n, 1) from mark where n in (select 0) order by 1 limit 3",
            "with a as (select * from mark) select a.n from a join mark m on m.n = a.n",
            "explain select * from mark",
            "copy mark to stdout",
            "table mark",
            "select jsonb_agg(to_jsonb(m)) from mark m",
            "prepare p as select $1::int; execute p(1); deallocate p",
        ],
    );
    assert!(!said.contains("ERROR"), "{said}");
    // psql's own questions about the catalog.
    for command in ["\\d", "\\d mark", "\\dt *.*", "\\df", "\\du", "\\l", "\\dn+", "\\d+ mark", "\\dp"] {
        let said = psql(&world, &[command]);
        assert!(!said.contains("HOOP"), "{command}: {said}");
    }
}
