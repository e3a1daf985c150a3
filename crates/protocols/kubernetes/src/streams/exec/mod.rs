//! `exec` and `attach`: what a client says to a container, and what that answers.

mod client;
mod cluster;

use std::future::pending;

use bytes::Bytes;

use super::{
    StreamError,
    pipe::{In, Out},
};

pub use client::{ClientExec, FromClient, ToClient, client_exec};
pub use cluster::{ClusterExec, FromCluster, ToCluster, cluster_exec};

/// Streams of one command, and some that nobody asked for.
const MOST_STREAMS: usize = 8;
/// Channels of WebSocket messages: stdin, stdout, stderr, status, sizes.
const CHANNELS: usize = 5;

/// What the query of the request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// `stdin`
    pub stdin: bool,
    /// `stdout`
    pub stdout: bool,
    /// `stderr`; a terminal has none of its own.
    pub stderr: bool,
    /// `tty`
    pub tty: bool,
}

impl Asked {
    /// What these names and values of a query ask for, once they are decoded. API servers take the first value of each name, and any
    /// but `0` and `false` for yes (`Convert_Slice_string_To_bool` in `k8s.io/apimachinery/pkg/runtime`).
    pub fn of<'a>(query: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let names = ["stdin", "stdout", "stderr", "tty"];
        let mut values = [None; 4];
        for (name, value) in query {
            if let Some((_, first)) = names.iter().zip(&mut values).find(|(known, _)| **known == name) {
                first.get_or_insert(!(value == "0" || value.eq_ignore_ascii_case("false")));
            }
        }
        let [stdin, stdout, stderr, tty] = values.map(|value| value.unwrap_or(false));
        Self { stdin, stdout, stderr, tty }
    }

    fn has_stderr(self) -> bool {
        self.stderr && !self.tty
    }
}

/// From a client to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToPod {
    /// Input.
    Stdin(Bytes),
    /// No more input.
    StdinEnd,
    /// The terminal has this size now.
    Resize {
        /// Its width.
        columns: u16,
        /// Its height.
        rows: u16,
    },
}

/// From a container to a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromPod {
    /// Output.
    Stdout(Bytes),
    /// Output about errors.
    Stderr(Bytes),
    /// How it ended: JSON of a `v1.Status`. The last of all.
    Status(Bytes),
}

async fn next_of(input: &mut Option<In>) -> Result<Option<Bytes>, StreamError> {
    match input {
        Some(input) => input.next().await,
        None => pending().await,
    }
}

async fn say(output: &mut Option<Out>, data: Bytes) -> Result<(), StreamError> {
    match output {
        Some(output) => output.send(data).await,
        None => Ok(()),
    }
}
