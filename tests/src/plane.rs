//! The control plane inside the test: its real router and a real database, with a clock that the
//! test moves.

use std::path::Path;
use std::sync::Arc;

use activation_token::SigningKey;
use activation_token::clock::SettableClock;
use activation_token::credential::{CredentialKind, HashKey};
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use control_plane::api::{self, client_address::Networks};
use control_plane::domain::{Requester, Role};
use control_plane::entropy::OsEntropy;
use control_plane::operations::{Denials, LastUsed, NewCredential, Operations, Policy};
use control_plane::store::{self, Store};
use control_plane::webhooks::reach::Reach;
use http_body_util::BodyExt;
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

use crate::process::{Database, new_postgres_database};

/// A control plane on one of the databases.
pub struct Plane {
    /// Its verbs.
    pub operations: Arc<Operations>,
    /// Its time, which stands still until it is moved.
    pub clock: Arc<SettableClock>,
    /// An administrator's token.
    pub admin: String,
    router: Router,
    manifest: String,
    /// The program that reads its database, and the database.
    reader: (&'static str, String),
    _dir: TempDir,
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
        let dir = tempfile::tempdir().unwrap();
        let (opened, reader) = match database {
            Database::Sqlite => {
                let file = dir.path().join("tollgate.db");
                let name = file.to_str().unwrap().to_owned();
                (store::Database::open_sqlite(&file).await, ("sqlite3", name))
            }
            Database::Postgres => {
                let url = new_postgres_database().await;
                (store::Database::open_postgres(&url).await, ("psql", url))
            }
        };
        let clock = Arc::new(SettableClock::at("2026-11-21T12:00:00Z".parse().unwrap()));
        let opened = opened.expect("a new database");
        let operations = operations(opened, &clock, manifest).await;
        let router = api::router(Arc::clone(&operations), Networks::default());
        let admin = make_operator(&operations, Role::Admin).await;
        Self {
            operations,
            clock,
            admin,
            router,
            manifest: manifest.to_owned(),
            reader,
            _dir: dir,
        }
    }

    /// The verbs of another process over the same database, with the same clock.
    pub async fn replica(&self) -> Arc<Operations> {
        let (program, name) = &self.reader;
        let opened = match *program {
            "sqlite3" => store::Database::open_sqlite(Path::new(name)).await,
            _ => store::Database::open_postgres(name).await,
        };
        let opened = opened.expect("the same database");
        operations(opened, &self.clock, &self.manifest).await
    }

    /// The token of a new operator with this role.
    pub async fn operator(&self, role: Role) -> String {
        make_operator(&self.operations, role).await
    }

    /// What the database's own program prints for a query: a row a line, columns between bars.
    pub fn sql(&self, query: &str) -> Vec<String> {
        let (program, database) = &self.reader;
        let flags: &[&str] = if *program == "psql" {
            &["-qAt", "-c"]
        } else {
            &[]
        };
        let output = std::process::Command::new(program)
            .arg(database)
            .args(flags)
            .arg(query)
            .output();
        let output = output.expect("the database's own program runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout)
            .unwrap()
            .lines()
            .map(ToOwned::to_owned)
            .collect()
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

/// What a process of its own would work with.
async fn operations(
    database: store::Database,
    clock: &Arc<SettableClock>,
    manifest: &str,
) -> Arc<Operations> {
    let hash_key = HashKey::from_bytes([2; 32]);
    let store = Store::new(database, &hash_key).await;
    let store = store.expect("a store");
    Arc::new(Operations {
        denials: Denials::new(store.clone(), clock.clone()),
        last_used: LastUsed::default(),
        store,
        tiers: crate::tiers(manifest),
        clock: clock.clone(),
        entropy: Arc::new(OsEntropy),
        signing_key: SigningKey::from_seed(&[1; 32]).unwrap(),
        hash_key,
        root_key: SigningKey::from_seed(&[3; 32]).unwrap(),
        policy: Policy {
            issuer: "tollgate".into(),
            audience: "tollgate-gate".into(),
            token_life: SignedDuration::from_hours(1),
            max_stale_seconds: 900,
            license_key_prefix: "tgl_live".into(),
            registry_url: "http://gate.example".parse().unwrap(),
            // Receivers in tests are on this machine.
            webhook_reach: Reach::Internal,
        },
    })
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
