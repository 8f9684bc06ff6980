//! Entitlements as what the tier layer asks.

use super::{Entitlements, Error};
use crate::premium::BoxFuture;
use crate::tier::{TierBackend, TierError, TierInfo};

impl From<Error> for TierError {
    /// A fault, whatever it is: a request does not choose whose tier is asked for.
    fn from(error: Error) -> Self {
        Self::fault(error)
    }
}

impl TierBackend for Entitlements {
    fn resolve<'a>(&'a self, owner: &'a str) -> BoxFuture<'a, Result<TierInfo, TierError>> {
        Box::pin(async move {
            let effective = self.effective(owner).await?;
            let premium = effective.has_premium() && self.is_premium(owner).await;
            Ok(TierInfo::settled(effective, premium, self.0.clock.now()))
        })
    }

    /// What is cached, where nobody need be asked about premium.
    fn resolve_now(&self, owner: &str) -> Option<TierInfo> {
        let now = self.0.clock.now();
        let effective = self.0.cache.kept(owner, now)?;
        (!effective.has_premium()).then(|| TierInfo::settled(effective, false, now))
    }
}
