//! Settings of a connection to the agent's own machine, and the [`Target`] made of them. People use it as a host: the client's side
//! is SSH.

use std::{collections::BTreeSet, sync::Arc};

use hoop_engine::{
    Address, Credential, CredentialSource, Protocol, RecordingLimits, SettingsError, Started, StreamContext,
    Target, TlsPolicy,
    hosted::{Doing, Host, HostedLook},
};
use hoop_model::{Fault, ProtocolId, Redacted, Timestamp};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{
    engine::{SshEngine, Way},
    machine::MachineSettings,
    settings::{COMMAND_BYTES, Offer, Use, variables},
    trust::host_key_line,
};

/// Programs on the agent's own machine.
#[derive(Debug)]
pub struct Exec;

const NAME: &str = "exec";
/// Words of a command, and bytes of each.
const MOST_WORDS: usize = 100;
const LONGEST_WORD: usize = 4096;
/// Longest name of an account.
const LONGEST_NAME: usize = 64;

impl Protocol for Exec {
    fn id(&self) -> ProtocolId {
        #[expect(clippy::expect_used, reason = "a constant, tested")]
        ProtocolId::new(NAME).expect("a valid name")
    }

    fn own_key(&self, stream_key: &Redacted<[u8; 32]>) -> Option<String> {
        Some(host_key_line(stream_key))
    }

    fn settings_schema(&self) -> serde_json::Value {
        schemars::schema_for!(Settings).to_value()
    }

    fn configure(&self, settings: &serde_json::Value) -> Result<Arc<dyn Target>, SettingsError> {
        let settings = Settings::deserialize(settings).map_err(|error| wrong(error.to_string()))?;
        check(settings).map(|target| Arc::new(target) as Arc<dyn Target>).map_err(wrong)
    }
}

/// Settings of a connection to the agent's own machine.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Settings {
    /// The account of the agent's machine that programs run as. The agent's owner must have allowed it (`--allow-exec`).
    user: String,
    /// What runs, whatever a client asks for: the program and its arguments, which no shell reads. Without it: the account's shell,
    /// or a command for it.
    #[serde(default)]
    command: Option<Vec<String>>,
    /// What sessions may be, without `command`: `shell`, `command`. By default both.
    #[serde(default)]
    allow: Option<BTreeSet<Allowed>>,
    /// The folder where programs begin. By default the account's own.
    #[serde(default)]
    folder: Option<String>,
    /// Variables that a client may bring along: names, or beginnings of names and `*`. By default `LANG`, `LANGUAGE`, `LC_*`
    /// and `GIT_PROTOCOL`.
    #[serde(default)]
    environment: Option<Vec<String>>,
    /// Programs may become another account, by `sudo` and the like. What runs as another account can outlive its session.
    #[serde(default)]
    setuid: bool,
    /// How much is kept in recordings. What a terminal shows is always kept whole.
    #[serde(default)]
    recording: Recording,
}

/// What a session may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Allowed {
    /// A shell.
    Shell,
    /// One command.
    Command,
}

/// How much is kept in recordings.
#[derive(Debug, Clone, Copy, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Recording {
    /// Bytes kept of a command's streams together, or of a shell's without a terminal (default 64 MiB).
    #[serde(default)]
    command_bytes: Option<u64>,
}

fn wrong(what: impl Into<String>) -> SettingsError {
    SettingsError { protocol: NAME.to_owned(), what: what.into() }
}

/// The machine with checked settings.
#[derive(Debug)]
struct ExecTarget {
    machine: Arc<MachineSettings>,
    offer: Arc<Offer>,
}

fn check(settings: Settings) -> Result<ExecTarget, String> {
    let Settings { user, command, allow, folder, environment, setuid, recording } = settings;
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if user.is_empty() || user.len() > LONGEST_NAME || user.starts_with('-') || !user.chars().all(is_name) {
        return Err("user: expected the name of an account: letters, digits and _ - .".into());
    }
    if let Some(words) = &command {
        let is_word = |word: &String| word.len() <= LONGEST_WORD && !word.contains(char::is_control);
        if words.len() > MOST_WORDS || !words.iter().all(is_word) {
            return Err(format!(
                "command: at most {MOST_WORDS} words of {LONGEST_WORD} bytes, without control characters"
            ));
        }
        if !words.first().is_some_and(|file| file.starts_with('/')) {
            return Err("command: its first word is the program, an absolute path; no shell reads it".into());
        }
        if allow.is_some() {
            return Err("allow: with a command, that is all that sessions may be".into());
        }
    }
    if let Some(folder) = &folder
        && (!folder.starts_with('/') || folder.len() > LONGEST_WORD || folder.contains(char::is_control))
    {
        return Err("folder: expected an absolute path".into());
    }
    let allow: BTreeSet<Use> = match (allow, &command) {
        (Some(allow), _) => allow.into_iter().map(Use::from).collect(),
        (None, Some(_)) => [Use::Shell].into(),
        (None, None) => [Use::Shell, Use::Command].into(),
    };
    if allow.is_empty() {
        return Err("allow: at least one of shell, command".into());
    }
    let offer = Offer {
        allow,
        variables: variables(environment)?,
        command_bytes: recording.command_bytes.unwrap_or(COMMAND_BYTES),
        file_bytes: 0,
        forward_to: Vec::new(),
        forward_from: Vec::new(),
        forward_bytes: 0,
        file_copies: 0,
    };
    let machine = MachineSettings { user, command, folder, may_gain: setuid };
    Ok(ExecTarget { machine: Arc::new(machine), offer: Arc::new(offer) })
}

impl From<Allowed> for Use {
    fn from(allowed: Allowed) -> Self {
        match allowed {
            Allowed::Shell => Self::Shell,
            Allowed::Command => Self::Command,
        }
    }
}

impl Target for ExecTarget {
    /// Nowhere: nobody dials it.
    fn address(&self) -> Address {
        Address { host: String::new(), port: 0 }
    }

    fn runs_as(&self) -> Option<&str> {
        Some(&self.machine.user)
    }

    fn tls(&self) -> TlsPolicy {
        TlsPolicy::Disabled
    }

    fn credential(&self) -> Option<CredentialSource> {
        None
    }

    fn look_hosted(&self) -> Option<Box<dyn HostedLook>> {
        Some(Box::new(Look(Arc::clone(&self.machine))))
    }

    fn recording_limits(&self) -> RecordingLimits {
        RecordingLimits { copy_per_request: self.offer.command_bytes, ..RecordingLimits::default() }
    }

    fn start(&self, stream: StreamContext, _: Credential, _: Timestamp) -> Started {
        let way = Way::Machine(Arc::clone(&self.machine));
        Started::Hosted(Box::new(SshEngine::new(Arc::clone(&self.offer), way, stream)))
    }
}

/// Nothing runs in nobody's session: whether the owner allows the account was looked at before.
struct Look(Arc<MachineSettings>);

impl HostedLook for Look {
    fn run(self: Box<Self>, _: Host, _: Credential) -> Doing<Result<String, Fault>> {
        Box::pin(std::future::ready(Ok(format!("{} on the agent's machine", self.0.user))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn configure(settings: &Value) -> Result<Arc<dyn Target>, String> {
        Exec.configure(settings).map_err(|error| error.to_string())
    }

    #[test]
    fn the_least_is_enough_and_needs_no_credential() {
        let target = configure(&json!({"user": "deploy"})).unwrap();
        assert_eq!(target.runs_as(), Some("deploy"));
        assert_eq!(target.credential(), None);
        assert_eq!(Exec.id().as_str(), "exec");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (change, named) in [
            (json!({"user": ""}), "user"),
            (json!({"user": "-x"}), "user"),
            (json!({"user": "a:b"}), "user"),
            (json!({"user": "a/b"}), "user"),
            (json!({"command": []}), "command"),
            (json!({"command": ["psql"]}), "command"),
            (json!({"command": ["/bin/a\nb"]}), "command"),
            (json!({"command": ["/bin/a"], "allow": ["shell"]}), "allow"),
            (json!({"allow": []}), "allow"),
            (json!({"allow": ["files"]}), "files"),
            (json!({"folder": "tmp"}), "folder"),
            (json!({"environment": ["LD_PRELOAD"]}), "environment"),
            (json!({"host": "web"}), "host"),
            (json!({"password": "env:PW"}), "password"),
            (json!({"forwarding": {}}), "forwarding"),
        ] {
            let mut settings = json!({"user": "deploy"});
            settings.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let error = configure(&settings).err().unwrap_or_default();
            assert!(error.contains(named), "{change}: {error:?}");
        }
        assert!(configure(&json!({})).is_err());
    }
}
