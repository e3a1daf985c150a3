//! Runs a program for the person: its environment, its signals, its exit code.

use std::{ffi::OsString, io, process::ExitStatus};

use hoop_client::ClientError;
use tokio::process::{Child, Command};

use crate::{
    failure::{Failure, Result},
    paste::Target,
};

/// A program that runs with the connection in its environment.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
}

/// Starts it.
pub(crate) fn start(command: &[OsString], target: &Target, statement: Option<&str>) -> Result<Running> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(ClientError::usage("HOOP-1014", "there is no program after `--`").into());
    };
    let mut prepared = Command::new(program);
    prepared.args(arguments).envs(target.environment()).kill_on_drop(false);
    prepared.envs(statement.map(|text| ("HOOP_STATEMENT", text)));
    for name in target.removed() {
        prepared.env_remove(name);
    }
    // What it does through hoop is done; a secret that opens more than this one session is not for it.
    prepared.env_remove("HOOP_TOKEN");
    let child = prepared.spawn().map_err(|error| {
        let shown = program.to_string_lossy();
        let hint = if error.kind() == io::ErrorKind::NotFound {
            "is it installed, and in PATH?"
        } else {
            "can it be run by you?"
        };
        ClientError::own("HOOP-1014", format!("{shown} cannot be started: {error}")).hint(hint)
    })?;
    Ok(Running { child })
}

impl Running {
    /// Waits for its end, and passes on what is sent to us meanwhile.
    pub(crate) async fn wait(mut self) -> Result {
        let mut signals = signals::Forwarded::listen()?;
        let status = loop {
            tokio::select! {
                status = self.child.wait() => break status?,
                signal = signals.next() => signals::send(&self.child, signal),
            }
        };
        match exit_code(status) {
            0 => Ok(()),
            code => Err(Failure::Child(code)),
        }
    }
}

/// As a shell gives it: its own, or 128 and the signal.
fn exit_code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(signal).map_or(u8::MAX, |signal| signal.saturating_add(128));
    }
    status.code().map_or(u8::MAX, |code| u8::try_from(code & 0xff).unwrap_or(u8::MAX))
}

#[cfg(unix)]
mod signals {
    use std::io::IsTerminal as _;

    use super::{Child, io};
    use tokio::signal::unix::{Signal, SignalKind, signal};

    /// Signals that we do not die of while the program runs.
    pub(super) struct Forwarded {
        interrupt: Signal,
        terminate: Signal,
        hang_up: Signal,
        quit: Signal,
        from_terminal: bool,
    }

    impl Forwarded {
        pub(super) fn listen() -> io::Result<Self> {
            Ok(Self {
                interrupt: signal(SignalKind::interrupt())?,
                terminate: signal(SignalKind::terminate())?,
                hang_up: signal(SignalKind::hangup())?,
                quit: signal(SignalKind::quit())?,
                // A terminal sends Ctrl-C to the whole group: the program has it already.
                from_terminal: io::stdin().is_terminal(),
            })
        }

        /// The next one to pass on.
        pub(super) async fn next(&mut self) -> SignalKind {
            loop {
                let (kind, typed) = tokio::select! {
                    _ = self.interrupt.recv() => (SignalKind::interrupt(), true),
                    _ = self.quit.recv() => (SignalKind::quit(), true),
                    _ = self.terminate.recv() => (SignalKind::terminate(), false),
                    _ = self.hang_up.recv() => (SignalKind::hangup(), false),
                };
                if !(typed && self.from_terminal) {
                    return kind;
                }
            }
        }
    }

    pub(super) fn send(child: &Child, kind: SignalKind) {
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(rustix::process::Pid::from_raw);
        let signal = rustix::process::Signal::from_named_raw(kind.as_raw_value());
        if let (Some(pid), Some(signal)) = (pid, signal) {
            let _ = rustix::process::kill_process(pid, signal);
        }
    }
}

#[cfg(not(unix))]
mod signals {
    use super::{Child, io};

    /// Elsewhere the console tells every process itself.
    pub(super) struct Forwarded;

    impl Forwarded {
        pub(super) fn listen() -> io::Result<Self> {
            Ok(Self)
        }

        pub(super) async fn next(&mut self) {
            std::future::pending().await
        }
    }

    pub(super) fn send(_: &Child, (): ()) {}
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use hoop_model::{ProtocolId, UserName};

    use super::*;

    fn target() -> Target {
        Target {
            protocol: ProtocolId::new("postgres").unwrap(),
            user: UserName::new("ada").unwrap(),
            database: Some("clinic".into()),
            port: Some(1234),
            socket: None,
            known_hosts: None,
            kubeconfig: None,
        }
    }

    async fn code_of(script: &str) -> u8 {
        let command = ["sh", "-c", script].map(OsString::from);
        match start(&command, &target(), None).unwrap().wait().await {
            Ok(()) => 0,
            Err(failure) => failure.code(),
        }
    }

    #[tokio::test]
    async fn the_exit_code_is_the_programs() {
        assert_eq!(code_of("exit 0").await, 0);
        assert_eq!(code_of("exit 3").await, 3);
        assert_eq!(code_of("exit 255").await, 255);
        assert_eq!(code_of("kill -9 $$").await, 137);
    }

    #[tokio::test]
    async fn the_program_finds_its_connection_in_the_environment() {
        let check =
            "test \"$PGHOST:$PGPORT:$PGUSER:$PGDATABASE:$PGSSLMODE\" = 127.0.0.1:1234:ada:clinic:disable";
        assert_eq!(code_of(check).await, 0);
        assert_eq!(code_of("test -z \"$PGPASSWORD$PGHOSTADDR\"").await, 0);
    }

    #[test]
    fn a_program_that_is_not_there_is_our_own_error() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let _inside = runtime.enter();
        let error = start(&["/nonexistent/psql".into()], &target(), None).unwrap_err();
        assert_eq!(error.code(), 1);
        assert_eq!(start(&[], &target(), None).unwrap_err().code(), 2);
    }

    #[tokio::test]
    async fn a_signal_is_passed_on() {
        let folder = tempfile::tempdir().unwrap();
        let ready = folder.path().join("ready");
        let script = format!("trap 'exit 7' TERM; touch {}; while :; do sleep 0.05; done", ready.display());
        let running = start(&["sh", "-c", &script].map(OsString::from), &target(), None).unwrap();
        let pid = running.child.id();
        let waiting = tokio::spawn(async move { running.wait().await });
        while !ready.exists() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
        // What the handler of our own SIGTERM would do.
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid.unwrap()).unwrap()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(waiting.await.unwrap().unwrap_err().code(), 7);
    }
}
