//! Targets: how the agent logs in, what it refuses, and what a hostile one can do to others (nothing).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{Read, Write},
    net::TcpListener,
};

use hoop_testkit::{PostgresOptions, World, WorldOptions, run};
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
