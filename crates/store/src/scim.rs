//! People and groups as an identity provider provisions them. Nothing here reaches built-in accounts, service accounts,
//! admins or roles: whoever has the provider's token could otherwise make themselves one.

use std::collections::BTreeSet;

use hoop_model::{GroupId, GroupName, Role, Timestamp, UserId, UserName};

use crate::{
    Conflict, NewEvent, Store, StoreError, User,
    db::{Row, Tx, args},
    users::{changed, user_columns},
};

/// A person to provision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewScimUser {
    /// Id to use if they are new here.
    pub id: UserId,
    /// The provider that they will sign in at.
    pub issuer: String,
    /// Their `sub` there.
    pub subject: String,
    /// Login name.
    pub name: UserName,
    /// May sign in.
    pub active: bool,
    /// Now.
    pub at: Timestamp,
}

/// What the provider changes; `None` keeps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScimChange {
    /// Login name.
    pub name: Option<UserName>,
    /// May sign in. `false` revokes every sign-in in the same transaction.
    pub active: Option<bool>,
}

/// One page of people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimUsers {
    /// How many there are on all pages.
    pub total: u64,
    /// Those of this page.
    pub users: Vec<User>,
}

/// A provisioned group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScimGroup {
    /// Its id.
    pub id: GroupId,
    /// Its name, as rules name it.
    pub name: GroupName,
    /// The provider's own id of it.
    pub external_id: Option<String>,
    /// Who is in it.
    pub members: Vec<UserId>,
}

/// One step of a change of a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupStep {
    /// Another name.
    Rename(GroupName),
    /// Another id at the provider.
    ExternalId(String),
    /// More members.
    Add(Vec<UserId>),
    /// Fewer members; who is none stays none.
    Remove(Vec<UserId>),
    /// These members and no others.
    Replace(Vec<UserId>),
}

/// Most groups of one person.
const MOST_GROUPS: usize = 200;

const KNOWN: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users WHERE id = $1 AND scim_since IS NOT NULL AND removed_at IS NULL"
);
const LIST: &str = concat!(
    "SELECT ",
    user_columns!(),
    " FROM users WHERE scim_since IS NOT NULL AND removed_at IS NULL AND ($1 IS NULL OR folded_name = $1) \
     AND ($2 IS NULL OR subject = $2) ORDER BY id LIMIT $3 OFFSET $4"
);
const COUNT: &str = "SELECT COUNT(*) AS count FROM users WHERE scim_since IS NOT NULL AND removed_at IS NULL \
     AND ($1 IS NULL OR folded_name = $1) AND ($2 IS NULL OR subject = $2)";
const ADOPT: &str = concat!(
    "UPDATE users SET name = $2, folded_name = $3, group_names = '[]', scim_since = $4, removed_at = NULL, \
     deprovisioned = $5 WHERE id = $1 RETURNING ",
    user_columns!()
);
const INSERT: &str = concat!(
    "INSERT INTO users (id, name, folded_name, scim_since, deprovisioned, role, source, issuer, subject, group_names, \
     created_at) VALUES ($1, $2, $3, $4, $5, 'user', 'oidc', $6, $7, '[]', $4) RETURNING ",
    user_columns!()
);

/// Admins are out of the provider's reach: it gives them nothing and does not switch them off. What it takes away is gone
/// for them too.
fn within_reach(user: &User) -> Result<(), StoreError> {
    if user.role == Role::Admin { Err(Conflict::OtherName.into()) } else { Ok(()) }
}

/// What becomes of an admin who is to join a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Joining {
    /// Nothing at all is changed, and the provider hears why.
    Asked,
    /// They stay out. Refused, the list would not take anybody else out either, and their rights would outlive it.
    AsListed,
}

fn group_of(row: &Row) -> Result<ScimGroup, StoreError> {
    Ok(ScimGroup {
        id: row.id("id")?,
        name: row.name("name")?,
        external_id: row.maybe_text("external_id")?,
        members: Vec::new(),
    })
}

impl Tx {
    async fn provisioned(&mut self, id: UserId) -> Result<User, StoreError> {
        changed(self.run_one(KNOWN, args![id]).await?)
    }

    async fn provision(&mut self, new: &NewScimUser) -> Result<User, StoreError> {
        let identity = "SELECT id, scim_since, removed_at FROM users WHERE issuer = $1 AND subject = $2";
        let known = self.run_one(identity, args![new.issuer.as_str(), new.subject.as_str()]).await?;
        let Some(known) = known else {
            let values = args![
                new.id,
                &new.name,
                new.name.folded(),
                new.at,
                !new.active,
                new.issuer.as_str(),
                new.subject.as_str(),
            ];
            return changed(self.run_one(INSERT, values).await?);
        };
        if known.maybe_time("scim_since")?.is_some() && known.maybe_time("removed_at")?.is_none() {
            return Err(Conflict::NameTaken.into());
        }
        // Somebody who signed in before, or came back.
        let before = self.user(known.id("id")?).await?;
        within_reach(&before)?;
        let values = args![before.id, &new.name, new.name.folded(), new.at, !new.active];
        changed(self.run_one(ADOPT, values).await?)
    }

    async fn members_of(&mut self, group: GroupId) -> Result<BTreeSet<UserId>, StoreError> {
        let sql = "SELECT user_id FROM scim_members WHERE group_id = $1";
        self.run(sql, args![group]).await?.iter().map(|row| row.id("user_id")).collect()
    }

    /// Puts members in place of those that are there; answers who came or went.
    async fn set_members(
        &mut self,
        group: GroupId,
        wanted: &BTreeSet<UserId>,
        joining: Joining,
    ) -> Result<Vec<UserId>, StoreError> {
        let before = self.members_of(group).await?;
        let mut touched = Vec::new();
        for user in before.symmetric_difference(wanted).copied() {
            let joins = wanted.contains(&user);
            if joins {
                match (within_reach(&self.provisioned(user).await?), joining) {
                    (Ok(()), _) => {}
                    (Err(_), Joining::AsListed) => continue,
                    (Err(refused), Joining::Asked) => return Err(refused),
                }
            }
            let sql = if joins {
                "INSERT INTO scim_members (group_id, user_id) VALUES ($1, $2)"
            } else {
                "DELETE FROM scim_members WHERE group_id = $1 AND user_id = $2"
            };
            self.run(sql, args![group, user]).await?;
            touched.push(user);
        }
        Ok(touched)
    }

    /// What rules see: the names of the groups that somebody is in.
    async fn refresh_groups(&mut self, users: &[UserId]) -> Result<(), StoreError> {
        let sql = "SELECT g.name FROM scim_groups g JOIN scim_members m ON m.group_id = g.id \
             WHERE m.user_id = $1 ORDER BY g.name";
        for user in users {
            let rows = self.run(sql, args![*user]).await?;
            if rows.len() > MOST_GROUPS {
                return Err(Conflict::TooMany.into());
            }
            let names = rows.iter().map(|row| row.name("name")).collect::<Result<Vec<GroupName>, _>>()?;
            let update = "UPDATE users SET group_names = $2 WHERE id = $1";
            self.run(update, args![*user, names.as_slice()]).await?;
        }
        Ok(())
    }

    async fn group(&mut self, id: GroupId) -> Result<ScimGroup, StoreError> {
        let sql = "SELECT id, name, external_id FROM scim_groups WHERE id = $1";
        let row = self.run_one(sql, args![id]).await?.ok_or(StoreError::NotFound("group"))?;
        let members = self.members_of(id).await?.into_iter().collect();
        Ok(ScimGroup { members, ..group_of(&row)? })
    }

    async fn step(&mut self, id: GroupId, step: &GroupStep) -> Result<Vec<UserId>, StoreError> {
        let members = self.members_of(id).await?;
        match step {
            GroupStep::Rename(name) => {
                self.run("UPDATE scim_groups SET name = $2 WHERE id = $1", args![id, name]).await?;
                // Another name is another right: an admin who was in it is not in that.
                let mut stay = BTreeSet::new();
                for user in &members {
                    if within_reach(&self.provisioned(*user).await?).is_ok() {
                        stay.insert(*user);
                    }
                }
                self.set_members(id, &stay, Joining::Asked).await?;
                Ok(members.into_iter().collect())
            }
            GroupStep::ExternalId(external) => {
                let sql = "UPDATE scim_groups SET external_id = $2 WHERE id = $1";
                self.run(sql, args![id, external.as_str()]).await?;
                Ok(Vec::new())
            }
            GroupStep::Add(more) => {
                let all = members.into_iter().chain(more.iter().copied()).collect();
                self.set_members(id, &all, Joining::Asked).await
            }
            GroupStep::Remove(gone) => {
                let left = members.into_iter().filter(|user| !gone.contains(user)).collect();
                self.set_members(id, &left, Joining::Asked).await
            }
            GroupStep::Replace(all) => {
                self.set_members(id, &all.iter().copied().collect(), Joining::AsListed).await
            }
        }
    }
}

impl Store {
    /// Provisions a person: somebody new, somebody who signed in at this provider before, or somebody who was removed and
    /// comes back.
    ///
    /// # Errors
    /// `Conflict(NameTaken)` for a person who is provisioned already, and for a name that another account has: people are
    /// never merged by name. `Conflict(OtherName)` for an admin.
    pub async fn provision_user(
        &self,
        new: &NewScimUser,
        events: impl FnOnce(&User) -> Vec<NewEvent> + Send,
    ) -> Result<User, StoreError> {
        let mut tx = self.begin().await?;
        let user = tx.provision(new).await?;
        if !new.active {
            tx.revoke_logins(user.id, new.at).await?;
        }
        tx.append(&events(&user)).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// A provisioned person.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn provisioned_user(&self, id: UserId) -> Result<Option<User>, StoreError> {
        self.read_one(KNOWN, args![id]).await?.as_ref().map(User::of).transpose()
    }

    /// Provisioned people, all or those of this name or `sub`.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn provisioned_users(
        &self,
        name: Option<&UserName>,
        subject: Option<&str>,
        skip: u64,
        limit: u32,
    ) -> Result<ScimUsers, StoreError> {
        let folded = name.map(UserName::folded);
        let total = self.read_one(COUNT, args![folded.as_deref(), subject]).await?;
        let total = total.map_or(Ok(0), |row| row.count("count"))?;
        let rows = self.read(LIST, args![folded.as_deref(), subject, limit, skip]).await?;
        Ok(ScimUsers { total, users: rows.iter().map(User::of).collect::<Result<_, _>>()? })
    }

    /// Renames a person, or switches them on or off.
    ///
    /// # Errors
    /// `NotFound` for who is not provisioned; `Conflict(NameTaken)`; `Conflict(OtherName)` for an admin.
    pub async fn change_provisioned(
        &self,
        id: UserId,
        change: &ScimChange,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<User, StoreError> {
        let mut tx = self.begin().await?;
        within_reach(&tx.provisioned(id).await?)?;
        let sql = concat!(
            "UPDATE users SET name = COALESCE($2, name), folded_name = COALESCE($3, folded_name), \
             deprovisioned = COALESCE($4, deprovisioned) WHERE id = $1 RETURNING ",
            user_columns!()
        );
        let folded = change.name.as_ref().map(UserName::folded);
        let off = change.active.map(|active| !active);
        let user = changed(tx.run_one(sql, args![id, change.name.as_ref(), folded.as_deref(), off]).await?)?;
        if off == Some(true) {
            tx.revoke_logins(id, at).await?;
        }
        tx.append(events).await?;
        tx.commit().await?;
        Ok(user)
    }

    /// Removes a person: switched off, in no group, every sign-in revoked. Evidence keeps naming them.
    ///
    /// # Errors
    /// As [`Self::change_provisioned`].
    pub async fn remove_provisioned(
        &self,
        id: UserId,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        within_reach(&tx.provisioned(id).await?)?;
        let sql = "UPDATE users SET deprovisioned = 1, removed_at = $2, group_names = '[]' WHERE id = $1";
        tx.run(sql, args![id, at]).await?;
        tx.run("DELETE FROM scim_members WHERE user_id = $1", args![id]).await?;
        tx.remove_passkeys(id).await?;
        tx.revoke_logins(id, at).await?;
        tx.append(events).await?;
        tx.commit().await
    }

    /// Makes a group.
    ///
    /// # Errors
    /// `Conflict(NameTaken)`; `NotFound` for a member who is not provisioned; `Conflict(OtherName)` for an admin.
    pub async fn create_group(
        &self,
        new: &ScimGroup,
        at: Timestamp,
        events: &[NewEvent],
    ) -> Result<ScimGroup, StoreError> {
        let mut tx = self.begin().await?;
        let sql = "INSERT INTO scim_groups (id, name, external_id, created_at) VALUES ($1, $2, $3, $4)";
        tx.run(sql, args![new.id, &new.name, new.external_id.as_deref(), at]).await?;
        let touched = tx.set_members(new.id, &new.members.iter().copied().collect(), Joining::Asked).await?;
        tx.refresh_groups(&touched).await?;
        let group = tx.group(new.id).await?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(group)
    }

    /// A group.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn group(&self, id: GroupId) -> Result<Option<ScimGroup>, StoreError> {
        let sql = "SELECT id, name, external_id FROM scim_groups WHERE id = $1";
        let Some(row) = self.read_one(sql, args![id]).await? else { return Ok(None) };
        self.with_members(group_of(&row)?).await.map(Some)
    }

    async fn with_members(&self, group: ScimGroup) -> Result<ScimGroup, StoreError> {
        let sql = "SELECT user_id FROM scim_members WHERE group_id = $1 ORDER BY user_id";
        let rows = self.read(sql, args![group.id]).await?;
        let members = rows.iter().map(|row| row.id("user_id")).collect::<Result<_, _>>()?;
        Ok(ScimGroup { members, ..group })
    }

    /// Groups by name, all or those of this name or id at the provider; and how many there are on all pages.
    ///
    /// # Errors
    /// The usual ones.
    pub async fn groups(
        &self,
        name: Option<&str>,
        external_id: Option<&str>,
        skip: u64,
        limit: u32,
    ) -> Result<(u64, Vec<ScimGroup>), StoreError> {
        let count = "SELECT COUNT(*) AS count FROM scim_groups \
             WHERE ($1 IS NULL OR name = $1) AND ($2 IS NULL OR external_id = $2)";
        let total = self.read_one(count, args![name, external_id]).await?;
        let sql = "SELECT id, name, external_id FROM scim_groups \
             WHERE ($1 IS NULL OR name = $1) AND ($2 IS NULL OR external_id = $2) ORDER BY name LIMIT $3 OFFSET $4";
        let mut groups = Vec::new();
        for row in self.read(sql, args![name, external_id, limit, skip]).await? {
            groups.push(self.with_members(group_of(&row)?).await?);
        }
        Ok((total.map_or(Ok(0), |row| row.count("count"))?, groups))
    }

    /// Changes a group step by step, all or nothing.
    ///
    /// # Errors
    /// As [`Self::create_group`], and `NotFound`; `Conflict(TooMany)` when somebody would be in too many groups.
    pub async fn change_group(
        &self,
        id: GroupId,
        steps: &[GroupStep],
        events: &[NewEvent],
    ) -> Result<ScimGroup, StoreError> {
        let mut tx = self.begin().await?;
        tx.group(id).await?;
        let mut touched = BTreeSet::new();
        for step in steps {
            touched.extend(tx.step(id, step).await?);
        }
        tx.refresh_groups(&touched.into_iter().collect::<Vec<_>>()).await?;
        let group = tx.group(id).await?;
        tx.append(events).await?;
        tx.commit().await?;
        Ok(group)
    }

    /// Removes a group: nobody is in it any more.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn remove_group(&self, id: GroupId, events: &[NewEvent]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.group(id).await?;
        let touched = tx.set_members(id, &BTreeSet::new(), Joining::Asked).await?;
        tx.run("DELETE FROM scim_groups WHERE id = $1", args![id]).await?;
        tx.refresh_groups(&touched).await?;
        tx.append(events).await?;
        tx.commit().await
    }
}
