//! Anything as the text of a manifest: no panic, and what loads keeps its promises.

#![no_main]

use libfuzzer_sys::fuzz_target;
use manifest::{Loaded, Manifest, tidy};

fuzz_target!(|text: &str| {
    match Manifest::load(text, "tiers.toml") {
        Ok(Loaded { tiers, warnings, .. }) => {
            assert!(!warnings.has_errors());
            let sets: Vec<_> = tiers.tiers().map(|tier| tier.packages()).collect();
            for pair in sets.windows(2) {
                assert!(pair[1].is_superset(pair[0]), "an upgrade removes a package");
            }
            let tidied = tidy(text, "tiers.toml").expect("it has the right shape");
            let again = Manifest::load(&tidied, "tiers.toml").expect("tidying changes no meaning");
            assert_eq!(again.tiers.digest(), tiers.digest());
            assert_eq!(tidy(&tidied, "tiers.toml").expect("it is good"), tidied);
        }
        Err(problems) => {
            assert!(problems.has_errors());
            let _ = problems.to_string();
        }
    }
});
