//! The tier layer and the guards, as a service uses them.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod guards;
mod info;
mod layer;
mod library;
mod premium;
mod start;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use axum::routing::any;
use entitlements::premium::BoxFuture;
use entitlements::tier::{
    ErrorCode, FeatureAccess, Guards, Keys, StaticTierBackend, TierBackend, TierError, TierInfo,
    TierLayer, TierResolver,
};
use http_body_util::BodyExt;
use tower::ServiceExt;

/// `sso` on, `audit` off, 5 `seats`, 0 `boxes`, `api_calls` without bound.
fn growth() -> TierInfo {
    TierInfo::new(
        "growth",
        [
            ("sso", FeatureAccess::Toggle(true)),
            ("audit", FeatureAccess::Toggle(false)),
            ("seats", FeatureAccess::Limit(5)),
            ("boxes", FeatureAccess::Limit(0)),
            ("api_calls", FeatureAccess::Unlimited),
        ],
    )
}

/// What strangers get: `export`.
fn strangers() -> TierInfo {
    TierInfo::new("strangers", [("export", FeatureAccess::Toggle(true))])
}

fn keys() -> Keys {
    Keys::new(
        ["sso", "audit", "export"],
        ["seats", "boxes", "api_calls", "rare"],
    )
}

/// The owner that the header `x-owner` names.
fn owner(parts: &Parts) -> Option<String> {
    let owner = parts.headers.get("x-owner")?;
    owner.to_str().ok().map(str::to_owned)
}

fn guards() -> Guards {
    let layer = TierLayer::new(resolver(growth()), owner).with_default(strangers());
    layer.guards(keys()).unwrap()
}

fn resolver(info: TierInfo) -> TierResolver {
    TierResolver::new(StaticTierBackend::new(info))
}

/// A backend that counts how often it is asked.
#[derive(Clone, Default)]
struct Counting {
    asked: Arc<AtomicUsize>,
}

impl Counting {
    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

impl TierBackend for Counting {
    fn resolve<'a>(&'a self, owner: &'a str) -> BoxFuture<'a, Result<TierInfo, TierError>> {
        Box::pin(async move {
            self.asked.fetch_add(1, Ordering::Relaxed);
            if owner == "suspended" {
                let detail = "this account is suspended";
                return Err(TierError::refused(StatusCode::LOCKED, "suspended", detail));
            }
            Ok(growth())
        })
    }
}

/// A service that tells the tier it sees and sends the body back, and counts its requests.
#[derive(Clone, Default)]
struct Inner {
    reached: Arc<AtomicUsize>,
}

impl Inner {
    fn reached(&self) -> usize {
        self.reached.load(Ordering::Relaxed)
    }

    /// Served at `/`.
    fn router(&self) -> Router {
        let reached = self.reached.clone();
        Router::new().route(
            "/",
            any(async move |tier: Option<TierInfo>, body: String| {
                reached.fetch_add(1, Ordering::Relaxed);
                let tier = tier.map_or("nothing".to_owned(), |tier| tier.name().to_owned());
                format!("{tier}: {body}")
            }),
        )
    }
}

/// An answer, taken apart.
#[derive(Debug)]
struct Answer {
    status: StatusCode,
    code: Option<&'static str>,
    content_type: String,
    body: String,
}

impl Answer {
    async fn of(response: Response) -> Self {
        let content_type = response.headers().get("content-type");
        Self {
            status: response.status(),
            code: response.extensions().get().map(|code: &ErrorCode| code.0),
            content_type: content_type
                .map(|value| value.to_str().unwrap().to_owned())
                .unwrap_or_default(),
            body: {
                let body = response.into_body().collect().await.unwrap().to_bytes();
                String::from_utf8(body.to_vec()).unwrap()
            },
        }
    }
}

/// Asks a router as `owner`.
async fn ask(router: &Router, owner: Option<&str>) -> Answer {
    let mut request = Request::builder().uri("/");
    if let Some(owner) = owner {
        request = request.header("x-owner", owner);
    }
    send(router, request.body(Body::empty()).unwrap()).await
}

async fn send(router: &Router, request: Request<Body>) -> Answer {
    Answer::of(router.clone().oneshot(request).await.unwrap()).await
}
