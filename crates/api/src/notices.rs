//! Notices: what people were told outside of hoop, and whether it arrived.

use hoop_model::{ChannelName, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a notice stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoticeOutcome {
    /// It waits for its (next) attempt.
    Waiting,
    /// It arrived.
    Delivered,
    /// It was given up.
    Failed,
}

/// `GET /notices` (admin, auditor), newest first. Query: `after=` (id), `limit=` (at most 200).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct NoticeView {
    /// Its id; as `webhook-id` and in `Message-ID` the receiver saw it too.
    pub id: String,
    /// By which channel.
    #[schema(value_type = String)]
    pub channel: ChannelName,
    /// About what, such as `request.created`.
    pub topic: String,
    /// In a few words.
    pub title: String,
    /// How it stands.
    pub outcome: NoticeOutcome,
    /// Attempts so far.
    pub attempts: u32,
    /// When it was written.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub delivered_at: Option<Timestamp>,
    /// When it is tried next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub next_at: Option<Timestamp>,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

/// `POST /notices/test` (admin): sends a test to one channel, now and once.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TestNotice {
    /// The channel's name in the configuration.
    pub channel: String,
}

/// What became of it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TestNoticeSent {
    /// Its id.
    pub id: String,
    /// It arrived.
    pub delivered: bool,
    /// Why it did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}
