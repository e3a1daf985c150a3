//! The ways to sign in. Each ends in a pair of tokens; none keeps anything on disk.

mod browser;
mod device;
mod pinning;

use hoop_api::auth::Tokens;
use hoop_model::{Redacted, UserName};
use reqwest::Method;
use serde_json::json;

pub use browser::BrowserLogin;
pub(crate) use device::PENDING;
pub use device::{DeviceLogin, DevicePrompt};
pub use pinning::{fetch_pinned_ca, pin_from_file};

use crate::{
    address::GatewayUrl,
    error::Result,
    http::{Api, stored_tokens},
    profile::{Profile, ProfileStore},
};

/// What a built-in account signs in with.
#[derive(Debug)]
pub struct PasswordAndCode {
    /// Login name.
    pub name: UserName,
    /// Password.
    pub password: Redacted<String>,
    /// The six digits.
    pub code: Redacted<String>,
}

/// Signs in with password and second factor.
///
/// # Errors
/// What the gateway says.
pub async fn with_password(api: &Api, secret: &PasswordAndCode) -> Result<Tokens> {
    let body = json!({
        "name": secret.name,
        "password": secret.password.expose(),
        "code": secret.code.expose(),
        "answer": "tokens",
    });
    api.send(Method::POST, "/login/password", &body).await
}

/// Signs in with sealed codes of several holders, for an emergency.
///
/// # Errors
/// What the gateway says.
pub async fn with_sealed_codes(api: &Api, name: &UserName, codes: &[Redacted<String>]) -> Result<Tokens> {
    let codes: Vec<_> = codes.iter().map(Redacted::expose).collect();
    api.send(Method::POST, "/login/sealed-codes", &json!({ "name": name, "codes": codes })).await
}

/// Keeps a sign-in in the profile.
///
/// # Errors
/// When the profile cannot be written.
pub fn keep(
    store: &ProfileStore,
    gateway: &GatewayUrl,
    ca_pem: Option<String>,
    tokens: &Tokens,
) -> Result<()> {
    let _guard = store.lock()?;
    store.save(&Profile {
        gateway: gateway.to_string(),
        ca_pem,
        user: Some(tokens.user.name.to_string()),
        tokens: Some(stored_tokens(tokens)),
    })
}

/// Forgets the tokens, keeps gateway and CA.
///
/// # Errors
/// When the profile cannot be written.
pub fn forget(store: &ProfileStore) -> Result<()> {
    let _guard = store.lock()?;
    match store.load()? {
        Some(profile) => store.save(&Profile { tokens: None, ..profile }),
        None => Ok(()),
    }
}
