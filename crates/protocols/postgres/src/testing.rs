//! Drives an engine in memory: feeds it, answers its questions, and collects what it wants done.

use std::{sync::Arc, time::Duration};

use bytes::{BufMut as _, Bytes, BytesMut};
use hoop_engine::{
    CancelKey, CloseReason, Credential, Engine as _, Event, LoginCache, Output, Question, RecordingLimits,
    RequestId, Side, StreamContext, TargetTls,
};
use hoop_masking::MaskingKey;
use hoop_model::{Fault, Redacted, SessionId, StreamId, Timestamp, UserName};
use hoop_policy::{Denial, Masking, OnlyStatement, Rules, Verdict, Warrant};

use crate::{engine::PostgresEngine, settings::EngineSettings, wire::version};

pub(crate) const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// What a stand is made of.
pub(crate) struct Make {
    pub(crate) tls: bool,
    pub(crate) md5: bool,
    pub(crate) password: Option<&'static str>,
    pub(crate) replication: bool,
    pub(crate) only: Option<OnlyStatement>,
    pub(crate) limits: RecordingLimits,
    pub(crate) masking: Masking,
    /// The rest of what its requests may be.
    pub(crate) rules: Rules,
    pub(crate) cache: Arc<LoginCache>,
}

impl Default for Make {
    fn default() -> Self {
        Self {
            tls: false,
            md5: false,
            password: Some("secret-canary"),
            replication: false,
            only: None,
            limits: RecordingLimits::default(),
            masking: Masking::None,
            rules: Rules::default(),
            cache: Arc::default(),
        }
    }
}

/// An engine and everything that came out of it.
pub(crate) struct Stand {
    pub(crate) engine: PostgresEngine,
    inputs: [BytesMut; 2],
    pub(crate) client: Vec<u8>,
    pub(crate) target: Vec<u8>,
    pub(crate) events: Vec<Event>,
    pub(crate) closed: Option<CloseReason>,
    pub(crate) start_tls: bool,
    pub(crate) cancels: Vec<CancelKey>,
    /// Verdicts are not given until `answer`.
    pub(crate) hold: bool,
    pub(crate) open: Vec<(RequestId, Question)>,
    /// Sends to the target, each with the number of events recorded before it.
    pub(crate) order: Vec<(usize, Bytes)>,
    warrant: Warrant,
}

impl Make {
    pub(crate) fn stand(self) -> Stand {
        let settings = EngineSettings {
            database: None,
            tls: self.tls,
            allow_md5_without_tls: self.md5,
            limits: self.limits,
        };
        let rules = Rules {
            allow_replication: self.replication,
            only: self.only,
            masking: self.masking,
            ..self.rules
        };
        let stream = StreamContext {
            groups: Vec::new(),
            session: SessionId::from_bytes([1; 16]),
            stream: StreamId(3),
            person: UserName::new("ada").unwrap(),
            rules: Arc::new(rules.clone()),
            masking_key: MaskingKey::new(&[7; 32]).unwrap(),
            cancel_seed: Redacted::new((0..36).collect()),
            login_cache: self.cache,
            login_timeout: Duration::from_secs(10),
        };
        let password = self.password.map(|p| Redacted::new(p.to_owned()));
        let credential = Credential { user: "app".to_owned(), password };
        Stand {
            engine: PostgresEngine::new(Arc::new(settings), stream, credential, NOW),
            inputs: Default::default(),
            client: Vec::new(),
            target: Vec::new(),
            events: Vec::new(),
            closed: None,
            start_tls: false,
            cancels: Vec::new(),
            hold: false,
            open: Vec::new(),
            order: Vec::new(),
            warrant: Warrant::new(rules, NOW.after(Duration::from_secs(60))),
        }
    }

    /// Logged in by trust, without TLS; what that took is forgotten.
    pub(crate) fn relaying(self) -> Stand {
        let mut stand = self.stand();
        stand.client_sends(&startup(b"user\0ada\0database\0clinic\0\0"));
        stand.target_sends(&logged_in());
        assert_eq!(stand.closed, None, "{}", text(&stand.client));
        stand.forget();
        stand
    }
}

impl Stand {
    pub(crate) fn forget(&mut self) {
        self.client.clear();
        self.target.clear();
        self.events.clear();
        self.order.clear();
    }

    pub(crate) fn client_sends(&mut self, bytes: &[u8]) -> Option<Fault> {
        self.feed(Side::Client, bytes)
    }

    pub(crate) fn target_sends(&mut self, bytes: &[u8]) -> Option<Fault> {
        self.feed(Side::Target, bytes)
    }

    pub(crate) fn feed(&mut self, from: Side, bytes: &[u8]) -> Option<Fault> {
        if self.closed.is_some() {
            return None;
        }
        let mut input = std::mem::take(&mut self.inputs[from as usize]);
        input.extend_from_slice(bytes);
        let done = self.engine.handle_input(from, &mut input, NOW);
        self.inputs[from as usize] = input;
        self.drain();
        done.err()
    }

    pub(crate) fn drain(&mut self) {
        loop {
            match self.engine.poll_output() {
                Output::Send { to: Side::Client, bytes } => self.client.extend_from_slice(&bytes),
                Output::Send { to: Side::Target, bytes } => {
                    self.target.extend_from_slice(&bytes);
                    self.order.push((self.events.len(), bytes));
                }
                Output::Decide { id, question } if self.hold => self.open.push((id, question)),
                Output::Decide { id, question } => {
                    let verdict = self.decide(&question);
                    self.engine.handle_verdict(id, verdict, NOW);
                }
                Output::Record(event) => self.events.push(event),
                Output::StartTargetTls => self.start_tls = true,
                Output::ForwardCancel { key } => self.cancels.push(key),
                Output::Close { reason } => {
                    self.closed = Some(reason);
                    return;
                }
                Output::Idle { .. } => return,
            }
        }
    }

    /// Denied is what says so.
    pub(crate) fn decide(&self, question: &Question) -> Verdict {
        match question {
            Question::Statement { text, .. } | Question::Prepare { text, .. }
                if text.windows(9).any(|w| w == b"forbidden") =>
            {
                Err(Denial::Replication)
            }
            Question::FunctionCall { function: 666 } => Err(Denial::Replication),
            Question::LogIn { database, .. } if database == "forbidden" => Err(Denial::Replication),
            _ => self.warrant.decide(&question.as_action(), NOW),
        }
    }

    /// Answers the oldest open question.
    pub(crate) fn answer(&mut self) {
        let (id, question) = self.open.remove(0);
        let verdict = self.decide(&question);
        self.engine.handle_verdict(id, verdict, NOW);
        self.drain();
    }

    pub(crate) fn tls(&mut self, certificate: Vec<u8>) {
        let tls =
            TargetTls { version: "TLSv1.3".into(), cipher: "TLS13_AES_256_GCM_SHA384".into(), certificate };
        self.engine.handle_target_tls(tls, NOW);
        self.drain();
    }

    /// The stable code the stream ended with.
    pub(crate) fn fault(&self) -> &str {
        match &self.closed {
            Some(CloseReason::Fault(fault)) => fault.code.as_str(),
            other => panic!("no fault: {other:?}\n{}", text(&self.client)),
        }
    }

    pub(crate) fn client_kinds(&self) -> String {
        kinds(&self.client)
    }

    pub(crate) fn target_kinds(&self) -> String {
        kinds(&self.target)
    }
}

/// Printable bytes, for failures.
pub(crate) fn text(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string()
}

/// The type bytes of whole frames.
pub(crate) fn kinds(mut bytes: &[u8]) -> String {
    let mut kinds = String::new();
    while let Some([kind, a, b, c, d]) = bytes.first_chunk::<5>() {
        kinds.push(char::from(*kind));
        let total = u32::from_be_bytes([*a, *b, *c, *d]) as usize + 1;
        bytes = bytes.get(total..).unwrap_or_else(|| panic!("{kinds}: the last frame is cut"));
    }
    assert!(bytes.is_empty(), "{kinds}: bytes behind");
    kinds
}

/// One frame.
pub(crate) fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.put_u32(u32::try_from(body.len() + 4).unwrap());
    out.put_slice(body);
    out
}

pub(crate) fn startup(body: &[u8]) -> Vec<u8> {
    startup_as(version::V3_0, body)
}

pub(crate) fn startup_as(version: u32, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    out.put_u32(u32::try_from(body.len() + 8).unwrap());
    out.put_u32(version);
    out.put_slice(body);
    out
}

/// What a server says that trusts us.
pub(crate) fn logged_in() -> Vec<u8> {
    [
        frame(b'R', b"\0\0\0\0"),
        frame(b'S', b"server_version\x0015.4\0"),
        frame(b'K', b"\0\0\0\x2asecr"),
        frame(b'Z', b"I"),
    ]
    .concat()
}

pub(crate) fn query(text: &str) -> Vec<u8> {
    frame(b'Q', &[text.as_bytes(), b"\0"].concat())
}

pub(crate) fn parse(name: &str, text: &str) -> Vec<u8> {
    frame(b'P', &[name.as_bytes(), b"\0", text.as_bytes(), b"\0\0\0"].concat())
}

/// Binds one text value, results in binary.
pub(crate) fn bind(portal: &str, statement: &str, value: &[u8]) -> Vec<u8> {
    let mut body = [portal.as_bytes(), b"\0", statement.as_bytes(), b"\0\0\0\0\x01"].concat();
    body.put_u32(u32::try_from(value.len()).unwrap());
    body.put_slice(value);
    body.put_slice(b"\0\x01\0\x01");
    frame(b'B', &body)
}

pub(crate) fn execute(portal: &str) -> Vec<u8> {
    frame(b'E', &[portal.as_bytes(), b"\0\0\0\0\0"].concat())
}

pub(crate) fn describe(kind: u8, name: &str) -> Vec<u8> {
    frame(b'D', &[&[kind], name.as_bytes(), b"\0"].concat())
}

pub(crate) fn sync() -> Vec<u8> {
    frame(b'S', b"")
}

/// A description of one text column.
pub(crate) fn columns(name: &str) -> Vec<u8> {
    frame(
        b'T',
        &[b"\0\x01", name.as_bytes(), b"\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"].concat(),
    )
}

/// A row of one cell.
pub(crate) fn row(value: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 1];
    body.put_u32(u32::try_from(value.len()).unwrap());
    body.put_slice(value);
    frame(b'D', &body)
}

pub(crate) fn complete(tag: &str) -> Vec<u8> {
    frame(b'C', &[tag.as_bytes(), b"\0"].concat())
}

pub(crate) fn ready(status: u8) -> Vec<u8> {
    frame(b'Z', &[status])
}

pub(crate) fn error(code: &str) -> Vec<u8> {
    frame(b'E', &[b"SERROR\0C", code.as_bytes(), b"\0Mno\0\0"].concat())
}
