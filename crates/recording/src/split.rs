//! What to do with an event too large for one chunk.

use bytes::Bytes;

use crate::{
    cells::row_frame,
    container::MAX_PLAINTEXT,
    event::{Event, Form, Parameter, Record},
};

/// Most bytes of one event that a recording keeps and a reader joins again.
pub const MAX_EVENT: usize = 16 * 1024 * 1024;
/// Payload of each part when an event becomes several.
const PART: usize = MAX_PLAINTEXT - 256;
/// What is kept of a statement's text when the whole is too much.
const KEPT_TEXT: usize = MAX_EVENT / 2;
/// What is kept of its bind values together.
const KEPT_VALUES: usize = MAX_EVENT / 4;
/// What a name or a single value may take beside that.
const KEPT_NAME: usize = 64 * 1024;

/// Several events that together say the same; `None` if this kind cannot be cut so.
pub(crate) fn into_events(record: &Record) -> Option<Vec<Record>> {
    let like = |event| Record { at: record.at, stream: record.stream, event };
    match &record.event {
        Event::Copy { id, direction, data } => {
            let part = |at: usize| data.slice(at..data.len().min(at + PART));
            let event = |at| Event::Copy { id: *id, direction: *direction, data: part(at) };
            Some((0..data.len()).step_by(PART).map(|at| like(event(at))).collect())
        }
        Event::Rows { id, count, data } => {
            let parts = cut_rows(data, *count)?;
            if parts.len() < 2 {
                return None;
            }
            let event = |(count, data)| Event::Rows { id: *id, count, data };
            Some(parts.into_iter().map(|part| like(event(part))).collect())
        }
        _ => None,
    }
}

/// Cuts between rows: each part is at most [`PART`] long or a single row. `None` if the rows do not add up.
fn cut_rows(data: &Bytes, count: u32) -> Option<Vec<(u32, Bytes)>> {
    let (mut parts, mut start, mut at, mut rows, mut total) = (Vec::new(), 0, 0, 0_u32, 0_u32);
    while at < data.len() {
        let next = at.checked_add(row_frame(data.get(at..)?)?)?;
        if next - start > PART && rows > 0 {
            parts.push((rows, data.slice(start..at)));
            (start, rows) = (at, 0);
        }
        (at, rows, total) = (next, rows + 1, total.checked_add(1)?);
    }
    parts.push((rows, data.slice(start..)));
    (total == count).then_some(parts)
}

/// What is kept of an event that may be beyond [`MAX_EVENT`], and how the loss is told, if there is one.
pub(crate) fn bounded(record: &Record) -> (Option<Record>, Option<String>) {
    let size = crate::codec::size_hint(record);
    if size <= MAX_EVENT {
        return (Some(record.clone()), None);
    }
    match &record.event {
        Event::Request { id, form, text, parameters } => {
            let event = Event::Request {
                id: *id,
                form: bounded_form(form),
                text: head(text, KEPT_TEXT),
                parameters: bounded_values(parameters),
            };
            let reason = format!(
                "the statement and its values take {size} bytes; the recording keeps their beginnings"
            );
            (Some(Record { event, ..record.clone() }), Some(reason))
        }
        _ => (None, Some(format!("an event of {size} bytes is not kept; {MAX_EVENT} are possible"))),
    }
}

fn head(bytes: &Bytes, limit: usize) -> Bytes {
    bytes.slice(..bytes.len().min(limit))
}

fn bounded_form(form: &Form) -> Form {
    match form {
        Form::Prepare { name } => Form::Prepare { name: head(name, KEPT_NAME) },
        Form::Bind { portal, statement } => {
            Form::Bind { portal: head(portal, KEPT_NAME), statement: head(statement, KEPT_NAME) }
        }
        Form::Execute { portal, max_rows } => {
            Form::Execute { portal: head(portal, KEPT_NAME), max_rows: *max_rows }
        }
        other => other.clone(),
    }
}

fn bounded_values(parameters: &[Parameter]) -> Vec<Parameter> {
    let mut left = KEPT_VALUES;
    let kept = parameters.iter().take(usize::from(u16::MAX)).map(|parameter| {
        let value = parameter.value.as_ref().map(|value| head(value, left));
        left -= value.as_ref().map_or(0, Bytes::len).min(left);
        Parameter { binary: parameter.binary, value }
    });
    kept.collect()
}
