//! `[[notices.channels]]`: ways by which people are told. They stand in the file alone: a list of tables has no flag.
//!
//! Knows what a channel needs, not how it is spoken to.

use std::fmt::Write as _;

use hoop_model::{ChannelName, Redacted};
use lettre::message::Mailbox;

use super::{
    ConfigError, Origin,
    lists::{Ca, Item, List},
    options::{Kind, OptionRow, row},
};
use crate::notices::{Secrets, Topic};

const MOST_RECIPIENTS: usize = 50;

const NAME: OptionRow = row("name", Kind::Text, "", "Unique; a-z, 0-9, `-`, `_` and `.`.");
const KIND: OptionRow = row("kind", Kind::Text, "", "`webhook`, `slack` or `smtp`.");
const TOPICS: OptionRow = row(
    "topics",
    Kind::List,
    "*",
    "What the channel is told: topics, `request.*` for all of a kind, or `*`. `break_glass.*` goes to every channel, whatever this says.",
);
const URL: OptionRow = row(
    "url",
    Kind::Text,
    "",
    "webhook, slack: where to, `https://` or `http://`; `env:NAME` or `file:PATH` where the URL is a secret. Redirects are not followed.",
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
const HOST: OptionRow = row("host", Kind::Text, "", "smtp: the mail server.");
const PORT: OptionRow = row("port", Kind::Count, "", "smtp: its port. Not set: 587, 465 or 25 by `tls`.");
const TLS: OptionRow = row(
    "tls",
    Kind::Text,
    "starttls",
    "smtp: `starttls` (and nothing is sent without), `tls` from the first byte, or `none` (and then no password).",
);
const USERNAME: OptionRow =
    row("username", Kind::Text, "", "smtp: signs in with this name. Not set: without.");
const PASSWORD: OptionRow = row("password", Kind::SecretSource, "", "smtp: and this password.");
const FROM: OptionRow = row("from", Kind::Text, "", "smtp: sender, such as `hoop <hoop@example.org>`.");
const TO: OptionRow = row("to", Kind::List, "", "smtp: recipients.");

/// The list.
pub(super) static LIST: List = List { key: "notices.channels", item: "channel", most: 32, rows: &ROWS };

const ROWS: [&OptionRow; 13] =
    [&NAME, &KIND, &TOPICS, &URL, &SECRET, &CA_FILE, &HOST, &PORT, &TLS, &USERNAME, &PASSWORD, &FROM, &TO];

/// A way by which people are told.
#[derive(Debug, Clone)]
pub struct Channel {
    pub(crate) name: ChannelName,
    pub(crate) topics: Topics,
    pub(crate) by: By,
}

/// How a channel is spoken to. URLs count as secrets: those of chat services are.
#[derive(Debug, Clone)]
pub(crate) enum By {
    Webhook { url: Redacted<String>, secrets: Secrets, ca: Option<Ca> },
    Slack { url: Redacted<String>, ca: Option<Ca> },
    Smtp(Box<Smtp>),
}

/// A mail server, and who writes to whom.
#[derive(Debug, Clone)]
pub(crate) struct Smtp {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: SmtpTls,
    pub(crate) credentials: Option<(String, Redacted<String>)>,
    pub(crate) from: Mailbox,
    pub(crate) to: Vec<Mailbox>,
    pub(crate) ca: Option<Ca>,
}

/// When TLS begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SmtpTls {
    /// After `STARTTLS`, always.
    StartTls,
    /// With the connection.
    Wrapped,
    /// Never.
    None,
}

/// What a channel is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Topics(Vec<Topic>);

impl Topics {
    /// Is the channel told of this?
    pub(crate) fn include(&self, topic: Topic) -> bool {
        topic.is_for_all() || self.0.contains(&topic)
    }
}

impl Channel {
    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &ChannelName {
        &self.name
    }

    /// Its kind, as the file calls it.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self.by {
            By::Webhook { .. } => "webhook",
            By::Slack { .. } => "slack",
            By::Smtp(_) => "smtp",
        }
    }
}

/// Checks all of them.
pub(super) fn check(items: &[Item]) -> Result<Vec<Channel>, ConfigError> {
    let mut channels: Vec<Channel> = Vec::new();
    for item in items {
        let channel = item.channel()?;
        if channels.iter().any(|known| known.name == channel.name) {
            return Err(item.wrong(&NAME, "another channel has this name"));
        }
        channels.push(channel);
    }
    Ok(channels)
}

impl Item {
    fn channel(&self) -> Result<Channel, ConfigError> {
        let name = self.parse(&NAME, &self.required(&NAME)?.text)?;
        let kind = self.required(&KIND)?;
        let (by, rows): (By, &[&OptionRow]) = match kind.text.as_str() {
            "webhook" => (self.webhook()?, &[&URL, &SECRET, &CA_FILE]),
            "slack" => (By::Slack { url: self.url(&URL)?, ca: self.ca(&CA_FILE)? }, &[&URL, &CA_FILE]),
            "smtp" => (self.smtp()?, &[&HOST, &PORT, &TLS, &USERNAME, &PASSWORD, &FROM, &TO, &CA_FILE]),
            _ => return Err(self.wrong(&KIND, "it is none of `webhook`, `slack`, `smtp`")),
        };
        let all: Vec<_> = [&NAME, &KIND, &TOPICS].into_iter().chain(rows.iter().copied()).collect();
        self.only(&kind.text, &all)?;
        Ok(Channel { name, topics: self.topics()?, by })
    }

    fn webhook(&self) -> Result<By, ConfigError> {
        let secrets = Secrets::parse(&self.follow(&SECRET)?);
        let secrets = secrets.map_err(|error| self.wrong(&SECRET, &error.to_string()))?;
        Ok(By::Webhook { url: self.url(&URL)?, secrets, ca: self.ca(&CA_FILE)? })
    }

    fn smtp(&self) -> Result<By, ConfigError> {
        let host = self.required(&HOST)?.text;
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':');
        if host.len() > 253 || !host.chars().all(allowed) {
            return Err(self.wrong(&HOST, "it must be a host name or an IP address"));
        }
        let (tls, port) = match self.value(&TLS).text.as_str() {
            "starttls" => (SmtpTls::StartTls, 587),
            "tls" => (SmtpTls::Wrapped, 465),
            "none" => (SmtpTls::None, 25),
            _ => return Err(self.wrong(&TLS, "it is none of `starttls`, `tls`, `none`")),
        };
        let port = match self.value(&PORT).text {
            text if text.is_empty() => port,
            text => self.parse(&PORT, &text)?,
        };
        let to = self.required(&TO)?.text;
        let to = to.split(',').map(|text| self.parse(&TO, text.trim())).collect::<Result<Vec<_>, _>>()?;
        if to.len() > MOST_RECIPIENTS {
            return Err(self.wrong(&TO, "these are too many"));
        }
        let from = self.parse(&FROM, &self.required(&FROM)?.text)?;
        let credentials = self.credentials(tls)?;
        Ok(By::Smtp(Box::new(Smtp { host, port, tls, credentials, from, to, ca: self.ca(&CA_FILE)? })))
    }

    fn credentials(&self, tls: SmtpTls) -> Result<Option<(String, Redacted<String>)>, ConfigError> {
        let username = self.value(&USERNAME).text;
        match (username.is_empty(), self.value(&PASSWORD).text.is_empty()) {
            (true, true) => Ok(None),
            (false, false) if tls == SmtpTls::None => {
                Err(self.wrong(&PASSWORD, "without TLS anybody on the way could read it"))
            }
            (false, false) => Ok(Some((username, self.follow(&PASSWORD)?))),
            _ => Err(self.wrong(&USERNAME, "it goes with `password`: set both or neither")),
        }
    }

    fn topics(&self) -> Result<Topics, ConfigError> {
        let mut topics = Vec::new();
        for word in self.value(&TOPICS).text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let before = topics.len();
            let family = word.strip_suffix('*');
            let fits = |topic: &Topic| {
                family.map_or(topic.as_str() == word, |family| {
                    (family.is_empty() || family.ends_with('.')) && topic.as_str().starts_with(family)
                })
            };
            topics.extend(Topic::ALL.iter().copied().filter(fits));
            if topics.len() == before {
                let known: Vec<_> = Topic::ALL.iter().map(|topic| topic.as_str()).collect();
                let problem =
                    format!("`{}` is no topic; there are {}", word.escape_debug(), known.join(", "));
                return Err(self.wrong(&TOPICS, &problem));
            }
        }
        Ok(Topics(topics))
    }
}

/// How `config show` tells of one: nothing that could be a secret.
pub(super) fn summary(item: &Item) -> (String, Origin) {
    let line = format!("{} {} topics {}", item.shown(&NAME), item.shown(&KIND), item.shown(&TOPICS));
    (line, item.origin.clone())
}

/// Their part of `docs/CONFIG.md`.
pub(super) fn markdown() -> String {
    let mut text = String::from(
        "\n## Channels of notices\n\n\
         Ways by which people are told of requests and emergencies: any number (up to 32) of `[[notices.channels]]`, in the file alone.\n\
         What could not be delivered is tried again after 30 s, then ever later up to every hour, and given up after 24 h.\n\n",
    );
    LIST.table(&mut text);
    let topics: Vec<_> = Topic::ALL.iter().map(|topic| format!("`{topic}`")).collect();
    let _ = write!(text, "\nTopics: {}.\n", topics.join(", "));
    text.push_str(
        "\n```toml\n[[notices.channels]]\nname = \"on-call\"\nkind = \"webhook\"\nurl = \"https://alerts.example.org/hoop\"\n\
         secret = \"file:/etc/hoop/webhook.secret\"\n\n\
         [[notices.channels]]\nname = \"approvers\"\nkind = \"slack\"\nurl = \"env:HOOP_SLACK_URL\"\ntopics = [\"request.*\"]\n\n\
         [[notices.channels]]\nname = \"security\"\nkind = \"smtp\"\nhost = \"mail.example.org\"\nusername = \"hoop\"\n\
         password = \"file:/etc/hoop/mail.password\"\nfrom = \"hoop <hoop@example.org>\"\nto = [\"security@example.org\"]\n```\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::{Config, Layers};

    fn config(text: &str) -> Result<Config, ConfigError> {
        let mut layers = Layers::default();
        layers.read_toml(text, Path::new("gw.toml"))?;
        Config::from_layers(&layers)
    }

    /// A file with one channel, and a secret beside it.
    fn one(lines: &str) -> Result<Channel, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("secret");
        std::fs::write(&secret, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n").unwrap();
        let lines = lines.replace("SECRET", &format!("file:{}", secret.display()));
        config(&format!("\n[[notices.channels]]\n{lines}")).map(|mut config| config.channels.remove(0))
    }

    const WEBHOOK: &str = "name='a'\nkind='webhook'\nurl='https://x.example/canary-url'\nsecret='SECRET'\n";
    const SMTP: &str =
        "name='a'\nkind='smtp'\nhost='mail'\nfrom='hoop <hoop@x.example>'\nto=['ops@x.example']\n";

    #[test]
    fn each_kind_is_read_and_shows_no_secret() {
        let webhook = one(WEBHOOK).unwrap();
        assert_eq!((webhook.kind(), webhook.name().as_str()), ("webhook", "a"));
        assert!(webhook.topics.include(Topic::RequestCreated));
        let slack =
            one("name='a'\nkind='slack'\nurl='https://x.example/canary-url'\ntopics=['request.*']").unwrap();
        let mail = one(&format!("{SMTP}username='u'\npassword='SECRET'")).unwrap();
        let By::Smtp(smtp) = &mail.by else { panic!("smtp") };
        assert_eq!((smtp.port, smtp.tls, smtp.to.len()), (587, SmtpTls::StartTls, 1));
        for channel in [webhook, slack, mail] {
            let shown = format!("{channel:?}");
            assert!(!shown.contains("canary") && !shown.contains("MfKQ"), "{shown}");
        }
    }

    #[test]
    fn topics_choose_and_emergencies_go_everywhere() {
        let told = |topics: &str| {
            let channel = one(&format!("{WEBHOOK}topics={topics}")).unwrap();
            Topic::ALL.iter().filter(|topic| channel.topics.include(**topic)).count()
        };
        assert_eq!(told("['*']"), Topic::ALL.len());
        assert_eq!(told("[]"), 6);
        assert_eq!(told("['request.*']"), 10);
        assert_eq!(told("['request.created', 'notice.test']"), 8);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_and_without_secrets() {
        let smtp = |more: &str| format!("{SMTP}{more}");
        let webhook = |more: &str| format!("{WEBHOOK}{more}");
        let cases = [
            ("kind='webhook'".to_owned(), 2, "`name`"),
            ("name='a'".to_owned(), 2, "`kind`"),
            ("name='a'\nkind='pager'".to_owned(), 4, "`kind`"),
            ("name='Über'\nkind='slack'".to_owned(), 3, "`name`"),
            ("name='a'\nkind='slack'".to_owned(), 2, "`url`"),
            ("name='a'\nkind='slack'\nurl='file:///etc/passwd'".to_owned(), 5, "`url`"),
            ("name='a'\nkind='slack'\nurl='ftp://canary'".to_owned(), 5, "`url`"),
            ("name='a'\nkind='slack'\nurl='canary'".to_owned(), 5, "`url`"),
            (
                "name='a'\nkind='slack'\nurl='env:HOOP_NO_SUCH_VARIABLE'".to_owned(),
                5,
                "HOOP_NO_SUCH_VARIABLE",
            ),
            ("name='a'\nkind='webhook'\nurl='https://x'\nsecret='whsec_canary'".to_owned(), 6, "`secret`"),
            ("name='a'\nkind='webhook'\nurl='https://x'\nsecret='file:/dev/null'".to_owned(), 6, "whsec_"),
            (webhook("host='x'"), 7, "has no `host`"),
            (webhook("colour='x'"), 7, "has no `colour`"),
            ("name=1\nkind='slack'".to_owned(), 3, "`name`"),
            (webhook("topics=['request']"), 7, "request.created"),
            (webhook("topics=['req*']"), 7, "request.created"),
            (webhook("ca_file='/dev/null'"), 7, "no certificate"),
            (smtp("tls='maybe'"), 8, "`tls`"),
            (smtp("port=70000"), 8, "`port`"),
            (smtp("username='u'"), 8, "`password`"),
            (smtp("username='u'\npassword='canary'"), 9, "`password`"),
            (smtp("tls='none'\nusername='u'\npassword='SECRET'"), 10, "without TLS"),
            (SMTP.replace("mail", "mail\\nx").replace("host='mail\\nx'", "host=\"mail\\nx\""), 5, "`host`"),
            (SMTP.replace("ops@x.example", "ops@x.example>, <y"), 7, "`to`"),
            (SMTP.replace("hoop <hoop@x.example>", "nobody"), 6, "`from`"),
        ];
        for (lines, line, hint) in cases {
            let error = one(&lines).unwrap_err();
            assert!(error.to_string().contains(hint), "{lines}: {error}");
            assert_eq!(error.origin, format!("gw.toml:{line}"), "{lines}: {error}");
            assert!(!error.to_string().contains("canary") && !error.to_string().contains("MfKQ"), "{error}");
        }
    }

    #[test]
    fn names_are_unique_and_the_list_is_a_list() {
        let slack = "[[notices.channels]]\nname='a'\nkind='slack'\nurl='https://x'\n";
        let error = config(&format!("{slack}{slack}")).unwrap_err();
        assert_eq!(
            (error.origin.as_str(), error.message.contains("another")),
            ("gw.toml:6", true),
            "{error}"
        );
        for text in
            ["[notices]\nchannels = 'x'", "[notices]\nchannels = ['x']", "[notices.channels]\nname = 'x'"]
        {
            assert!(config(text).unwrap_err().hint.contains("[[notices.channels]]"), "{text}");
        }
        assert!(config(&slack.repeat(33)).is_err());
        assert!(config("[notices]\nchannels = []").unwrap().channels.is_empty());
        assert!(config("").unwrap().channels.is_empty());
    }

    #[test]
    fn every_character_that_is_no_name_is_refused_in_one() {
        for c in (0..0x300).filter_map(char::from_u32) {
            let name = toml::Value::String(format!("a{c}"));
            let outcome =
                config(&format!("[[notices.channels]]\nname={name}\nkind='slack'\nurl='https://x'\n"));
            let good = c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.');
            assert_eq!(outcome.is_ok(), good, "{c:?}");
        }
    }
}
