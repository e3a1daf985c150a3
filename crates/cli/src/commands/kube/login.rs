//! `hoop kube login`: a tunnel, and a context in the person's kubeconfig that leads to it.

use std::path::{Path, PathBuf};

use hoop_client::{
    ClientError,
    kube::{
        Cluster, Entry, KubeFolder, KubeLogin, Plugin, TunnelFolder, User, WrittenContext, default_file,
        rewrite,
    },
};
use hoop_model::ConnectionName;
use serde::Serialize;
use tokio::net::TcpListener;

use super::{
    folder, logout,
    start::{self, Started},
};
use crate::{
    args,
    commands::{account::until, api, opening},
    failure::{Failure, Result},
    output::{Look, Out, text},
    paste::shell,
};

/// Below the ports that systems give to outgoing connections, so that a kept one is seldom taken.
const PORTS: std::ops::Range<u16> = 21_000..32_000;

/// What was written, as JSON shows it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    connection: &'a str,
    context: &'a str,
    kubeconfig: &'a Path,
    server: String,
    session: String,
    ends_at: String,
}

pub(super) async fn login(args: args::KubeLogin, out: &Out) -> Result {
    let root = folder()?;
    let tunnel = root.tunnel(&args.name);
    let file = match &args.kubeconfig {
        Some(file) => file.clone(),
        None => default_file(|name| std::env::var_os(name))?,
    };
    let written = Written {
        file: std::path::absolute(file)?,
        name: args.context.clone().unwrap_or_else(|| format!("hoop-{}", args.name)),
        namespace: args.namespace.clone(),
        authority_pem: root.authority()?.certificate_pem().to_owned(),
        plugin: plugin(&args.name)?,
    };
    let before = tunnel.login()?;
    let port = match &before {
        Some(login) => login.port,
        None => free_port(&root).await?,
    };
    // Better to know now that the file cannot be changed than after the tunnel is open.
    written.try_out(port)?;
    if before.is_none() {
        tunnel.keep(&KubeLogin { port, contexts: Vec::new() })?;
    }
    match finish(&tunnel, &written, &args, out).await {
        Ok(started) => show(&started, &written, &args, out),
        Err(failure) => {
            if before.is_none() {
                logout::stop(&tunnel).await?;
                tunnel.forget()?;
            }
            Err(failure)
        }
    }
}

async fn finish(
    tunnel: &TunnelFolder,
    written: &Written,
    args: &args::KubeLogin,
    out: &Out,
) -> Result<Started> {
    let started = out.waiting("Opening the tunnel", start::ensure(tunnel, args.reason.as_deref())).await;
    let started = match started {
        Err(Failure::Error(error)) if error.is(opening::APPROVAL) => {
            opening::approved(&api()?, &args.name, None, error, out).await?;
            start::ensure(tunnel, args.reason.as_deref()).await?
        }
        other => other?,
    };
    let before = written.write(started.running.port)?;
    remember(tunnel, written, before)?;
    Ok(started)
}

/// What goes into the file.
struct Written {
    file: PathBuf,
    name: String,
    namespace: Option<String>,
    authority_pem: String,
    plugin: Plugin,
}

impl Written {
    fn entry(&self, port: u16) -> Entry<'_> {
        Entry {
            name: &self.name,
            cluster: Cluster { port, authority_pem: &self.authority_pem },
            user: User::Plugin(&self.plugin),
            namespace: self.namespace.as_deref(),
        }
    }

    fn try_out(&self, port: u16) -> Result<(), ClientError> {
        rewrite(&self.file, |config| {
            let mut changed = config.clone();
            changed.put(&self.entry(port))?;
            changed.to_yaml().map(drop)
        })
    }

    /// Gives the context that was current before.
    fn write(&self, port: u16) -> Result<Option<String>, ClientError> {
        rewrite(&self.file, |config| config.put(&self.entry(port)))
    }
}

/// So that the context follows the port, and goes at logout.
fn remember(tunnel: &TunnelFolder, written: &Written, before: Option<String>) -> Result<(), ClientError> {
    let Some(mut login) = tunnel.login()? else { return Ok(()) };
    let there = login
        .contexts
        .iter()
        .position(|context| context.file == written.file && context.name == written.name);
    let before = before.or_else(|| login.contexts.get(there?)?.before.clone());
    let context = WrittenContext { file: written.file.clone(), name: written.name.clone(), before };
    match there.and_then(|at| login.contexts.get_mut(at)) {
        Some(there) => *there = context,
        None => login.contexts.push(context),
    }
    tunnel.keep(&login)
}

/// The plugin beside this program, or this program, by its path; and the profile's folder where it is not the usual one.
fn plugin(name: &ConnectionName) -> Result<Plugin> {
    let whole = |path: PathBuf| {
        let told = path.into_os_string().into_string();
        told.map_err(|path| {
            let what = format!("a kubeconfig cannot name {}: it is no text", path.to_string_lossy());
            ClientError::own("HOOP-1016", what)
        })
    };
    let folder = std::env::var_os("HOOP_CONFIG_DIR").filter(|folder| !folder.is_empty());
    let config_folder =
        folder.map(|folder| -> Result<String> { Ok(whole(std::path::absolute(folder)?)?) }).transpose()?;
    let this = std::env::current_exe()?;
    let beside = this.with_file_name(format!("hoop-credentials{}", std::env::consts::EXE_SUFFIX));
    let command = if beside.is_file() { beside } else { this };
    Ok(Plugin { command: whole(command)?, connection: name.clone(), config_folder })
}

/// A port that nobody has, and that no other connection of ours keeps. The system's choice, where chance finds none.
async fn free_port(root: &KubeFolder) -> Result<u16> {
    let kept: Vec<u16> = root.tunnels().iter().filter_map(|one| Some(one.login().ok()??.port)).collect();
    let seed = usize::try_from(std::process::id()).unwrap_or_default().wrapping_mul(7_919);
    let wheel = PORTS.cycle().skip(seed % PORTS.len()).take(50);
    for port in wheel.filter(|port| !kept.contains(port)) {
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return Ok(port);
        }
    }
    Ok(TcpListener::bind(("127.0.0.1", 0)).await?.local_addr()?.port())
}

fn show(started: &Started, written: &Written, args: &args::KubeLogin, out: &Out) -> Result {
    let running = &started.running;
    let shown = Shown {
        connection: args.name.as_str(),
        context: &written.name,
        kubeconfig: &written.file,
        server: format!("https://127.0.0.1:{}", running.port),
        session: running.session.to_string(),
        ends_at: running.ends_at.to_string(),
    };
    if let Some(before) = started.moved_from {
        out.note(format!("Another program has port {before}: from now on it is {}.", running.port));
    }
    if !started.fresh && args.reason.is_some() {
        out.note("The tunnel was open already: the reason is not used.");
    }
    // kubectl does not look there by itself.
    let elsewhere = args.kubeconfig.as_ref().map_or_else(String::new, |_| {
        format!("--kubeconfig {} ", shell(&written.file.display().to_string()))
    });
    out.data(&shown, |shown| {
        let context = out.look(Look::Bold, &text::line(shown.context));
        format!(
            "{context} is the current context of {}.\n\n  kubectl {}get pods\n\n  {}  {}, ends in {}; everything is recorded\n",
            text::line(&shown.kubeconfig.display().to_string()),
            text::line(&elsewhere),
            out.look(Look::Dim, "session"),
            shown.session,
            until(running.ends_at),
        )
    })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_connections_do_not_keep_the_same_port() {
        let home = tempfile::tempdir().unwrap();
        let root = KubeFolder::of(hoop_client::ProfileStore::at(home.path().join("hoop")));
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..5 {
            let port = free_port(&root).await.map_err(|_| ()).unwrap();
            assert!(PORTS.contains(&port) && seen.insert(port), "{port} in {seen:?}");
            let name = ConnectionName::new(format!("k{number}")).unwrap();
            root.tunnel(&name).keep(&KubeLogin { port, contexts: Vec::new() }).unwrap();
        }
    }
}
