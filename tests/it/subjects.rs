//! What subjects may do: by tier, add-ons, overrides, switches and trial, changed by hand.

use axum::http::Method;
use control_plane::operations::Operations;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::SELLING;
use tests::plane::{Answer, Plane, path_of, refused};

const HERE: &str = "/v1/subjects/c-1/entitlements";
const OVERRIDES: &str = "/v1/subjects/c-1/overrides";
const ADD_ONS: &str = "/v1/subjects/c-1/add-ons";
const TIER: &str = "/v1/customers/c-1/tier";

async fn ask(plane: &Plane, method: Method, path: &str, body: Value) -> Value {
    let answer = plane.ask(method, path, &body).await;
    assert_eq!(
        answer.status.as_u16() / 100,
        2,
        "{path} {body}: {}",
        answer.text
    );
    answer.body
}

async fn patch(plane: &Plane, body: Value) -> Value {
    ask(plane, Method::PATCH, OVERRIDES, body).await
}

async fn switch(plane: &Plane, feature: &str, on: bool) -> Value {
    let path = format!("/v1/switches/{feature}");
    ask(plane, Method::PUT, &path, json!({ "on": on })).await
}

async fn assign(plane: &Plane, tier: &str) {
    ask(plane, Method::PUT, TIER, json!({ "tier": tier })).await;
}

/// A feature of `c-1`: `on by tier`, say.
fn feature(standing: &Value, name: &str) -> String {
    let feature = &standing["features"][name];
    let on = if feature["on"] == true { "on" } else { "off" };
    format!("{on} by {}", feature["source"].as_str().unwrap())
}

/// A limit of `c-1`: `5 by tier`, say.
fn limit(standing: &Value, name: &str) -> String {
    let limit = &standing["limits"][name];
    format!(
        "{} by {}",
        limit["limit"],
        limit["source"].as_str().unwrap()
    )
}

#[tokio::test]
async fn ent_10_a_subject_of_which_nothing_is_known_has_the_default_tier() {
    for plane in Plane::on_each(SELLING).await {
        let rows = plane.audit_rows();
        assert_eq!(
            plane.read(HERE).await,
            json!({
                "subject": "c-1", "tier": "basic", "tierSource": "default", "addOns": [],
                "features": {
                    "ai_assist": { "on": false, "source": "tier" },
                    "beta": { "on": false, "source": "tier" },
                    "export_csv": { "on": true, "source": "tier" },
                    "sso": { "on": false, "source": "tier" },
                },
                "limits": {
                    "api_calls": { "limit": 0, "source": "tier" },
                    "boxes": { "limit": 2, "source": "tier" },
                    "seats": { "limit": 5, "source": "tier" },
                },
                "overrides": { "features": {}, "limits": {} },
                "premium": false, "trialEndsAt": null,
            })
        );
        assert_eq!(plane.audit_rows(), rows);
        assert_eq!(plane.read("/v1/subjects").await["subjects"], json!([]));
        for bad in ["x".repeat(201), "a%00b".to_owned(), "%0a".to_owned()] {
            let path = format!("/v1/subjects/{bad}/entitlements");
            let answer = plane.get(&path, Some(&plane.admin)).await;
            assert_eq!(refused(&answer), (422, "invalid_fields"), "{bad}");
        }
    }
}

#[tokio::test]
async fn ent_17_18_19_overrides_add_up_and_may_give_and_take() {
    for plane in Plane::on_each(SELLING).await {
        let first =
            json!({ "features": { "sso": true }, "limits": { "seats": 50 }, "reason": "a deal" });
        let standing = patch(&plane, first).await;
        assert_eq!(feature(&standing, "sso"), "on by override");
        assert_eq!(limit(&standing, "seats"), "50 by override");
        assert_eq!(limit(&standing, "boxes"), "2 by tier", "an untouched key");
        // A second call adds to the first, and repeats only what it names.
        let second =
            json!({ "features": { "export_csv": false }, "limits": { "api_calls": null } });
        let standing = patch(&plane, second).await;
        assert_eq!(feature(&standing, "sso"), "on by override");
        assert_eq!(feature(&standing, "export_csv"), "off by override");
        assert_eq!(limit(&standing, "seats"), "50 by override");
        assert_eq!(limit(&standing, "api_calls"), "null by override");
        let standing = patch(&plane, json!({ "limits": { "seats": 0 } })).await;
        assert_eq!(limit(&standing, "seats"), "0 by override");
        assert_eq!(
            standing["overrides"],
            json!({
                "features": { "export_csv": false, "sso": true },
                "limits": { "api_calls": null, "seats": 0 },
            })
        );
        // ENT-26: they outlast the tier.
        assign(&plane, "growth").await;
        let standing = plane.read(HERE).await;
        assert_eq!(feature(&standing, "export_csv"), "off by override");
        assert_eq!(limit(&standing, "boxes"), "20 by tier");
        assert_eq!(standing["tierSource"], "manual");
    }
}

#[tokio::test]
async fn ent_21_an_override_that_breaks_a_rule_stores_nothing() {
    for plane in Plane::on_each(SELLING).await {
        patch(&plane, json!({ "limits": { "seats": 7 } })).await;
        let (before, rows) = (plane.read(HERE).await, plane.audit_rows());
        let good = json!({ "sso": true });
        for (body, code) in [
            (json!({}), "invalid_fields"),
            (json!({ "features": {}, "limits": {} }), "invalid_fields"),
            (
                json!({ "features": { "sso": true, "ssso": true } }),
                "unknown_feature",
            ),
            (json!({ "features": { "seats": true } }), "unknown_feature"),
            (
                json!({ "features": good, "limits": { "boxen": 5 } }),
                "unknown_limit",
            ),
            (
                json!({ "features": good, "limits": { "seats": 1_u64 << 63 } }),
                "invalid_fields",
            ),
            (json!({ "features": { "sso": "yes" } }), "invalid_body"),
            (json!({ "features": { "sso": null } }), "invalid_body"),
            (
                json!({ "features": good, "limits": { "seats": -1 } }),
                "invalid_body",
            ),
            (
                json!({ "features": good, "limits": { "seats": 1.5 } }),
                "invalid_body",
            ),
            (
                json!({ "features": good, "limits": { "seats": "9" } }),
                "invalid_body",
            ),
            (json!({ "features": good, "other": 1 }), "invalid_body"),
            (json!({ "features": good, "reason": "" }), "invalid_fields"),
        ] {
            let answer = plane.ask(Method::PATCH, OVERRIDES, &body).await;
            assert_eq!(refused(&answer), (422, code), "{body}");
            assert_eq!(plane.read(HERE).await, before, "{body}");
        }
        let unknown = json!({ "features": { "ssso": true } });
        let answer = plane.ask(Method::PATCH, OVERRIDES, &unknown).await;
        assert_eq!(
            answer.body["detail"],
            "unknown feature `ssso`; the features are sso, export_csv, ai_assist, beta; \
             did you mean `sso`?"
        );
        assert_eq!(plane.audit_rows(), rows);
    }
}

#[tokio::test]
async fn ent_22_23_25_overrides_are_cleared_whole_or_by_name() {
    for plane in Plane::on_each(SELLING).await {
        let clear = async |query: &str| {
            let path = format!("{OVERRIDES}{query}");
            ask(&plane, Method::DELETE, &path, Value::Null).await["overrides"].clone()
        };
        let none = json!({ "features": {}, "limits": {} });
        assert_eq!(clear("").await, none, "of a subject without any");
        let all = json!({
            "features": { "sso": true, "export_csv": false }, "limits": { "seats": 9, "boxes": 1 },
        });
        patch(&plane, all.clone()).await;
        // What is not there is passed over, a name of the other kind as well.
        assert_eq!(clear("?features=beta,seats,nothing&limits=sso").await, all);
        assert_eq!(
            clear("?features=sso,nothing&limits=seats").await,
            json!({ "features": { "export_csv": false }, "limits": { "boxes": 1 } })
        );
        assert_eq!(
            clear("?limits=boxes&reason=over").await,
            json!({ "features": { "export_csv": false }, "limits": {} })
        );
        patch(&plane, all).await;
        assert_eq!(clear("").await, none);
        let standing = plane.read(HERE).await;
        assert_eq!(feature(&standing, "export_csv"), "on by tier");
        assert_eq!(limit(&standing, "seats"), "5 by tier");
        let path = format!("{OVERRIDES}?feature=sso");
        let bad = plane.ask(Method::DELETE, &path, &Value::Null).await;
        assert_eq!(refused(&bad), (400, "invalid_query"));
    }
}

#[tokio::test]
async fn every_change_stands_in_the_audit_log_with_what_was_before() {
    for plane in Plane::on_each(SELLING).await {
        patch(&plane, json!({ "limits": { "seats": 9 } })).await;
        patch(
            &plane,
            json!({ "features": { "sso": true }, "limits": { "seats": null }, "reason": "a deal" }),
        )
        .await;
        let path = format!("{OVERRIDES}?limits=seats&reason=over");
        ask(&plane, Method::DELETE, &path, Value::Null).await;
        let bought = json!({ "addOns": ["more_seats"], "reason": "paid" });
        ask(&plane, Method::PUT, ADD_ONS, bought).await;
        let off = json!({ "on": false, "reason": "an incident" });
        ask(&plane, Method::PUT, "/v1/switches/sso", off).await;
        let entries = plane.read("/v1/audit?limit=4").await["entries"].clone();
        let actor = plane.read("/v1/credentials").await["credentials"][0]["id"].clone();
        let told: Vec<Value> = entries
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| {
                assert_eq!(entry["actor"], actor);
                json!([
                    entry["action"],
                    entry["subject"],
                    entry["before"],
                    entry["after"],
                    entry["reason"]
                ])
            })
            .collect();
        let both = json!({ "features": { "sso": true }, "limits": { "seats": null } });
        assert_eq!(
            told,
            [
                json!(["switch.set", "sso", null, { "on": false, "version": 1 }, "an incident"]),
                json!(["subject.set_add_ons", "c-1", { "addOns": [] }, { "addOns": ["more_seats"] }, "paid"]),
                json!(["subject.clear_override", "c-1", both, { "features": { "sso": true }, "limits": {} }, "over"]),
                json!(["subject.override", "c-1", { "features": {}, "limits": { "seats": 9 } }, both, "a deal"]),
            ]
        );
    }
}

#[tokio::test]
async fn kum_44_45_46_add_ons_give_features_and_the_last_ones_limit_holds() {
    for plane in Plane::on_each(SELLING).await {
        let set = async |names: Value| {
            ask(&plane, Method::PUT, ADD_ONS, json!({ "addOns": names })).await
        };
        set(json!(["more_seats", "few_seats"])).await;
        let standing = plane.read(HERE).await;
        assert_eq!(feature(&standing, "sso"), "on by add-on");
        assert_eq!(
            feature(&standing, "export_csv"),
            "on by tier",
            "also in an add-on"
        );
        assert_eq!(limit(&standing, "seats"), "7 by add-on");
        let twice = set(json!(["few_seats", "more_seats", "few_seats"])).await;
        assert_eq!(
            twice,
            json!({ "subject": "c-1", "addOns": ["few_seats", "more_seats"] })
        );
        assert_eq!(plane.read(ADD_ONS).await, twice);
        assert_eq!(limit(&plane.read(HERE).await, "seats"), "50 by add-on");
        let standing = patch(
            &plane,
            json!({ "features": { "sso": false }, "limits": { "seats": 1 } }),
        )
        .await;
        assert_eq!(feature(&standing, "sso"), "off by override");
        assert_eq!(limit(&standing, "seats"), "1 by override");
        let rows = plane.audit_rows();
        let unknown = json!({ "addOns": ["more_seats", "most_seats"] });
        let answer = plane.ask(Method::PUT, ADD_ONS, &unknown).await;
        assert_eq!(refused(&answer), (422, "unknown_add_on"));
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(
            detail.contains("the add-ons are more_seats, few_seats"),
            "{detail}"
        );
        assert_eq!(
            (plane.read(ADD_ONS).await, plane.audit_rows()),
            (twice, rows)
        );
        set(json!([])).await;
        assert_eq!(plane.read(HERE).await["addOns"], json!([]));
    }
}

#[tokio::test]
async fn kum_50_51_53_a_switch_takes_from_everybody_and_gives_to_nobody() {
    for plane in Plane::on_each(SELLING).await {
        patch(
            &plane,
            json!({ "features": { "sso": true, "ai_assist": true } }),
        )
        .await;
        for (on, sso, strangers) in [
            (true, "on by override", "off by tier"),
            (false, "off by switch", "off by tier"),
            (true, "on by override", "off by tier"),
        ] {
            switch(&plane, "sso", on).await;
            assert_eq!(feature(&plane.read(HERE).await, "sso"), sso);
            let stranger = plane.read("/v1/subjects/c-2/entitlements").await;
            assert_eq!(feature(&stranger, "sso"), strangers);
        }
        // What requires a feature goes with it, also where the subject has it by name.
        let ai = async || feature(&plane.read(HERE).await, "ai_assist");
        assert_eq!(ai().await, "on by override");
        switch(&plane, "export_csv", false).await;
        assert_eq!(ai().await, "off by requirement");
        switch(&plane, "export_csv", true).await;
        assert_eq!(ai().await, "on by override");
        // What is for premium users is off for others, whoever gives it.
        patch(&plane, json!({ "features": { "beta": true } })).await;
        assert_eq!(feature(&plane.read(HERE).await, "beta"), "off by premium");
    }
}

#[tokio::test]
async fn kum_47_48_54_a_switch_is_set_by_name_told_each_time_and_lost_by_who_is_late() {
    for plane in Plane::on_each(SELLING).await {
        let never = plane.read("/v1/switches").await["switches"].clone();
        assert_eq!(never.as_array().unwrap().len(), 4);
        let untouched =
            json!({ "feature": "sso", "on": true, "version": 0, "actor": null, "updatedAt": null });
        assert_eq!(never[0], untouched);
        let rows = plane.audit_rows();
        let unknown = plane
            .ask(Method::PUT, "/v1/switches/ssso", &json!({ "on": false }))
            .await;
        assert_eq!(refused(&unknown), (422, "unknown_feature"));
        assert_eq!(plane.audit_rows(), rows);

        for (nth, on, before) in [
            (1, false, json!(null)),
            (2, false, json!(false)),
            (3, true, json!(false)),
        ] {
            let set = switch(&plane, "sso", on).await;
            assert_eq!((&set["on"], &set["version"]), (&json!(on), &json!(nth)));
            assert_eq!(set["updatedAt"], "2026-11-21T12:00:00Z");
            let entry = plane.read("/v1/audit?limit=1").await["entries"][0].clone();
            let was = if before.is_null() {
                before
            } else {
                json!({ "on": before })
            };
            assert_eq!(
                (&entry["action"], &entry["before"]),
                (&json!("switch.set"), &was)
            );
            assert_eq!(plane.read("/v1/switches").await["switches"][0], set);
        }
        let rows = plane.audit_rows();
        let late = async |feature: &str, version: u32| {
            let body = json!({ "on": false, "version": version });
            plane
                .ask(Method::PUT, &format!("/v1/switches/{feature}"), &body)
                .await
        };
        for (feature, version) in [("sso", 0), ("sso", 2), ("sso", 4), ("export_csv", 1)] {
            let answer = late(feature, version).await;
            assert_eq!(
                refused(&answer),
                (409, "version_conflict"),
                "{feature} {version}"
            );
        }
        assert_eq!(plane.audit_rows(), rows);
        assert_eq!(late("sso", 3).await.status, 200);
        assert_eq!(late("export_csv", 0).await.status, 200);
        // Of those who race with the same version, one wins.
        let racers = (0..20).map(|_| late("sso", 4));
        let won = join_all(racers).await;
        let statuses = |status: u16| won.iter().filter(|a| a.status.as_u16() == status).count();
        assert_eq!((statuses(200), statuses(409)), (1, 19));
    }
}

#[tokio::test]
async fn kum_41_42_43_a_trial_gives_its_tiers_features_until_its_end_and_no_limits() {
    for plane in Plane::on_each(SELLING).await {
        let born = plane.operations.clock.now();
        // A customer is known from its first license on.
        plane.issue(json!({ "customerId": "c-1" })).await;
        let standing = plane.read(HERE).await;
        assert_eq!(feature(&standing, "sso"), "on by trial");
        assert_eq!(feature(&standing, "export_csv"), "on by tier");
        assert_eq!(feature(&standing, "ai_assist"), "off by tier", "of no tier");
        assert_eq!(limit(&standing, "seats"), "5 by tier");
        let end = born + SignedDuration::from_hours(336);
        assert_eq!(standing["trialEndsAt"], json!(end));
        let package = plane.read("/v1/tiers/basic/packages").await["packages"].clone();
        assert_eq!(package.as_array().unwrap().len(), 2, "no packages");
        let stranger = plane.read("/v1/subjects/c-2/entitlements").await;
        assert_eq!(
            (feature(&stranger, "sso").as_str(), &stranger["trialEndsAt"]),
            ("off by tier", &Value::Null)
        );
        // What takes it away does so in a trial as well.
        patch(&plane, json!({ "features": { "sso": false } })).await;
        assert_eq!(feature(&plane.read(HERE).await, "sso"), "off by override");
        ask(&plane, Method::DELETE, OVERRIDES, Value::Null).await;
        switch(&plane, "sso", false).await;
        assert_eq!(feature(&plane.read(HERE).await, "sso"), "off by tier");
        switch(&plane, "sso", true).await;
        // The first write about a subject begins its trial, and no later one does again.
        plane.clock.advance_seconds(336 * 3600 - 1);
        ask(
            &plane,
            Method::PATCH,
            "/v1/subjects/u-1/overrides",
            json!({ "limits": { "seats": 9 } }),
        )
        .await;
        assert_eq!(feature(&plane.read(HERE).await, "sso"), "on by trial");
        plane.clock.advance_seconds(1);
        let over = patch(&plane, json!({ "limits": { "seats": 9 } })).await;
        assert_eq!(
            (feature(&over, "sso").as_str(), &over["trialEndsAt"]),
            ("off by tier", &Value::Null)
        );
        let user = plane.read("/v1/subjects/u-1/entitlements").await;
        assert_eq!(feature(&user, "sso"), "on by trial");
    }
}

/// Whether a subject may use a feature, as the library is asked within the product.
async fn can(operations: &Operations, name: &str) -> bool {
    let mut conn = operations.store.read().await.unwrap();
    let standing = operations.entitlements_of(conn.link(), "c-1").await;
    let standing = standing.unwrap_or_else(|error| panic!("{error:?}"));
    standing.can(name, operations.clock.now()).unwrap()
}

#[tokio::test]
async fn kum_32_33_34_49_a_change_holds_from_the_very_next_question_on_for_everybody() {
    for plane in Plane::on_each(SELLING).await {
        let replica = plane.replica().await;
        let license = plane
            .issue(json!({ "customerId": "c-1", "maxBoxes": 3 }))
            .await;
        plane.clock.advance_seconds(336 * 3600);
        let question = json!({
            "subject": { "type": "customer", "id": "c-1" }, "action": { "name": "use" },
            "resource": { "type": "feature", "id": "sso" },
        });
        let everywhere = async |expected: bool| {
            // Each was asked before the change that comes next: warm with the old answer.
            assert_eq!(can(&plane.operations, "sso").await, expected);
            assert_eq!(can(&replica, "sso").await, expected);
            assert_eq!(plane.read(HERE).await["features"]["sso"]["on"], expected);
            let decided = plane
                .post("/access/v1/evaluation", Some(&plane.admin), &question)
                .await;
            assert_eq!(decided.body["decision"], expected);
        };
        everywhere(false).await;
        assign(&plane, "growth").await;
        everywhere(true).await;
        let token = plane.activate(&license["key"], "f-1").await.body;
        assert_eq!(token["tier"], "growth", "the next activation");
        switch(&plane, "sso", false).await;
        everywhere(false).await;
        switch(&plane, "sso", true).await;
        everywhere(true).await;
        patch(&plane, json!({ "features": { "sso": false } })).await;
        everywhere(false).await;
        ask(&plane, Method::DELETE, OVERRIDES, Value::Null).await;
        everywhere(true).await;
        ask(&plane, Method::DELETE, TIER, Value::Null).await;
        everywhere(false).await;
        ask(
            &plane,
            Method::PUT,
            ADD_ONS,
            json!({ "addOns": ["more_seats"] }),
        )
        .await;
        everywhere(true).await;
    }
}

#[tokio::test]
async fn ent_20_of_a_hundred_overrides_at_once_none_is_lost() {
    let limits: Vec<String> = (0..100).map(|nth| format!("l_{nth:03}")).collect();
    let manifest = SELLING.replace(
        "\"api_calls\"]",
        &format!(
            "\"api_calls\", {}]",
            limits
                .iter()
                .map(|l| format!("{l:?}"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    );
    for plane in Plane::on_each(&manifest).await {
        let patches = limits.iter().enumerate().map(|(nth, name)| {
            let plane = &plane;
            async move {
                let body = json!({ "limits": { name.as_str(): nth } });
                plane
                    .ask(Method::PATCH, OVERRIDES, &body)
                    .await
                    .status
                    .as_u16()
            }
        });
        assert_eq!(join_all(patches).await, [200; 100]);
        let standing = plane.read(HERE).await["overrides"]["limits"].clone();
        let all: serde_json::Map<_, _> = limits
            .iter()
            .enumerate()
            .map(|(nth, l)| (l.clone(), json!(nth)))
            .collect();
        assert_eq!(standing, Value::Object(all));
    }
}

#[tokio::test]
async fn ent_41_configured_subjects_are_listed_newest_first_and_by_pages() {
    for plane in Plane::on_each(SELLING).await {
        let note = async |nth: usize| {
            plane.clock.advance_seconds(1);
            let id = format!("c {nth:02}/ü");
            let path = |what: &str| {
                format!(
                    "/v1/subjects/{}/{what}",
                    id.replace('/', "%2F")
                        .replace(' ', "%20")
                        .replace('ü', "%C3%BC")
                )
            };
            match nth % 3 {
                0 => {
                    ask(
                        &plane,
                        Method::PATCH,
                        &path("overrides"),
                        json!({ "limits": { "seats": 1 } }),
                    )
                    .await
                }
                1 => {
                    ask(
                        &plane,
                        Method::PUT,
                        &path("add-ons"),
                        json!({ "addOns": ["few_seats"] }),
                    )
                    .await
                }
                _ => {
                    let path = path("tier").replace("subjects", "customers");
                    ask(&plane, Method::PUT, &path, json!({ "tier": "growth" })).await
                }
            };
            id
        };
        plane.issue(json!({ "customerId": "not configured" })).await;
        let mut noted = Vec::new();
        for nth in 0..9 {
            noted.push(note(nth).await);
        }
        noted.reverse();
        for rows in [1, 2, 3, 9, 100] {
            let (mut seen, mut cursor) = (Vec::new(), String::new());
            loop {
                let page = plane
                    .read(&format!("/v1/subjects?limit={rows}{cursor}"))
                    .await;
                let subjects = page["subjects"].as_array().unwrap().clone();
                assert!(subjects.len() <= rows);
                seen.extend(
                    subjects
                        .iter()
                        .map(|s| s["subject"].as_str().unwrap().to_owned()),
                );
                match page["nextCursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(seen, noted, "{rows}");
        }
        let newest = plane.read("/v1/subjects?limit=1").await["subjects"][0].clone();
        let at: Timestamp = plane.operations.clock.now();
        assert_eq!(
            newest,
            json!({ "subject": noted[0], "assigned": true, "overridden": false, "hasAddOns": false, "configuredAt": at })
        );
        for bad in [
            "limit=0",
            "limit=101",
            "cursor=eA",
            "cursor=MSBhAGI",
            "other=1",
        ] {
            let answer = plane
                .get(&format!("/v1/subjects?{bad}"), Some(&plane.admin))
                .await;
            assert_eq!(refused(&answer), (400, "invalid_query"), "{bad}");
        }
    }
}

#[tokio::test]
async fn a_license_without_a_number_of_boxes_follows_its_customers_limit() {
    for plane in Plane::on_each(SELLING).await {
        let follower = plane.issue(json!({ "customerId": "c-1" })).await;
        let grown = plane
            .issue(json!({ "customerId": "c-1", "tier": "growth" }))
            .await;
        let fixed = plane
            .issue(json!({ "customerId": "c-1", "maxBoxes": 2 }))
            .await;
        let limits = async || {
            let limit = async |license: &Value| {
                plane.read(&path_of(license)).await["boxes"]["limit"].clone()
            };
            [
                limit(&follower).await,
                limit(&grown).await,
                limit(&fixed).await,
            ]
        };
        let token = async |license: &Value| {
            plane.activate(&license["key"], "f-1").await.body["token"].clone()
        };
        let listed = async || {
            let page = plane.read("/v1/licenses").await["licenses"].clone();
            let mut listed = page.as_array().unwrap().iter();
            let found = listed.find(|license| license["id"] == follower["id"]);
            found.unwrap()["boxes"]["limit"].clone()
        };
        let number = async || plane.operations.store.newest_change().await.unwrap();
        let clear = || ask(&plane, Method::DELETE, OVERRIDES, Value::Null);
        let add_ons = |names: Value| ask(&plane, Method::PUT, ADD_ONS, json!({ "addOns": names }));
        assert_eq!(limits().await, [json!(2), json!(20), json!(2)]);

        // What widens leaves tokens alone, and gates are not told.
        let (before, told) = (
            [token(&follower).await, token(&grown).await],
            number().await,
        );
        patch(&plane, json!({ "limits": { "boxes": 30 } })).await;
        assert_eq!(limits().await, [json!(30), json!(30), json!(2)]);
        assert_eq!(listed().await, 30);
        assert!(plane.passes(&before[0]).await && plane.passes(&before[1]).await);
        assert_eq!(number().await, told);
        for beyond_the_tiers_two in ["f-2", "f-3"] {
            // Of boxes of one instant, any may be the oldest.
            plane.clock.advance_seconds(1);
            let seat = plane.activate(&follower["key"], beyond_the_tiers_two).await;
            assert_eq!(seat.status, 200);
        }

        // What narrows ends them, wherever it comes from: each license for itself.
        let kept = token(&fixed).await;
        let both = async || [token(&follower).await, token(&grown).await];
        let dead = async |tokens: &[Value; 2]| {
            let dead = [
                !plane.passes(&tokens[0]).await,
                !plane.passes(&tokens[1]).await,
            ];
            for fresh in both().await {
                assert!(plane.passes(&fresh).await, "in the same second");
            }
            assert!(plane.passes(&kept).await, "it has a number of its own");
            dead
        };
        let (tokens, told) = (both().await, number().await);
        patch(&plane, json!({ "limits": { "boxes": 10 } })).await;
        assert!(number().await > told);
        assert_eq!(dead(&tokens).await, [true, true]);

        let (tokens, told) = (both().await, number().await);
        clear().await;
        assert_eq!(limits().await, [json!(2), json!(20), json!(2)]);
        assert!(number().await > told);
        assert_eq!(
            dead(&tokens).await,
            [true, false],
            "ten is less than twenty"
        );
        let third = plane.activate(&follower["key"], "f-3").await;
        assert_eq!(refused(&third), (403, "box_limit_reached"));

        let tokens = both().await;
        add_ons(json!(["boxed"])).await;
        assert_eq!(limits().await, [json!(4), json!(4), json!(2)]);
        assert_eq!(dead(&tokens).await, [false, true], "four is more than two");
        assert_eq!(plane.activate(&follower["key"], "f-3").await.status, 200);
        let tokens = both().await;
        add_ons(json!([])).await;
        assert_eq!(dead(&tokens).await, [true, false]);

        // An override wins over the add-on, and without bound is the most.
        patch(&plane, json!({ "limits": { "boxes": null } })).await;
        add_ons(json!(["boxed"])).await;
        assert_eq!(limits().await, [json!(null), json!(null), json!(2)]);
        let tokens = both().await;
        ask(
            &plane,
            Method::DELETE,
            &format!("{OVERRIDES}?limits=boxes"),
            Value::Null,
        )
        .await;
        assert_eq!(limits().await, [json!(4), json!(4), json!(2)]);
        assert_eq!(dead(&tokens).await, [true, true]);
        // What is not about boxes concerns no gate.
        let told = number().await;
        patch(
            &plane,
            json!({ "limits": { "seats": 1 }, "features": { "sso": true } }),
        )
        .await;
        clear().await;
        switch(&plane, "sso", false).await;
        assert_eq!(number().await, told);
    }
}

#[tokio::test]
async fn kum_38_what_a_subject_lacks_and_what_a_caller_lacks_are_told_apart() {
    for plane in Plane::on_each(SELLING).await {
        let application = plane.credential("application").await["secret"].clone();
        let application = application.as_str();
        let decide = async |feature: &str| {
            let question = json!({
                "subject": { "type": "subject", "id": "c-1" }, "action": { "name": "use" },
                "resource": { "type": "feature", "id": feature },
            });
            let answer = plane
                .post("/access/v1/evaluation", application, &question)
                .await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            answer.body["context"]["reason_code"]
                .as_str()
                .map(ToOwned::to_owned)
        };
        let code = async |feature: &str| decide(feature).await.unwrap();
        assert_eq!(decide("export_csv").await, None);
        assert_eq!(code("sso").await, "feature_not_entitled");
        assert_eq!(code("ssso").await, "unknown_feature");
        patch(
            &plane,
            json!({ "features": { "beta": true, "ai_assist": true } }),
        )
        .await;
        // The write began the subject's trial.
        plane.clock.advance_seconds(336 * 3600);
        assert_eq!(code("beta").await, "premium_required");
        switch(&plane, "export_csv", false).await;
        assert_eq!(code("export_csv").await, "feature_switched_off");
        assert_eq!(code("ai_assist").await, "requirement_off");
        // Whoever may read may not write.
        let body = json!({ "features": { "sso": true } });
        let request =
            tests::plane::json_request(Method::PATCH, OVERRIDES, application, body.to_string());
        let answer: Answer = plane.send(request).await;
        assert_eq!(refused(&answer), (403, "not_allowed"));
        for path in ["/v1/subjects", HERE, ADD_ONS, "/v1/switches"] {
            assert_eq!(plane.get(path, application).await.status, 200, "{path}");
        }
    }
}

/// The columns of the tables whose names begin so, with their types.
fn columns(plane: &Plane, prefix: &str) -> Vec<String> {
    let query = if plane.reader().is_postgres() {
        format!(
            "SELECT replace(table_name, '{prefix}_', ''), column_name, data_type, is_nullable \
             FROM information_schema.columns WHERE table_name IN ('{prefix}_overrides', \
             '{prefix}_add_ons', '{prefix}_switches') ORDER BY table_name, ordinal_position"
        )
    } else {
        format!(
            "SELECT replace(m.name, '{prefix}_', ''), c.name, c.type, c.\"notnull\", c.pk \
             FROM sqlite_master m JOIN pragma_table_info(m.name) c WHERE m.name IN \
             ('{prefix}_overrides', '{prefix}_add_ons', '{prefix}_switches') ORDER BY m.name, c.cid"
        )
    };
    plane.sql(&query)
}

#[tokio::test]
async fn ent_42_the_tables_are_those_that_the_library_makes_for_itself() {
    for plane in Plane::on_each(SELLING).await {
        let mut connection = plane.connection().await;
        for text in entitlements::sql::SHARED_TABLES {
            connection.run(&text.replace("{p}", "own"), &[]).await;
        }
        let ours = columns(&plane, "entitlement");
        assert_eq!(ours.len(), 15, "{ours:?}");
        assert_eq!(ours, columns(&plane, "own"));
    }
}

#[tokio::test]
async fn ent_16_an_add_on_that_is_gone_from_the_manifest_fails_loudly() {
    for plane in Plane::on_each(SELLING).await {
        ask(
            &plane,
            Method::PUT,
            ADD_ONS,
            json!({ "addOns": ["few_seats"] }),
        )
        .await;
        let change = "UPDATE entitlement_add_ons SET name = 'gone'";
        assert_eq!(plane.connection().await.run(change, &[]).await, 1);
        let answer = plane.get(HERE, Some(&plane.admin)).await;
        assert_eq!(refused(&answer), (500, "internal_error"));
        // A start with such a manifest is refused by the same check.
        let error = format!("{:?}", plane.operations.snapshot().await.unwrap_err());
        assert!(error.contains("unknown add-on `gone`"), "{error}");
    }
}
