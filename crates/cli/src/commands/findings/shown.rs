//! The texts of a recording that somebody was shown: cells, bulk data, errors and notices, each with the statement that asked for
//! it. What the person sent is not among them.
//!
//! Reads the JSON lines of an export, so that it is the same for a recording that the gateway decrypts and for one that is
//! decrypted here.

use std::{collections::BTreeMap, sync::Arc};

use hoop_client::ClientError;
use hoop_recording::{redact_literals, visible::visible};
use serde_json::Value;

use crate::failure::Result;

/// Requests whose answers are awaited; names of prepared statements and portals.
const MOST_OPEN: usize = 10_000;
/// Bytes of bulk data that are held until a line ends.
const LONGEST_LINE: usize = 1 << 20;
/// Characters of a statement as it is reported.
const LONGEST_STATEMENT: usize = 1_000;

/// Where a text stood.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    /// In a column of this name.
    Column(Arc<str>),
    /// In what `COPY` sent.
    Copy,
    /// In an error's message.
    Error,
    /// In a notice, a notification or a setting.
    Said(&'static str),
}

impl Place {
    /// What it is, and what it is called.
    pub(super) fn parts(&self) -> (&'static str, Option<&str>) {
        match self {
            Self::Column(name) => ("column", Some(name)),
            Self::Copy => ("copy", None),
            Self::Error => ("error", None),
            Self::Said(kind) => (kind, None),
        }
    }
}

/// A text that somebody was shown.
pub(super) struct Shown {
    /// What asked for it, without its literals; empty for what came by itself.
    pub(super) statement: Arc<str>,
    pub(super) place: Place,
    pub(super) text: String,
}

/// What else a recording says that a reader of findings must know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// What is missing, and why.
    pub(super) gaps: Vec<String>,
    /// Answers that were counted and not kept.
    pub(super) curtailed: u64,
    /// What was masked, by kind.
    pub(super) masked: BTreeMap<String, u64>,
}

/// Gaps that are told one by one.
const MOST_GAPS: usize = 100;

#[derive(Default)]
struct Request {
    statement: Arc<str>,
    columns: Vec<Arc<str>>,
    /// Of bulk data: what has no end of line yet.
    rest: Vec<u8>,
}

/// Reads line by line.
#[derive(Default)]
pub(super) struct Reader {
    open: BTreeMap<(u64, u64), Request>,
    prepared: BTreeMap<(u64, String), Arc<str>>,
    portals: BTreeMap<(u64, String), Arc<str>>,
    pub(super) told: Told,
}

fn not_understood() -> ClientError {
    ClientError::own("HOOP-1009", "a line of the recording's export is not understood")
        .hint("is the gateway of a version near to this command's?")
}

impl Reader {
    /// What a line shows.
    pub(super) fn line(&mut self, line: &[u8]) -> Result<Vec<Shown>> {
        let line: Value = serde_json::from_slice(line).map_err(|_| not_understood())?;
        let kind = line.get("kind").and_then(Value::as_str).ok_or_else(not_understood)?;
        let number = |field: &str| line.get(field).and_then(Value::as_u64);
        let key =
            (number("stream").map_or(0, |stream| stream.saturating_add(1)), number("id").unwrap_or(u64::MAX));
        let mut shown = Vec::new();
        match kind {
            "request" => self.request(key, &line),
            "columns" => self.columns(key, &line)?,
            "rows" => self.rows(key, &line, &mut shown)?,
            "copy" if line.get("direction").and_then(Value::as_str) == Some("out") => {
                self.copy(key, &bytes_of(line.get("data"))?, &mut shown);
            }
            "failed" => {
                self.shown(key, Place::Error, &bytes_of(line.get("message"))?, &mut shown);
                self.ended(key, &mut shown);
            }
            // A query of several statements ends once for each, and goes on to show rows.
            "completed" => self.flush(key, &mut shown),
            "notice" | "notification" | "setting" => {
                let said = ["notice", "notification", "setting"].into_iter().find(|said| *said == kind);
                let place = Place::Said(said.unwrap_or("notice"));
                self.shown((0, u64::MAX), place, &bytes_of(line.get("text"))?, &mut shown);
            }
            "curtailed" => self.told.curtailed += 1,
            "masked" => self.masked(&line),
            "gap" => self.gap(&line),
            // What says nothing of the target's own, and kinds of later versions.
            _ => {}
        }
        Ok(shown)
    }

    /// What is held at the end of the recording.
    pub(super) fn finish(&mut self) -> Vec<Shown> {
        let mut shown = Vec::new();
        let keys: Vec<_> = self.open.keys().copied().collect();
        keys.into_iter().for_each(|key| self.ended(key, &mut shown));
        shown
    }

    fn request(&mut self, key: (u64, u64), line: &Value) {
        let text = bytes_of(line.get("text")).unwrap_or_default();
        let name = |field: &str| {
            let name = line.get("names").and_then(|names| names.get(field)).and_then(Value::as_str);
            (key.0, name.unwrap_or_default().to_owned())
        };
        let spelled = || -> Arc<str> { shortened(&redact_literals(&text)).into() };
        let statement = match line.get("form").and_then(Value::as_str) {
            Some("prepare") => {
                let statement = spelled();
                keep(&mut self.prepared, name("statement"), Arc::clone(&statement));
                statement
            }
            Some("bind") => {
                let statement = self.prepared.get(&name("statement")).cloned().unwrap_or_default();
                keep(&mut self.portals, name("portal"), Arc::clone(&statement));
                statement
            }
            Some("execute") if text.is_empty() => {
                self.portals.get(&name("portal")).cloned().unwrap_or_default()
            }
            _ => spelled(),
        };
        keep(&mut self.open, key, Request { statement, ..Request::default() });
    }

    fn columns(&mut self, key: (u64, u64), line: &Value) -> Result {
        let columns = line.get("columns").and_then(Value::as_array).ok_or_else(not_understood)?;
        let name = |column: &Value| -> Result<Arc<str>> {
            Ok(visible(&String::from_utf8_lossy(&bytes_of(column.get("name"))?)).into())
        };
        let columns = columns.iter().map(name).collect::<Result<_>>()?;
        self.open.entry(key).or_default().columns = columns;
        Ok(())
    }

    fn rows(&mut self, key: (u64, u64), line: &Value, shown: &mut Vec<Shown>) -> Result {
        let rows = line.get("rows").and_then(Value::as_array).ok_or_else(not_understood)?;
        let nameless: Arc<str> = "?".into();
        for row in rows {
            for (at, cell) in row.as_array().ok_or_else(not_understood)?.iter().enumerate() {
                let columns = self.open.get(&key).map_or(&[][..], |request| &request.columns);
                let name = Arc::clone(columns.get(at).unwrap_or(&nameless));
                if !cell.is_null() {
                    self.shown(key, Place::Column(name), &bytes_of(Some(cell))?, shown);
                }
            }
        }
        Ok(())
    }

    /// Whole lines, as far as they are there.
    fn copy(&mut self, key: (u64, u64), data: &[u8], shown: &mut Vec<Shown>) {
        let rest = &mut self.open.entry(key).or_default().rest;
        rest.extend_from_slice(data);
        let end = rest.iter().rposition(|byte| *byte == b'\n').map(|end| end + 1);
        if let Some(end) = end.or((rest.len() > LONGEST_LINE).then_some(rest.len())) {
            let lines: Vec<u8> = rest.drain(..end).collect();
            self.shown(key, Place::Copy, &lines, shown);
        }
    }

    fn flush(&mut self, key: (u64, u64), shown: &mut Vec<Shown>) {
        let rest = self.open.get_mut(&key).map(|request| std::mem::take(&mut request.rest));
        if let Some(rest) = rest.filter(|rest| !rest.is_empty()) {
            self.shown(key, Place::Copy, &rest, shown);
        }
    }

    fn ended(&mut self, key: (u64, u64), shown: &mut Vec<Shown>) {
        self.flush(key, shown);
        self.open.remove(&key);
    }

    fn shown(&self, key: (u64, u64), place: Place, text: &[u8], shown: &mut Vec<Shown>) {
        if text.is_empty() {
            return;
        }
        let statement = self.open.get(&key).map(|request| Arc::clone(&request.statement)).unwrap_or_default();
        shown.push(Shown { statement, place, text: String::from_utf8_lossy(text).into_owned() });
    }

    fn masked(&mut self, line: &Value) {
        for (kind, count) in line.get("counts").and_then(Value::as_object).into_iter().flatten() {
            let known = self.told.masked.entry(visible(kind)).or_default();
            *known = known.saturating_add(count.as_u64().unwrap_or(0));
        }
    }

    fn gap(&mut self, line: &Value) {
        if self.told.gaps.len() < MOST_GAPS {
            self.told.gaps.push(visible(line.get("reason").and_then(Value::as_str).unwrap_or("?")));
        }
    }
}

/// Keeps it; of too many, any other is given up: what is shown then has no statement beside it.
fn keep<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, value: V) {
    if map.len() >= MOST_OPEN && !map.contains_key(&key) {
        map.pop_first();
    }
    map.insert(key, value);
}

fn shortened(statement: &str) -> String {
    let mut line = visible(statement);
    if let Some((end, _)) = line.char_indices().nth(LONGEST_STATEMENT) {
        line.truncate(end);
        line.push('…');
    }
    line
}

/// A text as an export writes it: a string, or `{"hex": …}` where it is no UTF-8; binary data in hex is looked at as what it is.
fn bytes_of(value: Option<&Value>) -> Result<Vec<u8>> {
    let text = match value {
        Some(Value::String(text)) => {
            return Ok(text
                .strip_prefix("\\x")
                .and_then(from_hex)
                .unwrap_or_else(|| text.clone().into_bytes()));
        }
        Some(Value::Object(fields)) => fields.get("hex").and_then(Value::as_str),
        _ => None,
    };
    Ok(text.and_then(from_hex).ok_or_else(not_understood)?)
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(lines: &[&str]) -> (Vec<(String, String, String)>, Told) {
        let mut reader = Reader::default();
        let mut all: Vec<Shown> =
            lines.iter().flat_map(|line| reader.line(line.as_bytes()).unwrap()).collect();
        all.extend(reader.finish());
        let told = |shown: Shown| {
            let (kind, name) = shown.place.parts();
            let place = name.map_or(kind.to_owned(), |name| format!("{kind} {name}"));
            (shown.statement.to_string(), place, shown.text)
        };
        (all.into_iter().map(told).collect(), reader.told)
    }

    #[test]
    fn what_was_shown_stands_beside_the_statement_that_asked_for_it() {
        let (shown, told) = read(&[
            r#"{"kind":"opened","stream":0,"facts":{"user":"ada"}}"#,
            r#"{"kind":"request","stream":0,"id":1,"form":"query","text":"select * from t where a = 'secret'","names":{},"parameters":[]}"#,
            r#"{"kind":"columns","stream":0,"id":1,"columns":[{"name":"a","type":25,"binary":false},{"name":"b","type":17,"binary":true}]}"#,
            r#"{"kind":"rows","stream":0,"id":1,"count":2,"rows":[["one","\\x74776f"],[null,{"hex":"ff41"}]]}"#,
            r#"{"kind":"masked","stream":0,"id":1,"counts":{"ssn":2}}"#,
            r#"{"kind":"completed","stream":0,"id":1,"tag":"SELECT 2","rows":2,"bytes":9,"duration_us":1}"#,
            r#"{"kind":"request","stream":0,"id":2,"form":"prepare","text":"select 7","names":{"statement":"p"},"parameters":[]}"#,
            r#"{"kind":"request","stream":0,"id":3,"form":"bind","text":"","names":{"portal":"","statement":"p"},"parameters":["x"]}"#,
            r#"{"kind":"request","stream":0,"id":4,"form":"execute","text":"","names":{"portal":""},"parameters":[]}"#,
            r#"{"kind":"failed","stream":0,"id":4,"code":"22P02","message":"bad: three","duration_us":1}"#,
            r#"{"kind":"request","stream":1,"id":1,"form":"query","text":"copy t to stdout","names":{},"parameters":[]}"#,
            r#"{"kind":"copy","stream":1,"id":1,"direction":"out","data":"fo"}"#,
            r#"{"kind":"copy","stream":1,"id":1,"direction":"in","data":"mine"}"#,
            r#"{"kind":"copy","stream":1,"id":1,"direction":"out","data":"ur\nfi"}"#,
            r#"{"kind":"copy","stream":1,"id":1,"direction":"out","data":"ve"}"#,
            r#"{"kind":"notice","stream":1,"text":"six"}"#,
            r#"{"kind":"curtailed","stream":1,"id":1,"limit":9}"#,
            r#"{"kind":"gap","reason":"the spool was full"}"#,
            r#"{"kind":"of another day"}"#,
        ]);
        let line = |statement: &str, place: &str, text: &str| {
            (statement.to_owned(), place.to_owned(), text.to_owned())
        };
        let query = "select * from t where a = ?";
        assert_eq!(
            shown,
            [
                line(query, "column a", "one"),
                line(query, "column b", "two"),
                line(query, "column b", "\u{fffd}A"),
                line("select ?", "error", "bad: three"),
                line("copy t to stdout", "copy", "four\n"),
                line("", "notice", "six"),
                line("copy t to stdout", "copy", "five"),
            ]
        );
        let masked = BTreeMap::from([("ssn".to_owned(), 2)]);
        assert_eq!(told, Told { gaps: vec!["the spool was full".to_owned()], curtailed: 1, masked });
    }

    #[test]
    fn a_line_that_is_none_is_an_error() {
        for line in [
            "",
            "{}",
            "[]",
            r#"{"kind":"rows"}"#,
            r#"{"kind":"rows","rows":[1]}"#,
            r#"{"kind":"failed","message":7}"#,
        ] {
            assert!(Reader::default().line(line.as_bytes()).is_err(), "{line}");
        }
    }
}
