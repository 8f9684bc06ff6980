//! Flags, features and limits by OFREP, on the wire.

use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use tests::plane::{Answer, Plane, json_request};

use crate::flags::{MANIFEST, clear, set};
use crate::premium::{grant, revoke};

const ALL: &str = "/ofrep/v1/evaluate/flags";

/// An application of this control plane.
async fn application(plane: &Plane) -> String {
    let secret = plane.credential("application").await["secret"].clone();
    secret.as_str().unwrap().to_owned()
}

async fn evaluate(plane: &Plane, token: &str, key: &str, context: Value) -> Answer {
    let body = json!({ "context": context });
    plane
        .post(&format!("{ALL}/{key}"), Some(token), &body)
        .await
}

/// The value of a flag for a user of a team.
async fn value(plane: &Plane, token: &str, key: &str, user: &str) -> Value {
    let context = json!({ "targetingKey": user, "team": "sales" });
    let answer = evaluate(plane, token, key, context).await;
    assert_eq!(answer.status, 200, "{key}: {}", answer.text);
    answer.body["value"].clone()
}

async fn assign(plane: &Plane, customer: &str, tier: &str) {
    let path = format!("/v1/customers/{customer}/tier");
    let answer = plane
        .ask(Method::PUT, &path, &json!({ "tier": tier }))
        .await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn tool_27_a_flag_follows_its_overrides_by_user_then_team_then_platform() {
    for plane in Plane::on_each(MANIFEST).await {
        let token = application(&plane).await;
        let of = async |user| {
            let context = json!({ "targetingKey": user, "team": "sales", "plan": { "a": 1 } });
            let answer = evaluate(&plane, &token, "theme", context).await;
            assert_eq!(answer.headers["cache-control"], "no-store");
            answer.body
        };
        let told = |value: &str, reason: &str, origin: &str| {
            json!({ "key": "theme", "value": value, "reason": reason, "variant": value,
                    "metadata": { "kind": "flag", "origin": origin } })
        };
        assert_eq!(of("bo").await, told("classic", "STATIC", "default"));
        set(&plane, "theme", "platform", json!("modern")).await;
        assert_eq!(of("bo").await, told("modern", "STATIC", "platform"));
        set(&plane, "theme", "team:sales", json!("classic")).await;
        assert_eq!(of("bo").await, told("classic", "TARGETING_MATCH", "team"));
        set(&plane, "theme", "user:bo", json!("modern")).await;
        assert_eq!(of("bo").await, told("modern", "TARGETING_MATCH", "user"));
        assert_eq!(of("cy").await, told("classic", "TARGETING_MATCH", "team"));
        for scope in ["user:bo", "team:sales", "platform"] {
            clear(&plane, "theme", scope).await;
        }
        assert_eq!(of("bo").await, told("classic", "STATIC", "default"));
        // Who is not named has what everyone has.
        let anyone = evaluate(&plane, &token, "theme", json!({})).await;
        assert_eq!(anyone.body, told("classic", "STATIC", "default"));
    }
}

#[tokio::test]
async fn tool_26_28_a_flag_for_premium_users_is_off_for_the_others_whatever_is_overridden() {
    for plane in Plane::on_each(MANIFEST).await {
        let token = application(&plane).await;
        for scope in ["user:bo", "team:sales", "platform"] {
            set(&plane, "assistant", scope, json!(true)).await;
        }
        assert_eq!(value(&plane, &token, "assistant", "bo").await, false);
        let denied = evaluate(&plane, &token, "assistant", json!({ "team": "sales" })).await;
        assert_eq!(denied.body["value"], false);
        assert_eq!(denied.body["metadata"]["origin"], "premium");

        grant(&plane, "bo").await;
        assert_eq!(value(&plane, &token, "assistant", "bo").await, true);
        assert_eq!(value(&plane, &token, "assistant", "cy").await, false);
        set(&plane, "assistant", "user:bo", json!(false)).await;
        assert_eq!(value(&plane, &token, "assistant", "bo").await, false);
        clear(&plane, "assistant", "user:bo").await;
        assert_eq!(value(&plane, &token, "assistant", "bo").await, true);
        revoke(&plane, "bo").await;
        assert_eq!(value(&plane, &token, "assistant", "bo").await, false);
    }
}

#[tokio::test]
async fn features_and_limits_are_flags_of_their_subject() {
    for plane in Plane::on_each(MANIFEST).await {
        let token = application(&plane).await;
        let told = async |key| {
            let answer = evaluate(&plane, &token, key, json!({ "targetingKey": "c-1" })).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            answer.body
        };
        let sso = |on: bool, variant: &str, tier: &str| {
            json!({ "key": "sso", "value": on, "reason": "TARGETING_MATCH", "variant": variant,
                    "metadata": { "kind": "feature", "tier": tier } })
        };
        assert_eq!(told("sso").await, sso(false, "off", "basic"));
        let limit = told("boxes").await;
        assert_eq!(
            (&limit["value"], &limit["variant"], &limit["metadata"]),
            (
                &json!(2),
                &json!("2"),
                &json!({ "kind": "limit", "tier": "basic", "unlimited": false })
            )
        );
        assert_eq!(told("api_calls").await["value"], 0, "nobody grants it");

        assign(&plane, "c-1", "growth").await;
        assert_eq!(told("sso").await, sso(true, "on", "growth"));
        let limit = told("boxes").await;
        // A client that compares with it never meets its bound.
        assert_eq!(
            (
                &limit["value"],
                &limit["variant"],
                &limit["metadata"]["unlimited"]
            ),
            (
                &json!(9_007_199_254_740_991_u64),
                &json!("unlimited"),
                &json!(true)
            )
        );
    }
}

#[tokio::test]
async fn tool_26_a_feature_for_premium_users_is_off_for_the_others_with_all_that_requires_it() {
    for plane in Plane::on_each(MANIFEST).await {
        let token = application(&plane).await;
        let both = async || {
            let forecast = value(&plane, &token, "forecast", "c-1").await;
            [forecast, value(&plane, &token, "what_if", "c-1").await]
        };
        grant(&plane, "c-1").await;
        assert_eq!(both().await, [false, false], "the tier does not have it");
        assign(&plane, "c-1", "growth").await;
        assert_eq!(both().await, [true, true]);
        revoke(&plane, "c-1").await;
        assert_eq!(both().await, [false, false]);
        assert_eq!(value(&plane, &token, "sso", "c-1").await, true);
    }
}

#[tokio::test]
async fn what_cannot_be_evaluated_is_told_in_the_words_of_the_protocol() {
    for plane in Plane::on_each(MANIFEST).await {
        let token = application(&plane).await;
        let send = async |path: &str, body: &str| {
            let request = json_request(Method::POST, path, Some(&token), body.into());
            plane.send(request).await
        };
        let one = format!("{ALL}/theme");
        for (path, body, status, code) in [
            (&*format!("{ALL}/gone"), "{}", 404, "FLAG_NOT_FOUND"),
            (&format!("{ALL}/sso"), "{}", 400, "TARGETING_KEY_MISSING"),
            (
                &format!("{ALL}/sso"),
                r#"{"context":{"targetingKey":""}}"#,
                400,
                "TARGETING_KEY_MISSING",
            ),
            (&one, "{", 400, "PARSE_ERROR"),
            (&one, "", 400, "PARSE_ERROR"),
            (&one, "[]", 400, "INVALID_CONTEXT"),
            (&one, r#"{"context":7}"#, 400, "INVALID_CONTEXT"),
            (
                &one,
                r#"{"context":{"targetingKey":7}}"#,
                400,
                "INVALID_CONTEXT",
            ),
            (
                &one,
                r#"{"context":{"targetingKey":"a\u0000b"}}"#,
                400,
                "INVALID_CONTEXT",
            ),
            (
                &one,
                r#"{"context":{"targetingKey":"a","team":[]}}"#,
                400,
                "INVALID_CONTEXT",
            ),
            (ALL, "{", 400, "PARSE_ERROR"),
            (ALL, r#"{"context":[]}"#, 400, "INVALID_CONTEXT"),
        ] {
            let answer = send(path, body).await;
            assert_eq!(
                (answer.status.as_u16(), &answer.body["errorCode"]),
                (status, &json!(code)),
                "{path} {body}"
            );
            assert_eq!(answer.headers["content-type"], "application/json");
            assert!(answer.headers.contains_key("x-request-id"));
            let key = path.strip_prefix(ALL).unwrap().strip_prefix('/');
            assert_eq!(
                answer.body.get("key").and_then(Value::as_str),
                key,
                "{path} {body}"
            );
            assert!(!answer.body["errorDetails"].as_str().unwrap().is_empty());
        }
        let long = json!({ "context": { "targetingKey": "x".repeat(201) } });
        assert_eq!(
            plane.post(&one, Some(&token), &long).await.body["errorCode"],
            "INVALID_CONTEXT"
        );
        // The rest is as everywhere.
        let large = format!(r#"{{"context":{{"a":"{}"}}}}"#, "x".repeat(70_000));
        assert_eq!(send(&one, &large).await.status, 413);
        let mut plain = json_request(Method::POST, &one, Some(&token), "{}".into());
        plain
            .headers_mut()
            .insert(header::CONTENT_TYPE, "text/plain".parse().unwrap());
        assert_eq!(plane.send(plain).await.status, 415);
    }
}

#[tokio::test]
async fn a_credential_stands_in_either_header_and_only_here_in_the_second() {
    for plane in Plane::on_each(MANIFEST).await {
        let token = application(&plane).await;
        let with = |method: Method, path: &str, name: &'static str, value: String| {
            Request::builder()
                .method(method)
                .uri(path)
                .header(header::CONTENT_TYPE, "application/json")
                .header(name, value)
                .body("{}".to_owned().into())
                .unwrap()
        };
        let bearer = format!("Bearer {token}");
        for (request, status) in [
            (with(Method::POST, ALL, "authorization", bearer), 200),
            (with(Method::POST, ALL, "x-api-key", token.clone()), 200),
            (
                with(Method::POST, ALL, "x-api-key", format!("{token}x")),
                401,
            ),
            (with(Method::POST, ALL, "x-api-key", String::new()), 401),
            (
                with(Method::GET, "/v1/flags", "x-api-key", token.clone()),
                401,
            ),
        ] {
            assert_eq!(plane.send(request).await.status, status);
        }
        let gate = plane.credential("gate").await["secret"].clone();
        let gate = plane.post(ALL, gate.as_str(), &json!({})).await;
        assert_eq!(gate.status, 403);
    }
}

/// All flags for a user, with the tag of an earlier answer.
async fn all(plane: &Plane, token: &str, user: &str, known: &str) -> Answer {
    let body = json!({ "context": { "targetingKey": user } }).to_string();
    let mut request = json_request(Method::POST, ALL, Some(token), body);
    let known = known.parse().unwrap();
    request.headers_mut().insert(header::IF_NONE_MATCH, known);
    plane.send(request).await
}

fn tag(answer: &Answer) -> String {
    answer.headers["etag"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn all_flags_come_at_once_and_say_the_same_as_one_by_one() {
    for plane in Plane::on_each(MANIFEST).await {
        let token = application(&plane).await;
        grant(&plane, "bo").await;
        set(&plane, "new_checkout", "user:bo", json!(true)).await;
        let answer = all(&plane, &token, "bo", "\"none\"").await;
        let flags = answer.body["flags"].as_array().unwrap();
        let keys: Vec<_> = flags
            .iter()
            .map(|flag| flag["key"].as_str().unwrap())
            .collect();
        let expected = [
            "new_checkout",
            "assistant",
            "theme",
            "sso",
            "export_csv",
            "forecast",
            "what_if",
            "boxes",
            "seats",
            "api_calls",
        ];
        assert_eq!(keys, expected);
        for flag in flags {
            let key = flag["key"].as_str().unwrap();
            let alone = evaluate(&plane, &token, key, json!({ "targetingKey": "bo" })).await;
            assert_eq!(&alone.body, flag);
        }
        // Nobody in particular has flags, and neither features nor limits.
        let anyone = plane.post(ALL, Some(&token), &json!({})).await;
        assert_eq!(anyone.status, 200);
        for flag in anyone.body["flags"].as_array().unwrap() {
            let of_somebody = expected[3..].contains(&flag["key"].as_str().unwrap());
            let missing = json!("TARGETING_KEY_MISSING");
            assert_eq!(
                flag.get("errorCode"),
                Some(&missing).filter(|_| of_somebody)
            );
            assert_eq!(flag.get("value").is_some(), !of_somebody);
        }
    }
}

#[tokio::test]
async fn the_tag_of_all_flags_changes_with_whatever_decides_and_with_nothing_else() {
    for plane in Plane::on_each(MANIFEST).await {
        let token = application(&plane).await;
        let mut known = tag(&all(&plane, &token, "c-1", "\"none\"").await);
        for (what, changes) in [
            ("an override for everyone", true),
            ("one for the user", true),
            ("one for another user", false),
            ("premium", true),
            ("premium of another user", false),
            ("a tier", true),
            ("a tier of another customer", false),
            ("a limit of the subject", true),
            ("a feature that is off for all", true),
            ("an override taken back", true),
            ("premium taken back", true),
        ] {
            match what {
                "an override for everyone" => {
                    set(&plane, "new_checkout", "platform", json!(true)).await;
                }
                "one for the user" => drop(set(&plane, "theme", "user:c-1", json!("modern")).await),
                "one for another user" => {
                    set(&plane, "theme", "user:c-2", json!("modern")).await;
                }
                "premium" => drop(grant(&plane, "c-1").await),
                "premium of another user" => drop(grant(&plane, "c-2").await),
                "a tier" => assign(&plane, "c-1", "growth").await,
                "a tier of another customer" => assign(&plane, "c-2", "growth").await,
                "a limit of the subject" => {
                    let path = "/v1/subjects/c-1/overrides";
                    let change = json!({ "limits": { "seats": 7 } });
                    assert_eq!(plane.ask(Method::PATCH, path, &change).await.status, 200);
                }
                "a feature that is off for all" => {
                    let path = "/v1/switches/sso";
                    let off = plane.ask(Method::PUT, path, &json!({ "on": false })).await;
                    assert_eq!(off.status, 200);
                }
                "an override taken back" => drop(clear(&plane, "theme", "user:c-1").await),
                _ => revoke(&plane, "c-1").await,
            }
            let answer = all(&plane, &token, "c-1", &format!("\"x\", W/{known}")).await;
            assert_eq!(answer.status, if changes { 200 } else { 304 }, "{what}");
            assert_eq!(tag(&answer) != known, changes, "{what}");
            known = tag(&answer);
            let again = all(&plane, &token, "c-1", &known).await;
            assert_eq!(
                (again.status.as_u16(), again.text.as_str()),
                (304, ""),
                "{what}"
            );
        }
    }
}
