//! Questions (one suite for all drivers, ENT-48).

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use entitlements::driver::Memory;
use entitlements::{By, Limit, Overrides};

use crate::world::{Hands, Meter, Premium, World, service};

#[tokio::test]
async fn ent_27_28_29_30_keys_are_known_or_an_error() {
    for world in World::each().await {
        let error = world.entitlements.can("acme", "ss0").await.unwrap_err();
        let said = error.to_string();
        assert!(
            said.starts_with("unknown feature") && said.contains("export, sso"),
            "{said}"
        );
        let error = world.entitlements.limit("acme", "seat").await.unwrap_err();
        assert!(error.to_string().starts_with("unknown limit"));
        assert_eq!(world.limit("acme", "calls").await, Limit::Count(0));
        world.assign("acme", "growth").await;
        assert_eq!(world.limit("acme", "seats").await, Limit::Unlimited);
    }
}

#[tokio::test]
async fn ent_31_to_37_a_check_asks_the_meter_once() {
    for world in World::each().await {
        let none = world.entitlements.check("acme", "boxes").await.unwrap_err();
        assert!(none.to_string().contains("meter"), "{none}");
        let meter = Arc::new(Meter::default());
        let service = service(world.place.open().await, &world.hands);
        let metered = service.usage(meter.clone()).build();
        let mut seen = Vec::new();
        for used in [0, 4, 5, 6] {
            meter.used.store(used, Ordering::SeqCst);
            metered
                .assign("acme", "growth", By::hand("ann"))
                .await
                .unwrap();
            let check = metered.check("acme", "boxes").await.unwrap();
            assert_eq!((check.used, check.limit), (used, Limit::Count(5)));
            assert_eq!((&*check.unit, &*check.feature), ("box", "boxes"));
            seen.push((check.allowed, check.remaining));
        }
        let expected = [
            (true, Some(5)),
            (true, Some(1)),
            (false, Some(0)),
            (false, Some(0)),
        ];
        assert_eq!(seen, expected);
        assert_eq!(meter.asked.load(Ordering::SeqCst), 4);
        let unlimited = metered.check("acme", "seats").await.unwrap();
        assert!(unlimited.allowed && unlimited.remaining.is_none());
        let zero = metered.check("other", "seats").await.unwrap();
        assert!(!zero.allowed && zero.remaining == Some(0));
        let asked = meter.asked.load(Ordering::SeqCst);
        metered.limit("acme", "boxes").await.unwrap();
        assert!(
            metered
                .check("acme", "seat")
                .await
                .unwrap_err()
                .to_string()
                .starts_with("unknown limit")
        );
        assert_eq!(meter.asked.load(Ordering::SeqCst), asked);
        let theirs = metered.check("acme", "calls").await.unwrap_err();
        assert_eq!(theirs.to_string(), "unknown metric `calls`");
    }
}

#[tokio::test]
async fn ent_38_39_40_a_description_is_a_copy_of_what_somebody_mentions() {
    for world in World::each().await {
        world.assign("acme", "growth").await;
        let set = Overrides::default()
            .feature("sso", false)
            .limit("calls", Limit::Count(2));
        world.entitlements.override_("acme", set).await.unwrap();
        let mut described = world.entitlements.describe("acme").await.unwrap();
        assert_eq!(&*described.tier, "growth");
        let features: Vec<_> = described
            .features
            .iter()
            .map(|(name, on)| (&**name, *on))
            .collect();
        assert_eq!(
            features,
            [("export", true), ("sso", false), ("beta", false)]
        );
        let limits: Vec<_> = described.limits.keys().map(AsRef::as_ref).collect();
        assert_eq!(limits, ["boxes", "seats", "calls"]);
        described.features.clear();
        assert_eq!(
            world
                .entitlements
                .describe("acme")
                .await
                .unwrap()
                .features
                .len(),
            3
        );
        assert_eq!(world.entitlements.catalog().features().len(), 4);
    }
}

#[tokio::test]
async fn ent_43_44_what_others_change_shows_when_the_cache_has_lived_its_life() {
    for world in World::each().await {
        if world.place.name == "postgres" {
            // It is told at once.
            continue;
        }
        let other = world.another().await;
        assert!(!other.can("acme", "sso").await.unwrap());
        world.assign("acme", "growth").await;
        assert!(world.can("acme", "sso").await);
        world.hands.advance(9);
        assert!(!other.can("acme", "sso").await.unwrap());
        world.hands.advance(1);
        assert!(other.can("acme", "sso").await.unwrap());
        // A clock that goes back keeps nothing alive.
        world.entitlements.unassign("acme").await.unwrap();
        world.hands.advance(-1);
        assert!(!other.can("acme", "sso").await.unwrap());
    }
}

#[tokio::test]
async fn ent_43_without_a_cache_every_question_reads() {
    for world in World::each().await {
        let uncached = service(world.place.open().await, &world.hands);
        let uncached = uncached.cache_life(Duration::ZERO).build();
        assert!(!uncached.can("acme", "sso").await.unwrap());
        world.assign("acme", "growth").await;
        assert!(uncached.can("acme", "sso").await.unwrap());
    }
}

#[tokio::test]
async fn premium_is_asked_for_at_each_read_and_never_in_vain() {
    for world in World::each().await {
        let premium = Arc::new(Premium::default());
        let service = service(world.place.open().await, &world.hands);
        let all = service.premium(premium.clone()).build();
        all.assign("acme", "growth", By::hand("ann")).await.unwrap();
        assert!(all.can("acme", "sso").await.unwrap());
        assert!(!all.can("other", "beta").await.unwrap());
        assert!(
            !all.describe("other")
                .await
                .unwrap()
                .features
                .contains_key("beta")
        );
        assert_eq!(premium.asked.load(Ordering::SeqCst), 0);
        assert!(!all.can("acme", "beta").await.unwrap());
        premium.granted.store(true, Ordering::SeqCst);
        assert!(all.can("acme", "beta").await.unwrap());
        assert!(all.describe("acme").await.unwrap().features["beta"]);
        assert_eq!(premium.asked.load(Ordering::SeqCst), 3);
        // Without anybody to ask, nobody is premium.
        assert!(!world.can("acme", "beta").await);
    }
}

#[tokio::test]
async fn any_names_are_answered() {
    let odd = [
        "",
        " ",
        "a\0b",
        "'; DROP TABLE x",
        "%",
        "\u{202e}x",
        &"x".repeat(10_000),
    ];
    for world in World::each().await {
        for subject in odd {
            for name in odd {
                assert!(world.entitlements.can(subject, name).await.is_err());
                assert!(world.entitlements.limit(subject, name).await.is_err());
                assert!(world.entitlements.check(subject, name).await.is_err());
                let set = Overrides::default().feature(name, true);
                assert!(world.entitlements.override_(subject, set).await.is_err());
                let by = By::hand("ann");
                assert!(world.entitlements.assign(subject, name, by).await.is_err());
            }
            let known = world.entitlements.can(subject, "sso").await;
            let good = !subject.is_empty() && subject.len() < 300 && !subject.contains('\0');
            assert_eq!(known.is_ok(), good, "{subject:?}");
        }
    }
}

#[tokio::test]
async fn the_builder_shows_no_more_than_it_should() {
    let hands = Hands::at(0);
    let built = service(Arc::new(Memory::new()), &hands)
        .cache_subjects(0)
        .build();
    assert!(!built.can("acme", "sso").await.unwrap());
    assert!(format!("{built:?}").starts_with("Entitlements"));
}
