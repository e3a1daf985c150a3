//! `hoop admin apply|export|rules`: access rules in files, their versions, who reaches what.

use hoop_api::rules::{ReachView, RulesChange, RulesVersion};
use hoop_client::Api;
use hoop_policy::bundle::Bundle;

use super::{account::ago, file};
use crate::{
    args::{Apply, ExportRules, ReachArgs, RulesCommand},
    failure::Result,
    output::{Out, Table, text},
};

pub(super) async fn apply(args: &Apply, api: &Api, out: &Out) -> Result {
    let text = file::read_text(&args.file)?;
    let (yaml, bundle) = if Bundle::is_one(&text) { (None, Some(text)) } else { (Some(text), None) };
    let change = RulesChange {
        yaml,
        bundle,
        version: args.if_version,
        note: args.note.clone(),
        dry_run: args.dry_run,
        ..RulesChange::default()
    };
    let changed = api.change_rules(&change).await?;
    out.data(&changed, |changed| {
        let version = changed.version;
        let outcome = match (changed.changed, changed.dry_run) {
            (false, _) => return format!("Nothing changes: version {version} is in force."),
            (true, true) => format!("Version {version} stays in force; this would change:"),
            (true, false) => format!("Version {version} is in force. What changed:"),
        };
        format!("{outcome}\n{}", text::block(changed.diff.trim_end()))
    })?;
    Ok(())
}

pub(super) async fn export(args: &ExportRules, api: &Api, out: &Out) -> Result {
    let rules = match args.version {
        Some(version) => api.rules_version(version).await?,
        None => api.rules().await?,
    };
    out.data(&rules, |rules| text::block(rules.yaml.trim_end()).into_owned())?;
    Ok(())
}

pub(super) async fn run(command: RulesCommand, api: &Api, out: &Out) -> Result {
    match command {
        RulesCommand::Ls(_) => {
            let page = api.rules_versions().await?;
            out.data(&page.items, |versions| versions_table(versions))?;
        }
        RulesCommand::Reach(args) => {
            let page = match (&args.connection, &args.person) {
                (Some(connection), _) => api.who_reaches(connection).await?,
                (None, Some(person)) => api.what_reaches(person).await?,
                (None, None) => return Ok(()),
            };
            out.data(&page.items, |items| reach_table(&args, items))?;
        }
    }
    Ok(())
}

fn versions_table(versions: &[RulesVersion]) -> String {
    if versions.is_empty() {
        return "No rules yet, so nobody may open anything: hoop admin apply --help".to_owned();
    }
    let mut table = Table::new(["VERSION", "WRITTEN", "BY", "SHA-256", "BUNDLE", "NOTE"]);
    for version in versions {
        let written = format!("{} ago", ago(version.created_at));
        let note = version.note.as_deref().unwrap_or_default();
        let sha256 = version.sha256.get(..12).unwrap_or_default();
        let bundle =
            version.bundle.as_ref().map_or_else(|| "-".to_owned(), |bundle| bundle.version.to_string());
        table.row([&version.version.to_string(), &written, &version.author, sha256, &bundle, note]);
    }
    table.render()
}

fn reach_table(args: &ReachArgs, items: &[ReachView]) -> String {
    if items.is_empty() {
        return match (&args.connection, &args.person) {
            (Some(connection), _) => format!("Nobody reaches {connection}."),
            (_, Some(person)) => format!("{person} reaches nothing."),
            (None, None) => String::new(),
        };
    }
    let mut table = Table::new(["PERSON", "CONNECTION", "RULE", "AS", "NEEDS"]);
    for item in items {
        let rule =
            if item.break_glass { format!("{} (emergency)", item.rule) } else { item.rule.to_string() };
        table.row([
            item.person.as_str(),
            item.connection.as_str(),
            &rule,
            &item.through,
            &item.needs.join("; "),
        ]);
    }
    table.render()
}
