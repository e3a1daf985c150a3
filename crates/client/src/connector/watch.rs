//! Looks after a session while it lives: is it still there, and does its certificate last?

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use hoop_api::sessions::{SessionState, SessionView};
use hoop_model::Timestamp;
use tokio::time::{Instant, sleep};

use super::{SessionFacts, identity::SessionIdentity};
use crate::{
    error::{Class, ClientError},
    http::{Api, now},
};

/// How often the gateway is asked without a reason.
const EVERY: Duration = Duration::from_secs(20);
/// The same while streams are open: they break when the session ends, and that is a reason.
const EVERY_BESIDE_STREAMS: Duration = Duration::from_secs(300);
/// How soon again with a reason: a thousand streams that fail at once ask once.
const AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// A certificate is renewed when so much of its life is left, at least.
const RENEW_AHEAD: Duration = Duration::from_secs(120);
const RETRY_RENEWAL: Duration = Duration::from_secs(5);

/// The session is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Over {
    /// Why, as the gateway tells it.
    pub reason: String,
}

impl Over {
    /// As an error to tell: it was not the person who ended it here.
    #[must_use]
    pub fn fault(&self) -> ClientError {
        ClientError::denied("HOOP-1017", format!("the session is over: {}", self.reason))
            .hint("open it again with `hoop connect`")
    }
}

/// How many streams of a session are open.
#[derive(Debug, Default)]
pub(super) struct Streams(AtomicUsize);

/// One of them.
pub(super) struct OpenStream<'a>(&'a Streams);

impl Streams {
    pub(super) fn enter(&self) -> OpenStream<'_> {
        self.0.fetch_add(1, Ordering::Relaxed);
        OpenStream(self)
    }

    fn any(&self) -> bool {
        self.0.load(Ordering::Relaxed) > 0
    }
}

impl Drop for OpenStream<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(super) async fn until_over(
    api: &Api,
    facts: &SessionFacts,
    identity: &SessionIdentity,
    streams: &Streams,
) -> Over {
    tokio::select! {
        over = look(api, facts, identity, streams) => over,
        over = keep_certificate(api, facts, identity) => over,
    }
}

async fn look(api: &Api, facts: &SessionFacts, identity: &SessionIdentity, streams: &Streams) -> Over {
    loop {
        let due = tokio::select! {
            () = until_asked_without_reason(streams) => false,
            () = sleep_until(facts.ends_at) => true,
            () = identity.suspected() => false,
        };
        match api.session(facts.id).await {
            Ok(view) if is_over(&view) => return Over { reason: reason(view) },
            // The gateway may end it a moment later than our clock says.
            Ok(_) => {}
            Err(error) if error.class == Class::NotSignedIn => {
                return Over { reason: "your sign-in has ended".to_owned() };
            }
            Err(error) if due && error.class != Class::Away => {
                return Over { reason: "its time is up".to_owned() };
            }
            Err(error) => tracing::debug!(%error, "the session's state is not known just now"),
        }
        sleep(AT_MOST_EVERY).await;
    }
}

async fn until_asked_without_reason(streams: &Streams) {
    let since = Instant::now();
    loop {
        sleep(EVERY).await;
        if !streams.any() || since.elapsed() >= EVERY_BESIDE_STREAMS {
            return;
        }
    }
}

async fn keep_certificate(api: &Api, facts: &SessionFacts, identity: &SessionIdentity) -> Over {
    loop {
        let expires_at = identity.expires_at();
        if expires_at >= facts.ends_at {
            return std::future::pending().await;
        }
        sleep(until_renewal(expires_at.since(now()))).await;
        while let Err(error) = renew(api, facts, identity).await {
            tracing::debug!(%error, "certificate not renewed");
            // Refused: that the session is over is for the other loop to find out.
            identity.suspect();
            sleep(RETRY_RENEWAL).await;
        }
        tracing::debug!("certificate renewed");
    }
}

/// Of a certificate that is good for so long: in good time before its end, and never at once.
fn until_renewal(left: Duration) -> Duration {
    left.saturating_sub(RENEW_AHEAD.max(left / 4).min(left / 2))
}

async fn renew(api: &Api, facts: &SessionFacts, identity: &SessionIdentity) -> Result<(), ClientError> {
    let renewed = api.renew_certificate(facts.id, identity.request()?).await?;
    identity.renew(&renewed)
}

const fn is_over(view: &SessionView) -> bool {
    matches!(view.state, SessionState::Ending | SessionState::Ended | SessionState::Interrupted)
}

fn reason(view: SessionView) -> String {
    view.end_reason.filter(|reason| !reason.is_empty()).unwrap_or_else(|| "it was ended".to_owned())
}

async fn sleep_until(then: Timestamp) {
    sleep(then.since(now()) + Duration::from_millis(500)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn beside_open_streams_the_gateway_is_asked_seldom() {
        let (streams, began) = (Streams::default(), Instant::now());
        until_asked_without_reason(&streams).await;
        assert_eq!(began.elapsed(), EVERY);

        let (stream, began) = (streams.enter(), Instant::now());
        until_asked_without_reason(&streams).await;
        assert_eq!(began.elapsed(), EVERY_BESIDE_STREAMS);

        let began = Instant::now();
        let ends = async {
            sleep(EVERY * 2).await;
            drop(stream);
        };
        tokio::join!(until_asked_without_reason(&streams), ends);
        assert!(began.elapsed() <= EVERY * 3, "the last one ended");
    }

    #[test]
    fn a_certificate_is_renewed_in_good_time_and_never_at_once() {
        let minutes = |count: u64| Duration::from_secs(60 * count);
        for (left, wait) in [(60, 45), (16, 12), (4, 2)] {
            assert_eq!(until_renewal(minutes(left)), minutes(wait));
        }
        assert_eq!(until_renewal(Duration::from_secs(10)), Duration::from_secs(5));
        assert_eq!(until_renewal(Duration::ZERO), Duration::ZERO, "at its end there is nothing to wait for");
    }
}
