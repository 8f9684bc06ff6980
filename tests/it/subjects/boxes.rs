//! Seats of licenses that follow their customer's limit.

use super::*;

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
