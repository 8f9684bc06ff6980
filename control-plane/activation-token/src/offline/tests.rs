//! What a license file, an offline token and the head of a bundle must survive.

mod by_hand;

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::snapshot::{Publishers, Revocations};
use crate::{
    BUNDLE_HEAD_BYTES_MAX, Claims, KeySet, Packages, SigningKey, TOKEN_BYTES_MAX, TokenError,
    Verifier,
};

const DAY: SignedDuration = SignedDuration::from_hours(24);

fn root() -> SigningKey {
    SigningKey::from_seed(&[7; 32]).unwrap()
}

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn names() -> Vec<PackageName> {
    ["@acme/order", "@acme/product"]
        .map(|name| name.parse().unwrap())
        .into()
}

fn claims(life: SignedDuration) -> Claims {
    Claims {
        issuer: "tollgate".into(),
        audience: "gate".into(),
        customer_id: "cus_1".into(),
        token_id: "tok_1".into(),
        issued_at: now(),
        not_before: now(),
        expires_at: now() + life,
        tier: "basic".parse().unwrap(),
        license_id: "lic_1".into(),
        box_id: Some("box_1".into()),
        packages: Packages::Listed(names().into_iter().collect()),
    }
}

fn file() -> LicenseFile {
    LicenseFile {
        request_id: "req_1".into(),
        issued_at: now(),
        expires_at: now() + 365 * DAY,
        fingerprint: "f-1".into(),
        license_id: "lic_1".into(),
        customer_id: "cus_1".into(),
        tier: "basic".into(),
        license_expires_at: None,
        token: root().sign_offline(&claims(365 * DAY)).unwrap(),
        packages: names(),
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        sequence: 7,
        issued_at: now(),
        max_stale_seconds: 900,
        issuer: "tollgate".into(),
        audience: "gate".into(),
        scope: "@acme".into(),
        keys: KeySet::new(vec![root().public().clone()]).to_jwks(),
        tiers: Vec::new(),
        sets: vec![names()],
        revocations: Revocations {
            licenses: Vec::new(),
            boxes: Vec::new(),
        },
        publishers: Publishers {
            hash_key: BASE64URL_NOPAD.encode(&[3; 32]),
            credentials: Vec::new(),
        },
        expiring: Vec::new(),
    }
}

fn head() -> BundleHead {
    BundleHead {
        license_id: "lic_1".into(),
        customer_id: "cus_1".into(),
        created_at: now(),
        snapshot: snapshot(),
        contents_sha256: "0".repeat(64),
    }
}

/// Signs any header and payload with the root key, as our own encoder never would.
fn forge(header: &Value, payload: &str) -> String {
    use ed25519_dalek::Signer;
    let base64url = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
    let signed = format!("{}.{}", base64url(&header.to_string()), base64url(payload));
    let signature = ed25519_dalek::SigningKey::from_bytes(&[7; 32]).sign(signed.as_bytes());
    format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature.to_bytes()))
}

fn header(typ: &str) -> Value {
    json!({"alg": "EdDSA", "typ": typ, "kid": root().public().id()})
}

fn payload(text: &str) -> String {
    let payload = text.split('.').nth(1).unwrap();
    String::from_utf8(BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
}

fn read(text: &str) -> Result<LicenseFile, Untrusted> {
    LicenseFile::from_signed(text, root().public())
}

/// Whether a text passes as each of the five kinds, with the root key known to all.
fn passes_as(text: &str) -> Vec<&'static str> {
    let key = root();
    let keys = KeySet::new(vec![key.public().clone()]);
    let verifier = Verifier::new("tollgate", "gate", 60);
    let offline = verifier.clone().offline();
    let kinds = [
        ("token", verifier.verify(text, &keys, now()).is_ok()),
        ("offline token", offline.verify(text, &keys, now()).is_ok()),
        (
            "snapshot",
            Snapshot::from_signed(text, key.public()).is_ok(),
        ),
        ("license file", read(text).is_ok()),
        (
            "bundle head",
            BundleHead::from_signed(text, key.public()).is_ok(),
        ),
    ];
    kinds
        .into_iter()
        .filter_map(|(kind, passes)| passes.then_some(kind))
        .collect()
}

/// A good text of each kind.
fn texts() -> BTreeMap<&'static str, String> {
    let key = root();
    BTreeMap::from([
        ("token", key.sign(&claims(DAY)).unwrap()),
        ("offline token", key.sign_offline(&claims(DAY)).unwrap()),
        ("snapshot", key.sign_snapshot(&snapshot()).unwrap()),
        ("license file", key.sign_license_file(&file()).unwrap()),
        ("bundle head", key.sign_bundle_head(&head()).unwrap()),
    ])
}

#[test]
fn what_was_signed_comes_back() {
    let text = root().sign_license_file(&file()).unwrap();
    assert_eq!(read(&text), Ok(file()));
    let text = root().sign_bundle_head(&head()).unwrap();
    let read = BundleHead::from_signed(&text, root().public()).unwrap();
    assert_eq!(json!(read), json!(head()));
}

#[test]
fn no_kind_passes_as_another() {
    for (kind, text) in texts() {
        assert_eq!(passes_as(&text), [kind]);
    }
    // The root key that signed one kind's content under another's header is a broken signer, and
    // even then what is in it does not fit, but for the two kinds of token.
    let types = [
        ("token", crate::TOKEN_TYPE),
        ("offline token", crate::OFFLINE_TOKEN_TYPE),
        ("snapshot", crate::SNAPSHOT_TYPE),
        ("license file", crate::LICENSE_FILE_TYPE),
        ("bundle head", crate::BUNDLE_HEAD_TYPE),
    ];
    for (kind, text) in texts() {
        for (other, typ) in types {
            let both_tokens = kind.ends_with("token") && other.ends_with("token");
            if kind != other && !both_tokens {
                let text = forge(&header(typ), &payload(&text));
                assert!(passes_as(&text).is_empty(), "{kind} as {other}");
            }
        }
    }
}

#[test]
fn only_the_root_key_counts() {
    let other = SigningKey::from_seed(&[8; 32]).unwrap();
    let text = other.sign_license_file(&file()).unwrap();
    assert_eq!(read(&text), Err(Untrusted::OtherKey));
    let (_, signature) = text.rsplit_once('.').unwrap();
    let good = root().sign_license_file(&file()).unwrap();
    let (signed, _) = good.rsplit_once('.').unwrap();
    let mixed = format!("{signed}.{signature}");
    assert_eq!(read(&mixed), Err(Untrusted::Signature));

    let text = other.sign_bundle_head(&head()).unwrap();
    let head = BundleHead::from_signed(&text, root().public());
    assert_eq!(head.unwrap_err(), Untrusted::OtherKey);

    let token = other.sign_offline(&claims(DAY)).unwrap();
    let keys = KeySet::new(vec![root().public().clone()]);
    let offline = Verifier::new("tollgate", "gate", 60).offline();
    let verified = offline.verify(&token, &keys, now()).map(drop);
    assert_eq!(verified, Err(TokenError::UnknownKey));
}

#[test]
fn an_ordinary_gate_takes_no_offline_token_and_one_with_a_bundle_no_other() {
    let keys = KeySet::new(vec![root().public().clone()]);
    let ordinary = Verifier::new("tollgate", "gate", 60);
    let offline = ordinary.clone().offline();
    let verify = |verifier: &Verifier, token: &str, days: i32| {
        let at = now() + days * DAY;
        verifier.verify(token, &keys, at).map(drop)
    };
    let short = root().sign(&claims(DAY)).unwrap();
    assert_eq!(verify(&ordinary, &short, 0), Ok(()));
    assert_eq!(verify(&offline, &short, 0), Err(TokenError::Header));
    let long = root().sign_offline(&claims(400 * DAY)).unwrap();
    assert_eq!(verify(&offline, &long, 0), Ok(()));
    assert_eq!(verify(&offline, &long, 399), Ok(()));
    assert_eq!(verify(&offline, &long, 401), Err(TokenError::Expired));
    assert_eq!(verify(&ordinary, &long, 0), Err(TokenError::Header));
    // A life beyond the kind's bound is refused, whoever signed.
    let second = SignedDuration::from_secs(1);
    let longer = root().sign_offline(&claims(400 * DAY + second)).unwrap();
    assert!(matches!(
        verify(&offline, &longer, 0),
        Err(TokenError::Claims(_))
    ));
    let longer = root().sign(&claims(DAY + second)).unwrap();
    assert!(matches!(
        verify(&ordinary, &longer, 0),
        Err(TokenError::Claims(_))
    ));
    // Issuer and audience count as ever.
    let elsewhere = Verifier::new("tollgate", "another gate", 60).offline();
    assert_eq!(verify(&elsewhere, &long, 0), Err(TokenError::Audience));
    // A set too large for a token is named by its digest.
    let many = (0..2000).map(|n| format!("@acme/package-{n}").parse().unwrap());
    let many = Claims {
        packages: Packages::Listed(many.collect()),
        ..claims(DAY)
    };
    let token = root().sign_offline(&many).unwrap();
    assert!(token.len() < TOKEN_BYTES_MAX);
    let verified = offline.verify(&token, &keys, now()).unwrap();
    assert!(matches!(verified.claims().packages, Packages::Reference(_)));
}

#[test]
fn form_header_and_content_are_closed() {
    let good = root().sign_license_file(&file()).unwrap();
    let typ = crate::LICENSE_FILE_TYPE;
    let whole = serde_json::to_value(file()).unwrap();
    assert!(read(&forge(&header(typ), &whole.to_string())).is_ok());
    for text in [
        String::new(),
        format!("{good}\n"),
        format!("{good}="),
        format!("{good}.x"),
    ] {
        assert_eq!(read(&text), Err(Untrusted::Form), "{text}");
    }
    for (member, value) in [
        ("alg", json!("none")),
        ("typ", json!("JWT")),
        ("jwk", json!({})),
        ("crit", json!(["exp"])),
        ("kid", Value::Null),
    ] {
        let mut head = header(typ);
        head[member] = value;
        let text = forge(&head, &whole.to_string());
        assert_eq!(read(&text), Err(Untrusted::Header), "{head}");
    }
    for (member, value) in [
        ("more", json!(1)),
        ("requestId", json!("")),
        ("requestId", json!("a\u{0}b")),
        ("licenseId", json!(7)),
        ("customerId", json!("x".repeat(201))),
        ("tier", json!("")),
        ("fingerprint", json!("")),
        ("issuedAt", json!(1)),
        ("expiresAt", json!("2026-11-21T12:00:00Z")),
        ("expiresAt", json!("2025-11-21T12:00:00Z")),
        ("expiresAt", json!("2027-12-26T12:00:01Z")),
        ("packages", json!(["@acme/product", "@acme/order"])),
        ("packages", json!(["@acme/order", "@acme/order"])),
        ("packages", json!(["@acme/../order"])),
        ("token", Value::Null),
    ] {
        let mut changed = whole.clone();
        changed[member] = value;
        let text = forge(&header(typ), &changed.to_string());
        assert_eq!(read(&text), Err(Untrusted::Content), "{changed}");
    }
    // 400 days to the second are allowed.
    let mut longest = whole.clone();
    longest["expiresAt"] = json!("2027-12-26T12:00:00Z");
    assert!(read(&forge(&header(typ), &longest.to_string())).is_ok());

    let whole = whole.to_string();
    for body in [
        format!("[{whole}]"),
        format!("{whole}{whole}"),
        whole.replacen('{', r#"{"tier":"growth","#, 1),
        whole.replacen('{', r#"{"expiresAt":"2027-11-21T12:00:00Z","#, 1),
    ] {
        let text = forge(&header(typ), &body);
        assert_eq!(read(&text), Err(Untrusted::Content), "{body}");
    }
    let twice = json!(head()).to_string();
    let twice = twice.replacen('{', r#"{"licenseId":"lic_2","#, 1);
    let text = forge(&header(crate::BUNDLE_HEAD_TYPE), &twice);
    let read = BundleHead::from_signed(&text, root().public());
    assert_eq!(read.unwrap_err(), Untrusted::Content);
}

#[test]
fn what_is_beyond_its_limit_is_not_looked_at() {
    let text = "a".repeat(LICENSE_FILE_BYTES_MAX + 1);
    assert_eq!(read(&text), Err(Untrusted::TooLong));
    assert_eq!(read(&text[1..]), Err(Untrusted::Form));
    assert!(HandedOver::parse(&"a".repeat(LICENSE_FILE_BYTES_MAX + 1025)).is_err());
    let text = "a".repeat(BUNDLE_HEAD_BYTES_MAX + 1);
    let why = |text: &str| BundleHead::from_signed(text, root().public()).unwrap_err();
    assert_eq!(why(&text), Untrusted::TooLong);
    assert_eq!(why(&text[1..]), Untrusted::Form);
    // Nothing is signed that nobody would look at.
    let huge = LicenseFile {
        token: "x".repeat(LICENSE_FILE_BYTES_MAX),
        ..file()
    };
    assert!(root().sign_license_file(&huge).is_err());
}

proptest! {
    #[test]
    fn no_single_changed_letter_passes(at in 0_usize..8000, letter in "[A-Za-z0-9_.=-]") {
        for (kind, text) in texts() {
            let at = at % text.len();
            let changed = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
            if changed != text {
                prop_assert!(passes_as(&changed).is_empty(), "{}", kind);
            }
        }
    }

    #[test]
    fn no_part_is_left_out_repeated_or_moved(from in 0_usize..8000, length in 1_usize..400) {
        for (kind, text) in texts() {
            let from = from % text.len();
            let to = (from + length).min(text.len());
            let (before, part, after) = (&text[..from], &text[from..to], &text[to..]);
            for changed in [
                format!("{before}{after}"),
                format!("{before}{part}{part}{after}"),
                format!("{part}{before}{after}"),
            ] {
                if changed != text {
                    prop_assert!(passes_as(&changed).is_empty(), "{}", kind);
                }
            }
        }
    }

    #[test]
    fn texts_that_are_nothing_are_refused(text in ".{0,300}") {
        prop_assert!(passes_as(&text).is_empty());
        prop_assert!(LicenseRequest::from_json(&text).is_err());
        let _ = HandedOver::parse(&text);
    }
}
