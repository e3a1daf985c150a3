//! The internal certificate authority: P-256, one self-signed root, short-lived leaves.
//!
//! Every leaf says who it is by one URI (`hoop://agent/<id>`, `hoop://session/<id>`); names are the gateway's to
//! give, so of a request only the public key is taken. Knows no store and no clock: `now` is an argument.

use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use hoop_model::{AgentId, Redacted, SessionId, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    PKCS_ECDSA_P384_SHA384, PKCS_ED25519, PublicKeyData as _, SanType, SerialNumber,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};

/// Clocks of the other side may be behind by so much.
const BACKDATED: Duration = Duration::from_secs(900);
const YEARS_10: Duration = Duration::from_secs(10 * 365 * 86_400);
/// A request holds one public key; anything longer is no request of ours.
const LONGEST_REQUEST: usize = 16 * 1024;

/// Why a certificate cannot be issued or read.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The caller's certificate request.
    #[error("the certificate request cannot be used: {0}")]
    Request(&'static str),
    /// Our own key or certificate.
    #[error("the internal CA failed: {0}")]
    Authority(#[from] rcgen::Error),
    /// What the store or a file held is no certificate or key.
    #[error("a stored certificate or key cannot be read: {0}")]
    Stored(String),
}

/// A leaf that was issued.
#[derive(Debug, Clone)]
pub struct Issued {
    /// Chain in PEM: the leaf alone, the root is known to those who verify.
    pub pem: String,
    /// It ends then.
    pub expires_at: Timestamp,
    /// SHA-256 of the subject's public key (`SubjectPublicKeyInfo`), hex.
    pub key_sha256: String,
    /// Serial number, hex.
    pub serial: String,
}

/// A leaf and its key, for our own listeners.
pub struct ServerIdentity {
    /// Leaf, then root.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// It ends then.
    pub expires_at: Timestamp,
}

/// The certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Authority({})", self.fingerprint())
    }
}

impl Authority {
    /// Makes a new root; gives its key (PKCS #8) and certificate (PEM) to be kept.
    ///
    /// # Errors
    /// When the cryptographic library fails.
    pub fn create(now: Timestamp) -> Result<(Redacted<Vec<u8>>, String), PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = template("hoop internal CA", now, YEARS_10);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        Ok((Redacted::new(key.serialize_der()), certificate.pem()))
    }

    /// From what [`Self::create`] gave.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn open(key: &Redacted<Vec<u8>>, pem: &str) -> Result<Self, PkiError> {
        let stored = |error: String| PkiError::Stored(error);
        let certificate =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| stored(error.to_string()))?;
        let der = PrivatePkcs8KeyDer::from(key.expose().as_slice());
        let pair = KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ECDSA_P256_SHA256)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, pair)?;
        Ok(Self { issuer, certificate, pem: pem.to_owned() })
    }

    /// Its certificate in PEM.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Its certificate.
    #[must_use]
    pub const fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of its certificate (DER), hex: what join tokens carry.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        sha256_hex(&self.certificate)
    }

    /// A certificate for an agent: it is a client to the gateway, and a server to connectors.
    ///
    /// # Errors
    /// [`PkiError::Request`] when the request cannot be used.
    pub fn issue_agent(
        &self,
        agent: AgentId,
        csr_pem: &str,
        now: Timestamp,
        life: Duration,
    ) -> Result<Issued, PkiError> {
        let usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(&agent_uri(agent), csr_pem, usages, now, life)
    }

    /// A certificate for a connector, good for one session.
    ///
    /// # Errors
    /// [`PkiError::Request`] when the request cannot be used.
    pub fn issue_session(
        &self,
        session: SessionId,
        csr_pem: &str,
        now: Timestamp,
        life: Duration,
    ) -> Result<Issued, PkiError> {
        self.issue(&session_uri(session), csr_pem, vec![ExtendedKeyUsagePurpose::ClientAuth], now, life)
    }

    fn issue(
        &self,
        uri: &str,
        csr_pem: &str,
        usages: Vec<ExtendedKeyUsagePurpose>,
        now: Timestamp,
        life: Duration,
    ) -> Result<Issued, PkiError> {
        let request = read_request(csr_pem)?;
        let mut params = template(uri, now, life);
        params.subject_alt_names = vec![SanType::URI(uri.to_owned().try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
        let serial = SerialNumber::from_slice(&fresh_serial()?);
        params.serial_number = Some(serial.clone());
        let certificate = params.signed_by(&request.public_key, &self.issuer)?;
        Ok(Issued {
            serial: data_encoding::HEXLOWER.encode(&serial.to_bytes()),
            pem: certificate.pem(),
            expires_at: now.after(life),
            key_sha256: sha256_hex(&request.public_key.subject_public_key_info()),
        })
    }

    /// A key and certificate for our own listeners, under these host names or addresses.
    ///
    /// # Errors
    /// When a name cannot stand in a certificate.
    pub fn issue_server(
        &self,
        names: &[String],
        now: Timestamp,
        life: Duration,
    ) -> Result<ServerIdentity, PkiError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let named = CertificateParams::new(names.to_vec())?;
        let mut params = template(names.first().map_or("hoop gateway", String::as_str), now, life);
        params.subject_alt_names = named.subject_alt_names;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(ServerIdentity {
            chain: vec![certificate.der().clone(), self.certificate.clone()],
            key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
            expires_at: now.after(life),
        })
    }
}

/// SHA-256 of the public key in a request, hex: to compare a renewal with the first certificate.
///
/// # Errors
/// [`PkiError::Request`].
pub fn request_key_sha256(csr_pem: &str) -> Result<String, PkiError> {
    Ok(sha256_hex(&read_request(csr_pem)?.public_key.subject_public_key_info()))
}

fn read_request(csr_pem: &str) -> Result<CertificateSigningRequestParams, PkiError> {
    if csr_pem.len() > LONGEST_REQUEST {
        return Err(PkiError::Request("it is too long"));
    }
    // Checks the request's own signature: whoever asks holds the private key.
    let request = CertificateSigningRequestParams::from_pem(csr_pem)
        .map_err(|_| PkiError::Request("it is not a PKCS #10 request in PEM with a right signature"))?;
    let kinds = [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384, &PKCS_ED25519];
    if !kinds.contains(&request.public_key.algorithm()) {
        return Err(PkiError::Request("its key must be ECDSA P-256, P-384 or Ed25519"));
    }
    Ok(request)
}

fn template(name: &str, now: Timestamp, life: Duration) -> CertificateParams {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let at = |t: Timestamp| epoch + Duration::from_secs(u64::try_from(t.as_seconds()).unwrap_or(0));
    let mut params = CertificateParams::default();
    params.not_before = at(now.before(BACKDATED));
    params.not_after = at(now.after(life));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.use_authority_key_identifier_extension = true;
    params
}

/// 16 bytes, the first bit clear: positive in DER (RFC 5280 §4.1.2.2).
fn fresh_serial() -> Result<[u8; 16], PkiError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| rcgen::Error::RingUnspecified)?;
    if let Some(first) = bytes.first_mut() {
        *first = (*first & 0x7f) | 0x40;
    }
    Ok(bytes)
}

/// The name of an agent in its certificate.
#[must_use]
pub fn agent_uri(agent: AgentId) -> String {
    format!("hoop://agent/{agent}")
}

/// The name of a session in its connector's certificate.
#[must_use]
pub fn session_uri(session: SessionId) -> String {
    format!("hoop://session/{session}")
}

/// Reads the agent's id from a certificate that TLS has verified. A certificate with another kind of name, or with
/// more than one, is no agent's.
#[must_use]
pub fn agent_of(certificate: &CertificateDer<'_>) -> Option<AgentId> {
    use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    match names.value.general_names.as_slice() {
        [GeneralName::URI(uri)] => uri.strip_prefix("hoop://agent/")?.parse().ok(),
        _ => None,
    }
}

/// When a certificate ends.
#[must_use]
pub fn expiry_of(certificate: &CertificateDer<'_>) -> Option<Timestamp> {
    use x509_parser::prelude::{FromDer as _, X509Certificate};
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(Timestamp::from_micros(parsed.validity().not_after.timestamp().saturating_mul(1_000_000)))
}

/// SHA-256, hex.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(digest(&SHA256, bytes).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    fn authority() -> Authority {
        let (key, pem) = Authority::create(NOW).unwrap();
        Authority::open(&key, &pem).unwrap()
    }

    fn request(change: impl FnOnce(&mut CertificateParams)) -> (KeyPair, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        change(&mut params);
        let csr = params.serialize_request(&key).unwrap();
        (key, csr.pem().unwrap())
    }

    fn leaf(issued: &Issued) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(issued.pem.as_bytes()).unwrap()
    }

    #[test]
    fn of_a_request_only_the_key_is_taken() {
        let ca = authority();
        let (key, csr) = request(|params| {
            params.subject_alt_names = vec![SanType::URI("hoop://agent/evil".to_owned().try_into().unwrap())];
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, "root");
        });
        let session = SessionId::generate();
        let issued = ca.issue_session(session, &csr, NOW, HOUR).unwrap();
        assert_eq!(issued.key_sha256, sha256_hex(&key.subject_public_key_info()));
        let der = leaf(&issued);
        let (_, parsed) =
            <x509_parser::prelude::X509Certificate<'_> as x509_parser::prelude::FromDer<_>>::from_der(&der)
                .unwrap();
        assert!(!parsed.is_ca());
        assert_eq!(agent_of(&der), None);
        assert!(parsed.subject().to_string().contains(&session.to_string()));
        assert_eq!(parsed.validity().not_after.timestamp(), NOW.after(HOUR).as_seconds());
    }

    #[test]
    fn an_agents_certificate_names_the_agent() {
        let ca = authority();
        let agent = AgentId::generate();
        let issued = ca.issue_agent(agent, &request(|_| ()).1, NOW, HOUR).unwrap();
        assert_eq!(agent_of(&leaf(&issued)), Some(agent));
        assert_eq!(agent_of(ca.certificate()), None);
    }

    #[test]
    fn requests_that_are_none_are_refused() {
        let ca = authority();
        let good = request(|_| ()).1;
        let rsa_like = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
        let mut tampered = good.clone().into_bytes();
        let middle = tampered.len() / 2;
        tampered[middle] = if tampered[middle] == b'A' { b'B' } else { b'A' };
        let tampered = String::from_utf8(tampered).unwrap();
        for text in ["", "x", rsa_like, &tampered, &"A".repeat(100_000)] {
            let refused = ca.issue_session(SessionId::generate(), text, NOW, HOUR);
            assert!(matches!(refused, Err(PkiError::Request(_))), "{refused:?}");
        }
    }

    #[test]
    fn server_names_may_be_addresses() {
        let ca = authority();
        let identity = ca.issue_server(&["localhost".to_owned(), "127.0.0.1".to_owned()], NOW, HOUR).unwrap();
        assert_eq!(identity.chain.len(), 2);
    }
}
