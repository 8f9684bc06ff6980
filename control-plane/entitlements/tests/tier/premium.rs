//! The guard of routes for premium users.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::http::StatusCode;
use entitlements::premium::{BoxFuture, Premium, PremiumGrant, PremiumStatus};
use entitlements::tier::{TierError, require_premium, require_premium_async};

use crate::{Inner, ask, owner};

/// Only `ada` is premium.
#[derive(Default)]
struct Ada {
    asked: AtomicUsize,
}

impl PremiumStatus for Ada {
    fn status<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Premium> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let grant = PremiumGrant {
            granted_at: "2026-01-01T00:00:00Z".parse().unwrap(),
            grantor: "grace".to_owned(),
            reason: None,
        };
        let ada = (user == "ada").then_some(grant);
        Box::pin(ready(Premium::known(Ok(ada))))
    }
}

#[tokio::test]
async fn premium_routes_are_for_premium_users_and_nobody_is_not_asked_for() {
    let (claims, inner) = (Arc::new(Ada::default()), Inner::default());
    let routers = [
        inner
            .router()
            .route_layer(require_premium(claims.clone(), owner)),
        inner
            .router()
            .route_layer(require_premium_async(claims.clone(), |parts| {
                ready(Ok(owner(parts)))
            })),
    ];
    for router in &routers {
        assert_eq!(ask(router, Some("ada")).await.status, StatusCode::OK);
        for subject in [Some("bob"), None] {
            let answer = ask(router, subject).await;
            assert_eq!(answer.status, StatusCode::PAYMENT_REQUIRED);
            assert_eq!(answer.code, Some("premium_required"));
            insta::allow_duplicates! {
                insta::assert_snapshot!(answer.body, @r#"{"title":"Payment Required","status":402,"code":"premium_required","detail":"this is for premium users; ask whoever runs this service for premium"}"#);
            }
        }
    }
    assert_eq!(
        (claims.asked.load(Ordering::Relaxed), inner.reached()),
        (4, 2)
    );
}

#[tokio::test]
async fn a_subject_that_cannot_be_found_out_is_answered_as_it_is() {
    let claims: Arc<dyn PremiumStatus> = Arc::new(Ada::default());
    let guard = require_premium(claims, |_| {
        let detail = "sign in again";
        Err(TierError::refused(
            StatusCode::UNAUTHORIZED,
            "signed_out",
            detail,
        ))
    });
    let answer = ask(&Inner::default().router().route_layer(guard), None).await;
    assert_eq!(answer.code, Some("signed_out"));
}
