//! Stripe's own library: it signs events that the real program takes over TCP, and it takes what
//! the harness signs, so that its signatures are Stripe's.

use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tests::client::installed;
use tests::people::client;
use tests::stripe::{WEBHOOK, event, invoice, sign, subscription};
use tests::{Database, SMALL, Tollgate, Vendor};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

const SECRET: &str = "whsec_of_the_endpoint";
const NEXT_SECRET: &str = "whsec_that_comes_next";

/// What the library answers to each line.
async fn library(arguments: &[&str], lines: &[String]) -> Vec<String> {
    let library = installed("stripe");
    let folder = library.parent().and_then(Path::parent).unwrap();
    let mut child = Command::new("node")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/stripe.mjs"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(lines.join("\n").as_bytes()).await.unwrap();
    drop(input);
    let output = child.wait_with_output().await.unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn what_stripes_library_signs_the_program_takes_and_nothing_else() {
    for database in [Database::Sqlite, Database::Postgres] {
        let dir = tempfile::tempdir().unwrap();
        let (secrets, config) = (dir.path().join("secrets"), dir.path().join("tollgate.toml"));
        std::fs::write(&secrets, format!("{SECRET}\n{NEXT_SECRET}\n")).unwrap();
        let text = format!(
            "stripe-webhook-secret-file = '{}'\n\n[stripe-prices]\nprice_1 = 'growth'\n",
            secrets.display()
        );
        std::fs::write(&config, text).unwrap();
        let arguments = ["--config", config.to_str().unwrap()];
        let tollgate = Tollgate::start_on(database, SMALL, &arguments).await;
        let vendor = Vendor::of(&tollgate);
        let url = format!("{}{WEBHOOK}", tollgate.control_plane);
        let tier = async || {
            let url = format!("{}/v1/customers/c-1/tier", tollgate.control_plane);
            let asked = client().get(url).bearer_auth(&tollgate.operator_token);
            let shown: Value = asked.send().await.unwrap().json().await.unwrap();
            format!("{} by {}", shown["tier"], shown["source"]).replace('"', "")
        };
        let sold = vendor
            .post("/v1/licenses", &json!({ "customerId": "c-1" }))
            .await;
        assert_eq!(sold.status(), 201);

        let now = tests::now().as_second();
        let mut object = subscription("active", &["price_1"]);
        object["description"] = json!("Größe \u{1f600} \"1\"\\");
        let created = event("evt_1", "customer.subscription.created", now, &object);
        let line = created.to_string();
        for (secrets, expected) in [
            (&["whsec_wrong"][..], "401"),
            (&[SECRET], "200 {\"received\":true}"),
            (
                &[SECRET],
                "200 {\"received\":true,\"ignored\":true,\"reason\":\"duplicate\"}",
            ),
            (&[NEXT_SECRET], "200 {\"received\":true,\"ignored\":true"),
            (&["whsec_wrong", NEXT_SECRET], "200 "),
        ] {
            let arguments = [&["send", &url], secrets].concat();
            let answers = library(&arguments, std::slice::from_ref(&line)).await;
            assert!(answers[0].starts_with(expected), "{secrets:?}: {answers:?}");
        }
        assert_eq!(tier().await, "growth by billing");

        let failed = event(
            "evt_2",
            "invoice.payment_failed",
            now + 2,
            &invoice(now + 1),
        );
        let paid = event("evt_3", "invoice.paid", now + 3, &invoice(now + 1));
        let mut late = event("evt_4", "customer.subscription.deleted", now + 4, &object);
        late["age"] = json!(301);
        let lines = [failed, late].map(|event| event.to_string());
        let answers = library(&["send", &url, SECRET], &lines).await;
        assert_eq!(answers[0], "200 {\"received\":true}");
        assert!(answers[1].starts_with("401"), "{answers:?}");
        assert_eq!(tier().await, "basic by default");
        let answers = library(&["send", &url, SECRET], &[paid.to_string()]).await;
        assert_eq!(answers, ["200 {\"received\":true}"]);
        assert_eq!(tier().await, "growth by billing");
        assert!(tollgate.stop().await.success());
    }
}

#[tokio::test]
async fn what_the_harness_signs_stripes_library_takes() {
    let now = tests::now().as_second();
    let events: Vec<Value> = (0..20)
        .map(|nth| {
            let object = subscription("active", &["price_1", "price_ü"]);
            event(
                &format!("evt_{nth}"),
                "customer.subscription.updated",
                now - nth,
                &object,
            )
        })
        .collect();
    let line = |event: &Value| {
        let body = event.to_string();
        format!("{}\t{body}", sign(SECRET, now, &body))
    };
    let lines: Vec<String> = events.iter().map(line).collect();
    let ids: Vec<String> = (0..20).map(|nth| format!("evt_{nth}")).collect();
    assert_eq!(library(&["verify", SECRET], &lines).await, ids);
}
