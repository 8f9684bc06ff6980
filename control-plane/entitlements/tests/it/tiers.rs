//! Who has which tier (one suite for all drivers, ENT-48).

use std::sync::Arc;

use entitlements::{By, Catalog, Entitlements, Error, Limit, Overrides, Source, TierGrants};

use crate::world::{Meter, World, catalog, sold};

#[tokio::test]
async fn ent_10_12_13_26_a_tier_is_assigned_and_taken_back_at_once() {
    for world in World::each().await {
        let subjects = &world.entitlements;
        assert_eq!(&*subjects.plan("acme").await.unwrap(), "basic");
        assert!(!world.can("acme", "sso").await);
        world.assign("acme", "growth").await;
        assert_eq!(&*subjects.plan("acme").await.unwrap(), "growth");
        assert!(world.can("acme", "sso").await, "{}", world.place.name);
        assert_eq!(world.limit("acme", "boxes").await, Limit::Count(5));
        assert!(!world.can("other", "sso").await);
        let set = Overrides::default().limit("boxes", Limit::Count(9));
        subjects.override_("acme", set).await.unwrap();
        world.assign("acme", "basic").await;
        assert_eq!(world.limit("acme", "boxes").await, Limit::Count(9));
        assert!(subjects.unassign("acme").await.unwrap());
        assert!(!subjects.unassign("acme").await.unwrap());
        assert_eq!(subjects.assignment("acme").await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_assignment_says_who_gave_it_when_and_why() {
    for world in World::each().await {
        world.hands.advance(5);
        let by = By::billing("stripe").because("paid");
        let before = world
            .entitlements
            .assign("acme", "growth", by)
            .await
            .unwrap();
        assert_eq!(before, None);
        let given = world
            .entitlements
            .assignment("acme")
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&*given.tier, "growth");
        assert_eq!(
            (given.source, given.actor.as_str()),
            (Source::Billing, "stripe")
        );
        assert_eq!(given.reason.as_deref(), Some("paid"));
        assert_eq!(given.assigned_at.as_second(), 1_000_005);
        let by = By::hand("ann");
        let before = world
            .entitlements
            .assign("acme", "basic", by)
            .await
            .unwrap();
        assert_eq!(before, Some(given));
    }
}

#[tokio::test]
async fn ent_11_a_tier_that_is_none_changes_nothing() {
    for world in World::each().await {
        world.assign("acme", "growth").await;
        let refused = world
            .entitlements
            .assign("acme", "gold", By::hand("ann"))
            .await;
        let said = refused.unwrap_err().to_string();
        assert!(
            said.starts_with("unknown tier `gold`; the tiers are basic, growth"),
            "{said}"
        );
        assert_eq!(&*world.entitlements.plan("acme").await.unwrap(), "growth");
    }
}

#[tokio::test]
async fn ent_13_14_only_who_has_no_assignment_follows_the_default_tier() {
    for world in World::each().await {
        world.assign("fixed", "basic").await;
        world.assign("follows", "basic").await;
        assert!(world.entitlements.unassign("follows").await.unwrap());
        let driver = world.place.open().await;
        let later = Entitlements::builder(driver, catalog("growth")).build();
        assert_eq!(&*later.plan("fixed").await.unwrap(), "basic");
        assert_eq!(&*later.plan("follows").await.unwrap(), "growth");
    }
}

#[tokio::test]
async fn ent_15_every_method_refuses_an_empty_subject() {
    for world in World::each().await {
        let all = &world.entitlements;
        let refused = [
            all.can("", "sso").await.err(),
            all.limit("", "boxes").await.err(),
            all.check("", "boxes").await.err(),
            all.plan("").await.err(),
            all.describe("").await.err(),
            all.effective("").await.err(),
            all.assignment("").await.err(),
            all.create("").await.err(),
            all.assign("", "basic", By::hand("ann")).await.err(),
            all.unassign("").await.err(),
            all.override_("", Overrides::default()).await.err(),
            all.clear_override("").await.err(),
            all.clear_override_keys("", &["sso"]).await.err(),
            all.set_add_ons("", &[]).await.err(),
        ];
        for error in refused {
            assert!(matches!(error, Some(Error::Subject(_))), "{error:?}");
        }
    }
}

#[tokio::test]
async fn ent_16_a_stored_tier_that_is_gone_fails_every_read() {
    for world in World::each().await {
        world.assign("acme", "growth").await;
        let one = Catalog::builder()
            .default_tier("basic")
            .limits(["boxes"])
            .tier(TierGrants::new("basic").feature("sso"));
        let driver = world.place.open().await;
        let later = Entitlements::builder(driver, one.build().unwrap());
        let later = later.usage(Arc::new(Meter::default())).build();
        let errors = [
            later.can("acme", "sso").await.unwrap_err(),
            later.limit("acme", "boxes").await.unwrap_err(),
            later.check("acme", "boxes").await.unwrap_err(),
            later.plan("acme").await.unwrap_err(),
            later.describe("acme").await.unwrap_err(),
        ];
        for error in errors {
            let said = error.to_string();
            assert!(
                said.contains("subject `acme`") && said.contains("tier `growth`"),
                "{said}"
            );
        }
        assert!(later.can("other", "sso").await.unwrap());
        later
            .assign("acme", "basic", By::hand("ann"))
            .await
            .unwrap();
        assert!(later.can("acme", "sso").await.unwrap());
    }
}

#[tokio::test]
async fn ent_41_configured_subjects_are_listed_newest_first() {
    for world in World::each().await {
        let all = &world.entitlements;
        for subject in ["a", "b", "c"] {
            world.assign(subject, "growth").await;
            world.hands.advance(1);
        }
        all.create("new").await.unwrap();
        let set = Overrides::default()
            .feature("labs", true)
            .feature("sso", true);
        all.override_("a", set).await.unwrap();
        world.hands.advance(1);
        all.clear_override_keys("a", &["sso"]).await.unwrap();
        all.set_add_ons("d", &["few"]).await.unwrap();
        let listed = all.subjects(None, None).await.unwrap();
        let short = |listed: &[entitlements::Configured]| -> Vec<(String, [bool; 3])> {
            let one = |found: &entitlements::Configured| {
                (
                    found.subject.clone(),
                    [found.assigned, found.overridden, found.add_ons],
                )
            };
            listed.iter().map(one).collect()
        };
        let expected = [
            ("a".into(), [true, true, false]),
            ("d".into(), [false, false, true]),
            ("c".into(), [true, false, false]),
            ("b".into(), [true, false, false]),
        ];
        assert_eq!(short(&listed), expected, "{}", world.place.name);
        assert_eq!(listed[0].configured_at.as_second(), 1_000_004);
        // Page by page, also where two were configured at one instant.
        let mut paged = all.subjects(None, Some(1)).await.unwrap();
        while let Some(last) = paged.last().cloned() {
            let after = entitlements::After {
                configured_at: last.configured_at,
                subject: &last.subject,
            };
            let page = all.subjects(Some(after), Some(1)).await.unwrap();
            if page.is_empty() {
                break;
            }
            paged.extend(page);
        }
        assert_eq!(paged, listed);
        // A hundred, unless more are asked for.
        for at in 0..110 {
            world.assign(&format!("s{at:03}"), "basic").await;
        }
        assert_eq!(all.subjects(None, None).await.unwrap().len(), 100);
        assert_eq!(all.subjects(None, Some(500)).await.unwrap().len(), 114);
    }
}

#[tokio::test]
async fn ent_42_setup_can_be_repeated() {
    for world in World::each().await {
        world.assign("acme", "growth").await;
        world.entitlements.setup().await.unwrap();
        assert!(world.another().await.can("acme", "sso").await.unwrap());
    }
}

#[tokio::test]
async fn kum_32_33_34_a_grant_shows_at_once_where_the_old_tier_was_warm() {
    for world in World::each().await {
        world.assign("acme", "basic").await;
        // Built before the grant, and warm with the old tier.
        let all = world.entitlements.clone();
        assert!(!all.can("acme", "sso").await.unwrap());
        world.assign("acme", "growth").await;
        assert!(all.can("acme", "sso").await.unwrap());
        let set = Overrides::default().feature("sso", false);
        world.entitlements.override_("acme", set).await.unwrap();
        assert!(!all.can("acme", "sso").await.unwrap());
        world.entitlements.clear_override("acme").await.unwrap();
        assert!(all.can("acme", "sso").await.unwrap());
        world.entitlements.unassign("acme").await.unwrap();
        assert!(!all.can("acme", "sso").await.unwrap());
    }
}

#[tokio::test]
async fn kum_41_42_a_trial_begins_when_the_subject_comes_to_be() {
    for world in World::each().await {
        let trial = sold("basic").trial("growth", 24).build().unwrap();
        let driver = world.place.open().await;
        let all = Entitlements::builder(driver, trial)
            .clock(world.hands.clock())
            .build();
        let can = async |feature| all.can("acme", feature).await.unwrap();
        assert!(!can("sso").await);
        assert!(all.create("acme").await.unwrap());
        assert!(can("sso").await, "{}", world.place.name);
        world.hands.advance(86_399);
        assert!(!all.create("acme").await.unwrap());
        all.assign("acme", "basic", By::hand("ann")).await.unwrap();
        assert!(can("sso").await, "{}", world.place.name);
        assert_eq!(all.limit("acme", "boxes").await.unwrap(), Limit::Count(1));
        world.hands.advance(1);
        assert!(!can("sso").await);
        // The first change of any kind is a beginning too.
        all.override_("other", Overrides::default().feature("labs", true))
            .await
            .unwrap();
        assert!(all.can("other", "sso").await.unwrap());
    }
}
