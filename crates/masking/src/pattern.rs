//! Record numbers as an organisation writes them, in a pattern language that cannot be made slow.
//!
//! `#` is a digit, `@` a letter, `*` either; `{3}` or `{3,8}` after one of them repeats it; everything else stands for
//! itself, letters in either case. `MRN-#{6,8}` and `@@####` are patterns. At most [`MOST`] characters can match, and at
//! least [`FEWEST`] of them must be `#` or `*`: a pattern that matched every word would mask everything.

use std::str::FromStr;

use thiserror::Error;

/// The longest text that a pattern may match.
const MOST: usize = 63;
/// So many digits or letters of the number are not given.
const FEWEST: usize = 3;

/// Why a pattern is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadPattern {
    /// It can match more than 63 characters.
    #[error("a pattern may match 63 characters at most")]
    TooLong,
    /// Fewer than three of `#` and `*`.
    #[error("a pattern needs three of `#` or `*` at least")]
    TooLoose,
    /// `{`…`}` is not one or two numbers after `#`, `@` or `*`.
    #[error("`{{n}}` or `{{n,m}}` stands after `#`, `@` or `*`, and n is not more than m")]
    Repetition,
    /// Not printable ASCII, or white space, or it begins with something else than a letter, digit, `#`, `@` or `*`.
    #[error(
        "a pattern is printable ASCII without spaces, and begins with a letter, a digit, `#`, `@` or `*`"
    )]
    Character,
}

/// One such pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordPattern {
    items: Vec<Item>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Item {
    symbol: Symbol,
    optional: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Symbol {
    Digit,
    Letter,
    Either,
    Itself(u8),
}

impl Symbol {
    const fn takes(self, byte: u8) -> bool {
        match self {
            Self::Digit => byte.is_ascii_digit(),
            Self::Letter => byte.is_ascii_alphabetic(),
            Self::Either => byte.is_ascii_alphanumeric(),
            Self::Itself(own) => own.eq_ignore_ascii_case(&byte),
        }
    }
}

impl FromStr for RecordPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        let mut items = Vec::new();
        let mut rest = text.as_bytes();
        while let [first, after @ ..] = rest {
            let symbol = match first {
                b'#' => Symbol::Digit,
                b'@' => Symbol::Letter,
                b'*' => Symbol::Either,
                b'{' | b'}' => return Err(BadPattern::Repetition),
                0x21..=0x7e => Symbol::Itself(*first),
                _ => return Err(BadPattern::Character),
            };
            let (least, most, behind) = match (symbol, after) {
                (Symbol::Itself(_), _) => (1, 1, after),
                (_, [b'{', inside @ ..]) => repetition(inside)?,
                _ => (1, 1, after),
            };
            rest = behind;
            if items.len() + most > MOST {
                return Err(BadPattern::TooLong);
            }
            items.extend((0..most).map(|count| Item { symbol, optional: count >= least }));
        }
        match items.first().map(|item| item.symbol) {
            Some(Symbol::Itself(byte)) if !byte.is_ascii_alphanumeric() => return Err(BadPattern::Character),
            _ => {}
        }
        let open = |item: &&Item| !item.optional && matches!(item.symbol, Symbol::Digit | Symbol::Either);
        if items.iter().filter(open).count() < FEWEST {
            return Err(BadPattern::TooLoose);
        }
        Ok(Self { items })
    }
}

/// What follows `{`: the numbers, and what is left.
fn repetition(inside: &[u8]) -> Result<(usize, usize, &[u8]), BadPattern> {
    let close = inside.iter().position(|byte| *byte == b'}').ok_or(BadPattern::Repetition)?;
    let (numbers, rest) = inside.split_at_checked(close).ok_or(BadPattern::Repetition)?;
    let numbers = std::str::from_utf8(numbers).map_err(|_| BadPattern::Repetition)?;
    let (least, most) = numbers.split_once(',').unwrap_or((numbers, numbers));
    let number = |text: &str| text.parse::<u8>().map(usize::from).map_err(|_| BadPattern::Repetition);
    let (least, most) = (number(least)?, number(most)?);
    if most == 0 || least > most {
        return Err(BadPattern::Repetition);
    }
    Ok((least, most, rest.get(1..).unwrap_or(&[])))
}

impl RecordPattern {
    /// The length of the longest match at the beginning of `text`. Every state is followed at once: nothing is tried
    /// twice.
    pub(crate) fn matches(&self, text: &[u8]) -> Option<usize> {
        let end = 1_u64 << self.items.len();
        let mut states = self.skip_optional(1);
        let mut longest = None;
        for (at, byte) in text.iter().enumerate().take(self.items.len()) {
            let mut next = 0;
            for (place, item) in self.items.iter().enumerate() {
                if states >> place & 1 == 1 && item.symbol.takes(*byte) {
                    next |= 2 << place;
                }
            }
            states = self.skip_optional(next);
            if states == 0 {
                break;
            }
            if states & end != 0 && !text.get(at + 1).is_some_and(u8::is_ascii_alphanumeric) {
                longest = Some(at + 1);
            }
        }
        longest
    }

    fn skip_optional(&self, mut states: u64) -> u64 {
        for (place, item) in self.items.iter().enumerate() {
            if item.optional && states >> place & 1 == 1 {
                states |= 2 << place;
            }
        }
        states
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_numbers() {
        for (pattern, text, length) in [
            ("MRN-#{6,8}", "mrn-1234567 x", Some(11)),
            ("MRN-#{6,8}", "MRN-12345", None),
            ("MRN-#{6,8}", "MRN-123456789", None),
            ("@@####", "AB1234", Some(6)),
            ("@@####", "AB1234C", None),
            ("#{3,5}-#{0,2}*{3}", "123-A12", Some(7)),
            ("#{1,3}#{3}", "1234", Some(4)),
        ] {
            assert_eq!(
                pattern.parse::<RecordPattern>().unwrap().matches(text.as_bytes()),
                length,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn patterns_that_are_slow_or_mask_everything_are_refused() {
        for (pattern, why) in [
            ("#{64}", BadPattern::TooLong),
            ("#{40}#{40}", BadPattern::TooLong),
            ("", BadPattern::TooLoose),
            ("MRN-##", BadPattern::TooLoose),
            ("@{5}#{0,9}", BadPattern::TooLoose),
            ("A{3}###", BadPattern::Repetition),
            ("#{3", BadPattern::Repetition),
            ("#{5,2}", BadPattern::Repetition),
            ("#{0}###", BadPattern::Repetition),
            ("#{-1}###", BadPattern::Repetition),
            ("MRN ###", BadPattern::Character),
            ("ß###", BadPattern::Character),
            ("-###", BadPattern::Character),
        ] {
            assert_eq!(pattern.parse::<RecordPattern>(), Err(why), "{pattern}");
        }
    }
}
