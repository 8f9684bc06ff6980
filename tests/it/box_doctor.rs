//! `box doctor`: a box that is well, and each thing that may be wrong with one.

use std::os::unix::fs::PermissionsExt;

use jiff::SignedDuration;
use serde_json::Value;
use tests::box_cli::{BoxCli, Ran, hiding};
use tests::relay::Relaying;
use tests::{Database, Relay, SMALL, Tollgate, Vendor};
use tokio::process::Command;

const NOTHING: SignedDuration = SignedDuration::ZERO;

/// A box, activated through a relay at a vendor with packages.
struct Sold {
    tollgate: Tollgate,
    vendor: Vendor,
    relaying: Relaying,
    key: String,
    shop: BoxCli,
}

impl Sold {
    async fn new() -> Self {
        let tollgate = Tollgate::start(SMALL).await;
        let vendor = Vendor::of(&tollgate);
        vendor.publish_samples(SMALL).await;
        let relay = Relay::bind().await;
        let url = relay.url.clone();
        let relaying = relay.to(&tollgate.control_plane);
        let key = vendor.issue("basic").await;
        let shop = BoxCli::new();
        git(&shop, &["init", "--quiet"]).await;
        shop.activate(&url, &key).await;
        Self {
            tollgate,
            vendor,
            relaying,
            key,
            shop,
        }
    }
}

async fn git(shop: &BoxCli, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(shop.npm.dir()).args(arguments);
    assert!(command.status().await.unwrap().success());
}

/// What a doctor's JSON says of one check: its state, what was seen, and what to do.
fn of(ran: &Ran, name: &str) -> (String, String, String) {
    let told: Value = serde_json::from_str(&ran.stdout).unwrap();
    let checks = told["checks"].as_array().unwrap();
    let check = checks.iter().find(|check| check["name"] == name);
    let check = check.unwrap_or_else(|| panic!("no {name} in {told:#}"));
    let text = |member: &str| check[member].as_str().unwrap_or_default().to_owned();
    (text("state"), text("seen"), text("fix"))
}

fn screen(name: &str, text: &str) {
    let mut settings = hiding();
    settings.add_filter(r"\d+ bytes", "[SIZE] bytes");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The trouble that a doctor sees, each with what to do; and that no secret is among it.
async fn troubles(sold: &Sold, arguments: &[&str], given: &[(&str, &str)]) -> String {
    let mut all = vec!["doctor"];
    all.extend(arguments);
    let ran = sold.shop.run_with(&all, given).await;
    let said = format!("{}{}", ran.stdout, ran.stderr);
    for secret in [&sold.key, "eyJ0eXAi"] {
        assert!(!said.contains(secret), "{said}");
    }
    let mut told = String::new();
    let mut lines = ran.stdout.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("warning ") || line.starts_with("failed ") {
            let fix = lines.next().unwrap().trim();
            told += &format!(
                "{}\n  {fix}\n",
                line.split_whitespace().collect::<Vec<_>>().join(" ")
            );
        }
    }
    let project = sold.shop.npm.dir();
    let told = told.replace(project.to_str().unwrap(), "[PROJECT]");
    format!("{told}=> {}\n", ran.code)
}

#[tokio::test]
async fn a_box_that_is_well_is_told_so_and_left_as_it_is() {
    let sold = Sold::new().await;
    let before = ["box.json", ".npmrc", ".box/credentials.json", ".gitignore"];
    let read = || before.map(|name| sold.shop.read(name));
    let files = read();
    let mut text = sold.shop.transcript(&["doctor"]).await;
    text += &sold.shop.transcript(&["doctor", "--renew"]).await;
    screen("sound", &text);
    let ran = sold.shop.must(&["doctor", "--json"]).await;
    assert_eq!(of(&ran, "download").0, "ok");
    assert_eq!(of(&ran, "tls").0, "skipped");
    assert_eq!(read(), files, "it changed something");
}

#[tokio::test]
async fn each_thing_that_is_wrong_is_told_with_what_to_do() {
    let sold = Sold::new().await;
    let shop = &sold.shop;
    let mut told = String::new();
    let mut note = |what: &str, troubles: String| told += &format!("# {what}\n{troubles}\n");

    let npmrc = shop.read(".npmrc");
    let set_mode = |mode| {
        let allow = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(shop.path(".npmrc"), allow).unwrap();
    };
    set_mode(0o644);
    note("others may read .npmrc", troubles(&sold, &[], &[]).await);
    set_mode(0o600);

    git(shop, &["add", "--force", ".npmrc"]).await;
    note("git has .npmrc", troubles(&sold, &[], &[]).await);
    git(shop, &["rm", "--quiet", "--cached", ".npmrc"]).await;

    let gitignore = shop.read(".gitignore");
    shop.write(".gitignore", "");
    note(
        "git does not ignore .npmrc",
        troubles(&sold, &[], &[]).await,
    );
    shop.write(".gitignore", &gitignore);

    let box_json = shop.read("box.json");
    let name = format!("\"name\": \"{}\",\n  \"license\"", sold.key);
    shop.write("box.json", &box_json.replacen("\"license\"", &name, 1));
    note("a key in box.json", troubles(&sold, &[], &[]).await);
    shop.write("box.json", &box_json);

    shop.write(
        ".npmrc",
        &npmrc.replace("@acme:registry", "@other:registry"),
    );
    note("no line for the scope", troubles(&sold, &[], &[]).await);
    shop.write(
        ".npmrc",
        &format!("{npmrc}//127.0.0.1/:_authToken=another\n"),
    );
    note("another token", troubles(&sold, &[], &[]).await);
    let (line, _) = npmrc.rsplit_once('=').unwrap();
    shop.write(".npmrc", &format!("{line}=stale\n"));
    note("a stale token", troubles(&sold, &[], &[]).await);
    shop.write(".npmrc", &npmrc);

    let elsewhere = [("npm_config_@acme:registry", "http://127.0.0.1:1/")];
    note("the environment", troubles(&sold, &[], &elsewhere).await);
    let settings = shop.path("../user-npmrc");
    let place = sold.tollgate.gate.strip_prefix("http:").unwrap();
    std::fs::write(&settings, format!("{place}/:tokenHelper=/no/helper\n")).unwrap();
    let settings = [("npm_config_userconfig", settings.to_str().unwrap())];
    // The path is another one on each run.
    let helper = troubles(&sold, &[], &settings).await;
    assert!(
        helper.contains("failed overrides pnpm is to ask /no/helper"),
        "{helper}"
    );
    assert!(helper.ends_with("=> 1\n"), "{helper}");

    // What the license covers changed.
    let license = shop.credentials()["licenseId"].as_str().unwrap().to_owned();
    let path = format!("/v1/licenses/{license}");
    let grown = serde_json::json!({ "tier": "growth" });
    assert_eq!(sold.vendor.patch(&path, &grown).await.status(), 200);
    note("another tier", troubles(&sold, &["--renew"], &[]).await);
    shop.must(&["renew", "--force"]).await;

    let npm_token = shop.credentials()["npmToken"].as_str().unwrap().to_owned();
    let kept = shop.read(".box/credentials.json");
    let (rest, _) = npm_token.rsplit_once('.').unwrap();
    let forged = format!("{rest}.{}", "A".repeat(86));
    shop.edit_credentials(|kept| kept["npmToken"] = forged.as_str().into());
    note("a forged token", troubles(&sold, &[], &[]).await);
    shop.write(".box/credentials.json", &kept);

    shop.set_life(SignedDuration::from_mins(50), SignedDuration::from_mins(10));
    note("a token that is due", troubles(&sold, &[], &[]).await);
    shop.set_life(SignedDuration::from_mins(120), NOTHING);
    note("a token that is over", troubles(&sold, &[], &[]).await);
    shop.write(".box/credentials.json", &kept);

    sold.relaying
        .tell_time(tests::now() - SignedDuration::from_mins(20));
    let ran = shop.run(&["doctor", "--json"]).await;
    assert_eq!((ran.code, of(&ran, "clock").0.as_str()), (1, "failed"));
    assert!(
        of(&ran, "clock").1.ends_with("ahead of the server's"),
        "{ran:?}"
    );
    sold.relaying.tell_time(tests::now());

    std::fs::remove_file(shop.path(".npmrc")).unwrap();
    note("no .npmrc", troubles(&sold, &[], &[]).await);
    shop.write(".npmrc", "");
    set_mode(0o600);
    shop.must(&["renew", "--force"]).await;

    let body = serde_json::json!({ "reason": "not paid" });
    let suspend = format!("/v1/licenses/{license}/suspend");
    assert_eq!(sold.vendor.post(&suspend, &body).await.status(), 200);
    note(
        "a suspended license",
        troubles(&sold, &["--renew"], &[]).await,
    );

    shop.edit_credentials(|kept| {
        kept["controlPlaneUrl"] = "http://127.0.0.1:1/".into();
        kept["registryUrl"] = "http://127.0.0.1:1/".into();
    });
    shop.write(
        ".npmrc",
        &shop.read(".npmrc").replace(place, "//127.0.0.1:1"),
    );
    note("no network", troubles(&sold, &[], &[]).await);

    shop.write(".box/credentials.json", "{");
    note("broken credentials", troubles(&sold, &[], &[]).await);
    screen("broken", &told);
}

#[tokio::test]
async fn what_was_never_activated_says_so_and_does_with_what_is_given() {
    let sold = Sold::new().await;
    let shop = BoxCli::new();
    screen("nothing", &shop.transcript(&["doctor"]).await);
    let given = [
        ("BOX_LICENSE_KEY", sold.key.as_str()),
        ("BOX_CONTROL_PLANE", sold.tollgate.control_plane.as_str()),
    ];
    let ran = shop.run_with(&["doctor", "--json"], &given).await;
    for name in ["control plane", "packages", "gate", "download"] {
        assert_eq!(of(&ran, name).0, "ok", "{name}");
    }
    assert!(!shop.path(".box").exists(), "it was to keep nothing");
}

#[tokio::test]
async fn a_tarball_that_is_not_what_its_document_means_is_found() {
    let sold = Sold::new().await;
    let blobs = sold.tollgate.data().join("packages/blobs/sha512");
    let mut tampered = 0;
    for entry in std::fs::read_dir(blobs).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        tampered += 1;
    }
    assert!(tampered > 0);
    let ran = sold.shop.run(&["doctor", "--json"]).await;
    let (state, seen, _) = of(&ran, "download");
    assert_eq!((ran.code, state.as_str()), (1, "failed"), "{seen}");
    assert!(seen.contains("is not the one"), "{seen}");
}

#[tokio::test]
async fn a_certificate_that_does_not_verify_is_named() {
    let shop = BoxCli::new();
    let path = |name: &str| shop.path(name).to_str().unwrap().to_owned();
    let (certificate, key) = (path("cert.pem"), path("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
        .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
        .args(["-subj", "/CN=tollgate test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-out", &certificate, "-keyout", &key])
        .output()
        .await;
    assert!(made.unwrap().status.success());
    let arguments = ["--tls-cert", &certificate, "--tls-key", &key];
    let tollgate = Tollgate::start_on(Database::Sqlite, SMALL, &arguments).await;
    let at = ["--control-plane", &tollgate.control_plane];
    let ran = shop.run(&["doctor", "--json", at[0], at[1]]).await;
    let (state, seen, fix) = of(&ran, "tls");
    assert_eq!((ran.code, state.as_str()), (1, "failed"), "{seen}");
    assert!(
        seen.contains("certificate") && fix.contains("authority"),
        "{seen}"
    );
    let trusted = [("SSL_CERT_FILE", certificate.as_str())];
    let ran = shop
        .run_with(&["doctor", "--json", at[0], at[1]], &trusted)
        .await;
    assert_eq!(of(&ran, "tls").0, "ok", "{ran:?}");
}
