//! What is detected, and how often it was. Knows nothing of how.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A kind of personal, health or secret data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Kind {
    /// A social security number of the United States.
    Ssn,
    /// A medical record number: after a label, or of a configured [`RecordPattern`](crate::RecordPattern).
    Mrn,
    /// A national provider identifier, after a label; its check digit is right.
    Npi,
    /// A telephone number: North American, `+` and a country, or after a label.
    Phone,
    /// An e-mail address.
    Email,
    /// A street line, with flat, town and ZIP code where they follow; a post office box.
    Address,
    /// A ZIP or ZIP+4 code after a label or a state.
    Zip,
    /// A date after a word that says it is one of birth.
    BirthDate,
    /// A diagnosis code: ICD-10-CM with its dot, or after a label.
    Icd10,
    /// A payment card's number.
    Card,
    /// An international bank account number.
    Iban,
    /// A person's name: after a title or a label, or by the embedded lists.
    Name,
    /// A password, token or private key.
    Secret,
    /// A URL.
    Url,
    /// An IPv4 or IPv6 address.
    IpAddress,
}

impl Kind {
    /// Every kind, in the order of the variants.
    pub const ALL: [Self; 15] = [
        Self::Ssn,
        Self::Mrn,
        Self::Npi,
        Self::Phone,
        Self::Email,
        Self::Address,
        Self::Zip,
        Self::BirthDate,
        Self::Icd10,
        Self::Card,
        Self::Iban,
        Self::Name,
        Self::Secret,
        Self::Url,
        Self::IpAddress,
    ];

    /// As it stands in a policy and, between brackets, in masked text.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Ssn => "ssn",
            Self::Mrn => "mrn",
            Self::Npi => "npi",
            Self::Phone => "phone",
            Self::Email => "email",
            Self::Address => "address",
            Self::Zip => "zip",
            Self::BirthDate => "birth_date",
            Self::Icd10 => "icd10",
            Self::Card => "card",
            Self::Iban => "iban",
            Self::Name => "name",
            Self::Secret => "secret",
            Self::Url => "url",
            Self::IpAddress => "ip_address",
        }
    }

    const fn bit(self) -> u16 {
        1 << self as u16
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KindSet(u16);

impl KindSet {
    /// Every kind there is.
    #[must_use]
    pub fn all() -> Self {
        Kind::ALL.into_iter().collect()
    }

    /// Is this kind in it?
    #[must_use]
    pub const fn contains(self, kind: Kind) -> bool {
        self.0 & kind.bit() != 0
    }
}

impl FromIterator<Kind> for KindSet {
    fn from_iter<I: IntoIterator<Item = Kind>>(kinds: I) -> Self {
        Self(kinds.into_iter().fold(0, |set, kind| set | kind.bit()))
    }
}

/// How many findings of each kind were masked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts([u64; Kind::ALL.len()]);

impl Counts {
    /// Of one kind.
    #[must_use]
    pub fn of(&self, kind: Kind) -> u64 {
        self.0.get(kind as usize).copied().unwrap_or(0)
    }

    /// Of all kinds.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }

    /// The kinds that were found, with how often.
    pub fn iter(&self) -> impl Iterator<Item = (Kind, u64)> {
        Kind::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }

    /// One more.
    pub fn add(&mut self, kind: Kind) {
        if let Some(count) = self.0.get_mut(kind as usize) {
            *count += 1;
        }
    }

    /// So many more.
    pub fn merge(&mut self, others: &Self) {
        for (count, other) in self.0.iter_mut().zip(others.0) {
            *count += other;
        }
    }
}
