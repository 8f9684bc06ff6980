//! How long the gate takes to decide, once it knows a token, and how much of that is the
//! membership check: nanoseconds for sets of 10, 1,000 and 100,000 packages. `cargo run --release -p registry-gate --example decision`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use activation_token::clock::{Clock, SystemClock};
use activation_token::snapshot::{Publishers, Revocations, Snapshot, SnapshotTier};
use activation_token::{Claims, KeySet, Packages, SigningKey};
use anyhow::{Context, Result, ensure};
use data_encoding::BASE64URL_NOPAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::SignedDuration;
use manifest::{PackageName, PackageSet};
use registry_gate::{Gate, GateConfig};

const DECISIONS: u32 = 1_000_000;

#[expect(clippy::print_stdout, reason = "a program whose result is its output")]
fn main() -> Result<()> {
    for size in [10, 1_000, 100_000] {
        let (check, decision) = measure(size)?;
        println!("{size:>7} packages: membership {check:>4.0} ns, decision {decision:>4.0} ns");
    }
    Ok(())
}

/// Nanoseconds of the membership check alone, and of the whole decision.
fn measure(size: usize) -> Result<(f64, f64)> {
    let names: Result<Vec<PackageName>, _> = (0..size)
        .map(|n| PackageName::parse(&format!("@acme/package-{n:06}")))
        .collect();
    let set: PackageSet = names?.into_iter().collect();
    let key = SigningKey::from_seed(&[1; 32])?;
    let dir = tempfile::tempdir()?;
    let config = GateConfig::new("http://gate.example".parse()?, dir.path());
    let (gate, sender) = Gate::new(config, Arc::new(SystemClock))?;
    sender.publish(snapshot(&key, &set)?)?;
    let token = key.sign(&claims(&set)?)?;
    let headers: HeaderMap = [(AUTHORIZATION, format!("Bearer {token}").parse()?)]
        .into_iter()
        .collect();

    let inside = set
        .iter()
        .nth(size / 2)
        .context("a set of that size")?
        .clone();
    let outside = PackageName::parse("@acme/nope")?;
    ensure!(
        gate.may_read(&headers, inside.clone()),
        "the token opens its packages"
    );
    ensure!(!gate.may_read(&headers, outside), "and no others");
    let check = timed(|| set.contains(black_box(inside.as_str())));
    let decision = timed(|| gate.may_read(black_box(&headers), black_box(inside.clone())));
    Ok((check, decision))
}

fn timed(work: impl Fn() -> bool) -> f64 {
    let start = Instant::now();
    for _ in 0..DECISIONS {
        black_box(work());
    }
    start.elapsed().as_secs_f64() * 1e9 / f64::from(DECISIONS)
}

fn snapshot(key: &SigningKey, set: &PackageSet) -> Result<Snapshot> {
    Ok(Snapshot {
        sequence: 1,
        issued_at: SystemClock.now(),
        max_stale_seconds: 3600,
        issuer: "issuer".to_owned(),
        audience: "gate".to_owned(),
        scope: "@acme".to_owned(),
        keys: KeySet::new(vec![key.public().clone()]).to_jwks(),
        tiers: vec![SnapshotTier {
            name: "basic".parse()?,
            set: set.digest(),
        }],
        sets: vec![set.iter().cloned().collect()],
        revocations: Revocations::default(),
        publishers: Publishers {
            hash_key: BASE64URL_NOPAD.encode(&[0; 32]),
            credentials: Vec::new(),
        },
        expiring: Vec::new(),
    })
}

fn claims(set: &PackageSet) -> Result<Claims> {
    let now = SystemClock.now();
    Ok(Claims {
        issuer: "issuer".to_owned(),
        audience: "gate".to_owned(),
        customer_id: "customer".to_owned(),
        token_id: "token".to_owned(),
        issued_at: now,
        not_before: now,
        expires_at: now + SignedDuration::from_hours(1),
        tier: "basic".parse()?,
        license_id: "license".to_owned(),
        box_id: None,
        packages: Packages::Listed(set.clone()),
    })
}
