//! Disks that are full when a test wants them to be.

use std::{
    fs::File,
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use crate::run;

/// A file system in memory over a folder; unmounted when dropped.
#[derive(Debug)]
pub struct SmallDisk {
    folder: PathBuf,
}

impl SmallDisk {
    pub fn over(folder: &Path, size: &str) -> Self {
        let owner = std::os::unix::fs::MetadataExt::uid(&folder.metadata().unwrap());
        let options = format!("size={size},mode=0700,uid={owner}");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "hoop-test"]).arg(folder));
        Self { folder: folder.to_owned() }
    }

    /// Leaves not a byte.
    pub fn fill(&self) {
        let mut filler = File::create(self.folder.join("filler")).unwrap();
        for piece in [1 << 16, 1 << 12, 1] {
            while filler.write_all(&vec![0; piece]).is_ok() {}
        }
    }

    pub fn make_room(&self) {
        std::fs::remove_file(self.folder.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: whoever still has a file open keeps it, and the folder can be removed.
        let _ = Command::new("umount").arg("-l").arg(&self.folder).status();
    }
}
