//! How a change of what is permitted reaches calls that are under way, at once and on every listener of the process.
//!
//! A *generation* counts the changes. A call notes it before it is judged, and passes the [`Gate`] in the moment in which
//! its request is handed to a connection: if the generation is another one by then, it is judged anew first. So from the
//! return of [`Orders::changed`] no request goes out that was judged before. Calls that wait are woken, and look whether
//! the change concerns them.

use std::future::Future as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

#[derive(Debug, Default)]
pub(crate) struct Orders {
    changes: Arc<Notify>,
    generation: AtomicU64,
    /// Requests that are between the look at the generation and their first byte.
    passing: AtomicUsize,
}

/// What a call shows at the moment in which its request is handed over: the generation under which it was judged.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    generation: u64,
    orders: Arc<Orders>,
}

/// A request on its way through the gate; given up once its first bytes are written, or cannot be yet.
#[derive(Debug)]
pub(crate) struct Passing<'g>(&'g Orders);

/// What wakes a call that waits when something changes. It is made when a call first waits, and looked at again only if
/// another task polls the call, for looking takes a lock.
#[derive(Debug, Default)]
pub(crate) struct Listener {
    changed: Option<Pin<Box<OwnedNotified>>>,
    waker: Option<Waker>,
}

impl Orders {
    /// To be read before the verdicts that depend on it.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// What is permitted has changed, and whoever judges from here on sees it. Returns once no request is left that was
    /// judged before and could still go out; that takes as long as one write to a socket.
    pub(crate) fn changed(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.changes.notify_waiters();
        while self.passing.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
    }

    /// Ready at the first change after this was called.
    pub(crate) fn told(&self) -> OwnedNotified {
        self.changes.clone().notified_owned()
    }

    pub(crate) fn gate(self: &Arc<Self>, generation: u64) -> Gate {
        Gate {
            generation,
            orders: self.clone(),
        }
    }
}

impl Gate {
    /// Pass, unless the verdict that led here may be outdated.
    pub(crate) fn enter(&self) -> Option<Passing<'_>> {
        self.orders.passing.fetch_add(1, Ordering::SeqCst);
        let passing = Passing(&self.orders);
        (self.orders.generation() == self.generation).then_some(passing)
    }
}

impl Drop for Passing<'_> {
    fn drop(&mut self) {
        self.0.passing.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Listener {
    /// Ready once for each change since this began to listen. Whoever calls this looks at the generation afterwards: a
    /// change before the first poll is not told.
    pub(crate) fn poll(&mut self, orders: &Orders, cx: &mut Context<'_>) -> Poll<()> {
        let is_known = self
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()));
        // Told by the waker, and by nothing else: a task that wakes for another reason finds the generation changed.
        if self.changed.is_some() && is_known {
            return Poll::Pending;
        }
        let changed = self
            .changed
            .get_or_insert_with(|| Box::pin(orders.changes.clone().notified_owned()));
        match changed.as_mut().poll(cx) {
            Poll::Ready(()) => {
                *self = Self::default();
                Poll::Ready(())
            }
            Poll::Pending => {
                self.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Listen anew: the change that was told is done with.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_judged_before_a_change_does_not_pass() {
        let orders = Arc::new(Orders::default());
        let gate = orders.gate(orders.generation());
        assert!(gate.enter().is_some());
        orders.changed();
        assert!(gate.enter().is_none());
        assert!(orders.gate(orders.generation()).enter().is_some());
        assert_eq!(orders.passing.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn a_change_waits_for_what_is_passing() {
        let orders = Arc::new(Orders::default());
        let gate = orders.gate(orders.generation());
        let passing = gate.enter().unwrap();
        let (other, before) = (orders.clone(), orders.generation());
        let changing = std::thread::spawn(move || other.changed());
        while orders.generation() == before {
            std::thread::yield_now();
        }
        assert!(!changing.is_finished(), "one request is still passing");
        drop(passing);
        changing.join().unwrap();
    }

    #[tokio::test]
    async fn a_call_that_waits_is_woken() {
        let orders = Arc::new(Orders::default());
        let mut listener = Listener::default();
        let (other, before) = (orders.clone(), orders.generation());
        let mut once = true;
        std::future::poll_fn(|cx| {
            assert!(listener.poll(&orders, cx).is_pending());
            if std::mem::take(&mut once) {
                let other = other.clone();
                drop(std::thread::spawn(move || other.changed()));
            }
            if orders.generation() == before {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }
}
