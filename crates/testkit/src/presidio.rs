//! Presidio's analyzer, from PyPI, behind HTTP: the external detector of tests.

use std::{fs, path::Path, process::Command};

use crate::{
    daemon::{Daemon, wait_until},
    python::presidio_packages,
};

const SCRIPT: &str = include_str!("presidio.py");

/// The analyzer, with its recognizers that need no language model.
#[derive(Debug)]
pub struct Presidio {
    daemon: Daemon,
    /// Its address.
    pub url: String,
}

impl Presidio {
    /// Starts it.
    pub fn start(folder: &Path) -> Self {
        let script = folder.join("presidio.py");
        fs::write(&script, SCRIPT).unwrap();
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", presidio_packages()).arg(&script);
        let daemon = Daemon::start("presidio", folder, &mut python);
        let port = wait_until("the analyzer's port", || {
            Some(daemon.log().split("ready on ").nth(1)?.split(' ').next()?.to_owned())
        });
        Self { daemon, url: format!("http://127.0.0.1:{port}") }
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }
}
