//! Evaluate: whether somebody may do something, asked without doing it. Reads alone.

use super::{Error, Operations};
use crate::domain::{BoxId, Denial, Refusal, Unusable};
use crate::store::{Link, boxes, licenses};

/// The answer, or its reason where it is no.
pub type Verdict = Result<(), Denial>;

impl Operations {
    /// Whether a gate lets the box have a package with a token that it gets now: what activation
    /// and gate check, in the order in which they do.
    pub async fn may_download(
        &self,
        mut link: Link<'_>,
        box_id: &str,
        package: &str,
    ) -> Result<Verdict, Error> {
        let Ok(box_id) = box_id.parse::<BoxId>() else {
            return Ok(Err(Denial::BoxUnknown));
        };
        let now = self.clock.now();
        let license_id = boxes::license_of(link.again(), &box_id).await?;
        let Some(license_id) = license_id else {
            let released = boxes::was_released(link, &box_id).await?;
            let denial = if released {
                Denial::BoxReleased
            } else {
                Denial::BoxUnknown
            };
            return Ok(Err(denial));
        };
        let license = licenses::get(link.again(), &license_id, now).await?;
        let known = boxes::get(link.again(), &license_id, &box_id).await?;
        let (Some(license), Some(known)) = (license, known) else {
            // It went in this very moment.
            return Ok(Err(Denial::BoxReleased));
        };
        let seated = Some(&known).filter(|known| known.holds_seat(license.lease_seconds, now));
        if let Err(why) = license.check_usable(seated.is_some(), now) {
            return Ok(Err(Denial::Unusable(why)));
        }
        let effective = self.effective(&license)?;
        let seat = self.check_seat(link, &license, effective.boxes, seated, now);
        match seat.await {
            Err(Error::Refused(Refusal::BoxLimitReached { limit })) => {
                return Ok(Err(Denial::BoxLimitReached { limit }));
            }
            seat => seat?,
        }
        if self.token_life(&license, now).is_none() {
            return Ok(Err(Denial::Unusable(Unusable::Expired)));
        }
        let scope = self.tiers.scope();
        let inside = package.strip_prefix(scope);
        if !inside.is_some_and(|rest| rest.starts_with('/')) {
            let scope = scope.to_owned();
            return Ok(Err(Denial::OutOfScope { scope }));
        }
        if effective.packages.contains(package) {
            return Ok(Ok(()));
        }
        let lowest = self.tiers.lowest_tier_with(package);
        Ok(Err(Denial::PackageNotEntitled {
            tier: effective.tier.name().clone(),
            comes_with: lowest.map(|tier| tier.name().clone()),
        }))
    }

    /// Whether a subject may use a feature now. One that nobody declared is told with those that
    /// there are: a typing error is no silent "no" (ENT-28).
    pub async fn may_use(
        &self,
        link: Link<'_>,
        subject: &str,
        feature: &str,
    ) -> Result<Verdict, Error> {
        let standing = self.entitlements_of(link, subject).await?;
        let feature = standing.feature(&self.tiers, feature, self.clock.now());
        Ok(match feature {
            Ok(feature) => feature.check(),
            Err(unknown) => Err(Denial::UnknownFeature(unknown)),
        })
    }
}
