//! Finds personal and health data in bytes that come from a target, and masks it. Pure: no I/O, no clock, no state
//! between calls except a [`Masker`]'s own.
//!
//! 1. [`Detectors`] say which [`Kind`]s are looked for. [`Detectors::find`] answers where they stand.
//! 2. A [`Rule`] says what becomes of a finding: a [`Mode`] for each kind, and the key of the keyed modes.
//! 3. [`mask_text`], [`mask_column`], [`Masker`] (text that comes in pieces), [`mask_json`], [`mask_array`], [`mask_hstore`] and
//!    [`mask_cell`] (a whole value whose kind the column says) put the two together.
//!
//! ```
//! use hoop_masking::{Detectors, Kind, MaskingKey, Mode, Rule, mask_text};
//!
//! # fn main() -> Result<(), hoop_masking::ShortKey> {
//! let rule = Rule::new(Mode::Redact, MaskingKey::new(&[1; 32])?).with(Kind::Ssn, Mode::Partial);
//! let masked = mask_text(b"Mr. Smith, SSN 123-45-6789", &Detectors::all(), &rule);
//! assert_eq!(masked.bytes, b"Mr. [name], SSN ***-**-6789");
//! # Ok(())
//! # }
//! ```
//!
//! # How it looks
//!
//! One pass from left to right. The text is cut into runs at white space and brackets; a table of classes says what a
//! run can hold, so that most words cost one look-up in a dictionary. Where something may begin, hand-written matchers
//! read on, at most [`LOOKAHEAD`] bytes, and their validators (check digits, ranges, calendars) decide. Words such as
//! `DOB` or `MRN` are labels: they make the matchers less strict for the next few dozen bytes. No step goes back, so
//! time is linear in the text whatever it holds.
//!
//! # Which finding wins
//!
//! Findings never overlap. The one that begins first wins. Of those that begin at the same byte: secret, URL, e-mail,
//! IBAN, configured record number, IP address, date of birth, card, SSN, NPI, labelled record number, phone, ZIP, ICD,
//! address, name.
//!
//! # What is too long
//!
//! A match longer than [`LONGEST`] bytes is masked to its end, however long, with the fixed marker and whatever the rule
//! says: a [`Masker`] never needs to hold more than its bound. The one exception is a local part of an e-mail address
//! of more than [`LONGEST`] bytes, eight times what an address may have: of it, the last part at least is masked.
//!
//! # What is not found
//!
//! Detectors are the second line; the first is a policy that names columns, for which [`mask_cell`] asks nothing of the
//! value. Not found are: dates of birth that nothing says to be such, names in lower case or of families that no list
//! holds and no title announces, numbers written in words, with digits of other scripts or across lines, and what is
//! encoded (base64, percent signs, escapes of JSON in what is no JSON).

mod check;
mod detect;
mod json;
mod kind;
mod pattern;
mod postgres;
mod rewrite;
mod rule;
mod scan;
mod text;
mod words;

pub use detect::{Detectors, Finding};
pub use json::{DEEPEST_JSON, mask_json};
pub use kind::{Counts, Kind, KindSet};
pub use pattern::{BadPattern, RecordPattern};
pub use postgres::{DEEPEST_ARRAY, mask_array, mask_hstore};
pub use rewrite::{Cell, mask_cell};
pub use rule::{MaskingKey, Mode, Rule, ShortKey};
pub use scan::{LONGEST, LOOKAHEAD};
pub use text::{Masked, Masker, Stretch, mask_column, mask_text};

/// What the fuzzer calls: whatever the bytes are, every form ends, and a text cut in two is masked as the whole.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let Ok(key) = MaskingKey::new(&[7; 32]) else { return };
    let detectors = Detectors::all();
    for mode in [Mode::Redact, Mode::Partial, Mode::Hash, Mode::Null, Mode::Fake] {
        let rule = Rule::new(mode, key.clone());
        let whole = mask_text(data, &detectors, &rule);
        let (head, tail) = data.split_at(data.len() / 2);
        let mut masker = Masker::new(&detectors, &rule);
        let mut pieces = masker.push(head);
        pieces.extend(masker.push(tail));
        pieces.extend(masker.finish());
        assert!(pieces == whole.bytes, "a cut changes what is masked");
        let _ = mask_json(data, &detectors, &rule);
        let _ = mask_array(data, &detectors, &rule);
        let _ = mask_hstore(data, &detectors, &rule);
        for kind in Kind::ALL {
            let _ = mask_cell(kind, data, &rule);
        }
    }
}
