//! How the compiler grows: `cargo run --release -p manifest --example scale`.
//!
//! Prints, asserts nothing. Memory is the peak of the process so far (Linux), so sizes ascend.

#![expect(clippy::print_stdout, reason = "it prints figures")]

use std::fmt::Write;
use std::time::{Duration, Instant};

use manifest::{Diagnostics, Loaded, Manifest};

fn main() {
    println!(
        "{:<34} {:>9} {:>9} {:>9} {:>8}",
        "manifest", "file", "check", "on a core", "peak"
    );
    for packages in [1_000, 3_000, 10_000, 30_000, 100_000] {
        measure(
            &format!("{packages} packages, {} edges", packages * 10),
            &web(packages, 10),
        );
    }
    measure(
        "chain of 100000",
        &requiring(100_000, |at| (at + 1 < 100_000).then_some(at + 1)),
    );
    measure(
        "cycle of 10000",
        &requiring(10_000, |at| Some((at + 1) % 10_000)),
    );
    measure("diamonds, 40 deep", &diamonds(40));
}

/// Each package requires `edges` others after it: some near, some far.
fn web(packages: usize, edges: usize) -> String {
    let mut state = 1_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap_or(0) % below
    };
    let mut text = head(&[packages / 2, packages / 4, 0], packages);
    for at in 0..packages {
        let mut targets: Vec<usize> = (0..edges)
            .map(|edge| {
                at + 1
                    + if edge % 2 == 0 {
                        random(100)
                    } else {
                        random(packages)
                    }
            })
            .filter(|target| *target < packages)
            .collect();
        targets.sort_unstable();
        targets.dedup();
        entry(&mut text, at, targets);
    }
    text
}

fn requiring(packages: usize, next: impl Fn(usize) -> Option<usize>) -> String {
    let mut text = head(&[0], packages);
    for at in 0..packages {
        entry(&mut text, at, next(at));
    }
    text
}

/// Two ways at each level: 2^levels paths.
fn diamonds(levels: usize) -> String {
    let mut text = head(&[0], 3 * levels + 1);
    for level in 0..levels {
        let top = 3 * level;
        entry(&mut text, top, [top + 1, top + 2]);
        entry(&mut text, top + 1, [top + 3]);
        entry(&mut text, top + 2, [top + 3]);
    }
    entry(&mut text, 3 * levels, []);
    text
}

/// Tiers `t0`, `t1`, … that name the first packages from the given ones on.
fn head(leaves: &[usize], packages: usize) -> String {
    let tiers: Vec<String> = (0..leaves.len())
        .map(|tier| format!("\"t{tier}\""))
        .collect();
    let mut text = format!(
        "[manifest]\nscope = \"@acme\"\ndefault-tier = \"t0\"\ntiers = [{}]\n",
        tiers.join(", ")
    );
    for (tier, first) in leaves.iter().enumerate() {
        let names: Vec<String> = (*first..packages.min(first + 20))
            .map(|at| format!("\"{}\"", name(at)))
            .collect();
        let names = if leaves.len() == 1 {
            names.first().cloned().unwrap_or_default()
        } else {
            names.join(", ")
        };
        let _ = writeln!(text, "\n[tier.t{tier}]\nleaves = [{names}]");
    }
    text
}

fn entry(text: &mut String, at: usize, requires: impl IntoIterator<Item = usize>) {
    let names: Vec<String> = requires
        .into_iter()
        .map(|target| format!("\"{}\"", name(target)))
        .collect();
    let _ = writeln!(
        text,
        "\n[package.\"{}\"]\nrequires = [{}]",
        name(at),
        names.join(", ")
    );
}

fn name(at: usize) -> String {
    format!("@acme/package-{at:06}")
}

fn measure(what: &str, text: &str) {
    let (start, start_cpu) = (Instant::now(), on_cpu());
    let loaded = Manifest::load(text, "tiers.toml");
    let (took, took_cpu) = (start.elapsed(), on_cpu().zip(start_cpu));
    let verdict = match &loaded {
        Ok(Loaded { tiers, .. }) => {
            let sizes: Vec<String> = tiers
                .tiers()
                .map(|tier| tier.packages().len().to_string())
                .collect();
            format!("sets of {}", sizes.join(", "))
        }
        Err(problems) => refused(problems),
    };
    let cpu = took_cpu
        .map(|(end, start)| end.saturating_sub(start))
        .map(milliseconds);
    println!(
        "{what:<34} {:>6.1} MB {:>9} {:>9} {:>8}  {verdict}",
        megabytes(text.len()),
        milliseconds(took),
        cpu.unwrap_or_default(),
        peak().unwrap_or_default(),
    );
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1e3)
}

/// The time this thread has had a core, where the system tells: on a busy machine the clock on
/// the wall also counts the work of others.
fn on_cpu() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(text.split(' ').next()?.parse().ok()?))
}

fn refused(problems: &Diagnostics) -> String {
    let first = problems
        .iter()
        .next()
        .map(|problem| problem.rule().to_string());
    format!("{} problem: {}", problems.len(), first.unwrap_or_default())
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}

/// The most memory this process has had, where the system tells.
fn peak() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(format!("{} MiB", kib / 1024))
}
