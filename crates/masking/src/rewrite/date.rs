//! How a date is written, so that another can be written the same way.

use jiff::{ToSpan, civil::Date};

use crate::check;

const ENGLISH: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
const GERMAN: [&str; 12] = [
    "januar",
    "februar",
    "märz",
    "april",
    "mai",
    "juni",
    "juli",
    "august",
    "september",
    "oktober",
    "november",
    "dezember",
];

/// A field and how wide it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Year(usize),
    Month(usize),
    Day(usize),
    /// By name: of which list, whether in full, whether in capitals.
    Named {
        german: bool,
        full: bool,
        shouted: bool,
    },
}

/// A date, and its form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DateForm {
    date: Date,
    fields: [Field; 3],
    between: [Vec<u8>; 2],
}

/// Digits or a name, and what follows.
struct Word<'a> {
    text: &'a [u8],
    gap: &'a [u8],
    rest: &'a [u8],
}

impl<'a> Word<'a> {
    fn read(text: &'a [u8]) -> Option<Self> {
        let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let letters = text.iter().take_while(|byte| byte.is_ascii_alphabetic() || **byte >= 0x80).count();
        let (word, behind) =
            text.split_at_checked(digits.max(letters)).filter(|(word, _)| !word.is_empty())?;
        let gap = match behind {
            [b's', b't', ..] | [b'n' | b'r', b'd', ..] | [b't', b'h', ..] if digits > 0 => 2,
            _ => 0,
        };
        let sign = |byte: &&u8| matches!(byte, b' ' | b'-' | b'/' | b'.' | b',');
        let gap = gap + behind.get(gap..)?.iter().take(2).take_while(sign).count();
        let (gap, rest) = behind.split_at_checked(gap)?;
        Some(Self { text: word, gap, rest })
    }

    fn number(&self) -> Option<i16> {
        std::str::from_utf8(self.text).ok()?.parse().ok()
    }

    /// The month of this name.
    fn month(&self) -> Option<(i8, Field)> {
        if self.text.first().is_some_and(u8::is_ascii_digit) {
            return None;
        }
        let name = std::str::from_utf8(self.text).ok()?.to_lowercase();
        let shouted = self.text.iter().all(|byte| !byte.is_ascii_lowercase());
        for (german, list) in [(false, ENGLISH), (true, GERMAN)] {
            let found = list.into_iter().zip(1..).find(|(month, _)| {
                *month == name || (matches!(name.len(), 3 | 4) && month.starts_with(name.as_str()))
            });
            if let Some((month, number)) = found {
                return Some((
                    number,
                    Field::Named { german, full: month == name && month.len() > 3, shouted },
                ));
            }
        }
        None
    }
}

impl DateForm {
    /// The date at the beginning of the text, and how many bytes it takes.
    pub(crate) fn read(text: &[u8]) -> Option<(usize, Self)> {
        let first = Word::read(text)?;
        if first.text.len() == 8 && first.text.iter().all(u8::is_ascii_digit) {
            return Self::compact(first.text).map(|form| (8, form));
        }
        let second = Word::read(first.rest)?;
        let third = Word::read(second.rest)?;
        let length = text.len() - third.rest.len() - third.gap.len();
        let (day, year) =
            (|word: &Word<'_>| Field::Day(word.text.len()), |word: &Word<'_>| Field::Year(word.text.len()));
        let (fields, numbers) = if let Some((month, named)) = first.month() {
            ([named, day(&second), year(&third)], [third.number()?, i16::from(month), second.number()?])
        } else if let Some((month, named)) = second.month() {
            ([day(&first), named, year(&third)], [third.number()?, i16::from(month), first.number()?])
        } else {
            Self::numeric(&first, &second, &third)?
        };
        let wide = |field: &Field| match field {
            Field::Year(width) => matches!(width, 2 | 4),
            Field::Month(width) | Field::Day(width) => matches!(width, 1 | 2),
            Field::Named { .. } => true,
        };
        if !fields.iter().all(wide) || first.gap.is_empty() || second.gap.is_empty() {
            return None;
        }
        let [year, month, day] = numbers;
        let short = fields.contains(&Field::Year(2));
        let year = if short { century(year) } else { year };
        let date = check::birth_date(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?)?;
        Some((length, Self { date, fields, between: [first.gap.to_vec(), second.gap.to_vec()] }))
    }

    /// Three numbers with one sign between; answers year, month and day.
    fn numeric(first: &Word<'_>, second: &Word<'_>, third: &Word<'_>) -> Option<([Field; 3], [i16; 3])> {
        let [sign @ (b'-' | b'/' | b'.')] = first.gap else { return None };
        if second.gap != [*sign] {
            return None;
        }
        let [one, two, three] = [first.number()?, second.number()?, third.number()?];
        let [a, b, c] = [first, second, third].map(|word| word.text.len());
        Some(if a == 4 {
            ([Field::Year(a), Field::Month(b), Field::Day(c)], [one, two, three])
        } else if *sign == b'.' || one > 12 {
            ([Field::Day(a), Field::Month(b), Field::Year(c)], [three, two, one])
        } else {
            ([Field::Month(a), Field::Day(b), Field::Year(c)], [three, one, two])
        })
    }

    /// `19750304`.
    fn compact(digits: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(digits).ok()?;
        let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<i16>().ok();
        let [month, day] = [i8::try_from(part(4..6)?).ok()?, i8::try_from(part(6..8)?).ok()?];
        let date = check::birth_date(part(0..4)?, month, day)?;
        Some(Self {
            date,
            fields: [Field::Year(4), Field::Month(2), Field::Day(2)],
            between: [Vec::new(), Vec::new()],
        })
    }

    pub(crate) const fn date(&self) -> Date {
        self.date
    }

    /// Another date in this form: so many days off, into the past if that fits the calendar of births.
    pub(super) fn moved(&self, days: i32) -> Option<Vec<u8>> {
        let past = self.date.checked_sub(days.days()).ok().filter(|date| date.year() >= 1850);
        let date = past.or_else(|| self.date.checked_add(days.days()).ok())?;
        let mut text = Vec::new();
        for (place, field) in self.fields.iter().enumerate() {
            let written = match *field {
                Field::Year(2) => format!("{:02}", date.year().rem_euclid(100)),
                Field::Year(_) => format!("{:04}", date.year()),
                Field::Month(width) => format!("{:0width$}", date.month()),
                Field::Day(width) => format!("{:0width$}", date.day()),
                Field::Named { german, full, shouted } => named(date.month(), german, full, shouted)?,
            };
            text.extend(written.into_bytes());
            // The ordinal of another day would be wrong: it goes.
            let gap = self.between.get(place).map_or(&[][..], Vec::as_slice);
            text.extend(gap.iter().filter(|byte| !byte.is_ascii_alphabetic()));
        }
        Some(text)
    }
}

fn named(month: i8, german: bool, full: bool, shouted: bool) -> Option<String> {
    let list = if german { GERMAN } else { ENGLISH };
    let name = usize::try_from(month).ok().and_then(|month| list.get(month.checked_sub(1)?))?;
    let kept = if full { name.chars().count() } else { 3 };
    let letters = name.chars().take(kept).enumerate();
    Some(
        letters
            .map(|(place, letter)| if place == 0 || shouted { letter.to_ascii_uppercase() } else { letter })
            .collect(),
    )
}

/// A year of two digits: nobody is asked what year it is.
const fn century(year: i16) -> i16 {
    if year > 30 { 1900 + year } else { 2000 + year }
}
