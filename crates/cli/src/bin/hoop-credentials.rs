//! The credential plugin by itself: kubectl runs it first, each time, and waits.
//!
//! It takes the words of `hoop` and answers `kube credentials NAME` while the tunnel runs: reads two small files and is done. Whatever
//! else is asked or in the way is for the `hoop` beside it, which takes this process over. To start the whole command takes three times
//! as long.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    path::Path,
    process::{Command, ExitCode},
};

use hoop_client::{ProfileStore, kube::KubeFolder};
use hoop_model::{ConnectionName, Redacted};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().skip(1).collect();
    let Some(answer) = answer(&words) else { return hand_over(&words) };
    match writeln!(io::stdout(), "{}", answer.expose()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// None, if it is another question or there is no tunnel.
fn answer(words: &[OsString]) -> Option<Redacted<String>> {
    let [kube, credentials, name] = words else { return None };
    if kube != "kube" || credentials != "credentials" {
        return None;
    }
    let name = ConnectionName::new(name.to_str()?).ok()?;
    let running = KubeFolder::of(ProfileStore::from_environment().ok()?).tunnel(&name).running().ok()??;
    running.credential.answer(std::env::var("KUBERNETES_EXEC_INFO").ok().as_deref()).ok()
}

fn hand_over(words: &[OsString]) -> ExitCode {
    let hoop =
        std::env::current_exe().map(|me| me.with_file_name(format!("hoop{}", std::env::consts::EXE_SUFFIX)));
    let ended = hoop.and_then(|hoop| become_it(&hoop, words).map_err(|error| naming(&hoop, &error)));
    ended.unwrap_or_else(|error| {
        let _ = writeln!(
            io::stderr(),
            "error: {error} (HOOP-1016)\nhint: install hoop and hoop-credentials in one folder"
        );
        ExitCode::FAILURE
    })
}

fn naming(hoop: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{} does not start: {error}", hoop.display()))
}

/// Comes back with an error only.
#[cfg(unix)]
fn become_it(hoop: &Path, words: &[OsString]) -> io::Result<ExitCode> {
    use std::os::unix::process::CommandExt as _;
    Err(Command::new(hoop).args(words).exec())
}

#[cfg(not(unix))]
fn become_it(hoop: &Path, words: &[OsString]) -> io::Result<ExitCode> {
    let status = Command::new(hoop).args(words).status()?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
