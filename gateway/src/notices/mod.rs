//! People are told, outside of hoop, of requests and emergencies: by webhook, in a chat, by mail.
//!
//! A change that is to be told attaches its [`Notice`] to the event that it appends ([`Notices::tell`]); the store writes
//! both in one transaction, a row for each channel that wants the topic. The `worker` delivers the rows, again and again
//! until they arrived or are a day old. What arrives may arrive twice (a gateway can die between sending and noting it):
//! `webhook-id` and `Message-ID` are the same then.
//!
//! - [`notice`]: what is told. `webhook`, `slack`, `mail`: how each channel puts it. `post`: HTTP. `worker`: when.

mod mail;
pub(crate) mod notice;
pub(crate) mod post;
mod slack;
pub(crate) mod webhook;
pub(crate) mod worker;

#[cfg(test)]
mod tests;

use std::{sync::Arc, time::Duration};

use hoop_model::{ChannelName, NoticeId, Redacted, Timestamp};
use hoop_store::{NewEvent, NewNotice};

pub(crate) use self::notice::{Notice, Topic};
pub(crate) use self::webhook::Secrets;
use crate::config::channels::{By, Channel};

/// One attempt, from the first byte to the last.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why an attempt failed. Shown to admins, kept in the store: no URL, no password, nothing that a server said about one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    /// The network, DNS or TLS.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// Nothing came in time.
    #[error("it did not answer within 10 s")]
    NoAnswer,
    /// Not with success.
    #[error("it answered with status {0}")]
    Answered(u16),
    /// Elsewhere, where we do not go.
    #[error("it answered with status {0}, and redirects are not followed")]
    Redirected(u16),
    /// The mail server.
    #[error("the mail server did not take it: {0}")]
    Mail(String),
    /// The mail server does not know us.
    #[error("the mail server refused the name and password ({0})")]
    MailSignIn(String),
    /// Our own.
    #[error("it cannot be sent: {0}")]
    Setup(String),
}

/// All channels.
#[derive(Debug)]
pub(crate) struct Notices(Vec<Arc<Outlet>>);

/// A channel, ready to be spoken to.
#[derive(Debug)]
pub(crate) struct Outlet {
    channel: Channel,
    /// What was wrong at the start stays wrong, and is told at each attempt.
    speaks: Result<Speaks, String>,
    patience: Duration,
}

#[derive(Debug)]
enum Speaks {
    Webhook { client: reqwest::Client, url: Redacted<String>, secrets: Secrets },
    Slack { client: reqwest::Client, url: Redacted<String> },
    Mail(mail::Mailer),
}

impl Notices {
    /// The channels of the configuration; `host` is the name of this gateway.
    pub(crate) fn new(channels: &[Channel], host: &str) -> Self {
        let outlet = |channel: &Channel| Arc::new(Outlet::new(channel, host, PATIENCE));
        Self(channels.iter().map(outlet).collect())
    }

    /// The event, with a notice for every channel that is to be told.
    pub(crate) fn tell(&self, event: NewEvent, notice: &Notice) -> NewEvent {
        let told: Vec<_> =
            self.0.iter().filter(|outlet| outlet.channel.topics.include(notice.topic)).collect();
        let rows = told.into_iter().filter_map(|outlet| outlet.row(notice, true));
        event.with_notices(rows)
    }

    /// The channel of this name.
    pub(crate) fn outlet(&self, name: &ChannelName) -> Option<&Arc<Outlet>> {
        self.0.iter().find(|outlet| outlet.channel.name == *name)
    }

    pub(crate) fn outlets(&self) -> &[Arc<Outlet>] {
        &self.0
    }
}

impl Outlet {
    fn new(channel: &Channel, host: &str, patience: Duration) -> Self {
        let speaks = Speaks::new(&channel.by, host, patience).inspect_err(|error| {
            tracing::error!(channel = %channel.name, error, "no notice can go out by this channel");
        });
        Self { channel: channel.clone(), speaks, patience }
    }

    pub(crate) const fn name(&self) -> &ChannelName {
        &self.channel.name
    }

    pub(crate) const fn kind(&self) -> &'static str {
        self.channel.kind()
    }

    /// A notice as the store keeps it.
    pub(crate) fn row(&self, notice: &Notice, queued: bool) -> Option<NewNotice> {
        // Texts and numbers: this cannot fail.
        let payload = serde_json::to_value(notice)
            .inspect_err(|error| tracing::error!(%error, "a notice cannot be written"))
            .ok()?;
        Some(NewNotice {
            id: NoticeId::generate(),
            channel: self.channel.name.clone(),
            topic: notice.topic.as_str().to_owned(),
            payload,
            created_at: notice.at,
            queued,
        })
    }

    /// One attempt; it ends within the time it has.
    pub(crate) async fn send(&self, id: NoticeId, notice: &Notice, now: Timestamp) -> Result<(), SendError> {
        match self.speaks.as_ref().map_err(|error| SendError::Setup(error.clone()))? {
            Speaks::Webhook { client, url, secrets } => {
                let body = webhook::body(notice).map_err(|error| SendError::Setup(error.to_string()))?;
                let headers = webhook::headers(&id.to_string(), secrets, now, &body);
                post::post(client, url, headers, body).await
            }
            Speaks::Slack { client, url } => {
                let body = slack::body(notice).to_string().into_bytes();
                post::post(client, url, http::HeaderMap::new(), body).await
            }
            Speaks::Mail(mailer) => mailer.send(id, notice, self.patience).await,
        }
    }
}

impl Speaks {
    fn new(by: &By, host: &str, patience: Duration) -> Result<Self, String> {
        let client = |ca: &Option<_>| post::client(ca.as_ref(), patience).map_err(|error| error.to_string());
        Ok(match by {
            By::Webhook { url, secrets, ca } => {
                Self::Webhook { client: client(ca)?, url: url.clone(), secrets: secrets.clone() }
            }
            By::Slack { url, ca } => Self::Slack { client: client(ca)?, url: url.clone() },
            By::Smtp(smtp) => Self::Mail(mail::Mailer::new(smtp, host).map_err(|error| error.to_string())?),
        })
    }
}
