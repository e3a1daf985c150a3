//! The signed permission that a session runs under.
//!
//! The gateway signs the grant's JSON bytes; the agent verifies those very bytes before it parses them, so there is
//! no canonical form to disagree about.

use std::collections::BTreeSet;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use hoop_model::{
    AgentId, AuthMethod, ConnectionId, ConnectionName, FactorKind, GrantId, GroupName, ProtocolId, RequestId,
    RuleName, SessionId, Timestamp, UserId, UserName,
};
use hoop_policy::{
    ClusterRule, CommandRule, Forwarding, Masking, OnlyStatement, Rules, Sha256, StatementRule,
    rego::StatementRego,
    rules::{OpenedBy, RecordingMode},
};
use serde::{Deserialize, Serialize};

const CONTEXT: &[u8] = b"hoop grant v1\n";

/// Who may do what, until when, under which rules.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Its own id.
    pub id: GrantId,
    /// The session it allows.
    pub session: SessionId,
    /// The only agent that may carry it.
    pub agent: AgentId,
    /// Who.
    pub user: UserId,
    /// Their name, as it reaches the target.
    pub user_name: UserName,
    /// Their groups, where the target is told them. An agent that does not know this refuses the grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupName>,
    /// How they signed in.
    pub method: AuthMethod,
    /// When they last proved a second factor.
    pub mfa_at: Option<Timestamp>,
    /// With what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mfa_by: Option<FactorKind>,
    /// From where.
    pub address: String,
    /// Their stated reason.
    #[serde(default)]
    pub reason: Option<String>,
    /// To what.
    pub connection: ConnectionId,
    /// Its name.
    pub connection_name: ConnectionName,
    /// What it speaks.
    pub protocol: ProtocolId,
    /// Its settings, read by the protocol's own type at the agent.
    pub settings: serde_json::Value,
    /// SHA-256 of the connector's public key (SubjectPublicKeyInfo), hex: no other key may connect.
    pub connector_key_sha256: String,
    /// Issued then.
    pub issued_at: Timestamp,
    /// Ends then, whatever happens.
    pub ends_at: Timestamp,
    /// Automatic logoff after so many seconds without a byte from the client.
    pub idle_timeout_seconds: u64,
    /// So many local connections at once. An agent that does not know this refuses the grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub streams: Option<u32>,
    /// May replicate.
    pub allow_replication: bool,
    /// May run this statement alone, once. An agent that does not know this refuses the grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<OnlyStatement>,
    /// The statement rule whose approvers have approved that. An agent that does not know this refuses the grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved: Option<RuleName>,
    /// May not change anything. An agent that does not know this refuses the grant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub read_only: bool,
    /// May forward these. An agent that does not know this refuses the grant.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub forwarding: BTreeSet<Forwarding>,
    /// What each statement is held against. An agent that does not know this refuses the grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statements: Vec<StatementRule>,
    /// What each command on a host is held against. An agent that does not know this refuses the grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub commands: Vec<CommandRule>,
    /// What each request of a cluster's API is held against. An agent that does not know this refuses the grant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster: Vec<ClusterRule>,
    /// What is shown of the answers. An agent that does not know this refuses the grant.
    pub masking: Masking,
    /// What their conditions in Rego are asked of. An agent that does not know this refuses the grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rego: Option<StatementRego>,
    /// The rule that allowed it.
    pub rule: RuleName,
    /// The version of the rules.
    pub rules_version: u64,
    /// SHA-256 of the whole rule document, see [`hoop_policy::rules::AccessPolicy::sha256_of`].
    pub rules_sha256: Sha256,
    /// How it is recorded.
    pub recording: RecordingMode,
    /// The user at the target that the rule lays down.
    #[serde(default)]
    pub target_user: Option<String>,
    /// The approved request, or the emergency, that it rests on.
    #[serde(default)]
    pub request: Option<RequestId>,
    /// How it was let in.
    pub opened_by: OpenedBy,
    /// Its connector is in the gateway, which reads along: a terminal in the browser.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub through_gateway: bool,
    /// Which condition allowed it.
    pub allowed_because: String,
}

impl Grant {
    /// What its requests may be.
    #[must_use]
    pub fn rules(&self) -> Rules {
        Rules {
            allow_replication: self.allow_replication,
            only: self.only.clone(),
            approved: self.approved.clone(),
            read_only: self.read_only,
            forwarding: self.forwarding.clone(),
            statements: self.statements.clone(),
            commands: self.commands.clone(),
            cluster: self.cluster.clone(),
            masking: self.masking.clone(),
            rego: self.rego.clone(),
        }
    }
}

/// By which rules somebody was let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LetInBy {
    /// The rule that allowed it.
    pub rule: RuleName,
    /// The version of the rules.
    pub rules_version: u64,
    /// SHA-256 of the whole rule document.
    pub rules_sha256: Sha256,
}

impl LetInBy {
    /// Read from a grant's bytes; whoever kept them has checked them. `None`: it is none that this version understands.
    #[must_use]
    pub fn read(grant: &[u8]) -> Option<Self> {
        serde_json::from_slice(grant).ok()
    }
}

/// A grant that cannot be trusted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The signature is not the gateway's.
    #[error("the grant is not signed by this agent's gateway")]
    Signature,
    /// Signed, but not a grant this version understands.
    #[error("the grant cannot be read: {0}")]
    Malformed(String),
    /// For another agent.
    #[error("the grant is for another agent")]
    OtherAgent,
    /// Its time is over.
    #[error("the grant ended at {0}")]
    Ended(Timestamp),
}

/// The gateway's key for grants.
pub struct GrantSigner(Ed25519KeyPair);

impl std::fmt::Debug for GrantSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GrantSigner")
    }
}

impl GrantSigner {
    /// From a PKCS #8 key.
    ///
    /// # Errors
    /// When the bytes are not an Ed25519 key.
    pub fn from_pkcs8(key: &[u8]) -> Result<Self, aws_lc_rs::error::KeyRejected> {
        Ed25519KeyPair::from_pkcs8(key).map(Self)
    }

    /// The public key, 32 bytes.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        self.0.public_key().as_ref().to_vec()
    }

    /// Signs other bytes of the gateway's under a context of their own.
    pub(crate) fn sign_bytes(&self, context: &[u8], bytes: &[u8]) -> Vec<u8> {
        self.0.sign(&[context, bytes].concat()).as_ref().to_vec()
    }

    /// The grant's bytes and the signature over them.
    ///
    /// # Errors
    /// When settings cannot be written as JSON.
    pub fn sign(&self, grant: &Grant) -> Result<(Vec<u8>, Vec<u8>), serde_json::Error> {
        let bytes = serde_json::to_vec(grant)?;
        let signature = self.0.sign(&[CONTEXT, &bytes].concat());
        Ok((bytes, signature.as_ref().to_vec()))
    }
}

/// What the gateway signed under a context.
pub(crate) fn signed<T: serde::de::DeserializeOwned>(
    context: &[u8],
    bytes: &[u8],
    signature: &[u8],
    gateway_key: &[u8],
) -> Result<T, GrantError> {
    UnparsedPublicKey::new(&ED25519, gateway_key)
        .verify(&[context, bytes].concat(), signature)
        .map_err(|_| GrantError::Signature)?;
    serde_json::from_slice(bytes).map_err(|e| GrantError::Malformed(e.to_string()))
}

/// Whether something signed is for this agent, and its time is not over.
pub(crate) fn meant(
    (agent, until): (AgentId, Timestamp),
    me: AgentId,
    now: Timestamp,
) -> Result<(), GrantError> {
    if agent != me {
        return Err(GrantError::OtherAgent);
    }
    if now >= until { Err(GrantError::Ended(until)) } else { Ok(()) }
}

/// Checks a grant at the agent.
///
/// # Errors
/// [`GrantError`] says what is wrong; the session must not start.
pub fn verify(
    bytes: &[u8],
    signature: &[u8],
    gateway_key: &[u8],
    me: AgentId,
    now: Timestamp,
) -> Result<Grant, GrantError> {
    let grant: Grant = signed(CONTEXT, bytes, signature, gateway_key)?;
    meant((grant.agent, grant.ends_at), me, now)?;
    Ok(grant)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn signer() -> GrantSigner {
        let key = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
        GrantSigner::from_pkcs8(key.as_ref()).unwrap()
    }

    fn grant() -> Grant {
        Grant {
            id: GrantId::generate(),
            session: SessionId::generate(),
            agent: AgentId::generate(),
            user: UserId::generate(),
            user_name: UserName::new("ada").unwrap(),
            groups: Vec::new(),
            method: AuthMethod::PasswordTotp,
            mfa_at: Some(NOW),
            mfa_by: Some(FactorKind::Totp),
            address: "127.0.0.1".into(),
            reason: None,
            connection: ConnectionId::generate(),
            connection_name: ConnectionName::new("pg").unwrap(),
            protocol: ProtocolId::new("postgres").unwrap(),
            settings: serde_json::json!({"host": "db"}),
            connector_key_sha256: "00".repeat(32),
            issued_at: NOW,
            ends_at: NOW.after(std::time::Duration::from_secs(60)),
            idle_timeout_seconds: 60,
            streams: None,
            allow_replication: false,
            only: None,
            approved: None,
            read_only: false,
            forwarding: BTreeSet::new(),
            statements: Vec::new(),
            commands: Vec::new(),
            cluster: Vec::new(),
            masking: hoop_policy::Masking::default(),
            rego: None,
            rule: "engineers".parse().unwrap(),
            rules_version: 1,
            rules_sha256: Sha256::of(b"rules"),
            recording: RecordingMode::Bounded,
            target_user: None,
            request: None,
            opened_by: OpenedBy::Rule,
            through_gateway: false,
            allowed_because: "member of dba".into(),
        }
    }

    #[test]
    fn a_signed_grant_is_read_back() {
        let (signer, grant) = (signer(), grant());
        let (bytes, signature) = signer.sign(&grant).unwrap();
        assert_eq!(verify(&bytes, &signature, &signer.public_key(), grant.agent, NOW), Ok(grant));
    }

    #[test]
    fn a_grant_says_which_rules_it_is_of() {
        let grant = grant();
        let (bytes, _) = signer().sign(&grant).unwrap();
        let known = LetInBy::read(&bytes).unwrap();
        assert_eq!((known.rules_version, known.rules_sha256), (1, Sha256::of(b"rules")));
        assert_eq!(known.rule, grant.rule);
        let mut unsaid: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        unsaid.as_object_mut().unwrap().remove("rules_sha256");
        let unsaid = unsaid.to_string();
        assert_eq!(LetInBy::read(unsaid.as_bytes()), None);
        assert!(serde_json::from_str::<Grant>(&unsaid).is_err(), "rules that nobody can name let nobody in");
    }

    #[test]
    fn a_grant_that_cannot_be_trusted_is_refused() {
        let (ours, theirs, grant) = (signer(), signer(), grant());
        let (bytes, signature) = ours.sign(&grant).unwrap();
        let key = ours.public_key();
        let mut wider = bytes.clone();
        let at = wider.windows(5).position(|w| w == b"false").unwrap();
        wider.splice(at..at + 5, *b"true ");
        assert_eq!(verify(&wider, &signature, &key, grant.agent, NOW), Err(GrantError::Signature));
        assert_eq!(
            verify(&bytes, &signature, &theirs.public_key(), grant.agent, NOW),
            Err(GrantError::Signature)
        );
        assert_eq!(verify(&bytes, &[], &key, grant.agent, NOW), Err(GrantError::Signature));
        assert_eq!(verify(&bytes, &signature, &key, AgentId::generate(), NOW), Err(GrantError::OtherAgent));
        assert_eq!(
            verify(&bytes, &signature, &key, grant.agent, grant.ends_at),
            Err(GrantError::Ended(grant.ends_at))
        );
    }
}
