//! Several control planes on one PostgreSQL.

use std::time::Duration;

use activation_token::credential::HashKey;
use control_plane::domain::{Event, Requester};
use control_plane::store::{Database, Store};
use serde_json::json;
use tests::Database as Engine;
use tests::home::Home;
use tests::process::new_postgres_database;
use tests::sql::Sql;

const LISTENERS: &str = "SELECT COUNT(*) FROM pg_stat_activity \
    WHERE datname = current_database() AND query LIKE 'LISTEN%'";
const END_LISTENERS: &str = "SELECT COUNT(*) FROM (SELECT pg_terminate_backend(pid) \
    FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%') AS ended";

/// No test lasts until this timer.
const NEVER: Duration = Duration::from_hours(1);
const SOON: Duration = Duration::from_secs(20);

async fn store(url: &str) -> Store {
    let database = Database::open_postgres(url).await.unwrap();
    let store = Store::new(database, &HashKey::from_bytes([1; 32])).await;
    store.unwrap()
}

async fn change(store: &Store) -> i64 {
    let event = Event {
        concerns_gates: true,
        ..Event::new("test.change", &"x")
    };
    let mut tx = store.begin().await.unwrap();
    let now = tests::now();
    let recorded = tx.record(&Requester::system(), now, event, ()).await;
    tx.commit(recorded.unwrap()).await.unwrap();
    store.newest_change().await.unwrap()
}

#[tokio::test]
async fn a_change_by_one_wakes_the_other_also_after_its_connection_broke() {
    let url = new_postgres_database().await;
    let (one, other) = (store(&url).await, store(&url).await);
    let mut sql = Sql::postgres(&url).await;
    let following = tokio::spawn({
        let other = other.clone();
        async move { other.follow(NEVER).await }
    });
    let mut heard = other.changes().subscribe();
    let listening = async |sql: &mut Sql| {
        while sql.number(LISTENERS, &[]).await == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, listening(&mut sql))
        .await
        .unwrap();
    for _ in 0..3 {
        let number = change(&one).await;
        let told = heard.wait_for(|newest| *newest >= number);
        tokio::time::timeout(SOON, told).await.unwrap().unwrap();
    }
    assert_eq!(sql.number(END_LISTENERS, &[]).await, 1);
    // Nobody listens while this is told of.
    let number = change(&one).await;
    let told = heard.wait_for(|newest| *newest >= number);
    tokio::time::timeout(SOON, told).await.unwrap().unwrap();
    tokio::time::timeout(SOON, listening(&mut sql))
        .await
        .unwrap();
    let number = change(&one).await;
    let told = heard.wait_for(|newest| *newest >= number);
    tokio::time::timeout(SOON, told).await.unwrap().unwrap();
    following.abort();
}

#[tokio::test]
async fn without_word_of_a_change_the_timer_finds_it() {
    let url = new_postgres_database().await;
    let (one, other) = (store(&url).await, store(&url).await);
    let mut heard = other.changes().subscribe();
    // Whoever changes the row by hand tells nobody.
    let following = tokio::spawn(async move { other.follow(Duration::from_millis(50)).await });
    let number = change(&one).await;
    let told = heard.wait_for(|newest| *newest >= number);
    tokio::time::timeout(SOON, told).await.unwrap().unwrap();
    let mut sql = Sql::postgres(&url).await;
    sql.run("UPDATE counters SET value = 99 WHERE name = 'change'", &[])
        .await;
    let told = heard.wait_for(|newest| *newest == 99);
    tokio::time::timeout(SOON, told).await.unwrap().unwrap();
    following.abort();
}

#[tokio::test]
async fn a_second_control_plane_with_the_keys_of_the_first_serves_the_same() {
    let first = Home::new(Engine::Postgres).await;
    let one = first.serve().await;
    let second = Home {
        database_url: first.database_url.clone(),
        ..Home::new(Engine::Sqlite).await
    };
    for dir in ["", "signing-keys"] {
        let (from, to) = (first.data(dir), second.data(dir));
        std::fs::create_dir(&to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_file() && entry.file_name() != "lock" {
                std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    }
    let other = second.serve().await;
    let body = json!({ "kind": "publisher", "name": "build server" });
    let made = one.post("/v1/credentials", body).await;
    let secret = made["secret"].as_str().unwrap();
    let follows = async {
        while other.whoami(secret).await != 200 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, follows).await.unwrap();
    // Both write by turns, and the log stays one.
    for running in [&one, &other, &one] {
        running.issue().await;
    }
    assert_eq!(second.say(&["audit", "verify"]).await.code, 0);
    other.stop().await;
    one.stop().await;
    first.serve().await.stop().await;
}
