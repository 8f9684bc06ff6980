//! Usage in memory: for tests, and for services that may forget.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Ready, ready};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use manifest::Aggregate;

use super::MeterError;
use super::rows::{Answer, EventRow, KeyRow, Place, Raised, Rise, Rows};

/// Usage that lasts as long as the process. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Memory(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    aggregates: BTreeMap<Place, Aggregated>,
    events: BTreeMap<EventKey, EventRow>,
    values: BTreeSet<(Place, String)>,
    keys: BTreeMap<(String, String), (KeyRow, i64)>,
    horizon: Option<i64>,
}

/// Subject, metric, time, rule and number.
type EventKey = (String, Arc<str>, i64, String, i64);

#[derive(Debug, Clone, Copy)]
struct Aggregated {
    value: i64,
    last_at: i64,
    events: i64,
    marked: bool,
}

/// The rows while one change works on them, and how to take it back.
#[derive(Debug)]
pub struct MemoryRows<'s> {
    state: &'s mut State,
    undo: Vec<Undo>,
}

/// What stood there before.
#[derive(Debug)]
enum Undo {
    Aggregate(Place, Option<Aggregated>),
    Event(EventKey, Option<EventRow>),
    Value((Place, String), bool),
    Key((String, String), Option<(KeyRow, i64)>),
}

impl Memory {
    /// Does some work as one change: it stands whole, or not at all when it fails.
    pub(super) fn change<T>(
        &self,
        work: impl AsyncFnOnce(&mut MemoryRows<'_>) -> Result<T, MeterError>,
    ) -> Ready<Result<T, MeterError>> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rows = MemoryRows {
            state: &mut state,
            undo: Vec::new(),
        };
        let result = at_once(work(&mut rows));
        if result.is_err() {
            rows.take_back();
        }
        ready(result)
    }
}

/// The result of work that never waits: there is nothing here to wait for.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    loop {
        if let Poll::Ready(done) = work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return done;
        }
    }
}

impl MemoryRows<'_> {
    fn take_back(&mut self) {
        while let Some(undo) = self.undo.pop() {
            match undo {
                Undo::Aggregate(place, before) => set(&mut self.state.aggregates, place, before),
                Undo::Event(key, before) => set(&mut self.state.events, key, before),
                Undo::Key(key, before) => set(&mut self.state.keys, key, before),
                Undo::Value(value, true) => {
                    self.state.values.insert(value);
                }
                Undo::Value(value, false) => {
                    self.state.values.remove(&value);
                }
            }
        }
    }

    fn set_aggregate(&mut self, place: &Place, to: Aggregated) {
        let before = self.state.aggregates.insert(place.clone(), to);
        self.undo.push(Undo::Aggregate(place.clone(), before));
    }

    fn has_value(&self, place: &Place, value: &str) -> bool {
        let entry = (place.clone(), value.to_owned());
        self.state.values.contains(&entry)
    }
}

fn set<K: Ord, V>(map: &mut BTreeMap<K, V>, key: K, to: Option<V>) {
    match to {
        Some(value) => map.insert(key, value),
        None => map.remove(&key),
    };
}

fn same_metric(a: &Place, b: &Place) -> bool {
    (&a.subject, &a.metric) == (&b.subject, &b.metric)
}

impl Rows for &mut MemoryRows<'_> {
    async fn take_key(&mut self, subject: &str, key: &str, row: &KeyRow, now: i64) -> Answer<bool> {
        let name = (subject.to_owned(), key.to_owned());
        if self.state.keys.contains_key(&name) {
            return Ok(false);
        }
        self.state.keys.insert(name.clone(), (row.clone(), now));
        self.undo.push(Undo::Key(name, None));
        Ok(true)
    }

    async fn key(&mut self, subject: &str, key: &str) -> Answer<Option<KeyRow>> {
        let name = (subject.to_owned(), key.to_owned());
        Ok(self.state.keys.get(&name).map(|(row, _)| row.clone()))
    }

    async fn drop_key(&mut self, subject: &str, key: &str) -> Answer<()> {
        let name = (subject.to_owned(), key.to_owned());
        let before = self.state.keys.remove(&name);
        self.undo.push(Undo::Key(name, before));
        Ok(())
    }

    async fn add_value(&mut self, place: &Place, value: &str) -> Answer<bool> {
        let is_new = !self.has_value(place, value);
        if is_new {
            let entry = (place.clone(), value.to_owned());
            self.state.values.insert(entry.clone());
            self.undo.push(Undo::Value(entry, false));
        }
        Ok(is_new)
    }

    async fn drop_value(&mut self, place: &Place, value: &str) -> Answer<()> {
        let entry = (place.clone(), value.to_owned());
        let was = self.state.values.remove(&entry);
        self.undo.push(Undo::Value(entry, was));
        Ok(())
    }

    async fn raise(&mut self, place: &Place, rise: Rise) -> Answer<Option<Raised>> {
        let Rise { quantity, at, .. } = rise;
        let before = self.state.aggregates.get(place).copied();
        let old = before.unwrap_or(Aggregated {
            value: 0,
            last_at: place.from,
            events: 0,
            marked: false,
        });
        let value = match rise.aggregate {
            Aggregate::Sum | Aggregate::Unique => match old.value.checked_add(quantity) {
                Some(sum) if sum <= rise.ceiling => sum,
                _ => return Ok(None),
            },
            Aggregate::Max => old.value.max(quantity),
            Aggregate::Last if at >= old.last_at => quantity,
            Aggregate::Last => old.value,
        };
        let raised = Raised {
            value,
            nth: old.events.saturating_add(1),
        };
        self.set_aggregate(
            place,
            Aggregated {
                value,
                last_at: old.last_at.max(at),
                events: raised.nth,
                ..old
            },
        );
        Ok(Some(raised))
    }

    async fn lower(&mut self, place: &Place, quantity: i64) -> Answer<()> {
        if let Some(old) = self.state.aggregates.get(place).copied() {
            let value = old.value.saturating_sub(quantity).max(0);
            self.set_aggregate(place, Aggregated { value, ..old });
        }
        Ok(())
    }

    async fn value(&mut self, place: &Place) -> Answer<i64> {
        Ok(self.state.aggregates.get(place).map_or(0, |row| row.value))
    }

    async fn mark(&mut self, place: &Place, _: i64) -> Answer<bool> {
        match self.state.aggregates.get(place).copied() {
            Some(old) if !old.marked => {
                let marked = true;
                self.set_aggregate(place, Aggregated { marked, ..old });
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn add_event(&mut self, place: &Place, event: &EventRow, _: i64) -> Answer<()> {
        let key = event_key(place, event.at, &event.rule, event.nth);
        self.state.events.insert(key.clone(), event.clone());
        self.undo.push(Undo::Event(key, None));
        Ok(())
    }

    async fn drop_event(&mut self, place: &Place, at: i64, nth: i64) -> Answer<bool> {
        let key = event_key(place, at, &place.rule, nth);
        let before = self.state.events.remove(&key);
        let was = before.is_some();
        self.undo.push(Undo::Event(key, before));
        Ok(was)
    }

    async fn of_events(&mut self, place: &Place, aggregate: Aggregate) -> Answer<i64> {
        let from = event_key(place, place.from, "", 0);
        let to = event_key(place, place.to, "", 0);
        let mut found = self.state.events.range(from..to).map(|(_, event)| event);
        let amount = |event: &EventRow| event.quantity;
        Ok(match aggregate {
            Aggregate::Sum => sum(place, found.map(amount))?,
            Aggregate::Max => found.map(amount).max().unwrap_or(0),
            Aggregate::Last => found.next_back().map_or(0, amount),
            Aggregate::Unique => {
                let values: BTreeSet<&str> =
                    found.filter_map(|event| event.value.as_deref()).collect();
                i64::try_from(values.len()).unwrap_or(i64::MAX)
            }
        })
    }

    async fn of_buckets(&mut self, place: &Place, aggregate: Aggregate) -> Answer<i64> {
        let found = self.state.aggregates.iter().filter(|(other, _)| {
            same_metric(other, place)
                && other.rule == place.rule
                && (place.from..place.to).contains(&other.from)
        });
        let mut values = found.map(|(_, row)| row.value);
        Ok(match aggregate {
            Aggregate::Sum | Aggregate::Unique => sum(place, values)?,
            Aggregate::Max => values.max().unwrap_or(0),
            Aggregate::Last => values.next_back().unwrap_or(0),
        })
    }

    async fn horizon(&mut self) -> Answer<Option<i64>> {
        Ok(self.state.horizon)
    }

    async fn prune(&mut self, until: i64) -> Answer<()> {
        let horizon = self.state.horizon.map_or(until, |before| before.max(until));
        self.state.horizon = Some(horizon);
        self.state.events.retain(|_, event| event.at >= until);
        self.state.values.retain(|(place, _)| place.to > until);
        self.state.keys.retain(|_, (_, kept_at)| *kept_at >= until);
        Ok(())
    }

    async fn hold(&mut self) -> Answer<()> {
        Ok(())
    }

    async fn subjects(&mut self) -> Answer<Vec<String>> {
        let aggregated = self
            .state
            .aggregates
            .keys()
            .map(|place| place.subject.clone());
        let told = self
            .state
            .events
            .keys()
            .map(|(subject, ..)| subject.clone());
        let all: BTreeSet<String> = aggregated.chain(told).collect();
        Ok(all.into_iter().collect())
    }

    async fn clear(&mut self, from: &Place) -> Answer<()> {
        let concerned = |place: &Place| {
            same_metric(place, from) && place.rule == from.rule && place.from >= from.from
        };
        let places = self
            .state
            .aggregates
            .iter()
            .filter(|(place, _)| concerned(place));
        let places: Vec<_> = places.map(|(place, row)| (place.clone(), *row)).collect();
        for (place, old) in places {
            let last_at = place.from;
            self.set_aggregate(
                &place,
                Aggregated {
                    value: 0,
                    last_at,
                    ..old
                },
            );
        }
        let values = self
            .state
            .values
            .iter()
            .filter(|(place, _)| concerned(place));
        for entry in values.cloned().collect::<Vec<_>>() {
            self.state.values.remove(&entry);
            self.undo.push(Undo::Value(entry, true));
        }
        Ok(())
    }

    async fn events(&mut self, place: &Place, after: Option<&EventRow>) -> Answer<Vec<EventRow>> {
        let from = event_key(place, place.from, "", 0);
        let to = event_key(place, place.to, "", 0);
        // All at once: they are here already.
        Ok(match after {
            Some(_) => Vec::new(),
            None => self
                .state
                .events
                .range(from..to)
                .map(|(_, event)| event.clone())
                .collect(),
        })
    }

    async fn put(&mut self, place: &Place, value: i64, last_at: i64, nth: i64) -> Answer<()> {
        let old = self.state.aggregates.get(place).copied();
        self.set_aggregate(
            place,
            Aggregated {
                value,
                last_at,
                events: old.map_or(nth, |old| old.events.max(nth)),
                marked: old.is_some_and(|old| old.marked),
            },
        );
        Ok(())
    }
}

fn event_key(place: &Place, at: i64, rule: &str, nth: i64) -> EventKey {
    let subject = place.subject.clone();
    (subject, Arc::clone(&place.metric), at, rule.to_owned(), nth)
}

fn sum(place: &Place, mut values: impl Iterator<Item = i64>) -> Answer<i64> {
    let sum = values.try_fold(0_i64, i64::checked_add);
    sum.ok_or_else(|| MeterError::Overflow(place.metric.to_string()))
}
