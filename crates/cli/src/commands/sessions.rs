//! `hoop sessions`.

use std::{collections::HashMap, io::IsTerminal as _, time::Duration};

use bytes::Bytes;
use hoop_api::sessions::{SessionState, SessionView, TimelineNote};
use hoop_client::{Api, ClientError, ExportFormat, events::EventReader};
use hoop_model::{SessionId, Timestamp};
use hoop_recording::{StatementView, terminal::Which};
use serde_json::{Value, json};

use super::{
    account::{ago, span, word},
    api, copies,
    decrypt::{self, Opened},
    file, findings, verify,
};
use crate::{
    args::{Export, ExportForm, Kill, Replay, Sessions, SessionsLs, VerifySession},
    failure::Result,
    output::{Look, Out, Table, facts, text},
    replay::{self, Pace},
    screen::{self, Source},
};

/// As many as the API gives at once.
const PAGE: usize = 200;
const STATEMENTS: u32 = 500;

pub(super) async fn run(command: Sessions, out: &Out) -> Result {
    match command {
        Sessions::Ls(args) => ls(&args, out).await,
        Sessions::Show(args) => show(args.id, out).await,
        Sessions::Replay(args) => replay(&args, out).await,
        Sessions::Findings(args) => findings::run(&args, out).await,
        Sessions::Tail(args) => tail(args.id, out).await,
        Sessions::Kill(args) => kill(args, out).await,
        Sessions::Export(args) => export(&args, out).await,
        Sessions::Verify(VerifySession { file: Some(path), .. }) => verify::offline(&path, out),
        Sessions::Verify(args) => verify::online(&api()?, wanted(args.id)?, out).await,
    }
}

pub(super) fn wanted(id: Option<SessionId>) -> Result<SessionId> {
    Ok(id.ok_or_else(|| ClientError::usage("HOOP-1015", "which session?").hint("see `hoop sessions ls`"))?)
}

async fn ls(args: &SessionsLs, out: &Out) -> Result {
    let api = api()?;
    let mut query = Vec::new();
    let state = if args.live {
        Some("live")
    } else if args.past {
        Some("past")
    } else {
        None
    };
    query.extend(state.map(|state| ("state", state.to_owned())));
    query.extend(args.user.as_ref().map(|user| ("user", user.to_string())));
    query.extend(args.connection.as_ref().map(|connection| ("connection", connection.to_string())));
    query.extend(args.span.since.map(|since| ("since", since.to_string())));
    query.extend(args.span.until.map(|until| ("until", until.to_string())));
    let sessions = out.waiting("Asking the gateway", pages(&api, &query, args.span.limit)).await?;
    out.data(
        &sessions,
        |sessions| {
            if sessions.is_empty() { "No sessions.".to_owned() } else { table(sessions) }
        },
    )?;
    Ok(())
}

async fn pages(api: &Api, filter: &[(&str, String)], limit: usize) -> Result<Vec<SessionView>> {
    let mut sessions: Vec<SessionView> = Vec::new();
    let mut after = None;
    while sessions.len() < limit {
        let mut query = filter.to_vec();
        query.push(("limit", (limit - sessions.len()).min(PAGE).to_string()));
        query.extend(after.take().map(|after| ("after", after)));
        let page = api.sessions(&query).await?;
        let empty = page.items.is_empty();
        sessions.extend(page.items);
        after = page.next;
        if after.is_none() || empty {
            break;
        }
    }
    sessions.truncate(limit);
    Ok(sessions)
}

pub(super) fn table(sessions: &[SessionView]) -> String {
    let mut table = Table::new([
        "SESSION",
        "USER",
        "CONNECTION",
        "STATE",
        "STARTED",
        "LASTED",
        "REQUESTS",
        "ROWS",
        "ENDED BECAUSE",
    ]);
    for session in sessions {
        table.row([
            &session.id.to_string(),
            session.user.as_str(),
            session.connection.as_str(),
            &word(&session.state),
            &seconds(session.started_at),
            &lasted(session),
            &counted(session, session.requests),
            &counted(session, session.rows),
            &text::short(session.end_reason.as_deref().unwrap_or("-"), 40),
        ]);
    }
    table.render()
}

/// `2026-11-22 09:00:00Z`.
fn seconds(at: Timestamp) -> String {
    let text = at.to_string();
    let whole = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
    format!("{}Z", whole.trim_end_matches('Z').replace('T', " "))
}

fn lasted(session: &SessionView) -> String {
    session
        .ended_at
        .map_or_else(|| ago(session.started_at), |end| span(end.since(session.started_at).as_secs()))
}

/// Of an interrupted session it is what its agent had told last: the recording may hold more.
fn counted(session: &SessionView, count: u64) -> String {
    let least = if session.state == SessionState::Interrupted { "≥ " } else { "" };
    format!("{least}{count}")
}

async fn show(id: SessionId, out: &Out) -> Result {
    let api = api()?;
    let session = out.waiting("Asking the gateway", api.session(id)).await?;
    out.data(&session, |session| {
        facts(&[
            ("session", session.id.to_string()),
            ("state", word(&session.state)),
            ("user", format!("{} from {}", session.user, session.address)),
            (
                "connection",
                format!("{} ({}) through {}", session.connection, session.protocol, session.agent),
            ),
            ("started", seconds(session.started_at)),
            ("ended", session.ended_at.map_or_else(|| "-".to_owned(), seconds)),
            ("ended because", session.end_reason.clone().unwrap_or_else(|| "-".to_owned())),
            ("lasted", lasted(session)),
            ("allowed by", session.allowed_because.clone()),
            ("rules", rules(session)),
            ("reason given", session.reason.clone().unwrap_or_else(|| "-".to_owned())),
            ("requests", counted(session, session.requests)),
            ("rows shown", counted(session, session.rows)),
            ("bytes shown", counted(session, session.bytes_out)),
            ("recording", format!("{} bytes", session.recording_bytes)),
        ])
    })?;
    Ok(())
}

/// Which rules let them in: the version, and what proves it.
fn rules(session: &SessionView) -> String {
    match (session.rules_version, &session.rules_sha256) {
        (Some(version), Some(sha256)) => format!("version {version}, SHA-256 {sha256}"),
        _ => "-".to_owned(),
    }
}

// --- replay

async fn replay(args: &Replay, out: &Out) -> Result {
    let longest = Duration::try_from_secs_f64(args.idle_limit).map_err(|_| {
        ClientError::usage("HOOP-1015", "a pause cannot be cut to that").hint("--idle-limit 2, in seconds")
    })?;
    let player = Player::new(Pace::new(args.speed, args.no_wait, longest), args.from);
    let Some(key) = &args.key else {
        return replay_session(&api()?, wanted(args.id)?, player, out).await;
    };
    let key = decrypt::private_key(key)?;
    let opened = match &args.file {
        Some(path) => decrypt::open(file::open(path)?, &path.display().to_string(), &key)?,
        None => {
            let api = api()?;
            out.waiting("Fetching", decrypt::fetch(&api, wanted(args.id)?, key)).await?
        }
    };
    replay_opened(opened, player, out).await
}

async fn replay_session(api: &Api, id: SessionId, mut player: Player, out: &Out) -> Result {
    let mut first = out.waiting("Asking the gateway", api.timeline(id, 0, STATEMENTS)).await?;
    if out.is_json() {
        let mut statements = std::mem::take(&mut first.statements);
        let mut notes = std::mem::take(&mut first.notes);
        let mut next = first.next;
        while let Some(after) = next {
            let page = api.timeline(id, after, STATEMENTS).await?;
            statements.extend(page.statements);
            notes.extend(page.notes);
            next = page.next.filter(|next| *next > after);
        }
        return Ok(out.json(&json!({
            "session": first.session, "statements": statements, "notes": notes,
            "notes_omitted": first.notes_omitted, "ending": first.ending, "ended": first.ended,
        }))?);
    }
    let session = &first.session;
    heading(&format!("{} on {}, {}", session.user, session.connection, seconds(session.started_at)), out)?;
    player.screens = Screens::Gateway(api.clone(), id);
    player.started_at = Some(session.started_at);
    let mut page = first;
    let mut from = 0;
    loop {
        let mut notes = page.notes.iter().peekable();
        for (index, value) in (from..).zip(&page.statements) {
            while let Some(note) = notes.next_if(|note| note.before <= index) {
                show_note(&note.at, &note.kind, &note.text, out)?;
            }
            player.play(&statement(value)?, out).await?;
        }
        notes.try_for_each(|note| show_note(&note.at, &note.kind, &note.text, out))?;
        let Some(after) = page.next else { break };
        page = api.timeline(id, after, STATEMENTS).await?;
        from = after;
        if page.statements.is_empty() {
            break;
        }
    }
    notes_omitted(page.notes_omitted, out)?;
    let ended = page.ended.as_ref().map(|ended| (ended.reason.as_str(), ended.missing.as_deref()));
    ending(&page.ending, ended, out)
}

async fn replay_opened(mut opened: Opened, mut player: Player, out: &Out) -> Result {
    player.screens = Screens::Held(std::mem::take(&mut opened.terminals));
    let (header, timeline) = (&opened.header, &opened.timeline);
    let (how, ended) = opened.ended();
    if out.is_json() {
        out.json(&json!({
            "session": header.session.to_string(), "facts": header.facts, "statements": timeline.statements,
            "notes": timeline.notes, "ending": how,
        }))?;
    } else {
        heading(&format!("{} of {}", header.session, seconds(header.started_at)), out)?;
        player.started_at = Some(header.started_at);
        let mut notes = timeline.notes.iter().peekable();
        for (index, view) in (0..).zip(&timeline.statements) {
            while let Some(note) = notes.next_if(|note| note.before <= index) {
                show_note(&note.at, &note.kind, &note.text, out)?;
            }
            player.play(view, out).await?;
        }
        notes.try_for_each(|note| show_note(&note.at, &note.kind, &note.text, out))?;
        notes_omitted(timeline.notes_omitted, out)?;
        ending(how, ended, out)?;
    }
    opened.broken.map_or(Ok(()), |error| Err(error.into()))
}

fn heading(text: &str, out: &Out) -> Result {
    Ok(out.line(format!("{}\n", out.look(Look::Bold, &text::line(text))))?)
}

fn show_note(at: &Timestamp, kind: &str, told: &str, out: &Out) -> Result {
    Ok(out.line(replay::beside(at, kind, told, out))?)
}

fn notes_omitted(count: u64, out: &Out) -> Result {
    if count > 0 {
        out.line(out.look(Look::Yellow, &format!("{count} more notes are left out here.")))?;
    }
    Ok(())
}

fn ending(how: &str, ended: Option<(&str, Option<&str>)>, out: &Out) -> Result {
    if let Some((reason, missing)) = ended {
        out.line(format!("It ended: {}", text::line(reason)))?;
        if let Some(missing) = missing {
            out.line(out.look(Look::Red, &text::line(&format!("What may be missing: {missing}"))))?;
        }
    }
    let (look, told) = match how {
        "sealed" => (Look::Green, "The recording is sealed: this is all of it."),
        "live" => (Look::Yellow, "The session goes on: hoop sessions tail"),
        "interrupted" => (Look::Yellow, "The recording was interrupted: what came after is missing."),
        _ => (Look::Yellow, "The recording is cut off here."),
    };
    Ok(out.line(out.look(look, told))?)
}

fn statement(value: &Value) -> Result<StatementView> {
    serde_json::from_value(value.clone())
        .map_err(|_| ClientError::own("HOOP-1009", "a statement of the timeline is not understood").into())
}

/// Plays statements in their own time.
struct Player {
    pace: Pace,
    /// What was before is left out.
    from: Duration,
    started_at: Option<Timestamp>,
    last: Option<Timestamp>,
    screens: Screens,
}

/// Where what terminals showed can be had.
enum Screens {
    Nowhere,
    Gateway(Api, SessionId),
    Held(HashMap<Which, Bytes>),
}

impl Screens {
    /// That of a statement, if there is one to be drawn, and something to draw on.
    async fn of(&self, view: &StatementView) -> Result<Option<Source>> {
        if view.terminal.is_none() || !std::io::stdout().is_terminal() {
            return Ok(None);
        }
        Ok(match self {
            Self::Nowhere => None,
            Self::Gateway(api, id) => {
                Some(Source::Gateway(api.terminal(*id, stream(view)?, view.id.0, false).await?))
            }
            Self::Held(casts) => casts.get(&(view.stream, view.id)).cloned().map(Source::Held),
        })
    }
}

impl Player {
    const fn new(pace: Pace, from: Duration) -> Self {
        Self { pace, from, started_at: None, last: None, screens: Screens::Nowhere }
    }

    async fn play(&mut self, view: &StatementView, out: &Out) -> Result {
        let took = replay::duration(view);
        let began = self.started_at.map(|start| view.at.since(start)).unwrap_or_default();
        let ended_before = view.duration_us.is_some() && began + took < self.from;
        if !replay::is_shown(view) || (ended_before && !self.from.is_zero()) {
            return Ok(());
        }
        let since = self.last.map(|last| view.at.since(last)).unwrap_or_default();
        tokio::time::sleep(self.pace.pause(since)).await;
        out.line(replay::question(view, out).trim_end())?;
        self.last = Some(view.at.after(took));
        let screen = if self.pace == Pace::AtOnce { None } else { self.screens.of(view).await? };
        match screen {
            Some(cast) => told(screen::play(cast, self.pace, self.from.saturating_sub(began)).await?, out),
            None => {
                tokio::time::sleep(self.pace.pause(took)).await;
                out.line(replay::reply(view, out).trim_end())?;
                if view.output_omitted > 0 {
                    let rest = "all that was printed: hoop sessions export SESSION -f jsonl";
                    out.line(out.look(Look::Yellow, rest))?;
                }
                Ok(out.line("")?)
            }
        }
    }
}

/// Every terminal belongs to one.
fn stream(view: &StatementView) -> Result<u32> {
    Ok(view.stream.map(|stream| stream.0).ok_or_else(not_understood)?)
}

fn told(end: screen::End, out: &Out) -> Result {
    let line = match end {
        screen::End::Exit(status) => format!("exit {status}"),
        screen::End::Open => "no more of it is recorded".to_owned(),
    };
    Ok(out.line(out.look(Look::Dim, &line))?)
}

async fn tail(id: SessionId, out: &Out) -> Result {
    let api = api()?;
    let mut body = api.follow_timeline(id, 0).await?;
    let mut events = EventReader::default();
    let mut player = Player::new(Pace::AtOnce, Duration::ZERO);
    let draws = std::io::stdout().is_terminal();
    let mut over = false;
    while let Some(piece) = body.next().await? {
        for event in events.push(&piece)? {
            over |= event.kind == "end";
            if !matches!(event.kind.as_str(), "statement" | "note") {
                continue;
            }
            let value: Value = serde_json::from_str(&event.data).map_err(|_| not_understood())?;
            if out.is_json() {
                let line = if event.kind == "note" { json!({ "note": value }) } else { value };
                out.line(line.to_string())?;
            } else if event.kind == "note" {
                let note: TimelineNote = serde_json::from_value(value).map_err(|_| not_understood())?;
                show_note(&note.at, &note.kind, &note.text, out)?;
            } else {
                let view = statement(&value)?;
                if draws && view.terminal.is_some() {
                    out.line(replay::question(&view, out).trim_end())?;
                    let body = api.terminal(id, stream(&view)?, view.id.0, true).await?;
                    told(screen::play(Source::Gateway(body), Pace::AtOnce, Duration::ZERO).await?, out)?;
                } else {
                    player.play(&view, out).await?;
                }
            }
        }
    }
    // A gateway that stops ends the answer as well, and the session goes on.
    if !over {
        let error = ClientError::away("HOOP-1006", "the gateway broke off; the session may go on");
        return Err(error.hint("follow it again with `hoop sessions tail`").into());
    }
    if !out.is_json() {
        out.note("The session is over.");
    }
    Ok(())
}

fn not_understood() -> ClientError {
    ClientError::own("HOOP-1009", "an event of the session is not understood")
}

// --- the rest

async fn kill(args: Kill, out: &Out) -> Result {
    let api = api()?;
    out.waiting("Ending the session", api.kill_session(args.id, args.reason)).await?;
    out.data(&json!({ "session": args.id.to_string(), "killed": true }), |_| {
        format!("{} was ended.", args.id)
    })?;
    Ok(())
}

async fn export(args: &Export, out: &Out) -> Result {
    let api = api()?;
    if let Some(folder) = &args.files {
        let body = api.export_session(args.id, ExportFormat::JsonLines).await?;
        return copies::save(body, folder, out).await;
    }
    let body = match args.format {
        ExportForm::Raw => api.recording(args.id).await?,
        ExportForm::Jsonl => api.export_session(args.id, ExportFormat::JsonLines).await?,
        ExportForm::Sql => api.export_session(args.id, ExportFormat::Sql).await?,
        ExportForm::Asciicast => api.export_session(args.id, ExportFormat::Asciicast).await?,
    };
    let saving = file::save(body, args.out.as_deref());
    match &args.out {
        Some(path) => {
            let length = out.waiting("Writing", saving).await?;
            out.note(format!("{}: {length} bytes", path.display()));
        }
        None => {
            saving.await?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session() -> SessionView {
        serde_json::from_value(json!({
            "id": "ses_aaaaaaaaaaaaaaaaaaaaaaaaaa", "user": "ada", "connection": "pg", "protocol": "postgres", "agent": "dc1",
            "state": "ended", "started_at": "2026-11-22T09:00:00Z", "ended_at": "2026-11-22T09:05:00Z",
            "end_reason": "killed: \u{1b}[31mrude", "address": "127.0.0.1", "allowed_because": "dba", "requests": 3, "rows": 10,
            "bytes_out": 100, "recording_bytes": 2000,
        }))
        .unwrap()
    }

    #[test]
    fn the_list_is_one_line_a_session() {
        let shown = table(&[session()]);
        assert_eq!(shown.lines().count(), 2, "{shown}");
        let row = shown.lines().last().unwrap();
        let wanted = "ses_aaaaaaaaaaaaaaaaaaaaaaaaaa  ada   pg          ended  2026-11-22 09:00:00Z  5 min   3         10    killed: \\x1b[31mrude";
        assert_eq!(row, wanted);
    }

    #[test]
    fn the_figures_of_an_interrupted_session_are_the_least() {
        let interrupted = SessionView { state: SessionState::Interrupted, ..session() };
        let row = table(&[interrupted]).lines().last().unwrap().to_owned();
        assert!(row.contains("  ≥ 3       ≥ 10  killed"), "{row}");
    }

    #[test]
    fn json_keeps_its_fields() {
        let value = serde_json::to_value(session()).unwrap();
        let names: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        let wanted = [
            "address",
            "agent",
            "allowed_because",
            "bytes_out",
            "connection",
            "end_reason",
            "ended_at",
            "id",
            "protocol",
            "recording_bytes",
            "requests",
            "rows",
            "started_at",
            "state",
            "user",
        ];
        assert!(wanted.iter().all(|name| names.contains(name)), "{names:?}");
    }

    #[test]
    fn a_statement_that_is_none_is_an_error() {
        for value in [json!(null), json!({}), json!({"form": 3})] {
            assert_eq!(statement(&value).unwrap_err().code(), 1);
        }
    }
}
