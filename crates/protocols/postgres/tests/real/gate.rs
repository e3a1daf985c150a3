//! The smallest driver of an engine: blocking sockets, two reading threads a stream, everything permitted.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::bridge::{self, Bridge};
use bytes::{Bytes, BytesMut};
use hoop_engine::{
    CancelKey, CloseReason, Credential, Engine, Event, LoginCache, Output, Protocol as _, Side,
    StreamContext, Target,
};
use hoop_masking::MaskingKey;
use hoop_model::{Redacted, SessionId, StreamId, Timestamp, UserName};
use hoop_policy::{Masking, Rules, Warrant};
use hoop_postgres::Postgres;

#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) port: u16,
    inner: Arc<Inner>,
}

struct Inner {
    target: Arc<dyn Target>,
    target_port: u16,
    password: String,
    warrant: Warrant,
    tls: Option<Tls>,
    to_target: Mutex<Vec<u8>>,
    to_client: Mutex<Vec<u8>>,
    cache: Arc<LoginCache>,
    keys: Mutex<HashMap<CancelKey, Bytes>>,
    events: Mutex<Vec<(u32, Event)>>,
    closed: Mutex<Vec<CloseReason>>,
}

/// Answers as the server gives them.
pub(crate) fn unmasked() -> Rules {
    Rules { masking: Masking::None, ..Rules::default() }
}

pub(crate) fn now() -> Timestamp {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    Timestamp::from_micros(i64::try_from(micros).unwrap())
}

/// TLS towards the target, and who meddles with it.
#[derive(Clone)]
pub(crate) struct Tls {
    /// The authority to trust.
    pub(crate) authority: PathBuf,
    /// Changes the certificate that the engine is told, as if somebody stood in between.
    pub(crate) certificate: fn(Vec<u8>) -> Vec<u8>,
    /// Changes what the target says.
    pub(crate) said: fn(Vec<u8>) -> Vec<u8>,
}

impl Gate {
    pub(crate) fn open(target_port: u16, password: &str, rules: Rules) -> Self {
        Self::with(target_port, password, rules, None)
    }

    pub(crate) fn with(target_port: u16, password: &str, rules: Rules, tls: Option<Tls>) -> Self {
        let mode = match &tls {
            None => serde_json::json!({"mode": "disabled"}),
            Some(tls) => serde_json::json!({"mode": "verify_full", "ca_file": tls.authority}),
        };
        let settings = serde_json::json!({
            "host": "127.0.0.1", "port": target_port, "user": "app", "password": "env:UNUSED",
            "tls": mode, "allow_md5_without_tls": true,
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = Arc::new(Inner {
            target: Postgres.configure(&settings).unwrap(),
            target_port,
            password: password.to_owned(),
            warrant: Warrant::new(rules, now().after(Duration::from_secs(600))),
            tls,
            to_target: Mutex::default(),
            to_client: Mutex::default(),
            cache: Arc::default(),
            keys: Mutex::default(),
            events: Mutex::default(),
            closed: Mutex::default(),
        });
        let gate = Self { port, inner: Arc::clone(&inner) };
        std::thread::spawn(move || {
            for (stream, client) in (0..).zip(listener.incoming()) {
                let inner = Arc::clone(&inner);
                std::thread::spawn(move || inner.serve(stream, client.unwrap()));
            }
        });
        gate
    }

    /// What was recorded of all streams.
    pub(crate) fn events(&self) -> Vec<(u32, Event)> {
        self.inner.events.lock().unwrap().clone()
    }

    /// What was sent to the target on all streams, as it was before TLS.
    pub(crate) fn to_target(&self) -> Vec<u8> {
        self.inner.to_target.lock().unwrap().clone()
    }

    /// What was sent to clients since this was last asked.
    pub(crate) fn take_to_client(&self) -> Vec<u8> {
        std::mem::take(&mut self.inner.to_client.lock().unwrap())
    }

    /// Why streams ended.
    pub(crate) fn closed(&self) -> Vec<CloseReason> {
        self.inner.closed.lock().unwrap().clone()
    }
}

fn pump(side: Side, mut from: TcpStream, into: mpsc::SyncSender<(Side, Vec<u8>)>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        loop {
            let count = from.read(&mut buffer).unwrap_or(0);
            if into.send((side, buffer[..count].to_vec())).is_err() || count == 0 {
                return;
            }
        }
    });
}

impl Inner {
    fn serve(&self, stream: u32, client: TcpStream) {
        let (target, bridge) = bridge::to(self.target_port);
        client.set_nodelay(true).unwrap();
        target.set_nodelay(true).unwrap();
        let (into, from) = mpsc::sync_channel(100_000);
        pump(Side::Client, client.try_clone().unwrap(), into.clone());
        pump(Side::Target, target.try_clone().unwrap(), into);
        let mut seed = stream.to_be_bytes().to_vec();
        seed.extend((0..32).map(|n| n ^ stream.to_be_bytes()[3] ^ 0x5a));
        let context = StreamContext {
            groups: Vec::new(),
            session: SessionId::generate(),
            stream: StreamId(stream),
            person: UserName::new("ada").unwrap(),
            rules: Arc::clone(self.warrant.rules()),
            masking_key: MaskingKey::new(&[7; 32]).unwrap(),
            cancel_seed: Redacted::new(seed),
            login_cache: Arc::clone(&self.cache),
            login_timeout: Duration::from_secs(20),
        };
        let credential =
            Credential { user: "app".to_owned(), password: Some(Redacted::new(self.password.clone())) };
        let mut engine = self.target.start(context, credential, now()).fed().unwrap();
        let mut inputs = (BytesMut::new(), BytesMut::new());
        for (side, bytes) in from {
            let bytes = match (&self.tls, side) {
                (Some(tls), Side::Target) => (tls.said)(bytes),
                _ => bytes,
            };
            let input = if side == Side::Client { &mut inputs.0 } else { &mut inputs.1 };
            if bytes.is_empty() {
                engine.handle_eof(side, now());
            } else {
                input.extend_from_slice(&bytes);
                let _ = engine.handle_input(side, input, now());
            }
            if let Some(reason) = self.drain(stream, engine.as_mut(), &client, &target, &bridge) {
                self.closed.lock().unwrap().push(reason);
                let _ = (client.shutdown(Shutdown::Both), target.shutdown(Shutdown::Both));
                return;
            }
        }
    }

    fn drain(
        &self,
        stream: u32,
        engine: &mut dyn Engine,
        mut client: &TcpStream,
        mut target: &TcpStream,
        bridge: &Bridge,
    ) -> Option<CloseReason> {
        loop {
            match engine.poll_output() {
                Output::Send { to: Side::Client, bytes } => {
                    self.to_client.lock().unwrap().extend_from_slice(&bytes);
                    drop(client.write_all(&bytes));
                }
                Output::Send { to: Side::Target, bytes } => {
                    self.to_target.lock().unwrap().extend_from_slice(&bytes);
                    drop(target.write_all(&bytes));
                }
                Output::Decide { id, question } => {
                    let verdict = self.warrant.decide(&question.as_action(), now());
                    engine.handle_verdict(id, verdict, now());
                }
                Output::Record(event) => self.events.lock().unwrap().push((stream, event)),
                Output::StartTargetTls => {
                    let tls = self.tls.as_ref().expect("TLS is enabled");
                    let mut seen = bridge.start_tls(&tls.authority);
                    seen.certificate = (tls.certificate)(seen.certificate);
                    engine.handle_target_tls(seen, now());
                }
                Output::ForwardCancel { key } => {
                    if let Some(request) = self.keys.lock().unwrap().get(&key) {
                        TcpStream::connect(("127.0.0.1", self.target_port))
                            .unwrap()
                            .write_all(request)
                            .unwrap();
                    }
                }
                Output::Close { reason } => return Some(reason),
                Output::Idle { .. } => {
                    if let Some(keys) = engine.cancel_keys() {
                        self.keys.lock().unwrap().insert(keys.client, keys.target_request);
                    }
                    return None;
                }
            }
        }
    }
}
