//! `keys.recording` and what goes with it: who keeps the private half of the organisation's recording key.
//!
//! Knows what each keeper needs, not how it is spoken to.

use std::path::{Path, PathBuf};

use hoop_model::Redacted;
use reqwest::{Certificate, Url};

use super::{ConfigError, Layers, invalid, lists::Ca, secret_or_text, source};

/// Keys, and where they are.
#[derive(Debug, Clone)]
pub struct RecordingKeys {
    /// Folder of key files.
    pub(crate) dir: PathBuf,
    /// Who keeps the private half.
    pub(crate) keeper: Keeper,
}

/// Who keeps the private half.
#[derive(Debug, Clone)]
pub(crate) enum Keeper {
    /// This gateway, in files.
    File,
    /// Somebody else: only the public half is here.
    Public { file: PathBuf },
    /// Vault's transit engine.
    Vault(Vault),
    /// AWS KMS.
    Kms(Kms),
}

/// A key in Vault.
#[derive(Debug, Clone)]
pub(crate) struct Vault {
    pub(crate) address: String,
    pub(crate) mount: String,
    pub(crate) key: String,
    pub(crate) namespace: Option<String>,
    pub(crate) token: TokenSource,
    pub(crate) ca: Option<Ca>,
}

/// A key in KMS.
#[derive(Debug, Clone)]
pub(crate) struct Kms {
    pub(crate) key: String,
    pub(crate) region: String,
    pub(crate) endpoint: Option<String>,
    pub(crate) ca: Option<Ca>,
}

/// Where a token is: it is read at each use, since whoever renews it writes it anew.
#[derive(Debug, Clone)]
pub(crate) struct TokenSource(super::Raw);

impl TokenSource {
    /// # Errors
    /// What is wrong with the source; never what it holds.
    pub(crate) fn follow(&self) -> Result<Redacted<String>, String> {
        let wrong = |problem| ConfigError::new("keys.vault_token", problem, "");
        let token =
            source(&self.0, true, wrong).map_err(|error| format!("keys.vault_token: {}", error.message))?;
        let good = !token.expose().is_empty() && token.expose().bytes().all(|byte| byte.is_ascii_graphic());
        if good { Ok(token) } else { Err("keys.vault_token: it holds no token".to_owned()) }
    }
}

/// Reads them.
pub(super) fn read(layers: &Layers, data_dir: &Path) -> Result<RecordingKeys, ConfigError> {
    let dir = match layers.value("keys.recording_dir").text {
        text if text.is_empty() => data_dir.join("keys"),
        text => PathBuf::from(text),
    };
    let kind = layers.value("keys.recording");
    let keeper = match kind.text.as_str() {
        "file" => Keeper::File,
        "public" => Keeper::Public { file: required(layers, "keys.recording_public_file")?.into() },
        "vault" => Keeper::Vault(vault(layers)?),
        "aws-kms" => Keeper::Kms(kms(layers)?),
        _ => {
            let problem = "it is none of `file`, `public`, `vault`, `aws-kms`";
            return Err(invalid(&kind, "keys.recording", problem));
        }
    };
    Ok(RecordingKeys { dir, keeper })
}

fn vault(layers: &Layers) -> Result<Vault, ConfigError> {
    let token = layers.value("keys.vault_token");
    required(layers, "keys.vault_token")?;
    // Wrong at the start is better told at the start.
    secret_or_text(layers, "keys.vault_token")?;
    Ok(Vault {
        address: url(layers, "keys.vault_address")?.ok_or_else(|| missing(layers, "keys.vault_address"))?,
        mount: path(layers, "keys.vault_mount")?,
        key: path(layers, "keys.vault_key")?,
        namespace: Some(layers.value("keys.vault_namespace").text).filter(|text| !text.is_empty()),
        token: TokenSource(token),
        ca: ca(layers)?,
    })
}

fn kms(layers: &Layers) -> Result<Kms, ConfigError> {
    let key = required(layers, "keys.aws_key")?;
    if key.starts_with("alias/") || key.contains(":alias/") {
        let problem = "an alias could point to another key tomorrow: give the key's ARN or id";
        return Err(invalid(&layers.value("keys.aws_key"), "keys.aws_key", problem));
    }
    let region = required(layers, "keys.aws_region")?;
    if !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(invalid(&layers.value("keys.aws_region"), "keys.aws_region", "it is no region"));
    }
    Ok(Kms { key, region, endpoint: url(layers, "keys.aws_endpoint")?, ca: ca(layers)? })
}

fn missing(layers: &Layers, key: &str) -> ConfigError {
    let kind = layers.value("keys.recording").text;
    invalid(&layers.value("keys.recording"), key, &format!("`keys.recording` is `{kind}`, which needs it"))
}

fn required(layers: &Layers, key: &str) -> Result<String, ConfigError> {
    Some(layers.value(key).text).filter(|text| !text.is_empty()).ok_or_else(|| missing(layers, key))
}

/// Parts of a path: nothing that leads elsewhere.
fn path(layers: &Layers, key: &str) -> Result<String, ConfigError> {
    let text = required(layers, key)?;
    let part = |part: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        !part.is_empty() && part.chars().all(allowed) && part.chars().any(|c| c != '.')
    };
    if !text.split('/').all(part) {
        let problem = "it is made of letters, digits, `-`, `_` and `.`, with `/` between";
        return Err(invalid(&layers.value(key), key, problem));
    }
    Ok(text)
}

/// `https://`; plain `http://` to this machine alone.
fn url(layers: &Layers, key: &str) -> Result<Option<String>, ConfigError> {
    let raw = layers.value(key);
    if raw.text.is_empty() {
        return Ok(None);
    }
    let parsed = Url::parse(&raw.text).map_err(|_| invalid(&raw, key, "it cannot be read"))?;
    let local = matches!(parsed.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    let safe = parsed.scheme() == "https" || (parsed.scheme() == "http" && local);
    let plain = parsed.username().is_empty() && parsed.password().is_none() && parsed.query().is_none();
    if !safe || !plain || !parsed.has_host() {
        let problem = "it must be `https://host` (or `http://` to this machine), without credentials";
        return Err(invalid(&raw, key, problem));
    }
    Ok(Some(raw.text))
}

fn ca(layers: &Layers) -> Result<Option<Ca>, ConfigError> {
    let raw = layers.value("keys.service_ca_file");
    if raw.text.is_empty() {
        return Ok(None);
    }
    let wrong = |problem: String| invalid(&raw, "keys.service_ca_file", &problem);
    let pem = std::fs::read_to_string(&raw.text)
        .map_err(|error| wrong(format!("{} cannot be read: {error}", raw.text)))?;
    match Certificate::from_pem_bundle(pem.as_bytes()) {
        Ok(all) if !all.is_empty() => Ok(Some(Ca(pem))),
        _ => Err(wrong(format!("{} holds no certificate", raw.text))),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, ConfigError, Layers, Origin};

    fn with(pairs: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let mut layers = Layers::default();
        for (key, text) in pairs {
            layers.set(key, *text, Origin::Flag((*key).to_owned())).unwrap();
        }
        Config::from_layers(&layers)
    }

    #[test]
    fn each_keeper_names_what_it_lacks() {
        let vault: &[(&str, &str)] = &[
            ("keys.recording", "vault"),
            ("keys.vault_address", "https://vault"),
            ("keys.vault_key", "hoop"),
            ("keys.vault_token", "env:PATH"),
        ];
        let kms: &[(&str, &str)] = &[
            ("keys.recording", "aws-kms"),
            ("keys.aws_key", "arn:aws:kms:eu-central-1:1:key/2"),
            ("keys.aws_region", "eu-central-1"),
        ];
        for whole in [vault, kms] {
            with(whole).unwrap();
            for lacking in 1..whole.len() {
                let mut pairs = whole.to_vec();
                let (key, _) = pairs.remove(lacking);
                let error = with(&pairs).unwrap_err();
                assert!(error.message.contains(key), "{key}: {error}");
            }
        }
        assert!(
            with(&[("keys.recording", "public")]).unwrap_err().message.contains("keys.recording_public_file")
        );
        assert!(with(&[("keys.recording", "hsm")]).unwrap_err().message.contains("keys.recording"));
    }

    #[test]
    fn nothing_is_sent_in_the_clear_or_elsewhere() {
        let base = |key: &'static str, value: &'static str| {
            let mut pairs = vec![
                ("keys.recording", "vault"),
                ("keys.vault_address", "https://vault"),
                ("keys.vault_key", "hoop"),
                ("keys.vault_token", "env:PATH"),
            ];
            pairs.push((key, value));
            with(&pairs)
        };
        base("keys.vault_address", "http://127.0.0.1:8200").unwrap();
        for (key, value) in [
            ("keys.vault_address", "http://vault:8200"),
            ("keys.vault_address", "https://user:secret@vault"),
            ("keys.vault_address", "https://vault/?x=1"),
            ("keys.vault_address", "vault"),
            ("keys.vault_key", "../sys/seal"),
            ("keys.vault_key", "hoop?x"),
            ("keys.vault_mount", "a//b"),
            ("keys.vault_mount", ".."),
            ("keys.vault_token", "hvs.canary"),
        ] {
            let error = base(key, value).unwrap_err();
            assert!(error.message.contains(key), "{value}: {error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        let alias = [("keys.recording", "aws-kms"), ("keys.aws_key", "alias/hoop"), ("keys.aws_region", "x")];
        assert!(with(&alias).unwrap_err().message.contains("keys.aws_key"));
    }
}
