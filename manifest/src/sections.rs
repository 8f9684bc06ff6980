//! The shape of `tiers.toml`: every section and key, once. The loader accepts exactly these, and
//! the JSON Schema is made from them.

use crate::shape::{Key, Kind, Section};
use crate::{Aggregate, CapProfile, Period};

/// The whole file.
pub(crate) static FILE: Section = Section {
    header: "the file",
    about: "the tiers of a product, and the npm packages that each of them may install",
    keys: &[
        required(
            "manifest",
            Kind::One(&MANIFEST),
            "the names that the rest of the file uses",
        ),
        optional("foundation", Kind::One(&FOUNDATION), "what every tier has"),
        optional(
            "tier",
            Kind::Named(&TIER),
            "what each tier adds to the tiers below it",
        ),
        optional(
            "trial",
            Kind::One(&TRIAL),
            "what new customers may try, and for how long",
        ),
        optional(
            "add-on",
            Kind::Named(&ADD_ON),
            "what can be bought on top of a tier",
        ),
        optional(
            "feature",
            Kind::Named(&FEATURE),
            "rules of features that have any",
        ),
        optional(
            "flag",
            Kind::Named(&FLAG),
            "switches that belong to no tier",
        ),
        optional(
            "metric",
            Kind::Named(&METRIC),
            "what is counted; for the limit of the same name, if there is one",
        ),
        optional(
            "package",
            Kind::Named(&PACKAGE),
            "each package, and what it brings",
        ),
        optional(
            "removal",
            Kind::Many(&REMOVAL),
            "what was taken from a tier on purpose",
        ),
    ],
};

static MANIFEST: Section = Section {
    header: "[manifest]",
    about: "the names that the rest of the file uses",
    keys: &[
        required(
            "scope",
            Kind::Text,
            "the npm scope of all packages, such as `@acme`",
        ),
        required(
            "default-tier",
            Kind::Text,
            "the tier of subjects without an assignment",
        ),
        required("tiers", Kind::Tiers, "the tiers in ascending order"),
        optional(
            "features",
            Kind::Texts,
            "the features there are; when left out, those that the tiers name",
        ),
        optional(
            "limits",
            Kind::Texts,
            "the limits there are; when left out, those that the tiers name",
        ),
    ],
};

static FOUNDATION: Section = Section {
    header: "[foundation]",
    about: "what every tier has",
    keys: &[optional(
        "leaves",
        Kind::Texts,
        "packages present in every tier",
    )],
};

static TIER: Section = Section {
    header: "[tier.…]",
    about: "what one tier adds to the tiers below it",
    keys: &[
        optional(
            "leaves",
            Kind::Texts,
            "packages this tier adds; what they require comes by itself",
        ),
        optional("features", Kind::Switches, "features this tier switches on"),
        optional(
            "limits",
            Kind::Limits,
            "limits from this tier on: a whole number, or \"unlimited\"",
        ),
    ],
};

static TRIAL: Section = Section {
    header: "[trial]",
    about: "what new customers may try, and for how long",
    keys: &[
        required(
            "tier",
            Kind::Text,
            "the tier whose features may be tried; its limits and packages are not",
        ),
        required(
            "hours",
            Kind::Hours,
            "for how many hours from the customer's creation on",
        ),
    ],
};

static ADD_ON: Section = Section {
    header: "[add-on.…]",
    about: "something that is bought on top of a tier",
    keys: &[
        optional("features", Kind::Texts, "features it switches on"),
        optional(
            "limits",
            Kind::Limits,
            "limits it sets, whatever the tier says: a whole number, or \"unlimited\"",
        ),
    ],
};

static FEATURE: Section = Section {
    header: "[feature.…]",
    about: "a rule about one feature",
    keys: &[
        optional(
            "requires",
            Kind::Texts,
            "features without which this one is off",
        ),
        optional(
            "premium-only",
            Kind::Switch,
            "whether it is off for everyone but premium users",
        ),
    ],
};

static FLAG: Section = Section {
    header: "[flag.…]",
    about: "a switch that belongs to no tier",
    keys: &[
        required(
            "default",
            Kind::FlagValue,
            "its value where nothing overrides it: `true`, `false` or one of `variants`",
        ),
        optional(
            "variants",
            Kind::Texts,
            "its values, when it is not on or off",
        ),
        optional(
            "premium-only",
            Kind::Switch,
            "whether it is off for everyone but premium users; of variants the others get the default",
        ),
    ],
};

static METRIC: Section = Section {
    header: "[metric.…]",
    about: "something that is counted; for the limit of the same name, if there is one",
    keys: &[
        required(
            "unit",
            Kind::Text,
            "what one of it is called, such as `call`",
        ),
        required(
            "aggregate",
            Kind::Word(Aggregate::WORDS),
            "what events amount to: the total, the highest, the latest, or how many different ones",
        ),
        optional(
            "period",
            Kind::Word(Period::WORDS),
            "how long the limit is counted for; a month when left out",
        ),
        optional(
            "cap",
            Kind::Word(CapProfile::WORDS),
            "how far the limit may be passed; not at all when left out",
        ),
    ],
};

static PACKAGE: Section = Section {
    header: "[package.…]",
    about: "one package, and what it brings",
    keys: &[
        optional(
            "requires",
            Kind::Texts,
            "packages without which this one does not work",
        ),
        optional(
            "console",
            Kind::Texts,
            "console packages that come with this one",
        ),
    ],
};

static REMOVAL: Section = Section {
    header: "[[removal]]",
    about: "one thing taken from a tier on purpose; without this entry such an edit is refused",
    keys: &[
        required("tier", Kind::Text, "the tier that loses it"),
        required("name", Kind::Text, "the package, feature or limit"),
        required(
            "reason",
            Kind::Text,
            "why, for whoever reads the file later",
        ),
        required("date", Kind::Date, "when, such as 2026-01-31"),
    ],
};

const fn required(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key {
        name,
        kind,
        required: true,
        about,
    }
}

const fn optional(name: &'static str, kind: Kind, about: &'static str) -> Key {
    Key {
        name,
        kind,
        required: false,
        about,
    }
}
