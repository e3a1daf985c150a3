//! `hoop exec`.

use clap::Args;
use hoop_model::ConnectionName;

use super::Transport;

/// `hoop exec`
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  hoop exec k8s-prod web-7f9c                          a shell (sh) in a pod
  hoop exec k8s-prod web-7f9c -n shop -c app -- bash   in this container, with this shell
  hoop exec k8s-prod web-7f9c -- cat /etc/hosts        one command; its exit code is ours
  hoop exec k8s-prod web-7f9c -i -- tar xf - -C /srv < site.tar
  hoop exec k8s-prod web-7f9c --reason 'INC-42: stuck job'

A terminal is used where stdin and stdout are one. No kubectl is needed, and no kubeconfig.")]
pub(crate) struct Exec {
    /// The connection (see `hoop ls`)
    pub(crate) name: ConnectionName,
    /// The pod
    pub(crate) pod: String,
    /// Which of its containers, where it has several
    #[arg(short, long)]
    pub(crate) container: Option<String>,
    /// The pod's namespace
    #[arg(short, long, default_value = "default")]
    pub(crate) namespace: String,
    /// Pass stdin on
    #[arg(short = 'i', long)]
    pub(crate) stdin: bool,
    /// With a terminal
    #[arg(short, long, overrides_with = "no_tty")]
    pub(crate) tty: bool,
    /// Without a terminal
    #[arg(short = 'T', long, overrides_with = "tty")]
    pub(crate) no_tty: bool,
    /// Why, for the ledger
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// How session data travels to the gateway
    #[arg(long, value_enum, default_value_t)]
    pub(crate) transport: Transport,
    /// What to run there; a shell if left away
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}
