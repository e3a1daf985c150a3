//! S3-compatible stores for tests: `moto` in server mode, with object lock, which can be told to refuse or to hang; and
//! `s3s-fs`, which keeps objects as files and has no locks.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    daemon::{Daemon, free_port, wait_until},
    python::moto_packages,
    run,
};

const SCRIPT: &str = include_str!("object_store.py");
const BUCKET: &str = "evidence";
const KEY: &str = "AKIACANARYACCESSKEY0";
const SECRET: &str = "canary-object-store-secret";
const SIGNING: &str = "aws:amz:us-east-1:s3";

/// The store, with one bucket.
#[derive(Debug)]
pub struct ObjectStore {
    daemon: Daemon,
    port: u16,
}

impl ObjectStore {
    /// Starts it, with an empty bucket that has object lock.
    pub fn start(folder: &Path) -> Self {
        let script = folder.join("object_store.py");
        fs::write(&script, SCRIPT).unwrap();
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", moto_packages()).arg(&script);
        let daemon = Daemon::start("object-store", folder, &mut python);
        let port = wait_until("the object store's port", || {
            daemon.log().split("ready on ").nth(1)?.split(' ').next()?.parse().ok()
        });
        let store = Self { daemon, port };
        store.curl(&["-X", "PUT", "-H", "x-amz-bucket-object-lock-enabled: true"], "");
        store
    }

    /// Starts the one that keeps files: objects lie in `objects/evidence`, what is on its way in `objects`.
    pub fn of_files(folder: &Path) -> Self {
        let port = free_port();
        let store = Self { daemon: s3s_fs(folder, port), port };
        store.curl(&["-X", "PUT"], "");
        store
    }

    /// Kills the one that keeps files.
    pub fn kill(&mut self) {
        self.daemon.kill();
    }

    /// Starts it again, with what it had.
    pub fn start_again(&mut self, folder: &Path) {
        self.daemon = s3s_fs(folder, self.port);
    }

    /// Environment of a gateway that keeps its recordings there.
    pub fn environment(&self, more: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        let endpoint = format!("http://127.0.0.1:{}", self.port);
        let common = [
            ("HOOP_GATEWAY_RECORDINGS_STORE", "s3"),
            ("HOOP_GATEWAY_RECORDINGS_S3_BUCKET", BUCKET),
            ("HOOP_GATEWAY_RECORDINGS_S3_ENDPOINT", &endpoint),
            ("HOOP_GATEWAY_RECORDINGS_S3_ACCESS_KEY_ID", KEY),
            ("HOOP_GATEWAY_RECORDINGS_S3_SECRET_ACCESS_KEY", "env:OBJECT_STORE_SECRET"),
            ("OBJECT_STORE_SECRET", SECRET),
            ("HOOP_GATEWAY_RECORDINGS_S3_TIMEOUT", "2s"),
        ];
        common.iter().chain(more).map(|(name, value)| (*name, (*value).to_owned())).collect()
    }

    /// From now on it answers 403.
    pub fn refuse(&self) {
        self.control("refuse");
    }

    /// From now on it does not answer.
    pub fn hang(&self) {
        self.control("hang");
    }

    /// From now on it works.
    pub fn open(&self) {
        self.control("open");
    }

    /// What was asked of it that changes something, one line each.
    pub fn calls(&self) -> String {
        self.control("look")
    }

    /// Names of its objects.
    pub fn names(&self) -> Vec<String> {
        let listed = self.curl(&[], "?list-type=2");
        listed
            .split("<Key>")
            .skip(1)
            .filter_map(|rest| Some(rest.split_once("</Key>")?.0.to_owned()))
            .collect()
    }

    /// An object's bytes.
    pub fn object(&self, name: &str) -> Vec<u8> {
        let out = self.signed(&["-f"], &format!("/{name}")).output().unwrap();
        assert!(out.status.success(), "{name} is not there");
        out.stdout
    }

    /// Somebody else puts an object.
    pub fn put(&self, name: &str, text: &str) {
        let bytes = "Content-Type: application/octet-stream";
        self.curl(&["-X", "PUT", "-H", bytes, "--data-binary", text], &format!("/{name}"));
    }

    /// What the store says of an object, lock and legal hold among it: the head of its answer.
    pub fn told(&self, name: &str) -> String {
        self.curl(&["--head"], &format!("/{name}"))
    }

    /// Whoever has the key tries to delete an object's only version: what the store says.
    pub fn delete_version(&self, name: &str) -> String {
        let versions = self.curl(&[], "?versions");
        let of_it = versions.split("<Version>").find(|part| part.contains(name)).unwrap_or_default();
        let id = of_it.split("<VersionId>").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
        let said = self.signed(&["-X", "DELETE"], &format!("/{name}?versionId={id}")).output().unwrap();
        String::from_utf8(said.stdout).unwrap()
    }

    fn control(&self, word: &str) -> String {
        run(Command::new("curl").args(["-sf", &format!("http://127.0.0.1:{}/control/{word}", self.port)]))
    }

    fn curl(&self, options: &[&str], rest: &str) -> String {
        run(self.signed(options, rest).arg("-f"))
    }

    fn signed(&self, options: &[&str], rest: &str) -> Command {
        let mut curl = Command::new("curl");
        curl.args(["-s", "--aws-sigv4", SIGNING, "--user", &format!("{KEY}:{SECRET}")]);
        curl.args(["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"]);
        curl.args(options).arg(format!("http://127.0.0.1:{}/{BUCKET}{rest}", self.port));
        curl
    }
}

/// `cargo xtask test` installs it where cargo does.
fn s3s_fs(folder: &Path, port: u16) -> Daemon {
    let root = folder.join("objects");
    fs::create_dir_all(&root).unwrap();
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo"))).unwrap();
    let mut command = Command::new(home.join("bin/s3s-fs"));
    command.args(["--host", "127.0.0.1", "--port", &port.to_string()]);
    command.args(["--access-key", KEY, "--secret-key", SECRET]).arg(root).env("RUST_LOG", "info");
    let mut daemon = Daemon::start(&format!("object-files-{}", free_port()), folder, &mut command);
    daemon.wait_for("server is running");
    daemon
}
