//! Archives that npm makes, and archives that nobody should.

use std::io::Write;

use tar::EntryType;

use super::*;

mod differential;

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

/// What becomes of a sound archive with something more in it.
fn with(extra: &[Vec<u8>]) -> Result<Contents, ArchiveError> {
    let mut blocks = vec![package_json()];
    blocks.extend_from_slice(extra);
    read_blocks(&blocks)
}

fn refused(extra: Vec<u8>) -> ArchiveError {
    with(&[extra]).unwrap_err()
}

#[test]
fn a_path_that_leaves_the_folder_is_refused() {
    for path in [
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
        "C:/package.json",
    ] {
        assert_eq!(refused(file(path, JSON)), ArchiveError::Outside, "{path:?}");
    }
    let not_text = entry(b"package/\xff", EntryType::Regular, JSON);
    assert_eq!(refused(not_text), ArchiveError::Outside);
}

#[test]
fn links_devices_and_sparse_files_are_refused() {
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
        EntryType::Continuous,
        EntryType::GNUSparse,
        EntryType::GNULongLink,
        EntryType::new(b'V'),
        EntryType::new(b'Z'),
    ] {
        let strange = entry(b"package/a", kind, b"");
        assert_eq!(refused(strange), ArchiveError::NotAFile, "{kind:?}");
    }
    let mut link = entry(b"package/a", EntryType::Symlink, b"");
    link[157..163].copy_from_slice(b"../../");
    assert_eq!(refused(sum(link)), ArchiveError::NotAFile);
}

#[test]
fn whatever_a_file_system_could_take_for_package_json_is_a_second_one() {
    for path in [
        "package/package.json",
        "package/PACKAGE.json",
        "package/Package.JSON",
        // The Kelvin sign and the long s, which fold to letters of ASCII.
        "package/pac\u{212a}age.json",
        "package/package.j\u{17f}on",
        // A mark that HFS+ leaves out.
        "package/pack\u{200c}age.json",
        "package/package.json.",
        "package/package.json ",
        "package/package.json::$DATA",
        "package/PACKAG~1.JSO",
        "package/PACKAGE.json/index.js",
    ] {
        let entry = entry(path.as_bytes(), EntryType::Regular, JSON);
        assert_eq!(refused(entry), ArchiveError::TwoPackageJsons, "{path}");
    }
    let folder = entry(b"package/package.json/", EntryType::Directory, b"");
    assert_eq!(refused(folder), ArchiveError::TwoPackageJsons);
    // Composed and decomposed marks make another name in every form.
    for path in [
        "package/p\u{e4}ckage.json",
        "package/pa\u{308}ckage.json",
        "package/lib/package.json",
        "package/package.json5",
        "package/package-lock.json",
        "package/packages.json",
    ] {
        assert!(with(&[file(path, JSON)]).is_ok(), "{path}");
    }
}

/// A pax record.
fn record(key: &str, value: &str) -> String {
    let rest = format!(" {key}={value}\n");
    let mut length = rest.len() + 1;
    while length != rest.len() + length.to_string().len() {
        length += 1;
    }
    format!("{length}{rest}")
}

fn pax(records: &str) -> Vec<u8> {
    entry(b"PaxHeader/x", EntryType::XHeader, records.as_bytes())
}

fn long_path(path: &[u8]) -> Vec<u8> {
    entry(b"././@LongLink", EntryType::GNULongName, path)
}

/// Writes the checksum of a header that was changed by hand.
fn sum(mut header: Vec<u8>) -> Vec<u8> {
    header[148..156].fill(b' ');
    let sum: u32 = header[..512].iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    header
}

#[test]
fn long_paths_are_read_in_both_forms() {
    let long = format!("package/{}", "a/".repeat(100) + "x");
    let zero = [long.as_bytes(), b"\0"].concat();
    for ahead in [pax(&record("path", &long)), long_path(&zero)] {
        let contents = with(&[ahead, file("package/cut", b"12")]).unwrap();
        assert_eq!((contents.file_count, contents.unpacked_bytes), (2, 4));
    }
    // The file itself may come by a long path.
    for ahead in [
        pax(&record("path", "package/package.json")),
        long_path(b"package/package.json\0"),
    ] {
        let contents = read_blocks(&[ahead, file("package/cut", b"{ }")]).unwrap();
        assert_eq!(contents.package_json, b"{ }");
    }
}

#[test]
fn what_stands_ahead_of_an_entry_plays_no_tricks() {
    let x = || file("package/x", JSON);
    let path = |path| pax(&record("path", path));
    let hidden = with(&[path("package/package.json"), x()]);
    assert_eq!(hidden, Err(ArchiveError::TwoPackageJsons));
    let hidden = with(&[long_path(b"package/package.json"), x()]);
    assert_eq!(hidden, Err(ArchiveError::TwoPackageJsons));
    assert_eq!(with(&[path("../x"), x()]), Err(ArchiveError::Outside));
    assert_eq!(with(&[path(""), x()]), Err(ArchiveError::Outside));
    // It is gone with its entry.
    assert_eq!(with(&[path("package/y"), x(), x()]).unwrap().file_count, 3);

    let mut prefixed = x();
    prefixed[345..352].copy_from_slice(b"package");
    let ambiguous: [&[Vec<u8>]; 17] = [
        // Two opinions, or none.
        &[path("package/y"), path("package/z"), x()],
        &[path("package/y"), long_path(b"package/z"), x()],
        &[long_path(b"package/z"), path("package/y"), x()],
        &[path("package/y")],
        &[
            pax(&(record("path", "package/y") + &record("path", "package/z"))),
            x(),
        ],
        &[path("package/y"), sum(prefixed)],
        // A size that shifts what follows.
        &[pax(&record("size", "0")), x()],
        &[pax(&record("size", "1024")), x()],
        &[pax(&record("size", "-1")), x()],
        // What changes an entry's nature or where its bytes are.
        &[pax(&record("type", "5")), x()],
        &[pax(&record("linkpath", "package/package.json")), x()],
        &[pax(&record("GNU.sparse.name", "package/package.json")), x()],
        &[pax(&record("hdrcharset", "BINARY")), x()],
        // Records that some read as lines, and some by their length.
        &[
            pax(&record("comment", "\n28 path=package/package.json")),
            x(),
        ],
        &[pax("99 path=package/y\n"), x()],
        &[pax(&record("path", "package/y\0z")), x()],
        &[
            entry(
                b"g",
                EntryType::XGlobalHeader,
                record("size", "0").as_bytes(),
            ),
            x(),
        ],
    ];
    for (number, blocks) in ambiguous.into_iter().enumerate() {
        assert_eq!(with(blocks), Err(ArchiveError::Ambiguous), "{number}");
    }
    let note = entry(
        b"pax_global_header",
        EntryType::XGlobalHeader,
        record("comment", "made by hand").as_bytes(),
    );
    let sized = pax(&(record("size", "2") + &record("mtime", "1.5")));
    assert_eq!(with(&[note, sized, x()]).unwrap().file_count, 2);
}

#[test]
fn a_header_that_programs_read_differently_is_refused() {
    let change = |at: usize, bytes: &[u8]| {
        let mut header = file("package/x", JSON);
        header[at..at + bytes.len()].copy_from_slice(bytes);
        sum(header)
    };
    let folder = entry(b"package/lib/", EntryType::Directory, JSON);
    let mut unsummed = file("package/x", JSON);
    unsummed[148..156].copy_from_slice(b"00000000");
    for (number, header) in [
        // Text after the end of the name or the prefix, or a link's target on a file.
        change(20, b"evil"),
        change(360, b"evil"),
        change(157, b"package/package.json"),
        change(0, &[0; 9]),
        // Sizes that are no plain octal number.
        change(124, &[0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]),
        change(124, &[0xff; 12]),
        change(124, b"0000000002x\0"),
        change(124, b"-0000000002\0"),
        change(124, &[0; 12]),
        // Other numbers in binary: npm's reader throws at some of them, and passes over the entry.
        change(108, &[0xe6]),
        change(136, &[0x80]),
        change(488, &[0xe6]),
        change(124, b"00000000009\0"),
        folder,
        unsummed,
    ]
    .into_iter()
    .enumerate()
    {
        // Some of them the reader below us refuses already.
        let error = refused(header);
        let known = [ArchiveError::Ambiguous, ArchiveError::Unreadable];
        assert!(known.contains(&error), "{number}: {error}");
    }
    assert_eq!(refused(file("package/x/", JSON)), ArchiveError::Ambiguous);
    let mut wrong = file("package/x", JSON);
    wrong[10] = b'y';
    assert_eq!(refused(wrong), ArchiveError::Unreadable);
}

#[test]
fn a_size_that_overflows_or_runs_over_the_end_is_refused() {
    for size in [b"77777777777\0", b"777777777777", b"00000100000\0"] {
        let mut header = file("package/x", JSON);
        header[124..136].copy_from_slice(size);
        assert_eq!(refused(sum(header)), ArchiveError::Unreadable);
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

#[test]
fn the_first_readme_is_shown_and_a_long_one_in_part() {
    let long = "ä".repeat(40 * 1024);
    let contents = with(&[
        file("package/docs/README.md", b"deeper"),
        file("package/ReadMe.md", long.as_bytes()),
        file("package/README", b"another"),
    ]);
    let readme = contents.unwrap().readme.unwrap();
    assert_eq!(readme.file, "ReadMe.md");
    assert!(long.starts_with(&readme.text) && readme.text.len() == 64 * 1024);
    assert_eq!(with(&[]).unwrap().readme, None);
}
