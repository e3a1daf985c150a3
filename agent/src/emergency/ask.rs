//! `hoop-agent break-glass open`: the holder's side. Asks the agent that runs on this host, and stays until the end.

use std::{
    io::{BufRead, BufReader, Read as _, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
};

use anyhow::{Context, Result, bail};
use hoop_control::capability::{HolderKey, Statement};
use hoop_model::{CapabilityId, Fault, Redacted, SessionId, Timestamp, UserName};
use serde::{Deserialize, Serialize};

use super::DOOR;

/// `hoop-agent break-glass`
#[derive(Debug, Clone, clap::Subcommand)]
pub enum BreakGlass {
    /// Open a recorded session on this host with a capability, while the gateway is down.
    ///
    /// Run it as the agent's own user, on the agent's host, while `hoop-agent run` runs there. The code that was handed
    /// out with the capability is read from standard input. The session lasts until this command is ended (Ctrl-C), or
    /// until its time is over. When the gateway is back it gets the recording, tells everybody, and opens a review.
    ///
    /// Example: sudo -u hoop-agent hoop-agent break-glass open --capability /etc/hoop/ada.cap --reason 'wards cannot see
    /// lab results' --incident INC-42
    Open(Open),
    /// Carries standard input and output to such a session's socket: what `ssh` is told to reach it by.
    Pipe(Pipe),
}

/// `hoop-agent break-glass pipe`
#[derive(Debug, Clone, clap::Args)]
pub struct Pipe {
    /// The socket.
    pub socket: PathBuf,
}

/// `hoop-agent break-glass open`
#[derive(Debug, Clone, clap::Args)]
pub struct Open {
    /// File with the capability (`hoop admin emergency make`).
    #[arg(long, value_name = "FILE")]
    pub capability: PathBuf,
    /// Why.
    #[arg(long)]
    pub reason: String,
    /// The incident's number or link.
    #[arg(long)]
    pub incident: String,
    /// The folder of the agent that runs on this host.
    #[arg(long, env = "HOOP_AGENT_STATE_DIR", default_value = "/var/lib/hoop-agent")]
    pub state_dir: PathBuf,
}

/// The question.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ask {
    /// The text of the capability.
    pub(super) capability: String,
    /// What the holder says, as signed.
    pub(super) statement: Vec<u8>,
    pub(super) signature: Vec<u8>,
}

/// The answers: first that it is open, or that it is not; at the end why it is over.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// A client may connect.
    Opened {
        session: SessionId,
        folder: PathBuf,
        person: UserName,
        database: Option<String>,
        ends_at: Timestamp,
        host: Option<ByHost>,
    },
    /// Nobody may any more.
    Over { fault: Fault },
}

/// What an SSH client needs to know.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ByHost {
    /// The name that the key stands under.
    pub(super) alias: String,
    pub(super) known_hosts: PathBuf,
    pub(super) socket: PathBuf,
}

impl ByHost {
    /// What to paste. Nobody is asked for a key or a password: who reaches the socket has been let in.
    fn command(&self) -> Result<String> {
        let (own, socket) = (std::env::current_exe()?, self.socket.display().to_string());
        let proxy = format!("{} break-glass pipe {}", quoted(&own.display().to_string()), quoted(&socket));
        let known = self.known_hosts.display().to_string();
        if known.contains(['"', '\\', '$']) {
            bail!("ssh cannot be told of the file {known}");
        }
        let options = [
            format!("ProxyCommand={}", proxy.replace('%', "%%")),
            format!("HostKeyAlias={}", self.alias),
            "HostKeyAlgorithms=ssh-ed25519".to_owned(),
            format!("UserKnownHostsFile=\"{}\"", known.replace('%', "%%")),
            "GlobalKnownHostsFile=/dev/null".to_owned(),
            "StrictHostKeyChecking=yes".to_owned(),
            "UpdateHostKeys=no".to_owned(),
            "PubkeyAuthentication=no".to_owned(),
            "PasswordAuthentication=no".to_owned(),
            "KbdInteractiveAuthentication=no".to_owned(),
        ];
        let options: Vec<String> = options.iter().map(|option| format!("-o {}", quoted(option))).collect();
        Ok(format!("ssh -F none {} {}", options.join(" "), self.alias))
    }
}

/// One word of a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@,=".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Carries both ways until the session's side ends.
///
/// # Errors
/// The socket is not there, or not one's own.
pub fn pipe(args: &Pipe) -> Result<()> {
    let mut from = UnixStream::connect(&args.socket)
        .with_context(|| format!("no session answers at {}", args.socket.display()))?;
    let mut to = from.try_clone()?;
    // Ends with the process.
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut to);
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
    let mut out = std::io::stdout().lock();
    let mut piece = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        out.write_all(piece.get(..count).unwrap_or_default())?;
        out.flush()?;
    }
}

/// The id within a capability's text, before anybody has checked it.
fn id_in(text: &str) -> Result<CapabilityId> {
    #[derive(Deserialize)]
    struct Id {
        id: CapabilityId,
    }
    use base64::Engine as _;
    let body = text.trim().split('.').nth(1).context("this file holds no capability")?;
    let body = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(body)?;
    Ok(serde_json::from_slice::<Id>(&body)?.id)
}

/// Opens a session and waits for its end.
///
/// # Errors
/// What the agent refused, or that there is none.
pub fn open(args: &Open) -> Result<()> {
    let capability = std::fs::read_to_string(&args.capability)
        .with_context(|| format!("{} cannot be read", args.capability.display()))?;
    let mut out = std::io::stdout().lock();
    write!(std::io::stderr(), "Code: ")?;
    let mut code = String::new();
    std::io::stdin().lock().read_line(&mut code)?;
    let key = HolderKey::from_code(&Redacted::new(code))?;
    let mut nonce = [0; 16];
    aws_lc_rs::rand::fill(&mut nonce).ok().context("no random numbers are to be had")?;
    let said = Statement {
        capability: id_in(&capability)?,
        reason: args.reason.clone(),
        incident: args.incident.clone(),
        at: jiff::Timestamp::now().into(),
        nonce: hoop_recording::hex::encode(&nonce),
    };
    let (statement, signature) = key.sign(&said)?;
    let path = args.state_dir.join(DOOR);
    let mut agent = UnixStream::connect(&path).with_context(|| {
        format!("no agent answers at {}: does it run, and are you its user?", path.display())
    })?;
    let mut ask = serde_json::to_vec(&Ask { capability, statement, signature })?;
    ask.push(b'\n');
    agent.write_all(&ask)?;
    for line in BufReader::new(&agent).lines() {
        match serde_json::from_str(&line?)? {
            Answer::Opened { session, folder, person, database, ends_at, host } => {
                let database = database.map_or_else(String::new, |database| format!(" -d {database}"));
                let command = match host {
                    Some(host) => host.command()?,
                    None => format!("psql -h {} -U {person}{database}", folder.display()),
                };
                writeln!(out, "Open until {ends_at}, recorded as {session}. In another terminal:")?;
                writeln!(out, "  {command}")?;
                writeln!(out, "Ctrl-C ends it.")?;
                out.flush()?;
            }
            Answer::Over { fault } => {
                let hint = fault.hint.map_or_else(String::new, |hint| format!("\n{hint}"));
                bail!("{} ({}){hint}", fault.message, fault.code);
            }
        }
    }
    bail!("the agent went away")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pasted_stays_the_words_that_it_is() {
        let host = ByHost {
            alias: "web.hoop".to_owned(),
            known_hosts: "/var/lib/a b's %d/known_hosts".into(),
            socket: "/var/lib/a b's %d/hoop.sock".into(),
        };
        let command = host.command().unwrap();
        let words = std::process::Command::new("sh")
            .args(["-c", &format!("ssh() {{ printf '%s\\n' \"$@\"; }}; {command}")])
            .output()
            .unwrap();
        let words = String::from_utf8(words.stdout).unwrap();
        let known = "UserKnownHostsFile=\"/var/lib/a b's %%d/known_hosts\"";
        assert!(words.lines().any(|word| word == known), "{words}");
        assert!(words.contains(r"pipe '/var/lib/a b'\''s %%d/hoop.sock'"), "{words}");
        assert_eq!(words.lines().last(), Some("web.hoop"));
        assert!(ByHost { known_hosts: "/a\"b".into(), ..host }.command().is_err());
    }
}
