//! A second factor proven again, at the moment when the gateway asks for it: by a code, or in a browser.
//!
//! Who asks a person is the command's matter (see [`StepUp`]); here is what it is done with, and when it is asked for.

use std::{future::Future, pin::Pin, time::Duration};

use hoop_api::auth::{StepUpStarted, WhoAmI};
use hoop_model::Redacted;
use reqwest::Method;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::{
    error::{Class, ClientError, Result},
    http::Api,
    login::PENDING,
};

/// "A second factor is needed, or was proven too long ago", as the gateway codes it.
const NEEDED: &str = "HOOP-2003";
const LONGEST: Duration = Duration::from_secs(900);

/// Asks a person for their second factor when a call needs it.
pub trait StepUp: Send + Sync {
    /// Has it proven; the call is then repeated. An error is told in place of the call's own.
    fn prove<'a>(&'a self, api: &'a Api) -> Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

    /// There is nobody to ask: the call's error stands, with a hint.
    fn is_possible(&self) -> bool;
}

/// Does this error go away with a fresh second factor?
pub(crate) fn is_needed(error: &ClientError) -> bool {
    error.is(NEEDED)
}

/// What to tell where nobody can be asked.
pub(crate) fn unattended(error: ClientError) -> ClientError {
    error.hint("run `hoop step-up` in a terminal, then try again")
}

/// Proves it by a code of the authenticator, or a recovery code.
///
/// # Errors
/// What the gateway says.
pub async fn by_code(api: &Api, code: &Redacted<String>) -> Result<WhoAmI> {
    api.send_once(Method::POST, "/auth/step-up", &json!({ "code": code.expose() })).await
}

/// Waits for a browser.
#[derive(Debug)]
pub struct BrowserStepUp {
    started: StepUpStarted,
}

impl BrowserStepUp {
    /// Begins.
    ///
    /// # Errors
    /// When the gateway cannot be asked.
    pub async fn start(api: &Api) -> Result<Self> {
        let started = api.send_once(Method::POST, "/auth/step-up/browser", &json!({})).await?;
        Ok(Self { started })
    }

    /// The page to open.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.started.verification_uri
    }

    /// What that page shows, to be compared.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.started.user_code
    }

    /// Asks until it is approved, refused or void.
    ///
    /// # Errors
    /// When refused, void, or the gateway stays away.
    pub async fn wait(self, api: &Api) -> Result<()> {
        let body = json!({ "poll_code": self.started.poll_code });
        let interval = Duration::from_secs(self.started.interval.clamp(1, 60));
        let deadline = Instant::now() + Duration::from_secs(self.started.expires_in).min(LONGEST);
        loop {
            sleep(interval).await;
            match api.command_once(Method::POST, "/auth/step-up/poll", &body).await {
                Ok(()) => return Ok(()),
                Err(error) if error.is(PENDING) || error.class == Class::Away => {}
                Err(error) => return Err(error),
            }
            if Instant::now() >= deadline {
                return Err(ClientError::denied("HOOP-1023", "nobody proved the second factor in time"));
            }
        }
    }
}
