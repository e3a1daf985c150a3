//! `hoop policy`: rule files without a gateway.

use std::{net::IpAddr, path::PathBuf};

use clap::{Args, Subcommand};
use hoop_model::{ConnectionName, GroupName, LabelKey, LabelValue, RuleName, Timestamp, UserName};
use hoop_policy::{
    cases::{MfaBy, MfaFact},
    rules::{Period, WordError},
};

use super::Form;

/// `hoop policy`
#[derive(Debug, Subcommand)]
pub(crate) enum Policy {
    /// Read and check rule files, and files of tests
    #[command(after_help = "\
Examples:
  hoop policy check rules.yaml
  hoop policy check policy/        all its *.yaml, those of tests among them

Exit code 6 if any of them makes no sense.")]
    Check(CheckPolicy),
    /// Run the tests that lie beside the rules (*.test.yaml), and count which rules they cover
    #[command(after_help = "\
Examples:
  hoop policy test policy/
  hoop policy test policy/ --min-coverage 90 -o json

Exit code 6 if a case fails, or coverage is below the minimum.")]
    Test(TestPolicy),
    /// Say which rule decides, and why each of the others does not
    #[command(after_help = "\
Examples:
  hoop policy explain rules.yaml --person ada --group analysts --connection pg-clinic --label app=clinic \\
      --address 10.1.2.3 --at 2026-03-02T09:30:00Z --mfa passkey --statement 'select 1'
  hoop policy explain rules.yaml --tests rules.test.yaml --case 'nobody comes at night'")]
    Explain(Box<ExplainPolicy>),
    /// Write a profile into a folder, to begin with: rules and their tests
    #[command(after_help = "\
Example:
  hoop policy init hipaa policy/
  hoop policy test policy/ --min-coverage 100")]
    Init(InitPolicy),
    /// Signed bundles: rules and their tests in one file that cannot be changed on its way
    #[command(subcommand)]
    Bundle(Bundle),
}

impl Policy {
    pub(super) fn form(&self) -> Form {
        match self {
            Self::Check(args) => args.form,
            Self::Test(args) => args.form,
            Self::Explain(args) => args.form,
            Self::Init(args) => args.form,
            Self::Bundle(Bundle::Keygen(args)) => args.form,
            Self::Bundle(Bundle::Make(_)) => Form::default(),
            Self::Bundle(Bundle::Verify(args)) => args.form,
        }
    }
}

/// `hoop policy init`
#[derive(Debug, Args)]
pub(crate) struct InitPolicy {
    /// Which
    #[arg(value_enum)]
    pub(crate) profile: Profile,
    /// The folder; it is made if it is not there, and no file in it is written over
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    #[command(flatten)]
    form: Form,
}

/// Rules that come with the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Profile {
    /// Databases with protected health information (45 CFR 164.312)
    Hipaa,
}

/// `hoop policy bundle`
#[derive(Debug, Subcommand)]
pub(crate) enum Bundle {
    /// Make the pair of keys: whoever has the private half releases rules
    #[command(after_help = "\
Example:
  hoop policy bundle keygen --out release.pem
  and give release.pub.pem to whoever runs the gateway: policy_key = \"/etc/hoop/release.pub.pem\"

The private half is not protected by a passphrase: keep it where the pipeline keeps its secrets. Ed25519 keys of other programs
do as well: openssl genpkey -algorithm ed25519.")]
    Keygen(BundleKeygen),
    /// Run the tests of a folder, and sign its rules and tests
    #[command(after_help = "\
Example:
  hoop policy bundle make policy/ --key release.pem -o rules.bundle
  hoop admin apply -f rules.bundle

Exit code 6 if a test fails; then there is no bundle.")]
    Make(MakeBundle),
    /// Check who signed a bundle, and run the tests that are in it
    #[command(after_help = "\
Example:
  hoop policy bundle verify rules.bundle --key release.pub.pem

Exit code 6 if a test fails.")]
    Verify(VerifyBundle),
}

/// `hoop policy bundle keygen`
#[derive(Debug, Args)]
pub(crate) struct BundleKeygen {
    /// File for the private half; it must not be there
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// File for the public half; the same with `.pub.pem` if left away
    #[arg(long, value_name = "FILE")]
    pub(crate) public: Option<PathBuf>,
    #[command(flatten)]
    form: Form,
}

/// `hoop policy bundle make`
#[derive(Debug, Args)]
pub(crate) struct MakeBundle {
    /// The folder with one rule file and its tests
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// File for the bundle; it must not be there
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// The private half of the key, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// Its number, above the last one's; the seconds since 1970 if left away
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=i64::MAX.unsigned_abs()))]
    pub(crate) version: Option<u64>,
}

/// `hoop policy bundle verify`
#[derive(Debug, Args)]
pub(crate) struct VerifyBundle {
    /// The bundle
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The public half of the key, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    #[command(flatten)]
    form: Form,
}

/// `hoop policy check`
#[derive(Debug, Args)]
pub(crate) struct CheckPolicy {
    /// Files, or folders with them
    #[arg(required = true, value_name = "FILE|DIR")]
    pub(crate) paths: Vec<PathBuf>,
    #[command(flatten)]
    form: Form,
}

/// `hoop policy test`
#[derive(Debug, Args)]
pub(crate) struct TestPolicy {
    /// The folder with the rules and their tests
    #[arg(value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// Fail if fewer of a file's rules have decided anything, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(0..=100))]
    pub(crate) min_coverage: Option<u8>,
    #[command(flatten)]
    form: Form,
}

/// `hoop policy explain`
#[derive(Debug, Args)]
pub(crate) struct ExplainPolicy {
    /// The rule file
    #[arg(value_name = "FILE")]
    pub(crate) rules: PathBuf,
    /// Take the facts from a case of this file
    #[arg(long, value_name = "FILE", requires = "case")]
    pub(crate) tests: Option<PathBuf>,
    /// The case, by its name
    #[arg(long, value_name = "NAME", requires = "tests")]
    pub(crate) case: Option<String>,
    #[command(flatten)]
    pub(crate) facts: FactArgs,
    /// And what the statement rules say of this text, if somebody is let in
    #[arg(long, value_name = "TEXT")]
    pub(crate) statement: Option<String>,
    #[command(flatten)]
    form: Form,
}

/// The facts of one question, as a case has them.
#[derive(Debug, Args)]
pub(crate) struct FactArgs {
    /// Who asks
    #[arg(long, value_name = "NAME", required_unless_present = "case", conflicts_with = "case")]
    pub(crate) person: Option<UserName>,
    /// It is a service account
    #[arg(long, requires = "person")]
    pub(crate) service: bool,
    /// A group they are in; may be given several times
    #[arg(long = "group", value_name = "NAME", requires = "person")]
    pub(crate) groups: Vec<GroupName>,
    /// The connection they ask for
    #[arg(long, value_name = "NAME", required_unless_present = "case", conflicts_with = "case")]
    pub(crate) connection: Option<ConnectionName>,
    /// A label of the connection; may be given several times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label, requires = "connection")]
    pub(crate) labels: Vec<(LabelKey, LabelValue)>,
    /// Where they come from
    #[arg(long, value_name = "IP", required_unless_present = "case", conflicts_with = "case")]
    pub(crate) address: Option<IpAddr>,
    /// When; now if left away
    #[arg(long, value_name = "TIME", conflicts_with = "case")]
    pub(crate) at: Option<Timestamp>,
    /// The second factor they proved, and how long ago: totp, passkey, idp, passkey:30m; none if left away
    #[arg(long, value_name = "METHOD[:AGE]", value_parser = mfa, conflicts_with = "case")]
    pub(crate) mfa: Option<MfaFact>,
    /// Why they ask
    #[arg(long, value_name = "TEXT", conflicts_with = "case")]
    pub(crate) reason: Option<String>,
    /// A rule under which others have approved it; may be given several times
    #[arg(long = "approved", value_name = "RULE", conflicts_with = "case")]
    pub(crate) approved: Vec<RuleName>,
    /// They break the glass
    #[arg(long, conflicts_with = "case")]
    pub(crate) emergency: bool,
}

fn label(text: &str) -> Result<(LabelKey, LabelValue), String> {
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    let key = LabelKey::new(key).map_err(|error| error.to_string())?;
    Ok((key, LabelValue::new(value).map_err(|error| error.to_string())?))
}

fn mfa(text: &str) -> Result<MfaFact, String> {
    let (method, age) = text.split_once(':').map_or((text, None), |(method, age)| (method, Some(age)));
    let by = match method {
        "totp" => MfaBy::Totp,
        "passkey" => MfaBy::Passkey,
        "idp" => MfaBy::Idp,
        _ => return Err("totp, passkey or idp, and after a colon how long ago".to_owned()),
    };
    let age = age.map(str::parse::<Period>).transpose().map_err(|error: WordError| error.to_string())?;
    Ok(MfaFact { by, age })
}
