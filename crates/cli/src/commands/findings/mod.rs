//! `hoop sessions findings`: personal data in what a recording shows, found by our detectors and, if one is named, by another.
//!
//! All of a recording is looked through, or there is an error and no report.

mod asking;
mod report;
mod shown;

use std::io::{self, Read};

use bytes::{Buf as _, Bytes, BytesMut};
use hoop_client::{Api, Body, ClientError, Detector, ExportFormat, detector::Options};
use hoop_model::SessionId;
use hoop_recording::RecordingPrivateKey;
use tokio::sync::mpsc;

use super::{
    api,
    decrypt::{self, Lines},
    file, sessions, verify,
};
use crate::{
    args,
    failure::{Failure, Result},
    output::Out,
};
use asking::Asking;
use report::{Findings, Report};
use shown::Reader;

/// Bytes of one line of an export: an event of 16 MiB, all of it escaped.
const LONGEST_LINE: usize = 128 << 20;

pub(super) async fn run(args: &args::Findings, out: &Out) -> Result {
    let detector = detector(args)?;
    let asking = detector.as_ref().map(Asking::new);
    let looking = Box::pin(look(args, asking));
    let report = out.waiting("Looking through the recording", looking).await?;
    out.data(&report, |report| report.render(out))?;
    if report.is_clean() { Ok(()) } else { Err(Failure::Found) }
}

fn detector(args: &args::Findings) -> Result<Option<Detector>> {
    let Some(address) = &args.detector else { return Ok(None) };
    let ca_pem = args.detector_ca.as_deref().map(file::read_text).transpose()?;
    let options = Options { language: args.language.clone(), least_score: args.least_score, ca_pem };
    Ok(Some(Detector::new(address, options)?))
}

async fn look(args: &args::Findings, asking: Option<Asking<'_>>) -> Result<Report> {
    let key = args.key.as_deref().map(decrypt::private_key).transpose()?;
    match (&args.file, key) {
        (Some(path), Some(key)) => {
            let (input, what) = (file::open(path)?, path.display().to_string());
            decrypted(asking, |feed| async move {
                let read = tokio::task::spawn_blocking(move || lines(input, &what, &key, &feed));
                read.await.map_err(|_| ClientError::own("HOOP-9001", "the reading was not finished"))?
            })
            .await
        }
        (_, Some(key)) => {
            let id = sessions::wanted(args.id)?;
            let body = api()?.recording(id).await?;
            decrypted(asking, |feed| async move {
                verify::through(body, move |pieces| lines(pieces, &id.to_string(), &key, &feed)).await?
            })
            .await
        }
        (_, None) => exported(&api()?, sessions::wanted(args.id)?, asking).await,
    }
}

/// A recording that is decrypted here, on a thread beside.
async fn decrypted<R: Future<Output = Result<Lines>>>(
    asking: Option<Asking<'_>>,
    read: impl FnOnce(mpsc::Sender<Bytes>) -> R,
) -> Result<Report> {
    let (feed, mut source) = mpsc::channel::<Bytes>(4);
    let mut search = Search::new(asking)?;
    let searching = async {
        while let Some(line) = source.recv().await {
            search.line(&line).await?;
        }
        Ok::<_, Failure>(())
    };
    let (read, ()) = tokio::try_join!(read(feed), searching)?;
    let (ending, _) = read.ended();
    search.finish(read.header.session.to_string(), ending.to_owned()).await
}

fn lines(
    input: impl Read,
    what: &str,
    key: &RecordingPrivateKey,
    feed: &mpsc::Sender<Bytes>,
) -> Result<Lines> {
    decrypt::lines(input, what, key, |line| {
        feed.blocking_send(line).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))
    })
}

/// A recording that the gateway decrypts.
async fn exported(api: &Api, id: SessionId, asking: Option<Asking<'_>>) -> Result<Report> {
    let ending = api.timeline(id, 0, 1).await?.ending;
    let mut search = Search::new(asking)?;
    let mut body =
        LinesOf { body: api.export_session(id, ExportFormat::JsonLines).await?, held: BytesMut::new() };
    while let Some(line) = body.next().await? {
        search.line(&line).await?;
    }
    search.finish(id.to_string(), ending).await
}

/// A body, line by line.
struct LinesOf {
    body: Body,
    held: BytesMut,
}

impl LinesOf {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        let mut looked = 0;
        loop {
            let end = self.held.get(looked..).and_then(|fresh| fresh.iter().position(|byte| *byte == b'\n'));
            if let Some(end) = end {
                let line = self.held.split_to(looked + end).freeze();
                self.held.advance(1);
                return Ok(Some(line));
            }
            looked = self.held.len();
            if looked > LONGEST_LINE {
                return Err(
                    ClientError::own("HOOP-1009", "a line of the recording's export is too long").into()
                );
            }
            match self.body.next().await? {
                Some(piece) => self.held.extend_from_slice(&piece),
                None if self.held.is_empty() => return Ok(None),
                None => return Err(ClientError::away("HOOP-1006", "the gateway broke off").into()),
            }
        }
    }
}

/// All that looks.
struct Search<'a> {
    reader: Reader,
    findings: Findings,
    asking: Option<Asking<'a>>,
}

impl<'a> Search<'a> {
    fn new(asking: Option<Asking<'a>>) -> Result<Self> {
        Ok(Self { reader: Reader::default(), findings: Findings::new()?, asking })
    }

    async fn line(&mut self, line: &[u8]) -> Result {
        let shown = self.reader.line(line)?;
        self.look(&shown).await
    }

    async fn look(&mut self, shown: &[shown::Shown]) -> Result {
        shown.iter().for_each(|shown| self.findings.look(shown));
        match &mut self.asking {
            Some(asking) => asking.ask(shown, &mut self.findings).await,
            None => Ok(()),
        }
    }

    async fn finish(mut self, session: String, ending: String) -> Result<Report> {
        let rest = self.reader.finish();
        self.look(&rest).await?;
        let detector = self.asking.map(|asking| asking.host());
        Ok(self.findings.report(session, ending, self.reader.told, detector))
    }
}
