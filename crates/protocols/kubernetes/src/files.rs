//! Files that `kubectl cp` moves: it runs `tar` in the container, and what passes is an archive. Each file is told with path, bytes and
//! SHA-256, as it passes.

mod tar;

use hoop_hosted::{content::Transfer, files::Files};

use self::tar::{Tar, Way};
use crate::fault;

/// If the command is what `kubectl cp` and `oc rsync` run: an archive on one of its streams.
pub(crate) fn of(command: &[String], copies: u64) -> Option<Files> {
    let tar = Tar::new(Way::of(command)?, copies);
    let client = fault::client_stream("what it sends to tar is no archive");
    Some(Files::new(Box::new(tar), client, fault::cluster_stream("what tar answers is no archive")))
}

/// One from a container, for fuzzers.
pub(crate) fn download() -> Box<dyn Transfer> {
    Box::new(Tar::new(Way::Down, 0))
}
