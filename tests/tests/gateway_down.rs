//! Break-glass while the gateway is down, on the agent's own host: the gateway is killed for real.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    process::{Child, ChildStdin, Command, Output, Stdio},
};

use hoop_testkit::{Sshd, World, WorldOptions, binary, chat, program, run, wait_until};
use serde_json::{Value, json};

const EMERGENCY: &str = "\
version: 1
rules: []
break_glass:
  - name: oncall
    subjects: {groups: [engineers]}
    connections: {names: [pg]}
";

const OTHER_RULE: &str = "rules: [{name: other, subjects: {groups: [nobody]}, connections: {names: [pg]}}]";

fn world() -> World {
    with_gateway("")
}

fn with_gateway(lines: &'static str) -> World {
    let world = World::with(WorldOptions {
        gateway: lines,
        agent_env: vec![("HOOP_AGENT_BREAK_GLASS_AFTER_SECONDS", "2".to_owned())],
        ..WorldOptions::default()
    });
    world.apply(EMERGENCY);
    world
}

/// A capability in a file, and its answer with the code.
fn capability(world: &World, name: &str, more: &[&str]) -> Value {
    let file = world.folder.path().join(name);
    let mut arguments =
        vec!["admin", "emergency", "make", "pg", "--holder", "ada", "--out", file.to_str().unwrap()];
    arguments.extend(more);
    world.json(&world.admin, &arguments)
}

fn ask(world: &World, name: &str, code: &str) -> (Child, ChildStdin) {
    let mut command = Command::new(binary("hoop-agent"));
    command.args([
        "break-glass",
        "open",
        "--reason",
        "wards are down",
        "--incident",
        "INC-7",
        "--capability",
    ]);
    command.arg(world.folder.path().join(name)).arg("--state-dir").arg(world.folder.path().join("agent"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    writeln!(stdin, "{code}").unwrap();
    (child, stdin)
}

/// The words of a refusal.
fn refused(world: &World, name: &str, code: &str) -> String {
    let (child, stdin) = ask(world, name, code);
    // Whoever is let in by mistake does not stay.
    drop(stdin);
    let done: Output = child.wait_with_output().unwrap();
    assert!(!done.status.success(), "{done:?}");
    String::from_utf8(done.stderr).unwrap()
}

/// Waits until the agent has missed the gateway for long enough; the session's command, and how psql gets in.
fn open(world: &World, name: &str, code: &str) -> (Child, Command) {
    wait_until("a way in", || {
        let (mut child, _) = ask(world, name, code);
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let Some(Ok(first)) = lines.next() else {
            let done = child.wait_with_output().unwrap();
            let told = String::from_utf8(done.stderr).unwrap();
            assert!(told.contains("HOOP-4220"), "{told}");
            return None;
        };
        assert!(first.starts_with("Open until"), "{first}");
        let words: Vec<String> =
            lines.next().unwrap().unwrap().split_whitespace().map(str::to_owned).collect();
        let mut psql = Command::new(program("psql"));
        psql.args(&words[1..]).env("PGPASSFILE", "/nonexistent").args(["-XAtq", "-c"]);
        Some((child, psql))
    })
}

/// The same for a host: the command that is to be pasted, which ends the session with its child.
fn open_host(world: &World, name: &str, code: &str) -> (Child, String) {
    wait_until("a way in", || {
        let (mut child, _) = ask(world, name, code);
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let Some(Ok(first)) = lines.next() else {
            let done = child.wait_with_output().unwrap();
            let told = String::from_utf8(done.stderr).unwrap();
            assert!(told.contains("HOOP-4220"), "{told}");
            return None;
        };
        assert!(first.starts_with("Open until"), "{first}");
        let pasted = lines.next().unwrap().unwrap().trim().to_owned();
        Some((child, pasted))
    })
}

fn pasted(command: &str, more: &str) -> Output {
    Command::new("sh").args(["-c", &format!("{command} {more}")]).stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_host_is_reached_by_the_ssh_command_that_is_printed() {
    let (mut world, sshd) = (world(), Sshd::start());
    world.put_host("web", &sshd, json!({}));
    let hosts =
        "  - {name: hosts, subjects: {groups: [engineers]}, connections: {names: [web]}, masking: none}\n";
    world.apply(&format!("{EMERGENCY}{hosts}"));
    let file = world.folder.path().join("web.cap");
    let made = world.json(
        &world.admin,
        &["admin", "emergency", "make", "web", "--holder", "ada", "--out", file.to_str().unwrap()],
    );
    world.stop_gateway();
    let (mut child, command) = open_host(&world, "web.cap", made["code"].as_str().unwrap());
    let out = pasted(&command, "'echo in; echo err >&2; exit 3'");
    assert_eq!((out.stdout.as_slice(), out.status.code()), (b"in\n".as_slice(), Some(3)), "{out:?}");
    // No other key is taken for this session's.
    let known = command.split("UserKnownHostsFile=\"").nth(1).unwrap().split('"').next().unwrap();
    let key = std::fs::read_to_string(known).unwrap();
    std::fs::write(known, key.replace("AAAAC3NzaC1lZDI1NTE5AAAAI", "AAAAC3NzaC1lZDI1NTE5AAAAJ")).unwrap();
    let out = pasted(&command, "'echo in'");
    assert!(out.stdout.is_empty() && out.status.code() == Some(255), "{out:?}");
    child.kill().unwrap();
    child.wait().unwrap();
    wait_until("its folder's end", || (!std::path::Path::new(known).exists()).then_some(()));
    assert_eq!(pasted(&command, "'echo in'").status.code(), Some(255), "the session is over");
    world.start_gateway();
    world.wait_for_agent();
    wait_until("the ledger", || (events(&world, "break_glass.offline").len() == 1).then_some(()));
    let id = world.ended_session()["id"].as_str().unwrap().to_owned();
    assert!(world.statements(&id).iter().any(|one| one["text"] == "echo in; echo err >&2; exit 3"));
    run(world.hoop(&world.admin).args(["sessions", "verify", &id]));
}

fn events(world: &World, code: &str) -> Vec<Value> {
    world.json(&world.admin, &["audit", "ls", "--code", code]).as_array().unwrap().clone()
}

#[test]
fn the_drill() {
    let (lines, heard) = chat();
    let mut world = with_gateway(lines);
    let made = capability(&world, "ada.cap", &[]);
    let code = made["code"].as_str().unwrap();
    assert!(refused(&world, "ada.cap", code).contains("HOOP-4220"), "the gateway is there");
    world.stop_gateway();
    let (mut child, mut psql) = open(&world, "ada.cap", code);
    assert_eq!(
        run(psql.arg("SELECT 'in', current_setting('application_name')")).trim(),
        "in|psql (hoop:ada)"
    );
    let again = refused(&world, "ada.cap", code);
    assert!(again.contains("HOOP-4224"), "{again}");
    world.start_gateway();
    world.wait_for_agent();
    wait_until("the ledger", || (events(&world, "break_glass.offline").len() == 1).then_some(()));
    let kept = events(&world, "break_glass.offline")[0].to_string();
    for fact in ["wards are down", "INC-7", "ada", "started_at", "heard_at", "gateway_away_seconds"] {
        assert!(kept.contains(fact), "{fact}: {kept}");
    }
    wait_until("the notice", || {
        heard.lock().unwrap().contains("The glass was broken while the gateway was down").then_some(())
    });
    // The gateway looks at it again when the rules change, and lets it go on under the same one.
    world.apply(&EMERGENCY.replace("rules: []", OTHER_RULE));
    assert_eq!(run(psql.args(["-c", "SELECT 'still in'"])).lines().last(), Some("still in"));
    let session = world.sessions()[0].clone();
    assert_eq!((&session["state"], &session["user"]), (&json!("live"), &json!("ada")), "{session}");
    child.kill().unwrap();
    child.wait().unwrap();
    let session = world.ended_session();
    let id = session["id"].as_str().unwrap();
    let verified = world.json(&world.admin, &["sessions", "verify", id]).to_string();
    assert!(!verified.contains("\"intact\":false"), "{verified}");
    let statements = world.statements(id);
    assert!(
        statements
            .iter()
            .any(|one| one["text"].as_str().is_some_and(|text| text.contains("application_name")))
    );
    let emergency = world.json(&world.admin, &["requests"]);
    let request = emergency[0]["id"].as_str().unwrap_or_default().to_owned();
    world.json(&world.admin, &["requests", "end", &request, "--reason", "over"]);
    let reviewed =
        world.json(&world.admin, &["requests", "review", &request, "--finding", "as it should be"]);
    assert_eq!(reviewed["review"]["finding"], json!("as it should be"));
    assert_eq!(world.json(&world.admin, &["admin", "emergency", "ls"])[0]["uses"], json!(1));
    run(world.hoop(&world.admin).args(["audit", "verify"]));
}

/// Another user of the host, where the folder above the agent's is open to everybody.
fn others_find_the_door_shut(world: &World, psql: &Command) {
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(world.folder.path(), open).unwrap();
    let mut other = Command::new("setpriv");
    other.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]).arg(psql.get_program());
    let done = other.args(psql.get_args()).arg("SELECT 1").output().unwrap();
    assert!(String::from_utf8_lossy(&done.stderr).contains("Permission denied"), "{done:?}");
    let mode = |path: &str| std::fs::metadata(world.folder.path().join(path)).unwrap().mode() & 0o777;
    assert_eq!((mode("agent"), mode("agent/break-glass.sock")), (0o700, 0o600));
}

#[test]
fn what_is_not_right_opens_nothing() {
    let mut world = world();
    let (revoked, wrong) = (capability(&world, "revoked.cap", &[]), capability(&world, "wrong.cap", &[]));
    let brief = capability(&world, "brief.cap", &["--valid-for", "1s"]);
    let code = |made: &Value| made["code"].as_str().unwrap().to_owned();
    run(world.hoop(&world.admin).args(["admin", "emergency", "revoke", revoked["id"].as_str().unwrap()]));
    // Orders are carried out one after the other: whoever has answered this one has heard of the revocation.
    run(world.hoop(&world.admin).args(["admin", "connections", "test", "pg"]));
    let text = std::fs::read_to_string(world.folder.path().join("wrong.cap")).unwrap();
    let (head, tail) = text.split_at(text.len() / 2);
    let other = if tail.starts_with('A') { "B" } else { "A" };
    std::fs::write(world.folder.path().join("altered.cap"), format!("{head}{other}{}", &tail[1..])).unwrap();
    world.stop_gateway();
    wait_until("the gateway's absence", || {
        (!refused(&world, "brief.cap", &code(&brief)).contains("HOOP-4220")).then_some(())
    });
    for (name, code, expected) in [
        ("revoked.cap", code(&revoked), "HOOP-4223"),
        ("wrong.cap", code(&revoked), "HOOP-4222"),
        ("wrong.cap", String::new(), "HOOP-4222"),
        ("brief.cap", code(&brief), "HOOP-4222"),
        ("altered.cap", code(&wrong), ""),
    ] {
        let told = refused(&world, name, &code);
        assert!(told.contains(expected), "{name}: {told}");
    }
    // After all of these it still is what it was.
    let (mut child, mut psql) = open(&world, "wrong.cap", &code(&wrong));
    others_find_the_door_shut(&world, &psql);
    assert_eq!(run(psql.arg("SELECT 1")).trim(), "1");
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!psql.output().unwrap().status.success(), "its socket is gone with it");
}

#[test]
fn a_session_ends_by_itself_and_a_crash_of_the_agent_loses_neither_use_nor_recording() {
    let mut world = world();
    let (short, lost) =
        (capability(&world, "short.cap", &["--session", "3s"]), capability(&world, "lost.cap", &[]));
    world.stop_gateway();
    let (child, mut psql) = open(&world, "short.cap", short["code"].as_str().unwrap());
    let done = psql.arg("SELECT pg_sleep(600)").output().unwrap();
    assert!(String::from_utf8_lossy(&done.stderr).contains("HOOP-4206"), "{done:?}");
    assert!(!child.wait_with_output().unwrap().status.success());
    let (mut child, mut psql) = open(&world, "lost.cap", lost["code"].as_str().unwrap());
    assert_eq!(run(psql.arg("SELECT 'before the crash'")).trim(), "before the crash");
    world.crash_agent();
    child.wait().unwrap();
    wait_until("the agent's door", || {
        let told = refused(&world, "lost.cap", lost["code"].as_str().unwrap());
        told.contains("HOOP-4224").then_some(())
    });
    world.start_gateway();
    world.wait_for_agent();
    wait_until("both at the gateway", || {
        let sessions = world.sessions();
        let over = |one: &Value| matches!(one["state"].as_str(), Some("ended" | "interrupted"));
        (sessions.len() == 2 && sessions.iter().all(over)).then_some(())
    });
    let newest = world.sessions()[0]["id"].as_str().unwrap().to_owned();
    let statements = world.statements(&newest);
    assert!(
        statements
            .iter()
            .any(|one| one["text"].as_str().is_some_and(|text| text.contains("before the crash")))
    );
    assert_eq!(events(&world, "break_glass.offline").len(), 2);
}
