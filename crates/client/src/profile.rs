//! The profile on disk: which gateway, which CA, and the tokens of the sign-in.
//!
//! One folder, one file, readable by its owner alone, replaced whole. A refresh token is good for one use, so whoever
//! refreshes holds the lock of the folder meanwhile. Knows no HTTP.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use hoop_model::{Redacted, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use crate::error::{ClientError, Result};

const FILE: &str = "profile.toml";
const LOCK: &str = "profile.lock";
const LARGEST: u64 = 256 * 1024;
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// Where profiles are kept.
#[derive(Debug, Clone)]
pub struct ProfileStore {
    folder: PathBuf,
}

/// A gateway and a sign-in at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// `https://host[:port]`, without a path.
    pub gateway: String,
    /// Certificates to trust besides the system's, PEM.
    pub ca_pem: Option<String>,
    /// Who signed in last.
    pub user: Option<String>,
    /// The sign-in; absent after `hoop logout`.
    pub tokens: Option<StoredTokens>,
}

/// The tokens of a sign-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTokens {
    /// Bearer token.
    pub access: Redacted<String>,
    /// One-use token for the next pair.
    pub refresh: Redacted<String>,
    /// The bearer token ends then.
    pub expires_at: Timestamp,
}

/// The file's form. Holds secrets in the clear: lives between file and [`Profile`] only.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OnDisk {
    gateway: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ca_pem: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tokens: Option<TokensOnDisk>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct TokensOnDisk {
    access: String,
    refresh: String,
    expires_at: Timestamp,
}

impl Drop for TokensOnDisk {
    fn drop(&mut self) {
        self.access.zeroize();
        self.refresh.zeroize();
    }
}

impl ProfileStore {
    /// A store in this folder.
    #[must_use]
    pub fn at(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }

    /// The folder that the environment names: `$HOOP_CONFIG_DIR`, else `$XDG_CONFIG_HOME/hoop`, else `~/.config/hoop`.
    ///
    /// # Errors
    /// When none of the three is set.
    pub fn from_environment() -> Result<Self> {
        Self::from_variables(|name| {
            std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
        })
    }

    fn from_variables(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<Self> {
        variable("HOOP_CONFIG_DIR")
            .or_else(|| {
                variable("XDG_CONFIG_HOME").filter(|path| path.is_absolute()).map(|path| path.join("hoop"))
            })
            .or_else(|| variable("HOME").map(|path| path.join(".config").join("hoop")))
            .map(Self::at)
            .ok_or_else(|| {
                ClientError::own("HOOP-1003", "there is no folder to keep the profile in")
                    .hint("set HOOP_CONFIG_DIR or HOME")
            })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The profile's file.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// Reads the profile; `None` if there is none yet.
    ///
    /// # Errors
    /// When others can read the file or replace it, or it is malformed.
    pub fn load(&self) -> Result<Option<Profile>> {
        let path = self.file();
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(&path, "opened", &error)),
        };
        permissions::check_folder(&self.folder)?;
        permissions::check_file(&path, &file)?;
        let mut text = String::new();
        file.take(LARGEST).read_to_string(&mut text).map_err(|error| unusable(&path, "read", &error))?;
        let parsed = toml::from_str::<OnDisk>(&text);
        text.zeroize();
        // The parser's message quotes the file, and with it a token.
        let parsed = parsed.map_err(|_| {
            ClientError::own("HOOP-1004", format!("{} is not a profile", path.display()))
                .hint("remove it and run `hoop login URL`")
        })?;
        Ok(Some(parsed.into()))
    }

    /// Replaces the profile in one step.
    ///
    /// # Errors
    /// When the folder or file cannot be written.
    pub fn save(&self, profile: &Profile) -> Result<()> {
        permissions::make_folder(&self.folder).map_err(|error| unusable(&self.folder, "made", &error))?;
        permissions::check_folder(&self.folder)?;
        let mut text = toml::to_string(&OnDisk::from(profile))
            .map_err(|_| ClientError::own("HOOP-9001", "the profile cannot be written as TOML"))?;
        let path = self.file();
        let fresh = self.folder.join(format!("{FILE}.{}", std::process::id()));
        let written = write_private(&fresh, text.as_bytes()).and_then(|()| fs::rename(&fresh, &path));
        text.zeroize();
        written.map_err(|error| {
            let _ = fs::remove_file(&fresh);
            unusable(&path, "written", &error)
        })
    }

    /// Waits for the folder's lock, which ends with the guard. Blocks: call it where blocking is allowed.
    ///
    /// # Errors
    /// When another process keeps the lock for long.
    pub fn lock(&self) -> Result<LockGuard> {
        permissions::make_folder(&self.folder).map_err(|error| unusable(&self.folder, "made", &error))?;
        let path = self.folder.join(LOCK);
        let file = open_private(&path, false).map_err(|error| unusable(&path, "opened", &error))?;
        let start = std::time::Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(LockGuard { _file: file }),
                Err(fs::TryLockError::WouldBlock) if start.elapsed() < LOCK_PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(fs::TryLockError::WouldBlock) => {
                    return Err(ClientError::own(
                        "HOOP-1004",
                        "another hoop command keeps the profile locked",
                    ));
                }
                Err(fs::TryLockError::Error(error)) => return Err(unusable(&path, "locked", &error)),
            }
        }
    }
}

/// Holds the lock of a profile's folder until dropped.
#[derive(Debug)]
pub struct LockGuard {
    _file: File,
}

fn unusable(path: &Path, verb: &str, error: &io::Error) -> ClientError {
    ClientError::own("HOOP-1004", format!("{} cannot be {verb}: {error}", path.display()))
}

fn open_private(path: &Path, fresh: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(fresh);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Writes a file that its owner alone can read, and makes it durable.
///
/// # Errors
/// As the file system says.
pub fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A leftover of another mode must not lend its mode to the new file.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = open_private(path, true)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Makes a folder that its owner alone can enter, unless it is there already; then nobody else may be able to write to it.
pub(crate) fn private_folder(folder: &Path) -> Result<()> {
    permissions::make_folder(folder).map_err(|error| unusable(folder, "made", &error))?;
    permissions::check_folder(folder)
}

#[cfg(unix)]
mod permissions {
    use std::{
        fs::{self, DirBuilder, File},
        io,
        os::unix::fs::{DirBuilderExt as _, MetadataExt as _},
        path::Path,
    };

    use crate::error::{ClientError, Result};

    pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent)?;
        }
        match DirBuilder::new().mode(0o700).create(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
            other => other,
        }
    }

    pub(super) fn check_folder(folder: &Path) -> Result<()> {
        let facts = fs::metadata(folder).map_err(|error| {
            ClientError::own("HOOP-1004", format!("{} cannot be read: {error}", folder.display()))
        })?;
        refuse(folder, facts.mode() & 0o022, facts.uid(), "written to", "700")
    }

    pub(super) fn check_file(path: &Path, file: &File) -> Result<()> {
        let facts = file.metadata().map_err(|error| {
            ClientError::own("HOOP-1004", format!("{} cannot be read: {error}", path.display()))
        })?;
        refuse(path, facts.mode() & 0o077, facts.uid(), "read or changed", "600")
    }

    fn refuse(path: &Path, open_to_others: u32, owner: u32, verb: &str, mode: &str) -> Result<()> {
        let shown = path.display();
        if owner != rustix::process::geteuid().as_raw() {
            return Err(ClientError::own("HOOP-1003", format!("{shown} belongs to another user"))
                .hint("point HOOP_CONFIG_DIR to a folder of your own"));
        }
        if open_to_others != 0 {
            return Err(ClientError::own("HOOP-1003", format!("{shown} can be {verb} by other users")).hint(
                format!(
                    "run: chmod {mode} '{shown}'; if others use this machine, `hoop logout` and sign in anew"
                ),
            ));
        }
        Ok(())
    }
}

#[cfg(not(unix))]
mod permissions {
    //! Elsewhere the user's own folder is private already.
    use std::{fs::File, io, path::Path};

    use crate::error::Result;

    pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
        std::fs::create_dir_all(folder)
    }

    pub(super) fn check_folder(_: &Path) -> Result<()> {
        Ok(())
    }

    pub(super) fn check_file(_: &Path, _: &File) -> Result<()> {
        Ok(())
    }
}

impl From<OnDisk> for Profile {
    fn from(disk: OnDisk) -> Self {
        let tokens = disk.tokens.map(|mut tokens| StoredTokens {
            access: std::mem::take(&mut tokens.access).into(),
            refresh: std::mem::take(&mut tokens.refresh).into(),
            expires_at: tokens.expires_at,
        });
        Self { gateway: disk.gateway, ca_pem: disk.ca_pem, user: disk.user, tokens }
    }
}

impl From<&Profile> for OnDisk {
    fn from(profile: &Profile) -> Self {
        let tokens = profile.tokens.as_ref().map(|tokens| TokensOnDisk {
            access: tokens.access.expose().clone(),
            refresh: tokens.refresh.expose().clone(),
            expires_at: tokens.expires_at,
        });
        Self {
            gateway: profile.gateway.clone(),
            ca_pem: profile.ca_pem.clone(),
            user: profile.user.clone(),
            tokens,
        }
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn profile() -> Profile {
        Profile {
            gateway: "https://gw.test:8443".into(),
            ca_pem: Some("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n".into()),
            user: Some("ada".into()),
            tokens: Some(StoredTokens {
                access: "canary-access".to_owned().into(),
                refresh: "canary-refresh".to_owned().into(),
                expires_at: Timestamp::from_micros(1_700_000_000_000_000),
            }),
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_profile_is_private_and_comes_back_as_it_was() {
        let home = tempfile::tempdir().unwrap();
        let store = ProfileStore::at(home.path().join("deep").join("hoop"));
        assert_eq!(store.load().unwrap(), None);
        store.save(&profile()).unwrap();
        store.save(&profile()).unwrap();
        assert_eq!(store.load().unwrap(), Some(profile()));
        assert_eq!((mode(&store.file()), mode(&home.path().join("deep/hoop"))), (0o600, 0o700));
        assert_eq!(fs::read_dir(home.path().join("deep/hoop")).unwrap().count(), 1);
    }

    #[test]
    fn a_profile_that_others_can_read_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let store = ProfileStore::at(home.path());
        store.save(&profile()).unwrap();
        for bad in [0o640, 0o604, 0o620, 0o602, 0o666] {
            chmod(&store.file(), bad);
            let error = store.load().unwrap_err();
            assert!(
                error.is("HOOP-1003") && error.fault.hint.as_ref().unwrap().contains("chmod 600"),
                "{error}"
            );
        }
        chmod(&store.file(), 0o600);
        chmod(home.path(), 0o777);
        assert!(store.load().unwrap_err().is("HOOP-1003"));
        chmod(home.path(), 0o755);
        assert!(store.load().is_ok());
    }

    #[test]
    fn a_malformed_profile_is_refused_without_showing_it() {
        let home = tempfile::tempdir().unwrap();
        let store = ProfileStore::at(home.path());
        for text in [
            "gateway = 3",
            "",
            "access = \"canary-1\"",
            "gateway=\"x\"\n[tokens]\naccess=\"canary-2\"",
            "\u{0}",
        ] {
            write_private(&store.file(), text.as_bytes()).unwrap();
            let error = store.load().unwrap_err();
            assert!(error.is("HOOP-1004") && !format!("{error} {error:?}").contains("canary"), "{error}");
        }
    }

    #[test]
    fn no_form_of_printing_shows_a_token() {
        assert!(!format!("{:?}", profile()).contains("canary"));
    }

    #[test]
    fn two_cannot_hold_the_lock() {
        let home = tempfile::tempdir().unwrap();
        let store = ProfileStore::at(home.path());
        let first = store.lock().unwrap();
        let (said, heard) = std::sync::mpsc::channel();
        let second = std::thread::spawn({
            let store = store.clone();
            move || {
                let guard = store.lock().unwrap();
                said.send(()).unwrap();
                drop(guard);
            }
        });
        assert!(heard.recv_timeout(Duration::from_millis(100)).is_err());
        drop(first);
        heard.recv_timeout(Duration::from_secs(10)).unwrap();
        second.join().unwrap();
    }

    #[test]
    fn the_environment_decides_the_folder() {
        let table: [(&[(&str, &str)], &str); 4] = [
            (&[("HOOP_CONFIG_DIR", "/a"), ("XDG_CONFIG_HOME", "/b"), ("HOME", "/c")], "/a/profile.toml"),
            (&[("XDG_CONFIG_HOME", "/b"), ("HOME", "/c")], "/b/hoop/profile.toml"),
            (&[("XDG_CONFIG_HOME", "relative"), ("HOME", "/c")], "/c/.config/hoop/profile.toml"),
            (&[("HOME", "/c")], "/c/.config/hoop/profile.toml"),
        ];
        for (variables, wanted) in table {
            let find = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v));
            assert_eq!(ProfileStore::from_variables(find).unwrap().file(), PathBuf::from(wanted));
        }
        assert!(ProfileStore::from_variables(|_| None).is_err());
    }
}
