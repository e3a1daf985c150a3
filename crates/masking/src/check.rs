//! Validators: is this really one? Each takes the digits or letters alone, without separators.

use jiff::civil::Date;

/// The sum of Luhn, with the last digit as the check digit; `before` is what a prefix adds.
fn luhn_sum(digits: impl DoubleEndedIterator<Item = u8>) -> u32 {
    digits.rev().enumerate().fold(0, |sum, (place, digit)| {
        let digit = u32::from(digit);
        sum + if place % 2 == 1 { digit * 2 - if digit > 4 { 9 } else { 0 } } else { digit }
    })
}

/// Is the last digit right by Luhn? Digits are 0 to 9.
pub(crate) fn luhn(digits: &[u8]) -> bool {
    luhn_sum(digits.iter().copied()).is_multiple_of(10)
}

/// The digit that makes `body` right by Luhn. An NPI counts as if `80840` stood before it, which adds 24.
pub(crate) fn luhn_digit(body: &[u8], prefix_adds: u32) -> u8 {
    let sum = luhn_sum(body.iter().copied().chain([0])) + prefix_adds;
    u8::try_from((10 - sum % 10) % 10).unwrap_or(0)
}

/// What the prefix `80840` of an NPI adds to the sum.
pub(crate) const NPI_PREFIX: u32 = 24;

/// Ten digits, the first 1 or 2, and the check digit right. <https://www.cms.gov/Regulations-and-Guidance/Administrative-Simplification/NationalProvIdentStand/Downloads/NPIcheckdigit.pdf>
pub(crate) fn npi(digits: &[u8]) -> bool {
    match digits {
        [1 | 2, ..] if digits.len() == 10 => {
            (luhn_sum(digits.iter().copied()) + NPI_PREFIX).is_multiple_of(10)
        }
        _ => false,
    }
}

/// The issuer's prefix and length fit, and Luhn.
pub(crate) fn card(digits: &[u8]) -> bool {
    let head = digits.iter().take(4).fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let fits = match digits.len() {
        13 => (4000..5000).contains(&head),
        14 => matches!(head, 3000..=3059 | 3600..=3699 | 3800..=3999),
        15 => matches!(head, 3400..=3499 | 3700..=3799),
        16 => {
            matches!(head, 4000..=4999 | 5100..=5599 | 2221..=2720 | 6011 | 6440..=6599 | 3528..=3589 | 6200..=6299)
        }
        17..=19 => matches!(head, 4000..=4999 | 6011 | 6440..=6599 | 6200..=6299 | 5000..=5099 | 5600..=5899),
        _ => false,
    };
    fits && luhn(digits)
}

/// Could the Social Security Administration have given it out? Nine digits.
pub(crate) const fn ssn(digits: &[u8]) -> bool {
    let never =
        matches!(digits, [0, 0, 0, ..] | [6, 6, 6, ..] | [9, ..] | [_, _, _, 0, 0, ..] | [.., 0, 0, 0, 0]);
    digits.len() == 9 && !never
}

/// Ten digits of the North American plan: neither area nor exchange begin with 0 or 1 or end in `11`.
pub(crate) const fn nanp(digits: &[u8]) -> bool {
    let never = matches!(digits, [0 | 1, ..] | [_, 1, 1, ..] | [_, _, _, 0 | 1, ..] | [_, _, _, _, 1, 1, ..]);
    digits.len() == 10 && !never
}

/// ISO 7064 mod 97-10 over letters and digits, without spaces: 1 for a right one.
pub(crate) fn mod97(code: &[u8]) -> u32 {
    let (head, tail) = code.split_at_checked(4).unwrap_or((code, &[]));
    tail.iter().chain(head).fold(0, |rest, byte| match byte {
        b'0'..=b'9' => (rest * 10 + u32::from(byte - b'0')) % 97,
        _ => (rest * 100 + u32::from(byte.to_ascii_uppercase().wrapping_sub(b'A')) % 26 + 10) % 97,
    })
}

/// How long a country's IBAN is; the register of SWIFT.
pub(crate) const fn iban_length(country: [u8; 2]) -> Option<usize> {
    Some(match &country {
        b"NO" => 15,
        b"BE" => 16,
        b"DK" | b"FO" | b"FI" | b"GL" | b"NL" | b"SD" => 18,
        b"MK" | b"SI" => 19,
        b"AT" | b"BA" | b"EE" | b"KZ" | b"LT" | b"LU" | b"XK" | b"MN" => 20,
        b"CR" | b"HR" | b"LV" | b"LI" | b"CH" => 21,
        b"BH" | b"BG" | b"GE" | b"DE" | b"IE" | b"ME" | b"RS" | b"GB" | b"VA" => 22,
        b"TL" | b"GI" | b"IL" | b"IQ" | b"AE" | b"SO" | b"OM" => 23,
        b"AD" | b"CZ" | b"MD" | b"PK" | b"RO" | b"SA" | b"SK" | b"ES" | b"SE" | b"TN" | b"VG" => 24,
        b"PT" | b"ST" => 25,
        b"IS" | b"TR" => 26,
        b"FR" | b"GR" | b"IT" | b"MC" | b"MR" | b"SM" | b"BI" | b"DJ" => 27,
        b"AL" | b"AZ" | b"BY" | b"CY" | b"DO" | b"GT" | b"HU" | b"LB" | b"NI" | b"PL" | b"SV" => 28,
        b"BR" | b"EG" | b"PS" | b"QA" | b"UA" => 29,
        b"JO" | b"KW" | b"MU" => 30,
        b"MT" | b"SC" => 31,
        b"LC" => 32,
        b"RU" => 33,
        _ => return None,
    })
}

/// Does a chapter of ICD-10-CM hold this category? Three characters, upper case.
pub(crate) const fn icd_category(letter: u8, second: u8, third: u8) -> bool {
    let (tens, units) = (second.wrapping_sub(b'0'), third.wrapping_sub(b'0'));
    let number = if units < 10 { tens.wrapping_mul(10).wrapping_add(units) } else { tens.wrapping_mul(10) };
    // Categories whose third character is a letter: C4A, C7A, C7B, D3A, M1A, O9A, Z3A.
    let lettered = matches!(
        (letter, second, third),
        (b'C', b'4', b'A') | (b'C', b'7', b'A' | b'B') | (b'D' | b'Z', b'3', b'A')
    ) || matches!((letter, second, third), (b'M', b'1', b'A') | (b'O', b'9', b'A'));
    let most = match letter {
        b'D' | b'E' => 89,
        b'H' | b'K' => 95,
        b'P' => 96,
        b'T' => 88,
        b'U' => 85,
        b'A'..=b'Z' => 99,
        _ => return false,
    };
    tens < 10 && ((units < 10 && number <= most) || lettered)
}

/// A day that somebody alive or their parents may have been born on.
pub(crate) fn birth_date(year: i16, month: i8, day: i8) -> Option<Date> {
    (1850..=2150).contains(&year).then(|| Date::new(year, month, day).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(text: &str) -> Vec<u8> {
        text.bytes().filter(u8::is_ascii_digit).map(|byte| byte - b'0').collect()
    }

    #[test]
    fn check_digits() {
        assert!(npi(&digits("1234567893")), "the example of CMS");
        assert!(!npi(&digits("1234567890")));
        assert!(!npi(&digits("3234567893")));
        assert_eq!(luhn_digit(&digits("123456789"), NPI_PREFIX), 3);
        assert_eq!(luhn_digit(&digits("411111111111111"), 0), 1);
        assert!(card(&digits("4111 1111 1111 1111")) && card(&digits("3782 822463 10005")));
        assert!(!card(&digits("4111 1111 1111 1112")), "Luhn");
        assert!(!card(&digits("9111 1111 1111 1111")), "no issuer");
        assert_eq!(mod97(b"DE89370400440532013000"), 1);
        assert_eq!(mod97(b"GB82WEST12345698765432"), 1);
        assert_ne!(mod97(b"DE88370400440532013000"), 1);
    }

    #[test]
    fn ranges() {
        for (number, given) in [
            ("123-45-6789", true),
            ("000-45-6789", false),
            ("666-45-6789", false),
            ("900-45-6789", false),
            ("123-00-6789", false),
            ("123-45-0000", false),
            ("123-45-678", false),
        ] {
            assert_eq!(ssn(&digits(number)), given, "{number}");
        }
        for (number, given) in [
            ("212-555-0123", true),
            ("112-555-0123", false),
            ("212-155-0123", false),
            ("911-555-0123", false),
        ] {
            assert_eq!(nanp(&digits(number)), given, "{number}");
        }
        for (code, known) in
            [("E11", true), ("D90", false), ("T89", false), ("Z3A", true), ("Z4A", false), ("e11", false)]
        {
            let [a, b, c] = code.as_bytes().try_into().unwrap();
            assert_eq!(icd_category(a, b, c), known, "{code}");
        }
    }
}
