//! Measures what a question costs: warm from the cache, cold from each driver.
//!
//! ```text
//! cargo run --release -p entitlements --features sql --example can -- [URL OF POSTGRESQL]
//! ```
//!
//! One line for each: the driver, then `warm_ns` and `cold_us`, medians of rounds. The database
//! behind the URL gets tables whose names begin with `bench`.
#![expect(clippy::print_stdout, reason = "a measurement prints figures")]

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use entitlements::driver::{Driver, Memory, Postgres, Sqlite};
use entitlements::sql::Prefix;
use entitlements::{By, Catalog, Entitlements, Limit, Overrides, TierGrants};

const ROUNDS: usize = 15;
const WARM: u32 = 200_000;
const COLD: u32 = 1_000;

fn main() -> Result<(), Box<dyn Error>> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        measure("memory", Arc::new(Memory::new())).await?;
        let dir = tempfile::tempdir()?;
        let prefix = Prefix::parse("bench")?;
        let sqlite = Sqlite::open(dir.path().join("bench.db"), prefix.clone()).await?;
        measure("sqlite", Arc::new(sqlite)).await?;
        if let Some(url) = std::env::args().nth(1) {
            let postgres = Postgres::connect(&url, prefix).await?;
            measure("postgres", Arc::new(postgres)).await?;
        }
        Ok(())
    })
}

async fn measure(name: &str, driver: Arc<dyn Driver>) -> Result<(), Box<dyn Error>> {
    let warm = Entitlements::builder(Arc::clone(&driver), catalog()?).build();
    let cold = Entitlements::builder(driver, catalog()?)
        .cache_life(Duration::ZERO)
        .build();
    warm.setup().await?;
    warm.assign("acme", "tier-1", By::hand("bench")).await?;
    let set = Overrides::default().feature("feature-3", true);
    warm.override_("acme", set).await?;
    let warm = median(&warm, WARM).await?;
    let cold = median(&cold, COLD).await?;
    println!("{name} warm_ns={:.0} cold_us={:.1}", warm * 1e9, cold * 1e6);
    Ok(())
}

/// Seconds that one question costs.
async fn median(entitlements: &Entitlements, questions: u32) -> Result<f64, Box<dyn Error>> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        for _ in 0..questions {
            if !entitlements.can("acme", "feature-3").await? {
                return Err("it said no".into());
            }
        }
        rounds.push(started.elapsed().as_secs_f64() / f64::from(questions));
    }
    rounds.sort_by(f64::total_cmp);
    rounds
        .get(ROUNDS / 2)
        .copied()
        .ok_or_else(|| "no round".into())
}

/// Three tiers over a hundred features.
fn catalog() -> Result<Catalog, Box<dyn Error>> {
    let mut builder = Catalog::builder()
        .features((0..100).map(|at| format!("feature-{at}")))
        .default_tier("tier-0");
    for tier in 0..3 {
        let mut grants = TierGrants::new(format!("tier-{tier}"));
        for at in (10..100).filter(|at| at % 3 == tier) {
            grants = grants.feature(format!("feature-{at}"));
        }
        builder = builder.tier(grants.limit("seats", Limit::Count(tier)));
    }
    Ok(builder.build()?)
}
