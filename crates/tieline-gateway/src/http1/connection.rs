//! One connection to a channel: write a request, read its answer. Polled by the call itself; dropping it closes it.

use std::future::Future as _;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes, BytesMut};
use smallvec::SmallVec;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};

use super::Malformed;
use super::body::{Framing, Taken};
use super::head::{self, Head};
use super::stream::Stream;

/// Bytes that one read takes at most: an answer of 4,000 tokens in one, some hundred events of a stream.
const READ_BYTES: usize = 16 << 10;

/// Room below which a read gets a new buffer.
const ROOM_BYTES_LEAST: usize = 4 << 10;

/// Pieces of a request that one write takes: the head, and the body in its splices.
pub(crate) type Pieces = SmallVec<[Bytes; 7]>;

#[derive(Debug)]
pub(super) struct Connection {
    /// Whether any byte of the request under way was handed over.
    has_sent: bool,
    /// A request could not be written to its end.
    is_cut: bool,
    /// Whether it carried a call before this one.
    pub(super) is_used: bool,
    received: BytesMut,
    stream: Stream,
    /// What is still to be written.
    unsent: Pieces,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The connection ended.
    Closed,
    Malformed,
    /// The connection had ended before anything of the request was written.
    Unsent,
}

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            has_sent: false,
            is_cut: false,
            is_used: false,
            received: BytesMut::new(),
            stream,
            unsent: Pieces::new(),
        }
    }

    /// Begin a call; what [`Connection::poll_head`] writes. The pieces are in order, none of them empty.
    pub(super) fn begin(&mut self, request: Pieces) {
        self.has_sent = false;
        self.unsent = request;
        self.unsent.reverse();
    }

    /// Whether anything of the request may have left: only before that can it be held back.
    pub(super) const fn has_sent(&self) -> bool {
        self.has_sent
    }

    /// Write what is to be written, and wait for the head of the answer. It may come before all is written: then the rest
    /// of the request is of no interest, and the connection is not used again.
    pub(super) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<Result<Head, Failure>> {
        let written = self.poll_write(cx);
        if let Poll::Ready(Err(_)) = written {
            if !self.has_sent {
                return Poll::Ready(Err(Failure::Unsent));
            }
            // What cannot be written to its end may have been answered all the same.
            self.unsent.clear();
            self.is_cut = true;
        }
        loop {
            if let Some(mut head) = head::parse(&mut self.received).map_err(|Malformed| Failure::Malformed)? {
                head.is_reusable &= written.is_ready() && !self.is_cut;
                return Poll::Ready(Ok(head));
            }
            match ready!(self.poll_fill(cx)) {
                Ok(1..) => {}
                Ok(0) | Err(_) => return Poll::Ready(Err(Failure::Closed)),
            }
        }
    }

    /// The next piece of a body; `None` at its end.
    pub(super) fn poll_data(
        &mut self,
        framing: &mut Framing,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Failure>>> {
        loop {
            match framing.take(&mut self.received) {
                Err(Malformed) => return Poll::Ready(Some(Err(Failure::Malformed))),
                Ok(Taken::Data(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(Taken::End) => return Poll::Ready(None),
                Ok(Taken::More) => {}
            }
            match ready!(self.poll_fill(cx)) {
                Ok(1..) => {}
                Ok(0) if framing.ends_with_connection() => return Poll::Ready(None),
                Ok(0) | Err(_) => return Poll::Ready(Some(Err(Failure::Closed))),
            }
        }
    }

    /// Whether another call may use it: nothing was received that nobody asked for, and nothing, an end of the
    /// connection included, waits to be read.
    pub(super) fn is_idle(&mut self) -> bool {
        self.received.is_empty() && self.unsent.is_empty() && self.stream.is_quiet()
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.unsent.is_empty() {
            let slices: SmallVec<[IoSlice<'_>; 7]> = self
                .unsent
                .iter()
                .rev()
                .map(|piece| IoSlice::new(piece))
                .collect();
            self.has_sent |= self.stream.keeps_what_fails();
            let stream = Pin::new(&mut self.stream);
            let mut written = ready!(match slices.as_slice() {
                [one] => stream.poll_write(cx, one),
                several => stream.poll_write_vectored(cx, several),
            })?;
            drop(slices);
            self.has_sent |= written > 0;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            while let Some(piece) = self.unsent.last_mut() {
                if written < piece.len() {
                    piece.advance(written);
                    break;
                }
                written -= piece.len();
                self.unsent.pop();
            }
        }
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // From the start of the buffer again, if nobody holds a part of it: memory that was just used is near.
        let is_at_start = self.received.is_empty() && self.received.try_reclaim(READ_BYTES);
        if !is_at_start && self.received.capacity() - self.received.len() < ROOM_BYTES_LEAST {
            self.received.reserve(READ_BYTES);
        }
        pin!(self.stream.read_buf(&mut self.received)).poll(cx)
    }
}
