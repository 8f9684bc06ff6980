//! Tokens that must not pass, at a real gate and as npm shows them.

use activation_token::{Claims, Packages, SigningKey};
use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tests::{COMMERCE, Npm, Tollgate, Vendor, tiers};

/// The control plane's own key, which only its data directory has.
pub(crate) fn signing_key(tollgate: &Tollgate) -> SigningKey {
    let mut files = std::fs::read_dir(tollgate.data().join("signing-keys")).unwrap();
    let pem = std::fs::read_to_string(files.next().unwrap().unwrap().path()).unwrap();
    SigningKey::from_pem(&pem).unwrap()
}

/// What the control plane would sign for a basic license at that time.
pub(crate) fn claims_of(manifest: &str, at: Timestamp) -> Claims {
    let issued_at = Timestamp::from_second(at.as_second()).unwrap();
    Claims {
        issuer: "tollgate".into(),
        audience: "tollgate-gate".into(),
        customer_id: "c-1".into(),
        token_id: "tok_test".into(),
        issued_at,
        not_before: issued_at,
        expires_at: issued_at + SignedDuration::from_hours(1),
        tier: "basic".parse().unwrap(),
        license_id: "lic_test".into(),
        box_id: None,
        packages: Packages::Listed((**tiers(manifest).packages_for_tier("basic").unwrap()).clone()),
    }
}

fn claims(age: SignedDuration) -> Claims {
    claims_of(COMMERCE, tests::now() - age)
}

#[tokio::test]
async fn every_bad_token_is_refused_with_its_status_and_npm_prints_our_text() {
    let tollgate = Tollgate::start(COMMERCE).await;
    Vendor::of(&tollgate).publish_samples(COMMERCE).await;
    let ours = signing_key(&tollgate);
    let now = SignedDuration::ZERO;
    let good = ours.sign(&claims(now)).unwrap();

    let shop = Npm::project("@acme", &tollgate.gate, Some(&good));
    shop.must(&["install", "@acme/product"]).await;

    let (head, rest) = good.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let growth = Claims {
        tier: "growth".parse().unwrap(),
        packages: Packages::Listed(
            (**tiers(COMMERCE).packages_for_tier("growth").unwrap()).clone(),
        ),
        ..claims(now)
    };
    let other = SigningKey::from_seed(&[7; 32]).unwrap();
    let foreign = other.sign(&growth).unwrap();
    let (_, foreign_rest) = foreign.split_once('.').unwrap();
    let (foreign_claims, _) = foreign_rest.split_once('.').unwrap();
    let unsigned_head = BASE64URL_NOPAD.encode(br#"{"alg":"none","typ":"activation+jwt"}"#);

    let old = ours.sign(&claims(SignedDuration::from_hours(2))).unwrap();
    let elsewhere = Claims {
        audience: "another-gate".into(),
        ..claims(now)
    };
    let stranger = Claims {
        issuer: "another-vendor".into(),
        ..claims(now)
    };
    let early = ours.sign(&claims(SignedDuration::from_mins(-10))).unwrap();
    let invalid = "not valid here";
    let tampered = format!("{head}.{foreign_claims}.{signature}");
    let unsigned = format!("{unsigned_head}.{foreign_claims}.");
    for (name, token, text) in [
        ("tampered", tampered, invalid),
        ("expired", old, "has expired; run `box activate`"),
        ("not valid yet", early, "not valid yet"),
        ("wrong audience", ours.sign(&elsewhere).unwrap(), invalid),
        ("wrong issuer", ours.sign(&stranger).unwrap(), invalid),
        ("unsigned", unsigned, invalid),
        ("another key", foreign.clone(), invalid),
        ("no token at all", String::new(), "no token was sent"),
    ] {
        let url = format!("{}/@acme%2fproduct", tollgate.gate);
        let mut request = tests::people::client().get(url);
        if !token.is_empty() {
            request = request.bearer_auth(&token);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401, "{name}");
        // NPM-8: with this header npm would print a text of its own.
        assert!(
            response.headers().get("www-authenticate").is_none(),
            "{name}"
        );
        let body: Value = response.json().await.unwrap();
        let error = body["error"].as_str().unwrap();
        assert!(error.contains(text), "{name}: {error}");

        let box_ = Npm::project(
            "@acme",
            &tollgate.gate,
            Some(&token).filter(|t| !t.is_empty()).map(String::as_str),
        );
        let output = box_.run(&["install", "@acme/product"]).await;
        assert!(
            !output.success && output.text.contains("E401"),
            "{name}: {}",
            output.text
        );
        assert!(output.text.contains(error), "{name}: {}", output.text);
    }
}
