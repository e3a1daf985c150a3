//! Masking on a real server: what the rules hide comes out by no way that a client has, and what they show stays.

use hoop_policy::{Masking, Rules};
use hoop_recording::event::Event;

use crate::{
    Server,
    gate::{Gate, unmasked},
    run,
};
use hoop_testkit::PASSWORD;

/// A table of people, what is made of it, and who reads it.
const TABLES: &str = "\
create table people (id int primary key, ssn text not null unique, name text, dob date, file bigint, weight numeric,
    seen timestamptz, extra jsonb, tags text[], town text, check (weight > 0));
insert into people values (1, 'KX-4471-QQ', 'Zyxwvut Qponmlk', '1931-07-19', 778123456789, 71.25,
    '1987-03-05 10:11:12+00', '{\"k\": \"KX-4471-QQ\"}', array['KX-4471-QQ'], 'Springfield');
create table visits (id int primary key, person int references people, note text);
insert into visits values (10, 1, 'SSN 123-45-6789, call (212) 555-0187'), (11, 1, 'nothing');
create table kin (relation text) inherits (people);
insert into kin values (2, 'KX-4471-QQ', 'Zyxwvut Qponmlk', '1931-07-19', 778123456789, 71.25,
    '1987-03-05 10:11:12+00', '{}', '{}', 'Dover', 'aunt');
create table years (id int, ssn text) partition by range (id);
create table years_1 partition of years for values from (0) to (10);
insert into years values (3, 'KX-4471-QQ');
create view same as select * from people;
create view other as select id, ssn as label, town from people;
create view whole as select id, row_to_json(p) as all_of_it from people p;
create view layered as select o.label, o.town, s.ssn as id from other o join same s on s.id = o.id;
create view mixed as select 'a' as ssn union all select ssn from people;
create view sneaky as select ssn as id, (select ssn from people limit 1) as town, town as ssn from people;
create view over as select label || '' as again from other;
create view towns as select id, town from people;
create materialized view stored as select upper(ssn) as up from people;
create function fetch_it() returns text language sql as 'select ssn from people where id = 1';
analyze people";

/// What must not come out, in any of the forms that it has on the wire.
fn secrets() -> Vec<Vec<u8>> {
    // 1931-07-19 is so many days before 2000-01-01.
    let days = -25_003_i32;
    let mut secrets: Vec<Vec<u8>> = [
        "KX-4471-QQ",
        "KX4471",
        "4471-QQ",
        "Zyxwvut",
        "Qponmlk",
        "1931-07-19",
        "19310719",
        "07/19/1931",
        "778123456789",
        "71.25",
        "1987-03-05",
        "4b582d343437312d5151",
        "S1gtNDQ3MS1RUQ",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    secrets.push(days.to_be_bytes().to_vec());
    secrets.push(778_123_456_789_i64.to_be_bytes().to_vec());
    secrets
}

/// Ways to see them. Each is a script of its own.
const WAYS: [&str; 80] = [
    "select ssn from people",
    "select * from people",
    "table people",
    "select p.* from people p",
    "select p from people p",
    "select p::text from people p",
    "select (p).ssn from people p",
    "select ssn as town from people",
    "select \"ssn\" from public.people",
    "select row_to_json(p) from people p",
    "select to_jsonb(p) ->> 'ssn' from people p",
    "select extra, tags from people",
    "select extra ->> 'k', tags[1] from people",
    "select ssn || '' from people",
    "select substr(ssn, 1, 10), left(name, 7), reverse(reverse(ssn)) from people",
    "select array_agg(ssn), string_agg(name, ','), json_agg(dob) from people",
    "select min(ssn), max(name), min(dob), max(file) from people",
    "select file + 0, file::text, file::numeric, weight * 1, weight::float8 from people",
    "select dob + 0, dob::text, dob::timestamp, to_char(dob, 'YYYYMMDD'), to_char(dob, 'MM/DD/YYYY') from people",
    "select seen, seen::date, seen + interval '0' from people",
    "set datestyle = 'SQL, MDY'; select dob, dob::text from people",
    "select ssn::bytea, encode(ssn::bytea, 'hex'), encode(ssn::bytea, 'base64') from people",
    "select ssn::varchar, ssn::name, ssn::char(20), ssn::json from (select to_json(ssn)::text as ssn from people) s",
    "select x from (select ssn as x from people) s",
    "select x || '' from (select ssn as x from people) s",
    "with w as (select ssn as x from people) select x, x || '' from w",
    "select ssn from people union all select 'a'",
    "select 'a' union all select ssn from people",
    "select (select ssn from people where id = 1)",
    "values ((select name from people where id = 1))",
    "select v.note, (select max(ssn) from people) from visits v",
    "select coalesce(null, ssn), nullif(ssn, ''), case when true then ssn end, greatest(ssn, 'A') from people",
    "select count(*), ssn from people group by ssn",
    "select ssn, count(*) over () from people",
    "select unnest(tags), unnest(array[ssn]) from people",
    "select * from unnest((select array_agg(ssn) from people)) u",
    "select t.x from people p, lateral (select p.ssn || '' as x) t",
    "select ssn::int from people",
    "select name::date from people",
    "select ('{' || ssn)::json from people",
    "select 1 / (length(ssn) - length(ssn)) from people",
    "update people set town = town where id = 1 returning ssn, ssn || ''",
    "insert into people select 7, ssn from people where id = 1",
    "insert into people (id, ssn, name, dob, weight) select 8, ssn || 'x', name, dob, -1 from people where id = 1",
    "insert into people (id, ssn) values (9, null)",
    "delete from people where id = 1",
    "do $$ begin raise notice 'it is %', (select ssn from people where id = 1); end $$",
    "do $$ begin raise exception 'it is %', (select ssn from people where id = 1) using detail = (select name from people where id = 1), hint = (select dob from people where id = 1); end $$",
    "do $$ begin raise exception using errcode = '42501', message = (select ssn from people where id = 1); end $$",
    "do $$ begin raise notice using errcode = '42501', message = (select ssn from people where id = 1); end $$",
    "create temp table v as select ssn as s, dob as d from people; copy v to stdout; copy v (s) to stdout csv",
    "select set_config('application_name', ssn, false) from people; select setting, reset_val from pg_settings; select application_name, query from pg_stat_activity",
    "select set_config('application_name', ssn, false) from people; select application_name || '' from pg_stat_activity",
    "begin; declare c cursor for select ssn, ssn || '' from people; fetch all from c; commit",
    "begin; declare c cursor with hold for select ssn || '' as x from people; commit; fetch all from c",
    "prepare q as select ssn, ssn || '' from people; execute q",
    "create temp table t as select ssn as s, dob as d from people; select s, d from t; select s || '' from t; table t",
    "select ssn as s into temp u from people; select * from u",
    "create temp view w as select ssn || '' as s from people; select * from w",
    "select set_config('application_name', ssn, false) from people",
    "select set_config('x.y', ssn, false) from people where id = 1; select current_setting('x.y'); show x.y",
    "listen ch; select pg_notify('ch', ssn) from people; select 1",
    "copy people to stdout",
    "copy people (ssn, name, dob, file) to stdout csv header",
    "copy public.people (extra, tags, seen) to stdout",
    "copy (select * from people) to stdout",
    "copy (select ssn || '' from people) to stdout with (format csv)",
    "select * from same; select ssn || '' from same; copy (select * from same) to stdout",
    "select * from other; select label || '' from other",
    "select * from whole; select all_of_it ->> 'ssn' from whole",
    "select * from over; select upper(again) from over",
    "select * from stored",
    "select * from layered; select label || '' from layered; select id from layered; copy (table layered) to stdout",
    "select * from mixed; select * from sneaky; select id, town from sneaky; copy (table sneaky) to stdout csv",
    "select * from kin; select ssn || '' from kin; copy kin (ssn, name) to stdout",
    "select ssn from years; select ssn || '' from years_1; table years_1; copy years_1 to stdout",
    "select fetch_it()",
    "select * from fetch_it()",
    "select query_to_xml('select ssn from people', true, true, '')",
    "select most_common_vals, histogram_bounds from pg_stats; select stavalues1::text from pg_statistic",
];

const RULES: &str = "\
mode: null
detect: false
columns:
  - {columns: [people.ssn, people.name, people.dob, people.file, people.weight, people.seen, people.extra, people.tags], mode: null}
  - {columns: [years.ssn], kind: ssn, mode: redact}
";

fn masked(rules: &str) -> Rules {
    Rules { masking: serde_saphyr::from_str::<Masking>(rules).unwrap(), ..unmasked() }
}

fn world(rules: &str) -> (Server, Gate) {
    let server = Server::start("scram-sha-256");
    let mut psql = server.client("psql", server.port);
    psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1"]);
    run(psql, TABLES);
    let gate = Gate::open(server.port, PASSWORD, masked(rules));
    (server, gate)
}

fn psql(server: &Server, port: u16, script: &str) -> String {
    let mut psql = server.client("psql", port);
    psql.args(["-XAt", "-c", script]);
    let done = psql.output().unwrap();
    String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr)
}

fn leaked(bytes: &[u8]) -> Option<String> {
    let found =
        secrets().into_iter().find(|secret| bytes.windows(secret.len()).any(|window| window == secret));
    found.map(|secret| secret.escape_ascii().to_string())
}

fn recorded_bytes(gate: &Gate) -> Vec<u8> {
    let kept = |event: Event| match event {
        Event::Rows { data, .. } | Event::Copy { data, .. } => data.to_vec(),
        Event::Failed { message, .. } => message.to_vec(),
        Event::Said { text, .. } => text.to_vec(),
        _ => Vec::new(),
    };
    gate.events().into_iter().flat_map(|(_, event)| kept(event)).collect()
}

#[test]
fn what_a_rule_hides_comes_out_by_no_way() {
    let (server, gate) = world(RULES);
    let mut leaks = Vec::new();
    let mut shown = 0;
    for way in WAYS {
        // Each statement by itself, and all of them as one text.
        for script in [way.split("; ").map(str::to_owned).collect::<Vec<_>>(), vec![way.to_owned()]] {
            let whole = if way.contains("do $$") { vec![way.to_owned()] } else { script };
            let mut command = server.client("psql", gate.port);
            command.args(["-XAt"]).args(whole.iter().flat_map(|text| ["-c", text.as_str()]));
            let done = command.output().unwrap();
            shown += done.stdout.len();
            let sent = gate.take_to_client();
            if let Some(secret) = leaked(&sent).or_else(|| leaked(&done.stdout)) {
                leaks.push(format!("{way}: {secret}"));
            }
        }
    }
    assert!(leaks.is_empty(), "{} ways: {leaks:#?}", leaks.len());
    assert_eq!(leaked(&recorded_bytes(&gate)), None, "the recording shows what the person saw");
    assert!(shown > 500, "they were answered: {shown}");
    // The same ways do show it where nothing is masked: the test can fail.
    let plain = Gate::open(server.port, PASSWORD, unmasked());
    let seen = WAYS.iter().filter(|way| {
        psql(&server, plain.port, way);
        leaked(&plain.take_to_client()).is_some()
    });
    assert!(seen.count() > 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_in_binary_by_the_extended_protocol() {
    let (_server, gate) = world(RULES);
    let mut leaks = Vec::new();
    for way in WAYS {
        let client = crate::connect(&gate).await;
        for statement in way.split("; ").filter(|_| !way.contains("do $$")) {
            let one = async {
                let prepared = client.prepare(statement).await?;
                client.query(&prepared, &[]).await?;
                client.query(&prepared, &[]).await
            };
            // Some fail, as they do without us; a COPY is no query.
            drop(one.await);
        }
        if let Some(secret) = leaked(&gate.take_to_client()) {
            leaks.push(format!("{way}: {secret}"));
        }
    }
    assert!(leaks.is_empty(), "{} ways: {leaks:#?}", leaks.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_by_another_connection() {
    let (_server, gate) = world(RULES);
    let (one, other) = (crate::connect(&gate).await, crate::connect(&gate).await);
    other.batch_execute("listen ch").await.unwrap();
    let says =
        "select set_config('application_name', ssn, false), pg_notify('ch', ssn) from people where id = 1";
    one.batch_execute(says).await.unwrap();
    other.batch_execute("select application_name, query from pg_stat_activity").await.unwrap();
    other.batch_execute("select application_name || '' from pg_stat_activity").await.unwrap();
    assert_eq!(leaked(&gate.take_to_client()), None);
}

/// The name that the client has given to what it prepared last.
async fn last_name(client: &tokio_postgres::Client, of: &str) -> String {
    let found = client.simple_query(&format!("select name from {of} order by 1 desc limit 1")).await.unwrap();
    let names = found.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    names.unwrap().to_owned()
}

/// A statement that was prepared and described, and another under its name that was not.
#[tokio::test(flavor = "multi_thread")]
async fn nor_by_a_name_that_is_given_anew() {
    let (_server, gate) = world(RULES);
    let plain = Gate::open(_server.port, PASSWORD, unmasked());
    for (gate, hides) in [(&gate, true), (&plain, false)] {
        let mut ways = 0;
        for way in [
            "deallocate NAME; prepare NAME as select ssn from people",
            "do $$ begin execute 'deallocate NAME'; execute 'prepare NAME as select ssn from people'; end $$",
        ] {
            let client = crate::connect(gate).await;
            let statement = client.prepare("select town from people").await.unwrap();
            let name = last_name(&client, "pg_prepared_statements").await;
            let by_one = way.replace("NAME", &name);
            client.batch_execute(&by_one).await.unwrap();
            ways += usize::from(client.query(&statement, &[]).await.is_ok());
            let sent = gate.take_to_client();
            assert_eq!(leaked(&sent).is_none(), hides, "{way}");
        }
        let mut client = crate::connect(gate).await;
        let transaction = client.transaction().await.unwrap();
        let portal = transaction.bind("select town from people", &[]).await.unwrap();
        let found = transaction.query_one("select name from pg_cursors where name <> ''", &[]).await.unwrap();
        let name: String = found.get(0);
        let way = format!("close {name}; declare {name} cursor for select ssn from people");
        transaction.batch_execute(&way).await.unwrap();
        ways += usize::from(transaction.query_portal(&portal, 0).await.is_ok());
        assert_eq!(leaked(&gate.take_to_client()).is_none(), hides, "a cursor");
        assert_eq!(ways, 3, "they were answered");
    }
}

/// The protocol prepares, and SQL runs it; SQL keeps, and another statement shows it; a word makes a call look like a name.
#[tokio::test(flavor = "multi_thread")]
async fn nor_by_what_was_put_by_in_another_way() {
    let (server, gate) = world(RULES);
    let mut psql = server.client("psql", server.port);
    psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1"]);
    run(
        psql,
        "create schema aside; create table aside.swapped (v text); insert into aside.swapped values ('x'); \
         create view public.swapped as select ssn as v from people; grant usage on schema aside to app; \
         grant select on aside.swapped, public.swapped to app",
    );
    let plain = Gate::open(server.port, PASSWORD, unmasked());
    for (gate, hides) in [(&gate, true), (&plain, false)] {
        let check = |way: &str| assert_eq!(leaked(&gate.take_to_client()).is_none(), hides, "{way}");
        let client = crate::connect(gate).await;
        let _held = client.prepare("select 1").await.unwrap();
        // The driver counts.
        let next = |name: String| format!("s{}", name[1..].parse::<usize>().unwrap() + 1);
        let name = next(last_name(&client, "pg_prepared_statements").await);
        let _taken = client.prepare("select upper(ssn) from people where id = 1").await.unwrap();
        client.batch_execute(&format!("execute {name}")).await.unwrap();
        check("execute");
        client.batch_execute(&format!("create temp table taken as execute {name}")).await.unwrap();
        client.batch_execute("select * from taken").await.unwrap();
        check("create table as execute");

        let mut client = crate::connect(gate).await;
        let transaction = client.transaction().await.unwrap();
        let _portal = transaction.bind("select upper(ssn) from people", &[]).await.unwrap();
        let found = transaction.query_one("select name from pg_cursors where name <> ''", &[]).await.unwrap();
        let name: String = found.get(0);
        transaction.batch_execute(&format!("fetch all from {name}")).await.unwrap();
        check("fetch");

        let client = crate::connect(gate).await;
        let shown = client.prepare("select town from people").await.unwrap();
        let name = last_name(&client, "pg_prepared_statements").await;
        let anew = format!("prepare {name} as select ssn from people");
        let _renames = client.prepare(&anew).await.unwrap();
        let renaming = next(name.clone());
        client.batch_execute(&format!("deallocate {name}")).await.unwrap();
        client.batch_execute(&format!("execute {renaming}")).await.unwrap();
        drop(client.query(&shown, &[]).await);
        check("a name that EXECUTE gives");

        let client = crate::connect(gate).await;
        let keeps =
            "select set_config('x.y', query_to_xml('select ssn from people', true, false, '')::text, false)";
        client.batch_execute(keeps).await.unwrap();
        client.batch_execute("show x.y").await.unwrap();
        client.batch_execute("select current_setting('x.y')").await.unwrap();
        check("a setting that another query filled");

        for word in [
            "select case when update then query_to_xml('select ssn from people', true, false, '') end from (select true as update) s",
            "select 1 as from, case query_to_xml('select ssn from people', true, false, '')::text when 'x' then 1 end, query_to_xml('select ssn from people', true, false, '')",
        ] {
            client.batch_execute(word).await.unwrap();
            check(word);
        }

        for (there, back) in [
            ("set search_path = aside", "set search_path = public"),
            ("begin; set local search_path = aside", "rollback"),
            ("begin; savepoint a; set search_path = aside", "rollback to a"),
        ] {
            let client = crate::connect(gate).await;
            client.batch_execute(there).await.unwrap();
            let shown = client.prepare("select v from swapped").await.unwrap();
            client.batch_execute(back).await.unwrap();
            client.query(&shown, &[]).await.unwrap();
            check(there);
        }
    }
}

#[test]
fn what_is_not_masked_is_as_it_was() {
    let (server, gate) = world(RULES);
    for statement in [
        "select id, town from people order by id",
        "select count(*) from people",
        "select count(ssn) as n, count(distinct name), 7, 'x' from people",
        "select * from visits order by id",
        "select upper(note), length(note) from visits order by id",
        "select id + 1 from visits order by id",
        "select v.id, p.town from visits v join people p on p.id = v.person order by 1",
        "select * from towns order by id",
        "select id, town from same order by id",
        "select id, town from other order by id",
        "select id from whole order by id",
        "select id from (select * from whole) w order by id",
        "select town from layered order by town",
        "select pg_catalog.set_config('search_path', 'public', false), upper(note) from visits order by 2",
        "copy visits to stdout",
        "copy (select id, note from visits order by id) to stdout csv header",
        "select relname, relkind from pg_class where relname = 'people'",
        "select attname || '!' from pg_attribute where attnum > 0 and attrelid = 'people'::regclass order by attnum",
        "show server_version",
        "select 1 + 1",
        "\\d people",
        "\\d+ other",
        "\\l",
        "explain (costs off) select ssn from people where id = 1",
    ] {
        let (direct, through) = (psql(&server, server.port, statement), psql(&server, gate.port, statement));
        assert_eq!(direct, through, "{statement}");
    }
    let before = gate.events().len();
    assert_eq!(psql(&server, gate.port, "select town, ssn, id from people where id = 1"), "Springfield||1\n");
    assert_eq!(psql(&server, gate.port, "select ssn, id from years"), "[ssn]|3\n");
    let masked: u64 = gate
        .events()
        .iter()
        .skip(before)
        .filter_map(|(_, event)| match event {
            Event::Masked { counts, .. } => Some(counts.iter().map(|(_, count)| count).sum::<u64>()),
            _ => None,
        })
        .sum();
    assert_eq!(masked, 2, "one hidden, one SSN");
}

const DETECT: &str = "modes: {ssn: partial, phone: hash, email: fake, birth_date: fake, mrn: clear}\n";

#[test]
fn detectors_look_through_every_form() {
    let (server, gate) = world(DETECT);
    let said = |script: &str| psql(&server, gate.port, script);
    assert_eq!(
        said("select note from visits where id = 10"),
        "SSN ***-**-6789, call uf5qm7d7m4m2lpzjcdrq\n".replace("uf5qm7d7m4m2lpzjcdrq", hashed(&said))
    );
    for (text, shown) in [
        ("select 'SSN 123-45-6789'::varchar", "SSN ***-**-6789\n"),
        ("select '{\"ssn\": \"123-45-6789\", \"n\": 1}'::jsonb", "{\"n\": 1, \"ssn\": \"***-**-6789\"}\n"),
        ("select array['SSN 123-45-6789', 'a']", "{\"SSN ***-**-6789\",a}\n"),
        ("create extension hstore; select 'ssn=>123-45-6789'::hstore", "\"ssn\"=>\"***-**-6789\"\n"),
        ("select row(1, 'SSN 123-45-6789')", "(1,\"SSN ***-**-6789\")\n"),
        ("select 123456789 as ssn", "\n"),
        ("select 123456789 as points", "123456789\n"),
        ("select 'SSN 123-45-6789'::bytea", "\n"),
        ("copy (select 'SSN 123-45-6789', 1) to stdout", "SSN ***-**-6789\t1\n"),
        ("copy (select 'SSN 123-45-6789, \"x\"', 1) to stdout csv", "\"SSN ***-**-6789, \"\"x\"\"\",1\n"),
        ("do $$ begin raise notice 'SSN 123-45-6789'; end $$", "DO\nNOTICE:  SSN ***-**-6789\n"),
        (
            "select 'SSN 123-45-6789'::int",
            "ERROR:  invalid input syntax for type integer: \"SSN ***-**-6789\"\nLINE 1: select 'SSN 123-45-6789'::int\n               ^\n",
        ),
        (
            "listen a; notify a, 'SSN 123-45-6789'",
            "LISTEN\nNOTIFY\nAsynchronous notification \"a\" with payload \"SSN ***-**-6789\" received from server process with PID",
        ),
    ] {
        let said = said(text);
        let said = said.trim_start_matches("CREATE EXTENSION\n");
        let same = if shown.ends_with("PID") { said.starts_with(shown) } else { said == shown };
        assert!(same, "{text}: {said:?} is not {shown:?}");
    }
    let birth = said("select date '1970-01-02' as birth_date, timestamp '1970-01-02 03:04:05' as birth_date");
    let (date, time) = birth.trim().split_once('|').unwrap();
    assert!(date.len() == 10 && date != "1970-01-02" && time.ends_with(" 03:04:05"), "{birth}");
    assert!(!time.starts_with("1970-01-02"), "{birth}");
}

/// The hash of the number above: the same in every session under the same key.
fn hashed(said: &dyn Fn(&str) -> String) -> &'static str {
    let shown = said("select '(212) 555-0187'");
    assert_eq!(shown, said("select '212-555-0187'"), "it can be joined, however it is written");
    assert!(shown.len() == 21 && !shown.contains("555"), "{shown}");
    Box::leak(shown.trim().to_owned().into_boxed_str())
}

#[test]
fn a_dump_through_masked_columns_is_a_dump() {
    let (server, gate) = world(RULES);
    let mut dump = server.client("pg_dump", gate.port);
    dump.args(["--data-only", "-t", "people", "-t", "visits"]);
    let text = run(dump, "");
    assert!(text.contains("10\t1\tSSN 123-45-6789") && text.contains("1\t\\N\t\\N"), "{text}");
    assert_eq!(leaked(text.as_bytes()), None);
}

#[test]
fn a_copy_that_is_not_understood_is_refused_and_the_session_goes_on() {
    let (server, gate) = world(DETECT);
    let said = psql(&server, gate.port, "copy visits to stdout (delimiter ';')");
    assert!(said.contains("HOOP-2033"), "{said}");
    assert_eq!(psql(&server, gate.port, "select 1"), "1\n");
}

#[test]
fn a_row_that_is_too_large_is_named() {
    let (server, gate) = world(DETECT);
    let said = psql(&server, gate.port, "select repeat('x', 17 * 1024 * 1024)");
    assert!(said.contains("HOOP-5018") && said.contains("16 MiB"), "{}", &said[..said.len().min(300)]);
    assert_eq!(psql(&server, gate.port, "select length(repeat('x', 15 * 1024 * 1024))"), "15728640\n");
}
