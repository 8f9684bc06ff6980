//! A request's tier, for services built on tower: a layer that finds it, guards that go by it.
//!
//! [`TierLayer`] asks the [`TierBackend`] once a request whose tier holds and puts a [`TierInfo`]
//! where handlers and guards find it. [`Guards`] makes the route layers: `require_feature` and
//! `require_limit`. Whoever makes one names its key, and a name that nobody declared is an error
//! there and then, so that a typing error stops the start and never locks a route. [`Guards`]
//! are had only from a layer that says which tier callers without an owner have.
//!
//! Answers of "no" are problems (RFC 9457) with a stable `code`, which also stands in the
//! response's extensions as [`ErrorCode`]:
//!
//! | Status | `code` | When |
//! |---|---|---|
//! | 403 | `feature_not_entitled` | the tier has not the feature, or nothing of the limit |
//! | 403 | `limit_exceeded` | as much is used as the limit allows |
//! | 402 | `premium_required` | the route is for premium users |
//! | 500 | `internal_error` | no tier layer stands around the guard, or the backend failed; logged once |
//!
//! Layers that wrap others run first: guards stand on routes (`route_layer`), the tier layer
//! around them all (`layer`).

mod backend;
mod error;
#[cfg(feature = "axum")]
mod extract;
mod gate;
mod guard;
mod info;
mod keys;
mod layer;
mod owner;
mod premium;
#[cfg(feature = "test-helpers")]
mod test_helpers;

pub use backend::{TierBackend, TierResolver};
pub use error::{ErrorCode, TierError};
pub use gate::{Gated, GatedFuture};
pub use guard::{Guards, RequireFeature, RequireLimit};
pub use info::{FeatureAccess, TierInfo};
pub use keys::{KeyError, Keys};
pub use layer::{NoDefault, TierLayer};
pub use owner::IntoOwner;
pub use premium::{RequirePremium, require_premium, require_premium_async};
#[cfg(feature = "test-helpers")]
pub use test_helpers::{FailingTierBackend, StaticTierBackend};
