//! The small values of a rule file, each checked as it is read: lengths of time, times of day, zones, networks, users.
//!
//! They know nothing of rules.

use std::{borrow::Borrow, fmt, net::IpAddr, str::FromStr, sync::OnceLock, time::Duration};

use hoop_model::ConnectionName;
use ipnet::{IpNet, Ipv4Net};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Why a text is not the value wanted, and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WordError {
    /// Not a length of time.
    #[error("{0:?} is no length of time: write a number and s, m, h or d, such as 90s, 30m, 8h or 7d")]
    Period(String),
    /// Not a time for which recordings are kept.
    #[error(
        "{0:?} is no time to keep a recording: write a number and y, d, h, m or s, such as 7y or 2190d, at most 100y"
    )]
    Retention(String),
    /// Zero.
    #[error("a length of time must not be 0: leave the field out for its default")]
    Nothing,
    /// More than a year.
    #[error("{0:?} is too long: at most 366d can be written")]
    Endless(String),
    /// Not a time of day.
    #[error("{0:?} is no time of day: write hours and minutes such as \"08:00\", at most \"24:00\"")]
    Clock(String),
    /// Not a time zone.
    #[error("{0:?} is no known time zone: write its IANA name, such as Europe/Berlin or UTC")]
    Zone(String),
    /// Not a network.
    #[error("{0:?} is no network: write 10.0.0.0/8, 2001:db8::/32, or one address")]
    Network(String),
    /// Bits behind the prefix.
    #[error("{found:?} has bits set behind its prefix: write {meant} if you mean the whole network")]
    HostBits {
        /// What was written.
        found: String,
        /// The network it lies in.
        meant: IpNet,
    },
    /// Not a user's name.
    #[error("{0:?} cannot be a user at a target: 1 to 63 bytes, visible characters, no space at either end")]
    TargetUser(String),
    /// Not a connection's name.
    #[error("{0} (or \"*\" alone for all)")]
    Connection(#[from] hoop_model::NameError),
}

/// What a message shows of a text that somebody sent: its beginning.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self}")
            }
        }
    )*};
}

as_text!(Period, Retention, Clock, Zone, Network, TargetUser, ConnectionPattern);

/// A length of time in whole seconds, never zero: `90s`, `30m`, `8h`, `7d`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Period(u64);

const UNITS: [(char, u64); 4] = [('d', 86_400), ('h', 3_600), ('m', 60), ('s', 1)];
const LONGEST_PERIOD: u64 = 366 * 86_400;

impl Period {
    pub(super) const fn seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// As the standard library's type.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, seconds) = UNITS.into_iter().find(|(_, s)| self.0.is_multiple_of(*s)).unwrap_or(('s', 1));
        write!(f, "{}{unit}", self.0 / seconds)
    }
}

impl FromStr for Period {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        let seconds = amount(text, UNITS.into_iter()).ok_or_else(|| WordError::Period(shown(text)))?;
        match seconds {
            0 => Err(WordError::Nothing),
            seconds if seconds > LONGEST_PERIOD => Err(WordError::Endless(shown(text))),
            seconds => Ok(Self(seconds)),
        }
    }
}

/// How long a recording is kept after its session: `7y`, `2190d`. A year counts 366 days, so that it is never too short.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Retention(u64);

const YEAR: u64 = 366 * 86_400;
const LONGEST_RETENTION: u64 = 100 * YEAR;

impl Retention {
    /// As the standard library's type.
    #[must_use]
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

impl fmt::Display for Retention {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_multiple_of(YEAR) { write!(f, "{}y", self.0 / YEAR) } else { Period(self.0).fmt(f) }
    }
}

impl FromStr for Retention {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        let wrong = || WordError::Retention(shown(text));
        let units = [('y', YEAR)].into_iter().chain(UNITS);
        let seconds = amount(text, units).ok_or_else(wrong)?;
        match seconds {
            0 => Err(WordError::Nothing),
            seconds if seconds > LONGEST_RETENTION => Err(wrong()),
            seconds => Ok(Self(seconds)),
        }
    }
}

/// A whole number and one of the units, in seconds.
fn amount(text: &str, mut units: impl Iterator<Item = (char, u64)>) -> Option<u64> {
    let (_, unit) = units.find(|(u, _)| text.ends_with(*u))?;
    let digits = text.get(..text.len() - 1)?;
    let is_number = (1..=9).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse::<u64>().ok())?.map(|number| number.saturating_mul(unit))
}

/// A time of day on a wall clock, to the minute: `00:00` to `24:00`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Clock(u16);

impl Clock {
    /// The end of the day, `24:00`.
    pub const MIDNIGHT: Self = Self(24 * 60);

    /// Minutes since the day began.
    #[must_use]
    pub const fn minutes(self) -> u16 {
        self.0
    }
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

impl FromStr for Clock {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        let wrong = || WordError::Clock(shown(text));
        let two = |part: &str| match part.as_bytes() {
            [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => {
                Some(u16::from(tens - b'0') * 10 + u16::from(ones - b'0'))
            }
            _ => None,
        };
        let (hours, minutes) = text.split_once(':').ok_or_else(wrong)?;
        match (two(hours), two(minutes)) {
            (Some(24), Some(0)) => Ok(Self::MIDNIGHT),
            (Some(hours @ 0..24), Some(minutes @ 0..60)) => Ok(Self(hours * 60 + minutes)),
            _ => Err(wrong()),
        }
    }
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    /// The week.
    pub const ALL: [Self; 7] = [Self::Mon, Self::Tue, Self::Wed, Self::Thu, Self::Fri, Self::Sat, Self::Sun];
}

/// An IANA time zone, from the database that is compiled in.
#[derive(Clone)]
pub struct Zone {
    name: String,
    zone: TimeZone,
}

impl Zone {
    pub(super) const fn time_zone(&self) -> &TimeZone {
        &self.zone
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl FromStr for Zone {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        static DATABASE: OnceLock<TimeZoneDatabase> = OnceLock::new();
        let wrong = || WordError::Zone(shown(text));
        if text.len() > 64 {
            return Err(wrong());
        }
        let zone = DATABASE.get_or_init(TimeZoneDatabase::bundled).get(text).map_err(|_| wrong())?;
        if zone.is_unknown() {
            return Err(wrong());
        }
        // The database's own spelling, so that two spellings are one zone.
        let name = zone.iana_name().unwrap_or(text).to_owned();
        Ok(Self { name, zone })
    }
}

/// A network, IPv4 or IPv6. IPv4 written as IPv6 (`::ffff:0:0/96`) is IPv4.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpNet);

impl Network {
    /// Whether the address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl FromStr for Network {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        let wrong = || WordError::Network(shown(text));
        let net: IpNet = if text.contains('/') {
            text.parse().map_err(|_| wrong())?
        } else {
            IpNet::from(text.parse::<IpAddr>().map_err(|_| wrong())?)
        };
        if net.trunc() != net {
            return Err(WordError::HostBits { found: shown(text), meant: net.trunc() });
        }
        let mapped = match (net, net.addr().to_canonical()) {
            (IpNet::V6(_), IpAddr::V4(v4)) if net.prefix_len() >= 96 => {
                Ipv4Net::new(v4, net.prefix_len() - 96).ok()
            }
            _ => None,
        };
        Ok(Self(mapped.map_or(net, IpNet::V4)))
    }
}

/// A user at the target, such as a database role. Kept as written: the target's own rules of case apply.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TargetUser(String);

/// As long as PostgreSQL keeps one.
const LONGEST_USER: usize = 63;

impl TargetUser {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl FromStr for TargetUser {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        let fits = (1..=LONGEST_USER).contains(&text.len()) && text.trim() == text;
        if fits && text.chars().all(is_visible) {
            return Ok(Self(text.to_owned()));
        }
        Err(WordError::TargetUser(shown(text)))
    }
}

/// Whether a character shows itself: controls, the marks that reorder or hide text and strange spaces do not.
pub(crate) fn is_visible(c: char) -> bool {
    let hidden = matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffd}'
        | '\u{e0000}'..='\u{e0fff}');
    !c.is_control() && !hidden && (c == ' ' || !c.is_whitespace())
}

/// One entry of a rule's list of connections.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConnectionPattern {
    /// Every connection: `*`.
    All,
    /// This one.
    Name(ConnectionName),
}

/// Looked up by text: `*` sorts before every character that a name begins with, so the order is the same.
impl Borrow<str> for ConnectionPattern {
    fn borrow(&self) -> &str {
        match self {
            Self::All => "*",
            Self::Name(name) => name.as_str(),
        }
    }
}

impl fmt::Display for ConnectionPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.borrow())
    }
}

impl FromStr for ConnectionPattern {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, WordError> {
        if text == "*" { Ok(Self::All) } else { Ok(Self::Name(ConnectionName::new(text)?)) }
    }
}

/// How a second factor is proven.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MfaMethod {
    /// A code of an authenticator (RFC 6238).
    Totp,
    /// A passkey (WebAuthn).
    Passkey,
    /// The identity provider says that it saw one.
    Idp,
    /// Sealed codes of several holders. No rule names it: emergencies have a switch of their own for it.
    #[serde(skip)]
    SealedCodes,
}

impl MfaMethod {
    /// All that a rule can name.
    pub const ALL: [Self; 3] = [Self::Totp, Self::Passkey, Self::Idp];

    /// As it is written in a rule.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Totp => "totp",
            Self::Passkey => "passkey",
            Self::Idp => "idp",
            Self::SealedCodes => "sealed_codes",
        }
    }
}

/// A role that a rule can let decide for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecidingRole {
    /// Those who are there to decide.
    Approver,
    /// Those who administer.
    Admin,
}

/// How a session was let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpenedBy {
    /// By an access rule.
    Rule,
    /// By a break-glass rule, at the gateway.
    BreakGlass,
    /// By a capability under a break-glass rule, at the agent, while the gateway was away.
    Capability,
}

/// What happens when a recording cannot keep up or cannot be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordingMode {
    /// Some may wait in a bounded spool before the session stops.
    #[default]
    Bounded,
    /// Nothing goes on before it is recorded.
    Strict,
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused<T: FromStr>(texts: &[&str]) {
        for text in texts {
            assert!(text.parse::<T>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn lengths_of_time() {
        for (text, seconds, canonical) in [
            ("90s", 90, "90s"),
            ("60s", 60, "1m"),
            ("30m", 1800, "30m"),
            ("24h", 86_400, "1d"),
            ("007d", 604_800, "7d"),
        ] {
            let period: Period = text.parse().unwrap();
            assert_eq!((period.duration().as_secs(), period.to_string()), (seconds, canonical.to_owned()));
        }
        refused::<Period>(&[
            "",
            "s",
            "0s",
            "0d",
            "8",
            "8 h",
            " 8h",
            "8h ",
            "-8h",
            "+8h",
            "1.5h",
            "8H",
            "8w",
            "1h30m",
            "٣h",
            "8ｈ",
            "367d",
            "99999999999d",
            "8h\n",
            "8h\0",
            "h8",
            "é",
        ]);
    }

    #[test]
    fn times_to_keep_recordings() {
        for (text, days, canonical) in [("7y", 7 * 366, "7y"), ("2190d", 2190, "2190d"), ("366d", 366, "1y")]
        {
            let kept: Retention = text.parse().unwrap();
            assert_eq!((kept.duration().as_secs() / 86_400, kept.to_string()), (days, canonical.to_owned()));
        }
        refused::<Retention>(&[
            "",
            "y",
            "0y",
            "101y",
            "-1y",
            "1.5y",
            "7",
            "7Y",
            "7 y",
            "1000000000s",
            "é",
            "7y\0",
        ]);
    }

    #[test]
    fn times_of_day() {
        for text in ["00:00", "08:05", "23:59", "24:00"] {
            assert_eq!(text.parse::<Clock>().unwrap().to_string(), text);
        }
        refused::<Clock>(&[
            "",
            "8:00",
            "08:0",
            "24:01",
            "25:00",
            "08:60",
            "08-00",
            "08:00:00",
            "0800",
            "٠٨:٠٠",
            "-1:00",
        ]);
    }

    #[test]
    fn zones() {
        assert_eq!("europe/berlin".parse::<Zone>().unwrap().to_string(), "Europe/Berlin");
        assert_eq!("UTC".parse::<Zone>().unwrap().to_string(), "UTC");
        refused::<Zone>(&[
            "",
            "Mars/Base",
            "Etc/Unknown",
            "../etc/passwd",
            "/etc/localtime",
            "Europe/Berlin\0",
            "CET-1CEST",
        ]);
    }

    #[test]
    fn networks() {
        for (text, canonical) in [
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
            ("::ffff:10.1.2.3", "10.1.2.3/32"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), canonical);
        }
        refused::<Network>(&[
            "",
            "*",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0/8",
            "2001:db8::1/32",
            "localhost",
            "10.0.0.0/8,::/0",
        ]);
    }

    #[test]
    fn an_ipv4_address_in_ipv6_clothes_is_ipv4() {
        let network: Network = "10.0.0.0/8".parse().unwrap();
        assert!(network.contains("::ffff:10.9.9.9".parse().unwrap()));
        assert!(!network.contains("::ffff:11.9.9.9".parse().unwrap()));
        assert!(!network.contains("::10.9.9.9".parse().unwrap()));
        let everything: Network = "::/0".parse().unwrap();
        assert!(
            !everything.contains("::ffff:10.9.9.9".parse().unwrap()),
            "an IPv6 network is no IPv4 network"
        );
    }

    #[test]
    fn users_at_a_target() {
        for text in ["clinic_ro", "Müller", "a b", "o'hara", "-x", "a\"b"] {
            assert_eq!(text.parse::<TargetUser>().unwrap().as_str(), text);
        }
        let long = "x".repeat(64);
        refused::<TargetUser>(&[
            "",
            " ",
            " a",
            "a ",
            "a\nb",
            "a\0",
            "a\tb",
            "a\u{1b}[2J",
            "a\u{7f}",
            "a\u{85}",
            "a\u{202e}b",
            "a\u{200b}b",
            "a\u{a0}b",
            "\u{feff}a",
            "a\u{2028}b",
            &long,
        ]);
    }

    #[test]
    fn connections() {
        assert_eq!("*".parse::<ConnectionPattern>().unwrap(), ConnectionPattern::All);
        refused::<ConnectionPattern>(&["", "**", "pg-*", "*.prod", "Pg", "a b", "a,b"]);
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_again(seconds in 1..LONGEST_PERIOD) {
            let period = Period::seconds(seconds);
            prop_assert_eq!(period.to_string().parse::<Period>().unwrap(), period);
        }

        #[test]
        fn any_text_is_refused_or_read_back(text in ".{0,40}") {
            if let Ok(value) = text.parse::<Period>() { prop_assert_eq!(value.to_string().parse(), Ok(value)); }
            if let Ok(value) = text.parse::<Clock>() { prop_assert_eq!(value.to_string().parse(), Ok(value)); }
            if let Ok(value) = text.parse::<Network>() { prop_assert_eq!(value.to_string().parse(), Ok(value)); }
            if let Ok(value) = text.parse::<TargetUser>() { prop_assert!(value.as_str().chars().all(|c| !c.is_control())); }
        }
    }
}
