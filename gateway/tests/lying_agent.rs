//! An agent that lies about recordings (THREATS A18, F3, F5): wrong offsets, other sessions' chunks, replays, foreign signatures,
//! an end that is none. Nothing durable is overwritten, nothing is taken for whole that is not, and the ledger says so.

#![expect(clippy::unwrap_used, reason = "tests")]

mod common;

use bytes::Bytes;
use common::{
    Tokens, World,
    agent::{Agent, control},
    now,
};
use hoop_control::v1::{RecordingAck, RecordingPart};
use hoop_model::{Role, SessionId};
use hoop_recording::{
    Compression, Event, Record, RecordingPrivateKey, RecordingPublicKey, RequestId, SigningKey, Start,
    Writer, event::Form,
};
use serde_json::{Value, json};
use tokio_stream::wrappers::ReceiverStream;

struct Site {
    world: World,
    admin: Tokens,
    ada: Tokens,
    agent: Agent,
    key: SigningKey,
    /// The gateway's: what is recorded is for whoever holds its other half.
    public: RecordingPublicKey,
}

async fn site() -> Site {
    let world = World::start().await;
    let (mut root, mut ada) =
        (world.person("root", Role::Admin, &[]).await, world.person("ada", Role::User, &["dba"]).await);
    let (admin, ada) = (world.tokens(&mut root).await, world.tokens(&mut ada).await);
    let key = SigningKey::generate().unwrap();
    let agent = Agent::join_signing(&world, "east", &key).await;
    assert!(world.connection(&admin, json!({})).await.status().is_success());
    let in_force = world.running.store().recording_key_in_force().await.unwrap().unwrap();
    let public = RecordingPublicKey::from_pem(&in_force.public_pem).unwrap();
    Site { world, admin, ada, agent, key, public }
}

/// A recording as its frames: header, three chunks, signed end.
fn recording(
    session: SessionId,
    key: &RecordingPublicKey,
    named: &SigningKey,
    signing: &SigningKey,
) -> Vec<Bytes> {
    let start = Start {
        session,
        at: now(),
        facts: Vec::new(),
        signer: named.verifying_key(),
        compression: Compression::Off,
    };
    let (mut writer, header) = Writer::create(start, key).unwrap();
    let mut frames = vec![header.bytes];
    for id in 0..3 {
        let text = Bytes::from(format!("select {id}"));
        let event = Event::Request { id: RequestId(id), form: Form::Query, text, parameters: Vec::new() };
        let _ = writer.append(&Record { at: now(), stream: None, event }).unwrap();
        frames.push(writer.seal_chunk().unwrap().unwrap().bytes);
    }
    frames.push(writer.finish(now(), "closed", signing).unwrap().trailer_frame);
    frames
}

impl Site {
    async fn session(&mut self) -> SessionId {
        self.agent.opened(&self.world, &self.ada).await.parse().unwrap()
    }

    /// Sends parts on a stream of their own; the last acknowledgement of each session's.
    async fn send(&self, parts: Vec<RecordingPart>) -> Vec<RecordingAck> {
        let mut client = control(&self.world, Some((&self.agent.certificate_pem, &self.agent.key))).await;
        let (out, receiver) = tokio::sync::mpsc::channel(64);
        let mut acks = client.record(ReceiverStream::new(receiver)).await.unwrap().into_inner();
        let mut answers = Vec::new();
        for part in parts {
            out.send(part).await.unwrap();
            answers.push(acks.message().await.unwrap().unwrap());
        }
        answers
    }

    /// What the ledger says of the end of a session's recording.
    async fn told(&self, session: SessionId) -> Vec<(String, Value)> {
        let path = format!("/audit/events?subject={session}&limit=100");
        let answer = self.world.request(reqwest::Method::GET, &path).bearer_auth(&self.admin.access);
        let page: Value = answer.send().await.unwrap().json().await.unwrap();
        let events = page["items"].as_array().unwrap().clone();
        let of_recording = |event: &Value| {
            let code = event["code"].as_str()?.to_owned();
            code.starts_with("recording.").then(|| (code, event["event"]["facts"].clone()))
        };
        events.iter().filter_map(of_recording).collect()
    }

    async fn state(&self, session: SessionId) -> String {
        let answer = self.world.request(reqwest::Method::GET, &format!("/sessions/{session}"));
        let view: Value = answer.bearer_auth(&self.admin.access).send().await.unwrap().json().await.unwrap();
        view["state"].as_str().unwrap().to_owned()
    }
}

fn part(session: SessionId, offset: usize, data: Bytes, last: bool) -> RecordingPart {
    let offset = u64::try_from(offset).unwrap();
    RecordingPart { session_id: session.to_string(), offset, data, last }
}

/// Frames one after the other, the last of them the end.
fn parts(session: SessionId, frames: &[Bytes]) -> Vec<RecordingPart> {
    let mut offset = 0;
    let mut parts = Vec::new();
    for (number, frame) in frames.iter().enumerate() {
        parts.push(part(session, offset, frame.clone(), number + 1 == frames.len()));
        offset += frame.len();
    }
    parts
}

fn codes(told: &[(String, Value)]) -> Vec<&str> {
    told.iter().map(|(code, _)| code.as_str()).collect()
}

#[tokio::test]
async fn an_honest_recording_is_sealed_and_then_closed() {
    let mut site = site().await;
    let session = site.session().await;
    let frames = recording(session, &site.public, &site.key, &site.key);
    let length: usize = frames.iter().map(Bytes::len).sum();
    let acks = site.send(parts(session, &frames)).await;
    assert_eq!(acks.last().unwrap().durable, length as u64);
    let told = site.told(session).await;
    assert_eq!((codes(&told), &told[0].1["findings"]), (vec!["recording.sealed"], &json!([])));
    assert_eq!(site.state(session).await, "ended");
    // Nothing is added to it, and whoever asks again hears how much there is.
    let more = part(session, length, Bytes::from_static(b"one more thing"), false);
    assert_eq!(site.send(vec![more]).await[0].durable, length as u64);
    assert_eq!(codes(&site.told(session).await), ["recording.sealed"]);
}

#[tokio::test]
async fn a_signature_of_another_key_seals_nothing() {
    let mut site = site().await;
    let other = SigningKey::generate().unwrap();
    // By a key that the header names itself, and by one that nobody named.
    for named in [&other, &site.key] {
        let frames = |session| recording(session, &site.public, named, &other);
        let session: SessionId = site.agent.opened(&site.world, &site.ada).await.parse().unwrap();
        site.send(parts(session, &frames(session))).await;
        let told = site.told(session).await;
        assert_eq!(codes(&told), ["recording.interrupted"]);
        assert_ne!(told[0].1["findings"], json!([]), "{told:?}");
        assert_eq!(site.state(session).await, "interrupted");
    }
}

#[tokio::test]
async fn chunks_of_another_session_are_found() {
    let mut site = site().await;
    let (session, other) = (site.session().await, site.session().await);
    let (mut frames, others) = (
        recording(session, &site.public, &site.key, &site.key),
        recording(other, &site.public, &site.key, &site.key),
    );
    frames[2] = others[2].clone();
    site.send(parts(session, &frames)).await;
    let told = site.told(session).await;
    assert_eq!(codes(&told), ["recording.interrupted"]);
    assert!(told[0].1["findings"][0].as_str().unwrap().contains('1'), "the chunk is named: {told:?}");
    // And a whole recording of another session under this one's name.
    let third = site.session().await;
    site.send(parts(third, &others)).await;
    let told = site.told(third).await;
    assert_eq!((codes(&told), &told[0].1["own"]), (vec!["recording.interrupted"], &json!(false)));
}

#[tokio::test]
async fn what_is_durable_is_not_overwritten() {
    let mut site = site().await;
    let session = site.session().await;
    let frames = recording(session, &site.public, &site.key, &site.key);
    let second = recording(session, &site.public, &site.key, &site.key);
    let header = frames[0].len();
    let first =
        vec![part(session, 0, frames[0].clone(), false), part(session, header, frames[1].clone(), false)];
    site.send(first).await;
    // The same places, with other bytes.
    let again = site.send(vec![part(session, 0, second[0].clone(), false)]).await;
    assert!(again[0].durable >= (header + frames[1].len()) as u64);
    let rest: Vec<_> = parts(session, &frames).split_off(2);
    site.send(rest).await;
    let told = site.told(session).await;
    assert_eq!((codes(&told), &told[0].1["findings"]), (vec!["recording.sealed"], &json!([])));
}

#[tokio::test]
async fn a_hole_adds_nothing_and_an_early_end_is_no_end() {
    let mut site = site().await;
    let session = site.session().await;
    let frames = recording(session, &site.public, &site.key, &site.key);
    let ahead = site.send(vec![part(session, 5000, frames[1].clone(), false)]).await;
    assert_eq!(ahead[0].durable, 0);
    // It says that this is all, and it is not.
    let mut early = parts(session, &frames[..3]);
    early[2].last = true;
    site.send(early).await;
    assert_eq!(codes(&site.told(session).await), ["recording.interrupted"]);
    assert_eq!(site.state(session).await, "interrupted");
    // It may come back with the rest: then it is whole.
    let rest = parts(session, &frames).split_off(3);
    site.send(rest).await;
    assert_eq!(codes(&site.told(session).await), ["recording.sealed", "recording.interrupted"]);
}

#[tokio::test]
async fn the_sessions_of_other_agents_are_refused() {
    let mut site = site().await;
    let session = site.session().await;
    let west = SigningKey::generate().unwrap();
    let liar = Agent::join_signing(&site.world, "west", &west).await;
    let honest = std::mem::replace(&mut site.agent, liar);
    let frames = recording(session, &site.public, &west, &west);
    for ack in site.send(parts(session, &frames)).await {
        assert_eq!((ack.durable, ack.refused.unwrap().code.as_str()), (0, "HOOP-6004"));
    }
    assert_eq!(codes(&site.told(session).await), [""; 0]);
    // Its own agent is not disturbed.
    site.agent = honest;
    let frames = recording(session, &site.public, &site.key, &site.key);
    site.send(parts(session, &frames)).await;
    assert_eq!(codes(&site.told(session).await), ["recording.sealed"]);
}

#[tokio::test]
async fn a_recording_that_nobody_can_read_is_no_recording() {
    let mut site = site().await;
    let session = site.session().await;
    let foreign = RecordingPrivateKey::generate().unwrap();
    let frames = recording(session, foreign.public(), &site.key, &site.key);
    site.send(parts(session, &frames)).await;
    let told = site.told(session).await;
    assert_eq!((codes(&told), &told[0].1["own"]), (vec!["recording.interrupted"], &json!(false)));
    assert_eq!(site.state(session).await, "interrupted");
}
