//! Credentials and signing keys, by commands.

use std::os::unix::fs::PermissionsExt;

use serde_json::Value;
use tests::operator::hiding;
use tests::people::client;
use tests::{Operator, SMALL, Tollgate, Vendor};

/// The status that a token gets.
async fn status(tollgate: &Tollgate, token: &str, path: &str) -> u16 {
    let url = format!("{}{path}", tollgate.control_plane);
    let answer = client().get(url).bearer_auth(token).send().await;
    answer.unwrap().status().as_u16()
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap()
}

#[tokio::test]
async fn a_credential_is_made_kept_and_revoked_by_commands() {
    for (operator, tollgate) in Operator::on_each(SMALL).await {
        let create = ["credential", "create", "operator", "--name", "ann"];
        let limits = ["--role", "support", "--expires-at", "90d"];
        let made = operator.json(&[&create[..], &limits].concat()).await;
        let (id, secret) = (text(&made, "id"), text(&made, "secret"));
        assert!(secret.starts_with("tgo_") && made["expiresAt"].is_string());
        assert_eq!(status(&tollgate, secret, "/v1/licenses").await, 200);

        // In a file, and nowhere else; and no file is written over.
        let gate = ["credential", "create", "gate", "--name", "eu-1"];
        let in_file = [&gate[..], &["--secret-file", "gate-token"]].concat();
        let told = operator.run(&in_file).await;
        hiding().bind(|| insta::assert_snapshot!("credential_in_a_file", told.whole()));
        let file = operator.path("gate-token");
        let kept = std::fs::read_to_string(&file).unwrap();
        let permissions = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(permissions & 0o777, 0o600);
        assert!(!told.out.contains(kept.trim()) && !told.err.contains(kept.trim()));
        assert_eq!(
            status(&tollgate, kept.trim(), "/v1/gate/snapshot").await,
            200
        );
        let before = operator.json(&["credential", "list"]).await;
        assert_eq!(operator.run(&in_file).await.code, 1);
        assert_eq!(operator.json(&["credential", "list"]).await, before);
        let listed = operator.run(&["credential", "list"]).await;
        assert!(!listed.out.contains(secret) && !listed.out.contains(kept.trim()));
        let gates = operator
            .json(&["credential", "list", "--kind", "gate"])
            .await;
        assert_eq!(gates["credentials"].as_array().unwrap().len(), 1);

        let wrong = [&gate[..], &["--role", "admin"]].concat();
        assert_eq!(operator.run(&wrong).await.code, 2);
        let told = operator
            .run(&[&create[..], &["--expires-at", "2020-01-01"]].concat())
            .await;
        assert_eq!((told.code, &*told.out), (5, ""), "{}", told.err);

        // It asks; nobody is there.
        let revoke = ["credential", "revoke", id, "--reason", "left"];
        let told = operator.run(&revoke).await;
        assert_eq!(told.code, 2);
        assert_eq!(status(&tollgate, secret, "/v1/licenses").await, 200);
        let told = operator.run(&[&revoke[..], &["--yes"]].concat()).await;
        hiding().bind(|| insta::assert_snapshot!("credential_revoked", told.whole()));
        assert_eq!(status(&tollgate, secret, "/v1/licenses").await, 401);
        let told = operator
            .run(&["credential", "revoke", "crd_none", "--yes"])
            .await;
        assert_eq!(told.code, 5);
        hiding().bind(|| insta::assert_snapshot!("credential_not_found", told.err));
    }
}

#[tokio::test]
async fn whoever_revokes_the_credential_they_use_is_warned() {
    for (operator, _tollgate) in Operator::on_each(SMALL).await {
        let second = ["credential", "create", "operator", "--name", "second"];
        operator
            .must(&[&second[..], &["--role", "admin"]].concat())
            .await;
        let all = operator.json(&["credential", "list"]).await;
        let all = all["credentials"].as_array().unwrap();
        let own = all.iter().find(|one| one["name"] != "second").unwrap();
        let revoke = ["credential", "revoke", text(own, "id"), "--yes"];
        let told = operator.run(&revoke).await;
        assert_eq!(told.code, 0, "{}", told.err);
        assert!(told.err.contains("that you are using"), "{}", told.err);
        assert_eq!(operator.run(&["credential", "list"]).await.code, 4);
    }
}

#[tokio::test]
async fn keys_are_told_in_words_and_removed_after_a_question() {
    for (operator, tollgate) in Operator::on_each(SMALL).await {
        let told = operator.run(&["key", "rotate", "--reason", "yearly"]).await;
        let mut settings = hiding();
        settings.add_filter(r"[0-9A-Za-z_-]{43}", "[KEY]");
        settings.bind(|| insta::assert_snapshot!("key_rotated", told.whole()));
        let list = operator.run(&["key", "list"]).await;
        // Columns are as wide as times happen to be.
        let mut narrow = settings.clone();
        narrow.add_filter(" {3,}", "  ");
        narrow.bind(|| insta::assert_snapshot!("keys_listed", list.whole()));
        let keys = operator.json(&["key", "list"]).await;
        let keys = keys["signingKeys"].as_array().unwrap();
        let states: Vec<_> = keys.iter().map(|key| text(key, "state")).collect();
        assert_eq!(states, ["pending", "signing"]);
        assert_eq!(operator.run(&["key", "rotate"]).await.code, 2);

        // A token of the key that goes.
        let vendor = Vendor::of(&tollgate);
        let key = vendor.issue("basic").await;
        vendor.activate(&key).await;
        let signing = text(&keys[1], "id");
        let remove = ["key", "remove", signing, "--reason", "stolen"];
        let told = operator.run(&remove).await;
        assert_eq!(told.code, 2);
        let after = operator.json(&["key", "list"]).await;
        assert_eq!(after["signingKeys"].as_array().unwrap(), keys);
        let told = operator.run(&[&remove[..], &["--yes"]].concat()).await;
        settings.bind(|| insta::assert_snapshot!("key_removed", told.whole()));
        let jwks = client().get(format!("{}/.well-known/jwks.json", tollgate.control_plane));
        let jwks: Value = jwks.send().await.unwrap().json().await.unwrap();
        assert!(!jwks.to_string().contains(signing));
        let told = operator.run(&["key", "remove", "none", "--yes"]).await;
        assert_eq!(told.code, 5);
        assert!(told.err.contains("no signing key `none`"), "{}", told.err);
    }
}
