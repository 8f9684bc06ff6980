//! Writes as fast as so many clients can, and prints issues and activations a second:
//! `load URL OPERATOR-TOKEN CLIENTS SECONDS`. For `ci/bench-licensing`; plain HTTP/1.1 with
//! keep-alive and a thread a client, so that the load costs little beside what it measures.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

/// No client sends more, however fast it goes.
const REQUESTS_MAX: u32 = 200_000;

#[expect(clippy::print_stdout, reason = "a program whose result is its output")]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, token, clients, seconds] = arguments.as_slice() else {
        bail!("usage: load URL OPERATOR-TOKEN CLIENTS SECONDS");
    };
    let host: Arc<str> = url
        .trim_start_matches("http://")
        .trim_end_matches('/')
        .into();
    let clients: usize = clients.parse()?;
    let time = Duration::from_secs(seconds.parse()?);

    let issue: Arc<str> = r#"{"customerId":"bench","tier":"enterprise"}"#.into();
    let bearer: Arc<str> = format!("authorization: Bearer {token}\r\n").into();
    let (keys, issues) = run(clients, time, |_| {
        let (issue, bearer) = (Arc::clone(&issue), Arc::clone(&bearer));
        let mut client = Client::connect(&host)?;
        Ok(move |_| {
            let answer = client.post("/v1/licenses", &bearer, &issue, 201)?;
            let (_, rest) = answer.split_once(r#""key":""#).context("a license key")?;
            let (key, _) = rest.split_once('"').context("a whole license key")?;
            Ok(key.to_owned())
        })
    })?;
    let keys = Arc::new(keys);
    let (_, activations) = run(clients, time, |nth| {
        let keys = Arc::clone(&keys);
        let mut client = Client::connect(&host)?;
        Ok(move |count: u32| {
            // Each activation takes another seat, and licenses have few boxes.
            let key = keys.get((count as usize * clients + nth) % keys.len());
            let key = key.context("a license")?;
            let body = format!(r#"{{"key":"{key}","box":{{"fingerprint":"{nth}-{count}"}}}}"#);
            client.post("/v1/activate", "", &body, 200).map(drop)
        })
    })?;
    println!("{issues:.0} {activations:.0}");
    Ok(())
}

/// Has each client do its work again and again, and returns what came of it, and how much of it
/// there was a second.
fn run<T, W>(
    clients: usize,
    time: Duration,
    client: impl Fn(usize) -> Result<W>,
) -> Result<(Vec<T>, f64)>
where
    T: Send + 'static,
    W: FnMut(u32) -> Result<T> + Send + 'static,
{
    let begun = Instant::now();
    let mut running = Vec::new();
    for nth in 0..clients {
        let mut work = client(nth)?;
        running.push(thread::spawn(move || {
            let mut done = Vec::new();
            for count in 0..REQUESTS_MAX {
                if begun.elapsed() >= time {
                    break;
                }
                done.push(work(count)?);
            }
            Ok::<_, anyhow::Error>(done)
        }));
    }
    let mut all = Vec::new();
    for client in running {
        let done = client.join().ok().context("a client panicked")?;
        all.append(&mut done?);
    }
    #[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
    let rate = all.len() as f64 / begun.elapsed().as_secs_f64();
    Ok((all, rate))
}

struct Client {
    host: String,
    stream: BufReader<TcpStream>,
}

impl Client {
    fn connect(host: &str) -> Result<Self> {
        let stream = TcpStream::connect(host)?;
        stream.set_nodelay(true)?;
        Ok(Self {
            host: host.to_owned(),
            stream: BufReader::new(stream),
        })
    }

    fn post(&mut self, path: &str, headers: &str, body: &str, expected: u16) -> Result<String> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             {headers}content-length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
        let mut length = 0;
        loop {
            let mut header = String::new();
            ensure!(
                self.stream.read_line(&mut header)? > 0,
                "the server went away"
            );
            let header = header.trim_end().to_ascii_lowercase();
            if header.is_empty() {
                break;
            }
            if let Some(text) = header.strip_prefix("content-length:") {
                length = text.trim().parse()?;
            }
        }
        let mut answer = vec![0; length];
        self.stream.read_exact(&mut answer)?;
        let answer = String::from_utf8(answer)?;
        ensure!(status == Some(expected), "{path}: {line}{answer}");
        Ok(answer)
    }
}
