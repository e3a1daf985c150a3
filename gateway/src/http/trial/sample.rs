//! What a rule's masking shows of sample values, by the functions that mask at the agent. Hashes and fakes are of a key that
//! nobody keeps: another value each time.

use std::collections::BTreeMap;

use hoop_api::rules::{MaskedSample, MaskingSample};
use hoop_masking::{Cell, Counts, MaskingKey, Rule, mask_cell, mask_column};
use hoop_policy::{ColumnFate, ColumnPattern, Masking, MaskingRules};
use hoop_sql::Name;

use super::{Answer, Problematic};

const MOST: usize = 100;
const LONGEST: usize = 64 << 10;

pub(super) fn check(samples: &[MaskingSample]) -> Answer<()> {
    if samples.len() > MOST {
        return Err(Problematic::bad_request(format!("`samples` has more than {MOST} entries")));
    }
    if samples.iter().any(|sample| sample.value.len() > LONGEST) {
        let most = LONGEST >> 10;
        return Err(Problematic::bad_request(format!("one of `samples` is longer than {most} KiB")));
    }
    Ok(())
}

pub(super) fn mask(masking: &Masking, samples: &[MaskingSample]) -> Answer<Vec<MaskedSample>> {
    let Some(rules) = masking.rules() else {
        let plain = |sample: &MaskingSample| shown(Some(sample.value.clone()), None, &Counts::default());
        return Ok(samples.iter().map(plain).collect());
    };
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes).map_err(Problematic::internal)?;
    let key = MaskingKey::new(&bytes).map_err(Problematic::internal)?;
    samples.iter().map(|sample| mask_one(rules, &key, sample)).collect()
}

fn mask_one(rules: &MaskingRules, key: &MaskingKey, sample: &MaskingSample) -> Answer<MaskedSample> {
    let named = sample.column.as_deref().map(parts).transpose()?;
    let found = named.and_then(|[schema, table, column]| {
        let table = Name { schema: Some(schema.to_owned()), name: table.to_owned() };
        rules.of_column(&table, column)
    });
    let pattern = found.map(|(pattern, _)| pattern);
    let mut counts = Counts::default();
    Ok(match found.map(|(_, fate)| fate) {
        Some(ColumnFate::Clear) => shown(Some(sample.value.clone()), pattern, &counts),
        Some(ColumnFate::Null) => shown(None, pattern, &counts),
        Some(ColumnFate::Mask(kind, mode)) => {
            counts.add(kind);
            let value = match mask_cell(kind, sample.value.as_bytes(), &Rule::new(mode, key.clone())) {
                Cell::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
                Cell::Null => None,
            };
            shown(value, pattern, &counts)
        }
        None => detected(rules, key, named.map_or("", |[.., column]| column), &sample.value),
    })
}

fn detected(rules: &MaskingRules, key: &MaskingKey, column: &str, value: &str) -> MaskedSample {
    match mask_column(column.as_bytes(), value.as_bytes(), &rules.detectors(), &rules.of_findings(key)) {
        None => shown(Some(value.to_owned()), None, &Counts::default()),
        Some(masked) => {
            shown(Some(String::from_utf8_lossy(&masked.bytes).into_owned()), None, &masked.counts)
        }
    }
}

fn parts(column: &str) -> Answer<[&str; 3]> {
    column.split('.').collect::<Vec<_>>().try_into().map_err(|_| {
        Problematic::bad_request("a column of `samples` is written schema.table.column".to_owned())
    })
}

fn shown(value: Option<String>, pattern: Option<&ColumnPattern>, counts: &Counts) -> MaskedSample {
    let counts: BTreeMap<_, _> = counts.iter().map(|(kind, count)| (kind.name().to_owned(), count)).collect();
    MaskedSample { shown: value, pattern: pattern.map(ToString::to_string), counts }
}
