//! A way in while the gateway is down: a capability that was made beforehand, used on the agent's own host.
//!
//! ```text
//!   hoop-agent break-glass open ─▶ door (a socket in the agent's folder) ─▶ checks, book ─▶ a recorded session
//!   psql ─▶ a socket in a folder of its own ─▶ the same engine, policy and tape as ever
//!   the gateway is back ─▶ it is told of the session ─▶ only then its recording is sent
//! ```
//! - While the gateway is there, or was a moment ago, nobody gets in this way.
//! - What counts is written down before it counts: a use before its session, a session before its first byte.
//! - Time never runs backwards here: a session ends by a clock that nobody sets, and validity is held against the latest
//!   time ever seen.

pub mod ask;
mod book;
mod door;
mod open;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use hoop_control::v1;
use hoop_model::SessionId;
use tokio::time::Instant;

use self::book::Book;
pub(crate) use self::door::serve;
use crate::session::Sessions;

/// The socket at which the command asks, in the agent's folder.
const DOOR: &str = "break-glass.sock";

/// What there is for emergencies.
pub(crate) struct Emergencies {
    folder: PathBuf,
    book: Book,
    /// Whether the gateway is there, and since when that is so.
    link: Mutex<(bool, Instant)>,
    /// The gateway must have been away for so long.
    after: Duration,
}

impl Emergencies {
    pub(crate) fn open(state: &Path, after: Duration) -> std::io::Result<Arc<Self>> {
        let folder = state.join("emergency");
        let book = Book::open(&folder)?;
        Ok(Arc::new(Self {
            folder: state.to_owned(),
            book,
            link: Mutex::new((false, Instant::now())),
            after,
        }))
    }

    /// The control stream came up or went down.
    pub(crate) fn link(&self, up: bool) {
        if let Ok(mut link) = self.link.lock()
            && link.0 != up
        {
            *link = (up, Instant::now());
        }
        self.book.look_at_the_clock();
    }

    /// For how long the gateway has been away; `None`: it is there.
    fn away_for(&self) -> Option<Duration> {
        let (up, since) = *self.link.lock().ok()?;
        (!up).then(|| since.elapsed())
    }

    /// Sessions that the gateway has not heard of: it would refuse their recordings, and end them.
    pub(crate) fn untold(&self) -> Vec<SessionId> {
        self.book.untold()
    }

    pub(crate) fn is_untold(&self, session: SessionId) -> bool {
        self.book.is_untold(session)
    }

    /// What the gateway is to be told of, at each meeting.
    pub(crate) fn reports(&self) -> Vec<v1::EmergencyUsed> {
        self.book.reports()
    }

    /// These are revoked.
    pub(crate) fn revoked(&self, revoked: &v1::CapabilitiesRevoked) {
        let ids: Vec<_> = revoked.ids.iter().filter_map(|id| id.parse().ok()).collect();
        if let Err(error) = self.book.revoke(&ids) {
            tracing::error!(%error, "revoked capabilities cannot be written down");
        }
    }
}

/// The gateway has answered about a session: its recording may go, and its end may be told.
pub(crate) fn known(sessions: &Sessions, answer: &v1::EmergencyKnown) {
    let Ok(session) = answer.session_id.parse() else { return };
    if let Some(refused) = &answer.refused {
        tracing::error!(%session, code = refused.code, reason = refused.message, "the gateway does not accept a session of an emergency; its recording stays here");
        return;
    }
    sessions.around.emergencies.book.forget(session);
    tracing::warn!(%session, "the gateway knows of a session that was opened while it was away");
    sessions.release(session);
}
