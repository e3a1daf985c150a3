//! SSH through hoop: the real OpenSSH client, a real OpenSSH server, and everything between them ours.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use hoop_testkit::{Sshd, World};
use serde_json::json;

/// A world with a host in it.
fn hospital() -> (World, Sshd) {
    let (world, sshd) = (World::start(), Sshd::start());
    world.put_host("web", &sshd, json!({}));
    (world, sshd)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Output, complaints, exit code.
fn done(command: &mut Command) -> (String, String, Option<i32>) {
    let done = command.output().unwrap();
    (text(&done.stdout), text(&done.stderr), done.status.code())
}

#[test]
fn a_command_has_its_own_streams_and_exit_code() {
    let (world, _sshd) = hospital();
    let (out, err, code) = done(&mut world.ssh(&["web", "echo out; echo err >&2; exit 7"]));
    assert_eq!((out.as_str(), err.as_str(), code), ("out\n", "err\n", Some(7)));
}
