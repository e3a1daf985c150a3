//! Opaque tokens: 256 random bits behind a prefix that tells the kind. Only their SHA-256 is ever stored.

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hoop_model::Redacted;
use subtle::ConstantTimeEq;

use crate::{NoRandomness, random};

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Bearer token for the API.
    Access,
    /// For the next pair of tokens.
    Refresh,
    /// A browser's cookie.
    Cookie,
    /// A one-use code for the CLI's redirect.
    Code,
    /// A CLI's secret for polling a device sign-in.
    Device,
    /// A new account's one-use set-up token.
    SetUp,
    /// A service account's API token.
    Api,
    /// A browser's secret for finishing a ceremony with a passkey.
    Ceremony,
}

impl Kind {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Access => "hoop_at_",
            Self::Refresh => "hoop_rt_",
            Self::Cookie => "hoop_ck_",
            Self::Code => "hoop_co_",
            Self::Device => "hoop_dc_",
            Self::SetUp => "hoop_su_",
            Self::Api => "hoop_sa_",
            Self::Ceremony => "hoop_ce_",
        }
    }

    /// Ends in a checksum: these lie in files and settings for months, so scanners must be able to tell one from a text
    /// that looks alike, and a mistyped one costs no look-up.
    const fn has_checksum(self) -> bool {
        matches!(self, Self::Api)
    }
}

/// Random bytes of every kind.
const SECRET: usize = 32;
/// Bytes of SHA-256 over prefix and secret, where a kind has a checksum.
const CHECKSUM: usize = 4;

fn checksum(kind: Kind, secret: &[u8]) -> [u8; CHECKSUM] {
    let [a, b, c, d, ..] = sha256(&[kind.prefix().as_bytes(), secret].concat());
    [a, b, c, d]
}

/// A text is not a token of the wanted kind. It says no more: what was sent may be a secret of another kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token of this kind")]
pub struct NotAToken;

/// A token in the clear: to be handed over, never kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token(Redacted<String>);

impl Token {
    /// A new one.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn generate(kind: Kind) -> Result<Self, NoRandomness> {
        let mut bytes = random::<SECRET>()?.to_vec();
        if kind.has_checksum() {
            bytes.extend(checksum(kind, &bytes));
        }
        let body = Redacted::new(URL_SAFE_NO_PAD.encode(bytes));
        Ok(Self(Redacted::new(format!("{}{}", kind.prefix(), body.expose()))))
    }

    /// Reads a token that a client sent.
    ///
    /// # Errors
    /// [`NotAToken`] also for a token of another kind.
    pub fn parse(kind: Kind, text: &str) -> Result<Self, NotAToken> {
        let body = text.strip_prefix(kind.prefix()).ok_or(NotAToken)?;
        let bytes = URL_SAFE_NO_PAD.decode(body).map_err(|_| NotAToken)?;
        let (secret, sum) = bytes.split_at_checked(SECRET).ok_or(NotAToken)?;
        let right = if kind.has_checksum() { sum == checksum(kind, secret) } else { sum.is_empty() };
        if right { Ok(Self(Redacted::new(text.to_owned()))) } else { Err(NotAToken) }
    }

    /// The token, for the one who asked for it.
    #[must_use]
    pub const fn secret(&self) -> &Redacted<String> {
        &self.0
    }

    /// What is stored.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.0.expose().as_bytes())
    }
}

/// SHA-256, as the store wants the hash of any secret that is looked up by it.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.iter_mut().zip(digest(&SHA256, bytes).as_ref()).for_each(|(to, from)| *to = *from);
    out
}

/// Consonants that cannot be taken for one another, nor spell anything (RFC 8628 §6.1).
pub(crate) const ALPHABET: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";

/// So many letters of [`ALPHABET`], each as likely as any other.
pub(crate) fn letters(count: usize) -> Result<String, NoRandomness> {
    let mut letters = String::with_capacity(count);
    while letters.len() < count {
        // 240 is the largest multiple of 20 in a byte: above it, some letters would be likelier.
        let fair = random::<16>()?.into_iter().filter(|byte| *byte < 240);
        let picked = fair.filter_map(|byte| ALPHABET.get(usize::from(byte % 20)).copied()).map(char::from);
        letters.extend(picked.take(count - letters.len()));
    }
    Ok(letters)
}

/// What a person types to approve a device: `XXXX-XXXX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserCode(Redacted<String>);

impl UserCode {
    /// A new one: 34 bits, so the caller must bound attempts and time.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn generate() -> Result<Self, NoRandomness> {
        Ok(Self(Redacted::new(letters(8)?)))
    }

    /// Reads what a person typed: any case, with or without dash and spaces.
    ///
    /// # Errors
    /// [`NotAToken`].
    pub fn parse(text: &str) -> Result<Self, NotAToken> {
        if text.len() > 64 {
            return Err(NotAToken);
        }
        let letters: String =
            text.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_ascii_uppercase()).collect();
        let right = letters.len() == 8 && letters.bytes().all(|letter| ALPHABET.contains(&letter));
        if right { Ok(Self(Redacted::new(letters))) } else { Err(NotAToken) }
    }

    /// For showing: `XXXX-XXXX`.
    #[must_use]
    pub fn shown(&self) -> String {
        let (first, second) = self.0.expose().split_at(4);
        format!("{first}-{second}")
    }

    /// What is stored.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.0.expose().as_bytes())
    }
}

/// A PKCE challenge (RFC 7636, S256): the hash of a verifier that only its maker knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PkceChallenge([u8; 32]);

impl PkceChallenge {
    /// Reads the base64url form.
    ///
    /// # Errors
    /// [`NotAToken`] when it is not the hash of anything.
    pub fn parse(text: &str) -> Result<Self, NotAToken> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| NotAToken)?;
        <[u8; 32]>::try_from(bytes).map(Self).map_err(|_| NotAToken)
    }

    /// Is this the verifier? Only one of 43 to 128 unreserved characters is (RFC 7636 §4.1).
    #[must_use]
    pub fn matches(&self, verifier: &Redacted<String>) -> bool {
        let text = verifier.expose().as_bytes();
        let form = (43..=128).contains(&text.len())
            && text.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'.' | b'_' | b'~'));
        form && bool::from(sha256(text).ct_eq(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KINDS: [Kind; 7] =
        [Kind::Access, Kind::Refresh, Kind::Cookie, Kind::Code, Kind::Device, Kind::SetUp, Kind::Api];

    #[test]
    fn a_token_is_read_as_its_own_kind_alone() {
        for kind in KINDS {
            let token = Token::generate(kind).unwrap();
            for other in KINDS {
                let read = Token::parse(other, token.secret().expose());
                assert_eq!(read.is_ok(), kind == other, "{kind:?} as {other:?}");
            }
        }
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let good = Token::generate(Kind::Access).unwrap().secret().expose().clone();
        let (short, long) = (good[..good.len() - 2].to_owned(), format!("{good}AA"));
        let padded = format!("{good}=");
        for text in [
            "",
            "hoop_at_",
            "hoop_at_x",
            &short,
            &long,
            &padded,
            &good.to_uppercase(),
            " hoop_at_",
            "Bearer x",
        ] {
            assert_eq!(Token::parse(Kind::Access, text), Err(NotAToken), "{text:?}");
        }
    }

    #[test]
    fn one_wrong_letter_of_an_api_token_is_noticed_without_asking_anybody() {
        let token = Token::generate(Kind::Api).unwrap();
        let good = token.secret().expose();
        assert_eq!(good.len(), "hoop_sa_".len() + 48);
        assert_eq!(Token::parse(Kind::Api, good).unwrap(), token);
        for at in "hoop_sa_".len()..good.len() {
            let other = if good.as_bytes()[at] == b'A' { "B" } else { "A" };
            let wrong = format!("{}{other}{}", &good[..at], &good[at + 1..]);
            assert_eq!(Token::parse(Kind::Api, &wrong), Err(NotAToken), "{at}");
        }
        // Neither is the secret alone one, nor another kind's with the prefix exchanged.
        assert!(Token::parse(Kind::Api, &good[..good.len() - 6]).is_err());
        let access = Token::generate(Kind::Access).unwrap();
        assert!(Token::parse(Kind::Api, &access.secret().expose().replace("_at_", "_sa_")).is_err());
    }

    #[test]
    fn tokens_differ_hide_and_hash_alike() {
        let token = Token::generate(Kind::Refresh).unwrap();
        assert_ne!(token, Token::generate(Kind::Refresh).unwrap());
        assert_eq!(format!("{token:?}"), "Token([redacted])");
        let read = Token::parse(Kind::Refresh, token.secret().expose()).unwrap();
        assert_eq!(read.hash(), token.hash());
        assert_eq!(sha256(b"abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }

    #[test]
    fn a_user_code_is_read_as_people_type_it() {
        let code = UserCode::generate().unwrap();
        let shown = code.shown();
        assert_eq!((shown.len(), shown.as_bytes()[4]), (9, b'-'));
        for typed in [shown.clone(), shown.to_lowercase(), shown.replace('-', ""), shown.replace('-', " ")] {
            assert_eq!(UserCode::parse(&typed).unwrap().hash(), code.hash());
        }
        for wrong in ["", "BCDF-GHJ", "BCDF-GHJKL", "ACDF-GHJK", "BCDF-GHJ1", "BCDF_GHJK", &"B".repeat(100)] {
            assert_eq!(UserCode::parse(wrong), Err(NotAToken), "{wrong:?}");
        }
    }

    #[test]
    fn the_pkce_example_of_rfc_7636() {
        // Appendix B.
        let challenge = PkceChallenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM").unwrap();
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        assert!(challenge.matches(&Redacted::new(verifier.to_owned())));
        for wrong in ["", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl", &verifier[..42], &"x".repeat(129)] {
            assert!(!challenge.matches(&Redacted::new(wrong.to_owned())), "{wrong:?}");
        }
        let plain = PkceChallenge(sha256(b"short"));
        assert!(!plain.matches(&Redacted::new("short".to_owned())));
        for wrong in ["", "plain", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM=", &"A".repeat(44)] {
            assert!(PkceChallenge::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".*") {
            let _ = (Token::parse(Kind::Access, &text), UserCode::parse(&text), PkceChallenge::parse(&text));
        }
    }
}
