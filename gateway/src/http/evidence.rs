//! Reading recordings: replay as a timeline, as it happens or afterwards; download; export; verification. Every read is an
//! event of the ledger, written before the first byte is shown.

pub(super) mod terminal;

use std::{convert::Infallible, io::BufReader, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Path, Query, State},
    http::header,
    response::{
        IntoResponse, Response,
        sse::{Event as ServerEvent, KeepAlive, Sse},
    },
};
use hoop_api::sessions::{Timeline, TimelineEnd, TimelineNote, VerifyReport};
use hoop_ledger::event::EventCode;
use hoop_model::{Blame, Fault, Role, SessionId};
use hoop_recording::{
    Ended, Ending, Manifest, OpenedKey, ReadError, Reader, VerifyingKey, export as exports,
    terminal::TerminalCast,
    timeline::{self, Builder, Limits, NoteView},
    verify::{self, Report, Trust},
    visible::visible,
};
use hoop_store::{SessionRecord, SessionState};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{
    body::Json,
    caller::{Caller, Evidence},
    problem::{Answer, Problematic},
    sessions::{view, visible as visible_session},
};
use crate::{
    hub::{Hub, Shared, event, now},
    recordings::Source,
};

const MOST: u64 = 500;
/// Notes of one recording that are shown, over all pages.
const NOTES: usize = 100_000;
/// Text of one timeline held in memory while it is made.
const TOTAL: usize = 64 << 20;
/// How often a followed recording is looked at.
const LOOK: Duration = Duration::from_millis(700);
/// A statement without an end is shown when nothing new came for so many looks.
const PATIENCE: u32 = 2;
const EXPORT_LIMIT: u64 = 1 << 30;

/// Query of the timeline.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    after: Option<u64>,
    limit: Option<u64>,
    #[serde(default)]
    follow: bool,
}

async fn note(
    hub: &Hub,
    caller: &Caller,
    session: &SessionRecord,
    code: EventCode,
    facts: serde_json::Value,
) -> Answer<()> {
    let subjects = [session.id.into(), session.user.into(), session.connection.into()];
    hub.store.append(&[event(&caller.actor, code, subjects, facts)]).await?;
    Ok(())
}

fn no_recording() -> Problematic {
    let fault = Fault::new("HOOP-6001", Blame::Caller, "this session has no recording yet");
    Problematic::with_status(http::StatusCode::NOT_FOUND, fault)
}

/// A recording that is there to be read.
async fn source_of(hub: &Shared, session: &SessionRecord) -> Answer<Source> {
    if let Some(deleted) = deleted(session) {
        return Err(deleted);
    }
    let (hub, id) = (hub.clone(), session.id);
    let opened = tokio::task::spawn_blocking(move || hub.recordings.read(id)).await;
    opened.map_err(Problematic::internal)?.map_err(not_opened)
}

/// It was deleted because its time was over; the ledger has the proof.
fn deleted(session: &SessionRecord) -> Option<Problematic> {
    let at = session.keeping.deleted_at?;
    let fault = Fault::new(
        "HOOP-6005",
        Blame::Caller,
        format!("this recording was deleted at {at}: its retention was over"),
    )
    .with_hint("`hoop audit ls --code recording.deleted` has what proves it");
    Some(Problematic::with_status(http::StatusCode::GONE, fault))
}

fn not_opened(error: std::io::Error) -> Problematic {
    if error.kind() == std::io::ErrorKind::NotFound {
        return no_recording();
    }
    tracing::error!(%error, "a recording cannot be read");
    let fault =
        Fault::new("HOOP-6006", Blame::System, "the recording cannot be read from where it is stored");
    Problematic::from(fault.with_hint("try again; the gateway's log says what is wrong with its storage"))
}

fn unreadable(error: &ReadError) -> Problematic {
    tracing::warn!(%error, "a recording cannot be played");
    // What is wrong with evidence is for its reader to know; it names places in the file, no content.
    let fault = Fault::new("HOOP-6002", Blame::System, format!("the recording cannot be played: {error}"));
    Problematic::from(fault.with_hint("`hoop sessions verify` names everything that is wrong with it"))
}

pub(super) async fn timeline(
    State(hub): State<Shared>,
    Evidence(caller): Evidence,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Answer<Response> {
    let session = visible_session(&hub, &caller, &id).await?;
    if let Some(deleted) = deleted(&session) {
        return Err(deleted);
    }
    let after = wanted.after.unwrap_or(0);
    let facts = json!({ "follow": wanted.follow, "after": after, "limit": wanted.limit });
    note(&hub, &caller, &session, EventCode::RecordingRead, facts).await?;
    if wanted.follow {
        // What can be known at once is told at once; a recording that has not begun is waited for.
        hub.keys.recording.can_open()?;
        return Ok(follow(&hub, caller, session.id, after));
    }
    let limit = wanted.limit.unwrap_or(100).clamp(1, MOST);
    let id = session.id;
    let key = opened(&hub, id).await?;
    let played = play(&hub, id, key, after.saturating_add(limit).saturating_add(1)).await?;
    let Played { shown, ending } = played;
    let next = after.saturating_add(limit);
    let more = u64::try_from(shown.statements.len()).unwrap_or(u64::MAX) > next;
    let skip = usize::try_from(after).unwrap_or(usize::MAX);
    let page = shown.statements.into_iter().skip(skip).take(usize::try_from(limit).unwrap_or(0));
    let statements = page.map(|statement| serde_json::to_value(statement).map_err(Problematic::internal));
    let answer = Timeline {
        session: view(&hub, session.clone()),
        statements: statements.collect::<Answer<_>>()?,
        notes: numbered(shown.notes).filter(|note| stands_here(note, after, more.then_some(next))).collect(),
        notes_omitted: shown.notes_omitted,
        next: more.then_some(next),
        ending: ending_name(ending.as_ref(), &session).to_owned(),
        ended: ending.as_ref().and_then(signed_end),
    };
    Ok(Json(answer).into_response())
}

/// On the page that begins with statement `after`, before that of `next`? Each note stands on one page.
fn stands_here(note: &TimelineNote, after: u64, next: Option<u64>) -> bool {
    after <= note.before && next.is_none_or(|next| note.before < next)
}

fn numbered(notes: Vec<NoteView>) -> impl Iterator<Item = TimelineNote> {
    (0..).zip(notes).map(|(number, note)| TimelineNote {
        number,
        before: note.before,
        at: note.at,
        stream: note.stream.map(|stream| stream.0),
        kind: note.kind,
        text: note.text,
    })
}

/// The agent's own words, which a hostile agent chooses.
fn signed_end(ending: &Ending) -> Option<TimelineEnd> {
    let (reason, missing) = match &manifest(ending)?.ended {
        Ended::Sealed { reason } => (reason, None),
        Ended::Interrupted { reason, missing } => (reason, Some(visible(missing))),
    };
    Some(TimelineEnd { reason: visible(reason), missing })
}

const fn manifest(ending: &Ending) -> Option<&Manifest> {
    match ending {
        Ending::Sealed(manifest) | Ending::Interrupted(manifest) => Some(manifest),
        Ending::CutOff { .. } => None,
    }
}

/// Gaps that the manifest states and no record tells of: what is missing is told once.
fn stated_gaps(shown: &mut timeline::Timeline, manifest: &Manifest) {
    let before = (shown.statements.len() as u64).saturating_add(shown.statements_omitted);
    for gap in &manifest.gaps {
        let text = visible(&gap.reason);
        let told = |note: &NoteView| note.kind == "gap" && note.text == text;
        if shown.notes.iter().any(told) {
            continue;
        }
        shown.notes.push(NoteView { at: gap.at, before, stream: None, kind: "gap".to_owned(), text });
    }
}

/// `sealed`, `interrupted`, `cut_off`, `live`.
fn ending_name(ending: Option<&Ending>, session: &SessionRecord) -> &'static str {
    let running = matches!(session.state, SessionState::Opening | SessionState::Live | SessionState::Ending);
    match ending {
        Some(Ending::Sealed(_)) => "sealed",
        Some(Ending::Interrupted(_)) => "interrupted",
        _ if running => "live",
        _ => "cut_off",
    }
}

struct Played {
    shown: timeline::Timeline,
    ending: Option<Ending>,
}

/// Opens the data key of a session's recording, by whoever keeps the recording key.
async fn opened(hub: &Shared, id: SessionId) -> Answer<OpenedKey> {
    let task = hub.clone();
    let header = tokio::task::spawn_blocking(move || {
        let source = task.recordings.read(id).map_err(not_opened)?;
        hoop_recording::read_header(BufReader::new(source)).map_err(|error| unreadable(&error))
    });
    let header = header.await.map_err(Problematic::internal)??;
    hub.keys.recording.open(&hub.store, &header).await
}

/// Plays a recording up to `statements`. Few at once: each holds what it shows.
async fn play(hub: &Shared, id: SessionId, key: OpenedKey, statements: u64) -> Answer<Played> {
    let one_of_few = Arc::clone(&hub.reading).acquire_owned().await.map_err(Problematic::internal)?;
    let hub = hub.clone();
    let limits = Limits {
        statements: usize::try_from(statements).unwrap_or(usize::MAX),
        notes: NOTES,
        total: TOTAL,
        ..Limits::default()
    };
    let played = tokio::task::spawn_blocking(move || {
        // Goes on when its reader is gone, and still counts.
        let _one_of_few = one_of_few;
        let source = hub.recordings.read(id).map_err(not_opened)?;
        let unreadable = |error| unreadable(&error);
        let mut reader = Reader::open(BufReader::new(source), &key).map_err(unreadable)?;
        let mut builder = Builder::new(limits);
        while let Some(record) = reader.next_record().map_err(unreadable)? {
            builder.push(&record);
        }
        let (mut shown, ending) = (builder.finish(), reader.ending().cloned());
        if let Some(manifest) = ending.as_ref().and_then(manifest) {
            stated_gaps(&mut shown, manifest);
        }
        Ok(Played { shown, ending })
    });
    played.await.map_err(Problematic::internal)?
}

/// Statements and notes as they happen.
fn follow(hub: &Shared, caller: Caller, id: SessionId, after: u64) -> Response {
    let (sender, receiver) = mpsc::channel::<Result<ServerEvent, Infallible>>(64);
    let task = hub.clone();
    hub.tasks.spawn(async move {
        tokio::select! {
            biased;
            () = task.stopping.cancelled() => {}
            () = sender.closed() => {}
            () = follow_on(&task, &caller, id, after, &sender) => {}
        }
    });
    Sse::new(ReceiverStream::new(receiver)).keep_alive(KeepAlive::default()).into_response()
}

/// May they still read on? Their sign-in and their role, as they are now.
async fn may_still_read(hub: &Hub, caller: &Caller) -> bool {
    let (login, user) = (caller.signed_in.login.id, caller.signed_in.user.id);
    let (Ok(Some(login)), Ok(Some(user))) = (hub.store.login(login).await, hub.store.user(user).await) else {
        return false;
    };
    let signed_in = login.revoked_at.is_none() && login.expires_at > now() && !user.locked;
    signed_in && matches!(user.role, Role::Admin | Role::Auditor)
}

async fn follow_on(
    hub: &Shared,
    caller: &Caller,
    id: SessionId,
    after: u64,
    out: &mpsc::Sender<Result<ServerEvent, Infallible>>,
) {
    let (mut next, mut length, mut still) = (usize::try_from(after).unwrap_or(usize::MAX), 0, 0);
    let (mut next_note, mut key) = (0, None);
    loop {
        if !may_still_read(hub, caller).await {
            return;
        }
        // The state first: what is recorded after this look is seen by the next.
        let over = match hub.store.session(id).await {
            Ok(Some(session)) => matches!(session.state, SessionState::Ended | SessionState::Interrupted),
            _ => true,
        };
        let found = hub.recordings.length(id);
        still = if found == length { still + 1 } else { 0 };
        if found != length || still == PATIENCE || over {
            length = found;
            // Asked for once: a key service is not to be asked each moment.
            if key.is_none() {
                key = opened(hub, id).await.ok();
            }
            let shown = match &key {
                Some(key) => play(hub, id, key.clone(), u64::MAX).await.map(|played| played.shown),
                None => Ok(timeline::Timeline::default()),
            };
            let shown = shown.unwrap_or_default();
            let notes = shown.notes.len();
            for note in numbered(shown.notes).skip(next_note).filter(|note| after <= note.before) {
                let Ok(told) = ServerEvent::default().event("note").json_data(&note) else { return };
                if out.send(Ok(told)).await.is_err() {
                    return;
                }
            }
            next_note = next_note.max(notes);
            let count = shown.statements.len();
            for (index, statement) in shown.statements.into_iter().enumerate().skip(next) {
                let done = statement.tag.is_some() || statement.error.is_some() || statement.denied.is_some();
                // What runs in a terminal is watched there while it runs.
                let done = done || statement.terminal.is_some();
                if !(done || over || still >= PATIENCE || index + 1 < count) {
                    break;
                }
                let Ok(told) = ServerEvent::default().event("statement").json_data(&statement) else {
                    return;
                };
                if out.send(Ok(told)).await.is_err() {
                    return;
                }
                next = index + 1;
            }
        }
        if over {
            let _ = out.send(Ok(ServerEvent::default().event("end").data("{}"))).await;
            return;
        }
        tokio::time::sleep(LOOK).await;
    }
}

pub(super) async fn recording(
    State(hub): State<Shared>,
    Evidence(caller): Evidence,
    Path(id): Path<String>,
) -> Answer<Response> {
    let session = visible_session(&hub, &caller, &id).await?;
    let one_of_few = Arc::clone(&hub.exporting).try_acquire_owned().map_err(|_| Problematic::too_many(10))?;
    let mut source = source_of(&hub, &session).await?;
    note(&hub, &caller, &session, EventCode::RecordingExported, json!({ "format": "hoopr" })).await?;
    let body = written(&hub, u64::MAX, move |mut out| {
        let _one_of_few = one_of_few;
        std::io::copy(&mut source, &mut out).map(|_| ())
    });
    let name = format!("attachment; filename=\"{}.hoopr\"", session.id);
    let headers =
        [(header::CONTENT_TYPE, "application/octet-stream".to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, body).into_response())
}

/// A body that a thread of its own writes.
fn written(
    hub: &Hub,
    most: u64,
    write: impl FnOnce(&mut std::io::BufWriter<Pieces>) -> std::io::Result<()> + Send + 'static,
) -> Body {
    let (sender, receiver) = mpsc::channel::<Result<axum::body::Bytes, std::io::Error>>(8);
    let writing = tokio::task::spawn_blocking(move || {
        let out = Pieces { sender: sender.clone(), left: most };
        let mut out = std::io::BufWriter::with_capacity(64 * 1024, out);
        if let Err(error) = write(&mut out).and_then(|()| std::io::Write::flush(&mut out)) {
            tracing::warn!(%error, "an export of a recording broke off");
            let _ = sender.blocking_send(Err(std::io::Error::other("the export broke off")));
        }
    });
    hub.tasks.spawn(async move {
        let _ = writing.await;
    });
    Body::from_stream(ReceiverStream::new(receiver))
}

/// Query of the export.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportWanted {
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    Jsonl,
    Sql,
    Asciicast,
}

impl Format {
    const fn parts(self) -> (&'static str, &'static str) {
        match self {
            Self::Jsonl => ("application/jsonl", "jsonl"),
            Self::Sql => ("application/sql", "sql"),
            Self::Asciicast => ("application/x-asciicast", "cast"),
        }
    }
}

pub(super) async fn export(
    State(hub): State<Shared>,
    Evidence(caller): Evidence,
    Path(id): Path<String>,
    Query(wanted): Query<ExportWanted>,
) -> Answer<Response> {
    let session = visible_session(&hub, &caller, &id).await?;
    let (media, suffix) = wanted.format.parts();
    let one_of_few = Arc::clone(&hub.exporting).try_acquire_owned().map_err(|_| Problematic::too_many(10))?;
    let source = source_of(&hub, &session).await?;
    let key = opened(&hub, session.id).await?;
    note(&hub, &caller, &session, EventCode::RecordingExported, json!({ "format": suffix })).await?;
    let title = format!("{} on {}", session.user_name, session.connection_name);
    let body = written(&hub, EXPORT_LIMIT, move |out| {
        let _one_of_few = one_of_few;
        write_export(&key, source, wanted.format, &title, out)
    });
    let name = format!("attachment; filename=\"{}.{suffix}\"", session.id);
    let headers = [(header::CONTENT_TYPE, media.to_owned()), (header::CONTENT_DISPOSITION, name)];
    Ok((headers, body).into_response())
}

fn write_export(
    key: &OpenedKey,
    source: Source,
    format: Format,
    title: &str,
    mut out: impl std::io::Write,
) -> std::io::Result<()> {
    let mut reader = Reader::open(BufReader::new(source), key).map_err(std::io::Error::other)?;
    let mut builder = Builder::new(Limits { total: TOTAL, ..Limits::default() });
    if format == Format::Asciicast {
        let mut terminal = TerminalCast::new(title, &mut out);
        while let Some(record) = reader.next_record().map_err(std::io::Error::other)? {
            terminal.push(&record)?;
            builder.push(&record);
        }
        // Where there was a terminal, the cast is what it showed; else the statements are as if typed.
        return if terminal.finish()? { Ok(()) } else { exports::asciicast(&builder.finish(), title, out) };
    }
    let mut lines = exports::JsonLines::new(&mut out);
    while let Some(record) = reader.next_record().map_err(std::io::Error::other)? {
        match format {
            Format::Jsonl => lines.write(&record)?,
            Format::Sql | Format::Asciicast => builder.push(&record),
        }
    }
    drop(lines);
    match format {
        Format::Jsonl => Ok(()),
        Format::Sql => exports::sql_text(&builder.finish(), out),
        Format::Asciicast => exports::asciicast(&builder.finish(), title, out),
    }
}

/// Writes into a response's body, from a blocking thread. A reader that went away ends the work.
struct Pieces {
    sender: mpsc::Sender<Result<axum::body::Bytes, std::io::Error>>,
    left: u64,
}

impl Pieces {
    fn is_unread(&self) -> bool {
        self.sender.is_closed()
    }
}

impl std::io::Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let longer = || std::io::Error::other("longer than an export may be; download the recording itself");
        self.left = self.left.checked_sub(bytes.len() as u64).ok_or_else(longer)?;
        let piece = axum::body::Bytes::copy_from_slice(bytes);
        self.sender.blocking_send(Ok(piece)).map_err(|_| std::io::ErrorKind::BrokenPipe)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) async fn verify(
    State(hub): State<Shared>,
    Evidence(caller): Evidence,
    Path(id): Path<String>,
) -> Answer<Json<VerifyReport>> {
    let session = visible_session(&hub, &caller, &id).await?;
    let agent = hub
        .store
        .agent(session.agent)
        .await?
        .ok_or_else(|| Problematic::internal("a session without its agent"))?;
    let key: [u8; 32] =
        agent.signing_key.as_slice().try_into().map_err(|_| Problematic::internal("signing key"))?;
    let source = match source_of(&hub, &session).await {
        Err(problem) if is_over(&session) && problem.code() == "HOOP-6001" => {
            return gone(&hub, &caller, &session).await;
        }
        opened => opened?,
    };
    let one_of_few = Arc::clone(&hub.reading).acquire_owned().await.map_err(Problematic::internal)?;
    let (task, id) = (hub.clone(), session.id);
    let checked = tokio::task::spawn_blocking(move || {
        let _one_of_few = one_of_few;
        let key = VerifyingKey::from_bytes(key);
        let report = verify::verify_chain(BufReader::new(source), Trust::Key(&key))?;
        let trailer = task.recordings.tail(id, report.bytes)?;
        std::io::Result::Ok((report, trailer.map(|bytes| hoop_recording::Hash::of(&bytes).to_string())))
    });
    let (report, trailer) = checked.await.map_err(Problematic::internal)?.map_err(not_opened)?;
    let mut findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    if report.session != Some(session.id) {
        findings.push("this is another session's recording".to_owned());
    }
    let in_checkpoint = in_ledger(&hub, &session, trailer.as_deref(), &mut findings).await?;
    let answer = VerifyReport {
        session: session.id,
        clean: findings.is_empty() && report.manifest.is_some(),
        chunks: report.chunks,
        head: report.head.map(|head| head.to_string()).unwrap_or_default(),
        signature_ok: report.manifest.is_some(),
        in_checkpoint,
        ending: ending_of(&report, &session).to_owned(),
        findings,
    };
    let facts = json!({ "clean": answer.clean, "findings": answer.findings, "head": answer.head });
    note(&hub, &caller, &session, EventCode::RecordingVerified, facts).await?;
    Ok(Json(answer))
}

const fn is_over(session: &SessionRecord) -> bool {
    !matches!(session.state, SessionState::Opening | SessionState::Live | SessionState::Ending)
}

/// A session that was recorded, and whose file somebody took away: a finding, not a question that makes no sense.
async fn gone(hub: &Hub, caller: &Caller, session: &SessionRecord) -> Answer<Json<VerifyReport>> {
    if session.manifest_seq.is_none() && session.progress.recording_bytes == 0 {
        return Err(no_recording());
    }
    let answer = VerifyReport {
        session: session.id,
        clean: false,
        chunks: 0,
        head: String::new(),
        signature_ok: false,
        in_checkpoint: None,
        ending: "cut_off".to_owned(),
        findings: vec!["the recording's file is not there".to_owned()],
    };
    let facts = json!({ "clean": false, "findings": answer.findings, "head": answer.head });
    note(hub, caller, session, EventCode::RecordingVerified, facts).await?;
    Ok(Json(answer))
}

fn ending_of(report: &Report, session: &SessionRecord) -> &'static str {
    let running = !is_over(session);
    match report.manifest.as_ref().map(|manifest| &manifest.ended) {
        Some(Ended::Sealed { .. }) => "sealed",
        Some(Ended::Interrupted { .. }) => "interrupted",
        None if running => "live",
        None => "cut_off",
    }
}

/// The recording that the ledger tells of must be this one; answers the size of the checkpoint that covers it.
async fn in_ledger(
    hub: &Hub,
    session: &SessionRecord,
    trailer: Option<&str>,
    findings: &mut Vec<String>,
) -> Answer<Option<u64>> {
    let Some(seq) = session.manifest_seq else {
        if session.state == SessionState::Ended {
            findings.push("the ledger does not tell of this recording".to_owned());
        }
        return Ok(None);
    };
    let stored = hub.store.event(seq).await?;
    let leaf: serde_json::Value = serde_json::from_slice(&stored.bytes).map_err(Problematic::internal)?;
    let told = leaf.pointer("/facts/manifest").and_then(serde_json::Value::as_str);
    if told.is_some() && told != trailer {
        findings.push(format!("the ledger's event {seq} tells of another recording"));
    }
    let checkpoint = hub.store.latest_checkpoint().await?;
    Ok(checkpoint.filter(|checkpoint| checkpoint.size > seq).map(|checkpoint| checkpoint.size))
}

#[cfg(test)]
mod tests {
    use hoop_model::Timestamp;
    use hoop_recording::GapStatement;

    use super::*;

    fn note(before: u64, kind: &str, text: &str) -> NoteView {
        let (kind, text) = (kind.to_owned(), text.to_owned());
        NoteView { at: Timestamp::from_micros(1), before, stream: None, kind, text }
    }

    #[test]
    fn each_note_stands_on_one_page() {
        let notes = || numbered((0..=10).map(|before| note(before, "notice", "x")).collect());
        let pages = [(0, Some(4)), (4, Some(8)), (8, None)];
        let numbers = pages.map(|(after, next)| {
            notes().filter(|note| stands_here(note, after, next)).map(|note| note.number).collect::<Vec<_>>()
        });
        assert_eq!(numbers, [vec![0, 1, 2, 3], vec![4, 5, 6, 7], vec![8, 9, 10]]);
        assert_eq!(notes().filter(|note| stands_here(note, 0, None)).count(), 11);
    }

    fn ended(ended: Ended, gaps: &[&str]) -> Manifest {
        let at = Timestamp::from_micros(2);
        let gap = |reason: &&str| GapStatement { at, before_chunk: 0, reason: (*reason).to_owned() };
        Manifest {
            format: 1,
            session: SessionId::generate(),
            header: hoop_recording::Hash::of(b""),
            chunks: 0,
            bytes: 0,
            head: hoop_recording::Hash::of(b""),
            contents: None,
            ended,
            ended_at: at,
            gaps: gaps.iter().map(gap).collect(),
        }
    }

    #[test]
    fn a_gap_that_only_the_manifest_states_is_told_and_no_gap_twice() {
        let sealed = Ended::Sealed { reason: "over".to_owned() };
        let manifest = ended(sealed, &["disk full", "lost\u{202e}", "lost\u{202e}"]);
        let mut shown = timeline::Timeline {
            notes: vec![note(0, "gap", "disk full"), note(0, "notice", "lost\\u{202e}")],
            statements_omitted: 7,
            ..Default::default()
        };
        stated_gaps(&mut shown, &manifest);
        let told: Vec<_> = shown.notes.iter().map(|note| (note.before, &*note.kind, &*note.text)).collect();
        assert_eq!(
            told,
            [(0, "gap", "disk full"), (0, "notice", "lost\\u{202e}"), (7, "gap", "lost\\u{202e}")],
            "as it is shown, at the end, once"
        );
    }

    #[test]
    fn the_agents_words_for_the_end_act_on_no_terminal() {
        let (reason, missing) = ("power\x1b[2J".to_owned(), "a second\u{7}".to_owned());
        let ending = Ending::Interrupted(ended(Ended::Interrupted { reason, missing }, &[]));
        let end = signed_end(&ending).unwrap();
        assert_eq!((&*end.reason, end.missing.as_deref()), ("power\\x1b[2J", Some("a second\\x07")));
        assert_eq!(signed_end(&Ending::CutOff { after_chunk: None, offset: 0 }), None);
    }
}
