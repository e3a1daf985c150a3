//! Recordings in a store of objects (moto's S3, with object lock, and s3s-fs without): moved while sessions run, read from there, locked; and
//! what happens while the store refuses or hangs (THREATS F4). Checkpoints beside them, which nobody rewrites (F5).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{fs, path::Path};

use hoop_testkit::{ObjectStore, Psql, World, WorldOptions, run, wait_until};
use serde_json::Value;

struct Place {
    world: World,
    store: ObjectStore,
    folder: tempfile::TempDir,
}

fn place(agent: &'static [&'static str], environment: &[(&'static str, &str)]) -> Place {
    place_in(ObjectStore::start, agent, environment)
}

fn place_in(
    store: fn(&Path) -> ObjectStore,
    agent: &'static [&'static str],
    environment: &[(&'static str, &str)],
) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let store = store(folder.path());
    let gateway_env = store.environment(environment);
    let world = World::with(WorldOptions { agent, gateway_env, ..WorldOptions::default() });
    world.postgres.script("create table kept (n int); alter table kept owner to app");
    Place { world, store, folder }
}

impl Place {
    /// The newest session, once its recording is in the store and nowhere else.
    fn stored(&self) -> String {
        let id = self.world.ended_session()["id"].as_str().unwrap().to_owned();
        wait_until("the recording in the store of objects alone", || {
            let there = self.store.names().iter().any(|name| name.contains(&id));
            (there && self.in_folder().is_empty()).then_some(())
        });
        id
    }

    fn in_folder(&self) -> Vec<String> {
        let months = fs::read_dir(self.world.folder.path().join("gateway/recordings")).unwrap();
        let files = months.flat_map(|month| fs::read_dir(month.unwrap().path()).unwrap());
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn name_of(&self, id: &str) -> String {
        self.store.names().into_iter().find(|name| name.contains(id)).unwrap()
    }

    fn events(&self, code: &str) -> Vec<Value> {
        self.world.json(&self.world.admin, &["audit", "ls", "--code", code]).as_array().unwrap().clone()
    }

    fn clean(&self, id: &str) {
        assert_eq!(self.world.json(&self.world.admin, &["sessions", "verify", id])["clean"], true);
    }

    /// An offline check of the ledger and of all recordings that can be had.
    fn check_offline(&self) -> Value {
        let path = |name: &str| self.world.folder.path().join(name);
        let admin = |arguments: &[&str]| run(self.world.hoop(&self.world.admin).args(arguments));
        admin(&["audit", "export", "--out", path("ledger.jsonl").to_str().unwrap()]);
        let key = self.world.json(&self.world.admin, &["audit", "checkpoint"])["verifier_key"]
            .as_str()
            .unwrap()
            .to_owned();
        let _ = fs::create_dir(path("evidence"));
        for session in self.world.sessions() {
            let id = session["id"].as_str().unwrap();
            let file = path("evidence").join(format!("{id}.hoopr"));
            if session.get("recording_deleted_at").is_none() {
                admin(&["sessions", "export", id, "--format", "raw", "--out", file.to_str().unwrap()]);
            }
        }
        let (export, recordings) = (path("ledger.jsonl"), path("evidence"));
        let as_text = |path: &Path| path.to_str().unwrap().to_owned();
        self.world.json(
            &self.world.admin,
            &[
                "audit",
                "verify",
                "--export",
                &as_text(&export),
                "--key",
                &key,
                "--recordings",
                &as_text(&recordings),
            ],
        )
    }
}

/// Text that hardly shrinks.
fn noise(seed: u32, length: usize) -> String {
    let mut state = u64::from(seed) + 1;
    let letter = |_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(b'0' + u8::try_from((state >> 40) % 64).unwrap())
    };
    (0..length).map(letter).collect()
}

#[test]
fn recordings_go_to_the_store_and_are_read_from_there() {
    let place = place(&[], &[]);
    assert_eq!(place.world.psql("select 'short ' || 1"), "short 1\n");
    let short = place.stored();
    // A long one is on its way while it still grows.
    let mut psql = Psql::start(&place.world);
    for n in 0..60 {
        let sql = format!("insert into kept /* {} */ values ({n}) returning n;", noise(n, 400_000));
        assert_eq!(psql.ask(&sql), n.to_string());
    }
    wait_until("a part of the running session's recording", || {
        place.store.calls().lines().any(|call| call.contains("partNumber=1")).then_some(())
    });
    let running = place.world.sessions()[0]["state"].clone();
    assert_eq!(running, "live");
    psql.finish();
    let long = place.stored();
    assert!(place.store.object(&place.name_of(&long)).len() > 8 << 20);
    for (id, statements) in [(&short, 1), (&long, 60)] {
        let texts: Vec<Value> = place.world.statements(id);
        let count = texts.iter().filter(|s| !s["text"].as_str().unwrap_or_default().is_empty()).count();
        assert!(count >= statements, "{count}");
        place.clean(id);
    }
    let told = place.events("recording.stored");
    assert_eq!(told.len(), 2);
    assert!(told.iter().all(|event| event["event"]["facts"]["bucket"] == "evidence"));
    let report = place.check_offline();
    assert_eq!((&report["findings"], &report["recordings_checked"]), (&serde_json::json!([]), &2.into()));
}

/// A store without locks, versions and moto's ways: in parts while the session runs, read back, and never over what is there.
#[test]
fn a_store_of_files_keeps_recordings_too() {
    let mut place = place_in(ObjectStore::of_files, &[], &[]);
    let mut psql = Psql::start(&place.world);
    for n in 0..60 {
        let sql = format!("insert into kept /* {} */ values ({n}) returning n;", noise(n, 400_000));
        assert_eq!(psql.ask(&sql), n.to_string());
    }
    wait_until("a part of the running session's recording", || {
        let files = fs::read_dir(place.folder.path().join("objects")).unwrap();
        let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
        names.into_iter().any(|name| name.contains(".part-1")).then_some(())
    });
    assert_eq!(place.world.sessions()[0]["state"], "live");
    psql.finish();
    let long = place.stored();
    assert!(place.store.object(&place.name_of(&long)).len() > 8 << 20);
    assert_eq!(place.world.statements(&long).len(), 61);
    // While it is away somebody lays something where the next one is to go.
    let name = place.name_of(&long);
    place.store.kill();
    place.world.psql("select 'mine'");
    let id = place.world.ended_session()["id"].as_str().unwrap().to_owned();
    let file = place.in_folder().into_iter().find(|name| name.contains(&id)).unwrap();
    let folder = place.folder.path();
    let laid = folder.join("objects/evidence").join(name).with_file_name(&file);
    fs::write(&laid, "somebody else's").unwrap();
    place.store.start_again(folder);
    wait_until("the complaint", || {
        place.world.gateway.log().contains("another object of its name").then_some(())
    });
    assert_eq!(fs::read(&laid).unwrap(), b"somebody else's");
    assert!(place.in_folder().contains(&file), "the recording stays where it is");
    place.clean(&id);
    let report = place.check_offline();
    assert_eq!((&report["findings"], &report["recordings_checked"]), (&serde_json::json!([]), &2.into()));
}

#[test]
fn an_upload_goes_on_after_a_killed_gateway() {
    let mut place = place(&[], &[]);
    let mut psql = Psql::start(&place.world);
    let part = |place: &Place, number: u32| {
        wait_until("a part", || {
            place
                .store
                .calls()
                .lines()
                .any(|call| call.contains(&format!("partNumber={number}")))
                .then_some(())
        });
    };
    let mut insert = |from: u32, to: u32| {
        for n in from..to {
            // A letter that ends the comment is not among the noise.
            let sql = format!("insert into kept /* {} */ values ({n}) returning n;", noise(n, 400_000));
            assert_eq!(psql.ask(&sql), n.to_string());
        }
    };
    insert(0, 60);
    // The second is only begun when what came of the first is kept.
    part(&place, 2);
    place.world.crash_gateway();
    insert(60, 120);
    part(&place, 3);
    psql.finish();
    let id = place.stored();
    place.clean(&id);
    let calls = place.store.calls();
    let begun = calls.lines().filter(|call| call.starts_with("POST") && call.contains("?uploads")).count();
    let first = calls.lines().filter(|call| call.contains("partNumber=1&")).count();
    assert_eq!((begun, first), (1, 1), "what was sent is not sent again");
}

#[test]
fn a_store_that_refuses_stalls_and_ends_sessions_and_loses_nothing() {
    let limits = &["--spool-behind-bytes", "65536", "--stall-limit-seconds", "3"];
    let place = place(limits, &[("HOOP_GATEWAY_RECORDINGS_S3_BEHIND", "1s")]);
    for trouble in [ObjectStore::refuse, ObjectStore::hang] {
        trouble(&place.store);
        // Something waits for the store from here on.
        place.world.psql("select 'before'");
        let mut psql = Psql::start(&place.world);
        let mut answered = 0;
        let insert =
            |n: u32| format!("insert into kept /* {} */ values ({n}) returning n;", noise(n, 40_000));
        while psql.try_ask(&insert(answered)) == Some(answered.to_string()) {
            answered += 1;
            assert!(answered < 500, "it goes on although nobody keeps its recording");
        }
        let words = psql.last_words();
        assert!(words.contains("FATAL") && words.contains("recording"), "{words}");
        place.store.open();
        let id = place.stored();
        let recorded = place.world.statements(&id);
        let count =
            |n: &str| recorded.iter().filter(|s| s["text"].as_str().unwrap_or_default().contains(n)).count();
        let reached = place.world.postgres.script("select n from kept order by n");
        for n in reached.lines() {
            assert!(count(&format!("values ({n}) returning")) > 0, "{n} ran and is not recorded");
        }
        place.clean(&id);
        place.world.postgres.script("delete from kept");
        assert_eq!(place.world.psql("select 'again'"), "again\n");
        place.stored();
    }
    assert!(place.world.metrics().contains("hoop_recording_moves_failed_total"));
    assert_eq!(place.check_offline()["findings"], serde_json::json!([]));
}

#[test]
fn what_has_the_name_already_is_not_overwritten() {
    let place = place(&[], &[]);
    place.store.refuse();
    place.world.psql("select 'mine'");
    let id = place.world.ended_session()["id"].as_str().unwrap().to_owned();
    let file = place.in_folder().into_iter().find(|name| name.contains(&id)).unwrap();
    let month = place.world.sessions()[0]["started_at"].as_str().unwrap()[..7].to_owned();
    let name = format!("recordings/{month}/{file}");
    place.store.open();
    place.store.put(&name, "somebody else's");
    wait_until("the complaint", || {
        place.world.gateway.log().contains("another object of its name").then_some(())
    });
    assert_eq!(place.store.object(&name), b"somebody else's");
    assert!(place.in_folder().contains(&file), "the recording stays where it is");
    place.clean(&id);
    // It holds up no other.
    place.world.psql("select 'the next'");
    let next = place.world.ended_session()["id"].as_str().unwrap().to_owned();
    assert_ne!(next, id);
    wait_until("the next one in the store", || {
        place.store.names().iter().any(|name| name.contains(&next)).then_some(())
    });
}

#[test]
fn a_locked_recording_cannot_be_deleted_by_whoever_has_the_key() {
    let environment = [
        ("HOOP_GATEWAY_RECORDINGS_S3_OBJECT_LOCK", "compliance"),
        ("HOOP_GATEWAY_RECORDINGS_RETENTION", "7y"),
    ];
    let place = place(&[], &environment);
    place.world.psql("select 1");
    let id = place.stored();
    let name = place.name_of(&id);
    wait_until("the event", || (!place.events("recording.stored").is_empty()).then_some(()));
    let told = &place.events("recording.stored")[0]["event"]["facts"];
    assert_eq!(told["lock"], "compliance");
    let locked = place.store.told(&name);
    assert!(locked.contains("x-amz-object-lock-mode: COMPLIANCE"), "{locked}");
    assert!(place.store.delete_version(&name).contains("AccessDenied"));
    // A legal hold is put on the object itself, and taken from it again.
    let hold = place
        .world
        .json(&place.world.admin, &["admin", "holds", "place", "--session", &id, "--reason", "case 17"]);
    wait_until("the hold on the object", || place.store.told(&name).contains("legal-hold: ON").then_some(()));
    let hold = hold["id"].as_str().unwrap();
    run(place
        .world
        .hoop(&place.world.admin)
        .args(["admin", "holds", "release", hold, "--reason", "settled"]));
    wait_until("its end", || (!place.store.told(&name).contains("legal-hold: ON")).then_some(()));
}

#[test]
fn checkpoints_are_kept_there_and_tell_of_another_history() {
    let environment = [
        ("HOOP_GATEWAY_RECORDINGS_S3_OBJECT_LOCK", "compliance"),
        ("HOOP_GATEWAY_RECORDINGS_RETENTION", "7y"),
    ];
    let mut place = place(&[], &environment);
    place.world.reconfigure("\n[[ledger.publish]]\nname = \"locked\"\nkind = \"objects\"\n");
    let size = |place: &Place| -> u64 {
        let told = place.world.json(&place.world.admin, &["audit", "checkpoint"]);
        told["note"].as_str().unwrap().lines().nth(1).unwrap().parse().unwrap()
    };
    let sink = |place: &Place| {
        let sinks = place.world.json(&place.world.admin, &["audit", "sinks"]);
        sinks.as_array().unwrap().iter().find(|sink| sink["name"] == "locked").unwrap().clone()
    };
    let kept = wait_until("the newest checkpoint in the store", || {
        let size = size(&place);
        place.store.names().into_iter().find(|name| *name == format!("checkpoints/{size:020}.checkpoint"))
    });
    assert_eq!(sink(&place)["kind"], "objects");
    let note = String::from_utf8(place.store.object(&kept)).unwrap();
    assert!(note.contains("\n\n\u{2014} "), "{note}");
    wait_until("its lock", || place.store.told(&kept).contains("mode: COMPLIANCE").then_some(()));
    assert!(place.store.delete_version(&kept).contains("AccessDenied"));
    // Whoever had the gateway's keys published another history; this one is asked to stand beside it, and cannot.
    let next = size(&place) + 1;
    for size in next..next + 40 {
        let forged = format!("hoop\n{size}\nAAAA\n\n\u{2014} hoop AAAA\n");
        place.store.put(&format!("checkpoints/{size:020}.checkpoint"), &forged);
    }
    place.world.psql("select 1");
    let error = wait_until("the contradiction", || sink(&place)["last_error"].as_str().map(str::to_owned));
    assert!(error.contains("forked or rewritten"), "{error}");
    assert!(place.world.gateway.log().contains("what is kept elsewhere contradicts the ledger"));
}

#[test]
fn a_recording_is_deleted_when_its_time_is_over_and_leaves_its_proof() {
    for store in [ObjectStore::start, ObjectStore::of_files] {
        is_deleted_in_its_time(&place_in(store, &[], &[("HOOP_GATEWAY_RECORDINGS_RETENTION", "7y")]));
    }
}

fn is_deleted_in_its_time(place: &Place) {
    place.world.rule(serde_json::json!({"limits": {"retention": "4s"}}));
    place.world.psql("select 'kept for a case'");
    let held = place.world.ended_session()["id"].as_str().unwrap().to_owned();
    let placed = place
        .world
        .json(&place.world.admin, &["admin", "holds", "place", "--user", "ada", "--reason", "case 17"]);
    place.world.psql("select 'held too'");
    let second = place.world.ended_session()["id"].as_str().unwrap().to_owned();
    wait_until("both in the store", || (place.store.names().len() == 2).then_some(()));
    // Its time is over, and it stays.
    let over = |id: &str| {
        let session = place.world.json(&place.world.admin, &["sessions", "show", id]);
        let until = session["retain_until"].as_str().unwrap().parse::<hoop_model::Timestamp>().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        until.as_micros() < i64::try_from(now.as_micros()).unwrap()
    };
    wait_until("the end of its time", || (over(&held) && over(&second)).then_some(()));
    assert!(place.events("recording.deleted").is_empty());
    assert_eq!(place.world.statements(&held)[1]["text"], "select 'kept for a case'");
    let id = placed["id"].as_str().unwrap();
    run(place.world.hoop(&place.world.admin).args(["admin", "holds", "release", id, "--reason", "settled"]));
    wait_until("the deletion of both", || place.store.names().is_empty().then_some(()));
    assert_eq!(place.events("recording.deleted").len(), 2);
    let mut replay = place.world.hoop(&place.world.admin);
    let refused = replay.args(["sessions", "replay", &held, "--no-wait"]).output().unwrap();
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(words.contains("HOOP-6005") && words.contains("deleted"), "{words}");
    let report = place.check_offline();
    assert_eq!((&report["findings"], &report["recordings_deleted"]), (&serde_json::json!([]), &2.into()));
}
