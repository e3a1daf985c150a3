//! A private PostgreSQL: made, started and removed by the test. Without the server's programs the test fails.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

pub(crate) struct Server {
    programs: PathBuf,
    folder: tempfile::TempDir,
}

fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").expect("PostgreSQL's server is installed");
    let mut found: Vec<_> = versions.map(|entry| entry.unwrap().path().join("bin")).collect();
    found.retain(|bin| bin.join("initdb").exists());
    found.sort();
    found.pop().expect("PostgreSQL's server is installed")
}

/// PostgreSQL refuses to run as root.
fn command(program: &Path) -> Command {
    let root = Command::new("id").arg("-u").output().unwrap().stdout == b"0\n";
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(program);
    command
}

fn run(command: &mut Command) {
    let output = command.stdin(Stdio::null()).current_dir("/").output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Server {
    pub(crate) fn start() -> Self {
        let server = Self { programs: programs(), folder: tempfile::tempdir().unwrap() };
        let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(server.folder.path(), everyone).unwrap();
        run(command(&server.programs.join("initdb"))
            .args(["--auth=trust", "--username=postgres", "--no-sync", "--encoding=UTF8", "-D"])
            .arg(server.data()));
        let socket = format!("-c listen_addresses='' -c fsync=off -k {}", server.folder.path().display());
        run(command(&server.programs.join("pg_ctl"))
            .args(["-w", "-o", &socket, "-l"])
            .arg(server.folder.path().join("log"))
            .arg("-D")
            .arg(server.data())
            .arg("start")
            .stdout(Stdio::null()));
        server
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// An empty database; answers its URL.
    pub(crate) fn create_database(&self, name: &str) -> String {
        let folder = self.folder.path();
        run(command(&self.programs.join("createdb")).arg("-h").arg(folder).args(["-U", "postgres", name]));
        format!("postgres://postgres@localhost/{name}?host={}", folder.display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let stop = ["-m", "immediate", "-w", "stop", "-D"];
        let _ = command(&self.programs.join("pg_ctl")).args(stop).arg(self.data()).current_dir("/").output();
        // The files are the server's account's, not ours, when we are not root.
        let _ = command(Path::new("rm")).arg("-rf").arg(self.data()).current_dir("/").output();
    }
}
