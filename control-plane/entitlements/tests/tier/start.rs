//! What stops a service from starting: names that nobody declared, or of the other kind.

use std::future::ready;

use entitlements::tier::{FeatureAccess, KeyError, Keys, TierInfo, TierLayer};

use crate::{growth, guards, keys, owner, resolver, strangers};

#[test]
fn a_guard_names_a_key_that_is_declared() {
    let guards = guards();
    // The third letter is Cyrillic.
    let error = guards.require_feature("ss\u{43e}").unwrap_err();
    insta::assert_snapshot!(error, @r"unknown feature or limit `ssо` (not plain ASCII: `ss\u{43e}`); the features are sso, audit, export, the limits are seats, boxes, api_calls, rare; did you mean `sso`?");
    let error = guards.require_feature("SSO").unwrap_err();
    insta::assert_snapshot!(error, @"unknown feature or limit `SSO`; the features are sso, audit, export, the limits are seats, boxes, api_calls, rare");
    let error = guards.require_limit("seat", |_| ready(Ok(0))).unwrap_err();
    assert!(matches!(error, KeyError::Unknown { key, .. } if key == "seat"));
}

#[test]
fn a_guard_by_limit_names_no_feature() {
    let error = guards().require_limit("sso", |_| ready(Ok(0))).unwrap_err();
    insta::assert_snapshot!(error, @"`sso` is a feature, and a limit is needed; the limits are seats, boxes, api_calls, rare");
}

#[test]
fn the_default_tier_is_checked_with_the_guards() {
    let layer = |key: &str, access| {
        let default = TierInfo::new("strangers", [(key, access)]);
        let layer = TierLayer::new(resolver(growth()), owner).with_default(default);
        layer.guards(keys()).map(drop)
    };
    assert_eq!(layer("sso", FeatureAccess::Toggle(true)), Ok(()));
    assert_eq!(layer("seats", FeatureAccess::Unlimited), Ok(()));
    let error = layer("seats", FeatureAccess::Toggle(true)).unwrap_err();
    insta::assert_snapshot!(error, @"the tier `strangers` switches the limit `seats` on or off; give it a number");
    let error = layer("sso", FeatureAccess::Limit(1)).unwrap_err();
    insta::assert_snapshot!(error, @"the tier `strangers` gives the feature `sso` a number; switch it on or off");
    assert!(matches!(
        layer("sos", FeatureAccess::Toggle(true)),
        Err(KeyError::Unknown { .. })
    ));
}

#[test]
fn whoever_has_no_limits_is_told_so() {
    let layer = TierLayer::new(resolver(strangers()), owner).with_default(strangers());
    let guards = layer.guards(Keys::new(["export"], [])).unwrap();
    let error = guards
        .require_limit("export", |_| ready(Ok(0)))
        .unwrap_err();
    insta::assert_snapshot!(error, @"`export` is a feature, and a limit is needed; the limits are none");
}
