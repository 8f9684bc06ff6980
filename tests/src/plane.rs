//! The control plane inside the test: its real router and a real database, with a clock that the
//! test moves.

use std::path::PathBuf;
use std::sync::Arc;

use activation_token::clock::{Clock, SettableClock};
use activation_token::credential::{CredentialKind, HashKey};
use activation_token::snapshot::Revocations;
use activation_token::{Claims, SigningKey, Verifier};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use control_plane::api::{self, client_address::Networks};
use control_plane::data_dir::DataDir;
use control_plane::domain::{KeyPolicy, Requester, Role};
use control_plane::entropy::OsEntropy;
use control_plane::keyring::Keyring;
use control_plane::operations::{Denials, LastUsed, NewCredential, Operations, Policy};
use control_plane::signing;
use control_plane::store::{self, Store, StoreError};
use entitlements::Catalog;
use entitlements::flags::Flags;
use entitlements::meter::Metrics;
use http_body_util::BodyExt;
use jiff::SignedDuration;
use registry_gate::reach::Reach;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

use crate::process::{Database, new_postgres_database};
use crate::reader::Reader;
use crate::sql::Sql;

/// A control plane on one of the databases.
pub struct Plane {
    /// Its verbs.
    pub operations: Arc<Operations>,
    /// Its time, which stands still until it is moved.
    pub clock: Arc<SettableClock>,
    /// An administrator's token.
    pub admin: String,
    router: Router,
    place: Place,
}

/// A new database, empty still.
pub struct Place {
    reader: Reader,
    dir: TempDir,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub text: String,
    /// The body, `null` when it is no JSON.
    pub body: Value,
}

impl Plane {
    /// The same control plane on each database.
    pub async fn on_each(manifest: &str) -> Vec<Self> {
        let sqlite = Self::new(Database::Sqlite, manifest).await;
        vec![sqlite, Self::new(Database::Postgres, manifest).await]
    }

    async fn new(database: Database, manifest: &str) -> Self {
        Self::at(Place::new(database).await, manifest).await
    }

    /// A control plane over a database that may have something in it.
    pub async fn at(place: Place, manifest: &str) -> Self {
        let opened = place.open().await;
        let clock = Arc::new(SettableClock::at("2026-11-21T12:00:00Z".parse().unwrap()));
        let hash_key = HashKey::from_bytes([2; 32]);
        let store = Store::new(opened.expect("a new database"), &hash_key).await;
        let store = store.expect("a store");
        let data = DataDir::open(&place.dir.path().join("data")).unwrap();
        let day = SignedDuration::from_hours(24);
        let policy = KeyPolicy::new(SignedDuration::from_secs(900), day);
        let keys = data.signing_keys().unwrap();
        let keyring = Keyring::open(keys, policy, Vec::new(), clock.now()).await;
        let tiers = crate::tiers(manifest);
        let stripe = crate::stripe::set_up(&tiers);
        let operations = Arc::new(Operations {
            denials: Denials::new(store.clone(), clock.clone()),
            last_used: LastUsed::default(),
            store,
            catalog: Catalog::from_manifest(&tiers).expect("a catalog"),
            metrics: Metrics::from_manifest(&tiers),
            flags: Flags::from_manifest(&tiers),
            tiers,
            clock: clock.clone(),
            entropy: Arc::new(OsEntropy),
            keyring: Arc::new(keyring.unwrap()),
            hash_key,
            root_key: SigningKey::from_seed(&[3; 32]).unwrap(),
            policy: Policy {
                issuer: "tollgate".into(),
                audience: "tollgate-gate".into(),
                key_rotation: Some(day * 90),
                token_life: SignedDuration::from_hours(1),
                max_stale_seconds: 900,
                license_key_prefix: "tgl_live".into(),
                url: "http://control.example".parse().unwrap(),
                registry_url: "http://gate.example".parse().unwrap(),
                // Receivers in tests are on this machine.
                webhook_reach: Reach::Internal,
                stripe: Some(stripe),
            },
        });
        let router = api::router(Arc::clone(&operations), Networks::default());
        let key = SigningKey::from_seed(&[1; 32]).unwrap();
        begin_to_sign(&operations, key).await;
        let admin = make_operator(&operations, Role::Admin).await;
        Self {
            operations,
            clock,
            admin,
            router,
            place,
        }
    }

    /// The verbs of another process over the same database, with the same clock.
    pub async fn replica(&self) -> Arc<Operations> {
        Arc::new(self.replica_with(self.operations.policy.clone()).await)
    }

    /// The same, with other choices of the vendor.
    pub async fn replica_with(&self, policy: Policy) -> Operations {
        let same = &self.operations;
        let store = self.another_store().await;
        Operations {
            denials: Denials::new(store.clone(), self.clock.clone()),
            last_used: LastUsed::default(),
            store,
            tiers: same.tiers.clone(),
            catalog: same.catalog.clone(),
            metrics: same.metrics.clone(),
            flags: same.flags.clone(),
            clock: self.clock.clone(),
            entropy: Arc::clone(&same.entropy),
            keyring: Arc::clone(&same.keyring),
            hash_key: same.hash_key.clone(),
            root_key: SigningKey::from_seed(&[3; 32]).unwrap(),
            policy,
        }
    }

    /// Where its signing keys lie.
    pub fn key_files(&self) -> PathBuf {
        self.place.dir.path().join("data/signing-keys")
    }

    /// The token of a new operator with this role.
    pub async fn operator(&self, role: Role) -> String {
        make_operator(&self.operations, role).await
    }

    /// A connection of the test's own to its database.
    pub async fn connection(&self) -> Sql {
        self.place.connection().await
    }

    /// What the database's own program prints for a query: a row a line, columns between bars.
    pub fn sql(&self, query: &str) -> Vec<String> {
        self.place.reader.lines(query)
    }

    /// Its database as its own program shows it.
    pub fn reader(&self) -> &Reader {
        &self.place.reader
    }

    /// Its database opened once more, as by another process.
    pub async fn another_store(&self) -> Store {
        let hash_key = HashKey::from_bytes([2; 32]);
        let opened = self.place.open().await.expect("the same database");
        Store::new(opened, &hash_key).await.expect("a store")
    }

    /// Asks as the administrator.
    pub async fn ask(&self, method: Method, path: &str, body: &Value) -> Answer {
        let mut request = json_request(method, path, Some(&self.admin), body.to_string());
        if body.is_null() {
            request.headers_mut().remove(header::CONTENT_TYPE);
            *request.body_mut() = Body::empty();
        }
        self.send(request).await
    }

    /// What the administrator reads.
    pub async fn read(&self, path: &str) -> Value {
        let answer = self.get(path, Some(&self.admin)).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        answer.body
    }

    /// A new license, with its key.
    pub async fn issue(&self, body: Value) -> Value {
        self.admin_posts("/v1/licenses", &body).await
    }

    /// Changes a license; it must go well.
    pub async fn change(&self, license: &Value, body: Value) -> Value {
        let answer = self.ask(Method::PATCH, &path_of(license), &body).await;
        assert_eq!(answer.status, 200, "{body}: {}", answer.text);
        answer.body
    }

    /// Suspends, reinstates or revokes a license.
    pub async fn decide(&self, license: &Value, verb: &str) -> Answer {
        let path = format!("{}/{verb}", path_of(license));
        self.ask(Method::POST, &path, &json!({ "reason": "a test" }))
            .await
    }

    /// Activates as a box does.
    pub async fn activate(&self, key: &Value, fingerprint: &str) -> Answer {
        let body = json!({ "key": key, "box": { "fingerprint": fingerprint } });
        self.post("/v1/activate", None, &body).await
    }

    /// A new credential, with its secret.
    pub async fn credential(&self, kind: &str) -> Value {
        let body = json!({ "kind": kind, "name": kind });
        self.admin_posts("/v1/credentials", &body).await
    }

    /// The claims of an activation token that a gate would look at further.
    pub fn claims(&self, token: &Value) -> Option<Claims> {
        let verifier = Verifier::new("tollgate", "tollgate-gate", 60);
        let (keys, now) = (self.operations.key_set(), self.clock.now());
        let token = verifier.verify(token.as_str().expect("a token"), &keys, now);
        token.ok().map(|token| token.claims().clone())
    }

    /// Whether a gate that has the newest snapshot lets a token pass.
    pub async fn passes(&self, token: &Value) -> bool {
        let snapshot = self.operations.snapshot().await.expect("a snapshot");
        self.passes_by(&snapshot.revocations, token)
    }

    /// Whether a gate lets a token pass that knows of these revocations.
    pub fn passes_by(&self, revocations: &Revocations, token: &Value) -> bool {
        let Some(claims) = self.claims(token) else {
            return false;
        };
        let mut licenses = revocations.licenses.iter();
        let of_license = licenses
            .any(|entry| entry.id == claims.license_id && claims.issued_at <= entry.issued_until);
        let mut boxes = revocations.boxes.iter();
        let of_box = boxes.any(|entry| {
            Some(&entry.id) == claims.box_id.as_ref() && claims.issued_at <= entry.issued_until
        });
        !of_license && !of_box
    }

    /// Changes something as the administrator and returns what was answered.
    pub async fn admin_posts(&self, path: &str, body: &Value) -> Value {
        let answer = self.post(path, Some(&self.admin), body).await;
        assert!(answer.status.is_success(), "{path}: {}", answer.text);
        answer.body
    }

    /// How many audit rows there are.
    pub fn audit_rows(&self) -> String {
        self.sql("SELECT COUNT(*) FROM audit").concat()
    }

    /// Its HTTP interface.
    pub fn router(&self) -> Router {
        self.router.clone()
    }

    /// Has its operations behind another interface.
    pub fn set_router(&mut self, router: Router) {
        self.router = router;
    }

    /// Sends a request as it stands.
    pub async fn send(&self, request: Request<Body>) -> Answer {
        let response = self.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Answer {
            status: parts.status,
            headers: parts.headers,
            text,
            body,
        }
    }

    /// Sends JSON, with a token where there is one.
    pub async fn post(&self, path: &str, token: Option<&str>, body: &Value) -> Answer {
        self.send(json_request(Method::POST, path, token, body.to_string()))
            .await
    }

    /// Reads, with a token where there is one.
    pub async fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.send(json_request(Method::GET, path, token, String::new()))
            .await
    }
}

/// The status and code of a refusal.
pub fn refused(answer: &Answer) -> (u16, &str) {
    let code = answer.body["code"].as_str();
    (answer.status.as_u16(), code.unwrap_or_default())
}

impl Place {
    /// A database of its own on each engine.
    pub async fn on_each() -> Vec<Self> {
        let sqlite = Self::new(Database::Sqlite).await;
        vec![sqlite, Self::new(Database::Postgres).await]
    }

    async fn new(database: Database) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let reader = match database {
            Database::Sqlite => Reader::sqlite(&dir.path().join("tollgate.db")),
            Database::Postgres => Reader::postgres(&new_postgres_database().await),
        };
        Self { reader, dir }
    }

    /// Opens it as a control plane does, which brings its schema up to date.
    pub async fn open(&self) -> Result<store::Database, StoreError> {
        let name = self.reader.database();
        if self.reader.is_postgres() {
            store::Database::open_postgres(name).await
        } else {
            store::Database::open_sqlite(name.as_ref()).await
        }
    }

    /// A connection of the test's own.
    pub async fn connection(&self) -> Sql {
        let name = self.reader.database();
        if self.reader.is_postgres() {
            Sql::postgres(name).await
        } else {
            Sql::sqlite(name.as_ref()).await
        }
    }
}

/// Where a license is.
pub fn path_of(license: &Value) -> String {
    format!("/v1/licenses/{}", license["id"].as_str().expect("an id"))
}

/// A request with a JSON body.
pub fn json_request(
    method: Method,
    path: &str,
    token: Option<&str>,
    body: String,
) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header(header::CONTENT_TYPE, "application/json");
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(Body::from(body)).unwrap()
}

async fn begin_to_sign(operations: &Operations, key: SigningKey) {
    let mut change = signing::first(operations, Some(key)).await.unwrap();
    let mut tx = operations.store.begin().await.unwrap();
    let system = Requester::system();
    let added = operations.rotate_signing_key(&mut tx, &system, &mut change, None);
    let added = added.await.unwrap_or_else(|error| panic!("{error:?}"));
    tx.commit(added).await.unwrap();
    change.keep(operations.clock.now()).await;
}

async fn make_operator(operations: &Operations, role: Role) -> String {
    let new = NewCredential {
        kind: CredentialKind::Operator,
        name: "a test".into(),
        role: Some(role),
        expires_at: None,
    };
    let mut tx = operations.store.begin().await.unwrap();
    let system = Requester::system();
    let created = operations.create_credential(&mut tx, &system, new).await;
    let created = created.unwrap_or_else(|error| panic!("{error:?}"));
    let (_, secret) = tx.commit(created).await.unwrap();
    secret.expose_secret().to_owned()
}
