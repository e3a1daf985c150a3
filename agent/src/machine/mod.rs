//! Programs on the agent's own machine: for connections of the protocol `exec`, as the accounts that the agent's owner allows.
//!
//! ```text
//!   engine ─▶ start ─▶ keeper ─▶ starter ═▶ program      the agent holds the streams, the keeper the processes
//! ```
//! - `accounts` looks up who a program runs as; `start` makes its streams and its keeper.
//! - `keeper` and `starter` are this binary once more, as processes of their own: so nothing is done between `fork` and `exec`,
//!   and the agent's descriptors, variables and folder are not the program's.
//! - `streams` are the agent's ends of its streams; `wire` is what the three say to each other.

mod accounts;
mod keeper;
mod start;
mod starter;
mod streams;
mod wire;

use std::{io, sync::Arc};

use hoop_engine::{
    TargetTls,
    hosted::Doing,
    program::{Program, ProgramOrder},
};
use hoop_model::{Blame, Fault};
use hoop_session::{Dial, Pending, TargetStream};
use tokio::net::TcpStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Runs as the keeper of one program, which is ordered over standard input.
///
/// # Errors
/// Whoever ordered it is gone.
pub fn keep() -> io::Result<()> {
    keeper::keep()
}

/// Becomes the program that is ordered over standard input.
///
/// # Errors
/// Whoever ordered it is gone.
pub fn start() -> io::Result<()> {
    starter::start()
}

/// What the agent's owner lets connections run on its machine: nothing, unless they name accounts.
#[derive(Debug, Default)]
pub(crate) struct MachinePolicy {
    /// Accounts that programs may run as.
    pub(crate) accounts: Vec<String>,
    /// Root and the agent's own may be among them.
    pub(crate) may_read_secrets: bool,
    /// This process can be run again as a keeper.
    pub(crate) is_own_binary: bool,
    /// Of all programs.
    pub(crate) tasks: TaskTracker,
}

impl MachinePolicy {
    /// The machine, for a connection whose programs run as this account.
    ///
    /// # Errors
    /// The owner does not allow it, or there is no such account.
    pub(crate) fn site(&self, user: &str) -> Result<Arc<Machine>, Fault> {
        if !self.is_own_binary || !self.accounts.iter().any(|allowed| allowed == user) {
            let what = format!("this agent runs no programs on its machine as {user}");
            return Err(Fault::new("HOOP-4247", Blame::Policy, what)
                .with_hint("its owner can allow it with --allow-exec; by default an agent runs none"));
        }
        let person = accounts::find(user)?;
        let own = rustix::process::geteuid().as_raw();
        if !self.may_read_secrets && [0, own].contains(&person.numbers.uid) {
            let what = format!("as {user} a program could read what this agent alone may know");
            return Err(Fault::new("HOOP-4248", Blame::Policy, what).with_hint(
                "give the connection another account; the agent's owner can allow this one with --exec-may-read-secrets",
            ));
        }
        Ok(Arc::new(Machine { person, tasks: self.tasks.clone() }))
    }
}

/// The agent's own machine, as the target of a connection.
#[derive(Debug)]
pub(crate) struct Machine {
    person: accounts::Person,
    tasks: TaskTracker,
}

fn no_address<T: Send + 'static>() -> Pending<T> {
    let what = "the agent's own machine is not dialled";
    Box::pin(std::future::ready(Err(Fault::new("HOOP-9003", Blame::System, what))))
}

impl Dial for Machine {
    fn dial(&self) -> Pending<TcpStream> {
        no_address()
    }

    fn start_tls(&self, _: TcpStream) -> Pending<(TargetStream, TargetTls)> {
        no_address()
    }

    fn start_program(&self, order: ProgramOrder, over: CancellationToken) -> Doing<Result<Program, Fault>> {
        Box::pin(start::start(self.person.clone(), order, self.tasks.clone(), over))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(policy: &MachinePolicy, user: &str) -> String {
        policy.site(user).map_or_else(|fault| fault.code.to_string(), |_| "allowed".to_owned())
    }

    fn policy(accounts: &[&str]) -> MachinePolicy {
        let accounts = accounts.iter().map(|&account| account.to_owned()).collect();
        MachinePolicy { accounts, is_own_binary: true, ..MachinePolicy::default() }
    }

    /// THREATS E1.
    #[test]
    fn nothing_runs_that_the_owner_of_the_machine_has_not_named() {
        assert_eq!(code(&MachinePolicy::default(), "root"), "HOOP-4247");
        assert_eq!(code(&policy(&[]), "daemon"), "HOOP-4247");
        assert_eq!(code(&policy(&["daemon"]), "bin"), "HOOP-4247");
        assert_eq!(code(&policy(&["daemon"]), "Daemon"), "HOOP-4247");
        assert_eq!(code(&policy(&["no-such-account"]), "no-such-account"), "HOOP-4249");
        assert_eq!(code(&policy(&["root"]), "root"), "HOOP-4248");
        assert_eq!(code(&MachinePolicy { may_read_secrets: true, ..policy(&["root"]) }, "root"), "allowed");
        // Somebody else's program, which this process cannot keep.
        assert_eq!(
            code(&MachinePolicy { is_own_binary: false, ..policy(&["daemon"]) }, "daemon"),
            "HOOP-4247"
        );
    }
}
