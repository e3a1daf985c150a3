//! `docs/EVENTS.md`, made from the table.

use std::fmt::Write as _;

use super::{Fact, Kind, schema};
use crate::{
    event::EventCode,
    ocsf::{Mapped, mapped},
};

const HEAD: &str = "# Events of the ledger\n\n\
Made from `crates/ledger/src/catalogue`; do not edit. How events are chained, signed and verified stands in\n\
[LEDGER.md](LEDGER.md). Codes and names of facts are stable: what is told no longer keeps its name, and gets no other\n\
meaning.\n\n\
Every event has `id`, `seq` (its place), `prev` (hash of the leaf before), `at` (by the gateway's clock), `actor` (who:\n\
kind, and for a person id, name, role, groups, sign-in and second factor), `code`, `subjects` (ids of what it is about)\n\
and `facts`. A fact may be `null`: it does not apply.\n\n\
| class | whose business |\n|---|---|\n\
| public | It says nothing about a person or about what is inside the network. |\n\
| internal | It names machines, connections or rules: for the organisation. |\n\
| personal | It names somebody, or is text that a person wrote. |\n\n\
A fact that is not named here counts as secret, and so does one of another kind than stands here: in its place the leaf\n\
has `{\"withheld\":\"unclassified\"}`, the counter `hoop_ledger_facts_withheld_total` grows, the gateway logs its name, and\n\
a debug build (all tests run on one) stops. The name of whoever acts is personal, ids are public.\n\n\
With each code stands what `hoop audit export --format ocsf` makes of it: a class of OCSF 1.3 and its `activity_id` (99:\n\
another one, named by the code). Facts are under `unmapped`, up to the class that was asked for (`--class`).\n";

/// The document.
#[must_use]
pub fn markdown() -> String {
    let mut text = HEAD.to_owned();
    for code in EventCode::all() {
        let Mapped { class, activity, .. } = mapped(*code);
        let (description, name, uid) = (code.description(), class.name(), class.uid());
        let _ = write!(text, "\n## `{code}`\n\n{description} OCSF: {name} ({uid}), activity {activity}.\n");
        let facts = schema(*code);
        if !facts.is_empty() {
            text.push_str("\n| fact | kind | class | meaning |\n|---|---|---|---|\n");
            rows(&mut text, "", facts);
        }
    }
    text
}

fn rows(text: &mut String, above: &str, facts: &[Fact]) {
    for Fact { name, kind, class, meaning } in facts {
        let (shown, whose) = (kind.label(), class.label());
        let _ = writeln!(text, "| `{above}{name}` | {shown} | {whose} | {meaning} |");
        if let Kind::Fields(inner) = kind {
            rows(text, &format!("{above}{name}."), inner);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_document_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/EVENTS.md");
        if std::env::var_os("HOOP_WRITE_GOLDEN").is_some() {
            std::fs::write(path, super::markdown()).unwrap();
        }
        let there = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            there == super::markdown(),
            "docs/EVENTS.md is stale: run this test with HOOP_WRITE_GOLDEN=1"
        );
    }
}
