//! Guards of routes by feature and by limit.

use std::fmt;
use std::future::{Future, Ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::request::Parts;
use manifest::Limit;
use pin_project_lite::pin_project;
use tower_layer::Layer;

use super::gate::{Decision, Gate, Gated, Verdict};
use super::{KeyError, Keys, TierError, TierInfo};

/// Makes guards. Had from [`TierLayer::guards`](super::TierLayer::guards) alone, so whoever
/// holds a guard has a layer with a default tier, and a key that was found among the declared
/// ones.
#[derive(Debug, Clone)]
pub struct Guards {
    keys: Arc<Keys>,
}

impl Guards {
    pub(super) fn new(keys: Keys, default: &TierInfo) -> Result<Self, KeyError> {
        keys.check(default)?;
        Ok(Self {
            keys: Arc::new(keys),
        })
    }

    /// Lets pass whose tier has the feature, or anything of the limit, of this name (MODO-16,
    /// MODO-17).
    pub fn require_feature(&self, key: &str) -> Result<RequireFeature, KeyError> {
        Ok(RequireFeature {
            feature: self.keys.feature(key)?,
        })
    }

    /// Lets pass who has used less than the limit (MODO-18 to MODO-21). `usage` tells what is
    /// used; it is asked once a request, when the tier grants anything of the limit and not
    /// without bound. An error of its own is answered as it is.
    pub fn require_limit<F, U>(&self, key: &str, usage: F) -> Result<RequireLimit<F>, KeyError>
    where
        F: Fn(&Parts) -> U + Clone + Send + Sync + 'static,
        U: Future<Output = Result<u64, TierError>>,
    {
        Ok(RequireLimit {
            limit: self.keys.limit(key)?,
            usage,
        })
    }
}

/// The layer that [`Guards::require_feature`] makes.
#[derive(Debug, Clone)]
pub struct RequireFeature {
    feature: Arc<str>,
}

/// The layer that [`Guards::require_limit`] makes.
#[derive(Clone)]
pub struct RequireLimit<F> {
    limit: Arc<str>,
    usage: F,
}

impl<F> fmt::Debug for RequireLimit<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("RequireLimit");
        shown.field("limit", &self.limit).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for RequireFeature {
    type Service = Gated<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated::new(inner, self.clone())
    }
}

impl<S, F: Clone> Layer<S> for RequireLimit<F> {
    type Service = Gated<S, Self>;

    fn layer(&self, inner: S) -> Self::Service {
        Gated::new(inner, self.clone())
    }
}

/// The tier that the layer around found.
fn tier(parts: &Parts) -> Result<&TierInfo, TierError> {
    parts.extensions.get::<TierInfo>().ok_or(TierError::NoTier)
}

impl Gate for RequireFeature {
    type Later = Ready<Verdict>;

    fn ask(&self, parts: &Parts) -> Decision<Self::Later> {
        Decision::Now(tier(parts).and_then(|tier| {
            if tier.has_feature(&self.feature) {
                Ok(None)
            } else {
                Err(tier.lacks(&self.feature))
            }
        }))
    }
}

impl<F, U> Gate for RequireLimit<F>
where
    F: Fn(&Parts) -> U + Clone,
    U: Future<Output = Result<u64, TierError>>,
{
    type Later = Compare<U>;

    fn ask(&self, parts: &Parts) -> Decision<Self::Later> {
        let tier = match tier(parts) {
            Ok(tier) => tier,
            Err(error) => return Decision::Now(Err(error)),
        };
        match tier.limit_granted(&self.limit) {
            Err(error) => Decision::Now(Err(error)),
            Ok(Limit::Unlimited) => Decision::Now(Ok(None)),
            Ok(Limit::Count(_)) => Decision::Later(Compare {
                usage: (self.usage)(parts),
                tier: tier.clone(),
                limit: self.limit.clone(),
            }),
        }
    }
}

pin_project! {
    /// The wait for the usage.
    #[derive(Debug)]
    pub struct Compare<U> {
        #[pin]
        usage: U,
        tier: TierInfo,
        limit: Arc<str>,
    }
}

impl<U: Future<Output = Result<u64, TierError>>> Future for Compare<U> {
    type Output = Verdict;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Verdict> {
        let this = self.project();
        let used = ready!(this.usage.poll(context));
        let fits = used.and_then(|current| this.tier.check_limit(this.limit, current));
        Poll::Ready(fits.map(|()| None))
    }
}
