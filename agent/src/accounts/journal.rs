//! What accounts there may be, on disk: one file a session, written before the account is made and removed after it is.
//!
//! It holds what finds an account again and reaches its target; of credentials only where they come from.

use std::{fs, io, path::PathBuf};

use hoop_engine::Account;
use hoop_model::{ConnectionName, ProtocolId, SessionId, UserName};
use serde::{Deserialize, Serialize};

use crate::home;

/// An account that there may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) session: SessionId,
    pub(super) person: UserName,
    pub(super) connection: ConnectionName,
    pub(super) protocol: ProtocolId,
    /// The connection's, as the session's grant had them.
    pub(super) settings: serde_json::Value,
    #[serde(with = "account")]
    pub(super) account: Account,
}

mod account {
    use hoop_engine::Account;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    struct Form {
        name: String,
        mark: String,
        number: Option<u64>,
    }

    pub(super) fn serialize<S: Serializer>(account: &Account, serializer: S) -> Result<S::Ok, S::Error> {
        let Account { name, mark, number } = account.clone();
        Form { name, mark, number }.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Account, D::Error> {
        Form::deserialize(deserializer).map(|Form { name, mark, number }| Account { name, mark, number })
    }
}

/// The folder.
pub(super) struct Journal(PathBuf);

impl Journal {
    pub(super) fn open(folder: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&folder)?;
        Ok(Self(folder))
    }

    fn path(&self, session: SessionId) -> PathBuf {
        self.0.join(format!("{session}.json"))
    }

    /// Writes one down, durably.
    pub(super) fn write(&self, entry: &Entry) -> io::Result<()> {
        home::replace(&self.path(entry.session), &serde_json::to_vec_pretty(entry)?)
    }

    /// There is no such account any more.
    pub(super) fn forget(&self, session: SessionId) {
        match fs::remove_file(self.path(session)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(%session, %error, "the journal of accounts cannot be changed");
            }
            _ => {}
        }
    }

    /// All of them. What cannot be read is told and stays.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let Ok(files) = fs::read_dir(&self.0) else { return Vec::new() };
        let paths = files.filter_map(|file| Some(file.ok()?.path()));
        let paths = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        paths
            .filter_map(|path| {
                let read = fs::read(&path).and_then(|bytes| Ok(serde_json::from_slice::<Entry>(&bytes)?));
                let told = |error: &io::Error| {
                    tracing::error!(path = %path.display(), %error, "an account in the journal cannot be read");
                };
                read.inspect_err(told).ok()
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_there_after_a_crash_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path().join("accounts")).unwrap();
        let account = Account { name: "hoop_ada_x".into(), mark: "a mark".into(), number: Some(7) };
        let entry = Entry {
            session: SessionId::generate(),
            person: UserName::new("ada").unwrap(),
            connection: ConnectionName::new("pg").unwrap(),
            protocol: ProtocolId::new("postgres").unwrap(),
            settings: serde_json::json!({"host": "db"}),
            account,
        };
        journal.write(&entry).unwrap();
        fs::write(folder.path().join("accounts/torn.json"), "{").unwrap();
        let again = Journal::open(folder.path().join("accounts")).unwrap();
        assert_eq!(again.entries(), std::slice::from_ref(&entry));
        again.forget(entry.session);
        again.forget(entry.session);
        assert!(again.entries().is_empty());
    }
}
