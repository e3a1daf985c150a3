//! The few calls to an S3-compatible store that the library does not make, signed by it.
//!
//! Amazon S3 API reference: CompleteMultipartUpload, PutObjectRetention, PutObjectLegalHold, DeleteObject.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hoop_model::Timestamp;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use object_store::{
    ClientOptions,
    aws::{AwsAuthorizer, AwsCredentialProvider},
    client::{HttpClient, HttpConnector as _, HttpRequestBody, ReqwestConnector},
};

use super::ObjectError;
use crate::config::S3;

/// Most of an answer that is read.
const LONGEST_ANSWER: usize = 64 << 10;
const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

#[derive(Debug)]
pub(super) struct Calls {
    client: HttpClient,
    credentials: AwsCredentialProvider,
    region: String,
    /// `https://host/bucket`.
    base: String,
}

impl Calls {
    pub(super) fn new(
        config: &S3,
        options: &ClientOptions,
        credentials: AwsCredentialProvider,
    ) -> object_store::Result<Self> {
        let endpoint = match &config.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => format!("https://s3.{}.amazonaws.com", config.region),
        };
        Ok(Self {
            client: ReqwestConnector::default().connect(options)?,
            credentials,
            region: config.region.clone(),
            base: format!("{endpoint}/{}", config.bucket),
        })
    }

    pub(super) async fn complete(
        &self,
        key: &str,
        upload: &str,
        parts: &[String],
    ) -> Result<(), ObjectError> {
        let parts: String = (1..)
            .zip(parts)
            .map(|(number, tag)| {
                format!("<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag></Part>", escaped(tag))
            })
            .collect();
        let body =
            format!("<CompleteMultipartUpload xmlns=\"{NAMESPACE}\">{parts}</CompleteMultipartUpload>");
        let query = format!("uploadId={}", encoded(upload));
        let answer = self.call(Method::POST, key, &query, body, &[("if-none-match", "*")]).await?;
        // A failure may come with 200, once the answer has begun.
        if !answer.contains("<CompleteMultipartUploadResult") {
            return Err(ObjectError::Failed(code(&answer)));
        }
        Ok(())
    }

    pub(super) async fn retain(
        &self,
        key: &str,
        version: Option<&str>,
        mode: &str,
        until: Timestamp,
    ) -> Result<(), ObjectError> {
        // Whole seconds, and never too early.
        let until =
            Timestamp::from_micros(until.as_micros().div_euclid(1_000_000).saturating_add(1) * 1_000_000);
        let body = format!(
            "<Retention xmlns=\"{NAMESPACE}\"><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
        );
        self.call(Method::PUT, key, &with_version("retention", version), body, &[]).await.map(|_| ())
    }

    pub(super) async fn hold(&self, key: &str, held: bool) -> Result<(), ObjectError> {
        let status = if held { "ON" } else { "OFF" };
        let body = format!("<LegalHold xmlns=\"{NAMESPACE}\"><Status>{status}</Status></LegalHold>");
        self.call(Method::PUT, key, "legal-hold", body, &[]).await.map(|_| ())
    }

    pub(super) async fn delete(&self, key: &str, version: Option<&str>) -> Result<(), ObjectError> {
        let query = version.map(|version| format!("versionId={}", encoded(version))).unwrap_or_default();
        self.call(Method::DELETE, key, &query, String::new(), &[]).await.map(|_| ())
    }

    async fn call(
        &self,
        method: Method,
        key: &str,
        query: &str,
        body: String,
        headers: &[(&'static str, &str)],
    ) -> Result<String, ObjectError> {
        let failed = |error: &dyn std::fmt::Display| ObjectError::Failed(error.to_string());
        let question = if query.is_empty() { "" } else { "?" };
        let sum = STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes()));
        let mut request = http::Request::builder()
            .method(method.clone())
            .uri(format!("{}/{key}{question}{query}", self.base));
        if !body.is_empty() {
            request = request
                .header("content-type", "application/xml")
                .header("content-length", body.len())
                .header("x-amz-sdk-checksum-algorithm", "SHA256")
                .header("x-amz-checksum-sha256", sum);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(HttpRequestBody::from(body)).map_err(|error| failed(&error))?;
        let credential = self.credentials.get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(&mut request, None)?;
        let answer = self.client.execute(request).await.map_err(|error| failed(&error))?;
        let status = answer.status();
        let body = http_body_util::Limited::new(answer.into_body(), LONGEST_ANSWER);
        let body = body.collect().await.map_err(|error| failed(&error))?.to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        match status {
            status if status.is_success() => Ok(text),
            StatusCode::PRECONDITION_FAILED => Err(ObjectError::Exists),
            StatusCode::NOT_FOUND => Err(ObjectError::Absent),
            status => Err(ObjectError::Failed(format!("{method} answered {status}, {}", code(&text)))),
        }
    }
}

fn with_version(what: &str, version: Option<&str>) -> String {
    match version {
        Some(version) => format!("{what}&versionId={}", encoded(version)),
        None => what.to_owned(),
    }
}

/// What the store calls the failure: a word of its own, cut and plain.
fn code(answer: &str) -> String {
    let inner = answer.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let word: String =
        inner.map_or("", |(word, _)| word).chars().filter(char::is_ascii_alphanumeric).collect();
    if word.is_empty() { "no reason given".to_owned() } else { word.chars().take(80).collect() }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

/// As in a query of SigV4: everything but unreserved characters (RFC 3986).
fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_store_says_is_a_word() {
        assert_eq!(code("<Error><Code>AccessDenied</Code><Message>secret</Message></Error>"), "AccessDenied");
        assert_eq!(code("<Error><Code>a\n\x1b[2Jb</Code>"), "a2Jb");
        assert_eq!(code("gateway time-out"), "no reason given");
        assert_eq!(code(&format!("<Code>{}</Code>", "x".repeat(1000))).len(), 80);
    }

    #[test]
    fn names_of_others_are_escaped() {
        assert_eq!(encoded("a/b&c=d e~"), "a%2Fb%26c%3Dd%20e~");
        assert_eq!(escaped("\"a<b&c\""), "&quot;a&lt;b&amp;c&quot;");
        assert_eq!(with_version("retention", Some("1=2")), "retention&versionId=1%3D2");
    }
}
