//! The order of evaluation, rule by rule, and against a slow twin that follows its words.

use std::collections::{BTreeMap, BTreeSet};

use manifest::{AddOn, FeatureRule};
use proptest::prelude::*;

use super::*;
use crate::catalog::TierGrants;
use crate::stored::Overrides;

fn second(at: i64) -> Timestamp {
    Timestamp::from_second(at).unwrap()
}

fn rule(requires: &[&str], premium_only: bool) -> FeatureRule {
    FeatureRule {
        requires: requires.iter().map(|name| Arc::from(*name)).collect(),
        premium_only,
    }
}

fn catalog() -> Catalog {
    Catalog::builder()
        .features(["export", "sso", "assist", "beta", "labs"])
        .limits(["boxes", "seats", "calls"])
        .default_tier("basic")
        .tier(
            TierGrants::new("basic")
                .feature("export")
                .limit("boxes", Limit::Count(1)),
        )
        .tier(
            TierGrants::new("growth")
                .feature("sso")
                .feature("assist")
                .limit("boxes", Limit::Count(5)),
        )
        .tier(
            TierGrants::new("top")
                .feature("beta")
                .limit("seats", Limit::Unlimited),
        )
        .rule("assist", rule(&["export"], false))
        .rule("beta", rule(&["sso"], true))
        .add_on(bundle("few", "labs", 10))
        .add_on(bundle("many", "sso", 50))
        .trial("growth", 24)
        .build()
        .unwrap()
}

fn bundle(name: &str, feature: &str, boxes: u64) -> AddOn {
    AddOn {
        name: name.into(),
        features: vec![feature.into()],
        limits: IndexMap::from([("boxes".into(), Limit::Count(boxes))]),
    }
}

fn of(tier: &str) -> Stored {
    Stored {
        tier: Some(tier.into()),
        ..Stored::nothing_of("acme")
    }
}

fn settled(stored: &Stored, off: &[&str]) -> Effective {
    let off = off.iter().map(|name| (Arc::from(*name), false));
    resolve(&catalog(), stored, &Switches(off.collect())).unwrap()
}

fn can(effective: &Effective, feature: &str) -> bool {
    effective.can(feature, false, second(0)).unwrap()
}

#[test]
fn ent_10_kum_35_without_an_assignment_it_is_the_default_tier() {
    let effective = settled(&Stored::nothing_of("acme"), &[]);
    assert_eq!(&**effective.tier(), "basic");
    assert!(can(&effective, "export") && !can(&effective, "sso"));
}

#[test]
fn ent_16_kum_36_what_is_gone_from_the_catalog_fails_and_names_subject_and_tier() {
    let gone = resolve(&catalog(), &of("gold"), &Switches::default()).unwrap_err();
    let said = gone.to_string();
    assert!(
        said.contains("subject `acme`") && said.contains("unknown tier `gold`"),
        "{said}"
    );
    let mut bought = of("basic");
    bought.add_ons = vec!["fewer".into()];
    let said = resolve(&catalog(), &bought, &Switches::default())
        .unwrap_err()
        .to_string();
    assert!(
        said.contains("unknown add-on `fewer`") && said.contains("few, many"),
        "{said}"
    );
}

#[test]
fn ent_17_19_an_override_widens_and_narrows_and_leaves_the_rest() {
    let mut stored = of("growth");
    stored.overrides = Overrides::default()
        .feature("sso", false)
        .feature("labs", true)
        .limit("seats", Limit::Unlimited)
        .limit("boxes", Limit::Count(0));
    let effective = settled(&stored, &[]);
    assert!(!can(&effective, "sso") && can(&effective, "labs") && can(&effective, "assist"));
    assert_eq!(effective.limit("seats"), Ok(Limit::Unlimited));
    assert_eq!(effective.limit("boxes"), Ok(Limit::Count(0)));
    assert_eq!(effective.limit("calls"), Ok(Limit::Count(0)));
    // A key that is gone changes nothing.
    stored.overrides = Overrides::default()
        .feature("gone", true)
        .limit("lost", Limit::Unlimited);
    assert_eq!(
        settled(&stored, &[]).describe(false),
        settled(&of("growth"), &[]).describe(false)
    );
}

#[test]
fn kum_44_45_add_ons_bring_features_and_the_later_limit_wins() {
    let mut stored = of("growth");
    stored.add_ons = vec!["many".into(), "few".into()];
    let effective = settled(&stored, &[]);
    assert!(can(&effective, "labs") && can(&effective, "sso") && can(&effective, "export"));
    assert_eq!(effective.limit("boxes"), Ok(Limit::Count(10)));
    stored.add_ons.reverse();
    assert_eq!(settled(&stored, &[]).limit("boxes"), Ok(Limit::Count(50)));
    stored.overrides = Overrides::default()
        .feature("labs", false)
        .limit("boxes", Limit::Count(7));
    let effective = settled(&stored, &[]);
    assert!(!can(&effective, "labs"));
    assert_eq!(effective.limit("boxes"), Ok(Limit::Count(7)));
}

#[test]
fn kum_50_51_a_switch_takes_away_and_never_gives() {
    let mut stored = of("growth");
    stored.overrides = Overrides::default().feature("labs", true);
    let off = settled(&stored, &["sso", "labs"]);
    assert!(!can(&off, "sso") && !can(&off, "labs") && can(&off, "assist"));
    let on = Switches(BTreeMap::from([("sso".into(), true)]));
    let effective = resolve(&catalog(), &of("basic"), &on).unwrap();
    assert!(!can(&effective, "sso"));
}

#[test]
fn kum_53_a_feature_is_off_when_what_it_requires_is_off() {
    assert!(can(&settled(&of("growth"), &[]), "assist"));
    assert!(!can(&settled(&of("growth"), &["export"]), "assist"));
    let mut stored = of("growth");
    stored.overrides = Overrides::default()
        .feature("export", false)
        .feature("assist", true);
    assert!(!can(&settled(&stored, &[]), "assist"));
}

#[test]
fn premium_is_a_floor_and_only_some_answers_hang_on_it() {
    let effective = settled(&of("top"), &[]);
    assert_eq!(effective.can("beta", false, second(0)), Ok(false));
    assert_eq!(effective.can("beta", true, second(0)), Ok(true));
    assert_eq!(effective.needs_premium("beta"), Ok(true));
    assert_eq!(effective.needs_premium("sso"), Ok(false));
    assert!(effective.has_premium());
    // Off for another reason: nobody need be asked.
    assert_eq!(
        settled(&of("top"), &["sso"]).needs_premium("beta"),
        Ok(false)
    );
    assert!(!settled(&of("growth"), &[]).has_premium());
    assert_eq!(catalog().is_premium_only("beta"), Ok(true));
    assert_eq!(catalog().is_premium_only("sso"), Ok(false));
}

#[test]
fn kum_43_a_trial_gives_its_tiers_features_from_its_start_until_just_before_its_end() {
    let begun = Stored {
        created_at: Some(second(0)),
        ..of("basic")
    };
    let effective = settled(&begun, &[]);
    let at = |seconds| effective.can("sso", false, second(seconds)).unwrap();
    assert_eq!(
        [at(-1), at(0), at(86_399), at(86_400)],
        [false, true, true, false]
    );
    assert_eq!(effective.can("assist", false, second(1)), Ok(true));
    // Never limits, never what its tier has not, never in a description.
    assert_eq!(effective.limit("boxes"), Ok(Limit::Count(1)));
    assert_eq!(effective.can("beta", true, second(1)), Ok(false));
    assert!(!effective.describe(true).features.contains_key("sso"));
    assert_eq!(effective.trial_ends(second(1)), Some(second(86_400)));
    // A "no" that is not the tier's stays one.
    let mut denied = begun.clone();
    denied.overrides = Overrides::default().feature("sso", false);
    assert_eq!(
        settled(&denied, &[]).can("sso", false, second(1)),
        Ok(false)
    );
    assert_eq!(
        settled(&begun, &["sso"]).can("sso", false, second(1)),
        Ok(false)
    );
    assert_eq!(
        settled(&begun, &["export"]).can("assist", false, second(1)),
        Ok(false)
    );
    // Who has it all anyway tries nothing.
    let top = Stored {
        created_at: Some(second(0)),
        ..of("top")
    };
    assert_eq!(settled(&top, &[]).trial_ends(second(1)), None);
}

#[test]
fn ent_38_39_a_description_has_what_somebody_mentions() {
    let mut stored = of("growth");
    stored.overrides = Overrides::default()
        .feature("sso", false)
        .limit("calls", Limit::Count(0));
    let described = settled(&stored, &["export"]).describe(false);
    let json = serde_json::to_string(&described).unwrap();
    assert_eq!(
        json,
        r#"{"tier":"growth","features":{"export":false,"sso":false,"assist":false},"limits":{"boxes":5,"calls":0}}"#
    );
}

#[test]
fn ent_28_30_an_unknown_key_is_an_error() {
    let effective = settled(&of("top"), &[]);
    assert!(effective.can("boxes", false, second(0)).is_err());
    assert!(effective.needs_premium("ss0").is_err());
    assert!(effective.limit("sso").is_err());
}

/// The features and limits of an add-on.
type Bundle = (BTreeSet<usize>, BTreeMap<usize, Option<u64>>);

/// What a generated catalog and subject are made of. Numbers name features, limits and tiers.
#[derive(Debug, Clone)]
struct Case {
    tiers: Vec<(BTreeSet<usize>, BTreeMap<usize, u64>)>,
    add_ons: Vec<Bundle>,
    /// A feature requires features of lower numbers only.
    requires: Vec<(usize, usize)>,
    premium_only: BTreeSet<usize>,
    trial: Option<(usize, u32)>,
    tier: Option<usize>,
    bought: Vec<usize>,
    features: BTreeMap<usize, bool>,
    limits: BTreeMap<usize, Option<u64>>,
    switches: BTreeMap<usize, bool>,
    created: Option<i64>,
    now: i64,
}

const FEATURES: usize = 70;
const LIMITS: usize = 4;

fn f(at: usize) -> Arc<str> {
    format!("f{at}").into()
}

fn l(at: usize) -> Arc<str> {
    format!("l{at}").into()
}

fn t(at: usize) -> Arc<str> {
    format!("t{at}").into()
}

fn limit(count: Option<u64>) -> Limit {
    count.map_or(Limit::Unlimited, Limit::Count)
}

prop_compose! {
    fn case()(
        tiers in proptest::collection::vec(
            (
                proptest::collection::btree_set(0..FEATURES, 0..12),
                proptest::collection::btree_map(0..LIMITS, 0_u64..9, 0..3),
            ),
            1..4,
        ),
        add_ons in proptest::collection::vec(
            (
                proptest::collection::btree_set(0..FEATURES, 0..4),
                proptest::collection::btree_map(0..LIMITS, proptest::option::of(0_u64..9), 0..3),
            ),
            0..3,
        ),
        requires in proptest::collection::vec((1..FEATURES, 0..FEATURES), 0..30),
        premium_only in proptest::collection::btree_set(0..FEATURES, 0..20),
        trial in proptest::option::of((0_usize..3, 0_u32..3)),
        tier in proptest::option::of(0_usize..3),
        bought in proptest::collection::vec(0_usize..3, 0..3),
        features in proptest::collection::btree_map(0..FEATURES + 3, any::<bool>(), 0..12),
        limits in proptest::collection::btree_map(0..LIMITS + 1, proptest::option::of(0_u64..9), 0..3),
        switches in proptest::collection::btree_map(0..FEATURES + 3, any::<bool>(), 0..12),
        created in proptest::option::of(-7200_i64..7200),
        now in -7200_i64..14400,
    ) -> Case {
        let requires = requires.into_iter().map(|(from, to)| (from, to % from)).collect();
        let tier = tier.map(|tier| tier % tiers.len());
        let trial = trial.map(|(tier, hours)| (tier % tiers.len(), hours));
        let bought = bought.into_iter().filter(|at| *at < add_ons.len()).collect();
        Case { tiers, add_ons, requires, premium_only, trial, tier, bought, features, limits, switches, created, now }
    }
}

impl Case {
    fn catalog(&self) -> Catalog {
        let mut builder = Catalog::builder()
            .features((0..FEATURES).map(f))
            .limits((0..LIMITS).map(l))
            .default_tier(t(0));
        for (at, _) in self.tiers.iter().enumerate() {
            let mut grants = TierGrants::new(t(at));
            for feature in self.tier_features(at) {
                grants = grants.feature(f(feature));
            }
            for (name, most) in self.tier_limits(at) {
                grants = grants.limit(l(name), Limit::Count(most));
            }
            builder = builder.tier(grants);
        }
        for at in 0..FEATURES {
            let requires = self.requires.iter().filter(|(from, _)| *from == at);
            let requires: Vec<Arc<str>> = requires.map(|(_, to)| f(*to)).collect();
            let premium_only = self.premium_only.contains(&at);
            builder = builder.rule(
                f(at),
                FeatureRule {
                    requires,
                    premium_only,
                },
            );
        }
        for (at, (features, limits)) in self.add_ons.iter().enumerate() {
            builder = builder.add_on(AddOn {
                name: format!("a{at}").into(),
                features: features.iter().map(|at| f(*at)).collect(),
                limits: limits
                    .iter()
                    .map(|(at, count)| (l(*at), limit(*count)))
                    .collect(),
            });
        }
        if let Some((tier, hours)) = self.trial {
            builder = builder.trial(t(tier), hours);
        }
        builder.build().unwrap()
    }

    fn stored(&self) -> Stored {
        Stored {
            subject: "acme".into(),
            tier: self.tier.map(t),
            add_ons: self
                .bought
                .iter()
                .map(|at| format!("a{at}").into())
                .collect(),
            overrides: Overrides {
                features: self.features.iter().map(|(at, on)| (f(*at), *on)).collect(),
                limits: self
                    .limits
                    .iter()
                    .map(|(at, count)| (l(*at), limit(*count)))
                    .collect(),
            },
            created_at: self.created.map(second),
        }
    }

    fn tier_features(&self, tier: usize) -> BTreeSet<usize> {
        self.tiers[..=tier]
            .iter()
            .flat_map(|(features, _)| features)
            .copied()
            .collect()
    }

    fn tier_limits(&self, tier: usize) -> BTreeMap<usize, u64> {
        let mut all = BTreeMap::new();
        for (name, count) in self.tiers[..=tier].iter().flat_map(|(_, limits)| limits) {
            let most = all.entry(*name).or_insert(0);
            *most = (*most).max(*count);
        }
        all
    }

    /// Whether a feature is on, by the words of the rules, with or without the trial.
    fn on(&self, feature: usize, premium: bool, trial: Option<usize>) -> bool {
        let mut on = self
            .tier_features(self.tier.unwrap_or(0))
            .contains(&feature);
        on |= trial.is_some_and(|tier| self.tier_features(tier).contains(&feature));
        on |= self
            .bought
            .iter()
            .any(|at| self.add_ons[*at].0.contains(&feature));
        on = self.features.get(&feature).copied().unwrap_or(on);
        on &= self.switches.get(&feature) != Some(&false);
        on &= premium || !self.premium_only.contains(&feature);
        let mut required = self.requires.iter().filter(|(from, _)| *from == feature);
        on && required.all(|(_, to)| self.on(*to, premium, trial))
    }

    fn can(&self, feature: usize, premium: bool) -> bool {
        if self.on(feature, premium, None) {
            return true;
        }
        let (Some((tier, hours)), Some(created)) = (self.trial, self.created) else {
            return false;
        };
        let runs = (created..created + i64::from(hours) * 3600).contains(&self.now);
        let tried = self.tier_features(tier).contains(&feature);
        runs && tried && self.on(feature, premium, Some(tier))
    }

    fn limit(&self, at: usize) -> Limit {
        let mut add_ons = self.bought.iter().rev();
        let bought = add_ons.find_map(|add_on| self.add_ons[*add_on].1.get(&at));
        let given = self.limits.get(&at).or(bought).map(|count| limit(*count));
        let granted = self.tier_limits(self.tier.unwrap_or(0)).get(&at).copied();
        given.unwrap_or(Limit::Count(granted.unwrap_or(0)))
    }
}

proptest! {
    #[test]
    fn kum_30_the_fast_answer_is_the_slow_one(case in case()) {
        let switches = case.switches.iter().map(|(at, on)| (f(*at), *on)).collect();
        let effective = resolve(&case.catalog(), &case.stored(), &Switches(switches)).unwrap();
        let (now, mut hangs) = (second(case.now), false);
        for at in 0..FEATURES {
            for premium in [false, true] {
                prop_assert_eq!(
                    effective.can(&f(at), premium, now).unwrap(),
                    case.can(at, premium),
                    "feature {} premium {}", at, premium
                );
            }
            let differ = case.can(at, false) != case.can(at, true);
            hangs |= differ;
            prop_assert!(effective.needs_premium(&f(at)).unwrap() || !differ);
        }
        prop_assert!(effective.has_premium() || !hangs);
        for at in 0..LIMITS {
            prop_assert_eq!(effective.limit(&l(at)).unwrap(), case.limit(at));
        }
        let described = effective.describe(true);
        for (name, on) in &described.features {
            let at: usize = name[1..].parse().unwrap();
            prop_assert_eq!(*on, case.on(at, true, None));
        }
        let on = (0..FEATURES).filter(|at| case.on(*at, true, None));
        prop_assert!(on.into_iter().all(|at| described.features.contains_key(&f(at))));
    }
}
