//! Recovery codes: for who lost the second factor. Written down once, each good once, kept as hashes alone.

use hoop_model::Redacted;

use crate::{
    NoRandomness,
    token::{ALPHABET, NotAToken, letters, sha256},
};

/// How many are made at a time.
pub const HOW_MANY: usize = 10;
/// 69 bits: nobody who has the hash finds them, and nobody who may try some times a minute.
const LENGTH: usize = 16;

/// A recovery code: `XXXX-XXXX-XXXX-XXXX`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecoveryCode(Redacted<String>);

impl RecoveryCode {
    /// A new one.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn generate() -> Result<Self, NoRandomness> {
        Ok(Self(Redacted::new(letters(LENGTH)?)))
    }

    /// As many as a person gets.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn generate_all() -> Result<Vec<Self>, NoRandomness> {
        (0..HOW_MANY).map(|_| Self::generate()).collect()
    }

    /// Reads what a person typed: any case, with or without dashes and spaces.
    ///
    /// # Errors
    /// [`NotAToken`], for a TOTP code too.
    pub fn parse(text: &str) -> Result<Self, NotAToken> {
        if text.len() > 64 {
            return Err(NotAToken);
        }
        let letters: String =
            text.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_ascii_uppercase()).collect();
        let right = letters.len() == LENGTH && letters.bytes().all(|letter| ALPHABET.contains(&letter));
        if right { Ok(Self(Redacted::new(letters))) } else { Err(NotAToken) }
    }

    /// For writing down.
    #[must_use]
    pub fn shown(&self) -> String {
        let letters: Vec<char> = self.0.expose().chars().collect();
        let groups: Vec<String> = letters.chunks(4).map(|four| four.iter().collect()).collect();
        groups.join("-")
    }

    /// What is stored.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        sha256(self.0.expose().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_people_type_it() {
        let codes = RecoveryCode::generate_all().unwrap();
        assert_eq!(codes.len(), HOW_MANY);
        for code in &codes {
            let shown = code.shown();
            assert_eq!(shown.len(), 19, "{shown}");
            for typed in [shown.clone(), shown.to_lowercase(), shown.replace('-', ""), format!(" {shown} ")] {
                assert_eq!(RecoveryCode::parse(&typed).unwrap().hash(), code.hash());
            }
            assert!(!format!("{code:?}").contains(code.0.expose()));
        }
        let hashes: std::collections::HashSet<_> = codes.iter().map(RecoveryCode::hash).collect();
        assert_eq!(hashes.len(), HOW_MANY);
    }

    #[test]
    fn nothing_else_is_one() {
        for wrong in [
            "",
            "123456",
            "BCDF-GHJK",
            "BCDF-GHJK-LMNP-QRS",
            "BCDF-GHJK-LMNP-QRSTV",
            "BCDF-GHJK-LMNP-QRSA",
            "BCDF_GHJK_LMNP_QRST",
            &"B".repeat(100),
        ] {
            assert_eq!(RecoveryCode::parse(wrong), Err(NotAToken), "{wrong:?}");
        }
    }
}
