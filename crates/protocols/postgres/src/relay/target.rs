//! From the target to the client: answers go on in whole runs, recorded first, each with the request it belongs to.

use bytes::{Bytes, BytesMut};
use hoop_engine::{Event, RequestId};
use hoop_model::Timestamp;
use hoop_recording::event::{Column, Direction, Said};

use super::{
    Relay,
    expected::Await,
    keep::{Copied, Rows},
    missing, not_run, shapes,
};
use crate::{
    fault::{self, Failure},
    login::micros,
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

/// The target's bytes on their way.
#[derive(Debug)]
pub(super) struct TargetSide {
    intake: Intake,
    chunks: Vec<Bytes>,
    /// Bytes to come of a frame that was cut, and whether they are COPY data.
    cut: Option<(usize, bool)>,
    rows: Rows,
    copied: Option<Copied>,
}

impl TargetSide {
    /// Goes on where log-in ended. What came behind has been framed there: whole messages all of them.
    pub(super) fn new(intake: Intake, chunks: Vec<Bytes>) -> Self {
        Self { intake, chunks, cut: None, rows: Rows::default(), copied: None }
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
        let taken = self.target.intake.take(input, rule, |chunk| chunks.push(chunk));
        for chunk in chunks.drain(..) {
            self.target_chunk(&chunk, now, out)?;
        }
        // Its capacity serves the next input.
        self.target.chunks = chunks;
        taken.map_err(|Refusal { kind, why }| fault::target_broke(kind, why.0))
    }

    fn target_chunk(&mut self, chunk: &Bytes, now: Timestamp, out: &mut Outbox) -> Result<(), Failure> {
        let (mut at, mut sent) = (0, 0);
        while at < chunk.len() {
            let gone = match self.target_part(chunk, at) {
                0 => self.target_frame(chunk, at, now, out),
                count => Ok(count),
            };
            match gone {
                Ok(count) => at += count,
                Err(failure) => {
                    self.end_copied(out);
                    send_run(chunk, sent, at, out);
                    return Err(failure);
                }
            }
            if self.expected.owes_refusal() && !self.target.is_cut() {
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
    fn target_part(&mut self, chunk: &Bytes, at: usize) -> usize {
        let Some((left, is_copy)) = self.target.cut.take() else { return 0 };
        let here = left.min(chunk.len() - at);
        if is_copy && let Some(copied) = &mut self.target.copied {
            copied.add(chunk.get(at..at + here).unwrap_or_default());
        }
        if left > here {
            self.target.cut = Some((left - here, is_copy));
        }
        here
    }

    /// One frame, or a run of rows or COPY data: how many bytes went on.
    fn target_frame(
        &mut self,
        chunk: &Bytes,
        at: usize,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<usize, Failure> {
        let header = match chunk.get(at..).and_then(Header::read) {
            Some(Ok(header)) => header,
            Some(Err(why)) => return Err(fault::target_broke(0, why.0)),
            None => return Err(fault::target_broke(0, "it is cut")),
        };
        let Header { kind, total } = header;
        let here = chunk.len() - at;
        let body = || Reader::new(chunk, at + HEADER, at + total).limited(HEAD.max(MOST_COLUMNS));
        match kind {
            b'D' => return self.data_rows(chunk, at, out),
            b'd' => return self.copy_out(chunk, at, out),
            b'2' => self.bind_complete()?,
            b'C' => self.command_complete(body(), now, out)?,
            b'Z' => self.ready(body(), now, out)?,
            b'T' => self.row_description(body(), out)?,
            b'1' | b'3' | b'n' => self.acknowledged(kind)?,
            b'I' | b's' => self.ended_early(kind, now, out)?,
            b'E' => self.target_error(body().limited(HEAD - HEADER), now, out),
            b'S' => self.setting(body().limited(HEAD - HEADER), out),
            b'N' | b'A' => said(kind, body().limited(HEAD - HEADER), out),
            b'G' => self.copy_in_begins()?,
            b'H' | b'W' => {
                self.expected.find(Await::runs).ok_or_else(|| missing(kind))?;
                // In both directions at once: the client's data is recorded as it comes.
            }
            b'V' => self.function_value(chunk, at, total)?,
            b't' | b'c' => {}
            _ => return Err(fault::target_broke(kind, "there is no such message")),
        }
        if total > here {
            self.target.cut = Some((total - here, kind == b'V'));
        }
        Ok(total.min(here))
    }

    /// A setting of the session has another value.
    fn setting(&mut self, mut body: Reader<'_>, out: &mut Outbox) {
        let name = body.text().unwrap_or_default();
        let value = body.text().unwrap_or_else(|_| body.take_rest());
        read::mode(&mut self.mode, &name, &value);
        out.record(Event::Said { kind: Said::Setting, text: [&name[..], b"=", &value].concat().into() });
    }

    fn data_rows(&mut self, chunk: &Bytes, start: usize, out: &mut Outbox) -> Result<usize, Failure> {
        let entry = self.expected.find(Await::runs).ok_or_else(|| missing(b'D'))?;
        let id = entry.id.unwrap_or_default();
        if !self.target.rows.told {
            self.target.rows.told = true;
            if let Await::Execute { portal } = &entry.what
                && let Some(columns) = self.shapes.columns(portal)
            {
                out.record(Event::Columns { id, columns });
            }
        }
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
        Ok(at - start)
    }

    fn copy_out(&mut self, chunk: &Bytes, start: usize, _out: &mut Outbox) -> Result<usize, Failure> {
        let entry = self.expected.find(Await::runs).ok_or_else(|| missing(b'd'))?;
        let id = entry.id.unwrap_or_default();
        let copied = copied_of(&mut self.target.copied, id, self.limits.copy_per_request);
        let mut at = start;
        while let Some(Ok(Header { kind: b'd', total })) = chunk.get(at..).and_then(Header::read) {
            let end = at + total;
            copied.add(chunk.get(at + HEADER..end.min(chunk.len())).unwrap_or_default());
            if end > chunk.len() {
                self.target.cut = Some((end - chunk.len(), true));
                at = chunk.len();
                break;
            }
            at = end;
        }
        Ok(at - start)
    }

    /// The value of a function call is data as a COPY's is.
    fn function_value(&mut self, chunk: &Bytes, at: usize, total: usize) -> Result<(), Failure> {
        let entry =
            self.expected.find(|what| matches!(what, Await::FunctionCall)).ok_or_else(|| missing(b'V'))?;
        let id = entry.id.unwrap_or_default();
        let copied = copied_of(&mut self.target.copied, id, self.limits.copy_per_request);
        copied.add(chunk.get(at + HEADER..(at + total).min(chunk.len())).unwrap_or_default());
        Ok(())
    }

    fn bind_complete(&mut self) -> Result<(), Failure> {
        match self.expected.answer(|what| matches!(what, Await::Bind { .. })).map(|e| e.what) {
            Some(Await::Bind { portal, statement, formats }) => {
                self.shapes.bound(portal, &statement, formats);
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
        match entry.ok_or_else(|| missing(kind))?.what {
            Await::Parse { name } => self.shapes.parsed(name),
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
            let columns = shapes::columns(body).map_err(broke)?;
            self.target.rows.told = true;
            out.record(Event::Columns { id, columns });
            return Ok(());
        }
        // Kept for long: these must not keep alive the buffer that was read.
        let own = Bytes::copy_from_slice(body.rest());
        let columns: Vec<Column> = shapes::columns(Reader::new(&own, 0, own.len())).map_err(broke)?;
        match self.expected.answer(kinds).map(|e| e.what) {
            Some(Await::DescribeStatement { name }) => self.shapes.statement_described(&name, columns.into()),
            Some(Await::DescribePortal { name }) => self.shapes.portal_described(&name, columns.into()),
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
        let entry = self.expected.find(Await::runs).ok_or_else(|| missing(kind))?;
        let id = entry.id.unwrap_or_default();
        let rows = std::mem::take(&mut self.target.rows);
        let copied = self.target.copied.take().filter(|c| c.id == id).map_or(0, |c| c.bytes);
        let bytes = rows.bytes + copied + std::mem::take(&mut entry.copied);
        let duration_us = micros(entry.started, now);
        let is_execute = matches!(entry.what, Await::Execute { .. });
        let rows = if rows.count > 0 { rows.count } else { tagged_rows(&tag) };
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
        self.status = status;
        self.client.copying = false;
        self.target.rows = Rows::default();
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
            out.record(Event::Completed { id, tag: Bytes::new(), rows: 0, bytes, duration_us });
        }
    }

    fn target_error(&mut self, body: Reader<'_>, now: Timestamp, out: &mut Outbox) {
        self.end_copied(out);
        let (code, message) = read::error_fields(body);
        let mut skipped = Vec::new();
        let found = self.expected.fail(|entry| skipped.push(entry));
        let (id, duration_us) = found.map_or((None, 0), |(id, started)| (id, micros(started, now)));
        out.record(Event::Failed { id, code, message, duration_us });
        for entry in skipped {
            not_run(&entry, now, out);
        }
        self.target.rows = Rows::default();
        self.target.copied = None;
        self.client.copying = false;
    }

    fn copy_in_begins(&mut self) -> Result<(), Failure> {
        self.expected.find(Await::runs).ok_or_else(|| missing(b'G'))?;
        self.client.copying = !self.expected.begin_copy_in();
        Ok(())
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
