//! Credentials of targets, from the agent's own sources. They stay in this process.

use std::{fs::File, io::Read};

use hoop_control::seal::OpeningKey;
use hoop_engine::{Credential, CredentialSource, SecretSource};
use hoop_model::{Blame, Fault, Redacted};

/// Longest secret in a file, bytes.
const LONGEST: u64 = 64 * 1024;

/// Finds secrets, within what the agent's owner allows.
#[derive(Debug, Default)]
pub(crate) struct SecretPolicy {
    allowed: Vec<String>,
}

impl SecretPolicy {
    pub(crate) fn new(allowed: Vec<String>) -> Self {
        Self { allowed }
    }

    fn check(&self, source: &str) -> Result<(), Fault> {
        // `..` could lead out of an allowed folder.
        let climbs = source.split('/').any(|part| part == "..");
        if self.allowed.is_empty()
            || (!climbs && self.allowed.iter().any(|prefix| source.starts_with(prefix)))
        {
            return Ok(());
        }
        Err(Fault::new("HOOP-4021", Blame::Policy, format!("this agent does not read secrets from {source}"))
            .with_hint("its owner can allow it with --allow-secret"))
    }
}

/// The credential that a source names.
///
/// # Errors
/// A [`Fault`] that names the source and never the secret.
pub(crate) fn resolve(
    source: &CredentialSource,
    connection: &str,
    policy: &SecretPolicy,
    key: &OpeningKey,
) -> Result<Credential, Fault> {
    let password =
        source.password.as_ref().map(|secret| read(secret, connection, policy, key)).transpose()?;
    Ok(Credential { user: source.user.clone(), password })
}

/// One secret of a connection.
///
/// # Errors
/// A [`Fault`] that names the source and never the secret.
pub(crate) fn read(
    source: &SecretSource,
    connection: &str,
    policy: &SecretPolicy,
    key: &OpeningKey,
) -> Result<Redacted<String>, Fault> {
    let missing = |what: String| {
        Fault::new("HOOP-4020", Blame::System, what).with_hint(
            "the agent's owner provides the credential; `hoop admin connections show` names its source",
        )
    };
    match source {
        SecretSource::Environment(name) => {
            policy.check(&format!("env:{name}"))?;
            std::env::var(name)
                .map(Redacted::new)
                .map_err(|_| missing(format!("the agent has no environment variable {name}")))
        }
        SecretSource::File(path) => {
            policy.check(&format!("file:{path}"))?;
            let mut text = String::new();
            let file = File::open(path)
                .map_err(|e| missing(format!("the agent cannot open {path}: {}", e.kind())))?;
            file.take(LONGEST)
                .read_to_string(&mut text)
                .map_err(|e| missing(format!("the agent cannot read {path}: {}", e.kind())))?;
            let end = text.trim_end_matches(['\r', '\n']).len();
            text.truncate(end);
            Ok(text.into())
        }
        SecretSource::Sealed(data) => key.open(data, connection).map_err(|error| missing(error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hoop_control::seal::seal;

    fn source(text: &str) -> CredentialSource {
        CredentialSource { user: "app".into(), password: Some(text.parse().unwrap()) }
    }

    #[test]
    fn each_kind_of_source_is_read() {
        let key = OpeningKey::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        std::fs::write(&path, "from file\n").unwrap();
        let sealed = seal(&"from box".to_owned().into(), &key.public_key().unwrap(), "pg").unwrap();
        let read = |text: &str| {
            resolve(&source(text), "pg", &SecretPolicy::default(), &key).unwrap().password.unwrap()
        };
        assert_eq!(read(&format!("file:{}", path.display())).expose(), "from file");
        assert_eq!(read(&format!("sealed:{sealed}")).expose(), "from box");
        assert!(!read("env:PATH").expose().is_empty());
    }

    #[test]
    fn what_the_owner_does_not_allow_is_not_read() {
        let key = OpeningKey::generate().unwrap();
        let policy = SecretPolicy::new(vec!["env:HOOP_".into(), "file:/etc/hoop/".into()]);
        for text in ["env:PATH", "file:/etc/shadow", "file:/etc/hoop/../shadow"] {
            let fault = resolve(&source(text), "pg", &policy, &key).unwrap_err();
            assert_eq!(fault.code.as_str(), "HOOP-4021", "{text}");
        }
    }

    #[test]
    fn a_box_for_another_connection_stays_shut() {
        let key = OpeningKey::generate().unwrap();
        let sealed = seal(&"s3cret".to_owned().into(), &key.public_key().unwrap(), "pg").unwrap();
        let fault = resolve(&source(&format!("sealed:{sealed}")), "other", &SecretPolicy::default(), &key)
            .unwrap_err();
        assert!(!fault.to_string().contains("s3cret"));
    }
}
