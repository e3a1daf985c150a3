//! Server certificates judged by a rule of one's own, where the usual check of chain and name is not what is wanted.
//!
//! A [`Rule`] says only whether a certificate is the right one. That whoever shows it also holds its key is checked here,
//! the same for every rule. Knows no rule itself.

use std::{fmt, sync::Arc};

use rustls::{
    DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
};

/// What a server showed, and who it had to be.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Its own certificate.
    pub end_entity: &'a CertificateDer<'a>,
    /// What it sent with it.
    pub intermediates: &'a [CertificateDer<'a>],
    /// The name that was dialled.
    pub name: &'a ServerName<'a>,
    /// An OCSP answer, if it stapled one.
    pub ocsp: &'a [u8],
    /// Now.
    pub now: UnixTime,
}

/// Which certificates are right.
pub trait Rule: fmt::Debug + Send + Sync + 'static {
    /// Is this one?
    ///
    /// # Errors
    /// Why not.
    fn judge(&self, shown: &Shown<'_>) -> Result<(), Error>;
}

/// A verifier for rustls with this rule.
pub fn verifier(rule: impl Rule) -> Arc<dyn ServerCertVerifier> {
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms;
    Arc::new(Ruled { rule, algorithms })
}

#[derive(Debug)]
struct Ruled<R> {
    rule: R,
    algorithms: WebPkiSupportedAlgorithms,
}

impl<R: Rule> ServerCertVerifier for Ruled<R> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.rule.judge(&Shown { end_entity, intermediates, name, ocsp, now })?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rcgen::{CertifiedKey, generate_simple_self_signed};
    use rustls::{
        AlertDescription, CertificateError, ClientConfig, ClientConnection, ServerConfig, ServerConnection,
        pki_types::PrivateKeyDer,
    };

    use super::*;

    #[derive(Debug)]
    struct Only(CertificateDer<'static>);

    impl Rule for Only {
        fn judge(&self, shown: &Shown<'_>) -> Result<(), Error> {
            if *shown.end_entity == self.0 { Ok(()) } else { Err(CertificateError::UnknownIssuer.into()) }
        }
    }

    fn certified() -> CertifiedKey<rcgen::KeyPair> {
        generate_simple_self_signed(vec!["x.test".to_owned()]).unwrap()
    }

    /// What comes of a handshake with a server that shows `certificate` and signs with `key`.
    fn handshake(
        rule: Only,
        certificate: CertificateDer<'static>,
        key: &rcgen::KeyPair,
        version: &'static rustls::SupportedProtocolVersion,
    ) -> Result<(), Error> {
        #[derive(Debug)]
        struct Shows(Arc<rustls::sign::CertifiedKey>);
        impl rustls::server::ResolvesServerCert for Shows {
            fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<rustls::sign::CertifiedKey>> {
                Some(Arc::clone(&self.0))
            }
        }
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
        let shows = Shows(Arc::new(rustls::sign::CertifiedKey::new(vec![certificate], key)));
        let server = ServerConfig::builder_with_protocol_versions(&[version])
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(shows));
        let client = ClientConfig::builder_with_protocol_versions(&[version])
            .dangerous()
            .with_custom_certificate_verifier(verifier(rule))
            .with_no_client_auth();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), "other.test".try_into().unwrap()).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut &wire[..]).unwrap();
            server.process_new_packets()?;
            wire.clear();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut &wire[..]).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn the_rule_decides_and_whoever_lacks_the_key_is_refused_whatever_it_says() {
        for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
            let (right, other) = (certified(), certified());
            let der = right.cert.der().clone();
            let only = || Only(der.clone());
            assert_eq!(handshake(only(), der.clone(), &right.signing_key, version), Ok(()));
            assert_eq!(
                handshake(only(), other.cert.der().clone(), &other.signing_key, version),
                Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
            );
            assert_eq!(
                handshake(only(), der.clone(), &other.signing_key, version),
                Err(Error::InvalidCertificate(CertificateError::BadSignature)),
                "the right certificate, copied: {:?}",
                AlertDescription::DecryptError,
            );
        }
    }
}
