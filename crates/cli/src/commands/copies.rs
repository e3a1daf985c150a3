//! Writes out the copies of files that a recording has.
//!
//! Paths in a recording were chosen by whoever moved the files, and by the host. No part of one decides where anything is written: each
//! copy gets a name of ours in a folder that was empty (THREATS B3).

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use data_encoding::HEXLOWER;
use hoop_client::{Body, profile};
use hoop_recording::hash::Hasher;
use serde::Deserialize;

use super::file::unusable;
use crate::{
    failure::Result,
    output::{Out, Table},
};

/// Longest line: a whole event, each byte of it escaped.
const LONGEST_LINE: usize = 6 * hoop_recording::MAX_EVENT + 4096;
/// Characters of a path's end that a copy's name keeps.
const LONGEST_NAME: usize = 60;

/// Writes them into this folder, and says what there is.
pub(super) async fn save(mut body: Body, folder: &Path, out: &Out) -> Result {
    let mut copies = Copies::new(folder)?;
    while let Some(piece) = body.next().await? {
        copies.push(&piece)?;
    }
    if copies.copies.is_empty() {
        out.note("The recording has no copies of files: an admin says in the connection's settings how much is kept.");
        return Ok(());
    }
    Ok(out.line(copies.table().trim_end())?)
}

/// A request of a stream.
type Of = (u32, u64);

struct Copies {
    folder: PathBuf,
    /// The beginning of a line.
    pending: Vec<u8>,
    /// Paths of files that are open.
    open: BTreeMap<Of, Bytes>,
    /// By request, and which way.
    at: BTreeMap<(Of, Way), usize>,
    copies: Vec<Copy>,
}

/// One that was written.
struct Copy {
    name: String,
    path: String,
    bytes: u64,
    hasher: Hasher,
    /// What is kept is what passed: its length and its sum are those of the recording.
    whole: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Written,
    Read,
}

impl Way {
    const ALL: [Self; 2] = [Self::Written, Self::Read];

    const fn word(self) -> &'static str {
        match self {
            Self::Written => "written",
            Self::Read => "read",
        }
    }
}

/// A line of the export, as far as it is about files.
#[derive(Deserialize)]
struct Line {
    kind: String,
    #[serde(default)]
    stream: u32,
    id: Option<u64>,
    form: Option<String>,
    text: Option<Bytes>,
    direction: Option<String>,
    data: Option<Bytes>,
    tag: Option<Bytes>,
}

/// As the export writes them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Bytes {
    Text(String),
    Other { hex: String },
}

impl Bytes {
    fn bytes(&self) -> io::Result<Vec<u8>> {
        match self {
            Self::Text(text) => Ok(text.clone().into_bytes()),
            Self::Other { hex } => {
                HEXLOWER.decode(hex.as_bytes()).map_err(|_| io::ErrorKind::InvalidData.into())
            }
        }
    }
}

impl Copies {
    fn new(folder: &Path) -> Result<Self> {
        let made = match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::read_dir(folder).and_then(|mut entries| match entries.next() {
                    None => Ok(()),
                    Some(_) => Err(io::Error::other("it is not empty")),
                })
            }
            made => made,
        };
        made.map_err(|error| unusable(folder, "written to", &error))?;
        let folder = folder.to_owned();
        Ok(Self {
            folder,
            pending: Vec::new(),
            open: BTreeMap::new(),
            at: BTreeMap::new(),
            copies: Vec::new(),
        })
    }

    /// Takes the next bytes of the export.
    fn push(&mut self, mut piece: &[u8]) -> Result {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            let (line, rest) = piece.split_at(end);
            self.pending.extend_from_slice(line);
            let line = std::mem::take(&mut self.pending);
            self.line(&line).map_err(|error| unusable(&self.folder, "written to", &error))?;
            piece = rest.get(1..).unwrap_or_default();
        }
        self.pending.extend_from_slice(piece);
        if self.pending.len() > LONGEST_LINE {
            return Err(unusable(&self.folder, "written to", &io::ErrorKind::InvalidData.into()).into());
        }
        Ok(())
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let line: Line = serde_json::from_slice(line)?;
        let Some(id) = line.id else { return Ok(()) };
        let of = (line.stream, id);
        match (line.kind.as_str(), line.form.as_deref(), line.direction.as_deref()) {
            ("request", Some("read_file" | "write_file" | "read_and_write_file"), _) => {
                self.open.extend(line.text.map(|path| (of, path)));
            }
            ("copy", _, Some("in")) => self.copy(of, Way::Written, line.data)?,
            ("copy", _, Some("out")) => self.copy(of, Way::Read, line.data)?,
            ("completed" | "failed", ..) => {
                self.open.remove(&of);
                let tag = line.tag.map(|tag| tag.bytes()).transpose()?.unwrap_or_default();
                Way::ALL.into_iter().for_each(|way| self.over(of, way, &String::from_utf8_lossy(&tag)));
            }
            _ => {}
        }
        Ok(())
    }

    fn copy(&mut self, of: Of, way: Way, data: Option<Bytes>) -> io::Result<()> {
        let (Some(path), Some(data)) = (self.open.get(&of), data) else { return Ok(()) };
        let data = data.bytes()?;
        let at = match self.at.get(&(of, way)) {
            Some(at) => *at,
            None => {
                let path = String::from_utf8_lossy(&path.bytes()?).into_owned();
                let name = format!("{:04}-{}-{}", self.copies.len() + 1, way.word(), harmless(&path));
                profile::write_private(&self.folder.join(&name), b"")?;
                self.copies.push(Copy { name, path, bytes: 0, hasher: Hasher::default(), whole: None });
                self.at.insert((of, way), self.copies.len() - 1);
                self.copies.len() - 1
            }
        };
        let Some(copy) = self.copies.get_mut(at) else { return Ok(()) };
        File::options().append(true).open(self.folder.join(&copy.name))?.write_all(&data)?;
        copy.bytes += data.len() as u64;
        copy.hasher.update(&data);
        Ok(())
    }

    fn over(&mut self, of: Of, way: Way, tag: &str) {
        let Some(at) = self.at.remove(&(of, way)) else { return };
        if let Some(copy) = self.copies.get_mut(at) {
            let (bytes, sum) = (copy.bytes, copy.hasher.clone().finish());
            copy.whole = Some(tag.contains(&format!("{bytes} bytes {}, sha256 {sum}", way.word())));
        }
    }

    fn table(&self) -> String {
        let mut table = Table::new(["COPY", "BYTES", "SHA-256", "OF", "KEPT"]);
        for copy in &self.copies {
            let kept = match copy.whole {
                Some(true) => "all of it, as recorded",
                Some(false) => "not all of it",
                None => "up to the end of the recording",
            };
            let sum = copy.hasher.clone().finish().to_string();
            table.row([&copy.name, &copy.bytes.to_string(), &sum, &copy.path, kept]);
        }
        table.render()
    }
}

/// The last part of a path, with nothing in it that a file system, a shell or a terminal could take for more than a name.
fn harmless(path: &str) -> String {
    let end = path.rsplit('/').find(|part| !part.is_empty()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' };
    end.chars().map(plain).take(LONGEST_NAME).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that was read, in pieces; the sum of "hello".
    fn export(path: &str, tag: &str) -> String {
        let path = serde_json::to_string(path).unwrap();
        [
            format!(r#"{{"kind":"request","stream":0,"id":1,"form":"read_file","text":{path}}}"#),
            r#"{"kind":"copy","stream":0,"id":1,"direction":"out","data":"hel"}"#.into(),
            r#"{"kind":"copy","stream":0,"id":9,"direction":"out","data":"a command's output"}"#.into(),
            r#"{"kind":"copy","stream":0,"id":1,"direction":"out","data":{"hex":"6c6f"}}"#.into(),
            format!(r#"{{"kind":"completed","stream":0,"id":1,"tag":"{tag}"}}"#),
            String::new(),
        ]
        .join("\n")
    }

    const SUM: &str =
        "closed: 5 bytes read, sha256 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

    fn written(export: &str) -> (tempfile::TempDir, Copies) {
        let parent = tempfile::tempdir().unwrap();
        let mut copies = Copies::new(&parent.path().join("copies")).unwrap();
        export.as_bytes().chunks(7).for_each(|piece| copies.push(piece).unwrap());
        (parent, copies)
    }

    #[test]
    fn pieces_become_a_file_and_the_recordings_sum_says_whether_it_is_whole() {
        for (tag, whole) in [(SUM, true), ("closed: 9 bytes read, sha256 2cf2", false), ("", false)] {
            let (parent, copies) = written(&export("/etc/motd", tag));
            let copy = &copies.copies[0];
            assert_eq!((copy.name.as_str(), copy.whole), ("0001-read-motd", Some(whole)), "{tag}");
            assert_eq!(fs::read(parent.path().join("copies/0001-read-motd")).unwrap(), b"hello");
            assert_eq!(copies.copies.len(), 1, "output is no file");
        }
    }

    /// THREATS B3: whatever a path is, its copy lies in the folder.
    #[test]
    fn no_path_leads_out_of_the_folder() {
        let long = format!("/{}", "x".repeat(5000));
        for path in [
            "../../etc/passwd",
            "/etc/passwd",
            "..",
            ".",
            "/",
            "",
            "a\u{0}b",
            "..\\..\\x",
            "C:\\x",
            "a\nb",
            "CON",
            &long,
            "\u{202e}gpj.exe",
            "-rf",
            "~/.ssh/authorized_keys",
            "$(id)",
            "../",
        ] {
            let (parent, copies) = written(&export(path, SUM));
            let name = &copies.copies[0].name;
            assert!(name.len() < 100 && name.starts_with("0001-read-"), "{path:?}: {name}");
            assert!(
                name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)),
                "{name}"
            );
            assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "{path:?}");
            let inside: Vec<_> = fs::read_dir(parent.path().join("copies")).unwrap().collect();
            assert_eq!(inside.len(), 1, "{path:?}");
            assert!(!copies.table().contains('\u{202e}') && !copies.table().contains('\u{0}'));
        }
    }

    #[test]
    fn nothing_is_written_to_a_folder_that_has_something_in_it() {
        let folder = tempfile::tempdir().unwrap();
        assert!(Copies::new(folder.path()).is_ok(), "an empty one will do");
        fs::write(folder.path().join("0001-read-motd"), "").unwrap();
        assert!(Copies::new(folder.path()).is_err());
        assert!(Copies::new(&folder.path().join("a/b")).is_err());
    }
}
