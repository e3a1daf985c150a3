//! What a terminal showed, for people: as an asciicast that a player plays, or as text.
//!
//! What a host prints drives the terminal of whoever looks at it. So only what draws passes (see `harmless`); what answers,
//! copies, names windows or opens links does not (THREATS B10).

pub(crate) mod commands;
mod harmless;

use std::io::{self, Write};

use hoop_model::{StreamId, Timestamp};
use serde_json::{Value, json};

pub use harmless::{Harmless, Text};

use self::commands::Commands;
use crate::{
    event::{Direction, Event, Record, RequestId, Terminal},
    timeline::TerminalView,
    visible::{visible, visible_bytes},
};

/// Largest terminal that a player is told of.
const MOST_COLUMNS: u32 = 500;
const MOST_ROWS: u32 = 300;

/// Which terminal of a recording: what ran in it, by stream and number there.
pub type Which = (Option<StreamId>, RequestId);

/// Writes one terminal of a recording as an asciicast (version 3), record by record: the first, unless another is wanted. What was
/// entered at a shell's prompts, as far as they show it, becomes markers.
#[derive(Debug)]
pub struct TerminalCast<W> {
    out: W,
    title: String,
    wanted: Option<Which>,
    shown: Option<Shown>,
}

#[derive(Debug)]
struct Shown {
    stream: Option<StreamId>,
    id: RequestId,
    last: Timestamp,
    harmless: Harmless,
    commands: Commands,
    over: bool,
}

impl<W: Write> TerminalCast<W> {
    /// Begins.
    pub fn new(title: &str, out: W) -> Self {
        Self { out, title: visible(title), wanted: None, shown: None }
    }

    /// This one.
    #[must_use]
    pub fn of(self, which: Which) -> Self {
        Self { wanted: Some(which), ..self }
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.out
    }

    /// What ran in it has ended: no more is written.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.shown.as_ref().is_some_and(|shown| shown.over)
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// When the output fails.
    pub fn push(&mut self, record: &Record) -> io::Result<()> {
        let Some(shown) = &mut self.shown else { return self.begin(record) };
        if shown.over || record.stream != shown.stream {
            return Ok(());
        }
        let mine = |id: &RequestId| *id == shown.id;
        let mut entered = Vec::new();
        let event = match &record.event {
            Event::Copy { id, direction: Direction::Out | Direction::Error, data } if mine(id) => {
                let text = shown.harmless.show(data);
                if text.is_empty() {
                    return Ok(());
                }
                entered = shown.commands.show(&text);
                ("o", text)
            }
            Event::Resized { id, columns, rows } if mine(id) => {
                let (columns, rows) = bounded(*columns, *rows);
                shown.commands.resize(columns);
                ("r", format!("{columns}x{rows}"))
            }
            Event::Completed { id, tag, .. } if mine(id) => {
                shown.over = true;
                let tag = visible_bytes(tag);
                let status = tag.strip_prefix("exit ").and_then(|status| status.parse::<u8>().ok());
                ("x", status.unwrap_or(u8::MAX).to_string())
            }
            Event::Failed { id: Some(id), .. } if mine(id) => {
                shown.over = true;
                ("x", u8::MAX.to_string())
            }
            _ => return Ok(()),
        };
        let interval = record.at.since(shown.last).as_secs_f64();
        shown.last = shown.last.max(record.at);
        self.line(&json!([interval, event.0, event.1]))?;
        entered.into_iter().try_for_each(|command| self.line(&json!([0.0, "m", command])))
    }

    /// Whether there was a terminal; else nothing was written.
    ///
    /// # Errors
    /// When the output fails.
    pub fn finish(mut self) -> io::Result<bool> {
        self.out.flush()?;
        Ok(self.shown.is_some())
    }

    fn begin(&mut self, record: &Record) -> io::Result<()> {
        let Event::Request { id, form, text, .. } = &record.event else { return Ok(()) };
        let Some(terminal) = form.terminal() else { return Ok(()) };
        if self.wanted.is_some_and(|wanted| wanted != (record.stream, *id)) {
            return Ok(());
        }
        let TerminalView { columns, rows } = size(terminal);
        let name = &terminal.name;
        self.shown = Some(Shown {
            stream: record.stream,
            id: *id,
            last: record.at,
            harmless: Harmless::for_terminals(),
            commands: Commands::new(columns),
            over: false,
        });
        let mut header = json!({
            "version": 3, "term": {"cols": columns, "rows": rows, "type": visible_bytes(name)},
            "timestamp": record.at.as_seconds(), "title": self.title,
        });
        if !text.is_empty() {
            header["command"] = json!(visible_bytes(text));
        }
        self.line(&header)
    }

    fn line(&mut self, value: &Value) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, value)?;
        self.out.write_all(b"\n")
    }
}

/// As a player is told of it.
pub(crate) fn size(terminal: &Terminal) -> TerminalView {
    let (columns, rows) = bounded(terminal.columns, terminal.rows);
    TerminalView { columns, rows }
}

fn bounded(columns: u32, rows: u32) -> (u32, u32) {
    (columns.clamp(1, MOST_COLUMNS), rows.clamp(1, MOST_ROWS))
}

#[cfg(test)]
mod tests;
