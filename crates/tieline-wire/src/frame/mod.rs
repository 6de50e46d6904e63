//! Framing: where one event of a stream ends and the next begins. Incremental, byte-exact, bounded.

pub mod sse;
