//! Real clients, unchanged: psql, pgbench, pg_dump and pg_restore, psycopg, JDBC. Each as they would run without us.

use std::{
    io::{Read, Write},
    process::{Command, Stdio},
};

use hoop_testkit::{World, program, run, run_with_input};

const CLINIC: &str = "
    create table patients(id int primary key, name text, born date);
    insert into patients select n, 'patient ' || n, date '1950-01-01' + n from generate_series(1, 5000) n;
    create table notes(id serial primary key, body text);
    alter table patients owner to app; alter table notes owner to app;";

fn clinic() -> World {
    let world = World::start();
    world.postgres.script(CLINIC);
    world
}

#[test]
fn psql_with_everything_people_type() {
    let world = clinic();
    let script = "
\\set ON_ERROR_STOP 1
select count(*) as many from patients \\gset
\\echo counted :many
begin; declare c cursor for select id from patients order by id; fetch 2 from c; move 10 in c; fetch 1 from c; commit;
prepare p(int) as select name from patients where id = $1; execute p(7); deallocate p;
\\copy (select id from patients order by id limit 3) to stdout csv
\\copy notes(body) from pstdin
listen news; notify news, 'hello';
do $$ begin raise notice 'a notice'; end $$;
select lo_create(4242); select lo_put(4242, 0, 'large'); select convert_from(lo_get(4242), 'UTF8'); select lo_unlink(4242);
select 'ü ☃ ' || repeat('x', 3) as text;
";
    let mut psql = world.through(&["psql", "-X", "-q", "-A", "-t", "-f", "/dev/fd/0"]);
    let file = world.folder.path().join("notes.txt");
    std::fs::write(&file, "one\ntwo\n").unwrap();
    let script = script.replace("from pstdin", &format!("from '{}'", file.display()));
    let out = run_with_input(&mut psql, &script);
    for expected in
        ["counted 5000", "patient 7", "\n1\n2\n3\n", "large", "ü ☃ xxx", "\"news\" with payload \"hello\""]
    {
        assert!(out.contains(expected), "{expected:?} is not in\n{out}");
    }
    assert_eq!(world.psql("select count(*) from notes"), "2\n");
}

#[test]
fn an_error_is_postgresqls_own() {
    let world = clinic();
    let done = world
        .through(&["psql", "-X", "-c", "\\set VERBOSITY verbose", "-c", "select * from nowhere"])
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(error.contains("42P01") && error.contains("\"nowhere\""), "{error}");
    assert_eq!(done.status.code(), Some(1), "psql's own exit code");
}

#[test]
fn pgbench_in_every_mode() {
    let world = clinic();
    run(world.through(&["pgbench", "-i", "-q", "-s", "1"]).env("PGDATABASE", "clinic"));
    for mode in ["simple", "extended", "prepared"] {
        let out = run(&mut world.through(&["pgbench", "-n", "-M", mode, "-c", "4", "-t", "50"]));
        assert!(
            out.contains("processed: 200/200") && out.contains("failed transactions: 0"),
            "{mode}: {out}"
        );
    }
    let out = run(&mut world.through(&["pgbench", "-n", "-C", "-S", "-c", "4", "-t", "20"]));
    assert!(out.contains("processed: 80/80"), "{out}");
}

#[test]
fn a_dump_through_hoop_is_the_dump_without() {
    let world = clinic();
    let direct = run(world.postgres.client("pg_dump").args(["-Fp", "clinic"]));
    let dumped = run(&mut world.through(&["pg_dump", "-Fp", "clinic"]));
    assert_eq!(strip_keys(&direct), strip_keys(&dumped));
    let archive = world.folder.path().join("dump");
    run(world.through(&["pg_dump", "-Fc", "-f"]).arg(&archive).arg("clinic"));
    world.postgres.sql("create database copy owner app");
    run(world.through(&["pg_restore", "--no-owner", "-d", "copy"]).arg(&archive));
    let restored =
        run(world.postgres.client("psql").args(["-XAtc", "select count(*) from patients", "copy"]));
    assert_eq!(restored, "5000\n");
}

/// Newer versions put a random key around the dump.
fn strip_keys(dump: &str) -> String {
    dump.lines()
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn psycopg_with_binary_pipelines_and_copy() {
    let world = clinic();
    let script = "
import psycopg
with psycopg.connect('') as c:
    c.prepare_threshold = 0
    cur = c.cursor(binary=True)
    for n in range(1, 20):
        assert cur.execute('select id, born from patients where id = %s', [n]).fetchone()[0] == n
    with c.pipeline():
        futures = [c.execute('select %s::int', [n]) for n in range(300)]
    assert [f.fetchone()[0] for f in futures] == list(range(300))
    with c.cursor().copy('copy patients to stdout (format binary)') as copy:
        assert sum(len(block) for block in copy) > 100_000
    with c.cursor().copy('copy notes(body) from stdin') as copy:
        for n in range(1000): copy.write_row((f'note {n}',))
    assert c.execute('select count(*) from notes').fetchone()[0] == 1000
    try:
        c.execute('select 1/0'); raise SystemExit('no error')
    except psycopg.errors.DivisionByZero: c.rollback()
    named = c.cursor('server_side'); named.execute('select id from patients')
    assert sum(1 for _ in named) == 5000
print('psycopg is happy')";
    let out = run(&mut world.through(&["/usr/bin/python3", "-c", script]));
    assert_eq!(out, "psycopg is happy\n");
}

#[test]
fn jdbc_with_server_side_prepared_statements() {
    let world = clinic();
    let source = world.folder.path().join("Try.java");
    std::fs::write(&source, JAVA).unwrap();
    let jar = "/usr/share/java/postgresql.jar";
    assert!(std::path::Path::new(jar).exists(), "the JDBC driver is missing: `cargo xtask test` installs it");
    let out = run(world.through(&["java", "-cp", jar]).arg(&source));
    assert_eq!(out, "JDBC is happy\n");
}

const JAVA: &str = r#"
import java.sql.*;
public class Try {
    public static void main(String[] a) throws Exception {
        String url = "jdbc:postgresql://" + System.getenv("PGHOST") + ":" + System.getenv("PGPORT") + "/clinic?sslmode=disable&prepareThreshold=1";
        try (Connection c = DriverManager.getConnection(url, System.getenv("PGUSER"), "")) {
            PreparedStatement p = c.prepareStatement("select name, born from patients where id = ?");
            for (int n = 1; n < 50; n++) {
                p.setInt(1, n);
                ResultSet r = p.executeQuery();
                if (!r.next() || !r.getString(1).equals("patient " + n)) throw new Exception("row " + n);
            }
            c.setAutoCommit(false);
            Statement s = c.createStatement();
            s.setFetchSize(100);
            ResultSet r = s.executeQuery("select id from patients");
            int count = 0; while (r.next()) count++;
            if (count != 5000) throw new Exception("count " + count);
            PreparedStatement i = c.prepareStatement("insert into notes(body) values (?)");
            for (int n = 0; n < 500; n++) { i.setString(1, "note"); i.addBatch(); }
            i.executeBatch(); c.commit();
        }
        System.out.println("JDBC is happy");
    }
}
"#;

#[test]
fn stdio_carries_one_stream() {
    let world = clinic();
    // A start-up message (protocol 3.0) for user ada on database clinic, then good-bye.
    let parameters = b"user\0ada\0database\0clinic\0\0";
    let length = u32::try_from(8 + parameters.len()).unwrap();
    let hello = [&length.to_be_bytes()[..], &196_608_u32.to_be_bytes(), parameters].concat();
    let mut stdio = world.hoop(&world.engineer);
    stdio.args(["connect", "pg", "--stdio"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = stdio.spawn().unwrap();
    let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    to.write_all(&hello).unwrap();
    let mut ok = [0; 9];
    from.read_exact(&mut ok).unwrap();
    assert_eq!(&ok, b"R\0\0\0\x08\0\0\0\0");
    to.write_all(b"X\0\0\0\x04").unwrap();
    drop(to);
    assert!(child.wait().unwrap().success());
}

#[test]
fn several_connections_at_once_and_printed_forms() {
    let world = clinic();
    world.put_connection("pg-two", serde_json::json!({"description": "the same again"}));
    let mut connect = world.hoop(&world.engineer);
    let log = world.folder.path().join("connect.log");
    let out = std::fs::File::create(&log).unwrap();
    let mut child = connect
        .args(["connect", "pg", "pg-two"])
        .stdout(out.try_clone().unwrap())
        .stderr(out)
        .spawn()
        .unwrap();
    let text = hoop_testkit::wait_until("both ports", || {
        let text = std::fs::read_to_string(&log).unwrap();
        (text.matches("jdbc:postgresql://").count() == 2).then_some(text)
    });
    let urls: Vec<&str> = text.split_whitespace().filter(|word| word.starts_with("postgresql://")).collect();
    assert_eq!(urls.len(), 2, "{text}");
    for url in urls {
        let answer = run(Command::new(program("psql")).args(["-XAtc", "select 40 + 2", url]));
        assert_eq!(answer, "42\n");
    }
    child.kill().unwrap();
    child.wait().unwrap();
}
