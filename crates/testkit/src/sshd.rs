//! A private OpenSSH server, gone with its folder at the end. It lets in the user who runs the tests, by a key of its own.

use std::{
    fs,
    os::unix::fs::{MetadataExt, PermissionsExt},
    path::{Path, PathBuf},
    process::Command,
};

use crate::{Daemon, daemon::free_port, run};

/// A server.
#[derive(Debug)]
pub struct Sshd {
    pub port: u16,
    folder: tempfile::TempDir,
    daemon: Daemon,
}

/// Makes a key pair at this path.
pub fn ssh_key(path: &Path) {
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "test", "-f"]).arg(path));
}

fn start(folder: &Path, port: u16) -> Daemon {
    // The server cuts its rights down in a folder that Debian's own unit would make.
    if fs::metadata("/proc/self").is_ok_and(|facts| facts.uid() == 0) {
        fs::create_dir_all("/run/sshd").unwrap();
    }
    let mut command = Command::new("/usr/sbin/sshd");
    command.args(["-D", "-e", "-f"]).arg(folder.join("sshd_config"));
    let mut daemon = Daemon::start("sshd", folder, &mut command);
    daemon.wait_for(&format!("Server listening on 127.0.0.1 port {port}"));
    daemon
}

impl Sshd {
    pub fn start() -> Self {
        Self::with("")
    }

    /// One that lets nobody in but by a certificate of its authority.
    pub fn taking_certificates() -> Self {
        Self::with("TrustedUserCAKeys {folder}/authority.pub\nAuthorizedKeysFile none")
    }

    /// With more lines in its configuration, `{folder}` standing for its folder; the first of a name counts.
    pub fn with(lines: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (path, port) = (folder.path(), free_port());
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        ssh_key(&path.join("host"));
        ssh_key(&path.join("user"));
        ssh_key(&path.join("authority"));
        fs::copy(path.join("user.pub"), path.join("authorized_keys")).unwrap();
        let lines = lines.replace("{folder}", &path.display().to_string());
        let at = |name: &str| path.join(name).display().to_string();
        // It takes every variable and every forward: what is refused through hoop, hoop refused.
        let config = format!(
            "{lines}\nListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
             StrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
             PermitRootLogin yes\nAcceptEnv *\nAllowTcpForwarding yes\nAllowAgentForwarding yes\n\
             PermitUserEnvironment no\nX11Forwarding no\nMaxStartups 100\nMaxSessions 100\nPrintMotd no\n\
             PrintLastLog no\nSubsystem sftp internal-sftp\nLogLevel VERBOSE\n",
            at("host"),
            at("authorized_keys"),
        );
        fs::write(path.join("sshd_config"), config).unwrap();
        let daemon = start(path, port);
        Self { port, folder, daemon }
    }

    /// The user that it lets in.
    pub fn user(&self) -> String {
        run(Command::new("id").arg("-un")).trim().to_owned()
    }

    /// The private key that lets in.
    pub fn user_key(&self) -> PathBuf {
        self.folder.path().join("user")
    }

    /// Its public key, as `known_hosts` has it.
    pub fn host_key(&self) -> String {
        public(&self.folder.path().join("host.pub"))
    }

    /// The private key of that authority.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority")
    }

    /// The key of an authority that could certify it.
    pub fn authority_key(&self) -> String {
        public(&self.folder.path().join("authority.pub"))
    }

    /// From now on it shows a certificate of its authority for these names.
    pub fn certify(&mut self, names: &str) {
        let path = self.folder.path();
        run(Command::new("ssh-keygen")
            .args(["-q", "-h", "-I", "host", "-n", names, "-V", "+1h", "-s"])
            .arg(path.join("authority"))
            .arg(path.join("host.pub")));
        let config = fs::read_to_string(path.join("sshd_config")).unwrap();
        let line = format!("HostCertificate {}\n", path.join("host-cert.pub").display());
        fs::write(path.join("sshd_config"), line + &config).unwrap();
        self.restart();
    }

    /// From now on it has another key: somebody else answers in its place.
    pub fn swap_key(&mut self) {
        for name in ["host", "host.pub"] {
            fs::remove_file(self.folder.path().join(name)).unwrap();
        }
        ssh_key(&self.folder.path().join("host"));
        self.restart();
    }

    /// Ends it, and starts it anew. Sessions of the old one go on, as OpenSSH has it.
    pub fn restart(&mut self) {
        self.daemon.kill();
        fs::remove_file(self.folder.path().join("sshd.log")).unwrap();
        self.daemon = start(self.folder.path(), self.port);
    }

    pub fn log(&self) -> String {
        self.daemon.log()
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

fn public(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split_whitespace().take(2).collect::<Vec<_>>().join(" ")
}
