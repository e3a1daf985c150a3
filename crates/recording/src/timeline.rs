//! A recording as a person reads it: statements in order, each with its values, answer and outcome.
//!
//! The console's replay, `hoop sessions replay` and the exports all show this. It is bounded by [`Limits`]; what was
//! left out is counted. All text is harmless to show: see [`crate::visible`].

mod correct;

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use hoop_model::{StreamId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{
    cells::{self, bounded, column_name, render, render_parameter},
    event::{Column, Direction, Event, FileOperation, Form, Parameter, Record, RequestId, Said},
    names::Names,
    terminal::{self, Harmless, Text, commands::Commands},
    visible::{visible, visible_bytes, visible_lines},
};

/// Kinds of what was masked; there are no more.
const MOST_KINDS: usize = 64;
/// Lines that were entered at the prompts of one terminal.
const MOST_ENTERED: usize = 1_000;
/// So much of what a terminal showed is looked at for them.
const LOOKED_AT: usize = 16 << 20;
/// Characters of the tags of a query that held several statements.
const MAX_TAGS: usize = 1_000;

/// How much to show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Statements.
    pub statements: usize,
    /// Notes; gaps come on top, as many again.
    pub notes: usize,
    /// Rows a statement.
    pub rows: usize,
    /// Characters a cell or value.
    pub cell: usize,
    /// Characters of a statement's text.
    pub text: usize,
    /// Bytes of text of all statements, values and cells together; a quarter of it again for all notes.
    pub total: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { statements: 10_000, notes: 10_000, rows: 200, cell: 1_000, text: 100_000, total: 32 << 20 }
    }
}

/// A refusal or an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemView {
    /// Its code.
    pub code: String,
    /// As the person was told.
    pub message: String,
}

/// One request and all that came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatementView {
    /// On which stream.
    pub stream: Option<StreamId>,
    /// Its number on that stream.
    pub id: RequestId,
    /// When it was asked.
    pub at: Timestamp,
    /// By which wire form: `query`, `prepare`, `bind`, `execute`, `function_call`, `cancel`, `log_in`, `shell`, `command`,
    /// `subsystem`, `forward`, `api`; of files `read_file`, `write_file`, `read_and_write_file`, `list_folder`, `remove_file`,
    /// `rename_file`, `make_folder`, `remove_folder`, `change_attributes`, `link_file`.
    pub form: String,
    /// The statement; for `bind` and `execute` that of the prepared statement.
    pub text: String,
    /// Bind values in order; `null`: NULL. Of a request to an API its path, and then each field that it sets.
    pub parameters: Vec<Option<String>>,
    /// Names of the answer's columns.
    pub columns: Vec<String>,
    /// The first rows, as the person saw them.
    pub rows: Vec<Vec<Option<String>>>,
    /// Rows that were recorded but are left out here.
    pub rows_omitted: u64,
    /// What the target said at the end (`SELECT 42`); of several statements in one query, joined by `; `.
    pub tag: Option<String>,
    /// Rows returned or changed.
    pub rows_count: u64,
    /// Bytes of bulk data from the client.
    pub copied_in: u64,
    /// Bytes of bulk data to the client.
    pub copied_out: u64,
    /// How long it took, in microseconds.
    pub duration_us: Option<u64>,
    /// The target's error.
    pub error: Option<ProblemView>,
    /// The refusal: it never reached the target.
    pub denied: Option<ProblemView>,
    /// From so many bytes on the answer was counted, not kept.
    pub curtailed: Option<u64>,
    /// How much of the answer was masked, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub masked: BTreeMap<String, u64>,
    /// What a host's shell or command printed, or an API answered, as text; of a terminal, as it came and not as it stood on the screen.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub output: String,
    /// What it printed apart from that, as its errors.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error_output: String,
    /// Bytes that it printed and that are left out of both.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub output_omitted: u64,
    /// The terminal that it had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminal: Option<TerminalView>,
    /// What was entered at the prompts of that terminal, as far as they show it: up to a thousand, in the first 16 MiB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entered: Vec<EnteredView>,
}

/// A line that was entered at a prompt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnteredView {
    /// When.
    pub at: Timestamp,
    /// As it was drawn.
    pub text: String,
}

impl StatementView {
    /// What stands before a parameter, by its place.
    #[must_use]
    pub fn parameter_head(&self, place: usize) -> String {
        match (self.form.as_str(), place) {
            ("api", 0) => "path ".to_owned(),
            ("api", _) => "sets ".to_owned(),
            _ => format!("${} = ", place + 1),
        }
    }
}

/// The size of a terminal, at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalView {
    /// Width in characters.
    pub columns: u32,
    /// Height in characters.
    pub rows: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Something that happened outside any statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoteView {
    /// When.
    pub at: Timestamp,
    /// How many statements had been asked by then: it stands before the one with this index.
    pub before: u64,
    /// On which stream.
    pub stream: Option<StreamId>,
    /// `opened`, `closed`, `notice`, `notification`, `setting`, `error`, `gap`.
    pub kind: String,
    /// For a person to read.
    pub text: String,
}

/// A recording as a person reads it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Timeline {
    /// In the order asked.
    pub statements: Vec<StatementView>,
    /// In the order they happened.
    pub notes: Vec<NoteView>,
    /// Statements beyond the limit.
    pub statements_omitted: u64,
    /// Notes beyond the limit.
    pub notes_omitted: u64,
}

/// Makes the timeline of records.
pub fn timeline(records: impl IntoIterator<Item = Record>, limits: &Limits) -> Timeline {
    let mut builder = Builder::new(*limits);
    records.into_iter().for_each(|record| builder.push(&record));
    builder.finish()
}

/// Makes a timeline record by record.
#[derive(Debug)]
pub struct Builder {
    limits: Limits,
    timeline: Timeline,
    open: HashMap<(Option<StreamId>, RequestId), Open>,
    prepared: Names<String>,
    portals: Names<(String, Values)>,
    /// For each statement the request that its text is from.
    sources: Vec<Option<RequestId>>,
    /// Up to here all requests of a stream were answered.
    answered: HashMap<Option<StreamId>, RequestId>,
    /// Bytes of text that may still be shown.
    left: usize,
    /// The same for notes: a target that talks without end crowds out no statement.
    notes_left: usize,
    gaps: usize,
}

/// Bind values as shown.
type Values = Vec<Option<String>>;

#[derive(Debug)]
struct Open {
    index: usize,
    /// The name that it gives.
    name: Bytes,
    columns: Vec<Column>,
    /// It prints text, in pieces that may split a character.
    prints: Option<Printing>,
}

#[derive(Debug, Default)]
struct Printing {
    output: Text,
    errors: Text,
    prompts: Option<Prompts>,
}

/// What is looked for in a terminal.
#[derive(Debug)]
struct Prompts {
    harmless: Harmless,
    commands: Commands,
    left: usize,
}

impl Builder {
    /// An empty timeline.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            timeline: Timeline::default(),
            open: HashMap::new(),
            prepared: Names::new(limits.statements),
            portals: Names::new(limits.statements),
            sources: Vec::new(),
            answered: HashMap::new(),
            left: limits.total,
            notes_left: limits.total / 4,
            gaps: 0,
        }
    }

    /// The timeline so far.
    #[must_use]
    pub fn finish(self) -> Timeline {
        self.timeline
    }

    /// Adds a record.
    pub fn push(&mut self, record: &Record) {
        match &record.event {
            Event::Request { id, form, text, parameters } => {
                self.request(record, *id, form, text, parameters)
            }
            Event::Columns { id, columns } => self.columns(record, *id, columns),
            Event::Rows { id, count, data } => self.rows(record, *id, *count, data),
            Event::Copy { id, direction, data } => {
                self.update(record, *id, |view| match direction {
                    Direction::In => view.copied_in += data.len() as u64,
                    Direction::Out | Direction::Error => view.copied_out += data.len() as u64,
                });
                if *direction != Direction::In {
                    self.printed(record, *id, *direction, data);
                }
            }
            Event::Resized { .. } => {}
            Event::Curtailed { id, limit } => self.update(record, *id, |view| view.curtailed = Some(*limit)),
            Event::Masked { id, counts } => self.update(record, *id, |view| {
                for (kind, count) in counts.iter().take(MOST_KINDS) {
                    let known = view.masked.entry(visible(kind)).or_default();
                    *known = known.saturating_add(*count);
                }
            }),
            Event::Completed { id, tag, rows, duration_us, .. } => {
                self.answered.insert(record.stream, *id);
                self.update(record, *id, |view| {
                    // A query of several statements ends once for each.
                    let before =
                        view.tag.take().map(|tags| bounded(tags, MAX_TAGS) + "; ").unwrap_or_default();
                    view.tag = Some(before + &visible_bytes(tag));
                    view.rows_count = view.rows_count.saturating_add(*rows);
                    view.duration_us = Some(*duration_us);
                })
            }
            Event::Failed { id: Some(id), code, message, duration_us } => {
                self.take_back(record.stream, *id);
                self.update(record, *id, |view| {
                    view.error =
                        Some(ProblemView { code: visible_bytes(code), message: visible_bytes(message) });
                    view.duration_us = Some(*duration_us);
                })
            }
            Event::Denied { id, code, message } => {
                self.take_back(record.stream, *id);
                self.update(record, *id, |view| {
                    view.denied = Some(ProblemView { code: visible(code), message: visible(message) });
                });
            }
            Event::Opened { .. }
            | Event::Failed { id: None, .. }
            | Event::Said { .. }
            | Event::Closed { .. }
            | Event::Gap { .. } => self.note(record),
        }
    }

    fn update(&mut self, record: &Record, id: RequestId, change: impl FnOnce(&mut StatementView)) {
        let open = self.open.get(&(record.stream, id));
        if let Some(view) = open.and_then(|open| self.timeline.statements.get_mut(open.index)) {
            change(view);
        }
    }

    fn request(
        &mut self,
        record: &Record,
        id: RequestId,
        form: &Form,
        text: &Bytes,
        parameters: &[Parameter],
    ) {
        if self.timeline.statements.len() >= self.limits.statements || self.left == 0 {
            self.open.remove(&(record.stream, id));
            self.timeline.statements_omitted += 1;
            return;
        }
        let limit = self.limits.cell;
        let shown = bounded(visible_lines(&String::from_utf8_lossy(text)), self.limits.text);
        let values =
            parameters.iter().map(|value| render_parameter(value).map(|text| bounded(text, limit))).collect();
        let (source, name) = (self.source(record.stream, form), name_given(form));
        let (text, parameters) = self.resolve((record.stream, id), form, shown, values);
        self.left = self.left.saturating_sub(text.len() + length_of(&parameters));
        let prompts = form.terminal().map(|terminal| Prompts {
            harmless: Harmless::for_terminals(),
            commands: Commands::new(terminal::size(terminal).columns),
            left: LOOKED_AT,
        });
        let prints = matches!(form, Form::Shell { .. } | Form::Command { .. } | Form::Api)
            .then(|| Printing { prompts, ..Printing::default() });
        let open = Open { index: self.timeline.statements.len(), name, columns: Vec::new(), prints };
        self.open.insert((record.stream, id), open);
        self.sources.push(source);
        self.timeline.statements.push(StatementView {
            stream: record.stream,
            id,
            at: record.at,
            form: form_name(form).to_owned(),
            text,
            parameters,
            columns: Vec::new(),
            rows: Vec::new(),
            rows_omitted: 0,
            tag: None,
            rows_count: 0,
            copied_in: 0,
            copied_out: 0,
            duration_us: None,
            error: None,
            denied: None,
            curtailed: None,
            masked: BTreeMap::new(),
            output: String::new(),
            error_output: String::new(),
            output_omitted: 0,
            terminal: form.terminal().map(terminal::size),
            entered: Vec::new(),
        });
    }

    /// A bound or executed statement shows the text that was prepared and the values that were bound.
    fn resolve(
        &mut self,
        (stream, id): (Option<StreamId>, RequestId),
        form: &Form,
        text: String,
        values: Values,
    ) -> (String, Values) {
        let answered = self.answered.get(&stream).copied().unwrap_or_default();
        match form {
            Form::Prepare { name } => {
                self.prepared.give(stream, name, id, text.clone(), answered);
                (text, values)
            }
            Form::Bind { portal, statement } => {
                let known = || self.prepared.find(stream, statement).map(|(_, text)| text.clone());
                let text = if text.is_empty() { known().unwrap_or_default() } else { text };
                self.portals.give(stream, portal, id, (text.clone(), values.clone()), answered);
                (text, values)
            }
            Form::Execute { portal, .. } if text.is_empty() => {
                self.portals.find(stream, portal).map(|(_, bound)| bound.clone()).unwrap_or_default()
            }
            _ => (text, values),
        }
    }

    /// Which request the text of a bound or executed one is from.
    fn source(&self, stream: Option<StreamId>, form: &Form) -> Option<RequestId> {
        match form {
            Form::Bind { statement, .. } => self.prepared.find(stream, statement).map(|(id, _)| *id),
            Form::Execute { portal, .. } => self.portals.find(stream, portal).map(|(id, _)| *id),
            _ => None,
        }
    }

    fn columns(&mut self, record: &Record, id: RequestId, columns: &[Column]) {
        let Some(open) = self.open.get_mut(&(record.stream, id)) else { return };
        open.columns = columns.to_vec();
        if let Some(view) = self.timeline.statements.get_mut(open.index) {
            view.columns =
                columns.iter().map(|column| bounded(column_name(column), self.limits.cell)).collect();
        }
    }

    fn rows(&mut self, record: &Record, id: RequestId, count: u32, data: &Bytes) {
        let Some(open) = self.open.get(&(record.stream, id)) else { return };
        let Some(view) = self.timeline.statements.get_mut(open.index) else { return };
        let before = view.rows.len();
        for row in cells::rows(data).take(self.limits.rows.saturating_sub(before)) {
            let cells = row.iter().enumerate().map(|(at, cell)| {
                cell.as_ref().map(|cell| bounded(render(open.columns.get(at), cell), self.limits.cell))
            });
            let cells: Values = cells.collect();
            let length = length_of(&cells);
            if length > self.left {
                break;
            }
            self.left -= length;
            view.rows.push(cells);
        }
        let shown = view.rows.len() - before;
        view.rows_omitted += u64::from(count).saturating_sub(shown as u64);
    }

    /// Text of a host, up to the limits.
    fn printed(&mut self, record: &Record, id: RequestId, direction: Direction, data: &Bytes) {
        let Some(open) = self.open.get_mut(&(record.stream, id)) else { return };
        let (Some(printing), Some(view)) = (&mut open.prints, self.timeline.statements.get_mut(open.index))
        else {
            return;
        };
        if let (Some(prompts), Direction::Out | Direction::Error) = (&mut printing.prompts, direction) {
            let looked_at = data.get(..prompts.left.min(data.len())).unwrap_or_default();
            prompts.left -= looked_at.len();
            for text in prompts.commands.show(&prompts.harmless.show(looked_at)) {
                let text = bounded(visible(&text), self.limits.cell);
                if view.entered.len() < MOST_ENTERED && text.len() <= self.left {
                    self.left -= text.len();
                    view.entered.push(EnteredView { at: record.at, text });
                }
            }
        }
        let (text, shown) = match direction {
            Direction::Error if view.terminal.is_none() => (&mut printing.errors, &mut view.error_output),
            _ => (&mut printing.output, &mut view.output),
        };
        // No more bytes become text than there is room for.
        let room = self.limits.text.saturating_sub(shown.len()).min(self.left).min(data.len());
        let (head, rest) = data.split_at(room);
        view.output_omitted += rest.len() as u64;
        let more = visible_lines(&text.show(head));
        self.left = self.left.saturating_sub(more.len());
        shown.push_str(&more);
    }

    fn note(&mut self, record: &Record) {
        let (kind, text) = match &record.event {
            Event::Opened { facts } => {
                let facts: Vec<_> = facts.iter().map(|(name, value)| format!("{name}={value}")).collect();
                ("opened", visible(&facts.join(", ")))
            }
            Event::Said { kind: Said::Notice, text } => ("notice", visible_bytes(text)),
            Event::Said { kind: Said::Notification, text } => ("notification", visible_bytes(text)),
            Event::Said { kind: Said::Setting, text } => ("setting", visible_bytes(text)),
            Event::Closed { reason, bytes_in, bytes_out } => {
                ("closed", format!("{} ({bytes_in} bytes in, {bytes_out} bytes out)", visible(reason)))
            }
            Event::Failed { code, message, .. } => {
                ("error", format!("{}: {}", visible_bytes(code), visible_bytes(message)))
            }
            Event::Gap { reason } => ("gap", visible(reason)),
            _ => return,
        };
        let text = bounded(text, self.limits.cell);
        // That something is missing is told whatever else was.
        let is_gap = matches!(record.event, Event::Gap { .. });
        let count = if is_gap { self.gaps } else { self.timeline.notes.len() };
        if count >= self.limits.notes || (self.notes_left == 0 && !is_gap) {
            self.timeline.notes_omitted += 1;
            return;
        }
        self.gaps += usize::from(is_gap);
        self.notes_left = self.notes_left.saturating_sub(text.len() + 64);
        self.timeline.notes.push(NoteView {
            at: record.at,
            before: (self.timeline.statements.len() as u64).saturating_add(self.timeline.statements_omitted),
            stream: record.stream,
            kind: kind.to_owned(),
            text,
        });
    }
}

/// A cell counts for at least a few bytes, so that rows of NULLs are bounded too.
fn length_of(values: &[Option<String>]) -> usize {
    values.iter().map(|value| 32 + value.as_ref().map_or(0, String::len)).sum()
}

/// The name that a request gives to something, if it does.
fn name_given(form: &Form) -> Bytes {
    match form {
        Form::Prepare { name } => name.clone(),
        Form::Bind { portal, .. } => portal.clone(),
        _ => Bytes::new(),
    }
}

/// The name of a wire form.
#[must_use]
pub const fn form_name(form: &Form) -> &'static str {
    match form {
        Form::Query => "query",
        Form::Prepare { .. } => "prepare",
        Form::Bind { .. } => "bind",
        Form::Execute { .. } => "execute",
        Form::FunctionCall { .. } => "function_call",
        Form::Cancel => "cancel",
        Form::LogIn => "log_in",
        Form::Shell { .. } => "shell",
        Form::Command { .. } => "command",
        Form::Subsystem => "subsystem",
        Form::Forward => "forward",
        Form::Api => "api",
        Form::File { operation } => match operation {
            FileOperation::Read => "read_file",
            FileOperation::Write => "write_file",
            FileOperation::ReadWrite => "read_and_write_file",
            FileOperation::List => "list_folder",
            FileOperation::Remove => "remove_file",
            FileOperation::Rename => "rename_file",
            FileOperation::MakeFolder => "make_folder",
            FileOperation::RemoveFolder => "remove_folder",
            FileOperation::Attributes => "change_attributes",
            FileOperation::Link => "link_file",
        },
    }
}
