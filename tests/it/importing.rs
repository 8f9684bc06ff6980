//! Many licenses at once, from a table.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use tests::SMALL;
use tests::plane::{Answer, Plane, refused};

/// Sends a table.
async fn import(plane: &Plane, query: &str, csv: impl Into<Body>, key: Option<&str>) -> Answer {
    let mut request = Request::post(format!("/v1/licenses/import{query}"))
        .header("content-type", "text/csv; charset=utf-8")
        .header("authorization", format!("Bearer {}", plane.admin));
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    plane.send(request.body(csv.into()).unwrap()).await
}

#[tokio::test]
async fn a_table_is_imported_row_by_row_and_bad_rows_are_reported() {
    for plane in Plane::on_each(SMALL).await {
        let csv = "\u{feff}customerId,tier,expiresAt,expiryStrategy,graceSeconds,maxBoxes,leaseSeconds,addOns,metadata.order\r\n\
            c-1,growth,2027-01-01T00:00:00Z,maintain,60,5,7200,@acme/loyalty @acme/order,\"a \"\"quoted\"\", one\"\r\n\
            \"c,2\",,,,,,,,\r\n\
            ,gold,tomorrow,never,-1,0,1,../x,\r\n\
            \r\n\
            c-3,gold,,,,,,,\"two\nlines\"\r\n\
            c-4,basic,,,,,,,\r\n";
        let dry = import(&plane, "?dryRun=true", csv, None).await;
        assert_eq!(dry.status, 200, "{}", dry.text);
        assert!(
            !dry.text.contains("tgl_live_") && !dry.text.contains("\"key\""),
            "{}",
            dry.text
        );
        assert_eq!(plane.sql("SELECT COUNT(*) FROM licenses"), ["0"]);
        let rows_before = plane.audit_rows();

        let done = import(&plane, "", csv, None).await;
        assert_eq!(done.status, 200, "{}", done.text);
        assert_eq!(
            (&done.body["issued"], &done.body["refused"]),
            (&json!(3), &json!(2))
        );
        let rows = done.body["rows"].as_array().unwrap();
        let lines: Vec<_> = rows
            .iter()
            .map(|row| row["line"].as_u64().unwrap())
            .collect();
        assert_eq!(lines, [2, 3, 4, 6, 8]);
        let first = &rows[0]["license"];
        assert_eq!(first["metadata"]["order"], "a \"quoted\", one");
        assert_eq!(first["addOns"], json!(["@acme/loyalty", "@acme/order"]));
        assert_eq!(
            (&first["maxBoxes"], &first["leaseSeconds"]),
            (&json!(5), &json!(7200))
        );
        assert_eq!(
            (&first["graceSeconds"], &first["expiryStrategy"]),
            (&json!(60), &json!("maintain"))
        );
        assert_eq!(rows[1]["license"]["customerId"], "c,2");
        assert_eq!(rows[2]["error"]["code"], "invalid_fields");
        let fields = rows[2]["error"]["errors"].as_array().unwrap().iter();
        let fields: Vec<_> = fields
            .map(|error| error["field"].as_str().unwrap())
            .collect();
        assert_eq!(
            fields,
            ["expiresAt", "graceSeconds", "expiryStrategy", "addOns"]
        );
        assert_eq!(rows[3]["error"]["code"], "unknown_tier");
        for row in [0, 1, 4] {
            let key = &rows[row]["license"]["key"];
            assert_eq!(plane.activate(key, "f-1").await.status, 200);
        }
        // The report of the dry run is the same but for ids and keys.
        let plain = |report: &Value| {
            let rows = report["rows"].as_array().unwrap().iter().cloned();
            let rows = rows.map(|mut row| {
                if let Some(license) = row["license"].as_object_mut() {
                    license.remove("id");
                    license.remove("key");
                }
                row
            });
            rows.collect::<Vec<_>>()
        };
        assert_eq!(plain(&dry.body), plain(&done.body));
        let sequence: u64 = rows_before.parse().unwrap();
        let actions = plane.sql(&format!(
            "SELECT action FROM audit WHERE sequence > {sequence} AND action <> 'license.activate' ORDER BY sequence"
        ));
        assert_eq!(
            actions,
            [
                "license.issue",
                "license.issue",
                "license.issue",
                "license.import"
            ]
        );
    }
}

#[tokio::test]
async fn a_table_that_is_none_is_refused_whole() {
    for plane in Plane::on_each(SMALL).await {
        let many = |rows: usize| format!("customerId\n{}", "c-1\n".repeat(rows));
        for (csv, detail) in [
            (String::new(), "customerId"),
            ("tier\nbasic\n".into(), "no column `customerId`"),
            ("customerId,teir\nc,x\n".into(), "`teir` is unknown"),
            (
                "customerId,metadata.\nc,x\n".into(),
                "`metadata.` is unknown",
            ),
            ("customerId,customerId\nc,x\n".into(), "stands twice"),
            ("customerId,tier\nc-1\n".into(), "line: 2"),
            (many(1_001), "at most 1000 rows"),
        ] {
            let answer = import(&plane, "", csv, None).await;
            assert_eq!(refused(&answer), (400, "malformed_csv"));
            let text = answer.body["detail"].as_str().unwrap();
            assert!(text.contains(detail), "{detail}: {text}");
        }
        let answer = import(&plane, "", &b"customerId\n\xff\n"[..], None).await;
        assert_eq!(refused(&answer), (400, "malformed_csv"));
        let answer = plane
            .post("/v1/licenses/import", Some(&plane.admin), &json!({}))
            .await;
        assert_eq!(refused(&answer), (415, "unsupported_media_type"));
        let answer = import(&plane, "", "x".repeat(1024 * 1024 + 1), None).await;
        assert_eq!(refused(&answer), (413, "body_too_large"));
        assert_eq!(plane.sql("SELECT COUNT(*) FROM licenses"), ["0"]);

        // As many as there may be, once, however often they are sent.
        let first = import(&plane, "", many(1_000), Some("k-1")).await;
        let again = import(&plane, "", many(1_000), Some("k-1")).await;
        assert_eq!(first.body["issued"], 1_000);
        assert_eq!(first.text, again.text);
        assert_eq!(plane.sql("SELECT COUNT(*) FROM licenses"), ["1000"]);
    }
}
