//! A real Kubernetes of one node on loopback: `lab/kubernetes/node` installs, starts and ends it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    process,
    shell::{self, say},
};

/// A node that runs until it is ended.
pub(crate) struct Node {
    folder: PathBuf,
    port: u16,
}

fn script(words: &[&str]) -> Result<Command> {
    let script = shell::root()?.join("lab/kubernetes/node");
    let mut command = if shell::is_root() {
        Command::new(script)
    } else {
        let mut sudo = Command::new("sudo");
        sudo.arg("--preserve-env=LAB_STATE,LAB_PORT,LAB_CACHE").arg(script);
        sudo
    };
    command.args(words);
    Ok(command)
}

/// Puts its parts on this machine. The API server and the kubelet are built from Debian's sources, once.
pub(crate) fn install() -> Result<()> {
    say("Kubernetes: installing what a node needs; the first time it is built, which takes some minutes");
    shell::run(&mut script(&["install"])?)
}

impl Node {
    /// One that keeps its state in this folder.
    pub(crate) fn at(folder: &Path, port: u16) -> Self {
        Self { folder: folder.to_owned(), port }
    }

    /// One of its own for whoever asks: its folder is short, because sockets stand in it.
    pub(crate) fn fresh(name: &str) -> Result<Self> {
        Ok(Self::at(&Path::new("/run/hoop-lab").join(name), three_free_ports()?))
    }

    /// The folder with `admin.kubeconfig` and `pki/`.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// For its admin.
    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.folder.join("admin.kubeconfig")
    }

    fn run(&self, words: &[&str]) -> Result<()> {
        let mut command = script(words)?;
        command.env("LAB_STATE", &self.folder).env("LAB_PORT", self.port.to_string());
        shell::capture(&mut command).map(drop)
    }

    /// Starts it, if it does not run; it has a pod `shell` then.
    pub(crate) fn start(&self) -> Result<()> {
        say(format!("starting a Kubernetes node on 127.0.0.1:{}", self.port));
        self.run(&["up"]).context("the Kubernetes node does not start")
    }

    /// Ends it and whatever runs on it; its state is gone then.
    pub(crate) fn stop(&self) -> Result<()> {
        self.run(&["down"]).context("the Kubernetes node does not end")
    }
}

/// The first of three in a row: API server, etcd, kubelet.
pub(crate) fn three_free_ports() -> Result<u16> {
    process::free_ports(3)
}
