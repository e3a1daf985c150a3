//! What a recording has of a host, and what lists show.

use hoop_testkit::run;
use serde_json::json;

use super::{done, events, hospital, of_kind, said, with};

#[test]
fn a_command_is_recorded_with_its_streams_and_its_end() {
    let (world, sshd) = hospital();
    let input = "typed input\n";
    let mut command = world.ssh(&["web", "cat; echo out; echo err >&2; exit 3"]);
    let done = {
        use std::io::Write as _;
        let mut client = super::Running::start(&mut command);
        client.0.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        client.0.wait().unwrap()
    };
    assert_eq!(done.code(), Some(3));
    let events = events(&world);
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["kind"].as_str()).collect();
    let at = |kind: &str| kinds.iter().position(|one| *one == kind).unwrap();
    assert!(
        at("opened") < at("request") && at("request") < at("copy") && at("copy") < at("completed"),
        "{kinds:?}"
    );
    let facts = &of_kind(&events, "opened")[0]["facts"];
    assert_eq!(
        (&facts["person"], &facts["host"]),
        (&"ada".into(), &format!("localhost:{}", sshd.port).into())
    );
    let request = of_kind(&events, "request")[0];
    assert_eq!(request["form"], "command");
    assert_eq!(request["text"], "cat; echo out; echo err >&2; exit 3");
    assert_eq!((said(&events, "in"), said(&events, "error")), (input.into(), "err\n".into()));
    assert_eq!(said(&events, "out"), "typed input\nout\n");
    let completed = of_kind(&events, "completed")[0];
    assert_eq!((&completed["tag"], &completed["bytes"]), (&"exit 3".into(), &json!(12 + 12 + 4 + 4)));
    let notice = of_kind(&events, "notice")[0]["text"].as_str().unwrap();
    assert!(notice.contains("host key ssh-ed25519 SHA256:"), "{notice}");
    // The replay shows the same, and the session's list counts it.
    let id = world.ended_session()["id"].as_str().unwrap().to_owned();
    let statement = &world.statements(&id)[0];
    assert_eq!((&statement["form"], &statement["tag"]), (&"command".into(), &"exit 3".into()));
    let replay = run(world.hoop(&world.admin).args(["sessions", "replay", &id, "--no-wait"]));
    assert!(replay.contains("echo out; echo err") && replay.contains("exit 3"), "{replay}");
    run(world.hoop(&world.admin).args(["sessions", "verify", &id]));
}

#[test]
fn what_is_more_than_the_limit_is_counted_and_said_to_be() {
    let (world, _sshd) = with(json!({"settings": {"recording": {"command_bytes": 100_000}}}));
    let (out, ..) = done(&mut world.ssh(&["web", "head -c 3000000 /dev/zero | tr '\\0' x"]));
    assert_eq!(out.len(), 3_000_000);
    let events = events(&world);
    assert_eq!(of_kind(&events, "curtailed")[0]["limit"], 100_000);
    assert!(said(&events, "out").len() < 300_000);
    assert_eq!(of_kind(&events, "completed")[0]["bytes"], 3_000_000);
}

/// The credential of the host, and what a command has in it, are in no list, no log and no index.
#[test]
fn secrets_of_hosts_and_commands_stay_where_they_belong() {
    let (world, sshd) = hospital();
    done(&mut world.ssh(&["web", "echo canary-in-a-command >/dev/null"]));
    let session = world.ended_session();
    assert!(!session.to_string().contains("canary-in-a-command"));
    let key = std::fs::read_to_string(sshd.user_key()).unwrap();
    let line = key.lines().nth(2).unwrap();
    for (log, who) in [(world.agent.log(), "agent"), (world.gateway.log(), "gateway")] {
        assert!(!log.contains(line) && !log.contains("canary-in-a-command"), "{who}");
    }
    let search = run(world.hoop(&world.admin).args([
        "audit",
        "search",
        "--text",
        "canary-in-a-command",
        "-o",
        "json",
    ]));
    assert!(!search.contains("canary-in-a-command"), "{search}");
}
