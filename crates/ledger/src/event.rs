//! What the ledger holds: one [`LedgerEvent`] a leaf, and the codes it can have.
//!
//! A leaf is the JSON that [`LedgerEvent::to_leaf`] makes, and is stored and exported as exactly those bytes: nobody
//! writes it anew, so there is nothing to canonicalise. Each names the hash of the leaf before it (`prev`), which the
//! tree would not need, but with which a verifier can say *which* event was altered, dropped or moved.

use std::{fmt, str::FromStr};

use hoop_model::{
    Actor, AgentId, ConnectionId, EventId, GrantId, GroupId, JoinTokenId, LoginId, PasskeyId, SessionId,
    Timestamp, TokenId, UserId,
};
use hoop_recording::{Frame, Hash, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{
    catalogue,
    tree::{Frontier, leaf_hash},
};

/// Facts of an event: names and JSON values. Never a secret, never statement text with literals; [`catalogue`] has the
/// schema of each code, and what it does not name is withheld.
pub type Facts = Map<String, Value>;

/// A code that this version does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an event code")]
pub struct UnknownCode(String);

macro_rules! codes {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal;)*) => {
        /// What happened. The written form is stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum EventCode {
            $($(#[doc = $doc])* $name,)*
        }

        impl EventCode {
            /// All of them, in the order of the documentation.
            #[must_use]
            pub const fn all() -> &'static [Self] {
                &[$(Self::$name,)*]
            }

            /// The stable form.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// What it means, for the documentation.
            #[must_use]
            pub fn description(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),*).trim_ascii(),)* }
            }
        }

        impl FromStr for EventCode {
            type Err = UnknownCode;
            fn from_str(text: &str) -> Result<Self, UnknownCode> {
                match text {
                    $($code => Ok(Self::$name),)*
                    _ => Err(UnknownCode(text.chars().take(64).collect())),
                }
            }
        }
    };
}

codes! {
    /// Somebody signed in with both factors.
    LoginSucceeded = "login.succeeded";
    /// A sign-in failed: wrong password, code or assertion.
    LoginFailed = "login.failed";
    /// An account was locked after too many failed sign-ins.
    LoginLockedOut = "login.locked_out";
    /// Somebody signed out, or a sign-in was ended for them.
    LoginEnded = "login.ended";
    /// An access token was renewed with a refresh token.
    TokenRefreshed = "token.refreshed";
    /// A token was revoked.
    TokenRevoked = "token.revoked";
    /// A person or service account was created.
    UserCreated = "user.created";
    /// An account was changed: role, groups, password.
    UserChanged = "user.changed";
    /// An account was locked or unlocked by an administrator.
    UserLocked = "user.locked";
    /// A service account was removed, or a person by the identity provider: the name is nobody else's.
    UserRemoved = "user.removed";
    /// Two accounts were said to be the same person's.
    UserLinked = "user.linked";
    /// An account was said to be nobody's second one any more.
    UserUnlinked = "user.unlinked";
    /// An API token of a service account was made: name, scope and end are among the facts.
    ApiTokenCreated = "api_token.created";
    /// The identity provider made a group.
    GroupCreated = "group.created";
    /// The identity provider changed a group: who came and went is among the facts.
    GroupChanged = "group.changed";
    /// The identity provider removed a group.
    GroupRemoved = "group.removed";
    /// A TOTP second factor was enrolled.
    TotpEnrolled = "totp.enrolled";
    /// A second factor was proven again under a sign-in (step-up).
    MfaProven = "mfa.proven";
    /// Proving a second factor again failed.
    MfaFailed = "mfa.failed";
    /// A passkey was registered: its name is among the facts.
    PasskeyAdded = "passkey.added";
    /// A passkey got another name.
    PasskeyRenamed = "passkey.renamed";
    /// A passkey was removed by its owner.
    PasskeyRemoved = "passkey.removed";
    /// A passkey's counter went back: there may be a copy of it. It was refused.
    PasskeyCopied = "passkey.copied";
    /// One-use recovery codes were made; those made before are void.
    RecoveryCodesMade = "recovery_codes.made";
    /// A recovery code was used in place of a second factor.
    RecoveryCodeUsed = "recovery_codes.used";
    /// Sealed codes for an emergency without the identity provider were made.
    SealedCodesMade = "sealed_codes.made";
    /// Some of them were used: somebody signed in with them.
    SealedCodesUsed = "sealed_codes.used";
    /// A set of them was revoked.
    SealedCodesRevoked = "sealed_codes.revoked";
    /// A one-use token for enrolling an agent was created.
    JoinTokenCreated = "join_token.created";
    /// A join token was used.
    JoinTokenUsed = "join_token.used";
    /// A join token was refused: used before, expired, or unknown.
    JoinTokenRefused = "join_token.refused";
    /// An agent enrolled: its keys are among the facts.
    AgentEnrolled = "agent.enrolled";
    /// An agent's control stream came up.
    AgentConnected = "agent.connected";
    /// An agent's control stream went away.
    AgentDisconnected = "agent.disconnected";
    /// An agent's certificate was renewed.
    AgentRenewed = "agent.renewed";
    /// An agent was removed: it may not come back.
    AgentRemoved = "agent.removed";
    /// A connection was created.
    ConnectionCreated = "connection.created";
    /// A connection was changed.
    ConnectionChanged = "connection.changed";
    /// A connection was deleted.
    ConnectionDeleted = "connection.deleted";
    /// A connection was tested: what came of it is among the facts.
    ConnectionTested = "connection.tested";
    /// A connection was scanned for personal data: how much was found is among the facts.
    ConnectionScanned = "connection.scanned";
    /// Access rules were put in force: what changed is among the facts.
    RulesChanged = "rules.changed";
    /// Somebody tried to put rules in force past the signed bundles that the gateway wants.
    RulesRefused = "rules.refused";
    /// Somebody asked for access that others must approve.
    RequestCreated = "request.created";
    /// One of those who may approve said yes.
    RequestApproved = "request.approved";
    /// One of those who may approve said no.
    RequestDenied = "request.denied";
    /// A request ended: withdrawn, revoked, or its time is over.
    RequestEnded = "request.ended";
    /// Somebody opened an emergency.
    BreakGlassStarted = "break_glass.started";
    /// Somebody else let an emergency go on.
    BreakGlassExtended = "break_glass.extended";
    /// An emergency ended; its review is due.
    BreakGlassEnded = "break_glass.ended";
    /// Somebody else closed the review of an emergency, with a finding.
    BreakGlassReviewed = "break_glass.reviewed";
    /// Somebody asked for a session.
    SessionRequested = "session.requested";
    /// A session was refused by policy.
    SessionDenied = "session.denied";
    /// A session was opened: from here on there must be a recording.
    SessionOpened = "session.opened";
    /// A session ended. The fact `recorded: false` says that it ended before the agent began a recording.
    SessionEnded = "session.ended";
    /// A session was ended by somebody else, or by a policy that no longer allows it.
    SessionKilled = "session.killed";
    /// A recording was finished: hash and signer of its manifest are among the facts.
    RecordingSealed = "recording.sealed";
    /// A recording broke off, and the agent signed for what it still has.
    RecordingInterrupted = "recording.interrupted";
    /// A piece of a recording is known to be missing.
    RecordingGap = "recording.gap";
    /// A recording is in the store of objects: where, how long, locked until when is among the facts.
    RecordingStored = "recording.stored";
    /// A recording was deleted because its time was over: what proves it is among the facts.
    RecordingDeleted = "recording.deleted";
    /// A legal hold was placed: nothing that it covers is deleted.
    HoldPlaced = "hold.placed";
    /// A legal hold was released.
    HoldReleased = "hold.released";
    /// The first recording key was taken: its id and keeper are among the facts.
    RecordingKeyAdded = "recording_key.added";
    /// Another recording key was put in force: new recordings are made for it.
    RecordingKeyRotated = "recording_key.rotated";
    /// The recording key in force is kept by somebody else, or elsewhere, from now on.
    RecordingKeyMoved = "recording_key.moved";
    /// The keeper of the recording key named another one that nobody rotated to. It is not used.
    RecordingKeyRefused = "recording_key.refused";
    /// Somebody replayed or followed a recording.
    RecordingRead = "recording.read";
    /// Somebody exported a recording.
    RecordingExported = "recording.exported";
    /// Somebody had a recording verified: the outcome is among the facts.
    RecordingVerified = "recording.verified";
    /// An agent made an account at a target for one session: its name and rights are among the facts.
    AccountMade = "account.made";
    /// An agent removed the account of a session, or found that it is gone.
    AccountRemoved = "account.removed";
    /// The account of a session that is over could not be removed, or one of its name is somebody else's.
    AccountLeft = "account.left";
    /// A target showed another host key than the one it is known by; the session ended.
    OtherHostKey = "session.other_host_key";
    /// A way in while the gateway is down was made: holder, agent, connection and limits are among the facts.
    CapabilityMade = "capability.made";
    /// It was taken back.
    CapabilityRevoked = "capability.revoked";
    /// An agent told of a use that cannot have been: the reason is among the facts.
    CapabilityRefused = "capability.refused";
    /// The glass was broken at an agent while the gateway was down: the times of both clocks are among the facts.
    BreakGlassOffline = "break_glass.offline";
    /// The ledger up to this event was signed: the note is among the facts.
    LedgerCheckpoint = "ledger.checkpoint";
    /// Somebody read or exported the ledger.
    LedgerRead = "ledger.read";
    /// Somebody searched the statements of recordings.
    StatementsSearched = "statements.searched";
    /// A gateway started.
    GatewayStarted = "gateway.started";
    /// A gateway's state was written to an encrypted backup: how much, and for which key, is among the facts.
    GatewayBackedUp = "gateway.backed_up";
    /// A gateway's state was restored from a backup: the checkpoint that it goes back to is among the facts.
    GatewayRestored = "gateway.restored";
    /// A gateway stopped.
    GatewayStopped = "gateway.stopped";
    /// The internal certificate authority issued a certificate.
    CertificateIssued = "certificate.issued";
    /// A notice could not be delivered for so long that it was given up: its channel and the last error are among the facts.
    NoticeFailed = "notice.failed";
    /// An administrator had a test notice sent: the channel is among the facts.
    NoticeTested = "notice.tested";
    /// A data connection came with a ticket that is unknown, used, late, or another's.
    TicketRefused = "ticket.refused";
}

impl fmt::Display for EventCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for EventCode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for EventCode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! subjects {
    ($($name:ident($id:ty);)*) => {
        /// What an event is about. Written as the id alone, whose prefix tells the kind.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Subject {
            $(#[doc = concat!("See [`", stringify!($id), "`].")] $name($id),)*
        }

        impl fmt::Display for Subject {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self { $(Self::$name(id) => fmt::Display::fmt(id, f),)* }
            }
        }

        impl FromStr for Subject {
            type Err = hoop_model::IdError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text.split('_').next().unwrap_or_default() {
                    $(<$id>::PREFIX => text.parse().map(Self::$name),)*
                    _ => Err(hoop_model::IdError::Malformed),
                }
            }
        }

        $(impl From<$id> for Subject {
            fn from(id: $id) -> Self {
                Self::$name(id)
            }
        })*
    };
}

subjects! {
    User(UserId);
    Group(GroupId);
    Login(LoginId);
    Token(TokenId);
    Agent(AgentId);
    JoinToken(JoinTokenId);
    Connection(ConnectionId);
    Session(SessionId);
    Grant(GrantId);
    Passkey(PasskeyId);
}

impl Serialize for Subject {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Subject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// An event before it has its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft {
    /// Who did it.
    pub actor: Actor,
    /// What.
    pub code: EventCode,
    /// To what.
    pub subjects: Vec<Subject>,
    /// The rest.
    pub facts: Facts,
}

impl Draft {
    /// An event without subjects or facts.
    #[must_use]
    pub fn new(actor: Actor, code: EventCode) -> Self {
        Self { actor, code, subjects: Vec::new(), facts: Facts::new() }
    }

    /// Adds what it is about.
    #[must_use]
    pub fn about(mut self, subject: impl Into<Subject>) -> Self {
        self.subjects.push(subject.into());
        self
    }

    /// Adds a fact.
    #[must_use]
    pub fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }
}

/// An event of the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEvent {
    /// Its id.
    pub id: EventId,
    /// Its place: the number of its leaf, from 0.
    pub seq: u64,
    /// Hash of the leaf before it; `None` for the first.
    pub prev: Option<Hash>,
    /// When, by the gateway's clock.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What.
    pub code: EventCode,
    /// To what.
    pub subjects: Vec<Subject>,
    /// The rest.
    pub facts: Facts,
}

impl LedgerEvent {
    /// The bytes to store and to hash: one line of JSON.
    ///
    /// # Errors
    /// When a fact cannot be written as JSON.
    pub fn to_leaf(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// Reads a stored leaf.
    ///
    /// # Errors
    /// When it is none, or of a later version.
    pub fn from_leaf(leaf: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(leaf)
    }
}

/// A leaf, ready to be stored in the transaction of the change that it tells about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The event with its place.
    pub event: LedgerEvent,
    /// Its bytes.
    pub leaf: Vec<u8>,
    /// Its hash.
    pub hash: Hash,
    /// Paths of facts whose values were withheld, for the schema of the code does not name them: a mistake of ours.
    pub withheld: Vec<String>,
}

/// The end of the log: what appending needs. To be stored in the same transaction as each leaf.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Appender {
    frontier: Frontier,
    last: Option<Hash>,
}

impl Appender {
    /// Gives a draft its place at the end. Facts that the catalogue does not name are withheld.
    ///
    /// # Errors
    /// When a fact cannot be written as JSON; nothing has changed then.
    pub fn append(
        &mut self,
        draft: Draft,
        id: EventId,
        at: Timestamp,
    ) -> Result<Appended, serde_json::Error> {
        let Draft { actor, code, subjects, mut facts } = draft;
        let withheld = catalogue::classify(code, &mut facts);
        let event =
            LedgerEvent { id, seq: self.frontier.size(), prev: self.last, at, actor, code, subjects, facts };
        let leaf = event.to_leaf()?;
        let hash = leaf_hash(&leaf);
        self.frontier.append(hash);
        self.last = Some(hash);
        Ok(Appended { event, leaf, hash, withheld })
    }

    /// The tree so far.
    #[must_use]
    pub const fn frontier(&self) -> &Frontier {
        &self.frontier
    }
}

/// The facts of a `recording.sealed` or `recording.interrupted` event, by which a verifier knows the recording.
#[must_use]
pub fn recording_facts(trailer: &Frame, signer: &VerifyingKey) -> Facts {
    let mut facts = Facts::new();
    facts.insert("manifest".to_owned(), Value::String(trailer.hash().to_string()));
    facts.insert("signer".to_owned(), Value::String(signer.to_string()));
    facts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_documented_and_read_again() {
        let mut seen = std::collections::BTreeSet::new();
        for code in EventCode::all() {
            assert!(seen.insert(code.as_str()), "{code}");
            assert!(code.description().ends_with('.'), "{code}: {}", code.description());
            assert_eq!(code.as_str().parse(), Ok(*code));
        }
        assert!("session.open".parse::<EventCode>().is_err());
    }

    #[test]
    fn a_leaf_reads_as_it_was_written() {
        let session = SessionId::generate();
        let mut log = Appender::default();
        let draft = Draft::new(Actor::System, EventCode::SessionEnded).about(session).fact("reason", "a\nb");
        let first = log.append(draft.clone(), EventId::generate(), Timestamp::EPOCH).unwrap();
        let second = log.append(draft, EventId::generate(), Timestamp::EPOCH).unwrap();
        assert_eq!(LedgerEvent::from_leaf(&first.leaf).unwrap(), first.event);
        assert!(!first.leaf.contains(&b'\n'));
        assert_eq!((second.event.seq, second.event.prev), (1, Some(first.hash)));
        let again: Appender = serde_json::from_str(&serde_json::to_string(&log).unwrap()).unwrap();
        assert_eq!(again, log);
    }

    #[test]
    fn a_secret_that_strayed_into_the_facts_is_in_no_leaf() {
        let draft = Draft::new(Actor::System, EventCode::SessionEnded).fact("password", "canary-77aa");
        let appended = Appender::default().append(draft, EventId::generate(), Timestamp::EPOCH).unwrap();
        assert_eq!(appended.withheld, ["password"]);
        let leaf = String::from_utf8(appended.leaf).unwrap();
        assert!(
            leaf.contains(r#""password":{"withheld":"unclassified"}"#) && !leaf.contains("canary"),
            "{leaf}"
        );
    }

    #[test]
    fn a_subject_of_no_kind_is_refused() {
        let id = SessionId::generate();
        assert_eq!(id.to_string().parse(), Ok(Subject::Session(id)));
        for text in ["", "ses", "xyz_aaaaaaaaaaaaaaaaaaaaaaaaaa", "evt_aaaaaaaaaaaaaaaaaaaaaaaaaa"] {
            assert!(text.parse::<Subject>().is_err(), "{text}");
        }
    }
}
