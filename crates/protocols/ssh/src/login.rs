//! How hoop proves to a host that it may come in: by a password, asked for plainly or by prompts; by a key; or by a certificate
//! that the organisation's SSH authority makes for this one log-in.
//!
//! Certificates (OpenSSH's PROTOCOL.certkeys) are for a key that lives as long as the log-in, good for minutes, for the principals of the
//! connection's settings and from the addresses in them, with no more permissions than the access rule needs. Their id says who comes and
//! in which session, so that the host's own log says it, too.

use std::{sync::Arc, time::Duration};

use hoop_engine::{Credential, StreamContext};
use hoop_model::{Fault, Redacted, Timestamp};
use hoop_policy::Forwarding;
use russh::{
    MethodKind,
    client::{AuthResult, Handle, Handler, KeyboardInteractiveAuthResponse as Prompted},
    keys::{
        Certificate, HashAlg, PrivateKey, PrivateKeyWithHashAlg, decode_secret_key,
        ssh_key::{
            certificate::{Builder, CertType},
            private::Ed25519Keypair,
        },
    },
};

use crate::{fault, settings::CredentialKind};

/// A certificate is good for so long, and was so long before: clocks differ.
const GOOD_FOR: Duration = Duration::from_secs(5 * 60);
/// Rounds of prompts that are answered.
const MOST_ROUNDS: usize = 4;
/// Longest name of a person in a certificate, bytes.
const LONGEST_NAME: usize = 128;

/// What lets hoop in.
pub(crate) struct Login {
    user: String,
    secret: Result<Secret, Fault>,
}

enum Secret {
    Password(Redacted<String>),
    Key(Arc<PrivateKey>),
    Authority(Box<Authority>),
}

/// What certificates are made of.
struct Authority {
    key: PrivateKey,
    id: String,
    limits: CertificateLimits,
    extensions: Vec<&'static str>,
}

/// What the connection's settings say of certificates.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CertificateLimits {
    /// Whom the host lets in with it.
    pub(crate) principals: Vec<String>,
    /// Addresses and networks that it is good from; anywhere if empty.
    pub(crate) addresses: Vec<String>,
}

impl Login {
    /// For a stream of somebody's session; without one, for looking whether the host is there.
    pub(crate) fn new(
        kind: CredentialKind,
        credential: Credential,
        limits: &CertificateLimits,
        stream: Option<&StreamContext>,
    ) -> Self {
        let Credential { user, password } = credential;
        let secret = match (kind, password) {
            (_, None) => Err(fault::login("there is no credential for it")),
            (CredentialKind::Password, Some(password)) => Ok(Secret::Password(password)),
            (CredentialKind::PrivateKey, Some(text)) => key(&text).map(|key| Secret::Key(Arc::new(key))),
            (CredentialKind::Authority, Some(text)) => key(&text).and_then(|key| {
                let authority = Authority {
                    key,
                    id: id_of(stream)?,
                    limits: limits.clone(),
                    extensions: extensions(stream),
                };
                Ok(Secret::Authority(Box::new(authority)))
            }),
        };
        Self { user, secret }
    }

    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// What is wrong with the credential, if it is none.
    pub(crate) fn is_good(&self) -> Result<(), Fault> {
        self.secret.as_ref().map(drop).map_err(Clone::clone)
    }

    /// Logs in at a host whose key was found right.
    pub(crate) async fn at<H: Handler>(&self, host: &mut Handle<H>, now: Timestamp) -> Result<(), Fault> {
        let user = self.user.as_str();
        let closed = |_| fault::login("it closed the connection during log-in");
        let answer = match self.secret.as_ref().map_err(Clone::clone)? {
            Secret::Password(password) => {
                let answer = host.authenticate_password(user, password.expose().as_str()).await;
                match answer.map_err(closed)? {
                    AuthResult::Failure { remaining_methods, partial_success: false }
                        if remaining_methods.contains(&MethodKind::KeyboardInteractive) =>
                    {
                        prompted(host, user, password).await.map_err(closed)?
                    }
                    answer => answer.success(),
                }
            }
            Secret::Key(key) => {
                // Of a host that does not say what it takes, or says it late, the signature is one with SHA-2 all the same.
                let hash = match key.algorithm().is_rsa() {
                    true => host
                        .best_supported_rsa_hash()
                        .await
                        .ok()
                        .flatten()
                        .flatten()
                        .or(Some(HashAlg::Sha256)),
                    false => None,
                };
                let key = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
                host.authenticate_publickey(user, key).await.map_err(closed)?.success()
            }
            Secret::Authority(authority) => {
                let (key, certificate) = authority.certify(now)?;
                let answer = host.authenticate_openssh_cert(user, Arc::new(key), certificate).await;
                answer.map_err(closed)?.success()
            }
        };
        match answer {
            true => Ok(()),
            false => Err(fault::login(&format!("its user {user} needs another credential, or one more"))),
        }
    }
}

fn key(text: &Redacted<String>) -> Result<PrivateKey, Fault> {
    decode_secret_key(text.expose(), None).map_err(|_| fault::not_a_key())
}

/// Answers prompts (RFC 4256): the one that hides what is typed gets the password, once. Any other is not ours to answer.
async fn prompted<H: Handler>(
    host: &mut Handle<H>,
    user: &str,
    password: &Redacted<String>,
) -> Result<bool, russh::Error> {
    let mut asked = host.authenticate_keyboard_interactive_start(user, None).await?;
    let mut password = Some(password);
    for _ in 0..MOST_ROUNDS {
        let answers = match asked {
            Prompted::Success => return Ok(true),
            Prompted::Failure { .. } => return Ok(false),
            Prompted::InfoRequest { prompts, .. } => match (prompts.as_slice(), password) {
                ([], _) => Vec::new(),
                ([prompt], Some(secret)) if !prompt.echo => {
                    password = None;
                    vec![secret.expose().clone()]
                }
                _ => return Ok(false),
            },
        };
        asked = host.authenticate_keyboard_interactive_respond(answers).await?;
    }
    Ok(matches!(asked, Prompted::Success))
}

/// Who comes, and in which session. A name that could be read as something else in a host's log makes no certificate.
fn id_of(stream: Option<&StreamContext>) -> Result<String, Fault> {
    let Some(stream) = stream else { return Ok("hoop connection-test".to_owned()) };
    let person = stream.person.to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+');
    if person.len() > LONGEST_NAME || !person.chars().all(is_plain) {
        return Err(fault::name());
    }
    Ok(format!("hoop person={person} session={}", stream.session))
}

/// What a session may need of the host: a terminal, and what its rule lets it forward.
fn extensions(stream: Option<&StreamContext>) -> Vec<&'static str> {
    let Some(stream) = stream else { return Vec::new() };
    let forwards = |ways: &[Forwarding]| ways.iter().any(|way| stream.rules.forwarding.contains(way));
    // In the order of their names, as the format has it.
    let all = [
        ("permit-X11-forwarding", forwards(&[Forwarding::X11])),
        ("permit-agent-forwarding", forwards(&[Forwarding::Agent])),
        ("permit-port-forwarding", forwards(&[Forwarding::Local, Forwarding::Remote])),
        ("permit-pty", true),
    ];
    all.into_iter().filter_map(|(name, needed)| needed.then_some(name)).collect()
}

impl Authority {
    /// A key that nobody has seen, and a certificate for it.
    fn certify(&self, now: Timestamp) -> Result<(PrivateKey, Certificate), Fault> {
        let random = || {
            let mut bytes = [0; 32];
            aws_lc_rs::rand::fill(&mut bytes).map(|()| bytes).map_err(|_| fault::no_certificate())
        };
        let (seed, nonce) = (Redacted::new(random()?), random()?);
        let key = PrivateKey::from(Ed25519Keypair::from_seed(seed.expose()));
        let certificate = self.sign(&key, nonce, now).map_err(|_| fault::no_certificate())?;
        Ok((key, certificate))
    }

    fn sign(
        &self,
        key: &PrivateKey,
        nonce: [u8; 32],
        now: Timestamp,
    ) -> Result<Certificate, russh::keys::ssh_key::Error> {
        let seconds = |at: Timestamp| u64::try_from(at.as_seconds()).unwrap_or(0);
        let (after, before) = (seconds(now.before(GOOD_FOR)), seconds(now.after(GOOD_FOR)));
        let mut builder = Builder::new(nonce.to_vec(), key.public_key(), after, before)?;
        builder.cert_type(CertType::User)?.key_id(self.id.as_str())?;
        for principal in &self.limits.principals {
            builder.valid_principal(principal.as_str())?;
        }
        if !self.limits.addresses.is_empty() {
            builder.critical_option("source-address", self.limits.addresses.join(","))?;
        }
        for extension in &self.extensions {
            builder.extension(*extension, "")?;
        }
        builder.sign(&self.key)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use russh::keys::HashAlg;

    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn stream(person: &str) -> StreamContext {
        StreamContext {
            groups: Vec::new(),
            session: hoop_model::SessionId::generate(),
            stream: hoop_model::StreamId(1),
            person: person.parse().unwrap(),
            rules: Arc::default(),
            masking_key: hoop_masking::MaskingKey::new(&[1; 32]).unwrap(),
            cancel_seed: Redacted::new(vec![0; 36]),
            login_cache: Arc::default(),
            login_timeout: Duration::from_secs(1),
        }
    }

    fn certified(stream: Option<&StreamContext>, limits: &CertificateLimits) -> Result<Certificate, Fault> {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[7; 32]));
        let text = key.to_openssh(Default::default()).unwrap().to_string();
        let credential = Credential { user: "deploy".into(), password: Some(Redacted::new(text)) };
        let login = Login::new(CredentialKind::Authority, credential, limits, stream);
        let Secret::Authority(authority) = login.secret? else { unreachable!() };
        let (_, certificate) = authority.certify(NOW)?;
        certificate.validate_at(1_700_000_000, &[key.public_key().fingerprint(HashAlg::Sha256)]).unwrap();
        Ok(certificate)
    }

    fn limits() -> CertificateLimits {
        CertificateLimits { principals: vec!["deploy".into()], addresses: vec!["10.0.0.0/8".into()] }
    }

    #[test]
    fn a_certificate_says_who_and_allows_what_the_rule_needs_for_minutes() {
        let mut one = stream("ada@clinic.example");
        let certificate = certified(Some(&one), &limits()).unwrap();
        assert_eq!(certificate.key_id(), format!("hoop person=ada@clinic.example session={}", one.session));
        assert_eq!(certificate.cert_type(), CertType::User);
        assert_eq!(certificate.valid_principals(), ["deploy"]);
        assert_eq!(certificate.critical_options().get("source-address").unwrap(), "10.0.0.0/8");
        assert_eq!(certificate.extensions().keys().collect::<Vec<_>>(), ["permit-pty"]);
        assert_eq!(certificate.valid_before() - certificate.valid_after(), 600);
        let rules = hoop_policy::Rules {
            forwarding: BTreeSet::from([Forwarding::Remote, Forwarding::Agent]),
            ..Default::default()
        };
        one.rules = Arc::new(rules);
        let certificate = certified(Some(&one), &limits()).unwrap();
        let extensions: Vec<_> = certificate.extensions().keys().map(String::as_str).collect();
        assert_eq!(extensions, ["permit-agent-forwarding", "permit-port-forwarding", "permit-pty"]);
    }

    /// THREATS A5.
    #[test]
    fn names_that_could_be_read_otherwise_make_no_certificate() {
        for name in ["a,b", "a*", "a b", "a=b", "ada\u{202e}", "аda", "a\"b", &"a".repeat(129)] {
            let Ok(person) = name.parse() else { continue };
            let one = StreamContext { person, ..stream("ada") };
            assert_eq!(certified(Some(&one), &limits()).unwrap_err().code.as_str(), "HOOP-5040", "{name}");
        }
    }

    #[test]
    fn no_two_log_ins_have_the_same_key() {
        let one = stream("ada");
        let keys: Vec<_> =
            (0..2).map(|_| certified(Some(&one), &limits()).unwrap().public_key().clone()).collect();
        assert_ne!(keys[0], keys[1]);
    }
}
