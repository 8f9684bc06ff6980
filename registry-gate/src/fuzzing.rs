//! What fuzzers call: each parser of what strangers, publishers and upstreams send, with the
//! promises that hold whatever comes. The test suite replays the seeds.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use http::Method;
use manifest::PackageName;
use serde_json::Value;

use crate::amendment::Sent;
use crate::archive;
use crate::packument::PublicUrl;
use crate::route::Route;
use crate::upstream;

/// A request line: what is read is printed, and read again, as the same.
pub fn route(line: &str) {
    let (method, path) = line.split_once(' ').unwrap_or(("GET", line));
    let Ok(method) = Method::from_bytes(method.as_bytes()) else {
        return;
    };
    if let Ok(route) = Route::parse(&method, path) {
        let printed = route.to_string();
        assert_eq!(Route::parse(&method, &printed).as_ref(), Ok(&route));
        let climbs = printed.split('/').any(|part| matches!(part, "." | ".."));
        assert!(!printed.contains('%') && !climbs);
    }
}

/// An upstream's document: what is served of it is JSON, and names no address but ours.
pub fn packument(json: &[u8]) {
    let (Some(name), Some(public_url)) = (name(), public_url()) else {
        return;
    };
    if let Some((package, _)) = upstream::document::read(&name, json, &public_url, None) {
        for abbreviated in [false, true] {
            let body = &package.document(abbreviated).form(false).body;
            let document: Value = serde_json::from_slice(body).unwrap_or_default();
            let told = document.get("name").and_then(Value::as_str);
            assert_eq!(told, Some(name.as_str()));
            let versions = document.get("versions").and_then(Value::as_object);
            for manifest in versions.into_iter().flatten() {
                let tarball = manifest.1.pointer("/dist/tarball").and_then(Value::as_str);
                let tarball = tarball.unwrap_or_default();
                assert!(tarball.starts_with("http://gate.example/@acme/order/-/order-"));
            }
        }
    }
}

/// A tarball, or a tar that is compressed first: what is taken has one `package.json`.
pub fn tarball(bytes: &[u8]) {
    let compressed = if bytes.starts_with(&[0x1f, 0x8b]) {
        bytes.to_vec()
    } else {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
        // Writing to memory cannot fail.
        let _ = encoder.write_all(bytes);
        encoder.finish().unwrap_or_default()
    };
    if let Ok(contents) = archive::read(&compressed) {
        assert!(contents.file_count > 0);
        assert!(contents.package_json.len() as u64 <= contents.unpacked_bytes);
    }
}

/// The body of `PUT /{name}`.
pub fn document(json: &[u8]) {
    let Some(name) = name() else { return };
    if let Ok(Sent::Publication(publication)) = Sent::read(&name, json) {
        assert!(publication.integrity.fits(&publication.tarball));
        let told = publication.manifest.get("name").and_then(Value::as_str);
        assert_eq!(told, Some(name.as_str()));
    }
}

fn name() -> Option<PackageName> {
    PackageName::parse("@acme/order").ok()
}

fn public_url() -> Option<PublicUrl> {
    PublicUrl::new(&"http://gate.example".parse().ok()?)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Runs a target on each of its seeds, and on each cut short and with a byte changed.
    fn replay(target: &str, run: impl Fn(&[u8])) {
        let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/seeds");
        let mut count = 0;
        for entry in std::fs::read_dir(seeds.join(target)).unwrap() {
            let seed = std::fs::read(entry.unwrap().path()).unwrap();
            run(&seed);
            let step = (seed.len() / 200).max(1);
            for at in (0..seed.len()).step_by(step) {
                run(&seed[..at]);
                let mut changed = seed.clone();
                changed[at] ^= 1 << (at % 8);
                run(&changed);
            }
            count += 1;
        }
        assert!(count > 0, "no seeds for {target}");
    }

    #[test]
    fn no_seed_of_the_fuzzers_breaks_a_promise() {
        replay("route", |bytes| route(&String::from_utf8_lossy(bytes)));
        replay("packument", packument);
        replay("tarball", tarball);
        replay("document", document);
    }
}
