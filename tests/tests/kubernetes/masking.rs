//! Where a rule masks: what Secrets hold is not shown, and what programs print is masked as well as it can be.

use hoop_testkit::{World, run_with_input};
use serde_json::{Value, json};

use super::{Open, Running, clinic, done, events, kubectl, of_kind, said, told};

#[test]
fn what_secrets_hold_is_shown_in_no_form_and_not_written_over() {
    let (world, cluster) = clinic();
    let value = "canary-hidden-q7";
    let encoded = data_encoding::BASE64.encode(value.as_bytes());
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "labels": {"app": "db"}}, "stringData": {"password": value},
    });
    // As `kubectl apply` of an admin leaves it, with its copy in an annotation.
    cluster.apply(&secret);
    world.rule(json!({"masking": {"hosts": "detect"}}));
    let clean = |shown: &str, what: &str| {
        assert!(
            !shown.contains(value) && !shown.contains(&encoded) && !shown.contains("canary"),
            "{what}: {shown}"
        );
    };
    for words in [
        &["get", "secret", "db", "-o", "yaml"][..],
        &["get", "secret", "db", "-o", "json"],
        &["get", "secrets", "-o", "json"],
        &["get", "secrets"],
        &["get", "secrets", "-o", "wide", "--show-labels"],
        &["describe", "secret", "db"],
        &["get", "secret", "db", "-o", "jsonpath={.data.password}"],
    ] {
        let (out, err, code) = kubectl(&world, &cluster, words);
        assert_eq!(code, Some(0), "{words:?}: {err}");
        assert!(!out.is_empty());
        clean(&out, &words.join(" "));
    }
    let (out, ..) = kubectl(&world, &cluster, &["get", "secret", "db", "-o", "json"]);
    let shown: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown["data"]["password"], "W2hpZGRlbiBieSBob29wXQ==");
    assert_eq!(shown["metadata"]["labels"]["app"], "db", "the rest is shown");
    assert_eq!(of_kind(&events(&world), "masked")[0]["counts"], json!({"hidden": 2}));

    let open = Open::start(&world);
    let all = format!("/api/v1/namespaces/{}/secrets", cluster.namespace);
    for accept in [
        "application/vnd.kubernetes.protobuf",
        "application/yaml",
        "application/cbor",
        "*/*",
        "application/json;as=Table;v=v1;g=meta.k8s.io",
    ] {
        let headers = format!("Accept: {accept}\r\nAccept-Encoding: gzip\r\n");
        for path in [
            all.clone(),
            format!("{all}/db"),
            format!("{all}?watch=1&timeoutSeconds=1"),
            format!("{all}?includeObject=Object"),
        ] {
            let answer = open.ask(&format!("GET {path}"), &headers, b"");
            assert!(answer.status == 200 && !answer.body.is_empty(), "{accept} {path}: {}", answer.head);
            clean(&answer.text(), &format!("{accept} {path}"));
        }
    }
    // Also what a write answers; and what was hidden does not come in the place of what is there.
    let patch = |body: &str| {
        open.ask(
            &format!("PATCH {all}/db"),
            "Content-Type: application/merge-patch+json\r\n",
            body.as_bytes(),
        )
    };
    let answer = patch(r#"{"metadata":{"labels":{"tier":"back"}}}"#);
    assert_eq!(answer.status, 200, "{}", answer.text());
    clean(&answer.text(), "the answer to a write");
    let answer = patch(&json!({"data": {"password": shown["data"]["password"]}}).to_string());
    assert!(answer.status == 403 && answer.text().contains("HOOP-5057"), "{}", answer.text());
    let mut replace = open.kubectl(&cluster, &["replace", "-f", "-"]);
    let mut client = Running::start(&mut replace);
    std::io::Write::write_all(&mut client.0.stdin.take().unwrap(), out.as_bytes()).unwrap();
    let mut err = String::new();
    std::io::Read::read_to_string(&mut client.0.stderr.take().unwrap(), &mut err).unwrap();
    assert!(err.contains("HOOP-5057") && client.0.wait().unwrap().code() == Some(1), "{err}");
    // A new value is written.
    run_with_input(&mut open.kubectl(&cluster, &["apply", "-f", "-"]), &json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own"}, "stringData": {"password": "canary-own"},
    }).to_string());
    drop((client, open));
    let events = events(&world);
    assert_eq!(of_kind(&events, "denied").len(), 2);
    clean(&format!("{events:?}"), "the recording");
    let there = done(&mut cluster.kubectl(&["get", "secret", "db", "-o", "jsonpath={.data.password}"])).0;
    assert_eq!(there, encoded, "it is as it was");
}

/// What a cluster does not like of a Secret it quotes, and a patch that does not fit quotes all that is there.
#[test]
fn what_a_cluster_says_of_a_secret_that_it_refuses_is_withheld() {
    let (world, cluster) = clinic();
    let value = "canary-quoted-q8";
    let encoded = data_encoding::BASE64.encode(value.as_bytes());
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db"}, "data": {"password": encoded}, "type": "Opaque",
    });
    cluster.apply(&secret);
    let all = format!("/api/v1/namespaces/{}/secrets", cluster.namespace);
    let of = |kind: &str| format!("Content-Type: application/{kind}\r\nAccept: application/json\r\n");
    let replaced = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "db", "resourceVersion": "1"}, "data": {"x": encoded},
    });
    let broken = r#"{"data":{"x":"!"}}"#.to_owned();
    let tested = json!([{"op": "test", "path": "/data/password", "value": "another"}]).to_string();
    let refused = [
        ("PATCH", "db", of("merge-patch+json"), broken.clone(), (422, "Invalid")),
        ("PATCH", "db", of("strategic-merge-patch+json"), broken, (422, "Invalid")),
        ("PATCH", "db", of("json-patch+json"), tested, (422, "Invalid")),
        ("PUT", "db", of("json"), replaced.to_string(), (409, "Conflict")),
        ("POST", "", of("json"), secret.to_string(), (409, "AlreadyExists")),
        ("GET", "none", of("json"), String::new(), (404, "NotFound")),
        ("DELETE", "none", of("json"), String::new(), (404, "NotFound")),
    ];
    let ask_all = |world: &World| {
        let open = Open::start(world);
        let ask = |(verb, name, headers, body, _): &(&str, &str, String, String, (u16, &str))| {
            open.ask(format!("{verb} {all}/{name}").trim_end_matches('/'), headers, body.as_bytes())
        };
        refused.iter().map(ask).collect::<Vec<_>>()
    };
    let quotes = |shown: &str| shown.contains(value) || shown.contains(&encoded);
    // So it is where Secrets are shown: otherwise this would prove nothing.
    let answers = ask_all(&world);
    assert!(answers.iter().any(|answer| quotes(&answer.text())), "the cluster quotes nothing: {answers:?}");
    assert!(!quotes(&format!("{:?}", events(&world))), "its words stand in the recording");

    world.rule(json!({"masking": {"hosts": "detect"}}));
    let answers = ask_all(&world);
    for (answer, (verb, name, .., (code, reason))) in answers.iter().zip(&refused) {
        let shown = answer.json();
        let message = shown["message"].as_str().unwrap();
        assert!(message.contains("withheld") && message.contains("HOOP-5057"), "{verb} {name}: {shown}");
        let mut rest = shown.clone();
        rest.as_object_mut().unwrap().remove("message");
        let wanted = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason, "code": code,
        });
        assert_eq!((answer.status, rest), (*code, wanted), "{verb} {name}");
    }
    let recorded = events(&world);
    assert_eq!(of_kind(&recorded, "failed").len(), refused.len());
    assert!(!quotes(&format!("{recorded:?}")), "its words stand in the recording");

    let patch = ["patch", "secret", "db", "--type=merge", "-p", r#"{"data":{"x":"!"}}"#];
    let (out, err, code) = kubectl(&world, &cluster, &patch);
    assert!(err.contains("withheld") && code == Some(1) && !quotes(&out) && !quotes(&err), "{out}{err}");
    // Nor does a patch take it to where it would be shown.
    for operation in ["copy", "move"] {
        let change = json!([{"op": operation, "from": "/data", "path": "/metadata/labels"}]).to_string();
        let patch = ["patch", "secret", "db", "--type=json", "-o", "json", "-p", &change];
        let (out, err, code) = kubectl(&world, &cluster, &patch);
        assert!(err.contains("HOOP-5057") && code == Some(1) && !quotes(&out), "{out}{err}");
    }
    let path = "jsonpath={.data.password} {.metadata.labels}";
    let there = done(&mut cluster.kubectl(&["get", "secret", "db", "-o", path])).0;
    assert_eq!(there.trim(), encoded, "it is as it was");
    // Of what is no Secret the cluster's words are shown.
    let (_, err, _) = kubectl(&world, &cluster, &["get", "configmap", "none"]);
    assert!(err.contains("configmaps \"none\" not found"), "{err}");
    // What happens with it is told without what it holds.
    for words in [&["describe", "secret", "db"][..], &["get", "events", "-o", "json"]] {
        let (out, err, code) = kubectl(&world, &cluster, words);
        assert!(code == Some(0) && !quotes(&out) && !quotes(&err), "{words:?}: {out}{err}");
    }
}

#[test]
fn what_programs_print_is_masked_and_the_recording_has_what_was_shown() {
    let (world, cluster) = clinic();
    cluster.pod_that("web", &json!({}), "echo her ssn 123-45-'67'89; echo done; exec sleep 600");
    world.rule(json!({"masking": {"hosts": "detect"}, "forwarding": ["local"]}));
    let script = "printf 'ssn 123-45-6789\\nssn 1\\033[31m23-45-\\033[0m6789\\n'; printf 'm.g@example.org\\n' >&2; exit 3";
    let (out, err, code) = kubectl(&world, &cluster, &["exec", "web", "--", "sh", "-c", script]);
    assert_eq!(out, "ssn [ssn]\nssn [ssn]\u{1b}[31m\u{1b}[0m\n");
    assert!(err.starts_with("[email]\n") && code == Some(3), "{err}");
    let recorded = events(&world);
    assert_eq!(
        (said(&recorded, "error"), of_kind(&recorded, "masked")[0]["counts"].clone()),
        ("[email]\n".into(), json!({"ssn": 2, "email": 1}))
    );
    for words in [&["logs", "web"][..], &["logs", "--tail=2", "web"]] {
        assert_eq!(kubectl(&world, &cluster, words).0, "her ssn [ssn]\ndone\n");
        let recorded = events(&world);
        assert!(
            said(&recorded, "out").contains("her ssn [ssn]\n")
                && !format!("{recorded:?}").contains("123-45-6789")
        );
    }
    let (out, ..) = kubectl(
        &world,
        &cluster,
        &["exec", "web", "--", "sh", "-c", "yes 'my ssn 123-45-6789, and more' | head -n 40000"],
    );
    assert!(out == "my ssn [ssn], and more\n".repeat(40_000), "{} bytes", out.len());
    // What cannot be masked is not let through.
    let back = world.folder.path().join("passwd").display().to_string();
    for words in [
        &["cp", "web:/etc/passwd", &back][..],
        &["port-forward", "web", "0:80"],
        &["exec", "web", "--", "tar", "cf", "-", "/etc"],
    ] {
        let (out, err, code) = kubectl(&world, &cluster, words);
        assert!(err.contains("HOOP-2045") && code != Some(0), "{words:?}: {out}{err}");
        assert_eq!(of_kind(&events(&world), "denied")[0]["code"], "HOOP-2045");
    }
    assert!(!std::path::Path::new(&back).exists() || std::fs::read(&back).unwrap().is_empty());
    let told = told(&events(&world), "command");
    // kubectl asks again by its other transport.
    assert!(!told.is_empty() && told.iter().all(|line| line == "tar cf - /etc: HOOP-2045"), "{told:?}");
}
