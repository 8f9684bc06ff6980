//! A small service whose routes are guarded by tier: a feature, a limit and premium.
//!
//! `cargo run -p entitlements --example service`, then the lines of the crate's README. Customers
//! and users are taken from headers here; a real service takes them from whoever is signed in.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use entitlements::driver::Memory;
use entitlements::premium::{MemoryPremium, PremiumClaims, PremiumGrant};
use entitlements::tier::{TierError, TierInfo, TierLayer, TierResolver, require_premium};
use entitlements::{By, Catalog, Clock, Entitlements, Limit, Overrides, TierGrants};
use tokio::net::TcpListener;

#[tokio::main]
#[expect(clippy::print_stdout, reason = "a program that says where it listens")]
async fn main() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:3000").await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, service(Clock::system()).await?).await?;
    Ok(())
}

/// What is sold. It could come from `tiers.toml` as well: `Catalog::from_manifest`.
fn catalog() -> Result<Catalog> {
    let basic = TierGrants::new("basic").limit("projects", Limit::Count(2));
    let growth = TierGrants::new("growth")
        .feature("export_csv")
        .limit("projects", Limit::Unlimited);
    let catalog = Catalog::builder()
        .features(["export_csv"])
        .limits(["projects"])
        .tier(basic)
        .tier(growth)
        .default_tier("basic");
    Ok(catalog.build()?)
}

/// What was sold: `acme` has the higher tier, `corner-shop` one more project than its tier says.
async fn sell(entitlements: &Entitlements) -> Result<()> {
    let friend = By::hand("grace").because("the first customer");
    entitlements.assign("acme", "growth", friend).await?;
    let one_more = Overrides::default().limit("projects", Limit::Count(3));
    entitlements.override_("corner-shop", one_more).await?;
    Ok(())
}

/// How many projects each customer has.
#[derive(Clone, Default)]
struct Projects(Arc<Mutex<HashMap<String, u64>>>);

impl Projects {
    fn count(&self, customer: &str) -> u64 {
        let projects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        projects.get(customer).copied().unwrap_or_default()
    }

    fn add(&self, customer: &str) -> u64 {
        let mut projects = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = projects.entry(customer.to_owned()).or_default();
        *count += 1;
        *count
    }
}

/// All of it. Names that the catalog does not have stop it here.
async fn service(clock: Clock) -> Result<Router> {
    // Kept in memory here; SQLite and PostgreSQL are drivers too.
    let entitlements = Entitlements::builder(Arc::new(Memory::new()), catalog()?)
        .clock(clock.clone())
        .build();
    entitlements.setup().await?;
    sell(&entitlements).await?;

    let catalog = entitlements.catalog();
    let tiers = TierLayer::new(TierResolver::new(entitlements.clone()), customer)
        .with_default(TierInfo::of_default_tier(catalog)?);
    let guards = tiers.guards(catalog)?;

    let premium = Arc::new(MemoryPremium::default());
    let grant = PremiumGrant {
        granted_at: clock.now(),
        grantor: "grace".to_owned(),
        reason: Some("wrote the first users' guide".to_owned()),
    };
    premium.grant("ada", grant).await?;

    let projects = Projects::default();
    let counted = projects.clone();
    let usage = move |parts: &Parts| {
        let count = customer(parts).map(|customer| customer.map(|name| counted.count(&name)));
        async move { Ok(count?.unwrap_or_default()) }
    };

    let export = get(async || "id,name\n1,first\n");
    let insights = get(async || "what only premium users see");
    Ok(Router::new()
        .route("/tier", get(tier))
        .route(
            "/export",
            export.route_layer(guards.require_feature("export_csv")?),
        )
        .route(
            "/projects",
            post(add_project).route_layer(guards.require_limit("projects", usage)?),
        )
        .route(
            "/insights",
            insights.route_layer(require_premium(premium, user)),
        )
        .with_state(projects)
        .layer(tiers))
}

/// The tier, as handlers see it.
async fn tier(tier: TierInfo) -> Json<TierInfo> {
    Json(tier)
}

async fn add_project(
    State(projects): State<Projects>,
    headers: HeaderMap,
) -> Result<(StatusCode, String), TierError> {
    let customer = named(&headers, "x-customer")?.unwrap_or_default();
    let count = projects.add(&customer);
    Ok((StatusCode::CREATED, format!("project {count}\n")))
}

/// Whose tier holds.
fn customer(parts: &Parts) -> Result<Option<String>, TierError> {
    named(&parts.headers, "x-customer")
}

/// Who may be premium.
fn user(parts: &Parts) -> Result<Option<String>, TierError> {
    named(&parts.headers, "x-user")
}

fn named(headers: &HeaderMap, header: &str) -> Result<Option<String>, TierError> {
    let Some(name) = headers.get(header) else {
        return Ok(None);
    };
    match name.to_str() {
        Ok(name) => Ok(Some(name.to_owned())),
        Err(_) => Err(TierError::refused(
            StatusCode::BAD_REQUEST,
            "bad_name",
            format!("`{header}` must be plain text"),
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    /// Starts the service on a free port.
    async fn started() -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = service(Clock::system()).await.unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// Sends a request over a connection of its own, and gives back the status and the body.
    async fn asked(service: SocketAddr, line: &str, headers: &str) -> (u16, String) {
        let mut connection = TcpStream::connect(service).await.unwrap();
        let request = format!("{line} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n{headers}\r\n");
        connection.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    #[tokio::test]
    async fn the_tier_is_told() {
        let service = started().await;
        let (status, body) = asked(service, "GET /tier", "x-customer: acme\r\n").await;
        assert_eq!(status, 200);
        insta::assert_snapshot!(body, @r#"{"name":"growth","features":{"export_csv":{"toggle":true},"projects":"unlimited"}}"#);
        let (_, body) = asked(service, "GET /tier", "").await;
        insta::assert_snapshot!(body, @r#"{"name":"basic","features":{"export_csv":{"toggle":false},"projects":{"limit":2}}}"#);
        let (status, body) = asked(service, "GET /tier", "x-customer: \u{e4}\r\n").await;
        assert_eq!(status, 400, "{body}");
    }

    #[tokio::test]
    async fn the_export_is_for_those_whose_tier_has_it() {
        let service = started().await;
        assert_eq!(
            asked(service, "GET /export", "x-customer: acme\r\n")
                .await
                .0,
            200
        );
        for headers in ["x-customer: corner-shop\r\n", ""] {
            let (status, body) = asked(service, "GET /export", headers).await;
            assert_eq!(status, 403);
            assert!(body.contains(r#""code":"feature_not_entitled""#), "{body}");
        }
    }

    #[tokio::test]
    async fn projects_are_made_up_to_the_limit() {
        let service = started().await;
        for (customer, allowed) in [("corner-shop", 3), ("kiosk", 2)] {
            let headers = format!("x-customer: {customer}\r\n");
            for _ in 0..allowed {
                assert_eq!(asked(service, "POST /projects", &headers).await.0, 201);
            }
            let (status, body) = asked(service, "POST /projects", &headers).await;
            assert_eq!(status, 403);
            assert!(body.contains(r#""code":"limit_exceeded""#), "{body}");
        }
        for _ in 0..10 {
            assert_eq!(
                asked(service, "POST /projects", "x-customer: acme\r\n")
                    .await
                    .0,
                201
            );
        }
    }

    #[tokio::test]
    async fn insights_are_for_premium_users() {
        let service = started().await;
        assert_eq!(
            asked(service, "GET /insights", "x-user: ada\r\n").await.0,
            200
        );
        for headers in ["x-user: bob\r\n", ""] {
            let (status, body) = asked(service, "GET /insights", headers).await;
            assert_eq!(status, 402);
            assert!(body.contains(r#""code":"premium_required""#), "{body}");
        }
    }
}
