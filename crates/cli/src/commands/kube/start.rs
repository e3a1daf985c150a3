//! Starts the tunnel of a connection in the background, unless it runs: whoever comes first starts it, the others wait.
//!
//! The tunnel is this program again, `hoop kube tunnel NAME --background`. It says on its stdout, in one line, how it went.

use std::{fs::File, io, process::Stdio, time::Duration};

use hoop_client::{
    ClientError,
    kube::{Running, TunnelFolder},
    profile::write_private,
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
};

use crate::{
    args::TUNNEL_REASON,
    commands::step_up::{self, AtTheTerminal},
    failure::Result,
};

/// A session is opened in a second or two; a gateway that does not answer is given up by then.
const PATIENCE: Duration = Duration::from_secs(45);
const LONGEST_LINE: u64 = 64 * 1024;
const SECOND_FACTOR: &str = "HOOP-2003";

/// What the tunnel says when it is open, or never will be.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Told {
    /// It accepts clients.
    Open {
        /// Somebody has the port that it had: it has another one now, and the contexts say so.
        moved_from: Option<u16>,
    },
    /// It does not.
    Failed(ClientError),
}

/// A tunnel that runs.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) running: Running,
    /// It was opened just now, for us.
    pub(super) fresh: bool,
    /// See [`Told::Open`].
    pub(super) moved_from: Option<u16>,
}

/// Finds the tunnel, or starts it. Whoever sits at the terminal is asked for a second factor, if one is wanted.
pub(super) async fn ensure(folder: &TunnelFolder, reason: Option<&str>) -> Result<Started> {
    if let Some(running) = folder.running()? {
        return Ok(Started { running, fresh: false, moved_from: None });
    }
    let waiting = folder.clone();
    let lock = tokio::task::spawn_blocking(move || waiting.start_lock(PATIENCE)).await;
    let _lock = lock.map_err(io::Error::other)??;
    // While we waited, the one before us may have started it.
    if let Some(running) = folder.running()? {
        return Ok(Started { running, fresh: false, moved_from: None });
    }
    let moved_from = match start(folder, reason).await {
        Err(error)
            if error.is(SECOND_FACTOR) && hoop_client::step_up::StepUp::is_possible(&AtTheTerminal) =>
        {
            step_up::ask(&crate::commands::api()?, false).await?;
            start(folder, reason).await?
        }
        other => other?,
    };
    let running = folder.running()?.ok_or_else(|| gone(folder))?;
    Ok(Started { running, fresh: true, moved_from })
}

async fn start(folder: &TunnelFolder, reason: Option<&str>) -> Result<Option<u16>, ClientError> {
    let failed = |error: io::Error| {
        ClientError::own("HOOP-1070", format!("the tunnel of {} cannot be started: {error}", folder.name()))
    };
    let log = folder.log();
    write_private(&log, b"").map_err(failed)?;
    let log = File::options().append(true).open(log).map_err(failed)?;
    let mut command = Command::new(std::env::current_exe().map_err(failed)?);
    command.args(["kube", "tunnel", folder.name().as_str(), "--background"]);
    command.env_remove(TUNNEL_REASON).envs(reason.map(|reason| (TUNNEL_REASON, reason)));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
    let mut child = command.spawn().map_err(failed)?;
    match tokio::time::timeout(PATIENCE, listen(&mut child)).await {
        Ok(Ok(Some(Told::Open { moved_from }))) => Ok(moved_from),
        Ok(Ok(Some(Told::Failed(error)))) => Err(error),
        Ok(Ok(None)) => Err(gone(folder)),
        Ok(Err(error)) => Err(failed(error)),
        Err(_) => {
            let _ = child.start_kill();
            let what = format!("the tunnel of {} was not open after {} s", folder.name(), PATIENCE.as_secs());
            Err(ClientError::own("HOOP-1070", what).hint(look(folder)))
        }
    }
}

/// The one line of its stdout; `None` if it ended without a word.
async fn listen(child: &mut Child) -> io::Result<Option<Told>> {
    let Some(stdout) = child.stdout.take() else { return Ok(None) };
    let mut line = String::new();
    BufReader::new(stdout.take(LONGEST_LINE)).read_line(&mut line).await?;
    Ok(serde_json::from_str(&line).ok())
}

fn gone(folder: &TunnelFolder) -> ClientError {
    ClientError::own("HOOP-1070", format!("the tunnel of {} ended at once", folder.name())).hint(look(folder))
}

fn look(folder: &TunnelFolder) -> String {
    format!("see {}; `hoop kube tunnel {}` runs it in the foreground", folder.log().display(), folder.name())
}
