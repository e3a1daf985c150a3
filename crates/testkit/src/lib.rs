//! Real parts for tests: servers from the system, our own daemons as processes, and a proxy that misbehaves.
//!
//! Everything here is a process or a thread of its own, ends when it is dropped, and panics with the reason when it
//! cannot start: a missing part fails a test, it never skips one. A dev-dependency only.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a test fails by panicking, and names here speak for themselves"
)]

#[cfg(feature = "authenticator")]
pub mod authenticator;
#[cfg(feature = "world")]
mod browser;
mod chat;
#[cfg(feature = "world")]
mod cluster;
mod cutter;
mod daemon;
mod disk;
#[cfg(feature = "world")]
mod key_services;
#[cfg(feature = "world")]
mod login;
#[cfg(feature = "world")]
mod node;
#[cfg(feature = "world")]
mod object_store;
mod postgres;
#[cfg(feature = "world")]
mod presidio;
#[cfg(feature = "world")]
mod provider;
#[cfg(feature = "world")]
mod psql;
mod python;
mod sshd;
mod witness;
#[cfg(feature = "world")]
mod world;

#[cfg(feature = "world")]
pub use browser::{Browser, Reply};
pub use chat::chat;
#[cfg(feature = "world")]
pub use cluster::Cluster;
pub use cutter::Cutter;
pub use daemon::{Daemon, SOON, binary, connections_to, free_port, resident, wait_until};
pub use disk::SmallDisk;
#[cfg(feature = "world")]
pub use key_services::{KeyServices, Moto};
#[cfg(feature = "world")]
pub use login::LoginWaiting;
#[cfg(feature = "world")]
pub use node::node_packages;
#[cfg(feature = "world")]
pub use object_store::ObjectStore;
pub use postgres::{PASSWORD, Postgres, PostgresOptions, certificates, program};
#[cfg(feature = "world")]
pub use presidio::Presidio;
#[cfg(feature = "world")]
pub use provider::Provider;
#[cfg(feature = "world")]
pub use psql::Psql;
pub use python::{
    ansible, asyncpg_packages, asyncssh, helm, kubernetes, libpq18, libpq18_packages, mail_server,
    newest_kubectl, paramiko, psql18,
};
pub use sshd::{Sshd, ssh_key};
pub use witness::Witness;
#[cfg(feature = "world")]
pub use world::{Person, World, WorldOptions, totp_ahead, totp_now};

/// Runs a command to its end; what it printed, or a panic with all of it.
pub fn run(command: &mut std::process::Command) -> String {
    let done = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{command:?} ended with {}\n{out}\n{err}", done.status);
    out.into_owned()
}

/// The same with a text on standard input.
pub fn run_with_input(command: &mut std::process::Command, input: &str) -> String {
    fed(command, input).0
}

/// The same, and what it printed includes its complaints.
pub fn run_for_all(command: &mut std::process::Command, input: &str) -> String {
    let (out, err) = fed(command, input);
    out + &err
}

fn fed(command: &mut std::process::Command, input: &str) -> (String, String) {
    use std::{io::Write, process::Stdio};
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    // A writer of its own: a command that answers before it has read everything must not stand still.
    let writer = std::thread::spawn(move || {
        let _ = stdin.write_all(input.as_bytes());
    });
    let done = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{command:?} ended with {}\n{out}\n{err}", done.status);
    (out.into_owned(), err.into_owned())
}
