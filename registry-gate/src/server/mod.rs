//! The server loop: HTTP/1.1 and HTTP/2 on one listener, with TLS or without, a limit on how long
//! a client may take to say what it wants, and an end that waits for those being served, but not
//! for ever.

mod lifecycle;
mod signals;
mod tls;

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use axum::response::Response;
use axum::{Router, ServiceExt};
use axum_server::accept::NoDelayAcceptor;
use axum_server::service::{MakeService, SendService};
use axum_server::tls_rustls::RustlsAcceptor;
use axum_server::{Handle, from_tcp};
use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::TokioTimer;
use tower::Service;

pub use lifecycle::{Lifecycle, Stopper, lifecycle};
pub use signals::stop_signal;
pub use tls::{Tls, TlsError};

/// How long a client may take to send the head of a request, and how long an idle connection
/// is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests may go on after the shutdown has begun.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest head of a request over HTTP/1.1, and how much of an answer waits for a slow client, in bytes.
const BUFFER_BYTES: usize = 128 * 1024;
/// Largest head of a request over HTTP/2, in bytes, of which a token has up to 16 KiB.
const HEAD_BYTES: u32 = 32 * 1024;
/// Requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;

/// A listener and how it speaks.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    tls: Option<Tls>,
}

/// Serves `app` over HTTP until `shutdown` ends, then finishes the requests in hand.
pub async fn serve<S>(
    listener: TcpListener,
    app: S,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()>
where
    S: Service<Request<Incoming>, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    Server::new(listener, None).serve(app, shutdown).await
}

impl Server {
    /// HTTPS where there is a certificate, HTTP where there is none.
    pub fn new(listener: TcpListener, tls: Option<Tls>) -> Self {
        Self { listener, tls }
    }

    /// Serves `app` until `shutdown` ends, then finishes the requests in hand.
    pub async fn serve<S>(
        self,
        app: S,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()>
    where
        S: Service<Request<Incoming>, Response = Response, Error = Infallible>
            + Clone
            + Send
            + 'static,
        S::Future: Send,
    {
        self.run(app.into_make_service(), shutdown).await
    }

    /// The same for an `app` that asks for `ConnectInfo<SocketAddr>`, the peer's address. Telling
    /// it costs every request a little.
    pub async fn serve_with_peers(
        self,
        app: Router,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let app = app.into_make_service_with_connect_info::<SocketAddr>();
        self.run(app, shutdown).await
    }

    async fn run<M>(
        self,
        app: M,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()>
    where
        M: MakeService<SocketAddr, Request<Incoming>>,
        M::Service: SendService<Request<Incoming>> + Send,
    {
        self.listener.set_nonblocking(true)?;
        let handle = Handle::new();
        let stopper = handle.clone();
        let stopping = tokio::spawn(async move {
            shutdown.await;
            stopper.graceful_shutdown(Some(SHUTDOWN_TIMEOUT));
        });
        let mut server = from_tcp(self.listener)?
            .handle(handle)
            .acceptor(NoDelayAcceptor::new());
        server
            .http_builder()
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(BUFFER_BYTES)
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEAD_BYTES)
            .keep_alive_interval(HEAD_TIMEOUT);
        let end = match self.tls {
            None => server.serve(app).await,
            Some(tls) => {
                let tls = RustlsAcceptor::new(tls.config()).handshake_timeout(HANDSHAKE_TIMEOUT);
                server.map(|inner| tls.acceptor(inner)).serve(app).await
            }
        };
        stopping.abort();
        end
    }
}
