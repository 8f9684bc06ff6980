//! Entitlements of subjects, as a service asks for them and an operator sets them.

mod builder;
mod error;
#[cfg(feature = "tower")]
mod tier;
mod write;

use std::sync::Arc;

use jiff::Timestamp;
use manifest::Limit;
use serde::Serialize;
use tracing::field::{Empty, display};
use tracing::{Instrument, Span, info_span};

use crate::cache::Cache;
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::driver::{Change, Driver, Watching};
use crate::names::check_subject;
use crate::ports::UsageSource;
use crate::premium::PremiumStatus;
use crate::resolve::{Description, Effective, resolve};
use crate::stored::{After, Assignment, Configured, LISTED, Switch};

pub use builder::EntitlementsBuilder;
pub use error::Error;
pub use write::By;

/// Most subjects that are listed at once.
const LISTED_MAX: u32 = 1000;

/// What subjects may do. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Entitlements(Arc<Shared>);

struct Shared {
    driver: Arc<dyn Driver>,
    catalog: Catalog,
    cache: Arc<Cache>,
    clock: Clock,
    usage: Option<Arc<dyn UsageSource>>,
    premium: Option<Arc<dyn PremiumStatus>>,
    _watching: Watching,
}

/// Whether there is something left of a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Whether one more is allowed: at exactly the limit it is not (ENT-33).
    pub allowed: bool,
    /// How much was used.
    pub used: u64,
    /// How much is left; none of it is said of a limit without bound (ENT-34).
    pub remaining: Option<u64>,
    /// The limit.
    pub limit: Limit,
    /// What one of it is called.
    pub unit: Arc<str>,
    /// The limit's name.
    pub feature: Arc<str>,
}

impl Entitlements {
    /// Begins with where entitlements are kept (ENT-1) and what is sold.
    pub fn builder(driver: Arc<dyn Driver>, catalog: Catalog) -> EntitlementsBuilder {
        EntitlementsBuilder::new(driver, catalog)
    }

    /// Makes room for what is stored, where there is none yet. Can be repeated (ENT-42).
    pub async fn setup(&self) -> Result<(), Error> {
        Ok(self.0.driver.setup().await?)
    }

    /// What can be sold (ENT-40).
    pub fn catalog(&self) -> &Catalog {
        &self.0.catalog
    }

    /// Whether the subject has the feature (ENT-27). A feature that is none is an error before
    /// anything else is done (ENT-28, ENT-47).
    pub async fn can(&self, subject: &str, feature: &str) -> Result<bool, Error> {
        check_subject(subject)?;
        self.0.catalog.check_feature(feature)?;
        let span = info_span!(
            "entitle.can",
            "entitle.subject" = subject,
            "entitle.feature" = feature,
            error = Empty
        );
        let asking = async { recorded(self.ask(subject, feature).await) };
        asking.instrument(span).await
    }

    async fn ask(&self, subject: &str, feature: &str) -> Result<bool, Error> {
        let now = self.0.clock.now();
        let effective = self.effective_at(subject, now).await?;
        let premium = effective.needs_premium(feature)? && self.is_premium(subject).await;
        Ok(effective.can(feature, premium, now)?)
    }

    /// How much of a limit the subject has; 0 of one that nobody grants it (ENT-29). Reads no
    /// usage (ENT-31).
    pub async fn limit(&self, subject: &str, limit: &str) -> Result<Limit, Error> {
        check_subject(subject)?;
        self.0.catalog.check_limit(limit)?;
        Ok(self.effective(subject).await?.limit(limit)?)
    }

    /// Whether something is left of a limit, by what the meter says was used of the metric of the
    /// same name. The meter is asked once (ENT-36).
    ///
    /// Checking and then using is two steps: of two at the same time, both may pass. Who must not
    /// let that happen consumes in one step with the meter.
    pub async fn check(&self, subject: &str, limit: &str) -> Result<Check, Error> {
        check_subject(subject)?;
        let span = info_span!(
            "entitle.check",
            "entitle.subject" = subject,
            "entitle.feature" = limit,
            error = Empty
        );
        let checking = async { recorded(self.count(subject, limit).await) };
        checking.instrument(span).await
    }

    async fn count(&self, subject: &str, name: &str) -> Result<Check, Error> {
        self.0.catalog.check_limit(name)?;
        let meter = self.0.usage.as_deref().ok_or(Error::NoMeter)?;
        let limit = self.effective(subject).await?.limit(name)?;
        let used = meter.used(subject, name).await?;
        let remaining = limit.remaining(used.amount);
        Ok(Check {
            allowed: remaining != Some(0),
            used: used.amount,
            remaining,
            limit,
            unit: used.unit,
            feature: name.into(),
        })
    }

    /// The subject's tier: the one it was assigned, or else the default one (ENT-38).
    pub async fn plan(&self, subject: &str) -> Result<Arc<str>, Error> {
        Ok(Arc::clone(self.effective(subject).await?.tier()))
    }

    /// What the subject has, for people to read (ENT-38, ENT-39).
    pub async fn describe(&self, subject: &str) -> Result<Description, Error> {
        let effective = self.effective(subject).await?;
        let premium = effective.has_premium() && self.is_premium(subject).await;
        Ok(effective.describe(premium))
    }

    /// What the subject may do, for whoever has several questions. Good for this moment: it does
    /// not follow changes.
    pub async fn effective(&self, subject: &str) -> Result<Arc<Effective>, Error> {
        check_subject(subject)?;
        self.effective_at(subject, self.0.clock.now()).await
    }

    async fn effective_at(&self, subject: &str, now: Timestamp) -> Result<Arc<Effective>, Error> {
        let read = async {
            let (stored, switches) = self.0.driver.load(subject).await?;
            Ok(Arc::new(resolve(&self.0.catalog, &stored, &switches)?))
        };
        self.0.cache.get(subject, now, read).await
    }

    /// The subject's assignment, if it has one.
    pub async fn assignment(&self, subject: &str) -> Result<Option<Assignment>, Error> {
        check_subject(subject)?;
        Ok(self.0.driver.assignment(subject).await?)
    }

    /// The subjects with an assignment, override or add-on of their own, most recently configured
    /// first (ENT-41): 100 of them unless more or fewer are asked for, and at most 1000.
    pub async fn subjects(
        &self,
        after: Option<After<'_>>,
        limit: Option<u32>,
    ) -> Result<Vec<Configured>, Error> {
        let limit = limit.unwrap_or(LISTED).min(LISTED_MAX);
        Ok(self.0.driver.subjects(after, limit).await?)
    }

    /// All switches that were ever set, by feature.
    pub async fn switches(&self) -> Result<Vec<Switch>, Error> {
        Ok(self.0.driver.switches().await?)
    }

    async fn is_premium(&self, subject: &str) -> bool {
        match &self.0.premium {
            Some(premium) => premium.is_premium(subject).await,
            None => false,
        }
    }

    fn forget(&self, change: Change<'_>) {
        self.0.cache.forget(change);
    }
}

/// Notes an error on the span that it ends (ENT-46).
fn recorded<T>(result: Result<T, Error>) -> Result<T, Error> {
    if let Err(error) = &result {
        Span::current().record("error", display(error));
    }
    result
}
