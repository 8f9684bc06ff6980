use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use activation_token::offline::BundleHead;
use activation_token::snapshot::{Publishers, Revocations, Snapshot};
use activation_token::{Key, KeySet, SigningKey};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::json;
use sha2::{Digest, Sha512};

use super::*;

fn root(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32]).unwrap()
}

fn name(text: &str) -> PackageName {
    PackageName::parse(text).unwrap()
}

/// A package's full document and the bytes of its tarballs, one a version.
fn document(package: &str, versions: &[&str]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let tarballs: Vec<Vec<u8>> = versions
        .iter()
        .map(|version| format!("{package} {version}").into_bytes())
        .collect();
    let manifests: serde_json::Map<_, _> = versions
        .iter()
        .zip(&tarballs)
        .map(|(version, tarball)| {
            let integrity = format!("sha512-{}", BASE64.encode(&Sha512::digest(tarball)));
            let url = format!("http://gate/{package}/-/{version}.tgz");
            let manifest = json!({
                "name": package, "version": version,
                "dist": { "tarball": url, "integrity": integrity },
            });
            ((*version).to_owned(), manifest)
        })
        .collect();
    let document = json!({
        "name": package,
        "dist-tags": { "latest": versions.last() },
        "versions": manifests,
        "time": { "created": "2026-01-01T00:00:00Z", versions[0]: "2026-01-01T00:00:00Z" },
        "readme": "Read me.", "readmeFilename": "README.md",
    });
    (document.to_string().into_bytes(), tarballs)
}

fn head(contents_sha256: String) -> BundleHead {
    let root = root(1);
    BundleHead {
        license_id: "lic_1".to_owned(),
        customer_id: "corner-shop".to_owned(),
        created_at: Timestamp::UNIX_EPOCH,
        snapshot: Snapshot {
            sequence: 1,
            issued_at: Timestamp::UNIX_EPOCH,
            max_stale_seconds: 86400,
            issuer: "i".to_owned(),
            audience: "a".to_owned(),
            scope: "@acme".to_owned(),
            keys: KeySet::new(vec![root.public().clone()]).to_jwks(),
            tiers: Vec::new(),
            sets: Vec::new(),
            revocations: Revocations::default(),
            publishers: Publishers {
                hash_key: BASE64URL_NOPAD.encode(&[0; 32]),
                credentials: Vec::new(),
            },
            expiring: Vec::new(),
        },
        contents_sha256,
    }
}

/// A bundle of two packages, as a file.
fn bundle(dir: &Path) -> Vec<u8> {
    let layout = Layout::new(&dir.join("parts")).unwrap();
    for (package, versions) in [
        ("@acme/order", &["1.0.0", "1.1.0"][..]),
        ("@acme/shared", &["2.0.0-beta.1"]),
    ] {
        let (document, tarballs) = document(package, versions);
        let wanted = Layout::wanted(&name(package), &document).unwrap();
        assert_eq!(wanted.len(), versions.len());
        for (wanted, tarball) in wanted.iter().zip(tarballs) {
            layout.add(wanted, &tarball).unwrap();
        }
    }
    let contents = layout.contents().unwrap();
    let head = head(Layout::contents_sha256(&contents));
    let head = root(1).sign_bundle_head(&head).unwrap();
    let key = serde_json::to_string(root(1).public().to_jwk()).unwrap();
    let mut bytes = Vec::new();
    layout.pack(&key, &head, &contents, &mut bytes).unwrap();
    bytes
}

fn terms(root_key: Option<Key>) -> Terms {
    Terms {
        root_key,
        may_be_older: false,
    }
}

/// Opens a bundle with these bytes in a data directory of its own; nothing stays of one that is
/// refused.
fn open_bytes(bytes: &[u8], root_key: Option<Key>) -> Result<Opened, BundleError> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("b.tar");
    fs::write(&file, bytes).unwrap();
    let data = dir.path().join("data");
    let opened = open(&file, terms(root_key), &data, Timestamp::UNIX_EPOCH);
    if opened.is_err() {
        let left = fs::read_dir(data.join("bundles")).unwrap();
        let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["lock"], "something stays");
        assert!(!data.join("root-key.json").exists(), "its key stays");
    }
    opened
}

#[test]
fn a_bundle_is_laid_out_as_a_store_and_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("b.tar");
    fs::write(&file, bundle(dir.path())).unwrap();
    assert!(!dir.path().join("parts").exists(), "the parts are gone");
    let data = dir.path().join("data");
    let open = || open(&file, terms(None), &data, Timestamp::UNIX_EPOCH);
    let opened = open().unwrap();
    assert!(opened.trusts_anew);
    assert_eq!(opened.head.customer_id, "corner-shop");
    let release = "packages/@acme/order/versions/1.1.0.json";
    let record: serde_json::Value =
        serde_json::from_slice(&fs::read(opened.store_dir.join(release)).unwrap()).unwrap();
    assert_eq!(record["tags"], json!(["latest"]));
    assert_eq!(record["readme"]["text"], "Read me.");
    let blobs = fs::read_dir(opened.store_dir.join("blobs/sha512")).unwrap();
    assert_eq!(blobs.count(), 3);

    assert!(matches!(open(), Err(BundleError::InUse(_))), "two serve it");

    // A second start takes what is there, and only the key that is kept now.
    fs::write(opened.store_dir.join("mark"), "").unwrap();
    drop(opened);
    let again = open().unwrap();
    assert!(!again.trusts_anew && again.store_dir.join("mark").exists());
    drop(again);

    // An older one is served only where that is meant.
    fs::write(data.join("bundles/newest"), "1970-01-01T00:00:01Z").unwrap();
    assert!(matches!(open(), Err(BundleError::Older { .. })));
    let meant = Terms {
        root_key: None,
        may_be_older: true,
    };
    assert!(super::open(&file, meant, &data, Timestamp::UNIX_EPOCH).is_ok());
    assert!(matches!(open(), Err(BundleError::Older { .. })));
}

#[test]
fn what_is_laid_out_is_its_owners_alone_and_takes_the_place_of_what_a_crash_left() {
    let dir = tempfile::tempdir().unwrap();
    let parts = dir.path().join("parts");
    fs::create_dir(&parts).unwrap();
    fs::write(parts.join("left"), "").unwrap();
    let _layout = Layout::new(&parts).unwrap();
    assert_eq!(fs::read_dir(&parts).unwrap().count(), 0);
    let mode = fs::metadata(&parts).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn only_the_root_key_that_is_trusted_counts() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = bundle(dir.path());
    assert!(open_bytes(&bytes, Some(root(1).public().clone())).is_ok());
    let other = open_bytes(&bytes, Some(root(2).public().clone()));
    assert!(
        matches!(other, Err(BundleError::Untrusted(Untrusted::OtherKey))),
        "{other:?}"
    );
}

#[test]
fn a_tarball_that_is_not_the_releases_is_not_packed() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout::new(&dir.path().join("parts")).unwrap();
    let (document, _) = document("@acme/order", &["1.0.0"]);
    let wanted = Layout::wanted(&name("@acme/order"), &document).unwrap();
    let error = layout.add(&wanted[0], b"other bytes").unwrap_err();
    assert!(matches!(error, BundleError::Tarball { .. }), "{error}");
}

#[test]
fn paths_that_no_store_has_are_no_contents() {
    for path in [
        "packages/@acme/order/versions/1.0.0.json",
        &format!("blobs/sha512/{}", "a".repeat(128)),
        &format!("blobs/sha1/{}", "0".repeat(40)),
    ] {
        assert!(is_of_store(path), "{path}");
    }
    for path in [
        "",
        "/etc/passwd",
        "../x",
        "packages/../../x/versions/1.0.0.json",
        "packages/@acme/order/versions/../1.0.0.json",
        "packages/@acme/order/changes/1.json",
        "packages/@acme/order/versions/1.0.0.json/x",
        "blobs/sha512/abc",
        &format!("blobs/sha512/{}", "A".repeat(128)),
        &format!("blobs/sha512/{}/x", "a".repeat(126)),
        "creates-once",
    ] {
        assert!(!is_of_store(path), "{path}");
    }
}

#[test]
fn a_list_that_the_root_key_signed_is_checked_all_the_same() {
    for list in [
        json!({ "files": [{ "path": "../x", "size": 0, "sha256": "" }] }),
        json!({ "files": [
            { "path": "packages/a/versions/1.0.0.json", "size": 0, "sha256": "" },
            { "path": "packages/a/versions/1.0.0.json", "size": 0, "sha256": "" },
        ] }),
        json!({ "files": [], "more": 1 }),
    ] {
        let contents = list.to_string().into_bytes();
        let head = head(Layout::contents_sha256(&contents));
        let head = root(1).sign_bundle_head(&head).unwrap();
        let key = serde_json::to_string(root(1).public().to_jwk()).unwrap();
        let mut tar = tar::Builder::new(Vec::new());
        for (name, data) in [
            (ROOT_KEY, key.as_bytes()),
            (HEAD, head.as_bytes()),
            (CONTENTS, &contents),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_size(data.len() as u64);
            header.set_mode(0o644);
            tar.append_data(&mut header, name, data).unwrap();
        }
        let opened = open_bytes(&tar.into_inner().unwrap(), None);
        assert!(
            matches!(opened, Err(BundleError::Contents(_))),
            "{opened:?}"
        );
    }
}

/// Rewrites the entries of a bundle.
fn rewritten(
    bytes: &[u8],
    mut edit: impl FnMut(usize, &mut Vec<(String, Vec<u8>)>, String, Vec<u8>),
) -> Vec<u8> {
    use std::io::Read;
    let mut archive = tar::Archive::new(bytes);
    let mut entries = Vec::new();
    for (nth, entry) in archive.entries().unwrap().enumerate() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut data = Vec::new();
        entry.read_to_end(&mut data).unwrap();
        edit(nth, &mut entries, name, data);
    }
    let mut tar = tar::Builder::new(Vec::new());
    for (name, data) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_size(data.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, &*data).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn an_entry_less_more_or_moved_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let good = bundle(dir.path());
    let same = rewritten(&good, |_, all, name, data| all.push((name, data)));
    let entries = {
        let mut archive = tar::Archive::new(&*good);
        archive.entries().unwrap().count()
    };
    assert!(open_bytes(&same, None).is_ok());
    for at in 0..entries {
        let without = rewritten(&good, |nth, all, name, data| {
            if nth != at {
                all.push((name, data));
            }
        });
        assert!(open_bytes(&without, None).is_err(), "without entry {at}");
        let twice = rewritten(&good, |nth, all, name, data| {
            all.push((name.clone(), data.clone()));
            if nth == at {
                all.push((name, data));
            }
        });
        assert!(open_bytes(&twice, None).is_err(), "entry {at} twice");
        let moved = rewritten(&good, |nth, all, name, data| {
            let to = if nth == at { 0 } else { all.len() };
            all.insert(to, (name, data));
        });
        assert_eq!(
            open_bytes(&moved, None).is_err(),
            at > 0,
            "entry {at} moved"
        );
    }
    let link = {
        let mut tar = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Symlink);
        header.set_size(0);
        tar.append_link(&mut header, ROOT_KEY, "/etc/passwd")
            .unwrap();
        tar.into_inner().unwrap()
    };
    assert!(matches!(
        open_bytes(&link, None),
        Err(BundleError::Unexpected { .. })
    ));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever byte of a file, of the list or of the head is another one: it is found, with the
    /// key given. Bytes of tar's own headers may change what nobody reads.
    #[test]
    fn a_changed_byte_is_never_served(at in 0_usize..100_000, bit in 0_u8..8) {
        let dir = tempfile::tempdir().unwrap();
        let good = bundle(dir.path());
        let mut bad = good.clone();
        let at = at % bad.len();
        bad[at] ^= 1 << bit;
        let given = Some(root(1).public().clone());
        if let Ok(opened) = open_bytes(&bad, given) {
            let read = |bytes: &[u8]| {
                let mut all = Vec::new();
                rewritten(bytes, |_, _, name, data| all.push((name, data)));
                all
            };
            // The key for those who do not know it is not read here.
            prop_assert_eq!(&read(&good)[1..], &read(&bad)[1..]);
            prop_assert_eq!(opened.head.customer_id, "corner-shop");
        }
    }

    #[test]
    fn a_cut_bundle_is_never_served(length in 0_usize..100_000) {
        let dir = tempfile::tempdir().unwrap();
        let good = bundle(dir.path());
        // The two empty blocks at the end say nothing.
        let length = length % (good.len() - 1024);
        prop_assert!(open_bytes(&good[..length], None).is_err());
    }
}
