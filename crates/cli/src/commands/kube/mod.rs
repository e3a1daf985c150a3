//! `hoop kube`: contexts in a kubeconfig, tunnels in the background, and credentials for kubectl.

mod credentials;
mod list;
mod login;
mod logout;
mod session;
mod start;
mod tunnel;

use hoop_client::{ClientError, ProfileStore, connector::SessionConnector, kube::KubeFolder};
use hoop_model::ProtocolId;

pub(super) use session::SessionKubeConfig;

use crate::{args::Kube, failure::Result, output::Out};

/// Does what was asked.
pub(super) async fn run(command: Kube, out: &Out) -> Result {
    match command {
        Kube::Login(args) => login::login(args, out).await,
        Kube::Logout(args) => logout::logout(&args, out).await,
        Kube::Ls(_) => list::ls(out),
        Kube::Credentials(args) => credentials::credentials(&args.name, out).await,
        Kube::Tunnel(args) => tunnel::tunnel(&args, out).await,
    }
}

pub(super) fn is_kubernetes(protocol: &ProtocolId) -> bool {
    protocol.is_cluster()
}

/// A session that speaks something else is of no use here.
pub(super) fn must_be_kubernetes(session: &SessionConnector) -> Result<(), ClientError> {
    let facts = session.facts();
    if is_kubernetes(&facts.protocol) {
        return Ok(());
    }
    let what = format!("{} is a connection to {}, not to Kubernetes", facts.connection, facts.protocol);
    Err(ClientError::usage("HOOP-1068", what).hint(format!("use `hoop connect {}`", facts.connection)))
}

fn folder() -> Result<KubeFolder, ClientError> {
    Ok(KubeFolder::of(ProfileStore::from_environment()?))
}

fn not_logged_in(name: &hoop_model::ConnectionName) -> ClientError {
    ClientError::usage("HOOP-1075", format!("there is no kubeconfig context of {name} here"))
        .hint(format!("run `hoop kube login {name}`"))
}
