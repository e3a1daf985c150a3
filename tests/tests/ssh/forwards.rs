//! What may be forwarded: by a rule, to and from what is registered, counted, and ended with the session.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use hoop_testkit::{SOON, Sshd, World, free_port, run, wait_until};
use serde_json::{Value, json};

use super::{Running, done, events, master, of_kind, shared, text};

/// A host whose settings list these places, for people who may forward in these ways.
fn forwarding(ways: &[&str], to: &[String], listen: &[&str]) -> (World, Sshd) {
    forwarding_from(Sshd::start(), ways, to, listen)
}

fn forwarding_from(sshd: Sshd, ways: &[&str], to: &[String], listen: &[&str]) -> (World, Sshd) {
    let world = World::start();
    world.rule(json!({"forwarding": ways}));
    world.put_host("web", &sshd, json!({"settings": {"forwarding": {"to": to, "listen": listen}}}));
    (world, sshd)
}

/// Answers one connection after the other with what it got, in capitals, until the listener is gone.
fn shouting(listener: TcpListener) -> u16 {
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut heard = Vec::new();
            if stream.read_to_end(&mut heard).is_ok() {
                let _ = stream.write_all(&heard.to_ascii_uppercase());
            }
        }
    });
    port
}

fn shouter() -> u16 {
    shouting(TcpListener::bind("127.0.0.1:0").unwrap())
}

/// Says something, ends its side, and hears the answer to its end.
fn asked(mut stream: TcpStream, words: &str) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = stream.write_all(words.as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

fn connected(port: u16) -> TcpStream {
    wait_until("the forwarded port", || TcpStream::connect(("127.0.0.1", port)).ok())
}

fn forwards(events: &[Value]) -> Vec<&Value> {
    of_kind(events, "request").into_iter().filter(|event| event["form"] == "forward").collect()
}

fn tags(events: &[Value]) -> Vec<String> {
    let tag = |event: &&Value| event["tag"].as_str().unwrap_or_default().to_owned();
    of_kind(events, "completed").iter().map(tag).collect()
}

/// Ends the master, and hears what was recorded.
fn ended(world: &World, master: Running) -> Vec<Value> {
    drop(master);
    events(world)
}

#[test]
fn a_registered_port_is_reached_and_no_other() {
    let (good, other) = (shouter(), shouter());
    let (world, _sshd) = forwarding(&["local"], &[format!("127.0.0.1:{good}")], &[]);
    let (local, astray, socks) = (free_port(), free_port(), free_port());
    let mut client = Running::start(&mut world.ssh(&[
        "-L",
        &format!("{local}:127.0.0.1:{good}"),
        "-L",
        &format!("{astray}:127.0.0.1:{other}"),
        "-D",
        &socks.to_string(),
        "web",
        "echo ready; cat",
    ]));
    let mut ready = [0; 6];
    client.0.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    assert_eq!(asked(connected(local), "hello"), "HELLO");
    assert_eq!(asked(connected(local), "hello again"), "HELLO AGAIN");
    assert_eq!(asked(connected(astray), "hello"), "");
    let mut socks = connected(socks);
    let [high, low] = good.to_be_bytes();
    socks.write_all(&[5, 1, 0, 5, 1, 0, 1, 127, 0, 0, 1, high, low]).unwrap();
    let mut granted = [0; 12];
    socks.read_exact(&mut granted).unwrap();
    assert_eq!(asked(socks, "by socks"), "BY SOCKS");
    client.0.stdin.take().unwrap().write_all(b"still here").unwrap();
    let mut rest = String::new();
    client.0.stdout.take().unwrap().read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "still here");
    client.0.wait().unwrap();
    let events = events(&world);
    assert_eq!(forwards(&events).len(), 4, "{events:?}");
    assert_eq!(forwards(&events)[0]["text"], format!("direct-tcpip to 127.0.0.1:{good}"));
    let denied = of_kind(&events, "denied");
    assert_eq!((denied.len(), &denied[0]["code"]), (1, &"HOOP-2044".into()));
    for tag in ["5 bytes onward, 5 back", "11 bytes onward, 11 back", "8 bytes onward, 8 back"] {
        assert!(tags(&events).contains(&tag.to_owned()), "{tag}: {events:?}");
    }
    assert!(
        !text(&serde_json::to_vec(&events).unwrap()).contains("HELLO"),
        "what passes is counted, not kept"
    );
}

#[test]
fn one_connection_by_standard_input_and_output() {
    let good = shouter();
    let (world, _sshd) = forwarding(&["local"], &[format!("localhost:{good}")], &[]);
    let mut client = Running::start(&mut world.ssh(&["-W", &format!("localhost:{good}"), "web"]));
    client.0.stdin.take().unwrap().write_all(b"by pipe").unwrap();
    let mut answer = String::new();
    client.0.stdout.take().unwrap().read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "BY PIPE");
    // The same place by another name is another place.
    let (_, err, code) = done(&mut world.ssh(&["-W", &format!("127.0.0.1:{good}"), "web"]));
    assert!(err.contains("administratively prohibited") && code == Some(255), "{err}");
    // What is registered and does not answer is a failure, not a denial.
    drop(client);
    let nobody = free_port();
    world.put_host(
        "web",
        &_sshd,
        json!({"settings": {"forwarding": {"to": [format!("localhost:{nobody}")]}}}),
    );
    let (_, err, _) = done(&mut world.ssh(&["-W", &format!("localhost:{nobody}"), "web"]));
    assert!(err.contains("connect failed"), "{err}");
    assert_eq!(of_kind(&events(&world), "failed")[0]["code"], "HOOP-5033");
}

#[test]
fn a_rule_allows_each_way_by_itself() {
    let good = shouter();
    let places = [format!("127.0.0.1:{good}")];
    let (world, _sshd) = forwarding(&["remote", "agent", "x11"], &places, &["localhost:*"]);
    let (_, err, _) = done(&mut world.ssh(&["-W", &places[0], "web"]));
    assert!(err.contains("administratively prohibited"), "{err}");
    assert_eq!(of_kind(&events(&world), "denied")[0]["code"], "HOOP-2042");
    world.rule(json!({"forwarding": ["local"]}));
    let back = format!("{}:127.0.0.1:{good}", free_port());
    let (_, err, code) =
        done(&mut world.ssh(&["-o", "ExitOnForwardFailure=yes", "-R", &back, "web", "true"]));
    assert!(err.contains("remote port forwarding failed") && code == Some(255), "{err}");
    assert_eq!(of_kind(&events(&world), "denied")[0]["code"], "HOOP-2042");
}

#[test]
fn sockets_are_reached_and_listened_on_by_path() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    let (there, local, remote, here) =
        (at("there.sock"), at("local.sock"), at("remote.sock"), at("here.sock"));
    let (world, _sshd) = forwarding(&["local", "remote"], std::slice::from_ref(&there), &[&remote]);
    let answer = |listener: UnixListener, word: &'static [u8]| {
        thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = stream.unwrap().write_all(word);
            }
        });
    };
    answer(UnixListener::bind(&there).unwrap(), b"from the host");
    answer(UnixListener::bind(&here).unwrap(), b"from the person");
    let master = master(&world);
    let pair = |from: &str, to: &str| format!("{from}:{to}");
    run(&mut shared(&world, &["-O", "forward", "-L", &pair(&local, &there)]));
    run(&mut shared(&world, &["-O", "forward", "-R", &pair(&remote, &here)]));
    let heard = |path: &str| {
        let mut heard = String::new();
        UnixStream::connect(path).unwrap().read_to_string(&mut heard).unwrap();
        heard
    };
    assert_eq!((heard(&local).as_str(), heard(&remote).as_str()), ("from the host", "from the person"));
    let elsewhere = at("elsewhere.sock");
    let (_, err, code) = done(&mut shared(&world, &["-O", "forward", "-R", &pair(&elsewhere, &here)]));
    assert!(code != Some(0), "{err}");
    let events = ended(&world, master);
    assert_eq!(of_kind(&events, "denied")[0]["code"], "HOOP-2044");
    assert!(tags(&events).contains(&format!("the host listens on {remote}")), "{events:?}");
}

#[test]
fn a_port_of_the_host_leads_back_until_it_is_given_up() {
    let good = shouter();
    let (world, _sshd) = forwarding(&["remote"], &[], &["localhost:*"]);
    let master = master(&world);
    let wanted = format!("0:127.0.0.1:{good}");
    let port: u16 = run(&mut shared(&world, &["-O", "forward", "-R", &wanted])).trim().parse().unwrap();
    assert_eq!(asked(connected(port), "come in"), "COME IN");
    let many: Vec<_> =
        (0..8).map(|n| thread::spawn(move || asked(connected(port), &format!("guest {n}")))).collect();
    for (n, guest) in many.into_iter().enumerate() {
        assert_eq!(guest.join().unwrap(), format!("GUEST {n}"));
    }
    let fixed = free_port();
    let other = format!("{fixed}:127.0.0.1:{good}");
    run(&mut shared(&world, &["-O", "forward", "-R", &other]));
    assert_eq!(asked(connected(fixed), "and here"), "AND HERE");
    run(&mut shared(&world, &["-O", "cancel", "-R", &other]));
    wait_until("the host's port to close", || {
        TcpStream::connect(("127.0.0.1", fixed)).is_err().then_some(())
    });
    assert_eq!(asked(connected(port), "still here"), "STILL HERE");
    // All addresses of the host are another place than its own.
    let (_, _, code) = done(&mut shared(&world, &["-O", "forward", "-R", &format!("*:{wanted}")]));
    assert!(code != Some(0));
    let events = ended(&world, master);
    assert!(tags(&events).contains(&"7 bytes onward, 7 back".to_owned()), "{events:?}");
    assert_eq!(of_kind(&events, "denied")[0]["code"], "HOOP-2044");
}

/// THREATS A12: what is forwarded ends with its session.
#[test]
fn a_killed_session_takes_its_forwards_along() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = silent.local_addr().unwrap().port();
    let (world, _sshd) = forwarding(&["local", "remote"], &[format!("127.0.0.1:{at}")], &["localhost:*"]);
    let master = master(&world);
    let (local, remote) = (free_port(), free_port());
    run(&mut shared(&world, &["-O", "forward", "-L", &format!("{local}:127.0.0.1:{at}")]));
    run(&mut shared(&world, &["-O", "forward", "-R", &format!("{remote}:127.0.0.1:{at}")]));
    let mut ours = connected(local);
    let (mut theirs, _) = silent.accept().unwrap();
    ours.write_all(b"x").unwrap();
    theirs.read_exact(&mut [0]).unwrap();
    let id = world.sessions()[0]["id"].as_str().unwrap().to_owned();
    run(world.hoop(&world.admin).args(["sessions", "kill", &id, "--reason", "enough"]));
    let start = Instant::now();
    for stream in [&mut ours, &mut theirs] {
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        assert!(matches!(stream.read(&mut [0; 9]), Ok(0) | Err(_)));
    }
    wait_until("the host's port to close", || {
        TcpStream::connect(("127.0.0.1", remote)).is_err().then_some(())
    });
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    drop(master);
}

/// What runs on the host sees the keys of the person's agent, and its bytes are counted like any other's.
#[test]
fn the_persons_agent_is_lent_to_a_program_that_asks() {
    let (world, _sshd) = forwarding(&["agent"], &[], &[]);
    let socket = world.folder.path().join("agent.sock");
    let _agent = Running::start(Command::new("ssh-agent").arg("-D").arg("-a").arg(&socket));
    wait_until("the agent", || socket.exists().then_some(()));
    let key = world.folder.path().join("mine");
    hoop_testkit::ssh_key(&key);
    run(Command::new("ssh-add").arg("-q").arg(&key).env("SSH_AUTH_SOCK", &socket));
    let (out, err, code) = done(world.ssh(&["-A", "web", "ssh-add -l"]).env("SSH_AUTH_SOCK", &socket));
    assert!(out.contains("ED25519") && code == Some(0), "{out}{err}");
    let recorded = events(&world);
    let texts: Vec<_> = forwards(&recorded).iter().map(|event| event["text"].as_str().unwrap()).collect();
    assert_eq!(
        texts,
        [
            "the client's authentication agent",
            "a program on the host came to the client's authentication agent"
        ]
    );
    // Without being asked for it is not there, and the one of the session before is gone.
    let (out, ..) = done(world.ssh(&["web", "echo agent=$SSH_AUTH_SOCK"]).env("SSH_AUTH_SOCK", &socket));
    assert_eq!(out, "agent=\n");
}

/// A program on the host draws on the person's display: a real X server, a real client, cookies checked by both.
#[test]
fn the_persons_display_is_lent_to_a_program_that_asks() {
    let (world, _sshd) =
        forwarding_from(Sshd::with("X11Forwarding yes\nX11DisplayOffset 40"), &["x11"], &[], &[]);
    let folder = world.folder.path();
    let cookies = folder.join("cookies");
    let mut server = Command::new("Xvfb");
    server.args(["-displayfd", "1", "-screen", "0", "320x200x24", "-nolisten", "tcp", "-auth"]).arg(&cookies);
    std::fs::write(&cookies, "").unwrap();
    let mut server = server.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut number = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.take().unwrap()), &mut number)
        .unwrap();
    let _server = Running(server);
    let display = format!(":{}", number.trim());
    let cookie = "00112233445566778899aabbccddeeff";
    run(Command::new("xauth").arg("-f").arg(&cookies).args(["add", &display, "MIT-MAGIC-COOKIE-1", cookie]));
    let mut draws = world.ssh(&["-Y", "web", "xdpyinfo | grep dimensions; echo on $DISPLAY"]);
    let (out, err, _) = done(draws.env("DISPLAY", &display).env("XAUTHORITY", &cookies));
    assert!(out.contains("320x200") && out.contains("on localhost:4"), "{out}{err}");
    let recorded = serde_json::to_string(&events(&world)).unwrap();
    assert!(recorded.contains("came to the client's display") && !recorded.contains(cookie), "{recorded}");
}
