//! What a million live tokens take: every one is signed, shown to a gate with the default
//! settings, and asked for again. Prints resident memory, and nanoseconds of a decision about a
//! token that is not among the busy ones. `cargo run --release -p registry-gate --example tokens`.

use std::sync::Arc;
use std::time::Instant;

use activation_token::clock::{Clock, SystemClock};
use activation_token::snapshot::{Publishers, Revocations, Snapshot, SnapshotTier};
use activation_token::{Claims, KeySet, Packages, SigningKey};
use anyhow::{Context, Result, ensure};
use data_encoding::BASE64URL_NOPAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::{SignedDuration, Timestamp};
use manifest::{PackageName, PackageSet};
use registry_gate::{Gate, GateConfig};

const TOKENS: u32 = 1_000_000;
/// As many tiers with sets of their own, with so many packages.
const SETS: usize = 8;
const PACKAGES: usize = 40;
/// So many tokens are asked for again, from all over.
const SAMPLE: u32 = 5_000;

#[expect(clippy::print_stdout, reason = "a program whose result is its output")]
fn main() -> Result<()> {
    let sets = (0..SETS).map(set).collect::<Result<Vec<_>>>()?;
    let key = SigningKey::from_seed(&[1; 32])?;
    let dir = tempfile::tempdir()?;
    let config = GateConfig::new("http://gate.example".parse()?, dir.path());
    let (gate, sender) = Gate::new(config, Arc::new(SystemClock))?;
    let now = SystemClock.now();
    sender.publish(snapshot(&key, &sets, now)?)?;
    let name = PackageName::parse("@acme/package-000")?;
    let headers = |number| headers(&key, &sets, number, now);

    let before = resident_mib()?;
    for number in 0..TOKENS {
        ensure!(
            gate.may_read(&headers(number)?, name.clone()),
            "token {number} is good"
        );
    }
    let after = resident_mib()?;
    println!("{TOKENS} tokens: {after} MiB resident, {before} MiB without them");

    // Every token is signed anew to the same text: the texts themselves would take more memory
    // than all else.
    let sample = (0..SAMPLE).map(|number| headers(number * (TOKENS / SAMPLE)));
    let sample = sample.collect::<Result<Vec<_>>>()?;
    let mut times = Vec::with_capacity(sample.len());
    for headers in &sample {
        let start = Instant::now();
        ensure!(
            gate.may_read(headers, name.clone()),
            "the token is still good"
        );
        times.push(start.elapsed().as_nanos());
    }
    times.sort_unstable();
    let at = |share: usize| {
        times
            .get(times.len() * share / 100)
            .copied()
            .unwrap_or_default()
    };
    println!(
        "a decision about one of them: median {} ns, 90 of 100 within {} ns (one that has to be verified takes about 50,000)",
        at(50),
        at(90)
    );
    Ok(())
}

/// A set of its own for each number.
fn set(number: usize) -> Result<PackageSet> {
    let size = PACKAGES + number;
    let names = (0..size).map(|n| PackageName::parse(&format!("@acme/package-{n:03}")));
    Ok(names.collect::<Result<Vec<_>, _>>()?.into_iter().collect())
}

fn headers(
    key: &SigningKey,
    sets: &[PackageSet],
    number: u32,
    now: Timestamp,
) -> Result<HeaderMap> {
    let set = sets.get(number as usize % SETS).context("a set")?;
    let token = key.sign(&Claims {
        issuer: "https://control-plane.example".to_owned(),
        audience: "https://gate.example".to_owned(),
        customer_id: format!("customer-{number:022}"),
        token_id: format!("token-{number:026}"),
        issued_at: now,
        not_before: now,
        expires_at: now + SignedDuration::from_hours(24),
        tier: "basic".parse()?,
        license_id: format!("lic_{number:026}"),
        box_id: Some(format!("box_{number:026}")),
        packages: Packages::Listed(set.clone()),
    })?;
    Ok([(AUTHORIZATION, format!("Bearer {token}").parse()?)]
        .into_iter()
        .collect())
}

fn snapshot(key: &SigningKey, sets: &[PackageSet], now: Timestamp) -> Result<Snapshot> {
    Ok(Snapshot {
        sequence: 1,
        issued_at: now,
        max_stale_seconds: 24 * 3600,
        issuer: "https://control-plane.example".to_owned(),
        audience: "https://gate.example".to_owned(),
        scope: "@acme".to_owned(),
        keys: KeySet::new(vec![key.public().clone()]).to_jwks(),
        tiers: vec![SnapshotTier {
            name: "basic".parse()?,
            set: sets.first().context("a set")?.digest(),
        }],
        sets: sets
            .iter()
            .map(|set| set.iter().cloned().collect())
            .collect(),
        revocations: Revocations::default(),
        expiring: Vec::new(),
        publishers: Publishers {
            hash_key: BASE64URL_NOPAD.encode(&[0; 32]),
            credentials: Vec::new(),
        },
    })
}

fn resident_mib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next());
    Ok(kib
        .context("no VmRSS in /proc/self/status")?
        .parse::<u64>()?
        / 1024)
}
