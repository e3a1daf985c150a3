//! Moves the bytes of one channel, both ways at once: what the client sends is recorded and goes on, what the host says is
//! recorded and shown. Each way waits only for its own sink, and a channel that stands still holds up no other.

use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use hoop_engine::{
    Event, RequestId,
    hosted::{Keep, Shown},
};
use hoop_model::{Fault, Timestamp};
use hoop_recording::event::{Direction, Said};
use russh::{
    ChannelId, ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig,
    client::Msg as HostMsg,
    server::{Handle, Msg},
};

use crate::{
    content::{Source, Transfer, Unreadable},
    engine::Shared,
    fault,
    tally::Tally,
    upstream::{AtHost, Connection, signal_name},
};

/// Time for words that the client may not be reading.
const WORDS: std::time::Duration = std::time::Duration::from_millis(300);
/// The number of standard error among extended data (RFC 4254 §5.2).
const STDERR: u32 = 1;

/// A program that runs, and what is known of it.
pub(crate) struct Running {
    pub(crate) id: RequestId,
    pub(crate) began: Timestamp,
    pub(crate) connection: Connection,
    pub(crate) at_host: AtHost,
    pub(crate) tally: Tally,
    /// What the client types is not kept then: where it is echoed it is part of what is shown, where it is not it is a secret.
    pub(crate) has_terminal: bool,
    /// What it does to files is read as it passes.
    pub(crate) files: Option<Files>,
}

/// The way to the client of one channel. What goes there was recorded: that is what [`Shown`] says.
pub(crate) struct ToClient {
    id: ChannelId,
    handle: Handle,
    write: ChannelWriteHalf<Msg>,
}

impl ToClient {
    pub(crate) const fn new(id: ChannelId, handle: Handle, write: ChannelWriteHalf<Msg>) -> Self {
        Self { id, handle, write }
    }

    async fn output(&self, shown: Shown) -> Result<(), russh::Error> {
        self.write.data_bytes(shown.into_bytes()).await
    }

    /// On standard error. Waits for the client to take it.
    pub(crate) async fn error(&self, shown: Shown) -> Result<(), russh::Error> {
        self.write.extended_data_bytes(STDERR, shown.into_bytes()).await
    }

    /// The request is granted.
    pub(crate) async fn accept(&self) {
        let _ = self.handle.channel_success(self.id).await;
    }

    pub(crate) async fn exit_status(&self, status: u32) {
        let _ = self.handle.exit_status_request(self.id, status).await;
    }

    async fn exit_signal(&self, signal: Sig, core_dumped: bool) {
        let _ =
            self.handle.exit_signal_request(self.id, signal, core_dumped, String::new(), String::new()).await;
    }

    async fn eof(&self) {
        let _ = self.write.eof().await;
    }

    pub(crate) async fn close(&self) {
        let _ = self.write.close().await;
    }
}

/// How a program ended, as far as the host said it.
enum Exit {
    Status(u32),
    Signal(String),
    /// The host closed the channel without a word.
    Unsaid,
    /// The client closed it.
    Left,
}

/// Why moving stops.
enum Stop {
    Exit(Exit),
    Fault(Fault),
}

/// Runs to the end of the program, of the client's channel or of the session.
pub(crate) async fn run(shared: &Shared, running: Running, from_client: ChannelReadHalf, client: &ToClient) {
    let Running { id, began, connection, at_host, tally, has_terminal, files } = running;
    client.accept().await;
    let AtHost { read: from_host, write: to_host } = at_host;
    let (up, down) = (
        Up { shared, id, tally: &tally, has_terminal, to_host: &to_host, files: files.as_ref() },
        Down { shared, tally: &tally, client, files: files.as_ref() },
    );
    let stop = tokio::select! {
        biased;
        fault = shared.ended() => Stop::Fault(fault),
        stop = down.run(from_host) => stop,
        stop = up.run(from_client) => stop,
    };
    let _ = to_host.close().await;
    let (fault, exit) = match stop {
        Stop::Exit(exit) => (None, exit),
        Stop::Fault(fault) => (Some(fault), Exit::Unsaid),
    };
    let ended = async {
        if let Some(files) = &files {
            files.finish(shared).await?;
        }
        tell_end(shared, id, began, &tally, &exit, fault.as_ref()).await
    };
    if let Err(fault) = ended.await {
        shared.break_off(fault);
    }
    if let Some(fault) = &fault {
        let _ = tokio::time::timeout(WORDS, client.error(Shown::own_words(fault))).await;
        client.exit_status(255).await;
    } else if !matches!(exit, Exit::Left) {
        shared.upstreams.give_back(connection);
    }
    client.close().await;
}

async fn tell_end(
    shared: &Shared,
    id: RequestId,
    began: Timestamp,
    tally: &Tally,
    exit: &Exit,
    fault: Option<&Fault>,
) -> Result<(), Fault> {
    let duration_us = micros(shared, began);
    let event = match fault {
        Some(fault) => Event::Failed {
            id: Some(id),
            code: fault.code.to_string().into(),
            message: fault.message.clone().into(),
            duration_us,
        },
        None => {
            let tag: Bytes = match exit {
                Exit::Status(status) => format!("exit {status}").into(),
                Exit::Signal(signal) => format!("signal {signal}").into(),
                Exit::Unsaid => "closed by the host".into(),
                Exit::Left => "closed by the client".into(),
            };
            Event::Completed { id, tag, rows: 0, bytes: tally.total(), duration_us }
        }
    };
    shared.host.note(event, Keep::IfStrict).await
}

/// Since then.
pub(crate) fn micros(shared: &Shared, began: Timestamp) -> u64 {
    u64::try_from(shared.host.now().since(began).as_micros()).unwrap_or(u64::MAX)
}

/// From the client to the host.
struct Up<'a> {
    shared: &'a Shared,
    id: RequestId,
    tally: &'a Tally,
    has_terminal: bool,
    to_host: &'a ChannelWriteHalf<HostMsg>,
    files: Option<&'a Files>,
}

impl Up<'_> {
    async fn run(&self, mut from_client: ChannelReadHalf) -> Stop {
        while let Some(message) = from_client.wait().await {
            let moved = match message {
                ChannelMsg::Data { data } => self.input(data).await,
                ChannelMsg::Eof => self.to_host.eof().await.map_err(|_| fault::lost()),
                ChannelMsg::Signal { signal } => self.signal(signal).await,
                ChannelMsg::WindowChange { col_width, row_height, pix_width, pix_height } => {
                    self.resize((col_width, row_height), (pix_width, pix_height)).await
                }
                ChannelMsg::Close => break,
                _ => Ok(()),
            };
            if let Err(fault) = moved {
                return self.stop(fault).await;
            }
        }
        Stop::Exit(Exit::Left)
    }

    /// What the host is about to say first is more than that it is gone: the other way sees its end.
    async fn stop(&self, fault: Fault) -> Stop {
        if fault.code == fault::lost().code {
            std::future::pending::<()>().await;
        }
        if fault::ends_stream(&fault) {
            self.shared.break_off(fault.clone());
        }
        Stop::Fault(fault)
    }

    async fn input(&self, data: Bytes) -> Result<(), Fault> {
        self.shared.host.touch();
        if let Some(files) = self.files {
            files.up(self.shared, &data).await?;
        }
        if self.has_terminal {
            self.tally.count(&data);
        } else if let Some(event) = self.tally.take(Direction::In, &data).event() {
            self.shared.host.note(event, Keep::IfStrict).await?;
        }
        self.to_host.data_bytes(data).await.map_err(|_| fault::lost())
    }

    /// Known ones, and the recording has them first.
    async fn signal(&self, signal: Sig) -> Result<(), Fault> {
        self.shared.host.touch();
        let known = !matches!(signal, Sig::Custom(_));
        let name = signal_name(&signal);
        let text = if known { format!("signal {name}") } else { format!("signal {name} is not passed on") };
        self.shared.host.note(Event::Said { kind: Said::Notice, text: text.into() }, Keep::First).await?;
        if !known {
            return Ok(());
        }
        self.to_host.signal(signal).await.map_err(|_| fault::lost())
    }

    async fn resize(&self, (columns, rows): (u32, u32), pixels: (u32, u32)) -> Result<(), Fault> {
        let event = Event::Resized { id: self.id, columns, rows };
        self.shared.host.note(event, Keep::IfStrict).await?;
        let changed = self.to_host.window_change(columns, rows, pixels.0, pixels.1).await;
        changed.map_err(|_| fault::lost())
    }
}

/// From the host to the client.
struct Down<'a> {
    shared: &'a Shared,
    tally: &'a Tally,
    client: &'a ToClient,
    files: Option<&'a Files>,
}

impl Down<'_> {
    async fn run(&self, mut from_host: ChannelReadHalf) -> Stop {
        let mut exit = None;
        loop {
            let Some(message) = from_host.wait().await else {
                // Without a close it is the connection that is gone.
                return exit.map_or_else(|| Stop::Fault(fault::lost()), Stop::Exit);
            };
            let shown = match message {
                ChannelMsg::Data { data } => self.show(data, Direction::Out).await,
                ChannelMsg::ExtendedData { data, .. } => self.show(data, Direction::Error).await,
                ChannelMsg::Eof => {
                    self.client.eof().await;
                    Ok(())
                }
                ChannelMsg::ExitStatus { exit_status } => {
                    exit = Some(Exit::Status(exit_status));
                    self.client.exit_status(exit_status).await;
                    Ok(())
                }
                ChannelMsg::ExitSignal { signal_name: signal, core_dumped, .. } => {
                    let name = signal_name(&signal);
                    let signal =
                        if matches!(signal, Sig::Custom(_)) { Sig::Custom(name.clone()) } else { signal };
                    exit = Some(Exit::Signal(name));
                    self.client.exit_signal(signal, core_dumped).await;
                    Ok(())
                }
                ChannelMsg::Close => return Stop::Exit(exit.unwrap_or(Exit::Unsaid)),
                _ => Ok(()),
            };
            if let Err(fault) = shown {
                if fault::ends_stream(&fault) {
                    self.shared.break_off(fault.clone());
                }
                return Stop::Fault(fault);
            }
        }
    }

    async fn show(&self, data: Bytes, direction: Direction) -> Result<(), Fault> {
        if let Some(files) = self.files.filter(|_| direction == Direction::Out) {
            files.down(self.shared, &data).await?;
        }
        let event = self.tally.take(direction, &data).event();
        let shown = self.shared.host.show(data, event).await?;
        let sent = match direction {
            Direction::Error => self.client.error(shown).await,
            Direction::In | Direction::Out => self.client.output(shown).await,
        };
        // A client that is gone closes its channel; the other way sees that.
        let _ = sent;
        Ok(())
    }
}

/// What a transfer does to files, told to the recording: a request before it goes on, an answer before it is shown.
pub(crate) struct Files {
    /// What they are moved by.
    protocol: &'static str,
    transfer: Mutex<Option<Box<dyn Transfer>>>,
}

impl Source for Shared {
    fn next(&self) -> RequestId {
        self.next()
    }

    fn now(&self) -> Timestamp {
        self.host.now()
    }
}

impl Files {
    pub(crate) fn new(protocol: &'static str, transfer: Box<dyn Transfer>) -> Self {
        Self { protocol, transfer: Mutex::new(Some(transfer)) }
    }

    fn with(
        &self,
        read: impl FnOnce(&mut Box<dyn Transfer>) -> Result<Vec<Event>, Unreadable>,
    ) -> Result<Vec<Event>, Unreadable> {
        let mut transfer = self.transfer.lock().unwrap_or_else(PoisonError::into_inner);
        transfer.as_mut().map_or(Err(Unreadable), read)
    }

    async fn up(&self, shared: &Shared, data: &Bytes) -> Result<(), Fault> {
        let read = self.with(|transfer| transfer.up(data, shared));
        let events = read.map_err(|Unreadable| {
            fault::client(&format!("sends what is no {}, or too much of it at once", self.protocol))
        })?;
        // One wait is for all: the last request is kept after those before it.
        let last = events.iter().rposition(|event| matches!(event, Event::Request { .. }));
        for (at, event) in events.into_iter().enumerate() {
            let keep = if Some(at) == last { Keep::First } else { Keep::IfStrict };
            shared.host.note(event, keep).await?;
        }
        Ok(())
    }

    async fn down(&self, shared: &Shared, data: &Bytes) -> Result<(), Fault> {
        let events = self
            .with(|transfer| transfer.down(data, shared))
            .map_err(|Unreadable| fault::no_files(self.protocol))?;
        for event in events {
            shared.host.note(event, Keep::IfStrict).await?;
        }
        Ok(())
    }

    async fn finish(&self, shared: &Shared) -> Result<(), Fault> {
        let transfer = self.transfer.lock().unwrap_or_else(PoisonError::into_inner).take();
        for event in transfer.map(|transfer| transfer.finish(shared)).unwrap_or_default() {
            shared.host.note(event, Keep::IfStrict).await?;
        }
        Ok(())
    }
}
