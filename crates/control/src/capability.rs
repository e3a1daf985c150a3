//! A way in while the gateway is down: made beforehand, signed by the gateway, good for one holder at one agent.
//!
//! ```text
//!   gateway ─▶ capability (text) and code (once) ─▶ holder
//!   holder's command ─▶ statement, signed with the code's key ─▶ agent: both signatures, its own book of uses, clocks
//!   agent ─▶ the same bytes, when the gateway is back ─▶ gateway: both signatures again
//! ```
//! The text alone opens nothing: who holds the code says why, and signs for it.

use std::{collections::BTreeSet, time::Duration};

use aws_lc_rs::{
    digest::{Context, SHA256, digest},
    signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as BASE64};
use hoop_model::{
    AgentId, AuthMethod, CapabilityId, ConnectionId, ConnectionName, FactorKind, GrantId, ProtocolId,
    Redacted, RuleName, SessionId, Timestamp, UserId, UserName,
};
use hoop_policy::{
    Masking, Sha256,
    rules::{OpenedBy, RecordingMode},
};
use serde::{Deserialize, Serialize};

use crate::grant::{Grant, GrantSigner};

const CONTEXT: &[u8] = b"hoop capability v1\n";
const STATEMENT: &[u8] = b"hoop capability statement v1\n";
const CODE: &[u8] = b"hoop capability code v1\n";
/// What the text begins with.
const PREFIX: &str = "hoopcap1";
/// Longest text.
const LONGEST: usize = 128 << 10;
/// A statement is good for so long, to either side.
const FRESH: Duration = Duration::from_secs(300);

/// Who may do what where, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Capability {
    /// Its id.
    pub id: CapabilityId,
    /// The only agent at which it is good.
    pub agent: AgentId,
    /// The only person for whom it is.
    pub holder: UserId,
    /// Their name.
    pub holder_name: UserName,
    /// The public key that belongs to the holder's code, 32 bytes in hexadecimal.
    pub holder_key: String,
    /// To what.
    pub connection: ConnectionId,
    /// Its name.
    pub connection_name: ConnectionName,
    /// What it speaks.
    pub protocol: ProtocolId,
    /// Its settings.
    pub settings: serde_json::Value,
    /// The organisation's recording public key, PEM: the agent may have met no gateway since it started.
    pub recording_key_pem: String,
    /// The emergency rule that it was made under.
    pub rule: RuleName,
    /// The version of the rules.
    pub rules_version: u64,
    /// SHA-256 of the whole rule document.
    pub rules_sha256: Sha256,
    /// The user at the target that the rule lays down.
    #[serde(default)]
    pub target_user: Option<String>,
    /// Automatic logoff after so many seconds without a byte.
    pub idle_timeout_seconds: u64,
    /// Good from then on.
    pub valid_from: Timestamp,
    /// Good until then.
    pub valid_until: Timestamp,
    /// Longest session.
    pub longest_seconds: u64,
    /// How often.
    pub uses: u32,
    /// What is shown of the answers.
    pub masking: Masking,
}

/// What the holder signs when they use it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// What is used.
    pub capability: CapabilityId,
    /// Why.
    pub reason: String,
    /// The incident's number or link.
    pub incident: String,
    /// When.
    pub at: Timestamp,
    /// Good once.
    pub nonce: String,
}

/// Why a capability or a statement is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// Not what it should be.
    #[error("it cannot be read: {0}")]
    Malformed(String),
    /// The signature is not the gateway's.
    #[error("it is not signed by this agent's gateway")]
    Signature,
    /// For another agent.
    #[error("it is for another agent")]
    OtherAgent,
    /// Before or after its time.
    #[error("it is good from {0} to {1}")]
    Time(Timestamp, Timestamp),
    /// The code is not the holder's.
    #[error("the code is not the one that was handed out with it")]
    Code,
    /// The statement is about another capability, or of another time.
    #[error("the holder's statement is not about this use")]
    Statement,
}

impl Capability {
    /// The text to hand out.
    ///
    /// # Errors
    /// When settings cannot be written as JSON.
    pub fn sign(&self, signer: &GrantSigner) -> Result<(Vec<u8>, String), serde_json::Error> {
        let bytes = serde_json::to_vec(self)?;
        let signature = signer.sign_bytes(CONTEXT, &bytes);
        let text = format!("{PREFIX}.{}.{}", BASE64.encode(&bytes), BASE64.encode(signature));
        Ok((bytes, text))
    }

    /// Reads a text that the gateway signed for this agent: the capability and its signed bytes.
    ///
    /// # Errors
    /// [`CapabilityError`]; time is checked by [`Self::check_time`].
    pub fn read(text: &str, gateway_key: &[u8], me: AgentId) -> Result<(Self, Vec<u8>), CapabilityError> {
        let malformed = |what: &str| CapabilityError::Malformed(what.to_owned());
        let text = text.trim();
        if text.len() > LONGEST {
            return Err(malformed("it is too long"));
        }
        let mut parts = text.split('.');
        let (Some(PREFIX), Some(body), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("it is not the text that was handed out"));
        };
        let bytes = BASE64.decode(body).map_err(|_| malformed("its body is not base64"))?;
        let signature = BASE64.decode(signature).map_err(|_| malformed("its signature is not base64"))?;
        UnparsedPublicKey::new(&ED25519, gateway_key)
            .verify(&[CONTEXT, &bytes].concat(), &signature)
            .map_err(|_| CapabilityError::Signature)?;
        let capability: Self = serde_json::from_slice(&bytes).map_err(|e| malformed(&e.to_string()))?;
        if capability.agent != me {
            return Err(CapabilityError::OtherAgent);
        }
        Ok((capability, bytes))
    }

    /// Whether it is good at `now`.
    ///
    /// # Errors
    /// [`CapabilityError::Time`].
    pub fn check_time(&self, now: Timestamp) -> Result<(), CapabilityError> {
        if now < self.valid_from || now >= self.valid_until {
            return Err(CapabilityError::Time(self.valid_from, self.valid_until));
        }
        Ok(())
    }

    /// Reads the holder's statement about a use of this.
    ///
    /// # Errors
    /// [`CapabilityError`].
    pub fn read_statement(
        &self,
        statement: &[u8],
        signature: &[u8],
        now: Timestamp,
    ) -> Result<Statement, CapabilityError> {
        let key = hoop_recording::hex::decode_array::<32>(&self.holder_key)
            .ok_or_else(|| CapabilityError::Malformed("the holder's key".to_owned()))?;
        UnparsedPublicKey::new(&ED25519, key)
            .verify(&[STATEMENT, statement].concat(), signature)
            .map_err(|_| CapabilityError::Code)?;
        let read: Statement =
            serde_json::from_slice(statement).map_err(|e| CapabilityError::Malformed(e.to_string()))?;
        let apart = now.since(read.at).max(read.at.since(now));
        if read.capability != self.id || apart > FRESH {
            return Err(CapabilityError::Statement);
        }
        Ok(read)
    }

    /// SHA-256 of the signed bytes, hexadecimal: what ledger and recording name it by.
    #[must_use]
    pub fn sha256(bytes: &[u8]) -> String {
        hoop_recording::hex::encode(digest(&SHA256, bytes).as_ref())
    }

    /// The grant of a session under it. The agent makes it, as nobody else can; the gateway makes it again when it hears
    /// of the session.
    #[must_use]
    pub fn grant(&self, session: SessionId, statement: &Statement, at: Timestamp) -> Grant {
        let longest = Duration::from_secs(self.longest_seconds);
        Grant {
            id: GrantId::from_bytes(*session.as_bytes()),
            session,
            agent: self.agent,
            user: self.holder,
            user_name: self.holder_name.clone(),
            groups: Vec::new(),
            method: AuthMethod::PasswordTotp,
            mfa_at: None,
            // As it was supposed when the capability was made.
            mfa_by: Some(FactorKind::Totp),
            address: "127.0.0.1".to_owned(),
            reason: Some(statement.reason.clone()),
            connection: self.connection,
            connection_name: self.connection_name.clone(),
            protocol: self.protocol.clone(),
            settings: self.settings.clone(),
            connector_key_sha256: String::new(),
            issued_at: at,
            ends_at: at.after(longest).min(self.valid_until),
            idle_timeout_seconds: self.idle_timeout_seconds,
            streams: None,
            allow_replication: false,
            only: None,
            approved: None,
            read_only: false,
            forwarding: BTreeSet::new(),
            statements: Vec::new(),
            commands: Vec::new(),
            cluster: Vec::new(),
            masking: self.masking.clone(),
            rego: None,
            rule: self.rule.clone(),
            rules_version: self.rules_version,
            rules_sha256: self.rules_sha256,
            recording: RecordingMode::Bounded,
            target_user: self.target_user.clone(),
            request: None,
            opened_by: OpenedBy::Capability,
            through_gateway: false,
            allowed_because: format!("capability {} while the gateway was down", self.id),
        }
    }
}

/// The holder's key, made of the code.
pub struct HolderKey(Ed25519KeyPair);

impl std::fmt::Debug for HolderKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HolderKey")
    }
}

impl HolderKey {
    /// A new code, 20 random bytes for a person to type, and its key.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate() -> Result<(Redacted<String>, Self), aws_lc_rs::error::Unspecified> {
        let mut bytes = [0; 20];
        aws_lc_rs::rand::fill(&mut bytes)?;
        let digits = hoop_recording::hex::encode(&bytes);
        let groups: Vec<&str> =
            (0..digits.len()).step_by(5).filter_map(|at| digits.get(at..at + 5)).collect();
        let code = Redacted::new(groups.join("-"));
        let key = Self::from_code(&code).map_err(|_| aws_lc_rs::error::Unspecified)?;
        Ok((code, key))
    }

    /// The key of a code. Dashes, spaces and case do not matter.
    ///
    /// # Errors
    /// [`CapabilityError::Code`].
    pub fn from_code(code: &Redacted<String>) -> Result<Self, CapabilityError> {
        // 160 random bits: slow hashing would add nothing.
        let plain = code.expose().chars().filter(char::is_ascii_alphanumeric);
        let plain = Redacted::new(plain.map(|c| c.to_ascii_lowercase()).collect::<String>());
        let mut context = Context::new(&SHA256);
        context.update(CODE);
        context.update(plain.expose().as_bytes());
        let seed = context.finish();
        Ed25519KeyPair::from_seed_unchecked(seed.as_ref()).map(Self).map_err(|_| CapabilityError::Code)
    }

    /// The public half, hexadecimal.
    #[must_use]
    pub fn public_key(&self) -> String {
        hoop_recording::hex::encode(self.0.public_key().as_ref())
    }

    /// The statement's bytes and the signature over them.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub fn sign(&self, statement: &Statement) -> Result<(Vec<u8>, Vec<u8>), serde_json::Error> {
        let bytes = serde_json::to_vec(statement)?;
        let signature = self.0.sign(&[STATEMENT, &bytes].concat());
        Ok((bytes, signature.as_ref().to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn signer() -> GrantSigner {
        let key = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
        GrantSigner::from_pkcs8(key.as_ref()).unwrap()
    }

    fn capability(key: &HolderKey) -> Capability {
        Capability {
            masking: Masking::None,
            id: CapabilityId::generate(),
            agent: AgentId::generate(),
            holder: UserId::generate(),
            holder_name: UserName::new("ada").unwrap(),
            holder_key: key.public_key(),
            connection: ConnectionId::generate(),
            connection_name: ConnectionName::new("pg").unwrap(),
            protocol: ProtocolId::new("postgres").unwrap(),
            settings: serde_json::json!({"host": "db"}),
            recording_key_pem: String::new(),
            rule: "oncall".parse().unwrap(),
            rules_version: 1,
            rules_sha256: Sha256::of(b"rules"),
            target_user: None,
            idle_timeout_seconds: 900,
            valid_from: NOW,
            valid_until: NOW.after(Duration::from_secs(3600)),
            longest_seconds: 60,
            uses: 1,
        }
    }

    fn statement(capability: &Capability) -> Statement {
        let (reason, incident) = ("wards are down".to_owned(), "INC-7".to_owned());
        Statement { capability: capability.id, reason, incident, at: NOW, nonce: "n".to_owned() }
    }

    #[test]
    fn what_the_gateway_signed_is_read_at_its_agent_and_nowhere_else() {
        let (ours, (_, key)) = (signer(), HolderKey::generate().unwrap());
        let made = capability(&key);
        let (bytes, text) = made.sign(&ours).unwrap();
        let read = |text: &str, me| Capability::read(text, &ours.public_key(), me);
        assert_eq!(read(&format!(" {text}\n"), made.agent), Ok((made.clone(), bytes)));
        assert_eq!(read(&text, AgentId::generate()), Err(CapabilityError::OtherAgent));
        let theirs = Capability::read(&text, &signer().public_key(), made.agent);
        assert_eq!(theirs, Err(CapabilityError::Signature));
        let longer = Capability { uses: 99, ..made.clone() };
        let altered = BASE64.encode(serde_json::to_vec(&longer).unwrap());
        let signature = text.rsplit('.').next().unwrap();
        let altered = read(&format!("{PREFIX}.{altered}.{signature}"), made.agent);
        assert_eq!(altered, Err(CapabilityError::Signature));
        // A grant's signature is none of a capability's.
        let grant = made.grant(SessionId::generate(), &statement(&made), NOW);
        let (bytes, signature) = ours.sign(&grant).unwrap();
        let posing = format!("{PREFIX}.{}.{}", BASE64.encode(bytes), BASE64.encode(signature));
        assert_eq!(read(&posing, made.agent), Err(CapabilityError::Signature));
        for wrong in ["", "hoopcap1", "hoopcap1..", "hoopcap2.a.b", "hoopcap1.a.b.c", "hoopcap1.!.!"] {
            assert!(read(wrong, made.agent).is_err(), "{wrong}");
        }
    }

    #[test]
    fn time_bounds_it_to_both_sides() {
        let (_, key) = HolderKey::generate().unwrap();
        let made = capability(&key);
        assert_eq!(made.check_time(NOW), Ok(()));
        assert!(made.check_time(Timestamp::from_micros(NOW.as_micros() - 1)).is_err());
        assert!(made.check_time(made.valid_until).is_err());
        let late = made.grant(SessionId::generate(), &statement(&made), NOW.after(Duration::from_secs(3590)));
        assert_eq!(late.ends_at, made.valid_until, "a session never outlives it");
    }

    #[test]
    fn only_the_code_makes_a_statement_and_only_about_this() {
        let (code, key) = HolderKey::generate().unwrap();
        let made = capability(&key);
        let typed = Redacted::new(code.expose().to_uppercase().replace('-', " "));
        let typed = HolderKey::from_code(&typed).unwrap();
        let (bytes, signature) = typed.sign(&statement(&made)).unwrap();
        assert_eq!(made.read_statement(&bytes, &signature, NOW), Ok(statement(&made)));
        let (_, other) = HolderKey::generate().unwrap();
        let (bytes, signature) = other.sign(&statement(&made)).unwrap();
        assert_eq!(made.read_statement(&bytes, &signature, NOW), Err(CapabilityError::Code));
        let another = Statement { capability: CapabilityId::generate(), ..statement(&made) };
        let (bytes, signature) = key.sign(&another).unwrap();
        assert_eq!(made.read_statement(&bytes, &signature, NOW), Err(CapabilityError::Statement));
        let old = Statement { at: Timestamp::from_micros(NOW.as_micros() - 301_000_000), ..statement(&made) };
        let (bytes, signature) = key.sign(&old).unwrap();
        assert_eq!(made.read_statement(&bytes, &signature, NOW), Err(CapabilityError::Statement));
    }
}
