//! What a manifest says beyond the tiers comes back as it was written, whatever it is.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use manifest::{
    AddOn, Aggregate, CapProfile, FeatureRule, Flag, FlagValue, Limit, Loaded, Manifest, Metric,
    Period, TierSets, Trial, tidy,
};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};

fn load(text: &str) -> TierSets {
    match Manifest::load(text, "tiers.toml") {
        Ok(Loaded { tiers, .. }) => tiers,
        Err(problems) => panic!("{problems}\n{text}"),
    }
}

/// Three tiers, with all features and limits there are.
const HEAD: &str = r#"[manifest]
scope = "@acme"
default-tier = "basic"
tiers = ["basic", "growth", "enterprise"]
features = ["ai_assist", "export_csv", "sso"]
limits = ["api_calls", "seats"]

[tier.basic]
features = { export_csv = true }
limits = { api_calls = 1000, seats = 5 }

[tier.growth]
features = { ai_assist = true }

[tier.enterprise]
"#;

const EVERYTHING: &str = r#"
[trial]
tier = "growth"
hours = 336

[add-on.more_seats]
features = ["sso"]
limits = { seats = 50, api_calls = "unlimited" }

[feature.ai_assist]
requires = ["export_csv"]
premium-only = true

[flag.new_checkout]
default = false
premium-only = true

[flag.theme]
default = "classic"
variants = ["classic", "modern"]

[metric.api_calls]
unit = "call"
aggregate = "sum"
period = "day"
cap = "burstable"

[metric.logins]
unit = "login"
aggregate = "unique"
"#;

#[test]
fn every_entry_comes_back_as_it_was_written() {
    let tiers = load(&format!("{HEAD}{EVERYTHING}"));

    let trial = tiers.trial().unwrap();
    assert_eq!((trial.tier.as_str(), trial.hours), ("growth", 336));

    let add_on = tiers.add_ons().next().unwrap();
    assert_eq!(&*add_on.name, "more_seats");
    assert_eq!(add_on.features, ["sso".into()]);
    assert_eq!(add_on.limits["seats"], Limit::Count(50));
    assert_eq!(add_on.limits["api_calls"], Limit::Unlimited);

    let (feature, rule) = tiers.feature_rules().next().unwrap();
    assert_eq!(feature, "ai_assist");
    assert_eq!(rule.requires, ["export_csv".into()]);
    assert!(rule.premium_only);

    let flags: Vec<_> = tiers.flags().collect();
    assert_eq!(&*flags[0].name, "new_checkout");
    assert_eq!(flags[0].default, FlagValue::Switch(false));
    assert!(flags[0].premium_only && flags[0].variants.is_empty());
    assert_eq!(&*flags[1].name, "theme");
    assert_eq!(flags[1].default, FlagValue::Variant("classic".into()));
    assert_eq!(flags[1].variants, ["classic".into(), "modern".into()]);
    assert!(!flags[1].premium_only);

    let metrics: Vec<_> = tiers.metrics().collect();
    assert_eq!(
        (&*metrics[0].name, &*metrics[0].unit),
        ("api_calls", "call")
    );
    assert_eq!(metrics[0].aggregate, Aggregate::Sum);
    assert_eq!(
        (metrics[0].period, metrics[0].cap),
        (Period::Day, CapProfile::Burstable)
    );
    assert_eq!(
        (&*metrics[1].name, metrics[1].aggregate),
        ("logins", Aggregate::Unique)
    );
    assert_eq!(
        (metrics[1].period, metrics[1].cap),
        (Period::Month, CapProfile::Hard)
    );
}

#[test]
fn a_manifest_that_says_nothing_of_it_has_none_of_it() {
    let tiers = load(HEAD);
    assert!(tiers.trial().is_none());
    assert_eq!(tiers.add_ons().len() + tiers.feature_rules().len(), 0);
    assert_eq!(tiers.flags().len() + tiers.metrics().len(), 0);
}

/// Computed before there was anything but tiers: what boxes and gates know must stay.
#[test]
fn a_manifest_that_says_nothing_of_it_keeps_its_digest() {
    assert_eq!(
        load(HEAD).digest().to_string(),
        "sha256:54818c5c6c4e041604042ba6cb37d362b3277baa8b8cd7bbf39a80b31e74eb50"
    );
    // An empty rule says nothing either.
    let empty = load(&format!("{HEAD}[feature.sso]\n"));
    assert_eq!(empty.digest(), load(HEAD).digest());
}

#[test]
fn the_digest_covers_every_value() {
    let digest = |entries: &str| load(&format!("{HEAD}{entries}")).digest();
    let edits = [
        ("tier = \"growth\"", "tier = \"enterprise\""),
        ("hours = 336", "hours = 337"),
        ("more_seats", "many_seats"),
        (
            "features = [\"sso\"]",
            "features = [\"sso\", \"ai_assist\"]",
        ),
        ("seats = 50", "seats = 51"),
        ("\"unlimited\"", "2000"),
        ("requires = [\"export_csv\"]", "requires = [\"sso\"]"),
        (
            "requires = [\"export_csv\"]\npremium-only = true",
            "requires = [\"export_csv\"]",
        ),
        ("default = false", "default = true"),
        ("default = false\npremium-only = true", "default = false"),
        ("default = \"classic\"", "default = \"modern\""),
        ("\"modern\"]", "\"modern\", \"dark\"]"),
        ("\"modern\"]", "\"modern\"]\npremium-only = true"),
        ("unit = \"call\"", "unit = \"request\""),
        ("aggregate = \"sum\"", "aggregate = \"max\""),
        ("period = \"day\"", "period = \"week\""),
        ("cap = \"burstable\"", "cap = \"egress\""),
        ("metric.logins", "metric.sessions"),
    ];
    let mut digests = BTreeSet::from([digest(""), digest(EVERYTHING)]);
    for (from, to) in edits {
        let edited = EVERYTHING.replacen(from, to, 1);
        assert_ne!(edited, EVERYTHING, "{from}");
        assert!(digests.insert(digest(&edited)), "{from} → {to}");
    }
}

#[test]
fn t_4_a_name_is_a_feature_or_a_limit_and_never_both() {
    let both = HEAD.replace("\"seats\"]", "\"seats\", \"sso\"]");
    let problems = Manifest::load(&both, "tiers.toml").unwrap_err();
    let problem = problems.iter().next().unwrap();
    assert_eq!(problem.rule().name, "one-meaning");
    assert_eq!(problem.message(), "limit `sso` is named like a feature");
}

#[test]
fn a_metric_may_be_named_as_its_limit_and_a_flag_may_not() {
    load(&format!(
        "{HEAD}[metric.seats]\nunit = \"seat\"\naggregate = \"max\"\n"
    ));
    let flag = format!("{HEAD}[flag.seats]\ndefault = true\n");
    assert!(Manifest::load(&flag, "tiers.toml").is_err());
}

#[test]
fn a_limit_is_as_high_as_databases_count_and_no_higher() {
    let with = |seats: &str| HEAD.replace("seats = 5", &format!("seats = {seats}"));
    let tiers = load(&with("9223372036854775807"));
    let seats = tiers.tier("basic").unwrap().limit("seats");
    assert_eq!(seats, Some(Limit::Count(i64::MAX.unsigned_abs())));
    let problems = Manifest::load(&with("9223372036854775808"), "tiers.toml").unwrap_err();
    assert_eq!(problems.iter().next().unwrap().rule().name, "limit-value");
}

#[test]
fn a_requirement_that_is_sold_is_missing_on_purpose() {
    let missing = format!("{HEAD}[feature.ai_assist]\nrequires = [\"sso\"]\n");
    let warnings = Manifest::load(&missing, "tiers.toml").unwrap().warnings;
    let rules: Vec<_> = warnings.iter().map(|problem| problem.rule().name).collect();
    assert_eq!(rules, ["requirement-granted"]);
    let sold = format!("{missing}[add-on.sign-in]\nfeatures = [\"sso\"]\n");
    let warnings = Manifest::load(&sold, "tiers.toml").unwrap().warnings;
    assert!(warnings.is_empty(), "{warnings}");
}

/// A manifest's entries as values, so that they can be compared with what the compiler gives back.
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    trial: Option<Trial>,
    add_ons: Vec<AddOn>,
    rules: Vec<(String, FeatureRule)>,
    flags: Vec<Flag>,
    metrics: Vec<Metric>,
}

fn quoted(names: &[Arc<str>]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    format!("[{}]", names.join(", "))
}

fn add_on(add_on: &AddOn) -> String {
    let features = quoted(&add_on.features);
    let mut table = format!("[add-on.{}]\nfeatures = {features}\n", add_on.name);
    for (limit, value) in &add_on.limits {
        let _ = match value {
            Limit::Count(count) => writeln!(table, "limits.{limit} = {count}"),
            Limit::Unlimited => writeln!(table, "limits.{limit} = \"unlimited\""),
        };
    }
    table
}

fn rule((feature, rule): &(String, FeatureRule)) -> String {
    let (requires, premium) = (quoted(&rule.requires), rule.premium_only);
    format!("[feature.{feature}]\nrequires = {requires}\npremium-only = {premium}\n")
}

fn flag(flag: &Flag) -> String {
    let values = match &flag.default {
        FlagValue::Switch(on) => format!("default = {on}"),
        FlagValue::Variant(name) => {
            format!(
                "default = \"{name}\"\nvariants = {}",
                quoted(&flag.variants)
            )
        }
    };
    let premium = flag.premium_only;
    format!("[flag.{}]\npremium-only = {premium}\n{values}\n", flag.name)
}

fn metric(metric: &Metric) -> String {
    format!(
        "[metric.{}]\nunit = \"{}\"\naggregate = \"{}\"\nperiod = \"{}\"\ncap = \"{}\"\n",
        metric.name,
        metric.unit,
        metric.aggregate.as_str(),
        metric.period.as_str(),
        metric.cap.as_str()
    )
}

impl Sample {
    /// The tables in their order, or with the last first.
    fn text(&self, turned: bool) -> String {
        let trial = |trial: &Trial| {
            format!(
                "[trial]\ntier = \"{}\"\nhours = {}\n",
                trial.tier, trial.hours
            )
        };
        let mut tables: Vec<String> = self.trial.iter().map(trial).collect();
        tables.extend(self.add_ons.iter().map(add_on));
        tables.extend(self.rules.iter().map(rule));
        tables.extend(self.flags.iter().map(flag));
        tables.extend(self.metrics.iter().map(metric));
        if turned {
            tables.reverse();
        }
        format!("{HEAD}\n{}", tables.join("\n"))
    }

    /// What the compiler gives back.
    fn of(tiers: &TierSets) -> Self {
        let rules = tiers.feature_rules();
        Self {
            trial: tiers.trial().cloned(),
            add_ons: tiers.add_ons().cloned().collect(),
            rules: rules
                .map(|(name, rule)| (name.to_owned(), rule.clone()))
                .collect(),
            flags: tiers.flags().cloned().collect(),
            metrics: tiers.metrics().cloned().collect(),
        }
    }
}

/// Some of the names, in any order.
fn some_of(names: &[&'static str]) -> impl Strategy<Value = Vec<Arc<str>>> + use<> {
    subsequence(names.to_vec(), 0..=names.len())
        .prop_shuffle()
        .prop_map(|names| names.into_iter().map(Arc::from).collect())
}

/// Entries of distinct names, of any kind.
fn named<V, E>(
    names: &'static str,
    values: impl Strategy<Value = V>,
    entry: impl Fn(Arc<str>, V) -> E,
) -> impl Strategy<Value = Vec<E>>
where
    V: std::fmt::Debug,
    E: std::fmt::Debug,
{
    prop::collection::btree_map(names, values, 0..4).prop_map(move |entries| {
        let entries = entries.into_iter();
        entries
            .map(|(name, value)| entry(name.into(), value))
            .collect()
    })
}

fn trials() -> impl Strategy<Value = Trial> {
    let tier = select(vec!["basic", "growth", "enterprise"]);
    (tier, 1..=87_600_u32).prop_map(|(tier, hours)| Trial {
        tier: tier.parse().unwrap(),
        hours,
    })
}

fn add_ons() -> impl Strategy<Value = Vec<AddOn>> {
    let limit = prop_oneof![
        (0..=i64::MAX.unsigned_abs()).prop_map(Limit::Count),
        Just(Limit::Unlimited),
    ];
    let limits =
        ["api_calls", "seats"].map(|name| (Just(Arc::from(name)), prop::option::of(limit.clone())));
    named(
        "[a-z][a-z0-9_-]{0,8}",
        (some_of(&FEATURES), limits),
        |name, (features, limits)| AddOn {
            name,
            features,
            limits: limits
                .into_iter()
                .filter_map(|(name, limit)| Some((name, limit?)))
                .collect(),
        },
    )
}

/// A feature requires only features after it, so that there is no cycle.
fn rules() -> impl Strategy<Value = Vec<(String, FeatureRule)>> {
    let rule = |at: usize| {
        let rule = (some_of(&FEATURES[at + 1..]), any::<bool>());
        prop::option::of(rule.prop_map(move |(requires, premium_only)| {
            let rule = FeatureRule {
                requires,
                premium_only,
            };
            (FEATURES[at].to_owned(), rule)
        }))
    };
    [rule(0), rule(1), rule(2)].prop_map(|rules| rules.into_iter().flatten().collect())
}

// Names of flags and metrics begin with letters that no feature or limit begins with.

fn flags() -> impl Strategy<Value = Vec<Flag>> {
    let name = "[a-z][a-z0-9_.-]{0,6}".prop_map(Arc::<str>::from);
    let variants = prop::collection::hash_set(name, 1..4).prop_flat_map(|names| {
        let names: Vec<Arc<str>> = names.into_iter().collect();
        let default = select(names.clone()).prop_map(FlagValue::Variant);
        (default, Just(names))
    });
    let switch = any::<bool>().prop_map(|on| (FlagValue::Switch(on), Vec::new()));
    let values = prop_oneof![switch, variants];
    named(
        "f[a-z0-9_]{1,8}",
        (values, any::<bool>()),
        |name, ((default, variants), premium_only)| Flag {
            name,
            default,
            variants,
            premium_only,
        },
    )
}

/// Without a limit of the same name there is no tolerance.
fn metrics() -> impl Strategy<Value = Vec<Metric>> {
    let unit = "[^\"\\\\\\p{C}\\p{Z}]([^\"\\\\\\p{C}]{0,10}[^\"\\\\\\p{C}\\p{Z}])?";
    let words = || (select(Aggregate::ALL), select(Period::ALL), unit);
    let metric = |name: Arc<str>, (aggregate, period, unit): (_, _, String)| Metric {
        name,
        unit: unit.into(),
        aggregate,
        period,
        cap: CapProfile::Hard,
    };
    let of_limit = prop::option::of((words(), select(CapProfile::ALL)));
    let plain = named("m[a-z0-9_]{1,8}", words(), metric);
    (plain, of_limit).prop_map(move |(mut metrics, of_limit)| {
        metrics.extend(of_limit.map(|(words, cap)| Metric {
            cap,
            ..metric("seats".into(), words)
        }));
        metrics
    })
}

fn samples() -> impl Strategy<Value = Sample> {
    (
        prop::option::of(trials()),
        add_ons(),
        rules(),
        flags(),
        metrics(),
    )
        .prop_map(|(trial, add_ons, rules, flags, metrics)| Sample {
            trial,
            add_ons,
            rules,
            flags,
            metrics,
        })
}

const FEATURES: [&str; 3] = ["ai_assist", "export_csv", "sso"];

proptest! {
    #[test]
    fn whatever_is_written_comes_back(sample in samples()) {
        let tiers = load(&sample.text(false));
        prop_assert_eq!(&Sample::of(&tiers), &sample);
        // Order and layout of the file have no meaning.
        let turned = sample.text(true);
        prop_assert_eq!(load(&turned).digest(), tiers.digest());
        let tidied = tidy(&turned, "tiers.toml").unwrap();
        prop_assert_eq!(load(&tidied).digest(), tiers.digest(), "{}", tidied);
        prop_assert_eq!(tidy(&tidied, "tiers.toml").unwrap(), tidied);
    }
}
