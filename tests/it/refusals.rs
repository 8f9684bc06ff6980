//! Where several reasons apply, which one is given.

use axum::http::Method;
use serde_json::json;
use tests::SMALL;
use tests::plane::{Plane, path_of};

#[tokio::test]
async fn the_first_of_several_reasons_is_the_one_that_is_given() {
    for plane in Plane::on_each(SMALL).await {
        let revoked = plane.issue(json!({ "customerId": "c-1" })).await;
        plane.decide(&revoked, "revoke").await;
        let full = plane
            .issue(json!({ "customerId": "c-1", "maxBoxes": 1 }))
            .await;
        plane.activate(&full["key"], "f-1").await;
        let unknown = "/v1/licenses/lic_00000000000000000000000000";
        let of_revoked = path_of(&revoked);
        let nobody = json!({ "fingerprint": "nobody" });
        let table = [
            // A body that cannot be read, before anything it says.
            (
                "PATCH",
                unknown,
                json!({ "tier": 7, "maxBoxes": 0 }),
                "invalid_body",
            ),
            (
                "POST",
                "/v1/licenses",
                json!({ "customerId": "", "tier": "gold", "addOns": ["@acme/no"] }),
                "invalid_fields",
            ),
            (
                "POST",
                "/v1/licenses",
                json!({ "customerId": "c", "tier": "gold", "addOns": ["@acme/no"] }),
                "unknown_tier",
            ),
            (
                "POST",
                "/v1/licenses",
                json!({ "customerId": "c", "addOns": ["@acme/no"] }),
                "unknown_package",
            ),
            // What it says, before what it is about.
            (
                "PATCH",
                unknown,
                json!({ "tier": "gold", "maxBoxes": 0 }),
                "invalid_fields",
            ),
            (
                "PATCH",
                unknown,
                json!({ "tier": "gold", "addOns": ["@acme/no"] }),
                "unknown_tier",
            ),
            (
                "PATCH",
                unknown,
                json!({ "addOns": ["@acme/no"] }),
                "unknown_package",
            ),
            (
                "PATCH",
                "/v1/licenses/nonsense",
                json!({ "reason": "" }),
                "invalid_fields",
            ),
            (
                "PATCH",
                &of_revoked,
                json!({ "tier": "gold" }),
                "unknown_tier",
            ),
            (
                "POST",
                &format!("{unknown}/suspend"),
                json!({ "reason": "" }),
                "invalid_fields",
            ),
            (
                "POST",
                &format!("{unknown}/rotate-key"),
                json!({ "reason": "x", "overlapSeconds": 9_000_000 }),
                "invalid_fields",
            ),
            // What it is about, before how that stands.
            (
                "PATCH",
                unknown,
                json!({ "graceSeconds": 5 }),
                "license_not_found",
            ),
            (
                "DELETE",
                &format!("{unknown}/boxes/box_x"),
                json!(null),
                "license_not_found",
            ),
            (
                "DELETE",
                &format!("{of_revoked}/boxes/box_x"),
                json!(null),
                "box_not_found",
            ),
            (
                "PATCH",
                &of_revoked,
                json!({ "graceSeconds": 5 }),
                "license_revoked",
            ),
            (
                "PATCH",
                &path_of(&full),
                json!({ "graceSeconds": 5 }),
                "invalid_fields",
            ),
            // With a key alone.
            (
                "POST",
                "/v1/activate",
                json!({ "key": "tgl_live_no", "box": { "fingerprint": "" } }),
                "invalid_fields",
            ),
            (
                "POST",
                "/v1/activate",
                json!({ "key": revoked["key"], "box": { "fingerprint": "" } }),
                "invalid_fields",
            ),
            (
                "POST",
                "/v1/activate",
                json!({ "key": revoked["key"] }),
                "license_unusable",
            ),
            (
                "POST",
                "/v1/activate",
                json!({ "key": full["key"] }),
                "box_required",
            ),
            (
                "POST",
                "/v1/activate",
                json!({ "key": full["key"], "box": nobody }),
                "box_limit_reached",
            ),
            (
                "POST",
                "/v1/deactivate",
                json!({ "key": "tgl_live_no", "box": { "fingerprint": "" } }),
                "invalid_fields",
            ),
            (
                "POST",
                "/v1/deactivate",
                json!({ "key": revoked["key"], "box": nobody }),
                "license_unusable",
            ),
            (
                "POST",
                "/v1/deactivate",
                json!({ "key": full["key"], "box": nobody }),
                "box_not_found",
            ),
        ];
        for (method, path, body, code) in table {
            let method: Method = method.parse().unwrap();
            let answer = plane.ask(method.clone(), path, &body).await;
            assert_eq!(
                answer.body["code"], code,
                "{method} {path} {body}: {}",
                answer.text
            );
        }
    }
}
