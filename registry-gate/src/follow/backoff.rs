//! How long to wait after a failure: longer each time, and not as long as the neighbours, so
//! that gates which lost one control plane do not come back to it all at once.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use activation_token::clock::Clock;

/// The first wait, before jitter.
const FIRST: Duration = Duration::from_millis(200);

/// The waits after failures in a row.
pub(crate) struct Backoff {
    clock: Arc<dyn Clock>,
    wait_max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(clock: Arc<dyn Clock>, wait_max: Duration) -> Self {
        Self {
            clock,
            wait_max,
            failures: 0,
        }
    }

    /// Something went well: the next failure is the first again.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after one more failure: from half the full wait up to all of it.
    pub(crate) fn next(&mut self) -> Duration {
        let doubled = 1_u32.checked_shl(self.failures).unwrap_or(u32::MAX);
        self.failures = self.failures.saturating_add(1);
        let full = FIRST.saturating_mul(doubled).min(self.wait_max);
        // Apart is all that gates must be; nobody gains by guessing. The microsecond at which a
        // failure is noticed and the process differ from gate to gate.
        let mut hasher = DefaultHasher::new();
        let instant = self.clock.now().as_microsecond();
        (instant, std::process::id(), self.failures).hash(&mut hasher);
        let share = u32::try_from(hasher.finish() % 1000).unwrap_or(0);
        full / 2 + full / 2 * share / 1000
    }
}

#[cfg(test)]
mod tests {
    use activation_token::clock::SettableClock;

    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_anew() {
        let clock = Arc::new(SettableClock::at("2026-11-21T12:00:00Z".parse().unwrap()));
        let mut backoff = Backoff::new(clock, Duration::from_secs(30));
        for full in [
            200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 30_000, 30_000,
        ] {
            let full = Duration::from_millis(full);
            let wait = backoff.next();
            assert!(full / 2 <= wait && wait <= full, "{wait:?} of {full:?}");
        }
        for _ in 0..100 {
            assert!(backoff.next() <= Duration::from_secs(30));
        }
        backoff.reset();
        assert!(backoff.next() <= FIRST);
    }
}
