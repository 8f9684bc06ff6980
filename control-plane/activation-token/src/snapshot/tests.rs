//! What a signed snapshot must survive.

use data_encoding::BASE64URL_NOPAD;
use jiff::SignedDuration;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    Claims, KeyError, KeySet, Packages, SNAPSHOT_BYTES_MAX, SigningKey, TokenError, Verifier,
};

fn root() -> SigningKey {
    SigningKey::from_seed(&[7; 32]).unwrap()
}

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn snapshot() -> Snapshot {
    let names: Vec<PackageName> = vec!["@acme/order".parse().unwrap()];
    let set: manifest::PackageSet = names.iter().cloned().collect();
    let token_key = SigningKey::from_seed(&[42; 32]).unwrap();
    Snapshot {
        sequence: 7,
        issued_at: now(),
        max_stale_seconds: 900,
        issuer: "tollgate".into(),
        audience: "gate".into(),
        scope: "@acme".into(),
        keys: KeySet::new(vec![token_key.public().clone()]).to_jwks(),
        tiers: vec![SnapshotTier {
            name: "basic".parse().unwrap(),
            set: set.digest(),
        }],
        sets: vec![names],
        revocations: Revocations {
            licenses: vec![LicenseRevocation {
                id: "lic_1".into(),
                issued_until: now(),
                why: RevokedBecause::Suspended,
            }],
            boxes: vec![BoxRevocation {
                id: "box_1".into(),
                issued_until: now(),
            }],
        },
        publishers: Publishers {
            hash_key: BASE64URL_NOPAD.encode(&[3; 32]),
            credentials: Vec::new(),
        },
        expiring: Vec::new(),
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

fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "snapshot+jwt", "kid": root().public().id()})
}

fn read(text: &str) -> Result<Snapshot, Untrusted> {
    Snapshot::from_signed(text, root().public())
}

fn why_not(text: &str) -> Untrusted {
    read(text).err().unwrap()
}

#[test]
fn a_snapshot_comes_back_as_it_was_signed() {
    let text = root().sign_snapshot(&snapshot()).unwrap();
    let [sent, read] = [snapshot(), read(&text).unwrap()].map(|s| serde_json::to_value(s).unwrap());
    assert_eq!(sent, read);
    assert_eq!(
        sent["revocations"],
        json!({
            "licenses": [{"id": "lic_1", "issuedUntil": "2026-11-21T12:00:00Z", "why": "suspended"}],
            "boxes": [{"id": "box_1", "issuedUntil": "2026-11-21T12:00:00Z"}],
        })
    );
}

#[test]
fn only_the_root_key_counts() {
    let other = SigningKey::from_seed(&[8; 32]).unwrap();
    let text = other.sign_snapshot(&snapshot()).unwrap();
    assert_eq!(why_not(&text), Untrusted::OtherKey);
    // The other key's signature under the root key's name.
    let (_, signature) = text.rsplit_once('.').unwrap();
    let good = root().sign_snapshot(&snapshot()).unwrap();
    let (signed, _) = good.rsplit_once('.').unwrap();
    assert_eq!(
        why_not(&format!("{signed}.{signature}")),
        Untrusted::Signature
    );
}

#[test]
fn a_token_is_no_snapshot_and_a_snapshot_no_token() {
    let claims = Claims {
        issuer: "tollgate".into(),
        audience: "gate".into(),
        customer_id: "cus_1".into(),
        token_id: "tok_1".into(),
        issued_at: now(),
        not_before: now(),
        expires_at: now() + SignedDuration::from_hours(1),
        tier: "basic".parse().unwrap(),
        license_id: "lic_1".into(),
        box_id: None,
        packages: Packages::Listed(std::iter::empty().collect()),
    };
    let token = root().sign(&claims).unwrap();
    assert_eq!(why_not(&token), Untrusted::Header);

    let keys = KeySet::new(vec![root().public().clone()]);
    let verifier = Verifier::new("tollgate", "gate", 60);
    let verify = |text: &str| verifier.verify(text, &keys, now()).map(drop);
    assert_eq!(verify(&token), Ok(()));
    let text = root().sign_snapshot(&snapshot()).unwrap();
    assert_eq!(verify(&text), Err(TokenError::Header));

    // Nor does either pass under the other's header.
    let part = |text: &str| {
        let payload = text.split('.').nth(1).unwrap();
        String::from_utf8(BASE64URL_NOPAD.decode(payload.as_bytes()).unwrap()).unwrap()
    };
    assert_eq!(
        why_not(&forge(&header(), &part(&token))),
        Untrusted::Content
    );
    let mut as_token = header();
    as_token["typ"] = json!("activation+jwt");
    let as_token = forge(&as_token, &part(&text));
    assert!(matches!(verify(&as_token), Err(TokenError::Claims(_))));
}

#[test]
fn form_header_and_content_are_closed() {
    let good = root().sign_snapshot(&snapshot()).unwrap();
    let payload = serde_json::to_string(&snapshot()).unwrap();
    assert!(read(&forge(&header(), &payload)).is_ok());
    for text in [
        String::new(),
        format!("{good}\n"),
        format!("{good}="),
        format!("{good}.x"),
        payload.clone(),
    ] {
        assert_eq!(why_not(&text), Untrusted::Form, "{text}");
    }
    for (member, value) in [
        ("alg", json!("none")),
        ("typ", json!("JWT")),
        ("jwk", json!({})),
        ("crit", json!(["exp"])),
        ("kid", Value::Null),
    ] {
        let mut head = header();
        head[member] = value;
        assert_eq!(
            why_not(&forge(&head, &payload)),
            Untrusted::Header,
            "{head}"
        );
    }
    let whole = serde_json::to_value(snapshot()).unwrap();
    for (path, member, value) in [
        ("", "more", json!(1)),
        ("/revocations", "customers", json!([])),
        ("/revocations/licenses/0", "why", json!("forgotten")),
        ("/revocations/licenses/0", "until", json!(null)),
        ("/revocations/boxes/0", "issuedUntil", json!(1)),
    ] {
        let mut changed = whole.clone();
        changed.pointer_mut(path).unwrap()[member] = value;
        let text = forge(&header(), &changed.to_string());
        assert_eq!(why_not(&text), Untrusted::Content, "{changed}");
    }
    let mut without = whole.clone();
    without.as_object_mut().unwrap().remove("revocations");
    for body in [
        without.to_string(),
        format!("[{payload}]"),
        format!("{payload}{payload}"),
        payload.replacen('{', r#"{"sequence":7,"#, 1),
    ] {
        assert_eq!(
            why_not(&forge(&header(), &body)),
            Untrusted::Content,
            "{body}"
        );
    }
}

#[test]
fn licenses_that_expire_are_told_and_a_snapshot_without_any_has_no_such_member() {
    let none = serde_json::to_value(snapshot()).unwrap();
    assert_eq!(none.get("expiring"), None);
    let mut some = snapshot();
    some.expiring = ["2026-12-04T12:00:00Z", "2026-11-20T12:00:00Z"]
        .map(|end| ExpiringLicense {
            id: "lic_1".into(),
            expires_at: end.parse().unwrap(),
            grace_until: (end < "2026-11-21").then(now),
        })
        .into();
    let text = root().sign_snapshot(&some).unwrap();
    assert_eq!(read(&text).unwrap().expiring, some.expiring);
    let json = serde_json::to_value(&some).unwrap();
    let soon = json!({ "id": "lic_1", "expiresAt": "2026-12-04T12:00:00Z" });
    assert_eq!(json["expiring"][0], soon);
}

#[test]
fn a_snapshot_beyond_the_limit_is_not_looked_at() {
    let text = "a".repeat(SNAPSHOT_BYTES_MAX + 1);
    assert_eq!(why_not(&text), Untrusted::TooLong);
    assert_eq!(why_not(&text[1..]), Untrusted::Form);
}

#[test]
fn a_public_key_travels_as_one_jwk() {
    let json = serde_json::to_value(root().public().to_jwk()).unwrap();
    let again = Key::from_jwk(json.to_string().as_bytes()).unwrap();
    assert_eq!(again.id(), root().public().id());
    for (member, value) in [
        ("d", json!("x")),
        ("kid", json!("x")),
        ("use", Value::Null),
        ("kty", json!("RSA")),
        ("x", json!("!")),
    ] {
        let mut bad = json.clone();
        bad[member] = value;
        let error = Key::from_jwk(bad.to_string().as_bytes()).err();
        assert_eq!(error, Some(KeyError::Jwk), "{bad}");
    }
    let mut weak = json.clone();
    weak["x"] = json!(BASE64URL_NOPAD.encode(&[0; 32]));
    let weak = Key::from_jwk(weak.to_string().as_bytes()).err();
    assert_eq!(weak, Some(KeyError::Unsound));
    assert!(Key::from_jwk(format!("[{json}]").as_bytes()).is_err());
}

proptest! {
    #[test]
    fn no_single_changed_letter_passes(at in 0_usize..4000, letter in "[A-Za-z0-9_.=-]") {
        let text = root().sign_snapshot(&snapshot()).unwrap();
        let at = at % text.len();
        let changed = format!("{}{letter}{}", &text[..at], &text[at + 1..]);
        prop_assume!(changed != text);
        prop_assert!(read(&changed).is_err());
    }
}
