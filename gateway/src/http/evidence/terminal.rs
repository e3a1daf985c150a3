//! One terminal of a session as a player takes it, from its beginning; of a session that goes on, also what comes.
//!
//! A thread reads the recording and, at its end, waits for more. A task beside it looks whether the session goes on and its
//! reader may still read. What is sent passed [`TerminalCast`]: it draws, and does nothing else.

use std::{
    cell::RefCell,
    io::{self, BufReader, BufWriter, Read, Write},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    extract::{Path, Query, State},
    http::header,
    response::{IntoResponse, Response},
};
use hoop_ledger::event::EventCode;
use hoop_model::{SessionId, StreamId};
use hoop_recording::{OpenedKey, Reader, RequestId, terminal::TerminalCast};
use hoop_store::SessionState;
use serde::Deserialize;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{EXPORT_LIMIT, LOOK, Pieces, is_over, may_still_read, note, opened, source_of, written};
use crate::{
    http::{
        caller::{Caller, Evidence},
        problem::{Answer, Problematic},
        sessions::visible as visible_session,
    },
    hub::Shared,
    recordings::Source,
};

/// How long to wait before the recording's end is looked at again.
const PAUSE: Duration = Duration::from_millis(200);
/// So often something is sent: proxies close what is silent, and who went away is noticed.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);

/// Query.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http) struct Wanted {
    stream: u32,
    request: u64,
    #[serde(default)]
    follow: bool,
}

pub(in crate::http) async fn terminal(
    State(hub): State<Shared>,
    Evidence(caller): Evidence,
    Path(id): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Answer<Response> {
    let session = visible_session(&hub, &caller, &id).await?;
    let permits = if wanted.follow { &hub.watching } else { &hub.exporting };
    let one_of_few = Arc::clone(permits).try_acquire_owned().map_err(|_| Problematic::too_many(10))?;
    let source = source_of(&hub, &session).await?;
    let key = opened(&hub, session.id).await?;
    let which = (Some(StreamId(wanted.stream)), RequestId(wanted.request));
    let facts =
        json!({ "follow": wanted.follow, "terminal": format!("{}/{}", wanted.stream, wanted.request) });
    note(&hub, &caller, &session, EventCode::RecordingRead, facts).await?;
    let title = format!("{} on {}", session.user_name, session.connection_name);
    let over = Arc::new(AtomicBool::new(is_over(&session) || !wanted.follow));
    let looking = CancellationToken::new();
    if !over.load(Ordering::Acquire) {
        look_on(&hub, caller, session.id, &over, &looking);
    }
    let guard = looking.drop_guard();
    let body = written(&hub, EXPORT_LIMIT, move |out| {
        let _while_written = (one_of_few, guard);
        let out = Out(Rc::new(RefCell::new(out)));
        let growing = Growing { source, out: out.clone(), over, said: Instant::now() };
        draw(growing, &key, TerminalCast::new(&title, out).of(which))
    });
    Ok(([(header::CONTENT_TYPE, "application/x-asciicast")], body).into_response())
}

fn draw<W: Write>(growing: Growing<'_>, key: &OpenedKey, mut cast: TerminalCast<W>) -> io::Result<()> {
    let mut reader = Reader::open(BufReader::new(growing), key).map_err(io::Error::other)?;
    while !cast.is_over() {
        let Some(record) = reader.next_record().map_err(io::Error::other)? else { break };
        cast.push(&record)?;
    }
    cast.finish().map(|_| ())
}

/// Says when there is nothing more to come, until nobody asks any more.
fn look_on(hub: &Shared, caller: Caller, id: SessionId, over: &Arc<AtomicBool>, asked: &CancellationToken) {
    let (task, over, asked) = (hub.clone(), Arc::clone(over), asked.clone());
    let looking = async move {
        loop {
            let goes_on = match task.store.session(id).await {
                Ok(Some(session)) => {
                    !matches!(session.state, SessionState::Ended | SessionState::Interrupted)
                }
                _ => false,
            };
            if !goes_on || !may_still_read(&task, &caller).await {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    let stopping = hub.stopping.clone();
    hub.tasks.spawn(async move {
        tokio::select! {
            biased;
            () = asked.cancelled() => {}
            () = stopping.cancelled() => {}
            () = looking => {}
        }
        over.store(true, Ordering::Release);
    });
}

/// A recording that may get longer: its end is reached when the session is over.
struct Growing<'o> {
    source: Source,
    out: Out<'o>,
    over: Arc<AtomicBool>,
    said: Instant,
}

impl Read for Growing<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            // First: what was written before the end is read after it was seen.
            let over = self.over.load(Ordering::Acquire);
            let count = self.source.read(into)?;
            if count > 0 || over || into.is_empty() {
                return Ok(count);
            }
            if self.said.elapsed() >= SIGN_OF_LIFE {
                // A comment, to players.
                self.out.write_all(b"#\n")?;
                self.said = Instant::now();
            }
            self.out.flush()?;
            if self.out.0.borrow().get_ref().is_unread() {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// The answer's body, for what writes it and for what waits: who waits sends first what there is.
#[derive(Clone)]
struct Out<'o>(Rc<RefCell<&'o mut BufWriter<Pieces>>>);

impl Write for Out<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.borrow_mut().flush()
    }
}
