//! Recording keys as files of the gateway's own: `recording*.pem` in one folder, mode 0600, each found by its id.

use std::{
    fs,
    path::{Path, PathBuf},
};

use hoop_recording::{KeyId, RecordingPrivateKey};

use super::{
    KeysError,
    keeper::{KeeperError, Named},
    read_or_create,
};

/// The first one.
const FIRST: &str = "recording.pem";
/// Files looked at.
const MOST: usize = 1000;

/// The folder.
#[derive(Debug)]
pub(super) struct Folder {
    dir: PathBuf,
}

impl Folder {
    pub(super) fn new(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// Does any private key lie here?
    pub(super) fn holds_any(&self) -> bool {
        !self.paths().is_empty()
    }

    fn paths(&self) -> Vec<PathBuf> {
        let ours = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.starts_with("recording") && name.ends_with(".pem")
        };
        let entries = fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let mut paths: Vec<_> = entries.map(|entry| entry.path()).filter(ours).take(MOST).collect();
        paths.sort();
        paths
    }

    /// The key of this id, if it lies here. The files are read anew: one may have been laid here since the start.
    pub(super) fn find(&self, id: KeyId) -> Option<RecordingPrivateKey> {
        self.paths().iter().filter_map(|path| read(path).ok()).find(|key| key.public().id() == id)
    }

    /// The key in force where it lies here; else the first one, which is made when there is none at all.
    pub(super) fn named(&self, in_force: Option<KeyId>) -> Result<Named, KeeperError> {
        for path in self.paths() {
            let key = read(&path)?;
            if Some(key.public().id()) == in_force {
                return Ok(named(&key, &path));
            }
        }
        let first = self.dir.join(FIRST);
        if let (Some(id), false) = (in_force, first.exists()) {
            return Err(KeeperError::NotHere(id));
        }
        self.create(&first)
    }

    /// A new key beside the others.
    pub(super) fn make(&self) -> Result<Named, KeeperError> {
        let key = RecordingPrivateKey::generate().map_err(|error| KeeperError::File(error.to_string()))?;
        let path = self.dir.join(format!("recording-{}.pem", key.public().id()));
        let kept = read_or_create(&path, || Ok(key.to_pem()));
        kept.map_err(|error| KeeperError::File(error.to_string()))?;
        Ok(named(&key, &path))
    }

    fn create(&self, path: &Path) -> Result<Named, KeeperError> {
        let make =
            || RecordingPrivateKey::generate().map(|key| key.to_pem()).map_err(|_| KeysError::Randomness);
        read_or_create(path, make).map_err(|error| KeeperError::File(error.to_string()))?;
        Ok(named(&read(path)?, path))
    }
}

fn named(key: &RecordingPrivateKey, path: &Path) -> Named {
    let place = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Named { public: key.public().clone(), place }
}

fn read(path: &Path) -> Result<RecordingPrivateKey, KeeperError> {
    let gone = || Err(KeysError::File { path: path.display().to_string(), reason: "it is gone".to_owned() });
    let pem = read_or_create(path, gone).map_err(|error| KeeperError::File(error.to_string()))?;
    RecordingPrivateKey::from_pem(pem.expose())
        .map_err(|error| KeeperError::File(format!("{}: {error}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_key_is_found_by_its_id_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Folder::new(folder.path());
        assert!(!keys.holds_any());
        let first = keys.named(None).unwrap();
        assert_eq!(first.place, "recording.pem");
        let second = keys.make().unwrap();
        for key in [&first, &second] {
            let id = key.public.id();
            assert_eq!(keys.named(Some(id)).unwrap().place, key.place);
            assert_eq!(keys.find(id).unwrap().public().id(), id);
        }
        // A start anew names the first, whatever else lies there.
        assert_eq!(keys.named(None).unwrap().public.id(), first.public.id());
    }

    #[test]
    fn a_key_in_force_that_is_gone_is_not_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let keys = Folder::new(folder.path());
        let id = keys.named(None).unwrap().public.id();
        fs::remove_file(folder.path().join(FIRST)).unwrap();
        assert!(matches!(keys.named(Some(id)), Err(KeeperError::NotHere(missing)) if missing == id));
        assert!(!keys.holds_any());
        assert!(keys.find(id).is_none());
    }

    #[test]
    fn what_others_may_read_or_is_no_key_is_refused() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let keys = Folder::new(folder.path());
        let id = keys.named(None).unwrap().public.id();
        let path = folder.path().join(FIRST);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(keys.named(None), Err(KeeperError::File(_))));
        assert!(keys.find(id).is_none());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "no key").unwrap();
        assert!(matches!(keys.named(None), Err(KeeperError::File(_))));
    }
}
