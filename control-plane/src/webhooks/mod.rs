//! Webhooks out, by Standard Webhooks 1.0.0: a task that tells others what the audit log says.
//!
//! Each webhook has one worker while something is due, and one request on its way at most: one
//! that hangs holds up nobody else. Everything that has to last stands in the database, so a
//! process that dies repeats at most the messages that were on their way, and loses none.

pub mod address;
pub mod message;
mod sender;

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::{Id, JoinSet};

use crate::domain::WebhookId;
use crate::operations::{Error, Operations};
pub use sender::{Sender, TIMEOUT};

/// What is due is looked for this often, beside at each change.
const TICK: Duration = Duration::from_secs(2);
/// After a failure of the database a worker waits.
const RETRY: Duration = Duration::from_secs(5);

/// Tells webhooks.
#[derive(Clone)]
pub struct Dispatcher {
    operations: Arc<Operations>,
    sender: Arc<Sender>,
}

impl Dispatcher {
    /// Tells the webhooks of a control plane, waiting `timeout` for each answer.
    pub fn new(operations: Arc<Operations>, timeout: Duration) -> Result<Self, reqwest::Error> {
        let (reach, clock) = (
            operations.policy.webhook_reach,
            Arc::clone(&operations.clock),
        );
        let sender = Arc::new(Sender::new(reach, timeout, clock)?);
        Ok(Self { operations, sender })
    }

    /// Goes on as long as the process.
    pub async fn run(self) -> Infallible {
        let mut recorded = self.operations.store.changes().recorded();
        let mut workers = JoinSet::new();
        let mut busy: HashMap<Id, WebhookId> = HashMap::new();
        let mut failed = false;
        loop {
            match self.due().await {
                Ok(due) => {
                    failed = false;
                    for id in due {
                        if busy.values().any(|worked_on| *worked_on == id) {
                            continue;
                        }
                        let worker = workers.spawn(self.clone().work(id.clone()));
                        busy.insert(worker.id(), id);
                    }
                }
                Err(error) => {
                    if !failed {
                        tracing::warn!(%error, "webhooks wait: what is due cannot be read");
                    }
                    failed = true;
                }
            }
            tokio::select! {
                Ok(()) = recorded.changed() => {}
                Some(ended) = workers.join_next_with_id() => {
                    let id = ended.map_or_else(|error| error.id(), |(id, ())| id);
                    busy.remove(&id);
                }
                () = tokio::time::sleep(TICK) => {}
            }
        }
    }

    /// Sends all that is due now, and returns when it is sent.
    pub async fn round(&self) -> Result<(), String> {
        let mut workers = JoinSet::new();
        for id in self.due().await? {
            let this = self.clone();
            workers.spawn(async move { this.work_off(&id).await });
        }
        let ended = workers.join_all().await;
        ended.into_iter().collect()
    }

    async fn due(&self) -> Result<Vec<WebhookId>, String> {
        let due = async {
            self.operations.fan_out().await?;
            self.operations.due_webhooks().await
        };
        due.await.map_err(|fault| fault.to_string())
    }

    async fn work(self, id: WebhookId) {
        if let Err(error) = self.work_off(&id).await {
            tracing::warn!(webhook = %id, error, "a webhook waits");
            // What was on its way is repeated.
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Sends one message after the other, until none is due.
    async fn work_off(&self, id: &WebhookId) -> Result<(), String> {
        let mut done = None;
        loop {
            let next = self.operations.next_message(id, done.take()).await;
            let next = next.map_err(|error| match error {
                Error::Refused(refusal) => refusal.to_string(),
                Error::Fault(fault) => fault.to_string(),
            })?;
            let Some(message) = next else {
                return Ok(());
            };
            let answer = self.sender.send(&message).await;
            done = Some(message.answered(answer));
        }
    }
}
