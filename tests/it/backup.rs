//! Copies of the database: made while a server runs, and put back.

use std::path::Path;
use std::sync::Arc;

use insta::assert_snapshot;
use serde_json::{Value, json};
use tests::Database;
use tests::home::{Home, hiding};
use tests::sql::Sql;

#[tokio::test]
async fn a_backup_taken_under_load_is_a_committed_prefix_and_comes_back_whole() {
    let home = Home::new(Database::Sqlite).await;
    let running = home.serve().await;
    for _ in 0..5 {
        running.issue().await;
    }
    // Four clients write while it is copied.
    let running = Arc::new(running);
    let writers: Vec<_> = (0..4)
        .map(|_| {
            let running = Arc::clone(&running);
            tokio::spawn(async move {
                for _ in 0..25 {
                    running.issue().await;
                }
            })
        })
        .collect();
    let said = home.say(&["backup", "copy.db"]).await;
    assert_eq!(said.code, 0, "{}", said.text);
    for writer in writers {
        writer.await.unwrap();
    }
    let mut settings = hiding();
    settings.add_filter(r"\d+ audit rows", "[N] audit rows");
    settings.add_filter(r"schema version \d+", "schema version [V]");
    settings.bind(|| {
        assert_snapshot!(said.text, @r"
        backed up the database to `copy.db`: schema version [V], [N] audit rows
        Only the database is in it. Keep with it, from `[DIR]/data`: hash-key, root-key.pem, the signing keys, and packages/. Without hash-key it is of no use.
        ");
    });
    assert_eq!(mode(&home.path("copy.db")), 0o600);
    assert!(!home.path("copy.db.partial").exists());
    let again = home.say(&["backup", "copy.db"]).await;
    assert_eq!(again.code, 1);
    assert_snapshot!(again.text, @r"
    error: `copy.db` is there already
      hint: a backup overwrites nothing; choose another name
    ");

    // Each change of a copy has its row, and nothing else has one.
    let mut copy = Sql::sqlite(&home.path("copy.db")).await;
    let issued = "SELECT COUNT(*) FROM audit WHERE action = 'license.issue'";
    let rows = copy.number(issued, &[]).await;
    assert!((5..=105).contains(&rows), "{rows}");
    let licenses = "SELECT COUNT(*) FROM licenses";
    assert_eq!(copy.number(licenses, &[]).await, rows);
    let counted =
        "SELECT value - (SELECT MAX(sequence) FROM audit) FROM counters WHERE name = 'audit'";
    assert_eq!(copy.number(counted, &[]).await, 0);
    drop(copy);

    let busy = home.say(&["restore", "copy.db", "--yes"]).await;
    assert_eq!(busy.code, 1);
    assert_snapshot!(busy.text, @"error: another tollgate is at work in the data directory `[DIR]/data`");
    // Gates hear of these, and the copy has none of them.
    for _ in 0..3 {
        let body = json!({ "kind": "publisher", "name": "build server" });
        running.post("/v1/credentials", body).await;
    }
    let seen = "SELECT value FROM counters WHERE name = 'change'";
    let seen = home.sql().await.number(seen, &[]).await;
    Arc::into_inner(running).unwrap().stop().await;

    let restored = home.say(&["restore", "copy.db", "--yes"]).await;
    assert_eq!(restored.code, 0, "{}", restored.text);
    let running = home.serve().await;
    let change = "SELECT value FROM counters WHERE name = 'change'";
    let mut sql = home.sql().await;
    // Gates never go back, so they follow only what is above all that they have seen.
    assert!(sql.number(change, &[]).await > seen);
    assert_eq!(sql.number(licenses, &[]).await, rows);
    running.issue().await;
    let verified = home.say(&["audit", "verify"]).await;
    assert_eq!(verified.code, 0, "{}", verified.text);
    running.stop().await;
}

#[tokio::test]
async fn restore_tells_what_is_lost_asks_and_keeps_what_was_there() {
    let home = Home::new(Database::Sqlite).await;
    let running = home.serve().await;
    running.issue().await;
    assert_eq!(home.say(&["backup", "copy.db"]).await.code, 0);
    let copied = home.newest_row().await;
    let issued = running.issue().await;
    let id = issued["id"].as_str().unwrap();
    let reason = json!({ "reason": "unpaid" });
    running
        .post(&format!("/v1/licenses/{id}/revoke"), reason)
        .await;
    running.stop().await;

    let before = std::fs::read(home.data("tollgate.db")).unwrap();
    let head = std::fs::read(home.data("audit-head")).unwrap();
    let asked = home.say(&["restore", "copy.db"]).await;
    assert_eq!(asked.code, 2);
    hiding().bind(|| {
        assert_snapshot!(asked.text, @r"
        `copy.db` is whole: [N] audit rows
        the database in place has [N] rows that are lost, [N] ([TIME]) to [N] ([TIME]):
               1  license.issue
               1  license.revoke
        error: nobody is there to be asked
          hint: add `--yes` if this is meant
        ");
    });
    assert_eq!(std::fs::read(home.data("tollgate.db")).unwrap(), before);
    assert_eq!(std::fs::read(home.data("audit-head")).unwrap(), head);

    let done = home.say(&["restore", "copy.db", "--yes"]).await;
    assert_eq!(done.code, 0);
    hiding().bind(|| {
        assert_snapshot!(done.text, @r"
        `copy.db` is whole: [N] audit rows
        the database in place has [N] rows that are lost, [N] ([TIME]) to [N] ([TIME]):
               1  license.issue
               1  license.revoke
        restored; the audit log's head is [N]:[HASH]
        The database that was there is kept as `[DIR]/data/tollgate.db.replaced-[DATE]`.
        ");
    });
    let row = home
        .say(&["audit", "export", "--after", &copied.to_string()])
        .await;
    let row: Value = serde_json::from_str(&row.text).unwrap();
    assert_eq!(row["action"], "database.restore");
    assert_eq!(row["actor"], "system");
    assert_eq!(row["before"]["sequence"], copied + 2);
    assert_eq!(row["after"]["sequence"], copied);
    assert_eq!(row["after"]["lost"]["from"]["sequence"], copied + 1);
    assert_eq!(row["after"]["lost"]["to"]["sequence"], copied + 2);
    let names: Vec<String> = std::fs::read_dir(home.path("data"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("tollgate.db") && !name.ends_with("-wal"))
        .filter(|name| !name.ends_with("-shm"))
        .collect();
    assert_eq!(names.len(), 2, "{names:?}");
    let kept = names.iter().find(|name| *name != "tollgate.db").unwrap();
    assert_eq!(std::fs::read(home.data(kept)).unwrap(), before);
    assert_eq!(mode(&home.data(kept)), 0o600);
    assert_eq!(mode(&home.data("tollgate.db")), 0o600);

    // What was replaced can be put back, though it is of another branch by now.
    let back = home.data(kept);
    let back = home
        .say(&["restore", back.to_str().unwrap(), "--yes"])
        .await;
    assert_eq!(back.code, 0);
    hiding().bind(|| {
        assert_snapshot!(back.text, @r"
        `[DIR]/data/tollgate.db.replaced-[DATE]` is whole: [N] audit rows
        the database in place has [N] rows that are lost, [N] ([TIME]) to [N] ([TIME]):
               1  database.restore
        it brings [N] rows that the database in place does not have
        restored; the audit log's head is [N]:[HASH]
        The database that was there is kept as `[DIR]/data/tollgate.db.replaced-[DATE]`.
        ");
    });
    home.serve().await.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_restored_changes_nothing() {
    let home = Home::served(Database::Sqlite).await;
    assert_eq!(home.say(&["backup", "good.db"]).await.code, 0);
    let before = std::fs::read(home.data("tollgate.db")).unwrap();
    let mut texts = String::new();
    let mut refused = async |name: &str| {
        let said = home.say(&["restore", name, "--yes"]).await;
        assert_eq!(said.code, 1, "{name}: {}", said.text);
        assert_eq!(
            std::fs::read(home.data("tollgate.db")).unwrap(),
            before,
            "{name}"
        );
        assert!(!home.data("tollgate.db.restoring").exists(), "{name}");
        texts.push_str(&said.text);
    };
    let edited = async |name: &str, sql: &str| {
        std::fs::copy(home.path("good.db"), home.path(name)).unwrap();
        Sql::sqlite(&home.path(name)).await.run(sql, &[]).await;
    };
    refused("missing.db").await;
    refused("data/tollgate.db").await;
    std::fs::write(home.path("text.db"), "not a database, but a text").unwrap();
    refused("text.db").await;
    std::fs::write(home.path("empty.db"), "").unwrap();
    refused("empty.db").await;
    let mut bytes = std::fs::read(home.path("good.db")).unwrap();
    bytes.truncate(bytes.len() / 2);
    std::fs::write(home.path("half.db"), &bytes).unwrap();
    refused("half.db").await;
    edited(
        "edited.db",
        "UPDATE audit SET actor = 'nobody' WHERE sequence = 2",
    )
    .await;
    refused("edited.db").await;
    edited("blank.db", "UPDATE audit SET mac = NULL").await;
    refused("blank.db").await;
    edited("cut.db", "DELETE FROM audit WHERE sequence = 2").await;
    refused("cut.db").await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES (99, 'of a later release', true, x'00', 1)";
    edited("newer.db", later).await;
    refused("newer.db").await;
    let elsewhere = Home::served(Database::Sqlite).await;
    assert_eq!(elsewhere.say(&["backup", "copy.db"]).await.code, 0);
    std::fs::copy(elsewhere.path("copy.db"), home.path("elsewhere.db")).unwrap();
    refused("elsewhere.db").await;
    let newest = control_plane::store::Schema::none()
        .pending
        .last()
        .unwrap()
        .0;
    let texts = texts.replace(&format!("up to {newest}\n"), "up to [V]\n");
    assert_snapshot!(texts, @r"
    error: `missing.db` cannot be restored
      caused by: there is no such file
    error: `data/tollgate.db` is the database itself
    error: `text.db` cannot be restored
      caused by: the database failed
      caused by: error returned from database: (code: 26) file is not a database
      caused by: (code: 26) file is not a database
    error: `empty.db` cannot be restored
      caused by: it holds no database of Tollgate
    error: `half.db` cannot be restored
      caused by: the database failed
      caused by: error returned from database: (code: 11) database disk image is malformed
      caused by: (code: 11) database disk image is malformed
    error: `edited.db` cannot be restored
      caused by: its audit log is damaged: row 2 is not what was written there, or a row before it is not
    error: `blank.db` cannot be restored
      caused by: its audit log is damaged: row 1 has no hash
      hint: a release that did not chain wrote it, or somebody else; rows that such a release writes are chained at the next change
    error: `cut.db` cannot be restored
      caused by: its audit log is damaged: row 2 is missing
    error: `newer.db` cannot be restored
      caused by: the database has schema version 99, and this Tollgate knows only those up to [V]
      hint: run the later release again, or restore a backup from before the upgrade
    error: `elsewhere.db` cannot be restored
      caused by: its audit log is damaged: row 1 is not what was written there, or a row before it is not
      hint: every row looks so when `hash-key` is not the one that the log was written with
    ");
}

#[tokio::test]
async fn a_database_that_cannot_be_read_is_replaced_all_the_same() {
    let home = Home::served(Database::Sqlite).await;
    assert_eq!(home.say(&["backup", "copy.db"]).await.code, 0);
    std::fs::write(home.data("tollgate.db"), "a disk failed here").unwrap();
    std::fs::write(home.data("tollgate.db-wal"), "and here").unwrap();
    let done = home.say(&["restore", "copy.db", "--yes"]).await;
    assert_eq!(done.code, 0, "{}", done.text);
    hiding().bind(|| {
        assert_snapshot!(done.text, @r"
        `copy.db` is whole: [N] audit rows
        what the database in place holds cannot be read (error returned from database: (code: 26) file is not a database): all of it is lost here
        restored; the audit log's head is [N]:[HASH]
        The database that was there is kept as `[DIR]/data/tollgate.db.replaced-[DATE]`.
        ");
    });
    home.serve().await.stop().await;
    // On a new machine, with the keys beside.
    for name in ["tollgate.db", "audit-head"] {
        std::fs::remove_file(home.data(name)).unwrap();
    }
    let done = home.say(&["restore", "copy.db", "--yes"]).await;
    assert_eq!(done.code, 0, "{}", done.text);
    home.serve().await.stop().await;
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}
