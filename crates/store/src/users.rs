//! People: built-in accounts and those an identity provider vouches for.

use std::time::Duration;

use hoop_model::{GroupName, PersonId, Redacted, Role, Timestamp, UserId, UserName};

use crate::{
    Conflict, NewEvent, Page, Sha256, Store, StoreError,
    db::{Row, Tx, args, words},
};

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
    /// Nobody: a service account, which comes with API tokens alone.
    Service,
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
    /// Locked by an admin, or switched off by the identity provider: may not sign in or keep a session.
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
    /// Whose it is: another account may be the same person's.
    pub person: PersonId,
}

impl User {
    /// Can sign in as far as set-up goes.
    #[must_use]
    pub fn is_active(&self) -> bool {
        match self.source {
            UserSource::Oidc { .. } => true,
            UserSource::Service => false,
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

words!(Role { User = "user", Approver = "approver", Auditor = "auditor", Admin = "admin" });

macro_rules! user_columns {
    () => {
        "id, name, role, source, issuer, subject, group_names, locked + deprovisioned AS locked, password_hash, totp_secret, totp_last_step, \
         pending_totp, setup_expires_at, failed_attempts, locked_until, created_at, last_login_at, same_person_as"
    };
}

pub(crate) use user_columns;

const BY_IDENTITY: &str =
    concat!("SELECT ", user_columns!(), " FROM users WHERE issuer = $1 AND subject = $2");

impl User {
    pub(crate) fn of(row: &Row) -> Result<Self, StoreError> {
        let source =
            match (row.text("source")?.as_str(), row.maybe_text("issuer")?, row.maybe_text("subject")?) {
                ("oidc", Some(issuer), Some(subject)) => UserSource::Oidc { issuer, subject },
                ("builtin", None, None) => UserSource::Builtin,
                ("service", None, None) => UserSource::Service,
                (other, ..) => return Err(StoreError::Corrupt(format!("a person's source {other:?}"))),
            };
        let id = row.id("id")?;
        Ok(Self {
            id,
            name: row.name("name")?,
            role: row.word("role")?,
            groups: row.json("group_names")?,
            source,
            locked: row.flag("locked")?,
            password_hash: row.maybe_text("password_hash")?.map(Redacted::new),
            totp_secret_sealed: row.maybe_bytes("totp_secret")?,
            totp_last_step: row.maybe_count("totp_last_step")?,
            pending_totp_sealed: row.maybe_bytes("pending_totp")?,
            setup_expires_at: row.maybe_time("setup_expires_at")?,
            failed_attempts: row.count("failed_attempts")?,
            locked_until: row.maybe_time("locked_until")?,
            created_at: row.time("created_at")?,
            last_login_at: row.maybe_time("last_login_at")?,
            person: PersonId::of(id, row.maybe_id("same_person_as")?),
        })
    }
}

pub(crate) fn changed(row: Option<Row>) -> Result<User, StoreError> {
    User::of(&row.ok_or(StoreError::NotFound("user"))?)
}

impl Tx {
    /// A person, as they are in this transaction.
    pub(crate) async fn user(&mut self, id: UserId) -> Result<User, StoreError> {
        let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE id = $1");
        changed(self.run_one(sql, args![id]).await?)
    }

    /// Accepts a TOTP step that is later than every one accepted before.
    pub(crate) async fn accept_totp(&mut self, id: UserId, step: u64) -> Result<(), StoreError> {
        let sql = "UPDATE users SET totp_last_step = $2 \
             WHERE id = $1 AND (totp_last_step IS NULL OR totp_last_step < $2) RETURNING id";
        match self.run_one(sql, args![id, step]).await? {
            Some(_) => Ok(()),
            None => Err(Conflict::Used.into()),
        }
    }

    /// How many there are who may sign in.
    async fn admins(&mut self) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) AS count FROM users WHERE role = $1 AND locked = 0 AND deprovisioned = 0";
        self.run_one(sql, args![Role::Admin]).await?.map_or(Ok(0), |row| row.count("count"))
    }

    async fn keep_oidc(&mut self, oidc: &OidcUser, before: Option<&User>) -> Result<User, StoreError> {
        let (sql, id, role) = match before {
            Some(user) => (
                concat!(
                    "UPDATE users SET name = CASE WHEN scim_since IS NULL THEN $2 ELSE name END, \
                     folded_name = CASE WHEN scim_since IS NULL THEN $3 ELSE folded_name END, role = $4, \
                     group_names = CASE WHEN scim_since IS NULL THEN $5 ELSE group_names END \
                     WHERE id = $1 AND issuer = $6 AND subject = $7 RETURNING ",
                    user_columns!()
                ),
                user.id,
                oidc.role.unwrap_or(user.role),
            ),
            None => (
                concat!(
                    "INSERT INTO users (id, name, folded_name, role, group_names, source, issuer, subject, created_at) \
                     VALUES ($1, $2, $3, $4, $5, 'oidc', $6, $7, $8) RETURNING ",
                    user_columns!()
                ),
                oidc.id,
                oidc.role.unwrap_or(Role::User),
            ),
        };
        let mut values = args![
            id,
            &oidc.name,
            oidc.name.folded(),
            role,
            oidc.groups.as_slice(),
            oidc.issuer.as_str(),
            oidc.subject.as_str(),
        ];
        if before.is_none() {
            values.push(oidc.at.into());
        }
        changed(self.run_one(sql, values).await?)
    }
}

impl Store {
    /// Makes a built-in account without a password: its holder sets it up with the one-use token.
    ///
    /// # Errors
    /// `Conflict(NameTaken)`, whatever the case of the letters.
    pub async fn create_user(&self, new: &NewUser, events: &[NewEvent]) -> Result<User, StoreError> {
        let mut tx = self.begin().await?;
        let sql = concat!(
            "INSERT INTO users (id, name, folded_name, role, source, group_names, setup_hash, setup_expires_at, created_at) \
             VALUES ($1, $2, $3, $4, 'builtin', $5, $6, $7, $8) RETURNING ",
            user_columns!()
        );
        let values = args![
            new.id,
            &new.name,
            new.name.folded(),
            new.role,
            new.groups.as_slice(),
            &new.setup_token_hash,
            new.setup_expires_at,
            new.created_at,
        ];
        let user = changed(tx.run_one(sql, values).await?)?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// By id.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        let sql = concat!("SELECT ", user_columns!(), " FROM users WHERE id = $1");
        self.read_one(sql, args![id]).await?.as_ref().map(User::of).transpose()
    }

    /// A person by login name, whatever the case. Service accounts are no people.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn user_by_name(&self, name: &UserName) -> Result<Option<User>, StoreError> {
        let sql =
            concat!("SELECT ", user_columns!(), " FROM users WHERE folded_name = $1 AND source <> 'service'");
        self.read_one(sql, args![name.folded()]).await?.as_ref().map(User::of).transpose()
    }

    /// By what the identity provider calls them.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn user_by_identity(&self, issuer: &str, subject: &str) -> Result<Option<User>, StoreError> {
        self.read_one(BY_IDENTITY, args![issuer, subject]).await?.as_ref().map(User::of).transpose()
    }

    /// People by name, `limit` of them after the name `after`.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn users(
        &self,
        after: Option<&UserName>,
        limit: u32,
    ) -> Result<Page<User, UserName>, StoreError> {
        let sql = concat!(
            "SELECT ",
            user_columns!(),
            " FROM users WHERE source <> 'service' AND ($1 IS NULL OR folded_name > $1) \
             ORDER BY folded_name LIMIT $2"
        );
        let after = after.map(UserName::folded);
        let rows = self.read(sql, args![after.as_deref(), u64::from(limit) + 1]).await?;
        let users = rows.iter().map(User::of).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(users, limit, |user| user.name.clone()))
    }

    /// How many people there are: none means that the first admin is to be made.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn count_users(&self) -> Result<u64, StoreError> {
        let row = self
            .read_one("SELECT COUNT(*) AS count FROM users WHERE source <> 'service'", Vec::new())
            .await?;
        row.map_or(Ok(0), |row| row.count("count"))
    }

    /// Changes role, groups or lock.
    ///
    /// # Errors
    /// `NotFound`; `Conflict(LastAdmin)` when no admin would be left who may sign in.
    pub async fn change_user(
        &self,
        id: UserId,
        change: &UserChange,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<User, StoreError> {
        let mut tx = self.begin().await?;
        let before = tx.user(id).await?;
        let sql = concat!(
            "UPDATE users SET role = COALESCE($2, role), group_names = COALESCE($3, group_names), \
             locked = COALESCE($4, locked), failed_attempts = CASE WHEN $4 = 0 THEN 0 ELSE failed_attempts END, \
             locked_until = CASE WHEN $4 = 0 THEN NULL ELSE locked_until END WHERE id = $1 RETURNING ",
            user_columns!()
        );
        let values = args![id, change.role, change.groups.as_deref(), change.locked];
        let user = changed(tx.run_one(sql, values).await?)?;
        let is_admin = |user: &User| user.role == Role::Admin && !user.locked;
        if is_admin(&before) && !is_admin(&user) && tx.admins().await? == 0 {
            return Err(Conflict::LastAdmin.into());
        }
        if change.locked == Some(true) {
            tx.revoke_logins(id, at).await?;
        }
        tx.append(events).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// Opens set-up again: the password and every second factor are void until it is done, every login is revoked.
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
        let mut tx = self.begin().await?;
        let sql = concat!(
            "UPDATE users SET password_hash = NULL, totp_secret = NULL, pending_totp = NULL, setup_hash = $2, \
             setup_expires_at = $3, failed_attempts = 0, locked_until = NULL WHERE id = $1 AND source = 'builtin' RETURNING ",
            user_columns!()
        );
        let user = changed(tx.run_one(sql, args![id, setup_token_hash, setup_expires_at]).await?)?;
        tx.put_recovery_codes(id, &[], at).await?;
        tx.remove_passkeys(id).await?;
        tx.revoke_logins(id, at).await?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// Who holds this set-up token, while it is good.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn user_by_setup_token(
        &self,
        hash: &Sha256,
        now: Timestamp,
    ) -> Result<Option<User>, StoreError> {
        let sql = concat!(
            "SELECT ",
            user_columns!(),
            " FROM users WHERE setup_hash = $1 AND setup_expires_at > $2 AND locked = 0"
        );
        self.read_one(sql, args![hash, now]).await?.as_ref().map(User::of).transpose()
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
        let sql = "UPDATE users SET pending_totp = COALESCE(pending_totp, $2) \
             WHERE setup_hash = $1 AND setup_expires_at > $3 AND locked = 0 RETURNING pending_totp";
        let row = self.write(sql, args![setup_token_hash, totp_secret_sealed, now]).await?.into_iter().next();
        row.ok_or(StoreError::NotFound("set-up token"))?.bytes("pending_totp")
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
        let mut tx = self.begin().await?;
        let sql = concat!(
            "UPDATE users SET password_hash = $2, totp_secret = pending_totp, totp_last_step = $3, pending_totp = NULL, \
             setup_hash = NULL, setup_expires_at = NULL, failed_attempts = 0, locked_until = NULL \
             WHERE setup_hash = $1 AND setup_expires_at > $4 AND locked = 0 AND pending_totp IS NOT NULL RETURNING ",
            user_columns!()
        );
        let values = args![setup_token_hash, password_hash.expose().as_str(), totp_step, now];
        let row = tx.run_one(sql, values).await?.ok_or(StoreError::NotFound("set-up token"))?;
        let user = User::of(&row)?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(user)
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
        let sql = "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2 RETURNING id";
        let rows = self.write(sql, args![id, old.expose().as_str(), new.expose().as_str()]).await?;
        if rows.is_empty() { Err(Conflict::Changed.into()) } else { Ok(()) }
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
        let mut tx = self.begin().await?;
        let sql =
            "UPDATE users SET failed_attempts = failed_attempts + 1 WHERE id = $1 RETURNING failed_attempts";
        let row = tx.run_one(sql, args![id]).await?.ok_or(StoreError::NotFound("user"))?;
        let failures: u32 = row.count("failed_attempts")?;
        let locked_until = lock_for(failures).map(|duration| now.after(duration));
        tx.append(events).await?;
        if locked_until.is_some() {
            tx.run("UPDATE users SET locked_until = $2 WHERE id = $1", args![id, locked_until]).await?;
            tx.append(lock_events).await?;
        }
        tx.commit().await?;
        Ok(FailedAttempt { failures, locked_until })
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
        let mut tx = self.begin().await?;
        let before = tx.run_one(BY_IDENTITY, args![oidc.issuer.as_str(), oidc.subject.as_str()]).await?;
        let before = before.as_ref().map(User::of).transpose()?;
        let after = tx.keep_oidc(oidc, before.as_ref()).await?;
        tx.append(&events(before.as_ref(), &after)).await?;
        tx.commit().await?;
        Ok(after)
    }
}
