//! One session channel: what the client asks before something runs, the question to policy, and the start.

use std::time::Duration;

use bytes::Bytes;
use hoop_engine::{
    Channel as Wanted, Event, Question,
    hosted::{Keep, Refused, Shown},
};
use hoop_model::Fault;
use hoop_policy::Permit;
use hoop_recording::event::{Form, Said, Terminal};
use russh::{
    Channel, ChannelId, ChannelMsg,
    server::{Handle, Msg},
};

use crate::{
    backlog::FromClient,
    content::Transfer,
    course,
    engine::{Shared, Upstream},
    fault,
    files::Files,
    forward::Granted,
    relay::{self, FromProgram, Running, ToClient, ToProgram},
    scp::{Scp, ScpCommand},
    settings::Use,
    sftp::Sftp,
    tally::Tally,
    upstream::{AtHost, Connection, Program, Screen},
};

/// Variables that a client may bring along.
const MOST_VARIABLES: usize = 32;
/// Longest value of one, and longest name of a terminal.
const LONGEST_VALUE: usize = 4096;
/// Longest command: what a host's kernel takes too.
const LONGEST_COMMAND: usize = 128 << 10;
/// From the opening of a channel to what it is for.
const PATIENCE: Duration = Duration::from_secs(60);
/// Time for words that the client may not be reading.
const WORDS: Duration = Duration::from_millis(300);

/// What the client asked for before it said what is to run.
#[derive(Default)]
struct Preparation {
    screen: Option<Screen>,
    variables: Vec<(String, String)>,
    refused: Vec<String>,
}

/// Serves a channel to its end.
pub(crate) async fn serve(shared: &Shared, channel: Channel<Msg>, handle: Handle) {
    let id = channel.id();
    let (read, write) = channel.split();
    let mut read = FromClient::new(id.into(), read, &shared.backlog);
    let client = ToClient::new(id, handle, write);
    let mut preparation = Preparation::default();
    // Whatever becomes of the channel, what was granted to it is taken.
    let granted = Granting { shared, id };
    let asked = async {
        while let Some(message) = read.wait().await {
            match message {
                ChannelMsg::Exec { command, .. } => return Some(Program::Command(command.into())),
                ChannelMsg::RequestShell { .. } => return Some(Program::Shell),
                ChannelMsg::RequestSubsystem { name, .. } => return Some(Program::Subsystem(name)),
                ChannelMsg::Eof | ChannelMsg::Close => return None,
                other => preparation.note(shared, other),
            }
        }
        None
    };
    let program = tokio::select! {
        biased;
        _ = shared.course.ended() => None,
        program = tokio::time::timeout(PATIENCE, asked) => program.ok().flatten(),
    };
    let Some(program) = program else { return client.close().await };
    shared.course.host.touch();
    // Boxed: a channel that runs holds no room for its start.
    match Box::pin(start(shared, &preparation, granted.take(), program)).await {
        Ok(running) => relay::run(shared, running, read, &client).await,
        Err(fault) => refuse(&client, &fault).await,
    }
}

/// Takes what was granted to a channel, at the latest when it is over.
struct Granting<'a> {
    shared: &'a Shared,
    id: ChannelId,
}

impl Granting<'_> {
    fn take(&self) -> Granted {
        self.shared.forwards.granted(self.id)
    }
}

impl Drop for Granting<'_> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

/// The client is told on standard error, which reaches the person; a bare refusal of the request says nothing.
async fn refuse(client: &ToClient, fault: &Fault) {
    client.accept().await;
    let _ = tokio::time::timeout(WORDS, client.error(Shown::own_words(fault))).await;
    client.exit_status(255).await;
    client.close().await;
}

impl Preparation {
    fn note(&mut self, shared: &Shared, message: ChannelMsg) {
        match message {
            ChannelMsg::SetEnv { variable_name, variable_value, .. } => {
                let taken = shared.settings.takes_variable(&variable_name)
                    && variable_value.len() <= LONGEST_VALUE
                    && !variable_value.contains('\0');
                if self.variables.len() + self.refused.len() >= MOST_VARIABLES {
                    return;
                }
                if taken {
                    self.variables.push((variable_name, variable_value));
                } else {
                    self.refused.push(variable_name.chars().take(64).collect());
                }
            }
            ChannelMsg::RequestPty {
                term,
                col_width,
                row_height,
                pix_width,
                pix_height,
                terminal_modes,
                ..
            } => {
                let name = Bytes::from(term.chars().take(LONGEST_VALUE).collect::<String>());
                let terminal = Terminal { name, columns: col_width, rows: row_height };
                self.screen =
                    Some(Screen { terminal, pixels: (pix_width, pix_height), modes: terminal_modes });
            }
            ChannelMsg::WindowChange { col_width, row_height, pix_width, pix_height } => {
                if let Some(screen) = &mut self.screen {
                    (screen.terminal.columns, screen.terminal.rows) = (col_width, row_height);
                    screen.pixels = (pix_width, pix_height);
                }
            }
            _ => {}
        }
    }

    /// The recording says what was brought along, and what was not passed on.
    async fn tell(&self, shared: &Shared) -> Result<(), Fault> {
        let said = |kind, text: String| Event::Said { kind, text: text.into() };
        for (name, value) in &self.variables {
            shared.course.host.note(said(Said::Setting, format!("{name}={value}")), Keep::IfStrict).await?;
        }
        for name in &self.refused {
            let text = format!("the client's variable {name} was not passed on");
            shared.course.host.note(said(Said::Notice, text), Keep::IfStrict).await?;
        }
        Ok(())
    }
}

/// Files that are moved by this protocol.
fn transfer(protocol: &str, transfer: Box<dyn Transfer>) -> Files {
    let client = fault::client(&format!("sends what is no {protocol}, or too much of it at once"));
    Files::new(transfer, client, fault::no_files(protocol))
}

/// Asks, and starts what may run. Whatever a broken recording stops, ends the stream.
async fn start(
    shared: &Shared,
    preparation: &Preparation,
    granted: Granted,
    program: Program,
) -> Result<Running, Fault> {
    let id = shared.course.next();
    let terminal = preparation.screen.as_ref().map(|screen| screen.terminal.clone());
    let has_terminal = terminal.is_some();
    let copies = shared.settings.file_copies;
    let files = match &program {
        // A terminal changes the bytes that pass.
        Program::Command(text) if !has_terminal => {
            ScpCommand::of(text).map(|command| transfer("scp", Box::new(Scp::new(command, copies))))
        }
        Program::Subsystem(name) if name == "sftp" => Some(transfer("sftp", Box::new(Sftp::new(copies)))),
        _ => None,
    };
    let channel = Question::Channel;
    let fixed = shared.upstream.fixed();
    let (question, offered, form, text) = match &program {
        Program::Shell if let Some(text) = fixed.clone() => {
            let question = Question::Command { text: text.clone(), moves_files: false };
            (question, Some(Use::Shell), Form::Command { terminal }, text)
        }
        Program::Shell => (channel(Wanted::Shell), Some(Use::Shell), Form::Shell { terminal }, Bytes::new()),
        Program::Command(text) => {
            let question = Question::Command { text: text.clone(), moves_files: files.is_some() };
            // What may run commands may run this one, and what is for files may move them by it.
            let by_files = files.is_some() && shared.settings.allow.contains(&Use::Files);
            let offered = if by_files { Use::Files } else { Use::Command };
            (question, Some(offered), Form::Command { terminal }, text.clone())
        }
        Program::Subsystem(name) if name == "sftp" => {
            (channel(Wanted::Files), Some(Use::Files), Form::Subsystem, Bytes::from(name.clone()))
        }
        Program::Subsystem(name) => {
            let text = Bytes::from(name.chars().take(64).collect::<String>());
            (channel(Wanted::Subsystem), None, Form::Subsystem, text)
        }
    };
    let broken = |fault: Fault| {
        shared.course.break_off(fault.clone());
        fault
    };
    preparation.tell(shared).await.map_err(broken)?;
    let other = fixed.filter(|_| matches!(program, Program::Command(_))).map(|_| fault::fixed());
    if let Some(why) = other.or_else(|| not_offered(shared, offered, &text)) {
        let text = text.slice(..text.len().min(LONGEST_COMMAND));
        shared.course.host.refuse(id, form, text, &why).await.map_err(broken)?;
        return Err(why);
    }
    let asked = shared.course.host.ask(id, form, text, &question).await;
    let permit = match asked {
        Ok(permit) => permit,
        Err(Refused::Denied(fault)) => return Err(fault),
        Err(Refused::Over(fault)) => return Err(broken(fault)),
    };
    let began = shared.course.host.now();
    let limit = match &files {
        Some(_) => Some(shared.settings.file_bytes),
        None if has_terminal => None,
        None => Some(shared.settings.command_bytes),
    };
    let started = begin(shared, permit, preparation, granted, &program);
    let outcome = tokio::select! {
        biased;
        fault = shared.course.ended() => Err(fault),
        outcome = started => outcome,
    };
    match outcome {
        Ok((connection, from, to)) => {
            let tally = Tally::new(id, limit);
            Ok(Running { id, began, connection, from, to, tally, has_terminal, files })
        }
        Err(fault) => {
            let event = course::failed(id, &fault, shared.course.micros(began));
            shared.course.host.note(event, Keep::IfStrict).await.map_err(broken)?;
            Err(fault)
        }
    }
}

async fn begin(
    shared: &Shared,
    permit: Permit,
    preparation: &Preparation,
    granted: Granted,
    program: &Program,
) -> Result<(Option<Connection>, FromProgram, ToProgram), Fault> {
    let (screen, variables) = (preparation.screen.as_ref(), &preparation.variables);
    match &shared.upstream {
        Upstream::Hosts(hosts) => {
            let connection = hosts.take().await?;
            let AtHost { read, write } =
                connection.start(permit, program, screen, variables, granted).await?;
            Ok((Some(connection), FromProgram::Host(read), ToProgram::Host(write)))
        }
        Upstream::Machine(machine) => {
            let (output, input) = machine.start(permit, program, screen, variables).await?;
            Ok((None, FromProgram::Machine(output), ToProgram::Machine(input)))
        }
    }
}

fn not_offered(shared: &Shared, offered: Option<Use>, text: &Bytes) -> Option<Fault> {
    let Some(offered) = offered else { return Some(fault::not_offered("this subsystem")) };
    if text.len() > LONGEST_COMMAND {
        return Some(fault::client("asks for a command that is too long"));
    }
    let name = match offered {
        Use::Shell => "shells",
        Use::Command => "commands",
        Use::Files => "files",
    };
    (!shared.settings.allow.contains(&offered)).then(|| fault::not_offered(name))
}
