//! The layer: who is asked, what is told, and what stops.

use std::future::ready;
use std::sync::Arc;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode};
use entitlements::premium::BoxFuture;
use entitlements::tier::{
    ErrorCode, FailingTierBackend, StaticTierBackend, TierBackend, TierError, TierInfo, TierLayer,
    TierResolver,
};
use http_body_util::Full;
use tower::{Layer, ServiceExt, service_fn};

use crate::{Counting, Inner, ask, growth, owner, resolver, send, strangers};

#[tokio::test]
async fn modo_9_any_backend_stands_behind_one_handle() {
    let backends: [Arc<dyn TierBackend>; 2] = [
        Arc::new(StaticTierBackend::new(growth())),
        Arc::new(Counting::default()),
    ];
    for backend in backends {
        let resolver = TierResolver::from(backend);
        assert_eq!(resolver.clone().resolve("acme").await.unwrap(), growth());
    }
}

#[tokio::test]
async fn modo_10_27_an_owner_is_asked_for_once_a_request_and_told() {
    let (backend, inner) = (Counting::default(), Inner::default());
    let layer = TierLayer::new(TierResolver::new(backend.clone()), owner);
    let router = inner.router().layer(layer);
    for asked in 1..=3 {
        assert_eq!(ask(&router, Some("acme")).await.body, "growth: ");
        assert_eq!((backend.asked(), inner.reached()), (asked, asked));
    }
}

#[tokio::test]
async fn modo_10_a_closure_may_wait_for_the_owner() {
    let inner = Inner::default();
    let layer = TierLayer::new_async(resolver(growth()), |parts| {
        let owner = owner(parts);
        async move {
            tokio::task::yield_now().await;
            Ok(owner)
        }
    });
    let router = inner.router().layer(layer.with_default(strangers()));
    assert_eq!(ask(&router, Some("acme")).await.body, "growth: ");
    assert_eq!(ask(&router, None).await.body, "strangers: ");
}

#[tokio::test]
async fn an_owner_that_cannot_be_found_out_is_not_taken_for_nobody() {
    fn bad() -> Result<Option<String>, TierError> {
        let detail = "the credential has expired; ask for a new one";
        let status = StatusCode::UNAUTHORIZED;
        Err(TierError::refused(status, "credential_expired", detail))
    }
    let (backend, inner) = (Counting::default(), Inner::default());
    let resolver = TierResolver::new(backend.clone());
    let at_once = TierLayer::new(resolver.clone(), |_| bad()).with_default(strangers());
    let later = TierLayer::new_async(resolver, |_| ready(bad())).with_default(strangers());
    for router in [inner.router().layer(at_once), inner.router().layer(later)] {
        let answer = ask(&router, Some("acme")).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_eq!(answer.code, Some("credential_expired"));
    }
    assert_eq!((backend.asked(), inner.reached()), (0, 0));
}

#[tokio::test]
async fn modo_11_15_26_a_failing_backend_answers_whatever_the_default() {
    let inner = Inner::default();
    let layer = TierLayer::new(TierResolver::new(FailingTierBackend), owner);
    let with_default = layer.clone().with_default(strangers());
    for router in [
        inner.router().layer(layer),
        inner.router().layer(with_default),
    ] {
        let answer = ask(&router, Some("acme")).await;
        assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
        insta::allow_duplicates! {
            insta::assert_snapshot!(answer.body, @r#"{"title":"Internal Server Error","status":500,"code":"internal_error","detail":"something broke on our side; it is logged"}"#);
        }
        assert_eq!(inner.reached(), 0);
    }
}

#[tokio::test]
async fn modo_11_a_backends_refusal_keeps_its_status() {
    let inner = Inner::default();
    let layer = TierLayer::new(TierResolver::new(Counting::default()), owner);
    let answer = ask(&inner.router().layer(layer), Some("suspended")).await;
    assert_eq!(
        (answer.status, answer.code),
        (StatusCode::LOCKED, Some("suspended"))
    );
    insta::assert_snapshot!(answer.body, @r#"{"title":"Locked","status":423,"code":"suspended","detail":"this account is suspended"}"#);
    assert_eq!(inner.reached(), 0);
}

#[tokio::test]
async fn modo_12_nobody_gets_the_default_and_the_backend_is_not_asked() {
    let (backend, inner) = (Counting::default(), Inner::default());
    let layer = TierLayer::new(TierResolver::new(backend.clone()), owner);
    let router = inner.router().layer(layer.with_default(strangers()));
    assert_eq!(ask(&router, None).await.body, "strangers: ");
    assert_eq!(backend.asked(), 0);
}

#[tokio::test]
async fn modo_13_without_a_default_nobody_goes_on_untold() {
    let (backend, inner) = (Counting::default(), Inner::default());
    let layer = TierLayer::new(TierResolver::new(backend.clone()), owner);
    let answer = ask(&inner.router().layer(layer), None).await;
    assert_eq!(
        (answer.status, &*answer.body),
        (StatusCode::OK, "nothing: ")
    );
    assert_eq!((backend.asked(), inner.reached()), (0, 1));
}

#[tokio::test]
async fn modo_22_the_body_reaches_the_service_unchanged() {
    let layer = TierLayer::new(resolver(growth()), owner);
    let router = Inner::default().router().layer(layer);
    let request = Request::post("/").header("x-owner", "acme");
    let request = request.body(Body::from("all of it")).unwrap();
    assert_eq!(send(&router, request).await.body, "growth: all of it");
}

#[tokio::test]
async fn modo_23_a_handler_that_needs_a_tier_answers_500_without_one() {
    use axum::{Router, routing::get};
    let needs = get(async |tier: TierInfo| tier.name().to_owned());
    let bare = Router::new().route("/", needs);
    let answer = ask(&bare, Some("acme")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(answer.code, Some("internal_error"));

    let layer = TierLayer::new(resolver(growth()), owner);
    let router = bare.layer(layer);
    assert_eq!(ask(&router, Some("acme")).await.body, "growth");
    assert_eq!(
        ask(&router, None).await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    // The handler of `Inner` asks for an optional one.
    assert_eq!(
        ask(&Inner::default().router(), None).await.body,
        "nothing: "
    );
}

/// Knows some owners without waiting.
struct Known;

impl TierBackend for Known {
    fn resolve<'a>(&'a self, owner: &'a str) -> BoxFuture<'a, Result<TierInfo, TierError>> {
        assert_eq!(owner, "stranger", "known owners are not asked for twice");
        Box::pin(ready(Ok(strangers())))
    }

    fn resolve_now(&self, owner: &str) -> Option<TierInfo> {
        (owner == "acme").then(growth)
    }
}

#[tokio::test]
async fn modo_27_a_backend_that_knows_at_once_is_not_waited_for() {
    let layer = TierLayer::new(TierResolver::new(Known), owner);
    let router = Inner::default().router().layer(layer);
    assert_eq!(ask(&router, Some("acme")).await.body, "growth: ");
    assert_eq!(ask(&router, Some("stranger")).await.body, "strangers: ");
    let layer = TierLayer::new_async(TierResolver::new(Known), |parts: &Parts| {
        ready(Ok(owner(parts)))
    });
    let router = Inner::default().router().layer(layer);
    assert_eq!(ask(&router, Some("acme")).await.body, "growth: ");
}

#[tokio::test]
async fn services_with_other_bodies_than_axums_are_served_too() {
    let inner = service_fn(async |_: Request<()>| {
        Ok::<_, std::convert::Infallible>(Response::new(Full::<axum::body::Bytes>::default()))
    });
    let layer = TierLayer::new(TierResolver::new(FailingTierBackend), owner);
    let request = || Request::builder().header("x-owner", "acme");
    let service = layer.layer(inner);
    let answer = service.oneshot(request().body(()).unwrap()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        answer.extensions().get(),
        Some(&ErrorCode("internal_error"))
    );
}
