//! Streams under way, so that each ends at its call's limit. A stream moves on when its caller takes a piece of it; one who
//! takes nothing would hold its call, its channel's connection and what is reserved for it for as long as it likes.
//!
//! Bounds: as many as calls may be in flight, and those that ended since the last sweep.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use tieline_core::{CallId, Code, Dialect, Problem, Tick};

use crate::answer::Answer;

#[derive(Debug, Default)]
pub(crate) struct Streams {
    under_way: Mutex<Vec<(Tick, Weak<Stream>)>>,
}

/// One of them, shared between the connection that carries it and whoever ends it in time.
#[derive(Debug)]
pub(crate) struct Stream {
    call: CallId,
    dialect: Dialect,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    answer: Answer,
    /// Of the connection that waits for the next piece.
    waker: Option<Waker>,
}

impl Streams {
    /// Have the answer to a call ended at its limit, in the dialect of its caller.
    pub(crate) fn watch(&self, answer: Answer, call: CallId, dialect: Dialect, limit: Tick) -> Arc<Stream> {
        let stream = Arc::new(Stream {
            call,
            dialect,
            state: Mutex::new(State { answer, waker: None }),
        });
        self.under_way().push((limit, Arc::downgrade(&stream)));
        stream
    }

    /// End those whose limit has passed, and forget those that ended.
    pub(crate) fn sweep(&self, now: Tick) {
        let mut over = Vec::new();
        self.under_way().retain(|(limit, stream)| {
            let is_over = *limit <= now;
            if is_over {
                over.extend(stream.upgrade());
            }
            !is_over && stream.strong_count() > 0
        });
        // Not under the lock: to end a call takes others.
        for stream in over {
            stream.end();
        }
    }

    fn under_way(&self) -> MutexGuard<'_, Vec<(Tick, Weak<Stream>)>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream {
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let mut state = self.state();
        let next = Pin::new(&mut state.answer).poll_frame(cx);
        let is_known = state
            .waker
            .as_ref()
            .is_some_and(|waker| waker.will_wake(cx.waker()));
        if next.is_pending() && !is_known {
            state.waker = Some(cx.waker().clone());
        }
        next
    }

    /// The call ends as one whose limit passed, and its record says so; a caller who reads on is told.
    fn end(&self) {
        let mut state = self.state();
        let answer = std::mem::replace(&mut state.answer, Answer::Whole(None));
        state.answer = match answer {
            Answer::Whole(_) => answer,
            // Only its last pieces are still to be taken.
            Answer::Stream(drive) if drive.is_over() => Answer::whole(drive.rest()),
            Answer::GoingOn(_) | Answer::Stream(_) | Answer::Watched(_) => {
                // Being dropped ends the call.
                drop(answer);
                let problem = Problem::plain(Code::CallTimeout);
                Answer::whole(tieline_wire::render_in_stream(self.dialect, &problem, self.call))
            }
        };
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic within ended the call's connection: nobody polls its answer again.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
