//! The dictionary: what a single word means for what stands near it. Our own lists, in lower case.
//!
//! A look-up is one hash and, for nearly every word that is not in it, one bit of a filter that stays in the first cache.

use std::sync::LazyLock;

mod names;

/// What a word is; a set.
pub(crate) type Roles = u32;

/// The labels come first: bit n is [`Label`] n.
pub(crate) const BIRTH: Roles = 1 << 0;
pub(crate) const SSN: Roles = 1 << 1;
pub(crate) const MRN: Roles = 1 << 2;
pub(crate) const NPI: Roles = 1 << 3;
pub(crate) const PHONE: Roles = 1 << 4;
pub(crate) const ZIP: Roles = 1 << 5;
pub(crate) const DIAGNOSIS: Roles = 1 << 6;
/// What follows is a version, a room, a vitamin: no IP address and no diagnosis.
pub(crate) const VERSION: Roles = 1 << 7;
/// What follows is a part, an order, a ticket: no telephone.
pub(crate) const PART: Roles = 1 << 8;
/// `Mr`, `Dr`: a name follows.
pub(crate) const TITLE: Roles = 1 << 9;
/// `patient`, `nurse`: a name may follow.
pub(crate) const PERSON: Roles = 1 << 10;
/// `name`: a name follows.
pub(crate) const NAMED: Roles = 1 << 11;
/// `born` is over: the next date is one of something else.
pub(crate) const OTHER_DATE: Roles = 1 << 12;
/// Only a given name.
pub(crate) const FIRST: Roles = 1 << 13;
/// A given name that is a word too.
pub(crate) const FIRST_OR_WORD: Roles = 1 << 14;
pub(crate) const LAST: Roles = 1 << 15;
pub(crate) const STREET: Roles = 1 << 16;
pub(crate) const STATE: Roles = 1 << 17;
pub(crate) const SECRET: Roles = 1 << 18;
/// With [`SECRET_AFTER`] behind it, a secret: `api key`.
pub(crate) const SECRET_BEFORE: Roles = 1 << 19;
pub(crate) const SECRET_AFTER: Roles = 1 << 20;
/// With [`RECORD_AFTER`] behind it, a record number: `patient id`.
pub(crate) const RECORD_BEFORE: Roles = 1 << 21;
pub(crate) const RECORD_AFTER: Roles = 1 << 22;
pub(crate) const MONTH: Roles = 1 << 23;
/// Begins with a capital and is no name.
pub(crate) const NO_NAME: Roles = 1 << 24;
/// What a name before it belongs to: `Hospital`.
pub(crate) const PLACE: Roles = 1 << 25;
pub(crate) const FLAT: Roles = 1 << 26;
/// After a number that looks like a diagnosis: `B12 deficiency`.
pub(crate) const SUBSTANCE: Roles = 1 << 27;
/// A [`LAST`] that is hardly anything else.
pub(crate) const LAST_ONLY: Roles = 1 << 29;
/// A [`PERSON`] by role, not a preposition: two capitals after it are a name that no list need have.
pub(crate) const RELATION: Roles = 1 << 28;

/// How many labels there are.
pub(crate) const LABELS: usize = 12;

const LISTS: [(Roles, &str); 30] = [
    (
        BIRTH,
        "dob birth birthdate born birthday dateofbirth geburtsdatum geboren geb geburtstag naissance nacimiento nascita bday",
    ),
    (SSN, "social ssn ssns socialsecurity"),
    (MRN, "acct mrn mrns mrno medrec"),
    (NPI, "npi npis provider prescriber attending referring physician pcp clinician practitioner"),
    (
        PHONE,
        "phone telephone tel cell mobile fax call callback contact telefon handy pager ph dial reach text sms phones",
    ),
    (ZIP, "zip zipcode postal postcode plz"),
    (DIAGNOSIS, "icd dx diagnosis diagnoses diagnosed icdcode comorbidities assessment problems"),
    (
        VERSION,
        "version versions release build firmware v ver vitamin room bay section model bed revision driver software schema vertebra level kernel chapter figure ward rev upgraded",
    ),
    (
        PART,
        "part pn sku order orders item lot serial catalog catalogue product ticket case batch tracking invoice ref reference version model",
    ),
    (TITLE, "mr mrs ms miss dr prof professor herr frau mx sr sra señor señora monsieur mme"),
    (
        PERSON,
        "patient pt nurse attending physician provider mother father wife husband son daughter spouse by brother sister caregiver guardian client resident member with contact for rn signed subscriber insured guarantor from to saw and",
    ),
    (
        RELATION,
        "patient pt nurse mother father wife husband son daughter spouse brother sister caregiver guardian resident subscriber insured guarantor",
    ),
    (NAMED, "name names named surname firstname lastname fullname"),
    (
        OTHER_DATE,
        "admitted discharged visit seen service appointment collected due expires admission discharge encounter surgery last follow signed printed dated ordered",
    ),
    (
        STREET,
        "street st avenue ave road rd boulevard blvd lane ln drive dr court ct place pl way terrace ter parkway pkwy circle cir highway hwy trail trl square sq loop",
    ),
    (
        STATE,
        "al ak az ar ca co ct de fl ga hi id il in ia ks ky la me md ma mi mn ms mo mt ne nv nh nj nm ny nc nd oh ok or pa ri sc sd tn tx ut vt va wa wv wi wy dc pr",
    ),
    (
        SECRET,
        "bearer basic password passwd pwd passphrase token secret apikey authtoken accesstoken passwort kennwort credential pgpassword clientsecret",
    ),
    (SECRET_BEFORE, "api access secret private auth client encryption signing account"),
    (SECRET_AFTER, "key keys token"),
    (RECORD_BEFORE, "med medical patient hospital health chart member subscriber record account"),
    (RECORD_AFTER, "rec record id number no identifier num nr"),
    (
        MONTH,
        "jan january feb february mar march apr april may jun june jul july aug august sep sept september oct october nov november dec december januar februar märz mai juni juli oktober dezember",
    ),
    (
        NO_NAME,
        "the a an and or of in on at to for with without from by as is was has had have denies reports presents presented states stated complains complained history exam care unit portal room bed no not note notes date time plan assessment diagnosis diagnoses medication medications allergies chief complaint review follow discharge admission vital vitals blood pressure heart rate normal patient patients pt doctor nurse he she they his her it this that there then we you i today yesterday tomorrow tolerated remains continues was will can may should pain left right lab labs result results order orders instructions education safety information identification id number mrn dob ssn npi phone address email zip icd call called calls ordered advised recommends recommended prescribed started stopped saw seen agrees agreed reviewed examined signed states scheduled monday tuesday wednesday thursday friday saturday sunday january february march april june july august september october november december medicare medicaid insurance policy service services program study team center centre clinic hospital department emergency surgery radiology cardiology oncology neurology pediatrics group rights consent form record records summary status transfer type age sex gender male female yes none unknown see please contact but if when after before during all any both each since until while who which what new old first last next per via re cc attn thank thanks dear hello sincerely regards high low stable physical therapy therapist social work worker internal medicine intensive occupational nursing general primary home wound infectious orthopedic gastroenterology nephrology endocrinology psychiatry dermatology urology anesthesia pathology laboratory hospice palliative rehab rehabilitation consult consultant access advocate acute chronic mild moderate severe positive negative",
    ),
    (
        PLACE,
        "hospital clinic center centre university institute school street avenue road disease syndrome sign test scale score procedure county city medical health church pharmacy foundation college lake park valley hall classification criteria stage grade catheter maneuver reflex position",
    ),
    (FLAT, "apt apartment suite ste unit floor fl bldg room rm"),
    (
        SUBSTANCE,
        "vitamin deficiency level levels injection injections shot shots supplement supplements complex",
    ),
    (FIRST, names::FIRST),
    (FIRST_OR_WORD, names::FIRST_OR_WORD),
    (LAST | LAST_ONLY, names::LAST),
    (LAST, names::LAST_OR_WORD),
];

/// How many bytes a word of the dictionary has at most.
const LONGEST_WORD: usize = 16;
const SLOTS: usize = 1 << 12;
const FILTER: usize = 1 << 9;

static DICTIONARY: LazyLock<Dictionary> = LazyLock::new(Dictionary::new);

/// What this word is. Case does not matter; a word is letters of ASCII and bytes above it.
pub(crate) fn roles(word: &[u8], behind: &[u8]) -> Roles {
    if word.len() > LONGEST_WORD {
        return 0;
    }
    DICTIONARY.roles(pack(word, behind))
}

/// The dictionary, to be asked many times.
pub(crate) fn dictionary() -> &'static Dictionary {
    &DICTIONARY
}

pub(crate) struct Dictionary {
    filter: [u64; FILTER],
    slots: Box<[(u128, Roles)]>,
}

impl Dictionary {
    fn new() -> Self {
        let mut made = Self { filter: [0; FILTER], slots: vec![(0, 0); SLOTS].into_boxed_slice() };
        for (role, list) in LISTS {
            for word in list.split_ascii_whitespace() {
                made.insert(pack(word.as_bytes(), &[]), role);
            }
        }
        made
    }

    fn insert(&mut self, key: u128, role: Roles) {
        let hash = hash(key);
        if let Some(bits) = self.filter.get_mut(hash >> 6 & (FILTER - 1)) {
            *bits |= 1 << (hash & 63);
        }
        for step in 0..SLOTS {
            if let Some(slot) = self.slots.get_mut((hash + step) & (SLOTS - 1))
                && (slot.0 == key || slot.0 == 0)
            {
                *slot = (key, slot.1 | role);
                return;
            }
        }
    }

    /// As [`roles`].
    #[inline]
    pub(crate) fn find(&self, word: &[u8], behind: &[u8]) -> Roles {
        if word.len() > LONGEST_WORD { 0 } else { self.roles(pack(word, behind)) }
    }

    #[inline]
    fn roles(&self, key: u128) -> Roles {
        let hash = hash(key);
        if self.filter.get(hash >> 6 & (FILTER - 1)).is_none_or(|bits| bits >> (hash & 63) & 1 == 0) {
            return 0;
        }
        for step in 0..SLOTS {
            match self.slots.get((hash + step) & (SLOTS - 1)) {
                Some((found, roles)) if *found == key => return *roles,
                Some((0, _)) | None => return 0,
                Some(_) => {}
            }
        }
        0
    }
}

/// The word as a number, in lower case. `behind` is the text from the word on, which spares copying byte by byte.
#[inline]
fn pack(word: &[u8], behind: &[u8]) -> u128 {
    const SPACES: u128 = 0x2020_2020_2020_2020_2020_2020_2020_2020;
    let bytes = behind.first_chunk::<LONGEST_WORD>().map_or_else(
        || word.iter().rev().fold(0, |packed, byte| packed << 8 | u128::from(*byte)),
        |chunk| u128::from_le_bytes(*chunk),
    );
    let unused = 8 * LONGEST_WORD.saturating_sub(word.len());
    let used = if unused >= 128 { 0 } else { u128::MAX >> unused };
    (bytes | SPACES) & used
}

#[inline]
#[expect(
    clippy::cast_possible_truncation,
    reason = "the halves of a number, and the upper bits of a product"
)]
fn hash(key: u128) -> usize {
    let folded = (key as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        ^ ((key >> 64) as u64).wrapping_mul(0xc2b2_ae3d_27d4_eb4f);
    (folded.wrapping_mul(0xff51_afd7_ed55_8ccd) >> 48) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_found_and_others_are_not() {
        for (role, list) in LISTS {
            for word in list.split_ascii_whitespace() {
                assert!(word.len() <= LONGEST_WORD, "{word} can never be found");
                {
                    assert!(roles(word.as_bytes(), &[]) & role != 0, "{word}");
                    let long = format!("{} and what follows it", word.to_uppercase());
                    assert_eq!(
                        roles(&long.as_bytes()[..word.len()], long.as_bytes()),
                        roles(word.as_bytes(), &[]),
                        "{word}"
                    );
                }
            }
        }
        for word in ["", "q", "xyzzy", "pneumonoultramicroscopic"] {
            assert_eq!(roles(word.as_bytes(), &[]), 0, "{word}");
        }
    }
}
