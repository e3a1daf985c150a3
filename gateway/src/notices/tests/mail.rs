//! Mail, delivered to a real mail server (aiosmtpd).

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, ChildStdout, Stdio},
};

use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

use super::*;

/// Prints its port, then each mail as a line of JSON. It refuses people called `refused`.
const SERVER: &str = r#"
import asyncio, json, ssl, sys
from aiosmtpd.smtp import SMTP, AuthResult
mode, cert, key = sys.argv[1:4]
class Handler:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith('refused'): return '550 5.1.1 nobody of this name'
        envelope.rcpt_tos.append(address)
        return '250 OK'
    async def handle_DATA(self, server, session, envelope):
        got = {'from': envelope.mail_from, 'to': envelope.rcpt_tos, 'data': envelope.content.decode('latin-1'),
               'tls': session.ssl is not None or mode == 'tls', 'signed_in': bool(session.authenticated)}
        print(json.dumps(got), flush=True)
        return '250 OK'
def authenticate(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b'hoop', b'canary-pw'), handled=False)
context = None
if mode != 'none':
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); context.load_cert_chain(cert, key)
async def main():
    make = lambda: SMTP(Handler(), hostname='localhost', tls_context=context if mode == 'starttls' else None,
                        require_starttls=mode == 'starttls', authenticator=authenticate, auth_require_tls=mode == 'starttls')
    server = await asyncio.get_running_loop().create_server(make, '127.0.0.1', 0, ssl=context if mode == 'tls' else None)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"#;

struct MailServer {
    child: Child,
    lines: BufReader<ChildStdout>,
    port: u16,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl MailServer {
    fn start(bench: &Bench, mode: &str) -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(bench.path("ca.pem"), made.cert.pem()).unwrap();
        std::fs::write(bench.path("key.pem"), made.signing_key.serialize_pem()).unwrap();
        let mut python = hoop_testkit::mail_server(SERVER);
        python.args([mode, &bench.path("ca.pem"), &bench.path("key.pem")]);
        let mut child = python.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        lines.read_line(&mut port).unwrap();
        Self { child, lines, port: port.trim().parse().unwrap() }
    }

    /// The next mail: it was printed before it was taken.
    fn next(&mut self) -> Value {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    fn outlet(&self, bench: &Bench, more: &str) -> Outlet {
        let lines = format!(
            "kind='smtp'\nhost='localhost'\nport={}\nfrom='hoop <hoop@x.example>'\nto=['ops@x.example', 'Ada <ada@x.example>']\n{more}",
            self.port
        );
        bench.outlet(&lines, PATIENCE)
    }
}

#[tokio::test]
async fn mail_goes_by_every_kind_of_connection() {
    let bench = Bench::new().await;
    let signed_in = "username='hoop'\npassword='file:DIR/password'\nca_file='DIR/ca.pem'";
    for (mode, more, encrypted) in
        [("none", "", false), ("starttls", signed_in, true), ("tls", signed_in, true)]
    {
        let mut server = MailServer::start(&bench, mode);
        let outlet = server.outlet(&bench, &format!("tls='{mode}'\n{more}"));
        assert_eq!(bench.try_once(&outlet, &bench.notice("ada asks – é")).await, None, "{mode}");
        let mail = server.next();
        assert_eq!(
            (mail["tls"].as_bool(), mail["signed_in"].as_bool()),
            (Some(encrypted), Some(encrypted)),
            "{mode}"
        );
        assert_eq!(
            (&mail["from"], &mail["to"]),
            (&json!("hoop@x.example"), &json!(["ops@x.example", "ada@x.example"]))
        );
        let data = mail["data"].as_str().unwrap();
        let id = bench.store.notices(None, 1).await.unwrap().items.remove(0).id;
        assert!(data.contains(&format!("Message-ID: <{id}@hoop.example>\r\n")), "{data}");
        assert!(
            data.contains("Auto-Submitted: auto-generated\r\n") && data.contains("Date: Tue, 14 Nov 2023"),
            "{data}"
        );
        assert!(data.contains("ticket 7") && data.contains("https://hoop.example/requests/req_x"), "{data}");
    }
}

#[tokio::test]
async fn nothing_is_sent_where_it_could_be_read() {
    let bench = Bench::new().await;
    // A server that offers no STARTTLS; one that nobody vouches for; one that has another name.
    let plain = MailServer::start(&bench, "none");
    let signed_in = "username='hoop'\npassword='file:DIR/password'";
    let error = bench.try_once(&plain.outlet(&bench, signed_in), &bench.notice("x")).await.unwrap();
    assert!(error.contains("STARTTLS"), "{error}");
    for mode in ["starttls", "tls"] {
        let server = MailServer::start(&bench, mode);
        let unknown = server.outlet(&bench, &format!("tls='{mode}'\n{signed_in}"));
        let error = bench.try_once(&unknown, &bench.notice("x")).await.unwrap();
        assert!(error.contains("certificate"), "{error}");
        let named = format!("tls='{mode}'\n{signed_in}\nca_file='DIR/ca.pem'");
        let lines = format!(
            "kind='smtp'\nhost='127.0.0.1'\nport={}\nfrom='a@x.example'\nto=['b@x.example']\n{named}",
            server.port
        );
        let error = bench.try_once(&bench.outlet(&lines, PATIENCE), &bench.notice("x")).await.unwrap();
        assert!(error.contains("certificate"), "{error}");
    }
}

#[tokio::test]
async fn what_the_server_refuses_is_told_and_no_password_is() {
    let bench = Bench::new().await;
    let server = MailServer::start(&bench, "starttls");
    std::fs::write(bench.path("wrong"), "canary-wrong").unwrap();
    let wrong = server.outlet(&bench, "username='hoop'\npassword='file:DIR/wrong'\nca_file='DIR/ca.pem'");
    let error = bench.try_once(&wrong, &bench.notice("x")).await.unwrap();
    assert_eq!(error, "the mail server refused the name and password (535)");
    let lines = format!(
        "kind='smtp'\nhost='localhost'\nport={}\nfrom='a@x.example'\nto=['refused@x.example']\nca_file='DIR/ca.pem'",
        server.port
    );
    let error = bench.try_once(&bench.outlet(&lines, PATIENCE), &bench.notice("x")).await.unwrap();
    assert!(error.contains("550"), "{error}");
}

#[tokio::test]
async fn no_text_becomes_a_header_a_recipient_or_an_end() {
    let bench = Bench::new().await;
    let mut server = MailServer::start(&bench, "none");
    let outlet = server.outlet(&bench, "tls='none'");
    let hostile = "x\r\nBcc: eve@x.example\r\n\r\n.\r\nMAIL FROM:<eve@x.example>\r\n=?utf-8?q?=0D=0ABcc:_eve?= \u{2028}Cc: eve";
    // As it could stand in the store, too: past what `Notice` does to it.
    let raw = Notice { title: hostile.to_owned(), text: hostile.to_owned(), ..bench.notice("x") };
    for notice in [bench.notice(hostile).text(hostile).fact("reason", hostile), raw] {
        assert_eq!(bench.try_once(&outlet, &notice).await, None);
        let mail = server.next();
        assert_eq!(mail["to"], json!(["ops@x.example", "ada@x.example"]));
        let data = mail["data"].as_str().unwrap();
        let head = data.split("\r\n\r\n").next().unwrap();
        let mut names: Vec<_> = head
            .lines()
            .filter(|line| !line.starts_with([' ', '\t']))
            .map(|line| line.split(':').next().unwrap())
            .collect();
        names.retain(|name| !["Received", "X-Peer", "X-MailFrom", "X-RcptTo"].contains(name));
        names.sort_unstable();
        let wanted = [
            "Auto-Submitted",
            "Content-Transfer-Encoding",
            "Content-Type",
            "Date",
            "From",
            "MIME-Version",
            "Message-ID",
            "Subject",
            "To",
        ];
        assert!(names.iter().all(|name| wanted.contains(name)), "{head}");
        assert!(!head.lines().any(|line| line.to_lowercase().starts_with("bcc")), "{head}");
    }
}

#[tokio::test]
async fn a_server_that_talks_without_end_is_cut_off() {
    let bench = Bench::new().await;
    for noise in [&b"220-still here\r\n"[..], b"x"] {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        let noise = noise.repeat(5000);
        tokio::spawn(async move {
            let (mut stream, _) = socket.accept().await.unwrap();
            while stream.write_all(&noise).await.is_ok() {}
        });
        let lines = format!(
            "kind='smtp'\nhost='127.0.0.1'\nport={port}\ntls='none'\nfrom='a@x.example'\nto=['b@x.example']"
        );
        let began = std::time::Instant::now();
        let error = bench.try_once(&bench.outlet(&lines, PATIENCE), &bench.notice("x")).await.unwrap();
        assert!(error.contains("did not take it"), "{error}");
        assert!(began.elapsed() < Duration::from_secs(8));
    }
}
