//! The contract's second form: an engine whose library owns its event loop is *hosted*. It gets its streams, its clock, its
//! decisions and its recording from whoever hosts it, and runs until it is over.
//!
//! ```text
//!   client bytes ◀▶ [HostedParts::client] ─┐            ┌─▶ ask    policy decides, the recording has it, then a Permit
//!                                          ├─▶ engine ──┼─▶ show   the recording has it, then bytes for the client
//!   target bytes ◀▶ [Host::dial] ──────────┘            └─▶ ended  the end, and why
//! ```
//!
//! What the sans-IO form keeps by the order of its outputs is kept here by types:
//! - Code that moves a request to the target takes the [`Permit`] that [`Host::ask`] gives, and it gives one only after the
//!   request was kept.
//! - Code that writes to the client takes [`Shown`], which only [`Host::show`] makes, after the recording took the bytes.
//! - A fault of either ends the stream; so does [`Host::ended`], which every engine listens to from its first moment.
//!
//! There is no event loop here: futures and polls are those of the standard library.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use hoop_model::{Fault, Redacted, Timestamp};
use hoop_policy::{Denial, Permit};
use hoop_recording::event::{Event, Form, Parameter, RequestId};

use crate::{
    CloseReason, Credential, Question, TargetTls,
    program::{Program, ProgramOrder},
};

/// Something that is being done, polled in place. Dropping it stops it.
pub type Doing<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// An engine in its hosted form.
pub trait HostedEngine: Send {
    /// Runs one stream to its end. Dropping the future, or the end of its streams, ends whatever it started.
    fn run(self: Box<Self>, parts: HostedParts) -> Doing<CloseReason>;
}

/// Looks whether a target is there, as [`crate::Target::look`] does for engines that are fed: logs in, asks for its version,
/// leaves. Nothing is asked of policy, and nothing is recorded, because nobody's session is served.
pub trait HostedLook: Send {
    /// What the target calls itself.
    fn run(self: Box<Self>, host: Host, credential: Credential) -> Doing<Result<String, Fault>>;
}

/// What a hosted engine gets.
pub struct HostedParts {
    /// The person's client. What it carries is between the connector, which proved its session, and this agent.
    pub client: Box<dyn ByteStream>,
    /// Decisions, recording, target, clock and end.
    pub host: Host,
    /// Known to this session's connector and agent (and to the gateway, which minted the session): what proves to the client
    /// that it speaks with the agent is derived from it.
    pub stream_key: Redacted<[u8; 32]>,
}

/// A byte stream of the host's. Each method keeps no state between calls but the stream's own.
pub trait ByteStream: Send {
    /// Reads once into `into`. Zero: end of file.
    fn poll_read(&mut self, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>>;

    /// Writes some of `from`.
    fn poll_write(&mut self, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>>;

    /// Pushes out what the stream itself buffers.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the writing direction.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
}

/// How TLS with a target begins, where an engine wants it from the first byte.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Handshake {
    /// Application protocols to offer, the best first.
    pub protocols: Vec<&'static [u8]>,
    /// What the credential says of TLS, in place of the files that the settings name.
    pub keys: Option<TlsKeys>,
}

/// What a credential brings along for TLS. The chain and the name are always checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsKeys {
    /// PEM: the authorities to trust; `None`: as the settings say.
    pub authorities: Option<Vec<u8>>,
    /// The name that must stand in the certificate, if it is not the host.
    pub server_name: Option<String>,
    /// PEM: a client certificate with its chain, and its private key.
    pub identity: Option<(Vec<u8>, Redacted<String>)>,
}

/// A target's stream under TLS.
pub struct Secured {
    /// What is inside.
    pub stream: Box<dyn ByteStream>,
    /// The application protocol that the target chose.
    pub protocol: Option<Vec<u8>>,
    /// What the handshake brought.
    pub tls: TargetTls,
}

/// When a record must be kept before anything goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Always: it is a request, or a refusal.
    First,
    /// Where the session's recording is strict; else it is enough that the recording has taken it.
    IfStrict,
}

/// What a host does for its engine. Implemented by whoever drives engines; engines use it through [`Host`].
pub trait Services: Send + Sync {
    /// The time.
    fn now(&self) -> Timestamp;

    /// Asks policy. After the end has been announced the answer is a fault.
    ///
    /// # Errors
    /// The reason to end the stream.
    fn decide(&self, question: &Question) -> Result<Result<Permit, Denial>, Fault>;

    /// Appends to the recording at once; the future is done when what `keep` asks for is so, and the recording can take more.
    fn record(&self, event: Event, keep: Keep) -> Doing<Result<(), Fault>>;

    /// Connects to the target. It breaks when this engine is over.
    fn dial(&self) -> Doing<Result<Box<dyn ByteStream>, Fault>>;

    /// The same, with TLS from the first byte.
    fn dial_secured(&self, handshake: Handshake) -> Doing<Result<Secured, Fault>>;

    /// Starts a program on the agent's own machine. It ends, with all that it started, when this engine is over.
    fn start_program(&self, order: ProgramOrder) -> Doing<Result<Program, Fault>>;

    /// The client did something: it is not idle.
    fn touch(&self);

    /// Ends the whole session, before anybody is told anything else: its target is not what it was. Other faults end their stream.
    fn end_session(&self, fault: Fault);

    /// Waits for the end of this stream: then there is a moment to tell the client why.
    fn ended(&self) -> Doing<Fault>;
}

/// What a hosted engine asks its host for.
#[derive(Clone)]
pub struct Host(Arc<dyn Services>);

/// Why a request does not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Policy says no; that is recorded. The stream goes on.
    Denied(Fault),
    /// The stream is over, or its recording is broken.
    Over(Fault),
}

impl Refused {
    /// The fault to tell the client.
    #[must_use]
    pub fn fault(self) -> Fault {
        match self {
            Self::Denied(fault) | Self::Over(fault) => fault,
        }
    }
}

/// Bytes for the client that the recording has taken: [`Host::show`] makes them. Or hoop's own words.
#[derive(Debug)]
pub struct Shown(Bytes);

impl Shown {
    /// What hoop itself has to say; the recording says it in its own way (`Denied`, `Failed`, `Closed`).
    #[must_use]
    pub fn own_words(fault: &Fault) -> Self {
        let hint = fault.hint.as_ref().map(|hint| format!("\r\nhoop: {hint}")).unwrap_or_default();
        Self(format!("hoop: {} ({}){hint}\r\n", fault.message, fault.code).into())
    }

    /// The bytes, to be written.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Host {
    /// Over these services.
    #[must_use]
    pub fn new(services: Arc<dyn Services>) -> Self {
        Self(services)
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// Asks policy for a request. The permit comes after the recording has kept the request; so does a denial.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn ask(
        &self,
        id: RequestId,
        form: Form,
        text: Bytes,
        question: &Question,
    ) -> Result<Permit, Refused> {
        self.ask_about(id, (form, text, Vec::new()), question).await
    }

    /// The same of a request that is told with more than a text.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn ask_about(
        &self,
        id: RequestId,
        (form, text, parameters): (Form, Bytes, Vec<Parameter>),
        question: &Question,
    ) -> Result<Permit, Refused> {
        let verdict = self.0.decide(question).map_err(Refused::Over)?;
        let request = Event::Request { id, form, text, parameters };
        match verdict {
            Ok(permit) => {
                self.0.record(request, Keep::First).await.map_err(Refused::Over)?;
                Ok(permit)
            }
            Err(denial) => {
                let fault = denial.to_fault();
                // Both are appended before either is waited for: they stand beside each other.
                let asked = self.0.record(request, Keep::First);
                let answered = self.0.record(denied(id, &fault), Keep::First);
                asked.await.map_err(Refused::Over)?;
                answered.await.map_err(Refused::Over)?;
                Err(Refused::Denied(fault))
            }
        }
    }

    /// Records a request that the connection's own settings refuse, whatever policy says.
    ///
    /// # Errors
    /// When the recording is broken.
    pub async fn refuse(&self, id: RequestId, form: Form, text: Bytes, why: &Fault) -> Result<(), Fault> {
        let request = Event::Request { id, form, text, parameters: Vec::new() };
        let asked = self.0.record(request, Keep::First);
        let answered = self.0.record(denied(id, why), Keep::First);
        asked.await?;
        answered.await
    }

    /// Records what the client is about to be shown; then it may be. Without an event the bytes are of a request whose limit
    /// was reached, which the recording says.
    ///
    /// # Errors
    /// When the recording is broken: nothing more is shown.
    pub async fn show(&self, bytes: Bytes, event: Option<Event>) -> Result<Shown, Fault> {
        if let Some(event) = event {
            self.0.record(event, Keep::IfStrict).await?;
        }
        Ok(Shown(bytes))
    }

    /// Records something beside a request and its answer.
    ///
    /// # Errors
    /// When the recording is broken.
    pub async fn note(&self, event: Event, keep: Keep) -> Result<(), Fault> {
        self.0.record(event, keep).await
    }

    /// Connects to the target.
    ///
    /// # Errors
    /// Why it cannot be reached.
    pub async fn dial(&self) -> Result<Box<dyn ByteStream>, Fault> {
        self.0.dial().await
    }

    /// The same, with TLS from the first byte.
    ///
    /// # Errors
    /// Why it cannot be reached, or trusted.
    pub async fn dial_secured(&self, handshake: Handshake) -> Result<Secured, Fault> {
        self.0.dial_secured(handshake).await
    }

    /// Starts a program on the agent's own machine: takes the proof that it may run.
    ///
    /// # Errors
    /// Why it does not run: mostly that the agent's owner has not allowed it.
    pub async fn start_program(&self, _: Permit, order: ProgramOrder) -> Result<Program, Fault> {
        self.0.start_program(order).await
    }

    /// The client did something: it is not idle.
    pub fn touch(&self) {
        self.0.touch();
    }

    /// Ends the whole session, before anybody is told anything else: its target is not what it was.
    pub fn end_session(&self, fault: Fault) {
        self.0.end_session(fault);
    }

    /// Waits for the end of this stream, and says why.
    pub async fn ended(&self) -> Fault {
        self.0.ended().await
    }
}

fn denied(id: RequestId, fault: &Fault) -> Event {
    Event::Denied { id, code: fault.code.to_string(), message: fault.message.clone() }
}
