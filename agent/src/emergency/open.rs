//! Lets somebody in with a capability: every check, then the use is entered, then the session begins.

use std::{sync::Arc, time::Duration};

use hoop_control::capability::{Capability, CapabilityError, Statement};
use hoop_model::{Blame, Fault, Redacted, SessionId, Timestamp};
use hoop_recording::RecordingPublicKey;
use rand::TryRng;

use super::{
    ask::Ask,
    book::{NotEntered, Use},
};
use crate::session::{AtTarget, LiveSession, Sessions, renewal, site_of, start};

/// Longest reason and incident, bytes; as the gateway has it.
const LONGEST_TEXT: usize = 1000;

/// A session that was opened this way.
pub(super) struct Opened {
    pub(super) session: Arc<LiveSession>,
    /// By a clock that nobody sets.
    pub(super) longest: Duration,
    pub(super) socket_name: &'static str,
    /// What its clients find, where they look for a key.
    pub(super) own_key: Option<String>,
}

fn refused(code: &'static str, what: impl Into<String>) -> Fault {
    Fault::new(code, Blame::Policy, what)
}

fn capability_fault(error: &CapabilityError) -> Fault {
    refused("HOOP-4222", format!("this capability cannot be used: {error}"))
        .with_hint("an admin makes one: `hoop admin emergency make`")
}

/// What passed every check but the book's.
struct Checked {
    capability: Capability,
    bytes: Vec<u8>,
    said: Statement,
    away: Duration,
    /// The clock's time, and the latest ever seen.
    wall: Timestamp,
    now: Timestamp,
}

/// For how long the gateway has been away, if that is long enough.
fn away_long_enough(sessions: &Sessions) -> Result<Duration, Fault> {
    let emergencies = &sessions.around.emergencies;
    let away = emergencies.away_for().ok_or_else(|| {
        refused("HOOP-4220", "the gateway is there")
            .with_hint("hoop break-glass NAME --reason … --incident …")
    })?;
    if away < emergencies.after {
        let left = emergencies.after.saturating_sub(away).as_secs() + 1;
        let what = format!("the gateway has been away for {} s only", away.as_secs());
        return Err(refused("HOOP-4220", what).with_hint(format!("wait {left} s, and try again")));
    }
    Ok(away)
}

fn check(sessions: &Sessions, ask: &Ask) -> Result<Checked, Fault> {
    let away = away_long_enough(sessions)?;
    let identity = sessions.around.home.identity();
    let identity = identity
        .ok()
        .flatten()
        .ok_or_else(|| Fault::new("HOOP-4201", Blame::System, "the agent has not met its gateway yet"))?;
    let read = Capability::read(&ask.capability, &identity.grant_key, identity.agent);
    let (capability, bytes) = read.map_err(|error| capability_fault(&error))?;
    let now = sessions.around.emergencies.book.now();
    capability.check_time(now).map_err(|error| capability_fault(&error))?;
    let wall = Timestamp::from(jiff::Timestamp::now());
    let said = capability.read_statement(&ask.statement, &ask.signature, wall);
    let said = said.map_err(|error| capability_fault(&error))?;
    for text in [&said.reason, &said.incident] {
        if text.trim().is_empty() || text.len() > LONGEST_TEXT || text.chars().any(char::is_control) {
            let what = format!("reason and incident must be 1 to {LONGEST_TEXT} bytes of text in one line");
            return Err(Fault::new("HOOP-4221", Blame::Caller, what));
        }
    }
    Ok(Checked { capability, bytes, said, away, wall, now })
}

/// Opens a session.
pub(super) async fn open(sessions: &Arc<Sessions>, ask: &Ask) -> Result<Opened, Fault> {
    let Checked { capability, bytes, said, away, wall, now } = check(sessions, ask)?;
    let emergencies = &sessions.around.emergencies;
    let protocol = hoop_protocols::find(&capability.protocol).ok_or_else(|| {
        Fault::new("HOOP-4212", Blame::System, format!("this agent does not speak {}", capability.protocol))
    })?;
    let site = site_of(&sessions.around, protocol, &capability.settings, &capability.connection_name)?;
    let key = RecordingPublicKey::from_pem(&capability.recording_key_pem)
        .map_err(|error| capability_fault(&CapabilityError::Malformed(error.to_string())))?;
    let session = SessionId::generate();
    let one = Use {
        session,
        capability: bytes.clone(),
        statement: ask.statement.clone(),
        statement_signature: ask.signature.clone(),
        started_at: wall,
        away_seconds: away.as_secs(),
    };
    emergencies.book.enter(&capability, &said, one).map_err(not_entered)?;
    tracing::warn!(%session, person = %capability.holder_name, capability = %capability.id, "the glass was broken while the gateway is away");
    let mut grant = capability.grant(session, &said, wall);
    // The capability's own end, also where the clock was set back.
    grant.ends_at = grant.ends_at.min(wall.after(capability.valid_until.since(now)));
    let longest = grant.ends_at.since(wall);
    let masking_key = site.masking_key.clone();
    let (target, dial, own) = (Arc::clone(&site.target), Arc::clone(&site.dial), site.credential.clone());
    let made = sessions.around.accounts.make(&grant, site).await?;
    let (account, credential) = made.map_or((None, own), |(account, login)| (Some(account), login));
    let mut start = start(&grant, &bytes, account.as_ref(), sessions, wall);
    start.facts.push(("incident".to_owned(), said.incident.clone()));
    start.facts.push(("gateway_away_seconds".to_owned(), away.as_secs().to_string()));
    let tape = sessions.around.spool.begin_offline(start, &key)?;
    if let Some(account) = &account {
        account.tell_made(sessions);
    }
    let mut secret = [0; 32];
    rand::rngs::SysRng
        .try_fill_bytes(&mut secret)
        .map_err(|_| Fault::new("HOOP-9004", Blame::System, "the agent has no random numbers"))?;
    let renew = renewal(sessions, &target, &grant.connection_name);
    let at_target = AtTarget { target, credential, renew, dial, account, masking_key };
    let session = LiveSession::begin(sessions, grant, Redacted::new(secret), at_target, tape);
    let own_key = protocol.own_key(&session.secret.stream_key());
    Ok(Opened { session, longest, socket_name: protocol.socket_name(), own_key })
}

fn not_entered(why: NotEntered) -> Fault {
    match why {
        NotEntered::Revoked => refused("HOOP-4223", "this capability was revoked"),
        NotEntered::UsedUp => refused("HOOP-4224", "this capability was used as often as it may be"),
        NotEntered::Repeated => refused("HOOP-4224", "this very use was made before"),
        NotEntered::Unwritten(error) => {
            tracing::error!(error, "the use of a capability cannot be written down");
            Fault::new("HOOP-4225", Blame::System, "the agent cannot write down this use, so there is none")
                .with_hint("the agent's owner finds the reason in its log; a full disk is the usual one")
        }
    }
}
