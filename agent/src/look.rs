//! Tries a connection once, because an admin wants to know that it works: dial, TLS, log-in, version, and away again; or
//! looks for columns that seem to hold personal data.
//!
//! It is bounded in time and in what it reads, and what it tells holds no credential: a target that was sent a password in
//! clear could say it back.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::BytesMut;
use hoop_control::{order, v1};
use hoop_engine::{
    ColumnFinding, Errand, ErrandOutput, Outcome, TargetTls, TlsPolicy,
    hosted::{Handshake, HostedLook},
};
use hoop_model::{Blame, Fault, Redacted, SessionId, Timestamp};
use hoop_session::{Dial, Pending, SecuredSocket, TargetStream, bare_host};
use tokio::{net::TcpStream, sync::Semaphore, time::Instant};

use crate::{
    accounts::AccountSite,
    session::{Sessions, site_of},
};

/// From the order to the answer.
const LONGEST: Duration = Duration::from_secs(10);
/// The same of a scan.
const LONGEST_SCAN: Duration = Duration::from_secs(60);
/// At the same time.
const MOST: usize = 4;
static RUNNING: Semaphore = Semaphore::const_new(MOST);
/// Characters kept of what a target calls itself.
const VERSION: usize = 100;
/// Longest certificate that is told of.
const CERTIFICATE: usize = 16 << 10;

/// What is done, in this order; some targets have no TLS.
const STEPS: [&str; 5] = ["prepare", "connect", "tls", "log in", "version"];

/// What was done, how long each took, and what TLS came of it.
struct Clock(Mutex<Done>);

struct Done {
    last: Instant,
    steps: Vec<(&'static str, Duration)>,
    tls: TargetTls,
}

impl Clock {
    fn start() -> Arc<Self> {
        let done = Done { last: Instant::now(), steps: Vec::new(), tls: TargetTls::default() };
        Arc::new(Self(Mutex::new(done)))
    }

    fn done(&self, step: &'static str, tls: Option<TargetTls>) {
        let mut done = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let took = now.duration_since(done.last);
        done.last = now;
        done.steps.push((step, took));
        if let Some(tls) = tls {
            done.tls = tls;
        }
    }

    fn read(&self) -> (Vec<(&'static str, Duration)>, TargetTls) {
        let done = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (done.steps.clone(), done.tls.clone())
    }
}

/// Dials, and notes when it was done.
struct Timed {
    inner: Arc<dyn Dial>,
    clock: Arc<Clock>,
}

impl Dial for Timed {
    fn dial(&self) -> Pending<TcpStream> {
        let (dialling, clock) = (self.inner.dial(), Arc::clone(&self.clock));
        Box::pin(async move {
            let stream = dialling.await?;
            clock.done("connect", None);
            Ok(stream)
        })
    }

    fn start_tls(&self, stream: TcpStream) -> Pending<(TargetStream, TargetTls)> {
        let (shaking, clock) = (self.inner.start_tls(stream), Arc::clone(&self.clock));
        Box::pin(async move {
            let (stream, tls) = shaking.await?;
            clock.done("tls", Some(tls.clone()));
            Ok((stream, tls))
        })
    }

    fn dial_secured(&self, handshake: Handshake) -> Pending<SecuredSocket> {
        let (dialling, clock) = (self.inner.dial_secured(handshake), Arc::clone(&self.clock));
        Box::pin(async move {
            let secured = dialling.await?;
            clock.done("connect", None);
            clock.done("tls", Some(secured.tls.clone()));
            Ok(secured)
        })
    }
}

/// The errand, and when it is logged in: it sends its second message then.
struct Watched {
    errand: Box<dyn Errand>,
    sent: u32,
    clock: Arc<Clock>,
}

impl Errand for Watched {
    fn poll_output(&mut self) -> ErrandOutput {
        let output = self.errand.poll_output();
        match output {
            ErrandOutput::Send(_) => {
                self.sent += 1;
                if self.sent == 2 {
                    self.clock.done("log in", None);
                }
            }
            ErrandOutput::Done(_) => self.clock.done("version", None),
            ErrandOutput::Reconnect | ErrandOutput::Idle => {}
        }
        output
    }

    fn handle_input(&mut self, input: &mut BytesMut) -> Result<(), Fault> {
        self.errand.handle_input(input)
    }

    fn may_have_acted(&self) -> bool {
        self.errand.may_have_acted()
    }
}

/// Carries an order out. `None`: it is not the gateway's, or not for now; nobody waits for an answer.
pub(crate) async fn carry_out(
    sessions: &Sessions,
    request: &v1::TestConnection,
) -> Option<v1::ConnectionTested> {
    let now = Timestamp::from(jiff::Timestamp::now());
    let meeting = sessions.meeting().ok()?;
    let order = order::verify(&request.order, &request.signature, &meeting.grant_key, meeting.agent, now);
    let order = order
        .inspect_err(|error| tracing::warn!(%error, "an order to test a connection was refused"))
        .ok()?;
    let clock = Clock::start();
    let mut known = None;
    let outcome = match RUNNING.try_acquire() {
        Err(_) => Err(busy()),
        Ok(_permit) => {
            let looking = look(sessions, &order, &clock, &mut known);
            let longest = if order.scan { LONGEST_SCAN } else { LONGEST };
            tokio::time::timeout(longest, looking).await.unwrap_or_else(|_| Err(late(longest)))
        }
    };
    let (steps, tls) = clock.read();
    let done: Vec<_> = steps
        .iter()
        .map(|(name, took)| v1::TestStep {
            name: (*name).to_owned(),
            micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
        })
        .collect();
    let (found, fault) = match outcome {
        Ok(found) => (found, None),
        Err(fault) => (v1::ConnectionTested::default(), Some(fault)),
    };
    let wants_tls = known.as_ref().is_none_or(|known| known.tls);
    let is_open =
        |step: &&&str| !steps.iter().any(|(done, _)| *done == **step) && (wants_tls || **step != "tls");
    let failed = fault.as_ref().and_then(|_| STEPS.iter().find(is_open)).copied();
    let fault = fault.map(|fault| told(fault, known.and_then(|known| known.password)));
    Some(v1::ConnectionTested {
        test_id: order.id.to_string(),
        steps: done,
        tls_version: tls.version,
        tls_cipher: tls.cipher,
        certificate: if tls.certificate.len() > CERTIFICATE { Vec::new() } else { tls.certificate }.into(),
        fault: fault.as_ref().map(v1::Fault::from),
        failed_step: failed.unwrap_or_default().to_owned(),
        ..found
    })
}

/// What is known once the settings are read.
struct Known {
    tls: bool,
    password: Option<Redacted<String>>,
}

async fn look(
    sessions: &Sessions,
    order: &order::TestOrder,
    clock: &Arc<Clock>,
    known: &mut Option<Known>,
) -> Result<v1::ConnectionTested, Fault> {
    let protocol = hoop_protocols::find(&order.protocol).ok_or_else(|| {
        let what = format!("this agent does not speak {}", order.protocol);
        Fault::new("HOOP-4212", Blame::System, what).with_hint("upgrade the agent")
    })?;
    let site = site_of(&sessions.around, protocol, &order.settings, &order.connection_name)?;
    *known = Some(Known {
        tls: site.target.tls() != TlsPolicy::Disabled,
        password: site.credential.password.clone(),
    });
    if let Some(look) = site.target.look_hosted().filter(|_| !order.scan) {
        return look_hosted(look, site, clock).await;
    }
    let errand = if order.scan { site.target.scan() } else { site.target.look() };
    let errand = errand.ok_or_else(|| {
        let what = format!("connections of the protocol {} cannot be looked at so", order.protocol);
        Fault::new("HOOP-4038", Blame::System, what)
    })?;
    clock.done("prepare", None);
    let site = AccountSite {
        target: site.target,
        credential: site.credential,
        dial: Arc::new(Timed { inner: site.dial, clock: Arc::clone(clock) }),
        masking_key: site.masking_key,
    };
    let mut errand = Watched { errand, sent: 0, clock: Arc::clone(clock) };
    // No session's: nobody is granted anything by it.
    match site.run(&mut errand, SessionId::generate(), &order.by).await? {
        Outcome::Seen { version } => {
            let server_version = version.chars().filter(|c| !c.is_control()).take(VERSION).collect();
            Ok(v1::ConnectionTested { server_version, ..Default::default() })
        }
        Outcome::Scanned { findings, columns, partial } => {
            let findings = findings.into_iter().map(finding).collect();
            Ok(v1::ConnectionTested { findings, columns, partial, ..Default::default() })
        }
        _ => Err(Fault::new("HOOP-9007", Blame::System, "a look ended with another outcome")),
    }
}

/// By an engine that is hosted: connecting is told by the dial, and what follows is one step.
async fn look_hosted(
    look: Box<dyn HostedLook>,
    site: AccountSite,
    clock: &Arc<Clock>,
) -> Result<v1::ConnectionTested, Fault> {
    clock.done("prepare", None);
    let dial = Timed { inner: site.dial, clock: Arc::clone(clock) };
    let (host, _until_done) = bare_host(Arc::new(dial));
    let version = look.run(host, site.credential).await?;
    clock.done("log in", None);
    let server_version = version.chars().filter(|c| !c.is_control()).take(VERSION).collect();
    clock.done("version", None);
    Ok(v1::ConnectionTested { server_version, ..Default::default() })
}

fn finding(found: ColumnFinding) -> v1::ColumnFinding {
    let ColumnFinding { schema, table, column, type_name, kind, rows, hits, by_name } = found;
    let kind = kind.name().to_owned();
    v1::ColumnFinding { schema, table, column, type_name, kind, rows, hits, by_name }
}

/// Without the credential, whatever the target said.
fn told(fault: Fault, password: Option<Redacted<String>>) -> Fault {
    let Some(password) = password.filter(|password| !password.expose().is_empty()) else { return fault };
    let without = |text: &String| text.replace(password.expose().as_str(), "(the password)");
    Fault { message: without(&fault.message), hint: fault.hint.as_ref().map(without), ..fault }
}

fn late(longest: Duration) -> Fault {
    let what = format!("the target did not answer within {} s", longest.as_secs());
    Fault::new("HOOP-4033", Blame::Target, what)
        .with_hint("is it the right port, and does a firewall swallow what goes there?")
}

fn busy() -> Fault {
    Fault::new("HOOP-4036", Blame::System, "the agent is testing as many connections as it may")
        .with_hint("try again in a moment")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_that_a_target_says_back_is_not_told() {
        let fault = Fault::new("HOOP-5007", Blame::Target, "no, s3cret is wrong").with_hint("not s3cret");
        let shown = told(fault, Some(Redacted::new("s3cret".to_owned())));
        assert_eq!(shown.message, "no, (the password) is wrong");
        assert!(!format!("{shown:?}").contains("s3cret"));
    }
}
