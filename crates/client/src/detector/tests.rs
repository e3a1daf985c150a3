//! A server of HTTP on a real socket, that answers as it is told: rightly, wrongly, slowly, without end.

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use super::*;

fn options() -> Options {
    Options { language: "en".to_owned(), least_score: 0.4, ca_pem: None }
}

fn code(error: &ClientError) -> &str {
    error.fault.code.as_str()
}

/// Reads one request; its body.
async fn request(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    loop {
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.unwrap();
        read.extend_from_slice(&piece[..count]);
        let text = String::from_utf8_lossy(&read).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").map(str::to_owned));
        if body.len() >= length.unwrap().parse().unwrap() {
            assert!(head.starts_with("POST /analyze HTTP/1.1"), "{head}");
            return body.to_owned();
        }
    }
}

/// A detector that answers one request with these bytes; and what it was asked.
async fn answering(answer: &[u8]) -> (Result<Vec<Found>>, serde_json::Value) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let detector = Detector::new(&format!("http://{}", listener.local_addr().unwrap()), options()).unwrap();
    let serve = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let body = request(&mut stream).await;
        // Who has heard enough hangs up.
        let _ = stream.write_all(answer).await;
        body
    };
    let (found, body) = tokio::join!(detector.analyze("Ökonom ada@example.org"), serve);
    (found, serde_json::from_str(&body).unwrap())
}

fn with_body(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
        .into_bytes()
}

fn told(kind: &str, start: i64, end: i64, score: &str) -> String {
    format!(
        r#"{{"entity_type": "{kind}", "start": {start}, "end": {end}, "score": {score}, "analysis_explanation": null}}"#
    )
}

#[tokio::test]
async fn what_it_finds_is_taken_by_characters() {
    let body = format!("[{}, {}]", told("EMAIL_ADDRESS", 7, 22, "1.0"), told("PERSON", 0, 6, "0.3"));
    let (found, asked) = answering(&with_body("200 OK", &body)).await;
    let email = Found { kind: "EMAIL_ADDRESS".to_owned(), start: 7, end: 22 };
    assert_eq!(found.unwrap(), [email], "the other is not certain enough");
    let wanted =
        serde_json::json!({"text": "Ökonom ada@example.org", "language": "en", "score_threshold": 0.4});
    assert_eq!(asked, wanted);
    assert!(answering(&with_body("200 OK", "[]")).await.0.unwrap().is_empty());
}

#[tokio::test]
async fn an_answer_that_cannot_be_is_an_error_and_tells_nothing_of_the_text() {
    let huge = format!("[{}]", "1,".repeat(LARGEST_ANSWER));
    let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let endless =
        [&chunked[..], &b"100000\r\n"[..], &vec![b' '; 1 << 20], b"\r\n100000\r\n", &vec![b' '; 1 << 20]]
            .concat();
    let list = |told: String| with_body("200 OK", &format!("[{told}]"));
    for (answer, why) in [
        (list(told("A_B", 0, 23, "1")), "outside"),
        (list(told("A_B", 5, 5, "1")), "outside"),
        (list(told("A_B", 9, 5, "1")), "outside"),
        (list(told("A_B", -1, 5, "1")), "JSON"),
        (list(told("A_B", 0, 5, "1.1")), "score"),
        (list(told("A_B", 0, 5, "-1")), "score"),
        (list(told("ada@example.org", 0, 5, "1")), "kind"),
        (list(told("123456789", 0, 5, "1")), "kind"),
        (list(told(&"A".repeat(65), 0, 5, "1")), "kind"),
        (list("{}".to_owned()), "JSON"),
        (with_body("200 OK", r#"{"entity_type": "A"}"#), "JSON"),
        (with_body("200 OK", "<html>ada@example.org</html>"), "JSON"),
        (with_body("200 OK", ""), "JSON"),
        (with_body("200 OK", &huge), "longer"),
        (endless, "longer"),
        (with_body("500 Internal Server Error", "[]"), "500"),
        (with_body("204 No Content", ""), "204"),
        (b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://127.0.0.1:1/analyze\r\ncontent-length: 0\r\n\r\n".to_vec(), "307"),
    ] {
        let error = answering(&answer).await.0.unwrap_err();
        assert_eq!(code(&error), "HOOP-1062", "{why}: {error}");
        assert!(error.fault.message.contains(why), "{why}: {error}");
        assert!(!format!("{error:?}").contains("ada@"), "{error:?}");
    }
}

#[tokio::test]
async fn one_that_breaks_off_or_is_away_is_told_as_such() {
    for answer in [&b""[..], b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n[", b"nonsense\r\n\r\n"] {
        assert_eq!(code(&answering(answer).await.0.unwrap_err()), "HOOP-1061");
    }
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let detector = Detector::new(&format!("http://{closed}"), options()).unwrap();
    assert_eq!(code(&detector.analyze("x").await.unwrap_err()), "HOOP-1061");
}

/// The clock is moved once the question is there, so that no test waits.
#[tokio::test]
async fn one_that_is_silent_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let detector = Detector::new(&format!("http://{}", listener.local_addr().unwrap()), options()).unwrap();
    let silent = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        request(&mut stream).await;
        tokio::time::pause();
        tokio::time::advance(ANSWER_TIMEOUT).await;
        stream
    };
    let (error, _stream) = tokio::join!(detector.analyze("x"), silent);
    let error = error.unwrap_err();
    assert_eq!(code(&error), "HOOP-1061");
    assert!(error.fault.message.contains("in time"), "{error}");
}

/// A certificate for this machine, and a server that shows it.
fn certified() -> (String, tokio_rustls::TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config =
        rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    (made.cert.pem(), std::sync::Arc::new(config).into())
}

#[tokio::test]
async fn over_tls_only_the_one_that_is_trusted_is_told_a_text() {
    let ((pem, acceptor), (other_pem, _)) = (certified(), certified());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    for (ca_pem, is_trusted) in [(pem, true), (other_pem, false)] {
        let detector = Detector::new(&address, Options { ca_pem: Some(ca_pem), ..options() }).unwrap();
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(mut stream) = acceptor.accept(stream).await else { return false };
            let mut piece = [0; 4096];
            let is_asked = stream.read(&mut piece).await.is_ok_and(|count| count > 0);
            let _ = stream.write_all(&with_body("200 OK", "[]")).await;
            let _ = stream.shutdown().await;
            is_asked
        };
        let (found, is_asked) = tokio::join!(detector.analyze("ada"), serve);
        assert_eq!((found.is_ok(), is_asked), (is_trusted, is_trusted), "{found:?}");
        assert!(found.is_ok_and(|found| found.is_empty()) || !is_trusted);
    }
}

#[test]
fn only_an_address_that_is_safe_is_asked() {
    for (address, asked) in [
        ("https://presidio.test", "https://presidio.test/analyze"),
        ("https://presidio.test/v1/", "https://presidio.test/v1/analyze"),
        ("https://presidio.test/analyze", "https://presidio.test/analyze"),
        ("http://127.0.0.1:5002", "http://127.0.0.1:5002/analyze"),
        ("http://[::1]:5002/", "http://[::1]:5002/analyze"),
        ("http://localhost:5002", "http://localhost:5002/analyze"),
    ] {
        assert_eq!(Detector::new(address, options()).unwrap().url.as_str(), asked);
    }
    for address in [
        "",
        "presidio.test",
        "http://presidio.test",
        "http://10.0.0.1",
        "http://localhost.example.org",
        "http://127.0.0.1.example.org",
        "ftp://127.0.0.1",
        "https://ada:secret@presidio.test",
        "https://presidio.test/?a=b",
        "https://presidio.test/#a",
    ] {
        let error = Detector::new(address, options()).unwrap_err();
        assert_eq!(code(&error), "HOOP-1060", "{address}");
        assert!(!format!("{error:?}").contains("secret"));
    }
    for (language, least_score) in [("", 0.5), ("e n", 0.5), ("en", 1.5), ("en", f64::NAN)] {
        let options = Options { language: language.to_owned(), least_score, ca_pem: None };
        assert_eq!(code(&Detector::new("https://p.test", options).unwrap_err()), "HOOP-1060");
    }
}
