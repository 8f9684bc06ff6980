//! "Did you mean": the declared name nearest to a misspelled one.

use std::cell::Cell;

/// Steps taken for one manifest at most: a broken file of any size is reported in bounded time.
const STEPS_MAX: usize = 50_000_000;
/// Longest text worth correcting, in bytes; distances are quadratic in it.
const BYTES_MAX: usize = 214;

/// Finds the nearest name until its budget is spent; then it finds nothing.
pub(crate) struct Speller {
    steps_left: Cell<usize>,
}

impl Speller {
    pub(crate) fn new() -> Self {
        Self {
            steps_left: Cell::new(STEPS_MAX),
        }
    }

    /// The candidate with the smallest edit distance to `text`, when it is small enough for a typo:
    /// a third of the word, leaving out a scope that both share.
    pub(crate) fn nearest<'c>(
        &self,
        text: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> Option<&'c str> {
        let most = ((base(text).chars().count() + 1) / 3).max(1);
        if text.len() > BYTES_MAX {
            return None;
        }
        let mut best = None;
        for candidate in candidates {
            let comparable = candidate.len().abs_diff(text.len()) <= most;
            self.spend(if comparable {
                text.len() * candidate.len()
            } else {
                1
            })?;
            if !comparable {
                continue;
            }
            let distance = strsim::osa_distance(text, candidate);
            if distance <= most && best.is_none_or(|(nearest, _)| distance < nearest) {
                best = Some((distance, candidate));
            }
        }
        best.map(|(_, candidate)| candidate)
    }

    fn spend(&self, steps: usize) -> Option<()> {
        let left = self.steps_left.get().saturating_sub(steps);
        self.steps_left.set(left);
        (left > 0).then_some(())
    }
}

/// The name that was probably meant by a text that is none of them.
pub fn nearest<'c>(text: &str, names: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    Speller::new().nearest(text, names)
}

fn base(text: &str) -> &str {
    text.split_once('/').map_or(text, |(_, base)| base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_name_and_a_different_word_does_not() {
        let names = ["@acme/order", "@acme/orders-archive", "@acme/loyalty"];
        let speller = Speller::new();
        assert_eq!(speller.nearest("@acme/ordre", names), Some("@acme/order"));
        assert_eq!(
            speller.nearest("@acme/loyality", names),
            Some("@acme/loyalty")
        );
        assert_eq!(speller.nearest("@acme/blog", names), None);
    }

    #[test]
    fn the_budget_bounds_the_work() {
        let speller = Speller {
            steps_left: Cell::new(5),
        };
        assert_eq!(speller.nearest("ab", ["aa"]), Some("aa"));
        assert_eq!(speller.nearest("ab", ["aa"]), None);
    }
}
