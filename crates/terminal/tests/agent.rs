//! A shell from an agent that is ours, from one that is not, and from those that misbehave.

use std::sync::Arc;

use bytes::Bytes;
use hoop_model::Redacted;
use hoop_terminal::{Keys, Said, ShellError, Shown, Size, open};
use russh::{
    Channel, ChannelId, Pty,
    keys::{PrivateKey, ssh_key::private::Ed25519Keypair},
    server::{Auth, ChannelOpenHandle, Config, Handler, Msg, Session, run_stream},
};

const KEY: [u8; 32] = [7; 32];

/// What an agent does with who wants a shell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Says the terminal's size, says back what is typed, and ends with status 5 at an `x`.
    Kind,
    /// Gives no terminal.
    Refuses,
    /// Wants a channel of its own to the person, and says what became of it.
    Reaches,
}

struct Agent(Manner, String);

impl Handler for Agent {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn pty_request(
        &mut self,
        channel: ChannelId,
        kind: &str,
        columns: u32,
        rows: u32,
        _: u32,
        _: u32,
        _: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        if self.0 == Manner::Refuses {
            return session.channel_failure(channel);
        }
        self.1 = format!("{kind} {columns}x{rows};");
        session.channel_success(channel)
    }

    async fn shell_request(&mut self, channel: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        session.channel_success(channel)?;
        session.data(channel, Bytes::from(self.1.clone()))?;
        if self.0 == Manner::Reaches {
            let handle = session.handle();
            tokio::spawn(async move {
                let opened = handle.channel_open_agent().await;
                let told = if opened.is_err() { "refused" } else { "opened" };
                let _ = handle.data(channel, Bytes::from(told)).await;
            });
        }
        Ok(())
    }

    async fn window_change_request(
        &mut self,
        channel: ChannelId,
        columns: u32,
        rows: u32,
        _: u32,
        _: u32,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.data(channel, Bytes::from(format!("{columns}x{rows};")))
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        if data == b"x" {
            session.exit_status_request(channel, 5)?;
            return session.close(channel);
        }
        session.data(channel, Bytes::copy_from_slice(data))
    }
}

async fn shell(manner: Manner, key: [u8; 32]) -> Result<(Keys, Shown), ShellError> {
    let (ours, theirs) = tokio::io::duplex(64 << 10);
    let config = Config {
        keys: vec![PrivateKey::from(Ed25519Keypair::from_seed(&key))],
        auth_rejection_time: std::time::Duration::ZERO,
        ..Config::default()
    };
    tokio::spawn(async move {
        if let Ok(running) = run_stream(Arc::new(config), theirs, Agent(manner, String::new())).await {
            let _ = running.await;
        }
    });
    open(ours, &Redacted::new(KEY), "ada", Size::new(0, 1_000_000)).await
}

/// What is shown until this.
async fn until(shown: &mut Shown, end: &str) -> String {
    let mut all = String::new();
    while !all.contains(end) {
        let next = shown.next().await;
        assert!(matches!(next, Some(Said::Shown(_))), "{next:?} after {all:?}");
        if let Some(Said::Shown(data)) = next {
            all.push_str(&String::from_utf8_lossy(&data));
        }
    }
    all
}

#[tokio::test]
async fn it_has_a_bounded_terminal_is_typed_into_and_says_how_it_ended() {
    let (mut keys, mut shown) = shell(Manner::Kind, KEY).await.unwrap();
    assert!(until(&mut shown, ";").await.contains("xterm-256color 1x300;"));
    keys.resize(Size::new(90, 25)).await.unwrap();
    until(&mut shown, "90x25;").await;
    keys.press(Bytes::from_static(b"hello")).await.unwrap();
    until(&mut shown, "hello").await;
    keys.press(Bytes::from_static(b"x")).await.unwrap();
    assert_eq!(shown.next().await, Some(Said::Exit(5)));
    assert_eq!(shown.next().await, None);
}

#[tokio::test]
async fn whoever_has_not_the_sessions_key_is_told_nothing() {
    let outcome = shell(Manner::Kind, [8; 32]).await;
    assert!(matches!(outcome, Err(ShellError::WrongKey)), "{:?}", outcome.err());
}

#[tokio::test]
async fn a_terminal_that_is_refused_is_said_to_be() {
    let outcome = shell(Manner::Refuses, KEY).await;
    assert!(matches!(outcome, Err(ShellError::Refused("terminal"))), "{:?}", outcome.err());
}

#[tokio::test]
async fn the_agent_opens_nothing_towards_the_person() {
    let (_keys, mut shown) = shell(Manner::Reaches, KEY).await.unwrap();
    assert!(until(&mut shown, "ed").await.ends_with("refused"));
}
