//! Usage: how long its events are kept, and what is said of an event that is refused.

use entitlements::meter::MeterError;
use jiff::SignedDuration;

use super::{FieldError, Refusal};

/// How long events and their idempotency keys are kept. Aggregates stay for good; older ones are
/// no longer made anew by a rebuild.
pub const EVENTS_KEPT: SignedDuration = SignedDuration::from_hours(100 * 24);
/// The most events of one request.
pub const EVENTS_MAX: usize = 100;

/// What a meter's refusal is to the caller, or the fault that it is.
pub fn refusal(error: MeterError) -> Result<Refusal, MeterError> {
    Ok(match error {
        fault if fault.is_fault() => return Err(fault),
        MeterError::UnknownMetric { unknown, known } => Refusal::UnknownMetrics {
            metrics: unknown,
            valid: known,
        },
        MeterError::NotConsumable(metric) => Refusal::NotConsumable(metric),
        MeterError::KeyReused(key) => Refusal::UsageKeyReused(key),
        MeterError::Forgotten(until) => Refusal::UsageForgotten(until),
        MeterError::EmptyWindow | MeterError::OutOfTime => invalid("window", &error),
        MeterError::NotASubject(_) => invalid("id", &error),
        MeterError::Nothing => invalid("quantity", &error),
        _ => invalid("events", &error),
    })
}

fn invalid(field: &'static str, error: &MeterError) -> Refusal {
    Refusal::InvalidFields(vec![FieldError::new(field, format!("cannot be: {error}"))])
}
