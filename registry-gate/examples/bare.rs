//! The least a server can do, to measure the gate against: one route that sends the bytes of a
//! file from memory, to anybody. `bare ADDRESS FILE CONTENT-TYPE`.

use std::net::TcpListener;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use registry_gate::server;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program that says when it is ready")]
async fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, file, content_type] = arguments.as_slice() else {
        bail!("usage: bare ADDRESS FILE CONTENT-TYPE");
    };
    let bytes = Bytes::from(std::fs::read(file).with_context(|| format!("reading {file}"))?);
    let content_type = HeaderValue::from_str(content_type).context("reading the content type")?;
    let answer = move || {
        let answer = ([(CONTENT_TYPE, content_type.clone())], bytes.clone());
        std::future::ready(answer)
    };
    let listener = TcpListener::bind(address).with_context(|| format!("listening on {address}"))?;
    println!("bare ready: http://{}", listener.local_addr()?);
    let app = Router::new().route("/{*path}", get(answer));
    server::serve(listener, app, std::future::pending()).await?;
    Ok(())
}
