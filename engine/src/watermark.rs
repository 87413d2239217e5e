//! A sequence up to which something holds (durable, applied, stored), published by one thread and waited for by others.
//! It never goes back.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use weir_schemas::ids::Sequence;

/// A shared, monotonic sequence.
#[derive(Debug, Clone, Default)]
pub struct Watermark {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    value: AtomicU64,
    lock: Mutex<()>,
    moved: Condvar,
    notify: Notify,
}

impl Watermark {
    /// Starts at `value`.
    pub fn new(value: Sequence) -> Self {
        let watermark = Self::default();
        watermark.shared.value.store(value, Ordering::Release);
        watermark
    }

    /// The sequence up to which it holds.
    pub fn get(&self) -> Sequence {
        self.shared.value.load(Ordering::Acquire)
    }

    /// Moves it forward and wakes those who wait; a smaller value changes nothing.
    pub fn advance(&self, value: Sequence) {
        if self.shared.value.fetch_max(value, Ordering::AcqRel) < value {
            // The lock orders this against a waiter that has read the value and not slept yet.
            drop(self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner));
            self.shared.moved.notify_all();
            self.shared.notify.notify_waiters();
        }
    }

    /// Wakes those who wait although nothing moved, so that they look at their own stop signs.
    pub fn nudge(&self) {
        drop(self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner));
        self.shared.moved.notify_all();
        self.shared.notify.notify_waiters();
    }

    /// Blocks a thread until it has passed `seen`, was nudged, or `timeout` is over; gives the value then.
    pub fn wait_beyond(&self, seen: Sequence, timeout: Duration) -> Sequence {
        let value = self.get();
        if value > seen {
            return value;
        }
        let guard = self.shared.lock.lock().unwrap_or_else(PoisonError::into_inner);
        if self.get() <= seen {
            drop(self.shared.moved.wait_timeout(guard, timeout));
        }
        self.get()
    }

    /// Blocks a thread until it has reached `target` or `timeout` is over; gives the value then.
    pub fn wait_reached(&self, target: Sequence, timeout: Duration) -> Sequence {
        let end = Instant::now() + timeout;
        loop {
            let value = self.get();
            let left = end.saturating_duration_since(Instant::now());
            if value >= target || left.is_zero() {
                return value;
            }
            self.wait_beyond(value, left);
        }
    }

    /// Resolves once it has reached `target`.
    pub async fn reached(&self, target: Sequence) {
        loop {
            let notified = self.shared.notify.notified();
            if self.get() >= target {
                return;
            }
            notified.await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back_and_wakes_waiters() {
        let watermark = Watermark::new(5);
        watermark.advance(3);
        assert_eq!(watermark.get(), 5);
        let waiter = {
            let watermark = watermark.clone();
            std::thread::spawn(move || watermark.wait_reached(9, Duration::from_secs(60)))
        };
        watermark.advance(7);
        watermark.advance(9);
        assert_eq!(waiter.join().unwrap(), 9);
        assert_eq!(watermark.wait_beyond(9, Duration::from_millis(1)), 9, "the timeout ends the wait");
    }

    #[tokio::test]
    async fn a_task_resolves_when_it_is_reached() {
        let watermark = Watermark::new(0);
        let reached = tokio::spawn({
            let watermark = watermark.clone();
            async move { watermark.reached(2).await }
        });
        tokio::task::yield_now().await;
        watermark.advance(2);
        reached.await.unwrap();
    }
}
