//! Caps: how far a limit may be passed, who is told, and what is refused.
//!
//! A profile has a soft and a hard multiple of the limit. Below the soft one all is well; from
//! there up to the hard one is a *soft hit*, of which somebody is told once a period; from the
//! hard one on the call is refused. The multiples are whole percents and everything is counted in
//! whole numbers, so no rounding ever gives a place away or takes one.
//!
//! A limit on things that exist (a *stock*) is another matter: the things themselves are counted,
//! and what is full stays full however long one waits. See [`Stock`].

use manifest::{CapProfile, Limit};

use crate::meter::{MeterError, Usage};

/// The soft and the hard multiple of a profile, in percent (KUM-55).
pub const fn percents(profile: CapProfile) -> (u64, u64) {
    match profile {
        CapProfile::Hard => (100, 100),
        CapProfile::Burstable => (110, 120),
        CapProfile::Storage => (100, 105),
        CapProfile::Egress => (110, 130),
    }
}

/// A limit and how far it may be passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cap {
    /// How far.
    pub profile: CapProfile,
    /// The limit.
    pub limit: Limit,
}

/// Where a value stands (KUM-56).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CapState {
    /// Below the soft multiple.
    Ok,
    /// From the soft multiple up to the hard one.
    Soft,
    /// At the hard multiple or above: the call is refused.
    Hard,
}

impl CapState {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Soft => "soft",
            Self::Hard => "hard",
        }
    }
}

/// A call that a cap refuses: 429 over HTTP (KUM-56).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{cap}` is used up: {current} of {limit}, with up to {tolerance_percent} % of it allowed; try again in the next period or raise the limit"
)]
pub struct CapExceeded {
    /// The cap's name, which is the limit's.
    pub cap: String,
    /// The limit.
    pub limit: u64,
    /// What is used.
    pub current: u64,
    /// The hard multiple, in percent of the limit.
    pub tolerance_percent: u64,
}

impl CapExceeded {
    /// The stable code.
    pub const CODE: &'static str = "cap_exceeded";
}

impl Cap {
    /// A limit with a profile.
    pub const fn new(profile: CapProfile, limit: Limit) -> Self {
        Self { profile, limit }
    }

    /// The least value that is a soft hit; none when the limit is unlimited.
    pub fn soft(&self) -> Option<u64> {
        self.multiple(percents(self.profile).0)
    }

    /// The least value at which calls are refused, which is also the most that can be counted;
    /// none when the limit is unlimited.
    pub fn ceiling(&self) -> Option<u64> {
        self.multiple(percents(self.profile).1)
    }

    /// Where a call stands that finds this value (KUM-56). 0 where nothing was counted yet
    /// (KUM-57).
    pub fn judge(&self, value: u64) -> CapState {
        let reached = |threshold: Option<u64>| threshold.is_some_and(|least| value >= least);
        if reached(self.ceiling()) {
            CapState::Hard
        } else if reached(self.soft()) {
            CapState::Soft
        } else {
            CapState::Ok
        }
    }

    /// Where the call stood that brought the value to this: it found one less.
    pub fn judge_after(&self, value: u64) -> CapState {
        value
            .checked_sub(1)
            .map_or(CapState::Ok, |found| self.judge(found))
    }

    /// Whether to tell somebody that the value has come this far, which they are told once a
    /// period. A hard cap has nothing between its multiples, and refuses instead.
    pub fn is_soft_hit(&self, value: u64) -> bool {
        let (soft, hard) = percents(self.profile);
        soft < hard && self.judge_after(value) != CapState::Ok
    }

    /// Lets a call pass, or refuses it.
    pub fn admit(&self, cap: &str, current: u64) -> Result<CapState, CapExceeded> {
        match (self.judge(current), self.limit) {
            (CapState::Hard, Limit::Count(limit)) => Err(CapExceeded {
                cap: cap.to_owned(),
                limit,
                current,
                tolerance_percent: percents(self.profile).1,
            }),
            (state, _) => Ok(state),
        }
    }

    /// Lets a call pass by what was used in a window that rolls. There is no period to tell
    /// somebody once in, so each soft hit says to notify (KUM-59).
    pub fn admit_rolling(&self, usage: &Usage) -> Result<RollingAdmitted, CapExceeded> {
        let state = self.admit(&usage.metric, usage.used)?;
        let notify = state == CapState::Soft;
        Ok(RollingAdmitted { state, notify })
    }

    /// The least whole number that is at or above so many percent of the limit.
    fn multiple(&self, percent: u64) -> Option<u64> {
        let Limit::Count(limit) = self.limit else {
            return None;
        };
        let exact = u128::from(limit) * u128::from(percent);
        Some(u64::try_from(exact.div_ceil(100)).unwrap_or(u64::MAX))
    }
}

/// A call that passed the cap of a window that rolls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RollingAdmitted {
    /// Where it stands.
    pub state: CapState,
    /// Whether somebody is to be told.
    pub notify: bool,
}

/// Things that exist, counted as they are now (KUM-61): nothing is kept beside them, so what is
/// deleted frees its place at once.
pub trait Stock {
    /// Why they could not be counted.
    type Error;

    /// How many of them a subject has.
    fn count(&self, subject: &str) -> impl Future<Output = Result<u64, Self::Error>> + Send;
}

/// A stock is full: 422 over HTTP, since waiting does not help (KUM-61).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("all {limit} `{cap}` are in use ({count}); remove one or raise the limit")]
pub struct StockFull {
    /// The limit's name.
    pub cap: String,
    /// The limit.
    pub limit: u64,
    /// How many there are.
    pub count: u64,
}

impl StockFull {
    /// The stable code.
    pub const CODE: &'static str = "stock_full";
}

/// Why nothing may be added to a stock.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StockError<E> {
    /// It is full.
    #[error(transparent)]
    Full(StockFull),
    /// It could not be counted.
    #[error("the stock could not be counted")]
    Uncounted(#[source] E),
}

/// Whether one more may be added to a subject's stock. Ask within the transaction that adds it.
pub async fn admit_to_stock<S: Stock>(
    stock: &S,
    cap: &str,
    subject: &str,
    limit: Limit,
) -> Result<u64, StockError<S::Error>> {
    let count = stock.count(subject).await.map_err(StockError::Uncounted)?;
    match limit {
        Limit::Count(limit) if count >= limit => Err(StockError::Full(StockFull {
            cap: cap.to_owned(),
            limit,
            count,
        })),
        _ => Ok(count),
    }
}

/// Why wrapped work was not done, or did not succeed (KUM-60).
#[derive(Debug, thiserror::Error)]
pub enum Wrapped<E> {
    /// The cap refuses it. It was not begun.
    #[error(transparent)]
    Exceeded(CapExceeded),
    /// The meter could not be asked, or could not count what was done.
    #[error(transparent)]
    Meter(#[from] MeterError),
    /// The work failed, and used nothing.
    #[error("the work failed")]
    Failed(#[source] E),
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use proptest::prelude::*;

    use super::*;

    fn cap(profile: CapProfile, limit: u64) -> Cap {
        Cap::new(profile, Limit::Count(limit))
    }

    #[test]
    fn kum_55_profiles_are_exact_multiples_of_the_limit() {
        for (profile, limit, soft, hard) in [
            (CapProfile::Burstable, 100, 110, 120),
            (CapProfile::Storage, 100, 100, 105),
            (CapProfile::Hard, 100, 100, 100),
            (CapProfile::Egress, 100, 110, 130),
            // 3.3 and 3.6: what is found at 3 lies below both.
            (CapProfile::Burstable, 3, 4, 4),
            (CapProfile::Storage, 1, 1, 2),
            (CapProfile::Egress, 0, 0, 0),
            (CapProfile::Burstable, u64::MAX, u64::MAX, u64::MAX),
        ] {
            let cap = cap(profile, limit);
            assert_eq!(
                (cap.soft(), cap.ceiling()),
                (Some(soft), Some(hard)),
                "{cap:?}"
            );
        }
        let unlimited = Cap::new(CapProfile::Hard, Limit::Unlimited);
        assert_eq!((unlimited.soft(), unlimited.ceiling()), (None, None));
        assert_eq!(unlimited.judge(u64::MAX), CapState::Ok);
    }

    #[test]
    fn kum_56_below_soft_is_ok_then_a_soft_hit_then_a_refusal() {
        let cap = cap(CapProfile::Burstable, 100);
        for (value, state) in [
            (0, CapState::Ok),
            (109, CapState::Ok),
            (110, CapState::Soft),
            (119, CapState::Soft),
        ] {
            assert_eq!(cap.admit("calls", value), Ok(state), "{value}");
        }
        for value in [120, u64::MAX] {
            let refused = cap.admit("calls", value).unwrap_err();
            let expected = CapExceeded {
                cap: "calls".into(),
                limit: 100,
                current: value,
                tolerance_percent: 120,
            };
            assert_eq!((refused, CapExceeded::CODE), (expected, "cap_exceeded"));
        }
        // A hard cap has nothing in between.
        let hard = Cap {
            profile: CapProfile::Hard,
            ..cap
        };
        assert_eq!(
            [99, 100].map(|value| hard.judge(value)),
            [CapState::Ok, CapState::Hard]
        );
        assert!(!hard.is_soft_hit(1_000));
    }

    proptest! {
        #[test]
        fn kum_55_56_no_rounding_gives_a_place_away_or_takes_one(
            limit in any::<u32>(), value in any::<u32>(), nth in 0..4_usize,
        ) {
            let profile = CapProfile::ALL[nth];
            let (soft, hard) = percents(profile);
            let (limit, value) = (u64::from(limit), u64::from(value));
            let expected = if value * 100 >= limit * hard {
                CapState::Hard
            } else if value * 100 >= limit * soft {
                CapState::Soft
            } else {
                CapState::Ok
            };
            prop_assert_eq!(cap(profile, limit).judge(value), expected);
        }
    }

    struct Rows(AtomicU64);

    impl Stock for Rows {
        type Error = std::convert::Infallible;

        async fn count(&self, _: &str) -> Result<u64, Self::Error> {
            Ok(self.0.load(Ordering::SeqCst))
        }
    }

    #[tokio::test]
    async fn kum_61_a_stock_counts_what_is_there_so_that_removing_one_frees_its_place_at_once() {
        let rows = Rows(AtomicU64::new(2));
        let ask = async || admit_to_stock(&rows, "projects", "s-1", Limit::Count(2)).await;
        let full = StockFull {
            cap: "projects".into(),
            limit: 2,
            count: 2,
        };
        assert_eq!(ask().await, Err(StockError::Full(full)));
        assert_ne!(StockFull::CODE, CapExceeded::CODE);
        rows.0.store(1, Ordering::SeqCst);
        assert_eq!(ask().await, Ok(1));
        let unlimited = admit_to_stock(&rows, "projects", "s-1", Limit::Unlimited);
        assert_eq!(unlimited.await, Ok(1));
    }
}
