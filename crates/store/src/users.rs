//! People: built-in accounts and those an identity provider vouches for.

use std::time::Duration;

use hoop_model::{GroupName, Redacted, Role, Timestamp, UserId, UserName};

use crate::{NewEvent, Page, Sha256, Store, StoreError};

/// Who vouches for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UserSource {
    /// This gateway: password and TOTP.
    Builtin,
    /// An OpenID Connect provider.
    Oidc {
        /// Its issuer URL.
        issuer: String,
        /// The person's `sub` there.
        subject: String,
    },
}

/// A person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Their id.
    pub id: UserId,
    /// Login name.
    pub name: UserName,
    /// Role.
    pub role: Role,
    /// Groups in force.
    pub groups: Vec<GroupName>,
    /// Who vouches for them.
    pub source: UserSource,
    /// Locked by an admin: may not sign in or keep a session.
    pub locked: bool,
    /// Password hash (PHC string); none before set-up.
    pub password_hash: Option<Redacted<String>>,
    /// TOTP secret, sealed by the caller; none before set-up.
    pub totp_secret_sealed: Option<Vec<u8>>,
    /// The last TOTP step that was accepted.
    pub totp_last_step: Option<u64>,
    /// TOTP secret shown during set-up and not confirmed yet, sealed by the caller.
    pub pending_totp_sealed: Option<Vec<u8>>,
    /// Set-up is open until then.
    pub setup_expires_at: Option<Timestamp>,
    /// Failed sign-ins in a row.
    pub failed_attempts: u32,
    /// No sign-in before then, for too many failures.
    pub locked_until: Option<Timestamp>,
    /// Made when.
    pub created_at: Timestamp,
    /// Last sign-in.
    pub last_login_at: Option<Timestamp>,
}

impl User {
    /// Can sign in as far as set-up goes.
    #[must_use]
    pub fn is_active(&self) -> bool {
        match self.source {
            UserSource::Oidc { .. } => true,
            UserSource::Builtin => self.password_hash.is_some() && self.totp_secret_sealed.is_some(),
        }
    }
}

/// A built-in account to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUser {
    /// Its id.
    pub id: UserId,
    /// Login name.
    pub name: UserName,
    /// Role.
    pub role: Role,
    /// Groups.
    pub groups: Vec<GroupName>,
    /// SHA-256 of the one-use set-up token.
    pub setup_token_hash: Sha256,
    /// The token is void after.
    pub setup_expires_at: Timestamp,
    /// Now.
    pub created_at: Timestamp,
}

/// What an identity provider says about a person who just signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcUser {
    /// Id to use if they are new.
    pub id: UserId,
    /// Issuer URL.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// Login name.
    pub name: UserName,
    /// Groups; they replace those known before.
    pub groups: Vec<GroupName>,
    /// Role by the provider's word; `None` keeps the one there is (new people get [`Role::User`]).
    pub role: Option<Role>,
    /// Now.
    pub at: Timestamp,
}

/// What an admin changes; `None` keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UserChange {
    /// New role.
    pub role: Option<Role>,
    /// New groups, all of them.
    pub groups: Option<Vec<GroupName>>,
    /// Lock (revokes every login in the same transaction) or unlock (also clears failures).
    pub locked: Option<bool>,
}

/// Where the count of failures stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedAttempt {
    /// Failures in a row, this one included.
    pub failures: u32,
    /// Locked until then by this very failure.
    pub locked_until: Option<Timestamp>,
}

impl Store {
    /// Makes a built-in account without a password: its holder sets it up with the one-use token.
    ///
    /// # Errors
    /// `Conflict(NameTaken)`, whatever the case of the letters.
    pub async fn create_user(&self, new: &NewUser, events: &[NewEvent]) -> Result<User, StoreError> {
        todo!()
    }

    /// By id.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        todo!()
    }

    /// By login name, whatever the case.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn user_by_name(&self, name: &UserName) -> Result<Option<User>, StoreError> {
        todo!()
    }

    /// By what the identity provider calls them.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn user_by_identity(&self, issuer: &str, subject: &str) -> Result<Option<User>, StoreError> {
        todo!()
    }

    /// By name, `limit` of them after the name `after`.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn users(&self, after: Option<&UserName>, limit: u32) -> Result<Page<User, UserName>, StoreError> {
        todo!()
    }

    /// How many people there are: none means that the first admin is to be made.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn count_users(&self) -> Result<u64, StoreError> {
        todo!()
    }

    /// Changes role, groups or lock.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn change_user(
        &self,
        id: UserId,
        change: &UserChange,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<User, StoreError> {
        todo!()
    }

    /// Opens set-up again: the password and second factor are void until it is done, every login is revoked.
    ///
    /// # Errors
    /// `NotFound` also for a person of an identity provider.
    pub async fn reset_user(
        &self,
        id: UserId,
        setup_token_hash: &Sha256,
        setup_expires_at: Timestamp,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<User, StoreError> {
        todo!()
    }

    /// Who holds this set-up token, while it is good.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn user_by_setup_token(&self, hash: &Sha256, now: Timestamp) -> Result<Option<User>, StoreError> {
        todo!()
    }

    /// Keeps the TOTP secret that is being shown; the first one kept wins, and is answered.
    ///
    /// # Errors
    /// `NotFound` when the token is not good.
    pub async fn stage_totp(
        &self,
        setup_token_hash: &Sha256,
        totp_secret_sealed: &[u8],
        now: Timestamp,
    ) -> Result<Vec<u8>, StoreError> {
        todo!()
    }

    /// Ends set-up: uses the token up and puts password and the staged TOTP secret in force. `totp_step` is the step
    /// whose code proved it: it cannot be used again.
    ///
    /// # Errors
    /// `NotFound` when the token is not good (any more): of two at once, one wins.
    pub async fn finish_setup(
        &self,
        setup_token_hash: &Sha256,
        password_hash: &Redacted<String>,
        totp_step: u64,
        now: Timestamp,
        events: &[NewEvent],
    ) -> Result<User, StoreError> {
        todo!()
    }

    /// Replaces a password hash by one of the same password with today's parameters.
    ///
    /// # Errors
    /// `Conflict(Changed)` when `old` is not the one in force.
    pub async fn rehash_password(
        &self,
        id: UserId,
        old: &Redacted<String>,
        new: &Redacted<String>,
    ) -> Result<(), StoreError> {
        todo!()
    }

    /// Counts a failed sign-in; `lock_for` says how long so many failures lock (`None`: not at all). `events` are appended
    /// always, `lock_events` also when this failure locked.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn record_failed_attempt(
        &self,
        id: UserId,
        now: Timestamp,
        lock_for: fn(u32) -> Option<Duration>,
        events: &[NewEvent],
        lock_events: &[NewEvent],
    ) -> Result<FailedAttempt, StoreError> {
        todo!()
    }

    /// Makes or refreshes a person of an identity provider. `events` gets the person before (if known) and after.
    ///
    /// # Errors
    /// `Conflict(NameTaken)` when the name belongs to another identity: people are never merged by name.
    pub async fn upsert_oidc(
        &self,
        oidc: &OidcUser,
        events: impl FnOnce(Option<&User>, &User) -> Vec<NewEvent> + Send,
    ) -> Result<User, StoreError> {
        todo!()
    }
}
