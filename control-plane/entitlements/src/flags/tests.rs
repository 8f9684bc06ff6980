//! Flags, their overrides, and the floor.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::premium::{BoxFuture, Caller, MemoryPremium, Premium, PremiumGrant, PremiumStatus};
use crate::premium::{NoPremium, PremiumClaims};

fn flags() -> Flags {
    let declared = Flags::declare()
        .switch("new_checkout", false)
        .switch("old_export", true)
        .switch("assistant", true)
        .premium_only()
        .choice("theme", "classic", &["classic", "modern"])
        .choice("skin", "plain", &["plain", "gold"])
        .premium_only();
    declared.build().unwrap()
}

fn on(value: bool) -> FlagValue {
    FlagValue::Switch(value)
}

fn variant(name: &str) -> FlagValue {
    FlagValue::Variant(name.into())
}

fn overrides(all: &[(&str, Scope, FlagValue)]) -> Overrides {
    let mut overrides = Overrides::default();
    for (flag, scope, value) in all {
        overrides.set(flag, scope.clone(), value.clone());
    }
    overrides
}

fn user(name: &str) -> Scope {
    Scope::User(name.into())
}

fn team(name: &str) -> Scope {
    Scope::Team(name.into())
}

const BO: FlagContext<'_> = FlagContext {
    caller: Caller::User("bo"),
    team: Some("sales"),
};

fn read(name: &str, overrides: &Overrides, context: &FlagContext<'_>, premium: bool) -> FlagValue {
    let evaluation = flags().evaluate(name, overrides, context, premium);
    evaluation.unwrap().value
}

/// Everywhere on.
fn forced(flag: &str, value: &FlagValue) -> Overrides {
    overrides(&[
        (flag, user("bo"), value.clone()),
        (flag, team("sales"), value.clone()),
        (flag, Scope::Platform, value.clone()),
    ])
}

#[test]
fn tool_26_a_flag_for_premium_users_is_off_for_all_others_whatever_is_overridden() {
    let forced = forced("assistant", &on(true));
    assert_eq!(read("assistant", &forced, &BO, false), on(false));
    for caller in [Caller::Anonymous, Caller::ClaimBearer, Caller::User("")] {
        let context = FlagContext { caller, ..BO };
        for premium in [false, true] {
            assert_eq!(read("assistant", &forced, &context, premium), on(false));
        }
    }
    assert_eq!(read("assistant", &forced, &BO, true), on(true));
}

#[test]
fn tool_27_the_most_specific_override_wins_then_the_default() {
    let mut all = overrides(&[
        ("theme", user("bo"), variant("modern")),
        ("theme", user("cy"), variant("classic")),
        ("theme", team("sales"), variant("classic")),
        ("theme", team("support"), variant("modern")),
        ("theme", Scope::Platform, variant("modern")),
    ]);
    let steps = [
        (Some(user("bo")), "modern", Origin::User),
        (Some(team("sales")), "classic", Origin::Team),
        (Some(Scope::Platform), "modern", Origin::Platform),
        (None, "classic", Origin::Default),
    ];
    for (scope, value, origin) in steps {
        let found = flags().evaluate("theme", &all, &BO, false).unwrap();
        assert_eq!((found.value, found.origin), (variant(value), origin));
        if let Some(scope) = scope {
            assert!(all.clear("theme", &scope));
            assert!(!all.clear("theme", &scope), "cleared already");
        }
    }
    // The same walk for a flag of premium users.
    let all = overrides(&[
        ("assistant", team("sales"), on(true)),
        ("assistant", Scope::Platform, on(false)),
    ]);
    let found = flags().evaluate("assistant", &all, &BO, true).unwrap();
    assert!(found.is_on());
    assert_eq!(found.origin, Origin::Team);
}

#[test]
fn tool_28_premium_opens_a_flag_and_does_not_turn_it_on() {
    let off = overrides(&[
        ("assistant", user("bo"), on(false)),
        ("assistant", Scope::Platform, on(true)),
    ]);
    assert_eq!(read("assistant", &off, &BO, true), on(false));

    let flags = Flags::declare().switch("beta", false).premium_only();
    let found = flags.build().unwrap();
    let found = found.evaluate("beta", &Overrides::default(), &BO, true);
    assert_eq!(found.unwrap().value, on(false));
}

/// Counts how often it is asked, and says yes.
#[derive(Default)]
struct Counting(AtomicUsize);

impl PremiumStatus for Counting {
    fn status<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Premium> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(async {
            Premium::Yes(PremiumGrant {
                granted_at: jiff::Timestamp::UNIX_EPOCH,
                grantor: "ada".into(),
                reason: None,
            })
        })
    }
}

#[tokio::test]
async fn tool_29_30_the_claims_are_asked_of_users_about_flags_for_premium_users_alone() {
    let (flags, claims, none) = (flags(), Counting::default(), Overrides::default());
    let asked = || claims.0.load(Ordering::Relaxed);
    for name in ["new_checkout", "old_export", "theme"] {
        let read = flags.read(&claims, name, &none, &BO).await;
        assert_eq!(read, flags.evaluate(name, &none, &BO, false));
    }
    for caller in [Caller::Anonymous, Caller::ClaimBearer] {
        let context = FlagContext { caller, ..BO };
        let read = flags.read(&claims, "assistant", &none, &context).await;
        assert_eq!(read.unwrap().origin, Origin::PremiumFloor);
    }
    assert_eq!(asked(), 0);
    assert!(
        flags
            .read(&claims, "assistant", &none, &BO)
            .await
            .unwrap()
            .is_on()
    );
    assert_eq!(asked(), 1);
    assert!(flags.read(&claims, "gone", &none, &BO).await.is_err());
}

#[tokio::test]
async fn tool_36_flag_and_gate_say_the_same_of_a_user() {
    let (flags, claims, none) = (flags(), MemoryPremium::default(), Overrides::default());
    let grant = PremiumGrant {
        granted_at: jiff::Timestamp::UNIX_EPOCH,
        grantor: "ada".into(),
        reason: None,
    };
    for premium in [false, true, false] {
        if premium {
            claims.grant("bo", grant.clone()).await.unwrap();
        } else {
            claims.revoke("bo").await.unwrap();
        }
        let gate = crate::premium::require_premium(&claims, BO.caller).await;
        let flag = flags.read(&claims, "assistant", &none, &BO).await.unwrap();
        assert_eq!((gate.is_ok(), flag.is_on()), (premium, premium));
        let nobody = flags.read(&NoPremium, "assistant", &none, &BO).await;
        assert!(!nobody.unwrap().is_on());
    }
}

#[test]
fn tool_31_a_choice_for_premium_users_stays_at_its_default_for_the_others() {
    let forced = forced("skin", &variant("gold"));
    assert_eq!(read("skin", &forced, &BO, false), variant("plain"));
    assert_eq!(read("skin", &forced, &BO, true), variant("gold"));
}

#[test]
fn tool_32_a_denied_flag_is_overridden_to_off_and_not_free() {
    let (flags, none) = (flags(), Overrides::default());
    let overridden = |name, premium| {
        let found = flags.overridden(name, &none, &BO, premium).unwrap();
        found.map(|found| found.value)
    };
    assert_eq!(overridden("assistant", false), Some(on(false)));
    assert_eq!(overridden("assistant", true), None);
    assert_eq!(overridden("old_export", false), None);
    assert_eq!(overridden("skin", false), Some(variant("plain")));
}

/// What is logged while `run` runs.
fn logged(run: impl FnOnce()) -> String {
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let lines = Lines::default();
    let to = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || to.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, run);
    let lines = lines.0.lock().unwrap();
    String::from_utf8(lines.clone()).unwrap()
}

#[test]
fn tool_33_code_that_must_go_on_reads_an_undeclared_flag_as_off_and_the_log_says_so() {
    let (flags, none) = (flags(), Overrides::default());
    let log = logged(|| {
        assert!(!flags.is_on("gone", &none, &BO, true));
        assert_eq!(&*flags.variant("gone", &none, &BO, true), "");
        assert!(!flags.is_on("theme", &none, &BO, true));
        assert_eq!(&*flags.variant("old_export", &none, &BO, true), "");
    });
    assert_eq!(log.matches("WARN").count(), 4, "{log}");
    assert!(
        log.contains("unknown flag `gone`; the flags are new_checkout,"),
        "{log}"
    );
    let log = logged(|| {
        assert!(flags.is_on("old_export", &none, &BO, false));
        assert_eq!(&*flags.variant("theme", &none, &BO, false), "classic");
    });
    assert_eq!(log, "");
}

#[test]
fn tool_34_an_override_of_the_wrong_shape_is_as_if_it_were_not_there_and_the_log_says_so() {
    let all = overrides(&[
        ("old_export", user("bo"), variant("modern")),
        ("theme", user("bo"), on(true)),
        ("theme", team("sales"), variant("gone")),
        ("theme", Scope::Platform, variant("modern")),
    ]);
    let log = logged(|| {
        assert_eq!(read("old_export", &all, &BO, false), on(true));
        assert_eq!(read("theme", &all, &BO, false), variant("modern"));
    });
    assert_eq!(log.matches("is ignored").count(), 3, "{log}");
}

#[test]
fn tool_35_a_name_has_one_flag_and_every_declaration_is_sound() {
    type Make = fn(Declared) -> Declared;
    let broken: [(Make, InvalidFlags); 7] = [
        (|all| all.switch("", true), InvalidFlags::Unnamed),
        (
            |all| all.switch("a", true).choice("a", "x", &["x"]),
            InvalidFlags::Twice("a".into()),
        ),
        (
            |all| all.apart_from(["sso"]).switch("sso", true),
            InvalidFlags::Taken("sso".into()),
        ),
        (
            |all| all.choice("a", "x", &["x", "x"]),
            InvalidFlags::Variants("a".into()),
        ),
        (
            |all| all.choice("a", "x", &["x", ""]),
            InvalidFlags::Variants("a".into()),
        ),
        (
            |all| all.choice("a", "x", &["y"]),
            InvalidFlags::Default("a".into()),
        ),
        (
            |all| all.choice("a", "x", &[]),
            InvalidFlags::Default("a".into()),
        ),
    ];
    for (make, expected) in broken {
        let error = make(Flags::declare()).build().unwrap_err();
        assert_eq!(error, expected);
    }
}

#[test]
fn an_override_is_checked_before_it_is_kept() {
    let flags = flags();
    assert!(flags.check_override("theme", &variant("modern")).is_ok());
    assert!(flags.check_override("assistant", &on(true)).is_ok());
    let said = |name, value: &FlagValue| flags.check_override(name, value).unwrap_err().to_string();
    assert_eq!(
        said("gone", &on(true)),
        "unknown flag `gone`; the flags are new_checkout, old_export, assistant, theme, skin"
    );
    let wrong = "flag `theme` is one of classic, modern";
    assert_eq!(said("theme", &on(true)), wrong);
    assert_eq!(said("theme", &variant("gold")), wrong);
    assert_eq!(
        said("assistant", &variant("gold")),
        "flag `assistant` is true or false"
    );
}

/// The same rules, written down once more and slowly: a list of rows, of which the last counts.
fn slow(
    declared: &[Flag],
    rows: &[(String, Scope, FlagValue)],
    name: &str,
    context: &FlagContext<'_>,
    premium: bool,
) -> Option<FlagValue> {
    let flag = declared.iter().find(|flag| &*flag.name == name)?;
    let is_user = matches!(context.caller, Caller::User(name) if !name.is_empty());
    if flag.premium_only && (!premium || !is_user) {
        return Some(match &flag.default {
            FlagValue::Switch(_) => FlagValue::Switch(false),
            FlagValue::Variant(name) => FlagValue::Variant(Arc::clone(name)),
        });
    }
    let mut scopes = vec![Scope::Platform];
    scopes.extend(context.team.map(team));
    if let Caller::User(name) = context.caller {
        scopes.extend((!name.is_empty()).then(|| user(name)));
    }
    let mut value = flag.default.clone();
    // From the widest scope to the narrowest: what comes later replaces what was there.
    for scope in scopes {
        let row = rows
            .iter()
            .rev()
            .find(|(flag, of, _)| flag == name && *of == scope);
        let Some((_, _, overridden)) = row else {
            continue;
        };
        let allowed: Vec<FlagValue> = if flag.variants.is_empty() {
            vec![on(false), on(true)]
        } else {
            flag.variants.iter().map(|name| variant(name)).collect()
        };
        if allowed.contains(overridden) {
            value = overridden.clone();
        }
    }
    Some(value)
}

fn any_value() -> impl Strategy<Value = FlagValue> {
    prop_oneof![
        any::<bool>().prop_map(on),
        "[xyz]".prop_map(|name| variant(&name)),
    ]
}

fn any_flag(name: String) -> impl Strategy<Value = Flag> {
    let switch = any::<bool>().prop_map(|default| (on(default), Vec::new()));
    let choice = prop::sample::subsequence(vec!["x", "y", "z"], 1..=3).prop_flat_map(|names| {
        let variants: Vec<Arc<str>> = names.iter().map(|&name| name.into()).collect();
        let default = prop::sample::select(names).prop_map(variant);
        (default, Just(variants))
    });
    let shape = prop_oneof![switch, choice];
    (shape, any::<bool>()).prop_map(move |((default, variants), premium_only)| Flag {
        name: name.as_str().into(),
        default,
        variants,
        premium_only,
    })
}

fn any_scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        "[ab]".prop_map(Scope::User),
        "[ab]".prop_map(Scope::Team),
        Just(Scope::Platform),
    ]
}

proptest! {
    #[test]
    fn tool_26_to_32_the_rules_hold_for_any_flags_and_overrides(
        declared in (any_flag("f".into()), any_flag("g".into())),
        rows in prop::collection::vec(("[fgh]", any_scope(), any_value()), 0..24),
        caller in prop_oneof![
            Just(None), Just(Some(String::new())), "[ab]".prop_map(Some),
        ],
        of_team in prop::option::of("[ab]"),
        premium in any::<bool>(),
    ) {
        let declared = [declared.0, declared.1];
        let mut flags = Flags::declare();
        for flag in &declared {
            flags = flags.flag(flag.clone());
        }
        let flags = flags.build().unwrap();
        let mut all = Overrides::default();
        for (flag, scope, value) in &rows {
            all.set(flag, scope.clone(), value.clone());
        }
        let context = FlagContext {
            caller: caller.as_deref().map_or(Caller::ClaimBearer, Caller::User),
            team: of_team.as_deref(),
        };
        for name in ["f", "g", "h"] {
            let found = flags.evaluate(name, &all, &context, premium).ok();
            let expected = slow(&declared, &rows, name, &context, premium);
            prop_assert_eq!(found.as_ref().map(|found| &found.value), expected.as_ref());
            let overridden = flags.overridden(name, &all, &context, premium).ok().flatten();
            let by_default = found.filter(|found| found.origin != Origin::Default);
            prop_assert_eq!(by_default, overridden);
        }
    }
}
