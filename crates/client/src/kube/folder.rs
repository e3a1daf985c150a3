//! What is kept of Kubernetes connections, in a private folder beside the profile.
//!
//! ```text
//! kube/authority.pem      signs the certificates of local ports: what kubeconfigs trust
//! kube/NAME/login.json    the port that was chosen once, and the contexts that were written
//! kube/NAME/tunnel.lock   held by the tunnel for as long as it lives: whoever can lock it knows that there is none
//! kube/NAME/tunnel.json   what clients of the tunnel need; there while it accepts them
//! kube/NAME/start.lock    held by whoever starts a tunnel
//! kube/NAME/tunnel.log    what the tunnel said
//! ```
//! Locks are the kernel's: they end with their process, however it ends.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use hoop_model::{ConnectionName, SessionId, Timestamp};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::credential::ExecCredential;
use crate::{
    error::{ClientError, Result},
    local::Authority,
    profile::{ProfileStore, private_folder, write_private},
};

const PAUSE: Duration = Duration::from_millis(10);
/// Whoever only looks whether there is a tunnel holds its lock for microseconds.
const LOOKING_TAKES: Duration = Duration::from_secs(2);

/// The folder.
#[derive(Debug, Clone)]
pub struct KubeFolder {
    store: ProfileStore,
    root: PathBuf,
}

/// The part of one connection.
#[derive(Debug, Clone)]
pub struct TunnelFolder {
    name: ConnectionName,
    folder: PathBuf,
}

/// What `hoop kube login` decided.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct KubeLogin {
    /// The tunnel's port.
    pub port: u16,
    /// Where it was written.
    pub contexts: Vec<WrittenContext>,
}

/// A context in somebody's kubeconfig.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrittenContext {
    /// The file.
    pub file: PathBuf,
    /// Its name.
    pub name: String,
    /// The context that was current before.
    #[serde(default)]
    pub before: Option<String>,
}

/// A tunnel that accepts clients.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Running {
    /// Its process.
    pub pid: u32,
    /// Its port.
    pub port: u16,
    /// Its session.
    pub session: SessionId,
    /// The session ends then.
    pub ends_at: Timestamp,
    /// What clients show.
    pub credential: ExecCredential,
}

/// The right to be the tunnel of a connection. Dropping it takes back what was announced.
#[derive(Debug)]
pub struct Claim {
    folder: TunnelFolder,
    _lock: File,
}

/// The right to start one.
#[derive(Debug)]
pub struct StartLock {
    _lock: File,
}

impl KubeFolder {
    /// Beside the profile.
    #[must_use]
    pub fn of(store: ProfileStore) -> Self {
        let root = store.folder().join("kube");
        Self { store, root }
    }

    /// The authority of local ports; made when it is first asked for.
    ///
    /// # Errors
    /// When it cannot be read or kept.
    pub fn authority(&self) -> Result<Authority> {
        let _lock = self.store.lock()?;
        private_folder(&self.root)?;
        let path = self.root.join("authority.pem");
        match fs::read_to_string(&path) {
            Ok(text) => Authority::from_pem(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let authority = Authority::generate(crate::http::now())?;
                let text = authority.to_pem();
                write_private(&path, text.expose().as_bytes())
                    .map_err(|error| unusable(&path, "written", &error))?;
                Ok(authority)
            }
            Err(error) => Err(unusable(&path, "read", &error)),
        }
    }

    /// The part of a connection. Nothing is made yet.
    #[must_use]
    pub fn tunnel(&self, name: &ConnectionName) -> TunnelFolder {
        TunnelFolder { name: name.clone(), folder: self.root.join(name.as_str()) }
    }

    /// Those of all connections that were ever logged in to.
    #[must_use]
    pub fn tunnels(&self) -> Vec<TunnelFolder> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let names =
            entries.filter_map(|entry| ConnectionName::new(entry.file_name().into_string().ok()?).ok());
        let mut tunnels: Vec<_> =
            names.map(|name| self.tunnel(&name)).filter(|one| one.folder.is_dir()).collect();
        tunnels.sort_by(|one, other| one.name.cmp(&other.name));
        tunnels
    }

    /// A place for a kubeconfig that lives as long as a session.
    ///
    /// # Errors
    /// When there is none.
    pub fn of_session(&self, session: SessionId) -> Result<PathBuf> {
        let folder = self.root.join("sessions");
        private_folder(&self.root)?;
        private_folder(&folder)?;
        Ok(folder.join(format!("{session}.yaml")))
    }
}

impl TunnelFolder {
    /// Whose it is.
    #[must_use]
    pub const fn name(&self) -> &ConnectionName {
        &self.name
    }

    /// What the tunnel says goes there.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.join("tunnel.log")
    }

    /// What was decided at login.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn login(&self) -> Result<Option<KubeLogin>> {
        read(&self.folder.join("login.json"))
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, login: &KubeLogin) -> Result<()> {
        self.write("login.json", login)
    }

    /// Forgets the login.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn forget(&self) -> Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(unusable(&self.folder, "removed", &error))
            }
            _ => Ok(()),
        }
    }

    /// The tunnel, if there is one that accepts clients. Reads two small files and asks nobody.
    ///
    /// # Errors
    /// When others could have written them, or they cannot be read.
    pub fn running(&self) -> Result<Option<Running>> {
        let lock = match File::open(self.folder.join("tunnel.lock")) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(&self.folder, "read", &error)),
        };
        match lock.try_lock_shared() {
            Ok(()) => Ok(None),
            Err(TryLockError::WouldBlock) => {
                private_folder(&self.folder)?;
                read(&self.folder.join("tunnel.json"))
            }
            Err(TryLockError::Error(error)) => Err(unusable(&self.folder, "locked", &error)),
        }
    }

    /// Becomes the tunnel, unless there is one.
    ///
    /// # Errors
    /// When files cannot be written.
    pub fn claim(&self) -> Result<Option<Claim>> {
        let Some(lock) = self.lock("tunnel.lock", LOOKING_TAKES)? else { return Ok(None) };
        // Of one that was killed: it must not be taken for ours.
        self.retract();
        Ok(Some(Claim { folder: self.clone(), _lock: lock }))
    }

    /// Waits for the right to start a tunnel. Blocks.
    ///
    /// # Errors
    /// When somebody else starts one for longer than that.
    pub fn start_lock(&self, patience: Duration) -> Result<StartLock> {
        match self.lock("start.lock", patience)? {
            Some(lock) => {
                let none = self.running()?.is_none();
                if none {
                    self.retract();
                }
                Ok(StartLock { _lock: lock })
            }
            None => Err(ClientError::own(
                "HOOP-1070",
                "another hoop command starts the tunnel, and does not finish",
            )
            .hint("try again; `hoop kube ls` shows whether it runs")),
        }
    }

    fn retract(&self) {
        let _ = fs::remove_file(self.folder.join("tunnel.json"));
    }

    fn lock(&self, name: &str, patience: Duration) -> Result<Option<File>> {
        if let Some(root) = self.folder.parent() {
            private_folder(root)?;
        }
        private_folder(&self.folder)?;
        let path = self.folder.join(name);
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|error| unusable(&path, "opened", &error))?;
        let start = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Some(file)),
                Err(TryLockError::WouldBlock) if start.elapsed() < patience => std::thread::sleep(PAUSE),
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(unusable(&path, "locked", &error)),
            }
        }
    }

    fn write(&self, name: &str, value: &impl Serialize) -> Result<()> {
        if let Some(root) = self.folder.parent() {
            private_folder(root)?;
        }
        private_folder(&self.folder)?;
        let path = self.folder.join(name);
        let bytes = serde_json::to_vec(value)
            .map_err(|_| unusable(&path, "written", &io::ErrorKind::InvalidData.into()))?;
        let fresh = self.folder.join(format!("{name}.{}", std::process::id()));
        write_private(&fresh, &bytes)
            .and_then(|()| fs::rename(&fresh, &path))
            .map_err(|error| unusable(&path, "written", &error))
    }
}

impl Claim {
    /// Tells clients how to get in, from now on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn announce(&self, running: &Running) -> Result<()> {
        self.folder.write("tunnel.json", running)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.folder.retract();
    }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|_| unusable(path, "understood", &io::ErrorKind::InvalidData.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(unusable(path, "read", &error)),
    }
}

fn unusable(path: &Path, verb: &str, error: &io::Error) -> ClientError {
    ClientError::own("HOOP-1004", format!("{} cannot be {verb}: {error}", path.display()))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{
        os::unix::fs::PermissionsExt as _,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use hoop_model::Redacted;

    use super::*;
    use crate::local::ClientCertificate;

    fn folder(home: &Path) -> KubeFolder {
        KubeFolder::of(ProfileStore::at(home.join("hoop")))
    }

    fn name() -> ConnectionName {
        ConnectionName::new("k8s-prod").unwrap()
    }

    fn running() -> Running {
        let shown =
            ClientCertificate { certificate_pem: "C".into(), key_pem: Redacted::new("canary".into()) };
        let ends_at = crate::http::now();
        let credential = ExecCredential::new(&shown, ends_at);
        Running { pid: 1, port: 2, session: SessionId::generate(), ends_at, credential }
    }

    #[test]
    fn a_tunnel_runs_while_its_claim_lives_and_has_been_announced() {
        let home = tempfile::tempdir().unwrap();
        let tunnel = folder(home.path()).tunnel(&name());
        assert!(tunnel.running().unwrap().is_none());
        let claim = tunnel.claim().unwrap().unwrap();
        assert!(tunnel.running().unwrap().is_none(), "it does not accept anybody yet");
        claim.announce(&running()).unwrap();
        assert_eq!(tunnel.running().unwrap().unwrap().port, 2);
        let file = home.path().join("hoop/kube/k8s-prod/tunnel.json");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::metadata(file.parent().unwrap()).unwrap().permissions().mode() & 0o777, 0o700);
        drop(claim);
        assert!(tunnel.running().unwrap().is_none() && !file.exists());
    }

    #[test]
    fn what_a_killed_tunnel_left_is_not_believed() {
        let home = tempfile::tempdir().unwrap();
        let tunnel = folder(home.path()).tunnel(&name());
        let claim = tunnel.claim().unwrap().unwrap();
        claim.announce(&running()).unwrap();
        let file = home.path().join("hoop/kube/k8s-prod/tunnel.json");
        let left = fs::read(&file).unwrap();
        drop(claim);
        write_private(&file, &left).unwrap();
        assert!(tunnel.running().unwrap().is_none());
        let _claim = tunnel.claim().unwrap().unwrap();
        assert!(tunnel.running().unwrap().is_none(), "the next one has announced nothing yet");
    }

    #[test]
    fn a_folder_that_others_can_write_to_is_not_believed() {
        let home = tempfile::tempdir().unwrap();
        let tunnel = folder(home.path()).tunnel(&name());
        let claim = tunnel.claim().unwrap().unwrap();
        claim.announce(&running()).unwrap();
        fs::set_permissions(home.path().join("hoop/kube/k8s-prod"), fs::Permissions::from_mode(0o777))
            .unwrap();
        assert!(tunnel.running().unwrap_err().is("HOOP-1003"));
    }

    #[test]
    fn of_many_that_start_a_tunnel_one_does() {
        let home = tempfile::tempdir().unwrap();
        let tunnel = folder(home.path()).tunnel(&name());
        let (started, claims) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
        std::thread::scope(|scope| {
            for _ in 0..10 {
                scope.spawn(|| {
                    let _start = tunnel.start_lock(Duration::from_secs(30)).unwrap();
                    if tunnel.running().unwrap().is_none() {
                        started.fetch_add(1, Ordering::SeqCst);
                        let claim = tunnel.claim().unwrap().unwrap();
                        claim.announce(&running()).unwrap();
                        claims.lock().unwrap().push(claim);
                    }
                });
            }
        });
        assert_eq!(started.load(Ordering::SeqCst), 1);
        assert!(tunnel.start_lock(Duration::ZERO).is_ok(), "and nobody holds the lock afterwards");
        let _held = tunnel.start_lock(Duration::ZERO).unwrap();
        assert!(tunnel.start_lock(Duration::from_millis(30)).unwrap_err().is("HOOP-1070"));
    }

    #[test]
    fn the_authority_is_kept_and_private() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path());
        let first = folder.authority().unwrap();
        assert_eq!(folder.authority().unwrap().certificate_pem(), first.certificate_pem());
        let file = home.path().join("hoop/kube/authority.pem");
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(folder.tunnels().is_empty());
    }

    #[test]
    fn a_login_is_kept_until_it_is_forgotten() {
        let home = tempfile::tempdir().unwrap();
        let folder = folder(home.path());
        let tunnel = folder.tunnel(&name());
        assert_eq!(tunnel.login().unwrap(), None);
        let context =
            WrittenContext { file: "/c".into(), name: "a'\n$(id)".into(), before: Some("b".into()) };
        let login = KubeLogin { port: 21_000, contexts: vec![context] };
        tunnel.keep(&login).unwrap();
        assert_eq!(tunnel.login().unwrap(), Some(login));
        assert_eq!(folder.tunnels().len(), 1);
        tunnel.forget().unwrap();
        tunnel.forget().unwrap();
        assert!(folder.tunnels().is_empty());
    }
}
