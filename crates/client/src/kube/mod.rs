//! What Kubernetes clients need on this machine: an entry in their kubeconfig, a tunnel in the background, and a credential for it.
//!
//! ```text
//! kubectl ──▶ kubeconfig: server https://127.0.0.1:PORT, the authority, and "ask `hoop kube credentials NAME`"
//!    │                                                                            │ is there a tunnel? else start one
//!    └──▶ TLS with the tunnel's one client certificate ──▶ tunnel (a process) ──▶ session ──▶ agent
//! ```
//! The kubeconfig holds no secret. The client's key is the tunnel's: it is made with it, kept in a private file while it runs, and
//! opens nothing afterwards. [`exec`] needs none of it: it is such a client itself. Knows no terminal, and starts no process: that is the command's matter.

mod credential;
pub mod exec;
mod folder;
mod kubeconfig;
mod rewrite;
mod tree;

pub use credential::ExecCredential;
pub use folder::{Claim, KubeFolder, KubeLogin, Running, StartLock, TunnelFolder, WrittenContext};
pub use kubeconfig::{Cluster, Entry, KubeConfig, Plugin, User};
pub use rewrite::{default_file, rewrite};
