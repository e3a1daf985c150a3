//! A recording in forms that other programs read: JSON lines, SQL text, asciicast.
//!
//! Each takes records as a [`crate::Reader`] yields them, so that a damaged recording is exported up to the damage and
//! the error then told.

use std::io::{self, Write};

use hoop_model::Timestamp;
use serde_json::{Map, Value, json};

use crate::{
    cells::{self, render},
    event::{Column, Direction, Event, Parameter, Record, RequestId},
    hex,
    timeline::{StatementView, Timeline, form_name},
    visible::{visible_bytes, visible_lines},
};

/// Columns remembered, to read rows by; a stream that leaves more open shows the rest as text or hex.
const MAX_OPEN: usize = 4_096;

/// Writes each record as one JSON object a line: `at`, `stream`, `kind` and what belongs to that kind.
///
/// Nothing is left out. Text that is not UTF-8 is `{"hex": ...}`, a binary value `{"binary": hex}`, rows are arrays.
#[derive(Debug)]
pub struct JsonLines<W> {
    out: W,
    columns: std::collections::HashMap<(Option<hoop_model::StreamId>, RequestId), Vec<Column>>,
}

/// Writes all records as JSON lines.
///
/// # Errors
/// When the output fails.
pub fn json_lines(records: impl IntoIterator<Item = Record>, out: impl Write) -> io::Result<()> {
    let mut lines = JsonLines::new(out);
    records.into_iter().try_for_each(|record| lines.write(&record))
}

impl<W: Write> JsonLines<W> {
    /// Begins.
    pub fn new(out: W) -> Self {
        Self { out, columns: std::collections::HashMap::new() }
    }

    /// Where they go.
    pub const fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Writes one record.
    ///
    /// # Errors
    /// When the output fails.
    pub fn write(&mut self, record: &Record) -> io::Result<()> {
        let mut object = Map::new();
        object.insert("at".to_owned(), json!(record.at));
        if let Some(stream) = record.stream {
            object.insert("stream".to_owned(), json!(stream));
        }
        if let Value::Object(fields) = self.fields(record) {
            object.extend(fields);
        }
        serde_json::to_writer(&mut self.out, &object)?;
        self.out.write_all(b"\n")
    }

    fn fields(&mut self, record: &Record) -> Value {
        match &record.event {
            Event::Opened { facts } => {
                let facts: Map<_, _> =
                    facts.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
                json!({"kind": "opened", "facts": facts})
            }
            Event::Request { id, form, text: sql, parameters } => json!({
                "kind": "request", "id": id, "form": form_name(form), "text": text(sql),
                "names": form_names(form), "parameters": parameters.iter().map(parameter).collect::<Vec<_>>(),
            }),
            Event::Columns { id, columns } => {
                if self.columns.len() < MAX_OPEN {
                    self.columns.insert((record.stream, *id), columns.clone());
                }
                let column =
                    |c: &Column| json!({"name": text(&c.name), "type": c.type_id, "binary": c.binary});
                json!({"kind": "columns", "id": id, "columns": columns.iter().map(column).collect::<Vec<_>>()})
            }
            Event::Rows { id, count, data } => {
                let columns = self.columns.get(&(record.stream, *id)).map_or(&[][..], Vec::as_slice);
                let cell = |(at, cell): (usize, &Option<bytes::Bytes>)| match cell {
                    None => Value::Null,
                    Some(cell) => match columns.get(at) {
                        Some(column) if column.binary => json!(render(Some(column), cell)),
                        _ => text(cell),
                    },
                };
                let row = |row: cells::Row| row.iter().enumerate().map(cell).collect::<Vec<_>>();
                json!({"kind": "rows", "id": id, "count": count, "rows": cells::rows(data).map(row).collect::<Vec<_>>()})
            }
            Event::Copy { id, direction, data } => {
                let direction = match direction {
                    Direction::In => "in",
                    Direction::Out => "out",
                    Direction::Error => "error",
                };
                json!({"kind": "copy", "id": id, "direction": direction, "data": text(data)})
            }
            Event::Curtailed { id, limit } => json!({"kind": "curtailed", "id": id, "limit": limit}),
            Event::Masked { id, counts } => {
                let counts: Map<_, _> =
                    counts.iter().map(|(kind, count)| (kind.clone(), json!(count))).collect();
                json!({"kind": "masked", "id": id, "counts": counts})
            }
            Event::Completed { id, tag, rows, bytes, duration_us } => {
                self.columns.remove(&(record.stream, *id));
                json!({
                    "kind": "completed", "id": id, "tag": text(tag), "rows": rows, "bytes": bytes,
                    "duration_us": duration_us,
                })
            }
            Event::Failed { id, code, message, duration_us } => json!({
                "kind": "failed", "id": id, "code": text(code), "message": text(message),
                "duration_us": duration_us,
            }),
            Event::Denied { id, code, message } => {
                json!({"kind": "denied", "id": id, "code": code, "message": message})
            }
            Event::Said { kind, text: said } => json!({"kind": kind, "text": text(said)}),
            Event::Closed { reason, bytes_in, bytes_out } => {
                json!({"kind": "closed", "reason": reason, "bytes_in": bytes_in, "bytes_out": bytes_out})
            }
            Event::Gap { reason } => json!({"kind": "gap", "reason": reason}),
            Event::Resized { id, columns, rows } => {
                json!({"kind": "resized", "id": id, "columns": columns, "rows": rows})
            }
        }
    }
}

fn text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => json!(text),
        Err(_) => json!({"hex": hex::encode(bytes)}),
    }
}

fn parameter(parameter: &Parameter) -> Value {
    match &parameter.value {
        None => Value::Null,
        Some(value) if parameter.binary => json!({"binary": hex::encode(value)}),
        Some(value) => text(value),
    }
}

fn form_names(form: &crate::event::Form) -> Value {
    use crate::event::Form;
    match form {
        Form::Prepare { name } => json!({"statement": visible_bytes(name)}),
        Form::Bind { portal, statement } => {
            json!({"portal": visible_bytes(portal), "statement": visible_bytes(statement)})
        }
        Form::Execute { portal, max_rows } => json!({"portal": visible_bytes(portal), "max_rows": max_rows}),
        Form::FunctionCall { function } => json!({"function": function}),
        Form::Shell { terminal: Some(terminal) } | Form::Command { terminal: Some(terminal) } => json!({
            "terminal": visible_bytes(&terminal.name), "columns": terminal.columns, "rows": terminal.rows,
        }),
        Form::Query
        | Form::Cancel
        | Form::LogIn
        | Form::Shell { terminal: None }
        | Form::Command { terminal: None }
        | Form::Subsystem
        | Form::Forward
        | Form::Api
        | Form::File { .. } => json!({}),
    }
}

/// Writes the statements as SQL text: outcome and bind values as comments; what was refused or failed stays a comment.
///
/// # Errors
/// When the output fails.
pub fn sql_text(timeline: &Timeline, mut out: impl Write) -> io::Result<()> {
    for view in timeline.statements.iter().filter(|view| is_run(view)) {
        writeln!(out, "-- {} stream {} #{} {}", view.at, stream(view), view.id.0, outcome(view))?;
        for (place, value) in view.parameters.iter().enumerate() {
            writeln!(out, "-- {}{}", view.parameter_head(place), value.as_deref().unwrap_or("NULL"))?;
        }
        let commented = view.denied.is_some() || view.error.is_some();
        for line in view.text.lines() {
            writeln!(out, "{}{line}", if commented { "-- " } else { "" })?;
        }
        let ended = view.text.trim_end().ends_with(';') || commented;
        writeln!(out, "{}", if ended { "" } else { ";\n" })?;
    }
    omitted(timeline, &mut out, "-- ")
}

/// Statements that run; a prepare or bind shows again when it is executed.
fn is_run(view: &StatementView) -> bool {
    let fails = view.denied.is_some() || view.error.is_some();
    !view.text.is_empty()
        && (fails || matches!(view.form.as_str(), "query" | "execute" | "command" | "subsystem"))
}

fn stream(view: &StatementView) -> String {
    view.stream.map_or_else(|| "-".to_owned(), |stream| stream.to_string())
}

fn outcome(view: &StatementView) -> String {
    let took = view.duration_us.map(milliseconds).unwrap_or_default();
    if let Some(denied) = &view.denied {
        return format!("refused {}: {}", denied.code, denied.message);
    }
    if let Some(skipped) = view.error.as_ref().filter(|error| error.code.is_empty()) {
        return format!("not run: {}", skipped.message);
    }
    if let Some(error) = &view.error {
        return format!("failed {}: {}{took}", error.code, error.message);
    }
    match &view.tag {
        Some(tag) => format!("{tag}{took}"),
        None => "no outcome recorded".to_owned(),
    }
}

fn milliseconds(micros: u64) -> String {
    format!(" ({}.{:03} ms)", micros / 1_000, micros % 1_000)
}

fn omitted(timeline: &Timeline, out: &mut impl Write, before: &str) -> io::Result<()> {
    match timeline.statements_omitted {
        0 => Ok(()),
        count => writeln!(out, "{before}{count} more statements are left out"),
    }
}

/// The terminal that an asciicast claims.
const TERMINAL: (u16, u16) = (120, 40);
/// Rows of an answer that an asciicast shows.
const CAST_ROWS: usize = 100;
/// Widest column in an asciicast.
const CAST_CELL: usize = 60;

/// Writes the session as an asciicast (version 3): each statement as typed, then its answer as a table.
///
/// # Errors
/// When the output fails.
pub fn asciicast(timeline: &Timeline, title: &str, out: impl Write) -> io::Result<()> {
    let mut cast = Cast { out, last: None };
    let first = timeline.statements.first().map_or(Timestamp::EPOCH, |view| view.at);
    cast.line(&json!({
        "version": 3, "term": {"cols": TERMINAL.0, "rows": TERMINAL.1}, "timestamp": first.as_seconds(),
        "title": crate::visible::visible(title),
    }))?;
    for view in timeline.statements.iter().filter(|view| is_run(view)) {
        cast.output(view.at, &format!("{}=> {}\n", stream(view), view.text))?;
        let took = std::time::Duration::from_micros(view.duration_us.unwrap_or(0));
        cast.output(view.at.after(took), &answer(view))?;
    }
    let mut tail = Vec::new();
    omitted(timeline, &mut tail, "")?;
    let end = cast.last.unwrap_or(first);
    cast.output(end, &String::from_utf8_lossy(&tail))?;
    cast.line(&json!([0.0, "x", "0"]))
}

struct Cast<W> {
    out: W,
    last: Option<Timestamp>,
}

impl<W: Write> Cast<W> {
    fn line(&mut self, value: &Value) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        self.out.write_all(b"\n")
    }

    /// Statements of several streams overlap, so time may seem to go back: the interval is then 0.
    fn output(&mut self, at: Timestamp, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        let interval = self.last.map_or(0.0, |last| at.since(last).as_secs_f64());
        self.last = Some(self.last.map_or(at, |last| last.max(at)));
        let harmless = visible_lines(text).replace('\n', "\r\n");
        self.line(&json!([interval, "o", harmless]))
    }
}

/// What the person saw, about as psql shows it.
#[must_use]
pub fn answer(view: &StatementView) -> String {
    let mut text = table(view);
    for (title, printed) in [("", &view.output), ("standard error:\n", &view.error_output)] {
        if !printed.is_empty() {
            text.push_str(title);
            text.push_str(printed);
            text.push_str(if printed.ends_with('\n') { "" } else { "\n" });
        }
    }
    if view.output_omitted > 0 {
        text.push_str(&format!("... {} more bytes were printed, and are recorded\n", view.output_omitted));
    }
    if !view.entered.is_empty() {
        text.push_str("entered at its prompts, as far as they show it:\n");
        view.entered.iter().for_each(|line| text.push_str(&format!("  {}  {}\n", line.at, line.text)));
    }
    let hidden = view.rows_omitted + view.rows.len().saturating_sub(CAST_ROWS) as u64;
    if hidden > 0 {
        text.push_str(&format!("... {hidden} more rows\n"));
    }
    if view.copied_in + view.copied_out > 0 {
        text.push_str(&format!("copied {} bytes in, {} bytes out\n", view.copied_in, view.copied_out));
    }
    if let Some(limit) = view.curtailed {
        text.push_str(&format!("recorded up to {limit} bytes\n"));
    }
    if !view.masked.is_empty() {
        let counts: Vec<_> = view.masked.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        text.push_str(&format!("masked: {}\n", counts.join(", ")));
    }
    text.push_str(&outcome(view));
    text.push_str("\n\n");
    text
}

fn table(view: &StatementView) -> String {
    if view.columns.is_empty() {
        return String::new();
    }
    let cut = |text: &str| cells::bounded(text.to_owned(), CAST_CELL);
    let header: Vec<String> = view.columns.iter().map(|name| cut(name)).collect();
    let rows: Vec<Vec<String>> = view
        .rows
        .iter()
        .take(CAST_ROWS)
        .map(|row| row.iter().map(|cell| cell.as_deref().map_or_else(String::new, cut)).collect())
        .collect();
    let width = |at: usize| {
        let of = |row: &Vec<String>| row.get(at).map_or(0, |cell| cell.chars().count());
        rows.iter().map(of).chain([of(&header)]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = widths.iter().enumerate().map(|(at, width)| {
            let cell = row.get(at).map_or("", String::as_str);
            format!(" {cell:<width$} ")
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("|").trim_end())
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(width + 2)).collect();
    let mut text = line(&header);
    text.push_str(&rule.join("+"));
    text.push('\n');
    rows.iter().for_each(|row| text.push_str(&line(row)));
    text
}
