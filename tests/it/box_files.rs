//! What a box's own command leaves in a project, what it does not, and what it says.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};
use tests::box_cli::{BoxCli, hiding};
use tests::{SMALL, Tollgate, Vendor};
use tokio::process::Command;

/// A vendor with a license for sale.
struct Shop {
    tollgate: Tollgate,
    vendor: Vendor,
    license: Value,
}

impl Shop {
    async fn new(manifest: &str) -> Self {
        let tollgate = Tollgate::start(manifest).await;
        let vendor = Vendor::of(&tollgate);
        let body = json!({
            "customerId": "corner-shop", "tier": "basic", "expiresAt": "2126-01-01T00:00:00Z",
        });
        let license = vendor.post("/v1/licenses", &body).await;
        let license = license.json().await.unwrap();
        Self {
            tollgate,
            vendor,
            license,
        }
    }

    fn key(&self) -> &str {
        self.license["key"].as_str().unwrap()
    }

    fn control_plane(&self) -> &str {
        &self.tollgate.control_plane
    }

    async fn change(&self, body: Value) {
        let path = format!("/v1/licenses/{}", self.license["id"].as_str().unwrap());
        let answer = self.vendor.patch(&path, &body).await;
        assert_eq!(answer.status(), 200);
    }

    fn gate_place(&self) -> &str {
        self.tollgate.gate.strip_prefix("http:").unwrap()
    }
}

/// What git would take.
async fn git_takes(shop: &BoxCli) -> BTreeSet<String> {
    let git = async |arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(arguments).current_dir(shop.npm.dir());
        let output = command.output().await.expect("git runs");
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    git(&["init", "--quiet"]).await;
    let listed = git(&["ls-files", "--others", "--exclude-standard"]).await;
    listed.lines().map(ToOwned::to_owned).collect()
}

#[tokio::test]
async fn pot_55_auth_takes_the_key_and_the_org_and_prints_the_tier_and_what_it_covers() {
    let of = Shop::new(SMALL).await;
    let shop = BoxCli::new();
    let arguments = ["auth", "--control-plane", of.control_plane()];
    let arguments = [&arguments[..], &["--key", of.key(), "--org", "an-org"]].concat();
    let ran = shop.must(&arguments).await;
    assert!(
        ran.stdout
            .starts_with("activated: tier basic, 2 packages from ")
    );
    assert!(ran.stdout.ends_with("\n  @acme/order\n  @acme/shared\n"));
    assert_eq!(ran.stderr, "");
    let box_json: Value = serde_json::from_str(&shop.read("box.json")).unwrap();
    assert_eq!(box_json["org"], "an-org");
}

#[tokio::test]
async fn pot_56_the_key_as_a_plain_argument_is_deprecated_and_taken() {
    let of = Shop::new(SMALL).await;
    let shop = BoxCli::new();
    let ran = shop
        .must(&["activate", of.key(), "--control-plane", of.control_plane()])
        .await;
    assert!(ran.stderr.contains("deprecated"), "{ran:?}");
    assert!(!ran.stderr.contains(of.key()), "{ran:?}");
    assert!(ran.stdout.starts_with("activated: tier basic"));
}

#[tokio::test]
async fn pot_57_box_json_tells_the_license_keeps_what_else_it_says_and_stays_as_it_is() {
    let of = Shop::new(SMALL).await;
    let shop = BoxCli::new();
    let theirs = "{\"zeta\": [1,  2],\n\t\"name\":\"shop\", \"n\": 1.0e2, \"license\": null, \"brand\": {\"b\":1,\"a\":2}}";
    shop.write("box.json", theirs);
    shop.activate(of.control_plane(), of.key()).await;
    let text = shop.read("box.json");
    for verbatim in ["[1,  2]", "1.0e2", r#"{"b":1,"a":2}"#] {
        assert!(text.contains(verbatim), "{text}");
    }
    let order = [
        "zeta",
        "name",
        "\"n\"",
        "license",
        "brand",
        "controlPlaneUrl",
    ];
    let places: Vec<usize> = order.iter().map(|name| text.find(name).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
    let said: Value = serde_json::from_str(&text).unwrap();
    let license = said["license"].as_object().unwrap();
    let members: Vec<&String> = license.keys().collect();
    let expected = [
        "activatedAt",
        "customerId",
        "packages",
        "registryUrl",
        "tier",
    ];
    assert_eq!(
        members.into_iter().collect::<BTreeSet<_>>(),
        expected.map(ToOwned::to_owned).iter().collect()
    );
    assert_eq!(license["customerId"], "corner-shop");
    assert_eq!(license["packages"], json!(["@acme/order", "@acme/shared"]));
    let at = license["activatedAt"].as_str().unwrap();
    assert!(at.parse::<jiff::Timestamp>().is_ok(), "{at}");

    // Renewals and further activations leave it alone, until there is news.
    let written = || {
        std::fs::metadata(shop.path("box.json"))
            .unwrap()
            .modified()
            .unwrap()
    };
    let first = written();
    shop.must(&["renew", "--force"]).await;
    shop.must(&["activate"]).await;
    assert_eq!((shop.read("box.json"), written()), (text, first));
    of.change(json!({ "tier": "growth" })).await;
    shop.must(&["renew", "--force"]).await;
    let said: Value = serde_json::from_str(&shop.read("box.json")).unwrap();
    assert_eq!(said["license"]["tier"], "growth");
    assert_eq!(said["brand"], json!({ "b": 1, "a": 2 }));
}

#[tokio::test]
async fn pot_58_key_and_token_are_kept_for_their_owner_alone() {
    let of = Shop::new(SMALL).await;
    let shop = BoxCli::new();
    shop.activate(of.control_plane(), of.key()).await;
    let kept = shop.credentials();
    assert_eq!(kept["licenseKey"], of.key());
    assert!(kept["npmToken"].as_str().unwrap().starts_with("eyJ"));
    for name in [".box/credentials.json", ".npmrc"] {
        let mode = std::fs::metadata(shop.path(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn pot_59_git_takes_no_secret() {
    let of = Shop::new(SMALL).await;
    let shop = BoxCli::new();
    shop.write(".gitignore", "node_modules");
    shop.activate(of.control_plane(), of.key()).await;
    let text = shop.read(".gitignore");
    assert_eq!(text, "node_modules\n.box/credentials.json\n.npmrc\n");
    let expected = [".gitignore", "box.json", "package.json"];
    assert_eq!(
        git_takes(&shop).await,
        expected.map(ToOwned::to_owned).into()
    );
    shop.must(&["renew", "--force"]).await;
    assert_eq!(shop.read(".gitignore"), text);
}

#[tokio::test]
async fn pot_60_no_secret_is_in_box_json_nor_on_screen_nor_in_the_list_of_processes() {
    let of = Shop::new(SMALL).await;
    let shop = BoxCli::new();
    let file = shop.key_file(of.key());
    let file = file.to_str().unwrap();
    let mut tokens = BTreeSet::new();
    let commands: [&[&str]; 8] = [
        &[
            "activate",
            "--control-plane",
            of.control_plane(),
            "--key-file",
            file,
        ],
        &["status"],
        &["status", "--json"],
        &["packages", "--diff"],
        &["renew", "--force"],
        &[
            "activate",
            "--control-plane",
            "http://127.0.0.1:9",
            "--key-file",
            file,
        ],
        &["renew"],
        &["deactivate"],
    ];
    let mut told = String::new();
    for arguments in commands {
        let mut running = shop.command(arguments);
        running.stdout(std::process::Stdio::piped());
        running.stderr(std::process::Stdio::piped());
        let child = running.spawn().unwrap();
        let output = child.wait_with_output();
        tokio::pin!(output);
        let output = loop {
            told += &command_lines();
            tokio::select! {
                output = &mut output => break output.unwrap(),
                () = tokio::task::yield_now() => {}
            }
        };
        told += &String::from_utf8(output.stdout).unwrap();
        told += &String::from_utf8(output.stderr).unwrap();
        if shop.path(".box/credentials.json").exists() {
            tokens.insert(shop.credentials()["npmToken"].as_str().unwrap().to_owned());
        }
        told += &shop.read("box.json");
    }
    assert_eq!(tokens.len(), 2);
    assert!(told.contains("activated: tier basic") && told.contains("--key-file"));
    for secret in tokens.iter().map(String::as_str).chain([of.key()]) {
        assert!(!told.contains(secret), "a secret was told");
    }
}

/// The arguments of all processes of this machine.
fn command_lines() -> String {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned() + "\n")
        .collect()
}

#[tokio::test]
async fn a_hand_edited_npmrc_survives_byte_for_byte() {
    let of = Shop::new(SMALL).await;
    let shop = BoxCli::new();
    let place = of.gate_place();
    let before = "; ours, by hand\n\tfund = false\n\n@other:registry=https://npm.example/\n";
    let after = "//npm.example/:_authToken=${OTHER}\n# no newline at the end";
    // An old token of this gate, set by hand, is taken over where it stands.
    shop.write(
        ".npmrc",
        &format!("{before}{place}/:_authToken = old\n{after}"),
    );
    let check = |shop: &BoxCli| {
        let token = shop.credentials()["npmToken"].as_str().unwrap().to_owned();
        let scope = format!("@acme:registry={}/", of.tollgate.gate);
        assert_eq!(
            shop.read(".npmrc"),
            format!("{before}{place}/:_authToken={token}\n{after}\n{scope}\n")
        );
    };
    shop.activate(of.control_plane(), of.key()).await;
    check(&shop);
    shop.must(&["renew", "--force"]).await;
    check(&shop);
    // Lines that come to stand elsewhere are followed.
    let npmrc = shop.read(".npmrc");
    shop.write(".npmrc", &format!("audit=false\n{npmrc}"));
    shop.must(&["renew", "--force"]).await;
    assert!(
        shop.read(".npmrc")
            .starts_with("audit=false\n; ours, by hand\n")
    );
    shop.must(&["deactivate"]).await;
    assert_eq!(
        shop.read(".npmrc"),
        format!("audit=false\n{before}{after}\n")
    );
}

#[tokio::test]
async fn an_activation_at_another_gate_takes_the_old_lines_out() {
    let one = Shop::new(SMALL).await;
    let two = Shop::new(&SMALL.replace("@acme", "@ajax")).await;
    let shop = BoxCli::new();
    shop.write(".npmrc", "fund=false\n");
    shop.activate(one.control_plane(), one.key()).await;
    let ran = shop.activate(two.control_plane(), two.key()).await;
    assert!(ran.stderr.contains("keeps this box's seat"), "{ran:?}");
    let (gate, place) = (&two.tollgate.gate, two.gate_place());
    let token = shop.credentials()["npmToken"].as_str().unwrap().to_owned();
    assert_eq!(
        shop.read(".npmrc"),
        format!("fund=false\n@ajax:registry={gate}/\n{place}/:_authToken={token}\n")
    );
    let said: Value = serde_json::from_str(&shop.read("box.json")).unwrap();
    assert_eq!(said["controlPlaneUrl"], format!("{}/", two.control_plane()));
    assert_eq!(said["license"]["packages"][0], "@ajax/order");
}

#[tokio::test]
async fn what_a_box_says() {
    let of = Shop::new(SMALL).await;
    let shop = BoxCli::new();
    let file = shop.key_file(of.key());
    let file = file.to_str().unwrap();
    let mut screen = String::new();
    let mut tell = async |arguments: &[&str]| screen += &shop.transcript(arguments).await;
    tell(&["status"]).await;
    tell(&["renew"]).await;
    tell(&["token"]).await;
    tell(&["packages"]).await;
    tell(&["activate", "--control-plane", of.control_plane()]).await;
    tell(&["activate", "--key-file", file]).await;
    let at = ["activate", "--control-plane", of.control_plane()];
    tell(&[&at[..], &["--key-file", "missing"]].concat()).await;
    tell(&[&at[..], &["--key", "tgl_live_nonsense"]].concat()).await;
    let nobody = ["activate", "--control-plane", "http://127.0.0.1:9"];
    tell(&[&nobody[..], &["--key-file", file]].concat()).await;
    tell(&[&at[..], &["--key-file", file, "--name", "kiosk"]].concat()).await;
    tell(&["status"]).await;
    tell(&["packages"]).await;
    tell(&["packages", "--diff"]).await;
    tell(&["renew"]).await;
    of.change(json!({ "tier": "growth" })).await;
    tell(&["packages", "--diff"]).await;
    tell(&["renew", "--force"]).await;
    tell(&["packages", "--diff"]).await;
    tell(&["status"]).await;
    tell(&["deactivate"]).await;
    tell(&["deactivate"]).await;
    hiding().bind(|| insta::assert_snapshot!("what_a_box_says", screen));
}
