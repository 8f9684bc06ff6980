//! Streams of events end with the process. Without this they would hold its end up, since a
//! listener waits for the answers in hand.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::{Extension, Router};
use futures_util::StreamExt;
use registry_gate::server::Lifecycle;

/// A router that knows when its process ends: readiness goes by it, and streams of events end.
pub fn ending_with(router: Router, life: Lifecycle) -> Router {
    router
        .layer(from_fn_with_state(life.clone(), end_streams))
        .layer(Extension(life))
}

async fn end_streams(State(life): State<Lifecycle>, request: Request, next: Next) -> Response {
    let response = next.run(request).await;
    let kind = response.headers().get(CONTENT_TYPE);
    if !kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream")) {
        return response;
    }
    response.map(|body| {
        let ending = Box::pin(life.ending());
        Body::from_stream(body.into_data_stream().take_until(ending))
    })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::net::{SocketAddr, TcpListener};
    use std::time::Duration;

    use axum::extract::ConnectInfo;
    use axum::routing::get;
    use futures_util::stream;
    use registry_gate::server::{Server, lifecycle};

    use super::*;

    /// One event, then nothing for ever.
    async fn events() -> Response {
        let events = stream::iter([Ok::<_, Infallible>("data: 1\n\n")]).chain(stream::pending());
        let mut response = Response::new(Body::from_stream(events));
        let kind = "text/event-stream; charset=utf-8".parse().unwrap();
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }

    #[tokio::test]
    async fn a_stream_of_events_ends_when_the_process_does_and_peers_are_told() {
        let (stopper, life) = lifecycle();
        let router = Router::new().route("/events", get(events)).route(
            "/peer",
            get(async |ConnectInfo(peer): ConnectInfo<SocketAddr>| peer.to_string()),
        );
        let app = ending_with(router, life.clone());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Server::new(listener, None).serve_with_peers(app, life.ending());
        let server = tokio::spawn(server);
        let client = reqwest::Client::builder().no_proxy().build().unwrap();

        let peer = client.get(format!("{url}/peer")).send().await.unwrap();
        assert!(peer.text().await.unwrap().starts_with("127.0.0.1:"));
        let mut events = client.get(format!("{url}/events")).send().await.unwrap();
        assert_eq!(events.chunk().await.unwrap().unwrap(), "data: 1\n\n");
        stopper.stop(Duration::ZERO).await;
        // Ends well, not by a broken connection.
        assert_eq!(events.chunk().await.unwrap(), None);
        server.await.unwrap().unwrap();
    }
}
