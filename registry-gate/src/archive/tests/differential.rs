//! What we take, npm's own reader must read as we do: the same `package.json`, as many files.

use std::process::Command;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRunner};

use super::*;

/// Prints, for each archive of a folder in the order of their names, how many files npm's reader
/// sees and what it would unpack as `package.json`.
const READER: &str = r"
const { execFileSync } = require('child_process');
const fs = require('fs');
const root = execFileSync('npm', ['root', '-g']).toString().trim();
const tar = require(root + '/npm/node_modules/tar');
for (const name of fs.readdirSync('.').sort()) {
  let files = 0, json = '';
  tar.t({ file: name, sync: true, onwarn() {}, onReadEntry(entry) {
    if (!['File', 'OldFile', 'ContiguousFile'].includes(entry.type)) return;
    files++;
    const path = entry.path.split('/').slice(1).join('/');
    if (path.toLowerCase() !== 'package.json') return;
    const parts = [];
    entry.on('data', (part) => parts.push(part));
    entry.on('end', () => { json = Buffer.concat(parts).toString('hex'); });
  } });
  console.log(`${name} ${files} ${json}`);
}
";

/// Blocks that a tar has, sound ones and others.
fn any_blocks() -> impl Strategy<Value = Vec<u8>> {
    let path = || {
        prop_oneof![
            Just("package/package.json".to_owned()),
            Just("package/lib/x.js".to_owned()),
            Just("package/\u{e4}".to_owned()),
            Just("package/lib/".to_owned()),
            "package/[a-zA-Z./]{1,8}",
        ]
    };
    let bytes = || {
        prop_oneof![
            Just(b"{}".to_vec()),
            Just(Vec::new()),
            Just(vec![b'x'; 700])
        ]
    };
    let plain = || (path(), bytes()).prop_map(|(path, bytes)| file(&path, &bytes));
    let key = prop_oneof![
        4 => Just("path"), 2 => Just("size"), 1 => Just("mtime"), 1 => Just("linkpath"),
        1 => Just("type"), 1 => Just("comment"), 1 => Just("SCHILY.ino"),
    ];
    let value = prop_oneof![4 => path(), 2 => "[0-9]{1,4}", 1 => "[ -~\n]{0,12}"];
    let told = (key, value, plain())
        .prop_map(|(key, value, file)| [pax(&record(key, &value)), file].concat());
    let long = (path(), "\0?", plain()).prop_map(|(path, end, file)| {
        [long_path(format!("{path}{end}").as_bytes()), file].concat()
    });
    let folder = Just(entry(b"package/lib/", EntryType::Directory, b""));
    let end = Just(vec![0; 512]);
    prop_oneof![8 => plain(), 3 => told, 3 => long, 2 => folder, 1 => end]
}

/// An archive of blocks, a few bytes of their headers changed and summed up again.
fn any_archive() -> impl Strategy<Value = Vec<u8>> {
    let blocks = proptest::collection::vec(any_blocks(), 0..4);
    let change = (
        any::<prop::sample::Index>(),
        0_usize..512,
        any_byte(),
        any::<bool>(),
    );
    let changes = proptest::collection::vec(change, 0..3);
    (blocks, changes).prop_map(|(blocks, changes)| {
        let mut tar = [vec![package_json()], blocks].concat().concat();
        for (block, at, byte, sums) in changes {
            let start = block.index(tar.len() / 512) * 512;
            tar[start + at] = byte;
            if sums {
                let header = sum(tar[start..start + 512].to_vec());
                tar[start..start + 512].copy_from_slice(&header);
            }
        }
        tar.extend_from_slice(&END);
        gzip(&tar)
    })
}

fn any_byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        Just(0),
        Just(b' '),
        Just(b'/'),
        Just(b'\n'),
        Just(b'0'),
        Just(b'5'),
        Just(b'x'),
        Just(0x80),
        any::<u8>(),
    ]
}

#[test]
fn npm_reads_what_we_take_as_we_do() {
    let dir = tempfile::tempdir().unwrap();
    let mut runner = TestRunner::new(Config::default());
    let mut taken = Vec::new();
    let long = format!("package/{}", "a/".repeat(100) + "x");
    let sound = [
        vec![package_json(), file("package/a", b"1")],
        vec![
            package_json(),
            pax(&record("path", &long)),
            file("package/cut", b"1"),
        ],
        vec![
            package_json(),
            long_path(format!("{long}\0").as_bytes()),
            file("package/c", b"1"),
        ],
    ];
    let sound = sound.map(|blocks| gzip(&[blocks.concat(), END.to_vec()].concat()));
    let strategy = any_archive();
    let others = (0..3_000).map(|_| strategy.new_tree(&mut runner).unwrap().current());
    for archive in sound.into_iter().chain(others) {
        if let Ok(contents) = read(&archive) {
            let name = format!("{:05}.tgz", taken.len());
            std::fs::write(dir.path().join(&name), &archive).unwrap();
            let json = data_encoding::HEXLOWER.encode(&contents.package_json);
            taken.push(format!("{name} {} {json}", contents.file_count));
        }
    }
    assert!(taken.len() > 300, "only {} were taken", taken.len());
    let output = Command::new("node")
        .args(["-e", READER])
        .current_dir(dir.path())
        .output()
        .expect("node runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    for (ours, theirs) in taken.iter().zip(text.lines()) {
        if ours != theirs {
            let kept = std::fs::read(dir.path().join(&ours[..9])).unwrap();
            panic!(
                "we read {ours}, npm {theirs}: {}",
                data_encoding::BASE64.encode(&kept)
            );
        }
    }
    assert_eq!(taken.len(), text.lines().count());
}
