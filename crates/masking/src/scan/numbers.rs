//! What is made of digits: each candidate is a row of groups with one separator between, and a validator has the last
//! word. Diagnosis codes are here too.

use super::{
    Match, Piece, Seen,
    view::{DIGIT, LETTER, SEPARATOR, UPPER, View, class},
};
use crate::{
    check,
    kind::Kind,
    words::{self, BIRTH, DIAGNOSIS, MONTH, MRN, NPI, PART, PERSON, PHONE, SSN, VERSION, ZIP},
};

const MOST_GROUPS: usize = 8;
const MOST_DIGITS: usize = 20;

/// What stands before a number.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// Nothing that could belong to it.
    Clean,
    /// A letter, or a letter and a sign: a number only behind its label.
    Soft,
    /// Digits: this is a part of a longer number.
    Inside,
}

/// Digits without anything between. Small, for many are read.
#[derive(Clone, Copy, Default)]
struct Group {
    length: u8,
    /// Where it ends, counted from the start of the first.
    end: u8,
    /// The byte behind.
    next: u8,
}

/// Digits with one byte between the groups.
struct Groups {
    start: usize,
    all: [Group; MOST_GROUPS],
    count: usize,
    /// Of all groups, without what is between.
    digits: [u8; MOST_DIGITS],
    total: usize,
}

impl Groups {
    fn read(view: View<'_>, start: usize) -> Self {
        let text = view.from(start);
        let none = [Group::default(); MOST_GROUPS];
        let mut read = Self { start, all: none, count: 0, digits: [0; MOST_DIGITS], total: 0 };
        let mut at = 0_u8;
        for group in &mut read.all {
            let mut end = at;
            let next = loop {
                match (text.get(usize::from(end)), read.digits.get_mut(read.total)) {
                    (Some(byte @ b'0'..=b'9'), Some(digit)) => *digit = byte - b'0',
                    // More digits than any number has: the group does not count.
                    (Some(b'0'..=b'9'), None) => {
                        read.total -= usize::from(end - at);
                        return read;
                    }
                    (next, _) => break next.copied().unwrap_or(0),
                }
                read.total += 1;
                end += 1;
            };
            if end == at {
                break;
            }
            *group = Group { length: end - at, end, next };
            read.count += 1;
            if !is_between(next) {
                break;
            }
            at = end + 1;
        }
        read
    }

    /// Where a group ends, in the view.
    fn end(&self, group: Group) -> usize {
        self.start + usize::from(group.end)
    }

    /// The groups begin with these lengths, and `same` takes the bytes between them: where they end.
    fn shaped(&self, lengths: &[u8], same: impl Fn(u8) -> bool) -> Option<usize> {
        let groups = self.all.get(..lengths.len()).filter(|groups| groups.len() <= self.count)?;
        let (last, inner) = groups.split_last()?;
        let separator = inner.first().map_or(b'-', |group| group.next);
        let fits = groups.iter().zip(lengths).all(|(group, length)| group.length == *length)
            && inner.iter().all(|group| group.next == separator)
            && same(separator);
        fits.then(|| self.end(*last))
    }

    fn first(&self, count: usize) -> &[u8] {
        self.digits.get(..count).filter(|_| count <= self.total).unwrap_or(&[])
    }
}

impl Seen<'_> {
    /// A number that begins here.
    pub(super) fn number(&self, start: usize) -> Option<Match> {
        if self.promises(start) { self.any_number(start) } else { None }
    }

    /// Could it be any? Most numbers are not: nothing says so before them, and no kind is grouped as they are.
    pub(super) fn promises(&self, start: usize) -> bool {
        let view = self.view;
        let far = |role| self.behind(role, start).is_none();
        if matches!(view.before(start), b'+' | b'(')
            || ![BIRTH, SSN, MRN, NPI, PHONE, ZIP].into_iter().all(far)
        {
            return true;
        }
        let end = view.run(start, DIGIT);
        let second = if is_between(view.at(end)) { view.run(end + 1, DIGIT) - end - 1 } else { 0 };
        // By their first two groups: SSN, telephone, telephone behind 1, and the cards. Then cards without groups.
        matches!((end - start, second), (3, 2 | 3) | (1, 3) | (4, 4 | 6) | (13.., _))
    }

    pub(super) fn any_number(&self, start: usize) -> Option<Match> {
        let edge = self.edge(start);
        let groups = Groups::read(self.view, start);
        self.birth_date(start)
            .or_else(|| if edge == Edge::Clean { self.card(start, &groups) } else { None })
            .or_else(|| if edge == Edge::Inside { None } else { self.ssn(start, &groups, edge) })
            .or_else(|| if edge == Edge::Inside { None } else { self.npi(start, &groups) })
            .or_else(|| if edge == Edge::Inside { None } else { self.record(start) })
            .or_else(|| if edge == Edge::Inside { None } else { self.phone(start, &groups, edge) })
            .or_else(|| if edge == Edge::Inside { None } else { self.labelled_zip(start) })
    }

    fn edge(&self, start: usize) -> Edge {
        let before = self.view.before(start);
        let earlier = start.checked_sub(2).map_or(0, |place| self.view.at(place));
        match before {
            b'0'..=b'9' => Edge::Inside,
            b'-' | b'.' | b'/' | b'_' | b':' if earlier.is_ascii_digit() => Edge::Inside,
            b'a'..=b'z' | b'A'..=b'Z' => Edge::Soft,
            b'-' | b'.' | b'/' if earlier.is_ascii_alphabetic() => Edge::Soft,
            _ => Edge::Clean,
        }
    }

    fn ssn(&self, start: usize, groups: &Groups, edge: Edge) -> Option<Match> {
        if !self.looks_for(Kind::Ssn) {
            return None;
        }
        let labelled = self.rather(SSN, MRN, start) && self.rather(SSN, PHONE, start);
        let dashed = groups.shaped(&[3, 2, 4], |separator| separator == b'-');
        let end = if labelled {
            dashed.or_else(|| groups.shaped(&[3, 2, 4], |_| true)).or_else(|| groups.shaped(&[9], |_| true))
        } else {
            dashed.filter(|_| edge == Edge::Clean && check::ssn(groups.first(9)))
        };
        // A letter may follow: `123-45-6789A` was a claim number of Medicare.
        end.filter(|end| self.view.ends_digits(*end)).map(|end| Match::new(Kind::Ssn, start, end))
    }

    fn card(&self, start: usize, groups: &Groups) -> Option<Match> {
        if groups.total < 13 || !self.looks_for(Kind::Card) {
            return None;
        }
        let shapes: [&[u8]; 11] = [
            &[4, 4, 4, 4, 3],
            &[4, 4, 4, 4],
            &[4, 4, 4, 1],
            &[4, 6, 5],
            &[4, 6, 4],
            &[19],
            &[18],
            &[16],
            &[15],
            &[14],
            &[13],
        ];
        shapes.into_iter().find_map(|shape| {
            let end = groups.shaped(shape, |separator| matches!(separator, b' ' | b'-'))?;
            let real = check::card(groups.first(shape.iter().copied().map(usize::from).sum()))
                && self.view.ends(end);
            real.then_some(Match::new(Kind::Card, start, end))
        })
    }

    fn npi(&self, start: usize, groups: &Groups) -> Option<Match> {
        let end = groups.shaped(&[10], |_| true)?;
        let real = self.looks_for(Kind::Npi)
            && self.labelled(NPI, start)
            && self.view.ends(end)
            && check::npi(groups.first(10));
        real.then_some(Match::new(Kind::Npi, start, end))
    }

    /// What a label calls a record number: digits, or letters and digits, perhaps with dashes.
    pub(super) fn record(&self, start: usize) -> Option<Match> {
        let near = self.behind(MRN, start).is_some_and(|distance| distance <= 24);
        let nearest = self.rather(MRN, SSN, start) && self.rather(MRN, PHONE, start);
        if !near || !nearest || !self.looks_for(Kind::Mrn) {
            return None;
        }
        let text = self.view.from(start);
        let form = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'-';
        let length = text.iter().take(24).take_while(form).count();
        let number = self.view.slice(start, start + length);
        let digits = number.iter().filter(|byte| byte.is_ascii_digit()).count();
        let fits =
            digits >= 4 && length <= 20 && number.last() != Some(&b'-') && self.view.ends(start + length);
        let date = self.date(start).is_some_and(|(end, _)| end == start + length && number.contains(&b'-'));
        (fits && !date).then_some(Match::new(Kind::Mrn, start, start + length))
    }

    fn phone(&self, start: usize, groups: &Groups, edge: Edge) -> Option<Match> {
        let view = self.view;
        if !self.looks_for(Kind::Phone) {
            return None;
        }
        let plus = view.before(start) == b'+';
        if plus && !start.checked_sub(2).is_some_and(|place| view.at(place).is_ascii_alphanumeric()) {
            return self.international(start, groups);
        }
        let labelled = self.rather(PHONE, PART, start) && self.rather(PHONE, MRN, start);
        let free = edge == Edge::Clean && !self.labelled(PART, start);
        if let Some(end) = in_brackets(view, start).filter(|_| labelled || free) {
            return Some(Match::new(Kind::Phone, start - 1, extended(view, end)));
        }
        let skip =
            usize::from(groups.first(1) == [1] && groups.all.first().is_some_and(|group| group.length == 1));
        let ten = groups.first(skip + 10).get(skip..).unwrap_or(&[]);
        let lengths: &[u8] = if skip == 1 { &[1, 3, 3, 4] } else { &[3, 3, 4] };
        let grouped = groups
            .shaped(lengths, |separator| matches!(separator, b'-' | b'.') || (labelled && separator == b' '));
        let grouped = grouped.filter(|end| view.ends(*end) && check::nanp(ten) && (labelled || free));
        let mixed = || {
            let end = groups.shaped(&[3], |_| true)?;
            let rest = Groups::read(view, end + 1).shaped(&[3, 4], |separator| separator == b'-')?;
            (labelled && view.at(end) == b' ' && view.ends(rest)).then_some(rest)
        };
        let end =
            grouped.or_else(mixed).or_else(|| if labelled { any_form(view, start, groups) } else { None })?;
        Some(Match::new(Kind::Phone, start, extended(view, end)))
    }

    /// `+` and 8 to 15 digits.
    fn international(&self, start: usize, groups: &Groups) -> Option<Match> {
        let bracket = in_international_brackets(self.view, start);
        let end = bracket.or_else(|| longest(self.view, groups, 8, 15))?;
        Some(Match::new(Kind::Phone, start - 1, extended(self.view, end)))
    }

    fn labelled_zip(&self, start: usize) -> Option<Match> {
        let near = self.behind(ZIP, start).is_some_and(|distance| distance <= 16);
        let end = zip(self.view, start).filter(|_| near && self.looks_for(Kind::Zip))?;
        Some(Match::new(Kind::Zip, start, end))
    }

    /// A date behind a word that says it is one of birth.
    pub(super) fn birth_date(&self, start: usize) -> Option<Match> {
        if !self.looks_for(Kind::BirthDate)
            || !self.labelled(BIRTH, start)
            || self.edge(start) == Edge::Inside
        {
            return None;
        }
        let (end, _) = self.date(start)?;
        Some(Match::new(Kind::BirthDate, start, end))
    }

    fn date(&self, start: usize) -> Option<(usize, crate::rewrite::DateForm)> {
        let text = self.view.slice(start, (start + 24).min(self.view.text.len()));
        crate::rewrite::DateForm::read(text).map(|(length, form)| (start + length, form)).filter(
            |(end, _)| {
                let next = self.view.at(*end);
                // `1975-03-04T00:00`: the time is no part of it.
                next == b'T' || self.view.ends(*end)
            },
        )
    }

    /// A diagnosis, or a record number that begins with letters.
    pub(super) fn code(&self, piece: Piece, word: usize) -> Option<Match> {
        let (view, start) = (self.view, piece.start);
        if word == piece.end && !matches!(view.at(word), b'-') {
            return None;
        }
        let before = view.before(start);
        if before.is_ascii_alphanumeric() || before == b'_' {
            return None;
        }
        let record = if view
            .from(word)
            .iter()
            .take(20)
            .take_while(|byte| !matches!(class(**byte), SEPARATOR))
            .any(u8::is_ascii_digit)
        {
            self.record(start)
        } else {
            None
        };
        record.or_else(|| if word == start + 1 { self.diagnosis(start) } else { None })
    }

    fn diagnosis(&self, start: usize) -> Option<Match> {
        let view = self.view;
        let labelled = self.rather(DIAGNOSIS, VERSION, start);
        let letter = view.at(start);
        let [second, third] = [view.at(start + 1), view.at(start + 2).to_ascii_uppercase()];
        let written_so = letter.is_ascii_uppercase() || labelled;
        let known = check::icd_category(letter.to_ascii_uppercase(), second, third);
        if !known || !written_so || !self.looks_for(Kind::Icd10) || matches!(view.before(start), b'-' | b'.')
        {
            return None;
        }
        let dotted = view.at(start + 3) == b'.' && view.at(start + 4).is_ascii_alphanumeric();
        let rest = start + if dotted { 4 } else { 3 };
        let more = view.from(rest).iter().take(5).take_while(|byte| byte.is_ascii_alphanumeric()).count();
        let end = rest + more;
        // An extension is digits, then placeholders and one letter: `S72.001A`, `Z3A.28`, `T36.0X5A`.
        let letters = view.slice(rest, end).iter().filter(|byte| byte.is_ascii_alphabetic()).count();
        let lower = view.slice(rest, end).iter().any(u8::is_ascii_lowercase) && !labelled;
        // `E11.9/I10` are two.
        let ends = view.ends(end) || (view.at(end) == b'/' && view.class(end + 1) & LETTER != 0);
        if more > 4 || letters > 3 || lower || !ends || view.at(end) == b'%' {
            return None;
        }
        let next = view.run(end, SEPARATOR).min(end + 2);
        let substance = view.roles(next, view.run(next, LETTER)) & words::SUBSTANCE != 0;
        let told = if dotted { !self.labelled(VERSION, start) || labelled } else { labelled };
        (told && !substance).then_some(Match::new(Kind::Icd10, start, end))
    }

    /// `March 4, 1975` behind a word of birth.
    pub(super) fn month_first(&self, start: usize, roles: words::Roles) -> Option<Match> {
        (roles & MONTH != 0).then(|| self.birth_date(start)).flatten()
    }

    /// `MA 02139`.
    pub(super) fn state_zip(&self, word: usize, end: usize, roles: words::Roles) -> Option<Match> {
        let view = self.view;
        let state = roles & words::STATE != 0 && end == word + 2 && view.run(word, UPPER) == end;
        if !state || view.at(end) != b' ' || !self.looks_for(Kind::Zip) {
            return None;
        }
        let number = if view.at(end + 1) == b' ' { end + 2 } else { end + 1 };
        // Where a field begins, behind a comma, or a word of a town's name.
        let behind = view.slice(word.saturating_sub(2), word);
        let town = matches!(behind, [b',', b' '])
            || matches!(view.before(word), 0 | b'\n' | b'\t' | b'"')
            || matches!(behind, [letter, b' '] if letter.is_ascii_lowercase() || *letter == b'.');
        let zip_end = zip(view, number).filter(|_| town)?;
        Some(Match::new(Kind::Zip, number, zip_end))
    }

    /// Is a person or something of theirs spoken of?
    pub(super) fn person_near(&self, at: usize) -> Option<i64> {
        self.behind(PERSON, at)
    }
}

/// May this stand between the groups of a number?
const fn is_between(byte: u8) -> bool {
    matches!(byte, b' ' | b'-' | b'.' | b'/')
}

/// The end of `02139` or `02139-4307`.
pub(super) fn zip(view: View<'_>, start: usize) -> Option<usize> {
    let five = view.run(start, DIGIT);
    if five != start + 5 {
        return None;
    }
    let nine = view.run(five + 1, DIGIT);
    let end = if view.at(five) == b'-' && nine == five + 5 { nine } else { five };
    view.ends(end).then_some(end)
}

/// The end of `555) 123-4567`, if a bracket is before it.
fn in_brackets(view: View<'_>, start: usize) -> Option<usize> {
    let area = view.run(start, DIGIT);
    if view.before(start) != b'(' || area != start + 3 || view.at(area) != b')' {
        return None;
    }
    let next = area + if matches!(view.at(area + 1), b' ' | b'-' | b'.') { 2 } else { 1 };
    let groups = Groups::read(view, next);
    let end = groups.shaped(&[3, 4], |_| true).or_else(|| groups.shaped(&[7], |_| true))?;
    let mut digits: Vec<u8> = view.slice(start, area).iter().map(|byte| byte - b'0').collect();
    digits.extend_from_slice(groups.first(7));
    (check::nanp(&digits) && view.ends(end)).then_some(end)
}

/// The end of `1 (555) 123-4567` and `44 (20) 7946 0958`, if a plus is before it.
fn in_international_brackets(view: View<'_>, start: usize) -> Option<usize> {
    let country = view.run(start, DIGIT);
    let open = if view.at(country) == b' ' { country + 1 } else { country };
    let area = view.run(open + 1, DIGIT);
    if view.at(open) != b'(' || view.at(area) != b')' || area == open + 1 {
        return None;
    }
    let next = area + if matches!(view.at(area + 1), b' ' | b'-') { 2 } else { 1 };
    longest(view, &Groups::read(view, next), 5, 10)
}

/// The end of the most groups that together have so many digits.
fn longest(view: View<'_>, groups: &Groups, least: usize, most: usize) -> Option<usize> {
    let mut total = 0;
    let mut end = None;
    for group in groups.all.iter().take(groups.count) {
        total += usize::from(group.length);
        let group_end = groups.end(*group);
        if (least..=most).contains(&total) && view.ends(group_end) {
            end = Some(group_end);
        }
    }
    end
}

/// Behind a label: 7 to 15 digits that are no date.
fn any_form(view: View<'_>, start: usize, groups: &Groups) -> Option<usize> {
    let text = view.slice(start, (start + 24).min(view.text.len()));
    if crate::rewrite::DateForm::read(text).is_some_and(|(length, _)| {
        view.slice(start, start + length).iter().any(|byte| !byte.is_ascii_digit())
    }) {
        return None;
    }
    let ten =
        groups.shaped(&[10], |_| true).or_else(|| groups.shaped(&[3, 4], |separator| separator == b'-'));
    ten.filter(|end| view.ends(*end)).or_else(|| longest(view, groups, 7, 15))
}

/// With an extension, if one follows: `x123`, `ext. 4`.
fn extended(view: View<'_>, end: usize) -> usize {
    let text = view.from(end);
    let text = text.get(..6).unwrap_or(text);
    let word = [&b" ext. "[..], b" ext ", b" x", b"x"].into_iter().find(|word| text.starts_with(word));
    let Some(word) = word else { return end };
    let digits = view.run(end + word.len(), DIGIT);
    if (1..=6).contains(&(digits - end - word.len())) && view.ends(digits) { digits } else { end }
}
