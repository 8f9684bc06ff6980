//! What only real sockets show: reason phrases, lengths, raw paths, HTTP/2.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use crate::world::{World, document_of, publisher_token, sample};

struct Running {
    address: SocketAddr,
    stop: Arc<Notify>,
    server: JoinHandle<std::io::Result<()>>,
}

fn run(world: &World) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let stop = Arc::new(Notify::new());
    let stopped = Arc::clone(&stop);
    let shutdown = async move { stopped.notified().await };
    let server = tokio::spawn(registry_gate::server::serve(
        listener,
        world.gate.router(),
        shutdown,
    ));
    Running {
        address,
        stop,
        server,
    }
}

impl Running {
    /// Sends bytes as they are and reads to the end.
    async fn raw(&self, request: &[u8]) -> String {
        // A small buffer, so that sending fails when nobody reads.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(16 * 1024).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn request(&self, line: &str, token: &str) -> String {
        let request = format!(
            "{line} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\nconnection: close\r\n\r\n"
        );
        self.raw(request.as_bytes()).await
    }
}

#[tokio::test]
async fn npm_5_the_sentence_stands_in_the_status_line() {
    let world = World::new();
    let running = run(&world);
    let answer = running
        .request("GET /@acme%2floyalty", &world.basic())
        .await;
    let sentence =
        "@acme/loyalty is not in your tier basic; it comes with growth; ask your vendor to upgrade";
    assert!(
        answer.starts_with(&format!("HTTP/1.1 403 {sentence}\r\n")),
        "{answer}"
    );
    assert!(
        answer.contains(&format!("\"error\":\"{sentence}\"")),
        "{answer}"
    );
}

#[tokio::test]
async fn head_has_the_length_and_no_bytes() {
    let world = World::new();
    world.publish("@acme/order", "1.0.0").await;
    let running = run(&world);
    for path in [
        "/@acme/order",
        "/@acme/order/-/order-1.0.0.tgz",
        "/@acme/nope",
    ] {
        let length = |answer: &str| {
            let head = answer.split("\r\n\r\n").next().unwrap().to_owned();
            let line = head
                .lines()
                .find(|line| line.starts_with("content-length: "))
                .unwrap();
            line.to_owned()
        };
        let get = running
            .request(&format!("GET {path}"), &world.basic())
            .await;
        let head = running
            .request(&format!("HEAD {path}"), &world.basic())
            .await;
        assert_eq!(length(&get), length(&head), "{path}");
        assert!(head.ends_with("\r\n\r\n"), "{head}");
    }
}

#[tokio::test]
async fn a_hostile_path_is_refused_as_it_came() {
    let world = World::new();
    world.publish("@acme/order", "1.0.0").await;
    let running = run(&world);
    let token = world.growth();
    for path in [
        "/@acme%2f..%2f..%2fother",
        "/@acme/order/-/..%2f..%2forder-1.0.0.tgz",
        "/-/%2fadmin%2fx",
        "/@acme/loyalty/../order",
        "//@acme/order",
        "/@acme/order/",
        "/@acme/order%00",
        "/%40acme/order",
        "/@acme/order%0d%0ax:y",
        "http://x/@acme/../order",
    ] {
        let answer = running.request(&format!("GET {path}"), &token).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
    }
    for path in [
        "/@acme/order?write=true",
        "/@acme/order?x=/../y",
        "http://evil/@acme%2forder",
    ] {
        let answer = running.request(&format!("GET {path}"), &token).await;
        assert!(answer.starts_with("HTTP/1.1 200 "), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_large_tarball_is_streamed_whole() {
    let world = World::new();
    let mut noise = vec![0_u8; 900_000];
    let mut state = 1_u32;
    for byte in &mut noise {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        *byte = (state >> 24) as u8;
    }
    let json = crate::world::package_json("@acme/order", "1.0.0").to_string();
    let files: [(&str, &[u8]); 2] = [
        ("package/package.json", json.as_bytes()),
        ("package/noise", &noise),
    ];
    let tarball = crate::world::tarball(&files);
    let document = document_of("@acme/order", "1.0.0", &tarball);
    assert_eq!(world.put("@acme/order", &document).await.status, 201);
    let answer = world
        .get("/@acme/order/-/order-1.0.0.tgz", &world.basic())
        .await;
    assert!(
        answer.body == tarball,
        "{} of {} bytes",
        answer.body.len(),
        tarball.len()
    );
}

#[tokio::test]
async fn a_refused_publish_is_read_so_that_the_client_learns_why() {
    let world = World::with(|config| config.publish_bytes_max = 200_000);
    let running = run(&world);
    let body = "x".repeat(1_000_000);
    for (token, kind, status) in [
        (String::new(), "application/json", "401"),
        (world.basic(), "application/json", "403"),
        (publisher_token(), "text/plain", "415"),
        (publisher_token(), "application/json", "413"),
    ] {
        let request = format!(
            "PUT /@acme%2forder HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\n\
             content-type: {kind}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        let answer = running.raw(request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    // Without a length, the limit is met on the way.
    let chunks = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let request = format!(
        "PUT /@acme%2forder HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n{chunks}",
        publisher_token(),
    );
    let answer = running.raw(request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
}

#[tokio::test]
async fn http_2_gives_the_same_answers() {
    let world = World::new();
    world.publish("@acme/order", "1.0.0").await;
    let running = run(&world);
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let get = async |path: &str, token: &str| {
        let url = format!("http://{}{path}", running.address);
        let answer = client.get(url).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.version(), http::Version::HTTP_2);
        (
            answer.status().as_u16(),
            answer.bytes().await.unwrap().to_vec(),
        )
    };
    let basic = world.basic();
    let tarball = get("/@acme/order/-/order-1.0.0.tgz", &basic).await;
    assert_eq!(tarball, (200, sample("@acme/order", "1.0.0")));
    for path in ["/@acme%2floyalty", "/@acme/order/", "/-/ping"] {
        // The longest token that is read, and one that is longer.
        for token in [&basic, &"x".repeat(16 * 1024), &"x".repeat(20 * 1024)] {
            let plain = world.get(path, token).await;
            let expected = (plain.status.as_u16(), plain.body);
            assert_eq!(get(path, token).await, expected);
        }
    }
}

#[tokio::test]
async fn the_server_ends_when_it_is_told_to() {
    let world = World::new();
    let running = run(&world);
    let answer = running.request("GET /-/ping", "").await;
    assert!(answer.ends_with("{}"), "{answer}");
    running.stop.notify_one();
    running.server.await.unwrap().unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}
