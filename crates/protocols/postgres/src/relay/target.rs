//! From the target to the client: answers go on in whole runs, recorded first, each with the request it belongs to.

use bytes::{Bytes, BytesMut};
use hoop_engine::{Event, RequestId};
use hoop_model::Timestamp;
use hoop_policy::Returned;
use hoop_recording::event::{Direction, Said};

use super::{
    Relay,
    expected::{Await, Entry},
    keep::{Copied, Rows},
    missing, not_run,
    shapes::{self, Told},
};
use crate::{
    fault::{self, Failure},
    login::micros,
    masking::{CopyBroken, CopyMask, Field, LONGEST, Masks, Plan},
    outbox::Outbox,
    wire::{HEADER, Header, Intake, Malformed, Reader, Refusal, read},
};

/// A larger row streams, and is counted but not kept.
const MOST_ROW: usize = 256 << 10;

/// So much is looked at of an error, a notice or a setting; the rest streams.
const HEAD: usize = 64 << 10;

/// Longest description of rows: 65535 columns with names of usual length.
const MOST_COLUMNS: usize = 4 << 20;

/// How much of each message must be there before it goes on.
fn rule(header: Header) -> Result<usize, Malformed> {
    let total = header.total;
    let at_most = |most| if total <= most { Ok(total) } else { Err(Malformed("it is too long")) };
    let exactly = |length| if total == length { Ok(total) } else { Err(Malformed("its length cannot be")) };
    match header.kind {
        b'D' if total > MOST_ROW => Ok(HEADER),
        b'D' => Ok(total),
        b'd' | b'V' => Ok(HEADER),
        b'E' | b'N' | b'A' | b'S' | b't' => Ok(total.min(HEAD)),
        b'T' => at_most(MOST_COLUMNS),
        b'C' => at_most(HEAD),
        b'G' | b'H' | b'W' => at_most(4 * HEAD),
        b'1' | b'2' | b'3' | b'n' | b'I' | b's' | b'c' => exactly(HEADER),
        b'Z' => exactly(HEADER + 1),
        b'R' | b'K' | b'v' => Err(Malformed("the log-in is over")),
        _ => Err(Malformed("there is no such message")),
    }
}

/// The same where answers are masked: what is rewritten must be whole, but for `COPY` data.
fn rule_masked(header: Header) -> Result<usize, Malformed> {
    match header.kind {
        b'D' | b'V' | b'E' | b'N' | b'A' | b'S' if header.total > LONGEST => Err(TOO_LARGE),
        b'D' | b'V' | b'E' | b'N' | b'A' | b'S' => Ok(header.total),
        _ => rule(header),
    }
}

const TOO_LARGE: Malformed = Malformed("it is too large to be masked");

/// What becomes of a frame, or of a run of them: so many bytes of the chunk.
enum Gone {
    /// They go on.
    Forward(usize),
    /// These go in their place.
    Replace(usize, Vec<Bytes>),
}

/// The target's bytes on their way.
#[derive(Debug)]
pub(super) struct TargetSide {
    intake: Intake,
    chunks: Vec<Bytes>,
    /// Bytes to come of a frame that was cut, and whether they are COPY data.
    cut: Option<(usize, bool)>,
    rows: Rows,
    copied: Option<Copied>,
    /// How the rows that come are masked, once their columns are known.
    plan: Option<Plan>,
    /// How the `COPY` that comes is masked.
    copy: Option<CopyMask>,
    /// All that the statement that answers now has returned; only where it is held to something.
    pub(super) returned: Returned,
}

impl TargetSide {
    /// Goes on where log-in ended. What came behind has been framed there: whole messages all of them.
    pub(super) fn new(intake: Intake, chunks: Vec<Bytes>) -> Self {
        Self {
            intake,
            chunks,
            cut: None,
            rows: Rows::default(),
            copied: None,
            plan: None,
            copy: None,
            returned: Returned::default(),
        }
    }

    /// Has the client been sent only a part of a frame?
    pub(super) fn is_cut(&self) -> bool {
        self.cut.is_some()
    }
}

impl Relay {
    pub(crate) fn handle_target(
        &mut self,
        input: &mut BytesMut,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<(), Failure> {
        let mut chunks = std::mem::take(&mut self.target.chunks);
        let rule = if self.masks.is_some() { rule_masked } else { rule };
        let taken = self.target.intake.take(input, rule, |chunk| chunks.push(chunk));
        for chunk in chunks.drain(..) {
            self.target_chunk(&chunk, now, out)?;
        }
        // Its capacity serves the next input.
        self.target.chunks = chunks;
        taken.map_err(|Refusal { kind, why }| match (kind, why) {
            (b'D', TOO_LARGE) => fault::unmaskable("a row"),
            (_, TOO_LARGE) => fault::unmaskable("a message of the database server"),
            _ => fault::target_broke(kind, why.0),
        })
    }

    fn target_chunk(&mut self, chunk: &Bytes, now: Timestamp, out: &mut Outbox) -> Result<(), Failure> {
        let (mut at, mut sent) = (0, 0);
        while at < chunk.len() {
            let gone = match self.target_part(chunk, at) {
                Ok(Gone::Forward(0)) => self.target_frame(chunk, at, now, out),
                gone => gone,
            };
            match gone {
                Ok(Gone::Forward(count)) => at += count,
                Ok(Gone::Replace(count, others)) => {
                    self.end_copied(out);
                    send_run(chunk, sent, at, out);
                    others.into_iter().for_each(|other| out.send_client(other));
                    at += count;
                    sent = at;
                }
                Err(failure) => {
                    self.end_copied(out);
                    send_run(chunk, sent, at, out);
                    return Err(failure);
                }
            }
            if self.expected.owes_ours() && !self.target.is_cut() {
                self.end_copied(out);
                send_run(chunk, sent, at, out);
                sent = at;
                self.settle(out);
            }
        }
        self.end_copied(out);
        send_run(chunk, sent, at, out);
        Ok(())
    }

    #[inline]
    fn end_copied(&mut self, out: &mut Outbox) {
        if let Some(copied) = &mut self.target.copied {
            copied.record(out);
        }
    }

    /// Goes on with a frame that was cut: how many bytes of the chunk are its.
    #[inline]
    fn target_part(&mut self, chunk: &Bytes, at: usize) -> Result<Gone, Failure> {
        let Some((left, is_copy)) = self.target.cut.take() else { return Ok(Gone::Forward(0)) };
        let here = left.min(chunk.len() - at);
        if left > here {
            self.target.cut = Some((left - here, is_copy));
        }
        let piece = chunk.get(at..at + here).unwrap_or_default();
        if is_copy && self.target.copy.is_some() {
            return Ok(Gone::Replace(here, self.mask_copy(piece)?));
        }
        if is_copy && let Some(copied) = &mut self.target.copied {
            copied.add(piece);
        }
        Ok(Gone::Forward(here))
    }

    /// Records of a `COPY` that are whole with this piece, masked and kept for the recording.
    fn mask_copy(&mut self, piece: &[u8]) -> Result<Vec<Bytes>, Failure> {
        let (Some(copy), Some(masks)) = (&mut self.target.copy, &mut self.masks) else {
            return Ok(Vec::new());
        };
        let frames = copy.push(piece, masks).map_err(copy_failure)?;
        if let Some(copied) = &mut self.target.copied {
            frames.iter().for_each(|frame| copied.add(frame.get(HEADER..).unwrap_or_default()));
        }
        Ok(frames)
    }

    /// A `COPY` begins: how it is masked is what its statement said.
    fn copy_out_begins(&mut self) -> Result<(), Failure> {
        let entry = self.expected.find(Await::runs).ok_or_else(|| missing(b'H'))?;
        let Some(masks) = &self.masks else { return Ok(()) };
        let seen = match &entry.what {
            Await::Execute { portal } => self.shapes.seen(portal),
            _ => entry.seen.clone(),
        };
        let (format, plan) = masks.plan_copy(seen.as_deref()).ok_or_else(fault::copy_broke)?;
        self.target.copy = (!plan.is_clear()).then(|| CopyMask::new(format, plan));
        Ok(())
    }

    /// It has ended: a last line may have no end of its own.
    fn copy_out_ends(&mut self, chunk: &Bytes, at: usize, total: usize) -> Result<Gone, Failure> {
        let (Some(mut copy), Some(masks)) = (self.target.copy.take(), &mut self.masks) else {
            return Ok(Gone::Forward(total));
        };
        let Some(last) = copy.finish(masks).map_err(copy_failure)? else { return Ok(Gone::Forward(total)) };
        if let Some(copied) = &mut self.target.copied {
            copied.add(last.get(HEADER..).unwrap_or_default());
        }
        Ok(Gone::Replace(total, vec![last, chunk.slice(at..at + total)]))
    }

    /// One frame, or a run of rows or COPY data: how many bytes went on.
    fn target_frame(
        &mut self,
        chunk: &Bytes,
        at: usize,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<Gone, Failure> {
        let header = match chunk.get(at..).and_then(Header::read) {
            Some(Ok(header)) => header,
            Some(Err(why)) => return Err(fault::target_broke(0, why.0)),
            None => return Err(fault::target_broke(0, "it is cut")),
        };
        let Header { kind, total } = header;
        let here = chunk.len() - at;
        let body = || Reader::new(chunk, at + HEADER, at + total).limited(HEAD.max(MOST_COLUMNS));
        match kind {
            b'D' => return self.data_rows(chunk, at, now, out),
            b'd' => return self.copy_out(chunk, at, now, out),
            b'E' | b'N' | b'A' | b'S' | b'V' if self.masks.is_some() => {
                return self.masked_frame(chunk, (at, header), now, out);
            }
            b'c' => return self.copy_out_ends(chunk, at, total),
            b'2' => self.bind_complete()?,
            b'C' => self.command_complete(body(), now, out)?,
            b'Z' => self.ready(body(), now, out)?,
            b'T' => self.row_description(body(), out)?,
            b'1' | b'3' | b'n' => self.acknowledged(kind)?,
            b'I' | b's' => self.ended_early(kind, now, out)?,
            b'E' => self.target_error(body().limited(HEAD - HEADER), now, out),
            b'S' => self.setting(body().limited(HEAD - HEADER), out)?,
            b'N' | b'A' => said(kind, body().limited(HEAD - HEADER), out),
            b'G' => self.copy_in_begins()?,
            b'H' => self.copy_out_begins()?,
            b'W' => {
                self.expected.find(Await::runs).ok_or_else(|| missing(kind))?;
                if self.masks.is_some() {
                    return Err(fault::copy_broke());
                }
                // In both directions at once: the client's data is recorded as it comes.
            }
            b'V' => self.function_value(chunk, at, total, now, out)?,
            b't' => {}
            _ => return Err(fault::target_broke(kind, "there is no such message")),
        }
        if total > here {
            self.target.cut = Some((total - here, kind == b'V'));
        }
        Ok(Gone::Forward(total.min(here)))
    }

    /// A whole message beside rows: masked, recorded as masked, and sent so.
    fn masked_frame(
        &mut self,
        chunk: &Bytes,
        (at, Header { kind, total }): (usize, Header),
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<Gone, Failure> {
        let Some(masks) = &mut self.masks else { return Ok(Gone::Forward(total)) };
        let own = chunk.slice(at..(at + total).min(chunk.len()));
        let read = Reader::new(&own, HEADER, own.len());
        let masked = match kind {
            b'E' | b'N' => masks.notice(kind, read),
            b'A' => masks.notification(read),
            b'S' => masks.setting(read),
            _ => masks.function_value(read),
        };
        let masked = masked.map_err(|why| fault::target_broke(kind, why.0))?;
        let shown = masked.as_ref().unwrap_or(&own);
        let body = Reader::new(shown, HEADER, shown.len());
        match kind {
            b'E' => self.target_error(body.limited(HEAD), now, out),
            b'S' => self.setting(body.limited(HEAD), out)?,
            b'V' => self.function_value(shown, 0, shown.len(), now, out)?,
            _ => said(kind, body.limited(HEAD), out),
        }
        Ok(match masked {
            Some(masked) => Gone::Replace(total, vec![masked]),
            None => Gone::Forward(total),
        })
    }

    /// A setting of the session has another value.
    fn setting(&mut self, mut body: Reader<'_>, out: &mut Outbox) -> Result<(), Failure> {
        let name = body.text().unwrap_or_default();
        let value = body.text().unwrap_or_else(|_| body.take_rest());
        read::mode(&mut self.mode, &name, &value);
        out.record(Event::Said { kind: Said::Setting, text: [&name[..], b"=", &value].concat().into() });
        if self.rules.read_only && read::is_read_only(&name, &value) == Some(false) {
            return Err(fault::may_write());
        }
        Ok(())
    }

    fn data_rows(
        &mut self,
        chunk: &Bytes,
        start: usize,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<Gone, Failure> {
        let entry = self.expected.find(Await::runs).ok_or_else(|| missing(b'D'))?;
        let (id, limits) = (entry.id.unwrap_or_default(), entry.limits());
        if !self.target.rows.told {
            self.target.rows.told = true;
            if let Await::Execute { portal } = &entry.what {
                let fields = self.shapes.fields(portal);
                if let Some(masks) = &self.masks {
                    self.target.plan =
                        Some(masks.plan(fields.as_deref(), self.shapes.seen(portal).as_deref()));
                }
                if let Some(fields) = fields {
                    out.record(Event::Columns { id, columns: shapes::columns(&fields) });
                }
            }
        }
        if let Some((terms, id)) = limits {
            self.hold((&terms, id), returned(chunk, start, b'D'), now, out)?;
        }
        let Some(masks) = &mut self.masks else {
            return Ok(Gone::Forward(self.keep_rows(id, chunk, start, out)));
        };
        let end = end_of_rows(chunk, start);
        // Without a plan nothing is known of them: rows came before their columns.
        let plan = self.target.plan.as_ref().ok_or_else(|| missing(b'D'))?;
        let own = chunk.slice(start..end);
        let masked = if plan.is_clear() { None } else { masks.rows(plan, &own).map_err(row_failure)? };
        match masked {
            None => Ok(Gone::Forward(self.keep_rows(id, &chunk.slice(..end), start, out))),
            Some(masked) => {
                self.keep_rows(id, &masked, 0, out);
                Ok(Gone::Replace(end - start, vec![masked]))
            }
        }
    }

    /// Counts rows from here on, and records them: how many bytes they are.
    fn keep_rows(&mut self, id: RequestId, chunk: &Bytes, start: usize, out: &mut Outbox) -> usize {
        let limit = self.limits.rows_per_request;
        let (mut at, mut kept_end, mut kept, mut all) = (start, start, 0_u32, true);
        while let Some(Ok(Header { kind: b'D', total })) = chunk.get(at..).and_then(Header::read) {
            let end = at + total;
            let whole = total <= MOST_ROW && end <= chunk.len();
            if self.target.rows.add(total, limit, whole) && all {
                kept += 1;
                kept_end = end;
            } else {
                all = false;
            }
            if end > chunk.len() {
                self.target.cut = Some((end - chunk.len(), false));
                at = chunk.len();
                break;
            }
            at = end;
        }
        let kept = (kept, chunk.slice(start..kept_end));
        self.target.rows.record(id, kept, all, limit, out);
        at - start
    }

    fn copy_out(
        &mut self,
        chunk: &Bytes,
        start: usize,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<Gone, Failure> {
        let entry = self.expected.find(Await::runs).ok_or_else(|| missing(b'd'))?;
        let (id, limits) = (entry.id.unwrap_or_default(), entry.limits());
        if let Some((terms, id)) = limits {
            self.hold((&terms, id), returned(chunk, start, b'd'), now, out)?;
        }
        let is_masked = self.target.copy.is_some();
        let mut masked = Vec::new();
        let mut at = start;
        while let Some(Ok(Header { kind: b'd', total })) = chunk.get(at..).and_then(Header::read) {
            let end = at + total;
            let copied = copied_of(&mut self.target.copied, id, self.limits.copy_per_request);
            let piece = chunk.get(at + HEADER..end.min(chunk.len())).unwrap_or_default();
            if is_masked {
                masked.extend(self.mask_copy(piece)?);
            } else {
                copied.add(piece);
            }
            if end > chunk.len() {
                self.target.cut = Some((end - chunk.len(), true));
                at = chunk.len();
                break;
            }
            at = end;
        }
        Ok(if is_masked { Gone::Replace(at - start, masked) } else { Gone::Forward(at - start) })
    }

    /// The value of a function call is data as a COPY's is.
    fn function_value(
        &mut self,
        chunk: &Bytes,
        at: usize,
        total: usize,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<(), Failure> {
        let entry =
            self.expected.find(|what| matches!(what, Await::FunctionCall)).ok_or_else(|| missing(b'V'))?;
        let (id, limits) = (entry.id.unwrap_or_default(), entry.limits());
        if let Some((terms, id)) = limits {
            self.hold((&terms, id), Returned { rows: 1, bytes: total as u64 }, now, out)?;
        }
        let copied = copied_of(&mut self.target.copied, id, self.limits.copy_per_request);
        copied.add(chunk.get(at + HEADER..(at + total).min(chunk.len())).unwrap_or_default());
        Ok(())
    }

    fn bind_complete(&mut self) -> Result<(), Failure> {
        match self.expected.answer(|what| matches!(what, Await::Bind { .. })) {
            Some(Entry { what: Await::Bind { portal, statement, formats }, terms, .. }) => {
                self.shapes.bound(portal, &statement, formats, terms);
                Ok(())
            }
            _ => Err(missing(b'2')),
        }
    }

    /// `ParseComplete`, `CloseComplete`, `NoData`.
    fn acknowledged(&mut self, kind: u8) -> Result<(), Failure> {
        let entry = self.expected.answer(|what| match what {
            Await::Parse { .. } => kind == b'1',
            Await::Close { .. } => kind == b'3',
            Await::DescribeStatement { .. } | Await::DescribePortal { .. } => kind == b'n',
            _ => false,
        });
        let entry = entry.ok_or_else(|| missing(kind))?;
        let Entry { what, seen, terms, gives_names, .. } = entry;
        match what {
            Await::Parse { name } => self.shapes.parsed(name, Told { seen, terms, gives_names }),
            Await::Close { statement, name } => self.shapes.closed(statement, &name),
            _ => {}
        }
        Ok(())
    }

    fn row_description(&mut self, body: Reader<'_>, out: &mut Outbox) -> Result<(), Failure> {
        let kinds = |what: &Await| {
            matches!(what, Await::Query | Await::DescribeStatement { .. } | Await::DescribePortal { .. })
        };
        let entry = self.expected.find(kinds).ok_or_else(|| missing(b'T'))?;
        let broke = |why: Malformed| fault::target_broke(b'T', why.0);
        if let Await::Query = entry.what {
            let id = entry.id.unwrap_or_default();
            let fields = shapes::fields(body).map_err(broke)?;
            self.target.rows.told = true;
            if let Some(masks) = &self.masks {
                self.target.plan = Some(masks.plan(Some(&fields), entry.seen.as_deref()));
            }
            out.record(Event::Columns { id, columns: shapes::columns(&fields) });
            return Ok(());
        }
        // Kept for long: these must not keep alive the buffer that was read.
        let own = Bytes::copy_from_slice(body.rest());
        let fields: Vec<Field> = shapes::fields(Reader::new(&own, 0, own.len())).map_err(broke)?;
        match self.expected.answer(kinds).map(|e| e.what) {
            Some(Await::DescribeStatement { name }) => self.shapes.statement_described(&name, fields.into()),
            Some(Await::DescribePortal { name }) => self.shapes.portal_described(&name, fields.into()),
            _ => {}
        }
        Ok(())
    }

    fn command_complete(
        &mut self,
        mut body: Reader<'_>,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<(), Failure> {
        let tag = body.text().map_err(|why| fault::target_broke(b'C', why.0))?;
        self.complete(b'C', tag, now, out)
    }

    /// `EmptyQueryResponse` and `PortalSuspended` end a statement too.
    fn ended_early(&mut self, kind: u8, now: Timestamp, out: &mut Outbox) -> Result<(), Failure> {
        let tag = if kind == b's' { Bytes::from_static(b"PORTAL SUSPENDED") } else { Bytes::new() };
        self.complete(kind, tag, now, out)
    }

    fn complete(&mut self, kind: u8, tag: Bytes, now: Timestamp, out: &mut Outbox) -> Result<(), Failure> {
        self.end_copied(out);
        self.expected.find(Await::runs).ok_or_else(|| missing(kind))?;
        self.names_may_be_given();
        self.target.returned = Returned::default();
        let entry = self.expected.find(Await::runs).ok_or_else(|| missing(kind))?;
        let id = entry.id.unwrap_or_default();
        let rows = std::mem::take(&mut self.target.rows);
        let copied = self.target.copied.take().filter(|c| c.id == id).map_or(0, |c| c.bytes);
        let bytes = rows.bytes + copied + std::mem::take(&mut entry.copied);
        let duration_us = micros(entry.started, now);
        let is_execute = matches!(entry.what, Await::Execute { .. });
        let rows = if rows.count > 0 { rows.count } else { tagged_rows(&tag) };
        self.target.plan = None;
        tell_masked(&mut self.masks, id, out);
        out.record(Event::Completed { id, tag, rows, bytes, duration_us });
        if is_execute {
            self.expected.answer(Await::runs);
        }
        self.client.copying = false;
        Ok(())
    }

    fn ready(&mut self, body: Reader<'_>, now: Timestamp, out: &mut Outbox) -> Result<(), Failure> {
        let status = read::status(body).map_err(|why| fault::target_broke(b'Z', why.0))?;
        let ended = self.expected.ready(|missed| not_run(&missed, now, out));
        let Some(entry) = ended else { return Err(missing(b'Z')) };
        if entry.gives_names {
            self.shapes.forget_all();
        }
        self.status = status;
        self.transaction_may_have_ended();
        self.target.returned = Returned::default();
        self.client.copying = false;
        self.target.rows = Rows::default();
        self.target.plan = None;
        if let (Await::FunctionCall, Some(id)) = (&entry.what, entry.id) {
            self.function_done(id, entry.started, now, out);
        }
        if status == b'I' {
            self.shapes.forget_portals();
        }
        Ok(())
    }

    fn function_done(&mut self, id: RequestId, started: Timestamp, now: Timestamp, out: &mut Outbox) {
        // Without a value it has failed, and that is recorded.
        if let Some(mut copied) = self.target.copied.take().filter(|c| c.id == id) {
            copied.record(out);
            let (bytes, duration_us) = (copied.bytes, micros(started, now));
            tell_masked(&mut self.masks, id, out);
            out.record(Event::Completed { id, tag: Bytes::new(), rows: 0, bytes, duration_us });
        }
    }

    fn target_error(&mut self, body: Reader<'_>, now: Timestamp, out: &mut Outbox) {
        self.end_copied(out);
        self.names_may_be_given();
        self.target.returned = Returned::default();
        let (code, message) = read::error_fields(body);
        let mut skipped = Vec::new();
        let found = self.expected.fail(|entry| skipped.push(entry));
        let (id, duration_us) = found.map_or((None, 0), |(id, started)| (id, micros(started, now)));
        if let Some(id) = id {
            tell_masked(&mut self.masks, id, out);
        }
        out.record(Event::Failed { id, code, message, duration_us });
        for entry in skipped {
            not_run(&entry, now, out);
        }
        self.target.rows = Rows::default();
        (self.target.plan, self.target.copy) = (None, None);
        self.target.copied = None;
        self.client.copying = false;
    }

    fn copy_in_begins(&mut self) -> Result<(), Failure> {
        self.expected.find(Await::runs).ok_or_else(|| missing(b'G'))?;
        self.client.copying = !self.expected.begin_copy_in();
        Ok(())
    }
}

/// Says how much of a request's answer was masked.
fn tell_masked(masks: &mut Option<Box<Masks>>, id: RequestId, out: &mut Outbox) {
    if let Some(masks) = masks {
        let counts = masks.take_counts();
        if !counts.is_empty() {
            out.record(Event::Masked { id, counts });
        }
    }
}

/// What a run of frames returns, the last of which may be there in part.
fn returned(chunk: &[u8], start: usize, wanted: u8) -> Returned {
    let (mut at, mut sum) = (start, Returned::default());
    while let Some(Ok(Header { kind, total })) = chunk.get(at..).and_then(Header::read) {
        if kind != wanted {
            break;
        }
        sum.rows += 1;
        sum.bytes += total as u64;
        at += total;
    }
    sum
}

/// Where a run of whole rows ends.
fn end_of_rows(chunk: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(Ok(Header { kind: b'D', total })) = chunk.get(at..).and_then(Header::read) {
        at += total;
    }
    at.min(chunk.len())
}

fn row_failure(why: Malformed) -> Failure {
    fault::target_broke(b'D', why.0)
}

fn copy_failure(why: CopyBroken) -> Failure {
    match why {
        CopyBroken::TooLong => fault::unmaskable("a record of COPY"),
        CopyBroken::Malformed => fault::copy_broke(),
    }
}

#[inline]
fn send_run(chunk: &Bytes, from: usize, to: usize, out: &mut Outbox) {
    if to > from {
        out.send_client(chunk.slice(from..to));
    }
}

fn copied_of(copied: &mut Option<Copied>, id: RequestId, limit: u64) -> &mut Copied {
    if copied.as_ref().is_none_or(|c| c.id != id) {
        *copied = None;
    }
    copied.get_or_insert_with(|| Copied::new(id, Direction::Out, limit))
}

/// `INSERT 0 5`, `COPY 7`: the number at the end.
fn tagged_rows(tag: &[u8]) -> u64 {
    let last = tag.rsplit(|b| *b == b' ').next().unwrap_or_default();
    std::str::from_utf8(last).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn said(kind: u8, mut body: Reader<'_>, out: &mut Outbox) {
    let (kind, text) = match kind {
        b'N' => (Said::Notice, read::error_fields(body).1),
        _ => (Said::Notification, notification(&mut body).unwrap_or_default()),
    };
    out.record(Event::Said { kind, text });
}

fn notification(body: &mut Reader<'_>) -> Option<Bytes> {
    let _process = body.u32().ok()?;
    let channel = body.text().ok()?;
    // A payload longer than what is looked at has no end here.
    let payload = body.text().unwrap_or_else(|_| body.take_rest());
    Some([&channel[..], b": ", &payload].concat().into())
}
