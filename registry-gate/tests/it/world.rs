//! A gate with everything around it: a clock that stands still, keys, tokens, packages.

use std::io::Write;
use std::sync::Arc;

use activation_token::clock::{Clock, SettableClock};
use activation_token::credential::{HashKey, new_secret};
use activation_token::snapshot::{Publisher, Publishers, Revocations, Snapshot, SnapshotTier};
use activation_token::{Claims, KeySet, Packages, SigningKey};
use axum::body::Body;
use axum::response::Response;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt;
use jiff::{SignedDuration, Timestamp};
use manifest::{PackageName, PackageSet};
use registry_gate::{Gate, GateConfig, SnapshotSender};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha512};
use tempfile::TempDir;
use tower::ServiceExt;

pub(crate) const ISSUER: &str = "https://control.example";
pub(crate) const AUDIENCE: &str = "https://gate.example";
pub(crate) const GATE_URL: &str = "https://npm.example/r";
pub(crate) const NPM_ACCEPT: &str =
    "application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8, */*";

/// What each tier has. `orphan` is in no tier, `nope` is nowhere.
const BASIC: [&str; 3] = ["@acme/box-core", "@acme/order", "@acme/product"];
const GROWTH: [&str; 4] = [
    "@acme/box-core",
    "@acme/loyalty",
    "@acme/order",
    "@acme/product",
];

pub(crate) struct World {
    pub(crate) clock: Arc<SettableClock>,
    pub(crate) key: SigningKey,
    pub(crate) gate: Gate,
    pub(crate) sender: SnapshotSender,
    pub(crate) dir: TempDir,
    sequence: u64,
}

impl World {
    /// A gate with a snapshot and nothing published.
    pub(crate) fn new() -> Self {
        Self::with(|_| {})
    }

    /// The same with other settings.
    pub(crate) fn with(configure: impl FnOnce(&mut GateConfig)) -> Self {
        let world = Self::without_snapshot(configure);
        world.sender.publish(world.snapshot()).unwrap();
        world
    }

    pub(crate) fn without_snapshot(configure: impl FnOnce(&mut GateConfig)) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(SettableClock::at("2026-11-21T12:00:00Z".parse().unwrap()));
        let mut config = GateConfig::new(GATE_URL.parse().unwrap(), dir.path());
        configure(&mut config);
        let (gate, sender) = Gate::new(config, clock.clone()).unwrap();
        Self {
            clock,
            key: SigningKey::from_seed(&[1; 32]).unwrap(),
            gate,
            sender,
            dir,
            sequence: 7,
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What a sound control plane says now.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let (basic, growth) = (set(&BASIC), set(&GROWTH));
        Snapshot {
            sequence: self.sequence,
            issued_at: self.now(),
            max_stale_seconds: 900,
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            scope: "@acme".to_owned(),
            keys: KeySet::new(vec![self.key.public().clone()]).to_jwks(),
            tiers: vec![tier("basic", &basic), tier("growth", &growth)],
            sets: [&basic, &growth]
                .map(|set| set.iter().cloned().collect())
                .into(),
            revocations: Revocations::default(),
            publishers: Publishers {
                hash_key: BASE64URL_NOPAD.encode(&[3; 32]),
                credentials: vec![
                    publisher("ci", 1, None),
                    publisher("old", 2, Some(self.now())),
                ],
            },
            expiring: Vec::new(),
        }
    }

    /// The claims of a basic box's token.
    pub(crate) fn claims(&self) -> Claims {
        Claims {
            issuer: ISSUER.to_owned(),
            audience: AUDIENCE.to_owned(),
            customer_id: "cus_1".to_owned(),
            token_id: "tok_1".to_owned(),
            issued_at: self.now(),
            not_before: self.now(),
            expires_at: self.now() + SignedDuration::from_hours(1),
            tier: "basic".parse().unwrap(),
            license_id: "lic_1".to_owned(),
            box_id: None,
            packages: Packages::Listed(set(&BASIC)),
        }
    }

    pub(crate) fn token(&self, change: impl FnOnce(&mut Claims)) -> String {
        let mut claims = self.claims();
        change(&mut claims);
        self.key.sign(&claims).unwrap()
    }

    pub(crate) fn basic(&self) -> String {
        self.token(|_| {})
    }

    pub(crate) fn growth(&self) -> String {
        self.token(|claims| {
            claims.tier = "growth".parse().unwrap();
            claims.packages = Packages::Listed(set(&GROWTH));
        })
    }

    pub(crate) async fn call(&self, request: Request<Body>) -> Answer {
        let response = self.gate.router().oneshot(request).await.unwrap();
        Answer::read(response).await
    }

    pub(crate) async fn get(&self, path: &str, token: &str) -> Answer {
        self.call(get(path, token)).await
    }

    pub(crate) async fn publish(&self, name: &str, version: &str) -> Answer {
        self.put(name, &document(name, version)).await
    }

    pub(crate) async fn put(&self, name: &str, document: &Value) -> Answer {
        self.call(put(name, &publisher_token(), document)).await
    }
}

/// A response, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) reason: Option<String>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) async fn read(response: Response) -> Self {
        let (head, body) = response.into_parts();
        let reason = head.extensions.get::<hyper::ext::ReasonPhrase>();
        Self {
            status: head.status,
            reason: reason.map(|reason| String::from_utf8(reason.as_bytes().to_vec()).unwrap()),
            body: body.collect().await.unwrap().to_bytes().to_vec(),
            headers: head.headers,
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap().to_owned()
    }

    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap().to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn is(&self, status: u16, code: &str) -> bool {
        self.status == status && self.code() == code
    }
}

pub(crate) fn request(method: Method, path: &str, token: &str) -> http::request::Builder {
    let builder = Request::builder().method(method).uri(path);
    match token {
        "" => builder,
        token => builder.header("authorization", format!("Bearer {token}")),
    }
}

pub(crate) fn get(path: &str, token: &str) -> Request<Body> {
    request(Method::GET, path, token)
        .body(Body::empty())
        .unwrap()
}

pub(crate) fn put(name: &str, token: &str, document: &Value) -> Request<Body> {
    request(
        Method::PUT,
        &format!("/{}", name.replace('/', "%2f")),
        token,
    )
    .header("content-type", "application/json")
    .body(Body::from(document.to_string()))
    .unwrap()
}

pub(crate) fn set(names: &[&str]) -> PackageSet {
    let names = names.iter().map(|name| PackageName::parse(name).unwrap());
    names.collect()
}

fn tier(name: &str, set: &PackageSet) -> SnapshotTier {
    SnapshotTier {
        name: name.parse().unwrap(),
        set: set.digest(),
    }
}

fn publisher(id: &str, seed: u8, expires_at: Option<Timestamp>) -> Publisher {
    Publisher {
        id: id.to_owned(),
        digest: HashKey::from_bytes([3; 32]).digest(&new_secret("tgp", &[seed; 20])),
        expires_at,
    }
}

pub(crate) fn publisher_token() -> String {
    new_secret("tgp", &[1; 20]).expose_secret().to_owned()
}

pub(crate) fn expired_publisher_token() -> String {
    new_secret("tgp", &[2; 20]).expose_secret().to_owned()
}

/// A `.tgz` with these files.
pub(crate) fn tarball(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // Straight into the field: the builder would refuse hostile paths.
        header.as_ustar_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_cksum();
        builder.append(&header, *bytes).unwrap();
    }
    gzip(&builder.into_inner().unwrap())
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn package_json(name: &str, version: &str) -> Value {
    json!({
        "name": name,
        "version": version,
        "description": "sample",
        "bin": "cli.js",
        "scripts": { "postinstall": "node setup.js" },
        "dependencies": { "@acme/box-core": "^1.0.0" },
        "_secret": "of the publisher's machine",
    })
}

/// The tarball of a sample package.
pub(crate) fn sample(name: &str, version: &str) -> Vec<u8> {
    let json = package_json(name, version).to_string();
    tarball(&[
        ("package/package.json", json.as_bytes()),
        ("package/index.js", b"module.exports = 1;\n"),
    ])
}

/// The document npm sends for a tarball.
pub(crate) fn document_of(name: &str, version: &str, tarball: &[u8]) -> Value {
    let file = format!("{name}-{version}.tgz");
    json!({
        "_id": name,
        "name": name,
        "description": "sample",
        "dist-tags": { "latest": version },
        "versions": { version: {
            "name": name,
            "version": version,
            "_id": format!("{name}@{version}"),
            "dist": {
                "integrity": format!("sha512-{}", BASE64.encode(&Sha512::digest(tarball))),
                "shasum": data_encoding::HEXLOWER.encode(&Sha1::digest(tarball)),
                "tarball": format!("http://elsewhere.example/{file}"),
            },
        } },
        "access": null,
        "_attachments": { file: {
            "content_type": "application/octet-stream",
            "data": BASE64.encode(tarball),
            "length": tarball.len(),
        } },
    })
}

pub(crate) fn document(name: &str, version: &str) -> Value {
    document_of(name, version, &sample(name, version))
}
