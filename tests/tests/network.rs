//! Ways through the network: an HTTP proxy, a WebSocket, and who may not come in.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hoop_testkit::{World, WorldOptions, binary, program, run, run_with_input, wait_until};

/// A proxy that knows CONNECT alone, counts, and wants credentials.
fn proxy() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, count) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&count);
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let counter = Arc::clone(&counter);
            std::thread::spawn(move || serve(client, &counter));
        }
    });
    (port, count)
}

fn serve(mut client: TcpStream, counter: &AtomicUsize) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if client.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    if !head.contains("Proxy-Authorization: Basic cHJveHk6czNjcmV0") {
        let _ = client.write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n");
        return;
    }
    let target = head.split(' ').nth(1).unwrap().replace("localhost", "127.0.0.1");
    let Ok(mut server) = TcpStream::connect(target) else { return };
    counter.fetch_add(1, Ordering::Relaxed);
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    let (mut back, mut forth) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    std::thread::spawn(move || std::io::copy(&mut back, &mut forth));
    let _ = std::io::copy(&mut client, &mut server);
}

#[test]
fn an_agent_behind_an_http_proxy() {
    let (port, count) = proxy();
    let world = World::with(WorldOptions {
        agent_env: vec![("HTTPS_PROXY", format!("http://proxy:s3cret@127.0.0.1:{port}"))],
        ..WorldOptions::default()
    });
    assert_eq!(world.psql("select 1"), "1\n");
    assert!(count.load(Ordering::Relaxed) >= 3, "control and data go through the proxy");
}

#[test]
fn a_command_line_in_a_websocket() {
    let world = World::start();
    let mut psql = world.hoop(&world.engineer);
    psql.args([
        "connect",
        "pg",
        "--transport",
        "websocket",
        "--",
        "psql",
        "-XAtc",
        "select 40 + 2",
        "clinic",
    ]);
    assert_eq!(run(&mut psql), "42\n");
}

#[test]
fn another_local_user_cannot_use_the_port() {
    let world = World::start();
    let log = world.folder.path().join("connect.log");
    let out = std::fs::File::create(&log).unwrap();
    let mut connect = world.hoop(&world.engineer);
    let mut child =
        connect.args(["connect", "pg"]).stdout(out.try_clone().unwrap()).stderr(out).spawn().unwrap();
    let url = wait_until("the port", || {
        let text = std::fs::read_to_string(&log).unwrap();
        text.split_whitespace().find(|word| word.starts_with("postgresql://")).map(str::to_owned)
    });
    let mine = run(Command::new(program("psql")).args(["-XAtc", "select 1", &url]));
    assert_eq!(mine, "1\n");
    let mut theirs = Command::new("setpriv");
    theirs.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(program("psql"));
    let done = theirs.args(["-XAtc", "select 1", &url]).env("HOME", "/").current_dir("/").output().unwrap();
    assert!(!done.status.success(), "nobody came in: {done:?}");
    // Turned away for who it is, and not for something that failed on the way.
    wait_until("the word on it", || {
        let told = std::fs::read_to_string(&log).unwrap();
        (told.contains("HOOP-1012") && told.contains("65534")).then_some(())
    });
    let mine = run(Command::new(program("psql")).args(["-XAtc", "select 2", &url]));
    assert_eq!(mine, "2\n");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn garbage_on_the_public_port_disturbs_nobody() {
    let world = World::start();
    let port = world.port;
    let half_open: Vec<TcpStream> =
        (0..300).filter_map(|_| TcpStream::connect(("127.0.0.1", port)).ok()).collect();
    for garbage in
        [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 0xff, 0xff], &[0; 5000], b"\x16\x03\x01\x00\x05hello"]
    {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let _ = stream.write_all(garbage);
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let _ = stream.read(&mut [0; 100]);
    }
    assert_eq!(world.psql("select 1"), "1\n");
    drop(half_open);
    let counted = |reason: &str| {
        let name = format!("hoop_connections_refused_total{{reason=\"{reason}\"}} ");
        let metrics = world.metrics();
        let value = metrics.lines().find_map(|line| line.strip_prefix(&name)?.parse::<f64>().ok());
        value.unwrap_or_else(|| panic!("{name}: {metrics}"))
    };
    assert!(counted("not_tls") >= 2.0, "refusals are counted");
}

/// For machines: each line of both daemons is an object with a time, a level and a message.
#[test]
fn logs_in_json_are_json_to_the_last_line() {
    let mut world = World::with(WorldOptions {
        gateway_env: vec![("HOOP_GATEWAY_LOG_FORMAT", "json".to_owned())],
        agent: &["--log-format", "json"],
        ..WorldOptions::default()
    });
    assert_eq!(world.psql("select 1"), "1\n");
    world.agent.terminate();
    world.gateway.terminate();
    for log in [world.gateway.log(), world.agent.log()] {
        assert!(log.lines().count() > 3, "{log}");
        for line in log.lines() {
            let object: serde_json::Value =
                serde_json::from_str(line).unwrap_or_else(|why| panic!("{line}: {why}"));
            assert!(object["timestamp"].is_string() && object["level"].is_string(), "{line}");
        }
    }
}

/// The shell takes them, and knows the commands.
#[test]
fn completions_are_scripts_of_their_shells() {
    let script = run(Command::new(binary("hoop")).args(["completion", "bash"]));
    let asked = format!(
        "{script}\nCOMP_WORDS=(hoop conn) COMP_CWORD=1; _hoop hoop conn hoop; echo \"${{COMPREPLY[*]}}\""
    );
    assert_eq!(run_with_input(Command::new("bash").args(["--norc", "-s"]), &asked).trim(), "connect");
    for shell in ["zsh", "fish"] {
        let script = run(Command::new(binary("hoop")).args(["completion", shell]));
        assert!(script.contains("hoop") && script.contains("sessions"), "{shell}");
    }
}

#[test]
fn nothing_listens_at_the_agent() {
    let world = World::start();
    let listening = run(Command::new("ss").args(["-Hltnp"]).stdin(Stdio::null()));
    let pid = format!("pid={},", world.agent.pid());
    assert!(!listening.contains(&pid), "{listening}");
}
