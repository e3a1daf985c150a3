//! Running other programs, with errors that say which program, where, and what it printed last.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// A line of progress.
pub(crate) fn say(line: impl AsRef<str>) {
    eprintln!("xtask: {}", line.as_ref());
}

/// The root of the workspace: the folder that holds `Cargo.lock`. Cargo says where it runs us from: clones that build into
/// one folder may have built this program elsewhere.
pub(crate) fn root() -> Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    Path::new(&package)
        .ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .context("crates/xtask is no longer two folders below the workspace")
}

/// Where cargo builds: `CARGO_TARGET_DIR`, or `target` in the workspace.
pub(crate) fn target_dir() -> Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => std::path::absolute(PathBuf::from(folder)).context("CARGO_TARGET_DIR"),
        None => Ok(root()?.join("target")),
    }
}

/// A command that starts in the workspace's root.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Result<Command> {
    let mut command = Command::new(program);
    command.current_dir(root()?);
    Ok(command)
}

/// Runs to the end; everything it prints goes to our stderr. Fails if it does.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command
        .stdin(Stdio::null())
        .stdout(std::io::stderr())
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if status.success() { Ok(()) } else { bail!("`{shown}` failed ({status}); what it printed stands above") }
}

/// Runs to the end and answers with its stdout; its stderr becomes part of the error.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let shown = show(command);
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start `{shown}`"))?;
    finished(&shown, output)
}

/// As [`capture`], with `input` on its stdin.
pub(crate) fn capture_with_input(command: &mut Command, input: &[u8]) -> Result<String> {
    use std::io::Write as _;
    let shown = show(command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    let input = input.to_vec();
    // A program that reads nothing closes the pipe: its exit status tells more than our write error.
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().with_context(|| format!("waiting for `{shown}`"))?;
    drop(writer.join());
    finished(&shown, output)
}

fn finished(shown: &str, output: std::process::Output) -> Result<String> {
    if !output.status.success() {
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("`{shown}` failed ({}):\n{}", output.status, last_lines(&said, 25));
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{shown}` printed something that is not UTF-8"))
}

/// The last `count` lines of `text`.
pub(crate) fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}

fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let mut shown = words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    if shown.len() > 300 {
        shown = shown.chars().take(300).collect::<String>() + "…";
    }
    shown
}

/// Finds a program on `PATH` or in the folders that Debian keeps off an ordinary user's path.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
}

/// Asks `condition` until it answers with a value or `limit` has passed.
pub(crate) fn wait_until<T>(
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = condition()? {
            return Ok(Some(value));
        }
        if Instant::now() >= end {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whether we are root: files and servers of PostgreSQL must then belong to somebody else.
pub(crate) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").is_ok_and(|us| us.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_program_and_its_last_words() {
        let error =
            capture(Command::new("sh").args(["-c", "echo so; echo it ends >&2; exit 3"])).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sh -c") && text.contains("it ends") && text.contains('3'), "{text}");
    }

    #[test]
    fn input_larger_than_a_pipe_does_not_hang() {
        let out = capture_with_input(Command::new("wc").arg("-c"), &vec![b'x'; 1 << 20]).unwrap();
        assert_eq!(out.trim(), "1048576");
    }

    #[test]
    fn a_program_that_reads_nothing_is_judged_by_its_status() {
        capture_with_input(&mut Command::new("true"), &vec![b'x'; 1 << 20]).unwrap();
    }

    #[test]
    fn last_lines_of_short_text_is_all_of_it() {
        assert_eq!(last_lines("a\nb", 5), "a\nb");
        assert_eq!(last_lines("a\nb\nc", 1), "c");
    }

    #[test]
    fn waiting_ends() {
        assert_eq!(wait_until(Duration::ZERO, || Ok(None::<()>)).unwrap(), None);
        assert_eq!(wait_until(Duration::ZERO, || Ok(Some(1))).unwrap(), Some(1));
    }
}
