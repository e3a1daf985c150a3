//! Sends the spool to the gateway over one gRPC stream, and takes its acknowledgements.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use hoop_control::v1::{RecordingAck, RecordingPart, gateway_client::GatewayClient};
use hoop_model::SessionId;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use super::{keeper::Spool, tape::SessionTape};

/// Bytes of one message.
const PIECE: usize = 256 * 1024;
/// Messages on their way; each session is bounded besides by how far it may be behind.
const WAITING: usize = 8;
/// Messages of one recording before others have their turn: one that is long, or grows as fast as it is sent, holds up none.
const TURN: usize = 16;
/// Small pieces of many streams travel together, unless one of them is awaited: the next request or answer of a strict
/// recording goes on when the gateway has it.
const GATHER: Duration = Duration::from_millis(20);

/// Uploads until the stream breaks. What was not acknowledged is sent again by the next call.
///
/// # Errors
/// The gateway's status.
pub(crate) async fn upload(
    spool: Arc<Spool>,
    mut gateway: GatewayClient<Channel>,
) -> Result<(), tonic::Status> {
    let (parts, receiver) = mpsc::channel(WAITING);
    let mut acks = gateway.record(ReceiverStream::new(receiver)).await?.into_inner();
    spool.connected.store(true, Ordering::Release);
    spool.bell.delivery_rung.notify_one();
    let _away = Away(Arc::clone(&spool));
    spool.tapes().iter().for_each(|tape| spool.bell.ring_upload(tape));
    let rewound = std::sync::Mutex::new(Vec::new());
    // An upload that broke off may have taken the last ring with it.
    spool.bell.upload_rung.notify_one();
    let mut sent: HashMap<SessionId, u64> = HashMap::new();
    let sending = async {
        loop {
            spool.bell.upload_rung.notified().await;
            tokio::select! {
                () = spool.bell.awaited_rung.notified() => {}
                () = tokio::time::sleep(GATHER) => {}
            }
            for session in rewound.lock().map(|mut list| std::mem::take(&mut *list)).unwrap_or_default() {
                sent.remove(&session);
            }
            for tape in spool.bell.take_uploads().into_iter().filter(|tape| !spool.is_held(tape.session())) {
                if send(&spool, &tape, &mut sent, &parts).await.is_err() {
                    return;
                }
            }
        }
    };
    let receiving = async {
        while let Some(ack) = acks.message().await? {
            let again = acknowledge(&spool, &ack);
            if let (Some(session), Ok(mut list)) = (again, rewound.lock()) {
                list.push(session);
            }
        }
        Ok(())
    };
    tokio::select! {
        () = sending => Ok(()),
        outcome = receiving => outcome,
    }
}

/// Marks the gateway as away when the upload ends, however it ends.
struct Away(Arc<Spool>);

impl Drop for Away {
    fn drop(&mut self) {
        self.0.connected.store(false, Ordering::Release);
        self.0.bell.delivery_rung.notify_one();
    }
}

/// Sends what is new of one recording; if it is much, as much as is its turn.
async fn send(
    spool: &Spool,
    tape: &Arc<SessionTape>,
    sent: &mut HashMap<SessionId, u64>,
    parts: &mpsc::Sender<RecordingPart>,
) -> Result<(), ()> {
    // Of a recording that an earlier process began the gateway may have much; its first acknowledgement says how much.
    let mut offset = sent.get(&tape.session()).copied().unwrap_or_default().max(tape.durable());
    for _ in 0..TURN {
        // The order of these two matters: a trailer written between them is sent with the next round.
        let finished = tape.is_finished();
        let written = tape.written();
        let data = match tape.read(offset, PIECE) {
            Ok(data) => data,
            Err(error) => {
                tracing::error!(session = %tape.session(), %error, "a spooled recording cannot be read");
                tape.refused.store(true, Ordering::Release);
                // It never reaches the gateway, so its session ends.
                let _ = tape.fail_for(&error);
                spool.bell.delivery_rung.notify_one();
                return Ok(());
            }
        };
        let end = offset + data.len() as u64;
        let last = finished && end >= written;
        if data.is_empty() && !last {
            return Ok(());
        }
        let part = RecordingPart { session_id: tape.session().to_string(), offset, data, last };
        parts.send(part).await.map_err(|_| ())?;
        offset = end;
        sent.insert(tape.session(), end);
        if last {
            tape.sent_last();
            sent.remove(&tape.session());
        }
        if end >= written {
            return Ok(());
        }
    }
    spool.bell.ring_upload(tape);
    Ok(())
}

/// Gives the session back if the gateway has less than it once said: it is sent again from there.
fn acknowledge(spool: &Spool, ack: &RecordingAck) -> Option<SessionId> {
    let tape = ack.session_id.parse().ok().and_then(|session| spool.find(session))?;
    if let Some(refused) = &ack.refused {
        let fault = refused.to_fault();
        tracing::error!(session = %tape.session(), code = %fault.code, "the gateway refuses a recording");
        tape.refused.store(true, Ordering::Release);
        tape.fail(fault);
        spool.bell.delivery_rung.notify_one();
        return None;
    }
    let before = tape.durable();
    tape.acknowledge(ack.durable);
    if tape.durable() < before {
        tracing::warn!(session = %tape.session(), "the gateway has less of a recording than it had; it is sent again");
        spool.bell.ring_upload(&tape);
        return Some(tape.session());
    }
    if tape.is_delivered() {
        spool.delivered(&tape);
    }
    None
}

#[cfg(test)]
mod tests {
    use tokio_stream::StreamExt as _;

    use super::{
        super::{
            keeper::testing::{begin, spool},
            tape::testing::LIMITS,
        },
        *,
    };

    #[tokio::test]
    async fn what_the_gateway_has_already_is_not_sent_again() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(folder.path());
        let begun = begin(&spool);
        begun.write(&vec![0; 3 * TURN * PIECE]).unwrap();
        // As a process has it that was started anew: it does not know how much was acknowledged.
        let (session, length) = (begun.session(), begun.written());
        let path = folder.path().join(format!("{session}.hoopr"));
        let file = std::fs::File::open(&path).unwrap();
        let tape = SessionTape::restored(session, path, file, length, LIMITS, Arc::clone(&spool.bell));
        let (parts, mut receiver) = mpsc::channel(4 * TURN);
        let mut sent = HashMap::new();
        send(&spool, &tape, &mut sent, &parts).await.unwrap();
        tape.acknowledge(length - 7);
        send(&spool, &tape, &mut sent, &parts).await.unwrap();
        receiver.close();
        let mut received = ReceiverStream::new(receiver).collect::<Vec<_>>().await;
        let last = received.pop().unwrap();
        assert_eq!((last.offset, last.data.len(), last.last), (length - 7, 7, true));
        assert_eq!(received.len(), TURN);
    }

    #[tokio::test]
    async fn a_long_recording_gives_others_their_turn() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(folder.path());
        let tape = begin(&spool);
        tape.write(&vec![0; (TURN + 2) * PIECE]).unwrap();
        spool.bell.take_uploads();
        let (parts, mut receiver) = mpsc::channel(4 * TURN);
        let mut sent = HashMap::new();
        send(&spool, &tape, &mut sent, &parts).await.unwrap();
        assert_eq!(receiver.len(), TURN);
        assert_eq!(spool.bell.take_uploads().len(), 1, "it has another turn");
        send(&spool, &tape, &mut sent, &parts).await.unwrap();
        assert!(spool.bell.take_uploads().is_empty());
        let mut length = 0;
        while let Ok(part) = receiver.try_recv() {
            assert_eq!(part.offset, length);
            length += part.data.len() as u64;
        }
        assert_eq!(length, tape.written());
    }
}
