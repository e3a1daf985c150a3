//! How hoop is let in by hosts, and how their keys come to be known.

use std::process::Command;

use hoop_testkit::{Sshd, World, WorldOptions, chat, run, wait_until};
use serde_json::json;

use super::{done, events, hospital, of_kind};

/// A host that takes users from its authority, and no other way; and a connection with these settings of certificates.
fn certified(settings: serde_json::Value) -> (World, Sshd) {
    let sshd = Sshd::taking_certificates();
    let world = World::start();
    put(&world, &sshd, settings);
    (world, sshd)
}

fn put(world: &World, sshd: &Sshd, mut settings: serde_json::Value) {
    settings["user_authority"] = format!("file:{}", sshd.authority().display()).into();
    settings["private_key"] = serde_json::Value::Null;
    world.put_host("web", sshd, json!({ "settings": settings }));
}

#[test]
fn a_certificate_for_one_log_in_lets_in_and_names_the_person_to_the_host() {
    let (world, sshd) = certified(json!({}));
    let (out, err, code) = done(&mut world.ssh(&["web", "echo in"]));
    assert_eq!((out.as_str(), code), ("in\n", Some(0)), "{err}");
    let session = world.ended_session()["id"].as_str().unwrap().to_owned();
    let accepted = format!("ID \"hoop person={} session={session}\"", world.engineer.name);
    assert!(sshd.log().contains(&accepted), "{}", sshd.log());
    // A terminal is part of it, a forward is not unless the rule has it: the host itself would refuse one.
    let (out, err, _) = done(&mut world.ssh(&["-tt", "web", "tty"]));
    assert!(out.contains("/dev/pts/"), "{out}{err}");
    run(world.hoop(&world.admin).args(["admin", "connections", "test", "web"]));
}

#[test]
fn a_certificate_is_good_for_its_principals_and_addresses_alone() {
    let (world, sshd) = certified(json!({"principals": ["nobody-of-that-name"]}));
    let (_, err, code) = done(&mut world.ssh(&["web", "echo in"]));
    assert!(err.contains("HOOP-5032") && code == Some(255), "{err}");
    put(&world, &sshd, json!({"source_addresses": ["192.0.2.0/24"]}));
    let (_, err, code) = done(&mut world.ssh(&["web", "echo in"]));
    assert!(err.contains("HOOP-5032") && code == Some(255), "{err}");
    put(&world, &sshd, json!({"source_addresses": ["192.0.2.0/24", "127.0.0.0/8"]}));
    assert_eq!(done(&mut world.ssh(&["web", "echo in"])).0, "in\n");
}

/// RFC 8332. A host that takes nothing else is told nothing that SHA-1 could forge.
#[test]
fn an_rsa_key_signs_with_sha_2_or_not_at_all() {
    let world = World::start();
    let lines = "AuthorizedKeysFile {folder}/rsa.pub";
    let [modern, old] =
        ["", "\nPubkeyAcceptedAlgorithms ssh-rsa"].map(|more| Sshd::with(&format!("{lines}{more}")));
    let came = |sshd: &Sshd| {
        let key = sshd.folder().join("rsa");
        run(Command::new("ssh-keygen").args(["-q", "-t", "rsa", "-N", "", "-f"]).arg(&key));
        let private_key = format!("file:{}", key.display());
        world.put_host("web", sshd, json!({ "settings": { "private_key": private_key } }));
        done(&mut world.ssh(&["web", "echo in"]))
    };
    assert_eq!(came(&modern).0, "in\n");
    assert!(modern.log().contains("publickey for"), "{}", modern.log());
    let (out, err, code) = came(&old);
    assert!(out.is_empty() && err.contains("HOOP-5032") && code == Some(255), "{out}{err}");
    assert!(old.log().contains("signature algorithm rsa-sha2-"), "{}", old.log());
    // By the signature that it was not given, it lets in.
    let (port, user) = (old.port.to_string(), old.user());
    let mut plain = Command::new("ssh");
    let options = "-F none -oBatchMode=yes -oStrictHostKeyChecking=no -oUserKnownHostsFile=/dev/null";
    plain.args(options.split(' ')).args(["-oPubkeyAcceptedAlgorithms=ssh-rsa", "-p", &port, "-l", &user]);
    plain.arg("-i").arg(old.folder().join("rsa"));
    assert_eq!(done(plain.args(["127.0.0.1", "echo in"])).0, "in\n");
}

/// Nobody is trusted unseen: an admin is told what the host shows, compares, and pins it.
#[test]
fn a_hosts_key_is_learned_by_an_admins_act_and_not_before() {
    let (world, sshd) = hospital();
    world.put_host("web", &sshd, json!({"settings": {"host_keys": []}}));
    let (out, err, code) = done(&mut world.ssh(&["web", "echo in"]));
    assert!(out.is_empty() && err.contains("HOOP-5042") && code == Some(255), "{err}");
    assert!(!sshd.log().contains("publickey"), "it was told who comes: {}", sshd.log());
    let (out, err, _) = done(world.hoop(&world.admin).args(["admin", "connections", "test", "web"]));
    let told = out + &err;
    let (_, behind) = told.split_once('`').unwrap_or_else(|| panic!("{told}"));
    let (shown, _) = behind.split_once('`').unwrap();
    assert_eq!(shown, sshd.host_key());
    world.put_host("web", &sshd, json!({"settings": {"host_keys": [shown]}}));
    assert_eq!(done(&mut world.ssh(&["web", "echo in"])).0, "in\n");
}

/// THREATS B9: the session ends for it, the ledger says why, and somebody is told.
#[test]
fn another_key_ends_the_whole_session_and_raises_an_alarm() {
    let (lines, heard) = chat();
    let (world, mut sshd) =
        (World::with(WorldOptions { gateway: lines, ..WorldOptions::default() }), Sshd::start());
    world.put_host("web", &sshd, json!({}));
    sshd.swap_key();
    let (_, err, code) = done(&mut world.ssh(&["web", "true"]));
    assert!(err.contains("HOOP-5031") && code == Some(255), "{err}");
    assert_eq!(of_kind(&events(&world), "failed")[0]["code"], "HOOP-5031");
    let alarm = "web shows another host key than the one that is known";
    wait_until("the alarm", || heard.lock().unwrap().contains(alarm).then_some(()));
}
