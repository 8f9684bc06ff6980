//! How often a box may ask.
//!
//! Two rings, neither of which can lock out a good key. Whoever holds a license key may activate
//! each box so often and no more, and nobody else can use that up. An address that sends keys
//! which do not exist is told to wait after a while; a good key from there is served all the same.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, Ordering};

use activation_token::credential::SecretDigest;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};

use super::problem::Problem;

const ACTIVATIONS_A_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(59);
const GUESSES_A_MINUTE: NonZeroU32 = NonZeroU32::MIN.saturating_add(29);

/// After so many requests.
const TIDY_AFTER: u32 = 1_024;

const POLICY: (HeaderName, HeaderValue) = (
    HeaderName::from_static("ratelimit-policy"),
    HeaderValue::from_static("\"activation\";q=60;w=60"),
);
const STATE: HeaderName = HeaderName::from_static("ratelimit");

type Limiter<K> =
    RateLimiter<K, DefaultKeyedStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// What was asked lately.
pub(super) struct Limits {
    clock: DefaultClock,
    activations: Limiter<String>,
    guesses: Limiter<IpAddr>,
    asked: AtomicU32,
}

impl Default for Limits {
    fn default() -> Self {
        let clock = DefaultClock::default();
        Self {
            activations: keyed(ACTIVATIONS_A_MINUTE, &clock),
            guesses: keyed(GUESSES_A_MINUTE, &clock),
            asked: AtomicU32::new(1),
            clock,
        }
    }
}

fn keyed<K: std::hash::Hash + Eq + Clone>(
    a_minute: NonZeroU32,
    clock: &DefaultClock,
) -> Limiter<K> {
    let state = DefaultKeyedStateStore::default();
    RateLimiter::<_, _, _>::new(Quota::per_minute(a_minute), state, clock.clone()).with_middleware()
}

impl Limits {
    /// Counts an activation by a key that exists. The headers tell how many are left.
    pub(super) fn activation(
        &self,
        key: SecretDigest,
        fingerprint: Option<&str>,
    ) -> Result<HeaderMap, Problem> {
        self.tidy();
        let who = format!("{key} {}", fingerprint.unwrap_or_default());
        match self.activations.check_key(&who) {
            Ok(state) => Ok(told(state.remaining_burst_capacity())),
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now()).as_secs() + 1;
                let detail = format!(
                    "a box activates at most {ACTIVATIONS_A_MINUTE} times a minute; \
                     keep the token until it is due"
                );
                Err(Problem::too_many(wait, detail).with_headers(told(0)))
            }
        }
    }

    /// Counts a key that does not exist. Over the limit, it is no longer told that.
    pub(super) fn guess(&self, address: Option<IpAddr>) -> Result<(), Problem> {
        let Some(address) = address else {
            return Ok(());
        };
        self.guesses
            .check_key(&network(address))
            .map(drop)
            .map_err(|until| {
                let wait = until.wait_time_from(self.clock.now()).as_secs() + 1;
                Problem::too_many(
                    wait,
                    "too many license keys that cannot be used came from here",
                )
            })
    }

    /// Forgets now and then who has not asked lately.
    fn tidy(&self) {
        if self
            .asked
            .fetch_add(1, Ordering::Relaxed)
            .is_multiple_of(TIDY_AFTER)
        {
            self.activations.retain_recent();
            self.guesses.retain_recent();
        }
    }
}

/// How many are left, as headers.
fn told(left: u32) -> HeaderMap {
    let left = HeaderValue::try_from(format!("\"activation\";r={left}"));
    let mut headers = HeaderMap::from_iter([POLICY]);
    headers.extend(left.ok().map(|left| (STATE, left)));
    headers
}

/// Whom an address stands for: with IPv6, one customer commonly has a whole /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6([a, b, c, d, 0, 0, 0, 0].into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}
