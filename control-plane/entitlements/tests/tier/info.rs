//! What a tier says about a key.

use std::sync::Arc;

use axum::http::StatusCode;
use entitlements::tier::{FeatureAccess, TierError, TierInfo};
use entitlements::{Catalog, FeatureRule, Limit, Overrides, Stored, Switches, TierGrants, resolve};
use jiff::Timestamp;
use proptest::prelude::*;

use crate::growth;

fn refused(result: Result<impl std::fmt::Debug, TierError>) -> (StatusCode, &'static str) {
    let error = result.unwrap_err();
    (error.status(), error.code())
}

#[test]
fn modo_1_2_a_key_is_a_feature_or_a_limit_and_is_serialized_by_its_kind() {
    let json = serde_json::to_value(growth()).unwrap();
    insta::assert_json_snapshot!(growth(), @r#"
    {
      "name": "growth",
      "features": {
        "api_calls": "unlimited",
        "audit": {
          "toggle": false
        },
        "boxes": {
          "limit": 0
        },
        "seats": {
          "limit": 5
        },
        "sso": {
          "toggle": true
        }
      }
    }
    "#);
    assert_eq!(serde_json::from_value::<TierInfo>(json).unwrap(), growth());
}

#[test]
fn modo_3_a_feature_is_had_when_on_or_a_limit_above_0() {
    let had = ["sso", "audit", "seats", "boxes", "api_calls", "nothing"];
    let had = had.map(|key| growth().has_feature(key));
    assert_eq!(had, [true, false, true, false, true, false]);
}

#[test]
fn modo_4_only_a_feature_that_is_on_is_enabled() {
    let enabled = ["sso", "audit", "seats", "boxes", "api_calls", "nothing"];
    let enabled = enabled.map(|key| growth().is_enabled(key));
    assert_eq!(enabled, [true, false, false, false, false, false]);
}

#[test]
fn modo_5_only_a_limit_has_a_ceiling() {
    assert_eq!(growth().limit("seats"), Some(Limit::Count(5)));
    assert_eq!(growth().limit("boxes"), Some(Limit::Count(0)));
    assert_eq!(growth().limit("api_calls"), Some(Limit::Unlimited));
    assert_eq!(growth().limit("sso"), None);
    assert_eq!(growth().limit("nothing"), None);
}

#[test]
fn modo_6_a_ceiling_of_a_feature_is_a_fault_and_of_nothing_a_refusal() {
    let growth = growth();
    assert_eq!(growth.limit_ceiling("seats").unwrap(), Limit::Count(5));
    assert_eq!(growth.limit_ceiling("boxes").unwrap(), Limit::Count(0));
    assert_eq!(
        refused(growth.limit_ceiling("sso")),
        (StatusCode::INTERNAL_SERVER_ERROR, "internal_error")
    );
    assert_eq!(
        refused(growth.limit_ceiling("nothing")),
        (StatusCode::FORBIDDEN, "feature_not_entitled")
    );
}

#[test]
fn modo_7_8_one_more_fits_below_the_ceiling_alone() {
    let growth = growth();
    growth.check_limit("seats", 4).unwrap();
    growth.check_limit("api_calls", u64::MAX).unwrap();
    for used in [5, 6, u64::MAX] {
        let refused = refused(growth.check_limit("seats", used));
        assert_eq!(refused, (StatusCode::FORBIDDEN, "limit_exceeded"));
    }
    for key in ["boxes", "nothing"] {
        let refused = refused(growth.check_limit(key, 0));
        assert_eq!(refused, (StatusCode::FORBIDDEN, "feature_not_entitled"));
    }
    let refused = refused(growth.check_limit("sso", 0));
    assert_eq!(refused.0, StatusCode::INTERNAL_SERVER_ERROR);
}

fn access() -> impl Strategy<Value = Option<FeatureAccess>> {
    prop_oneof![
        Just(None),
        any::<bool>().prop_map(|on| Some(FeatureAccess::Toggle(on))),
        (0..4_u64).prop_map(|count| Some(FeatureAccess::Limit(count))),
        any::<u64>().prop_map(|count| Some(FeatureAccess::Limit(count))),
        Just(Some(FeatureAccess::Unlimited)),
    ]
}

proptest! {
    #[test]
    fn modo_3_to_8_all_questions_agree(access in access(), used in prop_oneof![0..4_u64, any::<u64>()]) {
        let info = TierInfo::new("tier", access.map(|access| ("key", access)));
        let fits = match access {
            Some(FeatureAccess::Limit(ceiling)) => used < ceiling,
            Some(FeatureAccess::Unlimited) => true,
            Some(FeatureAccess::Toggle(_)) | None => false,
        };
        prop_assert_eq!(info.check_limit("key", used).is_ok(), fits);
        prop_assert_eq!(info.limit("key").is_some(), info.limit_ceiling("key").is_ok());
        let something = info.is_enabled("key") || info.check_limit("key", 0).is_ok();
        prop_assert_eq!(info.has_feature("key"), something);
        let round: TierInfo = serde_json::from_str(&serde_json::to_string(&info).unwrap()).unwrap();
        prop_assert_eq!(round, info);
    }
}

#[test]
fn what_was_settled_for_a_subject_says_the_same_as_the_map_of_it() {
    let tiers = [
        TierGrants::new("basic").feature("export"),
        TierGrants::new("growth")
            .feature("export")
            .feature("sso")
            .feature("ai")
            .limit("seats", Limit::Count(5))
            .limit("api_calls", Limit::Unlimited),
    ];
    let premium_only = FeatureRule {
        premium_only: true,
        ..FeatureRule::default()
    };
    let [basic, growth] = tiers;
    let catalog = Catalog::builder()
        .features(["sso", "export", "ai"])
        .limits(["seats", "boxes", "api_calls"])
        .tier(basic)
        .tier(growth)
        .default_tier("basic")
        .rule("ai", premium_only)
        .build()
        .unwrap();
    let stored = Stored {
        tier: Some("growth".into()),
        overrides: Overrides::default().feature("export", false),
        ..Stored::nothing_of("acme")
    };
    let effective = resolve(&catalog, &stored, &Switches::default()).unwrap();
    let effective = Arc::new(effective);
    for premium in [false, true] {
        let info = TierInfo::settled(effective.clone(), premium, Timestamp::UNIX_EPOCH);
        let map = [
            ("sso", FeatureAccess::Toggle(true)),
            ("export", FeatureAccess::Toggle(false)),
            ("ai", FeatureAccess::Toggle(premium)),
            ("seats", FeatureAccess::Limit(5)),
            ("boxes", FeatureAccess::Limit(0)),
            ("api_calls", FeatureAccess::Unlimited),
        ];
        for (key, access) in map {
            assert_eq!(info.get(key), Some(access), "{key}");
        }
        let map = TierInfo::new("growth", map);
        assert_eq!(info, map);
        assert_eq!(info.get("nothing"), None);
        assert_eq!(
            serde_json::to_value(&info).unwrap(),
            serde_json::to_value(&map).unwrap()
        );
    }
    let strangers = TierInfo::of_default_tier(&catalog).unwrap();
    assert_eq!(strangers.name(), "basic");
    assert!(strangers.is_enabled("export") && !strangers.has_feature("sso"));
}
