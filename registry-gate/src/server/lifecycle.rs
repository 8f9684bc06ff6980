//! How a process ends: first it says that it is not ready, so that load balancers send requests
//! elsewhere; then its listeners close and the requests in hand are finished.

use std::time::Duration;

use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Serving,
    Leaving,
    Ending,
}

/// Ends the process's serving.
#[derive(Debug)]
pub struct Stopper(watch::Sender<Phase>);

/// Knows how far the end has come.
#[derive(Debug, Clone)]
pub struct Lifecycle(watch::Receiver<Phase>);

/// A life that has begun, and the one who may end it.
pub fn lifecycle() -> (Stopper, Lifecycle) {
    let (sender, receiver) = watch::channel(Phase::Serving);
    (Stopper(sender), Lifecycle(receiver))
}

impl Stopper {
    /// Takes readiness back at once, and begins the end after `delay`.
    pub async fn stop(&self, delay: Duration) {
        self.0.send_replace(Phase::Leaving);
        tokio::time::sleep(delay).await;
        self.0.send_replace(Phase::Ending);
    }
}

impl Lifecycle {
    /// Whether new requests are welcome: what readiness tells.
    pub fn is_serving(&self) -> bool {
        *self.0.borrow() == Phase::Serving
    }

    /// Over when the listeners close. What would go on for ever, such as a stream of events, ends
    /// here.
    pub async fn ending(mut self) {
        // An error means that the stopper is gone, which is the end as well.
        let _ = self.0.wait_for(|phase| *phase == Phase::Ending).await;
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn readiness_goes_at_once_and_the_listeners_after_the_delay() {
        let (stopper, life) = lifecycle();
        assert!(life.is_serving());
        let delay = Duration::from_hours(1);
        assert!(stopper.stop(delay).now_or_never().is_none());
        assert!(!life.is_serving());
        assert!(life.clone().ending().now_or_never().is_none());
        stopper.stop(Duration::ZERO).await;
        assert!(life.ending().now_or_never().is_some());
    }

    #[tokio::test]
    async fn without_a_stopper_it_is_the_end() {
        let (_, life) = lifecycle();
        assert!(life.ending().now_or_never().is_some());
    }
}
