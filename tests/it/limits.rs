//! How often somebody without a credential may ask, and whom that never locks out.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::ConnectInfo;
use axum::http::Method;
use control_plane::api;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tests::SMALL;
use tests::plane::{Answer, Plane, json_request};

/// Activates from an address, with what a proxy says.
async fn from(
    plane: &Plane,
    peer: &str,
    forwarded: Option<&str>,
    key: &Value,
    box_: &str,
) -> Answer {
    let body = json!({ "key": key, "box": { "fingerprint": box_ } }).to_string();
    let mut request = json_request(Method::POST, "/v1/activate", None, body);
    let peer: SocketAddr = format!("{peer}:4711").parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    if let Some(forwarded) = forwarded {
        let value = forwarded.parse().unwrap();
        request.headers_mut().insert("x-forwarded-for", value);
    }
    plane.send(request).await
}

/// A key that nobody has: mistyped, or of the right form.
fn guess(nth: u8) -> Value {
    let secret = activation_token::credential::new_secret("tgl_live", &[nth; 20]);
    let text = secret.expose_secret().to_owned();
    json!(if nth.is_multiple_of(2) {
        text
    } else {
        format!("{text}x")
    })
}

#[tokio::test]
async fn guessing_ends_in_a_pause_and_a_good_key_from_there_is_served_all_the_same() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let mut refused = 0;
        let paused = loop {
            let answer = from(&plane, "192.0.2.1", None, &guess(refused), "f-1").await;
            if answer.status != 403 {
                break answer;
            }
            refused += 1;
        };
        assert_eq!(
            (paused.status.as_u16(), &paused.body["code"]),
            (429, &json!("too_many_requests"))
        );
        assert!((30..40).contains(&refused), "{refused}");
        let wait: u64 = paused.headers["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=60).contains(&wait), "{wait}");

        let good = from(&plane, "192.0.2.1", None, &license["key"], "f-1").await;
        assert_eq!(good.status, 200, "{}", good.text);
        // Nobody else waits, be it in the same city.
        assert_eq!(
            from(&plane, "192.0.2.2", None, &guess(0), "f-1")
                .await
                .status,
            403
        );
        // In IPv6 one customer has many addresses.
        let near = |last: u16| format!("[2001:db8::{last:x}]");
        let mut last = 0;
        while from(&plane, &near(last), None, &guess(0), "f-1")
            .await
            .status
            == 403
        {
            last += 1;
        }
        assert!((30..40).contains(&last), "{last}");
    }
}

#[tokio::test]
async fn only_a_trusted_proxy_says_where_a_request_comes_from() {
    for mut plane in Plane::on_each(SMALL).await {
        let waits = async |plane: &Plane, peer: &str, forwarded: &str| {
            from(plane, peer, Some(forwarded), &guess(0), "f-1")
                .await
                .status
                == 429
        };
        let spread = async |plane: &Plane, peer: &str| {
            for nth in 0..40 {
                waits(plane, peer, &format!("198.51.100.{nth}")).await;
            }
        };
        // Whoever invents addresses is one, whatever they say.
        spread(&plane, "192.0.2.1").await;
        assert!(waits(&plane, "192.0.2.1", "198.51.100.99").await);

        let networks = "10.0.0.0/8".parse().unwrap();
        plane.set_router(api::router(Arc::clone(&plane.operations), networks));
        spread(&plane, "10.0.0.1").await;
        assert!(
            !waits(&plane, "10.0.0.1", "198.51.100.99").await,
            "each is somebody else"
        );
        for _ in 0..40 {
            waits(&plane, "10.0.0.1", "203.0.113.5").await;
        }
        assert!(
            waits(&plane, "10.0.0.2", "203.0.113.5").await,
            "by whichever proxy"
        );
        // What stands before the last one that is not trusted, the client wrote itself.
        assert!(waits(&plane, "10.0.0.1", "198.51.100.7, 203.0.113.5").await);
        spread(&plane, "192.0.2.1").await;
        assert!(
            waits(&plane, "192.0.2.1", "198.51.100.99").await,
            "this one is still not trusted"
        );
    }
}

#[tokio::test]
async fn a_box_in_a_loop_is_slowed_down_and_no_other_one_is() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let key = &license["key"];
        let first = from(&plane, "192.0.2.1", None, key, "loop").await;
        assert_eq!(
            first.headers["ratelimit-policy"],
            "\"activation\";q=60;w=60"
        );
        assert_eq!(first.headers["ratelimit"], "\"activation\";r=59");
        let mut granted = 1;
        let slowed = loop {
            let answer = from(&plane, "192.0.2.1", None, key, "loop").await;
            if answer.status != 200 {
                break answer;
            }
            granted += 1;
        };
        assert_eq!(
            (slowed.status.as_u16(), &slowed.body["code"]),
            (429, &json!("too_many_requests"))
        );
        assert!((60..70).contains(&granted), "{granted}");
        assert!(slowed.headers.contains_key("retry-after"));
        assert_eq!(
            slowed.headers["ratelimit-policy"],
            "\"activation\";q=60;w=60"
        );
        assert_eq!(slowed.headers["ratelimit"], "\"activation\";r=0");
        let other = from(&plane, "192.0.2.1", None, key, "another").await;
        assert_eq!(other.status, 200, "{}", other.text);
        // Its own waiting is not another license's.
        let second = plane.issue(json!({ "customerId": "c-1" })).await;
        let other = from(&plane, "192.0.2.1", None, &second["key"], "loop").await;
        assert_eq!(other.status, 200, "{}", other.text);
    }
}
