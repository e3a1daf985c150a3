//! TLS on the loopback port, for clients that insist on it, such as those of Kubernetes.
//!
//! A kept [`Authority`] names the port, so that what a client was told of it stays true. Who may use the port is decided by
//! certificate: [`LocalTls`] makes one, when it is made, and lets in nobody else. The key that signed it is forgotten at once, so
//! there is never a second one. Knows nothing of sessions, or of what is spoken inside.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use hoop_model::{Redacted, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::{
    RootCertStore, ServerConfig,
    crypto::aws_lc_rs::default_provider,
    pki_types::{PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

use crate::{
    error::{ClientError, Result},
    tls::certificates,
};

/// A handshake on the own machine takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// What clients keep of an authority must not have to be replaced.
const AUTHORITY_LIVES: Duration = Duration::from_secs(3_650 * 24 * 60 * 60);

/// A certificate authority for loopback ports of one person.
pub struct Authority {
    certificate_pem: String,
    key: KeyPair,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

impl Authority {
    /// A new one, with a new key.
    ///
    /// # Errors
    /// When the cryptography cannot be used.
    pub fn generate(now: Timestamp) -> Result<Self> {
        let key = KeyPair::generate().map_err(|_| unmade())?;
        let mut params = params("hoop on this machine", now, now.after(AUTHORITY_LIVES));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate_pem = params.self_signed(&key).map_err(|_| unmade())?.pem();
        Ok(Self { certificate_pem, key })
    }

    /// One that was kept.
    ///
    /// # Errors
    /// When the text is not what [`Authority::to_pem`] gave.
    pub fn from_pem(text: &str) -> Result<Self> {
        let unreadable = || ClientError::own("HOOP-1004", "the kept authority of local ports cannot be read");
        let certificate = certificates(text)?.into_iter().next().ok_or_else(unreadable)?;
        let key = PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| unreadable())?;
        let key = KeyPair::try_from(&key).map_err(|_| unreadable())?;
        Ok(Self { certificate_pem: crate::tls::to_pem(&certificate), key })
    }

    /// Certificate and key, to keep in a private file.
    #[must_use]
    pub fn to_pem(&self) -> Redacted<String> {
        Redacted::new(format!("{}{}", self.certificate_pem, self.key.serialize_pem()))
    }

    /// What clients trust.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Certificate and key of a port.
    fn port(&self, now: Timestamp, until: Timestamp) -> Result<(String, KeyPair)> {
        let key = KeyPair::generate().map_err(|_| unmade())?;
        let issuer = Issuer::from_ca_cert_pem(&self.certificate_pem, &self.key).map_err(|_| unmade())?;
        let mut params = params("hoop local port", now, until);
        params.subject_alt_names = vec![
            SanType::DnsName("localhost".try_into().map_err(|_| unmade())?),
            SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        ];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &issuer).map_err(|_| unmade())?;
        Ok((certificate.pem(), key))
    }
}

/// What a client shows to be let in.
#[derive(Debug, Clone)]
pub struct ClientCertificate {
    /// Certificate, PEM.
    pub certificate_pem: String,
    /// Its key, PEM.
    pub key_pem: Redacted<String>,
}

impl ClientCertificate {
    /// One, with the certificate of who signed it: that key is gone when this returns.
    fn generate(now: Timestamp, until: Timestamp) -> Result<(Self, String)> {
        let authority = Authority::generate(now)?;
        let key = KeyPair::generate().map_err(|_| unmade())?;
        let issuer =
            Issuer::from_ca_cert_pem(&authority.certificate_pem, &authority.key).map_err(|_| unmade())?;
        let mut params = params("hoop local client", now, until);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate_pem = params.signed_by(&key, &issuer).map_err(|_| unmade())?.pem();
        let key_pem = Redacted::new(key.serialize_pem());
        Ok((Self { certificate_pem, key_pem }, authority.certificate_pem))
    }
}

/// The server's side of TLS on a local port, and the one certificate that opens it.
#[derive(Clone)]
pub struct LocalTls {
    acceptor: TlsAcceptor,
    client: Arc<ClientCertificate>,
}

impl std::fmt::Debug for LocalTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalTls").finish_non_exhaustive()
    }
}

impl LocalTls {
    /// For a port that is open until then. Clients may choose HTTP/2 or HTTP/1.1: what they then say is carried as it is.
    ///
    /// # Errors
    /// When the cryptography cannot be used.
    pub fn new(authority: &Authority, now: Timestamp, until: Timestamp) -> Result<Self> {
        let (chain_pem, key) = authority.port(now, until)?;
        let (client, signed_by) = ClientCertificate::generate(now, until)?;
        let provider = Arc::new(default_provider());
        let mut roots = RootCertStore::empty();
        for root in certificates(&signed_by)? {
            roots.add(root).map_err(|_| unmade())?;
        }
        let only_that = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|_| unmade())?;
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| unmade())?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|_| unmade())?
            .with_client_cert_verifier(only_that)
            .with_single_cert(certificates(&chain_pem)?, key)
            .map_err(|_| unmade())?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), client: Arc::new(client) })
    }

    /// The certificate that opens the port.
    #[must_use]
    pub fn client(&self) -> &ClientCertificate {
        &self.client
    }

    /// Waits until the client says something.
    ///
    /// # Errors
    /// `HOOP-1067` for those who say nothing.
    pub(crate) async fn heard(&self, stream: &TcpStream) -> Result<()> {
        match timeout(PATIENCE, stream.peek(&mut [0])).await {
            Ok(Ok(1..)) => Ok(()),
            _ => Err(refused("nothing was said")),
        }
    }

    /// Lets in whoever shows it.
    ///
    /// # Errors
    /// `HOOP-1067` for everybody else, and for those who say nothing.
    pub(crate) async fn accept(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        match timeout(PATIENCE, self.acceptor.accept(stream)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(error)) => Err(refused(&error.to_string())),
            Err(_) => Err(refused("nothing was said")),
        }
    }
}

fn refused(why: &str) -> ClientError {
    ClientError::denied("HOOP-1067", format!("a local connection was refused: {why}"))
        .hint("use the kubeconfig that hoop wrote; it speaks TLS and has the certificate")
}

fn params(name: &str, now: Timestamp, until: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    let ((year, month, date), (last_year, last_month, last_date)) =
        (day(now.before(DAY)), day(until.after(2 * DAY)));
    params.not_before = rcgen::date_time_ymd(year, month, date);
    params.not_after = rcgen::date_time_ymd(last_year, last_month, last_date);
    params
}

/// The day of a moment. A port's certificate needs no finer measure: what ends a port is its process.
fn day(at: Timestamp) -> (i32, u8, u8) {
    let at = jiff::Timestamp::from_microsecond(at.as_micros()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let date = at.to_zoned(jiff::tz::TimeZone::UTC).date();
    let part = |part: i8| u8::try_from(part).unwrap_or(1);
    (i32::from(date.year()), part(date.month()), part(date.day()))
}

fn unmade() -> ClientError {
    ClientError::own("HOOP-9001", "a certificate for the local port cannot be made")
}

#[cfg(test)]
mod tests {
    use rustls::{ClientConfig, pki_types::ServerName};
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpListener,
    };
    use tokio_rustls::TlsConnector;

    use super::*;

    fn now() -> Timestamp {
        jiff::Timestamp::now().into()
    }

    fn tls(authority: &Authority) -> LocalTls {
        LocalTls::new(authority, now(), now().after(DAY)).unwrap()
    }

    fn client(authority: &Authority, shown: Option<&ClientCertificate>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(certificates(authority.certificate_pem()).unwrap().remove(0)).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shown {
            None => config.with_no_client_auth(),
            Some(shown) => {
                let key = PrivateKeyDer::from_pem_slice(shown.key_pem.expose().as_bytes()).unwrap();
                config.with_client_auth_cert(certificates(&shown.certificate_pem).unwrap(), key).unwrap()
            }
        };
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        TlsConnector::from(Arc::new(config))
    }

    /// What the port makes of a client, and what the client reads of a greeting.
    async fn meet(
        tls: &LocalTls,
        client: TlsConnector,
        name: &'static str,
    ) -> (Result<()>, std::io::Result<Vec<u8>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = tls.accept(stream).await?;
            let alpn = stream.get_ref().1.alpn_protocol().unwrap_or_default().to_vec();
            let _ = stream.write_all(&alpn).await;
            let _ = stream.shutdown().await;
            Ok(())
        };
        let asking = async {
            let stream = TcpStream::connect(address).await?;
            let mut stream = client.connect(ServerName::try_from(name).unwrap(), stream).await?;
            let mut read = Vec::new();
            stream.read_to_end(&mut read).await?;
            Ok(read)
        };
        tokio::join!(serving, asking)
    }

    #[tokio::test]
    async fn the_one_certificate_opens_the_port_under_each_of_its_names() {
        let authority = Authority::generate(now()).unwrap();
        let tls = tls(&authority);
        for name in ["127.0.0.1", "localhost", "::1"] {
            let (let_in, read) = meet(&tls, client(&authority, Some(tls.client())), name).await;
            assert!(let_in.is_ok(), "{name}: {let_in:?}");
            assert_eq!(read.unwrap(), b"h2", "{name}");
        }
    }

    #[tokio::test]
    async fn nobody_else_is_let_in() {
        let authority = Authority::generate(now()).unwrap();
        let (tls, another) = (tls(&authority), tls(&authority));
        // Without a certificate; with that of another port of the same authority; with one that the authority itself signed.
        let (chain, key) = authority.port(now(), now().after(DAY)).unwrap();
        let signed =
            ClientCertificate { certificate_pem: chain, key_pem: Redacted::new(key.serialize_pem()) };
        for shown in [None, Some(another.client()), Some(&signed)] {
            let (let_in, read) = meet(&tls, client(&authority, shown), "127.0.0.1").await;
            assert!(let_in.unwrap_err().is("HOOP-1067"));
            assert!(read.is_err());
        }
    }

    #[tokio::test]
    async fn plain_http_and_silence_are_refused() {
        let tls = tls(&Authority::generate(now()).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut plain = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        plain.write_all(b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        assert!(tls.accept(stream).await.unwrap_err().is("HOOP-1067"));
        let silent = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        drop(silent);
        assert!(tls.accept(stream).await.unwrap_err().is("HOOP-1067"));
    }

    #[tokio::test]
    async fn a_kept_authority_is_the_same_one_and_no_printing_shows_its_key() {
        let authority = Authority::generate(now()).unwrap();
        let kept = Authority::from_pem(authority.to_pem().expose()).unwrap();
        assert_eq!(kept.certificate_pem(), authority.certificate_pem());
        let tls = tls(&kept);
        let (let_in, _) = meet(&tls, client(&authority, Some(tls.client())), "localhost").await;
        assert!(let_in.is_ok());
        assert!(!format!("{authority:?} {tls:?} {:?}", tls.client()).contains("PRIVATE"));
        assert!(Authority::from_pem(authority.certificate_pem()).is_err());
    }
}
