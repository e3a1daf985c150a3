//! What a verification of a ledger says.

use std::fmt;

use hoop_model::{EventId, SessionId};
use hoop_recording::Hash;
use serde::Serialize;

/// Findings that a report names one by one; more are counted.
const MAX_FINDINGS: usize = 1_000;

/// Something wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "finding", rename_all = "snake_case")]
pub enum Finding {
    /// A line of the export is none of its kinds; `line` counts from 1.
    Unreadable {
        /// Which line.
        line: u64,
        /// Why.
        reason: String,
    },
    /// An event's bytes are not those that were appended.
    Altered {
        /// Its place.
        seq: u64,
        /// Its id, where it can still be read.
        id: Option<EventId>,
    },
    /// Events are missing.
    Missing {
        /// The first.
        first: u64,
        /// The last.
        last: u64,
    },
    /// An event stands behind one that came later.
    Moved {
        /// Its place by its own number.
        seq: u64,
        /// Its id.
        id: EventId,
    },
    /// An event stands where none belongs.
    Inserted {
        /// The number it claims.
        seq: u64,
        /// Its id.
        id: EventId,
    },
    /// The events do not have the root that was signed: the last was altered, or all since `after` were made anew.
    Root {
        /// Up to this many events a signed root holds.
        after: u64,
        /// The number of events signed for.
        size: u64,
    },
    /// There is no checkpoint, or none that can be believed.
    Checkpoint {
        /// Why.
        reason: String,
    },
    /// The ledger is shorter than it was: it was rolled back.
    RolledBack {
        /// As many events as the older checkpoint signed for.
        had: u64,
        /// As many there are now.
        has: u64,
    },
    /// The ledger is not a continuation of the older checkpoint: its history was rewritten.
    Rewritten {
        /// Within so many first events.
        within: u64,
    },
    /// Too few of the witnesses signed a checkpoint of these events.
    Unwitnessed {
        /// So many did.
        by: usize,
        /// So many are needed.
        needed: usize,
    },
    /// A session's opening is there, its end is not.
    SessionUnended {
        /// Which session.
        session: SessionId,
        /// The event that opened it.
        seq: u64,
    },
    /// A session ended or was recorded that never was opened.
    SessionNeverOpened {
        /// Which session.
        session: SessionId,
        /// The first event about it.
        seq: u64,
    },
    /// A session ended, and no recording of it was ever finished.
    SessionUnrecorded {
        /// Which session.
        session: SessionId,
        /// The event that opened it.
        seq: u64,
    },
    /// A recording's manifest is not in the export.
    ManifestMissing {
        /// Which session.
        session: SessionId,
        /// The event that names it.
        seq: u64,
    },
    /// A recording's manifest is not the one that the ledger names, or not signed by the agent.
    ManifestAltered {
        /// Which session.
        session: SessionId,
        /// The event that names it.
        seq: u64,
    },
    /// The file of a recording that was finished is not there.
    RecordingAbsent {
        /// Which session.
        session: SessionId,
        /// The event that names it.
        seq: u64,
    },
    /// A session's recording has no signed end: its agent lost it, or was lost itself.
    RecordingUnsigned {
        /// Which session.
        session: SessionId,
        /// The event that says so.
        seq: u64,
        /// Bytes of it that the gateway has.
        bytes: u64,
    },
    /// A recording is named once more: after its seal, or after it was deleted. The first stands.
    NamedAgain {
        /// Which session.
        session: SessionId,
        /// The event that names it again.
        seq: u64,
    },
    /// A recording is signed by a key that its agent did not enrol with.
    SignerUnknown {
        /// Which session.
        session: SessionId,
        /// The event that names the signer.
        seq: u64,
    },
    /// A recording's end lets it be deleted earlier than its session was promised.
    KeptTooShort {
        /// Which session.
        session: SessionId,
        /// The event that says until when it is kept.
        seq: u64,
    },
    /// The agent signed for other amounts than the gateway's relay carried: one of them leaves something out.
    BytesDiffer {
        /// Which session.
        session: SessionId,
        /// The event that names the recording.
        seq: u64,
        /// Ciphertext by the agent's count.
        agent: hoop_recording::Carried,
        /// By the relay's: passed to the agent, passed from it.
        relay: hoop_recording::Carried,
    },
    /// A recording was deleted before its time was over.
    DeletedEarly {
        /// Which session.
        session: SessionId,
        /// The event that tells of the deletion.
        seq: u64,
    },
    /// A recording was deleted under a legal hold.
    DeletedOnHold {
        /// Which session.
        session: SessionId,
        /// The event that tells of the deletion.
        seq: u64,
        /// The event that placed the hold.
        hold: u64,
    },
    /// A recording's file is not as it was signed for.
    RecordingDiffers {
        /// Which session.
        session: SessionId,
        /// The event that names it.
        seq: u64,
        /// What is wrong with it, with the place.
        findings: Vec<hoop_recording::Finding>,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { line, reason } => write!(f, "line {line} cannot be read: {reason}"),
            Self::Altered { seq, id: Some(id) } => write!(f, "event {seq} ({id}) was altered"),
            Self::Altered { seq, id: None } => write!(f, "event {seq} was altered"),
            Self::Missing { first, last } if first == last => write!(f, "event {first} is missing"),
            Self::Missing { first, last } => write!(f, "events {first} to {last} are missing"),
            Self::Moved { seq, id } => write!(f, "event {seq} ({id}) was moved"),
            Self::Inserted { seq, id } => write!(f, "an event {seq} ({id}) was inserted"),
            Self::Root { after, size } => write!(
                f,
                "the {size} events are not those that were signed: the last was altered, or all since event {after} made anew"
            ),
            Self::Checkpoint { reason } => write!(f, "no checkpoint to believe: {reason}"),
            Self::RolledBack { had, has } => {
                write!(f, "the ledger was rolled back: it had {had} events and has {has}")
            }
            Self::Rewritten { within } => {
                write!(f, "the history within the first {within} events was rewritten")
            }
            Self::Unwitnessed { by, needed } => {
                write!(
                    f,
                    "{by} of the witnesses signed a checkpoint of these events, and {needed} are needed"
                )
            }
            Self::SessionUnended { session, seq } => {
                write!(f, "session {session} was opened by event {seq} and never ended")
            }
            Self::SessionNeverOpened { session, seq } => {
                write!(f, "session {session} of event {seq} was never opened")
            }
            Self::SessionUnrecorded { session, seq } => {
                write!(f, "session {session}, opened by event {seq}, has no recording")
            }
            Self::ManifestMissing { session, seq } => {
                write!(f, "the manifest of session {session}, named by event {seq}, is missing")
            }
            Self::ManifestAltered { session, seq } => {
                write!(f, "the manifest of session {session} is not the one that event {seq} names")
            }
            Self::RecordingAbsent { session, seq } => {
                write!(f, "the recording of session {session}, named by event {seq}, is missing")
            }
            Self::RecordingUnsigned { session, seq, bytes } => write!(
                f,
                "the recording of session {session} has no signed end (event {seq}): the gateway has {bytes} bytes of it"
            ),
            Self::NamedAgain { session, seq } => {
                write!(
                    f,
                    "event {seq} names a recording of session {session} that was sealed or deleted before"
                )
            }
            Self::SignerUnknown { session, seq } => write!(
                f,
                "the recording of session {session} is signed by a key that its agent did not enrol with (event {seq})"
            ),
            Self::KeptTooShort { session, seq } => write!(
                f,
                "event {seq} keeps the recording of session {session} for a shorter time than the session began with"
            ),
            Self::BytesDiffer { session, seq, agent, relay } => write!(
                f,
                "session {session} of event {seq}: its agent signed for {} bytes received and {} sent, the relay carried {} and {}",
                agent.received, agent.sent, relay.received, relay.sent
            ),
            Self::DeletedEarly { session, seq } => {
                write!(
                    f,
                    "the recording of session {session} was deleted by event {seq} before its time was over"
                )
            }
            Self::DeletedOnHold { session, seq, hold } => write!(
                f,
                "the recording of session {session} was deleted by event {seq} under the legal hold of event {hold}"
            ),
            Self::RecordingDiffers { session, seq, findings } => {
                write!(f, "the recording of session {session} is not the one that event {seq} names")?;
                findings.iter().try_for_each(|finding| write!(f, "; {finding}"))
            }
        }
    }
}

/// What witnesses signed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Witnessed {
    /// Up to so many events.
    pub size: u64,
    /// Who, by name.
    pub by: Vec<String>,
    /// How many are needed.
    pub needed: usize,
}

impl fmt::Display for Witnessed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { size, by, needed } = self;
        match by.as_slice() {
            [] => write!(f, "none signed, {needed} are needed"),
            by => write!(f, "{} signed for the first {size} events, {needed} are needed", by.join(", ")),
        }
    }
}

/// What a verification found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Report {
    /// The log's name by the checkpoint.
    pub origin: Option<String>,
    /// Events read.
    pub events: u64,
    /// The root that is signed for, if the checkpoint can be believed.
    pub root: Option<Hash>,
    /// Sessions seen.
    pub sessions: u64,
    /// Recordings whose files were read through.
    pub recordings_checked: u64,
    /// Recordings that were deleted when their time was over.
    pub recordings_deleted: u64,
    /// Sessions that the export says were still going on.
    pub live_sessions: Vec<SessionId>,
    /// How far witnesses signed, if any were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub witnessed: Option<Witnessed>,
    /// What is wrong; at most 1,000.
    pub findings: Vec<Finding>,
    /// Findings beyond those.
    pub findings_omitted: u64,
}

impl Report {
    /// Nothing wrong?
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.findings.is_empty() && self.findings_omitted == 0 && self.root.is_some()
    }

    pub(crate) fn find(&mut self, finding: Finding) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.findings_omitted += 1;
        }
    }
}
