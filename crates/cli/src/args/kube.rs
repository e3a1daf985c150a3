//! `hoop kube`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use hoop_model::ConnectionName;

use super::{Form, Transport};

/// How a tunnel in the background is told its reason: other users of the machine can read arguments.
pub(crate) const TUNNEL_REASON: &str = "HOOP_TUNNEL_REASON";

/// `hoop kube`
#[derive(Debug, Subcommand)]
pub(crate) enum Kube {
    /// Write a context into your kubeconfig, and open a tunnel in the background
    Login(KubeLogin),
    /// End the tunnel, and take its context out of your kubeconfig
    Logout(KubeLogout),
    /// List the connections that you logged in to, and their tunnels
    #[command(visible_alias = "list")]
    Ls(Form),
    /// Print the credential of a tunnel, as kubectl's credential plugins do; opens the tunnel if there is none
    #[command(after_help = "\
The context that `hoop kube login` writes lets kubectl run this, each time. What is printed opens one local port, for as long
as the tunnel lives.

Example:
  hoop kube credentials k8s-prod")]
    Credentials(OneKube),
    /// Keep a tunnel open in the foreground, for a service manager
    #[command(after_help = "\
`hoop kube login` and kubectl open one in the background by themselves; it ends with its session, and the next kubectl opens
another.

Example:
  hoop kube tunnel k8s-prod")]
    Tunnel(KubeTunnel),
}

impl Kube {
    pub(super) const fn form(&self) -> Option<Form> {
        match self {
            Self::Login(args) => Some(args.form),
            Self::Logout(args) => Some(args.form),
            Self::Ls(form) => Some(*form),
            Self::Credentials(_) | Self::Tunnel(_) => None,
        }
    }
}

/// `hoop kube login`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hoop kube login k8s-prod                            the context hoop-k8s-prod is the current one; kubectl get pods
  hoop kube login k8s-prod --namespace lab            and clients start in this namespace
  hoop kube login k8s-prod --context prod             under another name
  hoop kube login k8s-prod --kubeconfig ./hoop.yaml   into another file
  hoop kube login k8s-prod --reason 'INC-42: pods restart'

kubectl, helm and libraries then need no hoop in front. The context stays good: when the tunnel is gone, they open
another one by `hoop kube credentials`. A reason is good for one session and not kept: where the access rule asks for one, log in
again for the next.
The kubeconfig holds no secret. Whatever else is in it stays; its comments do not.")]
pub(crate) struct KubeLogin {
    /// The connection (see `hoop ls`)
    pub(crate) name: ConnectionName,
    /// Name of the context; hoop-NAME if left away
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Namespace that clients start in
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// File to write to; the first of $KUBECONFIG, or ~/.kube/config, if left away
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Why, for the ledger
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    #[command(flatten)]
    form: Form,
}

/// `hoop kube logout`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hoop kube logout k8s-prod
  hoop kube logout --all")]
pub(crate) struct KubeLogout {
    /// The connection
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub(crate) name: Option<ConnectionName>,
    /// All that you logged in to
    #[arg(long)]
    pub(crate) all: bool,
    #[command(flatten)]
    form: Form,
}

/// `hoop kube credentials`
#[derive(Debug, Args)]
pub(crate) struct OneKube {
    /// The connection
    pub(crate) name: ConnectionName,
}

/// `hoop kube tunnel`
#[derive(Debug, Args)]
pub(crate) struct KubeTunnel {
    /// The connection
    pub(crate) name: ConnectionName,
    /// Why, for the ledger
    #[arg(short, long, value_name = "TEXT", env = TUNNEL_REASON, hide_env = true)]
    pub(crate) reason: Option<String>,
    /// How session data travels to the gateway
    #[arg(long, value_enum, default_value_t)]
    pub(crate) transport: Transport,
    /// Leave the terminal, and tell whoever started it on stdout how it went
    #[arg(long, hide = true)]
    pub(crate) background: bool,
}
