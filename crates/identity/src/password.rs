//! Passwords of built-in accounts: Argon2id (RFC 9106) with the parameters OWASP asks for.
//!
//! Hashing takes tens of milliseconds and 19 MiB: call it on a blocking thread, and bound how many run at once.

use std::sync::OnceLock;

use argon2::{
    Algorithm, Argon2, Params, Version,
    password_hash::{PasswordHasher, PasswordVerifier},
};
use hoop_model::{Blame, Fault, Redacted};

/// Shortest password, in characters.
pub const MIN_CHARACTERS: usize = 12;
/// Longest password, in bytes.
pub const MAX_BYTES: usize = 1024;

const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// A password cannot be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The person's choice is too short.
    #[error("a password has at least {MIN_CHARACTERS} characters")]
    TooShort,
    /// The person's choice is too long.
    #[error("a password has at most {MAX_BYTES} bytes")]
    TooLong,
    /// Our own fault.
    #[error("the password could not be hashed")]
    Hashing,
}

impl From<PasswordError> for Fault {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::TooShort => {
                Self::new("HOOP-3010", Blame::Caller, error.to_string()).with_hint("take several words")
            }
            PasswordError::TooLong => Self::new("HOOP-3011", Blame::Caller, error.to_string()),
            PasswordError::Hashing => Self::new("HOOP-9010", Blame::System, error.to_string()),
        }
    }
}

/// A PHC string of a password, to store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordHash(Redacted<String>);

impl PasswordHash {
    /// Hashes a new password.
    ///
    /// # Errors
    /// [`PasswordError`] when it is too short or too long.
    pub fn of(password: &Redacted<String>) -> Result<Self, PasswordError> {
        let text = password.expose();
        if text.chars().count() < MIN_CHARACTERS {
            return Err(PasswordError::TooShort);
        }
        if text.len() > MAX_BYTES {
            return Err(PasswordError::TooLong);
        }
        hash(text.as_bytes()).map(Self)
    }

    /// From the store.
    #[must_use]
    pub const fn from_stored(phc: Redacted<String>) -> Self {
        Self(phc)
    }

    /// For the store.
    #[must_use]
    pub const fn stored(&self) -> &Redacted<String> {
        &self.0
    }

    /// It was made with other parameters than today's: hash again at the next sign-in.
    #[must_use]
    pub fn is_outdated(&self) -> bool {
        !self.0.expose().starts_with(&format!("$argon2id$v=19$m={MEMORY_KIB},t={PASSES},p={LANES}$"))
    }
}

/// Is this the password? Takes as long for a person who has none (or is not there) as for one who has.
#[must_use]
pub fn verify(password: &Redacted<String>, stored: Option<&PasswordHash>) -> bool {
    let text = password.expose();
    if text.len() > MAX_BYTES {
        return false;
    }
    let against = if stored.is_some() { stored } else { nobodys() };
    let Some(against) = against else { return false };
    let matches = argon2()
        .is_ok_and(|argon2| argon2.verify_password(text.as_bytes(), against.0.expose().as_str()).is_ok());
    matches && stored.is_some()
}

fn argon2() -> Result<Argon2<'static>, PasswordError> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|_| PasswordError::Hashing)?;
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params))
}

fn hash(password: &[u8]) -> Result<Redacted<String>, PasswordError> {
    let hash = argon2()?.hash_password(password).map_err(|_| PasswordError::Hashing)?;
    Ok(Redacted::new(hash.to_string()))
}

/// What an unknown person's password is compared with.
fn nobodys() -> Option<&'static PasswordHash> {
    static NOBODYS: OnceLock<Option<PasswordHash>> = OnceLock::new();
    NOBODYS.get_or_init(|| hash(b"nobody has this password").ok().map(PasswordHash)).as_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Redacted<String> {
        Redacted::new(text.to_owned())
    }

    #[test]
    fn the_right_password_alone_is_accepted() {
        let hash = PasswordHash::of(&secret("correct horse")).unwrap();
        assert!(verify(&secret("correct horse"), Some(&hash)));
        for wrong in ["", "correct horsE", "correct horse ", "correct hors", "correct horse\0"] {
            assert!(!verify(&secret(wrong), Some(&hash)), "{wrong:?}");
        }
    }

    #[test]
    fn nobody_signs_in_as_nobody() {
        assert!(!verify(&secret("nobody has this password"), None));
        assert!(!verify(&secret(""), None));
    }

    #[test]
    fn a_hash_that_is_no_hash_matches_nothing() {
        for stored in ["", "x", "$argon2id$", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$"] {
            let stored = PasswordHash::from_stored(secret(stored));
            assert!(!verify(&secret("correct horse"), Some(&stored)));
            assert!(!verify(&secret(""), Some(&stored)));
        }
    }

    #[test]
    fn lengths_are_bounded() {
        assert_eq!(PasswordHash::of(&secret("elevenchars")), Err(PasswordError::TooShort));
        assert_eq!(PasswordHash::of(&secret(&"é".repeat(11))), Err(PasswordError::TooShort));
        assert_eq!(PasswordHash::of(&secret(&"x".repeat(1025))), Err(PasswordError::TooLong));
        let longest = secret(&"x".repeat(1024));
        assert!(verify(&longest, Some(&PasswordHash::of(&longest).unwrap())));
        assert!(!verify(&secret(&"x".repeat(1025)), None));
    }

    #[test]
    fn the_same_password_hashes_differently_and_with_todays_parameters() {
        let (one, two) =
            (PasswordHash::of(&secret("correct horse")), PasswordHash::of(&secret("correct horse")));
        let (one, two) = (one.unwrap(), two.unwrap());
        assert_ne!(one, two);
        assert!(!one.is_outdated());
        let old = one.stored().expose().replace("t=2", "t=1");
        assert!(PasswordHash::from_stored(secret(&old)).is_outdated());
        assert!(!format!("{one:?}").contains("argon2"));
    }
}
