//! The package managers that boxes use: what each installs, and what each shows of a refusal.
//!
//! npm, yarn classic and berry, and pnpm as far as it is written in JavaScript show the sentence:
//! from the body, or from the reason phrase. pnpm 12 and bun show the status alone.

use jiff::SignedDuration;
use serde_json::json;
use tests::client::{Client, Output, Project};
use tests::{Database, Relay, SMALL, Tollgate, Vendor};

use crate::tokens::{claims_of, signing_key};

const NOT_IN_TIER: &str = "is not in your tier basic; it comes with growth";
const EXPIRED: &str = "your activation token has expired";
const REVOKED: &str = "your license has been revoked";

/// Which requests of a client end in an error that has the sentence.
struct Shows {
    of_documents: bool,
    of_tarballs: bool,
}

fn shows(client: Client) -> Shows {
    let (of_documents, of_tarballs) = match client {
        Client::Npm | Client::Npm10 | Client::Pnpm10 | Client::YarnBerry => (true, true),
        Client::YarnClassic => (true, false),
        Client::Pnpm12 | Client::Bun => (false, false),
    };
    Shows {
        of_documents,
        of_tarballs,
    }
}

fn check(what: &str, output: &Output, status: &str, sentence: Option<&str>) {
    assert!(!output.success, "{what}: {}", output.text);
    // A line may be broken anywhere.
    let text: String = output
        .text
        .split(|c: char| c.is_whitespace() || c == '│')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ");
    let expected = sentence.unwrap_or(status);
    assert!(text.contains(expected), "{what}: no `{expected}` in {text}");
}

/// A token of the vendor's own that ended an hour ago.
fn expired_token(tollgate: &Tollgate) -> String {
    let claims = claims_of(SMALL, tests::now() - SignedDuration::from_hours(2));
    signing_key(tollgate).sign(&claims).unwrap()
}

async fn installs_and_is_refused(client: Client) {
    let relay = Relay::bind().await;
    let url = relay.url.clone();
    let tollgate = Tollgate::start_on(Database::Sqlite, SMALL, &["--gate-url", &url]).await;
    let relaying = relay.to(&tollgate.gate);
    let vendor = Vendor::of(&tollgate);
    vendor.publish_samples(SMALL).await;
    let shows = shows(client);
    let of_documents = |sentence| shows.of_documents.then_some(sentence);
    let of_tarballs = |sentence| shows.of_tarballs.then_some(sentence);
    let project = |token: &str| Project::new(client, "@acme", &url, token, &["@acme/loyalty"]);
    let growth = vendor.sell("growth").await.token;
    let basic = vendor.sell("basic").await.token;

    let mut shop = project(&growth);
    let output = shop.install().await;
    assert!(output.success, "{}", output.text);
    let has = shop.installed("@acme");
    assert!(has.contains("@acme/loyalty"), "{has:?}");
    shop.clean();
    let output = shop.install_frozen().await;
    assert!(output.success, "{}", output.text);
    assert_eq!(shop.installed("@acme"), has, "from the lockfile");

    shop.clean();
    shop.point("@acme", &url, &basic);
    let output = shop.install_frozen().await;
    check(
        "a tarball of growth",
        &output,
        "403",
        of_tarballs(NOT_IN_TIER),
    );
    let output = project(&basic).install().await;
    check(
        "a package of growth",
        &output,
        "403",
        of_documents(NOT_IN_TIER),
    );
    let output = project(&expired_token(&tollgate)).install().await;
    // yarn berry has a text of its own for every 401, whatever the answer says.
    let (status, sentence) = match client {
        Client::YarnBerry => ("Invalid authentication", None),
        _ => ("401", of_documents(EXPIRED)),
    };
    check("an expired token", &output, status, sentence);

    // A license that ends between the documents and the tarballs.
    let sold = vendor.sell("growth").await;
    let shop = project(&sold.token);
    let mut caught = relaying.trap();
    let revoke = async {
        caught.came().await;
        let license = sold.body["licenseId"].as_str().unwrap();
        let path = format!("/v1/licenses/{license}/revoke");
        let answer = vendor.post(&path, &json!({ "reason": "not paid" })).await;
        assert_eq!(answer.status(), 200);
        caught.go();
    };
    let (output, ()) = tokio::join!(shop.install(), revoke);
    check("revoked meanwhile", &output, "403", of_tarballs(REVOKED));
}

#[tokio::test]
async fn npm_of_this_machine_installs_and_shows_refusals() {
    installs_and_is_refused(Client::Npm).await;
}

#[tokio::test]
async fn npm_10_installs_and_shows_refusals() {
    installs_and_is_refused(Client::Npm10).await;
}

#[tokio::test]
async fn pnpm_10_installs_and_shows_refusals() {
    installs_and_is_refused(Client::Pnpm10).await;
}

#[tokio::test]
async fn pnpm_12_installs_and_fails_where_it_is_refused() {
    installs_and_is_refused(Client::Pnpm12).await;
}

#[tokio::test]
async fn yarn_classic_installs_and_shows_refusals() {
    installs_and_is_refused(Client::YarnClassic).await;
}

#[tokio::test]
async fn yarn_berry_installs_and_shows_refusals() {
    installs_and_is_refused(Client::YarnBerry).await;
}

#[tokio::test]
async fn bun_installs_and_fails_where_it_is_refused() {
    installs_and_is_refused(Client::Bun).await;
}
