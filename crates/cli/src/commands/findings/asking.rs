//! Another detector is asked about texts: the same once, several at a time, long ones in parts.

use std::collections::{BTreeSet, HashMap};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use hoop_client::{ClientError, Detector, detector::Found};

use super::{
    report::{Finder, Findings},
    shown::Shown,
};
use crate::failure::Result;

/// Questions at a time.
const AT_ONCE: usize = 8;
/// Characters of one question.
const LONGEST: usize = 20_000;
/// Characters that the next question has in common with the one before, for what stands where it was cut.
const COMMON: usize = 500;
/// Shorter texts hold nothing: they are not asked about.
const SHORTEST: usize = 3;
/// Texts whose findings are remembered, together so many bytes.
const MOST_KNOWN: usize = 10_000;
const MOST_BYTES: usize = 16 << 20;

type Kinds = HashMap<String, u64>;

/// Asks.
pub(super) struct Asking<'a> {
    detector: &'a Detector,
    known: HashMap<String, Kinds>,
    bytes: usize,
}

impl<'a> Asking<'a> {
    pub(super) fn new(detector: &'a Detector) -> Self {
        Self { detector, known: HashMap::new(), bytes: 0 }
    }

    /// The address that was asked.
    pub(super) fn host(&self) -> String {
        self.detector.host()
    }

    /// Adds what it finds. Whatever goes wrong with one text is an error of all.
    pub(super) async fn ask(&mut self, shown: &[Shown], findings: &mut Findings) -> Result {
        let is_asked = |text: &str| text.chars().nth(SHORTEST - 1).is_some();
        let texts = shown.iter().map(|shown| shown.text.as_str()).filter(|text| is_asked(text));
        let texts: BTreeSet<&str> = texts.filter(|text| !self.known.contains_key(*text)).collect();
        let detector = self.detector;
        let answers = stream::iter(texts)
            .map(|text| async move { Ok::<_, ClientError>((text, kinds(detector, text).await?)) });
        let fresh: HashMap<&str, Kinds> = answers.buffer_unordered(AT_ONCE).try_collect().await?;
        for shown in shown {
            let text = shown.text.as_str();
            for (kind, count) in fresh.get(text).or_else(|| self.known.get(text)).into_iter().flatten() {
                findings.add(shown, Finder::Detector, kind, *count);
            }
        }
        fresh.into_iter().for_each(|(text, kinds)| self.remember(text, kinds));
        Ok(())
    }

    fn remember(&mut self, text: &str, kinds: Kinds) {
        if self.known.len() >= MOST_KNOWN || self.bytes + text.len() > MOST_BYTES {
            self.known.clear();
            self.bytes = 0;
        }
        if text.len() <= LONGEST {
            self.bytes += text.len();
            self.known.insert(text.to_owned(), kinds);
        }
    }
}

/// How many of each kind stand in a text.
async fn kinds(detector: &Detector, text: &str) -> Result<Kinds, ClientError> {
    let mut all = BTreeSet::new();
    for (from, part) in parts(text) {
        let found = detector.analyze(part).await?;
        all.extend(found.into_iter().map(|found| Found {
            start: from + found.start,
            end: from + found.end,
            ..found
        }));
    }
    let mut kinds = Kinds::new();
    for found in all {
        *kinds.entry(found.kind).or_default() += 1;
    }
    Ok(kinds)
}

/// The text in parts, each with the number of characters before it.
fn parts(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut next = Some((0, text));
    std::iter::from_fn(move || {
        let (from, rest) = next.take()?;
        let Some((end, _)) = rest.char_indices().nth(LONGEST) else { return Some((from, rest)) };
        let behind = rest.char_indices().nth(LONGEST - COMMON).and_then(|(at, _)| rest.get(at..));
        next = behind.map(|behind| (from + LONGEST - COMMON, behind));
        rest.get(..end).map(|part| (from, part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_asked_about_in_parts_that_overlap() {
        assert_eq!(parts("short").collect::<Vec<_>>(), [(0, "short")]);
        let text: String = ('a'..='z').chain(['é', '患']).cycle().take(50_000).collect();
        let parts: Vec<(usize, &str)> = parts(&text).collect();
        assert_eq!(parts.iter().map(|(from, _)| *from).collect::<Vec<_>>(), [0, 19_500, 39_000]);
        for (from, part) in parts {
            let length = part.chars().count();
            assert!(length <= LONGEST && (length == LONGEST || from == 39_000));
            assert!(text.chars().skip(from).take(length).eq(part.chars()));
        }
    }
}
