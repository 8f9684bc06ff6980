//! A box's life with its own command: activated, kept fresh through the day, without a network or
//! the right time, and given back.

use std::process::Stdio;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tests::box_cli::{BoxCli, Ran, run};
use tests::relay::Relaying;
use tests::{Database, Relay, SMALL, Tollgate, Vendor};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::tokens::{claims_of, signing_key};

const NOTHING: SignedDuration = SignedDuration::ZERO;
/// How long a line of `box watch` may take, its waits included.
const PATIENCE: Duration = Duration::from_mins(1);

fn minutes(number: i64) -> SignedDuration {
    SignedDuration::from_mins(number)
}

/// A box, activated through a relay at a vendor that sells two packages.
struct Sold {
    tollgate: Tollgate,
    relaying: Relaying,
    vendor: Vendor,
    key: String,
    shop: BoxCli,
}

impl Sold {
    async fn new() -> Self {
        let tollgate = Tollgate::start(SMALL).await;
        let relay = Relay::bind().await;
        let control_plane = relay.url.clone();
        let relaying = relay.to(&tollgate.control_plane);
        let vendor = Vendor::of(&tollgate);
        let key = vendor.issue("basic").await;
        let shop = BoxCli::new();
        shop.activate(&control_plane, &key).await;
        Self {
            tollgate,
            relaying,
            vendor,
            key,
            shop,
        }
    }

    async fn activations(&self) -> usize {
        activations(&self.vendor).await
    }
}

/// How many activations are in the audit log.
async fn activations(vendor: &Vendor) -> usize {
    let page = vendor.get("/v1/audit?action=license.activate&limit=100");
    let page: Value = page.await.json().await.unwrap();
    page["entries"].as_array().unwrap().len()
}

fn token_of(shop: &BoxCli) -> String {
    shop.credentials()["npmToken"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn three_commands_lead_from_a_fresh_project_to_installed_packages() {
    let tollgate = Tollgate::start(SMALL).await;
    let vendor = Vendor::of(&tollgate);
    vendor.publish_samples(SMALL).await;
    let shop = BoxCli::new();
    let key = shop.key_file(&vendor.issue("basic").await);

    let file = key.to_str().unwrap();
    let at = ["--control-plane", &tollgate.control_plane];
    shop.must(&["activate", at[0], at[1], "--key-file", file])
        .await;
    let status = shop.must(&["status"]).await;
    assert!(status.stdout.contains("seat      1 of 2\n"), "{status:?}");
    shop.npm.must(&["install", "@acme/order"]).await;
    let has = shop.npm.installed("@acme");
    assert_eq!(has.into_iter().collect::<Vec<_>>(), ["@acme/order"]);
}

#[tokio::test]
async fn of_eight_that_renew_at_once_one_asks() {
    let sold = Sold::new().await;
    let shop = &sold.shop;
    let before = sold.activations().await;
    shop.set_life(minutes(50), minutes(10));
    let renewals = (0..8).map(|_| shop.run(&["renew"]));
    let renewals = futures_util::future::join_all(renewals).await;
    assert!(renewals.iter().all(|ran| ran.code == 0), "{renewals:?}");
    let renewed = |ran: &&Ran| ran.stdout.starts_with("renewed: ");
    assert_eq!(renewals.iter().filter(renewed).count(), 1, "{renewals:?}");
    assert_eq!(sold.activations().await, before + 1);
    assert!(shop.read(".npmrc").contains(&token_of(shop)));

    // Not due, nobody is asked; but who insists gets one.
    let ran = shop.must(&["renew"]).await;
    assert!(ran.stdout.starts_with("not due: "), "{ran:?}");
    assert_eq!(sold.activations().await, before + 1);
    shop.must(&["renew", "--force"]).await;
    assert_eq!(sold.activations().await, before + 2);
}

#[tokio::test]
async fn a_token_that_ends_during_a_long_install_is_renewed_by_the_next_call() {
    let relay = Relay::bind().await;
    let url = relay.url.clone();
    let tollgate = Tollgate::start_on(Database::Sqlite, SMALL, &["--gate-url", &url]).await;
    let relaying = relay.to(&tollgate.gate);
    let vendor = Vendor::of(&tollgate);
    vendor.publish_samples(SMALL).await;
    let mut shop = BoxCli::new();
    let key = vendor.issue("basic").await;
    shop.activate(&tollgate.control_plane, &key).await;
    let first = token_of(&shop);

    // While npm downloads, half of the token's life goes by and another process renews.
    let mut caught = relaying.trap();
    let meanwhile = async {
        caught.came().await;
        shop.set_life(minutes(50), minutes(10));
        shop.must(&["renew"]).await;
        caught.go();
    };
    let arguments = ["install", "@acme/order"];
    let (install, ()) = tokio::join!(shop.npm.run(&arguments), meanwhile);
    assert!(install.success, "{}", install.text);
    assert_ne!(token_of(&shop), first);

    // The token is over by now: the install after that fails until it is renewed.
    let claims = claims_of(SMALL, tests::now() - SignedDuration::from_hours(2));
    let over = signing_key(&tollgate).sign(&claims).unwrap();
    let npmrc = shop.read(".npmrc").replace(&token_of(&shop), &over);
    shop.write(".npmrc", &npmrc);
    shop.edit_credentials(|kept| kept["npmToken"] = over.into());
    shop.set_life(minutes(120), -minutes(60));
    let status = shop.run(&["status"]).await;
    assert_eq!(status.code, 1);
    assert!(status.stderr.contains("box renew"), "{status:?}");
    shop.npm.clean();
    let install = shop.npm.run(&["ci"]).await;
    let text = "your activation token has expired";
    assert!(install.text.contains(text), "{}", install.text);
    let ran = shop.must(&["renew"]).await;
    assert!(ran.stdout.starts_with("renewed: "), "{ran:?}");
    shop.npm.must(&["ci"]).await;
}

#[tokio::test]
async fn without_a_network_a_good_token_goes_on_and_an_expired_one_ends_with_3() {
    let mut sold = Sold::new().await;
    sold.tollgate.kill().await;
    let shop = &sold.shop;
    let kept = token_of(shop);
    // Not due: nobody is asked.
    let ran = shop.must(&["token"]).await;
    assert_eq!(
        (ran.stdout.trim(), ran.stderr.as_str()),
        (kept.as_str(), "")
    );

    shop.set_life(minutes(50), minutes(10));
    for (arguments, begins) in [(["token"], kept.as_str()), (["renew"], "not renewed: ")] {
        let ran = shop.must(&arguments).await;
        assert!(ran.stdout.starts_with(begins), "{ran:?}");
        let warning = "warning: cannot reach the control plane at ";
        assert!(ran.stderr.starts_with(warning), "{ran:?}");
    }

    shop.set_life(minutes(70), -minutes(10));
    for arguments in [["token"], ["renew"]] {
        let ran = shop.run(&arguments).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{ran:?}");
        let error = "error: cannot reach the control plane at ";
        assert!(ran.stderr.starts_with(error), "{ran:?}");
    }
    // The seat is the vendor's to free, or this machine's once it hears of it again.
    let ran = shop.run(&["deactivate"]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("--local"), "{ran:?}");
    assert!(shop.path(".box/credentials.json").exists());

    sold.tollgate.start_again().await;
    sold.relaying.move_to(&sold.tollgate.control_plane);
    let ran = shop.must(&["token"]).await;
    assert_ne!(ran.stdout.trim(), kept);
}

#[tokio::test]
async fn a_wrong_clock_is_told_and_does_not_keep_the_token_from_being_renewed() {
    let sold = Sold::new().await;
    let shop = &sold.shop;
    let before = sold.activations().await;
    // It was set back since the token was made.
    shop.set_life(-minutes(120), minutes(180));
    let ran = shop.must(&["renew"]).await;
    assert!(ran.stdout.starts_with("renewed: "), "{ran:?}");
    let warning = "warning: this machine's clock stands 119 minutes before the time";
    let warning_2 = "warning: this machine's clock stands 2 hours before the time";
    assert!(
        ran.stderr.starts_with(warning) || ran.stderr.starts_with(warning_2),
        "{ran:?}"
    );
    assert_eq!(sold.activations().await, before + 1);

    // It differs from the control plane's.
    for (hours, told) in [(5, "hours behind the"), (-5, "hours ahead of the")] {
        let there = tests::now() + SignedDuration::from_hours(hours);
        sold.relaying.tell_time(there);
        let ran = shop.must(&["renew", "--force"]).await;
        assert!(ran.stderr.starts_with("warning: "), "{ran:?}");
        assert!(ran.stderr.contains(told), "{ran:?}");
        // The token's life is counted from when it was asked for, by the clock of here.
        let ends: Timestamp = shop.credentials()["expiresAt"]
            .as_str()
            .unwrap()
            .parse()
            .unwrap();
        let left = ends.duration_since(tests::now());
        assert!(left > NOTHING && left <= minutes(60), "{left}");
    }
    sold.relaying.tell_time(tests::now());
    let ran = shop.must(&["renew", "--force"]).await;
    assert_eq!(ran.stderr, "");
}

#[tokio::test]
async fn where_nothing_may_be_written_no_seat_is_taken_and_token_needs_the_environment_alone() {
    let tollgate = Tollgate::start(SMALL).await;
    let vendor = Vendor::of(&tollgate);
    let key = vendor.issue("basic").await;
    let given = [
        ("BOX_LICENSE_KEY", key.as_str()),
        ("BOX_CONTROL_PLANE", &tollgate.control_plane),
    ];
    let shop = BoxCli::new();
    let ran = shop.run_read_only(&["activate"], &given).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""), "{ran:?}");
    assert!(ran.stderr.contains("cannot write in `"), "{ran:?}");
    assert!(
        ran.stderr
            .contains("nothing was asked of the control plane"),
        "{ran:?}"
    );
    assert_eq!(activations(&vendor).await, 0);

    let ran = shop.run_read_only(&["token"], &given).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    tests::people::client()
        .get(format!("{}/-/whoami", tollgate.gate))
        .bearer_auth(ran.stdout.trim())
        .send()
        .await
        .unwrap()
        .error_for_status()
        .expect("a good token");
    let ran = shop.run_read_only(&["token", "--header"], &given).await;
    assert!(ran.stdout.starts_with("Bearer eyJ"), "{ran:?}");
    let entries = std::fs::read_dir(shop.npm.dir()).unwrap();
    assert_eq!(entries.count(), 1, "package.json alone");

    // A token that was laid there earlier is due: another one is got and not kept.
    shop.activate(&tollgate.control_plane, &key).await;
    shop.set_life(minutes(50), minutes(10));
    let kept = token_of(&shop);
    let ran = shop.run_read_only(&["token"], &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_ne!(ran.stdout.trim(), kept);
    assert_eq!(token_of(&shop), kept);
    let ran = shop.run_read_only(&["renew"], &[]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("cannot write in `"), "{ran:?}");
}

/// `box watch`, and what it says.
struct Watching {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watching {
    fn start(shop: &BoxCli) -> Self {
        let mut command = shop.command(&["watch"]);
        command.stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    async fn says(&mut self, begins: &str) {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await;
        let line = line.expect("it says something").unwrap().expect("a line");
        assert!(line.starts_with(begins), "{line}");
    }
}

#[tokio::test]
async fn watch_renews_survives_an_outage_and_ends_well_on_a_signal() {
    let mut sold = Sold::new().await;
    let shop = &sold.shop;
    let before = sold.activations().await;
    let mut watching = Watching::start(shop);
    watching.says("not due: tier basic").await;
    shop.set_life(minutes(50), minutes(10));
    watching.says("renewed: tier basic").await;
    assert_eq!(sold.activations().await, before + 1);

    sold.tollgate.kill().await;
    shop.set_life(minutes(70), -minutes(10));
    watching
        .says("not renewed: cannot reach the control plane at ")
        .await;
    sold.tollgate.start_again().await;
    sold.relaying.move_to(&sold.tollgate.control_plane);
    watching.says("renewed: tier basic").await;

    let id = watching.child.id().unwrap().to_string();
    let killed = Command::new("kill").args(["-TERM", &id]).status().await;
    assert!(killed.unwrap().success());
    watching.says("stopped").await;
    assert_eq!(watching.child.wait().await.unwrap().code(), Some(0));
}

#[tokio::test]
async fn watch_of_what_was_never_activated_does_not_wait() {
    let ran = BoxCli::new().run(&["watch"]).await;
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("box activate"), "{ran:?}");
}

#[tokio::test]
async fn watch_ends_with_the_activation() {
    let sold = Sold::new().await;
    let mut watching = Watching::start(&sold.shop);
    watching.says("not due: tier basic").await;
    sold.shop.must(&["deactivate"]).await;
    let ended = tokio::time::timeout(PATIENCE, watching.child.wait()).await;
    assert_eq!(ended.expect("it ends").unwrap().code(), Some(4));
}

#[tokio::test]
async fn deactivating_frees_the_seat_and_leaves_what_was_there_before() {
    let tollgate = Tollgate::start(SMALL).await;
    let vendor = Vendor::of(&tollgate);
    let body = json!({ "customerId": "c-1", "tier": "basic", "maxBoxes": 1 });
    let license: Value = vendor
        .post("/v1/licenses", &body)
        .await
        .json()
        .await
        .unwrap();
    let key = license["key"].as_str().unwrap();
    let shop = BoxCli::new();
    let npmrc = "; ours\r\nfund=false\r\n";
    shop.write(".npmrc", npmrc);
    shop.write("box.json", "{\n  \"name\": \"shop\"\n}\n");
    shop.activate(&tollgate.control_plane, key).await;

    let other = BoxCli::new();
    let file = other.key_file(key);
    let at = ["activate", "--control-plane", &tollgate.control_plane];
    let at = [&at[..], &["--key-file", file.to_str().unwrap()]].concat();
    let ran = other.run(&at).await;
    assert_eq!(ran.code, 5, "{ran:?}");
    assert!(ran.stderr.contains("all 1 boxes"), "{ran:?}");
    assert!(!other.path(".box").exists() && !other.path(".npmrc").exists());

    let ran = shop.must(&["deactivate"]).await;
    assert_eq!(ran.stdout, "deactivated: the seat is free\n");
    assert_eq!(shop.read(".npmrc"), npmrc);
    assert!(!shop.path(".box").exists());
    let left: Value = serde_json::from_str(&shop.read("box.json")).unwrap();
    assert_eq!(
        left,
        json!({ "name": "shop", "controlPlaneUrl": format!("{}/", tollgate.control_plane) })
    );
    other.must(&at).await;
    let ran = shop.run(&["deactivate"]).await;
    assert_eq!(ran.code, 4, "{ran:?}");

    // The local part alone; the vendor frees the seat, and that is fine for the box, too.
    let ran = other.must(&["deactivate", "--local"]).await;
    assert!(ran.stderr.contains("keeps its seat"), "{ran:?}");
    assert!(!other.path(".npmrc").exists() && !other.path(".box").exists());
    assert_eq!(run(shop.command(&at)).await.code, 5);
}

#[tokio::test]
async fn a_license_that_was_revoked_ends_the_box_and_not_its_files() {
    let sold = Sold::new().await;
    let license = sold.shop.credentials()["licenseId"].clone();
    let path = format!("/v1/licenses/{}/revoke", license.as_str().unwrap());
    let revoked = json!({ "reason": "not paid" });
    assert_eq!(sold.vendor.post(&path, &revoked).await.status(), 200);
    let npmrc = sold.shop.read(".npmrc");
    let ran = sold.shop.run(&["renew", "--force"]).await;
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(!ran.stderr.contains(&sold.key), "{ran:?}");
    assert_eq!(sold.shop.read(".npmrc"), npmrc);
    // A key that is good for nothing frees no seat; what lies here can go.
    let ran = sold.shop.run(&["deactivate"]).await;
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("--local"), "{ran:?}");
    sold.shop.must(&["deactivate", "--local"]).await;
    assert!(!sold.shop.path(".npmrc").exists());
}
