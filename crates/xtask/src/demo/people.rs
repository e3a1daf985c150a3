//! The demo's people: made at the gateway, signed in by `hoop login` as they would by hand.

use std::{
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result};
use serde_json::Value;

use super::state::{Person, State};
use crate::{
    shell::{self, say},
    totp,
};

/// Makes the account with its second factor; answers with the TOTP secret. The gateway need not run.
pub(super) fn make(gateway: &Path, config: &Path, person: &Person) -> Result<String> {
    say(format!("making the account {} ({}, groups {})", person.name, person.role, person.groups));
    let mut command = clean(gateway);
    command.arg("--config").arg(config).args(["user", "add", &person.name, "--role", &person.role]);
    command.args(["--groups", &person.groups, "--password-stdin", "--json"]);
    let answer = shell::capture_with_input(&mut command, format!("{}\n", person.password).as_bytes())?;
    let answer: Value =
        serde_json::from_str(&answer).context("`hoop-gateway user add --json` printed no JSON")?;
    secret_of(&answer).context("`hoop-gateway user add --json` names no totp_secret")
}

fn secret_of(answer: &Value) -> Option<String> {
    if let Some(secret) = answer.get("totp_secret").and_then(Value::as_str) {
        return Some(secret.to_owned());
    }
    let url = answer.get("otpauth_url")?.as_str()?;
    let (_, query) = url.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("secret=")).map(str::to_owned)
}

/// Makes sure that the person's profile is signed in.
pub(super) fn sign_in(state: &State, person: &Person, fingerprint: &str) -> Result<()> {
    if state.profile(person).is_dir() && shell::capture(hoop(state, person)?.arg("whoami")).is_ok() {
        return Ok(());
    }
    sign_in_anew(state, person, fingerprint)
}

/// Signs the person in whether or not the profile is: with a second factor that is fresh.
pub(super) fn sign_in_anew(state: &State, person: &Person, fingerprint: &str) -> Result<()> {
    say(format!("signing in {}", person.name));
    let attempt = || {
        let mut login = hoop(state, person)?;
        login.args([
            "login",
            &state.url(),
            "--password",
            "--user",
            &person.name,
            "--ca-fingerprint",
            fingerprint,
        ]);
        let code = totp::code(&person.totp_secret, SystemTime::now())?;
        shell::capture_with_input(&mut login, format!("{}\n{code}\n", person.password).as_bytes())
    };
    if attempt().is_ok() {
        return Ok(());
    }
    // A code is good once: one that a person just used by hand is refused, the next is not.
    let wait = totp::until_next(SystemTime::now());
    say(format!("the code was not taken; trying the next one in {} s", wait.as_secs()));
    std::thread::sleep(wait);
    attempt().with_context(|| format!("signing in {}", person.name)).map(drop)
}

/// `hoop` with a person's profile.
pub(crate) fn hoop(state: &State, person: &Person) -> Result<Command> {
    let mut command = clean(&state.binaries.as_ref().context("no binaries")?.hoop);
    command.env("HOOP_CONFIG_DIR", state.profile(person));
    Ok(command)
}

/// A program without what the caller's shell sets for hoop.
pub(super) fn clean(program: &Path) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("HOOP_")) {
        command.env_remove(name);
    }
    command.env("NO_COLOR", "1");
    command
}

/// Waits until `hoop ls` of the engineer shows the connection online.
pub(super) fn wait_online(state: &State, connection: &str) -> Result<()> {
    let person = state.engineer()?;
    let mut last = String::new();
    let online = shell::wait_until(Duration::from_secs(30), || {
        last = shell::capture(hoop(state, person)?.args(["ls", "-o", "json"]))?;
        let list: Value = serde_json::from_str(&last).context("`hoop ls -o json` printed no JSON")?;
        Ok(is_online(&list, connection).then_some(()))
    })?;
    online.with_context(|| format!("{connection} does not come online; `hoop ls -o json` says: {last}"))
}

/// In a list, or in a page with `items`.
pub(super) fn is_online(list: &Value, connection: &str) -> bool {
    let items = list.get("items").unwrap_or(list);
    items.as_array().into_iter().flatten().any(|item| {
        item.get("name").and_then(Value::as_str) == Some(connection)
            && item.get("online").and_then(Value::as_bool) == Some(true)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_secret_is_found_in_either_form() {
        assert_eq!(secret_of(&json!({"totp_secret": "ABC"})).unwrap(), "ABC");
        let url = "otpauth://totp/hoop:ada?issuer=hoop&secret=DEF&digits=6";
        assert_eq!(secret_of(&json!({"otpauth_url": url})).unwrap(), "DEF");
        for without in [json!({}), json!({"otpauth_url": "otpauth://totp/x"}), json!({"totp_secret": 1})] {
            assert_eq!(secret_of(&without), None, "{without}");
        }
    }

    #[test]
    fn only_the_connection_itself_counts_as_online() {
        for (list, expected) in [
            (json!([{"name": "demo-pg", "online": true}]), true),
            (json!({"items": [{"name": "demo-pg", "online": true}]}), true),
            (json!([{"name": "demo-pg", "online": false}]), false),
            (json!([{"name": "other", "online": true}]), false),
            (json!({}), false),
        ] {
            assert_eq!(is_online(&list, "demo-pg"), expected, "{list}");
        }
    }
}
