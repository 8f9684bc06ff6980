//! SIGKILL, again and again.

use std::time::{Duration, Instant};

use control_plane::store::Database;
use tests::{COMMERCE, Reader, Tollgate};

use crate::clients::{Clients, Random, assert_chain_holds};

const CYCLES: u32 = 100;

#[tokio::test(flavor = "multi_thread")]
async fn killed_under_16_writers_nothing_acknowledged_is_lost_and_nothing_is_half_done() {
    let mut tollgate = Tollgate::start(COMMERCE).await;
    let file = tollgate.data().join("tollgate.db");
    let sql = Reader::sqlite(&file);
    let mut clients = Clients::new(&tollgate.operator_token);
    let mut random = Random(0xd1b5_4a32_d192_ed03);
    let (mut starting, begun) = (Duration::ZERO, Instant::now());
    for _ in 0..CYCLES {
        let working = clients.start(&tollgate.control_plane);
        working.until_acknowledged(1 + random.below(60)).await;
        // Anywhere between two commits, or in one.
        let moment = Instant::now() + Duration::from_micros(random.below(5_000));
        while Instant::now() < moment {
            std::hint::spin_loop();
        }
        tollgate.kill().await;
        clients = working.stop().await;
        let start = Instant::now();
        tollgate.start_again().await;
        starting += start.elapsed();
        clients.settle(&tollgate.control_plane).await;
        clients.compare(&sql);
    }
    println!(
        "{CYCLES} cycles in {:.1} s, {} acknowledged, {} retried, {} ms a start",
        begun.elapsed().as_secs_f64(),
        clients.acknowledged(),
        clients.retried(),
        starting.as_millis() / u128::from(CYCLES),
    );
    let data = tollgate.data();
    tollgate.kill().await;
    let database = Database::open_sqlite(&file).await.unwrap();
    assert_chain_holds(database, &data).await;
}
