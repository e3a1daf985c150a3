//! Real clients through the engine to a real server with SCRAM: what they do works, and the recording tells of it.

#![cfg(test)]

mod accounts;
mod bridge;
mod gate;
mod masking;
mod negotiation;
mod terms;

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    process::Command,
    time::Duration,
};

use gate::{Gate, unmasked};
use hoop_engine::{CloseReason, Event};
use hoop_policy::Rules;
use hoop_recording::event::{Direction, Form, Said};
use hoop_testkit::{PASSWORD, Postgres, PostgresOptions, program, wait_until};

/// A server, a folder for what clients write, and their programs.
struct Server {
    postgres: Postgres,
    port: u16,
    folder: tempfile::TempDir,
}

impl Server {
    fn start(method: &'static str) -> Self {
        let postgres = Postgres::start(&PostgresOptions { method, tls: false, ..PostgresOptions::default() });
        // What it replicates, loads and creates here takes more than an ordinary role.
        postgres.sql("alter role app superuser");
        Self { port: postgres.port, postgres, folder: tempfile::tempdir().unwrap() }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A client program as `app` straight at the server, or as `ada` through a gate.
    fn client(&self, name: &str, port: u16) -> Command {
        let mut command = Command::new(program(name));
        command
            .env("PGHOST", "127.0.0.1")
            .env("PGPORT", port.to_string())
            .env("PGDATABASE", "postgres")
            .env("PGUSER", if port == self.port { "app" } else { "ada" })
            .env("PGPASSFILE", "/nonexistent");
        if port == self.port {
            command.env("PGPASSWORD", PASSWORD);
        }
        command
    }
}

/// Runs to the end; what it printed, on either output.
fn run(mut command: Command, input: &str) -> String {
    hoop_testkit::run_for_all(&mut command, input)
}

fn world(method: &'static str) -> (Server, Gate) {
    let server = Server::start(method);
    let gate = Gate::open(server.port, PASSWORD, unmasked());
    (server, gate)
}

#[test]
fn psql_works_as_without_us() {
    let (server, gate) = world("scram-sha-256");
    let file = server.file("out.csv");
    let script = format!(
        "create table t (id int primary key, name text);\n\
         insert into t select n, 'name ' || n from generate_series(1, 1000) n;\n\
         select count(*) as many from t \\gset\n\
         \\echo many is :many\n\
         select 1; select 2 \\; select 3;\n\
         \\copy t to '{file}' csv\n\
         create table u (like t);\n\
         \\copy u from '{file}' csv\n\
         select count(*) = 1000 as copied from u;\n\
         listen news; notify news, 'hello'; select 1;\n\
         select 1/0;\n\
         select application_name from pg_stat_activity where pid = pg_backend_pid();\n\
         prepare p as select $1::int * 2; execute p(21);\n\
         begin; declare c cursor for select * from t; fetch 3 from c; commit;\n\
         do $$ begin raise notice 'a notice'; end $$;\n\
         \\gdesc\n",
        file = file.display()
    );
    let mut psql = server.client("psql", gate.port);
    psql.args(["-X", "-a"]);
    let shown = run(psql, &script);
    for expected in [
        "many is 1000",
        "Asynchronous notification \"news\" with payload \"hello\"",
        "division by zero",
        "psql (hoop:ada)",
        "42",
        "a notice",
        "COPY 1000",
    ] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    let events = gate.events();
    let has = |test: &dyn Fn(&Event) -> bool| assert!(events.iter().any(|(_, e)| test(e)));
    has(&|e| matches!(e, Event::Copy { direction: Direction::Out, .. }));
    has(
        &|e| matches!(e, Event::Copy { direction: Direction::In, data, .. } if data.starts_with(b"1,name 1\n")),
    );
    has(&|e| matches!(e, Event::Said { kind: Said::Notification, text } if text == "news: hello"));
    has(&|e| matches!(e, Event::Said { kind: Said::Notice, text } if text == "a notice"));
    has(&|e| matches!(e, Event::Failed { code, .. } if code == "22012"));
    has(&|e| matches!(e, Event::Completed { tag, rows: 1000, .. } if tag == "COPY 1000"));
    // psql may be gone before its good-bye was read.
    wait_until("the end of psql's connection", || (gate.closed() == [CloseReason::Client]).then_some(()));
    assert!(!format!("{events:?}").contains(PASSWORD));
}

/// As far as the server's log is read here.
fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().trim_end().to_owned()
}

/// Statements in the order in which the recording says they ran.
fn ran(gate: &Gate) -> Vec<String> {
    let (mut statements, mut portals) = (HashMap::new(), HashMap::new());
    let mut ran = Vec::new();
    for (stream, event) in gate.events() {
        let Event::Request { form, text, .. } = event else { continue };
        let text = first_line(&String::from_utf8_lossy(&text));
        match form {
            Form::Query => ran.push(text),
            Form::Prepare { name } => drop(statements.insert((stream, name), text)),
            Form::Bind { portal, statement } => drop(portals.insert((stream, portal), statement)),
            Form::Execute { portal, .. } => {
                let statement = portals[&(stream, portal)].clone();
                ran.push(statements[&(stream, statement)].clone());
            }
            _ => {}
        }
    }
    ran
}

#[test]
fn what_is_recorded_is_what_the_server_ran() {
    let (server, gate) = world("scram-sha-256");
    let before = server.postgres.log().len();
    let mut init = server.client("pgbench", gate.port);
    init.args(["-i", "-q"]);
    run(init, "");
    let mut psql = server.client("psql", gate.port);
    psql.args(["-X", "-q"]);
    run(psql, "select 'first';\nselect 2 \\; select 3;\nbegin; select 4; commit;\nselect 'x' \\gdesc\n");
    for mode in ["simple", "extended", "prepared"] {
        let mut bench = server.client("pgbench", gate.port);
        bench.args(["-n", "-M", mode, "-c", "1", "-t", "20"]);
        run(bench, "");
    }
    let logged = |line: &str| {
        let (_, said) = line.split_once("LOG:  ")?;
        let statement = said.strip_prefix("statement: ");
        let execute = said.strip_prefix("execute ").and_then(|s| s.split_once(": ")).map(|(_, text)| text);
        statement.or(execute).map(first_line)
    };
    let logged: Vec<String> = server.postgres.log()[before..].lines().filter_map(logged).collect();
    assert!(logged.len() > 400, "{}", logged.len());
    let ran = ran(&gate);
    let differs = ran.iter().zip(&logged).find(|(ours, theirs)| ours != theirs);
    assert_eq!((differs, ran.len()), (None, logged.len()));
}

#[test]
fn pgbench_in_every_mode() {
    let (server, gate) = world("scram-sha-256");
    let mut init = server.client("pgbench", gate.port);
    init.args(["-i", "-q", "-s", "1"]);
    run(init, "");
    for mode in ["simple", "extended", "prepared"] {
        let mut bench = server.client("pgbench", gate.port);
        bench.args(["-n", "-M", mode, "-c", "4", "-j", "2", "-t", "50"]);
        let shown = run(bench, "");
        assert!(shown.contains("number of transactions actually processed: 200/200"), "{shown}");
        let mut select = server.client("pgbench", gate.port);
        select.args(["-n", "-S", "-C", "-M", mode, "-c", "2", "-t", "20"]);
        assert!(run(select, "").contains("40/40"));
    }
    assert!(gate.closed().iter().all(|reason| *reason == CloseReason::Client), "{:?}", gate.closed());
}

#[test]
fn dumps_are_the_same() {
    let (server, gate) = world("md5");
    let mut init = server.client("pgbench", server.port);
    init.args(["-i", "-q"]);
    run(init, "");
    let mut psql = server.client("psql", gate.port);
    psql.args(["-X", "-q", "-t"]);
    let blob = server.file("blob");
    std::fs::write(&blob, vec![7; 300_000]).unwrap();
    let back = server.file("back");
    let script = format!(
        "\\lo_import '{}'\n\\lo_export :LASTOID '{}'\ncreate database copy;\n",
        blob.display(),
        back.display()
    );
    run(psql, &script);
    assert_eq!(std::fs::read(&back).unwrap(), vec![7; 300_000]);
    let dump = |port: u16, database: &str| {
        let mut dump = server.client("pg_dump", port);
        dump.args(["-d", database]);
        // Newer versions of pg_dump put a random word around their output.
        let random = |line: &&str| line.starts_with("\\restrict") || line.starts_with("\\unrestrict");
        run(dump, "").lines().filter(|line| !random(line)).collect::<Vec<_>>().join("\n")
    };
    let direct = dump(server.port, "postgres");
    let through = dump(gate.port, "postgres");
    let differs = through.lines().zip(direct.lines()).find(|(ours, theirs)| ours != theirs);
    assert_eq!((differs, through.len()), (None, direct.len()));
    let archive = server.file("archive");
    let mut custom = server.client("pg_dump", gate.port);
    custom.args(["-Fc", "-f"]).arg(&archive);
    run(custom, "");
    let mut restore = server.client("pg_restore", gate.port);
    restore.args(["-d", "copy"]).arg(&archive);
    run(restore, "");
    assert!(dump(gate.port, "copy") == direct, "what was restored differs");
    let events = gate.events();
    assert!(events.iter().any(|(_, e)| matches!(e, Event::Request { form: Form::FunctionCall { .. }, .. })));
}

#[test]
fn log_ins_that_fail_say_why_and_leak_nothing() {
    let server = Server::start("scram-sha-256");
    let gate = Gate::open(server.port, "wrong", unmasked());
    let said = |gate: &Gate, database: &str| {
        let mut psql = server.client("psql", gate.port);
        let done = psql.args(["-X", "-c", "select 1", "-d", database]).output().unwrap();
        assert!(!done.status.success());
        String::from_utf8_lossy(&done.stderr).into_owned()
    };
    let shown = said(&gate, "postgres");
    assert!(shown.contains("refused the credential") && shown.contains("HOOP-5007"), "{shown}");
    assert!(!shown.contains("\"app\""), "{shown}");
    let gate = Gate::open(server.port, PASSWORD, unmasked());
    assert!(said(&gate, "nosuch").contains("database \"nosuch\" does not exist"));
    let hostile = "dbname='a?sslmode=disable/@%00' options='-c nosuch=1'";
    assert!(said(&gate, hostile).contains("does not exist") || said(&gate, hostile).contains("nosuch"));
    assert!(said(&gate, "replication=true").contains("HOOP-2005"));
    assert!(said(&gate, "replication=database dbname=postgres").contains("HOOP-2005"));
}

#[test]
fn replication_where_it_is_allowed() {
    let server = Server::start("scram-sha-256");
    let gate = Gate::open(server.port, PASSWORD, Rules { allow_replication: true, ..unmasked() });
    let mut receive = server.client("pg_recvlogical", gate.port);
    receive.args(["-d", "postgres", "--slot", "s", "--create-slot", "-P", "test_decoding"]);
    run(receive, "");
    let mut psql = server.client("psql", gate.port);
    psql.args(["-X", "-q"]);
    run(
        psql,
        "create table t (id int); insert into t values (1); select pg_current_wal_lsn() as lsn \\gset\n",
    );
    let mut lsn = server.client("psql", server.port);
    lsn.args(["-X", "-A", "-t", "-c", "select pg_current_wal_lsn()"]);
    let lsn = run(lsn, "");
    let mut receive = server.client("pg_recvlogical", gate.port);
    receive.args([
        "-d",
        "postgres",
        "--slot",
        "s",
        "--start",
        "-f",
        "-",
        "--endpos",
        lsn.trim(),
        "--no-loop",
    ]);
    let shown = run(receive, "");
    assert!(shown.contains("table public.t: INSERT: id[integer]:1"), "{shown}");
    let mut backup = server.client("pg_basebackup", gate.port);
    backup.args(["-X", "fetch", "-c", "fast", "-D"]).arg(server.file("backup"));
    run(backup, "");
    assert!(server.file("backup/PG_VERSION").exists());
}

async fn connect(gate: &Gate) -> tokio_postgres::Client {
    let text = format!("host=127.0.0.1 port={} user=ada dbname=postgres", gate.port);
    let (client, connection) = tokio_postgres::connect(&text, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_requests_before_an_answer_is_read() {
    let (_server, gate) = world("scram-sha-256");
    let client = connect(&gate).await;
    let statement = client.prepare("select $1::int4 * 2, $2::text").await.unwrap();
    let asked = (0..200_i32).map(|n| {
        let (client, statement) = (&client, &statement);
        async move { client.query_one(statement, &[&n, &"x".repeat(1000)]).await.unwrap().get::<_, i32>(0) }
    });
    let answers = futures_join(asked).await;
    assert_eq!(answers, (0..200).map(|n| n * 2).collect::<Vec<_>>());
    let events = gate.events();
    let bound: BTreeSet<_> = events
        .iter()
        .filter_map(|(_, e)| match e {
            Event::Request { form: Form::Bind { .. }, parameters, .. } => parameters[0].value.clone(),
            _ => None,
        })
        .collect();
    assert_eq!(bound.len(), 200);
    let columns = events.iter().filter(|(_, e)| {
        matches!(e, Event::Columns { columns, .. } if columns.len() == 2 && columns[0].binary && columns[1].type_id == 25)
    });
    assert_eq!(columns.count(), 200, "every execution tells its columns, although none asks for them");
    let rows = events.iter().filter(|(_, e)| matches!(e, Event::Rows { count: 1, .. }));
    assert_eq!(rows.count(), 200);
}

async fn futures_join<T>(all: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = all.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, slot) in all.iter_mut().zip(&mut done) {
            if slot.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *slot = Some(value);
            }
        }
        if done.iter().all(Option::is_some) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_its_own_stream_alone() {
    let (_server, gate) = world("scram-sha-256");
    let (client, other) = (connect(&gate).await, connect(&gate).await);
    let token = client.cancel_token();
    let waits = tokio::spawn(async move {
        let error = client.batch_execute("select pg_sleep(60)").await.unwrap_err();
        (error.code().cloned(), client)
    });
    let sleeping =
        "select count(*) from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'";
    while other.query_one(sleeping, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::task::yield_now().await;
    }
    token.cancel_query(tokio_postgres::NoTls).await.unwrap();
    let (code, client) = waits.await.unwrap();
    assert_eq!(code, Some(tokio_postgres::error::SqlState::QUERY_CANCELED));
    client.batch_execute("select 1").await.unwrap();
    other.batch_execute("select 1").await.unwrap();
    assert!(gate.closed().contains(&CloseReason::CancelSent));
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_in_transactions_and_pipelines() {
    let (_server, gate) = world("scram-sha-256");
    let mut client = connect(&gate).await;
    let transaction = client.transaction().await.unwrap();
    assert!(transaction.query("select 1/0", &[]).await.is_err());
    assert!(transaction.query("select 1", &[]).await.is_err(), "the transaction has failed");
    transaction.rollback().await.unwrap();
    assert!(client.prepare("select nosuch").await.is_err());
    client.batch_execute("create temp table t (id int, body bytea)").await.unwrap();
    let large = vec![9_u8; 6 << 20];
    client.execute("insert into t values (1, $1)", &[&large]).await.unwrap();
    let row = client.query_one("select body from t", &[]).await.unwrap();
    assert_eq!(row.get::<_, &[u8]>(0).len(), large.len());
    let events = gate.events();
    assert!(events.iter().any(|(_, e)| matches!(e, Event::Curtailed { limit, .. } if *limit == 1 << 20)));
    assert!(events.iter().any(|(_, e)| matches!(e, Event::Curtailed { limit, .. } if *limit == 16 << 20)));
    tokio::time::timeout(Duration::from_secs(20), client.batch_execute("select 1")).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn binary_copy_both_ways() {
    use tokio_postgres::binary_copy::BinaryCopyInWriter;
    use tokio_postgres::types::Type;
    let (_server, gate) = world("scram-sha-256");
    let client = connect(&gate).await;
    client.batch_execute("create temp table t (id int4, name text)").await.unwrap();
    let sink = client.copy_in("copy t from stdin binary").await.unwrap();
    let mut writer = Box::pin(BinaryCopyInWriter::new(sink, &[Type::INT4, Type::TEXT]));
    for n in 0..20_000_i32 {
        writer.as_mut().write(&[&n, &format!("name {n}")]).await.unwrap();
    }
    assert_eq!(writer.as_mut().finish().await.unwrap(), 20_000);
    let row = client.query_one("select count(*), sum(id) from t", &[]).await.unwrap();
    assert_eq!((row.get::<_, i64>(0), row.get::<_, i64>(1)), (20_000, 199_990_000));
    let mut copied = Box::pin(client.copy_out("copy t to stdout binary").await.unwrap());
    let mut length = 0;
    while let Some(piece) =
        std::future::poll_fn(|context| futures_core_next(copied.as_mut(), context)).await.transpose().unwrap()
    {
        length += piece.len();
    }
    assert!(length > 20_000 * 16);
    let events = gate.events();
    let done = |wanted: &str| {
        events.iter().any(
            |(_, e)| matches!(e, Event::Completed { tag, bytes, .. } if tag == wanted && *bytes > 300_000),
        )
    };
    assert!(done("COPY 20000"));
}

fn futures_core_next<S: futures::Stream>(
    stream: std::pin::Pin<&mut S>,
    context: &mut std::task::Context<'_>,
) -> std::task::Poll<Option<S::Item>> {
    stream.poll_next(context)
}
