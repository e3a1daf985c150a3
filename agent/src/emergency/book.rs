//! What must outlive the process: which uses there were, what is revoked, the latest time ever seen, and what the gateway
//! has not been told. A book that cannot be read lets nobody in.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Mutex,
    time::Duration,
};

use hoop_control::{
    capability::{Capability, Statement},
    v1,
};
use hoop_model::{CapabilityId, SessionId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::home;

/// The clock is written down when it is so much later than what stands there.
const CLOCK_STEP: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pages {
    /// The latest time ever seen.
    latest: Timestamp,
    /// The nonces of all uses.
    used: BTreeMap<CapabilityId, BTreeSet<String>>,
    revoked: BTreeSet<CapabilityId>,
}

/// A use that the gateway has not heard of.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Use {
    pub(super) session: SessionId,
    pub(super) capability: Vec<u8>,
    pub(super) statement: Vec<u8>,
    pub(super) statement_signature: Vec<u8>,
    pub(super) started_at: Timestamp,
    pub(super) away_seconds: u64,
}

pub(super) struct Book {
    folder: PathBuf,
    pages: Mutex<Pages>,
    untold: Mutex<BTreeMap<SessionId, Use>>,
}

/// Why a use is not entered.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NotEntered {
    Revoked,
    UsedUp,
    Repeated,
    Unwritten(String),
}

fn wall() -> Timestamp {
    Timestamp::from(jiff::Timestamp::now())
}

impl Book {
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        fs::create_dir_all(folder.join("untold"))?;
        let pages = match fs::read(folder.join("book.json")) {
            Ok(bytes) => serde_json::from_slice(&bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Pages::default(),
            Err(error) => return Err(error),
        };
        let mut untold = BTreeMap::new();
        for file in fs::read_dir(folder.join("untold"))? {
            let path = file?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                let one: Use = serde_json::from_slice(&fs::read(&path)?)?;
                untold.insert(one.session, one);
            }
        }
        Ok(Self { folder: folder.to_owned(), pages: Mutex::new(pages), untold: Mutex::new(untold) })
    }

    fn write(&self, pages: &Pages) -> io::Result<()> {
        home::replace(&self.folder.join("book.json"), &serde_json::to_vec(pages)?)
    }

    /// The time that validity is held against: the clock's, or the latest ever seen if that is later.
    pub(super) fn now(&self) -> Timestamp {
        self.look_at_the_clock();
        self.pages.lock().map_or_else(|_| wall(), |pages| pages.latest.max(wall()))
    }

    /// Remembers the time, so that a clock which is set back is noticed.
    pub(super) fn look_at_the_clock(&self) {
        let (at, Ok(mut pages)) = (wall(), self.pages.lock()) else { return };
        if at.since(pages.latest) < CLOCK_STEP {
            return;
        }
        pages.latest = at;
        if let Err(error) = self.write(&pages) {
            tracing::warn!(%error, "the time cannot be written down");
        }
    }

    /// Enters a use, durably. From then on it counts, whatever becomes of its session.
    pub(super) fn enter(
        &self,
        capability: &Capability,
        said: &Statement,
        one: Use,
    ) -> Result<(), NotEntered> {
        let unwritten = |error: &dyn std::fmt::Display| NotEntered::Unwritten(error.to_string());
        let mut pages = self.pages.lock().map_err(|error| unwritten(&error))?;
        let mut after = pages.clone();
        if after.revoked.contains(&capability.id) {
            return Err(NotEntered::Revoked);
        }
        let used = after.used.entry(capability.id).or_default();
        if used.len() >= usize::try_from(capability.uses).unwrap_or(0) {
            return Err(NotEntered::UsedUp);
        }
        if !used.insert(said.nonce.clone()) {
            return Err(NotEntered::Repeated);
        }
        after.latest = after.latest.max(wall());
        self.write(&after).map_err(|error| unwritten(&error))?;
        *pages = after;
        let bytes = serde_json::to_vec(&one).map_err(|error| unwritten(&error))?;
        home::replace(&self.path(one.session), &bytes).map_err(|error| unwritten(&error))?;
        let mut untold = self.untold.lock().map_err(|error| unwritten(&error))?;
        untold.insert(one.session, one);
        Ok(())
    }

    pub(super) fn revoke(&self, ids: &[CapabilityId]) -> io::Result<()> {
        let Ok(mut pages) = self.pages.lock() else { return Err(io::Error::other("a thread died")) };
        if ids.iter().all(|id| pages.revoked.contains(id)) {
            return Ok(());
        }
        pages.revoked.extend(ids);
        self.write(&pages)
    }

    fn path(&self, session: SessionId) -> PathBuf {
        self.folder.join("untold").join(format!("{session}.json"))
    }

    pub(super) fn untold(&self) -> Vec<SessionId> {
        self.untold.lock().map(|untold| untold.keys().copied().collect()).unwrap_or_default()
    }

    pub(super) fn is_untold(&self, session: SessionId) -> bool {
        self.untold.lock().is_ok_and(|untold| untold.contains_key(&session))
    }

    pub(super) fn reports(&self) -> Vec<v1::EmergencyUsed> {
        let Ok(untold) = self.untold.lock() else { return Vec::new() };
        let report = |one: &Use| v1::EmergencyUsed {
            session_id: one.session.to_string(),
            capability: one.capability.clone().into(),
            statement: one.statement.clone().into(),
            statement_signature: one.statement_signature.clone().into(),
            started_at_us: one.started_at.as_micros(),
            away_seconds: one.away_seconds,
        };
        untold.values().map(report).collect()
    }

    /// The gateway knows of it.
    pub(super) fn forget(&self, session: SessionId) {
        if let Ok(mut untold) = self.untold.lock() {
            untold.remove(&session);
        }
        if let Err(error) = fs::remove_file(self.path(session)) {
            tracing::warn!(%session, %error, "a use that the gateway knows of is still written down");
        }
    }
}

#[cfg(test)]
mod tests {
    use hoop_control::capability::HolderKey;
    use hoop_model::{AgentId, ConnectionId, ConnectionName, ProtocolId, UserId, UserName};

    use super::*;

    fn capability(uses: u32) -> Capability {
        Capability {
            masking: hoop_policy::Masking::None,
            id: CapabilityId::generate(),
            agent: AgentId::generate(),
            holder: UserId::generate(),
            holder_name: UserName::new("ada").unwrap(),
            holder_key: HolderKey::generate().unwrap().1.public_key(),
            connection: ConnectionId::generate(),
            connection_name: ConnectionName::new("pg").unwrap(),
            protocol: ProtocolId::new("postgres").unwrap(),
            settings: serde_json::json!({}),
            recording_key_pem: String::new(),
            rule: "oncall".parse().unwrap(),
            rules_version: 1,
            rules_sha256: hoop_policy::Sha256::of(b"rules"),
            target_user: None,
            idle_timeout_seconds: 1,
            valid_from: wall(),
            valid_until: wall().after(Duration::from_secs(60)),
            longest_seconds: 1,
            uses,
        }
    }

    fn enter(book: &Book, of: &Capability, nonce: &str) -> Result<SessionId, NotEntered> {
        let session = SessionId::generate();
        let said = Statement {
            capability: of.id,
            reason: "r".into(),
            incident: "i".into(),
            at: wall(),
            nonce: nonce.into(),
        };
        let (capability, statement, statement_signature) = (vec![1], vec![2], vec![3]);
        let (started_at, away_seconds) = (wall(), 61);
        let one = Use { session, capability, statement, statement_signature, started_at, away_seconds };
        book.enter(of, &said, one).map(|()| session)
    }

    #[test]
    fn uses_are_counted_over_crashes() {
        let folder = tempfile::tempdir().unwrap();
        let (once, twice) = (capability(1), capability(2));
        let book = Book::open(folder.path()).unwrap();
        let told = enter(&book, &once, "a").unwrap();
        assert_eq!(enter(&book, &once, "b"), Err(NotEntered::UsedUp));
        enter(&book, &twice, "a").unwrap();
        assert_eq!(enter(&book, &twice, "a"), Err(NotEntered::Repeated));
        let again = Book::open(folder.path()).unwrap();
        assert_eq!(enter(&again, &once, "c"), Err(NotEntered::UsedUp));
        assert_eq!(again.untold().len(), 2);
        assert!(again.is_untold(told));
        enter(&again, &twice, "b").unwrap();
        assert_eq!(enter(&again, &twice, "c"), Err(NotEntered::UsedUp));
        again.forget(told);
        assert_eq!(Book::open(folder.path()).unwrap().reports().len(), 2);
    }

    #[test]
    fn what_is_revoked_stays_so() {
        let folder = tempfile::tempdir().unwrap();
        let one = capability(9);
        Book::open(folder.path()).unwrap().revoke(&[one.id]).unwrap();
        let book = Book::open(folder.path()).unwrap();
        assert_eq!(enter(&book, &one, "a"), Err(NotEntered::Revoked));
    }

    #[test]
    fn a_clock_that_is_set_back_gains_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let ahead = Pages { latest: wall().after(Duration::from_secs(3600)), ..Pages::default() };
        fs::write(folder.path().join("book.json"), serde_json::to_vec(&ahead).unwrap()).unwrap();
        let book = Book::open(folder.path()).unwrap();
        assert_eq!(book.now(), ahead.latest);
        assert!(capability(1).check_time(book.now()).is_err(), "it ended by the latest time that was seen");
    }

    #[test]
    fn a_book_that_cannot_be_read_is_no_empty_one() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("book.json"), "{").unwrap();
        assert!(Book::open(folder.path()).is_err());
    }
}
