//! Accounts at targets, one a session: made before it begins, removed when it ends, swept up after a crash.
//!
//! ```text
//!   open:   journal ─▶ make ─▶ journal (with the target's number) ─▶ the session's streams log in with it
//!   end:    remove ─▶ journal forgets it          what fails, and what a crash left in the journal ─▶ sweep
//! ```
//! Nothing is removed that does not stand in the journal, and the protocol checks once more that it is ours.

mod errand;
mod journal;
mod sweep;

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use hoop_control::{grant::Grant, v1};
use hoop_engine::{Account, Credential, Outcome};
use hoop_model::{Blame, Fault, SessionId};
use tokio::{sync::Notify, time::Instant};

use self::{
    errand::Site,
    journal::{Entry, Journal},
};
pub(crate) use self::{errand::Site as AccountSite, sweep::sweep};
use crate::session::Sessions;

/// Longest time to make an account: the gateway waits 10 s for the whole opening.
const MAKING: Duration = Duration::from_secs(7);
/// Longest time that a session's end waits for its account's. Then the sweep goes on with it.
const LAST_WORD: Duration = Duration::from_secs(5);

/// The accounts of this agent.
pub(crate) struct Keeper {
    journal: Journal,
    /// Sessions that are opening or live: their accounts are not swept.
    used: Mutex<HashSet<SessionId>>,
    /// When what could not be removed is tried again.
    waits: Mutex<HashMap<SessionId, Wait>>,
    /// Something is to be swept.
    rung: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    until: Instant,
    pause: Duration,
}

/// A live session's account. Dropped, it is left to the sweep.
pub(crate) struct OpenAccount {
    keeper: Arc<Keeper>,
    entry: Entry,
    site: Site,
}

impl Keeper {
    /// With what the process before this one left in its journal.
    pub(crate) fn open(folder: PathBuf) -> std::io::Result<Arc<Self>> {
        let journal = Journal::open(folder)?;
        let (used, waits) = (Mutex::default(), Mutex::default());
        Ok(Arc::new(Self { journal, used, waits, rung: Notify::new() }))
    }

    /// Makes an account for a session, if its connection asks for one: the session's streams log in with it.
    ///
    /// # Errors
    /// A [`Fault`]: the session must not start.
    pub(crate) async fn make(
        self: &Arc<Self>,
        grant: &Grant,
        site: Site,
    ) -> Result<Option<(OpenAccount, Credential)>, Fault> {
        let Some(accounts) = site.target.accounts() else { return Ok(None) };
        let account = accounts.name(&grant.user_name, grant.session)?;
        let entry = Entry {
            session: grant.session,
            person: grant.user_name.clone(),
            connection: grant.connection_name.clone(),
            protocol: grant.protocol.clone(),
            settings: grant.settings.clone(),
            account,
        };
        // Written down first: whatever happens from here on, the sweep knows of it.
        self.journal.write(&entry).map_err(|error| unwritten(&error))?;
        if let Ok(mut used) = self.used.lock() {
            used.insert(grant.session);
        }
        let mut open = OpenAccount { keeper: Arc::clone(self), entry, site };
        let (mut errand, credential) = accounts.make(&open.entry.account, grant.ends_at)?;
        let made = tokio::time::timeout(
            MAKING,
            open.site.run(errand.as_mut(), open.entry.session, &open.entry.person),
        )
        .await;
        match made.unwrap_or_else(|_| Err(late())) {
            Ok(Outcome::Made { number }) => {
                open.entry.account.number = Some(number);
                self.journal.write(&open.entry).map_err(|error| unwritten(&error))?;
                Ok(Some((open, credential)))
            }
            Ok(_) => Err(Fault::new("HOOP-9007", Blame::System, "an account was made with another outcome")),
            Err(fault) => {
                if !errand.may_have_acted() {
                    self.journal.forget(grant.session);
                }
                Err(fault)
            }
        }
    }

    fn is_used(&self, session: SessionId) -> bool {
        self.used.lock().map_or(true, |used| used.contains(&session))
    }
}

impl OpenAccount {
    /// The account.
    pub(crate) const fn account(&self) -> &Account {
        &self.entry.account
    }

    /// What it can do.
    pub(crate) fn describe(&self) -> String {
        self.site.target.accounts().map(|accounts| accounts.describe()).unwrap_or_default()
    }

    /// The account is there; the gateway hears of it.
    pub(crate) fn tell_made(&self, sessions: &Sessions) {
        tell(sessions, &self.entry, "made", self.describe());
    }

    /// Removes it at the end of its session: what became of it, for the recording. What cannot be removed now is tried
    /// again.
    pub(crate) async fn close(self, sessions: &Sessions) -> String {
        let name = &self.entry.account.name;
        let removed = tokio::time::timeout(LAST_WORD, remove(sessions, &self.entry, &self.site)).await;
        match removed.unwrap_or_else(|_| Err(late())) {
            Ok(what) => format!("hoop: account {name}: {what}"),
            Err(fault) => {
                left(sessions, &self.entry, &fault);
                format!("hoop: account {name} could not be removed yet: {} ({})", fault.message, fault.code)
            }
        }
    }
}

impl Drop for OpenAccount {
    fn drop(&mut self) {
        if let Ok(mut used) = self.keeper.used.lock() {
            used.remove(&self.entry.session);
        }
        self.keeper.rung.notify_one();
    }
}

/// Removes an account, and tells the gateway.
async fn remove(sessions: &Sessions, entry: &Entry, site: &Site) -> Result<String, Fault> {
    let accounts = site.target.accounts().ok_or_else(|| {
        Fault::new("HOOP-4215", Blame::System, "the connection of an account that is left makes no accounts")
    })?;
    let mut errand = accounts.remove(&entry.account);
    let outcome = site.run(errand.as_mut(), entry.session, &entry.person).await?;
    let (change, what) = match outcome {
        Outcome::Removed { handed_over: 0 } => ("removed", "it was removed".to_owned()),
        Outcome::Removed { handed_over } => {
            ("removed", format!("it was removed, and {handed_over} objects of it have another owner now"))
        }
        Outcome::Absent => ("removed", "it was not there any more".to_owned()),
        Outcome::Foreign => {
            ("foreign", "there is one of this name that hoop did not make; it was left alone".to_owned())
        }
        Outcome::Made { .. } | Outcome::Seen { .. } | Outcome::Scanned { .. } => {
            return Err(Fault::new(
                "HOOP-9007",
                Blame::System,
                "an account was removed with another outcome",
            ));
        }
    };
    let never_made = outcome == Outcome::Absent && entry.account.number.is_none();
    sessions.around.accounts.journal.forget(entry.session);
    if outcome == Outcome::Foreign {
        tracing::error!(session = %entry.session, account = entry.account.name, "an account was left alone: it is not ours");
    }
    if !never_made {
        tell(sessions, entry, change, what.clone());
    }
    Ok(what)
}

/// An account could not be removed: loudly, for it may still be good for something.
fn left(sessions: &Sessions, entry: &Entry, fault: &Fault) {
    tracing::error!(
        session = %entry.session, account = entry.account.name, connection = %entry.connection, code = %fault.code,
        reason = fault.message, "an account of a session that is over could not be removed; it will be tried again"
    );
    tell(sessions, entry, "left", format!("{} ({})", fault.message, fault.code));
}

fn tell(sessions: &Sessions, entry: &Entry, change: &'static str, detail: String) {
    metrics::counter!("hoop_agent_accounts_total", "change" => change).increment(1);
    sessions.tell(v1::from_agent::Message::AccountChanged(v1::AccountChanged {
        session_id: entry.session.to_string(),
        account: entry.account.name.clone(),
        change: change.to_owned(),
        detail,
    }));
}

fn late() -> Fault {
    Fault::new("HOOP-4216", Blame::Target, "the target took too long with the account of a session")
        .with_hint("try again; an admin looks at the target")
}

fn unwritten(error: &std::io::Error) -> Fault {
    tracing::error!(%error, "the journal of accounts cannot be written");
    Fault::new(
        "HOOP-4217",
        Blame::System,
        "the agent cannot write down which account it makes, so it makes none",
    )
    .with_hint("the agent's owner finds the reason in its log; a full disk is the usual one")
}
