//! The gateway's signed word that an agent is to try a connection once, for an admin who wants to know that it works.
//!
//! Signed as grants are, for it makes the agent use a credential: a control stream alone is no reason to.

use std::time::Duration;

use hoop_model::{AgentId, ConnectionName, ProtocolId, TestId, Timestamp, UserName};
use serde::{Deserialize, Serialize};

use crate::grant::{GrantError, GrantSigner, meant, signed};

const CONTEXT: &[u8] = b"hoop test v1\n";

/// An order is carried out at once or never.
const GOOD_FOR: Duration = Duration::from_secs(60);

/// What to try.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TestOrder {
    /// Its own id.
    pub id: TestId,
    /// The only agent that may carry it out.
    pub agent: AgentId,
    /// Who wants to know, for the target's own log.
    pub by: UserName,
    /// Which connection.
    pub connection_name: ConnectionName,
    /// What it speaks.
    pub protocol: ProtocolId,
    /// Its settings, read by the protocol's own type at the agent.
    pub settings: serde_json::Value,
    /// Given then.
    pub issued_at: Timestamp,
    /// Look for columns that seem to hold personal data, and do not only log in.
    #[serde(default)]
    pub scan: bool,
}

impl TestOrder {
    /// The order's bytes and the signature over them.
    ///
    /// # Errors
    /// When settings cannot be written as JSON.
    pub fn sign(&self, signer: &GrantSigner) -> Result<(Vec<u8>, Vec<u8>), serde_json::Error> {
        let bytes = serde_json::to_vec(self)?;
        let signature = signer.sign_bytes(CONTEXT, &bytes);
        Ok((bytes, signature))
    }
}

/// Checks an order at the agent.
///
/// # Errors
/// [`GrantError`] says what is wrong; nothing is dialled.
pub fn verify(
    bytes: &[u8],
    signature: &[u8],
    gateway_key: &[u8],
    me: AgentId,
    now: Timestamp,
) -> Result<TestOrder, GrantError> {
    let order: TestOrder = signed(CONTEXT, bytes, signature, gateway_key)?;
    meant((order.agent, order.issued_at.after(GOOD_FOR)), me, now)?;
    Ok(order)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{rand::SystemRandom, signature::Ed25519KeyPair};

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn signer() -> GrantSigner {
        let key = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        GrantSigner::from_pkcs8(key.as_ref()).unwrap()
    }

    #[test]
    fn only_the_gateways_order_for_this_agent_and_this_moment_is_carried_out() {
        let (ours, theirs) = (signer(), signer());
        let order = TestOrder {
            id: TestId::generate(),
            agent: AgentId::generate(),
            by: UserName::new("root").unwrap(),
            connection_name: ConnectionName::new("pg").unwrap(),
            protocol: ProtocolId::new("postgres").unwrap(),
            settings: serde_json::json!({ "host": "db" }),
            issued_at: NOW,
            scan: false,
        };
        let (bytes, signature) = order.sign(&ours).unwrap();
        let (key, me) = (ours.public_key(), order.agent);
        assert_eq!(verify(&bytes, &signature, &key, me, NOW), Ok(order.clone()));
        assert_eq!(verify(&bytes, &signature, &theirs.public_key(), me, NOW), Err(GrantError::Signature));
        assert_eq!(verify(&bytes, &[], &key, me, NOW), Err(GrantError::Signature));
        let elsewhere = String::from_utf8(bytes.clone()).unwrap().replace("\"db\"", "\"dc\"");
        assert_eq!(verify(elsewhere.as_bytes(), &signature, &key, me, NOW), Err(GrantError::Signature));
        assert_eq!(verify(&bytes, &signature, &key, AgentId::generate(), NOW), Err(GrantError::OtherAgent));
        let late = NOW.after(GOOD_FOR);
        assert_eq!(verify(&bytes, &signature, &key, me, late), Err(GrantError::Ended(late)));
        // What was signed for something else is no order.
        let other = ours.sign_bytes(b"hoop grant v1\n", &bytes);
        assert_eq!(verify(&bytes, &other, &key, me, NOW), Err(GrantError::Signature));
    }
}
