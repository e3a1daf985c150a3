//! A host that does what it is told in its commands, and worse.

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use russh::{
    Channel, ChannelId, ChannelMsg, Disconnect, Sig,
    keys::{PrivateKey, ssh_key::private::Ed25519Keypair},
    server::{Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, Response, Session, run_stream},
};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

use crate::{Stage, wait_for};

pub(crate) const PASSWORD: &str = "canary-right-password";

/// One that runs.
pub(crate) struct BadHost {
    pub(crate) key: String,
    /// Commands that reached it.
    pub(crate) ran: Arc<AtomicUsize>,
    /// For a program that waits for it.
    pub(crate) go_on: Arc<Notify>,
    /// Answers to its prompts.
    pub(crate) told: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl BadHost {
    pub(crate) fn start(listener: TcpListener) -> Self {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[3; 32]));
        let line = key.public_key().to_openssh().unwrap();
        let config = Arc::new(Config {
            keys: vec![key],
            auth_rejection_time: std::time::Duration::ZERO,
            ..Config::default()
        });
        let (ran, go_on) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
        let told = Arc::<Mutex<Vec<String>>>::default();
        let (counted, heard, going_on) = (Arc::clone(&ran), Arc::clone(&told), Arc::clone(&go_on));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (ran, go_on) = (Arc::clone(&counted), Arc::clone(&going_on));
                let side = Side { ran, go_on, told: Arc::clone(&heard) };
                let config = Arc::clone(&config);
                tokio::spawn(async move {
                    if let Ok(running) = run_stream(config, stream, side).await {
                        let _ = running.await;
                    }
                });
            }
        });
        Self { key: line, ran, go_on, told, task }
    }
}

impl Drop for BadHost {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Side {
    ran: Arc<AtomicUsize>,
    go_on: Arc<Notify>,
    told: Arc<Mutex<Vec<String>>>,
}

impl Handler for Side {
    type Error = russh::Error;

    /// The user of prompts has no password otherwise.
    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, russh::Error> {
        Ok(if user == "deploy" && password == PASSWORD { Auth::Accept } else { Auth::reject() })
    }

    /// Asks for the password by a prompt that hides it; the one who is nosy shows it, the one who is greedy asks again and again.
    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, russh::Error> {
        let Some(response) = response else {
            let prompt = |text: &'static str, echo| (Cow::Borrowed(text), echo);
            let prompts = match user {
                "prompted" | "greedy" => vec![prompt("Password: ", false)],
                "nosy" => vec![prompt("Tell me: ", true)],
                "double" => vec![prompt("Password: ", false), prompt("Code: ", false)],
                _ => return Ok(Auth::reject()),
            };
            return Ok(Auth::Partial { name: "".into(), instructions: "".into(), prompts: prompts.into() });
        };
        let answers: Vec<_> = response.map(|answer| String::from_utf8_lossy(&answer).into_owned()).collect();
        self.told.lock().unwrap().extend(answers.clone());
        Ok(match user {
            "prompted" if answers == [PASSWORD] => Auth::Accept,
            "greedy" => Auth::Partial {
                name: "".into(),
                instructions: "".into(),
                prompts: vec![(Cow::Borrowed("Again: "), false)].into(),
            },
            _ => Auth::reject(),
        })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let (handle, ran, go_on) = (session.handle(), Arc::clone(&self.ran), Arc::clone(&self.go_on));
        tokio::spawn(async move {
            reply.accept().await;
            serve(channel, handle, &ran, &go_on).await;
        });
        Ok(())
    }
}

async fn serve(mut channel: Channel<Msg>, handle: Handle, ran: &AtomicUsize, go_on: &Notify) {
    let id = channel.id();
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Exec { command, .. } => {
                ran.fetch_add(1, Ordering::SeqCst);
                handle.channel_success(id).await.unwrap();
                obey(&String::from_utf8_lossy(&command), id, &handle, &channel, go_on).await;
            }
            ChannelMsg::RequestSubsystem { .. } => {
                handle.channel_success(id).await.unwrap();
                let _ = channel.data_bytes("Welcome to web-1, the best of hosts!\n").await;
            }
            // It dies of the first.
            ChannelMsg::Signal { signal } => {
                let _ = handle.exit_signal_request(id, signal, false, String::new(), String::new()).await;
                let _ = channel.close().await;
            }
            _ => {}
        }
    }
}

async fn obey(command: &str, id: ChannelId, handle: &Handle, channel: &Channel<Msg>, go_on: &Notify) {
    let said = match command {
        "wait" => {
            let _ = channel.data_bytes("waiting").await;
            return;
        }
        "deaf" => std::future::pending().await,
        "say nothing more" => {
            let _ = channel.eof().await;
            go_on.notified().await;
            let _ = handle.exit_status_request(id, 3).await;
            let _ = channel.close().await;
            return;
        }
        "hang up" => {
            let _ = handle.disconnect(Disconnect::ByApplication, "gone".into(), String::new()).await;
            return;
        }
        "open" => {
            let opened = [
                handle.channel_open_forwarded_tcpip("127.0.0.1", 1, "127.0.0.1", 2).await.is_ok(),
                handle.channel_open_forwarded_streamlocal("/run/x").await.is_ok(),
                handle.channel_open_direct_tcpip("127.0.0.1", 1, "127.0.0.1", 2).await.is_ok(),
                handle.channel_open_direct_streamlocal("/run/x").await.is_ok(),
                handle.channel_open_agent().await.is_ok(),
                handle.channel_open_x11("127.0.0.1", 2).await.is_ok(),
                handle.channel_open_session().await.is_ok(),
            ];
            format!("{} of {} opened", opened.iter().filter(|one| **one).count(), opened.len())
        }
        other => format!("ran {other}"),
    };
    let _ = channel.data_bytes(said).await;
    let _ = handle.exit_status_request(id, 0).await;
    let _ = channel.eof().await;
    let _ = channel.close().await;
}

#[tokio::test]
async fn what_a_host_opens_towards_the_person_is_refused() {
    let person = Stage::new(PASSWORD).await.connect().await;
    assert_eq!(person.command("open").await, ("0 of 7 opened".into(), String::new(), Some(0)));
    assert_eq!(person.command("hello").await.0, "ran hello", "the connection goes on");
    // The recording has each kind, however often it is tried.
    assert_eq!(person.command("open").await.0, "0 of 7 opened");
    let all = person.notes.all();
    for kind in [
        "forwarded-tcpip",
        "forwarded-streamlocal",
        "direct-tcpip",
        "direct-streamlocal",
        "auth-agent",
        "x11",
        "session",
    ] {
        let told = format!("the host wanted to open a channel ({kind}), and was refused: it was not granted");
        assert_eq!(all.matches(&told).count(), 1, "{kind}: {all}");
    }
}

#[tokio::test]
async fn a_signal_of_the_client_reaches_the_program_on_its_host() {
    let person = Stage::new(PASSWORD).await.connect().await;
    let mut channel = person.handle.channel_open_session().await.unwrap();
    channel.exec(true, "wait").await.unwrap();
    while !matches!(channel.wait().await.unwrap(), ChannelMsg::Data { .. }) {}
    channel.signal(Sig::Custom("NOSUCH".into())).await.unwrap();
    channel.signal(Sig::USR1).await.unwrap();
    let ended = loop {
        if let ChannelMsg::ExitSignal { signal_name, .. } = channel.wait().await.unwrap() {
            break signal_name;
        }
    };
    assert!(matches!(ended, Sig::USR1), "the host had {ended:?} first");
    let all = person.notes.all();
    for told in ["signal NOSUCH is not passed on", "b\"signal USR1\", rows"] {
        assert!(all.contains(told), "{told}: {all}");
    }
}

#[tokio::test]
async fn a_host_that_hangs_up_ends_its_channel_alone() {
    let person = Stage::new(PASSWORD).await.connect().await;
    let (_, err, status) = person.command("hang up").await;
    assert!(err.contains("HOOP-5034") && status == Some(255), "{err}");
    assert_eq!(person.command("hello").await.0, "ran hello");
}

#[tokio::test]
async fn a_greeting_in_the_place_of_files_is_not_passed_on() {
    let person = Stage::new(PASSWORD).await.connect().await;
    let channel = person.handle.channel_open_session().await.unwrap();
    channel.request_subsystem(true, "sftp").await.unwrap();
    let (out, err, status) = crate::heard(channel).await;
    assert!(out.is_empty() && err.contains("HOOP-5036") && status == Some(255), "{out} {err}");
}

/// A client that closes once it has said all and been told all, as OpenSSH's shared ones do, takes no program with it.
#[tokio::test]
async fn a_close_after_both_ends_leaves_the_program_to_its_own() {
    let person = Stage::new(PASSWORD).await.connect().await;
    let mut channel = person.handle.channel_open_session().await.unwrap();
    channel.exec(true, "say nothing more").await.unwrap();
    while !matches!(channel.wait().await.unwrap(), ChannelMsg::Eof) {}
    channel.eof().await.unwrap();
    channel.close().await.unwrap();
    // The engine's side has the close when it answers what comes after it.
    assert_eq!(person.command("hello").await.0, "ran hello");
    person.host.go_on.notify_one();
    wait_for("the program's own end", || person.notes.all().contains("exit 3")).await;
    assert!(!person.notes.all().contains("closed by the client"), "{}", person.notes.all());
}
