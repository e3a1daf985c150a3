//! Rule files in and out: YAML for people, JSON for the console, the same fields in both.
//!
//! A file comes from outside: it is bounded before it is read, aliases cannot blow it up, and what is not known is
//! refused with its place.

use std::{collections::BTreeMap, fmt};

use hoop_model::{Blame, Fault, RuleName};
use serde::{Deserialize, Deserializer, Serialize};
use serde_saphyr::{
    DefaultMessageFormatter, MergeKeyPolicy, MessageFormatter, Spanned, options::DuplicateKeyPolicy,
};

use super::{
    check::{self, Found, Problem},
    document::{BreakGlassRule, Rule},
};
use crate::{
    Sha256,
    rego::{ModuleError, ModuleName, Modules},
};

/// Bytes of a rule file.
pub const LONGEST_FILE: usize = 4 * 1024 * 1024;

/// A checked set of access rules. The empty one lets nobody in.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct AccessPolicy {
    modules: Modules,
    rules: Vec<Rule>,
    break_glass: Vec<BreakGlassRule>,
}

/// Where in a file, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The line.
    pub line: u64,
    /// The character in it.
    pub column: u64,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Why a text is no set of access rules. The author's fault, and safe to show to them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// Longer than [`LONGEST_FILE`].
    #[error("the rules have {bytes} bytes: at most {LONGEST_FILE} are allowed")]
    TooLarge {
        /// Its length.
        bytes: usize,
    },
    /// Not of the form, an unknown field, or a value that is none.
    #[error("{place}: {message}")]
    Unreadable {
        /// Where.
        place: Place,
        /// What is wrong there.
        message: String,
    },
    /// Of the form, but it makes no sense.
    #[error("{}{}{problem}",
        place.map(|place| format!("{place}: ")).unwrap_or_default(),
        rule.as_ref().map(|rule| format!("rule {rule}: ")).unwrap_or_default())]
    Senseless {
        /// Where the rule begins, if it came from a file.
        place: Option<Place>,
        /// Which rule.
        rule: Option<RuleName>,
        /// What is wrong with it.
        problem: Problem,
    },
    /// It cannot be printed.
    #[error("the rules cannot be printed: {0}")]
    Unprintable(String),
}

impl PolicyError {
    /// Where in the file, if that is known.
    #[must_use]
    pub const fn place(&self) -> Option<Place> {
        match self {
            Self::Unreadable { place, .. } => Some(*place),
            Self::Senseless { place, .. } => *place,
            Self::TooLarge { .. } | Self::Unprintable(_) => None,
        }
    }

    /// The form a person reads, with its stable code.
    #[must_use]
    pub fn to_fault(&self) -> Fault {
        let (code, blame, hint) = match self {
            Self::TooLarge { .. } => {
                ("HOOP-2013", Blame::Caller, "use groups and labels instead of lists of names")
            }
            Self::Unreadable { .. } => ("HOOP-2013", Blame::Caller, "mend it there and apply the file again"),
            Self::Senseless { .. } => ("HOOP-2014", Blame::Caller, "mend the rule and apply the file again"),
            Self::Unprintable(_) => ("HOOP-2013", Blame::System, "export the rules as JSON"),
        };
        Fault::new(code, blame, self.to_string()).with_hint(hint)
    }
}

/// The only version there is.
#[derive(Clone, Copy, Serialize)]
#[serde(transparent)]
struct Version(u32);

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u32::deserialize(deserializer)? {
            1 => Ok(Self(1)),
            other => Err(serde::de::Error::custom(format!("version {other} is not known: write version: 1"))),
        }
    }
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<R, B, M> {
    version: Version,
    #[serde(default = "BTreeMap::new", skip_serializing_if = "BTreeMap::is_empty")]
    modules: BTreeMap<ModuleName, M>,
    rules: Vec<R>,
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    break_glass: Vec<B>,
}

/// Without places.
type Written = Document<Rule, BreakGlassRule, String>;

impl TryFrom<Written> for AccessPolicy {
    type Error = PolicyError;
    fn try_from(document: Written) -> Result<Self, PolicyError> {
        Self::with_modules(document.rules, document.break_glass, document.modules)
    }
}

impl From<AccessPolicy> for Written {
    fn from(policy: AccessPolicy) -> Self {
        let modules = policy.modules.sources().clone();
        Self { version: Version(1), modules, rules: policy.rules, break_glass: policy.break_glass }
    }
}

impl AccessPolicy {
    /// Checks rules that were made elsewhere.
    ///
    /// # Errors
    /// [`PolicyError::Senseless`] names the rule.
    pub fn new(rules: Vec<Rule>, break_glass: Vec<BreakGlassRule>) -> Result<Self, PolicyError> {
        Self::with_modules(rules, break_glass, BTreeMap::new())
    }

    /// The same with modules for conditions in Rego.
    ///
    /// # Errors
    /// [`PolicyError::Senseless`] names the rule, or the module and its line.
    pub fn with_modules(
        rules: Vec<Rule>,
        break_glass: Vec<BreakGlassRule>,
        modules: BTreeMap<ModuleName, String>,
    ) -> Result<Self, PolicyError> {
        let modules = Modules::compile(modules).map_err(|error| useless(error, None))?;
        check::check(&rules, &break_glass, &modules).map_err(|found| senseless(found, None))?;
        Ok(Self { modules, rules, break_glass })
    }

    /// What conditions in Rego are asked of.
    #[must_use]
    pub const fn modules(&self) -> &Modules {
        &self.modules
    }

    /// The rules in force, in order: the first that allows decides.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules for emergencies.
    #[must_use]
    pub fn break_glass(&self) -> &[BreakGlassRule] {
        &self.break_glass
    }

    /// What a document is named by in grants, recordings and the ledger: the SHA-256 of its JSON as it is kept, with the keys of
    /// each object in order and no white space.
    #[must_use]
    pub fn sha256_of(document: &serde_json::Value) -> Sha256 {
        Sha256::of(document.to_string().as_bytes())
    }

    /// Reads a rule file.
    ///
    /// # Errors
    /// [`PolicyError`] says where, what is wrong and what to do.
    pub fn from_yaml(text: &str) -> Result<Self, PolicyError> {
        let document: Document<Spanned<Rule>, Spanned<BreakGlassRule>, Spanned<String>> = read_yaml(text)?;
        let module_places: BTreeMap<_, _> =
            document.modules.iter().map(|(name, source)| (name.clone(), place(&source.referenced))).collect();
        let sources = document.modules.into_iter().map(|(name, source)| (name, source.value));
        let modules = Modules::compile(sources.collect()).map_err(|error| {
            // A text in block form begins where its first line does.
            let begins = error.module().and_then(|module| module_places.get(module));
            let place = begins.map(|begins| Place { line: begins.line + error.lines_before(), column: 1 });
            useless(error, place)
        })?;
        let (places, rules) = apart(document.rules);
        let (break_glass_places, break_glass) = apart(document.break_glass);
        check::check(&rules, &break_glass, &modules).map_err(|found| {
            let places = if found.list == "rules" { places } else { break_glass_places };
            let place = places.get(found.index).copied();
            senseless(found, place)
        })?;
        Ok(Self { modules, rules, break_glass })
    }

    /// Reads the console's form.
    ///
    /// # Errors
    /// As [`Self::from_yaml`].
    pub fn from_json(text: &str) -> Result<Self, PolicyError> {
        bounded(text)?;
        let document: Written = serde_json::from_str(text).map_err(|error| {
            let whole = error.to_string();
            let message = whole.rsplit_once(" at line ").map_or(whole.as_str(), |(message, _)| message);
            let place = Place { line: error.line().max(1) as u64, column: error.column().max(1) as u64 };
            PolicyError::Unreadable { place, message: visible(message) }
        })?;
        Self::try_from(document)
    }

    /// The file: the same rules always give the same text, and it reads back as the same rules.
    ///
    /// # Errors
    /// [`PolicyError::Unprintable`], which no checked policy should give.
    pub fn to_yaml(&self) -> Result<String, PolicyError> {
        let document = Document {
            version: Version(1),
            modules: self.modules.sources().clone(),
            rules: self.rules.as_slice().into(),
            break_glass: self.break_glass.clone(),
        };
        serde_saphyr::to_string(&document).map_err(|error| PolicyError::Unprintable(error.to_string()))
    }
}

/// Reads one document of YAML from outside: bounded, and strict.
pub(crate) fn read_yaml<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, PolicyError> {
    bounded(text)?;
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| unreadable(&error))
}

const fn bounded(text: &str) -> Result<(), PolicyError> {
    if text.len() > LONGEST_FILE { Err(PolicyError::TooLarge { bytes: text.len() }) } else { Ok(()) }
}

/// Strict where YAML is lenient, and bounded: anchors may save some writing but not multiply.
fn options() -> serde_saphyr::Options {
    let mut aliases = serde_saphyr::options::AliasLimits::default();
    aliases.max_total_replayed_events = 50_000;
    aliases.max_replay_stack_depth = 4;
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_events: 4_000_000,
            max_nodes: 2_000_000,
            max_depth: 24,
            max_documents: 1,
            max_aliases: 1_000,
            max_anchors: 1_000,
            max_total_scalar_bytes: 2 * LONGEST_FILE,
        },
        duplicate_keys: DuplicateKeyPolicy::Error,
        merge_keys: MergeKeyPolicy::Error,
        alias_limits: aliases,
        strict_booleans: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn unreadable(error: &serde_saphyr::Error) -> PolicyError {
    let place = error.location().map_or(Place { line: 1, column: 1 }, |at| place(&at));
    let message = DefaultMessageFormatter.format_message(error.without_snippet());
    PolicyError::Unreadable { place, message: visible(&message) }
}

pub(crate) fn place(at: &serde_saphyr::Location) -> Place {
    Place { line: at.line().max(1), column: at.column().max(1) }
}

/// What somebody sent may stand in the message: nothing of it acts on a terminal, and it ends somewhere.
fn visible(message: &str) -> String {
    let spelled = message.chars().flat_map(|c| {
        let shown = super::words::is_visible(c);
        let (as_is, escaped) = if shown { (Some(c), None) } else { (None, Some(c.escape_default())) };
        as_is.into_iter().chain(escaped.into_iter().flatten())
    });
    spelled.take(500).collect()
}

fn senseless(found: Found, place: Option<Place>) -> PolicyError {
    PolicyError::Senseless { place, rule: found.rule, problem: found.problem }
}

fn useless(error: ModuleError, place: Option<Place>) -> PolicyError {
    PolicyError::Senseless { place, rule: None, problem: error.into() }
}

fn apart<T>(list: Vec<Spanned<T>>) -> (Vec<Place>, Vec<T>) {
    list.into_iter().map(|item| (place(&item.referenced), item.value)).unzip()
}
