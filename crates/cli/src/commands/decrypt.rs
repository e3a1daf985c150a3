//! Recordings decrypted here, with the private half of their key: to be played, or written in another form. Nobody is asked.

use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufWriter, Read, Write},
    path::Path,
};

use bytes::Bytes;
use hoop_client::{Api, ClientError, profile};
use hoop_model::SessionId;
use hoop_recording::{
    Ended, Ending, Event, Header, Manifest, Reader, Record, RecordingPrivateKey, Timeline, export as exports,
    terminal::{TerminalCast, Which},
    timeline::{Builder, Limits},
};

use super::{file, verify};
use crate::{
    args::{Decrypt, DecryptForm},
    failure::Result,
    output::{Out, text},
    replay,
};

/// A recording, decrypted.
pub(super) struct Opened {
    pub(super) header: Header,
    pub(super) timeline: Timeline,
    /// What its terminals showed, each as an asciicast; none where that is too much to hold.
    pub(super) terminals: HashMap<Which, Bytes>,
    pub(super) ending: Option<Ending>,
    /// What stands before a damaged place is shown all the same.
    pub(super) broken: Option<ClientError>,
}

impl Opened {
    /// As [`ended`].
    pub(super) fn ended(&self) -> (&'static str, Option<(&str, Option<&str>)>) {
        ended(self.ending.as_ref())
    }
}

/// Bytes that terminals showed, held to be drawn.
const MOST_SHOWN: usize = 128 << 20;

/// Gathers what all terminals of a recording showed.
#[derive(Default)]
struct Terminals {
    casts: HashMap<Which, TerminalCast<Vec<u8>>>,
    shown: usize,
}

impl Terminals {
    fn push(&mut self, record: &Record) -> io::Result<()> {
        let id = match &record.event {
            Event::Request { id, form, .. } if form.terminal().is_some() => {
                let which = (record.stream, *id);
                self.casts.insert(which, TerminalCast::new("", Vec::new()).of(which));
                id
            }
            Event::Copy { id, data, .. } => {
                self.shown = self.shown.saturating_add(data.len());
                id
            }
            Event::Resized { id, .. } | Event::Completed { id, .. } | Event::Failed { id: Some(id), .. } => {
                id
            }
            _ => return Ok(()),
        };
        if self.shown > MOST_SHOWN {
            self.casts.clear();
        }
        self.casts.get_mut(&(record.stream, *id)).map_or(Ok(()), |cast| cast.push(record))
    }

    fn finish(self) -> HashMap<Which, Bytes> {
        self.casts.into_iter().map(|(which, cast)| (which, cast.into_inner().into())).collect()
    }
}

/// `sealed`, `interrupted` or `cut_off`; and in the agent's words why it ended and what may be missing.
fn ended(ending: Option<&Ending>) -> (&'static str, Option<(&str, Option<&str>)>) {
    let (how, manifest): (_, Option<&Manifest>) = match ending {
        Some(Ending::Sealed(manifest)) => ("sealed", Some(manifest)),
        Some(Ending::Interrupted(manifest)) => ("interrupted", Some(manifest)),
        _ => ("cut_off", None),
    };
    let words = manifest.map(|manifest| match &manifest.ended {
        Ended::Sealed { reason } => (reason.as_str(), None),
        Ended::Interrupted { reason, missing } => (reason.as_str(), Some(missing.as_str())),
    });
    (how, words)
}

/// A recording whose records went out as lines.
pub(super) struct Lines {
    pub(super) header: Header,
    ending: Option<Ending>,
}

impl Lines {
    /// As [`ended`].
    pub(super) fn ended(&self) -> (&'static str, Option<(&str, Option<&str>)>) {
        ended(self.ending.as_ref())
    }
}

/// Hands out all records, each as a line of JSON. A damaged place is an error.
pub(super) fn lines(
    input: impl Read,
    what: &str,
    key: &RecordingPrivateKey,
    mut each: impl FnMut(Bytes) -> io::Result<()>,
) -> Result<Lines> {
    let mut lines = exports::JsonLines::new(Line::default());
    let read = records(input, what, key, |record| {
        lines.write(&record)?;
        each(lines.get_mut().take())
    })?;
    match read.broken {
        Some(broken) => Err(broken.into()),
        None => Ok(Lines { header: read.header, ending: read.ending }),
    }
}

/// What was written since it was last taken.
#[derive(Default)]
struct Line(Vec<u8>);

impl Line {
    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.0).into()
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The private half, from its file.
pub(super) fn private_key(path: &Path) -> Result<RecordingPrivateKey> {
    let key = RecordingPrivateKey::from_pem(&file::read_text(path)?);
    Ok(key.map_err(|error| ClientError::usage("HOOP-1018", format!("{}: {error}", path.display())))?)
}

fn unreadable(what: &str, error: &dyn std::fmt::Display) -> ClientError {
    ClientError::own("HOOP-1018", format!("{what} cannot be decrypted: {error}"))
        .hint("`hoop sessions verify` names what is wrong with it")
}

/// Decrypts all of it for showing.
pub(super) fn open(input: impl Read, what: &str, key: &RecordingPrivateKey) -> Result<Opened> {
    let (mut builder, mut terminals) = (Builder::new(Limits::default()), Terminals::default());
    let read = records(input, what, key, |record| {
        builder.push(&record);
        terminals.push(&record)
    })?;
    let (timeline, terminals) = (builder.finish(), terminals.finish());
    Ok(Opened { header: read.header, timeline, terminals, ending: read.ending, broken: read.broken })
}

/// Fetches a session's recording as it is stored, and decrypts it here.
pub(super) async fn fetch(api: &Api, id: SessionId, key: RecordingPrivateKey) -> Result<Opened> {
    let body = api.recording(id).await?;
    verify::through(body, move |pieces| open(pieces, &id.to_string(), &key)).await?
}

struct Outcome {
    header: Header,
    ending: Option<Ending>,
    broken: Option<ClientError>,
}

/// Hands out the records up to the end or a damaged place.
fn records(
    input: impl Read,
    what: &str,
    key: &RecordingPrivateKey,
    mut each: impl FnMut(Record) -> io::Result<()>,
) -> Result<Outcome> {
    let mut reader = Reader::open(input, key).map_err(|error| unreadable(what, &error))?;
    let broken = loop {
        match reader.next_record() {
            Ok(Some(record)) => each(record)?,
            Ok(None) => break None,
            Err(error) => break Some(unreadable(what, &error)),
        }
    };
    Ok(Outcome { header: reader.header().clone(), ending: reader.ending().cloned(), broken })
}

/// `hoop audit decrypt`.
pub(super) fn decrypt(args: &Decrypt, out: &Out) -> Result {
    let key = private_key(&args.key)?;
    let input = file::open(&args.file)?;
    let what = args.file.display().to_string();
    let broken = match args.out.as_deref().filter(|path| *path != Path::new("-")) {
        None => write(input, &what, &key, args.format, &mut io::stdout().lock())?,
        Some(path) => {
            let unusable = |error| {
                ClientError::usage("HOOP-1016", format!("{} cannot be written: {error}", path.display()))
            };
            // What was encrypted is their owner's alone when it no longer is.
            profile::write_private(path, b"").map_err(unusable)?;
            let target = File::options().append(true).open(path).map_err(unusable)?;
            let broken = write(input, &what, &key, args.format, &mut BufWriter::new(target))?;
            out.note(format!(
                "{} was written; it is not encrypted.",
                text::line(&path.display().to_string())
            ));
            broken
        }
    };
    broken.map_or(Ok(()), |error| Err(error.into()))
}

fn write(
    input: impl Read,
    what: &str,
    key: &RecordingPrivateKey,
    form: DecryptForm,
    to: &mut impl Write,
) -> Result<Option<ClientError>> {
    if form == DecryptForm::Jsonl {
        let mut lines = exports::JsonLines::new(&mut *to);
        let read = records(input, what, key, |record| lines.write(&record))?;
        to.flush()?;
        return Ok(read.broken);
    }
    if form == DecryptForm::Asciicast {
        return cast(input, what, key, to);
    }
    let opened = open(input, what, key)?;
    match form {
        DecryptForm::Sql => exports::sql_text(&opened.timeline, &mut *to)?,
        DecryptForm::Text | DecryptForm::Jsonl | DecryptForm::Asciicast => plain(&opened, to)?,
    }
    to.flush()?;
    Ok(opened.broken)
}

/// Where there was a terminal, what it showed; else the statements as if typed.
fn cast(
    input: impl Read,
    what: &str,
    key: &RecordingPrivateKey,
    to: &mut impl Write,
) -> Result<Option<ClientError>> {
    let mut reader = Reader::open(input, key).map_err(|error| unreadable(what, &error))?;
    let fact = |name| reader.header().fact(name).unwrap_or("?");
    let title = format!("{} on {}", fact("person"), fact("connection"));
    let (mut terminal, mut builder) = (TerminalCast::new(&title, &mut *to), Builder::new(Limits::default()));
    let broken = loop {
        match reader.next_record() {
            Ok(Some(record)) => {
                terminal.push(&record)?;
                builder.push(&record);
            }
            Ok(None) => break None,
            Err(error) => break Some(unreadable(what, &error)),
        }
    };
    if !terminal.finish()? {
        exports::asciicast(&builder.finish(), &title, &mut *to)?;
    }
    to.flush()?;
    Ok(broken)
}

/// As `hoop sessions replay` shows it, without colours.
fn plain(opened: &Opened, to: &mut impl Write) -> io::Result<()> {
    let out = Out::plain();
    writeln!(to, "{} of {}\n", opened.header.session, opened.header.started_at)?;
    let mut notes = opened.timeline.notes.iter().peekable();
    let note = |to: &mut dyn Write, note: &hoop_recording::timeline::NoteView| {
        writeln!(to, "{}", replay::beside(&note.at, &note.kind, &note.text, &out))
    };
    for (index, view) in (0..).zip(&opened.timeline.statements) {
        while let Some(one) = notes.next_if(|note| note.before <= index) {
            note(to, one)?;
        }
        if replay::is_shown(view) {
            writeln!(
                to,
                "{}\n{}\n",
                replay::question(view, &out).trim_end(),
                replay::reply(view, &out).trim_end()
            )?;
        }
    }
    for one in notes {
        note(to, one)?;
    }
    let (how, words) = opened.ended();
    writeln!(to, "{how}: {}", words.map(|(reason, _)| text::line(reason)).unwrap_or_default())
}
