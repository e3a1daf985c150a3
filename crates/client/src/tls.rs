//! Whom to trust on the way to the gateway: the CA that was pinned at sign-in, else the system's roots.
//!
//! This is about HTTPS alone. Session data is protected by the inner TLS, which trusts only what the gateway said
//! for that session.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use hoop_tunnel::trust::{self, Rule, Shown};
use rustls::{
    ClientConfig,
    crypto::{CryptoProvider, aws_lc_rs::default_provider},
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::error::{ClientError, Result};

/// Certificates read from PEM text.
///
/// # Errors
/// When there is none, or one is malformed.
pub fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(ClientError::usage("HOOP-1007", "the CA file holds no certificate in PEM form")),
    }
}

/// TLS towards the gateway's HTTPS: `ca_pem` alone if one was pinned, else the system's roots.
///
/// Pinned means that no other authority can speak for the gateway. It also spares each start of the command the reading
/// of some 140 system roots, which takes longer than all else it does.
///
/// # Errors
/// When the pinned certificates cannot be read, or there is nothing at all to trust.
pub fn config(ca_pem: Option<&str>) -> Result<ClientConfig> {
    let provider = Arc::new(default_provider());
    if let Some(pem) = ca_pem {
        let mut roots = rustls::RootCertStore::empty();
        for certificate in certificates(pem)? {
            roots.add(certificate).map_err(|_| {
                ClientError::usage("HOOP-1007", "the pinned CA is no certificate that can be trusted")
            })?;
        }
        return Ok(builder(provider)?.with_root_certificates(roots).with_no_client_auth());
    }
    let verifier = rustls_platform_verifier::Verifier::new(Arc::clone(&provider)).map_err(|_| no_roots())?;
    Ok(builder(provider)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// TLS that believes anyone. Good for one thing: to fetch the CA whose fingerprint is then compared.
pub(crate) fn unverified_config() -> Result<ClientConfig> {
    let provider = Arc::new(default_provider());
    let anyone = trust::verifier(BelieveAnyone);
    Ok(builder(provider)?.dangerous().with_custom_certificate_verifier(anyone).with_no_client_auth())
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

fn builder(provider: Arc<CryptoProvider>) -> Result<Builder> {
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| ClientError::own("HOOP-9001", "TLS cannot be set up"))
}

fn no_roots() -> ClientError {
    ClientError::own("HOOP-1007", "this machine has no list of trusted certificates")
        .hint("install the package ca-certificates, or pin the gateway's CA: hoop login URL --ca FILE")
}

/// A SHA-256 fingerprint of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of a certificate in DER.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        let mut bytes = [0; 32];
        bytes.iter_mut().zip(digest(&SHA256, certificate).as_ref()).for_each(|(to, from)| *to = *from);
        Self(bytes)
    }
}

impl std::str::FromStr for Fingerprint {
    type Err = ClientError;

    /// 64 hex digits, with or without colons, with or without `sha256:`.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = || ClientError::usage("HOOP-1008", "a fingerprint is 64 hex digits (SHA-256)");
        let text = text.trim().to_ascii_lowercase();
        let digits: String =
            text.strip_prefix("sha256:").unwrap_or(&text).chars().filter(|c| *c != ':').collect();
        if digits.len() != 64 || !digits.is_ascii() {
            return Err(wrong());
        }
        let mut bytes = [0; 32];
        for (to, pair) in bytes.iter_mut().zip(digits.as_bytes().chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| wrong())?;
            *to = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The one certificate of `ca_pem` that has this fingerprint.
///
/// # Errors
/// When none has it.
pub fn pick(ca_pem: &str, wanted: Fingerprint) -> Result<CertificateDer<'static>> {
    certificates(ca_pem)?.into_iter().find(|found| Fingerprint::of(found) == wanted).ok_or_else(|| {
        ClientError::denied("HOOP-1022", "the gateway's CA does not have the fingerprint that was given")
            .hint("compare it with the gateway's own print-out; somebody may be in between")
    })
}

/// A certificate as PEM text.
#[must_use]
pub fn to_pem(certificate: &CertificateDer<'_>) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    let text = STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// Any certificate will do.
#[derive(Debug)]
struct BelieveAnyone;

impl Rule for BelieveAnyone {
    fn judge(&self, _: &Shown<'_>) -> std::result::Result<(), rustls::Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ca(name: &str) -> String {
        rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap().cert.pem()
    }

    #[test]
    fn the_certificate_with_the_fingerprint_is_pinned_and_no_other() {
        let (ours, other) = (ca("ours.test"), ca("other.test"));
        let wanted = Fingerprint::of(&certificates(&ours).unwrap()[0]);
        let picked = pick(&format!("{other}{ours}"), wanted).unwrap();
        assert_eq!(Fingerprint::of(&picked), wanted);
        assert!(pick(&other, wanted).unwrap_err().is("HOOP-1022"));
        assert_eq!(certificates(&to_pem(&picked)).unwrap(), vec![picked]);
    }

    #[test]
    fn a_fingerprint_is_read_in_the_forms_that_tools_print() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        for text in [plain.clone(), colons, format!("sha256:{plain}"), format!(" {plain}\n")] {
            assert_eq!(text.parse::<Fingerprint>().unwrap().to_string(), plain);
        }
        for text in ["", "ab", &"zz".repeat(32), &"ab".repeat(33), &"é".repeat(32)] {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        for text in ["", "hello", "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"] {
            assert!(config(Some(text)).is_err(), "{text:?}");
        }
        assert!(config(Some(&ca("a.test"))).is_ok());
    }
}
