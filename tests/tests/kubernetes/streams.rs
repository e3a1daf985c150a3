//! What streams: changes, logs, programs, files, ports; much of it, and many at once.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Shutdown, TcpStream},
    process::Stdio,
    time::Duration,
};

use hoop_testkit::{free_port, run, wait_until};
use serde_json::json;

use super::{Open, Running, clinic, events, kubectl, of_kind, said, text, told};

/// Reads lines until one has this.
fn line_with(lines: &mut impl Iterator<Item = std::io::Result<String>>, wanted: &str) -> String {
    lines
        .find_map(|line| line.ok().filter(|line| line.contains(wanted)))
        .unwrap_or_else(|| panic!("no line with {wanted}"))
}

#[test]
fn changes_and_logs_come_while_they_happen() {
    let (world, cluster) = clinic();
    cluster.pod_that(
        "loud",
        &json!({}),
        "echo begun; while read line; do echo \"heard $line\"; done; exec sleep 600",
    );
    let open = Open::start(&world);
    let mut watch =
        Running::start(&mut open.kubectl(&cluster, &["get", "configmaps", "--watch", "-o", "name"]));
    let mut changes = BufReader::new(watch.0.stdout.take().unwrap()).lines();
    let mut logs = Running::start(&mut open.kubectl(&cluster, &["logs", "-f", "loud"]));
    let mut printed = BufReader::new(logs.0.stdout.take().unwrap()).lines();
    line_with(&mut printed, "begun");
    for number in 0..3 {
        run(&mut cluster.kubectl(&["create", "configmap", &format!("made-{number}")]));
        line_with(&mut changes, &format!("made-{number}"));
    }
    // What is typed into the pod's own program, its log tells.
    let mut attached = Running::start(&mut open.kubectl(&cluster, &["attach", "-i", "loud"]));
    let mut answers = BufReader::new(attached.0.stdout.take().unwrap()).lines();
    attached.0.stdin.as_mut().unwrap().write_all(b"a word\n").unwrap();
    line_with(&mut answers, "heard a word");
    line_with(&mut printed, "heard a word");
    drop((watch, logs, attached, open));
    let events = events(&world);
    let shown = said(&events, "out");
    assert!(shown.contains("made-2") && shown.contains("begun\n"), "{shown}");
    assert_eq!(shown.matches("heard a word\n").count(), 2, "of the log, and of the program: {shown}");
    assert_eq!(said(&events, "in"), "a word\n");
    let told = told(&events, "api");
    let ended =
        |what: &str| told.iter().any(|line| line.starts_with(what) && line.contains("until the client left"));
    assert!(ended("watch configmaps in") && ended("get pods/log loud in"), "{told:#?}");
}

#[test]
fn twenty_megabytes_pass_both_ways_at_once_unchanged() {
    let (world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    let path = world.folder.path().join("noise");
    let noise = noise(&path, 20);
    for websockets in ["true", "false"] {
        let mut cat = world.kubectl("k8s", &cluster, &["exec", "-i", "web", "--", "cat"]);
        cat.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets);
        let done = cat.stdin(fs::File::open(&path).unwrap()).output().unwrap();
        assert!(done.status.success(), "{}", text(&done.stderr));
        assert!(done.stdout == noise, "{websockets}: {} bytes came back", done.stdout.len());
    }
    let completed =
        events(&world).into_iter().find(|event| event["kind"] == "completed" && event["tag"] == "exit 0");
    assert_eq!(completed.unwrap()["bytes"], 40 << 20);
}

/// So many bytes that do not repeat.
fn noise(path: &std::path::Path, megabytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = (0..megabytes << 17).flat_map(|_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    let bytes: Vec<u8> = words.collect();
    fs::write(path, &bytes).unwrap();
    bytes
}

#[test]
fn files_are_copied_unchanged_and_told_with_their_content() {
    let (world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    let here = world.folder.path();
    let site = here.join("site");
    fs::create_dir_all(site.join("deep")).unwrap();
    fs::write(site.join("deep/small"), "hello").unwrap();
    let sent = noise(&site.join("noise"), 3);
    let (out, err, code) = kubectl(&world, &cluster, &["cp", &site.display().to_string(), "web:/tmp"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let sum = |bytes: &[u8]| hoop_recording::Hash::of(bytes).to_string();
    let files = |form: &str| {
        let events = events(&world);
        let of = |request: &&serde_json::Value| request["form"] == form;
        of_kind(&events, "request")
            .into_iter()
            .filter(of)
            .map(|request| {
                let end = of_kind(&events, "completed")
                    .into_iter()
                    .find(|end| end["id"] == request["id"] && end["stream"] == request["stream"])
                    .unwrap();
                format!("{}: {}", request["text"].as_str().unwrap(), end["tag"].as_str().unwrap())
            })
            .collect::<Vec<_>>()
            .join("\n")
    };
    let written = files("write_file");
    assert!(
        written.contains(&sum(&sent)) && written.contains(&sum(b"hello")) && written.contains("deep/small"),
        "{written}"
    );
    let there = run(&mut cluster.kubectl(&["exec", "web", "--", "sha256sum", "/tmp/site/noise"]));
    assert!(there.contains(&sum(&sent)), "{there}");
    let back = here.join("back").display().to_string();
    let (out, err, code) = kubectl(&world, &cluster, &["cp", "web:/tmp/site/noise", &back]);
    assert_eq!(code, Some(0), "{out}{err}");
    assert!(fs::read(&back).unwrap() == sent);
    let read = files("read_file");
    assert!(read.contains(&sum(&sent)) && read.contains("tmp/site/noise"), "{read}");
}

#[test]
fn ports_of_a_pod_are_reached_where_the_rule_says_so() {
    let (world, cluster) = clinic();
    let port = free_port();
    cluster.pod_that("web", &json!({}), &format!("exec nc -ll -p {port} -e cat"));
    let local = free_port();
    let ports = format!("{local}:{port}");
    let (_, err, code) = kubectl(&world, &cluster, &["port-forward", "web", &ports]);
    assert!(err.contains("HOOP-2042") && code == Some(1), "{err}");
    assert_eq!(of_kind(&events(&world), "denied")[0]["code"], "HOOP-2042");
    world.rule(json!({"forwarding": ["local"]}));
    for websockets in ["true", "false"] {
        let open = Open::start(&world);
        let mut forward = open.kubectl(&cluster, &["port-forward", "web", &ports, "0:1"]);
        let mut forward = Running::start(forward.env("KUBECTL_PORT_FORWARD_WEBSOCKETS", websockets));
        let mut lines = BufReader::new(forward.0.stdout.take().unwrap()).lines();
        line_with(&mut lines, &format!("127.0.0.1:{local}"));
        let refusing = line_with(&mut lines, "127.0.0.1:");
        let talk = |word: &str| {
            let mut stream = TcpStream::connect(("127.0.0.1", local)).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            stream.write_all(word.as_bytes()).unwrap();
            let mut back = vec![0; word.len()];
            stream.read_exact(&mut back).unwrap();
            assert_eq!(text(&back), word);
            stream
        };
        // One that stands still holds up no other.
        let both = [talk("first"), talk("second")];
        // What both have to say is said, and so the pod hears.
        for mut stream in both {
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(stream.read(&mut [0]).unwrap(), 0);
        }
        let last = talk("and a last one");
        // Nobody listens there: that connection ends, and with it kubectl.
        let closed: u16 =
            refusing.split("127.0.0.1:").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        let mut stream = TcpStream::connect(("127.0.0.1", closed)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
        // What nobody closed ends with its client.
        wait_until("the last connection's end in the pod", || {
            // What listens has the word in its own line.
            let script = "test $(ps | grep -c ' cat$') = 1";
            let alone = cluster.kubectl(&["exec", "web", "--", "sh", "-c", script]).output().unwrap();
            alone.status.success().then_some(())
        });
        drop((lines, forward, last, open));
        let events = events(&world);
        let told = told(&events, "forward");
        assert_eq!(
            told.iter()
                .filter(|line| line.starts_with(&format!("{}/web port {port}: ", cluster.namespace)))
                .count(),
            3,
            "{told:#?}"
        );
        assert!(told.iter().any(|line| line.contains("web port 1: HOOP-5055")), "{told:#?}");
        assert!(told.iter().all(|line| !line.ends_with("no end")), "{told:#?}");
        let mut sums: Vec<_> = of_kind(&events, "request")
            .into_iter()
            .filter(|request| {
                request["text"].as_str().is_some_and(|text| text.ends_with(&format!(" port {port}")))
            })
            .flat_map(|request| {
                let completed = of_kind(&events, "completed").into_iter();
                completed.filter(|end| end["id"] == request["id"] && end["stream"] == request["stream"])
            })
            .filter_map(|end| end["bytes"].as_u64())
            .collect();
        sums.sort_unstable();
        let both_ways = ["first", "second", "and a last one"].map(|word| 2 * word.len() as u64);
        assert_eq!(sums, both_ways, "{told:#?}");
        assert!(of_kind(&events, "copy").iter().all(|copy| copy["data"] != "first"), "its bytes are counted");
    }
}

#[test]
fn many_programs_of_one_session_keep_apart() {
    let (world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    let open = Open::start(&world);
    // One whose output nobody reads holds up no other.
    let stalled = Running::start(
        &mut open.kubectl(&cluster, &["exec", "web", "--", "head", "-c", "200000000", "/dev/zero"]),
    );
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let script = format!("seq 1 20000 | grep -c {number}; exit {number}");
            let mut exec = open.kubectl(&cluster, &["exec", "web", "--", "sh", "-c", &script]);
            (number, exec.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
        })
        .collect();
    for (number, client) in clients {
        let wanted = (1..=20_000).filter(|n: &i32| n.to_string().contains(&number.to_string())).count();
        let done = client.wait_with_output().unwrap();
        assert_eq!((text(&done.stdout), done.status.code()), (format!("{wanted}\n"), Some(number)));
    }
    drop((stalled, open));
    let told = told(&events(&world), "command");
    for number in 0..8 {
        assert!(told.iter().any(|line| line.ends_with(&format!("': exit {number}"))), "{told:#?}");
    }
}
/// Over one connection of HTTP/2, and back in one answer.
#[test]
fn five_hundred_objects_are_written_and_listed() {
    let (world, cluster) = clinic();
    let open = Open::start(&world);
    let filling = "x".repeat(2000);
    let one = |number: usize| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("of-{number}")}, "data": {"a": filling}});
    let file = world.folder.path().join("objects.json");
    let all: Vec<_> = (0..500).map(one).collect();
    fs::write(&file, json!({"apiVersion": "v1", "kind": "List", "items": all}).to_string()).unwrap();
    let file = file.display().to_string();
    run(&mut open.kubectl(&cluster, &["create", "-f", &file]));
    let listed = run(&mut open.kubectl(&cluster, &["get", "configmaps", "-o", "json", "--chunk-size=0"]));
    assert!(listed.matches(&filling).count() == 500, "{} bytes", listed.len());
    let names = run(&mut open.kubectl(&cluster, &["get", "configmaps", "-o", "name", "--chunk-size=100"]));
    assert_eq!(names.matches("configmap/of-").count(), 500);
    drop(open);
    let events = events(&world);
    let told = told(&events, "api");
    assert_eq!(told.iter().filter(|line| line.ends_with(": 201")).count(), 500);
    let completed = of_kind(&events, "completed");
    assert!(completed.iter().any(|event| event["bytes"].as_u64() > Some(100_000)), "{told:#?}");
}
