//! Rules about clusters: what they let through, what a person is told, and that nothing else arrives.

use hoop_testkit::{Cluster, World};
use serde_json::json;

use super::{Open, clinic, done, events, kubectl, of_kind, told};

/// Refused, with these words, and recorded as that.
fn refused(world: &World, cluster: &Cluster, words: &[&str], wanted: &[&str]) {
    let (out, err, code) = kubectl(world, cluster, words);
    assert!(out.is_empty() && code == Some(1), "{words:?}: {out} {err}");
    for word in wanted {
        assert!(err.contains(word), "{words:?}: {word} in {err}");
    }
    let denied = of_kind(&events(world), "denied").last().copied().cloned().unwrap();
    assert!(err.contains(denied["code"].as_str().unwrap()), "{denied} {err}");
}

#[test]
fn a_rule_is_about_verbs_resources_namespaces_and_names() {
    let (world, cluster) = clinic();
    let namespace = cluster.namespace.as_str();
    cluster.pod("web", &json!({}));
    cluster.apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "shown-1"}, "data": {"a": "b"}}));
    world.rule(json!({"cluster": [
        {"name": "no-secrets", "action": "deny", "resources": ["secrets", "*.rbac.authorization.k8s.io"], "message": "ask the operators"},
        {"name": "not-that", "action": "deny", "resources": ["configmaps"], "names": ["hidden-*"]},
        {"name": "look", "action": "allow", "verbs": ["get", "list"], "resources": ["configmaps", "pods"], "namespaces": [namespace]},
        {"name": "make", "action": "allow", "verbs": ["create", "patch"], "resources": ["configmaps"], "namespaces": [namespace], "names": ["made-*"]},
        {"name": "own", "action": "allow", "verbs": ["delete"], "resources": ["deployments.apps"]},
    ]}));
    assert_eq!(
        kubectl(&world, &cluster, &["get", "configmap", "shown-1", "-o", "jsonpath={.data.a}"]).0,
        "b"
    );
    assert!(told(&events(&world), "api").iter().any(|line| line.starts_with("get configmaps shown-1 in t")));
    for words in [
        &["create", "configmap", "made-1", "--from-literal=a=b"][..],
        &["patch", "configmap", "made-1", "-p", r#"{"data":{"a":"c"}}"#],
        &["get", "pods"],
    ] {
        let (_, err, code) = kubectl(&world, &cluster, words);
        assert_eq!(code, Some(0), "{words:?}: {err}");
    }
    let secrets =
        ["no-secrets does not allow this request: ask the operators", "Error from server (Forbidden)"];
    refused(&world, &cluster, &["get", "secrets"], &secrets);
    refused(&world, &cluster, &["get", "rolebindings"], &["no-secrets"]);
    for words in [
        &["get", "configmap", "hidden-1"][..],
        // Of many that are listed one could be what is denied, so all are.
        &["get", "configmaps"],
        &["get", "configmap", "shown-1", "-n", "kube-system"],
        &["get", "configmaps", "-A"],
        &["create", "configmap", "other", "--from-literal=a=b"],
        &["delete", "configmap", "made-1"],
        &["get", "deployment", "made-1"],
        &["exec", "web", "--", "true"],
        &["logs", "web"],
        &["get", "--raw", "/metrics"],
        &["get", "--raw", &format!("/api/v1/namespaces/{namespace}/configmaps/made-1/status")],
    ] {
        refused(&world, &cluster, words, &["HOOP-"]);
    }
    // Nothing of it was done there.
    let left = done(&mut cluster.kubectl(&["get", "configmaps", "-o", "name"])).0;
    assert!(left.contains("made-1") && !left.contains("other"), "{left}");
}

/// The labels are the object's own, which the cluster tells; not what a request says of them.
#[test]
fn programs_run_in_pods_with_the_right_labels_only() {
    let (world, cluster) = clinic();
    cluster.pod("web", &json!({"app": "web"}));
    cluster.pod("db", &json!({"app": "db"}));
    world.rule(json!({"cluster": [
        {"name": "look", "action": "allow", "verbs": ["get", "list"], "resources": ["pods"]},
        {"name": "into-web", "action": "allow", "resources": ["pods/exec"], "labels": {"app": ["web", "api"]}},
    ]}));
    assert_eq!(kubectl(&world, &cluster, &["exec", "web", "--", "echo", "in web"]).0, "in web\n");
    refused(&world, &cluster, &["exec", "db", "--", "echo", "in db"], &["HOOP-2048"]);
    let path = format!(
        "/api/v1/namespaces/{}/pods/db/exec?command=true&stdout=1&labelSelector=app%3Dweb",
        cluster.namespace
    );
    let open = Open::start(&world);
    let (answer, _stream) = open.upgrade(&path, "Connection: Upgrade\r\n");
    assert_eq!(answer.status, 403);
    drop(open);
    // A list is about what its selector pins.
    world.rule(json!({"cluster": [
        {"name": "see-web", "action": "allow", "resources": ["pods"], "labels": {"app": ["web"]}},
    ]}));
    assert_eq!(kubectl(&world, &cluster, &["get", "pods", "-l", "app=web", "-o", "name"]).0, "pod/web\n");
    refused(&world, &cluster, &["get", "pods", "-o", "name"], &["HOOP-2048"]);
    refused(&world, &cluster, &["get", "pods", "-l", "app in (web, db)"], &["HOOP-2048"]);
    refused(&world, &cluster, &["get", "pod", "db"], &["HOOP-2048"]);
}

#[test]
fn where_commands_are_listed_nothing_else_runs_in_a_pod() {
    let (world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    world.rule(json!({"commands": [
        {"name": "look", "action": "allow", "text": ["ls /", "cat /etc/[a-z]+"]},
        {"name": "say", "action": "allow", "text": ["echo '[a-z ]+'"]},
    ]}));
    assert!(kubectl(&world, &cluster, &["exec", "web", "--", "ls", "/"]).0.contains("etc\n"));
    assert_eq!(kubectl(&world, &cluster, &["exec", "web", "--", "echo", "two words"]).0, "two words\n");
    assert_eq!(told(&events(&world), "command"), ["echo 'two words': exit 0"]);
    for command in
        [&["sh"][..], &["sh", "-c", "ls /"], &["ls", "/", "/etc"], &["ls", "/ "], &["tar", "cf", "-", "/etc"]]
    {
        refused(&world, &cluster, &[&["exec", "web", "--"], command].concat(), &["HOOP-2046"]);
    }
    refused(&world, &cluster, &["attach", "web"], &["HOOP-2047"]);
    let mut exec = world.hoop(&world.engineer);
    let (_, err, code) = done(exec.args(["exec", "k8s", "web", "-n", &cluster.namespace, "--", "id"]));
    assert!(err.contains("HOOP-2046") && code != Some(0), "{err}");
}

#[test]
fn rules_that_cannot_be_kept_in_a_cluster_refuse_it() {
    let (world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    world.rule(json!({"read_only": true}));
    assert_eq!(kubectl(&world, &cluster, &["get", "pods", "-o", "name"]).0, "pod/web\n");
    for words in [
        &["delete", "pod", "web"][..],
        &["label", "pod", "web", "a=b"],
        &["create", "configmap", "a"],
        &["exec", "web", "--", "true"],
        &["attach", "web"],
        &["port-forward", "web", "8080"],
    ] {
        refused_by(&world, &cluster, words, "HOOP-2048");
    }
    for (rule, code) in [
        (json!({"masking": {"columns": [{"columns": ["*.ssn"], "kind": "ssn"}]}}), "HOOP-2041"),
        (json!({"statements": [{"name": "reads", "action": "allow", "classes": ["read"]}]}), "HOOP-2040"),
    ] {
        world.rule(rule);
        refused_by(&world, &cluster, &["get", "pods"], code);
        refused_by(&world, &cluster, &["exec", "web", "--", "true"], code);
    }
    assert_eq!(done(&mut cluster.kubectl(&["get", "pods", "-o", "name"])).0, "pod/web\n");
}

fn refused_by(world: &World, cluster: &Cluster, words: &[&str], code: &str) {
    refused(world, cluster, words, &[code]);
}

/// D3: each of these is read as one thing, or not at all.
#[test]
fn a_path_that_can_be_read_in_two_ways_is_refused_and_reaches_nothing() {
    let (world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    let namespace = &cluster.namespace;
    cluster.apply(&json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "stringData": {"password": "canary-d3"}}));
    world.rule(json!({"cluster": [
        {"name": "no-secrets", "action": "deny", "resources": ["secrets"]},
        {"name": "all-else", "action": "allow"},
    ]}));
    let open = Open::start(&world);
    let own = format!("/api/v1/namespaces/{namespace}");
    let unclear = [
        format!("//api/v1/namespaces/{namespace}/secrets"),
        format!("/api/v1//namespaces/{namespace}/secrets"),
        format!("{own}//secrets"),
        format!("{own}/%73ecrets"),
        format!("{own}/secrets%2fdb"),
        format!("{own}%2fsecrets"),
        format!("{own}/pods/%2e%2e/secrets"),
        format!("{own}/pods/../secrets/db"),
        format!("{own}/./secrets/db"),
        format!("{own}/configmaps/..%2fsecrets"),
        format!("{own}/pods/web\\exec?command=id&stdout=1"),
        format!("{own}/pods;x/web"),
        format!("{own}/Secrets/db"),
        format!("{own}/pods?watch=0&watch=1"),
        format!("{own}/pods/web/exec?stdout=1"),
        format!("{own}/pods/web/exec?command=id"),
        format!("{own}/pods/web/attach?command=id&stdout=1"),
        // A stream that does not ask to be one.
        format!("{own}/pods/web/exec?command=id&stdout=1"),
        format!("{own}/pods/web/portforward"),
    ];
    let unrecorded = [
        format!("/api/v1/watch/namespaces/{namespace}/secrets"),
        format!("/api/v1/proxy/namespaces/{namespace}/services/db/"),
        "/api/v1/redirect/nodes/localhost".to_owned(),
        "/api/v1/nodes/localhost/proxy/exec/default/web/main?command=id".to_owned(),
        format!("{own}/pods/web/nothing"),
        format!("{own}/pods/web/log/more"),
        format!("{own}/secrets/db/proxy"),
        "/apis/example.org/v1/things/a/console".to_owned(),
    ];
    let unnamed = [
        format!("{own}/services/db:80/proxy/"),
        format!("{own}/pods/web/proxy"),
        format!("{own}/secrets/db"),
        format!("{own}/secrets/"),
        format!("{own}/secrets?watch=1"),
        format!("/api/v1/secrets?fieldSelector=metadata.namespace%3D{namespace}"),
    ];
    for (paths, status, code) in
        [(&unclear[..], 400, "HOOP-5050"), (&unrecorded, 403, "HOOP-5051"), (&unnamed, 403, "HOOP-2048")]
    {
        for path in paths {
            let answer = open.ask(&format!("GET {path}"), "", b"");
            let whole = answer.text();
            assert_eq!(answer.status, status, "{path}: {whole}");
            assert!(whole.contains(code) && !whole.contains("canary-d3"), "{path}: {whole}");
            assert_eq!(answer.json()["kind"], "Status", "{path}");
        }
    }
    let upgraded = [
        format!("{own}/pods/web/log?follow=1"),
        format!("{own}/pods?watch=1"),
        "/version".to_owned(),
        "/openapi/v2".to_owned(),
    ];
    for path in &upgraded {
        let (answer, _stream) = open.upgrade(path, "Connection: Upgrade\r\n");
        assert_eq!(answer.status, 403, "{path}: {}", answer.head);
    }
    for method in ["OPTIONS", "TRACE", "PUT", "PATCH", "DELETE", "EXEC"] {
        let answer = open.ask(&format!("{method} {own}/pods/web/exec?command=id&stdout=1"), "", b"");
        assert_eq!(answer.status, 400, "{method}: {}", answer.head);
    }
    drop(open);
    let events = events(&world);
    let denied = of_kind(&events, "denied").len();
    assert_eq!(denied, unclear.len() + unrecorded.len() + unnamed.len() + upgraded.len() + 6, "{events:#?}");
    assert!(
        of_kind(&events, "completed").is_empty() && of_kind(&events, "failed").is_empty(),
        "something was asked"
    );
}
