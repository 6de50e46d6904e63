//! Conditions in place of sleeps: a value that blocking and async callers can wait on, and the gate built on it.
//!
//! Bounds: a gate holds three counters; a blocking wait always carries a limit, an async one belongs under
//! `tokio::time::timeout` (the channel's own waits end when the client leaves or the channel is killed).

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

/// A point in a scripted answer that the test releases.
///
/// The channel stops at the gate until the test opens it; the test can wait until the channel has come to it. Clones
/// are the same gate.
#[derive(Debug, Clone, Default)]
pub struct Gate {
    shared: Arc<Signal<Passage>>,
}

#[derive(Debug, Default)]
struct Passage {
    reached: u64,
    allowed: u64,
    passed: u64,
}

impl Gate {
    /// A closed gate.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets everything through from here on.
    pub fn open(&self) {
        self.shared.update(|passage| passage.allowed = u64::MAX);
    }

    /// Lets one arrival through: one that waits already, or the next.
    pub fn step(&self) {
        self.shared
            .update(|passage| passage.allowed = passage.allowed.saturating_add(1));
    }

    /// How often the channel has come to this gate.
    pub fn reached(&self) -> u64 {
        self.shared.read(|passage| passage.reached)
    }

    /// Waits until the channel has come to this gate `count` times in all; false when `limit` passes first.
    #[must_use]
    pub fn wait_reached_blocking(&self, count: u64, limit: Duration) -> bool {
        self.shared
            .wait_blocking(limit, |passage| (passage.reached >= count).then_some(()))
            .is_some()
    }

    /// As [`Gate::wait_reached_blocking`], for callers inside a tokio runtime.
    pub async fn wait_reached(&self, count: u64, limit: Duration) -> bool {
        let reached = self
            .shared
            .wait(|passage| (passage.reached >= count).then_some(()));
        tokio::time::timeout(limit, reached).await.is_ok()
    }

    /// Arrives at the gate and waits to be let through.
    pub(crate) async fn pass(&self) {
        self.shared
            .update(|passage| passage.reached = passage.reached.saturating_add(1));
        self.shared
            .wait(|passage| {
                (passage.passed < passage.allowed).then(|| passage.passed = passage.passed.saturating_add(1))
            })
            .await;
    }
}

/// A value with two doorbells: a condition variable for threads, a notifier for tasks.
#[derive(Debug, Default)]
pub(crate) struct Signal<T> {
    value: Mutex<T>,
    threads: Condvar,
    tasks: Notify,
}

impl<T> Signal<T> {
    pub(crate) fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }

    pub(crate) fn update<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.threads.notify_all();
        self.tasks.notify_waiters();
        result
    }

    /// Waits until `look` finds what it wants. Safe to drop at any point.
    pub(crate) async fn wait<R>(&self, mut look: impl FnMut(&mut T) -> Option<R>) -> R {
        loop {
            let mut changed = std::pin::pin!(self.tasks.notified());
            // Registered before the look, so that a change between the look and the wait is not missed.
            changed.as_mut().enable();
            let found = look(&mut self.lock());
            if let Some(found) = found {
                return found;
            }
            changed.await;
        }
    }

    /// As [`Signal::wait`], for threads; `None` when `limit` passes first.
    pub(crate) fn wait_blocking<R>(
        &self,
        limit: Duration,
        mut look: impl FnMut(&mut T) -> Option<R>,
    ) -> Option<R> {
        let deadline = Instant::now() + limit;
        let mut value = self.lock();
        loop {
            if let Some(found) = look(&mut value) {
                return Some(found);
            }
            let left = deadline
                .checked_duration_since(Instant::now())
                .filter(|left| !left.is_zero())?;
            value = self
                .threads
                .wait_timeout(value, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// A panic of another test thread leaves plain counters and lists behind, which stay usable.
    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
