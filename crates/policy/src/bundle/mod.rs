//! A bundle: a rule file and its tests in one signed file, with a number that only grows.
//!
//! ```text
//! hoop-policy-bundle-v1 SIGNATURE
//! {"version": 7, "rules": "rules.yaml", "files": {"rules.yaml": "…", "rules.test.yaml": "…"}}
//! ```
//! The signature is Ed25519, base64, over [`CONTEXT`] and every byte after the first line, so that there is no canonical form
//! to disagree about. Nothing of the second part is looked at before it is known who signed it.

mod key;

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hoop_model::{Blame, Fault};
use serde::{Deserialize, Serialize};

pub use self::key::{BundleKey, BundlePublicKey, KeyError};
use crate::{
    Sha256,
    rules::{AccessPolicy, PolicyError},
};

/// Bytes of a bundle.
pub const LONGEST_BUNDLE: usize = 1024 * 1024;
/// What its first line begins with.
const MAGIC: &str = "hoop-policy-bundle-v1 ";
/// What is signed begins with this, so that nothing else that the key signs is taken for a bundle.
const CONTEXT: &[u8] = b"hoop policy bundle v1\n";
/// Files in it.
const MOST_FILES: usize = 100;
/// Bytes of a file's name.
const LONGEST_NAME: usize = 100;

/// What is in a bundle.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bundle {
    /// Each is higher than the one before it.
    pub version: u64,
    /// Which of the files holds the rules.
    pub rules: String,
    /// By name.
    pub files: BTreeMap<String, String>,
}

/// A bundle whose signature was checked.
#[derive(Debug, Clone)]
pub struct VerifiedBundle {
    bundle: Bundle,
    sha256: Sha256,
    policy: AccessPolicy,
}

/// Why a file is not the bundle that it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// Longer than [`LONGEST_BUNDLE`].
    #[error("it has {bytes} bytes: at most {LONGEST_BUNDLE} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not of the form.
    #[error("it is no bundle: {0}")]
    Malformed(&'static str),
    /// Signed by another key, or changed afterwards.
    #[error("it is not signed by this key, or was changed since")]
    Signature,
    /// Signed, and yet it cannot be read.
    #[error("it is signed, and cannot be read: {0}")]
    Unreadable(String),
    /// Its rules.
    #[error("its rules: {0}")]
    Rules(#[from] PolicyError),
    /// It cannot be written.
    #[error("it cannot be written: {0}")]
    Unwritable(String),
}

impl BundleError {
    /// The form a person reads, with its stable code.
    #[must_use]
    pub fn to_fault(&self) -> Fault {
        let (blame, hint) = match self {
            Self::Rules(error) => return error.to_fault(),
            Self::Signature => {
                (Blame::Policy, "sign it with the key whose public half is the gateway's `policy_key`")
            }
            Self::Unwritable(_) => (Blame::System, "try again"),
            Self::TooLarge { .. } | Self::Malformed(_) | Self::Unreadable(_) => {
                (Blame::Caller, "make it with `hoop policy bundle make`")
            }
        };
        Fault::new("HOOP-2018", blame, format!("the bundle cannot be used: {self}")).with_hint(hint)
    }
}

impl Bundle {
    /// Whether a text means to be a bundle, and not a rule file.
    #[must_use]
    pub fn is_one(text: &str) -> bool {
        text.starts_with(MAGIC)
    }

    /// Signs it: the text of the file.
    ///
    /// # Errors
    /// [`BundleError`], also when its own rules cannot be read.
    pub fn sign(&self, key: &BundleKey) -> Result<String, BundleError> {
        self.check()?;
        let body =
            serde_json::to_string_pretty(self).map_err(|error| BundleError::Unwritable(error.to_string()))?;
        let body = format!("{body}\n");
        let signature = key.sign(&[CONTEXT, body.as_bytes()].concat());
        let text = format!("{MAGIC}{}\n{body}", BASE64.encode(signature));
        bounded(&text)?;
        Ok(text)
    }

    /// Reads what `key` signed.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn verify(text: &str, key: &BundlePublicKey) -> Result<VerifiedBundle, BundleError> {
        bounded(text)?;
        let rest = text.strip_prefix(MAGIC).ok_or(BundleError::Malformed("its first line is another"))?;
        let (signature, body) = rest.split_once('\n').ok_or(BundleError::Malformed("it has one line"))?;
        let signature =
            BASE64.decode(signature).map_err(|_| BundleError::Malformed("its signature is not base64"))?;
        if !key.is_signed(&[CONTEXT, body.as_bytes()].concat(), &signature) {
            return Err(BundleError::Signature);
        }
        let bundle: Self =
            serde_json::from_str(body).map_err(|error| BundleError::Unreadable(error.to_string()))?;
        let policy = bundle.check()?;
        Ok(VerifiedBundle { bundle, sha256: Sha256::of(text.as_bytes()), policy })
    }

    /// Its rules make sense, and every name is one of a file in one folder.
    fn check(&self) -> Result<AccessPolicy, BundleError> {
        let is_name = |name: &String| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            !name.starts_with('.') && (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(plain)
        };
        // It is told in the ledger and kept as a number of either database.
        if self.version == 0 || i64::try_from(self.version).is_err() {
            return Err(BundleError::Malformed("its version is not from 1 to 2^63 - 1"));
        }
        if self.files.len() > MOST_FILES || !self.files.keys().all(is_name) {
            return Err(BundleError::Malformed(
                "at most 100 files, named by letters, digits, dots, dashes and underscores",
            ));
        }
        let rules = self.files.get(&self.rules).ok_or(BundleError::Malformed("it has no rules"))?;
        Ok(AccessPolicy::from_yaml(rules)?)
    }
}

impl VerifiedBundle {
    /// What is in it.
    #[must_use]
    pub const fn contents(&self) -> &Bundle {
        &self.bundle
    }

    /// Of the whole file.
    #[must_use]
    pub const fn sha256(&self) -> Sha256 {
        self.sha256
    }

    /// Its rules.
    #[must_use]
    pub const fn policy(&self) -> &AccessPolicy {
        &self.policy
    }
}

const fn bounded(text: &str) -> Result<(), BundleError> {
    if text.len() > LONGEST_BUNDLE { Err(BundleError::TooLarge { bytes: text.len() }) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
