//! Every route by everybody: one table of statuses and codes, the same over HTTP/1.1 and HTTP/2.

use std::fmt::Write as _;
use std::net::TcpListener;

use activation_token::snapshot::{LicenseRevocation, RevokedBecause};
use axum::body::Body;
use http::{HeaderMap, Method};
use jiff::SignedDuration;

use crate::world::{World, document, publisher_token, request};

/// Each route, with a body where it takes one.
fn routes() -> Vec<(Method, &'static str, String)> {
    let get = [
        "/livez",
        "/readyz",
        "/metrics",
        "/-/ping",
        "/-/whoami",
        "/@acme%2floyalty",
        "/@acme/loyalty/1.0.0",
        "/@acme/loyalty/latest",
        "/@acme/loyalty/9.9.9",
        "/@acme/loyalty/-/loyalty-1.0.0.tgz",
        "/-/package/@acme%2floyalty/dist-tags",
        "/-/v1/search?text=loyalty",
        "/-/npm/v1/keys",
        "/-/npm/v1/tokens",
        "/-/npm/v1/user",
        "/-/npm/v1/security/audits",
        "/-/gate/authorize/@acme/loyalty",
        "/@other/order",
        "/@acme/order/",
        "/-/nothing",
    ];
    let post = [
        "/-/npm/v1/security/advisories/bulk",
        "/-/npm/v1/security/audits/quick",
        "/-/npm/v1/security/audits",
        "/-/v1/login",
        "/-/ping",
    ];
    let mut routes: Vec<_> = get.map(|path| (Method::GET, path, String::new())).into();
    routes.push((Method::HEAD, "/@acme%2floyalty", String::new()));
    routes.extend(post.map(|path| (Method::POST, path, "{}".to_owned())));
    let user = r#"{"name":"x","password":"y"}"#.to_owned();
    routes.push((Method::PUT, "/-/user/org.couchdb.user:x", user));
    let loyalty = document("@acme/loyalty", "1.0.0").to_string();
    routes.push((Method::PUT, "/@acme%2floyalty", loyalty));
    routes
}

fn callers(world: &World) -> [(&'static str, String); 7] {
    let expired = world.token(|claims| {
        claims.issued_at -= SignedDuration::from_hours(2);
        claims.not_before = claims.issued_at;
        claims.expires_at -= SignedDuration::from_hours(2);
    });
    let suspended = world.token(|claims| "lic_suspended".clone_into(&mut claims.license_id));
    [
        ("nobody", String::new()),
        ("bad token", "nonsense".to_owned()),
        ("expired", expired),
        ("wrong tier", world.basic()),
        ("right tier", world.growth()),
        ("suspended", suspended),
        ("publisher", publisher_token()),
    ]
}

async fn world() -> World {
    let world = World::new();
    assert_eq!(world.publish("@acme/loyalty", "1.0.0").await.status, 201);
    let mut snapshot = world.snapshot();
    snapshot.revocations.licenses = vec![LicenseRevocation {
        id: "lic_suspended".to_owned(),
        issued_until: world.now(),
        why: RevokedBecause::Suspended,
    }];
    world.sender.publish(snapshot).unwrap();
    world
}

#[tokio::test]
async fn every_route_answers_everybody_as_the_table_says() {
    let world = world().await;
    let mut table = String::new();
    for (method, path, body) in routes() {
        writeln!(table, "{method} {path}").unwrap();
        for (who, token) in callers(&world) {
            let request = request(method.clone(), path, &token)
                .header("content-type", "application/json")
                .body(Body::from(body.clone()));
            let answer = world.call(request.unwrap()).await;
            assert!(!answer.headers.contains_key("www-authenticate"));
            let code = match answer.status.as_u16() {
                400.. if method != Method::HEAD => answer.code(),
                _ => String::new(),
            };
            let line = format!("  {who}: {} {code}", answer.status.as_u16());
            writeln!(table, "{}", line.trim_end()).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

#[tokio::test]
async fn every_route_answers_the_same_over_http_1_and_http_2() {
    let world = world().await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let router = world.gate.router();
    let server = registry_gate::server::serve(listener, router, std::future::pending());
    let server = tokio::spawn(server);
    let one = reqwest::Client::builder().http1_only();
    let two = reqwest::Client::builder().http2_prior_knowledge();
    let clients = [one, two].map(|client| client.build().unwrap());
    for (method, path, body) in routes() {
        for (who, token) in callers(&world) {
            let mut answers = Vec::new();
            for (client, version) in clients.iter().zip(["HTTP/1.1", "HTTP/2.0"]) {
                let mut request = client
                    .request(method.clone(), format!("{url}{path}"))
                    .header("content-type", "application/json")
                    .body(body.clone());
                if !token.is_empty() {
                    request = request.bearer_auth(&token);
                }
                let answer = request.send().await.unwrap();
                assert_eq!(format!("{:?}", answer.version()), version);
                let mut headers: HeaderMap = answer.headers().clone();
                headers.remove("date");
                // Of a connection, and not of an answer.
                headers.remove("connection");
                answers.push((answer.status(), headers, answer.bytes().await.unwrap()));
            }
            assert_eq!(answers[0], answers[1], "{method} {path} by {who}");
        }
    }
    server.abort();
}
