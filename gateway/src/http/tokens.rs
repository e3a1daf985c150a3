//! Small help around tokens: making them, and the CSRF token that goes with a cookie.

use aws_lc_rs::hmac;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hoop_identity::token::{Kind, Token};

use super::problem::Problematic;

/// A new token.
pub(crate) fn fresh(kind: Kind) -> Result<Token, Problematic> {
    Token::generate(kind).map_err(Problematic::internal)
}

/// The CSRF token of a cookie: who can read it can read the page, and another origin cannot.
pub(crate) fn csrf(cookie: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, cookie.as_bytes());
    URL_SAFE_NO_PAD.encode(hmac::sign(&key, b"hoop csrf v1").as_ref())
}

/// Compares in constant time.
pub(crate) fn same(a: &str, b: &str) -> bool {
    aws_lc_rs::constant_time::verify_slices_are_equal(a.as_bytes(), b.as_bytes()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csrf_is_bound_to_its_cookie() {
        assert_ne!(csrf("a"), csrf("b"));
        assert!(same("a", "a") && !same("a", "b") && !same("a", ""));
    }
}
