//! What is refused: forwards of every kind, variables, another host's key, and what a rule cannot mean for a host.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use hoop_testkit::{free_port, wait_until};
use serde_json::json;

use super::{Running, done, events, hospital, of_kind, with};

/// B1: to loopback, to the gateway's own port, to the metadata address; onward and back, by port and by socket.
#[test]
fn forwards_of_every_kind_are_refused_recorded_and_reach_nothing() {
    let (world, sshd) = hospital();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let secret = listener.local_addr().unwrap().port();
    let gateway = world.port;
    for (words, recorded) in [
        (vec!["-W".to_owned(), format!("127.0.0.1:{secret}")], format!("direct-tcpip to 127.0.0.1:{secret}")),
        (vec!["-W".into(), format!("localhost:{gateway}")], format!("direct-tcpip to localhost:{gateway}")),
        (vec!["-W".into(), "169.254.169.254:80".into()], "direct-tcpip to 169.254.169.254:80".into()),
        (vec!["-W".into(), "[::1]:22".into()], "direct-tcpip to ::1:22".into()),
    ] {
        let mut all: Vec<&str> = words.iter().map(String::as_str).collect();
        all.push("web");
        let (out, err, code) = done(&mut world.ssh(&all));
        assert!(out.is_empty() && err.contains("administratively prohibited"), "{words:?}: {out} {err}");
        assert_eq!(code, Some(255));
        let events = events(&world);
        let request = of_kind(&events, "request")[0];
        assert_eq!((&request["form"], &request["text"]), (&"forward".into(), &recorded.into()));
        assert_eq!(of_kind(&events, "denied")[0]["code"], "HOOP-2042");
    }
    let back = free_port();
    let (_, err, code) = done(&mut world.ssh(&[
        "-o",
        "ExitOnForwardFailure=yes",
        "-R",
        &format!("{back}:127.0.0.1:{secret}"),
        "web",
        "true",
    ]));
    assert!(err.contains("remote port forwarding failed") && code == Some(255), "{err}");
    let socket = world.folder.path().join("back.sock").display().to_string();
    let (_, err, _) = done(&mut world.ssh(&[
        "-o",
        "ExitOnForwardFailure=yes",
        "-R",
        &format!("{socket}:/run/x"),
        "web",
        "true",
    ]));
    assert!(err.contains("remote port forwarding failed"), "{err}");
    assert!(listener.accept().is_err(), "somebody came through");
    assert!(!sshd.log().contains("direct-tcpip"), "the host was asked");
}

/// The channel is refused; what else runs on the connection goes on.
#[test]
fn a_refused_forward_ends_nothing_else() {
    let (world, _sshd) = hospital();
    let (local, socks) = (free_port(), free_port());
    let path = world.folder.path().join("local.sock");
    let mut client = Running::start(&mut world.ssh(&[
        "-L",
        &format!("{local}:127.0.0.1:{}", world.port),
        "-L",
        &format!("{}:/run/dbus/system_bus_socket", path.display()),
        "-D",
        &socks.to_string(),
        "web",
        "echo ready; cat",
    ]));
    let mut line = [0; 6];
    client.0.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    for port in [local, socks] {
        let mut stream = wait_until("the local port", || TcpStream::connect(("127.0.0.1", port)).ok());
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        // SOCKS 5: no authentication, then a connection to the gateway.
        let _ = stream.write_all(&[5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, 0x01, 0xbb]);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        assert!(answer.len() <= 2 + 10, "{answer:?}");
    }
    let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.is_empty());
    client.0.stdin.take().unwrap().write_all(b"still here").unwrap();
    let mut rest = String::new();
    client.0.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "still here");
    let events = events(&world);
    assert_eq!(of_kind(&events, "denied").len(), 3, "{events:?}");
}

#[test]
fn the_clients_agent_and_display_stay_with_the_client() {
    let (world, _sshd) = hospital();
    let mut command = world.ssh(&["-A", "-X", "web", "echo agent=$SSH_AUTH_SOCK display=$DISPLAY"]);
    command.env("SSH_AUTH_SOCK", "/nonexistent").env("DISPLAY", ":77");
    let (out, ..) = done(&mut command);
    assert_eq!(out, "agent= display=\n");
}

/// B4: the host would take every variable.
#[test]
fn variables_that_are_not_listed_are_not_passed_on() {
    let (world, _sshd) = hospital();
    let words = [
        "-o",
        "SetEnv=LD_PRELOAD=/tmp/evil.so LC_PAPER=a4 BASH_ENV=/tmp/evil PATH=/tmp GIT_PROTOCOL=version=2",
        "web",
        "env",
    ];
    let (out, _, code) = done(&mut world.ssh(&words));
    assert_eq!(code, Some(0));
    assert!(out.contains("LC_PAPER=a4\n") && out.contains("GIT_PROTOCOL=version=2\n"), "{out}");
    assert!(!out.contains("evil") && !out.contains("PATH=/tmp\n"), "{out}");
    let events = events(&world);
    let notices = format!("{:?}", of_kind(&events, "notice"));
    for name in ["LD_PRELOAD", "BASH_ENV", "PATH"] {
        assert!(notices.contains(&format!("{name} was not passed on")), "{notices}");
    }
    assert!(format!("{:?}", of_kind(&events, "setting")).contains("LC_PAPER=a4"));
}

/// B9: somebody else answers in the host's place.
#[test]
fn a_host_with_another_key_is_left_before_it_is_told_anything() {
    let (world, mut sshd) = hospital();
    assert_eq!(done(&mut world.ssh(&["web", "echo fine"])).0, "fine\n");
    sshd.swap_key();
    let (out, err, code) = done(&mut world.ssh(&["web", "echo fine"]));
    assert!(out.is_empty() && code == Some(255), "{out}");
    assert!(err.contains("HOOP-5031") && err.contains("SHA256:") && err.contains("pinned"), "{err}");
    let log = sshd.log();
    assert!(!log.contains("publickey") && !log.contains(&format!("for {}", sshd.user())), "{log}");
    let events = events(&world);
    assert_eq!(of_kind(&events, "failed")[0]["code"], "HOOP-5031");
    // An admin pins the new key, and nobody else can.
    world.put_host("web", &sshd, json!({}));
    assert_eq!(done(&mut world.ssh(&["web", "echo fine"])).0, "fine\n");
}

#[test]
fn a_certified_host_is_known_by_its_authority_and_name() {
    let (world, mut sshd) = with(json!({}));
    let by_authority = |name: &str| json!({"settings": {"host_keys": [], "host_authorities": [sshd.authority_key()], "host_name": name}});
    let (right, wrong) = (by_authority("web.internal"), by_authority("db.internal"));
    world.put_host("web", &sshd, right.clone());
    let (_, err, _) = done(&mut world.ssh(&["web", "true"]));
    assert!(err.contains("HOOP-5031"), "it shows its bare key: {err}");
    sshd.certify("web.internal,web");
    assert_eq!(done(&mut world.ssh(&["web", "echo fine"])), ("fine\n".into(), String::new(), Some(0)));
    world.put_host("web", &sshd, wrong);
    let (_, err, _) = done(&mut world.ssh(&["web", "true"]));
    assert!(err.contains("HOOP-5031") && err.contains("db.internal"), "{err}");
}

#[test]
fn a_rule_that_means_databases_lets_nothing_run_on_a_host() {
    let (world, _sshd) = hospital();
    let ran = world.folder.path().join("ran");
    let command = format!("touch {}", ran.display());
    for (rule, code) in [
        (json!({"masking": {"columns": [{"columns": ["*.ssn"], "kind": "ssn"}]}}), "HOOP-2041"),
        (json!({"statements": [{"name": "reads", "action": "allow", "classes": ["read"]}]}), "HOOP-2040"),
    ] {
        world.rule(rule);
        let (_, err, exit) = done(&mut world.ssh(&["web", &command]));
        assert!(err.contains(code) && exit == Some(255), "{err}");
        assert!(!ran.exists());
        let events = events(&world);
        assert_eq!(of_kind(&events, "denied")[0]["code"], code);
    }
}

#[test]
fn a_wrong_credential_is_the_connections_fault_and_shows_nothing() {
    let (world, sshd) = hospital();
    let other = world.folder.path().join("other");
    hoop_testkit::ssh_key(&other);
    world.put_host("web", &sshd, json!({"settings": {"private_key": format!("file:{}", other.display())}}));
    let (_, err, code) = done(&mut world.ssh(&["web", "true"]));
    assert!(err.contains("HOOP-5032") && code == Some(255), "{err}");
    let secret = world.folder.path().join("no-key");
    std::fs::write(&secret, "canary-no-key-at-all").unwrap();
    world.put_host("web", &sshd, json!({"settings": {"private_key": format!("file:{}", secret.display())}}));
    let (_, err, _) = done(&mut world.ssh(&["web", "true"]));
    assert!(err.contains("HOOP-4240") && !err.contains("canary"), "{err}");
    assert!(!world.agent.log().contains("canary-no-key"));
}
