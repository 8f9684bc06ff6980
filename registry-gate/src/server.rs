//! The server loop: HTTP/1.1 and HTTP/2 on one listener, with a limit on how long a client may
//! take to say what it wants, and an end that waits for those being served, but not for ever.

use std::io;
use std::net::TcpListener;
use std::time::Duration;

use axum::Router;
use axum_server::accept::NoDelayAcceptor;
use axum_server::{Handle, from_tcp};
use hyper_util::rt::TokioTimer;

/// How long a client may take to send the head of a request, and how long an idle connection
/// is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests may go on after the shutdown has begun.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests at a time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;

/// Serves `app` until `shutdown` ends, then finishes the requests in hand.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let handle = Handle::new();
    let stopper = handle.clone();
    let stopping = tokio::spawn(async move {
        shutdown.await;
        stopper.graceful_shutdown(Some(SHUTDOWN_TIMEOUT));
    });
    let mut server = from_tcp(listener)?
        .handle(handle)
        .acceptor(NoDelayAcceptor::new());
    server
        .http_builder()
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(HEAD_TIMEOUT);
    let end = server.serve(app.into_make_service()).await;
    stopping.abort();
    end
}
