//! `hoop audit`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use hoop_model::{ConnectionName, UserName};

use super::{Decrypt, Form, Keygen, Span};

/// `hoop audit`
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// List events, newest first
    Ls(AuditLs),
    /// Check that the ledger is whole and unaltered
    #[command(after_help = "\
Examples:
  hoop audit verify                                             the gateway checks itself
  hoop audit verify --export ledger.jsonl --key \"$VERIFIER\"     offline: nobody needs to be believed
  hoop audit verify --export new.jsonl --older old-checkpoint   and nothing was taken back since
  hoop audit verify --export ledger.jsonl --key \"$VERIFIER\" --witness \"$ONE\" --witness \"$TWO\" --witnesses 1

Exit code 6 if anything was found.")]
    Verify(AuditVerify),
    /// Write the ledger to a file: for an offline check, or for other programs
    #[command(after_help = "\
Examples:
  hoop audit export -o ledger.jsonl                             for `hoop audit verify --export`
  hoop audit export --format ocsf --class internal              for a SIEM that is to see no persons
  hoop audit export --format jsonl --from 1200                  what came since")]
    Export(AuditExport),
    /// Print the latest signed checkpoint: keep it where nobody can alter it
    Checkpoint(AuditCheckpoint),
    /// Prove that an event is in the ledger that a checkpoint signs for
    #[command(after_help = "\
Examples:
  hoop audit prove 1234                                         in the latest checkpoint
  hoop audit prove 1234 --checkpoint kept.txt --key \"$VERIFIER\" in one that you kept: the gateway need not be believed
  hoop audit prove 1234 -o json > proof.json                    for somebody else
  hoop audit prove --proof proof.json --key \"$VERIFIER\"         who checks it without the gateway

Exit code 6 if the proof does not hold.")]
    Prove(AuditProve),
    /// Prove that the ledger of one checkpoint is the beginning of that of another
    #[command(after_help = "\
Examples:
  hoop audit consistency 1200                                   from 1200 events to the latest checkpoint
  hoop audit consistency kept.txt --key \"$VERIFIER\"             from a checkpoint that you kept
  hoop audit consistency kept.txt later.txt --key \"$VERIFIER\"   between two of them

Exit code 6 if the proof does not hold.")]
    Consistency(AuditConsistency),
    /// List who gets checkpoints, and how far each got
    Sinks(Form),
    /// Search the statements of all finished recordings, newest first; literals are not in the index
    #[command(after_help = "\
Examples:
  hoop audit search --table patients --since 2026-11-01T00:00:00Z
  hoop audit search --person ada --connection pg-prod --text \"delete from\"

Tables are as the texts name them: one behind a view or a function is not found. What could not be indexed is told.")]
    Search(AuditSearch),
    /// Make an auditor's pair of recording keys
    Keygen(Keygen),
    /// Decrypt a recording with the private half of its key, asking nobody
    #[command(after_help = "\
Examples:
  hoop audit decrypt ses_....hoopr --key auditor.pem                       to read
  hoop audit decrypt ses_....hoopr --key auditor.pem -f jsonl -o out.jsonl
  hoop sessions replay ses_... --key auditor.pem                           fetched and played here")]
    Decrypt(Decrypt),
}

impl Audit {
    pub(super) const fn form(&self) -> Option<Form> {
        match self {
            Self::Ls(args) => Some(args.form),
            Self::Verify(args) => Some(args.form),
            Self::Checkpoint(args) => Some(args.form),
            Self::Prove(args) => Some(args.form),
            Self::Consistency(args) => Some(args.form),
            Self::Sinks(form) => Some(*form),
            Self::Search(args) => Some(args.form),
            Self::Keygen(args) => Some(args.form),
            Self::Export(_) | Self::Decrypt(_) => None,
        }
    }
}

/// `hoop audit ls`
#[derive(Debug, Args)]
pub(crate) struct AuditLs {
    /// Of this code, such as session.opened
    #[arg(long)]
    pub(crate) code: Option<String>,
    /// Done by this person or agent
    #[arg(long, value_name = "NAME")]
    pub(crate) actor: Option<String>,
    /// About this id (ses_..., usr_..., con_...)
    #[arg(long, value_name = "ID")]
    pub(crate) subject: Option<String>,
    #[command(flatten)]
    pub(crate) span: Span,
    #[command(flatten)]
    form: Form,
}

/// `hoop audit search`
#[derive(Debug, Args)]
pub(crate) struct AuditSearch {
    /// By this person
    #[arg(long, value_name = "NAME")]
    pub(crate) person: Option<UserName>,
    /// On this connection
    #[arg(long, value_name = "NAME")]
    pub(crate) connection: Option<ConnectionName>,
    /// That name this table (t or s.t; unquoted names in small letters)
    #[arg(long, value_name = "NAME")]
    pub(crate) table: Option<String>,
    /// Whose text holds this, whatever the case
    #[arg(long)]
    pub(crate) text: Option<String>,
    #[command(flatten)]
    pub(crate) span: Span,
    #[command(flatten)]
    form: Form,
}

/// In which form the ledger is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum LedgerFormat {
    /// Leaves as stored, manifests, a checkpoint: to be verified
    #[default]
    Ledger,
    /// An event a line
    Jsonl,
    /// An event a line, as OCSF 1.3 has it
    Ocsf,
}

/// Whose business a fact is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FactClass {
    /// Nothing about persons or about what is inside the network
    Public,
    /// Names of machines, connections and rules too
    Internal,
    /// Names of persons and what they wrote too
    Personal,
}

/// `hoop audit export`
#[derive(Debug, Args)]
pub(crate) struct AuditExport {
    /// In which form
    #[arg(short, long, value_name = "FORM", default_value = "ledger")]
    pub(crate) format: LedgerFormat,
    /// With facts up to this class (docs/EVENTS.md); all, if left away
    #[arg(long, value_name = "CLASS")]
    pub(crate) class: Option<FactClass>,
    /// From this event on
    #[arg(long, value_name = "SEQ")]
    pub(crate) from: Option<u64>,
    /// Where to; stdout if left away
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Witnesses that are believed.
#[derive(Debug, Args, Default)]
pub(crate) struct AuditWitnesses {
    /// A witness's verifier key (name+id+base64); again for another one
    #[arg(long = "witness", value_name = "KEY", requires = "key")]
    pub(crate) keys: Vec<String>,
    /// So many of them must have signed; all, if left away
    #[arg(long = "witnesses", value_name = "N", requires = "keys")]
    pub(crate) needed: Option<usize>,
}

/// `hoop audit verify`
#[derive(Debug, Args)]
pub(crate) struct AuditVerify {
    /// Check this export, offline
    #[arg(long, value_name = "FILE")]
    pub(crate) export: Option<PathBuf>,
    /// The ledger's verifier key (origin+id+base64), or a file with it
    #[arg(long, value_name = "KEY", requires = "export")]
    pub(crate) key: Option<String>,
    /// A checkpoint kept from earlier: the ledger must have grown from it
    #[arg(long, value_name = "FILE", requires = "export")]
    pub(crate) older: Option<PathBuf>,
    /// Check the recordings in this folder against the ledger too (SESSION.hoopr, as `sessions export -f raw` gives them)
    #[arg(long, value_name = "FOLDER", requires = "export")]
    pub(crate) recordings: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) witnesses: AuditWitnesses,
    #[command(flatten)]
    form: Form,
}

/// `hoop audit checkpoint`
#[derive(Debug, Args)]
pub(crate) struct AuditCheckpoint {
    /// The latest that so many witnesses signed
    #[arg(long, value_name = "N")]
    pub(crate) witnessed: Option<u32>,
    #[command(flatten)]
    form: Form,
}

/// `hoop audit prove`
#[derive(Debug, Args)]
pub(crate) struct AuditProve {
    /// The event's place
    #[arg(required_unless_present = "proof")]
    pub(crate) seq: Option<u64>,
    /// Against this checkpoint, as `hoop audit checkpoint` or a receiver kept it
    #[arg(long, value_name = "FILE")]
    pub(crate) checkpoint: Option<PathBuf>,
    /// The ledger's verifier key, or a file with it; what the gateway says it is, if left away
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// Check this proof, offline
    #[arg(long, value_name = "FILE", requires = "key", conflicts_with = "seq")]
    pub(crate) proof: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) witnesses: AuditWitnesses,
    #[command(flatten)]
    form: Form,
}

/// `hoop audit consistency`
#[derive(Debug, Args)]
pub(crate) struct AuditConsistency {
    /// The older size, or a file with the older checkpoint
    pub(crate) from: String,
    /// The newer one; the latest, if left away
    pub(crate) to: Option<String>,
    /// The ledger's verifier key, or a file with it; what the gateway says it is, if left away
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    #[command(flatten)]
    form: Form,
}
