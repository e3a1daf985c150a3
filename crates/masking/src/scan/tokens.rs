//! What is one run of bytes without white space: addresses of the internet, tokens, keys, account numbers.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{
    LONGEST, Match, Piece, Seen,
    view::{AT, COLON, DIGIT, HIGH, LETTER, SEPARATOR, View, class},
};
use crate::{check, kind::Kind, words};

/// Which bytes a long match goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    Url,
    Domain,
    /// Nothing more: the match is long because of what stands before it.
    End,
    Token,
    /// What was assigned, without quotes.
    Value,
    Quoted(u8),
    /// A private key: between four runs of dashes.
    Pem {
        runs: u8,
        dashes: u8,
    },
}

impl Tail {
    /// Does this byte belong to it? To be asked for each in turn, until one does not.
    pub(super) const fn takes(&mut self, byte: u8) -> bool {
        match self {
            Self::Url => !matches!(
                byte,
                0..=0x20 | 0x7f | b'"' | b'<' | b'>' | b'\\' | b'`' | b'{' | b'}' | b'|' | b'^'
            ),
            Self::End => false,
            Self::Domain => byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | 0x80..),
            Self::Token => byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'),
            Self::Value => !matches!(byte, 0..=0x20 | 0x7f | b'"' | b'\'' | b'`' | b',' | b';' | b'&'),
            Self::Quoted(quote) => byte != *quote && !matches!(byte, 0..0x20),
            Self::Pem { runs, dashes } => {
                if *runs >= 4 && (byte != b'-' || *dashes >= 5) {
                    return false;
                }
                *dashes = if byte == b'-' { dashes.saturating_add(1) } else { 0 };
                if *dashes == 5 {
                    *runs += 1;
                }
                byte.is_ascii_alphanumeric()
                    || matches!(byte, b'+' | b'/' | b'=' | b'-' | b'\n' | b'\r' | b' ' | b'\\' | b':' | b',')
            }
        }
    }
}

/// How far a match that began at `start` goes, and whether that is all.
fn extent(view: View<'_>, start: usize, from: usize, mut tail: Tail) -> (usize, Option<Tail>) {
    let mut end = from;
    while let Some(byte) = view.text.get(end) {
        let before = tail;
        if !tail.takes(*byte) {
            break;
        }
        if end >= start + LONGEST {
            return (end, Some(before));
        }
        end += 1;
    }
    (end, None)
}

/// Without these bytes at its end.
fn trimmed(view: View<'_>, start: usize, end: usize, punctuation: &[u8]) -> usize {
    let kept = view.slice(start, end).iter().rposition(|byte| !punctuation.contains(byte));
    kept.map_or(start, |last| start + last + 1)
}

/// `-----BEGIN RSA PRIVATE KEY-----` to its end.
pub(super) fn private_key(view: View<'_>, start: usize) -> Option<Match> {
    let text = view.from(start);
    let header = text.strip_prefix(b"-----BEGIN ")?;
    let header = header.get(..40).unwrap_or(header);
    let end = header.windows(5).position(|window| window == b"-----")?;
    if !header.get(..end)?.windows(11).any(|window| window == b"PRIVATE KEY") {
        return None;
    }
    let (end, tail) = extent(view, start, start, Tail::Pem { runs: 0, dashes: 0 });
    Some(Match { kind: Kind::Secret, start, end, tail })
}

/// The end of a UUID, which is no telephone and no record number.
pub(super) fn uuid(view: View<'_>, start: usize) -> Option<usize> {
    let text = view.text.get(start..start + 36)?;
    if text.get(8) != Some(&b'-') || view.before(start).is_ascii_alphanumeric() {
        return None;
    }
    let shaped = text.iter().enumerate().all(|(place, byte)| match place {
        8 | 13 | 18 | 23 => *byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    });
    (shaped && view.ends(start + 36)).then_some(start + 36)
}

const fn is_local(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'%' | b'+' | b'-' | b'&' | b'~' | 0x80..)
}

impl Seen<'_> {
    /// What is told by its form alone.
    pub(super) fn token(&self, piece: Piece) -> Option<Match> {
        let start = piece.start;
        let before = self.view.before(start);
        let clean = !before.is_ascii_alphanumeric() && before != b'_';
        let secret = if clean && !matches!(before, b'-' | b'.') && self.looks_for(Kind::Secret) {
            self.known_secret(start)
        } else {
            None
        };
        secret
            .or_else(|| self.url(piece))
            .or_else(|| self.email(piece))
            .or_else(|| if clean { self.iban(start).or_else(|| self.configured(start)) } else { None })
            .or_else(|| if clean { self.ip(piece) } else { None })
    }

    /// Tokens with a prefix of their own.
    fn known_secret(&self, start: usize) -> Option<Match> {
        const FORMS: [(&[u8], usize); 14] = [
            (b"AKIA", 20),
            (b"ASIA", 20),
            (b"AIza", 39),
            (b"ghp_", 40),
            (b"gho_", 40),
            (b"ghu_", 40),
            (b"ghs_", 40),
            (b"ghr_", 40),
            (b"github_pat_", 33),
            (b"glpat-", 26),
            (b"xox", 15),
            (b"sk_live_", 24),
            (b"rk_live_", 24),
            (b"eyJ", 30),
        ];
        // How any of them begins; nearly every word ends here.
        let (first, second) = (self.view.at(start), self.view.at(start + 1));
        let begins = match first {
            b'A' => matches!(second, b'K' | b'S' | b'I'),
            b'g' => matches!(second, b'h' | b'i' | b'l'),
            b'x' => second == b'o',
            b's' | b'r' => second == b'k',
            b'e' => second == b'y',
            _ => false,
        };
        if !begins {
            return None;
        }
        let text = self.view.from(start);
        let (prefix, least) = FORMS.into_iter().find(|(prefix, _)| text.starts_with(prefix))?;
        let (end, tail) = extent(self.view, start, start, Tail::Token);
        let end = if tail.is_none() { trimmed(self.view, start, end, b".-_") } else { end };
        let body = self.view.slice(start, end);
        let formed = match prefix {
            b"AKIA" | b"ASIA" => {
                body.len() == least
                    && body.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            }
            b"xox" => body.get(4) == Some(&b'-') && body.len() >= least,
            b"eyJ" => body.splitn(3, |byte| *byte == b'.').count() == 3 || tail.is_some(),
            _ => body.len() >= least,
        };
        formed.then_some(Match { kind: Kind::Secret, start, end, tail })
    }

    fn url(&self, piece: Piece) -> Option<Match> {
        let (view, start) = (self.view, piece.start);
        let scheme = if piece.bits & COLON != 0 && view.class(start) & LETTER != 0 {
            let end = view.run(start, LETTER | DIGIT);
            (end - start < 20 && view.from(end).starts_with(b"://")).then_some(end + 3)
        } else {
            None
        };
        let www = || {
            let head = view.slice(start, start + 4);
            (matches!(head, [b'w' | b'W', ..])
                && head.eq_ignore_ascii_case(b"www.")
                && view.at(start + 4).is_ascii_alphanumeric())
            .then_some(start + 4)
        };
        let body = scheme.or_else(www).filter(|_| self.looks_for(Kind::Url))?;
        let (end, tail) = extent(view, start, body, Tail::Url);
        let end = if tail.is_none() { trimmed(view, start, end, b".,;:!?)]'*_") } else { end };
        (end > body).then_some(Match { kind: Kind::Url, start, end, tail })
    }

    fn email(&self, piece: Piece) -> Option<Match> {
        let (view, start) = (self.view, piece.start);
        let begins = piece.first || !is_local(view.before(start));
        if piece.bits & AT == 0 || !begins || !self.looks_for(Kind::Email) {
            return None;
        }
        let local = view.from(start).iter().take(LONGEST).take_while(|byte| is_local(**byte)).count();
        let at = start + local;
        if view.at(at) != b'@' {
            return None;
        }
        let (end, tail) = extent(view, start, at + 1, Tail::Domain);
        if tail.is_some() {
            return Some(Match { kind: Kind::Email, start, end, tail });
        }
        let end = trimmed(view, at + 1, end, b".-");
        let mut labels = view.slice(at + 1, end).rsplit(|byte| *byte == b'.');
        let top = labels.next()?;
        let real =
            top.len() >= 2 && top.iter().any(|byte| class(*byte) & LETTER != 0) && labels.next().is_some();
        let tail = is_local(view.before(start)).then_some(Tail::End);
        real.then_some(Match { kind: Kind::Email, start, end, tail })
    }

    fn iban(&self, start: usize) -> Option<Match> {
        let view = self.view;
        let country = [view.at(start), view.at(start + 1)];
        let one_case =
            class(view.at(start)) == class(view.at(start + 1)) && country.iter().all(u8::is_ascii_alphabetic);
        let two_digits = view.at(start + 2).is_ascii_digit() && view.at(start + 3).is_ascii_digit();
        if !two_digits || !one_case || !self.looks_for(Kind::Iban) {
            return None;
        }
        let length = check::iban_length(country.map(|letter| letter.to_ascii_uppercase()))?;
        let mut code = Vec::with_capacity(length);
        let mut end = start;
        while code.len() < length {
            let byte = view.at(end);
            if byte.is_ascii_alphanumeric() {
                code.push(byte);
            } else if !(matches!(byte, b' ' | b'-') && view.at(end + 1).is_ascii_alphanumeric()) {
                return None;
            }
            end += 1;
        }
        let right = !view.at(end).is_ascii_alphanumeric() && check::mod97(&code) == 1;
        right.then_some(Match::new(Kind::Iban, start, end))
    }

    fn configured(&self, start: usize) -> Option<Match> {
        let text = self.view.from(start);
        let length = self.detectors.records().iter().filter_map(|pattern| pattern.matches(text)).max()?;
        Some(Match::new(Kind::Mrn, start, start + length))
    }

    fn ip(&self, piece: Piece) -> Option<Match> {
        let (view, start) = (self.view, piece.start);
        if !view.at(start).is_ascii_hexdigit() || !self.looks_for(Kind::IpAddress) {
            return None;
        }
        let text = view.from(start);
        if piece.bits & COLON != 0 {
            let form = |byte: &&u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
            let end = start + text.iter().take(46).take_while(form).count();
            let end = trimmed(view, start, end, b".:");
            let address = view.slice(start, end);
            let groups = address.split(|byte| *byte == b':').filter(|group| !group.is_empty()).count();
            let is_six = || std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
            if groups >= 3 && !view.at(end).is_ascii_alphanumeric() && is_six() {
                return Some(Match::new(Kind::IpAddress, start, end));
            }
        }
        let octet = text.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
        if octet == 0 || view.at(start + octet) != b'.' {
            return None;
        }
        let behind_number = view.before(start) == b'.' || view.before(start) == b'-';
        let end =
            start + text.iter().take(15).take_while(|byte| byte.is_ascii_digit() || **byte == b'.').count();
        let end = trimmed(view, start, end, b".");
        let address = view.slice(start, end);
        if address.iter().filter(|byte| **byte == b'.').count() != 3 {
            return None;
        }
        let four = std::str::from_utf8(address).ok().and_then(|text| text.parse::<Ipv4Addr>().ok());
        let after = view.at(end);
        let joined = after.is_ascii_alphanumeric()
            || matches!(after, b'_' | b'-')
            || (after == b'.' && view.at(end + 1).is_ascii_alphanumeric());
        let real = four.is_some_and(|address| !address.is_unspecified()) && !joined && !behind_number;
        (real && !self.labelled(words::VERSION, start)).then_some(Match::new(Kind::IpAddress, start, end))
    }

    /// What a word such as `password` is given: after `=`, `:` or `is`, or `Bearer` and a space.
    pub(super) fn assigned(&self, word: usize) -> Option<Match> {
        let view = self.view;
        let (roles, end) = self.before;
        if roles & words::SECRET == 0 || end != self.absolute(word) || !self.looks_for(Kind::Secret) {
            return None;
        }
        let spaces =
            |from: usize| from + view.from(from).iter().take(3).take_while(|byte| **byte == b' ').count();
        // `password_hash`
        let suffix = if matches!(view.at(word), b'_' | b'-') { view.run(word + 1, LETTER) } else { word };
        let mut at = suffix;
        if matches!(view.at(at), b'"' | b'\'') {
            at += 1;
        }
        at = spaces(at);
        let sure = match (view.at(at), view.at(at + 1), view.at(at + 2)) {
            (b'=', b'>', _) => (true, 2),
            (b'=', _, _) => (true, 1),
            (b':', _, _) => (false, 1),
            (b'i', b's', b' ') => (false, 2),
            _ if is_scheme(view, word) && at > word => (false, 0),
            _ => return None,
        };
        let (sure, operator) = (sure.0 && suffix == word, sure.1);
        let at = spaces(at + operator);
        let (start, tail, sure) = match view.at(at) {
            quote @ (b'"' | b'\'') => (at + 1, Tail::Quoted(quote), true),
            _ => (at, Tail::Value, sure),
        };
        let (end, tail) = extent(view, start, start, tail);
        let end = if tail.is_none() { trimmed(view, start, end, b".)]}") } else { end };
        let value = view.slice(start, end);
        let taken = if sure { value.len() >= 3 } else { is_random(value) };
        taken.then_some(Match { kind: Kind::Secret, start, end, tail })
    }
}

/// Is the word that ends here a scheme of HTTP authentication?
fn is_scheme(view: View<'_>, end: usize) -> bool {
    [&b"bearer"[..], b"basic"].into_iter().any(|scheme| {
        end.checked_sub(scheme.len()).is_some_and(|start| view.slice(start, end).eq_ignore_ascii_case(scheme))
    })
}

/// Does it look as if nobody would write it in a sentence? Letters beside digits or signs, capitals inside, or very long.
fn is_random(value: &[u8]) -> bool {
    let has = |test: fn(&u8) -> bool| value.iter().any(test);
    let letters = has(|byte| class(*byte) & LETTER != 0);
    let mixed = letters
        && has(|byte| class(*byte) & (LETTER | HIGH | SEPARATOR) == 0 && *byte != b'-' && *byte != b'/');
    let humps = value.array_windows().any(|[one, two]| one.is_ascii_lowercase() && two.is_ascii_uppercase());
    value.len() >= 20 || (value.len() >= 6 && mixed) || (value.len() >= 8 && humps)
}
