//! The keeper of one program: a process between the agent and the program, which outlives neither.
//!
//! ```text
//!   agent ── socket ── keeper ── socket ── starter ═ becomes ═▶ program
//! ```
//! What a program starts and leaves behind, also what detaches itself, becomes the keeper's child and not init's; so the keeper finds
//! all of it. When the program has ended, or the agent lets go of the socket, or is gone, it ends them.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    process::{
        Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, kill_process, kill_process_group,
        pidfd_open, set_child_subreaper, wait,
    },
};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use super::wire::{Launch, Told};

/// The first word by which this binary is run again as a keeper, and as a starter.
pub(super) const KEEPER: &str = "program-keeper";
pub(super) const STARTER: &str = "program-starter";
/// This binary, also after its file was replaced.
pub(super) const OWN_BINARY: &str = "/proc/self/exe";

/// Processes are asked to end, and have so long to do so.
const GRACE: Duration = Duration::from_millis(300);
/// Ending them for good takes no longer; what is alive then is told of.
const LONGEST_END: Duration = Duration::from_secs(5);
/// Between two looks at what is left.
const LOOK: Duration = Duration::from_millis(5);
/// What has ended is buried so often.
const BURY: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };
/// The same where nothing tells of a program's end.
const BURY_BLIND: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000_000 };

/// Keeps the program that is ordered over standard input.
///
/// # Errors
/// The agent is gone, or the machine has no more processes.
pub(super) fn keep() -> io::Result<()> {
    let agent = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (launch, streams) = Launch::receive(&agent)?;
    // Whoever stops the agent by a signal to all that is around it does not stop this before its work is done.
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::default())?;
    }
    set_child_subreaper(Some(getpid()))?;
    let program = match start(&launch, streams) {
        Ok(program) => program,
        Err(error) => return Told::Failed { what: error.to_string() }.say(&agent),
    };
    Told::Started.say(&agent)?;
    let status = watch(&agent, program)?;
    let (left, alive) = end_all(status.is_some());
    let how = status.as_ref();
    let told = Told::Over {
        status: how.and_then(|status| u32::try_from(status.exit_status()?).ok()),
        signal: how.and_then(|status| status.terminating_signal()),
        core_dumped: how.is_some_and(|status| status.as_raw() & 0x80 != 0 && status.signaled()),
        left,
        alive,
    };
    told.say(&agent)
}

/// Runs the starter, hands everything on to it, and waits until it has become the program.
fn start(launch: &Launch, streams: [OwnedFd; 3]) -> io::Result<Pid> {
    let (here, there) = UnixStream::pair()?;
    let starter = Command::new(OWN_BINARY)
        .arg0("hoop-agent")
        .arg(STARTER)
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(there)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let [input, output, errors] = &streams;
    launch.send(&here, [input.as_fd(), output.as_fd(), errors.as_fd()])?;
    drop(streams);
    // Its end of the socket closes when it becomes the program.
    let mut what = String::new();
    here.take(4096).read_to_string(&mut what)?;
    let pid = i32::try_from(starter.id()).ok().and_then(Pid::from_raw);
    match pid {
        Some(pid) if what.is_empty() => Ok(pid),
        _ => Err(io::Error::other(what)),
    }
}

/// Until the program has ended, and how; or until the agent lets go.
fn watch(agent: &UnixStream, program: Pid) -> io::Result<Option<WaitStatus>> {
    let ends = pidfd_open(program, PidfdFlags::empty()).ok();
    loop {
        let mut told = vec![PollFd::new(agent, PollFlags::IN)];
        told.extend(ends.as_ref().map(|ends| PollFd::new(ends, PollFlags::IN)));
        let most = if ends.is_some() { BURY } else { BURY_BLIND };
        match poll(&mut told, Some(&most)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let agent_says = told.first().is_some_and(|told| !told.revents().is_empty());
        while let Ok(Some((ended, status))) = wait(WaitOptions::NOHANG) {
            if ended == program {
                return Ok(Some(status));
            }
        }
        if agent_says && !obey(agent, program) {
            return Ok(None);
        }
    }
}

/// Whether the agent is still there. The program is not buried yet: its number is its own.
fn obey(mut agent: &UnixStream, program: Pid) -> bool {
    let mut signals = [0; 64];
    let Ok(count) = agent.read(&mut signals) else { return false };
    for signal in signals.iter().take(count).filter_map(|number| Signal::from_named_raw((*number).into())) {
        let _ = kill_process_group(program, signal);
    }
    count > 0
}

/// Ends whatever there is below this process. Answers how many the program had left, and how many are alive nevertheless.
fn end_all(by_itself: bool) -> (u32, u32) {
    let left = if by_itself { count(below()) } else { 0 };
    let begin = Instant::now();
    for pid in below() {
        let _ = kill_process(pid, Signal::HUP);
        let _ = kill_process(pid, Signal::CONT);
    }
    while begin.elapsed() < GRACE {
        if nothing_is_left() {
            return (left, 0);
        }
        std::thread::sleep(LOOK);
    }
    while begin.elapsed() < LONGEST_END {
        for pid in below() {
            let _ = kill_process(pid, Signal::KILL);
        }
        if nothing_is_left() {
            return (left, 0);
        }
        std::thread::sleep(LOOK);
    }
    (left, count(below()))
}

fn count(pids: Vec<Pid>) -> u32 {
    u32::try_from(pids.len()).unwrap_or(u32::MAX)
}

/// Buries what has ended. Whether that was the last.
fn nothing_is_left() -> bool {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(rustix::io::Errno::INTR) => {}
            Ok(None) => return false,
            Err(_) => return true,
        }
    }
}

/// Every process that descends from this one and has not ended.
fn below() -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let mut children: HashMap<i32, Vec<(i32, bool)>> = HashMap::new();
    for entry in entries.flatten() {
        let Ok(stat) = fs::read_to_string(entry.path().join("stat")) else { continue };
        if let Some((pid, parent, ended)) = read(&stat) {
            children.entry(parent).or_default().push((pid, ended));
        }
    }
    let (mut found, mut open) = (Vec::new(), vec![getpid().as_raw_nonzero().get()]);
    while let Some(parent) = open.pop() {
        for (pid, ended) in children.remove(&parent).unwrap_or_default() {
            open.push(pid);
            found.extend(Pid::from_raw(pid).filter(|_| !ended));
        }
    }
    found
}

/// Number, parent's number, and whether it has ended, of a line of `/proc/…/stat`. The name in it can be anything.
fn read(stat: &str) -> Option<(i32, i32, bool)> {
    let pid = stat.split_once(' ')?.0.parse().ok()?;
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let (state, parent) = (fields.next()?, fields.next()?.parse().ok()?);
    Some((pid, parent, matches!(state, "Z" | "X")))
}

/// Why a program was not started, for the keeper.
pub(super) fn tell(mut keeper: &UnixStream, error: &str) {
    let _ = keeper.write_all(error.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_cannot_hide_behind_its_name() {
        assert_eq!(read("12 (sh) S 3 12 12 0"), Some((12, 3, false)));
        assert_eq!(read("12 (a) Z 99 (b) R 3 12"), Some((12, 3, false)));
        assert_eq!(read("12 (a\n) R 1) Z 3 12"), Some((12, 3, true)));
        assert_eq!(read("12 sh S 3"), None);
        assert_eq!(read(""), None);
    }

    #[test]
    fn what_this_process_started_is_found_until_it_has_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = Pid::from_child(&child);
        assert!(below().contains(&pid));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!below().contains(&pid));
    }
}
