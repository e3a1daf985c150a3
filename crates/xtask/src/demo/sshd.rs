//! A private OpenSSH server: own keys, own port on 127.0.0.1. It lets in the user who runs the demo, by a key that the agent has.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::state::{State, write_secret};
use crate::{
    packages,
    process::{self, Process},
    shell::{self, say},
};

/// Where its files are.
fn folder(state: &State) -> PathBuf {
    state.folder.join("sshd")
}

/// The private key with which the agent logs in; it lies where the agent may read.
pub(crate) fn user_key(state: &State) -> PathBuf {
    state.folder.join("agent/demo_host.key")
}

/// Starts it, if it does not run.
pub(super) fn start(state: &mut State) -> Result<()> {
    if state.running.sshd.is_some_and(Process::alive) {
        return Ok(());
    }
    if state.ports.ssh == 0 {
        // A demo of a version without hosts.
        state.ports.ssh = process::free_port()?;
        state.save()?;
    }
    let port = state.ports.ssh;
    if process::listens(port) {
        bail!(
            "port {port}, which this demo's sshd uses, is taken by another program: end that, or use --fresh"
        );
    }
    say(format!("starting an OpenSSH server on 127.0.0.1:{port}"));
    let config = configure(state)?;
    let log = state.log("sshd");
    let mut command = Command::new(packages::SSHD);
    command.args(["-D", "-e", "-f"]).arg(config);
    let sshd = process::start_detached(&command, &log)?;
    state.running.sshd = Some(sshd);
    state.save()?;
    process::wait_ready("the OpenSSH server", sshd, &log, Duration::from_secs(15), || process::listens(port))
}

fn configure(state: &State) -> Result<PathBuf> {
    let folder = folder(state);
    fs::create_dir_all(&folder)?;
    if shell::is_root() {
        // Where it cuts its rights down; Debian's own unit would make it.
        fs::create_dir_all("/run/sshd").context("/run/sshd")?;
    }
    let (host, user) = (folder.join("host_key"), user_key(state));
    for key in [&host, &user] {
        make_key(key)?;
    }
    fs::copy(public(&user), folder.join("authorized_keys"))?;
    let at = |path: &Path| path.display().to_string();
    let config = format!(
        "# Written by `cargo xtask demo` at every start.\nListenAddress 127.0.0.1\nPort {}\nHostKey {}\n\
         AuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n\
         KbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nAllowTcpForwarding no\n\
         AcceptEnv LANG LC_* GIT_PROTOCOL\nPrintMotd no\nSubsystem sftp internal-sftp\n",
        state.ports.ssh,
        at(&host),
        at(&folder.join("authorized_keys")),
    );
    let file = folder.join("sshd_config");
    write_secret(&file, &config)?;
    Ok(file)
}

fn public(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".pub");
    name.into()
}

fn make_key(path: &Path) -> Result<()> {
    if path.is_file() {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut keygen = Command::new("ssh-keygen");
    shell::run(keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", "hoop-demo", "-f"]).arg(path))
}

/// The connection's definition.
pub(super) fn definition(state: &State, agent: &str) -> Result<Value> {
    let key = fs::read_to_string(folder(state).join("host_key.pub")).context("the host's key")?;
    let pin: Vec<&str> = key.split_whitespace().take(2).collect();
    let user = shell::capture(Command::new("id").arg("-un"))?;
    Ok(json!({
        "agent": agent,
        "protocol": "ssh",
        "description": "This machine, by an OpenSSH server of its own",
        "labels": {"app": "clinic-host"},
        "settings": {
            "host": "127.0.0.1",
            "port": state.ports.ssh,
            "user": user.trim(),
            "private_key": format!("file:{}", user_key(state).display()),
            "host_keys": [pin.join(" ")],
        },
    }))
}
