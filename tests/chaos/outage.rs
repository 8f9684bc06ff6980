//! PostgreSQL crashes and comes back, under load.

use std::process::Command;
use std::time::{Duration, Instant};

use control_plane::store::Database;
use serde_json::json;
use tempfile::TempDir;
use tests::{COMMERCE, Reader, Tollgate};

use crate::clients::{Clients, PATIENCE, assert_chain_holds};

const CYCLES: u32 = 3;
/// It works again at the latest so long after the database does.
const RECOVERY: Duration = Duration::from_secs(10);

/// A PostgreSQL server of the test's own, which flushes what it commits.
struct Server {
    dir: TempDir,
    url: String,
}

impl Server {
    fn start() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(dir.path(), open).unwrap();
        let mut server = Self {
            dir,
            url: String::new(),
        };
        server.url = server.control("start");
        server
    }

    fn control(&self, what: &str) -> String {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../ci/postgres");
        let output = Command::new(script)
            .arg(what)
            .arg(self.dir.path().join("db"))
            .arg("durable")
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{what}: {errors}");
        String::from_utf8(output.stdout)
            .unwrap()
            .trim_end()
            .to_owned()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.control("stop");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_crashes_under_load_and_nothing_acknowledged_is_lost_or_doubled() {
    let server = Server::start();
    let arguments = ["--database-url", &server.url];
    let mut tollgate = Tollgate::start_on(tests::Database::Sqlite, COMMERCE, &arguments).await;
    drop(tollgate.collect_errors());
    let url = tollgate.control_plane.clone();
    let client = tests::people::client();
    let probe = async || {
        let request = client.post(format!("{url}/v1/licenses/none/suspend"));
        let request = request.bearer_auth(&tollgate.operator_token);
        let response = request.json(&json!({ "reason": "a test" })).send().await;
        let response = response.expect("an answer");
        let status = response.status().as_u16();
        let retry_after = response.headers().contains_key("retry-after");
        let text = response.text().await.unwrap();
        (status, retry_after, text)
    };
    let mut clients = Clients::new(&tollgate.operator_token);
    for _ in 0..CYCLES {
        let working = clients.start(&url);
        working.until_acknowledged(100).await;
        server.control("crash");
        let (status, retry_after, text) = probe().await;
        assert_eq!((status, retry_after), (503, true), "{text}");
        assert!(text.contains("database_unavailable"), "{text}");
        let ready = client.get(format!("{url}/readyz")).send().await.unwrap();
        assert_eq!(ready.status(), 503);
        server.control("again");
        let back = Instant::now();
        while probe().await.0 == 503 {
            assert!(back.elapsed() < PATIENCE, "it does not recover");
        }
        let recovered = back.elapsed();
        println!("works again after {recovered:?}");
        assert!(recovered < RECOVERY, "{recovered:?}");
        working.until_acknowledged(100).await;
        clients = working.stop().await;
        clients.settle(&url).await;
        clients.compare(&Reader::postgres(&server.url));
    }
    println!(
        "{CYCLES} crashes, {} acknowledged, {} retried",
        clients.acknowledged(),
        clients.retried(),
    );
    let data = tollgate.data();
    let database = Database::open_postgres(&server.url).await.unwrap();
    assert_chain_holds(database, &data).await;
}
