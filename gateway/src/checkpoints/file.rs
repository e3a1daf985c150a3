//! A file to which notes are appended. It counts when it is on the disk.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use super::Undelivered;

/// Appends a note, and an empty line after it.
pub(super) async fn append(path: PathBuf, note: String) -> Result<(), Undelivered> {
    let written = tokio::task::spawn_blocking(move || write(&path, &note));
    written.await.map_err(io::Error::other).flatten().map_err(Undelivered::File)
}

fn write(path: &Path, note: &str) -> io::Result<()> {
    let fresh = !path.exists();
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    // Somebody died in the middle of a line: the next note must not be part of it.
    let seam = if ends_a_line(&mut file)? { "" } else { "\n\n" };
    file.write_all(format!("{seam}{note}\n").as_bytes())?;
    file.sync_all()?;
    match path.parent().filter(|folder| fresh && !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn ends_a_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(true);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_stand_one_after_the_other_also_after_a_crash() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints.txt");
        write(&path, "a\n1\nr\n\nsig\n").unwrap();
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"a\n2").unwrap();
        write(&path, "a\n3\nr\n\nsig\n").unwrap();
        let held = std::fs::read_to_string(&path).unwrap();
        assert_eq!(held, "a\n1\nr\n\nsig\n\na\n2\n\na\n3\nr\n\nsig\n\n");
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().to_owned(), folder.path().join("none/x")] {
            assert!(matches!(append(path, "x".into()).await, Err(Undelivered::File(_))));
        }
    }
}
