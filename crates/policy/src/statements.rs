//! Which statements a session may run: the statement rules of an access rule.
//!
//! The first rule that allows or denies and matches a statement decides; a statement that none matches is denied. Rules before it that
//! ask or warn and match add to it. What the reader of SQL is not certain of counts against the statement on all sides: a rule
//! that allows matches only what surely is so, the others match whatever may be.

use std::{collections::BTreeSet, fmt, str::FromStr};

use hoop_model::RuleName;
use hoop_sql::{Class, Column, Name, Objects, Statement};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{
    AtMost, ColumnPattern, Held, Rate, Ruling,
    rego::{Asked, When},
    rules::{ApprovalRule, filled, is_visible, present},
};

/// What is done with a statement that a rule matches. The first rule that allows or denies decides; those that ask or warn say what
/// else must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatementAction {
    /// It is run.
    Allow,
    /// It is refused.
    Deny,
    /// It is run if others have approved exactly this text, and a later rule allows it.
    Ask,
    /// Whoever runs it is told something, if a later rule allows it.
    Warn,
}

/// One rule about statements. Of each condition that is given, one value must fit; what is not given fits anything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StatementRule {
    /// What a refusal calls it.
    pub name: RuleName,
    /// What is done.
    pub action: StatementAction,
    /// What the statement does. Where a rule allows, `session` is always among them.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub classes: BTreeSet<Class>,
    /// Its verbs, small letters: `truncate`.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub verbs: BTreeSet<String>,
    /// The tables that it touches.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub tables: BTreeSet<TablePattern>,
    /// The columns of tables that it touches.
    #[serde(default, deserialize_with = "columns", skip_serializing_if = "BTreeSet::is_empty")]
    pub columns: BTreeSet<ColumnPattern>,
    /// Its text in one spelling: small letters, single spaces, `?` for each literal and bound value.
    #[serde(default, deserialize_with = "filled", skip_serializing_if = "BTreeSet::is_empty")]
    pub text: BTreeSet<TextPattern>,
    /// Only if an `UPDATE` or `DELETE` in it may touch every row.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub without_where: bool,
    /// This rule of the file's `modules` says so: where a rule allows, it must be `true`; where one denies, anything but `false`
    /// will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<When>,
    /// Who must approve the text; for rules that ask. No agent needs to know it.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub approval: Option<ApprovalRule>,
    /// What whoever runs it is told; for all rules but those that allow.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub message: Option<Message>,
    /// How much an answer may return; for rules that allow.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub at_most: Option<AtMost>,
    /// How much within a time; for rules that allow.
    #[serde(default, deserialize_with = "present", skip_serializing_if = "Option::is_none")]
    pub rate: Option<Rate>,
}

/// What a rule tells people: one line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Message(String);

/// Why a text is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a message is one line of 1 to {LONGEST_MESSAGE} bytes, without control characters")]
pub struct NotAMessage;

/// Bytes of a message.
const LONGEST_MESSAGE: usize = 300;

impl TryFrom<String> for Message {
    type Error = NotAMessage;
    fn try_from(text: String) -> Result<Self, NotAMessage> {
        let fine = !text.trim().is_empty() && text.len() <= LONGEST_MESSAGE && text.chars().all(is_visible);
        if fine { Ok(Self(text)) } else { Err(NotAMessage) }
    }
}

impl From<Message> for String {
    fn from(message: Message) -> Self {
        message.0
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A condition of a statement rule, by the name of its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// `classes`.
    Classes,
    /// `verbs`.
    Verbs,
    /// `tables`.
    Tables,
    /// `columns`.
    Columns,
    /// `text`.
    Text,
    /// `without_where`.
    WithoutWhere,
    /// `when`.
    When,
}

impl Condition {
    /// The dear one last.
    const ALL: [Self; 7] =
        [Self::Classes, Self::Verbs, Self::Tables, Self::Columns, Self::Text, Self::WithoutWhere, Self::When];

    /// As it is written in rules.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Classes => "classes",
            Self::Verbs => "verbs",
            Self::Tables => "tables",
            Self::Columns => "columns",
            Self::Text => "text",
            Self::WithoutWhere => "without_where",
            Self::When => "when",
        }
    }
}

impl StatementRule {
    /// The first condition that a statement does not meet. `None`: the rule fits, surely if it allows, else maybe.
    #[must_use]
    pub(crate) fn misfit(&self, statement: &Statement, asked: &Asked<'_>) -> Option<Condition> {
        Condition::ALL.into_iter().find(|condition| match self.action {
            StatementAction::Allow => !self.is_surely_met(*condition, statement, asked),
            StatementAction::Deny | StatementAction::Ask | StatementAction::Warn => {
                !self.may_be_met(*condition, statement, asked)
            }
        })
    }

    /// All of the statement surely meets it.
    fn is_surely_met(&self, condition: Condition, statement: &Statement, asked: &Asked<'_>) -> bool {
        match condition {
            Condition::Classes => {
                let listed = |class: &Class| *class == Class::Session || self.classes.contains(class);
                self.classes.is_empty() || statement.classes.iter().all(listed)
            }
            Condition::Verbs => {
                self.verbs.is_empty() || (!statement.is_opaque && statement.verbs.is_subset(&self.verbs))
            }
            Condition::Tables => self.tables.is_empty() || self.surely_names(statement),
            Condition::Columns => self.columns.is_empty() || self.surely_has_only(statement),
            Condition::Text => self.spells(statement),
            Condition::WithoutWhere => !self.without_where,
            Condition::When => self.when.as_ref().is_none_or(|when| asked.is_surely(when, statement)),
        }
    }

    /// Some of the statement may meet it.
    fn may_be_met(&self, condition: Condition, statement: &Statement, asked: &Asked<'_>) -> bool {
        match condition {
            Condition::Classes => self.classes.is_empty() || !self.classes.is_disjoint(&statement.classes),
            Condition::Verbs => {
                self.verbs.is_empty() || statement.is_opaque || !self.verbs.is_disjoint(&statement.verbs)
            }
            Condition::Tables => self.tables.is_empty() || self.may_name(statement),
            Condition::Columns => self.columns.is_empty() || self.may_touch_a_column(statement),
            Condition::Text => statement.is_opaque || self.spells(statement),
            Condition::WithoutWhere => !self.without_where || statement.unbounded,
            Condition::When => self.when.as_ref().is_none_or(|when| asked.may_be(when, statement)),
        }
    }

    /// It touches these tables and nothing else: what touches none may only read.
    fn surely_names(&self, statement: &Statement) -> bool {
        let Objects::Known(tables) = &statement.tables else { return false };
        let computes = statement.unknown_functions.is_empty();
        let harmless = !tables.is_empty() || statement.worst() <= Class::Read;
        computes && harmless && tables.iter().all(|table| self.names(table, Certainty::Sure))
    }

    /// It may touch one of these tables. A function that is not known may touch anything.
    fn may_name(&self, statement: &Statement) -> bool {
        let touches = match &statement.tables {
            Objects::Known(tables) => tables.iter().any(|table| self.names(table, Certainty::Maybe)),
            Objects::Unknown => {
                let mut mentions = statement.mentions.iter();
                statement.is_opaque || mentions.any(|name| self.names(name, Certainty::Maybe))
            }
        };
        touches || !statement.unknown_functions.is_empty()
    }

    /// It touches columns that are listed and nothing else: what touches no table may only read.
    fn surely_has_only(&self, statement: &Statement) -> bool {
        let (Objects::Known(tables), columns) = (&statement.tables, &statement.columns) else { return false };
        let computes = statement.unknown_functions.is_empty() && !columns.whole_rows;
        let harmless = !tables.is_empty() || statement.worst() <= Class::Read;
        let of = |table: &Name| {
            self.columns.iter().filter(|pattern| pattern.is_of(table, Certainty::Sure)).collect()
        };
        let listed: Vec<(&Name, Vec<&ColumnPattern>)> =
            tables.iter().map(|table| (table, of(table))).collect();
        let is_listed = |column: &Column| {
            let its = columns.tables_of(column);
            let mut listed = listed.iter().filter(|(table, _)| its.is_none_or(|its| its.contains(*table)));
            listed.all(|(_, patterns)| patterns.iter().any(|pattern| pattern.names(&column.name)))
        };
        let is_covered = |(_, patterns): &(&Name, Vec<_>)| !patterns.is_empty();
        computes && harmless && listed.iter().all(is_covered) && columns.named.iter().all(is_listed)
    }

    /// It may touch one of these columns. A function that is not known may touch anything.
    fn may_touch_a_column(&self, statement: &Statement) -> bool {
        let columns = &statement.columns;
        let tables = match &statement.tables {
            Objects::Known(tables) => tables,
            Objects::Unknown => &statement.mentions,
        };
        let touches = |pattern: &ColumnPattern| {
            let is_of = |table: &Name| pattern.is_of(table, Certainty::Maybe);
            let is_named = |column: &Column| {
                pattern.names(&column.name)
                    && columns.tables_of(column).is_none_or(|its| its.iter().any(is_of))
            };
            tables.iter().any(is_of) && (columns.whole_rows || columns.named.iter().any(is_named))
        };
        statement.is_opaque || !statement.unknown_functions.is_empty() || self.columns.iter().any(touches)
    }

    fn spells(&self, statement: &Statement) -> bool {
        self.text.is_empty() || self.text.iter().any(|pattern| glob(&pattern.0, &statement.normal))
    }

    fn names(&self, table: &Name, certainty: Certainty) -> bool {
        self.tables.iter().any(|pattern| pattern.fits(table, certainty))
    }
}

/// What the rules say of one statement: from the top, up to the one that decides.
pub(crate) fn held<'r>(rules: &'r [StatementRule], statement: &Statement, asked: &Asked<'_>) -> Held<'r> {
    let mut held = Held {
        by: if rules.is_empty() { Ruling::Free } else { Ruling::NoneFits },
        asks: None,
        warns: Vec::new(),
    };
    for rule in rules {
        // The first that asks says whom.
        if (rule.action == StatementAction::Ask && held.asks.is_some())
            || rule.misfit(statement, asked).is_some()
        {
            continue;
        }
        match rule.action {
            StatementAction::Ask => held.asks = Some(rule),
            StatementAction::Warn => held.warns.push(rule),
            StatementAction::Allow | StatementAction::Deny => {
                held.by = Ruling::By(rule);
                break;
            }
        }
    }
    held
}

/// Patterns of columns that a rule may have.
const MOST_COLUMNS: usize = 1_000;

fn columns<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeSet<ColumnPattern>, D::Error> {
    let columns: BTreeSet<ColumnPattern> = filled(deserializer)?;
    if columns.len() > MOST_COLUMNS {
        let what = format!("a statement rule has at most {MOST_COLUMNS} columns");
        return Err(serde::de::Error::custom(what));
    }
    Ok(columns)
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certainty {
    Sure,
    Maybe,
}

/// `table`, `schema.table`, `schema.*`, `*.table_*`: names as the server folds them, `*` for any run of characters.
///
/// Without a schema it is the table of that name in any. With one, a table that a statement names without its schema may be
/// meant or not, which counts against the statement.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TablePattern {
    schema: Option<String>,
    name: String,
}

impl TablePattern {
    fn fits(&self, table: &Name, certainty: Certainty) -> bool {
        let schema = match (&self.schema, &table.schema) {
            (None, _) => true,
            (Some(pattern), Some(schema)) => glob(pattern, schema),
            (Some(_), None) => certainty == Certainty::Maybe,
        };
        schema && glob(&self.name, &table.name)
    }
}

/// Why a text is no pattern of tables.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no pattern of tables: write table, schema.table or schema.*, at most 200 bytes, without quotes"
)]
pub struct NotATable(String);

impl FromStr for TablePattern {
    type Err = NotATable;
    fn from_str(text: &str) -> Result<Self, NotATable> {
        let wrong = || NotATable(text.chars().take(80).collect());
        let is_part = |part: &str| {
            !part.is_empty()
                && !part.chars().any(|c| c == '"' || c == '.' || c.is_control() || c.is_whitespace())
        };
        let (schema, name) = match text.split_once('.') {
            Some((schema, name)) => (Some(schema), name),
            None => (None, text),
        };
        if text.len() > 200 || !is_part(name) || !schema.is_none_or(is_part) {
            return Err(wrong());
        }
        Ok(Self { schema: schema.map(str::to_owned), name: name.to_owned() })
    }
}

impl fmt::Display for TablePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// A statement's text in one spelling, `*` for any run of characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct TextPattern(String);

impl<'de> Deserialize<'de> for TextPattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let spelled = text.split_ascii_whitespace().collect::<Vec<_>>().join(" ");
        if text.len() > 4_000 || text != spelled || text.is_empty() || text.chars().any(char::is_control) {
            let what = "a statement's text is one line with single spaces, `?` for literals, `*` for anything, at most 4000 bytes";
            return Err(serde::de::Error::custom(what));
        }
        Ok(Self(text))
    }
}

impl Serialize for TablePattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TablePattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// `*` is any run of characters. Each part is sought behind the one before, which is enough and takes no second try.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == text };
    let (inner, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut text) = text.strip_prefix(first).and_then(|text| text.strip_suffix(last)) else {
        return false;
    };
    inner.split('*').all(|part| match text.split_once(part) {
        Some((_, behind)) => {
            text = behind;
            true
        }
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use hoop_sql::{Dialect, postgres::Mode, read};

    use super::*;
    use crate::Explained;

    fn rules(yaml: &str) -> Vec<StatementRule> {
        serde_saphyr::from_str(yaml).unwrap()
    }

    fn of(rules: &[StatementRule], text: &str) -> Result<(), Option<String>> {
        let reading = read(text.as_bytes(), Dialect::Postgres(Mode::default()));
        let explained = Explained::new(rules, &reading);
        let Some(refused) = explained.refused_at() else { return Ok(()) };
        let (_, held) = explained.statements().nth(refused).unwrap();
        Err(held.by.rule().map(|rule| rule.name.to_string()))
    }

    const CLINIC: &str = "
- {name: no-billing, action: deny, tables: [billing.*, salaries]}
- {name: whole-table, action: deny, classes: [write], without_where: true}
- {name: correct, action: deny, classes: [write], tables: [patients]}
- {name: notes, action: allow, classes: [read, write], tables: [notes, clinic.visits]}
- {name: read, action: allow, classes: [read]}
";

    #[test]
    fn the_first_that_fits_decides() {
        let rules = rules(CLINIC);
        for text in [
            "select * from public.patients",
            "begin",
            "set search_path to x",
            "",
            "insert into public.notes values (1)",
            "update public.notes set a = 1 where id = 2",
            "select 1; select 2; insert into public.notes select * from clinic.visits",
            "explain analyze select * from public.patients",
        ] {
            assert_eq!(of(&rules, text), Ok(()), "{text}");
        }
        for (text, rule) in [
            ("select * from billing.claims", Some("no-billing")),
            ("select * from x.salaries", Some("no-billing")),
            ("select 1; select * from \"billing\".claims", Some("no-billing")),
            ("with a as (select * from billing.b) select * from a", Some("no-billing")),
            ("update public.notes set a = 1", Some("whole-table")),
            ("explain analyze delete from public.notes", Some("whole-table")),
            ("update public.patients set a = 1 where id = 7", Some("correct")),
            (
                "with d as (update public.patients set a = 1 where id = 7 returning *) select * from d",
                Some("correct"),
            ),
            ("insert into public.other values (1)", None),
            ("insert into public.notes select my_function()", Some("no-billing")),
            ("create table t (a int)", Some("no-billing")),
            ("grant select on public.notes to bob", Some("no-billing")),
            ("select my_function()", Some("no-billing")),
            ("do $$ begin end $$", Some("no-billing")),
            ("select '", Some("no-billing")),
            ("set role admin", None),
        ] {
            assert_eq!(of(&rules, text), Err(rule.map(str::to_owned)), "{text}");
        }
    }

    #[test]
    fn a_schema_that_is_not_named_counts_against_the_statement() {
        let denied = rules("[{name: d, action: deny, tables: [billing.*]}, {name: a, action: allow}]");
        assert!(of(&denied, "select * from claims").is_err(), "search_path may lead there");
        assert!(of(&denied, "select * from clinic.claims").is_ok());
        let allowed = rules("[{name: a, action: allow, tables: [clinic.*]}]");
        assert!(of(&allowed, "select * from patients").is_err());
        assert!(of(&allowed, "select * from clinic.patients").is_ok());
        for free in ["begin", "select 1", "show all"] {
            assert!(of(&allowed, free).is_ok(), "{free}");
        }
        for elsewhere in [
            "set role admin",
            "checkpoint",
            "notify x",
            "select pg_read_file('/etc/passwd')",
            "select my_function() from clinic.patients",
        ] {
            assert!(
                of(&allowed, elsewhere).is_err(),
                "{elsewhere}: it touches none of these tables, or more"
            );
        }
    }

    #[test]
    fn a_text_may_be_all_that_is_allowed() {
        let rules = rules(
            "[{name: never, action: deny, text: [\"*limit ?\"]}, \
             {name: one, action: allow, text: [\"select age(born) from patients where id = ?\", \"select my_function(*)\"]}]",
        );
        for text in [
            "SELECT age(born)\nFROM Patients /* x */ WHERE id=7;",
            "select my_function(1, 'x')",
            "begin; select my_function()",
        ] {
            let begins = text.starts_with("begin");
            assert_eq!(of(&rules, text).is_ok(), !begins, "{text}: what is allowed is the text alone");
        }
        for text in [
            "select age(born) from patients where id = 7 or true",
            "select my_function(1) limit 3",
            "select 1",
            "do $$ $$",
        ] {
            assert!(of(&rules, text).is_err(), "{text}");
        }
    }

    #[test]
    fn columns_that_may_be_touched_are_denied() {
        let rules = rules(
            "[{name: d, action: deny, columns: [clinic.patients.ssn, born*.*]}, {name: a, action: allow}]",
        );
        for text in [
            "select ssn from clinic.patients",
            "select p.\"ssn\" from patients p",
            "select * from clinic.patients",
            "select to_jsonb(p) from clinic.patients p",
            "select x from clinic.patients as p (x)",
            "select name from clinic.patients where ssn = $1",
            "select name from clinic.patients order by ssn",
            "update clinic.patients set ssn = null where id = 1",
            "insert into clinic.patients values (1, 2)",
            "select n.text from clinic.notes n join clinic.patients p on p.id = n.patient where ssn is null",
            "select my_function(1)",
            "drop table clinic.patients",
            "do $$ $$",
            "select id from x.born_at",
        ] {
            assert!(of(&rules, text).is_err(), "{text}");
        }
        for text in [
            "select name, born from clinic.patients where id = $1",
            "select p.name, v.ssn from clinic.patients p join clinic.visits v on v.patient = p.id",
            "select ssn from billing.patients",
            "select count(*) from clinic.patients",
            "select * from clinic.visits",
            "delete from clinic.patients where id = 1",
            "drop table clinic.visits",
            "begin",
        ] {
            assert!(of(&rules, text).is_ok(), "{text}");
        }
    }

    #[test]
    fn only_columns_that_are_listed_are_allowed() {
        let rules = rules(
            "[{name: a, action: allow, columns: [clinic.patients.id, clinic.patients.name, clinic.visits.*]}]",
        );
        for text in [
            "select id, name as who from clinic.patients where id = $1 order by name",
            "select p.name, v.at from clinic.patients p join clinic.visits v on v.patient = p.id",
            "select count(*), max(visits.at) from clinic.visits group by visits.kind",
            "update clinic.patients set name = $1 where id = 7",
            "insert into clinic.patients (id, name) values (1, 'x')",
            "select 1",
            "begin",
        ] {
            assert!(of(&rules, text).is_ok(), "{text}");
        }
        for text in [
            "select ssn from clinic.patients",
            "select * from clinic.patients",
            "select * from clinic.visits",
            "select p from clinic.patients p",
            "select at from clinic.patients p join clinic.visits v on v.patient = p.id",
            "select id, name from patients",
            "select id from clinic.patients where (select true from clinic.notes)",
            "select id from clinic.patients, clinic.notes",
            "select id, unheard_of(id) from clinic.patients",
            "insert into clinic.patients values (1, 'x')",
            "drop table clinic.patients",
            "set role admin",
            "select p.ssn from clinic.visits p, (select p.ssn from clinic.patients p) q",
        ] {
            assert!(of(&rules, text).is_err(), "{text}");
        }
        assert!(
            rules_err("[{name: a, action: allow, columns: []}]")
                && rules_err("[{name: a, action: allow, columns: [a]}]")
        );
    }

    #[test]
    fn patterns_of_tables() {
        for (pattern, text, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("a*", "ab", true),
            ("*b", "ab", true),
            ("*", "", true),
            ("a*c*", "abcd", true),
            ("a*c", "abcd", false),
            ("*ß", "größ", true),
            ("a*a", "a", false),
            ("a*b*c*d", "a-b-b-c-d", true),
            ("a*b*c*d", "a-c-b-d", false),
            ("**", "x", true),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
        for wrong in ["", ".", "a.", ".a", "a.b.c", "\"a\"", "a b", "a\n"] {
            assert!(wrong.parse::<TablePattern>().is_err(), "{wrong:?}");
        }
        assert!(
            rules_err("[{name: a, action: allow, nonsense: 1}]") && rules_err("[{name: a, action: maybe}]")
        );
    }

    fn rules_err(yaml: &str) -> bool {
        serde_saphyr::from_str::<Vec<StatementRule>>(yaml).is_err()
    }
}
