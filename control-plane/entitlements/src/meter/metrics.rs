//! The closed list of metrics that a meter counts.

use std::sync::Arc;

use manifest::{Aggregate, CapProfile, Metric, Period, TierSets};

use super::MeterError;
use super::event::check_text;

/// The metrics there are. Recording or reading any other one is an error (MET-3). Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Metrics(Arc<[Metric]>);

/// What is wrong with a list of metrics (MET-1).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetricsError {
    /// There is none.
    #[error("there are no metrics; declare at least one")]
    Empty,
    /// One has no name, or one that cannot be stored.
    #[error("`{0}` cannot name a metric: use 1 to 200 bytes without control characters")]
    Name(String),
    /// One is declared twice.
    #[error("metric `{0}` is declared twice; keep one of them")]
    Twice(String),
    /// One does not say what it counts.
    #[error("metric `{0}` has no unit; say what one of it is called")]
    Unit(String),
}

impl Metrics {
    /// The metrics of a manifest. There are none where the vendor counts nothing.
    pub fn from_manifest(tiers: &TierSets) -> Self {
        Self(tiers.metrics().cloned().collect())
    }

    /// Declares metrics in code.
    pub fn builder() -> MetricsBuilder {
        MetricsBuilder::default()
    }

    /// All of them, in their declared order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Metric> {
        self.0.iter()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The metric of that name.
    pub fn get(&self, name: &str) -> Option<&Metric> {
        self.0.iter().find(|metric| &*metric.name == name)
    }

    /// The metric of that name, or the error that lists those there are (MET-3).
    pub fn find(&self, name: &str) -> Result<&Metric, MeterError> {
        self.get(name).ok_or_else(|| self.unknown([name]))
    }

    /// Says that there are no such metrics.
    pub(super) fn unknown<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> MeterError {
        MeterError::UnknownMetric {
            unknown: names.into_iter().map(ToOwned::to_owned).collect(),
            known: self.iter().map(|metric| metric.name.to_string()).collect(),
        }
    }
}

/// Declares metrics, checked by [`Self::build`].
#[derive(Debug, Clone, Default)]
pub struct MetricsBuilder(Vec<Metric>);

impl MetricsBuilder {
    /// Declares a metric that is counted by calendar months and capped hard (MET-2).
    #[must_use]
    pub fn metric(self, name: &str, unit: &str, aggregate: Aggregate) -> Self {
        self.declare(Metric {
            name: name.into(),
            unit: unit.into(),
            aggregate,
            period: Period::Month,
            cap: CapProfile::Hard,
        })
    }

    /// Has the metric that was declared last counted by another period.
    #[must_use]
    pub fn per(mut self, period: Period) -> Self {
        if let Some(last) = self.0.last_mut() {
            last.period = period;
        }
        self
    }

    /// Has the metric that was declared last capped by another profile.
    #[must_use]
    pub fn capped(mut self, cap: CapProfile) -> Self {
        if let Some(last) = self.0.last_mut() {
            last.cap = cap;
        }
        self
    }

    /// Declares a metric with everything that belongs to it.
    #[must_use]
    pub fn declare(mut self, metric: Metric) -> Self {
        self.0.push(metric);
        self
    }

    /// Checks what was declared.
    pub fn build(self) -> Result<Metrics, MetricsError> {
        if self.0.is_empty() {
            return Err(MetricsError::Empty);
        }
        for (nth, metric) in self.0.iter().enumerate() {
            let name = metric.name.to_string();
            if !check_text(&name) {
                return Err(MetricsError::Name(name));
            }
            if self
                .0
                .iter()
                .take(nth)
                .any(|other| other.name == metric.name)
            {
                return Err(MetricsError::Twice(name));
            }
            if metric.unit.trim().is_empty() {
                return Err(MetricsError::Unit(name));
            }
        }
        Ok(Metrics(self.0.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn met_1_an_empty_list_a_missing_unit_and_another_aggregate_are_refused() {
        let declared = |name, unit| Metrics::builder().metric(name, unit, Aggregate::Sum);
        assert_eq!(Metrics::builder().build().unwrap_err(), MetricsError::Empty);
        let error = declared("calls", " ").build().unwrap_err();
        assert_eq!(error, MetricsError::Unit("calls".into()));
        let error = declared("", "call").build().unwrap_err();
        assert_eq!(error, MetricsError::Name(String::new()));
        let twice = declared("calls", "call").metric("calls", "call", Aggregate::Max);
        let error = twice.build().unwrap_err();
        assert_eq!(error, MetricsError::Twice("calls".into()));
        // Another aggregate cannot even be said.
        let words = ["sum", "max", "last", "unique"];
        assert_eq!(
            words.map(|word| Aggregate::parse(word).is_some()),
            [true; 4]
        );
        assert_eq!(Aggregate::parse("mean"), None);
        assert_eq!(declared("calls", "call").build().unwrap().iter().len(), 1);
    }

    #[test]
    fn met_2_a_metric_is_counted_by_month_unless_another_period_is_given() {
        let metrics = Metrics::builder()
            .metric("calls", "call", Aggregate::Sum)
            .metric("bytes", "byte", Aggregate::Sum)
            .per(Period::Day)
            .build()
            .unwrap();
        let periods = metrics.iter().map(|metric| metric.period);
        assert_eq!(periods.collect::<Vec<_>>(), [Period::Month, Period::Day]);
        let words = ["minute", "hour", "day", "week", "month", "year"];
        assert_eq!(words.map(|word| Period::parse(word).is_some()), [true; 6]);
        assert_eq!(Period::parse("quarter"), None);
    }
}
