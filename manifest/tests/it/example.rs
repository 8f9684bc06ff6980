//! The example manifest has the shape of the ancestor system, and keeps its promises.

use manifest::{Limit, Loaded, Manifest, PackageName, Root, TierSets};

fn commerce() -> TierSets {
    let text = include_str!("../../examples/commerce.toml");
    let Loaded {
        tiers, warnings, ..
    } = Manifest::load(text, "commerce.toml").unwrap();
    assert!(warnings.is_empty(), "{warnings}");
    tiers
}

#[test]
fn pot_1_there_are_three_tiers_in_order() {
    let tiers = commerce();
    let names: Vec<&str> = tiers.tiers().map(|tier| tier.name().as_str()).collect();
    assert_eq!(names, ["basic", "growth", "enterprise"]);
    assert_eq!(tiers.default_tier().name().as_str(), "basic");
    assert_eq!(tiers.scope(), "@acme");
}

#[test]
fn pot_4_an_upgrade_never_removes_a_package() {
    let tiers = commerce();
    let sets: Vec<_> = tiers.tiers().map(|tier| tier.packages().clone()).collect();
    for pair in sets.windows(2) {
        assert!(pair[1].is_superset(&pair[0]) && pair[1].len() > pair[0].len());
    }
}

#[test]
fn pot_5_and_72_every_tier_has_the_whole_foundation() {
    let tiers = commerce();
    let foundation = [
        "auth-core",
        "behaviors",
        "box-core",
        "commerce",
        "domain",
        "media",
        "onboarding",
        "page",
        "sequelize-adapters",
        "shared",
        "template",
        "tenant-core",
    ];
    for tier in tiers.tiers() {
        for base in foundation {
            assert!(tier.packages().contains(&format!("@acme/{base}")), "{base}");
        }
    }
    assert_eq!(tiers.foundation().count(), foundation.len());
}

#[test]
fn pot_7_a_tier_set_is_closure_and_console_packages_sorted_and_unique() {
    let tiers = commerce();
    for tier in tiers.tiers() {
        let set = tier.packages();
        for package in tiers
            .packages()
            .filter(|package| set.contains(package.name().as_str()))
        {
            for brought in package.requires().chain(package.console()) {
                assert!(set.contains(brought.as_str()), "{brought} of {package:?}");
            }
        }
        assert!(set.iter().collect::<Vec<_>>().is_sorted_by(|a, b| a < b));
    }
}

#[test]
fn pot_8_a_console_package_comes_with_an_engine_that_no_tier_names() {
    let tiers = commerce();
    let basic = tiers.tier("basic").unwrap();
    let chain = tiers.reasons(basic).why("@acme/pages-bookings").unwrap();
    assert_eq!(chain.links.last().unwrap().0, manifest::Edge::Console);
    assert!(
        tiers
            .leaves(basic)
            .all(|leaf| leaf.as_str() != "@acme/booking")
    );
    assert!(tiers.is_package_allowed("basic", "@acme/pages-bookings"));
}

#[test]
fn pot_12_membership_is_by_tier_and_exact_name() {
    let tiers = commerce();
    assert!(tiers.is_package_allowed("basic", "@acme/order"));
    assert!(!tiers.is_package_allowed("basic", "@acme/loyalty"));
    assert!(tiers.is_package_allowed("growth", "@acme/loyalty"));
    assert!(!tiers.is_package_allowed("basic", "@acme/orde"));
    assert!(!tiers.is_package_allowed("gold", "@acme/order"));
    assert_eq!(
        tiers
            .lowest_tier_with("@acme/loyalty")
            .unwrap()
            .name()
            .as_str(),
        "growth"
    );
    assert!(tiers.lowest_tier_with("@acme/nothing").is_none());
}

#[test]
fn pot_78_five_engines_come_into_basic_by_what_requires_them() {
    let tiers = commerce();
    let basic = tiers.tier("basic").unwrap();
    for base in ["analytics", "invoice", "review", "booking", "calendar-sync"] {
        let name = format!("@acme/{base}");
        let chain = tiers.reasons(basic).why(&name).unwrap();
        assert!(
            matches!(chain.root, Root::Leaf(tier) if tier.as_str() == "basic"),
            "{chain:?}"
        );
        assert!(!chain.links.is_empty(), "{name} is a leaf");
    }
}

#[test]
fn t_13_an_add_on_brings_what_it_requires_and_its_console_packages() {
    let tiers = commerce();
    let basic = tiers.tier("basic").unwrap();
    let add_on = [PackageName::parse("@acme/blog").unwrap()];
    let set = tiers.with_add_ons(basic, &add_on).unwrap();
    let added: Vec<&str> = set
        .iter()
        .map(PackageName::as_str)
        .filter(|name| !basic.packages().contains(name))
        .collect();
    assert_eq!(
        added,
        ["@acme/blog", "@acme/content", "@acme/pages-content"]
    );
    assert!(set.is_superset(basic.packages()));

    let nothing_new = [PackageName::parse("@acme/order").unwrap()];
    assert_eq!(
        tiers.with_add_ons(basic, &nothing_new).unwrap().digest(),
        basic.packages().digest()
    );
    let unknown = [PackageName::parse("@acme/unheard-of").unwrap()];
    assert_eq!(tiers.with_add_ons(basic, &unknown).unwrap_err().0, unknown);
}

#[test]
fn features_and_limits_grow_with_the_tiers() {
    let tiers = commerce();
    let boxes: Vec<Limit> = tiers
        .tiers()
        .map(|tier| tier.limit("boxes").unwrap())
        .collect();
    assert_eq!(boxes, [Limit::Count(1), Limit::Count(5), Limit::Unlimited]);
    assert!(tiers.tier("growth").unwrap().has_feature("export_csv"));
    assert!(!tiers.tier("growth").unwrap().has_feature("sso"));
    assert_eq!(tiers.default_tier().limit("no-such-limit"), None);
}

#[test]
fn the_example_is_of_the_size_of_the_real_thing() {
    let tiers = commerce();
    let sizes: Vec<usize> = tiers.tiers().map(|tier| tier.packages().len()).collect();
    assert_eq!((tiers.packages().len(), sizes), (68, vec![39, 56, 68]));
}
