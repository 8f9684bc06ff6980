//! The control plane inside the test: its real router and a real database, with a clock that the
//! test moves.

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
use http_body_util::BodyExt;
use jiff::SignedDuration;
use secrecy::ExposeSecret;
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;

use crate::process::{Database, new_postgres_database};
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
    /// Its database.
    pub sql: Sql,
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
        let sql = match database {
            Database::Sqlite => Sql::sqlite(&dir.path().join("tollgate.db")),
            Database::Postgres => Sql::postgres(&new_postgres_database().await),
        };
        let clock = Arc::new(SettableClock::at("2026-11-21T12:00:00Z".parse().unwrap()));
        let hash_key = HashKey::from_bytes([2; 32]);
        let store = open(&sql).await;
        let operations = Arc::new(Operations {
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
            },
        });
        let router = api::router(Arc::clone(&operations), Networks::default());
        let admin = make_operator(&operations, Role::Admin).await;
        Self {
            operations,
            clock,
            admin,
            router,
            sql,
            _dir: dir,
        }
    }

    /// The token of a new operator with this role.
    pub async fn operator(&self, role: Role) -> String {
        make_operator(&self.operations, role).await
    }

    /// What the database's own program prints for a query: a row a line, columns between bars.
    pub fn sql(&self, query: &str) -> Vec<String> {
        self.sql.lines(query)
    }

    /// Its database opened once more, as by another process.
    pub async fn another_store(&self) -> Store {
        open(&self.sql).await
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

async fn open(sql: &Sql) -> Store {
    let database = if sql.is_postgres() {
        store::Database::open_postgres(sql.database()).await
    } else {
        store::Database::open_sqlite(sql.database().as_ref()).await
    };
    let hash_key = HashKey::from_bytes([2; 32]);
    let store = Store::new(database.expect("a database"), &hash_key).await;
    store.expect("a store")
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
