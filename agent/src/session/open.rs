//! Opening a session: nothing is taken from the gateway's word but what the grant's signature covers.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use hoop_control::{grant, v1};
use hoop_engine::{Address, Credential, SettingsError};
use hoop_model::{Blame, Fault, SessionId, Timestamp};
use hoop_policy::rules::RecordingMode;
use hoop_recording::{Compression, Start, hex};

use super::{LiveSession, Sessions, secret};
use crate::target::{credential, dial::TargetDial};

/// Why a session was not opened.
pub(super) struct Refusal {
    pub(super) session: Option<SessionId>,
    pub(super) fault: Fault,
}

/// Opens a session, or finds it open already (the gateway asks again after it was away).
pub(super) async fn open(sessions: &Arc<Sessions>, request: &v1::OpenSession) -> Result<SessionId, Refusal> {
    let anonymous = |fault| Refusal { session: None, fault };
    let meeting = sessions.meeting().map_err(anonymous)?;
    let now = Timestamp::from(jiff::Timestamp::now());
    let grant = grant::verify(&request.grant, &request.signature, &meeting.grant_key, meeting.agent, now)
        .map_err(|error| anonymous(Fault::new("HOOP-4210", Blame::System, error.to_string())))?;
    let id = grant.session;
    if sessions.find(id).is_some() {
        return Ok(id);
    }
    let refuse = |fault| Refusal { session: Some(id), fault };
    let secret = secret(&request.session_secret).ok_or_else(|| {
        refuse(Fault::new("HOOP-4211", Blame::System, "the session's secret is not 32 bytes"))
    })?;
    let protocol = hoop_protocols::find(&grant.protocol).ok_or_else(|| {
        let what = format!("this agent does not speak {}", grant.protocol);
        refuse(Fault::new("HOOP-4212", Blame::System, what).with_hint("upgrade the agent"))
    })?;
    let target = protocol.configure(&grant.settings).map_err(|error| refuse(settings(&error)))?;
    check_target(&target.address(), &sessions.around.allow_targets).map_err(refuse)?;
    let credential = match target.credential() {
        Some(source) => {
            let (policy, key) = (&sessions.around.secrets, &sessions.around.home.opening_key);
            credential::resolve(&source, grant.connection_name.as_str(), policy, key).map_err(refuse)?
        }
        None => Credential { user: String::new(), password: None },
    };
    let dial = TargetDial::prepare(target.address(), &target.tls()).map_err(refuse)?;
    let strict = grant.recording == RecordingMode::Strict;
    let tape = sessions
        .around
        .spool
        .begin(start(&grant, &request.grant, sessions, now), &meeting.recording_key, strict)
        .map_err(refuse)?;
    LiveSession::begin(sessions, grant, secret, target, credential, Arc::new(dial), tape).map_err(refuse)?;
    Ok(id)
}

fn settings(error: &SettingsError) -> Fault {
    Fault::new("HOOP-4213", Blame::System, error.to_string())
        .with_hint("an admin corrects the connection's settings")
}

/// The agent's owner may narrow what the gateway can make it dial.
fn check_target(address: &Address, allowed: &[String]) -> Result<(), Fault> {
    let target = format!("{}:{}", address.host, address.port);
    if allowed.is_empty() || allowed.contains(&target) {
        return Ok(());
    }
    Err(Fault::new("HOOP-4214", Blame::Policy, format!("this agent does not dial {target}"))
        .with_hint("its owner can allow it with --allow-target"))
}

fn start(grant: &grant::Grant, grant_bytes: &[u8], sessions: &Sessions, at: Timestamp) -> Start {
    let hash = hex::encode(digest(&SHA256, grant_bytes).as_ref());
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut facts = vec![
        fact("person", grant.user_name.to_string()),
        fact("person_id", grant.user.to_string()),
        fact("address", grant.address.clone()),
        fact("connection", grant.connection_name.to_string()),
        fact("rule", grant.rule.to_string()),
        fact("protocol", grant.protocol.to_string()),
        fact("agent", grant.agent.to_string()),
        fact("grant", grant.id.to_string()),
        fact("grant_sha256", hash),
        fact("allowed_because", grant.allowed_because.clone()),
        fact("ends_at", grant.ends_at.to_string()),
    ];
    facts.extend(grant.reason.clone().map(|reason| fact("reason", reason)));
    Start {
        session: grant.session,
        at,
        facts,
        signer: sessions.around.home.signing_key.verifying_key(),
        compression: Compression::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_narrows_what_is_dialled() {
        let db = Address { host: "db".into(), port: 5432 };
        assert!(check_target(&db, &[]).is_ok());
        assert!(check_target(&db, &["db:5432".into()]).is_ok());
        for other in ["db:5433", "dbx:5432", "169.254.169.254:80"] {
            assert!(check_target(&db, &[other.into()]).is_err(), "{other}");
        }
    }
}
