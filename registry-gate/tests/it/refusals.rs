//! Every refusal, as a client sees it: status, code, sentence in body and reason phrase.

use activation_token::snapshot::{BoxRevocation, LicenseRevocation, RevokedBecause};
use activation_token::{Packages, SigningKey};
use axum::body::Body;
use http::{Method, Request};
use jiff::SignedDuration;

use crate::world::{
    Answer, World, document, expired_publisher_token, get, publisher_token, put, request, set,
};

/// One line of the table.
fn line(what: &str, answer: &Answer) -> String {
    let (error, json) = (answer.error(), answer.json());
    assert_eq!(json["message"], json["error"], "{what}");
    assert_eq!(answer.header("content-type"), "application/json", "{what}");
    assert_eq!(answer.header("cache-control"), "no-store", "{what}");
    // npm would hide our sentence behind its own.
    assert!(!answer.headers.contains_key("www-authenticate"), "{what}");
    let reason = answer.reason.as_deref().unwrap();
    assert!(reason.len() <= 100, "{what}: {}", reason.len());
    assert!(reason.bytes().all(|b| (b' '..=b'~').contains(&b)), "{what}");
    match reason.strip_suffix("...") {
        Some(start) => assert!(error.starts_with(start), "{what}"),
        // The whole sentence, or its first clauses.
        None => assert!(
            format!("{error}; ").starts_with(&format!("{reason}; ")),
            "{what}"
        ),
    }
    format!(
        "{what}: {} {} | {error}\n",
        answer.status.as_u16(),
        answer.code()
    )
}

#[tokio::test]
async fn each_refusal_of_a_token_has_its_status_code_and_sentence() {
    let world = World::new();
    world.publish("@acme/order", "1.0.0").await;
    let mut table = String::new();

    let other_key = SigningKey::from_seed(&[9; 32]).unwrap();
    let basic = world.basic();
    let (unsigned, _) = basic.rsplit_once('.').unwrap();
    let tokens = [
        ("no token", String::new()),
        ("nonsense", "nonsense".to_owned()),
        ("without signature", format!("{unsigned}.")),
        ("of another key", other_key.sign(&world.claims()).unwrap()),
        (
            "of another issuer",
            world.token(|claims| claims.issuer = "x".to_owned()),
        ),
        (
            "for another audience",
            world.token(|claims| claims.audience = "x".to_owned()),
        ),
        (
            "expired",
            world.token(|claims| {
                claims.issued_at -= SignedDuration::from_hours(2);
                claims.not_before = claims.issued_at;
                claims.expires_at -= SignedDuration::from_hours(2);
            }),
        ),
        (
            "not valid yet",
            world.token(|claims| {
                claims.not_before += SignedDuration::from_mins(2);
            }),
        ),
        (
            "of a set that is gone",
            world.token(|claims| {
                claims.packages = Packages::Reference(set(&["@acme/gone"]).digest());
            }),
        ),
        (
            "of a set that is to come",
            world.token(|claims| {
                claims.issued_at += SignedDuration::from_secs(10);
                claims.not_before = claims.issued_at;
                claims.packages = Packages::Reference(set(&["@acme/coming"]).digest());
            }),
        ),
        (
            "of a publisher nobody knows",
            publisher_token().replace('a', "b"),
        ),
        ("of an expired publisher", expired_publisher_token()),
    ];
    for (what, token) in tokens {
        table += &line(
            &format!("token {what}"),
            &world.get("/@acme/order", &token).await,
        );
    }

    insta::assert_snapshot!(table, @r"
    token no token: 401 token_missing | no token was sent; run `box activate`, which sets this project's token, then try again
    token nonsense: 401 token_invalid | this token is not valid here; run `box activate` for a new one, then try again
    token without signature: 401 token_invalid | this token is not valid here; run `box activate` for a new one, then try again
    token of another key: 401 token_invalid | this token is not valid here; run `box activate` for a new one, then try again
    token of another issuer: 401 token_invalid | this token is not valid here; run `box activate` for a new one, then try again
    token for another audience: 401 token_invalid | this token is not valid here; run `box activate` for a new one, then try again
    token expired: 401 token_expired | your activation token has expired; run `box activate` to renew it, then try again
    token not valid yet: 401 token_not_yet_valid | your activation token is not valid yet; check the clocks and try again
    token of a set that is gone: 401 package_set_unknown | your activation token names a package set that is gone; run `box activate` again
    token of a set that is to come: 503 snapshot_behind | this registry has not heard of your token's packages yet; try again shortly
    token of a publisher nobody knows: 401 token_invalid | this publisher token is not valid here; ask your operator for a new one
    token of an expired publisher: 401 token_expired | your publisher token has expired; ask your operator for a new one
    ");
}

#[tokio::test]
async fn each_refusal_of_a_revoked_token_has_its_status_code_and_sentence() {
    let world = World::new();
    let basic = world.basic();
    let mut table = String::new();
    for (why, what) in [
        (RevokedBecause::Changed, "changed"),
        (RevokedBecause::Suspended, "suspended"),
        (RevokedBecause::Revoked, "revoked"),
    ] {
        let mut snapshot = world.snapshot();
        snapshot.revocations.licenses = vec![LicenseRevocation {
            id: "lic_1".to_owned(),
            issued_until: world.now(),
            why,
        }];
        world.sender.publish(snapshot).unwrap();
        let answer = world.get("/@acme/order", &basic).await;
        table += &line(&format!("token of a license that is {what}"), &answer);
    }
    let mut snapshot = world.snapshot();
    snapshot.revocations.boxes = vec![BoxRevocation {
        id: "box_1".to_owned(),
        issued_until: world.now(),
    }];
    world.sender.publish(snapshot).unwrap();
    let boxed = world.token(|claims| claims.box_id = Some("box_1".to_owned()));
    let answer = world.get("/@acme/order", &boxed).await;
    table += &line("token of a box that was released", &answer);

    insta::assert_snapshot!(table, @r"
    token of a license that is changed: 401 token_superseded | your license has changed since this token was issued; run `box activate` again
    token of a license that is suspended: 403 license_suspended | your license is suspended; ask your vendor to reinstate it
    token of a license that is revoked: 403 license_revoked | your license has been revoked; ask your vendor for a new one
    token of a box that was released: 403 box_released | this machine was released from its license; run `box activate` to install here
    ");
}

#[tokio::test]
async fn each_other_refusal_has_its_status_code_and_sentence() {
    let world = World::new();
    world.publish("@acme/order", "1.0.0").await;
    let mut table = String::new();

    let basic = world.basic();
    for path in [
        "/@acme/loyalty",
        "/@acme/nope",
        "/@other/order",
        "/left-pad",
        "/@acme/product",
    ] {
        table += &line(path, &world.get(path, &basic).await);
    }
    let outdated = world.token(|claims| {
        claims.packages = Packages::Listed(set(&["@acme/product"]));
    });
    table += &line(
        "in tier, not in token",
        &world.get("/@acme/order", &outdated).await,
    );
    for path in [
        "/@acme/order/9.9.9",
        "/@acme/order/nope",
        "/@acme/order/-/order-9.9.9.tgz",
    ] {
        table += &line(path, &world.get(path, &basic).await);
    }
    for path in [
        "/",
        "/-/npm/v1/keys",
        "/-/npm/v1/security/advisories/bulk",
        "/@acme/%2e%2e",
    ] {
        table += &line(path, &world.get(path, &basic).await);
    }
    let delete = request(Method::DELETE, "/@acme/order", &basic)
        .body(Body::empty())
        .unwrap();
    let delete = world.call(delete).await;
    assert_eq!(delete.header("allow"), "GET, HEAD, PUT");
    table += &line("DELETE", &delete);

    let again = document("@acme/order", "1.0.0");
    let by_box = world.call(put("@acme/order", &basic, &again)).await;
    table += &line("publish by a box", &by_box);
    table += &line(
        "publish by nobody",
        &world.call(put("@acme/order", "", &again)).await,
    );
    table += &line("publish again", &world.put("@acme/order", &again).await);
    table += &line(
        "publish outside",
        &world.publish("@other/order", "1.0.0").await,
    );

    let closed = World::without_snapshot(|_| {});
    table += &line("no snapshot", &closed.get("/@acme/order", &basic).await);
    world.clock.advance_seconds(900);
    let stale = world.get("/@acme/order", &basic).await;
    assert_eq!(stale.header("retry-after"), "5");
    table += &line("stale snapshot", &stale);

    insta::assert_snapshot!(table, @r"
    /@acme/loyalty: 403 not_entitled | @acme/loyalty is not in your tier basic; it comes with growth; ask your vendor to upgrade
    /@acme/nope: 403 not_entitled | @acme/nope is not in your tier basic; check its name, or ask your vendor
    /@other/order: 404 out_of_scope | this registry serves only @acme packages
    /left-pad: 404 out_of_scope | this registry serves only @acme packages
    /@acme/product: 404 not_published | @acme/product has not been published
    in tier, not in token: 403 token_outdated | @acme/order is in your tier basic but not in your token; run `box activate` again
    /@acme/order/9.9.9: 404 release_not_found | @acme/order has no such version or tag
    /@acme/order/nope: 404 release_not_found | @acme/order has no such version or tag
    /@acme/order/-/order-9.9.9.tgz: 404 release_not_found | @acme/order has no such version or tag
    /: 404 route_not_found | there is nothing at this address
    /-/npm/v1/keys: 404 keys_none | this registry signs nothing, so it has no keys to check signatures with
    /-/npm/v1/security/advisories/bulk: 405 method_not_allowed | this address does not take that method
    /@acme/%2e%2e: 400 path_malformed | this path is outside the npm name grammar
    DELETE: 405 method_not_allowed | this address does not take that method
    publish by a box: 403 publisher_only | only a publisher token may publish; an activation token may install
    publish by nobody: 401 token_missing | no token was sent; run `box activate`, which sets this project's token, then try again
    publish again: 409 version_exists | cannot publish over the existing version of @acme/order
    publish outside: 404 out_of_scope | this registry serves only @acme packages
    no snapshot: 503 snapshot_missing | this registry has not heard from its control plane yet; try again shortly
    stale snapshot: 503 snapshot_stale | this registry has not heard from its control plane for too long; try again later
    ");
}

#[tokio::test]
async fn a_refusal_does_not_tell_whether_a_package_exists() {
    let world = World::new();
    // In the store but in no tier, and nowhere at all.
    assert_eq!(world.publish("@acme/orphan", "1.0.0").await.status, 201);
    let basic = world.basic();
    for path in ["", "/1.0.0", "/latest", "/-/NAME-1.0.0.tgz"] {
        let ask = async |name: &str| {
            let path = format!("/@acme/{name}{}", path.replace("NAME", name));
            let answer = world.get(&path, &basic).await;
            assert!(answer.is(403, "not_entitled"), "{answer:?}");
            let error = answer.error().replace(name, "NAME");
            let headers: Vec<_> = answer.headers.keys().map(ToString::to_string).collect();
            (error, headers)
        };
        assert_eq!(ask("orphan").await, ask("nowhere").await);
    }
}

#[tokio::test]
async fn a_long_name_is_cut_in_the_reason_only() {
    let world = World::new();
    let name = format!("@acme/{}", "a".repeat(150));
    let answer = world.get(&format!("/{name}"), &world.basic()).await;
    assert_eq!(
        answer.error(),
        format!("{name} is not in your tier basic; check its name, or ask your vendor")
    );
    let reason = answer.reason.unwrap();
    assert_eq!(reason.len(), 100);
    assert!(reason.starts_with("@acme/aaa") && reason.ends_with("aaa..."));
    // Where the first clauses fit, no clause is cut.
    let name = format!("@acme/{}", "a".repeat(50));
    let answer = world.get(&format!("/{name}"), &world.basic()).await;
    let first = format!("{name} is not in your tier basic");
    assert_eq!(answer.reason.unwrap(), first);
}

#[tokio::test]
async fn an_ambiguous_credential_is_none() {
    let world = World::new();
    let basic = world.basic();
    let twice = Request::get("/@acme/order")
        .header("authorization", format!("Bearer {basic}"))
        .header("authorization", format!("Bearer {}", world.growth()));
    let twice = world.call(twice.body(Body::empty()).unwrap()).await;
    assert!(twice.is(401, "token_invalid"));
    for value in ["Basic dTpw", "Bearer", "Bearer ", "bearer", "Token x"] {
        let mut request = get("/@acme/order", "");
        request
            .headers_mut()
            .insert("authorization", value.parse().unwrap());
        assert!(
            world.call(request).await.is(401, "token_missing"),
            "{value}"
        );
    }
    for value in [
        format!("Bearer  {basic}"),
        format!("Bearer {basic}x"),
        format!("Bearer {basic},x"),
    ] {
        let mut request = get("/@acme/order", "");
        request
            .headers_mut()
            .insert("authorization", value.parse().unwrap());
        assert!(
            world.call(request).await.is(401, "token_invalid"),
            "{value}"
        );
    }
}
