//! The kubeconfig on disk: changed under kubectl's own lock, in one step, and readable by its owner alone.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::kubeconfig::{KubeConfig, LARGEST};
use crate::{
    error::{ClientError, Result},
    profile::write_private,
};

/// kubectl holds its lock for milliseconds.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// The file that kubectl writes to: the first of `KUBECONFIG`, else `~/.kube/config`.
///
/// # Errors
/// When neither variable is set.
pub fn default_file(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf> {
    let named = variable("KUBECONFIG").unwrap_or_default();
    let first = std::env::split_paths(&named).find(|path| !path.as_os_str().is_empty());
    let home = || variable("HOME").filter(|home| !home.is_empty()).map(PathBuf::from);
    first.or_else(|| home().map(|home| home.join(".kube").join("config"))).ok_or_else(|| {
        ClientError::usage("HOOP-1069", "there is no place for a kubeconfig")
            .hint("name one with --kubeconfig, or set KUBECONFIG or HOME")
    })
}

/// Changes the file, or makes it. Nothing is written when `change` fails, or changes nothing. Blocks for a moment.
///
/// # Errors
/// When the file is no kubeconfig, cannot be written, or another program holds its lock.
pub fn rewrite<T>(path: &Path, change: impl FnOnce(&mut KubeConfig) -> Result<T>) -> Result<T> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder).map_err(|error| unusable(folder, "made", &error))?;
    }
    let _lock = FileLock::take(path)?;
    // The file may be a link to where it really is: the link stays.
    let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let there = read(&real)?;
    let mut config = KubeConfig::parse(&there).map_err(|error| name(error, path))?;
    let before = config.clone();
    let value = change(&mut config).map_err(|error| name(error, path))?;
    if config != before {
        let text = config.to_yaml().map_err(|error| name(error, path))?;
        replace(&real, &text).map_err(|error| unusable(path, "written", &error))?;
    }
    Ok(value)
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    // It is replaced in one step: a device would be, too.
    if fs::metadata(path).is_ok_and(|facts| !facts.is_file()) {
        let what = format!("{} is no file that could be changed", path.display());
        return Err(ClientError::own("HOOP-1069", what));
    }
    match File::open(path) {
        Ok(file) => {
            let limit = LARGEST as u64 + 1;
            file.take(limit).read_to_string(&mut text).map_err(|error| unusable(path, "read", &error))?;
            Ok(text)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(text),
        Err(error) => Err(unusable(path, "read", &error)),
    }
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(format!(".hoop-{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    let written = write_private(&fresh, text.as_bytes()).and_then(|()| fs::rename(&fresh, path));
    if written.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    written
}

/// Which file it is about, where several are written.
fn name(mut error: ClientError, path: &Path) -> ClientError {
    error.fault.message = format!("{}: {}", path.display(), error.fault.message);
    error
}

fn unusable(path: &Path, verb: &str, error: &io::Error) -> ClientError {
    ClientError::own("HOOP-1016", format!("{} cannot be {verb}: {error}", path.display()))
}

/// `FILE.lock`, which whoever writes the file makes first and removes afterwards (client-go, `clientcmd`).
struct FileLock(PathBuf);

impl FileLock {
    fn take(path: &Path) -> Result<Self> {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        let lock = PathBuf::from(lock);
        let start = Instant::now();
        loop {
            match File::create_new(&lock) {
                Ok(_) => return Ok(Self(lock)),
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(unusable(&lock, "made", &error));
                }
                Err(_) if start.elapsed() < PATIENCE => std::thread::sleep(PAUSE),
                Err(_) => {
                    let what =
                        format!("{} is there: another program writes to the kubeconfig", lock.display());
                    return Err(ClientError::own("HOOP-1072", what)
                        .hint("try again; if no kubectl or hoop is running, remove that file"));
                }
            }
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn touch(config: &mut KubeConfig, name: &str) -> Result<()> {
        let plugin = super::super::Plugin {
            command: "/usr/bin/hoop".into(),
            connection: hoop_model::ConnectionName::new("k8s").unwrap(),
            config_folder: None,
        };
        let entry = super::super::Entry {
            name,
            cluster: super::super::Cluster { port: 1, authority_pem: "x" },
            user: super::super::User::Plugin(&plugin),
            namespace: None,
        };
        config.put(&entry).map(drop)
    }

    #[test]
    fn the_file_is_kubectls_own() {
        let find = |kubeconfig: &str, home: &str| {
            let (kubeconfig, home) = (kubeconfig.to_owned(), home.to_owned());
            default_file(move |name| match name {
                "KUBECONFIG" => Some(kubeconfig.clone().into()),
                "HOME" => Some(home.clone().into()),
                _ => None,
            })
        };
        assert_eq!(find("/a:/b", "/h").unwrap(), Path::new("/a"));
        assert_eq!(find(":/b", "/h").unwrap(), Path::new("/b"));
        assert_eq!(find("", "/h").unwrap(), Path::new("/h/.kube/config"));
        assert!(find("", "").unwrap_err().is("HOOP-1069"));
    }

    #[test]
    fn a_file_is_made_private_and_a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("deep").join("config"));
        fs::write(&real, "kind: Config\n").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o644)).unwrap();
        fs::create_dir(link.parent().unwrap()).unwrap();
        symlink(&real, &link).unwrap();
        rewrite(&link, |config| touch(config, "a")).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
        let other = folder.path().join("new").join("config");
        rewrite(&other, |config| touch(config, "a")).unwrap();
        assert_eq!(fs::metadata(&other).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(other.parent().unwrap()).unwrap().count(), 1, "neither lock nor leftover");
    }

    #[test]
    fn what_is_no_file_is_not_replaced_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("config");
        let _held = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for path in [socket.as_path(), folder.path()] {
            assert!(rewrite(path, |config| touch(config, "a")).unwrap_err().is("HOOP-1069"));
        }
        assert!(!fs::metadata(&socket).unwrap().is_file());
    }

    #[test]
    fn what_is_broken_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        for broken in [
            "clusters: [",
            "a: b: c",
            "- list",
            "kind: Pod",
            "clusters: {a: b}",
            "a: 1\na: 2",
            "a: 1\n---\nb: 2",
        ] {
            fs::write(&path, broken).unwrap();
            let error = rewrite(&path, |config| touch(config, "a")).unwrap_err();
            assert!(error.is("HOOP-1069") && error.to_string().contains("config"), "{broken:?}: {error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), broken);
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn many_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        std::thread::scope(|scope| {
            for number in 0..10 {
                let path = &path;
                scope.spawn(move || rewrite(path, |config| touch(config, &format!("c{number}"))).unwrap());
            }
        });
        let text = fs::read_to_string(&path).unwrap();
        for number in 0..10 {
            assert_eq!(text.matches(&format!("name: c{number}\n")).count(), 3, "{text}");
        }
    }
}
