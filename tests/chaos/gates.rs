//! How fast gates that stand alone hear of a revocation.

use serde_json::json;
use tests::process::Gate;
use tests::{SMALL, Tollgate, Vendor};

const SAMPLES: usize = 200;
/// Prints what `ci/bench` shows. Only that it happens is asserted, and that no timer was waited for.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_reaches_two_gates_by_the_change_stream() {
    let tollgate = Tollgate::start(SMALL).await;
    let vendor = Vendor::of(&tollgate);
    let token = vendor.credential("gate").await;
    let dirs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    // The timer is of no help here.
    let hourly = ["--poll-seconds", "3600"];
    let start = |dir| Gate::start_at(&tollgate.control_plane, &token, dir, &hourly);
    let gates = [start(dirs[0].path()).await, start(dirs[1].path()).await];
    let mut took = Vec::new();
    for _ in 0..SAMPLES {
        let sold = vendor.sell("basic").await;
        for gate in &gates {
            gate.answers(&sold.token, 200).await;
        }
        let license = sold.body["licenseId"].as_str().unwrap();
        let path = format!("/v1/licenses/{license}/revoke");
        let answer = vendor.post(&path, &json!({ "reason": "a test" })).await;
        assert_eq!(answer.status(), 200);
        let (one, other) = tokio::join!(
            gates[0].answers(&sold.token, 403),
            gates[1].answers(&sold.token, 403),
        );
        took.extend([one, other]);
    }
    took.sort();
    let of = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
    println!(
        "{SAMPLES} revocations at two gates: median {:?}, p99 {:?}, longest {:?}",
        of(50),
        of(99),
        of(100)
    );
}
