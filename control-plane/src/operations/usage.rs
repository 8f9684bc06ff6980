//! Record what subjects use, and take from their limits.
//!
//! Events of usage are bookkeeping, as downloads are. What somebody must hear of, that a soft
//! limit was passed, stands in the audit log once a period, from where webhooks take it.

use entitlements::caps::{Cap, CapState};
use entitlements::meter::{Event as UsageEvent, MeterError, Metrics, Stretch, Usage, Window};
use manifest::Limit;
use serde_json::json;

use super::effective::BOXES_LIMIT;
use super::{Error, Operations, check_subject};
use crate::domain::{Event, Refusal, Requester, usage};
use crate::store::usage::{failed, ledger};
use crate::store::{Link, Recorded, Tx, licenses};

/// What one box is called.
const BOX: &str = "box";

/// What came of bookkeeping, and the proof that it stands in the audit log where somebody is to be
/// told of it.
#[derive(Debug)]
pub struct Noted<T> {
    /// What came of it.
    pub value: T,
    /// The last row of the audit log that it brought.
    pub told: Option<Recorded<()>>,
}

/// A question about a limit.
#[derive(Debug, Clone)]
pub struct Check {
    /// The limit.
    pub limit: String,
    /// How much is wanted.
    pub event: UsageEvent,
}

/// How a limit stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// The limit's name.
    pub name: String,
    /// Whether what was wanted may be had, or was taken.
    pub allowed: bool,
    /// How much is used.
    pub used: u64,
    /// How much may be.
    pub limit: Limit,
    /// What one is called.
    pub unit: String,
    /// How far the limit was reached.
    pub state: CapState,
}

impl Operations {
    /// How much of a limit a subject has. Everything that asks for a limit of a subject's asks
    /// here.
    async fn limit_of(&self, link: Link<'_>, subject: &str, key: &str) -> Result<Limit, Error> {
        self.check_limit(key)?;
        let standing = self.entitlements_of(link, subject).await?;
        Ok(standing
            .effective
            .limit(key)
            .map_err(Refusal::UnknownName)?)
    }

    /// Refuses what is no limit.
    fn check_limit(&self, key: &str) -> Result<(), Refusal> {
        self.catalog.check_limit(key).map_err(Refusal::UnknownName)
    }

    /// Records events, all or none. Returns what their metrics amount to, in the events' order.
    pub async fn record_usage(
        &self,
        tx: &mut Tx,
        by: &Requester,
        subject: &str,
        events: &[UsageEvent],
    ) -> Result<Noted<Vec<entitlements::meter::Recorded>>, Error> {
        check_subject(subject)?;
        let (now, metrics) = (self.clock.now(), &self.metrics);
        let mut ledger = ledger(metrics, tx.link());
        let recorded = ledger.record(subject, events, now).await;
        let value = recorded.map_err(refused)?;
        let mut told = None;
        for one in &value {
            // What was recorded late tells of nothing that can be helped now.
            let runs = one.bucket.from <= now && now < one.bucket.to;
            if runs && !one.repeated && self.catalog.check_limit(&one.metric).is_ok() {
                let passed = self.tell_of_soft_limit(
                    tx,
                    by,
                    subject,
                    metrics,
                    (&one.metric, one.used, one.bucket),
                );
                told = passed.await?.or(told);
            }
        }
        Ok(Noted { value, told })
    }

    /// Tells once a period that a metric has passed its soft limit, if it has (KUM-58).
    async fn tell_of_soft_limit(
        &self,
        tx: &mut Tx,
        by: &Requester,
        subject: &str,
        metrics: &Metrics,
        (metric, used, bucket): (&str, u64, Stretch),
    ) -> Result<Option<Recorded<()>>, Error> {
        let limit = self.limit_of(tx.link(), subject, metric).await?;
        let profile = metrics.find(metric).map_err(refused)?.cap;
        if !Cap::new(profile, limit).is_soft_hit(used) {
            return Ok(None);
        }
        let now = self.clock.now();
        let mut ledger = ledger(metrics, tx.link());
        let marked = ledger.mark_soft_hit(subject, metric, bucket, now).await;
        if !marked.map_err(refused)? {
            return Ok(None);
        }
        let event = soft_limit(subject, metrics, (metric, used, bucket), limit);
        Ok(Some(tx.record(by, now, event, ()).await?))
    }

    /// How a limit stands, without taking anything.
    pub async fn check_usage(
        &self,
        mut link: Link<'_>,
        subject: &str,
        check: &Check,
    ) -> Result<Checked, Error> {
        check_subject(subject)?;
        let limit = self.limit_of(link.again(), subject, &check.limit).await?;
        if check.limit == BOXES_LIMIT {
            return self.check_boxes(link, subject, limit, check).await;
        }
        let metrics = &self.metrics;
        let metric = metrics.find(&check.limit).map_err(refused)?;
        let mut ledger = ledger(metrics, link);
        let usage = ledger.used(subject, &check.limit, None, self.clock.now());
        let used = usage.await.map_err(refused)?.used;
        Ok(Checked::new(
            check,
            used,
            Cap::new(metric.cap, limit),
            &metric.unit,
        ))
    }

    /// Takes from a limit what is wanted, if there is enough, in one step.
    pub async fn consume_usage(
        &self,
        tx: &mut Tx,
        by: &Requester,
        subject: &str,
        check: &Check,
    ) -> Result<Noted<Checked>, Error> {
        check_subject(subject)?;
        let limit = self.limit_of(tx.link(), subject, &check.limit).await?;
        if check.limit == BOXES_LIMIT {
            // The boxes themselves are what is counted, when they activate.
            let value = self.check_boxes(tx.link(), subject, limit, check).await?;
            return match limit {
                Limit::Count(limit) if !value.allowed => Err(Refusal::StockFull {
                    name: value.name,
                    limit,
                }
                .into()),
                _ => Ok(Noted { value, told: None }),
            };
        }
        let (now, metrics) = (self.clock.now(), &self.metrics);
        let mut ledger = ledger(metrics, tx.link());
        let consumed = ledger.check_and_consume(subject, &check.event, limit, now);
        let consumed = consumed.await.map_err(refused)?;
        let told = if consumed.notify {
            let passed = (&*check.limit, consumed.used, consumed.bucket);
            let event = soft_limit(subject, metrics, passed, limit);
            Some(tx.record(by, now, event, ()).await?)
        } else {
            None
        };
        let value = Checked {
            name: check.limit.clone(),
            allowed: consumed.allowed,
            used: consumed.used,
            limit,
            unit: consumed.unit.to_string(),
            state: consumed.state,
        };
        Ok(Noted { value, told })
    }

    /// What a subject uses, of every metric: in a window, or each in its own period that runs.
    pub async fn usage(
        &self,
        link: Link<'_>,
        subject: &str,
        window: Option<Window>,
    ) -> Result<Vec<Usage>, Error> {
        check_subject(subject)?;
        let metrics = &self.metrics;
        let summary = ledger(metrics, link)
            .summary(subject, window, self.clock.now())
            .await;
        summary.map_err(refused)
    }

    /// Makes a subject's aggregates anew from the events that are kept.
    pub async fn rebuild_usage(
        &self,
        tx: &mut Tx,
        by: &Requester,
        subject: &str,
        reason: Option<String>,
    ) -> Result<Recorded<Vec<Usage>>, Error> {
        let before = self.usage(tx.link(), subject, None).await?;
        let (now, metrics) = (self.clock.now(), &self.metrics);
        let mut ledger = ledger(metrics, tx.link());
        ledger.rebuild(Some(subject)).await.map_err(refused)?;
        let after = self.usage(tx.link(), subject, None).await?;
        let event = Event {
            before: Some(amounts(&before)),
            after: Some(amounts(&after)),
            reason,
            ..Event::new("usage.rebuild", &subject)
        };
        Ok(tx.record(by, now, event, after).await?)
    }

    /// Boxes are a stock: those that are live now are counted, over all licenses of the customer
    /// (KUM-61).
    async fn check_boxes(
        &self,
        link: Link<'_>,
        subject: &str,
        limit: Limit,
        check: &Check,
    ) -> Result<Checked, Error> {
        let licenses = licenses::of_customer(link, subject, self.clock.now()).await?;
        let used = licenses.iter().map(|license| license.boxes_used).sum();
        let cap = Cap::new(manifest::CapProfile::Hard, limit);
        Ok(Checked::new(check, used, cap, BOX))
    }
}

impl Checked {
    /// Whether so much more than what is used fits below the cap.
    fn new(check: &Check, used: u64, cap: Cap, unit: &str) -> Self {
        let wanted = match check.event.amount {
            entitlements::meter::Amount::Quantity(quantity) => quantity,
            entitlements::meter::Amount::Value(_) => 1,
        };
        let state = cap.judge(used.saturating_add(wanted.saturating_sub(1)));
        Self {
            name: check.limit.clone(),
            allowed: state != CapState::Hard,
            used,
            limit: cap.limit,
            unit: unit.to_owned(),
            state,
        }
    }
}

/// That a metric has passed its soft limit.
fn soft_limit(
    subject: &str,
    metrics: &Metrics,
    (metric, used, bucket): (&str, u64, Stretch),
    limit: Limit,
) -> Event {
    let declared = metrics.get(metric);
    let cap = declared.map(|metric| Cap::new(metric.cap, limit));
    let after = json!({
        "metric": metric,
        "unit": declared.map(|metric| &metric.unit),
        "used": used,
        "limit": limit,
        "softLimit": cap.and_then(|cap| cap.soft()),
        "hardLimit": cap.and_then(|cap| cap.ceiling()),
        "from": bucket.from,
        "to": bucket.to,
    });
    Event {
        after: Some(after),
        ..Event::new("usage.soft_limit", &subject)
    }
}

fn amounts(usage: &[Usage]) -> serde_json::Value {
    usage
        .iter()
        .map(|usage| (usage.metric.to_string(), json!(usage.used)))
        .collect()
}

fn refused(error: MeterError) -> Error {
    match usage::refusal(error) {
        Ok(refusal) => refusal.into(),
        Err(fault) => failed(fault).into(),
    }
}
