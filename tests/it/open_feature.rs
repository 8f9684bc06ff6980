//! Flags, features and limits as applications read them: through `OpenFeature`, with the providers
//! that its people wrote for OFREP.

use std::path::Path;
use std::process::Stdio;

use axum::Json;
use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::routing::get;
use entitlements::flags::{FlagContext, Flags, Overrides};
use entitlements::premium::{
    BoxFuture, Caller, NotPremium, Premium, PremiumGrant, PremiumStatus, ProviderError,
    require_premium,
};
use serde_json::{Value, json};
use tests::client::installed;
use tests::plane::Plane;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::flags::{MANIFEST, set};
use crate::premium::{grant, revoke};

/// A control plane that answers at an address.
struct Served<'p> {
    plane: &'p Plane,
    url: String,
    token: String,
}

impl<'p> Served<'p> {
    async fn new(plane: &'p Plane) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let router = plane.router();
        tokio::spawn(async { axum::serve(listener, router).await });
        let secret = plane.credential("application").await["secret"].clone();
        let token = secret.as_str().unwrap().to_owned();
        Self { plane, url, token }
    }

    fn script(&self, client: &str, given: Value) -> Command {
        let mut given = given;
        given["url"] = json!(self.url);
        if given["headers"].is_null() {
            given["headers"] = json!([["Authorization", format!("Bearer {}", self.token)]]);
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/openfeature.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(installed("")).arg(client);
        command.arg(given.to_string()).kill_on_drop(true);
        command
    }

    /// What the client of a server reads.
    async fn reads(&self, given: Value) -> Value {
        let mut command = self.script("server", given);
        let output = command.stdin(Stdio::null()).output().await.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The client of a web page, which goes on reading.
    fn page(&self, given: Value) -> Page {
        let mut command = self.script("web", given);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let output = child.stdout.take().unwrap();
        Page {
            lines: BufReader::new(output).lines(),
            _child: child,
        }
    }
}

/// A running client of a web page.
struct Page {
    lines: Lines<BufReader<ChildStdout>>,
    _child: Child,
}

impl Page {
    /// What it reads next.
    async fn next(&mut self) -> Value {
        let line = self.lines.next_line().await.unwrap();
        serde_json::from_str(&line.expect("the client goes on")).unwrap()
    }
}

fn every_flag() -> Value {
    json!([
        ["boolean", "new_checkout", false],
        ["boolean", "assistant", false],
        ["string", "theme", "none"],
        ["boolean", "sso", false],
        ["number", "boxes", -1],
        ["number", "seats", -1],
    ])
}

#[tokio::test]
async fn the_client_of_a_server_reads_booleans_texts_and_numbers() {
    for plane in Plane::on_each(MANIFEST).await {
        let served = Served::new(&plane).await;
        let given = || json!({ "context": { "targetingKey": "c-1", "team": "sales" }, "reads": every_flag() });
        let read = served.reads(given()).await;
        let value = |key: &str| read[key]["value"].clone();
        assert_eq!(
            [
                "new_checkout",
                "assistant",
                "theme",
                "sso",
                "boxes",
                "seats"
            ]
            .map(value),
            [
                json!(false),
                json!(false),
                json!("classic"),
                json!(false),
                json!(2),
                json!(5)
            ]
        );
        assert_eq!(read["assistant"]["metadata"]["origin"], "premium");

        set(&plane, "theme", "team:sales", json!("modern")).await;
        grant(&plane, "c-1").await;
        let tier = json!({ "tier": "growth" });
        plane
            .ask(Method::PUT, "/v1/customers/c-1/tier", &tier)
            .await;
        let read = served.reads(given()).await;
        let value = |key: &str| read[key]["value"].clone();
        assert_eq!(
            ["new_checkout", "assistant", "theme", "sso", "seats"].map(value),
            [
                json!(false),
                json!(true),
                json!("modern"),
                json!(true),
                json!(50)
            ]
        );
        let theme = json!({
            "value": "modern", "reason": "TARGETING_MATCH", "variant": "modern",
            "metadata": { "kind": "flag", "origin": "team" },
        });
        assert_eq!(read["theme"], theme);
        assert_eq!(read["boxes"]["variant"], "unlimited");
        assert_eq!(read["boxes"]["metadata"]["unlimited"], true);
        assert!(read["boxes"]["value"].as_u64() > Some(1 << 50));
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_the_codes_default_with_a_reason() {
    for plane in Plane::on_each(MANIFEST).await {
        let served = Served::new(&plane).await;
        let read = served
            .reads(json!({ "reads": [
                ["boolean", "gone", true], ["boolean", "sso", true], ["number", "theme", 7],
            ] }))
            .await;
        let told = |key: &str| (read[key]["value"].clone(), read[key]["errorCode"].clone());
        assert_eq!(told("gone"), (json!(true), json!("FLAG_NOT_FOUND")));
        assert_eq!(told("sso"), (json!(true), json!("TARGETING_KEY_MISSING")));
        assert_eq!(told("theme"), (json!(7), json!("TYPE_MISMATCH")));

        let wrong = json!([["Authorization", "Bearer tga_wrong"]]);
        let reads = json!([["boolean", "new_checkout", true]]);
        let read = served
            .reads(json!({ "headers": wrong, "reads": reads }))
            .await;
        assert_eq!(read["new_checkout"]["value"], true);
        assert_eq!(read["new_checkout"]["reason"], "ERROR");

        let by_key = json!([["X-API-Key", served.token]]);
        let read = served
            .reads(json!({ "headers": by_key, "reads": reads }))
            .await;
        assert_eq!(read["new_checkout"]["value"], false);
    }
}

#[tokio::test]
async fn the_client_of_a_page_reads_all_at_once_and_hears_of_changes() {
    for plane in Plane::on_each(MANIFEST).await {
        let served = Served::new(&plane).await;
        let given = |token: &str| {
            json!({
                "context": { "targetingKey": "c-1" }, "reads": every_flag(), "pollInterval": 20,
                "headers": [["Authorization", format!("Bearer {token}")]],
            })
        };
        let mut page = served.page(given(&served.token));
        let first = page.next().await;
        assert_eq!(first["statuses"], json!([200]));
        let value = |read: &Value, key: &str| read["all"][key]["value"].clone();
        assert_eq!(value(&first, "theme"), "classic");
        assert_eq!(value(&first, "seats"), 5);

        set(&plane, "theme", "user:c-1", json!("modern")).await;
        let second = page.next().await;
        assert_eq!(second["changed"], json!(["theme"]));
        assert_eq!(value(&second, "theme"), "modern");
        let statuses = second["statuses"].as_array().unwrap();
        let (last, before) = statuses.split_last().unwrap();
        assert_eq!(*last, 200);
        assert!(before.iter().all(|status| *status == 304), "{before:?}");

        let refused = served.page(given("tga_wrong")).next().await;
        assert_eq!(refused["statuses"], json!([401]));
        assert_eq!(refused["error"], "PROVIDER_FATAL");
    }
}

/// The claims of an application, which asks the control plane.
#[derive(Clone)]
struct Asking {
    url: String,
    token: String,
}

impl Asking {
    async fn find(&self, user: &str) -> reqwest::Result<Value> {
        let url = format!("{}/v1/users/{user}/premium", self.url);
        let request = reqwest::Client::new().get(url).bearer_auth(&self.token);
        request.send().await?.error_for_status()?.json().await
    }
}

impl PremiumStatus for Asking {
    fn status<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Premium> {
        Box::pin(async move {
            let found = self.find(user).await;
            let grant = found.map(|found| {
                found["premium"]
                    .as_bool()
                    .unwrap_or_default()
                    .then(|| PremiumGrant {
                        granted_at: found["grantedAt"].as_str().unwrap().parse().unwrap(),
                        grantor: found["grantor"].as_str().unwrap().to_owned(),
                        reason: None,
                    })
            });
            Premium::known(grant.map_err(|error| ProviderError(error.to_string())))
        })
    }
}

/// A route for premium users, of an application's server.
async fn assist(State(claims): State<Asking>) -> Result<&'static str, (StatusCode, Json<Value>)> {
    let passed = require_premium(&claims, Caller::User("c-1")).await;
    passed.map(|()| "at your service").map_err(|refused| {
        let status = StatusCode::from_u16(NotPremium::STATUS).unwrap();
        (status, Json(json!({ "error": refused.to_string() })))
    })
}

#[tokio::test]
async fn tool_10_36_route_flag_and_page_say_the_same_of_a_user() {
    for plane in Plane::on_each(MANIFEST).await {
        let served = Served::new(&plane).await;
        let claims = Asking {
            url: served.url.clone(),
            token: served.token.clone(),
        };
        let application = axum::Router::new()
            .route("/assist", get(assist))
            .with_state(claims.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/assist", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, application).await });
        let mut page = served.page(json!({
            "context": { "targetingKey": "c-1" }, "pollInterval": 20,
            "reads": [["boolean", "assistant", false]],
        }));

        for premium in [false, true, false] {
            if premium {
                grant(served.plane, "c-1").await;
            } else {
                revoke(served.plane, "c-1").await;
            }
            let route = reqwest::get(&url).await.unwrap();
            assert_eq!(route.status(), if premium { 200 } else { 402 });
            if !premium {
                let body: Value = route.json().await.unwrap();
                assert!(body["error"].as_str().unwrap().contains("premium users"));
            }
            let context = FlagContext::of_user("c-1");
            let flags = Flags::from_manifest(&plane.operations.tiers);
            let none = Overrides::default();
            let flag = flags.read(&claims, "assistant", &none, &context).await;
            assert_eq!(flag.unwrap().is_on(), premium);
            let seen = page.next().await;
            assert_eq!(seen["all"]["assistant"]["value"], premium);
        }
    }
}
