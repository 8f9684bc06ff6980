//! Search shows what the caller may have and nothing else.

use serde_json::{Value, json};

use crate::world::{World, publisher_token};

fn names(answer: &Value) -> Vec<&str> {
    let objects = answer["objects"].as_array().unwrap();
    let names = objects.iter().map(|hit| hit["package"]["name"].as_str());
    names.map(Option::unwrap).collect()
}

#[tokio::test]
async fn a_search_finds_what_the_caller_may_have_and_was_published() {
    let world = World::new();
    for name in [
        "@acme/order",
        "@acme/box-core",
        "@acme/loyalty",
        "@acme/orphan",
    ] {
        assert_eq!(world.publish(name, "1.0.0").await.status, 201);
    }
    let (basic, growth, publisher) = (world.basic(), world.growth(), publisher_token());
    let cases: [(&str, &str, &[&str], u64); 9] = [
        // `product` is in the tier, but was not published.
        ("text=", &basic, &["@acme/box-core", "@acme/order"], 3),
        ("", &basic, &["@acme/box-core", "@acme/order"], 3),
        ("text=loyalty", &basic, &[], 0),
        ("text=orphan", &basic, &[], 0),
        ("text=LOY&size=20", &growth, &["@acme/loyalty"], 1),
        ("text=@acme%20order", &basic, &["@acme/order"], 1),
        ("text=acme&size=1&from=1", &growth, &["@acme/loyalty"], 4),
        ("text=acme&size=1&from=9", &growth, &[], 4),
        ("text=loyalty", &publisher, &["@acme/loyalty"], 1),
    ];
    for (query, token, expected, total) in cases {
        let answer = world.get(&format!("/-/v1/search?{query}"), token).await;
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(answer.header("cache-control"), "private, no-store");
        let json = answer.json();
        assert_eq!(names(&json), expected, "{query}");
        assert_eq!(json["total"], total, "{query}");
    }
    let answer = world.get("/-/v1/search?text=order", &basic).await.json();
    let package = &answer["objects"][0]["package"];
    assert_eq!(package["version"], "1.0.0");
    assert_eq!(package["description"], "sample");
    assert_eq!(package["scope"], "acme");
    assert_eq!(package["maintainers"], json!([]));
    assert!(answer["time"].as_str().unwrap().starts_with("2026-11-21T"));
    assert!(world.get("/-/v1/search", "").await.is(401, "token_missing"));
}

#[tokio::test]
async fn a_search_finds_no_names_of_a_scope_that_was_gated_before() {
    let world = World::new();
    assert_eq!(world.publish("@acme/order", "1.0.0").await.status, 201);
    let (basic, publisher) = (world.basic(), publisher_token());
    let found = async |token: &str| {
        let answer = world.get("/-/v1/search?text=order", token).await.json();
        (names(&answer).len(), answer["total"].as_u64().unwrap())
    };
    assert_eq!(found(&basic).await, (1, 1));
    let mut renamed = world.snapshot();
    renamed.scope = "@other".to_owned();
    renamed.tiers.clear();
    renamed.sets.clear();
    world.sender.publish(renamed).unwrap();
    assert!(
        world
            .get("/@acme/order", &basic)
            .await
            .is(404, "out_of_scope")
    );
    assert_eq!(found(&basic).await, (0, 0));
    assert_eq!(found(&publisher).await, (0, 0));
}
