//! What was sealed is read, and whatever is done to it in between is found.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::keys::RecordingPrivateKey;

static KEY: LazyLock<RecordingPrivateKey> = LazyLock::new(|| RecordingPrivateKey::generate().unwrap());
static SIGNER: LazyLock<SigningKey> = LazyLock::new(|| SigningKey::generate().unwrap());

fn sealed(content: &[u8]) -> Vec<u8> {
    let facts = vec![("of".to_owned(), "a test".to_owned())];
    let at = Timestamp::from_micros(1);
    let mut writer =
        SealedWriter::begin(Vec::new(), KEY.public(), SIGNER.verifying_key(), at, facts).unwrap();
    writer.write_all(content).unwrap();
    writer.finish(&SIGNER).unwrap().0
}

fn read(file: &[u8]) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    SealedReader::open(file, &*KEY)?.read_to_end(&mut content)?;
    Ok(content)
}

fn why(file: &[u8]) -> String {
    let error = read(file).unwrap_err();
    sealed_error(&error).expect("a reason").to_string()
}

/// Two pieces and a little.
fn content() -> Vec<u8> {
    let mut state = 1_u32;
    let random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(random).take(2 * MAX_PLAINTEXT + 1000).collect()
}

#[test]
fn what_was_sealed_is_read_and_the_file_shows_nothing() {
    for content in [Vec::new(), b"canary-4c1f".to_vec(), content(), vec![7; MAX_PLAINTEXT]] {
        let file = sealed(&content);
        assert!(read(&file).unwrap() == content);
    }
    let file = sealed(b"canary-4c1f");
    assert!(!file.windows(11).any(|bytes| bytes == b"canary-4c1f"));
}

#[test]
fn each_kind_of_damage_has_its_own_words() {
    let file = sealed(&content());
    assert!(why(b"").contains("no sealed file") && why(&[7; 4000]).contains("no sealed file"));
    let mut newer = file.clone();
    newer[MAGIC.len()] = 9;
    assert!(why(&newer).contains("newer version"));
    let other = RecordingPrivateKey::generate().unwrap();
    let error = SealedReader::open(&file[..], &other).err().unwrap();
    assert!(matches!(sealed_error(&error), Some(SealedError::Key(KeyError::WrongKey { .. }))));
    assert!(why(&file[..file.len() - 1]).contains("cut off"));
    assert!(why(&[&file[..], b"x"].concat()).contains("follows its end"));
    // Signed by somebody else, though chained and encrypted rightly: who has the public key alone can do that.
    let (at, facts) = (Timestamp::from_micros(1), Vec::new());
    let forged = SealedWriter::begin(Vec::new(), KEY.public(), SIGNER.verifying_key(), at, facts).unwrap();
    let (forged, _) = forged.finish(&SigningKey::generate().unwrap()).unwrap();
    assert!(why(&forged).contains("signature"));
}

#[test]
fn pieces_that_are_dropped_swapped_or_doubled_are_found() {
    let file = sealed(&content());
    let mut frames = Vec::new();
    let mut rest = &file[MAGIC.len() + 1..];
    while !rest.is_empty() {
        let frame = read_frame(&mut rest, 0).unwrap().unwrap();
        frames.push(frame);
    }
    assert_eq!(frames.len(), 5);
    let of = |order: &[usize]| {
        let frames: Vec<u8> = order.iter().flat_map(|at| frames[*at].clone()).collect();
        [&file[..=MAGIC.len()], &frames].concat()
    };
    assert!(read(&of(&[0, 1, 2, 3, 4])).is_ok());
    for order in
        [&[0, 2, 1, 3, 4][..], &[0, 2, 3, 4], &[0, 1, 1, 2, 3, 4], &[0, 1, 2, 4], &[0, 4], &[0, 1, 2, 3]]
    {
        assert!(read(&of(order)).is_err(), "{order:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_flipped_bit_and_any_cut_is_found(at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| sealed(&content()));
        let at = at.index(FILE.len());
        let mut file = FILE.clone();
        file[at] ^= 1 << bit;
        prop_assert!(read(&file).is_err(), "byte {at}, bit {bit}");
        prop_assert!(read(&FILE[..at]).is_err(), "cut at {at}");
    }
}
