//! Passkeys (WebAuthn): each ceremony is begun, done by the browser with an authenticator, and finished.

use hoop_model::{PasskeyId, Redacted, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// `POST …/begin`: for the browser's `navigator.credentials`. Good once, for five minutes, for whoever began it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PasskeyCeremony {
    /// Goes back with the browser's answer.
    pub ceremony: String,
    /// `PublicKeyCredentialCreationOptionsJSON` or `PublicKeyCredentialRequestOptionsJSON` (WebAuthn §5.1.8 and §5.1.9).
    #[schema(value_type = Object)]
    pub options: Value,
}

/// `POST /login/passkey` (anonymous; answers with a cookie), `POST /auth/step-up/passkey` (a signed-in browser).
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeyProof {
    /// From [`PasskeyCeremony`].
    #[schema(value_type = String)]
    pub ceremony: Redacted<String>,
    /// What the authenticator made (`PublicKeyCredential.toJSON()`).
    #[schema(value_type = Object)]
    pub credential: Value,
}

/// `POST /me/passkeys`: registers one.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPasskey {
    /// From [`PasskeyCeremony`].
    #[schema(value_type = String)]
    pub ceremony: Redacted<String>,
    /// What its owner calls it: one line of at most 100 characters.
    pub name: String,
    /// What the authenticator made (`PublicKeyCredential.toJSON()`).
    #[schema(value_type = Object)]
    pub credential: Value,
}

/// `PATCH /me/passkeys/{id}`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasskeyChange {
    /// What its owner calls it from now on.
    pub name: String,
}

/// `GET /me/passkeys`: one's own, the oldest first. `DELETE /me/passkeys/{id}` removes one.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PasskeyView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: PasskeyId,
    /// What its owner calls it.
    pub name: String,
    /// When it was registered.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// When it last proved something.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub used_at: Option<Timestamp>,
}
