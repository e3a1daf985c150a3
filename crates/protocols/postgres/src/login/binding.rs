//! The hash of a certificate to which `tls-server-end-point` binds (RFC 5929, section 4.1).

use aws_lc_rs::digest;
use x509_parser::{
    oid_registry::{
        OID_PKCS1_MD5WITHRSAENC, OID_PKCS1_SHA1WITHRSA, OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA,
        OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384,
        OID_SIG_ECDSA_WITH_SHA512, Oid,
    },
    parse_x509_certificate,
};

/// The certificate's hash by the hash of its own signature, but SHA-256 in place of MD5 and SHA-1. `None` where the
/// signature has no single hash (Ed25519, RSA-PSS as PostgreSQL treats it): such a connection cannot be bound to.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let algorithm = hash_of(&parsed.signature_algorithm.algorithm)?;
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

fn hash_of(signature: &Oid<'_>) -> Option<&'static digest::Algorithm> {
    let is = |known: &[Oid<'_>]| known.iter().any(|k| k == signature);
    if is(&[
        OID_PKCS1_MD5WITHRSAENC,
        OID_PKCS1_SHA1WITHRSA,
        OID_PKCS1_SHA256WITHRSA,
        OID_SIG_ECDSA_WITH_SHA256,
    ]) {
        Some(&digest::SHA256)
    } else if is(&[OID_PKCS1_SHA384WITHRSA, OID_SIG_ECDSA_WITH_SHA384]) {
        Some(&digest::SHA384)
    } else if is(&[OID_PKCS1_SHA512WITHRSA, OID_SIG_ECDSA_WITH_SHA512]) {
        Some(&digest::SHA512)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_binds_to_nothing() {
        for garbage in [&b""[..], b"\x30", b"\x30\x82\xff\xff", &[0xff; 64]] {
            assert_eq!(end_point(garbage), None);
        }
    }

    #[test]
    fn the_hash_follows_the_signature() {
        let length = |key: &'static rcgen::SignatureAlgorithm| {
            let key = rcgen::KeyPair::generate_for(key).unwrap();
            let certificate =
                rcgen::CertificateParams::new(vec!["db".to_owned()]).unwrap().self_signed(&key).unwrap();
            end_point(certificate.der()).map(|hash| hash.len())
        };
        assert_eq!(length(&rcgen::PKCS_ECDSA_P256_SHA256), Some(32));
        assert_eq!(length(&rcgen::PKCS_ECDSA_P384_SHA384), Some(48));
        assert_eq!(length(&rcgen::PKCS_ED25519), None);
    }
}
