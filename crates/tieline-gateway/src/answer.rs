//! The body of an answer to a caller: nothing, bytes that are all there, or a [`Drive`] that is still reading a channel or
//! asking the next one for the rest.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::drive::{Drive, Next};
use crate::streams::Stream;

#[derive(Debug)]
pub(crate) enum Answer {
    /// Another attempt, which is to go on with the stream.
    GoingOn(GoingOn),
    Stream(Box<Drive>),
    /// A stream that ends at its call's limit whether or not anybody reads it.
    Watched(Arc<Stream>),
    Whole(Option<Bytes>),
}

/// A drive that comes back once its attempt has begun to answer, or failed.
pub(crate) struct GoingOn(Pin<Box<dyn Future<Output = Box<Drive>> + Send>>);

impl Answer {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::Whole((!bytes.is_empty()).then_some(bytes))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let answer = self.get_mut();
        loop {
            let next = match answer {
                Self::Whole(bytes) => return Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
                Self::GoingOn(going) => {
                    let drive = ready!(going.0.as_mut().poll(cx));
                    *answer = Self::Stream(drive);
                    continue;
                }
                Self::Stream(drive) => ready!(drive.poll_next(cx)),
                Self::Watched(stream) => return stream.poll(cx),
            };
            match next {
                Next::Bytes(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes)))),
                Next::End => return Poll::Ready(None),
                Next::Dial => {
                    if let Self::Stream(drive) = std::mem::replace(answer, Self::Whole(None)) {
                        *answer = Self::GoingOn(GoingOn(Box::pin(drive.go_on())));
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(bytes) => bytes.is_none(),
            Self::GoingOn(_) | Self::Stream(_) | Self::Watched(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::GoingOn(_) | Self::Stream(_) | Self::Watched(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for GoingOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GoingOn").finish_non_exhaustive()
    }
}
