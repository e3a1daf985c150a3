//! The Kubernetes node that runs while tests run (`cargo xtask test` starts one). Each test has a namespace of its own on it.

use std::{
    env, fs,
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};

use crate::{run, run_with_input, wait_until};

/// Rights that the agent's account has, as people give it them.
const RIGHTS: &str = "deploy/kubernetes/rbac.yaml";

/// The node, and a namespace on it that is gone at the end.
#[derive(Debug)]
pub struct Cluster {
    pub namespace: String,
    pub port: u16,
    folder: PathBuf,
    own: tempfile::TempDir,
}

impl Cluster {
    /// The node, with a fresh namespace in which the group `hoop:engineers` may do everything.
    pub fn find() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let folder = env::var_os("HOOP_TEST_KUBERNETES")
            .map(PathBuf::from)
            .expect("HOOP_TEST_KUBERNETES is the folder of a node that runs: `cargo xtask test` starts one, or lab/kubernetes/node");
        let config = fs::read_to_string(folder.join("admin.kubeconfig")).expect("the node runs");
        let port = config.split("https://127.0.0.1:").nth(1).unwrap().split('"').next().unwrap();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("t{}-{count}", std::process::id());
        let own = tempfile::tempdir().unwrap();
        let cluster = Self { namespace, port: port.parse().unwrap(), folder, own };
        cluster.apply(
            &json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": cluster.namespace}}),
        );
        cluster.let_in("engineers", "Group", "hoop:engineers");
        cluster.make_token();
        cluster
    }

    /// Direct kubectl, as the cluster's admin, in the namespace.
    pub fn kubectl(&self, words: &[&str]) -> Command {
        let mut kubectl = Command::new("kubectl");
        kubectl.arg("--kubeconfig").arg(self.folder.join("admin.kubeconfig"));
        kubectl.args(["--namespace", &self.namespace]).args(words);
        kubectl
    }

    /// The kubectl of the cluster's own version: it knows SPDY alone, and ephemeral containers as they first were.
    pub fn old_kubectl(&self) -> PathBuf {
        self.folder.join("kubectl")
    }

    /// Makes or changes an object, as the cluster's admin.
    pub fn apply(&self, object: &Value) {
        run_with_input(&mut self.kubectl(&["apply", "-f", "-"]), &object.to_string());
    }

    /// A role binding: all of the namespace.
    pub fn let_in(&self, name: &str, kind: &str, whom: &str) {
        self.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": kind, "name": whom, "apiGroup": "rbac.authorization.k8s.io"}],
        }));
    }

    /// Everybody may ask for a certificate: such a request holds whom the cluster takes its sender for. As a dry run it leaves
    /// nothing.
    pub fn lets_people_ask_who_they_are(&self) {
        const NAME: &str = "hoop-tests-who";
        let group = "rbac.authorization.k8s.io";
        let version = format!("{group}/v1");
        self.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [
            {
                "apiVersion": version, "kind": "ClusterRole", "metadata": {"name": NAME},
                "rules": [{
                    "apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"], "verbs": ["create"],
                }],
            },
            {
                "apiVersion": version, "kind": "ClusterRoleBinding", "metadata": {"name": NAME},
                "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": NAME},
                "subjects": [{"kind": "Group", "name": "system:authenticated", "apiGroup": group}],
            },
        ]}));
    }

    /// A pod with a container `main` that sleeps, and has busybox; it is ready then.
    pub fn pod(&self, name: &str, labels: &Value) {
        self.pod_that(name, labels, "exec sleep 2147483647");
    }

    /// The same, and what it runs is this script.
    pub fn pod_that(&self, name: &str, labels: &Value, script: &str) {
        self.apply(&json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "nodeName": "localhost", "hostNetwork": true, "automountServiceAccountToken": false,
                "tolerations": [{"operator": "Exists"}], "terminationGracePeriodSeconds": 0,
                "containers": [{
                    "name": "main", "image": "lab.local/busybox:1", "imagePullPolicy": "Never",
                    "command": ["/bin/sh", "-c", script], "stdin": true,
                }],
            },
        }));
        wait_until("the pod", || {
            let path = "jsonpath={.status.containerStatuses[0].ready}";
            let ready = run(&mut self.kubectl(&["get", "pod", name, "-o", path]));
            (ready == "true").then_some(())
        });
    }

    /// The account of the agent has the rights that the manifest gives it, and no more.
    fn make_token(&self) {
        let root = env!("CARGO_MANIFEST_DIR");
        // Another test may make the same at the same moment: the second time it is there.
        wait_until("the agent's rights", || {
            let mut apply = self.kubectl(&["--namespace", "hoop", "apply", "-f"]);
            let applied = apply.arg(format!("{root}/../../{RIGHTS}")).output().unwrap();
            applied.status.success().then_some(())
        });
        let token = run(&mut self.kubectl(&["create", "token", "hoop-agent", "--namespace", "hoop"]));
        fs::write(self.token(), token).unwrap();
    }

    /// The file with the token of the agent's account.
    pub fn token(&self) -> PathBuf {
        self.own.path().join("token")
    }

    /// The PEM file of the cluster's authority, of the admin's certificate, and of its key.
    pub fn pki(&self, name: &str) -> PathBuf {
        self.folder.join("pki").join(name)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let delete = ["delete", "namespace", &self.namespace, "--wait=false"];
        let _ = self.kubectl(&delete).output();
        // Nobody finalizes namespaces on this node; its pods are what costs something.
        let pods = ["delete", "pods", "--all", "--force", "--grace-period=0", "--wait=false"];
        let _ = self.kubectl(&pods).output();
    }
}
