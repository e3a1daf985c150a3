//! Statements that rules ask about, warn of, or let through within limits.

use hoop_model::Timestamp;
use hoop_policy::{
    Action, BoundValue, Denial, Masking, Meters, OnlyStatement, Permit, Returned, Rules, Terms, Warning,
    Warrant,
    rules::{
        Approval, Asking, Decider, Leave, Missing, OpenedBy, Policy, RecordingMode, Refusal, Staying,
        Unapprovable,
    },
};
use hoop_sql::{Dialect, Reading, postgres::Mode};

use super::world::{NOW, approval, asking, connection, minutes, person, policy, rule_name};

const SQL: Dialect = Dialect::Postgres(Mode { standard_strings: true, utf8: true });

fn ruled(statements: &str) -> Policy {
    policy(&format!(
        "version: 1\nrules: [{{name: r, subjects: {{users: [ada]}}, connections: {{names: [\"*\"]}}, masking: none, statements: [{statements}]}}]"
    ))
}

fn rules(statements: &str) -> Rules {
    ruled(statements).document().rules()[0].requests()
}

fn warrant(statements: &str) -> Warrant {
    Warrant::new(rules(statements), NOW.after(minutes(60)))
}

fn run(warrant: &Warrant, text: &str, now: Timestamp) -> Result<Permit, Denial> {
    warrant.decide(&Action::Statement { text: text.as_bytes(), dialect: SQL }, now)
}

fn prepare(warrant: &Warrant, text: &str) -> Result<Terms, Denial> {
    let permit = warrant.decide(&Action::Prepare { text: text.as_bytes(), dialect: SQL }, NOW);
    permit.map(|mut permit| permit.take_terms().unwrap())
}

const ASKS: &str = "{name: fix, action: ask, classes: [write], approval: {approvers: {users: [lea]}}}, \
    {name: drop, action: ask, classes: [ddl], approval: {approvers: {users: [dba]}, count: 2, longest: 1h}}, \
    {name: never, action: deny, tables: [salaries]}, {name: all, action: allow, classes: [read, write, ddl]}";

fn needs(rule: &str) -> Denial {
    Denial::NeedsApproval { rule: rule_name(rule), message: None }
}

#[test]
fn what_may_be_asked_about_does_not_run_without_an_approval() {
    let warrant = warrant(ASKS);
    for (text, rule) in [
        ("update a set b = 1 where c = 2", "fix"),
        ("select 1; delete from a", "fix"),
        ("with x as (insert into a values (1) returning *) select * from x", "fix"),
        ("drop table a", "drop"),
        ("explain analyze update a set b = 1", "fix"),
    ] {
        assert_eq!(run(&warrant, text, NOW).unwrap_err(), needs(rule), "{text}");
        let prepared = Action::Prepare { text: text.as_bytes(), dialect: SQL };
        assert_eq!(warrant.decide(&prepared, NOW).unwrap_err(), needs(rule), "{text}");
    }
    assert!(run(&warrant, "select * from a", NOW).is_ok());
    for denied in ["update salaries set a = 1 where b = 2", "do $$ $$", "update a set b = f()", "select '"] {
        let denial = run(&warrant, denied, NOW).unwrap_err();
        assert!(
            !matches!(denial, Denial::NeedsApproval { .. }),
            "nobody is asked what is denied anyway: {denied}"
        );
    }
}

/// A table that may be meant, and a later rule that would let it through.
#[test]
fn what_is_not_certain_is_asked_about() {
    let warrant = warrant(
        "{name: q, action: ask, tables: [clinic.patients], approval: {approvers: {users: [lea]}}}, {name: read, action: allow, classes: [read]}",
    );
    assert_eq!(run(&warrant, "select * from patients", NOW).unwrap_err(), needs("q"));
    assert!(run(&warrant, "select * from billing.patients", NOW).is_ok());
}

#[test]
fn an_approval_is_of_the_rule_that_asks() {
    let of = |approved: Option<&str>, text: &str| {
        let rules = Rules {
            only: Some(OnlyStatement::new(text, "clinic")),
            approved: approved.map(rule_name),
            ..rules(ASKS)
        };
        run(&Warrant::new(rules, NOW.after(minutes(1))), text, NOW)
    };
    let fix = "update a set b = 1 where c = 2";
    assert!(of(Some("fix"), fix).is_ok());
    assert_eq!(of(None, fix).unwrap_err(), needs("fix"), "THREATS A13: nobody approved it");
    assert_eq!(of(Some("drop"), fix).unwrap_err(), needs("fix"));
    assert_eq!(of(Some("fix"), &format!("{fix}; drop table a")).unwrap_err(), needs("drop"));
    assert!(of(Some("fix"), "update salaries set b = 1 where c = 2").is_err(), "denied is denied");
}

struct Wish {
    only: OnlyStatement,
    reading: Reading,
    approvals: Vec<Approval>,
}

impl Wish {
    fn new(text: &str) -> Self {
        let reading = hoop_sql::read(text.as_bytes(), SQL);
        Self { only: OnlyStatement::new(text, "clinic"), reading, approvals: Vec::new() }
    }

    fn with<T>(&self, ask: impl FnOnce(&Asking<'_>) -> T) -> T {
        let (ada, pg) = (person("ada", &[]), connection("demo-pg", &[]));
        let (only, reading) = (Some(&self.only), Some(&self.reading));
        ask(&Asking { only, reading, approvals: &self.approvals, ..asking(&ada, &pg) })
    }
}

fn approved(rule: Option<&str>, only: &OnlyStatement) -> Approval {
    let whole = approval("ada", "r", "demo-pg", NOW.after(minutes(30)));
    Approval { only: Some(only.clone()), statement_rule: rule.map(rule_name), ..whole }
}

#[test]
fn the_gateway_wants_the_approval_that_the_statement_rule_asks_for() {
    let policy = ruled(ASKS);
    let decide = |wish: &Wish| wish.with(|asking| policy.decide(asking, NOW));
    let mut fix = Wish::new("update a set b = 1 where c = 2");
    let refusal = decide(&fix).unwrap_err();
    assert!(
        matches!(&refusal, Refusal::Missing { what, .. } if matches!(what[..], [Missing::Approval { count: 1, .. }]))
    );
    fix.approvals = vec![approved(None, &fix.only), approved(Some("drop"), &fix.only)];
    assert_eq!(decide(&fix).unwrap_err(), refusal, "what others approved is no approval of this");
    fix.approvals.push(approved(Some("fix"), &fix.only));
    let permission = decide(&fix).unwrap();
    assert_eq!((permission.approval_used, permission.rules.approved), (Some(2), Some(rule_name("fix"))));
    let mut other = Wish::new("update a set b = 1 where c = 3");
    other.approvals = fix.approvals.clone();
    assert!(decide(&other).is_err(), "another text");
    assert_eq!(decide(&Wish::new("select 1")).unwrap().rules.approved, None, "nothing asks");
}

#[test]
fn who_is_asked_is_who_may_approve() {
    let policy = ruled(ASKS);
    let rule = rule_name("r");
    let wanted = |text: &str| {
        Wish::new(text).with(|asking| {
            policy.approval_wanted(&rule, asking).map(|wanted| (wanted.statement_rule, wanted.approval.count))
        })
    };
    assert_eq!(wanted("update a set b = 1"), Ok((Some(rule_name("fix")), 1)));
    assert_eq!(wanted("drop table a"), Ok((Some(rule_name("drop")), 2)));
    assert_eq!(wanted("select 1"), Err(Unapprovable::NoRule));
    let several = Unapprovable::Several { one: rule_name("drop"), other: rule_name("fix") };
    assert_eq!(wanted("drop table a; update a set b = 1"), Err(several));
    let may = |name: &str, statement: Option<&str>| {
        let person = person(name, &[]);
        let decider = Decider { person: &person, role: None, is_concerned: false };
        policy.may_approve(&decider, &rule, statement.map(rule_name).as_ref())
    };
    assert!(may("lea", Some("fix")) && may("dba", Some("drop")));
    for (name, statement) in [
        ("lea", Some("drop")),
        ("dba", Some("fix")),
        ("lea", None),
        ("lea", Some("all")),
        ("ada", Some("fix")),
    ] {
        assert!(!may(name, statement), "{name} {statement:?}");
    }
}

#[test]
fn who_approves_is_no_business_of_the_agent() {
    let rules = rules(ASKS);
    let carried = serde_json::to_string(&rules).unwrap();
    assert!(!carried.contains("lea") && !carried.contains("approvers"), "{carried}");
}

#[test]
fn a_session_rests_on_the_approval_of_its_statement() {
    let policy = ruled(ASKS);
    let (ada, pg) = (person("ada", &[]), connection("demo-pg", &[]));
    let only = OnlyStatement::new("update a set b = 1", "clinic");
    let rules = Rules { only: Some(only.clone()), approved: Some(rule_name("fix")), ..rules(ASKS) };
    let stay = |approvals: &[Approval], policy: &Policy| {
        let staying = Staying {
            person: &ada,
            connection: &pg,
            address: [10, 1, 2, 3].into(),
            reason: None,
            opened_at: NOW,
            ends_at: NOW.after(minutes(60)),
            rule: &rule_name("r"),
            opened_by: OpenedBy::Rule,
            recording: RecordingMode::Bounded,
            target_user: None,
            rules: &rules,
            approvals,
            end_to_end: false,
        };
        policy.may_stay(&staying, NOW.after(minutes(1)))
    };
    assert_eq!(stay(&[approved(Some("fix"), &only)], &policy).unwrap().ends_at, NOW.after(minutes(30)));
    for none in [vec![], vec![approved(None, &only)], vec![approved(Some("drop"), &only)]] {
        assert!(matches!(stay(&none, &policy), Err(Leave::Missing { .. })), "{none:?}");
    }
    let others = ruled(&ASKS.replace("[lea]", "[eve]"));
    assert!(stay(&[approved(Some("fix"), &only)], &others).is_ok(), "what was approved stays approved");
    let gone = ruled("{name: all, action: allow}");
    assert!(stay(&[approved(Some("fix"), &only)], &gone).is_err(), "other rules");
}

#[test]
fn a_warning_is_given_to_what_runs_and_decides_nothing() {
    let warrant = warrant(
        "{name: w, action: warn, tables: [notes], message: \"say why in the ticket\"}, {name: w2, action: warn, verbs: [delete]}, \
         {name: d, action: deny, verbs: [truncate]}, {name: a, action: allow, classes: [read, write]}",
    );
    let told = |text: &str| -> Vec<String> {
        run(&warrant, text, NOW).unwrap().warnings().iter().map(Warning::to_string).collect()
    };
    assert_eq!(told("select * from notes"), ["statement rule w: say why in the ticket"]);
    let both = ["statement rule w: say why in the ticket", "statement rule w2: this statement is watched"];
    assert_eq!(told("select * from notes; delete from notes"), both, "each once");
    for _ in 0..2 {
        assert_eq!(
            told("delete from x where only_parsed in (with recursive q as (select 1) select * from q)").len(),
            1,
            "also what is known"
        );
    }
    assert!(told("select * from patients").is_empty());
    assert!(run(&warrant, "truncate notes", NOW).is_err());
}

const LIMITS: &str = "{name: p, action: allow, tables: [patients], classes: [read], at_most: {rows: 10, bytes: 1KiB}, rate: {statements: 3, rows: 25, per: 1m}}, \
    {name: other, action: allow, classes: [read, ddl]}";

fn rows(rows: u64) -> Returned {
    Returned { rows, bytes: rows * 10 }
}

#[test]
fn an_answer_may_be_so_large() {
    let warrant = warrant(LIMITS);
    let terms = run(&warrant, "select * from patients", NOW).unwrap().take_terms().unwrap();
    assert!(terms.returned(rows(10), rows(10), NOW).is_ok());
    let denial = terms.returned(rows(11), rows(1), NOW).unwrap_err();
    assert_eq!(denial, Denial::TooMuch { rule: rule_name("p"), most: "10 rows".into() });
    let bytes = terms.returned(Returned { rows: 1, bytes: 1025 }, rows(1), NOW).unwrap_err();
    assert_eq!(bytes, Denial::TooMuch { rule: rule_name("p"), most: "1KiB".into() });
    let free = run(&warrant, "select * from visits", NOW).unwrap().take_terms().unwrap();
    assert!(free.is_free() && free.returned(rows(1_000_000), rows(1), NOW).is_ok());
}

#[test]
fn what_was_put_by_is_held_to_everything() {
    let warrant = warrant(LIMITS);
    for text in ["fetch all from c", "select 1; fetch 5 from c"] {
        let terms = run(&warrant, text, NOW).unwrap().take_terms().unwrap();
        assert!(terms.returned(rows(11), rows(11), NOW).is_err(), "{text}");
    }
}

#[test]
fn so_often_in_whichever_form_and_session() {
    let meters = std::sync::Arc::new(Meters::default());
    let session = || Warrant::metered(rules(LIMITS), NOW.after(minutes(60)), meters.clone());
    let (one, other) = (session(), session());
    let text = "select * from patients where id = $1";
    let terms = [prepare(&one, text).unwrap()];
    let execute = |warrant: &Warrant, now| {
        warrant.decide(&Action::Execute { bound: true, terms: &terms }, now).map(|_| ())
    };
    assert!(execute(&one, NOW).is_ok() && execute(&one, NOW).is_ok());
    assert!(run(&other, text, NOW).is_ok(), "the third, in another session");
    for warrant in [&one, &other] {
        let denial = execute(warrant, NOW.after(minutes(1))).unwrap_err();
        assert!(matches!(denial, Denial::TooOften { .. }), "{denial:?}");
        assert!(run(warrant, text, NOW).is_err());
    }
    assert!(prepare(&one, text).is_ok(), "it runs nothing");
    assert!(execute(&one, NOW.after(minutes(2))).is_ok());
    // Rows of all answers together.
    assert!(
        terms[0].returned(rows(10), rows(10), NOW).is_ok()
            && terms[0].returned(rows(10), rows(10), NOW).is_ok()
    );
    assert!(matches!(terms[0].returned(rows(6), rows(6), NOW), Err(Denial::TooOften { .. })));
}

#[test]
fn what_is_not_known_any_more_is_refused_where_limits_are() {
    let warrant = warrant(LIMITS);
    let unknown = |action: Action<'_>| warrant.decide(&action, NOW).unwrap_err();
    assert_eq!(unknown(Action::Execute { bound: false, terms: &[] }), Denial::Forgotten);
    assert_eq!(unknown(Action::Bind { terms: &[], values: &[] }), Denial::Forgotten);
    let free = super::asked::warrant("{name: a, action: allow}");
    assert!(free.decide(&Action::Execute { bound: false, terms: &[] }, NOW).is_ok());
}

fn by_value() -> Warrant {
    let yaml = r#"
version: 1
modules:
  own.rego: |
    package own
    import rego.v1
    row if input.statement.parameters == ["7"]
    default other := false
    other if input.statement.parameters[0] == "8"
rules:
  - name: r
    subjects: {users: [ada]}
    connections: {names: ["*"]}
    masking: none
    statements:
      - {name: never, action: deny, classes: [write], when: data.own.other}
      - {name: own, action: allow, tables: [patients], when: data.own.row, at_most: {rows: 1}}
      - {name: others, action: allow, tables: [visits]}
"#;
    let (ada, pg) = (person("ada", &[]), connection("demo-pg", &[]));
    let permission = policy(yaml).decide(&asking(&ada, &pg), NOW).unwrap();
    Warrant::new(Rules { masking: Masking::None, ..permission.rules }, NOW.after(minutes(60)))
}

#[test]
fn conditions_see_the_values_that_are_bound() {
    let warrant = by_value();
    let text = |text: &str| BoundValue::Text(text.to_owned().into());
    let terms = [prepare(&warrant, "select * from patients where id = $1").unwrap()];
    let bind = |values: &[BoundValue]| warrant.decide(&Action::Bind { terms: &terms, values }, NOW);
    let held = bind(&[text("7")]).unwrap().take_terms().unwrap();
    assert!(held.returned(rows(2), rows(2), NOW).is_err(), "by the limits of the rule that allows it");
    for values in [
        &[][..],
        &[text("8")],
        &[text("7"), text("7")],
        &[BoundValue::Null],
        &[BoundValue::Cut],
        &[BoundValue::Binary(vec![0, 0, 0, 7].into())],
        &[BoundValue::Text(vec![0xff].into())],
        &[text(&"7".repeat(100_000))],
    ] {
        assert!(bind(values).is_err(), "{values:?}");
    }
    assert!(
        run(&warrant, "select * from patients where id = 7", NOW).is_err(),
        "there they are no parameters"
    );
    assert!(prepare(&warrant, "select * from patients").is_err(), "it has no place for one");
    let visits = [prepare(&warrant, "update visits set a = $1 where id = 1").unwrap()];
    let bind = |value| warrant.decide(&Action::Bind { terms: &visits, values: &[value] }, NOW);
    assert!(bind(text("7")).is_ok() && bind(text("8")).is_err() && bind(BoundValue::Cut).is_ok());
    assert!(
        warrant
            .decide(
                &Action::Bind { terms: &[visits[0].clone(), terms[0].clone()], values: &[text("7")] },
                NOW
            )
            .is_ok()
    );
    assert!(
        warrant
            .decide(
                &Action::Bind { terms: &[visits[0].clone(), terms[0].clone()], values: &[text("9")] },
                NOW
            )
            .is_err(),
        "it may be either"
    );
}

#[test]
fn a_session_that_reads_only_does_not_say_otherwise() {
    let rules =
        Rules { read_only: true, masking: Masking::None, allow_replication: true, ..Rules::default() };
    let warrant = Warrant::new(rules, NOW.after(minutes(60)));
    for text in [
        "select 1",
        "begin",
        "begin read only",
        "insert into a values (1)",
        "set statement_timeout = 1",
        "reset all",
    ] {
        assert!(run(&warrant, text, NOW).is_ok(), "{text}: the database refuses what it must");
    }
    for text in [
        "begin read write",
        "BEGIN READ/**/WRITE",
        "start transaction isolation level serializable, read write",
        "set transaction read write",
        "set session characteristics as transaction read write",
        "set transaction_read_only = off",
        "set \"transaction_read_only\" to off",
        "set local Default_Transaction_Read_Only = off",
        "select 1; select set_config('default_' || 'transaction_read_only', 'off', false)",
        "select pg_catalog.\"set_config\"('x', 'y', true)",
        "do $$ begin commit; end $$",
        "call p()",
        "select unknown_function()",
        "select '",
    ] {
        assert_eq!(run(&warrant, text, NOW).unwrap_err(), Denial::ReadOnly, "{text}");
    }
    assert_eq!(warrant.decide(&Action::Replicate, NOW).unwrap_err(), Denial::ReadOnly);
    assert_eq!(warrant.decide(&Action::FunctionCall { function: 1 }, NOW).unwrap_err(), Denial::ReadOnly);
    let login = Action::LogIn { database: "clinic", setting: None, risk: Some("options") };
    assert!(matches!(warrant.decide(&login, NOW).unwrap_err(), Denial::Risk { .. }));
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    let all = "{name: all, action: allow}";
    for (statements, word) in [
        (format!("{{name: q, action: ask}}, {all}"), "approval"),
        (format!("{{name: q, action: ask, approval: {{approvers: {{}}}}}}, {all}"), "approvers"),
        (
            format!("{{name: q, action: deny, approval: {{approvers: {{users: [a]}}}}}}, {all}"),
            "rules that ask",
        ),
        (format!("{all}, {{name: w, action: warn}}"), "behind"),
        ("{name: w, action: warn}".to_owned(), "behind"),
        (format!("{{name: w, action: warn, at_most: {{rows: 1}}}}, {all}"), "rules that allow"),
        ("{name: a, action: allow, at_most: {}}".to_owned(), "says nothing"),
        ("{name: a, action: allow, rate: {per: 1m}}".to_owned(), "says nothing"),
        ("{name: a, action: allow, rate: {rows: 1}}".to_owned(), "per"),
        ("{name: a, action: allow, rate: {rows: 1, per: 31d}}".to_owned(), "30d"),
        ("{name: a, action: allow, at_most: {bytes: 5}}".to_owned(), ""),
        ("{name: a, action: allow, message: x}".to_owned(), "message"),
        (format!("{{name: w, action: warn, message: \"a\\nb\"}}, {all}"), "one line"),
    ] {
        let yaml = format!(
            "version: 1\nrules: [{{name: r, subjects: {{users: [ada]}}, connections: {{names: [\"*\"]}}, statements: [{statements}]}}]"
        );
        let error = hoop_policy::rules::AccessPolicy::from_yaml(&yaml).unwrap_err().to_string();
        assert!(error.contains(word), "{statements}: {error}");
    }
}
