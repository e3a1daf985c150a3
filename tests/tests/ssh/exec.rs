//! Programs on the agent's own machine, by the client that people use for hosts.

use std::{
    fs,
    io::{Read as _, Write as _},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use expectrl::{Expect as _, session::OsSession};
use hoop_testkit::{SOON, World, WorldOptions, run, run_with_input, wait_until};
use serde_json::{Value, json};

use super::{Running, done, events, of_kind, said, text};

fn me() -> String {
    run(Command::new("id").arg("-un")).trim().to_owned()
}

fn i_am_root() -> bool {
    run(Command::new("id").arg("-u")).trim() == "0"
}

/// A world whose agent runs programs as these accounts.
pub(crate) fn allowing(accounts: &str, also_secret: bool) -> World {
    let mut agent_env = vec![
        ("HOOP_AGENT_ALLOW_EXEC", accounts.to_owned()),
        ("HOOP_CANARY", "canary-of-the-agent".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "canary-of-the-agent".to_owned()),
    ];
    if also_secret {
        agent_env.push(("HOOP_AGENT_EXEC_MAY_READ_SECRETS", "true".to_owned()));
    }
    World::with(WorldOptions { agent_env, ..WorldOptions::default() })
}

/// A connection to the agent's own machine.
pub(crate) fn put(world: &World, name: &str, settings: &Value) {
    let definition = json!({
        "agent": "agent-1",
        "protocol": "exec",
        "description": "the agent's machine",
        "labels": {"app": "clinic"},
        "settings": settings,
    });
    let mut put = world.hoop(&world.admin);
    put.args(["admin", "connections", "put", name, "--file", "-"]);
    run_with_input(&mut put, &definition.to_string());
}

/// Programs run as whoever runs the test, which the agent's owner allows.
pub(crate) fn machine() -> World {
    let world = allowing(&me(), true);
    put(&world, "box", &json!({"user": me()}));
    world
}

fn runs(what: &str) -> bool {
    Command::new("pgrep").args(["-f", what]).output().unwrap().status.success()
}

/// Words that a process can be found by, and no other is.
fn mark(number: u32) -> String {
    format!("sleep {number}{}", std::process::id())
}

#[test]
fn a_command_has_its_streams_its_end_and_its_record() {
    let world = machine();
    let mut client = Running::start(&mut world.ssh(&["box", "cat; echo out; echo err >&2; exit 3"]));
    client.0.stdin.take().unwrap().write_all(b"typed input\n").unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    client.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    client.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("typed input\nout\n", "err\n"));
    assert_eq!(client.0.wait().unwrap().code(), Some(3));
    let events = events(&world);
    let facts = &of_kind(&events, "opened")[0]["facts"];
    assert_eq!((&facts["host"], &facts["user"]), (&"the agent's machine".into(), &me().into()));
    let request = of_kind(&events, "request")[0];
    assert_eq!(request["text"], "cat; echo out; echo err >&2; exit 3");
    assert_eq!((said(&events, "in"), said(&events, "error")), ("typed input\n".into(), "err\n".into()));
    assert_eq!(said(&events, "out"), "typed input\nout\n");
    assert_eq!(of_kind(&events, "completed")[0]["tag"], "exit 3");
    let id = world.ended_session()["id"].as_str().unwrap().to_owned();
    run(world.hoop(&world.admin).args(["sessions", "verify", &id]));

    let (_, _, code) = done(&mut world.ssh(&["box", "kill -KILL $$"]));
    assert_eq!(code, Some(255));
    assert_eq!(of_kind(&super::events(&world), "completed")[0]["tag"], "signal KILL");
    let (_, _, code) = done(&mut world.ssh(&["box", "no-such-program-at-all"]));
    assert_eq!(code, Some(127));
    // Bytes that are no text, more than all buffers, both ways at once.
    let path = world.folder.path().join("noise");
    let noise = super::noise(&path, 8);
    let back = world.ssh(&["box", "cat"]).stdin(fs::File::open(&path).unwrap()).output().unwrap();
    assert!(back.stdout == noise, "{} bytes came back", back.stdout.len());
    // The rest of a client's channel and an admin's look.
    let tested = world.json(&world.admin, &["admin", "connections", "test", "box"]);
    assert_eq!(
        (&tested["ok"], &tested["server_version"]),
        (&true.into(), &format!("{} on the agent's machine", me()).into())
    );
    let config = run(world.hoop(&world.engineer).args(["ssh-config", "--print"]));
    assert!(config.contains("Host box"), "{config}");
}

/// B4.
#[test]
fn nothing_of_the_agent_is_in_what_it_starts() {
    let world = machine();
    let (out, err, code) =
        done(&mut world.ssh(&["box", "env; pwd; ls -l /proc/self/fd; cat /proc/self/status"]));
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(!out.contains("canary-of-the-agent") && !out.contains("HOOP_"), "{out}");
    let names: Vec<&str> =
        out.lines().take_while(|line| line.contains('=')).filter_map(|line| line.split('=').next()).collect();
    let known = ["HOME", "USER", "LOGNAME", "SHELL", "PATH", "PWD", "SHLVL", "_", "OLDPWD", "LANG", "LC_ALL"];
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    assert!(
        !out.contains(&world.folder.path().display().to_string()),
        "a file of the agent's is open, or its folder: {out}"
    );
    assert!(!out.contains("socket:"), "a socket is open: {out}");
    assert!(out.contains("NoNewPrivs:\t1"), "{out}");
    let (out, _, _) = done(
        &mut world
            .ssh(&["box", "cat /proc/$PPID/environ | tr '\\0' '\\n'; tr '\\0' ' ' < /proc/$PPID/cmdline"]),
    );
    assert_eq!(out.trim(), "hoop-agent program-keeper", "its keeper has nothing of the agent's either");
}

#[test]
fn a_shell_has_a_terminal_of_its_own() {
    let world = machine();
    let mut command = world.ssh(&["box"]);
    command.env("TERM", "xterm-256color");
    let mut shell = OsSession::spawn(command).unwrap();
    shell.set_expect_timeout(Some(Duration::from_secs(30)));
    shell.get_process_mut().set_window_size(101, 37).unwrap();
    shell
        .send_line("PS1=; stty -echo; echo re''ady; echo $TERM; tty; echo leads $(($(ps -o sid= -p $$)-$$))")
        .unwrap();
    shell.expect("ready").unwrap();
    shell.expect("xterm-256color").unwrap();
    shell.expect("/dev/pts/").unwrap();
    // It leads its session, and has the terminal.
    shell.expect("leads 0").unwrap();
    shell.get_process_mut().set_window_size(90, 24).unwrap();
    shell.send_line("while [ \"$(stty size)\" != '24 90' ]; do :; done; echo re''sized").unwrap();
    shell.expect("resized").unwrap();
    shell.send_line("sh -c 'echo wai''ting; sleep 600'").unwrap();
    shell.expect("waiting").unwrap();
    shell.send("\u{3}").unwrap();
    shell.send_line("echo inter''rupted $?").unwrap();
    shell.expect("interrupted 130").unwrap();
    // In one process: a shell that is about to start another, and waits for it in the kernel, cannot stop.
    shell.send_line("sh -c 'echo wai''ting; exec sleep 600'").unwrap();
    shell.expect("waiting").unwrap();
    shell.send("\u{1a}").unwrap();
    // The shell says so by itself when it has the terminal again: what was typed before that is the terminal's to drop.
    shell.expect("Stopped").unwrap();
    shell.send_line("kill %1; echo en''ded").unwrap();
    shell.expect("ended").unwrap();
    shell.send_line("exit 5").unwrap();
    shell.expect(expectrl::Eof).unwrap();
    let status = shell.get_process().wait().unwrap();
    assert!(format!("{status:?}").ends_with(", 5)"), "{status:?}");
    let events = events(&world);
    let request = of_kind(&events, "request")[0];
    assert_eq!(
        (&request["form"], &request["names"]["terminal"]),
        (&"shell".into(), &"xterm-256color".into())
    );
    let shown = said(&events, "out");
    assert!(shown.contains("resized") && shown.contains("interrupted 130"), "{shown}");
    assert_eq!(said(&events, "in"), "", "what is typed is kept where it is shown");
    assert_eq!(of_kind(&events, "completed")[0]["tag"], "exit 5");
}

#[test]
fn a_fixed_command_is_all_that_runs() {
    let world = machine();
    let ran = world.folder.path().join("ran");
    let fixed =
        ["/bin/sh", "-c", "echo fixed \"$1\"; read line; echo got $line", "sh", "a $(touch /x) 'word'"];
    put(&world, "box", &json!({"user": me(), "command": fixed, "folder": "/"}));
    let mut client = Running::start(&mut world.ssh(&["box"]));
    client.0.stdin.take().unwrap().write_all(b"; id\n").unwrap();
    let mut out = String::new();
    client.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, "fixed a $(touch /x) 'word'\ngot ; id\n");
    assert!(client.0.wait().unwrap().success());
    let request = of_kind(&events(&world), "request")[0].clone();
    assert_eq!(request["form"], "command");
    assert_eq!(
        request["text"],
        r#"/bin/sh -c 'echo fixed "$1"; read line; echo got $line' sh 'a $(touch /x) '\''word'\'''"#
    );
    let touch = format!("touch {}", ran.display());
    for words in [vec!["box", &touch], vec!["-tt", "box", &touch], vec!["-s", "box", "sftp"]] {
        let (_, err, code) = done(world.ssh(&words).stdin(Stdio::null()));
        assert!(code == Some(255) && err.contains("HOOP-2043"), "{words:?}: {err}");
        assert_eq!(of_kind(&events(&world), "denied")[0]["code"], "HOOP-2043");
    }
    assert!(!ran.exists());
    // Rules about commands judge its text: it is known, as that of a shell is not.
    world.rule(json!({"commands": [{"name": "a", "action": "allow", "text": ["/usr/bin/uptime"]}]}));
    let (_, err, _) = done(world.ssh(&["box"]).stdin(Stdio::null()));
    assert!(err.contains("HOOP-2046"), "{err}");
    put(&world, "box", &json!({"user": me(), "command": ["/usr/bin/uptime"]}));
    let (out, err, code) = done(world.ssh(&["box"]).stdin(Stdio::null()));
    assert!(out.contains("load average") && code == Some(0), "{out}{err}");
}

#[test]
fn files_and_forwards_have_no_way_through() {
    let world = machine();
    world.rule(json!({"forwarding": ["local", "remote", "agent", "x11"]}));
    let (_, err, code) = done(&mut world.ssh(&["-s", "box", "sftp"]));
    assert!(code == Some(255) && err.contains("does not offer files"), "{err}");
    let (out, err, _) = done(&mut world.ssh(&["-W", &format!("127.0.0.1:{}", world.port), "box"]));
    assert!(out.is_empty() && err.contains("administratively prohibited"), "{err}");
    let denied = of_kind(&events(&world), "denied")[0].clone();
    assert_eq!(denied["code"], "HOOP-5045", "{denied}");
    let (_, err, code) =
        done(&mut world.ssh(&["-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1", "box", "true"]));
    assert!(err.contains("remote port forwarding failed") && code == Some(255), "{err}");
    // Nor is the person's agent lent to what runs there.
    let (out, _, code) = done(&mut world.ssh(&["-A", "box", "echo agent=$SSH_AUTH_SOCK"]));
    assert_eq!((out.as_str(), code), ("agent=\n", Some(0)));
}

/// E1.
#[test]
fn nothing_runs_unless_the_owner_of_the_machine_allows_it() {
    let refused = |world: &World, code: &str| {
        let ran = world.folder.path().join("ran");
        put(world, "box", &json!({"user": me()}));
        let (out, err, status) = done(&mut world.ssh(&["box", &format!("touch {}", ran.display())]));
        assert!(out.is_empty() && err.contains(code) && status == Some(255), "{out} {err}");
        let mut test = world.hoop(&world.admin);
        let (out, _, status) = done(test.args(["admin", "connections", "test", "box", "-o", "json"]));
        assert!(out.contains(code) && status != Some(0), "{out}");
        assert!(!ran.exists(), "it ran");
    };
    refused(&World::start(), "HOOP-4247");
    refused(&allowing("daemon", true), "HOOP-4247");
    // The agent's own account, and root, need a second word.
    refused(&allowing(&format!("{},root", me()), false), "HOOP-4248");
}

/// B12.
#[test]
fn all_that_a_session_started_ends_with_it() {
    let mut world = machine();
    let (front, back, gone) = (mark(61), mark(62), mark(63));
    let started = |world: &World| {
        let command = format!(
            "(setsid nohup {gone} >/dev/null 2>&1 &) ; nohup {back} >/dev/null 2>&1 & echo began; exec {front}"
        );
        let mut client = Running::start(&mut world.ssh(&["-tt", "box", &command]));
        let mut began = [0; 5];
        client.0.stdout.as_mut().unwrap().read_exact(&mut began).unwrap();
        for one in [&front, &back, &gone] {
            wait_until("the programs", || runs(&format!("^{one}")).then_some(()));
        }
        client
    };
    let all_gone = |since: Instant, how: &str| {
        for one in [&front, &back, &gone] {
            wait_until("its end", || (!runs(&format!("^{one}"))).then_some(()));
        }
        assert!(since.elapsed() < SOON, "{how}: {:?}", since.elapsed());
    };
    let keepers = |agent: u32| {
        let found =
            Command::new("pgrep").args(["-P", &agent.to_string(), "-f", "program-keeper"]).output().unwrap();
        text(&found.stdout).lines().count()
    };
    let agent = world.agent.pid();
    let mut client = started(&world);
    assert_eq!(keepers(agent), 1);
    let id = world.sessions()[0]["id"].as_str().unwrap().to_owned();
    run(world.hoop(&world.admin).args(["sessions", "kill", &id, "--reason", "wrong machine"]));
    let since = Instant::now();
    all_gone(since, "a kill");
    let mut err = String::new();
    client.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(err.contains("wrong machine"), "{err}");

    let client = started(&world);
    let since = Instant::now();
    drop(client);
    all_gone(since, "a client that is killed");
    wait_until("the end of its keeper", || (keepers(agent) == 0).then_some(()));

    let _client = started(&world);
    let since = Instant::now();
    world.kill_agent();
    all_gone(since, "an agent that is killed");
}

/// B12.
#[test]
fn what_a_program_leaves_behind_is_ended_and_told() {
    let world = machine();
    let left = mark(64);
    let (out, _, code) =
        done(&mut world.ssh(&["box", &format!("setsid nohup {left} >/dev/null 2>&1 & echo done; exit 4")]));
    assert_eq!((out.as_str(), code), ("done\n", Some(4)));
    assert!(!runs(&format!("^{left}")), "it runs on");
    let notices = format!("{:?}", of_kind(&events(&world), "notice"));
    assert!(notices.contains("1 processes that it left running were ended"), "{notices}");
    // Also one that does not listen, and one that holds the output open.
    let script = format!("trap '' HUP TERM; {left} & echo deaf; exit 0");
    let (out, _, code) = done(&mut world.ssh(&["box", &script]));
    assert_eq!((out.as_str(), code), ("deaf\n", Some(0)));
    assert!(!runs(&format!("^{left}")), "it runs on");
}

#[test]
fn a_key_that_is_a_signal_reaches_the_program_whatever_the_agent_ignores() {
    let mut world = machine();
    world.kill_agent();
    // As `nohup` and shells start what runs in the background.
    let agent = world.agent_command();
    let mut ignoring = Command::new("sh");
    ignoring
        .args(["-c", "trap '' HUP INT QUIT TERM; exec \"$@\"", "sh"])
        .arg(agent.get_program())
        .args(agent.get_args());
    ignoring.envs(agent.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let mut ignoring = Running::start(&mut ignoring);
    world.wait_for_agent();
    for (key, tag) in [(b"\x1c", "signal QUIT"), (b"\x03", "signal INT")] {
        let mut client = Running::start(&mut world.ssh(&["-tt", "box", "echo ready; exec sleep 600"]));
        let mut ready = [0; 5];
        client.0.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
        client.0.stdin.as_mut().unwrap().write_all(key).unwrap();
        wait_until("the program's end", || client.0.try_wait().unwrap());
        assert_eq!(of_kind(&events(&world), "completed")[0]["tag"], tag);
    }
    let _ = ignoring.0.kill();
}

/// B12. Only root can become somebody else.
#[test]
fn another_account_is_taken_on_whole() {
    if !i_am_root() {
        let is_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!is_ci, "only root can become somebody else: CI runs this test as root");
        return;
    }
    let world = allowing("nobody,daemon", false);
    put(&world, "box", &json!({"user": "nobody", "folder": "/", "command": ["/bin/sh"]}));
    let asked = |script: &str| {
        let mut client = Running::start(&mut world.ssh(&["box"]));
        client.0.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        let (mut out, mut err) = (String::new(), String::new());
        client.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
        client.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        client.0.wait().unwrap();
        format!("{out}{err}")
    };
    let expected = run(Command::new("id").arg("nobody"));
    let shown = asked("id\n");
    assert!(shown.starts_with(&expected), "{shown}");
    let status = asked("cat /proc/self/status\n");
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert!(status.contains(&format!("{set}:\t0000000000000000")), "{status}");
    }
    // Nothing of the agent's can be read, and nothing gained.
    let agent = world.folder.path().join("agent");
    let pid = world.agent.pid();
    let tried = asked(&format!("ls {}; cat /proc/{pid}/environ; kill -0 {pid}; su -c id\n", agent.display()));
    assert!(!tried.contains("canary") && !tried.contains("uid=0"), "{tried}");
    for refused in ["cannot access", "Permission denied"] {
        assert!(tried.contains(refused) || tried.contains("cannot open"), "{tried}");
    }
    // The owner of a terminal is who uses it.
    let mut shell = OsSession::spawn(world.ssh(&["-tt", "box"])).unwrap();
    shell.set_expect_timeout(Some(Duration::from_secs(30)));
    shell.send_line("stat -c 'owner %U' $(tty)").unwrap();
    shell.expect("owner nobody").unwrap();
    shell.send_line("exit").unwrap();
    shell.expect(expectrl::Eof).unwrap();
    // A folder that it may not enter, and an account that has no such program, are told before anything runs.
    put(&world, "box", &json!({"user": "nobody", "folder": "/root", "command": ["/bin/sh"]}));
    let refused = asked("id\n");
    assert!(refused.contains("HOOP-5043") && refused.contains("begin in its folder"), "{refused}");
    put(&world, "box", &json!({"user": "nobody", "folder": "/", "command": ["/no/such/program"]}));
    assert!(asked("id\n").contains("HOOP-5043"));
    let failed = of_kind(&events(&world), "failed")[0].clone();
    assert_eq!(failed["code"], "HOOP-5043");
}
