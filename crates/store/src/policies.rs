//! Access rules: whole documents, numbered. The highest number is in force; none is ever changed or removed.

use hoop_model::{Timestamp, UserId};

use crate::{
    Conflict, NewEvent, Page, Store, StoreError,
    db::{Row, args},
};

/// The signed file that rules came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyBundle {
    /// Its own number.
    pub version: u64,
    /// SHA-256 of the file, hex.
    pub sha256: String,
}

/// One version of the rules.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyVersion {
    /// Counts from 1.
    pub version: u64,
    /// The rules. What they mean is for others to know.
    pub document: serde_json::Value,
    /// Who wrote it; absent for the one that the gateway itself began with.
    pub author: Option<UserId>,
    /// Their name at the time.
    pub author_name: String,
    /// Why, in their words.
    pub note: Option<String>,
    /// When.
    pub created_at: Timestamp,
    /// The bundle that it came in, if it came in one.
    pub bundle: Option<PolicyBundle>,
}

/// Rules to put in force.
#[derive(Debug, Clone, PartialEq)]
pub struct NewPolicy {
    /// The rules.
    pub document: serde_json::Value,
    /// Who writes it.
    pub author: Option<UserId>,
    /// Their name.
    pub author_name: String,
    /// Why.
    pub note: Option<String>,
    /// Now.
    pub created_at: Timestamp,
    /// The bundle that they come in.
    pub bundle: Option<PolicyBundle>,
    /// Its file.
    pub bundle_text: Option<String>,
}

macro_rules! columns {
    () => {
        "version, document, author_id, author_name, note, created_at, bundle_version, bundle_sha256"
    };
}

impl PolicyVersion {
    fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            version: row.count("version")?,
            document: row.json("document")?,
            author: row.maybe_id("author_id")?,
            author_name: row.text("author_name")?,
            note: row.maybe_text("note")?,
            created_at: row.time("created_at")?,
            bundle: match (row.maybe_count("bundle_version")?, row.maybe_text("bundle_sha256")?) {
                (Some(version), Some(sha256)) => Some(PolicyBundle { version, sha256 }),
                _ => None,
            },
        })
    }
}

impl Store {
    /// Puts rules in force, if `version` is the one in force so far (0: there are none yet).
    ///
    /// # Errors
    /// `Conflict(Changed)` when it is not.
    pub async fn replace_policy(
        &self,
        version: u64,
        new: &NewPolicy,
        events: &[NewEvent],
    ) -> Result<PolicyVersion, StoreError> {
        let mut tx = self.begin().await?;
        let latest = tx.run_one("SELECT MAX(version) AS version FROM access_policies", Vec::new()).await?;
        let latest = latest.map(|row| row.maybe_count("version")).transpose()?.flatten().unwrap_or(0);
        if latest != version {
            return Err(Conflict::Changed.into());
        }
        let sql = concat!(
            "INSERT INTO access_policies (version, document, author_id, author_name, note, created_at, \
             bundle_version, bundle_sha256, bundle_text) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) RETURNING ",
            columns!()
        );
        let args = args![
            latest + 1,
            &new.document,
            new.author,
            new.author_name.as_str(),
            new.note.as_deref(),
            new.created_at,
            new.bundle.as_ref().map(|bundle| bundle.version),
            new.bundle.as_ref().map(|bundle| bundle.sha256.as_str()),
            new.bundle_text.as_deref()
        ];
        let row = tx.run_one(sql, args).await?.ok_or(StoreError::NotFound("policy"))?;
        let policy = PolicyVersion::of(&row)?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(policy)
    }

    /// The number of the version in force; 0: there is none.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn policy_number(&self) -> Result<u64, StoreError> {
        let row = self.read_one("SELECT MAX(version) AS version FROM access_policies", Vec::new()).await?;
        Ok(row.map(|row| row.maybe_count("version")).transpose()?.flatten().unwrap_or(0))
    }

    /// The highest number of a bundle that rules came in; 0: none did.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn policy_bundle_number(&self) -> Result<u64, StoreError> {
        let sql = "SELECT MAX(bundle_version) AS version FROM access_policies";
        let row = self.read_one(sql, Vec::new()).await?;
        Ok(row.map(|row| row.maybe_count("version")).transpose()?.flatten().unwrap_or(0))
    }

    /// The file of the bundle that a version of the rules came in.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn policy_bundle_text(&self, version: u64) -> Result<Option<String>, StoreError> {
        let sql = "SELECT bundle_text FROM access_policies WHERE version = $1";
        let row = self.read_one(sql, args![version]).await?;
        Ok(row.map(|row| row.maybe_text("bundle_text")).transpose()?.flatten())
    }

    /// The rules in force.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn policy(&self) -> Result<Option<PolicyVersion>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM access_policies ORDER BY version DESC LIMIT 1");
        self.read_one(sql, Vec::new()).await?.as_ref().map(PolicyVersion::of).transpose()
    }

    /// The rules as they were.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn policy_version(&self, version: u64) -> Result<Option<PolicyVersion>, StoreError> {
        let sql = concat!("SELECT ", columns!(), " FROM access_policies WHERE version = $1");
        self.read_one(sql, args![version]).await?.as_ref().map(PolicyVersion::of).transpose()
    }

    /// All versions, the newest first; `before` is the last one of the page before.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn policy_versions(
        &self,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Page<PolicyVersion, u64>, StoreError> {
        let sql = concat!(
            "SELECT ",
            columns!(),
            " FROM access_policies WHERE $1 IS NULL OR version < $1 ORDER BY version DESC LIMIT $2"
        );
        let rows = self.read(sql, args![before, limit + 1]).await?;
        let all = rows.iter().map(PolicyVersion::of).collect::<Result<Vec<_>, _>>()?;
        Ok(Page::cut(all, limit, |policy| policy.version))
    }
}
