//! How long it takes to hold a statement against statement rules. `cargo xtask bench policy` runs it.
//!
//! Prints `case value unit` a line. The wall clock is that of the example, not of the crate.
#![expect(clippy::unwrap_used, reason = "a bench fails by panicking")]
#![expect(clippy::print_stdout, reason = "its result")]

use std::time::Instant;

use hoop_model::Timestamp;
use hoop_policy::{Action, Rules, Warrant};
use hoop_sql::{Dialect, postgres::Mode};

const RULES: &str = r#"[
    {"name": "no-billing", "action": "deny", "tables": ["billing.*", "salaries"]},
    {"name": "whole-table", "action": "deny", "classes": ["write"], "without_where": true},
    {"name": "removal", "action": "deny", "verbs": ["delete", "truncate"]},
    {"name": "notes", "action": "allow", "classes": ["read", "write"], "tables": ["clinic.*"]},
    {"name": "read", "action": "allow", "classes": ["read"]}
]"#;

/// What a report of 2 KB looks like: joins, conditions, expressions.
fn report() -> String {
    let mut text = "select p.id, p.name, count(v.id) as visits, max(v.at)".to_owned();
    let mut n = 0;
    while text.len() < 900 {
        n += 1;
        text += &format!(", sum(case when v.kind = 'kind {n}' then v.cost * {n}.5 else 0 end) as kind_{n}");
    }
    text += " from clinic.patients p join clinic.visits v on v.patient = p.id where p.born > $1";
    while text.len() < 1_950 {
        n += 1;
        text += &format!(" and (v.note is null or lower(v.note) not like '%word {n}%')");
    }
    text + " group by p.id, p.name"
}

/// The same with a `WITH`, whose name is no table.
fn with_report() -> String {
    format!("with seen as ({}) select seen.* from seen where seen.visits > 3 order by seen.name", report())
}

/// One of as many texts as are asked for, each seen once: a literal makes it another.
fn numbered(text: &str, number: usize) -> String {
    format!("{text} /* {number} */")
}

/// The same, within a query.
fn within_report() -> String {
    format!("select * from (with seen as ({}) select * from seen) s where s.visits > 3", report())
}

/// A `WITH` that asks itself.
fn recursive_report() -> String {
    format!(
        "with recursive below as ({} union all select v.id, v.name, 0, v.at from clinic.visits v join below on below.id = v.above) \
         select * from below",
        report()
    )
}

/// One that calls a function that nobody knows.
fn calling_report() -> String {
    report().replacen("max(v.at)", "clinic.last_seen(p.id)", 1)
}

/// One in which a word before a parenthesis looks like a call until the parser has read it.
fn renamed_report() -> String {
    let joined = " left join (select patient, max(at) from clinic.visits group by patient) last (patient, at) on last.patient = p.id where ";
    report().replacen(" where ", joined, 1)
}

/// What holds of no statement of the bench.
const MODULE: &str = "package night\nimport rego.v1\ndefault writes := false\nwrites if { some class in input.statement.classes; class in [\"ddl\", \"server\"] }\n\
    of_ward if { every table in input.statement.tables { startswith(table, \"ward.\") } }\n";

fn rules(statements: &str, masking: &str, rego: bool) -> Rules {
    let mut rules = serde_json::json!({
        "statements": serde_json::from_str::<serde_json::Value>(statements).unwrap(),
        "masking": serde_json::from_str::<serde_json::Value>(masking).unwrap(),
    });
    if rego {
        rules["rego"] = serde_json::json!({
            "modules": {"night": MODULE},
            "person": {"name": "ada", "kind": "human", "groups": ["analysts"]},
            "connection": {"name": "clinic", "labels": {}},
            "reason": null,
        });
    }
    serde_json::from_value(rules).unwrap()
}

/// What a session runs under, and a text that it runs or is refused.
struct Case {
    name: &'static str,
    rules: Rules,
    text: String,
    allowed: bool,
}

fn cases() -> Vec<Case> {
    const DETECT: &str = "{}";
    const COLUMNS: &str = r#"{"columns": [{"columns": ["clinic.patients.ssn"], "kind": "ssn"}]}"#;
    let case = |name, text: String| Case { name, rules: rules(RULES, DETECT, false), text, allowed: true };
    let with = |case: Case, statements: &str, masking: &str| Case {
        rules: rules(statements, masking, statements.contains("when")),
        ..case
    };
    let everything = r#"[{"name": "all", "action": "allow", "tables": ["clinic.*"]}]"#;
    let read_only = r#"[{"name": "read", "action": "allow", "classes": ["read"]}]"#;
    let asks =
        |read: &str| RULES.replace(r#""classes": ["read"]}"#, &format!(r#""classes": ["read"], {read}}}"#));
    let never =
        RULES.replacen('[', r#"[{"name": "night", "action": "deny", "when": "data.night.writes"},"#, 1);
    vec![
        case("short", "select * from clinic.patients where id = $1".to_owned()),
        case(
            "write",
            "update clinic.notes set text = $1, changed = now() where id = $2 and patient = $3".to_owned(),
        ),
        case("report", report()),
        case("with", with_report()),
        case("within", within_report()),
        case("recursive", recursive_report()),
        case("renamed", renamed_report()),
        case("explain", format!("explain (costs off) {}", with_report())),
        with(case("made", format!("create table clinic.made as {}", with_report())), everything, DETECT),
        Case { allowed: false, ..case("refused", report().replace("clinic.visits", "billing.claims")) },
        with(case("masked.with", with_report()), "[]", COLUMNS),
        with(case("masked.recursive", recursive_report()), read_only, COLUMNS),
        with(case("masked.calls", calling_report()), "[]", COLUMNS),
        with(case("when.later", report()), &asks(r#""when": "data.night.of_ward""#), DETECT),
        with(
            case("when.allows", report().replace("clinic.", "ward.")),
            &asks(r#""when": "data.night.of_ward""#),
            DETECT,
        ),
        with(case("when.denies", report()), &never, DETECT),
    ]
}

fn main() {
    let (now, ends_at) = (Timestamp::from_micros(0), Timestamp::from_micros(1));
    let only = std::env::args().nth(1).unwrap_or_default();
    for Case { name, rules, text, allowed } in cases().into_iter().filter(|case| case.name.contains(&only)) {
        let warrant = Warrant::new(rules, ends_at);
        println!("statement.{name}.bytes {} bytes", text.len());
        let decide = |text: &str| {
            let action =
                Action::Statement { text: text.as_bytes(), dialect: Dialect::Postgres(Mode::default()) };
            let began = Instant::now();
            let verdict = warrant.decide(&action, now);
            let taken = began.elapsed().as_secs_f64() * 1e6;
            assert_eq!(verdict.is_ok(), allowed, "{name}: {verdict:?} {text}");
            taken
        };
        report_times(
            &format!("{name}.first"),
            (0..20_000).map(|number| decide(&numbered(&text, number))).collect(),
        );
        report_times(name, (0..20_000).map(|_| decide(&text)).collect());
    }
}

fn report_times(name: &str, mut taken: Vec<f64>) {
    taken.sort_by(f64::total_cmp);
    let at = |part: usize| taken[taken.len() * part / 100];
    println!("statement.{name}.p50 {:.1} us", at(50));
    println!("statement.{name}.p99 {:.1} us", at(99));
}
