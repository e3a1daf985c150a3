//! A terminal in the browser, by the WebSocket that the console opens.

use std::{sync::Arc, time::Duration};

use futures::{SinkExt as _, StreamExt as _};
use hoop_testkit::{Browser, World, wait_until};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::{Value, json};
use tokio::{net::TcpStream, runtime::Runtime, time::timeout};
use tokio_rustls::{TlsConnector, client::TlsStream};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{self, Message, client::IntoClientRequest as _, http::Response},
};

const PATIENCE: Duration = Duration::from_secs(20);

/// How a page asks for its WebSocket.
pub(crate) struct Asking<'a> {
    pub(crate) cookie: &'a str,
    pub(crate) origin: Option<&'a str>,
}

/// A terminal as the console has one.
pub(crate) struct Page {
    pub(crate) runtime: Runtime,
    pub(crate) socket: WebSocketStream<TlsStream<TcpStream>>,
    pub(crate) shown: String,
    pub(crate) drawn: u64,
}

/// What was answered in place of a WebSocket; nothing if the connection broke.
pub(crate) type Refused = Option<Box<Response<Option<Vec<u8>>>>>;

impl Page {
    pub(crate) fn connect(world: &World, browser: &Browser, asking: &Asking<'_>) -> Result<Self, Refused> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connecting = async {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(browser.ca()).unwrap()).unwrap();
            let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
            let tcp = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
            let url = format!("wss://localhost:{}/api/v1/terminals", world.port);
            let mut request = url.into_client_request().unwrap();
            let headers = request.headers_mut();
            if !asking.cookie.is_empty() {
                headers.insert("cookie", asking.cookie.parse().unwrap());
            }
            if let Some(origin) = asking.origin {
                headers.insert("origin", origin.parse().unwrap());
            }
            client_async(request, tls).await
        };
        match runtime.block_on(connecting) {
            Ok((socket, _)) => Ok(Self { runtime, socket, shown: String::new(), drawn: 0 }),
            Err(tungstenite::Error::Http(response)) => Err(Some(response)),
            Err(_) => Err(None),
        }
    }

    /// As the console does it.
    pub(crate) fn open(world: &World, browser: &Browser, connection: &str) -> Self {
        Self::open_with(world, browser, connection, &json!({}))
    }

    /// With more in its first message.
    pub(crate) fn open_with(world: &World, browser: &Browser, connection: &str, more: &Value) -> Self {
        let asking = Asking { cookie: &browser.cookie(), origin: Some(browser.origin()) };
        let mut page = Self::connect(world, browser, &asking).unwrap();
        let mut first = json!({"connection": connection, "csrf": browser.csrf(), "columns": 90, "rows": 25});
        for (name, value) in more.as_object().unwrap() {
            first[name] = value.clone();
        }
        page.say(&first);
        page
    }

    pub(crate) fn say(&mut self, message: &Value) {
        self.send(Message::text(message.to_string()));
    }

    pub(crate) fn press(&mut self, keys: &str) {
        self.send(Message::binary(keys.as_bytes().to_vec()));
    }

    pub(crate) fn send(&mut self, message: Message) {
        // A page that was cut off finds out by what it reads.
        let _ = self.runtime.block_on(self.socket.send(message));
    }

    /// The next message for the page, or nothing more.
    pub(crate) fn next(&mut self) -> Option<Value> {
        loop {
            let next = self.runtime.block_on(async { timeout(PATIENCE, self.socket.next()).await });
            match next.unwrap() {
                Some(Ok(Message::Binary(data))) => {
                    self.shown.push_str(&String::from_utf8_lossy(&data));
                    self.drawn += data.len() as u64;
                    return Some(Value::Null);
                }
                Some(Ok(Message::Text(text))) => return Some(serde_json::from_str(&text).unwrap()),
                Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                Some(Ok(_)) => {}
            }
        }
    }

    /// Reads until the shell showed this.
    pub(crate) fn expect(&mut self, text: &str) {
        while !self.shown.contains(text) {
            let said = self.next();
            assert!(said.is_some(), "it is over, and {text:?} was not shown: {:?}", self.shown);
        }
    }

    /// Reads until a message of this kind came.
    pub(crate) fn told(&mut self, kind: &str) -> Value {
        loop {
            let said = self.next().unwrap();
            if !said.is_null() {
                assert_eq!(said["kind"], kind, "{said}");
                return said;
            }
        }
    }

    /// The code of the problem that ends it; nothing comes after.
    pub(crate) fn failed(&mut self) -> String {
        self.problem()["code"].as_str().unwrap().to_owned()
    }

    /// The problem that ends it; nothing comes after.
    pub(crate) fn problem(&mut self) -> Value {
        let failed = self.told("failed");
        assert_eq!(self.next(), None, "these are the last words");
        failed["problem"].clone()
    }
}

pub(crate) fn live(world: &World) -> Vec<Value> {
    world.json(&world.admin, &["sessions", "ls", "--live"]).as_array().unwrap().clone()
}

pub(crate) fn nothing_is_left(world: &World) {
    wait_until("no live session", || live(world).is_empty().then_some(()));
}
