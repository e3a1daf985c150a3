//! What is said to a target in nobody's session: accounts that are made for one alone and removed with it, and a look
//! whether it is there.
//!
//! A protocol says with [`Errand`]s what is to be told to the target; who runs them carries their bytes through an
//! engine of the same target, logged in with the connection's own credential. So there is one way to log in, and one
//! place where a target is dialled.

use bytes::{Bytes, BytesMut};
use hoop_masking::Kind;
use hoop_model::{Fault, SessionId, Timestamp, UserName};

use crate::Credential;

/// An account of ours at a target, by what it is found again after a crash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The name that it was made under.
    pub name: String,
    /// What is written at the account itself: nobody else's account of the same name has it.
    pub mark: String,
    /// The target's own number for it, once it is made.
    pub number: Option<u64>,
}

/// Makes and removes accounts at one target.
pub trait Accounts: Send + Sync {
    /// Names an account for somebody's session. Nothing is said to the target yet: whoever makes accounts writes down
    /// first that there may be one.
    ///
    /// # Errors
    /// A [`Fault`] when there is no randomness.
    fn name(&self, person: &UserName, session: SessionId) -> Result<Account, Fault>;

    /// Makes it, good until `until`: what is to be said, and the credential that will then be good.
    ///
    /// # Errors
    /// A [`Fault`] when there is no randomness.
    fn make(&self, account: &Account, until: Timestamp) -> Result<(Box<dyn Errand>, Credential), Fault>;

    /// Ends what runs as it, and removes it. What it made at the target is kept, under another owner.
    fn remove(&self, account: &Account) -> Box<dyn Errand>;

    /// What an account can do, for recordings and people.
    fn describe(&self) -> String;
}

/// Something that is said to a target in a client's place, sans-IO. Drain [`Errand::poll_output`] to
/// [`ErrandOutput::Idle`] after each input.
pub trait Errand: Send {
    /// The next thing to do.
    fn poll_output(&mut self) -> ErrandOutput;

    /// Bytes of the target, as a client would get them. What is consumed is taken from the front.
    ///
    /// # Errors
    /// A [`Fault`] says what the target refused; the errand is over.
    fn handle_input(&mut self, input: &mut BytesMut) -> Result<(), Fault>;

    /// Something may have changed at the target, whatever became of the answer.
    fn may_have_acted(&self) -> bool;
}

/// What an errand wants done.
#[derive(Debug, PartialEq, Eq)]
pub enum ErrandOutput {
    /// Send these bytes.
    Send(Bytes),
    /// Send what was said, close this connection, and go on with a fresh one.
    Reconnect,
    /// Nothing until something comes.
    Idle,
    /// It is over.
    Done(Outcome),
}

/// How an errand ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The account is made.
    Made {
        /// The target's own number for it.
        number: u64,
    },
    /// The account is gone.
    Removed {
        /// So many things that it had made were given to another owner.
        handed_over: u64,
    },
    /// There was no such account.
    Absent,
    /// There is one of that name, and it is not ours: it was left alone.
    Foreign,
    /// The target answered a look.
    Seen {
        /// What it calls itself.
        version: String,
    },
    /// Columns that seem to hold personal data.
    Scanned {
        /// Which, in the order of their names.
        findings: Vec<ColumnFinding>,
        /// So many columns were looked at.
        columns: u64,
        /// There are more, or some could not be read.
        partial: bool,
    },
}

/// A column that seems to hold personal data. No value is among it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ColumnFinding {
    /// Its table's schema.
    pub schema: String,
    /// Its table.
    pub table: String,
    /// Its name.
    pub column: String,
    /// Its type, as the target writes it.
    pub type_name: String,
    /// What it seems to hold.
    pub kind: Kind,
    /// Values that were read.
    pub rows: u32,
    /// Of these, so many hold it.
    pub hits: u32,
    /// Its name says so.
    pub by_name: bool,
}
