//! What the tests sell, and to whom.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use entitlements::driver::Driver;
use entitlements::{
    AddOn, Builder, By, Catalog, Clock, Entitlements, EntitlementsBuilder, FeatureRule, IsPremium,
    Limit, TierGrants, Usage, UsageError, Used,
};
use jiff::Timestamp;

use crate::databases::Place;

/// A clock that is moved by hand.
#[derive(Clone)]
pub(crate) struct Hands(Arc<AtomicI64>);

impl Hands {
    pub(crate) fn at(second: i64) -> Self {
        Self(Arc::new(AtomicI64::new(second * 1_000_000)))
    }

    pub(crate) fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Clock {
        let hands = self.clone();
        Clock::by(move || {
            Timestamp::from_microsecond(hands.0.load(Ordering::SeqCst)).unwrap_or_default()
        })
    }
}

/// One driver's service, over what other instances may change too.
pub(crate) struct World {
    pub(crate) place: Place,
    pub(crate) hands: Hands,
    pub(crate) entitlements: Entitlements,
}

impl World {
    /// One for each driver.
    pub(crate) async fn each() -> Vec<Self> {
        let mut worlds = Vec::new();
        for place in Place::each().await {
            let hands = Hands::at(1_000_000);
            let entitlements = service(place.open().await, &hands).build();
            entitlements.setup().await.unwrap();
            worlds.push(Self {
                place,
                hands,
                entitlements,
            });
        }
        worlds
    }

    /// Another instance over the same storage.
    pub(crate) async fn another(&self) -> Entitlements {
        service(self.place.open().await, &self.hands).build()
    }

    pub(crate) async fn can(&self, subject: &str, feature: &str) -> bool {
        self.entitlements.can(subject, feature).await.unwrap()
    }

    pub(crate) async fn limit(&self, subject: &str, limit: &str) -> Limit {
        self.entitlements.limit(subject, limit).await.unwrap()
    }

    pub(crate) async fn assign(&self, subject: &str, tier: &str) {
        let by = By::hand("ann").because("asked for it");
        self.entitlements.assign(subject, tier, by).await.unwrap();
    }
}

/// A service with a cache that lives for 10 seconds of the hands.
pub(crate) fn service(driver: Arc<dyn Driver>, hands: &Hands) -> EntitlementsBuilder {
    Entitlements::builder(driver, catalog("basic"))
        .clock(hands.clock())
        .cache_life(Duration::from_secs(10))
}

pub(crate) fn catalog(default_tier: &str) -> Catalog {
    sold(default_tier).build().unwrap()
}

pub(crate) fn sold(default_tier: &str) -> Builder {
    let add_on = |name: &str, boxes| AddOn {
        name: name.into(),
        features: vec!["labs".into()],
        limits: [("boxes".into(), Limit::Count(boxes))]
            .into_iter()
            .collect(),
    };
    Catalog::builder()
        .features(["export", "sso", "beta", "labs"])
        .limits(["boxes", "seats", "calls"])
        .default_tier(default_tier)
        .tier(
            TierGrants::new("basic")
                .feature("export")
                .limit("boxes", Limit::Count(1)),
        )
        .tier(
            TierGrants::new("growth")
                .feature("sso")
                .feature("beta")
                .limit("boxes", Limit::Count(5))
                .limit("seats", Limit::Unlimited),
        )
        .rule(
            "beta",
            FeatureRule {
                requires: Vec::new(),
                premium_only: true,
            },
        )
        .add_on(add_on("few", 10))
        .add_on(add_on("many", 50))
}

/// A meter that knows `boxes` and `seats`, and counts how often it is asked.
#[derive(Default)]
pub(crate) struct Meter {
    pub(crate) used: AtomicU64,
    pub(crate) asked: AtomicU64,
}

#[derive(Debug, thiserror::Error)]
#[error("unknown metric `{0}`")]
struct NoMetric(String);

#[async_trait]
impl Usage for Meter {
    async fn used(&self, _subject: &str, metric: &str) -> Result<Used, UsageError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        if !["boxes", "seats"].contains(&metric) {
            return Err(UsageError::new(NoMetric(metric.to_owned())));
        }
        Ok(Used {
            amount: self.used.load(Ordering::SeqCst),
            unit: "box".into(),
        })
    }
}

/// Says that everybody is premium, or nobody, and counts how often it is asked.
#[derive(Default)]
pub(crate) struct Premium {
    pub(crate) granted: AtomicBool,
    pub(crate) asked: AtomicU64,
}

#[async_trait]
impl IsPremium for Premium {
    async fn is_premium(&self, _subject: &str) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.granted.load(Ordering::SeqCst)
    }
}
