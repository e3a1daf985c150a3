//! A program in a container: asked, recorded and masked like one on a host, whatever its client and the cluster speak.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use hoop_engine::{
    Event, Question, RequestId,
    hosted::{Keep, Refused},
};
use hoop_hosted::{course, files::Files, mask::Veils, tally::Tally};
use hoop_model::{Fault, Timestamp};
use hoop_policy::{Channel, Permit};
use hoop_recording::event::{Direction, Form, Terminal};
use http::{HeaderMap, Request, Response, StatusCode, uri::PathAndQuery};
use hyper::{
    body::Incoming,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::time::Instant;

use crate::{
    answer::{self, Body},
    engine::Shared,
    fault, files,
    request::Exec,
    streams::{
        Agreed, Asked, FromClient, FromCluster, FromPod, StreamError, ToClient, ToCluster, ToPod, Upgrade,
        Wanted, client_exec, cluster_exec,
    },
    upstream::Streaming,
};

/// What a terminal is until its client says its size.
const TERMINAL: (&str, u32, u32) = ("xterm", 80, 24);
/// Time for words that the client may not be reading.
const WORDS: std::time::Duration = std::time::Duration::from_millis(300);

/// Asks, opens the cluster's end, and only then answers the client.
pub(crate) async fn run(
    shared: &Arc<Shared>,
    program: Exec,
    upgrade: Upgrade,
    mut request: Request<Incoming>,
    _: Permit,
) -> Result<Response<Body>, Fault> {
    let id = shared.course.next();
    let (name, columns, rows) = TERMINAL;
    let terminal =
        program.terminal.then(|| Terminal { name: Bytes::from_static(name.as_bytes()), columns, rows });
    let text = program.text();
    let files = files::of(&program.command, shared.settings.file_copies);
    let (form, question) = if program.command.is_empty() {
        (Form::Shell { terminal }, Question::Channel(Channel::Shell))
    } else {
        let question = Question::Command { text: text.clone(), moves_files: files.is_some() };
        (Form::Command { terminal }, question)
    };
    let permit = ask(shared, id, form, text, &question).await?;
    let began = shared.course.host.now();
    let path = path_of(&request);
    let opened = shared.upstream.stream(&path, Wanted::Exec, &shared.settings, &permit).await;
    let (cluster, agreed) = match open(shared, id, began, opened).await? {
        Ok(open) => open,
        Err(refused) => return Ok(refused),
    };
    let asked =
        Asked { stdin: program.stdin, stdout: program.stdout, stderr: program.stderr, tty: program.terminal };
    let program = Program {
        shared: Arc::clone(shared),
        id,
        began,
        tally: Tally::new(id, (!program.terminal).then_some(shared.settings.command_bytes)),
        has_terminal: program.terminal,
        files,
    };
    let client = hyper::upgrade::on(&mut request);
    let response = switching(&upgrade);
    shared.course.spawn(program.run(client, upgrade, (cluster, agreed), asked));
    Ok(response)
}

/// The upgrade that a client asks for; a stream without one is none.
pub(crate) fn upgrade_of(headers: &HeaderMap, wanted: Wanted) -> Result<Upgrade, Fault> {
    let upgrade = Upgrade::of(headers, wanted).map_err(|error| fault::request(&error.to_string()))?;
    upgrade.ok_or_else(|| fault::request("this request must ask for an upgrade, to SPDY/3.1 or to WebSocket"))
}

pub(crate) fn path_of(request: &Request<Incoming>) -> PathAndQuery {
    request.uri().path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"))
}

/// Asks policy, and says so if the session is over by now.
pub(crate) async fn ask(
    shared: &Shared,
    id: RequestId,
    form: Form,
    text: Bytes,
    question: &Question,
) -> Result<Permit, Fault> {
    shared.course.host.ask(id, form, text, question).await.map_err(|refused| {
        if let Refused::Over(fault) = &refused {
            shared.course.break_off(fault.clone());
        }
        refused.fault()
    })
}

/// The cluster's end, or the answer with which it refuses one: either way it is recorded.
pub(crate) async fn open(
    shared: &Shared,
    id: RequestId,
    began: Timestamp,
    opened: Result<Streaming, Fault>,
) -> Result<Result<(TokioIo<Upgraded>, Agreed), Response<Body>>, Fault> {
    let duration_us = shared.course.micros(began);
    match opened {
        Ok(Streaming::Open(io, agreed)) => Ok(Ok((io, agreed))),
        Ok(Streaming::Refused(refused)) if refused.status() == StatusCode::UNAUTHORIZED => {
            let fault = fault::credential("the cluster does not know it");
            shared.course.host.note(course::failed(id, &fault, duration_us), Keep::IfStrict).await?;
            Err(fault)
        }
        Ok(Streaming::Refused(refused)) => {
            let (mut head, body) = refused.into_parts();
            let message = words(&body).unwrap_or_else(|| head.status.to_string());
            let code = head.status.as_u16().to_string().into();
            let event = Event::Failed { id: Some(id), code, message: message.into(), duration_us };
            shared.course.host.note(event, Keep::IfStrict).await?;
            crate::call::clean(&mut head.headers);
            Ok(Err(Response::from_parts(head, answer::whole(body))))
        }
        Err(fault) => {
            shared.course.host.note(course::failed(id, &fault, duration_us), Keep::IfStrict).await?;
            Err(fault)
        }
    }
}

fn words(body: &[u8]) -> Option<String> {
    let status: Value = serde_json::from_slice(body).ok()?;
    Some(status.get("message")?.as_str()?.chars().take(500).collect())
}

/// From here on it is a stream.
pub(crate) fn switching(upgrade: &Upgrade) -> Response<Body> {
    let mut response = Response::new(answer::whole(Bytes::new()));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = upgrade.answer();
    response
}

/// A program that runs.
struct Program {
    shared: Arc<Shared>,
    id: RequestId,
    began: Timestamp,
    tally: Tally,
    /// What is typed is not kept then: where it is echoed it is part of what is shown, where it is not it is a secret.
    has_terminal: bool,
    /// What it does to files is read as it passes.
    files: Option<Files>,
}

/// Why moving stops.
enum Stop {
    /// The cluster has said how the program ended.
    Status(Bytes),
    /// It has ended without a word.
    Unsaid,
    /// The client has gone.
    Left,
    Fault(Fault),
}

impl Program {
    async fn run(
        self,
        client: OnUpgrade,
        upgrade: Upgrade,
        (cluster, agreed): (TokioIo<Upgraded>, Agreed),
        asked: Asked,
    ) {
        let connected = tokio::select! {
            biased;
            fault = self.shared.course.ended() => Err(fault),
            connected = self.connect(client, &upgrade, cluster, &agreed, asked) => connected,
        };
        let stop = match connected {
            Ok((from_client, to_client, from_cluster, to_cluster)) => {
                return self.relay(from_client, to_client, from_cluster, to_cluster).await;
            }
            Err(fault) => Stop::Fault(fault),
        };
        if let Err(fault) = self.tell_end(&stop).await {
            self.shared.course.break_off(fault);
        }
    }

    /// Both legs, with all their streams.
    async fn connect(
        &self,
        client: OnUpgrade,
        upgrade: &Upgrade,
        cluster: TokioIo<Upgraded>,
        agreed: &Agreed,
        asked: Asked,
    ) -> Result<(FromClient, ToClient, FromCluster, ToCluster), Fault> {
        let client = client.await.map_err(|_| fault::client_stream("it hung up"))?;
        let (client, driver) = client_exec(TokioIo::new(client), upgrade, asked);
        self.shared.course.spawn(async { drop(driver.await) });
        let (cluster, driver) = cluster_exec(cluster, agreed, asked);
        self.shared.course.spawn(async { drop(driver.await) });
        let (client, cluster) = tokio::join!(client.ready(), cluster.ready());
        let (from_client, to_client) = client.map_err(|error| fault::client_stream(&error.to_string()))?;
        let (from_cluster, to_cluster) =
            cluster.map_err(|error| fault::cluster_stream(&error.to_string()))?;
        Ok((from_client, to_client, from_cluster, to_cluster))
    }

    async fn relay(
        self,
        from_client: FromClient,
        mut to_client: ToClient,
        from_cluster: FromCluster,
        to_cluster: ToCluster,
    ) {
        let shared = Arc::clone(&self.shared);
        let veils = shared.mask.as_ref().map(|mask| Mutex::new(Veils::new(mask)));
        let stop = {
            let mut down = Down { program: &self, client: &mut to_client, veils: veils.as_ref() };
            tokio::select! {
                biased;
                fault = shared.course.ended() => Stop::Fault(fault),
                stop = down.run(from_cluster) => stop,
                stop = self.up(from_client, to_cluster) => stop,
            }
        };
        let counts = veils.as_ref().map(|veils| locked(veils).counts());
        let told = async {
            if let Some(files) = &self.files {
                files.finish(&shared.course).await?;
            }
            shared.course.tell_masked(self.id, counts.unwrap_or_default()).await?;
            self.tell_end(&stop).await
        };
        let recorded = told.await;
        let stop = match recorded {
            Ok(()) => stop,
            Err(fault) => {
                shared.course.break_off(fault.clone());
                Stop::Fault(fault)
            }
        };
        let _ = tokio::time::timeout(WORDS, self.say(stop, to_client)).await;
    }

    /// Tells the client how it ended, in the form that it expects.
    async fn say(&self, stop: Stop, mut client: ToClient) -> Result<(), StreamError> {
        match stop {
            Stop::Status(status) => client.send(FromPod::Status(status)).await?,
            Stop::Fault(fault) => {
                let words = hoop_engine::hosted::Shown::own_words(&fault).into_bytes();
                let words = if self.has_terminal { FromPod::Stdout(words) } else { FromPod::Stderr(words) };
                client.send(words).await?;
                client.send(FromPod::Status(answer::status(&fault))).await?;
            }
            Stop::Unsaid => {
                let fault = fault::cluster_stream("it did not say how the program ended");
                client.send(FromPod::Status(answer::status(&fault))).await?;
            }
            Stop::Left => {}
        }
        client.finish().await
    }

    async fn tell_end(&self, stop: &Stop) -> Result<(), Fault> {
        let duration_us = self.shared.course.micros(self.began);
        let completed = |tag: Bytes| Event::Completed {
            id: self.id,
            tag,
            rows: 0,
            bytes: self.tally.total(),
            duration_us,
        };
        let event = match stop {
            Stop::Status(status) => match exit_of(status) {
                Exit::Code(code) => completed(format!("exit {code}").into()),
                Exit::Failed(message) => Event::Failed {
                    id: Some(self.id),
                    code: Bytes::new(),
                    message: message.into(),
                    duration_us,
                },
            },
            Stop::Unsaid => completed("closed by the cluster".into()),
            Stop::Left => completed("closed by the client".into()),
            Stop::Fault(fault) => course::failed(self.id, fault, duration_us),
        };
        self.shared.course.host.note(event, Keep::IfStrict).await
    }

    /// From the client to the container.
    async fn up(&self, mut from_client: FromClient, mut to_cluster: ToCluster) -> Stop {
        loop {
            let piece = match from_client.next().await {
                Ok(Some(piece)) => piece,
                Ok(None) | Err(StreamError::Cut | StreamError::Closed) => return Stop::Left,
                Err(error) => return Stop::Fault(fault::client_stream(&error.to_string())),
            };
            if let Err(fault) = self.keep(&piece).await {
                return self.stop(fault);
            }
            if to_cluster.send(piece).await.is_err() {
                // What the cluster is about to say first is more than that it is gone: the other way sees its end.
                std::future::pending::<()>().await;
            }
        }
    }

    fn stop(&self, fault: Fault) -> Stop {
        if fault::ends_stream(&fault) {
            self.shared.course.break_off(fault.clone());
        }
        Stop::Fault(fault)
    }

    /// The recording has it before it goes on.
    async fn keep(&self, piece: &ToPod) -> Result<(), Fault> {
        let host = &self.shared.course.host;
        match piece {
            ToPod::Stdin(data) => {
                host.touch();
                if let Some(files) = &self.files {
                    files.up(&self.shared.course, data).await?;
                }
                if self.has_terminal || self.files.is_some() {
                    self.tally.count(data);
                } else if let Some(event) = self.tally.take(Direction::In, data).event() {
                    host.note(event, Keep::First).await?;
                }
                Ok(())
            }
            ToPod::Resize { columns, rows } => {
                let (columns, rows) = (u32::from(*columns), u32::from(*rows));
                host.note(Event::Resized { id: self.id, columns, rows }, Keep::IfStrict).await
            }
            ToPod::StdinEnd => Ok(()),
        }
    }
}

/// How a program ended, of a `Status`.
enum Exit {
    Code(i64),
    Failed(String),
}

fn exit_of(status: &[u8]) -> Exit {
    let Ok(status) = serde_json::from_slice::<Value>(status) else {
        return Exit::Failed("the cluster said what cannot be read".to_owned());
    };
    if status.get("status").and_then(Value::as_str) == Some("Success") {
        return Exit::Code(0);
    }
    let causes = status.pointer("/details/causes").and_then(Value::as_array);
    let code = causes.into_iter().flatten().find_map(|cause| {
        let is_code = cause.get("reason").and_then(Value::as_str) == Some("ExitCode");
        cause.get("message").filter(|_| is_code)?.as_str()?.parse().ok()
    });
    match code {
        Some(code) => Exit::Code(code),
        None => {
            let message = status.get("message").and_then(Value::as_str).unwrap_or("it failed");
            Exit::Failed(message.chars().take(500).collect())
        }
    }
}

/// From the container to the client.
struct Down<'a> {
    program: &'a Program,
    client: &'a mut ToClient,
    veils: Option<&'a Mutex<Veils<'a>>>,
}

impl Down<'_> {
    async fn run(&mut self, from_cluster: FromCluster) -> Stop {
        match self.move_all(from_cluster).await {
            Ok(stop) => stop,
            Err(fault) => self.program.stop(fault),
        }
    }

    async fn move_all(&mut self, mut from_cluster: FromCluster) -> Result<Stop, Fault> {
        loop {
            let due = self.veils.and_then(|veils| locked(veils).due());
            let piece = tokio::select! {
                biased;
                piece = from_cluster.next() => piece,
                () = until(due) => {
                    self.let_go(Some(Instant::now())).await?;
                    continue;
                }
            };
            match piece {
                Ok(Some(FromPod::Stdout(data))) => self.pass(data, Direction::Out).await?,
                Ok(Some(FromPod::Stderr(data))) => self.pass(data, Direction::Error).await?,
                Ok(Some(FromPod::Status(status))) => {
                    self.let_go(None).await?;
                    return Ok(Stop::Status(status));
                }
                Ok(None) => {
                    self.let_go(None).await?;
                    return Ok(Stop::Unsaid);
                }
                Err(error) => {
                    self.let_go(None).await?;
                    return Err(fault::cluster_stream(&error.to_string()));
                }
            }
        }
    }

    async fn pass(&mut self, data: Bytes, direction: Direction) -> Result<(), Fault> {
        let data = match self.veils {
            Some(veils) => locked(veils).push(direction, &data),
            None => data,
        };
        self.show(data, direction).await
    }

    async fn let_go(&mut self, now: Option<Instant>) -> Result<(), Fault> {
        let Some(veils) = self.veils else { return Ok(()) };
        let held = locked(veils).let_go(now);
        for (direction, data) in held {
            self.show(data, direction).await?;
        }
        Ok(())
    }

    async fn show(&mut self, data: Bytes, direction: Direction) -> Result<(), Fault> {
        if data.is_empty() {
            return Ok(());
        }
        let Program { shared, tally, files, .. } = self.program;
        let event = match files.as_ref().filter(|_| direction == Direction::Out) {
            Some(files) => {
                files.down(&shared.course, &data).await?;
                tally.count(&data);
                None
            }
            None => tally.take(direction, &data).event(),
        };
        let shown = shared.course.host.show(data, event).await?.into_bytes();
        let piece =
            if direction == Direction::Error { FromPod::Stderr(shown) } else { FromPod::Stdout(shown) };
        // A client that is gone is seen by the other way.
        let _ = self.client.send(piece).await;
        Ok(())
    }
}

fn locked<'v, 'm>(veils: &'v Mutex<Veils<'m>>) -> std::sync::MutexGuard<'v, Veils<'m>> {
    veils.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
