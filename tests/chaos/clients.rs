//! Clients that write without a pause, and know what they were promised.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use control_plane::store::{Database, Store, audit};
use futures_util::future::join_all;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tests::{Ledger, Reader};

/// A failing test ends after this time.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Numbers that look random and are the same each time.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// A license that a client issued, as it must be.
struct License {
    id: String,
    key: String,
    n: u64,
    /// Boxes by fingerprint.
    boxes: BTreeMap<String, String>,
}

#[derive(Clone)]
enum Change {
    Issue,
    Note(usize, u64),
    Activate(usize, String),
    Release(usize, String),
}

#[derive(Clone)]
struct Request {
    change: Change,
    idempotency_key: String,
}

/// One client, with licenses that nobody else touches.
pub struct Worker {
    name: String,
    client: Client,
    operator: String,
    random: Random,
    sent: u64,
    licenses: Vec<License>,
    /// Sent and not answered.
    pending: Option<Request>,
    /// Answered last, and how.
    answered: Option<(Request, String)>,
    retried: u64,
}

impl Worker {
    fn new(nth: u64, operator: &str) -> Self {
        Self {
            name: format!("w{nth}"),
            client: tests::people::client(),
            operator: operator.to_owned(),
            random: Random(0x9e37_79b9_7f4a_7c15 ^ (nth + 1)),
            sent: 0,
            licenses: Vec::new(),
            pending: None,
            answered: None,
            retried: 0,
        }
    }

    fn choose(&mut self) -> Request {
        self.sent += 1;
        let license = |random: &mut Random, all: &[License]| {
            usize::try_from(random.below(all.len() as u64)).unwrap()
        };
        let change = match self.random.below(10) {
            _ if self.licenses.is_empty() => Change::Issue,
            0 => Change::Issue,
            1..4 => Change::Note(license(&mut self.random, &self.licenses), self.sent),
            kind => {
                let nth = license(&mut self.random, &self.licenses);
                let taken = self.licenses[nth].boxes.keys().next();
                match taken {
                    Some(fingerprint) if kind > 6 => Change::Release(nth, fingerprint.clone()),
                    _ => Change::Activate(nth, format!("{}-{}", self.name, self.sent)),
                }
            }
        };
        Request {
            change,
            idempotency_key: format!("{}-{}", self.name, self.sent),
        }
    }

    /// Sends a request. None where nobody knows what became of it.
    async fn send(&self, url: &str, request: &Request) -> Option<(bool, String)> {
        let (method, path, body) = match &request.change {
            Change::Issue => {
                let body = json!({ "customerId": self.name, "tier": "enterprise", "maxBoxes": 9 });
                (Method::POST, "/v1/licenses".to_owned(), body)
            }
            Change::Note(nth, n) => {
                let path = format!("/v1/licenses/{}", self.licenses[*nth].id);
                let body = json!({ "metadata": { "n": n.to_string() } });
                (Method::PATCH, path, body)
            }
            Change::Activate(nth, fingerprint) => {
                let key = &self.licenses[*nth].key;
                let body = json!({ "key": key, "box": { "fingerprint": fingerprint } });
                (Method::POST, "/v1/activate".to_owned(), body)
            }
            Change::Release(nth, fingerprint) => {
                let key = &self.licenses[*nth].key;
                let body = json!({ "key": key, "box": { "fingerprint": fingerprint } });
                (Method::POST, "/v1/deactivate".to_owned(), body)
            }
        };
        let sending = self.client.request(method, format!("{url}{path}"));
        let sending = sending
            .bearer_auth(&self.operator)
            .header("idempotency-key", &request.idempotency_key)
            .json(&body);
        let response = sending.send().await.ok()?;
        let status = response.status().as_u16();
        let replayed = response.headers().contains_key("idempotency-replayed");
        let text = response.text().await.ok()?;
        match status {
            200 | 201 => Some((replayed, text)),
            503 => None,
            409 if text.contains("idempotency_key_in_use") => None,
            403 if text.contains("box_limit_reached") => Some((replayed, String::new())),
            _ => panic!("{path}: {status} {text}"),
        }
    }

    /// Makes one change, or tries again what was not answered. Returns whether it was answered.
    async fn step(&mut self, url: &str) -> bool {
        let again = self.pending.is_some();
        let request = self.pending.take().unwrap_or_else(|| self.choose());
        self.retried += u64::from(again);
        let Some((_, text)) = self.send(url, &request).await else {
            self.pending = Some(request);
            return false;
        };
        if !text.is_empty() {
            self.apply(&request.change, &serde_json::from_str(&text).unwrap());
            self.answered = Some((request, text));
        }
        true
    }

    /// It was promised.
    fn apply(&mut self, change: &Change, answer: &Value) {
        let text = |name: &str| answer[name].as_str().unwrap().to_owned();
        match change {
            Change::Issue => self.licenses.push(License {
                id: text("id"),
                key: text("key"),
                n: 0,
                boxes: BTreeMap::new(),
            }),
            Change::Note(nth, n) => self.licenses[*nth].n = *n,
            Change::Activate(nth, fingerprint) => {
                let boxes = &mut self.licenses[*nth].boxes;
                assert!(boxes.insert(fingerprint.clone(), text("boxId")).is_none());
            }
            Change::Release(nth, fingerprint) => {
                let id = self.licenses[*nth].boxes.remove(fingerprint);
                assert_eq!(id, Some(text("boxId")));
            }
        }
    }

    async fn work(&mut self, url: &str, stop: &AtomicBool, acknowledged: &AtomicU64) {
        while !stop.load(Ordering::SeqCst) {
            if self.step(url).await {
                acknowledged.fetch_add(1, Ordering::SeqCst);
            } else {
                // Refused connections would otherwise take the whole processor.
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    /// Learns what became of the request that was not answered, and asks again for the last
    /// answer, which must be the same.
    async fn settle(&mut self, url: &str) {
        let begun = Instant::now();
        while self.pending.is_some() {
            self.step(url).await;
            assert!(begun.elapsed() < PATIENCE, "no answer");
        }
        if let Some((request, text)) = &self.answered {
            let again = self.send(url, request).await.expect("an answer");
            assert_eq!(again, (true, text.clone()), "another answer to the same");
        }
    }
}

/// Sixteen clients.
pub struct Clients {
    workers: Vec<Worker>,
    acknowledged: Arc<AtomicU64>,
    ledger: Ledger,
}

/// Clients that write.
pub struct Working {
    tasks: Vec<tokio::task::JoinHandle<Worker>>,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicU64>,
    ledger: Ledger,
}

impl Clients {
    pub fn new(operator: &str) -> Self {
        Self {
            workers: (0..16).map(|nth| Worker::new(nth, operator)).collect(),
            acknowledged: Arc::default(),
            ledger: Ledger::default(),
        }
    }

    pub fn start(self, url: &str) -> Working {
        let stop = Arc::<AtomicBool>::default();
        let tasks = self.workers.into_iter().map(|mut worker| {
            let (url, stop) = (url.to_owned(), Arc::clone(&stop));
            let acknowledged = Arc::clone(&self.acknowledged);
            tokio::spawn(async move {
                worker.work(&url, &stop, &acknowledged).await;
                worker
            })
        });
        Working {
            tasks: tasks.collect(),
            stop,
            acknowledged: self.acknowledged,
            ledger: self.ledger,
        }
    }

    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    pub fn retried(&self) -> u64 {
        self.workers.iter().map(|worker| worker.retried).sum()
    }

    /// Lets all learn what they do not know yet.
    pub async fn settle(&mut self, url: &str) {
        join_all(self.workers.iter_mut().map(|worker| worker.settle(url))).await;
    }

    /// Everything that was promised is there and nothing else, and the log tells the same.
    pub fn compare(&mut self, sql: &Reader) {
        self.ledger.read_on(sql);
        self.ledger.compare(sql);
        let all = || self.workers.iter().flat_map(|worker| &worker.licenses);
        let notes = |n: u64| match n {
            0 => json!({}),
            n => json!({ "n": n.to_string() }),
        };
        let promised: BTreeMap<&str, Value> = all().map(|l| (l.id.as_str(), notes(l.n))).collect();
        let found: BTreeMap<&str, Value> = self
            .ledger
            .licenses
            .iter()
            .map(|(id, state)| (id.as_str(), state["metadata"].clone()))
            .collect();
        assert_eq!(found, promised, "licenses");
        let promised: BTreeMap<String, String> = all()
            .flat_map(|license| {
                license
                    .boxes
                    .values()
                    .map(|id| (id.clone(), license.id.clone()))
            })
            .collect();
        assert_eq!(self.ledger.boxes, promised, "boxes");
    }
}

impl Working {
    /// How many requests were answered, ever.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    /// Waits until so many more were answered.
    pub async fn until_acknowledged(&self, more: u64) {
        let (target, begun) = (self.acknowledged() + more, Instant::now());
        while self.acknowledged() < target {
            assert!(begun.elapsed() < PATIENCE, "the clients get no answers");
            let broken = self.tasks.iter().any(tokio::task::JoinHandle::is_finished);
            assert!(!broken, "a client failed");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    pub async fn stop(self) -> Clients {
        self.stop.store(true, Ordering::SeqCst);
        let workers = join_all(self.tasks).await;
        Clients {
            workers: workers.into_iter().map(Result::unwrap).collect(),
            acknowledged: self.acknowledged,
            ledger: self.ledger,
        }
    }
}

/// Checks the chain of the audit log with the key in the data directory.
pub async fn assert_chain_holds(database: Database, data: &std::path::Path) {
    let text = std::fs::read_to_string(data.join("hash-key")).unwrap();
    let bytes = data_encoding::HEXLOWER.decode(text.trim_end().as_bytes());
    let bytes = bytes.unwrap().try_into().unwrap();
    let key = activation_token::credential::HashKey::from_bytes(bytes);
    let store = Store::new(database, &key).await.unwrap();
    let mut conn = store.read().await.unwrap();
    let checked = audit::verify(&mut conn, store.chain(), &[]).await;
    checked.unwrap().expect("a sound log");
    drop(conn);
    store.close().await;
}
