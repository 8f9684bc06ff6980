//! A control plane's audit log, followed, exported and checked from the operator's own machine.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};
use tests::operator::hiding;
use tests::{Operator, Relay, SMALL, Sql, Tollgate, Vendor};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::Child;

async fn sql(tollgate: &Tollgate) -> Sql {
    match &tollgate.database_url {
        Some(url) => Sql::postgres(url).await,
        None => Sql::sqlite(&tollgate.data().join("tollgate.db")).await,
    }
}

/// Some rows.
async fn fill(operator: &Operator, customers: &[&str]) {
    for customer in customers {
        operator
            .must(&["license", "issue", "--customer", customer])
            .await;
    }
}

fn sequences(export: &str) -> Vec<i64> {
    let row = |line: &str| serde_json::from_str::<Value>(line).unwrap();
    let lines = export.lines();
    lines
        .map(|line| row(line)["sequence"].as_i64().unwrap())
        .collect()
}

async fn next<R: AsyncRead + Unpin>(lines: &mut Lines<BufReader<R>>) -> String {
    lines.next_line().await.unwrap().expect("a line")
}

fn piped(operator: &Operator, arguments: &[&str]) -> Child {
    let mut command = operator.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().unwrap()
}

#[tokio::test]
async fn a_log_is_followed_also_across_a_restart() {
    for (operator, mut tollgate) in Operator::on_each(SMALL).await {
        fill(&operator, &["c-1", "c-2"]).await;
        let tail = ["audit", "tail", "--no-follow", "-n", "2"];
        let told = operator.run(&tail).await;
        hiding().bind(|| insta::assert_snapshot!("audit_tail", told.whole()));
        let issued = [&tail[..], &["--action", "license.issue", "--json"]].concat();
        let rows = operator.must(&issued).await;
        let row = |line: &str| serde_json::from_str::<Value>(line).unwrap();
        let rows: Vec<Value> = rows.lines().map(row).collect();
        let customers: Vec<_> = rows.iter().map(|row| &row["after"]["customerId"]).collect();
        assert_eq!(customers, ["c-1", "c-2"]);
        let own = rows[0]["subject"].as_str().unwrap();
        let about = [&tail[..], &["--subject", own, "--json"]].concat();
        assert_eq!(operator.must(&about).await.lines().count(), 1);
        let nobody = [&tail[..], &["--actor", "nobody"]].concat();
        assert_eq!(operator.must(&nobody).await, "");

        // Through a wire that outlives the server.
        let relay = Relay::bind().await;
        let token_file = operator.path("token");
        std::fs::write(&token_file, &tollgate.operator_token).unwrap();
        let (url, token_file) = (relay.url.clone(), token_file.display().to_string());
        let relaying = relay.to(&tollgate.control_plane);
        let there = ["--server", &url, "--token-file", &token_file];
        let follow = ["audit", "tail", "-n", "1", "--every", "1", "--json"];
        let mut child = piped(&operator, &[&follow[..], &there].concat());
        let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut err = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = row(&next(&mut out).await);
        assert_eq!(first["after"]["customerId"], "c-2");
        fill(&operator, &["c-3", "c-4"]).await;
        for customer in ["c-3", "c-4"] {
            let row = row(&next(&mut out).await);
            assert_eq!(row["after"]["customerId"], customer);
        }
        tollgate.kill().await;
        let note = next(&mut err).await;
        assert!(note.contains("trying again"), "{note}");
        tollgate.start_again().await;
        operator.log_in("default", &tollgate).await;
        fill(&operator, &["c-5"]).await;
        relaying.move_to(&tollgate.control_plane);
        let row = row(&next(&mut out).await);
        assert_eq!(row["after"]["customerId"], "c-5");
        let note = next(&mut err).await;
        assert!(note.contains("answers again"), "{note}");

        // Nobody reads on.
        drop(out);
        fill(&operator, &["c-6"]).await;
        assert!(child.wait().await.unwrap().success());
    }
}

#[tokio::test]
async fn an_export_goes_on_where_it_ended() {
    for (operator, _tollgate) in Operator::on_each(SMALL).await {
        fill(&operator, &["c-1", "c-2"]).await;
        let export = ["audit", "export"];
        let all = operator.run(&export).await;
        assert!(
            all.err.starts_with("the audit log of http://"),
            "{}",
            all.err
        );
        let rows = sequences(&all.out);
        let last = *rows.last().unwrap();
        assert_eq!(rows, (1..=last).collect::<Vec<_>>());
        let before = (last - 1).to_string();
        let after = [&export[..], &["--after", &before]].concat();
        assert_eq!(sequences(&operator.must(&after).await), [last]);

        let file = operator.path("log.jsonl");
        let to_file = [&export[..], &["-o", "log.jsonl"]].concat();
        let told = operator.run(&to_file).await;
        assert_eq!((told.code, &*told.out), (0, ""));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), all.out);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        // A line that a crash cut off is written again.
        fill(&operator, &["c-3"]).await;
        let torn = format!("{}{{\"sequence\":", all.out);
        std::fs::write(&file, torn).unwrap();
        let append = [&to_file[..], &["--append"]].concat();
        operator.must(&append).await;
        let whole = operator.must(&export).await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), whole);
        operator.must(&append).await;
        assert_eq!(std::fs::read_to_string(&file).unwrap(), whole);
        assert_eq!(operator.run(&["audit", "export", "--append"]).await.code, 2);

        // The file is whole, and what the log says.
        let verify = ["audit", "verify", "--file", "log.jsonl"];
        let told = operator.run(&verify).await;
        assert_eq!(told.code, 0, "{}", told.err);
        assert!(
            told.err.contains("are what `log.jsonl` holds"),
            "{}",
            told.err
        );
        let changed = whole.replace("c-2", "c-9");
        std::fs::write(&file, changed).unwrap();
        let told = operator.run(&verify).await;
        assert_eq!(told.code, 1);
        assert!(
            told.err.contains("is not what `log.jsonl` holds"),
            "{}",
            told.err
        );
        let gap: String = whole
            .lines()
            .enumerate()
            .filter(|(nth, _)| *nth != 1)
            .map(|(_, line)| format!("{line}\n"))
            .collect();
        std::fs::write(&file, &gap).unwrap();
        let told = operator.run(&verify).await;
        assert_eq!(told.code, 1);
        assert!(told.err.contains("row 2 is missing"), "{}", told.err);
        let told = operator.run(&append).await;
        assert_eq!(told.code, 1);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), gap);
    }
}

#[tokio::test]
async fn a_damaged_log_is_found_from_elsewhere() {
    for (operator, tollgate) in Operator::on_each(SMALL).await {
        fill(&operator, &["c-1", "c-2", "c-3"]).await;
        let verify = ["audit", "verify"];
        let told = operator.run(&verify).await;
        let mut settings = hiding();
        settings.add_filter(r"\b\d+:[0-9a-f]{64}\b", "[HEAD]");
        settings.bind(|| insta::assert_snapshot!("log_whole", told.whole()));
        let whole = operator.json(&verify).await;
        assert_eq!(whole["whole"], true);
        let rows = whole["rows"].as_i64().unwrap();
        let head = whole["head"].as_str().unwrap();
        assert!(head.starts_with(&format!("{rows}:")));
        let given = [&verify[..], &["--head", head]].concat();
        assert_eq!(operator.run(&given).await.code, 0);
        let forged = format!("{}:{}", rows - 1, "0".repeat(64));
        let given = [&verify[..], &["--head", &forged]].concat();
        let told = operator.run(&given).await;
        assert_eq!(told.code, 1);
        assert!(
            told.err.contains("is not the one that was noted"),
            "{}",
            told.err
        );

        // An edit is undone, and all is well again.
        let mut sql = sql(&tollgate).await;
        let edit = "UPDATE audit SET actor = actor || $1 WHERE sequence = 3";
        sql.run(edit, &["~".into()]).await;
        let told = operator.run(&verify).await;
        settings.bind(|| insta::assert_snapshot!("log_edited", told.whole()));
        let told = operator.run(&["audit", "verify", "--json"]).await;
        assert_eq!(told.code, 1);
        let found: Value = serde_json::from_str(&told.out).unwrap();
        assert_eq!(found["damage"]["row"], 3);
        assert_eq!(found["damage"]["kind"], "altered");
        assert_eq!(
            (&found["whole"], &found["head"]),
            (&json!(false), &Value::Null)
        );
        let undo = "UPDATE audit SET actor = replace(actor, $1, $2) WHERE sequence = 3";
        sql.run(undo, &["~".into(), "".into()]).await;
        assert_eq!(operator.run(&verify).await.code, 0);

        // The end is cut, the counter with it: only what was noted here tells.
        sql.run("DELETE FROM audit WHERE sequence = $1", &[rows.into()])
            .await;
        let count = "UPDATE counters SET value = $1 WHERE name = 'audit'";
        assert_eq!(sql.run(count, &[(rows - 1).into()]).await, 1);
        let told = operator.run(&verify).await;
        settings.add_filter(r"remove `.*`", "remove `[FILE]`");
        settings.bind(|| insta::assert_snapshot!("log_cut", told.whole()));
        let other = Operator::default();
        other.log_in("default", &tollgate).await;
        assert_eq!(other.run(&verify).await.code, 0);
    }
}

#[tokio::test]
async fn which_log_is_read_is_told_and_never_guessed_between_two() {
    let tollgate = Tollgate::start(SMALL).await;
    let operator = Operator::default();
    let data = tollgate.data();
    let data = Path::new(&data).to_str().unwrap();
    let here = ["audit", "verify", "--data", data];
    let told = operator.run(&here).await;
    assert_eq!((told.code, &*told.err), (0, ""));
    assert_eq!(operator.json(&here).await["whole"], true);
    // Without a profile, the data directory is meant, as ever.
    let told = operator.run(&["audit", "verify"]).await;
    assert!(told.err.contains("`./tollgate-data`"), "{}", told.err);
    operator.log_in("default", &tollgate).await;
    let told = operator.run(&["audit", "verify"]).await;
    assert!(
        told.err.contains("the audit log of http://"),
        "{}",
        told.err
    );
    let told = operator.run(&here).await;
    assert!(told.err.contains("the data directory"), "{}", told.err);
    let both = [&here[..], &["--profile", "default"]].concat();
    assert_eq!(operator.run(&both).await.code, 2);
    let mut command = operator.command(&["audit", "verify", "--profile", "default"]);
    command.env("TOLLGATE_DATA", data);
    let told = tests::operator::Told::of(command).await;
    assert!(
        told.err.contains("the audit log of http://"),
        "{}",
        told.err
    );
    let mut command = operator.command(&["audit", "verify"]);
    command.env("TOLLGATE_DATA", data);
    command.env("TOLLGATE_PROFILE", "default");
    assert_eq!(tests::operator::Told::of(command).await.code, 2);
}

#[tokio::test]
async fn whoever_may_not_read_the_log_checks_none() {
    for (operator, tollgate) in Operator::on_each(SMALL).await {
        let token = Vendor::of(&tollgate).credential("application").await;
        std::fs::write(operator.path("app"), token).unwrap();
        let server = ["--server", &tollgate.control_plane, "--token-file", "app"];
        for command in [
            &["audit", "verify"][..],
            &["audit", "export"],
            &["audit", "tail"],
        ] {
            let told = operator.run(&[command, &server].concat()).await;
            assert_eq!((told.code, &*told.out), (4, ""), "{}", told.err);
        }
        let told = operator.run(&["audit", "verify", "--head", "7"]).await;
        assert_eq!(told.code, 2);
    }
}
