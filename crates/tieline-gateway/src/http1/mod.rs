//! HTTP/1.1 to channels, with TLS or without.
//!
//! It is a client for one purpose (RFC 9112): a POST with a body of known length, an answer that is read as it comes. What
//! one read brings is handed on as one piece, however many chunks it holds, and a call talks to its connection without a
//! task between them; a stream of small events costs half of what it does otherwise.
//!
//! HTTP/2 is not offered. There, requests of many calls share one queue of frames and a task that empties it: between the
//! moment in which a call may still be held back and the one in which its bytes leave stands code that asks nobody. Here a
//! call writes to its own connection, and passes its gate around that very write. A request counts as sent from its first
//! byte on: what the kernel, or the TLS layer in front of it, has taken is in flight.
//!
//! Contract: answers are hostile. Whatever they hold, nothing panics, every buffer has a limit, and a connection whose
//! framing is in any doubt is not used again.

mod body;
mod connection;
mod head;
mod pool;
mod stream;

pub(crate) use connection::Pieces;
pub(crate) use pool::{Arriving, Lost, Pool};
pub(crate) use stream::Trust;

/// An answer that is not HTTP/1.1, or exceeds a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;
