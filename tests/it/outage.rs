//! A control plane that goes away and comes back, as boxes behind a gate of its own see it.

use std::time::{Duration, Instant};

use tests::process::Gate;
use tests::{Database, Npm, Relay, SMALL, Tollgate, Vendor};

/// The shortest that the settings allow, in seconds.
const MAX_STALE: u64 = 60;

#[tokio::test]
async fn installs_go_on_without_the_control_plane_until_max_stale() {
    let stale = MAX_STALE.to_string();
    let arguments = ["--max-stale", &stale];
    let mut tollgate = Tollgate::start_on(Database::Sqlite, SMALL, &arguments).await;
    let relay = Relay::bind().await;
    let url = relay.url.clone();
    let relaying = relay.to(&tollgate.control_plane);
    let vendor = Vendor::of(&tollgate);
    let gate_token = vendor.credential("gate").await;
    let dir = tempfile::tempdir().unwrap();
    let second = ["--poll-seconds", "1"];
    let gate = Gate::start_at(&url, &gate_token, dir.path(), &second).await;
    vendor.publish_samples_to(&gate.url, SMALL).await;
    let sold = vendor.sell("basic").await;
    gate.answers(&sold.token, 200).await;

    tollgate.kill().await;
    let gone = Instant::now();
    let mut shop = Npm::project("@acme", &gate.url, Some(&sold.token));
    shop.must(&["install", "@acme/order"]).await;
    // What it was told last survives the gate, too.
    drop(gate);
    let gate = Gate::start_at(&url, &gate_token, dir.path(), &second).await;
    shop.point("@acme", &gate.url, Some(&sold.token));
    std::fs::remove_file(shop.path("package-lock.json")).unwrap();
    shop.clean();
    shop.must(&["install"]).await;

    gate.answers(&sold.token, 503).await;
    // Made at most when the control plane went.
    let open = gone.elapsed();
    assert!(open <= Duration::from_secs(MAX_STALE + 5), "{open:?}");
    shop.clean();
    let output = shop.run(&["install", "--fetch-retries=0"]).await;
    let text = "has not heard from its control plane for too long";
    assert!(
        !output.success && output.text.contains(text),
        "{}",
        output.text
    );

    tollgate.start_again().await;
    relaying.move_to(&tollgate.control_plane);
    gate.answers(&sold.token, 200).await;
    shop.must(&["install"]).await;
}
