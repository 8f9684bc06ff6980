//! Work that runs once, however many ask for it. It runs on a task of its own, so that it goes on
//! when the one who began it goes away; those who wait share what comes of it, a failure too.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

/// The work under way, by what it is about.
pub(crate) struct Flights<K, T>(Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>);

/// The work ended without a result: it panicked, or the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the work was broken off")]
pub(crate) struct BrokenOff;

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// What comes of the work that runs under this key, or of `work`, if none does.
    pub(crate) async fn join<F>(&self, key: K, work: impl FnOnce() -> F) -> Result<T, BrokenOff>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut result = self.begin(key, work);
        let ended = result.wait_for(Option::is_some).await;
        ended
            .ok()
            .and_then(|result| result.clone())
            .ok_or(BrokenOff)
    }

    /// Begins the work, unless it runs already.
    pub(crate) fn begin<F>(&self, key: K, work: impl FnOnce() -> F) -> watch::Receiver<Option<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut running = lock(&self.0);
        if let Some(result) = running.get(&key) {
            return result.clone();
        }
        let (sender, receiver) = watch::channel(None);
        running.insert(key.clone(), receiver.clone());
        drop(running);
        let landing = Landing {
            running: Arc::clone(&self.0),
            key,
        };
        let work = work();
        tokio::spawn(async move {
            let result = work.await;
            // Whoever asks from now on begins anew, and must not find what has just ended.
            drop(landing);
            sender.send_replace(Some(result));
        });
        receiver
    }
}

/// Takes the work off the list when it ends, by a panic as well.
struct Landing<K: Eq + Hash, T> {
    running: Arc<Mutex<HashMap<K, watch::Receiver<Option<T>>>>>,
    key: K,
}

impl<K: Eq + Hash, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.key);
    }
}

/// No code that can panic runs under the lock.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[derive(Default)]
    struct Work {
        begun: AtomicUsize,
        gate: Notify,
    }

    impl Work {
        async fn run(self: Arc<Self>, result: Result<u8, u8>) -> Result<u8, u8> {
            self.begun.fetch_add(1, Ordering::SeqCst);
            self.gate.notified().await;
            result
        }
    }

    async fn settle() {
        for _ in 0..1000 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn all_who_wait_share_one_result_or_one_failure() {
        let (flights, work) = (Arc::new(Flights::new()), Arc::new(Work::default()));
        for expected in [Ok(1), Err(2)] {
            let asked: Vec<_> = (0..50)
                .map(|_| {
                    let (flights, work) = (Arc::clone(&flights), Arc::clone(&work));
                    tokio::spawn(async move { flights.join("x", || work.run(expected)).await })
                })
                .collect();
            settle().await;
            work.gate.notify_one();
            for ask in asked {
                assert_eq!(ask.await.unwrap(), Ok(expected));
            }
        }
        assert_eq!(work.begun.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn the_work_goes_on_when_the_one_who_began_it_goes_away() {
        let (flights, work) = (Arc::new(Flights::new()), Arc::new(Work::default()));
        let ask = || {
            let (flights, work) = (Arc::clone(&flights), Arc::clone(&work));
            tokio::spawn(async move { flights.join("x", || work.run(Ok(1))).await })
        };
        let first = ask();
        settle().await;
        let second = ask();
        settle().await;
        first.abort();
        settle().await;
        work.gate.notify_one();
        assert_eq!(second.await.unwrap(), Ok(Ok(1)));
        assert_eq!(work.begun.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_panic_is_told_and_not_waited_for_again() {
        let flights = Flights::<_, u8>::new();
        let broken = flights.join("x", || async { panic!("on purpose") }).await;
        assert_eq!(broken, Err(BrokenOff));
        assert_eq!(flights.join("x", || async { 1 }).await, Ok(1));
    }
}
