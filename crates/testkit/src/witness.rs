//! A witness of the ledger, written in another language and sharing no code with ours. It ends when it is dropped.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Stdio},
};

use crate::python::cryptography;

const SCRIPT: &str = include_str!("witness.py");

/// The witness.
#[derive(Debug)]
pub struct Witness {
    pub url: String,
    pub key: String,
    child: Child,
}

impl Witness {
    /// Starts it with its state in a file, for logs by their verifier keys. With the same file it remembers.
    pub fn start(state: &Path, name: &str, logs: &[String]) -> Self {
        let mut child = cryptography(SCRIPT)
            .arg(state)
            .arg(name)
            .args(logs)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is installed");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let text = |name: &str| {
            let after = line.split(&format!("\"{name}\": \"")).nth(1).expect("it tells where it is");
            after.split('"').next().unwrap().to_owned()
        };
        Self { url: text("url"), key: text("key"), child }
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
