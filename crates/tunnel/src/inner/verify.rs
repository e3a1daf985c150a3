//! Who is at the other end, by the one URI in its certificate.

use std::fmt;

use hoop_model::{AgentId, SessionId};
use rustls::{
    CommonState,
    pki_types::{CertificateDer, UnixTime},
};
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

/// An end of a session, as its certificate names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerIdentity {
    /// `hoop://session/ses_…`: a connector of this session.
    Session(SessionId),
    /// `hoop://agent/agt_…`.
    Agent(AgentId),
}

impl fmt::Display for PeerIdentity {
    /// The URI that stands in the certificate as its only subject alternative name of that kind.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(id) => write!(f, "hoop://session/{id}"),
            Self::Agent(id) => write!(f, "hoop://agent/{id}"),
        }
    }
}

/// Why the peer is not who it has to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// No certificate, or one that cannot be read.
    #[error("the peer showed no certificate that can be read")]
    NoCertificate,
    /// No `hoop://` name, or several.
    #[error("the peer's certificate names no session or agent")]
    Unnamed,
    /// Somebody else.
    #[error("the peer is {found}, not {expected}")]
    Other {
        /// Who it had to be.
        expected: PeerIdentity,
        /// Who it is.
        found: PeerIdentity,
    },
    /// The certificate's time is over, or has not come.
    #[error("the peer's certificate is not valid at this time")]
    Expired,
    /// TLS agreed on another application protocol, or none.
    #[error("the peer does not speak hoop-session/1")]
    Protocol,
}

/// What of a finished handshake is looked at.
pub struct Handshake<'a> {
    certificate: Option<&'a CertificateDer<'a>>,
    protocol: Option<&'a [u8]>,
}

impl<'a> Handshake<'a> {
    fn of(state: &'a CommonState) -> Self {
        let certificate = state.peer_certificates().and_then(<[_]>::first);
        Self { certificate, protocol: state.alpn_protocol() }
    }
}

impl<'a> From<&'a rustls::ClientConnection> for Handshake<'a> {
    fn from(connection: &'a rustls::ClientConnection) -> Self {
        Self::of(connection)
    }
}

impl<'a> From<&'a rustls::ServerConnection> for Handshake<'a> {
    fn from(connection: &'a rustls::ServerConnection) -> Self {
        Self::of(connection)
    }
}

/// After a handshake, a resumed one too: is the peer this one, and is its certificate still good?
///
/// # Errors
/// [`IdentityError`]: close the connection.
pub fn check_peer(
    handshake: &Handshake<'_>,
    expected: &PeerIdentity,
    now: UnixTime,
) -> Result<(), IdentityError> {
    if handshake.protocol != Some(crate::dispatch::ALPN_SESSION) {
        return Err(IdentityError::Protocol);
    }
    check_certificate(handshake.certificate.ok_or(IdentityError::NoCertificate)?, expected, now)
}

pub(super) fn check_certificate(
    certificate: &CertificateDer<'_>,
    expected: &PeerIdentity,
    now: UnixTime,
) -> Result<(), IdentityError> {
    let (_, certificate) =
        X509Certificate::from_der(certificate).map_err(|_| IdentityError::NoCertificate)?;
    let found = identity(&certificate)?;
    if found != *expected {
        return Err(IdentityError::Other { expected: *expected, found });
    }
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let validity = certificate.validity();
    if now < validity.not_before.timestamp() || now > validity.not_after.timestamp() {
        return Err(IdentityError::Expired);
    }
    Ok(())
}

fn identity(certificate: &X509Certificate<'_>) -> Result<PeerIdentity, IdentityError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(|_| IdentityError::Unnamed)?
        .map(|extension| extension.value.general_names.as_slice())
        .unwrap_or_default();
    let mut uris = names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some(*uri),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => parse(uri).ok_or(IdentityError::Unnamed),
        _ => Err(IdentityError::Unnamed),
    }
}

fn parse(uri: &str) -> Option<PeerIdentity> {
    let name = uri.strip_prefix("hoop://")?;
    if let Some(id) = name.strip_prefix("session/") {
        return id.parse().ok().map(PeerIdentity::Session);
    }
    name.strip_prefix("agent/")?.parse().ok().map(PeerIdentity::Agent)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As after a resumed handshake, in which rustls looks at no time.
    #[test]
    fn a_certificate_is_refused_before_and_after_its_time() {
        let expected = PeerIdentity::Session(SessionId::generate());
        let mut params = rcgen::CertificateParams::default();
        params.subject_alt_names =
            vec![rcgen::SanType::URI(expected.to_string().as_str().try_into().unwrap())];
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 1, 2);
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let start = 1_767_225_600; // 2026-01-01T00:00:00Z
        let check = |second: u64, who: &PeerIdentity| {
            let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(second));
            check_certificate(certificate.der(), who, now)
        };
        assert_eq!(check(start, &expected), Ok(()));
        assert_eq!(check(start + 86_400, &expected), Ok(()));
        assert_eq!(check(start - 1, &expected), Err(IdentityError::Expired));
        assert_eq!(check(start + 86_401, &expected), Err(IdentityError::Expired));
        let other = PeerIdentity::Session(SessionId::generate());
        assert_eq!(check(start, &other), Err(IdentityError::Other { expected: other, found: expected }));
    }

    #[test]
    fn only_the_exact_form_is_an_identity() {
        let session = SessionId::generate();
        let agent = AgentId::generate();
        let written = PeerIdentity::Session(session).to_string();
        assert_eq!(parse(&written), Some(PeerIdentity::Session(session)));
        assert_eq!(parse(&PeerIdentity::Agent(agent).to_string()), Some(PeerIdentity::Agent(agent)));
        for wrong in [
            String::new(),
            "hoop://".to_owned(),
            format!("hoop://agent/{session}"),
            format!("hoop://session/{agent}"),
            format!("HOOP://session/{session}"),
            format!("hoop://session/{session}/"),
            format!("hoop://session//{session}"),
            format!("hoop://session/{session}?x"),
            format!("https://session/{session}"),
        ] {
            assert_eq!(parse(&wrong), None, "{wrong}");
        }
    }
}
