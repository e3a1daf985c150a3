//! What rules say of statements, before they are in force: by the same functions that decide at the agent. Nothing is
//! run, nothing is kept, and no text reaches a log or an event.

use std::{
    net::Ipv4Addr,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::extract::State;
use hoop_api::{
    Problem,
    rules::{
        MissedRule, RulesTried, SqlDialect, TriedCondition, TriedRule, TriedSession, TriedStatement,
        TriedText, TryRules,
    },
};
use hoop_model::RuleName;
use hoop_policy::{
    Action, Condition, Denial, Explained, Held, Questions, Rules, Ruling, StatementRule, Warrant,
    rego::{Answer as RegoAnswer, When},
    rules::{AccessPolicy, Asking, BreakGlassRule, Rule},
};
use hoop_sql::{Dialect, Objects, Statement, postgres::Mode};
use hoop_store::StoreError;

mod sample;

use super::{
    body::Json,
    caller::Evidence,
    problem::{Answer, Problematic},
};
use crate::{
    hub::{Shared, now},
    rules::{InForce, Question},
    sessions,
};

const MOST_TEXTS: usize = 500;
const LONGEST_REASON: usize = 1000;
const LONGEST_TEXT: usize = 64 << 10;
const MOST_BYTES: usize = 1 << 20;
/// What JSON adds to texts: a line end is two bytes, seldom more.
pub(super) const TEXTS_BODY: usize = 2 * MOST_BYTES;
/// Statements of one text that are told.
const MOST_TOLD: usize = 20;
/// Rules that are told of a statement that none fits.
const MOST_MISSED: usize = 10;
/// From the first text to the last.
const LONGEST_TRIAL: Duration = Duration::from_secs(10);

pub(super) async fn run(
    State(hub): State<Shared>,
    _: Evidence,
    Json(wanted): Json<TryRules>,
) -> Answer<Json<RulesTried>> {
    check(&wanted)?;
    let in_force = hub.rules.in_force(&hub.store).await?;
    let session = match &wanted.session {
        Some(session) => Some(facts(&hub, &in_force, session).await?),
        None => None,
    };
    // Reading is work for a core, and whoever asks may ask often.
    let one_of_few = Arc::clone(&hub.trying).acquire_owned().await.map_err(Problematic::internal)?;
    let tried = tokio::task::spawn_blocking(move || {
        let _one_of_few = one_of_few;
        match &wanted.yaml {
            None => try_with(in_force.policy.document(), session.as_ref(), &wanted),
            Some(yaml) => {
                let policy = AccessPolicy::from_yaml(yaml).map_err(|error| error.to_fault())?;
                try_with(&policy, session.as_ref(), &wanted)
            }
        }
    });
    Ok(Json(tried.await.map_err(Problematic::internal)??))
}

/// Person and connection as they are now. Where the session would come from is nothing that statements are asked about.
async fn facts(hub: &Shared, in_force: &InForce, session: &TriedSession) -> Answer<Question> {
    let TriedSession { person, connection, reason } = session;
    if reason.as_ref().is_some_and(|reason| reason.len() > LONGEST_REASON) {
        return Err(Problematic::bad_request(format!(
            "`session.reason` is longer than {LONGEST_REASON} bytes"
        )));
    }
    let user = match hub.store.user_by_name(person).await? {
        Some(user) => user,
        None => hub.store.service_account(person).await?.ok_or(StoreError::NotFound("user"))?,
    };
    let connection =
        hub.store.connection_by_name(connection).await?.ok_or(StoreError::NotFound("connection"))?;
    let definition = sessions::definition_of(&connection)?;
    let person = in_force.person(&user, None);
    Ok(Question::new(person, &connection, &definition, Ipv4Addr::UNSPECIFIED.into()))
}

fn check(wanted: &TryRules) -> Answer<()> {
    let lengths = || wanted.texts.iter().map(String::len);
    if wanted.texts.len() > MOST_TEXTS {
        return Err(Problematic::bad_request(format!("`texts` has more than {MOST_TEXTS} entries")));
    }
    if lengths().any(|length| length > LONGEST_TEXT) {
        let most = LONGEST_TEXT >> 10;
        return Err(Problematic::bad_request(format!("one of `texts` is longer than {most} KiB")));
    }
    if lengths().sum::<usize>() > MOST_BYTES {
        let most = MOST_BYTES >> 10;
        return Err(Problematic::bad_request(format!("`texts` are longer than {most} KiB in all")));
    }
    if wanted.rule.is_none() && !(wanted.texts.is_empty() && wanted.samples.is_empty()) {
        return Err(Problematic::bad_request("`rule` must name the access rule for `texts` and `samples`"));
    }
    sample::check(&wanted.samples)?;
    Ok(())
}

fn try_with(policy: &AccessPolicy, session: Option<&Question>, wanted: &TryRules) -> Answer<RulesTried> {
    let (texts, samples) = match &wanted.rule {
        None => (Vec::new(), Vec::new()),
        Some(name) => {
            let reason = wanted.session.as_ref().and_then(|session| session.reason.as_deref());
            let asking = session.map(|question| question.asking(reason, None, &[], 0));
            let rules = requests_under(policy, name, asking.as_ref());
            let rules = rules.ok_or_else(|| Problematic::not_found("access rule"))?;
            (try_all(&rules, wanted)?, sample::mask(&rules.masking, &wanted.samples)?)
        }
    };
    Ok(RulesTried { rules: rules_of(policy), texts, samples })
}

/// Every rule. In emergencies any statement may run.
fn rules_of(policy: &AccessPolicy) -> Vec<TriedRule> {
    let tried =
        |name: &RuleName, break_glass, statements| TriedRule { name: name.clone(), break_glass, statements };
    let usual = policy.rules().iter().map(|rule| tried(&rule.name, false, rule.statements.len()));
    usual.chain(policy.break_glass().iter().map(|rule| tried(&rule.name, true, 0))).collect()
}

fn requests_under(policy: &AccessPolicy, name: &RuleName, asking: Option<&Asking<'_>>) -> Option<Rules> {
    let requests = |rule: &Rule| match asking {
        Some(asking) => rule.requests_of(policy.modules(), asking),
        None => rule.requests(),
    };
    let usual = policy.rules().iter().find(|rule| rule.name == *name).map(requests);
    let emergency =
        || policy.break_glass().iter().find(|rule| rule.name == *name).map(BreakGlassRule::requests);
    usual.or_else(emergency)
}

fn try_all(rules: &Rules, wanted: &TryRules) -> Answer<Vec<TriedText>> {
    let dialect = match wanted.dialect {
        SqlDialect::Postgres => Dialect::Postgres(Mode::default()),
    };
    let (began, at) = (Instant::now(), now());
    // As an agent would decide it in a session that has just begun.
    let warrant = Warrant::new(rules.clone(), at.after(LONGEST_TRIAL));
    let questions = Questions::of(rules);
    let tried = wanted.texts.iter().map(|text| {
        if began.elapsed() > LONGEST_TRIAL {
            return Err(Problematic::bad_request(
                "`texts` take too long with these rules: send fewer at once",
            ));
        }
        let text = text.as_bytes();
        let denial = warrant.decide(&Action::Statement { text, dialect }, at).err();
        let reading = hoop_sql::read(text, dialect);
        Ok(told(&questions, &questions.explain(&reading), denial.as_ref()))
    });
    tried.collect()
}

fn told(questions: &Questions<'_>, explained: &Explained<'_>, denial: Option<&Denial>) -> TriedText {
    let refused_at = explained.refused_at();
    let is_told = |at: usize| at < MOST_TOLD || Some(at) == refused_at;
    let all = explained.statements().enumerate();
    let statements: Vec<_> = all
        .filter(|(at, _)| is_told(*at))
        .map(|(at, (statement, held))| TriedStatement {
            missed: if held.by == Ruling::NoneFits { missed(questions, statement) } else { Vec::new() },
            conditions: conditions(questions, statement),
            ..statement_told(at, statement, held)
        })
        .collect();
    TriedText {
        statements_omitted: explained.statements().len() - statements.len(),
        statements,
        unreadable: explained.reading().unreadable.map(|why| why.to_string()),
        refusal: denial.map(|denial| Problem::from(&denial.to_fault())),
        refused_at,
    }
}

fn missed(questions: &Questions<'_>, statement: &Statement) -> Vec<MissedRule> {
    let told = |(rule, condition): (&StatementRule, Condition)| MissedRule {
        rule: rule.name.clone(),
        condition: condition.as_str().to_owned(),
    };
    questions.missed(statement).into_iter().take(MOST_MISSED).map(told).collect()
}

/// For those who write rules: what failed in a condition is told too.
fn conditions(questions: &Questions<'_>, statement: &Statement) -> Vec<TriedCondition> {
    let told = |(rule, when, answer): (&StatementRule, &When, RegoAnswer)| TriedCondition {
        rule: rule.name.clone(),
        when: when.to_string(),
        holds: answer == RegoAnswer::True,
        answer: match &answer {
            RegoAnswer::Failed { error } => format!("{answer} ({error})"),
            _ => answer.to_string(),
        },
    };
    questions.answers(statement).into_iter().take(MOST_MISSED).map(told).collect()
}

fn statement_told(at: usize, statement: &Statement, held: &Held<'_>) -> TriedStatement {
    TriedStatement {
        at,
        classes: statement.classes.iter().map(ToString::to_string).collect(),
        verbs: statement.verbs.iter().cloned().collect(),
        tables: match &statement.tables {
            Objects::Known(tables) => Some(tables.iter().map(ToString::to_string).collect()),
            Objects::Unknown => None,
        },
        unknown_functions: statement.unknown_functions.iter().map(ToString::to_string).collect(),
        unbounded: statement.unbounded,
        opaque: statement.is_opaque,
        spelling: statement.normal.clone(),
        allowed: held.allows(None),
        rule: held.by.rule().map(|rule| rule.name.clone()),
        asks: held.waits_for().map(|rule| rule.name.clone()),
        warns: held.warns.iter().map(|rule| rule.name.clone()).collect(),
        missed: Vec::new(),
        conditions: Vec::new(),
    }
}
