//! Buffers of calls that are over, for calls to come on the same thread: without them each call allocates and frees some
//! 1.5 KiB. Bounds: [`SPARE_MAX`] buffers of at most [`STEPS_MAX`] steps and a view a thread; what is more is freed.

use std::cell::RefCell;

use tieline_core::call::Buffers;

/// As many calls as end together on one thread. With the usual 12 steps of 96 bytes and a view of 328, 0.2 MiB a thread; at
/// most 1.2 MiB.
const SPARE_MAX: usize = 128;

/// A buffer that has grown further belonged to a call of many attempts, which are few.
const STEPS_MAX: usize = 96;

thread_local! {
    static SPARE: RefCell<Vec<Buffers>> = const { RefCell::new(Vec::new()) };
}

/// Empty buffers.
pub(crate) fn buffers() -> Buffers {
    SPARE.with_borrow_mut(Vec::pop).unwrap_or_default()
}

/// Keep buffers for another call.
pub(crate) fn keep(mut buffers: Buffers) {
    // What they hold goes now, and not when another call begins.
    buffers.clear();
    if buffers.capacity() == 0 || buffers.capacity() > STEPS_MAX {
        return;
    }
    // None, where the thread is about to end.
    let _ = SPARE.try_with(|spare| {
        let mut spare = spare.borrow_mut();
        if spare.len() < SPARE_MAX {
            spare.push(buffers);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_room(steps: usize) -> Buffers {
        let mut buffers = Buffers::default();
        buffers.reserve(steps);
        buffers
    }

    #[test]
    fn buffers_come_back_and_large_ones_do_not() {
        keep(with_room(12));
        keep(with_room(STEPS_MAX + 1));
        keep(Buffers::default());
        assert!((12..=STEPS_MAX).contains(&buffers().capacity()));
        assert_eq!(buffers().capacity(), 0);
        for _ in 0..=SPARE_MAX {
            keep(with_room(1));
        }
        let kept = std::iter::from_fn(|| Some(buffers()).filter(|buffers| buffers.capacity() > 0));
        assert_eq!(kept.count(), SPARE_MAX);
    }
}
