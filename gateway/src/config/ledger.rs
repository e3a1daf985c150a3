//! `[[ledger.publish]]` and `[[ledger.witnesses]]`: where checkpoints go, and who signs beside the gateway.
//!
//! Knows what a receiver needs, not how it is spoken to.

use std::path::PathBuf;

use hoop_ledger::WitnessKey;
use hoop_model::{ChannelName, Redacted};

use super::{
    ConfigError, Origin,
    lists::{Ca, Item, List},
    options::{Kind, OptionRow, row},
    recordings,
};
use crate::notices::Secrets;

const NAME: OptionRow = row("name", Kind::Text, "", "Unique; a-z, 0-9, `-`, `_` and `.`.");
const KIND: OptionRow = row("kind", Kind::Text, "", "`file`, `objects`, `syslog` or `webhook`.");
const PATH: OptionRow = row(
    "path",
    Kind::Path,
    "",
    "file: notes are appended to it, an empty line between two, and are on the disk before it counts.",
);
const PREFIX: OptionRow = row(
    "prefix",
    Kind::Text,
    "checkpoints",
    "objects: the store that recordings go to (`recordings.store` is `s3`); objects are PREFIX/SIZE.checkpoint, and locked like recordings.",
);
const ADDRESS: OptionRow = row(
    "address",
    Kind::Text,
    "",
    "syslog: `unix:/dev/log`, `udp:HOST:PORT` or `tcp:HOST:PORT` (RFC 5424; by TCP with octet counting).",
);
const URL: OptionRow = row(
    "url",
    Kind::Text,
    "",
    "webhook: where to, `https://` or `http://`; `env:NAME` or `file:PATH` where the URL is a secret. Redirects are not followed.",
);
const SECRET: OptionRow = row(
    "secret",
    Kind::SecretSource,
    "",
    "webhook: `whsec_…`, that signs (Standard Webhooks); several, separated by spaces, while it is being replaced.",
);
const CA_FILE: OptionRow = row(
    "ca_file",
    Kind::Path,
    "",
    "Certificates (PEM) of a private CA; the server must be of one of these. Not set: those of the system.",
);
const WITNESS_URL: OptionRow =
    row("url", Kind::Text, "", "Its submission prefix, `https://` or `http://`: `/add-checkpoint` is added.");
const PUBLIC_KEY: OptionRow =
    row("public_key", Kind::Text, "", "Its verifier key, `NAME+ID+BASE64`, for `cosignature/v1`.");

const SINK_ROWS: [&OptionRow; 8] = [&NAME, &KIND, &PATH, &PREFIX, &ADDRESS, &URL, &SECRET, &CA_FILE];
const WITNESS_ROWS: [&OptionRow; 4] = [&NAME, &WITNESS_URL, &PUBLIC_KEY, &CA_FILE];

/// Where checkpoints go.
pub(super) static PUBLISH: List =
    List { key: "ledger.publish", item: "receiver", most: 16, rows: &SINK_ROWS };
/// Who signs beside the gateway.
pub(super) static WITNESSES: List =
    List { key: "ledger.witnesses", item: "witness", most: 16, rows: &WITNESS_ROWS };

/// A receiver of checkpoints.
#[derive(Debug, Clone)]
pub struct Sink {
    pub(crate) name: ChannelName,
    pub(crate) to: To,
}

/// How a receiver is spoken to. URLs count as secrets.
#[derive(Debug, Clone)]
pub(crate) enum To {
    File(PathBuf),
    Objects { prefix: String },
    Syslog(Syslog),
    Webhook { url: Redacted<String>, secrets: Secrets, ca: Option<Ca> },
}

/// Where a syslog server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Syslog {
    Unix(PathBuf),
    Udp(String),
    Tcp(String),
}

/// Somebody who signs checkpoints that are consistent with those they have seen.
#[derive(Debug, Clone)]
pub struct Witness {
    pub(crate) name: ChannelName,
    pub(crate) url: Redacted<String>,
    pub(crate) key: WitnessKey,
    pub(crate) ca: Option<Ca>,
}

impl Sink {
    /// Its kind, as the file calls it.
    pub(crate) const fn kind(&self) -> &'static str {
        match self.to {
            To::File(_) => "file",
            To::Objects { .. } => "objects",
            To::Syslog(_) => "syslog",
            To::Webhook { .. } => "webhook",
        }
    }
}

/// Checks all receivers; `objects`: recordings go to a store of objects.
pub(super) fn sinks(items: &[Item], objects: bool) -> Result<Vec<Sink>, ConfigError> {
    let mut sinks: Vec<Sink> = Vec::new();
    for item in items {
        let sink = item.sink()?;
        if sinks.iter().any(|known| known.name == sink.name) {
            return Err(item.wrong(&NAME, "another receiver has this name"));
        }
        if matches!(sink.to, To::Objects { .. }) && !objects {
            return Err(
                item.wrong(&KIND, "it is the store of recordings, and `recordings.store` is not `s3`")
            );
        }
        sinks.push(sink);
    }
    Ok(sinks)
}

/// Checks all witnesses.
pub(super) fn witnesses(items: &[Item]) -> Result<Vec<Witness>, ConfigError> {
    let mut witnesses: Vec<Witness> = Vec::new();
    for item in items {
        let witness = item.witness()?;
        if witnesses.iter().any(|known| known.name == witness.name) {
            return Err(item.wrong(&NAME, "another witness has this name"));
        }
        if witnesses.iter().any(|known| known.key == witness.key) {
            return Err(item.wrong(&PUBLIC_KEY, "another witness has this key: one is not two"));
        }
        witnesses.push(witness);
    }
    Ok(witnesses)
}

impl Item {
    fn sink(&self) -> Result<Sink, ConfigError> {
        let name = self.parse(&NAME, &self.required(&NAME)?.text)?;
        let kind = self.required(&KIND)?;
        let (to, rows): (To, &[&OptionRow]) = match kind.text.as_str() {
            "file" => (To::File(self.required(&PATH)?.text.into()), &[&PATH]),
            "objects" => (To::Objects { prefix: self.prefix()? }, &[&PREFIX]),
            "syslog" => (To::Syslog(self.syslog()?), &[&ADDRESS]),
            "webhook" => (self.signed_webhook()?, &[&URL, &SECRET, &CA_FILE]),
            _ => return Err(self.wrong(&KIND, "it is none of `file`, `objects`, `syslog`, `webhook`")),
        };
        let all: Vec<_> = [&NAME, &KIND].into_iter().chain(rows.iter().copied()).collect();
        self.only(&kind.text, &all)?;
        Ok(Sink { name, to })
    }

    fn prefix(&self) -> Result<String, ConfigError> {
        let text = self.value(&PREFIX).text;
        recordings::check_prefix(&text).map_err(|problem| self.wrong(&PREFIX, problem))?;
        Ok(text)
    }

    fn syslog(&self) -> Result<Syslog, ConfigError> {
        let text = self.required(&ADDRESS)?.text;
        let (kind, rest) = text.split_once(':').unwrap_or_default();
        let place = |rest: &str| {
            let (host, port) = rest.rsplit_once(':').unwrap_or_default();
            let allowed =
                |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']' | '_');
            let good = !host.is_empty() && host.len() <= 253 && host.chars().all(allowed);
            (good && port.parse::<u16>().is_ok_and(|port| port > 0)).then(|| rest.to_owned())
        };
        let read = match kind {
            "unix" if !rest.is_empty() => Some(Syslog::Unix(rest.into())),
            "udp" => place(rest).map(Syslog::Udp),
            "tcp" => place(rest).map(Syslog::Tcp),
            _ => None,
        };
        read.ok_or_else(|| {
            self.wrong(&ADDRESS, "it is none of `unix:PATH`, `udp:HOST:PORT`, `tcp:HOST:PORT`")
        })
    }

    fn signed_webhook(&self) -> Result<To, ConfigError> {
        let secrets = Secrets::parse(&self.follow(&SECRET)?);
        let secrets = secrets.map_err(|error| self.wrong(&SECRET, &error.to_string()))?;
        Ok(To::Webhook { url: self.url(&URL)?, secrets, ca: self.ca(&CA_FILE)? })
    }

    fn witness(&self) -> Result<Witness, ConfigError> {
        Ok(Witness {
            name: self.parse(&NAME, &self.required(&NAME)?.text)?,
            url: self.url(&WITNESS_URL)?,
            key: self.parse(&PUBLIC_KEY, self.required(&PUBLIC_KEY)?.text.trim())?,
            ca: self.ca(&CA_FILE)?,
        })
    }
}

/// How `config show` tells of a receiver: nothing that could be a secret.
pub(super) fn sink_summary(item: &Item) -> (String, Origin) {
    let line = [&NAME, &KIND, &PATH, &ADDRESS].map(|row| item.shown(row)).join(" ");
    (line.trim_end().to_owned(), item.origin.clone())
}

/// The same of a witness.
pub(super) fn witness_summary(item: &Item) -> (String, Origin) {
    (format!("{} {}", item.shown(&NAME), item.shown(&PUBLIC_KEY)), item.origin.clone())
}

/// Their part of `docs/CONFIG.md`.
pub(super) fn markdown() -> String {
    let mut text = String::from(
        "\n## Receivers of checkpoints\n\n\
         Any number (up to 16) of `[[ledger.publish]]`, in the file alone: each gets the newest checkpoint of the ledger soon after it\n\
         was signed. One that fails is tried again after 2 s, then ever later up to every 5 minutes, and holds up no other; what was\n\
         signed meanwhile is not sent later: the newest checkpoint stands for all before it. `hoop audit sinks` shows how they stand.\n\n",
    );
    PUBLISH.table(&mut text);
    text.push_str(
        "\n```toml\n[[ledger.publish]]\nname = \"siem\"\nkind = \"syslog\"\naddress = \"tcp:logs.example.org:601\"\n\n\
         [[ledger.publish]]\nname = \"auditors\"\nkind = \"webhook\"\nurl = \"https://audit.example.org/hoop\"\n\
         secret = \"file:/etc/hoop/audit.secret\"\n\n\
         [[ledger.publish]]\nname = \"worm\"\nkind = \"file\"\npath = \"/mnt/worm/checkpoints.txt\"\n\n\
         [[ledger.publish]]\nname = \"locked\"\nkind = \"objects\"\n```\n\
         \n## Witnesses\n\n\
         Any number (up to 16) of `[[ledger.witnesses]]`, in the file alone: each is asked to sign every newest checkpoint beside the\n\
         gateway (C2SP `tlog-witness`), and does so only if the ledger grew from the one that it signed last. See LEDGER.md.\n\n",
    );
    WITNESSES.table(&mut text);
    text.push_str(
        "\n```toml\n[[ledger.witnesses]]\nname = \"partner\"\nurl = \"https://witness.example.net\"\n\
         public_key = \"witness.example.net+0a1b2c3d+BAAA...\"\n```\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Layers};

    const KEY: &str = "w.test+c5a9241f+BBpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";

    fn config(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let mut layers = Layers::default();
        let text = text.replace("SECRET", &format!("file:{}", secret.display()));
        layers.read_toml(&text, Path::new("gw.toml"))?;
        Config::from_layers(&layers)
    }

    fn sink(lines: &str) -> Result<Sink, ConfigError> {
        config(&format!("[[ledger.publish]]\nname='a'\n{lines}")).map(|mut config| config.publish.remove(0))
    }

    #[test]
    fn each_kind_is_read_and_shows_no_secret() {
        let file = sink("kind='file'\npath='/x/y'").unwrap();
        let webhook = sink("kind='webhook'\nurl='https://x.example/canary'\nsecret='SECRET'").unwrap();
        assert_eq!((file.kind(), webhook.kind()), ("file", "webhook"));
        assert!(!format!("{webhook:?}").contains("canary") && !format!("{webhook:?}").contains("MfKQ"));
        for (text, place) in [
            ("unix:/dev/log", Syslog::Unix("/dev/log".into())),
            ("udp:logs.example:514", Syslog::Udp("logs.example:514".into())),
            ("tcp:[::1]:601", Syslog::Tcp("[::1]:601".into())),
        ] {
            let sink = sink(&format!("kind='syslog'\naddress='{text}'")).unwrap();
            assert!(matches!(&sink.to, To::Syslog(read) if *read == place), "{text}: {sink:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_receiver_is_told_with_its_place() {
        let cases = [
            ("kind='file'", 1, "`path`"),
            ("kind='pigeon'", 3, "`kind`"),
            ("kind='file'\npath='x'\nurl='https://x'", 5, "has no `url`"),
            ("kind='syslog'\naddress='tcp:host'", 4, "udp:HOST:PORT"),
            ("kind='syslog'\naddress='tcp:host:0'", 4, "udp:HOST:PORT"),
            ("kind='syslog'\naddress='tcp:ho st:1'", 4, "udp:HOST:PORT"),
            ("kind='syslog'\naddress='unix:'", 4, "unix:PATH"),
            ("kind='syslog'\naddress='/dev/log'", 4, "unix:PATH"),
            ("kind='webhook'\nurl='ftp://canary'\nsecret='SECRET'", 4, "`url`"),
            ("kind='webhook'\nurl='https://x'\nsecret='canary'", 5, "`secret`"),
            ("kind='webhook'\nurl='https://x'", 1, "`secret`"),
        ];
        for (lines, line, hint) in cases {
            let error = sink(lines).unwrap_err();
            assert!(error.to_string().contains(hint), "{lines}: {error}");
            assert_eq!(error.origin, format!("gw.toml:{line}"), "{lines}: {error}");
            assert!(!error.to_string().contains("canary"), "{error}");
        }
        let twice = "[[ledger.publish]]\nname='a'\nkind='file'\npath='x'\n".repeat(2);
        assert!(config(&twice).unwrap_err().message.contains("another"));
    }

    #[test]
    fn a_witness_has_a_key_of_its_own_and_of_the_right_type() {
        let witness = |name: &str, key: &str| {
            format!("[[ledger.witnesses]]\nname='{name}'\nurl='http://localhost:1'\npublic_key='{key}'\n")
        };
        let good = config(&witness("w", KEY)).unwrap();
        assert_eq!(good.witnesses.first().unwrap().key.to_string(), KEY);
        let log_key = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        for (text, hint) in [
            (witness("w", log_key), "`public_key`"),
            (witness("w", ""), "`public_key`"),
            (witness("w", KEY) + &witness("w", KEY), "another witness has this name"),
            (witness("w", KEY) + &witness("v", KEY), "one is not two"),
        ] {
            let error = config(&text).unwrap_err();
            assert!(error.to_string().contains(hint), "{error}");
        }
    }
}
