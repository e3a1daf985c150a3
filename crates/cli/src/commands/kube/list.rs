//! `hoop kube ls`.

use hoop_client::kube::WrittenContext;
use hoop_model::Timestamp;
use serde::Serialize;

use super::folder;
use crate::{
    commands::account::until,
    failure::Result,
    output::{Out, Table},
};

/// A connection with its tunnel, as JSON shows it.
#[derive(Debug, Serialize)]
struct Shown {
    connection: String,
    port: u16,
    contexts: Vec<WrittenContext>,
    pid: Option<u32>,
    session: Option<String>,
    ends_at: Option<Timestamp>,
}

pub(super) fn ls(out: &Out) -> Result {
    let mut shown = Vec::new();
    for tunnel in folder()?.tunnels() {
        let Some(login) = tunnel.login()? else { continue };
        let running = tunnel.running()?;
        shown.push(Shown {
            connection: tunnel.name().to_string(),
            port: login.port,
            contexts: login.contexts,
            pid: running.as_ref().map(|running| running.pid),
            session: running.as_ref().map(|running| running.session.to_string()),
            ends_at: running.map(|running| running.ends_at),
        });
    }
    out.data(&shown, |shown| {
        if shown.is_empty() {
            return "You have logged in to no cluster: hoop kube login NAME (see `hoop ls`).".to_owned();
        }
        let mut table = Table::new(["CONNECTION", "CONTEXT", "PORT", "TUNNEL", "ENDS IN", "SESSION"]);
        for one in shown {
            let contexts: Vec<_> = one.contexts.iter().map(|context| context.name.as_str()).collect();
            let state =
                one.pid.map_or_else(|| "kubectl opens it".to_owned(), |pid| format!("open (process {pid})"));
            let ends = one.ends_at.map_or_else(String::new, until);
            let session = one.session.as_deref().unwrap_or_default();
            table.row([&one.connection, &contexts.join(", "), &one.port.to_string(), &state, &ends, session]);
        }
        table.render()
    })?;
    Ok(())
}
