//! One request: read, asked, sent, and its answer recorded as it passes.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::stream;
use hoop_engine::{
    Event, Question, RequestId,
    hosted::{Keep, Refused},
};
use hoop_hosted::{course, mask::Veils, tally::Tally};
use hoop_model::{Fault, Timestamp};
use hoop_policy::{KnownLabels, Permit};
use hoop_recording::event::{Direction, Form, Parameter, Said};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header, request::Parts};
use http_body_util::{BodyExt, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};

use crate::{
    answer::{self, Body, Broken},
    engine::Shared,
    exec, fault, fields, forward, identity,
    request::{self, Kind, Read},
    secrets::{self, Hiding},
    streams::Wanted,
};

/// What may be written at once, bytes: as much as an API server takes.
const LARGEST: usize = 3 << 20;
/// From a request's head to the end of its body.
const BODY: Duration = Duration::from_secs(60);
/// Pieces of an answer that wait for the client.
const PIECES: usize = 4;
/// Bytes of an object that is looked up for its labels.
const OBJECT: usize = 2 << 20;
/// MiB that a request holds which writes, or looks at an object; and one whose answer hides something.
const WRITING: u32 = 5;
const HIDING: u32 = 32;
/// Bytes of words about a failure that are recorded.
const MESSAGE: usize = 2 << 10;

/// Answers a request, whatever comes of it.
pub(crate) async fn answer(shared: &Arc<Shared>, request: Request<Incoming>) -> Response<Body> {
    shared.course.host.touch();
    let path = request.uri().path().to_owned();
    match take(shared, request).await {
        Ok(response) => response,
        Err(fault) => {
            if fault::ends_stream(&fault) && !fault.code.as_str().starts_with("HOOP-20") {
                shared.course.break_off(fault.clone());
            }
            answer::of(&fault, &path)
        }
    }
}

async fn take(shared: &Arc<Shared>, mut request: Request<Incoming>) -> Result<Response<Body>, Fault> {
    let id = shared.course.next();
    let read = request::read(request.method(), request.uri(), request.headers());
    let path = path_of(&request);
    let read = match read {
        Ok(read) => read,
        Err(why) => {
            let fault = fault::unclear(&why);
            let text = format!("{} {path}", request.method());
            shared.course.host.refuse(id, Form::Api, short(&text), &fault).await?;
            return Err(fault);
        }
    };
    // Before anything is taken out: how the client wants to stream stands in such headers, too.
    let asked = request.headers().clone();
    tell_claims(shared, &identity::strip(request.headers_mut())).await?;
    match read.kind.clone() {
        Kind::Call => {
            let (parts, body) = request.into_parts();
            call(shared, Call { id, read, path }, parts, body).await
        }
        Kind::Exec(program) => {
            let upgrade = match exec::upgrade_of(&asked, Wanted::Exec) {
                Ok(upgrade) => upgrade,
                Err(fault) => return refuse(shared, id, &read, fault).await,
            };
            let permit = may_stream(shared, id, &path, read).await?;
            exec::run(shared, program, upgrade, request, permit).await
        }
        Kind::Forward(ports) => {
            let upgrade = match exec::upgrade_of(&asked, Wanted::PortForward) {
                Ok(upgrade) => upgrade,
                Err(fault) => return refuse(shared, id, &read, fault).await,
            };
            let permit = may_stream(shared, id, &path, read).await?;
            forward::run(shared, &ports, upgrade, request, permit).await
        }
    }
}

/// That a stream may be asked for; what it runs or reaches is a request of its own.
async fn may_stream(shared: &Shared, id: RequestId, path: &str, read: Read) -> Result<Permit, Fault> {
    let began = shared.course.host.now();
    let permit = permitted(shared, id, path, read, Vec::new()).await?;
    let duration_us = shared.course.micros(began);
    let event = Event::Completed { id, tag: Bytes::from_static(b"allowed"), rows: 0, bytes: 0, duration_us };
    shared.course.host.note(event, Keep::IfStrict).await?;
    Ok(permit)
}

/// What is refused before policy is asked stands in the recording like what policy refuses.
async fn refuse(shared: &Shared, id: RequestId, read: &Read, fault: Fault) -> Result<Response<Body>, Fault> {
    let text = read.request.to_string();
    shared.course.host.refuse(id, Form::Api, short(&text), &fault).await?;
    Err(fault)
}

fn path_of<B>(request: &Request<B>) -> String {
    request.uri().path_and_query().map(ToString::to_string).unwrap_or_default()
}

fn short(text: &str) -> Bytes {
    text.chars().take(MESSAGE).collect::<String>().into()
}

/// What a client says of who it is stands in the recording; it goes no further.
async fn tell_claims(shared: &Shared, claims: &[String]) -> Result<(), Fault> {
    // A client that has a token sends it with every request: to say so once a connection is enough.
    let fresh = {
        let mut told = shared.told.lock().unwrap_or_else(PoisonError::into_inner);
        claims.iter().filter(|name| !identity::is_proof(name) || told.insert((*name).clone())).count()
    };
    if fresh == 0 {
        return Ok(());
    }
    let text = format!("the client says who it is ({}); that is not passed on", claims.join(", "));
    shared.course.host.note(Event::Said { kind: Said::Notice, text: text.into() }, Keep::First).await
}

/// A request that is asked and answered.
struct Call {
    id: RequestId,
    read: Read,
    path: String,
}

/// Asks policy; the recording has the request then, and what it writes.
pub(crate) async fn permitted(
    shared: &Shared,
    id: RequestId,
    path: &str,
    mut read: Read,
    fields: Vec<String>,
) -> Result<Permit, Fault> {
    let text = read.request.to_string();
    if shared.rules.want_labels(&read.request) {
        read.request.labels = match labels(shared, &read).await {
            Ok(labels) => labels,
            Err(fault) => {
                shared.course.host.refuse(id, Form::Api, short(&text), &fault).await?;
                return Err(fault);
            }
        };
    }
    let parameter = |text: String| Parameter { binary: false, value: Some(text.into()) };
    let parameters = std::iter::once(path.to_owned()).chain(fields).map(parameter).collect();
    let question = Question::Cluster(read.request);
    let asked = shared.course.host.ask_about(id, (Form::Api, short(&text), parameters), &question).await;
    asked.map_err(|refused| {
        if let Refused::Over(fault) = &refused {
            shared.course.break_off(fault.clone());
        }
        refused.fault()
    })
}

/// The labels of the object that a request is about, as the person may see them. One that is not there has none.
async fn labels(shared: &Shared, read: &Read) -> Result<KnownLabels, Fault> {
    let path =
        read.object.clone().ok_or_else(|| fault::request("the object's labels cannot be looked up"))?;
    let object = shared.upstream.look(Method::GET, &path, Bytes::new(), OBJECT).await?;
    if !object.status().is_success() {
        return Ok(KnownLabels::default());
    }
    let object: serde_json::Value =
        serde_json::from_slice(object.body()).map_err(|_| fault::lost("it answers with no object"))?;
    Ok(fields::labels(&object))
}

async fn call(
    shared: &Arc<Shared>,
    Call { id, mut read, path }: Call,
    mut parts: Parts,
    body: Incoming,
) -> Result<Response<Body>, Fault> {
    let is_held = !read.request.only_reads() || shared.rules.want_labels(&read.request);
    let room = if is_held { Some(room(&shared.settings.room, WRITING).await?) } else { None };
    let Prepared { body, fields, hiding, sensitive } =
        match prepare(shared, &mut read, &mut parts, body).await {
            Ok(prepared) => prepared,
            Err(fault) => return refuse(shared, id, &read, fault).await,
        };
    let began = shared.course.host.now();
    let is_log = read.request.subresource == "log";
    let watches = read.request.verb == "watch";
    let permit = permitted(shared, id, &path, read, fields).await?;
    let limit = match (sensitive, is_log) {
        (true, _) => 0,
        (false, true) => shared.settings.command_bytes,
        (false, false) => shared.settings.answer_bytes,
    };
    // What a cluster does not like of a secret it quotes.
    let quotes = hiding.hides() || (sensitive && !body.is_empty());
    let tally = Tally::new(id, Some(limit));
    let ongoing = Ongoing { shared: Arc::clone(shared), id, began, tally, quotes };
    let response = match shared.upstream.ask(&parts, body, &permit).await {
        Ok(response) => response,
        Err(fault) => {
            ongoing.failed(&fault).await?;
            return Err(fault);
        }
    };
    drop(room);
    if response.status().is_informational() {
        return ongoing.refuse(fault::lost("it speaks on in a protocol that was not asked for")).await;
    }
    let (mut head, incoming) = response.into_parts();
    if head.status == StatusCode::UNAUTHORIZED {
        // The client has nothing to prove: it is the agent whom the cluster does not know.
        return ongoing.refuse(fault::credential("the cluster does not know it")).await;
    }
    clean(&mut head.headers);
    let encoded = is_encoded(&head.headers);
    if hiding.hides() {
        if !head.status.is_success() {
            return withhold(ongoing, &head, incoming).await;
        }
        if encoded {
            return ongoing.refuse(fault::hidden("the cluster compresses what it was asked not to")).await;
        }
        head = bare(&head);
        if !watches {
            return hide_whole(ongoing, hiding, head, incoming).await;
        }
    }
    let veiled = is_log && shared.mask.is_some() && head.status.is_success();
    if veiled && encoded {
        return ongoing.refuse(fault::hidden("the cluster compresses what it was asked not to")).await;
    }
    if veiled {
        head.headers.remove(header::CONTENT_LENGTH);
    }
    let keep = if encoded || !is_text(&head.headers) { Kept::Count } else { Kept::Keep };
    let (sender, receiver) = mpsc::channel(PIECES);
    let passing = Passing { ongoing, status: head.status, hiding, keep, veiled, sender };
    shared.course.spawn(passing.run(incoming));
    let pieces = stream::unfold(receiver, async |mut receiver| {
        let piece: Result<Bytes, Broken> = receiver.recv().await?;
        Some((piece.map(Frame::data), receiver))
    });
    let body = BodyExt::boxed(StreamBody::new(pieces));
    Ok(Response::from_parts(head, body))
}

/// A request that can be asked about.
struct Prepared {
    body: Bytes,
    fields: Vec<String>,
    hiding: Hiding,
    sensitive: bool,
}

/// Reads what is written, and asks the cluster for what can be shown.
async fn prepare(
    shared: &Shared,
    read: &mut Read,
    parts: &mut Parts,
    body: Incoming,
) -> Result<Prepared, Fault> {
    let body = if read.request.only_reads() {
        parts.headers.remove(header::CONTENT_LENGTH);
        Bytes::new()
    } else {
        take_body(&parts.headers, body).await?
    };
    let sensitive = secrets::is_sensitive(&read.request);
    let written = fields::Written::read(&parts.headers, &read.request, &body, sensitive)?;
    // Only the object itself says what a new one is called.
    if read.request.verb == "create" && read.request.name.is_empty() && read.request.subresource.is_empty() {
        read.request.name = written.name;
        read.request.labels = written.labels;
    }
    let hiding = Hiding::of(&shared.rules, &read.request);
    hiding.check_written(&body)?;
    hiding.narrow(&mut parts.headers)?;
    if read.request.subresource == "log" && shared.mask.is_some() {
        uncompressed(&mut parts.headers);
    }
    Ok(Prepared { body, fields: written.fields, hiding, sensitive })
}

/// Waits until the session may hold so much more.
async fn room(of: &Semaphore, mebibytes: u32) -> Result<SemaphorePermit<'_>, Fault> {
    let room = of.acquire_many(mebibytes).await;
    room.map_err(|_| fault::request("the session has no room for it"))
}

/// The body of what writes: whole, for the recording reads it first.
async fn take_body(headers: &HeaderMap, body: Incoming) -> Result<Bytes, Fault> {
    if is_encoded(headers) {
        return Err(fault::body("it is compressed"));
    }
    let whole = tokio::time::timeout(BODY, Limited::new(body, LARGEST).collect()).await;
    let whole = whole.map_err(|_| fault::body("it does not come in time"))?;
    Ok(whole.map_err(|_| fault::body("it is larger than 3 MiB, or broke off"))?.to_bytes())
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(header::CONTENT_ENCODING).iter().any(|value| value != "identity")
}

/// What is between the cluster and us alone.
pub(crate) fn clean(headers: &mut HeaderMap) {
    for name in
        [header::CONNECTION, header::TRANSFER_ENCODING, header::TRAILER, header::UPGRADE, header::SET_COOKIE]
    {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

fn is_text(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    ["application/json", "application/yaml", "text/"].into_iter().any(|known| kind.starts_with(known))
}

/// A request whose answer is on its way.
struct Ongoing {
    shared: Arc<Shared>,
    id: RequestId,
    began: Timestamp,
    tally: Tally,
    /// Words of the cluster may hold what is in no recording.
    quotes: bool,
}

impl Ongoing {
    async fn failed(&self, fault: &Fault) -> Result<(), Fault> {
        let event = course::failed(self.id, fault, self.shared.course.micros(self.began));
        self.shared.course.host.note(event, Keep::IfStrict).await
    }

    async fn refuse(&self, fault: Fault) -> Result<Response<Body>, Fault> {
        self.failed(&fault).await?;
        Err(fault)
    }

    /// How it ended, in the words of the cluster.
    async fn completed(&self, status: StatusCode, how: &str, words: &[u8]) -> Result<(), Fault> {
        let duration_us = self.shared.course.micros(self.began);
        let event = if status.is_client_error() || status.is_server_error() {
            let message = message_of(words).filter(|_| !self.quotes).unwrap_or_else(|| status.to_string());
            let (code, message) = (status.as_u16().to_string().into(), short(&message));
            Event::Failed { id: Some(self.id), code, message, duration_us }
        } else {
            let tag = format!("{}{how}", status.as_u16()).into();
            Event::Completed { id: self.id, tag, rows: 0, bytes: self.tally.total(), duration_us }
        };
        self.shared.course.host.note(event, Keep::IfStrict).await
    }
}

/// What a `Status` says.
fn message_of(words: &[u8]) -> Option<String> {
    let status: serde_json::Value = serde_json::from_slice(words).ok()?;
    Some(status.get("message")?.as_str()?.to_owned())
}

/// What is done with the bytes of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Keep,
    Count,
}

/// An answer of whose Secrets nothing is shown: it must be there whole.
async fn hide_whole(
    ongoing: Ongoing,
    hiding: Hiding,
    head: http::response::Parts,
    incoming: Incoming,
) -> Result<Response<Body>, Fault> {
    let _room = room(&ongoing.shared.settings.room_to_hide, HIDING).await?;
    let whole = tokio::time::timeout(BODY, Limited::new(incoming, secrets::LARGEST).collect()).await;
    let hidden = match whole {
        Ok(Ok(whole)) => hiding.hide(&whole.to_bytes()),
        Ok(Err(_)) => Err(fault::hidden(
            "there is more in this answer than can be hidden at once: ask for less at a time (`--chunk-size`)",
        )),
        Err(_) => Err(fault::hidden("the cluster did not send this answer within a minute")),
    };
    let (bytes, count) = match hidden {
        Ok(hidden) => hidden,
        Err(fault) => return ongoing.refuse(fault).await,
    };
    ongoing.tally.count(&bytes);
    tell_hidden(&ongoing.shared, ongoing.id, count).await?;
    ongoing.completed(head.status, "", b"").await?;
    let shown = ongoing.shared.course.host.show(bytes, None).await?;
    Ok(Response::from_parts(head, answer::whole(shown.into_bytes())))
}

/// The head of an answer about Secrets: no words of the cluster stand in it, not even beside the number.
fn bare(head: &http::response::Parts) -> http::response::Parts {
    let mut response = Response::new(());
    *response.status_mut() = head.status;
    *response.headers_mut() = Hiding::headers(&head.headers);
    response.into_parts().0
}

/// An answer that says why not, about Secrets that are hidden.
async fn withhold(
    ongoing: Ongoing,
    head: &http::response::Parts,
    incoming: Incoming,
) -> Result<Response<Body>, Fault> {
    let said = {
        let _room = room(&ongoing.shared.settings.room_to_hide, HIDING).await?;
        // What is compressed, or breaks off, has no reason.
        let whole = tokio::time::timeout(BODY, Limited::new(incoming, secrets::LARGEST).collect()).await;
        let whole = whole.ok().and_then(Result::ok).map(|whole| whole.to_bytes());
        Hiding::withheld(head.status, &whole.unwrap_or_default())
    };
    ongoing.tally.count(&said);
    ongoing.completed(head.status, "", b"").await?;
    let shown = ongoing.shared.course.host.show(said, None).await?;
    Ok(Response::from_parts(bare(head), answer::whole(shown.into_bytes())))
}

async fn tell_hidden(shared: &Shared, id: RequestId, count: u64) -> Result<(), Fault> {
    if count == 0 {
        return Ok(());
    }
    let counts = vec![("hidden".to_owned(), count)];
    shared.course.host.note(Event::Masked { id, counts }, Keep::IfStrict).await
}

/// An answer that passes piece by piece.
struct Passing {
    ongoing: Ongoing,
    status: StatusCode,
    hiding: Hiding,
    keep: Kept,
    veiled: bool,
    sender: mpsc::Sender<Result<Bytes, Broken>>,
}

/// How an answer ended.
enum End {
    Whole,
    Left,
    Broke(Fault),
}

impl Passing {
    async fn run(self, incoming: Incoming) {
        let shared = Arc::clone(&self.ongoing.shared);
        let mask = shared.mask.as_ref().filter(|_| self.veiled);
        let mut veils = mask.map(Veils::new);
        let mut words = Vec::new();
        let end = tokio::select! {
            biased;
            fault = shared.course.ended() => End::Broke(fault),
            end = self.pass(incoming, veils.as_mut(), &mut words) => end,
        };
        let counts = veils.map(|veils| veils.counts()).unwrap_or_default();
        let told = async {
            shared.course.tell_masked(self.ongoing.id, counts).await?;
            match &end {
                End::Whole => self.ongoing.completed(self.status, "", &words).await,
                End::Left => self.ongoing.completed(self.status, ", until the client left", &words).await,
                End::Broke(fault) => self.ongoing.failed(fault).await,
            }
        };
        if let Err(fault) = told.await {
            shared.course.break_off(fault);
            let _ = self.sender.send(Err(Broken)).await;
            return;
        }
        if let End::Broke(fault) = end {
            // A log's reader sees why; of an object half is worse than none.
            if fault::ends_stream(&fault) {
                shared.course.break_off(fault);
            }
            let _ = self.sender.try_send(Err(Broken));
        }
    }

    async fn pass(
        &self,
        mut incoming: Incoming,
        mut veils: Option<&mut Veils<'_>>,
        words: &mut Vec<u8>,
    ) -> End {
        let mut line = self.hiding.hides().then(secrets::Lines::default);
        loop {
            let due = veils.as_deref().and_then(Veils::due);
            let frame = tokio::select! {
                biased;
                () = self.sender.closed() => return End::Left,
                frame = incoming.frame() => frame,
                () = exec::until(due) => {
                    let held = veils.as_deref_mut().map(|veils| veils.let_go(Some(tokio::time::Instant::now())));
                    for (_, data) in held.unwrap_or_default() {
                        if let Some(end) = self.send(data).await {
                            return end;
                        }
                    }
                    continue;
                }
            };
            let data = match frame {
                None => break,
                Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
                Some(Err(_)) => return End::Broke(fault::lost("its answer broke off")),
            };
            if !self.status.is_success() && words.len() < MESSAGE {
                words.extend_from_slice(data.get(..data.len().min(MESSAGE * 8)).unwrap_or_default());
            }
            let data = match (&mut line, veils.as_deref_mut()) {
                (Some(lines), _) => match lines.push(&data, &self.hiding) {
                    Ok((data, count)) => {
                        if let Err(fault) = tell_hidden(&self.ongoing.shared, self.ongoing.id, count).await {
                            return End::Broke(fault);
                        }
                        data
                    }
                    Err(fault) => return End::Broke(fault),
                },
                (None, Some(veils)) => veils.push(Direction::Out, &data),
                (None, None) => data,
            };
            if let Some(end) = self.send(data).await {
                return end;
            }
        }
        for (_, data) in veils.map(|veils| veils.let_go(None)).unwrap_or_default() {
            if let Some(end) = self.send(data).await {
                return end;
            }
        }
        if line.is_some_and(|lines| !lines.is_done()) {
            return End::Broke(fault::hidden("the answer ends amid an object, which is not shown"));
        }
        End::Whole
    }

    /// Records and shows.
    async fn send(&self, data: Bytes) -> Option<End> {
        if data.is_empty() {
            return None;
        }
        let event = match self.keep {
            Kept::Keep => self.ongoing.tally.take(Direction::Out, &data).event(),
            Kept::Count => {
                self.ongoing.tally.count(&data);
                None
            }
        };
        match self.ongoing.shared.course.host.show(data, event).await {
            Ok(shown) => self.sender.send(Ok(shown.into_bytes())).await.is_err().then_some(End::Left),
            Err(fault) => Some(End::Broke(fault)),
        }
    }
}

/// Identity, plainly: what comes may have to be read.
pub(crate) fn uncompressed(headers: &mut HeaderMap) {
    headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
}
