//! Sign-in: passwords, OIDC, the CLI's browser and device flows, tokens.

use hoop_model::{AuthMethod, FactorKind, LoginId, Redacted, Role, Timestamp, UserId, UserName};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /login/password` (anonymous). A browser gets a cookie, a CLI gets tokens.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PasswordLogin {
    /// Login name.
    #[schema(value_type = String)]
    pub name: UserName,
    /// Password.
    #[schema(value_type = String)]
    pub password: Redacted<String>,
    /// The six digits of the second factor (RFC 6238), or a recovery code.
    #[schema(value_type = String)]
    pub code: Redacted<String>,
    /// What to answer with.
    #[serde(default)]
    pub answer: Answer,
}

/// `POST /login/sealed-codes` (anonymous): a way in while the identity provider is away, for an emergency alone.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SealedCodesLogin {
    /// Who signs in.
    #[schema(value_type = String)]
    pub name: UserName,
    /// Codes of different holders of one set, as many as it needs.
    #[schema(value_type = Vec<String>)]
    pub codes: Vec<Redacted<String>>,
}

/// How a successful sign-in is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// A `__Host-hoop` cookie, and a [`WhoAmI`] as the body.
    #[default]
    Cookie,
    /// A [`Tokens`] body.
    Tokens,
}

/// `GET /whoami`, and the body of a sign-in by cookie.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WhoAmI {
    /// Id of the person.
    #[schema(value_type = String)]
    pub id: UserId,
    /// Login name.
    #[schema(value_type = String)]
    pub name: UserName,
    /// Role in force.
    #[schema(value_type = String)]
    pub role: Role,
    /// Groups in force.
    pub groups: Vec<String>,
    /// How they signed in.
    #[schema(value_type = String)]
    pub method: AuthMethod,
    /// This sign-in.
    #[schema(value_type = String)]
    pub login: LoginId,
    /// When a second factor was last proven.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub mfa_at: Option<Timestamp>,
    /// With what: `totp`, `recovery_code`, `passkey`, `idp` or `sealed_codes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub mfa_by: Option<FactorKind>,
    /// The sign-in ends then, whatever happens.
    #[schema(value_type = String)]
    pub expires_at: Timestamp,
    /// For browsers: to be sent as `x-hoop-csrf` with every change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub csrf: Option<String>,
}

/// `POST /token` (anonymous): one of the grants of RFC 6749 and RFC 8628, against the gateway itself.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(tag = "grant_type", rename_all = "snake_case", deny_unknown_fields)]
pub enum TokenRequest {
    /// The code from the loopback redirect, with the PKCE verifier (RFC 7636).
    AuthorizationCode {
        /// One-use code.
        #[schema(value_type = String)]
        code: Redacted<String>,
        /// Verifier whose SHA-256 was the challenge.
        #[schema(value_type = String)]
        code_verifier: Redacted<String>,
    },
    /// A new pair for a refresh token, which is used up; using it twice revokes the sign-in.
    RefreshToken {
        /// The refresh token.
        #[schema(value_type = String)]
        refresh_token: Redacted<String>,
    },
    /// Polls a device sign-in.
    DeviceCode {
        /// From [`DeviceStart`].
        #[schema(value_type = String)]
        device_code: Redacted<String>,
    },
}

/// A pair of tokens. Only the client has them: the gateway keeps hashes.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// Bearer token for the API.
    pub access_token: String,
    /// Seconds that it is good for.
    pub expires_in: u64,
    /// For the next pair; one use.
    pub refresh_token: String,
    /// Who signed in.
    pub user: WhoAmI,
}

/// `POST /cli-login` (signed-in browser): the console page approves a CLI's browser flow.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CliLoginApproval {
    /// PKCE challenge (S256) of the CLI.
    pub code_challenge: String,
    /// Loopback port that the CLI listens on; the redirect goes to `http://127.0.0.1:PORT/callback`.
    pub port: u16,
    /// Opaque to us, given back.
    pub state: String,
}

/// Where the browser goes next.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RedirectTo {
    /// Absolute URL on 127.0.0.1.
    pub location: String,
}

/// `POST /device` (anonymous): starts a sign-in from a machine without a browser (RFC 8628).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeviceStart {
    /// The CLI's secret for polling.
    pub device_code: String,
    /// What the person types into the console page.
    pub user_code: String,
    /// That page.
    pub verification_uri: String,
    /// Seconds until it is void.
    pub expires_in: u64,
    /// Seconds between polls.
    pub interval: u64,
}

/// `POST /device/approve` (signed-in browser).
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeviceApproval {
    /// As shown by the CLI.
    pub user_code: String,
    /// `false` refuses it.
    pub approve: bool,
}

/// `POST /setup` (holder of a one-use set-up token): sets the password, and answers with the TOTP secret to enrol.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetUp {
    /// One-use token, from the link an admin handed over.
    #[schema(value_type = String)]
    pub token: Redacted<String>,
    /// New password, at least 12 characters.
    #[schema(value_type = String)]
    pub password: Redacted<String>,
    /// Absent in the first call; then a code made with the secret, which activates the account.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub code: Option<Redacted<String>>,
}

/// Answer to [`SetUp`].
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SetUpStep {
    /// Login name of the account.
    pub name: String,
    /// `otpauth://` URL for the authenticator, until the account is active.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otpauth_url: Option<String>,
    /// The account can sign in.
    pub active: bool,
    /// Recovery codes, shown this once, with `active`: each stands in for one code of the authenticator.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recovery_codes: Vec<String>,
}

/// `POST /auth/step-up` (built-in accounts): proves the second factor again, for the sign-in that asks.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepUp {
    /// The six digits of the second factor (RFC 6238), or a recovery code.
    #[schema(value_type = String)]
    pub code: Redacted<String>,
}

/// `POST /auth/step-up/browser`: the same in a browser, for a command line that waits (polls `/auth/step-up/poll`).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StepUpStarted {
    /// The CLI's secret for polling.
    pub poll_code: String,
    /// What the console page shows, to be compared.
    pub user_code: String,
    /// That page, for this very code.
    pub verification_uri: String,
    /// Seconds until it is void.
    pub expires_in: u64,
    /// Seconds between polls.
    pub interval: u64,
}

/// `POST /auth/step-up/poll`: 204 once it was approved.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StepUpPoll {
    /// From [`StepUpStarted`].
    #[schema(value_type = String)]
    pub poll_code: Redacted<String>,
}

/// `GET /me/recovery-codes`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RecoveryCodesLeft {
    /// Codes that were not used yet.
    pub left: u64,
    /// The account can have some: those of an identity provider cannot.
    pub available: bool,
}

/// `POST /me/recovery-codes`: new ones, shown this once; the old ones are void.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RecoveryCodes {
    /// Each is good once.
    pub codes: Vec<String>,
}

/// `GET /me/logins`: one's own sign-ins. `DELETE /me/logins/{id}` ends one, `DELETE /me/logins` all, with every live session.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LoginView {
    /// Its id.
    #[schema(value_type = String)]
    pub id: LoginId,
    /// When it began.
    #[schema(value_type = String)]
    pub created_at: Timestamp,
    /// Last use.
    #[schema(value_type = String)]
    pub used_at: Timestamp,
    /// From where.
    pub address: String,
    /// `cli` or `browser`.
    pub client: String,
    /// This very one.
    pub current: bool,
}
