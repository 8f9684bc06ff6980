//! Who is premium, and what that opens.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A provider that is down, and counts how often it is asked.
#[derive(Default)]
struct Failing {
    asked: AtomicUsize,
}

impl Failing {
    fn fail<T>(&self) -> Result<T, ProviderError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Err(ProviderError("the directory is closed".into()))
    }
}

impl PremiumStatus for Failing {
    fn status<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Premium> {
        Box::pin(async { Premium::known(self.fail()) })
    }
}

impl PremiumClaims for Failing {
    fn list(&self) -> BoxFuture<'_, Result<Vec<PremiumUser>, ProviderError>> {
        Box::pin(async { self.fail() })
    }

    fn grant<'a>(
        &'a self,
        _: &'a str,
        _: PremiumGrant,
    ) -> BoxFuture<'a, Result<Premium, ProviderError>> {
        Box::pin(async { self.fail() })
    }

    fn revoke<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), ProviderError>> {
        Box::pin(async { self.fail() })
    }
}

fn grant(reason: Option<&str>) -> PremiumGrant {
    PremiumGrant {
        granted_at: "2026-11-21T12:00:00Z".parse().unwrap(),
        grantor: "ada".into(),
        reason: reason.map(Into::into),
    }
}

#[tokio::test]
async fn tool_1_7_8_a_grant_is_read_listed_and_taken_back() {
    let claims = MemoryPremium::default();
    assert_eq!(claims.status("bo").await, Premium::No);
    assert_eq!(claims.revoke("bo").await, Ok(()), "never granted");

    for reason in [Some("early adopter"), None] {
        let granted = claims.grant("bo", grant(reason)).await.unwrap();
        assert_eq!(granted, Premium::Yes(grant(reason)));
        assert_eq!(claims.status("bo").await, granted);
        let listed = PremiumUser {
            user: "bo".into(),
            grant: grant(reason),
        };
        assert_eq!(claims.list().await, Ok(vec![listed]));
    }
    for _ in 0..2 {
        assert_eq!(claims.revoke("bo").await, Ok(()));
        assert_eq!(claims.status("bo").await, Premium::No);
        assert_eq!(claims.list().await, Ok(Vec::new()));
    }
}

#[tokio::test]
async fn tool_2_6_without_claims_nobody_is_premium_and_nothing_is_kept() {
    let granted = NoPremium.grant("bo", grant(Some("a gift"))).await.unwrap();
    let kept = granted.grant().unwrap();
    assert_eq!(
        (kept.grantor.as_str(), kept.reason.as_deref()),
        ("ada", Some("a gift"))
    );
    assert_eq!(NoPremium.status("bo").await, Premium::No);
    assert_eq!(NoPremium.list().await, Ok(Vec::new()));
    assert_eq!(NoPremium.revoke("bo").await, Ok(()));
    assert_eq!(
        require_premium(&NoPremium, Caller::User("bo")).await,
        Err(NotPremium)
    );
}

#[test]
fn tool_2_asking_nobody_takes_no_memory() {
    assert_eq!(size_of_val(&*NoPremium.status("bo")), 0);
    assert_eq!(size_of_val(&*NoPremium.is_premium("bo")), 0);
}

#[tokio::test]
async fn tool_3_the_port_can_be_held_as_an_object() {
    let claims: Arc<dyn PremiumClaims> = Arc::new(MemoryPremium::default());
    claims.grant("bo", grant(None)).await.unwrap();
    assert!(claims.is_premium("bo").await);
    let status: &dyn PremiumStatus = &claims;
    assert_eq!(require_premium(status, Caller::User("bo")).await, Ok(()));
}

#[tokio::test]
async fn tool_4_a_status_is_never_an_error() {
    assert_eq!(Failing::default().status("bo").await, Premium::No);
    let claims = MemoryPremium::default();
    claims.grant("bo", grant(None)).await.unwrap();
    for user in ["", "nobody"] {
        assert_eq!(claims.status(user).await, Premium::No);
        assert!(!Caller::User(user).is_premium(&claims).await);
    }
}

#[tokio::test]
async fn tool_5_other_failures_are_reported() {
    let claims = Failing::default();
    let error = claims.grant("bo", grant(None)).await.unwrap_err();
    assert!(error.to_string().ends_with("the directory is closed"));
    assert!(claims.revoke("bo").await.is_err());
    assert!(claims.list().await.is_err());
    assert!(
        MemoryPremium::default()
            .grant("", grant(None))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn tool_9_10_the_gate_answers_ok_or_an_error_that_says_how_to_show_it() {
    let claims = MemoryPremium::default();
    claims.grant("bo", grant(None)).await.unwrap();
    assert_eq!(require_premium(&claims, Caller::User("bo")).await, Ok(()));
    let refused = require_premium(&claims, Caller::User("cy")).await;
    assert_eq!(refused, Err(NotPremium));
    assert_eq!(
        (NotPremium::STATUS, NotPremium::CODE),
        (402, "premium_required")
    );
    assert!(NotPremium.to_string().contains("premium users"));
}

#[tokio::test]
async fn tool_11_work_for_premium_users_is_not_started_for_others() {
    let claims = MemoryPremium::default();
    claims.grant("bo", grant(None)).await.unwrap();
    let started = Cell::new(0);
    let work = || {
        started.set(started.get() + 1);
        async { "report" }
    };
    assert_eq!(
        if_premium(&claims, Caller::User("bo"), work).await,
        Some("report")
    );
    assert_eq!(started.get(), 1);
    for caller in [Caller::User("cy"), Caller::ClaimBearer, Caller::Anonymous] {
        assert_eq!(if_premium(&claims, caller, work).await, None);
    }
    assert_eq!(started.get(), 1);
}

#[tokio::test]
async fn tool_12_what_is_missing_is_the_default() {
    let missing: Option<MemoryPremium> = None;
    assert_eq!(missing.status("bo").await, Premium::No);
    assert_eq!(
        require_premium(&missing, Caller::User("bo")).await,
        Err(NotPremium)
    );
    assert_eq!(Caller::default(), Caller::Anonymous);
    assert_eq!(Caller::from(None), Caller::Anonymous);

    let present = Some(MemoryPremium::default());
    present
        .as_ref()
        .unwrap()
        .grant("bo", grant(None))
        .await
        .unwrap();
    assert_eq!(require_premium(&present, Some("bo").into()).await, Ok(()));
}

#[tokio::test]
async fn tool_30_only_users_are_asked_about() {
    let claims = Failing::default();
    for caller in [Caller::Anonymous, Caller::ClaimBearer, Caller::User("")] {
        assert_eq!(require_premium(&claims, caller).await, Err(NotPremium));
    }
    assert_eq!(claims.asked.load(Ordering::Relaxed), 0);
    assert_eq!(
        require_premium(&claims, Caller::User("bo")).await,
        Err(NotPremium)
    );
    assert_eq!(claims.asked.load(Ordering::Relaxed), 1);
}

/// Answers from a copy that follows its grants only when told to.
#[derive(Default)]
struct Lagging {
    grants: MemoryPremium,
    seen: MemoryPremium,
}

impl PremiumStatus for Lagging {
    fn status<'a>(&'a self, user: &'a str) -> BoxFuture<'a, Premium> {
        self.seen.status(user)
    }
}

#[tokio::test]
async fn tool_37_a_gate_says_no_until_a_slow_provider_has_the_grant() {
    let claims = Lagging::default();
    let granted = claims.grants.grant("bo", grant(None)).await.unwrap();
    let caller = Caller::User("bo");
    assert_eq!(require_premium(&claims, caller).await, Err(NotPremium));
    let caught_up = granted.grant().unwrap().clone();
    claims.seen.grant("bo", caught_up).await.unwrap();
    assert_eq!(require_premium(&claims, caller).await, Ok(()));
}
