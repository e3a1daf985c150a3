//! `hoop policy explain`: which rule decides, and why the others do not.

use hoop_client::ClientError;
use hoop_model::Timestamp;
use hoop_policy::{
    StatementAction,
    cases::{
        ApprovalFact, ConnectionFact, Decided, DialectName, Facts, KindFact, PersonFact, RoleFact, Situation,
        StatementDecided, decide, decide_statement,
    },
    rules::{Considered, Missing, Outcome, Policy},
};
use serde::Serialize;

use super::{read_cases, read_rules};
use crate::{
    args::{ExplainPolicy, FactArgs},
    failure::Result,
    output::{Table, text},
};

/// How long an approval lasts that was given on the command line.
const APPROVED_FOR: std::time::Duration = std::time::Duration::from_secs(3600);

/// The decision, and every rule that was looked at.
#[derive(Debug, Serialize)]
pub(super) struct Explained {
    decided: Decided,
    considered: Vec<Considered>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statement: Option<StatementDecided>,
}

pub(super) fn run(args: ExplainPolicy) -> Result<Explained> {
    let policy = Policy::compile(read_rules(&args.rules)?);
    let situation = match (&args.tests, &args.case) {
        (Some(tests), Some(name)) => {
            let cases = read_cases(tests)?;
            let case = cases.cases().iter().find(|case| case.name == *name);
            let message = || format!("{}: there is no case {name:?}", tests.display());
            case.ok_or_else(|| ClientError::usage("HOOP-2016", message()))?.situation.clone()
        }
        _ => situation(args.facts)?,
    };
    let (asking, now) = (situation.asking(), situation.at());
    let considered = if situation.is_emergency() {
        policy.explain_break_glass(&asking, now)
    } else {
        policy.explain(&asking, now)
    };
    let (decided, rules) = decide(&policy, &situation);
    let statement = args
        .statement
        .zip(rules)
        .map(|(text, rules)| decide_statement(&rules, &text, &[], DialectName::Postgres));
    Ok(Explained { decided, considered, statement })
}

fn situation(args: FactArgs) -> Result<Situation> {
    let at = args.at.unwrap_or_else(|| Timestamp::from(jiff::Timestamp::now()));
    let approval = |rule| ApprovalFact {
        rule,
        person: None,
        connection: None,
        target_user: None,
        until: at.after(APPROVED_FOR),
    };
    let facts = Facts {
        at: Some(at),
        address: args.address,
        person: args.person.map(|name| PersonFact {
            name,
            kind: if args.service { KindFact::Service } else { KindFact::Human },
            groups: args.groups.into_iter().collect(),
            role: RoleFact::User,
            locked: false,
        }),
        mfa: args.mfa,
        connection: args
            .connection
            .map(|name| ConnectionFact { name, labels: args.labels.into_iter().collect() }),
        reason: args.reason,
        approvals: Some(args.approved.into_iter().map(approval).collect()),
        emergency: Some(args.emergency),
        ..Facts::default()
    };
    Ok(facts.situation(false).map_err(|lacks| ClientError::usage("HOOP-2016", lacks.to_string()))?)
}

impl Explained {
    pub(super) fn shown(&self) -> String {
        let mut shown = format!("{}\n\n", sentence(&text::block(&self.decided.to_string())));
        let mut table = Table::new(["RULE", "", "WHY"]);
        for Considered { rule, outcome } in &self.considered {
            let (word, why) = outcome_shown(outcome);
            table.row([rule.as_str(), word, &why]);
        }
        shown.push_str(&table.render());
        if let Some(statement) = &self.statement {
            shown.push_str(&format!("\n{}\n", sentence(&text::block(&statement_shown(statement)))));
        }
        shown
    }
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str().trim_end_matches('.'))
}

fn outcome_shown(outcome: &Outcome) -> (&'static str, String) {
    match outcome {
        Outcome::Decides => ("decides", "all its conditions hold".to_owned()),
        Outcome::AllowsToo => ("too late", "it would allow this too, but an earlier rule decides".to_owned()),
        Outcome::Disabled => ("no", "it is not enabled".to_owned()),
        Outcome::OtherSubject => ("no", "it is not about this person".to_owned()),
        Outcome::OtherConnection => ("no", "it is not about this connection".to_owned()),
        Outcome::Locked => ("no", "the account opens nothing".to_owned()),
        Outcome::Misses { what } => {
            let detailed = |missing: &Missing| match missing.detail() {
                Some(detail) => format!("{missing} ({detail})"),
                None => missing.to_string(),
            };
            ("no", what.iter().map(detailed).collect::<Vec<_>>().join("; "))
        }
    }
}

fn statement_shown(decided: &StatementDecided) -> String {
    if let Some(why) = &decided.unreadable {
        return format!("the statement is denied: {why}");
    }
    match (decided.action, &decided.by) {
        (StatementAction::Allow, None) => "the statement may run".to_owned(),
        (StatementAction::Allow, Some(rule)) => {
            format!("the statement may run: statement rule {rule} allows it")
        }
        (StatementAction::Deny, Some(rule)) => format!("the statement is denied by statement rule {rule}"),
        (StatementAction::Ask, by) => {
            let by = by.as_ref().map(|rule| format!(": statement rule {rule} asks")).unwrap_or_default();
            format!("the statement may run once others have approved it{by}")
        }
        (StatementAction::Warn, by) => {
            let by = by.as_ref().map(|rule| format!(" by statement rule {rule}")).unwrap_or_default();
            format!("the statement may run, with a warning{by}")
        }
        (StatementAction::Deny, None) => "the statement is denied: no statement rule fits".to_owned(),
    }
}
