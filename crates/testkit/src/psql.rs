//! psql through hoop, typed into line by line.

use std::{
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Stdio},
};

use crate::World;

/// psql that goes on until it is told to end.
#[derive(Debug)]
pub struct Psql {
    pub child: Child,
    pub input: ChildStdin,
    pub output: BufReader<ChildStdout>,
}

impl Psql {
    pub fn start(world: &World) -> Self {
        let mut command = world.through(&["psql", "-X", "-q", "-A", "-t"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Self { child, input, output }
    }

    /// Types a line, and does not wait.
    pub fn say(&mut self, sql: &str) {
        writeln!(self.input, "{sql}").unwrap();
    }

    /// The next line that it prints.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// One statement with one line of answer.
    pub fn ask(&mut self, sql: &str) -> String {
        self.say(sql);
        self.hear()
    }

    /// The same; nothing when the session is over.
    pub fn try_ask(&mut self, sql: &str) -> Option<String> {
        writeln!(self.input, "{sql}").ok()?;
        let mut line = String::new();
        let count = self.output.read_line(&mut line).ok()?;
        (count > 0).then(|| line.trim_end().to_owned())
    }

    /// Says good-bye.
    pub fn finish(mut self) {
        self.say("\\q");
        assert!(self.child.wait().unwrap().success());
    }

    /// What it said on standard error until it ended.
    pub fn last_words(mut self) -> String {
        drop(self.input);
        let mut text = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        self.child.wait().unwrap();
        text
    }
}
