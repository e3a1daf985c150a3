//! The ways in, and that none of them takes any key for the host's.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use hoop_testkit::run;
use serde_json::Value;

use super::{Running, done, hospital};

#[test]
fn plain_ssh_works_by_the_written_configuration_and_asks_nobody() {
    let (world, _sshd) = hospital();
    let told = run(world.hoop(&world.engineer).arg("ssh-config"));
    assert!(told.contains("for 1 connections"), "{told}");
    let config = world.engineer.profile.join("ssh/config");
    let written = std::fs::read_to_string(&config).unwrap();
    assert!(written.contains("StrictHostKeyChecking yes") && !written.contains("Host pg"), "{written}");
    for name in ["web", "web.hoop"] {
        let mut ssh = Command::new("ssh");
        ssh.arg("-F").arg(&config).env("HOOP_CONFIG_DIR", &world.engineer.profile).stdin(Stdio::null());
        assert_eq!(done(ssh.args([name, "echo plain"])), ("plain\n".into(), String::new(), Some(0)));
    }
    let known = std::fs::read_to_string(world.engineer.profile.join("ssh/known_hosts")).unwrap();
    assert_eq!(known, "", "keys of sessions that are over stay known");
}

#[test]
fn a_local_port_has_a_key_of_its_session() {
    let (world, _sshd) = hospital();
    let mut command = world.hoop(&world.engineer);
    let mut hoop = Running::start(command.args(["connect", "web", "-o", "json"]));
    let mut line = String::new();
    BufReader::new(hoop.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let shown: Value = serde_json::from_str(&line).unwrap();
    let form = shown["forms"]["ssh"].as_str().unwrap().to_owned();
    let typed = |form: &str, command: &str| {
        done(
            Command::new("sh")
                .args(["-c", &format!("{form} {command}")])
                .stdin(Stdio::null())
                .env("HOME", "/"),
        )
    };
    assert_eq!(typed(&form, "echo by port"), ("by port\n".into(), String::new(), Some(0)));
    // With another session's key nobody gets in.
    let known = world.engineer.profile.join("ssh/known_hosts");
    let text = std::fs::read_to_string(&known).unwrap();
    let other = world.folder.path().join("other");
    std::fs::write(
        &other,
        text.replace("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAJ"),
    )
    .unwrap();
    let form = form.replace(&known.display().to_string(), &other.display().to_string());
    let (out, err, code) = typed(&form, "echo by port");
    assert!(out.is_empty() && code == Some(255) && err.contains("verification failed"), "{out} {err}");
}

#[test]
fn what_cannot_be_opened_is_told_by_hoop() {
    let (world, _sshd) = hospital();
    let (_, err, code) = done(&mut world.ssh(&["nowhere", "true"]));
    assert!(err.contains("HOOP-") && code == Some(255), "{err}");
    let (_, err, code) = done(&mut world.ssh(&["web;id"]));
    assert!(err.contains("HOOP-1015") && code == Some(2), "{err}");
}

#[test]
fn an_admin_tries_a_connection_to_a_host() {
    let (world, mut sshd) = hospital();
    let tried = || {
        let mut test = world.hoop(&world.admin);
        let (out, err, code) = done(test.args(["admin", "connections", "test", "web", "-o", "json"]));
        let answer: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{err}"));
        (answer, code)
    };
    let (good, code) = tried();
    assert_eq!((&good["ok"], code), (&true.into(), Some(0)), "{good}");
    assert!(good["server_version"].as_str().unwrap().starts_with("SSH-2.0-OpenSSH"), "{good}");
    sshd.swap_key();
    let (bad, code) = tried();
    assert_eq!(
        (&bad["problem"]["code"], &bad["failed_step"]),
        (&"HOOP-5031".into(), &"log in".into()),
        "{bad}"
    );
    assert_ne!(code, Some(0));
}
