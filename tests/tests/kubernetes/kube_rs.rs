//! The library that Rust programs speak to clusters with, by the context that `hoop kube login` wrote.

use std::{process::Command, time::Duration};

use futures::{StreamExt as _, TryStreamExt as _};
use hoop_testkit::run;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{
        AttachParams, DeleteParams, ListParams, LogParams, Patch, PatchParams, PostParams, WatchEvent,
        WatchParams,
    },
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{clinic, events, said, told};

#[test]
fn kube_rs_lists_watches_applies_runs_and_forwards() {
    let (world, cluster) = clinic();
    let port = hoop_testkit::free_port();
    cluster.pod_that("web", &json!({}), &format!("echo begun; exec nc -ll -p {port} -e cat"));
    world.rule(json!({"forwarding": ["local"]}));
    let config = world.folder.path().join("config");
    let hoop = |words: &[&str]| {
        let mut hoop: Command = world.hoop(&world.engineer);
        run(hoop.env("KUBECONFIG", &config).args(words));
    };
    hoop(&["kube", "login", "k8s"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let work = async {
        let kubeconfig = Kubeconfig::read_from(&config).unwrap();
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await.unwrap();
        work(Client::try_from(config).unwrap(), &cluster.namespace, port).await;
    };
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(60), work).await.unwrap() });
    hoop(&["kube", "logout", "k8s"]);

    let events = events(&world);
    let (api, space) = (told(&events, "api"), &cluster.namespace);
    for told in ["create configmaps of-rust in SPACE: 201", "patch configmaps of-rust in SPACE: 200"] {
        assert!(api.contains(&told.replace("SPACE", space)), "{api:#?}");
    }
    assert!(format!("{events:?}").contains("data.applied = yes"), "{events:#?}");
    assert!(told(&events, "command").iter().any(|line| line.ends_with("exit 3")), "{events:#?}");
    assert_eq!(said(&events, "in"), "line\n");
    assert!(told(&events, "forward").iter().any(|line| line.contains(&format!("web port {port}"))));
}

async fn work(client: Client, space: &str, port: u16) {
    let pods: Api<Pod> = Api::namespaced(client.clone(), space);
    let maps: Api<ConfigMap> = Api::namespaced(client, space);
    let found = pods.list(&ListParams::default()).await.unwrap();
    assert_eq!(found.iter().map(|pod| pod.name_any()).collect::<Vec<_>>(), ["web"]);
    let log = pods.logs("web", &LogParams::default()).await.unwrap();
    assert_eq!(log, "begun\n");

    let map = serde_json::from_value(json!({"metadata": {"name": "of-rust"}, "data": {"a": "b"}})).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    let mut changes = maps.watch(&WatchParams::default().timeout(20), "0").await.unwrap().boxed();
    while let Some(change) = changes.try_next().await.unwrap() {
        if matches!(&change, WatchEvent::Added(map) if map.name_any() == "of-rust") {
            break;
        }
    }
    let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"applied": "yes"}});
    let params = PatchParams::apply("of-rust").force();
    maps.patch("of-rust", &params, &Patch::Apply(&applied)).await.unwrap();
    assert_eq!(maps.get("of-rust").await.unwrap().data.unwrap()["applied"], "yes");
    let refused = maps.get("nothing").await.unwrap_err();
    assert!(matches!(&refused, kube::Error::Api(status) if status.code == 404), "{refused:?}");

    let script = ["sh", "-c", "read a; echo got $a; echo err >&2; exit 3"];
    let mut program = pods.exec("web", script, &AttachParams::default().stdin(true)).await.unwrap();
    program.stdin().unwrap().write_all(b"line\n").await.unwrap();
    let (mut out, mut err) = (String::new(), String::new());
    program.stdout().unwrap().read_to_string(&mut out).await.unwrap();
    program.stderr().unwrap().read_to_string(&mut err).await.unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("got line\n", "err\n"));
    let status = program.take_status().unwrap().await.unwrap();
    assert_eq!(status.reason.as_deref(), Some("NonZeroExitCode"), "{status:?}");

    let mut forward = pods.portforward("web", &[port]).await.unwrap();
    let mut stream = forward.take_stream(port).unwrap();
    stream.write_all(b"hello\n").await.unwrap();
    let mut echoed = [0; 6];
    stream.read_exact(&mut echoed).await.unwrap();
    assert_eq!(&echoed, b"hello\n");
    drop(stream);
    maps.delete("of-rust", &DeleteParams::default()).await.unwrap();
}
