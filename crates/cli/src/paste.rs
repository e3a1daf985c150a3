//! What to paste: the same open port as psql, URL and JDBC form, and as the environment of a program.

use std::ffi::OsString;

use hoop_model::{ProtocolId, UserName};

/// Where a client finds the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) protocol: ProtocolId,
    pub(crate) user: UserName,
    pub(crate) database: Option<String>,
    pub(crate) port: Option<u16>,
    /// Folder of the Unix socket.
    pub(crate) socket: Option<String>,
    /// Where ssh finds the key that it will be shown, and under which name.
    pub(crate) known_hosts: Option<(String, String)>,
    /// The file that Kubernetes clients read.
    pub(crate) kubeconfig: Option<String>,
}

/// The port that clients of a protocol expect.
pub(crate) fn usual_port(protocol: &ProtocolId) -> u16 {
    match protocol.as_str() {
        "postgres" => 5432,
        "mysql" => 3306,
        _ => 0,
    }
}

/// The name of a socket that clients of a protocol look for in a folder.
pub(crate) fn socket_name(protocol: &ProtocolId) -> &'static str {
    match protocol.as_str() {
        "postgres" => ".s.PGSQL.5432",
        _ => "hoop.sock",
    }
}

impl Target {
    fn is_postgres(&self) -> bool {
        self.protocol.as_str() == "postgres"
    }

    /// Label and text, each on a line of its own.
    pub(crate) fn forms(&self) -> Vec<(&'static str, String)> {
        let mut forms = Vec::new();
        if let Some(port) = self.port {
            if self.is_postgres() {
                forms.extend(self.postgres_forms(port));
            } else if let Some((file, alias)) = &self.known_hosts {
                forms.push(("ssh", ssh_form(port, file, alias)));
            } else if let Some(file) = &self.kubeconfig {
                forms.push(("shell", format!("export KUBECONFIG={}", shell(file))));
                forms.push(("kubectl", "kubectl get pods".to_owned()));
            } else {
                forms.push(("address", format!("127.0.0.1:{port}")));
            }
        }
        if let Some(folder) = &self.socket {
            if self.is_postgres() {
                forms.push(("socket", format!("psql {}", self.words("host", folder, None))));
            } else {
                forms.push(("socket", format!("{folder}/{}", socket_name(&self.protocol))));
            }
        }
        forms
    }

    fn postgres_forms(&self, port: u16) -> [(&'static str, String); 3] {
        let (user, database) = (percent(self.user.as_str()), percent(self.database.as_deref().unwrap_or("")));
        [
            ("psql", format!("psql {}", self.words("host", "127.0.0.1", Some(port)))),
            ("url", format!("postgresql://{user}@127.0.0.1:{port}/{database}?sslmode=disable")),
            ("jdbc", format!("jdbc:postgresql://127.0.0.1:{port}/{database}?user={user}&sslmode=disable")),
        ]
    }

    /// libpq's `key=value` words, as one argument of a shell.
    fn words(&self, key: &str, host: &str, port: Option<u16>) -> String {
        let mut words = vec![format!("{key}={}", conninfo(host))];
        words.extend(port.map(|port| format!("port={port}")));
        words.push(format!("user={}", conninfo(self.user.as_str())));
        words.extend(self.database.as_deref().map(|database| format!("dbname={}", conninfo(database))));
        words.push("sslmode=disable".to_owned());
        shell(&words.join(" "))
    }

    /// Variables for a program that is run with the connection.
    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        let mut variables: Vec<(&'static str, OsString)> = Vec::new();
        let host = self.socket.clone().unwrap_or_else(|| "127.0.0.1".to_owned());
        let port =
            if self.socket.is_some() { usual_port(&self.protocol) } else { self.port.unwrap_or_default() };
        if self.is_postgres() {
            variables.push(("PGHOST", host.clone().into()));
            variables.push(("PGPORT", port.to_string().into()));
            variables.push(("PGUSER", self.user.as_str().into()));
            variables.push(("PGSSLMODE", "disable".into()));
            // The tunnel is encrypted already; a client that asks for GSSAPI only loses a round trip.
            variables.push(("PGGSSENCMODE", "disable".into()));
            variables.extend(self.database.as_ref().map(|database| ("PGDATABASE", database.into())));
        }
        variables.extend(self.kubeconfig.as_ref().map(|file| ("KUBECONFIG", file.into())));
        variables.push(("HOOP_HOST", host.into()));
        variables.push(("HOOP_PORT", port.to_string().into()));
        variables
    }

    /// Variables of the surroundings that would lead a program past the connection.
    pub(crate) fn removed(&self) -> &'static [&'static str] {
        const POSTGRES: &[&str] = &[
            "PGHOSTADDR",
            "PGPASSWORD",
            "PGPASSFILE",
            "PGSERVICE",
            "PGSSLNEGOTIATION",
            "PGREQUIREAUTH",
            "PGCHANNELBINDING",
        ];
        const KUBERNETES: &[&str] = &[
            "KUBERNETES_MASTER",
            "HELM_KUBEAPISERVER",
            "HELM_KUBEASGROUPS",
            "HELM_KUBEASUSER",
            "HELM_KUBECAFILE",
            "HELM_KUBECONTEXT",
            "HELM_KUBEINSECURE_SKIP_TLS_VERIFY",
            "HELM_KUBETLS_SERVER_NAME",
            "HELM_KUBETOKEN",
        ];
        match self.kubeconfig {
            Some(_) => KUBERNETES,
            None if self.is_postgres() => POSTGRES,
            None => &[],
        }
    }
}

/// ssh at the local port. It compares the key and asks nobody.
fn ssh_form(port: u16, file: &str, alias: &str) -> String {
    let options = [format!("UserKnownHostsFile={file}"), format!("HostKeyAlias={alias}")];
    let options: Vec<_> = options.iter().map(|option| format!("-o {}", shell(option))).collect();
    format!("ssh -p {port} {} -o StrictHostKeyChecking=yes 127.0.0.1", options.join(" "))
}

/// RFC 3986 §2.3: everything but unreserved characters is escaped.
fn percent(text: &str) -> String {
    text.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
        escaped
    })
}

/// A value in libpq's conninfo string.
fn conninfo(value: &str) -> String {
    if !value.is_empty()
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._/+@".contains(&byte))
    {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// One argument of a POSIX shell.
pub(crate) fn shell(text: &str) -> String {
    if !text.contains(['\'', '\\', '$', '`', '"', '!', '\n']) {
        return format!("\"{text}\"");
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(user: &str, database: Option<&str>) -> Target {
        Target {
            protocol: ProtocolId::new("postgres").unwrap(),
            user: UserName::new(user).unwrap(),
            database: database.map(str::to_owned),
            port: Some(5432),
            socket: None,
            known_hosts: None,
            kubeconfig: None,
        }
    }

    #[test]
    fn the_three_forms_of_a_port() {
        let forms = target("ada@example.org", Some("clinic")).forms();
        assert_eq!(
            forms,
            [
                (
                    "psql",
                    "psql \"host=127.0.0.1 port=5432 user=ada@example.org dbname=clinic sslmode=disable\""
                        .to_owned()
                ),
                ("url", "postgresql://ada%40example.org@127.0.0.1:5432/clinic?sslmode=disable".to_owned()),
                (
                    "jdbc",
                    "jdbc:postgresql://127.0.0.1:5432/clinic?user=ada%40example.org&sslmode=disable"
                        .to_owned()
                ),
            ]
        );
    }

    #[test]
    fn a_database_name_cannot_break_out_of_what_is_pasted() {
        let forms = target("ada", Some("x'; $(reboot) \"`?sslmode=require&a=b")).forms();
        assert_eq!(
            forms[0].1,
            "psql 'host=127.0.0.1 port=5432 user=ada dbname='\\''x\\'\\''; $(reboot) \"`?sslmode=require&a=b'\\'' sslmode=disable'"
        );
        assert!(!forms[1].1.contains(['\'', '$', '`', '"', ' ', '&']), "{}", forms[1].1);
        assert_eq!(forms[2].1.matches('&').count(), 1);
    }

    #[test]
    fn a_program_finds_the_port_or_the_socket() {
        let find = |target: &Target, name: &str| {
            target
                .environment()
                .into_iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.into_string().unwrap())
        };
        let mut target = target("ada", Some("clinic"));
        target.port = Some(40_123);
        for (name, value) in [
            ("PGHOST", "127.0.0.1"),
            ("PGPORT", "40123"),
            ("PGUSER", "ada"),
            ("PGDATABASE", "clinic"),
            ("PGSSLMODE", "disable"),
        ] {
            assert_eq!(find(&target, name).as_deref(), Some(value), "{name}");
        }
        target.socket = Some("/run/user/0/hoop-1".to_owned());
        assert_eq!(find(&target, "PGHOST").as_deref(), Some("/run/user/0/hoop-1"));
        assert_eq!(find(&target, "PGPORT").as_deref(), Some("5432"));
        target.database = None;
        assert_eq!(find(&target, "PGDATABASE"), None);
        assert!(target.removed().contains(&"PGHOSTADDR"));
    }

    #[test]
    fn a_kubeconfig_is_pasted_as_one_word_and_leads_nowhere_else() {
        let mut target = target("ada", None);
        (target.protocol, target.kubeconfig) =
            (ProtocolId::new("kubernetes").unwrap(), Some("/a b/$(id)'.yaml".into()));
        let forms = target.forms();
        assert_eq!(forms[0].1, "export KUBECONFIG='/a b/$(id)'\\''.yaml'");
        assert_eq!(forms[1].1, "kubectl get pods");
        assert!(target.environment().contains(&("KUBECONFIG", "/a b/$(id)'.yaml".into())));
        assert!(target.removed().contains(&"HELM_KUBETOKEN"));
    }
}
