//! A host that does what it is told in its commands, and worse.

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use russh::{
    Channel, ChannelId, ChannelMsg, Disconnect, Sig,
    keys::{PrivateKey, ssh_key::private::Ed25519Keypair},
    server::{Auth, ChannelOpenHandle, Config, Handle, Handler, Msg, Response, Session, run_stream},
};
use tokio::{net::TcpListener, sync::Notify, task::JoinHandle};

use crate::{Stage, wait_for};

pub(crate) const PASSWORD: &str = "canary-right-password";

/// What its programs share with the test.
#[derive(Clone, Default)]
pub(crate) struct Course {
    /// Commands that reached it.
    pub(crate) ran: Arc<AtomicUsize>,
    /// For a program that waits for it.
    pub(crate) go_on: Arc<Notify>,
    /// Bytes that somebody took.
    pub(crate) sent: Arc<AtomicUsize>,
}

/// One that runs.
pub(crate) struct BadHost {
    pub(crate) key: String,
    /// What its programs share with the test.
    pub(crate) course: Course,
    /// Answers to its prompts.
    pub(crate) told: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl BadHost {
    pub(crate) fn start(listener: TcpListener) -> Self {
        let key = PrivateKey::from(Ed25519Keypair::from_seed(&[3; 32]));
        let line = key.public_key().to_openssh().unwrap();
        let config =
            Arc::new(Config { keys: vec![key], auth_rejection_time: Duration::ZERO, ..Config::default() });
        let course = Course::default();
        let told = Arc::<Mutex<Vec<String>>>::default();
        let (shared, heard) = (course.clone(), Arc::clone(&told));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let side = Side { course: shared.clone(), told: Arc::clone(&heard) };
                let config = Arc::clone(&config);
                tokio::spawn(async move {
                    if let Ok(running) = run_stream(config, stream, side).await {
                        let _ = running.await;
                    }
                });
            }
        });
        Self { key: line, course, told, task }
    }
}

impl Drop for BadHost {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Side {
    course: Course,
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

    /// It stands still from this one on, the whole connection.
    async fn signal(&mut self, _: ChannelId, signal: Sig, _: &mut Session) -> Result<(), russh::Error> {
        if matches!(signal, Sig::HUP) {
            std::future::pending::<()>().await;
        }
        Ok(())
    }

    /// It never answers.
    async fn tcpip_forward(&mut self, _: &str, _: &mut u32, _: &mut Session) -> Result<bool, russh::Error> {
        std::future::pending().await
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let (handle, course) = (session.handle(), self.course.clone());
        tokio::spawn(async move {
            reply.accept().await;
            serve(channel, handle, &course).await;
        });
        Ok(())
    }
}

async fn serve(mut channel: Channel<Msg>, handle: Handle, course: &Course) {
    let id = channel.id();
    while let Some(message) = channel.wait().await {
        match message {
            ChannelMsg::Exec { command, .. } => {
                course.ran.fetch_add(1, Ordering::SeqCst);
                handle.channel_success(id).await.unwrap();
                obey(&String::from_utf8_lossy(&command), id, &handle, &channel, course).await;
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

async fn obey(command: &str, id: ChannelId, handle: &Handle, channel: &Channel<Msg>, course: &Course) {
    let Course { go_on, sent, .. } = course;
    let said = match command {
        "wait" => {
            let _ = channel.data_bytes("waiting").await;
            return;
        }
        "deaf" => std::future::pending().await,
        "flood" => {
            while channel.data_bytes(vec![0; 32 << 10]).await.is_ok() {
                sent.fetch_add(32 << 10, Ordering::SeqCst);
            }
            return;
        }
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
    person.host.course.go_on.notify_one();
    wait_for("the program's own end", || person.notes.all().contains("exit 3")).await;
    assert!(!person.notes.all().contains("closed by the client"), "{}", person.notes.all());
}

/// Nobody waits for ever for a host that says nothing any more, and does not hang up either.
#[tokio::test]
async fn a_host_that_falls_silent_is_found_out() {
    let person = Stage::new(PASSWORD).await.connect().await;
    let mut channel = person.handle.channel_open_session().await.unwrap();
    channel.exec(true, "wait").await.unwrap();
    while !matches!(channel.wait().await.unwrap(), ChannelMsg::Data { .. }) {}
    channel.signal(Sig::HUP).await.unwrap();
    wait_for("the signal", || person.notes.all().contains("signal HUP")).await;
    // From here on minutes pass as soon as nothing moves any more.
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let heard = tokio::time::timeout(Duration::from_secs(600), crate::heard(channel)).await;
    let (_, err, status) = heard.expect("nobody noticed");
    assert!(err.contains("HOOP-5034") && status == Some(255), "{err}");
    let after = began.elapsed().as_secs();
    assert!((60..180).contains(&after), "after {after} s");
}

/// The library answers a request for a port before it reads on: so the answer must not be long in coming.
#[tokio::test]
async fn a_host_that_does_not_answer_whether_it_listens_holds_up_its_client_for_a_while_only() {
    let person = Stage::new(PASSWORD).await.connect().await;
    // A log-in takes time of the real clock: this one is used again.
    assert_eq!(person.command("hello").await.0, "ran hello");
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    assert!(person.handle.tcpip_forward("127.0.0.1", 7000).await.is_err());
    let after = began.elapsed().as_secs();
    assert!((10..17).contains(&after), "after {after} s");
    tokio::time::resume();
    assert_eq!(person.command("hello").await.0, "ran hello");
}
