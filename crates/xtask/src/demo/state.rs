//! What a demo remembers in its folder: ports, people, processes. One JSON file, readable by its owner alone.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use crate::process::{Process, free_port};

const FILE: &str = "demo.json";

/// Everything that must be the same at the next start.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct State {
    /// The folder, absolute.
    #[serde(skip)]
    pub folder: PathBuf,
    /// Where the PostgreSQL cluster is: below the folder, or elsewhere if its user cannot come in.
    pub cluster: PathBuf,
    /// Ports on 127.0.0.1.
    pub ports: Ports,
    /// Password of the database's superuser.
    pub superuser_password: String,
    /// Password of the role that the agent uses.
    pub app_password: String,
    /// The engineer first, the admin second.
    pub people: Vec<Person>,
    /// The sample data is loaded.
    #[serde(default)]
    pub loaded: bool,
    /// The agent has enrolled.
    #[serde(default)]
    pub enrolled: bool,
    /// Folder of the Kubernetes node, if there is one.
    #[serde(default)]
    pub kubernetes: Option<PathBuf>,
    /// The binaries in use.
    pub binaries: Option<Binaries>,
    /// What runs, or ran when we last looked.
    #[serde(default)]
    pub running: Running,
}

/// Ports on 127.0.0.1.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Ports {
    /// The gateway's one public port.
    pub gateway: u16,
    /// Metrics and health.
    pub ops: u16,
    /// The target.
    pub postgres: u16,
    /// The host; 0: none yet.
    #[serde(default)]
    pub ssh: u16,
    /// The cluster's API server; 0: none.
    #[serde(default)]
    pub kubernetes: u16,
}

/// Somebody with a working second factor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Person {
    /// Login name.
    pub name: String,
    /// `user` or `admin`.
    pub role: String,
    /// Groups.
    pub groups: String,
    /// Password.
    pub password: String,
    /// Base32; empty until the account exists.
    pub totp_secret: String,
}

/// The three programs.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Binaries {
    /// `hoop`.
    pub hoop: PathBuf,
    /// `hoop-gateway`.
    pub gateway: PathBuf,
    /// `hoop-agent`.
    pub agent: PathBuf,
}

/// Processes.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(crate) struct Running {
    /// The gateway.
    pub gateway: Option<Process>,
    /// The agent.
    pub agent: Option<Process>,
    /// The postmaster.
    pub postgres: Option<Process>,
    /// The OpenSSH server.
    #[serde(default)]
    pub sshd: Option<Process>,
}

impl State {
    /// The state in `folder`, new if there is none.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        match Self::read(folder)? {
            Some(state) => Ok(state),
            None => Self::make(folder),
        }
    }

    /// The state in `folder`, if there is one.
    pub(crate) fn read(folder: &Path) -> Result<Option<Self>> {
        let folder = std::path::absolute(folder)?;
        let file = folder.join(FILE);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).with_context(|| file.display().to_string()),
        };
        let state: Self = serde_json::from_str(&text).with_context(|| {
            format!("{} is not a demo of this version; --fresh starts anew", file.display())
        })?;
        Ok(Some(Self { folder, ..state }))
    }

    fn make(folder: &Path) -> Result<Self> {
        let folder = std::path::absolute(folder)?;
        if fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some()) {
            bail!("{} holds other things and no demo: give an empty or new folder", folder.display());
        }
        fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
        // Others may pass through: the cluster below belongs to another user. They may not list it.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o711))?;
        let person = |name: &str, role: &str, groups: &str| {
            Ok::<_, anyhow::Error>(Person {
                name: name.into(),
                role: role.into(),
                groups: groups.into(),
                password: secret()?,
                totp_secret: String::new(),
            })
        };
        let state = Self {
            cluster: cluster_place(&folder),
            ports: Ports {
                gateway: free_port()?,
                ops: free_port()?,
                postgres: free_port()?,
                ssh: 0,
                kubernetes: 0,
            },
            superuser_password: secret()?,
            app_password: secret()?,
            people: vec![person("ada", "user", "engineers")?, person("grace", "admin", "admins")?],
            loaded: false,
            enrolled: false,
            kubernetes: None,
            binaries: None,
            running: Running::default(),
            folder,
        };
        state.save()?;
        Ok(state)
    }

    /// Writes it so that a crash leaves the old or the new.
    pub(crate) fn save(&self) -> Result<()> {
        write_secret(&self.folder.join(FILE), &serde_json::to_string_pretty(self)?)
    }

    /// A log's file.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.folder.join("logs").join(format!("{name}.log"))
    }

    /// A person's CLI profile.
    pub(crate) fn profile(&self, person: &Person) -> PathBuf {
        self.folder.join("profiles").join(&person.name)
    }

    /// The gateway's URL.
    pub(crate) fn url(&self) -> String {
        format!("https://localhost:{}", self.ports.gateway)
    }

    /// The engineer.
    pub(crate) fn engineer(&self) -> Result<&Person> {
        self.people.first().context("the demo has lost its people")
    }

    /// The admin.
    pub(crate) fn admin(&self) -> Result<&Person> {
        self.people.get(1).context("the demo has lost its admin")
    }
}

/// Writes a file that only its owner may read, by rename.
pub(crate) fn write_secret(file: &Path, text: &str) -> Result<()> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = file.parent() {
            fs::create_dir_all(folder)?;
        }
        let temporary = file.with_extension("new");
        let mut out =
            fs::OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
        out.write_all(text.as_bytes())?;
        out.sync_all()?;
        fs::rename(&temporary, file)
    };
    write().with_context(|| file.display().to_string())
}

/// 24 letters and digits from the kernel: some 120 bits.
fn secret() -> Result<String> {
    use std::io::Read as _;
    let mut bytes = [0_u8; 24];
    fs::File::open("/dev/urandom")
        .and_then(|mut random| random.read_exact(&mut bytes))
        .context("/dev/urandom")?;
    const LETTERS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    Ok(bytes
        .iter()
        .filter_map(|byte| LETTERS.get(usize::from(byte % 32)))
        .map(|letter| char::from(*letter))
        .collect())
}

/// PostgreSQL does not run as root; its own user cannot enter root's home. Then the cluster lives outside.
fn cluster_place(folder: &Path) -> PathBuf {
    let closed = |path: &Path| fs::metadata(path).is_ok_and(|meta| meta.mode() & 0o001 == 0);
    if crate::shell::is_root() && folder.ancestors().any(closed) {
        // FNV-1a: one place a state folder.
        let hash = folder.to_string_lossy().bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        return PathBuf::from(format!("/var/lib/hoop-demo/{hash:016x}"));
    }
    folder.join("postgres")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
            drop(fs::remove_dir_all(&path));
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn a_second_start_finds_the_first_ones_state() {
        let folder = Folder::new("again");
        let first = State::open(&folder.0).unwrap();
        let second = State::open(&folder.0).unwrap();
        assert_eq!(first.ports.gateway, second.ports.gateway);
        assert_eq!(first.people.first().unwrap().password, second.people.first().unwrap().password);
        let mode = fs::metadata(folder.0.join(FILE)).unwrap().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_folder_with_other_things_is_left_alone() {
        let folder = Folder::new("foreign");
        fs::create_dir_all(&folder.0).unwrap();
        fs::write(folder.0.join("thesis.txt"), "x").unwrap();
        assert!(State::open(&folder.0).is_err());
    }

    #[test]
    fn a_state_of_another_version_is_not_guessed_at() {
        let folder = Folder::new("version");
        fs::create_dir_all(&folder.0).unwrap();
        fs::write(folder.0.join(FILE), "{\"ports\":1}").unwrap();
        assert!(format!("{:#}", State::open(&folder.0).unwrap_err()).contains("--fresh"));
    }

    #[test]
    fn secrets_differ_and_need_no_quoting() {
        let (one, two) = (secret().unwrap(), secret().unwrap());
        assert_ne!(one, two);
        assert!(one.len() == 24 && one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}
