//! Bytes that no client and no cluster sends: each ends what it came on, and nothing else.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::Command,
};

use hoop_testkit::{World, certificates, wait_until};
use serde_json::json;

use super::{Answer, Open, Running, clinic, events, of_kind, text, told};

/// A frame of a WebSocket's client, masked by nothing.
fn frame(head: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    [&[head, 0x80 | length, 0, 0, 0, 0], payload].concat()
}

#[test]
fn what_no_client_sends_ends_its_own_connection_and_no_other() {
    let (world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    let open = Open::start(&world);
    let other = Open::start(&world);
    let mut held = Running::start(&mut other.kubectl(&cluster, &["exec", "-i", "web", "--", "cat"]));
    let lines = |count: usize| (0..count).map(|n| format!("X-{n}: a\r\n")).collect::<String>();
    for (what, bytes) in [
        ("no HTTP", b"\x00\x01\x02\xff\xfe no HTTP at all\r\n\r\n".to_vec()),
        ("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(200)),
        ("a preface and noise", [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0xff; 4096]].concat()),
        ("a long header", format!("GET /version HTTP/1.1\r\nHost: k8s\r\nX-A: {}\r\n\r\n", "x".repeat(100 << 10)).into_bytes()),
        ("many headers", format!("GET /version HTTP/1.1\r\nHost: k8s\r\n{}\r\n", lines(500)).into_bytes()),
        ("a head without an end", format!("GET /version HTTP/1.1\r\nHost: k8s\r\n{}", lines(1 << 20)).into_bytes()),
        ("a long path", format!("GET /api/{} HTTP/1.1\r\nHost: k8s\r\nConnection: close\r\n\r\n", "x".repeat(40 << 10)).into_bytes()),
        ("a length that is none", b"POST /api/v1/namespaces HTTP/1.1\r\nHost: k8s\r\nContent-Length: -1\r\n\r\n".to_vec()),
        ("two lengths", b"POST /api/v1/namespaces HTTP/1.1\r\nHost: k8s\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab".to_vec()),
    ] {
        let Answer { status, head, .. } = open.raw(&bytes);
        assert!(matches!(status, 0 | 400 | 414 | 431), "{what}: {head}");
    }
    // A body that breaks off is none.
    let stream = open.dial();
    let head = format!(
        "POST /api/v1/namespaces/{}/configmaps HTTP/1.1\r\nHost: k8s\r\nContent-Length: 1000\r\n\r\n{{\"metadata\":{{\"name\":\"half\"}}}}",
        cluster.namespace
    );
    (&stream).write_all(head.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Both).unwrap();

    let path = format!("/api/v1/namespaces/{}/pods/web/exec?command=cat&stdin=1&stdout=1", cluster.namespace);
    let frames: [(&str, Vec<u8>); 8] = [
        ("a frame without a mask", vec![0x82, 2, 0, b'a']),
        ("a kind that is none", frame(0x8b, b"")),
        ("reserved bits", frame(0xf2, b"\x00a")),
        ("a continuation of nothing", frame(0x80, b"a")),
        ("a frame of 2^63 bytes", vec![0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        ("a channel that is none", frame(0x82, b"\x09a")),
        ("output of a client", frame(0x82, b"\x01a")),
        ("a size that is none", frame(0x82, b"\x04{\"Width\":\"x\"")),
    ];
    for (what, bytes) in &frames {
        let (answer, mut stream) = open.upgrade(&path, "Connection: Upgrade\r\n");
        assert_eq!(answer.status, 101, "{what}");
        stream.write_all(bytes).unwrap();
        // What is not taken for the end of the stream changes nothing of it: then the end is said in order.
        let _ = stream.write_all(&frame(0x88, &[0x03, 0xe8]));
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest);
        assert!(rest.len() < 4096, "{what}: {} bytes", rest.len());
    }
    let mut stream = open.dial();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: k8s\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: v4.channel.k8s.io\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let _ = stream.write_all(&[0x80; 100_000]);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(text(&rest).starts_with("HTTP/1.1 101"), "{}", text(&rest));

    // Both sessions go on, and of what was begun nothing is there.
    let there = hoop_testkit::run(&mut cluster.kubectl(&["get", "configmaps", "-o", "name"]));
    assert!(!there.contains("half"), "{there}");
    let out = hoop_testkit::run(&mut open.kubectl(&cluster, &["exec", "web", "--", "echo", "beside"]));
    assert_eq!(out, "beside\n");
    held.0.stdin.take().unwrap().write_all(b"still here\n").unwrap();
    let mut out = String::new();
    held.0.stdout.take().unwrap().read_to_string(&mut out).unwrap();
    assert_eq!(out, "still here\n");
    drop(other);
    drop(open);
    let ended = wait_until("both sessions' ends", || {
        let sessions = world.sessions();
        sessions.iter().all(|session| session["state"] == "ended").then_some(sessions)
    });
    let longest = ended.iter().max_by_key(|session| session["bytes_in"].as_u64()).unwrap();
    let id = longest["id"].as_str().unwrap();
    let lines = hoop_testkit::run(world.hoop(&world.admin).args(["sessions", "export", id]));
    let all: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let begun: Vec<_> = told(&all, "api").into_iter().filter(|line| line.contains("configmaps")).collect();
    assert_eq!(begun, [format!("create configmaps in {}: HOOP-5054", cluster.namespace)]);
    let told = told(&all, "command");
    assert!(told.len() == frames.len() + 2 && told.iter().all(|line| !line.contains("no end")), "{told:#?}");
    assert!(told.iter().filter(|line| line.contains("HOOP-5056")).count() >= 6, "{told:#?}");
}

/// A frame of HTTP/2.
fn frame_of(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `GET /version`, as HPACK (RFC 7541) writes it without a table.
const GET: &[u8] = b"\x82\x86\x04\x08/version\x01\x03k8s";

/// A header `x-N` of 4000 letters.
fn long_header(number: usize) -> Vec<u8> {
    let name = format!("x-{number:04}");
    // 4000 as an integer with a prefix of seven bits.
    [&[0, 6], name.as_bytes(), &[0x7f, 0xa1, 0x1e], &[b'a'; 4000]].concat()
}

/// What is answered to these frames until the connection ends, or a request is answered: kind and payload.
fn answered(open: &Open, frames: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut stream = open.dial();
    let preface = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame_of(SETTINGS, 0, 0, b"")].concat();
    stream.write_all(&preface).unwrap();
    // Whoever refuses early does not read to the end.
    let _ = stream.write_all(frames);
    let mut all = Vec::new();
    let mut head = [0; 9];
    while stream.read_exact(&mut head).is_ok() {
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        if stream.read_exact(&mut payload).is_err() {
            break;
        }
        all.push((head[3], payload));
        if matches!(head[3], HEADERS | RESET | GO_AWAY) {
            break;
        }
    }
    all
}

#[test]
fn too_many_headers_or_resets_of_http_2_harm_no_other() {
    let (world, cluster) = clinic();
    let open = Open::start(&world);
    let mut held =
        Running::start(&mut open.kubectl(&cluster, &["get", "configmaps", "--watch", "-o", "name"]));
    let mut changes = BufReader::new(held.0.stdout.take().unwrap()).lines();
    let change = |name: &str| hoop_testkit::run(&mut cluster.kubectl(&["create", "configmap", name]));
    change("before");
    assert!(changes.by_ref().map_while(Result::ok).any(|line| line.contains("before")));
    let fine = answered(&open, &frame_of(HEADERS, END_STREAM | END_HEADERS, 1, GET));
    assert_eq!(fine.last().unwrap().0, HEADERS);
    assert_eq!(fine.last().unwrap().1[0], 0x88, ":status 200");

    let begun = frame_of(HEADERS, END_STREAM, 1, GET);
    let more = |count: usize| -> Vec<u8> {
        let four = |n: usize| (4 * n..4 * n + 4).flat_map(long_header).collect::<Vec<_>>();
        (0..count).flat_map(|n| frame_of(CONTINUATION, 0, 1, &four(n))).collect()
    };
    let whole = frame_of(CONTINUATION, END_HEADERS, 1, &long_header(9999));
    let opened_and_reset: Vec<u8> = (0..5000)
        .flat_map(|n| {
            let stream = 2 * n + 1;
            [
                frame_of(HEADERS, END_STREAM | END_HEADERS, stream, GET),
                frame_of(RESET, 0, stream, &8_u32.to_be_bytes()),
            ]
            .concat()
        })
        .collect();
    for (what, frames) in [
        ("160 KiB of headers", [&begun[..], &more(10), &whole].concat()),
        ("headers without an end", [&begun[..], &more(1000)].concat()),
        ("a frame amid headers", [&begun[..], &more(1), &frame_of(SETTINGS, 0, 0, b"")].concat()),
        ("5000 requests that are taken back", opened_and_reset),
    ] {
        let answers = answered(&open, &frames);
        let taken = answers.iter().any(|(kind, payload)| *kind == HEADERS && payload[0] == 0x88);
        assert!(!taken || what.contains("taken back"), "{what}: {answers:?}");
        assert!(open.ask("GET /version", "", b"").status == 200, "{what}");
    }
    // Who was there before is there still.
    change("after");
    assert!(changes.map_while(Result::ok).any(|line| line.contains("after")));
    drop((held, open));
    let session = world.ended_session();
    assert_eq!(session["state"], "ended", "{session}");
}

/// It, and its port.
fn api_server(world: &World, which: &str) -> (Running, u16) {
    let folder = world.folder.path().join(which);
    fs::create_dir(&folder).unwrap();
    certificates(&folder);
    let mut python = Command::new("python3");
    python
        .args(["-c", include_str!("api_server.py")])
        .arg(folder.join("server.crt"))
        .arg(folder.join("server.key"));
    let mut server = Running::start(&mut python);
    let mut line = String::new();
    BufReader::new(server.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    (server, line.trim().parse().unwrap())
}

/// Resident memory of the agent, bytes.
fn memory(world: &World) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", world.agent.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

#[test]
fn a_hostile_cluster_is_found_out_or_held_within_bounds() {
    let (world, cluster) = clinic();
    let (_server, port) = api_server(&world, "bad");
    let authority = world.folder.path().join("bad/root.crt");
    // Not the authority that the connection trusts: it is asked nothing.
    world.put_cluster("bad", &cluster, json!({"settings": {"port": port}}));
    let open = Open::of(&world, &world.engineer, "bad");
    let answer = open.ask("GET /api/v1/namespaces/a/pods/web", "", b"");
    assert!(answer.status == 502 && answer.text().contains("HOOP-4031"), "{} {}", answer.head, answer.text());
    drop(open);
    assert_eq!(of_kind(&events(&world), "failed")[0]["code"], "HOOP-4031");
    let settings =
        json!({"settings": {"port": port, "tls": {"ca_file": authority, "server_name": "another.name"}}});
    world.put_cluster("bad", &cluster, settings);
    let open = Open::of(&world, &world.engineer, "bad");
    assert!(open.ask("GET /api/v1/namespaces/a/pods/web", "", b"").text().contains("HOOP-4031"));
    drop(open);

    world.put_cluster(
        "bad",
        &cluster,
        json!({"settings": {"port": port, "tls": {"ca_file": authority, "server_name": null}}}),
    );
    let open = Open::of(&world, &world.engineer, "bad");
    let own = "/api/v1/namespaces/a/configmaps";
    // It speaks HTTP/1.1 alone: the connection that is made before anything is asked is the one that is used.
    let accepted = || open.ask(&format!("GET {own}/accepted"), "", b"").text().parse::<u32>().unwrap();
    let before = accepted();
    assert_eq!(accepted(), before + 1);
    for name in ["noise", "long-head", "switch"] {
        let answer = open.ask(&format!("GET {own}/{name}"), "", b"");
        assert!(
            answer.status == 502 && answer.text().contains("HOOP-5053"),
            "{name}: {} {}",
            answer.head,
            answer.text()
        );
    }
    let answer = open.ask(&format!("GET {own}/cut"), "", b"");
    assert!(answer.status == 200 && answer.body.len() < 1000, "{}", answer.head);
    let (answer, mut stream) =
        open.upgrade("/api/v1/namespaces/a/pods/web/exec?command=id&stdout=1", "Connection: Upgrade\r\n");
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(answer.status == 502 || text(&rest).contains("HOOP-5055"), "{} {}", answer.head, text(&rest));
    // A watch that says one thing and then nothing: it is shown at once, and ends with its reader.
    let mut watch = open.dial();
    watch.write_all(format!("GET {own}?watch=1 HTTP/1.1\r\nHost: k8s\r\n\r\n").as_bytes()).unwrap();
    let mut lines = BufReader::new(watch);
    let seen = (&mut lines).lines().map_while(Result::ok).find(|line| line.contains("ADDED"));
    assert!(seen.is_some());
    drop(lines);

    // A log without an end, and a client that reads none of it.
    let before = memory(&world);
    let mut log = open.dial();
    log.write_all(b"GET /api/v1/namespaces/a/pods/web/log?follow=1 HTTP/1.1\r\nHost: k8s\r\n\r\n").unwrap();
    // How much the server has sent, and how often it tried since to send more, 50 ms each time: a clock of its own, which stands
    // still with a machine that is too busy. Those who ask come by hoop, too, so that stands neither.
    let sent = || {
        let said = open.ask(&format!("GET {own}/sent"), "", b"").json();
        (said[0].as_u64().unwrap(), said[1].as_u64().unwrap())
    };
    let stopped = wait_until("the server's standing still", || {
        let (sent, tried) = sent();
        (sent > 0 && tried > 40).then_some(sent)
    });
    assert!(stopped < 64 << 20, "{stopped} bytes wait somewhere");
    // And one that reads 4 GiB of it, while others are answered.
    let mut left: usize = 4 << 30;
    let mut piece = vec![0; 1 << 20];
    let mut most = 0;
    while left > 0 {
        let read = log.read(&mut piece).unwrap();
        assert!(read > 0, "the log ended {left} bytes early");
        left -= read.min(left);
        most = most.max(memory(&world));
    }
    assert!(open.ask(&format!("GET {own}/fine"), "", b"").status == 200);
    let grown = most.saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    drop((log, open));
    let events = events(&world);
    let told = told(&events, "api");
    for what in ["get pods/log web in a: ", "watch configmaps in a: "] {
        assert!(told.iter().any(|line| line.starts_with(what) && !line.contains("no end")), "{told:#?}");
    }
    assert!(told.iter().any(|line| line == "get configmaps cut in a: HOOP-5053"), "{told:#?}");
}

/// Where Secrets are hidden, nothing of what a cluster says about one is passed on that is not read.
#[test]
fn a_cluster_can_say_what_a_secret_holds_in_no_place() {
    let (world, cluster) = clinic();
    world.rule(json!({"masking": {"hosts": "detect"}}));
    let (_server, port) = api_server(&world, "bad");
    let authority = world.folder.path().join("bad/root.crt");
    let settings = json!({"settings": {"port": port, "tls": {"ca_file": authority}}});
    world.put_cluster("bad", &cluster, settings);
    let open = Open::of(&world, &world.engineer, "bad");
    for (path, status, reason) in [
        ("/quoted", 422, Some("Invalid")),
        ("/reason", 422, None),
        ("/plain", 500, None),
        ("/gzip", 403, None),
        ("/cut", 422, None),
        ("/moved", 307, Some("Invalid")),
        ("/inside", 200, Some("Invalid")),
        ("?watch=1", 200, Some("Expired")),
        ("/fine", 200, None),
    ] {
        let answer = open.ask(&format!("GET /api/v1/namespaces/a/secrets{path}"), "", b"");
        let shown = answer.text();
        assert!(answer.status == status && !shown.is_empty(), "{path}: {}{shown}", answer.head);
        assert!(!format!("{}{shown}", answer.head).contains("canary"), "{path}: {}{shown}", answer.head);
        if path != "/fine" {
            assert!(shown.contains("withheld"), "{path}: {shown}");
        }
        let shown: serde_json::Value = serde_json::from_str(shown.trim()).unwrap();
        let said = shown.get("object").unwrap_or(&shown)["reason"].as_str();
        assert_eq!(said, reason, "{path}: {shown}");
    }
    drop(open);
    assert!(!format!("{:?}", events(&world)).contains("canary"), "it stands in the recording");
}
