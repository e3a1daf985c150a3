//! A private Kubernetes of one node, with an account for the agent that may impersonate and nothing else.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::state::{State, write_secret};
use crate::{
    kubernetes::{self, Node},
    packages,
    shell::{self, say},
};

/// What people of the demo are in the cluster.
const GROUP: &str = "hoop:engineers";

/// The node of a demo, if it has one.
pub(super) fn node(state: &State) -> Option<Node> {
    let folder = state.kubernetes.as_deref()?;
    Some(Node::at(folder, state.ports.kubernetes))
}

fn token(state: &State) -> PathBuf {
    state.folder.join("agent/cluster.token")
}

/// For the cluster's own admin.
pub(crate) fn kubeconfig(state: &State) -> Option<PathBuf> {
    Some(node(state)?.kubeconfig())
}

fn kubectl(state: &State) -> Result<Command> {
    let mut kubectl = Command::new(packages::KUBECTL);
    kubectl.arg("--kubeconfig").arg(kubeconfig(state).context("this demo has no cluster")?);
    Ok(kubectl)
}

/// Starts it, if it does not run, and gives the agent its account.
pub(super) fn start(state: &mut State) -> Result<()> {
    kubernetes::install()?;
    if state.kubernetes.is_none() {
        // Its folder is short, because sockets stand in it.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        state.kubernetes =
            Some(Path::new("/run/hoop-lab").join(format!("demo-{since:x}-{}", std::process::id())));
        state.ports.kubernetes = kubernetes::three_free_ports()?;
        state.save()?;
    }
    node(state).context("this demo has no cluster")?.start()?;
    say("giving the agent an account in the cluster");
    let rights = shell::root()?.join("deploy/kubernetes/rbac.yaml");
    shell::capture(kubectl(state)?.args(["apply", "-f"]).arg(rights))?;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "hoop-engineers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "Group", "name": GROUP, "apiGroup": "rbac.authorization.k8s.io"}],
    });
    shell::capture_with_input(kubectl(state)?.args(["apply", "-f", "-"]), binding.to_string().as_bytes())?;
    // The longest that the cluster gives; in a cluster of your own the kubelet renews it.
    let made = shell::capture(kubectl(state)?.args([
        "create",
        "token",
        "hoop-agent",
        "-n",
        "hoop",
        "--duration",
        "720h",
    ]))?;
    write_secret(&token(state), made.trim())
}

/// The connection's definition.
pub(super) fn definition(state: &State, agent: &str) -> Result<Value> {
    let node = node(state).context("this demo has no cluster")?;
    Ok(json!({
        "agent": agent,
        "protocol": "kubernetes",
        "description": "A Kubernetes of one node on this machine",
        "labels": {"app": "clinic-host"},
        "settings": {
            "host": "127.0.0.1",
            "port": state.ports.kubernetes,
            "token": format!("file:{}", token(state).display()),
            "tls": {"ca_file": node.folder().join("pki/ca.crt")},
            "groups": {"engineers": [GROUP], "admins": [GROUP]},
        },
    }))
}
