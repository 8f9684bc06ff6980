//! Reading what was counted.

use std::sync::Arc;

use jiff::Timestamp;
use manifest::Aggregate;

use super::super::rows::{Place, Rows};
use super::super::window::time;
use super::super::{Checked, MeterError, Stretch, Usage, Window};
use super::{Ledger, unsigned};
use crate::check_subject;

impl<R: Rows> Ledger<'_, R> {
    /// What a metric amounts to in a window; in its own period that runs, when none is given.
    pub async fn used(
        &mut self,
        subject: &str,
        metric: &str,
        window: Option<Window>,
        now: Timestamp,
    ) -> Result<Usage, MeterError> {
        check_subject(subject)?;
        let metric = self.metrics.find(metric)?;
        let window = window.unwrap_or(Window::Current(metric.period));
        let stretch = window.stretch(now)?;
        let place = Place::new(subject, metric, stretch);
        let first = Stretch::of(metric.period, stretch.from)?;
        let value = if first == stretch {
            self.rows.value(&place).await?
        } else {
            let last = Stretch::of(metric.period, stretch.to)?;
            let whole = first.from == stretch.from && last.from == stretch.to;
            if whole && metric.aggregate != Aggregate::Unique {
                self.rows.of_buckets(&place, metric.aggregate).await?
            } else {
                if let Some(kept_from) = self.rows.horizon().await?
                    && place.from < kept_from
                {
                    return Err(MeterError::Forgotten(time(kept_from)?));
                }
                self.rows.of_events(&place, metric.aggregate).await?
            }
        };
        Ok(Usage {
            metric: Arc::clone(&metric.name),
            used: unsigned(value, subject, metric)?,
            unit: Arc::clone(&metric.unit),
            stretch,
        })
    }

    /// Whether less than a limit is used in the metric's period that runs (MET-13). Somebody else
    /// may take what is left before this answer is used (MET-16): see [`Self::check_and_consume`].
    pub async fn check(
        &mut self,
        subject: &str,
        metric: &str,
        limit: u64,
        now: Timestamp,
    ) -> Result<Checked, MeterError> {
        let usage = self.used(subject, metric, None, now).await?;
        Ok(Checked {
            allowed: usage.used < limit,
            used: usage.used,
            remaining: limit.saturating_sub(usage.used),
            limit,
            unit: usage.unit,
        })
    }

    /// Every metric, also those that are not used (MET-14): in a window, or each in its own
    /// period that runs.
    pub async fn summary(
        &mut self,
        subject: &str,
        window: Option<Window>,
        now: Timestamp,
    ) -> Result<Vec<Usage>, MeterError> {
        check_subject(subject)?;
        let metrics = self.metrics;
        let mut summary = Vec::with_capacity(metrics.iter().len());
        for metric in metrics.iter() {
            summary.push(self.used(subject, &metric.name, window, now).await?);
        }
        Ok(summary)
    }
}
