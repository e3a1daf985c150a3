//! `hoop admin`: agents and connections; people, rules and the rest have files of their own.

use std::{path::Path, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoop_api::manage::{
    AgentView, ConnectionDefinition, ConnectionScan, ConnectionTest, ConnectionView, JoinToken,
    JoinTokenRequest,
};
use hoop_client::{Api, ClientError};
use hoop_model::{AgentName, ConnectionName};
use serde_json::json;

use super::{
    account::until, api, connections, emergency, file, holds, people, recording_keys, rules, sealed_codes,
    services,
};
use crate::{
    args::{self, Admin, Agents, Connections, PutConnection, Seal},
    failure::Result,
    output::{Out, Table, text},
    prompt,
};

pub(super) async fn run(command: Admin, out: &Out) -> Result {
    let api = api()?;
    match command {
        Admin::Users(command) => people::run(command, &api, out).await,
        Admin::ServiceAccounts(command) => services::accounts(command, &api, out).await,
        Admin::Keys(command) => recording_keys::run(command, &api, out).await,
        Admin::SealedCodes(command) => sealed_codes::run(command, &api, out).await,
        Admin::Tokens(command) => services::tokens(command, &api, out).await,
        Admin::Agents(command) => agents(command, &api, out).await,
        Admin::JoinToken(args) => join_token(args, &api, out).await,
        Admin::Connections(command) => connections(command, &api, out).await,
        Admin::Emergency(command) => emergency::run(command, &api, out).await,
        Admin::Holds(command) => holds::run(command, &api, out).await,
        Admin::Apply(args) => rules::apply(&args, &api, out).await,
        Admin::Export(args) => rules::export(&args, &api, out).await,
        Admin::Rules(command) => rules::run(command, &api, out).await,
    }
}

// --- agents

async fn agents(command: Agents, api: &Api, out: &Out) -> Result {
    match command {
        Agents::Ls(_) => {
            let page = api.agents().await?;
            out.data(&page.items, |agents| {
                if agents.is_empty() {
                    "No agents yet: hoop admin join-token NAME".to_owned()
                } else {
                    agent_table(agents)
                }
            })?;
        }
        Agents::Remove(args) => {
            api.remove_agent(&args.name).await?;
            out.data(&json!({ "agent": args.name, "removed": true }), |_| {
                format!("{} was removed.", args.name)
            })?;
        }
        Agents::JoinToken(args) => join_token(args, api, out).await?,
    }
    Ok(())
}

fn agent_table(agents: &[AgentView]) -> String {
    let mut table = Table::new(["NAME", "STATE", "VERSION", "SESSIONS", "CERTIFICATE ENDS IN", "ID"]);
    for agent in agents {
        table.row([
            agent.name.as_str(),
            if agent.online { "online" } else { "away" },
            &agent.version,
            &agent.sessions.to_string(),
            &until(agent.certificate_expires_at),
            &agent.id.to_string(),
        ]);
    }
    table.render()
}

async fn join_token(args: args::JoinToken, api: &Api, out: &Out) -> Result {
    let token = api.join_token(&JoinTokenRequest { agent: args.agent, ttl_seconds: args.ttl }).await?;
    if !out.is_json() {
        out.note(format!("Good for one use, within {}; shown only now:", until(token.expires_at)));
    }
    out.data(&token, |token: &JoinToken| text::line(&token.token).into_owned())?;
    Ok(())
}

// --- connections

async fn connections(command: Connections, api: &Api, out: &Out) -> Result {
    match command {
        Connections::Ls(_) => {
            let page = api.connections(true).await?;
            out.data(&page.items, |items| {
                if items.is_empty() {
                    "No connections yet: hoop admin connections put --help".to_owned()
                } else {
                    table(items)
                }
            })?;
        }
        Connections::Show(args) => {
            let definition = definition(api, &args.name).await?;
            out.data(&definition, |definition| {
                let toml = toml::to_string_pretty(definition).ok();
                let shown =
                    toml.or_else(|| serde_json::to_string_pretty(definition).ok()).unwrap_or_default();
                text::block(&shown).into_owned()
            })?;
        }
        Connections::Put(args) => put(&args, api, out).await?,
        Connections::Test(args) => test(&args.name, api, out).await?,
        Connections::Scan(args) => scan(&args.name, api, out).await?,
        Connections::Delete(args) => {
            api.delete_connection(&args.name).await?;
            out.data(&json!({ "connection": args.name, "deleted": true }), |_| {
                format!("{} was deleted.", args.name)
            })?;
        }
        Connections::Seal(args) => seal(&args, api, out).await?,
    }
    Ok(())
}

fn table(items: &[ConnectionView]) -> String {
    let mut table = Table::new(["NAME", "PROTOCOL", "AGENT", "STATE", "LABELS", "DESCRIPTION"]);
    for item in items {
        let agent = item.definition.as_ref().map_or("?", |definition| definition.agent.as_str());
        let labels = item.definition.iter().flat_map(|definition| &definition.labels);
        let labels: Vec<String> = labels.map(|(key, value)| format!("{key}={value}")).collect();
        let state = if item.online { "agent online" } else { "agent away" };
        table.row([
            item.name.as_str(),
            item.protocol.as_str(),
            agent,
            state,
            &labels.join(", "),
            &item.description,
        ]);
    }
    table.render()
}

/// What failed is the answer, and an error all the same: scripts look at the code.
async fn test(name: &ConnectionName, api: &Api, out: &Out) -> Result {
    let result = out.waiting(&format!("Agent and target of {name}"), api.test_connection(name)).await?;
    out.data(&result, |result| tested(name, result))?;
    match result.problem {
        None => Ok(()),
        Some(problem) => Err(ClientError::answered(502, Some(problem)).into()),
    }
}

async fn scan(name: &ConnectionName, api: &Api, out: &Out) -> Result {
    let result = out.waiting(&format!("Agent and target of {name}"), api.scan_connection(name)).await?;
    out.data(&result, |result| scanned(name, result))?;
    match result.problem {
        None => Ok(()),
        Some(problem) => Err(ClientError::answered(502, Some(problem)).into()),
    }
}

fn scanned(name: &ConnectionName, result: &ConnectionScan) -> String {
    let mut table = Table::new(["COLUMN", "TYPE", "KIND", "BY NAME", "VALUES"]);
    let mut rule = String::new();
    for found in &result.findings {
        let column = format!("{}.{}.{}", found.schema, found.table, found.column);
        let by_name = if found.by_name { "yes" } else { "" };
        let values = format!("{} of {}", found.hits, found.rows);
        table.row([&*column, &found.type_name, &found.kind, by_name, &values]);
        // As JSON it is YAML, whatever stands in a name.
        rule += &format!("    - {{columns: [{}], kind: {}}}\n", json!(column), found.kind);
    }
    let more =
        if result.partial { "; there is more that was not looked at or could not be read" } else { "" };
    let count = format!(
        "{} of {} columns of {name} seem to hold personal data{more}.",
        result.findings.len(),
        result.columns
    );
    if result.findings.is_empty() {
        return count;
    }
    format!(
        "{}\n{count}\nWhat is right of it goes into the access rule:\n\n  masking:\n    columns:\n{}",
        table.render(),
        rule.replace("    - ", "      - ")
    )
}

fn tested(name: &ConnectionName, result: &ConnectionTest) -> String {
    let mut table = Table::new(["STEP", "RESULT", "TIME"]);
    for step in &result.steps {
        table.row([
            &*step.name,
            "ok",
            &format!("{:.1} ms", Duration::from_micros(step.micros).as_secs_f64() * 1e3),
        ]);
    }
    if let Some(failed) = &result.failed_step {
        table.row([&**failed, "failed", ""]);
    }
    let mut lines = vec![table.render()];
    lines.extend(result.tls.as_ref().map(|tls| format!("{}, {}", tls.version, tls.cipher)));
    lines.extend(result.tls.as_ref().and_then(|tls| tls.certificate.clone()));
    lines.extend(result.server_version.as_ref().map(|version| format!("{name} works: {version}")));
    lines.iter().map(|line| text::block(line).into_owned()).collect::<Vec<_>>().join("\n")
}

async fn definition(api: &Api, name: &ConnectionName) -> Result<ConnectionDefinition> {
    let page = api.connections(true).await?;
    let found = page.items.into_iter().find(|item| item.name == *name).and_then(|item| item.definition);
    Ok(found.ok_or_else(|| {
        ClientError::denied("HOOP-1020", format!("there is no connection {name}, or you may not see it"))
            .hint("see `hoop admin connections ls`")
    })?)
}

async fn put(args: &PutConnection, api: &Api, out: &Out) -> Result {
    let wanted = parse_definition(&file::read_text(&args.file)?, &args.file)?;
    let view = api.put_connection(&args.name, &wanted).await?;
    out.data(&view, |view| connections::table(std::slice::from_ref(view)))?;
    Ok(())
}

/// JSON if it begins with a brace, else TOML.
fn parse_definition(text: &str, path: &Path) -> Result<ConnectionDefinition> {
    let parsed = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| error.to_string())
    } else {
        toml::from_str(text).map_err(|error| error.to_string())
    };
    Ok(parsed.map_err(|error| {
        ClientError::usage("HOOP-1016", format!("{} is no connection: {}", path.display(), error.trim_end()))
            .hint("`hoop admin connections put --help` shows one")
    })?)
}

async fn seal(args: &Seal, api: &Api, out: &Out) -> Result {
    let agent = match &args.agent {
        Some(agent) => agent.clone(),
        None => definition(api, &args.connection).await?.agent,
    };
    let key = sealing_key(api, &agent).await?;
    let secret = prompt::secret("Credential:")?;
    if secret.expose().is_empty() {
        return Err(ClientError::usage("HOOP-1015", "an empty credential cannot be meant").into());
    }
    let sealed = hoop_control::seal::seal(&secret, &key, args.connection.as_str()).map_err(|_| {
        ClientError::own("HOOP-1021", format!("the key of agent {agent} cannot be used for sealing"))
    })?;
    let source = format!("sealed:{sealed}");
    out.data(&json!({ "connection": args.connection, "agent": agent, "source": source }), |_| {
        source.clone()
    })?;
    if !out.is_json() {
        out.note(format!("Only agent {agent} can read it, and only for connection {}.", args.connection));
    }
    Ok(())
}

async fn sealing_key(api: &Api, name: &AgentName) -> Result<Vec<u8>> {
    let page = api.agents().await?;
    let agent = page.items.into_iter().find(|agent| agent.name == *name).ok_or_else(|| {
        ClientError::denied("HOOP-1020", format!("there is no agent {name}, or you may not see it"))
            .hint("see `hoop admin agents ls`")
    })?;
    Ok(STANDARD.decode(&agent.sealing_key).map_err(|_| {
        ClientError::own("HOOP-1021", format!("the key of agent {name} cannot be read"))
            .hint("has it enrolled completely?")
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOML: &str = "agent = 'dc1'\nprotocol = 'postgres'\n[labels]\nenv = 'prod'\n[settings]\nhost = 'db'\nport = 5432\n";

    #[test]
    fn a_definition_is_read_from_toml_and_json_and_shown_as_it_is_read() {
        let definition = parse_definition(TOML, Path::new("x")).unwrap();
        assert_eq!(definition.settings, json!({"host": "db", "port": 5432}));
        let shown = toml::to_string_pretty(&definition).unwrap();
        assert_eq!(parse_definition(&shown, Path::new("x")).unwrap(), definition);
        let shown = serde_json::to_string(&definition).unwrap();
        assert_eq!(parse_definition(&shown, Path::new("x")).unwrap(), definition);
    }

    #[test]
    fn a_wrong_definition_says_where() {
        for (wrong, part) in
            [("agent = 3", "line 1"), ("", "agent"), ("{\"agent\":", "EOF"), ("nonsense = 1\n", "nonsense")]
        {
            let failure = parse_definition(wrong, Path::new("pg.toml")).unwrap_err();
            assert_eq!(failure.code(), 2);
            let crate::failure::Failure::Error(error) = failure else { panic!() };
            assert!(error.to_string().contains("pg.toml") && error.to_string().contains(part), "{error}");
        }
    }
}
