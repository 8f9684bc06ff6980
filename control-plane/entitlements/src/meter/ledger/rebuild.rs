//! Making aggregates anew from events, and forgetting events.

use jiff::Timestamp;
use manifest::{Aggregate, Metric};

use super::super::rows::{EventRow, Place, Rows};
use super::super::window::time;
use super::super::{MeterError, Stretch};
use super::{Ledger, overflow};
use crate::check_subject;

impl<R: Rows> Ledger<'_, R> {
    /// Makes the aggregates anew from the events that are kept, of one subject or of all
    /// (MET-15). Aggregates of buckets from which events were forgotten stay as they are.
    pub async fn rebuild(&mut self, subject: Option<&str>) -> Result<(), MeterError> {
        self.rows.hold().await?;
        let horizon = self.rows.horizon().await?;
        let subjects = match subject {
            Some(subject) => {
                check_subject(subject)?;
                vec![subject.to_owned()]
            }
            None => self.rows.subjects().await?,
        };
        let metrics = self.metrics;
        for subject in &subjects {
            for metric in metrics.iter() {
                let from = match horizon {
                    None => Timestamp::MIN.as_microsecond(),
                    Some(horizon) => first_whole(metric, time(horizon)?)?,
                };
                self.rebuild_metric(subject, metric, from).await?;
            }
        }
        Ok(())
    }

    /// Forgets events, keys and values from before a time. Aggregates stay.
    pub async fn prune(&mut self, until: Timestamp) -> Result<(), MeterError> {
        self.rows.prune(until.as_microsecond()).await
    }

    async fn rebuild_metric(
        &mut self,
        subject: &str,
        metric: &Metric,
        from: i64,
    ) -> Result<(), MeterError> {
        let all = Place {
            from,
            to: i64::MAX,
            ..Place::new(
                subject,
                metric,
                Stretch::of(metric.period, Timestamp::UNIX_EPOCH)?,
            )
        };
        self.rows.clear(&all).await?;
        let mut after: Option<EventRow> = None;
        let mut open: Option<Fold> = None;
        loop {
            let events = self.rows.events(&all, after.as_ref()).await?;
            let Some(last) = events.last() else { break };
            after = Some(last.clone());
            for event in events {
                let mut fold = match open.take() {
                    Some(fold) if event.at < fold.place.to => fold,
                    done => {
                        self.put(done).await?;
                        let bucket = Stretch::of(metric.period, time(event.at)?)?;
                        Fold::new(Place::new(subject, metric, bucket))
                    }
                };
                let is_new = match (metric.aggregate, &event.value) {
                    (Aggregate::Unique, Some(value)) => {
                        self.rows.add_value(&fold.place, value).await?
                    }
                    // Recorded while the metric was another one.
                    (Aggregate::Unique, None) => false,
                    _ => true,
                };
                fold.take(metric, &event, is_new)?;
                open = Some(fold);
            }
        }
        self.put(open).await
    }

    async fn put(&mut self, fold: Option<Fold>) -> Result<(), MeterError> {
        if let Some(fold) = fold {
            self.rows
                .put(&fold.place, fold.value, fold.last_at, fold.nth)
                .await?;
        }
        Ok(())
    }
}

/// An aggregate that is made anew.
struct Fold {
    place: Place,
    value: i64,
    last_at: i64,
    nth: i64,
}

impl Fold {
    fn new(place: Place) -> Self {
        Self {
            last_at: place.from,
            place,
            value: 0,
            nth: 0,
        }
    }

    /// Takes the next event, in the order of time.
    fn take(&mut self, metric: &Metric, event: &EventRow, is_new: bool) -> Result<(), MeterError> {
        self.value = match metric.aggregate {
            Aggregate::Sum => {
                let sum = self.value.checked_add(event.quantity);
                sum.ok_or_else(|| overflow(metric))?
            }
            Aggregate::Max => self.value.max(event.quantity),
            Aggregate::Last => event.quantity,
            Aggregate::Unique => self.value.saturating_add(is_new.into()),
        };
        self.last_at = event.at;
        if event.rule == self.place.rule {
            self.nth = self.nth.max(event.nth);
        }
        Ok(())
    }
}

/// The beginning of the first bucket of which every event is kept.
fn first_whole(metric: &Metric, horizon: Timestamp) -> Result<i64, MeterError> {
    let bucket = Stretch::of(metric.period, horizon)?;
    let first = if bucket.from == horizon {
        bucket.from
    } else {
        bucket.to
    };
    Ok(first.as_microsecond())
}
