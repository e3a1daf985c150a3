//! What changes from one file to the next.

use hoop_policy::rules::Diff;

use crate::world::{FULL, read};

fn between(old: &str, new: &str) -> String {
    Diff::between(&read(old), &read(new)).to_string()
}

#[test]
fn equal_rules_have_no_difference() {
    let full = read(FULL);
    assert!(Diff::between(&full, &full).is_empty());
    let spelled_otherwise =
        FULL.replace("12h", "720m").replace("[mon, fri]", "[fri, mon]").replace("    enabled: true\n", "");
    assert_eq!(between(FULL, &spelled_otherwise), "");
}

#[test]
fn a_change_is_told_field_by_field() {
    let new = FULL
        .replace("duration: 8h", "duration: 4h")
        .replace("groups: [engineers]", "groups: [engineers, dba]")
        .replace("      reason: true\n", "")
        .replace("idle: 15m", "idle: 10m");
    assert_eq!(
        between(FULL, &new),
        "~ rule clinic-engineers
    conditions.reason: true → (absent)
    limits.duration: 8h → 4h
    subjects.groups: [engineers] → [dba, engineers]
~ break-glass rule oncall
    limits.idle: 15m → 10m
"
    );
}

#[test]
fn rules_come_go_and_change_places() {
    let rule =
        |name: &str| format!("- {{name: {name}, subjects: {{users: [u]}}, connections: {{names: [c]}}}}\n");
    let list =
        |names: &[&str]| format!("version: 1\nrules:\n{}", names.iter().map(|n| rule(n)).collect::<String>());
    let told = between(&list(&["a", "b", "c"]), &list(&["c", "d", "a"]));
    assert!(told.starts_with("+ rule d\n    conditions.mfa.max_age: 12h\n"), "{told}");
    assert!(told.contains("- rule b\n    conditions.mfa.max_age: 12h → (absent)\n"), "{told}");
    assert!(told.ends_with("~ order of rules\n    a, c → c, a\n"), "{told}");
    let same_order = Diff::between(&read(&list(&["a", "b", "c"])), &read(&list(&["a", "x", "c"])));
    assert!(same_order.reordered.is_empty() && same_order.changed.is_empty());
}
