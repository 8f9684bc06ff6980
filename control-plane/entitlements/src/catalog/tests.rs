//! What a catalog says, and which ones are refused.

use proptest::prelude::*;

use super::*;
use manifest::FeatureRule;

const MANIFEST: &str = r#"
    [manifest]
    scope = "@acme"
    default-tier = "basic"
    tiers = ["basic", "growth"]
    features = ["sso", "export_csv"]
    limits = ["boxes", "seats", "api_calls"]

    [foundation]
    leaves = ["@acme/box-core"]

    [tier.basic]
    leaves = []
    features = { export_csv = true }
    limits = { boxes = 1 }

    [tier.growth]
    leaves = []
    features = { export_csv = true, sso = true }
    limits = { boxes = 5, seats = "unlimited" }

    [package."@acme/box-core"]
"#;

fn from_manifest() -> Catalog {
    let loaded = manifest::Manifest::load(MANIFEST, "tiers.toml").unwrap();
    Catalog::from_manifest(&loaded.tiers).unwrap()
}

fn in_code() -> Builder {
    Catalog::builder()
        .features(["sso", "export_csv"])
        .limits(["boxes", "seats", "api_calls"])
        .default_tier("basic")
        .tier(
            TierGrants::new("basic")
                .feature("export_csv")
                .limit("boxes", Limit::Count(1)),
        )
        .tier(
            TierGrants::new("growth")
                .feature("sso")
                .limit("boxes", Limit::Count(5))
                .limit("seats", Limit::Unlimited),
        )
}

fn requires(names: &[&str]) -> FeatureRule {
    FeatureRule {
        requires: names.iter().map(|name| Arc::from(*name)).collect(),
        premium_only: false,
    }
}

fn add_on(name: &str, feature: &str) -> manifest::AddOn {
    manifest::AddOn {
        name: name.into(),
        features: vec![feature.into()],
        limits: IndexMap::new(),
    }
}

fn refusal(builder: Builder) -> String {
    builder.build().unwrap_err().to_string()
}

#[test]
fn ent_27_28_a_feature_is_granted_denied_or_unknown() {
    for catalog in [from_manifest(), in_code().build().unwrap()] {
        assert_eq!(catalog.can("growth", "sso"), Ok(true));
        assert_eq!(catalog.can("basic", "sso"), Ok(false));
        assert_eq!(catalog.can("growth", "export_csv"), Ok(true));
        let error = catalog.can("basic", "ssо").unwrap_err().to_string();
        assert!(
            error.starts_with("unknown feature") && error.contains("export_csv"),
            "{error}"
        );
    }
}

#[test]
fn ent_29_30_a_limit_is_a_number_unlimited_zero_or_unknown() {
    for catalog in [from_manifest(), in_code().build().unwrap()] {
        assert_eq!(catalog.limit("growth", "boxes"), Ok(Limit::Count(5)));
        assert_eq!(catalog.limit("growth", "seats"), Ok(Limit::Unlimited));
        assert_eq!(catalog.limit("growth", "api_calls"), Ok(Limit::Count(0)));
        let kind = |error: UnknownName| error.kind;
        assert_eq!(
            catalog.limit("growth", "boxen").map_err(kind),
            Err(Kind::Limit)
        );
        assert_eq!(
            catalog.limit("gold", "boxes").map_err(kind),
            Err(Kind::Tier)
        );
    }
}

#[test]
fn ent_2_kum_40_a_catalog_has_tiers_a_default_one_and_the_one_of_its_trial() {
    let empty = Catalog::builder().default_tier("basic");
    assert_eq!(
        refusal(empty),
        "the catalog has no tier; declare at least one"
    );
    let none = Catalog::builder()
        .tier(TierGrants::new("a"))
        .tier(TierGrants::new("b"));
    assert_eq!(
        refusal(none),
        "the catalog has no default tier; choose one of a, b"
    );
    assert_eq!(
        refusal(in_code().default_tier("gold")),
        "the default tier: unknown tier `gold`; the tiers are basic, growth"
    );
    assert_eq!(
        refusal(in_code().trial("growht", 24)),
        "the trial: unknown tier `growht`; the tiers are basic, growth; did you mean `growth`?"
    );
}

#[test]
fn ent_6_kum_46_every_name_that_is_used_is_declared() {
    let tier = |name| in_code().tier(TierGrants::new("top").feature(name));
    assert_eq!(
        refusal(tier("audit")),
        "tier `top`: unknown feature `audit`; the features are sso, export_csv"
    );
    let limit = in_code().tier(TierGrants::new("top").limit("seat", Limit::Unlimited));
    assert!(refusal(limit).starts_with("tier `top`: unknown limit `seat`; "));
    assert!(refusal(in_code().add_on(add_on("more", "x"))).starts_with("add-on `more`: "));
    assert!(refusal(in_code().rule("x", requires(&[]))).starts_with("the rule of feature `x`: "));
    assert!(refusal(in_code().rule("sso", requires(&["x"]))).contains("unknown feature `x`"));
    // Each universe by itself: here limits are declared, and features are those that are used.
    let half = Catalog::builder()
        .limits(["seats"])
        .default_tier("a")
        .tier(TierGrants::new("a").feature("sso"));
    assert_eq!(half.clone().build().unwrap().can("a", "sso"), Ok(true));
    assert!(refusal(half.tier(TierGrants::new("b").limit("x", Limit::Unlimited))).contains("`x`"));
}

#[test]
fn ent_7_8_9_the_universe_is_what_is_declared_or_else_what_is_used() {
    let catalog = in_code().build().unwrap();
    assert_eq!(catalog.limit("growth", "api_calls"), Ok(Limit::Count(0)));
    let used = Catalog::builder()
        .default_tier("a")
        .tier(TierGrants::new("a").feature("sso"))
        .tier(TierGrants::new("b").limit("seats", Limit::Count(1)))
        .add_on(add_on("more", "chat"))
        .build()
        .unwrap();
    let names: Vec<_> = used.features().map(AsRef::as_ref).collect();
    assert_eq!(names, ["sso", "chat"]);
    assert_eq!(used.limits().len(), 1);
}

#[test]
fn ent_40_a_catalog_lists_what_it_has() {
    let catalog = in_code().add_on(add_on("more", "sso")).build().unwrap();
    assert_eq!(&**catalog.default_tier(), "basic");
    let tiers: Vec<_> = catalog.tiers().map(AsRef::as_ref).collect();
    assert_eq!(tiers, ["basic", "growth"]);
    let add_ons: Vec<_> = catalog.add_ons().map(AsRef::as_ref).collect();
    assert_eq!(add_ons, ["more"]);
}

#[test]
fn a_name_means_one_thing() {
    assert_eq!(
        refusal(in_code().features(["sso"])),
        "feature `sso` is declared twice; leave one out"
    );
    assert!(refusal(in_code().tier(TierGrants::new("basic"))).contains("declared twice"));
    let twice = in_code()
        .add_on(add_on("a", "sso"))
        .add_on(add_on("a", "sso"));
    assert!(refusal(twice).contains("declared twice"));
    let ruled = in_code()
        .rule("sso", requires(&[]))
        .rule("sso", requires(&[]));
    assert!(refusal(ruled).contains("declared twice"));
    assert_eq!(
        refusal(in_code().limits(["sso"])),
        "`sso` is both a feature and a limit; rename one of them"
    );
    for bad in ["", "1st", "a b", "ssо", "a\0"] {
        assert!(
            refusal(in_code().features([bad])).contains("cannot be the name"),
            "{bad:?}"
        );
    }
    assert!(refusal(in_code().tier(TierGrants::new("Gold"))).contains("cannot be the name"));
}

#[test]
fn a_higher_tier_never_grants_less() {
    let lower = in_code().tier(TierGrants::new("top").limit("boxes", Limit::Count(4)));
    assert_eq!(
        refusal(lower),
        "tier `top` lowers limit `boxes` from 5 to 4; a higher tier grants at least as much"
    );
    let bounded = in_code().tier(TierGrants::new("top").limit("seats", Limit::Count(u64::MAX)));
    assert!(refusal(bounded).contains("from unlimited to"));
    let same = in_code().tier(TierGrants::new("top").limit("boxes", Limit::Count(5)));
    let catalog = same.build().unwrap();
    assert_eq!(catalog.can("top", "sso"), Ok(true));
    assert_eq!(catalog.limit("top", "seats"), Ok(Limit::Unlimited));
}

#[test]
fn kum_53_features_do_not_require_each_other() {
    let builder = in_code()
        .features(["a", "b", "c"])
        .rule("sso", requires(&["export_csv", "c"]))
        .rule("a", requires(&["b"]))
        .rule("b", requires(&["c"]));
    assert!(builder.clone().build().is_ok());
    assert_eq!(
        refusal(builder.rule("c", requires(&["sso", "a"]))),
        "features require each other: sso requires c requires sso; take one requirement away"
    );
    assert!(refusal(in_code().rule("sso", requires(&["sso"]))).contains("sso requires sso"));
}

proptest! {
    /// Any names at all: an answer or a refusal, and whatever is built can be asked.
    #[test]
    fn no_names_make_it_panic(
        names in proptest::collection::vec(any::<String>(), 0..6),
        rules in proptest::collection::vec((0_usize..6, 0_usize..6), 0..6),
        asked: String,
    ) {
        let name = |at: usize| names.get(at).cloned().unwrap_or_else(|| format!("f{at}"));
        let mut builder = Catalog::builder()
            .features((0..6).map(name))
            .tier(TierGrants::new(name(0)))
            .default_tier(name(1));
        for (feature, required) in rules {
            builder = builder.rule(name(feature), requires(&[&name(required)]));
        }
        if let Err(error) = builder.clone().build() {
            prop_assert!(!error.to_string().is_empty());
        }
        let catalog = in_code().build().unwrap();
        prop_assert!(catalog.can(&asked, "sso").is_err());
        prop_assert!(catalog.can("basic", &asked).is_err());
        prop_assert!(!catalog.limit("basic", &asked).unwrap_err().to_string().is_empty());
    }
}
