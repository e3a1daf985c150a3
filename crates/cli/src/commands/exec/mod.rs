//! `hoop exec`: a command or a shell in a pod, over a session of its own.

mod terminal;

use std::io::{self, IsTerminal as _};

use hoop_client::{
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
            let running = Box::pin(in_pod(command(&args), ours));
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
fn command(args: &Exec) -> PodCommand {
    let (keys, screen) = (io::stdin().is_terminal(), io::stdout().is_terminal());
    let shell = args.command.is_empty();
    let tty = !args.no_tty && (args.tty || (keys && screen));
    PodCommand {
        namespace: args.namespace.clone(),
        pod: args.pod.clone(),
        container: args.container.clone(),
        words: if shell { vec![SHELL.to_owned()] } else { args.command.clone() },
        stdin: args.stdin || shell || tty,
        tty,
    }
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
