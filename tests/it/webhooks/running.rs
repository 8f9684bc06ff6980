//! Webhooks of real processes: checked by somebody else's library, killed, and kept out of the
//! network that the process runs in.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tests::process::start;
use tests::receiver::{Received, Receiver};
use tests::{COMMERCE, Npm, tollgate_command};
use tokio::process::Child;

/// `tollgate serve` over `dir`, and where its control plane answers.
async fn serve(dir: &Path, arguments: &[&str]) -> (Child, String) {
    std::fs::write(dir.join("tiers.toml"), COMMERCE).unwrap();
    let mut command = tollgate_command();
    let any = "127.0.0.1:0";
    command.args(["serve", "--listen", any, "--gate-listen", any]);
    command.arg("--data").arg(dir.join("data"));
    command.arg("--manifest").arg(dir.join("tiers.toml"));
    command.args(arguments);
    let (child, ready) = start(command).await;
    let rest = ready.strip_prefix("tollgate ready: control plane ");
    let (control_plane, _) = rest.unwrap().split_once(", gate ").unwrap();
    (child, control_plane.to_owned())
}

/// Calls the API as the first operator.
async fn call(dir: &Path, method: &str, url: String, body: &Value) -> (u16, Value) {
    let token = std::fs::read_to_string(dir.join("data/operator-token")).unwrap();
    let request = tests::people::client()
        .request(method.parse().unwrap(), url)
        .bearer_auth(token.trim_end());
    let request = if body.is_null() {
        request
    } else {
        request.json(body)
    };
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

async fn post(dir: &Path, url: String, body: Value) -> Value {
    let (status, answer) = call(dir, "POST", url, &body).await;
    assert!((200..300).contains(&status), "{answer}");
    answer
}

const VERIFY: &str = r"
const { Webhook } = require('standardwebhooks');
const { secret, headers, text } = JSON.parse(require('fs').readFileSync(0, 'utf8'));
console.log(new Webhook(secret).verify(text, headers).type);
";

/// What the standard's own library says to a message.
fn verify(npm: &Npm, secret: &str, message: &Received, text: &str) -> Option<String> {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: serde_json::Map<String, Value> = names
        .into_iter()
        .map(|name| (name.to_owned(), json!(message.header(name))))
        .collect();
    let input = json!({ "secret": secret, "headers": headers, "text": text });
    std::fs::write(npm.path("message.json"), input.to_string()).unwrap();
    let output = std::process::Command::new("node")
        .args(["-e", VERIFY])
        .current_dir(npm.dir())
        .stdin(std::fs::File::open(npm.path("message.json")).unwrap())
        .output()
        .expect("node runs");
    let kind = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    output.status.success().then_some(kind)
}

#[tokio::test]
async fn the_standards_own_library_takes_what_is_sent_under_either_secret() {
    let npm = Npm::empty();
    npm.must(&["install", "standardwebhooks@1.0.0"]).await;
    let dir = tempfile::tempdir().unwrap();
    let (_child, plane) = serve(dir.path(), &["--webhook-allow-internal"]).await;
    let mut receiver = Receiver::taking().await;
    let new = json!({ "url": receiver.url, "events": ["webhook.*"] });
    let hook = post(dir.path(), format!("{plane}/v1/webhooks"), new).await;
    let first = receiver.next().await;
    assert_eq!(first.kind(), "webhook.create");
    let old = hook["secret"].as_str().unwrap();
    assert_eq!(
        verify(&npm, old, &first, &first.text).unwrap(),
        "webhook.create"
    );
    let tampered = first.text.replace("webhook.create", "webhook.delete");
    assert_eq!(verify(&npm, old, &first, &tampered), None);

    let path = format!("{plane}/v1/webhooks/{}", hook["id"].as_str().unwrap());
    let rotated = post(dir.path(), format!("{path}/rotate-secret"), json!({})).await;
    let new = rotated["secret"].as_str().unwrap();
    assert_eq!(verify(&npm, new, &first, &first.text), None);
    let second = receiver.next().await;
    assert_eq!(second.kind(), "webhook.rotate_secret");
    for secret in [old, new] {
        assert!(verify(&npm, secret, &second, &second.text).is_some());
    }
}

#[tokio::test]
async fn a_message_survives_the_kill_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let (mut child, plane) = serve(dir.path(), &["--webhook-allow-internal"]).await;
    let mut receiver = Receiver::answering(|_| None).await;
    let hook = json!({ "url": receiver.url, "events": ["license.*"] });
    let hook = post(dir.path(), format!("{plane}/v1/webhooks"), hook).await;
    let license = json!({ "customerId": "c-1", "tier": "basic" });
    post(dir.path(), format!("{plane}/v1/licenses"), license).await;
    let first = receiver.next().await;
    child.kill().await.unwrap();
    let (_child, plane) = serve(dir.path(), &["--webhook-allow-internal"]).await;
    let again = receiver.next().await;
    assert_eq!(again.text, first.text);
    assert_eq!(again.header("webhook-id"), first.header("webhook-id"));
    let path = format!(
        "{plane}/v1/webhooks/{}/deliveries",
        hook["id"].as_str().unwrap()
    );
    let (_, log) = call(dir.path(), "GET", path, &Value::Null).await;
    assert_eq!(log["deliveries"][0]["attemptCount"], 2);
}

#[tokio::test]
async fn without_leave_no_webhook_reaches_the_network_of_the_process() {
    let dir = tempfile::tempdir().unwrap();
    let (_child, plane) = serve(dir.path(), &[]).await;
    let mut receiver = Receiver::taking().await;
    let webhooks = format!("{plane}/v1/webhooks");
    for url in [
        &receiver.url,
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://10.0.0.1/",
    ] {
        let (status, answer) =
            call(dir.path(), "POST", webhooks.clone(), &json!({ "url": url })).await;
        assert_eq!(
            (status, &answer["errors"][0]["field"]),
            (422, &json!("url")),
            "{url}"
        );
    }
    // A name tells nothing yet; where it leads is looked at when the connection is made.
    let url = receiver
        .url
        .replace("http://127.0.0.1", "https://localhost");
    let hook = post(dir.path(), webhooks.clone(), json!({ "url": url })).await;
    let path = format!("{webhooks}/{}", hook["id"].as_str().unwrap());
    post(dir.path(), format!("{path}/test"), json!({})).await;
    let error = loop {
        let log = call(
            dir.path(),
            "GET",
            format!("{path}/deliveries"),
            &Value::Null,
        )
        .await
        .1;
        let error = log["deliveries"][0]["attempts"][0]["error"].clone();
        if error.is_string() {
            break error;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let expected = "no connection: the name leads to an address that must not be reached from here";
    assert_eq!(error, expected);
    assert!(receiver.so_far().is_empty());
}
