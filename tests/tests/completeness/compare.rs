//! The comparison: a client runs through hoop, and the server's own log is held against the session's recording.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use hoop_recording::visible::visible_lines;
use hoop_testkit::{PostgresOptions, World, WorldOptions, run, run_for_all};
use serde_json::Value;

use crate::{
    ours::{Recorded, recorded},
    theirs::{CALL, Logged, PREFIX, logged},
    values::same_value,
};

/// A hoop before a server that logs everything, and says what it was at.
pub(crate) fn world(version: Option<u16>) -> World {
    // The newer servers are built without TLS.
    let postgres = PostgresOptions {
        settings: &[PREFIX],
        version,
        tls: version.is_none(),
        ..PostgresOptions::default()
    };
    World::with(WorldOptions { postgres, ..WorldOptions::default() })
}

/// Runs a client with a text as its input, and compares. Gives what it printed.
pub(crate) fn compare(world: &World, client: &mut Command, input: &str, at_least: usize) -> String {
    compare_while(world, at_least, || run_for_all(client, input))
}

/// Compares what the server logged with what was recorded while a client was at work in a session of its own.
pub(crate) fn compare_while(world: &World, at_least: usize, work: impl FnOnce() -> String) -> String {
    let before = world.postgres.log().len();
    let printed = work();
    let ended = world.ended_session();
    let session = ended["id"].as_str().unwrap();
    let exported = run(world.hoop(&world.admin).args(["sessions", "export", session, "-f", "jsonl"]));
    let (ours, theirs) = (recorded(&exported), logged(&world.postgres.log()[before..]));
    let counted = hold_together(ours.clone(), theirs);
    assert!(counted >= at_least, "only {counted} statements:\n{printed}");
    replay_shows(&world.statements(session), &ours);
    let distinct: BTreeSet<_> = ours.iter().flatten().map(|statement| &statement.text).collect();
    let values: usize = ours.iter().flatten().map(|statement| statement.values.len()).sum();
    #[expect(clippy::print_stderr, reason = "what a reader of the proof wants to know")]
    {
        eprintln!("{counted} statements compared, {} distinct texts, {values} bind values", distinct.len());
    }
    printed
}

/// Statement by statement. Connections that ran beside each other are paired by what they ran.
fn hold_together(mut ours: Vec<Vec<Recorded>>, mut theirs: Vec<Vec<Logged>>) -> usize {
    if ours.len() > 1 {
        ours.sort_by_cached_key(|list| format!("{:?}", list.iter().map(|one| &one.text).collect::<Vec<_>>()));
        theirs
            .sort_by_cached_key(|list| format!("{:?}", list.iter().map(|one| &one.text).collect::<Vec<_>>()));
    }
    let mut counted = 0;
    for (ours, theirs) in ours.iter().zip(&theirs) {
        let pairs = ours.iter().zip(theirs).enumerate();
        let differ: Vec<_> = pairs.filter(|(_, (ours, theirs))| !same(ours, theirs)).take(8).collect();
        assert!(differ.is_empty(), "these differ, ours and theirs: {differ:#?}");
        let first_more = (ours.get(theirs.len()), theirs.get(ours.len()));
        assert_eq!(ours.len(), theirs.len(), "one has more, after {:?}: {first_more:#?}", ours.last());
        counted += theirs.len();
    }
    assert_eq!(ours.len(), theirs.len(), "connections");
    counted
}

fn same(ours: &Recorded, theirs: &Logged) -> bool {
    // What the server did not get to run has no values in its log. A `Query` that it could not read is a query to us.
    let values = theirs.unread
        || ours.values.len() == theirs.values.len()
            && ours
                .values
                .iter()
                .zip(&theirs.values)
                .all(|(ours, theirs)| same_value(ours, theirs.as_deref()));
    ours.text == theirs.text && ours.failed == theirs.failed && (!ours.unread || theirs.unread) && values
}

/// Longest text that a replay shows.
const SHOWN: usize = 100_000;

/// What people are shown has each of these statements, in the same order; only long texts are cut.
fn replay_shows(shown: &[Value], ours: &[Vec<Recorded>]) {
    let mut streams: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    for statement in shown.iter().filter(|statement| is_counted(statement)) {
        let text = statement["text"].as_str().unwrap().chars().take(SHOWN).collect();
        streams.entry(statement["stream"].as_u64().unwrap()).or_default().push(text);
    }
    let expected = |one: &Recorded| match one.text.starts_with(CALL) {
        true => String::new(),
        false => visible_lines(&one.text).chars().take(SHOWN).collect(),
    };
    let mut expected: Vec<Vec<String>> =
        ours.iter().map(|list| list.iter().map(expected).collect()).collect();
    let mut streams: Vec<_> = streams.into_values().collect();
    streams.sort();
    expected.sort();
    assert_eq!(streams, expected, "the replay shows something else");
}

/// As in [`recorded`].
fn is_counted(statement: &Value) -> bool {
    let failed = statement["error"]["code"].as_str().filter(|code| !code.is_empty());
    match statement["form"].as_str().unwrap() {
        "query" | "function_call" => true,
        "execute" => statement["tag"] != "" && statement["error"]["code"] != "",
        "prepare" => failed.is_some(),
        "bind" => failed.is_some_and(|code| code != "26000"),
        _ => false,
    }
}
