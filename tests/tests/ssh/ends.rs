//! How sessions on hosts end, and what does not run while nothing can be recorded.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _},
    process::Stdio,
    time::{Duration, Instant},
};

use hoop_testkit::{SOON, SmallDisk, World, run, wait_until};
use serde_json::{Value, json};

use super::{Running, events, hospital, master, noise, shared};

fn newest(world: &World) -> String {
    world.sessions()[0]["id"].as_str().unwrap().to_owned()
}

/// A process of the host that has this in its command line.
fn runs(what: &str) -> bool {
    let found = std::process::Command::new("pgrep").args(["-f", what]).output().unwrap();
    found.status.success()
}

#[test]
fn a_killed_session_ends_in_two_seconds_and_says_why() {
    let (world, _sshd) = hospital();
    let mark = format!("sleep 6{}", std::process::id());
    let mut client = Running::start(&mut world.ssh(&["-tt", "web", &format!("echo began; exec {mark}")]));
    let mut began = [0; 5];
    client.0.stdout.as_mut().unwrap().read_exact(&mut began).unwrap();
    wait_until("the program", || runs(&format!("^{mark}")).then_some(()));
    run(world.hoop(&world.admin).args(["sessions", "kill", &newest(&world), "--reason", "wrong host"]));
    let start = Instant::now();
    let mut err = String::new();
    client.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    let status = client.0.wait().unwrap();
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    assert!(err.contains("wrong host") && status.code() == Some(255), "{status}: {err}");
    wait_until("the program's end on the host", || (!runs(&format!("^{mark}"))).then_some(()));
    assert!(start.elapsed() < 2 * SOON, "{:?}", start.elapsed());
    let session = world.ended_session();
    assert!(session["end_reason"].as_str().unwrap().contains("wrong host"), "{session}");
}

/// Also when the client reads nothing of what it is told.
#[test]
fn a_client_that_reads_nothing_keeps_no_session() {
    let (world, _sshd) = hospital();
    let _client = Running::start(&mut world.ssh(&["web", "head -c 200000000 /dev/zero"]));
    wait_until("the transfer", || {
        let session = world.sessions().first()?.clone();
        (session["bytes_out"].as_u64()? > 0).then_some(())
    });
    run(world.hoop(&world.admin).args(["sessions", "kill", &newest(&world), "--reason", "enough"]));
    let start = Instant::now();
    let session = world.ended_session();
    assert!(session["end_reason"].as_str().unwrap().contains("enough"), "{session}");
    assert!(start.elapsed() < 2 * SOON, "{:?}", start.elapsed());
    wait_until("the transfer's end", || (!runs("head -c 200000000")).then_some(()));
}

/// Keepalives are no work: an idle shell is logged off.
#[test]
fn an_idle_shell_is_logged_off_though_its_client_keeps_it_alive() {
    let (world, _sshd) = hospital();
    world.rule(json!({"limits": {"idle": "3s"}}));
    let mut command = world.ssh(&["-o", "ServerAliveInterval=1", "-tt", "web"]);
    let mut client = Running::start(&mut command);
    let mut err = String::new();
    client.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(err.contains("automatic logoff"), "{err}");
}

/// The answers to keepalives come from the agent: a client that asks for them lives as long as its session.
#[test]
fn an_idle_client_that_asks_whether_somebody_is_there_is_answered() {
    let (world, _sshd) = hospital();
    let alive = ["-vvv", "-o", "ServerAliveInterval=1", "-o", "ServerAliveCountMax=2"];
    let mut client = Running::start(&mut world.ssh(&[&alive[..], &["web", "echo began; cat"]].concat()));
    let mut out = client.0.stdout.take().unwrap();
    let mut began = [0; 6];
    out.read_exact(&mut began).unwrap();
    // One more than may stay without an answer, several times over. Such a request is refused: that is its answer.
    let answers = BufReader::new(client.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let asked = answers.skip_while(|line| !line.contains("send packet: type 80"));
    assert_eq!(asked.filter(|line| line.contains("receive packet: type 82")).take(5).count(), 5);
    std::io::Write::write_all(&mut client.0.stdin.take().unwrap(), b"alive\n").unwrap();
    let mut rest = String::new();
    out.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "alive\n");
}

#[test]
fn the_gateway_may_restart_beneath_a_shell() {
    let (mut world, _sshd) = hospital();
    let mut client = Running::start(&mut world.ssh(&["web", "echo began; read line; echo $line"]));
    let mut began = [0; 6];
    client.0.stdout.as_mut().unwrap().read_exact(&mut began).unwrap();
    world.crash_gateway();
    std::io::Write::write_all(&mut client.0.stdin.take().unwrap(), b"survived\n").unwrap();
    let mut out = String::new();
    client.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, "survived\n");
    assert!(client.0.wait().unwrap().success());
}

/// The host has a line of a script: so has the recording, though nobody waited for it.
#[test]
fn what_reached_a_programs_input_is_there_after_a_kill() {
    let (mut world, _sshd) = hospital();
    let seen = world.folder.path().join("seen");
    let script = format!("echo began; cat > {}", seen.display());
    let mut client = Running::start(&mut world.ssh(&["web", &script]));
    let mut began = [0; 6];
    client.0.stdout.as_mut().unwrap().read_exact(&mut began).unwrap();
    let mut input = client.0.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"drop table patients\n").unwrap();
    let start = Instant::now();
    while fs::read(&seen).unwrap_or_default().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(30), "the host never had it");
        std::thread::yield_now();
    }
    world.crash_agent();
    drop(input);
    let events = events(&world);
    let sent: Vec<&Value> = events.iter().filter(|event| event["direction"] == "in").collect();
    assert!(format!("{sent:?}").contains("drop table patients"), "{events:?}");
}

/// B8: the command is on its way, and its record cannot be stored: it does not run until it is.
#[test]
fn strictly_recorded_nothing_runs_before_its_record_is_stored() {
    let (mut world, _sshd) = hospital();
    world.rule(json!({"limits": {"recording": "strict"}}));
    world.gateway.kill();
    let disk = SmallDisk::over(&world.folder.path().join("gateway/recordings"), "8m");
    world.crash_gateway();
    world.wait_for_agent();
    let _master = master(&world);
    assert_eq!(run(shared(&world, &["echo fine"]).stdin(Stdio::null())), "fine\n");
    let ran = world.folder.path().join("ran");
    let failures = |world: &World| {
        let metrics = world.metrics();
        let line =
            metrics.lines().find(|line| line.starts_with("hoop_recording_failures_total")).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    disk.fill();
    let before = failures(&world);
    // Long enough that its record cannot fit into what is left of a page, also when it is compressed.
    let noise = noise(&world.folder.path().join("noise"), 1);
    let long: String = noise.iter().take(20_000).map(|byte| format!("{byte:02x}")).collect();
    let command = format!("touch {}; : {long}", ran.display());
    let mut client = Running::start(shared(&world, &[&command]).stdin(Stdio::null()));
    wait_until("a recording that cannot be stored", || (failures(&world) > before).then_some(()));
    assert!(!ran.exists(), "it ran unrecorded");
    disk.make_room();
    assert!(client.0.wait().unwrap().success());
    assert!(fs::exists(&ran).unwrap());
}
