//! How sessions on clusters end, and what does not run while nothing can be recorded.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    time::{Duration, Instant},
};

use hoop_testkit::{Cluster, SmallDisk, World, run, wait_until};
use serde_json::json;

use super::{Open, Running, clinic, done, events, told};

fn kill(world: &World, reason: &str) {
    let id = world.sessions()[0]["id"].as_str().unwrap().to_owned();
    run(world.hoop(&world.admin).args(["sessions", "kill", &id, "--reason", reason]));
}

/// A process of the pod that has this in its command line.
fn runs(cluster: &Cluster, what: &str) -> bool {
    let script = format!("ps | grep -v grep | grep -q '{what}'");
    cluster.kubectl(&["exec", "web", "--", "sh", "-c", &script]).output().unwrap().status.success()
}

/// A program that has begun.
fn begun(command: &mut std::process::Command) -> Running {
    let mut client = Running::start(command);
    let mut line = [0; 6];
    client.0.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"begun\n");
    client
}

fn rest(client: &mut Running) -> (String, Option<i32>) {
    let mut err = String::new();
    client.0.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    (err, client.0.wait().unwrap().code())
}

#[test]
fn a_killed_session_ends_in_two_seconds_and_says_why() {
    let (world, cluster) = clinic();
    cluster.pod_that("web", &json!({}), "echo begun; exec sleep 600");
    let open = Open::start(&world);
    let mut exec =
        begun(&mut open.kubectl(&cluster, &["exec", "-i", "web", "--", "sh", "-c", "echo begun; exec cat"]));
    let mut logs = begun(&mut open.kubectl(&cluster, &["logs", "-f", "web"]));
    let mut watch = Running::start(&mut open.kubectl(&cluster, &["get", "pods", "--watch", "-o", "name"]));
    let mut changes = BufReader::new(watch.0.stdout.take().unwrap()).lines();
    changes.next().unwrap().unwrap();
    kill(&world, "wrong cluster");
    // The gateway has told the agent by then.
    let start = Instant::now();
    let (err, code) = rest(&mut exec);
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert!(err.contains("wrong cluster") && code != Some(0), "{code:?}: {err}");
    assert!(changes.next().is_none_or(|line| line.is_err()));
    rest(&mut logs);
    let session = world.ended_session();
    assert!(session["end_reason"].as_str().unwrap().contains("wrong cluster"), "{session}");
    wait_until("the program's end in the pod", || (!runs(&cluster, "cat")).then_some(()));
}

/// Also when the client reads nothing of what it is told.
#[test]
fn a_client_that_reads_nothing_keeps_no_session() {
    let (world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    let _client = Running::start(&mut world.kubectl(
        "k8s",
        &cluster,
        &["exec", "web", "--", "head", "-c", "200000000", "/dev/zero"],
    ));
    wait_until("the transfer", || {
        let session = world.sessions().first()?.clone();
        (session["bytes_out"].as_u64()? > 100_000).then_some(())
    });
    kill(&world, "enough");
    let start = Instant::now();
    let session = world.ended_session();
    assert!(session["end_reason"].as_str().unwrap().contains("enough"), "{session}");
    // Far from the minutes that a client may take to read what was said.
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}

#[test]
fn a_session_ends_with_its_grant_and_when_nobody_does_anything() {
    let (world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    // Long enough for the program to begin, also on a busy machine.
    for (limits, told) in
        [(json!({"duration": "15s"}), "HOOP-"), (json!({"idle": "10s"}), "automatic logoff")]
    {
        world.rule(json!({"limits": limits}));
        let mut exec =
            world.kubectl("k8s", &cluster, &["exec", "-i", "web", "--", "sh", "-c", "echo begun; exec cat"]);
        let (err, code) = rest(&mut begun(&mut exec));
        assert!(err.contains(told) && code != Some(0), "{limits}: {err}");
    }
}

#[test]
fn an_agent_that_dies_leaves_a_recording_that_verifies() {
    let (mut world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    let mut exec = begun(&mut world.kubectl(
        "k8s",
        &cluster,
        &["exec", "-i", "web", "--", "sh", "-c", "echo begun; exec cat"],
    ));
    // The pod has a line of input: so has the recording, though nobody waited for it.
    exec.0.stdin.as_mut().unwrap().write_all(b"drop\n").unwrap();
    exec.0.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
    world.crash_agent();
    let (_, code) = rest(&mut exec);
    assert_ne!(code, Some(0));
    let session = world.ended_session();
    assert_eq!(session["state"], "interrupted", "{session}");
    let id = session["id"].as_str().unwrap();
    run(world.hoop(&world.admin).args(["sessions", "verify", id]));
    let events = events(&world);
    assert_eq!(told(&events, "command"), ["sh -c 'echo begun; exec cat': no end"]);
    assert!(
        events.iter().any(|event| event["direction"] == "in" && event["data"].to_string().contains("drop")),
        "{events:?}"
    );
    wait_until("the program's end in the pod", || (!runs(&cluster, "exec cat")).then_some(()));
}

#[test]
fn the_gateway_may_restart_beneath_a_program() {
    let (mut world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    let script = "echo begun; read line; echo $line";
    let mut exec =
        begun(&mut world.kubectl("k8s", &cluster, &["exec", "-i", "web", "--", "sh", "-c", script]));
    world.crash_gateway();
    exec.0.stdin.take().unwrap().write_all(b"survived\n").unwrap();
    let mut out = String::new();
    exec.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, "survived\n");
    assert!(exec.0.wait().unwrap().success());
}

/// B8: a program and a write are on their way, and their record cannot be stored: neither happens until it is.
#[test]
fn strictly_recorded_nothing_happens_before_its_record_is_stored() {
    let (mut world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    world.rule(json!({"limits": {"recording": "strict"}}));
    world.gateway.kill();
    let disk = SmallDisk::over(&world.folder.path().join("gateway/recordings"), "8m");
    world.crash_gateway();
    world.wait_for_agent();
    let open = Open::start(&world);
    let (out, err, _) = done(&mut open.kubectl(&cluster, &["exec", "web", "--", "echo", "fine"]));
    assert_eq!(out, "fine\n", "{err}");
    let failures = |world: &World| {
        let metrics = world.metrics();
        let line =
            metrics.lines().find(|line| line.starts_with("hoop_recording_failures_total")).map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    let (mut waiting, mut beside) = (used(&open), used(&open));
    disk.fill();
    let before = failures(&world);
    // Long enough that its record cannot fit into what is left of a page, also when it is compressed.
    let mut state = 1_u64;
    let long: String = (0..3000)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            format!("{:08x}", state >> 32)
        })
        .collect();
    let script = format!("touch /tmp/ran || echo > /tmp/ran; : {long}");
    let mut exec = Running::start(&mut open.kubectl(&cluster, &["exec", "web", "--", "sh", "-c", &script]));
    // Of each field the recording has a part.
    let literals: Vec<_> =
        (0..90).map(|n| format!("--from-literal=a{n}={}", &long[n * 256..(n + 1) * 256])).collect();
    let literals = literals.iter().map(String::as_str);
    let words: Vec<_> = ["create", "configmap", "written"].into_iter().chain(literals).collect();
    let mut create = Running::start(&mut open.kubectl(&cluster, &words));
    wait_until("a recording that cannot be stored", || (failures(&world) > before).then_some(()));
    let ran = |cluster: &Cluster| {
        cluster.kubectl(&["exec", "web", "--", "cat", "/tmp/ran"]).output().unwrap().status.success()
    };
    let written = |cluster: &Cluster| {
        cluster.kubectl(&["get", "configmap", "written"]).output().unwrap().status.success()
    };
    assert!(!ran(&cluster) && !written(&cluster), "it happened unrecorded");
    // Nor is an upgrade answered, which would tell the client that its program begins.
    let lost = failures(&world);
    let head = format!(
        "GET /api/v1/namespaces/{}/pods/web/exec?command=true&command={long}&stdout=1 HTTP/1.1\r\nHost: k8s\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n",
        cluster.namespace
    );
    waiting.write_all(head.as_bytes()).unwrap();
    // The agent has it by then: it answers what comes after it and is no request, of which nothing is recorded.
    beside.write_all(b"no request\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    beside.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");
    wait_until("what cannot be stored still", || (failures(&world) > lost + 1.0).then_some(()));
    waiting.set_nonblocking(true).unwrap();
    let early = waiting.read(&mut [0]).map_err(|error| error.kind());
    assert_eq!(early, Err(std::io::ErrorKind::WouldBlock), "it is answered unrecorded");
    waiting.set_nonblocking(false).unwrap();
    disk.make_room();
    waiting.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    assert!(exec.0.wait().unwrap().success() && create.0.wait().unwrap().success());
    assert!(ran(&cluster) && written(&cluster));
}

/// A connection on which a request was answered: of what is recorded before the first one nothing is left to do.
fn used(open: &Open) -> std::os::unix::net::UnixStream {
    let mut stream = open.dial();
    stream.write_all(b"GET /api//pods HTTP/1.1\r\nHost: k8s\r\n\r\n").unwrap();
    let (mut answer, mut byte) = (Vec::new(), [0]);
    while !answer.ends_with(br#""Failure"}"#) {
        stream.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 400"));
    stream
}
