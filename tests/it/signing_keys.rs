//! Rotation and removal of signing keys, on both databases, with a clock that the test moves and
//! gates that decide by the snapshots.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use activation_token::clock::Clock;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, header};
use control_plane::domain::{Requester, Role};
use control_plane::embedded;
use data_encoding::BASE64URL_NOPAD;
use jiff::Timestamp;
use registry_gate::{Gate, GateConfig, SnapshotSender};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::COMMERCE;
use tests::plane::{Answer, Plane, json_request};
use tokio::sync::Semaphore;

const DAY: i64 = 86_400;
/// A gate may be without news for 15 minutes, and a minute is for the clocks.
const WAIT: i64 = 900 + 60;
/// A token lives for a day at the longest, and clocks may differ by a minute.
const KEEP: i64 = DAY + 60;

/// A gate that goes by a plane's snapshots and clock.
struct Reader {
    gate: Gate,
    sender: SnapshotSender,
    _dir: TempDir,
}

impl Reader {
    async fn of(plane: &Plane) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = "http://gate.example".parse().unwrap();
        let config = GateConfig::new(url, dir.path().to_owned());
        let (gate, sender) = Gate::new(config, plane.clock.clone()).unwrap();
        let reader = Self {
            gate,
            sender,
            _dir: dir,
        };
        reader.hear(plane).await;
        reader
    }

    async fn hear(&self, plane: &Plane) {
        let heard = embedded::feed_once(&plane.operations, &self.sender).await;
        heard.unwrap();
    }

    /// From now on it hears of every change, as the gate of `tollgate serve` does.
    fn listen(&self, plane: &Plane) -> tokio::task::JoinHandle<std::convert::Infallible> {
        let operations = Arc::clone(&plane.operations);
        tokio::spawn(embedded::feed(operations, self.sender.clone()))
    }

    fn takes(&self, token: &str) -> bool {
        let mut headers = HeaderMap::new();
        let value = format!("Bearer {token}");
        headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        let name = "@acme/product".parse().unwrap();
        self.gate.may_read(&headers, name)
    }
}

async fn license(plane: &Plane) -> String {
    let new = json!({ "customerId": "c-1", "tier": "enterprise" });
    let issued = plane.admin_posts("/v1/licenses", &new).await;
    issued["key"].as_str().unwrap().to_owned()
}

async fn activate(plane: &Plane, key: &str, fingerprint: &str) -> String {
    let body = json!({ "key": key, "box": { "fingerprint": fingerprint } });
    let answer = plane.post("/v1/activate", None, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body["token"].as_str().unwrap().to_owned()
}

fn part(token: &str, nth: usize) -> Value {
    let part = token.split('.').nth(nth).unwrap();
    serde_json::from_slice(&BASE64URL_NOPAD.decode(part.as_bytes()).unwrap()).unwrap()
}

/// The key that signed a token.
fn signer(token: &str) -> String {
    part(token, 0)["kid"].as_str().unwrap().to_owned()
}

async fn rotate(plane: &Plane) -> Answer {
    let body = json!({ "reason": "a test" });
    let path = "/v1/signing-keys/rotate";
    plane.post(path, Some(&plane.admin), &body).await
}

async fn rotated(plane: &Plane) -> String {
    let answer = rotate(plane).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.body["id"].as_str().unwrap().to_owned()
}

async fn remove(plane: &Plane, id: &str) -> Answer {
    let path = format!("/v1/signing-keys/{id}?reason=stolen");
    let request = json_request(Method::DELETE, &path, Some(&plane.admin), String::new());
    let (mut parts, body) = request.into_parts();
    parts.headers.remove(header::CONTENT_TYPE);
    plane.send(Request::from_parts(parts, body)).await
}

async fn jwks(plane: &Plane) -> Vec<String> {
    let answer = plane.get("/.well-known/jwks.json", None).await;
    let keys = answer.body["keys"].as_array().unwrap();
    let ids = keys.iter().map(|key| key["kid"].as_str().unwrap());
    ids.map(ToOwned::to_owned).collect()
}

/// Every key with its state, newest first.
async fn states(plane: &Plane) -> Vec<(String, String)> {
    let answer = plane.get("/v1/signing-keys", Some(&plane.admin)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let text = |key: &Value, name: &str| key[name].as_str().unwrap().to_owned();
    let keys = answer.body["signingKeys"].as_array().unwrap();
    keys.iter()
        .map(|key| (text(key, "id"), text(key, "state")))
        .collect()
}

fn files(plane: &Plane) -> BTreeSet<String> {
    std::fs::read_dir(plane.key_files())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .map(|name| name.strip_suffix(".pem").unwrap().to_owned())
        .collect()
}

fn set<const N: usize>(ids: [&str; N]) -> BTreeSet<String> {
    ids.map(ToOwned::to_owned).into()
}

async fn tend(plane: &Plane) {
    let tended = plane.operations.tend_signing_keys().await;
    assert!(tended.is_ok(), "{tended:?}");
}

/// Erasing an unused key's file is not waited for.
async fn until_files_are<const N: usize>(plane: &Plane, ids: [&str; N]) {
    while files(plane) != set(ids) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_new_key_is_published_then_signs_and_the_old_one_retires() {
    for plane in Plane::on_each(COMMERCE).await {
        let key = license(&plane).await;
        let old = signer(&activate(&plane, &key, "f").await);
        assert_eq!(states(&plane).await, [(old.clone(), "signing".to_owned())]);
        let new = rotate(&plane).await;
        assert_eq!(new.status, 201, "{}", new.text);
        let body = &new.body;
        assert_eq!(
            (&body["state"], &body["createdAt"], &body["signsFrom"]),
            (
                &json!("pending"),
                &json!("2026-11-21T12:00:00Z"),
                &json!("2026-11-21T12:16:00Z")
            )
        );
        assert_eq!(body["changesAt"], body["signsFrom"]);
        assert!(body["removedAt"].is_null());
        let new = body["id"].as_str().unwrap().to_owned();
        let both = [old.clone(), new.clone()];
        assert_eq!(jwks(&plane).await, both);

        plane.clock.advance_seconds(WAIT - 1);
        assert_eq!(signer(&activate(&plane, &key, "f").await), old);
        let pending = rotate(&plane).await;
        assert_eq!(
            (pending.status.as_u16(), &pending.body["code"]),
            (409, &json!("key_pending"))
        );
        until_files_are(&plane, [&old, &new]).await;

        plane.clock.advance_seconds(1);
        assert_eq!(signer(&activate(&plane, &key, "f").await), new);
        let keys = [
            (new.clone(), "signing".to_owned()),
            (old.clone(), "retiring".to_owned()),
        ];
        assert_eq!(states(&plane).await, keys);
        plane.clock.advance_seconds(KEEP - 1);
        tend(&plane).await;
        assert_eq!(jwks(&plane).await, both);
        assert_eq!(files(&plane), set([&old, &new]));
        plane.clock.advance_seconds(1);
        tend(&plane).await;
        assert_eq!(jwks(&plane).await, std::slice::from_ref(&new));
        assert_eq!(states(&plane).await[1].1, "retired");
        assert_eq!(files(&plane), set([&new]));

        let audit = plane.sql(
            "SELECT action, subject, reason FROM audit \
             WHERE action LIKE 'signing_key%' ORDER BY sequence",
        );
        let row = |id: &str, reason: &str| format!("signing_key.rotate|{id}|{reason}");
        assert_eq!(audit, [row(&old, ""), row(&new, "a test")]);
    }
}

#[tokio::test]
async fn keys_are_rotated_by_schedule() {
    for plane in Plane::on_each(COMMERCE).await {
        let list = plane.get("/v1/signing-keys", Some(&plane.admin)).await;
        assert_eq!(list.body["nextRotationAt"], "2027-02-19T12:00:00Z");
        plane.clock.advance_seconds(90 * DAY - 1);
        tend(&plane).await;
        assert_eq!(states(&plane).await.len(), 1);
        plane.clock.advance_seconds(1);
        for _ in 0..2 {
            tend(&plane).await;
            assert_eq!(states(&plane).await.len(), 2);
        }
        let audit = plane.sql("SELECT actor, reason FROM audit ORDER BY sequence DESC LIMIT 1");
        assert_eq!(audit, ["system|the schedule of `key-rotation-days`"]);
        let list = plane.get("/v1/signing-keys", Some(&plane.admin)).await;
        assert!(list.body["nextRotationAt"].is_null());
        plane.clock.advance_seconds(WAIT);
        let token = activate(&plane, &license(&plane).await, "f").await;
        assert_eq!(signer(&token), states(&plane).await[0].0);
    }
}

#[tokio::test]
async fn a_removed_key_is_refused_at_once_and_a_new_one_signs() {
    for plane in Plane::on_each(COMMERCE).await {
        let gate = Reader::of(&plane).await;
        let listening = gate.listen(&plane);
        let key = license(&plane).await;
        let stolen = activate(&plane, &key, "f").await;
        assert!(gate.takes(&stolen));
        let id = signer(&stolen);
        let answer = remove(&plane, &id).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        assert_eq!(answer.body["state"], "removed");
        assert_eq!(answer.body["removedAt"], "2026-11-21T12:00:00Z");
        assert!(!gate.takes(&stolen));
        let token = activate(&plane, &key, "f").await;
        assert!(gate.takes(&token));
        assert_eq!(jwks(&plane).await, [signer(&token)]);
        until_files_are(&plane, [&signer(&token)]).await;

        // Again it changes nothing, and the key never comes back.
        let again = remove(&plane, &id).await;
        assert_eq!((again.status.as_u16(), &again.body), (200, &answer.body));
        assert_eq!(jwks(&plane).await, [signer(&token)]);
        let unknown = remove(&plane, &"a".repeat(43)).await;
        assert_eq!(
            (unknown.status.as_u16(), &unknown.body["code"]),
            (404, &json!("signing_key_not_found"))
        );
        until_files_are(&plane, [&signer(&token)]).await;
        listening.abort();
    }
}

#[tokio::test]
async fn after_a_removal_the_pending_key_signs_at_once_or_the_older_one_again() {
    for plane in Plane::on_each(COMMERCE).await {
        let gate = Reader::of(&plane).await;
        let listening = gate.listen(&plane);
        let key = license(&plane).await;
        let first = signer(&activate(&plane, &key, "f").await);
        let second = rotated(&plane).await;
        remove(&plane, &first).await;
        let token = activate(&plane, &key, "f").await;
        assert_eq!(signer(&token), second);
        assert!(gate.takes(&token));
        // The second one retires, and steps in again.
        let third = rotated(&plane).await;
        plane.clock.advance_seconds(WAIT);
        gate.hear(&plane).await;
        assert_eq!(signer(&activate(&plane, &key, "f").await), third);
        remove(&plane, &third).await;
        let token = activate(&plane, &key, "f").await;
        assert_eq!(signer(&token), second);
        assert!(gate.takes(&token));
        until_files_are(&plane, [&second]).await;
        listening.abort();
    }
}

#[tokio::test]
async fn a_change_that_is_given_up_is_taken_back() {
    for plane in Plane::on_each(COMMERCE).await {
        let key = license(&plane).await;
        let before = signer(&activate(&plane, &key, "f").await);
        let operations = &plane.operations;
        let mut change = operations.keyring.change().await;
        let made = change.prepare(Arc::clone(&operations.entropy)).await;
        made.unwrap();
        let mut tx = operations.store.begin().await.unwrap();
        let system = Requester::system();
        let removed = operations.remove_signing_key(&mut tx, &system, &mut change, &before, None);
        let removed = removed.await.expect("a removal");
        // What waits for the same commit is signed by the new key.
        assert_ne!(jwks(&plane).await, std::slice::from_ref(&before));
        drop((removed, tx, change));
        assert_eq!(signer(&activate(&plane, &key, "f").await), before);
        tend(&plane).await;
        assert_eq!(jwks(&plane).await, [before.as_str()]);
        assert_eq!(signer(&activate(&plane, &key, "f").await), before);
    }
}

#[tokio::test]
async fn the_same_request_rotates_once() {
    for plane in Plane::on_each(COMMERCE).await {
        let send = async || {
            let body = json!({ "reason": "a test" }).to_string();
            let path = "/v1/signing-keys/rotate";
            let mut request = json_request(Method::POST, path, Some(&plane.admin), body);
            let headers = request.headers_mut();
            headers.insert("idempotency-key", "once".parse().unwrap());
            plane.send(request).await
        };
        let (first, second) = (send().await, send().await);
        assert_eq!(
            (first.status.as_u16(), second.status.as_u16()),
            (201, 201),
            "{second:?}"
        );
        assert_eq!(first.body, second.body);
        let keys = jwks(&plane).await;
        until_files_are(&plane, [&keys[0], &keys[1]]).await;
    }
}

#[tokio::test]
async fn only_admins_change_keys_and_no_answer_holds_a_private_half() {
    for plane in Plane::on_each(COMMERCE).await {
        let body = json!({ "reason": "a test" });
        for (role, reads) in [
            (Role::Support, 403),
            (Role::Viewer, 200),
            (Role::Billing, 403),
        ] {
            let token = plane.operator(role).await;
            let list = plane.get("/v1/signing-keys", Some(&token)).await;
            assert_eq!(list.status, reads, "{role:?}");
            let path = "/v1/signing-keys/rotate";
            let rotated = plane.post(path, Some(&token), &body).await;
            assert_eq!(rotated.status, 403, "{role:?}");
        }
        let new = rotate(&plane).await;
        let shown = plane.get("/v1/signing-keys", Some(&plane.admin)).await;
        let public = plane.get("/.well-known/jwks.json", None).await;
        let audit = plane.sql("SELECT after FROM audit").concat();
        let (row,) = (plane.sql("SELECT * FROM signing_keys").concat(),);
        for file in std::fs::read_dir(plane.key_files()).unwrap() {
            let pem = std::fs::read_to_string(file.unwrap().path()).unwrap();
            let key = activation_token::SigningKey::from_pem(&pem).unwrap();
            // PKCS#8 ends with the seed.
            let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            let der = data_encoding::BASE64.decode(der.as_bytes()).unwrap();
            let seed = BASE64URL_NOPAD.encode(&der[16..48]);
            for text in [&new.text, &shown.text, &public.text, &audit, &row] {
                assert!(!text.contains(&seed) && !text.contains("\"d\""), "{text}");
            }
            assert!(public.text.contains(key.public().id()));
        }
    }
}

#[tokio::test]
async fn pot_34_the_key_set_can_be_cached_and_says_when_it_has_changed() {
    for plane in Plane::on_each(COMMERCE).await {
        let ask = async |held: &str| {
            let request = Request::get("/.well-known/jwks.json").header("if-none-match", held);
            plane.send(request.body(Body::empty()).unwrap()).await
        };
        let first = plane.get("/.well-known/jwks.json", None).await;
        assert!(
            first
                .text
                .starts_with("{\"algorithm\":\"EdDSA\",\"keys\":[")
        );
        assert_eq!(first.headers["content-type"], "application/json");
        assert_eq!(first.headers["cache-control"], "public, max-age=300");
        let etag = first.headers["etag"].to_str().unwrap();
        assert!(etag.starts_with('"'), "{etag}");
        for held in [etag, &format!("W/{etag}"), &format!("\"x\", {etag}"), "*"] {
            let same = ask(held).await;
            assert_eq!((same.status.as_u16(), &*same.text), (304, ""), "{held}");
            assert_eq!(same.headers["etag"], etag);
            assert_eq!(same.headers["cache-control"], "public, max-age=300");
        }
        rotated(&plane).await;
        let changed = ask(etag).await;
        assert_eq!(changed.status, 200);
        assert_ne!(changed.headers["etag"], etag);
        // Time alone changes it as well: the old key retires.
        let etag = changed.headers["etag"].to_str().unwrap();
        plane.clock.advance_seconds(WAIT + KEEP - 1);
        assert_eq!(ask(etag).await.status, 304);
        plane.clock.advance_seconds(1);
        assert_eq!(ask(etag).await.status, 200);
    }
}

/// A token and when it ends.
type Held = (String, Timestamp);

/// Boxes that activate and install all the time.
struct Load {
    plane: Arc<Plane>,
    gates: Arc<[Reader; 2]>,
    checks: Arc<Semaphore>,
    over: Arc<AtomicBool>,
}

impl Load {
    async fn box_(self, key: String, nth: usize) {
        let mut held: Vec<Held> = Vec::new();
        let mut round = 0_usize;
        while !self.over.load(Ordering::SeqCst) {
            round += 1;
            let token = activate(&self.plane, &key, &format!("f-{nth}-{round}")).await;
            let end = part(&token, 1)["exp"].as_i64().unwrap();
            held.push((token, Timestamp::from_second(end).unwrap()));
            let now = self.plane.clock.now();
            held.retain(|(_, end)| *end > now);
            let spread = held.len() / 8 + 1;
            for (token, end) in held.iter().rev().step_by(spread) {
                for (which, gate) in self.gates.iter().enumerate() {
                    let passed = gate.takes(token);
                    // Time may have moved on meanwhile.
                    let alive = self.plane.clock.now() < *end;
                    assert!(passed || !alive, "gate {which} refused {}", signer(token));
                    self.checks.add_permits(1);
                }
            }
        }
    }
}

/// Ten rotations in thirty hours, while boxes activate and install. One gate hears everything;
/// the other one is as far behind as it may be before it closes.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn rotation_under_load_refuses_no_good_token() {
    const STEP: i64 = 435;
    const STEPS: i64 = 24;
    for plane in Plane::on_each(COMMERCE).await {
        let plane = Arc::new(plane);
        let gates = Arc::new([Reader::of(&plane).await, Reader::of(&plane).await]);
        let checks = Arc::new(Semaphore::new(0));
        let over = Arc::new(AtomicBool::new(false));
        let key = license(&plane).await;
        let boxes: Vec<_> = (0..3)
            .map(|nth| {
                let load = Load {
                    plane: Arc::clone(&plane),
                    gates: Arc::clone(&gates),
                    checks: Arc::clone(&checks),
                    over: Arc::clone(&over),
                };
                tokio::spawn(load.box_(key.clone(), nth))
            })
            .collect();
        let some_checks = async || {
            // Of this moment: those that were left over are no proof.
            checks.forget_permits(usize::MAX >> 4);
            let made = tokio::time::timeout(Duration::from_mins(1), checks.acquire_many(10));
            made.await.expect("boxes that go on").unwrap().forget();
            assert!(!boxes.iter().any(tokio::task::JoinHandle::is_finished));
        };
        let mut signers = BTreeSet::new();
        let mut unheard = 0;
        for _ in 0..10 {
            rotated(&plane).await;
            for _ in 0..STEPS {
                some_checks().await;
                unheard += STEP;
                if unheard >= 900 {
                    gates[1].hear(&plane).await;
                    unheard = STEP;
                }
                plane.clock.advance_seconds(STEP);
                gates[0].hear(&plane).await;
                tend(&plane).await;
            }
            signers.insert(signer(&activate(&plane, &key, "f").await));
        }
        over.store(true, Ordering::SeqCst);
        for box_ in boxes {
            box_.await.unwrap();
        }
        assert_eq!(signers.len(), 10);
        let states: Vec<_> = states(&plane).await.into_iter().map(|(_, s)| s).collect();
        assert_eq!(
            states.iter().filter(|s| *s == "retired").count(),
            2,
            "{states:?}"
        );
    }
}
