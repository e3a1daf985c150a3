//! An external detector of personal data, asked in the shape of Presidio's analyzer: `POST /analyze` with a text, answered
//! with what stands where in it (<https://microsoft.github.io/presidio/api-docs/api-docs.html>).
//!
//! It is asked about what people were shown, so it is told nothing else and believed nothing that cannot be: texts go to the
//! address that was named, over TLS or to this machine, through no proxy and behind no redirect; an answer is bounded in size and
//! time, and one that does not fit its text is an error. No error tells anything of a text or an answer.

use std::{net::IpAddr, time::Duration};

use reqwest::{Response, StatusCode, Url, redirect::Policy};
use serde::{Deserialize, Serialize};

use crate::{
    error::{ClientError, Result},
    tls,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For one text, from the first byte of the question to the last of the answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes of one answer.
const LARGEST_ANSWER: usize = 1 << 20;
/// Characters of the name of a kind.
const LONGEST_KIND: usize = 64;

/// How it is asked.
#[derive(Debug, Clone)]
pub struct Options {
    /// The language that texts are said to be in: `en`.
    pub language: String,
    /// What it is less certain of is no finding: 0 to 1.
    pub least_score: f64,
    /// PEM of the authorities that may speak for it; the system's if there is none.
    pub ca_pem: Option<String>,
}

/// Where something stands in a text, counted in characters (code points of Unicode).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Found {
    /// What the detector calls it: `US_SSN`.
    pub kind: String,
    /// The first character.
    pub start: usize,
    /// The one behind the last.
    pub end: usize,
}

/// A detector that can be asked.
#[derive(Debug, Clone)]
pub struct Detector {
    http: reqwest::Client,
    url: Url,
    options: Options,
}

#[derive(Serialize)]
struct Question<'a> {
    text: &'a str,
    language: &'a str,
    score_threshold: f64,
}

/// One element of the answer; a detector may say more.
#[derive(Deserialize)]
struct Told {
    entity_type: String,
    start: usize,
    end: usize,
    score: f64,
}

impl Detector {
    /// The detector at this address: `https://host/path`, or `http://` on this machine. `/analyze` is added if it is not there.
    ///
    /// # Errors
    /// When the address may not be used, or TLS cannot be set up.
    pub fn new(address: &str, options: Options) -> Result<Self> {
        let url = parse(address)?;
        if !(0.0..=1.0).contains(&options.least_score) {
            return Err(ClientError::usage("HOOP-1060", "the least score is a number from 0 to 1"));
        }
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=35).contains(&options.language.len()) || !options.language.bytes().all(is_name) {
            return Err(ClientError::usage("HOOP-1060", "a language is written like en or pt-BR"));
        }
        let http = reqwest::Client::builder()
            .http1_only()
            .tls_backend_preconfigured(tls::config(options.ca_pem.as_deref())?)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(ANSWER_TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            // What the name means on this machine is not asked of anybody.
            .resolve("localhost", ([127, 0, 0, 1], url.port_or_known_default().unwrap_or(0)).into())
            .build()
            .map_err(|_| ClientError::own("HOOP-9001", "the HTTP client cannot be set up"))?;
        Ok(Self { http, url, options })
    }

    /// What stands in the text, in its order. Cancel safe: a question that is given up leaves nothing behind.
    ///
    /// # Errors
    /// When it cannot be reached in time, or its answer cannot be of this text.
    pub async fn analyze(&self, text: &str) -> Result<Vec<Found>> {
        let question =
            Question { text, language: &self.options.language, score_threshold: self.options.least_score };
        let body = serde_json::to_vec(&question)
            .map_err(|_| ClientError::own("HOOP-9001", "the request cannot be written as JSON"))?;
        let request = self.http.post(self.url.clone()).header("content-type", "application/json").body(body);
        let response = request.send().await.map_err(|error| self.away(&error))?;
        if response.status() != StatusCode::OK {
            return Err(self.wrong(&format!("HTTP status {}", response.status().as_u16())));
        }
        let answer = self.read(response).await?;
        let told: Vec<Told> =
            serde_json::from_slice(&answer).map_err(|_| self.wrong("no list of findings in JSON"))?;
        self.fitting(text, told)
    }

    async fn read(&self, mut response: Response) -> Result<Vec<u8>> {
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(|error| self.away(&error))? {
            if answer.len() + piece.len() > LARGEST_ANSWER {
                return Err(self.wrong(&format!("longer than {LARGEST_ANSWER} bytes")));
            }
            answer.extend_from_slice(&piece);
        }
        Ok(answer)
    }

    fn fitting(&self, text: &str, told: Vec<Told>) -> Result<Vec<Found>> {
        let length = text.chars().count();
        let mut found = Vec::new();
        for Told { entity_type, start, end, score } in told {
            if start >= end || end > length {
                return Err(self.wrong("a finding lies outside its text"));
            }
            if !(0.0..=1.0).contains(&score) {
                return Err(self.wrong("a score is none from 0 to 1"));
            }
            if !is_kind(&entity_type) {
                return Err(self.wrong("a kind is not named as kinds are, in capitals"));
            }
            if score >= self.options.least_score {
                found.push(Found { kind: entity_type, start, end });
            }
        }
        found.sort_by_key(|found| (found.start, found.end));
        Ok(found)
    }

    fn away(&self, error: &reqwest::Error) -> ClientError {
        let why =
            if error.is_timeout() { "did not answer in time" } else { "cannot be reached, or broke off" };
        ClientError::away("HOOP-1061", format!("the detector at {} {why}", self.host()))
            .hint("is it running, and its certificate trusted here? nothing was reported, try again")
    }

    fn wrong(&self, what: &str) -> ClientError {
        ClientError::own("HOOP-1062", format!("the detector at {} answered wrongly: {what}", self.host()))
            .hint("it must answer POST /analyze as Presidio's analyzer does, with offsets in characters")
    }

    /// Its host and port.
    #[must_use]
    pub fn host(&self) -> String {
        let port = self.url.port_or_known_default().unwrap_or(0);
        format!("{}:{port}", self.url.host_str().unwrap_or("?"))
    }
}

/// `US_SSN`: a detector must not be able to show a text under this name.
fn is_kind(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_uppercase() || byte == b'_';
    (2..=LONGEST_KIND).contains(&name.len())
        && name.bytes().all(|byte| fits(byte) || byte.is_ascii_digit())
        && name.bytes().any(fits)
}

fn parse(address: &str) -> Result<Url> {
    let wrong = |why: &str| {
        ClientError::usage("HOOP-1060", format!("this is no address of a detector: {why}"))
            .hint("write https://presidio.example.org, or http://127.0.0.1:5002 for one on this machine")
    };
    let mut url = Url::parse(address.trim()).map_err(|error| wrong(&error.to_string()))?;
    let host =
        url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("there is no host in it"))?;
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    let is_here = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match url.scheme() {
        "https" => {}
        "http" if is_here => {}
        "http" => return Err(wrong("what people were shown goes to another machine over https:// alone")),
        _ => return Err(wrong("it must begin with https://")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it must not carry a name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("nothing may follow its path"));
    }
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&if path.ends_with("/analyze") { path } else { format!("{path}/analyze") });
    Ok(url)
}

#[cfg(test)]
mod tests;
