//! What moves the bytes of a leg.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use super::{LINGER, StreamError, UNREAD, pipe::Connection};

/// Moves the bytes of one leg while it is polled. It ends when the peer has gone, or all handles of the leg have and what they said is
/// out; a cluster that does not take that is given some seconds, a client some minutes. Dropping it cuts the connection.
#[must_use = "a leg stands still while nobody polls its driver"]
pub struct Driver(Pin<Box<dyn Future<Output = Result<(), StreamError>> + Send>>);

impl std::fmt::Debug for Driver {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Driver")
    }
}

impl Future for Driver {
    type Output = Result<(), StreamError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(context)
    }
}

impl Driver {
    pub(super) fn new(future: impl Future<Output = Result<(), StreamError>> + Send + 'static) -> Self {
        Self(Box::pin(future))
    }
}

/// Which side of a connection is ours, and so who closes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The peer is a client. All is said when each stream has ended, whatever the client may still say, or when nobody is left. Then
    /// the client closes: some lose what they have not taken yet when the connection ends.
    Server,
    /// As before, but more streams may come as long as somebody is there.
    ServerOfMany,
    /// The peer is a cluster. We close when nobody is left.
    Client,
}

impl Side {
    pub(super) fn is_server(self) -> bool {
        self != Self::Client
    }
}

/// Reads and writes until one of both is over. `read` ends when the peer has closed, `write` when all is said.
pub(super) async fn both(
    connection: &Arc<Connection>,
    side: Side,
    read: impl Future<Output = Result<(), StreamError>>,
    write: impl Future<Output = Result<(), StreamError>>,
) -> Result<(), StreamError> {
    let mut read = std::pin::pin!(read);
    let too_long = async {
        connection.abandoned.cancelled().await;
        tokio::time::sleep(if side.is_server() { UNREAD } else { LINGER }).await;
    };
    let mut too_long = std::pin::pin!(too_long);
    let said = tokio::select! {
        biased;
        closed = &mut read => return closed,
        said = write => said,
        () = &mut too_long => return Ok(()),
    };
    if let Err(error) = said {
        // A peer that hears nothing any more has often said something before: how its command ended.
        connection.unheard.cancel();
        return tokio::select! {
            biased;
            closed = read => closed,
            () = connection.abandoned.cancelled() => Err(error),
        };
    }
    connection.draining.cancel();
    if side.is_server() {
        // Whatever it still sends is of no interest, and neither is how it ends.
        let _ = tokio::time::timeout(LINGER, read).await;
    }
    Ok(())
}

/// Tells the streams how it ended, also when the driver is dropped.
pub(super) struct Ending(pub(super) Arc<Connection>);

impl Ending {
    pub(super) fn with(&self, result: &Result<(), StreamError>) {
        self.0.end(result.clone().err().unwrap_or(StreamError::Closed));
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.end(StreamError::Cut);
    }
}
