//! Which key of a host is right, and which is ours.
//!
//! A host's key is pinned, or certified by an authority that is pinned. Nothing is learned by itself: a key that is not known
//! ends the session, whatever was seen before; where none is known yet, an admin is told which one the host shows. Ours is derived for each session, from what only its two ends and the gateway
//! that minted it know, so that the client has one to compare with.

use hoop_model::{Redacted, Timestamp};
use russh::keys::{
    Algorithm, EcdsaCurve, HashAlg, PrivateKey, PublicKey, PublicKeyOrCertificate,
    ssh_key::{certificate::CertType, private::Ed25519Keypair},
};

/// Pins that one connection may have.
const MOST: usize = 20;

/// What a host must show.
#[derive(Debug, Clone)]
pub(crate) struct Trust {
    pins: Vec<PublicKey>,
    authorities: Vec<PublicKey>,
    /// Must stand among the principals of its certificate.
    name: String,
}

/// Reads a key as `known_hosts` and `.pub` files have it: kind, base64, and maybe a comment.
fn read(field: &str, line: &str) -> Result<PublicKey, String> {
    let key = PublicKey::from_openssh(line.trim())
        .map_err(|_| format!("{field}: expected keys like \"ssh-ed25519 AAAA…\", one each"))?;
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } | Algorithm::Rsa { .. } => Ok(key),
        other => Err(format!("{field}: keys of the kind {other} are not taken")),
    }
}

impl Trust {
    pub(crate) fn new(pins: &[String], authorities: &[String], name: &str) -> Result<Self, String> {
        if pins.len() > MOST || authorities.len() > MOST {
            return Err(format!("host_keys, host_authorities: at most {MOST} each"));
        }
        let keys = |field: &str, lines: &[String]| -> Result<Vec<_>, String> {
            lines.iter().map(|line| read(field, line)).collect()
        };
        let trust = Self {
            pins: keys("host_keys", pins)?,
            authorities: keys("host_authorities", authorities)?,
            name: name.to_owned(),
        };
        Ok(trust)
    }

    /// Nothing is known of the host yet: whatever it shows is only told.
    pub(crate) const fn is_empty(&self) -> bool {
        self.pins.is_empty() && self.authorities.is_empty()
    }

    /// Kinds of keys that the host is asked for: those that are pinned and no others; the best it has, if none is.
    pub(crate) fn key_kinds(&self) -> Vec<Algorithm> {
        if self.is_empty() {
            return all_kinds();
        }
        kinds(self.pins.iter().map(PublicKey::algorithm))
    }

    /// Kinds of certified keys that it is asked for.
    pub(crate) fn certificate_kinds(&self) -> Vec<Algorithm> {
        if self.authorities.is_empty() {
            return Vec::new();
        }
        all_kinds()
    }

    /// Whether what the host shows is right at `now`; else what is wrong with it.
    pub(crate) fn judge(&self, shown: &PublicKeyOrCertificate, now: Timestamp) -> Result<(), String> {
        let certificate = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                let known = self.pins.iter().any(|pin| pin.key_data() == key.key_data());
                return if known { Ok(()) } else { Err(self.other_key(key)) };
            }
            PublicKeyOrCertificate::Certificate(certificate) => certificate,
        };
        if certificate.cert_type() != CertType::Host {
            return Err("it shows a certificate that is not a host's".into());
        }
        if !certificate.critical_options().is_empty() {
            return Err("its certificate has conditions that are not known".into());
        }
        // OpenSSH takes an empty list for any host; here it is none.
        if !certificate.valid_principals().contains(&self.name) {
            return Err(format!("its certificate is not for {}", self.name));
        }
        let known: Vec<_> = self.authorities.iter().map(|key| key.fingerprint(HashAlg::Sha256)).collect();
        let seconds = u64::try_from(now.as_seconds()).unwrap_or(0);
        certificate.validate_at(seconds, &known).map_err(|_| {
            "its certificate is not by an authority that is known, or not good at this time".to_owned()
        })
    }

    fn other_key(&self, shown: &PublicKey) -> String {
        if self.is_empty() {
            let line = PublicKey::new(shown.key_data().clone(), "").to_openssh().unwrap_or_default();
            return format!("it shows `{}` ({})", line.trim_end(), name_of(shown));
        }
        let pins: Vec<_> = self.pins.iter().map(name_of).collect();
        format!("it shows {}, and pinned is {}", name_of(shown), pins.join(" or "))
    }
}

/// A key as people compare it.
pub(crate) fn name_of(key: &PublicKey) -> String {
    format!("{} {}", key.algorithm().as_str(), key.fingerprint(HashAlg::Sha256))
}

fn all_kinds() -> Vec<Algorithm> {
    let curves = [EcdsaCurve::NistP256, EcdsaCurve::NistP384, EcdsaCurve::NistP521];
    let ecdsa = curves.into_iter().map(|curve| Algorithm::Ecdsa { curve });
    kinds([Algorithm::Ed25519].into_iter().chain(ecdsa).chain([Algorithm::Rsa { hash: None }]))
}

/// Without repetition. RSA keys sign with SHA-2 alone.
fn kinds(algorithms: impl Iterator<Item = Algorithm>) -> Vec<Algorithm> {
    let mut kinds = Vec::new();
    for algorithm in algorithms {
        let these = match algorithm {
            Algorithm::Rsa { .. } => vec![
                Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
                Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
            ],
            other => vec![other],
        };
        for kind in these {
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
    }
    kinds
}

/// Our key for one session.
pub(crate) fn own_key(stream_key: &Redacted<[u8; 32]>) -> PrivateKey {
    PrivateKey::from(Ed25519Keypair::from_seed(stream_key.expose()))
}

/// What the client of a session must find: the public half of our key, as `known_hosts` has it.
#[must_use]
pub fn host_key_line(stream_key: &Redacted<[u8; 32]>) -> String {
    own_key(stream_key).public_key().to_openssh().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use russh::keys::ssh_key::certificate::Builder;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn key(seed: u8) -> PublicKey {
        own_key(&Redacted::new([seed; 32])).public_key().clone()
    }

    fn line(seed: u8) -> String {
        key(seed).to_openssh().unwrap()
    }

    fn shown(seed: u8) -> PublicKeyOrCertificate {
        key(seed).into()
    }

    /// The connector derives the same key with another library: its test has the same line.
    #[test]
    fn our_key_is_the_one_that_the_connector_expects() {
        let mut seed = [0; 32];
        for (at, byte) in seed.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&SEED[2 * at..2 * at + 2], 16).unwrap();
        }
        assert_eq!(host_key_line(&Redacted::new(seed)), EXPECTED);
    }

    /// HMAC-SHA-256 of `hoop stream key v1` under 32 bytes of 7.
    const SEED: &str = "860ad7608d8a3e8be7f878ec2cf11dceb26c7e36eaec9ce30370d78dddc6fb7c";
    const EXPECTED: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAxdNgnqYffiHgNO36Vpxu9ldQ/23PvDSGi+dBJwDvmH";

    #[test]
    fn a_pinned_key_is_right_and_any_other_is_named() {
        let trust = Trust::new(&[line(1)], &[], "web").unwrap();
        assert_eq!(trust.judge(&shown(1), NOW), Ok(()));
        let wrong = trust.judge(&shown(2), NOW).unwrap_err();
        for named in [name_of(&key(1)), name_of(&key(2))] {
            assert!(wrong.contains(&named), "{wrong}");
        }
        assert_eq!(trust.key_kinds(), [Algorithm::Ed25519]);
        assert!(trust.certificate_kinds().is_empty());
    }

    #[test]
    fn no_host_is_trusted_without_a_key() {
        let unknown = Trust::new(&[], &[], "web").unwrap();
        assert!(unknown.judge(&shown(1), NOW).unwrap_err().contains(line(1).trim()));
        assert!(!unknown.key_kinds().is_empty());
        for (pins, authorities) in [
            (vec!["ssh-ed25519".to_owned()], vec![]),
            (vec!["web ssh-ed25519 AAAA".to_owned()], vec![]),
            (vec![], vec!["ssh-dss AAAA".to_owned()]),
            (vec![line(1); 21], vec![]),
        ] {
            assert!(Trust::new(&pins, &authorities, "web").is_err(), "{pins:?} {authorities:?}");
        }
    }

    /// A certificate by the key of one seed for the key of another.
    fn certificate(
        authority: u8,
        kind: CertType,
        names: &[&str],
        change: impl FnOnce(&mut Builder),
    ) -> PublicKeyOrCertificate {
        let authority = own_key(&Redacted::new([authority; 32]));
        let (from, to) = (1_699_999_000, 1_700_001_000);
        let mut builder = Builder::new([1; 32].to_vec(), key(9).key_data().clone(), from, to).unwrap();
        builder.cert_type(kind).unwrap().key_id("host").unwrap();
        for name in names {
            builder.valid_principal(*name).unwrap();
        }
        change(&mut builder);
        builder.sign(&authority).unwrap().into()
    }

    #[test]
    fn a_certificate_must_be_a_hosts_for_this_name_by_this_authority_now() {
        let trust = Trust::new(&[], &[line(1)], "web").unwrap();
        let plain = |_: &mut Builder| {};
        let judge = |shown: &PublicKeyOrCertificate, at| trust.judge(shown, at);
        assert_eq!(judge(&certificate(1, CertType::Host, &["db", "web"], plain), NOW), Ok(()));
        let later = NOW.after(std::time::Duration::from_secs(3600));
        for (what, shown, at) in [
            ("another authority", certificate(2, CertType::Host, &["web"], plain), NOW),
            ("a user's", certificate(1, CertType::User, &["web"], plain), NOW),
            ("another name", certificate(1, CertType::Host, &["web.evil"], plain), NOW),
            ("too late", certificate(1, CertType::Host, &["web"], plain), later),
            (
                "conditions",
                certificate(1, CertType::Host, &["web"], |builder| {
                    builder.critical_option("source-address", "10.0.0.1").unwrap();
                }),
                NOW,
            ),
            ("the key alone", shown(9), NOW),
            ("the authority's own key", shown(1), NOW),
        ] {
            assert!(judge(&shown, at).is_err(), "{what}");
        }
        let everybody = certificate(1, CertType::Host, &[], |builder| {
            builder.all_principals_valid().unwrap();
        });
        assert!(judge(&everybody, NOW).is_err(), "a certificate without names is nobody's");
    }
}
