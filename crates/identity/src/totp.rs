//! Time-based one-time passwords (RFC 6238): SHA-1, six digits, thirty seconds, what every authenticator app speaks.
//!
//! A code is accepted for its step and one to either side, for clocks that are off. The step that matched is answered: the
//! store must accept each once, or a code seen over a shoulder is good for a minute and a half.

use aws_lc_rs::hmac;
use data_encoding::{BASE32, BASE32_NOPAD};
use hoop_model::{Redacted, Timestamp, UserName};
use subtle::ConstantTimeEq;

use crate::{NoRandomness, random};

const STEP_SECONDS: u64 = 30;
const ISSUER: &str = "hoop";

/// The secret shared with an authenticator: 20 bytes, as RFC 4226 §4 recommends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TotpSecret(Redacted<Vec<u8>>);

impl TotpSecret {
    /// A new one.
    ///
    /// # Errors
    /// [`NoRandomness`].
    pub fn generate() -> Result<Self, NoRandomness> {
        Ok(Self(Redacted::new(random::<20>()?.to_vec())))
    }

    /// From what was sealed.
    #[must_use]
    pub const fn from_bytes(bytes: Redacted<Vec<u8>>) -> Self {
        Self(bytes)
    }

    /// To be sealed.
    #[must_use]
    pub const fn bytes(&self) -> &Redacted<Vec<u8>> {
        &self.0
    }

    /// For typing into an authenticator by hand.
    #[must_use]
    pub fn base32(&self) -> Redacted<String> {
        Redacted::new(BASE32_NOPAD.encode(self.0.expose()))
    }

    /// From base32, with or without padding, in any case.
    #[must_use]
    pub fn from_base32(text: &str) -> Option<Self> {
        let text = text.trim().replace(' ', "").to_ascii_uppercase();
        let bytes = BASE32_NOPAD.decode(text.as_bytes()).or_else(|_| BASE32.decode(text.as_bytes())).ok()?;
        (!bytes.is_empty()).then(|| Self(Redacted::new(bytes)))
    }

    /// The `otpauth:` URL for a QR code.
    #[must_use]
    pub fn otpauth_url(&self, name: &UserName) -> Redacted<String> {
        // A user's name has two characters that a URL's path must escape.
        let name = name.as_str().replace('+', "%2B").replace('@', "%40");
        let secret = self.base32();
        Redacted::new(format!(
            "otpauth://totp/{ISSUER}:{name}?secret={}&issuer={ISSUER}&algorithm=SHA1&digits=6&period={STEP_SECONDS}",
            secret.expose()
        ))
    }

    /// The code of a step.
    #[must_use]
    pub fn code(&self, step: u64) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, self.0.expose());
        let tag = hmac::sign(&key, &step.to_be_bytes());
        format!("{:06}", truncate(tag.as_ref()) % 1_000_000)
    }

    /// The step that a code is right for, near `now`: to be accepted once by the store.
    #[must_use]
    pub fn verify(&self, code: &Redacted<String>, now: Timestamp) -> Option<u64> {
        let code = code.expose().trim();
        let current = step_at(now)?;
        // All three are always computed, so that time does not tell which one matched.
        let steps = [current.saturating_sub(1), current, current.saturating_add(1)];
        steps.into_iter().fold(None, |found, step| {
            let right = bool::from(self.code(step).as_bytes().ct_eq(code.as_bytes()));
            if right { Some(step) } else { found }
        })
    }
}

/// The step of a time; none before 1970.
#[must_use]
pub fn step_at(now: Timestamp) -> Option<u64> {
    u64::try_from(now.as_seconds()).ok().map(|seconds| seconds / STEP_SECONDS)
}

/// Dynamic truncation (RFC 4226 §5.3).
fn truncate(tag: &[u8]) -> u32 {
    let offset = usize::from(tag.last().copied().unwrap_or(0) & 0x0f);
    let four = tag.iter().skip(offset).take(4);
    four.fold(0, |number: u32, byte| (number << 8) | u32::from(*byte)) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> TotpSecret {
        TotpSecret::from_bytes(Redacted::new(b"12345678901234567890".to_vec()))
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn code(text: &str) -> Redacted<String> {
        Redacted::new(text.to_owned())
    }

    #[test]
    fn the_vectors_of_rfc_6238() {
        // Appendix B gives eight digits; six are the last six of them.
        let table = [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ];
        for (seconds, expected) in table {
            let step = step_at(at(seconds)).unwrap();
            assert_eq!(secret().code(step), expected);
            assert_eq!(secret().verify(&code(expected), at(seconds)), Some(step));
        }
    }

    #[test]
    fn the_vectors_of_rfc_4226() {
        let codes = [
            "755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871",
            "520489",
        ];
        for (step, expected) in (0..).zip(codes) {
            assert_eq!(secret().code(step), expected);
        }
    }

    #[test]
    fn one_step_to_either_side_is_accepted_and_no_more() {
        let right = secret().code(1000);
        for (step, accepted) in [(998, false), (999, true), (1000, true), (1001, true), (1002, false)] {
            let now = at(step * 30 + 7);
            assert_eq!(secret().verify(&code(&right), now), accepted.then_some(1000), "{step}");
        }
    }

    #[test]
    fn what_is_not_the_code_is_refused() {
        let (now, right) = (at(30_000), secret().code(1000));
        let longer = format!("{right}0");
        for wrong in ["", "0", "000000", &right[..5], &longer, "abcdef", "２８７０８２", "-00001"] {
            assert_eq!(secret().verify(&code(wrong), now), None, "{wrong:?}");
        }
        assert_eq!(TotpSecret::generate().unwrap().verify(&code(&right), at(-5)), None);
    }

    #[test]
    fn the_url_is_what_authenticators_read() {
        let name = UserName::new("Ada+x@example.org").unwrap();
        let url = secret().otpauth_url(&name);
        assert_eq!(
            url.expose(),
            "otpauth://totp/hoop:Ada%2Bx%40example.org?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=hoop\
             &algorithm=SHA1&digits=6&period=30"
        );
        assert_eq!(TotpSecret::from_base32(" gezd gnbvgy3tqojqgezdgnbvgy3tqojq"), Some(secret()));
        for wrong in ["", "1", "GEZ!"] {
            assert_eq!(TotpSecret::from_base32(wrong), None);
        }
    }

    #[test]
    fn secrets_differ_and_do_not_show() {
        let secret = TotpSecret::generate().unwrap();
        assert_ne!(secret, TotpSecret::generate().unwrap());
        assert_eq!(secret.bytes().expose().len(), 20);
        assert_eq!(format!("{secret:?}"), "TotpSecret([redacted])");
    }
}
