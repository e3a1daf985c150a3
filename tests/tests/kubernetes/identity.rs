//! Who the cluster takes a person for: what hoop says, and nothing that a client says.

use std::{fs, net::TcpListener, path::PathBuf, process::Command};

use hoop_testkit::{Cluster, World, run, run_with_input};
use serde_json::{Value, json};

use super::{Answer, Open, clinic, done, events, kubectl, of_kind};

/// A request for a certificate, which a cluster answers by whom it takes the caller for; as a dry run it leaves nothing.
fn question(world: &World) -> Vec<u8> {
    let (key, csr) = (world.folder.path().join("who.key"), world.folder.path().join("who.csr"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=who", "-keyout"]);
    run(openssl.arg(key).arg("-out").arg(&csr));
    let request = data_encoding::BASE64.encode(&fs::read(csr).unwrap());
    json!({
        "apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest", "metadata": {"name": "who"},
        "spec": {"request": request, "signerName": "example.org/who", "usages": ["client auth"]},
    })
    .to_string()
    .into_bytes()
}

const WHO: &str = "POST /apis/certificates.k8s.io/v1/certificatesigningrequests?dryRun=All";

/// With these headers besides.
fn who(open: &Open, question: &[u8], headers: &str) -> Value {
    let answer = open.ask(WHO, &format!("Content-Type: application/json\r\n{headers}"), question);
    assert_eq!(answer.status, 201, "{headers}: {}", answer.text());
    let spec = answer.json()["spec"].clone();
    json!({"user": spec["username"], "uid": spec["uid"], "groups": spec["groups"], "extra": spec["extra"]})
}

fn session(world: &World) -> String {
    world.sessions()[0]["id"].as_str().unwrap().to_owned()
}

#[test]
fn the_cluster_sees_the_person_and_the_session() {
    let (world, cluster) = clinic();
    cluster.lets_people_ask_who_they_are();
    let open = Open::start(&world);
    let seen = who(&open, &question(&world), "");
    let wanted = json!({
        "user": "hoop:ada", "uid": null, "groups": ["hoop:engineers", "system:authenticated"],
        "extra": {"hoop-session": [session(&world)]},
    });
    assert_eq!(seen, wanted);
    drop(open);
    assert_eq!(of_kind(&events(&world), "opened")[0]["facts"]["user"], "hoop:ada");

    // What the group may do the person may; without it nothing, and the cluster says who may not.
    assert_eq!(kubectl(&world, &cluster, &["auth", "can-i", "create", "pods/exec"]).0, "yes\n");
    let plain = events(&world);
    assert!(notices(&plain).is_empty(), "kubectl brings no proof of its own: {plain:?}");
    world.put_cluster("k8s", &cluster, json!({"settings": {"groups": {"engineers": ["hoop:viewers"]}}}));
    let (_, err, code) = kubectl(&world, &cluster, &["get", "pods"]);
    assert!(err.contains("(Forbidden)") && err.contains("\"hoop:ada\"") && code == Some(1), "{err}");
    let failed = of_kind(&events(&world), "failed").last().copied().cloned().unwrap();
    assert_eq!(failed["code"], "403");
    assert!(failed["message"].as_str().unwrap().contains("\"hoop:ada\""), "{failed}");
    // Another name for all of them, which has rights of its own.
    cluster.let_in("shared", "User", "clinic-shared");
    world.put_cluster(
        "k8s",
        &cluster,
        json!({"settings": {"groups": {"engineers": []}, "user": "clinic-shared"}}),
    );
    assert_eq!(kubectl(&world, &cluster, &["auth", "can-i", "list", "pods"]).0, "yes\n");
    // What the agent's account may not be, nobody is.
    world.put_cluster("k8s", &cluster, json!({"settings": {"groups": {"engineers": ["masters"]}}}));
    let answer = Open::start(&world).ask("GET /api/v1/pods", "", b"");
    assert!(
        answer.status == 403 && answer.text().contains("cannot impersonate resource"),
        "{}",
        answer.text()
    );
}

/// What a recording says beside its requests.
fn notices(events: &[Value]) -> Vec<&str> {
    of_kind(events, "notice").into_iter().filter_map(|notice| notice["text"].as_str()).collect()
}

/// D2: mixed case, said twice, named for this hop; on every kind of request.
#[test]
fn what_a_client_says_of_who_it_is_changes_nothing_and_is_recorded() {
    let (world, cluster) = clinic();
    cluster.lets_people_ask_who_they_are();
    cluster.pod("web", &json!({}));
    let open = Open::start(&world);
    let question = question(&world);
    let plain = who(&open, &question, "");
    let claims = [
        "Impersonate-User: system:admin\r\nImpersonate-Group: system:masters\r\n",
        "iMPERSONATE-uSER: system:admin\r\nIMPERSONATE-USER: hoop:root\r\nimpersonate-group: system:masters\r\n",
        "Impersonate-Extra-Scopes: all\r\nImpersonate-Uid: 0\r\n",
        "Impersonate-Group: system:masters\r\nImpersonate-Extra-Hoop-Session: another\r\n",
        "X-Remote-User: root\r\nX-Remote-Group: system:masters\r\nx-remote-extra-a: b\r\n",
        "Authorization: Bearer stolen\r\nX-Remote-User: root\r\n",
        "Authorization: Bearer stolen\r\n",
        "Cookie: a=b\r\nProxy-Authorization: Basic YTpi\r\n",
        "Connection: Impersonate-User, Authorization\r\nImpersonate-User: system:admin\r\n",
        "Connection: Impersonate-Group\r\nConnection: keep-alive, IMPERSONATE-group\r\nImpersonate-Group: system:masters\r\n",
    ];
    for headers in claims {
        assert_eq!(who(&open, &question, headers), plain, "{headers}");
    }
    // The same for what becomes a stream: who is nobody may do nothing there.
    let path = format!("/api/v1/namespaces/{}/pods/web/exec?command=true&stdout=1", cluster.namespace);
    for headers in [
        "Connection: Upgrade\r\nImpersonate-User: nobody\r\nimpersonate-group: nobodies\r\n",
        "Connection: Upgrade, Impersonate-User\r\nImpersonate-User: nobody\r\n",
        "Connection: Upgrade\r\nAuthorization: Bearer stolen\r\nX-Remote-User: nobody\r\n",
        "Connection: Upgrade\r\nSec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.c3RvbGVu\r\n",
    ] {
        let (answer, _stream) = open.upgrade(&path, headers);
        assert_eq!(answer.status, 101, "{headers}: {}", answer.head);
    }
    // A token with every request of a connection is told once; what somebody wants to be, each time.
    let get = |headers: &str| {
        format!("GET /version HTTP/1.1\r\nHost: k8s\r\nAuthorization: Bearer stolen\r\n{headers}\r\n")
    };
    let requests = [get(""), get(""), get("Connection: close\r\nImpersonate-User: nobody\r\n")].concat();
    open.raw(requests.as_bytes());
    drop(open);
    let events = events(&world);
    let notices = notices(&events);
    assert_eq!(notices.len(), claims.len() + 4 + 2, "{notices:#?}");
    for name in [
        "impersonate-user",
        "impersonate-group",
        "impersonate-uid",
        "impersonate-extra-scopes",
        "impersonate-extra-hoop-session",
        "x-remote-user",
        "x-remote-extra-a",
        "(authorization)",
        "cookie",
        "(sec-websocket-protocol)",
    ] {
        assert!(notices.iter().any(|notice| notice.contains(name)), "{name}: {notices:#?}");
    }
    assert!(!format!("{events:?}").contains("stolen"), "what proves who one is does not stand in it");
}

/// D1: a connection leads to its own cluster, whatever a request says of another.
#[test]
fn a_request_for_another_cluster_stays_with_its_own() {
    let (world, cluster) = clinic();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    other.set_nonblocking(true).unwrap();
    let port = other.local_addr().unwrap().port();
    world.put_cluster("other", &cluster, json!({"settings": {"port": port}}));
    let open = Open::start(&world);
    let path = format!("/api/v1/namespaces/{}/configmaps", cluster.namespace);
    let answered = |answer: Answer| {
        let whole = answer.text();
        assert!(answer.status == 200 && whole.contains("ConfigMapList"), "{}{whole}", answer.head);
    };
    for host in [format!("localhost:{port}"), "other".to_owned(), "other.hoop, k8s".to_owned()] {
        answered(
            open.raw(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()),
        );
    }
    let forwarded = format!("X-Forwarded-Host: localhost:{port}\r\nForwarded: host=other\r\n");
    answered(open.ask(&format!("GET {path}"), &forwarded, b""));
    answered(open.ask(&format!("GET http://localhost:{port}{path}"), "", b""));
    answered(open.ask(&format!("GET https://other{path}"), "", b""));
    let mut curl = Command::new("curl");
    curl.args(["-s", "--http2-prior-knowledge", "--unix-socket"]).arg(&open.socket);
    let seen = run(curl.arg(format!("http://localhost:{port}{path}")));
    assert!(seen.contains("ConfigMapList"), "{seen}");
    let answer = open.raw(
        format!("CONNECT localhost:{port} HTTP/1.1\r\nHost: k8s\r\nConnection: close\r\n\r\n").as_bytes(),
    );
    assert_eq!(answer.status, 400, "{}", answer.head);
    assert!(other.accept().is_err(), "somebody came to the other cluster");
    drop(open);
    assert_eq!(of_kind(&events(&world), "completed").len(), 7);
}

/// A kubeconfig as `kubectl config view --minify --flatten --raw` prints it.
fn kubeconfig(cluster: &Cluster, user: &Value) -> String {
    let authority = data_encoding::BASE64.encode(&fs::read(cluster.pki("ca.crt")).unwrap());
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "here",
        "clusters": [{"name": "lab", "cluster": {"server": "https://elsewhere:1", "certificate-authority-data": authority}}],
        "users": [{"name": "agent", "user": user}],
        "contexts": [{"name": "here", "context": {"cluster": "lab", "user": "agent"}}],
    })
    .to_string()
}

/// A certificate and its key, which the cluster's authority signed for this name.
fn certificate(world: &World, cluster: &Cluster, name: &str) -> (PathBuf, PathBuf) {
    let file = |ending: &str| world.folder.path().join(format!("{name}.{ending}"));
    let (key, csr, certificate) = (file("key"), file("csr"), file("crt"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]);
    run(openssl.args(["-subj", &format!("/CN={name}")]).arg("-keyout").arg(&key).arg("-out").arg(&csr));
    let mut openssl = Command::new("openssl");
    let extensions = file("ext");
    fs::write(&extensions, "extendedKeyUsage=clientAuth\n").unwrap();
    openssl.args(["x509", "-req", "-days", "1", "-set_serial", "4711", "-in"]).arg(csr);
    openssl.arg("-extfile").arg(extensions);
    openssl.arg("-CA").arg(cluster.pki("ca.crt")).arg("-CAkey").arg(cluster.pki("ca.key"));
    run(openssl.arg("-out").arg(&certificate));
    (certificate, key)
}

/// The connection, by another proof than a token: requests and streams work by it, as the person.
fn works_by(world: &World, cluster: &Cluster, question: &[u8], settings: &Value) {
    world.put_cluster("k8s", cluster, json!({"settings": settings}));
    let open = Open::start(world);
    assert_eq!(who(&open, question, "")["user"], "hoop:ada", "{settings}");
    let out = run(&mut open.kubectl(cluster, &["exec", "web", "--", "echo", "in"]));
    assert_eq!(out, "in\n");
}

#[test]
fn the_agent_proves_itself_by_a_kubeconfig() {
    let (world, cluster) = clinic();
    cluster.lets_people_ask_who_they_are();
    cluster.pod("web", &json!({}));
    let file = world.folder.path().join("agent.kubeconfig");
    // The authority stands in it, too.
    let settings =
        json!({"token": null, "kubeconfig": format!("file:{}", file.display()), "tls": {"ca_file": null}});
    fs::write(&file, kubeconfig(&cluster, &json!({"token": fs::read_to_string(cluster.token()).unwrap()})))
        .unwrap();
    works_by(&world, &cluster, &question(&world), &settings);

    let (certificate, key) = certificate(&world, &cluster, &format!("agent-{}", cluster.namespace));
    may_be_others(&cluster, &format!("agent-{}", cluster.namespace));
    let text = |path: PathBuf| data_encoding::BASE64.encode(&fs::read(path).unwrap());
    let user = json!({"client-certificate-data": text(certificate), "client-key-data": text(key)});
    fs::write(&file, kubeconfig(&cluster, &user)).unwrap();
    works_by(&world, &cluster, &question(&world), &settings);

    // Files that it names are not read.
    fs::write(&file, kubeconfig(&cluster, &json!({"tokenFile": cluster.token()}))).unwrap();
    let (_, err, code) = kubectl(&world, &cluster, &["get", "pods"]);
    assert!(err.contains("HOOP-5052") && code == Some(1), "{err}");
}

/// The rights of `deploy/kubernetes/rbac.yaml`, for a user.
fn may_be_others(cluster: &Cluster, user: &str) {
    let group = "rbac.authorization.k8s.io";
    cluster.apply(&json!({
        "apiVersion": format!("{group}/v1"), "kind": "ClusterRoleBinding", "metadata": {"name": user},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "hoop-agent"},
        "subjects": [{"kind": "User", "name": user, "apiGroup": group}],
    }));
}

#[test]
fn the_agent_proves_itself_by_a_certificate() {
    let (world, cluster) = clinic();
    cluster.lets_people_ask_who_they_are();
    cluster.pod("web", &json!({}));
    let name = format!("agent-{}", cluster.namespace);
    let (certificate, key) = certificate(&world, &cluster, &name);
    let settings = json!({"token": null, "tls": {"client_certificate": certificate, "client_key": key}});
    world.put_cluster("k8s", &cluster, json!({"settings": settings}));
    // The cluster knows the account by it, which has no rights yet.
    let refused = Open::start(&world).ask("GET /api/v1/pods", "", b"").json();
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains(&format!("User \"{name}\" cannot impersonate")), "{message}");
    may_be_others(&cluster, &name);
    works_by(&world, &cluster, &question(&world), &settings);
}

/// What `deploy/kubernetes/rbac.yaml` gives, and nothing else: who takes the agent's token can be people, and do nothing.
#[test]
fn the_agents_account_may_do_nothing_by_itself() {
    let (_world, cluster) = clinic();
    let kubectl = |words: &[&str]| {
        let mut kubectl = Command::new("kubectl");
        kubectl.env("KUBECONFIG", "/nonexistent").arg(format!("--server=https://localhost:{}", cluster.port));
        kubectl.arg(format!("--certificate-authority={}", cluster.pki("ca.crt").display()));
        kubectl.arg(format!("--token={}", fs::read_to_string(cluster.token()).unwrap()));
        kubectl.args(["--namespace", &cluster.namespace]).args(words);
        kubectl
    };
    for (words, may) in [
        (&["list", "pods"][..], "no"),
        (&["get", "secrets"], "no"),
        (&["list", "secrets", "--all-namespaces"], "no"),
        (&["create", "pods/exec"], "no"),
        (&["create", "pods"], "no"),
        (&["create", "serviceaccounts/token"], "no"),
        (&["get", "nodes"], "no"),
        (&["*", "*"], "no"),
        (&["impersonate", "users"], "yes"),
        (&["impersonate", "groups/hoop:engineers"], "yes"),
        (&["impersonate", "groups/system:masters"], "no"),
        (&["impersonate", "groups"], "no"),
        (&["impersonate", "serviceaccounts"], "no"),
    ] {
        let (out, err, _) = done(&mut kubectl(&[&["auth", "can-i"], words].concat()));
        assert_eq!(out.trim(), may, "{words:?}: {err}");
    }
    // Not by what was thought of here alone: all that the cluster knows of it.
    let review = json!({
        "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview", "spec": {"namespace": cluster.namespace},
    });
    let all = run_with_input(&mut kubectl(&["create", "-o", "json", "-f", "-"]), &review.to_string());
    let all: Value = serde_json::from_str(&all).unwrap();
    let rules = all["status"]["resourceRules"].as_array().unwrap();
    let (others, own): (Vec<_>, Vec<_>) =
        rules.iter().partition(|rule| rule["verbs"] == json!(["impersonate"]));
    let mut others: Vec<_> =
        others.iter().map(|rule| format!("{} {}", rule["resources"], rule["resourceNames"])).collect();
    others.sort_unstable();
    assert_eq!(
        others,
        [
            r#"["groups"] ["hoop:engineers","hoop:admins","hoop:viewers"]"#,
            r#"["userextras/hoop-session"] null"#,
            r#"["users"] null"#,
        ]
    );
    for rule in own {
        // Each account of a cluster may ask what it may; each on this node, for a test, may ask for a certificate.
        let everyones = ["selfsubjectaccessreviews", "selfsubjectrulesreviews", "certificatesigningrequests"];
        let resources = rule["resources"].as_array().unwrap();
        assert!(rule["verbs"] == json!(["create"]), "{rule}");
        assert!(resources.iter().all(|resource| everyones.contains(&resource.as_str().unwrap())), "{rule}");
    }
}
