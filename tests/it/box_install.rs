//! `box install` and `box update`: the package manager of the project, with a fresh token. And
//! pnpm, which asks for one by itself.

use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::json;
use tempfile::TempDir;
use tests::box_cli::BoxCli;
use tests::client::Client;

use crate::box_exec::{Sold, TOKEN, borrowed, ended_well, installed, set, with_secrets};

/// A folder with the programs of some package managers, as they are on PATH elsewhere.
fn programs(clients: &[(&str, Client)]) -> (TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    for (name, client) in clients {
        symlink(client.program(), dir.path().join(name)).unwrap();
    }
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", dir.path().display());
    (dir, path)
}

async fn installs_with_its_own(client: Client, name: &str, lockfile: &str) {
    let sold = Sold::new(&[]).await;
    let shop = sold.activated().await;
    let npmrc = shop.read(".npmrc");
    if matches!(client, Client::YarnBerry | Client::Pnpm10 | Client::Pnpm12) {
        set(client, &shop, &sold.tollgate.gate);
        shop.write(".npmrc", &npmrc);
    }
    let version = client.version();
    let package = |manager: bool| {
        let mut package = json!({
            "name": "shop", "version": "1.0.0", "private": true,
            "dependencies": { "@acme/loyalty": "^1.0.0" },
        });
        if manager {
            package["packageManager"] = json!(format!("{name}@{version}"));
        }
        package.to_string()
    };
    let (_programs, path) = programs(&[(name, client)]);
    let run = async |arguments: &[&str], what: &str| {
        let mut given = Client::environment(sold.cache.path());
        given.push(("PATH", path.clone()));
        let ran = shop.run_with(arguments, &borrowed(&given)).await;
        ended_well(&ran, what);
        ran
    };

    shop.write("package.json", &package(true));
    run(&["install"], "what package.json names").await;
    assert!(installed(&shop).contains("@acme/loyalty"));
    let locked = shop.read(lockfile);

    shop.write("package.json", &package(false));
    std::fs::remove_dir_all(shop.path("node_modules")).unwrap();
    run(&["install", "--frozen"], "what the lockfile names").await;
    assert!(installed(&shop).contains("@acme/loyalty"));
    assert_eq!(shop.read(lockfile), locked);

    run(&["install", "@acme/order"], "one more").await;
    assert!(shop.read("package.json").contains("@acme/order"));
    assert!(installed(&shop).contains("@acme/order"));
    run(&["update"], "update").await;
    assert!(installed(&shop).contains("@acme/order"));
    assert_eq!(shop.read(".npmrc"), npmrc, "it was to stay as it is");

    let mut secrets = with_secrets(&shop.npm.dir(), &sold.key);
    secrets.sort();
    let expected = [".box/credentials.json", ".npmrc"].map(|name| shop.path(name));
    assert_eq!(secrets, expected.map(|path| path.display().to_string()));
    assert_eq!(with_secrets(sold.cache.path(), &sold.key), [""; 0]);
}

#[tokio::test]
async fn npm_is_found_and_installs() {
    installs_with_its_own(Client::Npm10, "npm", "package-lock.json").await;
}

#[tokio::test]
async fn pnpm_10_is_found_and_installs() {
    installs_with_its_own(Client::Pnpm10, "pnpm", "pnpm-lock.yaml").await;
}

#[tokio::test]
async fn pnpm_12_is_found_and_installs() {
    installs_with_its_own(Client::Pnpm12, "pnpm", "pnpm-lock.yaml").await;
}

#[tokio::test]
async fn yarn_classic_is_found_and_installs() {
    installs_with_its_own(Client::YarnClassic, "yarn", "yarn.lock").await;
}

#[tokio::test]
async fn yarn_berry_is_found_and_installs() {
    installs_with_its_own(Client::YarnBerry, "yarn", "yarn.lock").await;
}

#[tokio::test]
async fn bun_is_found_and_installs() {
    installs_with_its_own(Client::Bun, "bun", "bun.lock").await;
}

/// A package manager that only tells how it was run.
const TOLD: &str = "#!/bin/sh\necho \"${0##*/} $*\"\n";

#[tokio::test]
async fn the_package_manager_is_told_and_can_be_named() {
    let sold = Sold::new(&[]).await;
    let shop = sold.activated().await;
    let dir = tempfile::tempdir().unwrap();
    for name in ["npm", "pnpm", "yarn", "bun"] {
        let path = dir.path().join(name);
        std::fs::write(&path, TOLD).unwrap();
        let allow = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&path, allow).unwrap();
    }
    let path = format!(
        "{}:{}",
        dir.path().display(),
        std::env::var("PATH").unwrap()
    );
    let mut told = String::new();
    let mut run = async |arguments: &[&str]| {
        let ran = shop.run_with(arguments, &[("PATH", &path)]).await;
        let errors: String = ran
            .stderr
            .lines()
            .map(|line| format!("| {line}\n"))
            .collect();
        let arguments = arguments.join(" ");
        told += &format!("$ box {arguments}\n{}{errors}=> {}\n", ran.stdout, ran.code);
    };
    run(&["install"]).await;
    run(&["update"]).await;
    let package = json!({
        "dependencies": { "@acme/order": "1", "left-pad": "1" },
        "devDependencies": { "@acme/shared": "1" },
    });
    shop.write("package.json", &package.to_string());
    run(&["update"]).await;
    run(&["update", "left-pad"]).await;
    shop.write("yarn.lock", "# yarn lockfile v1\n");
    run(&["update"]).await;
    shop.write("package-lock.json", "{}");
    run(&["install", "--frozen", "--ignore-scripts"]).await;
    run(&["install", "--manager", "pnpm", "-D", "@acme/order"]).await;
    run(&["install", "--manager", "bun"]).await;
    shop.write(".yarnrc.yml", "nodeLinker: node-modules\n");
    run(&["install", "--manager", "yarn"]).await;
    shop.write("package.json", r#"{ "packageManager": "ied@2" }"#);
    run(&["install"]).await;
    tests::box_cli::hiding().bind(|| insta::assert_snapshot!("told", told));
}

#[tokio::test]
async fn an_install_that_is_refused_ends_as_the_package_manager_does() {
    let sold = Sold::new(&[]).await;
    let shop = BoxCli::new();
    let basic = sold.vendor.issue("basic").await;
    shop.activate(&sold.tollgate.control_plane, &basic).await;
    let given = Client::environment(sold.cache.path());
    let ran = shop
        .run_with(&["install", "@acme/loyalty"], &borrowed(&given))
        .await;
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.stderr.contains("is not in your tier basic"), "{ran:?}");
}

#[tokio::test]
async fn pnpm_asks_its_helper_for_the_token() {
    let sold = Sold::new(&[]).await;
    for client in [Client::Pnpm10, Client::Pnpm12] {
        let shop = sold.activated().await;
        let home = tempfile::tempdir().unwrap();
        let helper = home.path().join("box-token");
        let ran = shop
            .must(&["token", "--helper", helper.to_str().unwrap()])
            .await;
        assert!(!ran.stdout.contains(TOKEN));
        let mode = std::fs::metadata(&helper).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        std::fs::write(home.path().join(".npmrc"), &ran.stdout).unwrap();
        // The project itself has no token.
        let package = json!({ "name": "shop", "dependencies": { "@acme/loyalty": "^1.0.0" } });
        shop.write("package.json", &package.to_string());
        set(client, &shop, &sold.tollgate.gate);
        let words = client.words();
        let mut command = tokio::process::Command::new(&words[0]);
        command.args(&words[1..]).arg("install");
        command.current_dir(shop.npm.dir()).env_clear();
        command.env("PATH", std::env::var("PATH").unwrap());
        command.env("HOME", home.path());
        command.envs(Client::environment(&home.path().join("cache")));
        let ran = tests::box_cli::run(command).await;
        ended_well(&ran, &format!("{client:?}"));
        assert!(installed(&shop).contains("@acme/loyalty"), "{client:?}");
    }
    let shop = sold.activated().await;
    let ran = shop.run(&["token", "--helper", "/tmp/a b"]).await;
    assert_eq!(ran.code, 2, "{ran:?}");
}
