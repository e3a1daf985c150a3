//! Cancel requests of one session: from our key to the target's.

use std::{collections::HashMap, sync::Mutex};

use bytes::Bytes;
use hoop_engine::CancelKey;
use hoop_model::StreamId;
use hoop_session::CancelDesk;
use tokio::sync::mpsc;

/// Cancel requests that may wait to be sent: when a session is killed, one for each of its streams.
const WAITING: usize = crate::session::MOST_STREAMS;

/// The desk of one session. What it hands over is sent by whoever holds the receiver.
#[derive(Debug)]
pub(crate) struct SessionDesk {
    keys: Mutex<HashMap<StreamId, (CancelKey, Bytes)>>,
    out: mpsc::Sender<Bytes>,
}

impl SessionDesk {
    /// A desk, and the requests to send to its target.
    pub(crate) fn new() -> (Self, mpsc::Receiver<Bytes>) {
        let (out, requests) = mpsc::channel(WAITING);
        (Self { keys: Mutex::default(), out }, requests)
    }

    fn send(&self, request: Bytes) {
        if self.out.try_send(request).is_err() {
            tracing::warn!("a cancel request was not sent: too many wait already");
        }
    }
}

impl CancelDesk for SessionDesk {
    fn cancel(&self, key: &CancelKey) {
        let Ok(keys) = self.keys.lock() else { return };
        let known = keys.values().find(|(mine, _)| {
            mine.process == key.process
                && aws_lc_rs::constant_time::verify_slices_are_equal(&mine.secret, &key.secret).is_ok()
        });
        if let Some((_, request)) = known {
            self.send(request.clone());
        }
    }

    fn register(&self, stream: StreamId, key: CancelKey, target_request: Bytes) {
        if let Ok(mut keys) = self.keys.lock() {
            keys.insert(stream, (key, target_request));
        }
    }

    fn forget(&self, stream: StreamId, working: bool) {
        let forgotten = self.keys.lock().ok().and_then(|mut keys| keys.remove(&stream));
        if let Some((_, request)) = forgotten
            && working
        {
            self.send(request);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(secret: &'static [u8]) -> CancelKey {
        CancelKey { process: 7, secret: Bytes::from_static(secret) }
    }

    #[test]
    fn only_the_right_key_cancels_and_only_while_its_stream_lives() {
        let (desk, mut requests) = SessionDesk::new();
        desk.register(StreamId(1), key(b"good"), Bytes::from_static(b"cancel 1"));
        desk.cancel(&key(b"evil"));
        desk.cancel(&CancelKey { process: 8, secret: Bytes::from_static(b"good") });
        assert!(requests.try_recv().is_err());
        desk.cancel(&key(b"good"));
        assert_eq!(requests.try_recv().unwrap(), "cancel 1");
        desk.forget(StreamId(1), false);
        desk.cancel(&key(b"good"));
        assert!(requests.try_recv().is_err());
    }

    #[test]
    fn a_session_that_is_killed_cancels_the_work_of_all_its_streams() {
        let (desk, mut requests) = SessionDesk::new();
        let streams = 0..u32::try_from(crate::session::MOST_STREAMS).unwrap();
        for stream in streams.clone() {
            desk.register(StreamId(stream), key(b"good"), Bytes::from_static(b"cancel"));
        }
        streams.clone().for_each(|stream| desk.forget(StreamId(stream), true));
        let sent = std::iter::from_fn(|| requests.try_recv().ok()).count();
        assert_eq!(sent, streams.len());
    }

    #[test]
    fn a_stream_that_leaves_work_behind_cancels_it() {
        let (desk, mut requests) = SessionDesk::new();
        desk.register(StreamId(1), key(b"good"), Bytes::from_static(b"cancel 1"));
        desk.forget(StreamId(1), true);
        assert_eq!(requests.try_recv().unwrap(), "cancel 1");
    }
}
