//! What OpenSSH needs to know of sessions: which key the agent will show, in a `known_hosts` of ours.
//!
//! Each session's agent has a key of its own, derived from what only the session's two ends and the gateway know. Whoever opens
//! a session writes that key down before the first byte goes through, and takes it away at the end. So `ssh` is never asked to
//! trust something by itself, and never asks a person.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoop_model::{ConnectionName, SessionId, Timestamp};
use hoop_tunnel::ticket::SessionSecret;

use crate::{
    error::{ClientError, Result},
    profile::{ProfileStore, write_private},
};

const KIND: &[u8] = b"ssh-ed25519";
/// A line that its writer did not take away (it was killed) goes after so long. No session lives longer.
const STALE_SECONDS: i64 = 8 * 24 * 60 * 60;
/// Lines kept, newest first.
const MOST: usize = 2_000;

/// The public key that a session's agent shows, as `known_hosts` has it.
///
/// # Errors
/// When the cryptography cannot be used.
pub fn host_key(secret: &SessionSecret) -> Result<String> {
    let seed = secret.stream_key();
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.expose())
        .map_err(|_| ClientError::own("HOOP-9001", "the session's host key cannot be derived"))?;
    let public = pair.public_key().as_ref();
    let mut blob = Vec::with_capacity(4 + KIND.len() + 4 + public.len());
    for part in [KIND, public] {
        blob.extend_from_slice(&u32::try_from(part.len()).unwrap_or_default().to_be_bytes());
        blob.extend_from_slice(part);
    }
    Ok(format!("ssh-ed25519 {}", STANDARD.encode(blob)))
}

/// The name under which a connection's key stands in `known_hosts`: no host has it.
#[must_use]
pub fn alias(connection: &ConnectionName) -> String {
    format!("{connection}.hoop")
}

/// The file of keys.
#[derive(Debug, Clone)]
pub struct KnownHosts {
    store: ProfileStore,
    folder: PathBuf,
}

/// A line of it, taken away when dropped.
#[derive(Debug)]
pub struct KnownHost {
    hosts: KnownHosts,
    line: String,
}

impl KnownHosts {
    /// In the profile's folder.
    #[must_use]
    pub fn of(store: ProfileStore) -> Self {
        let folder = store.folder().join("ssh");
        Self { store, folder }
    }

    /// The folder for what OpenSSH reads.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    /// Writes a session's key down, for as long as the answer lives. Blocks for a moment.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(
        &self,
        connection: &ConnectionName,
        session: SessionId,
        key: &str,
        now: Timestamp,
    ) -> Result<KnownHost> {
        let line = format!("{} {key} hoop:{session}:{}", alias(connection), now.as_seconds());
        self.change(|lines| {
            lines.retain(|line| !is_stale(line, now));
            lines.truncate(MOST - 1);
            lines.insert(0, line.clone());
        })?;
        Ok(KnownHost { hosts: self.clone(), line })
    }

    fn change(&self, change: impl FnOnce(&mut Vec<String>)) -> Result<()> {
        let _lock = self.store.lock()?;
        let failed = |error: io::Error| {
            ClientError::own("HOOP-1016", format!("{} cannot be written: {error}", self.file().display()))
        };
        fs::create_dir_all(&self.folder).map_err(failed)?;
        let text = match fs::read_to_string(self.file()) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(failed(error)),
        };
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        change(&mut lines);
        let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
        let fresh = self.folder.join(format!("known_hosts.{}", std::process::id()));
        write_private(&fresh, text.as_bytes()).and_then(|()| fs::rename(&fresh, self.file())).map_err(failed)
    }
}

/// Also what has not our form: the file is ours.
fn is_stale(line: &str, now: Timestamp) -> bool {
    let written = line.rsplit_once(':').and_then(|(_, seconds)| seconds.parse::<i64>().ok());
    written.is_none_or(|written| now.as_seconds().saturating_sub(written) > STALE_SECONDS)
}

impl KnownHost {
    /// The file that it stands in.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.hosts.file()
    }
}

impl Drop for KnownHost {
    fn drop(&mut self) {
        let gone = self.hosts.change(|lines| lines.retain(|line| *line != self.line));
        if let Err(error) = gone {
            tracing::debug!(%error, "a session's host key stays in known_hosts until it is stale");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn add(hosts: &KnownHosts, name: &str, now: Timestamp) -> KnownHost {
        let name = ConnectionName::new(name).unwrap();
        hosts.add(&name, SessionId::generate(), "ssh-ed25519 AAAA", now).unwrap()
    }

    #[test]
    fn a_line_lives_as_long_as_its_session() {
        let folder = tempfile::tempdir().unwrap();
        let hosts = KnownHosts::of(ProfileStore::at(folder.path().join("profile")));
        let read = || fs::read_to_string(hosts.file()).unwrap();
        let (first, second) = (add(&hosts, "web", NOW), add(&hosts, "web", NOW));
        assert_eq!(read().lines().filter(|line| line.starts_with("web.hoop ssh-ed25519 AAAA")).count(), 2);
        drop(first);
        assert_eq!(read().lines().count(), 1);
        std::mem::forget(second);
        let later = NOW.after(std::time::Duration::from_secs(9 * 24 * 60 * 60));
        let _third = add(&hosts, "db", later);
        assert!(read().starts_with("db.hoop ") && read().lines().count() == 1, "{}", read());
    }

    /// The agent derives the same key with another library: its test has the same line.
    #[test]
    fn the_key_is_the_one_that_the_agent_derives() {
        let key = host_key(&SessionSecret::from_bytes([7; 32])).unwrap();
        assert_eq!(key, EXPECTED);
    }

    const EXPECTED: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAxdNgnqYffiHgNO36Vpxu9ldQ/23PvDSGi+dBJwDvmH";
}
