//! A real OpenID provider (`lab/oidc`, which says what it can do), and a person at its sign-in page.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{Browser, Reply, node::npm_packages, run_with_input};

/// The provider; it ends when its standard input does.
#[derive(Debug)]
pub struct Provider {
    pub issuer: String,
    child: Child,
}

impl Provider {
    /// Starts it on a port, for the one client `hoop` with this secret and redirect address.
    pub fn start(port: u16, secret: &str, redirect: &str, users: &Value) -> Self {
        let folder = npm_packages("oidc");
        let mut child = Command::new("node")
            .arg("server.mjs")
            .current_dir(&folder)
            .env("HOOP_OIDC_PORT", port.to_string())
            .env("HOOP_OIDC_CLIENT_SECRET", secret)
            .env("HOOP_OIDC_REDIRECTS", redirect)
            .env("HOOP_OIDC_USERS", users.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::options().write(true).open("/dev/null").unwrap())
            .spawn()
            .expect("node is installed");
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let facts: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line:?}"));
        Self { issuer: facts["issuer"].as_str().unwrap().to_owned(), child }
    }

    /// Replaces the people.
    pub fn users(&self, users: &Value) {
        let url = format!("{}/lab/users", self.issuer);
        run_with_input(
            Command::new("curl").args(["-sf", "-X", "PUT", "--data-binary", "@-", &url]),
            &users.to_string(),
        );
    }

    /// Goes from the gateway's start to the address that the provider sends the browser back to, which is not opened.
    pub fn consent(&self, browser: &Browser, start: &Reply, name: &str) -> String {
        assert_eq!(start.status, 303, "{start:?}");
        let mut url = start.redirect.clone();
        for _ in 0..12 {
            assert!(url.starts_with(&self.issuer), "{url}");
            let mut reply = browser.get(&url);
            if reply.status == 200 {
                reply = browser.submit(&url, &format!("name={name}"));
            }
            assert!(matches!(reply.status, 302 | 303), "{reply:?}");
            url = reply.redirect;
            if url.starts_with(browser.origin()) {
                return url;
            }
        }
        panic!("the provider goes round in circles: {url}")
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
