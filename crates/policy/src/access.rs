//! May this person open this connection?

use std::{collections::BTreeSet, time::Duration};

use hoop_model::{ConnectionName, GroupName, Role, Timestamp, UserName};

use crate::{Denial, Rules};

/// The person who asks, as the gateway knows them at this moment.
#[derive(Debug, Clone)]
pub struct Subject {
    /// Login name.
    pub name: UserName,
    /// Role in the system.
    pub role: Role,
    /// Groups in force.
    pub groups: BTreeSet<GroupName>,
    /// Locked people open nothing.
    pub locked: bool,
    /// When a second factor was last proven; `None` denies.
    pub mfa_at: Option<Timestamp>,
}

/// The connection asked for, as it is configured.
#[derive(Debug, Clone)]
pub struct Connecting {
    /// Its name.
    pub name: ConnectionName,
    /// Groups whose members may open it. Empty: nobody may.
    pub allowed_groups: BTreeSet<GroupName>,
    /// Longest session.
    pub max_duration: Duration,
    /// A session ends after this long without a byte from the client.
    pub idle_timeout: Duration,
    /// A second factor must have been proven within this time.
    pub mfa_max_age: Duration,
    /// What requests the session may make.
    pub rules: Rules,
}

/// What a permitted session runs under: goes into the signed grant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    /// The session ends then, whatever happens.
    pub ends_at: Timestamp,
    /// It ends after this long without a byte from the client.
    pub idle_timeout: Duration,
    /// Which requests may go to the target.
    pub rules: Rules,
    /// Which condition allowed it, for the ledger.
    pub because: String,
}

/// Decides whether `subject` may open `connection` at `now`.
///
/// # Errors
/// A [`Denial`] that names the missing condition. That a connection exists is told only to those who may open it:
/// callers answer an unknown name with the same denial as [`Denial::NotAllowed`].
pub fn may_connect(subject: &Subject, connection: &Connecting, now: Timestamp) -> Result<Terms, Denial> {
    if subject.locked {
        return Err(Denial::Locked);
    }
    let Some(group) = subject.groups.intersection(&connection.allowed_groups).next() else {
        return Err(Denial::NotAllowed);
    };
    let mfa_at = subject.mfa_at.ok_or(Denial::MfaMissing)?;
    if mfa_at > now || now.since(mfa_at) > connection.mfa_max_age {
        return Err(Denial::MfaTooOld { max_age: connection.mfa_max_age });
    }
    if connection.max_duration.is_zero() || connection.idle_timeout.is_zero() {
        return Err(Denial::NotAllowed);
    }
    Ok(Terms {
        ends_at: now.after(connection.max_duration),
        idle_timeout: connection.idle_timeout,
        rules: connection.rules.clone(),
        because: format!("member of {group}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    fn groups(names: &[&str]) -> BTreeSet<GroupName> {
        names.iter().map(|n| GroupName::new(*n).unwrap()).collect()
    }

    fn subject() -> Subject {
        Subject {
            name: UserName::new("ada").unwrap(),
            role: Role::User,
            groups: groups(&["dba"]),
            locked: false,
            mfa_at: Some(NOW),
        }
    }

    fn connection() -> Connecting {
        Connecting {
            name: ConnectionName::new("pg-prod").unwrap(),
            allowed_groups: groups(&["dba", "oncall"]),
            max_duration: Duration::from_secs(3600),
            idle_timeout: Duration::from_secs(600),
            mfa_max_age: Duration::from_secs(43_200),
            rules: Rules::default(),
        }
    }

    #[test]
    fn a_member_with_a_second_factor_may() {
        let terms = may_connect(&subject(), &connection(), NOW).unwrap();
        assert_eq!(terms.ends_at, NOW.after(Duration::from_secs(3600)));
        assert_eq!(terms.because, "member of dba");
    }

    #[test]
    fn every_missing_field_denies() {
        type Change = fn(&mut Subject, &mut Connecting);
        let changes: [(&str, Change); 8] = [
            ("no groups of the person", |s, _| s.groups.clear()),
            ("no groups of the connection", |_, c| c.allowed_groups.clear()),
            ("neither", |s, c| {
                s.groups.clear();
                c.allowed_groups.clear();
            }),
            ("no second factor", |s, _| s.mfa_at = None),
            ("a second factor of the future", |s, _| s.mfa_at = Some(NOW.after(Duration::from_secs(1)))),
            ("locked", |s, _| s.locked = true),
            ("no duration", |_, c| c.max_duration = Duration::ZERO),
            ("no idle limit", |_, c| c.idle_timeout = Duration::ZERO),
        ];
        for (what, change) in changes {
            let (mut subject, mut connection) = (subject(), connection());
            change(&mut subject, &mut connection);
            assert!(may_connect(&subject, &connection, NOW).is_err(), "{what}");
        }
    }

    #[test]
    fn an_admin_is_no_exception() {
        let admin = Subject { role: Role::Admin, groups: groups(&["admins"]), ..subject() };
        assert_eq!(may_connect(&admin, &connection(), NOW), Err(Denial::NotAllowed));
    }
}
