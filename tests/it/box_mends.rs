//! What may happen to an activated project between two commands: people edit its files, git has
//! them, links lead elsewhere, another process has its turn.

use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, chown, symlink};

use jiff::SignedDuration;
use serde_json::Value;
use tests::box_cli::{BoxCli, run};
use tests::{Relay, SMALL, Tollgate, Vendor};
use tokio::process::Command;

/// A user who is neither root nor who runs the tests.
const SOMEBODY: u32 = 54_321;

struct Sold {
    tollgate: Tollgate,
    key: String,
}

impl Sold {
    async fn new() -> Self {
        let tollgate = Tollgate::start(SMALL).await;
        let vendor = Vendor::of(&tollgate);
        vendor.publish_samples(SMALL).await;
        let key = vendor.issue("basic").await;
        Self { tollgate, key }
    }

    async fn to(&self, shop: &BoxCli) -> tests::box_cli::Ran {
        shop.activate(&self.tollgate.control_plane, &self.key).await
    }

    fn place(&self) -> &str {
        self.tollgate.gate.strip_prefix("http:").unwrap()
    }
}

fn token_of(shop: &BoxCli) -> String {
    shop.credentials()["npmToken"].as_str().unwrap().to_owned()
}

async fn git(shop: &BoxCli, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.args(arguments).current_dir(shop.npm.dir());
    assert!(command.status().await.unwrap().success());
}

fn half_over() -> [SignedDuration; 2] {
    [50, 10].map(SignedDuration::from_mins)
}

#[tokio::test]
async fn an_npmrc_that_names_the_variable_stays_as_it_is_committed() {
    let sold = Sold::new().await;
    let shop = BoxCli::new();
    let gate = &sold.tollgate.gate;
    let npmrc = format!(
        "@acme:registry={gate}/\n{}/:_authToken=${{BOX_TOKEN}}\n",
        sold.place()
    );
    shop.write(".npmrc", &npmrc);
    git(&shop, &["init", "--quiet"]).await;
    git(&shop, &["add", ".npmrc"]).await;
    let ran = sold.to(&shop).await;
    assert!(!ran.stderr.contains("git has"), "{ran:?}");
    shop.must(&["renew", "--force"]).await;
    assert_eq!(shop.read(".npmrc"), npmrc);
    assert_eq!(shop.read(".gitignore"), ".box/credentials.json\n");
    shop.must(&["install", "@acme/order"]).await;
    assert!(shop.npm.installed("@acme").contains("@acme/order"));
    let told = shop.must(&["doctor"]).await;
    assert!(!told.stdout.contains("git has"), "{told:?}");
    shop.must(&["deactivate"]).await;
    assert_eq!(shop.read(".npmrc"), npmrc);
}

#[tokio::test]
async fn a_token_in_an_npmrc_that_git_has_is_warned_of() {
    let sold = Sold::new().await;
    let shop = BoxCli::new();
    shop.write(".npmrc", "fund=false\n");
    git(&shop, &["init", "--quiet"]).await;
    git(&shop, &["add", ".npmrc"]).await;
    let ran = sold.to(&shop).await;
    assert!(ran.stderr.contains("git has .npmrc"), "{ran:?}");
    assert!(ran.stderr.contains("git rm --cached .npmrc"), "{ran:?}");
}

#[tokio::test]
async fn links_in_a_clone_lead_no_write_elsewhere() {
    let sold = Sold::new().await;
    let shop = BoxCli::new();
    let precious = shop.at_home("precious");
    fs::write(&precious, "precious").unwrap();
    fs::create_dir(shop.path(".box")).unwrap();
    for name in [".gitignore", "lock", "credentials.json.new", ".npmrc.new"] {
        symlink(&precious, shop.path(".box").join(name)).unwrap();
    }
    sold.to(&shop).await;
    shop.must(&["deactivate"]).await;
    assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
    assert!(!shop.path(".box").exists());

    let elsewhere = shop.at_home("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(&elsewhere, shop.path(".box")).unwrap();
    let file = shop.key_file(&sold.key);
    let at = [
        "activate",
        "--control-plane",
        &sold.tollgate.control_plane,
        "--key-file",
        file.to_str().unwrap(),
    ];
    let ran = shop.run(&at).await;
    assert_ne!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("is a link"), "{ran:?}");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_edited_while_the_control_plane_is_asked_stays() {
    let sold = Sold::new().await;
    let relay = Relay::bind().await;
    let url = relay.url.clone();
    let relaying = relay.to(&sold.tollgate.control_plane);
    let shop = BoxCli::new();
    shop.activate(&url, &sold.key).await;
    let mut caught = relaying.trap();
    let renewal = shop.run(&["renew", "--force"]);
    let edit = async {
        caught.came().await;
        let npmrc = shop.read(".npmrc");
        shop.write(".npmrc", &format!("audit=false\n{npmrc}"));
        shop.write(".gitignore", &(shop.read(".gitignore") + "dist\n"));
        let json = shop.read("box.json");
        shop.write("box.json", &json.replacen('{', "{\n  \"ours\": 1,", 1));
        caught.go();
    };
    let (ran, ()) = tokio::join!(renewal, edit);
    assert_eq!(ran.code, 0, "{ran:?}");
    let npmrc = shop.read(".npmrc");
    assert!(npmrc.starts_with("audit=false\n"), "{npmrc}");
    assert!(npmrc.contains(&token_of(&shop)), "{npmrc}");
    assert!(shop.read(".gitignore").ends_with("dist\n"));
    let json: Value = serde_json::from_str(&shop.read("box.json")).unwrap();
    assert_eq!(json["ours"], 1);
}

#[tokio::test]
async fn lines_that_got_lost_are_set_again() {
    let sold = Sold::new().await;
    let shop = BoxCli::new();
    sold.to(&shop).await;
    let npmrc = shop.read(".npmrc");
    shop.write(".npmrc", "fund=false\n");
    let ran = shop.must(&["renew"]).await;
    assert!(ran.stdout.starts_with("mended: .npmrc"), "{ran:?}");
    assert!(ran.stdout.contains("not due"), "{ran:?}");
    assert_eq!(shop.read(".npmrc"), format!("fund=false\n{npmrc}"));
    let ran = shop.must(&["renew"]).await;
    assert!(!ran.stdout.contains("mended"), "{ran:?}");
}

#[tokio::test]
async fn a_good_token_waits_for_nobody_and_what_a_crash_left_is_gone_in_the_end() {
    let sold = Sold::new().await;
    let shop = BoxCli::new();
    sold.to(&shop).await;
    let [age, left] = half_over();
    shop.set_life(age, left);
    let lock = File::open(shop.path(".box/lock")).unwrap();
    lock.lock().unwrap();
    // Without a limit of time here, this would show by hanging.
    let ran = shop.must(&["token"]).await;
    assert_eq!(ran.stdout, format!("{}\n", token_of(&shop)));
    let ran = shop.must(&["renew"]).await;
    assert!(ran.stdout.starts_with("not due"), "{ran:?}");
    lock.unlock().unwrap();
    let ran = shop.must(&["renew"]).await;
    assert!(ran.stdout.starts_with("renewed"), "{ran:?}");

    shop.write(".box/.npmrc.new", "half of a tok");
    shop.write(".box/requests.json.new", "");
    shop.must(&["deactivate"]).await;
    assert!(!shop.path(".box").exists());
}

#[tokio::test]
async fn a_box_json_that_somebody_else_left_above_leads_nowhere() {
    let shop = BoxCli::new();
    let json = r#"{ "controlPlaneUrl": "http://127.0.0.1:9/" }"#;
    shop.write("box.json", json);
    fs::create_dir(shop.path("below")).unwrap();
    let status = async || {
        let mut command = shop.command(&["status"]);
        command.current_dir(shop.path("below"));
        let ran = run(command).await;
        ran.stdout + &ran.stderr
    };
    let below = shop.path("below").canonicalize().unwrap();
    let below = format!("`{}`", below.display());
    assert!(!status().await.contains(&below));
    // Who cannot give a file away is spared this trap as well.
    let is_given = chown(shop.path("box.json"), Some(SOMEBODY), None).is_ok();
    assert_eq!(status().await.contains(&below), is_given);
}

#[tokio::test]
async fn what_is_no_address_is_told_before_anybody_is_asked() {
    let shop = BoxCli::new();
    for bad in [
        "localhost:7400",
        "ftp://a.example",
        "https://me:pw@a.example",
    ] {
        let ran = shop
            .run(&["activate", "--control-plane", bad, "--key", "k"])
            .await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("an address"), "{ran:?}");
    }
    shop.write(
        "box.json",
        r#"{ "controlPlaneUrl": "https://me:pw@a.example" }"#,
    );
    let ran = shop.run(&["activate", "--key", "k"]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.stderr.contains("controlPlaneUrl: an address"),
        "{ran:?}"
    );
    assert!(!ran.stderr.contains("pw"), "{ran:?}");
    assert!(!shop.path(".box").exists());
}

#[tokio::test]
async fn a_token_helper_is_written_over_itself_and_nothing_else() {
    let sold = Sold::new().await;
    let shop = BoxCli::new();
    sold.to(&shop).await;
    let mine = shop.at_home("mine");
    fs::write(&mine, "//npm.example/:_authToken=mine\n").unwrap();
    let mine = mine.to_str().unwrap();
    let ran = shop.run(&["token", "--helper", mine]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("is there already"), "{ran:?}");
    let helper = shop.at_home("helper");
    for _ in 0..2 {
        shop.must(&["token", "--helper", helper.to_str().unwrap()])
            .await;
    }
    assert_eq!(
        fs::metadata(&helper).unwrap().permissions().mode() & 0o777,
        0o755
    );
}

#[tokio::test]
async fn a_doctor_reads_a_key_once_and_minds_no_strange_variable() {
    let sold = Sold::new().await;
    let shop = BoxCli::new();
    sold.to(&shop).await;
    let mut command = shop.command(&["doctor", "--renew", "--key-file", "-"]);
    command.env("STRANGE", std::ffi::OsStr::from_bytes(b"\xff"));
    command.stdin(File::open(shop.key_file(&sold.key)).unwrap());
    let ran = run(command).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stdout.contains("as the license covers them"), "{ran:?}");
}
