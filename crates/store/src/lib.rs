//! The only crate that speaks SQL: what the gateway remembers, in SQLite or PostgreSQL, behind one [`Store`].
//!
//! Every method that changes something the ledger tells about takes the events it causes and appends them in the same
//! transaction: neither is ever there without the other. Secrets arrive hashed or sealed; this crate must not know
//! keys, must not read a clock (times are arguments), and must not decide policy.

mod agents;
mod capabilities;
mod connections;
mod copy;
mod db;
mod error;
mod factors;
mod flows;
mod holds;
mod ledger;
mod logins;
mod notices;
mod page;
mod passkeys;
mod persons;
mod policies;
mod proofs;
mod providers;
mod receivers;
mod recording_keys;
mod requests;
mod retention;
mod scim;
mod sealed_codes;
mod secrets;
mod services;
mod sessions;
mod statements;
mod users;

pub use agents::{Agent, JoinToken, NewAgent, NewJoinToken};
pub use capabilities::{Capability, CapabilityUse, NewCapability};
pub use connections::{Connection, NewConnection};
pub use copy::{Cell, ExportError, Exported, Import, Kind, Table};
pub use db::Store;
pub use error::{Conflict, StoreError};
pub use factors::Factor;
pub use flows::{DevicePoll, FlowKind, NewFlow};
pub use holds::{HoldSubject, LegalHold, NewHold};
pub use ledger::{EventFilter, LedgerHead, NewEvent, StoredCheckpoint, StoredEvent};
pub use logins::{ClientKind, Login, NewLogin, NewToken, Proof, Rotation, SignedIn, Swept, TokenKind};
pub use notices::{NewNotice, NoticeState, NoticesWaiting, StoredNotice};
pub use page::Page;
pub use passkeys::{NewPasskey, Passkey, PasskeyUse};
pub use policies::{NewPolicy, PolicyBundle, PolicyVersion};
pub use proofs::Cosignature;
pub use providers::ProviderToken;
pub use receivers::{Receiver, ReceiverKind};
pub use recording_keys::{NewRecordingKey, RecordingKey};
pub use requests::{
    AskedStatement, Decision, NewRequest, Request, RequestFilter, RequestKind, RequestState, Review, SeenBy,
};
pub use scim::{GroupStep, NewScimUser, ScimChange, ScimGroup, ScimUsers};
pub use sealed_codes::{CodeSet, NewCodeSet, SealedCode};
pub use services::{ApiToken, NewApiToken, NewServiceAccount, ServiceAccount};
pub use sessions::{
    Keeping, NewSession, RecordingEnd, RecordingEnding, SessionEnd, SessionFilter, SessionProgress,
    SessionRecord, SessionState,
};
pub use statements::{
    FoundStatement, IndexOutcome, NewStatement, NotIndexed, StatementFilter, StatementOutcome,
};
pub use users::{FailedAttempt, NewUser, OidcUser, User, UserChange, UserSource};

/// SHA-256 of a secret that only its holder has: what tokens and codes are looked up by.
pub type Sha256 = [u8; 32];
