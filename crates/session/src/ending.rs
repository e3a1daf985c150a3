//! How a session is told to end: once, with a reason, heard by all its streams.

use hoop_model::Fault;
use tokio::sync::watch;

/// Hears the end.
#[derive(Debug, Clone)]
pub struct Ending(watch::Receiver<Option<Fault>>);

/// Says the end. Dropping it without a word ends nothing.
#[derive(Debug)]
pub struct Terminator(watch::Sender<Option<Fault>>);

/// A pair of the two.
#[must_use]
pub fn ending() -> (Terminator, Ending) {
    let (sender, receiver) = watch::channel(None);
    (Terminator(sender), Ending(receiver))
}

impl Terminator {
    /// Ends the session for this reason; the first reason stays.
    pub fn end(&self, reason: Fault) {
        self.0.send_if_modified(|now| {
            let first = now.is_none();
            now.get_or_insert(reason);
            first
        });
    }

    /// The reason, once it is over.
    #[must_use]
    pub fn reason(&self) -> Option<Fault> {
        self.0.borrow().clone()
    }

    /// Another ear.
    #[must_use]
    pub fn listen(&self) -> Ending {
        Ending(self.0.subscribe())
    }
}

impl Ending {
    /// Waits for the end. Cancel safe.
    pub async fn ended(mut self) -> Fault {
        loop {
            if let Some(reason) = self.0.borrow_and_update().clone() {
                return reason;
            }
            if self.0.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// The reason, if it is over already.
    #[must_use]
    pub fn reason(&self) -> Option<Fault> {
        self.0.borrow().clone()
    }
}
