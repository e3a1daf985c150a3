//! The agent's own machine in the place of a host: a program that the engine's host starts, in the words of a channel.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use hoop_engine::{
    Event,
    hosted::{Doing, Host, Keep},
    program::{
        Ended, Program as AtMachine, ProgramEnd, ProgramOrder, Reins, Run, TerminalOrder, TerminalSize,
    },
};
use hoop_model::Fault;
use hoop_policy::Permit;
use hoop_recording::event::Said;
use russh::{ChannelMsg, Sig};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Mutex,
    time::timeout,
};

use crate::{
    fault,
    relay::STDERR,
    stream::Stream,
    upstream::{Program, Screen, signal_name},
};

/// Bytes read at once.
const PIECE: usize = 32 << 10;
/// Output of a program that has ended is waited for no longer.
const LINGER: Duration = Duration::from_secs(1);

/// What an engine needs to run programs there.
#[derive(Debug)]
pub(crate) struct MachineSettings {
    pub(crate) user: String,
    /// What runs, whatever a client asks for; without it, the user's shell or a text for it.
    pub(crate) command: Option<Vec<String>>,
    pub(crate) folder: Option<String>,
    pub(crate) may_gain: bool,
}

/// The machine, for the channels of one stream.
pub(crate) struct Machine {
    settings: Arc<MachineSettings>,
    host: Host,
}

impl Machine {
    pub(crate) const fn new(settings: Arc<MachineSettings>, host: Host) -> Self {
        Self { settings, host }
    }

    pub(crate) fn facts(&self) -> [(&'static str, String); 2] {
        [("host", "the agent's machine".to_owned()), ("user", self.settings.user.clone())]
    }

    /// The command that runs whatever a client asks for, as a shell would be told it.
    pub(crate) fn fixed(&self) -> Option<Bytes> {
        self.settings.command.as_ref().map(|words| told(words).into())
    }

    /// Starts a program: takes the proof that it may be.
    pub(crate) async fn start(
        &self,
        permit: Permit,
        program: &Program,
        screen: Option<&Screen>,
        variables: &[(String, String)],
    ) -> Result<(Output, Input), Fault> {
        let run = match (program, &self.settings.command) {
            (Program::Shell, Some(words)) => Run::Words(words.clone()),
            (Program::Shell, None) => Run::Shell,
            (Program::Command(text), None) => Run::Text(text.clone()),
            (Program::Command(_), Some(_)) => return Err(fault::fixed()),
            (Program::Subsystem(_), _) => return Err(fault::not_offered("this subsystem")),
        };
        let terminal = screen.map(|screen| TerminalOrder {
            name: String::from_utf8_lossy(&screen.terminal.name).replace('\0', ""),
            size: size(screen.terminal.columns, screen.terminal.rows, screen.pixels),
        });
        let order = ProgramOrder {
            user: self.settings.user.clone(),
            run,
            folder: self.settings.folder.clone(),
            variables: variables.to_vec(),
            terminal,
            may_gain: self.settings.may_gain,
        };
        let AtMachine { input, output, errors, reins, end } = self.host.start_program(permit, order).await?;
        let output = Output {
            output: Some(Stream(output)),
            errors: errors.map(Stream),
            end: Some(end),
            pieces: [vec![0; PIECE], vec![0; PIECE]],
            ended: None,
            told_end: false,
            host: self.host.clone(),
        };
        Ok((output, Input { input: Mutex::new(Some(Stream(input))), reins: Mutex::new(Some(reins)) }))
    }
}

fn size(columns: u32, rows: u32, pixels: (u32, u32)) -> TerminalSize {
    TerminalSize { columns, rows, pixels }
}

/// Words as a text that a shell would take apart into them again.
fn told(words: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    let quoted = |word: &String| match word {
        word if !word.is_empty() && word.chars().all(is_plain) => word.clone(),
        word => format!("'{}'", word.replace('\'', r"'\''")),
    };
    words.iter().map(quoted).collect::<Vec<_>>().join(" ")
}

/// What a program says, and how it ends.
pub(crate) struct Output {
    output: Option<Stream>,
    errors: Option<Stream>,
    end: Option<Doing<Result<ProgramEnd, Fault>>>,
    pieces: [Vec<u8>; 2],
    /// It has ended, and that is told next.
    ended: Option<ChannelMsg>,
    told_end: bool,
    host: Host,
}

impl Output {
    /// The next thing, in the order of a channel: output, its end, the program's end, and that all is over. Dropping the future loses
    /// nothing.
    pub(crate) async fn wait(&mut self) -> Option<ChannelMsg> {
        loop {
            if let Some(ended) = self.ended.take() {
                return Some(ended);
            }
            if self.output.is_none() && self.errors.is_none() {
                if !std::mem::replace(&mut self.told_end, true) {
                    return Some(ChannelMsg::Eof);
                }
                if self.end.is_none() {
                    return Some(ChannelMsg::Close);
                }
            }
            let [out, err] = &mut self.pieces;
            let (has_end, has_output, has_errors) =
                (self.end.is_some(), self.output.is_some(), self.errors.is_some());
            let next = async {
                tokio::select! {
                    count = read(&mut self.output, out), if has_output => Next::Output(count),
                    count = read(&mut self.errors, err), if has_errors => Next::Errors(count),
                    end = ended(&mut self.end), if has_end => Next::End(end),
                }
            };
            let next = match has_end {
                true => next.await,
                // Somebody else may have it open for ever.
                false => timeout(LINGER, next).await.unwrap_or(Next::Late),
            };
            match next {
                Next::Output(0) => self.output = None,
                Next::Errors(0) => self.errors = None,
                Next::Output(count) => return self.piece(0, count).map(|data| ChannelMsg::Data { data }),
                Next::Errors(count) => {
                    return self.piece(1, count).map(|data| ChannelMsg::ExtendedData { data, ext: STDERR });
                }
                Next::End(end) => {
                    self.end = None;
                    // Without a close it is hold of it that was lost.
                    let end = end.ok()?;
                    self.ended = Some(said(&end));
                    tell_left(&self.host, end.left).await;
                }
                Next::Late => (self.output, self.errors) = (None, None),
            }
        }
    }

    fn piece(&self, which: usize, count: usize) -> Option<Bytes> {
        Some(Bytes::copy_from_slice(self.pieces.get(which)?.get(..count)?))
    }
}

/// What it left running is part of what it did. A recording that is broken is seen by whoever shows something next.
async fn tell_left(host: &Host, left: u32) {
    if left > 0 {
        let text = format!("{left} processes that it left running were ended");
        let event = Event::Said { kind: Said::Notice, text: text.into() };
        let _ = host.note(event, Keep::IfStrict).await;
    }
}

enum Next {
    Output(usize),
    Errors(usize),
    End(Result<ProgramEnd, Fault>),
    Late,
}

/// Zero: there is no more.
async fn read(from: &mut Option<Stream>, into: &mut [u8]) -> usize {
    match from {
        Some(stream) => stream.read(into).await.unwrap_or(0),
        None => 0,
    }
}

async fn ended(end: &mut Option<Doing<Result<ProgramEnd, Fault>>>) -> Result<ProgramEnd, Fault> {
    match end {
        Some(end) => end.await,
        None => Err(fault::lost()),
    }
}

fn said(end: &ProgramEnd) -> ChannelMsg {
    match &end.how {
        Ended::Status(exit_status) => ChannelMsg::ExitStatus { exit_status: *exit_status },
        Ended::Signal { name, core_dumped } => ChannelMsg::ExitSignal {
            signal_name: signal_of(name),
            core_dumped: *core_dumped,
            error_message: String::new(),
            lang_tag: String::new(),
        },
    }
}

fn signal_of(name: &str) -> Sig {
    match name {
        "ABRT" => Sig::ABRT,
        "ALRM" => Sig::ALRM,
        "FPE" => Sig::FPE,
        "HUP" => Sig::HUP,
        "ILL" => Sig::ILL,
        "INT" => Sig::INT,
        "KILL" => Sig::KILL,
        "PIPE" => Sig::PIPE,
        "QUIT" => Sig::QUIT,
        "SEGV" => Sig::SEGV,
        "TERM" => Sig::TERM,
        "USR1" => Sig::USR1,
        other => Sig::Custom(other.to_owned()),
    }
}

/// The way to a program. Closing it lets go of the program, which ends.
pub(crate) struct Input {
    input: Mutex<Option<Stream>>,
    reins: Mutex<Option<Box<dyn Reins>>>,
}

impl Input {
    /// What a program that has closed its input does not take is lost, as on a host.
    pub(crate) async fn data(&self, data: &[u8]) {
        let mut input = self.input.lock().await;
        if let Some(stream) = &mut *input
            && stream.write_all(data).await.is_err()
        {
            *input = None;
        }
    }

    pub(crate) async fn eof(&self) {
        *self.input.lock().await = None;
    }

    pub(crate) async fn signal(&self, signal: &Sig) {
        if let Some(reins) = &*self.reins.lock().await {
            reins.signal(&signal_name(signal));
        }
    }

    pub(crate) async fn resize(&self, columns: u32, rows: u32, pixels: (u32, u32)) {
        if let Some(reins) = &*self.reins.lock().await {
            reins.resize(size(columns, rows, pixels));
        }
    }

    pub(crate) async fn close(&self) {
        *self.reins.lock().await = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_told_so_that_none_can_pass_for_two() {
        let words = |words: &[&str]| told(&words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>());
        assert_eq!(words(&["/usr/bin/psql", "-h", "db-1"]), "/usr/bin/psql -h db-1");
        assert_eq!(words(&["a b", "", "it's", "$(id)"]), r"'a b' '' 'it'\''s' '$(id)'");
    }

    #[test]
    fn a_signal_goes_by_the_name_it_came_by() {
        for name in ["INT", "TERM", "KILL", "USR1", "SEGV"] {
            assert_eq!(signal_name(&signal_of(name)), name);
            assert!(!matches!(signal_of(name), Sig::Custom(_)));
        }
        assert_eq!(signal_name(&signal_of("BUS")), "BUS");
    }
}
