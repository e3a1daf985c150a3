//! One stream from its first byte to its last: which phase it is in, and which phase gets what comes in.
//!
//! ```text
//!   Greeting ─▶ Asking ─▶ Login ─▶ (LookUp) ─▶ Relay ─▶ Over
//!       └─────▶ Cancelling ────────────────────────────▶ Over
//! ```

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use hoop_engine::{
    CancelKey, CancelKeys, CloseReason, Credential, Engine, Event, Output, Question, RequestId, Side,
    StreamContext, TargetTls,
};
use hoop_model::{Fault, Timestamp};
use hoop_policy::{Denial, Permit};
use hoop_recording::event::{Form, Said};

use crate::{
    fault::{self, Failure},
    login::{LoggedIn, Login, Terms},
    masking::{Columns, LookUp, Masks},
    outbox::Outbox,
    relay::Relay,
    settings::EngineSettings,
    startup::{Greeting, Packet, Replication, Startup},
    wire::version,
};

/// What a client may send ahead of the end of its log-in.
const MOST_EARLY: usize = 64 << 10;

enum Phase {
    /// The client's first packets.
    Greeting(Greeting),
    /// Policy is asked whether to log in (`replicate`: whether to replicate, after that).
    Asking { startup: Box<Startup>, id: RequestId, replicate: bool },
    /// Policy is asked whether to cancel.
    Cancelling { key: CancelKey, id: RequestId },
    /// The target is asked to let us in.
    Login(Box<Login>),
    /// The target is asked which columns are masked.
    LookUp(Box<Looking>),
    /// Requests and answers.
    Relay(Box<Relay>),
    /// Nothing more is said or heard.
    Over,
}

/// A log-in that is done, and what is still to be known.
struct Looking {
    done: LoggedIn,
    masks: Box<Masks>,
    look_up: LookUp,
}

/// The engine of one stream.
pub(crate) struct PostgresEngine {
    phase: Phase,
    out: Outbox,
    settings: Arc<EngineSettings>,
    stream: StreamContext,
    credential: Credential,
    deadline: Timestamp,
    next: u64,
    /// Sent by the client before it was let in.
    early: BytesMut,
    keys: Option<CancelKeys>,
    /// When the relay ended.
    left_working: bool,
    key: (u32, Bytes),
}

impl PostgresEngine {
    pub(crate) fn new(
        settings: Arc<EngineSettings>,
        stream: StreamContext,
        credential: Credential,
        now: Timestamp,
    ) -> Self {
        let deadline = now.after(stream.login_timeout);
        Self {
            phase: Phase::Greeting(Greeting::default()),
            out: Outbox::default(),
            settings,
            stream,
            credential,
            deadline,
            next: 0,
            early: BytesMut::new(),
            keys: None,
            left_working: false,
            key: (0, Bytes::new()),
        }
    }

    fn number(&mut self) -> RequestId {
        let id = RequestId(self.next);
        self.next += 1;
        id
    }

    /// Ends the stream because of a failure, telling the client if it can be told.
    fn fail(&mut self, failure: Failure) -> Fault {
        match self.leave() {
            Phase::Relay(relay) => relay.end(failure, &mut self.out),
            Phase::Over => failure.fault,
            _ => failure.tell(&mut self.out),
        }
    }

    /// Nothing more is done; what was, for its last words.
    fn leave(&mut self) -> Phase {
        self.left_working = self.is_working();
        std::mem::replace(&mut self.phase, Phase::Over)
    }

    fn close(&mut self, reason: CloseReason) {
        self.leave();
        self.out.push(Output::Close { reason });
    }

    fn client_input(&mut self, input: &mut BytesMut, now: Timestamp) -> Result<(), Failure> {
        match &mut self.phase {
            Phase::Relay(relay) => {
                if !self.early.is_empty() {
                    // A part of a frame came before the log-in was done: it goes in front, and then back to the driver.
                    let mut all = std::mem::take(&mut self.early);
                    all.unsplit(std::mem::take(input));
                    *input = all;
                }
                relay.handle_client(input, now, &mut self.out)
            }
            Phase::Greeting(_) => self.greet(input),
            Phase::Asking { .. } | Phase::Login(_) | Phase::LookUp(_) => {
                self.early.unsplit(input.split());
                Ok(())
            }
            Phase::Cancelling { .. } | Phase::Over => {
                input.clear();
                Ok(())
            }
        }
    }

    fn target_input(&mut self, input: &mut BytesMut, now: Timestamp) -> Result<(), Failure> {
        match &mut self.phase {
            Phase::Relay(relay) => relay.handle_target(input, now, &mut self.out),
            Phase::Login(login) => match login.handle_target(input, now, &mut self.out)? {
                Some(done) => self.logged_in(done, input, now),
                None => Ok(()),
            },
            Phase::LookUp(looking) => {
                let Looking { done, look_up, .. } = &mut **looking;
                match look_up.handle_target(&mut done.intake, input, &mut done.mode)? {
                    Some(columns) => self.looked_up(columns, now),
                    None => Ok(()),
                }
            }
            Phase::Over => {
                input.clear();
                Ok(())
            }
            _ if input.is_empty() => Ok(()),
            _ => Err(fault::target_broke(0, "it speaks first")),
        }
    }

    fn greet(&mut self, input: &mut BytesMut) -> Result<(), Failure> {
        while let Phase::Greeting(greeting) = &mut self.phase {
            match greeting.read(input)? {
                None => break,
                Some(Packet::Encryption) => self.out.send_client(Bytes::from_static(b"N")),
                Some(Packet::Cancel(key)) => {
                    let id = self.number();
                    let (text, parameters) = (Bytes::new(), Vec::new());
                    self.out.record(Event::Request { id, form: Form::Cancel, text, parameters });
                    self.out.decide(id, Question::Cancel);
                    self.phase = Phase::Cancelling { key, id };
                }
                Some(Packet::Startup(startup)) => {
                    let id = self.number();
                    let (database, setting, risk) =
                        (self.database(&startup), startup.setting(), startup.risk());
                    self.out.decide(id, Question::LogIn { database, setting, risk });
                    self.phase = Phase::Asking { startup, id, replicate: false };
                    self.early.unsplit(input.split());
                }
            }
        }
        Ok(())
    }

    fn database(&self, startup: &Startup) -> String {
        startup.database.as_ref().or(self.settings.database.as_ref()).unwrap_or(&self.credential.user).clone()
    }

    fn asked(&mut self, verdict: Result<Permit, Denial>, now: Timestamp) -> Result<(), Failure> {
        match (std::mem::replace(&mut self.phase, Phase::Over), verdict) {
            (Phase::Asking { startup, id, replicate: false }, Ok(_))
                if startup.replication != Replication::None =>
            {
                self.phase = Phase::Asking { startup, id, replicate: true };
                if !self.stream.rules.allow_replication {
                    return self.asked(Err(Denial::Replication), now);
                }
                self.out.decide(id, Question::Replicate);
                Ok(())
            }
            (Phase::Asking { startup, id, .. }, Ok(permit)) => {
                let terms = self.terms(startup, id);
                self.phase = Phase::Login(Box::new(Login::begin(permit, terms, now, &mut self.out)));
                Ok(())
            }
            (Phase::Cancelling { key, .. }, Ok(_)) => {
                self.out.push(Output::ForwardCancel { key });
                self.close(CloseReason::CancelSent);
                Ok(())
            }
            (phase @ (Phase::Asking { id, .. } | Phase::Cancelling { id, .. }), Err(denial)) => {
                let text = match &phase {
                    Phase::Asking { startup, .. } => Bytes::from(self.database(startup)),
                    _ => Bytes::new(),
                };
                if matches!(phase, Phase::Asking { .. }) {
                    self.out.record(Event::Request { id, form: Form::LogIn, text, parameters: Vec::new() });
                }
                self.phase = phase;
                let fault = denial.to_fault();
                let (code, message) = (fault.code.as_str().to_owned(), fault.message.clone());
                self.out.record(Event::Denied { id, code, message });
                Err(fault::denied(fault))
            }
            (phase, _) => {
                self.phase = phase;
                Ok(())
            }
        }
    }

    fn terms(&mut self, startup: Box<Startup>, request: RequestId) -> Terms {
        self.key = client_key(self.stream.cancel_seed.expose(), startup.version);
        Terms {
            credential: self.credential.clone(),
            database: self.database(&startup),
            application_name: startup.application_name(&self.stream.person),
            tls: self.settings.tls,
            allow_md5_without_tls: self.settings.allow_md5_without_tls,
            request,
            cache: Arc::clone(&self.stream.login_cache),
            key: self.key.clone(),
            read_only: self.stream.rules.read_only,
            startup,
        }
    }

    fn logged_in(&mut self, mut done: LoggedIn, input: &mut BytesMut, now: Timestamp) -> Result<(), Failure> {
        self.keys = done.cancel_request.take().map(|target_request| {
            let (process, secret) = self.key.clone();
            CancelKeys { client: CancelKey { process, secret }, target_request }
        });
        // The password has done its work.
        self.credential.password = None;
        let Some(masks) = Masks::new(&self.stream.rules.masking, &self.stream.masking_key) else {
            return self.relay(done, None, input, now);
        };
        let Some(look_up) = masks.look_up() else { return self.relay(done, Some(masks), input, now) };
        if !done.behind.is_empty() || !input.is_empty() {
            // Most likely a notice, which nobody has asked for.
            return Err(fault::target_broke(0, "it speaks before it is asked anything"));
        }
        self.out.send_target(look_up.query());
        self.phase = Phase::LookUp(Box::new(Looking { done, masks, look_up }));
        Ok(())
    }

    fn looked_up(&mut self, columns: Columns, now: Timestamp) -> Result<(), Failure> {
        let Phase::LookUp(looking) = std::mem::replace(&mut self.phase, Phase::Over) else { return Ok(()) };
        let Looking { done, mut masks, .. } = *looking;
        let text = columns.describe().into();
        self.out.record(Event::Said { kind: Said::Notice, text });
        masks.found(columns);
        self.relay(done, Some(masks), &mut BytesMut::new(), now)
    }

    fn relay(
        &mut self,
        mut done: LoggedIn,
        masks: Option<Box<Masks>>,
        input: &mut BytesMut,
        now: Timestamp,
    ) -> Result<(), Failure> {
        self.out.send_client(std::mem::take(&mut done.welcome));
        let mut relay = Box::new(Relay::new(
            done,
            Arc::clone(&self.stream.rules),
            masks,
            self.settings.limits,
            self.next,
        ));
        let target = relay.handle_target(input, now, &mut self.out);
        let mut early = std::mem::take(&mut self.early);
        let client = relay.handle_client(&mut early, now, &mut self.out);
        self.early = early;
        self.phase = Phase::Relay(relay);
        target.and(client)
    }
}

/// The key to show: the process id, and as much of the secret as the version has room for.
fn client_key(seed: &[u8], version: u32) -> (u32, Bytes) {
    let (process, secret) = seed.split_first_chunk::<4>().unwrap_or((&[0; 4], &[]));
    let length = if version >= version::V3_2 { 32 } else { 4 };
    // Process ids are positive numbers to clients.
    let process = u32::from_be_bytes(*process) & 0x7fff_ffff;
    (process, Bytes::copy_from_slice(secret.get(..length).unwrap_or(secret)))
}

impl Engine for PostgresEngine {
    #[inline]
    fn handle_input(&mut self, from: Side, input: &mut BytesMut, now: Timestamp) -> Result<(), Fault> {
        let done = match from {
            Side::Client => self.client_input(input, now),
            Side::Target => self.target_input(input, now),
        };
        done.map_err(|failure| self.fail(failure))
    }

    fn handle_eof(&mut self, from: Side, now: Timestamp) {
        match (&mut self.phase, from) {
            (Phase::Over, _) => {}
            (_, Side::Client) => self.close(CloseReason::Client),
            (Phase::Relay(relay), Side::Target) => {
                relay.handle_target_eof(now, &mut self.out);
                self.phase = Phase::Over;
            }
            (_, Side::Target) => {
                self.fail(fault::target_gone());
            }
        }
    }

    #[inline]
    fn handle_verdict(&mut self, id: RequestId, verdict: Result<Permit, Denial>, now: Timestamp) {
        let done = match &mut self.phase {
            Phase::Relay(relay) => relay.handle_verdict(id, verdict, now, &mut self.out),
            Phase::Asking { id: asked, .. } | Phase::Cancelling { id: asked, .. } if *asked == id => {
                self.asked(verdict, now)
            }
            _ => Ok(()),
        };
        if let Err(failure) = done {
            self.fail(failure);
        }
    }

    fn handle_target_tls(&mut self, tls: TargetTls, _now: Timestamp) {
        if let Phase::Login(login) = &mut self.phase {
            login.handle_target_tls(tls, &mut self.out);
        }
    }

    fn handle_timeout(&mut self, now: Timestamp) {
        let waits_for = match &self.phase {
            Phase::Greeting(_) => "the client's start-up packet",
            Phase::Asking { .. } | Phase::Cancelling { .. } => "a decision",
            Phase::Login(login) => login.waits_for(),
            Phase::LookUp(_) => "the database server to tell which columns are masked",
            Phase::Relay(_) | Phase::Over => return,
        };
        if now >= self.deadline {
            self.fail(fault::login_timeout(waits_for));
        }
    }

    fn handle_end(&mut self, fault: Fault, _now: Timestamp) {
        self.fail(fault::ended(fault));
    }

    #[inline]
    fn poll_output(&mut self) -> Output {
        if let Some(output) = self.out.next() {
            if matches!(output, Output::Close { .. }) {
                self.leave();
            }
            return output;
        }
        if let Phase::Relay(relay) = &mut self.phase {
            relay.flush(&mut self.out);
        }
        let wake = match self.phase {
            Phase::Relay(_) | Phase::Over => None,
            _ => Some(self.deadline),
        };
        self.out.next().unwrap_or(Output::Idle { wake })
    }

    #[inline]
    fn is_congested(&self, side: Side) -> bool {
        match (side, &self.phase) {
            (Side::Target, _) => false,
            (Side::Client, Phase::Relay(relay)) => relay.is_client_congested(),
            (Side::Client, _) => self.early.len() > MOST_EARLY,
        }
    }

    fn is_working(&self) -> bool {
        match &self.phase {
            Phase::Relay(relay) => relay.is_working(),
            _ => self.left_working,
        }
    }

    fn cancel_keys(&self) -> Option<CancelKeys> {
        self.keys.clone()
    }
}
