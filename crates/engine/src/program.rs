//! A program on the agent's own machine, as a hosted engine asks for it and gets it. How it is started is its host's matter.

use bytes::Bytes;
use hoop_model::Fault;

use crate::hosted::{ByteStream, Doing};

/// What is to run, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramOrder {
    /// The account of the machine that it runs as.
    pub user: String,
    /// What it is.
    pub run: Run,
    /// Where it begins; by default the account's own folder.
    pub folder: Option<String>,
    /// Variables beside those that the account brings.
    pub variables: Vec<(String, String)>,
    /// Its terminal; without one it has three streams.
    pub terminal: Option<TerminalOrder>,
    /// It may become somebody else, by programs like `sudo`.
    pub may_gain: bool,
}

/// What a program is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Run {
    /// The account's shell, as at a log-in.
    Shell,
    /// A text that the account's shell reads.
    Text(Bytes),
    /// A program and its arguments; no shell reads them.
    Words(Vec<String>),
}

/// The terminal that a program gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TerminalOrder {
    /// Its kind, as `TERM` names it.
    pub name: String,
    /// Its size.
    pub size: TerminalSize,
}

/// How large a terminal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TerminalSize {
    /// Characters beside each other.
    pub columns: u32,
    /// Lines.
    pub rows: u32,
    /// The same in pixels, or zeros.
    pub pixels: (u32, u32),
}

/// A program that runs. Dropping `reins` ends it, with all that it started.
pub struct Program {
    /// What it reads.
    pub input: Box<dyn ByteStream>,
    /// What it writes; all of it, if it has a terminal.
    pub output: Box<dyn ByteStream>,
    /// What it writes to standard error, if it has no terminal.
    pub errors: Option<Box<dyn ByteStream>>,
    /// Holds it.
    pub reins: Box<dyn Reins>,
    /// Waits for its end.
    pub end: Doing<Result<ProgramEnd, Fault>>,
}

/// What is asked of a program that runs. What is said to one that has ended does nothing.
pub trait Reins: Send + Sync {
    /// Sends a signal, by its name without `SIG`, to the program's group of processes. Unknown ones are not sent.
    fn signal(&self, name: &str);

    /// Its terminal, if it has one, has another size.
    fn resize(&self, size: TerminalSize);
}

/// How a program ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProgramEnd {
    /// By itself, or by what.
    pub how: Ended,
    /// Processes that it left running, and that were ended with it.
    pub left: u32,
}

/// See [`ProgramEnd::how`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It said so.
    Status(u32),
    /// By a signal, named without `SIG`.
    Signal {
        /// Its name, or its number.
        name: String,
        /// It left an image of its memory.
        core_dumped: bool,
    },
}
