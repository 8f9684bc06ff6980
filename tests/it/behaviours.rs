//! The table of which test proves which line.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const LINES: [(&str, u32); 5] = [
    ("ENT", 49),
    ("MET", 16),
    ("KUM", 62),
    ("TOOL", 38),
    ("MODO", 28),
];

#[test]
fn the_table_has_every_line_and_names_only_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let table = root.join("control-plane/entitlements/BEHAVIOURS.md");
    let table = fs::read_to_string(table).unwrap();
    let sources: String = ["control-plane", "tests"]
        .iter()
        .flat_map(|folder| rust_files(&root.join(folder)))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let mut lines = BTreeSet::new();
    for row in table.lines().filter(|row| row.starts_with("| ")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, line, tests, note, _] = cells[..] else {
            panic!("{row}");
        };
        if line == "Line" {
            continue;
        }
        assert!(!tests.is_empty() || !note.is_empty(), "{row}");
        for test in tests.split(", ").filter(|test| !test.is_empty()) {
            let start = format!("fn {}(", test.trim_matches('`'));
            assert!(sources.contains(&start), "{line}: there is no {test}");
        }
        assert!(lines.insert(line.to_owned()), "{line} stands there twice");
    }
    let all = LINES
        .iter()
        .flat_map(|(seed, count)| (1..=*count).map(move |number| format!("{seed}-{number}")));
    assert_eq!(lines, all.collect());
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") {
            found.extend(rust_files(&path));
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            found.push(path);
        }
    }
    found
}
