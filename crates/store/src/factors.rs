//! Second factors proven again under a sign-in, and the recovery codes that stand in for one.
//!
//! What must happen once (a TOTP step, a recovery code) happens here, in the transaction that it counts for.

use hoop_model::{FactorKind, LoginId, Timestamp, UserId};

use crate::{
    Conflict, NewEvent, PasskeyUse, Sha256, Store, StoreError, User, UserSource,
    db::{Tx, args, words},
};

/// What a second factor was proven with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Factor {
    /// A TOTP code.
    Totp {
        /// The secret that it was verified against, sealed.
        secret_sealed: Vec<u8>,
        /// Its step, which is used up.
        step: u64,
    },
    /// A recovery code, which is used up.
    RecoveryCode(Sha256),
    /// A passkey, whose counter goes on.
    Passkey(PasskeyUse),
    /// The identity provider saw it.
    Provider,
    /// Another sign-in of the same person, where it was proven.
    Login(LoginId),
}

words!(FactorKind { Totp = "totp", RecoveryCode = "recovery_code", Passkey = "passkey", Idp = "idp", SealedCodes = "sealed_codes" });

impl Tx {
    /// Uses a recovery code up.
    pub(crate) async fn use_recovery_code(
        &mut self,
        user: UserId,
        hash: &Sha256,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE recovery_codes SET used_at = $3 \
             WHERE user_id = $1 AND hash = $2 AND used_at IS NULL RETURNING hash";
        let used = self.run_one(sql, args![user, hash, at]).await?;
        used.map(|_| ()).ok_or_else(|| Conflict::Used.into())
    }

    /// New recovery codes in place of all that there were.
    pub(crate) async fn put_recovery_codes(
        &mut self,
        user: UserId,
        hashes: &[Sha256],
        at: Timestamp,
    ) -> Result<(), StoreError> {
        self.run("DELETE FROM recovery_codes WHERE user_id = $1", args![user]).await?;
        let sql = "INSERT INTO recovery_codes (user_id, hash, made_at) VALUES ($1, $2, $3)";
        for hash in hashes {
            self.run(sql, args![user, hash, at]).await?;
        }
        Ok(())
    }

    /// Takes a factor that is in force, and says of what kind it is; `mfa_at` is when it was proven.
    pub(crate) async fn accept(
        &mut self,
        user: &User,
        factor: &Factor,
        mfa_at: Timestamp,
        now: Timestamp,
    ) -> Result<FactorKind, StoreError> {
        match factor {
            Factor::Totp { secret_sealed, step } => {
                if user.totp_secret_sealed.as_ref() != Some(secret_sealed) {
                    return Err(Conflict::Revoked.into());
                }
                self.accept_totp(user.id, *step).await?;
                Ok(FactorKind::Totp)
            }
            Factor::RecoveryCode(hash) => {
                self.use_recovery_code(user.id, hash, now).await?;
                Ok(FactorKind::RecoveryCode)
            }
            Factor::Passkey(usage) => {
                self.use_passkey(user.id, usage, now).await?;
                Ok(FactorKind::Passkey)
            }
            Factor::Provider if matches!(user.source, UserSource::Oidc { .. }) => Ok(FactorKind::Idp),
            Factor::Provider => Err(Conflict::Revoked.into()),
            Factor::Login(id) => {
                let sql = "SELECT mfa_by FROM logins WHERE id = $1 AND user_id = $2 AND mfa_at >= $3 \
                     AND revoked_at IS NULL AND expires_at > $4 AND idle_until > $4";
                let good = self.run_one(sql, args![*id, user.id, mfa_at, now]).await?;
                good.ok_or(Conflict::Revoked)?.word("mfa_by")
            }
        }
    }
}

impl Store {
    /// A second factor was proven again under this login, at `mfa_at` (step-up): says of what kind. Clears failures.
    ///
    /// # Errors
    /// `Conflict(Used)` for a TOTP step, recovery code or passkey's counter used before, `Conflict(Locked)` when the account is locked (also
    /// for a time), `Conflict(Revoked)` when the login is over or the factor is not in force.
    pub async fn prove_mfa(
        &self,
        id: LoginId,
        factor: &Factor,
        mfa_at: Timestamp,
        now: Timestamp,
        events: &[NewEvent],
    ) -> Result<FactorKind, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "SELECT user_id FROM logins \
             WHERE id = $1 AND revoked_at IS NULL AND expires_at > $2 AND idle_until > $2";
        let row = tx.run_one(sql, args![id, now]).await?.ok_or(Conflict::Revoked)?;
        let user = tx.user(row.id("user_id")?).await?;
        if user.locked || user.locked_until.is_some_and(|until| until > now) {
            return Err(Conflict::Locked.into());
        }
        let by = tx.accept(&user, factor, mfa_at, now).await?;
        let sql =
            "UPDATE logins SET mfa_at = $2, mfa_by = $3 WHERE id = $1 AND (mfa_at IS NULL OR mfa_at <= $2)";
        tx.run(sql, args![id, mfa_at, by]).await?;
        let sql = "UPDATE users SET failed_attempts = 0, locked_until = NULL WHERE id = $1";
        tx.run(sql, args![user.id]).await?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(by)
    }

    /// Is this one of a person's unused recovery codes? It is used up by what it proves, not here.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn has_recovery_code(&self, user: UserId, hash: &Sha256) -> Result<bool, StoreError> {
        let sql = "SELECT user_id FROM recovery_codes WHERE user_id = $1 AND hash = $2 AND used_at IS NULL";
        Ok(self.read_one(sql, args![user, hash]).await?.is_some())
    }

    /// How many recovery codes a person has left.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn recovery_codes_left(&self, user: UserId) -> Result<u64, StoreError> {
        let sql = "SELECT COUNT(*) AS count FROM recovery_codes WHERE user_id = $1 AND used_at IS NULL";
        self.read_one(sql, args![user]).await?.map_or(Ok(0), |row| row.count("count"))
    }

    /// New recovery codes of a built-in account; those there were are void.
    ///
    /// # Errors
    /// `NotFound` also for a person of an identity provider, and for an account that is not set up.
    pub async fn replace_recovery_codes(
        &self,
        user: UserId,
        hashes: &[Sha256],
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let known = tx.user(user).await?;
        if known.source != UserSource::Builtin || !known.is_active() {
            return Err(StoreError::NotFound("built-in account"));
        }
        tx.put_recovery_codes(user, hashes, at).await?;
        tx.append(events).await?;
        tx.commit().await
    }
}
