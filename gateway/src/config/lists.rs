//! Lists of tables in the file, such as `[[notices.channels]]`: read with the place of each value, and checked key by key.
//!
//! Knows the rows that an item may have, not what they mean. A list of tables has no flag and no variable.

use std::{collections::BTreeMap, fmt::Write as _, str::FromStr};

use hoop_model::Redacted;
use reqwest::{Certificate, Url};
use toml::{Spanned, de::DeTable, de::DeValue};

use super::{
    ConfigError, Origin, Raw,
    layers::{plain, wrong},
    options::{Kind, OptionRow},
    source,
};

/// What a list is called, and what its items hold.
#[derive(Debug)]
pub(super) struct List {
    /// Its key in the file.
    pub(super) key: &'static str,
    /// What one of its items is called.
    pub(super) item: &'static str,
    /// How many there may be: each is a task of its own.
    pub(super) most: usize,
    /// The keys of an item.
    pub(super) rows: &'static [&'static OptionRow],
}

/// One item, as it stands in the file.
#[derive(Debug, Clone)]
pub(super) struct Item {
    list: &'static List,
    pub(super) origin: Origin,
    values: BTreeMap<&'static str, Raw>,
}

/// Certificates to trust in place of the system's, PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ca(pub(crate) String);

impl List {
    /// The list as it stands in a file.
    pub(super) fn read(
        &'static self,
        list: &Spanned<DeValue<'_>>,
        origin: &impl Fn(usize) -> Origin,
    ) -> Result<Vec<Item>, ConfigError> {
        let place = origin(list.span().start);
        let no_list = || {
            let message = format!("`{}` is a list of tables", self.key);
            ConfigError::new(&place, message, format!("begin each with `[[{}]]`", self.key))
        };
        let items = list.get_ref().as_array().ok_or_else(no_list)?;
        if items.len() > self.most {
            let message = format!("there are more than {} of `[[{}]]`", self.most, self.key);
            return Err(ConfigError::new(&place, message, "remove some"));
        }
        let one = |item: &Spanned<DeValue<'_>>| {
            let table = item.get_ref().as_table().ok_or_else(no_list)?;
            self.read_one(table, origin(item.span().start), origin)
        };
        items.iter().map(one).collect()
    }

    fn read_one(
        &'static self,
        table: &DeTable<'_>,
        origin: Origin,
        place: &impl Fn(usize) -> Origin,
    ) -> Result<Item, ConfigError> {
        let mut values = BTreeMap::new();
        for (name, value) in table.iter() {
            let at = place(name.span().start);
            let Some(row) = self.rows.iter().find(|row| row.key == name.get_ref().as_ref()) else {
                let known: Vec<_> = self.rows.iter().map(|row| row.key).collect();
                let message = format!("a {} has no `{}`", self.item, name.get_ref().escape_debug());
                return Err(ConfigError::new(at, message, format!("it has {}", known.join(", "))));
            };
            let text = plain(row, value, &at)?;
            values.insert(row.key, Raw { text, origin: at });
        }
        Ok(Item { list: self, origin, values })
    }

    /// The table of its keys for `docs/CONFIG.md`.
    pub(super) fn table(&self, text: &mut String) {
        text.push_str("| key | kind | default | what it does |\n|---|---|---|---|\n");
        for row in self.rows {
            let default =
                if row.default.is_empty() { "not set".to_owned() } else { format!("`{}`", row.default) };
            let _ = writeln!(text, "| `{}` | {} | {default} | {} |", row.key, row.kind.label(), row.doc);
        }
    }
}

impl Item {
    pub(super) fn value(&self, row: &OptionRow) -> Raw {
        let default = || Raw { text: row.default.to_owned(), origin: self.origin.clone() };
        self.values.get(row.key).cloned().unwrap_or_else(default)
    }

    /// For people: nothing that hides in it moves the cursor.
    pub(super) fn shown(&self, row: &OptionRow) -> String {
        self.value(row).text.escape_debug().to_string()
    }

    pub(super) fn wrong(&self, row: &OptionRow, problem: &str) -> ConfigError {
        wrong(row, &self.value(row).origin, problem)
    }

    pub(super) fn required(&self, row: &OptionRow) -> Result<Raw, ConfigError> {
        Some(self.value(row))
            .filter(|raw| !raw.text.is_empty())
            .ok_or_else(|| self.wrong(row, "it is missing"))
    }

    pub(super) fn parse<T: FromStr>(&self, row: &OptionRow, text: &str) -> Result<T, ConfigError>
    where
        T::Err: std::fmt::Display,
    {
        text.parse().map_err(|error: T::Err| self.wrong(row, &error.to_string()))
    }

    /// What a source leads to; for a secret the source is a must.
    pub(super) fn follow(&self, row: &OptionRow) -> Result<Redacted<String>, ConfigError> {
        source(&self.required(row)?, row.kind == Kind::SecretSource, |problem| self.wrong(row, &problem))
    }

    /// An `https://…` or `http://…` that counts as a secret.
    pub(super) fn url(&self, row: &OptionRow) -> Result<Redacted<String>, ConfigError> {
        let url = self.follow(row)?;
        // The parser's own words could quote it.
        let parsed = Url::parse(url.expose()).map_err(|_| self.wrong(row, "it cannot be read"))?;
        if !matches!(parsed.scheme(), "https" | "http") || !parsed.has_host() {
            return Err(self.wrong(row, "it must be `https://…` or `http://…`"));
        }
        Ok(url)
    }

    /// Certificates of a private CA, if the row names a file.
    pub(super) fn ca(&self, row: &OptionRow) -> Result<Option<Ca>, ConfigError> {
        let path = self.value(row).text;
        if path.is_empty() {
            return Ok(None);
        }
        let wrong = |problem: String| self.wrong(row, &problem);
        let pem = std::fs::read_to_string(&path)
            .map_err(|error| wrong(format!("{path} cannot be read: {error}")))?;
        match Certificate::from_pem_bundle(pem.as_bytes()) {
            Ok(all) if !all.is_empty() => Ok(Some(Ca(pem))),
            _ => Err(wrong(format!("{path} holds no certificate"))),
        }
    }

    /// An item of this kind has these keys and no others.
    pub(super) fn only(&self, kind: &str, rows: &[&OptionRow]) -> Result<(), ConfigError> {
        let known: Vec<_> = rows.iter().map(|row| row.key).collect();
        let Some((key, raw)) = self.values.iter().find(|(key, _)| !known.contains(key)) else {
            return Ok(());
        };
        let message = format!("a {} of kind `{kind}` has no `{key}`", self.list.item);
        Err(ConfigError::new(&raw.origin, message, format!("it has {}", known.join(", "))))
    }
}
