//! How an agent becomes one: a join token for a certificate; later, a certificate for a certificate.

use std::net::IpAddr;

use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::BASE64URL_NOPAD;
use hoop_control::v1::{EnrolRequest, EnrolResponse, RenewRequest, RenewResponse};
use hoop_ledger::event::EventCode;
use hoop_model::{Actor, AgentId, AgentName, Blame, Fault, JoinTokenId, Redacted, Timestamp};
use hoop_store::{Agent, Conflict, NewAgent, NewJoinToken, Sha256, StoreError};
use serde_json::json;
use tonic::Status;

use super::server::{status, unavailable};
use crate::{
    hub::{Hub, event, now},
    pki::{Issued, PkiError},
};

const SEALING_KEY: usize = 65;
const SIGNING_KEY: usize = 32;

/// SHA-256 of id and secret: what a join token is looked up by.
fn hash_of(id: JoinTokenId, secret: &[u8]) -> Sha256 {
    let mut hash = [0; 32];
    let text = [b"hoop join v1\n", id.as_bytes().as_slice(), secret].concat();
    hash.iter_mut().zip(digest(&SHA256, &text).as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

/// A fresh join token, and what the store keeps of it.
///
/// # Errors
/// When the system has no randomness.
pub(crate) fn make_join_token(
    ca_fingerprint: &str,
    agent: &AgentName,
    now: Timestamp,
    life: std::time::Duration,
) -> Result<(Redacted<String>, NewJoinToken), aws_lc_rs::error::Unspecified> {
    let mut secret = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut secret)?;
    let id = JoinTokenId::generate();
    let token =
        Redacted::new(format!("hoop-join-v1.{id}.{}.{ca_fingerprint}", BASE64URL_NOPAD.encode(&secret)));
    let hash = hash_of(id, &secret);
    Ok((token, NewJoinToken { id, hash, agent: agent.clone(), created_at: now, expires_at: now.after(life) }))
}

fn refused(why: &'static str) -> Status {
    metrics::counter!("hoop_enrol_refused_total", "reason" => why).increment(1);
    status(
        &Fault::new("HOOP-4010", Blame::Policy, "the join token is not good for this")
            .with_hint("it is good once, for one agent name, for a limited time: make a new one with `hoop admin agents join-token`"),
    )
}

fn malformed(what: &str) -> Status {
    status(&Fault::new("HOOP-4011", Blame::Caller, format!("the enrolment's {what} cannot be used")))
}

/// Trades a join token for a certificate.
pub(crate) async fn enrol(
    hub: &Hub,
    address: IpAddr,
    request: EnrolRequest,
) -> Result<EnrolResponse, Status> {
    let name = AgentName::new(request.agent_name.clone()).map_err(|_| malformed("agent name"))?;
    let join: JoinTokenId = request.join_token_id.parse().map_err(|_| refused("malformed"))?;
    if !hub.throttle.enrolment(address) {
        return Err(refused("too_many"));
    }
    let secret = BASE64URL_NOPAD.decode(request.join_secret.as_bytes()).map_err(|_| refused("malformed"))?;
    let hash = hash_of(join, &secret);
    if request.sealing_key.len() != SEALING_KEY || request.sealing_key.first() != Some(&4) {
        return Err(malformed("sealing key"));
    }
    if request.signing_key.len() != SIGNING_KEY {
        return Err(malformed("signing key"));
    }
    let id = AgentId::generate();
    let at = now();
    // The token decides before the CA does any work for somebody unknown.
    let known = hub.store.join_token(&hash).await.map_err(|error| unavailable(&error))?;
    let Some(token) = known else {
        return refuse(hub, &name, join, address, "unknown").await;
    };
    if token.used_at.is_some() {
        return refuse(hub, &name, join, address, "used").await;
    }
    let issued = hub
        .keys
        .authority
        .issue_agent(id, &request.csr_pem, at, hub.config.certificates.agent)
        .map_err(|error| bad_request(&error))?;
    let new = NewAgent {
        id,
        name: name.clone(),
        certificate_serial: serial(&issued),
        certificate_expires_at: issued.expires_at,
        sealing_key: request.sealing_key.to_vec(),
        signing_key: request.signing_key.to_vec(),
        version: clip(&request.version),
        enrolled_at: at,
    };
    let actor = Actor::Agent { id, name: name.clone() };
    let facts = json!({
        "address": address.to_string(), "join_token": join.to_string(), "name": name.as_str(),
        "certificate_serial": new.certificate_serial, "version": new.version,
        "signing_key": data_encoding::HEXLOWER.encode(&new.signing_key),
    });
    let used =
        event(&actor, EventCode::JoinTokenUsed, [join.into(), id.into()], json!({ "name": name.as_str() }));
    let told = event(&actor, EventCode::AgentEnrolled, [id.into(), join.into()], facts);
    match hub.store.enrol_agent(&hash, &new, &[used, told]).await {
        Ok(agent) => {
            tracing::info!(agent.id = %agent.id, agent.name = %agent.name, "agent enrolled");
            Ok(EnrolResponse {
                agent_id: id.to_string(),
                certificate_pem: issued.pem,
                ca_pem: hub.keys.authority.pem().to_owned(),
                grant_key: hub.keys.grants.public_key().into(),
            })
        }
        Err(StoreError::Conflict(Conflict::NameTaken)) => Err(status(
            &Fault::new("HOOP-4012", Blame::Caller, format!("an agent named {name} is enrolled already"))
                .with_hint("remove the old one first, or choose another name"),
        )),
        Err(StoreError::Conflict(conflict)) => {
            let why = match conflict {
                Conflict::Used => "used",
                Conflict::Expired => "expired",
                Conflict::OtherName => "other_name",
                _ => "conflict",
            };
            refuse(hub, &name, join, address, why).await
        }
        Err(StoreError::NotFound(_)) => refuse(hub, &name, join, address, "unknown").await,
        Err(error) => Err(unavailable(&error)),
    }
}

async fn refuse(
    hub: &Hub,
    name: &AgentName,
    join: JoinTokenId,
    address: IpAddr,
    why: &'static str,
) -> Result<EnrolResponse, Status> {
    let facts = json!({ "address": address.to_string(), "name": name.as_str(), "reason": why });
    let told = event(&Actor::Anonymous, EventCode::JoinTokenRefused, [join.into()], facts);
    hub.store.append(&[told]).await.map_err(|error| unavailable(&error))?;
    Err(refused(why))
}

/// A new certificate for an agent that has one.
pub(crate) async fn renew(hub: &Hub, agent: &Agent, request: RenewRequest) -> Result<RenewResponse, Status> {
    let issued = hub
        .keys
        .authority
        .issue_agent(agent.id, &request.csr_pem, now(), hub.config.certificates.agent)
        .map_err(|error| bad_request(&error))?;
    let serial = serial(&issued);
    let actor = Actor::Agent { id: agent.id, name: agent.name.clone() };
    let facts = json!({ "certificate_serial": serial, "expires_at": issued.expires_at });
    let told = event(&actor, EventCode::AgentRenewed, [agent.id.into()], facts);
    // An answer that was lost on its way must not lock an agent out: the serial to replace is the store's, not the peer's.
    let renewed = hub
        .store
        .renew_agent_certificate(agent.id, &agent.certificate_serial, &serial, issued.expires_at, &[told])
        .await;
    match renewed {
        Ok(_) => Ok(RenewResponse {
            certificate_pem: issued.pem,
            ca_pem: hub.keys.authority.pem().to_owned(),
            grant_key: hub.keys.grants.public_key().into(),
        }),
        Err(StoreError::Conflict(_) | StoreError::NotFound(_)) => Err(refused("renewal")),
        Err(error) => Err(unavailable(&error)),
    }
}

fn bad_request(error: &PkiError) -> Status {
    match error {
        PkiError::Request(why) => malformed(&format!("certificate request ({why})")),
        _ => {
            tracing::error!(%error, "certificate cannot be issued");
            Status::internal("the gateway cannot issue certificates")
        }
    }
}

/// What names a certificate in the store and the ledger.
fn serial(issued: &Issued) -> String {
    issued.serial.clone()
}

/// Texts of agents are theirs: short and printable.
pub(crate) fn clip(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_token_carries_id_secret_and_fingerprint() {
        let agent = AgentName::new("clinic").unwrap();
        let at = Timestamp::from_micros(1_700_000_000_000_000);
        let (token, kept) = make_join_token("abcd", &agent, at, std::time::Duration::from_secs(60)).unwrap();
        let parts: Vec<&str> = token.expose().split('.').collect();
        let [version, id, secret, fingerprint] = parts.as_slice() else { panic!("{parts:?}") };
        assert_eq!((*version, *fingerprint), ("hoop-join-v1", "abcd"));
        let secret = BASE64URL_NOPAD.decode(secret.as_bytes()).unwrap();
        assert_eq!(hash_of(id.parse().unwrap(), &secret), kept.hash);
        assert_ne!(hash_of(JoinTokenId::generate(), &secret), kept.hash);
    }

    #[test]
    fn texts_of_agents_are_clipped() {
        assert_eq!(clip("1.0\n\u{1b}[31m evil"), "1.0[31m evil");
        assert_eq!(clip(&"x".repeat(1000)).len(), 64);
    }
}
