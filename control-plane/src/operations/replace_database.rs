//! Another copy of the database is in place than the one that gates know.

use jiff::Timestamp;
use serde_json::Value;

use crate::domain::{Event, Requester};
use crate::store::{Recorded, StoreError, Tx};

/// Writes down that the database was replaced, by `action`, and has gates follow it: they never go
/// back, so the numbers of changes go on above all that they may have seen. `seen` is the newest
/// one that is known of. No database counts a change a microsecond, so the time in microseconds
/// is above the others, and above that of every earlier replacement.
pub async fn note_replacement(
    tx: &mut Tx,
    now: Timestamp,
    action: &'static str,
    before: Option<Value>,
    after: Value,
    seen: i64,
) -> Result<Recorded<()>, StoreError> {
    tx.skip_changes(now.as_microsecond().max(seen)).await?;
    let event = Event {
        before,
        after: Some(after),
        concerns_gates: true,
        ..Event::new(action, &"database")
    };
    tx.record(&Requester::system(), now, event, ()).await
}
