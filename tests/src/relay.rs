//! A wire between clients and a server that a test can hold at the first tarball, move to another
//! server, and have tell another time.

use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Where to listen, before the gate is there.
pub struct Relay {
    listener: TcpListener,
    /// Its address, which stands for the server's.
    pub url: String,
}

/// A relay at work.
#[derive(Clone)]
pub struct Relaying {
    target: Arc<Mutex<String>>,
    trap: Arc<Mutex<Option<Trap>>>,
    /// What stands in the `Date` of answers, where it is not the server's own.
    date: Arc<Mutex<Option<String>>>,
}

/// Set for the first request that is caught: tells that it came, and waits to let it go.
struct Trap {
    came: oneshot::Sender<()>,
    go: oneshot::Receiver<()>,
}

/// A trap, from the test's side.
pub struct Caught {
    came: oneshot::Receiver<()>,
    go: oneshot::Sender<()>,
}

impl Relay {
    /// Takes a port.
    pub async fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        Self { listener, url }
    }

    /// Passes everything on to a server, byte for byte, until the test ends.
    pub fn to(self, server: &str) -> Relaying {
        let relaying = Relaying {
            target: Arc::new(Mutex::new(address(server))),
            trap: Arc::default(),
            date: Arc::default(),
        };
        let shared = relaying.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = self.listener.accept().await.unwrap();
                let target = shared.target.lock().unwrap().clone();
                if let Ok(server) = TcpStream::connect(target).await {
                    tokio::spawn(shared.clone().pass(client, server));
                }
            }
        });
        relaying
    }
}

fn address(url: &str) -> String {
    url.strip_prefix("http://").unwrap().to_owned()
}

impl Relaying {
    /// Passes new connections on to another server.
    pub fn move_to(&self, server: &str) {
        *self.target.lock().unwrap() = address(server);
    }

    /// Holds the next request for a tarball, or activation.
    pub fn trap(&self) -> Caught {
        let (came, has_come) = oneshot::channel();
        let (go, may_go) = oneshot::channel();
        *self.trap.lock().unwrap() = Some(Trap { came, go: may_go });
        Caught { came: has_come, go }
    }

    /// Has answers say that it is this time.
    pub fn tell_time(&self, time: Timestamp) {
        let date = rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time);
        *self.date.lock().unwrap() = Some(date.unwrap());
    }

    /// Writes the time into the head of an answer.
    fn date(&self, bytes: &mut [u8]) {
        const NAME: &[u8] = b"\r\ndate: ";
        let Some(date) = &*self.date.lock().unwrap() else {
            return;
        };
        let found = bytes.windows(NAME.len()).position(|name| name == NAME);
        if let Some(at) = found {
            let from = at + NAME.len();
            bytes[from..from + date.len()].copy_from_slice(date.as_bytes());
        }
    }

    async fn pass(self, client: TcpStream, server: TcpStream) {
        let (mut requests, mut answers_out) = client.into_split();
        let (mut answers, mut requests_out) = server.into_split();
        let shared = self.clone();
        let back = tokio::spawn(async move {
            let mut bytes = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = answers.read(&mut bytes).await {
                let some = &mut bytes[..count];
                shared.date(some);
                if answers_out.write_all(some).await.is_err() {
                    break;
                }
            }
            let _ = answers_out.shutdown().await;
        });
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = requests.read(&mut bytes).await {
            let some = &bytes[..count];
            let path = some.split(|b| *b == b' ').nth(1).unwrap_or_default();
            if path.ends_with(b".tgz") || path.ends_with(b"/activate") {
                let trap = self.trap.lock().unwrap().take();
                if let Some(trap) = trap {
                    let _ = trap.came.send(());
                    let _ = trap.go.await;
                }
            }
            if requests_out.write_all(some).await.is_err() {
                break;
            }
        }
        let _ = requests_out.shutdown().await;
        let _ = back.await;
    }
}

impl Caught {
    /// Over when a request waits.
    pub async fn came(&mut self) {
        (&mut self.came).await.expect("a request");
    }

    /// Lets it go on.
    pub fn go(self) {
        let _ = self.go.send(());
    }
}
