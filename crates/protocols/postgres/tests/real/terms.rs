//! What a real server's answers are held to: limits, rates, values that are bound, and transactions that only read.

use hoop_model::{ConnectionName, UserName};
use hoop_policy::{
    Masking, Rules,
    rules::{AccessPolicy, Asking, ConnectionFacts, MfaMethod, MfaProof, Person, PersonKind, Policy},
};
use hoop_recording::event::{Event, Said};
use hoop_testkit::PASSWORD;
use tokio_postgres::SimpleQueryMessage;

use crate::{
    Server, connect,
    gate::{Gate, now, unmasked},
    run,
};

const TABLES: &str = "create table people (id int primary key, name text); \
    insert into people select n, 'name ' || n from generate_series(1, 1000) n; create table notes (id int)";

fn world(rules: Rules) -> (Server, Gate) {
    let server = Server::start("scram-sha-256");
    let mut psql = server.client("psql", server.port);
    psql.args(["-XqAt", "-v", "ON_ERROR_STOP=1"]);
    run(psql, TABLES);
    let gate = Gate::open(server.port, PASSWORD, rules);
    (server, gate)
}

fn ruled(statements: &str) -> Rules {
    let statements = serde_saphyr::from_str(&format!("[{statements}]")).unwrap();
    Rules { statements, ..unmasked() }
}

const LIMITS: &str = "{name: people, action: allow, tables: [people], classes: [read], at_most: {rows: 10}}, \
    {name: rest, action: allow, classes: [read, write, ddl]}";

fn code(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| format!("{error:?}"), |error| error.detail().unwrap_or_default().to_owned())
}

/// Ways to more rows than a rule allows, by whatever protocol and name.
#[tokio::test(flavor = "multi_thread")]
async fn no_way_leads_to_more_rows_than_a_rule_allows() {
    let (server, gate) = world(ruled(LIMITS));
    for way in [
        "select * from people",
        "select 1; select * from people",
        "copy people to stdout",
        "begin; declare c cursor for select * from people; fetch 11 from c",
        "begin; declare c cursor for select * from people; fetch all from c",
        "prepare q as select * from people; execute q",
        "values (1), (2); table people",
    ] {
        if way.starts_with("copy") {
            let mut psql = server.client("psql", gate.port);
            let done = psql.args(["-XAt", "-c", way]).output().unwrap();
            assert!(String::from_utf8_lossy(&done.stderr).contains("HOOP-2035"), "{done:?}");
        } else {
            let client = connect(&gate).await;
            let error = client.simple_query(way).await.unwrap_err();
            assert_eq!(code(&error), "HOOP-2035", "{way}");
            assert!(client.simple_query("select 1").await.is_err(), "the stream is over: {way}");
        }
        let shown = gate.take_to_client();
        let found = (11..=1000).find(|n| {
            let value = format!("name {n}");
            shown.windows(value.len()).any(|window| window == value.as_bytes())
        });
        assert_eq!(found, None, "{way}");
    }
    let mut client = connect(&gate).await;
    let all = client.prepare("select * from people").await.unwrap();
    let ten = client.prepare("select * from people where id <= $1").await.unwrap();
    for _ in 0..3 {
        assert_eq!(client.query(&ten, &[&10]).await.unwrap().len(), 10);
    }
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind(&ten, &[&1000]).await.unwrap();
    assert_eq!(
        transaction.query_portal(&portal, 10).await.unwrap().len(),
        10,
        "as much as one answer may have"
    );
    transaction.rollback().await.unwrap();
    assert_eq!(code(&client.query(&all, &[]).await.unwrap_err()), "HOOP-2035");
    let denied = gate
        .events()
        .into_iter()
        .filter(|(_, event)| matches!(event, Event::Denied { code, .. } if code == "HOOP-2035"));
    assert_eq!(denied.count(), 8, "each is in the recording");
}

/// What is prepared under a name by SQL is not what the protocol prepared under it.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_given_anew_is_not_known() {
    let (_server, gate) = world(ruled(LIMITS));
    let mut client = connect(&gate).await;
    let free = client.prepare("select id from notes").await.unwrap();
    let row = client.simple_query("select name from pg_prepared_statements").await.unwrap();
    let name = row.iter().find_map(|m| if let SimpleQueryMessage::Row(row) = m { row.get(0) } else { None });
    let name = name.unwrap().to_owned();
    client
        .batch_execute(&format!("deallocate {name}; prepare {name} as select id from people"))
        .await
        .unwrap();
    assert_eq!(code(&client.query(&free, &[]).await.unwrap_err()), "HOOP-2037");
    assert_eq!(
        client.query("select id from people limit 3", &[]).await.unwrap().len(),
        3,
        "the session goes on"
    );
    let transaction = client.transaction().await.unwrap();
    let portal = transaction.bind("select id from notes", &[]).await.unwrap();
    let found = transaction.query_one("select name from pg_cursors where name <> ''", &[]).await.unwrap();
    let name: String = found.get(0);
    let anew = format!("close {name}; declare {name} cursor for select id from people");
    transaction.batch_execute(&anew).await.unwrap();
    assert_eq!(code(&transaction.query_portal(&portal, 0).await.unwrap_err()), "HOOP-2037");
}

/// What the protocol prepared with places for values waits to be asked about: SQL does not run it before.
#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_its_values_is_not_run_by_sql() {
    let (_server, gate) = world(of_policy(BY_VALUE));
    let client = connect(&gate).await;
    let _held = client.prepare("select name from people where id = $1").await.unwrap();
    let found =
        client.query_one("select name from pg_catalog.pg_prepared_statements limit 1", &[]).await.unwrap();
    let name: String = found.get(0);
    for text in [format!("execute {name}(8)"), format!("create temp table t as execute {name}(8)")] {
        assert_eq!(code(&client.simple_query(&text).await.unwrap_err()), "HOOP-2037", "{text}");
    }
    let shown = gate.take_to_client();
    assert!(!shown.windows(6).any(|window| window == b"name 8"));
}

/// Requests of one packet: what fails at the server leaves another statement behind its name.
#[test]
fn a_pipeline_that_fails_changes_no_terms() {
    use std::io::{Read as _, Write as _};
    let (_server, gate) = world(ruled(LIMITS));
    let frame = |kind: u8, body: &[u8]| {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[kind][..], &length, body].concat()
    };
    let parse = |name: &str, text: &str| frame(b'P', format!("{name}\0{text}\0\0\0").as_bytes());
    let bind = |portal: &str, name: &str| frame(b'B', format!("{portal}\0{name}\0\0\0\0\0\0\0").as_bytes());
    let run = |portal: &str| frame(b'E', format!("{portal}\0\0\0\0\0").as_bytes());
    let close = |name: &str| frame(b'C', format!("P{name}\0").as_bytes());
    let (sync, query) = (frame(b'S', b""), |text: &str| frame(b'Q', format!("{text}\0").as_bytes()));
    let free = "select id::text || ' free' from notes";
    let limited = "declare k cursor for select name from people";
    let ways: [Vec<Vec<u8>>; 3] = [
        vec![
            query("prepare z as select name from people"),
            [parse("z", free), sync.clone(), bind("", "z"), run(""), sync.clone()].concat(),
        ],
        vec![
            query("begin"),
            [parse("d", limited), parse("w", free), bind("k", "w"), sync.clone()].concat(),
            [close("k"), bind("", "d"), run(""), run("k"), sync.clone()].concat(),
        ],
        vec![
            query("begin"),
            [parse("d", limited), parse("w", free), bind("k", "w"), sync.clone()].concat(),
            [close("k"), bind("", "d"), run(""), sync.clone(), run("k"), sync.clone()].concat(),
        ],
    ];
    for (number, way) in ways.iter().enumerate() {
        {
            let port = gate.port;
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
            stream.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
            stream.write_all(b"\0\0\0\x24\0\x03\0\0user\0ada\0database\0postgres\0\0".as_slice()).unwrap();
            let mut all = Vec::new();
            let mut ready = 0;
            for packet in std::iter::once(&Vec::new()).chain(way) {
                stream.write_all(packet).unwrap();
                let wanted = ready + packet.windows(5).filter(|w| *w == b"S\0\0\0\x04").count().max(1);
                while ready < wanted {
                    let mut piece = [0; 4096];
                    let Ok(count @ 1..) = stream.read(&mut piece) else { break };
                    all.extend_from_slice(&piece[..count]);
                    ready = all.windows(5).filter(|w| *w == b"Z\0\0\0\x05").count();
                }
            }
            let rows = all.windows(5).filter(|window| *window == b"name ").count();
            assert!(rows <= 10, "way {number}: {rows} rows");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn so_many_statements_and_rows_within_a_time() {
    let rates = "{name: people, action: allow, tables: [people], classes: [read], rate: {statements: 3, rows: 15, per: 1h}}, \
        {name: rest, action: allow, classes: [read, write]}";
    let (_server, gate) = world(ruled(rates));
    let client = connect(&gate).await;
    let ten = client.prepare("select * from people where id <= 10").await.unwrap();
    assert_eq!(client.query(&ten, &[]).await.unwrap().len(), 10);
    let error = client.query(&ten, &[]).await.unwrap_err();
    assert_eq!(code(&error), "HOOP-2036", "ten more would be twenty");
    // Another stream of the same session goes on counting.
    let client = connect(&gate).await;
    assert_eq!(client.query("select * from people limit 5", &[]).await.unwrap().len(), 5);
    assert_eq!(code(&client.simple_query("select * from people limit 1").await.unwrap_err()), "HOOP-2036");
    assert!(client.simple_query("insert into notes values (1)").await.is_ok(), "a refusal ends nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warning_comes_in_its_place_and_is_recorded() {
    let warns = "{name: careful, action: warn, tables: [people], message: \"patients' data\"}, {name: all, action: allow}";
    let (server, gate) = world(ruled(warns));
    let mut psql = server.client("psql", gate.port);
    psql.args(["-XAt", "-c", "select 1; select id from people where id = 7; select 2", "-c", "select 3"]);
    let done = psql.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&done.stdout), "1\n7\n2\n3\n");
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(told.matches("statement rule careful: patients' data (HOOP-2039)").count(), 1, "{told}");
    let client = connect(&gate).await;
    let asked = (0..50).map(|n| {
        let client = &client;
        let text = if n % 2 == 0 { "select id from people where id = $1" } else { "select $1::int4" };
        Box::pin(async move { client.query_one(text, &[&n]).await.map(|row| row.get::<_, i32>(0)) })
    });
    for (n, one) in asked.enumerate() {
        assert_eq!(one.await.ok(), (n > 0).then(|| i32::try_from(n).unwrap()), "zero is nobody's");
    }
    let said = |event: &Event| matches!(event, Event::Said { kind: Said::Notice, text } if text.ends_with(b"(HOOP-2039)"));
    assert_eq!(gate.events().iter().filter(|(_, event)| said(event)).count(), 1 + 25);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_about_is_refused_and_the_transaction_goes_on() {
    let asks = "{name: fix, action: ask, classes: [write], approval: {approvers: {users: [lea]}}, message: \"ask the lead\"}, \
        {name: all, action: allow, classes: [read, write]}";
    let (_server, gate) = world(ruled(asks));
    let mut client = connect(&gate).await;
    let transaction = client.transaction().await.unwrap();
    for form in [true, false] {
        let text = "update people set name = '' where id = 1";
        let refused = if form {
            transaction.execute(text, &[]).await.map(|_| ())
        } else {
            transaction.batch_execute(text).await
        };
        let error = refused.unwrap_err();
        assert_eq!(code(&error), "HOOP-2034");
        assert!(error.as_db_error().unwrap().message().contains("ask the lead"), "{error:?}");
    }
    assert_eq!(transaction.query("select id from people", &[]).await.unwrap().len(), 1000);
    transaction.commit().await.unwrap();
}

const BY_VALUE: &str = r#"
version: 1
modules:
  own.rego: |
    package own
    import rego.v1
    row if input.statement.parameters == ["7"]
    row if input.statement.parameters == [{"binary": "00000007"}]
rules:
  - name: r
    subjects: {users: [ada]}
    connections: {names: [pg]}
    masking: none
    statements:
      - {name: own, action: allow, tables: [people], when: data.own.row}
      - {name: rest, action: allow, tables: [notes, "pg_catalog.*"]}
"#;

fn of_policy(yaml: &str) -> Rules {
    let policy = Policy::compile(AccessPolicy::from_yaml(yaml).unwrap());
    let person = Person {
        name: UserName::new("ada").unwrap(),
        kind: PersonKind::Human,
        groups: [].into(),
        locked: false,
        only_administers: false,
        mfa: Some(MfaProof { at: now(), method: MfaMethod::Totp }),
    };
    let connection = ConnectionFacts { name: ConnectionName::new("pg").unwrap(), labels: [].into() };
    let asking = Asking {
        person: &person,
        connection: &connection,
        address: [127, 0, 0, 1].into(),
        reason: None,
        end_to_end: true,
        only: None,
        reading: None,
        approvals: &[],
        live_sessions: 0,
    };
    policy.decide(&asking, now()).unwrap().rules
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_see_what_is_bound() {
    let (_server, gate) = world(of_policy(BY_VALUE));
    let client = connect(&gate).await;
    let one = client.prepare("select name from people where id = $1").await.unwrap();
    for _ in 0..2 {
        assert_eq!(client.query_one(&one, &[&7_i32]).await.unwrap().get::<_, String>(0), "name 7");
        let error = client.query(&one, &[&8_i32]).await.unwrap_err();
        assert_eq!(code(&error), "HOOP-2030");
    }
    assert!(client.query("select name from people where id = 7", &[]).await.is_err());
    let shown = gate.take_to_client();
    assert!(!shown.windows(6).any(|window| window == b"name 8"), "it did not run");
}

/// The database itself refuses what changes something, and nothing turns that off.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_reads_only_changes_nothing() {
    let (server, gate) = world(Rules { read_only: true, masking: Masking::None, ..Rules::default() });
    let ways = [
        "insert into notes values (1)",
        "begin; insert into notes values (1); commit",
        "begin read write; insert into notes values (1); commit",
        "begin; set transaction read write; insert into notes values (1); commit",
        "set transaction_read_only = off; insert into notes values (1)",
        "set default_transaction_read_only = off; begin; insert into notes values (1); commit",
        "set session characteristics as transaction read write; begin; insert into notes values (1); commit",
        "select set_config('transaction_read_only', 'off', true); insert into notes values (1)",
        "select set_config('default_transaction_read_only', 'off', false); commit; insert into notes values (1)",
        "select pg_catalog.set_config('default_transaction_' || 'read_only', 'off', false); commit; insert into notes values (1)",
        "do $$ begin commit; set transaction read write; insert into notes values (1); end $$",
        "do $$ begin perform set_config('default_transaction_read_only', 'off', false); commit; insert into notes values (1); end $$",
        "reset default_transaction_read_only; begin; insert into notes values (1); commit",
        "reset all; insert into notes values (1)",
        "discard all; insert into notes values (1)",
        "rollback; begin; insert into notes values (1); commit",
        "commit and chain; insert into notes values (1); commit",
        "with n as (insert into notes values (1) returning *) select * from n",
        "create table more (id int)",
        "copy notes from stdin",
        "select * into more from notes",
        "alter role app set default_transaction_read_only = off",
        "truncate people",
    ];
    for way in ways {
        for texts in [vec![way], way.split("; ").collect()] {
            let mut psql = server.client("psql", gate.port);
            psql.args(["-XAt"]).args(texts.iter().flat_map(|text| ["-c", *text]));
            let done = psql.output().unwrap();
            assert!(!done.stderr.is_empty() || way.starts_with("reset"), "{way}: somebody said no");
        }
        let client = connect(&gate).await;
        for text in way.split("; ").filter(|text| !text.starts_with("copy")) {
            // Some fail, as they must.
            drop(client.execute(text, &[]).await);
        }
    }
    let mut psql = server.client("psql", server.port);
    psql.args(["-XqAt", "-c", "select count(*) from notes union all select count(*) from people"]);
    let mut counts: Vec<_> = run(psql, "").lines().map(str::to_owned).collect();
    counts.sort();
    assert_eq!(counts, ["0", "1000"]);
    let mut psql = server.client("psql", gate.port);
    psql.args(["-XqAt", "-c", "select count(*) from people"]);
    assert_eq!(run(psql, ""), "1000\n", "it reads");
    let mut psql = server.client("psql", gate.port);
    psql.env("PGOPTIONS", "-c default_transaction_read_only=off").args([
        "-XqAt",
        "-c",
        "insert into notes values (1)",
    ]);
    let done = psql.output().unwrap();
    assert!(String::from_utf8_lossy(&done.stderr).contains("read-only transaction"), "{done:?}");
}
