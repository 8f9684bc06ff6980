//! Overrides, add-ons and switches (one suite for all drivers, ENT-48).

use entitlements::{By, Catalog, Entitlements, Limit, Overrides, TierGrants};
use tokio::task::JoinSet;

use crate::world::World;

#[tokio::test]
async fn ent_17_18_19_overrides_widen_narrow_and_add_up() {
    for world in World::each().await {
        world.assign("acme", "growth").await;
        let first = Overrides::default()
            .feature("sso", false)
            .feature("labs", true)
            .limit("boxes", Limit::Unlimited);
        world.entitlements.override_("acme", first).await.unwrap();
        assert!(!world.can("acme", "sso").await && world.can("acme", "labs").await);
        assert_eq!(world.limit("acme", "boxes").await, Limit::Unlimited);
        let second = Overrides::default()
            .feature("labs", false)
            .limit("calls", Limit::Count(3));
        world.entitlements.override_("acme", second).await.unwrap();
        assert!(!world.can("acme", "sso").await && !world.can("acme", "labs").await);
        assert_eq!(world.limit("acme", "boxes").await, Limit::Unlimited);
        assert_eq!(world.limit("acme", "calls").await, Limit::Count(3));
        assert!(world.can("acme", "export").await);
    }
}

#[tokio::test]
async fn ent_20_a_hundred_overrides_at_once_all_land() {
    for world in World::each().await {
        let features: Vec<String> = (0..100).map(|at| format!("f{at}")).collect();
        let many = Catalog::builder()
            .features(features.iter().map(String::as_str))
            .default_tier("basic")
            .tier(TierGrants::new("basic"));
        let driver = world.place.open().await;
        let many = Entitlements::builder(driver, many.build().unwrap()).build();
        let mut running = JoinSet::new();
        for (at, feature) in features.iter().enumerate() {
            // Keys that others set too, in another order: nobody may wait in a circle.
            let set = Overrides::default()
                .feature(feature.as_str(), true)
                .feature(format!("f{}", 99 - at), true)
                .feature("f50", true);
            let many = many.clone();
            running.spawn(async move { many.override_("acme", set).await });
        }
        while let Some(done) = running.join_next().await {
            done.unwrap().unwrap();
        }
        for feature in &features {
            assert!(
                many.can("acme", feature).await.unwrap(),
                "{feature} {}",
                world.place.name
            );
        }
    }
}

#[tokio::test]
async fn ent_5_21_an_override_that_cannot_be_leaves_nothing_behind() {
    for world in World::each().await {
        let good = || Overrides::default().feature("labs", true);
        let refused = [
            good().feature("ss0", true),
            good().limit("seat", Limit::Unlimited),
            // Each name stands for one thing.
            good().feature("boxes", true),
            good().limit("sso", Limit::Count(1)),
            good().limit("boxes", Limit::Count(u64::MAX)),
        ];
        for overrides in refused {
            assert!(
                world
                    .entitlements
                    .override_("acme", overrides)
                    .await
                    .is_err()
            );
        }
        assert!(!world.can("acme", "labs").await);
        assert!(
            world
                .entitlements
                .subjects(None, None)
                .await
                .unwrap()
                .is_empty()
        );
    }
}

#[tokio::test]
async fn ent_22_23_24_25_overrides_are_cleared_whole_or_by_key() {
    for world in World::each().await {
        let all = &world.entitlements;
        assert!(!all.clear_override("acme").await.unwrap());
        assert!(!all.clear_override_keys("acme", &["sso"]).await.unwrap());
        let set = Overrides::default()
            .feature("sso", true)
            .feature("labs", true)
            .limit("boxes", Limit::Count(7));
        all.override_("acme", set.clone()).await.unwrap();
        let keys = ["sso", "boxes", "never", "", "a\0b", "Ü"];
        assert!(all.clear_override_keys("acme", &keys).await.unwrap());
        assert!(!world.can("acme", "sso").await && world.can("acme", "labs").await);
        assert_eq!(world.limit("acme", "boxes").await, Limit::Count(1));
        assert!(all.clear_override_keys("acme", &["labs"]).await.unwrap());
        assert!(!world.can("acme", "labs").await);
        assert!(all.subjects(None, None).await.unwrap().is_empty());
        all.override_("acme", set).await.unwrap();
        assert!(all.clear_override("acme").await.unwrap());
        assert!(!world.can("acme", "labs").await);
    }
}

#[tokio::test]
async fn kum_44_45_46_add_ons_are_set_in_order() {
    for world in World::each().await {
        let all = &world.entitlements;
        all.set_add_ons("acme", &["many", "few"]).await.unwrap();
        assert!(world.can("acme", "labs").await);
        assert_eq!(world.limit("acme", "boxes").await, Limit::Count(10));
        all.set_add_ons("acme", &["few", "many"]).await.unwrap();
        assert_eq!(world.limit("acme", "boxes").await, Limit::Count(50));
        let said = all
            .set_add_ons("acme", &["few", "x"])
            .await
            .unwrap_err()
            .to_string();
        assert_eq!(said, "unknown add-on `x`; the add-ons are few, many");
        assert_eq!(world.limit("acme", "boxes").await, Limit::Count(50));
        all.set_add_ons("acme", &[]).await.unwrap();
        assert!(!world.can("acme", "labs").await);
    }
}

#[tokio::test]
async fn kum_47_to_51_54_a_switch_takes_from_all_and_tells_what_it_was() {
    for world in World::each().await {
        let all = &world.entitlements;
        world.assign("acme", "growth").await;
        assert!(world.can("acme", "sso").await);
        let set = |on, expected| all.set_switch("sso", on, "ann", expected);
        let first = set(false, None).await.unwrap().unwrap();
        assert_eq!((first.before, first.version), (None, 1));
        assert!(!world.can("acme", "sso").await);
        let again = set(false, None).await.unwrap().unwrap();
        assert_eq!((again.before, again.version), (Some(false), 2));
        assert_eq!(set(true, Some(1)).await.unwrap(), None);
        assert!(!world.can("acme", "sso").await);
        assert!(set(true, Some(2)).await.unwrap().is_some());
        assert!(world.can("acme", "sso").await && !world.can("other", "sso").await);
        assert!(
            all.set_switch("labs", true, "ann", Some(1))
                .await
                .unwrap()
                .is_none()
        );
        assert!(
            all.set_switch("labs", true, "ann", Some(0))
                .await
                .unwrap()
                .is_some()
        );
        assert!(!world.can("acme", "labs").await);
        let unknown = all.set_switch("ss0", false, "ann", None).await.unwrap_err();
        assert!(unknown.to_string().starts_with("unknown feature `ss0`"));
        let listed = all.switches().await.unwrap();
        let listed: Vec<_> = listed
            .iter()
            .map(|s| (s.feature.as_str(), s.on, s.version))
            .collect();
        assert_eq!(listed, [("labs", true, 1), ("sso", true, 3)]);
    }
}

#[tokio::test]
async fn changes_of_one_subject_follow_one_another() {
    for world in World::each().await {
        let mut running = JoinSet::new();
        for at in 0..40 {
            let all = world.entitlements.clone();
            running.spawn(async move {
                let set = Overrides::default()
                    .feature("sso", true)
                    .feature("labs", true)
                    .limit("boxes", Limit::Count(at));
                all.override_("acme", set).await?;
                all.clear_override_keys("acme", &["labs", "boxes", "sso"])
                    .await?;
                all.set_add_ons("acme", &["few", "many"]).await?;
                all.clear_override("acme").await?;
                all.assign("acme", "growth", By::hand("ann")).await
            });
        }
        let mut first = 0;
        while let Some(done) = running.join_next().await {
            first += usize::from(done.unwrap().unwrap().is_none());
        }
        // Each assignment but the first knows the one that it replaced.
        assert_eq!(first, 1, "{}", world.place.name);
    }
}
