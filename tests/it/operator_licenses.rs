//! The life of a license, by commands.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::json;
use tests::operator::{Told, hiding};
use tests::{Operator, SMALL};
use tokio::process::Command;

#[tokio::test]
async fn a_license_lives_by_commands() {
    for (operator, tollgate) in Operator::on_each(SMALL).await {
        let issue = [
            "license",
            "issue",
            "--customer",
            "corner-shop",
            "--tier",
            "growth",
            "--expires-at",
            "2099-01-01",
            "--grace",
            "7d",
            "--expiry-strategy",
            "maintain",
            "--max-boxes",
            "3",
            "--lease",
            "30d",
            "--add-on",
            "@acme/points",
            "--metadata",
            "order=17",
        ];
        let issued = operator.json(&issue).await;
        let id = issued["id"].as_str().unwrap();
        let key = issued["key"].as_str().unwrap();
        assert_eq!(issued["graceSeconds"], 604_800);
        assert_eq!(issued["addOns"], json!(["@acme/points"]));
        assert_eq!(issued["metadata"], json!({ "order": "17" }));

        // It is shown that once.
        let show = operator.run(&["license", "show", id]).await;
        hiding().bind(|| insta::assert_snapshot!("license_shown", show.whole()));
        let list = operator
            .run(&["license", "list", "--customer", "corner-shop"])
            .await;
        hiding().bind(|| insta::assert_snapshot!("license_listed", list.whole()));
        assert!(!show.out.contains(key) && !list.out.contains(key));

        // What is not named stays; what is cleared is gone.
        let change = ["license", "change", id];
        let cleared = [
            "--clear",
            "tier,grace,add-ons",
            "--clear-metadata",
            "order",
            "--max-boxes",
            "1",
        ];
        let changed = operator.json(&[&change[..], &cleared].concat()).await;
        assert_eq!(changed["tierSource"], "default");
        assert_eq!(changed["graceSeconds"], 0);
        assert_eq!(changed["addOns"], json!([]));
        assert_eq!(changed["metadata"], json!({}));
        assert_eq!(changed["boxes"]["limit"], 1);
        assert_eq!(changed["leaseSeconds"], issued["leaseSeconds"]);
        assert_eq!(operator.run(&change).await.code, 2);
        let both = [&change[..], &["--tier", "basic", "--clear", "tier"]].concat();
        assert_eq!(operator.run(&both).await.code, 2);

        // A box, which is listed and released.
        let activate = json!({ "key": key, "box": { "fingerprint": "f-1", "name": "till" } });
        let url = format!("{}/v1/activate", tollgate.control_plane);
        let request = tests::people::client().post(url).json(&activate);
        assert!(request.send().await.unwrap().status().is_success());
        let boxes = operator.json(&["box", "list", id]).await;
        let its = boxes["boxes"][0]["id"].as_str().unwrap();
        let listed = operator.must(&["box", "list", id]).await;
        assert!(listed.contains("till"), "{listed}");
        let release = ["box", "release", id, its, "--reason", "sold"];
        assert_eq!(operator.run(&release).await.code, 2);
        assert_eq!(operator.json(&["box", "list", id]).await, boxes);
        operator.must(&[&release[..], &["--yes"]].concat()).await;
        assert_eq!(
            operator.json(&["box", "list", id]).await,
            json!({ "boxes": [] })
        );
        let again = operator.run(&[&release[..], &["--yes"]].concat()).await;
        hiding().bind(|| insta::assert_snapshot!("box_not_found", again.whole()));

        // Another key, with an overlap and without.
        let file = operator.path("key");
        let why = ["--reason", "leaked"];
        let rotate = [&["license", "rotate-key", id][..], &why].concat();
        assert_eq!(operator.run(&rotate).await.code, 2);
        let in_file = [&rotate[..], &["--overlap", "7d", "--key-file", "key"]].concat();
        let told = operator.run(&in_file).await;
        assert_eq!(told.code, 0, "{}", told.err);
        let other = std::fs::read_to_string(&file).unwrap();
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(other.trim_end() != key && !told.out.contains(other.trim_end()));
        // No key is written over, and none is made that nobody would see.
        let told = operator.run(&in_file).await;
        assert_eq!(told.code, 1);
        assert!(told.err.contains("is there already"), "{}", told.err);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), other);
        let third = operator.json(&[&rotate[..], &["--yes"]].concat()).await;
        assert!(third["key"].is_string() && third["key"] != key);

        // Suspended, reinstated, and revoked for good: that alone asks.
        for (verb, status) in [("suspend", "suspended"), ("reinstate", "active")] {
            let decided = operator
                .json(&["license", verb, id, "--reason", "unpaid"])
                .await;
            assert_eq!(decided["status"], status);
        }
        let revoke = ["license", "revoke", id, "--reason", "over"];
        let told = operator.run(&revoke).await;
        hiding().bind(|| insta::assert_snapshot!("nobody_is_asked", told.whole()));
        assert_eq!(
            operator.json(&["license", "show", id]).await["status"],
            "active"
        );
        let gone = operator.json(&[&revoke[..], &["--yes"]].concat()).await;
        assert_eq!(gone["status"], "revoked");
        let told = operator
            .run(&["license", "reinstate", id, "--reason", "no"])
            .await;
        assert_eq!(told.code, 5, "{}", told.err);
    }
}

#[tokio::test]
async fn a_refusal_says_what_is_wrong_and_nothing_is_left() {
    for (operator, _tollgate) in Operator::on_each(SMALL).await {
        let issue = [
            "license",
            "issue",
            "--customer",
            "",
            "--tier",
            "gold",
            "--key-file",
            "key",
        ];
        let told = operator.run(&issue).await;
        hiding().bind(|| insta::assert_snapshot!("issue_refused", told.whole()));
        assert!(!operator.path("key").exists());
        let many = [
            "license",
            "issue",
            "--customer",
            "",
            "--add-on",
            "no package",
        ];
        let told = operator.run(&many).await;
        hiding().bind(|| insta::assert_snapshot!("issue_refused_for_two", told.whole()));
        let told = operator.run(&["license", "show", "lic_none"]).await;
        hiding().bind(|| insta::assert_snapshot!("license_not_found", told.whole()));
        let mut nowhere = issue;
        nowhere[3] = "c";
        nowhere[5] = "basic";
        nowhere[7] = "no/such/key";
        assert_eq!(operator.run(&nowhere).await.code, 1);
        assert_eq!(
            operator.json(&["license", "list"]).await,
            json!({ "licenses": [] })
        );
    }
}

#[tokio::test]
async fn a_table_of_licenses_is_imported() {
    for (operator, _tollgate) in Operator::on_each(SMALL).await {
        let table = "customerId,tier,maxBoxes\nc-1,basic,2\nc-2,gold,\nc-3,growth,\n";
        std::fs::write(operator.path("licenses.csv"), table).unwrap();
        let import = ["license", "import", "licenses.csv"];
        assert_eq!(operator.run(&import).await.code, 2, "where do the keys go?");
        let dry = operator.run(&[&import[..], &["--dry-run"]].concat()).await;
        hiding().bind(|| insta::assert_snapshot!("import_dry_run", dry.whole()));
        assert_eq!(
            operator.json(&["license", "list"]).await,
            json!({ "licenses": [] })
        );

        let told = operator
            .run(&[&import[..], &["-o", "keys.csv"]].concat())
            .await;
        hiding().bind(|| insta::assert_snapshot!("import", told.whole()));
        let keys = operator.path("keys.csv");
        assert_eq!(
            std::fs::metadata(&keys).unwrap().permissions().mode() & 0o777,
            0o600
        );
        let keys = std::fs::read_to_string(keys).unwrap();
        assert_eq!(keys.lines().count(), 3, "{keys}");
        assert!(keys.contains(",c-3,tgl_live_") && !told.out.contains("tgl_live_"));

        // On standard output where that is asked for, and nothing else.
        let one = "customerId\nc-4\n";
        let told = operator
            .hear(&["license", "import", "-", "-o", "-"], one)
            .await;
        assert_eq!(told.code, 0, "{}", told.err);
        assert!(
            told.out.starts_with("licenseId,customerId,key\n") && told.out.lines().count() == 2
        );
        assert!(told.err.contains("1 issued, 0 refused"), "{}", told.err);
    }
}

#[tokio::test]
async fn long_lists_come_page_by_page_and_need_not_be_read() {
    for (operator, _tollgate) in Operator::on_each(SMALL).await {
        let rows: String = (0..250).map(|n| format!("c-{n}\n")).collect();
        let table = format!("customerId\n{rows}");
        let import = ["license", "import", "-", "-o", "keys.csv"];
        assert_eq!(operator.hear(&import, &table).await.code, 0);
        let listed = operator.must(&["license", "list"]).await;
        assert_eq!(listed.lines().count(), 251);
        assert_eq!(listed.matches("CUSTOMER").count(), 1);
        let listed = operator.json(&["license", "list"]).await;
        assert_eq!(listed["licenses"].as_array().unwrap().len(), 250);
        let some = ["license", "list", "--limit", "120"];
        assert_eq!(operator.must(&some).await.lines().count(), 121);

        // A reader who has seen enough is no error.
        let mut command = operator.command(&["license", "list"]);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        command.stdout(Stdio::from(writer)).stderr(Stdio::piped());
        let output = command.spawn().unwrap().wait_with_output().await.unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
}

#[tokio::test]
async fn the_help_says_what_there_is() {
    let operator = Operator::default();
    for (name, command) in [
        ("help_license", &["license", "--help"][..]),
        ("help_license_issue", &["license", "issue", "--help"]),
        ("help_login", &["login", "--help"]),
        ("help_box", &["box", "--help"]),
    ] {
        let told: Told = operator.run(command).await;
        insta::assert_snapshot!(name, told.out);
    }
}

#[tokio::test]
async fn secrets_stand_in_no_arguments_and_no_log() {
    for (operator, mut tollgate) in Operator::on_each(SMALL).await {
        let log = tollgate.collect_errors();
        let issued = operator
            .json(&["license", "issue", "--customer", "c"])
            .await;
        let key = issued["key"].as_str().unwrap();
        let output = Command::new("ps")
            .args(["-eww", "-o", "args"])
            .output()
            .await;
        let running = String::from_utf8_lossy(&output.unwrap().stdout).into_owned();
        assert!(!running.contains(key) && !running.contains(&tollgate.operator_token));
        let token = tollgate.operator_token.clone();
        assert!(tollgate.stop().await.success());
        let log = log.await.unwrap();
        assert!(!log.contains(key) && !log.contains(&token), "{log}");
    }
}
