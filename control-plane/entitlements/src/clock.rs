//! Time as a value that is handed in.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;

/// Where the present comes from.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl Clock {
    /// The machine's clock, in whole microseconds: what is stored is what was said.
    pub fn system() -> Self {
        Self::by(|| {
            #[expect(
                clippy::disallowed_methods,
                reason = "this is the clock that is handed in"
            )]
            let now = Timestamp::now();
            Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
        })
    }

    /// A clock that shows what `now` returns.
    pub fn by(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}
