//! A load balancer in front of the gateway that terminates TLS and speaks HTTP alone: everything still works, and it
//! sees nothing of a session. A real HAProxy.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
};

use hoop_testkit::{Daemon, World, WorldOptions, certificates, free_port, run};

/// The balancer's own authority and certificate: the gateway's are no part of what it shows.
fn shown(folder: &Path) {
    certificates(folder);
    let both: Vec<_> =
        ["server.key", "server.crt", "root.crt"].map(|file| fs::read(folder.join(file)).unwrap()).concat();
    fs::write(folder.join("balancer.pem"), both).unwrap();
}

fn balancer(folder: &Path, gateway: u16) -> (u16, Daemon) {
    let (port, config) = (free_port(), folder.join("haproxy.cfg"));
    let text = format!(
        "global\n  log stdout format raw local0\n\
         defaults\n  mode http\n  log global\n  option httplog\n  timeout connect 5s\n  timeout client 60s\n  \
         timeout server 60s\n  timeout tunnel 1h\n\
         frontend public\n  bind 127.0.0.1:{port} ssl crt {}/balancer.pem alpn http/1.1\n  default_backend gateways\n\
         backend gateways\n  server one 127.0.0.1:{gateway} ssl verify none sni str(localhost) alpn http/1.1\n",
        folder.display()
    );
    fs::write(&config, text).unwrap();
    let program = ["/usr/sbin/haproxy", "/usr/local/sbin/haproxy", "/usr/bin/haproxy"].map(PathBuf::from);
    let program = program.into_iter().find(|path| path.is_file()).unwrap();
    let daemon = Daemon::start("haproxy", folder, Command::new(program).args(["-db", "-f"]).arg(&config));
    (port, daemon)
}

#[test]
fn behind_a_load_balancer_that_terminates_tls() {
    let folder = tempfile::tempdir().unwrap();
    shown(folder.path());
    let started: Arc<Mutex<Option<Daemon>>> = Arc::default();
    let (slot, path) = (Arc::clone(&started), folder.path().to_owned());
    let behind = move |gateway| {
        let (port, daemon) = balancer(&path, gateway);
        *slot.lock().unwrap() = Some(daemon);
        port
    };
    let mut world = World::with(WorldOptions {
        behind: Some(Box::new(behind)),
        system_authorities: Some(folder.path().join("root.crt")),
        agent: &["--transport", "websocket"],
        ..WorldOptions::default()
    });
    let query = |world: &World, sql: &str| {
        let mut psql = world.hoop(&world.engineer);
        psql.args(["connect", "pg", "--transport", "websocket", "--", "psql", "-XAtc", sql, "clinic"]);
        run(&mut psql)
    };
    assert_eq!(query(&world, "select 'canary-' || 40 + 2"), "canary-42\n");
    let much = query(&world, "select repeat('x', 2000000) from generate_series(1, 8)");
    assert_eq!(much.len(), 8 * 2_000_001, "large answers, in messages of their own size");

    // The control stream comes back by itself, with a certificate and no token.
    world.crash_gateway();
    world.start_gateway();
    world.wait_for_agent();
    assert_eq!(query(&world, "select 1"), "1\n");

    let session = world.ended_session();
    let id = session["id"].as_str().unwrap();
    assert_eq!(world.json(&world.admin, &["sessions", "verify", id])["clean"], true);
    let seen = started.lock().unwrap().as_ref().unwrap().log();
    let tunnels = seen.lines().filter(|line| line.contains("GET /v1/tunnel")).count();
    assert!(tunnels >= 3, "control and data went through it: {seen}");
    assert!(!seen.contains("canary"), "{seen}");
}
