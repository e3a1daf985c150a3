//! Carries bytes between the client's stream and a hosted engine. Both ways are bounded, and neither waits for the other.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncWrite, DuplexStream};

use crate::{Activity, Pipe, slab};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// The source has ended; the sink is being told.
    Ending,
    Ended,
}

/// The two streams, and what one did not take yet.
pub(crate) struct Crossing<C> {
    client: C,
    engine: DuplexStream,
    up: BytesMut,
    down: VecDeque<Bytes>,
    up_way: Way,
    down_way: Way,
    unflushed: bool,
    activity: Arc<Activity>,
    carried: (u64, u64),
}

impl<C: Pipe> Crossing<C> {
    pub(crate) fn new(client: C, engine: DuplexStream, activity: Arc<Activity>) -> Self {
        Self {
            client,
            engine,
            up: BytesMut::new(),
            down: VecDeque::new(),
            up_way: Way::Open,
            down_way: Way::Open,
            unflushed: false,
            activity,
            carried: (0, 0),
        }
    }

    /// Bytes from the client, and to it.
    pub(crate) const fn carried(&self) -> (u64, u64) {
        self.carried
    }

    /// Ready when all that the engine said is with the client, or the client is gone.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            let progress = self.poll_up(cx) | self.poll_down(cx);
            if self.down_way == Way::Ended {
                return Poll::Ready(());
            }
            if !progress {
                return Poll::Pending;
            }
        }
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        if self.up.is_empty() && self.up_way == Way::Open {
            let client = &mut self.client;
            match slab::read_into(&mut self.up, |slab| client.poll_read(cx, slab)) {
                Poll::Pending => {}
                Poll::Ready(Ok(0)) => (self.up_way, progress) = (Way::Ending, true),
                Poll::Ready(Ok(count)) => {
                    self.carried.0 += count as u64;
                    self.activity.bytes_in.fetch_add(count as u64, Ordering::Relaxed);
                    progress = true;
                }
                Poll::Ready(Err(_)) => {
                    self.client_is_gone();
                    return true;
                }
            }
        } else {
            self.client.poll_idle(cx);
        }
        if !self.up.is_empty() {
            match Pin::new(&mut self.engine).poll_write(cx, &self.up) {
                Poll::Pending => {}
                Poll::Ready(Ok(count)) => {
                    drop(self.up.split_to(count));
                    progress = true;
                }
                // The engine hears no more; what it said is still to be carried.
                Poll::Ready(Err(_)) => {
                    self.up.clear();
                    self.up_way = Way::Ended;
                }
            }
        }
        if self.up_way == Way::Ending
            && self.up.is_empty()
            && Pin::new(&mut self.engine).poll_shutdown(cx).is_ready()
        {
            self.up_way = Way::Ended;
        }
        progress
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        if self.down.is_empty() && self.down_way == Way::Open {
            let (engine, mut said) = (&mut self.engine, BytesMut::new());
            let read = slab::read_into(&mut said, |slab| {
                tokio_util::io::poll_read_buf(Pin::new(&mut *engine), cx, slab)
            });
            match read {
                Poll::Pending => {}
                Poll::Ready(Ok(0) | Err(_)) => (self.down_way, progress) = (Way::Ending, true),
                Poll::Ready(Ok(_)) => {
                    self.down.push_back(said.freeze());
                    progress = true;
                }
            }
        }
        while !self.down.is_empty() {
            match self.client.poll_write(cx, &mut self.down) {
                Poll::Pending => break,
                Poll::Ready(Ok(count)) => {
                    self.carried.1 += count as u64;
                    self.activity.bytes_out.fetch_add(count as u64, Ordering::Relaxed);
                    (self.unflushed, progress) = (true, true);
                }
                Poll::Ready(Err(_)) => {
                    self.client_is_gone();
                    return true;
                }
            }
        }
        if self.unflushed && self.client.poll_flush(cx).is_ready() {
            self.unflushed = false;
        }
        if self.down_way == Way::Ending
            && self.down.is_empty()
            && !self.unflushed
            && self.client.poll_shutdown(cx).is_ready()
        {
            (self.down_way, progress) = (Way::Ended, true);
        }
        progress
    }

    fn client_is_gone(&mut self) {
        self.up.clear();
        self.down.clear();
        (self.up_way, self.down_way) = (Way::Ended, Way::Ended);
    }
}
