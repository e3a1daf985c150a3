//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS as a client (RFC 5802, RFC 7677, RFC 5929), on aws-lc-rs.
//!
//! The salted password costs thousands of HMACs and depends only on password, salt and iterations: it is kept in the
//! connection's [`LoginCache`], so that only a session's first stream pays.

use std::num::NonZeroU32;

use aws_lc_rs::{constant_time, digest, hmac, pbkdf2, rand};
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use hoop_engine::LoginCache;
use hoop_model::Redacted;

/// Of one exchange's server: more would let it keep an agent's processor busy.
const MOST_ITERATIONS: u32 = 100_000;

/// Longest salt and longest message accepted.
const LONGEST_SALT: usize = 1024;

/// With channel binding.
pub(super) const PLUS: &str = "SCRAM-SHA-256-PLUS";
/// Without.
pub(super) const PLAIN: &str = "SCRAM-SHA-256";

/// Why an exchange fails.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ScramError {
    /// The server's message does not follow the grammar, or asks for the impossible.
    #[error("{0}")]
    Message(&'static str),
    /// The server does not know the password.
    #[error("its signature is wrong")]
    Signature,
    /// It says that ours is wrong.
    #[error("it refuses the password")]
    Refused,
    /// No randomness.
    #[error("no random bytes are to be had")]
    Random,
}

/// How the exchange is tied to the TLS connection below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Binding {
    /// There is no TLS (or none that can be bound to).
    None,
    /// We could, but the server does not offer it.
    NotOffered,
    /// Hash of the server's certificate.
    EndPoint(Vec<u8>),
}

impl Binding {
    fn header(&self) -> &'static str {
        match self {
            Self::None => "n,,",
            Self::NotOffered => "y,,",
            Self::EndPoint(_) => "p=tls-server-end-point,,",
        }
    }

    fn encoded(&self) -> String {
        let mut all = self.header().as_bytes().to_vec();
        if let Self::EndPoint(hash) = self {
            all.extend_from_slice(hash);
        }
        BASE64.encode(all)
    }

    /// The mechanism to name.
    pub(super) fn mechanism(&self) -> &'static str {
        if matches!(self, Self::EndPoint(_)) { PLUS } else { PLAIN }
    }
}

/// After our first message.
pub(super) struct First {
    nonce: String,
    binding: Binding,
}

/// After our proof.
pub(super) struct Proven {
    server_signature: hmac::Tag,
}

impl First {
    /// A new exchange with a random nonce.
    pub(super) fn new(binding: Binding) -> Result<Self, ScramError> {
        let mut bytes = [0; 18];
        rand::fill(&mut bytes).map_err(|_| ScramError::Random)?;
        Ok(Self::with_nonce(binding, BASE64.encode(bytes)))
    }

    fn with_nonce(binding: Binding, nonce: String) -> Self {
        Self { nonce, binding }
    }

    fn bare(&self) -> String {
        format!("n=,r={}", self.nonce)
    }

    /// `client-first-message`.
    pub(super) fn message(&self) -> String {
        format!("{}{}", self.binding.header(), self.bare())
    }

    /// Answers `server-first-message` with `client-final-message`.
    pub(super) fn prove(
        self,
        server_first: &[u8],
        password: &Redacted<String>,
        cache: &LoginCache,
    ) -> Result<(Proven, String), ScramError> {
        let server_first = std::str::from_utf8(server_first).map_err(|_| ScramError::Message("not UTF-8"))?;
        let (nonce, salt, iterations) = self.parse(server_first)?;
        let salted = salted_password(password, &salt, iterations, cache);
        let without_proof = format!("c={},r={nonce}", self.binding.encoded());
        let auth_message = format!("{},{server_first},{without_proof}", self.bare());
        let key = hmac::Key::new(hmac::HMAC_SHA256, salted.expose());
        let client_key = hmac::sign(&key, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, client_key.as_ref());
        let signature =
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, stored_key.as_ref()), auth_message.as_bytes());
        let proof: Vec<u8> = client_key.as_ref().iter().zip(signature.as_ref()).map(|(a, b)| a ^ b).collect();
        let server_key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, b"Server Key").as_ref());
        let proven = Proven { server_signature: hmac::sign(&server_key, auth_message.as_bytes()) };
        Ok((proven, format!("{without_proof},p={}", BASE64.encode(proof))))
    }

    fn parse<'a>(&self, message: &'a str) -> Result<(&'a str, Vec<u8>, NonZeroU32), ScramError> {
        let wrong = ScramError::Message;
        let mut fields = message.split(',');
        let mut field = |name: &str, missing| {
            fields.next().and_then(|f| f.strip_prefix(name)).ok_or(ScramError::Message(missing))
        };
        let nonce = field("r=", "its first message has no nonce")?;
        let salt = field("s=", "its first message has no salt")?;
        let iterations = field("i=", "its first message has no iteration count")?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(wrong("its nonce does not continue ours"));
        }
        let salt = BASE64.decode(salt).map_err(|_| wrong("its salt is not base64"))?;
        if salt.is_empty() || salt.len() > LONGEST_SALT {
            return Err(wrong("its salt has a length that cannot be"));
        }
        let iterations: u32 = iterations.parse().map_err(|_| wrong("its iteration count is no number"))?;
        match NonZeroU32::new(iterations) {
            Some(count) if iterations <= MOST_ITERATIONS => Ok((nonce, salt, count)),
            _ => Err(wrong("its iteration count is out of bounds")),
        }
    }
}

impl Proven {
    /// Checks `server-final-message`: only who knows the password can sign it.
    pub(super) fn verify(&self, server_final: &[u8]) -> Result<(), ScramError> {
        if server_final.starts_with(b"e=") {
            return Err(ScramError::Refused);
        }
        let signature =
            server_final.strip_prefix(b"v=").ok_or(ScramError::Message("its last message is none"))?;
        let signature = signature.split(|b| *b == b',').next().unwrap_or_default();
        let signature = BASE64.decode(signature).map_err(|_| ScramError::Signature)?;
        constant_time::verify_slices_are_equal(&signature, self.server_signature.as_ref())
            .map_err(|_| ScramError::Signature)
    }
}

/// Iterations of the passwords that are made here. They are random numbers, so no more would be of use.
const ITERATIONS: NonZeroU32 = NonZeroU32::MIN.saturating_add(4095);

/// What a server stores of a password: from it nobody gets the password back.
/// Form: <https://www.postgresql.org/docs/current/catalog-pg-authid.html>
pub(crate) fn verifier(password: &Redacted<String>, salt: &[u8]) -> Redacted<String> {
    let salted = salted_password(password, salt, ITERATIONS, &LoginCache::default());
    let key = hmac::Key::new(hmac::HMAC_SHA256, salted.expose());
    let stored = digest::digest(&digest::SHA256, hmac::sign(&key, b"Client Key").as_ref());
    let server = hmac::sign(&key, b"Server Key");
    let [salt, stored, server] = [salt, stored.as_ref(), server.as_ref()].map(|part| BASE64.encode(part));
    Redacted::new(format!("SCRAM-SHA-256${ITERATIONS}:{salt}${stored}:{server}"))
}

fn salted_password(
    password: &Redacted<String>,
    salt: &[u8],
    iterations: NonZeroU32,
    cache: &LoginCache,
) -> Redacted<Vec<u8>> {
    let name = cache_name(password, salt, iterations);
    if let Some(known) = cache.find(&name) {
        return known;
    }
    // A password that SASLprep refuses is used as it is: so does PostgreSQL when it stores the verifier.
    let prepared =
        stringprep::saslprep(password.expose()).map_or_else(|_| password.expose().clone(), Into::into);
    let prepared = Redacted::new(prepared);
    let mut salted = vec![0; digest::SHA256_OUTPUT_LEN];
    pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, prepared.expose().as_bytes(), &mut salted);
    let salted = Redacted::new(salted);
    cache.keep(name, salted.clone());
    salted
}

/// The cache must not hold the password itself: a digest of all that the result depends on.
fn cache_name(password: &Redacted<String>, salt: &[u8], iterations: NonZeroU32) -> Vec<u8> {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(b"hoop scram-sha-256 v1");
    context.update(&iterations.get().to_be_bytes());
    context.update(&(salt.len() as u64).to_be_bytes());
    context.update(salt);
    context.update(password.expose().as_bytes());
    context.finish().as_ref().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    // The example of RFC 7677, section 3, has a user name in it; PostgreSQL's has none. So the name is put back here.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const SERVER_NONCE: &str = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

    fn password() -> Redacted<String> {
        Redacted::new("pencil".to_owned())
    }

    fn prove(server_first: &str) -> Result<(Proven, String), ScramError> {
        First::with_nonce(Binding::None, NONCE.to_owned()).prove(
            server_first.as_bytes(),
            &password(),
            &LoginCache::default(),
        )
    }

    fn server_first() -> String {
        format!("r={SERVER_NONCE},s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096")
    }

    #[test]
    fn salted_password_of_rfc_7677() {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let salted =
            salted_password(&password(), &salt, NonZeroU32::new(4096).unwrap(), &LoginCache::default());
        let key = hmac::Key::new(hmac::HMAC_SHA256, salted.expose());
        let message = format!("n=user,r={NONCE},{},c=biws,r={SERVER_NONCE}", server_first());
        let server_key = hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&key, b"Server Key").as_ref());
        let signature = BASE64.encode(hmac::sign(&server_key, message.as_bytes()));
        assert_eq!(signature, "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    }

    #[test]
    fn a_verifier_is_what_postgresql_makes() {
        // The keys of the example of RFC 7677, in the form of pg_authid.
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let made = verifier(&password(), &salt);
        let expected = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
        assert_eq!(made.expose(), expected);
    }

    #[test]
    fn the_second_stream_pays_nothing() {
        let cache = LoginCache::default();
        let salt = [7; 16];
        let iterations = NonZeroU32::new(10).unwrap();
        let name = cache_name(&password(), &salt, iterations);
        assert!(cache.find(&name).is_none());
        let salted = salted_password(&password(), &salt, iterations, &cache);
        assert_eq!(cache.find(&name).unwrap().expose(), salted.expose());
        assert!(!name.windows(6).any(|w| w == b"pencil"));
    }

    #[test]
    fn servers_that_lie() {
        let salt = "s=W22ZaJ0SNY7soEsUEjb6gQ==";
        let cases = [
            String::new(),
            "m=ext,r=x,s=eA==,i=1".to_owned(),
            format!("r={NONCE},{salt},i=4096"),
            format!("r=other{SERVER_NONCE},{salt},i=4096"),
            format!("r={SERVER_NONCE},s=,i=4096"),
            format!("r={SERVER_NONCE},s=!!,i=4096"),
            format!("r={SERVER_NONCE},s={},i=1", BASE64.encode([0; 1025])),
            format!("r={SERVER_NONCE},{salt},i=0"),
            format!("r={SERVER_NONCE},{salt},i=-1"),
            format!("r={SERVER_NONCE},{salt},i=100001"),
            format!("r={SERVER_NONCE},{salt},i=4294967296"),
            format!("r={SERVER_NONCE},{salt}"),
        ];
        for case in cases {
            assert!(matches!(prove(&case), Err(ScramError::Message(_))), "{case}");
        }
    }

    #[test]
    fn a_server_must_sign() {
        let (proven, last) = prove(&server_first()).unwrap();
        assert!(last.starts_with("c=biws,r="), "{last}");
        assert_eq!(proven.verify(b"v=AAAA"), Err(ScramError::Signature));
        assert_eq!(proven.verify(b"v="), Err(ScramError::Signature));
        assert_eq!(proven.verify(b"e=invalid-proof"), Err(ScramError::Refused));
        assert!(proven.verify(b"").is_err());
        let right = format!("v={}", BASE64.encode(proven.server_signature.as_ref()));
        assert_eq!(proven.verify(right.as_bytes()), Ok(()));
    }

    #[test]
    fn binding_is_said_in_both_messages() {
        let first = First::with_nonce(Binding::EndPoint(vec![1, 2, 3]), "abc".to_owned());
        assert_eq!(first.message(), "p=tls-server-end-point,,n=,r=abc");
        let (_, last) = first.prove(b"r=abcdef,s=eHg=,i=1", &password(), &LoginCache::default()).unwrap();
        let bound = BASE64.encode(b"p=tls-server-end-point,,\x01\x02\x03");
        assert!(last.starts_with(&format!("c={bound},r=abcdef,p=")), "{last}");
        assert_eq!(First::with_nonce(Binding::NotOffered, "abc".to_owned()).message(), "y,,n=,r=abc");
    }
}
