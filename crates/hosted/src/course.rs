//! The course of one stream: its requests' numbers, its tasks, and the one reason why it ends.

use std::{
    future::Future,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use hoop_engine::{
    Event, RequestId, Timestamp,
    hosted::{Host, Keep},
};
use hoop_masking::Counts;
use hoop_model::Fault;
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// What all tasks of a stream share.
pub struct Course {
    /// Decisions, recording, target, clock and end.
    pub host: Host,
    /// Everything of this stream stops.
    pub stop: CancellationToken,
    tasks: TaskTracker,
    requests: AtomicU64,
    /// Once nothing may go on, why.
    broken: watch::Sender<Option<Fault>>,
}

impl Course {
    /// One that begins.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self {
            host,
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            requests: AtomicU64::new(0),
            broken: watch::channel(None).0,
        }
    }

    /// Numbers a request.
    pub fn next(&self) -> RequestId {
        RequestId(self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// Microseconds since then.
    #[must_use]
    pub fn micros(&self, began: Timestamp) -> u64 {
        u64::try_from(self.host.now().since(began).as_micros()).unwrap_or(u64::MAX)
    }

    /// Records what was masked of a request's output, if anything was.
    ///
    /// # Errors
    /// When the recording is broken.
    pub async fn tell_masked(&self, id: RequestId, counts: Counts) -> Result<(), Fault> {
        let counts: Vec<_> = counts.iter().map(|(kind, count)| (kind.name().to_owned(), count)).collect();
        if counts.is_empty() {
            return Ok(());
        }
        self.host.note(Event::Masked { id, counts }, Keep::IfStrict).await
    }

    /// Runs for as long as the stream does.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        // Boxed, or the task would have room for it twice: as what it was given, and as what it runs.
        let (stop, work) = (self.stop.clone(), Box::pin(work));
        self.tasks.spawn(async move {
            let _ = stop.run_until_cancelled(work).await;
        });
    }

    /// Waits for the tasks, at most so long.
    pub async fn finish(&self, longest: Duration) {
        self.tasks.close();
        let _ = tokio::time::timeout(longest, self.tasks.wait()).await;
    }

    /// The stream cannot go on: its recording is broken, mostly.
    pub fn break_off(&self, fault: Fault) {
        self.broken.send_modify(|broken| {
            broken.get_or_insert(fault);
        });
    }

    /// Waits for the end, whoever announces it.
    pub async fn ended(&self) -> Fault {
        let mut broken = self.broken.subscribe();
        let broken = async move {
            let fault = broken.wait_for(Option::is_some).await.map(|fault| fault.clone());
            match fault {
                Ok(Some(fault)) => fault,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            fault = broken => fault,
            fault = self.host.ended() => fault,
        }
    }
}

/// What the recording has of a request that ended by this.
#[must_use]
pub fn failed(id: RequestId, fault: &Fault, duration_us: u64) -> Event {
    let (code, message) = (fault.code.to_string().into(), fault.message.clone().into());
    Event::Failed { id: Some(id), code, message, duration_us }
}
