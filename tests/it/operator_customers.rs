//! Customers and premium users, by commands: each effect is seen through the API.

use serde_json::json;
use tests::operator::hiding;
use tests::people::client;
use tests::{Operator, SELLING, Tollgate, Vendor};

/// With limits that are counted.
fn metered() -> String {
    format!(
        "{SELLING}\n[metric.seats]\nunit = \"seat\"\naggregate = \"unique\"\nperiod = \"month\"\n"
    )
}

/// Columns are as wide as times happen to be.
fn narrow() -> insta::Settings {
    let mut settings = hiding();
    settings.add_filter(" {3,}", "  ");
    settings
}

/// What the API says, to the one who asks without the command line.
async fn seen(tollgate: &Tollgate, path: &str) -> serde_json::Value {
    let url = format!("{}{path}", tollgate.control_plane);
    let request = client().get(url).bearer_auth(&tollgate.operator_token);
    request.send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn a_customer_gets_a_tier_and_gives_it_back_by_commands() {
    for (operator, tollgate) in Operator::on_each(SELLING).await {
        let tier = |verb| ["customer", "tier", verb, "corner shop"];
        let why = ["--reason", "asked & paid"];
        let assigned = [&tier("assign")[..], &["growth"], &why].concat();
        let told = operator.run(&assigned).await;
        hiding().bind(|| insta::assert_snapshot!("tier_assigned", told.whole()));
        let path = "/v1/customers/corner%20shop/tier";
        let now = seen(&tollgate, path).await;
        assert_eq!(
            [&now["tier"], &now["source"], &now["reason"]],
            ["growth", "manual", "asked & paid"]
        );
        assert_eq!(operator.json(&tier("show")).await, now);
        let list = operator.run(&["customer", "list"]).await;
        narrow().bind(|| insta::assert_snapshot!("customers_listed", list.whole()));
        let list = operator.json(&["customer", "list"]).await;
        assert_eq!(list["customers"], json!([now]));

        let told = operator
            .run(&[&tier("assign")[..], &["golden"]].concat())
            .await;
        assert_eq!((told.code, &*told.out), (5, ""));
        hiding().bind(|| insta::assert_snapshot!("tier_unknown", told.err));

        operator.must(&[&tier("release")[..], &why].concat()).await;
        assert_eq!(seen(&tollgate, path).await["source"], "default");
        let newest = seen(&tollgate, "/v1/audit?limit=1").await["entries"][0].clone();
        assert_eq!(
            [&newest["action"], &newest["reason"]],
            ["customer.release_tier", "asked & paid"]
        );
        let told = operator.run(&tier("release")).await;
        assert_eq!((told.code, &*told.out), (5, ""), "{}", told.err);
    }
}

#[tokio::test]
async fn overrides_are_set_together_and_cleared_by_their_names() {
    for (operator, tollgate) in Operator::on_each(SELLING).await {
        let of = |verb| ["customer", "override", verb, "c-1"];
        let path = "/v1/subjects/c-1/entitlements";
        let rows = async || seen(&tollgate, "/v1/audit?limit=1").await["entries"][0].clone();
        let set = [
            &of("set")[..],
            &["sso=on", "seats=50", "api_calls=unlimited"],
        ]
        .concat();
        let before = rows().await["sequence"].as_i64().unwrap();
        let told = operator
            .run(&[&set[..], &["--reason", "sold"]].concat())
            .await;
        hiding().bind(|| insta::assert_snapshot!("overrides_set", told.whole()));
        // One request, and one row.
        assert_eq!(rows().await["sequence"], before + 1);
        let now = seen(&tollgate, path).await;
        let overrides = json!({
            "features": { "sso": true },
            "limits": { "seats": 50, "api_calls": null },
        });
        assert_eq!(now["overrides"], overrides);
        assert_eq!(operator.json(&of("show")).await, now);

        // All, or none where one is wrong.
        let wrong = [&of("set")[..], &["sso=off", "soo=on"]].concat();
        let told = operator.run(&wrong).await;
        assert_eq!((told.code, &*told.out), (5, ""));
        hiding().bind(|| insta::assert_snapshot!("override_unknown", told.err));
        for (arguments, text) in [
            (&["sso=maybe"][..], "`on` or `off`"),
            (&["sso=on", "sso=off"], "`sso` is set twice"),
        ] {
            let told = operator.run(&[&of("set")[..], arguments].concat()).await;
            assert_eq!(told.code, 2);
            assert!(told.err.contains(text), "{}", told.err);
        }
        let told = operator.run(&[&of("clear")[..], &["soo"]].concat()).await;
        assert_eq!(told.code, 5);
        hiding().bind(|| insta::assert_snapshot!("nothing_to_clear", told.err));
        assert_eq!(operator.run(&of("clear")).await.code, 2);
        assert_eq!(seen(&tollgate, path).await["overrides"], overrides);

        operator
            .must(&[&of("clear")[..], &["seats", "sso"]].concat())
            .await;
        let left = json!({ "features": {}, "limits": { "api_calls": null } });
        assert_eq!(seen(&tollgate, path).await["overrides"], left);
        operator
            .must(&[&of("clear")[..], &["--all"]].concat())
            .await;
        let none = json!({ "features": {}, "limits": {} });
        assert_eq!(seen(&tollgate, path).await["overrides"], none);
    }
}

#[tokio::test]
async fn usage_stands_beside_the_limit_of_the_same_period() {
    for (operator, tollgate) in Operator::on_each(&metered()).await {
        let vendor = Vendor::of(&tollgate);
        let events = json!({ "events": [
            { "metric": "seats", "value": "ann" },
            { "metric": "seats", "value": "bob" },
        ] });
        vendor.post("/v1/subjects/c-1/usage", &events).await;
        let usage = operator.run(&["customer", "usage", "c-1"]).await;
        hiding().bind(|| insta::assert_snapshot!("usage", usage.whole()));
        let usage = operator.json(&["customer", "usage", "c-1"]).await;
        let row = &usage["usage"][0];
        assert_eq!([&row["used"], &row["limit"], &row["left"]], [2, 5, 3]);
        operator
            .must(&["customer", "override", "set", "c-1", "seats=unlimited"])
            .await;
        let text = operator.must(&["customer", "usage", "c-1"]).await;
        assert!(text.contains("unlimited"), "{text}");

        // Another period has no limit.
        let window = ["customer", "usage", "c-1", "--window", "day"];
        let row = operator.json(&window).await["usage"][0].clone();
        assert_eq!((&row["used"], row.get("limit")), (&json!(2), None));
        let range = ["--from", "2020-01-01", "--to", "2020-02-01T00:00:00Z"];
        let range = [&["customer", "usage", "c-1"][..], &range].concat();
        assert_eq!(operator.json(&range).await["usage"][0]["used"], 0);
        let told = operator.run(&range[..5]).await;
        assert_eq!(told.code, 2, "{}", told.err);
        let told = operator
            .run(&["customer", "usage", "c-1", "--window", "soon"])
            .await;
        assert_eq!((told.code, &*told.out), (5, ""), "{}", told.err);
    }
}

#[tokio::test]
async fn premium_is_granted_shown_and_revoked_by_commands() {
    for (operator, tollgate) in Operator::on_each(SELLING).await {
        let path = "/v1/users/ann%2Fb/premium";
        let grant = ["premium", "grant", "ann/b", "--reason", "a gift"];
        let told = operator.run(&grant).await;
        hiding().bind(|| insta::assert_snapshot!("premium_granted", told.whole()));
        let now = seen(&tollgate, path).await;
        assert_eq!(
            [&now["premium"], &now["reason"]],
            [&json!(true), &json!("a gift")]
        );
        assert_eq!(operator.json(&["premium", "show", "ann/b"]).await, now);
        let list = operator.json(&["premium", "list"]).await;
        assert_eq!(list, json!({ "users": [now] }));
        let list = operator.run(&["premium", "list"]).await;
        narrow().bind(|| insta::assert_snapshot!("premium_listed", list.whole()));

        let revoke = ["premium", "revoke", "ann/b", "--reason", "returned"];
        let told = operator.json(&revoke).await;
        assert_eq!(told["premium"], false);
        assert_eq!(seen(&tollgate, path).await["premium"], false);
        let newest = seen(&tollgate, "/v1/audit?limit=1").await["entries"][0].clone();
        assert_eq!(newest["reason"], "returned");
        assert_eq!(operator.run(&revoke).await.code, 0);
    }
}
