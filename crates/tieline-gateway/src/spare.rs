//! Step buffers of calls that are over, for calls to come on the same thread: without them each call allocates and frees
//! some 4 KiB. Bounds: [`SPARE_MAX`] buffers of at most [`STEPS_MAX`] steps a thread; what is more is freed.

use std::cell::RefCell;

use tieline_core::call::Step;

/// As many calls as end together on one thread. With the usual 12 steps of 344 bytes, 0.5 MiB a thread; at most 4 MiB.
const SPARE_MAX: usize = 128;

/// A buffer that has grown further belonged to a call of many attempts, which are few.
const STEPS_MAX: usize = 96;

thread_local! {
    static SPARE: RefCell<Vec<Vec<Step>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer.
pub(crate) fn steps() -> Vec<Step> {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keep a buffer for another call.
pub(crate) fn keep(mut steps: Vec<Step>) {
    // What the steps hold goes now, and not when another call begins.
    steps.clear();
    if steps.capacity() == 0 || steps.capacity() > STEPS_MAX {
        return;
    }
    // None, where the thread is about to end.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(steps);
        }
    });
}

#[cfg(test)]
mod tests {
    use tieline_core::Tick;

    use super::*;

    #[test]
    fn buffers_come_back_empty_and_large_ones_do_not() {
        let step = Step {
            at: Tick(1),
            fact: tieline_core::call::Fact::ClientGone,
        };
        keep(vec![step; 12]);
        keep(Vec::with_capacity(STEPS_MAX + 1));
        keep(Vec::new());
        let again = steps();
        assert!(again.is_empty() && (12..=STEPS_MAX).contains(&again.capacity()));
        assert_eq!(steps().capacity(), 0);
        for _ in 0..=SPARE_MAX {
            keep(Vec::with_capacity(1));
        }
        let kept = std::iter::from_fn(|| Some(steps()).filter(|steps| steps.capacity() > 0));
        assert_eq!(kept.count(), SPARE_MAX);
    }
}
