//! Opening a session: nothing is taken from the gateway's word but what the grant's signature covers.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use hoop_control::{grant, v1};
use hoop_engine::{Address, Credential, Protocol, SecretSource, SettingsError, Target};
use hoop_masking::MaskingKey;
use hoop_model::{Blame, ConnectionName, Fault, SessionId, Timestamp};
use hoop_policy::rules::RecordingMode;
use hoop_recording::{Compression, RecordingPublicKey, Start, hex};
use hoop_session::Dial;

use super::{
    LiveSession, Meeting, Sessions, Surroundings,
    live::{AtTarget, Renew},
    secret,
};
use crate::{
    accounts::{AccountSite, OpenAccount},
    target::{credential, dial::TargetDial},
};

/// Why a session was not opened.
pub(super) struct Refusal {
    pub(super) session: Option<SessionId>,
    pub(super) fault: Fault,
}

/// A session that is being opened, until dropped.
struct Opening<'a>(&'a Sessions, SessionId);

impl<'a> Opening<'a> {
    /// `None`: it is being opened already.
    fn begin(sessions: &'a Sessions, id: SessionId) -> Option<Self> {
        let began = sessions.opening.lock().is_ok_and(|mut opening| opening.insert(id));
        began.then_some(Self(sessions, id))
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        if let Ok(mut opening) = self.0.opening.lock() {
            opening.remove(&self.1);
        }
    }
}

/// Opens a session, or finds it open already (the gateway asks again after it was away). `None`: it is being opened, and
/// whoever does so answers.
pub(super) async fn open(
    sessions: &Arc<Sessions>,
    request: &v1::OpenSession,
) -> Result<Option<SessionId>, Refusal> {
    let anonymous = |fault| Refusal { session: None, fault };
    let meeting = sessions.meeting().map_err(anonymous)?;
    let now = Timestamp::from(jiff::Timestamp::now());
    let grant = grant::verify(&request.grant, &request.signature, &meeting.grant_key, meeting.agent, now)
        .map_err(|error| anonymous(Fault::new("HOOP-4210", Blame::System, error.to_string())))?;
    let id = grant.session;
    let Some(_opening) = Opening::begin(sessions, id) else { return Ok(None) };
    if sessions.find(id).is_some() {
        return Ok(Some(id));
    }
    let refuse = |fault| Refusal { session: Some(id), fault };
    if let Some(reason) = sessions.closing.get() {
        return Err(refuse(reason.clone()));
    }
    let secret = secret(&request.session_secret).ok_or_else(|| {
        refuse(Fault::new("HOOP-4211", Blame::System, "the session's secret is not 32 bytes"))
    })?;
    let recording_key = recording_key(request, &meeting).map_err(refuse)?;
    let protocol = hoop_protocols::find(&grant.protocol).ok_or_else(|| {
        let what = format!("this agent does not speak {}", grant.protocol);
        refuse(Fault::new("HOOP-4212", Blame::System, what).with_hint("upgrade the agent"))
    })?;
    let site =
        site_of(&sessions.around, protocol, &grant.settings, &grant.connection_name).map_err(refuse)?;
    let (target, dial) = (Arc::clone(&site.target), Arc::clone(&site.dial));
    let masking_key = site.masking_key.clone();
    let own = site.credential.clone();
    let renew = renewal(sessions, &target, &grant.connection_name);
    // Dropped on any failure below, it is swept up.
    let made = sessions.around.accounts.make(&grant, site).await.map_err(refuse)?;
    let (account, credential) = made.map_or((None, own), |(account, login)| (Some(account), login));
    let strict = grant.recording == RecordingMode::Strict;
    let tape = sessions
        .around
        .spool
        .begin(start(&grant, &request.grant, account.as_ref(), sessions, now), &recording_key, strict)
        .map_err(refuse)?;
    if let Some(account) = &account {
        account.tell_made(sessions);
    }
    let target = AtTarget { target, credential, renew, dial, account, masking_key };
    LiveSession::begin(sessions, grant, secret, target, tape);
    Ok(Some(id))
}

/// The key in force when the session was opened: it may have been rotated since the agent met its gateway.
fn recording_key(request: &v1::OpenSession, meeting: &Meeting) -> Result<RecordingPublicKey, Fault> {
    if request.recording_key_pem.is_empty() {
        return Ok(meeting.recording_key.clone());
    }
    RecordingPublicKey::from_pem(&request.recording_key_pem).map_err(|error| {
        Fault::new("HOOP-4219", Blame::System, format!("the session's recording key cannot be used: {error}"))
    })
}

/// A connection's target, as this agent's owner lets it be reached, with the credential that its settings name.
pub(crate) fn site_of(
    around: &Surroundings,
    protocol: &dyn Protocol,
    from: &serde_json::Value,
    connection: &ConnectionName,
) -> Result<AccountSite, Fault> {
    let target = protocol.configure(from).map_err(|error| settings(&error))?;
    let dial = reach(around, target.as_ref())?;
    let credential = match target.credential() {
        Some(source) => {
            credential::resolve(&source, connection.as_str(), &around.secrets, &around.home.opening_key)?
        }
        None => Credential { user: String::new(), password: None },
    };
    let masking_key = masking_key(around, target.masking_key().as_ref(), connection)?;
    Ok(AccountSite { target, credential, dial, masking_key })
}

/// How the credential of a target that changes it now and then is looked up.
pub(crate) fn renewal(
    sessions: &Arc<Sessions>,
    target: &Arc<dyn Target>,
    connection: &ConnectionName,
) -> Option<Renew> {
    let source = target.credential().filter(|_| target.credential_changes())?;
    let (sessions, connection) = (Arc::downgrade(sessions), connection.clone());
    Some(Box::new(move || {
        let over = || Fault::new("HOOP-4203", Blame::Policy, "the session has ended");
        let around = &sessions.upgrade().ok_or_else(over)?.around;
        credential::resolve(&source, connection.as_str(), &around.secrets, &around.home.opening_key)
    }))
}

/// Nothing is dialled, and nothing runs here, that the agent's owner does not let be.
fn reach(around: &Surroundings, target: &dyn Target) -> Result<Arc<dyn Dial>, Fault> {
    if let Some(user) = target.runs_as() {
        return Ok(around.machine.site(user)?);
    }
    check_target(&target.address(), &around.allow_targets)?;
    Ok(Arc::new(TargetDial::prepare(target.address(), &target.tls())?))
}

fn masking_key(
    around: &Surroundings,
    source: Option<&SecretSource>,
    connection: &ConnectionName,
) -> Result<MaskingKey, Fault> {
    let Some(source) = source else { return Ok(around.home.masking_key.clone()) };
    let secret = credential::read(source, connection.as_str(), &around.secrets, &around.home.opening_key)?;
    MaskingKey::new(secret.expose().as_bytes()).map_err(|error| {
        Fault::new(
            "HOOP-4228",
            Blame::System,
            format!("the connection's masking key cannot be used: {error}"),
        )
        .with_hint("the agent's owner provides at least 32 random characters")
    })
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

/// How a recording begins.
pub(crate) fn start(
    grant: &grant::Grant,
    grant_bytes: &[u8],
    account: Option<&OpenAccount>,
    sessions: &Sessions,
    at: Timestamp,
) -> Start {
    let hash = hex::encode(digest(&SHA256, grant_bytes).as_ref());
    let fact = |name: &str, value: String| (name.to_owned(), value);
    let mut facts = vec![
        fact("person", grant.user_name.to_string()),
        fact("person_id", grant.user.to_string()),
        fact("address", grant.address.clone()),
        fact("connection", grant.connection_name.to_string()),
        fact("rule", grant.rule.to_string()),
        fact("rules_version", grant.rules_version.to_string()),
        fact("rules_sha256", grant.rules_sha256.to_string()),
        fact("protocol", grant.protocol.to_string()),
        fact("agent", grant.agent.to_string()),
        fact("grant", grant.id.to_string()),
        fact("grant_sha256", hash),
        fact("allowed_because", grant.allowed_because.clone()),
        fact("ends_at", grant.ends_at.to_string()),
    ];
    if let Some(account) = account {
        facts.push(fact("account", format!("{}, {}", account.account().name, account.describe())));
    }
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
