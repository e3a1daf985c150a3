//! The six digits of an authenticator app (RFC 6238), for the demo's people.
//!
//! SHA-1 is what authenticator apps use. This code signs a demo's people in and nothing else; the product has its own.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// A code is good for so long.
pub(crate) const PERIOD: u64 = 30;

/// The code of `secret` (base32) at `now`.
pub(crate) fn code(secret: &str, now: SystemTime) -> Result<String> {
    let key = base32(secret).context("the TOTP secret is not base32")?;
    let step = now.duration_since(UNIX_EPOCH).context("the clock stands before 1970")?.as_secs() / PERIOD;
    let mac = hmac_sha1(&key, &step.to_be_bytes());
    // RFC 4226, 5.3: the last nibble says where four bytes are taken from.
    let offset = usize::from(mac.last().copied().unwrap_or(0) & 15);
    let four = mac.get(offset..offset + 4).unwrap_or_default();
    let number = four.iter().fold(0_u32, |number, byte| number << 8 | u32::from(*byte)) & 0x7fff_ffff;
    Ok(format!("{:06}", number % 1_000_000))
}

/// How long until the next code: a code that was used is not good again.
pub(crate) fn until_next(now: SystemTime) -> Duration {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    Duration::from_secs(PERIOD - seconds % PERIOD + 1)
}

fn base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::new(), 0_u32, 0_u32);
    for letter in text.trim().trim_end_matches('=').chars() {
        let value = match letter.to_ascii_uppercase() {
            letter @ 'A'..='Z' => u32::from(letter) - u32::from('A'),
            digit @ '2'..='7' => u32::from(digit) - u32::from('2') + 26,
            _ => return None,
        };
        bits = bits << 5 | value;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
            bits &= (1 << held) - 1;
        }
    }
    Some(bytes)
}

fn hmac_sha1(key: &[u8], message: &[u8]) -> [u8; 20] {
    let mut block = [0_u8; 64];
    let hashed = sha1(key);
    let key = if key.len() > block.len() { &hashed } else { key };
    for (place, byte) in block.iter_mut().zip(key) {
        *place = *byte;
    }
    let inner = sha1(&[block.map(|byte| byte ^ 0x36).as_slice(), message].concat());
    sha1(&[block.map(|byte| byte ^ 0x5c).as_slice(), &inner].concat())
}

/// FIPS 180-4, 6.1.
fn sha1(message: &[u8]) -> [u8; 20] {
    let mut padded = message.to_vec();
    padded.push(0x80);
    padded.resize(padded.len().next_multiple_of(64), 0);
    if padded.len() - message.len() < 9 {
        padded.resize(padded.len() + 64, 0);
    }
    let length = padded.len();
    let bits = (message.len() as u64) * 8;
    for (place, byte) in padded.iter_mut().skip(length - 8).zip(bits.to_be_bytes()) {
        *place = byte;
    }
    let mut state = [0x6745_2301_u32, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476, 0xc3d2_e1f0];
    for block in padded.chunks_exact(64) {
        let mut words: Vec<u32> = block
            .chunks_exact(4)
            .map(|four| four.iter().fold(0, |word, byte| word << 8 | u32::from(*byte)))
            .collect();
        for index in 16..80 {
            let mixed =
                [3, 8, 14, 16].iter().filter_map(|back| words.get(index - back)).fold(0, |x, word| x ^ word);
            words.push(mixed.rotate_left(1));
        }
        let [mut a, mut b, mut c, mut d, mut e] = state;
        for (index, word) in words.iter().enumerate() {
            let (mix, constant) = match index {
                0..20 => (b & c | !b & d, 0x5a82_7999),
                20..40 => (b ^ c ^ d, 0x6ed9_eba1),
                40..60 => (b & c | b & d | c & d, 0x8f1b_bcdc),
                _ => (b ^ c ^ d, 0xca62_c1d6_u32),
            };
            let next =
                a.rotate_left(5).wrapping_add(mix).wrapping_add(e).wrapping_add(constant).wrapping_add(*word);
            (e, d, c, b, a) = (d, c, b.rotate_left(30), a, next);
        }
        for (sum, part) in state.iter_mut().zip([a, b, c, d, e]) {
            *sum = sum.wrapping_add(part);
        }
    }
    let mut digest = [0; 20];
    for (place, byte) in digest.iter_mut().zip(state.iter().flat_map(|word| word.to_be_bytes())) {
        *place = byte;
    }
    digest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn sha1_of_the_standard() {
        for (message, digest) in [
            (String::new(), "da39a3ee5e6b4b0d3255bfef95601890afd80709"),
            ("abc".into(), "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq".into(),
                "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
            ),
            ("a".repeat(1_000_000), "34aa973cd4c4daa4f61eeb2bdbad27316534016f"),
        ] {
            assert_eq!(hex(&sha1(message.as_bytes())), digest);
        }
    }

    #[test]
    fn hmac_of_rfc_2202() {
        assert_eq!(
            hex(&hmac_sha1(b"Jefe", b"what do ya want for nothing?")),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"
        );
        let message = b"Test Using Larger Than Block-Size Key - Hash Key First";
        assert_eq!(hex(&hmac_sha1(&[0xaa; 80], message)), "aa4ae5e15272d00e95705637ce8a3b55ed402112");
    }

    #[test]
    fn codes_of_rfc_6238() {
        // "12345678901234567890" in base32; the RFC prints eight digits, of which apps show the last six.
        let secret = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        for (seconds, expected) in
            [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924"), (20_000_000_000, "353130")]
        {
            assert_eq!(
                code(secret, UNIX_EPOCH + Duration::from_secs(seconds)).unwrap(),
                expected,
                "{seconds}"
            );
        }
    }

    #[test]
    fn what_is_not_base32_is_refused() {
        for wrong in ["1", "A8", "ABC DEF", "ä"] {
            assert!(code(wrong, UNIX_EPOCH).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_next_code_comes_within_half_a_minute() {
        assert_eq!(until_next(UNIX_EPOCH + Duration::from_secs(59)), Duration::from_secs(2));
        assert_eq!(until_next(UNIX_EPOCH + Duration::from_secs(60)), Duration::from_secs(31));
    }
}
