//! Starts a program: its streams, its keeper, and what hears of its end.

use std::{
    io,
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    process::Stdio,
    time::Duration,
};

use hoop_engine::{
    hosted::ByteStream,
    program::{Ended, Program, ProgramEnd, ProgramOrder, Reins, Run, TerminalOrder, TerminalSize},
};
use hoop_model::{Blame, Fault};
use rustix::{
    io::ioctl_fionbio,
    process::Signal,
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{InputModes, OptionalActions, Winsize, tcgetattr, tcsetattr, tcsetwinsize},
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines},
    net::unix::{OwnedReadHalf, pipe},
    process::{Child, Command},
    sync::{mpsc, oneshot},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    accounts::Person,
    keeper::{KEEPER, OWN_BINARY},
    streams::{FromProgram, ToProgram},
    wire::{Launch, Told},
};

/// From the order to the program.
const LONGEST_START: Duration = Duration::from_secs(10);
/// A keeper that was let go of ends within this, or is left to itself.
const LONGEST_END: Duration = Duration::from_secs(10);
/// Signals that may wait.
const SIGNALS: usize = 16;
/// Where programs are looked for.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
const ROOTS_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Starts what is ordered, as this account. Dropping the future leaves nothing behind.
pub(super) async fn start(
    person: Person,
    order: ProgramOrder,
    tasks: TaskTracker,
    over: CancellationToken,
) -> Result<Program, Fault> {
    let launch = launch(&person, &order);
    let (ends, theirs) = streams(order.terminal.as_ref()).map_err(|error| not_started(&error.kind()))?;
    let (control, keeper) = order_it(launch, theirs).await?;
    let (read, mut write) = control.into_split();
    let mut lines = BufReader::new(read).lines();
    match tokio::time::timeout(LONGEST_START, next(&mut lines)).await {
        Ok(Some(Told::Started)) => {}
        Ok(Some(Told::Failed { what })) => return Err(not_started(&what)),
        Ok(Some(Told::Over { .. }) | None) => return Err(lost()),
        Err(_) => {
            return Err(not_started(&format!("nothing was heard of it for {} s", LONGEST_START.as_secs())));
        }
    }
    let (signals, mut sent) = mpsc::channel::<u8>(SIGNALS);
    let (tell, told) = oneshot::channel();
    tasks.spawn(async move {
        let end = loop {
            tokio::select! {
                biased;
                () = over.cancelled() => break None,
                end = next(&mut lines) => break end,
                signal = sent.recv() => match signal {
                    // One that has ended meanwhile says so by its last line.
                    Some(signal) => drop(write.write_all(&[signal]).await),
                    None => break None,
                },
            }
        };
        let _ = tell.send(end);
        drop(write);
        wait_for(keeper, lines).await;
    });
    let Ends { input, output, errors, near } = ends;
    let end = Box::pin(async move {
        let Ok(Some(Told::Over { status, signal, core_dumped, left, alive })) = told.await else {
            return Err(lost());
        };
        if alive > 0 {
            tracing::warn!(alive, "processes of a program could not be ended");
        }
        let how = match (status, signal) {
            (Some(status), _) => Ended::Status(status),
            (None, Some(number)) => Ended::Signal { name: name_of(number), core_dumped },
            (None, None) => return Err(lost()),
        };
        Ok(ProgramEnd { how, left })
    });
    Ok(Program { input, output, errors, reins: Box::new(Hold { signals, near }), end })
}

fn not_started(what: &dyn std::fmt::Display) -> Fault {
    Fault::new(
        "HOOP-5043",
        Blame::System,
        format!("the program was not started on the agent's machine: {what}"),
    )
    .with_hint(
        "an admin looks at the connection's user, folder and command, and at what the agent may become",
    )
}

fn lost() -> Fault {
    Fault::new(
        "HOOP-5044",
        Blame::System,
        "the agent lost hold of the program on its machine, which has ended",
    )
    .with_hint("the process that keeps it was ended from outside; the machine's own log may say by whom")
}

/// What the starter is told.
fn launch(person: &Person, order: &ProgramOrder) -> Launch {
    let shell = person.shell.as_str();
    let base = shell.rsplit('/').next().unwrap_or(shell);
    let words = match &order.run {
        Run::Shell => vec![shell.into(), format!("-{base}").into()],
        Run::Text(text) => vec![shell.into(), base.into(), b"-c".to_vec(), text.to_vec()],
        Run::Words(words) => {
            let file = words.first().cloned().unwrap_or_default();
            std::iter::once(&file).chain(words).map(|word| word.clone().into_bytes()).collect()
        }
    };
    let path = if person.numbers.uid == 0 { ROOTS_PATH } else { PATH };
    let own = [
        ("HOME", person.home.as_str()),
        ("USER", &person.name),
        ("LOGNAME", &person.name),
        ("SHELL", shell),
        ("PATH", path),
    ];
    let terminal = order.terminal.as_ref().map(|terminal| ("TERM", terminal.name.as_str()));
    // What stands first is what the client brought: it does not replace what is the account's.
    let brought = order.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let variables =
        brought.chain(own).chain(terminal).map(|(name, value)| format!("{name}={value}").into_bytes());
    Launch {
        become_whom: person.numbers.clone(),
        has_terminal: order.terminal.is_some(),
        may_gain: order.may_gain,
        folder: order.folder.as_ref().unwrap_or(&person.home).clone().into_bytes(),
        variables: variables.collect(),
        words,
    }
}

/// The agent's ends.
struct Ends {
    input: Box<dyn ByteStream>,
    output: Box<dyn ByteStream>,
    errors: Option<Box<dyn ByteStream>>,
    near: Option<OwnedFd>,
}

type Theirs = [OwnedFd; 3];

fn streams(terminal: Option<&TerminalOrder>) -> io::Result<(Ends, Theirs)> {
    let Some(terminal) = terminal else {
        let (input, to_program) = io::pipe()?;
        let (from_program, output) = io::pipe()?;
        let (complaints, errors) = io::pipe()?;
        let ends = Ends {
            input: Box::new(ToProgram(pipe::Sender::from_owned_fd(to_program.into())?)),
            output: Box::new(FromProgram(pipe::Receiver::from_owned_fd(from_program.into())?)),
            errors: Some(Box::new(FromProgram(pipe::Receiver::from_owned_fd(complaints.into())?))),
            near: None,
        };
        return Ok((ends, [input.into(), output.into(), errors.into()]));
    };
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let near = openpt(flags)?;
    grantpt(&near)?;
    unlockpt(&near)?;
    let far = ioctl_tiocgptpeer(&near, flags)?;
    // Letters are more than bytes, also where one is rubbed out.
    let mut modes = tcgetattr(&far)?;
    modes.input_modes |= InputModes::IUTF8;
    tcsetattr(&far, OptionalActions::Now, &modes)?;
    tcsetwinsize(&near, window(terminal.size))?;
    ioctl_fionbio(&near, true)?;
    let ends = Ends {
        input: Box::new(ToProgram(pipe::Sender::from_owned_fd_unchecked(near.try_clone()?)?)),
        output: Box::new(FromProgram(pipe::Receiver::from_owned_fd_unchecked(near.try_clone()?)?)),
        errors: None,
        near: Some(near),
    };
    let theirs = [far.try_clone()?, far.try_clone()?, far];
    Ok((ends, theirs))
}

fn window(size: TerminalSize) -> Winsize {
    let figure = |value: u32| u16::try_from(value).unwrap_or(u16::MAX);
    Winsize {
        ws_row: figure(size.rows),
        ws_col: figure(size.columns),
        ws_xpixel: figure(size.pixels.0),
        ws_ypixel: figure(size.pixels.1),
    }
}

/// Starts a keeper and gives it the order. Neither its environment nor its folder is the agent's.
async fn order_it(launch: Launch, theirs: Theirs) -> Result<(tokio::net::UnixStream, Child), Fault> {
    let ordering = tokio::task::spawn_blocking(move || -> io::Result<_> {
        let (ours, keepers) = UnixStream::pair()?;
        let mut command = Command::new(OWN_BINARY);
        command.arg0("hoop-agent").arg(KEEPER).env_clear().current_dir("/").process_group(0);
        command.stdin(Stdio::from(OwnedFd::from(keepers))).stdout(Stdio::null()).stderr(Stdio::null());
        let keeper = command.spawn()?;
        // What is in it is not the keeper's alone any more: here it is closed when this is done.
        drop(command);
        let [input, output, errors] = &theirs;
        ours.set_write_timeout(Some(LONGEST_START))?;
        launch.send(&ours, [input.as_fd(), output.as_fd(), errors.as_fd()])?;
        ours.set_nonblocking(true)?;
        Ok((tokio::net::UnixStream::from_std(ours)?, keeper))
    });
    match ordering.await {
        Ok(Ok(ordered)) => Ok(ordered),
        Ok(Err(error)) => Err(not_started(&error)),
        Err(_) => Err(lost()),
    }
}

async fn next(lines: &mut Lines<BufReader<OwnedReadHalf>>) -> Option<Told> {
    let line = lines.next_line().await.ok()??;
    serde_json::from_str(&line).ok()
}

/// The keeper has been let go of: it ends what is left, and itself.
async fn wait_for(mut keeper: Child, mut lines: Lines<BufReader<OwnedReadHalf>>) {
    let ending = async {
        while let Some(told) = next(&mut lines).await {
            if let Told::Over { alive: alive @ 1.., .. } = told {
                tracing::warn!(alive, "processes of a program could not be ended");
            }
        }
        keeper.wait().await
    };
    if tokio::time::timeout(LONGEST_END, ending).await.is_err() {
        tracing::warn!("the keeper of a program does not end");
    }
}

/// What holds a program. Dropped, it lets go.
struct Hold {
    signals: mpsc::Sender<u8>,
    near: Option<OwnedFd>,
}

/// Signals that a client may send, by their names (RFC 4254 §6.10), and those that programs die of.
const NAMES: [(&str, Signal); 18] = [
    ("ABRT", Signal::ABORT),
    ("ALRM", Signal::ALARM),
    ("FPE", Signal::FPE),
    ("HUP", Signal::HUP),
    ("ILL", Signal::ILL),
    ("INT", Signal::INT),
    ("KILL", Signal::KILL),
    ("PIPE", Signal::PIPE),
    ("QUIT", Signal::QUIT),
    ("SEGV", Signal::SEGV),
    ("TERM", Signal::TERM),
    ("USR1", Signal::USR1),
    ("USR2", Signal::USR2),
    ("BUS", Signal::BUS),
    ("TRAP", Signal::TRAP),
    ("SYS", Signal::SYS),
    ("XCPU", Signal::XCPU),
    ("XFSZ", Signal::XFSZ),
];

fn name_of(number: i32) -> String {
    let known = NAMES.iter().find(|(_, signal)| signal.as_raw() == number);
    known.map_or_else(|| number.to_string(), |(name, _)| (*name).to_owned())
}

impl Reins for Hold {
    fn signal(&self, name: &str) {
        let known = NAMES.iter().find(|(known, _)| *known == name);
        if let Some(number) = known.and_then(|(_, signal)| u8::try_from(signal.as_raw()).ok()) {
            let _ = self.signals.try_send(number);
        }
    }

    fn resize(&self, size: TerminalSize) {
        if let Some(near) = &self.near {
            let _ = tcsetwinsize(near, window(size));
        }
    }
}
