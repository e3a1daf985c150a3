//! Collects raw values of options from defaults, a TOML file, the environment and flags, each with where it came from.
//!
//! Knows the table of options, not what a value means to the gateway.

use std::{collections::BTreeMap, fmt, path::Path, path::PathBuf};

use toml::{Spanned, de::DeTable, de::DeValue};

use super::lists::{Item, List};
use super::options::{self, ENVIRONMENT_PREFIX, Kind, OPTIONS, OptionRow};
use super::{channels, ledger};

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The table of options.
    Default,
    /// A file, and the line in it.
    File(PathBuf, usize),
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}

/// A configuration that cannot be used: where, what, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{origin}: {message}\nhint: {hint} (HOOP-7001)")]
pub struct ConfigError {
    /// Where the wrong value stands.
    pub origin: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl ConfigError {
    pub(crate) fn new(
        origin: impl fmt::Display,
        message: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self { origin: origin.to_string(), message: message.into(), hint: hint.into() }
    }
}

/// A value as text (lists joined by commas), and its origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw {
    /// As text.
    pub text: String,
    /// From where.
    pub origin: Origin,
}

/// All values, by key.
#[derive(Debug, Clone)]
pub struct Layers {
    values: BTreeMap<&'static str, Raw>,
    lists: BTreeMap<&'static str, Vec<Item>>,
}

/// The lists of tables, each with how one of its items is told.
type Summary = fn(&Item) -> (String, Origin);
static LISTS: [(&List, Summary); 3] = [
    (&channels::LIST, channels::summary),
    (&ledger::PUBLISH, ledger::sink_summary),
    (&ledger::WITNESSES, ledger::witness_summary),
];

impl Default for Layers {
    fn default() -> Self {
        let raw = |row: &OptionRow| Raw { text: row.default.to_owned(), origin: Origin::Default };
        Self { values: OPTIONS.iter().map(|row| (row.key, raw(row))).collect(), lists: BTreeMap::new() }
    }
}

impl Layers {
    /// The value of a key of the table.
    #[must_use]
    pub fn value(&self, key: &str) -> Raw {
        self.values.get(key).cloned().unwrap_or_else(|| Raw { text: String::new(), origin: Origin::Default })
    }

    /// All values in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = (&'static OptionRow, &Raw)> {
        OPTIONS.iter().filter_map(|row| self.values.get(row.key).map(|raw| (row, raw)))
    }

    pub(super) fn list(&self, list: &List) -> &[Item] {
        self.lists.get(list.key).map(Vec::as_slice).unwrap_or_default()
    }

    /// A line for each item of a list, with the list's key and where it stands.
    #[must_use]
    pub fn list_lines(&self) -> Vec<(&'static str, String, Origin)> {
        let told = |(list, summary): &(&'static List, Summary)| {
            let (key, summary) = (list.key, *summary);
            self.list(list).iter().map(move |item| {
                let (line, origin) = summary(item);
                (key, line, origin)
            })
        };
        LISTS.iter().flat_map(told).collect()
    }

    /// Sets one value, as a flag or a test does.
    ///
    /// # Errors
    /// When there is no such option.
    pub fn set(&mut self, key: &str, text: impl Into<String>, origin: Origin) -> Result<(), ConfigError> {
        let row = options::find(key).ok_or_else(|| unknown(&origin, key))?;
        self.values.insert(row.key, Raw { text: text.into(), origin });
        Ok(())
    }

    /// Reads a file over what is there.
    ///
    /// # Errors
    /// When it cannot be read, is not TOML, or names an option that does not exist.
    pub fn read_file(&mut self, path: &Path) -> Result<(), ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError::new(
                path.display(),
                format!("cannot be read: {error}"),
                "check the path given with --config",
            )
        })?;
        self.read_toml(&text, path)
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// As [`Self::read_file`].
    pub fn read_toml(&mut self, text: &str, path: &Path) -> Result<(), ConfigError> {
        let origin = |at: usize| Origin::File(path.to_owned(), line_of(text, at));
        let table = DeTable::parse(text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            ConfigError::new(
                origin(at),
                error.message().to_owned(),
                "the file is TOML: `key = \"value\"`, `[table]`",
            )
        })?;
        self.read_table("", table.get_ref(), &origin)
    }

    fn read_table(
        &mut self,
        prefix: &str,
        table: &DeTable<'_>,
        origin: &impl Fn(usize) -> Origin,
    ) -> Result<(), ConfigError> {
        for (name, value) in table.iter() {
            let key = format!("{prefix}{}", name.get_ref());
            let at = origin(name.span().start);
            if let Some((list, _)) = LISTS.iter().find(|(list, _)| list.key == key) {
                self.lists.insert(list.key, list.read(value, origin)?);
                continue;
            }
            match (value.get_ref(), options::find(&key)) {
                (_, Some(row)) => self.set(&key, plain(row, value, &at)?, at)?,
                (DeValue::Table(inner), None) => self.read_table(&format!("{key}."), inner, origin)?,
                (_, None) => return Err(unknown(&at, &key)),
            }
        }
        Ok(())
    }

    /// Reads variables that begin with `HOOP_GATEWAY_`.
    ///
    /// # Errors
    /// When one names no option: a typing error would otherwise pass in silence.
    pub fn read_environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), ConfigError> {
        for (name, text) in variables {
            if name == "HOOP_GATEWAY_CONFIG" || !name.starts_with(ENVIRONMENT_PREFIX) {
                continue;
            }
            let origin = Origin::Environment(name.clone());
            match OPTIONS.iter().find(|row| row.environment() == name) {
                Some(row) => self.set(row.key, text, origin)?,
                None => return Err(unknown(&origin, &name)),
            }
        }
        Ok(())
    }
}

pub(super) fn plain(
    row: &OptionRow,
    value: &Spanned<DeValue<'_>>,
    at: &Origin,
) -> Result<String, ConfigError> {
    match (value.get_ref(), row.kind) {
        (DeValue::String(text), _) => Ok(text.to_string()),
        (DeValue::Integer(number), Kind::Count | Kind::Bytes) => Ok(number.to_string()),
        (DeValue::Array(items), Kind::List) => {
            let texts: Option<Vec<&str>> = items.iter().map(|item| item.get_ref().as_str()).collect();
            texts.map(|texts| texts.join(",")).ok_or_else(|| wrong(row, at, "every item must be text"))
        }
        _ => Err(wrong(row, at, "this is another kind of value")),
    }
}

pub(crate) fn wrong(row: &OptionRow, at: &Origin, problem: &str) -> ConfigError {
    let message = format!("`{}` must be a {}: {problem}", row.key, row.kind.label());
    ConfigError::new(at, message, format!("write for example {}", row.kind.example()))
}

fn unknown(origin: &Origin, key: &str) -> ConfigError {
    let hint = match options::nearest(key) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "all options are listed in docs/CONFIG.md and by `hoop-gateway config show`".to_owned(),
    };
    ConfigError::new(origin, format!("there is no option `{key}`"), hint)
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> Result<Layers, ConfigError> {
        let mut layers = Layers::default();
        layers.read_toml(text, Path::new("gw.toml")).map(|()| layers)
    }

    #[test]
    fn later_layers_win_and_say_so() {
        let mut layers = file("listen = \"0.0.0.0:443\"\n[oidc]\nscopes = [\"a\", \"b\"]\n").unwrap();
        assert_eq!(layers.value("oidc.scopes").text, "a,b");
        assert_eq!(layers.value("listen").origin.to_string(), "gw.toml:1");
        layers.read_environment([("HOOP_GATEWAY_LISTEN".to_owned(), "[::]:443".to_owned())]).unwrap();
        assert_eq!(layers.value("listen").text, "[::]:443");
        assert_eq!(layers.value("listen").origin.to_string(), "environment variable HOOP_GATEWAY_LISTEN");
    }

    #[test]
    fn a_wrong_file_says_where_and_what_to_do() {
        let cases = [
            ("data_dri = \"x\"", "gw.toml:1", "did you mean `data_dir`"),
            ("\n\n[limits]\nbody = true", "gw.toml:4", "1MiB"),
            ("listen = ", "gw.toml:1", "TOML"),
            ("[oidc]\nscopes = [1]", "gw.toml:2", "[\"one\""),
            ("[limits]\nnonsense_that_is_like_nothing = 1", "gw.toml:2", "docs/CONFIG.md"),
        ];
        for (text, place, hint) in cases {
            let error = file(text).unwrap_err();
            assert_eq!(error.origin, place, "{error}");
            assert!(error.hint.contains(hint), "{error}");
        }
    }

    #[test]
    fn an_unknown_variable_is_refused() {
        let mut layers = Layers::default();
        let error =
            layers.read_environment([("HOOP_GATEWAY_LISTNE".to_owned(), "x".to_owned())]).unwrap_err();
        assert!(error.origin.contains("HOOP_GATEWAY_LISTNE"));
        assert!(layers.read_environment([("HOME".to_owned(), "/".to_owned())]).is_ok());
    }
}
