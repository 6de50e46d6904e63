//! HTTP/1.1 to channels that are reached without TLS: model servers on this machine or behind a mesh's own proxy.
//!
//! It is a client for one purpose (RFC 9112): a POST with a body of known length, an answer that is read as it comes. What
//! one read brings is handed on as one piece, however many chunks it holds, and a call talks to its connection without a
//! task between them; a stream of small events costs half of what it does otherwise. Channels with TLS may
//! speak HTTP/2, and are reached with hyper.
//!
//! Contract: answers are hostile. Whatever they hold, nothing panics, every buffer has a limit, and a connection whose
//! framing is in any doubt is not used again.

mod body;
mod connection;
mod head;
mod pool;

pub(crate) use connection::Pieces;
pub(crate) use pool::{Arriving, IDLE, Lost, Pool};

/// An answer that is not HTTP/1.1, or exceeds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;
