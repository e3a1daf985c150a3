//! `hoop sessions verify`: the gateway's check of a recording, and our own, which believes nobody.

use std::{
    io::{self, Read},
    path::Path,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
};

use bytes::{Buf as _, Bytes};
use hoop_api::sessions::{SessionState, VerifyReport};
use hoop_client::{Api, Body, ClientError};
use hoop_model::SessionId;
use hoop_recording::{Finding, Report, Trust, verify_chain};
use serde::Serialize;

use super::file;
use crate::{
    failure::{Failure, Result},
    output::{Look, Out, facts, text},
};

/// Both checks, as JSON shows them.
#[derive(Debug, Serialize)]
struct Shown {
    clean: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<VerifyReport>,
    own: Own,
}

#[derive(Debug, Serialize)]
struct Own {
    clean: bool,
    session: Option<String>,
    chunks: u64,
    bytes: u64,
    head: Option<String>,
    signer: Option<String>,
    sealed: bool,
    findings: Vec<String>,
}

impl Own {
    /// `live`: the recording goes on, so that it has no end yet is as it should be.
    fn of(report: &Report, live: bool) -> Self {
        let found =
            report.findings.iter().filter(|finding| !(live && matches!(finding, Finding::CutOff { .. })));
        let findings: Vec<String> = found.map(ToString::to_string).collect();
        Self {
            clean: findings.is_empty() && (live || report.manifest.is_some()),
            session: report.session.map(|id| id.to_string()),
            chunks: report.chunks,
            bytes: report.bytes,
            head: report.head.map(|head| head.to_string()),
            signer: report.signer.as_ref().map(ToString::to_string),
            sealed: report.manifest.is_some(),
            findings,
        }
    }
}

/// Checks a file, and asks nobody.
pub(super) fn offline(path: &Path, out: &Out) -> Result {
    let report = verify_chain(file::open(path)?, Trust::Header)?;
    show(Shown { clean: report.is_clean(), gateway: None, own: Own::of(&report, false) }, out)
}

/// Asks the gateway, and checks what it has.
pub(super) async fn online(api: &Api, id: SessionId, out: &Out) -> Result {
    let checking = async {
        let view = api.session(id).await?;
        let gateway = api.verify_session(id).await?;
        let live = matches!(view.state, SessionState::Opening | SessionState::Live | SessionState::Ending);
        let report = match api.recording(id).await {
            Ok(body) => download_and_verify(body).await?,
            // Somebody took the file away: that is what was found, and no reason to say less.
            Err(error) if !gateway.clean && error.is("HOOP-6001") => {
                verify_chain(io::empty(), Trust::Header)?
            }
            Err(error) => return Err(error.into()),
        };
        Ok::<_, Failure>((gateway, live, report))
    };
    let (gateway, live, report) = out.waiting("Checking the recording", checking).await?;
    let mut own = Own::of(&report, live);
    if own.session.as_ref().is_some_and(|session| *session != id.to_string()) {
        own.findings.push(format!(
            "the recording is of another session: {}",
            own.session.clone().unwrap_or_default()
        ));
        own.clean = false;
    }
    // A live one has grown between the two checks.
    if !live && own.head.as_ref().is_some_and(|head| *head != gateway.head) {
        own.findings.push("the gateway checked other bytes than it handed out".to_owned());
        own.clean = false;
    }
    show(Shown { clean: gateway.clean && own.clean, gateway: Some(gateway), own }, out)
}

async fn download_and_verify(body: Body) -> Result<Report> {
    Ok(through(body, |pieces| verify_chain(pieces, Trust::Header)).await??)
}

/// Reads a body, as it comes, on a thread that may block.
pub(super) async fn through<T: Send + 'static>(
    mut body: Body,
    read: impl FnOnce(Pieces) -> T + Send + 'static,
) -> Result<T> {
    let (feed, pieces) = Pieces::channel();
    let checking = tokio::task::spawn_blocking(move || read(pieces));
    let fed = async move {
        while let Some(piece) = body.next().await? {
            let feed = feed.clone();
            let sent = tokio::task::spawn_blocking(move || feed.send(piece)).await;
            // The checker stops reading at what cannot be read: its report says so.
            if !matches!(sent, Ok(Ok(()))) {
                break;
            }
        }
        Ok::<_, ClientError>(())
    };
    fed.await?;
    Ok(checking.await.map_err(|_| ClientError::own("HOOP-9001", "the reading was not finished"))?)
}

/// Pieces from the network as a [`Read`], a few of them at a time.
pub(super) struct Pieces {
    source: Receiver<Bytes>,
    current: Bytes,
}

impl Pieces {
    fn channel() -> (SyncSender<Bytes>, Self) {
        let (feed, source) = sync_channel(16);
        (feed, Self { source, current: Bytes::new() })
    }
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.source.recv() {
                Ok(piece) => self.current = piece,
                Err(_) => return Ok(0),
            }
        }
        let count = self.current.len().min(buffer.len());
        if let Some(target) = buffer.get_mut(..count) {
            self.current.copy_to_slice(target);
        }
        Ok(count)
    }
}

fn show(shown: Shown, out: &Out) -> Result {
    out.data(&shown, |shown| render(shown, out))?;
    if shown.clean { Ok(()) } else { Err(Failure::Found) }
}

fn render(shown: &Shown, out: &Out) -> String {
    let own = &shown.own;
    let mut pairs = vec![
        ("session", own.session.clone().unwrap_or_else(|| "?".to_owned())),
        (
            "recording",
            format!(
                "{} chunks, {} bytes, {}",
                own.chunks,
                own.bytes,
                if own.sealed { "signed to its end" } else { "not sealed" }
            ),
        ),
        ("head", own.head.clone().unwrap_or_else(|| "-".to_owned())),
        ("signed by", own.signer.clone().unwrap_or_else(|| "-".to_owned())),
    ];
    if let Some(gateway) = &shown.gateway {
        let ledger = gateway.in_checkpoint.map_or_else(
            || "under no checkpoint yet".to_owned(),
            |size| format!("under the checkpoint of size {size}"),
        );
        pairs.push(("ledger", ledger));
        pairs.push(("ending", gateway.ending.clone()));
    }
    let mut text = facts(&pairs);
    text.push('\n');
    if let Some(gateway) = &shown.gateway {
        text.push_str(&verdict("the gateway's check", gateway.clean, &gateway.findings, out));
    }
    text.push_str(&verdict("our own check", own.clean, &own.findings, out));
    text
}

/// One check's result, with what it found.
pub(super) fn verdict(who: &str, clean: bool, findings: &[String], out: &Out) -> String {
    if clean {
        return format!("{who}: {}\n", out.look(Look::Green, "nothing found"));
    }
    let many = match findings.len() {
        0 => "not complete".to_owned(),
        1 => "1 finding".to_owned(),
        many => format!("{many} findings"),
    };
    let mut shown = format!("{who}: {}\n", out.look(Look::Red, &many));
    for finding in findings {
        shown.push_str(&format!("  - {}\n", text::line(finding)));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_read_whatever_their_size() {
        let (feed, mut pieces) = Pieces::channel();
        for piece in ["", "ab", "", "cde"] {
            feed.send(Bytes::from(piece)).unwrap();
        }
        drop(feed);
        let mut text = String::new();
        pieces.read_to_string(&mut text).unwrap();
        assert_eq!(text, "abcde");
    }

    #[test]
    fn a_file_that_is_no_recording_is_a_finding() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.hoopr");
        for bytes in [&b""[..], b"hello", &[0xff; 100]] {
            std::fs::write(&path, bytes).unwrap();
            let failure = offline(&path, &Out::plain()).unwrap_err();
            assert_eq!(failure.code(), 6);
        }
        assert_eq!(offline(&folder.path().join("none"), &Out::plain()).unwrap_err().code(), 2);
    }

    #[test]
    fn a_live_recording_may_lack_its_end_and_nothing_else() {
        let cut = Report {
            findings: vec![Finding::CutOff { after_chunk: Some(1), offset: 9 }],
            ..Report::default()
        };
        assert!(Own::of(&cut, true).clean);
        assert!(!Own::of(&cut, false).clean);
        let altered =
            Report { findings: vec![Finding::Altered { chunk: 1, offset: 9 }], ..Report::default() };
        assert!(!Own::of(&altered, true).clean);
    }

    #[test]
    fn findings_are_shown_harmless() {
        let shown = verdict("x", false, &["a\u{1b}[2J".to_owned()], &Out::plain());
        assert_eq!(shown, "x: 1 finding\n  - a\\x1b[2J\n");
    }
}
