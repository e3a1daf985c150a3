//! What a permitted statement's runs and answers are held to, beyond the permission itself.
//!
//! ```text
//!   Prepare ─▶ Permit{terms} ─┐ kept by whoever moves requests, beside what was prepared
//!                             ├─▶ Bind, Execute   asked again with the terms: values, how often
//!                             └─▶ returned()      before rows go to the client: how much
//! ```
//!
//! Rows are counted before they are shown: what is too much is not shown, and ends the stream, so that the database undoes what is open.

mod limits;
mod meter;

use std::{collections::BTreeMap, fmt, sync::Arc};

use hoop_model::{RuleName, Timestamp};
use hoop_sql::{Dialect, Statement};

pub use limits::{AtMost, NotASize, Rate, Size};
pub use meter::{Meters, Returned};

use crate::{Denial, Explained, StatementRule};

/// What a permitted statement is held to. Cheap to clone.
#[derive(Clone)]
pub struct Terms(Arc<Inner>);

struct Inner {
    at_most: Vec<(RuleName, AtMost)>,
    /// With how many statements of the text each is about.
    rates: Vec<(RuleName, Rate, u64)>,
    meters: Arc<Meters>,
    /// Values are bound to it later, and conditions look at them.
    again: Option<Again>,
    gives_names: bool,
}

impl Inner {
    /// But for its text.
    fn copied(&self) -> Self {
        Self {
            at_most: self.at_most.clone(),
            rates: self.rates.clone(),
            meters: Arc::clone(&self.meters),
            again: None,
            gives_names: self.gives_names,
        }
    }
}

/// A text that is read again when values are bound to it.
pub(crate) struct Again {
    pub(crate) text: Box<[u8]>,
    pub(crate) dialect: Dialect,
}

impl Terms {
    /// Of rules, for a text.
    pub(crate) fn new<'r>(
        rules: impl Iterator<Item = &'r StatementRule>,
        meters: &Arc<Meters>,
        explained: &Explained<'_>,
    ) -> Self {
        let mut counted: BTreeMap<&RuleName, (&StatementRule, u64)> = BTreeMap::new();
        for rule in rules {
            counted.entry(&rule.name).or_insert((rule, 0)).1 += 1;
        }
        let (mut at_most, mut rates) = (Vec::new(), Vec::new());
        for (name, (rule, count)) in counted {
            at_most.extend(rule.at_most.map(|limit| (name.clone(), limit)));
            rates.extend(rule.rate.map(|rate| (name.clone(), rate, count)));
        }
        let gives_names = explained.reading().statements.iter().any(Statement::gives_names);
        Self(Arc::new(Inner { at_most, rates, meters: Arc::clone(meters), again: None, gives_names }))
    }

    /// The same; the text is read again when values are bound to it.
    pub(crate) fn read_again(&self, text: &[u8], dialect: Dialect) -> Self {
        let again = Some(Again { text: text.into(), dialect });
        Self(Arc::new(Inner { again, ..self.0.copied() }))
    }

    /// All of them at once; `None` if there are none.
    pub(crate) fn all(terms: &[Self]) -> Option<Self> {
        let (first, rest) = terms.split_first()?;
        if rest.is_empty() {
            return Some(first.clone());
        }
        let mut all = first.0.copied();
        for more in rest {
            all.at_most.extend(more.0.at_most.iter().filter(|more| !first.0.at_most.contains(more)).cloned());
            all.rates.extend(more.0.rates.iter().filter(|more| !first.0.rates.contains(more)).cloned());
            all.gives_names |= more.0.gives_names;
        }
        Some(Self(Arc::new(all)))
    }

    /// See [`crate::Permit::gives_names`].
    #[must_use]
    pub fn give_names(&self) -> bool {
        self.0.gives_names
    }

    /// Nothing is held against them.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.0.at_most.is_empty() && self.0.rates.is_empty()
    }

    /// Bytes that it takes up.
    #[must_use]
    pub fn cost(&self) -> usize {
        let text = self.0.again.as_ref().map_or(0, |again| again.text.len());
        size_of::<Inner>() + 64 * (self.0.at_most.len() + self.0.rates.len()) + text
    }

    pub(crate) fn again(&self) -> Option<&Again> {
        self.0.again.as_ref()
    }

    /// It is run once more.
    pub(crate) fn run(&self, now: Timestamp) -> Result<(), Denial> {
        self.0.rates.iter().try_for_each(|(rule, rate, count)| {
            self.0.meters.run(rule, rate, *count, now).map_err(|what| Denial::TooOften {
                rule: rule.clone(),
                what,
                per: rate.per,
            })
        })
    }

    /// `more` is about to be returned; `answer` is all of this answer, `more` included.
    ///
    /// # Errors
    /// [`Denial::TooMuch`] or [`Denial::TooOften`]: it must not be.
    pub fn returned(&self, answer: Returned, more: Returned, now: Timestamp) -> Result<(), Denial> {
        for (rule, limit) in &self.0.at_most {
            if let Some(most) = limit.exceeded(answer) {
                return Err(Denial::TooMuch { rule: rule.clone(), most });
            }
        }
        self.0.rates.iter().try_for_each(|(rule, rate, _)| {
            let taken = self.0.meters.take(rule, rate, more, now);
            taken.map_err(|what| Denial::TooOften { rule: rule.clone(), what, per: rate.per })
        })
    }
}

/// The same, not such that say the same.
impl PartialEq for Terms {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Terms {}

impl fmt::Debug for Terms {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Terms")
            .field("at_most", &self.0.at_most)
            .field("rates", &self.0.rates)
            .finish_non_exhaustive()
    }
}
