//! Bad input at the control plane: a clear problem each, and nothing written.

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::json;
use tests::COMMERCE;
use tests::plane::{Plane, json_request};

fn issue(plane: &Plane, body: &str) -> Request<Body> {
    json_request(
        Method::POST,
        "/v1/licenses",
        Some(&plane.admin),
        body.to_owned(),
    )
}

#[tokio::test]
async fn every_bad_body_has_a_status_a_code_and_a_sentence() {
    for plane in Plane::on_each(COMMERCE).await {
        let before = plane.audit_rows();
        let too_large = format!(r#"{{"customerId":"{}"}}"#, "x".repeat(70_000));
        let deep = "[".repeat(10_000);
        let mut table = String::new();
        for body in [
            "",
            "{",
            "null",
            "[]",
            r#"["c-1","basic"]"#,
            r#"{"customerId":"c-1"} x"#,
            r#"{"customerId":"c-1","customerId":"c-2"}"#,
            "{}",
            r#"{"customerId":7}"#,
            r#"{"customerId":""}"#,
            r#"{"customerId":"c-1","teir":"basic"}"#,
            r#"{"customerId":"c-1","tier":"gold"}"#,
            r#"{"customerId":"c-1","maxBoxes":0}"#,
            r#"{"customerId":"c-1","maxBoxes":-1}"#,
            r#"{"customerId":"c-1","maxBoxes":1e99}"#,
            r#"{"customerId":"c-1","expiresAt":"tomorrow"}"#,
            r#"{"customerId":"c-1","expiresAt":"2020-01-01T00:00:00Z","maxBoxes":0}"#,
            r#"{"customerId":"c-1","addOns":["@acme/nope"]}"#,
            r#"{"customerId":"c-1","addOns":["../etc"]}"#,
            &deep,
            &too_large,
        ] {
            let answer = plane.send(issue(&plane, body)).await;
            assert_eq!(
                answer.headers["content-type"], "application/problem+json",
                "{body:.60}"
            );
            assert_eq!(
                answer.body["requestId"],
                answer.headers["x-request-id"].to_str().unwrap()
            );
            assert_eq!(answer.body["status"], answer.status.as_u16());
            let line = format!(
                "{body:.70}\n    {} {} {}\n",
                answer.status.as_u16(),
                answer.body["code"].as_str().unwrap(),
                answer.body["detail"].as_str().unwrap()
            );
            table += &line;
        }
        insta::assert_snapshot!("bad_bodies", table);
        assert_eq!(plane.audit_rows(), before, "something was written");
    }
}

#[tokio::test]
async fn the_wrong_type_path_method_and_credential_are_problems_too() {
    for plane in Plane::on_each(COMMERCE).await {
        let mut typed = issue(&plane, r#"{"customerId":"c-1"}"#);
        typed
            .headers_mut()
            .insert("content-type", "text/plain".parse().unwrap());
        let mut table = String::new();
        for (name, request) in [
            ("a wrong content type", typed),
            (
                "no such path",
                json_request(
                    Method::GET,
                    "/v1/nothing",
                    Some(&plane.admin),
                    String::new(),
                ),
            ),
            (
                "another method",
                json_request(
                    Method::PUT,
                    "/v1/licenses",
                    Some(&plane.admin),
                    String::new(),
                ),
            ),
            (
                "no credential",
                json_request(Method::GET, "/v1/tiers", None, String::new()),
            ),
            (
                "a bad credential",
                json_request(Method::GET, "/v1/tiers", Some("tgo_x"), String::new()),
            ),
            (
                "no such license",
                json_request(
                    Method::GET,
                    "/v1/licenses/lic_x",
                    Some(&plane.admin),
                    String::new(),
                ),
            ),
            (
                "a path that is no text",
                json_request(
                    Method::GET,
                    "/v1/licenses/%ff",
                    Some(&plane.admin),
                    String::new(),
                ),
            ),
        ] {
            let answer = plane.send(request).await;
            assert_eq!(
                answer.headers["content-type"], "application/problem+json",
                "{name}"
            );
            if answer.status == 405 {
                assert_eq!(answer.headers["allow"], "POST,GET,HEAD");
            }
            table += &format!(
                "{name}: {} {} {}\n",
                answer.status.as_u16(),
                answer.body["code"].as_str().unwrap(),
                answer.body["detail"].as_str().unwrap()
            );
        }
        insta::assert_snapshot!("bad_requests", table);
    }
}

#[tokio::test]
async fn a_request_id_of_the_callers_is_kept_if_it_is_plain() {
    for plane in Plane::on_each(COMMERCE).await {
        for (sent, kept) in [
            ("abc-123", true),
            ("a b", false),
            ("x".repeat(101).as_str(), false),
        ] {
            let mut request = json_request(Method::GET, "/livez", None, String::new());
            request
                .headers_mut()
                .insert("x-request-id", sent.parse().unwrap());
            let answer = plane.send(request).await;
            assert_eq!(answer.headers["x-request-id"] == sent, kept, "{sent}");
        }
    }
}

#[tokio::test]
async fn a_broken_database_is_a_fault_that_shows_nothing() {
    for plane in Plane::on_each(COMMERCE).await {
        plane.operations.store.close().await;
        let answer = plane
            .post(
                "/v1/licenses",
                Some(&plane.admin),
                &json!({ "customerId": "c-1" }),
            )
            .await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["code"]),
            (503, &json!("database_unavailable"))
        );
        assert!(!answer.body.to_string().contains("pool"), "{}", answer.body);
        assert_eq!(plane.get("/readyz", None).await.status, 503);
        assert_eq!(plane.get("/livez", None).await.status, 200);
    }
}
