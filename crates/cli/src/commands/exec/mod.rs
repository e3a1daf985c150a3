//! `hoop exec`: a command or a shell in a pod, over a session of its own.

mod terminal;

use std::io::{self, IsTerminal as _};

use hoop_client::{
    ClientError,
    connector::Wanted,
    kube::exec::{Ends, PodCommand, run},
};
use tokio::io::duplex;

use super::{
    api, kube,
    opening::{carriage, farewell, open_session, stop_asked},
};
use crate::{
    args::Exec,
    failure::{Failure, Result},
    output::Out,
};

/// Between the command's end and its stream.
const BUFFER: usize = 256 * 1024;
const SHELL: &str = "sh";

pub(super) async fn exec(args: Exec, out: &Out) -> Result {
    let command = command(&args)?;
    let api = api()?;
    let wanted = Wanted {
        connection: args.name.clone(),
        reason: args.reason.clone(),
        statement: None,
        carriage: carriage(args.transport),
    };
    let session = open_session(&api, &wanted, out).await?;
    let result = match kube::must_be_kubernetes(&session) {
        Ok(()) => {
            let (ours, theirs) = duplex(BUFFER);
            let running = Box::pin(in_pod(command, ours));
            tokio::select! {
                biased;
                ended = running => ended,
                // A stream that is over may have left something to hear: only its failure ends the command.
                Err(error) = session.carry(theirs) => Err(error.into()),
                over = session.until_over() => Err(over.fault().into()),
            }
        }
        Err(error) => Err(error.into()),
    };
    farewell(&api, &session).await;
    result
}

/// What is wanted, and what follows from where stdin and stdout lead.
fn command(args: &Exec) -> Result<PodCommand> {
    let pod = ["pod/", "pods/"].iter().find_map(|kind| args.pod.strip_prefix(kind)).unwrap_or(&args.pod);
    if pod.is_empty() || pod.contains('/') {
        let error = ClientError::usage("HOOP-1015", format!("{:?} is no name of a pod", args.pod));
        return Err(error.hint("commands run in pods only: `kubectl get pods` shows their names").into());
    }
    let (keys, screen) = (io::stdin().is_terminal(), io::stdout().is_terminal());
    let shell = args.command.is_empty();
    let tty = !args.no_tty && (args.tty || (keys && screen));
    Ok(PodCommand {
        namespace: args.namespace.clone(),
        pod: pod.to_owned(),
        container: args.container.clone(),
        words: if shell { vec![SHELL.to_owned()] } else { args.command.clone() },
        stdin: args.stdin || shell || tty,
        tty,
    })
}

async fn in_pod(command: PodCommand, stream: tokio::io::DuplexStream) -> Result {
    // Dropped on every way out of here: the terminal is as it was.
    let terminal = command.tty.then(terminal::Raw::enter).transpose()?;
    let ends = Ends {
        stdin: command.stdin.then(tokio::io::stdin),
        stdout: tokio::io::stdout(),
        stderr: tokio::io::stderr(),
        size: terminal.as_ref().map(terminal::Raw::size),
    };
    let watching = async {
        match &terminal {
            Some(terminal) => terminal.watch().await,
            None => std::future::pending().await,
        }
    };
    let code = tokio::select! {
        biased;
        ended = run(stream, &command, ends) => ended?,
        stopped = stop_asked() => {
            stopped?;
            // As a shell gives it for SIGINT, whichever signal it was.
            130
        }
        broken = watching => return Err(broken.into()),
    };
    match code {
        0 => Ok(()),
        code => Err(Failure::Child(code)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command};

    fn read(line: &str) -> Result<PodCommand> {
        match Cli::try_parse_from(line.split(' ')).unwrap().command {
            Command::Exec(args) => command(&args),
            _ => panic!("{line}"),
        }
    }

    /// The tests' own stdin and stdout decide what is not said.
    #[test]
    fn a_shell_has_input_and_a_command_has_what_was_said() {
        let shell = read("hoop exec k8s web -T").unwrap();
        assert_eq!((shell.words.as_slice(), shell.stdin, shell.tty), (&["sh".to_owned()][..], true, false));
        let one = read("hoop exec k8s pod/web -T -n shop -c app -- ls -t").unwrap();
        assert_eq!(
            (one.pod.as_str(), one.namespace.as_str(), one.container.as_deref()),
            ("web", "shop", Some("app"))
        );
        assert_eq!(
            (one.words.as_slice(), one.stdin, one.tty),
            (&["ls".to_owned(), "-t".to_owned()][..], false, false)
        );
        let terminal = read("hoop exec k8s web -t -- top").unwrap();
        assert!(terminal.stdin && terminal.tty);
        for line in ["hoop exec k8s deploy/web", "hoop exec k8s pod/", "hoop exec k8s a/b/c"] {
            assert_eq!(read(line).unwrap_err().code(), 2, "{line}");
        }
    }
}
