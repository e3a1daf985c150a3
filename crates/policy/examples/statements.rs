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

fn main() {
    let rules = Rules { statements: serde_json::from_str(RULES).unwrap(), ..Rules::default() };
    let (now, ends_at) = (Timestamp::from_micros(0), Timestamp::from_micros(1));
    let warrant = Warrant::new(rules, ends_at);
    let (report, with_report, within_report) = (report(), with_report(), within_report());
    let cases = [
        ("short", "select * from clinic.patients where id = $1"),
        ("write", "update clinic.notes set text = $1, changed = now() where id = $2 and patient = $3"),
        ("report", report.as_str()),
        ("with", with_report.as_str()),
        ("within", within_report.as_str()),
    ];
    for (name, text) in cases {
        println!("statement.{name}.bytes {} bytes", text.len());
        measure(&warrant, &format!("{name}.first"), now, |number| numbered(text, number));
        measure(&warrant, name, now, |_| text.to_owned());
    }
}

fn measure(warrant: &Warrant, name: &str, now: Timestamp, text: impl Fn(usize) -> String) {
    let mut taken: Vec<f64> = (0..20_000)
        .map(|number| {
            let text = text(number);
            let action =
                Action::Statement { text: text.as_bytes(), dialect: Dialect::Postgres(Mode::default()) };
            let began = Instant::now();
            assert!(warrant.decide(&action, now).is_ok(), "{text}");
            began.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    taken.sort_by(f64::total_cmp);
    let at = |part: usize| taken[taken.len() * part / 100];
    println!("statement.{name}.p50 {:.1} us", at(50));
    println!("statement.{name}.p99 {:.1} us", at(99));
}
