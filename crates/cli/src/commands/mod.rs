//! One file a command. Each takes parsed arguments and prints; what there is to know is in [`hoop_client`].

mod account;
mod admin;
mod api_token;
mod audit;
mod connect;
mod connections;
mod copies;
mod decrypt;
mod devices;
mod emergency;
mod exec;
mod file;
mod findings;
mod holds;
pub(crate) mod kube;
mod login;
mod opening;
mod people;
mod policy;
mod proofs;
mod recording_keys;
mod requests;
mod rules;
mod sealed_codes;
mod search;
mod services;
mod sessions;
mod ssh;
mod statement;
mod step_up;
mod verify;

use clap::CommandFactory as _;
use hoop_client::{Api, ProfileStore};

use crate::{
    args::{Cli, Command},
    failure::Result,
    output::Out,
};

/// Does what was asked.
pub(crate) async fn run(cli: Cli, out: &Out) -> Result {
    match cli.command {
        Command::Login(args) => login::login(args, out).await,
        Command::Logout(args) => account::logout(&args, out).await,
        Command::StepUp(args) => step_up::step_up(&args, out).await,
        Command::Devices(command) => devices::devices(command, out).await,
        Command::RecoveryCodes(command) => devices::recovery_codes(command, out).await,
        Command::Whoami(_) => account::whoami(out).await,
        Command::Status(_) => account::status(out).await,
        Command::Ls(args) => connections::ls(args.all, out).await,
        Command::Connect(args) => Box::pin(connect::connect(args, out)).await,
        Command::Ssh(args) => ssh::ssh(args),
        Command::SshConfig(args) => ssh::config(args, out).await,
        Command::Kube(command) => Box::pin(kube::run(command, out)).await,
        Command::Exec(args) => Box::pin(exec::exec(args, out)).await,
        Command::Request(args) => requests::ask(args, out).await,
        Command::Requests { list, command } => requests::run(command, &list, out).await,
        Command::BreakGlass(args) => requests::break_glass(args, out).await,
        Command::Sessions(command) => Box::pin(sessions::run(command, out)).await,
        Command::Audit(command) => Box::pin(audit::run(command, out)).await,
        Command::Policy(command) => policy::run(command, out),
        Command::Admin(command) => Box::pin(admin::run(command, out)).await,
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "hoop", &mut script);
            Ok(out.line(String::from_utf8_lossy(&script).trim_end())?)
        }
    }
}

/// The gateway, asked as the service account whose token is in the environment, or else as whoever is signed in. When it wants a fresh second factor, the person is asked for it.
fn api() -> Result<Api> {
    if let Some(api) = api_token::api()? {
        return Ok(api);
    }
    Ok(Api::signed_in(ProfileStore::from_environment()?)?.with_step_up(step_up::AtTheTerminal))
}
