//! `hoop kube logout`: ends tunnels, and takes their contexts out of kubeconfigs.

use std::time::Duration;

use hoop_client::{
    ClientError,
    kube::{TunnelFolder, rewrite},
};
use serde::Serialize;
use tokio::time::{sleep, timeout};

use super::{folder, not_logged_in};
use crate::{
    args::KubeLogout,
    failure::Result,
    output::{Out, text},
};

/// It closes its session first.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// What was ended, as JSON shows it.
#[derive(Debug, Serialize)]
struct Ended {
    connection: String,
    tunnel_ended: bool,
    contexts: Vec<String>,
}

pub(super) async fn logout(args: &KubeLogout, out: &Out) -> Result {
    let root = folder()?;
    let tunnels = match &args.name {
        Some(name) => vec![root.tunnel(name)],
        None => root.tunnels(),
    };
    let mut ended = Vec::new();
    for tunnel in &tunnels {
        let Some(login) = tunnel.login()? else {
            if args.all {
                continue;
            }
            return Err(not_logged_in(tunnel.name()).into());
        };
        let tunnel_ended = stop(tunnel).await?;
        for context in &login.contexts {
            // A file that is gone has no context of ours.
            if context.file.exists() {
                rewrite(&context.file, |config| {
                    config.remove(&context.name, tunnel.name(), context.before.as_deref());
                    Ok(())
                })?;
            }
        }
        tunnel.forget()?;
        let contexts = login.contexts.into_iter().map(|context| context.name).collect();
        ended.push(Ended { connection: tunnel.name().to_string(), tunnel_ended, contexts });
    }
    out.data(&ended, |ended| {
        let line = |one: &Ended| {
            let tunnel = if one.tunnel_ended { "tunnel ended, " } else { "" };
            let contexts = if one.contexts.is_empty() { "none".to_owned() } else { one.contexts.join(", ") };
            format!("{}: {tunnel}contexts removed: {}", one.connection, text::line(&contexts))
        };
        if ended.is_empty() {
            return "There was nothing to end.".to_owned();
        }
        ended.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(())
}

/// Ends the tunnel, and waits for it; `false` if there was none.
pub(super) async fn stop(tunnel: &TunnelFolder) -> Result<bool> {
    let Some(running) = tunnel.running()? else { return Ok(false) };
    terminate(running.pid);
    let ended = timeout(PATIENCE, async {
        while tunnel.running()?.is_some() {
            sleep(PAUSE).await;
        }
        Ok::<_, ClientError>(())
    });
    match ended.await {
        Ok(result) => result.map(|()| true).map_err(Into::into),
        Err(_) => {
            let what = format!("the tunnel of {} (process {}) does not end", tunnel.name(), running.pid);
            Err(ClientError::own("HOOP-1070", what).hint(format!("run: kill -9 {}", running.pid)).into())
        }
    }
}

/// Its lock is held, so the process lives, and its number is its own.
#[cfg(unix)]
fn terminate(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

#[cfg(not(unix))]
fn terminate(pid: u32) {
    let _ = std::process::Command::new("taskkill").args(["/pid", &pid.to_string(), "/f"]).output();
}
