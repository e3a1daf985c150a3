//! What changes from one rule file to the next, field by field, for `--dry-run`, the ledger and the console.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
};

use aws_lc_rs::digest::{SHA256, digest};
use hoop_model::RuleName;
use serde::Serialize;
use serde_json::Value;

use super::parse::AccessPolicy;

/// The difference of two sets of rules. Empty for equal ones.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Diff {
    /// Rules that are new, in their order.
    pub added: Vec<RuleDiff>,
    /// Rules that are gone, in their order.
    pub removed: Vec<RuleDiff>,
    /// Rules that have changed, in the new order.
    pub changed: Vec<RuleDiff>,
    /// Modules that are new, gone or have changed, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub modules: Vec<FieldDiff>,
    /// Lists in which rules that stay have changed places.
    pub reordered: Vec<Reordered>,
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RuleDiff {
    /// Its name.
    pub rule: RuleName,
    /// Whether it is a rule for emergencies.
    pub break_glass: bool,
    /// Its fields that differ, by name.
    pub fields: Vec<FieldDiff>,
}

/// One field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldDiff {
    /// Its path, such as `limits.duration`.
    pub field: String,
    /// What it was, if it was there.
    pub old: Option<String>,
    /// What it is, if it is there.
    pub new: Option<String>,
}

/// A list whose order has changed, which can change who decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reordered {
    /// Whether it is the list for emergencies.
    pub break_glass: bool,
    /// The rules that stay, as they were.
    pub old: Vec<RuleName>,
    /// And as they are.
    pub new: Vec<RuleName>,
}

impl Diff {
    /// Compares.
    #[must_use]
    pub fn between(old: &AccessPolicy, new: &AccessPolicy) -> Self {
        let mut diff = Self::default();
        let (before, after): (Vec<_>, Vec<_>) = (
            old.rules().iter().map(|rule| (&rule.name, fields(rule))).collect(),
            new.rules().iter().map(|rule| (&rule.name, fields(rule))).collect(),
        );
        diff.list(false, &before, &after);
        let (before, after): (Vec<_>, Vec<_>) = (
            old.break_glass().iter().map(|rule| (&rule.name, fields(rule))).collect(),
            new.break_glass().iter().map(|rule| (&rule.name, fields(rule))).collect(),
        );
        diff.list(true, &before, &after);
        diff.modules = compare(&modules(old), &modules(new));
        diff
    }

    /// Whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { added, removed, changed, modules, reordered } = self;
        added.is_empty()
            && removed.is_empty()
            && changed.is_empty()
            && modules.is_empty()
            && reordered.is_empty()
    }

    fn list(&mut self, break_glass: bool, old: &[(&RuleName, Fields)], new: &[(&RuleName, Fields)]) {
        let before: HashMap<_, _> = old.iter().map(|(name, fields)| (*name, fields)).collect();
        let after: HashSet<_> = new.iter().map(|(name, _)| *name).collect();
        let nothing = Fields::new();
        let entry = |rule: &RuleName, fields| RuleDiff { rule: rule.clone(), break_glass, fields };
        for (name, fields) in new {
            match before.get(name) {
                None => self.added.push(entry(name, compare(&nothing, fields))),
                Some(was) if *was != fields => self.changed.push(entry(name, compare(was, fields))),
                Some(_) => {}
            }
        }
        for (name, fields) in old.iter().filter(|(name, _)| !after.contains(name)) {
            self.removed.push(entry(name, compare(fields, &nothing)));
        }
        let old: Vec<RuleName> =
            old.iter().map(|(name, _)| *name).filter(|name| after.contains(name)).cloned().collect();
        let new: Vec<RuleName> =
            new.iter().map(|(name, _)| *name).filter(|name| before.contains_key(name)).cloned().collect();
        if old != new {
            self.reordered.push(Reordered { break_glass, old, new });
        }
    }
}

/// Of each module its length and the beginning of its hash: enough to tell two apart.
fn modules(policy: &AccessPolicy) -> Fields {
    let sources = policy.modules().sources().iter();
    sources
        .map(|(name, source)| {
            let hash = digest(&SHA256, source.as_bytes());
            let hash: String = hash.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            (name.to_string(), format!("{} bytes, sha256 {hash}", source.len()))
        })
        .collect()
}

/// Path and value, sorted by path.
type Fields = BTreeMap<String, String>;

fn fields(rule: &impl Serialize) -> Fields {
    let mut fields = Fields::new();
    // A rule is made of texts, numbers and lists, which always become JSON.
    flatten("", &serde_json::to_value(rule).unwrap_or_default(), &mut fields);
    fields.remove("name");
    fields
}

fn flatten(path: &str, value: &Value, into: &mut Fields) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, into);
            }
        }
        other => {
            into.insert(path.to_owned(), text(other));
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.replace('\n', " "),
        Value::Array(list) => format!("[{}]", list.iter().map(text).collect::<Vec<_>>().join(", ")),
        Value::Object(object) => {
            let sorted: BTreeMap<_, _> = object.iter().collect();
            let fields: Vec<_> =
                sorted.iter().map(|(key, value)| format!("{key}: {}", text(value))).collect();
            format!("{{{}}}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

fn compare(old: &Fields, new: &Fields) -> Vec<FieldDiff> {
    let names: std::collections::BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let differs = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
    differs
        .map(|name| FieldDiff {
            field: name.clone(),
            old: old.get(name).cloned(),
            new: new.get(name).cloned(),
        })
        .collect()
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (sign, rules) in [('+', &self.added), ('-', &self.removed), ('~', &self.changed)] {
            for rule in rules {
                writeln!(f, "{sign} {} {}", kind(rule.break_glass), rule.rule)?;
                rule.fields.iter().try_for_each(|field| writeln!(f, "    {field}"))?;
            }
        }
        for module in &self.modules {
            writeln!(f, "~ module {module}")?;
        }
        for Reordered { break_glass, old, new } in &self.reordered {
            let names =
                |names: &[RuleName]| names.iter().map(RuleName::as_str).collect::<Vec<_>>().join(", ");
            writeln!(f, "~ order of {}s", kind(*break_glass))?;
            writeln!(f, "    {} → {}", names(old), names(new))?;
        }
        Ok(())
    }
}

const fn kind(break_glass: bool) -> &'static str {
    if break_glass { "break-glass rule" } else { "rule" }
}

impl fmt::Display for FieldDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(f, "{}: {old} → {new}", self.field),
            (Some(old), None) => write!(f, "{}: {old} → (absent)", self.field),
            (None, Some(new)) => write!(f, "{}: {new}", self.field),
            (None, None) => f.write_str(&self.field),
        }
    }
}
