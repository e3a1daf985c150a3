//! Notices as mail, over SMTP with or without TLS. Headers are made of typed parts alone: no text of anybody can become
//! one. A server that talks without end is cut off.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use hoop_model::{NoticeId, Timestamp};
use lettre::{
    Message,
    message::header::{ContentType, Header, HeaderName, HeaderValue},
    transport::smtp::{
        authentication::{Credentials, Mechanism},
        client::{AsyncSmtpConnection, AsyncTokioStream, Certificate, CertificateStore, TlsParameters},
        extension::ClientId,
    },
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::timeout,
};

use super::{SendError, notice::Notice};
use crate::config::{
    channels::{Smtp, SmtpTls},
    lists::Ca,
};

/// The most that a server may say in one delivery, its certificates and all. What it says is looked at anew with each
/// line, so more than this would take time, too.
const MOST_READ: usize = 32 * 1024;
/// For a farewell: the mail is delivered by then.
const FAREWELL: Duration = Duration::from_secs(1);

/// Writes mail by one server.
pub(super) struct Mailer {
    smtp: Box<Smtp>,
    /// Absent without TLS.
    tls: Option<TlsParameters>,
    /// Our own name.
    host: String,
}

impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer").field("smtp", &self.smtp).finish_non_exhaustive()
    }
}

impl Mailer {
    pub(super) fn new(smtp: &Smtp, host: &str) -> Result<Self, lettre::transport::smtp::Error> {
        let tls = match smtp.tls {
            SmtpTls::None => None,
            SmtpTls::StartTls | SmtpTls::Wrapped => Some(parameters(&smtp.host, smtp.ca.as_ref())?),
        };
        Ok(Self { smtp: Box::new(smtp.clone()), tls, host: host.to_owned() })
    }

    /// Sends one.
    pub(super) async fn send(
        &self,
        id: NoticeId,
        notice: &Notice,
        patience: Duration,
    ) -> Result<(), SendError> {
        let message = message(&self.smtp, &self.host, id, notice)?;
        let sent = timeout(patience, self.hand_over(&message)).await;
        let mut connection = sent.map_err(|_| SendError::NoAnswer)??;
        // It is theirs now: whatever happens to the farewell, the mail is not to be sent again.
        let _ = timeout(FAREWELL, connection.quit()).await;
        Ok(())
    }

    async fn hand_over(&self, message: &Message) -> Result<AsyncSmtpConnection, SendError> {
        let mut connection = self.connect().await?;
        if let Some((name, password)) = &self.smtp.credentials {
            let credentials = Credentials::new(name.clone(), password.expose().clone());
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            // What a server says to a password is not for the log.
            connection
                .auth(&mechanisms, &credentials)
                .await
                .map_err(|error| SendError::MailSignIn(code(&error)))?;
        }
        connection.send(message.envelope(), &message.formatted()).await.map_err(|error| refused(&error))?;
        Ok(connection)
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, SendError> {
        let hello = hello(&self.host);
        let server = (self.smtp.host.as_str(), self.smtp.port);
        if let (SmtpTls::Wrapped, Some(tls)) = (self.smtp.tls, &self.tls) {
            let connecting =
                AsyncSmtpConnection::connect_tokio1(server, None, &hello, Some(tls.clone()), None);
            return connecting.await.map_err(|error| refused(&error));
        }
        let stream =
            TcpStream::connect(server).await.map_err(|error| SendError::Unreachable(error.to_string()))?;
        let stream = Box::new(Bounded { stream, left: MOST_READ });
        let mut connection = AsyncSmtpConnection::connect_with_transport(stream, &hello)
            .await
            .map_err(|error| refused(&error))?;
        if let Some(tls) = &self.tls {
            connection.starttls(tls.clone(), &hello).await.map_err(|error| refused(&error))?;
        }
        Ok(connection)
    }
}

fn parameters(host: &str, ca: Option<&Ca>) -> Result<TlsParameters, lettre::transport::smtp::Error> {
    let builder = TlsParameters::builder(host.to_owned());
    match ca {
        None => builder.build_rustls(),
        Some(Ca(pem)) => {
            let builder = builder.certificate_store(CertificateStore::None);
            builder.add_root_certificate(Certificate::from_pem(pem.as_bytes())?).build_rustls()
        }
    }
}

fn hello(host: &str) -> ClientId {
    match host.parse() {
        Ok(IpAddr::V4(address)) => ClientId::Ipv4(address),
        Ok(IpAddr::V6(address)) => ClientId::Ipv6(address),
        Err(_) => ClientId::Domain(host.to_owned()),
    }
}

fn code(error: &lettre::transport::smtp::Error) -> String {
    error.status().map_or_else(|| "no status".to_owned(), |code| code.to_string())
}

fn refused(error: &lettre::transport::smtp::Error) -> SendError {
    SendError::Mail(error.to_string())
}

/// Robots are not to answer (RFC 3834 §5).
#[derive(Debug, Clone, Copy)]
struct AutoSubmitted;

impl Header for AutoSubmitted {
    fn name() -> HeaderName {
        HeaderName::new_from_ascii_str("Auto-Submitted")
    }

    fn parse(_: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        Ok(Self)
    }

    fn display(&self) -> HeaderValue {
        HeaderValue::new(Self::name(), "auto-generated".to_owned())
    }
}

fn message(smtp: &Smtp, host: &str, id: NoticeId, notice: &Notice) -> Result<Message, SendError> {
    // The same for each attempt: who has it already can tell.
    let host = if host.parse::<IpAddr>().is_ok() { "hoop.invalid" } else { host };
    let builder = Message::builder()
        .date(system_time(notice.at))
        .message_id(Some(format!("<{id}@{host}>")))
        .from(smtp.from.clone())
        .subject(format!("[hoop] {}", notice.title))
        .header(AutoSubmitted)
        .header(ContentType::TEXT_PLAIN);
    let builder = smtp.to.iter().fold(builder, |builder, to| builder.to(to.clone()));
    builder.body(text(notice)).map_err(|error| SendError::Setup(error.to_string()))
}

fn system_time(at: Timestamp) -> SystemTime {
    let micros = u64::try_from(at.as_micros()).unwrap_or(0);
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_micros(micros)).unwrap_or(SystemTime::UNIX_EPOCH)
}

fn text(notice: &Notice) -> String {
    let mut lines = vec![notice.title.clone()];
    if !notice.text.is_empty() {
        lines.extend([String::new(), notice.text.clone()]);
    }
    lines.push(String::new());
    lines.extend(notice.facts.iter().map(|fact| format!("{}: {}", fact.name, fact.value)));
    lines.push(format!("time: {}", notice.at));
    lines.push(format!("severity: {}", notice.severity.label()));
    lines.extend(notice.url.iter().map(|url| format!("\n{url}")));
    lines.join("\n") + "\n"
}

/// A connection of which only so much is read.
#[derive(Debug)]
struct Bounded {
    stream: TcpStream,
    left: usize,
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            return Poll::Ready(Err(io::Error::other("the server says too much")));
        }
        let mut part = out.take(self.left);
        let read = Pin::new(&mut self.stream).poll_read(cx, &mut part);
        let count = part.filled().len();
        self.left = self.left.saturating_sub(count);
        // `part` borrows the same bytes as `out`: it wrote and initialised them.
        out.initialize_unfilled_to(count);
        out.advance(count);
        read
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

impl AsyncTokioStream for Bounded {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream.peer_addr()
    }
}
