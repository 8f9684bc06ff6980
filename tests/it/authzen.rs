//! `AuthZEN`: whether somebody may do something, and that the answer is what happens.

use std::collections::BTreeSet;
use std::sync::Arc;

use activation_token::clock::Clock;
use axum::body::Body;
use axum::http::{HeaderMap, Method, StatusCode, header};
use control_plane::embedded;
use control_plane::operations::Operations;
use entitlements::{By, Entitlements, Limit, Overrides};
use registry_gate::{Gate, GateConfig, SnapshotSender};
use serde_json::{Value, json};
use tempfile::TempDir;
use tests::plane::{Answer, Plane, json_request, path_of};
use tests::{Dice, SELLING, SMALL};

const ONE: &str = "/access/v1/evaluation";
const MANY: &str = "/access/v1/evaluations";

fn about_package(box_id: &Value, package: &str) -> Value {
    json!({
        "subject": { "type": "box", "id": box_id },
        "action": { "name": "download" },
        "resource": { "type": "package", "id": package },
    })
}

async fn ask(plane: &Plane, path: &str, body: &Value) -> Answer {
    let application = plane.credential("application").await["secret"].clone();
    plane.post(path, application.as_str(), body).await
}

#[tokio::test]
async fn a_denial_is_an_answer_with_its_reason() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let box_id = plane.activate(&license["key"], "f-1").await.body["boxId"].clone();
        let decide = async |package: &str| {
            let answer = ask(&plane, ONE, &about_package(&box_id, package)).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            answer.body
        };
        assert_eq!(decide("@acme/order").await, json!({ "decision": true }));
        let denied = decide("@acme/loyalty").await;
        assert_eq!(
            denied,
            json!({ "decision": false, "context": {
                "reason_code": "package_not_entitled",
                "reason": "the package is not in the tier basic; it comes with growth",
            } })
        );
        let code = async |package: &str| {
            decide(package).await["context"]["reason_code"]
                .as_str()
                .unwrap()
                .to_owned()
        };
        assert_eq!(code("@acme/nothing").await, "package_not_entitled");
        assert_eq!(code("@other/order").await, "package_out_of_scope");
        assert_eq!(code("left-pad").await, "package_out_of_scope");
        plane.decide(&license, "suspend").await;
        assert_eq!(code("@acme/order").await, "license_suspended");
        plane.decide(&license, "revoke").await;
        assert_eq!(code("@acme/order").await, "license_revoked");
        let rows = plane.audit_rows();
        let unknown = about_package(&json!("box_00000000000000000000000000"), "@acme/order");
        for (body, expected) in [
            (unknown, "box_not_found"),
            (about_package(&json!("?"), "@acme/order"), "box_not_found"),
            (
                json!({
                    "subject": { "type": "gate", "id": "x" }, "action": { "name": "download" },
                    "resource": { "type": "package", "id": "@acme/order" },
                }),
                "unsupported_question",
            ),
        ] {
            let answer = plane.post(ONE, Some(&plane.admin), &body).await;
            assert_eq!(answer.status, 200);
            assert_eq!(answer.body["context"]["reason_code"], expected);
        }
        assert_eq!(plane.audit_rows(), rows, "a question changes nothing");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_400_and_what_is_not_known_is_ignored() {
    for plane in Plane::on_each(SMALL).await {
        let good = json!({
            "subject": { "type": "box", "id": "b", "properties": { "a": [1] }, "more": 1 },
            "action": { "name": "download", "properties": {} },
            "resource": { "type": "package", "id": "@acme/order" },
            "context": { "time": "2026-11-21T12:00:00Z" }, "more": null, "evaluations": 7,
        });
        assert_eq!(ask(&plane, ONE, &good).await.status, 200);
        let mut broken = Vec::new();
        for member in ["subject", "action", "resource"] {
            let mut without = good.clone();
            without.as_object_mut().unwrap().remove(member);
            broken.push(without.clone());
            for value in [
                json!({}),
                json!("x"),
                json!([]),
                Value::Null,
                json!({ "type": 1, "id": 2, "name": 3 }),
            ] {
                without[member] = value;
                broken.push(without.clone());
            }
        }
        for (member, inner) in [
            ("subject", "type"),
            ("subject", "id"),
            ("resource", "id"),
            ("action", "name"),
        ] {
            let mut empty = good.clone();
            empty[member][inner] = json!("");
            broken.push(empty);
        }
        let mut strange = good.clone();
        strange["context"] = json!(5);
        broken.push(strange);
        broken.extend([json!([]), json!(null), json!({})]);
        for body in broken {
            let answer = plane.post(ONE, Some(&plane.admin), &body).await;
            assert_eq!(answer.status, 400, "{body}: {}", answer.text);
            assert_eq!(answer.body["code"], "invalid_body");
        }
        let mut request = json_request(Method::POST, ONE, Some(&plane.admin), "{".into());
        assert_eq!(plane.send(request).await.status, 400);
        request = json_request(Method::POST, ONE, Some(&plane.admin), good.to_string());
        request
            .headers_mut()
            .insert("x-request-id", "bfe9eb29-ab87".parse().unwrap());
        let answer = plane.send(request).await;
        assert_eq!(answer.headers["x-request-id"], "bfe9eb29-ab87");
        request = json_request(Method::POST, ONE, Some(&plane.admin), good.to_string());
        request.headers_mut().remove(header::CONTENT_TYPE);
        *request.body_mut() = Body::from("x");
        assert_eq!(
            plane.send(request).await.status,
            StatusCode::UNSUPPORTED_MEDIA_TYPE
        );
        assert_eq!(plane.post(ONE, None, &good).await.status, 401);
        let gate = plane.credential("gate").await["secret"].clone();
        assert_eq!(plane.post(ONE, gate.as_str(), &good).await.status, 403);
    }
}

#[tokio::test]
async fn several_questions_are_answered_in_order_and_as_far_as_is_asked() {
    for plane in Plane::on_each(SMALL).await {
        let license = plane.issue(json!({ "customerId": "c-1" })).await;
        let box_id = plane.activate(&license["key"], "f-1").await.body["boxId"].clone();
        let package = |name: &str| json!({ "resource": { "type": "package", "id": name } });
        let (yes, no) = (package("@acme/order"), package("@acme/loyalty"));
        let ask = async |semantic: Option<&str>, questions: &[&Value]| {
            let mut body = about_package(&box_id, "@acme/shared");
            body["evaluations"] = json!(questions);
            if let Some(semantic) = semantic {
                body["options"] = json!({ "evaluations_semantic": semantic, "more": 1 });
            }
            let answer = plane.post(MANY, Some(&plane.admin), &body).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            let answers = answer.body["evaluations"].as_array().unwrap().clone();
            let marks = answers
                .iter()
                .map(|a| if a["decision"] == true { 'y' } else { 'n' });
            marks.collect::<String>()
        };
        for (semantic, questions, expected) in [
            (None, vec![&yes, &no, &yes], "yny"),
            (Some("execute_all"), vec![&no, &yes], "ny"),
            (Some("deny_on_first_deny"), vec![&yes, &no, &yes], "yn"),
            (Some("deny_on_first_deny"), vec![&yes, &yes], "yy"),
            (Some("permit_on_first_permit"), vec![&no, &yes, &no], "ny"),
            (Some("permit_on_first_permit"), vec![&no, &no], "nn"),
        ] {
            assert_eq!(ask(semantic, &questions).await, expected, "{semantic:?}");
        }
        // What stands beside the questions holds for those that say nothing themselves.
        let empty = json!({});
        assert_eq!(ask(None, &[&empty, &no]).await, "yn");

        // Without questions it is the one beside them.
        for evaluations in [None, Some(json!([])), Some(Value::Null)] {
            let mut body = about_package(&box_id, "@acme/order");
            if let Some(evaluations) = evaluations {
                body["evaluations"] = evaluations;
            }
            let answer = plane.post(MANY, Some(&plane.admin), &body).await;
            assert_eq!(answer.body, json!({ "decision": true }));
        }
        // A question that cannot be read is no failure of the others.
        let body = json!({ "evaluations": [about_package(&box_id, "@acme/order"), yes] });
        let answer = plane.post(MANY, Some(&plane.admin), &body).await;
        assert_eq!(
            answer.body,
            json!({ "evaluations": [{ "decision": true }, { "decision": false, "context": {
                "error": { "status": 400, "message": "`subject` is missing" } } }] })
        );
        let mut strange = about_package(&box_id, "@acme/order");
        strange["options"] = json!({ "evaluations_semantic": "at_random" });
        let too_many = json!({ "evaluations": vec![json!({}); 101] });
        for body in [strange, too_many, json!({}), json!({ "evaluations": {} })] {
            let answer = plane.post(MANY, Some(&plane.admin), &body).await;
            assert_eq!(answer.status, 400, "{body}");
        }
    }
}

#[tokio::test]
async fn the_metadata_names_what_is_served_and_no_more() {
    for plane in Plane::on_each(SMALL).await {
        let answer = plane.get("/.well-known/authzen-configuration", None).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.headers["content-type"], "application/json");
        assert_eq!(
            answer.body,
            json!({
                "policy_decision_point": "http://control.example",
                "access_evaluation_endpoint": "http://control.example/access/v1/evaluation",
                "access_evaluations_endpoint": "http://control.example/access/v1/evaluations",
            })
        );
    }
}

/// A gate that goes by a plane's snapshots and clock.
struct RealGate {
    gate: Gate,
    sender: SnapshotSender,
    operations: Arc<Operations>,
    _dir: TempDir,
}

impl RealGate {
    fn of(plane: &Plane) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = "http://gate.example".parse().unwrap();
        let config = GateConfig::new(url, dir.path().to_owned());
        let (gate, sender) = Gate::new(config, plane.clock.clone()).unwrap();
        let operations = Arc::clone(&plane.operations);
        Self {
            gate,
            sender,
            operations,
            _dir: dir,
        }
    }

    async fn hear(&self) {
        embedded::feed_once(&self.operations, &self.sender)
            .await
            .unwrap();
    }

    fn lets_pass(&self, token: &str, package: &str) -> bool {
        let mut headers = HeaderMap::new();
        let value = format!("Bearer {token}").parse().unwrap();
        headers.insert(header::AUTHORIZATION, value);
        self.gate.may_read(&headers, package.parse().unwrap())
    }
}

/// A box that once activated.
#[derive(Clone)]
struct Sold {
    license: Value,
    fingerprint: String,
    box_id: Value,
}

const PACKAGES: [&str; 6] = [
    "@acme/shared",
    "@acme/order",
    "@acme/points",
    "@acme/loyalty",
    "@acme/nothing",
    "@other/order",
];

async fn new_license(plane: &Plane, dice: &mut Dice) -> Value {
    let mut body = json!({ "customerId": format!("c-{}", dice.roll(3)) });
    let tier = dice.one_of(&[None, None, Some("basic"), Some("growth")]);
    let members = [
        ("tier", json!(tier)),
        ("maxBoxes", dice.one_of(&[Value::Null, json!(1), json!(3)])),
        (
            "leaseSeconds",
            dice.one_of(&[Value::Null, Value::Null, json!(4000)]),
        ),
        (
            "addOns",
            dice.one_of(&[json!([]), json!(["@acme/points"]), json!(["@acme/loyalty"])]),
        ),
    ];
    let hours = i64::try_from(1 + dice.roll(8)).unwrap();
    let end = plane.operations.clock.now() + jiff::SignedDuration::from_hours(hours);
    let ending = [
        ("expiresAt", json!(end)),
        ("graceSeconds", dice.one_of(&[Value::Null, json!(7200)])),
        (
            "expiryStrategy",
            dice.one_of(&[Value::Null, json!("maintain")]),
        ),
    ];
    let ends = dice.roll(2) == 0;
    let ending = ending.into_iter().filter(|_| ends);
    for (member, value) in members.into_iter().chain(ending) {
        if !value.is_null() {
            body[member] = value;
        }
    }
    if dice.roll(3) == 0 {
        // Good after its end for boxes that are heard of, and for no others.
        let end = plane.operations.clock.now() + jiff::SignedDuration::from_secs(1);
        body["expiresAt"] = json!(end);
        body["expiryStrategy"] = json!("maintain");
        body["graceSeconds"] = json!(0);
        body["leaseSeconds"] = json!(4000);
    }
    plane.issue(body).await
}

/// Something happens to the licenses.
async fn happen(plane: &Plane, dice: &mut Dice, licenses: &[Value], boxes: &[Sold]) {
    let license = dice.one_of(licenses);
    let change = async |body: Value| {
        // A license that was revoked stays as it is.
        plane.ask(Method::PATCH, &path_of(&license), &body).await;
    };
    match dice.roll(11) {
        0 => drop(plane.decide(&license, "suspend").await),
        1 | 2 => drop(plane.decide(&license, "reinstate").await),
        3 => drop(plane.decide(&license, "revoke").await),
        4 | 8 => {
            change(json!({ "maxBoxes": dice.one_of(&[json!(1), json!(1), Value::Null]) })).await;
        }
        5 => change(json!({ "addOns": dice.one_of(&[json!([]), json!(["@acme/loyalty"])]) })).await,
        6 => {
            let path = format!("/v1/customers/c-{}/tier", dice.roll(3));
            let tier = dice.one_of(&["basic", "growth"]);
            plane
                .ask(Method::PUT, &path, &json!({ "tier": tier }))
                .await;
        }
        7 if !boxes.is_empty() => {
            let sold = dice.one_of(boxes);
            let id = sold.box_id.as_str().unwrap();
            let path = format!("{}/boxes/{id}", path_of(&sold.license));
            plane.ask(Method::DELETE, &path, &Value::Null).await;
        }
        _ => plane
            .clock
            .advance_seconds(i64::try_from(dice.roll(9000)).unwrap()),
    }
}

#[tokio::test]
async fn the_answer_about_a_package_is_what_the_gate_does_with_a_token_of_that_moment() {
    // Each question costs an activation and a snapshot: one database will do.
    for plane in Plane::on_each(SMALL).await.into_iter().take(1) {
        let gate = RealGate::of(&plane);
        let mut seen = BTreeSet::new();
        for seed in 0..6 {
            let dice = &mut Dice::new(seed);
            let mut licenses = Vec::new();
            let mut boxes: Vec<Sold> = Vec::new();
            for nth in 0..20 {
                if nth % 10 == 0 {
                    licenses.push(new_license(&plane, dice).await);
                }
                let license = dice.one_of(&licenses);
                let fingerprint = format!("f-{}", dice.roll(4));
                let answer = plane.activate(&license["key"], &fingerprint).await.body;
                if answer["boxId"].is_string() {
                    let box_id = answer["boxId"].clone();
                    boxes.push(Sold {
                        license,
                        fingerprint,
                        box_id,
                    });
                }
                happen(&plane, dice, &licenses, &boxes).await;
                let Some(sold) = (!boxes.is_empty()).then(|| dice.one_of(&boxes)) else {
                    continue;
                };
                let packages =
                    PACKAGES.map(|id| json!({ "resource": { "type": "package", "id": id } }));
                let mut questions = about_package(&sold.box_id, "");
                questions["evaluations"] = json!(packages);
                let answer = plane.post(MANY, Some(&plane.admin), &questions).await;
                assert_eq!(answer.status, 200, "{}", answer.text);
                let activated = plane.activate(&sold.license["key"], &sold.fingerprint);
                let activated = activated.await.body;
                gate.hear().await;
                for (nth, package) in PACKAGES.iter().enumerate() {
                    let passes = match activated["token"].as_str() {
                        // Released since: the box that activates now is another one.
                        Some(_) if activated["boxId"] != sold.box_id => false,
                        Some(token) => gate.lets_pass(token, package),
                        None => false,
                    };
                    let answer = &answer.body["evaluations"][nth];
                    assert_eq!(answer["decision"], passes, "{package}: {answer}");
                    let code = answer["context"]["reason_code"].as_str();
                    seen.insert(code.unwrap_or("yes").to_owned());
                }
            }
        }
        let all = [
            "box_limit_reached",
            "box_released",
            "license_expired",
            "license_revoked",
            "license_suspended",
            "package_not_entitled",
            "package_out_of_scope",
            "yes",
        ];
        assert_eq!(seen.iter().map(String::as_str).collect::<Vec<_>>(), all);
    }
}

/// One change, made in the product and in the library.
async fn change(plane: &Plane, library: &Entitlements, dice: &mut Dice, subject: &str) {
    let path = |what: &str| format!("/v1/subjects/{subject}/{what}");
    let ask = async |method: Method, path: &str, body: Value| {
        let answer = plane.ask(method, path, &body).await;
        assert_eq!(
            answer.status.as_u16() / 100,
            2,
            "{path} {body}: {}",
            answer.text
        );
    };
    let feature = dice.one_of(&FEATURES);
    let limit = dice.one_of(&LIMITS);
    let tier = format!("/v1/customers/{subject}/tier");
    match dice.roll(9) {
        0 | 1 => {
            let on = dice.roll(2) == 0;
            let body = json!({ "features": { feature: on } });
            ask(Method::PATCH, &path("overrides"), body).await;
            let overrides = Overrides::default().feature(feature, on);
            library.override_(subject, overrides).await.unwrap();
        }
        2 => {
            let count = dice.one_of(&[None, Some(0), Some(3)]);
            let body = json!({ "limits": { limit: count } });
            ask(Method::PATCH, &path("overrides"), body).await;
            let count = count.map_or(Limit::Unlimited, Limit::Count);
            let overrides = Overrides::default().limit(limit, count);
            library.override_(subject, overrides).await.unwrap();
        }
        3 => {
            let query = format!("{}?features={feature}&limits={limit}", path("overrides"));
            ask(Method::DELETE, &query, Value::Null).await;
            let keys = [feature, limit];
            library.clear_override_keys(subject, &keys).await.unwrap();
        }
        4 => {
            let on = dice.roll(2) == 0;
            let path = format!("/v1/switches/{feature}");
            ask(Method::PUT, &path, json!({ "on": on })).await;
            library.set_switch(feature, on, "test", None).await.unwrap();
        }
        5 => {
            let sets: [&[&str]; 4] = [
                &[],
                &["few_seats"],
                &["more_seats", "few_seats"],
                &["few_seats", "boxed", "more_seats"],
            ];
            let names = dice.one_of(&sets);
            ask(Method::PUT, &path("add-ons"), json!({ "addOns": names })).await;
            library.set_add_ons(subject, names).await.unwrap();
        }
        6 => {
            let name = dice.one_of(&["basic", "growth"]);
            ask(Method::PUT, &tier, json!({ "tier": name })).await;
            let assigned = library.assign(subject, name, By::hand("test"));
            assigned.await.unwrap();
        }
        7 => {
            // Without an assignment there is none to take back.
            plane.ask(Method::DELETE, &tier, &Value::Null).await;
            library.unassign(subject).await.unwrap();
        }
        _ => plane
            .clock
            .advance_seconds(3600 * i64::try_from(dice.roll(100)).unwrap()),
    }
}

const FEATURES: [&str; 4] = ["sso", "export_csv", "ai_assist", "beta"];
const LIMITS: [&str; 3] = ["boxes", "seats", "api_calls"];

#[tokio::test]
async fn the_answer_about_a_feature_is_the_librarys_for_the_same_state() {
    for plane in Plane::on_each(SELLING).await {
        let clock = plane.clock.clone();
        let library = Entitlements::builder(
            Arc::new(entitlements::driver::Memory::new()),
            plane.operations.catalog.clone(),
        );
        let library = library
            .clock(entitlements::Clock::by(move || clock.now()))
            .build();
        let subjects = ["c-1", "c-2", "c-3"];
        for subject in subjects {
            plane.issue(json!({ "customerId": subject })).await;
            library.create(subject).await.unwrap();
            plane.clock.advance_seconds(3600 * 24);
        }
        let dice = &mut Dice::new(7);
        let mut yes = 0;
        for _ in 0..60 {
            let subject = dice.one_of(&subjects);
            change(&plane, &library, dice, subject).await;
            // Switches are for all.
            let subject = dice.one_of(&subjects);
            let features =
                FEATURES.map(|id| json!({ "resource": { "type": "feature", "id": id } }));
            let questions = json!({
                "subject": { "type": "subject", "id": subject }, "action": { "name": "use" },
                "evaluations": features,
            });
            let answers = plane.post(MANY, Some(&plane.admin), &questions).await;
            assert_eq!(answers.status, 200, "{}", answers.text);
            let standing = plane
                .read(&format!("/v1/subjects/{subject}/entitlements"))
                .await;
            for (nth, feature) in FEATURES.iter().enumerate() {
                let expected = library.can(subject, feature).await.unwrap();
                let answer = &answers.body["evaluations"][nth];
                assert_eq!(
                    answer["decision"], expected,
                    "{feature}: {answer} {standing}"
                );
                assert_eq!(standing["features"][feature]["on"], expected);
                yes += usize::from(expected);
            }
            for limit in LIMITS {
                let expected = match library.limit(subject, limit).await.unwrap() {
                    Limit::Count(count) => json!(count),
                    Limit::Unlimited => Value::Null,
                };
                assert_eq!(standing["limits"][limit]["limit"], expected, "{limit}");
            }
        }
        assert!((40..200).contains(&yes), "{yes} of 240 says little");
    }
}
