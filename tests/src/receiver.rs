//! Somebody who is told by webhooks: writes down what comes, and answers as the test says.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinHandle;

/// How long a message may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// A message as it came.
#[derive(Debug, Clone)]
pub struct Received {
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body, to the byte.
    pub text: String,
    /// Its body.
    pub body: Value,
}

impl Received {
    /// A header's text.
    pub fn header(&self, name: &str) -> &str {
        self.headers[name].to_str().unwrap()
    }

    /// The event's type.
    pub fn kind(&self) -> &str {
        self.body["type"].as_str().unwrap()
    }
}

/// What is answered to a message, if anything ever is.
pub type Reply = Option<Response>;

type Answering = Arc<dyn Fn(&Received) -> Reply + Send + Sync>;

/// A receiver on a port of its own. Ends with this value.
pub struct Receiver {
    /// Where it listens.
    pub url: String,
    messages: UnboundedReceiver<Received>,
    server: JoinHandle<()>,
}

impl Receiver {
    /// A receiver that takes everything.
    pub async fn taking() -> Self {
        Self::answering(|_| reply(204)).await
    }

    /// A receiver that answers as it is told.
    pub async fn answering(answer: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?token=t-1", listener.local_addr().unwrap());
        let (sender, messages) = unbounded_channel();
        let answer: Answering = Arc::new(answer);
        let router = Router::new().fallback(take).with_state((sender, answer));
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            messages,
            server,
        }
    }

    /// The next message, when it comes.
    pub async fn next(&mut self) -> Received {
        let message = tokio::time::timeout(PATIENCE, self.messages.recv()).await;
        message.expect("a message in time").expect("a receiver")
    }

    /// What has come and was not taken yet.
    pub fn so_far(&mut self) -> Vec<Received> {
        std::iter::from_fn(|| self.messages.try_recv().ok()).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// An answer with nothing in it.
pub fn reply(status: u16) -> Reply {
    Some(StatusCode::from_u16(status).unwrap().into_response())
}

async fn take(
    State((sender, answer)): State<(UnboundedSender<Received>, Answering)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let received = Received {
        body: serde_json::from_str(&text).unwrap_or(Value::Null),
        headers,
        text,
    };
    let reply = answer(&received);
    // A test that has seen enough does not listen any more.
    let _ = sender.send(received);
    match reply {
        Some(reply) => reply,
        None => std::future::pending().await,
    }
}
