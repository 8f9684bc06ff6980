//! The library's own entitlements behind the layer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::StatusCode;
use entitlements::driver::Memory;
use entitlements::premium::{BoxFuture, Premium, PremiumGrant, PremiumStatus};
use entitlements::tier::{TierBackend, TierInfo, TierLayer, TierResolver};
use entitlements::{By, Catalog, Entitlements, FeatureRule, Limit, Overrides, TierGrants};
use jiff::Timestamp;

use crate::{Inner, ask, owner};

/// Only `ada` is premium.
#[derive(Default)]
struct Ada(AtomicUsize);

impl PremiumStatus for Ada {
    fn status<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Premium> {
        self.0.fetch_add(1, Ordering::Relaxed);
        let grant = (user == "ada").then(|| PremiumGrant {
            granted_at: Timestamp::UNIX_EPOCH,
            grantor: "ann".into(),
            reason: None,
        });
        Box::pin(async move { grant.map_or(Premium::No, Premium::Yes) })
    }
}

/// `ai` comes with `growth` for premium users alone.
fn catalog() -> Catalog {
    let growth = TierGrants::new("growth").feature("sso").feature("ai");
    let rule = FeatureRule {
        premium_only: true,
        ..FeatureRule::default()
    };
    Catalog::builder()
        .features(["sso", "ai"])
        .limits(["seats"])
        .tier(TierGrants::new("basic").limit("seats", Limit::Count(5)))
        .tier(growth)
        .default_tier("basic")
        .rule("ai", rule)
        .build()
        .unwrap()
}

fn entitlements(premium: Arc<Ada>) -> Entitlements {
    let builder = Entitlements::builder(Arc::new(Memory::new()), catalog());
    builder.premium(premium).build()
}

/// A route that requires `feature`.
fn guarded(entitlements: &Entitlements, feature: &str) -> Router {
    let catalog = entitlements.catalog();
    let layer = TierLayer::new(TierResolver::new(entitlements.clone()), owner)
        .with_default(TierInfo::of_default_tier(catalog).unwrap());
    let guard = layer.guards(catalog).unwrap().require_feature(feature);
    let router = Inner::default().router().route_layer(guard.unwrap());
    router.layer(layer)
}

#[tokio::test]
async fn a_change_shows_with_the_next_request() {
    let entitlements = entitlements(Arc::default());
    let sso = guarded(&entitlements, "sso");
    let status = async || ask(&sso, Some("acme")).await.status;
    assert_eq!(status().await, StatusCode::FORBIDDEN);
    let assigned = entitlements.assign("acme", "growth", By::hand("grace"));
    assigned.await.unwrap();
    assert_eq!(status().await, StatusCode::OK);
    let off = Overrides::default().feature("sso", false);
    entitlements.override_("acme", off).await.unwrap();
    assert_eq!(status().await, StatusCode::FORBIDDEN);
    assert_eq!(ask(&sso, None).await.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn what_is_cached_is_known_at_once_unless_it_hangs_on_premium() {
    let premium = Arc::new(Ada::default());
    let entitlements = entitlements(premium.clone());
    assert_eq!(entitlements.resolve_now("acme"), None);
    let read = entitlements.resolve("acme").await.unwrap();
    assert_eq!(entitlements.resolve_now("acme"), Some(read));
    assert_eq!(premium.0.load(Ordering::Relaxed), 0);

    let ai = guarded(&entitlements, "ai");
    for subject in ["ada", "bob"] {
        let assigned = entitlements.assign(subject, "growth", By::hand("grace"));
        assigned.await.unwrap();
    }
    for asked in [1, 3] {
        assert_eq!(ask(&ai, Some("ada")).await.status, StatusCode::OK);
        assert_eq!(premium.0.load(Ordering::Relaxed), asked);
        assert_eq!(ask(&ai, Some("bob")).await.status, StatusCode::FORBIDDEN);
        assert_eq!(entitlements.resolve_now("bob"), None);
    }
}

#[tokio::test]
async fn an_owner_that_names_no_subject_is_answered_500() {
    let answer = ask(&guarded(&entitlements(Arc::default()), "sso"), Some("")).await;
    assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
}
