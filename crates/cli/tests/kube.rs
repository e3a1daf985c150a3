//! The credential plugin, as kubectl runs it: the program itself, with nobody signed in and no gateway anywhere.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    path::Path,
    process::{Command, Output},
};

use hoop_client::{
    ProfileStore,
    http::now,
    kube::{Claim, ExecCredential, KubeFolder, KubeLogin, Running},
    local::ClientCertificate,
};
use hoop_model::{ConnectionName, Redacted, SessionId};
use serde_json::Value;

fn name() -> ConnectionName {
    ConnectionName::new("k8s-prod").unwrap()
}

fn run(program: &Path, home: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.args(words).env_clear().env("HOOP_CONFIG_DIR", home.join("hoop")).env("HOME", home);
    command.output().unwrap()
}

const HOOP: &str = env!("CARGO_BIN_EXE_hoop");
const PLUGIN: &str = env!("CARGO_BIN_EXE_hoop-credentials");
const ASKED: [&str; 3] = ["kube", "credentials", "k8s-prod"];

fn hoop(home: &Path, words: &[&str]) -> Output {
    run(Path::new(HOOP), home, words)
}

/// As a kubeconfig runs it: by the plugin alone, or by the command where there is none.
fn credentials(home: &Path) -> [Output; 2] {
    [PLUGIN, HOOP].map(|program| run(Path::new(program), home, &ASKED))
}

/// A tunnel that is this process.
fn tunnel(home: &Path) -> Claim {
    let shown =
        ClientCertificate { certificate_pem: "CERT\n".into(), key_pem: Redacted::new("KEY\n".into()) };
    let claim = KubeFolder::of(ProfileStore::at(home.join("hoop"))).tunnel(&name()).claim().unwrap().unwrap();
    claim
        .announce(&Running {
            pid: std::process::id(),
            port: 21_000,
            session: SessionId::generate(),
            ends_at: now(),
            credential: ExecCredential::new(&shown, now()),
        })
        .unwrap();
    claim
}

#[test]
fn while_the_tunnel_runs_the_plugin_answers_and_asks_nobody() {
    let home = tempfile::tempdir().unwrap();
    let claim = tunnel(home.path());
    for output in credentials(home.path()) {
        assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer["kind"], "ExecCredential");
        assert_eq!(answer["apiVersion"], "client.authentication.k8s.io/v1beta1");
        assert_eq!(answer["status"]["clientCertificateData"], "CERT\n");
        assert_eq!(answer["status"]["clientKeyData"], "KEY\n");
    }
    // It is good while it lives, and what it left is not.
    drop(claim);
    for output in credentials(home.path()) {
        assert!(output.stdout.is_empty(), "{output:?}");
    }
}

#[test]
fn without_a_tunnel_it_says_on_stderr_what_to_do_and_prints_nothing() {
    let home = tempfile::tempdir().unwrap();
    let said = |output: &Output| String::from_utf8(output.stderr.clone()).unwrap();
    for output in credentials(home.path()) {
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        assert!(
            said(&output).contains("HOOP-1075") && said(&output).contains("hoop kube login k8s-prod"),
            "{output:?}"
        );
    }
    // Logged in to once; now nobody is signed in: the tunnel that it starts says so, and it passes it on.
    let folder = KubeFolder::of(ProfileStore::at(home.path().join("hoop"))).tunnel(&name());
    folder.keep(&KubeLogin { port: 21_000, contexts: Vec::new() }).unwrap();
    for output in credentials(home.path()) {
        assert_eq!((output.status.code(), output.stdout.len()), (Some(4), 0), "{output:?}");
        assert!(said(&output).contains("HOOP-1001") && said(&output).contains("hoop login"), "{output:?}");
    }
}

#[test]
fn what_others_could_have_written_is_not_shown() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = tempfile::tempdir().unwrap();
    let _claim = tunnel(home.path());
    let folder = home.path().join("hoop/kube/k8s-prod");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    for output in credentials(home.path()) {
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("k8s-prod"), "{output:?}");
    }
}

#[test]
fn whatever_else_the_plugin_is_asked_the_command_beside_it_answers() {
    let home = tempfile::tempdir().unwrap();
    let _claim = tunnel(home.path());
    for words in [
        &[][..],
        &["--help"],
        &["--version"],
        &["kube", "credentials"],
        &["kube", "credentials", "k8s-prod", "--help"],
        &["kube", "credentials", "../k8s-prod"],
        &["kube", "ls", "-o", "json"],
    ] {
        let [one, other] = [PLUGIN, HOOP].map(|program| run(Path::new(program), home.path(), words));
        assert_eq!(one, other, "{words:?}");
        assert!(!one.stdout.is_empty() || !one.stderr.is_empty(), "{words:?}");
    }
    // And where there is none, it says so.
    let alone = home.path().join("hoop-credentials");
    std::fs::copy(PLUGIN, &alone).unwrap();
    let output = run(&alone, home.path(), &["kube", "ls"]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("HOOP-1016") && said.contains("install hoop and hoop-credentials"), "{said}");
    assert!(run(&alone, home.path(), &ASKED).status.success(), "it needs nobody while the tunnel runs");
}

#[test]
fn a_login_that_cannot_be_leaves_no_trace() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".kube").join("config");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    for (text, code) in [("kind: Config\n", "HOOP-1001"), ("clusters: [\n", "HOOP-1069")] {
        std::fs::write(&file, text).unwrap();
        let output = hoop(home.path(), &["kube", "login", "k8s-prod"]);
        assert!(String::from_utf8_lossy(&output.stderr).contains(code), "{output:?}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
    }
    let output = hoop(home.path(), &["kube", "ls", "-o", "json"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "[]");
}
