//! Audits: what is asked of the upstream, and that nothing goes wrong for want of an answer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use activation_token::clock::Clock;
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::Method;
use http_body_util::BodyExt;
use jiff::Timestamp;
use registry_gate::{Gate, GateConfig, UpstreamConfig};
use serde_json::{Value, json};

use crate::world::{Answer, GATE_URL, World, gzip, request};

const BULK: &str = "/-/npm/v1/security/advisories/bulk";
const QUICK: &str = "/-/npm/v1/security/audits/quick";
const FULL: &str = "/-/npm/v1/security/audits";

/// What the registry says, and what it was asked.
#[derive(Default)]
struct Registry {
    says: Mutex<(u16, String)>,
    asked: Mutex<Vec<(String, Value)>>,
}

async fn answer(State(registry): State<Arc<Registry>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let asked = (
        head.uri.path().to_owned(),
        serde_json::from_slice(&body).unwrap(),
    );
    registry.asked.lock().unwrap().push(asked);
    let (status, text) = registry.says.lock().unwrap().clone();
    (http::StatusCode::from_u16(status).unwrap(), text).into_response()
}

async fn registry() -> (UpstreamConfig, Arc<Registry>) {
    let registry = Arc::new(Registry::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/npm/", listener.local_addr().unwrap());
    let router = Router::new().fallback(answer).with_state(registry.clone());
    tokio::spawn(async move { axum::serve(listener, router).await });
    (UpstreamConfig::new(url.parse().unwrap()), registry)
}

async fn world() -> (World, Arc<Registry>) {
    let (upstream, registry) = registry().await;
    (
        World::with(|config| config.upstream = Some(upstream)),
        registry,
    )
}

async fn post(world: &World, path: &str, token: &str, encoding: &str, body: Vec<u8>) -> Answer {
    let request = request(Method::POST, path, token)
        .header("content-type", "application/json")
        .header("content-encoding", encoding)
        .body(Body::from(body));
    world.call(request.unwrap()).await
}

#[tokio::test]
async fn the_upstream_is_asked_about_entitled_names_alone() {
    let (world, registry) = world().await;
    let basic = world.basic();
    let advisory = json!([{ "id": 1, "title": "bad", "severity": "high" }]);
    *registry.says.lock().unwrap() = (
        200,
        json!({ "@acme/order": advisory, "@acme/loyalty": advisory }).to_string(),
    );
    let list = json!({
        "@acme/order": ["1.0.0"], "@acme/loyalty": ["1.0.0"], "left-pad": ["1.0.0"],
        "@acme/../x": ["1"], "@acme/product": { "not": "a list" },
    });
    let body = list.to_string().into_bytes();
    for (encoding, body) in [("identity", body.clone()), ("gzip", gzip(&body))] {
        let answer = post(&world, BULK, &basic, encoding, body).await;
        assert_eq!(
            answer.json(),
            json!({ "@acme/order": advisory }),
            "{encoding}"
        );
        let asked = registry.asked.lock().unwrap().pop().unwrap();
        let expected = (format!("/npm{BULK}"), json!({ "@acme/order": ["1.0.0"] }));
        assert_eq!(asked, expected);
    }

    let known = json!({ "actions": [], "advisories": { "1": {} }, "metadata": {} });
    *registry.says.lock().unwrap() = (200, known.to_string());
    let tree = json!({
        "name": "our-secret-shop", "version": "7.0.0",
        "requires": { "@acme/order": "^1.0.0", "left-pad": "1" },
        "dependencies": {
            "@acme/order": {
                "version": "1.0.0",
                "requires": { "@acme/box-core": "1", "@acme/loyalty": "1" },
                "dependencies": {
                    "@acme/loyalty": { "version": "1.0.0" },
                    "@acme/box-core": { "version": "1.0.0" },
                },
            },
            "left-pad": { "version": "1.0.0" },
        },
        "metadata": { "node_version": "v20" },
    });
    for path in [QUICK, FULL] {
        let body = tree.to_string().into_bytes();
        let answer = post(&world, path, &basic, "identity", body).await;
        assert_eq!(answer.json(), known);
        let (asked, list) = registry.asked.lock().unwrap().pop().unwrap();
        assert_eq!(asked, format!("/npm{path}"));
        assert_eq!(list["requires"], json!({ "@acme/order": "^1.0.0" }));
        assert_eq!(
            list["dependencies"],
            json!({ "@acme/order": {
            "version": "1.0.0",
            "requires": { "@acme/box-core": "1" },
            "dependencies": { "@acme/box-core": { "version": "1.0.0" } },
        } })
        );
        let text = list.to_string();
        assert!(!text.contains("shop") && !text.contains("v20"), "{text}");
    }
}

#[tokio::test]
async fn each_registry_hears_of_its_own_names_and_is_believed_about_no_others() {
    let ((upstream, of_vendor), (outside, of_world)) = (registry().await, registry().await);
    let world = World::with(|config| {
        config.upstream = Some(upstream);
        config.pass_through = Some(outside);
    });
    let list =
        json!({ "@acme/order": ["1.0.0"], "@acme/loyalty": ["1.0.0"], "left-pad": ["1.3.0"] });
    for (registry, id) in [(&of_vendor, 1), (&of_world, 2)] {
        let known = json!({ "@acme/order": [{ "id": id }], "left-pad": [{ "id": id }] });
        *registry.says.lock().unwrap() = (200, known.to_string());
    }
    let body = list.to_string().into_bytes();
    let answer = post(&world, BULK, &world.basic(), "identity", body).await;
    assert_eq!(
        answer.json(),
        json!({ "@acme/order": [{ "id": 1 }], "left-pad": [{ "id": 2 }] })
    );
    for (registry, asked) in [
        (&of_vendor, json!({ "@acme/order": ["1.0.0"] })),
        (&of_world, json!({ "left-pad": ["1.3.0"] })),
    ] {
        let heard = std::mem::take(&mut *registry.asked.lock().unwrap());
        assert_eq!(heard, [(format!("/npm{BULK}"), asked)]);
    }
}

#[tokio::test]
async fn an_audit_that_nobody_can_answer_is_answered_empty() {
    let (with_upstream, registry) = world().await;
    let alone = World::new();
    let good = json!({ "@acme/order": ["1.0.0"] }).to_string().into_bytes();
    let bomb = gzip(&vec![b' '; 64 * 1024 * 1024]);
    let large = vec![b' '; 5 * 1024 * 1024];
    let deep = [b"{\"a\":".repeat(100_000), b"1".to_vec()].concat();
    let bodies: [(&str, Vec<u8>); 9] = [
        ("identity", good.clone()),
        ("identity", b"nonsense".to_vec()),
        ("identity", Vec::new()),
        ("identity", b"[]".to_vec()),
        ("identity", large),
        ("identity", deep),
        ("gzip", good.clone()),
        ("gzip", bomb),
        ("br", good),
    ];
    for world in [&with_upstream, &alone] {
        for says in [
            (500, ""),
            (200, "nonsense"),
            (200, "[]"),
            (410, "{}"),
            (302, "{}"),
        ] {
            *registry.says.lock().unwrap() = (says.0, says.1.to_owned());
            for (encoding, body) in bodies.clone() {
                let bulk = post(world, BULK, &world.basic(), encoding, body).await;
                assert_eq!((bulk.status.as_u16(), bulk.json()), (200, json!({})));
            }
        }
        for path in [QUICK, FULL] {
            let empty = post(world, path, &world.basic(), "identity", b"{}".to_vec()).await;
            assert_eq!(empty.status, 200);
            let json = empty.json();
            assert_eq!(json["advisories"], json!({}));
            assert_eq!(json["metadata"]["vulnerabilities"]["critical"], 0);
        }
    }
}

/// A clock that knows how often it was read.
#[derive(Debug)]
struct Watched(Timestamp, AtomicUsize);

impl Clock for Watched {
    fn now(&self) -> Timestamp {
        self.1.fetch_add(1, Ordering::Relaxed);
        self.0
    }
}

#[tokio::test]
async fn who_sent_a_list_is_asked_no_oftener_for_a_long_one() {
    let mut world = World::new();
    let clock = Arc::new(Watched(world.now(), AtomicUsize::new(0)));
    let config = GateConfig::new(GATE_URL.parse().unwrap(), world.dir.path());
    let (gate, sender) = Gate::new(config, clock.clone()).unwrap();
    sender.publish(world.snapshot()).unwrap();
    world.gate = gate;
    let reads = async |names: usize| {
        let list: serde_json::Map<_, _> = (0..names)
            .map(|name| (format!("@acme/{name}"), json!(["1.0.0"])))
            .collect();
        let body = Value::Object(list).to_string().into_bytes();
        let before = clock.1.load(Ordering::Relaxed);
        let answer = post(&world, BULK, &world.basic(), "identity", body).await;
        assert_eq!(answer.status, 200);
        clock.1.load(Ordering::Relaxed) - before
    };
    assert_eq!(reads(1000).await, reads(1).await);
}

#[tokio::test]
async fn an_audit_by_nobody_is_empty_and_says_why_without_reading_its_list() {
    let (world, registry) = world().await;
    let body = json!({ "@acme/order": ["1.0.0"] }).to_string().into_bytes();
    let nobody = post(&world, BULK, "", "identity", body.clone()).await;
    assert_eq!((nobody.status.as_u16(), nobody.json()), (200, json!({})));
    assert!(nobody.header("npm-notice").starts_with("no token was sent"));
    let unknown = post(&world, BULK, "nonsense", "identity", body).await;
    assert_eq!((unknown.status.as_u16(), unknown.json()), (200, json!({})));
    let why = "this token is not valid here";
    assert!(unknown.header("npm-notice").starts_with(why));
    assert!(registry.asked.lock().unwrap().is_empty());
}
