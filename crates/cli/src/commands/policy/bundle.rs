//! `hoop policy bundle`: rules and their tests, tested and signed in one file.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use hoop_client::{Class, ClientError};
use hoop_model::Timestamp;
use hoop_policy::bundle::{Bundle, BundleError, BundleKey, BundlePublicKey, VerifiedBundle};
use serde::Serialize;
use serde_json::json;

use super::{
    file, folder, found,
    trial::{self, Tested},
};
use crate::{
    args::{Bundle as Command, BundleKeygen, MakeBundle, VerifyBundle},
    failure::Result,
    output::{Out, text},
};

/// Both halves, in bytes: far more than they have.
const LONGEST_KEY: usize = 4096;

pub(super) fn run(command: &Command, out: &Out) -> Result {
    match command {
        Command::Keygen(args) => keygen(args, out),
        Command::Make(args) => make(args, out),
        Command::Verify(args) => {
            let verified = verify(args)?;
            out.data(&verified, Verified::shown)?;
            found(verified.tests.as_ref().is_none_or(|tests| tests.passed))
        }
    }
}

fn keygen(args: &BundleKeygen, out: &Out) -> Result {
    let public = args.public.clone().unwrap_or_else(|| args.out.with_extension("pub.pem"));
    if public == args.out || public.exists() {
        let what = format!("{} is there already", public.display());
        return Err(ClientError::usage("HOOP-1016", what).hint("name another file with --public").into());
    }
    let (pem, key) = BundleKey::generate().map_err(|error| unusable(&args.out, error))?;
    let other = key.public().map_err(|error| unusable(&public, error))?;
    file::keep_secret(&args.out, pem.expose())?;
    file::keep(&public, &other.to_pem())?;
    let made = json!({ "private": shown(&args.out), "public": shown(&public) });
    out.data(&made, |_| {
        format!(
            "{}  the private half: whoever has it releases rules\n{}  the public half: for the gateway's policy_key",
            shown(&args.out),
            shown(&public)
        )
    })?;
    Ok(())
}

fn make(args: &MakeBundle, out: &Out) -> Result {
    let key = BundleKey::from_pem(&read_key(&args.key)?).map_err(|error| unusable(&args.key, error))?;
    let (rules, tests) = folder::apart(&args.folder)?;
    let [rules] = &rules[..] else {
        let what = format!("{} holds {} rule files: a bundle has one", args.folder.display(), rules.len());
        return Err(ClientError::usage("HOOP-1016", what).into());
    };
    let mut files = BTreeMap::new();
    for path in [rules].into_iter().chain(&tests) {
        files.insert(trial::name(path), file::read_text(path)?);
    }
    let now = u64::try_from(Timestamp::from(jiff::Timestamp::now()).as_seconds()).unwrap_or(1);
    let bundle = Bundle { version: args.version.unwrap_or(now), rules: trial::name(rules), files };
    // Of what was read, not of what lies there by now.
    let tested = test(&bundle)?;
    if let Some(tested) = tested.filter(|tested| !tested.passed) {
        out.data(&tested, Tested::shown)?;
        return found(false);
    }
    let text = bundle.sign(&key).map_err(|error| refused(&args.folder, &error))?;
    file::keep(&args.out, &text)?;
    out.note(format!("{}: version {}, {} files", shown(&args.out), bundle.version, bundle.files.len()));
    Ok(())
}

/// What a bundle holds, and what came of its tests.
#[derive(Debug, Serialize)]
struct Verified {
    version: u64,
    sha256: String,
    rules: usize,
    files: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tests: Option<Tested>,
}

fn verify(args: &VerifyBundle) -> Result<Verified> {
    let key = BundlePublicKey::from_pem(&read_key(&args.key)?).map_err(|error| unusable(&args.key, error))?;
    let verified: VerifiedBundle =
        Bundle::verify(&file::read_text(&args.file)?, &key).map_err(|error| refused(&args.file, &error))?;
    let (bundle, policy) = (verified.contents(), verified.policy());
    Ok(Verified {
        version: bundle.version,
        sha256: verified.sha256().to_string(),
        rules: policy.rules().len() + policy.break_glass().len(),
        files: bundle.files.keys().cloned().collect(),
        tests: test(bundle)?,
    })
}

/// `None`: there are no tests in it.
fn test(bundle: &Bundle) -> Result<Option<Tested>> {
    let files = bundle.files.iter().map(|(name, text)| (PathBuf::from(name), text.clone()));
    let (tests, others): (Vec<_>, Vec<_>) = files.partition(|(path, _)| folder::is_of_tests(path));
    if tests.is_empty() {
        return Ok(None);
    }
    let rules = others.into_iter().filter(|(path, _)| path.as_os_str() == bundle.rules.as_str()).collect();
    trial::run_texts(Path::new(&bundle.rules), rules, tests, None).map(Some)
}

impl Verified {
    fn shown(&self) -> String {
        let tested = match &self.tests {
            None => "no tests".to_owned(),
            Some(tests) if tests.passed => format!("{} tests passed", tests.figures().0),
            Some(tests) => tests.shown(),
        };
        let Self { version, sha256, rules, files, .. } = self;
        format!(
            "Signed by this key.\nversion {version}, SHA-256 {sha256}\n{rules} rules in {}\n{tested}",
            files.join(", ")
        )
    }
}

fn read_key(path: &Path) -> Result<String> {
    let text = file::read_text(path)?;
    if text.len() > LONGEST_KEY {
        return Err(unusable(path, "it is too long").into());
    }
    Ok(text)
}

fn unusable(path: &Path, what: impl std::fmt::Display) -> ClientError {
    ClientError::usage("HOOP-1016", format!("{}: {what}", path.display()))
}

fn refused(path: &Path, error: &BundleError) -> ClientError {
    let mut fault = error.to_fault();
    fault.message = format!("{}: {}", path.display(), fault.message);
    ClientError { class: Class::Usage, fault }
}

fn shown(path: &Path) -> String {
    text::line(&path.display().to_string()).into_owned()
}
