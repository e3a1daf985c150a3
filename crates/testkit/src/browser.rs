//! A browser as far as sign-in is concerned: a cookie jar of curl's, a CSRF token, and redirects followed by hand.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};

use crate::{Person, World, run, run_with_input, world::totp_ahead};

/// Somebody's browser, with cookies of its own.
#[derive(Debug)]
pub struct Browser {
    jar: PathBuf,
    ca: PathBuf,
    origin: String,
    csrf: String,
}

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Reply {
    pub status: u16,
    /// Where it sends the browser, absolute; empty if nowhere.
    pub redirect: String,
    pub body: String,
}

impl Reply {
    /// The body as JSON; null if it is none.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The status, and the code of the problem if it is one.
    pub fn problem(&self) -> (u16, String) {
        (self.status, self.json()["code"].as_str().unwrap_or_default().to_owned())
    }
}

impl Browser {
    /// A new one, which trusts the gateway's CA and has no cookie.
    pub(crate) fn new(folder: &Path, name: &str, port: u16) -> Self {
        let origin = format!("https://localhost:{port}");
        let ca = folder.join("gateway-ca.pem");
        if !ca.exists() {
            // Believed as it comes: that a wrong CA is refused is shown elsewhere.
            let info = run(Command::new("curl").args(["-sk", &format!("{origin}/api/v1/info")]));
            let info: Value = serde_json::from_str(&info).unwrap();
            fs::write(&ca, info["ca_pem"].as_str().expect("a CA")).unwrap();
        }
        Self { jar: folder.join(format!("{name}.cookies")), ca, origin, csrf: String::new() }
    }

    /// The gateway's origin.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// GET of a path of the gateway, or of any URL.
    pub fn get(&self, url: &str) -> Reply {
        reply(&run(self.curl().arg(self.absolute(url))))
    }

    /// GET with a bearer token in place of cookies.
    pub fn get_as(&self, url: &str, token: &str) -> Reply {
        let mut command = Command::new("curl");
        command.args(["-s", "--max-time", "30", "-w", WRITTEN, "--cacert"]).arg(&self.ca);
        reply(&run(command.args(["-H", &format!("authorization: Bearer {token}")]).arg(self.absolute(url))))
    }

    /// POST of JSON with the CSRF token.
    pub fn post(&self, url: &str, body: &Value) -> Reply {
        let mut command = self.curl();
        command.args(["-H", "content-type: application/json", "--data-binary", "@-"]);
        if !self.csrf.is_empty() {
            command.args(["-H", &format!("x-hoop-csrf: {}", self.csrf)]);
        }
        reply(&run_with_input(command.arg(self.absolute(url)), &body.to_string()))
    }

    /// POST of JSON with a bearer token in place of cookies.
    pub fn post_as(&self, url: &str, token: &str, body: &Value) -> Reply {
        let mut command = Command::new("curl");
        command.args(["-s", "--max-time", "30", "-w", WRITTEN, "--cacert"]).arg(&self.ca);
        command.args([
            "-H",
            &format!("authorization: Bearer {token}"),
            "-H",
            "content-type: application/json",
        ]);
        reply(&run_with_input(
            command.args(["--data-binary", "@-"]).arg(self.absolute(url)),
            &body.to_string(),
        ))
    }

    /// POST of a form.
    pub fn submit(&self, url: &str, form: &str) -> Reply {
        reply(&run(self.curl().args(["--data", form]).arg(self.absolute(url))))
    }

    /// Who is signed in here; remembers the CSRF token.
    pub fn whoami(&mut self) -> Reply {
        let reply = self.get("/api/v1/whoami");
        self.csrf = reply.json()["csrf"].as_str().unwrap_or_default().to_owned();
        reply
    }

    /// The CSRF token that it remembers.
    pub fn csrf(&self) -> &str {
        &self.csrf
    }

    /// Its cookie for the gateway, as a header has it; empty if there is none.
    pub fn cookie(&self) -> String {
        let jar = fs::read_to_string(&self.jar).unwrap_or_default();
        let found = jar.lines().rev().find_map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
            [.., name, value] if name.starts_with("__Host-") => Some(format!("{name}={value}")),
            _ => None,
        });
        found.unwrap_or_default()
    }

    /// The CA of the gateway.
    pub fn ca(&self) -> &Path {
        &self.ca
    }

    /// The same browser after it forgot its CSRF token.
    pub fn forget_csrf(&mut self) {
        self.csrf.clear();
    }

    fn curl(&self) -> Command {
        let mut command = Command::new("curl");
        command.args(["-s", "--max-time", "30", "-w", WRITTEN, "--cacert"]).arg(&self.ca);
        command.arg("-b").arg(&self.jar).arg("-c").arg(&self.jar).env_remove("HTTPS_PROXY");
        command
    }

    fn absolute(&self, url: &str) -> String {
        if url.starts_with('/') { format!("{}{url}", self.origin) } else { url.to_owned() }
    }
}

const WRITTEN: &str = "\n%{http_code} %{redirect_url}";

fn reply(printed: &str) -> Reply {
    let (body, last) = printed.rsplit_once('\n').expect("curl's own line");
    let (status, redirect) = last.split_once(' ').expect("status and address");
    Reply { status: status.parse().unwrap(), redirect: redirect.to_owned(), body: body.to_owned() }
}

impl World {
    /// A browser that nobody is signed in with.
    pub fn browser(&self, name: &str) -> Browser {
        Browser::new(self.folder.path(), name, self.port)
    }

    /// A browser signed in with password and code. Once for each person: the code is that of the next half minute,
    /// for the present one is used up by their `hoop`.
    pub fn signed_in_browser(&self, person: &Person) -> Browser {
        let mut browser = self.browser(&person.name);
        let code = totp_ahead(&person.totp_secret, 1);
        let reply = browser.post(
            "/api/v1/login/password",
            &json!({ "name": person.name, "password": person.password, "code": code }),
        );
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(browser.whoami().status, 200);
        browser
    }
}
