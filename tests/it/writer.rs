//! The writer: many changes in one commit, and each by itself all the same.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use axum::http::{HeaderValue, Method};
use control_plane::domain::{Decision, Requester};
use control_plane::operations::{Error, Fault, Issued, NewLicense, Operations};
use control_plane::store::{Link, Recorded, Store, StoreError, Tx, audit};
use futures_util::future::join_all;
use serde_json::json;
use tests::plane::json_request;
use tests::{COMMERCE, Ledger, Plane};

/// Runs a statement by hand.
async fn run(tx: &mut Tx, sql: &'static str) -> sqlx::Result<()> {
    match tx.link() {
        Link::Sqlite(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop),
        Link::Postgres(connection) => sqlx::raw_sql(sql).execute(connection).await.map(drop),
    }
}

/// Issues a license to this customer. Whatever is wrong with the database is an error.
async fn issue(
    operations: &Operations,
    tx: &mut Tx,
    customer: &str,
) -> Result<Recorded<Issued>, StoreError> {
    let new = NewLicense {
        customer_id: customer.to_owned(),
        tier: Some("basic".to_owned()),
        ..NewLicense::default()
    };
    let by = Requester::system();
    match operations.issue_license(tx, &by, new).await {
        Ok(issued) => Ok(issued),
        Err(Error::Fault(Fault::Store(error))) => Err(error),
        Err(error) => panic!("{error:?}"),
    }
}

/// A whole change: a license for this customer.
async fn change(operations: &Operations, customer: &str) -> Result<Issued, StoreError> {
    change_on(&operations.store, operations, customer).await
}

async fn change_on(
    store: &Store,
    operations: &Operations,
    customer: &str,
) -> Result<Issued, StoreError> {
    let mut tx = store.begin().await?;
    let issued = issue(operations, &mut tx, customer).await?;
    tx.commit(issued).await
}

/// The customers that have licenses, each as often as it has one.
fn customers(plane: &Plane) -> Vec<String> {
    plane.sql("SELECT customer_id FROM licenses ORDER BY customer_id")
}

/// Nothing is half done: the log has no gap, its chain holds, and it tells what the tables hold.
async fn assert_sound(plane: &Plane) -> Ledger {
    // Refusals are written beside the answers.
    plane.operations.denials.settle().await;
    let store = &plane.operations.store;
    let mut conn = store.read().await.unwrap();
    let head = audit::verify(&mut conn, store.chain(), &[]).await.unwrap();
    let mut ledger = Ledger::default();
    ledger.read_on(plane.reader());
    assert_eq!(head.expect("a sound log").sequence, ledger.sequence);
    ledger.compare(plane.reader());
    ledger
}

/// Polls a future until it is done, or drops it where it waits for the `waits`-th time.
async fn give_up_after<T>(waits: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut left = waits;
    std::future::poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(Some(value)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// A change that shows only at the commit that it breaks a rule of the database.
async fn poison(plane: &Plane) -> Result<(), StoreError> {
    let mut tx = plane.operations.store.begin().await?;
    let sql = if plane.reader().is_postgres() {
        "CREATE FUNCTION no() RETURNS trigger AS $$ BEGIN RAISE 'no'; END $$ LANGUAGE plpgsql; \
         CREATE CONSTRAINT TRIGGER no AFTER INSERT ON facts DEFERRABLE INITIALLY DEFERRED \
         FOR EACH ROW WHEN (NEW.value = 'no') EXECUTE FUNCTION no(); \
         INSERT INTO facts VALUES ('x', 'no')"
    } else {
        "PRAGMA defer_foreign_keys = ON; INSERT INTO released_boxes VALUES ('x', 'nobody', 1)"
    };
    run(&mut tx, sql).await.unwrap();
    tx.commit_notes().await
}

/// Gives the transaction back and has it again behind all who wait by now.
async fn next_turn(store: &Store, turn: Tx) -> Tx {
    let mut next = pin!(store.begin());
    assert!(futures_util::poll!(next.as_mut()).is_pending());
    drop(turn);
    next.await.unwrap()
}

async fn licenses_in(tx: &mut Tx) -> i64 {
    let sql = "SELECT COUNT(*) FROM licenses";
    let count = match tx.link() {
        Link::Sqlite(connection) => sqlx::query_scalar(sql).fetch_one(connection).await,
        Link::Postgres(connection) => sqlx::query_scalar(sql).fetch_one(connection).await,
    };
    count.unwrap()
}

async fn counted(plane: &Plane, name: &str) -> u64 {
    let text = plane.get("/metrics", Some(&plane.admin)).await.text;
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.rsplit_once(' ').unwrap().1.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_share_a_commit() {
    for plane in Plane::on_each(COMMERCE).await {
        let (changes, commits) = ("tollgate_changes_total ", "tollgate_commits_total ");
        let before = [
            counted(&plane, changes).await,
            counted(&plane, commits).await,
        ];
        let writers = (0..64).map(|writer| {
            let operations = plane.operations.clone();
            tokio::spawn(async move {
                for nth in 0..5 {
                    change(&operations, &format!("{writer}-{nth}"))
                        .await
                        .unwrap();
                }
            })
        });
        for ended in join_all(writers).await {
            ended.unwrap();
        }
        let made = counted(&plane, changes).await - before[0];
        let committed = counted(&plane, commits).await - before[1];
        assert_eq!(made, 320);
        assert!(committed <= made / 8, "{committed} commits");
        assert_sound(&plane).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_or_is_given_up_takes_back_its_own_statements_alone() {
    for plane in Plane::on_each(COMMERCE).await {
        let operations = &plane.operations;
        // All of them stand in one transaction: while the first holds it, the others queue.
        let mut first = operations.store.begin().await.unwrap();
        let good = |name| async move { change(operations, name).await.map(drop) };
        let dropped = async {
            let mut tx = operations.store.begin().await.unwrap();
            let _ = issue(operations, &mut tx, "dropped").await;
            Ok(())
        };
        let failed = async {
            let mut tx = operations.store.begin().await.unwrap();
            let _ = issue(operations, &mut tx, "failed").await;
            let error = run(&mut tx, "INSERT INTO facts (name) VALUES (NULL)").await;
            assert!(error.is_err());
            Ok(())
        };
        let holding = async {
            let issued = issue(operations, &mut first, "first").await.unwrap();
            first.commit(issued).await.map(drop)
        };
        let results: [Result<(), StoreError>; 7] = tokio::join!(
            good("a"),
            dropped,
            good("b"),
            failed,
            good("c"),
            good("d"),
            holding
        )
        .into();
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        assert_eq!(customers(&plane), ["a", "b", "c", "d", "first"]);
        assert_sound(&plane).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_goes_away_at_any_moment_harms_nobody() {
    for plane in Plane::on_each(COMMERCE).await {
        let operations = &plane.operations;
        let mut acknowledged = BTreeSet::new();
        let mut given_up = BTreeSet::new();
        // Once at each point where a change waits, until there are no more such points.
        let mut finished = 0;
        for waits in 0.. {
            let name = format!("gone-{waits:03}");
            let gone = async {
                let mut tx = operations.store.begin().await.unwrap();
                let issued = issue(operations, &mut tx, &name).await.unwrap();
                if waits % 2 == 1 {
                    // An answer that nobody waits for may be an error.
                    let _ = run(&mut tx, "INSERT INTO facts (name) VALUES (NULL)").await;
                    return Err(StoreError::Interrupted);
                }
                tx.commit(issued).await
            };
            let neighbors: Vec<String> = (0..3).map(|n| format!("stays-{waits:03}-{n}")).collect();
            let staying = neighbors.iter().map(|name| change(operations, name));
            let (result, stayed) = tokio::join!(give_up_after(waits, gone), join_all(staying));
            for result in stayed {
                result.expect("a neighbor's change");
            }
            acknowledged.extend(neighbors);
            match result {
                Some(Ok(_)) => assert!(acknowledged.insert(name)),
                None if waits.is_multiple_of(2) => assert!(given_up.insert(name)),
                _ => {}
            }
            finished = if result.is_some() { finished + 1 } else { 0 };
            if finished == 8 {
                break;
            }
        }
        assert!(given_up.len() >= 3, "{given_up:?}");
        let found: BTreeSet<String> = customers(&plane).into_iter().collect();
        assert!(
            acknowledged.is_subset(&found),
            "an acknowledged change is lost"
        );
        let surplus: BTreeSet<&String> = found.difference(&acknowledged).collect();
        assert!(
            surplus.iter().all(|name| given_up.contains(*name)),
            "{surplus:?}"
        );
        assert_sound(&plane).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crowd_in_which_many_go_away_loses_nothing() {
    for plane in Plane::on_each(COMMERCE).await {
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut tasks = Vec::new();
        for n in 0..600 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let waits = usize::try_from(random % 24).unwrap();
            let leaves = !random.is_multiple_of(3);
            let breaks = random.is_multiple_of(5);
            let operations = plane.operations.clone();
            tasks.push(tokio::spawn(async move {
                let name = format!("{n:03}");
                let change = async {
                    let mut tx = operations.store.begin().await.unwrap();
                    let issued = issue(&operations, &mut tx, &name).await.unwrap();
                    if breaks {
                        let _ = run(&mut tx, "INSERT INTO facts (name) VALUES (NULL)").await;
                        return false;
                    }
                    tx.commit(issued).await.expect("a change");
                    true
                };
                let waits = if leaves { waits } else { usize::MAX };
                (give_up_after(waits, change).await == Some(true)).then_some(name)
            }));
        }
        let found: BTreeSet<String> = {
            let acknowledged: Vec<_> = join_all(tasks).await;
            // Whatever was given up is settled when the next change is made.
            change(&plane.operations, "last").await.unwrap();
            let found = customers(&plane).into_iter().collect();
            for name in acknowledged.into_iter().filter_map(Result::unwrap) {
                let found: &BTreeSet<String> = &found;
                assert!(found.contains(&name), "{name} is lost");
            }
            found
        };
        assert!(found.len() > 100, "{}", found.len());
        assert_sound(&plane).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_fails_its_batch_and_no_other() {
    let planes = Plane::on_each(COMMERCE).await;
    let plane = planes
        .into_iter()
        .find(|plane| plane.reader().is_postgres())
        .unwrap();
    let operations = &plane.operations;
    for round in 0..3 {
        let mut doomed = operations.store.begin().await.unwrap();
        let complete = change(operations, "complete");
        let mut complete = Box::pin(complete);
        let batch = async {
            let issued = issue(operations, &mut doomed, "doomed").await.unwrap();
            let committing = doomed.commit(issued);
            let terminating = async {
                let mut tx = operations.store.begin().await.unwrap();
                plane.sql(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                     WHERE state = 'idle in transaction' AND datname = current_database()",
                );
                assert!(run(&mut tx, "SELECT 1").await.is_err());
            };
            tokio::join!(committing, terminating).0.map(drop)
        };
        // The one behind is served by a new connection.
        let (first, second) = tokio::join!(batch, &mut complete);
        let error = first.expect_err("the batch is lost");
        assert!(error.is_outage(), "{error:?}");
        if let Err(error) = second {
            assert!(error.is_outage(), "{error:?}");
        }
        change(operations, &format!("after-{round}"))
            .await
            .expect("a new connection");
    }
    let found = customers(&plane);
    assert!(!found.iter().any(|name| name == "doomed"), "{found:?}");
    assert_sound(&plane).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_is_told_to_all_and_nothing_is_announced() {
    for plane in Plane::on_each(COMMERCE).await {
        let operations = &plane.operations;
        let license = change(operations, "c-1").await.unwrap().license;
        let newest = *operations.store.changes().subscribe().borrow();
        let poison = poison(&plane);
        let suspend = async {
            let mut tx = operations.store.begin().await.unwrap();
            let by = Requester::system();
            let why = "a test".to_owned();
            let done = operations
                .decide_license(&mut tx, &by, &license.id, Decision::Suspended, why)
                .await;
            tx.commit(done.unwrap_or_else(|_| panic!())).await.map(drop)
        };
        let mut first = operations.store.begin().await.unwrap();
        let first = async {
            let issued = issue(operations, &mut first, "c-2").await.unwrap();
            first.commit(issued).await.map(drop)
        };
        let results: [Result<(), StoreError>; 3] = tokio::join!(poison, suspend, first).into();
        assert!(results.iter().all(Result::is_err), "{results:?}");
        assert_eq!(customers(&plane), ["c-1"]);
        assert_eq!(*operations.store.changes().subscribe().borrow(), newest);
        change(operations, "c-3").await.expect("the next one works");
        assert_sound(&plane).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_answer_is_given_again_only_after_its_change_is_committed() {
    for plane in Plane::on_each(COMMERCE).await {
        let plane = Arc::new(plane);
        let send = || {
            let plane = Arc::clone(&plane);
            tokio::spawn(async move {
                let body = json!({ "customerId": "c-1", "tier": "basic" }).to_string();
                let token = Some(plane.admin.as_str());
                let mut request = json_request(Method::POST, "/v1/licenses", token, body);
                let key = HeaderValue::from_static("once");
                request.headers_mut().insert("idempotency-key", key);
                plane.send(request).await
            })
        };
        let store = &plane.operations.store;
        // Turn by turn, so that the transaction goes on, until the first request's change stands
        // in it.
        let mut turn = store.begin().await.unwrap();
        let first = send();
        while licenses_in(&mut turn).await == 0 {
            turn = next_turn(store, turn).await;
        }
        assert!(customers(&plane).is_empty(), "it is committed");
        // It waits for the commit. Its client goes away, and asks again.
        first.abort();
        let _ = first.await;
        let second = send();
        for _ in 0..200 {
            turn = next_turn(store, turn).await;
        }
        let mut poison = pin!(poison(&plane));
        assert!(futures_util::poll!(poison.as_mut()).is_pending());
        drop(turn);
        assert!(poison.await.is_err());
        let answer = second.await.unwrap();
        assert!(answer.status.is_server_error(), "{}", answer.text);
        let answer = send().await.unwrap();
        assert_eq!(answer.status, 201);
        assert_eq!(customers(&plane), ["c-1"]);
        assert_sound(&plane).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_announced_also_when_whoever_made_it_is_gone() {
    for plane in Plane::on_each(COMMERCE).await {
        let operations = plane.operations.clone();
        let license = change(&operations, "c-1").await.unwrap().license;
        let mut news = operations.store.changes().subscribe();
        news.mark_unchanged();
        let mut tx = operations.store.begin().await.unwrap();
        let by = Requester::system();
        let done = operations
            .decide_license(
                &mut tx,
                &by,
                &license.id,
                Decision::Suspended,
                "a test".into(),
            )
            .await;
        let done = done.unwrap_or_else(|_| panic!());
        // Gone as soon as the change waits for its commit.
        assert!(give_up_after(0, tx.commit(done)).await.is_none());
        news.changed().await.unwrap();
        assert_eq!(plane.sql("SELECT status FROM licenses"), ["suspended"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_keep_each_other_out() {
    for plane in Plane::on_each(COMMERCE).await {
        let other = plane.another_store().await;
        let operations = &plane.operations;
        let by = Requester::system();
        let license = change(operations, "c-1").await.unwrap().license;
        let count = |store: Store| {
            let (operations, by, id) = (operations.clone(), by.clone(), license.id.clone());
            async move {
                for _ in 0..10 {
                    let mut tx = store.begin().await.unwrap();
                    let found = control_plane::store::licenses::get(tx.link(), &id, tests::now());
                    let found = found.await.unwrap().unwrap();
                    let n: u32 = found.metadata.get("n").map_or(0, |n| n.parse().unwrap());
                    let change = control_plane::operations::LicenseChange {
                        metadata: [("n".to_owned(), Some((n + 1).to_string()))].into(),
                        ..Default::default()
                    };
                    let done = operations.change_license(&mut tx, &by, &id, change).await;
                    tx.commit(done.unwrap_or_else(|_| panic!())).await.unwrap();
                }
            }
        };
        let own = || operations.store.clone();
        let racing =
            [own(), other.clone(), own(), other.clone()].map(|store| tokio::spawn(count(store)));
        for ended in join_all(racing).await {
            ended.unwrap();
        }
        let ledger = assert_sound(&plane).await;
        let metadata = &ledger.licenses[license.id.as_str()]["metadata"];
        assert_eq!(metadata, &json!({ "n": "40" }), "an update was lost");
        other.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_closes_lets_changes_end_and_leaves_one_file() {
    for plane in Plane::on_each(COMMERCE).await {
        let operations = &plane.operations;
        let mut tx = operations.store.begin().await.unwrap();
        let running = async {
            let issued = issue(operations, &mut tx, "running").await.unwrap();
            tx.commit(issued).await
        };
        let (ended, waited, ()) = tokio::join!(
            running,
            change(operations, "waiting"),
            operations.store.close()
        );
        ended.expect("it was running");
        waited.expect("it was before the close");
        let late = change(operations, "late").await.expect_err("it is closed");
        assert!(late.is_outage());
        assert_eq!(customers(&plane), ["running", "waiting"]);
        if !plane.reader().is_postgres() {
            let log = format!("{}-wal", plane.reader().database());
            assert!(
                !std::path::Path::new(&log).exists(),
                "the log was not brought in"
            );
        }
    }
}
