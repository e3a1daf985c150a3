//! What spares time must not change what is found.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn small_letters_are_counted(chunk in prop::array::uniform16(prop_oneof![8 => b'a'..=b'z', 1 => any::<u8>()])) {
        let one_by_one = chunk.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
        prop_assert_eq!(small_letters(chunk), one_by_one);
    }

    #[test]
    fn a_number_that_promises_nothing_is_none(text in "[(+x ]?[0-9]{1,5}([-. /()][0-9]{1,7}){0,5}|[(+]?[0-9]{7,21}") {
        let bytes = text.as_bytes();
        let start = usize::from(!bytes[0].is_ascii_digit());
        let detectors = Detectors::all();
        let labels = [NEVER; LABELS];
        let seen = Seen { detectors: &detectors, view: View { text: bytes }, place: 0, labels: &labels, before: (0, NEVER) };
        prop_assert!(seen.promises(start) || seen.any_number(start).is_none());
    }

    #[test]
    fn a_word_that_is_skipped_is_nothing(word in "[a-z]{1,17}|d", next in "[. ,x1é\\\\-]{1,3}") {
        let text = format!("{word}{next} and so it goes on for a while");
        let length = text.bytes().take_while(u8::is_ascii_lowercase).count();
        let mut scanner = Scanner::new();
        if scanner.skip_word(&Detectors::all(), words::dictionary(), text.as_bytes()) {
            prop_assert_eq!(words::roles(&text.as_bytes()[..length], &[]), 0);
            prop_assert!((length..=length + 1).contains(&scanner.at()), "no more than the sign behind it");
            prop_assert!(text[length..].starts_with(['.', ' ', ',', '\\']), "the word ends there");
        }
    }
}

#[test]
fn every_byte_counts_as_a_small_letter_or_not() {
    for byte in u8::MIN..=u8::MAX {
        for place in 0..CHUNK {
            let mut chunk = [b'z'; CHUNK];
            chunk[place] = byte;
            assert_eq!(small_letters(chunk), if byte.is_ascii_lowercase() { CHUNK } else { place }, "{byte}");
        }
    }
}
