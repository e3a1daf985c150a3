//! Where the command asks, and where the client of a session connects: sockets in folders that are the agent's alone.
//!
//! Who reaches them has the agent's own user, or is root; each connection's user is looked at besides.

use std::{fs, io, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

use hoop_model::{Blame, Fault, SessionId, StreamId};
use hoop_session::SocketPipe;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{UnixListener, UnixStream},
};

use super::{
    DOOR,
    ask::{Answer, Ask, ByHost},
    open::{Opened, open},
};
use crate::session::{LiveSession, Sessions};

/// Longest question.
const LONGEST: u64 = 256 << 10;

/// Answers at the door until dropped.
pub(crate) async fn serve(sessions: Arc<Sessions>) {
    let path = sessions.around.emergencies.folder.join(DOOR);
    let listener = match bind(&path) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(path = %path.display(), %error, "break-glass on this host is not possible");
            return;
        }
    };
    // Folders of sessions that a crash left behind.
    let _ = fs::remove_dir_all(sessions.around.emergencies.folder.join("bg"));
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        if let Err(error) = own_user(&client) {
            tracing::warn!(%error, "another user knocked at the door for emergencies");
            continue;
        }
        let sessions = Arc::clone(&sessions);
        sessions.spawn(answer(Arc::clone(&sessions), client));
    }
}

fn bind(path: &PathBuf) -> io::Result<UnixListener> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// The agent's own user, or root.
fn own_user(client: &UnixStream) -> io::Result<()> {
    let user = client.peer_cred()?.uid();
    if user == 0 || user == rustix::process::geteuid().as_raw() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("user {user}")))
}

async fn answer(sessions: Arc<Sessions>, client: UnixStream) {
    let (reader, mut writer) = client.into_split();
    let mut reader = BufReader::new(reader.take(LONGEST));
    let mut line = String::new();
    if reader.read_line(&mut line).await.is_err() {
        return;
    }
    let malformed = |error: serde_json::Error| Fault::new("HOOP-4221", Blame::Caller, error.to_string());
    let opened = match serde_json::from_str::<Ask>(&line).map_err(malformed) {
        Ok(ask) => open(&sessions, &ask).await,
        Err(fault) => Err(fault),
    };
    let outcome = async {
        let opened = opened?;
        let folder = Folder::new(&sessions, opened.session.grant.session)?;
        let listener = bind(&folder.0.join(opened.socket_name)).map_err(|error| socket(&error))?;
        let host = opened.own_key.as_deref().map(|key| folder.know(&opened, key)).transpose()?;
        let at = Answer::Opened {
            session: opened.session.grant.session,
            folder: folder.0.clone(),
            person: opened.session.grant.user_name.clone(),
            database: opened
                .session
                .grant
                .settings
                .get("database")
                .and_then(|name| name.as_str())
                .map(str::to_owned),
            ends_at: opened.session.grant.ends_at,
            host,
        };
        say(&mut writer, &at).await;
        Ok(carry(opened, &listener, &mut reader).await)
    };
    let fault = match outcome.await {
        Ok(reason) | Err(reason) => reason,
    };
    say(&mut writer, &Answer::Over { fault }).await;
}

async fn say(writer: &mut (impl AsyncWriteExt + Unpin), answer: &Answer) {
    let Ok(mut line) = serde_json::to_vec(answer) else { return };
    line.push(b'\n');
    // Who asked may be gone: the session then ends by itself.
    let _ = writer.write_all(&line).await;
}

/// Takes clients until the session is over, its time is, or who asked goes away.
async fn carry(opened: Opened, listener: &UnixListener, asker: &mut (impl AsyncReadExt + Unpin)) -> Fault {
    let Opened { session, longest, .. } = opened;
    // The one clock that nobody can set.
    let time = tokio::time::sleep(longest);
    tokio::pin!(time);
    let (mut next, mut byte) = (0, [0; 1]);
    loop {
        tokio::select! {
            biased;
            () = session.over.cancelled() => break,
            () = &mut time => {
                session.terminator.end(Fault::new("HOOP-4206", Blame::Policy, "the session reached the end of its grant"));
                session.over.cancelled().await;
                break;
            }
            // It says nothing more: whatever is heard is its end.
            _ = asker.read(&mut byte) => {
                session.terminator.end(Fault::new("HOOP-4000", Blame::Caller, "the person closed the session"));
                session.over.cancelled().await;
                break;
            }
            Ok((client, _)) = listener.accept() => {
                take(&session, client, next);
                next += 1;
            }
        }
    }
    session
        .terminator
        .reason()
        .unwrap_or_else(|| Fault::new("HOOP-4203", Blame::Policy, "the session has ended"))
}

fn take(session: &Arc<LiveSession>, client: UnixStream, number: u32) {
    if let Err(error) = own_user(&client) {
        tracing::warn!(session = %session.grant.session, %error, "another user's client was refused");
        return;
    }
    if let Err(fault) = session.start_stream(StreamId(number), SocketPipe(client)) {
        tracing::warn!(session = %session.grant.session, code = %fault.code, "a client was refused");
    }
}

fn socket(error: &io::Error) -> Fault {
    Fault::new("HOOP-4226", Blame::System, format!("no socket can be opened in the agent's folder: {error}"))
}

/// A session's own folder, gone with it. Short: a socket's whole path has 108 bytes.
struct Folder(PathBuf);

impl Folder {
    fn new(sessions: &Sessions, session: SessionId) -> Result<Self, Fault> {
        let id = session.to_string();
        let short = id.get(id.len().saturating_sub(8)..).unwrap_or(&id);
        let path = sessions.around.emergencies.folder.join("bg").join(short);
        fs::create_dir_all(&path).map_err(|error| socket(&error))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o700)).map_err(|error| socket(&error))?;
        Ok(Self(path))
    }

    /// Writes down which key an SSH client finds at this session's socket, and says under what name.
    fn know(&self, opened: &Opened, key: &str) -> Result<ByHost, Fault> {
        let alias = format!("{}.hoop", opened.session.grant.connection_name);
        let known_hosts = self.0.join("known_hosts");
        fs::write(&known_hosts, format!("{alias} {}\n", key.trim())).map_err(|error| socket(&error))?;
        Ok(ByHost { alias, known_hosts, socket: self.0.join(opened.socket_name) })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
