//! The invariants of entitlements beyond each tier's features and limits: rules of features,
//! add-ons, the trial, flags and metrics.

use std::ops::Range;

use toml::Spanned;
use toml::de::DeValue;

use super::{Rule, around, did_you_mean, error, quoted, warning};
use crate::diagnostic::Diagnostic;
use crate::document::Text;
use crate::shape::HOURS_MAX;

pub(super) static ONE_MEANING: Rule = error(
    "M21",
    "one-meaning",
    "a name never means two things, so that asking for it needs no second word",
);

/// `what` is what the name is here, `other` what it is already.
pub(crate) fn two_meanings(
    what: &str,
    name: &Text<'_>,
    other: &str,
    first: &Text<'_>,
) -> Diagnostic {
    let message = if name.get_ref() == first.get_ref() {
        format!("{what} `{}` is named like a {other}", name.get_ref())
    } else {
        format!(
            "{what} `{}` differs from {other} `{}` only in case",
            name.get_ref(),
            first.get_ref()
        )
    };
    Diagnostic::new(&ONE_MEANING, name.span(), message)
        .also(first.span(), format!("the {other}"))
        .hint("rename one of the two; only a metric is named as the limit that it counts for")
}

pub(super) static TRIAL: Rule = error(
    "M22",
    "trial",
    "a trial is of a tier that exists, and it ends",
);

pub(crate) fn no_such_trial_tier(
    name: &Text<'_>,
    near: Option<&str>,
    tiers: &[Text<'_>],
) -> Diagnostic {
    let message = format!("the trial is of `{}`, which is not a tier", name.get_ref());
    let problem = Diagnostic::new(&TRIAL, name.span(), message);
    problem.hint(near.map_or_else(
        || {
            let tiers = tiers.iter().map(|tier| &**tier.get_ref());
            format!("the tiers are {}", quoted(tiers))
        },
        did_you_mean,
    ))
}

pub(crate) fn not_hours(value: &Spanned<DeValue<'_>>) -> Diagnostic {
    let message = format!("a trial takes 1 to {HOURS_MAX} hours");
    Diagnostic::new(&TRIAL, value.span(), message)
        .hint("14 days are 336 hours; without a trial, leave [trial] out")
}

pub(super) static NO_REQUIREMENT_CYCLES: Rule = error(
    "M23",
    "no-requirement-cycles",
    "a feature never waits for itself",
);

/// As [`super::cycle`], of features.
pub(crate) fn requirement_cycle(cycle: &[&str], place: Range<usize>) -> Diagnostic {
    Diagnostic::new(&NO_REQUIREMENT_CYCLES, place, around("features", cycle))
        .label("this closes the cycle")
        .hint("remove one of these requirements: what cannot do without each other is one feature")
}

pub(super) static REQUIREMENT_GRANTED: Rule = warning(
    "M24",
    "requirement-granted",
    "a feature that is granted is on, and not off for want of another",
);

/// `tier` grants the feature, and neither it nor an add-on what the feature requires.
pub(crate) fn requirement_not_granted(
    feature: &str,
    required: &Text<'_>,
    tier: &str,
    granted: Range<usize>,
) -> Diagnostic {
    let message = format!(
        "tier `{tier}` grants `{feature}` but not `{}`, without which it is off",
        required.get_ref()
    );
    Diagnostic::new(&REQUIREMENT_GRANTED, required.span(), message)
        .also(granted, "granted here")
        .hint(format!(
            "grant `{}` in tier `{tier}` too, or sell it as an add-on",
            required.get_ref()
        ))
}

/// The add-on switches the feature on, and nothing at all what the feature requires.
pub(crate) fn requirement_not_sold(
    feature: &Text<'_>,
    required: &Text<'_>,
    add_on: &str,
) -> Diagnostic {
    let message = format!(
        "add-on `{add_on}` switches `{}` on, but no tier and no add-on grants `{}`, without which \
         it is off",
        feature.get_ref(),
        required.get_ref()
    );
    Diagnostic::new(&REQUIREMENT_GRANTED, required.span(), message)
        .also(feature.span(), "switched on here")
        .hint(format!(
            "add `{}` to the features of add-on `{add_on}`, or grant it in a tier",
            required.get_ref()
        ))
}

pub(super) static FLAG_DEFAULT: Rule = error(
    "M25",
    "flag-default",
    "a flag has one of its values before anybody sets one",
);

/// A flag whose default is `true` or `false`, and that has variants.
pub(crate) fn switch_of_variants(
    flag: &Text<'_>,
    default: Range<usize>,
    variants: &[Text<'_>],
) -> Diagnostic {
    let message = format!("flag `{}` is on or off, and has variants", flag.get_ref());
    let names = variants.iter().map(|variant| &**variant.get_ref());
    Diagnostic::new(&FLAG_DEFAULT, default, message).hint(format!(
        "make one of {} the default, or remove `variants`",
        quoted(names)
    ))
}

/// `near` is what the text means when it means on or off.
pub(crate) fn default_without_variants(
    flag: &Text<'_>,
    default: &Text<'_>,
    near: Option<&str>,
) -> Diagnostic {
    let message = format!("flag `{}` has no variants", flag.get_ref());
    let hint = near.map_or_else(
        || "add `variants` with this among them, or make it `true` or `false`".to_owned(),
        |word| format!("write `default = {word}`, without quotes"),
    );
    Diagnostic::new(&FLAG_DEFAULT, default.span(), message).hint(hint)
}

pub(crate) fn no_such_variant(
    flag: &Text<'_>,
    default: &Text<'_>,
    near: Option<&str>,
    variants: &[Text<'_>],
) -> Diagnostic {
    let message = format!(
        "`{}` is not a variant of flag `{}`",
        default.get_ref(),
        flag.get_ref()
    );
    let problem = Diagnostic::new(&FLAG_DEFAULT, default.span(), message);
    problem.hint(near.map_or_else(
        || {
            let names = variants.iter().map(|variant| &**variant.get_ref());
            format!("the variants are {}", quoted(names))
        },
        did_you_mean,
    ))
}

pub(super) static METRIC_UNIT: Rule = error(
    "M26",
    "metric-unit",
    "a number is never shown without what it counts",
);

pub(crate) fn not_a_unit(metric: &Text<'_>, unit: &Text<'_>) -> Diagnostic {
    let message = format!("metric `{}` has no unit to show", metric.get_ref());
    Diagnostic::new(&METRIC_UNIT, unit.span(), message)
        .hint("a unit has 1 to 64 characters on one line, such as `call` or `GB`")
}

pub(super) static CAP_OF_LIMIT: Rule = error(
    "M27",
    "cap-of-limit",
    "a tolerance is of a limit that there is",
);

pub(crate) fn cap_without_limit(
    metric: &Text<'_>,
    cap: Range<usize>,
    near: Option<&str>,
) -> Diagnostic {
    let message = format!("there is no limit `{}` to pass", metric.get_ref());
    Diagnostic::new(&CAP_OF_LIMIT, cap, message).hint(near.map_or_else(
        || {
            format!(
                "add `{}` to `limits` in [manifest], or remove `cap`",
                metric.get_ref()
            )
        },
        |near| format!("name the metric as its limit; did you mean `{near}`?"),
    ))
}

pub(super) static ADDS_SOMETHING: Rule = warning(
    "M28",
    "adds-something",
    "whoever buys or tries something gets what they did not have",
);

pub(crate) fn trial_of_nothing(tier: &Text<'_>, default: &str) -> Diagnostic {
    let message = format!(
        "the trial of `{}` gives new customers nothing: they are in `{default}`",
        tier.get_ref()
    );
    Diagnostic::new(&ADDS_SOMETHING, tier.span(), message)
        .hint("name a tier above it that grants more features")
}

pub(crate) fn empty_add_on(add_on: &Text<'_>) -> Diagnostic {
    let message = format!("add-on `{}` gives nothing", add_on.get_ref());
    Diagnostic::new(&ADDS_SOMETHING, add_on.span(), message)
        .hint("name `features` or `limits`, or remove it")
}

/// `lowest` is the tier that has the feature, as all tiers above have.
pub(crate) fn feature_of_every_tier(
    add_on: &Text<'_>,
    feature: &Text<'_>,
    lowest: &str,
) -> Diagnostic {
    let message = format!(
        "add-on `{}` switches `{}` on, which every tier has",
        add_on.get_ref(),
        feature.get_ref()
    );
    Diagnostic::new(&ADDS_SOMETHING, feature.span(), message).hint(format!(
        "remove it here, or from tier `{lowest}` and give it to a higher one"
    ))
}

/// `lowest` is the tier that has as much of the limit.
pub(crate) fn limit_of_every_tier(
    add_on: &Text<'_>,
    limit: &Text<'_>,
    value: Range<usize>,
    lowest: &str,
) -> Diagnostic {
    let message = format!(
        "add-on `{}` sets `{}` no higher than any tier does",
        add_on.get_ref(),
        limit.get_ref()
    );
    Diagnostic::new(&ADDS_SOMETHING, value, message).hint(format!(
        "set more than tier `{lowest}` grants: an add-on's limit is in place of the tier's"
    ))
}
