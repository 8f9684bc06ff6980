//! npm's other commands against a gate: what they print, and that an install never fails for them.

use serde_json::{Value, json};
use tests::people::client;
use tests::{Npm, SMALL, Tollgate, Vendor};

/// The gate as the registry for everything, so that npm asks it for audits and searches too.
fn point(npm: &Npm, gate: &str, token: &str) {
    let place = gate.strip_prefix("http:").unwrap();
    let npmrc = format!("registry={gate}/\n{place}/:_authToken={token}\n");
    std::fs::write(npm.path(".npmrc"), npmrc).unwrap();
}

#[tokio::test]
async fn npm_searches_audits_and_is_told_how_to_get_a_token() {
    let tollgate = Tollgate::start(SMALL).await;
    let vendor = Vendor::of(&tollgate);
    vendor.publish_samples(SMALL).await;
    let gate = tollgate.gate.clone();
    let basic = vendor.sell("basic").await;
    let shop = Npm::empty();
    point(&shop, &gate, &basic.token);

    // With its audit, which the harness leaves out elsewhere.
    let install = shop.must(&["install", "--audit", "@acme/order"]).await;
    assert!(
        install.text.contains("found 0 vulnerabilities"),
        "{}",
        install.text
    );
    let audit = shop.must(&["audit"]).await;
    assert!(
        audit.text.contains("found 0 vulnerabilities"),
        "{}",
        audit.text
    );

    let found = shop.must(&["search", "--json", "acme"]).await;
    let found: Value = serde_json::from_str(&found.stdout).unwrap();
    let names: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|hit| &hit["name"])
        .collect();
    assert_eq!(names, ["@acme/order", "@acme/shared"]);
    let found = shop.must(&["search", "loyalty"]).await;
    assert!(!found.text.contains("@acme/loyalty"), "{}", found.text);
    // Its text form takes more members for granted.
    let found = shop.must(&["search", "order"]).await;
    assert!(found.text.contains("@acme/order"), "{}", found.text);

    for command in [["token", "list"], ["profile", "get"]] {
        let output = shop.run(&command).await;
        assert!(
            !output.success && output.text.contains("box activate"),
            "{}",
            output.text
        );
    }
    for (method, path) in [
        ("POST", "/-/v1/login"),
        ("PUT", "/-/user/org.couchdb.user:x"),
    ] {
        let request = client().request(method.parse().unwrap(), format!("{gate}{path}"));
        let request = request.json(&json!({ "name": "x", "password": "hunter2" }));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 403);
        let text = answer.text().await.unwrap();
        assert!(
            text.contains("box activate") && !text.contains("hunter2"),
            "{text}"
        );
    }

    // An audit by nobody: the install goes on, and who asks for it outright learns why it is empty.
    point(&shop, &gate, "nonsense");
    shop.must(&["install", "--audit"]).await;
    let audit = shop.must(&["audit"]).await;
    assert!(
        audit.text.contains("this token is not valid here"),
        "{}",
        audit.text
    );

    // The gate's figures stand beside the control plane's. Some are renewed now and then.
    let metrics = async || vendor.get("/metrics").await.text().await.unwrap();
    while !metrics()
        .await
        .contains("tollgate_gate_snapshot_age_seconds ")
    {
        tokio::task::yield_now().await;
    }
    let text = metrics().await;
    for line in [
        r#"tollgate_gate_answers_total{route="search",status="2xx"} 3"#,
        r#"tollgate_gate_refusals_total{code="login_by_activation"} 4"#,
        "tollgate_gate_downloads_total 1\n",
        "tollgate_gate_snapshot_max_stale_seconds ",
        "tollgate_http_requests_total{",
    ] {
        assert!(text.contains(line), "{line} is missing in\n{text}");
    }
    let hidden = client()
        .get(format!("{gate}/metrics"))
        .send()
        .await
        .unwrap();
    assert_eq!(hidden.status(), 404);
}
