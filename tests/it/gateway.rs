//! A vendor keeps an existing registry and puts nginx before it, which asks the gate.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use control_plane::demo::samples;
use data_encoding::BASE64;
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::people::client;
use tests::{Npm, SMALL, Tollgate, Vendor, tiers};
use tokio::process::{Child, Command};

/// The example of the documentation.
const EXAMPLE: &str = include_str!("../../deploy/nginx/auth-request.conf");

/// A registry that serves files, takes whatever is published, and asks nobody who he is.
#[derive(Default)]
struct Files {
    files: BTreeMap<String, Vec<u8>>,
    asked: Mutex<Vec<(Method, String, HeaderMap)>>,
}

async fn answer(State(registry): State<Arc<Files>>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let asked = (method.clone(), path.clone(), request.headers().clone());
    registry.asked.lock().unwrap().push(asked);
    if method == Method::PUT {
        return (StatusCode::CREATED, "{}").into_response();
    }
    match registry.files.get(&path.replace("%2f", "/")) {
        Some(bytes) => bytes.clone().into_response(),
        None => (StatusCode::NOT_FOUND, "{}").into_response(),
    }
}

/// Serves every package of a manifest to those who come through `front`, and returns its address.
async fn registry(manifest: &str, front: &str) -> (String, Arc<Files>) {
    let mut files = BTreeMap::new();
    for sample in samples::all(&tiers(manifest)).unwrap() {
        let mut document: Value = sample.publish_document(front);
        let attachments = document["_attachments"].take();
        let (file, attached) = attachments.as_object().unwrap().iter().next().unwrap();
        let file = file.rsplit('/').next().unwrap();
        let tarball = BASE64
            .decode(attached["data"].as_str().unwrap().as_bytes())
            .unwrap();
        let path = format!("/{}/-/{file}", sample.name);
        for release in document["versions"].as_object_mut().unwrap().values_mut() {
            release["dist"]["tarball"] = json!(format!("{front}{path}"));
        }
        files.insert(path, tarball);
        files.insert(format!("/{}", sample.name), document.to_string().into());
    }
    let registry = Arc::new(Files {
        files,
        asked: Mutex::default(),
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = Router::new()
        .fallback(answer)
        .with_state(Arc::clone(&registry));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, registry)
}

/// A running nginx with files of its own. Ends with this value.
struct Nginx {
    _dir: TempDir,
    _child: Child,
}

impl Nginx {
    /// Starts it as the user who runs the test, with this inside its `http` block.
    async fn start(inside: &str, listens: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut temporary = String::new();
        for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
            temporary += &format!("{kind}_temp_path {kind};\n");
        }
        let conf = format!(
            "daemon off;\nmaster_process off;\npid nginx.pid;\nevents {{}}\n\
             http {{\naccess_log off;\n{temporary}{inside}\n}}\n"
        );
        std::fs::write(dir.path().join("nginx.conf"), conf).unwrap();
        let debian = Path::new("/usr/sbin/nginx");
        let program = if debian.exists() {
            debian
        } else {
            Path::new("nginx")
        };
        let errors = dir.path().join("errors");
        let mut child = Command::new(program)
            .arg("-p")
            .arg(dir.path())
            .arg("-c")
            .arg(dir.path().join("nginx.conf"))
            .arg("-e")
            .arg(&errors)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("nginx runs; `ci/setup` installs it");
        while tokio::net::TcpStream::connect(listens).await.is_err() {
            if let Some(end) = child.try_wait().unwrap() {
                let text = std::fs::read_to_string(&errors).unwrap_or_default();
                panic!("nginx ended with {end}: {text}");
            }
            tokio::task::yield_now().await;
        }
        Self {
            _dir: dir,
            _child: child,
        }
    }
}

/// The example, with the addresses of this test.
fn example(addresses: [(&str, &str); 3]) -> String {
    addresses
        .into_iter()
        .fold(EXAMPLE.to_owned(), |text, (there, here)| {
            assert_eq!(text.matches(there).count(), 1, "{there}");
            text.replace(there, here)
        })
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test]
async fn nginx_lets_pass_what_the_gate_allows() {
    let tollgate = Tollgate::start(SMALL).await;
    let vendor = Vendor::of(&tollgate);
    let listens = free_address();
    let front = format!("http://{listens}");
    let (behind, registry) = registry(SMALL, &front).await;
    let gate = tollgate.gate.strip_prefix("http://").unwrap();
    let inside = example([
        ("127.0.0.1:7401", gate),
        ("127.0.0.1:4873", &behind),
        ("127.0.0.1:8080", &listens),
    ]);
    let _nginx = Nginx::start(&inside, &listens).await;

    let basic = vendor.sell("basic").await;
    let mut shop = Npm::project("@acme", &front, Some(&basic.token));
    shop.must(&["install", "@acme/order"]).await;
    assert_eq!(shop.installed("@acme"), ["@acme/order".to_owned()].into());
    shop.clean();
    shop.must(&["ci"]).await;
    assert_eq!(shop.installed("@acme"), ["@acme/order".to_owned()].into());
    // The registry learns whose request it is, and never the token.
    let asked = std::mem::take(&mut *registry.asked.lock().unwrap());
    assert!(asked.len() >= 2);
    for (_, path, headers) in asked {
        assert!(!headers.contains_key("authorization"), "{path}");
        assert_eq!(headers["x-tollgate-customer"], "c-1");
        assert_eq!(
            headers["x-tollgate-license"],
            basic.body["licenseId"].as_str().unwrap()
        );
    }

    let refusal = "@acme/loyalty is not in your tier basic; it comes with growth";
    let output = shop.run(&["install", "@acme/loyalty"]).await;
    assert!(
        !output.success && output.text.contains("E403"),
        "{}",
        output.text
    );
    assert!(output.text.contains(refusal), "{}", output.text);
    let growth = vendor.sell("growth").await;
    let grown = Npm::project("@acme", &front, Some(&growth.token));
    grown.must(&["install", "@acme/loyalty"]).await;

    for (token, code, sentence) in [
        (None, "E401", "box activate"),
        (Some("nonsense"), "E401", "box activate"),
    ] {
        let stranger = Npm::project("@acme", &front, token);
        let output = stranger.run(&["install", "@acme/order"]).await;
        assert!(
            !output.success && output.text.contains(code),
            "{}",
            output.text
        );
        assert!(output.text.contains(sentence), "{}", output.text);
    }

    // Publishing is for publishers.
    registry.asked.lock().unwrap().clear();
    let package = json!({ "name": "@acme/order", "version": "9.0.0" });
    let dir = shop.lay_out_package(&package, &front);
    let output = shop.run_in(&dir, &["publish"]).await;
    assert!(!output.success, "{}", output.text);
    assert!(
        output.text.contains("only a publisher token may publish"),
        "{}",
        output.text
    );
    let writes = |registry: &Files| {
        let asked = registry.asked.lock().unwrap();
        asked
            .iter()
            .filter(|(method, ..)| method == Method::PUT)
            .count()
    };
    assert_eq!(writes(&registry), 0);
    let secret = vendor.credential("publisher").await;
    let author = Npm::project("@acme", &front, Some(&secret));
    let dir = author.lay_out_package(&package, &front);
    let output = author.run_in(&dir, &["publish"]).await;
    assert!(output.success, "{}", output.text);
    assert_eq!(writes(&registry), 1);

    // What the client says of itself counts for nothing, and no spelling slips through.
    registry.asked.lock().unwrap().clear();
    for (path, headers) in [
        (
            "/@acme/loyalty",
            [("x-original-uri", "/-/ping"), ("x-original-method", "GET")],
        ),
        (
            "/@acme/loyalty",
            [
                ("x-forwarded-uri", "/-/ping"),
                ("x-forwarded-method", "GET"),
            ],
        ),
        (
            "/@acme%2floyalty",
            [("x-tollgate-customer", "c-2"), ("x-y", "z")],
        ),
        ("/@acme//loyalty", [("x-x", "y"), ("x-y", "z")]),
        ("/%40acme/loyalty", [("x-x", "y"), ("x-y", "z")]),
        ("/@acme/loyalty/", [("x-x", "y"), ("x-y", "z")]),
        ("/@acme/%6coyalty", [("x-x", "y"), ("x-y", "z")]),
        ("/-/v1/search?text=loyalty", [("x-x", "y"), ("x-y", "z")]),
    ] {
        let request = headers.iter().fold(
            client().get(format!("{front}{path}")),
            |request, (name, value)| request.header(*name, *value),
        );
        let answer = request.bearer_auth(&basic.token).send().await.unwrap();
        assert_eq!(answer.status(), 403, "{path} {headers:?}");
        let body: Value = answer.json().await.unwrap();
        assert!(!body["error"].as_str().unwrap().is_empty(), "{path} {body}");
    }
    let answer = client()
        .get(format!("{front}/.tollgate"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 404);
    assert!(registry.asked.lock().unwrap().is_empty());

    let request = client().get(format!("{front}/@acme%2forder"));
    let forged = ["customer", "license", "box", "tier", "publisher", "package"]
        .into_iter()
        .fold(request, |request, name| {
            request.header(format!("x-tollgate-{name}"), "forged")
        });
    let answer = forged.bearer_auth(&basic.token).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let (.., headers) = registry.asked.lock().unwrap().pop().unwrap();
    assert!(
        headers.values().all(|value| value != "forged"),
        "{headers:?}"
    );
    assert_eq!(headers["x-tollgate-tier"], "basic");
    assert_eq!(headers["x-tollgate-package"], "@acme/order");

    // Without a gate, nothing passes.
    assert!(tollgate.stop().await.success());
    let request = client().get(format!("{front}/@acme%2forder"));
    let answer = request.bearer_auth(&basic.token).send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let body: Value = answer.json().await.unwrap();
    assert!(body["error"].as_str().unwrap().contains("try again later"));
    assert!(registry.asked.lock().unwrap().is_empty());
}
