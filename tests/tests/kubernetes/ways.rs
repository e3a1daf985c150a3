//! The ways in, and the clients: each does what it does without hoop.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use expectrl::{Expect as _, session::OsSession};
use hoop_testkit::{Cluster, World, helm, newest_kubectl, run, run_with_input};
use serde_json::json;

use super::{Open, clinic, done, events, kubectl, of_kind, said, told};

#[test]
fn kubectl_does_its_work_and_each_request_is_recorded() {
    let (world, cluster) = clinic();
    let namespace = cluster.namespace.as_str();
    let file = world.folder.path().join("web.yaml");
    let container = json!({"name": "main", "image": "none"});
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [container]}}},
    });
    std::fs::write(&file, deployment.to_string()).unwrap();
    let file = file.display().to_string();
    let done_well = |words: &[&str], shown: &str| {
        let (out, err, code) = kubectl(&world, &cluster, words);
        assert!(out.contains(shown) && code == Some(0), "{words:?}: {out}{err}");
    };
    done_well(&["apply", "-f", &file], "deployment.apps/web created");
    let told_of = |wanted: &str| {
        let told = told(&events(&world), "api");
        assert!(told.iter().any(|line| line == wanted), "{wanted}: {told:#?}");
    };
    told_of(&format!("create deployments.apps web in {namespace}: 201"));
    done_well(&["get", "deployment", "web"], "0/1");
    done_well(&["describe", "deployment", "web"], "1 desired");
    done_well(&["scale", "deployment", "web", "--replicas", "3"], "deployment.apps/web scaled");
    told_of(&format!("patch deployments.apps/scale web in {namespace}: 200"));
    done_well(&["label", "deployment", "web", "tier=front"], "labeled");
    done_well(&["patch", "deployment", "web", "-p", r#"{"spec":{"paused":true}}"#], "patched");
    let request = events(&world)
        .into_iter()
        .find(|event| event["text"].as_str().is_some_and(|text| text.starts_with("patch")));
    let request = request.unwrap();
    assert!(request["parameters"].as_array().unwrap().contains(&"spec.paused = true".into()), "{request}");
    done_well(
        &[
            "get",
            "deployment",
            "web",
            "-o",
            "jsonpath={.spec.replicas} {.spec.paused} {.metadata.labels.tier}",
        ],
        "3 true front",
    );
    let copied = said(&events(&world), "out");
    assert!(copied.contains("\"replicas\":3"), "what was shown is recorded: {copied}");
    done_well(&["delete", "deployment", "web"], "deleted");
    let (_, err, code) = kubectl(&world, &cluster, &["get", "deployment", "web"]);
    assert!(err.contains("(NotFound)") && code == Some(1), "{err}");
    let session = world.ended_session();
    let id = session["id"].as_str().unwrap();
    run(world.hoop(&world.admin).args(["sessions", "verify", id]));
    let statements = world.statements(id);
    let wanted = format!("get deployments.apps web in {namespace}");
    assert!(
        statements.iter().any(|one| one["form"] == "api" && one["text"] == wanted.as_str()),
        "{statements:#?}"
    );
}

#[test]
fn plain_kubectl_runs_by_the_context_that_login_wrote() {
    let (world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    let config = world.folder.path().join("config");
    let mine = |program: &mut Command| {
        program
            .env("KUBECONFIG", &config)
            .env("HOOP_CONFIG_DIR", &world.engineer.profile)
            .env_remove("HTTPS_PROXY");
        let path = std::env::var("PATH").unwrap();
        let hoop = hoop_testkit::binary("hoop");
        program.env("PATH", format!("{}:{path}", hoop.parent().unwrap().display()));
    };
    let typed = |program: &str, words: &[&str]| {
        let mut command = Command::new(program);
        mine(command.args(words));
        done(&mut command)
    };
    let (_, err, code) = typed("hoop", &["kube", "login", "k8s"]);
    assert_eq!(code, Some(0), "{err}");
    let written = std::fs::read_to_string(&config).unwrap();
    assert!(written.contains("/hoop-credentials"), "what starts sooner is asked, where it is: {written}");
    let within = ["-n", cluster.namespace.as_str()];
    for _ in 0..2 {
        let (out, err, code) = typed("kubectl", &[&within[..], &["get", "pods", "-o", "name"]].concat());
        assert_eq!((out.as_str(), code), ("pod/web\n", Some(0)), "{err}");
    }
    let (out, _, code) =
        typed("kubectl", &[&within[..], &["exec", "web", "--", "sh", "-c", "echo in; exit 4"]].concat());
    assert_eq!((out.as_str(), code), ("in\n", Some(4)));
    let (_, err, code) = typed("hoop", &["kube", "logout", "k8s"]);
    assert_eq!(code, Some(0), "{err}");
    let events = events(&world);
    assert_eq!(told(&events, "command"), ["sh -c 'echo in; exit 4': exit 4"]);
    assert!(
        of_kind(&events, "notice").is_empty(),
        "such a context brings no proof to the cluster: {events:?}"
    );
    assert!(!std::fs::read_to_string(&config).unwrap().contains("hoop-k8s"));
}

fn exec(world: &World, cluster: &Cluster, words: &[&str]) -> Command {
    let mut exec = world.hoop(&world.engineer);
    exec.args(["exec", "k8s", "web", "-n", &cluster.namespace]).args(words);
    exec
}

#[test]
fn hoop_exec_has_streams_an_exit_code_and_a_terminal() {
    let (world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    let (out, err, code) =
        done(&mut exec(&world, &cluster, &["--", "sh", "-c", "echo out; echo err >&2; exit 7"]));
    assert_eq!((out.as_str(), err.as_str(), code), ("out\n", "err\n", Some(7)));
    assert_eq!(
        run_with_input(&mut exec(&world, &cluster, &["-i", "--", "sha256sum"]), "x\n")
            .split(' ')
            .next()
            .unwrap()
            .len(),
        64
    );
    assert_eq!(said(&events(&world), "in"), "x\n");
    let (_, err, code) = done(&mut exec(&world, &cluster, &["-c", "nothing", "--", "true"]));
    assert!(err.contains("nothing") && code != Some(0), "{err}");

    let mut shell = OsSession::spawn(exec(&world, &cluster, &[])).unwrap();
    shell.set_expect_timeout(Some(Duration::from_secs(30)));
    shell.get_process_mut().set_window_size(101, 37).unwrap();
    shell.send_line("PS1=; stty -echo; echo re''ady").unwrap();
    shell.expect("ready").unwrap();
    // A kubelet takes a size and input by different ways: either may come first.
    shell.send_line("while [ \"$(stty size)\" != '37 101' ]; do :; done; echo si''zed").unwrap();
    shell.expect("sized").unwrap();
    shell.get_process_mut().set_window_size(90, 24).unwrap();
    shell.send_line("while [ \"$(stty size)\" != '24 90' ]; do :; done; echo resi''zed").unwrap();
    shell.expect("resized").unwrap();
    shell.send_line("read -s SECRET; echo $((${#SECRET}+100))").unwrap();
    shell.send_line("canary-typed-unseen").unwrap();
    shell.expect("119").unwrap();
    shell.send_line("printf 'be\\033[1mgin\\033]52;c;ZXZpbA==\\007\\033]0;evil\\007end\\n'; exit 5").unwrap();
    shell.expect(expectrl::Eof).unwrap();
    let status = shell.get_process().wait().unwrap();
    assert!(format!("{status:?}").ends_with(", 5)"), "{status:?}");
    let events = events(&world);
    let request = *of_kind(&events, "request").last().unwrap();
    assert_eq!((&request["form"], &request["text"]), (&"command".into(), &"sh".into()), "{request}");
    let resized = of_kind(&events, "resized");
    assert!(resized.iter().any(|event| event["columns"] == 90 && event["rows"] == 24), "{resized:?}");
    assert_eq!(of_kind(&events, "completed").last().unwrap()["tag"], "exit 5");
    let all = format!("{events:?}");
    assert!(all.contains("119") && !all.contains("canary-typed-unseen"), "{all}");
    // B10: what it printed draws, and does nothing else, when it is played.
    let id = world.ended_session()["id"].as_str().unwrap().to_owned();
    let mut replay = world.hoop(&world.admin);
    replay.args(["sessions", "replay", &id, "--speed", "100"]).env("TERM", "xterm-256color");
    let mut replay = OsSession::spawn(replay).unwrap();
    replay.set_expect_timeout(Some(Duration::from_secs(30)));
    let found = replay.expect(expectrl::Eof).unwrap();
    let shown = super::text(found.as_bytes());
    assert!(shown.contains("be\u{1b}[1mgin") && shown.contains("exit 5"), "{shown:?}");
    assert!(!shown.contains("\u{1b}]") && !shown.contains("evil"), "{shown:?}");
}

/// Old and new, over SPDY and WebSocket: streams apart, the end of input, the exit code.
#[test]
fn programs_run_alike_by_every_client_and_transport() {
    let (world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    let open = Open::start(&world);
    let (oldest, newest) = (cluster.old_kubectl(), newest_kubectl());
    for (program, ways) in [
        (Path::new("kubectl"), &["true", "false"][..]),
        (&newest, &["true", "false"]),
        // It knows one way.
        (&oldest, &["false"]),
    ] {
        for websockets in ways {
            let shown = program.display();
            let run = |words: &[&str], input: &str| {
                let mut kubectl = Command::new(program);
                kubectl
                    .env("KUBECONFIG", &open.kubeconfig)
                    .env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", websockets);
                kubectl.args(["-n", &cluster.namespace, "exec", "-i", "web", "--"]).args(words);
                let mut client = super::Running::start(&mut kubectl);
                std::io::Write::write_all(&mut client.0.stdin.take().unwrap(), input.as_bytes()).unwrap();
                let (mut out, mut err) = (String::new(), String::new());
                std::io::Read::read_to_string(&mut client.0.stdout.take().unwrap(), &mut out).unwrap();
                std::io::Read::read_to_string(&mut client.0.stderr.take().unwrap(), &mut err).unwrap();
                (out, err, client.0.wait().unwrap().code())
            };
            let (out, err, code) = run(&["sh", "-c", "cat; echo err >&2; exit 7"], "given\n");
            assert!(
                out == "given\n" && err.starts_with("err\n") && code == Some(7),
                "{shown} {websockets}: {out} {err} {code:?}"
            );
            let (out, err, code) = run(&["sha256sum"], "x\n");
            assert!(out.starts_with("73cb3858") && code == Some(0), "{shown} {websockets}: {out} {err}");
            let (_, err, code) = run(&["no-such-program"], "");
            assert!(code != Some(0) && err.contains("no-such-program"), "{shown} {websockets}: {err}");
        }
    }
    drop(open);
    let events = events(&world);
    let told = told(&events, "command");
    assert_eq!(told.len(), 15, "{told:#?}");
    for three in told.chunks(3) {
        assert_eq!(three[0], "sh -c 'cat; echo err >&2; exit 7': exit 7");
        assert_eq!(three[1], "sha256sum: exit 0");
        assert!(three[2].starts_with("no-such-program: "), "{}", three[2]);
    }
    assert_eq!(said(&events, "in"), "given\nx\n".repeat(5));
    assert_eq!(said(&events, "error").matches("err\n").count(), 5);
}

/// A container beside those of a pod, as the cluster's own kubectl adds it, and a copy of the pod, as the newest one makes it:
/// what is written is recorded, what runs in either is recorded like a program, and no rule for pods alone lets it in.
#[test]
fn a_pod_is_debugged_by_a_container_beside_it_and_in_a_copy() {
    let (world, cluster) = clinic();
    cluster.pod("web", &json!({}));
    let open = Open::start(&world);
    let script = "read line; echo got $line";
    let mut client =
        super::Running::start(&mut debug(&open, &cluster, cluster.old_kubectl(), &["-ic", "beside"], script));
    // An attachment ends with its input, whatever the program has yet to say.
    let mut input = client.0.stdin.take().unwrap();
    std::io::Write::write_all(&mut input, b"given\n").unwrap();
    let out = std::io::read_to_string(client.0.stdout.take().unwrap()).unwrap();
    assert_eq!((out.as_str(), client.0.wait().unwrap().code()), ("got given\n", Some(0)));

    let copy = ["-it", "--copy-to=copy", "--same-node", "-c=in"];
    let mut shell =
        OsSession::spawn(debug(&open, &cluster, newest_kubectl(), &copy, "echo be''gun; exec sh")).unwrap();
    shell.set_expect_timeout(Some(Duration::from_secs(60)));
    shell.expect("# ").unwrap();
    shell.get_process_mut().set_window_size(90, 24).unwrap();
    shell.send_line("while [ \"$(stty size)\" != '24 90' ]; do :; done; echo si''zed").unwrap();
    shell.expect("sized").unwrap();
    shell.send_line("exit 0").unwrap();
    shell.expect(expectrl::Eof).unwrap();
    drop(open);
    let events = events(&world);
    let (api, space) = (told(&events, "api"), &cluster.namespace);
    assert!(api.contains(&format!("update pods/ephemeralcontainers web in {space}: 200")), "{api:#?}");
    assert!(api.contains(&format!("create pods copy in {space}: 201")), "{api:#?}");
    let all = format!("{events:?}");
    assert!(all.contains("read line; echo got $line") && all.contains("sized"), "{all}");
    assert_eq!(told(&events, "shell"), [": exit 0", ": exit 0"]);
    assert_eq!(said(&events, "in"), "given\n");
    assert!(of_kind(&events, "resized").iter().any(|event| event["columns"] == 90), "{all}");

    let all_of_pods = json!([
        {"name": "look", "action": "allow", "verbs": ["get", "list", "watch"]},
        {"name": "pods", "action": "allow", "resources": ["pods", "pods/attach", "pods/exec"]},
    ]);
    world.rule(json!({"cluster": all_of_pods}));
    let open = Open::start(&world);
    let (_, err, code) = done(&mut debug(&open, &cluster, cluster.old_kubectl(), &["-c", "second"], "true"));
    assert!(err.contains("HOOP-2048") && code != Some(0), "{err}");
}

/// `kubectl debug web WORDS -- sh -c SCRIPT`
fn debug(open: &Open, cluster: &Cluster, program: PathBuf, words: &[&str], script: &str) -> Command {
    let mut kubectl = Command::new(program);
    kubectl.env("KUBECONFIG", &open.kubeconfig).args(["-n", &cluster.namespace, "debug", "web"]).args(words);
    kubectl.args(["--image=lab.local/busybox:1", "--image-pull-policy=Never", "--", "sh", "-c", script]);
    kubectl
}

/// Charts are installed, changed and taken back by helm, whose own notes are Secrets: their values stand nowhere.
#[test]
fn helm_installs_changes_and_takes_back_a_chart() {
    let (world, cluster) = clinic();
    let chart = world.folder.path().join("chart");
    fs::create_dir_all(chart.join("templates")).unwrap();
    fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: clinic\nversion: 1.0.0\n").unwrap();
    fs::write(chart.join("values.yaml"), "word: first\n").unwrap();
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: {{ .Release.Name }}-words}\ndata: {word: {{ .Values.word }}}\n";
    fs::write(chart.join("templates/words.yaml"), template).unwrap();
    let open = Open::start(&world);
    let helm = |words: &[&str]| {
        let mut helm = Command::new(helm());
        helm.env("KUBECONFIG", &open.kubeconfig).env("HOME", world.folder.path());
        run(helm.args(["--namespace", &cluster.namespace]).args(words))
    };
    let word =
        || run(&mut cluster.kubectl(&["get", "configmap", "ward-words", "-o", "jsonpath={.data.word}"]));
    let chart = chart.to_str().unwrap();
    assert!(helm(&["install", "ward", chart]).contains("STATUS: deployed"));
    assert_eq!(word(), "first");
    helm(&["upgrade", "ward", chart, "--set", "word=second"]);
    assert_eq!(word(), "second");
    helm(&["rollback", "ward", "1"]);
    assert_eq!(word(), "first");
    let list = helm(&["list", "-o", "json"]);
    assert!(list.contains("\"revision\":\"3\""), "{list}");
    helm(&["uninstall", "ward"]);
    drop(open);
    let events = events(&world);
    let (api, space) = (told(&events, "api"), &cluster.namespace);
    assert!(api.contains(&format!("create configmaps ward-words in {space}: 201")), "{api:#?}");
    assert!(api.contains(&format!("patch configmaps ward-words in {space}: 200")), "{api:#?}");
    assert!(api.contains(&format!("delete configmaps ward-words in {space}: 200")), "{api:#?}");
    let all = format!("{events:?}");
    assert!(
        all.contains("data.word = second") && !all.contains("SDRzS") && !all.contains("H4sI"),
        "a release is in it: {all}"
    );
}

const PYTHON: &str = r#"
import sys, threading, urllib.request
from kubernetes import client, config, watch
from kubernetes.stream import stream, portforward
config.load_kube_config()
core, space = client.CoreV1Api(), sys.argv[1]
print([pod.metadata.name for pod in core.list_namespaced_pod(space).items])
core.create_namespaced_config_map(space, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="of-python"), data={"a": "b"}))
for event in watch.Watch().stream(core.list_namespaced_config_map, space, timeout_seconds=20):
    if event["object"].metadata.name == "of-python":
        print(event["type"])
        break
held = stream(core.connect_get_namespaced_pod_exec, "web", space, command=["sh", "-c", "read a; echo got $a; echo err >&2; exit 3"],
    stdin=True, stdout=True, stderr=True, tty=False, _preload_content=False)
held.write_stdin("line\n")
held.run_forever(timeout=20)
print(held.read_stdout().strip(), held.read_stderr().strip(), held.returncode)
forward = portforward(core.connect_get_namespaced_pod_portforward, "web", space, ports="PORT")
socket = forward.socket(PORT)
socket.setblocking(True)
socket.sendall(b"hello\n")
print(socket.recv(100).decode().strip())
"#;

#[test]
fn the_python_client_lists_watches_runs_and_forwards() {
    let (world, cluster) = clinic();
    let port = hoop_testkit::free_port().to_string();
    cluster.pod_that("web", &json!({}), &format!("exec nc -ll -p {port} -e cat"));
    world.rule(json!({"forwarding": ["local"]}));
    let mut python = hoop_testkit::kubernetes(&PYTHON.replace("PORT", &port));
    let open = Open::start(&world);
    let (out, err, code) = done(python.env("KUBECONFIG", &open.kubeconfig).arg(&cluster.namespace));
    assert_eq!(out, "['web']\nADDED\ngot line err 3\nhello\n", "{err}");
    assert_eq!(code, Some(0));
    drop(open);
    let events = events(&world);
    assert!(told(&events, "command").iter().any(|line| line.ends_with("exit 3")), "{events:#?}");
    assert!(
        told(&events, "forward")
            .iter()
            .any(|line| line.contains(&format!("{}/web port {port}", cluster.namespace)))
    );
    assert!(
        told(&events, "api").contains(&format!("create configmaps of-python in {}: 201", cluster.namespace))
    );
}

#[test]
fn curl_speaks_both_versions_of_http_by_the_socket() {
    let (world, cluster) = clinic();
    let open = Open::start(&world);
    let path = format!("http://k8s/api/v1/namespaces/{}/configmaps", cluster.namespace);
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let curl = |words: &[&str]| {
            let mut curl = Command::new("curl");
            curl.args(["-s", version, "-w", " %{http_code} %{http_version}", "--unix-socket"])
                .arg(&open.socket);
            run(curl.args(words))
        };
        let body =
            format!(r#"{{"metadata":{{"name":"of-{}"}}}}"#, version.trim_matches('-').replace('.', "-"));
        let number = if version == "--http1.1" { "1.1" } else { "2" };
        let shown = curl(&["-H", "Content-Type: application/json", "-d", &body, &path]);
        assert!(shown.ends_with(&format!(" 201 {number}")), "{shown}");
        let shown = curl(&[&path]);
        assert!(shown.contains("ConfigMapList") && shown.ends_with(&format!(" 200 {number}")), "{shown}");
        // The API server itself takes no HEAD.
        let shown = curl(&["-I", &path]);
        assert!(shown.ends_with(&format!(" 405 {number}")), "{shown}");
        let shown = curl(&[&format!("{path}/none")]);
        assert!(shown.contains("NotFound") && shown.ends_with(&format!(" 404 {number}")), "{shown}");
    }
    drop(open);
    assert_eq!(told(&events(&world), "api").iter().filter(|line| line.ends_with(": 201")).count(), 2);
}

/// A client that takes gzip gets what the cluster sends, which no recording can show; one that does not is recorded.
#[test]
fn a_compressed_answer_passes_unchanged_and_is_counted() {
    let (world, cluster) = clinic();
    let filling = "a line that comes again and again\n".repeat(2000);
    for number in 0..4 {
        let name = format!("of-{number}");
        cluster.apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": filling}}));
    }
    let open = Open::start(&world);
    let list = |words: &[&str]| {
        let (head, body) = (world.folder.path().join("head"), world.folder.path().join("body"));
        let mut curl = Command::new("curl");
        curl.args(["-s", "-w", "%{size_download}", "--unix-socket"]).arg(&open.socket);
        curl.arg("-D").arg(&head).arg("-o").arg(&body).args(words);
        let size = run(curl.arg(format!("http://k8s/api/v1/namespaces/{}/configmaps", cluster.namespace)));
        let listed: serde_json::Value = serde_json::from_slice(&std::fs::read(body).unwrap()).unwrap();
        let whole =
            listed["items"].as_array().unwrap().iter().filter(|item| item["data"]["a"] == *filling).count();
        let is_compressed =
            std::fs::read_to_string(head).unwrap().to_ascii_lowercase().contains("content-encoding: gzip");
        (size.parse::<u64>().unwrap(), whole, is_compressed)
    };
    let (small, whole, is_compressed) = list(&["--compressed"]);
    assert!(whole == 4 && is_compressed && small < 128 << 10, "{small} bytes");
    let (large, whole, is_compressed) = list(&[]);
    assert!(whole == 4 && !is_compressed && large > 256 << 10, "{large} bytes");
    drop(open);
    let events = events(&world);
    let sums: Vec<_> = of_kind(&events, "completed").iter().filter_map(|end| end["bytes"].as_u64()).collect();
    assert_eq!(sums, [small, large]);
    let kept = said(&events, "out");
    assert!(kept.len() == 64 << 10 && kept.contains("ConfigMapList"), "{} bytes", kept.len());
}
