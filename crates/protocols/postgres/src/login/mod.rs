//! Log-in at the target, as the credential's user: TLS first, then whatever the server asks for.
//!
//! ```text
//!   SSLRequest ─▶ 'S' ─▶ handshake ─▶ StartupMessage ─▶ R… (trust, password, MD5, SCRAM) ─▶ R ok ─▶ S… K ─▶ Z
//! ```
//! It fails closed: no TLS where it is asked for, a byte before the handshake, a server that does not prove itself, or
//! too much said before it is ready, end the stream. What the client is to read is kept until the target is ready.

mod binding;
mod scram;

use bytes::{Bytes, BytesMut};
use hoop_engine::{Credential, Event, LoginCache, Output, RequestId, TargetTls};
use hoop_model::{Redacted, Timestamp};
use hoop_policy::Permit;
use hoop_recording::event::{Form, Said};
use hoop_sql::postgres::Mode;

pub(crate) use self::scram::verifier as scram_verifier;
use self::scram::{Binding, First, Proven, ScramError};
use crate::{
    fault::{self, Failure},
    outbox::Outbox,
    startup::{Replication, Startup},
    wire::{Header, Intake, Malformed, Reader, Refusal, read, version, write},
};

/// Everything a target may say before it is ready.
const MOST_BYTES: usize = 256 << 10;

/// The setting by which each transaction of a session is read-only.
const READ_ONLY: &[u8] = b"default_transaction_read_only";

/// One message of it.
const LONGEST: usize = 64 << 10;

/// What a log-in needs to know.
pub(crate) struct Terms {
    pub(crate) credential: Credential,
    pub(crate) startup: Box<Startup>,
    pub(crate) database: String,
    pub(crate) application_name: String,
    pub(crate) tls: bool,
    pub(crate) allow_md5_without_tls: bool,
    pub(crate) request: RequestId,
    pub(crate) cache: std::sync::Arc<LoginCache>,
    /// Key to show to the client: process id and secret.
    pub(crate) key: (u32, Bytes),
    /// Each transaction is to be read-only.
    pub(crate) read_only: bool,
}

enum Step {
    /// `SSLRequest` is sent.
    TlsAnswer,
    /// The driver shakes hands.
    Handshake,
    /// The server says how to log in.
    Method,
    /// SCRAM: our first message is sent.
    ScramFirst(First),
    /// SCRAM: our proof is sent.
    ScramProven(Proven),
    /// A password is sent, or the server has proven itself: only "ok" can come.
    Answered,
    /// We are in; the server tells its settings.
    Settings,
}

/// A log-in under way.
pub(crate) struct Login {
    terms: Terms,
    step: Step,
    tls: Option<TargetTls>,
    intake: Intake,
    said: usize,
    reply: BytesMut,
    key: Option<Bytes>,
    mode: Mode,
    /// The target says that transactions are read-only.
    is_read_only: bool,
    started: Timestamp,
}

/// A log-in that is done.
pub(crate) struct LoggedIn {
    /// The complete cancel request for the target, if it gave a key.
    pub(crate) cancel_request: Option<Bytes>,
    /// Chunks of the target's that came behind.
    pub(crate) behind: Vec<Bytes>,
    /// How the target's stream is cut.
    pub(crate) intake: Intake,
    /// Transaction status.
    pub(crate) status: u8,
    /// How texts are read.
    pub(crate) mode: Mode,
    /// What the client is to read first.
    pub(crate) welcome: Bytes,
}

fn rule(header: Header) -> Result<usize, Malformed> {
    if header.total > LONGEST { Err(Malformed("it is too long for a log-in")) } else { Ok(header.total) }
}

impl Login {
    /// Begins. The permit is what lets anything be said to the target.
    pub(crate) fn begin(_permit: Permit, terms: Terms, now: Timestamp, out: &mut Outbox) -> Self {
        let mut login = Self {
            step: Step::TlsAnswer,
            tls: None,
            intake: Intake::default(),
            said: 0,
            reply: BytesMut::new(),
            key: None,
            mode: Mode::default(),
            is_read_only: false,
            started: now,
            terms,
        };
        if login.terms.tls {
            out.send_target(write::ssl_request());
        } else {
            login.introduce(out);
        }
        login
    }

    /// What the log-in waits for, for a person to read.
    pub(crate) fn waits_for(&self) -> &'static str {
        match self.step {
            Step::TlsAnswer | Step::Handshake => "TLS with the database server",
            _ => "the database server to accept the log-in",
        }
    }

    pub(crate) fn handle_target_tls(&mut self, tls: TargetTls, out: &mut Outbox) {
        if matches!(self.step, Step::Handshake) {
            self.tls = Some(tls);
            self.introduce(out);
        }
    }

    /// Bytes of the target. `Some`: it is ready.
    pub(crate) fn handle_target(
        &mut self,
        input: &mut BytesMut,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<Option<LoggedIn>, Failure> {
        match self.step {
            Step::TlsAnswer => self.tls_answer(input, out).map(|()| None),
            Step::Handshake if input.is_empty() => Ok(None),
            Step::Handshake => Err(fault::before_tls()),
            _ => self.messages(input, now, out),
        }
    }

    fn tls_answer(&mut self, input: &mut BytesMut, out: &mut Outbox) -> Result<(), Failure> {
        match &input[..] {
            [] => Ok(()),
            b"S" => {
                input.clear();
                out.push(Output::StartTargetTls);
                self.step = Step::Handshake;
                Ok(())
            }
            [b'N', ..] => Err(fault::no_tls()),
            // Whatever follows the 'S' was sent in the clear and would be read as if it had come through TLS.
            _ => Err(fault::before_tls()),
        }
    }

    /// Tells the target who we are, and the recording what the session is.
    fn introduce(&mut self, out: &mut Outbox) {
        let startup = &self.terms.startup;
        let text = Bytes::copy_from_slice(self.terms.database.as_bytes());
        out.record(Event::Opened { facts: self.facts() });
        let (id, form) = (self.terms.request, Form::LogIn);
        out.record(Event::Request { id, form, text, parameters: Vec::new() });
        let replication: Option<(&[u8], &[u8])> = match startup.replication {
            Replication::None => None,
            Replication::Physical => Some((b"replication", b"true")),
            Replication::Logical => Some((b"replication", b"database")),
        };
        let ours: [(&[u8], &[u8]); 3] = [
            (b"user", self.terms.credential.user.as_bytes()),
            (b"database", self.terms.database.as_bytes()),
            (b"application_name", self.terms.application_name.as_bytes()),
        ];
        let theirs = startup.parameters.iter().map(|(name, value)| (&name[..], &value[..]));
        // The last one counts.
        let read_only = self.terms.read_only.then_some((READ_ONLY, &b"on"[..]));
        let all = ours.into_iter().chain(replication).chain(theirs).chain(read_only);
        out.send_target(write::startup(startup.version, all));
        self.step = Step::Method;
    }

    fn facts(&self) -> Vec<(String, String)> {
        let startup = &self.terms.startup;
        let tls = match &self.tls {
            Some(tls) => format!("{} {}", tls.version, tls.cipher),
            None => "none".to_owned(),
        };
        let mut facts = vec![
            ("protocol", "postgres".to_owned()),
            ("database", self.terms.database.clone()),
            ("user", self.terms.credential.user.clone()),
            ("application", startup.application.clone()),
            ("client_version", format!("{}.{}", startup.version >> 16, startup.version & 0xffff)),
            ("target_tls", tls),
        ];
        if let Some(user) = &startup.user {
            facts.push(("client_user", user.clone()));
        }
        if self.terms.read_only {
            facts.push(("transactions", "read only".to_owned()));
        }
        if startup.replication != Replication::None {
            facts.push(("replication", format!("{:?}", startup.replication).to_lowercase()));
        }
        let named = facts.into_iter().map(|(name, value)| (name.to_owned(), value));
        let parameters = startup.parameters.iter().map(|(name, value)| {
            (
                format!("parameter.{}", String::from_utf8_lossy(name)),
                String::from_utf8_lossy(value).into_owned(),
            )
        });
        named.chain(parameters).collect()
    }

    fn messages(
        &mut self,
        input: &mut BytesMut,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<Option<LoggedIn>, Failure> {
        let mut chunks = Vec::new();
        let taken = self.intake.take(input, rule, |chunk| chunks.push(chunk));
        let mut chunks = chunks.into_iter();
        while let Some(mut chunk) = chunks.next() {
            while let Some(Ok(header)) = Header::read(&chunk) {
                self.said = self.said.saturating_add(header.total);
                if self.said > MOST_BYTES {
                    return Err(fault::target_broke(header.kind, "it says too much before it is ready"));
                }
                let frame = chunk.split_to(header.total.min(chunk.len()));
                if let Some(status) = self.message(header.kind, &frame, now, out)? {
                    let behind = std::iter::once(chunk).chain(chunks).filter(|c| !c.is_empty()).collect();
                    return Ok(Some(self.finish(status, behind)));
                }
            }
        }
        taken.map_err(|Refusal { kind, why }| fault::target_broke(kind, why.0))?;
        Ok(None)
    }

    /// One whole message. `Some`: ready, with the transaction status.
    fn message(
        &mut self,
        kind: u8,
        frame: &Bytes,
        now: Timestamp,
        out: &mut Outbox,
    ) -> Result<Option<u8>, Failure> {
        let body = Reader::new(frame, crate::wire::HEADER, frame.len());
        let broke = |why: Malformed| fault::target_broke(kind, why.0);
        match (kind, &self.step) {
            (b'E', _) => return Err(self.refused(frame, now, out)),
            (b'N', _) => self.reply.extend_from_slice(frame),
            (b'R', Step::Settings) => return Err(fault::target_broke(kind, "the log-in is already done")),
            (b'R', _) => self.authentication(body, out)?,
            (b'v', Step::Method) => negotiated(body)?,
            (b'S', Step::Settings) => {
                self.setting(body, out).map_err(broke)?;
                self.reply.extend_from_slice(frame);
            }
            (b'K', Step::Settings) => self.key_data(body).map_err(broke)?,
            (b'Z', Step::Settings) => {
                let status = read::status(body).map_err(broke)?;
                if self.terms.read_only && !self.is_read_only {
                    return Err(fault::not_read_only());
                }
                self.reply.extend_from_slice(frame);
                let duration_us = micros(self.started, now);
                let tag = Bytes::from_static(b"LOG IN");
                out.record(Event::Completed { id: self.terms.request, tag, rows: 0, bytes: 0, duration_us });
                return Ok(Some(status));
            }
            _ => return Err(fault::target_broke(kind, "it has no place in a log-in")),
        }
        Ok(None)
    }

    fn finish(&mut self, status: u8, behind: Vec<Bytes>) -> LoggedIn {
        let cancel_request = self.key.take();
        let (intake, welcome) = (std::mem::take(&mut self.intake), std::mem::take(&mut self.reply).freeze());
        LoggedIn { cancel_request, behind, intake, status, mode: self.mode, welcome }
    }

    fn key_data(&mut self, mut body: Reader<'_>) -> Result<(), Malformed> {
        let process = body.u32()?;
        let secret = body.take_rest();
        if !(4..=256).contains(&secret.len()) {
            return Err(Malformed("the cancel key's length cannot be"));
        }
        self.key = Some(write::cancel_request(process, &secret));
        let (process, secret) = &self.terms.key;
        self.reply.extend_from_slice(&write::key_data(*process, secret));
        Ok(())
    }

    /// Settings that change how a recording is to be read.
    fn setting(&mut self, mut body: Reader<'_>, out: &mut Outbox) -> Result<(), Malformed> {
        let (name, value) = (body.text()?, body.text()?);
        body.finish()?;
        read::mode(&mut self.mode, &name, &value);
        self.is_read_only = read::is_read_only(&name, &value).unwrap_or(self.is_read_only);
        if matches!(
            &name[..],
            b"server_version" | b"client_encoding" | b"server_encoding" | b"session_authorization"
        ) {
            out.record(Event::Said { kind: Said::Setting, text: [&name[..], b"=", &value].concat().into() });
        }
        Ok(())
    }

    fn refused(&self, frame: &Bytes, now: Timestamp, out: &mut Outbox) -> Failure {
        let (code, message) = read::error_fields(Reader::new(frame, crate::wire::HEADER, frame.len()));
        let (id, duration_us) = (Some(self.terms.request), micros(self.started, now));
        out.record(Event::Failed { id, code: code.clone(), message: message.clone(), duration_us });
        let code = String::from_utf8_lossy(&code);
        // Class 28 is about the credential: its words are for an admin, not for the person.
        if code.len() != 5 || !code.is_ascii() || code.starts_with("28") {
            return fault::login_refused();
        }
        fault::target_said(&code, &String::from_utf8_lossy(&message))
    }

    fn authentication(&mut self, mut body: Reader<'_>, out: &mut Outbox) -> Result<(), Failure> {
        let broke = |why: Malformed| fault::target_broke(b'R', why.0);
        let method = body.u32().map_err(broke)?;
        self.step = match (method, std::mem::replace(&mut self.step, Step::Answered)) {
            (0, Step::Method | Step::Answered) => {
                body.finish().map_err(broke)?;
                self.welcome();
                Step::Settings
            }
            (3, Step::Method) => self.clear_password(out)?,
            (5, Step::Method) => self.md5(&mut body, out)?,
            (10, Step::Method) => self.scram_first(&mut body, out)?,
            (11, Step::ScramFirst(first)) => self.scram_prove(first, &body, out)?,
            (12, Step::ScramProven(proven)) => {
                proven.verify(body.rest()).map_err(scram_failure)?;
                Step::Answered
            }
            (0, _) => return Err(fault::target_unproven("it ended the log-in before its proof")),
            (2 | 7..=9, Step::Method) => {
                let hint = "an admin can choose scram-sha-256 for this user in pg_hba.conf";
                return Err(fault::login_method(
                    "the database server asks for Kerberos, which is not spoken",
                    hint,
                ));
            }
            _ => return Err(fault::target_broke(b'R', "this step of a log-in cannot come here")),
        };
        Ok(())
    }

    fn welcome(&mut self) {
        if let Some((newest, unknown)) = &self.terms.startup.negotiate {
            self.reply.extend_from_slice(&write::negotiate(*newest, unknown));
        }
        self.reply.extend_from_slice(&write::authentication_ok());
    }

    fn password(&self) -> Result<&Redacted<String>, Failure> {
        self.terms.credential.password.as_ref().ok_or_else(|| {
            let what = "the database server asks for a password, and none is configured for this connection";
            fault::login_method(what, "an admin can set `password` on the connection")
        })
    }

    fn clear_password(&self, out: &mut Outbox) -> Result<Step, Failure> {
        if self.tls.is_none() {
            let what =
                "the database server asks for the password in the clear, and the connection has no TLS";
            return Err(fault::login_method(
                what,
                "an admin can enable TLS, or scram-sha-256 in pg_hba.conf",
            ));
        }
        out.send_target(write::password(self.password()?.expose().as_bytes()));
        Ok(Step::Answered)
    }

    fn md5(&self, body: &mut Reader<'_>, out: &mut Outbox) -> Result<Step, Failure> {
        let broke = |why: Malformed| fault::target_broke(b'R', why.0);
        if self.tls.is_none() && !self.terms.allow_md5_without_tls {
            let what = "the database server asks for an MD5 answer, and the connection has no TLS";
            let hint = "an admin can choose scram-sha-256 in pg_hba.conf, or set allow_md5_without_tls";
            return Err(fault::login_method(what, hint));
        }
        let salt = body.u32().map_err(broke)?.to_be_bytes();
        body.finish().map_err(broke)?;
        let (user, password) = (self.terms.credential.user.as_bytes(), self.password()?.expose().as_bytes());
        let answer = postgres_protocol::authentication::md5_hash(user, password, salt);
        out.send_target(write::password(answer.as_bytes()));
        Ok(Step::Answered)
    }

    fn scram_first(&self, body: &mut Reader<'_>, out: &mut Outbox) -> Result<Step, Failure> {
        let (mut plain, mut plus) = (false, false);
        loop {
            let mechanism = body.text().map_err(|why| fault::target_broke(b'R', why.0))?;
            match &mechanism[..] {
                b"" => break,
                name if name == scram::PLAIN.as_bytes() => plain = true,
                name if name == scram::PLUS.as_bytes() => plus = true,
                _ => {}
            }
        }
        let end_point = self.tls.as_ref().and_then(|tls| binding::end_point(&tls.certificate));
        let binding = match end_point {
            Some(hash) if plus => Binding::EndPoint(hash),
            Some(_) if plain => Binding::NotOffered,
            None if plain => Binding::None,
            _ => {
                let what = "the database server offers no way to log in that is spoken here";
                return Err(fault::login_method(what, "an admin can choose scram-sha-256 in pg_hba.conf"));
            }
        };
        self.password()?;
        let mechanism = binding.mechanism();
        let first = First::new(binding).map_err(scram_failure)?;
        out.send_target(write::sasl_initial(mechanism, first.message().as_bytes()));
        Ok(Step::ScramFirst(first))
    }

    fn scram_prove(&self, first: First, body: &Reader<'_>, out: &mut Outbox) -> Result<Step, Failure> {
        let (proven, last) =
            first.prove(body.rest(), self.password()?, &self.terms.cache).map_err(scram_failure)?;
        out.send_target(write::sasl_response(last.as_bytes()));
        Ok(Step::ScramProven(proven))
    }
}

fn scram_failure(error: ScramError) -> Failure {
    match error {
        ScramError::Refused => fault::login_refused(),
        ScramError::Random => {
            fault::login_method("no random bytes are to be had on the agent's host", "tell an admin")
        }
        ScramError::Message(_) | ScramError::Signature => fault::target_unproven(&error.to_string()),
    }
}

/// The target speaks an older minor version than the client asked for: 3.0 then, which differs in key lengths alone.
fn negotiated(mut body: Reader<'_>) -> Result<(), Failure> {
    let broke = |why: Malformed| fault::target_broke(b'v', why.0);
    let newest = body.u32().map_err(broke)?;
    // Servers older than 18 tell the whole version, some poolers the minor alone.
    if newest <= 2 || (version::V3_0..=version::V3_2).contains(&newest) {
        Ok(())
    } else {
        Err(fault::target_broke(b'v', "it speaks no version that was asked for"))
    }
}

pub(crate) fn micros(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.since(from).as_micros()).unwrap_or(u64::MAX)
}
