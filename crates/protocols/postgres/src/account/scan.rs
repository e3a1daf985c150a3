//! A look for personal data: which columns seem to hold some, by their names and by a few of their values.
//!
//! Values are read at the agent and stay there: what is told is a column, a kind, and how many of how many values said so.

use std::collections::VecDeque;

use bytes::BytesMut;
use hoop_engine::{ColumnFinding, Errand, ErrandOutput, Outcome};
use hoop_masking::{Counts, Detectors, Kind, MaskingKey, Mode, Rule, mask_column};
use hoop_model::{Blame, Fault};

use super::{
    sql::{identifier, literal},
    wire::{Answer, Broken, Wire},
};

/// Most columns that are looked at.
const MOST_COLUMNS: usize = 10_000;
/// Asked of the catalog at a time; an answer is bounded.
const PAGE: usize = 1000;
/// Columns of a table asked at a time.
const AT_A_TIME: usize = 40;
/// Rows of a table that are read.
const ROWS: usize = 20;
/// Characters of a value that are read.
const CHARACTERS: usize = 200;

/// The errand.
pub(crate) struct Scan {
    wire: Wire,
    step: Step,
    /// Not looked at yet: columns of one table.
    tables: VecDeque<Table>,
    findings: Vec<ColumnFinding>,
    seen: usize,
    looked_at: u64,
    unreadable: u64,
    detectors: Detectors,
    rule: Rule,
}

#[derive(Debug)]
enum Step {
    LogIn,
    Catalog,
    Values(Table),
}

#[derive(Debug)]
struct Table {
    schema: String,
    name: String,
    columns: Vec<(String, String)>,
}

impl Scan {
    /// `None`: no key can be made.
    pub(crate) fn new(database: &str) -> Option<Self> {
        // Nothing that is masked here is ever shown.
        let key = MaskingKey::new(&[0; 32]).ok()?;
        let mut wire = Wire::default();
        wire.connect(database);
        Some(Self {
            wire,
            step: Step::LogIn,
            tables: VecDeque::new(),
            findings: Vec::new(),
            seen: 0,
            looked_at: 0,
            unreadable: 0,
            detectors: Detectors::all(),
            rule: Rule::new(Mode::Redact, key),
        })
    }

    fn answered(&mut self, answer: &Answer) -> Result<(), Fault> {
        match std::mem::replace(&mut self.step, Step::Catalog) {
            Step::LogIn => {
                let page = catalog(0);
                self.wire.ask(&format!(
                    "SET search_path = pg_catalog; SET statement_timeout = '5s'; SET lock_timeout = '1s'; \
                     SET default_transaction_read_only = on; {page}"
                ));
            }
            Step::Catalog => self.catalog(answer)?,
            Step::Values(table) => {
                self.values(&table, answer);
                self.next_table();
            }
        }
        Ok(())
    }

    fn catalog(&mut self, answer: &Answer) -> Result<(), Fault> {
        if let Some(why) = &answer.refused {
            let message = format!("the database server refused to list its columns: {}", why.message);
            return Err(Fault::new("HOOP-5012", Blame::Target, message));
        }
        for row in &answer.rows {
            let [Some(schema), Some(table), Some(column), Some(type_name)] = &row[..] else { continue };
            let is_same = |known: &&mut Table| {
                known.schema == *schema && known.name == *table && known.columns.len() < AT_A_TIME
            };
            match self.tables.back_mut().filter(is_same) {
                Some(known) => known.columns.push((column.clone(), type_name.clone())),
                None => self.tables.push_back(Table {
                    schema: schema.clone(),
                    name: table.clone(),
                    columns: vec![(column.clone(), type_name.clone())],
                }),
            }
        }
        self.seen += answer.rows.len();
        if answer.rows.len() == PAGE && self.seen < MOST_COLUMNS {
            self.wire.ask(&catalog(self.seen));
        } else {
            self.next_table();
        }
        Ok(())
    }

    fn next_table(&mut self) {
        let Some(table) = self.tables.pop_front() else {
            self.findings.sort();
            let findings = std::mem::take(&mut self.findings);
            let partial = self.unreadable > 0 || self.seen >= MOST_COLUMNS;
            return self.wire.finish(Outcome::Scanned { findings, columns: self.looked_at, partial });
        };
        let columns: Vec<_> = table
            .columns
            .iter()
            .map(|(name, _)| format!("left({}::text, {CHARACTERS})", identifier(name)))
            .collect();
        let (schema, name) = (identifier(&table.schema), identifier(&table.name));
        self.wire.ask(&format!("SELECT {} FROM {schema}.{name} LIMIT {ROWS}", columns.join(", ")));
        self.step = Step::Values(table);
    }

    fn values(&mut self, table: &Table, answer: &Answer) {
        // A table that may not be read still has names.
        self.unreadable += u64::from(answer.refused.is_some());
        for (at, (column, type_name)) in table.columns.iter().enumerate() {
            self.looked_at += 1;
            let (mut rows, mut found) = (0_u32, Counts::default());
            for value in answer.rows.iter().filter_map(|row| row.get(at)?.as_deref()) {
                rows += 1;
                let masked = mask_column(column.as_bytes(), value.as_bytes(), &self.detectors, &self.rule);
                // How many values hold it, not how often it stands in them.
                masked.iter().flat_map(|masked| masked.counts.iter()).for_each(|(kind, _)| found.add(kind));
            }
            let most = found.iter().max_by_key(|(_, hits)| *hits);
            let (kind, hits, by_name) = match (most, by_name(column)) {
                (_, Some(kind)) => (kind, found.of(kind), true),
                (Some((kind, hits)), None) => (kind, hits, false),
                (None, None) => continue,
            };
            self.findings.push(ColumnFinding {
                schema: table.schema.clone(),
                table: table.name.clone(),
                column: column.clone(),
                type_name: type_name.clone(),
                kind,
                rows,
                hits: u32::try_from(hits).unwrap_or(u32::MAX),
                by_name,
            });
        }
    }
}

impl Errand for Scan {
    fn poll_output(&mut self) -> ErrandOutput {
        self.wire.next()
    }

    fn handle_input(&mut self, input: &mut BytesMut) -> Result<(), Fault> {
        match self.wire.read(input) {
            Ok(None) => Ok(()),
            Ok(Some(answer)) => self.answered(&answer),
            // The engine ends the stream, and says more about why than its client is told.
            Err(Broken::Refused(_)) => Ok(()),
            Err(Broken::Malformed(why)) => {
                let message = format!("the database server answered what cannot be: {why}");
                Err(Fault::new("HOOP-5011", Blame::Target, message))
            }
        }
    }

    fn may_have_acted(&self) -> bool {
        false
    }
}

/// Columns of ordinary tables, partitioned ones and materialized views; partitions are their parent's.
fn catalog(from: usize) -> String {
    let schemas = ["pg_catalog", "information_schema", "pg_toast"].map(literal).join(", ");
    format!(
        "SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_class c \
         JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid \
         WHERE c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition AND c.relpersistence <> 't' \
         AND a.attnum > 0 AND NOT a.attisdropped AND n.nspname NOT IN ({schemas}) \
         ORDER BY n.nspname, c.relname, a.attnum OFFSET {from} LIMIT {PAGE}"
    )
}

/// What a column's name says that it holds.
fn by_name(column: &str) -> Option<Kind> {
    let spelled: String =
        column.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    const PARTS: [(&str, Kind); 30] = [
        ("ssn", Kind::Ssn),
        ("socialsecurity", Kind::Ssn),
        ("mrn", Kind::Mrn),
        ("medicalrecord", Kind::Mrn),
        ("npi", Kind::Npi),
        ("phone", Kind::Phone),
        ("mobile", Kind::Phone),
        ("fax", Kind::Phone),
        ("email", Kind::Email),
        ("street", Kind::Address),
        ("address", Kind::Address),
        ("zip", Kind::Zip),
        ("postalcode", Kind::Zip),
        ("postcode", Kind::Zip),
        ("birth", Kind::BirthDate),
        ("dob", Kind::BirthDate),
        ("diagnosis", Kind::Icd10),
        ("icd10", Kind::Icd10),
        ("cardnumber", Kind::Card),
        ("creditcard", Kind::Card),
        ("iban", Kind::Iban),
        ("firstname", Kind::Name),
        ("lastname", Kind::Name),
        ("middlename", Kind::Name),
        ("fullname", Kind::Name),
        ("surname", Kind::Name),
        ("patientname", Kind::Name),
        ("password", Kind::Secret),
        ("secret", Kind::Secret),
        ("apikey", Kind::Secret),
    ];
    const WHOLE: [&str; 6] = ["npi", "fax", "zip", "ssn", "mrn", "dob"];
    let fits = |(part, _): &&(&str, Kind)| {
        if WHOLE.contains(part) { is_word_of(column, part) } else { spelled.contains(part) }
    };
    PARTS.iter().find(fits).map(|(_, kind)| *kind)
}

/// Short ones stand by themselves: `home_zip`, `zipCode`, and not `zipped`.
fn is_word_of(column: &str, part: &str) -> bool {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for character in column.chars() {
        let starts = !character.is_alphanumeric() || (was_lower && character.is_uppercase());
        if starts {
            words.push(String::new());
        }
        was_lower = character.is_lowercase();
        if let Some(word) = words.last_mut().filter(|_| character.is_alphanumeric()) {
            word.extend(character.to_lowercase());
        }
    }
    words.iter().any(|word| word == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_columns_hold() {
        for (column, kind) in [
            ("ssn", Some(Kind::Ssn)),
            ("patientSsn", Some(Kind::Ssn)),
            ("lesson", None),
            ("home_zip", Some(Kind::Zip)),
            ("zipped_at", None),
            ("First Name", Some(Kind::Name)),
            ("last_name", Some(Kind::Name)),
            ("name", None),
            ("date_of_birth", Some(Kind::BirthDate)),
            ("ip_address", Some(Kind::Address)),
            ("npi_number", Some(Kind::Npi)),
            ("snpid", None),
            ("id", None),
        ] {
            assert_eq!(by_name(column), kind, "{column}");
        }
    }
}
