//! `hoop connect`: opens sessions, and gives them to clients on this machine.

use hoop_api::requests::SingleStatement;
use hoop_client::{
    Api, ClientError, ProfileStore,
    connector::{Over, SessionConnector, Wanted},
    local::{LocalListener, LocalSocket, Locals, OtherUsers},
    ssh::{KnownHost, KnownHosts, alias},
};
use hoop_model::{ConnectionName, Timestamp, UserName};
use serde::Serialize;

use super::{
    account::{span, until},
    api,
    kube::{self, SessionKubeConfig},
    opening::{self, carriage, farewell, raise_descriptor_limit, stop_asked, tell},
    statement,
};
use crate::{
    args::Connect,
    child,
    failure::Result,
    output::{Look, Out, text},
    paste::{Target, socket_name, usual_port},
    stdio::stdio,
};

/// A session with what it listens on.
struct Opened {
    session: SessionConnector,
    locals: Locals,
    target: Target,
    /// All that may be run on it.
    statement: Option<String>,
    /// The key that ssh will find there, for as long as it is open.
    _host_key: Option<KnownHost>,
    /// What Kubernetes clients read, for as long as it is open.
    _kubeconfig: Option<SessionKubeConfig>,
}

pub(super) async fn connect(args: Connect, out: &Out) -> Result {
    check(&args)?;
    raise_descriptor_limit();
    let api = api()?;
    let user = out.waiting("Asking the gateway", api.whoami()).await?.name;
    if args.stdio {
        return over_stdio(&api, &args, out).await;
    }
    let opened = open_all(&api, &args, &user, out).await?;
    let result = if args.command.is_empty() {
        for one in &opened {
            show(one, out)?;
        }
        until_ended(&opened, out).await
    } else {
        run_program(&args, &opened, out).await
    };
    for one in &opened {
        farewell(&api, &one.session).await;
    }
    result
}

fn check(args: &Connect) -> Result {
    let several = args.names.len() > 1;
    if several && args.only.statement.is_some() {
        return Err(ClientError::usage("HOOP-1015", "--statement goes with one connection only").into());
    }
    if several && (args.stdio || args.port.is_some() || !args.command.is_empty()) {
        let error =
            ClientError::usage("HOOP-1015", "--port, --stdio and a program go with one connection only");
        return Err(error.hint("open the others with a second `hoop connect`").into());
    }
    Ok(())
}

fn wanted(args: &Connect, name: &ConnectionName, statement: Option<&SingleStatement>) -> Wanted {
    let carriage = carriage(args.transport);
    let (connection, reason, statement) = (name.clone(), args.reason.clone(), statement.cloned());
    Wanted { connection, reason, statement, carriage }
}

async fn open_all(api: &Api, args: &Connect, user: &UserName, out: &Out) -> Result<Vec<Opened>> {
    let mut opened = Vec::new();
    for name in &args.names {
        match open(api, args, name, user, out).await {
            Ok(one) => opened.push(one),
            Err(error) => {
                for one in &opened {
                    farewell(api, &one.session).await;
                }
                return Err(error);
            }
        }
    }
    Ok(opened)
}

async fn open(
    api: &Api,
    args: &Connect,
    name: &ConnectionName,
    user: &UserName,
    out: &Out,
) -> Result<Opened> {
    let only = statement::wanted(&args.only)?;
    let session = opening::open_session(api, &wanted(args, name, only.as_ref()), out).await?;
    let facts = session.facts();
    let kubernetes = kube::is_kubernetes(&facts.protocol);
    let other_users = match args.allow_local_users {
        allowed if kubernetes => OtherUsers::behind_certificates(allowed),
        true => OtherUsers::Allow,
        false => OtherUsers::Refuse,
    };
    let port = match args.port {
        Some(port) => LocalListener::on(port, other_users).await,
        // A program is told its port; the usual one is left to those who type it.
        None if !args.command.is_empty() => LocalListener::on(0, other_users).await,
        None => LocalListener::near(usual_port(&facts.protocol), other_users).await,
    };
    let socket = args.socket.then(|| LocalSocket::create(socket_name(&facts.protocol))).transpose()?;
    let port = match port {
        Ok(port) => Some(port),
        // Where a port cannot be guarded, the socket that was asked for still can.
        Err(_) if socket.is_some() && args.port.is_none() => None,
        Err(error) => return Err(error.into()),
    };
    let host_key = host_key(&session)?;
    let known_hosts = host_key.as_ref().map(|known| known.file().display().to_string());
    let kubeconfig = match &port {
        Some(port) if kubernetes => Some(SessionKubeConfig::write(facts, port.port())?),
        _ => None,
    };
    let target = Target {
        kubeconfig: kubeconfig.as_ref().map(|config| config.file().display().to_string()),
        known_hosts: known_hosts.map(|file| (file, alias(&facts.connection))),
        protocol: facts.protocol.clone(),
        user: user.clone(),
        database: args.only.database.clone().or_else(|| facts.default_database.clone()),
        port: port.as_ref().map(LocalListener::port),
        socket: socket.as_ref().map(|socket| socket.folder().display().to_string()),
    };
    let statement = only.map(|only| only.text);
    let tls = kubeconfig.as_ref().map(|config| config.tls().clone());
    let locals = Locals { port, socket, tls };
    Ok(Opened { session, locals, target, statement, _host_key: host_key, _kubeconfig: kubeconfig })
}

/// Tells OpenSSH which key this session's agent will show, before anything can ask for it.
fn host_key(session: &SessionConnector) -> Result<Option<KnownHost>> {
    let facts = session.facts();
    if !facts.protocol.is_reached_by_ssh() {
        return Ok(None);
    }
    let hosts = KnownHosts::of(ProfileStore::from_environment()?);
    let now = Timestamp::from(jiff::Timestamp::now());
    Ok(Some(hosts.add(&facts.connection, facts.id, session.host_key(), now)?))
}

/// An open session, as JSON shows it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    connection: &'a str,
    session: String,
    protocol: &'a str,
    host: Option<&'static str>,
    port: Option<u16>,
    socket: Option<&'a str>,
    user: &'a str,
    database: Option<&'a str>,
    /// What Kubernetes clients read.
    #[serde(skip_serializing_if = "Option::is_none")]
    kubeconfig: Option<&'a str>,
    ends_at: String,
    idle_timeout_seconds: u64,
    forms: serde_json::Map<String, serde_json::Value>,
}

fn show(one: &Opened, out: &Out) -> Result {
    let (facts, target) = (one.session.facts(), &one.target);
    if out.is_json() {
        let forms = target.forms().into_iter().map(|(label, text)| (label.to_owned(), text.into())).collect();
        let shown = Shown {
            connection: facts.connection.as_str(),
            session: facts.id.to_string(),
            protocol: facts.protocol.as_str(),
            host: target.port.map(|_| "127.0.0.1"),
            port: target.port,
            socket: target.socket.as_deref(),
            user: target.user.as_str(),
            database: target.database.as_deref(),
            kubeconfig: target.kubeconfig.as_deref(),
            ends_at: facts.ends_at.to_string(),
            idle_timeout_seconds: facts.idle_timeout_seconds,
            forms,
        };
        // One line each, whoever reads: several connections make several lines.
        let line = serde_json::to_string(&shown).map_err(std::io::Error::other)?;
        return Ok(out.line(line)?);
    }
    let name = out.look(Look::Bold, facts.connection.as_str());
    out.line(format!("{name} is open.\n"))?;
    for (label, form) in target.forms() {
        out.line(format!("  {}  {}", out.look(Look::Dim, &format!("{label:<7}")), text::line(&form)))?;
    }
    let idle = span(facts.idle_timeout_seconds);
    out.line(format!(
        "\n  {}  {}, ends in {}, or after {idle} without use; everything is recorded",
        out.look(Look::Dim, "session"),
        facts.id,
        until(facts.ends_at),
    ))?;
    if one.statement.is_some() {
        out.note(
            "  It is for the one statement that was approved, exactly as written, once: `psql -X -c TEXT`.",
        );
    }
    if target.port.is_some_and(|port| port != usual_port(&target.protocol))
        && usual_port(&target.protocol) != 0
    {
        out.note(format!("  (the usual port {} is taken)", usual_port(&target.protocol)));
    }
    Ok(())
}

/// Serves all of them until the person or the gateway ends it.
async fn until_ended(opened: &[Opened], out: &Out) -> Result {
    if !out.is_json() {
        out.note(if opened.len() > 1 { "\nCtrl-C closes them." } else { "\nCtrl-C closes it." });
    }
    let serving = opened.iter().map(|one| async move {
        let ended = one.session.serve(&one.locals, &|happening| tell(&happening, out)).await;
        if let Ok(over) = &ended {
            out.note(format!(
                "{}: the session is over: {}",
                one.session.facts().connection,
                text::block(&over.reason)
            ));
        }
        ended
    });
    tokio::select! {
        ended = futures::future::join_all(serving) => all_over(ended),
        stopped = stop_asked() => {
            stopped?;
            if !out.is_json() {
                out.note("\nClosed.");
            }
            Ok(())
        }
    }
}

fn all_over(ended: Vec<hoop_client::Result<Over>>) -> Result {
    let mut last = None;
    for one in ended {
        last = Some(one?);
    }
    match last {
        Some(over) => Err(over.fault().into()),
        None => Ok(()),
    }
}

async fn run_program(args: &Connect, opened: &[Opened], out: &Out) -> Result {
    let Some(one) = opened.first() else { return Ok(()) };
    let running = child::start(&args.command, &one.target, one.statement.as_deref())?;
    let happened = |happening| tell(&happening, out);
    let serving = one.session.serve(&one.locals, &happened);
    let mut running = std::pin::pin!(running.wait());
    tokio::select! {
        result = &mut running => return result,
        over = serving => match over {
            Ok(over) => out.error(&over.fault().fault),
            Err(error) => out.error(&error.fault),
        },
    }
    // The program has been told in its own protocol, and decides itself when to end.
    running.await
}

async fn over_stdio(api: &Api, args: &Connect, out: &Out) -> Result {
    let Some(name) = args.names.first() else { return Ok(()) };
    let only = statement::wanted(&args.only)?;
    let session = opening::open_session(api, &wanted(args, name, only.as_ref()), out).await?;
    let _host_key = host_key(&session)?;
    let stdio = stdio();
    let result = tokio::select! {
        carried = session.carry(stdio) => carried.map_err(Into::into),
        over = session.until_over() => Err(over.fault().into()),
        stopped = stop_asked() => stopped.map_err(Into::into),
    };
    let _ = api.close_session(session.facts().id).await;
    result
}
