//! A TCP proxy that cuts what goes through it.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

/// Forwards to a port of loopback; every connection can be cut at once.
#[derive(Debug)]
pub struct Cutter {
    pub port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    upstream: AtomicU16,
    stop: AtomicBool,
    accepted: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
    held: Mutex<bool>,
    released: Condvar,
}

impl Shared {
    /// Waits while nothing is to pass.
    fn wait_while_held(&self) {
        let held = self.held.lock().unwrap();
        drop(self.released.wait_while(held, |held| *held).unwrap());
    }

    fn set_held(&self, held: bool) {
        *self.held.lock().unwrap() = held;
        self.released.notify_all();
    }
}

impl Cutter {
    pub fn to(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            upstream: AtomicU16::new(upstream),
            stop: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            open: Mutex::default(),
            held: Mutex::default(),
            released: Condvar::default(),
        });
        let accepting = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self { port, shared, accepting: Some(accepting) }
    }

    /// Cuts every connection there is; says how many.
    pub fn cut(&self) -> usize {
        let open = std::mem::take(&mut *self.shared.open.lock().unwrap());
        open.iter().for_each(|stream| {
            let _ = stream.shutdown(Shutdown::Both);
        });
        open.len()
    }

    /// From now on every connection stays open and nothing passes any more: half-open, as when a cable is pulled.
    pub fn hold(&self) {
        self.shared.set_held(true);
    }

    /// Everything passes again.
    pub fn release(&self) {
        self.shared.set_held(false);
    }

    /// Connections taken so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.stop.load(Ordering::Relaxed) {
            return;
        }
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        let upstream = SocketAddr::from(([127, 0, 0, 1], shared.upstream.load(Ordering::Relaxed)));
        let Ok(server) = TcpStream::connect(upstream) else { continue };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let pairs = [(client.try_clone(), server.try_clone()), (server.try_clone(), client.try_clone())];
        for (from, to) in pairs {
            if let (Ok(from), Ok(to)) = (from, to) {
                let shared = Arc::clone(shared);
                std::thread::spawn(move || copy(from, to, &shared));
            }
        }
        shared.open.lock().unwrap().extend([client, server]);
    }
}

fn copy(mut from: TcpStream, mut to: TcpStream, shared: &Shared) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count) = from.read(&mut buffer) {
        shared.wait_while_held();
        if count == 0 || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.release();
        self.cut();
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
    }
}
