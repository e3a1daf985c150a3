//! `hoop audit`.

use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use clap::ValueEnum as _;
use hoop_api::audit::{EventView, LedgerReport};
use hoop_client::{Api, ClientError};
use hoop_ledger::{CheckpointKey, Recordings, Report, SignedCheckpoint, Witnesses, verify_witnessed};
use hoop_model::SessionId;

use super::{api, decrypt, file, proofs, recording_keys, search, verify::verdict};
use crate::{
    args::{Audit, AuditExport, AuditLs, AuditVerify, AuditWitnesses, LedgerFormat},
    failure::{Failure, Result},
    output::{Out, Table, facts, text},
};

/// As many as the API gives at once.
const PAGE: usize = 500;

pub(super) async fn run(command: Audit, out: &Out) -> Result {
    match command {
        Audit::Ls(args) => ls(&args, out).await,
        Audit::Verify(AuditVerify { export: Some(path), key, older, recordings, witnesses, .. }) => {
            let witnesses = witnesses_of(&witnesses)?;
            offline(&path, key.as_deref(), older.as_deref(), recordings, &witnesses, out)
        }
        Audit::Verify(_) => online(out).await,
        Audit::Export(args) => export(&args, out).await,
        Audit::Checkpoint(args) => checkpoint(args.witnessed, out).await,
        Audit::Prove(args) => proofs::prove(&args, out).await,
        Audit::Consistency(args) => proofs::consistency(&args, out).await,
        Audit::Sinks(_) => proofs::sinks(out).await,
        Audit::Search(args) => search::run(&args, out).await,
        Audit::Keygen(args) => recording_keys::keygen(&args, out),
        Audit::Decrypt(args) => decrypt::decrypt(&args, out),
    }
}

async fn ls(args: &AuditLs, out: &Out) -> Result {
    let api = api()?;
    let mut query = Vec::new();
    query.extend(args.code.clone().map(|code| ("code", code)));
    query.extend(args.actor.clone().map(|actor| ("actor", actor)));
    query.extend(args.subject.clone().map(|subject| ("subject", subject)));
    query.extend(args.span.since.map(|since| ("since", since.to_string())));
    query.extend(args.span.until.map(|until| ("until", until.to_string())));
    let events = out.waiting("Asking the gateway", pages(&api, &query, args.span.limit)).await?;
    out.data(&events, |events| if events.is_empty() { "No events.".to_owned() } else { table(events) })?;
    Ok(())
}

async fn pages(api: &Api, filter: &[(&str, String)], limit: usize) -> Result<Vec<EventView>> {
    let mut events: Vec<EventView> = Vec::new();
    while events.len() < limit {
        let mut query = filter.to_vec();
        query.push(("limit", (limit - events.len()).min(PAGE).to_string()));
        query.extend(events.last().map(|event| ("before", event.seq.to_string())));
        let page = api.events(&query).await?;
        let last = page.next.is_none() || page.items.is_empty();
        events.extend(page.items);
        if last {
            break;
        }
    }
    events.truncate(limit);
    Ok(events)
}

fn table(events: &[EventView]) -> String {
    let mut table = Table::new(["SEQ", "AT", "CODE", "ACTOR", "ABOUT"]);
    for event in events {
        table.row([&event.seq.to_string(), &event.at, &event.code, &event.actor, &about(event)]);
    }
    table.render()
}

/// What an event is about, on part of a line: its facts.
fn about(event: &EventView) -> String {
    let facts = event.event.get("facts").and_then(serde_json::Value::as_object);
    let shown: Vec<String> = facts
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| match value {
            serde_json::Value::String(text) => Some(format!("{name}={text}")),
            serde_json::Value::Bool(_) | serde_json::Value::Number(_) => Some(format!("{name}={value}")),
            _ => None,
        })
        .collect();
    text::short(&shown.join(" "), 60)
}

async fn online(out: &Out) -> Result {
    let api = api()?;
    let report = out.waiting("The gateway checks its ledger", api.verify_ledger()).await?;
    out.data(&report, |report: &LedgerReport| {
        let shown = facts(&[("events", report.events.to_string()), ("root", report.root.clone())]);
        format!("{shown}\n{}", verdict("the gateway's check", report.clean, &report.findings, out))
    })?;
    if report.clean { Ok(()) } else { Err(Failure::Found) }
}

fn offline(
    export: &Path,
    key: Option<&str>,
    older: Option<&Path>,
    recordings: Option<PathBuf>,
    witnesses: &Witnesses,
    out: &Out,
) -> Result {
    let key = key.ok_or_else(|| {
        ClientError::usage("HOOP-1019", "an offline check needs the ledger's verifier key")
            .hint("--key KEY: `hoop audit checkpoint` prints it; believe one that you wrote down earlier")
    })?;
    let key = verifier(key)?;
    let older = older.map(read_checkpoint).transpose()?;
    let mut folder = recordings.map(Folder);
    let report = verify_witnessed(
        file::open(export)?,
        &key,
        older.as_ref(),
        folder.as_mut().map(|folder| folder as &mut dyn Recordings),
        witnesses,
    )?;
    out.data(&report, |report| render(report, out))?;
    if report.is_clean() { Ok(()) } else { Err(Failure::Found) }
}

fn render(report: &Report, out: &Out) -> String {
    let shown = facts(&[
        ("ledger", report.origin.clone().unwrap_or_else(|| "?".to_owned())),
        ("events", report.events.to_string()),
        ("root", report.root.map_or_else(|| "not proven".to_owned(), |root| root.to_string())),
        ("sessions", format!("{}, of which live {}", report.sessions, report.live_sessions.len())),
        ("recordings", format!("{} read through", report.recordings_checked)),
        (
            "witnesses",
            report.witnessed.as_ref().map_or_else(|| "none asked for".to_owned(), ToString::to_string),
        ),
    ]);
    let mut findings: Vec<String> = report.findings.iter().map(ToString::to_string).collect();
    if report.findings_omitted > 0 {
        findings.push(format!("and {} more", report.findings_omitted));
    }
    format!("{shown}\n{}", verdict("our own check", report.is_clean(), &findings, out))
}

/// The witnesses that are believed, and how many must have signed.
pub(super) fn witnesses_of(args: &AuditWitnesses) -> Result<Witnesses> {
    let keys = args.keys.iter().map(|text| {
        text.trim().parse().map_err(|_| {
            ClientError::usage("HOOP-1019", "that is no verifier key of a witness")
                .hint("it looks like witness.example.net+1a2b3c4d+BAbC...: its operator tells it")
        })
    });
    let keys: Vec<_> = keys.collect::<std::result::Result<_, _>>()?;
    let needed = args.needed.unwrap_or(keys.len());
    if needed > keys.len() {
        let message = format!("{needed} witnesses are needed, and {} are named", keys.len());
        return Err(ClientError::usage("HOOP-1015", message).into());
    }
    Ok(Witnesses { keys, needed })
}

/// The key itself, or a file that holds it.
pub(super) fn verifier(text: &str) -> Result<CheckpointKey> {
    let wrong = || {
        ClientError::usage("HOOP-1019", "that is no verifier key")
            .hint("it looks like hoop.example.org/ledger+1a2b3c4d+AbCd...")
    };
    if let Ok(key) = text.trim().parse() {
        return Ok(key);
    }
    if !Path::new(text).is_file() {
        return Err(wrong().into());
    }
    let held = file::read_text(Path::new(text))?;
    let key = held.lines().find_map(|line| line.trim().parse().ok());
    Ok(key.ok_or_else(wrong)?)
}

/// A checkpoint as `hoop audit checkpoint` printed it: the verifier key's line may stand before it.
pub(super) fn read_checkpoint(path: &Path) -> Result<SignedCheckpoint> {
    let held = file::read_text(path)?;
    if let Ok(checkpoint) = held.parse() {
        return Ok(checkpoint);
    }
    let from_json = serde_json::from_str::<serde_json::Value>(&held).ok();
    let note = from_json.as_ref().and_then(|value| value.get("note")).and_then(serde_json::Value::as_str);
    let parsed = note.and_then(|note| note.parse().ok());
    Ok(parsed.ok_or_else(|| {
        ClientError::usage("HOOP-1019", format!("{} holds no checkpoint", path.display()))
            .hint("keep what `hoop audit checkpoint` prints")
    })?)
}

/// Recordings as files named by their session.
struct Folder(PathBuf);

impl Recordings for Folder {
    fn open(&mut self, session: &SessionId) -> io::Result<Option<Box<dyn Read + '_>>> {
        match File::open(self.0.join(format!("{session}.hoopr"))) {
            Ok(file) => Ok(Some(Box::new(BufReader::new(file)))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

async fn export(args: &AuditExport, out: &Out) -> Result {
    let word = |value: Option<clap::builder::PossibleValue>| value.map(|value| value.get_name().to_owned());
    let mut query = Vec::new();
    query.extend(word(args.format.to_possible_value()).map(|format| ("format", format)));
    query.extend(args.class.and_then(|class| word(class.to_possible_value())).map(|class| ("class", class)));
    query.extend(args.from.map(|from| ("from", from.to_string())));
    let (body, path) = (api()?.export_ledger(&query).await?, args.out.as_deref());
    let saving = file::save(body, path);
    match path {
        Some(path) => {
            let length = out.waiting("Writing", saving).await?;
            let next = match args.format {
                LedgerFormat::Ledger => "; check it with `hoop audit verify --export`",
                LedgerFormat::Jsonl | LedgerFormat::Ocsf => "",
            };
            out.note(format!("{}: {length} bytes{next}", path.display()));
        }
        None => {
            saving.await?;
        }
    }
    Ok(())
}

async fn checkpoint(witnessed: Option<u32>, out: &Out) -> Result {
    let api = api()?;
    let checkpoint = out.waiting("Asking the gateway", api.checkpoint(witnessed)).await?;
    if !out.is_json() {
        // Beside the note, so that redirecting stdout keeps exactly the note.
        out.note(format!("verifier key: {}", text::line(&checkpoint.verifier_key)));
    }
    out.data(&checkpoint, |checkpoint| text::block(&checkpoint.note).into_owned())?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(facts: serde_json::Value) -> EventView {
        EventView {
            seq: 7,
            id: "evt_x".into(),
            at: "2026-11-22T09:00:00Z".into(),
            code: "session.opened".into(),
            actor: "ada".into(),
            event: json!({ "facts": facts }),
            leaf_hash: "00".into(),
        }
    }

    #[test]
    fn events_are_one_harmless_line_each() {
        let shown = table(&[event(json!({"connection": "pg\u{1b}[2J\nx", "many": [1], "n": 3}))]);
        assert_eq!(
            shown.lines().last().unwrap(),
            "7    2026-11-22T09:00:00Z  session.opened  ada    connection=pg\\x1b[2J x n=3"
        );
        for odd in [json!(null), json!(3), json!("x"), json!([])] {
            assert_eq!(about(&event(odd)), "");
        }
    }

    #[test]
    fn an_offline_check_needs_a_key_and_an_export() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("export");
        std::fs::write(&path, "{}\n").unwrap();
        let (out, nobody) = (Out::plain(), Witnesses::default());
        assert_eq!(offline(&path, None, None, None, &nobody, &out).unwrap_err().code(), 2);
        assert_eq!(offline(&path, Some("nonsense"), None, None, &nobody, &out).unwrap_err().code(), 2);
        let key = CheckpointKey::new("log", hoop_recording::SigningKey::generate().unwrap().verifying_key())
            .unwrap();
        assert_eq!(offline(&path, Some(&key.to_string()), None, None, &nobody, &out).unwrap_err().code(), 6);
        assert_eq!(
            offline(&folder.path().join("none"), Some(&key.to_string()), None, None, &nobody, &out)
                .unwrap_err()
                .code(),
            2
        );
    }
}
