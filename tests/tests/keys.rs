//! The organisation's recording key: kept by a file, by Vault, by AWS KMS or by an auditor; rotated; and gone. What cannot
//! be opened is still recorded (THREATS F1, F4).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use hoop_testkit::{KeyServices, Moto, World, WorldOptions, run, wait_until};
use serde_json::{Value, json};

/// Runs a statement in a session of its own; the session's id once it is recorded to the end.
fn session_with(world: &World, sql: &str) -> String {
    let before = world.sessions().len();
    world.psql(sql);
    wait_until("the session's end", || {
        let sessions = world.sessions();
        let newest = sessions.first().filter(|_| sessions.len() > before)?;
        (newest["state"] == "ended").then(|| newest["id"].as_str().unwrap().to_owned())
    })
}

fn as_admin(world: &World, arguments: &[&str]) -> Command {
    let mut command = world.hoop(&world.admin);
    command.args(arguments);
    command
}

/// A command that must fail: all that it said.
fn refused(world: &World, arguments: &[&str]) -> String {
    let done = as_admin(world, arguments).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(!done.status.success(), "{arguments:?}: {said}");
    said
}

fn replay(world: &World, session: &str) -> String {
    run(&mut as_admin(world, &["sessions", "replay", session, "--no-wait"]))
}

fn keys(world: &World) -> Value {
    world.json(&world.admin, &["admin", "keys", "ls"])
}

fn events(world: &World, code: &str) -> Vec<Value> {
    let events = world.json(&world.admin, &["audit", "ls", "--code", code]);
    events.as_array().unwrap().clone()
}

fn clean(world: &World, session: &str) -> bool {
    world.json(&world.admin, &["sessions", "verify", session])["clean"] == true
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Starts the gateway anew with another environment.
fn restart(world: &mut World, environment: Vec<(&'static str, String)>) {
    world.stop_gateway();
    world.set_gateway_env(environment);
    world.start_gateway();
    world.wait_for_agent();
}

#[test]
fn keys_in_files_are_rotated_and_old_recordings_still_open() {
    let world = World::start();
    let first = session_with(&world, "select 'before ' || 'rotation'");
    // A session that runs goes on with its key; the agent is told of the next one with the next session.
    let rotated = world.json(&world.admin, &["admin", "keys", "rotate"]);
    let second = session_with(&world, "select 'after ' || 'rotation'");
    let listed = keys(&world);
    assert_eq!((&listed["keeper"], &listed["state"]), (&json!("file"), &json!("good")));
    let both = listed["keys"].as_array().unwrap();
    let by_state = |in_force: bool| both.iter().find(|key| key["in_force"] == in_force).unwrap();
    assert_eq!(by_state(true)["id"], rotated["id"]);
    for in_force in [true, false] {
        let key = by_state(in_force);
        assert_eq!((&key["recordings"], &key["opens_here"]), (&json!(1), &json!(true)), "{listed}");
    }
    assert!(replay(&world, &first).contains("before rotation"));
    assert!(replay(&world, &second).contains("after rotation"));
    // Each needs its own file.
    let retired = world.folder.path().join("gateway/keys/recording.pem");
    let aside = world.folder.path().join("aside.pem");
    fs::rename(&retired, &aside).unwrap();
    assert!(refused(&world, &["sessions", "replay", &first]).contains("HOOP-6033"));
    assert!(replay(&world, &second).contains("after rotation"));
    assert!(clean(&world, &first), "a chain needs no key");
    fs::rename(&aside, &retired).unwrap();
    assert!(replay(&world, &first).contains("before rotation"));
    let told = events(&world, "recording_key.rotated");
    assert_eq!((told.len(), &told[0]["actor"]), (1, &json!("grace")));
}

#[test]
fn vault_keeps_the_key_and_its_absence_stops_reading_alone() {
    let folder = tempfile::tempdir().unwrap();
    let vault = KeyServices::start(folder.path());
    let mut world = World::with(WorldOptions { gateway_env: vault.vault(), ..WorldOptions::default() });
    let first = session_with(&world, "select 'kept by ' || 'vault'");
    assert!(replay(&world, &first).contains("kept by vault"));
    let exported = run(&mut as_admin(&world, &["sessions", "export", &first, "-f", "sql"]));
    assert!(exported.contains("'kept by ' || 'vault'"));
    assert!(!world.folder.path().join("gateway/keys/recording.pem").exists(), "no private half lies here");

    // Sealed: nothing is read, everything is recorded, also over a restart.
    vault.set(json!({ "sealed": true }));
    let said = refused(&world, &["sessions", "replay", &first]);
    assert!(said.contains("HOOP-6031") && said.contains("recording goes on"), "{said}");
    world.stop_gateway();
    world.start_gateway();
    world.wait_for_agent();
    let second = session_with(&world, "select 'while it was ' || 'away'");
    assert!(clean(&world, &second));
    assert_eq!(keys(&world)["state"], "away");
    // One that never answers is as good as one that is away, and nobody waits for long.
    vault.set(json!({ "sealed": false, "hangs": true }));
    let began = Instant::now();
    let said = refused(&world, &["sessions", "replay", &first]);
    assert!(said.contains("HOOP-6031") && said.contains("too long"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
    vault.set(json!({ "hangs": false }));
    // No rights: told apart.
    vault.set(json!({ "sealed": false, "denied": true }));
    assert!(refused(&world, &["sessions", "replay", &second]).contains("HOOP-6032"));
    vault.set(json!({ "denied": false }));
    assert!(replay(&world, &second).contains("while it was away"));

    // Rotated by us: Vault makes a version. Both open.
    world.json(&world.admin, &["admin", "keys", "rotate"]);
    let third = session_with(&world, "select 'version ' || 'two'");
    assert!(replay(&world, &third).contains("version two"));
    assert!(replay(&world, &first).contains("kept by vault"));
    // An old version that Vault no longer gives is a refusal, not damage.
    vault.set(json!({ "min_decryption_version": 2 }));
    assert!(refused(&world, &["sessions", "replay", &first]).contains("HOOP-6032"));
    let (log, ledger) = (world.gateway.log(), run(&mut as_admin(&world, &["audit", "ls", "-o", "json"])));
    assert!(!log.contains("hvs.canary") && !ledger.contains("hvs.canary"));
}

#[test]
fn a_key_that_nobody_rotated_to_is_not_used() {
    let folder = tempfile::tempdir().unwrap();
    let vault = KeyServices::start(folder.path());
    let mut world = World::with(WorldOptions { gateway_env: vault.vault(), ..WorldOptions::default() });
    let first = session_with(&world, "select 'one'");
    let in_force = |world: &World| {
        let keys = keys(world);
        let key =
            keys["keys"].as_array().unwrap().iter().find(|key| key["in_force"] == true).unwrap().clone();
        (key["id"].as_str().unwrap().to_owned(), keys["state"].as_str().unwrap().to_owned())
    };
    let (pinned, _) = in_force(&world);
    // Somebody makes a version in Vault, by a schedule there or in bad faith.
    vault.new_vault_version();
    assert_eq!(in_force(&world), (pinned.clone(), "other_key".to_owned()));
    let told = events(&world, "recording_key.refused");
    assert_eq!((told.len(), &told[0]["event"]["facts"]["in_force"]), (1, &json!(pinned)));
    world.stop_gateway();
    world.start_gateway();
    world.wait_for_agent();
    let second = session_with(&world, "select 'two'");
    for session in [&first, &second] {
        assert!(replay(&world, session).contains("select"), "the pinned version still opens");
    }
    assert_eq!(in_force(&world).0, pinned);
    // An admin says that it is right; only then is it used.
    let rotated = world.json(&world.admin, &["admin", "keys", "rotate"]);
    assert_eq!(in_force(&world), (rotated["id"].as_str().unwrap().to_owned(), "good".to_owned()));
    assert!(replay(&world, &session_with(&world, "select 'three'")).contains("three"));
    // A version that was replaced under its own number opens nothing of before, and is not believed either.
    vault.replace_vault_key();
    assert_eq!(in_force(&world).1, "other_key");
}

#[test]
fn aws_kms_keeps_the_key_and_another_follows_it() {
    let folder = tempfile::tempdir().unwrap();
    let service = KeyServices::start(folder.path());
    let arn = service.arns().remove(0);
    let mut world = World::with(WorldOptions { gateway_env: service.kms(&arn), ..WorldOptions::default() });
    let first = session_with(&world, "select 'kept by ' || 'kms'");
    assert!(replay(&world, &first).contains("kept by kms"));
    assert!(service.calls().iter().any(|call| call.contains("TrentService.Decrypt")));
    assert!(refused(&world, &["admin", "keys", "rotate"]).contains("HOOP-6034"), "there is no other key yet");
    service.set(json!({ "denied": true }));
    assert!(refused(&world, &["sessions", "replay", &first]).contains("HOOP-6032"));
    service.set(json!({ "denied": false, "sealed": true }));
    assert!(refused(&world, &["sessions", "replay", &first]).contains("HOOP-6031"));
    service.set(json!({ "sealed": false }));

    let next = service.new_kms_key();
    restart(&mut world, service.kms(&next));
    assert_eq!(keys(&world)["state"], "other_key", "named in the configuration, and not rotated to");
    world.json(&world.admin, &["admin", "keys", "rotate"]);
    let second = session_with(&world, "select 'the second ' || 'arn'");
    assert!(replay(&world, &second).contains("the second arn"));
    assert!(replay(&world, &first).contains("kept by kms"), "asked for by its own ARN");

    // A signature that AWS would not accept is a refusal.
    let mut wrong = service.kms(&next);
    wrong
        .iter_mut()
        .filter(|(name, _)| *name == "AWS_SECRET_ACCESS_KEY")
        .for_each(|(_, value)| *value = "x".to_owned());
    restart(&mut world, wrong);
    assert!(refused(&world, &["sessions", "replay", &first]).contains("InvalidSignature"));
    assert!(clean(&world, &session_with(&world, "select 'recorded all the same'")));
}

#[test]
fn public_halves_come_from_moto_and_keys_of_another_kind_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let moto = Moto::start(folder.path());
    let gateway = |key: &str| {
        let mut command = Command::new(hoop_testkit::binary("hoop-gateway"));
        let data = folder.path().join(key.rsplit('/').next().unwrap());
        command.args(["serve", "--listen", "127.0.0.1:0", "--data-dir"]).arg(data).envs(moto.kms(key));
        command
    };
    for (spec, usage, expected) in [
        ("RSA_2048", "ENCRYPT_DECRYPT", "2048 bits"),
        ("RSA_4096", "SIGN_VERIFY", "not for ENCRYPT_DECRYPT"),
        ("ECC_NIST_P256", "SIGN_VERIFY", "not for ENCRYPT_DECRYPT"),
    ] {
        let done = gateway(&moto.key(spec, usage)).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(!done.status.success() && said.contains(expected), "{spec}: {said}");
    }
    let key = moto.key("RSA_4096", "ENCRYPT_DECRYPT");
    let world = World::with(WorldOptions { gateway_env: moto.kms(&key), ..WorldOptions::default() });
    let listed = keys(&world);
    assert_eq!(
        (&listed["keeper"], &listed["keys"][0]["place"]),
        (&json!("aws-kms"), &json!(key)),
        "{listed}"
    );
    assert!(clean(&world, &session_with(&world, "select 'recorded for a key of 4096 bits'")));
}

/// Every file under a folder that could be read as a private key.
fn private_keys(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(private_keys(&path));
        } else if fs::read(&path).unwrap().windows(11).any(|bytes| bytes == b"PRIVATE KEY") {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_gateway_without_the_private_half_records_and_proves_and_the_auditor_reads() {
    let auditor = tempfile::tempdir().unwrap();
    let (key, public) = (auditor.path().join("auditor.pem"), auditor.path().join("auditor.pub.pem"));
    run(Command::new(hoop_testkit::binary("hoop")).args(["audit", "keygen", "--out"]).arg(&key));
    let mut world = World::with(WorldOptions {
        gateway_env: vec![
            ("HOOP_GATEWAY_KEYS_RECORDING", "public".to_owned()),
            ("HOOP_GATEWAY_KEYS_RECORDING_PUBLIC_FILE", text(&public).to_owned()),
        ],
        ..WorldOptions::default()
    });
    let id = session_with(&world, "select 'seen by the ' || 'auditor' as answer");
    // Nothing at the gateway opens it.
    for arguments in [
        &["sessions", "replay", &id][..],
        &["sessions", "export", &id, "-f", "jsonl"],
        &["sessions", "export", &id, "-f", "sql"],
        &["sessions", "tail", &id],
    ] {
        let said = refused(&world, arguments);
        assert!(said.contains("HOOP-6030") && said.contains("--key auditor.pem"), "{arguments:?}: {said}");
        assert!(!said.contains("seen by the auditor"), "{said}");
    }
    assert_eq!(private_keys(&world.folder.path().join("gateway")), Vec::<PathBuf>::new());
    let listed = keys(&world);
    assert_eq!((&listed["state"], &listed["keys"][0]["opens_here"]), (&json!("elsewhere"), &json!(false)));
    // And it is proven without.
    assert!(clean(&world, &id));

    // The auditor has it played on their own machine, from the gateway's ciphertext.
    let played = run(&mut as_admin(&world, &["sessions", "replay", &id, "--no-wait", "--key", text(&key)]));
    assert!(played.contains("seen by the auditor") && played.contains("sealed"), "{played}");
    let other = auditor.path().join("other.pem");
    run(Command::new(hoop_testkit::binary("hoop")).args(["audit", "keygen", "--out"]).arg(&other));
    let said = refused(&world, &["sessions", "replay", &id, "--key", text(&other)]);
    assert!(said.contains("HOOP-1018") && !said.contains("seen by the auditor"), "{said}");

    // Offline, in every form.
    let file = auditor.path().join("session.hoopr");
    run(&mut as_admin(&world, &["sessions", "export", &id, "-f", "raw", "-o", text(&file)]));
    world.stop_gateway();
    for (form, expected) in [
        ("text", "seen by the auditor"),
        ("jsonl", "seen by the auditor"),
        ("asciicast", "seen by the auditor"),
        ("sql", "'seen by the '"),
    ] {
        let out = auditor.path().join(form);
        let mut decrypt =
            as_admin(&world, &["audit", "decrypt", text(&file), "--key", text(&key), "-f", form]);
        let shown = run(&mut decrypt);
        assert!(shown.contains(expected), "{form}: {shown}");
        run(decrypt.args(["-o", text(&out)]));
        assert_eq!(fs::read_to_string(&out).unwrap(), shown);
    }
    // What stands before a damaged place is shown, and the damage is told.
    let mut bytes = fs::read(&file).unwrap();
    let end = bytes.len() - 40;
    bytes[end] ^= 1;
    fs::write(&file, bytes).unwrap();
    let said = refused(&world, &["audit", "decrypt", text(&file), "--key", text(&key)]);
    assert!(said.contains("HOOP-1018"), "{said}");
}

#[test]
fn a_key_can_be_handed_to_the_auditor_and_rotated_there() {
    let auditor = tempfile::tempdir().unwrap();
    let mut world = World::start();
    let first = session_with(&world, "select 'while the gateway ' || 'could read'");
    // The key leaves the gateway: only its public half stays.
    let (here, key) =
        (world.folder.path().join("gateway/keys/recording.pem"), auditor.path().join("first.pem"));
    let public = auditor.path().join("first.pub.pem");
    let pem = keys(&world)["keys"][0]["public_pem"].as_str().unwrap().to_owned();
    fs::write(&public, pem).unwrap();
    fs::rename(&here, &key).unwrap();
    let settings = |public: &Path| {
        vec![
            ("HOOP_GATEWAY_KEYS_RECORDING", "public".to_owned()),
            ("HOOP_GATEWAY_KEYS_RECORDING_PUBLIC_FILE", text(public).to_owned()),
        ]
    };
    restart(&mut world, settings(&public));
    assert_eq!(events(&world, "recording_key.moved").len(), 1);
    assert!(refused(&world, &["sessions", "replay", &first]).contains("HOOP-6030"));
    let read = |world: &World, session: &str, key: &Path| {
        run(&mut as_admin(world, &["sessions", "replay", session, "--no-wait", "--key", text(key)]))
    };
    assert!(read(&world, &first, &key).contains("while the gateway could read"));
    assert!(refused(&world, &["admin", "keys", "rotate"]).contains("HOOP-6034"));
    // The auditor's next key.
    let next = auditor.path().join("next.pem");
    run(Command::new(hoop_testkit::binary("hoop")).args(["audit", "keygen", "--out"]).arg(&next));
    restart(&mut world, settings(&auditor.path().join("next.pub.pem")));
    world.json(&world.admin, &["admin", "keys", "rotate"]);
    let second = session_with(&world, "select 'for the next ' || 'key'");
    assert!(read(&world, &second, &next).contains("for the next key"));
    assert!(read(&world, &first, &key).contains("while the gateway could read"));
    let needed = keys(&world)["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|key| key["recordings"].clone())
        .collect::<Vec<_>>();
    assert_eq!(needed, [json!(1), json!(1)]);
}
