//! Whose tokens no longer count, compiled for look-ups: one or two a request, however many
//! there are.

use std::collections::HashMap;

use activation_token::snapshot::{self, RevokedBecause};
use jiff::Timestamp;

/// The revocations of a snapshot.
pub(crate) struct Revocations {
    licenses: HashMap<String, (Timestamp, RevokedBecause)>,
    boxes: HashMap<String, Timestamp>,
}

/// Why a token no longer counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// Its license is revoked for good.
    License,
    /// Its license is suspended.
    Suspended,
    /// Its box was released.
    Box,
    /// Its license grants something else since.
    Superseded,
    /// It is of another license than the bundle that is served.
    NotOfBundle,
}

impl Revocations {
    /// Takes a snapshot's lists. Where an id stands twice, the later time and the graver reason
    /// hold, so that no entry opens what another closes.
    pub(crate) fn compile(lists: snapshot::Revocations) -> Self {
        let mut licenses = HashMap::with_capacity(lists.licenses.len());
        for entry in lists.licenses {
            let held = licenses
                .entry(entry.id)
                .or_insert((entry.issued_until, entry.why));
            *held = (held.0.max(entry.issued_until), held.1.max(entry.why));
        }
        let mut boxes = HashMap::with_capacity(lists.boxes.len());
        for entry in lists.boxes {
            let held = boxes.entry(entry.id).or_insert(entry.issued_until);
            *held = entry.issued_until.max(*held);
        }
        Self { licenses, boxes }
    }

    /// Whether a token no longer counts. Of two reasons it tells the one that activating again
    /// does not help, and of two that it helps the one that says more.
    pub(crate) fn find(
        &self,
        license_id: &str,
        box_id: Option<&str>,
        issued_at: Timestamp,
    ) -> Option<Revoked> {
        let license = self.licenses.get(license_id);
        let license = license.filter(|(until, _)| issued_at <= *until);
        let of_box = box_id.and_then(|id| self.boxes.get(id));
        let released = of_box.is_some_and(|until| issued_at <= *until);
        match license {
            Some((_, RevokedBecause::Revoked)) => Some(Revoked::License),
            Some((_, RevokedBecause::Suspended)) => Some(Revoked::Suspended),
            _ if released => Some(Revoked::Box),
            Some((_, RevokedBecause::Changed)) => Some(Revoked::Superseded),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use activation_token::snapshot::{BoxRevocation, LicenseRevocation};
    use proptest::prelude::*;

    use super::*;

    /// The rule as it would be told to somebody: look at every entry, one after the other.
    fn slowly(
        lists: &snapshot::Revocations,
        license_id: &str,
        box_id: Option<&str>,
        issued_at: Timestamp,
    ) -> Option<Revoked> {
        let of_license = || {
            let entries = lists.licenses.iter();
            entries.filter(|entry| entry.id == license_id)
        };
        let license = of_license().any(|entry| entry.issued_until >= issued_at);
        let because = |why| license && of_license().any(|entry| entry.why == why);
        let released = lists
            .boxes
            .iter()
            .any(|entry| Some(&*entry.id) == box_id && entry.issued_until >= issued_at);
        if because(RevokedBecause::Revoked) {
            return Some(Revoked::License);
        }
        if because(RevokedBecause::Suspended) {
            return Some(Revoked::Suspended);
        }
        if released {
            return Some(Revoked::Box);
        }
        license.then_some(Revoked::Superseded)
    }

    fn lists() -> impl Strategy<Value = snapshot::Revocations> {
        // Few ids and seconds, so that entries meet each other and the tokens.
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let why = prop_oneof![
            Just(RevokedBecause::Changed),
            Just(RevokedBecause::Suspended),
            Just(RevokedBecause::Revoked),
        ];
        let license = (0..6_u8, 0..8_i64, why).prop_map(move |(id, until, why)| {
            let (id, issued_until) = (format!("id-{id}"), at(until));
            LicenseRevocation {
                id,
                issued_until,
                why,
            }
        });
        let of_box = (0..6_u8, 0..8_i64).prop_map(move |(id, until)| BoxRevocation {
            id: format!("id-{id}"),
            issued_until: at(until),
        });
        (
            prop::collection::vec(license, 0..8),
            prop::collection::vec(of_box, 0..8),
        )
            .prop_map(|(licenses, boxes)| snapshot::Revocations { licenses, boxes })
    }

    proptest! {
        #[test]
        fn the_maps_decide_as_the_lists_say(
            lists in lists(),
            license in 0..6_u8,
            of_box in prop::option::of(0..6_u8),
            issued_at in 0..8_i64,
        ) {
            let license = format!("id-{license}");
            let of_box = of_box.map(|id| format!("id-{id}"));
            let issued_at = Timestamp::from_second(issued_at).unwrap();
            let slowly = slowly(&lists, &license, of_box.as_deref(), issued_at);
            let found = Revocations::compile(lists).find(&license, of_box.as_deref(), issued_at);
            prop_assert_eq!(found, slowly);
        }
    }
}
