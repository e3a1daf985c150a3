//! The one table of options: its rows make the flags, the environment names, the errors and `docs/CONFIG.md`.

use std::fmt::Write as _;

/// What a value must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A file or folder.
    Path,
    /// IP address and port.
    Address,
    /// A whole number.
    Count,
    /// Such as `10s`, `15m`, `12h`, `250ms`.
    Duration,
    /// Such as `64KiB`, `1MiB`.
    Bytes,
    /// Several texts: an array in the file, comma-separated elsewhere.
    List,
    /// A secret by its source: `env:NAME` or `file:PATH`.
    SecretSource,
}

impl Kind {
    /// As the documentation calls it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Path => "path",
            Self::Address => "address:port",
            Self::Count => "number",
            Self::Duration => "duration",
            Self::Bytes => "size",
            Self::List => "list",
            Self::SecretSource => "secret source",
        }
    }

    /// What a person should write.
    #[must_use]
    pub const fn example(self) -> &'static str {
        match self {
            Self::Text => "\"text\"",
            Self::Path => "\"/var/lib/hoop\"",
            Self::Address => "\"127.0.0.1:8443\"",
            Self::Count => "4",
            Self::Duration => "\"15m\" (units ms, s, m, h, d)",
            Self::Bytes => "\"1MiB\" (units B, KiB, MiB, GiB)",
            Self::List => "[\"one\", \"two\"]",
            Self::SecretSource => "\"env:NAME\" or \"file:/path\"",
        }
    }
}

/// One option.
#[derive(Debug, Clone, Copy)]
pub struct OptionRow {
    /// Key in the file; a dot stands for a table.
    pub key: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// Used when nothing is given; empty: not set.
    pub default: &'static str,
    /// For people.
    pub doc: &'static str,
}

impl OptionRow {
    /// `HOOP_GATEWAY_…`.
    #[must_use]
    pub fn environment(&self) -> String {
        format!("{ENVIRONMENT_PREFIX}{}", self.key.replace('.', "_").to_ascii_uppercase())
    }

    /// `--…` without the dashes.
    #[must_use]
    pub fn flag(&self) -> String {
        self.key.replace(['.', '_'], "-")
    }
}

/// Environment variables with this prefix are options.
pub const ENVIRONMENT_PREFIX: &str = "HOOP_GATEWAY_";

pub(super) const fn row(
    key: &'static str,
    kind: Kind,
    default: &'static str,
    doc: &'static str,
) -> OptionRow {
    OptionRow { key, kind, default, doc }
}

/// All options, in the order in which they are documented.
pub const OPTIONS: &[OptionRow] = &[
    row(
        "data_dir",
        Kind::Path,
        "/var/lib/hoop-gateway",
        "Folder of the gateway's state: store, keys, recordings, checkpoints.",
    ),
    row(
        "listen",
        Kind::Address,
        "127.0.0.1:8443",
        "The one public TCP port: API, console, agents and session data.",
    ),
    row(
        "public_host",
        Kind::Text,
        "localhost",
        "Host name under which people and agents reach the gateway; certificates are made for it, and passkeys bound to it (another name makes them void; an IP address can have none).",
    ),
    row("public_port", Kind::Count, "0", "Port under which they reach it; 0: the port of `listen`."),
    row(
        "ops_listen",
        Kind::Address,
        "",
        "Plain HTTP for /metrics, /healthz and /readyz; keep it on loopback or a private network. Not set: off.",
    ),
    row(
        "worker_threads",
        Kind::Count,
        "1",
        "Threads of the runtime; 1 uses the cheaper single-threaded one.",
    ),
    row(
        "store.url",
        Kind::Text,
        "",
        "`sqlite:PATH` or `postgres://…` (also `env:NAME`, `file:PATH` holding one). Not set: SQLite in `data_dir`.",
    ),
    row("recordings.dir", Kind::Path, "", "Folder of recordings. Not set: `recordings` in `data_dir`."),
    row(
        "recordings.max_bytes",
        Kind::Bytes,
        "64GiB",
        "Longest recording of one session; a session that reaches it is ended, and what it still has to say is kept.",
    ),
    row(
        "recordings.retention",
        Kind::Text,
        "",
        "How long a recording is kept after its session, such as `7y` or `2190d`, where its rule says nothing of it (`limits.retention`); then it is deleted, unless a legal hold is on it. Not set: for ever.",
    ),
    row(
        "recordings.store",
        Kind::Text,
        "disk",
        "Where finished recordings are: `disk`, or `s3`: an S3-compatible store, to which they go while the session runs; `recordings.dir` then holds what is on its way.",
    ),
    row("recordings.s3.bucket", Kind::Text, "", "The bucket."),
    row("recordings.s3.prefix", Kind::Text, "recordings", "Objects are PREFIX/YYYY-MM/SESSION.hoopr."),
    row("recordings.s3.region", Kind::Text, "us-east-1", "Its region."),
    row(
        "recordings.s3.endpoint",
        Kind::Text,
        "",
        "URL of a store that is not AWS; `http://` is taken for loopback addresses alone. Not set: AWS of the region.",
    ),
    row(
        "recordings.s3.access_key_id",
        Kind::Text,
        "",
        "Key to sign with. Not set: that of the machine (instance role, web identity, container).",
    ),
    row("recordings.s3.secret_access_key", Kind::SecretSource, "", "Its secret."),
    row(
        "recordings.s3.ca_file",
        Kind::Path,
        "",
        "Certificates (PEM) of a private CA that the store's certificate is of. Not set: those of the system.",
    ),
    row(
        "recordings.s3.object_lock",
        Kind::Text,
        "off",
        "`off`, `governance` or `compliance`: objects cannot be deleted before their retention is over, and a legal hold is put on the object itself. Needs a bucket with object lock, and `recordings.retention`.",
    ),
    row("recordings.s3.timeout", Kind::Duration, "30s", "Longest time for one request to the store."),
    row(
        "recordings.s3.behind_bytes",
        Kind::Bytes,
        "4GiB",
        "With so much on its way that the store does not take, no more is taken from agents: sessions stall, and end after their limit.",
    ),
    row(
        "recordings.s3.behind",
        Kind::Duration,
        "24h",
        "The same when the store has taken nothing for so long although something waits.",
    ),
    row(
        "keys.master_file",
        Kind::Path,
        "",
        "Key that seals secrets in the store; made with mode 0600 when absent. Not set: `keys/master.key` in `data_dir`.",
    ),
    row(
        "keys.recording",
        Kind::Text,
        "file",
        "Who keeps the private half of the organisation's recording key: `file` (this gateway), `public` (somebody else: \
         this gateway cannot open recordings), `vault` (Vault's transit engine), `aws-kms`. See KEYS.md.",
    ),
    row(
        "keys.recording_dir",
        Kind::Path,
        "",
        "Folder of private recording keys, `recording*.pem`, mode 0600. Not set: `keys` in `data_dir`.",
    ),
    row(
        "keys.recording_public_file",
        Kind::Path,
        "",
        "public: the public half (PEM), as `hoop audit keygen` made it.",
    ),
    row("keys.vault_address", Kind::Text, "", "vault: such as `https://vault.example.org:8200`."),
    row("keys.vault_mount", Kind::Text, "transit", "vault: where the transit engine is mounted."),
    row("keys.vault_key", Kind::Text, "", "vault: name of the key, of type `rsa-3072` or `rsa-4096`."),
    row("keys.vault_namespace", Kind::Text, "", "vault: namespace, where there are any."),
    row(
        "keys.vault_token",
        Kind::SecretSource,
        "",
        "vault: token that may read the key and decrypt with it; read anew at each use.",
    ),
    row(
        "keys.aws_key",
        Kind::Text,
        "",
        "aws-kms: ARN or id of an RSA key for ENCRYPT_DECRYPT, of 3072 bits or more; no alias.",
    ),
    row(
        "keys.aws_region",
        Kind::Text,
        "",
        "aws-kms: its region. Credentials are found as AWS tools find them.",
    ),
    row("keys.aws_endpoint", Kind::Text, "", "aws-kms: another endpoint, such as one in a VPC."),
    row(
        "keys.service_ca_file",
        Kind::Path,
        "",
        "vault, aws-kms: certificates (PEM) of a private CA; the service must be of one of these. Not set: those of the \
         system.",
    ),
    row(
        "tls.cert_file",
        Kind::Path,
        "",
        "Certificate chain (PEM) for browsers and API clients. Not set: issued by the internal CA for `public_host`.",
    ),
    row("tls.key_file", Kind::Path, "", "Private key (PEM) of `tls.cert_file`."),
    row("log.format", Kind::Text, "pretty", "`pretty` or `json`."),
    row(
        "log.level",
        Kind::Text,
        "info",
        "A level or a filter such as `hoop_gateway=debug,info`; RUST_LOG wins.",
    ),
    row("login.password", Kind::Text, "on", "`on` or `off`: sign-in with built-in accounts."),
    row(
        "admin_identity",
        Kind::Text,
        "same",
        "`same`: an admin opens what access rules allow them, like anybody. `separate`: an account with the role admin \
         opens no session, asks for none and breaks no glass; whoever administers works with a user account of their own, \
         and `hoop admin users link` says whose both are.",
    ),
    row(
        "policy_key",
        Kind::Path,
        "",
        "Public key (PEM, Ed25519) of those who release access rules: rules are taken in bundles that it signed, each with a \
         higher version than the one before, and in no other way (docs/POLICY.md). Not set: admins write them.",
    ),
    row("oidc.issuer", Kind::Text, "", "Issuer URL of the OpenID Connect provider. Not set: no OIDC."),
    row(
        "oidc.client_id",
        Kind::Text,
        "",
        "Client id registered at the provider; redirect URI https://PUBLIC_HOST:PORT/api/v1/oidc/callback.",
    ),
    row(
        "oidc.client_secret",
        Kind::SecretSource,
        "",
        "Client secret. Not set: a public client with PKCE alone.",
    ),
    row("oidc.label", Kind::Text, "Single sign-on", "Text of the sign-in button."),
    row("oidc.groups_claim", Kind::Text, "groups", "Claim of the ID token that holds the groups."),
    row("oidc.scopes", Kind::List, "profile,email", "Scopes asked for beside `openid`."),
    row("oidc.mfa_amr", Kind::List, "mfa,otp,hwk", "Any of these in `amr` proves a second factor."),
    row("oidc.mfa_acr", Kind::List, "", "Any of these as `acr` proves a second factor."),
    row("oidc.admin_groups", Kind::List, "", "Members of these groups are admins."),
    row(
        "oidc.auditor_groups",
        Kind::List,
        "",
        "Members of these groups are auditors, if they are not admins.",
    ),
    row(
        "oidc.approver_groups",
        Kind::List,
        "",
        "Members of these groups are approvers, if they are neither admins nor auditors.",
    ),
    row(
        "oidc.recheck",
        Kind::Duration,
        "5m",
        "How often the provider is asked again about people who are signed in or have a session: what it takes away \
         there ends here. It must give a refresh token; most do when `oidc.scopes` has `offline_access`.",
    ),
    row("limits.connections_per_address", Kind::Count, "4096", "Open connections from one address."),
    row(
        "limits.half_open",
        Kind::Count,
        "1024",
        "Connections altogether that have not finished their handshake.",
    ),
    row(
        "limits.handshake_timeout",
        Kind::Duration,
        "10s",
        "From accept to the end of the TLS handshake, and for a request's head.",
    ),
    row("limits.pre_auth_bytes", Kind::Bytes, "16KiB", "Longest TLS ClientHello."),
    row("limits.body", Kind::Bytes, "1MiB", "Longest body of an API request."),
    row("limits.sessions_per_user", Kind::Count, "64", "Live sessions of one person."),
    row(
        "limits.streams_per_session",
        Kind::Count,
        "512",
        "Local connections of one session at once, and the connections that carry them.",
    ),
    row(
        "limits.waiting_per_agent",
        Kind::Count,
        "1024",
        "Connections of people that wait for one agent to dial out.",
    ),
    row(
        "limits.login_attempts_per_minute",
        Kind::Count,
        "30",
        "Sign-in attempts from one address in a minute.",
    ),
    row("tokens.access", Kind::Duration, "15m", "Life of an access token."),
    row("tokens.idle", Kind::Duration, "12h", "A CLI sign-in ends when it was not refreshed for so long."),
    row("tokens.absolute", Kind::Duration, "24h", "Any sign-in ends after so long."),
    row(
        "tokens.cookie_idle",
        Kind::Duration,
        "30m",
        "A browser sign-in ends when it was not used for so long.",
    ),
    row(
        "tokens.fresh_mfa",
        Kind::Duration,
        "5m",
        "Changes of privilege want a second factor that was proven within this time.",
    ),
    row(
        "certificates.session",
        Kind::Duration,
        "1h",
        "Life of a session's certificate; connectors renew it.",
    ),
    row("certificates.agent", Kind::Duration, "24h", "Life of an agent's certificate; agents renew it."),
    row(
        "agents.dial_ahead",
        Kind::Count,
        "4",
        "Data connections that an agent keeps dialled out ahead of need.",
    ),
    row(
        "agents.ping",
        Kind::Duration,
        "15s",
        "Interval of pings on control streams; an agent silent for three of them is taken for gone.",
    ),
    row("ledger.checkpoint_interval", Kind::Duration, "5s", "How often a grown ledger is signed."),
];

/// The row of a key.
#[must_use]
pub fn find(key: &str) -> Option<&'static OptionRow> {
    OPTIONS.iter().find(|row| row.key == key)
}

/// The key most like a wrong one, for the hint.
#[must_use]
pub fn nearest(key: &str) -> Option<&'static str> {
    let distance = |row: &&OptionRow| edit_distance(row.key, key);
    OPTIONS.iter().min_by_key(distance).filter(|row| edit_distance(row.key, key) <= 3).map(|row| row.key)
}

fn edit_distance(a: &str, b: &str) -> usize {
    let mut costs: Vec<usize> = (0..=b.len()).collect();
    for (row, from) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(costs.first_mut().unwrap_or(&mut 0), row + 1);
        for (column, to) in b.bytes().enumerate() {
            let (left, above) =
                (costs.get(column).copied().unwrap_or(0), costs.get(column + 1).copied().unwrap_or(0));
            let cost = (diagonal + usize::from(from != to)).min(left + 1).min(above + 1);
            diagonal = above;
            if let Some(cell) = costs.get_mut(column + 1) {
                *cell = cost;
            }
        }
    }
    costs.last().copied().unwrap_or(0)
}

/// `docs/CONFIG.md`.
#[must_use]
pub fn markdown() -> String {
    let mut text = String::from(
        "# Options of hoop-gateway\n\n\
         Made from `gateway/src/config/options.rs`; do not edit. Each option can be given in the file (`--config FILE`,\n\
         TOML, a dot stands for a table), in the environment, or as a flag; the later wins. `hoop-gateway config check`\n\
         says what is wrong and where; `hoop-gateway config show` says what is in force and where it came from.\n\n\
         | option | kind | default | environment | what it does |\n|---|---|---|---|---|\n",
    );
    for row in OPTIONS {
        let default =
            if row.default.is_empty() { "not set".to_owned() } else { format!("`{}`", row.default) };
        let (key, kind, doc, variable) = (row.key, row.kind.label(), row.doc, row.environment());
        let _ = writeln!(text, "| `{key}` | {kind} | {default} | `{variable}` | {doc} |");
    }
    text.push_str("\nThe flag of an option is its key with `-` for `.` and `_`: `limits.half_open` is `--limits-half-open`.\n");
    text.push_str(&super::channels::markdown());
    text.push_str(&super::ledger::markdown());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/CONFIG.md");
        if std::env::var_os("HOOP_WRITE_GOLDEN").is_some() {
            std::fs::write(path, markdown()).unwrap();
        }
        let there = std::fs::read_to_string(path).unwrap_or_default();
        assert!(there == markdown(), "docs/CONFIG.md is stale: run this test with HOOP_WRITE_GOLDEN=1");
    }

    #[test]
    fn keys_flags_and_variables_are_unique() {
        let mut flags: Vec<_> = OPTIONS.iter().map(OptionRow::flag).collect();
        flags.sort();
        let all = flags.len();
        flags.dedup();
        assert_eq!(flags.len(), all);
    }

    #[test]
    fn a_near_miss_is_named() {
        assert_eq!(nearest("data_dri"), Some("data_dir"));
        assert_eq!(nearest("limits.halfopen"), Some("limits.half_open"));
        assert_eq!(nearest("zzzzzzzzzzzz"), None);
    }
}
