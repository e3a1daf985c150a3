//! What people's programs speak SSH with besides OpenSSH: paramiko, asyncssh, ansible, and editors that work on a host. And both
//! ends as attackers, which a library lets one be.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Command, Stdio},
};

use hoop_testkit::{World, ansible, asyncssh, free_port, paramiko, run, ssh_key, wait_until};
use serde_json::{Value, json};

use super::{Running, done, events, exec, hospital, of_kind, said};

const PARAMIKO: &str = include_str!("paramiko_client.py");
const ASYNCSSH: &str = include_str!("asyncssh_client.py");
const HOSTILE_CLIENT: &str = include_str!("hostile_client.py");
const HOSTILE_SERVER: &str = include_str!("hostile_server.py");
const LIED_TO: &str = include_str!("lied_to_client.py");

/// A local port of a connection, while it lives.
struct Port {
    hoop: Running,
    number: String,
    known: String,
    alias: String,
}

impl Port {
    fn open(world: &World, connection: &str) -> Self {
        let mut command = world.hoop(&world.engineer);
        let mut hoop = Running::start(command.args(["connect", connection, "-o", "json"]));
        let mut line = String::new();
        BufReader::new(hoop.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let shown: Value = serde_json::from_str(&line).unwrap();
        let known = world.engineer.profile.join("ssh/known_hosts").display().to_string();
        Self { hoop, number: shown["port"].to_string(), known, alias: format!("{connection}.hoop") }
    }

    /// Runs a script of a library with what it needs, and more words.
    fn run(&self, mut script: Command, words: &[&str]) -> String {
        run(script.args([&self.number, &self.known, &self.alias]).args(words).stdin(Stdio::null()))
    }
}

impl Port {
    /// As by Ctrl-C: the session ends.
    fn close(mut self) {
        run(Command::new("kill").args(["-INT", &self.hoop.0.id().to_string()]));
        wait_until("the end of hoop connect", || self.hoop.0.try_wait().unwrap());
    }
}

fn fresh(world: &World, name: &str) -> String {
    let folder = world.folder.path().join(name);
    fs::create_dir(&folder).unwrap();
    folder.display().to_string()
}

#[test]
fn paramiko_runs_commands_shells_and_files() {
    let (world, _sshd) = hospital();
    let folder = fresh(&world, "there");
    let port = Port::open(&world, "web");
    let sum = port.run(paramiko(PARAMIKO), &[&folder]);
    port.close();
    let events = events(&world);
    let tags: Vec<&str> =
        of_kind(&events, "completed").iter().filter_map(|event| event["tag"].as_str()).collect();
    let written = format!("closed: 3145728 bytes written, sha256 {}", sum.trim());
    assert!(tags.contains(&written.as_str()), "{tags:?}");
    assert!(tags.contains(&"exit 3") && tags.contains(&"exit 4"), "{tags:?}");
    let denied = of_kind(&events, "denied");
    assert!(denied.len() == 2 && denied.iter().all(|event| event["code"] == "HOOP-2042"), "{denied:?}");
}

#[test]
fn asyncssh_runs_commands_shells_and_trees_of_files() {
    let (world, _sshd) = hospital();
    let folder = fresh(&world, "there");
    let port = Port::open(&world, "web");
    assert_eq!(port.run(asyncssh(ASYNCSSH), &[&folder]), "done\n");
    port.close();
    let events = events(&world);
    let tags: Vec<&str> =
        of_kind(&events, "completed").iter().filter_map(|event| event["tag"].as_str()).collect();
    assert!(tags.contains(&"exit 3") && tags.contains(&"exit 4"), "{tags:?}");
    let writes = of_kind(&events, "request").into_iter().filter(|event| event["form"] == "write_file");
    assert_eq!(writes.count(), 3);
}

/// The same of the agent's own machine: signals of the client reach a program there.
#[test]
fn asyncssh_runs_programs_on_the_agents_machine() {
    let world = exec::machine();
    let port = Port::open(&world, "box");
    assert_eq!(port.run(asyncssh(ASYNCSSH), &[""]), "done\n");
    port.close();
    let all = format!("{:?}", of_kind(&events(&world), "completed"));
    assert!(all.contains("signal TERM") && all.contains("signal USR1"), "{all}");
}

/// B11: what no client asks for ends at most its own connection, and nothing of it runs.
#[test]
fn a_client_that_asks_for_anything_gets_nothing_and_ends_nothing() {
    let (world, _sshd) = hospital();
    let ran = world.folder.path().join("ran");
    let port = Port::open(&world, "web");
    let agent = world.agent.pid();
    let refused = port.run(asyncssh(HOSTILE_CLIENT), &[&ran.display().to_string()]);
    assert_eq!(refused, "6\n");
    assert!(!ran.exists(), "a second program of a channel ran");
    assert_eq!(done(&mut world.ssh(&["web", "echo fine"])).0, "fine\n");
    port.close();
    assert!(fs::exists(format!("/proc/{agent}")).unwrap() && !world.agent.log().contains("panicked"));
}

/// B3: a host names what is not in the folder. The client gets it as names, which are the client's to judge; nothing is
/// written anywhere by hoop, and the recording says what was asked.
#[test]
fn a_host_that_names_what_lies_outside_moves_nothing_of_ours() {
    let world = World::start();
    let folder = fresh(&world, "host");
    fs::write(format!("{folder}/plain"), "content").unwrap();
    let (key, number) = (world.folder.path().join("key"), free_port());
    ssh_key(&key);
    let mut server = asyncssh(HOSTILE_SERVER);
    server.arg(number.to_string()).arg(&key).arg(&folder);
    let mut server = Running::start(&mut server);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "listening\n");
    let secret = world.folder.path().join("secret");
    fs::write(&secret, "any").unwrap();
    let pinned = fs::read_to_string(key.with_extension("pub")).unwrap();
    let definition = json!({
        "agent": "agent-1", "protocol": "ssh", "description": "hostile", "labels": {"app": "clinic"},
        "settings": {
            "host": "127.0.0.1", "port": number, "user": "x", "host_keys": [pinned.trim()],
            "password": format!("file:{}", secret.display()), "recording": {"file_copies": 1_000_000},
        },
    });
    let mut put = world.hoop(&world.admin);
    put.args(["admin", "connections", "put", "liar", "--file", "-"]);
    hoop_testkit::run_with_input(&mut put, &definition.to_string());
    let port = Port::open(&world, "liar");
    assert_eq!(port.run(asyncssh(LIED_TO), &[]), "done\n");
    port.close();
    let all = events(&world);
    let asked: Vec<(&str, &str)> = of_kind(&all, "request")
        .iter()
        .filter_map(|event| Some((event["form"].as_str()?, event["text"].as_str()?)))
        .filter(|(form, _)| form.ends_with("_folder") || form.ends_with("_file"))
        .collect();
    assert!(asked.contains(&("list_folder", "/listed")), "{asked:?}");
    assert!(asked.iter().any(|(form, path)| *form == "read_file" && path.ends_with("plain")), "{asked:?}");
    // Copies of files are written under names of ours.
    let id = world.ended_session()["id"].as_str().unwrap().to_owned();
    let copies = world.folder.path().join("copies");
    run(world.hoop(&world.admin).args(["sessions", "export", &id, "--files"]).arg(&copies));
    let names: Vec<_> = fs::read_dir(&copies).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["0001-read-plain"]);
    for escaped in [world.folder.path().join("escaped"), "/etc/cron.d/absolute".into()] {
        assert!(!escaped.exists(), "{}", escaped.display());
    }
    // OpenSSH's client gets the same names, and leaves out what is suspicious.
    run(world.hoop(&world.engineer).arg("ssh-config"));
    let config = world.engineer.profile.join("ssh/config");
    let into = fresh(&world, "into");
    let mut sftp = Command::new("sftp");
    sftp.arg("-F").arg(&config).args(["-b", "-", "liar"]).env("HOOP_CONFIG_DIR", &world.engineer.profile);
    sftp.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut sftp = Running(sftp.spawn().unwrap());
    sftp.0.stdin.take().unwrap().write_all(format!("-get -r /listed {into}/\n").as_bytes()).unwrap();
    let mut err = String::new();
    sftp.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    sftp.0.wait().unwrap();
    assert!(!world.folder.path().join("escaped").exists(), "{err}");
    run(world.hoop(&world.admin).args(["sessions", "verify", &id]));
    assert!(!world.agent.log().contains("panicked"));
}

/// By the file that `hoop ssh-config` writes, as people include it.
#[test]
fn ansible_pings_runs_and_copies() {
    let (world, _sshd) = hospital();
    run(world.hoop(&world.engineer).arg("ssh-config"));
    let config = world.engineer.profile.join("ssh/config");
    let here = world.folder.path();
    fs::write(here.join("inventory"), "web\n").unwrap();
    fs::write(here.join("sent"), "by ansible\n").unwrap();
    let ad_hoc = |words: &[&str]| {
        let mut command = ansible();
        command
            .args(["-i"])
            .arg(here.join("inventory"))
            .args(["web", "-o"])
            .args(words)
            .env("HOOP_CONFIG_DIR", &world.engineer.profile)
            .env(
                "ANSIBLE_SSH_ARGS",
                format!("-F {} -o ControlMaster=auto -o ControlPersist=20s", config.display()),
            )
            .env("ANSIBLE_SSH_CONTROL_PATH_DIR", here.join("cp"))
            .env("ANSIBLE_LOCAL_TEMP", here.join("local"))
            .env("ANSIBLE_REMOTE_TMP", here.join("remote"))
            .env("ANSIBLE_HOME", here.join("ansible"))
            .env("ANSIBLE_PYTHON_INTERPRETER", "/usr/bin/python3")
            .current_dir(here)
            .stdin(Stdio::null());
        let (out, err, code) = done(&mut command);
        assert_eq!(code, Some(0), "{words:?}: {out} {err}");
        out
    };
    assert!(ad_hoc(&["-m", "ping"]).contains("pong"));
    assert!(ad_hoc(&["-m", "shell", "-a", "echo on the host; exit 0"]).contains("on the host"));
    let there = here.join("copied");
    let copy = format!("src={} dest={}", here.join("sent").display(), there.display());
    assert!(ad_hoc(&["-m", "copy", "-a", &copy]).contains("\"changed\": true"));
    assert_eq!(fs::read_to_string(&there).unwrap(), "by ansible\n");
    let mut stop = Command::new("pkill");
    let _ = stop.args(["-f", &format!("ssh.*{}", here.join("cp").display())]).output();
    let all = events(&world);
    let files: Vec<&str> = of_kind(&all, "request")
        .iter()
        .filter(|e| e["form"] == "write_file")
        .filter_map(|e| e["text"].as_str())
        .collect();
    assert!(!files.is_empty(), "what ansible copied is in the recording");
}

/// As editors work on a host: one connection, whose shell reads a script that starts a server there, and a SOCKS port through
/// which everything else goes to it.
#[test]
fn an_editors_server_is_started_by_a_script_and_reached_by_a_dynamic_forward() {
    let (world, sshd) = hospital();
    let (server, socks) = (free_port(), free_port());
    world.rule(json!({"forwarding": ["local"]}));
    world.put_host("web", &sshd, json!({"settings": {"forwarding": {"to": ["127.0.0.1:*"]}}}));
    let mut client = Running::start(&mut world.ssh(&["-T", "-D", &socks.to_string(), "web", "bash"]));
    let folder = fresh(&world, "served");
    fs::write(format!("{folder}/file"), "served through socks\n").unwrap();
    let script = format!(
        "uname -s\ncd {folder}\npython3 -u -m http.server {server} --bind 127.0.0.1 >log 2>&1 &\n\
         while ! grep -q Serving log; do sleep 0.05; done\necho \"listeningOn=={server}==\"\nread until\nkill %1\n"
    );
    let mut input = client.0.stdin.take().unwrap();
    input.write_all(script.as_bytes()).unwrap();
    let mut output = BufReader::new(client.0.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("listeningOn==") {
        assert!(output.read_line(&mut shown).unwrap() > 0, "{shown}");
    }
    wait_until("the SOCKS port", || TcpStream::connect(("127.0.0.1", socks)).ok());
    let fetched = |port: u16| {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--max-time", "10", "--socks5-hostname", &format!("127.0.0.1:{socks}")]);
        done(curl.arg(format!("http://127.0.0.1:{port}/file")))
    };
    for _ in 0..3 {
        assert_eq!(fetched(server).0, "served through socks\n");
    }
    // Elsewhere it leads nowhere: names stand for themselves.
    let mut curl = Command::new("curl");
    curl.args(["-s", "--max-time", "10", "--socks5-hostname", &format!("127.0.0.1:{socks}")]);
    let (out, ..) = done(curl.arg(format!("http://localhost:{server}/file")));
    assert_eq!(out, "");
    input.write_all(b"\n").unwrap();
    drop(input);
    wait_until("the client's end", || client.0.try_wait().unwrap());
    let all = events(&world);
    assert!(said(&all, "in").contains("uname -s") && said(&all, "out").contains("listeningOn=="));
    let onward = format!("direct-tcpip to 127.0.0.1:{server}");
    let forwards = of_kind(&all, "request").into_iter().filter(|event| event["text"] == onward.as_str());
    assert_eq!(forwards.count(), 3);
    assert_eq!(of_kind(&all, "denied").len(), 1);
}
