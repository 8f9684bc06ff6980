//! The database as its owner meets it: brought up to date, and refused when it is not the one that
//! it should be.

use insta::assert_snapshot;
use serde_json::Value;
use tests::Database;
use tests::home::{Home, hiding};
use tests::sql::Sql;

/// Every migration as commands name them, and the number of the newest.
fn migrations() -> (String, i64) {
    let all = control_plane::store::Schema::none().pending;
    let newest = all.last().unwrap().0;
    let named = all
        .iter()
        .map(|(version, name)| format!("{version} {name}"));
    (named.collect::<Vec<_>>().join(", "), newest)
}

#[tokio::test]
async fn migrate_brings_the_schema_up_to_date_and_check_only_tells() {
    for home in Home::on_each().await {
        let asked = home.say(&["migrate", "--check"]).await;
        assert_eq!(asked.code, 1);
        let (all, newest) = migrations();
        let text = format!("there is no schema yet; `tollgate migrate` applies: {all}\n");
        assert_eq!(asked.text, text);
        assert!(!home.data("tollgate.db").exists());
        let done = home.say(&["migrate"]).await;
        assert_eq!(done.code, 0);
        assert_eq!(done.text, format!("applied: {all}\n"));
        for arguments in [&["migrate", "--check"][..], &["migrate"]] {
            let again = home.say(arguments).await;
            assert_eq!(again.code, 0);
            let text = format!("the schema is up to date: version {newest}\n");
            assert_eq!(again.text, text);
        }
        // What is served then is as new: with its keys and its first operator.
        let running = home.serve().await;
        running.issue().await;
        running.stop().await;
    }
}

#[tokio::test]
async fn a_newer_database_and_an_edited_migration_are_refused_by_every_command() {
    let commands: [&[&str]; 7] = [
        &["migrate"],
        &["migrate", "--check"],
        &["backup", "copy.db"],
        &["audit", "verify"],
        &["audit", "head"],
        &["audit", "export"],
        &["audit", "accept", "--yes"],
    ];
    let (_, newest) = migrations();
    let newer = format!(
        "the database has schema version {}, and this Tollgate knows only those up to {newest}\n  \
         hint: run the later release again, or restore a backup from before the upgrade\n",
        newest + 1
    );
    let edited = format!(
        "migration {newest} of the database is not the one of this Tollgate: one of them was edited\n  \
         hint: run the release that made this database, or restore a backup\n"
    );
    for home in [Database::Sqlite, Database::Postgres] {
        let home = Home::served(home).await;
        let mut sql = home.sql().await;
        let later = format!(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             VALUES ({}, 'of a later release', true, {}, 1)",
            newest + 1,
            home.binary()
        );
        let other = format!(
            "UPDATE _sqlx_migrations SET checksum = {} WHERE version = {newest}",
            home.binary()
        );
        let not_later = format!("DELETE FROM _sqlx_migrations WHERE version > {newest}");
        for (edit, text) in [
            (vec![later.as_str()], &newer),
            (vec![&not_later, &other], &edited),
        ] {
            for edit in edit {
                assert_eq!(sql.run(edit, &[]).await, 1);
            }
            for arguments in commands {
                if home.database_url.is_some() && arguments[0] == "backup" {
                    continue;
                }
                let said = home.say(arguments).await;
                assert_eq!(said.code, 1, "{arguments:?}: {}", said.text);
                assert!(said.text.ends_with(text), "{arguments:?}: {}", said.text);
            }
            assert!(home.refused_start().await.ends_with(text));
            assert!(!home.path("copy.db").exists());
        }
    }
}

#[tokio::test]
async fn an_older_copy_in_place_of_the_database_is_noticed_at_the_start() {
    let home = Home::served(Database::Sqlite).await;
    std::fs::copy(home.data("tollgate.db"), home.path("older.db")).unwrap();
    let running = home.serve().await;
    running.issue().await;
    running.issue().await;
    running.stop().await;
    std::fs::copy(home.path("older.db"), home.data("tollgate.db")).unwrap();
    hiding()
        .bind_async(async {
            assert_snapshot!(home.refused_start().await, @r"
            error: this is not the database that was served last from this data directory: its audit log ends at row [N], and does not contain row [N] as it was noted
              cause: an older copy of the database was put in place, or the log was cut or written anew
              hint: put the right database back; `tollgate restore FILE` puts a backup in place so that gates follow it, and if this database is meant, `tollgate audit accept` says so
            ");
            let verified = home.say(&["audit", "verify"]).await;
            assert_eq!(verified.code, 1);
            assert_snapshot!(verified.text, @"error: the audit log is damaged: the log ends at row [N], but [N] rows were written");
            let asked = home.say(&["audit", "accept"]).await;
            assert_eq!(asked.code, 2);
            assert_snapshot!(asked.text, @r"
            row [N] is noted, and the log lacks it
            the log is whole and ends at row [N]
            error: nobody is there to be asked
              hint: add `--yes` if this is meant
            ");
            let accepted = home.say(&["audit", "accept", "--yes"]).await;
            assert_eq!(accepted.code, 0);
            assert_snapshot!(accepted.text, @r"
            row [N] is noted, and the log lacks it
            the log is whole and ends at row [N]
            accepted: `tollgate serve` goes on with it
            ");
            assert_snapshot!(home.say(&["audit", "accept"]).await.text, @"there is nothing to accept: the audit log contains row [N] as it was noted");
        })
        .await;
    home.serve().await.stop().await;
    // A new, empty database is no less another one.
    std::fs::remove_file(home.data("tollgate.db")).unwrap();
    let text = home.refused_start().await;
    assert!(text.contains("its audit log ends at row 0"), "{text}");
}

#[tokio::test]
async fn on_postgres_a_cut_log_is_noticed_and_backups_are_left_to_its_tools() {
    let home = Home::served(Database::Postgres).await;
    let mut sql = home.sql().await;
    let seen = "SELECT value FROM counters WHERE name = 'change'";
    let seen = sql.number(seen, &[]).await;
    let newest = home.newest_row().await;
    cut_before(&mut sql, newest).await;
    let refused = home.refused_start().await;
    assert!(refused.contains("`tollgate audit accept`"), "{refused}");
    assert_eq!(home.say(&["audit", "verify"]).await.code, 1);
    let accepted = home.say(&["audit", "accept", "--yes"]).await;
    assert_eq!(accepted.code, 0, "{}", accepted.text);
    let change = "SELECT value FROM counters WHERE name = 'change'";
    assert!(sql.number(change, &[]).await > seen);
    assert_eq!(home.say(&["audit", "verify"]).await.code, 0);
    home.serve().await.stop().await;
    let texts = [
        home.say(&["backup", "copy.db"]).await.text,
        home.say(&["restore", "copy.db"]).await.text,
    ];
    assert_snapshot!(texts.concat(), @r"
    error: the database is on PostgreSQL, which makes its own backups
      hint: `pg_dump --format=custom --file=FILE URL`; keep the keys and packages of the data directory with it
    error: the database is on PostgreSQL, which restores its own backups
      hint: stop every control plane, `pg_restore --clean --dbname=URL FILE`, then `tollgate audit accept`, so that gates follow it
    ");
}

#[tokio::test]
async fn the_audit_log_is_checked_printed_and_exported_while_a_server_runs() {
    let mut texts = String::new();
    for home in Home::on_each().await {
        let running = home.serve().await;
        let started = home.newest_row().await;
        running.issue().await;
        let head = home.say(&["audit", "head"]).await.text;
        let newest = started + 1;
        assert!(head.starts_with(&format!("{newest}:")), "{head}");
        let noted = head.trim_end();
        let verified = home.say(&["audit", "verify", "--head", noted]).await;
        assert_eq!(verified.code, 0);
        texts += &verified.text;
        let lines = home.say(&["audit", "export", "--after", "1"]).await.text;
        let lines: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let sequences = lines.iter().map(|line| line["sequence"].as_i64().unwrap());
        assert!(sequences.eq(2..=newest));
        assert_eq!(lines.last().unwrap()["action"], "license.issue");

        // Cut with the counter: only the note tells.
        let mut sql = home.sql().await;
        cut_before(&mut sql, newest).await;
        assert_eq!(home.say(&["audit", "verify"]).await.code, 0);
        let found = home.say(&["audit", "verify", "--head", noted]).await;
        assert_eq!(found.code, 1);
        texts += &found.text;
        let wrong = home.say(&["audit", "verify", "--head", "3"]).await;
        assert_eq!(wrong.code, 2);
        drop(running);
    }
    hiding().bind(|| {
        assert_snapshot!(texts, @r"
        the audit log is whole: [N] rows, head [N]:[HASH]
        error: the audit log is damaged: the log ends at row [N], but [N] rows were written
        the audit log is whole: [N] rows, head [N]:[HASH]
        error: the audit log is damaged: the log ends at row [N], but [N] rows were written
        ");
    });
}

#[tokio::test]
async fn commands_take_the_passphrase_of_the_keys() {
    let home = Home::served(Database::Sqlite).await;
    std::fs::write(home.path("passphrase"), "open sesame\n").unwrap();
    let passphrase = ["--key-passphrase-file", "passphrase"];
    let with = |command: &[&'static str]| [command, &passphrase].concat();
    // A look at plain keys encrypts none of them.
    let plain = std::fs::read(home.data("hash-key")).unwrap();
    assert_eq!(home.say(&with(&["audit", "verify"])).await.code, 0);
    assert_eq!(std::fs::read(home.data("hash-key")).unwrap(), plain);
    assert_eq!(home.say(&["backup", "copy.db"]).await.code, 0);
    let restored = home.say(&with(&["restore", "copy.db", "--yes"])).await;
    assert_eq!(restored.code, 0, "{}", restored.text);
    assert_ne!(std::fs::read(home.data("hash-key")).unwrap(), plain);
    assert_eq!(home.say(&with(&["audit", "verify"])).await.code, 0);
    let without = home.say(&["audit", "verify"]).await;
    assert_eq!(without.code, 1);
    assert!(
        without.text.contains("`key-passphrase-file`"),
        "{}",
        without.text
    );
}

/// Cuts the log before this row, and the counter with it.
async fn cut_before(sql: &mut Sql, row: i64) {
    sql.run("DELETE FROM audit WHERE sequence >= $1", &[row.into()])
        .await;
    let set = "UPDATE counters SET value = $1 WHERE name = 'audit'";
    sql.run(set, &[(row - 1).into()]).await;
}
