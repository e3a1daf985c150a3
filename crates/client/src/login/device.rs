//! Sign-in from a machine without a browser (RFC 8628): show a code, and ask until somebody approved it.

use std::time::Duration;

use hoop_api::auth::{DeviceStart, Tokens};
use hoop_model::Redacted;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    error::{Class, ClientError, Result},
    http::Api,
};

/// "Not yet" (RFC 8628 §3.5, `authorization_pending`), as the gateway codes it.
pub(crate) const PENDING: &str = "HOOP-3020";
/// "Slower" (`slow_down`).
pub(crate) const SLOW_DOWN: &str = "HOOP-3021";
const SLOWEST: Duration = Duration::from_secs(60);
/// RFC 8628 §3.5: five seconds more each time.
const SLOWER_BY: Duration = Duration::from_secs(5);

/// What to show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DevicePrompt {
    /// Where to go.
    pub page: String,
    /// What to type there.
    pub code: String,
    /// How long there is for it.
    pub expires_in: Duration,
}

/// A device sign-in that was started.
#[derive(Debug)]
pub struct DeviceLogin {
    device_code: Redacted<String>,
    prompt: DevicePrompt,
    interval: Duration,
}

impl DeviceLogin {
    /// Starts one.
    ///
    /// # Errors
    /// When the gateway cannot be asked.
    pub async fn start(api: &Api) -> Result<Self> {
        let DeviceStart { device_code, user_code, verification_uri, expires_in, interval } =
            api.device_start().await?;
        Ok(Self {
            device_code: device_code.into(),
            prompt: DevicePrompt {
                page: verification_uri,
                code: user_code,
                expires_in: Duration::from_secs(expires_in.min(3600)),
            },
            interval: Duration::from_secs(interval.clamp(1, 60)),
        })
    }

    /// What to show.
    #[must_use]
    pub const fn prompt(&self) -> &DevicePrompt {
        &self.prompt
    }

    /// Asks until it is approved, refused or void.
    ///
    /// # Errors
    /// When refused, void, or the gateway stays away.
    pub async fn wait(self, api: &Api) -> Result<Tokens> {
        let body = json!({ "grant_type": "device_code", "device_code": self.device_code.expose() });
        let deadline = Instant::now() + self.prompt.expires_in;
        let mut interval = self.interval;
        loop {
            sleep(interval).await;
            match api.token(&body).await {
                Ok(tokens) => return Ok(tokens),
                Err(error) if error.is(SLOW_DOWN) => interval = (interval + SLOWER_BY).min(SLOWEST),
                // The network may come back before the code is void.
                Err(error) if error.is(PENDING) || error.class == Class::Away => {}
                Err(error) => return Err(error),
            }
            if Instant::now() >= deadline {
                return Err(ClientError::not_signed_in("nobody approved the sign-in in time"));
            }
        }
    }
}
