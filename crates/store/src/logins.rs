//! Sign-ins and their tokens: one login per person and device, tokens as hashes alone.

use hoop_model::{AuthMethod, LoginId, Timestamp, TokenId, UserId};

use crate::{NewEvent, Sha256, Store, StoreError, User};

/// What signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientKind {
    /// A browser, by cookie.
    Browser,
    /// The `hoop` command, by tokens.
    Cli,
}

/// What a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Bearer token for the API.
    Access,
    /// For the next pair; one use.
    Refresh,
    /// A browser's cookie.
    Cookie,
}

/// A sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Its id.
    pub id: LoginId,
    /// Whose.
    pub user: UserId,
    /// How they proved who they are.
    pub method: AuthMethod,
    /// When a second factor was last proven.
    pub mfa_at: Option<Timestamp>,
    /// When it began.
    pub created_at: Timestamp,
    /// Last use.
    pub used_at: Timestamp,
    /// Over then, whatever happens.
    pub expires_at: Timestamp,
    /// Over then unless used before.
    pub idle_until: Timestamp,
    /// From where.
    pub address: String,
    /// With what.
    pub client: ClientKind,
    /// Ended early.
    pub revoked_at: Option<Timestamp>,
}

/// A sign-in to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLogin {
    /// Its id.
    pub id: LoginId,
    /// Whose.
    pub user: UserId,
    /// How they proved who they are.
    pub method: AuthMethod,
    /// When a second factor was proven.
    pub mfa_at: Option<Timestamp>,
    /// Now.
    pub created_at: Timestamp,
    /// Over then, whatever happens.
    pub expires_at: Timestamp,
    /// Over then unless used before.
    pub idle_until: Timestamp,
    /// From where.
    pub address: String,
    /// With what.
    pub client: ClientKind,
}

/// A token to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewToken {
    /// Its id.
    pub id: TokenId,
    /// What for.
    pub kind: TokenKind,
    /// SHA-256 of it.
    pub hash: Sha256,
    /// Void after.
    pub expires_at: Timestamp,
}

/// A good token's login and person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// The sign-in.
    pub login: Login,
    /// The person, as they are now.
    pub user: User,
}

/// What became of a refresh token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rotation {
    /// It was good; the new tokens are in force, the login's old access tokens are void.
    Rotated(Box<SignedIn>),
    /// It had been used before: someone else has it. The login is revoked by this call.
    Reused(Box<SignedIn>),
    /// Unknown, expired, or its login is over.
    Refused,
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Tokens.
    pub tokens: u64,
    /// Pending flows.
    pub flows: u64,
    /// Logins long over.
    pub logins: u64,
}

impl Store {
    /// Keeps a sign-in and its tokens, clears failures, notes the time. With `totp_step`, that step is accepted in the same
    /// transaction, once.
    ///
    /// # Errors
    /// `Conflict(Used)` when that step or a later one was accepted before; `Conflict(Locked)` when the account is locked
    /// (also for a time); `NotFound`.
    pub async fn create_login(
        &self,
        login: &NewLogin,
        tokens: &[NewToken],
        totp_step: Option<u64>,
        events: &[NewEvent],
    ) -> Result<SignedIn, StoreError> {
        todo!()
    }

    /// Who holds this token: only if it, its login and its person are all good at `now`.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn login_by_token(
        &self,
        kind: TokenKind,
        hash: &Sha256,
        now: Timestamp,
    ) -> Result<Option<SignedIn>, StoreError> {
        todo!()
    }

    /// Notes a use. Call it at most once a minute or so per login.
    ///
    /// # Errors
    /// The usual ones; a login that is over is left alone.
    pub async fn touch_login(&self, id: LoginId, used_at: Timestamp, idle_until: Timestamp) -> Result<(), StoreError> {
        todo!()
    }

    /// Uses a refresh token up, for new tokens. `events` gets the outcome; for [`Rotation::Refused`] it is not called.
    ///
    /// # Errors
    /// The usual ones. Of two at once with one token, the first wins and the second revokes.
    pub async fn rotate_refresh(
        &self,
        hash: &Sha256,
        tokens: &[NewToken],
        now: Timestamp,
        idle_until: Timestamp,
        events: impl FnOnce(&Rotation) -> Vec<NewEvent> + Send,
    ) -> Result<Rotation, StoreError> {
        todo!()
    }

    /// A second factor was proven again under this login (step-up).
    ///
    /// # Errors
    /// `Conflict(Used)` for a TOTP step accepted before, `Conflict(Revoked)` when the login is over.
    pub async fn prove_mfa(
        &self,
        id: LoginId,
        totp_step: Option<u64>,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<(), StoreError> {
        todo!()
    }

    /// Ends a login; with `owner`, only if it is theirs. `false`: it was over already, nothing is appended.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn revoke_login(
        &self,
        id: LoginId,
        owner: Option<UserId>,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<bool, StoreError> {
        todo!()
    }

    /// Ends all logins of a person; answers how many. The events are appended even if there was none.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn revoke_logins_of(&self, user: UserId, at: Timestamp, events: &[NewEvent]) -> Result<u64, StoreError> {
        todo!()
    }

    /// By id, live or over.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn login(&self, id: LoginId) -> Result<Option<Login>, StoreError> {
        todo!()
    }

    /// A person's live logins, newest first (at most 200).
    ///
    /// # Errors
    /// The usual ones.
    pub async fn logins_of(&self, user: UserId, now: Timestamp) -> Result<Vec<Login>, StoreError> {
        todo!()
    }

    /// Removes tokens and flows that are void, and logins over for more than 30 days.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn sweep(&self, now: Timestamp) -> Result<Swept, StoreError> {
        todo!()
    }
}
