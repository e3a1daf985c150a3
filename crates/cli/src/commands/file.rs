//! Files that commands read and write.

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

use hoop_client::{Body, ClientError, profile};

use crate::failure::Result;

/// Configurations and keys are small.
const LARGEST_TEXT: u64 = 8 * 1024 * 1024;

pub(super) fn unusable(path: &Path, verb: &str, error: &io::Error) -> ClientError {
    ClientError::usage("HOOP-1016", format!("{} cannot be {verb}: {error}", path.display()))
}

/// Reads a small text; `-` is stdin.
pub(super) fn read_text(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = if path == Path::new("-") {
        io::stdin().take(LARGEST_TEXT).read_to_string(&mut text)
    } else {
        File::open(path).and_then(|file| file.take(LARGEST_TEXT).read_to_string(&mut text))
    };
    read.map_err(|error| unusable(path, "read", &error))?;
    Ok(text)
}

/// Opens a file to read.
pub(super) fn open(path: &Path) -> Result<io::BufReader<File>> {
    Ok(File::open(path).map(io::BufReader::new).map_err(|error| unusable(path, "read", &error))?)
}

/// Writes a small secret text to a new file that nobody else can read.
pub(super) fn keep_secret(path: &Path, text: &str) -> Result {
    if path.exists() {
        let exists = io::Error::from(io::ErrorKind::AlreadyExists);
        return Err(unusable(path, "written", &exists).into());
    }
    profile::write_private(path, text.as_bytes()).map_err(|error| unusable(path, "written", &error))?;
    Ok(())
}

/// Writes a small text to a new file, which others may read as far as the user's mask says.
pub(super) fn keep(path: &Path, text: &str) -> Result {
    let written =
        File::create_new(path).and_then(|mut file| io::Write::write_all(&mut file, text.as_bytes()));
    Ok(written.map_err(|error| unusable(path, "written", &error))?)
}

/// Writes a body to a private file, or to stdout; gives its length. A file that broke off is not left behind.
pub(super) async fn save(body: Body, to: Option<&Path>) -> Result<u64> {
    match to.filter(|path| *path != Path::new("-")) {
        None => copy(body, &mut io::stdout().lock()).await,
        Some(path) => {
            // What is exported is what a person saw: private, like everything else that holds it.
            profile::write_private(path, b"").map_err(|error| unusable(path, "written", &error))?;
            let file =
                File::options().append(true).open(path).map_err(|error| unusable(path, "written", &error))?;
            let written = copy(body, &mut io::BufWriter::new(file)).await;
            if written.is_err() {
                let _ = std::fs::remove_file(path);
            }
            written
        }
    }
}

async fn copy(mut body: Body, to: &mut impl io::Write) -> Result<u64> {
    let mut length = 0;
    while let Some(piece) = body.next().await? {
        to.write_all(&piece)?;
        length += piece.len() as u64;
    }
    to.flush()?;
    Ok(length)
}
