//! The state that the audit log tells of, to be compared with the tables: where the two differ,
//! a change was half done.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::reader::Reader;

/// What follows from the audit rows that were read so far.
#[derive(Debug, Default)]
pub struct Ledger {
    /// The newest row.
    pub sequence: i64,
    /// Each license as its last audit row left it.
    pub licenses: BTreeMap<String, Value>,
    /// Each box that activated and was not released, with its license.
    pub boxes: BTreeMap<String, String>,
    released: BTreeSet<String>,
    credentials: BTreeSet<String>,
    /// The most boxes that each license had at once.
    pub most_boxes: BTreeMap<String, usize>,
}

impl Ledger {
    /// Reads what was added to the log, without gaps, and checks each row against the state
    /// before it: nobody got a seat over the limit of the moment.
    pub fn read_on(&mut self, sql: &Reader) {
        let columns = ["sequence", "action", "subject", "before", "after"];
        let rest = format!("audit WHERE sequence > {} ORDER BY sequence", self.sequence);
        for row in sql.rows(&columns, &rest) {
            self.sequence += 1;
            assert_eq!(row["sequence"], self.sequence, "the log has a gap");
            let state = |column: &str| {
                let text = row[column].as_str().unwrap_or("null");
                serde_json::from_str::<Value>(text).expect("JSON in the log")
            };
            let subject = row["subject"].as_str().unwrap();
            self.replay(
                row["action"].as_str().unwrap(),
                subject,
                &state("before"),
                state("after"),
            );
        }
    }

    fn replay(&mut self, action: &str, subject: &str, before: &Value, after: Value) {
        match action {
            "license.issue" => {
                let old = self.licenses.insert(subject.to_owned(), after);
                assert!(old.is_none(), "{subject} was issued twice");
            }
            "license.change" | "license.suspend" | "license.reinstate" | "license.revoke" => {
                assert_eq!(self.licenses[subject], *before, "{subject} was another");
                self.licenses.insert(subject.to_owned(), after);
            }
            "license.activate" | "license.sign_request" => {
                if let Some(id) = after["boxId"].as_str() {
                    self.seat(id, subject);
                }
            }
            "box.deactivate" | "box.release" => {
                let id = before["boxId"].as_str().unwrap();
                assert_eq!(self.boxes.remove(id).as_deref(), Some(subject));
                assert!(self.released.insert(id.to_owned()));
            }
            "credential.create" => {
                assert!(self.credentials.insert(subject.to_owned()));
            }
            _ => {}
        }
    }

    fn seat(&mut self, id: &str, license: &str) {
        if self.boxes.contains_key(id) {
            return;
        }
        self.boxes.insert(id.to_owned(), license.to_owned());
        let taken = self.boxes.values().filter(|l| *l == license).count();
        if let Some(limit) = self.licenses[license]["maxBoxes"].as_u64() {
            assert!(taken as u64 <= limit, "{taken} of {limit} seats are taken");
        }
        let most = self.most_boxes.entry(license.to_owned()).or_default();
        *most = taken.max(*most);
    }

    /// Compares with the tables, both ways.
    pub fn compare(&self, sql: &Reader) {
        let number = sql.lines("SELECT value FROM counters WHERE name = 'audit'");
        assert_eq!(number, [self.sequence.to_string()], "the counter");
        let columns = [
            "id",
            "customer_id",
            "tier",
            "status",
            "max_boxes",
            "metadata",
        ];
        let licenses: BTreeMap<String, Value> = sql
            .rows(&columns, "licenses")
            .into_iter()
            .map(|row| {
                let metadata = row["metadata"].as_str().unwrap();
                let metadata: Value = serde_json::from_str(metadata).unwrap();
                let state = json!([
                    row["customer_id"],
                    row["tier"],
                    row["status"],
                    row["max_boxes"],
                    metadata
                ]);
                (row["id"].as_str().unwrap().to_owned(), state)
            })
            .collect();
        let told: BTreeMap<String, Value> = self
            .licenses
            .iter()
            .map(|(id, state)| {
                let members = ["customerId", "tier", "decision", "maxBoxes", "metadata"];
                (id.clone(), members.map(|name| state[name].clone()).into())
            })
            .collect();
        assert_eq!(licenses, told, "table licenses and the log");
        let boxes: BTreeMap<String, String> = sql
            .rows(&["id", "license_id"], "boxes")
            .into_iter()
            .map(|row| {
                let text = |name: &str| row[name].as_str().unwrap().to_owned();
                (text("id"), text("license_id"))
            })
            .collect();
        assert_eq!(boxes, self.boxes, "table boxes and the log");
        let ids = |table| BTreeSet::from_iter(sql.lines(&format!("SELECT id FROM {table}")));
        assert_eq!(ids("released_boxes"), self.released, "released boxes");
        assert_eq!(ids("credentials"), self.credentials, "credentials");
    }
}
