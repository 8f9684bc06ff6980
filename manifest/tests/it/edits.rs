//! Edits of a manifest: what they take away must be said, and what they change can be shown.

use manifest::{Edit, Loaded, Manifest, Standing};

const OLD: &str = r#"
[manifest]
scope = "@acme"
default-tier = "basic"
tiers = ["basic", "growth"]

[tier.basic]
leaves = ["@acme/order", "@acme/chat"]
features = { export_csv = true, sso = true }
limits = { boxes = 2, seats = "unlimited" }

[tier.growth]
leaves = ["@acme/loyalty"]

[package."@acme/order"]
requires = ["@acme/cart"]

[package."@acme/cart"]
requires = ["@acme/invoice"]
console = ["@acme/pages-cart"]

[package."@acme/invoice"]

[package."@acme/loyalty"]

[package."@acme/chat"]
"#;

fn load(text: &str) -> Loaded {
    Manifest::load(text, "tiers.toml").unwrap()
}

fn against(new: &str) -> String {
    load(new).against(&load(OLD)).to_string()
}

/// The old manifest with some texts replaced.
fn edited(changes: &[(&str, &str)]) -> String {
    let mut text = OLD.to_owned();
    for (from, to) in changes {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    text
}

const TAKEN: [(&str, &str); 4] = [
    ("requires = [\"@acme/invoice\"]\n", ""),
    ("[\"@acme/order\", \"@acme/chat\"]", "[\"@acme/order\"]"),
    ("export_csv = true, ", ""),
    ("boxes = 2, seats = \"unlimited\"", "boxes = 1, seats = 100"),
];

#[test]
fn whatever_a_tier_loses_is_reported_with_what_brought_it() {
    insta::assert_snapshot!(against(&edited(&TAKEN)));
}

#[test]
fn an_edit_that_only_gives_is_silent() {
    let more = edited(&[
        (
            "leaves = [\"@acme/loyalty\"]",
            "leaves = [\"@acme/loyalty\"]\nlimits = { boxes = 10 }",
        ),
        (
            "[package.\"@acme/invoice\"]",
            "[package.\"@acme/invoice\"]\nconsole = [\"@acme/pages-invoice\"]",
        ),
    ]);
    assert_eq!(against(&more), "");
    assert_eq!(against(OLD), "");
}

#[test]
fn a_removal_entry_allows_exactly_what_it_names() {
    let removal = |tier: &str, name: &str| {
        format!(
            "\n[[removal]]\ntier = \"{tier}\"\nname = \"{name}\"\nreason = \"sold apart\"\ndate = 2026-03-01\n"
        )
    };
    let mut text = edited(&TAKEN);
    for tier in ["basic", "growth"] {
        for name in [
            "@acme/invoice",
            "@acme/chat",
            "export_csv",
            "boxes",
            "seats",
        ] {
            text += &removal(tier, name);
        }
    }
    assert_eq!(against(&text), "");

    let one = edited(&TAKEN[1..2]) + &removal("basic", "@acme/chat");
    let problems = load(&one).against(&load(OLD));
    let messages: Vec<&str> = problems.iter().map(manifest::Diagnostic::message).collect();
    assert_eq!(messages, ["tier `growth` loses package `@acme/chat`"]);
}

#[test]
fn an_entry_about_an_earlier_loss_excuses_no_later_one() {
    let entry =
        "\n[[removal]]\ntier = \"basic\"\nname = \"boxes\"\nreason = \"x\"\ndate = 2026-03-01\n";
    let boxes = |count: &str| {
        let text = edited(&[
            ("boxes = 2", count),
            ("[tier.growth]", "[tier.growth]\nlimits = { boxes = 2 }"),
        ]);
        load(&(text + entry))
    };
    let (old, lowered, lower) = (load(OLD), boxes("boxes = 1"), boxes("boxes = 0"));
    assert!(lowered.against(&old).is_empty());
    let problems = lower.against(&lowered);
    let messages: Vec<&str> = problems.iter().map(manifest::Diagnostic::message).collect();
    assert_eq!(
        messages,
        ["limit `boxes` of tier `basic` falls from 1 to 0"]
    );
}

#[test]
fn a_tier_that_goes_must_be_said_too() {
    let gone = edited(&[
        ("[\"basic\", \"growth\"]", "[\"basic\"]"),
        ("[tier.growth]\nleaves = [\"@acme/loyalty\"]\n", ""),
    ]);
    assert!(against(&gone).contains("tier `growth` is gone"));
    let said = gone
        + "\n[[removal]]\ntier = \"growth\"\nname = \"growth\"\nreason = \"x\"\ndate = 2026-03-01\n";
    assert_eq!(against(&said), "");
}

#[test]
fn a_package_that_moves_up_is_lost_below() {
    let moved = edited(&[
        ("[\"@acme/order\", \"@acme/chat\"]", "[\"@acme/order\"]"),
        ("[\"@acme/loyalty\"]", "[\"@acme/chat\", \"@acme/loyalty\"]"),
    ]);
    let problems = load(&moved).against(&load(OLD));
    let messages: Vec<&str> = problems.iter().map(manifest::Diagnostic::message).collect();
    assert_eq!(messages, ["tier `basic` loses package `@acme/chat`"]);
}

#[test]
fn an_edit_names_gains_and_losses_and_their_edges() {
    let new = edited(&[
        (
            "[\"basic\", \"growth\"]",
            "[\"basic\", \"growth\", \"team\"]",
        ),
        (
            "requires = [\"@acme/invoice\"]",
            "requires = [\"@acme/tax\"]",
        ),
        (
            "[package.\"@acme/chat\"]",
            "[package.\"@acme/chat\"]\n\n[package.\"@acme/tax\"]\n\n[tier.team]",
        ),
    ]);
    let (old, new) = (load(OLD), load(&new));
    let edit = Edit::between(&old.tiers, &new.tiers);
    let basic = &edit.tiers[0];
    assert_eq!(basic.gained[0].name.as_str(), "@acme/tax");
    assert_eq!(basic.gained[0].chain.first.as_str(), "@acme/order");
    assert_eq!(basic.gained[0].chain.links.len(), 2);
    assert_eq!(basic.lost[0].name.as_str(), "@acme/invoice");
    assert_eq!(edit.tiers[2].standing, Standing::Added);
    assert!(Edit::between(&old.tiers, &old.tiers).is_empty());
}

/// The old manifest with more than tiers.
fn beyond(entries: &str) -> Loaded {
    load(&format!("{OLD}\n{entries}"))
}

fn messages(new: &Loaded, old: &Loaded) -> Vec<String> {
    let problems = new.against(old);
    let messages = problems.iter().map(manifest::Diagnostic::message);
    messages.map(str::to_owned).collect()
}

#[test]
fn a_rule_that_switches_a_granted_feature_off_takes_it_away() {
    let old = load(OLD);
    let premium = beyond("[feature.export_csv]\npremium-only = true\n");
    let messages_of_all = [
        "feature `export_csv` of tier `basic` is off by its rule now",
        "feature `export_csv` of tier `growth` is off by its rule now",
    ];
    assert_eq!(messages(&premium, &old), messages_of_all);
    // What requires it goes along.
    let both = beyond(
        "[feature.export_csv]\npremium-only = true\n[feature.sso]\nrequires = [\"export_csv\"]\n",
    );
    assert_eq!(messages(&both, &old).len(), 4);
    // A rule that every tier meets takes nothing.
    let met = beyond("[feature.sso]\nrequires = [\"export_csv\"]\n");
    assert!(messages(&met, &old).is_empty());
    // Said, for one of the tiers.
    let said = beyond(
        "[feature.export_csv]\npremium-only = true\n\
         [[removal]]\ntier = \"growth\"\nname = \"export_csv\"\nreason = \"x\"\ndate = 2026-03-01\n",
    );
    assert_eq!(messages(&said, &old), messages_of_all[..1]);
    assert!(said.warnings.is_empty(), "{}", said.warnings);
}

#[test]
fn what_an_add_on_loses_must_be_said() {
    const ADD_ON: &str =
        "[add-on.more]\nfeatures = [\"audit\", \"branding\"]\nlimits = { boxes = 50, calls = 9 }\n";
    let universe = "tiers = [\"basic\", \"growth\"]\nfeatures = [\"export_csv\", \"sso\", \"audit\", \"branding\"]\nlimits = [\"boxes\", \"seats\", \"calls\"]";
    let with = |entries: &str| {
        let text = edited(&[("tiers = [\"basic\", \"growth\"]", universe)]);
        load(&format!("{text}\n{entries}"))
    };
    let old = with(ADD_ON);
    assert_eq!(messages(&with(""), &old), ["add-on `more` is gone"]);
    let less = "[add-on.more]\nfeatures = [\"branding\"]\nlimits = { boxes = 10 }\n";
    assert_eq!(
        messages(&with(less), &old),
        [
            "add-on `more` loses feature `audit`",
            "limit `boxes` of add-on `more` falls from 50 to 10",
            "add-on `more` loses limit `calls`",
        ]
    );
    let removal = |name: &str| {
        format!(
            "[[removal]]\nadd-on = \"more\"\nname = \"{name}\"\nreason = \"x\"\ndate = 2026-03-01\n"
        )
    };
    let said: String = ["audit", "boxes", "calls"].map(removal).concat();
    let said = with(&format!("{less}{said}"));
    assert!(messages(&said, &old).is_empty());
    assert!(messages(&with(&removal("more")), &old).is_empty());
    // An entry about a tier of that name says nothing of the add-on.
    let tier = removal("more").replace("add-on =", "tier =");
    assert_eq!(messages(&with(&tier), &old), ["add-on `more` is gone"]);
}

#[test]
fn an_edit_names_every_entry_beyond_the_tiers_that_changed() {
    let old = beyond(
        "[flag.a]\ndefault = true\n[flag.b]\ndefault = true\n[trial]\ntier = \"growth\"\nhours = 24\n",
    );
    let new = beyond(
        "[flag.b]\ndefault = false\n[flag.c]\ndefault = true\n[trial]\ntier = \"growth\"\nhours = 24\n",
    );
    let edit = Edit::between(&old.tiers, &new.tiers);
    assert!(!edit.is_empty() && edit.tiers.iter().all(manifest::TierEdit::is_empty));
    let entries: Vec<_> = edit
        .entries
        .iter()
        .map(|edit| {
            (
                edit.what,
                &*edit.name,
                edit.from.as_deref(),
                edit.to.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        entries,
        [
            ("flag", "b", Some("true"), Some("false")),
            ("flag", "c", None, Some("true")),
            ("flag", "a", Some("true"), None),
        ]
    );
}
