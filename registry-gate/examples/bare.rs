//! The least a server can do, to measure the gate against: one route that sends the bytes of a
//! file from memory, to anybody, or 304 to whoever tells their `ETag`.
//! `bare ADDRESS FILE 'NAME: VALUE'…`; the headers are sent with the bytes.

use std::net::TcpListener;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::response::IntoResponse;
use axum::routing::get;
use bytes::Bytes;
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use registry_gate::server;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program that says when it is ready")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, file, headers @ ..] = arguments.as_slice() else {
        bail!("usage: bare ADDRESS FILE 'NAME: VALUE'…");
    };
    let bytes = Bytes::from(std::fs::read(file).with_context(|| format!("reading {file}"))?);
    let headers = headers.iter().map(|line| header(line));
    let headers: HeaderMap = headers.collect::<Result<_>>()?;
    let etag = headers.get(ETAG).cloned();
    let answer = move |request: HeaderMap| {
        let known = request
            .get(IF_NONE_MATCH)
            .filter(|told| Some(*told) == etag.as_ref());
        let answer = match known {
            Some(etag) => (StatusCode::NOT_MODIFIED, [(ETAG, etag.clone())]).into_response(),
            None => (headers.clone(), bytes.clone()).into_response(),
        };
        std::future::ready(answer)
    };
    let listener = TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
    println!("bare ready: http://{}", listener.local_addr()?);
    let app = Router::new().route("/{*path}", get(answer));
    server::serve(listener, app, std::future::pending()).await?;
    Ok(())
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(": ").context("a header is `NAME: VALUE`")?;
    Ok((name.parse()?, value.parse()?))
}
