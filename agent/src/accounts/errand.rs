//! Runs an errand: our own client of our own engine, logged in at the target with the connection's credential.

use std::{
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use hoop_engine::{CancelKey, CloseReason, Credential, Errand, ErrandOutput, Outcome, StreamContext, Target};
use hoop_masking::MaskingKey;
use hoop_model::{Blame, Fault, SessionId, StreamId, Timestamp, UserName};
use hoop_policy::{Masking, Rules, Warrant};
use hoop_recording::event::Record;
use hoop_session::{
    Activity, CancelDesk, Dial, Limits, Mark, Parts, SocketPipe, Tape, TapeError, drive, ending,
};
use rand::TryRng;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// Longest life of one connection.
const LONGEST: Duration = Duration::from_secs(120);
/// Bytes between the errand and the engine.
const BETWEEN: usize = 64 << 10;

/// Where errands are run.
pub(crate) struct Site {
    pub(crate) target: Arc<dyn Target>,
    pub(crate) credential: Credential,
    pub(crate) dial: Arc<dyn Dial>,
    /// With what values are hashed or faked.
    pub(crate) masking_key: MaskingKey,
}

/// What a connection of an errand came to.
enum Said {
    Reconnect,
    Done(Outcome),
    /// The engine closed it.
    Closed,
}

impl Site {
    /// Runs an errand to its end. Dropping the future cuts its connection.
    pub(crate) async fn run(
        &self,
        errand: &mut dyn Errand,
        session: SessionId,
        person: &UserName,
    ) -> Result<Outcome, Fault> {
        loop {
            let (ours, theirs) = tokio::io::duplex(BETWEEN);
            let (terminator, parts) = self.parts(session, person, theirs)?;
            let (end, said) = tokio::join!(Box::pin(drive(parts)), talk(ours, errand));
            drop(terminator);
            match (said?, end.reason) {
                (Said::Done(outcome), _) => return Ok(outcome),
                (Said::Reconnect, _) => {}
                (Said::Closed, CloseReason::Fault(fault)) => return Err(fault),
                (Said::Closed, _) => {
                    let what = "the target closed the connection on which hoop itself asked something";
                    return Err(Fault::new("HOOP-4218", Blame::Target, what));
                }
            }
        }
    }

    fn parts(
        &self,
        session: SessionId,
        person: &UserName,
        client: DuplexStream,
    ) -> Result<(hoop_session::Terminator, Parts<SocketPipe<DuplexStream>>), Fault> {
        let at = Timestamp::from(jiff::Timestamp::now());
        let mut seed = vec![0; 36];
        rand::rngs::SysRng
            .try_fill_bytes(&mut seed)
            .map_err(|_| Fault::new("HOOP-9004", Blame::System, "the agent has no random numbers"))?;
        let context = StreamContext {
            session,
            stream: StreamId(0),
            groups: Vec::new(),
            person: person.clone(),
            // Nobody but this agent reads the answers.
            rules: Arc::new(Rules { masking: Masking::None, ..Rules::default() }),
            masking_key: self.masking_key.clone(),
            cancel_seed: seed.into(),
            login_cache: Arc::default(),
            login_timeout: LONGEST,
        };
        let (terminator, ending) = ending();
        let engine = self.target.start(context, self.credential.clone(), at).fed().ok_or_else(|| {
            Fault::new("HOOP-9007", Blame::System, "an errand was sent to a target that takes none")
        })?;
        let parts = Parts {
            stream: StreamId(0),
            engine,
            client: SocketPipe(client),
            dial: Arc::clone(&self.dial),
            tape: Arc::new(Untaped),
            desk: Arc::new(Untaped),
            warrant: Arc::new(Warrant::new(
                Rules { masking: Masking::None, ..Rules::default() },
                at.after(LONGEST),
            )),
            activity: Arc::new(Activity::new(at)),
            ending,
            limits: Limits::default(),
        };
        Ok((terminator, parts))
    }
}

/// The errand's side of one connection.
async fn talk(mut engine: DuplexStream, errand: &mut dyn Errand) -> Result<Said, Fault> {
    let mut input = BytesMut::new();
    loop {
        match errand.poll_output() {
            ErrandOutput::Send(bytes) => {
                if engine.write_all(&bytes).await.is_err() {
                    return Ok(Said::Closed);
                }
            }
            ErrandOutput::Reconnect => return Ok(Said::Reconnect),
            ErrandOutput::Done(outcome) => return Ok(Said::Done(outcome)),
            ErrandOutput::Idle => match engine.read_buf(&mut input).await {
                Ok(0) | Err(_) => return Ok(Said::Closed),
                Ok(_) => errand.handle_input(&mut input)?,
            },
        }
    }
}

/// No person's requests pass here: what an errand does stands in the session's recording as one line, and in the ledger.
struct Untaped;

impl Tape for Untaped {
    fn append(&self, _: Record) -> Result<Mark, TapeError> {
        Ok(Mark(0))
    }

    fn poll_kept(&self, _: Mark, _: &mut Context<'_>) -> Poll<Result<(), TapeError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_ready(&self, _: &mut Context<'_>) -> Poll<Result<(), TapeError>> {
        Poll::Ready(Ok(()))
    }
}

/// Nothing that it asks is cancelled by key: a connection that is cut says enough.
impl CancelDesk for Untaped {
    fn cancel(&self, _: &CancelKey) {}

    fn register(&self, _: StreamId, _: CancelKey, _: Bytes) {}

    fn forget(&self, _: StreamId, _: bool) {}
}
