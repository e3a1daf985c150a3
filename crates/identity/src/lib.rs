//! Who somebody is: passwords, TOTP, tokens, an OpenID Connect provider's word, and the small secrets that go with them.
//!
//! Nothing here stores anything, reads a clock (`now` is an argument) or opens a socket: HTTP goes through a function that
//! the caller gives. What must happen once (a TOTP step, a state, a code) is only checked here; the store makes it once.

pub mod lockout;
pub mod oidc;
pub mod passkey;
pub mod password;
pub mod recovery;
pub mod redirect;
pub mod secretbox;
pub mod token;
pub mod totp;

/// The random source gave nothing: our own fault, and nothing can go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system's random source failed")]
pub struct NoRandomness;

/// Random bytes.
fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}
