//! `hoop ssh` runs the system's OpenSSH client over `hoop connect NAME --stdio`; `hoop ssh-config` writes the same for plain `ssh`.
//!
//! Which host this is, ssh learns from a `known_hosts` of ours (see [`hoop_client::ssh`]): it is never told not to look.

use std::{ffi::OsString, path::Path};

use hoop_client::{
    ClientError, ProfileStore,
    profile::write_private,
    ssh::{KnownHosts, alias},
};
use hoop_model::ConnectionName;

use super::api;
use crate::{
    args::{SshArgs, SshConfig},
    failure::Result,
    output::Out,
};

/// Options of ssh that take a value (`ssh -?` of OpenSSH).
const WITH_VALUE: &str = "BbcDEeFIiJLlmOoPpQRSWw";

/// What was typed behind `hoop ssh`, as ssh reads it.
#[derive(Debug, PartialEq, Eq)]
struct Words {
    options: Vec<OsString>,
    name: ConnectionName,
    command: Vec<OsString>,
}

pub(super) fn ssh(args: SshArgs) -> Result {
    let words = Words::read(args.words)?;
    let hosts = KnownHosts::of(ProfileStore::from_environment()?);
    let mut command = std::process::Command::new("ssh");
    for (name, value) in options(&words.name, &hosts.file(), args.reason.as_deref())? {
        command.arg("-o").arg(format!("{name}={value}"));
    }
    command.args(words.options).arg("--").arg(words.name.as_str()).args(words.command);
    Err(become_it(command))
}

/// In our place, so that signals, terminal and exit code are ssh's own.
#[cfg(unix)]
fn become_it(mut command: std::process::Command) -> crate::failure::Failure {
    let error = std::os::unix::process::CommandExt::exec(&mut command);
    cannot(&error)
}

#[cfg(not(unix))]
fn become_it(mut command: std::process::Command) -> crate::failure::Failure {
    match command.status() {
        Ok(status) => crate::failure::Failure::Child(status.code().map_or(255, |code| code as u8)),
        Err(error) => cannot(&error),
    }
}

fn cannot(error: &std::io::Error) -> crate::failure::Failure {
    let what = format!("ssh cannot be started: {error}");
    ClientError::own("HOOP-1014", what).hint("install the OpenSSH client").into()
}

impl Words {
    /// Options may stand before and after the name, as with ssh; what comes then is the command.
    fn read(words: Vec<OsString>) -> Result<Self> {
        let (mut options, mut name, mut ended) = (Vec::new(), None, false);
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let text = word.to_string_lossy().into_owned();
            match text.as_str() {
                "--" if !ended => ended = true,
                option if !ended && option.starts_with('-') && option.len() > 1 => {
                    let wants_value = takes_next(option);
                    options.push(word);
                    if wants_value {
                        options.extend(words.next());
                    }
                }
                destination if name.is_none() => name = Some(destination.to_owned()),
                _ => {
                    let command = std::iter::once(word).chain(words).collect();
                    return Self::of(options, name, command);
                }
            }
        }
        Self::of(options, name, Vec::new())
    }

    fn of(mut options: Vec<OsString>, name: Option<String>, command: Vec<OsString>) -> Result<Self> {
        let usage = |what: &str| {
            ClientError::usage("HOOP-1015", what)
                .hint("hoop ssh [options of ssh] NAME [command]; see `hoop ls`")
        };
        let Some(name) = name else { return Err(usage("which connection?").into()) };
        let name = name.strip_prefix("ssh://").unwrap_or(&name);
        // Who one is on the host, the connection says.
        let (user, name) = name.rsplit_once('@').map_or((None, name), |(user, name)| (Some(user), name));
        if let Some(user) = user.filter(|user| !user.is_empty()) {
            options.extend(["-l".into(), user.into()]);
        }
        let name = name.strip_suffix(".hoop").unwrap_or(name);
        let name = ConnectionName::new(name).map_err(|_| usage("this is no name of a connection"))?;
        Ok(Self { options, name, command })
    }
}

/// `-p 22`, and `-vp 22`, but not `-p22`: whether the next word belongs to this one.
fn takes_next(option: &str) -> bool {
    let mut letters = option.chars().skip(1);
    while let Some(letter) = letters.next() {
        if WITH_VALUE.contains(letter) {
            return letters.next().is_none();
        }
    }
    false
}

/// What ssh is told, before anything else that it is told: the first word counts.
fn options(
    name: &ConnectionName,
    known_hosts: &Path,
    reason: Option<&str>,
) -> Result<Vec<(&'static str, String)>> {
    let hoop = std::env::current_exe()?;
    let reason = reason.map(|reason| format!(" --reason {}", quoted(reason))).unwrap_or_default();
    let folder = std::env::var("HOOP_CONFIG_DIR").ok().filter(|folder| !folder.is_empty());
    let folder = match folder {
        // A file that is included says nothing of the folder that it was written from.
        Some(folder) => {
            let folder = std::path::absolute(folder)?;
            format!("env HOOP_CONFIG_DIR={} ", quoted(&folder.display().to_string()))
        }
        None => String::new(),
    };
    let hoop = quoted(&hoop.display().to_string());
    let proxy = format!("{folder}{hoop} connect {name} --stdio{reason}").replace('%', "%%");
    Ok(vec![
        ("ProxyCommand", proxy),
        ("HostKeyAlias", alias(name)),
        ("HostKeyAlgorithms", "ssh-ed25519".into()),
        ("UserKnownHostsFile", in_config(known_hosts)?),
        ("GlobalKnownHostsFile", "/dev/null".into()),
        ("StrictHostKeyChecking", "yes".into()),
        ("UpdateHostKeys", "no".into()),
        ("CheckHostIP", "no".into()),
        // What the agent takes, the faster one first: many clients would choose the other by themselves.
        ("Ciphers", "aes256-gcm@openssh.com,aes256-ctr".into()),
        // The tunnel has proven who this is: no key is offered, no password asked for.
        ("PubkeyAuthentication", "no".into()),
        ("PasswordAuthentication", "no".into()),
        ("KbdInteractiveAuthentication", "no".into()),
    ])
}

/// One word of a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:@,".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// A path in ssh's configuration.
fn in_config(path: &Path) -> Result<String> {
    let text = std::path::absolute(path)?.display().to_string();
    if text.contains(['"', '\n', '\\', '$']) {
        let what = format!("ssh cannot be told of the file {text}");
        return Err(ClientError::own("HOOP-1016", what).hint("set HOOP_CONFIG_DIR to a plainer path").into());
    }
    Ok(format!("\"{}\"", text.replace('%', "%%")))
}

pub(super) async fn config(args: SshConfig, out: &Out) -> Result {
    let api = api()?;
    let page = out.waiting("Asking the gateway", api.connections(false)).await?;
    let names: Vec<_> = page
        .items
        .into_iter()
        .filter(|item| item.protocol.is_reached_by_ssh() && item.may_connect)
        .map(|item| item.name)
        .collect();
    let hosts = KnownHosts::of(ProfileStore::from_environment()?);
    let text = file(&names, &hosts.file())?;
    if args.print {
        return Ok(out.line(text.trim_end())?);
    }
    std::fs::create_dir_all(hosts.folder())?;
    let path = hosts.folder().join("config");
    write_private(&path, text.as_bytes())?;
    out.line(format!("Wrote {} for {} connections.", path.display(), names.len()))?;
    out.note(format!(
        "This line, at the top of ~/.ssh/config, lets ssh, scp, sftp, rsync, git and ansible use it:\n  Include {}",
        in_config(&path)?
    ));
    Ok(())
}

fn file(names: &[ConnectionName], known_hosts: &Path) -> Result<String> {
    let mut text = "# Written by `hoop ssh-config`: run it again when connections come or go.\n".to_owned();
    for name in names {
        text.push_str(&format!("\nHost {name} {}\n", alias(name)));
        for (option, value) in options(name, known_hosts, None)? {
            text.push_str(&format!("    {option} {value}\n"));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (String, String, String) {
        let words = line.split(' ').map(OsString::from).collect();
        let Words { options, name, command } = Words::read(words).map_err(|_| line).unwrap();
        let joined = |words: Vec<OsString>| {
            words.iter().map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
        };
        (joined(options), name.to_string(), joined(command))
    }

    #[test]
    fn what_ssh_takes_is_taken() {
        for (line, options, name, command) in [
            ("web", "", "web", ""),
            ("web uptime -p", "", "web", "uptime -p"),
            ("-tt -p 22 -o A=b web -v top -b", "-tt -p 22 -o A=b -v", "web", "top -b"),
            ("-vp 22 web", "-vp 22", "web", ""),
            ("-p22 web ls", "-p22", "web", "ls"),
            ("root@web id", "-l root", "web", "id"),
            ("-l root web.hoop rsync --server -e.L . /x", "-l root", "web", "rsync --server -e.L . /x"),
            (
                "-o SendEnv=GIT_PROTOCOL git@web git-upload-pack '/a'",
                "-o SendEnv=GIT_PROTOCOL -l git",
                "web",
                "git-upload-pack '/a'",
            ),
            ("-- web -v", "", "web", "-v"),
        ] {
            assert_eq!(read(line), (options.into(), name.into(), command.into()), "{line}");
        }
        for line in ["", "-v", "-p 22", "web;id", "-o", "../x"] {
            let words = line.split(' ').map(OsString::from).collect();
            assert!(Words::read(words).is_err(), "{line}");
        }
    }

    #[test]
    fn a_text_stays_one_word_and_a_key_is_always_compared() {
        let name = ConnectionName::new("web").unwrap();
        let path = Path::new("/home/a b/%h/known_hosts");
        let told = options(&name, path, Some("it's $(id) %h")).map_err(|_| ()).unwrap();
        let find = |wanted: &str| told.iter().find(|(name, _)| *name == wanted).unwrap().1.clone();
        assert!(find("ProxyCommand").ends_with("connect web --stdio --reason 'it'\\''s $(id) %%h'"));
        assert_eq!(find("StrictHostKeyChecking"), "yes");
        assert_eq!(find("UserKnownHostsFile"), "\"/home/a b/%%h/known_hosts\"");
        assert!(in_config(Path::new("/a\"b")).is_err());
    }
}
