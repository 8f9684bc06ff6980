//! What stands beside tier and overrides: add-ons, switches, the trial, and what each denial is
//! called.

use super::*;

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
