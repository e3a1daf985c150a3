//! Names and postal addresses: by the words around them and the embedded lists. Weaker than what has check digits.

use super::{
    Match, Seen,
    numbers::zip,
    view::{DIGIT, HIGH, LETTER, LOWER, UPPER, View},
};
use crate::{
    kind::Kind,
    words::{self, FIRST, FIRST_OR_WORD, FLAT, LAST, LAST_ONLY, NAMED, NO_NAME, PLACE, Roles, STREET, TITLE},
};

/// A name has so many words at most.
const MOST_WORDS: usize = 4;

/// A word that begins with a capital, with what is joined to it: `O'Brien`, `Anne-Marie`, `J.`.
#[derive(Clone, Copy)]
struct Capital {
    end: usize,
    /// Of its first part.
    roles: Roles,
    /// All capitals, and more than one.
    shouted: bool,
    initial: bool,
}

impl Capital {
    fn read(view: View<'_>, start: usize) -> Option<Self> {
        Self::with_roles(view, start, view.roles(start, view.run(start, LETTER)))
    }

    /// As [`Capital::read`], where the dictionary was asked already.
    fn with_roles(view: View<'_>, start: usize, roles: Roles) -> Option<Self> {
        let mut end = view.run(start, LETTER);
        let upper = view.class(start) == UPPER || (view.at(start) == 0xc3 && view.at(start + 1) < 0xa0);
        if !upper || end - start > 30 || view.class(end) == DIGIT {
            return None;
        }
        let shouted = end > start + 1 && view.run(start, UPPER) == end;
        let mut initial = end == start + 1;
        for _ in 0..2 {
            let joined = matches!(view.at(end), b'\'' | b'-') && view.class(end + 1) == UPPER;
            let next = view.run(end + 1, LETTER);
            if !joined || next - end > 30 || (next == end + 2 && view.at(end) == b'\'') {
                break;
            }
            end = next;
            initial = false;
        }
        if initial && view.at(end) == b'.' {
            end += 1;
        }
        Some(Self { end, roles, shouted, initial })
    }

    const fn is(self, roles: Roles) -> bool {
        self.roles & roles != 0
    }

    const fn listed(self) -> bool {
        self.is(FIRST | FIRST_OR_WORD | LAST)
    }

    /// Could be a name: not one of the words that begin sentences and headings.
    const fn free(self) -> bool {
        self.initial || !self.is(NO_NAME | TITLE | PLACE) || self.is(FIRST | LAST)
    }
}

impl Seen<'_> {
    /// What a word begins: a date, a ZIP code behind a state, a post office box, a street, a name.
    pub(super) fn word(&self, start: usize, end: usize, roles: Roles) -> Option<Match> {
        if let Some(found) = self.month_first(start, roles) {
            return Some(found);
        }
        if self.view.class(start) & (UPPER | HIGH) == 0 {
            return None;
        }
        self.state_zip(start, end, roles)
            .or_else(|| self.post_box(start, end))
            .or_else(|| self.german_street(start, end))
            .or_else(|| self.name(start, end, roles))
    }

    fn name(&self, start: usize, end: usize, roles: Roles) -> Option<Match> {
        let view = self.view;
        let before = view.before(start);
        if !self.looks_for(Kind::Name)
            || before.is_ascii_alphanumeric()
            || matches!(before, b'/' | b'@' | b'-' | b'.')
        {
            return None;
        }
        let first = Capital::with_roles(view, start, roles)?;
        if !first.free()
            || (first.initial && first.is(NO_NAME) && view.at(end) != b'.')
            || (view.at(end) == b'.' && view.at(end + 1).is_ascii_alphanumeric())
        {
            return None;
        }
        let gap = self.gap(start);
        let mut called = self.called(start, gap, first);
        if let Some(end) = self.family_first(start, first) {
            return Some(Match::new(Kind::Name, start, end));
        }
        let (end, words, last) = self.sequence(first);
        let related = self.before.0 & words::RELATION != 0 && matches!(gap, b" " | b", ");
        called |= related && words > 1 && !first.is(NO_NAME) && !first.shouted;
        let titled = called && self.before.0 & TITLE != 0;
        if self.state_follows(end) || (!titled && self.place_follows(end)) {
            return None;
        }
        let listed = (first.is(FIRST) && !(first.shouted && words == 1))
            || (words > 1 && first.is(FIRST_OR_WORD) && last.is(LAST))
            || (words == 2 && last.is(LAST_ONLY) && first.roles == 0 && !first.shouted && !first.initial)
            || (words == 3 && last.is(LAST) && self.middle_initial(first))
            || (words > 1 && first.initial && last.is(LAST) && !last.is(NO_NAME));
        // `St. James`, `Mount Vernon`: a place.
        let saint = view.slice(start.saturating_sub(4), start).eq_ignore_ascii_case(b"st. ")
            || view.slice(start.saturating_sub(3), start).eq_ignore_ascii_case(b"st ");
        (called || (listed && !saint)).then_some(Match::new(Kind::Name, start, end))
    }

    /// The bytes between the word before and here, if it meant something and stands near.
    fn gap(&self, start: usize) -> &[u8] {
        let distance =
            usize::try_from(self.absolute(start).saturating_sub(self.before.1)).unwrap_or(usize::MAX);
        if distance > 4 { b"far" } else { self.view.slice(start.saturating_sub(distance), start) }
    }

    /// Does a word before say that this is a name?
    fn called(&self, start: usize, gap: &[u8], first: Capital) -> bool {
        let roles = self.before.0;
        if roles & TITLE != 0 && matches!(gap, b" " | b". " | b".") {
            return !first.is(NO_NAME) || first.listed();
        }
        if roles & NAMED != 0 && matches!(gap, b" " | b": " | b":" | b"=" | b" = " | b"\": \"" | b"\":\"") {
            return !first.is(NO_NAME) && (gap != b" " || first.listed());
        }
        let named_elsewhere = gap == b"far" && self.behind(NAMED, start) == Some(0);
        let person = self.person_near(start).is_some() && roles & words::PERSON != 0;
        let colon = matches!(gap, b": " | b":");
        let known =
            if roles & words::RELATION == 0 { FIRST | LAST_ONLY } else { FIRST | FIRST_OR_WORD | LAST };
        let certain = first.is(known);
        named_elsewhere
            || (person
                && (colon || (gap == b" " && certain))
                && !first.is(NO_NAME)
                && first.roles & (words::MRN | words::SSN | words::NPI) == 0)
    }

    /// The end of the words that belong to the name that `first` begins, how many they are, and the last.
    fn sequence(&self, first: Capital) -> (usize, usize, Capital) {
        let (mut last, mut words) = (first, 1);
        while words < MOST_WORDS && self.view.at(last.end) == b' ' {
            let start = self.past_particles(last.end + 1);
            let Some(next) = Capital::read(self.view, start) else { break };
            let fits = if first.shouted {
                next.listed() || (next.initial && next.end > start + 1)
            } else {
                next.free() && (next.listed() || !next.shouted)
            };
            if !fits || (next.roles & 0xfff != 0 && !next.listed()) {
                break;
            }
            (last, words) = (next, words + 1);
        }
        (last.end, words, last)
    }

    /// Behind `van der` and the like, of which a name may have two in its midst.
    fn past_particles(&self, start: usize) -> usize {
        let mut at = start;
        for _ in 0..2 {
            let end = self.view.run(at, LOWER);
            let particle = matches!(
                self.view.slice(at, end),
                b"van" | b"von" | b"der" | b"den" | b"de" | b"la" | b"del" | b"di" | b"da" | b"bin" | b"al"
            );
            if !particle || self.view.at(end) != b' ' {
                break;
            }
            at = end + 1;
        }
        at
    }

    /// `Bartholomew F. Smith`
    fn middle_initial(&self, first: Capital) -> bool {
        Capital::read(self.view, first.end + 1).is_some_and(|middle| middle.initial)
    }

    /// `Gonzalez, Maria J.`; where a line or a field begins, of whatever family.
    fn family_first(&self, start: usize, first: Capital) -> Option<usize> {
        let begins = matches!(self.view.before(start), 0 | b'\n' | b'\t' | b'"' | b'|');
        if !(first.is(LAST) || begins) || self.view.at(first.end) != b',' {
            return None;
        }
        let given = first.end + if self.view.at(first.end + 1) == b' ' { 2 } else { 1 };
        let next = Capital::read(self.view, given)?;
        let known = next.is(FIRST) || (next.is(FIRST_OR_WORD) && first.is(LAST));
        let guessed = begins && first.is(LAST) && next.free() && !next.shouted;
        if !known && !guessed {
            return None;
        }
        let middle = Capital::read(self.view, next.end + 1)
            .filter(|word| word.initial && self.view.at(next.end) == b' ');
        Some(middle.map_or(next.end, |word| word.end))
    }

    /// `… Hospital`, `…'s disease`: named after somebody.
    fn place_follows(&self, end: usize) -> bool {
        let next = if self.view.from(end).starts_with(b"'s ") { end + 3 } else { end + 1 };
        let roles = self.view.roles(next, self.view.run(next, LETTER));
        self.view.at(end) != b'.' && roles & PLACE != 0
    }

    /// `…, MI 48104`: a town.
    fn state_follows(&self, end: usize) -> bool {
        let (view, state) = (self.view, end + 2);
        let two = view.run(state, UPPER) == state + 2 && view.at(end) == b',' && view.at(state + 2) == b' ';
        two && view.class(state + 3) == DIGIT && view.roles(state, state + 2) & words::STATE != 0
    }

    /// `12 N Main Street Apt 4, Springfield, IL 62704`.
    pub(super) fn street(&self, start: usize) -> Option<Match> {
        let view = self.view;
        let before = view.before(start);
        if !self.looks_for(Kind::Address)
            || before.is_ascii_alphanumeric()
            || matches!(before, b'.' | b'-' | b'/' | b':' | b'_')
        {
            return None;
        }
        let mut at = view.run(start, DIGIT);
        if view.at(at) == b'-' && view.class(at + 1) == DIGIT {
            at = view.run(at + 1, DIGIT);
        }
        if at > start + 8 {
            return None;
        }
        if view.class(at) & (LOWER | UPPER) != 0 && view.class(at + 1) & (LETTER | DIGIT) == 0 {
            at += 1;
        }
        let mut seen = 0;
        while seen < 5 && view.at(at) == b' ' {
            let word = at + 1;
            let end = view.run(word, LETTER | DIGIT);
            let named = view.class(word) & (UPPER | HIGH) != 0;
            let street = seen > 0 && named && view.roles(word, end) & STREET != 0;
            if street && !self.doctor_follows(word, end) {
                let end = if view.at(end) == b'.'
                    && view.class(end + 1) & (LETTER | DIGIT) == 0
                    && view.at(end + 1) != 0
                {
                    end + usize::from(matches!(view.at(end + 1), b' ' | b','))
                } else {
                    end
                };
                return Some(Match::new(Kind::Address, start, self.town(self.flat(end))));
            }
            let ordinal = view.class(word) == DIGIT
                && matches!(view.slice(view.run(word, DIGIT), end), b"st" | b"nd" | b"rd" | b"th");
            if end == word || !(named || ordinal) {
                return None;
            }
            // `N.`, `St.`: an abbreviation inside.
            at = if view.at(end) == b'.' && end - word <= 2 { end + 1 } else { end };
            seen += 1;
        }
        None
    }

    /// `Hauptstraße 12a`
    fn german_street(&self, start: usize, end: usize) -> Option<Match> {
        const ENDS: [&[u8]; 7] =
            [b"strasse", "straße".as_bytes(), b"str", b"weg", b"platz", b"allee", b"gasse"];
        let view = self.view;
        let word = view.slice(start, end);
        let number = end + if view.at(end) == b'.' { 2 } else { 1 };
        if word.len() < 6
            || view.class(number) != DIGIT
            || !self.looks_for(Kind::Address)
            || !ENDS.into_iter().any(|street| word.ends_with(street))
        {
            return None;
        }
        let past = view.run(number, DIGIT);
        let letter = usize::from(view.class(past) == LOWER);
        let fits = (1..=4).contains(&past.saturating_sub(number))
            && view.at(number - 1) == b' '
            && view.ends(past + letter);
        fits.then(|| Match::new(Kind::Address, start, past + letter))
    }

    /// `Dr` is a title if a name follows, not a drive.
    fn doctor_follows(&self, word: usize, end: usize) -> bool {
        let short = self.view.slice(word, end).eq_ignore_ascii_case(b"dr");
        let next = if self.view.at(end) == b'.' { end + 2 } else { end + 1 };
        short
            && self.view.at(end) != b','
            && Capital::read(self.view, next).is_some_and(|word| word.is(FIRST | LAST) || !word.is(FLAT))
    }

    /// With `, Apt 4B` or ` #4`, if that follows.
    fn flat(&self, end: usize) -> usize {
        let view = self.view;
        let mut at = end + usize::from(view.at(end) == b',');
        if view.at(at) != b' ' {
            return end;
        }
        at += 1;
        let number = if view.at(at) == b'#' {
            at + 1
        } else {
            let word = view.run(at, LETTER);
            if view.roles(at, word) & FLAT == 0 {
                return end;
            }
            let word = word + usize::from(view.at(word) == b'.');
            word + 1 + usize::from(view.at(word + 1) == b'#')
        };
        let past = view.run(number, LETTER | DIGIT);
        if (1..=6).contains(&(past.saturating_sub(number))) { past } else { end }
    }

    /// With `, Springfield, IL 62704`, if all of that follows.
    fn town(&self, end: usize) -> usize {
        let view = self.view;
        let mut at = end + usize::from(view.at(end) == b',');
        for _ in 0..4 {
            if view.at(at) != b' ' {
                return end;
            }
            let word = at + 1;
            let past = view.run(word, LETTER);
            let state = past == word + 2
                && view.run(word, UPPER) == past
                && view.roles(word, past) & words::STATE != 0;
            if state {
                return zip(view, past + 1).filter(|_| view.at(past) == b' ').unwrap_or(end);
            }
            if past == word || view.class(word) & (UPPER | HIGH) == 0 {
                return end;
            }
            at = past + usize::from(matches!(view.at(past), b',' | b'.'));
        }
        end
    }

    /// `PO Box 123`, `P.O. Box 123`.
    fn post_box(&self, start: usize, end: usize) -> Option<Match> {
        let view = self.view;
        let forms: [&[u8]; 3] = [b"po box ", b"p.o. box ", b"post office box "];
        if !matches!(view.at(start), b'P') || end > start + 4 || !self.looks_for(Kind::Address) {
            return None;
        }
        let form = forms
            .into_iter()
            .find(|form| view.slice(start, start + form.len()).eq_ignore_ascii_case(form))?;
        let number = start + form.len();
        let end = view.run(number, DIGIT);
        (end > number && end <= number + 6 && view.ends(end))
            .then(|| Match::new(Kind::Address, start, self.town(end)))
    }
}
