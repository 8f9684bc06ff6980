//! The rules of counting, over whatever rows.
//!
//! Each of these does its work on rows that a caller lends it within one transaction: all of it
//! stands when the caller commits, and none of it when an error came back and the caller does not.

mod read;
mod rebuild;

use std::sync::Arc;

use jiff::Timestamp;
use manifest::{Aggregate, Limit, Metric};

use super::event::Checkable;
use super::rows::{KeyRow, NewEvent, Place, Rise, Rows};
use super::window::time;
use super::{Amount, Consumed, Event, MeterError, Metrics, Receipt, Recorded, Stretch};
use crate::caps::{Cap, CapState};
use crate::check_subject;

/// The usage that stands in some rows.
#[derive(Debug)]
pub struct Ledger<'m, R> {
    metrics: &'m Metrics,
    rows: R,
}

/// An event and its bucket.
struct Placed<'e> {
    event: Checkable<'e>,
    place: Place,
    bucket: Stretch,
}

impl<'m, R: Rows> Ledger<'m, R> {
    /// Counts these metrics in these rows.
    pub fn new(metrics: &'m Metrics, rows: R) -> Self {
        Self { metrics, rows }
    }

    /// Records events of a subject, all or none, and returns for each what its metric amounts to
    /// in its bucket (MET-6).
    pub async fn record(
        &mut self,
        subject: &str,
        events: &[Event],
        now: Timestamp,
    ) -> Result<Vec<Recorded>, MeterError> {
        check_subject(subject)?;
        let named = events.iter().map(|event| event.metric.as_str());
        let unknown: Vec<&str> = named
            .filter(|name| self.metrics.get(name).is_none())
            .collect();
        if !unknown.is_empty() {
            return Err(self.metrics.unknown(unknown));
        }
        let mut placed = Vec::with_capacity(events.len());
        for (nth, event) in events.iter().enumerate() {
            placed.push((nth, self.place(subject, event, now).await?));
        }
        // In the order in which locks are taken; events of one bucket stay in theirs.
        placed.sort_by(|(_, a), (_, b)| a.place.cmp(&b.place));
        let fresh = self.take_keys(subject, &placed, now).await?;
        let new_values = self.add_values(&placed, &fresh).await?;
        let mut recorded = Vec::with_capacity(placed.len());
        for (((nth, placed), fresh), new_value) in placed.iter().zip(&fresh).zip(&new_values) {
            if *fresh {
                let raised = self.count(placed, *new_value, i64::MAX, now).await?;
                let (used, _) = raised.ok_or_else(|| overflow(placed.event.metric))?;
                recorded.push((*nth, recorded_in(placed, used, false)?));
            }
        }
        let again = placed.into_iter().zip(&fresh).filter(|(_, fresh)| !**fresh);
        for ((nth, placed), _) in again {
            let before = self.placed_before(subject, placed).await?;
            let used = self.rows.value(&before.place).await?;
            recorded.push((nth, recorded_in(&before, used, true)?));
        }
        recorded.sort_by_key(|(nth, _)| *nth);
        Ok(recorded.into_iter().map(|(_, recorded)| recorded).collect())
    }

    /// Takes something from a limit if there is enough, in one step: however many ask at a time,
    /// no more is taken than the limit's cap lets pass. What was taken under a key is not taken
    /// again under it.
    pub async fn check_and_consume(
        &mut self,
        subject: &str,
        event: &Event,
        limit: Limit,
        now: Timestamp,
    ) -> Result<Consumed, MeterError> {
        check_subject(subject)?;
        let metric = self.metrics.find(&event.metric)?;
        if matches!(metric.aggregate, Aggregate::Max | Aggregate::Last) {
            return Err(MeterError::NotConsumable(metric.name.to_string()));
        }
        if event.amount == Amount::Quantity(0) {
            return Err(MeterError::Nothing);
        }
        let cap = Cap::new(metric.cap, limit);
        let mut placed = self.place(subject, event, now).await?;
        if !self.take_key(subject, &placed, now).await? {
            // It was allowed then, whatever is left now.
            placed = self.placed_before(subject, placed).await?;
            let used = self.rows.value(&placed.place).await?;
            return consumed(&placed, used, cap, true, None);
        }
        let is_new = match placed.event.value {
            Some(value) => self.rows.add_value(&placed.place, value).await?,
            None => true,
        };
        let ceiling = cap
            .ceiling()
            .map_or(i64::MAX, |most| i64::try_from(most).unwrap_or(i64::MAX));
        let Some((used, nth)) = self.count(&placed, is_new, ceiling, now).await? else {
            if let Some(value) = placed.event.value {
                self.rows.drop_value(&placed.place, value).await?;
            }
            if let Some(key) = placed.event.key {
                self.rows.drop_key(subject, key).await?;
            }
            if cap.ceiling().is_none() {
                return Err(overflow(metric));
            }
            let used = self.rows.value(&placed.place).await?;
            return consumed(&placed, used, cap, false, None);
        };
        let receipt = (metric.aggregate == Aggregate::Sum).then(|| Receipt {
            place: placed.place.clone(),
            at: placed.event.at,
            nth,
            quantity: placed.event.quantity,
            key: placed.event.key.map(ToOwned::to_owned),
        });
        let mut consumed = consumed(&placed, used, cap, true, receipt)?;
        // Who was counted already takes nothing, and so hits nothing.
        if is_new && consumed.state == CapState::Soft {
            consumed.notify = self.rows.mark(&placed.place, now.as_microsecond()).await?;
        }
        Ok(consumed)
    }

    /// Takes back what was taken, once. Its key is free again.
    pub async fn take_back(&mut self, receipt: &Receipt) -> Result<(), MeterError> {
        let place = &receipt.place;
        if self.rows.drop_event(place, receipt.at, receipt.nth).await? {
            self.rows.lower(place, receipt.quantity).await?;
            if let Some(key) = &receipt.key {
                self.rows.drop_key(&place.subject, key).await?;
            }
        }
        Ok(())
    }

    /// Notes that somebody is told of a soft hit. `false` when somebody was before, in the same
    /// bucket (KUM-58).
    pub async fn mark_soft_hit(
        &mut self,
        subject: &str,
        metric: &str,
        bucket: Stretch,
        now: Timestamp,
    ) -> Result<bool, MeterError> {
        let place = Place::new(subject, self.metrics.find(metric)?, bucket);
        self.rows.mark(&place, now.as_microsecond()).await
    }

    /// Finds an event's bucket, and refuses one of a time that is no longer kept.
    async fn place<'e>(
        &mut self,
        subject: &str,
        event: &'e Event,
        now: Timestamp,
    ) -> Result<Placed<'e>, MeterError>
    where
        'm: 'e,
    {
        let metrics: &'m Metrics = self.metrics;
        let metric = metrics.find(&event.metric)?;
        let checked = Checkable::new(event, metric, now)?;
        if let Some(at) = event.at
            && let Some(until) = self.rows.horizon().await?
            && checked.at < until
        {
            let until = time(until)?;
            return Err(MeterError::TooOld { at, until });
        }
        let bucket = Stretch::of(metric.period, time(checked.at)?)?;
        Ok(Placed {
            place: Place::new(subject, metric, bucket),
            event: checked,
            bucket,
        })
    }

    /// Which of these events were not recorded under their keys before.
    async fn take_keys(
        &mut self,
        subject: &str,
        placed: &[(usize, Placed<'_>)],
        now: Timestamp,
    ) -> Result<Vec<bool>, MeterError> {
        let mut fresh = vec![true; placed.len()];
        let mut order: Vec<usize> = (0..placed.len()).collect();
        order.sort_by_key(|at| placed.get(*at).and_then(|(_, placed)| placed.event.key));
        for at in order {
            if let (Some((_, placed)), Some(fresh)) = (placed.get(at), fresh.get_mut(at)) {
                *fresh = self.take_key(subject, placed, now).await?;
            }
        }
        Ok(fresh)
    }

    async fn take_key(
        &mut self,
        subject: &str,
        placed: &Placed<'_>,
        now: Timestamp,
    ) -> Result<bool, MeterError> {
        let Some(key) = placed.event.key else {
            return Ok(true);
        };
        let row = KeyRow {
            metric: placed.event.metric.name.to_string(),
            amount: placed.event.amount(),
            at: placed.event.at,
        };
        self.rows
            .take_key(subject, key, &row, now.as_microsecond())
            .await
    }

    /// The bucket that an event was recorded in before, under its key.
    async fn placed_before<'e>(
        &mut self,
        subject: &str,
        again: Placed<'e>,
    ) -> Result<Placed<'e>, MeterError> {
        let key = again.event.key.unwrap_or_default();
        let row = self.rows.key(subject, key).await?;
        let metric = again.event.metric;
        match row {
            Some(row) if *row.metric == *metric.name && row.amount == again.event.amount() => {
                let bucket = Stretch::of(metric.period, time(row.at)?)?;
                Ok(Placed {
                    place: Place::new(subject, metric, bucket),
                    bucket,
                    ..again
                })
            }
            _ => Err(MeterError::KeyReused(key.to_owned())),
        }
    }

    /// Which of these events bring a value that their bucket did not have.
    async fn add_values(
        &mut self,
        placed: &[(usize, Placed<'_>)],
        fresh: &[bool],
    ) -> Result<Vec<bool>, MeterError> {
        let mut new = vec![true; placed.len()];
        let mut order: Vec<usize> = (0..placed.len()).collect();
        order.sort_by_key(|at| {
            placed
                .get(*at)
                .map(|(_, placed)| (&placed.place, placed.event.value))
        });
        for at in order {
            if let (Some((_, placed)), Some(true), Some(new)) =
                (placed.get(at), fresh.get(at), new.get_mut(at))
                && let Some(value) = placed.event.value
            {
                *new = self.rows.add_value(&placed.place, value).await?;
            }
        }
        Ok(new)
    }

    /// Takes an event into its aggregate and keeps it. None when the ceiling forbids it. Returns
    /// the aggregate, and the event's number.
    async fn count(
        &mut self,
        placed: &Placed<'_>,
        is_new: bool,
        ceiling: i64,
        now: Timestamp,
    ) -> Result<Option<(i64, i64)>, MeterError> {
        let event = &placed.event;
        let rise = Rise {
            aggregate: event.metric.aggregate,
            quantity: if is_new { event.quantity } else { 0 },
            at: event.at,
            // Who takes nothing takes it also from what is used up.
            ceiling: if is_new { ceiling } else { i64::MAX },
        };
        let new = NewEvent {
            quantity: event.quantity,
            value: event.value,
            recorded_at: now.as_microsecond(),
        };
        let counted = self.rows.count(&placed.place, rise, &new).await?;
        Ok(counted.map(|raised| (raised.value, raised.nth)))
    }
}

fn unsigned(value: i64, subject: &str, metric: &Metric) -> Result<u64, MeterError> {
    u64::try_from(value).map_err(|_| MeterError::Damaged {
        subject: subject.to_owned(),
        metric: metric.name.to_string(),
    })
}

fn overflow(metric: &Metric) -> MeterError {
    MeterError::Overflow(metric.name.to_string())
}

fn recorded_in(placed: &Placed<'_>, used: i64, repeated: bool) -> Result<Recorded, MeterError> {
    let metric = placed.event.metric;
    Ok(Recorded {
        metric: Arc::clone(&metric.name),
        used: unsigned(used, &placed.place.subject, metric)?,
        unit: Arc::clone(&metric.unit),
        bucket: placed.bucket,
        repeated,
    })
}

fn consumed(
    placed: &Placed<'_>,
    used: i64,
    cap: Cap,
    allowed: bool,
    receipt: Option<Receipt>,
) -> Result<Consumed, MeterError> {
    let metric = placed.event.metric;
    let used = unsigned(used, &placed.place.subject, metric)?;
    Ok(Consumed {
        allowed,
        used,
        limit: cap.limit,
        remaining: cap.limit.remaining(used),
        unit: Arc::clone(&metric.unit),
        state: if allowed {
            cap.judge_after(used)
        } else {
            CapState::Hard
        },
        notify: false,
        bucket: placed.bucket,
        receipt,
    })
}
