//! What boxes of the Potter platform rely on, where no other story tells it. POT-30 and POT-31
//! are about signing keys, which have stories of their own.

use activation_token::KeySet;
use data_encoding::BASE64URL_NOPAD;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tests::plane::{Plane, path_of};
use tests::{COMMERCE, Database, SMALL, Tollgate, Vendor};

/// The JSON in a part of a token, read as anybody can.
fn part(token: &Value, nth: usize) -> Value {
    let part = token.as_str().unwrap().split('.').nth(nth).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

#[tokio::test]
async fn pot_20_a_key_is_hashed_at_rest_and_no_route_reads_it_back() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let key = license["key"].as_str().unwrap();
        plane.activate(&license["key"], "f-1").await;
        let digest = plane.operations.license_key_digest(&key.to_owned().into());
        assert_eq!(
            plane.sql("SELECT key_digest FROM licenses"),
            [digest.to_string()]
        );
        let of = path_of(&license);
        for path in [
            "/v1/licenses",
            &of,
            &format!("{of}/boxes"),
            "/v1/audit",
            "/v1/customers/c-1/tier",
        ] {
            let shown = plane.read(path).await.to_string();
            assert!(
                !shown.contains(key) && !shown.contains(&digest.to_string()),
                "{path}"
            );
        }
    }
}

/// Adopted differently: Ed25519, by a standard key set, in place of RS256.
#[tokio::test]
async fn pot_25_the_token_is_a_jwt_signed_with_a_key_of_the_key_set() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let token = plane.activate(&license["key"], "f-1").await.body["token"].clone();
        let keys = plane.get("/.well-known/jwks.json", None).await.body;
        let key = &keys["keys"][0];
        assert_eq!(
            (&key["kty"], &key["crv"], &key["alg"]),
            (&json!("OKP"), &json!("Ed25519"), &json!("EdDSA"))
        );
        let header = part(&token, 0);
        assert_eq!(
            header,
            json!({ "alg": "EdDSA", "typ": "activation+jwt", "kid": key["kid"] })
        );
    }
}

#[tokio::test]
async fn pot_26_the_claims_name_the_customer_the_tier_and_the_packages() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane
            .issue(json!({ "customerId": "c-1", "tier": "growth" }))
            .await;
        let answer = plane.activate(&license["key"], "f-1").await.body;
        let claims = part(&answer["token"], 1);
        assert_eq!(
            (&claims["sub"], &claims["tier"]),
            (&json!("c-1"), &json!("growth"))
        );
        assert_eq!(claims["pkgs"], answer["packages"]);
        assert_eq!(
            (&claims["lic"], &claims["box"]),
            (&license["id"], &answer["boxId"])
        );
    }
}

/// The claims of a token that was activated under these settings, and what the answer said of it.
async fn claims_under(arguments: &[&str]) -> (Value, Value) {
    let tollgate = Tollgate::start_on(Database::Sqlite, COMMERCE, arguments).await;
    let sold = Vendor::of(&tollgate).sell("basic").await;
    (part(&sold.body["token"], 1), sold.body)
}

/// Adopted differently: the default name is ours, and so is the setting.
#[tokio::test]
async fn pot_27_the_issuer_is_a_setting() {
    let name = "withpotter-control-plane";
    for (arguments, issuer) in [(&[][..], "tollgate"), (&["--issuer", name][..], name)] {
        assert_eq!(claims_under(arguments).await.0["iss"], issuer);
    }
}

#[tokio::test]
async fn pot_28_a_token_lives_for_an_hour_or_as_long_as_is_set_and_the_answer_says_so() {
    for (arguments, life) in [(&[][..], 3600), (&["--token-life", "600"][..], 600)] {
        let (claims, answer) = claims_under(arguments).await;
        assert_eq!(answer["expiresIn"], life);
        let span = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(span, life);
    }
}

#[tokio::test]
async fn pot_32_activating_needs_nothing_but_the_key() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let body =
            json!({ "key": license["key"], "box": { "fingerprint": "f-1" }, "org": "an-org" });
        for path in ["/v1/activate", "/license/activate"] {
            let mut request =
                tests::plane::json_request(axum::http::Method::POST, path, None, body.to_string());
            let headers = request.headers_mut();
            headers.insert("origin", "https://elsewhere.example".parse().unwrap());
            headers.insert("cookie", "session=1".parse().unwrap());
            let answer = plane.send(request).await;
            assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        }
        // A credential beside it changes nothing, and stands in for no key.
        let answer = plane.post("/v1/activate", Some("tgo_garbage"), &body).await;
        assert_eq!(answer.status, 200);
        let answer = plane
            .post("/v1/activate", Some(&plane.admin), &json!({ "key": "x" }))
            .await;
        assert_eq!(answer.status, 403);
    }
}

#[tokio::test]
async fn pot_33_the_registrys_address_comes_with_the_activation() {
    let arguments = ["--gate-url", "https://npm.example.com/registry"];
    let told = Tollgate::start_on(Database::Sqlite, COMMERCE, &arguments).await;
    let plain = Tollgate::start(COMMERCE).await;
    for (tollgate, url) in [
        (&told, "https://npm.example.com/registry"),
        (&plain, plain.gate.as_str()),
    ] {
        let sold = Vendor::of(tollgate).sell("basic").await;
        let told = sold.body["registryUrl"].as_str().unwrap();
        assert_eq!(told.trim_end_matches('/'), url.trim_end_matches('/'));
    }
}

#[tokio::test]
async fn pot_34_the_token_alone_travels_and_anybody_can_verify_it() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let token = plane.activate(&license["key"], "f-1").await.body["token"].clone();
        // With nothing but what is public.
        let published = plane.get("/license/jwks", None).await.text;
        let keys = KeySet::from_jwks(published.as_bytes()).unwrap();
        let verifier = activation_token::Verifier::new("tollgate", "tollgate-gate", 0);
        let now = activation_token::clock::Clock::now(&*plane.clock);
        assert!(verifier.verify(token.as_str().unwrap(), &keys, now).is_ok());
        assert!(!published.contains("\"d\""), "a private key is published");
    }
}

/// What a gate answers to a token.
async fn status(tollgate: &Tollgate, token: &str) -> StatusCode {
    let url = format!("{}/@acme%2forder", tollgate.gate);
    let request = tests::people::client().get(url).bearer_auth(token);
    request.send().await.unwrap().status()
}

/// Activates the same box each time.
async fn activate(tollgate: &Tollgate, key: &str) -> Value {
    let url = format!("{}/v1/activate", tollgate.control_plane);
    let body = json!({ "key": key, "box": { "fingerprint": "f-1" } });
    let response = tests::people::client().post(url).json(&body).send().await;
    response.unwrap().json().await.unwrap()
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().expect("a text")
}

/// Adopted differently: there, a token went on to its end. Here a gate refuses it as soon as it
/// hears of the change, and well before that end.
#[tokio::test]
async fn pot_35_a_token_ends_when_its_license_gets_less() {
    for database in [Database::Sqlite, Database::Postgres] {
        let tollgate = Tollgate::start_on(database, COMMERCE, &[]).await;
        let vendor = Vendor::of(&tollgate);
        vendor.publish_samples(COMMERCE).await;
        for (what, body) in [
            ("", json!({ "tier": "basic" })),
            ("/suspend", json!({ "reason": "unpaid" })),
            ("/revoke", json!({ "reason": "gone" })),
        ] {
            let key = vendor.issue("growth").await;
            let sold = activate(&tollgate, &key).await;
            assert_eq!(status(&tollgate, text(&sold, "token")).await, 200);
            let url = format!(
                "{}/v1/licenses/{}{what}",
                tollgate.control_plane,
                text(&sold, "licenseId")
            );
            let client = tests::people::client();
            let request = if what.is_empty() {
                client.patch(url)
            } else {
                client.post(url)
            };
            let changed = request
                .bearer_auth(&tollgate.operator_token)
                .json(&body)
                .send()
                .await
                .unwrap();
            assert_eq!(changed.status(), 200, "{what}");
            let since = std::time::Instant::now();
            while status(&tollgate, text(&sold, "token")).await == 200 {
                assert!(
                    since.elapsed() < std::time::Duration::from_secs(5),
                    "{what}: the gate does not hear of it"
                );
            }
            // Where the license goes on, so does the box, at once.
            if what.is_empty() {
                let renewed = activate(&tollgate, &key).await;
                assert_eq!(renewed["tier"], "basic");
                assert_eq!(status(&tollgate, text(&renewed, "token")).await, 200);
            }
        }
    }
}
