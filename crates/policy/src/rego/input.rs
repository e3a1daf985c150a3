//! The input documents. Their JSON schema is `docs/policy-input.schema.json`; a test holds the two together.

use std::net::IpAddr;

use hoop_model::{ConnectionName, GroupName, LabelKey, LabelValue, Timestamp, UserName};
use serde::Serialize;

use crate::rules::{ConnectionFacts, MfaMethod, Person, PersonKind};

/// What a condition on access sees.
#[derive(Debug, Serialize)]
pub struct AccessInput<'a> {
    /// Who asks.
    pub person: PersonInput<'a>,
    /// What for.
    pub connection: ConnectionInput<'a>,
    /// When, from where, why.
    pub request: RequestInput<'a>,
}

/// An account.
#[derive(Debug, Serialize)]
pub struct PersonInput<'a> {
    /// Login name.
    pub name: &'a UserName,
    /// `human` or `service`.
    pub kind: &'static str,
    /// Groups in force.
    pub groups: &'a std::collections::BTreeSet<GroupName>,
}

/// A connection.
#[derive(Debug, Serialize)]
pub struct ConnectionInput<'a> {
    /// Its name.
    pub name: &'a ConnectionName,
    /// Its labels.
    pub labels: &'a std::collections::BTreeMap<LabelKey, LabelValue>,
}

/// The circumstances.
#[derive(Debug, Serialize)]
pub struct RequestInput<'a> {
    /// From where. IPv4 written as IPv6 is IPv4.
    pub address: IpAddr,
    /// Why, if it was said.
    pub reason: Option<&'a str>,
    /// When; for a session that lives, the moment at which it is looked at again.
    pub time: TimeInput,
    /// The second factor, if one was proven.
    pub mfa: Option<MfaInput>,
}

/// A moment, in UTC.
#[derive(Debug, Serialize)]
pub struct TimeInput {
    /// RFC 3339.
    pub rfc3339: Timestamp,
    /// Seconds since 1970.
    pub unix_seconds: i64,
    /// `mon` to `sun`.
    pub weekday: &'static str,
    /// 0 to 23.
    pub hour: i64,
    /// 0 to 59.
    pub minute: i64,
}

/// A second factor.
#[derive(Debug, Serialize)]
pub struct MfaInput {
    /// `totp`, `passkey`, `idp`, `sealed_codes`.
    pub method: &'static str,
    /// How old it was when the session was asked for, in seconds; never negative.
    pub age_seconds: u64,
}

impl<'a> AccessInput<'a> {
    pub(crate) fn new(
        person: &'a Person,
        connection: &'a ConnectionFacts,
        (address, reason): (IpAddr, Option<&'a str>),
        (since, now): (Timestamp, Timestamp),
    ) -> Self {
        Self {
            person: PersonInput {
                name: &person.name,
                kind: match person.kind {
                    PersonKind::Human => "human",
                    PersonKind::Service => "service",
                },
                groups: &person.groups,
            },
            connection: ConnectionInput { name: &connection.name, labels: &connection.labels },
            request: RequestInput {
                address: address.to_canonical(),
                reason,
                time: TimeInput::new(now),
                mfa: person.mfa.map(|mfa| MfaInput {
                    method: MfaMethod::as_str(mfa.method),
                    age_seconds: since.since(mfa.at).as_secs(),
                }),
            },
        }
    }
}

impl AccessInput<'_> {
    /// As a module sees it.
    #[must_use]
    pub fn into_json(self) -> serde_json::Value {
        // It is made of texts and numbers, which always become JSON. A condition on nothing does not hold.
        serde_json::to_value(self).unwrap_or_default()
    }
}

impl TimeInput {
    fn new(at: Timestamp) -> Self {
        let seconds = at.as_seconds();
        let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
        // 1970-01-01 was a Thursday.
        let weekday = match (day + 3).rem_euclid(7) {
            0 => "mon",
            1 => "tue",
            2 => "wed",
            3 => "thu",
            4 => "fri",
            5 => "sat",
            _ => "sun",
        };
        Self { rfc3339: at, unix_seconds: seconds, weekday, hour: second / 3600, minute: second / 60 % 60 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments() {
        for (text, weekday, hour, minute) in [
            ("1970-01-01T00:00:00Z", "thu", 0, 0),
            ("2026-03-02T23:59:59Z", "mon", 23, 59),
            ("2026-03-01T12:30:00Z", "sun", 12, 30),
            ("1969-12-31T23:00:00Z", "wed", 23, 0),
        ] {
            let time = TimeInput::new(text.parse().unwrap());
            assert_eq!((time.weekday, time.hour, time.minute), (weekday, hour, minute), "{text}");
        }
    }
}
