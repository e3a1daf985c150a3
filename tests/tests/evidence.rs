//! Evidence: what was done is read, exported and verified, with the gateway and without; whatever is changed or left out
//! is named; and nobody reads it who may not (THREATS C4, E5, F5).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use hoop_testkit::{Person, World, WorldOptions, run, wait_until};
use serde_json::{Value, json};

fn id_of(session: &Value) -> String {
    session["id"].as_str().unwrap().to_owned()
}

/// Runs a statement in a session of its own; the session's id once it is recorded to the end.
fn session_with(world: &World, sql: &str) -> String {
    let before = world.sessions().len();
    world.psql(sql);
    wait_until("the session's end", || {
        let sessions = world.sessions();
        let newest = sessions.first().filter(|_| sessions.len() > before)?;
        (newest["state"] == "ended").then(|| id_of(newest))
    })
}

fn as_admin(world: &World, arguments: &[&str]) -> Command {
    let mut command = world.hoop(&world.admin);
    command.args(arguments);
    command
}

/// A verification that must find something (exit code 6): all that it said.
fn findings(world: &World, arguments: &[&str]) -> String {
    let done = as_admin(world, arguments).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(6), "{arguments:?}: {said}");
    said
}

/// The file in which the gateway keeps a recording.
fn stored(world: &World, session: &str) -> PathBuf {
    let months = fs::read_dir(world.folder.path().join("gateway/recordings")).unwrap();
    months
        .map(|month| month.unwrap().path().join(format!("{session}.hoopr")))
        .find(|path| path.exists())
        .unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

// --- reading

#[test]
fn a_session_is_read_in_every_form_and_without_the_gateway() {
    let mut world = World::start();
    let id = session_with(&world, "select 'seen-' || 41 + 1 as answer");
    let file = world.folder.path().join("session.hoopr");
    let question = "select 'seen-' || 41 + 1 as answer";
    assert_eq!(world.json(&world.admin, &["sessions", "show", &id])["user"], "ada");
    assert!(run(&mut as_admin(&world, &["sessions", "ls"])).contains(&id));
    assert!(run(&mut as_admin(&world, &["sessions", "ls", "--user", "grace", "-o", "json"])).trim() == "[]");
    let replay = run(&mut as_admin(&world, &["sessions", "replay", &id, "--no-wait"]));
    assert!(replay.contains(question) && replay.contains("seen-42") && replay.contains("sealed"), "{replay}");
    for (format, expected) in [("jsonl", "seen-42"), ("sql", question), ("asciicast", "seen-42")] {
        let exported = run(&mut as_admin(&world, &["sessions", "export", &id, "-f", format]));
        assert!(exported.contains(expected), "{format}: {exported}");
    }
    let jsonl = run(&mut as_admin(&world, &["sessions", "export", &id, "-f", "jsonl"]));
    assert!(jsonl.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()), "{jsonl}");
    run(&mut as_admin(&world, &["sessions", "export", &id, "-f", "raw", "-o", text(&file)]));
    assert_eq!(fs::read(&file).unwrap(), fs::read(stored(&world, &id)).unwrap());

    // From here on there is no gateway: the file, and the organisation's key, are enough.
    let key = world.folder.path().join("gateway/keys/recording.pem");
    world.gateway.kill();
    let verified = world.json(&world.admin, &["sessions", "verify", "--file", text(&file)]);
    assert_eq!((&verified["clean"], &verified["own"]["session"]), (&json!(true), &json!(id)), "{verified}");
    let offline =
        world.json(&world.admin, &["sessions", "replay", "--file", text(&file), "--key", text(&key)]);
    let statement =
        offline["statements"].as_array().unwrap().iter().find(|s| s["text"] == question).unwrap().clone();
    assert_eq!(
        (&statement["rows"], &offline["ending"]),
        (&json!([["seen-42"]]), &json!("sealed")),
        "{statement}"
    );
    // Without the right key nothing is shown.
    let other = world.folder.path().join("gateway-ca.pem");
    fs::write(&other, "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VuBCIEIAAA\n-----END PRIVATE KEY-----\n")
        .unwrap();
    let refused = as_admin(&world, &["sessions", "replay", "--file", text(&file), "--key", text(&other)])
        .output()
        .unwrap();
    assert!(!refused.status.success() && !String::from_utf8_lossy(&refused.stdout).contains("seen-42"));
}

#[test]
fn a_live_session_is_followed() {
    let world = World::start();
    let mut psql = world.through(&["psql", "-X", "-q", "-A", "-t"]);
    let mut psql = psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut typed = psql.stdin.take().unwrap();
    writeln!(typed, "select 'before';").unwrap();
    let id = wait_until("the live session", || {
        let live = world.json(&world.admin, &["sessions", "ls", "--live"]);
        live.as_array()?.first().map(id_of)
    });
    let mut tail = as_admin(&world, &["sessions", "tail", &id]);
    let mut tail = tail.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let mut until =
        |what: &str| assert!(lines.any(|line| line.unwrap().contains(what)), "tail never showed {what}");
    until("before");
    writeln!(typed, "select 'while ' || 'followed';").unwrap();
    until("while followed");
    drop(typed);
    assert!(psql.wait().unwrap().success());
    assert!(tail.wait().unwrap().success(), "and ends with the session");
}

#[test]
fn bind_values_are_in_the_replay() {
    let world = World::start();
    let script = "
import psycopg
with psycopg.connect('') as c:
    c.prepare_threshold = 0
    for value in ('canary-bind-1', 'canary-bind-2', None):
        c.execute('select %s::text', [value])
    c.execute('select %b::int8', [4711])";
    run(&mut world.through(&["/usr/bin/python3", "-c", script]));
    let statements = world.statements(&id_of(&world.ended_session()));
    let bound: Vec<&Value> = statements
        .iter()
        .map(|s| &s["parameters"])
        .filter(|p| p.as_array().is_some_and(|p| !p.is_empty()))
        .collect();
    for expected in [json!(["canary-bind-1"]), json!(["canary-bind-2"]), json!([null])] {
        assert!(bound.contains(&&expected), "{expected} is not among {bound:?}");
    }
    assert!(
        bound.iter().any(|p| p.to_string().contains("4711") || p.to_string().contains("1267")),
        "the binary one: {bound:?}"
    );
}

// --- changed or left out

#[test]
fn a_changed_recording_is_named() {
    let world = World::start();
    let (first, second) =
        (session_with(&world, "select 'first', repeat('x', 5000)"), session_with(&world, "select 'second'"));
    let verify = |session: &str| findings(&world, &["sessions", "verify", session]);
    let (path, other) = (stored(&world, &first), stored(&world, &second));
    let (good, others) = (fs::read(&path).unwrap(), fs::read(&other).unwrap());
    let offline = |expected: &str| {
        let said = findings(&world, &["sessions", "verify", "--file", text(&path)]);
        assert!(said.contains(expected), "{said}");
    };

    let mut flipped = good.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(&path, &flipped).unwrap();
    assert!(verify(&first).contains("was altered"));
    offline("was altered");

    fs::write(&path, &good[..good.len() * 2 / 3]).unwrap();
    let cut = verify(&first);
    assert!(cut.contains("cut off"), "{cut}");
    offline("cut off");

    fs::write(&path, [&good[..], b"more"].concat()).unwrap();
    let longer = verify(&first);
    assert!(longer.contains("follows the trailer"), "{longer}");

    fs::write(&path, &others).unwrap();
    fs::write(&other, &good).unwrap();
    assert!(
        verify(&first).contains("another session's recording")
            && verify(&second).contains("another session's recording")
    );

    fs::remove_file(&path).unwrap();
    let gone = verify(&first);
    assert!(gone.contains("is not there"), "{gone}");

    fs::write(&path, &good).unwrap();
    fs::write(&other, &others).unwrap();
    for session in [&first, &second] {
        assert_eq!(world.json(&world.admin, &["sessions", "verify", session])["clean"], true);
    }
    // Each check is in the ledger, with what it found.
    let checks = run(&mut as_admin(&world, &["audit", "ls", "--code", "recording.verified", "-o", "json"]));
    assert!(checks.contains("was altered") && checks.contains("is not there"), "{checks}");
}

#[test]
fn a_changed_ledger_is_named() {
    let gateway = "[ledger]\ncheckpoint_interval = \"1s\"\n";
    let world = World::with(WorldOptions { gateway, ..WorldOptions::default() });
    let at = |name: &str| world.folder.path().join(name);
    let (first, second) = (session_with(&world, "select 'first'"), session_with(&world, "select 'second'"));
    let export = |name: &str| {
        let path = at(name);
        run(&mut as_admin(&world, &["audit", "export", "-o", text(&path)]));
        path
    };
    let early = export("early.jsonl");
    session_with(&world, "select 'third'");
    let checkpoint = || world.json(&world.admin, &["audit", "checkpoint"]);
    let (key, size) = (checkpoint()["verifier_key"].as_str().unwrap().to_owned(), |note: &Value| -> u64 {
        note["note"].as_str().unwrap().lines().nth(1).unwrap().parse().unwrap()
    });
    let lines_of =
        |path: &Path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>();
    let newest = world.json(&world.admin, &["audit", "ls", "-n", "1"])[0]["seq"].as_u64().unwrap();
    let newer = wait_until("a checkpoint over the third session", || {
        Some(checkpoint()).filter(|note| size(note) >= newest)
    });
    let kept = at("checkpoint.json");
    fs::write(&kept, newer.to_string()).unwrap();
    let now = export("now.jsonl");
    assert!(run(&mut as_admin(&world, &["audit", "verify"])).contains("root"));
    assert!(
        run(&mut as_admin(&world, &["audit", "ls", "--code", "session.opened", "-o", "json"]))
            .contains(&first)
    );

    let recordings = stored(&world, &first).parent().unwrap().to_owned();
    let check = |file: &Path, more: &[&str]| {
        as_admin(&world, &["audit", "verify", "--export", text(file), "--key", &key])
            .args(more)
            .output()
            .unwrap()
    };
    let clean = check(&now, &["--older", text(&kept), "--recordings", text(&recordings)]);
    assert!(clean.status.success(), "{clean:?}");

    // Each attack, and what must be said of it.
    let named = |what: &str, file: &Path, more: &[&str], expected: &[&str]| {
        let done = check(file, more);
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert_eq!(done.status.code(), Some(6), "{what}: {said}");
        assert!(expected.iter().any(|text| said.contains(text)), "{what}: {said}");
    };
    named("rolled back", &early, &["--older", text(&kept)], &["rolled back"]);
    let lines = lines_of(&now);
    let opened =
        lines.iter().position(|line| line.contains("session.opened") && line.contains(&second)).unwrap();
    let write = |name: &str, lines: &[String]| {
        let path = at(name);
        fs::write(&path, lines.join("\n") + "\n").unwrap();
        path
    };
    let mut dropped = lines.clone();
    dropped.remove(opened);
    named("a line left out", &write("dropped.jsonl", &dropped), &[], &["missing"]);
    let session_gone: Vec<String> = lines.iter().filter(|line| !line.contains(&second)).cloned().collect();
    named("a session left out", &write("session.jsonl", &session_gone), &[], &["missing"]);
    let mut altered = lines.clone();
    altered[opened] = altered[opened].replace("ada", "bob");
    named("an event altered", &write("altered.jsonl", &altered), &[], &["altered"]);
    let mut swapped = lines.clone();
    swapped.swap(opened, opened + 1);
    named("events swapped", &write("swapped.jsonl", &swapped), &[], &["moved"]);
    named("the end cut off", &write("short.jsonl", &lines[..opened]), &[], &["checkpoint"]);
    let forger = key.replace(key.rsplit('+').next().unwrap(), "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    assert!(
        !as_admin(&world, &["audit", "verify", "--export", text(&now), "--key", &forger])
            .output()
            .unwrap()
            .status
            .success()
    );

    // The recordings beside it.
    let (one, two) = (recordings.join(format!("{first}.hoopr")), recordings.join(format!("{second}.hoopr")));
    let (bytes_one, bytes_two) = (fs::read(&one).unwrap(), fs::read(&two).unwrap());
    let beside = ["--recordings", text(&recordings)];
    fs::write(&one, &bytes_two).unwrap();
    fs::write(&two, &bytes_one).unwrap();
    named("recordings swapped", &now, &beside, &[&first]);
    fs::write(&two, &bytes_two).unwrap();
    fs::remove_file(&one).unwrap();
    named("a recording removed", &now, &beside, &[&first]);
    let mut flipped = bytes_one.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    fs::write(&one, &flipped).unwrap();
    named("a byte of a recording flipped", &now, &beside, &[&first]);
}

// --- who may

fn access_of(person: &Person) -> String {
    let profile = fs::read_to_string(person.profile.join("profile.toml")).unwrap();
    profile.split('"').find(|part| part.starts_with("hoop_")).unwrap().to_owned()
}

#[test]
fn evidence_is_for_admins_and_auditors() {
    let world = World::start();
    // Tokens in a profile: the access token stands first.
    let id = session_with(&world, "select 'canary-evidence'");
    run(world.hoop(&world.engineer).arg("whoami"));
    let (engineer, admin, browser) =
        (access_of(&world.engineer), access_of(&world.admin), world.browser("anonymous"));
    assert_eq!(browser.get_as("/api/v1/whoami", &engineer).json()["name"], "ada");
    let guessed = "ses_aaaaaaaaaaaaaaaaaaaaaaaaaa".to_owned();
    for session in [&id, &guessed] {
        let of = |rest: &str| format!("/api/v1/sessions/{session}/{rest}");
        let mut urls =
            vec![of("timeline"), of("timeline?follow=true"), of("timeline?after=1"), of("recording")];
        urls.extend(["jsonl", "sql", "asciicast"].map(|format| of(&format!("export?format={format}"))));
        urls.extend(
            [
                "/api/v1/audit/events",
                "/api/v1/audit/export",
                "/api/v1/audit/verify",
                "/api/v1/agents",
                "/api/v1/users",
            ]
            .map(str::to_owned),
        );
        for url in &urls {
            let (anonymous, other) = (browser.get(url), browser.get_as(url, &engineer));
            assert_eq!((anonymous.status, other.status), (401, 403), "{url}");
            assert!(!format!("{anonymous:?}{other:?}").contains("canary"), "{url}");
            assert_eq!(browser.get_as(url, "hoop_at_made-up").status, 401, "{url}");
        }
        let verify = of("verify");
        assert_eq!(
            (
                browser.post(&verify, &json!({})).status,
                browser.post_as(&verify, &engineer, &json!({})).status
            ),
            (401, 403)
        );
        let kill = of("kill");
        assert_eq!(
            (browser.post(&kill, &json!({})).status, browser.post_as(&kill, &engineer, &json!({})).status),
            (401, 403)
        );
    }
    assert!(
        browser.get_as(&format!("/api/v1/sessions/{id}/timeline"), &admin).body.contains("canary-evidence")
    );
    assert_eq!(browser.get_as(&format!("/api/v1/sessions/{guessed}/timeline"), &admin).status, 404);
    // And with the command line: their own session is listed, its recording is not theirs to read.
    let own = world.hoop(&world.engineer).args(["sessions", "replay", &id, "--no-wait"]).output().unwrap();
    assert_eq!(own.status.code(), Some(3), "{own:?}");
}
