//! The control plane inside the test: its real router and a real database, with a clock that the
//! test moves.

use std::sync::Arc;

use activation_token::clock::{Clock, SettableClock};
use activation_token::credential::{CredentialKind, HashKey};
use activation_token::snapshot::Revocations;
use activation_token::{Claims, SigningKey, Verifier};
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
use serde_json::{Value, json};
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
                let mut opened = store::Database::open_postgres(&url).await;
                // A machine that runs many tests at once may be slow to let the first one in.
                for _ in 0..4 {
                    if opened.is_err() {
                        opened = store::Database::open_postgres(&url).await;
                    }
                }
                (opened, ("psql", url))
            }
        };
        let clock = Arc::new(SettableClock::at("2026-11-21T12:00:00Z".parse().unwrap()));
        let hash_key = HashKey::from_bytes([2; 32]);
        let store = Store::new(opened.expect("a new database"), &hash_key).await;
        let store = store.expect("a store");
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
            reader,
            _dir: dir,
        }
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
