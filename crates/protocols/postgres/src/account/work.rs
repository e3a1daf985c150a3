//! The two errands, step by step. Each step names what was asked; its answer decides the next.

use std::sync::Arc;

use bytes::BytesMut;
use hoop_engine::{Account, Errand, ErrandOutput, Outcome};
use hoop_model::{Blame, Fault, Redacted};

use super::{
    AccountTerms, sql,
    wire::{Answer, Broken, Refused, Wire},
};

/// Looks at backends that were told to end, 50 ms apart.
const MOST_LOOKS: u32 = 60;

/// `insufficient_privilege`.
const NOT_ALLOWED: &str = "42501";

fn not_allowed(why: &str) -> Fault {
    let message = format!("the database server does not let hoop manage accounts of sessions: {why}");
    Fault::new("HOOP-5015", Blame::Target, message).with_hint(
        "an admin gives the connection's user CREATEROLE, and the roles of `accounts.in_roles` WITH ADMIN OPTION",
    )
}

fn failed(why: &str) -> Fault {
    let message = format!("the account of this session cannot be made or removed: {why}");
    Fault::new("HOOP-5016", Blame::Target, message)
        .with_hint("an admin looks at the connection's `accounts` and at the database server")
}

fn refused(refused: &Refused) -> Fault {
    let why = format!("{} ({})", refused.message, refused.sqlstate);
    if refused.sqlstate == NOT_ALLOWED { not_allowed(&why) } else { failed(&why) }
}

/// A step that failed.
struct Failed {
    fault: Fault,
    /// The server refused the statements, so none of them had an effect.
    is_final: bool,
}

fn read(wire: &mut Wire, input: &mut BytesMut) -> Result<Option<Answer>, Failed> {
    let answer = wire.read(input).map_err(|broken| match broken {
        Broken::Refused(why) => Failed { fault: refused(&why), is_final: false },
        Broken::Malformed(why) => {
            let fault = failed(&format!("the database server answered what cannot be: {why}"));
            Failed { fault, is_final: false }
        }
    })?;
    match answer {
        Some(Answer { refused: Some(why), .. }) => Err(Failed { fault: refused(&why), is_final: true }),
        answer => Ok(answer),
    }
}

enum Making {
    LoggingIn,
    Preparing,
    Checking,
    Creating,
}

/// Makes an account.
pub(super) struct Make {
    wire: Wire,
    terms: Arc<AccountTerms>,
    statements: Redacted<String>,
    step: Making,
}

impl Make {
    pub(super) fn new(terms: Arc<AccountTerms>, statements: Redacted<String>) -> Self {
        let mut wire = Wire::default();
        wire.connect(&terms.database);
        Self { wire, terms, statements, step: Making::LoggingIn }
    }

    fn answered(&mut self, answer: &Answer) -> Result<(), Fault> {
        self.step = match self.step {
            Making::LoggingIn => {
                self.wire.ask(sql::PREPARE);
                Making::Preparing
            }
            Making::Preparing => {
                self.wire.ask(&sql::check(&self.terms));
                Making::Checking
            }
            Making::Checking => {
                self.check(answer)?;
                self.wire.ask(self.statements.expose());
                Making::Creating
            }
            Making::Creating => {
                let number =
                    answer.number(0, 0).ok_or_else(|| failed("it was not there once it was made"))?;
                self.wire.finish(Outcome::Made { number });
                Making::Creating
            }
        };
        Ok(())
    }

    /// Everything that its removal will need is to be had before it is made.
    fn check(&self, answer: &Answer) -> Result<(), Fault> {
        if answer.text(0, 0) != Some("t") {
            return Err(not_allowed("its user has not CREATEROLE"));
        }
        for role in &self.terms.in_roles {
            let found =
                answer.rows.iter().skip(1).find(|row| row.first().is_some_and(|n| n.as_ref() == Some(role)));
            let flag =
                |at: usize| found.and_then(|row| row.get(at)?.as_deref()).is_some_and(|flag| flag == "t");
            if found.is_none() {
                return Err(failed(&format!("role {role:?} does not exist")));
            }
            // Through SET ROLE the person could do anything, and take away the marks of accounts.
            if flag(2) {
                return Err(failed(&format!("role {role:?} is a superuser")));
            }
            if *role == self.terms.objects_to && !flag(1) {
                return Err(not_allowed(&format!("its user is not a member of {role:?}")));
            }
        }
        Ok(())
    }
}

impl Errand for Make {
    fn poll_output(&mut self) -> ErrandOutput {
        self.wire.next()
    }

    fn handle_input(&mut self, input: &mut BytesMut) -> Result<(), Fault> {
        let read = read(&mut self.wire, input);
        if read.as_ref().is_err_and(|refused| refused.is_final) {
            // The server said no to all of it.
            self.step = Making::Checking;
        }
        read.map_err(|refused| refused.fault)?.map_or(Ok(()), |answer| self.answered(&answer))
    }

    fn may_have_acted(&self) -> bool {
        matches!(self.step, Making::Creating)
    }
}

enum Removing {
    LoggingIn,
    Finding,
    Shutting,
    Joining,
    Ending { looks: u32 },
    Counting,
    Emptying,
    Dropping,
}

/// Removes an account.
pub(super) struct Remove {
    wire: Wire,
    terms: Arc<AccountTerms>,
    account: Account,
    step: Removing,
    /// The session's settings are made on this connection.
    prepared: bool,
    /// Its name and number now: a person with the right to could have renamed it.
    found: (String, u64),
    version: u32,
    superuser: bool,
    databases: Vec<String>,
    handed_over: u64,
}

impl Remove {
    pub(super) fn new(terms: Arc<AccountTerms>, account: Account) -> Self {
        let mut wire = Wire::default();
        wire.connect(&terms.database);
        Self {
            wire,
            terms,
            account,
            step: Removing::LoggingIn,
            prepared: false,
            found: (String::new(), 0),
            version: 0,
            superuser: false,
            databases: Vec::new(),
            handed_over: 0,
        }
    }

    fn answered(&mut self, answer: &Answer) -> Result<(), Fault> {
        let number = self.found.1;
        self.step = match self.step {
            Removing::LoggingIn if !self.prepared => {
                self.prepared = true;
                self.wire.ask(sql::PREPARE);
                Removing::LoggingIn
            }
            Removing::LoggingIn if number == 0 => {
                self.wire.ask(&sql::find(&self.account));
                Removing::Finding
            }
            // On a connection to another database.
            Removing::LoggingIn => self.empty(),
            Removing::Finding => return self.identify(answer),
            Removing::Shutting if self.superuser => self.end_backends(0),
            Removing::Shutting => {
                self.wire.ask(&sql::join(&self.found.0, self.version));
                Removing::Joining
            }
            Removing::Joining => self.end_backends(0),
            Removing::Ending { .. } if answer.number(answer.rows.len().saturating_sub(1), 0) == Some(0) => {
                self.wire.ask(&sql::databases(number));
                Removing::Counting
            }
            Removing::Ending { looks } if looks < MOST_LOOKS => self.end_backends(looks + 1),
            Removing::Ending { .. } => return Err(failed("what runs as it does not end")),
            Removing::Counting => {
                self.count(answer);
                // What belongs to no database is dealt with in any.
                self.empty()
            }
            Removing::Emptying => self.go_on(),
            Removing::Dropping => {
                self.wire.finish(Outcome::Removed { handed_over: self.handed_over });
                Removing::Dropping
            }
        };
        Ok(())
    }

    /// Ours is the one with our mark, and with our number if we know it.
    fn identify(&mut self, answer: &Answer) -> Result<(), Fault> {
        let known = |row: usize| {
            let ours = answer.text(row, 2) == Some(self.account.mark.as_str());
            ours && self.account.number.is_none_or(|number| answer.number(row, 0) == Some(number))
        };
        let Some(row) = (0..answer.rows.len()).find(|row| known(*row)) else {
            let outcome = if answer.rows.is_empty() { Outcome::Absent } else { Outcome::Foreign };
            self.wire.finish(outcome);
            return Ok(());
        };
        let wrong = || failed("the database server answered what cannot be");
        let name = answer.text(row, 1).ok_or_else(wrong)?.to_owned();
        self.found = (name, answer.number(row, 0).ok_or_else(wrong)?);
        self.version = answer.text(row, 3).and_then(|version| version.parse().ok()).ok_or_else(wrong)?;
        self.superuser = answer.text(row, 4) == Some("t");
        self.wire.ask(&sql::shut(&self.found.0));
        self.step = Removing::Shutting;
        Ok(())
    }

    fn end_backends(&mut self, looks: u32) -> Removing {
        let pause = if looks == 0 { "" } else { "SELECT pg_sleep(0.05); " };
        self.wire.ask(&format!("{pause}{}", sql::terminate(self.found.1)));
        Removing::Ending { looks }
    }

    fn count(&mut self, answer: &Answer) {
        for row in 0..answer.rows.len() {
            self.handed_over = self.handed_over.saturating_add(answer.number(row, 1).unwrap_or(0));
            let other = answer.text(row, 0).filter(|name| *name != self.terms.database);
            self.databases.extend(other.map(str::to_owned));
        }
    }

    fn empty(&mut self) -> Removing {
        self.wire.ask(&sql::empty(&self.found.0, &self.terms.objects_to));
        Removing::Emptying
    }

    fn go_on(&mut self) -> Removing {
        if let Some(database) = self.databases.pop() {
            self.prepared = false;
            self.wire.reconnect(&database);
            return Removing::LoggingIn;
        }
        self.wire.ask(&sql::drop(&self.found.0));
        Removing::Dropping
    }
}

impl Errand for Remove {
    fn poll_output(&mut self) -> ErrandOutput {
        self.wire.next()
    }

    fn handle_input(&mut self, input: &mut BytesMut) -> Result<(), Fault> {
        let read = read(&mut self.wire, input).map_err(|refused| refused.fault);
        read?.map_or(Ok(()), |answer| self.answered(&answer))
    }

    fn may_have_acted(&self) -> bool {
        self.found.1 != 0
    }
}
