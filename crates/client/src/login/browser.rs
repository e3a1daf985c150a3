//! Sign-in in the browser: a page of the gateway approves this command, and sends a one-use code to a loopback port.
//!
//! RFC 8252 §7.3 (loopback redirect) with PKCE (RFC 7636, S256). The code alone is worth nothing: only this process
//! knows the verifier; `state` tells our redirect from one that another page made up.

use std::{net::Ipv4Addr, time::Duration};

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use hoop_api::auth::Tokens;
use hoop_model::Redacted;
use reqwest::Url;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use crate::{
    error::{ClientError, Result},
    http::Api,
};

const PATIENCE: Duration = Duration::from_secs(600);
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
const LONGEST_REQUEST: usize = 8 * 1024;

/// A browser sign-in that was started.
#[derive(Debug)]
pub struct BrowserLogin {
    listener: TcpListener,
    url: Url,
    state: String,
    verifier: Redacted<String>,
}

/// What a request to the loopback port amounts to.
#[derive(Debug, PartialEq, Eq)]
enum Callback {
    /// Our redirect, with the code.
    Code(String),
    /// Our redirect, and the person said no.
    Refused,
    /// Somebody else.
    Stray,
}

impl BrowserLogin {
    /// Opens the loopback port.
    ///
    /// # Errors
    /// When no port can be opened.
    pub async fn start(api: &Api) -> Result<Self> {
        let no_port =
            |error| ClientError::own("HOOP-1011", format!("no loopback port can be opened: {error}"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(no_port)?;
        let port = listener.local_addr().map_err(no_port)?.port();
        let (state, verifier) = (random_text()?, random_text()?);
        let challenge = URL_SAFE_NO_PAD.encode(digest(&SHA256, verifier.as_bytes()));
        let query = [("port", port.to_string()), ("state", state.clone()), ("challenge", challenge)];
        Ok(Self { listener, url: api.gateway().page("/cli", &query), state, verifier: verifier.into() })
    }

    /// The page to open.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Waits for the redirect, and trades the code for tokens.
    ///
    /// # Errors
    /// When the person refuses, does not come back, or the gateway does not take the code.
    pub async fn wait(self, api: &Api) -> Result<Tokens> {
        let code = timeout(PATIENCE, self.code()).await.map_err(|_| {
            ClientError::not_signed_in("the browser did not come back in time")
                .hint("try again, or use --device")
        })??;
        let body = json!({
            "grant_type": "authorization_code",
            "code": code.expose(),
            "code_verifier": self.verifier.expose(),
        });
        api.token(&body).await
    }

    async fn code(&self) -> Result<Redacted<String>> {
        loop {
            let accepted = self.listener.accept().await;
            let (mut stream, _) = accepted.map_err(|error| {
                ClientError::own("HOOP-1011", format!("the loopback port failed: {error}"))
            })?;
            // One slow stray must not keep the redirect waiting for long.
            let Ok(Some(request)) = timeout(REQUEST_TIMEOUT, read_request_line(&mut stream)).await else {
                continue;
            };
            let callback = self.understand(&request);
            let _ = timeout(REQUEST_TIMEOUT, answer(&mut stream, &callback)).await;
            match callback {
                Callback::Code(code) => return Ok(code.into()),
                Callback::Refused => {
                    return Err(ClientError::denied("HOOP-1010", "the sign-in was refused in the browser"));
                }
                Callback::Stray => {}
            }
        }
    }

    fn understand(&self, request_line: &str) -> Callback {
        let mut words = request_line.split(' ');
        let (Some("GET"), Some(target)) = (words.next(), words.next()) else { return Callback::Stray };
        let Ok(url) = Url::parse("http://127.0.0.1").and_then(|base| base.join(target)) else {
            return Callback::Stray;
        };
        let find =
            |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        if url.path() != "/callback" || find("state").as_deref() != Some(self.state.as_str()) {
            return Callback::Stray;
        }
        find("code").filter(|code| !code.is_empty()).map_or(Callback::Refused, Callback::Code)
    }
}

fn random_text() -> Result<String> {
    let mut bytes = [0_u8; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| ClientError::own("HOOP-9001", "the system has no randomness"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

async fn read_request_line(stream: &mut TcpStream) -> Option<String> {
    let mut head = Vec::with_capacity(1024);
    while !head.windows(4).any(|four| four == b"\r\n\r\n") {
        if head.len() >= LONGEST_REQUEST || stream.read_buf(&mut head).await.ok()? == 0 {
            return None;
        }
    }
    let line = head.split(|byte| *byte == b'\r').next()?;
    std::str::from_utf8(line).ok().map(str::to_owned)
}

async fn answer(stream: &mut TcpStream, callback: &Callback) -> std::io::Result<()> {
    let (status, title, text) = match callback {
        Callback::Code(_) => {
            ("200 OK", "Signed in", "You can close this window and go back to the terminal.")
        }
        Callback::Refused => {
            ("200 OK", "Not signed in", "The sign-in was refused. You can close this window.")
        }
        Callback::Stray => {
            ("404 Not Found", "Not here", "This address belongs to a sign-in of the hoop command.")
        }
    };
    let page = format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>\
         <body style=\"font: 1.1rem system-ui; margin: 4rem\"><h1>{title}</h1><p>{text}</p></body></html>"
    );
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\ncache-control: no-store\r\n\
         content-security-policy: default-src 'none'; style-src 'unsafe-inline'\r\nreferrer-policy: no-referrer\r\n\
         connection: close\r\n\r\n",
        page.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(page.as_bytes()).await?;
    stream.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::GatewayUrl;

    async fn login() -> BrowserLogin {
        let api = Api::anonymous(GatewayUrl::parse("gw.test").unwrap(), None).unwrap();
        BrowserLogin::start(&api).await.unwrap()
    }

    async fn ask(port: u16, request: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn the_page_is_asked_with_a_challenge_and_not_the_verifier() {
        let login = login().await;
        let url = login.url().to_owned();
        assert!(url.starts_with("https://gw.test/cli?port="), "{url}");
        assert!(url.contains(&URL_SAFE_NO_PAD.encode(digest(&SHA256, login.verifier.expose().as_bytes()))));
        assert!(!url.contains(login.verifier.expose()));
        assert!(!format!("{login:?}").contains(login.verifier.expose()));
    }

    #[tokio::test]
    async fn strays_are_answered_and_do_not_end_the_wait() {
        let login = login().await;
        let port = login.listener.local_addr().unwrap().port();
        let good = format!("GET /callback?code=c%2B1&state={} HTTP/1.1\r\n\r\n", login.state);
        let waiting = tokio::spawn(async move { login.code().await });
        for stray in [
            "GET /favicon.ico HTTP/1.1\r\n\r\n",
            "GET /callback?code=evil&state=guessed HTTP/1.1\r\n\r\n",
            "GET /callback?code=evil HTTP/1.1\r\n\r\n",
            "POST /callback HTTP/1.1\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert!(ask(port, stray).await.starts_with("HTTP/1.1 404"), "{stray}");
        }
        drop(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
        assert!(ask(port, &good).await.contains("Signed in"));
        assert_eq!(waiting.await.unwrap().unwrap().expose(), "c+1");
    }

    #[tokio::test]
    async fn a_refusal_ends_the_wait() {
        let login = login().await;
        let line = |query: &str| login.understand(&format!("GET /callback?{query} HTTP/1.1"));
        assert_eq!(line(&format!("state={}&error=access_denied", login.state)), Callback::Refused);
        assert_eq!(line(&format!("state={}x&code=1", login.state)), Callback::Stray);
        assert_eq!(line("state=&code=1"), Callback::Stray);
    }
}
