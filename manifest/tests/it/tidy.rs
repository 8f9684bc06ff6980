//! `fmt` changes the layout and nothing else: no comment is lost, and doing it again does nothing.

use std::fmt::Write;

use manifest::{Manifest, tidy};
use proptest::prelude::*;

fn comments(text: &str) -> Vec<String> {
    let comment = |line: &str| line.find('#').map(|at| line[at..].trim_end().to_owned());
    let mut comments: Vec<String> = text.lines().filter_map(comment).collect();
    comments.sort();
    comments
}

/// A manifest with comments, spaces and empty lines in odd places.
fn untidy() -> impl Strategy<Value = String> {
    let space = prop_oneof![
        4 => Just(String::new()),
        1 => Just("  ".to_owned()),
    ];
    let above = prop::collection::vec(
        prop_oneof![Just("\n".to_owned()), "# [a-z]{1,6}\n", "   # [a-z]{1,6}\n"],
        0..4,
    )
    .prop_map(|lines| lines.concat());
    let beside = prop_oneof![3 => Just(String::new()), 1 => "  # [a-z]{1,6}"];
    let item = (above.clone(), beside.clone(), 0..9_usize);
    let list = (
        prop::collection::vec(item, 0..5),
        above.clone(),
        any::<bool>(),
    )
        .prop_map(|(items, end, spread)| {
            let mut seen = std::collections::BTreeSet::new();
            let items: Vec<_> = items
                .into_iter()
                .filter(|item| seen.insert(item.2))
                .collect();
            if !spread {
                let names: Vec<String> = items
                    .iter()
                    .map(|(_, _, number)| format!("'@acme/p{number}'"))
                    .collect();
                return format!("[{}]", names.join(" ,"));
            }
            let mut body = String::new();
            for (above, beside, number) in &items {
                let _ = writeln!(body, "{above}\"@acme/p{number}\",{beside}");
            }
            format!("[\n{body}{end}]")
        });
    let entry = (
        above.clone(),
        space.clone(),
        beside.clone(),
        list.clone(),
        0..9_usize,
    );
    (prop::collection::vec(entry, 0..6), above, list).prop_map(|(entries, end, leaves)| {
        let mut text = format!(
            "# head\n[manifest]\ntiers = ['t']\nscope = '@acme'\ndefault-tier= 't'\n[tier.t]\nleaves = {leaves}\n"
        );
        let mut seen = std::collections::BTreeSet::new();
        for (above, space, beside, list, number) in entries {
            if seen.insert(number) {
                let _ = write!(text, "{above}{space}[package.'@acme/p{number}']{beside}\n{space}requires ={space}{list}{beside}\n");
            }
        }
        text + &end
    })
}

proptest! {
    #[test]
    fn no_comment_is_lost_and_tidy_stays_tidy(text in untidy()) {
        let once = tidy(&text, "tiers.toml").unwrap();
        prop_assert_eq!(comments(&once), comments(&text), "{}\n---\n{}", text, once);
        prop_assert_eq!(&tidy(&once, "tiers.toml").unwrap(), &once, "{}", text);
        let digest = |text: &str| {
            Manifest::load(text, "tiers.toml").ok().map(|loaded| loaded.tiers.digest())
        };
        prop_assert_eq!(digest(&once), digest(&text));
    }
}
