//! From the client to the target: requests are numbered, recorded, put to policy, and sent on only with a permit.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use hoop_engine::{Dialect, Event, Question, RecordingLimits, RequestId};
use hoop_model::Timestamp;
use hoop_policy::{Denial, Permit, Warning};
use hoop_recording::event::{Direction, Form, Said};

use super::{
    Relay,
    expected::{Await, Entry},
    keep::Copied,
    not_run, values,
};
use crate::{
    fault::{self, Failure},
    outbox::Outbox,
    wire::{HEADER, Header, Intake, Malformed, Reader, Refusal, write},
};

/// A statement may be so long: it is recorded whole, so it is held whole. A recording keeps no longer text, and what is
/// not recorded must not run.
pub(super) const MOST_STATEMENT: usize = 8 << 20;

/// So much is looked at of a `Bind` or a function call; the rest streams.
const HEAD: usize = 4 << 20;

/// Longest message that holds names alone.
const MOST_NAMES: usize = 64 << 10;

/// How much of each message must be there before it is looked at.
pub(super) fn rule(header: Header) -> Result<usize, Malformed> {
    let total = header.total;
    let at_most = |most| if total <= most { Ok(total) } else { Err(Malformed("it is too long")) };
    match header.kind {
        b'Q' | b'P' if total > MOST_STATEMENT => Ok(HEADER),
        b'Q' | b'P' => Ok(total),
        b'B' | b'F' => Ok(total.min(HEAD)),
        b'd' => Ok(HEADER),
        b'E' | b'D' | b'C' | b'f' => at_most(MOST_NAMES),
        b'S' | b'H' | b'c' | b'X' if total == HEADER => Ok(HEADER),
        b'S' | b'H' | b'c' | b'X' => Err(Malformed("it has a body")),
        b'p' => Err(Malformed("no password is asked for")),
        _ => Err(Malformed("there is no such message")),
    }
}

/// A request that waits for its verdict. Its frame is the next one of the front chunk.
#[derive(Debug)]
struct Asked {
    id: RequestId,
    total: usize,
    request: Event,
    curtailed: bool,
    what: Await,
}

/// What becomes of the rest of a frame that was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Forward,
    Copy,
    Drop,
}

/// The client's bytes on their way.
#[derive(Debug, Default)]
pub(super) struct ClientSide {
    intake: Intake,
    /// Chunks not yet gone; the front one from `sent` on.
    chunks: VecDeque<Bytes>,
    held: usize,
    /// In the front chunk: up to here it is sent (or dropped).
    sent: usize,
    /// In the front chunk: up to here it may be sent.
    at: usize,
    cut: Option<(usize, Part)>,
    asked: Option<Asked>,
    /// After a refusal in the extended protocol: everything up to `Sync` is dropped.
    discarding: bool,
    /// Some `Bind` of this stream brought values along.
    bound: bool,
    /// The target reads COPY data.
    pub(super) copying: bool,
    copied: Option<Copied>,
    broken: Option<Refusal>,
    /// The client said good-bye.
    ended: bool,
}

impl ClientSide {
    #[inline]
    pub(super) fn take(&mut self, input: &mut BytesMut) {
        if self.broken.is_some() {
            input.clear();
            return;
        }
        let (chunks, held) = (&mut self.chunks, &mut self.held);
        let taken = self.intake.take(input, rule, |chunk| {
            *held += chunk.len();
            chunks.push_back(chunk);
        });
        self.broken = taken.err();
    }

    pub(super) fn held(&self) -> usize {
        self.held.saturating_sub(self.at)
    }

    #[inline]
    fn may_go_on(&self) -> bool {
        self.asked.is_none() && !self.ended
    }

    /// Sends what may be sent of the front chunk.
    #[inline]
    pub(super) fn flush(&mut self, out: &mut Outbox) {
        if self.at > self.sent
            && let Some(chunk) = self.chunks.front()
        {
            out.send_target(chunk.slice(self.sent..self.at));
            self.sent = self.at;
        }
    }

    /// Leaves out `count` bytes.
    fn skip(&mut self, count: usize, out: &mut Outbox) {
        self.flush(out);
        self.at += count;
        self.sent = self.at;
    }

    /// The front chunk is done.
    #[inline]
    fn next_chunk(&mut self, out: &mut Outbox) {
        self.flush(out);
        if let Some(chunk) = self.chunks.pop_front() {
            self.held = self.held.saturating_sub(chunk.len());
        }
        (self.at, self.sent) = (0, 0);
    }

    /// Moves past a frame, of which the chunk may hold only a part.
    #[inline]
    fn pass(&mut self, total: usize, here: usize, part: Part, out: &mut Outbox) {
        let now = total.min(here);
        if part == Part::Drop {
            self.skip(now, out)
        } else {
            self.at += now
        }
        if total > now {
            self.cut = Some((total - now, part));
        }
    }
}

impl Relay {
    /// Works through what the client sent, until a verdict is needed.
    pub(super) fn advance_client(&mut self, now: Timestamp, out: &mut Outbox) -> Result<(), Failure> {
        while self.client.may_go_on() {
            let Some(chunk) = self.client.chunks.front().cloned() else { break };
            while self.client.may_go_on() && self.client.at < chunk.len() {
                if !self.client_part(&chunk) {
                    self.client_frame(&chunk, now, out).inspect_err(|_| self.client.flush(out))?;
                }
            }
            if let Some(copied) = &mut self.client.copied {
                copied.record(out);
            }
            if self.client.may_go_on() {
                self.client.next_chunk(out);
            }
        }
        match self.client.broken {
            Some(refusal) if self.client.may_go_on() => Err(fault::client_broke(refusal.kind, refusal.why)),
            _ => Ok(()),
        }
    }

    /// Goes on with a frame that was cut; false if there is none.
    #[inline]
    fn client_part(&mut self, chunk: &Bytes) -> bool {
        let Some((left, part)) = self.client.cut.take() else { return false };
        let here = left.min(chunk.len() - self.client.at);
        if part == Part::Copy
            && let Some(copied) = &mut self.client.copied
        {
            copied.add(chunk.get(self.client.at..self.client.at + here).unwrap_or_default());
        }
        self.client.at += here;
        if part == Part::Drop {
            self.client.sent = self.client.at;
        }
        if left > here {
            self.client.cut = Some((left - here, part));
        }
        true
    }

    fn client_frame(&mut self, chunk: &Bytes, now: Timestamp, out: &mut Outbox) -> Result<(), Failure> {
        let at = self.client.at;
        let here = chunk.len() - at;
        let header = match chunk.get(at..).and_then(Header::read) {
            Some(Ok(header)) => header,
            Some(Err(why)) => return Err(fault::client_broke(0, why)),
            None => return Err(fault::client_broke(0, Malformed("it is cut"))),
        };
        let Header { kind, total } = header;
        if self.client.discarding && !matches!(kind, b'S' | b'X') {
            self.client.pass(total, here, Part::Drop, out);
            return Ok(());
        }
        let broke = |why: Malformed| fault::client_broke(kind, why);
        let body = Reader::new(chunk, at + HEADER, at + total);
        match kind {
            b'Q' | b'P' if total > MOST_STATEMENT => self.too_large(kind, total, here, now, out),
            b'Q' => self.query(total, body, out).map_err(broke)?,
            b'P' => self.parse(total, body, out).map_err(broke)?,
            b'E' => self.execute(total, body, out).map_err(broke)?,
            b'F' => self.function_call(total, here, body, out).map_err(broke)?,
            b'B' => self.bind(total, here, body, now, out).map_err(broke)?,
            b'D' | b'C' => self.describe_or_close(kind, total, body, now, out).map_err(broke)?,
            b'd' => self.client_copy(chunk, total, here, out),
            b'S' => self.sync(now, out),
            b'X' => self.terminate(out),
            _ => {
                if matches!(kind, b'c' | b'f') {
                    self.copy_end(now, out);
                }
                self.client.at += total;
            }
        }
        Ok(())
    }

    fn ask(&mut self, asked: Asked, question: Question, out: &mut Outbox) {
        out.decide(asked.id, question);
        self.client.asked = Some(asked);
    }

    fn query(&mut self, total: usize, body: Reader<'_>, out: &mut Outbox) -> Result<(), Malformed> {
        let text = values::query(body)?;
        let id = self.number();
        let request = Event::Request { id, form: Form::Query, text: text.clone(), parameters: Vec::new() };
        self.ask(
            Asked { id, total, request, curtailed: false, what: Await::Query },
            Question::Statement { text, dialect: Dialect::Postgres(self.mode) },
            out,
        );
        Ok(())
    }

    fn parse(&mut self, total: usize, body: Reader<'_>, out: &mut Outbox) -> Result<(), Malformed> {
        let (name, text) = values::parse(body)?;
        let id = self.number();
        let form = Form::Prepare { name: name.clone() };
        let request = Event::Request { id, form, text: text.clone(), parameters: Vec::new() };
        let what = Await::Parse { name };
        let question = Question::Prepare { text, dialect: Dialect::Postgres(self.mode) };
        self.ask(Asked { id, total, request, curtailed: false, what }, question, out);
        Ok(())
    }

    fn execute(&mut self, total: usize, mut body: Reader<'_>, out: &mut Outbox) -> Result<(), Malformed> {
        let (portal, max_rows) = (body.text()?, body.u32()?);
        body.finish()?;
        let id = self.number();
        let form = Form::Execute { portal: portal.clone(), max_rows };
        let request = Event::Request { id, form, text: Bytes::new(), parameters: Vec::new() };
        let terms = if self.looks_again { self.terms_of_portal(&portal) } else { Vec::new() };
        let question = Question::Execute { bound: self.client.bound, terms };
        let what = Await::Execute { portal };
        self.ask(Asked { id, total, request, curtailed: false, what }, question, out);
        Ok(())
    }

    fn function_call(
        &mut self,
        total: usize,
        here: usize,
        body: Reader<'_>,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let (function, found) =
            values::function_call(looked_at(body, total), self.limits.value, is_whole(total, here))?;
        let id = self.number();
        let form = Form::FunctionCall { function };
        let request = Event::Request { id, form, text: Bytes::new(), parameters: found.parameters };
        let what = Await::FunctionCall;
        self.ask(
            Asked { id, total, request, curtailed: found.cut, what },
            Question::FunctionCall { function },
            out,
        );
        Ok(())
    }

    /// The policy's answer to what was asked. False: to something else.
    pub(super) fn resolve(
        &mut self,
        id: RequestId,
        verdict: Result<Permit, Denial>,
        now: Timestamp,
        out: &mut Outbox,
    ) -> bool {
        match self.client.asked.take() {
            Some(asked) if asked.id == id => {
                match verdict {
                    Ok(permit) => self.permitted(permit, asked, now, out),
                    Err(denial) => self.denied(&denial, asked, now, out),
                }
                true
            }
            other => {
                self.client.asked = other;
                false
            }
        }
    }

    /// Records the request and lets its frame go on: the only way for one that policy decides.
    fn permitted(&mut self, mut permit: Permit, asked: Asked, now: Timestamp, out: &mut Outbox) {
        let Asked { id, total, request, curtailed, what } = asked;
        record_request(id, request, curtailed, self.limits, out);
        self.warn(permit.warnings(), now, out);
        if what.runs() {
            self.client.copied = None;
        }
        let has_text = matches!(what, Await::Query | Await::Parse { .. } | Await::FunctionCall);
        let seen = self.masks.as_mut().filter(|_| has_text).map(|masks| masks.see(permit.take_view()));
        let (terms, gives_names) = (permit.take_terms(), permit.gives_names());
        self.owe(Entry { seen, terms, gives_names, ..Entry::new(what, Some(id), now) }, now, out);
        let here = self.client_left();
        self.client.pass(total, here, Part::Forward, out);
    }

    /// Tells the client in the place of its request.
    fn warn(&mut self, warnings: &[Warning], now: Timestamp, out: &mut Outbox) {
        for warning in warnings {
            let text = format!("{warning} ({})", Warning::CODE);
            out.record(Event::Said { kind: Said::Notice, text: text.clone().into() });
            let answer = write::notice(Warning::CODE, &text);
            self.owe(Entry::new(Await::Ours { answer, ready: false }, None, now), now, out);
        }
        self.settle(out);
    }

    fn denied(&mut self, denial: &Denial, asked: Asked, now: Timestamp, out: &mut Outbox) {
        let Asked { id, total, request, curtailed, what } = asked;
        record_request(id, request, curtailed, self.limits, out);
        let fault = denial.to_fault();
        let (code, message) = (fault.code.as_str().to_owned(), fault.message.clone());
        out.record(Event::Denied { id, code, message });
        let answer = write::error(write::Severity::Error, "42501", &fault);
        let here = self.client_left();
        self.client.pass(total, here, Part::Drop, out);
        self.refuse(answer, what.ends_with_ready(), id, now, out);
    }

    fn too_large(&mut self, kind: u8, total: usize, here: usize, now: Timestamp, out: &mut Outbox) {
        let id = self.number();
        let fault = fault::statement_too_large(MOST_STATEMENT);
        let ready = kind == b'Q';
        let form = if ready { Form::Query } else { Form::Prepare { name: Bytes::new() } };
        out.record(Event::Request { id, form, text: Bytes::new(), parameters: Vec::new() });
        let (code, message) = (fault.fault.code.as_str().to_owned(), fault.fault.message.clone());
        out.record(Event::Denied { id, code, message });
        self.client.pass(total, here, Part::Drop, out);
        let answer = write::error(write::Severity::Error, &fault.sqlstate, &fault.fault);
        self.refuse(answer, ready, id, now, out);
    }

    /// Owes the client an error of ours, in its place.
    fn refuse(&mut self, answer: Bytes, ready: bool, id: RequestId, now: Timestamp, out: &mut Outbox) {
        self.client.discarding |= !ready;
        if self.expected.is_unflushed() {
            // The client may wait for the error without a `Sync`, so what is owed before it must come out.
            out.send_target(write::flush());
        }
        // While the target skips after an error, it answers nothing, and so do we.
        self.expected.push(Entry::new(Await::Ours { answer, ready }, Some(id), now));
        self.settle(out);
    }

    fn owe(&mut self, entry: Entry, now: Timestamp, out: &mut Outbox) {
        if let Some(skipped) = self.expected.push(entry) {
            not_run(&skipped, now, out);
        }
    }

    #[inline]
    fn client_left(&self) -> usize {
        self.client.chunks.front().map_or(0, |chunk| chunk.len().saturating_sub(self.client.at))
    }

    fn bind(
        &mut self,
        total: usize,
        here: usize,
        body: Reader<'_>,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let mut body = looked_at(body, total);
        let (portal, statement) = (body.text()?, body.text()?);
        let (found, formats) = values::bind(body, self.limits.value, is_whole(total, here))?;
        self.client.bound |= found.cut || !found.parameters.is_empty();
        let id = self.number();
        let form = Form::Bind { portal: portal.clone(), statement: statement.clone() };
        let again = self.looks_again.then(|| Question::Bind {
            terms: self.terms_of_statement(&statement),
            values: values::for_policy(&found, self.limits.value),
        });
        let request = Event::Request { id, form, text: Bytes::new(), parameters: found.parameters };
        if let Some(question) = again {
            let what = Await::Bind { portal, statement, formats };
            self.ask(Asked { id, total, request, curtailed: found.cut, what }, question, out);
            return Ok(());
        }
        record_request(id, request, found.cut, self.limits, out);
        self.owe(Entry::new(Await::Bind { portal, statement, formats }, Some(id), now), now, out);
        self.client.pass(total, here, Part::Forward, out);
        Ok(())
    }

    fn describe_or_close(
        &mut self,
        kind: u8,
        total: usize,
        mut body: Reader<'_>,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<(), Malformed> {
        let of = body.u8()?;
        let name = body.text()?;
        body.finish()?;
        let what = match (kind, of) {
            (b'D', b'S') => Await::DescribeStatement { name },
            (b'D', b'P') => Await::DescribePortal { name },
            (_, b'S') => Await::Close { statement: true, name },
            (_, b'P') => Await::Close { statement: false, name },
            _ => return Err(Malformed("it names neither a statement nor a portal")),
        };
        self.owe(Entry::new(what, None, now), now, out);
        self.client.at += total;
        Ok(())
    }

    fn sync(&mut self, now: Timestamp, out: &mut Outbox) {
        self.client.discarding = false;
        if !self.client.copying {
            self.owe(Entry::new(Await::Sync, None, now), now, out);
        }
        self.client.at += HEADER;
    }

    fn client_copy(&mut self, chunk: &Bytes, total: usize, here: usize, out: &mut Outbox) {
        if self.client.copied.is_none()
            && let Some(id) = self.next.checked_sub(1)
        {
            let limit = self.limits.copy_per_request;
            self.client.copied = Some(Copied::new(RequestId(id), Direction::In, limit));
        }
        let at = self.client.at;
        if let Some(copied) = &mut self.client.copied {
            copied.add(chunk.get(at + HEADER..at + total.min(here)).unwrap_or_default());
        }
        self.client.pass(total, here, Part::Copy, out);
    }

    fn copy_end(&mut self, now: Timestamp, out: &mut Outbox) {
        if let Some(mut copied) = self.client.copied.take() {
            copied.record(out);
            self.expected.add_copied(copied.id, copied.bytes);
        }
        if std::mem::take(&mut self.client.copying) {
            return;
        }
        self.expected.push(Entry::new(Await::CopyEnd, None, now));
    }

    /// Good-bye: what follows is not looked at.
    fn terminate(&mut self, out: &mut Outbox) {
        self.client.at += HEADER;
        self.client.flush(out);
        self.client.ended = true;
        out.push(hoop_engine::Output::Close { reason: hoop_engine::CloseReason::Client });
    }
}

/// The part of a message that is looked at, whatever else of it has come already.
fn looked_at(body: Reader<'_>, total: usize) -> Reader<'_> {
    body.limited(total.min(HEAD).saturating_sub(HEADER))
}

fn is_whole(total: usize, here: usize) -> bool {
    total <= HEAD && total <= here
}

fn record_request(id: RequestId, request: Event, curtailed: bool, limits: RecordingLimits, out: &mut Outbox) {
    out.record(request);
    if curtailed {
        out.record(Event::Curtailed { id, limit: limits.value as u64 });
    }
}
