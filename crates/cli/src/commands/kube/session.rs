//! The kubeconfig of a session that `hoop connect` opened: it stands in a private folder, and goes with the session.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use hoop_client::{
    ClientError,
    connector::SessionFacts,
    http::now,
    kube::{Cluster, Entry, KubeConfig, User},
    local::{Authority, LocalTls},
    profile::write_private,
};

use super::folder;
use crate::failure::Result;

/// What a killed command left opens nothing any more, and goes after so long. No session lives longer.
const STALE: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// The file, and the TLS of the port that it names.
#[derive(Debug)]
pub(in crate::commands) struct SessionKubeConfig {
    file: PathBuf,
    tls: LocalTls,
}

impl SessionKubeConfig {
    /// Makes keys for this session alone, and writes the file.
    pub(in crate::commands) fn write(facts: &SessionFacts, port: u16) -> Result<Self, ClientError> {
        let authority = Authority::generate(now())?;
        let tls = LocalTls::new(&authority, now(), facts.ends_at)?;
        let mut config = KubeConfig::empty();
        config.put(&Entry {
            name: facts.connection.as_str(),
            cluster: Cluster { port, authority_pem: authority.certificate_pem() },
            user: User::Certificate(tls.client()),
            namespace: None,
        })?;
        let file = folder()?.of_session(facts.id)?;
        sweep(&file);
        write_private(&file, config.to_yaml()?.as_bytes()).map_err(|error| {
            ClientError::own("HOOP-1016", format!("{} cannot be written: {error}", file.display()))
        })?;
        Ok(Self { file, tls })
    }

    pub(in crate::commands) fn file(&self) -> &Path {
        &self.file
    }

    pub(in crate::commands) const fn tls(&self) -> &LocalTls {
        &self.tls
    }
}

impl Drop for SessionKubeConfig {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}

fn sweep(beside: &Path) {
    let entries = beside.parent().and_then(|folder| fs::read_dir(folder).ok());
    for entry in entries.into_iter().flatten().flatten() {
        let written =
            entry.metadata().and_then(|facts| facts.modified()).unwrap_or_else(|_| SystemTime::now());
        if written.elapsed().is_ok_and(|age| age > STALE) {
            let _ = fs::remove_file(entry.path());
        }
    }
}
