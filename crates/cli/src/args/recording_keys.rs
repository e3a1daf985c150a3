//! `hoop admin keys`, `hoop audit keygen` and `hoop audit decrypt`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Form;

/// `hoop admin keys`
#[derive(Debug, Subcommand)]
pub(crate) enum RecordingKeysCommand {
    /// List recording keys: which is in force, who keeps each, how many recordings need it
    Ls(Form),
    /// Put the next key in force for new recordings; the older ones still open theirs
    #[command(after_help = "\
Where the next key comes from:
  file      made in the gateway's folder of keys, beside the older ones
  public    `keys.recording_public_file`: put the auditor's next public key there and start the gateway anew first
  vault     a newer version that Vault names; or Vault is asked for one, if the gateway's token may
  aws-kms   `keys.aws_key`: name the next key there and start the gateway anew first")]
    Rotate(Form),
}

impl RecordingKeysCommand {
    pub(super) const fn form(&self) -> Form {
        match self {
            Self::Ls(form) | Self::Rotate(form) => *form,
        }
    }
}

/// `hoop audit keygen`
#[derive(Debug, Args)]
#[command(after_help = "\
Example, on the auditor's machine:
  hoop audit keygen --out auditor.pem
  and give auditor.pub.pem to whoever runs the gateway: keys.recording = \"public\",
  keys.recording_public_file = \"/etc/hoop/auditor.pub.pem\"

The private half is not protected by a passphrase: keep it on an encrypted disk, and a copy in a safe. Without it nobody
opens the recordings that were made for it.")]
pub(crate) struct Keygen {
    /// File for the private half; it must not be there
    #[arg(long, value_name = "FILE")]
    pub(crate) out: PathBuf,
    /// File for the public half; the same with `.pub.pem` if left away
    #[arg(long, value_name = "FILE")]
    pub(crate) public: Option<PathBuf>,
    #[command(flatten)]
    pub(super) form: Form,
}

#[cfg(test)]
impl Keygen {
    pub(crate) fn for_test(out: PathBuf) -> Self {
        Self { out, public: None, form: Form::default() }
    }
}

/// `hoop audit decrypt`
#[derive(Debug, Args)]
pub(crate) struct Decrypt {
    /// The recording, as `hoop sessions export -f raw` gives it
    pub(crate) file: PathBuf,
    /// The private half of the recording key, PEM
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// In which form
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) format: DecryptForm,
    /// Where to; stdout if left away
    #[arg(short, long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

/// Forms of a decrypted recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum DecryptForm {
    /// One JSON object a line
    Jsonl,
    /// SQL text
    Sql,
    /// asciicast v3, for players of terminal sessions
    Asciicast,
    /// Statements and answers, for reading
    #[default]
    Text,
}
