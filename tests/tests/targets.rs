//! Targets: how the agent logs in, what it refuses, and what a hostile one can do to others (nothing).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{Read, Write},
    net::TcpListener,
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use hoop_testkit::{PostgresOptions, World, WorldOptions, resident, run, run_for_all, wait_until};
use serde_json::{Value, json};

fn world(method: &'static str, tls: bool) -> World {
    let postgres = PostgresOptions { method, tls, ..PostgresOptions::default() };
    World::with(WorldOptions { postgres, ..WorldOptions::default() })
}

/// What psql says when it does not get in.
fn refused(world: &World, changes: Value) -> String {
    world.put_connection("pg", changes);
    let done = world.through(&["psql", "-X", "-c", "select 1"]).output().unwrap();
    assert!(!done.status.success(), "{done:?}");
    String::from_utf8_lossy(&done.stderr).into_owned()
}

#[test]
fn scram_with_channel_binding_over_tls() {
    let world = world("scram-sha-256", true);
    assert_eq!(
        world.psql("select ssl::text || ' ' || version from pg_stat_ssl where pid = pg_backend_pid()"),
        "true TLSv1.3\n"
    );
}

#[test]
fn scram_md5_and_password() {
    for (method, tls) in [("scram-sha-256", false), ("md5", true), ("password", true)] {
        let world = world(method, tls);
        assert_eq!(world.psql("select current_user"), "app\n", "{method}");
    }
}

#[test]
fn a_client_certificate_at_the_target() {
    let world = world("cert", true);
    let without = refused(&world, json!({}));
    assert!(without.contains("FATAL"), "{without}");
    let (certificate, key) = world.postgres.client_files();
    let tls = json!({"client_certificate": certificate, "client_key": key});
    world.put_connection("pg", json!({"settings": {"tls": tls}}));
    assert_eq!(world.psql("select current_user"), "app\n");
}

#[test]
fn the_persons_name_reaches_the_target() {
    let world = world("scram-sha-256", true);
    let name = world.psql("select application_name from pg_stat_activity where pid = pg_backend_pid()");
    assert!(name.contains("psql") && name.contains("ada"), "{name}");
}

#[test]
fn a_certificate_that_is_not_right_is_refused() {
    let world = world("scram-sha-256", true);
    let other = World::start();
    let wrong_ca = json!({"settings": {"tls": {"ca_file": other.postgres.ca_file()}}});
    assert!(refused(&world, wrong_ca).contains("certificate"), "another authority");
    let system = json!({"settings": {"tls": {"ca_file": null}}});
    assert!(refused(&world, system).contains("certificate"), "an authority that the system does not know");
    let name =
        json!({"settings": {"tls": {"ca_file": world.postgres.ca_file(), "server_name": "db.example.com"}}});
    assert!(refused(&world, name).contains("certificate"), "another name");
}

#[test]
fn a_certificate_that_has_ended_is_refused() {
    let world = world("scram-sha-256", true);
    assert_eq!(world.psql("select 1"), "1\n");
    let data = world.postgres.ca_file().parent().unwrap().to_owned();
    let script = "set -e; cd \"$1\"
        printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index\nnew_certs_dir=.\nserial=number\ndefault_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n' > ca.cnf
        : > index; echo 77 > number
        openssl ca -batch -config ca.cnf -cert root.crt -keyfile root.key -in server.csr -extfile ext \
            -startdate 20200101000000Z -enddate 20210101000000Z -out ended.crt 2>/dev/null
        cat ended.crt > server.crt";
    run(std::process::Command::new("sh").args(["-c", script, "end"]).arg(&data));
    world.postgres.sql("select pg_reload_conf()");
    let heard = refused(&world, json!({}));
    assert!(heard.contains("certificate") && heard.contains("expired"), "{heard}");
}

#[test]
fn no_downgrade_to_plain_text() {
    let world = world("scram-sha-256", false);
    let ca = world.folder.path().join("any.pem");
    run(std::process::Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-subj",
            "/CN=x",
            "-keyout",
            "/dev/null",
            "-out",
        ])
        .arg(&ca));
    let heard = refused(&world, json!({"settings": {"tls": {"mode": "verify_full", "ca_file": ca}}}));
    assert!(heard.contains("TLS"), "{heard}");
}

#[test]
fn bytes_injected_before_tls_are_refused() {
    let world = world("scram-sha-256", true);
    let evil = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = evil.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in evil.incoming().flatten() {
            let _ = stream.read(&mut [0; 8]);
            let _ = stream.write_all(b"SE\0\0\0\x10SFATAL\0injected");
        }
    });
    let heard = refused(&world, json!({"settings": {"port": port}}));
    assert!(!heard.contains("injected"), "{heard}");
}

#[test]
fn a_hostile_target_disturbs_nobody_else() {
    let world = world("scram-sha-256", true);
    let evil = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = evil.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for (count, mut stream) in evil.incoming().flatten().enumerate() {
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 1024]);
                match count % 4 {
                    0 => {
                        let _ = stream.write_all(b"R\x7f\xff\xff\xff\0\0\0\0");
                    }
                    1 => {
                        let _ = stream.write_all(b"R\0\0\0\x08\0\0\0\0T\0\0\0\x06\xff\xff");
                    }
                    2 => while stream.write_all(b"S\0\0\0\x08a\0b\0").is_ok() {},
                    _ => {
                        let _ = stream.write_all(&[0; 100_000]);
                    }
                }
                let _ = stream.read(&mut [0; 1]);
            });
        }
    });
    world.put_connection(
        "evil",
        json!({"settings": {"port": port, "tls": {"mode": "disabled", "ca_file": null}}}),
    );
    for _ in 0..4 {
        let done = world
            .hoop(&world.engineer)
            .args(["connect", "evil", "--", "psql", "-X", "-c", "select 1"])
            .env("PGCONNECT_TIMEOUT", "5")
            .output()
            .unwrap();
        assert!(!done.status.success(), "{done:?}");
        assert_eq!(world.psql("select 1"), "1\n");
    }
}

/// It lets everybody in, and is hostile to their first statement.
#[test]
fn a_target_that_turns_hostile_after_the_log_in_disturbs_nobody_else() {
    let world = world("scram-sha-256", true);
    let evil = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = evil.local_addr().unwrap().port();
    let (finished, endless) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (over, sent) = (Arc::clone(&finished), Arc::clone(&endless));
    std::thread::spawn(move || {
        for (count, mut stream) in evil.incoming().flatten().enumerate() {
            let (over, sent) = (Arc::clone(&over), Arc::clone(&sent));
            std::thread::spawn(move || {
                let _ = stream.read(&mut [0; 1024]);
                let _ = stream.write_all(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I");
                let _ = stream.read(&mut [0; 1024]);
                match count % 3 {
                    // A row without end, of as many bytes as there can be.
                    0 => {
                        let _ = stream.write_all(
                            b"T\0\0\0\x1a\0\x01a\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0",
                        );
                        let _ = stream.write_all(b"D\x7f\xff\xff\xff\0\x01\x7f\xff\xff\xf5");
                        while stream.write_all(&[b'x'; 64 << 10]).is_ok() {
                            sent.fetch_add(64 << 10, Ordering::Relaxed);
                        }
                    }
                    // More columns than its message has room for.
                    1 => {
                        let _ = stream.write_all(b"T\0\0\0\x06\xff\xffD\0\0\0\x06\xff\xffZ\0\0\0\x05I");
                        let _ = stream.read(&mut [0; 1]);
                    }
                    // A byte now and then.
                    _ => {
                        for byte in b"C\0\0\0\x0dSELECT 1\0".iter().cycle() {
                            if over.load(Ordering::Relaxed) || stream.write_all(&[*byte]).is_err() {
                                break;
                            }
                            std::thread::park_timeout(Duration::from_millis(20));
                        }
                    }
                }
            });
        }
    });
    world.put_connection(
        "evil",
        json!({"settings": {"port": port, "tls": {"mode": "disabled", "ca_file": null}}}),
    );
    let start = || {
        let mut psql = world.hoop(&world.engineer);
        psql.args(["connect", "evil", "--", "psql", "-X", "-c", "select 1", "dbname=clinic"]);
        psql.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    assert_eq!(world.psql("select 1"), "1\n");
    let before = resident(world.agent.pid());
    // A client that keeps nothing of it.
    let mut row = world.hoop(&world.engineer);
    let row = row.args(["connect", "evil", "--stdio"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut row = row.stderr(Stdio::null()).spawn().unwrap();
    let (mut input, mut output) = (row.stdin.take().unwrap(), row.stdout.take().unwrap());
    input.write_all(b"\0\0\0\x22\0\x03\0\0user\0app\0database\0clinic\0\0").unwrap();
    output.read_exact(&mut [0]).unwrap();
    input.write_all(b"Q\0\0\0\x0dselect 1\0").unwrap();
    let reading = std::thread::spawn(move || std::io::copy(&mut output, &mut std::io::sink()));
    wait_until("a good part of the row", || (endless.load(Ordering::Relaxed) > 200 << 20).then_some(()));
    assert_eq!(world.psql("select 1"), "1\n");
    let more = resident(world.agent.pid()).saturating_sub(before);
    assert!(more < 64 << 20, "the agent grew by {} KiB", more / 1024);
    row.kill().unwrap();
    row.wait().unwrap();
    reading.join().unwrap().unwrap();
    let columns = start().wait_with_output().unwrap();
    assert!(!columns.status.success(), "{columns:?}");
    let mut slow = start();
    for _ in 0..20 {
        assert_eq!(world.psql("select 1"), "1\n");
    }
    assert!(slow.try_wait().unwrap().is_none(), "it waits, and for itself alone");
    finished.store(true, Ordering::Relaxed);
    slow.kill().unwrap();
    slow.wait().unwrap();
}

/// Somebody reads nothing of a large answer; whoever else works at the same agent notices nothing.
#[test]
fn a_session_that_nobody_reads_holds_up_no_other() {
    let world = world("scram-sha-256", true);
    assert_eq!(world.psql("select 1"), "1\n");
    let before = resident(world.agent.pid());
    let script = "
import socket, sys, psycopg
connection = psycopg.connect('')
connection.pgconn.send_query(b'select repeat($$x$$, 1000) from generate_series(1, 2000000)')
connection.pgconn.flush()
print('asked', flush=True)
sys.stdin.read()";
    let mut idle = world.through(&["/usr/bin/python3", "-c", script]);
    let mut idle = idle.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    idle.stdout.as_mut().unwrap().read_exact(&mut [0; 6]).unwrap();
    wait_until("the answer to stand still", || {
        let asked = "select count(*) from pg_stat_activity where wait_event = 'ClientWrite' and query like '%2000000%'";
        (world.postgres.sql(asked) == "1\n").then_some(())
    });
    let many: String = (0..200).map(|n| format!("select {n};\n")).collect();
    assert_eq!(world.psql(&many).lines().count(), 200);
    assert_eq!(world.psql("copy (select generate_series(1, 100000)) to stdout").lines().count(), 100_000);
    let more = resident(world.agent.pid()).saturating_sub(before);
    assert!(more < 64 << 20, "the agent grew by {} KiB", more / 1024);
    idle.kill().unwrap();
    idle.wait().unwrap();
}

/// psql asks for it twice, and sends what the server keeps.
#[test]
fn a_password_is_changed_by_psqls_own_command() {
    let world = world("scram-sha-256", true);
    let secret = "changed-by-psql-4711";
    // Who may replicate is changed by superusers alone.
    world.postgres.sql("alter role app noreplication");
    // Without a terminal of its own psql reads the password where it reads commands.
    let mut psql = world.through(&["setsid", "--wait", "psql", "-X", "-q"]);
    let said = run_for_all(&mut psql, &format!("\\password\n{secret}\n{secret}\n"));
    assert!(!said.contains("ERROR"), "{said}");
    let heard = refused(&world, json!({}));
    assert!(heard.contains("HOOP-"), "the old one is good no more: {heard}");
    let file = world.folder.path().join("new-password");
    std::fs::write(&file, secret).unwrap();
    world.put_connection("pg", json!({"settings": {"password": format!("file:{}", file.display())}}));
    assert_eq!(world.psql("select current_user"), "app\n");
    for log in [world.gateway.log(), world.agent.log()] {
        assert!(!log.contains(secret) && !log.contains("SCRAM-SHA-256$"), "{log}");
    }
}

#[test]
fn replication_only_where_the_connection_allows_it() {
    let world = world("scram-sha-256", true);
    let receive = || {
        world
            .through(&["psql", "-X", "-c", "IDENTIFY_SYSTEM", "dbname=clinic replication=database"])
            .output()
            .unwrap()
    };
    let denied = receive();
    assert!(String::from_utf8_lossy(&denied.stderr).contains("replication is not allowed"), "{denied:?}");
    world.rule(json!({"allow_replication": true}));
    let allowed = receive();
    assert!(allowed.status.success(), "{allowed:?}");
}

#[test]
fn names_that_would_inject_stay_names() {
    let world = world("scram-sha-256", true);
    for name in ["clinic?sslmode=disable", "clinic options=-c", "a/b@c", "clinic%00"] {
        let database = format!("dbname='{name}'");
        let done = world.through(&["psql", "-X", "-c", "select 1", "-d", &database]).output().unwrap();
        let heard = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(
            heard.contains(&format!("database \"{name}\" does not exist")) || heard.contains("invalid"),
            "{name}: {heard}"
        );
    }
}

#[test]
fn sealed_and_environment_credentials() {
    let world = World::with(WorldOptions {
        agent_env: vec![("HOOP_TEST_PASSWORD", "canary-7f3a-pässword".to_owned())],
        ..WorldOptions::default()
    });
    world.put_connection("pg", json!({"settings": {"password": "env:HOOP_TEST_PASSWORD"}}));
    assert_eq!(world.psql("select 1"), "1\n");
    let mut seal = world.hoop(&world.admin);
    seal.args(["admin", "connections", "seal", "pg", "--agent", "agent-1"]);
    let sealed = hoop_testkit::run_with_input(&mut seal, "canary-7f3a-pässword\n");
    let sealed = sealed.trim();
    assert!(sealed.starts_with("sealed:"), "{sealed}");
    world.put_connection("pg", json!({"settings": {"password": sealed}}));
    assert_eq!(world.psql("select 2"), "2\n");
    let heard = refused(&world, json!({"settings": {"password": "env:NOT_THERE"}}));
    assert!(heard.contains("NOT_THERE") || heard.contains("HOOP-4020"), "{heard}");
}
