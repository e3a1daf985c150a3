//! `hoop kube tunnel`: the process that keeps a session open for kubectl, until the session ends.
//!
//! It claims to be the tunnel of the connection, opens the session, opens the port (or another one if somebody has it, and then tells
//! the contexts), and announces the certificate, which lets clients in. At the end the same goes backwards.

use hoop_client::{
    Api, ClientError,
    connector::{SessionConnector, Wanted},
    http::now,
    kube::{Claim, ExecCredential, KubeLogin, Running, TunnelFolder, rewrite},
    local::{LocalListener, LocalTls, Locals, OtherUsers},
};

use super::{folder, must_be_kubernetes, not_logged_in, start::Told};
use crate::{
    args::KubeTunnel,
    commands::{
        account::until,
        api,
        opening::{self, carriage, farewell, raise_descriptor_limit, stop_asked, tell},
    },
    failure::{Failure, Result},
    output::{Out, text},
};

struct Tunnel {
    api: Api,
    claim: Claim,
    session: SessionConnector,
    locals: Locals,
    moved_from: Option<u16>,
}

pub(super) async fn tunnel(args: &KubeTunnel, out: &Out) -> Result {
    if args.background {
        leave_terminal();
    }
    raise_descriptor_limit();
    let opened = open(args, out).await;
    if args.background {
        let told = match &opened {
            Ok(tunnel) => Told::Open { moved_from: tunnel.moved_from },
            Err(Failure::Error(error)) => Told::Failed(error.clone()),
            Err(_) => Told::Failed(ClientError::own("HOOP-1070", "the tunnel cannot be opened")),
        };
        let told = serde_json::to_string(&told).map_err(std::io::Error::other)?;
        // Whoever started us may be gone (Ctrl-C at kubectl): the next one finds us open.
        if let Err(error) = out.line(told) {
            tracing::debug!(%error, "nobody waits for the tunnel any more");
        }
    }
    let tunnel = opened?;
    let facts = tunnel.session.facts();
    let port = tunnel.locals.port.as_ref().map_or(0, LocalListener::port);
    out.note(format!(
        "{} is open on port {port}: session {}, ends in {}",
        facts.connection,
        facts.id,
        until(facts.ends_at)
    ));
    tunnel.serve(out).await
}

/// Ctrl-C at the terminal, and its end, are not for us.
fn leave_terminal() {
    #[cfg(unix)]
    if let Err(error) = rustix::process::setsid() {
        tracing::debug!(%error, "it stays in its terminal's session");
    }
}

async fn open(args: &KubeTunnel, out: &Out) -> Result<Tunnel> {
    let (root, api) = (folder()?, api()?);
    let own = root.tunnel(&args.name);
    let Some(login) = own.login()? else { return Err(not_logged_in(&args.name).into()) };
    let Some(claim) = own.claim()? else {
        let what = format!("the tunnel of {} runs already", args.name);
        return Err(ClientError::own("HOOP-1070", what).hint("see `hoop kube ls`").into());
    };
    let wanted = Wanted {
        connection: args.name.clone(),
        reason: args.reason.clone(),
        statement: None,
        carriage: carriage(args.transport),
    };
    let session = if args.background {
        SessionConnector::open(&api, wanted).await.map_err(|error| in_words_of_kube(error, args))?
    } else {
        opening::open_session(&api, &wanted, out).await?
    };
    match prepare(&root.authority()?, &own, login, &session, &claim).await {
        Ok((locals, moved_from)) => Ok(Tunnel { api, claim, session, locals, moved_from }),
        Err(error) => {
            farewell(&api, &session).await;
            Err(error)
        }
    }
}

/// The gateway's hint speaks of `hoop connect`.
fn in_words_of_kube(error: ClientError, args: &KubeTunnel) -> ClientError {
    if error.is("HOOP-2006") {
        return error.hint(format!(
            "run `hoop kube login {} --reason '…'`: a reason is good for one session",
            args.name
        ));
    }
    error
}

async fn prepare(
    authority: &hoop_client::local::Authority,
    own: &TunnelFolder,
    login: KubeLogin,
    session: &SessionConnector,
    claim: &Claim,
) -> Result<(Locals, Option<u16>)> {
    must_be_kubernetes(session)?;
    let facts = session.facts();
    let (port, moved_from) = listen(own, login).await?;
    let tls = LocalTls::new(authority, now(), facts.ends_at)?;
    claim.announce(&Running {
        pid: std::process::id(),
        port: port.port(),
        session: facts.id,
        ends_at: facts.ends_at,
        credential: ExecCredential::new(tls.client(), facts.ends_at),
    })?;
    Ok((Locals { port: Some(port), socket: None, tls: Some(tls) }, moved_from))
}

/// On the port that was chosen once; if somebody has it, on another one, which is kept from then on.
async fn listen(own: &TunnelFolder, mut login: KubeLogin) -> Result<(LocalListener, Option<u16>)> {
    let others = OtherUsers::behind_certificates(false);
    if let Ok(listener) = LocalListener::on(login.port, others).await {
        return Ok((listener, None));
    }
    let listener = LocalListener::on(0, others).await?;
    let before = std::mem::replace(&mut login.port, listener.port());
    for context in &login.contexts {
        rewrite(&context.file, |config| {
            config.move_to(&context.name, login.port);
            Ok(())
        })?;
    }
    // Not before the contexts say so: a file that cannot be changed must be tried again.
    own.keep(&login)?;
    Ok((listener, Some(before)))
}

impl Tunnel {
    async fn serve(self, out: &Out) -> Result {
        let Self { api, claim, session, locals, .. } = self;
        let happened = |happening| tell(&happening, out);
        let ended = tokio::select! {
            over = session.serve(&locals, &happened) => over.map(Some),
            stopped = stop_asked() => {
                stopped?;
                Ok(None)
            }
        };
        // The next one may have port and claim at once.
        drop((locals, claim));
        farewell(&api, &session).await;
        match ended? {
            Some(over) => {
                out.note(format!("the session is over: {}", text::block(&over.reason)));
                Err(over.fault().into())
            }
            None => Ok(()),
        }
    }
}
