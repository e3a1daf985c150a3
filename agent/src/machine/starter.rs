//! The starter: a process that becomes the program. It takes on the program's streams, its terminal and its account, gives up all
//! else, and is replaced.

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    process::Command,
    sync::Arc,
};

use rustix::{
    fs::{Gid, Mode, Uid, fchown},
    process::{
        Signal, chdir, geteuid, getppid, ioctl_tiocsctty, set_parent_process_death_signal, setsid, umask,
    },
    stdio::{dup2_stderr, dup2_stdin, dup2_stdout},
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities, set_no_new_privs,
        set_thread_groups, set_thread_res_gid, set_thread_res_uid,
    },
};

use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH,
};

use super::{
    keeper,
    wire::{Account, Launch, os},
};

/// Signals that an agent may have been started to ignore, as `nohup` and shells have it. A program would ignore them, too.
const SIGNALS: [i32; 12] = [
    SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU, SIGUSR1, SIGUSR2, SIGWINCH,
];

/// Becomes the program that is ordered over standard input; comes back only if it cannot.
///
/// # Errors
/// The keeper is gone.
pub(super) fn start() -> io::Result<()> {
    // A copy that is closed when the program takes this process over: so the keeper knows.
    let keeper = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (launch, streams) = Launch::receive(&keeper)?;
    let error = match prepare(&launch, streams) {
        Ok(mut program) => Failure("it cannot be run", program.exec()),
        Err(failure) => failure,
    };
    keeper::tell(&keeper, &format!("{}: {}", error.0, error.1.kind()));
    Ok(())
}

/// What failed, and how.
struct Failure(&'static str, io::Error);

fn failed<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> Failure {
    move |error| Failure(what, error.into())
}

fn prepare(launch: &Launch, streams: [OwnedFd; 3]) -> Result<Command, Failure> {
    let parent = getppid();
    setsid().map_err(failed("it gets no session of its own"))?;
    // What is handled here does its usual work in the program that this process becomes.
    for signal in SIGNALS {
        signal_hook::flag::register(signal, Arc::default()).map_err(failed("its signals cannot be set"))?;
    }
    let [input, output, errors] = streams;
    if launch.has_terminal {
        // Who has no right to give it away leaves it: the program has it open all the same.
        let _ = fchown(&input, Some(Uid::from_raw(launch.become_whom.uid)), None);
        ioctl_tiocsctty(&input).map_err(failed("it gets no terminal"))?;
    }
    let streams = || -> rustix::io::Result<()> {
        dup2_stdin(&input)?;
        dup2_stdout(&output)?;
        dup2_stderr(&errors)
    };
    streams().map_err(failed("it gets no streams"))?;
    umask(Mode::WGRP | Mode::WOTH);
    become_account(&launch.become_whom).map_err(failed("the agent may not become that account"))?;
    if !launch.may_gain {
        set_no_new_privs(true).map_err(failed("it cannot be kept from gaining rights"))?;
    }
    // It ends with its keeper, also where that is killed. Asked for last: a change of account takes it back.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(failed("it cannot be tied to its keeper"))?;
    if getppid() != parent {
        return Err(Failure("its keeper is gone", io::ErrorKind::BrokenPipe.into()));
    }
    chdir(launch.folder.as_slice()).map_err(failed("it cannot begin in its folder"))?;
    let mut words = launch.words.iter().map(|word| os(word));
    let (file, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut program = Command::new(file);
    program.arg0(name).args(words).env_clear();
    for variable in &launch.variables {
        if let Some(at) = variable.iter().position(|byte| *byte == b'=') {
            let (name, value) = variable.split_at(at);
            program.env(os(name), os(value.get(1..).unwrap_or_default()));
        }
    }
    Ok(program)
}

/// This process has one thread, so what is a thread's is the process's. Nobody but root keeps a capability.
fn become_account(account: &Account) -> rustix::io::Result<()> {
    let (uid, gid) = (Uid::from_raw(account.uid), Gid::from_raw(account.gid));
    if geteuid() != uid || uid.is_root() {
        let groups: Vec<Gid> = account.groups.iter().map(|group| Gid::from_raw(*group)).collect();
        set_thread_groups(&groups)?;
        set_thread_res_gid(gid, gid, gid)?;
        set_thread_res_uid(uid, uid, uid)?;
    }
    if !uid.is_root() {
        clear_ambient_capability_set()?;
        let none = CapabilitySet::empty();
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    }
    Ok(())
}
