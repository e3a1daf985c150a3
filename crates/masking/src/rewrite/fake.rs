//! Another value of the same form, that nobody can foretell without the key.

use std::net::Ipv4Addr;

use super::{DateForm, normal::normal};
use crate::{check, kind::Kind, rule::MaskingKey};

/// How often another is drawn when the value itself came out.
const DRAWS: u8 = 16;
/// A date moves by fewer days.
const MOST_DAYS: u32 = 3650;

/// `None` where no other value of this form can be made.
pub(super) fn fake(kind: Kind, value: &[u8], key: &MaskingKey) -> Option<Vec<u8>> {
    let normal = normal(kind, value);
    (0..DRAWS)
        .map(|draw| drawn(kind, value, Source::new(key, kind, &normal, draw)))
        .find(|other| other != value)
}

fn drawn(kind: Kind, value: &[u8], mut source: Source<'_>) -> Vec<u8> {
    let special = match kind {
        Kind::BirthDate => date(value, &mut source),
        Kind::IpAddress => address(value, &mut source),
        Kind::Iban => iban(value, &mut source),
        _ => None,
    };
    if let Some(special) = special {
        return special;
    }
    let kept = match kind {
        Kind::Url => value.windows(3).position(|window| window == b"://").map_or(0, |end| end + 3),
        _ => 0,
    };
    let (head, rest) = value.split_at_checked(kept).unwrap_or((&[], value));
    let mut other = head.to_vec();
    other.extend(substituted(rest, kind, &mut source));
    correct(kind, value, &mut other, &mut source);
    other
}

/// Random numbers from the key and the value.
struct Source<'a> {
    key: &'a MaskingKey,
    kind: Kind,
    normal: &'a [u8],
    draw: u8,
    block: u32,
    ready: Vec<u8>,
}

impl<'a> Source<'a> {
    const fn new(key: &'a MaskingKey, kind: Kind, normal: &'a [u8], draw: u8) -> Self {
        Self { key, kind, normal, draw, block: 0, ready: Vec::new() }
    }

    /// A number below `end`.
    fn below(&mut self, end: u32) -> u32 {
        if self.ready.len() < 4 {
            let counter = self.block.to_be_bytes();
            let parts = [
                &b"hoop masking: fake 1"[..],
                self.kind.name().as_bytes(),
                &[self.draw],
                &counter,
                self.normal,
            ];
            self.ready = self.key.mac(&parts).as_ref().to_vec();
            self.block += 1;
        }
        let at = self.ready.len() - 4;
        let number =
            self.ready.split_off(at).into_iter().fold(0_u32, |number, byte| number << 8 | u32::from(byte));
        number % end
    }

    fn one_of(&mut self, first: u8, count: u32) -> u8 {
        first + u8::try_from(self.below(count)).unwrap_or(0)
    }
}

/// Digits for digits, letters for letters. A number that did not begin with 0 does not begin with 0.
fn substituted(value: &[u8], kind: Kind, source: &mut Source<'_>) -> Vec<u8> {
    let mut other = Vec::with_capacity(value.len());
    let mut inside = false;
    let mut escaped = 0_u8;
    for chunk in value.utf8_chunks() {
        for character in chunk.valid().chars() {
            let hex = escaped > 0 && kind == Kind::Url;
            escaped = if character == '%' { 2 } else { escaped.saturating_sub(1) };
            match character {
                '0' | '1'..='9' => other.push(if inside || character == '0' {
                    source.one_of(b'0', 10)
                } else {
                    source.one_of(b'1', 9)
                }),
                'a'..='z' => other.push(source.one_of(b'a', if hex { 6 } else { 26 })),
                'A'..='Z' => other.push(source.one_of(b'A', if hex { 6 } else { 26 })),
                _ if character.is_ascii() => other.extend(u8::try_from(character)),
                _ if character.is_uppercase() => other.push(source.one_of(b'A', 26)),
                _ => other.push(source.one_of(b'a', 26)),
            }
            inside = character.is_ascii_digit();
        }
        other.extend(chunk.invalid().iter().map(|_| source.one_of(b'a', 26)));
    }
    other
}

/// Makes the digits of numbers with rules of their own right.
fn correct(kind: Kind, value: &[u8], other: &mut [u8], source: &mut Source<'_>) {
    let old: Vec<u8> = value.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0').collect();
    let mut digits: Vec<u8> =
        other.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| byte - b'0').collect();
    match (kind, digits.len()) {
        (Kind::Card, 4..) => {
            digits.splice(..2, old.iter().copied().take(2));
            luhn(&mut digits, 0);
        }
        (Kind::Npi, 10) => {
            digits.splice(..1, [source.one_of(1, 2)]);
            luhn(&mut digits, check::NPI_PREFIX);
        }
        (Kind::Ssn, 9) => {
            digits.splice(..1, [source.one_of(1, 8)]);
            while !check::ssn(&digits) {
                digits.splice(2.., (0..7).map(|_| source.one_of(1, 9)));
            }
        }
        (Kind::Phone, 10) => national(&mut digits, 0, source),
        (Kind::Phone, 11) if old.first() == Some(&1) => national(&mut digits, 1, source),
        _ => return,
    }
    let places = other.iter_mut().filter(|byte| byte.is_ascii_digit());
    for (place, digit) in places.zip(digits) {
        *place = b'0' + digit;
    }
}

fn luhn(digits: &mut [u8], prefix_adds: u32) {
    if let Some((last, body)) = digits.split_last_mut() {
        *last = check::luhn_digit(body, prefix_adds);
    }
}

/// Area and exchange of the North American plan, behind so many digits of the country, which is 1.
fn national(digits: &mut Vec<u8>, country: usize, source: &mut Source<'_>) {
    let line = [
        source.one_of(2, 8),
        source.one_of(0, 9),
        source.one_of(2, 8),
        source.one_of(2, 8),
        source.one_of(0, 9),
    ];
    digits.splice(..country + 5, std::iter::repeat_n(1, country).chain(line));
    // Neither may end in 11.
    digits.splice(country + 5..=country + 5, [source.one_of(2, 8)]);
}

fn date(value: &[u8], source: &mut Source<'_>) -> Option<Vec<u8>> {
    let (_, form) = DateForm::read(value).filter(|(length, _)| *length == value.len())?;
    let days = 1 + source.below(MOST_DAYS - 1);
    form.moved(i32::try_from(days).ok()?)
}

fn address(value: &[u8], source: &mut Source<'_>) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(value).ok()?;
    if let Ok(four) = text.parse::<Ipv4Addr>() {
        let octets = four.octets().map(|octet| match octet {
            0..=9 => source.one_of(0, 10),
            10..=99 => source.one_of(10, 90),
            _ => source.one_of(100, 156),
        });
        return Some(Ipv4Addr::from(octets).to_string().into_bytes());
    }
    let digit = |byte: &u8, source: &mut Source<'_>| match byte {
        b'0'..=b'9' => source.one_of(b'1', 9),
        b'a'..=b'f' => source.one_of(b'a', 6),
        b'A'..=b'F' => source.one_of(b'A', 6),
        _ => *byte,
    };
    (!value.contains(&b'.')).then(|| value.iter().map(|byte| digit(byte, source)).collect())
}

fn iban(value: &[u8], source: &mut Source<'_>) -> Option<Vec<u8>> {
    let (head, account) = value.split_at_checked(4)?;
    let country = head.get(..2)?;
    let account = substituted(account, Kind::Iban, source);
    let mut code = country.to_vec();
    code.extend(b"00");
    code.extend(account.iter().filter(|byte| byte.is_ascii_alphanumeric()));
    let check = 98_u32.checked_sub(check::mod97(&code))?;
    Some([country, format!("{check:02}").as_bytes(), &account].concat())
}
