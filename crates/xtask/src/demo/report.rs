//! What a started demo says: to a person, the next commands; to a script, one JSON object.

use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{
    CLUSTER, CONNECTION, HOST, MASKED,
    postgres::{Cluster, DATABASE, ROLE, SUPERUSER},
    state::State,
};

/// The object of `--json`.
pub(super) fn json(state: &State) -> Result<Value> {
    let pid = |process: Option<crate::process::Process>| process.map(|process| process.pid);
    let people: Vec<Value> = state
        .people
        .iter()
        .map(|person| {
            json!({
                "name": person.name,
                "role": person.role,
                "password": person.password,
                "totp_secret": person.totp_secret,
                "profile": state.profile(person),
            })
        })
        .collect();
    let host = state.running.sshd.map(|_| HOST);
    let cluster = state.kubernetes.as_ref().map(|_| CLUSTER);
    let connections: Vec<&str> = [CONNECTION, MASKED].into_iter().chain(host).chain(cluster).collect();
    Ok(json!({
        "state": state.folder,
        "urls": {
            "gateway": state.url(),
            "console": format!("{}/", state.url()),
            "ops": format!("http://127.0.0.1:{}", state.ports.ops),
        },
        "ports": {"gateway": state.ports.gateway, "ops": state.ports.ops, "postgres": state.ports.postgres, "ssh": state.ports.ssh, "kubernetes": state.ports.kubernetes},
        "cluster": state.kubernetes.as_ref().map(|folder| folder.join("admin.kubeconfig")),
        "pids": {
            "gateway": pid(state.running.gateway),
            "agent": pid(state.running.agent),
            "postgres": pid(state.running.postgres),
            "sshd": pid(state.running.sshd),
        },
        "people": people,
        "connections": connections,
        "target": {
            "host": "127.0.0.1",
            "port": state.ports.postgres,
            "database": DATABASE,
            "user": ROLE,
            "password": state.app_password,
            "superuser": SUPERUSER,
            "superuser_password": state.superuser_password,
        },
        "binaries": state.binaries,
        "logs": {
            "gateway": state.log("gateway"),
            "agent": state.log("agent"),
            "postgres": Cluster::of(state)?.log(),
        },
    }))
}

/// The next commands, in the order in which one would try them.
pub(super) fn text(state: &State, detached: bool) -> Result<String> {
    let hoop = quote(&state.binaries.as_ref().context("no binaries")?.hoop.to_string_lossy());
    let (engineer, admin) = (state.engineer()?, state.admin()?);
    let as_person =
        |person| format!("HOOP_CONFIG_DIR={} {hoop}", quote(&state.profile(person).to_string_lossy()));
    let mut text = String::new();
    let mut section = |title: &str, lines: &[String]| {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\n{title}");
        for line in lines {
            let _ = writeln!(text, "  {line}");
        }
    };
    section(
        "Work in the database as ada, an engineer. No password, and everything is recorded:",
        &[format!("{} connect {CONNECTION} -- psql", as_person(engineer))],
    );
    section(
        "The same, where she need not know who the patients are:",
        &[format!("{} connect {MASKED} -- psql -c 'select * from patients limit 5'", as_person(engineer))],
    );
    if state.running.sshd.is_some() {
        section(
            "A shell on a host. No key of it, and everything is recorded:",
            &[format!("{} ssh {HOST}", as_person(engineer))],
        );
    }
    if state.kubernetes.is_some() {
        section(
            "A cluster, with the kubectl of this machine; she is herself in it (hoop:ada):",
            &[
                format!("{} connect {CLUSTER} -- kubectl get pods", as_person(engineer)),
                format!("{} exec {CLUSTER} shell", as_person(engineer)),
            ],
        );
    }
    section(
        "Then look at it as grace, an admin:",
        &[
            format!("{} sessions ls", as_person(admin)),
            format!("{} sessions replay ses_…        what was done and seen", as_person(admin)),
            format!("{} sessions verify ses_…        that the recording is whole", as_person(admin)),
            format!("{} audit verify                 that the ledger is whole", as_person(admin)),
        ],
    );
    section(
        &format!("The console (its certificate comes from the gateway's own CA): {}/", state.url()),
        &state
            .people
            .iter()
            .map(|person| {
                format!(
                    "{:<6} password {}   second factor (TOTP) {}",
                    person.name, person.password, person.totp_secret
                )
            })
            .collect::<Vec<_>>(),
    );
    section("Health and metrics:", &[format!("curl http://127.0.0.1:{}/metrics", state.ports.ops)]);
    section("State, logs:", &[state.folder.display().to_string()]);
    let stop = format!("cargo xtask demo --stop --state {}", quote(&state.folder.to_string_lossy()));
    if detached {
        section("It runs in the background. To end it:", &[stop]);
    } else {
        section("Ctrl-C ends all of it; the state stays for the next time.", &[]);
    }
    text.push('\n');
    Ok(text)
}

/// For a shell, only where needed.
fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for word in ["/plain/path", "", "with space", "it's", "$(rm)", "ä"] {
            let printed =
                std::process::Command::new("sh").arg("-c").arg(format!("printf %s {}", quote(word))).output();
            assert_eq!(String::from_utf8(printed.unwrap().stdout).unwrap(), word);
        }
    }
}
