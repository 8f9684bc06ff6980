//! The statements, as the control plane uses them too.

use std::sync::Arc;

use entitlements::sql::subjects::{After, AssignmentsIn, Configured};
use entitlements::sql::switches::{SetSwitch, Switched};
use entitlements::sql::{self, Prefix, add_ons, assignments, overrides, subjects, switches};
use entitlements::{Assignment, Limit, Overrides, Source, Stored};
use jiff::Timestamp;

use crate::databases::Connection;

fn second(at: i64) -> Timestamp {
    Timestamp::from_second(at).unwrap()
}

fn names(names: &[&str]) -> Vec<Arc<str>> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn assigned(tier: &str, at: i64) -> Assignment {
    Assignment {
        tier: tier.into(),
        source: Source::Manual,
        actor: "ann".into(),
        reason: Some("a friend".into()),
        assigned_at: second(at),
    }
}

#[tokio::test]
async fn ent_42_49_setup_can_be_repeated_under_any_prefix() {
    for (mut connection, _dir) in Connection::each().await {
        let (one, two) = (Prefix::default(), Prefix::parse("plans").unwrap());
        for prefix in [&one, &two, &one] {
            sql::setup(connection.link(), prefix).await.unwrap();
        }
        let set = Overrides::default().feature("sso", true);
        overrides::merge(connection.link(), &one, "acme", &set, second(1))
            .await
            .unwrap();
        let loaded = sql::load(connection.link(), &one, "acme").await.unwrap();
        assert_eq!(loaded.overrides, set);
        let other = sql::load(connection.link(), &two, "acme").await.unwrap();
        assert_eq!(other, Stored::nothing_of("acme"));
    }
}

#[tokio::test]
async fn ent_18_22_23_25_overrides_merge_and_clear_key_by_key() {
    for (mut connection, _dir) in Connection::each().await {
        let prefix = Prefix::default();
        sql::setup(connection.link(), &prefix).await.unwrap();
        let first = Overrides::default()
            .feature("sso", true)
            .limit("seats", Limit::Count(5))
            .limit("boxes", Limit::Unlimited);
        let second_set = Overrides::default()
            .feature("sso", false)
            .limit("calls", Limit::Count(0));
        overrides::merge(connection.link(), &prefix, "acme", &first, second(1))
            .await
            .unwrap();
        overrides::merge(connection.link(), &prefix, "acme", &second_set, second(2))
            .await
            .unwrap();
        overrides::merge(connection.link(), &prefix, "other", &first, second(3))
            .await
            .unwrap();
        let merged = first
            .clone()
            .feature("sso", false)
            .limit("calls", Limit::Count(0));
        let loaded = sql::load(connection.link(), &prefix, "acme").await.unwrap();
        assert_eq!(loaded.overrides, merged);

        let some = names(&["sso", "calls", "never"]);
        let cleared = overrides::clear_keys(connection.link(), &prefix, "acme", &some, second(4));
        assert!(cleared.await.unwrap());
        let mut left = first.clone();
        left.features.clear();
        let loaded = sql::load(connection.link(), &prefix, "acme").await.unwrap();
        assert_eq!(loaded.overrides, left);
        let again = overrides::clear_keys(connection.link(), &prefix, "acme", &some, second(5));
        assert!(!again.await.unwrap());
        assert!(
            overrides::clear(connection.link(), &prefix, "acme")
                .await
                .unwrap()
        );
        assert!(
            !overrides::clear(connection.link(), &prefix, "acme")
                .await
                .unwrap()
        );
        let loaded = sql::load(connection.link(), &prefix, "other")
            .await
            .unwrap();
        assert_eq!(loaded.overrides, first);
    }
}

#[tokio::test]
async fn a_snapshot_has_all_that_decides() {
    for (mut connection, _dir) in Connection::each().await {
        let prefix = Prefix::default();
        sql::setup(connection.link(), &prefix).await.unwrap();
        let (stored, off) = sql::snapshot(connection.link(), &prefix, "acme")
            .await
            .unwrap();
        assert_eq!(stored, Stored::nothing_of("acme"));
        assert!(off.0.is_empty());

        let given = assigned("growth", 9);
        assignments::put(connection.link(), &prefix, "acme", &assigned("basic", 8))
            .await
            .unwrap();
        assignments::put(connection.link(), &prefix, "acme", &given)
            .await
            .unwrap();
        assert!(
            subjects::create(connection.link(), &prefix, "acme", second(7))
                .await
                .unwrap()
        );
        assert!(
            !subjects::create(connection.link(), &prefix, "acme", second(8))
                .await
                .unwrap()
        );
        subjects::hold(connection.link(), &prefix, "acme", second(9))
            .await
            .unwrap();
        let mut bought: Vec<_> = (0..12)
            .map(|at| Arc::from(format!("add-on-{at}")))
            .collect();
        bought.reverse();
        add_ons::set(
            connection.link(),
            &prefix,
            "acme",
            &names(&["old"]),
            second(1),
        )
        .await
        .unwrap();
        add_ons::set(connection.link(), &prefix, "acme", &bought, second(1))
            .await
            .unwrap();
        let set = Overrides::default().limit("seats", Limit::Count(i64::MAX as u64));
        overrides::merge(connection.link(), &prefix, "acme", &set, second(1))
            .await
            .unwrap();
        let switch = SetSwitch {
            feature: "sso",
            on: false,
            actor: "ann",
            expected: None,
        };
        switches::set(connection.link(), &prefix, switch, second(1))
            .await
            .unwrap();

        let (stored, off) = sql::snapshot(connection.link(), &prefix, "acme")
            .await
            .unwrap();
        assert_eq!(stored.tier.as_deref(), Some("growth"));
        assert_eq!(stored.created_at, Some(second(7)));
        assert_eq!(stored.add_ons, bought);
        assert_eq!(stored.overrides, set);
        assert_eq!(off.off().count(), 1);
        let read = assignments::get(connection.link(), &prefix, "acme")
            .await
            .unwrap();
        assert_eq!(read, Some(given));
        assert!(
            assignments::delete(connection.link(), &prefix, "acme")
                .await
                .unwrap()
        );
        assert!(
            !assignments::delete(connection.link(), &prefix, "acme")
                .await
                .unwrap()
        );
    }
}

#[tokio::test]
async fn kum_47_48_54_a_switch_tells_what_it_said_before_and_the_loser_changes_nothing() {
    for (mut connection, _dir) in Connection::each().await {
        let prefix = Prefix::default();
        sql::setup(connection.link(), &prefix).await.unwrap();
        let mut set = async |on, expected| {
            let switch = SetSwitch {
                feature: "sso",
                on,
                actor: "ann",
                expected,
            };
            switches::set(connection.link(), &prefix, switch, second(1))
                .await
                .unwrap()
        };
        let switched = |before, version| Some(Switched { before, version });
        assert_eq!(set(false, Some(1)).await, None);
        assert_eq!(set(false, Some(0)).await, switched(None, 1));
        assert_eq!(set(true, Some(0)).await, None);
        assert_eq!(set(false, None).await, switched(Some(false), 2));
        assert_eq!(set(true, Some(2)).await, switched(Some(false), 3));
        assert_eq!(set(false, Some(2)).await, None);
        let all = switches::all(connection.link(), &prefix).await.unwrap();
        assert!(all[0].on && all[0].version == 3 && all.len() == 1);
    }
}

#[tokio::test]
async fn ent_41_subjects_are_listed_most_recently_configured_first() {
    for (mut connection, _dir) in Connection::each().await {
        let prefix = Prefix::default();
        sql::setup(connection.link(), &prefix).await.unwrap();
        let set = Overrides::default()
            .feature("sso", true)
            .feature("chat", true);
        for (subject, at) in [("a", 1), ("b", 5), ("d", 5)] {
            overrides::merge(connection.link(), &prefix, subject, &set, second(at))
                .await
                .unwrap();
        }
        assignments::put(connection.link(), &prefix, "a", &assigned("growth", 7))
            .await
            .unwrap();
        add_ons::set(
            connection.link(),
            &prefix,
            "c",
            &names(&["more"]),
            second(6),
        )
        .await
        .unwrap();
        subjects::create(connection.link(), &prefix, "new", second(9))
            .await
            .unwrap();
        let expected = |subject: &str, assigned, overridden, add_ons, at| Configured {
            subject: subject.into(),
            assigned,
            overridden,
            add_ons,
            configured_at: second(at),
        };
        let all = vec![
            expected("a", true, true, false, 7),
            expected("c", false, false, true, 6),
            expected("b", false, true, false, 5),
            expected("d", false, true, false, 5),
        ];
        let ours = AssignmentsIn::Ours;
        let listed = subjects::list(connection.link(), &prefix, ours, None, 100)
            .await
            .unwrap();
        assert_eq!(listed, all);
        let mut after: Option<Configured> = None;
        for expected in &all {
            let from = after.as_ref().map(|last| After {
                configured_at: last.configured_at,
                subject: &last.subject,
            });
            let page = subjects::list(connection.link(), &prefix, ours, from, 1)
                .await
                .unwrap();
            assert_eq!(page, std::slice::from_ref(expected));
            after = page.into_iter().next();
        }
        // A cleared key is a change too; assignments may stand elsewhere.
        let keys = names(&["sso"]);
        overrides::clear_keys(connection.link(), &prefix, "d", &keys, second(8))
            .await
            .unwrap();
        let elsewhere = AssignmentsIn::Query(
            "SELECT subject AS subject, created_at AS at FROM entitlement_subjects",
        );
        let listed = subjects::list(connection.link(), &prefix, elsewhere, None, 2)
            .await
            .unwrap();
        let two = vec![
            expected("new", true, false, false, 9),
            expected("d", false, true, false, 8),
        ];
        assert_eq!(listed, two);
    }
}
