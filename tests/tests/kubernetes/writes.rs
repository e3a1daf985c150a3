//! What is written stands in the recording whatever its encoding, and what Secrets hold in none.

use std::{fs, path::Path};

use hoop_testkit::{run, run_with_input};
use serde_json::json;

use super::{Open, clinic, events, kubectl, of_kind, told};

/// A field of protobuf: a number, and up to 16383 bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let low = u8::try_from(bytes.len() & 0x7f).unwrap() | 0x80;
    let high = u8::try_from(bytes.len() >> 7).unwrap();
    [&[(number << 3) | 2, low, high], bytes].concat()
}

/// A ConfigMap or a Secret with one value, as Go's clients of a cluster write it.
fn protobuf(kind: &str, name: &str, key: &str, value: &str) -> Vec<u8> {
    let kind = [field(1, b"v1"), field(2, kind.as_bytes())].concat();
    let entry = [field(1, key.as_bytes()), field(2, value.as_bytes())].concat();
    let object = [field(1, &field(1, name.as_bytes())), field(2, &entry)].concat();
    [b"k8s\0".to_vec(), field(1, &kind), field(2, &object)].concat()
}

fn chunked(body: &str) -> Vec<u8> {
    let (first, rest) = body.split_at(7);
    format!("{:x}\r\n{first}\r\n{:x};extension=x\r\n{rest}\r\n0\r\n\r\n", first.len(), rest.len())
        .into_bytes()
}

/// D4: the same write in every form that a cluster takes.
#[test]
fn a_write_is_recorded_with_its_fields_in_every_encoding() {
    let (world, cluster) = clinic();
    let open = Open::start(&world);
    let all = format!("/api/v1/namespaces/{}/configmaps", cluster.namespace);
    let object = |name: &str, value: &str| {
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"colour": value}}).to_string()
    };
    let yaml = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: of-yaml\ndata: {colour: amber}\n";
    let (json, merge) = (object("of-json", "blue"), r#"{"data":{"colour":"green"}}"#);
    let patch = r#"[{"op":"replace","path":"/data/colour","value":"red"}]"#;
    let applied = object("of-apply", "white");
    let one = |name: &str| format!("PATCH {all}/{name}");
    let proto = protobuf("ConfigMap", "of-protobuf", "colour", "violet");
    let writes = [
        (format!("POST {all}"), "application/json", json.as_bytes(), 201, "data.colour = blue"),
        (format!("POST {all}"), "application/yaml", yaml.as_bytes(), 201, "data.colour = amber"),
        (format!("POST {all}"), "application/vnd.kubernetes.protobuf", &proto, 201, "data.#2 = violet"),
        (
            format!("PUT {all}/of-json"),
            "application/json",
            &object("of-json", "cyan").into_bytes(),
            200,
            "data.colour = cyan",
        ),
        (one("of-json"), "application/merge-patch+json", merge.as_bytes(), 200, "data.colour = green"),
        (
            one("of-json"),
            "application/strategic-merge-patch+json",
            merge.as_bytes(),
            200,
            "data.colour = green",
        ),
        (one("of-json"), "application/json-patch+json", patch.as_bytes(), 200, "replace /data/colour = red"),
        (
            format!("{}?fieldManager=a", one("of-apply")),
            "application/apply-patch+yaml",
            applied.as_bytes(),
            201,
            "data.colour = white",
        ),
    ];
    for (line, kind, body, status, _) in &writes {
        let answer = open.ask(line, &format!("Content-Type: {kind}\r\n"), body);
        assert_eq!(answer.status, *status, "{line} {kind}: {}", answer.text());
    }
    let head = format!(
        "POST {all} HTTP/1.1\r\nHost: k8s\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let answer = open.raw(&[head.into_bytes(), chunked(&object("of-chunks", "grey"))].concat());
    assert_eq!(answer.status, 201, "{}", answer.text());
    drop(open);
    let events = events(&world);
    let requests = of_kind(&events, "request");
    assert_eq!(requests.len(), writes.len() + 1);
    let wanted = writes.iter().map(|(.., wanted)| *wanted).chain(["data.colour = grey"]);
    for (request, wanted) in requests.iter().zip(wanted) {
        let parameters = request["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|one| one == wanted), "{wanted}: {request}");
    }
    let told = told(&events, "api");
    let namespace = &cluster.namespace;
    assert_eq!(told[0], format!("create configmaps of-json in {namespace}: 201"));
    assert_eq!(told[2], format!("create configmaps of-protobuf in {namespace}: 201"));
    assert_eq!(told[6], format!("patch configmaps of-json in {namespace}: 200"));
    // And it is what the cluster made of it.
    let path = "jsonpath={range .items[*]}{.metadata.name}={.data.colour} {end}";
    let made = run(&mut cluster.kubectl(&["get", "configmaps", "-o", path]));
    for one in ["of-json=red", "of-yaml=amber", "of-protobuf=violet", "of-apply=white", "of-chunks=grey"] {
        assert!(made.contains(one), "{one}: {made}");
    }
}

/// D4: what the recording cannot have goes no further, and that is recorded.
#[test]
fn a_write_that_is_not_read_for_certain_is_refused_and_recorded() {
    let (world, cluster) = clinic();
    let open = Open::start(&world);
    let line = format!("POST /api/v1/namespaces/{}/configmaps", cluster.namespace);
    let body = r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"unread"}}"#;
    let twice =
        r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"unread"},"metadata":{"name":"other"}}"#;
    let gzip = [&b"\x1f\x8b\x08\x00"[..], body.as_bytes()].concat();
    let proto = protobuf("ConfigMap", "unread", "a", "b");
    let large = format!(r#"{{"metadata":{{"name":"unread"}},"data":{{"a":"{}"}}}}"#, "x".repeat(10 << 20));
    let json = "Content-Type: application/json\r\n";
    let cases: [(&str, &[u8]); 9] = [
        (&format!("{json}Content-Encoding: gzip\r\n"), &gzip),
        (&format!("{json}Content-Encoding: identity, gzip\r\n"), body.as_bytes()),
        (&format!("{json}content-encoding: identity\r\nContent-Encoding: gzip\r\n"), body.as_bytes()),
        (json, twice.as_bytes()),
        (json, &proto),
        ("Content-Type: text/plain\r\n", body.as_bytes()),
        ("Content-Type: application/yaml\r\n", b"metadata: {name: unread}\n---\nmetadata: {name: other}\n"),
        ("Content-Type: application/vnd.kubernetes.protobuf\r\n", body.as_bytes()),
        (json, large.as_bytes()),
    ];
    for (headers, body) in cases {
        let answer = open.ask(&line, headers, body);
        let shown = answer.text();
        assert!(answer.status == 415 && shown.contains("HOOP-5054"), "{headers}: {}{shown}", answer.head);
    }
    drop(open);
    let events = events(&world);
    let denied = of_kind(&events, "denied");
    assert_eq!(denied.len(), cases.len(), "{events:#?}");
    assert!(denied.iter().all(|denied| denied["code"] == "HOOP-5054"));
    let (out, ..) = kubectl(&world, &cluster, &["get", "configmaps", "-o", "name"]);
    assert!(!out.contains("unread"), "{out}");
}

fn holds(folder: &Path, needles: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(holds(&path, needles));
        } else if let Ok(bytes) = fs::read(&path) {
            let has = |needle: &&&str| bytes.windows(needle.len()).any(|window| window == needle.as_bytes());
            found.extend(needles.iter().find(has).map(|needle| format!("{needle} in {}", path.display())));
        }
    }
    found
}

#[test]
fn what_secrets_hold_is_in_no_recording_and_no_log() {
    let (world, cluster) = clinic();
    let value = "canary-x9f3-of-secrets";
    let encoded = data_encoding::BASE64.encode(value.as_bytes());
    let open = Open::start(&world);
    let all = format!("/api/v1/namespaces/{}/secrets", cluster.namespace);
    let head = |name: &str| format!(r#""apiVersion":"v1","kind":"Secret","metadata":{{"name":"{name}"}}"#);
    let one = format!("PATCH {all}/db");
    let proto = protobuf("Secret", "of-protobuf", "password", value);
    let writes: [(String, &str, Vec<u8>, u16); 10] = [
        (
            format!("POST {all}"),
            "application/json",
            format!(r#"{{{},"data":{{"password":"{encoded}"}}}}"#, head("db")).into(),
            201,
        ),
        (
            format!("POST {all}"),
            "application/yaml",
            format!("{{{},\"stringData\":{{\"password\":{value}}}}}", head("of-yaml")).into(),
            201,
        ),
        (format!("POST {all}"), "application/vnd.kubernetes.protobuf", proto, 201),
        (
            one.clone(),
            "application/merge-patch+json",
            format!(r#"{{"stringData":{{"a":"{value}"}}}}"#).into(),
            200,
        ),
        (
            one.clone(),
            "application/strategic-merge-patch+json",
            format!(r#"{{"data":{{"b":"{encoded}"}}}}"#).into(),
            200,
        ),
        (
            one.clone(),
            "application/json-patch+json",
            format!(r#"[{{"op":"add","path":"/data/c","value":"{encoded}"}}]"#).into(),
            200,
        ),
        (
            format!("{one}?fieldManager=a&force=true"),
            "application/apply-patch+yaml",
            format!("{{{},\"data\":{{\"d\":\"{encoded}\"}}}}", head("db")).into(),
            200,
        ),
        // Such that the cluster quotes what it does not like.
        (
            format!("POST {all}"),
            "application/json",
            format!(r#"{{{},"data":{{"password":"{value}!"}}}}"#, head("bad")).into(),
            400,
        ),
        (
            format!("POST {all}"),
            "application/json",
            format!(r#"{{{},"stringData":{{"password":["{value}"]}}}}"#, head("bad")).into(),
            400,
        ),
        // Such that hoop does not.
        (format!("POST {all}"), "application/yaml", format!("a: {value}\na: {value}\n").into(), 415),
    ];
    for (line, kind, body, status) in &writes {
        let answer = open.ask(line, &format!("Content-Type: {kind}\r\n"), body);
        assert_eq!(answer.status, *status, "{line} {kind}: {}", answer.text());
    }
    for accept in ["application/json", "application/vnd.kubernetes.protobuf"] {
        let answer = open.ask(&format!("GET {all}"), &format!("Accept: {accept}\r\n"), b"");
        let shown = answer.text();
        assert!(
            answer.status == 200 && (shown.contains(value) || shown.contains(&encoded)),
            "{accept}: it is shown to the person: {}{shown}",
            answer.head
        );
    }
    let manifest = world.folder.path().join("secret.yaml");
    fs::write(&manifest, format!("{{{},\"stringData\":{{\"password\":\"{value}\"}}}}", head("applied")))
        .unwrap();
    run(open.kubectl(&cluster, &["apply", "-f"]).arg(&manifest));
    run_with_input(
        &mut open.kubectl(&cluster, &["replace", "-f", "-"]),
        &fs::read_to_string(&manifest).unwrap(),
    );
    fs::remove_file(&manifest).unwrap();
    run(&mut cluster.kubectl(&["create", "serviceaccount", "job"]));
    let token = run(&mut open.kubectl(&cluster, &["create", "token", "job"]));
    drop(open);
    let events = format!("{:?}", events(&world));
    for text in [value, &encoded, "canary", token.trim()] {
        assert!(!events.contains(text), "{text}");
    }
    assert!(events.contains("data.password = (not recorded)"), "that it is written is told");
    let needles = [value, &encoded, token.trim()];
    let folders = [world.folder.path().join("gateway"), world.folder.path().join("agent")];
    for found in folders.iter().map(|folder| holds(folder, &needles)) {
        assert!(found.is_empty(), "{found:?}");
    }
    for (log, who) in [(world.agent.log(), "agent"), (world.gateway.log(), "gateway")] {
        assert!(!needles.iter().any(|needle| log.contains(needle)), "{who}");
    }
}
