//! A server that sends bytes as it is told, whatever they are, and holds its peace when told so.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// What is sent for one path.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// These bytes, and then the connection is closed.
    Bytes(Vec<u8>),
    /// These bytes, once [`Raw::release`] allows it, and then the connection is closed.
    Held(Vec<u8>),
    /// These bytes, and then nothing more.
    Stall(Vec<u8>),
    /// These bytes, and then one byte after the other, for ever.
    Drip(Vec<u8>),
    /// These bytes, and then more of them, for ever.
    Flood(Vec<u8>),
}

/// Serves replies by path, and counts requests.
pub(crate) struct Raw {
    replies: Mutex<HashMap<String, Reply>>,
    asked: Mutex<Vec<String>>,
    held: Semaphore,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl Raw {
    pub(crate) async fn start() -> (Arc<Self>, SocketAddr) {
        let raw = Arc::new(Self {
            replies: Mutex::default(),
            asked: Mutex::default(),
            held: Semaphore::new(0),
            accepting: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = Arc::clone(&raw);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).answer(stream));
            }
        });
        *raw.accepting.lock().unwrap() = Some(accepting);
        (raw, address)
    }

    pub(crate) fn set(&self, path: &str, reply: Reply) {
        self.replies.lock().unwrap().insert(path.to_owned(), reply);
    }

    /// Lets one reply go that is held.
    pub(crate) fn release(&self) {
        self.held.add_permits(1);
    }

    /// Nobody is connected to any more.
    pub(crate) async fn stop(&self) {
        let accepting = self.accepting.lock().unwrap().take().unwrap();
        accepting.abort();
        let _ = accepting.await;
    }

    /// How many requests came for a path that ends so.
    pub(crate) fn count(&self, end: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        let paths = asked.iter().map(|head| head.split(' ').nth(1).unwrap());
        paths.filter(|path| path.ends_with(end)).count()
    }

    /// The heads of the requests that came.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    async fn answer(self: Arc<Self>, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let Ok(byte) = stream.read_u8().await else {
                return;
            };
            head.push(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        self.asked.lock().unwrap().push(head);
        let reply = self.replies.lock().unwrap().get(&path).cloned();
        let reply = reply.unwrap_or(Reply::Bytes(Vec::new()));
        if let Reply::Held(_) = reply {
            self.held.acquire().await.unwrap().forget();
        }
        let (Reply::Held(bytes)
        | Reply::Bytes(bytes)
        | Reply::Stall(bytes)
        | Reply::Drip(bytes)
        | Reply::Flood(bytes)) = &reply;
        if stream.write_all(bytes).await.is_err() {
            return;
        }
        match reply {
            Reply::Bytes(_) | Reply::Held(_) => {
                let _ = stream.shutdown().await;
            }
            // Until the other side goes away.
            Reply::Stall(_) => while stream.read_u8().await.is_ok() {},
            Reply::Drip(_) => {
                let mut ticks = tokio::time::interval(Duration::from_millis(20));
                while stream.write_all(b"x").await.is_ok() {
                    ticks.tick().await;
                }
            }
            Reply::Flood(_) => while stream.write_all(&[b'x'; 4096]).await.is_ok() {},
        }
    }
}

/// A sound answer with this body.
pub(crate) fn ok(body: &[u8]) -> Vec<u8> {
    answer("200 OK", &[], body)
}

/// An answer with a length that fits.
pub(crate) fn answer(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let length = format!("content-length: {}", body.len());
    let headers = [headers, &[&length]].concat();
    framed(status, &headers, body)
}

/// An answer as it is.
pub(crate) fn framed(status: &str, headers: &[&str], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\n").into_bytes();
    for header in headers {
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}
