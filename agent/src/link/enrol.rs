//! Enrolment with a one-use join token, and renewal of the certificate before it ends.

use bytes::Bytes;
use hoop_control::v1::{EnrolRequest, RenewRequest, gateway_client::GatewayClient};
use hoop_model::{AgentName, JoinTokenId, Redacted, Timestamp};
use hoop_recording::hex;
use hoop_tunnel::gateway::Transport;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tonic::{Code, transport::Channel};

use super::tls::{LinkError, Trust, connect};
use crate::{
    config::GatewayAddress,
    home::{Home, HomeError, Identity},
};

/// The agent cannot become or stay a member.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    /// The token's text is not one.
    #[error(
        "the join token is not of the form hoop-join-v1.ID.SECRET.FINGERPRINT: copy it whole, as it was shown"
    )]
    Token,
    /// There is neither an identity nor a token.
    #[error("this agent has not enrolled and has no join token: make one with `hoop admin join-token NAME`")]
    NoToken,
    /// There is no name to enrol under.
    #[error("give the agent's name (--name), the one the join token was made for")]
    NoName,
    /// The gateway said no.
    #[error("the gateway refused the enrolment: {0}")]
    Refused(String),
    /// The gateway's answer makes no sense.
    #[error("the gateway's answer cannot be used: {0}")]
    Answer(String),
    /// Keys of our own.
    #[error("the agent's key cannot be used: {0}")]
    Key(String),
    /// Not reached, or not trusted.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The state folder.
    #[error(transparent)]
    Home(#[from] HomeError),
}

/// A join token, taken apart.
#[derive(Debug)]
pub(crate) struct JoinToken {
    id: JoinTokenId,
    secret: Redacted<String>,
    fingerprint: [u8; 32],
}

impl std::str::FromStr for JoinToken {
    type Err = EnrolError;
    fn from_str(text: &str) -> Result<Self, EnrolError> {
        let mut parts = text.trim().split('.');
        let (Some("hoop-join-v1"), Some(id), Some(secret), Some(fingerprint), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(EnrolError::Token);
        };
        let fingerprint = hex::decode_array(fingerprint).ok_or(EnrolError::Token)?;
        let id = id.parse().map_err(|_| EnrolError::Token)?;
        Ok(Self { id, secret: secret.to_owned().into(), fingerprint })
    }
}

/// Trades a join token for an identity, and keeps it.
pub(crate) async fn enrol(
    home: &Home,
    gateway: &GatewayAddress,
    transport: &Transport,
    name: AgentName,
    token: &JoinToken,
) -> Result<Identity, EnrolError> {
    let mut client = connect(gateway, transport, &Trust::Fingerprint(token.fingerprint)).await?;
    let request = EnrolRequest {
        join_token_id: token.id.to_string(),
        join_secret: token.secret.expose().clone(),
        agent_name: name.to_string(),
        csr_pem: csr(home)?,
        sealing_key: home.opening_key.public_key().map_err(|e| EnrolError::Key(e.to_string()))?.into(),
        signing_key: Bytes::copy_from_slice(home.signing_key.verifying_key().as_bytes()),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let answer = client.enrol(request).await.map_err(refused)?.into_inner();
    let identity = Identity {
        agent: answer.agent_id.parse().map_err(|_| EnrolError::Answer("no agent id".to_owned()))?,
        name,
        certificate_pem: answer.certificate_pem,
        ca_pem: answer.ca_pem,
        grant_key: answer.grant_key.to_vec(),
    };
    home.keep_identity(&identity)?;
    Ok(identity)
}

/// A new certificate for the same identity, kept at once.
pub(crate) async fn renew(
    home: &Home,
    identity: &Identity,
    mut client: GatewayClient<Channel>,
) -> Result<Identity, EnrolError> {
    let answer = client.renew(RenewRequest { csr_pem: csr(home)? }).await.map_err(refused)?.into_inner();
    let renewed = Identity {
        certificate_pem: answer.certificate_pem,
        ca_pem: answer.ca_pem,
        grant_key: answer.grant_key.to_vec(),
        ..identity.clone()
    };
    home.keep_identity(&renewed)?;
    Ok(renewed)
}

/// When to renew: after two thirds of the certificate's life.
pub(crate) fn renew_at(identity: &Identity) -> Result<Timestamp, EnrolError> {
    let unreadable = || EnrolError::Answer("the certificate cannot be read".to_owned());
    let der =
        CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).map_err(|_| unreadable())?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).map_err(|_| unreadable())?;
    let validity = certificate.validity();
    let (from, until) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    Ok(Timestamp::from_micros((from + (until - from) / 3 * 2) * 1_000_000))
}

fn csr(home: &Home) -> Result<String, EnrolError> {
    let wrong = |error: rcgen::Error| EnrolError::Key(error.to_string());
    let key = KeyPair::from_pem(home.tls_key_pem.expose()).map_err(wrong)?;
    CertificateParams::default().serialize_request(&key).and_then(|request| request.pem()).map_err(wrong)
}

fn refused(status: tonic::Status) -> EnrolError {
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
            EnrolError::Link(LinkError::Connect(status.message().to_owned()))
        }
        _ => EnrolError::Refused(status.message().to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_join_token_is_taken_apart_and_nothing_else_is() {
        let id = JoinTokenId::generate();
        let print = "ab".repeat(32);
        let token: JoinToken = format!("hoop-join-v1.{id}.s3cret.{print}\n").parse().unwrap();
        assert_eq!(token.id, id);
        assert_eq!(token.fingerprint, [0xab; 32]);
        assert!(!format!("{token:?}").contains("s3cret"));
        for wrong in [
            String::new(),
            format!("hoop-join-v2.{id}.s.{print}"),
            format!("hoop-join-v1.{id}.s.{}", &print[2..]),
            format!("hoop-join-v1.{id}.s.{print}.x"),
            format!("hoop-join-v1.agt_x.s.{print}"),
            format!("hoop-join-v1.{id}.s.{}é", &print[2..]),
        ] {
            assert!(wrong.parse::<JoinToken>().is_err(), "{wrong}");
        }
    }
}
