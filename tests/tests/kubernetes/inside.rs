//! The agent as a pod of the cluster that it serves: `deploy/kubernetes/agent.yaml` as it stands, with what a cluster gives.

use hoop_testkit::{Cluster, World, binary, run, run_with_input, wait_until};
use serde_json::{Value, json};

use super::{clinic, done, events, told};

const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

#[test]
fn the_agent_runs_in_the_cluster_by_its_manifest() {
    let (world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    around(&world, &cluster);
    cluster.apply(&pod(&world, &cluster));
    wait_until("the agent in the cluster", || {
        let agents = world.json(&world.admin, &["admin", "agents", "ls"]);
        agents
            .as_array()?
            .iter()
            .any(|agent| agent["name"] == "cluster-1" && agent["online"] == true)
            .then_some(())
    });
    let settings = json!({
        "host": "kubernetes.default.svc", "token": format!("file:{ACCOUNT}/token"),
        "tls": {"ca_file": format!("{ACCOUNT}/ca.crt")},
    });
    world.put_cluster("inside", &cluster, json!({"agent": "cluster-1", "settings": settings}));

    let (out, err, code) = done(&mut world.kubectl("inside", &cluster, &["get", "pod", "web", "-o", "name"]));
    assert_eq!((out.as_str(), code), ("pod/web\n", Some(0)), "{err}");
    let (out, err, code) =
        done(&mut world.kubectl("inside", &cluster, &["exec", "web", "--", "sh", "-c", "echo in; exit 4"]));
    assert_eq!((out.as_str(), code), ("in\n", Some(4)), "{err}");
    assert_eq!(told(&events(&world), "command"), ["sh -c 'echo in; exit 4': exit 4"]);
    // Nobody special there.
    assert_eq!(run(&mut cluster.kubectl(&["exec", "agent", "--", "id", "-u"])), "10001\n");
    let (_, err, code) = done(&mut cluster.kubectl(&["exec", "agent", "--", "sh", "-c", "> /written"]));
    assert!(err.contains("Read-only") && code != Some(0), "{err}");

    // Its end is told to whoever works through it, and what they did is with the gateway.
    let words = ["exec", "-i", "web", "--", "sh", "-c", "echo begun; exec cat"];
    let mut client = super::Running::start(&mut world.kubectl("inside", &cluster, &words));
    std::io::Read::read_exact(client.0.stdout.as_mut().unwrap(), &mut [0; 6]).unwrap();
    run(&mut cluster.kubectl(&["delete", "pod", "agent", "--wait=false"]));
    let err = std::io::read_to_string(client.0.stderr.take().unwrap()).unwrap();
    assert!(err.contains("HOOP-") && !client.0.wait().unwrap().success(), "{err}");
    let session = world.ended_session();
    assert_eq!(session["state"], "ended", "{session}");
    run(world.hoop(&world.admin).args(["sessions", "verify", session["id"].as_str().unwrap()]));
}

/// What stands in the namespace beside the pod; the second half is a controller's work in a whole cluster.
fn around(world: &World, cluster: &Cluster) {
    let space = &cluster.namespace;
    let token = world.json(&world.admin, &["admin", "join-token", "cluster-1"]);
    let authority = std::fs::read_to_string(cluster.pki("ca.crt")).unwrap();
    let group = "rbac.authorization.k8s.io";
    cluster.apply(&json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "hoop-agent"}},
        {
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "hoop-agent-join"},
            "stringData": {"join-token": token["token"]},
        },
        {
            "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": format!("hoop-agent-{space}")},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "hoop-agent"},
            "subjects": [{"kind": "ServiceAccount", "name": "hoop-agent", "namespace": space}],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-root-ca.crt"}, "data": {"ca.crt": authority}},
    ]}));
}

/// The pod of the manifest's deployment, on this node: no deployment is run here, no volume provided, no name resolved, no
/// network apart. The image is busybox, with our binary and the libraries of this machine.
fn pod(world: &World, cluster: &Cluster) -> Value {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy/kubernetes/agent.yaml");
    let text = std::fs::read_to_string(manifest).unwrap();
    let deployment = text.split("\n---\n").find(|part| part.contains("kind: Deployment")).unwrap();
    // The namespace is the test's own.
    let within = format!("namespace: {}\n", cluster.namespace);
    let words = ["create", "--dry-run=client", "-o", "json", "-f", "-"];
    let read =
        run_with_input(&mut cluster.kubectl(&words), &deployment.replace("namespace: hoop\n", &within));
    let mut template = serde_json::from_str::<Value>(&read).unwrap()["spec"]["template"].take();
    let spec = &mut template["spec"];
    spec["nodeName"] = "localhost".into();
    spec["hostNetwork"] = true.into();
    spec["tolerations"] = json!([{"operator": "Exists"}]);
    spec["hostAliases"] = json!([{"ip": "127.0.0.1", "hostnames": ["kubernetes.default.svc"]}]);
    let container = &mut spec["containers"][0];
    assert_eq!(container["image"], "IMAGE");
    container["image"] = "lab.local/busybox:1".into();
    container["imagePullPolicy"] = "Never".into();
    container["env"] = json!([{"name": "PATH", "value": "/hoop:/bin"}]);
    for argument in container["args"].as_array_mut().unwrap() {
        let written = argument.as_str().unwrap();
        *argument = written
            .replace("GATEWAY", &format!("localhost:{}", world.port))
            .replace("svc:443", &format!("svc:{}", cluster.port))
            .into();
    }
    let binaries = binary("hoop-agent").parent().unwrap().display().to_string();
    let account = json!({"projected": {"sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]}});
    let more = [
        ("account", account, ACCOUNT),
        ("hoop", json!({"hostPath": {"path": binaries}}), "/hoop"),
        ("lib", json!({"hostPath": {"path": "/usr/lib"}}), "/lib"),
        ("lib64", json!({"hostPath": {"path": "/usr/lib64"}}), "/lib64"),
    ];
    for (name, _, path) in &more {
        let mount = json!({"name": name, "mountPath": path, "readOnly": true});
        container["volumeMounts"].as_array_mut().unwrap().push(mount);
    }
    let volumes = spec["volumes"].as_array_mut().unwrap();
    volumes.retain(|volume| volume["name"] != "state");
    volumes.push(json!({"name": "state", "emptyDir": {}}));
    for (name, mut volume, _) in more {
        volume["name"] = name.into();
        volumes.push(volume);
    }
    template["apiVersion"] = "v1".into();
    template["kind"] = "Pod".into();
    template["metadata"]["name"] = "agent".into();
    template
}
