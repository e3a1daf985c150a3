//! The first accounts and join tokens, made on the gateway's own host: whoever can read its keys needs no sign-in.

use std::time::Duration;

use hoop_identity::{password::PasswordHash, token, totp::TotpSecret};
use hoop_ledger::event::EventCode;
use hoop_model::{Actor, AgentName, Fault, GroupName, Redacted, Role, Timestamp, UserId, UserName};
use hoop_store::{NewUser, Store, StoreError};
use serde_json::json;

use crate::{
    StartError,
    agents::enrol,
    config::Config,
    hub::{event, now},
    keys::Keys,
};

/// Why it did not work.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The gateway's folder, keys or store.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The caller's password.
    #[error(transparent)]
    Password(#[from] Fault),
    /// The store refused: the name is taken, most often.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A secret cannot be made or sealed.
    #[error("{0}")]
    Secret(String),
}

/// An account that can sign in at once.
#[derive(Debug)]
pub struct AddedUser {
    /// Its id.
    pub id: UserId,
    /// Login name.
    pub name: UserName,
    /// Its password, if it was made here.
    pub generated_password: Option<Redacted<String>>,
    /// The second factor's secret, base32: shown this once.
    pub totp_secret: Redacted<String>,
    /// The same for an authenticator.
    pub otpauth_url: Redacted<String>,
}

/// A join token.
#[derive(Debug)]
pub struct AddedJoinToken {
    /// The token.
    pub token: Redacted<String>,
    /// Void after.
    pub expires_at: Timestamp,
}

pub(crate) async fn open(config: &Config) -> Result<(Store, Keys), BootstrapError> {
    let folder = |error| StartError::Folder { path: config.data_dir.display().to_string(), error };
    crate::recordings::make_private_dir(&config.data_dir).map_err(folder)?;
    let store = Store::open(config.store_url.expose()).await.map_err(StartError::from)?;
    let keys = Keys::open(config, &store).await.map_err(StartError::from)?;
    Ok((store, keys))
}

fn secret(error: impl ToString) -> BootstrapError {
    BootstrapError::Secret(error.to_string())
}

/// Makes a built-in account that can sign in at once. Works beside a running gateway.
///
/// # Errors
/// [`BootstrapError`].
pub async fn add_user(
    config: &Config,
    name: UserName,
    role: Role,
    groups: Vec<GroupName>,
    password: Option<Redacted<String>>,
) -> Result<AddedUser, BootstrapError> {
    let (store, keys) = open(config).await?;
    let at = now();
    let generated = match password {
        Some(_) => None,
        None => Some(token::Token::generate(token::Kind::Code).map_err(secret)?.secret().clone()),
    };
    // Without the prefix that names a code: people may have to type it.
    let generated =
        generated.map(|text| Redacted::new(text.expose().chars().skip(8).take(24).collect::<String>()));
    let chosen = password.or_else(|| generated.clone()).unwrap_or_default();
    let hash = PasswordHash::of(&chosen).map_err(Fault::from)?;
    let setup = token::Token::generate(token::Kind::SetUp).map_err(secret)?;
    let totp = TotpSecret::generate().map_err(secret)?;
    let id = UserId::generate();
    let new = NewUser {
        id,
        name: name.clone(),
        role,
        groups: groups.clone(),
        setup_token_hash: setup.hash(),
        setup_expires_at: at.after(Duration::from_secs(60)),
        created_at: at,
    };
    let facts = json!({ "name": name, "role": role, "groups": groups, "source": "builtin", "by": "command on the gateway's host" });
    store.create_user(&new, &[event(&Actor::System, EventCode::UserCreated, [id.into()], facts)]).await?;
    let sealed = keys.seal_totp(id, totp.bytes()).map_err(secret)?;
    store.stage_totp(&setup.hash(), &sealed, at).await?;
    let told = event(&Actor::System, EventCode::TotpEnrolled, [id.into()], json!({}));
    // Step 0 was in 1970: the first code of today is good.
    store.finish_setup(&setup.hash(), hash.stored(), 0, at, &[told]).await?;
    store.close().await;
    Ok(AddedUser {
        id,
        generated_password: generated,
        totp_secret: totp.base32(),
        otpauth_url: totp.otpauth_url(&name),
        name,
    })
}

/// Makes a join token for an agent. Works beside a running gateway.
///
/// # Errors
/// [`BootstrapError`].
pub async fn join_token(
    config: &Config,
    agent: &AgentName,
    life: Duration,
) -> Result<AddedJoinToken, BootstrapError> {
    let (store, keys) = open(config).await?;
    let fingerprint = keys.authority.fingerprint();
    let (token, new) = enrol::make_join_token(&fingerprint, agent, now(), life).map_err(secret)?;
    let facts =
        json!({ "agent": agent, "expires_at": new.expires_at, "by": "command on the gateway's host" });
    let told = event(&Actor::System, EventCode::JoinTokenCreated, [new.id.into()], facts);
    store.create_join_token(&new, &[told]).await?;
    store.close().await;
    Ok(AddedJoinToken { token, expires_at: new.expires_at })
}
