//! What flags, features and limits are for whoever asks.

use std::sync::Arc;

use entitlements::Limit;
use entitlements::flags::{Evaluation, FlagContext};

use super::{Error, Operations};
use crate::store::{Link, flag_overrides, premium};

/// What something is that can be asked for by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Evaluated {
    /// A flag.
    Flag(Evaluation),
    /// A feature, on or off with a tier.
    Feature(bool, Arc<str>),
    /// A limit, with a tier.
    Limit(Limit, Arc<str>),
    /// A feature or a limit, which nobody has who is not named.
    NobodyAsks,
}

impl Operations {
    /// What the flag, feature or limit of this name is; `None` where nothing has the name.
    pub async fn evaluate_flag(
        &self,
        mut link: Link<'_>,
        context: &FlagContext<'_>,
        name: &str,
    ) -> Result<Option<Evaluated>, Error> {
        if let Ok(flag) = self.flags.get(name) {
            let overrides = flag_overrides::that_concern(link.again(), context, Some(name)).await?;
            let premium = flag.premium_only && is_premium(link, context).await?;
            let evaluated = self.flags.evaluate(name, &overrides, context, premium);
            return Ok(evaluated.ok().map(Evaluated::Flag));
        }
        let mut names = self.catalog.features().chain(self.catalog.limits());
        if !names.any(|known| **known == *name) {
            return Ok(None);
        }
        let all = self.evaluate_entitlements(link, context).await?;
        let found = all.into_iter().find(|(known, _)| **known == *name);
        Ok(found.map(|(_, evaluated)| evaluated))
    }

    /// What all flags, features and limits are, in their declared order.
    pub async fn evaluate_flags(
        &self,
        mut link: Link<'_>,
        context: &FlagContext<'_>,
    ) -> Result<Vec<(Arc<str>, Evaluated)>, Error> {
        let overrides = flag_overrides::that_concern(link.again(), context, None).await?;
        let asks = self.flags.iter().any(|flag| flag.premium_only);
        let premium = asks && is_premium(link.again(), context).await?;
        let evaluated = self.flags.iter().filter_map(|flag| {
            let (flags, name) = (&self.flags, &flag.name);
            let found = flags.evaluate(name, &overrides, context, premium).ok()?;
            Some((Arc::clone(name), Evaluated::Flag(found)))
        });
        let mut all: Vec<_> = evaluated.collect();
        all.extend(self.evaluate_entitlements(link, context).await?);
        Ok(all)
    }

    async fn evaluate_entitlements(
        &self,
        link: Link<'_>,
        context: &FlagContext<'_>,
    ) -> Result<Vec<(Arc<str>, Evaluated)>, Error> {
        let (features, limits) = (self.catalog.features(), self.catalog.limits());
        let Some(subject) = context.caller.user() else {
            let names = features.chain(limits).map(Arc::clone);
            return Ok(names.map(|name| (name, Evaluated::NobodyAsks)).collect());
        };
        let standing = self.entitlements_of(link, subject).await?;
        let (effective, premium) = (&standing.effective, standing.premium);
        let (tier, now) = (effective.tier(), self.clock.now());
        let features = features.filter_map(|name| {
            let on = effective.can(name, premium, now).ok()?;
            Some((Arc::clone(name), Evaluated::Feature(on, Arc::clone(tier))))
        });
        let limits = limits.filter_map(|name| {
            let limit = effective.limit(name).ok()?;
            Some((Arc::clone(name), Evaluated::Limit(limit, Arc::clone(tier))))
        });
        Ok(features.chain(limits).collect())
    }
}

/// Whether whoever asks is a premium user.
async fn is_premium(link: Link<'_>, context: &FlagContext<'_>) -> Result<bool, Error> {
    Ok(match context.caller.user() {
        Some(user) => premium::status(link, user).await?.is_premium(),
        None => false,
    })
}
