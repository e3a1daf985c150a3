//! `hoop-gateway`: reads the configuration, runs, drains.

#![expect(clippy::print_stdout, reason = "its commands answer on standard output")]

use std::{io::Read as _, path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context as _, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, parser::ValueSource};
use hoop_gateway::{
    Gateway, backup, bootstrap,
    config::{
        Config, Layers, Origin,
        options::{Kind, OPTIONS},
    },
};
use hoop_ledger::CheckpointKey;
use hoop_model::{AgentName, GroupName, Redacted, Role, UserName};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const JOIN_LIFE: Duration = Duration::from_secs(3600);
/// Open files wanted: each session has several connections.
const FILES: u64 = 65_536;

fn main() -> ExitCode {
    match run(&command().get_matches()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "logs may not be set up")]
            {
                eprintln!("hoop-gateway: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

fn path(name: &'static str, required: bool) -> Arg {
    Arg::new(name).long(name).value_name("FILE").required(required).value_parser(clap::value_parser!(PathBuf))
}

fn command() -> Command {
    let json = || Arg::new("json").long("json").action(ArgAction::SetTrue).help("Answer as one JSON object");
    let user_add = Command::new("add")
        .about("Makes a built-in account that can sign in at once, and shows its second factor's secret")
        .arg(Arg::new("name").required(true))
        .arg(
            Arg::new("role")
                .long("role")
                .default_value("user")
                .value_parser(["user", "approver", "auditor", "admin"]),
        )
        .arg(
            Arg::new("groups")
                .long("groups")
                .value_delimiter(',')
                .num_args(0..)
                .help("Groups, comma-separated"),
        )
        .arg(
            Arg::new("password-stdin")
                .long("password-stdin")
                .action(ArgAction::SetTrue)
                .help("Read the password from standard input; without this one is made"),
        )
        .arg(json());
    let join_token = Command::new("join-token")
        .about("Makes a one-use token with which an agent of this name enrols")
        .arg(Arg::new("agent").required(true))
        .arg(json());
    let backup_key = Command::new("backup-key")
        .about("Makes the pair of keys for backups: keep the private half away from this host")
        .arg(path("private", true).help("File for the private half; it must not be there"));
    let backup = Command::new("backup")
        .about("Writes the gateway's whole state to one encrypted file, while it runs")
        .arg(path("to", true).help("File for the backup; it must not be there"))
        .arg(path("to-key", false).help("Public key (PEM) to encrypt for; keys/backup.pub.pem in data_dir if left away"))
        .arg(Arg::new("with-keys").long("with-keys").action(ArgAction::SetTrue).help(
            "Add the master key and the recording keys that lie in files: whoever can read the backup then has all",
        ))
        .arg(json());
    let restore = Command::new("restore")
        .about("Checks a backup, and restores it into a new folder")
        .arg(path("from", true).help("The backup"))
        .arg(path("key", true).help("Private half of its key, PEM"))
        .arg(path("into", true).help("Folder for the new data_dir; not there, or empty"))
        .arg(Arg::new("store").long("store").value_name("URL").help(
            "Restore the rows into this empty database (postgres://…, env:NAME, file:PATH) instead of SQLite in the folder",
        ))
        .arg(Arg::new("ledger-key").long("ledger-key").value_name("KEY").help(
            "The key that signs the gateway's ledger (`hoop audit checkpoint` shows it), or a file that holds it",
        ))
        .arg(Arg::new("accept-unproven").long("accept-unproven").action(ArgAction::SetTrue).help(
            "Also when nothing shows whose gateway it was made by: no --ledger-key, or no checkpoint that it signed",
        ))
        .arg(Arg::new("accept-findings").long("accept-findings").action(ArgAction::SetTrue).help(
            "Also when what was backed up was not as it should be",
        ))
        .arg(json());
    let config = Command::new("config")
        .about("Looks at the configuration")
        .subcommand_required(true)
        .subcommand(Command::new("check").about("Says what is wrong with it, and where"))
        .subcommand(Command::new("show").about("Shows every option, its value, and where that came from"));
    let command = Command::new("hoop-gateway")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The gateway of hoop: identity, policy, grants, ledger, recordings, relay")
        .arg(
            Arg::new("config")
                .long("config")
                .value_name("FILE")
                .global(true)
                .env("HOOP_GATEWAY_CONFIG")
                .help("Configuration file, TOML"),
        )
        .subcommand(Command::new("serve").about("Runs the gateway (the default)"))
        .subcommand(
            Command::new("user")
                .about("Accounts, from the gateway's own host")
                .subcommand_required(true)
                .subcommand(user_add),
        )
        .subcommand(join_token)
        .subcommand(backup_key)
        .subcommand(backup)
        .subcommand(restore)
        .subcommand(config)
        .subcommand(Command::new("openapi").about("Prints the OpenAPI document of the API"))
        .subcommand(Command::new("options").about("Prints docs/CONFIG.md"));
    OPTIONS.iter().fold(command, |command, option| {
        let kind = match option.kind {
            Kind::Path => "PATH",
            Kind::Address => "ADDRESS:PORT",
            _ => "VALUE",
        };
        // The command line is built once, and lives as long as the process.
        let flag: &'static str = Box::leak(option.flag().into_boxed_str());
        command.arg(
            Arg::new(option.key)
                .long(flag)
                .value_name(kind)
                .help(option.doc)
                .global(true)
                .hide_short_help(true),
        )
    })
}

fn layers(matches: &ArgMatches) -> anyhow::Result<Layers> {
    let mut layers = Layers::default();
    if let Some(path) = matches.get_one::<String>("config") {
        layers.read_file(&PathBuf::from(path))?;
    }
    layers.read_environment(std::env::vars())?;
    for option in OPTIONS {
        if matches.value_source(option.key) == Some(ValueSource::CommandLine)
            && let Some(text) = matches.get_one::<String>(option.key)
        {
            layers.set(option.key, text, Origin::Flag(option.flag()))?;
        }
    }
    Ok(layers)
}

fn run(matches: &ArgMatches) -> anyhow::Result<()> {
    let leaf = innermost(matches);
    match matches.subcommand() {
        Some(("openapi", _)) => {
            println!("{}", hoop_gateway::openapi_json());
            return Ok(());
        }
        Some(("options", _)) => {
            print!("{}", hoop_gateway::config::options::markdown());
            return Ok(());
        }
        _ => {}
    }
    hoop_telemetry::forbid_core_dumps()?;
    let layers = layers(leaf)?;
    let config = Config::from_layers(&layers)?;
    // One provider for everything that speaks TLS in this process.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match matches.subcommand() {
        None | Some(("serve", _)) => serve(config),
        Some(("user", _)) => small_runtime()?.block_on(user_add(&config, leaf)),
        Some(("join-token", _)) => small_runtime()?.block_on(join_token(&config, leaf)),
        Some(("backup-key", _)) => backup_key(&config, leaf),
        Some(("backup", _)) => small_runtime()?.block_on(make_backup(&config, leaf)),
        Some(("restore", _)) => small_runtime()?.block_on(restore(leaf)),
        Some(("config", config)) => show_config(&layers, config.subcommand_name() == Some("show")),
        Some((other, _)) => bail!("there is no command {other}"),
    }
}

fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, inner)| innermost(inner))
}

fn show_config(layers: &Layers, show: bool) -> anyhow::Result<()> {
    if !show {
        println!("the configuration is good");
        return Ok(());
    }
    for (option, raw) in layers.iter() {
        // A URL may carry a password.
        let text =
            if option.key == "store.url" && raw.text.contains('@') { "(set)" } else { raw.text.as_str() };
        println!("{:<36} {:<40} # {}", option.key, format!("{text:?}"), raw.origin);
    }
    for (key, line, origin) in layers.list_lines() {
        println!("{key:<36} {:<40} # {origin}", format!("{line:?}"));
    }
    Ok(())
}

fn small_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

async fn user_add(config: &Config, matches: &ArgMatches) -> anyhow::Result<()> {
    let text = |key: &str| matches.get_one::<String>(key).cloned().unwrap_or_default();
    let role = match text("role").as_str() {
        "admin" => Role::Admin,
        "auditor" => Role::Auditor,
        "approver" => Role::Approver,
        _ => Role::User,
    };
    let groups = matches.get_many::<String>("groups").into_iter().flatten().filter(|group| !group.is_empty());
    let groups = groups.map(|group| GroupName::new(group.as_str())).collect::<Result<Vec<_>, _>>()?;
    let password = matches.get_flag("password-stdin").then(read_password).transpose()?;
    let added = bootstrap::add_user(config, UserName::new(text("name"))?, role, groups, password).await?;
    let generated = added.generated_password.as_ref().map(|password| password.expose().clone());
    if matches.get_flag("json") {
        let answer = serde_json::json!({
            "id": added.id, "name": added.name, "password": generated, "totp_secret": added.totp_secret.expose(),
            "otpauth_url": added.otpauth_url.expose(),
        });
        println!("{answer}");
        return Ok(());
    }
    println!("{} can sign in now.", added.name);
    if let Some(password) = generated {
        println!("password     {password}");
    }
    println!("TOTP secret  {}", added.totp_secret.expose());
    println!("             {}", added.otpauth_url.expose());
    println!("Neither is shown again.");
    Ok(())
}

fn read_password() -> anyhow::Result<Redacted<String>> {
    let mut text = String::new();
    std::io::stdin()
        .take(4096)
        .read_to_string(&mut text)
        .context("the password cannot be read from standard input")?;
    Ok(Redacted::new(text.trim_end_matches(['\r', '\n']).to_owned()))
}

async fn join_token(config: &Config, matches: &ArgMatches) -> anyhow::Result<()> {
    let agent = matches.get_one::<String>("agent").cloned().unwrap_or_default();
    let added = bootstrap::join_token(config, &AgentName::new(agent)?, JOIN_LIFE).await?;
    if matches.get_flag("json") {
        println!("{}", serde_json::json!({ "token": added.token.expose(), "expires_at": added.expires_at }));
    } else {
        println!("{}", added.token.expose());
    }
    Ok(())
}

fn file(matches: &ArgMatches, name: &str) -> PathBuf {
    matches.get_one::<PathBuf>(name).cloned().unwrap_or_default()
}

fn backup_key(config: &Config, matches: &ArgMatches) -> anyhow::Result<()> {
    let private = file(matches, "private");
    let key = backup::make_key(&config.data_dir, &private)?;
    println!(
        "Backups are for key {key}. Take {} to where this host is not, and keep a copy.",
        private.display()
    );
    Ok(())
}

async fn make_backup(config: &Config, matches: &ArgMatches) -> anyhow::Result<()> {
    let (to, key) = (file(matches, "to"), matches.get_one::<PathBuf>("to-key"));
    let made = backup::make(config, &to, key.map(PathBuf::as_path), matches.get_flag("with-keys")).await?;
    let counts = made.counts;
    if matches.get_flag("json") {
        println!(
            "{}",
            serde_json::json!({
                "key": made.key, "ledger_key": made.ledger_key, "bytes": made.bytes, "counts": counts,
            })
        );
        return Ok(());
    }
    println!(
        "{}: {} bytes for key {}: {} rows, {} recordings, {} key files",
        to.display(),
        made.bytes,
        made.key,
        counts.rows,
        counts.recordings,
        counts.keys
    );
    println!("Keep this elsewhere; restoring asks for it: --ledger-key {}", made.ledger_key);
    Ok(())
}

/// The key itself, or a file that holds it.
fn ledger_key(text: &str) -> anyhow::Result<CheckpointKey> {
    if let Ok(key) = text.trim().parse() {
        return Ok(key);
    }
    let held = std::fs::read_to_string(text).with_context(|| format!("--ledger-key: {text}"))?;
    let key = held.lines().find_map(|line| line.trim().parse().ok());
    key.with_context(|| format!("--ledger-key: {text} holds no verifier key"))
}

async fn restore(matches: &ArgMatches) -> anyhow::Result<()> {
    let store =
        matches.get_one::<String>("store").map(|url| hoop_gateway::config::secret(url)).transpose()?;
    let wanted = backup::Restore {
        from: file(matches, "from"),
        key: file(matches, "key"),
        into: file(matches, "into"),
        store,
        ledger_key: matches.get_one::<String>("ledger-key").map(|text| ledger_key(text)).transpose()?,
        accept_unproven: matches.get_flag("accept-unproven"),
        accept_findings: matches.get_flag("accept-findings"),
    };
    let checked = backup::restore(&wanted).await?;
    let counts = checked.counts;
    if matches.get_flag("json") {
        let answer = serde_json::json!({
            "counts": counts, "ledger": checked.ledger, "checkpoint": checked.checkpoint,
            "signed_by": checked.signed_by, "findings": checked.findings,
        });
        println!("{answer}");
        return Ok(());
    }
    let into = wanted.into.display();
    println!("{into}: {} rows, {} recordings, {} key files", counts.rows, counts.recordings, counts.keys);
    println!("The ledger has {} events. The backup is signed by {}.", checked.ledger, checked.signed_by);
    checked.findings.iter().for_each(|finding| println!("accepted: {finding}"));
    if counts.keys == 0 {
        println!(
            "The master key was not in the backup: lay it at {into}/keys/master.key before you start the gateway."
        );
    }
    Ok(())
}

fn serve(config: Config) -> anyhow::Result<()> {
    hoop_telemetry::start_logs(config.log_format, &config.log_level)?;
    raise_file_limit();
    let mut builder = match config.worker_threads {
        1 => tokio::runtime::Builder::new_current_thread(),
        threads => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(threads);
            builder
        }
    };
    let runtime = builder.enable_all().build()?;
    runtime.block_on(async {
        let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
        let running = Gateway::start(config).await?;
        tokio::select! {
            _ = terminate.recv() => {}
            outcome = tokio::signal::ctrl_c() => outcome?,
        }
        tracing::info!("stopping");
        running.shutdown().await;
        anyhow::Ok(())
    })
}

fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let now = getrlimit(Resource::Nofile);
    let wanted = now.maximum.map_or(FILES, |most| most.min(FILES));
    if now.current.is_some_and(|current| current < wanted)
        && let Err(error) =
            setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: now.maximum })
    {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}
