//! A command line that waits for somebody at a browser.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, ChildStderr, Command, Stdio},
};

use crate::{World, binary};

/// `hoop login`, or another command, that waits for a browser.
#[derive(Debug)]
pub struct LoginWaiting {
    child: Child,
    lines: BufReader<ChildStderr>,
    told: String,
}

impl LoginWaiting {
    /// `how`: `--device` or `--no-browser`.
    pub fn start(world: &World, profile: &str, how: &str) -> Self {
        let ca = world.folder.path().join("gateway-ca.pem");
        let mut login = Command::new(binary("hoop"));
        login
            .env("HOOP_CONFIG_DIR", world.folder.path().join("profiles").join(profile))
            .env_remove("HTTPS_PROXY")
            .args(["login", &format!("https://localhost:{}", world.port), how, "--ca"])
            .arg(ca);
        Self::of(&mut login)
    }

    /// Any command.
    pub fn of(command: &mut Command) -> Self {
        let mut child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Self { child, lines, told: String::new() }
    }

    /// What stands behind a word on a line of its messages.
    pub fn after(&mut self, word: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(
                self.lines.read_line(&mut line).unwrap(),
                0,
                "it ended without saying {word}: {}",
                self.told
            );
            self.told.push_str(&line);
            if let Some(rest) = line.trim().strip_prefix(word) {
                return format!("{word}{rest}");
            }
        }
    }

    /// Its exit code, and all that it said.
    pub fn finish(mut self) -> (Option<i32>, String) {
        let status = self.child.wait().unwrap();
        self.lines.read_to_string(&mut self.told).unwrap();
        (status.code(), self.told)
    }
}
