//! A wire between clients and a gate that a test can hold at the first tarball.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Where to listen, before the gate is there.
pub struct Relay {
    listener: TcpListener,
    /// Its address, as a gate's.
    pub url: String,
}

/// A relay at work.
#[derive(Clone, Default)]
pub struct Relaying(Arc<Mutex<Option<Trap>>>);

/// Set for the first request for a tarball: tells that it came, and waits to let it go.
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

    /// Passes everything on to a gate, byte for byte, until the test ends.
    pub fn to(self, gate: &str) -> Relaying {
        let target = gate.strip_prefix("http://").unwrap().to_owned();
        let relaying = Relaying::default();
        let shared = relaying.clone();
        tokio::spawn(async move {
            loop {
                let (client, _) = self.listener.accept().await.unwrap();
                let gate = TcpStream::connect(&target).await;
                let Ok(gate) = gate else { continue };
                tokio::spawn(shared.clone().pass(client, gate));
            }
        });
        relaying
    }
}

impl Relaying {
    /// Holds the next request for a tarball.
    pub fn trap(&self) -> Caught {
        let (came, has_come) = oneshot::channel();
        let (go, may_go) = oneshot::channel();
        *self.0.lock().unwrap() = Some(Trap { came, go: may_go });
        Caught { came: has_come, go }
    }

    async fn pass(self, client: TcpStream, gate: TcpStream) {
        let (mut requests, mut answers_out) = client.into_split();
        let (mut answers, mut requests_out) = gate.into_split();
        let back = tokio::spawn(async move {
            let _ = tokio::io::copy(&mut answers, &mut answers_out).await;
        });
        let mut bytes = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = requests.read(&mut bytes).await {
            let some = &bytes[..count];
            let path = some.split(|b| *b == b' ').nth(1).unwrap_or_default();
            if path.ends_with(b".tgz") {
                let trap = self.0.lock().unwrap().take();
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
    /// Over when a request for a tarball waits.
    pub async fn came(&mut self) {
        (&mut self.came).await.expect("a request for a tarball");
    }

    /// Lets it go on.
    pub fn go(self) {
        let _ = self.go.send(());
    }
}
