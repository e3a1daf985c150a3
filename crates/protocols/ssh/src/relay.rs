//! Moves the bytes of one channel, both ways at once: what the client sends is recorded and goes on, what the host says is
//! recorded and shown. Each way waits only for its own sink, and a channel that stands still holds up no other.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

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
use tokio::time::{Instant, timeout_at};

use crate::{
    backlog::FromClient,
    course,
    engine::Shared,
    fault,
    files::Files,
    locked,
    machine::{Input, Output},
    mask::Veils,
    tally::Tally,
    upstream::{Connection, signal_name},
};

/// Time for words that the client may not be reading.
const WORDS: Duration = Duration::from_millis(300);
/// A host that has told a program's end, and the end of its output, is waited for no longer.
const LINGER: Duration = Duration::from_secs(1);
/// The end of output is passed on after so long, if the program's own end does not come meanwhile, and only to a client that has
/// more to send: one with both ends behind it may close the channel, and would not hear how the program ended. OpenSSH's
/// shared connections do. Who has nothing more to send waits for the program in any case.
const SILENCE: Duration = Duration::from_millis(200);
/// The number of standard error among extended data (RFC 4254 §5.2).
pub(crate) const STDERR: u32 = 1;

/// A program that runs, and what is known of it.
pub(crate) struct Running {
    pub(crate) id: RequestId,
    pub(crate) began: Timestamp,
    /// To the host that it runs on, if that is another machine than the agent's.
    pub(crate) connection: Option<Connection>,
    pub(crate) from: FromProgram,
    pub(crate) to: ToProgram,
    pub(crate) tally: Tally,
    /// What the client types is not kept then: where it is echoed it is part of what is shown, where it is not it is a secret.
    pub(crate) has_terminal: bool,
    /// What it does to files is read as it passes.
    pub(crate) files: Option<Files>,
}

/// What the program says: on a host, or on the agent's own machine.
pub(crate) enum FromProgram {
    Host(ChannelReadHalf),
    Machine(Output),
}

impl FromProgram {
    async fn wait(&mut self) -> Option<ChannelMsg> {
        match self {
            Self::Host(read) => read.wait().await,
            Self::Machine(output) => output.wait().await,
        }
    }
}

/// The way to it.
pub(crate) enum ToProgram {
    Host(ChannelWriteHalf<HostMsg>),
    Machine(Input),
}

impl ToProgram {
    async fn data(&self, data: Bytes) -> Result<(), Fault> {
        match self {
            Self::Host(write) => write.data_bytes(data).await.map_err(|_| fault::lost()),
            Self::Machine(input) => {
                input.data(&data).await;
                Ok(())
            }
        }
    }

    async fn eof(&self) -> Result<(), Fault> {
        match self {
            Self::Host(write) => write.eof().await.map_err(|_| fault::lost()),
            Self::Machine(input) => {
                input.eof().await;
                Ok(())
            }
        }
    }

    async fn signal(&self, signal: Sig) -> Result<(), Fault> {
        match self {
            Self::Host(write) => write.signal(signal).await.map_err(|_| fault::lost()),
            Self::Machine(input) => {
                input.signal(&signal).await;
                Ok(())
            }
        }
    }

    async fn resize(&self, (columns, rows): (u32, u32), pixels: (u32, u32)) -> Result<(), Fault> {
        match self {
            Self::Host(write) => {
                let changed = write.window_change(columns, rows, pixels.0, pixels.1).await;
                changed.map_err(|_| fault::lost())
            }
            Self::Machine(input) => {
                input.resize(columns, rows, pixels).await;
                Ok(())
            }
        }
    }

    async fn close(&self) {
        match self {
            Self::Host(write) => drop(write.close().await),
            Self::Machine(input) => input.close().await,
        }
    }
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

    /// How the program ended, as far as the host said it.
    async fn exit(&self, exit: &Exit) {
        match exit {
            Exit::Status(status) => self.exit_status(*status).await,
            Exit::Signal { signal, core_dumped, .. } => {
                let (handle, signal) = (&self.handle, signal.clone());
                let _ = handle
                    .exit_signal_request(self.id, signal, *core_dumped, String::new(), String::new())
                    .await;
            }
            Exit::Unsaid | Exit::Left => {}
        }
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
    Signal {
        name: String,
        signal: Sig,
        core_dumped: bool,
    },
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

/// Which ways of a channel have said that nothing more comes.
#[derive(Default)]
struct Ends {
    /// The client's input.
    input: AtomicBool,
    /// The program's output, and the client was told.
    output: AtomicBool,
}

impl Ends {
    fn has_input(&self) -> bool {
        !self.input.load(Ordering::Acquire)
    }

    /// A client that closes then has heard and said all there is: it does not end the program, as with OpenSSH's server.
    fn are_all_told(&self) -> bool {
        !self.has_input() && self.output.load(Ordering::Acquire)
    }
}

/// Runs to the end of the program, of the client's channel or of the session.
pub(crate) async fn run(shared: &Shared, running: Running, from_client: FromClient, client: &ToClient) {
    let Running { id, began, connection, from, to, tally, has_terminal, files } = running;
    client.accept().await;
    let veils = shared.mask.as_ref().map(|mask| Mutex::new(Veils::new(mask)));
    let ends = Ends::default();
    let (up, down) = (
        Up { shared, id, tally: &tally, has_terminal, to: &to, files: files.as_ref(), ends: &ends },
        Down { shared, tally: &tally, client, files: files.as_ref(), veils: veils.as_ref(), ends: &ends },
    );
    let over = from_client.over();
    let stop = tokio::select! {
        biased;
        fault = shared.course.ended() => Stop::Fault(fault),
        () = over.cancelled() => Stop::Fault(fault::unread()),
        () = shared.gone.cancelled() => Stop::Exit(Exit::Left),
        stop = down.run(from) => stop,
        stop = up.run(from_client) => stop,
    };
    // A host that takes nothing does not keep the end from being told.
    let _ = tokio::time::timeout(WORDS, to.close()).await;
    let (fault, exit) = match stop {
        Stop::Exit(exit) => (None, exit),
        Stop::Fault(fault) => (Some(fault), Exit::Unsaid),
    };
    let ended = async {
        if let Some(files) = &files {
            files.finish(&shared.course).await?;
        }
        if let Some(veils) = &veils {
            let counts = locked(veils).counts();
            shared.course.tell_masked(id, counts).await?;
        }
        tell_end(shared, id, began, &tally, &exit, fault.as_ref()).await
    };
    let recorded = ended.await;
    let is_recorded = recorded.is_ok();
    if let Err(fault) = recorded {
        shared.course.break_off(fault);
    }
    if let Some(fault) = &fault {
        let _ = tokio::time::timeout(WORDS, client.error(Shown::own_words(fault))).await;
        client.exit_status(255).await;
    } else if is_recorded {
        client.exit(&exit).await;
        if let (Ok(hosts), Some(connection)) = (shared.upstream.hosts(), connection)
            && !matches!(exit, Exit::Left)
        {
            hosts.give_back(connection);
        }
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
    let duration_us = shared.course.micros(began);
    let event = match fault {
        Some(fault) => course::failed(id, fault, duration_us),
        None => {
            let tag: Bytes = match exit {
                Exit::Status(status) => format!("exit {status}").into(),
                Exit::Signal { name, .. } => format!("signal {name}").into(),
                Exit::Unsaid => "closed by the host".into(),
                Exit::Left => "closed by the client".into(),
            };
            Event::Completed { id, tag, rows: 0, bytes: tally.total(), duration_us }
        }
    };
    shared.course.host.note(event, Keep::IfStrict).await
}

/// From the client to the host.
struct Up<'a> {
    shared: &'a Shared,
    id: RequestId,
    tally: &'a Tally,
    has_terminal: bool,
    to: &'a ToProgram,
    files: Option<&'a Files>,
    ends: &'a Ends,
}

impl Up<'_> {
    async fn run(&self, mut from_client: FromClient) -> Stop {
        while let Some(message) = from_client.wait().await {
            let moved = match message {
                ChannelMsg::Data { data } => self.input(data).await,
                ChannelMsg::Eof => {
                    self.ends.input.store(true, Ordering::Release);
                    self.to.eof().await
                }
                ChannelMsg::Signal { signal } => self.signal(signal).await,
                ChannelMsg::WindowChange { col_width, row_height, pix_width, pix_height } => {
                    self.resize((col_width, row_height), (pix_width, pix_height)).await
                }
                // The other way sees the program's end.
                ChannelMsg::Close if self.ends.are_all_told() => std::future::pending().await,
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
            self.shared.course.break_off(fault.clone());
        }
        Stop::Fault(fault)
    }

    async fn input(&self, data: Bytes) -> Result<(), Fault> {
        self.shared.course.host.touch();
        if let Some(files) = self.files {
            files.up(&self.shared.course, &data).await?;
        }
        if self.has_terminal {
            self.tally.count(&data);
        } else if let Some(event) = self.tally.take(Direction::In, &data).event() {
            // A script on a program's input is as much a request as its command line.
            self.shared.course.host.note(event, Keep::First).await?;
        }
        self.to.data(data).await
    }

    /// Known ones, and the recording has them first.
    async fn signal(&self, signal: Sig) -> Result<(), Fault> {
        self.shared.course.host.touch();
        let known = !matches!(signal, Sig::Custom(_));
        let name = signal_name(&signal);
        let text = if known { format!("signal {name}") } else { format!("signal {name} is not passed on") };
        self.shared
            .course
            .host
            .note(Event::Said { kind: Said::Notice, text: text.into() }, Keep::First)
            .await?;
        if !known {
            return Ok(());
        }
        self.to.signal(signal).await
    }

    async fn resize(&self, (columns, rows): (u32, u32), pixels: (u32, u32)) -> Result<(), Fault> {
        let event = Event::Resized { id: self.id, columns, rows };
        self.shared.course.host.note(event, Keep::IfStrict).await?;
        self.to.resize((columns, rows), pixels).await
    }
}

/// From the host to the client.
struct Down<'a> {
    shared: &'a Shared,
    tally: &'a Tally,
    client: &'a ToClient,
    files: Option<&'a Files>,
    veils: Option<&'a Mutex<Veils<'a>>>,
    ends: &'a Ends,
}

impl Down<'_> {
    async fn run(&self, from: FromProgram) -> Stop {
        match self.move_all(from).await {
            Ok(exit) => Stop::Exit(exit),
            Err(fault) => {
                if fault::ends_stream(&fault) {
                    self.shared.course.break_off(fault.clone());
                }
                Stop::Fault(fault)
            }
        }
    }

    /// To the program's end. It is passed on by whoever has recorded it.
    async fn move_all(&self, mut from: FromProgram) -> Result<Exit, Fault> {
        let (mut exit, mut silence) = (None, None);
        loop {
            let due = match (silence, &exit) {
                (Some(since), None) => self.ends.has_input().then_some(since + SILENCE),
                (Some(since), Some(_)) => Some(since + LINGER),
                (None, _) => self.veils.and_then(|veils| locked(veils).due()),
            };
            let message = match due {
                None => from.wait().await,
                Some(due) => match timeout_at(due, from.wait()).await {
                    Ok(message) => message,
                    Err(_) if silence.is_some() && exit.is_some() => Some(ChannelMsg::Close),
                    Err(_) => {
                        if silence.is_some() && !self.ends.has_input() {
                            continue;
                        }
                        if silence.take().is_some() {
                            self.ends.output.store(true, Ordering::Release);
                            self.client.eof().await;
                        }
                        self.let_go(Some(Instant::now())).await?;
                        continue;
                    }
                },
            };
            match message {
                Some(ChannelMsg::Data { data }) => self.pass(data, Direction::Out).await?,
                Some(ChannelMsg::ExtendedData { data, .. }) => self.pass(data, Direction::Error).await?,
                Some(ChannelMsg::Eof) => {
                    self.let_go(None).await?;
                    silence = Some(Instant::now());
                }
                Some(ChannelMsg::ExitStatus { exit_status }) => {
                    exit = Some(Exit::Status(exit_status));
                    silence = silence.map(|_| Instant::now());
                }
                Some(ChannelMsg::ExitSignal { signal_name: signal, core_dumped, .. }) => {
                    let name = signal_name(&signal);
                    let signal =
                        if matches!(signal, Sig::Custom(_)) { Sig::Custom(name.clone()) } else { signal };
                    exit = Some(Exit::Signal { name, signal, core_dumped });
                    silence = silence.map(|_| Instant::now());
                }
                Some(ChannelMsg::Close) => {
                    self.let_go(None).await?;
                    return Ok(exit.unwrap_or(Exit::Unsaid));
                }
                // Without a close it is the connection that is gone.
                None => {
                    self.let_go(None).await?;
                    return exit.ok_or_else(fault::lost);
                }
                Some(_) => {}
            }
        }
    }

    /// What the host says, masked where the rule says so.
    async fn pass(&self, data: Bytes, direction: Direction) -> Result<(), Fault> {
        match self.veils {
            Some(veils) => {
                let data = locked(veils).push(direction, &data);
                self.show(data, direction).await
            }
            None => self.show(data, direction).await,
        }
    }

    /// Shows what has been held back for too long by now, or all of it.
    async fn let_go(&self, now: Option<Instant>) -> Result<(), Fault> {
        let Some(veils) = self.veils else { return Ok(()) };
        let held = locked(veils).let_go(now);
        for (direction, data) in held {
            self.show(data, direction).await?;
        }
        Ok(())
    }

    async fn show(&self, data: Bytes, direction: Direction) -> Result<(), Fault> {
        if data.is_empty() {
            return Ok(());
        }
        if let Some(files) = self.files.filter(|_| direction == Direction::Out) {
            files.down(&self.shared.course, &data).await?;
        }
        let event = self.tally.take(direction, &data).event();
        let shown = self.shared.course.host.show(data, event).await?;
        let sent = match direction {
            Direction::Error => self.client.error(shown).await,
            Direction::In | Direction::Out => self.client.output(shown).await,
        };
        // A client that is gone closes its channel; the other way sees that.
        let _ = sent;
        Ok(())
    }
}
