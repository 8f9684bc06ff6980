//! Archives that npm makes, and archives that nobody should.

use std::io::Write;

use super::*;

const JSON: &[u8] = b"{}";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An entry: its path as bytes, its type, its content. The header is written by hand, because a
/// builder would refuse what is tested here.
fn entry(path: &[u8], kind: EntryType, bytes: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.as_ustar_mut().unwrap().name[..path.len()].copy_from_slice(path);
    header.set_entry_type(kind);
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    header.set_cksum();
    let mut block = header.as_bytes().to_vec();
    block.extend_from_slice(bytes);
    block.resize(block.len().next_multiple_of(512), 0);
    block
}

fn file(path: &str, bytes: &[u8]) -> Vec<u8> {
    entry(path.as_bytes(), EntryType::Regular, bytes)
}

fn package_json() -> Vec<u8> {
    file("package/package.json", JSON)
}

const END: [u8; 1024] = [0; 1024];

fn read_blocks(blocks: &[Vec<u8>]) -> Result<Contents, ArchiveError> {
    let mut tar = blocks.concat();
    tar.extend_from_slice(&END);
    read(&gzip(&tar))
}

#[test]
fn a_sound_archive_is_read_to_its_end() {
    let folder = entry(b"package/lib/", EntryType::Directory, b"");
    let blocks = [folder, package_json(), file("package/lib/a.js", b"12345")];
    let contents = read_blocks(&blocks).unwrap();
    assert_eq!(contents.package_json, JSON);
    assert_eq!((contents.file_count, contents.unpacked_bytes), (2, 7));
}

#[test]
fn an_archive_that_could_be_read_in_two_ways_is_refused() {
    let with = |extra: Vec<u8>| read_blocks(&[package_json(), extra]).unwrap_err();
    let outside = [
        "/etc/passwd",
        "../x",
        "package/../x",
        "package/./package.json",
        "package//package.json",
        "./package/package.json",
        "other/package.json",
        "package.json",
        "package\\package.json",
        "package/a\\..\\b",
        "package/a\nb",
        "Package/package.json",
    ];
    for path in outside {
        assert_eq!(with(file(path, JSON)), ArchiveError::Outside, "{path:?}");
    }
    for path in ["package/package.json", "package/PACKAGE.json"] {
        assert_eq!(
            with(file(path, JSON)),
            ArchiveError::TwoPackageJsons,
            "{path}"
        );
    }
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Fifo,
    ] {
        let strange = entry(b"package/a", kind, b"");
        assert_eq!(with(strange), ArchiveError::NotAFile, "{kind:?}");
    }
}

#[test]
fn a_second_package_json_does_not_hide_behind_the_end() {
    let mut tar = package_json();
    tar.extend_from_slice(&[0; 512]);
    tar.extend(file("package/package.json", b"{\"name\":\"other\"}"));
    tar.extend_from_slice(&END);
    assert_eq!(read(&gzip(&tar)), Err(ArchiveError::Trailing));

    // A second gzip member is part of the stream.
    let mut two = gzip(&package_json());
    two.extend(gzip(
        &[file("package/package.json", JSON), END.to_vec()].concat(),
    ));
    assert_eq!(read(&two), Err(ArchiveError::TwoPackageJsons));
}

#[test]
fn an_archive_that_is_none_is_refused() {
    let whole = gzip(&[package_json(), END.to_vec()].concat());
    let mut trailing = whole.clone();
    trailing.extend_from_slice(b"trailing");
    for bytes in [
        &b""[..],
        b"not gzip",
        &whole[..whole.len() - 9],
        &trailing,
        &gzip(b"no tar"),
    ] {
        assert_eq!(read(bytes), Err(ArchiveError::Unreadable));
    }
    assert_eq!(read(&gzip(&END)), Err(ArchiveError::NoPackageJson));
}

#[test]
fn an_archive_cannot_cost_more_than_its_bounds() {
    let bomb = file("package/zeros", &vec![0; 20 * 1024 * 1024]);
    let bomb = read_blocks(&[package_json(), bomb]);
    assert_eq!(bomb, Err(ArchiveError::Unreadable));

    let large = vec![b' '; 1024 * 1024 + 1];
    let large = read_blocks(&[file("package/package.json", &large)]);
    assert_eq!(large, Err(ArchiveError::PackageJsonTooLarge));

    // More bytes than so small an archive may unpack to, or more entries than any may have.
    let entries: Vec<u8> = (0..=ENTRIES_MAX)
        .flat_map(|number| file(&format!("package/{number}"), b""))
        .collect();
    assert!(read_blocks(&[entries]).is_err());
}
